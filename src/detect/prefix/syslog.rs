//! The headers that syslog daemons, journald and Docker put before a message.
//!
//! ```text
//! traditional     Nov 22 10:00:00 HOST TAG            (journalctl's short and short-precise too)
//! ISO             2026-11-22T10:00:00.123456+01:00 HOST TAG                (short-iso, rsyslog)
//! journalctl      Sun 2026-11-22 10:00:00 CET HOST TAG                             (short-full)
//! RFC 5424        <141>1 2026-11-22T10:00:00+01:00 HOST asterisk 555 - [a b="c"]
//! docker logs -t  2026-11-22T10:00:00.123456789Z
//! ```
//! where `TAG` is `asterisk[555]:` or `asterisk:`, or another of [`Tags`]. `<PRI>` may stand before all of
//! them, or be left out where it belongs, and the host may be missing.

use memchr::{memchr, memchr2};

use super::captured;
use super::tags::Tags;
use super::{LONGEST_DATE, Shape, digits};
use crate::detect::timestamp;

/// The longest name that the kernel has of a program, in bytes (`TASK_COMM_LEN`).
const LONGEST_COMMAND: usize = 15;

/// The longest tag that is looked for, in bytes.
const LONGEST_TAG: usize = 200;

/// A line without the header that somebody else put before it.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    /// The date in the header.
    pub stamp: &'a [u8],
    /// What Asterisk wrote.
    pub text: &'a [u8],
    /// The shape of what names its level first.
    pub shape: Shape,
}

/// Splits the header off a line of Asterisk's. What another tag than Asterisk's own is for is a console that
/// was captured, whose lines end where a message has a line feed.
pub(super) fn asterisk<'a>(line: &'a [u8], tags: &Tags) -> Option<Carried<'a>> {
    let (stamp, rest) = date(line)?;
    if matches!(rest, [b'[' | b'{', ..]) && timestamp::is_date(stamp) {
        return Some(Carried { stamp, text: rest, shape: Shape::Console });
    }
    if let Some(text) = tags.has_asterisk().then(|| tagged(rest, b"asterisk")).flatten() {
        return Some(Carried { stamp, text, shape: Shape::Syslog });
    }
    captured(line, tags)
}

/// Splits the header off a line of a captured console.
#[inline(never)]
fn captured<'a>(line: &'a [u8], tags: &Tags) -> Option<Carried<'a>> {
    if let Some(record) = captured::record(line) {
        let whole = Carried { stamp: record.stamp, text: record.text, shape: Shape::Console };
        return (!record.goes_on).then_some(whole);
    }
    let (stamp, rest) = date(line)?;
    let text = tagged_as(rest, tags)?;
    Some(Carried { stamp, text, shape: Shape::Console })
}

/// Strips the host, if there is one, and a tag that is one of `tags`.
fn tagged_as<'a>(text: &'a [u8], tags: &Tags) -> Option<&'a [u8]> {
    let known = |text: &'a [u8]| {
        let head = text.get(..LONGEST_TAG).unwrap_or(text);
        let end = head.iter().position(|byte| matches!(byte, b'[' | b':' | b' '))?;
        tag(text, text.get(..end).filter(|name| tags.has(name))?)
    };
    known(text).or_else(|| known(text.get(memchr(b' ', text)? + 1..)?))
}

/// Splits the header off a line of the kernel's: its date, and what the kernel wrote, without the time
/// since it was started.
#[must_use]
pub fn kernel(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (stamp, rest) = date(line)?;
    let text = tagged(rest, b"kernel")?;
    Some((stamp, without_uptime(text).unwrap_or(text)))
}

/// A message of a program's in a syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogMessage<'a> {
    /// The date in the header; empty in the journal.
    pub stamp: &'a [u8],
    /// The program: an index into those that were asked for.
    pub program: usize,
    /// What it wrote.
    pub text: &'a [u8],
}

