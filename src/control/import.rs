//! Bans of another guard, or of an earlier time, as `export` and `banned --json` print them.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Answer, Query, Request, SubjectText};
use crate::model::event::Evidence;

/// Asks for bans to be taken up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRequest {
    /// The bans.
    pub bans: Vec<ImportedBan>,
    /// How often hosts were banned before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<ImportedHistory>,
}

/// The bans that another guard made of a host before; they make its next one longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedHistory {
    /// The host.
    pub host: IpAddr,
    /// The number of bans.
    pub bans: u32,
    /// The time when the last one ended or will, in seconds since the epoch; `None`: never.
    pub until: Option<i64>,
}

/// A ban to be taken up. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedBan {
    /// The jail whose ban it is; one that there is not: the one for bans by hand.
    pub jail: String,
    /// The host, network, or port of a host.
    pub host: SubjectText,
    /// The name of the ports that are closed.
    pub scope: String,
    /// The time when it began.
    pub since: i64,
    /// The time when it ends; `null`: never. It has to be there: what lacks it is no permanent ban.
    #[serde(deserialize_with = "there")]
    pub until: Option<i64>,
    /// Offences counted; 0 for a ban by hand.
    pub offences: u32,
    /// The evidence that it rests on.
    pub evidence: Evidence,
    /// The rule that completed the count, as `filter/id`.
    #[serde(default)]
    pub rule: Option<String>,
    /// The person who ordered it.
    #[serde(default)]
    pub by: Option<String>,
    /// The reason, in the person's words.
    #[serde(default)]
    pub comment: Option<String>,
}

/// Reads a value that may be `null`, and may not be missing.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::deserialize(deserializer)
}

impl Query for ImportRequest {
    type Reply = Imported;

    fn request(&self) -> Request {
        Request::Import(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Imported(imported) => Some(imported),
            _ => None,
        }
    }
}

/// What has become of bans that were to be taken up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The number that are in force now and were not before, or not for as long.
    pub new: usize,
    /// The number that were in force.
    pub known: usize,
    /// The number whose time is over.
    pub over: usize,
    /// The number of hosts whose bans before are counted now and were not, or not as many.
    #[serde(default)]
    pub earlier: usize,
    /// The reasons why others are not in force.
    pub refused: Vec<String>,
}

impl From<Imported> for Answer {
    fn from(imported: Imported) -> Self {
        Self::Imported(imported)
    }
}
