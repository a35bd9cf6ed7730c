//! The context of a channel's lines: text from outside that may go on into the next line.
//!
//! Some messages hold text that a sender chose and that may hold line feeds. Where such a message
//! is cut in two, what follows may be a complete forged line at the start of a line; there is no
//! end to it that could not be forged too. So everything within reach (as much text as the message
//! can hold, [`LONGEST_MESSAGE`] bytes at most) of a message that did not end as it should, of the
//! head of a raw packet, or of a line so long that Asterisk cut it, is hearsay; only the host that the
//! message itself names may be named again, because the text is its own. Asterisk writes a message at
//! once: when it has rested, the message is over, and so is the doubt. A console shows free text
//! between its messages, and VERBOSE and DEBUG lines hold it, which casts the same doubt.
//!
//! Where a syslog daemon or a container runtime puts something around each line, a message takes more room than it
//! has bytes: each of its line feeds begins another line with another header. Doubts reach further there, and all lines are
//! looked at, since what can be seen of the text before a line is less than that.
//!
//! No list of messages that can be broken is complete. So a line by itself proves nothing, and behind a
//! message that no rule reads to its end nobody logs in, as far as such a text may reach; unless the rules
//! say that nothing of it is a sender's, or how it ends. Only records of a file that holds nothing but
//! objects are whole by themselves. No doubt lasts: all that has to be remembered of a channel's past is how far
//! each reaches.

use std::net::IpAddr;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::messages::{Messages, is_of};
use super::pieces::{self, Piece};
use super::scanner::{Line, REST};
use crate::detect::prefix::{self, Level, Shape, Tags};
use crate::input::line_splitter::Region;
use crate::model::event::{Event, Evidence, Meaning};
use crate::model::time::Time;
use crate::rules::{LONGEST_MESSAGE, MessageShape};

/// The number of bytes of a message's text that a doubt reaches at most.
const REACH: u64 = LONGEST_MESSAGE as u64;

/// Lines at the beginning of a region that are looked at for what is around them.
const MEASURED: usize = 8;

/// Bytes that a runtime may put around a line.
const MOST_AROUND: u64 = 4096;

/// Bytes that a byte of a message takes in a record at most (`\u0001`).
const ESCAPED: u64 = 6;
/// The same where the journal writes bytes as numbers (`255,`).
const AS_NUMBER: u64 = 4;
/// Bytes by which what is put around lines differs, as far as it is measured: fractions of a second, commas.
const DIFFERS: u64 = 32;

/// Senders whose text is told apart; with more at the same time, that of the others is nobody's.
const DOUBTS: usize = 4;

/// The levels whose lines hold text of any origin, as they stand before a thread's number in brackets.
const FREE_TEXT: [&[u8]; 2] = [b"VERBOSE", b"DEBUG"];

/// Messages within a line that are looked at one by one.
const MOST_WITHIN: usize = 8;

/// Text that a host outside may have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Doubt {
    /// The place in the channel of the last message that cast it.
    #[serde(default)]
    since: u64,
    /// The end of its reach: a place in the channel.
    until: u64,
    sender: Option<Sender>,
}

/// The dates that have been looked at for a time at which the writer rested: none went back, and it rested at none
/// that is still within reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dates {
    /// The shape of the line that they were looked at for.
    shape: Shape,
    /// The place in the channel up to which they were.
    until: u64,
    /// The latest one, and where the line begins that has it or, of equal ones, the last of them.
    latest: Option<(Time, u64)>,
}

impl Dates {
    /// Whether a look at what stands from `begin` to `end` can go on behind them: the latest one is the same as if they
    /// were looked at again.
    fn go_on(&self, begin: u64, end: u64, shape: Shape) -> bool {
        self.shape == shape
            && (begin..=end).contains(&self.until)
            && self.latest.is_some_and(|(_, place)| place >= begin)
    }
}

/// The host that wrote a doubtful text, if that is known, and how far that is known itself.
pub(super) type Sender = (IpAddr, Evidence);

impl Doubt {
    /// Returns how far a line in the text may be believed: what names its sender is believed like
    /// the line that named it first. No host forges an offence of its own; a login, it would.
    fn leaves(&self, hit: &Event) -> Evidence {
        match self.sender {
            Some((sender, evidence)) if sender == hit.host && hit.meaning != Meaning::Success => {
                evidence
            }
            _ => Evidence::Hearsay,
        }
    }
}

