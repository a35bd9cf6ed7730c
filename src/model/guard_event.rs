//! What the guard did, as people and other programs are told of it.
//!
//! The same value goes into the log, into the state file (`asterguard events`) and to the notifier.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::event::Evidence;
use crate::model::pause::Pause;
use crate::model::place::Place;
use crate::model::time::Time;

/// The longest text, account and log line that is told, in bytes each; what is longer is cut.
pub const LONGEST_TEXT: usize = 512;
/// The most log lines, and the most accounts, that are told of a ban.
pub const MOST_LINES: usize = 10;
/// The most bytes that a value takes as JSON, with its line feed: all its texts at their longest, each byte escaped.
pub const LONGEST_JSON: usize = 128 << 10;

/// The kind of thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A host was banned.
    Ban,
    /// A ban ended.
    Unban,
    /// A jail in observe mode would have banned a host.
    Observed,
    /// An account logged in from a network that it never used.
    Login,
    /// A check of the health turned.
    Health,
    /// Somebody ordered something.
    Order,
    /// The kernel's sets were put back.
    Heal,
    /// The guard started.
    Start,
    /// The guard stopped.
    Stop,
    /// Lines of a log were not read.
    Lost,
}

impl EventKind {
    /// All kinds, as commands and the configuration spell them.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Ban, "ban"),
        (Self::Unban, "unban"),
        (Self::Observed, "observed"),
        (Self::Login, "login"),
        (Self::Health, "health"),
        (Self::Order, "order"),
        (Self::Heal, "heal"),
        (Self::Start, "start"),
        (Self::Stop, "stop"),
        (Self::Lost, "lost"),
    ];

    /// Returns the kind that is spelled so.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(kind, _)| kind == self).map_or("?", |(_, word)| word);
        f.pad(word)
    }
}

/// Something that the guard did or found. All texts may hold what strangers wrote: each channel escapes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardEvent {
    /// When it happened, in milliseconds since 1970.
    pub at: Time,
    /// What happened.
    pub kind: EventKind,
    /// The same in words: one line, as the log has it.
    pub text: String,
    /// The jail that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<String>,
    /// The host or network, as commands take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The country and the network of the host, as far as they are known.
    #[serde(flatten)]
    pub place: Place,
    /// The weakest evidence that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// The account that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Who ordered it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Of a check of the health: whether it is good now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<bool>,
    /// The name of that check; `None` for a warning about something that happened once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// Of an order about a pause: the one that is in force from then on, of `jail` if one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// More about a ban, or about what would have been one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban: Option<BanDetails>,
}

impl GuardEvent {
    /// Returns an event of which only the words are known.
    #[must_use]
    pub fn new(at: Time, kind: EventKind, text: impl Into<String>) -> Self {
        Self {
            at,
            kind,
            text: text.into(),
            jail: None,
            host: None,
            place: Place::default(),
            evidence: None,
            account: None,
            by: None,
            good: None,
            check: None,
            pause: None,
            ban: None,
        }
    }

    /// Returns that somebody ordered something.
    #[must_use]
    pub fn order(at: Time, text: impl Into<String>, by: impl fmt::Display) -> Self {
        Self { by: Some(by.to_string()), ..Self::new(at, EventKind::Order, text) }
    }

    /// Returns the same of what is told in these words, with who ordered it behind them.
    #[must_use]
    pub fn ordered(at: Time, words: impl fmt::Display, by: impl fmt::Display) -> Self {
        Self::order(at, format!("{words}, ordered by {by}"), by)
    }

    /// The same, which leaves this pause in force.
    #[must_use]
    pub fn leaving(self, pause: Pause) -> Self {
        Self { pause: Some(pause), ..self }
    }

    /// The same, about this host or network.
    #[must_use]
    pub fn about(self, host: impl fmt::Display) -> Self {
        Self { host: Some(host.to_string()), ..self }
    }
}

/// More about a ban.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanDetails {
    /// The name of the ports that are closed to the host, `sip` or `all` for example.
    pub ports: String,
    /// When it ends; `None`: never.
    pub until: Option<Time>,
    /// The offences that were counted; 0 for a ban by hand.
    pub attempts: u32,
    /// The rule that completed the count, as `filter/id`.
    pub rule: Option<String>,
    /// The accounts that the host tried lately, newest first. Names that are longer than eight characters are cut, and
    /// end with `*`.
    pub accounts: Vec<String>,
    /// When an account last logged in from there; `None`: none is known to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Time>,
    /// The last log lines that counted against it, oldest first.
    pub lines: Vec<String>,
}
