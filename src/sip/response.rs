//! The head of a SIP response: the few headers by which a refusal and what follows it are known
//! to belong together.
//!
//! A response repeats what the request said, so most values come from the host that is answered.
//! They are compared by their hashes and nothing else. Lines end with CR LF, which no value that
//! Asterisk repeats can hold; of each header, the first counts.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::quality::RandomState;
use memchr::memmem;

use crate::model::account::Account;

/// The beginning of every response.
pub const START: &[u8] = b"SIP/2.0 ";

/// The method of the request that was answered, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A phone registers its address.
    Register,
    /// A call.
    Invite,
    /// A question whether we are there, from providers, monitors and phones, which ignore a
    /// refusal.
    Options,
    /// Any other, or one that was cut off.
    Other,
}

/// A response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, from 100 to 699.
    pub status: u16,
    /// Whether only the nonce was too old. Asterisk never says so when the password is wrong.
    pub stale: bool,
    /// The method that was asked for.
    pub method: Method,
    /// The same for all requests of one try to log in or call, by hash: Call-ID, method, From and
    /// To.
    pub dialogue: u64,
    /// The same for a request and its repetitions, by hash: Via (with its branch) and `CSeq`.
    pub transaction: u32,
    /// The account, if it is a plain name: the one that asks; for REGISTER only if it asks for
    /// itself.
    pub account: Option<Account>,
}

impl Response {
    /// Reads the head of an answer, which may be cut; `None` if it is none. A header that was cut
    /// off counts as empty, for refusals and successes alike. `seed` makes hashes that nobody
    /// outside can foresee.
    #[must_use]
    pub fn read(head: &[u8], seed: &RandomState) -> Option<Self> {
        let mut lines = Lines(head);
        let status = status(lines.next()?)?;
        let headers = Headers::read(lines);
        let method = headers.cseq.trim_ascii_start();
        let method = method.trim_ascii_start_matching(u8::is_ascii_digit).trim_ascii();
        let (from, to) = (user(headers.from), user(headers.to));
        let kind = match method {
            b"REGISTER" => Method::Register,
            b"INVITE" => Method::Invite,
            b"OPTIONS" => Method::Options,
            _ => Method::Other,
        };
        let account = from.filter(|_| kind != Method::Register || from == to);
        let parts = [headers.call_id, method, from.unwrap_or(b""), to.unwrap_or(b"")];
        let transaction = hash(seed, &[headers.via, headers.cseq]);
        Some(Self {
            status,
            stale: headers.stale,
            method: kind,
            dialogue: hash(seed, &parts),
            // Half of it is enough to tell a few apart.
            transaction: (transaction >> 32) as u32,
            account: account.and_then(Account::named),
        })
    }
}

/// Returns how many bytes of body follow a head, by its first Content-Length; 0 without one.
#[must_use]
pub fn body_length(head: &[u8]) -> u32 {
    let length = Lines(head).skip(1).find_map(|line| {
        let (name, value) = split(line)?;
        is(name, b"content-length", b"l").then_some(value)
    });
    let digits = length.and_then(|length| std::str::from_utf8(length).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The headers that matter.
#[derive(Default)]
struct Headers<'a> {
    via: &'a [u8],
    call_id: &'a [u8],
    cseq: &'a [u8],
    from: &'a [u8],
    to: &'a [u8],
    stale: bool,
}

impl<'a> Headers<'a> {
    fn read(lines: Lines<'a>) -> Self {
        let mut headers = Self::default();
        for line in lines {
            let Some((name, value)) = split(line) else { continue };
            let place = if is(name, b"via", b"v") {
                &mut headers.via
            } else if is(name, b"call-id", b"i") {
                &mut headers.call_id
            } else if is(name, b"cseq", b"cseq") {
                &mut headers.cseq
            } else if is(name, b"from", b"f") {
                &mut headers.from
            } else if is(name, b"to", b"t") {
                &mut headers.to
            } else {
                if is(name, b"www-authenticate", b"proxy-authenticate") {
                    headers.stale |= says_stale(value);
                }
                continue;
            };
            if place.is_empty() {
                *place = value;
            }
        }
        headers
    }
}

/// The lines of a head, up to the empty one. The last line of a head that was cut is one too.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memmem::find(self.0, b"\r\n");
        let line = self.0.get(..end.unwrap_or(self.0.len()))?;
        self.0 = end.and_then(|end| self.0.get(end + 2..)).unwrap_or_default();
        (!line.is_empty()).then_some(line)
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(START)?;
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else { return None };
    let whole = rest.first().is_none_or(|byte| *byte == b' ');
    let digit = |byte: &u8| u16::from(byte - b'0');
    whole.then(|| 100 * digit(a) + 10 * digit(b) + digit(c))
}

