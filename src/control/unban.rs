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
