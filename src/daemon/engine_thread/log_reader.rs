//! The sources that are read, and the jails that they are read for; each source has a scanner of its own.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::backlog::OldLines;
use super::recent_lines::{LineCursor, RecentLines};
use crate::control::status::{PastError, RuleCount, SourceStatus};
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::detect::prefilter::PatternSetError;
use crate::detect::prefix::Tags;
use crate::detect::scanner::{Clock, Matcher, REST, Scanner, UnbelievedHits};
use crate::input::{
    FollowError, LineSource, Origin, Remotes, Resumed, SourceEvent, SourceKey, SourceNumbers,
    SourceState, glob,
};
use crate::model::clock_step::ClockStep;
use crate::model::event::{
    BANS, ChannelId, Decision, Evidence, JailId, Meaning, RuleId, SIP_RESPONSES,
};
use crate::model::journal_part::JournalPart;
use crate::model::remote_source::RemoteSource;
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::rules::RuleSet;
use crate::store::LogCheckpoint;

/// Bytes read from one file before the others have their turn.
const TURN: u64 = 4 << 20;

/// The age up to which a file that appears is read from its start.
const YOUNG: Duration = Duration::from_secs(5);

/// The time for which it is said that lines behind free text were not believed.
const FREE_TEXT_LASTS: Duration = Duration::from_secs(600);

/// What to do about a log that cannot be read.
pub const LET_READ: &str = "let the guard's group read it, or take it out of `logpath`";

/// Compiled rules by the rules they are made of, and the lines that they are for: channels with the same jails share one.
pub type Matchers = HashMap<(Lines, Vec<RuleId>), Arc<Matcher>>;

/// The lines that a source hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// Those of a log, with whatever header its writer gave them.
    OfLog,
    /// Those of the journal's own source: all are Asterisk's.
    OfJournal,
}

impl Lines {
    fn of(key: &SourceKey) -> Self {
        match key {
            SourceKey::Remote(RemoteSource::Journal(_)) => Self::OfJournal,
            SourceKey::File(_) | SourceKey::Remote(RemoteSource::Ami) => Self::OfLog,
        }
    }

    fn compile(self, plan: &Plan, rules: &[RuleId]) -> Result<Matcher, PatternSetError> {
        let matcher = plan.matcher(rules)?;
        Ok(match self {
            Self::OfLog => matcher,
            Self::OfJournal => matcher.with_tags(Tags::journal()),
        })
    }
}

/// Returns the sources that a plan reads now, each with the jails that read it.
///
/// Jails with the same `logpath` always read the same files: for each list there is one look. With
/// two, a file that appears in between would be read for one jail without the other.
#[must_use]
pub fn wanted(plan: &Plan) -> BTreeMap<SourceKey, Vec<JailId>> {
    let mut lists: BTreeMap<&[String], Vec<JailId>> = BTreeMap::new();
    for (id, jail) in plan.readers() {
        lists.entry(&jail.logpath).or_default().push(id);
    }
    let has_ami = plan.config.ami.as_ref().is_some_and(|ami| ami.enabled);
    let mut sources: BTreeMap<SourceKey, Vec<JailId>> = BTreeMap::new();
    for (logpath, jails) in lists {
        let (mut named, mut patterns) = (Vec::new(), Vec::new());
        for entry in logpath {
            match SourceKey::named(entry) {
                Some(key) => named.push(key),
                None => patterns.push(entry),
            }
        }
        // The name of the manager interface stands in every jail that reads logs, whether it is asked or not.
        named.retain(|key| *key != SourceKey::Remote(RemoteSource::Ami) || has_ami);
        let files = glob::resolve(patterns).into_iter().map(SourceKey::File);
        for key in files.chain(named) {
            sources.entry(key).or_default().extend(&jails);
        }
    }
    // The order of the ids is part of what they are compared by.
    for jails in sources.values_mut() {
        jails.sort_unstable();
    }
    sources
}

