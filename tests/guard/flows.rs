//! Bans of one port of a host, by hand: packets, answers, restarts.

use serde_json::{Value, json};

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, Netns, SIP, WEB};
use crate::{CONFIG, addresses};

/// A port of a host's, and another one.
const BAD: u16 = 40_000;
const GOOD: u16 = 40_001;

/// Without what the guard would find out of the machine, and with hosts that are never banned.
fn config() -> String {
    CONFIG.replace(
        "[default]\n",
        "[default]\nignoreip = ['127.0.0.0/8', '203.0.113.0/24', '2001:db8:9::/48']\n",
    )
}

fn flow(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn explain(guard: &Guard, whom: &str) -> String {
    let (config, state) = (guard.path("asterguard.toml"), guard.path("state"));
    let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    guard.order(&[&["explain", whom], &places[..]].concat())
}

/// The hosts of what `banned --json` prints.
fn banned(guard: &Guard, whom: &[&str]) -> Vec<String> {
    let (code, text, _) = guard.ctl(&[&["banned", "--json"], whom].concat());
    assert_eq!(code, if text.is_empty() && !whom.is_empty() { 9 } else { 0 });
    let bans = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut hosts: Vec<_> = bans.map(|ban| ban["host"].as_str().unwrap().to_owned()).collect();
    hosts.sort();
    hosts
}

#[test]
fn one_port_of_a_host_is_banned_and_lifted_by_hand() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &config());
    for host in [EVE, EVE_V6] {
        let bad = flow(host, BAD);
        let said = guard.order(&["ban", &bad, "--for", "10m"]);
        assert!(said.starts_with(&format!("{bad} is banned until 2")), "{said}");
        guard.says(&format!("[manual] Ban {bad}"));
        kit::until("it is shut out", || lab.udp_of(host, BAD, SIP) == Dropped);
        assert_eq!((lab.tcp_of(host, BAD, SIP), lab.udp_of(host, BAD, WEB)), (Dropped, Dropped));
        assert_eq!((lab.udp_of(host, GOOD, SIP), lab.tcp_of(host, GOOD, SIP)), (Arrived, Arrived));
    }
    assert_eq!(
        (lab.udp_of(MALLORY, BAD, SIP), lab.udp_of(EVE_V6_TOO, BAD, SIP)),
        (Arrived, Arrived)
    );
    assert_eq!(addresses(&lab.pbx, "ban_flow4"), [format!("{EVE} . {BAD}")]);
    assert_eq!(addresses(&lab.pbx, "ban_flow6"), [format!("{EVE_V6} . {BAD}")]);
    assert_eq!(addresses(&lab.pbx, "ban4"), [""; 0]);

    // In the name of a jail, with its ports.
    guard.order(&["ban", &flow(EVE, GOOD), "--jail", "asterisk-guess"]);
    kit::until("it is shut out", || lab.udp_of(EVE, GOOD, SIP) == Dropped);
    assert_eq!(lab.udp_of(EVE, GOOD, WEB), Arrived);
    assert_eq!(addresses(&lab.pbx, "sip_flow4"), [format!("{EVE} . {GOOD}")]);

    // What is told of them.
    let [bad, good, six] = [flow(EVE, BAD), flow(EVE, GOOD), flow(EVE_V6, BAD)];
    let mut all = [bad.clone(), good.clone(), six.clone()];
    all.sort();
    assert_eq!(banned(&guard, &[]), all);
    assert_eq!(banned(&guard, &[EVE]), [bad.clone(), good.clone()]);
    assert_eq!(banned(&guard, &[&good]), [good.as_str()]);
    assert_eq!(banned(&guard, &[&flow(MALLORY, BAD)]), [""; 0]);
    assert!(guard.order(&["banned"]).contains(&format!("\n{bad} ")));
    assert_eq!(guard.jail("manual")["banned"].as_array().unwrap().len(), 2);
    let packets = |whom: &str| {
        let text = guard.order(&["banned", "--json", whom]);
        serde_json::from_str::<Value>(&text).unwrap()["packets"].clone()
    };
    assert!(packets(&bad).as_u64().is_some_and(|packets| packets >= 3), "{}", packets(&bad));
    let text = explain(&guard, EVE);
    assert!(
        text.starts_with(&format!("{EVE}: not banned as a whole; 2 bans of its ports\n")),
        "{text}"
    );
    assert!(text.contains(&format!("  ban [asterisk-guess] {good}  sip ports, ")), "{text}");
    let text = explain(&guard, &bad);
    assert!(text.starts_with(&format!("{bad}: banned\n")) && !text.contains(&good), "{text}");
    assert!(explain(&guard, &six).starts_with(&format!("{six}: banned\n")));
    assert!(explain(&guard, &flow(EVE, 7)).starts_with(&format!("{EVE}:7: not banned\n")));

    // One that its host's ban holds too, and one that is lifted alone.
    guard.order(&["ban", EVE, "--for", "10m"]);
    kit::until("the host is shut out", || lab.udp_of(EVE, 7, SIP) == Dropped);
    assert!(explain(&guard, &flow(EVE, 7)).starts_with(&format!("{EVE}:7: banned\n")));
    let (code, out, _) = guard.ctl(&["unban", &flow(EVE, 7)]);
    assert_eq!((code, out), (9, format!("{EVE}:7 is not banned: nothing lifted\n")));
    assert_eq!(guard.order(&["unban", &bad]), "1 ban lifted\n");
    kit::until("it is out of the set", || addresses(&lab.pbx, "ban_flow4").is_empty());
    assert_eq!(lab.udp_of(EVE, BAD, SIP), Dropped, "its host is banned");
    // With its host, or with a network.
    assert_eq!(guard.order(&["unban", EVE]), "2 bans lifted\n");
    kit::until("all of it gets through", || lab.udp_of(EVE, GOOD, SIP) == Arrived);
    assert_eq!(guard.order(&["unban", "2001:db8::/32"]), "1 ban lifted\n");
    kit::until("all of it gets through", || lab.udp_of(EVE_V6, BAD, SIP) == Arrived);
    let text = explain(&guard, EVE);
    assert!(text.contains(&format!("  earlier [manual] of {bad} ")), "{text}");
    assert!(!explain(&guard, &good).contains(&format!(" of {bad} ")));
}

