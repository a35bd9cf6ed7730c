//! Turns copied packets into observations: which messages they carry, and of which host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ami_logins::AmiLogins;
use super::http_refusals::HttpRefusals;
use super::iax_calls::IaxCalls;
use super::{Exchanges, Flow, Observation};
use crate::model::exchange::{
    AsteriskPorts, Carrier, Outcome, Protocol, ServicePorts, SipDriver, Source,
};
use crate::model::scope::is_within;
use crate::model::subject::canonical;
use crate::model::time::Time;
use crate::services::iax::Frame;
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
    /// IAX2's frames of ours about credentials.
    #[serde(default)]
    pub iax: u64,
    /// Connections to AMI that were seen from their beginning on.
    #[serde(default)]
    pub ami: u64,
    /// Answers of HTTP.
    #[serde(default)]
    pub http: u64,
}

/// The state that packets are read with: connections, exchanges and numbers.
#[derive(Default)]
pub struct Observer {
    ports: AsteriskPorts,
    services: ServicePorts,
    streams: Streams,
    exchanges: Exchanges,
    iax: IaxCalls,
    ami: AmiLogins,
    http: HttpRefusals,
    /// The time when HEP last told of a message, by port.
    hep: BTreeMap<u16, Time>,
    /// The number of the last packet.
    last: Option<u32>,
    numbers: Numbers,
}

impl Observer {
    /// Goes by what is known of Asterisk's ports, and of those of its other services, from now on.
    pub fn change(&mut self, ports: AsteriskPorts, services: ServicePorts) {
        (self.ports, self.services) = (ports, services);
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
            Path::In | Path::Out => match self.protocol(&packet, path) {
                Protocol::Sip => self.wire(&packet, path, now, out),
                service => self.service(service, &packet, path, now, out),
            },
        }
    }

    /// Returns the protocol that is spoken at our end of a packet.
    fn protocol(&self, packet: &Packet, path: Path) -> Protocol {
        let port = if path == Path::In { packet.flow.to.1 } else { packet.flow.from.1 };
        let ServicePorts { iax, ami, http } = &self.services;
        match packet.transport {
            Transport::Udp if is_within(iax, port) => Protocol::Iax2,
            Transport::Tcp if is_within(ami, port) => Protocol::Ami,
            Transport::Tcp if is_within(http, port) => Protocol::Http,
            Transport::Udp | Transport::Tcp => Protocol::Sip,
        }
    }

    /// Reads a packet of another service than SIP.
    fn service(
        &mut self,
        service: Protocol,
        packet: &Packet,
        path: Path,
        now: Time,
        out: &mut Vec<Observation>,
    ) {
        let Packet { flow, sequence, payload, whole, .. } = *packet;
        let segment = Segment { sequence, bytes: payload, whole };
        match (service, path) {
            (Protocol::Iax2, _) => {
                let Some(frame) = Frame::read(payload) else { return };
                let of = |(host, port)| (canonical(host), port);
                if path == Path::In {
                    self.iax.asked(of(flow.from), &frame, now);
                } else {
                    self.numbers.iax += 1;
                    out.extend(self.iax.answered(of(flow.to), flow.from.1, &frame, now));
                }
            }
            (Protocol::Ami, Path::Out) => self.ami.answered(flow, &segment, now, out),
            (Protocol::Http, Path::In) => self.http.asked(flow, &segment, now),
            (Protocol::Http, Path::Out) => self.http.answered(flow, &segment, now, out),
            _ => {}
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
        self.iax.forgive();
        self.ami.forgive();
        self.http.forgive();
    }

    /// Starts over with another socket, whose packets are numbered from the beginning.
    pub fn restart(&mut self) {
        self.last = None;
        self.lost();
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        self.exchanges.tick(now, out);
        self.iax.tick(now, out);
        self.ami.tick(now, out);
        self.http.tick(now);
    }

    /// Counts observations that are handed on.
    pub fn tell(&mut self, observations: &[Observation]) {
        for observation in observations {
            match observation.exchange.outcome {
                Outcome::Login => self.numbers.logins += 1,
                Outcome::Probed => {}
                Outcome::CredentialsRefused
                | Outcome::ChallengeUnanswered
                | Outcome::RefusedOutright
                | Outcome::NeverLoggedIn => self.numbers.attempts += 1,
            }
        }
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers {
            forgotten: self.exchanges.dropped() + self.iax.dropped(),
            ami: self.ami.banners(),
            http: self.http.answers(),
            ..self.numbers
        }
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
