//! Exchanges: a host's request and our PBX's answer to it, and what the two prove about the host.
//!
//! The evidence is what our PBX did with a host, whatever anybody writes. A request finds its answer
//! by Call-ID, `CSeq` and branch. Then
//!
//! * *credentials refused* is one attempt: 401 or 407 (but not because the nonce was too old), or 403
//!   of `chan_sip`, to a request with credentials, unless a provisional answer came first (then the call was let in,
//!   and somebody else refused it);
//! * a challenge to a request without credentials is nothing yet, since every phone gets one. Where
//!   its Call-ID sees neither credentials nor a success within [`PATIENCE`], it is a *challenge
//!   unanswered*;
//! * *refused outright* is a guest that gets 403, 404 or 484;
//! * a *login* is a 2xx to what was, by its own first line, a REGISTER with credentials.
//!
//! OPTIONS without credentials is *a probe* if it is refused, and none of these: providers and monitors ask again
//! and again and do not care. Only who asks for many accounts is a scanner.
//!
//! Over TCP and what is built on it all of that is proven. Over UDP it is where the credentials answer
//! a nonce that we sent to that very address within [`ROUND_TRIP`]; whoever forges a sender's address
//! does not get to see the nonce. An answer that goes elsewhere than where its request came from names the host
//! that it came from, unverified.
//!
//! IAX2, AMI and HTTP have their own ways: [`iax_calls`], [`ami_logins`], [`http_refusals`].
//!
//! If the request was not seen, answers are paired: within a Call-ID, the first refusal is the
//! challenge, and each further one without a success in between is an attempt.

mod ami_logins;
pub mod capture;
mod connections;
pub mod direction;
mod http_refusals;
mod iax_calls;
mod observer;
mod recent;

use std::hash::{BuildHasher as _, Hash};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::account::Account;
use crate::model::event::{Clue, Evidence};
use crate::model::exchange::{
    Carrier, Exchange, ExchangeId, Method, Outcome, Protocol, SipDriver, Source, Transport, seed,
};
use crate::model::subject::canonical;
use crate::model::time::Time;
use crate::sip::message::{self, Answer, Credentials, Message, Request};
use foldhash::quality::RandomState;
pub use observer::{Numbers, Observer};
use recent::Recent;

/// The time that a challenge may wait for credentials.
pub const PATIENCE: Duration = Duration::from_secs(4);
/// The time for which a nonce that we sent proves a round trip, and answers are remembered: as long as
/// SIP repeats a message (64·T1, RFC 3261, section 17), and as Asterisk takes a nonce.
pub const ROUND_TRIP: Duration = Duration::from_secs(32);
/// The time without an answer after which, if requests are not seen, the next refusal in a Call-ID is a
/// challenge again.
const REST: Duration = Duration::from_secs(10);

/// Requests of the last half minute over UDP in each half of the table, 84 bytes each: 4.6 MiB in all.
pub const REQUESTS: usize = 7 << 12;
/// The same of nonces that were sent over UDP, 20 bytes each: 2.2 MiB in all.
pub const NONCES: usize = 7 << 13;
/// The same of Call-IDs over UDP, 66 bytes each: 3.6 MiB in all.
pub const CALLS: usize = 7 << 12;
/// The same of requests, and of Call-IDs, over TCP, TLS and WebSocket: 2.1 MiB in all. Forged packets cannot
/// push them out.
pub const CONNECTED: usize = 7 << 10;

/// The two ends that a message went between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The host at the other end.
    pub host: IpAddr,
    /// Its port.
    pub host_port: u16,
    /// Our port.
    pub port: u16,
    /// The carrier of the message.
    pub carrier: Carrier,
    /// The source that saw it.
    pub source: Source,
    /// The part of Asterisk that listens at our port, where that is certain.
    pub driver: Option<SipDriver>,
    /// Whether what was seen need not be what the PBX read: it makes no login then.
    pub doubted: bool,
}

/// Something that a host did. `Copy`, of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The time when it was certain.
    pub time: Time,
    /// The host that did it.
    pub host: IpAddr,
    /// The degree to which `host` may be believed.
    pub evidence: Evidence,
    /// The account, where it is a plain name.
    pub account: Option<Account>,
    /// The exchange that it rests on.
    pub exchange: Exchange,
    /// The parts by which a line that is about it can be told; none where lines came long before.
    pub clue: Clue,
}

/// The exchanges of the last half minute.
#[derive(Debug)]
pub struct Exchanges {
    seed: RandomState,
    datagrams: Ledger,
    streams: Ledger,
    nonces: Recent<Time>,
}

