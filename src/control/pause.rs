//! Stopping to drop for a while.

use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request};

/// Asks for a pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRequest {
    /// The number of seconds of the pause; `None`: until somebody ends it.
    pub seconds: Option<u64>,
    /// The jail whose bans are not in force meanwhile; `None`: nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<String>,
}

impl Query for PauseRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Pause(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}

/// Asks for the end of a pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// The jail whose pause ends; `None`: all pauses end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<String>,
}

impl Query for ResumeRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Resume(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}
