//! What asterguard makes of a log.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{ChannelId, Event, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

/// The shipped rules, ready.
pub struct Asterguard(Arc<Matcher>);

/// What the rules make of the lines that they hit.
pub struct Verdict(Vec<Event>);

impl Asterguard {
    pub fn new() -> Result<Self> {
        let rules = Arc::new(RuleSet::load(None)?);
        let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
        Ok(Self(Arc::new(Matcher::new(&rules, &all)?)))
    }

    /// The verdict on a log that begins and ends with these lines.
    pub fn verdict(&self, log: &[u8]) -> Verdict {
        let mut events = Vec::new();
        let mut scanner = Scanner::new(Arc::clone(&self.0), ChannelId(0));
        scanner.scan(&Region::of(log, 1), &mut Clock::At(Time::default()), &mut events);
        Verdict(events)
    }
}

impl Verdict {
    /// The hosts that this counts against.
    pub fn named(&self) -> BTreeSet<IpAddr> {
        let counts = |event: &&Event| {
            matches!(event.meaning, Meaning::Offence(_)) && event.evidence > Evidence::Hearsay
        };
        self.0.iter().filter(counts).map(|event| event.host).collect()
    }

    /// A word for each line that a rule hit.
    pub fn in_words(&self) -> String {
        let words: Vec<_> = self.0.iter().map(word).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
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