/// Returns the lines of a text, each with its line feed.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', text).map_or(text.len(), |lf| lf + 1);
        let (line, after) = text.split_at_checked(end)?;
        text = after;
        (!line.is_empty()).then_some(line)
    })
}

/// The state of a channel: a few words, and a buffer of at most a line. What is kept over a restart
/// holds right after a region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The region's place in the channel: bytes of all lines before it.
    base: u64,
    /// The doubts that there are.
    doubts: [Doubt; DOUBTS],
    /// The place in the channel up to which a console has been looked at for free text.
    looked_at: u64,
    /// The place of the last free text of a console, and where its reach ends.
    #[serde(default)]
    console_since: u64,
    #[serde(default)]
    console_until: u64,
    /// Bytes that are around each line; 0: nothing is.
    #[serde(default)]
    around: u64,
    /// Whether Asterisk itself was seen to write there, so that nothing is around its lines.
    #[serde(default)]
    is_plain: bool,
    /// The place in the region up to which lines are known to begin as messages do.
    #[serde(skip)]
    known: usize,
    /// Whether the next region begins with a message.
    #[serde(skip)]
    rested: bool,
    /// The place in the channel where the writer last rested: no free text from before that reaches
    /// further.
    #[serde(default)]
    rested_at: u64,
    /// The dates that have been looked at for that.
    #[serde(skip)]
    dates: Option<Dates>,
    /// The place in the channel up to which messages that nobody knows may reach.
    #[serde(default)]
    unknown_until: u64,
    /// The place of the last of them.
    #[serde(default)]
    unknown_since: u64,
    /// The place in the channel up to which a record that is no object may reach.
    #[serde(default)]
    unframed_until: u64,
    /// The place in the channel up to which records have been looked at for that.
    #[serde(default)]
    framing_seen: u64,
    /// The place in the channel of the last VERBOSE or DEBUG line that was found.
    #[serde(default)]
    free_text_at: Option<u64>,
    /// The place in the channel up to which lines have been looked at for that.
    #[serde(default)]
    free_text_seen: u64,
    /// Whether the region holds the name of a level of free text, where that has been looked at.
    #[serde(skip)]
    named: Option<bool>,
    /// Whether the region holds entries of the journal that name no level, where that has been looked at.
    #[serde(skip)]
    hidden: Option<bool>,
    #[serde(skip)]
    scratch: Vec<u8>,
    /// A line that was put together.
    #[serde(skip)]
    joined: Vec<u8>,
}

impl Context {
    /// Begins with a region.
    pub fn enter(&mut self, region: &Region<'_>, tags: &Tags) {
        self.known = if std::mem::take(&mut self.rested) { 0 } else { usize::MAX };
        (self.named, self.hidden) = (None, None);
        self.measure(region.text(), tags);
        if region.after_gap {
            let until = self.base + self.raw(REACH);
            self.doubt(None, self.base, until);
            self.looked_at = self.base;
            self.dates = None;
            (self.framing_seen, self.unframed_until) = (self.base, until);
        }
    }

    /// Ends with a region. Where the next one cannot see as much of it as matters, all that is left of it is looked at.
    pub(super) fn leave(&mut self, region: &Region<'_>, messages: &Messages, tags: &Tags) {
        let text = region.text();
        if self.around > 0 && !text.is_empty() {
            let first = text.get(..1).unwrap_or_default();
            // No line, but the place behind the last one; it is of the same kind as the first.
            let end = Line { region, start: text.len(), text: first, number: 0, tags };
            self.look_for_free_text(messages, &end);
            self.look_for_levels_of_free_text(&end);
            self.look_at_framing(&end);
        }
        self.base += text.len() as u64;
    }

    /// Measures what is around the lines of a text. A sender may write lines that look as if they had headers; but where
    /// every line has one, nobody can write a line without.
    fn measure(&mut self, text: &[u8], tags: &Tags) {
        if self.is_plain {
            return;
        }
        for line in text.split(|byte| *byte == b'\n').take(MEASURED) {
            let own = prefix::unwrapped(line, tags, &mut self.scratch).len();
            let around = line.len().saturating_sub(own);
            if around == 0 && prefix::begins_message(line, tags, &mut self.scratch) {
                self.is_plain = true;
                self.around = 0;
                self.shorten();
                return;
            }
            if around > 0 {
                // What was written in another way is shorter now, and a sender can write much of that.
                let count = |of: u8| memchr::memchr_iter(of, line).count() as u64;
                let shrunk = (ESCAPED - 1) * count(b'\\') + (AS_NUMBER - 1) * count(b',');
                let around = (around as u64).saturating_sub(shrunk).max(1);
                self.around = self.around.max(around.min(MOST_AROUND));
            }
        }
    }