/// Splits the header off a line of one of `programs`.
pub(super) fn of<'a>(line: &'a [u8], programs: &[String]) -> Option<SyslogMessage<'a>> {
    let (stamp, rest) = date(line)?;
    let mut known = programs.iter().enumerate();
    known.find_map(|(program, name)| {
        let text = tagged(rest, name.as_bytes())?;
        Some(SyslogMessage { stamp, program, text })
    })
}

/// Splits a line of the journal's own source, if it is a whole message of one of `programs`, by the name that the kernel
/// has of it.
pub(super) fn of_journal<'a>(line: &'a [u8], programs: &[String]) -> Option<SyslogMessage<'a>> {
    let (command, text) = of_program(line)?;
    let is_called = |name: &String| {
        let name = name.rsplit('/').next().unwrap_or(name).as_bytes();
        name.get(..LONGEST_COMMAND).unwrap_or(name) == command
    };
    let program = programs.iter().position(is_called)?;
    Some(SyslogMessage { stamp: b"", program, text })
}

/// Splits `>COMMAND: TEXT`: what a program of root's sent to syslog, as the journal's own source hands it on.
pub(super) fn of_program(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_prefix(b">")?;
    let end = memchr(b':', line.get(..=LONGEST_COMMAND).unwrap_or(line))?;
    Some((line.get(..end)?, line.get(end..)?.strip_prefix(b": ")?))
}

/// Strips `[12345.678901] `.
fn without_uptime(text: &[u8]) -> Option<&[u8]> {
    let seconds = text.strip_prefix(b"[")?.trim_ascii_start();
    digits(digits(seconds)?.strip_prefix(b".")?)?.strip_prefix(b"] ")
}

/// Splits the date off, with what may stand before it: `<PRI>` and version.
pub(super) fn date(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = match line {
        [b'<', rest @ ..] => {
            let end = memchr(b'>', rest.get(..4).unwrap_or(rest))?;
            let rest = rest.get(end + 1..)?;
            rest.strip_prefix(b"1 ").unwrap_or(rest)
        }
        // Its priority is for the daemon; some leave it out of the file.
        _ => line.strip_prefix(b"1 ").unwrap_or(line),
    };
    let head = line.get(..LONGEST_DATE).unwrap_or(line);
    let end = if head.first()?.is_ascii_digit() {
        memchr(b' ', head)?
    } else {
        // Day and month, one space or two between them, up to the space behind the time.
        let time = memchr(b':', head.get(..24).unwrap_or(head))?;
        let end = time + memchr(b' ', head.get(time..)?)?;
        // A weekday and a date of digits: a zone follows.
        let zoned = head.get(4).is_some_and(u8::is_ascii_digit) && head.get(8) == Some(&b'-');
        if zoned { end + 1 + memchr(b' ', head.get(end + 1..)?)? } else { end }
    };
    Some((line.get(..end)?, line.get(end + 1..)?))
}

/// Strips the host, if there is one, and the tag of `program`.
fn tagged<'a>(text: &'a [u8], program: &[u8]) -> Option<&'a [u8]> {
    let behind_host = || text.get(memchr(b' ', text)? + 1..);
    tag(text, program).or_else(|| tag(behind_host()?, program))
}

/// Strips `PROGRAM[PID]: ` or `PROGRAM: ` (BSD syslog), or `PROGRAM PID MSGID SD ` (RFC 5424).
fn tag<'a>(text: &'a [u8], program: &[u8]) -> Option<&'a [u8]> {
    match text.strip_prefix(program)? {
        [b'[', rest @ ..] => digits(rest)?.strip_prefix(b"]: "),
        [b':', b' ', rest @ ..] => Some(rest),
        [b' ', rest @ ..] => {
            let rest = digits(rest).or_else(|| rest.strip_prefix(b"-"))?.strip_prefix(b" ")?;
            let rest = structured_data(rest.get(memchr(b' ', rest)? + 1..)?)?.strip_prefix(b" ")?;
            Some(rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest))
        }
        _ => None,
    }
}