/// Returns the log files among the sources that a plan reads now.
#[must_use]
pub fn files(plan: &Plan) -> Vec<PathBuf> {
    wanted(plan).keys().filter_map(SourceKey::path).map(Path::to_owned).collect()
}

/// Returns the parts of the journal among them.
#[must_use]
pub fn parts_of_journal(plan: &Plan) -> Vec<JournalPart> {
    let part = |key| match key {
        SourceKey::Remote(RemoteSource::Journal(part)) => Some(part),
        SourceKey::File(_) | SourceKey::Remote(RemoteSource::Ami) => None,
    };
    wanted(plan).into_keys().filter_map(part).collect()
}

/// Compiles the rules of every source that `plan` reads now. Takes tens of milliseconds.
///
/// # Errors
/// When the rules are too large together.
pub fn compile(plan: &Plan) -> Result<Matchers, PatternSetError> {
    let mut matchers = Matchers::new();
    for (key, jails) in wanted(plan) {
        if let Entry::Vacant(place) = matchers.entry((Lines::of(&key), plan.rules_for(&jails))) {
            let (lines, rules) = place.key();
            let matcher = lines.compile(plan, rules)?;
            place.insert(Arc::new(matcher));
        }
    }
    Ok(matchers)
}

/// The reader of all sources, which feeds the engine.
pub struct Reader {
    channels: Vec<Channel>,
    matchers: Matchers,
    /// Whether paths, or the files they name, have changed.
    moved: bool,
    /// The ways to the helpers that read sources.
    remotes: Remotes,
    /// Sources as they were left before the start, until they are wanted again, and the channels that
    /// stand for them.
    awaited: HashMap<SourceKey, (ChannelId, LogCheckpoint)>,
    /// The text of the last lines that counted.
    recent: RecentLines,
    /// Lines that were not read, in words, since somebody asked.
    lost: Vec<String>,
}

struct Channel {
    id: ChannelId,
    key: SourceKey,
    jails: Vec<JailId>,
    source: Box<dyn LineSource>,
    scanner: Scanner,
    /// The old lines, while lines come that were written before the start.
    old: Option<OldLines>,
    lines: u64,
    /// Whether all that was written has been read, down to the end of a line.
    at_rest: bool,
    /// The time since which that is so.
    rests_since: Option<Time>,
    /// The state that was logged last.
    said: String,
    pace: Pace,
}

/// The progress of reading a file.
#[derive(Debug, Default)]
struct Pace {
    /// The time when it was first looked at.
    first: Option<Time>,
    /// The time when its last line was read.
    line: Option<Time>,
    /// The time when all of it was last read.
    level: Option<Time>,
    errors: u64,
    last_error: Option<(Time, String)>,
}

impl Pace {
    fn note(&mut self, now: Time, lines: bool, level: bool) {
        self.first.get_or_insert(now);
        if lines {
            self.line = Some(now);
        }
        if level {
            self.level = Some(now);
        }
    }

    fn error(&mut self, now: Time, words: &str) {
        self.errors += 1;
        self.last_error = Some((now, words.to_owned()));
    }
}

impl Reader {
    /// Returns a reader without files; [`Reader::refresh`] finds them.
    #[must_use]
    pub fn new(matchers: Matchers) -> Self {
        let (channels, remotes, awaited) = (Vec::new(), Remotes::default(), HashMap::new());
        let recent = RecentLines::default();
        Self { channels, matchers, moved: false, remotes, awaited, recent, lost: Vec::new() }
    }

    /// The same reader, with these ways to the helpers that read sources.
    #[must_use]
    pub fn with_remotes(self, remotes: Remotes) -> Self {
        Self { remotes, ..self }
    }

    /// Goes on with the rules of another plan. Each file is read on from where it is; lines up to
    /// here went by the old rules, lines from here on go by the new ones.
    pub fn change(&mut self, matchers: Matchers) {
        self.matchers = matchers;
        // No jail reads any channel of the old plan: refresh sets all of them again.
        for channel in &mut self.channels {
            channel.jails.clear();
        }
    }

