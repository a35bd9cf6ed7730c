//! Lists as users keep them: in the configuration, in files, in feeds.

use serde_json::Value;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::Guard;
use crate::kit::{self, EVE, EVE_V6, Lab, MALLORY, SIP, WEB};
use crate::{CONFIG, elements, wrong_password};

const LISTS: &str = r#"
[lists]
allow = ["192.0.2.200"]
block = ["203.0.113.7"]
allowfiles = "$DIR/allow.list"
blockfiles = ["$DIR/block.list"]
guardedports = [8088]

[feed.drop]
path = "$DIR/drop.list"
"#;

fn start(lab: &Lab) -> Guard {
    let home = kit::guard::Home::new(&format!("{CONFIG}{LISTS}"));
    home.write("allow.list", "# friends\n");
    home.write("block.list", "192.0.2.66 # eve\n");
    home.write("drop.list", "192.0.2.67 ; SBL1\n2001:db8:0:a::/64\nnot a network\n");
    let run = home.run(lab.pbx.command(kit::guard::PROGRAM));
    Guard::start_in(home, run)
}

/// What `list ARGS` prints as JSON.
fn list(guard: &Guard, args: &[&str]) -> Vec<Value> {
    let (code, out, _) = guard.ctl(&[&["list"], args, &["--json"]].concat());
    assert!(code == 0 || (code == 9 && args.len() == 2), "{args:?}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lists_take_effect_and_change_by_a_reload() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab);
    for host in [EVE, MALLORY, EVE_V6] {
        assert_eq!(lab.udp(host, SIP), Dropped, "{host}");
    }
    let blocked = list(&guard, &["block"]);
    assert_eq!(blocked.len(), 2);
    assert_eq!((&blocked[0]["net"], &blocked[0]["line"]), (&"192.0.2.66/32".into(), &1.into()));
    assert_eq!(blocked[0]["file"], guard.path("block.list").to_str().unwrap());
    assert_eq!(blocked[0]["packets"], 1);
    assert!(blocked[0]["bytes"].as_u64().unwrap() > 28);
    assert_eq!((&blocked[1]["packets"], &blocked[1]["line"]), (&0.into(), &19.into()));
    let feeds = list(&guard, &["feed"]);
    assert_eq!((&feeds[0]["networks"], &feeds[0]["skipped"]), (&2.into(), &1.into()));
    assert_eq!(feeds[1]["dropped"]["packets"], 2);
    assert_eq!(list(&guard, &["feed", EVE_V6])[0]["net"], "2001:db8:0:a::/64");
    assert_eq!(list(&guard, &["feed", EVE]).len(), 1, "only what is dropped in all");

    // A friend is one whatever lists and bans say, and may come to the ports of friends.
    lab.pbx.exec("nft 'add element inet asterguard block4 { 192.0.2.66, 198.51.100.0/24 }'");
    guard.write("allow.list", "# friends\n192.0.2.66/31\n");
    guard.order(&["reload"]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));
    assert_eq!((lab.tcp(EVE, WEB), lab.tcp("192.0.2.250", WEB)), (Arrived, Dropped));
    let allowed = list(&guard, &["allow", EVE]);
    assert_eq!((&allowed[0]["origin"], &allowed[0]["line"]), (&"allow".into(), &2.into()));
    let by_hand = list(&guard, &["block", "198.51.100.9"]);
    assert_eq!(
        (&by_hand[0]["origin"], &by_hand[0]["net"]),
        (&"hand".into(), &"198.51.100.0/24".into())
    );
    kit::until("the friend is never banned", || {
        guard.append("messages", &vec![wrong_password(EVE); 5]);
        guard.jail("asterisk-guess")["ignored"].as_u64() >= Some(5)
    });
    assert_eq!(guard.count("] Ban "), 0);
    let (code, _, said) = guard.ctl(&["ban", EVE]);
    assert!(code == 2 && said.contains("in allow ("), "{said}");

    // No friend any more.
    guard.write("allow.list", "");
    guard.order(&["reload"]);
    kit::until("the kernel knows it", || lab.udp(EVE, SIP) == Dropped);
    guard.write("block.list", "");
    guard.write("drop.list", "198.18.0.0/15\n");
    guard.order(&["reload"]);
    lab.pbx.exec("nft flush set inet asterguard block4");
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));
    let sets = lab.pbx.exec("nft list sets inet");
    assert_eq!(sets.matches("set list_").count(), 2, "what is not needed is gone: {sets}");
}

#[test]
fn a_broken_list_changes_nothing() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab);
    guard.write("block.list", "192.0.2.66\n192.0.2.300\n");
    let (code, out, said) = guard.ctl(&["reload"]);
    assert_eq!((code, out.as_str()), (3, ""));
    let expected =
        "block.list:2:1: \"192.0.2.300\" is not an address or network\n2 | 192.0.2.300\n  | ^^^^";
    assert!(said.contains(expected), "{said}");
    assert_eq!(lab.udp(EVE, SIP), Dropped);
    guard.write("block.list", "192.0.2.66\n");

    // A feed that fails stays what it was, and is a problem that is told.
    guard.write("drop.list", "<html>429 Too Many Requests</html>\n");
    guard.order(&["reload"]);
    assert_eq!((lab.udp(MALLORY, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Dropped));
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    let problems = status["problems"].to_string();
    assert!(problems.contains("drop.list is no list of networks (see line 1)"), "{problems}");
    let (code, out, _) = guard.ctl(&["status", "--check"]);
    assert!(code == 1 && out.starts_with("DEGRADED (lists): "), "{out}");
    let said = guard.says("drop.list is no list of networks");
    assert!(said.ends_with("; do: put the list there again, then: asterguard reload"), "{said}");
    guard.write("drop.list", "\n");
    guard.order(&["reload"]);
    assert_eq!(guard.status()["health"], "OK");
    assert_eq!(lab.udp(MALLORY, SIP), Arrived);
}

