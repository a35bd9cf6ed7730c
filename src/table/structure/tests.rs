//! Tests of what is told to the kernel of a structure, and of what is refused of it.

use super::*;

fn scope(name: &str, ports: Ports, blocktype: Blocktype, ipv6prefix: u8) -> Scope {
    Scope::further(name, ports, blocktype, ipv6prefix)
}

pub(crate) fn with(further: Vec<Scope>) -> Structure {
    let sip = Ports::Ranges(vec![(5060, 5061), (5160, 5160)]);
    let mut scopes =
        vec![Scope::builtin("all", Ports::All, 64, "ban"), Scope::builtin("sip", sip, 64, "sip")];
    scopes.extend(further);
    Structure {
        scopes,
        jails: Vec::new(),
        allow: Vec::new(),
        lists: Vec::new(),
        geofence: None,
        guarded: Vec::new(),
        wire: SipMonitor::default(),
        served: Vec::new(),
        wrapped: BTreeSet::new(),
        heard: BTreeSet::new(),
        services: ServicePorts::default(),
    }
}

#[test]
fn what_a_text_declares_is_found() {
    let web = scope("web", Ports::Ranges(vec![(80, 80)]), Blocktype::Drop, 48);
    let text = with(vec![web]).ruleset();
    let declared: std::collections::BTreeSet<_> = declarations(&text).collect();
    for (kind, name) in [
        ("chain", "prerouting"),
        ("chain", "refuse"),
        ("set", "ban4"),
        ("set", "paused"),
        ("set", "ports_sip"),
        ("set", "ports_web"),
        ("set", "scope_web_drop_48_v6"),
        ("set", "scope_web_drop_48_flow6"),
        ("set", "ban_flow4"),
        ("set", "passed6"),
        ("set", "heard_ports"),
        ("chain", "passed_forward"),
        ("counter", "fed"),
    ] {
        assert!(declared.contains(&(kind, name)), "{kind} {name}");
    }
    assert_eq!(declared.len(), 45, "{declared:?}");
}

#[test]
fn the_values_of_the_configuration_come_first() {
    let text = with(Vec::new()).ruleset();
    let start =
        "define sip_ports = { 5060-5061, 5160 }\ndefine ipv6_mask = ffff:ffff:ffff:ffff::\n";
    assert!(text.starts_with(start), "{text}");
    let (_, rest) = text.split_once(INCLUDE).unwrap();
    assert!(
        rest.starts_with("\ntable inet asterguard {\n\tchain passed_input {"),
        "nothing else follows if nothing is asked for: {rest}"
    );
    assert!(!text.contains("flush ruleset"));
}

#[test]
fn masks_have_all_lengths() {
    for (bits, text) in [
        (0, "::"),
        (1, "8000::"),
        (56, "ffff:ffff:ffff:ff00::"),
        (255, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ] {
        assert_eq!(mask(bits).to_string(), text);
    }
    assert_eq!(mask(128), mask(255));
}

#[test]
fn sets_have_names_of_their_own() {
    let web = Ports::Ranges(vec![(80, 80)]);
    let structure = with(vec![
        scope("all", Ports::All, Blocktype::Drop, 56),
        scope("all", Ports::All, Blocktype::Reject, 64),
        scope("sip", web.clone(), Blocktype::Reject, 64),
        scope("web", web.clone(), Blocktype::Drop, 64),
        scope("web_drop_64_v4", web.clone(), Blocktype::Drop, 64),
        scope("web_drop_64_flow4", web.clone(), Blocktype::Drop, 64),
        scope("web_drop_64", web.clone(), Blocktype::Drop, 64),
        scope("flow", web.clone(), Blocktype::Drop, 64),
        scope(&"x".repeat(1000), web, Blocktype::Drop, 64),
    ]);
    let text = structure.ruleset();
    for (scope, id) in structure.scopes.iter().zip(0..) {
        for (kind, set) in scope.sets() {
            assert_eq!(text.matches(&format!("set {set} {{")).count(), 1, "{set}");
            assert!(set.len() <= 96, "{set}");
            assert!(is_name(&set));
            assert_eq!(structure.scope_of_set(&set), Some((ScopeId(id), kind)));
        }
    }
    for other in ["allow4", "block6", "paused", "ports_web", "ban", "ban_flow", "4", ""] {
        assert_eq!(structure.scope_of_set(other), None, "{other}");
    }
    assert_eq!(text.matches("set ports_sip {").count(), 1, "the include has it");
    assert_eq!(text.matches("set ports_web {").count(), 1);
}

#[test]
fn hostile_names_stay_names() {
    let evil = "x {}; flush ruleset\n#\u{e4}";
    let scope = scope(evil, Ports::Ranges(Vec::new()), Blocktype::Drop, 64);
    assert_eq!(scope.set(SetKind::Hosts, false), "scope_x_____flush_ruleset____drop_64_v4");
    let text = with(vec![scope]).ruleset();
    assert!(!text.contains("flush ruleset") && !text.contains(evil), "{text}");
    assert!(
        text.contains("add element inet asterguard ports_x_____flush_ruleset___ { 0 }"),
        "{text}"
    );
}

#[test]
fn allowed_networks_are_merged() {
    let mut structure = with(Vec::new());
    for net in ["10.1.0.0/16", "10.0.0.7/8", "192.0.2.1/32", "2001:db8::1/128"] {
        structure.allow.push(net.parse().unwrap());
    }
    let text = structure.ruleset();
    assert!(
        text.contains("add element inet asterguard allow4 { 10.0.0.0/8, 192.0.2.1/32 }\n"),
        "{text}"
    );
    assert!(text.contains("add element inet asterguard allow6 { 2001:db8::1/128 }\n"), "{text}");
}

#[test]
fn each_subject_has_a_set_of_its_kind() {
    let structure = with(vec![scope("all", Ports::All, Blocktype::Drop, 128)]);
    let set = |scope, subject: &str| {
        let (set, _) = structure.place(ScopeId(scope), subject.parse().unwrap())?;
        Ok(set)
    };
    assert_eq!(set(0, "192.0.2.1").unwrap(), "ban4");
    assert_eq!(set(1, "2001:db8::/64").unwrap(), "sip6");
    assert_eq!(set(1, "2001:db8::7").unwrap(), "sip6", "one address of a network");
    assert_eq!(set(2, "2001:db8::").unwrap(), "scope_all_drop_128_v6");
    assert_eq!(set(0, "192.0.2.1:5060").unwrap(), "ban_flow4");
    assert_eq!(set(1, "[2001:db8::]:5060").unwrap(), "sip_flow6");
    assert_eq!(set(2, "[2001:db8::7]:5060").unwrap(), "scope_all_drop_128_flow6");
    assert_eq!(set(0, "192.0.2.0/31").unwrap(), "ban_net4");
    assert_eq!(set(1, "2001:db8::/48").unwrap(), "sip_net6");
    // Its key in a set of hosts would be that of its network.
    assert_eq!(set(0, "2001:db8::").unwrap(), "ban_net6");
    assert_eq!(set(2, "2001:db8::/64").unwrap(), "scope_all_drop_128_net6");
    assert_eq!(set(3, "192.0.2.1"), Err(NoScope(3)));
}
