//! What is known of TCP connections, each by its ends.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Observation;
use crate::model::event::{Clue, Evidence};
use crate::model::eviction;
use crate::model::exchange::{Carrier, Exchange, Method, Outcome, Protocol, Source, Transport};
use crate::model::subject::canonical;
use crate::model::time::Time;
use crate::sip::packet::Flow;

/// The time after which a connection on which nothing is seen is forgotten.
const IDLE: Duration = Duration::from_secs(600);

/// Returns what the host at the far end of a connection did, to which we answered from our end.
pub(super) fn observation(
    flow: &Flow,
    protocol: Protocol,
    outcome: Outcome,
    status: u16,
    now: Time,
) -> Observation {
    let exchange = Exchange {
        protocol,
        outcome,
        method: Method::Other,
        status,
        port: flow.from.1,
        carrier: Carrier::Stream,
        source: Source::Wire,
    };
    let (host, port) = (canonical(flow.to.0), flow.to.1);
    let clue = Clue { port, transport: Transport::Stream, protocol, ..Clue::default() };
    Observation { time: now, host, evidence: Evidence::Proven, account: None, exchange, clue }
}

/// Connections: `most` of them at most.
#[derive(Debug)]
pub(super) struct Connections<T> {
    known: HashMap<Flow, (T, Time), RandomState>,
    most: usize,
}

impl<T> Connections<T> {
    pub fn new(most: usize) -> Self {
        Self { known: HashMap::default(), most }
    }

    /// Returns what is known of a connection, which `new` makes where nothing is. If there are too many, the one of
    /// eight is forgotten that has been silent the longest.
    pub fn entry(&mut self, flow: Flow, now: Time, new: impl FnOnce() -> T) -> &mut T {
        if self.known.len() >= self.most && !self.known.contains_key(&flow) {
            let oldest = eviction::least(&self.known, |(_, last)| *last);
            oldest.and_then(|flow| self.known.remove(&flow));
        }
        let (state, last) = self.known.entry(flow).or_insert_with(|| (new(), now));
        *last = now;
        state
    }

    /// Gives all connections.
    pub fn all(&mut self) -> impl Iterator<Item = (&Flow, &mut T)> {
        self.known.iter_mut().map(|(flow, (state, _))| (flow, state))
    }

    /// Forgets those on which nothing has been seen for long.
    pub fn tick(&mut self, now: Time) {
        self.known.retain(|_, (_, last)| now.since(*last) < IDLE);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }
}
