//! The guard as the daemon runs it: scanners, exchanges and engine, one message after the other, and a tick a second.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asterguard::config;
use asterguard::decide::engine::{Engine, Sight};
use asterguard::decide::exchange_event;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, REST, Scanner};
use asterguard::exchange::{Exchanges, Observation};
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{Ban, Basis, ChannelId, Decision, Event, Evidence, Meaning};
use asterguard::model::exchange::{ExchangeId, Transport};
use asterguard::model::subject::Subject;
use asterguard::model::time::Time;
use asterguard::rules::{RuleSet, Service};

use crate::messages::Kind;
use crate::scene::{BEGIN, Item, Scene, Shadow, What, Written, time};

const TICK: Duration = Duration::from_secs(1);
/// So long after the last message nothing more comes.
const AFTER: Duration = Duration::from_secs(10);
/// The kernel forgets for so long who was sent something.
const TALKED_LASTS: Duration = Duration::from_secs(5);
/// The farthest that the text of a message may reach beyond it, in bytes.
const REACH: u64 = 2 * 8192;
/// The lines of a host that are looked at.
const LINES: usize = 16;

/// A fault that is put into the guard, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Lines count without their exchanges.
    LinesCountAlone,
    /// Whatever a line names was sent something on its connection.
    EverythingTalked,
    /// What was sent to a log with a line of free text in it is doubted for ever.
    DoubtStays,
    /// A line of free text has what the PBX does next go unseen.
    TextSilences,
    /// An exchange is one attempt with a Call-ID, however many there are.
    OneAttemptACall,
    /// A sender's notes about where it sits are believed.
    AnswersNameTheirReceiver,
}

/// What the guard made of a scene.
#[derive(Default)]
pub struct Outcome {
    pub found: Vec<Found>,
    pub bans: Vec<Ban>,
    /// Hosts that are said to have logged in.
    pub logins: Vec<Subject>,
}

/// An offence that was counted.
#[derive(Clone, Copy)]
pub struct Found {
    pub host: IpAddr,
    /// What counted.
    pub event: Event,
    /// It rests on text alone, within reach of a message whose text nobody knows the end of.
    pub free: bool,
    /// The PBX had sent something on the connection that the line is about.
    pub talked: bool,
}

/// The shipped rules and the built-in jails.
pub fn plan() -> &'static (Arc<Plan>, Arc<Matcher>) {
    static PLAN: OnceLock<(Arc<Plan>, Arc<Matcher>)> = OnceLock::new();
    PLAN.get_or_init(|| {
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let config = config::load::parse(&[], &rules.filters()).unwrap();
        let plan = Arc::new(Plan::new(config, rules));
        let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
        let matcher = Matcher::new(&plan.rules, &plan.rules_for(&jails)).unwrap();
        (plan, Arc::new(matcher))
    })
}

/// A log that is read as it is written.
struct Log {
    scanner: Scanner,
    splitter: LineSplitter,
    last: Time,
    read: u64,
    /// A message whose text nobody knows the end of reaches to here.
    free_until: u64,
    /// For [`Flaw::DoubtStays`].
    doubted: bool,
}

/// Whether a line counts by what the PBX did, so that it does not matter what stands before it.
pub fn is_weighed(line: &Event, sight: Sight) -> bool {
    let service = plan().0.rules.get(line.rule).map_or(Service::None, |rule| rule.service.clone());
    let by_hep = sight.hep && service == Service::Pjsip;
    let by_sight = match line.clue.transport {
        Transport::Wrapped => by_hep || sight.talked,
        _ => sight.answers || by_hep,
    };
    let is_sip = matches!(service, Service::Pjsip | Service::ChanSip);
    is_sip && by_sight && line.basis != Basis::Framed
}

struct Guard<'a> {
    scene: &'a Scene,
    flaw: Option<Flaw>,
    engine: Engine,
    exchanges: Exchanges,
    logs: Vec<Log>,
    number: u64,
    talked: HashMap<(IpAddr, u16), (u64, Time)>,
    silent_until: Time,
    calls: HashSet<(IpAddr, ExchangeId)>,
    decisions: Vec<Decision>,
    outcome: Outcome,
    free: bool,
}

/// Runs the `items` of a scene. Without `shadowed`, records that others' text may spoil are read, and count for
/// nothing: those in the same line, and, where text alone counts, those within its reach.
pub fn run<'a>(
    scene: &Scene,
    items: impl Iterator<Item = &'a Item>,
    shadowed: bool,
    flaw: Option<Flaw>,
) -> Outcome {
    let mut guard = Guard::new(scene, flaw);
    let mut tick = time(BEGIN);
    for item in items {
        let now = time(item.at);
        while tick <= now {
            guard.tick(tick);
            tick = tick.plus(TICK);
        }
        guard.take(item, now, shadowed);
    }
    let end = tick.plus(AFTER);
    while tick < end {
        guard.tick(tick);
        tick = tick.plus(TICK);
    }
    guard.outcome.logins = guard.engine.logins().hosts().copied().collect();
    guard.outcome
}

impl<'a> Guard<'a> {
    fn new(scene: &'a Scene, flaw: Option<Flaw>) -> Self {
        let (plan, matcher) = plan();
        let mut engine = Engine::new(Arc::clone(plan));
        let log = |_| {
            let channel = engine.open_channel(plan.jails().map(|(id, _)| id));
            Log {
                scanner: Scanner::new(Arc::clone(matcher), channel),
                splitter: LineSplitter::new(scene.piece),
                last: time(BEGIN),
                read: 0,
                free_until: 0,
                doubted: false,
            }
        };
        let logs = (0..scene.logs).map(log).collect();
        let sight =
            if flaw == Some(Flaw::LinesCountAlone) { Sight::default() } else { scene.sight };
        engine.see(sight);
        Self {
            scene,
            flaw,
            engine,
            exchanges: Exchanges::default(),
            logs,
            number: 0,
            talked: HashMap::new(),
            silent_until: Time::default(),
            calls: HashSet::new(),
            decisions: Vec::new(),
            outcome: Outcome::default(),
            free: false,
        }
    }

