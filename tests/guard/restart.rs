//! What is stored, and taken up at the next start: of the guard, or of the machine.

use std::fs;
use std::process::Command;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, EVE, Lab, Netns, SIP};
use crate::{CONFIG, addresses, elements, wrong_password};

/// Starts again where a guard has lived.
fn again(home: Home, netns: &Netns) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

/// `restore`, with the configuration and state of a home.
fn restore(home: &Home, netns: &Netns) -> Told {
    let mut command: Command = netns.command(PROGRAM);
    command.args(["--json", "restore", "--config"]).arg(home.path("asterguard.toml"));
    told(&command.arg("--state-dir").arg(home.path("state")).output().unwrap())
}

/// The only ban of a jail as `status` shows it.
fn ban(guard: &Guard, jail: &str) -> serde_json::Value {
    let banned = guard.jail(jail)["banned"].clone();
    assert_eq!(banned.as_array().map(Vec::len), Some(1), "{jail}: {banned}");
    banned[0].clone()
}

#[test]
fn a_ban_keeps_its_details_over_stop_and_kill() {
    if !kit::usable() {
        return;
    }
    let ends: [fn(Guard) -> Home; 2] = [Guard::stop, Guard::kill];
    for end in ends {
        let netns = Netns::new();
        let guard = Guard::start(&netns, CONFIG);
        guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
        guard.says("Ban 198.51.100.14 ");
        // An order that is answered is stored, and with it all that came before.
        guard.order(&["ban", "203.0.113.9"]);
        let before = ban(&guard, "asterisk-guess");
        let mut guard = again(end(guard), &netns);
        // And once more, so that what was taken up is stored too.
        for _ in 0..2 {
            let after = ban(&guard, "asterisk-guess");
            for field in ["host", "scope", "since", "offences", "evidence", "rule"] {
                assert_eq!(after[field], before[field], "{field}");
            }
            let (then, now) = (before["left"].as_u64().unwrap(), after["left"].as_u64().unwrap());
            assert!(now <= then && now + 20 > then, "{then} {now}");
            assert_eq!(ban(&guard, "manual")["left"], serde_json::Value::Null);
            assert_eq!(guard.status()["health"], "OK");
            guard = again(end(guard), &netns);
        }
    }
}

#[test]
fn a_lifted_ban_does_not_come_back() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", "203.0.113.9"]);
    guard.order(&["ban", "203.0.113.10", "--for", "1h"]);
    kit::until("both are in the kernel", || addresses(&netns, "ban4").len() == 2);
    let held = elements(&netns, "ban4");
    guard.order(&["unban", "203.0.113.0/24"]);
    kit::until("they are out", || addresses(&netns, "ban4").is_empty());
    let home = guard.kill();
    // As if it had been killed before it could tell the kernel.
    let left = held[0].expires.unwrap();
    netns.exec(&format!(
        "nft add element inet asterguard ban4 '{{ 203.0.113.9 comment \"manual\", 203.0.113.10 timeout {left}s comment \"manual\" }}'"
    ));
    let guard = again(home, &netns);
    kit::until("they are out again", || addresses(&netns, "ban4").is_empty());
    assert_eq!(guard.jail("manual"), serde_json::Value::Null);
}

