//! A wall clock that somebody sets by a day, and back by two, while the guard runs.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, Element, elements, wrong_password};

const DAY: i64 = 86_400_000;
const EVE: &str = "198.51.100.14";
/// Who is not banned yet.
const MALLORY: &str = "198.51.100.15";

/// Has what is started see a clock of its own: nothing but root could set the machine's, for all.
fn with_clock(home: &Home, netns: &Netns) -> Command {
    let mut command = netns.command("env");
    command.arg(format!("LD_PRELOAD={}", home.path("clock.so").display()));
    command.arg(format!("CLOCK={}", home.path("clock").display())).arg(PROGRAM);
    home.run(command)
}

fn home() -> Home {
    let home = Home::new(&CONFIG.replace("10m", "1h"));
    home.write("clock.c", include_str!("../kit/clock.c"));
    home.write("clock", "\0\0\0\0\0\0\0\0");
    let [source, library] = ["clock.c", "clock.so"].map(|name| home.path(name));
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([library, source]).status();
    assert!(built.unwrap().success());
    home
}

/// Sets the clock, so many milliseconds off the machine's. The file stays the one that is mapped.
fn set(home: &Home, off: i64) {
    let clock = OpenOptions::new().write(true).open(home.path("clock")).unwrap();
    clock.write_all_at(&off.to_ne_bytes(), 0).unwrap();
}

/// When the guard believes that it is, by what it says of the ban by hand, off the machine's clock.
fn believed(guard: &Guard) -> i64 {
    let since = guard.jail("manual")["banned"][0]["since"].as_i64().unwrap();
    since * 1000 - began(guard)
}

fn began(guard: &Guard) -> i64 {
    guard.read("began").parse().unwrap()
}

/// Seconds that are left of each ban in a set, by the kernel and by the guard, are the same.
fn agree(guard: &Guard, netns: &Netns, set: &str, jail: &str) {
    let jail = guard.jail(jail);
    let bans = jail["banned"].as_array().unwrap();
    // A ban is said when it is decided: the kernel has it a moment later.
    kit::until("each ban is in the kernel", || elements(netns, set).len() == bans.len());
    for Element { address, expires, .. } in elements(netns, set) {
        let ban = bans.iter().find(|ban| ban["host"] == address.as_str()).unwrap();
        let (left, expires) = (ban["left"].as_u64().unwrap(), expires.unwrap());
        assert!(left.abs_diff(expires) <= 2, "{ban} {expires}");
        assert!((3400..=3600).contains(&expires), "{ban} {expires}");
    }
}

#[test]
fn clock_step_of_a_day_changes_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = home();
    let run = with_clock(&home, &netns);
    let mut guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.append("messages", &vec![wrong_password(MALLORY); 3]);
    guard.says(&format!("Ban {EVE} "));
    guard.order(&["ban", "203.0.113.9", "--for", "1h"]);
    fs::write(guard.path("began"), kit::now().millis().to_string()).unwrap();
    kit::until("all is read", || guard.jail("asterisk-guess")["total_failed"] == 8);

    for off in [DAY, -DAY, 0] {
        set(&guard, off);
        guard.says("the clock was set");
        kit::until("it is noticed", || (believed(&guard) - off).abs() < 5000);
        agree(&guard, &netns, "sip4", "asterisk-guess");
        agree(&guard, &netns, "ban4", "manual");
        // And so it is stored.
        let home = guard.stop();
        let run = with_clock(&home, &netns);
        guard = Guard::start_in(home, run);
        agree(&guard, &netns, "sip4", "asterisk-guess");
        agree(&guard, &netns, "ban4", "manual");
    }
    // Neither did anybody's attempts grow old, nor count twice.
    guard.append("messages", &[wrong_password(MALLORY)]);
    kit::until("it is read", || guard.jail("asterisk-guess")["total_failed"] == 9);
    assert_eq!(guard.count(MALLORY), 0);
    set(&guard, DAY);
    kit::until("it is noticed", || (believed(&guard) - DAY).abs() < 5000);
    guard.append("messages", &[wrong_password(MALLORY)]);
    guard.says(&format!("Ban {MALLORY} (5 offences"));
    agree(&guard, &netns, "sip4", "asterisk-guess");

    // While it is down, nobody notices: but the kernel goes on.
    for off in [2 * DAY, -DAY] {
        let home = guard.stop();
        set(&home, off);
        let run = with_clock(&home, &netns);
        guard = Guard::start_in(home, run);
        agree(&guard, &netns, "sip4", "asterisk-guess");
        agree(&guard, &netns, "ban4", "manual");
    }
}
