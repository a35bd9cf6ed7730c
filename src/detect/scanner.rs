//! Lines to events: prefix, pattern set, host, context, evidence.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use regex_automata::Span;
use regex_automata::util::prefilter::Prefilter;

pub use crate::detect::continuation::Context;
use crate::detect::extract::{Extraction, Extractor};
use crate::detect::messages::Messages;
use crate::detect::pieces::{self, Piece};
use crate::detect::prefilter::{PatternSet, PatternSetCache, PatternSetError};
use crate::detect::prefix::{self, DatagramEnd, Level, Shape, Tags};
use crate::detect::stats::Counts;
pub use crate::detect::stats::{ScanStats, UnbelievedHits};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::{HISTORY, Region};
use crate::model::account::Account;
use crate::model::event::{Basis, ChannelId, Clue, Event, Evidence, Meaning, RuleId};
use crate::model::exchange::{ExchangeId, Transport};
use crate::model::subject::canonical;
use crate::model::time::Time;
use crate::rules::date_pattern::Dates;
use crate::rules::pattern::Pattern;
use crate::rules::{Grammar, Rule, RuleFile, RuleSet, TextPlace};

/// The time without anything new after which a message was whole. Asterisk writes a message without
/// a pause, in two or three writes if it is long.
pub const REST: Duration = Duration::from_secs(1);

/// The file of Asterisk's that writes the events of the SECURITY level, as a body begins with it.
const SECURITY_FILE: &[u8] = b"res_security_log.c: ";

/// The time after such an event within which a log is taken to hold that level.
const SECURITY_IS_ON: Duration = Duration::from_secs(3600);

/// Lines of what is read at once that are looked at for their form, while no line was in one that rules are for.
const SAMPLED: usize = 64;

/// All failregexes that matter for a channel, ready to run. Immutable: channels with the same
/// rules share one.
#[derive(Debug)]
pub struct Matcher {
    rules: Arc<RuleSet>,
    /// One group a grammar, and for failregexes of fail2ban's one a `datepattern` and jail in whose table they are; none
    /// where no rule uses it.
    groups: Vec<Group>,
    messages: Messages,
    prefilter: Option<Prefilter>,
    tags: Tags,
}

/// What tells failregexes of fail2ban's apart that see different parts of a line, or whose hits are weighed apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Kind<'a> {
    /// Their `datepattern`.
    dates: Option<&'a str>,
    /// The jail in whose own table they are.
    owner: Option<&'a str>,
}

impl<'a> Kind<'a> {
    fn of(file: &'a RuleFile) -> Self {
        Self { dates: file.datepattern.as_deref(), owner: file.owner.as_deref() }
    }
}

/// Failregexes that see the same of a line.
#[derive(Debug)]
struct Group {
    grammar: Grammar,
    /// The dates that those of fail2ban's do not see.
    dates: Dates,
    /// The programs whose messages they see.
    programs: Vec<String>,
    patterns: PatternSet,
    targets: Vec<Target>,
    /// Finds literals without which none of them matches a line.
    literals: Option<Prefilter>,
}

impl Group {
    /// Whether none of them can match a line, as far as that shows at once.
    fn cannot_match(&self, line: &[u8]) -> bool {
        let span = Span { start: 0, end: line.len() };
        self.literals.as_ref().is_some_and(|literals| literals.find(line, span).is_none())
    }
}

/// What failregexes see of a line that is not Asterisk's.
struct Message<'a> {
    stamp: &'a [u8],
    text: &'a [u8],
    /// The program that wrote it: an index into those of the group, if it has any.
    program: Option<usize>,
}

impl Group {
    /// Returns what they see of a line that is not Asterisk's; `None`: it is not for them.
    fn message<'a>(&self, line: &'a [u8], tags: &Tags) -> Option<Message<'a>> {
        let (stamp, text, program) = match self.grammar {
            Grammar::Kernel => {
                let (stamp, text) = prefix::kernel(line)?;
                (stamp, text, None)
            }
            Grammar::Syslog => {
                let message = prefix::syslog_message(line, tags, &self.programs)?;
                (message.stamp, message.text, Some(message.program))
            }
            Grammar::None | Grammar::Asterisk | Grammar::Fail2ban => (&[][..], line, None),
        };
        Some(Message { stamp, text, program })
    }
}