    fn tick(&mut self, now: Time) {
        let mut seen = Vec::new();
        self.exchanges.tick(now, &mut seen);
        self.observe(&seen, now);
        self.free = false;
        self.engine.on_tick(now, &mut self.decisions);
        self.settle(now);
    }

    fn take(&mut self, item: &Item, now: Time, shadowed: bool) {
        match &item.what {
            What::Sent(host, port) => {
                let (count, last) = self.talked.entry((*host, *port)).or_insert((0, now));
                if now.since(*last) >= TALKED_LASTS {
                    *count = 0;
                }
                (*count, *last) = (*count + 1, now);
            }
            What::Heard(flow, bytes) => {
                let mut seen = Vec::new();
                self.exchanges.message(flow, bytes, now, &mut seen);
                if self.flaw == Some(Flaw::OneAttemptACall) {
                    let calls = &mut self.calls;
                    seen.retain(|it| it.clue.call.is_none_or(|call| calls.insert((it.host, call))));
                }
                if self.flaw == Some(Flaw::AnswersNameTheirReceiver) {
                    for seen in &mut *seen {
                        seen.host = flow.host;
                    }
                }
                if self.silent_until <= now {
                    self.observe(&seen, now);
                }
            }
            What::Record(record) => {
                let shadow = if shadowed { Shadow::Clear } else { record.shadow };
                self.read(record, now, shadow);
            }
        }
    }

    fn observe(&mut self, seen: &[Observation], now: Time) {
        self.free = false;
        for observation in seen {
            self.number += 1;
            let event = exchange_event::event(&plan().0, observation, self.number, now);
            if let Some(event) = event {
                self.engine.on_event(&event, &mut self.decisions);
                self.settle(now);
            }
        }
    }

    fn read(&mut self, record: &Written, now: Time, shadow: Shadow) {
        let log = &mut self.logs[record.log];
        if log.splitter.is_between_lines() && now.since(log.last) >= REST {
            log.scanner.rested();
            log.free_until = 0;
        }
        log.last = now;
        log.read += record.bytes.len() as u64;
        if record.kind == Kind::Unlisted {
            log.free_until = log.read + REACH;
        }
        if Kind::FREE.contains(&record.kind) {
            log.doubted |= record.bytes.windows(8).any(|word| word == b"VERBOSE[");
            if self.flaw == Some(Flaw::TextSilences) {
                self.silent_until = now.plus(Duration::from_secs(20));
            }
        }
        self.free = log.read <= log.free_until;
        let mut events = Vec::new();
        for bytes in record.bytes.chunks(self.scene.piece) {
            log.splitter.space()[..bytes.len()].copy_from_slice(bytes);
            log.splitter.filled(bytes.len());
            while let Some(region) = log.splitter.next_region() {
                log.scanner.scan(&region, &mut Clock::At(now), &mut events);
            }
        }
        if self.flaw == Some(Flaw::DoubtStays) && log.doubted {
            for event in &mut events {
                event.evidence = Evidence::Hearsay;
            }
        }
        let sight = self.scene.sight;
        let counts = |event: &&Event| match shadow {
            Shadow::Clear => true,
            Shadow::WithinReach => is_weighed(event, sight),
            Shadow::Glued => false,
        };
        for event in events.iter().filter(counts) {
            self.engine.on_event(event, &mut self.decisions);
            self.settle(now);
        }
    }

    /// Takes note of what was decided, and answers what is asked.
    fn settle(&mut self, now: Time) {
        let mut decisions = VecDeque::from(std::mem::take(&mut self.decisions));
        while let Some(decision) = decisions.pop_front() {
            match decision {
                Decision::AskTalked(line) => {
                    let sent = match self.flaw {
                        Some(Flaw::EverythingTalked) => Some(u64::MAX),
                        _ => self.sent(&line, now),
                    };
                    self.engine.on_talked(&line, sent, &mut self.decisions);
                    for decision in self.decisions.drain(..).rev() {
                        decisions.push_front(decision);
                    }
                }
                Decision::Found { host, .. } => self.note(host, now),
                Decision::Ban(ban) => self.outcome.bans.push(ban),
                _ => {}
            }
        }
    }

    /// How much was sent lately on the connection that a line names.
    fn sent(&self, line: &Event, now: Time) -> Option<u64> {
        let (count, last) = self.talked.get(&(line.host, line.clue.port))?;
        (now.since(*last) < TALKED_LASTS).then_some(*count)
    }

    fn note(&mut self, host: IpAddr, now: Time) {
        let counts = |event: &&Event| {
            matches!(event.meaning, Meaning::Offence(_))
                && event.evidence > Evidence::Hearsay
                && !matches!(event.basis, Basis::Beside(_) | Basis::Unmatched)
        };
        let lines = self.engine.explain(host, now, LINES).lines;
        // A ban counts in another jail, without a line of its own.
        let Some(event) = lines.iter().find(counts).copied() else { return };
        let talked = self.sent(&event, now).is_some();
        let free = self.free && event.channel != ChannelId(u16::MAX - 1);
        self.outcome.found.push(Found { host, event, free, talked });
    }
}
