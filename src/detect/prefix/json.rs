//! Objects that hold a message: those of Asterisk's `[json]` formatter, those that Docker wraps
//! around each line of a console (`json-file`), and entries of the journal (`journalctl -o json`). An object of
//! Asterisk's may stand in one of the others.
//!
//! A strict reader of one line, for hostile bytes: it looks at each byte a fixed number of times, and allocates
//! nothing but the body. Blanks between its parts and the order of its keys say nothing. An object in which a key
//! stands twice, or that something follows, is none.
//!
//! Asterisk escapes whatever a sender wrote, so an object holds one message and all of it. A line feed
//! inside it becomes a carriage return in the body: rules are about one line, in which a sender can
//! have a carriage return anyway, and nothing behind it is taken for a line.
//!
//! The journal writes a message that holds control bytes as an array of numbers. Whose entry it is say the
//! fields that a sender cannot write: the unit, the program, the container. Where the source is the journal itself
//! ([`Tags::journal`]), the entries are of Asterisk's unit, user or container already, and what Asterisk sent to the
//! journal's syslog socket is one message.

use memchr::{memchr, memchr2};

use super::tags::Tags;
use super::{DatagramEnd, LEVELS, Level, Shape, Stripped, ansi, console, strip_in_place};

/// The beginning of a message that the journal wrote as an array of numbers, as in every line that holds one; the
/// second as `journalctl` wrote it before systemd 240.
pub const HIDDEN_ENTRIES: [&[u8]; 2] = [br#""MESSAGE":["#, br#""MESSAGE" : ["#];

/// The most keys that an object may have. An entry of the journal has some forty.
const MOST_KEYS: usize = 128;

/// Strips the wrapping of `object`; `header` is the date of what stood before it. `scratch` never
/// grows beyond the object's length.
pub(super) fn strip<'a>(
    header: &'a [u8],
    object: &'a [u8],
    tags: &Tags,
    scratch: &'a mut Vec<u8>,
) -> Option<Stripped<'a>> {
    let object = Object::read(object)?;
    scratch.clear();
    let stamp = object.timestamp.filter(|stamp| !stamp.is_empty()).unwrap_or(header);
    let Some(mut shape) = object.wrapped(tags, scratch)? else {
        let level = object.message(scratch)?;
        return Some(Stripped { stamp, level, shape: Shape::Json, body: scratch });
    };
    if shape == Shape::Datagram(DatagramEnd::Unseen) && scratch.last() == Some(&b'\r') {
        shape = Shape::Datagram(DatagramEnd::LineFeed);
    }
    trim_end(scratch, 0);
    if scratch.first() == Some(&b'{') {
        return nested(stamp, shape, scratch);
    }
    ansi::remove(scratch);
    let inner = strip_in_place(scratch, |text| console(text, shape))?;
    Some(if inner.stamp.is_empty() { Stripped { stamp, ..inner } } else { inner })
}

/// Strips the object of Asterisk's that `scratch` holds, which was wrapped in another; one within that is text.
fn nested<'a>(header: &'a [u8], wrapping: Shape, scratch: &'a mut Vec<u8>) -> Option<Stripped<'a>> {
    let whole = std::mem::take(scratch);
    let object = Object::read(&whole).filter(|object| !object.is_wrapping())?;
    let shape = match wrapping {
        Shape::Datagram(_) => Shape::Datagram(DatagramEnd::Object),
        _ => Shape::Json,
    };
    let stamp = object.timestamp.unwrap_or_default();
    scratch.extend_from_slice(stamp);
    let mut body = Vec::new();
    let level = object.message(&mut body)?;
    scratch.extend_from_slice(&body);
    let (stamp, body) = scratch.split_at_checked(stamp.len())?;
    Some(Stripped { stamp: if stamp.is_empty() { header } else { stamp }, level, shape, body })
}