/// Name and value. A line that goes on with the one before it has neither.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.first()?.is_ascii_whitespace() {
        return None;
    }
    let colon = memchr::memchr(b':', line)?;
    Some((line.get(..colon)?.trim_ascii_end(), line.get(colon + 1..)?.trim_ascii()))
}

fn is(name: &[u8], long: &[u8], short: &[u8]) -> bool {
    name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
}

/// The user in a From or To: `"name" <sip:USER@host>` or `sip:USER@host`.
fn user(value: &[u8]) -> Option<&[u8]> {
    let address = match unquoted(value).find(|(_, byte)| *byte == b'<') {
        Some((at, _)) => value.get(at + 1..)?,
        None => value,
    };
    let (scheme, rest) = address.split_at_checked(memchr::memchr(b':', address)? + 1)?;
    if !is(scheme, b"sip:", b"sips:") {
        return None;
    }
    let rest = rest.get(..rest.iter().position(|byte| *byte == b'>').unwrap_or(rest.len()))?;
    let user = rest.get(..memchr::memrchr(b'@', rest)?)?;
    // A password may stand behind it.
    user.split(|byte| *byte == b':').next()
}

/// Whether a challenge has the parameter `stale=true`.
fn says_stale(value: &[u8]) -> bool {
    const STALE: &[u8] = b"stale=true";
    unquoted(value).any(|(at, _)| {
        let word = value.get(at..at + STALE.len());
        word.is_some_and(|word| word.eq_ignore_ascii_case(STALE))
    })
}

/// The bytes that are in no quotes, and their places.
fn unquoted(value: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let (mut quoted, mut escaped) = (false, false);
    value.iter().copied().enumerate().filter(move |(_, byte)| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = quoted && *byte == b'\\';
        if *byte == b'"' {
            quoted = !quoted;
            return false;
        }
        !quoted
    })
}

