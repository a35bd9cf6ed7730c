//! Networks that are exempt from bans or always blocked, and why.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::subject::{bannable, canonical_net};

/// The place where an entry is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileLine {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An entry of a list of one's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedNetwork {
    /// The network.
    pub net: IpNet,
    /// The place where it is written.
    pub place: FileLine,
}

/// The reason why a network is never banned, in the order in which entries are kept when there are
/// too many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "lowercase")]
pub enum ExemptReason {
    /// It is in `ignoreip`, or a name there has it.
    Ignoreip {
        /// The entry.
        entry: String,
    },
    /// It is in `allow`, or in a file of `allowfiles`.
    Allow {
        /// The file.
        file: Arc<str>,
        /// The line there.
        line: usize,
    },
    /// Somebody ordered it while the guard runs.
    Order {
        /// The person.
        by: String,
        /// The person's own words.
        comment: Option<String>,
        /// The time when it ends, as in RFC 3339; `None`: it has to be taken back.
        until: Option<String>,
    },
    /// It is an address of this machine.
    Own,
    /// A default route goes through it.
    Gateway,
    /// Names are looked up there.
    Resolver {
        /// The file that says so.
        file: String,
    },
    /// An administrator is logged in from there.
    Session {
        /// The user.
        user: String,
    },
    /// Asterisk's configuration knows it by address or name.
    Trunk {
        /// The section.
        name: String,
        /// The file.
        file: String,
    },
}

impl ExemptReason {
    /// Returns what kind it is, in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ignoreip { .. } => "ignoreip",
            Self::Allow { .. } => "allow",
            Self::Order { .. } => "order",
            Self::Own => "own",
            Self::Gateway => "gateway",
            Self::Resolver { .. } => "resolver",
            Self::Session { .. } => "session",
            Self::Trunk { .. } => "trunk",
        }
    }
}

/// Fits into "192.0.2.1 is …".
impl fmt::Display for ExemptReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignoreip { entry } => write!(f, "in ignoreip ({entry})"),
            Self::Allow { file, line } => write!(f, "in allow ({file}:{line})"),
            Self::Order { by, comment, until } => {
                write!(f, "allowed by {by}")?;
                if let Some(until) = until {
                    write!(f, " until {until}")?;
                }
                comment.as_ref().map_or(Ok(()), |comment| write!(f, ": {comment}"))
            }
            Self::Own => f.write_str("an address of this machine"),
            Self::Gateway => f.write_str("the gateway"),
            Self::Resolver { file } => write!(f, "a resolver ({file})"),
            Self::Session { user } => write!(f, "where {user} is logged in from"),
            Self::Trunk { name, file } => write!(f, "the trunk {name} ({file})"),
        }
    }
}

/// A network that is never banned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExemptNetwork {
    /// The reason.
    #[serde(flatten)]
    pub origin: ExemptReason,
    /// The network; an IPv4 network is always spelt as one (see [`canonical_net`]).
    pub net: IpNet,
}

impl ExemptNetwork {
    /// An entry for a network.
    #[must_use]
    pub fn new(net: impl Into<IpNet>, origin: ExemptReason) -> Self {
        Self { origin, net: canonical_net(net.into()) }
    }
}

/// Returns why a network cannot be blocked, whichever list says so.
#[must_use]
pub fn unblockable(net: &IpNet) -> Option<&'static str> {
    if too_wide(net) {
        return Some("networks wider than /8 (IPv6: /16) are not blocked");
    }
    let harmless = bannable(net.addr()) && bannable(net.broadcast());
    (!harmless).then_some(
        "loopback, link-local, multicast and unspecified addresses cannot be blocked: that would cut this machine off",
    )
}

/// Whether a network is wider than /8, or /16 of IPv6: so wide that no order about it can be meant.
#[must_use]
pub fn too_wide(net: &IpNet) -> bool {
    net.prefix_len() < if matches!(net, IpNet::V4(_)) { 8 } else { 16 }
}