/// Whether a line is an object that holds one message and all of it: one of Asterisk's, or one that a container
/// runtime wrapped around a line that is nothing but such an object.
pub(super) fn is_record(line: &[u8], tags: &Tags, scratch: &mut Vec<u8>) -> bool {
    let Some(object) = Object::read(line) else { return false };
    scratch.clear();
    match object.wrapped(tags, scratch) {
        // A datagram is one, whatever it holds.
        Some(None | Some(Shape::Datagram(_))) => true,
        Some(Some(_)) => Object::read(scratch).is_some_and(|inner| !inner.is_wrapping()),
        None => false,
    }
}

/// Returns the text that Docker or the journal put into `object`, without the line feed at its end.
pub(super) fn text<'a>(object: &[u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    scratch.clear();
    Object::read(object)?.wrapped(tags, scratch)??;
    trim_end(scratch, 0);
    Some(scratch)
}

/// Removes the line feeds with which messages end, but nothing before `start`.
fn trim_end(text: &mut Vec<u8>, start: usize) {
    while text.len() > start && text.last() == Some(&b'\r') {
        text.pop();
    }
}

/// The parts of an object that matter; text is still escaped.
#[derive(Default)]
struct Object<'a> {
    timestamp: Option<&'a [u8]>,
    filename: Option<&'a [u8]>,
    level: Option<&'a [u8]>,
    message: Option<&'a [u8]>,
    /// Docker's: a line of the console.
    log: Option<&'a [u8]>,
    /// The journal's.
    entry: Option<Entry<'a>>,
    sender: Sender<'a>,
}

/// The message of an entry of the journal.
enum Entry<'a> {
    Text(&'a [u8]),
    /// What stands between the brackets of an array.
    Bytes(&'a [u8]),
}

/// Who wrote an entry of the journal, and how.
#[derive(Default)]
struct Sender<'a> {
    transport: Option<&'a [u8]>,
    unit: Option<&'a [u8]>,
    program: Option<&'a [u8]>,
    container: Option<&'a [u8]>,
    /// What anybody may give himself.
    identifier: Option<&'a [u8]>,
}

impl<'a> Object<'a> {
    /// Whether it is of the kind that wraps a line.
    fn is_wrapping(&self) -> bool {
        self.log.is_some() || self.entry.is_some()
    }

    /// Writes `FILE: MESSAGE` of an object of Asterisk's, and returns its level.
    fn message(&self, out: &mut Vec<u8>) -> Option<Level> {
        let (_, level) = LEVELS.iter().find(|(known, _)| Some(*known) == self.level)?;
        unescape(self.filename?, out)?;
        out.extend_from_slice(b": ");
        let start = out.len();
        unescape(self.message?, out)?;
        trim_end(out, start);
        Some(*level)
    }

    /// Reads `{…}`, and nothing behind it.
    fn read(text: &'a [u8]) -> Option<Self> {
        let mut object = Self::default();
        let mut cursor = Cursor(text);
        cursor.members(|key, cursor| match key {
            b"timestamp" | b"__REALTIME_TIMESTAMP" => set(&mut object.timestamp, cursor.string()?),
            b"log" => set(&mut object.log, cursor.string()?),
            b"identifiers" => match cursor.peek() {
                Some(b'{') => cursor.members(|_, cursor| cursor.skip()),
                _ => cursor.skip(),
            },
            b"logmsg" => cursor.members(|key, cursor| match key {
                b"location" => cursor.members(|key, cursor| match key {
                    b"filename" => set(&mut object.filename, cursor.string()?),
                    _ => cursor.skip(),
                }),
                b"level" => set(&mut object.level, cursor.string()?),
                b"message" => set(&mut object.message, cursor.string()?),
                _ => cursor.skip(),
            }),
            b"MESSAGE" => set(&mut object.entry, cursor.entry()?),
            b"_TRANSPORT" => set(&mut object.sender.transport, cursor.string()?),
            b"_SYSTEMD_UNIT" => set(&mut object.sender.unit, cursor.string()?),
            b"_COMM" => set(&mut object.sender.program, cursor.string()?),
            b"CONTAINER_NAME" => set(&mut object.sender.container, cursor.string()?),
            b"SYSLOG_IDENTIFIER" if cursor.peek() == Some(b'"') => {
                set(&mut object.sender.identifier, cursor.string()?)
            }
            _ => cursor.skip(),
        })?;
        cursor.peek().is_none().then_some(object)
    }

