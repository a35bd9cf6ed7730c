//! The head of a SIP message, request or answer: what tells which answer belongs to which request.
//!
//! A request is written by whoever is outside, and an answer repeats most of it. So values are
//! compared by their hashes and nothing else, and of each header the first counts. In answers lines
//! end with CR LF, as Asterisk writes them. In requests a lone LF ends a line too, as Asterisk reads
//! them, and a line that begins with a blank goes on with the one before (RFC 3261, section 7.3.1).

use std::net::IpAddr;

use foldhash::quality::RandomState;

use crate::model::account::Account;
use crate::model::exchange::{Method, SipDriver, hash};
use crate::model::subject::canonical;

/// The bytes that an answer begins with.
const ANSWER: &[u8] = b"SIP/2.0 ";

/// The note of the address that a request came from, as `chan_sip` writes it.
const RECEIVED: &[u8] = b";received=";
/// The shortest Via in an answer of `chan_sip` of which the end may have been cut off, in bytes: 511 less
/// the longest note.
const LONG_VIA: usize = 440;
/// The longest header that is put together of several lines, in bytes; the rest is left out.
const LONGEST_HEADER: usize = 4096;

/// The parts of a request that its answer repeats, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ids {
    /// The Call-ID.
    pub call: u64,
    /// Call-ID, `CSeq` and the branch of the topmost Via: one request.
    pub request: u64,
}

/// The credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The nonce that they answer, by hash.
    pub nonce: u64,
    /// All of them, by hash: what one password gives for one nonce.
    pub whole: u64,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method that is asked for.
    pub method: Method,
    /// The parts that its answer repeats.
    pub ids: Ids,
    /// Its credentials, if it has any.
    pub credentials: Option<Credentials>,
    /// The account that asks, if that is a plain name: the user of the credentials, else of From. For OPTIONS
    /// without credentials, the one that is asked for: the user of the URI in its first line.
    pub account: Option<Account>,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code, from 100 to 699.
    pub status: u16,
    /// Whether only the nonce was too old, which Asterisk never says if the password is wrong.
    pub stale: bool,
    /// The method that was asked for, by `CSeq`. `chan_sip` repeats here everything that the sender wrote.
    pub method: Method,
    /// The parts of its request that it repeats.
    pub ids: Ids,
    /// The nonce that it asks to be answered, by hash.
    pub nonce: Option<u64>,
    /// Status, nonce and tag, by hash: the same for an answer that is sent again.
    pub again: u64,
    /// The place that the request came from, as the topmost Via says.
    pub via: Via,
    /// The account that asked, if From names it plainly (for REGISTER only if it asks for itself); for OPTIONS,
    /// that of To.
    pub account: Option<Account>,
}

/// The place that the topmost Via of an answer sends it to, and where the PBX noted that the request came
/// from. A sender may write such notes himself; the PBX adds its own, `chan_pjsip` ahead of what was
/// written (`pjsip_via_hdr_print`), `chan_sip` behind it (`copy_via_headers`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Via {
    /// Whether the sender asked for the answer to go elsewhere (RFC 3261, section 18.2.2).
    pub maddr: bool,
    /// The first address that the request is said to have come from: that of `chan_pjsip`.
    pub first: Option<IpAddr>,
    /// The last one: that of `chan_sip`.
    pub last: Option<IpAddr>,
    /// Whether it is so long that `chan_sip`, which has 511 bytes for it, cut off what it added.
    pub long: bool,
}

