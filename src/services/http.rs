//! HTTP: what the PBX is asked, and whether it refuses (ARI, and AMI over HTTP).
//!
//! ARI and `/arawman` refuse by status 401. `/rawman`, `/mxml` and `/manager` do by status 200, and say so in the body:
//! an error whose last line, or element, is Asterisk's `Authentication failed`. What a client had repeated
//! (`actionid`) stands ahead of it, so that only the end of a body is looked at; line feeds that it sent may
//! turn the last line into a part of another element. (`manager.c` and `res_ari.c`, 16 to 22.)

use memchr::memmem;

pub use super::framing::ANSWER;
use super::framing::{Follows, Framing, Part, header};
use crate::model::account::Account;

/// The words that requests begin with.
pub const METHODS: [&[u8]; 6] = [b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD ", b"OPTIONS "];
/// Bodies that are longer refuse nothing: AMI's errors repeat less than that of a request.
const LONGEST: u64 = 16 << 10;
/// The bytes of a body's end that are kept.
const TAIL: usize = 192;
/// The most that is read of credentials, in bytes.
const LONGEST_CREDENTIALS: usize = 512;

/// The beginning of an error, as plain text.
const ERROR: &[u8] = b"Response: Error\r\n";
/// The same in XML and HTML, in which no quote and no `<` of a client's stands as it is.
const ERRORS: [&[u8]; 2] = [b" response='Error'", b"<tr><td>Response</td><td>Error</td></tr>"];
/// The ends of a refusal: as plain text, in XML, in HTML.
const REFUSALS: [&[u8]; 5] = [
    b"\r\nMessage: Authentication failed\r\n\r\n",
    b"='Authentication failed' /></response>\n</ajax-response>\n",
    b"\nMessage: Authentication failed' /></response>\n</ajax-response>\n",
    b"<td>Authentication failed</td></tr>\n<tr><td colspan=\"2\"><hr></td></tr>\r\n</table></body>\r\n",
    b"\nMessage: Authentication failed</td></tr>\n<tr><td colspan=\"2\"><hr></td></tr>\r\n</table></body>\r\n",
];

/// An answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Whether only the nonce was too old.
    pub stale: bool,
    /// Whether the body says that a login was refused.
    pub refuses: bool,
}

/// A request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Whether it has credentials.
    pub has_credentials: bool,
    /// The account, where it is a plain name.
    pub account: Option<Account>,
}

/// The answers on a connection. A fixed size but for one line of at most 4 KiB, and 192 bytes of a body.
#[derive(Clone, Debug)]
pub struct Answers {
    framing: Framing,
    answer: Answer,
    body: Body,
}

/// The requests on a connection. A fixed size but for one line of at most 4 KiB.
#[derive(Clone, Debug)]
pub struct Requests {
    framing: Framing,
    request: Request,
}

/// A body, as far as it tells whether a login was refused.
#[derive(Clone, Debug, Default)]
struct Body {
    seen: u64,
    is_error: bool,
    tail: Vec<u8>,
}

impl Default for Answers {
    fn default() -> Self {
        let (answer, body) = (Answer::default(), Body::default());
        Self { framing: Framing::new(true), answer, body }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self { framing: Framing::new(false), request: Request::default() }
    }
}

impl Answers {
    /// Reads on, and hands each answer to `found`: those of status 200 when their bodies have ended, all others when
    /// their heads have. After a change of the protocol (101) nothing is read.
    pub fn read(&mut self, bytes: &[u8], mut found: impl FnMut(Answer)) {
        let Self { framing, answer, body } = self;
        framing.read(bytes, &mut |part| match part {
            Part::First(line) => {
                let status = status(line);
                *answer = Answer { status: status.unwrap_or(0), ..Answer::default() };
                *body = Body::default();
                if status.is_some() { Follows::AsSaid } else { Follows::NoHttp }
            }
            Part::Header(line) => {
                let challenge = header(line, b"www-authenticate").map(<[u8]>::to_ascii_lowercase);
                answer.stale |=
                    challenge.is_some_and(|text| memmem::find(&text, b"stale=true").is_some());
                Follows::AsSaid
            }
            Part::Head(_) => {
                if answer.status != 200 {
                    found(*answer);
                }
                match answer.status {
                    101 => Follows::NoHttp,
                    100..=199 | 204 | 304 => Follows::Nothing,
                    _ => Follows::AsSaid,
                }
            }
            Part::Body(part) => {
                if answer.status == 200 {
                    body.read(part);
                }
                Follows::AsSaid
            }
            Part::End => {
                if answer.status == 200 {
                    answer.refuses = body.refuses();
                    found(*answer);
                }
                *body = Body::default();
                Follows::AsSaid
            }
        });
    }