    /// Looks which files there are, begins with new ones and leaves those that no jail reads.
    /// `from` says where new files begin; one that was not made just now begins at its end all the
    /// same: its lines are not today's.
    pub fn refresh(&mut self, engine: &mut Engine, from: Origin, now: Time) {
        let plan = Arc::clone(engine.plan());
        let mut wanted = wanted(&plan);
        self.channels.retain(|channel| {
            let keep = wanted.contains_key(&channel.key);
            if !keep {
                self.moved = true;
                info!("no longer reading {}", channel.key);
                engine.change_channel(channel.id, Vec::new());
            }
            keep
        });
        for channel in &mut self.channels {
            let Some(jails) = wanted.remove(&channel.key) else { continue };
            if channel.jails != jails {
                let lines = Lines::of(&channel.key);
                let matcher = matcher(&mut self.matchers, lines, &plan, &jails);
                let Some(matcher) = matcher else { continue };
                channel.scanner.change(matcher, channel.id);
                engine.change_channel(channel.id, jails.clone());
                channel.jails = jails;
            }
        }
        for (key, jails) in wanted {
            let lines = Lines::of(&key);
            let Some(matcher) = matcher(&mut self.matchers, lines, &plan, &jails) else { continue };
            if let Some((id, left)) = self.awaited.remove(&key) {
                engine.change_channel(id, jails.clone());
                self.moved = true;
                let resumed =
                    Channel::resume(id, left, jails, matcher, (&plan, &self.remotes), now);
                self.channels.push(resumed);
                continue;
            }
            let id = engine.open_channel(jails.clone());
            let is_old = key.path().is_some_and(|path| !is_young(path));
            let from = if from == Origin::Start && is_old { Origin::End } else { from };
            let source = key.open(from, &self.remotes);
            self.moved = true;
            self.channels.push(Channel::new(id, key, jails, source, matcher));
        }
    }

    /// Reads what has been written since, each file up to [`TURN`] bytes, and lets the engine
    /// decide. Returns whether there is more to read.
    pub fn poll(&mut self, engine: &mut Engine, now: Time, decisions: &mut Vec<Decision>) -> bool {
        let mut more = false;
        let mut events = Vec::new();
        for channel in &mut self.channels {
            let before = channel.lines;
            let (scanner, lines) = (&mut channel.scanner, &mut channel.lines);
            let old = &mut channel.old;
            let most = most_evidence(&channel.key);
            let recent = &mut self.recent;
            let mut rested = channel.rests_since.is_some_and(|since| now.since(since) >= REST);
            let poll = channel.source.poll(TURN, &mut |region| {
                if std::mem::take(&mut rested) {
                    scanner.rested();
                }
                let mut clock = old.as_mut().map_or(Clock::At(now), OldLines::clock);
                scanner.scan(&region, &mut clock, &mut events);
                *lines = region.next_line - 1;
                let mut texts = LineCursor::new(&region);
                for event in &mut events {
                    if let Meaning::Offence(_) = event.meaning {
                        if let Some(text) = texts.line(event.line) {
                            recent.push(event.channel, event.line, text);
                        }
                    }
                    event.evidence = event.evidence.min(most);
                }
                match old {
                    Some(old) => {
                        for event in &events {
                            engine.on_old_event(&old.dated(*event, now), now, decisions);
                        }
                    }
                    None => engine.on_events(&events, decisions),
                }
                events.clear();
            });
            more |= poll.more;
            channel.at_rest = !poll.more && poll.between_lines;
            if poll.bytes > 0 || !channel.at_rest {
                channel.rests_since = None;
            }
            self.moved |=
                poll.events.iter().any(|event| matches!(event, SourceEvent::Opened { .. }));
            for event in &poll.events {
                debug!("{}: {event:?}", channel.key);
                match event {
                    SourceEvent::ReadFailed { error } => channel.pace.error(now, error),
                    SourceEvent::PassedOver { bytes } => {
                        let key = &channel.key;
                        self.lost.push(format!("{key}: {bytes} bytes of old lines are left out"));
                    }
                    SourceEvent::RestDropped { bytes } if *bytes > 0 => {
                        let key = &channel.key;
                        self.lost.push(format!(
                            "{key}: the last line of a file had no end, and {bytes} bytes of it are left out"
                        ));
                    }
                    SourceEvent::Gap { why } => {
                        self.lost.push(format!("{}: lines may be missing: {why}", channel.key));
                        channel.pace.error(now, why);
                    }
                    _ => {}
                }
            }
            channel.pace.note(now, channel.lines != before, !poll.more);
            channel.note_old(poll.bytes, !poll.more && !poll.behind, now);
            channel.say_state(now);
        }
        if self.channels.iter().all(|channel| channel.old.is_none()) {
            engine.has_caught_up();
        }
        more
    }

