//! The differences between kernel, configuration and memory.

use serde::{Deserialize, Serialize};

use super::{Answer, Query, Request};

/// Asks for the differences between kernel, configuration and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// Whether the kernel is to be made to agree with memory.
    pub repair: bool,
}

impl Query for VerifyRequest {
    type Reply = Verification;

    fn request(&self) -> Request {
        Request::Verify(*self)
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Verification(found) => Some(found),
            _ => None,
        }
    }
}

impl From<Verification> for Answer {
    fn from(found: Verification) -> Self {
        Self::Verification(found)
    }
}

/// The differences between kernel, configuration and memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The differences, [`MOST_DIFFERENCES`] at most.
    pub differences: Vec<Difference>,
    /// The number of differences in all.
    pub count: usize,
    /// Whether those of the kernel have been repaired.
    pub repaired: bool,
}

/// The most differences that are told one by one.
pub const MOST_DIFFERENCES: usize = 1000;

/// Something that is not the same in two places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The kind of the difference.
    pub kind: DifferenceKind,
    /// The host whose ban it is about, if it is about one.
    pub host: Option<String>,
    /// The scope of that ban.
    pub scope: Option<String>,
    /// All of it, for people.
    pub message: String,
}

/// A kind of thing that can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The table, a chain, a set, rules, or what the configuration puts into a set.
    Structure,
    /// A ban that the kernel does not have.
    Missing,
    /// A ban that ends at another time in the kernel.
    End,
    /// An element in the kernel that is no ban.
    Extra,
    /// The pause.
    Pause,
    /// The configuration's files and what is in force.
    Configuration,
}
