//! The rules of the geofence: hosts of some countries do not reach the SIP ports, or no others do.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::list_sets::{ListKind, ListSet};
use super::names::{TABLE, mask};
use crate::config::{FenceAction, Mode};
use crate::hosts::lists::geofence::NOWHERE;

/// The sets of the hosts that are let through because an account has logged in from there: IPv4 and IPv6.
pub(crate) const KNOWN: [&str; 2] = ["known4", "known6"];
/// The number of elements that each of them takes.
pub const KNOWN_MAX: usize = 65_536;
/// The sets of the hosts that were stopped lately.
pub(crate) const ABROAD: [&str; 2] = ["abroad4", "abroad6"];
/// The number of elements that each of them takes.
pub const ABROAD_MAX: usize = 4096;
/// The set that says whether the sets of countries are filled.
pub(crate) const READY: &str = "geofence_ready";
/// The counter of what was dropped.
pub const DROPPED: &str = "geofence_dropped";
/// The counter of what would have been dropped.
pub const OBSERVED: &str = "geofence_observed";

/// What the sets of countries are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// What happens to hosts in them.
    pub action: FenceAction,
    /// Whether packets are dropped, or only counted.
    pub mode: Mode,
}

/// Appends the chains, and the rules that lead there. They come after all others: whoever is let through or banned
/// does not come here. Of a TCP connection, only the first packet does.
pub(super) fn write_geofence(text: &mut String, fence: Fence, lists: &[ListSet], ipv6prefix: u8) {
    let sets: Vec<_> = lists.iter().filter(|set| set.kind == ListKind::Country).collect();
    let mut rules = String::new();
    let families =
        [(false, "ipv4", "goto geofence_outside4"), (true, "ipv6", "goto geofence_outside6")];
    for (ipv6, family, outside) in families {
        let (of_named, of_others) = match fence.action {
            FenceAction::Allow => ("return", outside),
            FenceAction::Deny => (outside, "return"),
        };
        let own: String =
            sets.iter().filter(|set| set.ipv6 == ipv6).map(|set| set.rule(of_named)).collect();
        // A family that nothing is known of is let through.
        if !own.is_empty() {
            let _ = writeln!(rules, "{own}\t\tmeta nfproto {family} {of_others}");
        }
    }
    let (v6, v4): (Vec<&str>, Vec<&str>) = NOWHERE.iter().partition(|net| net.contains(':'));
    let (v4, v6, mask) = (v4.join(", "), v6.join(", "), mask(ipv6prefix));
    let ([known4, known6], [abroad4, abroad6]) = (KNOWN, ABROAD);
    let (counter, end) = match fence.mode {
        Mode::Enforce => (DROPPED, "\t\tdrop\n"),
        Mode::Observe => (OBSERVED, ""),
    };
    // A set that is full ends the rule that adds to it, and no other.
    let _ = write!(
        text,
        "\ntable inet {TABLE} {{\n\
         \tchain geofence {{\n\t\tmeta nfproto != @{READY} return\n{rules}\t}}\n\
         \tchain geofence_outside4 {{\n\
         \t\tip saddr {{ {v4} }} return\n\
         \t\tip saddr @{known4} return\n\
         \t\tcounter name \"{counter}\"\n\
         \t\tupdate @{abroad4} {{ ip saddr }}\n\
         {end}\t}}\n\
         \tchain geofence_outside6 {{\n\
         \t\tip6 saddr {{ {v6} }} return\n\
         \t\tip6 saddr & {mask} @{known6} return\n\
         \t\tip6 saddr @{known6} return\n\
         \t\tcounter name \"{counter}\"\n\
         \t\tupdate @{abroad6} {{ ip6 saddr & {mask} }}\n\
         {end}\t}}\n\
         \tchain prerouting {{\n\
         \t\tudp dport @ports_sip jump geofence\n\
         \t\ttcp flags & (syn | ack) == syn tcp dport @ports_sip jump geofence\n\t}}\n}}\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(action: FenceAction, mode: Mode, families: &[bool]) -> String {
        let set = |ipv6: &bool| ListSet {
            kind: ListKind::Country,
            ipv6: *ipv6,
            bits: if *ipv6 { 32 } else { 24 },
            size: 1,
            name: format!("list_country{}", if *ipv6 { 6 } else { 4 }),
        };
        let sets: Vec<_> = families.iter().map(set).collect();
        let mut text = String::new();
        write_geofence(&mut text, Fence { action, mode }, &sets, 64);
        text.replace('\t', "")
    }

    #[test]
    fn a_family_that_nothing_is_known_of_is_let_through() {
        let outside = "goto geofence_outside";
        let both = written(FenceAction::Allow, Mode::Enforce, &[false, true]);
        assert!(both.contains("ip saddr & 255.255.255.0 @list_country4 return\n"), "{both}");
        assert!(both.contains("ip6 saddr & ffff:ffff:: @list_country6 return\n"), "{both}");
        assert_eq!(both.matches(outside).count(), 2);
        assert!(both.contains("counter name \"geofence_dropped\"\n"));
        assert_eq!(both.matches("\ndrop\n").count(), 2);
        let v4 = written(FenceAction::Allow, Mode::Observe, &[false]);
        assert_eq!(v4.matches(outside).count(), 1);
        assert!(v4.contains(&format!("meta nfproto ipv4 {outside}4\n")), "{v4}");
        assert!(v4.contains("counter name \"geofence_observed\"\n") && !v4.contains("\ndrop\n"));
        let deny = written(FenceAction::Deny, Mode::Enforce, &[false, true]);
        assert!(deny.contains("meta nfproto ipv6 return\n"), "{deny}");
        assert_eq!(deny.matches(outside).count(), 2);
        assert!(deny.contains(&format!("@list_country4 {outside}4\n")), "{deny}");
    }

    #[test]
    fn the_sets_are_declared_in_the_include() {
        let include = include_str!("../../nft/asterguard.nft");
        for (sets, size) in [(KNOWN, KNOWN_MAX), (ABROAD, ABROAD_MAX)] {
            for set in sets {
                let declared = include.split(&format!("\tset {set} {{\n")).nth(1).unwrap();
                let declared = declared.split('}').next().unwrap();
                assert!(declared.contains(&format!("size {size}\n")), "{set}");
            }
        }
        for name in [DROPPED, OBSERVED] {
            assert!(include.contains(&format!("\tcounter {name} {{\n")), "{name}");
        }
        assert!(include.contains(&format!("\tset {READY} {{\n")));
    }
}
