//! Lines of JSON, as processes of ours say them to each other.

use serde::{Deserialize, Serialize};

/// Reads a line of the other side; `None` if it makes no sense.
#[must_use]
pub fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

/// Returns a line for the other side, with its line feed.
#[must_use]
pub fn line(what: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(what).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