    /// Writes what Docker or the journal wrapped, if they did, and returns its shape. `None`: it is not Asterisk's.
    #[expect(clippy::option_option, reason = "what is no wrapping, and what is a wrong one")]
    fn wrapped(&self, tags: &Tags, out: &mut Vec<u8>) -> Option<Option<Shape>> {
        if let Some(log) = self.log {
            unescape(log, out)?;
            return Some(Some(Shape::Console));
        }
        let Some(entry) = &self.entry else { return Some(None) };
        let shape = self.sender.shape(tags)?;
        match entry {
            Entry::Text(text) => unescape(text, out)?,
            Entry::Bytes(numbers) => bytes(numbers, out)?,
        }
        Some(Some(shape))
    }
}

impl Sender<'_> {
    /// Returns how this sender's messages are written, if it is Asterisk. A message that came by syslog is whole,
    /// all others are lines of a console.
    fn shape(&self, tags: &Tags) -> Option<Shape> {
        if tags.is_journal() {
            return Some(Shape::Datagram(DatagramEnd::Unseen));
        }
        if let Some(container) = self.container {
            return tags.has_container(container).then_some(Shape::Console);
        }
        let has = |name: Option<&[u8]>| name.is_some_and(|name| tags.has(name));
        let unit = self.unit.map(|unit| {
            let end = unit.iter().position(|byte| matches!(byte, b'.' | b'@'));
            unit.get(..end.unwrap_or(unit.len())).unwrap_or_default()
        });
        let is_known = self.unit.is_some() || self.program.is_some();
        let is_ours = has(unit) || has(self.program) || (!is_known && has(self.identifier));
        let by_syslog = self.transport == Some(b"syslog");
        is_ours.then_some(if by_syslog { Shape::Syslog } else { Shape::Console })
    }
}

/// Writes the bytes whose numbers these are, with commas between them. As in a text, a line feed becomes a
/// carriage return.
fn bytes(numbers: &[u8], out: &mut Vec<u8>) -> Option<()> {
    for number in numbers.split(|byte| *byte == b',') {
        let number = number.trim_ascii();
        let is_number = (1..=3).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
        if !is_number {
            return None;
        }
        let value = number.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
        let byte = u8::try_from(value).ok()?;
        out.push(if byte == b'\n' { b'\r' } else { byte });
    }
    Some(())
}

/// Sets what is not set yet.
fn set<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// The rest of the text. Each method takes something off its front, or answers `None`.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
        self.0.first().copied()
    }

    /// An object; `member` takes each value off. A key that stands twice, or is written with escapes, which could be
    /// another one in disguise, makes it none.
    fn members(&mut self, mut member: impl FnMut(&'a [u8], &mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        let mut keys = [&[][..]; MOST_KEYS];
        for count in 0..MOST_KEYS {
            let key = self.string()?;
            if key.contains(&b'\\') || keys.get(..count)?.contains(&key) {
                return None;
            }
            *keys.get_mut(count)? = key;
            self.eat(b':')?;
            member(key, self)?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
        None
    }

    /// A string; what stands between its quotes is left escaped.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.eat(b'"')?;
        let text = self.0;
        let mut at = 0;
        loop {
            at += memchr2(b'"', b'\\', text.get(at..)?)?;
            if text.get(at) == Some(&b'"') {
                break;
            }
            at += 2;
        }
        self.0 = text.get(at + 1..)?;
        text.get(..at)
    }

    /// The value of `MESSAGE`: a text, or an array of numbers. (A field that was given twice is an array of
    /// texts.)
    fn entry(&mut self) -> Option<Entry<'a>> {
        if self.peek() == Some(b'"') {
            return Some(Entry::Text(self.string()?));
        }
        self.eat(b'[')?;
        let (numbers, rest) = self.0.split_at_checked(memchr(b']', self.0)?)?;
        self.0 = rest.get(1..)?;
        Some(Entry::Bytes(numbers))
    }

    /// A value that does not matter. Brackets are counted, not matched.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.0 = self.0.get(1..)?;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.0 = self.0.get(1..)?;
                }
                b',' | b':' if depth > 0 => self.0 = self.0.get(1..)?,
                _ => self.word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let length = self.0.iter().take_while(|byte| belongs(byte)).count();
        self.0 = self.0.get(length..)?;
        (length > 0).then_some(())
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.peek();
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