/// A line as failregexes of fail2ban's see it, and what is known of its log.
#[derive(Debug, Default)]
struct Dateless {
    /// The line without its date.
    line: Vec<u8>,
    /// Whether a line of Asterisk's has been seen.
    of_asterisk: bool,
}

impl Dateless {
    /// Whether a line of this level may be a report; `None` if it is no line of Asterisk's. In its log, anything else may be a
    /// sender's text.
    fn is_report(&mut self, level: Option<Level>) -> bool {
        self.of_asterisk |= level.is_some();
        level.map_or(!self.of_asterisk, |level| level == Level::Report)
    }

    /// Returns the date of a line, and the line without it.
    fn cut<'a>(&'a mut self, text: &'a [u8], dates: &Dates) -> (&'a [u8], &'a [u8]) {
        let date = dates.find(text).unwrap_or_default();
        self.line.clear();
        self.line.extend_from_slice(text.get(..date.start).unwrap_or_default());
        self.line.extend_from_slice(text.get(date.end..).unwrap_or_default());
        (text.get(date).unwrap_or_default(), &self.line)
    }
}

/// The rule that a failregex of a pattern set belongs to.
#[derive(Debug)]
struct Target {
    rule: RuleId,
    /// Whether what it matches is a whole message.
    whole: bool,
    /// See [`Pattern::open`].
    open: bool,
    /// The programs whose messages it sees: indices into the group's.
    programs: Vec<usize>,
    extractor: Extractor,
}

impl Target {
    /// Whether it sees what this program of the group's wrote; `None`: the group has no programs.
    fn sees(&self, program: Option<usize>) -> bool {
        program.is_none_or(|program| self.programs.contains(&program))
    }
}

