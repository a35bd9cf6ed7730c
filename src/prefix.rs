//! What stands before a message in a log line: date, level, thread, source file.
//!
//! A small hand grammar, because stripping it first is cheaper than one automaton over whole
//! lines. It knows the shapes that Asterisk's logger writes (1.2 to 23):
//!
//! ```text
//! file            [DATE] LEVEL[tid][C-0000001a] FILE: MESSAGE
//! plain, console  [DATE] LEVEL[tid][C-0000001a]: FILE:LINE FUNC: MESSAGE
//! syslog          HEADER asterisk[pid]: LEVEL[tid][C-0000001a]: FILE:LINE in FUNC: MESSAGE
//! ```
//! where `HEADER` is `Nov 22 10:00:00 host` or `2026-11-22T10:00:00.123456+01:00 host`, as syslog
//! daemons write it. Whatever the shape, what is left is the *body*: `FILE: MESSAGE`.

use memchr::{memchr, memchr_iter, memmem};

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

/// Names of which every line holds one that is [`Level::Report`] to [`strip`].
pub fn report_names() -> impl Iterator<Item = &'static [u8]> {
    LEVELS.iter().filter(|(_, level)| *level == Level::Report).map(|(name, _)| *name)
}

/// A line without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// The date as written, without brackets.
    pub stamp: &'a [u8],
    /// The level.
    pub level: Level,
    /// `FILE: MESSAGE`.
    pub body: &'a [u8],
}

/// No `dateformat` seen is longer than this many bytes; a `]` further on ends no date.
const LONGEST_DATE: usize = 64;

/// Takes the prefix off `line` (without its line feed). `scratch` holds the body where the line
/// has file and message apart; it never grows beyond the line's length.
///
/// `None` when the line does not begin like a message: it belongs to the message before it, or is
/// no Asterisk log line.
#[must_use]
pub fn strip<'a>(line: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<Stripped<'a>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (stamp, level, rest) = match line.first()? {
        b'[' => dated(line)?,
        _ => match syslog(line)? {
            (_, rest) if rest.first() == Some(&b'[') => dated(rest)?,
            (stamp, rest) => {
                let (level, rest) = level(rest)?;
                (stamp, level, rest)
            }
        },
    };
    let rest = thread(rest)?;
    let body = match rest {
        [b' ', body @ ..] => body,
        [b':', b' ', located @ ..] => {
            let (file, message) = located_message(located)?;
            scratch.clear();
            scratch.extend_from_slice(file);
            scratch.extend_from_slice(b": ");
            scratch.extend_from_slice(message);
            scratch
        }
        _ => return None,
    };
    Some(Stripped { stamp, level, body })
}

/// Whether `line` begins like a line of a log: a message, or the banner that Asterisk writes when
/// it opens a file.
#[must_use]
pub fn begins_message(line: &[u8]) -> bool {
    let mut scratch = Vec::new();
    strip(line, &mut scratch).is_some() || is_banner(line)
}

/// `[DATE] Asterisk VERSION built by USER @ HOST on a …`
fn is_banner(line: &[u8]) -> bool {
    line.first() == Some(&b'[')
        && memmem::find(line.get(..LONGEST_DATE + 12).unwrap_or(line), b"] Asterisk ").is_some()
        && memmem::find(line, b" built by ").is_some()
}

/// Splits `[DATE] LEVEL…` into date, level and the rest. The date may itself hold brackets
/// (`[[2026-11-22] 01:01:57]`), so it ends at the first `]` that a level follows.
fn dated(line: &[u8]) -> Option<(&[u8], Level, &[u8])> {
    let head = line.get(..LONGEST_DATE).unwrap_or(line);
    memchr_iter(b']', head).find_map(|end| {
        let (level, rest) = level(line.get(end + 1..)?.strip_prefix(b" ")?)?;
        Some((line.get(1..end)?, level, rest))
    })
}

/// Splits a syslog header off: an optional `<PRI>` and version, a date, an optional host name, and
/// the tag that Asterisk always uses.
fn syslog(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = match line {
        [b'<', rest @ ..] => {
            let end = memchr(b'>', rest.get(..4).unwrap_or(rest))?;
            let rest = rest.get(end + 1..)?;
            rest.strip_prefix(b"1 ").unwrap_or(rest)
        }
        _ => line,
    };
    let date_end = if line.first()?.is_ascii_digit() {
        memchr(b' ', line)?
    } else {
        // `Nov 22 10:00:00`, `Nov  4 10:00:00` or `Nov 4 10:00:00`: up to the space after the time.
        let time = memchr(b':', line.get(..16).unwrap_or(line))?;
        time + memchr(b' ', line.get(time..time + 8)?)?
    };
    let (stamp, rest) = (line.get(..date_end)?, line.get(date_end + 1..)?);
    if let Some(rest) = asterisk_tag(rest) {
        return Some((stamp, rest));
    }
    let host_end = memchr(b' ', rest)?;
    asterisk_tag(rest.get(host_end + 1..)?).map(|rest| (stamp, rest))
}

/// Takes `asterisk[PID]: ` (BSD syslog) or `asterisk PID MSGID SD ` (RFC 5424) off.
fn asterisk_tag(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"asterisk")?;
    if let Some(rest) = rest.strip_prefix(b"[") {
        return digits(rest)?.strip_prefix(b"]: ");
    }
    let rest = digits(rest.strip_prefix(b" ")?)?.strip_prefix(b" - - ")?;
    Some(rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest))
}

/// Takes at least one digit off.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.get(count..) }
}