impl Via {
    /// Returns the host that the request came from, if the answer of `driver` goes to `to`; `None` if the
    /// answer does not say so. Where the answer is not clear, `asked` tells whether a host was seen to send
    /// that request. The flag tells that the answer went elsewhere than where the request came from, so that
    /// little is proven.
    #[must_use]
    pub fn asker(
        self,
        to: IpAddr,
        driver: Option<SipDriver>,
        asked: impl Fn(IpAddr) -> bool,
    ) -> Option<(IpAddr, bool)> {
        let Self { maddr, first, last, long } = self;
        let noted = match driver {
            Some(SipDriver::Pjsip) => first,
            Some(SipDriver::ChanSip) => last.filter(|_| !long),
            None => first.filter(|_| first == last && !long),
        };
        let nothing = first.is_none() && last.is_none() && !long && !maddr;
        let host = match noted {
            Some(host) => host,
            None if nothing => to,
            None => [Some(to), first, last].into_iter().flatten().find(|host| asked(*host))?,
        };
        Some((host, maddr || host != to))
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks.
    Request(Request),
    /// Somebody answers.
    Answer(Answer),
}

impl Message {
    /// Reads the head of a message, which may be cut: a header that was cut off counts as empty.
    /// `None` for what is neither a request nor an answer. `seed` makes hashes that nobody outside can
    /// foresee.
    #[must_use]
    pub fn read(head: &[u8], seed: &RandomState) -> Option<Self> {
        if head.starts_with(ANSWER) {
            Answer::read(head, seed).map(Self::Answer)
        } else {
            Request::read(head, seed).map(Self::Request)
        }
    }
}

impl Request {
    fn read(head: &[u8], seed: &RandomState) -> Option<Self> {
        let start = head.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let head = head.get(start..)?;
        let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
        let (first, rest) = head.split_at_checked(end)?;
        let mut words = first.trim_ascii_end().splitn(3, |byte| *byte == b' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
        if method.is_empty() || !method.iter().all(is_token) || !version.starts_with(b"SIP/2.0") {
            return None;
        }
        let mut headers = Headers::default();
        unfold(rest, |name, value| headers.take(name, value, seed));
        let method = Method::of(method);
        let credentials = headers.credentials.map(|(credentials, _)| credentials);
        let user = match headers.credentials {
            Some((_, user)) => user.or(headers.from),
            None if method == Method::Options => user(target).and_then(Account::named),
            None => headers.from,
        };
        Some(Self { method, ids: headers.ids(seed), credentials, account: user })
    }
}

impl Answer {
    fn read(head: &[u8], seed: &RandomState) -> Option<Self> {
        let end = memchr::memmem::find(head, b"\r\n").unwrap_or(head.len());
        let (first, rest) = head.split_at_checked(end)?;
        let status = status(first)?;
        let mut headers = Headers::default();
        let mut rest = rest.get(2..).unwrap_or_default();
        while !rest.is_empty() {
            let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 2..).unwrap_or_default();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = split(line) {
                headers.take(name, value, seed);
            }
        }
        let own = headers.method != Method::Register || headers.from == headers.to;
        Some(Self {
            status,
            stale: headers.stale,
            method: headers.method,
            ids: headers.ids(seed),
            nonce: headers.nonce,
            again: hash(
                seed,
                &[
                    &status.to_be_bytes(),
                    &headers.nonce.unwrap_or(0).to_be_bytes(),
                    &headers.to_whole.to_be_bytes(),
                ],
            ),
            via: headers.via,
            account: match headers.method {
                Method::Options => headers.to,
                _ => headers.from.filter(|_| own),
            },
        })
    }
}

/// The headers that matter; of each, the first.
#[derive(Default)]
struct Headers {
    call: Option<u64>,
    cseq: Option<u64>,
    branch: Option<u64>,
    method: Method,
    from: Option<Account>,
    to: Option<Account>,
    to_whole: u64,
    seen_from: bool,
    seen_to: bool,
    via: Via,
    stale: bool,
    nonce: Option<u64>,
    credentials: Option<(Credentials, Option<Account>)>,
}

impl Headers {
    fn take(&mut self, name: &[u8], value: &[u8], seed: &RandomState) {
        let is = |long: &[u8], short: &[u8]| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        };
        if is(b"via", b"v") {
            if self.branch.is_none() {
                self.take_via(value, seed);
            }
        } else if is(b"call-id", b"i") {
            self.call.get_or_insert_with(|| hash(seed, &[value]));
        } else if is(b"cseq", b"cseq") {
            if self.cseq.is_none() {
                let mut words =
                    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                let number = words.next().unwrap_or_default();
                let zeros = number.iter().take_while(|byte| **byte == b'0').count();
                let method = words.next().unwrap_or_default();
                self.cseq = Some(hash(seed, &[number.get(zeros..).unwrap_or_default(), method]));
                self.method = Method::of(method);
            }
        } else if is(b"from", b"f") {
            if !self.seen_from {
                self.seen_from = true;
                self.from = user(value).and_then(Account::named);
            }
        } else if is(b"to", b"t") {
            if !self.seen_to {
                self.seen_to = true;
                self.to = user(value).and_then(Account::named);
                self.to_whole = hash(seed, &[value]);
            }
        } else if is(b"www-authenticate", b"proxy-authenticate") {
            self.stale |=
                parameter(value, b"stale").is_some_and(|word| word.eq_ignore_ascii_case(b"true"));
            if let Some(nonce) = parameter(value, b"nonce") {
                self.nonce.get_or_insert_with(|| hash(seed, &[nonce]));
            }
        } else if is(b"authorization", b"proxy-authorization") && self.credentials.is_none() {
            let nonce = hash(seed, &[parameter(value, b"nonce").unwrap_or_default()]);
            let account = parameter(value, b"username").and_then(Account::named);
            self.credentials = Some((Credentials { nonce, whole: hash(seed, &[value]) }, account));
        }
    }

