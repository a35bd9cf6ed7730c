//! A guard that is killed at any moment, under load: in the end, all is as if it had not been.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, elements, wrong_password};

/// How often it is killed, unless `KILLS` says otherwise.
const KILLS: usize = 20;
/// Hosts that attack at the same time.
const CROWD: u32 = 20;
/// Crowds that come during the test, more or less: so many, or two for each time that it is killed.
const CROWDS: u64 = 200;

/// A number that looks like chance, the same in every run.
fn chance(n: usize) -> u64 {
    let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

/// Host `n`: those with even numbers offend five times, and are banned; the others four times.
fn host(n: u32) -> String {
    Ipv4Addr::from(0x0a10_0000 + n).to_string()
}

fn is_banned(n: u32) -> bool {
    n % 2 == 0
}

/// Writes what crowds of attackers cause, one after another, until it is told to end.
struct Attack {
    end: Arc<AtomicBool>,
    /// Crowds that are done.
    crowds: Arc<AtomicUsize>,
    thread: thread::JoinHandle<()>,
}

impl Attack {
    fn begin(log: PathBuf, kills: usize) -> Self {
        let crowds = CROWDS.max(2 * kills as u64);
        let pause = Duration::from_millis((kills as u64 * 800 / crowds / 5).max(5));
        let (end, crowds) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (ended, done) = (Arc::clone(&end), Arc::clone(&crowds));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let first = u32::try_from(done.load(Ordering::Relaxed)).unwrap() * CROWD;
                write_crowd(&log, first, pause);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { end, crowds, thread }
    }

    /// Ends it; how many hosts there were.
    fn end(self) -> u32 {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        u32::try_from(self.crowds.load(Ordering::Relaxed)).unwrap() * CROWD
    }
}

/// The lines of one crowd, all hosts in turn, some lines at a time.
fn write_crowd(log: &Path, first: u32, pause: Duration) {
    let mut account = first * 5 * 21;
    for round in 0..5 {
        let mut text = String::new();
        for n in (first..first + CROWD).filter(|n| round < 4 || is_banned(*n)) {
            // No two lines are alike, as in a real log.
            account += 1;
            text += &wrong_password(&host(n)).replace("\"1000\"", &format!("\"{account}\""));
            text += "\n";
            for _ in 0..20 {
                account += 1;
                text += "[Nov 22 01:12:24] NOTICE[1] chan_sip.c: Peer '";
                text += &account.to_string();
                text += "' is now UNREACHABLE!\n";
            }
        }
        let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        thread::sleep(pause);
    }
}

/// Renames the log and makes a new one, as logrotate does.
fn rotate(home: &Home, number: usize) {
    let (log, old) = (home.path("messages"), home.path(&format!("messages.{number}")));
    fs::rename(&log, old).unwrap();
    OpenOptions::new().create(true).append(true).open(log).unwrap();
}

fn offences(home: &Home, host: &str) -> u64 {
    let told = home.order(&["explain", host, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&told).unwrap();
    let jails = report["jails"].as_array().unwrap();
    jails.iter().find(|jail| jail["jail"] == "asterisk-guess").unwrap()["offences"]
        .as_u64()
        .unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_counts_twice() {
    if !kit::usable() {
        return;
    }
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let netns = Netns::new();
    let config = CONFIG
        .replace("findtime = \"10m\"\nbantime = \"10m\"", "findtime = \"6h\"\nbantime = \"6h\"");
    let mut guard = Guard::start(&netns, &config);
    let attack = Attack::begin(guard.path("messages"), kills);
    for round in 0..kills {
        let begin = Instant::now();
        let life = Duration::from_millis(chance(round) % 700);
        while begin.elapsed() < life {
            thread::sleep(Duration::from_millis(1));
        }
        // What was acknowledged a moment before stays.
        guard.order(&[
            "ban",
            &format!("172.16.{}.{}", round / 250, round % 250 + 1),
            "--for",
            "6h",
        ]);
        let home = guard.kill();
        if chance(round + kills) % 4 == 0 {
            rotate(&home, round);
        }
        let run = home.run(netns.command(PROGRAM));
        guard = Guard::start_in(home, run);
        assert_eq!(guard.status()["health"], "OK", "{:#?}", guard.log_lines());
    }
    let hosts = attack.end();
    let expected: BTreeSet<_> = (0..hosts).filter(|n| is_banned(*n)).map(host).collect();
    // Whoever comes last is banned last.
    guard.append("messages", &vec![wrong_password("203.0.113.77"); 5]);
    guard.says("Ban 203.0.113.77 ");
    kit::until("he is in the kernel", || {
        addresses(&netns, "sip4").contains(&"203.0.113.77".to_owned())
    });
    let begin = kit::now().secs() - 1;
    let held = elements(&netns, "sip4");
    let banned: BTreeSet<_> = held.iter().map(|element| element.address.clone()).collect();
    let wrong: Vec<_> = banned.symmetric_difference(&expected).collect();
    assert_eq!(wrong, ["203.0.113.77"], "of {hosts} hosts");
    assert_eq!(addresses(&netns, "ban4").len(), kills);
    for n in (1..hosts).step_by(2).step_by(hosts as usize / 60 + 1) {
        assert_eq!(offences(&guard, &host(n)), 4, "{}", host(n));
    }
    // The deadlines are those of a guard that was never killed, for itself and for the kernel.
    let jail = guard.jail("asterisk-guess");
    let asked = begin..=kit::now().secs() + 1;
    for ban in jail["banned"].as_array().unwrap() {
        let ends = ban["since"].as_i64().unwrap() + 6 * 3600;
        let element = held.iter().find(|element| ban["host"] == element.address.as_str()).unwrap();
        for left in [ban["left"].as_i64(), element.expires.map(|left| left.try_into().unwrap())] {
            assert!(asked.contains(&(ends - left.unwrap())), "{asked:?} {left:?} {ban}");
        }
    }
    eprintln!("{kills} kills, {hosts} hosts, {} banned", expected.len());
}