/// One hash over several texts, each with its length, so that no two lists run together.
fn hash(seed: &RandomState, parts: &[&[u8]]) -> u64 {
    let mut hasher = seed.build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

trait TrimStart {
    fn trim_ascii_start_matching(&self, what: fn(&u8) -> bool) -> &[u8];
}

impl TrimStart for [u8] {
    fn trim_ascii_start_matching(&self, what: fn(&u8) -> bool) -> &[u8] {
        let end = self.iter().position(|byte| !what(byte)).unwrap_or(self.len());
        self.get(end..).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A refusal as `chan_pjsip` writes it.
    pub const REFUSAL: &str = "SIP/2.0 401 Unauthorized\r\n\
        Via: SIP/2.0/UDP 198.51.100.15:5061;rport=5061;received=198.51.100.15;branch=z9hG4bK77\r\n\
        Call-ID: 3f9a@198.51.100.15\r\n\
        From: \"1000\" <sip:1000@203.0.113.22>;tag=a1\r\n\
        To: <sip:1000@203.0.113.22>;tag=z9hG4bK77\r\n\
        CSeq: 7 REGISTER\r\n\
        WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1/2\",algorithm=MD5,qop=\"auth\"\r\n\
        Server: Asterisk PBX 22.10.0\r\n\
        Content-Length:  0\r\n\r\n";

    fn read(head: &str) -> Response {
        Response::read(head.as_bytes(), &SEED.with(Clone::clone)).unwrap()
    }

    thread_local! {
        static SEED: RandomState = RandomState::default();
    }

    fn with(from: &str, to: &str) -> Response {
        assert!(REFUSAL.contains(from), "{from}");
        read(&REFUSAL.replacen(from, to, 1))
    }

    #[test]
    fn response_is_read() {
        let response = read(REFUSAL);
        assert_eq!(
            (response.status, response.stale, response.method),
            (401, false, Method::Register)
        );
        assert_eq!(response.account, Account::named(b"1000"));
        assert_eq!(with("REGISTER", "INVITE").method, Method::Invite);
        assert_eq!(with("REGISTER", "OPTIONS").method, Method::Options);
        assert_eq!(with("REGISTER", "SUBSCRIBE").method, Method::Other);
        assert!(with("algorithm", "stale=true,algorithm").stale);
        assert!(!with("\"asterisk\"", "\"a, stale=true\"").stale, "in quotes it is text");
    }

    #[test]
    fn requests_of_a_dialogue_have_one_key() {
        let response = read(REFUSAL);
        // A further request of the same try.
        let next = with("CSeq: 7", "CSeq: 8");
        assert_eq!(next.dialogue, response.dialogue);
        assert_ne!(next.transaction, response.transaction);
        // One with the same number is another one all the same.
        assert_ne!(with("branch=z9hG4bK77", "branch=z9hG4bK78").transaction, response.transaction);
        // Spelled otherwise, and a repetition's answer.
        for same in [
            with("Call-ID", "i"),
            with("Call-ID: ", "CALL-ID :\t"),
            with("From: \"1000\" <", "f: <"),
            with("401 Unauthorized", "200 OK"),
        ] {
            assert_eq!(same.dialogue, response.dialogue);
            assert_eq!(same.transaction, response.transaction);
        }
        for other in [
            with("3f9a", "3f9b"),
            with("REGISTER", "INVITE"),
            with("<sip:1000@203.0.113.22>;tag=a1", "<sip:1001@203.0.113.22>;tag=a1"),
            with("To: <sip:1000", "To: <sip:1001"),
        ] {
            assert_ne!(other.dialogue, response.dialogue);
        }
    }

    #[test]
    fn forged_values_stay_in_their_header() {
        let response = read(REFUSAL);
        // A second header of a name, a line that goes on with another, line ends of other kinds.
        for (place, forged) in [
            ("CSeq: 7 REGISTER\r\n", "CSeq: 7 REGISTER\r\nCall-ID: x\r\nCSeq: 9 INVITE\r\n"),
            ("tag=a1", "tag=a1\r\n Call-ID: x"),
            ("tag=a1", "tag=a1\nCall-ID: x"),
            ("tag=a1", "tag=a1\rCall-ID: x"),
            ("\"1000\"", "\"\\\"Call-ID: x <sip:9@h>\\\\\""),
        ] {
            let forged = with(place, forged);
            assert_eq!(forged.dialogue, response.dialogue, "{place}");
            assert_eq!(forged.transaction, response.transaction, "{place}");
            assert_eq!(forged.account, response.account, "{place}");
        }
    }

    #[test]
    fn users_are_found_in_addresses() {
        for (value, expected) in [
            ("<sip:1000@h>", Some("1000")),
            ("sip:1000@h;tag=x", Some("1000")),
            ("\"<sip:1@h>\" <sips:1000:secret@h>", Some("1000")),
            ("Joe <SIP:joe@h>", Some("joe")),
            ("<sip:h>", None),
            ("<tel:1000@h>", None),
            ("\"open <sip:1000@h>", None),
            ("", None),
        ] {
            assert_eq!(user(value.as_bytes()), expected.map(str::as_bytes), "{value}");
        }
        // Whoever asks for somebody else is not to be excused by what that one did.
        assert_eq!(with("To: <sip:1000", "To: <sip:1001").account, None);
    }

    #[test]
    fn truncated_response_is_still_read() {
        let all = read(REFUSAL);
        for (kept, dialogue, transaction) in [
            (REFUSAL.len(), true, true),
            (REFUSAL.find("WWW").unwrap(), true, true),
            (REFUSAL.find("CSeq").unwrap(), false, false),
            (24, false, false),
            (11, false, false),
        ] {
            let response = read(&REFUSAL[..kept]);
            assert_eq!(response.status, 401);
            assert_eq!(response.dialogue == all.dialogue, dialogue, "{kept}");
            assert_eq!(response.transaction == all.transaction, transaction, "{kept}");
        }
        let seed = RandomState::default();
        for none in
            ["", "SIP/2.0 40", "SIP/2.0 4011", "SIP/2.0 99 X", "SIP/3.0 401 X", " SIP/2.0 401"]
        {
            assert_eq!(Response::read(none.as_bytes(), &seed), None, "{none}");
        }
    }

    #[test]
    fn body_length_is_read() {
        assert_eq!(body_length(REFUSAL.as_bytes()), 0);
        let other =
            |line: &str| body_length(REFUSAL.replace("Content-Length:  0", line).as_bytes());
        assert_eq!(other("l: 17"), 17);
        assert_eq!(other("Content-Length: 17\r\nContent-Length: 9"), 17);
        assert_eq!(other("Content-Length: -1"), 0);
        assert_eq!(other("X: y"), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(rest in proptest::collection::vec(any::<u8>(), 0..300)) {
            let head = [&b"SIP/2.0 401 "[..], &rest].concat();
            prop_assert!(Response::read(&head, &RandomState::default()).is_some());
            let _ = body_length(&head);
        }

        /// Whatever a stranger puts into the values that are repeated, as long as it is no line
        /// end, the dialogue is that of the Call-ID, and nothing but the Call-ID's.
        #[test]
        fn dialogue_depends_on_the_call_id_only(
            call in "[ -~]{1,40}",
            tag in "[ -~\\x80-\\xff]{0,40}",
            seq in 0u32..1_000_000,
        ) {
            let call = call.trim();
            prop_assume!(!call.is_empty());
            let seed = RandomState::default();
            let head = |call: &str, tag: &str| {
                let head = REFUSAL.replace("3f9a@198.51.100.15", call).replace("tag=a1", tag);
                let head = head.replace("CSeq: 7", &format!("CSeq: {seq}"));
                Response::read(head.as_bytes(), &seed).unwrap()
            };
            let plain = head(call, "x");
            prop_assert_eq!(head(call, &format!("tag={tag}")).dialogue, plain.dialogue);
            prop_assert_ne!(head(&format!("{call}x"), "x").dialogue, plain.dialogue);
        }
    }
}