impl Matcher {
    /// Compiles the failregexes of the rules `wanted`.
    ///
    /// # Errors
    /// Returns an error if they are too large together.
    pub fn new(rules: &Arc<RuleSet>, wanted: &[RuleId]) -> Result<Self, PatternSetError> {
        let chosen: Vec<_> = wanted.iter().filter_map(|id| Some((*id, rules.get(*id)?))).collect();
        let patterns_of = |grammar, kind: Kind<'_>| -> Vec<(RuleId, &Rule, &Pattern)> {
            chosen
                .iter()
                .filter(|(_, rule)| {
                    let file = rules.file_of(rule);
                    file.is_some_and(|file| file.grammar == grammar && Kind::of(file) == kind)
                })
                .flat_map(|(id, rule)| rule.patterns.iter().map(|pattern| (*id, *rule, pattern)))
                .collect()
        };
        let files = rules.files.iter().filter(|file| file.grammar == Grammar::Fail2ban);
        let kinds: BTreeSet<_> = files.map(Kind::of).collect();
        // Those of fail2ban's are first: what a line leaves behind for the next, Asterisk's grammar notes.
        let kinds = kinds.into_iter().map(|kind| (Grammar::Fail2ban, kind));
        let others = [Grammar::Asterisk, Grammar::Kernel, Grammar::Syslog, Grammar::None];
        let mut groups = Vec::new();
        let others = others.map(|grammar| (grammar, Kind::default()));
        for (grammar, kind) in kinds.chain(others) {
            let patterns = patterns_of(grammar, kind);
            if !patterns.is_empty() {
                let regexes: Vec<_> =
                    patterns.iter().map(|(_, _, pattern)| pattern.regex.as_str()).collect();
                let needles = patterns.iter().map(|(_, _, pattern)| pattern.needles.as_slice());
                let needles: Vec<_> = needles.collect();
                let is_other = grammar == Grammar::Fail2ban;
                let files = patterns.iter().filter_map(|(_, rule, _)| rules.file_of(rule));
                let programs: BTreeSet<_> = files.flat_map(|file| file.programs.clone()).collect();
                let programs: Vec<_> = programs.into_iter().collect();
                let places = |rule: &Rule| -> Vec<usize> {
                    let named = rules.file_of(rule).map_or(&[][..], |file| &file.programs);
                    let place = |name| programs.iter().position(|known| known == name);
                    named.iter().filter_map(place).collect()
                };
                let literals = is_other.then(|| super::prefilter::prefilter(&needles)).flatten();
                let targets = patterns
                    .iter()
                    .map(|(id, rule, pattern)| Target {
                        rule: *id,
                        whole: !rule.cut,
                        open: pattern.open,
                        programs: places(rule),
                        extractor: Extractor::new(pattern),
                    })
                    .collect();
                let patterns = PatternSet::new(&regexes)?;
                // A rule file with wrong dates is not loaded.
                let dates = match grammar {
                    Grammar::Fail2ban => Dates::new(kind.dates).unwrap_or(Dates::None),
                    _ => Dates::None,
                };
                groups.push(Group { grammar, dates, programs, patterns, targets, literals });
            }
        }
        // Messages that can be broken in two matter whichever jail's rules are in force.
        let messages = rules.files.iter().flat_map(|file| file.messages.iter().cloned()).collect();
        let messages = Messages::new(messages);
        // Reports of Asterisk are found by the names of their levels: the names are few, seldom
        // stand in other lines, and do not depend on the rules. Other lines are found by the rules'
        // literals.
        let levels: Vec<_> = prefix::REPORTING.map(|text| vec![text.to_vec()]).into();
        let by_text = |rule: &Rule| {
            let file = rules.file_of(rule);
            file.is_some_and(|file| file.grammar != Grammar::Asterisk)
        };
        let others = chosen.iter().filter(|(_, rule)| by_text(rule));
        let others: Vec<_> = others.flat_map(|(_, rule)| &rule.patterns).collect();
        // In what the journal writes as numbers, no name can be found, and a container runtime may cut one in two.
        let hidden = prefix::HIDING.map(|beginning| [beginning.to_vec()]);
        let wanted: Vec<&[Vec<u8>]> = levels
            .iter()
            .map(Vec::as_slice)
            .chain(hidden.iter().map(<[_; 1]>::as_slice))
            .chain(others.iter().map(|pattern| pattern.needles.as_slice()))
            .collect();
        let prefilter = super::prefilter::prefilter(&wanted);
        let tags = Tags::default();
        Ok(Self { rules: Arc::clone(rules), groups, messages, prefilter, tags })
    }

    /// Takes lines in the logs of others for Asterisk's if they have one of these tags.
    #[must_use]
    pub fn with_tags(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }

    /// Returns the memory of the automata, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.groups.iter().map(|group| group.patterns.memory()).sum()
    }
}

/// The source of an event's time.
pub enum Clock<'a> {
    /// It is this, whatever the line says: lines that are read as they are written.
    At(Time),
    /// The line says it; a line without a readable time has the one before it.
    Lines(&'a mut TimestampParser, &'a mut Option<Time>),
    /// The same, and the writer has rested where two dates are [`REST`] apart.
    Replay(&'a mut TimestampParser, &'a mut Option<Time>),
}

impl Clock<'_> {
    fn time(&mut self, stamp: &[u8]) -> Time {
        match self {
            Self::At(now) => *now,
            Self::Lines(parser, last) | Self::Replay(parser, last) => {
                // Time does not run backwards in a log, whatever a line says.
                let time = parser.parse(stamp).max(**last);
                **last = time;
                time.unwrap_or_default()
            }
        }
    }
}

