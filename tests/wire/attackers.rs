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
        ("udp", EVE, PBX, EVE, "proven"),
        ("tcp", MALLORY, PBX, MALLORY, "proven"),
        ("udp", EVE_V6, PBX_V6, "2001:db8:0:a::/64", "proven"),
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
fn connection_of_a_banned_host_is_destroyed() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, CONFIG);
    // The host learns of it at once, and the PBX reads nothing more: a ban alone would be silence.
    assert_eq!(lab.play(&format!("burst {MALLORY} {PBX} 100000")), "ConnectionResetError");
    guard.says(&format!("[asterisk-wire] Ban {MALLORY} "));
    let sockets = || lab.host.exec("ss -Htn state established '( sport = :5060 )'");
    assert_eq!(sockets(), "", "there is no connection any more");
    // While a pause is in force, nobody loses any.
    guard.order(&["unban", MALLORY]);
    guard.order(&["pause", "--for", "5m"]);
    assert_eq!(lab.play(&format!("crack tcp {EVE} {PBX} 20")), "21");
    guard.says(&format!("[asterisk-wire] Ban {EVE} "));
}

#[test]
fn without_wire_no_attacker_is_stopped() {
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
    guard.listens();
    lab.play(&format!("crack udp {EVE} {PBX} 50"));
    guard.says(&format!("[asterisk-wire] Ban {EVE} "));
    guard.write("asterguard.toml", &wire("enabled = false"));
    guard.order(&["reload"]);
    let table = lab.host.exec("nft list table inet asterguard");
    assert!(!table.contains("wire_"), "{table}");
}

#[test]
fn deleted_ruleset_comes_back_with_the_wire() {
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
fn container_pbx_is_observed_by_its_configured_address() {
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

/// Five wrong passwords over `chan_sip`, for which no packet can be forged.
fn wrong_passwords(host: &str) -> Vec<String> {
    let line = |account| {
        format!(
            "[Nov 22 01:12:24] NOTICE[17931] chan_sip.c: Registration from \
             '<sip:{account}@203.0.113.16>' failed for '{host}:5060' - Wrong password"
        )
    };
    (0..5).map(line).collect()
}

/// Those that are banned for it, with the seconds since 1970 at which the kernel lets them go.
fn proven(lab: &Lab) -> Vec<(String, u64)> {
    let now = u64::try_from(kit::now().secs()).unwrap();
    let listing = lab.host.exec("nft -j list set inet asterguard sip4");
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let sets = listing["nftables"].as_array().unwrap().iter();
    let elements = sets.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    let elements = elements.map(|element| &element["elem"]).filter_map(|element| {
        let address = element["val"].as_str()?.to_owned();
        address.starts_with(PROVEN).then(|| (address, now + element["expires"].as_u64().unwrap()))
    });
    let mut proven: Vec<_> = elements.collect();
    proven.sort();
    proven
}

/// Where those hosts are.
const PROVEN: &str = "198.51.100.";

#[test]
fn spoofed_flood_bans_few_and_hides_no_tcp_attacker() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::flooding();
    let mut lab = Lab::new();
    // Answers to strangers leave, and are lost outside.
    lab.host.exec(&format!("ip route add 10.0.0.0/8 via {EVE}"));
    // All thresholds are the built-in ones.
    let guard = guard(&lab.host, &CONFIG.replace("\n[jail.asterisk-wire]\nmaxretry = 3\n", ""));
    guard.order(&["ban", "203.0.113.9"]);
    for n in 1..=20 {
        guard.append("messages", &wrong_passwords(&format!("{PROVEN}{n}")));
    }
    kit::until("they are banned", || proven(&lab).len() == 20);
    let real = proven(&lab);
    assert_eq!(lab.play(&format!("phone udp {PHONE} {PBX} 2")), "done");
    kit::until("the phone is known", || guard.status()["wire"]["logins"] == 2);
    let before = guard.anonymous();

    // Six in each of 90 000 names. Five attempts ban.
    let begin = std::time::Instant::now();
    assert_eq!(lab.play(&format!("flood {PBX} 90000 6")), "done");
    let took = begin.elapsed();
    guard.says(
        "more than 100 unverified bans a minute by the wire: source addresses are being forged",
    );
    lab.play(&format!("crack tcp {MALLORY} {PBX} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {MALLORY} "));

    let (status, after) = (guard.status(), guard.anonymous());
    println!("{took:?}; {}; RssAnon {before:?} before, {after:?} KiB after", status["wire"]);
    assert_eq!(status["health"], "DEGRADED");
    let banned = banned(&guard);
    assert!(banned.contains(&format!("{MALLORY} proven")), "{banned:?}");
    let strangers = banned.iter().filter(|ban| ban.starts_with("10.")).count();
    println!("{strangers} strangers");
    assert!((1..=200).contains(&strangers), "{strangers} strangers");
    // Whoever was banned still is, and for as long.
    assert_eq!(guard.jail("manual")["currently_banned"], 1);
    lab.host.exec("nft get element inet asterguard ban4 '{ 203.0.113.9 }'");
    let still = proven(&lab);
    assert_eq!(still.len(), real.len());
    for ((host, until), (other, ends)) in still.iter().zip(&real) {
        assert!(host == other && until.abs_diff(*ends) <= 2, "{host} {until}, {other} {ends}");
    }
    let known: serde_json::Value =
        serde_json::from_str(&guard.order(&["explain", "--json", PHONE])).unwrap();
    assert_eq!(known["known_good"]["source"], "the wire", "whoever logged in is known: {known:#}");
    let grown = after[0] - before[0];
    // Three jails count each of them, in tables of 65 536 hosts.
    assert!(grown < 48 << 10, "more than the tables of 90 000 hosts: {grown} KiB");
    assert!(
        after[1] < before[1] + 2048,
        "the writer has nothing to do with it: {before:?} {after:?}"
    );
}