    /// Lets no doubt reach further than a message does where nothing is around its lines.
    fn shorten(&mut self) {
        let end = |since: u64, until: u64| until.min(since + 2 * REACH);
        for doubt in &mut self.doubts {
            doubt.until = end(doubt.since, doubt.until);
        }
        self.unknown_until = end(self.unknown_since, self.unknown_until);
        self.console_until = end(self.console_since, self.console_until);
        self.unframed_until = self.unframed_until.min(self.framing_seen + REACH);
    }

    /// Returns the most bytes of the channel that as many bytes of a message take: each may be a line.
    fn raw(&self, bytes: u64) -> u64 {
        if self.around == 0 { bytes } else { bytes * (self.around + ESCAPED + DIFFERS) }
    }

    /// Returns a copy to weigh by, which has the buffers until they are [taken back](Self::take_buffers).
    pub(super) fn apart(&mut self) -> Self {
        let buffers = (std::mem::take(&mut self.scratch), std::mem::take(&mut self.joined));
        let mut apart = self.clone();
        (apart.scratch, apart.joined) = buffers;
        apart
    }

    /// Takes the buffers back of a copy that was made by [`Self::apart`].
    pub(super) fn take_buffers(&mut self, apart: Self) {
        (self.scratch, self.joined) = (apart.scratch, apart.joined);
    }

    /// Records that what comes next begins a message.
    pub fn rested(&mut self) {
        self.doubts = Default::default();
        self.console_until = self.base;
        self.looked_at = self.base;
        self.rested_at = self.base;
        self.unknown_until = self.base;
        self.rested = true;
    }

    /// Looks at the dates of the lines within reach before `line`, and its own, for a time at which the writer
    /// rested, and returns whether there is one. `read` reads dates; whoever writes lines of others writes
    /// no later date than that of its own message, so the latest so far is what counts.
    ///
    /// Each line is looked at once, as long as dates do not go back.
    pub(super) fn rested_within(
        &mut self,
        line: &Line<'_>,
        shape: Shape,
        mut read: impl FnMut(&[u8]) -> Option<Time>,
    ) -> bool {
        let end = self.base + line.next() as u64;
        let text = line.region.bytes.get(..line.region.start + line.next()).unwrap_or_default();
        let within = usize::try_from(end.saturating_sub(self.rested_at).min(2 * REACH));
        let length = within.unwrap_or(usize::MAX).min(text.len());
        let begin = end - length as u64;
        let known = self.dates.take().filter(|dates| dates.go_on(begin, end, shape));
        let mut dates = known.unwrap_or(Dates { shape, until: begin, latest: None });
        let unseen = usize::try_from(end - dates.until).unwrap_or(usize::MAX).min(text.len());
        let (mut rest, mut is_plain) = (None, true);
        for text in lines(text.get(text.len() - unseen..).unwrap_or_default()) {
            let here = dates.until;
            dates.until += text.len() as u64;
            let stripped = prefix::strip(text.trim_ascii_end(), line.tags, &mut self.scratch);
            let Some(date) = stripped.and_then(|stripped| read(stripped.stamp)) else {
                // In a file it belongs to the message before; on a console it may be of any time.
                if shape == Shape::Console {
                    (dates.latest, is_plain) = (None, false);
                }
                continue;
            };
            let latest = dates.latest.map(|(latest, _)| latest);
            if latest.is_some_and(|latest| date.since(latest) >= REST) {
                rest = Some(here);
            }
            is_plain &= latest.is_none_or(|latest| date >= latest);
            dates.latest = Some((latest.max(Some(date)).unwrap_or(date), here));
        }
        self.dates = is_plain.then_some(dates);
        let Some(rest) = rest else { return false };
        for doubt in self.doubts.iter_mut().filter(|doubt| doubt.since < rest) {
            *doubt = Doubt::default();
        }
        self.rested_at = rest;
        if self.unknown_since < rest {
            self.unknown_until = 0;
        }
        if self.console_since < rest {
            self.console_until = 0;
        }
        self.known = line.start;
        true
    }

