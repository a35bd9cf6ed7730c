//! The prefix of a message in a log line: date, level, thread, source file.
//!
//! A small hand grammar, because stripping it first is cheaper than one automaton over whole
//! lines. It knows the shapes that Asterisk's logger writes (1.2 to 23):
//!
//! ```text
//! file            [DATE] LEVEL[tid][C-0000001a] FILE: MESSAGE
//! plain, console  [DATE] LEVEL[tid][C-0000001a]: FILE:LINE FUNC: MESSAGE
//! syslog          HEADER LEVEL[tid][C-0000001a]: FILE:LINE in FUNC: MESSAGE
//! json            {"hostname":…,"timestamp":DATE,…,"logmsg":{…,"level":LEVEL,"message":MESSAGE}}
//! 1.2             DATE LEVEL[tid] FILE: MESSAGE
//! ```
//! The console may be coloured, and without a date; journald, Docker or Kubernetes may have put a header
//! before it, or the whole of it into an object of their own. Whatever the shape, what is left is the
//! *body*: `FILE: MESSAGE`. One header is taken off, never one within another: what stands there is Asterisk's
//! text, or a sender's.

mod ansi;
mod captured;
mod json;
mod syslog;
mod tags;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::{memchr, memchr_iter, memmem};
use regex_automata::meta::Regex;

use crate::detect::timestamp;
use crate::rules::byte_regex;

use syslog::Carried;

pub use captured::{Record, record};
pub use json::HIDDEN_ENTRIES;
pub use syslog::{SyslogMessage, kernel};
pub use tags::{CONTAINER, DEFAULT as DEFAULT_TAGS, Tags};

/// A log level that a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `NOTICE`, `WARNING`, `ERROR` or `SECURITY`: the levels that report what a host did.
    Report,
    /// `VERBOSE`: free text, which may hold whole packets.
    Verbose,
    /// Any other.
    Other,
}

/// The form in which a line was written, which says what a line feed in a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Asterisk's default for files. A line feed in a message ends the line.
    File,
    /// A line that a console shows, or the `[plain]` formatter writes. A line feed ends the line,
    /// and a console shows free text (VERBOSE) between the messages without any mark.
    Console,
    /// A line that a syslog daemon writes: it escapes line feeds.
    Syslog,
    /// A datagram of Asterisk's to the journal, as the journal's own source hands it on: one message, and nobody
    /// else's.
    Datagram(DatagramEnd),
    /// An object of the `[json]` formatter: it holds the whole message, whatever is in it. On a
    /// console, free text stands between the objects.
    Json,
}

/// The end of a datagram: Asterisk cuts a message that is longer than its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramEnd {
    /// It holds an object, which is closed: nothing is missing.
    Object,
    /// It ends with a line feed, as a message does. One that was cut could too, if its sender's text may hold line feeds.
    LineFeed,
    /// It cannot be seen.
    Unseen,
}

/// The names of the levels.
const LEVELS: [(&[u8], Level); 10] = [
    (b"NOTICE", Level::Report),
    (b"SECURITY", Level::Report),
    (b"WARNING", Level::Report),
    (b"ERROR", Level::Report),
    (b"VERBOSE", Level::Verbose),
    (b"DEBUG", Level::Other),
    (b"DTMF", Level::Other),
    (b"TRACE", Level::Other),
    (b"FAX", Level::Other),
    (b"EVENT", Level::Other),
];

/// Texts of which every line holds one that is [`Level::Report`] to [`strip`]: the names, one of which is cut. The search
/// for all of them compares as many bytes first as the shortest has, and three are compared faster than four.
pub const REPORTING: [&[u8]; 4] = [b"NOTICE", b"SECURITY", b"WARNING", b"ERR"];