/// Runs a [`Matcher`] over one channel and remembers what that channel's lines stand in. Besides
/// the matcher it needs two buffers of at most a line each, one of 16 KiB where a container runtime writes lines
/// in pieces, and a lazy pattern set's cache.
#[derive(Debug)]
pub struct Scanner {
    matcher: Arc<Matcher>,
    channel: ChannelId,
    caches: Vec<PatternSetCache>,
    context: Context,
    /// Whether anything has been read yet.
    begun: bool,
    /// Whether the writer has rested since.
    rested: bool,
    scratch: Vec<u8>,
    /// What failregexes of fail2ban's see.
    dateless: Dateless,
    /// A line that was put together.
    joined: Vec<u8>,
    found: Vec<usize>,
    /// What the hits in a line proved before they were weighed.
    evidence: Vec<Evidence>,
    counts: Counts,
    free_text: Option<Time>,
    /// The time of the last event of the SECURITY level that stood in a record.
    security: Option<Time>,
    /// Whether a line was in a form that one of the rules is for.
    recognized: bool,
}

impl Scanner {
    /// A scanner for a channel that begins here.
    #[must_use]
    pub fn new(matcher: Arc<Matcher>, channel: ChannelId) -> Self {
        let caches = matcher.groups.iter().map(|group| group.patterns.cache()).collect();
        Self {
            matcher,
            channel,
            caches,
            context: Context::default(),
            begun: false,
            rested: false,
            scratch: Vec::new(),
            dateless: Dateless::default(),
            joined: Vec::new(),
            found: Vec::new(),
            evidence: Vec::new(),
            counts: Counts::default(),
            free_text: None,
            security: None,
            recognized: false,
        }
    }

    /// Goes on with other rules, and the same context.
    pub fn change(&mut self, matcher: Arc<Matcher>, channel: ChannelId) {
        self.caches = matcher.groups.iter().map(|group| group.patterns.cache()).collect();
        self.counts.change(&self.matcher.rules, &matcher.rules);
        self.matcher = matcher;
        self.channel = channel;
    }

    /// Returns what has been counted so far.
    #[must_use]
    pub fn stats(&self) -> ScanStats {
        self.counts.seen
    }

    /// The lines that could not be believed so far, by rule.
    pub fn unbelieved(&self) -> impl Iterator<Item = (RuleId, UnbelievedHits)> {
        self.counts.unbelieved.iter().map(|(id, count)| (*id, *count))
    }

    /// Whether a line was in a form that one of the rules is for.
    #[must_use]
    pub fn recognizes(&self) -> bool {
        self.recognized
    }

    /// Returns when a line that a rule matches last stood so near behind free text that it was not believed.
    #[must_use]
    pub fn free_text(&self) -> Option<Time> {
        self.free_text
    }

    /// Returns what the next line stands in, to be kept over a restart; `None` if nothing has been read.
    #[must_use]
    pub fn context(&self) -> Option<&Context> {
        self.begun.then_some(&self.context)
    }

    /// Goes on where a scanner was that had this context.
    pub fn go_on_in(&mut self, context: Context) {
        self.begun = true;
        self.context = context;
    }

    /// Records that the writer has rested since the last region: what comes next is no part of a
    /// message that was begun before.
    pub fn rested(&mut self) {
        self.rested = true;
    }

    /// Adds an event to `events` for each line of `region` that a rule matches (one for each rule,
    /// should there be several).
    pub fn scan(&mut self, region: &Region<'_>, clock: &mut Clock<'_>, events: &mut Vec<Event>) {
        let rested = std::mem::take(&mut self.rested);
        if !std::mem::replace(&mut self.begun, true) {
            self.look_back(region);
        }
        // The rest came after what stands before the first region, too.
        if rested {
            self.context.rested();
        }
        let text = region.text();
        let matcher = Arc::clone(&self.matcher);
        if !self.recognized {
            let mut lines = text.split(|byte| *byte == b'\n').take(SAMPLED);
            self.recognized = lines.any(|line| matcher.is_for(line, &mut self.scratch));
        }
        self.context.enter(region, &matcher.tags);
        let (mut from, mut number) = (0, region.first_line);
        // What a line in pieces ends with need not show that it matters.
        let mut in_a_run = pieces::is_open(region.bytes.get(..region.start).unwrap_or_default());
        while from < text.len() {
            // Lines that rules match come in runs: the one that follows needs no search.
            let place = if in_a_run { Some(from) } else { matcher.next_place(text, from) };
            let Some(at) = place else { break };
            let skipped = text.get(from..at).unwrap_or_default();
            let start = memchr::memrchr(b'\n', skipped).map_or(from, |lf| from + lf + 1);
            let rest = text.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map_or(text.len(), |lf| at + lf);
            let passed = text.get(from..start).unwrap_or_default();
            number += bytecount::count(passed, b'\n') as u64;
            let line = Line {
                region,
                start,
                text: text.get(start..end).unwrap_or_default(),
                number,
                tags: &matcher.tags,
            };
            let mut joined = std::mem::take(&mut self.joined);
            in_a_run = match pieces::whole(line.before(), line.text, &mut joined) {
                Piece::Whole(text) => self.line(&matcher, &line, text, clock, events),
                Piece::GoesOn => true,
                Piece::Lost => {
                    self.context.note_within(&matcher.messages, line.text, &line);
                    false
                }
            };
            self.joined = joined;
            from = line.next();
            number += 1;
        }
        self.context.leave(region, &matcher.messages, &matcher.tags);
    }

