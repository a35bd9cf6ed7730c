//! The files that make a restart no chance for replays: the epoch of this node, and how far each peer was read. And the
//! operator's orders of the last minutes: the process ends whenever the configuration changes.

use std::io;
use std::path::Path;

use super::admission::Read;
use super::orders::{Kept, MOST_ORDERS};
use super::protocol::MOST_PEERS;
use crate::sys::replace::replace;
use crate::sys::text_file::read_bytes;

const MODE: u32 = 0o600;
/// Bytes of the file with the positions of [`MOST_PEERS`] peers.
const LARGEST: u64 = 4 << 20;
/// Bytes of the file with [`MOST_ORDERS`] orders.
const LARGEST_ORDERS: u64 = 64 << 10;

/// Returns the epoch of a start at this time (seconds since the epoch): higher than all before it.
#[must_use]
pub fn next_epoch(state: &Path, now: i64) -> u64 {
    let before = read_bytes(&state.join("epoch"), 64).ok();
    let before = before.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<u64>().ok());
    let now = u64::try_from(now).unwrap_or(1);
    before.map_or(now, |before| now.max(before.saturating_add(1)))
}

/// Keeps the epoch.
///
/// # Errors
/// When the file cannot be written.
pub fn keep_epoch(state: &Path, epoch: u64) -> io::Result<()> {
    replace(&state.join("epoch"), format!("{epoch}\n").as_bytes(), MODE, |_| Ok(()))
}

/// Returns how far each peer was read. If the file is missing or damaged, that is unknown.
#[must_use]
pub fn read(state: &Path) -> Read {
    let bytes = read_bytes(&state.join("read"), LARGEST).unwrap_or_default();
    let read: Read = postcard::from_bytes(&bytes).unwrap_or_default();
    if read.len() <= MOST_PEERS { read } else { Read::new() }
}

/// Keeps how far each peer was read.
///
/// # Errors
/// When the file cannot be written.
pub fn keep(state: &Path, read: &Read) -> io::Result<()> {
    let bytes = postcard::to_stdvec(read).map_err(io::Error::other)?;
    replace(&state.join("read"), &bytes, MODE, |_| Ok(()))
}

/// Returns the operator's orders that were kept. If the file is missing or damaged, there are none.
#[must_use]
pub fn read_orders(state: &Path) -> Vec<Kept> {
    let bytes = read_bytes(&state.join("orders"), LARGEST_ORDERS).unwrap_or_default();
    let mut orders: Vec<Kept> = postcard::from_bytes(&bytes).unwrap_or_default();
    orders.truncate(MOST_ORDERS);
    orders
}

/// Keeps the operator's orders.
///
/// # Errors
/// When the file cannot be written.
pub fn keep_orders(state: &Path, orders: &[Kept]) -> io::Result<()> {
    let bytes = postcard::to_stdvec(orders).map_err(io::Error::other)?;
    replace(&state.join("orders"), &bytes, MODE, |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::fleet::record::Position;

    #[test]
    fn epochs_grow_whatever_the_clock_says() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(next_epoch(state.path(), 1000), 1000);
        keep_epoch(state.path(), 1000).unwrap();
        assert_eq!([next_epoch(state.path(), 5), next_epoch(state.path(), 2000)], [1001, 2000]);
    }

    #[test]
    fn what_was_read_is_kept_and_damage_is_nothing() {
        let state = tempfile::tempdir().unwrap();
        let at = |sequence| Position { epoch: 7, sequence };
        let kept = Read::from([("pbx2".parse().unwrap(), (at(3), at(2)))]);
        keep(state.path(), &kept).unwrap();
        assert_eq!(read(state.path()), kept);
        fs::write(state.path().join("read"), b"\xff\xff\xff\xff\xff").unwrap();
        assert_eq!(read(state.path()), Read::new());
    }
}
