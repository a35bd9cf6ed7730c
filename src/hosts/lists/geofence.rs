//! The geofence: the networks of the countries that may reach the SIP ports, or may not.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::Networks;
use crate::config::{Countries, FenceAction, Mode};
use crate::model::place::Country;
use crate::model::subject::canonical;

/// What to do about a geofence that is not what the configuration says.
pub const MEND: &str = "put a whole MMDB file of countries there, then: asterguard reload";

/// Hosts that no country has: private networks, and what an own translator (NAT64) makes of IPv4 addresses. The
/// geofence never stops them.
pub const NOWHERE: [&str; 8] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
    "64:ff9b::/96",
];

/// The geofence, as the databases were last read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geofence {
    /// What the configuration says.
    pub countries: Countries,
    /// The networks of these countries, in few lengths; none: the geofence is off.
    pub networks: Arc<Networks>,
    /// The countries that the databases have no network of.
    pub missing: Vec<Country>,
    /// The reason why it is off, or not what the databases say.
    pub problem: Option<String>,
}

impl Geofence {
    /// Whether hosts of this family are looked at: not if the databases know none of its networks.
    fn covers(&self, host: IpAddr) -> bool {
        if host.is_ipv4() { self.networks.has_v4() } else { self.networks.has_v6() }
    }

    /// Whether `host` is outside, so that its packets to the SIP ports are dropped (or counted), if nothing lets it
    /// through before.
    #[must_use]
    pub fn stops(&self, host: IpAddr) -> bool {
        // Before what a translator made is taken for the address in it: the kernel does not do so.
        if is_nowhere(host.to_canonical()) {
            return false;
        }
        let host = canonical(host);
        let is_named = self.networks.contains(host);
        match self.countries.action {
            FenceAction::Allow => !is_named && self.covers(host),
            FenceAction::Deny => is_named,
        }
    }

    /// Whether it drops packets.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.countries.mode == Mode::Enforce && !self.networks.is_empty()
    }

    /// Returns what is wrong with it, for people.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if let Some(problem) = &self.problem {
            return Some(format!("countries: {problem}"));
        }
        let missing: Vec<_> = self.missing.iter().map(ToString::to_string).collect();
        (!missing.is_empty())
            .then(|| format!("countries: the databases know no network of {}", missing.join(", ")))
    }
}

fn is_nowhere(host: IpAddr) -> bool {
    NOWHERE.iter().any(|net| net.parse::<IpNet>().is_ok_and(|net| net.contains(&host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(action: FenceAction, networks: &[&str]) -> Geofence {
        let countries = Countries {
            action,
            named: Country::of(b"DE").into_iter().collect(),
            mode: Mode::Enforce,
        };
        let networks = Networks::new(networks.iter().map(|net| net.parse().unwrap()));
        Geofence { countries, networks: Arc::new(networks), missing: Vec::new(), problem: None }
    }

    fn stopped(fence: &Geofence) -> Vec<&'static str> {
        let hosts = ["198.18.0.1", "203.0.113.1", "10.0.0.1", "2a00::1", "fd00::1", "64:ff9b::1"];
        hosts.into_iter().filter(|host| fence.stops(host.parse().unwrap())).collect()
    }

    #[test]
    fn hosts_outside_are_stopped_and_those_of_no_country_never() {
        let both = ["198.18.0.0/15", "10.0.0.0/8", "2a00::/32"];
        assert_eq!(stopped(&fence(FenceAction::Deny, &both)), ["198.18.0.1", "2a00::1"]);
        assert_eq!(stopped(&fence(FenceAction::Allow, &both)), ["203.0.113.1"]);
        // Of IPv6, nothing is known.
        assert_eq!(stopped(&fence(FenceAction::Allow, &["198.18.0.0/15"])), ["203.0.113.1"]);
        // And here nothing of anything: nobody is locked out.
        assert_eq!(stopped(&fence(FenceAction::Allow, &[])), [""; 0]);
        assert!(!fence(FenceAction::Allow, &[]).drops());
    }
}