    /// Corrects the time of everything, after the clock was set.
    pub fn correct(&mut self, step: ClockStep) {
        for channel in &mut self.channels {
            channel.correct(step);
        }
        step.correct_all(self.awaited.values_mut().map(|(_, left)| &mut left.read_at));
    }

    /// Records which files were at rest after the last [`Reader::poll`]. `now` is asked for after
    /// it: however long the reading took, no rest looks longer than it was.
    pub fn note_rest(&mut self, now: Time) {
        for channel in self.channels.iter_mut().filter(|channel| channel.at_rest) {
            channel.rests_since.get_or_insert(now);
        }
    }

    /// Continues the logs that were `left` before the start at the places where they were left, and
    /// returns the channels that stand for them now.
    pub fn resume(
        &mut self,
        left: &[LogCheckpoint],
        engine: &mut Engine,
    ) -> HashMap<u16, ChannelId> {
        let mut channels = HashMap::new();
        for left in left {
            let id = engine.open_channel(Vec::new());
            channels.insert(left.channel, id);
            self.awaited.insert(left.key.clone(), (id, left.clone()));
        }
        channels
    }

    /// Records where the logs of `plan` end that are not read yet: this process may not open them,
    /// the next one reads on from there.
    pub fn leave_to_next(&mut self, plan: &Plan, engine: &mut Engine, now: Time) {
        for key in wanted(plan).into_keys() {
            let known = self.channels.iter().any(|channel| channel.key == key);
            if known || self.awaited.contains_key(&key) {
                continue;
            }
            // What cannot be seen begins where the next process finds it.
            let Ok(checkpoint) = key.end() else { continue };
            let id = engine.open_channel(Vec::new());
            let left = LogCheckpoint {
                key: key.clone(),
                channel: id.0,
                checkpoint,
                context: None,
                read_at: now,
            };
            self.awaited.insert(key, (id, left));
        }
    }

    /// Returns where all logs are left if the guard ends now.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<LogCheckpoint> {
        let awaited =
            self.awaited.values().map(|(id, left)| LogCheckpoint { channel: id.0, ..left.clone() });
        self.channels.iter().filter_map(Channel::checkpoint).chain(awaited).collect()
    }

    /// Returns the paths of the files that are read.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.channels.iter().filter_map(|channel| channel.key.path()).map(Path::to_owned).collect()
    }

    /// Returns which lines were not read since the last call, in words.
    pub fn take_lost(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lost)
    }

    /// Whether the paths, or the files they name, have changed since the last call.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns the path of a channel; `bans` for what the jail `recidive` counts, `the wire` for
    /// that, `?` for one that is not read any more.
    #[must_use]
    pub fn path_of(&self, id: ChannelId) -> String {
        match id {
            BANS => return "bans".to_owned(),
            SIP_RESPONSES => return super::sip_channel::NAME.to_owned(),
            _ => {}
        }
        let channel = self.channels.iter().find(|channel| channel.id == id);
        channel.map_or_else(|| "?".to_owned(), |channel| channel.key.to_string())
    }

    /// Returns the text of a line that counted lately, if it is still known.
    #[must_use]
    pub fn text_of(&self, channel: ChannelId, line: u64) -> Option<&[u8]> {
        self.recent.get(channel, line)
    }

    /// Returns the files that a jail reads.
    #[must_use]
    pub fn files_of(&self, jail: JailId) -> Vec<String> {
        let reads = self.channels.iter().filter(|channel| channel.jails.contains(&jail));
        reads.map(|channel| channel.key.to_string()).collect()
    }

    /// Returns the state of each file.
    #[must_use]
    pub fn status(&self, rules: &RuleSet, now: Time) -> Vec<SourceStatus> {
        self.channels.iter().map(|channel| channel.status(rules, now)).collect()
    }
}

