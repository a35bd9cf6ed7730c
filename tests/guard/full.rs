//! More hosts are banned than a set of the kernel holds: those that fit are in, and no other is lost.

use std::process::Command;

use crate::doctor::{findings, verdicts};
use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, elements};

/// A home whose `nft` declares the set of those that may reach no port with so little room.
fn home(netns: &Netns, room: usize) -> Home {
    let home = Home::new(CONFIG);
    let nft = String::from_utf8(netns.try_exec("command -v nft").stdout).unwrap();
    let smaller = format!("/set ban4 {{/,/}}/s/size 1048576/size {room}/");
    home.script("bin/nft", &format!("#!/bin/sh\nsed '{smaller}' | {} \"$@\"\n", nft.trim()));
    home
}

/// The program with that `nft`.
fn program(netns: &Netns, home: &Home) -> Command {
    let path = format!("PATH={}:{}", home.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = netns.command("env");
    command.arg(path).arg(PROGRAM);
    command
}

fn start(netns: &Netns, home: Home) -> Guard {
    let run = home.run(program(netns, &home));
    let guard = Guard::start_in(home, run);
    assert!(!netns.exec("nft list set inet asterguard ban4").contains("1048576"));
    guard
}

fn host(n: u32) -> String {
    format!("198.51.100.{n}")
}

/// How many bans the guard says that the kernel does not take.
fn refused(guard: &Guard) -> u64 {
    guard.status()["sinks"][0]["refused"].as_u64().unwrap()
}

#[test]
fn bans_wait_for_room_in_a_full_set() {
    const ROOM: usize = 3;
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = start(&netns, home(&netns, ROOM));
    // More than are offered at a time.
    for n in 1..=20 {
        guard.order(&["ban", &host(n), "--for", "1h"]);
    }
    guard.order(&["ban", "2001:db8:7::1"]);
    kit::until("17 bans do not fit", || refused(&guard) == 17);
    assert_eq!(addresses(&netns, "ban4").len(), ROOM);
    assert_eq!(addresses(&netns, "ban6"), ["2001:db8:7::"], "other sets have room");

    // It is said, and nothing is forgotten.
    let said = guard.says("the kernel did not take 198.51.100.");
    assert!(said.contains("the set is full"), "{said}");
    let said = guard.says("kernel-sets: ");
    assert!(said.contains("are not in force") && said.contains("; do: "), "{said}");
    let status = guard.order(&["status"]);
    assert!(status.starts_with("DEGRADED (kernel-sets): 21 hosts banned"), "{status}");
    assert!(status.contains("! 17 bans are not in force"), "{status}");
    assert_eq!(guard.ctl(&["status", "--check"]).0, 1);
    let (code, found) = findings(&guard, &netns);
    assert_eq!((code, verdicts(&found, "kernel-sets")), (1, vec!["problem"]), "{found:#?}");
    let (code, differences, _) = guard.ctl(&["verify"]);
    assert_eq!((code, differences.matches("not in the kernel").count()), (1, 17), "{differences}");

    // Whoever is in is let in: others take the places.
    let inside = addresses(&netns, "ban4");
    guard.order(&["unban", &inside[0]]);
    guard.order(&["unban", &inside[1]]);
    kit::until("two others are in", || refused(&guard) == 15);
    let now = addresses(&netns, "ban4");
    assert_eq!(now.len(), ROOM);
    assert!(now.contains(&inside[2]) && !now.contains(&inside[0]), "{inside:?} {now:?}");

    // One that waits, and whom nobody wants banned any more, never gets in.
    let waiting: Vec<_> = (1..=20).map(host).filter(|host| !now.contains(host)).collect();
    let waiting: Vec<_> = waiting.into_iter().filter(|host| !inside.contains(host)).collect();
    guard.order(&["unban", &waiting[0]]);
    kit::until("it does not wait any more", || refused(&guard) == 14);

    // The set is emptied by others, and the guard is killed: what is banned stays banned.
    netns.exec("nft flush set inet asterguard ban4");
    kit::until("the set is full again", || addresses(&netns, "ban4").len() == ROOM);
    let home = guard.kill();
    let guard = start(&netns, home);
    kit::until("14 bans wait again", || refused(&guard) == 14);
    assert_eq!(guard.jail("manual")["currently_banned"], 18);

    // With room for all, all get in, for the rest of their time.
    for n in (1..=20).filter(|n| n % 4 != 0) {
        let (code, _, said) = guard.ctl(&["unban", &host(n)]);
        assert!(matches!(code, 0 | 9), "{code} {said}");
    }
    let left = |n: &u32| n % 4 == 0 && guard.jail("manual").to_string().contains(&host(*n));
    let mut left: Vec<_> = (1..=20).filter(left).map(host).collect();
    while left.len() > ROOM {
        guard.order(&["unban", &left.pop().unwrap()]);
    }
    left.sort();
    kit::until("all are in", || addresses(&netns, "ban4") == left);
    for element in elements(&netns, "ban4") {
        let expires = element.expires.unwrap();
        assert!((3500..=3600).contains(&expires), "{element:?}");
    }
    guard.says("kernel-sets is ok again");
    kit::until("all is well", || guard.status()["health"] == "OK");
    assert_eq!(verdicts(&findings(&guard, &netns).1, "kernel-sets"), ["ok"]);
}

#[test]
fn restore_reports_bans_without_room() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = start(&netns, home(&netns, 2));
    for n in 1..=5 {
        guard.order(&["ban", &host(n), "--for", "1h"]);
    }
    let home = guard.stop();
    netns.exec("nft delete table inet asterguard");
    let mut restore = program(&netns, &home);
    restore.arg("restore").arg("--config").arg(home.path("asterguard.toml"));
    restore.arg("--state-dir").arg(home.path("state"));
    let (code, out, said) = told(&restore.output().unwrap());
    assert_eq!(code, 1, "{out}{said}");
    assert_eq!(out, "2 bans put into the kernel, 0 were there, 0 are over\n");
    assert!(said.contains("3 bans are not in force") && said.contains("is full"), "{said}");
    assert_eq!(addresses(&netns, "ban4").len(), 2);
    // The guard goes on where it ended.
    let guard = start(&netns, home);
    kit::until("three bans wait", || refused(&guard) == 3);
}

#[test]
fn expired_ban_makes_room_for_a_waiting_one() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = start(&netns, home(&netns, 1));
    guard.order(&["ban", &host(1), "--for", "4s"]);
    guard.order(&["ban", &host(2), "--for", "1h"]);
    guard.order(&["ban", &host(3), "--for", "2s"]);
    kit::until("two bans do not fit", || refused(&guard) == 2);
    assert_eq!(addresses(&netns, "ban4"), [host(1)]);
    // The other one is over before there is room.
    kit::until("the long one is in", || addresses(&netns, "ban4") == [host(2)]);
    kit::until("all is well", || guard.status()["health"] == "OK");
    assert_eq!(refused(&guard), 0);
}
