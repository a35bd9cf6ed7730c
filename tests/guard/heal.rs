//! Others change our table: it is put back at once, and the log says who did what.

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::Guard;
use crate::kit::{self, EVE, Lab, MALLORY, Netns, SIP};
use crate::owner::Owner;
use crate::{CONFIG, addresses, elements};

/// The declarations and rules of our table, in whatever order they were made.
fn structure(netns: &Netns) -> Vec<String> {
    let text = netns.try_exec("nft -s list table inet asterguard").stdout;
    let text = String::from_utf8(text).unwrap();
    let parts = text.trim_start_matches("table inet asterguard {").split("\n\n");
    let plain = parts.map(|part| part.split("elements = {").next().unwrap_or_default());
    let end = |c: char| c == '}' || c.is_whitespace();
    let mut parts: Vec<_> =
        plain.map(|part| part.trim_end_matches(end).trim().to_owned()).collect();
    parts.sort_unstable();
    parts
}

#[test]
fn external_damage_to_the_table_is_repaired() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", "2001:db8::7"]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    let whole = structure(&lab.pbx);
    let bans = |netns: &Netns| (elements(netns, "ban4").len(), elements(netns, "ban6").len());
    assert_eq!(bans(&lab.pbx), (1, 1));
    let mut times = 0;
    for (deed, words) in [
        ("flush ruleset", "deleted table inet asterguard, and "),
        ("delete table inet asterguard", "deleted table inet asterguard, and "),
        ("flush chain inet asterguard prerouting", "deleted rules of chain prerouting, and "),
        ("insert rule inet asterguard prerouting accept", "added rules of chain prerouting: "),
        (
            "flush chain inet asterguard prerouting; delete chain inet asterguard prerouting",
            "deleted chain prerouting, and ",
        ),
        (
            "flush chain inet asterguard prerouting; flush chain inet asterguard passed_input; \
             flush chain inet asterguard passed_forward; \
             flush chain inet asterguard passed_closed; delete set inet asterguard ban4",
            "deleted rules of chain prerouting, and ",
        ),
        ("flush set inet asterguard ban4", "deleted elements of set ban4: put back, 1 bans in "),
        (
            "flush set inet asterguard ports_sip; add element inet asterguard ports_sip { 7 }",
            " elements of set ports_sip",
        ),
        (
            "flush set inet asterguard ban4; flush chain inet asterguard prerouting; \
             flush chain inet asterguard passed_input; \
             flush chain inet asterguard passed_forward; \
             flush chain inet asterguard passed_closed; delete set inet asterguard ban4; \
             add set inet asterguard ban4 { type ipv4_addr; flags interval; }",
            "deleted rules of chain prerouting, and ",
        ),
        (
            "delete table inet asterguard; table inet asterguard { chain prerouting { \
             type filter hook input priority 7; }; }",
            "deleted table inet asterguard, and ",
        ),
        ("table inet asterguard { flags dormant; }", "declared table inet asterguard: put back"),
    ] {
        let before = guard.count(": put back, ");
        lab.pbx.exec(&format!("nft '{deed}'"));
        times += 1;
        let line = guard.says_times(": put back, ", before + 1);
        assert!(line.contains(words) && line.contains("WARNING nft (pid "), "{deed}: {line}");
        assert_eq!(structure(&lab.pbx), whole, "{deed}");
        assert_eq!(bans(&lab.pbx), (1, 1), "{deed}");
        assert_eq!(lab.udp(EVE, SIP), Dropped, "{deed}");
        let left = elements(&lab.pbx, "ban4")[0].expires.unwrap();
        assert!((3570..=3600).contains(&left), "{deed}: {left}");
    }
    assert_eq!(guard.count(": put back, "), times, "{:#?}", guard.log_lines());
    kit::until("nobody fights any more", || guard.status()["health"] == "OK");
}

