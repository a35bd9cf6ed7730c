//! The keys by which the nodes of a fleet sign (Ed25519), and the files that hold them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use thiserror::Error;

use crate::model::public_key::PublicKey;
use crate::model::trouble::Trouble;
use crate::sys::secret_file;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// What is signed. A signature of one thing is none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A record of a node.
    Record,
    /// The head of a node's snapshot.
    Snapshot,
    /// An order of the fleet's operator.
    Order,
}

impl Purpose {
    fn text(self) -> &'static [u8] {
        match self {
            Self::Record => b"asterguard fleet record 1\0",
            Self::Snapshot => b"asterguard fleet snapshot 1\0",
            Self::Order => b"asterguard fleet order 1\0",
        }
    }
}

/// The private key of a node, or of a fleet's operator.
pub struct PrivateKey(Ed25519KeyPair);

/// The system has no random numbers, or the bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this is no private key of `asterguard fleet keygen`")]
pub struct NoPrivateKey;

impl PrivateKey {
    /// Makes a key. Returns it with the text for its file.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<(Self, String), NoPrivateKey> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| NoPrivateKey)?;
        let text = STANDARD.encode(document.as_ref());
        Ok((Self::read(&text)?, text + "\n"))
    }

    /// Returns a random text, for a password: 256 bits in base64.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn random_text() -> Result<String, NoPrivateKey> {
        let random = ring::rand::generate::<[u8; 32]>(&SystemRandom::new());
        let bytes = random.map_err(|_| NoPrivateKey)?.expose();
        Ok(STANDARD.encode(bytes))
    }

    /// Reads the text of a file: PKCS #8 in base64, on one line.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(text: &str) -> Result<Self, NoPrivateKey> {
        let document = STANDARD.decode(text.trim_end()).map_err(|_| NoPrivateKey)?;
        Ed25519KeyPair::from_pkcs8(&document).map(Self).map_err(|_| NoPrivateKey)
    }

    /// Reads a file that nobody else may read.
    ///
    /// # Errors
    /// Returns what is wrong and what to do.
    pub fn read_file(path: &Path) -> Result<Self, Trouble> {
        let line = secret_file::read_line(path)?;
        Self::read(&line).map_err(|error| {
            let todo = format!("asterguard fleet keygen --out {}", path.display());
            Trouble::new(format!("{}: {error}", path.display()), todo)
        })
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey::new(bytes)
    }

    /// Signs bytes.
    #[must_use]
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> [u8; SIGNATURE] {
        let signature = self.0.sign(&[purpose.text(), bytes].concat());
        let mut signed = [0; SIGNATURE];
        signed.copy_from_slice(signature.as_ref());
        signed
    }
}

/// Whether the owner of `key` signed these bytes for this purpose.
#[must_use]
pub fn is_signed(key: &PublicKey, purpose: Purpose, bytes: &[u8], signature: &[u8]) -> bool {
    let message = [purpose.text(), bytes].concat();
    UnparsedPublicKey::new(&ED25519, key.bytes()).verify(&message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_one_purpose_and_all_bytes() {
        let (key, text) = PrivateKey::generate().unwrap();
        let again = PrivateKey::read(&text).unwrap();
        assert_eq!(again.public(), key.public());
        let signature = key.sign(Purpose::Record, b"abc");
        let good =
            |key: &PublicKey, purpose, bytes: &[u8]| is_signed(key, purpose, bytes, &signature);
        assert!(good(&key.public(), Purpose::Record, b"abc"));
        assert!(!good(&key.public(), Purpose::Snapshot, b"abc"));
        assert!(!good(&key.public(), Purpose::Record, b"abd"));
        let (other, _) = PrivateKey::generate().unwrap();
        assert!(!good(&other.public(), Purpose::Record, b"abc"));
        assert!(!good(&PublicKey::new([0; 32]), Purpose::Record, b"abc"));
        for wrong in ["", "AAAA", "no key", &text.replace('M', "N")] {
            assert!(PrivateKey::read(wrong).is_err());
        }
    }
}
