//! The failregexes that a jail counts.

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request};

/// Asks for the failregexes that a jail counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailregexRequest {
    /// The name of the jail.
    pub jail: String,
}

impl Query for FailregexRequest {
    type Reply = Vec<RuleText>;

    fn request(&self) -> Request {
        Request::Failregex(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Failregex { rules } => Some(rules),
            _ => None,
        }
    }
}

impl From<Vec<RuleText>> for Answer {
    fn from(rules: Vec<RuleText>) -> Self {
        Self::Failregex { rules }
    }
}

/// A rule as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// `filter/id`.
    pub rule: String,
    /// Its failregexes.
    pub failregex: Vec<String>,
}
