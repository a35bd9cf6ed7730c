//! More hosts than can be remembered: memory stays as it is, and who comes back is banned all the same.
//!
//! `SOURCES` is how many there are; `make soak` has ten million.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

#[path = "../benches/logs/mod.rs"]
mod logs;

use std::path::PathBuf;
use std::sync::Arc;

use asterguard::config;
use asterguard::decide::engine::Engine;
use asterguard::decide::offences::CAPACITY;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::Decision;
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

/// Hosts whose lines are read at once.
const PIECE: u32 = 10_000;
/// Hosts a second.
const RATE: i64 = 50_000;
const ATTACKER: &str = "198.51.100.7";

/// Memory of this process that no file backs, in KiB.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_is_bounded_and_returning_hosts_are_banned() {
    let sources: u32 = std::env::var("SOURCES").map_or(400_000, |n| n.parse().unwrap());
    assert!(sources as usize > 3 * CAPACITY, "fewer do not fill the tables");
    let rules = Arc::new(RuleSet::load(None).unwrap());
    let config = "[jail.asterisk-guess]\nfindtime = '1h'\n";
    let config =
        config::load::parse(&[(PathBuf::from("test.toml"), config.to_owned())], &rules.filters());
    let plan = Arc::new(Plan::new(config.unwrap(), Arc::clone(&rules)));
    let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(&rules, &plan.rules_for(&jails)).unwrap());
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut scanner = Scanner::new(matcher, engine.open_channel(jails));

    let (mut decisions, mut events, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let (mut banned, mut found, mut full) = (Vec::new(), 0_u64, None);
    let mut line = 1;
    for first in (0..sources).step_by(PIECE as usize) {
        text.clear();
        logs::numbered(first..first + PIECE, &mut text).unwrap();
        // The attacker tries once for each ten thousand others.
        let own = text.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        let own = String::from_utf8(own.to_vec()).unwrap();
        let other = logs::numbered_host(first).to_string();
        text.extend(own.replace(&format!("'{other}:"), &format!("'{ATTACKER}:")).bytes());
        let now = Time::from_millis(i64::from(first) * 1000 / RATE);
        let region = Region::of(&text, line);
        line = region.next_line;
        scanner.scan(&region, &mut Clock::At(now), &mut events);
        events.drain(..).for_each(|event| engine.on_event(&event, &mut decisions));
        engine.on_tick(now, &mut decisions);
        for decision in decisions.drain(..) {
            match decision {
                Decision::Found { .. } => found += 1,
                Decision::Ban(ban) => banned.push((ban.host.to_string(), first / PIECE + 1)),
                _ => {}
            }
        }
        if full.is_none() && first as usize > 2 * CAPACITY {
            full = Some(anonymous_memory());
        }
    }
    let (full, end) = (full.unwrap(), anonymous_memory());
    println!("{sources} hosts: RssAnon {full} KiB with full tables, {end} KiB at the end");
    // The jail of bans counts none of them: lines by themselves prove nothing.
    // Three jails count each: by its account, for a short time, and for a day. Of the attacker, only the second goes
    // on when it has banned it, at the fifth attempt: the first has five then, the third four.
    assert_eq!(found, u64::from(3 * sources + sources / PIECE + 5 + 4));
    assert_eq!(banned.first(), Some(&(ATTACKER.to_owned(), 5)), "at its fifth attempt");
    assert!(banned.iter().all(|(host, _)| host == ATTACKER), "{banned:?}");
    assert!(end < full + 2048, "it grows");
    assert!(end < 48 << 10, "it is too much");
}
