//! Lifting bans.

use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request, SubjectText};

/// Asks for bans to be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbanRequest {
    /// All bans of this host and its ports, or in this network, or of this port of a host; `None`: all.
    pub net: Option<SubjectText>,
    /// Only bans of this jail.
    pub jail: Option<String>,
    /// The number of seconds for which the host or network is let through from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_seconds: Option<u64>,
}

impl Query for UnbanRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Unban(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}