#[test]
fn a_port_of_an_exempt_host_is_not_banned() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    for (whom, words) in [
        ("203.0.113.9:40000", "203.0.113.9 is in ignoreip"),
        ("[2001:db8:9::7]:40000", "2001:db8:9::7 is in ignoreip"),
        ("[::ffff:203.0.113.9]:40000", "203.0.113.9 is in ignoreip"),
        ("127.0.0.1:5060", "127.0.0.1 is loopback"),
        ("198.51.100.7:0", "from 1 to 65535"),
        ("198.51.100.0/24:5060", "write an address, a network"),
        (
            "198.51.100.7:http",
            "write an address, a network like 192.0.2.0/24, or an address and port",
        ),
    ] {
        let (code, _, said) = guard.ctl(&["ban", whom]);
        assert_eq!(code, 2, "{whom}: {said}");
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(banned(&guard, &[]), [""; 0]);
    // One that becomes exempt is let in, unless it was banned by hand.
    guard.order(&["ban", "198.51.100.7:40000", "--jail", "asterisk-guess"]);
    kit::until("it is in the set", || !addresses(&netns, "sip_flow4").is_empty());
    guard.write("conf.d/a.toml", "[default]\nignoreip = ['198.51.100.0/24']\n");
    guard.order(&["reload"]);
    guard.says("[asterisk-guess] Unban 198.51.100.7:40000");
    kit::until("it is out of the set", || addresses(&netns, "sip_flow4").is_empty());
}

/// Starts again where a guard has lived.
fn again(home: Home, netns: &Netns) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

#[test]
fn ports_stay_banned_over_restarts_and_whatever_others_do() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut guard = Guard::start(&netns, &config());
    let all = ["198.51.100.7:40000", "198.51.100.7:40001", "[2001:db8::7]:40000"];
    guard.order(&["ban", all[0], all[2], "--for", "1h"]);
    guard.order(&["ban", all[1]]);
    let four = ["198.51.100.7 . 40000", "198.51.100.7 . 40001"];
    let six = ["2001:db8::7 . 40000"];
    let is_there = |netns: &Netns| {
        addresses(netns, "ban_flow4") == four && addresses(netns, "ban_flow6") == six
    };
    kit::until("they are in the kernel", || is_there(&netns));
    for deed in [
        "flush set inet asterguard ban_flow4",
        "delete element inet asterguard ban_flow6 { 2001:db8::7 . 40000 }",
        "flush ruleset",
    ] {
        netns.exec(&format!("nft '{deed}'"));
        kit::until("they are put back", || is_there(&netns));
    }
    assert_eq!(guard.order(&["verify"]).lines().count(), 1, "{}", guard.order(&["verify"]));
    netns.exec("nft add element inet asterguard ban_flow4 '{ 198.51.100.9 . 7 timeout 1h }'");
    let (code, told_of, _) = guard.ctl(&["verify"]);
    assert!(code == 1 && told_of.contains("198.51.100.9:7"), "{told_of}");
    guard.order(&["verify", "--repair"]);
    kit::until("it is out", || is_there(&netns));

    let ends: [fn(Guard) -> Home; 2] = [Guard::stop, Guard::kill];
    for end in ends {
        // The kernel has them still; then it has not.
        for flush in ["", "nft flush ruleset"] {
            let home = end(guard);
            netns.exec(flush);
            guard = again(home, &netns);
            assert_eq!(banned(&guard, &[]), all);
            kit::until("they are in the kernel", || is_there(&netns));
        }
    }
    // Without a guard.
    let home = guard.stop();
    netns.exec("nft flush ruleset");
    let mut restore = netns.command(PROGRAM);
    restore.args(["--json", "restore", "--config"]).arg(home.path("asterguard.toml"));
    let (code, out, said) =
        told(&restore.arg("--state-dir").arg(home.path("state")).output().unwrap());
    assert_eq!(code, 0, "{said}");
    let restored: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(restored["restored"], json!(3), "{restored}");
    assert!(is_there(&netns));

    // Lifted while nobody could tell the kernel.
    let guard = again(home, &netns);
    assert_eq!(guard.order(&["unban", all[1]]), "1 ban lifted\n");
    let guard = again(guard.kill(), &netns);
    assert_eq!(banned(&guard, &[]), [all[0], all[2]]);
    kit::until("it is out", || addresses(&netns, "ban_flow4") == four[..1]);
}