/// The exchanges that are open with hosts by one kind of carrier.
#[derive(Debug)]
struct Ledger {
    requests: Recent<Asked>,
    calls: Recent<Call>,
}

/// A request, or the answers to one that was not seen.
#[derive(Clone, Copy, Debug)]
struct Asked {
    last: Time,
    /// The method that was asked for; `None`: the request was not seen.
    method: Option<Method>,
    credentials: Option<Credentials>,
    account: Option<Account>,
    /// Different requests with the same Call-ID, `CSeq` and branch were seen.
    mixed: bool,
    /// There was a provisional answer.
    let_in: bool,
    /// These credentials, or none, had a final answer: what is sent again counts once.
    judged: bool,
    /// The last final answer, where the request was not seen.
    answered: Option<u64>,
}

/// The state of a Call-ID.
#[derive(Debug)]
struct Call {
    last: Time,
    state: State,
    host: IpAddr,
    evidence: Evidence,
    account: Option<Account>,
    exchange: Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A challenge waits for credentials.
    Challenged,
    /// Credentials were refused (by what answers alone show).
    Refused,
    /// Nothing is open.
    Settled,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            seed: seed().clone(),
            datagrams: Ledger::new(REQUESTS, CALLS),
            streams: Ledger::new(CONNECTED, CONNECTED),
            nonces: Recent::new(NONCES, ROUND_TRIP),
        }
    }
}

impl Exchanges {
    /// Reads the head of a message that the host of `flow` sent us, or we sent it: whichever it is,
    /// requests are taken for the host's and answers for ours. Call it with times that do not go back.
    /// Returns whether it was a SIP message.
    pub fn message(
        &mut self,
        flow: &Flow,
        head: &[u8],
        now: Time,
        out: &mut Vec<Observation>,
    ) -> Option<Message> {
        let message = Message::read(head, &self.seed)?;
        let flow = Flow { host: canonical(flow.host), ..*flow };
        match &message {
            // One that was cut off may have had credentials: it was not seen.
            Message::Request(request) if message::empty_line(head).is_some() => {
                self.request(&flow, request, now);
            }
            Message::Request(_) => {}
            Message::Answer(answer) => out.extend(self.answer(&flow, answer, now)),
        }
        Some(message)
    }

    fn request(&mut self, flow: &Flow, request: &Request, now: Time) {
        if request.method == Method::Ack {
            return;
        }
        let (key, call) = self.keys(flow.host, request.ids.request, request.ids.call);
        let ledger = self.ledger(flow.carrier);
        let asked = ledger.asked(key, now);
        asked.last = now;
        let known = asked.method.map(|method| (method, asked.credentials.is_some()));
        asked.mixed |=
            known.is_some_and(|known| known != (request.method, request.credentials.is_some()));
        if known.is_none() || request.credentials.is_some() {
            if asked.credentials != request.credentials {
                (asked.judged, asked.let_in) = (false, false);
            }
            asked.method = Some(request.method);
            asked.credentials = request.credentials;
            asked.account = request.account;
        }
        if request.credentials.is_some() {
            ledger.settle(call, now);
        }
    }

    fn answer(&mut self, flow: &Flow, answer: &Answer, now: Time) -> Option<Observation> {
        let (host, diverted) = self.asker(flow, answer)?;
        if let (401 | 407, Some(nonce), false) = (answer.status, answer.nonce, diverted) {
            // One that was diverted is for another's address: who sent for it knows it, too.
            let key = self.key(host, nonce);
            *self.nonces.entry(key, now, || now) = now;
        }
        let (key, call) = self.keys(host, answer.ids.request, answer.ids.call);
        let ledger = self.ledger(flow.carrier);
        let asked = ledger.asked(key, now);
        asked.last = now;
        if answer.status < 200 {
            // `chan_sip` says "Trying" to a REGISTER, too, whoever sent it.
            asked.let_in |= asked.method != Some(Method::Register);
            if answer.method == Method::Invite {
                ledger.settle(call, now);
            }
            return None;
        }
        let again = match asked.method {
            Some(_) => asked.judged,
            None => asked.answered == Some(answer.again),
        };
        (asked.judged, asked.answered) = (true, Some(answer.again));
        if again {
            return None;
        }
        let asked = *asked;
        let judged = match asked.method {
            Some(method) => ledger.judge(call, answer, method, flow.driver, &asked, now),
            None => ledger.pair(call, answer, flow.driver, now),
        };
        let account = if asked.method.is_some() { asked.account } else { answer.account };
        let mut seen = Observation {
            time: now,
            host,
            evidence: self.evidence(flow, host, asked.credentials, diverted, now),
            account,
            exchange: Exchange {
                protocol: Protocol::Sip,
                outcome: Outcome::CredentialsRefused,
                method: asked.method.unwrap_or(answer.method),
                status: answer.status,
                port: flow.port,
                carrier: flow.carrier,
                source: flow.source,
            },
            clue: Clue {
                call: ExchangeId::from_hash(answer.ids.call),
                nonce: asked.credentials.and_then(|sent| ExchangeId::from_hash(sent.nonce)),
                port: if host == flow.host { flow.host_port } else { 0 },
                transport: Transport::Unknown,
                protocol: Protocol::Sip,
            },
        };
        match judged {
            Judged::Nothing => None,
            Judged::Challenge => {
                let (evidence, exchange) = (seen.evidence, seen.exchange);
                let exchange = Exchange { outcome: Outcome::ChallengeUnanswered, ..exchange };
                let fresh =
                    || Call { last: now, state: State::Settled, host, evidence, account, exchange };
                let call = self.ledger(flow.carrier).calls.entry(call, now, fresh);
                *call = Call { state: State::Challenged, ..fresh() };
                None
            }
            Judged::Outcome(outcome) => {
                seen.exchange.outcome = outcome;
                Some(seen)
            }
        }
    }

