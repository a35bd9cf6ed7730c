//! An entry of the journal, as `journalctl --output=json` prints it: whose it is, and the line that it becomes.
//!
//! journald sets the fields whose names begin with an underscore, and drops those of clients. All others anybody may
//! write, so none of them says whose an entry is; but a container runtime, whose own unit journald names, says which
//! container it read from.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use crate::input::line_splitter::MAX_LINE;
use crate::model::journal_part::JournalPart;

/// Stands for a message that is too long, or not whole. It begins no message, so what follows on a console is in doubt.
const LEFT_OUT: &[u8] = b"(left out: too long)";

/// What journald says when it left out messages of a unit (`SD_MESSAGE_JOURNAL_DROPPED` in `sd-messages.h`).
pub const DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";

/// The fields that are read, besides those that `journalctl` always prints.
pub const FIELDS: &str = "MESSAGE,MESSAGE_ID,CONTAINER_NAME,CONTAINER_PARTIAL_MESSAGE,SYSLOG_RAW,_TRANSPORT,_UID,\
                          _COMM,_SYSTEMD_UNIT,_LINE_BREAK";

/// The name of Asterisk's program, as the kernel tells it. A script that runs in its unit has another.
const ASTERISK: &[u8] = b"asterisk";

/// The units of container runtimes that root runs.
const RUNTIMES: [&str; 5] = [
    "docker.service",
    "snap.docker.dockerd.service",
    "podman.service",
    "containerd.service",
    "crio.service",
];

/// How the name of the scope begins in which Podman's monitor of a container runs (`conmon`).
const MONITOR: &str = "libpod-conmon-";

/// An entry of the journal.
#[derive(Debug, Default, Deserialize)]
pub struct Entry<'a> {
    #[serde(rename = "__CURSOR", borrow)]
    cursor: Cow<'a, str>,
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    time: Cow<'a, str>,
    #[serde(rename = "MESSAGE")]
    message: Option<Field>,
    #[serde(rename = "MESSAGE_ID")]
    message_id: Option<Field>,
    #[serde(rename = "CONTAINER_NAME")]
    container: Option<Field>,
    #[serde(rename = "CONTAINER_PARTIAL_MESSAGE")]
    partial: Option<IgnoredAny>,
    #[serde(rename = "_TRANSPORT", borrow, default)]
    transport: Cow<'a, str>,
    #[serde(rename = "_UID", borrow, default)]
    user: Cow<'a, str>,
    #[serde(rename = "_COMM")]
    program: Option<Field>,
    #[serde(rename = "_SYSTEMD_UNIT", borrow, default)]
    unit: Cow<'a, str>,
    /// The whole datagram, where journald took something off its end.
    #[serde(rename = "SYSLOG_RAW")]
    raw: Option<LastByte>,
    #[serde(rename = "_LINE_BREAK")]
    line_break: Option<IgnoredAny>,
}

/// The value of a field that may hold anything; `journalctl` prints bytes that are no text as an array of numbers.
#[derive(Debug, PartialEq, Eq)]
enum Field {
    Bytes(Vec<u8>),
    /// A field that was given several times, or nothing.
    Other,
}

impl Field {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Other => None,
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyField)
    }
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, an array of bytes, or null")
    }

    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Bytes(text.as_bytes().to_vec()))
    }

    fn visit_unit<E>(self) -> Result<Field, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Field, A::Error> {
        let mut bytes = Some(Vec::new());
        while let Some(item) = array.next_element::<Item>()? {
            match (item, &mut bytes) {
                (Item::Byte(byte), Some(bytes)) => bytes.push(byte),
                _ => bytes = None,
            }
        }
        Ok(bytes.map_or(Field::Other, Field::Bytes))
    }
}

/// A part of an array.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Byte(u8),
    Other(IgnoredAny),
}

/// The last byte of a field.
#[derive(Debug)]
struct LastByte(Option<u8>);

impl<'de> Deserialize<'de> for LastByte {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let field = Field::deserialize(deserializer)?;
        Ok(Self(field.bytes().and_then(|bytes| bytes.last().copied())))
    }
}

/// What an entry means to the guard.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// A line for it.
    Line(Vec<u8>),
    /// journald left out messages of this part: its own words.
    Dropped(String),
    /// Nothing.
    Nothing,
}

