//! Where the wire cannot be had, bans go on without it, and it is said why.

use std::thread;

use asterguard::exchange::capture::nflog_socket;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, EVE, Lab, MALLORY, PBX, wire};

/// An `nft` that refuses what has certain words, as an old one does.
const OLD_NFT: &str = "#!/bin/sh
text=$(cat)
[ -e \"${0%/*}/new\" ] || case $text in *'WORDS'*) echo 'Error: syntax error, unexpected @ih' >&2; exit 1;; esac
printf '%s\\n' \"$text\" | exec REAL \"$@\"
";

/// A guard whose `nft` refuses a ruleset with these words.
fn with_nft_refusing(netns: &Netns, words: &str) -> Guard {
    let home = Home::new(CONFIG);
    let real = netns.exec("command -v nft");
    home.script("bin/nft", &OLD_NFT.replace("WORDS", words).replace("REAL", real.trim()));
    let mut run = home.run(netns.command(PROGRAM));
    let path = std::env::var("PATH").unwrap();
    run.env("PATH", format!("{}:{path}", home.path("bin").display()));
    Guard::start_in(home, run)
}

#[test]
fn wire_ruleset_that_fails_to_load_stops_no_bans() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let netns = Netns::new();
    let guard = with_nft_refusing(&netns, "hook output");
    guard.says("wire: the wire is not available: `nft` refused: Error: syntax error");
    let line = "[Nov 22 01:12:24] NOTICE[17931] chan_sip.c: Registration from \
                '\"1000\" <sip:1000@203.0.113.16>' failed for '192.0.2.66:5060' - Wrong password";
    guard.append("messages", &[line; 5]);
    guard.says("[asterisk-guess] Ban 192.0.2.66 ");
    kit::until("the ban is in force", || {
        netns.exec("nft list set inet asterguard sip4").contains("192.0.2.66")
    });
    let status = guard.order(&["status"]);
    assert!(status.starts_with("DEGRADED (wire): "), "{status}");
    assert!(status.contains("! the wire is not available: "), "{status}");
    assert!(status.contains("unexpected @ih"), "{status}");
    assert_eq!(guard.status()["wire"]["state"], "not available");
    // It is there by itself when what refused it is repaired.
    guard.write("bin/new", "");
    guard.listens();
    assert_eq!(guard.status()["health"], "OK", "{}", guard.order(&["status"]));
}

#[test]
fn who_does_not_want_the_wire_is_not_bothered_with_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = with_nft_refusing(&netns, "hook output");
    guard.says("wire: the wire is not available: `nft` refused: Error: syntax error");
    guard.write("asterguard.toml", &wire("enabled = false"));
    guard.order(&["reload"]);
    assert_eq!(guard.status()["health"], "OK", "{}", guard.order(&["status"]));
}

#[test]
fn older_kernels_show_what_comes_over_udp() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    // As before 1.0.1, or for a kernel before 5.16.
    let guard = with_nft_refusing(&lab.host, "@ih");
    guard.says("the wire is available over UDP only, since the rules for TCP were refused");
    let state = || guard.status()["wire"]["state"].as_str().unwrap().to_owned();
    kit::until("it listens", || state() == "listening over UDP only");
    assert!(guard.order(&["status"]).contains("the wire: listening over UDP only, 0 answers"));
    lab.play(&format!("crack udp {EVE} {PBX} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {EVE} (3 offences, proven, "));
    assert_eq!(lab.play(&format!("crack tcp {MALLORY} {PBX} 20")), "21");
    // What others delete is put back as it was.
    lab.host.exec("nft flush chain inet asterguard wire_answers");
    // The chain of requests has such a rule, too.
    let answers = || lab.host.exec("nft list chain inet asterguard wire_answers");
    kit::until("it is back", || answers().contains("log group 5060"));
    guard.order(&["unban", EVE]);
    lab.play(&format!("crack udp {EVE} {PBX} 1000"));
    kit::until("it is banned again", || guard.count(&format!("[asterisk-wire] Ban {EVE} ")) == 2);
}

#[test]
fn nflog_group_in_use_is_reported() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let netns = Netns::new();
    let listen = || {
        netns.enter();
        nflog_socket(5060).unwrap()
    };
    let other = thread::scope(|scope| scope.spawn(listen).join().unwrap());
    let guard = Guard::start(&netns, CONFIG);
    let said = guard.says("the wire is not available: NFLOG group 5060 is somebody else's");
    assert!(said.contains("; do: "), "{said}");
    assert_eq!(guard.status()["wire"]["state"], "not available");
    drop(other);
    kit::until("it is free again", || guard.status()["wire"]["state"] == "listening");
    guard.says("wire is ok again");
    assert_eq!(guard.count("the wire is not available"), 1, "once");
}
