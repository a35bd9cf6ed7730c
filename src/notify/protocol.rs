//! What the guard and the process that tells say to each other: lines of JSON, in both directions.

use serde::{Deserialize, Serialize};

use crate::model::guard_event::GuardEvent;

/// The longest line for the process that tells, in bytes, with its line feed: one with a [`Letter`]. An event has
/// [`LONGEST_JSON`](crate::model::guard_event::LONGEST_JSON) bytes at most.
pub const LONGEST_LINE: usize = 1 << 20;
/// The longest answer, in bytes, with its line feed: a kilobyte and a half for each notifier.
pub const LONGEST_REPORT: usize = 128 << 10;
/// Characters of a reason.
pub const LONGEST_WORDS: usize = 400;

/// A line of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToNotifier {
    /// Something happened.
    Event(Box<GuardEvent>),
    /// The configuration may have changed.
    Reload,
    /// Somebody wants to see whether this notifier works, or all.
    Test(Option<String>),
    /// A report, for those who get it. It is sent at once.
    Letter(Box<Letter>),
}

/// A mail that is complete: the report, as `asterguard report --mail` makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// One line.
    pub subject: String,
    /// The text, for programs that show no HTML.
    pub text: String,
    /// The same as a page of HTML.
    pub html: String,
}

/// A line of the process that tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many lines of this connection are dealt with: what they said is on the disk. The guard keeps the others, and
    /// says them again by another connection.
    pub taken: u64,
    /// The notifiers that are in use.
    pub notifiers: Vec<NotifyStatus>,
    /// Why none is, or not as the configuration on disk has it.
    #[serde(default)]
    pub trouble: Option<String>,
    /// What became of a test, or of a letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Vec<Outcome>>,
}

/// What became of a test message, or of a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The name of the notifier.
    pub name: String,
    /// `mail`, `webhook` or `command`.
    pub kind: String,
    /// Whether the receiver has taken it.
    pub sent: bool,
    /// What it said, or what went wrong.
    pub said: String,
    /// What to do about it.
    pub todo: Option<String>,
}

/// The state of a notifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyStatus {
    /// Its name.
    pub name: String,
    /// `mail`, `webhook` or `command`.
    pub kind: String,
    /// Messages that were sent.
    pub sent: u64,
    /// Events that wait: for others, for the end of quiet hours, or for a receiver that does not answer.
    pub queued: u64,
    /// Events that were given up.
    pub dropped: u64,
    /// When the first of the messages failed that could not be sent since, in seconds since the epoch; `null` if all is
    /// well.
    pub failing_since: Option<i64>,
    /// The reason.
    pub why: Option<String>,
    /// What to do about it.
    pub todo: Option<String>,
}
