//! The hosts that are never banned.

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request};
use crate::model::listed::ExemptNetwork;

/// Asks for the hosts that no jail bans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreipRequest {
    /// And those that this jail does not ban.
    pub jail: Option<String>,
}

impl Query for IgnoreipRequest {
    type Reply = Vec<ExemptNetwork>;

    fn request(&self) -> Request {
        Request::Ignoreip(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Ignoreip { ignored } => Some(ignored),
            _ => None,
        }
    }
}

impl From<Vec<ExemptNetwork>> for Answer {
    fn from(ignored: Vec<ExemptNetwork>) -> Self {
        Self::Ignoreip { ignored }
    }
}
