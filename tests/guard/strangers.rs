//! Millions of hosts in the log of a real guard, and one that comes back among them.

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::kit::guard::{Guard, Home};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, wrong_password};

/// How many strangers there are in the short form, or else `SOURCES`.
const STRANGERS: u32 = 332_000;
/// Lines that are written at once.
const PIECE: u32 = 4000;
/// So many more than a jail's table has entries, and it is full, and what was stored of it is, too.
const FULL: u32 = 232_000;
/// Bytes after which the log is rotated, and what has been read of it deleted.
const ROTATED: u64 = 16 << 20;
/// Lines that may wait to be read.
const WAITING: u64 = 200_000;
/// Who comes back once the tables are full, how often, and after how many strangers each time. Five attempts
/// ban. His first may make room for one of them, as anybody's who came once: one chance in sixteen.
const ATTACKER: &str = "198.51.100.7";
const ATTEMPTS: u32 = 8;
const EACH: u32 = 8000;
/// Kilobytes by which the guard's memory may differ once its tables are full: what has changed in the counts is
/// copied while it is stored.
const DIFFERENCE: u64 = 12 << 10;

fn lines_read(guard: &Guard) -> u64 {
    guard.status()["sources"][0]["lines"].as_u64().unwrap()
}

/// Waits until no more than so many lines are left to read.
fn wait_for_reading(guard: &Guard, written: u64, left: u64) {
    let begin = Instant::now();
    let mut last = (lines_read(guard), begin);
    while last.0 + left < written {
        std::thread::sleep(Duration::from_millis(20));
        let read = lines_read(guard);
        if read > last.0 {
            last = (read, Instant::now());
        }
        assert!(
            last.1.elapsed() < Duration::from_secs(20),
            "{} of {written} lines are read",
            last.0
        );
    }
}

/// Keeps one rotated file, which may not be read to its end yet.
fn rotate(home: &Home) {
    let [log, old] = ["messages", "messages.1"].map(|name| home.path(name));
    if fs::metadata(&log).unwrap().len() > ROTATED {
        fs::rename(log, old).unwrap();
        home.write("messages", "");
    }
}

/// Has so many strangers fail once each, and the attacker among them; what the guard and its firewall helper take at
/// ten points from when the tables are full.
fn flood(guard: &Guard, strangers: u32) -> Vec<[u64; 2]> {
    let (begin, mut written, mut points) = (Instant::now(), 0, Vec::new());
    let apart = (strangers - FULL) / 10;
    for first in (0..strangers).step_by(PIECE as usize) {
        let host = |n: u32| Ipv4Addr::from(0x0a00_0000 + n).to_string();
        let mut lines: Vec<_> = (first..first + PIECE).map(|n| wrong_password(&host(n))).collect();
        if first >= FULL && first % EACH == 0 && (first - FULL) / EACH < ATTEMPTS {
            lines.push(wrong_password(ATTACKER));
        }
        guard.append("messages", &lines);
        written += lines.len() as u64;
        let end = first + PIECE;
        let next = FULL + u32::try_from(points.len()).unwrap() * apart;
        wait_for_reading(guard, written, if end >= next { 0 } else { WAITING });
        if end >= next {
            // All, but for the attacker where he was just banned.
            let stored = || guard.status()["store"]["offenders"].as_u64() >= Some(131_071);
            kit::until("the table is full, and stored", stored);
            points.push(guard.anonymous());
        }
        rotate(guard);
    }
    wait_for_reading(guard, written, 0);
    let seconds = begin.elapsed().as_secs_f64();
    let rate = f64::from(strangers) / seconds;
    eprintln!("{strangers} strangers in {seconds:.0} s, {rate:.0} lines a second");
    assert_eq!(lines_read(guard), written, "nothing is lost, nothing is read twice");
    points
}

#[test]
fn very_many_strangers_take_bounded_memory() {
    if !kit::usable() {
        return;
    }
    let strangers = std::env::var("SOURCES").map_or(STRANGERS, |n| n.parse().unwrap());
    let netns = Netns::new();
    let guard = Guard::start(&netns, &CONFIG.replace("findtime = \"10m\"", "findtime = \"6h\""));
    let points = flood(&guard, strangers);
    eprintln!("RssAnon of the guard and its firewall helper, KiB: {points:?}");
    for process in [0, 1] {
        let taken = points.iter().map(|point| point[process]);
        let (least, most) = (taken.clone().min().unwrap(), taken.max().unwrap());
        // Without a bound, it would be 17 MB more for each 100 000 hosts.
        assert!(most - least < DIFFERENCE, "it grows: {points:?}");
    }
    assert_eq!(guard.jail("asterisk-guess")["currently_failed"], 65_536);
    guard.says(&format!("[asterisk-guess] Ban {ATTACKER} (5 offences"));
    kit::until("he is in the kernel", || addresses(&netns, "sip4") == [ATTACKER]);
}