    /// Records a message: whether it is `whole` (a rule matches it) or ends as it should, and
    /// whether what follows may be its sender's. `sender` is the host that it names, if the rule is sure.
    pub(super) fn note(
        &mut self,
        messages: &Messages,
        body: &[u8],
        line: &Line<'_>,
        whole: bool,
        sender: Option<Sender>,
    ) {
        let (start, next) = (self.base + line.start as u64, self.base + line.next() as u64);
        let reaches = messages.of(body, whole).map(|message| {
            let whole = whole || message.own || has_end(message, body);
            let in_doubt = || self.doubts.iter().any(|doubt| start < doubt.until);
            let doubted = !whole || message.dump || (message.echo && in_doubt());
            if doubted { message.reach as u64 } else { 0 }
        });
        match reaches.max() {
            Some(0) => {}
            Some(reach) => self.doubt(sender, start, next + self.raw(reach)),
            None if whole => {}
            None => (self.unknown_since, self.unknown_until) = (start, next + self.raw(REACH)),
        }
    }

    /// Records the messages that begin within a `text` that stands in `line`. With many of them,
    /// a sender has put them there: whatever follows may be its own.
    pub(super) fn note_within(&mut self, messages: &Messages, text: &[u8], line: &Line<'_>) {
        let mut bodies = prefix::inner_bodies(text);
        for body in bodies.by_ref().take(MOST_WITHIN) {
            self.note(messages, &body, line, false, None);
        }
        if bodies.next().is_some() {
            let (start, next) = (self.base + line.start as u64, self.base + line.next() as u64);
            self.doubt(None, start, next + self.raw(REACH));
        }
    }

    /// From `now` on, doubts everything up to `until` that does not name `sender`.
    fn doubt(&mut self, sender: Option<Sender>, now: u64, until: u64) {
        let host = |sender: Option<Sender>| sender.map(|(host, _)| host);
        let known = self.doubts.iter().position(|doubt| host(doubt.sender) == host(sender));
        let free = || self.doubts.iter().position(|doubt| doubt.until <= now);
        let (place, sender) = known.or_else(free).map_or((0, None), |place| (place, sender));
        if let Some(doubt) = self.doubts.get_mut(place) {
            let goes_on = doubt.until > now;
            let sender = if goes_on { sender.min(doubt.sender) } else { sender };
            *doubt = Doubt { since: now, until: until.max(doubt.until), sender };
        }
    }

    /// Makes less of the `hits` in a line that cannot be believed for what stands before it.
    /// Returns whether that is because of free text.
    pub(super) fn weigh(
        &mut self,
        messages: &Messages,
        line: &Line<'_>,
        shape: Shape,
        hits: &mut [Event],
    ) -> bool {
        let start = self.base + line.start as u64;
        let follows_on = match shape {
            Shape::File => self.follows_on(messages, line),
            Shape::Console | Shape::Json => {
                self.look_for_free_text(messages, line);
                self.looked_at = self.base + line.next() as u64;
                start < self.console_until
            }
            Shape::Syslog => false,
            // What stands beside it in the journal, others wrote.
            Shape::Datagram(_) => return false,
        };
        // An object, or a line as a syslog daemon writes it, may stand in text, too.
        let free_text = self.holds_free_text(line);
        self.known = line.next();
        for hit in hits {
            let doubts = self.doubts.iter().filter(|doubt| start < doubt.until);
            let left = doubts.map(|doubt| doubt.leaves(hit)).min();
            let by_nobody = start < self.unknown_until && hit.meaning == Meaning::Success;
            let hearsay = free_text || follows_on || by_nobody;
            let most = if hearsay { Evidence::Hearsay } else { Evidence::Proven };
            hit.evidence = hit.evidence.min(left.unwrap_or(most)).min(most);
        }
        free_text
    }

    /// Whether `line` is a record of a file that is nothing but objects, as far as a message may reach: the
    /// sender of one can neither end it nor begin another.
    pub(super) fn is_framed(&mut self, line: &Line<'_>) -> bool {
        let here = self.look_at_framing(line);
        self.framing_seen = here + line.text.len() as u64 + 1;
        let is_record = prefix::is_record(line.text, line.tags, &mut self.scratch);
        is_record && here >= self.unframed_until
    }