impl Channel {
    fn new(
        id: ChannelId,
        key: SourceKey,
        jails: Vec<JailId>,
        source: Box<dyn LineSource>,
        matcher: Arc<Matcher>,
    ) -> Self {
        Self {
            id,
            key,
            jails,
            source,
            scanner: Scanner::new(matcher, id),
            old: None,
            lines: 0,
            at_rest: false,
            rests_since: None,
            said: String::new(),
            pace: Pace::default(),
        }
    }

    /// Goes on with a log that was left before the start.
    fn resume(
        id: ChannelId,
        left: LogCheckpoint,
        jails: Vec<JailId>,
        matcher: Arc<Matcher>,
        (plan, remotes): (&Plan, &Remotes),
        now: Time,
    ) -> Self {
        let zone = plan.log_time_zone();
        let mut old = OldLines::new(left.read_at, now, zone, plan.date_format());
        let key = left.key;
        let (source, found) = match &left.checkpoint {
            // There was nothing to read then: all of it is new.
            None => (key.open(Origin::Start, remotes), false),
            Some(checkpoint) => match key.resume(checkpoint, remotes) {
                Some(Resumed { source, found }) => (source, found),
                // One that makes no sense is as good as none that was ever stored.
                None => {
                    let source = key.open(Origin::End, remotes);
                    return Self::new(id, key, jails, source, matcher);
                }
            },
        };
        if left.checkpoint.is_some() && !found {
            // Another file, or one that is not there yet.
            old.forget_earliest();
        }
        let mut channel = Self::new(id, key, jails, source, matcher);
        // Otherwise the scanner looks back.
        if let Some(context) = left.context.filter(|_| found) {
            channel.scanner.go_on_in(context);
        }
        channel.old = Some(old);
        channel
    }

    fn correct(&mut self, step: ClockStep) {
        let Pace { first, line, level, last_error, errors: _ } = &mut self.pace;
        let error = last_error.as_mut().map(|(time, _)| time);
        let times = [first, line, level, &mut self.rests_since].into_iter().flatten();
        step.correct_all(times.chain(error));
        if let Some(old) = &mut self.old {
            old.correct(step);
        }
    }

    /// Returns where the log is left if the guard ends now.
    fn checkpoint(&self) -> Option<LogCheckpoint> {
        let checkpoint = self.source.checkpoint();
        let is_missing = matches!(self.source.state(), SourceState::Waiting { .. });
        let read_at = self.old.as_ref().map(OldLines::earliest).or(self.pace.level)?;
        (checkpoint.is_some() || is_missing).then(|| LogCheckpoint {
            key: self.key.clone(),
            channel: self.id.0,
            checkpoint,
            context: self.scanner.context().cloned(),
            read_at,
        })
    }

    /// Records what was read; at the end of the file, old lines are over.
    fn note_old(&mut self, bytes: u64, level: bool, now: Time) {
        let Some(old) = &mut self.old else { return };
        old.note(&self.key, bytes, now);
        if level && self.source.checkpoint().is_some() {
            old.end(&self.key, now);
            self.old = None;
        }
    }

