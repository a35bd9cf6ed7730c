//! The values of a jail in force.

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request};
use crate::config::Setting;

/// Asks for the values of a jail that are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsRequest {
    /// The name of the jail.
    pub jail: String,
}

impl Query for SettingsRequest {
    type Reply = Vec<Setting>;

    fn request(&self) -> Request {
        Request::Settings(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Settings { settings } => Some(settings),
            _ => None,
        }
    }
}

impl From<Vec<Setting>> for Answer {
    fn from(settings: Vec<Setting>) -> Self {
        Self::Settings { settings }
    }
}