    fn take_via(&mut self, line: &[u8], seed: &RandomState) {
        // One line may hold several, of which the first is the topmost.
        let end = unquoted(line).find(|(_, byte)| *byte == b',').map_or(line.len(), |(at, _)| at);
        let value = line.get(..end).unwrap_or(line);
        let branch = parameter(value, b"branch");
        // Without one, all of it stands for it, but for what the PBX adds.
        let whole = value.split(|byte| *byte == b';').next().unwrap_or_default();
        self.branch = Some(hash(seed, &[branch.unwrap_or(whole)]));
        self.via.maddr = parameter(value, b"maddr").is_some();
        self.via.first = parameter(value, b"received").and_then(address);
        // `chan_sip` does not know quotes: it adds its own ahead of the first comma.
        let first = line.split(|byte| *byte == b',').next().unwrap_or_default();
        let last =
            memchr::memmem::rfind(first, RECEIVED).and_then(|at| first.get(at + RECEIVED.len()..));
        let last = last.and_then(|rest| rest.split(|byte| b"; \t".contains(byte)).next());
        self.via.last = last.and_then(address);
        self.via.long = first.len() >= LONG_VIA;
    }

    fn ids(&self, seed: &RandomState) -> Ids {
        let part = |value: Option<u64>| value.unwrap_or(0).to_be_bytes();
        let request = hash(seed, &[&part(self.call), &part(self.cseq), &part(self.branch)]);
        Ids { call: self.call.unwrap_or(0), request }
    }
}

/// Hands over the headers of a request, each as one line.
fn unfold(mut rest: &[u8], mut header: impl FnMut(&[u8], &[u8])) {
    rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let mut whole: Vec<u8> = Vec::new();
    let mut hand_over = |whole: &mut Vec<u8>| {
        if let Some((name, value)) = split(whole) {
            header(name, value);
        }
        whole.clear();
    };
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let goes_on = matches!(line.first(), Some(b' ' | b'\t'));
        if !goes_on {
            hand_over(&mut whole);
        }
        let room = LONGEST_HEADER.saturating_sub(whole.len());
        whole.extend(line.iter().take(room));
    }
    hand_over(&mut whole);
}

