//! Lists in the kernel: a hash set for the networks of each length, named by what is in it.
//!
//! One set of intervals could hold them all, but with a hundred thousand elements in one, everybody
//! who runs `nft`, for any table, waits for seconds. Next to hash sets nobody does. A list that
//! changes gets other names: its new sets are filled next to the old ones, and the rules change over
//! in one transaction.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

use super::names::{TABLE, is_name, mask};
use crate::hosts::lists::{Lists, Networks};
use crate::model::network_set::Keys;

/// The text that the names of all list sets begin with.
pub const PREFIX: &str = "list_";

/// The counter of all that feeds have dropped.
pub const FED: &str = "fed";

/// The kind of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ListKind {
    /// The administrator's: each entry counts what it drops.
    Block,
    /// Those of others: one counter for all.
    Feed,
    /// Those of the countries of the geofence.
    Country,
}

/// A set that holds the networks of one length of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListSet {
    /// The kind of the list.
    pub kind: ListKind,
    /// Whether it holds IPv6 networks.
    pub ipv6: bool,
    /// The length of the networks, in bits.
    pub bits: u8,
    /// The number of networks.
    pub size: usize,
    /// The name of the set: different for different contents.
    pub name: String,
}

impl ListSet {
    fn new(kind: ListKind, ipv6: bool, bits: u8, keys: &Keys) -> Self {
        let mut hasher = DefaultHasher::new();
        keys.hash(&mut hasher);
        let word = match kind {
            ListKind::Block => "block",
            ListKind::Feed => "feed",
            ListKind::Country => "country",
        };
        let family = if ipv6 { 6 } else { 4 };
        let name = format!("{PREFIX}{word}{family}_{bits}_{:016x}", hasher.finish());
        Self { kind, ipv6, bits, size: keys.len(), name }
    }

    /// Returns the set as nft declares it. Without flags and with a size, it is the kernel's fastest kind.
    fn declaration(&self) -> String {
        let kind = if self.ipv6 { "ipv6_addr" } else { "ipv4_addr" };
        let counter = match self.kind {
            ListKind::Block => "\t\tcounter\n",
            ListKind::Feed | ListKind::Country => "",
        };
        let Self { name, size, .. } = self;
        format!("\tset {name} {{\n\t\ttype {kind}\n\t\tsize {size}\n{counter}\t}}\n")
    }

    /// Returns the rule that does this with packets from its networks.
    pub(super) fn rule(&self, verdict: &str) -> String {
        let family = if self.ipv6 { "ip6" } else { "ip" };
        let mask = match (self.ipv6, self.bits) {
            (false, 32) | (true, 128) => String::new(),
            (false, bits) => {
                let host_bits = 32_u32.saturating_sub(bits.into());
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                format!("& {} ", std::net::Ipv4Addr::from(mask))
            }
            (true, bits) => format!("& {} ", mask(bits)),
        };
        format!("\t\t{family} saddr {mask}@{} {verdict}\n", self.name)
    }
}

/// Declares these sets, and nothing else.
pub fn declared(sets: &[ListSet]) -> String {
    let sets: String = sets.iter().map(ListSet::declaration).collect();
    format!("table inet {TABLE} {{\n{sets}}}\n")
}

/// Appends the sets and their rules to the text of a structure.
pub(crate) fn write_lists(text: &mut String, sets: &[ListSet]) {
    if sets.is_empty() {
        return;
    }
    let fed = format!("counter name \"{FED}\" drop");
    let rules = sets.iter().map(|set| match set.kind {
        ListKind::Block => set.rule("drop"),
        ListKind::Feed => set.rule(&fed),
        // They have a chain of their own.
        ListKind::Country => String::new(),
    });
    let rules: String = rules.collect();
    let _ = write!(
        text,
        "\n{}\ntable inet {TABLE} {{\n\tchain prerouting {{\n{rules}\t}}\n}}\n",
        declared(sets)
    );
}

/// The sets of some lists, and what is in them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Contents(pub(crate) Vec<(ListSet, Keys)>);

