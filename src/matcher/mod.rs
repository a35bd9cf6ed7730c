//! Lines to events: prefix, gate, host, context, evidence.

mod confirm;
mod context;
pub mod gate;
pub mod host;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use regex_automata::Span;
use regex_automata::util::prefilter::Prefilter;

use crate::event::{ChannelId, Event, Evidence, Meaning, RuleId};
use crate::lines::Region;
use crate::prefix::{self, Level};
use crate::rules::{Grammar, MessageShape, RuleSet};
use crate::subject::canonical;
use crate::time::Time;
use crate::timestamp::TimestampParser;
use confirm::{Confirm, Reading};
use context::Context;
use gate::{Cache, Gate, GateError};
use host::Transport;

/// All failregexes that matter for a channel, ready to run. Immutable: channels with the same
/// rules share one.
#[derive(Debug)]
pub struct Matcher {
    rules: Arc<RuleSet>,
    /// One gate a grammar; none where no rule uses the grammar.
    gates: Vec<(Grammar, Gate, Vec<Target>)>,
    messages: Vec<MessageShape>,
    prefilter: Option<Prefilter>,
}

/// What a failregex of a gate belongs to.
#[derive(Debug)]
struct Target {
    rule: RuleId,
    confirm: Confirm,
}

impl Matcher {
    /// Compiles the failregexes of the rules `wanted`.
    ///
    /// # Errors
    /// When they are too large together.
    pub fn new(rules: &Arc<RuleSet>, wanted: &[RuleId]) -> Result<Self, GateError> {
        let chosen: Vec<_> = wanted.iter().filter_map(|id| Some((*id, rules.get(*id)?))).collect();
        let mut gates = Vec::new();
        for grammar in [Grammar::Asterisk, Grammar::None] {
            let patterns: Vec<_> = chosen
                .iter()
                .filter(|(_, rule)| rules.file_of(rule).is_some_and(|file| file.grammar == grammar))
                .flat_map(|(id, rule)| rule.patterns.iter().map(|pattern| (*id, pattern)))
                .collect();
            if !patterns.is_empty() {
                let regexes: Vec<_> =
                    patterns.iter().map(|(_, pattern)| pattern.regex.as_str()).collect();
                let targets = patterns
                    .iter()
                    .map(|(rule, pattern)| Target { rule: *rule, confirm: Confirm::new(pattern) })
                    .collect();
                gates.push((grammar, Gate::new(&regexes)?, targets));
            }
        }
        // Messages that can be broken in two matter whichever jail's rules are in force.
        let messages: Vec<_> =
            rules.files.iter().flat_map(|file| file.messages.iter().cloned()).collect();
        let heads: Vec<_> = messages.iter().map(|message| vec![message.needle.clone()]).collect();
        let needles: Vec<&[Vec<u8>]> = chosen
            .iter()
            .flat_map(|(_, rule)| rule.patterns.iter().map(|pattern| pattern.needles.as_slice()))
            .chain(heads.iter().map(Vec::as_slice))
            .collect();
        let prefilter = gate::prefilter(&needles);
        Ok(Self { rules: Arc::clone(rules), gates, messages, prefilter })
    }

    /// What the automata take, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.gates.iter().map(|(_, gate, _)| gate.memory()).sum()
    }
}

/// Where the time of an event comes from.
pub enum Clock<'a> {
    /// It is this, whatever the line says: lines that are read as they are written.
    At(Time),
    /// The line says it; a line without a readable time has the one before it.
    Lines(&'a mut TimestampParser, &'a mut Option<Time>),
}

impl Clock<'_> {
    fn time(&mut self, stamp: &[u8]) -> Time {
        match self {
            Self::At(now) => *now,
            Self::Lines(parser, last) => {
                // Time does not run backwards in a log, whatever a line says.
                let time = parser.parse(stamp).max(**last);
                **last = time;
                time.unwrap_or_default()
            }
        }
    }
}

/// What a scanner has seen since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Lines that a rule matched.
    pub hits: u64,
    /// Of these, lines that could be read in two ways.
    pub tampered: u64,
    /// Of these, lines whose address could not be trusted.
    pub hearsay: u64,
}

/// Runs a [`Matcher`] over one channel and remembers what that channel's lines stand in. Beside
/// the matcher it needs two buffers of at most a line each, and a lazy gate's cache.
#[derive(Debug)]
pub struct Scanner {
    matcher: Arc<Matcher>,
    channel: ChannelId,
    caches: Vec<Cache>,
    context: Context,
    scratch: Vec<u8>,
    found: Vec<usize>,
    seen: Seen,
}

