//! Lines that a real Asterisk 16.28 wrote under attack, read with the shipped rules.
//!
//! `data/hostile-*.log` are lines by which senders tried to have 192.0.2.66 (or 192.0.2.6), which
//! did nothing, taken for the attacker, with the lines around them; in the default shape, as the
//! `[plain]` and `[json]` formatters write them, from rsyslog, from a log with everything, and from the
//! manager's event stream. `data/attack-*.log` are plain attacks, and two phones (198.51.100.2 and .102) whose owners mistyped a password once.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use asterguard::config::load;
use asterguard::decide::engine::Engine;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::detect::timestamp::TimestampParser;
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{Decision, Event, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn plan(config: &str) -> Arc<Plan> {
    let rules = RuleSet::load(None).unwrap();
    let config = load::parse(&[("test.toml".into(), config.to_owned())], &rules.filters());
    Arc::new(Plan::new(config.unwrap_or_else(|wrong| panic!("{wrong}")), Arc::new(rules)))
}

/// What the rules make of `text`, which arrives in pieces of `piece` bytes.
fn read(plan: &Plan, scanner: &mut Scanner, text: &[u8], piece: usize) -> Vec<Event> {
    let reference = Time::from_secs(1_795_320_000);
    let mut parser = TimestampParser::new(jiff::tz::TimeZone::UTC, reference);
    let (mut last, mut events) = (None, Vec::new());
    let mut splitter = LineSplitter::new(piece);
    assert!(!plan.rules.rules.is_empty());
    for bytes in text.chunks(piece) {
        splitter.space()[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::Lines(&mut parser, &mut last), &mut events);
        }
    }
    events
}

fn matcher(plan: &Plan) -> Arc<Matcher> {
    let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
    Arc::new(Matcher::new(&plan.rules, &all).unwrap())
}

#[test]
fn forged_lines_name_no_innocent_host() {
    let plan = plan("");
    let matcher = matcher(&plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    for (name, attackers) in [
        ("hostile-messages.log", 4),
        ("hostile-security.log", 3),
        ("hostile-plain.log", 3),
        ("hostile-json.log", 3),
        ("hostile-syslog.log", 4),
        // Free text: nobody in it is believed.
        ("hostile-full.log", 0),
        // No log at all.
        ("hostile-ami.txt", 0),
    ] {
        let text = data(name);
        let channel = engine.open_channel(plan.jails().map(|(id, _)| id).collect());
        let mut readings = [1 << 17, 4096, 97].map(|piece| {
            let mut scanner = Scanner::new(Arc::clone(&matcher), channel);
            read(&plan, &mut scanner, &text, piece)
        });
        let [whole, rest @ ..] = &mut readings;
        assert!(rest.iter().all(|events| events == whole), "it matters how the bytes arrive");
        let innocent = |event: &&Event| event.host.to_string().starts_with("192.0.2.6");
        let forged: Vec<_> = whole.iter().filter(innocent).collect();
        let believed = |event: &&&Event| {
            event.evidence > Evidence::Hearsay || event.meaning == Meaning::Success
        };
        let wrong: Vec<_> = forged.iter().filter(believed).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        // The attackers themselves are seen all the same.
        let seen = whole.iter().filter(|event| event.evidence > Evidence::Hearsay);
        let seen: BTreeSet<_> = seen.map(|event| event.host).collect();
        assert!(seen.len() >= attackers, "{name}: {seen:?}");
    }
}

#[test]
fn attackers_are_banned_and_mistyping_phones_are_not() {
    let plan = plan("[default]\nipv6prefix = 128\n[jail.asterisk-guess]\nmaxretry = 3");
    let matcher = matcher(&plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut events = Vec::new();
    for name in ["attack-messages.log", "attack-security.log"] {
        let channel = engine.open_channel(plan.jails().map(|(id, _)| id).collect());
        let mut scanner = Scanner::new(Arc::clone(&matcher), channel);
        events.extend(read(&plan, &mut scanner, &data(name), 4096));
    }
    events.sort_by_key(|event| event.time);
    let mut decisions = Vec::new();
    for event in &events {
        engine.on_event(event, &mut decisions);
    }
    let bans: BTreeSet<_> = decisions
        .iter()
        .filter_map(|decision| match decision {
            Decision::Ban(ban) => {
                let jail = &plan.jail(ban.jail).unwrap().name;
                Some(format!("{} {jail} {} {}", ban.host, ban.evidence, ban.offences))
            }
            _ => None,
        })
        .collect();
    let expected = [
        "198.51.100.115 asterisk-guess unverified 3",
        "198.51.100.116 asterisk-guess unverified 3",
        "198.51.100.116 asterisk-scan unverified 3",
        "198.51.100.145 asterisk-scan unverified 3",
        "198.51.100.15 asterisk-guess proven 3",
        "198.51.100.16 asterisk-guess proven 3",
        "198.51.100.20 asterisk-guess unverified 3",
        "198.51.100.42 asterisk-scan unverified 3",
        "198.51.100.71 asterisk-guess proven 3",
        "2001:db8:bad::15 asterisk-guess proven 3",
    ];
    assert_eq!(bans.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn default_jails_use_the_asterisk_rules_only() {
    let filters = |plan: &Plan| -> BTreeSet<String> {
        let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
        let rules = plan.rules_for(&jails);
        let file = |rule| plan.rules.file_of(plan.rules.get(rule).unwrap()).unwrap().name.clone();
        rules.into_iter().map(file).collect()
    };
    let default = filters(&plan(""));
    assert!(default.contains("asterisk-dialplan") && default.contains("asterisk-other"));
    assert!(!default.contains("kernel-firewall"));
    let asked = filters(&plan("[jail.firewall]\nfilter = \"kernel-firewall\""));
    assert!(asked.contains("kernel-firewall"));
}

#[test]
fn firewall_log_is_read_with_its_times() {
    let line = |prefix: &str| {
        format!(
            "Nov 22 01:00:00 pbx kernel: [5.1] {prefix}: IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.10 \
             LEN=443 TOS=0x00 PREC=0x00 TTL=52 ID=0 DF PROTO=UDP SPT=5071 DPT=5060 LEN=423\n"
        )
    };
    let text = [line("SIP"), line("OTHER"), "[x] a\n".to_owned(), line("DROPPED")].concat();
    let plan = plan("");
    let mut scanner = Scanner::new(matcher(&plan), asterguard::model::event::ChannelId(0));
    let events = read(&plan, &mut scanner, text.as_bytes(), 4096);
    let seen: Vec<_> =
        events.iter().map(|event| (event.line, event.time.to_string(), event.evidence)).collect();
    let time = "2026-11-22T01:00:00Z".to_owned();
    let expected = [(1, time.clone(), Evidence::Unverified), (4, time, Evidence::Unverified)];
    assert_eq!(seen, expected);
}
