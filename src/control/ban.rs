//! Bans by hand.

use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request, SubjectText};

/// Asks for a ban of a host or network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanRequest {
    /// The host (an IPv6 address alone stands for its network), one port of it, or a network.
    pub host: SubjectText,
    /// The jail in whose name it is banned.
    pub jail: Option<String>,
    /// The number of seconds of the ban; `None` with `permanent` unset: as long as the jail would.
    pub seconds: Option<u64>,
    /// Whether the ban never ends by itself.
    pub permanent: bool,
    /// The reason, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What happens to a ban in force.
    #[serde(default, skip_serializing_if = "is_default")]
    pub manner: BanManner,
    /// Whether it is banned though somebody has logged in from there lately.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sure: bool,
}

/// What an order to ban does with a ban of the same jail that is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanManner {
    /// It gets the length that is asked for; where none is, it stays as it is.
    #[default]
    Set,
    /// It stays as it is if it is as long.
    Ensure,
    /// As `ensure`; a new one is to be confirmed, or ends.
    Try,
    /// It begins anew.
    Confirm,
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
