//! The hosts that no jail bans, and why: what the guard has found out by itself.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

pub use crate::model::hostname::HostName;
use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::network_set::Networks;
use crate::model::subject::bannable;
use crate::model::trouble::Trouble;
use crate::model::words::counted;

/// Entries of a list at most; about 200 bytes each. All of them go into sets of the kernel that
/// have to stay small.
pub const MOST: usize = 1024;

/// All that was found, as the engine goes by it. Replaced as a whole when something changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreList {
    entries: Vec<ExemptNetwork>,
    nets: Networks,
    names: BTreeMap<HostName, Vec<IpAddr>>,
    on_link: Vec<Ipv6Net>,
    /// What is wrong with it: hosts that are meant to be in it, and are not.
    pub problems: Vec<Trouble>,
}

impl IgnoreList {
    /// A list of these entries; those that could not be banned anyway are left out. `names` has what
    /// is known of the names that single jails ignore.
    #[must_use]
    pub fn new(mut entries: Vec<ExemptNetwork>, names: BTreeMap<HostName, Vec<IpAddr>>) -> Self {
        entries.retain(|entry| {
            entry.net.prefix_len() < entry.net.max_prefix_len() || bannable(entry.net.addr())
        });
        entries.sort_unstable();
        entries.dedup();
        let mut problems = Vec::new();
        // The list of one's own has a bound of its own.
        let own = entries
            .iter()
            .filter(|entry| {
                matches!(entry.origin, ExemptReason::Allow { .. } | ExemptReason::Order { .. })
            })
            .count();
        let most = MOST + own;
        if let Some(more) = entries.len().checked_sub(most).filter(|more| *more > 0) {
            let seen = format!(
                "{more} of the trunks that Asterisk's configuration names can be banned: there are too many"
            );
            problems.push(Trouble::new(seen, "write those that matter into `ignoreip`"));
        }
        entries.truncate(most);
        let nets = Networks::merged(entries.iter().map(|entry| entry.net));
        Self { entries, nets, names, on_link: Vec::new(), problems }
    }

    /// The same list, with the IPv6 networks that this machine has neighbours in: a host with an
    /// address there does not have the whole network.
    #[must_use]
    pub fn with_on_link(self, mut on_link: Vec<Ipv6Net>) -> Self {
        on_link.sort_unstable();
        on_link.dedup();
        Self { on_link, ..self }
    }

    /// Returns the same list with more entries.
    #[must_use]
    pub fn and(&self, more: impl Iterator<Item = ExemptNetwork>) -> Self {
        let entries = self.entries.iter().cloned().chain(more).collect();
        let list = Self::new(entries, self.names.clone());
        let (on_link, problems) = (self.on_link.clone(), self.problems.clone());
        Self { on_link, problems, ..list }
    }

    /// The entries, by origin.
    #[must_use]
    pub fn entries(&self) -> &[ExemptNetwork] {
        &self.entries
    }

    /// The networks, merged where they overlap or touch.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> {
        self.nets.iter()
    }

    /// Whether no jail bans `host`.
    #[must_use]
    pub fn holds(&self, host: IpAddr) -> bool {
        self.nets.contains(host)
    }

    /// Whether `host` has one of these names.
    #[must_use]
    pub fn has_name(&self, host: IpAddr, names: &[HostName]) -> bool {
        names.iter().any(|name| self.addresses(name).contains(&host))
    }

    /// The addresses that are known of a name.
    #[must_use]
    pub fn addresses(&self, name: &HostName) -> &[IpAddr] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// An entry that `host` is never banned for.
    #[must_use]
    pub fn find(&self, host: IpAddr) -> Option<&ExemptNetwork> {
        self.entries.iter().find(|entry| entry.net.contains(&host))
    }

    /// Whether an IPv6 network has neighbours of this machine in it.
    #[must_use]
    pub fn on_link(&self, net: &IpNet) -> bool {
        let IpNet::V6(net) = net else { return false };
        self.on_link.iter().any(|link| link.contains(net) || net.contains(link))
    }

    /// Counts the entries of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(entry.origin.kind().to_owned()).or_default() += 1;
        }
        counts
    }
}