    /// Reads what stands before the first region, for the context alone: what is written after a
    /// start may be the rest of a message from before it.
    fn look_back(&mut self, region: &Region<'_>) {
        let before = region.bytes.get(..region.start).unwrap_or_default();
        // A full history may begin inside a line, whose head cannot be seen.
        let cut = before.len() >= HISTORY;
        let whole = if cut { memchr::memchr(b'\n', before).map(|lf| lf + 1) } else { Some(0) };
        let lines = before.get(whole.unwrap_or(before.len())..).unwrap_or_default();
        let before = Region { after_gap: cut, ..Region::of(lines, 0) };
        self.scan(&before, &mut Clock::At(Time::default()), &mut Vec::new());
        (self.counts, self.free_text) = (Counts::default(), None);
    }

    /// Reads a line, of which this is the whole text, and returns whether a rule matches it.
    fn line(
        &mut self,
        matcher: &Matcher,
        line: &Line<'_>,
        text: &[u8],
        clock: &mut Clock<'_>,
        events: &mut Vec<Event>,
    ) -> bool {
        let mut is_matched = false;
        let reads_asterisk = matcher.groups.iter().any(|group| group.grammar == Grammar::Asterisk);
        for (group, cache) in matcher.groups.iter().zip(&mut self.caches) {
            // What no look at the line is needed for costs the others nothing.
            if reads_asterisk && self.dateless.of_asterisk && group.cannot_match(text) {
                continue;
            }
            let Group { grammar, dates, patterns: pattern_set, targets, .. } = group;
            let (mut is_report, mut of_asterisk) = (true, *grammar == Grammar::Asterisk);
            let mut writer = None;
            let (stamp, shape, body) = match grammar {
                Grammar::Fail2ban => {
                    let stripped = prefix::strip(text, line.tags, &mut self.scratch);
                    let shape = stripped.as_ref().map_or(Shape::Syslog, |stripped| stripped.shape);
                    is_report = self.dateless.is_report(stripped.map(|stripped| stripped.level));
                    of_asterisk = self.dateless.of_asterisk;
                    let (stamp, body) = self.dateless.cut(text, dates);
                    (stamp, shape, body)
                }
                Grammar::None | Grammar::Kernel | Grammar::Syslog => {
                    let Some(text) = group.message(text, line.tags) else { continue };
                    writer = text.program;
                    (text.stamp, Shape::Syslog, text.text)
                }
                Grammar::Asterisk => match prefix::strip(text, line.tags, &mut self.scratch) {
                    Some(stripped) if stripped.level == Level::Report => {
                        (stripped.stamp, stripped.shape, stripped.body)
                    }
                    _ if matcher.passes_over(text) => continue,
                    _ => {
                        self.context.note_within(&matcher.messages, text, line);
                        continue;
                    }
                },
            };
            self.found.clear();
            pattern_set.matching(cache, body, &mut self.found);
            self.found.retain(|index| targets.get(*index).is_some_and(|it| it.sees(writer)));
            let (first, is_hit) = (events.len(), !self.found.is_empty());
            let framing = framing(shape, || is_hit && self.context.is_framed(line));
            for target in self.found.iter().filter_map(|index| targets.get(*index)) {
                // Asterisk cuts a message that is too long; in text, the line feed that it then lacks
                // shows that. To a syslog daemon each message is one, however it ends, and an ESC may
                // have hidden how long it was: all but its head may be its sender's.
                let rule = matcher.rules.get(target.rule);
                let time = clock.time(stamp);
                let told = self.security.is_some_and(|last| time.since(last) < SECURITY_IS_ON);
                let twin = told && rule.is_some_and(|rule| rule.twin);
                let cut = target.open && may_be_cut(shape, of_asterisk, rule);
                let distrust = cut || twin || !is_report;
                events.extend(matcher.judge(target, body, framing).map(|reading| Event {
                    time,
                    channel: self.channel,
                    rule: target.rule,
                    meaning: reading.meaning,
                    host: reading.host,
                    evidence: if distrust { Evidence::Hearsay } else { reading.evidence },
                    line: line.number,
                    account: reading.account,
                    basis: reading.basis,
                    clue: reading.clue,
                }));
            }
            let is_event = framing == Framing::Escaped && body.starts_with(SECURITY_FILE);
            self.security = events.last().filter(|_| is_event).map(|it| it.time).or(self.security);
            is_matched |= is_hit;
            let hits = events.get_mut(first..).unwrap_or_default();
            let mut sender = None;
            // Text that Asterisk itself writes may be broken in two, or hold two messages. A syslog
            // daemon escapes line feeds, and an object holds all of its message.
            let is_text = matches!(shape, Shape::File | Shape::Console);
            let is_loose = *grammar == Grammar::Asterisk && is_text;
            if *grammar == Grammar::Fail2ban {
                let (context, before) = (&mut self.context, &mut self.evidence);
                if weigh_apart(context, &matcher.messages, line, shape, clock, (hits, before)) {
                    self.counts.add(hits);
                }
                if !reads_asterisk {
                    self.context.note_within(&matcher.messages, text, line);
                }
                continue;
            }
            let is_shared = is_loose && prefix::inner_bodies(body).next().is_some();
            if !hits.is_empty() {
                settle(hits);
                if is_shared {
                    hits.iter_mut().for_each(tamper);
                }
                let believed = |hit: &&Event| hit.evidence > Evidence::Hearsay;
                sender = hits.iter().find(believed).map(|hit| (hit.host, hit.evidence));
                let weighed = (&mut *hits, &mut self.evidence);
                if weigh(&mut self.context, &matcher.messages, line, shape, clock, weighed) {
                    self.free_text = hits.first().map(|hit| hit.time);
                }
                self.counts.add(hits);
            }
            if is_loose {
                let mut targets = self.found.iter().filter_map(|index| targets.get(*index));
                let whole = targets.any(|target| target.whole);
                self.context.note(&matcher.messages, body, line, whole, sender);
                if is_shared {
                    self.context.note_within(&matcher.messages, body, line);
                }
            }
        }
        is_matched
    }
}

