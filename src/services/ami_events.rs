//! AMI: the security events that our PBX reports, as the lines of its SECURITY log.
//!
//! Asterisk prints an event of the manager and a line of the log from the same object, with the same fields in the same
//! order (`main/security_events.c`, `res/res_security_log.c`, 12 to 23). It escapes nothing, so the text of a sender may
//! hold line ends, and with them headers and whole events. So an event counts only if its headers are exactly those of
//! its kind, each once, in their order, and Asterisk's own values have their forms. Everything else is *tampered*.
//!
//! The text of some events is long enough for whole events, which no check can tell from true ones. What begins within
//! reach of such a text is *doubtful*, until the connection rests: the same rule as that for logs
//! ([`crate::detect`]). Where a text is shorter than the shortest event, nothing after it is doubtful.

use std::iter::Peekable;
use std::net::IpAddr;
use std::slice::Split;

/// The longest message (event or response) that is read, in bytes. Longer ones are skipped, and tampered if they are
/// one of ours: the longest honest one is a tenth of this.
pub const LONGEST_MESSAGE: usize = 16 << 10;
/// The reach of a text that is as long as its sender likes, in bytes: as for logs.
const LONG_TEXT: u64 = 8192;
/// The reach of what `chan_sip` decodes from a header, and of PJSIP's texts, in bytes.
const SHORT_TEXT: u64 = 255;

/// What our PBX says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The first line of the connection, without its end.
    Banner(&'a [u8]),
    /// A response: its lines, each with a line feed.
    Response(&'a [u8]),
    /// A security event, as a line of the SECURITY log without its end.
    Event(&'a [u8]),
    /// A security event that Asterisk did not write like this, or the rest of one.
    Tampered,
    /// A security event within reach of a text that a sender may have written.
    Doubtful,
    /// Another event.
    Other,
}

/// A kind of security event: `sec_events` of `main/security_events.c`.
struct Kind {
    name: &'static str,
    /// The value of `EventVersion`.
    version: &'static str,
    severity: Severity,
    /// Whether `AccountID` comes before `SessionID`.
    account: bool,
    /// The headers after `RemoteAddress` that are always there.
    required: &'static [&'static str],
    /// Those that may follow, in this order.
    optional: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Informational,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Informational => "Informational",
        }
    }
}

