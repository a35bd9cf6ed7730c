//! What asterguard makes of a log, alone and beside what our answers show.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use asterguard::config;
use asterguard::decide::engine::{Engine, Sight};
use asterguard::decide::exchange_event;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::exchange::Observation;
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{Basis, ChannelId, Decision, Event, Meaning};
use asterguard::model::exchange::{Exchange, Outcome};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use crate::exchanges::{self, Packets, Script, Transport};
use crate::messages::{Message, Record};

/// What the built-in configuration lacks: the jail that `rules/kernel-firewall.toml` describes.
const CONFIG: &str = "[jail.firewall]\nfilter = 'kernel-firewall'\nlogpath = '/var/log/iptables.log'\nclass = 'scan'\n";
const EXCHANGES: &str = include_str!("exchanges.toml");
/// The time of the first packet.
const NOW: Time = Time::from_secs(1_800_000_000);
/// So long after the first packet the line is written.
const WRITTEN: Duration = Duration::from_millis(100);
/// So long after it nothing more comes.
const AFTER: Duration = Duration::from_secs(10);
/// Lines and exchanges of one attempt, at most.
const MOST: usize = 64;

/// The shipped rules and the built-in configuration, ready.
pub struct Asterguard {
    plan: Arc<Plan>,
    matcher: Arc<Matcher>,
    scripts: BTreeMap<String, Script>,
}

/// What comes of an attempt.
pub struct Verdict {
    /// What the rules make of the lines that they hit.
    lines: Vec<Event>,
    /// The hosts that it counts against.
    pub named: BTreeSet<IpAddr>,
    /// What counts most, as the engine believes it.
    ground: Option<Event>,
}

impl Asterguard {
    pub fn new() -> Result<Self> {
        let rules = Arc::new(RuleSet::load(None)?);
        let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
        let matcher = Arc::new(Matcher::new(&rules, &all)?);
        let sources = [("asterguard.toml".into(), CONFIG.to_owned())];
        let config = config::load::parse(&sources, &rules.filters())?;
        let scripts = exchanges::read(EXCHANGES)?;
        let scripts = scripts.into_iter().map(|script| (script.name.clone(), script)).collect();
        Ok(Self { plan: Arc::new(Plan::new(config, rules)), matcher, scripts })
    }

    /// What brings a message about.
    pub fn script(&self, name: &str) -> Result<&Script> {
        self.scripts.get(name).with_context(|| format!("no such exchange: {name}"))
    }

    /// The names of all exchanges.
    #[cfg(test)]
    pub fn scripts(&self) -> impl Iterator<Item = &str> {
        self.scripts.keys().map(String::as_str)
    }

    /// The verdict on a log that begins and ends with these lines, where nothing else is seen.
    pub fn by_text(&self, record: &Record<'_>) -> Verdict {
        self.judge(self.read(record), &[], false, None)
    }

    /// The verdict on that log beside the exchange that brought it about.
    pub fn with_exchange(
        &self,
        message: &Message,
        record: &Record<'_>,
        script: &Script,
    ) -> Verdict {
        let lines = self.read(record);
        let port = lines.iter().map(|line| line.clue.port).find(|port| *port != 0);
        let [call, nonce] = record.traces();
        let packets = Packets {
            over: message.over,
            host: record.source,
            port: port.unwrap_or(5071),
            call: call.unwrap_or("one@example.com"),
            nonce,
        };
        let unread = matches!(message.over, Transport::Tls | Transport::Ws | Transport::Wss);
        let talked = (unread && script.is_answered()).then_some(record.source);
        self.judge(lines, &script.play(&packets, NOW), true, talked)
    }

    fn read(&self, record: &Record<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut scanner = Scanner::new(Arc::clone(&self.matcher), ChannelId(0));
        let mut clock = Clock::At(NOW.plus(WRITTEN));
        scanner.scan(&Region::of(&record.log(), 1), &mut clock, &mut events);
        events
    }

    /// Has the engine take up one attempt, as the running guard does. `sees`: whether anything is seen of the
    /// PBX; `talked`: the host that something was sent to on a connection that is not read.
    fn judge(
        &self,
        lines: Vec<Event>,
        observations: &[Observation],
        sees: bool,
        talked: Option<IpAddr>,
    ) -> Verdict {
        let mut engine = Engine::new(Arc::clone(&self.plan));
        engine.open_channel(self.plan.jails().map(|(id, _)| id));
        engine.see(Sight { answers: sees, hep: sees, talked: sees, ..Sight::default() });
        let event = |it: &Observation| exchange_event::event(&self.plan, it, 1, it.time);
        let mut events: Vec<_> = observations.iter().filter_map(event).collect();
        events.extend(&lines);
        events.sort_by_key(|event| event.time);
        let mut decisions = Vec::new();
        for event in &events {
            engine.on_tick(event.time, &mut decisions);
            engine.on_event(event, &mut decisions);
        }
        engine.on_tick(NOW.plus(AFTER), &mut decisions);
        let mut named = BTreeSet::new();
        while let Some(decision) = decisions.pop() {
            match decision {
                Decision::Found { host, .. } => drop(named.insert(host)),
                Decision::AskTalked(line) => {
                    let sent = talked.is_some_and(|host| line.host == host).then_some(1);
                    engine.on_talked(&line, sent, &mut decisions);
                }
                _ => {}
            }
        }
        let believed =
            named.iter().flat_map(|host| engine.explain(*host, NOW.plus(AFTER), MOST).lines);
        let counts = |event: &Event| {
            let is_offence = matches!(event.meaning, Meaning::Offence(_));
            is_offence && !matches!(event.basis, Basis::Beside(_) | Basis::Unmatched)
        };
        let ground = believed
            .filter(counts)
            .max_by_key(|event| (event.evidence, matches!(event.basis, Basis::Exchange(_))));
        Verdict { lines, named, ground }
    }
}

impl Verdict {
    /// A word for each line that a rule hits.
    pub fn in_words(&self) -> String {
        let words: Vec<_> = self.lines.iter().map(word).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }

    /// Whether it tells of a host, though perhaps it does not count.
    pub fn tells_of(&self, host: IpAddr) -> bool {
        let is_offence = |event: &Event| matches!(event.meaning, Meaning::Offence(_));
        self.lines.iter().any(|event| event.host == host && is_offence(event))
    }

    /// What counts most: how far it is certain, and whether it is an exchange or a line.
    pub fn ground(&self) -> Option<String> {
        let event = self.ground?;
        let what = match event.basis {
            Basis::Exchange(Exchange { outcome, .. }) => match outcome {
                Outcome::CredentialsRefused => "credentials refused",
                Outcome::ChallengeUnanswered => "challenge unanswered",
                Outcome::RefusedOutright => "refused outright",
                Outcome::Probed => "asked for by OPTIONS",
                Outcome::Login => "login",
                Outcome::NeverLoggedIn => "nobody logged in",
            },
            Basis::Talked => "the line, and something was sent",
            _ => "the line",
        };
        Some(format!("{}, {what}", event.evidence))
    }
}

fn word(event: &Event) -> String {
    match event.meaning {
        Meaning::Offence(_) => event.evidence.to_string(),
        Meaning::Success => "success".to_owned(),
        Meaning::Ignored => "ignored".to_owned(),
        Meaning::Tampered => "tampered".to_owned(),
    }
}
