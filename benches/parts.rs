//! How fast each part is by itself: `cargo bench --bench parts [-- NAME]`.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what goes in is known"
)]

mod logs;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use asterguard::config::{self, Mode};
use asterguard::decide::engine::Engine;
use asterguard::decide::offences::OffenceTable;
use asterguard::decide::plan::Plan;
use asterguard::detect::prefilter::PatternSet;
use asterguard::detect::prefix::{self, Tags};
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::{LineSplitter, Region};
use asterguard::model::event::{
    Basis, ChannelId, Class, Clue, Event, Evidence, JailId, Meaning, RuleId,
};
use asterguard::model::subject::Subject;
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;
use asterguard::rules::address_tag::AddressTag;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Lines of each log: enough to be no longer in the first caches.
const LINES: usize = 20_000;

const START: Time = Time::from_secs(1_795_308_766);

fn log(generate: fn(u64, usize, &mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut log = Vec::new();
    generate(1, LINES, &mut log).expect("a Vec takes everything");
    log
}

fn all() -> [(&'static str, Vec<u8>); 3] {
    [("quiet", log(logs::quiet)), ("attack", log(logs::attack)), ("security", log(logs::security))]
}

fn plan() -> (Arc<Plan>, Vec<JailId>, Arc<Matcher>) {
    let rules = RuleSet::load(None).expect("the built-in rules are right");
    let mut config =
        config::load::parse(&[], &rules.filters()).expect("the built-in configuration is right");
    for jail in &mut config.jails {
        jail.mode = Mode::Observe;
    }
    let plan = Plan::new(config, Arc::new(rules));
    let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
    let matcher =
        Matcher::new(&plan.rules, &plan.rules_for(&jails)).expect("the built-in rules fit");
    (Arc::new(plan), jails, Arc::new(matcher))
}

/// Bytes in, regions out.
fn splitter(c: &mut Criterion) {
    let mut group = c.benchmark_group("splitter");
    for (name, log) in all() {
        group.throughput(Throughput::Bytes(log.len() as u64));
        group.bench_function(name, |b| {
            let mut splitter = LineSplitter::new(128 * 1024);
            b.iter(|| {
                let mut lines = 0;
                for chunk in log.chunks(128 * 1024) {
                    splitter.space()[..chunk.len()].copy_from_slice(chunk);
                    splitter.filled(chunk.len());
                    while let Some(region) = splitter.next_region() {
                        lines = black_box(region).next_line;
                    }
                }
                lines
            });
        });
    }
}

/// A line in, its body out.
fn strip(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefix");
    for (name, log) in all() {
        group.throughput(Throughput::Elements(LINES as u64));
        let lines: Vec<_> = log.split(|byte| *byte == b'\n').collect();
        group.bench_function(name, |b| {
            let (tags, mut scratch) = (Tags::default(), Vec::new());
            b.iter(|| {
                let stripped =
                    |line: &&&[u8]| prefix::strip(black_box(line), &tags, &mut scratch).is_some();
                lines.iter().filter(stripped).count()
            });
        });
    }
}

/// A body in, the failregexes that match it out.
fn gate(c: &mut Criterion) {
    let (plan, ..) = plan();
    let patterns: Vec<_> = plan.rules.rules.iter().flat_map(|rule| &rule.patterns).collect();
    let regexes: Vec<_> = patterns.iter().map(|pattern| pattern.regex.as_str()).collect();
    let gate = PatternSet::new(&regexes).expect("the built-in rules fit");
    let mut group = c.benchmark_group("gate");
    for (name, log) in all() {
        let mut scratch = Vec::new();
        let bodies: Vec<Vec<u8>> = log
            .split(|byte| *byte == b'\n')
            .filter_map(|line| {
                Some(prefix::strip(line, &Tags::default(), &mut scratch)?.body.to_vec())
            })
            .collect();
        group.throughput(Throughput::Elements(bodies.len() as u64));
        group.bench_function(name, |b| {
            let (mut cache, mut found) = (gate.cache(), Vec::new());
            b.iter(|| {
                found.clear();
                for body in &bodies {
                    gate.matching(&mut cache, black_box(body), &mut found);
                }
                found.len()
            });
        });
    }
}

/// Lines in, events out.
fn scanner(c: &mut Criterion) {
    let (_, _, matcher) = plan();
    let mut group = c.benchmark_group("scanner");
    for (name, log) in all() {
        let region = Region::of(&log, 1);
        group.throughput(Throughput::Bytes(log.len() as u64));
        group.bench_function(name, |b| {
            let mut scanner = Scanner::new(Arc::clone(&matcher), ChannelId(0));
            let mut events = Vec::new();
            b.iter(|| {
                events.clear();
                scanner.scan(black_box(&region), &mut Clock::At(START), &mut events);
                events.len()
            });
        });
    }
}

/// Text in, an address out.
fn host(c: &mut Criterion) {
    let mut group = c.benchmark_group("host");
    for (tag, text) in [
        (AddressTag::Host, "203.0.113.9' due to a failure"),
        (AddressTag::HostPort, "203.0.113.9:59397' (callid: ee9t)"),
        (AddressTag::HostMaybePort, "203.0.113.9:5071' - Wrong password"),
        (AddressTag::HostMaybePort, "[2001:db8:bad:117::9]:50179' - Wrong password"),
        (AddressTag::TransportColon, "UDP:203.0.113.9:5071) to extension"),
        (AddressTag::Slashes, "IPV4/UDP/203.0.113.9/5071\",Challenge"),
        (AddressTag::Slashes, "IPV6/UDP/2001:db8:bad:117::9/5071\",Challenge"),
    ] {
        group.bench_function(text, |b| b.iter(|| tag.read(black_box(text.as_bytes()))));
    }
}

/// An offence of one of 100 000 hosts that have some.
fn offences(c: &mut Criterion) {
    const HOSTS: u32 = 100_000;
    let subject = |number| Subject::of(logs::numbered_host(number).into(), 64);
    let event = |line| Event {
        time: START,
        channel: ChannelId(0),
        rule: RuleId(0),
        meaning: Meaning::Offence(Class::Guess),
        host: logs::numbered_host(0).into(),
        evidence: Evidence::Proven,
        line,
        account: None,
        basis: Basis::Text,
        clue: Clue::default(),
    };
    let mut group = c.benchmark_group("offences");
    group.throughput(Throughput::Elements(1));
    group.bench_function("add", |b| {
        // More than a jail keeps: what is measured is finding one among many.
        let findtime = Duration::from_secs(600);
        let mut table = OffenceTable::with_capacity(5, findtime, HOSTS as usize);
        let mut line = 0;
        for number in 0..HOSTS {
            line += 1;
            table.add(subject(number), &event(line), 1);
        }
        b.iter(|| {
            line += 1;
            // A stride that is prime to HOSTS: all in turn, none beside the one before.
            let number = (line * 7919 % u64::from(HOSTS)) as u32;
            table.add(subject(number), &event(line), 1)
        });
        assert_eq!(table.live(START), HOSTS as usize);
    });
}

/// Events of an attack in, decisions out.
fn engine(c: &mut Criterion) {
    let (plan, jails, matcher) = plan();
    let mut engine = Engine::new(Arc::clone(&plan));
    let channel = engine.open_channel(jails);
    let mut events = Vec::new();
    let log = log(logs::attack);
    Scanner::new(matcher, channel).scan(&Region::of(&log, 1), &mut Clock::At(START), &mut events);
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("attack", |b| {
        let mut decisions = Vec::new();
        b.iter(|| {
            for event in &events {
                decisions.clear();
                engine.on_event(event, &mut decisions);
                black_box(&decisions);
            }
        });
    });
}

criterion_group!(parts, splitter, strip, gate, scanner, host, offences, engine);
criterion_main!(parts);
