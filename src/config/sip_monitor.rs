//! `[wire]`: which of the packets that leave the SIP ports are looked at.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::lists::words;
use super::network::network;
use super::toml_reader::{TomlReader, TomlValue};
use crate::model::exchange::HepFlow;

const KEYS: [&str; 7] =
    ["enabled", "group", "snaplen", "forward", "limiter", "maxrefusals", "maxpackets"];

pub(super) const LIMITERS: [(Limiter, &str); 3] =
    [(Limiter::Off, "off"), (Limiter::Observe, "observe"), (Limiter::Ban, "ban")];

/// The kernel's own answer to hosts over a rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limiter {
    /// It does not look.
    Off,
    /// It only counts them.
    #[default]
    Observe,
    /// It drops what they send to the SIP ports, for ten minutes.
    Ban,
}

/// The monitor of our PBX's own answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipMonitor {
    /// Whether they are looked at.
    pub enabled: bool,
    /// The NFLOG group that the kernel hands them over by.
    pub group: u16,
    /// The number of bytes of each packet that are copied.
    pub snaplen: u16,
    /// Addresses and networks of PBXs that this machine forwards for: containers, routed virtual
    /// machines.
    pub forward: Vec<IpNet>,
    /// The kernel's own answer to hosts over one of these rates.
    pub limiter: Limiter,
    /// Refusals a minute to one host.
    pub maxrefusals: u32,
    /// SIP packets a second from one host.
    pub maxpackets: u32,
    /// The copies that Asterisk mirrors by HEP; found, not written.
    pub hep: Option<HepFlow>,
}

impl Default for SipMonitor {
    fn default() -> Self {
        Self {
            enabled: true,
            group: 5060,
            snaplen: 2048,
            forward: Vec::new(),
            limiter: Limiter::Observe,
            maxrefusals: 600,
            maxpackets: 500,
            hep: None,
        }
    }
}

impl SipMonitor {
    /// Merges in what `[wire]` says.
    pub(super) fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let help = "write [wire], and its keys below it";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "enabled" => self.enabled = reader.boolean(value).unwrap_or(self.enabled),
                "group" => {
                    let help = "write the number of an NFLOG group that nothing else listens to";
                    self.group = reader.number(value, 1..=u16::MAX, help).unwrap_or(self.group);
                }
                "snaplen" => {
                    let help = "write how many bytes of a packet are looked at: 2048";
                    self.snaplen = reader.number(value, 256..=32_768, help).unwrap_or(self.snaplen);
                }
                "forward" => self.forward = networks(reader, value),
                "limiter" => {
                    self.limiter =
                        reader.choice(value, "limiter", &LIMITERS).unwrap_or(self.limiter);
                }
                "maxrefusals" => {
                    let help = "write how many refusals a minute one host may get: 600";
                    self.maxrefusals =
                        reader.number(value, 1..=1_000_000, help).unwrap_or(self.maxrefusals);
                }
                "maxpackets" => {
                    let help = "write how many SIP packets a second one host may send: 500";
                    self.maxpackets =
                        reader.number(value, 1..=1_000_000, help).unwrap_or(self.maxpackets);
                }
                _ => reader.unknown_key(key, &KEYS),
            }
        }
    }
}

fn networks(reader: &mut TomlReader, value: &TomlValue) -> Vec<IpNet> {
    let help = "write the addresses of PBXs behind this machine: [\"172.17.0.2\", \"10.0.3.0/24\"]";
    let mut nets = Vec::new();
    for (text, span) in words(reader, value, help) {
        match network(&text) {
            Ok(net) => nets.push(net),
            Err(_) => {
                reader.error(span, format_args!("{text:?} is not an address or network"), help);
            }
        }
    }
    nets.sort_unstable();
    nets.dedup();
    nets
}