    /// Passes over bytes that were not copied; whether it is known where they ended.
    pub fn skip(&mut self, bytes: usize) -> bool {
        // The end of a body was not seen.
        self.body.seen = u64::MAX;
        self.framing.skip(bytes)
    }

    /// Whether nothing of the connection is read any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    /// Reads nothing of the connection any more.
    pub fn stop(&mut self) {
        self.framing.stop();
    }
}

impl Body {
    fn read(&mut self, part: &[u8]) {
        self.seen = self.seen.saturating_add(part.len() as u64);
        if self.seen > LONGEST {
            self.tail = Vec::new();
            return;
        }
        self.tail.extend_from_slice(part);
        let is_first = self.tail.len() as u64 == self.seen;
        // Plain text begins with it; of the others a beginning may be of any length.
        self.is_error |= (is_first && self.tail.starts_with(ERROR))
            || ERRORS.iter().any(|error| memmem::find(&self.tail, error).is_some());
        let over = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..over);
    }

    fn refuses(&self) -> bool {
        let ends = |end: &&[u8]| self.tail.ends_with(end);
        self.seen <= LONGEST && self.is_error && REFUSALS.iter().any(ends)
    }
}

impl Requests {
    /// Reads on, and hands each request to `found` when its head has ended.
    pub fn read(&mut self, bytes: &[u8], mut found: impl FnMut(Request)) {
        let Self { framing, request } = self;
        framing.read(bytes, &mut |part| {
            match part {
                Part::First(line) => {
                    if !METHODS.iter().any(|method| line.starts_with(method)) {
                        return Follows::NoHttp;
                    }
                    *request = in_target(line);
                }
                Part::Header(line) => {
                    if let Some(value) = header(line, b"authorization") {
                        let account = in_authorization(value).or(request.account);
                        *request = Request { has_credentials: !value.is_empty(), account };
                    }
                }
                Part::Head(_) => found(*request),
                Part::Body(_) | Part::End => {}
            }
            Follows::AsSaid
        });
    }

    /// Passes over bytes that were not copied; whether it is known where they ended.
    pub fn skip(&mut self, bytes: usize) -> bool {
        self.framing.skip(bytes)
    }

    /// Reads nothing of the connection any more.
    pub fn stop(&mut self) {
        self.framing.stop();
    }
}

/// Returns the status of an answer's first line.
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(ANSWER)?.get(1..)?.strip_prefix(b" ")?;
    std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok()
}

/// Returns what the target of a request's first line has of credentials: `api_key=USER:PASSWORD` of ARI's, or
/// `username=USER` of AMI's.
fn in_target(line: &[u8]) -> Request {
    let mut request = Request::default();
    let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let Some(at) = memchr::memchr(b'?', target) else { return request };
    for pair in target.get(at + 1..).unwrap_or_default().split(|byte| *byte == b'&') {
        if let Some(key) = pair.strip_prefix(b"api_key=").filter(|key| !key.is_empty()) {
            let user = key.split(|byte| matches!(byte, b':' | b'%')).next();
            let account = user.and_then(Account::named);
            request = Request { has_credentials: true, account };
        } else if let Some(user) = pair.strip_prefix(b"username=") {
            request.account = request.account.or_else(|| Account::named(user));
        }
    }
    request
}