impl Contents {
    /// Returns the contents that are to be in the kernel for `lists`.
    #[must_use]
    pub fn new(lists: &Lists) -> Self {
        let sets = |kind, networks: &Networks| {
            let lengths = networks.by_length().into_iter();
            lengths
                .map(|((ipv6, bits), keys)| (ListSet::new(kind, ipv6, bits, &keys), keys))
                .collect::<Vec<_>>()
        };
        let mut all = sets(ListKind::Block, &lists.blocked());
        all.extend(sets(ListKind::Feed, &lists.fed().in_few_lengths()));
        if let Some(geofence) = &lists.geofence {
            all.extend(sets(ListKind::Country, &geofence.networks));
        }
        Self(all)
    }

    /// Returns the sets, those of the administrator's list first, IPv4 first, wide networks first.
    #[must_use]
    pub fn sets(&self) -> Vec<ListSet> {
        self.0.iter().map(|(set, _)| set.clone()).collect()
    }

    /// Returns the sets in the same order, each with its networks.
    pub fn iter(&self) -> impl Iterator<Item = &(ListSet, Keys)> {
        self.0.iter()
    }

    /// Without the sets that `there` has too.
    #[must_use]
    pub fn beside(mut self, there: &[ListSet]) -> Self {
        self.0.retain(|(set, _)| !there.contains(set));
        self
    }

    /// Returns the name of a set that would become a part of the ruleset.
    pub(crate) fn odd_name(&self) -> Option<&str> {
        let mut names = self.0.iter().map(|(set, _)| set.name.as_str());
        names.find(|name| !(name.starts_with(PREFIX) && is_name(name)))
    }

    /// Returns the number of networks in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|(set, _)| set.size).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::hosts::lists::Feed;
    use crate::model::listed::{FileLine, ListedNetwork};

    fn lists(block: &[&str], feed: &[&str]) -> Lists {
        let listed = |net: &&str| ListedNetwork {
            net: net.parse().unwrap(),
            place: FileLine { file: "block.list".into(), line: 1 },
        };
        let networks = Networks::new(feed.iter().map(|net| net.parse().unwrap()));
        let feed = Feed {
            name: "drop".to_owned(),
            path: "/drop".into(),
            is_fetched: false,
            stamp: None,
            networks: Arc::new(networks),
            skipped: 0,
            problem: None,
        };
        let block = block.iter().map(listed).collect();
        Lists { block, feeds: vec![feed], ..Lists::default() }
    }

    #[test]
    fn each_length_has_a_set_of_its_own() {
        let contents = Contents::new(&lists(
            &["198.51.100.0/24", "198.51.100.7/32", "2001:db8::7/128"],
            // Too few to make fewer lengths of.
            &["203.0.113.7/32", "203.0.113.9/32", "192.0.0.0/9", "2001:db8::/33"],
        ));
        let mut text = String::new();
        write_lists(&mut text, &contents.sets());
        let rules: Vec<_> = text
            .lines()
            .filter(|line| line.contains("saddr"))
            .map(|line| line.replace('\t', ""))
            .collect();
        let starts = [
            "ip saddr & 255.255.255.0 @list_block4_24_",
            "ip6 saddr @list_block6_128_",
            "ip saddr & 255.128.0.0 @list_feed4_9_",
            "ip saddr @list_feed4_32_",
            "ip6 saddr & ffff:ffff:8000:: @list_feed6_33_",
        ];
        assert_eq!(rules.len(), starts.len(), "{text}");
        for (rule, start) in rules.iter().zip(starts) {
            assert!(rule.starts_with(start) && rule.ends_with(" drop"), "{rule}");
        }
        assert_eq!(text.matches("\t\tcounter\n").count(), 2);
        assert_eq!(text.matches("counter name \"fed\" drop").count(), 3);
        assert_eq!(text.matches("size 2\n").count(), 1);
        let mut nothing = String::new();
        write_lists(&mut nothing, &[]);
        assert_eq!(nothing, "");
    }

    #[test]
    fn what_has_not_changed_keeps_its_name() {
        let before = Contents::new(&lists(&["198.51.100.0/24"], &["203.0.113.7/32"]));
        let same = Contents::new(&lists(&["198.51.100.0/24"], &["203.0.113.7/32"]));
        let other = Contents::new(&lists(&["198.51.100.0/24"], &["203.0.113.8/32"]));
        assert_eq!(before.sets(), same.sets());
        assert!(same.beside(&before.sets()).is_empty());
        let new = other.beside(&before.sets()).sets();
        assert_eq!(new.len(), 1);
        assert_eq!(new[0].kind, ListKind::Feed);
    }
}
