//! A public key of a guard, or of somebody who signs for a fleet.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bytes of a key.
const BYTES: usize = 32;
/// Characters of a key as text.
const CHARACTERS: usize = 44;

/// A public key for Ed25519 signatures (RFC 8032). As text it is base64, as keys of `WireGuard` are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; BYTES]);

/// A text that is no [`PublicKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a public key has 44 characters of base64, as `asterguard fleet keygen` prints them")]
pub struct NotAKey;

impl PublicKey {
    /// Returns the key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        if text.len() != CHARACTERS {
            return Err(NotAKey);
        }
        let bytes = STANDARD.decode(text).map_err(|_| NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| NotAKey)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back_and_nothing_else() {
        let key = PublicKey::new(std::array::from_fn(|place| u8::try_from(place * 8).unwrap()));
        assert_eq!(key.to_string().parse(), Ok(key));
        let text = key.to_string();
        let long = format!("{text}{text}");
        for wrong in ["", "AAAA", &long, &text.replace('=', "A"), &text.replace('=', " "), "ä"] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotAKey), "{wrong}");
        }
    }
}