#[test]
fn lists_come_back_with_the_table_and_stay_over_a_restart() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = start(&lab);
    lab.pbx.exec("nft flush ruleset");
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    guard.says("lists: 4 networks are in the kernel again");
    kit::until("the ban is in the kernel", || elements(&lab.pbx, "sip4").len() == 1);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Dropped));
    // The guard goes, the lists stay; what the next one does not want goes then.
    let home = guard.kill();
    lab.pbx.exec("nft 'add element inet asterguard block4 { 203.0.113.128-203.0.113.140 }'");
    let (config, state) = (home.path("asterguard.toml"), home.path("state"));
    let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    for (host, words) in [
        (EVE, "192.0.2.66 is in block\n"),
        (MALLORY, "192.0.2.67 is in feed\n"),
        (EVE_V6, "2001:db8:0:a::/64 is in feed\n"),
        ("203.0.113.130", "203.0.113.128/28 is in block4 or block6"),
    ] {
        let (code, out, _) = home.ctl_in(&lab.pbx, &[&["explain", host], &places[..]].concat());
        assert_eq!(code, 4);
        assert!(out.contains("not banned, but dropped\n"), "{out}");
        assert!(out.contains(&format!("  dropped: {words}")), "{out}");
        let (code, out, _) = home.ctl_in(&lab.pbx, &[&["banned", host], &places[..]].concat());
        assert_eq!(code, 9);
        assert!(out.contains(&format!("  dropped without a ban: {words}")), "{out}");
    }
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Dropped));
    home.write("block.list", "");
    let run = home.run(lab.pbx.command(kit::guard::PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Dropped));
    assert_eq!(elements(&lab.pbx, "sip4").len(), 1);
    guard.stop();
    assert_eq!(lab.udp(MALLORY, SIP), Dropped);
}

#[test]
fn packets_of_banned_hosts_are_shown() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", EVE_V6]);
    guard.order(&["ban", MALLORY]);
    kit::until("the bans are in force", || {
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)) == (Dropped, Dropped)
    });
    let banned = || -> Vec<Value> {
        let out = guard.order(&["banned", "--json"]);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let of =
        |bans: &[Value], host: &str| bans.iter().find(|ban| ban["host"] == host).cloned().unwrap();
    let before = banned();
    assert_eq!(before.len(), 3);
    assert_eq!(of(&before, MALLORY)["packets"], 0);
    let packets = of(&before, EVE)["packets"].as_u64().unwrap();
    assert!(packets > 0);
    assert_eq!((lab.udp(EVE, SIP), lab.tcp(EVE_V6, WEB)), (Dropped, Dropped));
    let after = banned();
    assert!(of(&after, EVE)["packets"].as_u64().unwrap() > packets);
    assert!(of(&after, EVE)["bytes"].as_u64().unwrap() > packets * 28);
    assert!(of(&after, EVE)["knocked"].is_i64());
    assert!(of(&after, "2001:db8:0:a::/64")["knocked"].is_i64());
    assert_eq!(of(&after, MALLORY)["knocked"], Value::Null);
    let text = guard.order(&["banned", EVE]);
    let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        (row[0], row[1], row[2], row[row.len() - 1]),
        (EVE, "manual", "all", "ago"),
        "{text}"
    );
    let status = guard.jail("manual");
    assert_eq!(of(status["banned"].as_array().unwrap(), EVE)["jail"], Value::Null);
    assert!(of(status["banned"].as_array().unwrap(), EVE)["packets"].as_u64() > Some(packets));
}

#[test]
fn renew_keeps_a_sending_host_banned() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let config = CONFIG.replace("bantime = \"10m\"", "bantime = \"6s\"\nrenew = true");
    let guard = Guard::start(&lab.pbx, &config);
    for host in [EVE, MALLORY] {
        guard.append("messages", &vec![wrong_password(host); 5]);
        guard.says(&format!("[asterisk-guess] Ban {host}"));
    }
    kit::until("the bans are in force", || lab.udp(EVE, SIP) == Dropped);
    kit::until("the ban is renewed", || {
        assert_eq!(lab.udp(EVE, SIP), Dropped);
        guard.count(&format!("[asterisk-guess] Renew {EVE} (still sending)")) > 1
    });
    assert_eq!(guard.count(&format!("[asterisk-guess] Unban {MALLORY}")), 1);
    assert_eq!(guard.count("] Renew "), guard.count(&format!("] Renew {EVE} ")));
    guard.says(&format!("[asterisk-guess] Unban {EVE}"));
    kit::until("it is over", || lab.udp(EVE, SIP) == Arrived);
}
