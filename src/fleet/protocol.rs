//! What the guard and the process that reaches the fleet's server say to each other: lines of JSON, in both directions.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::record::Order;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The longest line, in bytes, with its line feed: a [`FleetStatus`] of [`MOST_PEERS`] peers has less.
pub const LONGEST_LINE: usize = 16 << 20;
/// Peers of a node: as many as a fleet has nodes.
pub const MOST_PEERS: usize = 10_000;
/// Reasons for which something is refused: a status with more is none.
pub const MOST_REASONS: usize = 64;
/// Characters of the name of a jail or rule.
pub const LONGEST_NAME: usize = 64;

/// Whether this is the name of a jail or rule: short, and without control characters. It may be empty.
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && !text.contains(char::is_control)
}

/// A line of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToFleet {
    /// Bans of this guard's own follow, all that are in force, until [`ToFleet::Complete`]. They take the place of what was
    /// said before: another connection, or a guard that was restarted.
    Begin,
    /// A ban of this guard's own begins, or has another length.
    Ban(OwnBan),
    /// All bans since [`ToFleet::Begin`] were said.
    Complete,
    /// A ban of this guard's own was lifted. Bans that end by themselves are not said.
    Lift {
        /// Whose.
        host: Subject,
        /// The jail whose ban it was.
        jail: String,
    },
    /// The configuration may have changed.
    Reload,
    /// The fleet's operator lifts all bans of a host: said by `asterguard fleet unban`, and answered by
    /// [`FromFleet::Order`]. The same one may be said again, to hear what has become of it.
    Unban(Order),
    /// The guard has carried out [`FromFleet::Unban`].
    Obeyed {
        /// The host.
        host: Subject,
        /// When the order was given.
        issued: i64,
    },
}

/// A ban that this guard decided itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnBan {
    /// One host: an IPv4 address, or an IPv6 /64 or /128.
    pub host: Subject,
    /// The jail that decided.
    pub jail: String,
    /// The rule that completed the count, as `filter/id`; empty for a ban by hand.
    pub rule: String,
    /// What it rests on. Hearsay is never said.
    pub evidence: Evidence,
    /// When it was decided, by the wall clock of this guard.
    pub since: Time,
    /// When it ends; `None`: never.
    pub until: Option<Time>,
}

/// A line of the process that reaches the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FromFleet {
    /// A peer bans a host. Its signature and sequence hold, and the peer is within its limits.
    Ban(PeerBan),
    /// A peer lifts a ban of its own.
    Lift {
        /// Whose ban it was.
        issuer: NodeName,
        /// The host.
        host: Subject,
    },
    /// The fleet's operator lifts all bans of a host, those of this guard, too.
    Unban {
        /// The host.
        host: Subject,
        /// The node where the operator said so.
        by: NodeName,
        /// When, in milliseconds since the epoch by the clock there: the same order has the same.
        issued: i64,
        /// Bans that began later stay, by this machine's clock.
        begun: Time,
    },
    /// What has become of an order: to whoever gave it here, and to nobody else.
    Order(OrderState),
    /// The configuration that [`ToFleet::Reload`] was about is that of before.
    Unchanged,
    /// The state of the fleet, as this node sees it: at the beginning, when it changes, at most once a second, and at once
    /// when a connection with the server is made or lost.
    Status(Box<FleetStatus>),
}

/// What has become of an order of the operator that was given at this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// Why it is not taken (one word), if it is not.
    pub refused: Option<String>,
    /// Whether the guard of this node has carried it out.
    pub guard: bool,
    /// Whether the server has it.
    pub server: bool,
}

/// A ban of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerBan {
    /// The peer.
    pub issuer: NodeName,
    /// One host: an IPv4 address, or an IPv6 /64 or /128.
    pub host: Subject,
    /// The jail of the peer.
    pub jail: String,
    /// The rule of the peer; may be empty.
    pub rule: String,
    /// What it rests on, as the peer says.
    pub evidence: Evidence,
    /// The time that remains, in milliseconds: the least of the server's, the signed one and the most that this node takes.
    pub remaining: u64,
}

/// The state of the fleet, as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// This node.
    pub node: Option<NodeName>,
    /// The server, without a password.
    pub server: String,
    /// Whether it is connected, and everything that peers had published was read.
    pub connected: bool,
    /// Since when, in seconds since the epoch.
    pub since: i64,
    /// What is wrong, and what to do about it.
    pub trouble: Option<String>,
    /// Bans of this node that the server has.
    pub published: u64,
    /// Records that wait for the server.
    pub waiting: u64,
    /// Records for which there was no room; the next snapshot has what they said.
    pub dropped: u64,
    /// The peers, by name.
    #[serde(deserialize_with = "peers")]
    pub peers: BTreeMap<NodeName, PeerStatus>,
    /// Records of nodes that are no peers, and what is nobody's record at all, by reason.
    #[serde(deserialize_with = "reasons")]
    pub refused: BTreeMap<String, u64>,
}

/// The state of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// When its last record came, in seconds since the epoch.
    pub last: Option<i64>,
    /// Its bans that are in force here.
    pub bans: u64,
    /// Its records that were accepted.
    pub accepted: u64,
    /// Its records that were refused, by reason (one word).
    #[serde(deserialize_with = "reasons")]
    pub refused: BTreeMap<String, u64>,
    /// By how many seconds its clock is ahead of this one (negative: behind), if by more than a minute.
    pub clock: Option<i64>,
}

/// A map of so many entries at most: one with more takes no memory before it is refused.
struct AtMost<K, V>(usize, PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for AtMost<K, V> {
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of {} entries at most", self.0)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<Self::Value, M::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry()? {
            if map.len() >= self.0 {
                return Err(M::Error::custom("too many entries"));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

fn reasons<'de, D: Deserializer<'de>>(reader: D) -> Result<BTreeMap<String, u64>, D::Error> {
    reader.deserialize_map(AtMost(MOST_REASONS, PhantomData))
}

fn peers<'de, D: Deserializer<'de>>(reader: D) -> Result<BTreeMap<NodeName, PeerStatus>, D::Error> {
    reader.deserialize_map(AtMost(MOST_PEERS, PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_with_more_than_fits_is_none() {
        let read = |status: &FleetStatus| {
            let text = serde_json::to_string(status).unwrap();
            serde_json::from_str::<FleetStatus>(&text)
        };
        let reasons = |count: usize| (0..count).map(|n| (format!("r{n}"), 1)).collect();
        let peers = |count: usize| {
            let peer = |n| (format!("n{n}").parse().unwrap(), PeerStatus::default());
            (0..count).map(peer).collect()
        };
        let mut status = FleetStatus { refused: reasons(MOST_REASONS), ..FleetStatus::default() };
        assert_eq!(read(&status).unwrap(), status);
        status.refused = reasons(MOST_REASONS + 1);
        assert!(read(&status).is_err());
        let mut status = FleetStatus { peers: peers(MOST_PEERS), ..FleetStatus::default() };
        assert_eq!(read(&status).unwrap(), status);
        status.peers = peers(MOST_PEERS + 1);
        assert!(read(&status).is_err());
    }
}
