//! Stopping to drop for a while.

use serde::{Deserialize, Serialize};

use super::{Answer, Done, Query, Request};

/// Asks for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseRequest {
    /// The number of seconds of the pause; `None`: until somebody ends it.
    pub seconds: Option<u64>,
}

impl Query for PauseRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Pause(*self)
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}

/// Asks for the end of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRequest;

impl Query for ResumeRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Resume
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}
