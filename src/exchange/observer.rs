//! Turns copied packets into observations: which messages they carry, and of which host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Exchanges, Flow, Observation};
use crate::model::exchange::{AsteriskPorts, Carrier, Outcome, SipDriver, Source};
use crate::model::subject::canonical;
use crate::model::time::Time;
use crate::sip::Transport;
use crate::sip::hep::Hep;
use crate::sip::message::Message;
use crate::sip::nflog::Path;
use crate::sip::packet::Packet;
use crate::sip::stream::{Segment, Streams};

/// For so long after a message by HEP, packets of the same port are not read: Asterisk tells of both
/// directions, and of every message. In seconds.
const HEP_LASTS: u64 = 60;
/// Ports that HEP may tell of; more than Asterisk has transports.
const HEP_PORTS: usize = 64;

/// The numbers of what was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Packets that the kernel copied for us.
    pub packets: u64,
    /// SIP answers of ours in them.
    pub answers: u64,
    /// Of these, refusals (401, 403, 407).
    pub refusals: u64,
    /// Refusals that counted as attempts, and challenges that nothing came of.
    pub attempts: u64,
    /// Logins after a challenge.
    pub logins: u64,
    /// Packets that the kernel could not hand over because there were too many.
    pub lost: u64,
    /// Requests and Call-IDs that were forgotten early because there were too many.
    pub forgotten: u64,
    /// Requests that were seen.
    #[serde(default)]
    pub requests: u64,
    /// SIP messages that Asterisk told of by HEP.
    #[serde(default)]
    pub hep: u64,
}

/// The state that packets are read with: connections, exchanges and numbers.
#[derive(Default)]
pub struct Observer {
    ports: AsteriskPorts,
    streams: Streams,
    exchanges: Exchanges,
    /// The time when HEP last told of a message, by port.
    hep: BTreeMap<u16, Time>,
    /// The number of the last packet.
    last: Option<u32>,
    numbers: Numbers,
}

impl Observer {
    /// Goes by what is known of Asterisk's ports from now on.
    pub fn change(&mut self, ports: AsteriskPorts) {
        self.ports = ports;
    }

    /// Reads a packet that the kernel copied, from its IP header on, and its number.
    pub fn packet(
        &mut self,
        bytes: &[u8],
        number: Option<u32>,
        path: Path,
        now: Time,
        out: &mut Vec<Observation>,
    ) {
        self.numbers.packets += 1;
        self.count(number);
        let Some(packet) = Packet::read(bytes) else { return };
        match path {
            Path::Hep => self.hep(packet.payload, now, out),
            Path::In | Path::Out => self.wire(&packet, path, now, out),
        }
    }

    fn wire(&mut self, packet: &Packet, path: Path, now: Time, out: &mut Vec<Observation>) {
        let Self { ports, streams, exchanges, numbers, hep, .. } = self;
        let Packet { flow, sequence, payload, whole, .. } = *packet;
        let (ours, theirs) = match path {
            Path::In => (flow.to, flow.from),
            Path::Out | Path::Hep => (flow.from, flow.to),
        };
        if hep.get(&ours.1).is_some_and(|last| now.since(*last).as_secs() < HEP_LASTS) {
            return;
        }
        // Anybody can have a WebSocket return what was sent to it.
        if packet.transport == Transport::Tcp && ports.websocket.contains(&ours.1) {
            return;
        }
        let reverse = crate::sip::packet::Flow { from: flow.to, to: flow.from };
        let requests = if path == Path::In { flow } else { reverse };
        let carrier = match packet.transport {
            Transport::Udp => Carrier::Datagram,
            Transport::Tcp => Carrier::Stream,
        };
        let doubted = streams.is_doubted(&requests);
        let port = ours.1;
        let between = Flow {
            host: canonical(theirs.0),
            host_port: theirs.1,
            port,
            carrier,
            source: Source::Wire,
            driver: ports.driver(port),
            doubted,
        };
        let mut head = |head: &[u8]| {
            // Requests of ours, and answers to them, are no evidence of anything.
            if head.starts_with(b"SIP/2.0 ") == (path == Path::Out) {
                numbers.note(exchanges.message(&between, head, now, out));
            }
        };
        match packet.transport {
            Transport::Udp => head(payload),
            Transport::Tcp => {
                streams.feed(flow, &Segment { sequence, bytes: payload, whole }, now, head);
            }
        }
    }

    fn hep(&mut self, datagram: &[u8], now: Time, out: &mut Vec<Observation>) {
        let Some(hep) = Hep::read(datagram) else { return };
        if !hep.is_sip() || !hep.has_password(&self.ports.hep_password) {
            return;
        }
        // A request of a host comes to one of our ports, and the answer leaves from there.
        let is_answer = hep.payload.starts_with(b"SIP/2.0 ");
        let (ours, theirs) =
            if is_answer { (hep.source, hep.destination) } else { (hep.destination, hep.source) };
        let port = ours.port();
        if !self.ports.pjsip.contains(&port) {
            return;
        }
        if self.hep.len() < HEP_PORTS || self.hep.contains_key(&port) {
            self.hep.insert(port, now);
        }
        let carrier =
            if self.ports.streams.contains(&port) { Carrier::Stream } else { Carrier::Datagram };
        let (host, host_port) = (canonical(theirs.ip()), theirs.port());
        let (source, driver) = (Source::Hep, Some(SipDriver::Pjsip));
        let between = Flow { host, host_port, port, carrier, source, driver, doubted: false };
        self.numbers.hep += 1;
        let message = self.exchanges.message(&between, hep.payload, now, out);
        self.numbers.note(message);
    }

    /// Records that packets were lost. Hosts that were let in with them must not count as refused,
    /// so all open challenges are forgiven.
    pub fn lost(&mut self) {
        self.exchanges.forgive();
    }

    /// Starts over with another socket, whose packets are numbered from the beginning.
    pub fn restart(&mut self) {
        self.last = None;
        self.exchanges.forgive();
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        self.exchanges.tick(now, out);
    }

    /// Counts observations that are handed on.
    pub fn tell(&mut self, observations: &[Observation]) {
        for observation in observations {
            match observation.exchange.outcome {
                Outcome::Login => self.numbers.logins += 1,
                Outcome::CredentialsRefused
                | Outcome::ChallengeUnanswered
                | Outcome::RefusedOutright
                | Outcome::Probed => self.numbers.attempts += 1,
            }
        }
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers { forgotten: self.exchanges.dropped(), ..self.numbers }
    }

    /// Counts the packets between the last one and this one.
    fn count(&mut self, number: Option<u32>) {
        let Some(number) = number else { return };
        let missing = self.last.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
        if missing > 0 {
            self.numbers.lost += u64::from(missing);
            self.lost();
        }
        self.last = Some(number);
    }
}

impl Numbers {
    fn note(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Request(_)) => self.requests += 1,
            Some(Message::Answer(answer)) => {
                self.answers += 1;
                self.refusals += u64::from(matches!(answer.status, 401 | 403 | 407));
            }
            None => {}
        }
    }
}
