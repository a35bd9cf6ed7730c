//! Decides which refusals are an attack's: pairs what the PBX refused with what it let in
//! afterwards.
//!
//! Every phone is refused once before each login: that is how it gets its challenge. So within a
//! dialogue (one Call-ID, method, From and To)
//!
//! * the first refusal is the challenge. It counts if nothing comes of it within 32 s;
//! * each further one without success in between is an attempt and counts immediately;
//! * a 403 right after a challenge is the end of an attempt: it counts, and the next refusal is a
//!   challenge again;
//! * a challenge because only the nonce was too old (`stale=true`) is one more challenge, and no
//!   attempt: Asterisk never says that when the password is wrong;
//! * what the PBX does only for those that it let in takes the open refusal back: any success, and
//!   the responses of a call that begins, rings, is busy, is given up or is not answered. Responses
//!   that any caller can bring about (100 to REGISTER, 400, 420, 481, …) do not;
//! * a response that is sent again counts once;
//! * OPTIONS is left out: providers and monitors ask and do not care for a refusal.
//!
//! Forged packets over UDP cannot push out what is known of hosts over TCP: each has a table of its
//! own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::response::{Method, Response};
use super::{Observation, Outcome, Transport};
use crate::model::account::Account;
use crate::model::time::Time;

/// The time that a success may take to follow a challenge: as long as SIP repeats a request (RFC
/// 3261, timer F).
pub const PATIENCE: Duration = Duration::from_secs(32);
/// After this long without one, the next refusal in a dialogue is a challenge: a phone tries again.
const REST: Duration = Duration::from_secs(10);
/// Dialogues that are known of hosts over UDP, about 100 bytes each.
pub const UDP_CAPACITY: usize = 1 << 16;
/// Dialogues that are known of hosts over TCP.
pub const TCP_CAPACITY: usize = 1 << 14;
/// Requests of a dialogue that are remembered, to recognise responses that are sent again.
const REQUESTS: usize = 4;

/// The dialogues of the last half minute.
#[derive(Debug)]
pub struct Pairing {
    udp: Table,
    tcp: Table,
}

#[derive(Debug)]
struct Table {
    dialogues: HashMap<(IpAddr, u64), Dialogue, RandomState>,
    transport: Transport,
    capacity: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Dialogue {
    state: DialogueState,
    last: Time,
    account: Option<Account>,
    /// The last requests that were answered, in a ring.
    requests: [u32; REQUESTS],
    place: u8,
}

/// The state of a dialogue after the last responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialogueState {
    /// A challenge is open since then.
    Asked(Time),
    /// It was followed by an attempt that was refused.
    Refused,
    /// Nothing is open.
    Settled,
}

/// The meaning of a response by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseKind {
    /// 401 and 407: a challenge, or a wrong password.
    Challenge,
    /// A challenge to a phone that has the right password.
    Stale,
    /// 403: refused for good.
    Forbidden,
    /// Only hosts that are let in get this.
    LetIn,
    /// The PBX cannot cope: not the host's fault.
    Overload,
    /// It says nothing.
    Nothing,
}

impl ResponseKind {
    fn of(response: &Response) -> Self {
        match (response.method, response.status) {
            (Method::Options, _) => Self::Nothing,
            (_, 401 | 407) if response.stale => Self::Stale,
            (_, 401 | 407) => Self::Challenge,
            (_, 403) => Self::Forbidden,
            (Method::Invite, 100..=199)
            | (_, 200..=299 | 404 | 423 | 480 | 484 | 486..=489 | 600..=699) => Self::LetIn,
            (_, 503) => Self::Overload,
            _ => Self::Nothing,
        }
    }
}

impl Default for Pairing {
    fn default() -> Self {
        Self {
            udp: Table::new(Transport::Udp, UDP_CAPACITY),
            tcp: Table::new(Transport::Tcp, TCP_CAPACITY),
        }
    }
}

