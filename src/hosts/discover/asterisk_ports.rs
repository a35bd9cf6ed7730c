//! The ports of the Asterisk on this machine, and where it mirrors its SIP messages by HEP.

use std::path::Path;

use super::conf_files::ConfFiles;
use crate::config::Config;
use crate::hosts::asterisk::hep_conf::HepConf;
use crate::hosts::asterisk::ports::{Driver, Listening, Transport};
use crate::model::exchange::{AsteriskPorts, HepFlow};
use crate::model::scope::Ports;
use crate::sys::sock_diag::{Listener, SockDiag};

/// The user that Asterisk runs as in Debian's and nearly all other packages.
const USER: &str = "asterisk";
const PASSWD: &str = "/etc/passwd";

/// The facts that were found out about Asterisk.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its ports.
    pub ports: AsteriskPorts,
    /// The copies that it mirrors by HEP, if it does.
    pub hep: Option<HepFlow>,
}

impl Found {
    /// Reads Asterisk's configuration in `directory`, and asks the kernel who listens.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut disk = ConfFiles::new(directory);
        let listening = Listening::read(&mut disk);
        let hep = HepConf::read(&mut disk);
        let sockets =
            SockDiag::open().ok().and_then(|mut diag| diag.listening().ok()).unwrap_or_default();
        Self::of(&listening, hep.as_ref(), &sockets, || user(USER))
    }

    fn of(
        listening: &Listening,
        hep: Option<&HepConf>,
        sockets: &[Listener],
        user: impl FnOnce() -> Option<u32>,
    ) -> Self {
        let mut ports = AsteriskPorts::default();
        for port in &listening.sip {
            ports.sip.insert(port.number);
            if port.driver == Driver::Pjsip
                || matches!(port.transport, Transport::Ws | Transport::Wss)
            {
                ports.pjsip.insert(port.number);
            }
        }
        let datagrams = |number: u16| {
            listening
                .sip
                .iter()
                .any(|port| port.number == number && port.transport == Transport::Udp)
        };
        ports.streams = ports.sip.iter().copied().filter(|number| !datagrams(*number)).collect();
        if let Some(hep) = hep {
            ports.hep_password = hep.capture_password.as_bytes().to_vec();
        }
        let hep = hep.and_then(HepConf::target).map(|to| HepFlow {
            // Whoever has the ports open is Asterisk; before it has, its usual user.
            uid: sockets
                .iter()
                .find(|socket| ports.sip.contains(&socket.port))
                .map(|socket| socket.uid)
                .or_else(user)
                .unwrap_or(0),
            to,
            never_from: merged(
                ports
                    .sip
                    .iter()
                    .chain(listening.iax.iter().map(|port| &port.number))
                    .map(|port| (*port, *port))
                    .chain([listening.rtp, listening.udptl]),
            ),
        });
        Self { ports, hep }
    }

    /// Puts what was found into a configuration: its ports are added to the list `sip`.
    pub fn apply(self, config: &mut Config) {
        let sip = config.ports.iter_mut().find(|(name, _)| name == "sip");
        if let Some((_, Ports::Ranges(ranges))) = sip {
            let found = self.ports.sip.iter().map(|port| (*port, *port));
            *ranges = merged(ranges.iter().copied().chain(found));
        }
        config.wire.hep = self.hep;
        config.asterisk = self.ports;
    }
}

/// Ranges in ascending order, none of which overlaps or touches another.
fn merged(ranges: impl Iterator<Item = (u16, u16)>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<_> = ranges.filter(|(first, last)| first <= last).collect();
    ranges.sort_unstable();
    let mut all: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

/// The number of a user of this machine.
fn user(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(PASSWD).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::hosts::asterisk::conf::tests::Memory;
    use crate::sys::sock_diag::Protocol;

    fn found(sockets: &[Listener]) -> Found {
        let mut files = Memory::of(&[
            (
                "pjsip.conf",
                "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5160\n[t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5161\n",
            ),
            (
                "hep.conf",
                "[general]\nenabled=yes\ncapture_address=127.0.0.1:9060\ncapture_password=p\n",
            ),
            ("rtp.conf", "[general]\nrtpstart=10000\nrtpend=20000\n"),
        ]);
        let (listening, hep) = (Listening::read(&mut files), HepConf::read(&mut files));
        Found::of(&listening, hep.as_ref(), sockets, || Some(77))
    }

    #[test]
    fn ports_are_told_apart_by_what_they_carry() {
        let Found { ports, hep } = found(&[]);
        assert!(ports.sip.contains(&5160) && ports.pjsip.contains(&5160));
        assert!(ports.streams.contains(&5161) && !ports.streams.contains(&5160));
        assert!(!format!("{ports:?}").contains("112"), "{ports:?}");
        let rule = hep.unwrap().matching();
        assert!(
            rule.starts_with("meta skuid 77 ip daddr 127.0.0.1 udp dport 9060 udp sport != { ")
                && rule.contains("10000-20000")
                && rule.contains("5160-5161"),
            "{rule}"
        );
    }

    #[test]
    fn the_user_is_the_one_that_listens() {
        let socket = |port, uid| Listener {
            protocol: Protocol::Udp,
            address: Ipv4Addr::UNSPECIFIED.into(),
            port,
            uid,
        };
        assert_eq!(found(&[socket(53, 5), socket(5160, 101)]).hep.unwrap().uid, 101);
        assert_eq!(found(&[socket(53, 5)]).hep.unwrap().uid, 77);
    }

    #[test]
    fn found_ports_are_added_to_those_of_the_configuration() {
        let mut config =
            crate::config::load::parse(&[], &["wire".to_owned(), "asterisk-sip".to_owned()])
                .unwrap();
        found(&[]).apply(&mut config);
        let (_, ports) = config.ports.iter().find(|(name, _)| name == "sip").unwrap();
        let Ports::Ranges(ranges) = ports else { panic!("{ports:?}") };
        assert!(ranges.contains(&(5160, 5161)) && ranges.contains(&(5060, 5061)), "{ranges:?}");
        assert!(config.wire.hep.is_some());
    }

    #[test]
    fn ranges_are_merged() {
        let ranges = [(9, 3), (5, 6), (1, 4), (10, 20), (12, 13), (65_535, 65_535)];
        assert_eq!(merged(ranges.into_iter()), [(1, 6), (10, 20), (65_535, 65_535)]);
    }
}
