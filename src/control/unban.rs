//! Lifting bans.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request};

/// Asks for bans to be lifted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnbanRequest {
    /// All bans in this network; `None`: all.
    pub net: Option<IpNet>,
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