/// Texts of which every line holds one that may hold such a name where it cannot be found: an entry of the journal
/// in numbers, and a piece of a line in a log of CRI's.
pub const HIDING: [&[u8]; 4] = [HIDDEN_ENTRIES[0], HIDDEN_ENTRIES[1], b"stdout P", b"stderr P"];

/// A line without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// The date as written, without brackets.
    pub stamp: &'a [u8],
    /// The level.
    pub level: Level,
    /// The way in which it was written.
    pub shape: Shape,
    /// `FILE: MESSAGE`.
    pub body: &'a [u8],
}

/// The parts before the thread id, and the rest.
struct Head<'a> {
    stamp: &'a [u8],
    level: Level,
    /// The shape that the line has if it names a function.
    located: Shape,
    rest: &'a [u8],
}

/// No `dateformat` seen is longer than this many bytes; a `]` further on ends no date.
const LONGEST_DATE: usize = 64;

/// Strips the prefix from `line` (without its line feed). `scratch` holds the body where it does
/// not stand in the line as it is; it never grows beyond the line's length.
///
/// `tags` say which lines in the logs of others are Asterisk's.
///
/// `None` when the line does not begin like a message: it belongs to the message before it, or is
/// no Asterisk log line. So does the first piece of a line that goes on in the next record: half of it says
/// nothing.
#[must_use]
pub fn strip<'a>(line: &'a [u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> Option<Stripped<'a>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !tags.is_journal() {
        return strip_line(line, tags, scratch);
    }
    match of_journal(line)? {
        OfJournal::Console(text) => strip_line(text, &tags::NONE, scratch),
        OfJournal::Datagram(object) => json::strip(b"", object, tags, scratch),
    }
}

/// A line of the journal's own source.
enum OfJournal<'a> {
    /// A line of a console.
    Console(&'a [u8]),
    /// An object that holds a datagram.
    Datagram(&'a [u8]),
}

fn of_journal(line: &[u8]) -> Option<OfJournal<'_>> {
    match line {
        [b'{', ..] => Some(OfJournal::Datagram(line)),
        _ => console_of_journal(line).map(OfJournal::Console),
    }
}

/// Returns a line of a console, as the journal's own source hands it on. To Asterisk's rules, a message of another program
/// is no better.
fn console_of_journal(line: &[u8]) -> Option<&[u8]> {
    match line {
        [b'|', text @ ..] => Some(text),
        _ => syslog::of_program(line).map(|(_, text)| text),
    }
}

/// Returns what one of `programs` wrote into a syslog, or into the journal as a whole message.
#[must_use]
pub fn syslog_message<'a>(
    line: &'a [u8],
    tags: &Tags,
    programs: &[String],
) -> Option<SyslogMessage<'a>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if tags.is_journal() { syslog::of_journal(line, programs) } else { syslog::of(line, programs) }
}

/// Strips the prefix from a line of a log.
#[inline]
fn strip_line<'a>(line: &'a [u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> Option<Stripped<'a>> {
    let Some(Head { stamp, level, located, rest }) = head(line, tags) else {
        return strip_copied(line, tags, scratch);
    };
    match thread(rest)? {
        [b' ', body @ ..] => Some(Stripped { stamp, level, shape: Shape::File, body }),
        [b':', b' ', text @ ..] => {
            let (file, message) = located_message(text)?;
            scratch.clear();
            scratch.extend_from_slice(file);
            scratch.extend_from_slice(b": ");
            scratch.extend_from_slice(message);
            Some(Stripped { stamp, level, shape: located, body: scratch })
        }
        _ => None,
    }
}

/// Strips the prefix from lines that have to be rewritten first: objects, colours.
#[cold]
fn strip_copied<'a>(line: &'a [u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> Option<Stripped<'a>> {
    if let Some((stamp, object)) = json_text(line, tags) {
        return json::strip(stamp, object, tags, scratch);
    }
    if ansi::is_in(line) {
        scratch.clear();
        scratch.extend_from_slice(line);
        ansi::remove(scratch);
        return strip_in_place(scratch, |text| head(text, tags));
    }
    None
}

