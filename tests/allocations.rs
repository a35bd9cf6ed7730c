//! Reading costs no memory of its own: once every host of a log is known, no line of it allocates any.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../benches/logs/mod.rs"]
mod logs;

use std::io;
use std::sync::Arc;

use asterguard::config::{self, Mode};
use asterguard::decide::engine::Engine;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::detect::timestamp::TimestampParser;
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{Decision, Event};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

const LINES: usize = 20_000;
const PIECE: usize = 128 * 1024;
const NOW: Time = Time::from_secs(1_795_308_766);

/// A reader with the built-in rules and configuration, in which nobody fails often enough to be banned: bans are
/// kept, and that takes memory.
struct Reader {
    engine: Engine,
    scanner: Scanner,
    splitter: LineSplitter,
    parser: TimestampParser,
    last: Option<Time>,
    events: Vec<Event>,
    decisions: Vec<Decision>,
    offences: usize,
}

impl Reader {
    fn new() -> Self {
        let rules = RuleSet::load(None).unwrap();
        let mut config = config::load::parse(&[], &rules.filters()).unwrap();
        for jail in &mut config.jails {
            (jail.mode, jail.maxretry) = (Mode::Observe, u32::MAX);
        }
        let plan = Arc::new(Plan::new(config, Arc::new(rules)));
        let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
        let matcher = Matcher::new(&plan.rules, &plan.rules_for(&jails)).unwrap();
        let mut engine = Engine::new(Arc::clone(&plan));
        let channel = engine.open_channel(jails);
        Self {
            engine,
            scanner: Scanner::new(Arc::new(matcher), channel),
            splitter: LineSplitter::new(PIECE),
            parser: TimestampParser::new(plan.log_time_zone(), NOW),
            last: None,
            events: Vec::new(),
            decisions: Vec::new(),
            offences: 0,
        }
    }

    /// Reads a log, as the guard does, or by the dates of its lines, as a replay does.
    fn read(&mut self, log: &[u8], by_dates: bool) {
        for bytes in log.chunks(PIECE) {
            self.splitter.space().get_mut(..bytes.len()).unwrap().copy_from_slice(bytes);
            self.splitter.filled(bytes.len());
            while let Some(region) = self.splitter.next_region() {
                let mut clock = if by_dates {
                    Clock::Replay(&mut self.parser, &mut self.last)
                } else {
                    Clock::At(NOW)
                };
                self.scanner.scan(&region, &mut clock, &mut self.events);
                for event in self.events.drain(..) {
                    self.engine.on_tick(event.time, &mut self.decisions);
                    self.engine.on_event(&event, &mut self.decisions);
                    let found = |decision: &&Decision| matches!(decision, Decision::Found { .. });
                    self.offences += self.decisions.iter().filter(found).count();
                    self.decisions.clear();
                }
            }
        }
    }
}

type Generate = fn(u64, usize, &mut Vec<u8>) -> io::Result<()>;

#[test]
fn no_line_allocates_once_its_host_is_known() {
    let kinds: [(&str, Generate, usize); 3] = [
        ("quiet", logs::quiet, 0),
        ("attack", logs::attack, LINES / 2),
        ("security", logs::security, LINES / 4),
    ];
    for (name, generate, offences) in kinds {
        let mut log = Vec::new();
        generate(1, LINES, &mut log).unwrap();
        for by_dates in [false, true] {
            let mut reader = Reader::new();
            reader.read(&log, by_dates);
            assert!(reader.offences >= offences, "{name}: {} offences", reader.offences);
            let counted = allocation_counter::measure(|| reader.read(&log, by_dates));
            assert!(reader.offences >= 2 * offences);
            assert_eq!(
                counted.count_total, 0,
                "{name}, by dates: {by_dates}: {} bytes by {LINES} lines",
                counted.bytes_total
            );
        }
    }
}

#[test]
fn allocations_are_seen() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}
