//! The rules of the old iptables, which nft does not show.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Dropper, MOST};
use crate::sys::program::Program;

/// Returns the rules of the old iptables that turn `host` away. Nothing where it is not in use: its kernel
/// module is then not loaded and has no list of tables.
pub fn droppers(host: IpAddr, left: &impl Fn() -> Duration) -> Vec<Dropper> {
    let (tables, programs, family) = match host {
        IpAddr::V4(_) => {
            ("/proc/net/ip_tables_names", ["iptables-legacy-save", "iptables-save"], "iptables")
        }
        IpAddr::V6(_) => {
            ("/proc/net/ip6_tables_names", ["ip6tables-legacy-save", "ip6tables-save"], "ip6tables")
        }
    };
    if std::fs::read_to_string(tables).is_ok_and(|names| names.trim().is_empty()) {
        return Vec::new();
    }
    if !std::path::Path::new(tables).exists() {
        return Vec::new();
    }
    let saved = programs.iter().find_map(|program| {
        Program::with_argv([*program]).limited(left()).capped(MOST).run(&[], b"").ok()
    });
    let mut holds = |set: &str| {
        let ipset = Program::with_argv(["ipset"]).limited(left()).capped(MOST);
        ipset.run(&["test", set, &host.to_string()], b"").is_ok()
    };
    parse(&String::from_utf8_lossy(&saved.unwrap_or_default()), family, host, &mut holds)
}

/// Returns what turns `host` away in the words of `iptables-save`; `holds` says whether an ipset holds it.
fn parse(
    saved: &str,
    family: &str,
    host: IpAddr,
    holds: &mut dyn FnMut(&str) -> bool,
) -> Vec<Dropper> {
    let mut table = "";
    let mut found = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words: Vec<&str> = rule.split_whitespace().collect();
            let Some(asked) = Asked::of(&words) else { continue };
            let set = asked.set.filter(|set| holds(set));
            if asked.net.is_some_and(|net| net.contains(&host)) || set.is_some() {
                found.push(Dropper {
                    table: format!("{family} {table}"),
                    chain: words.first().copied().unwrap_or_default().to_owned(),
                    rule: line.to_owned(),
                    set: set.map(str::to_owned),
                    partly: asked.more,
                });
            }
        }
    }
    found
}

/// The conditions of a rule that drops.
struct Asked<'a> {
    net: Option<IpNet>,
    set: Option<&'a str>,
    more: bool,
}

impl<'a> Asked<'a> {
    /// Reads a rule. `None` for one that drops nothing, and for one that says which hosts it does not
    /// mean (`!`).
    fn of(words: &[&'a str]) -> Option<Self> {
        let after = |word: &str| {
            let at = words.iter().position(|known| *known == word)?;
            words.get(at + 1).copied()
        };
        if !matches!(after("-j"), Some("DROP" | "REJECT")) || words.contains(&"!") {
            return None;
        }
        let net = after("-s").and_then(|net| net.parse().ok());
        let at = words.iter().position(|known| *known == "--match-set");
        let by_source = at.and_then(|at| words.get(at + 2)).is_some_and(|by| *by == "src");
        let more = ["-d", "-p", "-i", "-o", "--dport", "--dports", "--ctstate", "--state"];
        Some(Self {
            net,
            set: after("--match-set").filter(|_| by_source),
            more: more.iter().any(|word| words.contains(word)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_turn_a_source_away_are_found() {
        let saved = "\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -m set --match-set bad src -j DROP
-A INPUT -m set --match-set bad dst -j DROP
-A INPUT ! -s 192.0.2.66/32 -j DROP
-A INPUT -s 192.0.2.66/32 -j ACCEPT
-A INPUT -s 198.51.100.0/24 -p udp --dport 5060 -j DROP
-A f2b-sshd -s 192.0.2.66/32 -j REJECT --reject-with icmp-port-unreachable
COMMIT
";
        let find = |host: &str, sets: &[&str]| -> Vec<String> {
            let host = host.parse().unwrap();
            let found = parse(saved, "iptables", host, &mut |set| sets.contains(&set));
            found
                .iter()
                .map(|d| format!("{} {} {:?} {}", d.table, d.chain, d.set, d.partly))
                .collect()
        };
        assert_eq!(find("192.0.2.66", &[]), ["iptables filter f2b-sshd None false"]);
        assert_eq!(find("192.0.2.67", &["bad"]), ["iptables filter INPUT Some(\"bad\") false"]);
        assert_eq!(find("198.51.100.9", &[]), ["iptables filter INPUT None true"]);
        assert_eq!(find("203.0.113.1", &[]), [""; 0]);
    }
}