    /// Logs when a file can be read that could not, or the other way round.
    fn say_state(&mut self, now: Time) {
        let state = self.source.state().to_string();
        if state != self.said {
            if let SourceState::Unreadable { why } = self.source.state() {
                match why {
                    // It says what to do.
                    FollowError::Helper(_) => warn!("{}: {state}", self.key),
                    _ => warn!("{}", Trouble::new(format!("{}: {state}", self.key), LET_READ)),
                }
                self.pace.error(now, &state);
            } else {
                info!("{}: {state}", self.key);
            }
            self.said = state;
        }
    }

    fn status(&self, rules: &RuleSet, now: Time) -> SourceStatus {
        let named = |(id, count): (RuleId, UnbelievedHits)| {
            let rule = rules.name_of(id)?;
            Some(RuleCount { rule, tampered: count.tampered, hearsay: count.hearsay })
        };
        let mut unbelieved: Vec<_> = self.scanner.unbelieved().filter_map(named).collect();
        unbelieved.sort_by_key(|count| std::cmp::Reverse((count.tampered, count.hearsay)));
        let seen = self.scanner.stats();
        let since = |time: Option<Time>| time.map_or(0, |time| now.since(time).as_secs());
        let SourceNumbers { unread, oversized } = self.source.status();
        let pace = &self.pace;
        SourceStatus {
            path: self.key.to_string(),
            state: self.source.state().to_string(),
            lines: self.lines,
            last_line: pace.line.map(Time::secs),
            silent_for: since(pace.line.or(pace.first)),
            unread,
            lag: if unread == 0 { 0 } else { since(pace.level) },
            errors: pace.errors,
            last_error: pace.last_error.as_ref().map(|(time, words)| PastError::new(*time, words)),
            hits: seen.hits,
            tampered: seen.tampered,
            hearsay: seen.hearsay,
            unbelieved,
            oversized,
            free_text: self
                .scanner
                .free_text()
                .is_some_and(|last| now.since(last) < FREE_TEXT_LASTS),
            recognized: self.scanner.recognizes(),
        }
    }
}

/// Returns the best evidence that a line of a source can be. Asterisk's manager escapes nothing, whatever the rules say.
fn most_evidence(key: &SourceKey) -> Evidence {
    match key {
        SourceKey::Remote(RemoteSource::Ami) => Evidence::Unverified,
        SourceKey::File(_) | SourceKey::Remote(RemoteSource::Journal(_)) => Evidence::Proven,
    }
}

/// Whether a file was made since the last few looks.
fn is_young(path: &Path) -> bool {
    let made = std::fs::metadata(path).and_then(|metadata| metadata.created());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < YOUNG))
}