/// Takes a level name off, which must be followed by a thread id.
fn level(text: &[u8]) -> Option<(Level, &[u8])> {
    // The first byte tells most of them apart, and saves comparing the rest.
    let is_here = |name: &[u8]| name.first() == text.first() && text.starts_with(name);
    let (name, level) = LEVELS.iter().find(|(name, _)| is_here(name))?;
    let rest = text.get(name.len()..)?;
    matches!(rest, [b'[', ..] | [b' ', b'[', ..]).then_some((*level, rest))
}

/// Takes `[tid]` and, where there is one, `[C-callid]` off.
fn thread(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let rest = digits(text.strip_prefix(b"[")?)?.strip_prefix(b"]")?;
    let Some(call) = rest.strip_prefix(b"[C-") else { return Some(rest) };
    let hex = call.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    call.get(hex..)?.strip_prefix(b"]")
}

/// Splits `FILE:LINE FUNC: MESSAGE`, `FILE:LINE in FUNC: MESSAGE` or `FILE: FUNC: MESSAGE`.
fn located_message(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let file_end = memchr(b':', text)?;
    let file = text.get(..file_end)?;
    let rest = text.get(file_end + 1..)?;
    let rest = digits(rest).unwrap_or(rest);
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let function_end = memmem::find(rest, b": ")?;
    Some((file, rest.get(function_end + 2..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stripped(line: &str) -> Option<(String, Level, String)> {
        let mut scratch = Vec::new();
        strip(line.as_bytes(), &mut scratch).map(|s| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (text(s.stamp), s.level, text(s.body))
        })
    }

    #[test]
    fn every_shape_leaves_file_and_message() {
        for (line, stamp) in [
            ("[Nov 22 00:52:46] NOTICE[3762] chan_sip.c: Hello: you", "Nov 22 00:52:46"),
            (
                "[Nov 22 00:52:46] WARNING[3762][C-0000001a] chan_sip.c: Hello: you\r",
                "Nov 22 00:52:46",
            ),
            ("[[2026-11-22] 01:01:57] SECURITY[1] chan_sip.c: Hello: you", "[2026-11-22] 01:01:57"),
            ("[] ERROR[1] chan_sip.c: Hello: you", ""),
            ("[1795309302.748] NOTICE [22382] chan_sip.c: Hello: you", "1795309302.748"),
            (
                "[2026-11-22 01:01:03] NOTICE[115]: chan_sip.c:676 log_it: Hello: you",
                "2026-11-22 01:01:03",
            ),
            (
                "Nov  4 18:30:40 pbx asterisk[32]: NOTICE[32257]: chan_sip.c:6 in log_it: Hello: you",
                "Nov  4 18:30:40",
            ),
            (
                "Nov 4 18:30:40 pbx asterisk[32]: NOTICE[7][C-1]: chan_sip.c:6 in log_it: Hello: you",
                "Nov 4 18:30:40",
            ),
            (
                "<133>Nov 22 00:49:18 asterisk[467]: NOTICE[1]: chan_sip.c:6 in f: Hello: you",
                "Nov 22 00:49:18",
            ),
            (
                "2026-11-22T10:00:00.123456+01:00 pbx asterisk[5]: NOTICE[1]: chan_sip.c:6 in f: Hello: you",
                "2026-11-22T10:00:00.123456+01:00",
            ),
            (
                "<141>1 2026-11-22T10:00:00+01:00 pbx asterisk 555 - - NOTICE[1943]: chan_sip.c:6 in f: Hello: you",
                "2026-11-22T10:00:00+01:00",
            ),
            (
                "Nov 22 10:00:00 pbx asterisk[1]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
                "Nov 22 09:59:59",
            ),
        ] {
            let expected = (stamp.to_owned(), Level::Report, "chan_sip.c: Hello: you".to_owned());
            assert_eq!(stripped(line), Some(expected), "{line}");
        }
        assert_eq!(
            stripped("[x] VERBOSE[1][C-2] pbx.c:     -- Executing").unwrap().1,
            Level::Verbose
        );
        assert_eq!(
            stripped("[x] WARNING[1]: pjproject: <?>: \tsip_transport.c Dropping").unwrap().2,
            "pjproject: \tsip_transport.c Dropping"
        );
    }

    #[test]
    fn other_text_has_no_prefix() {
        for line in [
            "",
            "[",
            "NOTICE[1] chan_sip.c: x",
            " [Nov 22 00:52:46] NOTICE[3762] chan_sip.c: x",
            "[Nov 22 00:52:46] NOTICE chan_sip.c: x",
            "[Nov 22 00:52:46] NOTICE[12a] chan_sip.c: x",
            "[Nov 22 00:52:46] HELLO[12] chan_sip.c: x",
            "[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64 running Linux on 2026-01-01",
            "Nov 22 10:00:00 pbx sshd[1]: NOTICE[1]: chan_sip.c:6 in f: Hello",
            "Nov 22 10:00:00 pbx cron asterisk[1]: NOTICE[1]: chan_sip.c:6 in f: Hello",
        ] {
            assert_eq!(stripped(line), None, "{line}");
        }
        assert!(begins_message(
            b"[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64"
        ));
        assert!(!begins_message(b"Via: SIP/2.0/UDP 198.51.100.119:59564"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut scratch = Vec::new();
            let _ = strip(&line, &mut scratch);
        }

        #[test]
        fn nearly_right_lines_are_survived(cut in 0usize..120, byte in any::<u8>(), at in 0usize..120) {
            let mut line =
                b"<141>1 2026-11-22T10:00:00+01:00 pbx asterisk 555 - - NOTICE[1943][C-1]: a.c:6 in f: Hi".to_vec();
            if let Some(place) = line.get_mut(at) { *place = byte; }
            line.truncate(cut);
            let mut scratch = Vec::new();
            let _ = strip(&line, &mut scratch);
            prop_assert!(scratch.len() <= line.len());
        }
    }
}