const fn error(
    name: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Kind {
    Kind { name, version: "1", severity: Severity::Error, account: true, required, optional }
}

const NOTHING_MORE: &[&str] = &["Module", "SessionTV"];

/// All of them.
const KINDS: [Kind; 15] = [
    error("FailedACL", &[], &["Module", "SessionTV", "ACLName"]),
    error("InvalidAccountID", &[], NOTHING_MORE),
    error("SessionLimit", &[], NOTHING_MORE),
    error("MemoryLimit", &[], NOTHING_MORE),
    error("LoadAverageLimit", &[], NOTHING_MORE),
    error("RequestNotSupported", &["RequestType"], NOTHING_MORE),
    error("RequestNotAllowed", &["RequestType"], &["Module", "SessionTV", "RequestParams"]),
    error("AuthMethodNotAllowed", &["AuthMethod"], NOTHING_MORE),
    Kind {
        account: false,
        ..error(
            "RequestBadFormat",
            &["RequestType"],
            &["Module", "SessionTV", "AccountID", "RequestParams"],
        )
    },
    Kind {
        severity: Severity::Informational,
        ..error("SuccessfulAuth", &["UsingPassword"], NOTHING_MORE)
    },
    Kind { version: "2", ..error("UnexpectedAddress", &["ExpectedAddress"], NOTHING_MORE) },
    error("ChallengeResponseFailed", &["Challenge", "Response", "ExpectedResponse"], NOTHING_MORE),
    Kind {
        version: "2",
        ..error(
            "InvalidPassword",
            &[],
            &["Module", "SessionTV", "Challenge", "ReceivedChallenge", "ReceivedHash"],
        )
    },
    Kind {
        severity: Severity::Informational,
        ..error("ChallengeSent", &["Challenge"], NOTHING_MORE)
    },
    error("InvalidTransport", &["AttemptedTransport"], NOTHING_MORE),
];

/// Headers that a setting adds before those of the event: `timestampevents`, `debug` and `systemname`.
const SETTINGS: [&str; 6] = ["Timestamp", "SequenceNumber", "File", "Line", "Func", "SystemName"];

/// Reads messages wherever a connection is cut. At most [`LONGEST_MESSAGE`] bytes, and a line that is not much longer.
#[derive(Debug, Default)]
pub struct Reader {
    /// The lines of the message so far, each with a line feed alone; the last one may be incomplete. Only the first one if
    /// the message is too long.
    message: Vec<u8>,
    too_long: bool,
    /// The incomplete line: where it begins in the message, its bytes, and the first one.
    line: usize,
    line_length: usize,
    line_first: u8,
    /// Whether the banner has been read.
    begun: bool,
    /// Whether the last message was an event of another kind, whose rest may follow.
    was_other: bool,
    /// The number of bytes read so far, the number at which the message began, and that up to which events are doubtful.
    read: u64,
    begin: u64,
    doubt: u64,
    /// The line of the log.
    written: Vec<u8>,
}

impl Reader {
    /// Reads on, and hands each thing that is complete to `each`.
    pub fn read(&mut self, mut bytes: &[u8], mut each: impl FnMut(Item<'_>)) {
        while !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
            let (part, rest) = bytes.split_at(end);
            bytes = rest;
            self.read += part.len() as u64;
            self.keep(part);
            if part.ends_with(b"\n") {
                self.end_line(&mut each);
            }
        }
    }

    /// Says that nothing came for a while: what a sender's text was part of is over.
    pub fn rested(&mut self) {
        self.doubt = 0;
    }

    fn keep(&mut self, part: &[u8]) {
        if self.line_length == 0 {
            self.line_first = part.first().copied().unwrap_or_default();
        }
        self.line_length += part.len();
        if self.too_long {
            return;
        }
        self.message.extend_from_slice(part);
        if self.message.len() > LONGEST_MESSAGE {
            self.too_long = true;
            // However it is cut, a first line that is too long is none.
            let begin = self.message.get(..LONGEST_MESSAGE).unwrap_or_default();
            let end = memchr::memchr(b'\n', begin).map_or(0, |end| end + 1);
            self.message.truncate(end);
            self.message.shrink_to(LONGEST_MESSAGE);
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Item<'_>)) {
        let is_empty = self.line_length == 1 || (self.line_length == 2 && self.line_first == b'\r');
        self.line_length = 0;
        // Both line ends are in use (some versions end CoreShowChannelMap with a line feed alone).
        if !self.too_long && self.message.ends_with(b"\r\n") {
            self.message.truncate(self.message.len() - 2);
            self.message.push(b'\n');
        }
        if !self.begun {
            self.begun = true;
            each(Item::Banner(self.message.strip_suffix(b"\n").unwrap_or_default()));
        } else if is_empty {
            if !self.too_long {
                self.message.truncate(self.line);
            }
            self.end_message(each);
        } else {
            self.line = self.message.len();
            return;
        }
        self.message.clear();
        (self.line, self.too_long, self.begin) = (0, false, self.read);
    }

    fn end_message(&mut self, each: &mut impl FnMut(Item<'_>)) {
        let message = self.message.as_slice();
        let was_other = std::mem::take(&mut self.was_other);
        if message.starts_with(b"Response: ") {
            each(Item::Response(message));
            return;
        }
        let name = message.strip_prefix(b"Event: ").map(|rest| {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            rest.get(..end).unwrap_or_default()
        });
        let kind = name.and_then(|name| KINDS.iter().find(|kind| kind.name.as_bytes() == name));
        let (item, reach) = match (name, kind) {
            // Empty lines in a row are nothing.
            (None, _) if message.is_empty() && !self.too_long => {
                self.was_other = was_other;
                return;
            }
            // Events of applications may hold line ends.
            (None, _) if was_other => (Item::Other, 0),
            // The rest of an event that was cut in two.
            (None, _) => (Item::Tampered, LONG_TEXT),
            (Some(_), None) => (Item::Other, 0),
            (Some(_), Some(_)) if self.too_long => (Item::Tampered, LONG_TEXT),
            (Some(_), Some(kind)) => {
                let doubtful = self.begin < self.doubt;
                match event(kind, message, &mut self.written) {
                    Ok(service) => {
                        let reach = reach_of(kind, service);
                        (if doubtful { Item::Doubtful } else { Item::Event(&self.written) }, reach)
                    }
                    Err(NotAnEvent { service: Some(b"PJSIP") }) => (Item::Tampered, SHORT_TEXT),
                    Err(NotAnEvent { .. }) => (Item::Tampered, LONG_TEXT),
                }
            }
        };
        self.was_other = item == Item::Other;
        if reach > 0 {
            self.doubt = self.doubt.max(self.read + reach);
        }
        each(item);
    }
}

/// How far the text of a sender in an event that is complete may reach behind it, in bytes.
fn reach_of(kind: &Kind, service: &[u8]) -> u64 {
    match service {
        // The longest text that may hold a line end is a user of 36 bytes: too short for the end of an event.
        b"PJSIP" => 0,
        b"SIP" => SHORT_TEXT,
        // Over HTTP, these have texts of any length. Accounts of the others exist, and their other texts have 63 bytes.
        _ if ["InvalidAccountID", "ChallengeResponseFailed", "AuthMethodNotAllowed"]
            .contains(&kind.name) =>
        {
            LONG_TEXT
        }
        b"AMI" => 0,
        _ => LONG_TEXT,
    }
}

/// It is not what Asterisk writes.
struct NotAnEvent<'a> {
    /// The service, if all before it and itself are as they should be.
    service: Option<&'a [u8]>,
}

/// The headers of a message that are still to be read.
struct Headers<'a>(Peekable<Split<'a, u8, IsEnd>>);

/// Whether a byte ends a line.
type IsEnd = fn(&u8) -> bool;

impl<'a> Headers<'a> {
    fn of(message: &'a [u8]) -> Self {
        let message = message.strip_suffix(b"\n").unwrap_or(message);
        let is_end: IsEnd = |byte| *byte == b'\n';
        Self(message.split(is_end).peekable())
    }

    /// Takes the next header if it has this name, and returns its value.
    fn take(&mut self, name: &str) -> Option<&'a [u8]> {
        let value = self.0.peek()?.strip_prefix(name.as_bytes())?.strip_prefix(b": ")?;
        self.0.next();
        Some(value)
    }
}

