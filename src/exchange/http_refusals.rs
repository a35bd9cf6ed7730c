//! HTTP: requests with credentials that our PBX refused.
//!
//! A 401 to a request with credentials is an attempt, and to one without it is a challenge, which is nothing. Where
//! the request was not seen, the first 401 of a connection is taken for a challenge, and each further one without a
//! success in between for an attempt. Requests and answers are paired in their order. A body that says that a login
//! was refused is an attempt, whatever was seen of the request.
//!
//! A connection that goes over to another protocol (101) is never read again, nor is one whose beginning was not
//! HTTP or of which anything is missing, unless a segment begins with an answer: a WebSocket returns what
//! anybody sends, and what it tells may be others' text.

use std::collections::VecDeque;

use super::Observation;
use super::connections::{self, Connections};
use crate::model::account::Account;
use crate::model::exchange::{Outcome, Protocol};
use crate::model::time::Time;
use crate::services::http::{ANSWER, Answer, Answers, METHODS, Request, Requests};
use crate::sip::packet::Flow;
use crate::sip::sequence::{Segment, Sequence};

/// Connections that are followed, about 1 KiB each, and 8 KiB more at most of lines that have not ended: 18 MiB at
/// the very most.
pub const CONNECTIONS: usize = 2048;
/// Requests of a connection that may wait for their answers; of more, those are not known.
const WAITING: usize = 16;

/// The connections on which HTTP is spoken.
#[derive(Debug)]
pub(super) struct HttpRefusals {
    connections: Connections<Connection>,
    /// Answers that were seen.
    answers: u64,
}

#[derive(Debug, Default)]
struct Connection {
    out: Option<Sequence>,
    into: Option<Sequence>,
    answers: Answers,
    requests: Requests,
    /// The requests that were seen and not answered, oldest first.
    asked: VecDeque<Request>,
    /// A 401 stands without a success.
    is_challenged: bool,
    account: Option<Account>,
    is_over: bool,
}

impl Default for HttpRefusals {
    fn default() -> Self {
        Self { connections: Connections::new(CONNECTIONS), answers: 0 }
    }
}

impl HttpRefusals {
    /// Takes up a segment that a host sent us.
    pub fn asked(&mut self, flow: Flow, segment: &Segment, now: Time) {
        let ours = Flow { from: flow.to, to: flow.from };
        if segment.whole > 0 {
            self.connections.entry(ours, now, Connection::default).ask(segment);
        }
    }

    /// Takes up a segment that we sent.
    pub fn answered(
        &mut self,
        flow: Flow,
        segment: &Segment,
        now: Time,
        out: &mut Vec<Observation>,
    ) {
        if segment.whole == 0 {
            return;
        }
        let connection = self.connections.entry(flow, now, Connection::default);
        connection.answer(segment, |account, status| {
            self.answers += 1;
            out.extend(status.map(|status| observation(&flow, account, status, now)));
        });
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        self.connections.tick(now);
    }

    /// Packets were not seen: what is open is no attempt.
    pub fn forgive(&mut self) {
        for (_, connection) in self.connections.all() {
            connection.asked.clear();
            connection.is_challenged = false;
        }
    }

    /// Returns the number of answers that were seen.
    pub fn answers(&self) -> u64 {
        self.answers
    }
}

impl Connection {
    fn ask(&mut self, segment: &Segment) {
        if self.is_over {
            return;
        }
        let begins = METHODS.iter().any(|method| segment.bytes.starts_with(method));
        // The rest of a request may not have been copied, and its answer may be here.
        let is_elsewhere = self.into.is_some_and(|into| into.is_elsewhere(segment));
        if self.into.is_none() || (begins && is_elsewhere) {
            (self.into, self.requests) = (Some(Sequence::at(segment)), Requests::default());
            self.asked.clear();
        }
        let Some(into) = &mut self.into else { return };
        let Some(fresh) = into.take(segment) else { return };
        if fresh.lost {
            self.requests.stop();
        }
        let asked = &mut self.asked;
        self.requests.read(fresh.bytes, |request| {
            if asked.len() >= WAITING {
                asked.clear();
            }
            asked.push_back(request);
        });
        if fresh.uncopied > 0 && !self.requests.skip(fresh.uncopied) {
            self.requests.stop();
        }
    }