/// Counts by kind, for people.
#[must_use]
pub fn words(counts: &BTreeMap<String, usize>) -> String {
    let word = |(kind, count): (&String, &usize)| match kind.as_str() {
        "ignoreip" | "allow" => format!("{count} in {kind}"),
        "own" => format!("{count} own address{}", if *count == 1 { "" } else { "es" }),
        kind => counted(*count, kind),
    };
    let words: Vec<_> = counts.iter().map(word).collect();
    if words.is_empty() { "nobody".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(net: &str, origin: ExemptReason) -> ExemptNetwork {
        let net: IpNet = net.parse().unwrap();
        ExemptNetwork::new(net, origin)
    }

    fn trunk(name: &str) -> ExemptReason {
        ExemptReason::Trunk { name: name.to_owned(), file: "pjsip.conf".to_owned() }
    }

    #[test]
    fn a_list_says_who_is_in_it_and_why() {
        let list = IgnoreList::new(
            vec![
                entry("203.0.113.0/28", trunk("carrier")),
                entry("::ffff:192.0.2.1/128", ExemptReason::Gateway),
                entry("192.0.2.1/32", ExemptReason::Gateway),
                entry("127.0.0.1/32", ExemptReason::Own),
                entry("fe80::1/128", ExemptReason::Gateway),
            ],
            BTreeMap::new(),
        );
        let nets: Vec<_> = list.nets().map(|net| net.to_string()).collect();
        assert_eq!(nets, ["192.0.2.1/32", "203.0.113.0/28"]);
        assert_eq!(list.counts(), BTreeMap::from([("gateway".into(), 1), ("trunk".into(), 1)]));
        assert_eq!(words(&list.counts()), "1 gateway, 1 trunk");
        assert_eq!(words(&[("own".into(), 2)].into()), "2 own addresses");
        let host = "203.0.113.15".parse().unwrap();
        assert!(list.holds(host));
        assert_eq!(list.find(host).unwrap().origin.to_string(), "the trunk carrier (pjsip.conf)");
        assert!(!list.holds("203.0.113.16".parse().unwrap()));
        assert!(!list.holds("2001:db8::1".parse().unwrap()));
        assert_eq!(list.problems, []);
    }

    #[test]
    fn when_there_are_too_many_it_is_trunks_that_give_way() {
        let many = (0..2000_u32).map(|n| {
            let net = IpNet::from(IpAddr::from((0x0a00_0000 + n * 2).to_be_bytes()));
            ExemptNetwork::new(net, trunk("many"))
        });
        let entries = many.chain([entry("192.0.2.1/32", ExemptReason::Gateway)]).collect();
        let list = IgnoreList::new(entries, BTreeMap::new());
        assert_eq!(list.entries().len(), MOST);
        assert!(list.holds("192.0.2.1".parse().unwrap()));
        assert!(list.problems[0].seen.starts_with("977 of the trunks"), "{:?}", list.problems);
    }

    #[test]
    fn names_are_for_who_asks_by_them() {
        let name: HostName = "phone.example.com".parse().unwrap();
        let (host, other) = ("192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap());
        let list = IgnoreList::new(Vec::new(), BTreeMap::from([(name.clone(), vec![host])]));
        assert!(!list.holds(host));
        assert!(list.has_name(host, std::slice::from_ref(&name)) && !list.has_name(host, &[]));
        assert!(!list.has_name(other, &[name]));
    }

    #[test]
    fn neighbours_are_known_however_wide_the_network_is() {
        let list = IgnoreList::default().with_on_link(vec!["2001:db8:1::/80".parse().unwrap()]);
        for (net, near) in [
            ("2001:db8:1::/64", true),
            ("2001:db8:1::7/128", true),
            ("2001:db8:2::/64", false),
            ("192.0.2.1/32", false),
        ] {
            assert_eq!(list.on_link(&net.parse().unwrap()), near, "{net}");
        }
    }
}
