//! IAX2: credentials that our PBX refused, and what the host knows that sent them.
//!
//! A host that registers or calls is asked for credentials (REGAUTH, AUTHREQ) under a number of the call that
//! our PBX draws by chance, out of 32 768. Credentials that come with this number come from somebody who saw it:
//! their refusal (REGREJ; REJECT for want of authority) is proven. Without them it is not, since the sender of a
//! datagram may be forged, and one turned away without being asked is a guest. Whoever was let in, and is turned
//! away for another reason (no such extension), was not refused. Whoever is asked and sends none within [`PATIENCE`]
//! has left a challenge unanswered.

use std::hash::BuildHasher as _;
use std::net::IpAddr;

use foldhash::quality::RandomState;

use super::recent::Recent;
use super::{Observation, PATIENCE, ROUND_TRIP};
use crate::model::account::Account;
use crate::model::event::{Clue, Evidence};
use crate::model::exchange::{
    Carrier, Exchange, Method, Outcome, Protocol, Source, Transport, seed,
};
use crate::model::time::Time;
use crate::services::iax::{Frame, Kind};

/// Calls of the last half minute in each half of the table, about 90 bytes each: 2.5 MiB in all.
pub const CALLS: usize = 7 << 11;
/// The longest name that becomes an account, in bytes.
const LONGEST_NAME: usize = 48;
/// The codes that say that credentials were refused (Q.850: facility rejected, facility not subscribed).
const REFUSED: [u8; 2] = [29, 50];

/// The calls of the last half minute.
#[derive(Debug)]
pub(super) struct IaxCalls {
    seed: RandomState,
    calls: Recent<Call>,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    /// The host, its port and ours.
    ends: (IpAddr, u16, u16),
    method: Method,
    /// The time when credentials were asked for.
    asked: Option<Time>,
    account: Option<Account>,
    /// The host sent credentials with our number.
    answered: bool,
    judged: bool,
}

impl Default for IaxCalls {
    fn default() -> Self {
        Self { seed: seed().clone(), calls: Recent::new(CALLS, ROUND_TRIP) }
    }
}

impl IaxCalls {
    /// Takes up a frame that a host sent us.
    pub fn asked(&mut self, (host, port): (IpAddr, u16), frame: &Frame, now: Time) {
        if !matches!(frame.kind, Kind::Register | Kind::CallCredentials) || frame.destination == 0 {
            return;
        }
        let key = self.seed.hash_one((host, port, frame.destination, frame.source));
        if let Some(call) = self.calls.get_mut(key) {
            let is_open = call.asked.is_some_and(|asked| now.since(asked) < ROUND_TRIP);
            call.answered |= is_open;
        }
    }

    /// Takes up a frame that we sent to a host, from `ours`.
    pub fn answered(
        &mut self,
        (host, port): (IpAddr, u16),
        ours: u16,
        frame: &Frame,
        now: Time,
    ) -> Option<Observation> {
        let key = self.seed.hash_one((host, port, frame.source, frame.destination));
        let is_known = self.calls.get(key).is_some();
        let method = match frame.kind {
            Kind::Register | Kind::CallCredentials => return None,
            Kind::AskRegistration | Kind::Registered | Kind::RegistrationRejected => {
                Method::Register
            }
            Kind::AskCall | Kind::Reject | Kind::Accept => Method::Invite,
        };
        let ends = (host, port, ours);
        let new = Call { ends, method, asked: None, account: None, answered: false, judged: false };
        let call = self.calls.entry(key, now, || new);
        if frame.again && is_known {
            return None;
        }
        if matches!(frame.kind, Kind::AskRegistration | Kind::AskCall) {
            *call = Call { asked: Some(now), account: account(frame), ..new };
            return None;
        }
        let was_asked = call.asked.is_some_and(|asked| now.since(asked) < ROUND_TRIP);
        let Call { judged, answered, account, .. } = *call;
        call.judged = true;
        let is_refusal = frame.cause.is_none_or(|code| REFUSED.contains(&code));
        let outcome = match frame.kind {
            Kind::RegistrationRejected | Kind::Reject if !is_refusal => return None,
            Kind::RegistrationRejected | Kind::Reject if was_asked && !judged => {
                Outcome::CredentialsRefused
            }
            Kind::RegistrationRejected | Kind::Reject if !was_asked => Outcome::RefusedOutright,
            Kind::Registered if was_asked && answered && !judged => Outcome::Login,
            _ => return None,
        };
        let proven = was_asked && answered;
        let evidence = if proven { Evidence::Proven } else { Evidence::Unverified };
        let account = account.filter(|_| was_asked);
        let seen = observation(ends, method, outcome, now);
        let status = frame.cause.map_or(0, u16::from);
        let exchange = Exchange { status, ..seen.exchange };
        Some(Observation { evidence, account, exchange, ..seen })
    }

