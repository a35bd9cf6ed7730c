//! The bans in force.

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request, SubjectText};
use crate::decide::peer_bans::IssuedBan;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::place::Place;

/// Asks for the bans in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BannedRequest {
    /// Only those that hold this host, or ports of it; or that hold this port of a host; or those in a network, or that
    /// hold it.
    pub host: Option<SubjectText>,
    /// In place of the bans in force, those that jails in observe mode would have made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observe: bool,
}

impl Query for BannedRequest {
    type Reply = Vec<NamedBan>;

    fn request(&self) -> Request {
        Request::Banned(*self)
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Banned { bans } => Some(bans),
            _ => None,
        }
    }
}

impl From<Vec<NamedBan>> for Answer {
    fn from(bans: Vec<NamedBan>) -> Self {
        Self::Banned { bans }
    }
}

/// A ban in force, with its jail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedBan {
    /// The jail whose ban it is.
    pub jail: String,
    /// The ban.
    #[serde(flatten)]
    pub ban: BanStatus,
}

/// One ban in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BanStatus {
    /// The host that is banned: an address, or an IPv6 network; or an address and port of a host.
    pub host: String,
    /// The ports that are closed to it.
    pub scope: String,
    /// Seconds left; `null` for a permanent ban.
    pub left: Option<u64>,
    /// The time when it ends, in seconds since the epoch; `null` for a permanent ban.
    #[serde(default)]
    pub until: Option<i64>,
    /// The time when it began, in seconds since the epoch.
    pub since: i64,
    /// Offences counted; 0 for a ban by hand or one that was found in the kernel.
    pub offences: u32,
    /// The evidence that it rests on; `proven` for a ban by hand.
    pub evidence: Evidence,
    /// Whether no offence led to it: somebody ordered it, or it was found in the kernel.
    #[serde(default)]
    pub by_hand: bool,
    /// The person who ordered it: `root`, `alice (sudo)`, `uid 1000`; `null` if that is not known.
    #[serde(default)]
    pub by: Option<String>,
    /// The reason, in the person's words.
    #[serde(default)]
    pub comment: Option<String>,
    /// Whether it is not in force for now, because somebody paused all bans, or those of its jail.
    #[serde(default)]
    pub paused: bool,
    /// The peers of the fleet whose ban it is, that which lasts longest first; empty for a ban of this guard's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<Issuer>,
    /// The rule that completed the count, as `filter/id`.
    pub rule: Option<String>,
    /// The packets and bytes of it that were dropped; `null` if the kernel does not say.
    #[serde(flatten)]
    pub dropped: Dropped,
    /// The country and the network of the host, as far as the databases of `[geoip]` know them.
    #[serde(flatten)]
    pub place: Place,
    /// The time when it was last seen sending packets, in seconds since the epoch; `null` if it was not:
    /// it is seen when its counter has moved between two looks.
    pub knocked: Option<i64>,
}

/// A peer of the fleet that bans a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its name.
    pub node: NodeName,
    /// Its jail and its rule; empty if it did not say.
    pub jail: String,
    /// See there.
    pub rule: String,
    /// What its ban rests on, as it says.
    pub evidence: Evidence,
    /// When its ban ends, in seconds since the epoch.
    pub until: i64,
}

impl From<&IssuedBan> for Issuer {
    fn from(ban: &IssuedBan) -> Self {
        let IssuedBan { issuer, jail, rule, evidence, until, .. } = ban.clone();
        Self { node: issuer, jail, rule, evidence, until: until.secs() }
    }
}

/// The packets and bytes that the kernel has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl From<Option<(u64, u64)>> for Dropped {
    fn from(count: Option<(u64, u64)>) -> Self {
        let (packets, bytes) = count.unzip();
        Self { packets, bytes }
    }
}