impl<'a> Entry<'a> {
    /// Reads a line of `journalctl`; `None`: it is no entry.
    #[must_use]
    pub fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// Returns the place of the entry in the journal.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Returns what this entry means, where these `parts` are wanted.
    #[must_use]
    pub fn told(&self, parts: &[JournalPart]) -> Told {
        if self.transport == "driver" {
            return self.dropped(parts);
        }
        if !parts.iter().any(|part| self.is_of(part)) {
            return Told::Nothing;
        }
        let Some(message) = self.message.as_ref().and_then(Field::bytes) else {
            return Told::Nothing;
        };
        // A piece of a line may begin with what a sender wrote, or end with it.
        let is_piece = self.line_break.is_some() || self.partial.is_some();
        let message: Cow<'_, [u8]> =
            if is_piece || message.len() >= MAX_LINE { LEFT_OUT.into() } else { message.into() };
        Told::Line(self.line(&message))
    }

    /// Returns the line for an entry that could not be read.
    #[must_use]
    pub fn left_out() -> Vec<u8> {
        let unread = Self { transport: "stdout".into(), ..Self::default() };
        unread.line(LEFT_OUT)
    }

    /// Whether a process of this part wrote it.
    fn is_of(&self, part: &JournalPart) -> bool {
        match part {
            JournalPart::Unit(unit) => self.unit == *unit,
            JournalPart::User(user) => self.user == user.to_string(),
            JournalPart::Container { name, user } => {
                let named = self.container.as_ref().and_then(Field::bytes);
                let is_runtimes = match user {
                    Some(user) => self.user == user.to_string(),
                    None => self.user == "0" && is_runtime(&self.unit),
                };
                named == Some(name.as_bytes()) && is_runtimes && self.transport == "journal"
            }
        }
    }

    /// Returns the entry as the rules' reader knows it (`Tags::journal` of `detect`): what Asterisk itself sent to the
    /// syslog socket as an object, in which a line feed at the end says that it was whole; what another program of root's
    /// sent there behind `>`, its name and a colon; anything else, also what Asterisk's scripts sent there, behind `|` as a
    /// line of a console. What is no text stays as it is.
    fn line(&self, message: &[u8]) -> Vec<u8> {
        let program = self.program.as_ref().and_then(Field::bytes);
        if self.transport != "syslog" || program != Some(ASTERISK) {
            let text = message.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte });
            let head =
                self.service().map_or_else(|| b"|".to_vec(), |name| [b">", name, b": "].concat());
            return head.into_iter().chain(text).collect();
        }
        let mut line = br#"{"__REALTIME_TIMESTAMP":""#.to_vec();
        line.extend(self.time.bytes().filter(u8::is_ascii_digit));
        line.extend_from_slice(br#"","_TRANSPORT":"syslog","MESSAGE":""#);
        escape(message, &mut line);
        if self.raw.as_ref().is_some_and(|LastByte(last)| *last == Some(b'\n')) {
            line.extend_from_slice(br"\n");
        }
        line.extend_from_slice(br#""}"#);
        line
    }

    /// Returns the name of the program, as the kernel has it, if root runs it and it sent the whole entry to syslog. (A user whom a
    /// service let in may run programs in its unit.)
    fn service(&self) -> Option<&[u8]> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let is_whole = self.transport == "syslog" && self.user == "0";
        let name = self.program.as_ref().and_then(Field::bytes).filter(|_| is_whole)?;
        (!name.is_empty() && name.iter().all(is_part)).then_some(name)
    }

    /// Returns what journald itself says about messages of these parts that it left out.
    fn dropped(&self, parts: &[JournalPart]) -> Told {
        let bytes = |field: &Option<Field>| {
            let bytes = field.as_ref().and_then(Field::bytes);
            bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        // Of a user's processes, journald names the unit: that of its service manager.
        let is_about = |unit: &str, part: &JournalPart| match part {
            JournalPart::Unit(ours) => unit == ours,
            JournalPart::Container { user: None, .. } => is_runtime(unit),
            JournalPart::User(user) | JournalPart::Container { user: Some(user), .. } => {
                unit == format!("user@{user}.service")
            }
        };
        match (bytes(&self.message_id), bytes(&self.message)) {
            (Some(id), Some(text)) if id == DROPPED => {
                let unit = text.rsplit(' ').next().unwrap_or_default();
                let ours = parts.iter().any(|part| is_about(unit, part));
                if ours { Told::Dropped(text) } else { Told::Nothing }
            }
            _ => Told::Nothing,
        }
    }
}