/// Returns the account that an `Authorization` names.
fn in_authorization(value: &[u8]) -> Option<Account> {
    let value = value.get(..value.len().min(LONGEST_CREDENTIALS))?;
    let (scheme, rest) = value.split_at_checked(memchr::memchr(b' ', value)?)?;
    if scheme.eq_ignore_ascii_case(b"basic") {
        let decoded = base64(rest.trim_ascii());
        return Account::named(decoded.split(|byte| *byte == b':').next()?);
    }
    let after = rest.get(memmem::find(rest, b"username=\"")? + b"username=\"".len()..)?;
    Account::named(after.get(..memchr::memchr(b'"', after)?)?)
}

/// Returns what a text stands for in base 64, up to the first other byte.
fn base64(text: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for value in text.iter().map_while(digit) {
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: &str, more: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nServer: Asterisk\r\n{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn cut(bytes: &[u8], sizes: &[usize], mut read: impl FnMut(&[u8])) {
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            let (part, more) = rest.split_at((*size).min(rest.len()));
            read(part);
            rest = more;
            if rest.is_empty() {
                return;
            }
        }
    }

    fn answers(bytes: &[u8], sizes: &[usize]) -> Vec<(u16, bool, bool)> {
        let (mut reader, mut all) = (Answers::default(), Vec::new());
        cut(bytes, sizes, |part| {
            reader.read(part, |answer| all.push((answer.status, answer.stale, answer.refuses)));
        });
        all
    }

    fn requests(bytes: &[u8], sizes: &[usize]) -> Vec<(bool, Option<Account>)> {
        let (mut reader, mut all) = (Requests::default(), Vec::new());
        cut(bytes, sizes, |part| {
            reader.read(part, |request| all.push((request.has_credentials, request.account)));
        });
        all
    }

    /// As Asterisk 16.28 and 22.10 wrote them.
    fn refusals() -> [String; 6] {
        let ok = |body: &str| answer("200 OK", "", body);
        let html = |rows: &str| {
            format!(
                "<title>Asterisk</title><table>\n<tr><td>Response</td><td>Error</td></tr>\n{rows}<tr><td colspan=\"2\"><hr></td></tr>\r\n</table></body>\r\n"
            )
        };
        let xml = |rest: &str| {
            format!(
                "<ajax-response>\n<response type='object' id='unknown'><generic response='Error'{rest}' /></response>\n</ajax-response>\n"
            )
        };
        [
            ok("Response: Error\r\nMessage: Authentication failed\r\n\r\n"),
            ok(
                "Response: Error\r\nActionID: a\r\nMessage: X\r\nb\r\nMessage: Authentication failed\r\n\r\n",
            ),
            ok(&xml(" message='Authentication failed")),
            ok(&xml(" actionid='a&apos;' opaque_data='b\nMessage: Authentication failed")),
            ok(&html("<tr><td>Message</td><td>Authentication failed</td></tr>\n")),
            ok(&html(
                "<tr><td>Opaque-data</td><td>b<br>\nMessage: Authentication failed</td></tr>\n",
            )),
        ]
    }

    /// Answers that refuse nobody, whatever a client had them repeat.
    fn others() -> [String; 6] {
        let ok = |body: &str| answer("200 OK", "", body);
        let refusal = "Response: Error\r\nMessage: Authentication failed\r\n\r\n";
        [
            ok("Response: Success\r\nActionID: a\r\nMessage: Authentication failed\r\n\r\n"),
            ok(
                "Response: Error\r\nActionID: a\r\nMessage: Authentication failed\r\n\r\nMessage: Permission denied\r\n\r\n",
            ),
            ok(&format!("Response: Success\r\nActionID: {refusal}")),
            ok(
                "<ajax-response>\n<response type='object' id='unknown'><generic response='Success' actionid='a response=&apos;Error&apos;' message='Authentication failed' /></response>\n</ajax-response>\n",
            ),
            ok(&format!("{}{refusal}", "x".repeat(20_000))),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n{:x}\r\n{refusal}\r\n0\r\nX: y\r\n\r\n",
                refusal.len()
            ),
        ]
    }

    fn talk() -> (String, Vec<(u16, bool, bool)>) {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n";
        let challenge = "WWW-Authenticate: Digest nonce=\"1\", stale=true\r\n";
        let mut text = refusals().concat() + &others().concat();
        let mut meant = [vec![(200, false, true); 6], vec![(200, false, false); 6]].concat();
        text += head;
        text += &answer(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"x\"\r\n",
            "{\"message\":\"HTTP/1.1 401\"}",
        );
        text += &answer("401 Unauthorized", challenge, "HTTP/2");
        text += "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        meant.extend([200, 401].map(|status| (status, false, false)));
        meant.extend([(401, true, false), (100, false, false), (204, false, false)]);
        (text, meant)
    }

    #[test]
    fn refusals_are_told_by_their_ends() {
        let (text, meant) = talk();
        assert_eq!(answers(text.as_bytes(), &[99_999]), meant);
    }

    #[test]
    fn nothing_is_read_once_the_protocol_has_changed() {
        let refusal = answer("401 Unauthorized", "", "");
        let text = format!(
            "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 9\r\n\r\n{refusal}{refusal}"
        );
        for sizes in [&[9999][..], &[88], &[1]] {
            assert_eq!(answers(text.as_bytes(), sizes), [(101, false, false)]);
        }
        assert_eq!(answers(format!("garbage\r\n{refusal}").as_bytes(), &[9]), []);
        assert_eq!(answers(format!("HTTP/1.1 200 OK\r\n\r\n{refusal}").as_bytes(), &[9]), []);
    }

    const ASKED: &str = "GET /ari/channels HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /ari/channels?x=y&api_key=eve:no HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /ari/x HTTP/1.1\r\nAuthorization: Basic YXJpdXNlcjpubw==\r\nContent-Length: 12\r\n\r\nGET / HTTP/1\
        GET /arawman?action=ping HTTP/1.1\r\nauthorization: Digest username=\"nobody\", realm=\"asterisk\"\r\n\r\n\
        GET /rawman?action=login&username=guard&secret=no HTTP/1.1\r\n\r\n\
        PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\nHEAD /y?api_key= HTTP/1.1\r\n\r\n";

    fn asked() -> Vec<(bool, Option<Account>)> {
        let named = |name: &str| Account::named(name.as_bytes());
        vec![
            (false, None),
            (true, named("eve")),
            (true, named("ariuser")),
            (true, named("nobody")),
            (false, named("guard")),
            (false, None),
            (false, None),
        ]
    }

    #[test]
    fn credentials_are_found_where_they_may_be() {
        assert_eq!(requests(ASKED.as_bytes(), &[9999]), asked());
        assert_eq!(requests(b"\x81\xfeGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[9]), []);
        assert_eq!(base64(b"YTpi"), b"a:b");
        assert_eq!(base64(b"YWI6Yw==="), b"ab:c");
    }

    proptest! {
        #[test]
        fn any_segments_give_the_same(sizes in prop::collection::vec(1_usize..1500, 1..9)) {
            let (text, meant) = talk();
            prop_assert_eq!(answers(text.as_bytes(), &sizes), meant);
            prop_assert_eq!(requests(ASKED.as_bytes(), &sizes), asked());
        }

        #[test]
        fn any_bytes_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "GET /?api_key=", "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n", "GET / HTTP/1.1\r\nAuthorization: Basic "]),
            sizes in prop::collection::vec(1_usize..90, 1..9),
            skipped in 0_usize..200,
        ) {
            let bytes = [start.as_bytes(), &bytes].concat();
            let (mut told, mut seen) = (Answers::default(), Requests::default());
            cut(&bytes, &sizes, |part| {
                told.read(part, |_| {});
                seen.read(part, |_| {});
                told.skip(skipped);
                seen.skip(skipped);
            });
            answers(&bytes, &sizes);
            requests(&bytes, &sizes);
        }
    }
}