impl Pairing {
    /// Records a response to `host`. Call it with times that do not go back.
    pub fn response(
        &mut self,
        host: IpAddr,
        transport: Transport,
        response: &Response,
        now: Time,
    ) -> Option<Observation> {
        match transport {
            Transport::Udp => self.udp.response(host, response, now),
            Transport::Tcp => self.tcp.response(host, response, now),
        }
    }

    /// Lets time pass: challenges that nothing came of count now. Those over TCP come first.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        self.tcp.tick(now, out);
        self.udp.tick(now, out);
    }

    /// Forgets everything: with responses that were not seen, there may have been successes.
    pub fn forgive(&mut self) {
        self.udp.dialogues.clear();
        self.tcp.dialogues.clear();
    }

    /// Returns how many dialogues are known.
    #[must_use]
    pub fn known(&self) -> usize {
        self.udp.dialogues.len() + self.tcp.dialogues.len()
    }

    /// Returns how many were forgotten early because there were too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.udp.dropped + self.tcp.dropped
    }
}

impl Table {
    fn new(transport: Transport, capacity: usize) -> Self {
        Self { dialogues: HashMap::default(), transport, capacity, dropped: 0 }
    }

    fn response(&mut self, host: IpAddr, response: &Response, now: Time) -> Option<Observation> {
        let kind = ResponseKind::of(response);
        if kind == ResponseKind::Nothing {
            return None;
        }
        let key = (host, response.dialogue);
        let Some(dialogue) = self.dialogues.get_mut(&key) else {
            if matches!(kind, ResponseKind::Challenge | ResponseKind::Stale) {
                self.make_room();
                self.dialogues.insert(key, Dialogue::asked(response, now));
            }
            return None;
        };
        let outcome = dialogue.on(kind, response, now)?;
        Some(self.observation(host, outcome, response.account, now))
    }

    fn observation(
        &self,
        host: IpAddr,
        outcome: Outcome,
        account: Option<Account>,
        time: Time,
    ) -> Observation {
        Observation { time, host, outcome, evidence: self.transport.evidence(), account }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        let evidence = self.transport.evidence();
        self.dialogues.retain(|(host, _), dialogue| {
            if dialogue.is_due(now) {
                let (time, host, account) = (now, *host, dialogue.account);
                out.push(Observation { time, host, outcome: Outcome::Refused, evidence, account });
                return false;
            }
            now.since(dialogue.last) < PATIENCE
        });
    }

    /// Makes room when there are too many: of eight, the one that was silent longest is forgotten.
    fn make_room(&mut self) {
        if self.dialogues.len() < self.capacity {
            return;
        }
        let oldest = self.dialogues.iter().take(8).min_by_key(|(_, dialogue)| dialogue.last);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.dialogues.remove(&key);
            self.dropped += 1;
        }
    }
}

impl Dialogue {
    fn asked(response: &Response, now: Time) -> Self {
        Self {
            state: DialogueState::Asked(now),
            last: now,
            account: response.account,
            requests: [response.transaction; REQUESTS],
            place: 0,
        }
    }