#[test]
fn own_and_permitted_changes_are_not_repaired() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    lab.pbx.exec("nft add element inet asterguard block4 { 198.51.100.0/24 }");
    lab.pbx.exec("nft add chain inet asterguard mine");
    lab.pbx.exec("nft add rule inet asterguard mine counter");
    lab.pbx.exec("nft add table inet other");
    guard.order(&["reload"]);
    lab.pbx.exec("nft delete chain inet asterguard mine");
    guard.order(&["ban", MALLORY]);
    guard.order(&["unban", MALLORY]);

    // A pause by hand is a pause.
    lab.pbx.exec("nft add element inet asterguard paused { ipv4 timeout 1h, ipv6 timeout 1h }");
    guard.says("nothing is dropped until 20");
    kit::until("the guard knows", || guard.status()["health"] == "PAUSED");
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    assert_eq!(guard.count("put back"), 0, "{:#?}", guard.log_lines());
    // It survives the loss of the table, with its rest; what was put in by hand does not.
    lab.pbx.exec("nft flush ruleset");
    guard.says("put back");
    assert_eq!(addresses(&lab.pbx, "ban4"), [EVE]);
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    let rest = lab.pbx.exec("nft list set inet asterguard paused");
    assert!(rest.contains("expires 59m") || rest.contains("expires 1h"), "{rest}");
    // Ended by hand, it has ended.
    lab.pbx.exec("nft flush set inet asterguard paused");
    guard.says(
        "deleted elements of set paused, and one more change: banned hosts are dropped again",
    );
    kit::until("the guard knows", || guard.status()["health"] == "OK");
    assert_eq!(lab.udp(EVE, SIP), Dropped);
    lab.pbx.exec("nft delete table inet asterguard");
    guard.says_times("put back", 2);
    assert_eq!(lab.udp(EVE, SIP), Dropped);
}

#[test]
fn verify_reports_and_repairs_each_difference() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", MALLORY, "--for", "1h"]);
    kit::until("both are in the kernel", || addresses(&netns, "ban4") == [EVE, MALLORY]);
    let same = "kernel, configuration and memory are the same\n";
    assert_eq!(guard.order(&["verify"]), same);

    // What somebody adds is left alone, until somebody asks.
    netns.exec("nft add element inet asterguard sip4 { 198.51.100.1 timeout 1h }");
    netns.exec("nft add element inet asterguard paused { ipv4, ipv6 }");
    kit::until("the guard knows of the pause", || guard.status()["health"] == "PAUSED");
    let (code, out, said) = guard.ctl(&["verify"]);
    assert_eq!(
        (code, out.as_str()),
        (1, "198.51.100.1 (sip ports): in the kernel, but not banned\n")
    );
    assert_eq!(
        said,
        "asterguard: 1 difference; to repair the kernel's table: asterguard verify --repair\n"
    );
    let (code, out, _) = guard.ctl(&["verify", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["count"], &found["repaired"]), (1, &1.into(), &false.into()));
    let difference = serde_json::json!({
        "kind": "extra", "host": "198.51.100.1", "scope": "sip",
        "message": "198.51.100.1 (sip ports): in the kernel, but not banned"
    });
    assert_eq!(found["differences"][0], difference);
    guard.write("conf.d/more.toml", "[jail.asterisk-guess]\nmaxretry = 7\n");
    let (code, out, _) = guard.ctl(&["verify", "--repair"]);
    let changed = "the configuration has changed since it was read: asterguard reload\n";
    assert!(code == 1 && out.starts_with(changed), "{out}");
    assert_eq!(addresses(&netns, "sip4").len(), 0);
    let (_, _, said) = guard.ctl(&["verify"]);
    let words = "1 difference; to use the configuration as it is now: asterguard reload";
    assert_eq!(said, format!("asterguard: {words}\n"));
    guard.order(&["reload"]);
    assert_eq!(guard.order(&["verify"]), same);
    assert_eq!(guard.status()["health"], "PAUSED", "a pause is nothing to mend");
}

#[test]
fn verify_finds_unrepaired_damage() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", MALLORY, "--for", "1h"]);
    kit::until("both are in the kernel", || addresses(&netns, "ban4") == [EVE, MALLORY]);
    // Nothing can be put back while the table belongs to somebody else.
    let mut owner = Owner::take(&netns);
    owner.does(&format!("delete element inet asterguard ban4 {{ {EVE}, {MALLORY} }}"));
    owner.does(&format!("add element inet asterguard ban4 {{ {MALLORY} timeout 1m }}"));
    kit::until("one is left", || addresses(&netns, "ban4") == [MALLORY]);
    let (code, out, _) = guard.ctl(&["verify"]);
    assert_eq!(code, 1);
    let changed = "table inet asterguard is not of the kind that was declared\n";
    assert!(out.starts_with(changed), "{out}");
    assert!(out.contains(&format!("{EVE} (all ports): banned, but not in the kernel\n")), "{out}");
    assert!(out.contains(&format!("{MALLORY} (all ports): banned until 20")), "{out}");
    let (code, out, said) = guard.ctl(&["verify", "--repair"]);
    assert!(code == 1 && said.contains("not permitted to change the ruleset"), "{out}{said}");

    // Whatever the guard has put back by itself before it is asked: nothing is left to mend.
    drop(owner);
    let (code, _, said) = guard.ctl(&["verify", "--repair"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(addresses(&netns, "ban4"), [EVE, MALLORY]);
    assert_eq!(guard.order(&["verify"]), "kernel, configuration and memory are the same\n");
}