/// Whether a unit is that of a container runtime.
fn is_runtime(unit: &str) -> bool {
    let monitor = unit.strip_prefix(MONITOR).and_then(|rest| rest.strip_suffix(".scope"));
    RUNTIMES.contains(&unit) || monitor.is_some()
}

/// Returns the fields by which `journalctl` finds the entries of a part: all of them must hold.
#[must_use]
pub fn matches(part: &JournalPart) -> Vec<String> {
    match part {
        JournalPart::Unit(unit) => vec![format!("_SYSTEMD_UNIT={unit}")],
        JournalPart::User(user) => vec![format!("_UID={user}")],
        JournalPart::Container { name, user } => {
            vec![format!("CONTAINER_NAME={name}"), format!("_UID={}", user.unwrap_or(0))]
        }
    }
}

/// Writes text between quotes.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0..b' ' => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// An entry that Asterisk's unit wrote by syslog, with these fields changed.
    fn entry(changes: Value) -> String {
        let mut entry = json!({
            "__CURSOR": "s=1;i=2;b=3;m=4;t=5;x=6",
            "__REALTIME_TIMESTAMP": "1764441234123456",
            "_TRANSPORT": "syslog",
            "_UID": "996",
            "_COMM": "asterisk",
            "_SYSTEMD_UNIT": "asterisk.service",
            "SYSLOG_IDENTIFIER": "asterisk",
            "MESSAGE": "NOTICE[1]: a.c:1 in f: text",
        });
        let Value::Object(changes) = changes else { panic!("no object") };
        entry.as_object_mut().unwrap().extend(changes);
        entry.to_string()
    }

    fn told(part: &str, line: &str) -> Told {
        Entry::read(line.as_bytes()).unwrap().told(&[part.parse().unwrap()])
    }

    fn line(part: &str, changes: Value) -> Option<String> {
        match told(part, &entry(changes)) {
            Told::Line(line) => Some(String::from_utf8_lossy(&line).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn an_entry_becomes_a_line() {
        let unit = "asterisk.service";
        let datagram = |text: &str| {
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1764441234123456","_TRANSPORT":"syslog","MESSAGE":"{text}"}}"#
            )
        };
        let text = "NOTICE[1]: a.c:1 in f: text";
        assert_eq!(line(unit, json!({})).unwrap(), datagram(text));
        let raw = format!("<133>Nov 22 10:00:00 asterisk[1]: {text}\n");
        let whole = datagram(&format!(r"{text}\n"));
        assert_eq!(line(unit, json!({"SYSLOG_RAW": raw})).unwrap(), whole);
        assert_eq!(line(unit, json!({"SYSLOG_RAW": raw.as_bytes()})).unwrap(), whole);
        assert_eq!(line(unit, json!({"SYSLOG_RAW": [65, 0]})).unwrap(), datagram(text));
        let Told::Line(bytes) = told(unit, &entry(json!({"MESSAGE": [27, 91, 10, 34, 255]})))
        else {
            panic!("no line");
        };
        assert!(bytes.ends_with(b"\"MESSAGE\":\"\\u001b[\\n\\\"\xff\"}"), "{bytes:?}");
        // A console's, and what a script in the same unit wrote.
        for changes in
            [json!({"_TRANSPORT": "stdout"}), json!({"_COMM": "agi"}), json!({"_COMM": null})]
        {
            assert_eq!(line(unit, changes).unwrap(), format!("|{text}"));
        }
        // Another service of root's, and whoever else runs in its unit.
        for (user, program, head) in [
            ("0", "sshd-session", ">sshd-session: "),
            ("1000", "sshd-session", "|"),
            ("0", "a b", "|"),
        ] {
            let told = line(unit, json!({"_UID": user, "_COMM": program})).unwrap();
            assert_eq!(told, format!("{head}{text}"));
        }
        let broken = json!({"_TRANSPORT": "journal", "MESSAGE": "a\nb"});
        assert_eq!(line(unit, broken).unwrap(), "|a\rb");
    }

    #[test]
    fn entries_of_others_say_nothing() {
        let unit = "asterisk.service";
        for (part, changes, is_ours) in [
            (unit, json!({}), true),
            // What a local user can set: its identifier, its program, a field of its own.
            (
                unit,
                json!({"_SYSTEMD_UNIT": "user@1000.service", "SYSLOG_IDENTIFIER": "asterisk"}),
                false,
            ),
            (unit, json!({"_SYSTEMD_UNIT": "session-1.scope", "UNIT": "asterisk.service"}), false),
            (unit, json!({"_SYSTEMD_UNIT": null}), false),
            ("uid:996", json!({"_SYSTEMD_UNIT": "cron.service"}), true),
            ("uid:996", json!({"_UID": "1000"}), false),
            ("uid:99", json!({}), false),
        ] {
            let text = entry(changes);
            let line =
                Entry::read(text.as_bytes()).map(|entry| entry.told(&[part.parse().unwrap()]));
            assert_eq!(matches!(line, Some(Told::Line(_))), is_ours, "{part} {text}");
        }
    }

    #[test]
    fn containers_are_their_runtimes() {
        let of = |unit: &str, user: &str, transport: &str, name: &str| json!({"_SYSTEMD_UNIT": unit, "_UID": user, "_TRANSPORT": transport, "CONTAINER_NAME": name});
        for (part, changes, is_ours) in [
            ("container:pbx", of("docker.service", "0", "journal", "pbx"), true),
            ("container:pbx", of("libpod-conmon-0a1b.scope", "0", "journal", "pbx"), true),
            ("container:pbx", of("docker.service", "0", "journal", "pbx2"), false),
            // Anybody can name a container in a message of its own.
            ("container:pbx", of("user@1000.service", "1000", "journal", "pbx"), false),
            ("container:pbx", of("docker.service", "1000", "journal", "pbx"), false),
            ("container:pbx", of("my-docker.service", "0", "journal", "pbx"), false),
            ("container:pbx", of("docker.service", "0", "stdout", "pbx"), false),
            ("container:pbx:uid:1001", of("user@1001.service", "1001", "journal", "pbx"), true),
            ("container:pbx:uid:1001", of("user@1000.service", "1000", "journal", "pbx"), false),
        ] {
            assert_eq!(line(part, changes.clone()).is_some(), is_ours, "{part} {changes}");
        }
    }

    #[test]
    fn what_is_no_whole_message_is_left_out() {
        let unit = "asterisk.service";
        for changes in [
            json!({"_LINE_BREAK": "pid-change"}),
            json!({"CONTAINER_PARTIAL_MESSAGE": "true"}),
            json!({"MESSAGE": "x".repeat(8000)}),
        ] {
            let line = line(unit, changes).unwrap();
            assert!(line.contains("(left out") && line.len() < 200, "{line}");
        }
        for message in [json!(null), json!(["a", "b"]), json!([1, -1]), json!([256])] {
            assert_eq!(line(unit, json!({"MESSAGE": message})), None);
        }
        for line in ["", "{}", "-- cursor: s=1", r#"{"__CURSOR":"a","__CURSOR":"b"}"#, "[1]"] {
            assert!(Entry::read(line.as_bytes()).is_none(), "{line}");
        }
        let twice = entry(json!({})).replace(r#""_UID""#, r#""_UID":"0","_UID""#);
        assert!(Entry::read(twice.as_bytes()).is_none());
    }

    #[test]
    fn journald_says_what_it_left_out() {
        let dropped = |transport: &str, text: &str| {
            entry(json!({
                "_TRANSPORT": transport, "MESSAGE_ID": DROPPED, "MESSAGE": text,
                "_SYSTEMD_UNIT": "systemd-journald.service", "_UID": "0",
            }))
        };
        let ours = "Suppressed 7 messages from asterisk.service";
        assert_eq!(
            told("asterisk.service", &dropped("driver", ours)),
            Told::Dropped(ours.to_owned())
        );
        let others = "Suppressed 7 messages from my-asterisk.service";
        assert_eq!(told("asterisk.service", &dropped("driver", others)), Told::Nothing);
        // Only journald itself writes such entries.
        assert_eq!(told("asterisk.service", &dropped("journal", ours)), Told::Nothing);
    }

    proptest! {
        #[test]
        fn any_message_is_one_line(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            let text = entry(json!({"MESSAGE": message}));
            let Told::Line(line) = told("asterisk.service", &text) else { panic!("no line") };
            prop_assert!(!line.contains(&b'\n'));
            prop_assert!(line.len() <= 120 + 6 * message.len());
        }

        #[test]
        fn any_line_is_survived(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::read(&text);
        }
    }
}