/// Returns the compiled rules for lines that these jails read.
fn matcher(
    matchers: &mut Matchers,
    lines: Lines,
    plan: &Plan,
    jails: &[JailId],
) -> Option<Arc<Matcher>> {
    let key = (lines, plan.rules_for(jails));
    if let Some(matcher) = matchers.get(&key) {
        return Some(Arc::clone(matcher));
    }
    match lines.compile(plan, &key.1) {
        Ok(matcher) => {
            let matcher = Arc::new(matcher);
            matchers.insert(key, Arc::clone(&matcher));
            Some(matcher)
        }
        Err(error) => {
            warn!("{error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;
    use crate::config;

    /// Returns a reader of one file from its end, and the engine that it feeds.
    fn reader_of(log: &Path) -> (Reader, Engine) {
        let main = log.with_extension("toml");
        std::fs::write(&main, format!("[default]\nlogpath = {log:?}\n")).unwrap();
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let filters: Vec<_> = rules.files.iter().map(|file| file.name.clone()).collect();
        let plan = Plan::new(config::load(Some(&main), &filters).unwrap(), rules);
        let mut reader = Reader::new(compile(&plan).unwrap());
        let mut engine = Engine::new(Arc::new(plan));
        reader.refresh(&mut engine, Origin::End, Time::default());
        (reader, engine)
    }

    /// Returns the hosts that are found to have offended, in lines of which each is written when
    /// its time has come, in milliseconds after the first look. The log has `before` in it then.
    fn found(before: &str, lines: &[(i64, &str)]) -> Vec<String> {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("messages");
        std::fs::write(&log, before).unwrap();
        let (mut reader, mut engine) = reader_of(&log);
        let mut decisions = Vec::new();
        for (millis, line) in [(0, "")].iter().chain(lines) {
            let mut file = File::options().append(true).open(&log).unwrap();
            file.write_all(line.as_bytes()).unwrap();
            let now = Time::from_millis(*millis);
            while reader.poll(&mut engine, now, &mut decisions) {}
            reader.note_rest(now);
        }
        let found = decisions.iter().filter_map(|decision| match decision {
            Decision::Found { host, .. } => Some(host.to_string()),
            _ => None,
        });
        // Several jails count each.
        let mut found: Vec<_> = found.collect();
        found.dedup();
        found
    }

    #[test]
    fn a_message_that_asterisk_has_done_with_casts_no_doubt() {
        let user = |host: &str, name: &str| {
            format!(
                "[x] NOTICE[1] manager.c: {host} tried to authenticate with nonexistent user '{name}'\n"
            )
        };
        let (eve, mallory) = (user("198.51.100.1", "a"), user("198.51.100.2", "b"));
        let times = |second| found("", &[(0, eve.as_str()), (second, mallory.as_str())]);
        assert_eq!(times(999), ["198.51.100.1"], "it could be the end of Eve's");
        assert_eq!(times(1000), ["198.51.100.1", "198.51.100.2"]);
        // In the middle of a line, Asterisk has not done with it, however long it takes.
        let (head, tail) = mallory.split_at(20);
        assert_eq!(found("", &[(0, &(eve + head)), (5000, tail)]), ["198.51.100.1"]);
    }

    /// Nor does one from before the start, once the log has been seen to rest.
    #[test]
    fn finished_message_before_start_is_trusted() {
        let refused = "chan_iax2.c: Host 198.51.100.1 failed MD5 authentication for 'x' (a != b)\n";
        let before = format!("[x] NOTICE[1] {refused}");
        let eve = format!("[x] NOTICE[1] {}", refused.replace(".1 ", ".2 "));
        assert_eq!(found(&before, &[(999, eve.as_str())]), [""; 0], "it could be the end of it");
        assert_eq!(found(&before, &[(1000, eve.as_str())]), ["198.51.100.2"]);
        // What is half a line at the start goes on, however long it takes.
        assert_eq!(found(before.trim_end(), &[(5000, &eve), (5000, &eve)]), [""; 0]);
    }

    #[test]
    fn new_file_is_read_from_its_start_for_all_its_jails() {
        let home = tempfile::tempdir().unwrap();
        let main = home.path().join("asterguard.toml");
        let text = format!("[default]\nlogpath = '{}/pbx*'\n", home.path().display());
        std::fs::write(&main, text).unwrap();
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let filters: Vec<_> = rules.files.iter().map(|file| file.name.clone()).collect();
        let plan = Plan::new(config::load(Some(&main), &filters).unwrap(), rules);
        let readers = plan.readers().count();
        let make_logs = {
            let home = home.path().to_owned();
            move || (0..200).try_for_each(|n| File::create(home.join(format!("pbx{n}"))).map(drop))
        };
        let maker = std::thread::spawn(make_logs);
        let mut all_made = false;
        while !all_made {
            all_made = maker.is_finished();
            let files = wanted(&plan);
            assert!(files.values().all(|jails| jails.len() == readers), "{files:?}");
            assert!(!all_made || files.len() == 200);
        }
        maker.join().unwrap().unwrap();
    }
}
