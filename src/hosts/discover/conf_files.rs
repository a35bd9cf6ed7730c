//! The files of Asterisk's configuration on disk, up to a bound.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use glob::GlobError;

use crate::hosts::asterisk::conf::Files;
use crate::sys::file_stamp::{FileStamp, stamp};
use crate::sys::text_file::{self, FileError};

/// Files at most, and their bytes in all.
pub(super) const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 16 << 20;

/// Hands files out, and remembers what they were like.
#[derive(Debug)]
pub struct ConfFiles<'a> {
    directory: &'a Path,
    seen: BTreeMap<PathBuf, FileStamp>,
    files: usize,
    left: u64,
    left_out: Vec<String>,
}

impl<'a> ConfFiles<'a> {
    /// The files of this directory, as they are now.
    #[must_use]
    pub fn new(directory: &'a Path) -> Self {
        let (seen, left_out) = (BTreeMap::new(), Vec::new());
        let mut disk = Self { directory, seen, files: 0, left: MOST_BYTES, left_out };
        disk.see(directory);
        disk
    }

    /// Returns what files and directories were like when they were looked at, and what was left
    /// out, for people.
    pub(super) fn finish(self) -> (BTreeMap<PathBuf, FileStamp>, Vec<String>) {
        (self.seen, self.left_out)
    }

    /// Returns what was left out, for people.
    #[must_use]
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Remembers what is at `path` now: before it is read, so that a change meanwhile is seen.
    fn see(&mut self, path: &Path) {
        if self.seen.len() < 2 * MOST_FILES {
            self.seen.entry(path.to_owned()).or_insert_with(|| stamp(path));
        }
    }

    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        self.see(path);
        if self.files >= MOST_FILES || self.left == 0 {
            return self.refuse(path, "there is too much of it");
        }
        let mut bytes = Vec::new();
        let read = text_file::open_regular(path)
            .and_then(|(file, _)| Ok(file.take(self.left).read_to_end(&mut bytes)?));
        match read {
            Ok(read) => {
                self.files += 1;
                self.left -= read as u64;
                Some(bytes)
            }
            // A pattern may name directories besides files.
            Err(FileError::NotRegular(_)) => Some(bytes),
            Err(FileError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => self.refuse(path, &error.to_string()),
        }
    }

    fn refuse(&mut self, path: &Path, why: &str) -> Option<Vec<u8>> {
        if self.left_out.len() < 16 {
            let path = path.display();
            self.left_out.push(format!("{path} was not read: {why}"));
        }
        None
    }
}

impl Files for ConfFiles<'_> {
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
        let whole = self.directory.join(pattern);
        if let Some(parent) = whole.parent() {
            self.see(parent);
        }
        let paths: Vec<_> = match whole.to_str().map(glob::glob) {
            Some(Ok(paths)) if pattern.contains(['*', '?', '[']) => {
                paths.take(MOST_FILES + 1).collect()
            }
            _ => vec![Ok(whole)],
        };
        let named = |path: Result<PathBuf, GlobError>| match path {
            Ok(path) => Some((path.display().to_string(), self.read(&path)?)),
            Err(hidden) => {
                self.refuse(hidden.path(), &hidden.error().to_string());
                None
            }
        };
        paths.into_iter().filter_map(named).collect()
    }
}