/// Whether `line` begins like a line of a log: a message, or the banner that Asterisk writes when
/// it opens a file.
#[must_use]
pub fn begins_message(line: &[u8], tags: &Tags, scratch: &mut Vec<u8>) -> bool {
    strip(line, tags, scratch).is_some() || is_banner(unwrapped(line, tags, scratch))
}

/// Whether `line` is an object that holds one message and all of it: nothing that a sender wrote ends it, or begins
/// another. So are objects of the `[json]` formatter, and those that a container runtime wrapped around one of them.
#[must_use]
pub fn is_record(line: &[u8], tags: &Tags, scratch: &mut Vec<u8>) -> bool {
    if let Some(text) = console_of_journal(line).filter(|_| tags.is_journal()) {
        return json::is_record(text, &tags::NONE, scratch);
    }
    json::is_record(line, tags, scratch)
}

/// Returns what stands in a line behind the header, or in the object, that a syslog daemon or a container
/// runtime gave it, and the line itself where it has none.
#[must_use]
pub fn unwrapped<'a>(line: &'a [u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let console = console_of_journal(line).filter(|_| tags.is_journal());
    let (line, tags) = console.map_or((line, tags), |text| (text, &tags::NONE));
    if line.first() == Some(&b'{') {
        return json::text(line, tags, scratch).unwrap_or(line);
    }
    let carried = syslog::asterisk(line, tags).map(|carried| carried.text);
    let text = carried.or_else(|| captured::service(line, tags)).unwrap_or(line);
    // `docker logs -t`, and `docker compose logs -t`.
    match syslog::date(text) {
        Some((stamp, rest)) if stamp.ends_with(b"Z") && timestamp::is_date(stamp) => rest,
        _ => text,
    }
}

/// The bodies of messages that begin within `text`, each up to its end. Asterisk cuts what is longer
/// than its buffer, the line feed too, and writes the next message right behind it; of the first, an
/// ESC may have hidden most. Or its sender wrote that himself.
pub fn inner_bodies(text: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    // An automaton, because a line full of brackets must not take longer than others. Most lines have none.
    static BEGIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let names = LEVELS.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).join("|");
        byte_regex(&format!(r"(?:\]|:[0-9][0-9]) (?:{names}) ?\[[0-9]")).ok()
    });
    let is_end = |at: usize| text.get(at + 1) == Some(&b' ');
    let begin = BEGIN.as_ref().filter(|_| memchr_iter(b']', text).any(is_end));
    let begins = begin.into_iter().flat_map(move |begin| begin.find_iter(text));
    begins.filter_map(move |begin| {
        let name = begin.start() + memchr(b' ', text.get(begin.start()..)?)? + 1;
        let (_, rest) = level(text.get(name..)?)?;
        match thread(rest)? {
            [b' ', body @ ..] => Some(Cow::Borrowed(body)),
            [b':', b' ', text @ ..] => {
                let (file, message) = located_message(text)?;
                Some(Cow::Owned([file, b": ", message].concat()))
            }
            _ => None,
        }
    })
}

/// Whether `line` is what Asterisk writes when it opens a file: `[DATE] Asterisk VERSION built by USER @ HOST on a …`
#[must_use]
pub fn is_banner(line: &[u8]) -> bool {
    line.first() == Some(&b'[')
        && memmem::find(line.get(..LONGEST_DATE + 12).unwrap_or(line), b"] Asterisk ").is_some()
        && memmem::find(line, b" built by ").is_some()
}

/// Splits a line of text behind its level.
#[inline]
fn head<'a>(line: &'a [u8], tags: &Tags) -> Option<Head<'a>> {
    match line.first()? {
        b'[' => dated(line),
        b'{' => None,
        _ => undated(line, tags),
    }
}

