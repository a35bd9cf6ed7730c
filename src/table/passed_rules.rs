//! The text that makes the kernel count what comes through from banned hosts: the rules of the chains
//! `passed_...`, which are the same for all scopes together.
//!
//! A rule asks by `!=` whether a host is in a set of bans: `==` would count the packet in its element, as
//! one that was dropped.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::names::{TABLE, mask};
use super::structure::{Scope, SetKind, port_elements};
use crate::model::scope::{Blocktype, Ports};

/// The sets that the kernel counts in.
pub(crate) const PASSED: [&str; 2] = ["passed4", "passed6"];
/// The number of elements that each of them takes.
pub const PASSED_MAX: usize = 4096;
/// Scopes that are looked at: the first ones. What packets of strangers cost is bounded by that, and so is the
/// length of a rule, of which the kernel takes 4 KiB.
const MOST_SCOPES: usize = 10;
/// The set of the ports at which Asterisk listens though its configuration does not say so.
const HEARD: &str = "heard_ports";

/// Appends the rules for `scopes`, and the ports that are `heard`.
pub(super) fn write_passed(text: &mut String, scopes: &[Scope], heard: &BTreeSet<u16>) {
    // What goes on by design is no alarm.
    let whole = scopes.iter().filter(|scope| scope.blocktype != Blocktype::DropNew);
    let scopes: Vec<&Scope> = whole.take(MOST_SCOPES).collect();
    let all: Vec<_> = scopes.iter().copied().filter(|scope| scope.ports == Ports::All).collect();
    let stranger = in_none(&scopes);
    let port_sets: BTreeSet<_> =
        scopes.iter().filter(|scope| scope.ports != Ports::All).map(|it| it.port_set()).collect();
    let rule =
        |set: &String| format!("\t\tmeta l4proto {{ tcp, udp }} th dport @{set} goto passed\n");
    let closed = port_sets.iter().map(rule).collect::<Vec<_>>().concat();
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\ntable inet {TABLE} {{\n\
         \tchain passed_input {{\n\t\tiif lo accept\n{stranger}\
         \t\tmeta l4proto {{ tcp, udp }} th dport @{HEARD} goto passed\n\
         \t\tgoto passed_closed\n\t}}\n\
         \tchain passed_forward {{\n{stranger}\t\tgoto passed_closed\n\t}}\n\
         \tchain passed_closed {{\n{closed}{}\t\tgoto passed\n\t}}\n}}\n",
        in_none(&all)
    );
    if !heard.is_empty() {
        let ports: Vec<_> = heard.iter().map(|port| (*port, *port)).collect();
        let ports = port_elements(&ports);
        let _ = writeln!(text, "\nadd element inet {TABLE} {HEARD} {ports}");
    }
}

/// Returns the rules that let go whoever is in no set of hosts or networks of these scopes.
fn in_none(scopes: &[&Scope]) -> String {
    let pair =
        |scope: &Scope, ipv6| [SetKind::Hosts, SetKind::Networks].map(|kind| scope.set(kind, ipv6));
    let v4 = scopes
        .iter()
        .flat_map(|scope| pair(scope, false).map(|set| format!("ip saddr != @{set} ")));
    let v6 = scopes.iter().flat_map(|scope| {
        let (mask, [hosts, nets]) = (mask(scope.ipv6prefix), pair(scope, true));
        // Of an address within a network that this machine is in itself, the second.
        [
            format!("ip6 saddr & {mask} != @{hosts} "),
            format!("ip6 saddr != @{hosts} "),
            format!("ip6 saddr != @{nets} "),
        ]
    });
    let (v4, v6): (String, String) = (v4.collect(), v6.collect());
    format!("\t\t{v4}accept\n\t\t{v6}accept\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::structure::tests::with;

    #[test]
    fn the_sets_are_those_of_the_file() {
        let text = with(Vec::new()).ruleset();
        for set in PASSED {
            let declared = text.split_once(&format!("\tset {set} {{")).unwrap().1;
            let size = declared.split_once("size ").unwrap().1;
            assert!(size.starts_with(&format!("{PASSED_MAX}\n")), "{set}");
        }
        assert!(!text.contains(&format!("add element inet {TABLE} {HEARD}")));
    }

    #[test]
    fn no_packet_counts_as_dropped_by_being_looked_at() {
        let web = Ports::Ranges(vec![(80, 80)]);
        let further = vec![
            Scope::further("web", web, Blocktype::Drop, 48),
            Scope::further("all", Ports::All, Blocktype::Reject, 64),
        ];
        let mut structure = with(further);
        structure.heard = [15_060, 5070].into();
        let text = structure.ruleset();
        assert!(structure.scopes.len() < MOST_SCOPES);
        let (_, rules) = text.split_once("\tchain passed_input {\n\t\tiif").unwrap();
        for scope in &structure.scopes {
            let sets = scope.sets().filter(|(kind, _)| *kind != SetKind::Flows);
            for (_, set) in sets {
                let count = |words: String| rules.matches(&words).count();
                assert_eq!(count(format!("!= @{set} ")), count(format!("@{set} ")), "{set}");
                assert!(rules.contains(&format!("!= @{set} ")));
            }
        }
        let closed = rules.split_once("chain passed_closed {").unwrap().1;
        for (words, is_there) in [
            ("th dport @ports_sip goto passed\n", true),
            ("th dport @ports_web goto passed\n", true),
            (
                "ip saddr != @ban4 ip saddr != @ban_net4 ip saddr != @scope_all_reject_64_v4 \
                 ip saddr != @scope_all_reject_64_net4 accept\n",
                true,
            ),
            ("@sip4", false),
        ] {
            assert_eq!(closed.contains(words), is_there, "{words}\n{closed}");
        }
        assert!(text.contains("add element inet asterguard heard_ports { 5070, 15060 }\n"));
    }
}