    /// Records a response, and returns the outcome that it makes certain.
    fn on(&mut self, kind: ResponseKind, response: &Response, now: Time) -> Option<Outcome> {
        let rested = now.since(self.last) >= REST;
        let again = self.requests.contains(&response.transaction);
        if again && kind != ResponseKind::LetIn {
            // The same answer again, or how a call ends that was let in.
            return None;
        }
        self.remember(response.transaction);
        self.last = now;
        let (state, outcome) = match (kind, self.state) {
            (ResponseKind::Stale, DialogueState::Asked(since)) => {
                (DialogueState::Asked(since), None)
            }
            (ResponseKind::Challenge, DialogueState::Refused) if rested => {
                (DialogueState::Asked(now), None)
            }
            // Nothing came of the one before.
            (ResponseKind::Challenge, DialogueState::Asked(_)) if rested => {
                (DialogueState::Asked(now), Some(Outcome::Refused))
            }
            (ResponseKind::Challenge | ResponseKind::Stale, DialogueState::Settled)
            | (ResponseKind::Stale, DialogueState::Refused) => (DialogueState::Asked(now), None),
            (ResponseKind::Challenge, _) => (DialogueState::Refused, Some(Outcome::Refused)),
            (ResponseKind::Forbidden, DialogueState::Asked(_) | DialogueState::Refused) => {
                (DialogueState::Settled, Some(Outcome::Refused))
            }
            (ResponseKind::LetIn, DialogueState::Asked(_) | DialogueState::Refused)
                if response.method == Method::Register && (200..300).contains(&response.status) =>
            {
                (DialogueState::Settled, Some(Outcome::Registered))
            }
            (ResponseKind::Overload, DialogueState::Refused) => (DialogueState::Refused, None),
            _ => (DialogueState::Settled, None),
        };
        self.state = state;
        outcome
    }

    fn remember(&mut self, transaction: u32) {
        if let Some(place) = self.requests.get_mut(usize::from(self.place)) {
            *place = transaction;
        }
        self.place = (self.place + 1) % 4;
    }