/// Splits `[DATE] LEVEL…`, as most lines begin. The date may itself hold brackets
/// (`[[2026-11-22] 01:01:57]`), so it ends at the first `]` that a level follows.
#[inline]
fn dated(line: &[u8]) -> Option<Head<'_>> {
    let head = line.get(..LONGEST_DATE).unwrap_or(line);
    memchr_iter(b']', head).find_map(|end| {
        let (level, rest) = level(line.get(end + 1..)?.strip_prefix(b" ")?)?;
        Some(Head { stamp: line.get(1..end)?, level, located: Shape::Console, rest })
    })
}

/// Splits a line that does not begin with a date in brackets.
fn undated<'a>(line: &'a [u8], tags: &Tags) -> Option<Head<'a>> {
    // A console without dates, or journald's bare messages.
    if let Some(bare) = console(line, Shape::Console) {
        return Some(bare);
    }
    match syslog::asterisk(line, tags) {
        Some(Carried { stamp, text, shape: Shape::Syslog }) if text.first() != Some(&b'[') => {
            let (level, rest) = level(text)?;
            Some(Head { stamp, level, located: Shape::Syslog, rest })
        }
        Some(Carried { stamp, text, .. }) => Some(under(stamp, console(text, Shape::Console)?)),
        None => seldom(line, tags),
    }
}

/// Splits a line of Asterisk 1.2, or one that `docker compose logs` prints.
#[inline(never)]
fn seldom<'a>(line: &'a [u8], tags: &Tags) -> Option<Head<'a>> {
    if let Some(bare) = bare(line) {
        return Some(bare);
    }
    let text = captured::service(line, tags)?;
    console(text, Shape::Console).or_else(|| {
        let (stamp, text) = syslog::date(text)?;
        if !timestamp::is_date(stamp) {
            return None;
        }
        Some(under(stamp, console(text, Shape::Console)?))
    })
}

/// Splits a line as a console shows it, without anything before it; one without a date is of this shape.
fn console(line: &[u8], shape: Shape) -> Option<Head<'_>> {
    if line.first() == Some(&b'[') {
        return dated(line);
    }
    let (level, rest) = level(line)?;
    let names_function = thread(rest)?.starts_with(b": ");
    names_function.then_some(Head { stamp: b"", level, located: shape, rest })
}

/// Gives a line that has no date itself the one of the header before it.
fn under<'a>(stamp: &'a [u8], head: Head<'a>) -> Head<'a> {
    if head.stamp.is_empty() { Head { stamp, ..head } } else { head }
}

/// Splits a line whose date has no brackets, as Asterisk 1.2 and `docker logs -t` begin theirs.
fn bare(line: &[u8]) -> Option<Head<'_>> {
    let head = line.get(..LONGEST_DATE).unwrap_or(line);
    memchr_iter(b' ', head).find_map(|end| {
        let (level, rest) = level(line.get(end + 1..)?)?;
        let stamp = line.get(..end).filter(|stamp| timestamp::is_date(stamp))?;
        Some(Head { stamp, level, located: Shape::Console, rest })
    })
}

/// An object, with the date of the header before it, if there is one.
fn json_text<'a>(line: &'a [u8], tags: &Tags) -> Option<(&'a [u8], &'a [u8])> {
    let (stamp, rest) = match line.first()? {
        b'{' => (&[][..], line),
        b'[' => return None,
        _ => match syslog::asterisk(line, tags) {
            Some(carried) => (carried.stamp, carried.text),
            None => (&[][..], captured::service(line, tags)?),
        },
    };
    (rest.first() == Some(&b'{')).then_some((stamp, rest))
}

