//! What is signed: its signature, a version, and its content.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::keys::{PrivateKey, Purpose, SIGNATURE, is_signed};
use crate::model::public_key::PublicKey;

/// The layout. Another one is of a later version. What is sealed begins with it.
pub(super) const VERSION: u8 = 1;

/// The reason why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotARecord {
    /// It is longer than any.
    #[error("too large")]
    TooLarge,
    /// It cannot be read.
    #[error("damaged")]
    Damaged,
    /// It has the layout of another version.
    #[error("another version")]
    Version,
}

/// Returns the bytes of something with the signature of `key` before them.
pub(super) fn seal(what: &impl Serialize, purpose: Purpose, key: &PrivateKey) -> Vec<u8> {
    // Nothing in it can fail to be written.
    let bytes = postcard::to_stdvec(what).unwrap_or_default();
    [&key.sign(purpose, &bytes)[..], &bytes].concat()
}

/// Reads what is sealed, of `longest` bytes at most. The signature is not checked.
///
/// # Errors
/// See [`NotARecord`].
pub(super) fn open<T: DeserializeOwned>(bytes: &[u8], longest: usize) -> Result<T, NotARecord> {
    if bytes.len() > longest {
        return Err(NotARecord::TooLarge);
    }
    let bytes = bytes.get(SIGNATURE..).ok_or(NotARecord::Damaged)?;
    match bytes.first() {
        Some(&VERSION) => {}
        Some(_) => return Err(NotARecord::Version),
        None => return Err(NotARecord::Damaged),
    }
    match postcard::take_from_bytes::<T>(bytes) {
        Ok((what, [])) => Ok(what),
        _ => Err(NotARecord::Damaged),
    }
}

/// Whether sealed bytes are signed with the key of this public key.
#[must_use]
pub(super) fn is_sealed(bytes: &[u8], purpose: Purpose, key: &PublicKey) -> bool {
    let parts = bytes.split_at_checked(SIGNATURE);
    parts.is_some_and(|(signature, bytes)| is_signed(key, purpose, bytes, signature))
}
