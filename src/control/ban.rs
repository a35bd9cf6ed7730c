//! Bans by hand.

use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request, SubjectText};

/// Asks for a ban of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRequest {
    /// The host, or one port of it; an IPv6 address alone stands for its network.
    pub host: SubjectText,
    /// The jail in whose name it is banned.
    pub jail: Option<String>,
    /// The number of seconds of the ban; `None` with `permanent` unset: as long as the jail would.
    pub seconds: Option<u64>,
    /// Whether the ban never ends by itself.
    pub permanent: bool,
}

impl Query for BanRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Ban(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}