/// Writes an event as a line of the log, and returns its service.
fn event<'a>(
    kind: &Kind,
    message: &'a [u8],
    written: &mut Vec<u8>,
) -> Result<&'a [u8], NotAnEvent<'a>> {
    let mut headers = Headers::of(message);
    let mut service = None;
    let read = read_event(kind, &mut headers, &mut service, written);
    match (read, headers.0.next(), service) {
        (Some(()), None, Some(service)) => Ok(service),
        _ => Err(NotAnEvent { service }),
    }
}

fn read_event<'a>(
    kind: &Kind,
    headers: &mut Headers<'a>,
    service: &mut Option<&'a [u8]>,
    written: &mut Vec<u8>,
) -> Option<()> {
    headers.take("Event")?;
    headers.take("Privilege").filter(|value| *value == b"security,all")?;
    for name in SETTINGS {
        headers.take(name);
    }
    let time = headers.take("EventTV").filter(|value| is_time(value))?;
    headers.take("Severity").filter(|value| *value == kind.severity.name().as_bytes())?;
    let by = headers.take("Service").filter(|value| is_word(value))?;
    headers.take("EventVersion").filter(|value| *value == kind.version.as_bytes())?;
    *service = Some(by);
    written.clear();
    written.push(b'[');
    written.extend_from_slice(time);
    written.extend_from_slice(b"] SECURITY[0] res_security_log.c: SecurityEvent=\"");
    written.extend_from_slice(kind.name.as_bytes());
    written.push(b'"');
    field(written, "EventTV", time);
    field(written, "Severity", kind.severity.name().as_bytes());
    field(written, "Service", by);
    field(written, "EventVersion", kind.version.as_bytes());
    if kind.account {
        field(written, "AccountID", headers.take("AccountID")?);
    }
    field(written, "SessionID", headers.take("SessionID")?);
    for name in ["LocalAddress", "RemoteAddress"] {
        field(written, name, headers.take(name).filter(|value| is_address(value))?);
    }
    for name in kind.required {
        let value = headers.take(name)?;
        let is_right = match *name {
            "UsingPassword" => matches!(value, b"0" | b"1"),
            "ExpectedAddress" => is_address(value),
            _ => true,
        };
        field(written, name, Some(value).filter(|_| is_right)?);
    }
    for name in kind.optional {
        if let Some(value) = headers.take(name) {
            field(written, name, value);
        }
    }
    Some(())
}

/// Adds a field. What could end its value, hide a part of the line or look like the prefix of another one becomes a
/// question mark: nothing in a value changes which host the line names.
fn field(written: &mut Vec<u8>, name: &str, value: &[u8]) {
    written.push(b',');
    written.extend_from_slice(name.as_bytes());
    written.extend_from_slice(b"=\"");
    let mut last = 0;
    written.extend(value.iter().map(|byte| match (std::mem::replace(&mut last, *byte), byte) {
        (_, b'"' | b'\\' | 0x7f) | (b']', b' ') => b'?',
        (_, byte) if *byte < b' ' => b'?',
        (_, byte) => *byte,
    }));
    written.push(b'"');
}

/// Whether this is how Asterisk writes a time: `2026-11-22T10:00:00.123+0100`.
fn is_time(value: &[u8]) -> bool {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000+0000";
    value.len() == FORM.len()
        && value.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            form => byte == form,
        })
}

/// Whether this can be the name of a service.
fn is_word(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= 32
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Whether this is how Asterisk writes an address: `IPV4/UDP/203.0.113.9/5060`, where the transport may be missing.
fn is_address(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let parts: Vec<_> = text.split('/').collect();
    let (family, host, port) = match parts.as_slice() {
        [family, "UDP" | "TCP" | "TLS" | "WS" | "WSS", host, port] | [family, host, port] => {
            (*family, *host, *port)
        }
        _ => return false,
    };
    // An address of a link has the name of its interface.
    let (host, zone) = host.split_once('%').map_or((host, None), |(host, zone)| (host, Some(zone)));
    let is_family = match host.parse() {
        Ok(IpAddr::V4(_)) => family == "IPV4" && zone.is_none(),
        Ok(IpAddr::V6(_)) => family == "IPV6" && zone.is_none_or(is_zone),
        Err(_) => false,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    is_family && is_number && port.parse::<u16>().is_ok()
}

fn is_zone(zone: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=15).contains(&zone.len()) && zone.bytes().all(is_part)
}

#[cfg(test)]
mod tests;
