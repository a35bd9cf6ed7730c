//! What container runtimes put before the lines of a console that they capture.
//!
//! ```text
//! Kubernetes (CRI)     2026-11-22T10:00:00.123456789Z stdout F
//! docker compose logs  asterisk-1  |               (with -t, Docker's time behind it)
//! ```
//! A runtime writes a line that does not fit into its buffer in pieces: CRI marks all but the last with `P`
//! instead of `F`. (Docker's pieces have 16 KiB, and so are passed over as lines that are too long.)

use memchr::memchr;

use super::syslog;
use super::tags::Tags;

/// The longest name of a service that is looked for, in bytes.
const LONGEST_NAME: usize = 128;

/// A record of CRI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The time at which the runtime read it.
    pub stamp: &'a [u8],
    /// `stdout` or `stderr`.
    pub stream: &'a [u8],
    /// Whether the line goes on in the stream's next record.
    pub goes_on: bool,
    /// What was read.
    pub text: &'a [u8],
}

/// Reads a record of CRI's: `DATE STREAM TAG TEXT`, where the first of the tags, which colons part, is `F` or
/// `P`.
#[must_use]
pub fn record(line: &[u8]) -> Option<Record<'_>> {
    line.first().filter(|byte| byte.is_ascii_digit())?;
    let (stamp, rest) = syslog::date(line)?;
    let (stream, rest) = rest.split_at_checked(6)?;
    let rest = rest.strip_prefix(b" ").filter(|_| matches!(stream, b"stdout" | b"stderr"))?;
    let end = memchr(b' ', rest).unwrap_or(rest.len());
    let goes_on = match rest.get(..end)? {
        b"F" | [b'F', b':', ..] => false,
        b"P" | [b'P', b':', ..] => true,
        _ => return None,
    };
    Some(Record { stamp, stream, goes_on, text: rest.get(end + 1..).unwrap_or_default() })
}

/// Strips `NAME  | `, if that is a service of ours.
pub(super) fn service<'a>(line: &'a [u8], tags: &Tags) -> Option<&'a [u8]> {
    let bar = memchr(b'|', line.get(..LONGEST_NAME).unwrap_or(line))?;
    let name = line.get(..bar)?.strip_suffix(b" ")?.trim_ascii_end();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(byte);
    let is_ours = !name.is_empty() && name.iter().all(is_name) && tags.has_container(name);
    line.get(bar + 1..)?.strip_prefix(b" ").filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        for (line, stream, goes_on, text) in [
            ("2026-11-28T10:00:00.123456789Z stdout F [x] y", "stdout", false, "[x] y"),
            ("2026-11-28T10:00:00.1+01:00 stderr P half a line ", "stderr", true, "half a line "),
            ("2026-11-28T10:00:00Z stdout F:x text", "stdout", false, "text"),
            ("2026-11-28T10:00:00Z stdout F", "stdout", false, ""),
        ] {
            let record = record(line.as_bytes()).unwrap();
            let expected = (stream.as_bytes(), goes_on, text.as_bytes());
            assert_eq!((record.stream, record.goes_on, record.text), expected, "{line}");
        }
        for line in [
            "",
            "2026-11-28T10:00:00Z stdin F x",
            "2026-11-28T10:00:00Z stdout X x",
            "2026-11-28T10:00:00Z stdout",
            "[Nov 28 10:00:00] NOTICE[1] x.c: 2026-11-28T10:00:00Z stdout F x",
        ] {
            assert_eq!(record(line.as_bytes()), None, "{line}");
        }
    }
}