impl Scanner {
    /// A scanner for a channel that begins here.
    #[must_use]
    pub fn new(matcher: Arc<Matcher>, channel: ChannelId) -> Self {
        let caches = matcher.gates.iter().map(|(_, gate, _)| gate.cache()).collect();
        Self {
            matcher,
            channel,
            caches,
            context: Context::default(),
            scratch: Vec::new(),
            found: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Goes on with other rules, and the same context.
    pub fn change(&mut self, matcher: Arc<Matcher>, channel: ChannelId) {
        self.caches = matcher.gates.iter().map(|(_, gate, _)| gate.cache()).collect();
        self.matcher = matcher;
        self.channel = channel;
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Whether the channel holds free text, so that none of its lines is believed.
    #[must_use]
    pub fn is_hearsay(&self) -> bool {
        self.context.has_free_text()
    }

    /// Adds an event to `events` for each line of `region` that a rule matches (one for each rule,
    /// should there be several).
    pub fn scan(&mut self, region: &Region<'_>, clock: &mut Clock<'_>, events: &mut Vec<Event>) {
        let text = region.text();
        self.context.enter(region, &mut self.scratch);
        let matcher = Arc::clone(&self.matcher);
        let (mut from, mut number) = (0, region.first_line);
        let mut counted = 0;
        while let Some(at) = next_place(matcher.prefilter.as_ref(), text, from) {
            let start = memchr::memrchr(b'\n', text.get(from..at).unwrap_or_default())
                .map_or(from, |lf| from + lf + 1);
            let end = memchr::memchr(b'\n', text.get(at..).unwrap_or_default())
                .map_or(text.len(), |lf| at + lf);
            let line = text.get(start..end).unwrap_or_default();
            number += memchr::memchr_iter(b'\n', text.get(counted..start).unwrap_or_default())
                .count() as u64;
            counted = start;
            self.line(&matcher, region, start, line, number, clock, events);
            from = end + 1;
        }
        self.context.leave(region);
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the loop's state, kept out of self for the borrow checker"
    )]
    fn line(
        &mut self,
        matcher: &Matcher,
        region: &Region<'_>,
        start: usize,
        line: &[u8],
        number: u64,
        clock: &mut Clock<'_>,
        events: &mut Vec<Event>,
    ) {
        for ((grammar, gate, targets), cache) in matcher.gates.iter().zip(&mut self.caches) {
            let (stamp, body) = match grammar {
                Grammar::None => (&line[..0], line),
                Grammar::Asterisk => match prefix::strip(line, &mut self.scratch) {
                    Some(stripped) if stripped.level == Level::Report => {
                        (stripped.stamp, stripped.body)
                    }
                    _ => continue,
                },
            };
            self.found.clear();
            gate.matching(cache, body, &mut self.found);
            if self.found.is_empty() {
                if *grammar == Grammar::Asterisk {
                    self.context.note(&matcher.messages, body, start + line.len());
                }
                continue;
            }
            let mut event = Event {
                time: clock.time(stamp),
                channel: self.channel,
                rule: RuleId(0),
                meaning: Meaning::Ignored,
                host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                evidence: Evidence::Hearsay,
                line: number,
            };
            let first = events.len();
            for target in self.found.iter().filter_map(|index| targets.get(*index)) {
                event.rule = target.rule;
                if matcher.judge(target, body, &mut event) {
                    events.push(event);
                }
            }
            let Some(hits) = events.get_mut(first..).filter(|hits| !hits.is_empty()) else {
                continue;
            };
            self.seen.hits += 1;
            let hearsay = self.context.makes_hearsay(region, start, line, &mut self.scratch);
            settle(hits, hearsay);
            self.seen.tampered +=
                u64::from(hits.iter().any(|hit| hit.meaning == Meaning::Tampered));
            self.seen.hearsay +=
                u64::from(hits.iter().all(|hit| {
                    hit.evidence == Evidence::Hearsay && hit.meaning != Meaning::Tampered
                }));
        }
    }
}

/// Where the next line that may matter is.
fn next_place(prefilter: Option<&Prefilter>, text: &[u8], from: usize) -> Option<usize> {
    if from >= text.len() {
        return None;
    }
    match prefilter {
        Some(prefilter) => {
            prefilter.find(text, Span { start: from, end: text.len() }).map(|span| span.start)
        }
        None => Some(from),
    }
}

impl Matcher {
    /// Fills in what one failregex makes of a body. `false`: nothing.
    fn judge(&self, target: &Target, body: &[u8], event: &mut Event) -> bool {
        let Some(rule) = self.rules.get(target.rule) else { return false };
        match target.confirm.read(body) {
            Reading::Nothing => return false,
            Reading::Several => {
                event.meaning = Meaning::Tampered;
                event.evidence = Evidence::Hearsay;
                event.host = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            }
            Reading::One(sighting) => {
                event.meaning = rule.meaning;
                event.host = canonical(sighting.host);
                event.evidence = match (rule.evidence, sighting.transport) {
                    (Evidence::Hearsay, _) => Evidence::Hearsay,
                    (_, Transport::Stream) => Evidence::Proven,
                    (_, Transport::Datagram) => Evidence::Unverified,
                    (evidence, Transport::Unknown) => evidence,
                };
            }
        }
        let excused = self
            .rules
            .file_of(rule)
            .is_some_and(|file| file.ignoreregex.iter().any(|regex| regex.is_match(body)));
        if excused {
            event.meaning = Meaning::Ignored;
        }
        true
    }
}

/// Brings the readings of one line together: two hosts are a forgery, a rule that says "ignored"
/// beats the others, and what stands in a doubtful place is hearsay.
fn settle(hits: &mut [Event], hearsay: bool) {
    let named = |hit: &Event| (hit.meaning != Meaning::Tampered).then_some(hit.host);
    let first = hits.iter().find_map(named);
    let tampered = hits.iter().any(|hit| named(hit) != first);
    let ignored = hits.iter().any(|hit| hit.meaning == Meaning::Ignored);
    for hit in hits {
        if tampered {
            hit.meaning = Meaning::Tampered;
            hit.host = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        } else if ignored {
            hit.meaning = Meaning::Ignored;
        }
        if hearsay || tampered {
            hit.evidence = Evidence::Hearsay;
        }
    }
}