/// Strips the prefix, which `head` splits, from the line that `scratch` holds. Where file and message are
/// apart, the file's name is moved up to the message.
fn strip_in_place(
    scratch: &mut [u8],
    head: impl Fn(&[u8]) -> Option<Head<'_>>,
) -> Option<Stripped<'_>> {
    let Head { stamp, level, located, rest } = head(scratch)?;
    let stamp = place(stamp, scratch);
    let (shape, body) = match thread(rest)? {
        [b' ', body @ ..] => (Shape::File, place(body, scratch)),
        [b':', b' ', text @ ..] => {
            let (file, message) = located_message(text)?;
            let (file, message) = (place(file, scratch), place(message, scratch));
            let colon = message.start.checked_sub(2)?;
            let start = colon.checked_sub(file.len())?;
            scratch.copy_within(file, start);
            scratch.get_mut(colon..message.start)?.copy_from_slice(b": ");
            (located, start..message.end)
        }
        _ => return None,
    };
    Some(Stripped { stamp: scratch.get(stamp)?, level, shape, body: scratch.get(body)? })
}

/// Returns where in `whole` its part `part` stands.
fn place(part: &[u8], whole: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

/// Strips at least one digit.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

/// Strips a level name, which must be followed by a thread id.
#[inline]
fn level(text: &[u8]) -> Option<(Level, &[u8])> {
    // The same as `LEVELS`: the first byte tells most of them apart.
    let (level, rest) = match text.first()? {
        b'N' => (Level::Report, text.strip_prefix(b"NOTICE")?),
        b'S' => (Level::Report, text.strip_prefix(b"SECURITY")?),
        b'W' => (Level::Report, text.strip_prefix(b"WARNING")?),
        b'V' => (Level::Verbose, text.strip_prefix(b"VERBOSE")?),
        b'T' => (Level::Other, text.strip_prefix(b"TRACE")?),
        b'F' => (Level::Other, text.strip_prefix(b"FAX")?),
        b'D' => (Level::Other, text.strip_prefix(b"DEBUG").or(text.strip_prefix(b"DTMF"))?),
        b'E' => match text.strip_prefix(b"ERROR") {
            Some(rest) => (Level::Report, rest),
            None => (Level::Other, text.strip_prefix(b"EVENT")?),
        },
        _ => return None,
    };
    matches!(rest, [b'[', ..] | [b' ', b'[', ..]).then_some((level, rest))
}

/// Returns the level of a line of a [file](Shape::File), of which this is what stands behind `[DATE] `; `None`: it is
/// no such line.
#[inline]
#[must_use]
pub fn level_in_file(text: &[u8]) -> Option<Level> {
    let (level, rest) = level(text)?;
    thread(rest)?.starts_with(b" ").then_some(level)
}

/// Strips `[tid]` and, where there is one, `[C-callid]`.
#[inline]
fn thread(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let rest = digits(text.strip_prefix(b"[")?)?.strip_prefix(b"]")?;
    let Some(call) = rest.strip_prefix(b"[C-") else { return Some(rest) };
    let hex = call.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    call.get(hex..)?.strip_prefix(b"]")
}

/// Splits `FILE:LINE FUNC: MESSAGE`, `FILE:LINE in FUNC: MESSAGE`, `FILE: FUNC: MESSAGE` or, as Asterisk 1.2
/// has it, `FILE: MESSAGE`.
fn located_message(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let file_end = memchr(b':', text)?;
    let file = text.get(..file_end)?;
    let rest = text.get(file_end + 1..)?;
    let numbered = digits(rest);
    let rest = numbered.unwrap_or(rest);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let function_end = memmem::find(rest, b": ");
    let function = function_end.and_then(|end| rest.get(..end)).unwrap_or(b" ");
    if numbered.is_none() && !is_function(function) {
        return Some((file, rest));
    }
    Some((file, rest.get(function_end? + 2..)?))
}

/// Whether this can be the name of a function, or what stands for none (`<?>`).
fn is_function(name: &[u8]) -> bool {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let name = name.strip_prefix(b"in ").unwrap_or(name);
    name == b"<?>" || (!name.is_empty() && name.iter().all(belongs))
}

#[cfg(test)]
mod tests;
