//! Whether a file is still what it was, without reading it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// By what a file is known to be the same: device and inode, time of change, size. `None`: it is
/// not there.
pub type FileStamp = Option<(u64, u64, i64, i64, u64)>;

/// The stamp of what is at `path` now.
#[must_use]
pub fn stamp(path: &Path) -> FileStamp {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.ctime(), data.ctime_nsec(), data.size()))
}

/// Whether what is at all of these paths still has the stamp that it had.
#[must_use]
pub fn are_current(seen: &BTreeMap<PathBuf, FileStamp>) -> bool {
    seen.iter().all(|(path, seen)| stamp(path) == *seen)
}