    /// Lets time pass: whoever was asked for credentials and sent none has left a challenge unanswered.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        let is_left = |call: &&mut Call| {
            let is_over = call.asked.is_some_and(|asked| now.since(asked) >= PATIENCE);
            is_over && !call.answered && !call.judged
        };
        for call in self.calls.entries().filter(is_left) {
            call.judged = true;
            let seen = observation(call.ends, call.method, Outcome::ChallengeUnanswered, now);
            out.push(Observation { account: call.account, ..seen });
        }
        self.calls.tick(now);
    }

    /// Packets were not seen: there may have been credentials.
    pub fn forgive(&mut self) {
        self.calls.entries().filter(|call| call.asked.is_some()).for_each(|call| {
            call.judged |= !call.answered;
        });
    }

    /// Returns the number of calls that were forgotten early because there were too many.
    pub fn dropped(&self) -> u64 {
        self.calls.dropped()
    }
}

/// Returns what a host did, which proves nothing yet.
fn observation(
    (host, host_port, port): (IpAddr, u16, u16),
    method: Method,
    outcome: Outcome,
    now: Time,
) -> Observation {
    Observation {
        time: now,
        host,
        evidence: Evidence::Unverified,
        account: None,
        exchange: Exchange {
            protocol: Protocol::Iax2,
            outcome,
            method,
            status: 0,
            port,
            carrier: Carrier::Datagram,
            source: Source::Wire,
        },
        clue: Clue {
            port: host_port,
            transport: Transport::Datagram,
            protocol: Protocol::Iax2,
            ..Clue::default()
        },
    }
}