    /// Looks for lines before `line` that are no records, and returns where in the channel it is.
    fn look_at_framing(&mut self, line: &Line<'_>) -> u64 {
        let here = self.base + line.start as u64;
        let before = line.region.bytes.get(..line.region.start + line.start).unwrap_or_default();
        let unseen = here.saturating_sub(self.framing_seen).min(self.raw(REACH));
        let length = usize::try_from(unseen).unwrap_or(usize::MAX).min(before.len());
        let (whole, text) = before.split_at(before.len() - length);
        let mut place = here - length as u64;
        // A record whose beginning is out of reach matters no more.
        let cut = place != self.framing_seen && !whole.ends_with(b"\n");
        for (at, record) in lines(text).enumerate() {
            place += record.len() as u64;
            let record = record.trim_ascii_end();
            let passed = record.is_empty() || (at == 0 && cut);
            if !passed && !self.is_record(record, line.tags) {
                self.unframed_until = place + self.raw(REACH);
            }
        }
        self.framing_seen = here;
        here
    }

    /// Whether a line is an object that holds all of a message, or the line that Asterisk writes ahead of them into a
    /// new file (`main/logger.c`).
    fn is_record(&mut self, text: &[u8], tags: &Tags) -> bool {
        prefix::is_record(text, tags, &mut self.scratch)
            || prefix::is_banner(prefix::unwrapped(text, tags, &mut self.scratch))
    }

    /// Whether a VERBOSE or DEBUG line stands within reach before `line`: packets and dialplan text stand in
    /// them without any mark of their end. It may begin within a line, where the record before it was cut.
    fn holds_free_text(&mut self, line: &Line<'_>) -> bool {
        let oldest = self.look_for_levels_of_free_text(line);
        self.free_text_at.is_some_and(|at| at >= oldest)
    }

