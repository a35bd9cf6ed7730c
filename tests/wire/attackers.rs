//! Whom the wire finds, with nothing in any log.

use crate::kit::guard::Guard;
use crate::kit::{self, Netns, Peer};
use crate::{
    CONFIG, EVE, EVE_V6, Lab, MALLORY, MALLORY_V6, PBX, PBX_V6, PHONE, banned, guard, plugged, wire,
};

/// A PBX behind the machine of the guard.
const CONTAINER: &str = "172.17.0.2";

/// Passwords that may reach the PBX, with maxretry 3.
const MOST: u32 = 5;
/// The same, when the machine has so much else to do that the guard gets no CPU for a while.
const MOST_BUSY: u32 = 50;

#[test]
fn guessing_is_stopped_over_udp_and_tcp_by_both_families() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, CONFIG);
    let (mut before, mut all) = (0, Vec::new());
    for (transport, host, pbx, network, evidence) in [
        ("udp", EVE, PBX, EVE, "unverified"),
        ("tcp", MALLORY, PBX, MALLORY, "proven"),
        ("udp", EVE_V6, PBX_V6, "2001:db8:0:a::/64", "unverified"),
        ("tcp", MALLORY_V6, PBX_V6, "2001:db8:0:b::/64", "proven"),
    ] {
        lab.play(&format!("crack {transport} {host} {pbx} 1000"));
        let ban = guard.says(&format!("[asterisk-wire] Ban {network} "));
        assert!(ban.contains(&format!("3 offences, {evidence}, wire/refused, ports sip")), "{ban}");
        let reached = lab.passwords() - before;
        println!("{transport} {host}: {reached} passwords reached the PBX");
        assert!((3..=MOST_BUSY).contains(&reached), "{transport} {host}: {reached}");
        before += reached;
        all.push(reached);
    }
    all.sort_unstable();
    assert!(all[1] <= MOST, "{all:?}");
    let status = guard.status();
    assert_eq!(status["wire"]["lost"], 0, "{status:#}");
    assert_eq!(status["sources"][0]["hits"], 0, "no log said anything");
    let explained = guard.order(&["explain", EVE]);
    assert!(explained.contains("wire/refused") && explained.contains("the wire"), "{explained}");
}

#[test]
fn without_the_wire_nobody_is_stopped() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.host, &wire("enabled = false"));
    assert_eq!(lab.play(&format!("crack udp {EVE} {PBX} 50")), "51");
    assert_eq!(lab.passwords(), 50);
    assert_eq!(guard.status()["wire"]["state"], "off");
    let table = lab.host.exec("nft list table inet asterguard");
    assert!(!table.contains("wire"), "{table}");
    // Switched on, it takes effect without a restart; and off again.
    guard.write("asterguard.toml", &wire("group = 77"));
    guard.order(&["reload"]);
    kit::until("the guard listens", || guard.status()["wire"]["state"] == "listening");
    lab.play(&format!("crack udp {EVE} {PBX} 50"));
    guard.says(&format!("[asterisk-wire] Ban {EVE} "));
    guard.write("asterguard.toml", &wire("enabled = false"));
    guard.order(&["reload"]);
    let table = lab.host.exec("nft list table inet asterguard");
    assert!(!table.contains("wire_"), "{table}");
}

#[test]
fn a_ruleset_that_is_gone_comes_back_with_the_wire() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, CONFIG);
    for harm in ["flush ruleset", "flush chain inet asterguard wire_answers"] {
        lab.host.exec(&format!("nft {harm}"));
        kit::until("the wire is back", || {
            lab.host.exec("nft list ruleset").contains("log group 5060")
        });
    }
    lab.play(&format!("crack tcp {MALLORY} {PBX} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {MALLORY} "));
}

#[test]
fn a_pbx_in_a_container_is_seen_if_its_address_is_named() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let (host, outside) = plugged();
    let container = Netns::new();
    host.exec(&format!(
        "ip link add veth0 type veth peer name eth0 netns {} && ip link set veth0 up && \
         ip address add 172.17.0.1/24 dev veth0 && sysctl -qw net.ipv4.ip_forward=1",
        container.name()
    ));
    container.exec(&format!(
        "ip link set eth0 up && ip address add {CONTAINER}/24 dev eth0 && \
         ip route add default via 172.17.0.1"
    ));
    outside.exec(&format!("ip route add 172.17.0.0/24 via {PBX}"));
    let mut pbx = Peer::run(&container, include_str!("../kit/sip.py"), &["serve"]);
    let mut others = Peer::run(&outside, include_str!("../kit/sip.py"), &["play"]);

    let guard = guard(&host, CONFIG);
    assert_eq!(others.ask(&format!("crack udp {EVE} {CONTAINER} 20")), "21", "not named: not seen");
    assert_eq!(guard.status()["wire"]["answers"], 0);

    guard.write("asterguard.toml", &wire(&format!("forward = '{CONTAINER}'")));
    guard.order(&["reload"]);
    let before: u32 = pbx.ask("").parse().unwrap();
    others.ask(&format!("crack udp {MALLORY} {CONTAINER} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {MALLORY} "));
    let reached = pbx.ask("").parse::<u32>().unwrap() - before;
    assert!((3..=MOST_BUSY).contains(&reached), "{reached}");
}

#[test]
fn a_flood_in_others_names_bans_few_of_them_and_hides_nobody_over_tcp() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::flooding();
    let mut lab = Lab::new();
    // Answers to strangers leave, and are lost outside.
    lab.host.exec(&format!("ip route add 10.0.0.0/8 via {EVE}"));
    let config = CONFIG.replace("[default]", "[default]\nmaxunverified = 20");
    let guard = guard(&lab.host, &config);
    guard.order(&["ban", "198.51.100.9"]);
    assert_eq!(lab.play(&format!("phone udp {PHONE} {PBX} 2")), "done");
    kit::until("the phone is known", || guard.status()["wire"]["logins"] == 2);
    let before = guard.resident();

    // Five in each of 90 000 names. Three attempts ban.
    assert_eq!(lab.play(&format!("flood {PBX} 90000 5")), "done");
    guard.says("more than 20 unverified bans a minute: somebody forges packets");
    lab.play(&format!("crack tcp {MALLORY} {PBX} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {MALLORY} "));

    let status = guard.status();
    println!("{}; {} KiB more resident", status["wire"], guard.resident() - before);
    assert_eq!(status["health"], "DEGRADED");
    let banned = banned(&guard);
    assert!(banned.contains(&format!("{MALLORY} proven")), "{banned:?}");
    let strangers = banned.iter().filter(|ban| ban.starts_with("10.")).count();
    assert!((1..=60).contains(&strangers), "{strangers} strangers");
    assert_eq!(guard.jail("manual")["currently_banned"], 1, "whoever was banned still is");
    lab.host.exec("nft get element inet asterguard ban4 '{ 198.51.100.9 }'");
    let known: serde_json::Value =
        serde_json::from_str(&guard.order(&["explain", "--json", PHONE])).unwrap();
    assert_eq!(known["known_good"]["source"], "the wire", "whoever logged in is known: {known:#}");
    assert!(guard.resident() - before < 64 << 10, "{} KiB", guard.resident() - before);
}
