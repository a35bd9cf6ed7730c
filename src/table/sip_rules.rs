//! The text that makes the kernel show our own answers, and limit what is too much:
//! `nft/asterguard-wire.nft` and `nft/asterguard-limiter.nft` with the values of the configuration.

use std::fmt::Write as _;

use ipnet::IpNet;

use super::names::{TABLE, mask};
use super::structure::{Structure, net_elements, port_elements};
use crate::config::Limiter;
use crate::model::exchange::{HepFlow, ServicePorts};

/// The further files of the ruleset, with the built-in values.
const WIRE: &str = include_str!("../../nft/asterguard-wire.nft");
const LIMITER: &str = include_str!("../../nft/asterguard-limiter.nft");
const HEP: &str = include_str!("../../nft/asterguard-hep.nft");

/// The texts that stand there for the values of the configuration. (`nft` takes no variables there.)
const GROUP: &str = "log group 5060";
const SNAPLEN: &str = "snaplen 2048";
const REFUSALS: &str = "rate over 600/minute burst 3000 packets";
const HEP_MATCH: &str = "meta skuid 0 ip daddr 127.0.0.1 udp dport 9060 udp sport != { 5060 }";
const PACKETS: &str = "rate over 500/second burst 5000 packets";

/// The sets of the hosts that the limiter found.
pub(crate) const LIMITED: [&str; 2] = ["wire4", "wire6"];
/// The sets that the limiter counts in.
pub(crate) const COUNTING: [&str; 4] =
    ["limiter_refused4", "limiter_refused6", "limiter_sent4", "limiter_sent6"];
/// The number of elements that each of them takes.
pub const LIMITED_MAX: usize = 65_536;

/// The set of the ports at which our PBX speaks SIP in TLS or WebSocket.
const TALKED_PORTS: &str = "talked_ports";
/// The sets of the hosts and ports that our PBX sent something to from there lately.
pub(crate) const TALKED: [&str; 2] = ["talked4", "talked6"];

/// The set of the ports of services that are not Asterisk's.
const SERVED_PORTS: &str = "served_ports";
/// The sets of the hosts that these sent something to lately, by our port.
pub(crate) const SERVED: [&str; 2] = ["served4", "served6"];

/// The sets of the ports of the PBX's other services that are watched.
const SERVICES: [&str; 3] = ["iax_ports", "ami_ports", "http_ports"];

/// The sets of PBXs that we forward for.
const FORWARD: [&str; 2] = ["wire_pbx4", "wire_pbx6"];

impl Structure {
    /// Returns the text for `nft -f -` that makes the kernel show our own answers and limit what is too
    /// much, or no longer do so. It comes after [`Structure::ruleset`].
    #[must_use]
    pub fn wire_ruleset(&self) -> String {
        let mut text = format!("define ipv6_mask = {}\n\n", mask(self.ipv6prefix()));
        if !self.wire.enabled {
            text += &without(WIRE);
        }
        if !self.limits() {
            text += &without(LIMITER);
        }
        if self.hep().is_none() {
            text += &without(HEP);
        }
        text + &self.wire_files()
    }

    /// Returns the part of it that declares what is to be there.
    pub(crate) fn wire_files(&self) -> String {
        let mut text = String::new();
        if self.wire.enabled {
            self.write_wire(&mut text);
        }
        if self.limits() {
            self.write_limiter(&mut text);
        }
        if let Some(hep) = self.hep() {
            let group = format!("log prefix \"hep\" group {}", self.wire.group);
            text += &HEP
                .replace("log prefix \"hep\" group 5060", &group)
                .replace(HEP_MATCH, &hep.matching());
        }
        text
    }

    /// Returns the HEP datagrams that are to be copied.
    fn hep(&self) -> Option<&HepFlow> {
        self.wire.hep.as_ref().filter(|_| self.wire.enabled)
    }

    fn limits(&self) -> bool {
        self.wire.enabled && self.wire.limiter != Limiter::Off
    }

