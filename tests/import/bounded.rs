//! A pattern that would take forever takes a bounded time, and slows no other rule.
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::ChannelId;
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

const CATASTROPHIC: &str = r#"
prefix = "fail2ban"
[[rule]]
id = "forever"
failregex = 'NOTICE.* (?:a?){40}(a*)*\1c <HOST>(?!:)'
class = "guess"
evidence = "hearsay"
"#;

/// The time that these lines take, and how many events they make.
fn scanned(rules: &Arc<RuleSet>, text: &str) -> (Duration, usize) {
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    let mut scanner = Scanner::new(Arc::new(Matcher::new(rules, &all).unwrap()), ChannelId(0));
    let mut events = Vec::new();
    let begun = Instant::now();
    let clock = &mut Clock::At(Time::default());
    scanner.scan(&Region::of(text.as_bytes(), 1), clock, &mut events);
    (begun.elapsed(), events.len())
}

#[test]
fn a_catastrophic_pattern_costs_bounded_time_per_line() {
    let own = Arc::new(RuleSet::load(None).unwrap());
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("slow.toml"), CATASTROPHIC).unwrap();
    let with = Arc::new(RuleSet::load(Some(directory.path())).unwrap());
    // Its gate lets this line through.
    let text = "a".repeat(7000);
    let line = format!("[2026-11-22 10:00:00] NOTICE[1] x.c: {text}bc 192.0.2.1:5\n");
    let (alone, _) = scanned(&with, &line);
    assert!(alone < Duration::from_secs(5), "{alone:?}");
    let rule = with.rules.iter().find(|rule| rule.id == "forever").unwrap();
    assert!(rule.patterns[0].given_up() > 0, "it was not given up: this tests nothing");
    // Lines that its gate refuses are nearly as fast as without it.
    let line = "[2026-11-22 10:00:00] NOTICE[1638] chan_sip.c: Registration from '<sip:1@x>' failed for '203.0.113.9:5071' - Wrong password\n";
    let others = line.repeat(2000);
    let (before, found) = scanned(&own, &others);
    let (after, also) = scanned(&with, &others);
    assert_eq!((found, also), (2000, 2000));
    assert!(after < before * 8 + Duration::from_millis(200), "{after:?}, {before:?} without it");
    eprintln!("a line that is given up: {alone:?}; 2000 others: {after:?}, {before:?} without it");
}
