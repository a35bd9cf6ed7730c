//! Takes back what setup wrote, the last first: only where a file still is what setup made of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::apply::{read, write};
use super::difference;
use super::record::{Entry, Record, RecordError};
use super::survey::Owner;
use crate::sys::program::Program;

/// What became of one entry of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// The file has its old bytes again.
    Restored(PathBuf),
    /// The file, which setup made, is gone.
    Removed(PathBuf),
    /// The file was as before already.
    AsBefore(PathBuf),
    /// The file is neither what setup wrote nor what was there before: it stays as it is.
    Changed {
        /// Its path.
        path: PathBuf,
        /// What somebody changed since, as `diff -u` shows it.
        difference: String,
    },
    /// The user left the group.
    LeftGroup { user: String, group: String },
    /// Asterisk loaded this module for setup.
    Module(String),
    /// It could not be taken back.
    Failed(String),
}

/// The reason why nothing can be taken back.
#[derive(Debug, Error)]
pub enum UndoError {
    /// The record cannot be read or written.
    #[error("the record of what was changed: {0}")]
    Record(#[from] RecordError),
}

/// Takes back all that the record has, or says for each entry why not: that stays in the record.
///
/// # Errors
/// When the record cannot be read or written.
pub fn undo(record: &mut Record) -> Result<Vec<Undone>, UndoError> {
    let mut done = Vec::new();
    let mut left = Vec::new();
    for entry in record.entries().iter().rev() {
        let result = match entry {
            Entry::File { path, old, new, directories } => {
                let old = old.as_deref().map(|name| record.bytes(name)).transpose()?;
                let new = record.bytes(new)?;
                file(path, old.as_deref(), &new, directories)
                    .unwrap_or_else(|error| Undone::Failed(format!("{}: {error}", path.display())))
            }
            Entry::Group { user, group } => leave(user, group),
            Entry::Module { name } => Undone::Module(name.clone()),
        };
        if matches!(result, Undone::Changed { .. } | Undone::Failed(_)) {
            left.push(entry.clone());
        }
        done.push(result);
    }
    left.reverse();
    record.keep(left)?;
    Ok(done)
}

fn file(
    path: &Path,
    old: Option<&[u8]>,
    new: &[u8],
    directories: &[PathBuf],
) -> io::Result<Undone> {
    let now = read(path)?;
    if now.as_deref() == old {
        return Ok(Undone::AsBefore(path.to_owned()));
    }
    if now.as_deref() != Some(new) {
        let name = path.display().to_string();
        let difference = difference(&name, Some(new), now.as_deref(), &[]);
        return Ok(Undone::Changed { path: path.to_owned(), difference });
    }
    let Some(old) = old else {
        fs::remove_file(path)?;
        for directory in directories {
            // One that others use since stays.
            let _ = fs::remove_dir(directory);
        }
        return Ok(Undone::Removed(path.to_owned()));
    };
    // The file is there, so it keeps its own.
    write(path, old, Owner { uid: 0, gid: 0, mode: 0o600 })?;
    Ok(Undone::Restored(path.to_owned()))
}

fn leave(user: &str, group: &str) -> Undone {
    match Program::with_argv(["gpasswd"]).run(&["-d", user, group], b"") {
        Ok(_) => Undone::LeftGroup { user: user.to_owned(), group: group.to_owned() },
        Err(error) => Undone::Failed(format!("{user} in the group {group}: {error}")),
    }
}