    fn write_wire(&self, text: &mut String) {
        *text += &WIRE
            .replace(GROUP, &format!("log group {}", self.wire.group))
            .replace(SNAPLEN, &format!("snaplen {}", self.wire.snaplen));
        for (set, ipv6) in FORWARD.iter().zip([false, true]) {
            let of_family = |net: &&IpNet| matches!(net, IpNet::V6(_)) == ipv6;
            let nets = self.wire.forward.iter().filter(of_family);
            if let Some(nets) = net_elements(nets) {
                let _ = writeln!(text, "\nadd element inet {TABLE} {set} {nets}");
            }
        }
        if !self.wrapped.is_empty() {
            let ports: Vec<_> = self.wrapped.iter().map(ToString::to_string).collect();
            let ports = ports.join(", ");
            let _ = writeln!(text, "\nadd element inet {TABLE} {TALKED_PORTS} {{ {ports} }}");
        }
        if !self.served.is_empty() {
            let ports = port_elements(&self.served);
            let _ = writeln!(
                text,
                "\nadd element inet {TABLE} {SERVED_PORTS} {ports}\n\
                 insert rule inet {TABLE} wire_output oif != \"lo\" tcp sport @{SERVED_PORTS} jump wire_served"
            );
        }
        let ServicePorts { iax, ami, http } = &self.services;
        for (set, ports) in SERVICES.iter().zip([iax, ami, http]) {
            if !ports.is_empty() {
                let ports = port_elements(ports);
                let _ = writeln!(text, "\nadd element inet {TABLE} {set} {ports}");
            }
        }
    }

    fn write_limiter(&self, text: &mut String) {
        // Five minutes' worth and ten seconds' worth at the same time do no harm: an office that restarts.
        let (refusals, packets) = (self.wire.maxrefusals, self.wire.maxpackets);
        let refused = format!("rate over {refusals}/minute burst {} packets", 5 * refusals);
        let sent = format!("rate over {packets}/second burst {} packets", 10 * packets);
        *text += &LIMITER.replace(REFUSALS, &refused).replace(PACKETS, &sent);
        if self.wire.limiter == Limiter::Ban {
            let [v4, v6] = LIMITED;
            let _ = writeln!(
                text,
                "\nadd rule inet {TABLE} limiter_drop ip saddr @{v4} drop\n\
                 add rule inet {TABLE} limiter_drop ip6 saddr & $ipv6_mask @{v6} drop"
            );
        }
    }
}

/// Returns a text of [`Structure::wire_ruleset`] without what older kernels and programs do not know: `@ih`,
/// which is about the content of TCP segments.
pub(crate) fn datagrams_only(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.contains("@ih")).collect()
}

