//! The geofence, as it is told: what it goes by, and whom it has stopped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::banned::Dropped;
use crate::config::{FenceAction, Mode};
use crate::hosts::lists::Geofence;
use crate::model::place::Country;

/// The geofence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceStatus {
    /// What happens to hosts of the countries: `allow` or `deny`.
    pub action: FenceAction,
    /// The countries.
    pub countries: Vec<Country>,
    /// `enforce`, or `observe`: packets are counted and not dropped.
    pub mode: Mode,
    /// The networks in the kernel; 0: the geofence is off.
    pub networks: usize,
    /// The reason why it is not what the databases say; `null` if it is.
    pub problem: Option<String>,
}

impl From<&Geofence> for FenceStatus {
    fn from(fence: &Geofence) -> Self {
        Self {
            action: fence.countries.action,
            countries: fence.countries.named.iter().copied().collect(),
            mode: fence.countries.mode,
            networks: fence.networks.len(),
            problem: fence.problem(),
        }
    }
}

impl FenceStatus {
    /// Returns it in a line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let countries: Vec<_> = self.countries.iter().map(ToString::to_string).collect();
        let state = match (self.networks, self.mode) {
            (0, _) => "off".to_owned(),
            (networks, Mode::Enforce) => format!("{networks} networks"),
            (networks, Mode::Observe) => format!("{networks} networks, observed only"),
        };
        format!("{} {} ({state})", self.action.word(), countries.join(", "))
    }
}

/// The geofence, and whom it has stopped, or would have if it did more than observe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceReport {
    /// What it goes by.
    #[serde(flatten)]
    pub fence: FenceStatus,
    /// The packets and bytes since the table was made; `null` if the kernel does not say.
    #[serde(flatten)]
    pub dropped: Dropped,
    /// What came from each country lately, most packets first.
    pub lately: Vec<CountryReport>,
    /// The hosts with the most packets lately.
    pub hosts: Vec<AbroadHost>,
    /// Whether it stops the host that was asked for; `null` if none was.
    pub stops: Option<bool>,
}

/// What came from a country lately: within an hour before the last packet of each host, of 4096 IPv4 and as many IPv6
/// hosts at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountryReport {
    /// The country; `null` if the databases do not know it.
    pub country: Option<Country>,
    /// The number of hosts.
    pub hosts: usize,
    /// Their packets.
    pub packets: u64,
}

/// A host that was stopped lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbroadHost {
    /// Its address, or the first of its IPv6 network.
    pub host: std::net::IpAddr,
    /// Its country; `null` if the databases do not know it.
    pub country: Option<Country>,
    /// Its packets.
    pub packets: u64,
}

/// Returns what these hosts are by country, most packets first.
#[must_use]
pub fn by_country(hosts: &[AbroadHost]) -> Vec<CountryReport> {
    let mut all = BTreeMap::<_, (usize, u64)>::new();
    for AbroadHost { country, packets, .. } in hosts {
        let sum = all.entry(*country).or_default();
        *sum = (sum.0 + 1, sum.1.saturating_add(*packets));
    }
    let report = |(country, (hosts, packets))| CountryReport { country, hosts, packets };
    let mut all: Vec<_> = all.into_iter().map(report).collect();
    all.sort_by_key(|report| std::cmp::Reverse(report.packets));
    all
}

/// That the geofence stops a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// What happens to hosts of the countries that it names.
    pub action: FenceAction,
    /// Whether its packets are dropped, or only counted.
    pub mode: Mode,
}

impl Stopped {
    /// Returns it in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let why = match self.action {
            FenceAction::Allow => "its network is in no country of `countries.allow`",
            FenceAction::Deny => "its network is in a country of `countries.deny`",
        };
        match self.mode {
            Mode::Enforce => format!("dropped at the SIP ports by the geofence: {why}"),
            Mode::Observe => format!(
                "would be dropped at the SIP ports by the geofence, which only observes: {why}"
            ),
        }
    }
}