/// Returns how far the bounds of a message in a line are known. `is_framed`: whether a record stands among objects only.
fn framing(shape: Shape, is_framed: impl FnOnce() -> bool) -> Framing {
    match shape {
        Shape::Json if is_framed() => Framing::Escaped,
        Shape::Datagram(DatagramEnd::Object) => Framing::Escaped,
        Shape::Datagram(_) => Framing::Stripped,
        _ => Framing::None,
    }
}

/// Whether Asterisk may have cut a message without a trace: to a syslog daemon each message is one, however it ends.
fn may_be_cut(shape: Shape, of_asterisk: bool, rule: Option<&Rule>) -> bool {
    match shape {
        Shape::Syslog => of_asterisk,
        Shape::Datagram(DatagramEnd::LineFeed) => !rule.is_some_and(|rule| rule.unbroken),
        Shape::Datagram(DatagramEnd::Unseen) => true,
        _ => false,
    }
}

/// Weighs the `hits` of failregexes of fail2ban's, and returns whether there are any. The context stays as it is: Asterisk's grammar weighs the line again.
fn weigh_apart(
    context: &mut Context,
    messages: &Messages,
    line: &Line<'_>,
    shape: Shape,
    clock: &mut Clock<'_>,
    (hits, before): (&mut [Event], &mut Vec<Evidence>),
) -> bool {
    if hits.is_empty() {
        return false;
    }
    leave_no_hiding_place(hits);
    settle(hits);
    let mut apart = context.apart();
    weigh(&mut apart, messages, line, shape, clock, (hits, before));
    context.take_buffers(apart);
    true
}

