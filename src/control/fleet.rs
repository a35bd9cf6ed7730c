//! The state of the fleet: what this node shares, whom it believes, and what it refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request};
use crate::model::words::counted;

/// Asks for the state of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetRequest;

impl Query for FleetRequest {
    type Reply = FleetReport;

    fn request(&self) -> Request {
        Request::Fleet
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Fleet(report) => Some(*report),
            _ => None,
        }
    }
}

impl From<FleetReport> for Answer {
    fn from(report: FleetReport) -> Self {
        Self::Fleet(Box::new(report))
    }
}

/// The state of the fleet, in few numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetSummary {
    /// This node.
    pub node: String,
    /// The server, without a password.
    pub server: String,
    /// Whether it is connected, and everything that peers had published was read.
    pub connected: bool,
    /// Since when, in seconds since the epoch; `null` if the process that reaches it says nothing.
    pub since: Option<i64>,
    /// What is wrong; `null` if nothing is.
    pub trouble: Option<String>,
    /// The number of peers.
    pub peers: usize,
    /// Bans of peers that are in force here, each once for each peer.
    pub bans: usize,
    /// Bans of this node that the server has.
    pub published: u64,
    /// Records that wait for the server, and lines that wait for the process that reaches it.
    pub waiting: u64,
    /// Those for which there was no room; what they said is said again.
    pub dropped: u64,
    /// Records and bans that were refused.
    pub refused: u64,
}

impl FleetSummary {
    /// Returns it in a line.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { node, server, peers, bans, published, refused, .. } = self;
        let state = if self.connected { "connected" } else { "NOT CONNECTED" };
        let refused = if *refused > 0 { format!(", {refused} refused") } else { String::new() };
        format!(
            "{node} at {server}, {state}; {}, {} of theirs in force, {published} of ours published{refused}",
            counted(*peers, "peer"),
            counted(*bans, "ban"),
        )
    }
}

/// The state of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetReport {
    /// In few numbers.
    #[serde(flatten)]
    pub summary: FleetSummary,
    /// The peers, by name.
    pub members: Vec<PeerReport>,
    /// What was refused that is of no peer, by reason.
    pub strangers: BTreeMap<String, u64>,
}

/// The state of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Its name.
    pub node: String,
    /// When its last record came, in seconds since the epoch; `null`: none has.
    pub last: Option<i64>,
    /// Its bans that are in force here.
    pub bans: usize,
    /// Its records that were accepted.
    pub accepted: u64,
    /// Its records and bans that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// By how many seconds its clock is ahead (negative: behind), if by more than a minute.
    pub clock: Option<i64>,
}