    /// Returns the host that is answered, and whether the answer goes elsewhere. On a connection it never
    /// does, so what says otherwise is no answer of Asterisk's.
    fn asker(&self, flow: &Flow, answer: &Answer) -> Option<(IpAddr, bool)> {
        let ledger = match flow.carrier {
            Carrier::Datagram => &self.datagrams,
            Carrier::Stream => &self.streams,
        };
        let asked = |host: IpAddr| {
            let known = ledger.requests.get(self.key(host, answer.ids.request));
            known.is_some_and(|asked| asked.method.is_some())
        };
        let asker = answer.via.asker(flow.host, flow.driver, asked)?;
        let (host, _) = asker;
        (flow.carrier == Carrier::Datagram || host == flow.host).then_some(asker)
    }

    /// Returns how far it is certain that `host` sent a request.
    fn evidence(
        &self,
        flow: &Flow,
        host: IpAddr,
        credentials: Option<Credentials>,
        diverted: bool,
        now: Time,
    ) -> Evidence {
        let answers_ours = || {
            let sent = credentials.and_then(|sent| self.nonces.get(self.key(host, sent.nonce)));
            sent.is_some_and(|sent| now.since(*sent) < ROUND_TRIP)
        };
        match flow.carrier {
            _ if diverted => Evidence::Unverified,
            Carrier::Stream => Evidence::Proven,
            Carrier::Datagram if answers_ours() => Evidence::Proven,
            Carrier::Datagram => Evidence::Unverified,
        }
    }

    /// Lets time pass: challenges that were not answered count now. Those over TCP come first.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        self.streams.tick(now, out);
        self.datagrams.tick(now, out);
        self.nonces.tick(now);
    }

    /// Forgets what is open: with messages that were not seen, there may have been credentials or
    /// successes.
    pub fn forgive(&mut self) {
        self.datagrams.calls.clear();
        self.streams.calls.clear();
    }

    /// Returns the number of requests and Call-IDs that are known.
    #[must_use]
    pub fn known(&self) -> usize {
        [&self.datagrams, &self.streams]
            .map(|ledger| ledger.requests.len() + ledger.calls.len())
            .iter()
            .sum()
    }

    /// Returns the number of those that were forgotten early because there were too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        [&self.datagrams, &self.streams]
            .map(|ledger| ledger.requests.dropped() + ledger.calls.dropped())
            .iter()
            .sum()
    }

    fn ledger(&mut self, carrier: Carrier) -> &mut Ledger {
        match carrier {
            Carrier::Datagram => &mut self.datagrams,
            Carrier::Stream => &mut self.streams,
        }
    }

    fn key(&self, host: IpAddr, of: impl Hash) -> u64 {
        self.seed.hash_one((host, of))
    }

    /// Returns the keys of a request and of its Call-ID.
    fn keys(&self, host: IpAddr, request: u64, call: u64) -> (u64, u64) {
        (self.key(host, request), self.key(host, call))
    }
}

/// The result of a final answer.
enum Judged {
    Nothing,
    Challenge,
    Outcome(Outcome),
}

impl Ledger {
    fn new(requests: usize, calls: usize) -> Self {
        Self { requests: Recent::new(requests, ROUND_TRIP), calls: Recent::new(calls, ROUND_TRIP) }
    }

