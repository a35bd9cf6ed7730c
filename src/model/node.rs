//! The name of a guard in a fleet.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a name.
pub const LONGEST_NODE: usize = 63;

/// The name of a guard in a fleet: 1 to 63 lower-case letters, digits and hyphens, with a letter or digit first. It is a
/// part of keys of the server, where it has to need no escaping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// A text that is no [`NodeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a node's name has 1 to 63 lower-case letters, digits and hyphens, and begins with a letter or digit"
)]
pub struct NotANode;

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, NotANode> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = text.bytes().all(|byte| letter(byte) || byte == b'-');
        if text.len() <= LONGEST_NODE && allowed && text.bytes().next().is_some_and(letter) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotANode)
        }
    }
}

impl TryFrom<String> for NodeName {
    type Error = NotANode;

    fn try_from(text: String) -> Result<Self, NotANode> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_escaping() {
        for good in ["pbx1", "9", "a-b", &"a".repeat(63)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a b", "a:b", "a{b", "a*", "ä", &"a".repeat(64)] {
            assert_eq!(bad.parse::<NodeName>(), Err(NotANode), "{bad}");
        }
    }
}
