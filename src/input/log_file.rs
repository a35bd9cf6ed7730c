//! One open log file: its identity, by number and by content, and reads that never block.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::source::SourceCheckpoint;
use crate::sys::text_file::{self, FileError};

/// The number of a file's first bytes, and of those before a position, that are remembered.
pub(super) const FINGERPRINT: usize = 256;

/// The reason why a path cannot be followed now. It is tried again at each poll.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FollowError {
    /// There is nothing by that name, or its directory is missing.
    #[error("there is no such file yet; it is followed as soon as it appears")]
    Missing,
    /// Something else goes by that name.
    #[error("it is a {0}, not a regular file; name a log file")]
    NotAFile(&'static str),
    /// The file or a directory above it may not be read.
    #[error("permission denied; let the guard's user read it, for example through its group")]
    Denied,
    /// The error that the system gave instead.
    #[error("{0}")]
    Failed(String),
    /// The reason that the helper gave which reads the source, and what to do.
    #[error("{0}")]
    Helper(String),
}

impl From<io::Error> for FollowError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<FileError> for FollowError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotRegular(kind) => Self::NotAFile(kind),
            FileError::Io(error) => error.into(),
            FileError::TooLarge(_) => Self::Failed(error.to_string()),
        }
    }
}

/// A place in a log file, and how to recognise the file: plain data, to be kept over a restart.
///
/// The file may have been renamed or copied since. It is the same if its first bytes and the bytes
/// before the place are the same; numbers alone prove nothing, because inode numbers are used again
/// and device numbers change over a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The number of the device that the file was on.
    pub dev: u64,
    /// The file's inode number.
    pub ino: u64,
    /// The number of the file's bytes that are done with: the place where the next line begins.
    pub offset: u64,
    /// The file's first bytes, at most 256; fewer only if fewer had been read.
    pub fingerprint: Vec<u8>,
    /// The bytes right before `offset`, at most 256.
    pub before: Vec<u8>,
}

impl Position {
    /// The end of a file that need not be readable, known by its number alone; `None` if there is no file.
    ///
    /// # Errors
    /// Returns an error if it cannot be seen, or is no regular file.
    pub fn end_of(path: &Path) -> Result<Option<Self>, FollowError> {
        let meta = match fs::metadata(path).map_err(FollowError::from) {
            Ok(meta) => meta,
            Err(FollowError::Missing) => return Ok(None),
            Err(why) => return Err(why),
        };
        text_file::refuse_irregular(&meta)?;
        let FileId { dev, ino } = FileId::of(&meta);
        let (fingerprint, before) = (Vec::new(), Vec::new());
        Ok(Some(Self { dev, ino, offset: meta.len(), fingerprint, before }))
    }

    /// Writes the position as the checkpoint of its source: JSON, as version 0.1.0 stored it.
    #[must_use]
    pub fn to_checkpoint(&self) -> SourceCheckpoint {
        // Numbers always become JSON.
        SourceCheckpoint::new(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what [`Position::to_checkpoint`] wrote; `None` if it makes no sense.
    #[must_use]
    pub fn from_checkpoint(checkpoint: &SourceCheckpoint) -> Option<Self> {
        serde_json::from_slice(checkpoint.as_bytes()).ok()
    }
}

/// The kernel's number of a file. Unique among files that exist or are held open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    dev: u64,
    ino: u64,
}

impl FileId {
    pub(super) fn of(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    file: File,
    /// The time when the file was created, if the file system knows.
    pub(super) created: Option<SystemTime>,
}

impl LogFile {
    /// Opens the file that `path` (or the symbolic link there) names now. Never waits, and never
    /// opens anything but a regular file.
    pub(super) fn open(path: &Path) -> Result<Self, FollowError> {
        let (file, meta) = text_file::open_regular(path)?;
        let (id, created) = (FileId::of(&meta), meta.created().ok());
        Ok(Self { path: path.to_owned(), id, file, created })
    }

    /// The length in bytes.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Returns the time when the file was last written to.
    pub(super) fn modified(&self) -> io::Result<SystemTime> {
        self.file.metadata()?.modified()
    }

    /// Reads at `offset`: the number of bytes, 0 at the end of the file.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The bytes right before `offset`, at most `length` of them.
    pub(super) fn read_before(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let begin = offset.saturating_sub(length as u64);
        let mut bytes = vec![0; usize::try_from(offset - begin).unwrap_or(length)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self
                .read_at(bytes.get_mut(filled..).unwrap_or_default(), begin + filled as u64)?
            {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// The first bytes, at most [`FINGERPRINT`].
    pub(super) fn fingerprint(&self) -> io::Result<Vec<u8>> {
        self.read_before(FINGERPRINT as u64, FINGERPRINT)
    }

    /// Whether this is the file that `position` was taken in, or a copy of it, by its content. So
    /// that a coincidence is impossible, the inode number has to agree too where little was read.
    pub(super) fn continues(&self, position: &Position) -> io::Result<bool> {
        let certain = position.fingerprint.len() == FINGERPRINT || position.ino == self.id.ino;
        Ok(certain && self.has_content_of(position)?)
    }

    /// Whether this file holds what was read up to `position`, as far as that is known.
    pub(super) fn has_content_of(&self, position: &Position) -> io::Result<bool> {
        Ok(self.len()? >= position.offset
            && self.fingerprint()?.starts_with(&position.fingerprint)
            && self.read_before(position.offset, position.before.len())? == position.before)
    }

    /// A position in this file.
    pub(super) fn position(&self, offset: u64, fingerprint: &[u8], before: &[u8]) -> Position {
        Position {
            dev: self.id.dev,
            ino: self.id.ino,
            offset,
            fingerprint: fingerprint.to_vec(),
            before: before.to_vec(),
        }
    }
}
