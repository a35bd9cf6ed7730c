//! The reasons why something of the fleet is not taken.

use thiserror::Error;

use super::sealed::NotARecord;

/// The reason why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Its node is no peer.
    #[error("no peer")]
    Stranger,
    /// Its node is a peer no longer.
    #[error("revoked")]
    Revoked,
    /// The peer says more than it may.
    #[error("too fast")]
    TooFast,
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(NotARecord),
    /// It names another node than its channel.
    #[error("another node's name")]
    Name,
    /// Its signature is not that of the peer.
    #[error("forged")]
    Forged,
    /// It, or a later one, was there before.
    #[error("replayed")]
    Replayed,
    /// It bans something else than one host.
    #[error("not one host")]
    NotAHost,
    /// Its texts are no names.
    #[error("no names")]
    NoNames,
    /// It rests on evidence that is not taken.
    #[error("evidence")]
    Evidence,
    /// It has ended.
    #[error("over")]
    Over,
    /// The peer has as many bans in force as it may have.
    #[error("too many bans")]
    TooMany,
    /// It is no order of the operator, or an old one.
    #[error("no order")]
    NoOrder,
}

impl Refusal {
    /// Returns the reason as one word, for counting.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Revoked => "revoked",
            Self::TooFast => "too-fast",
            Self::Unreadable(NotARecord::TooLarge) => "too-large",
            Self::Unreadable(NotARecord::Damaged) => "damaged",
            Self::Unreadable(NotARecord::Version) => "another-version",
            Self::Name => "foreign-name",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::NotAHost => "not-a-host",
            Self::NoNames => "no-names",
            Self::Evidence => "evidence",
            Self::Over => "over",
            Self::TooMany => "too-many",
            Self::NoOrder => "no-order",
        }
    }
}