/// Returns the number of bytes of body that follow a head, by its first Content-Length; 0 without one.
#[must_use]
pub fn body_length(head: &[u8]) -> u32 {
    let mut length = None;
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    unfold(head.get(end..).unwrap_or_default(), |name, value| {
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let digits = std::str::from_utf8(value).ok();
            length
                .get_or_insert_with(|| digits.and_then(|digits| digits.parse().ok()).unwrap_or(0));
        }
    });
    length.unwrap_or(0)
}

/// Returns the place behind the first empty line, where a head ends.
pub(crate) fn empty_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(ANSWER)?;
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else { return None };
    let whole = rest.first().is_none_or(|byte| *byte == b' ');
    let digit = |byte: &u8| u16::from(byte - b'0');
    whole.then(|| 100 * digit(a) + 10 * digit(b) + digit(c))
}

/// Name and value.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    if line.first()?.is_ascii_whitespace() {
        return None;
    }
    let colon = memchr::memchr(b':', line)?;
    Some((line.get(..colon)?.trim_ascii_end(), line.get(colon + 1..)?.trim_ascii()))
}

/// Returns the user in a From or To: `"name" <sip:USER@host>` or `sip:USER@host`.
fn user(value: &[u8]) -> Option<&[u8]> {
    let address = match unquoted(value).find(|(_, byte)| *byte == b'<') {
        Some((at, _)) => value.get(at + 1..)?,
        None => value,
    };
    let (scheme, rest) = address.split_at_checked(memchr::memchr(b':', address)? + 1)?;
    if !scheme.eq_ignore_ascii_case(b"sip:") && !scheme.eq_ignore_ascii_case(b"sips:") {
        return None;
    }
    let rest = rest.get(..rest.iter().position(|byte| *byte == b'>').unwrap_or(rest.len()))?;
    let user = rest.get(..memchr::memrchr(b'@', rest)?)?;
    // A password may stand behind it.
    user.split(|byte| *byte == b':').next()
}

/// Returns the address that a parameter's value is.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.trim_matches(['[', ']']).parse().ok().map(canonical)
}

/// Returns the value of a parameter, `name=value` or `name="value"`, that stands outside of quotes.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let ends = |byte: u8| matches!(byte, b';' | b',' | b' ' | b'\t');
    let mut before = b' ';
    for (at, byte) in unquoted(value) {
        if ends(before) || at == 0 {
            let rest = value.get(at..)?;
            let after = rest.get(name.len()..).map(<[u8]>::trim_ascii_start);
            let found = rest.get(..name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name));
            if let Some([b'=', text @ ..]) = after.filter(|_| found) {
                let text = text.trim_ascii_start();
                return match text {
                    [b'"', quoted @ ..] => quoted.get(..memchr::memchr(b'"', quoted)?),
                    _ => text.get(..text.iter().position(|byte| ends(*byte)).unwrap_or(text.len())),
                };
            }
            // A flag: `;maddr` without a value.
            if found && after.is_none_or(|after| after.first().is_none_or(|byte| ends(*byte))) {
                return Some(b"");
            }
        }
        before = byte;
    }
    None
}