/// Returns the text that leaves nothing of a file's chains and sets, whether they are there or not.
fn without(file: &str) -> String {
    let declared = file.split_once("\nflush chain").map_or(file, |(declared, _)| declared);
    let named = |kind: &str| -> Vec<&str> {
        let lines = declared.lines().filter_map(|line| line.trim().strip_prefix(kind));
        lines.filter_map(|line| line.strip_suffix(" {")).collect()
    };
    let mut text = format!("{declared}\n");
    for (what, kind, names) in [
        ("flush", "chain", named("chain ")),
        ("delete", "chain", named("chain ")),
        ("delete", "set", named("set ")),
    ] {
        for name in names {
            let _ = writeln!(text, "{what} {kind} inet {TABLE} {name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, SipMonitor};

    fn structure(wire: SipMonitor) -> Structure {
        let config = config::load::parse(&[], &["wire".to_owned(), "asterisk-sip".to_owned()]);
        Structure::new(&config::Config { wire, ..config.unwrap() })
    }

    #[test]
    fn the_configuration_is_in_the_text() {
        let built_in = structure(SipMonitor::default()).wire_ruleset();
        assert!(built_in.contains(WIRE) && built_in.ends_with(LIMITER), "{built_in}");
        for ports in ["iax_ports { 4569 }", "ami_ports { 5038-5039 }", "http_ports { 8088-8089 }"] {
            assert!(
                built_in.contains(&format!("add element inet {TABLE} {ports}\n")),
                "{built_in}"
            );
        }
        let forward = ["172.17.0.2/32", "172.17.0.0/16", "fd00::/8"];
        let forward = forward.map(|net| net.parse().unwrap()).to_vec();
        let wire = SipMonitor {
            group: 7,
            snaplen: 999,
            forward,
            limiter: Limiter::Ban,
            maxrefusals: 10,
            maxpackets: 20,
            ..SipMonitor::default()
        };
        let text = structure(wire).wire_ruleset();
        for (count, words) in [
            (9, "log group 7 snaplen"),
            (1, "snaplen 999\n"),
            (1, "add element inet asterguard wire_pbx4 { 172.17.0.0/16 }\n"),
            (1, "add element inet asterguard wire_pbx6 { fd00::/8 }\n"),
            (2, "rate over 10/minute burst 50 packets"),
            (2, "rate over 20/second burst 200 packets"),
            (2, " drop\n"),
        ] {
            assert_eq!(text.matches(words).count(), count, "{words}\n{text}");
        }
    }

    #[test]
    fn wrapped_ports_are_those_of_asterisk() {
        let filled = format!("add element inet asterguard {TALKED_PORTS}");
        let none = structure(SipMonitor::default());
        assert!(!none.wire_ruleset().contains(&filled));
        let some = Structure { wrapped: [8089, 5061].into(), ..none };
        let text = some.wire_ruleset();
        assert!(text.contains(&format!("{filled} {{ 5061, 8089 }}\n")), "{text}");
        for set in TALKED.iter().chain(&[TALKED_PORTS]) {
            assert_eq!(text.matches(&format!("\tset {set} {{\n")).count(), 1);
        }
    }

    #[test]
    fn other_services_cost_nothing_without_their_jails() {
        let none = structure(SipMonitor::default());
        assert!(!none.wire_ruleset().contains("jump wire_served"));
        let some = Structure { served: vec![(22, 22), (443, 443)], ..none };
        let text = some.wire_ruleset();
        for words in ["served_ports { 22, 443 }\n", "tcp sport @served_ports jump wire_served\n"] {
            assert_eq!(text.matches(words).count(), 1, "{words}\n{text}");
        }
        for set in SERVED.iter().chain(&[SERVED_PORTS]) {
            assert_eq!(text.matches(&format!("\tset {set} {{\n")).count(), 1);
        }
    }

    #[test]
    fn hep_is_copied_from_asterisks_user_only() {
        let hep = HepFlow {
            uid: 101,
            to: "[::1]:9061".parse().unwrap(),
            never_from: vec![(5060, 5061), (10_000, 20_000)],
        };
        let text = structure(SipMonitor { group: 7, hep: Some(hep), ..SipMonitor::default() })
            .wire_ruleset();
        let rule = "meta skuid 101 ip6 daddr ::1 udp dport 9061 udp sport != { 5060-5061, 10000-20000 } log prefix \"hep\" group 7 snaplen 65535\n";
        assert!(text.contains(rule), "{text}");
        let none = structure(SipMonitor::default()).wire_ruleset();
        assert!(none.contains("delete chain inet asterguard wire_hep") && !none.contains("skuid"));
    }

    #[test]
    fn older_kernels_get_no_rules_for_tcp() {
        let whole = structure(SipMonitor::default()).wire_ruleset();
        let text = datagrams_only(&whole);
        assert!(
            !text.contains("@ih") && text.contains("udp @th,64,64") && text.contains("log group")
        );
        assert!(whole.contains("update @talked4") && text.matches("update @talked").count() == 2);
        let rest: Vec<_> = whole.lines().filter(|line| !line.contains("@ih")).collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), rest);
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn the_sets_are_those_of_the_file() {
        for set in LIMITED.iter().chain(&COUNTING) {
            let declared = LIMITER.split_once(&format!("\tset {set} {{")).unwrap().1;
            let size = declared.split_once("size ").unwrap().1;
            assert!(size.starts_with(&format!("{LIMITED_MAX}\n")), "{set}");
        }
    }

    #[test]
    fn switched_off_nothing_is_left() {
        let off = structure(SipMonitor { enabled: false, ..SipMonitor::default() }).wire_ruleset();
        let no_limiter =
            structure(SipMonitor { limiter: Limiter::Off, ..SipMonitor::default() }).wire_ruleset();
        for (text, file, chains, sets) in [
            (&off, WIRE, 14, 15),
            (&off, LIMITER, 6, 6),
            (&no_limiter, LIMITER, 6, 6),
            (&off, HEP, 1, 0),
        ] {
            let (gone, declared) = (without(file), file.matches("\n\tchain ").count());
            assert_eq!(gone.matches("delete chain").count(), chains);
            assert_eq!(gone.matches("delete set").count(), sets);
            assert!(declared > chains && text.contains(&gone));
        }
        assert!(!off.contains(" log "), "{off}");
    }
}
