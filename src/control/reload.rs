//! Reading the configuration again.

use super::{Answer, Done, Query, Request};

/// Asks for configuration and rules to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadRequest;

impl Query for ReloadRequest {
    type Reply = Done;

    fn request(&self) -> Request {
        Request::Reload
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        Done::of(answer)
    }
}
