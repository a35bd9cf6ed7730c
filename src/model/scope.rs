//! The scope of a ban: which ports it closes, and how.

use serde::{Deserialize, Serialize};

/// The kernel's answer to a banned host's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blocktype {
    /// Silence.
    #[default]
    Drop,
    /// A TCP reset, or ICMP port unreachable.
    Reject,
}

/// The ports that a scope closes, over UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ports {
    /// All ports and all protocols.
    All,
    /// These ranges, both ends included, in ascending order, not overlapping.
    Ranges(Vec<(u16, u16)>),
}

impl Ports {
    /// Whether a port is one of them.
    #[must_use]
    pub fn contain(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Ranges(ranges) => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
            }
        }
    }
}
