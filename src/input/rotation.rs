//! Finds the files that a log was rotated to.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::glob::Rotated;
use super::log_file::{FileId, LogFile};

/// The number of times that a directory is listed before it counts as in motion.
const MAX_LISTINGS: usize = 8;

/// The number of rotated files of one log that are looked at.
const MAX_SIBLINGS: usize = 4096;

/// A rotated log next to the live one, as it was when the directory was listed.
#[derive(Debug)]
pub(super) struct Sibling {
    path: PathBuf,
    pub(super) id: FileId,
    number: u64,
    modified: SystemTime,
    created: Option<SystemTime>,
    pub(super) length: u64,
}

impl Sibling {
    fn new(entry: &DirEntry, live: &OsStr) -> Option<Self> {
        let name = entry.file_name();
        let rotated = Rotated::parse(&name)?;
        if rotated.compressed || !rotated.is_of(live) {
            return None;
        }
        let meta = entry.metadata().ok()?;
        meta.is_file().then_some(Self {
            path: entry.path(),
            id: FileId::of(&meta),
            number: rotated.number,
            modified: meta.modified().ok()?,
            created: meta.created().ok(),
            length: meta.len(),
        })
    }

    /// Opens it; `None` if it cannot be read.
    pub(super) fn open(&self) -> Result<Option<LogFile>, InMotion> {
        let opened = LogFile::open(&self.path);
        // Asked of the path and not of the file: on old overlay file systems they differ.
        let meta = fs::symlink_metadata(&self.path).map_err(|_| InMotion)?;
        if FileId::of(&meta) == self.id { Ok(opened.ok()) } else { Err(InMotion) }
    }
}

/// Files are being renamed just now: look again later.
#[derive(Debug)]
pub(super) struct InMotion;

/// The uncompressed regular files with names that the log at `path` may have been rotated to, at
/// most 4096.
///
/// A listing misses files that are renamed meanwhile, so directories are listed until two listings
/// in a row are the same.
pub(super) fn siblings(path: &Path) -> Result<Vec<Sibling>, InMotion> {
    let same = |a: &[Sibling], b: &[Sibling]| {
        a.iter().map(|s| (&s.path, s.id)).eq(b.iter().map(|s| (&s.path, s.id)))
    };
    let mut last = list(path);
    for _ in 1..MAX_LISTINGS {
        let again = list(path);
        if same(&again, &last) {
            return Ok(again);
        }
        last = again;
    }
    Err(InMotion)
}

/// The files that took the place of `old` at `path` after it and were rotated away as well, in the
/// order in which they were written.
///
/// Of Asterisk's strategies, `sequential` gives the newest file the highest number, `rotate` the
/// lowest, and `timestamp` appends the time. But whatever the names: each file was created and
/// last written to after `old` was. Where files were written in one tick of the file system's
/// clock, the distance of their numbers from that of `old` gives their order, in each strategy.
pub(super) fn successors(path: &Path, old: &LogFile) -> Result<Vec<Sibling>, InMotion> {
    let Ok(written) = old.modified() else { return Ok(Vec::new()) };
    let mut siblings = siblings(path)?;
    let origin = siblings.iter().find(|own| own.id == old.id).map_or(0, |own| own.number);
    siblings.retain(|sibling| {
        // A touched or copied file has a new time of writing, but a touched one is no newer.
        let was_there = matches!((sibling.created, old.created), (Some(a), Some(b)) if a < b);
        sibling.id != old.id && sibling.length > 0 && sibling.modified >= written && !was_there
    });
    siblings.sort_by_key(|s| (s.modified, s.created, s.number.abs_diff(origin)));
    Ok(siblings)
}

fn list(path: &Path) -> Vec<Sibling> {
    let mut found = list_beside(path);
    // If the path is a link, its target may be what is rotated.
    if let Ok(target) = fs::canonicalize(path) {
        for sibling in list_beside(&target) {
            if found.iter().all(|known| known.id != sibling.id) {
                found.push(sibling);
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn list_beside(path: &Path) -> Vec<Sibling> {
    let Some(name) = path.file_name() else { return Vec::new() };
    // The target of a link can have the name of a rotated file itself, with a date for example.
    let live = Rotated::parse(name).map_or_else(|| name.to_owned(), |name| name.live_name());
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let entries = entries.filter_map(Result::ok);
    entries.filter_map(|entry| Sibling::new(&entry, &live)).take(MAX_SIBLINGS).collect()
}