    /// Reads a segment of ours; `found` gets, for each answer, the account and the status of a refusal.
    fn answer(&mut self, segment: &Segment, mut found: impl FnMut(Option<Account>, Option<u16>)) {
        let begins = segment.bytes.starts_with(ANSWER);
        match &self.out {
            None => self.out = Some(Sequence::at(segment)),
            // Another connection between the same ends: a challenge of the last one still stands.
            Some(out) if begins && !self.is_over && out.is_elsewhere(segment) => {
                (self.out, self.answers) = (Some(Sequence::at(segment)), Answers::default());
            }
            Some(_) => {}
        }
        let Some(out) = &mut self.out else { return };
        let Some(fresh) = out.take(segment) else { return };
        if fresh.lost {
            self.answers.stop();
        }
        let mut answers = std::mem::take(&mut self.answers);
        answers.read(fresh.bytes, |answer| {
            let status = self.judge(answer).then_some(answer.status);
            found(self.account, status);
        });
        if fresh.uncopied > 0 && !answers.skip(fresh.uncopied) {
            answers.stop();
        }
        self.is_over |= answers.is_over();
        self.answers = answers;
    }

    /// Whether an answer refuses credentials.
    fn judge(&mut self, answer: Answer) -> bool {
        if answer.status == 101 {
            self.is_over = true;
        }
        if answer.status < 200 {
            return false;
        }
        let asked = self.asked.pop_front();
        self.account = asked.and_then(|request| request.account);
        match (answer.status, asked) {
            (200, _) if answer.refuses => true,
            (401, _) if answer.stale => false,
            (401, Some(request)) => request.has_credentials,
            (401, None) => std::mem::replace(&mut self.is_challenged, true),
            (200..=299, _) => {
                self.is_challenged = false;
                false
            }
            _ => false,
        }
    }
}