#[test]
fn after_a_reboot_bans_are_back_before_the_guard_is() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", "203.0.113.9"]);
    guard.order(&["ban", "2001:db8:0:a::66", "--jail", "asterisk-scan", "--for", "30m"]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    let home = guard.kill();
    lab.pbx.exec("nft flush ruleset");
    assert_eq!(lab.udp(EVE, SIP), Arrived);

    let (code, out, said) = restore(&home, &lab.pbx);
    assert_eq!(code, 0, "{said}");
    let done = r#"{"result":"done","restored":3,"found":0,"expired":0}"#;
    assert_eq!(out.trim(), done);
    assert_eq!(lab.udp(EVE, SIP), Dropped);
    let left = elements(&lab.pbx, "ban4").iter().map(|e| e.expires).collect::<Vec<_>>();
    assert!(matches!(left[..], [Some(3500..=3600), None]), "{left:?}");
    // Twice is as good as once.
    assert!(restore(&home, &lab.pbx).1.contains(r#""restored":0,"found":3"#));

    let guard = again(home, &lab.pbx);
    assert!(guard.says("bans found in force").contains("3 bans found"));
    assert_eq!(guard.status()["health"], "OK");
    // A guard that runs needs no help.
    let (code, _, said) = restore(&guard, &lab.pbx);
    assert!(code == 1 && said.contains("running already"), "{said}");

    // Without `restore`, the guard does it itself.
    let home = guard.stop();
    lab.pbx.exec("nft flush ruleset");
    let guard = again(home, &lab.pbx);
    guard.says("3 are put back there");
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
}

#[test]
fn without_a_state_file_the_structure_is_there() {
    if !kit::usable() {
        return;
    }
    let (netns, home) = (Netns::new(), Home::new(CONFIG));
    let (code, out, said) = restore(&home, &netns);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    netns.exec("nft list set inet asterguard sip4");
    assert!(!home.path("state").exists(), "nothing was made");
}

#[test]
fn a_damaged_state_file_is_told_and_does_not_stop_anything() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", "203.0.113.9", "--for", "1h"]);
    kit::until("it is in the kernel", || addresses(&netns, "ban4").len() == 1);
    let home = guard.stop();
    fs::write(home.path("state/asterguard.db"), "x".repeat(5000)).unwrap();

    // `restore` leaves the file alone.
    let (code, _, said) = restore(&home, &netns);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("not a database") && said.contains("what could be read"), "{said}");
    assert_eq!(fs::read_to_string(home.path("state/asterguard.db")).unwrap(), "x".repeat(5000));
    assert_eq!(addresses(&netns, "ban4"), ["203.0.113.9"]);

    // The guard keeps it aside, and takes the kernel's word for the bans.
    let guard = again(home, &netns);
    guard.says("could not be used");
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    assert!(status["problems"].to_string().contains("asterguard.db.broken-"), "{status}");
    assert!(ban(&guard, "manual")["left"].as_u64().unwrap() > 3500);
    let guard = again(guard.kill(), &netns);
    assert_eq!(guard.status()["health"], "OK");
    assert!(guard.says("of the stored bans").contains("1 are in the kernel"));
}

/// What the jails `before` banned is taken up by a guard with the configuration `after`: hosts in the
/// kernel's set for SIP, after both were lost.
fn taken_up(before: &str, after: &str) -> (Guard, Netns) {
    let netns = Netns::new();
    let guard = Guard::start(&netns, before);
    for host in ["198.51.100.1", "198.51.100.2"] {
        guard.append("messages", &vec![wrong_password(host); 5]);
        guard.says(&format!("Ban {host} "));
    }
    let home = guard.stop();
    netns.exec("nft flush ruleset");
    home.write("asterguard.toml", after);
    (again(home, &netns), netns)
}

#[test]
fn whom_the_configuration_ignores_now_is_not_taken_up() {
    if !kit::usable() {
        return;
    }
    let after = CONFIG.replace("[default]", "[default]\nignoreip = ['198.51.100.2']");
    let (_guard, netns) = taken_up(CONFIG, &after);
    kit::until("one is back", || addresses(&netns, "sip4") == ["198.51.100.1"]);
}

#[test]
fn bans_of_a_jail_that_is_gone_are_manual() {
    if !kit::usable() {
        return;
    }
    let other =
        "[jail.asterisk-guess]\nenabled = false\n[jail.other]\nport = 'sip'\nclass = 'guess'";
    let (guard, netns) = taken_up(&CONFIG.replace("[jail.asterisk-guess]", other), CONFIG);
    kit::until("both are back", || addresses(&netns, "sip4").len() == 2);
    assert_eq!(guard.jail("manual")["currently_banned"], 2);
}
