//! The record of what setup wrote: for each file its bytes before and after, so that all of it can be taken back.
//!
//! It is readable for root alone, and one that somebody else could have written is not used. An entry is written ahead of
//! the file that it is about.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sys::replace::replace;

/// The name of the list of entries.
const LIST: &str = "record.json";

/// One thing that setup did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It wrote a file.
    File {
        /// Its path.
        path: PathBuf,
        /// The file of the record with the bytes before; `None`: there was no such file.
        old: Option<String>,
        /// The file of the record with the bytes after.
        new: String,
        /// The directories that it made for that.
        directories: Vec<PathBuf>,
    },
    /// It added a user to a group.
    Group { user: String, group: String },
    /// It had Asterisk load a module.
    Module { name: String },
}

/// The reason why the record cannot be used.
#[derive(Debug, Error)]
#[error("{}: {error}", path.display())]
pub struct RecordError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: io::Error,
}

/// All that setup did and did not take back, in order.
#[derive(Debug)]
pub struct Record {
    directory: PathBuf,
    entries: Vec<Entry>,
    next: u64,
}

/// Refuses a directory that is another user's, or that others can write into: root writes what is in it into `/etc`.
fn refuse_others(directory: &Path) -> Result<(), RecordError> {
    let wrong = |error| RecordError { path: directory.to_owned(), error };
    match fs::symlink_metadata(directory) {
        Ok(meta)
            if meta.is_dir() && meta.uid() == geteuid().as_raw() && meta.mode() & 0o022 == 0 =>
        {
            Ok(())
        }
        Ok(_) => Err(wrong(io::Error::other("others could have written it, so it is not used"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(wrong(error)),
    }
}

#[derive(Serialize, Deserialize)]
struct List {
    next: u64,
    entries: Vec<Entry>,
}

impl Record {
    /// Reads the record in this directory; one that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(LIST);
        refuse_others(directory)?;
        let list = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| RecordError { path, error: error.into() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                List { next: 0, entries: Vec::new() }
            }
            Err(error) => return Err(RecordError { path, error }),
        };
        Ok(Self { directory: directory.to_owned(), entries: list.entries, next: list.next })
    }

    /// What setup did, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Adds that a file is written.
    ///
    /// # Errors
    /// When the record cannot be written: then the file must not be either.
    pub fn add_file(
        &mut self,
        path: &Path,
        old: Option<&[u8]>,
        new: &[u8],
        directories: Vec<PathBuf>,
    ) -> Result<(), RecordError> {
        let number = self.next;
        let old_name = format!("{number}.old");
        if let Some(old) = old {
            self.put(&old_name, old)?;
        }
        let new_name = format!("{number}.new");
        self.put(&new_name, new)?;
        self.add(Entry::File {
            path: path.to_owned(),
            old: old.map(|_| old_name),
            new: new_name,
            directories,
        })
    }

    /// Adds what was done besides.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn add(&mut self, entry: Entry) -> Result<(), RecordError> {
        self.next += 1;
        self.entries.push(entry);
        self.save()
    }

    /// The bytes that a file of the record has.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, RecordError> {
        let path = self.directory.join(name);
        fs::read(&path).map_err(|error| RecordError { path, error })
    }

    /// Keeps these entries only; without any, nothing is left of the record.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn keep(&mut self, entries: Vec<Entry>) -> Result<(), RecordError> {
        let gone: Vec<_> =
            self.entries.iter().filter(|entry| !entries.contains(entry)).cloned().collect();
        self.entries = entries;
        if self.entries.is_empty() {
            return match fs::remove_dir_all(&self.directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(RecordError { path: self.directory.clone(), error })
                }
                _ => Ok(()),
            };
        }
        self.save()?;
        for entry in gone {
            if let Entry::File { old, new, .. } = entry {
                for name in old.iter().chain([&new]) {
                    // Bytes that no entry names any more do no harm.
                    let _ = fs::remove_file(self.directory.join(name));
                }
            }
        }
        Ok(())
    }

    fn save(&self) -> Result<(), RecordError> {
        let list = List { next: self.next, entries: self.entries.clone() };
        let path = self.directory.join(LIST);
        let bytes = serde_json::to_vec_pretty(&list)
            .map_err(|error| RecordError { path, error: error.into() })?;
        self.put(LIST, &bytes)
    }

    /// Writes a file of the record, whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), RecordError> {
        let path = self.directory.join(name);
        let write = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            replace(&path, bytes, 0o600, |_| Ok(()))
        };
        write().map_err(|error| RecordError { path: path.clone(), error })
    }
}