/// Lets hits that anybody may have written be about the host that others of the line name: who writes another address into
/// his text does not make his own one ambiguous.
fn leave_no_hiding_place(hits: &mut [Event]) {
    let mut believed = hits.iter().filter(|hit| hit.evidence > Evidence::Hearsay);
    let Some(first) = believed.next().map(|hit| hit.host) else { return };
    if believed.any(|hit| hit.host != first) {
        return;
    }
    for hit in hits.iter_mut().filter(|hit| hit.evidence == Evidence::Hearsay) {
        hit.host = first;
    }
}

/// Makes less of the `hits` in a line that cannot be believed for what stands before it, and returns whether
/// that is because of free text. In a replay, the dates of lines tell when the writer has rested; `before` is a buffer.
fn weigh(
    context: &mut Context,
    messages: &Messages,
    line: &Line<'_>,
    shape: Shape,
    clock: &mut Clock<'_>,
    (hits, before): (&mut [Event], &mut Vec<Evidence>),
) -> bool {
    let Clock::Replay(parser, _) = clock else {
        return context.weigh(messages, line, shape, hits);
    };
    before.clear();
    before.extend(hits.iter().map(|hit| hit.evidence));
    let free_text = context.weigh(messages, line, shape, hits);
    let doubted = hits.iter().zip(&*before).any(|(hit, before)| hit.evidence < *before);
    if !doubted || !context.rested_within(line, shape, |date| parser.parse(date)) {
        return free_text;
    }
    hits.iter_mut().zip(before).for_each(|(hit, before)| hit.evidence = *before);
    context.weigh(messages, line, shape, hits)
}

/// A line of a region.
pub(super) struct Line<'a> {
    pub(super) region: &'a Region<'a>,
    /// The place where it begins in the region's text.
    pub(super) start: usize,
    /// Without its line feed.
    pub(super) text: &'a [u8],
    pub(super) number: u64,
    pub(super) tags: &'a Tags,
}

impl<'a> Line<'a> {
    /// Returns what stands before it: the region's history, and its lines.
    pub(super) fn before(&self) -> &'a [u8] {
        self.region.bytes.get(..self.region.start + self.start).unwrap_or_default()
    }

    /// Returns where the next line begins in the region's text.
    pub(super) fn next(&self) -> usize {
        self.start + self.text.len() + 1
    }
}

/// How far the bounds of a message, and its text, are known to be Asterisk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// A sender may have ended it, or begun another.
    None,
    /// It is one message, from which Asterisk has removed everything from an ESC to the next "m".
    Stripped,
    /// It is one message, as Asterisk wrote it.
    Escaped,
}

/// The judgement of one failregex on a body.
struct Judgement {
    meaning: Meaning,
    host: IpAddr,
    evidence: Evidence,
    account: Option<Account>,
    basis: Basis,
    clue: Clue,
}

const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

impl Matcher {
    /// Whether a line is in a form that one of the rules is for.
    fn is_for(&self, line: &[u8], scratch: &mut Vec<u8>) -> bool {
        self.groups.iter().any(|group| match group.grammar {
            Grammar::None | Grammar::Fail2ban => true,
            Grammar::Kernel => prefix::kernel(line).is_some(),
            Grammar::Syslog => prefix::syslog_message(line, &self.tags, &group.programs).is_some(),
            Grammar::Asterisk => prefix::strip(line, &self.tags, scratch).is_some(),
        })
    }