    /// Returns what is known of a request; what was longer ago than messages are sent again is another's.
    fn asked(&mut self, key: u64, now: Time) -> &mut Asked {
        let asked = self.requests.entry(key, now, || Asked::new(now));
        if now.since(asked.last) >= ROUND_TRIP {
            *asked = Asked::new(now);
        }
        asked
    }

    /// Judges a final answer to a request that was seen.
    fn judge(
        &mut self,
        call: u64,
        answer: &Answer,
        method: Method,
        driver: Option<SipDriver>,
        asked: &Asked,
        now: Time,
    ) -> Judged {
        let credentials = asked.credentials.is_some();
        let is_probe = method == Method::Options && !credentials;
        match (answer.status, credentials) {
            // The password was right. (`chan_pjsip` answers a wrong one by another challenge: 403 is for a
            // phone that it knows, and has no place for; `authenticate` in `pjsip_distributor.c`, 12 to 23.)
            (401 | 407, true) if answer.stale => Judged::Nothing,
            (403, true) if driver == Some(SipDriver::Pjsip) => Judged::Nothing,
            (401 | 403 | 407, true) if !asked.let_in => {
                Judged::Outcome(Outcome::CredentialsRefused)
            }
            (status, false) if is_probe && turns_away(status) => Judged::Outcome(Outcome::Probed),
            (401 | 407, false) => Judged::Challenge,
            (403 | 404 | 484, false) if !asked.let_in => {
                self.settle(call, now);
                Judged::Outcome(Outcome::RefusedOutright)
            }
            (200..=299, _) if !is_probe => {
                self.settle(call, now);
                let register = method == Method::Register && answer.method == Method::Register;
                if register && credentials && !asked.mixed {
                    Judged::Outcome(Outcome::Login)
                } else {
                    Judged::Nothing
                }
            }
            _ => Judged::Nothing,
        }
    }

    /// Judges a final answer to a request that was not seen.
    fn pair(&mut self, call: u64, answer: &Answer, driver: Option<SipDriver>, now: Time) -> Judged {
        if answer.method == Method::Options {
            let is_refused = turns_away(answer.status);
            return if is_refused { Judged::Outcome(Outcome::Probed) } else { Judged::Nothing };
        }
        let known = self.calls.get_mut(call);
        let rested = known.as_ref().is_some_and(|known| now.since(known.last) >= REST);
        let state = known.as_ref().map_or(State::Settled, |known| known.state);
        match (answer.status, state) {
            (401 | 407, State::Settled) => Judged::Challenge,
            (401 | 407, State::Refused) if rested => Judged::Challenge,
            (401 | 407, _) if answer.stale => Judged::Nothing,
            (403, _) if driver == Some(SipDriver::Pjsip) => {
                self.settle(call, now);
                Judged::Nothing
            }
            (401 | 403 | 407, State::Challenged | State::Refused) => {
                if let Some(known) = known {
                    let settled = answer.status == 403;
                    known.state = if settled { State::Settled } else { State::Refused };
                    known.last = now;
                }
                Judged::Outcome(Outcome::CredentialsRefused)
            }
            // Answers that the PBX gives only to those that it let in.
            (200..=299 | 404 | 423 | 480 | 484 | 486..=489 | 600..=699, _) => {
                self.settle(call, now);
                Judged::Nothing
            }
            _ => Judged::Nothing,
        }
    }

    fn settle(&mut self, call: u64, now: Time) {
        if let Some(call) = self.calls.get_mut(call) {
            (call.state, call.last) = (State::Settled, now);
        }
    }

    fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        let over =
            |call: &&mut Call| call.state == State::Challenged && now.since(call.last) >= PATIENCE;
        for call in self.calls.entries().filter(over) {
            let Call { host, evidence, account, exchange, .. } = *call;
            let clue = Clue::default();
            out.push(Observation { time: now, host, evidence, account, exchange, clue });
            call.state = State::Settled;
        }
        self.requests.tick(now);
        self.calls.tick(now);
    }
}

/// Whether a status turns away somebody who asks without credentials.
fn turns_away(status: u16) -> bool {
    matches!(status, 401 | 403 | 404 | 407 | 480 | 484)
}

impl Asked {
    fn new(now: Time) -> Self {
        Self {
            last: now,
            method: None,
            credentials: None,
            account: None,
            mixed: false,
            let_in: false,
            judged: false,
            answered: None,
        }
    }
}

#[cfg(test)]
mod tests;