    fn is_due(&self, now: Time) -> bool {
        matches!(self.state, DialogueState::Asked(since) if now.since(since) >= PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::Evidence;

    fn at(millis: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + millis)
    }

    fn host(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    /// A request within a dialogue and its response.
    #[derive(Clone, Copy)]
    struct Said {
        host: u32,
        dialogue: u64,
        method: Method,
        status: u16,
        stale: bool,
    }

    const REGISTER: Said =
        Said { host: 1, dialogue: 1, method: Method::Register, status: 401, stale: false };
    const INVITE: Said = Said { method: Method::Invite, ..REGISTER };
    const SUBSCRIBE: Said = Said { method: Method::Other, ..REGISTER };

    /// A PBX that answers, and what is seen of it.
    #[derive(Default)]
    struct Pbx {
        pairing: Pairing,
        now: i64,
        request: u32,
        observations: Vec<Observation>,
    }

    impl Pbx {
        /// Answers a new request.
        fn says(&mut self, said: Said, status: u16) -> &mut Self {
            self.request += 1;
            self.again(Said { status, ..said })
        }

        /// Answers the last request again, or further.
        fn again(&mut self, said: Said) -> &mut Self {
            let Said { dialogue, method, status, stale, .. } = said;
            let transaction = self.request;
            let response = Response { status, stale, method, dialogue, transaction, account: None };
            let outcome =
                self.pairing.response(host(said.host), Transport::Udp, &response, at(self.now));
            self.observations.extend(outcome);
            self
        }

        fn passes(&mut self, millis: i64) -> &mut Self {
            for _ in 0..millis.div_euclid(1000) {
                self.now += 1000;
                self.pairing.tick(at(self.now), &mut self.observations);
            }
            self.now += millis.rem_euclid(1000);
            self
        }

        fn count(&self, what: Outcome) -> usize {
            self.observations.iter().filter(|observation| observation.outcome == what).count()
        }

        fn attempts(&self) -> usize {
            self.count(Outcome::Refused)
        }
    }

    #[test]
    fn phone_registering_every_minute_never_counts() {
        let mut pbx = Pbx::default();
        for round in 0..500 {
            pbx.says(REGISTER, 401);
            if round % 7 == 0 {
                // The answer was lost on the way, and given again.
                pbx.passes(500).again(REGISTER);
            }
            if round % 3 == 0 {
                pbx.says(Said { stale: true, ..REGISTER }, 401);
            }
            pbx.passes(40).says(REGISTER, 200).passes(59_000);
        }
        assert_eq!((pbx.attempts(), pbx.count(Outcome::Registered)), (0, 500));
    }

    #[test]
    fn restarting_office_never_counts() {
        let mut pbx = Pbx::default();
        let all = || {
            (0..50).flat_map(|phone| {
                (0..21).map(move |n| {
                    let said = if n == 0 { REGISTER } else { SUBSCRIBE };
                    Said { dialogue: phone * 100 + n, ..said }
                })
            })
        };
        for said in all() {
            pbx.says(said, 401);
        }
        pbx.passes(5000);
        for said in all() {
            // Some of what they watch is not there.
            let missing = said.method == Method::Other && said.dialogue % 5 == 0;
            pbx.says(said, if missing { 404 } else { 200 });
        }
        pbx.passes(100_000);
        assert_eq!((pbx.attempts(), pbx.count(Outcome::Registered)), (0, 50));
        assert_eq!(pbx.pairing.known(), 0);
    }

    #[test]
    fn trunk_with_cancelled_calls_never_counts() {
        let mut pbx = Pbx::default();
        for call in 0..500 {
            let invite = Said { dialogue: call, ..INVITE };
            pbx.says(invite, 401).passes(30);
            match call % 4 {
                // Given up, busy, not there; refused by whoever was called.
                0 => pbx.says(invite, 100).again(Said { status: 180, ..invite }),
                1 => pbx.says(invite, 486),
                2 => pbx.says(invite, 404),
                _ => pbx.says(invite, 100),
            };
            let end = [487, 486, 404, 403][usize::try_from(call % 4).unwrap()];
            pbx.passes(4000).again(Said { status: end, ..invite });
            // Providers ask whether we are there, and do not care.
            pbx.says(Said { dialogue: 9_000 + call, method: Method::Options, ..REGISTER }, 401);
            pbx.passes(3000);
        }
        assert_eq!(pbx.passes(60_000).attempts(), 0);
    }

    #[test]
    fn guesses_in_one_dialogue_count_immediately() {
        let mut pbx = Pbx::default();
        pbx.says(REGISTER, 401);
        for guess in 1..=20 {
            pbx.passes(20).says(REGISTER, 401).again(REGISTER);
            assert_eq!(pbx.attempts(), guess);
        }
        // The challenge itself never counts then.
        assert_eq!(pbx.passes(60_000).attempts(), 20);
    }

    #[test]
    fn guesses_in_separate_dialogues_count_after_the_timeout() {
        let mut pbx = Pbx::default();
        for guess in 0..10 {
            pbx.says(Said { dialogue: guess, ..REGISTER }, 401);
        }
        assert_eq!(pbx.passes(31_000).attempts(), 0);
        assert_eq!(pbx.passes(2_000).attempts(), 10);
    }

    #[test]
    fn each_password_refused_by_chan_sip_counts_once() {
        let mut pbx = Pbx::default();
        for guess in 1..=5 {
            pbx.says(REGISTER, 401).says(REGISTER, 403);
            assert_eq!(pbx.attempts(), guess);
        }
        // Without a challenge before, a 403 is about something else: a call that may not be made.
        pbx.says(Said { dialogue: 2, ..INVITE }, 403).passes(60_000);
        assert_eq!(pbx.attempts(), 5);
    }

    #[test]
    fn only_success_takes_a_refusal_back() {
        for status in [100, 183, 302, 400, 405, 408, 415, 420, 481, 482, 500, 501, 505, 513] {
            let mut pbx = Pbx::default();
            pbx.says(REGISTER, 401).says(REGISTER, status).says(REGISTER, 401);
            assert_eq!(pbx.attempts(), 1, "{status}");
        }
        // What one account or another method is granted does not excuse this one: they are other
        // dialogues.
        let mut pbx = Pbx::default();
        for other in [Said { dialogue: 2, ..INVITE }, Said { method: Method::Options, ..REGISTER }]
        {
            pbx.says(REGISTER, 401).says(other, 200).says(REGISTER, 401);
        }
        assert_eq!(pbx.attempts(), 3);
        // A PBX that cannot cope forgives a challenge, and no attempt.
        let mut pbx = Pbx::default();
        pbx.says(REGISTER, 401).says(REGISTER, 503).passes(40_000);
        assert_eq!(pbx.attempts(), 0);
        pbx.says(REGISTER, 401).says(REGISTER, 401).says(REGISTER, 503).says(REGISTER, 401);
        assert_eq!(pbx.attempts(), 2);
    }

    #[test]
    fn success_does_not_undo_counted_attempts() {
        let mut pbx = Pbx::default();
        pbx.says(REGISTER, 401).says(REGISTER, 401).says(REGISTER, 401).says(REGISTER, 200);
        assert_eq!((pbx.attempts(), pbx.count(Outcome::Registered)), (2, 1));
    }

    #[test]
    fn login_needs_a_challenge_before_it() {
        let mut pbx = Pbx::default();
        pbx.says(REGISTER, 200).says(INVITE, 401).says(INVITE, 200);
        pbx.says(Said { dialogue: 2, ..REGISTER }, 401).passes(33_000);
        pbx.says(Said { dialogue: 2, ..REGISTER }, 200);
        assert_eq!(pbx.count(Outcome::Registered), 0);
    }

    #[test]
    fn udp_flood_evicts_no_tcp_dialogue() {
        let mut pairing = Pairing::default();
        let mut observations = Vec::new();
        let ask = |n: u32| Response {
            status: 401,
            stale: false,
            method: Method::Register,
            dialogue: n.into(),
            transaction: n,
            account: None,
        };
        for n in 0..100 {
            assert_eq!(pairing.response(host(1), Transport::Tcp, &ask(n), at(0)), None);
        }
        for n in 0..90_000 {
            assert_eq!(pairing.response(host(n), Transport::Udp, &ask(n), at(1)), None);
        }
        assert_eq!(pairing.known(), UDP_CAPACITY + 100);
        assert_eq!(pairing.dropped(), 90_000 - UDP_CAPACITY as u64);
        pairing.tick(at(33_000), &mut observations);
        let proven = |s: &&Observation| s.evidence == Evidence::Proven;
        assert_eq!(observations.iter().filter(proven).count(), 100);
        assert!(
            observations[..100].iter().all(|s| s.evidence == Evidence::Proven),
            "they come first"
        );
        assert_eq!(pairing.known(), 0);
    }

    #[test]
    fn entry_size_is_as_documented() {
        assert!(size_of::<((IpAddr, u64), Dialogue)>() <= 88);
    }

    proptest! {
        /// No host counts more often than it was refused, whatever else is answered, and none is
        /// remembered for ever.
        #[test]
        fn attempts_never_exceed_refusals(
            answers in proptest::collection::vec((0u32..3, 0u64..4, 0usize..8, 0i64..20_000), 1..200),
        ) {
            const STATUS: [u16; 8] = [401, 401, 401, 407, 403, 200, 100, 503];
            let mut pbx = Pbx::default();
            let mut refused = 0;
            for (host, dialogue, status, pause) in answers {
                let status = STATUS[status];
                refused += usize::from(matches!(status, 401 | 403 | 407));
                pbx.passes(pause).says(Said { host, dialogue, ..REGISTER }, status);
            }
            prop_assert!(pbx.passes(40_000).attempts() <= refused);
            prop_assert_eq!(pbx.pairing.known(), 0);
        }

        #[test]
        fn success_after_each_challenge_never_counts(
            tries in proptest::collection::vec((0u64..6, 0i64..9000, 0i64..60_000, 1usize..4), 1..60),
        ) {
            let mut pbx = Pbx::default();
            for (dialogue, wait, pause, repeated) in tries {
                let said = Said { dialogue, ..REGISTER };
                pbx.says(said, 401);
                for _ in 0..repeated {
                    pbx.passes(wait / 4).again(said);
                }
                pbx.says(said, 200).passes(pause);
            }
            prop_assert_eq!(pbx.attempts(), 0);
        }
    }
}
