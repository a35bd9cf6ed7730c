//! Networks that are let through by order, while the guard runs.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ban::is_default;
use super::{Answer, Done, Query, Request, SubjectText};

/// Asks for a host or network to be let through, or no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRequest {
    /// The host or network.
    pub host: SubjectText,
    /// The number of seconds; `None`: until it is taken back.
    pub seconds: Option<u64>,
    /// The reason, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether an earlier order about it is taken back instead.
    #[serde(default, skip_serializing_if = "is_default")]
    pub remove: bool,
}

impl Query for AllowRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Allow(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}

/// Asks which networks are let through by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedRequest;

impl Query for AllowedRequest {
    type Reply = Vec<AllowedReport>;

    fn request(&self) -> Request {
        Request::Allowed
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Allowed { allowed } => Some(allowed),
            _ => None,
        }
    }
}

impl From<Vec<AllowedReport>> for Answer {
    fn from(allowed: Vec<AllowedReport>) -> Self {
        Self::Allowed { allowed }
    }
}

/// A network that is let through by order. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedReport {
    /// The network.
    pub net: IpNet,
    /// The time of the order.
    pub since: i64,
    /// The time when it ends; `null`: it has to be taken back.
    pub until: Option<i64>,
    /// The person who ordered it.
    pub by: String,
    /// The reason, in the person's words.
    pub comment: Option<String>,
}
