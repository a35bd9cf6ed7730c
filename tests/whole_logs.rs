//! Whole logs, made up line by line, so that what must come of each line is known.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

#[path = "../benches/logs/mod.rs"]
mod logs;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{ChannelId, Event, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

const LINES: usize = 20_000;

/// What all shipped rules make of `text`, which arrives in pieces of `piece` bytes.
fn read(text: &[u8], piece: usize) -> Vec<Event> {
    static MATCHER: OnceLock<Arc<Matcher>> = OnceLock::new();
    let matcher = MATCHER.get_or_init(|| {
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
        Arc::new(Matcher::new(&rules, &all).unwrap())
    });
    let mut scanner = Scanner::new(Arc::clone(matcher), ChannelId(0));
    let mut splitter = LineSplitter::new(piece);
    let mut events = Vec::new();
    for bytes in text.chunks(piece) {
        splitter.space().get_mut(..bytes.len()).unwrap().copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        }
    }
    events
}

fn log(generate: fn(u64, usize, &mut Vec<u8>) -> std::io::Result<()>, seed: u64) -> Vec<u8> {
    let mut log = Vec::new();
    generate(seed, LINES, &mut log).unwrap();
    log
}

#[test]
fn the_same_seed_makes_the_same_log() {
    for generate in [logs::quiet, logs::attack, logs::security] {
        let first = log(generate, 1);
        assert_eq!(memchr::memchr_iter(b'\n', &first).count(), LINES);
        assert!(first == log(generate, 1));
        assert!(first != log(generate, 2));
    }
}

#[test]
fn every_line_is_accounted_for() {
    let mut text = Vec::new();
    logs::numbered(0..30_000, &mut text).unwrap();
    for piece in [131_072, 9_973, 1_000] {
        let events = read(&text, piece);
        assert_eq!(events.len(), 30_000);
        for (number, event) in (0..).zip(&events) {
            let seen = (event.line, event.host, event.evidence);
            let host = IpAddr::from(logs::numbered_host(number));
            assert_eq!(seen, (u64::from(number) + 1, host, Evidence::Unverified));
        }
    }
}

#[test]
fn peaceful_day_has_no_offences() {
    assert_eq!(read(&log(logs::quiet, 1), 131_072), []);
}

#[test]
fn an_attack_names_its_hosts_and_no_other() {
    let sources: HashSet<IpAddr> = (0..logs::SOURCES).map(logs::source).collect();
    for (generate, hits) in
        [(logs::attack as fn(_, _, &mut _) -> _, 85..95), (logs::security, 55..65)]
    {
        let events = read(&log(generate, 1), 131_072);
        let lines: HashSet<u64> = events.iter().map(|event| event.line).collect();
        assert!(hits.contains(&(100 * lines.len() / LINES)), "{} hits", lines.len());
        let offences = events.iter().filter(|event| matches!(event.meaning, Meaning::Offence(_)));
        assert!(offences.clone().all(|event| sources.contains(&event.host)));
        assert!(offences.filter(|event| event.evidence > Evidence::Hearsay).count() > LINES / 5);
    }
}