/// Returns the account that a frame names: another one than SIP's of the same name, whose password may be
/// another's.
fn account(frame: &Frame) -> Option<Account> {
    let name = frame.username.filter(|name| (1..=LONGEST_NAME).contains(&name.len()))?;
    Account::named(&[b"iax2.", name].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::iax::tests::frame;

    const HOST: &str = "198.51.100.7";
    const OUR_CALL: u16 = 0x1353;

    struct Lab(IaxCalls, i64);

    impl Lab {
        fn new() -> Self {
            Self(IaxCalls::default(), 0)
        }

        fn now(&self) -> Time {
            Time::from_secs(1_800_000_000 + self.1)
        }

        fn sends(&mut self, port: u16, source: u16, destination: u16, kind: u8) {
            let bytes = frame(source, destination, kind, &[(6, b"1000")]);
            let now = self.now();
            self.0.asked((HOST.parse().unwrap(), port), &Frame::read(&bytes).unwrap(), now);
        }

        fn gets(
            &mut self,
            port: u16,
            source: u16,
            destination: u16,
            kind: u8,
            cause: Option<u8>,
        ) -> Option<(Outcome, Evidence, bool)> {
            let cause = cause.map(|code| [code]);
            let mut elements: Vec<(u8, &[u8])> = vec![(6, b"1000")];
            elements.extend(cause.as_ref().map(|code| (42, &code[..])));
            let bytes = frame(source, destination, kind, &elements);
            let (now, host) = (self.now(), (HOST.parse().unwrap(), port));
            let seen = self.0.answered(host, 4569, &Frame::read(&bytes).unwrap(), now)?;
            Some((seen.exchange.outcome, seen.evidence, seen.account.is_some()))
        }
    }

    #[test]
    fn credentials_with_our_number_are_proven() {
        for (ask, send, refuse, cause) in [(14, 13, 16, 29), (8, 9, 6, 50)] {
            let mut lab = Lab::new();
            assert_eq!(lab.gets(5, OUR_CALL, 7, ask, None), None);
            lab.sends(5, 7, OUR_CALL, send);
            let refused = lab.gets(5, OUR_CALL, 7, refuse, Some(cause));
            assert_eq!(refused, Some((Outcome::CredentialsRefused, Evidence::Proven, true)));
            // It is sent again until somebody confirms it.
            assert_eq!(lab.gets(5, OUR_CALL, 0x8007, refuse, Some(cause)), None);
            assert_eq!(lab.gets(5, OUR_CALL, 7, refuse, Some(cause)), None);
        }
    }

    #[test]
    fn whoever_does_not_know_our_number_proves_nothing() {
        // Another number, another port, none.
        for (port, source, destination) in
            [(5, 7, 1), (6, 7, OUR_CALL), (5, 8, OUR_CALL), (5, 7, 0)]
        {
            let mut lab = Lab::new();
            lab.gets(5, OUR_CALL, 7, 14, None);
            lab.sends(port, source, destination, 13);
            let refused = lab.gets(5, OUR_CALL, 7, 16, Some(29));
            assert_eq!(refused, Some((Outcome::CredentialsRefused, Evidence::Unverified, true)));
        }
        // Half a minute is too long.
        let mut lab = Lab::new();
        lab.gets(5, OUR_CALL, 7, 14, None);
        lab.1 = 32;
        lab.sends(5, 7, OUR_CALL, 13);
        let refused = lab.gets(5, OUR_CALL, 7, 16, Some(29));
        assert_eq!(refused, Some((Outcome::RefusedOutright, Evidence::Unverified, false)));
        // Nobody was asked: by Asterisk's own number for all such, each counts.
        for call in [7, 8, 8] {
            let refused = lab.gets(5, 1, call, 16, None);
            assert_eq!(refused, Some((Outcome::RefusedOutright, Evidence::Unverified, false)));
        }
    }

    #[test]
    fn a_challenge_may_wait_for_four_seconds() {
        let mut lab = Lab::new();
        for (call, answers) in [(7, true), (8, false), (9, false), (10, false)] {
            lab.gets(5, OUR_CALL, call, 8, None);
            if answers {
                lab.sends(5, call, OUR_CALL, 9);
            }
        }
        lab.gets(5, OUR_CALL, 9, 7, None);
        let mut left = Vec::new();
        for seconds in [3, 4, 5] {
            lab.1 = seconds;
            let now = lab.now();
            lab.0.tick(now, &mut left);
            assert_eq!(left.len(), if seconds < 4 { 0 } else { 2 });
        }
        assert!(left.iter().all(|seen| seen.exchange.outcome == Outcome::ChallengeUnanswered
            && seen.evidence == Evidence::Unverified));
        // Credentials that come late are refused or accepted, and neither counts once more.
        assert_eq!(lab.gets(5, OUR_CALL, 8, 6, Some(50)), None);
        lab.gets(5, OUR_CALL, 11, 8, None);
        lab.0.forgive();
        lab.1 = 20;
        let now = lab.now();
        lab.0.tick(now, &mut left);
        assert_eq!(left.len(), 2, "there may have been some");
    }

    #[test]
    fn whoever_was_let_in_is_not_refused() {
        let mut lab = Lab::new();
        lab.gets(5, OUR_CALL, 7, 8, None);
        lab.sends(5, 7, OUR_CALL, 9);
        assert_eq!(lab.gets(5, OUR_CALL, 7, 6, Some(3)), None, "no such extension");
        assert_eq!(lab.gets(5, 2, 8, 6, Some(3)), None, "of a guest");
        lab.gets(5, OUR_CALL, 9, 8, None);
        lab.sends(5, 9, OUR_CALL, 9);
        assert_eq!(lab.gets(5, OUR_CALL, 9, 7, None), None);
        assert_eq!(lab.gets(5, OUR_CALL, 9, 6, Some(50)), None, "accepted before");
        for (answers, login) in
            [(true, Some((Outcome::Login, Evidence::Proven, true))), (false, None)]
        {
            let mut lab = Lab::new();
            lab.gets(5, OUR_CALL, 7, 14, None);
            if answers {
                lab.sends(5, 7, OUR_CALL, 13);
            }
            assert_eq!(lab.gets(5, OUR_CALL, 7, 15, None), login);
            assert_eq!(lab.gets(5, OUR_CALL, 0x8007, 15, None), None);
        }
    }
}