fn observation(flow: &Flow, account: Option<Account>, status: u16, now: Time) -> Observation {
    let refused = Outcome::CredentialsRefused;
    let mut seen = connections::observation(flow, Protocol::Http, refused, status, now);
    seen.account = account;
    if status == 200 {
        // The manager writes the same lines of a login, whichever way it came.
        seen.clue.protocol = Protocol::Ami;
    }
    seen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BARE: &str = "GET /ari/channels HTTP/1.1\r\nHost: x\r\n\r\n";
    const KEYED: &str = "GET /ari/channels?api_key=eve:no HTTP/1.1\r\nHost: x\r\n\r\n";

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn no() -> String {
        answer("401 Unauthorized", "{\"message\":\"Authentication required\"}")
    }

    struct Lab {
        refusals: HttpRefusals,
        seen: Vec<Observation>,
        numbers: [u32; 2],
        port: u16,
    }

    impl Lab {
        fn new() -> Self {
            let refusals = HttpRefusals::default();
            Self { refusals, seen: Vec::new(), numbers: [7, u32::MAX - 40], port: 1 }
        }

        fn segment(&mut self, is_answer: bool, sequence: u32, text: &str) {
            let now = Time::from_secs(1_800_000_000);
            let (ours, theirs) = ("192.0.2.1".parse().unwrap(), "198.51.100.7".parse().unwrap());
            let (ours, theirs) = ((ours, 8088), (theirs, self.port));
            let bytes = text.as_bytes();
            let segment = Segment { sequence, bytes, whole: bytes.len() };
            if is_answer {
                let flow = Flow { from: ours, to: theirs };
                self.refusals.answered(flow, &segment, now, &mut self.seen);
            } else {
                self.refusals.asked(Flow { from: theirs, to: ours }, &segment, now);
            }
        }

        fn send(&mut self, is_answer: bool, text: &str, sizes: &[usize]) {
            let (mut rest, mut sizes) = (text, sizes.iter().cycle());
            while !rest.is_empty() {
                let (part, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                self.segment(is_answer, self.numbers[usize::from(is_answer)], part);
                let number = &mut self.numbers[usize::from(is_answer)];
                *number = number.wrapping_add(u32::try_from(part.len()).unwrap());
                rest = more;
            }
        }

        fn asks(&mut self, text: &str) {
            self.send(false, text, &[9999]);
        }

        fn gets(&mut self, text: &str) -> usize {
            self.send(true, text, &[9999]);
            self.seen.drain(..).count()
        }
    }

    #[test]
    fn a_challenge_is_no_attempt() {
        let mut lab = Lab::new();
        for (asked, expected) in [(BARE, 0), (BARE, 0), (KEYED, 1), (BARE, 0), (KEYED, 1)] {
            lab.asks(asked);
            assert_eq!(lab.gets(&no()), expected);
        }
        lab.asks(KEYED);
        lab.send(true, &no(), &[9999]);
        assert_eq!(lab.seen[0].account, Account::named(b"eve"));
        // An old nonce is no wrong password; what is asked to go on waits for its answer.
        lab.seen.clear();
        lab.asks(KEYED);
        let stale =
            "HTTP/1.1 401 X\r\nWWW-Authenticate: Digest stale=true\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(lab.gets(stale), 0);
        lab.asks(KEYED);
        assert_eq!(lab.gets(&format!("HTTP/1.1 100 Continue\r\n\r\n{}", no())), 1);
    }

    #[test]
    fn answers_alone_are_paired() {
        let mut lab = Lab::new();
        for (got, expected) in
            [(no(), 0), (no(), 1), (no(), 1), (answer("200 OK", "[]"), 0), (no(), 0), (no(), 1)]
        {
            assert_eq!(lab.gets(&got), expected);
        }
        // One port for one connection after the other, and one request on each.
        let mut lab = Lab::new();
        let mut all = 0;
        for connection in 0..6_u32 {
            lab.numbers = [0, connection.wrapping_mul(9000)];
            all += lab.gets(&no());
        }
        assert_eq!(all, 5);
    }

    #[test]
    fn a_body_that_refuses_is_an_attempt() {
        let mut lab = Lab::new();
        let refusal = "Response: Error\r\nActionID: x\r\nMessage: Authentication failed\r\n\r\n";
        assert_eq!(lab.gets(&answer("200 OK", refusal)), 1);
        let echo = "Response: Success\r\nActionID: x\r\nMessage: Authentication failed\r\n\r\n";
        assert_eq!(lab.gets(&answer("200 OK", echo)), 0);
    }

    #[test]
    fn what_a_websocket_says_is_never_read() {
        let mut lab = Lab::new();
        lab.asks("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(lab.gets("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 0);
        for _ in 0..5 {
            lab.asks(KEYED);
            assert_eq!(lab.gets(&no()), 0);
            // A gap.
            lab.numbers[1] += 500;
        }
        // One whose beginning was not seen.
        let mut lab = Lab::new();
        assert_eq!(lab.gets(&format!("\u{1}x{}", no())), 0);
        for _ in 0..5 {
            lab.numbers[1] += 500;
            assert_eq!(lab.gets(&no()), 0);
        }
    }

    #[test]
    fn segments_that_come_twice_count_once() {
        let mut lab = Lab::new();
        for _ in 0..2 {
            lab.segment(false, 7, KEYED);
            lab.segment(true, 9, &no());
        }
        assert_eq!(lab.seen.len(), 1);
    }

    proptest! {
        #[test]
        fn any_segments_give_the_same(
            sizes in prop::collection::vec(1_usize..300, 1..9),
            others in prop::collection::vec(1_usize..300, 1..9),
        ) {
            let mut lab = Lab::new();
            lab.send(false, &[BARE, KEYED, BARE, KEYED, KEYED].concat(), &sizes);
            let end = answer("200 OK", "[]");
            lab.send(true, &[no(), no(), no(), no(), end].concat(), &others);
            prop_assert_eq!(lab.seen.len(), 2);
        }

        #[test]
        fn any_bytes_in_any_order_do_no_harm(
            segments in prop::collection::vec((1_u16..9999, any::<bool>(), any::<u32>(), "\\PC{0,40}"), 0..60),
        ) {
            let mut lab = Lab::new();
            for (port, is_answer, sequence, text) in segments {
                lab.port = port % 9;
                lab.segment(is_answer, sequence % 300, &text);
                lab.segment(is_answer, sequence % 300, if is_answer { "HTTP/1.1 401 X\r\n" } else { KEYED });
            }
            prop_assert!(lab.refusals.connections.len() <= CONNECTIONS);
        }
    }
}
