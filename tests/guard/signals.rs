//! Signals: how fast the guard ends, and what becomes of very many of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, odd_packet, wrong_password};

/// One after the other, as fast as can be.
fn signal(guard: &Guard, signal: Signal, times: usize) {
    let pid = Pid::from_raw(guard.pid().try_into().unwrap()).unwrap();
    (0..times).for_each(|_| kill_process(pid, signal).unwrap());
}

/// Hosts of a test network, one for each number below 65 536.
fn host(n: u32) -> String {
    format!("10.66.{}.{}", n / 256 % 256, n % 256)
}

#[test]
fn termination_takes_less_than_a_second() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Guard::start(&netns, CONFIG).stop_within(Duration::from_secs(1));

    // With bans in force, and attackers that go on all the while.
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let attack = Attack::on(guard.path("messages"));
    kit::until("a thousand are banned", || {
        guard.jail("asterisk-guess")["total_banned"].as_u64() > Some(1000)
    });
    let _home = guard.stop_within(Duration::from_secs(1));
    drop(attack);
}

/// Ten thousand lines a second from two thousand hosts, until it is dropped.
struct Attack {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    fn on(log: PathBuf) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let write = move || {
            for round in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let lines = (0..100).map(|n| wrong_password(&host(round * 20 + n / 5)) + "\n");
                Home::append_to(&log, lines.collect::<String>().as_bytes());
                thread::sleep(Duration::from_millis(10));
            }
        };
        Self { stop, thread: Some(thread::spawn(write)) }
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn reload_storm_is_merged_and_loses_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![odd_packet("198.51.100.7"); 2]);
    signal(&guard, Signal::HUP, 200);
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    // Whoever orders one gets the answer of one that began after that.
    guard.write("conf.d/a.toml", "[jail.later]\nfilter = \"asterisk-sip\"\nmode = \"observe\"\n");
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                assert_eq!(guard.order(&["reload"]), "reloaded\n");
                assert_eq!(guard.jail("later")["jail"], "later");
            });
        }
    });
    let reloads = guard.count("NOTICE  reloaded");
    assert!((1..20).contains(&reloads), "{reloads} reloads: {:#?}", guard.log_lines());
    kit::until("all lines are read", || guard.status()["sources"][0]["lines"] == 7);
    assert_eq!(guard.status()["sources"][0]["hits"], 7);
    guard.says("[asterisk-guess] Ban 198.51.100.14");
    guard.append("messages", &[odd_packet("198.51.100.7")]);
    guard.says("[asterisk-scan] Ban 198.51.100.7 (3 offences");
    guard.stop();
}
