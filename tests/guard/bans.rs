//! From a line in a log to a packet that does not arrive.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, PATIENCE};
use crate::kit::{self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, MALLORY_V6, Netns, SIP, WEB};
use crate::{CONFIG, addresses, elements, large_packet_line, record, wrong_password};

#[test]
fn attacker_is_banned_once_for_bantime() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));

    guard.append("messages", &vec![wrong_password(MALLORY); 4]);
    guard.append("messages", &vec![wrong_password(EVE); 40]);
    let said = guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    assert!(said.contains("NOTICE"), "{said}");
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    let held = elements(&lab.pbx, "sip4");
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].address.as_str(), held[0].timeout), (EVE, Some(600)));
    assert_eq!(held[0].comment.as_deref(), Some("asterisk-guess"));
    assert_eq!(addresses(&lab.pbx, "ban4"), [""; 0]);

    // The jail closes SIP, to this host alone.
    assert_eq!((lab.udp(EVE, SIP), lab.tcp(EVE, SIP)), (Dropped, Dropped));
    assert_eq!((lab.tcp(EVE, WEB), lab.ping(EVE)), (Arrived, Arrived));
    assert_eq!((lab.udp(MALLORY, SIP), lab.tcp(MALLORY, SIP)), (Arrived, Arrived));

    // Lines that were on their way when the ban took hold are no reason for another one.
    guard.append("messages", &vec![wrong_password(EVE); 40]);
    kit::until("all lines are read", || guard.status()["sources"][0]["lines"] == 84);
    assert_eq!(guard.count("] Ban "), 1, "{:#?}", guard.log_lines());
    let jail = guard.jail("asterisk-guess");
    assert_eq!((&jail["total_banned"], &jail["currently_banned"]), (&1.into(), &1.into()));
    assert_eq!(jail["banned"][0]["rule"], "asterisk-sip/wrong-password");
}

#[test]
fn unknown_caller_is_banned_from_all_ports() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.append("messages", &vec![record(&large_packet_line(EVE)); 9]);
    guard.says(&format!("[asterisk-scan] Ban {EVE}"));
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!((lab.tcp(EVE, WEB), lab.ping(EVE)), (Dropped, Dropped));
    assert_eq!((lab.tcp(MALLORY, WEB), lab.ping(MALLORY)), (Arrived, Arrived));
    let held = elements(&lab.pbx, "ban4");
    // Less by what it took from the line to the kernel.
    let [only] = &held[..] else { panic!("{held:?}") };
    assert!(only.timeout.is_some_and(|span| (3590..=3600).contains(&span)), "{held:?}");
    assert_eq!(only.comment.as_deref(), Some("asterisk-scan"));
}

#[test]
fn an_ipv6_attacker_is_banned_with_its_network() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    // Five offences from two addresses of one /64, four from another network.
    let lines = [EVE_V6, EVE_V6_TOO, MALLORY_V6].map(wrong_password);
    let [one, other, neighbour] = &lines;
    let attack = [one, neighbour, other, neighbour, one, neighbour, other, neighbour, one];
    guard.append("messages", &attack);
    guard.says("[asterisk-guess] Ban 2001:db8:0:a::/64");
    kit::until("the host is shut out", || lab.udp(EVE_V6, SIP) == Dropped);
    assert_eq!((lab.udp(EVE_V6_TOO, SIP), lab.tcp(EVE_V6_TOO, SIP)), (Dropped, Dropped));
    assert_eq!((lab.udp(MALLORY_V6, SIP), lab.udp(EVE, SIP)), (Arrived, Arrived));
    assert_eq!(addresses(&lab.pbx, "sip6"), ["2001:db8:0:a::"]);
    assert_eq!(guard.count("] Ban "), 1);
}

#[test]
fn the_kernel_ends_a_ban_and_the_guard_says_so() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &CONFIG.replace("bantime = \"10m\"", "bantime = 2"));
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    // While the guard cannot move, the kernel lets go all the same.
    guard.signal("STOP");
    kit::until("the ban is over", || lab.udp(EVE, SIP) == Arrived);
    assert_eq!(elements(&lab.pbx, "sip4"), []);
    assert_eq!(guard.count("Unban"), 0);
    guard.signal("CONT");
    guard.says(&format!("[asterisk-guess] Unban {EVE}"));
    assert_eq!(guard.jail("asterisk-guess")["currently_banned"], 0);
    // And again from the beginning.
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says_times(&format!("[asterisk-guess] Ban {EVE}"), 2);
    guard.says_times(&format!("[asterisk-guess] Unban {EVE}"), 2);
    kit::until("the kernel lets it go", || elements(&lab.pbx, "sip4").is_empty());
}

#[test]
fn a_ban_takes_hold_at_once() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &CONFIG.replace("maxretry = 5", "maxretry = 1"));
    // The kernel itself says when an element is there. The guard listens to it too.
    let listeners =
        || netns.exec("awk '$2 == 12 && $4 !~ /^0+$/' /proc/net/netlink").lines().count();
    let before = listeners();
    let mut monitor =
        netns.command("nft").args(["monitor", "elements"]).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(monitor.stdout.take().unwrap());
    let (said, hear) = mpsc::channel();
    thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| said.send((Instant::now(), line)))
    });
    kit::until("the monitor listens", || listeners() > before);
    let mut spans: Vec<_> = (1..=50)
        .map(|n| {
            let element = format!(" 198.51.100.{n} ");
            let begin = Instant::now();
            guard.append("messages", &[wrong_password(element.trim())]);
            loop {
                let (then, line) = hear.recv_timeout(PATIENCE).unwrap();
                if line.starts_with("add") && line.contains(&element) {
                    break then - begin;
                }
            }
        })
        .collect();
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    spans.sort();
    let (median, p99) = (spans[25], spans[49]);
    eprintln!("from the line to the kernel's set: median {median:?}, p99 {p99:?} of 50");
    assert!(median < Duration::from_millis(100), "{median:?}");
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    assert_eq!(addresses(&netns, "sip4").len(), 50);
}