/// Appends `text` to `out` without its escapes. Control bytes are never written as they are, so text
/// that holds one is no JSON.
fn unescape(mut text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    loop {
        let end = memchr(b'\\', text).unwrap_or(text.len());
        let plain = text.get(..end)?;
        if plain.iter().any(|byte| *byte < b' ') {
            return None;
        }
        out.extend_from_slice(plain);
        let Some((escape, rest)) = text.get(end + 1..).and_then(|rest| rest.split_first()) else {
            return (end == text.len()).then_some(());
        };
        let byte = match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'n' | b'r' => b'\r',
            b't' => b'\t',
            b'b' => 0x08,
            b'f' => 0x0c,
            b'u' => {
                text = unescape_unit(rest, out)?;
                continue;
            }
            _ => return None,
        };
        out.push(byte);
        text = rest;
    }
}

/// Appends the character that `XXXX` (or `XXXX\uXXXX`, where it takes two) stands for, and says what
/// is behind it.
fn unescape_unit<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, mut rest) = hex(text)?;
    let code = if (0xd800..0xdc00).contains(&first) {
        let (second, behind) = hex(rest.strip_prefix(br"\u")?)?;
        rest = behind;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        0x1_0000 + ((first - 0xd800) << 10) + low
    } else {
        first
    };
    let character = match char::from_u32(code)? {
        '\n' => '\r',
        character => character,
    };
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

