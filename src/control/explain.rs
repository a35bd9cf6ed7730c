//! The knowledge of a host, and the reasons why it is banned or not.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::banned::NamedBan;
use super::geofence::Stopped;
use super::status::IneffectiveBan;
use super::{Answer, Query, Request, SubjectText};
use crate::model::event::{Class, Evidence};
use crate::model::exchange::Exchange;
use crate::model::place::Place;

/// Asks what is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The host, or one port of it.
    pub host: SubjectText,
}

impl Query for ExplainRequest {
    type Reply = HostReport;

    fn request(&self) -> Request {
        Request::Explain(*self)
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Explain(report) => Some(*report),
            _ => None,
        }
    }
}

impl From<HostReport> for Answer {
    fn from(report: HostReport) -> Self {
        Self::Explain(Box::new(report))
    }
}

/// The knowledge of a host, and of what led to its bans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// The host that was asked for.
    pub host: IpAddr,
    /// The port of it that was asked for; not there for the host as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The network that would be banned: the host, or its IPv6 network.
    pub network: String,
    /// Its country and whose network it is in, as far as the databases of `[geoip]` know them.
    #[serde(flatten)]
    pub place: Place,
    /// Whether it can be banned at all.
    pub bannable: bool,
    /// The reason why no jail bans it, besides what the configuration says: "the gateway", for example.
    pub protected: Option<String>,
    /// The facts by which it is known good; `null` if it is not.
    pub known_good: Option<KnownGoodReport>,
    /// The account that fails beside others that are logged in there; `null` if none does.
    #[serde(default)]
    pub stranger: Option<StrangerReport>,
    /// The numbers of each jail.
    pub jails: Vec<JailReport>,
    /// The bans in force: of the host or its network and of its ports, or those that hold the port; `null` if they could
    /// not be looked at.
    pub bans: Option<Vec<NamedBan>>,
    /// Bans of the same that would be in force, were it not for observing only.
    #[serde(default)]
    pub observed: Vec<NamedBan>,
    /// Ports of this machine that only hosts that are let through reach, and this one is none of them: ranges.
    #[serde(default)]
    pub guardedports: Vec<(u16, u16)>,
    /// That the geofence stops it; not there if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geofence: Option<Stopped>,
    /// Those of them that were seen to have no effect.
    #[serde(default)]
    pub without_effect: Vec<IneffectiveBan>,
    /// The last lines that named it, newest first.
    pub lines: Vec<LineReport>,
}

/// The facts by which a host is known good. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownGoodReport {
    /// Accounts that have logged in.
    pub accounts: usize,
    /// Of these, those that fail now.
    pub failing: usize,
    /// Offences of others lately.
    pub unknown: u32,
    /// The last login.
    pub login: i64,
    /// The log that the last login stood in.
    pub source: String,
    /// The line of that log.
    pub line: u64,
    /// The time when it is forgotten if there is no other.
    pub until: i64,
    /// The time until which nothing is excused all the same; `null` if it is.
    pub ended: Option<i64>,
}

/// An account that fails at a host from which others are logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerReport {
    /// Its name, or the first seven characters of it and `*`; `null` if it has no plain name.
    pub account: Option<String>,
    /// The failures there, of all that have not logged in, within a day.
    pub failures: u32,
    /// The time of the first, in seconds since the epoch.
    pub since: i64,
}

/// The offences that one jail counts of a host, and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailReport {
    /// The name of the jail.
    pub jail: String,
    /// `enforce` or `observe`.
    pub mode: crate::config::Mode,
    /// The entry of `ignoreip` that the host is in.
    pub ignored_by: Option<String>,
    /// The things that it counts.
    #[serde(default)]
    pub count: crate::config::Counting,
    /// Offences within findtime, or the accounts that they are at.
    pub offences: u32,
    /// Of these, proven ones.
    pub proven: u32,
    /// Offences that bring a ban.
    pub maxretry: u32,
    /// Seconds that offences count.
    pub findtime: u64,
    /// Log by log.
    pub sources: Vec<SourceCount>,
}

/// Offences in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Its path.
    pub path: String,
    /// The number of offences.
    pub offences: u32,
}

/// A line that named a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReport {
    /// The time when it was read, in seconds since the epoch.
    pub time: i64,
    /// The host that it named.
    pub host: IpAddr,
    /// The log that it is in.
    pub source: String,
    /// Its number.
    pub line: u64,
    /// `filter/id`.
    pub rule: String,
    /// `offence`, `success`, `ignored` or `tampered`.
    pub meaning: String,
    /// Of an offence.
    pub class: Option<Class>,
    /// The degree to which it is believed.
    pub evidence: Evidence,
    /// The exchange that it rests on, where our PBX's own answers were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The thing that it counts by.
    #[serde(default)]
    pub rests_on: RestsOn,
}

/// The thing that a line counts by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RestsOn {
    /// It stands alone.
    #[default]
    Text,
    /// It stands alone, in a file whose records no sender can break.
    Framed,
    /// Something was sent on the connection that it is about.
    Talked,
    /// The service that it is about, which is not Asterisk's, sent something to the host.
    Served,
    /// An exchange.
    Exchange,
    /// It counts for nothing: the exchange beside it counts by itself, or there is none where exchanges
    /// are seen.
    Nothing,
}

impl LineReport {
    /// Returns what it counts by, or why it counts for nothing, in words; empty where there is nothing to say.
    #[must_use]
    pub fn reason(&self) -> String {
        match (self.rests_on, &self.exchange) {
            (RestsOn::Exchange, Some(exchange)) => exchange.to_string(),
            (RestsOn::Nothing, Some(exchange)) => format!("adds nothing to: {exchange}"),
            (RestsOn::Nothing, None) => {
                "counts for nothing: this machine was not seen to answer this host at that time"
                    .to_owned()
            }
            (RestsOn::Served, _) => "the service sent to this host just before".to_owned(),
            (RestsOn::Talked, _) => "Asterisk sent to this host and port just before".to_owned(),
            (RestsOn::Text | RestsOn::Framed | RestsOn::Exchange, _) => String::new(),
        }
    }
}