    /// Returns where in `text`, from `from` on, the next line is that may matter: a place within it.
    fn next_place(&self, text: &[u8], from: usize) -> Option<usize> {
        let span = Span { start: from, end: text.len() };
        match &self.prefilter {
            Some(prefilter) => prefilter.find(text, span).map(|found| found.start),
            None => Some(from),
        }
    }

    /// Whether a line is of those that a search passes over; one behind a line that a rule matches is read without one.
    fn passes_over(&self, line: &[u8]) -> bool {
        self.next_place(line, 0).is_none()
    }

    /// Returns what one failregex makes of a body that it matches; `None`: there is no host in it. What
    /// Asterisk writes proves nothing unless it is framed.
    fn judge(&self, target: &Target, body: &[u8], framing: Framing) -> Option<Judgement> {
        let rule = self.rules.get(target.rule)?;
        let file = self.rules.file_of(rule)?;
        let excused = file.ignoreregex.iter().any(|regex| regex.is_match(body));
        let meaning = if excused { Meaning::Ignored } else { rule.meaning };
        match target.extractor.read(body) {
            Extraction::Nothing => None,
            Extraction::Several => Some(Judgement {
                meaning: Meaning::Tampered,
                host: NOBODY,
                evidence: Evidence::Hearsay,
                account: None,
                basis: Basis::Text,
                clue: Clue::default(),
            }),
            Extraction::One(found_address) => {
                let told = match framing {
                    Framing::Escaped => rule.framed.unwrap_or(rule.evidence),
                    Framing::None | Framing::Stripped => rule.evidence,
                };
                let evidence = match (told, found_address.transport) {
                    (Evidence::Hearsay, _) => Evidence::Hearsay,
                    (_, Transport::Stream | Transport::Wrapped) => Evidence::Proven,
                    // Who was let in has answered our nonce.
                    (_, Transport::Datagram) if meaning != Meaning::Success => Evidence::Unverified,
                    (evidence, Transport::Unknown | Transport::Datagram) => evidence,
                };
                let framed = framing != Framing::None && !rule.service.escapes_nothing();
                // Of other services, nothing but the line is known.
                let is_alone = rule.service.port_list().is_some()
                    || matches!(
                        file.grammar,
                        Grammar::Asterisk | Grammar::Fail2ban | Grammar::Syslog
                    );
                let proves = framed || !is_alone;
                let most = if proves { Evidence::Proven } else { Evidence::Unverified };
                let id = |place: &Option<TextPlace>| ExchangeId::of(place.as_ref()?.read(body)?);
                Some(Judgement {
                    meaning,
                    host: canonical(found_address.host),
                    evidence: evidence.min(most),
                    account: rule.account_in(body),
                    // Where exchanges are seen, one whose evidence is little even so goes by them.
                    basis: if framed && rule.framed.is_none() {
                        Basis::Framed
                    } else {
                        Basis::Text
                    },
                    clue: Clue {
                        call: id(&rule.call),
                        nonce: id(&rule.nonce),
                        port: found_address.port,
                        transport: found_address.transport,
                        protocol: rule.service.protocol(),
                    },
                })
            }
        }
    }
}

/// Brings the readings of one line together: two hosts are a forgery, and a rule that says
/// "ignored" beats the others.
fn settle(hits: &mut [Event]) {
    let first = hits.first().map(|hit| hit.host);
    let tampered =
        hits.iter().any(|hit| hit.meaning == Meaning::Tampered || Some(hit.host) != first);
    let ignored = hits.iter().any(|hit| hit.meaning == Meaning::Ignored);
    for hit in hits {
        if tampered {
            tamper(hit);
        } else if ignored {
            hit.meaning = Meaning::Ignored;
        }
    }
}

/// Lets a hit name nobody.
fn tamper(hit: &mut Event) {
    (hit.meaning, hit.host, hit.evidence) = (Meaning::Tampered, NOBODY, Evidence::Hearsay);
    hit.account = None;
}

#[cfg(test)]
mod tests;