    /// Looks for VERBOSE and DEBUG lines before `line`, and returns the place in the channel from which on they matter.
    fn look_for_levels_of_free_text(&mut self, line: &Line<'_>) -> u64 {
        let here = self.base + line.start as u64;
        let oldest = self.rested_at.max(here.saturating_sub(self.raw(REACH)));
        let before = line.region.bytes.get(..line.region.start + line.start).unwrap_or_default();
        let unseen = here.saturating_sub(self.free_text_seen.max(oldest));
        let length = usize::try_from(unseen).unwrap_or(usize::MAX).min(before.len());
        let (known, text) = before.split_at(before.len() - length);
        // Most logs have no such lines at all.
        let ahead = line.region.bytes.get(known.len()..).unwrap_or_default();
        let named = || names_free_text(ahead);
        // Only an entry of the journal can hold one without its name.
        let is_object = line.text.first() == Some(&b'{');
        let hidden_entry =
            |text: &[u8]| prefix::HIDDEN_ENTRIES.iter().any(|entry| text.ends_with(entry));
        let hidden =
            || prefix::HIDDEN_ENTRIES.iter().any(|entry| memmem::find(ahead, entry).is_some());
        let may_hold = *self.named.get_or_insert_with(named)
            || (is_object && *self.hidden.get_or_insert_with(hidden));
        let text = if may_hold { text } else { &[] };
        for at in memchr::memchr_iter(b'[', text) {
            let name = text.get(..at).unwrap_or_default();
            let is_hidden = is_object && text.get(..=at).is_some_and(hidden_entry);
            if !is_hidden && !FREE_TEXT.iter().any(|level| name.ends_with(level)) {
                continue;
            }
            let place = known.len() + at;
            let start = line_start(before, place);
            let rest = before.get(start..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let whole = rest.get(..end).unwrap_or_default();
            let stripped = prefix::strip(whole, line.tags, &mut self.scratch);
            let is_text = |shape| matches!(shape, Shape::File | Shape::Console);
            let holds_text = match stripped {
                // What the journal wrote as numbers tells its level, or is not Asterisk's.
                Some(found) if is_hidden => is_text(found.shape) && found.level != Level::Report,
                None => !is_hidden,
                Some(found) => is_text(found.shape),
            };
            if holds_text {
                let place = here - (before.len() - place) as u64;
                self.free_text_at = self.free_text_at.max(Some(place));
            }
        }
        self.free_text_seen = here;
        oldest
    }

    /// Doubts what follows each line before `line` that begins no message: on a console, that is free
    /// text, of which nobody knows who wrote it. Only what has not been looked at yet and reaches as
    /// far as `line` matters.
    fn look_for_free_text(&mut self, messages: &Messages, line: &Line<'_>) {
        let here = self.base + line.start as u64;
        let unseen = here.saturating_sub(self.looked_at).min(self.raw(REACH));
        let before = line.region.bytes.get(..line.region.start + line.start).unwrap_or_default();
        let length = usize::try_from(unseen).unwrap_or(usize::MAX).min(before.len());
        let text = before.get(before.len() - length..).unwrap_or_default();
        let mut place = here - text.len() as u64;
        // A line begins where what has been looked at ends, and where a file begins.
        let mut is_whole = place == self.looked_at || (length as u64) < unseen;
        for text in lines(text) {
            let next = place + text.len() as u64;
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let explained =
                place < self.console_until || self.doubts.iter().any(|doubt| place < doubt.until);
            let ahead = usize::try_from(here - place).unwrap_or(usize::MAX);
            let start = before.len().saturating_sub(ahead);
            if is_whole
                && !matches!(text, b"" | b"\r")
                && !explained
                && self.is_free_text(messages, text, before, start, line.tags)
            {
                (self.console_since, self.console_until) = (place, next + self.raw(REACH));
            }
            (place, is_whole) = (next, true);
        }
        self.looked_at = here;
    }

    /// Whether a line of a console, which begins at `start`, belongs to no message.
    fn is_free_text(
        &mut self,
        messages: &Messages,
        text: &[u8],
        bytes: &[u8],
        start: usize,
        tags: &Tags,
    ) -> bool {
        let before = bytes.get(..start).unwrap_or_default();
        match pieces::whole(before, text, &mut self.joined) {
            Piece::Whole(whole) => {
                !prefix::begins_message(whole, tags, &mut self.scratch)
                    && !self.is_second_line(messages, text, bytes, start, tags)
            }
            // All of it is looked at with the last piece.
            Piece::GoesOn => false,
            Piece::Lost => true,
        }
    }

    /// Whether the line before is no message, so that this one may belong to what is. The line after
    /// one that was a message itself need not be looked at.
    fn follows_on(&mut self, messages: &Messages, line: &Line<'_>) -> bool {
        let end = line.region.start + line.start;
        line.start != self.known
            && line_before(line.region.bytes, end).is_some_and(|(before, start)| {
                !prefix::begins_message(before, line.tags, &mut self.scratch)
                    && !self.is_second_line(messages, before, line.region.bytes, start, line.tags)
            })
    }

    /// Whether a line, which begins at `start`, is the second one of a message before it that has two.
    fn is_second_line(
        &mut self,
        messages: &Messages,
        text: &[u8],
        bytes: &[u8],
        start: usize,
        tags: &Tags,
    ) -> bool {
        let text = prefix::unwrapped(text, tags, &mut self.scratch).trim_ascii_end();
        let known: Vec<_> = messages.with_second_line(text).collect();
        if known.is_empty() {
            return false;
        }
        let first = line_before(bytes, start)
            .and_then(|(first, _)| prefix::strip(first, tags, &mut self.scratch));
        first.is_some_and(|first| {
            known.iter().any(|message| is_of(message, first.body) && has_end(message, first.body))
        })
    }
}

/// Whether a text holds the name of a level of free text. Both names have a `B`, which is seldom in other text.
fn names_free_text(text: &[u8]) -> bool {
    let stands = |level: &[u8], at: usize| {
        let before = memchr::memchr(b'B', level).unwrap_or(0);
        at.checked_sub(before).and_then(|at| text.get(at..)).is_some_and(|it| it.starts_with(level))
    };
    memchr::memchr_iter(b'B', text).any(|at| FREE_TEXT.iter().any(|level| stands(level, at)))
}

/// Whether a body ends as a message does when it is whole.
fn has_end(message: &MessageShape, body: &[u8]) -> bool {
    message.ends.iter().any(|end| body.ends_with(end))
}

/// Where the line begins in which this place of a text is; of a very long line, what is within reach of it.
fn line_start(text: &[u8], place: usize) -> usize {
    let reach = place.saturating_sub(LONGEST_MESSAGE);
    let within = text.get(reach..place).unwrap_or_default();
    memchr::memrchr(b'\n', within).map_or(reach, |lf| reach + lf + 1)
}

/// The last line before `end` that is not empty, and where it begins; Asterisk ends some messages with an
/// empty one.
fn line_before(text: &[u8], end: usize) -> Option<(&[u8], usize)> {
    let before = text.get(..end)?;
    let last = before.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    let start = memchr::memrchr(b'\n', before.get(..last)?).map_or(0, |lf| lf + 1);
    Some((before.get(start..=last)?, start))
}