/// Four hexadecimal digits.
fn hex(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let value = digits
        .iter()
        .try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<(String, Level, Shape, String)> {
        let mut scratch = Vec::new();
        let stripped = strip(b"", line.as_bytes(), &Tags::default(), &mut scratch)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Some((text(stripped.stamp), stripped.level, stripped.shape, text(stripped.body)))
    }

    fn asterisk(message: &str) -> String {
        format!(
            r#"{{"hostname":"","timestamp":"Nov 22 10:00:00","identifiers":{{"lwp":1943,"callid":"[C-0000001a]"}},"logmsg":{{"location":{{"filename":"chan_sip.c","function":"f","line":29058}},"level":"NOTICE","message":"{message}"}}}}"#
        )
    }

    fn body(message: &str) -> Option<String> {
        read(&asterisk(message)).map(|(.., body)| body)
    }

    #[test]
    fn an_object_holds_its_whole_message() {
        let (stamp, level, shape, body) = read(&asterisk(r"Hello: you\n")).unwrap();
        assert_eq!((stamp.as_str(), level, shape), ("Nov 22 10:00:00", Level::Report, Shape::Json));
        assert_eq!(body, "chan_sip.c: Hello: you");
    }

    #[test]
    fn what_a_sender_wrote_stays_in_one_line() {
        for (message, expected) in [
            (
                r#"a\"b\\n\/\t\b\f\u001b[0m\u00e9\uD83D\uDE00"#,
                "a\"b\\n/\t\x08\x0c\x1b[0m\u{e9}\u{1f600}",
            ),
            (
                r"9\n[Nov 22 10:00:00] NOTICE[1] x.c: y\r\n\n",
                "9\r[Nov 22 10:00:00] NOTICE[1] x.c: y",
            ),
            (r"\u000a\u000D.", "\r\r."),
            ("", ""),
        ] {
            assert_eq!(body(message).unwrap(), format!("chan_sip.c: {expected}"), "{message}");
        }
        for message in ["\u{1}", r"\x", r"\u12", r"\ud800", r"\ud800\u0041", r"\udc00", r"\u+123"] {
            assert_eq!(body(message), None, "{message}");
        }
    }

    #[test]
    fn key_order_does_not_matter_and_unknown_keys_are_skipped() {
        let line = r#"{"x":[1,{"message":"no","level":"ERROR"},null],"logmsg":{"message":"m","level":"VERBOSE","location":{"filename":"f.c"}},"y":-1.5e3}"#;
        let (stamp, level, _, body) = read(line).unwrap();
        assert_eq!((stamp.as_str(), level, body.as_str()), ("", Level::Verbose, "f.c: m"));
    }

    /// So many keys that say nothing.
    fn keys(number: usize) -> String {
        (0..number).fold(String::new(), |keys, n| keys + &format!(r#""k{n}":0,"#))
    }

    #[test]
    fn blanks_and_further_keys_change_nothing() {
        let whole = asterisk(r#"a: {b}, \"c\""#);
        let value: serde_json::Value = serde_json::from_str(&whole).unwrap();
        let laid_out = serde_json::to_string_pretty(&value).unwrap().replace('\n', " \t\r ");
        let expected = read(&whole);
        assert!(expected.is_some());
        for line in [
            laid_out.clone(),
            format!("{laid_out} "),
            whole.replace(r#""hostname":"#, r#""x" : [ 1 , { "y" : "}" } ] , "hostname" : "#),
            whole.replace(r#""hostname":"#, &format!("{}\"hostname\":", keys(MOST_KEYS - 4))),
        ] {
            assert_eq!(read(&line), expected, "{line}");
        }
    }

    #[test]
    fn an_object_may_stand_in_another() {
        let whole = asterisk("Hello: you");
        let docker = |log: &str| {
            let log = serde_json::to_string(log).unwrap();
            format!(r#"{{ "stream" : "stdout", "log" : {log}, "time":"2026-11-22T10:00:00.1Z" }}"#)
        };
        let journal = |message: &str| {
            let message = serde_json::to_string(message).unwrap();
            format!(r#"{{"MESSAGE":{message},"_COMM":"asterisk","_TRANSPORT":"stdout"}}"#)
        };
        for line in [docker(&format!("{whole}\r\n")), journal(&whole)] {
            assert_eq!(read(&line), read(&whole), "{line}");
            assert!(is_record(line.as_bytes(), &Tags::default(), &mut Vec::new()));
        }
        // No further than that.
        let console = "[Nov 22 10:00:00] NOTICE[566]: chan_sip.c:123 func: Hello: you";
        for line in [docker(&docker(&whole)), docker(&journal(console)), journal(&docker(console))]
        {
            assert_eq!(read(&line), None, "{line}");
        }
        for line in [docker(console), docker(&whole[1..]), docker(&docker(&whole)), docker("")] {
            assert!(!is_record(line.as_bytes(), &Tags::default(), &mut Vec::new()), "{line}");
        }
    }

    #[test]
    fn the_journals_own_source_tells_datagrams_from_text() {
        let strip = |line: &str| {
            let mut scratch = Vec::new();
            let tags = Tags::journal();
            let stripped = super::super::strip(line.as_bytes(), &tags, &mut scratch)?;
            let body = String::from_utf8(stripped.body.to_vec()).unwrap();
            Some((String::from_utf8(stripped.stamp.to_vec()).unwrap(), stripped.shape, body))
        };
        let datagram = |message: &str| {
            let message = serde_json::to_string(message).unwrap();
            format!(r#"{{"__REALTIME_TIMESTAMP":"17","_TRANSPORT":"syslog","MESSAGE":{message}}}"#)
        };
        let text = "NOTICE[5]: chan_sip.c:1 in f: Hello: you";
        let console = "[x] NOTICE[5]: chan_sip.c:1 f: Hello: you";
        let object = asterisk("Hello: you");
        let seen = |stamp: &str, shape| {
            Some((stamp.to_owned(), shape, "chan_sip.c: Hello: you".to_owned()))
        };
        for (line, expected) in [
            (datagram(text), seen("17", Shape::Datagram(DatagramEnd::Unseen))),
            (datagram(&format!("{text}\n")), seen("17", Shape::Datagram(DatagramEnd::LineFeed))),
            (datagram(&object), seen("Nov 22 10:00:00", Shape::Datagram(DatagramEnd::Object))),
            (format!("|{console}"), seen("x", Shape::Console)),
            (format!("|{object}"), seen("Nov 22 10:00:00", Shape::Json)),
            // What is made to look like a datagram, or like a line with a header, is text.
            (format!("|{}", datagram(text)), None),
            (format!("|{}", datagram(&object)), None),
            (format!("|Nov 22 10:00:00 pbx asterisk[5]: {text}"), None),
            (format!("||{console}"), None),
            (console.to_owned(), None),
        ] {
            assert_eq!(strip(&line), expected, "{line}");
        }
        // Elsewhere, no line begins like that.
        let mut scratch = Vec::new();
        let line = format!("|{console}");
        assert_eq!(super::super::strip(line.as_bytes(), &Tags::default(), &mut scratch), None);
    }

    #[test]
    fn other_objects_hold_no_message() {
        let whole = asterisk("m");
        for line in [
            "{}".to_owned(),
            "{".repeat(8000),
            format!("{}1{}", r#"{"x":"#.repeat(1000), "}".repeat(1000)),
            format!(r#"{{"x":{}}}"#, "[".repeat(7000)),
            format!("{whole}{whole}"),
            format!("{whole} x"),
            whole.replace("NOTICE", "NOTICES"),
            whole.replace(r#""level""#, r#""levels""#),
            whole.replace(r#""level":"#, r#""level":"ERROR","level":"#),
            whole.replace(r#""function":"#, r#""line":1,"function":"#),
            whole.replace(r#""hostname":"#, r#""logmsg":{},"hostname":"#),
            whole.replace(r#""hostname":"#, r#""timestamp":"x","hostname":"#),
            whole.replace(r#""lwp":"#, r#""lwp":1,"lwp":"#),
            whole.replace(r#""function":"#, r#""f\u0069lename":"x","function":"#),
            whole.replace(r#""hostname":"#, &format!("{}\"hostname\":", keys(MOST_KEYS))),
            whole.replace(r#""hostname":"""#, r#""hostname":]"#),
            whole.trim_end_matches('}').to_owned(),
        ] {
            assert_eq!(read(&line), None, "{line}");
        }
    }

    #[test]
    fn docker_wraps_a_line_of_the_console() {
        for log in [
            r"[Nov 22 10:00:00] NOTICE[566]: chan_sip.c:123 func: Hello: you\n",
            r"[Nov 22 10:00:00] \u001b[1;33mNOTICE\u001b[0m[566]: \u001b[1;37mchan_sip.c\u001b[0m:\u001b[1;37m123\u001b[0m \u001b[1;37mfunc\u001b[0m: Hello: you\r\n",
        ] {
            let line =
                format!(r#"{{"log":"{log}","stream":"stdout","time":"2026-11-22T10:00:00.1Z"}}"#);
            let (stamp, level, shape, body) = read(&line).unwrap();
            assert_eq!(
                (stamp.as_str(), level, shape),
                ("Nov 22 10:00:00", Level::Report, Shape::Console)
            );
            assert_eq!(body, "chan_sip.c: Hello: you");
        }
        assert_eq!(read(r#"{"log":"    -- Executing [9\n","stream":"stdout"}"#), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut scratch = Vec::new();
            for object in [text.clone(), [b"{\"log\":\"", &text[..], b"\"}"].concat()] {
                let _ = strip(b"", &object, &Tags::default(), &mut scratch);
                prop_assert!(scratch.len() <= object.len());
            }
        }

        /// Reads back what Asterisk's library would write, but for line feeds.
        #[test]
        fn what_was_written_is_read(message in any::<String>(), cut in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let quoted = serde_json::to_string(&message).unwrap();
            let expected = message.replace('\n', "\r");
            let line = asterisk(quoted.trim_matches('"').trim_end_matches('\\'));
            if !message.ends_with('"') && !message.starts_with('"') && !message.ends_with('\\') {
                let expected = format!("chan_sip.c: {}", expected.trim_end_matches('\r'));
                prop_assert_eq!(read(&line).map(|(.., body)| body), Some(expected));
            }
            let mut broken = line.into_bytes();
            let place = cut.index(broken.len());
            broken[place] = byte;
            let mut scratch = Vec::new();
            let _ = strip(b"", &broken, &Tags::default(), &mut scratch);
            broken.truncate(place);
            prop_assert_eq!(strip(b"", &broken, &Tags::default(), &mut scratch), None);
        }
    }
}