/// Strips `-` or `[id name="value" …][…]`, where a backslash escapes `"`, `\` and `]` in values.
fn structured_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let mut rest = text.strip_prefix(b"[")?;
    loop {
        let end = memchr2(b'"', b']', rest)?;
        let is_value = rest.get(end) == Some(&b'"');
        rest = rest.get(end + 1..)?;
        if is_value {
            rest = quoted(rest)?;
        } else if let Some(next) = rest.strip_prefix(b"[") {
            rest = next;
        } else {
            return Some(rest);
        }
    }
}

/// Strips everything up to and including the next quote that no backslash escapes.
fn quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        let at = memchr2(b'"', b'\\', text)?;
        match text.get(at)? {
            b'"' => return text.get(at + 1..),
            _ => text = text.get(at + 2..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_line_is_split() {
        for line in [
            "Nov 22 10:00:00 pbx kernel: [12345.678901] SIP: IN=eth0",
            "Nov 22 10:00:00 pbx kernel: [    5.678901] SIP: IN=eth0\r",
            "Nov 22 10:00:00 pbx kernel: SIP: IN=eth0",
            "2026-11-22T10:00:00.123456+01:00 pbx kernel: SIP: IN=eth0",
            "<4>1 2026-11-22T10:00:00.123456+01:00 pbx kernel - - - SIP: IN=eth0",
        ] {
            let (stamp, text) = kernel(line.as_bytes()).unwrap();
            assert_eq!(text, b"SIP: IN=eth0", "{line}");
            assert!(memchr::memmem::find(stamp, b"10:00:00").is_some(), "{line}");
        }
        for line in [
            "kernel: SIP: IN=eth0",
            "Nov 22 10:00:00 pbx asterisk[1]: kernel: SIP: IN=eth0",
            "Nov 22 10:00:00 pbx cron kernel: SIP: IN=eth0",
            "[Nov 22 10:00:00] NOTICE[1] x.c: pbx kernel: SIP: IN=eth0",
            "",
        ] {
            assert_eq!(kernel(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn messages_are_those_of_the_named_programs() {
        let programs = ["sshd".to_owned(), "sshd-session".to_owned(), "postfix/smtpd".to_owned()];
        for (line, program) in [
            ("Nov 22 10:00:00 pbx sshd[77]: text", 0),
            ("2026-11-22T10:00:00.123456+01:00 pbx sshd-session[77]: text", 1),
            ("<38>1 2026-11-22T10:00:00+01:00 pbx sshd 77 - - text", 0),
            ("Nov 22 10:00:00 sshd[77]: text", 0),
            ("Nov 22 10:00:00 pbx postfix/smtpd[77]: text", 2),
        ] {
            let found = of(line.as_bytes(), &programs).unwrap();
            assert_eq!((found.text, found.program), (&b"text"[..], program), "{line}");
        }
        for line in [
            "Nov 22 10:00:00 pbx sshdx[77]: text",
            "Nov 22 10:00:00 pbx su: sshd[77]: text",
            "Nov 22 10:00:00 pbx smtpd[77]: text",
            "sshd[77]: text",
            ">sshd: text",
        ] {
            assert_eq!(of(line.as_bytes(), &programs), None, "{line}");
        }
        for (line, program) in [(">sshd: a: b", 0), (">sshd-session: a: b", 1), (">smtpd: a: b", 2)]
        {
            let found = of_journal(line.as_bytes(), &programs).unwrap();
            assert_eq!((found.text, found.program), (&b"a: b"[..], program), "{line}");
        }
        for line in ["|text", ">logger: text", ">sshd text", "{}", ">", ">sshd-auth: text"] {
            assert_eq!(of_journal(line.as_bytes(), &programs), None, "{line}");
        }
    }

    #[test]
    fn structured_data_ends_where_it_should() {
        for (text, rest) in [
            ("- x", " x"),
            (r#"[a b="c"] x"#, " x"),
            (r#"[a b="]" c="\"]\\"][d] x"#, " x"),
            ("[a] ", " "),
        ] {
            assert_eq!(structured_data(text.as_bytes()), Some(rest.as_bytes()), "{text}");
        }
        for text in ["", "x", "[a", r#"[a b="c]"#, r#"[a b="\"#] {
            assert_eq!(structured_data(text.as_bytes()), None, "{text}");
        }
    }
}
