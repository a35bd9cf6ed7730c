//! Turns copied packets into observations.

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};

use super::challenge_pairing::Pairing;
use super::packet::Packet;
use super::response::Response;
use super::tcp_stream::{Segment, Streams};
use super::{Observation, Outcome, Transport};
use crate::model::subject::canonical;
use crate::model::time::Time;

/// The numbers of what was seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Packets that the kernel copied for us.
    pub packets: u64,
    /// SIP responses in them.
    pub answers: u64,
    /// Of these, refusals (401, 403, 407).
    pub refusals: u64,
    /// Refusals that counted as attempts.
    pub attempts: u64,
    /// Logins after a challenge.
    pub logins: u64,
    /// Packets that the kernel could not hand over because there were too many.
    pub lost: u64,
    /// Dialogues that were forgotten early because there were too many.
    pub forgotten: u64,
}

/// The state that packets are read with: connections, dialogues and numbers.
#[derive(Debug, Default)]
pub struct Observer {
    seed: RandomState,
    streams: Streams,
    pairing: Pairing,
    /// The number of the last packet.
    last: Option<u32>,
    numbers: Numbers,
}

impl Observer {
    /// Reads a packet that the kernel copied, from its IP header on, and its number.
    pub fn packet(
        &mut self,
        bytes: &[u8],
        number: Option<u32>,
        now: Time,
        out: &mut Vec<Observation>,
    ) {
        self.numbers.packets += 1;
        self.count(number);
        let Some(packet) = Packet::read(bytes) else { return };
        let Self { seed, streams, pairing, numbers, .. } = self;
        let host = canonical(packet.flow.to.0);
        let mut head = |head: &[u8]| {
            let Some(response) = Response::read(head, seed) else { return };
            numbers.answers += 1;
            numbers.refusals += u64::from(matches!(response.status, 401 | 403 | 407));
            out.extend(pairing.response(host, packet.transport, &response, now));
        };
        match packet.transport {
            Transport::Udp => head(packet.payload),
            Transport::Tcp => {
                let Packet { flow, sequence, payload, whole, .. } = packet;
                streams.feed(flow, &Segment { sequence, bytes: payload, whole }, now, head);
            }
        }
    }

    /// Records that packets were lost. Hosts that were let in with them must not count as refused,
    /// so all open refusals are forgiven.
    pub fn lost(&mut self) {
        self.pairing.forgive();
    }

    /// Starts over with another socket, whose packets are numbered from the beginning.
    pub fn restart(&mut self) {
        self.last = None;
        self.pairing.forgive();
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Observation>) {
        self.pairing.tick(now, out);
    }

    /// Counts observations that are handed on.
    pub fn tell(&mut self, observations: &[Observation]) {
        for observation in observations {
            match observation.outcome {
                Outcome::Refused => self.numbers.attempts += 1,
                Outcome::Registered => self.numbers.logins += 1,
            }
        }
    }

    /// Returns what was seen so far.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        Numbers { forgotten: self.pairing.dropped(), ..self.numbers }
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