/// Returns the bytes that are in no quotes, and their places.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &str = "REGISTER sip:203.0.113.22 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 198.51.100.15:5061;branch=z9hG4bK77;rport\r\n\
        Call-ID: 3f9a@198.51.100.15\r\n\
        From: \"1000\" <sip:1000@203.0.113.22>;tag=a1\r\n\
        To: <sip:1000@203.0.113.22>\r\n\
        CSeq: 7 REGISTER\r\n\
        Authorization: Digest username=\"1001\", realm=\"a, nonce=x\", nonce=\"1/2\", response=\"r\"\r\n\
        Content-Length: 0\r\n\r\n";
    const ANSWERED: &str = "SIP/2.0 401 Unauthorized\r\n\
        Via: SIP/2.0/UDP 198.51.100.15:5061;rport=5061;received=198.51.100.15;branch=z9hG4bK77\r\n\
        Call-ID: 3f9a@198.51.100.15\r\n\
        From: \"1000\" <sip:1000@203.0.113.22>;tag=a1\r\n\
        To: <sip:1000@203.0.113.22>;tag=z9hG4bK77\r\n\
        CSeq: 7 REGISTER\r\n\
        WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"1/2\",algorithm=MD5,qop=\"auth\"\r\n\
        Content-Length:  0\r\n\r\n";

    thread_local! {
        static SEED: RandomState = RandomState::default();
    }

    fn request(text: &str) -> Request {
        match SEED.with(|seed| Message::read(text.as_bytes(), seed)) {
            Some(Message::Request(request)) => request,
            other => panic!("{other:?}: {text}"),
        }
    }

    fn answer(text: &str) -> Answer {
        match SEED.with(|seed| Message::read(text.as_bytes(), seed)) {
            Some(Message::Answer(answer)) => answer,
            other => panic!("{other:?}: {text}"),
        }
    }

    fn asked_with(from: &str, to: &str) -> Request {
        assert!(REQUEST.contains(from), "{from}");
        request(&REQUEST.replacen(from, to, 1))
    }

    #[test]
    fn an_answer_finds_its_request() {
        let (asked, answered) = (request(REQUEST), answer(ANSWERED));
        assert_eq!(asked.ids, answered.ids);
        assert_eq!(asked.credentials.unwrap().nonce, answered.nonce.unwrap());
        assert_eq!((asked.method, answered.method), (Method::Register, Method::Register));
        assert_eq!((answered.status, answered.stale), (401, false));
        assert_eq!(asked.account, Account::named(b"1001"), "who has to know the password");
        assert_eq!(answered.account, Account::named(b"1000"));
        let host = "198.51.100.15".parse().unwrap();
        assert_eq!(answered.via.asker(host, None, |_| false), Some((host, false)));
    }

    #[test]
    fn requests_are_read_as_asterisk_reads_them() {
        for (from, to) in [
            ("Call-ID: ", "i:"),
            ("Call-ID: ", "CALL-ID :\t"),
            ("Call-ID: ", "Call-ID:\r\n "),
            ("Via: ", "v: "),
            ("CSeq: 7", "CSeq: 0007  "),
            ("REGISTER\r\n", "REGISTER\r\nCSeq: 8 INVITE\r\nCall-ID: other\r\n"),
            ("branch=", "Branch="),
            (";rport\r\n", ";rport, SIP/2.0/UDP h;branch=z\r\nVia: SIP/2.0/UDP i;branch=y\r\n"),
            ("From: ", "X: y\nFrom: "),
        ] {
            assert_eq!(asked_with(from, to).ids, request(REQUEST).ids, "{to:?}");
        }
        assert_eq!(asked_with("REGISTER sip", "OPTIONS sip").method, Method::Options);
        for (from, to) in [("3f9a", "3f9b"), ("CSeq: 7", "CSeq: 8"), ("K77", "K78")] {
            assert_ne!(asked_with(from, to).ids.request, request(REQUEST).ids.request, "{to}");
        }
        assert_ne!(asked_with("\"r\"", "\"s\"").credentials, request(REQUEST).credentials);
        let seed = RandomState::default();
        for none in [
            "",
            "\r\n\r\n",
            "REGISTER",
            "GET / HTTP/1.1\r\n\r\n",
            "SIP/2.0 4011 X",
            "\u{1}\u{2} x SIP/2.0",
        ] {
            assert_eq!(Message::read(none.as_bytes(), &seed), None, "{none:?}");
        }
    }

    #[test]
    fn parameters_stand_outside_of_quotes() {
        let with = |from: &str, to: &str| answer(&ANSWERED.replacen(from, to, 1));
        assert!(with("algorithm", "stale=true,algorithm").stale);
        assert!(with("algorithm", "stale=\"TRUE\" ,algorithm").stale);
        assert!(!with("\"asterisk\"", "\"a, stale=true\"").stale);
        assert!(!with("algorithm", "unstale=true,algorithm").stale);
        assert!(with("rport=5061", "rport=5061;maddr=192.0.2.66").via.maddr);
        assert!(with("rport=5061", "maddr").via.maddr);
        let (to, nobody) = ("198.51.100.15".parse().unwrap(), |_| false);
        let diverted = with("received=198.51.100.15", "received=2001:db8::9").via;
        let asker = diverted.asker(to, None, nobody);
        assert_eq!(asker, Some(("2001:db8::9".parse().unwrap(), true)));
        let unknown = with(";received=198.51.100.15", ";maddr=h").via;
        assert_eq!(unknown.asker(to, None, nobody), None);
        assert_eq!(unknown.asker(to, None, |host| host == to), Some((to, true)));
    }

    #[test]
    fn what_a_sender_writes_into_its_via_is_not_what_the_pbx_adds() {
        use SipDriver::{ChanSip, Pjsip};
        let (attacker, victim) = ("198.51.100.15", "192.0.2.66");
        let asker = |via: &str, driver, asked: bool| {
            let text =
                ANSWERED.replace("198.51.100.15:5061;rport=5061;received=198.51.100.15", via);
            let real: IpAddr = attacker.parse().unwrap();
            answer(&text).via.asker(real, driver, |host| asked && host == real)
        };
        let plain = Some((attacker.parse().unwrap(), false));
        let long = "x".repeat(600);
        for (via, driver) in [
            ("h;received=192.0.2.66;received=198.51.100.15", ChanSip),
            ("h;x=\"a;received=198.51.100.15,b\";received=192.0.2.66", ChanSip),
            ("h;received=198.51.100.15;x=\"a;received=192.0.2.66\"", Pjsip),
            ("h;received=198.51.100.15;x;received=192.0.2.66", Pjsip),
        ] {
            assert!(via.contains(victim));
            assert_eq!(asker(via, Some(driver), false), plain, "{via}");
            // Not known whose answer it is, it takes the request.
            assert_eq!(asker(via, None, false), None, "{via}");
            assert_eq!(asker(via, None, true), plain, "{via}");
        }
        let cut = format!("h;received={victim};x={long}");
        assert_eq!(asker(&cut, Some(ChanSip), false), None);
        assert_eq!(asker(&cut, Some(ChanSip), true), plain);
    }

    #[test]
    fn an_answer_that_is_sent_again_is_the_same() {
        let again = answer(ANSWERED).again;
        for other in [("401", "403"), ("\"1/2\"", "\"1/3\""), ("tag=z9", "tag=y9")] {
            assert_ne!(answer(&ANSWERED.replacen(other.0, other.1, 1)).again, again, "{other:?}");
        }
        assert_eq!(answer(&ANSWERED.replacen("CSeq: 7", "CSeq: 8", 1)).again, again);
    }

    #[test]
    fn bodies_have_lengths() {
        for (line, length) in [
            ("Content-Length: 17", 17),
            ("l: 17\r\nl: 9", 17),
            ("Content-Length: -1", 0),
            ("X: y", 0),
        ] {
            let text = REQUEST.replace("Content-Length: 0", line);
            assert_eq!(body_length(text.as_bytes()), length, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            start in prop::sample::select(vec!["SIP/2.0 401 ", "REGISTER sip:a SIP/2.0\r\n", ""]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let head = [start.as_bytes(), &rest].concat();
            let _ = Message::read(&head, &RandomState::default());
            let _ = body_length(&head);
        }

        /// Wherever it is cut, a head is read, and never as something else.
        #[test]
        fn a_cut_head_is_still_one(cut in 40..REQUEST.len()) {
            prop_assert_eq!(request(&REQUEST[..cut]).method, Method::Register);
        }
    }
}
