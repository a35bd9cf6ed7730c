//! The seam between what hands out lines and what reads them: a source, its name, and the place to
//! go on at in it later.
//!
//! A new kind of source is a variant of [`SourceKey`] and a type of its own that implements
//! [`LineSource`].

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::follower::Follower;
use super::line_splitter::Region;
use super::log_file::{FollowError, Position};
use super::remote::Remotes;
use crate::model::remote_source::RemoteSource;

/// Hands out the lines of one source; never blocks, never fails: see [`LineSource::state`].
pub trait LineSource: fmt::Debug + Send {
    /// Reads what there is, up to its present end or to about `budget` bytes. `each` gets all
    /// complete lines, in order.
    fn poll(&mut self, budget: u64, each: &mut dyn FnMut(Region<'_>)) -> Poll;

    /// Returns where to go on later: right after the last line that was handed out. `None` while
    /// there is nothing to go on in.
    fn checkpoint(&self) -> Option<SourceCheckpoint>;

    /// Returns how the source fared at the last poll.
    fn state(&self) -> &SourceState;

    /// Returns what `asterguard status` shows of the source besides.
    fn status(&self) -> SourceNumbers;
}

/// The place to go on at in a source: bytes that only its kind of source reads. At most some KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCheckpoint(Vec<u8>);

impl SourceCheckpoint {
    /// Wraps what a source has written, or what was stored of it.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The place where reading begins in a source that is there from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// At its first line.
    Start,
    /// After its last complete line.
    End,
}

/// The state of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It is open and is read.
    Following,
    /// It is not there. One that was there before is still read.
    Waiting {
        /// The error that says what is missing.
        why: FollowError,
    },
    /// There is something that cannot be read. One that was there before is still read.
    Unreadable {
        /// The error that says what is wrong with it.
        why: FollowError,
    },
}

impl From<FollowError> for SourceState {
    fn from(why: FollowError) -> Self {
        match why {
            FollowError::Missing => Self::Waiting { why },
            _ => Self::Unreadable { why },
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Following => f.write_str("following"),
            Self::Waiting { why } => write!(f, "waiting: {why}"),
            Self::Unreadable { why } => write!(f, "unreadable: {why}"),
        }
    }
}

/// The events that happen to a source, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEvent {
    /// Reading begins in this file (the path's own, or one that was rotated away meanwhile) at
    /// this offset in bytes.
    Opened {
        /// The name by which it was found.
        file: PathBuf,
        /// The offset where reading begins.
        offset: u64,
    },
    /// The file was emptied in place. With `copy`, what had not been read is read from that copy
    /// first; without, it is lost, if there was any.
    Truncated {
        /// The copy that was made before, if it holds more than had been read.
        copy: Option<PathBuf>,
    },
    /// There is so much to read after a restart that this many bytes are left out.
    PassedOver {
        /// The number of these bytes.
        bytes: u64,
    },
    /// The last line of a file that was left had no end: this many bytes were dropped.
    RestDropped {
        /// Length of the rest.
        bytes: usize,
    },
    /// Lines may be missing here.
    Gap {
        /// Since when, and why.
        why: String,
    },
    /// The open source could not be read; it is opened again.
    ReadFailed {
        /// The error that the system gave.
        error: String,
    },
}

/// The result of one poll.
#[derive(Debug, Default)]
pub struct Poll {
    /// The number of bytes that were read.
    pub bytes: u64,
    /// The budget ran out: poll again without waiting for anything.
    pub more: bool,
    /// Lines from before the start are still to come, although there are none now.
    pub behind: bool,
    /// Whether what has been read ends with a line's end.
    pub between_lines: bool,
    /// The events that happened; bounded by the source.
    pub events: Vec<SourceEvent>,
}

/// The numbers that `asterguard status` shows of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceNumbers {
    /// Bytes that have not been read yet, as far as that is known.
    pub unread: u64,
    /// Lines that were too long to be handed out.
    pub oversized: u64,
}

/// Which source: what the configuration names, and what the state file knows it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKey {
    /// The log file at this absolute path.
    File(PathBuf),
    /// What a helper reads.
    Remote(RemoteSource),
}

/// A source that goes on where it was left.
pub struct Resumed {
    /// The source.
    pub source: Box<dyn LineSource>,
    /// Whether the place was found again: what comes was written after the checkpoint.
    pub found: bool,
}

impl SourceKey {
    /// Returns the source that an entry of `logpath` names, if it is no pattern of files.
    #[must_use]
    pub fn named(entry: &str) -> Option<Self> {
        RemoteSource::named(entry).ok().flatten().map(Self::Remote)
    }

    /// Opens the source. If there is nothing yet, it is awaited, and then read from its start. What helpers read is
    /// read from its end.
    #[must_use]
    pub fn open(&self, origin: Origin, remotes: &Remotes) -> Box<dyn LineSource> {
        match self {
            Self::File(path) => Box::new(Follower::new(path, origin)),
            Self::Remote(source) => Box::new(remotes.open(source)),
        }
    }

    /// Goes on where the source was left; what is there is read from its start if it is not what was
    /// left. `None` if the checkpoint makes no sense.
    #[must_use]
    pub fn resume(&self, checkpoint: &SourceCheckpoint, remotes: &Remotes) -> Option<Resumed> {
        match self {
            Self::Remote(source) => {
                let source = Box::new(remotes.resume(source, checkpoint)?);
                Some(Resumed { source, found: true })
            }
            Self::File(path) => {
                let follower = Follower::resume(path, Position::from_checkpoint(checkpoint)?);
                let found = follower.has_resumed();
                Some(Resumed { source: Box::new(follower), found })
            }
        }
    }

    /// Returns where the source ends now, for a process that may read it; `None` if there is nothing.
    ///
    /// # Errors
    /// Returns an error if that cannot be seen, as that of a source which a helper reads.
    pub fn end(&self) -> Result<Option<SourceCheckpoint>, FollowError> {
        match self {
            Self::File(path) => Ok(Position::end_of(path)?.map(|end| end.to_checkpoint())),
            Self::Remote(_) => Err(FollowError::Missing),
        }
    }

    /// The path of a source that is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Remote(_) => None,
        }
    }

    /// The key as the state file has it: a file's path, which begins with a slash. Other kinds of
    /// sources begin with their name and a colon.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::File(path) => path.as_os_str().as_bytes().into(),
            Self::Remote(source) => source.to_string().into_bytes().into(),
        }
    }

    /// Reads a key of the state file; `None` if it is of a kind that this version does not know.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"/") {
            return Some(Self::File(OsStr::from_bytes(bytes).into()));
        }
        std::str::from_utf8(bytes).ok().and_then(Self::named)
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Remote(source) => source.fmt(f),
        }
    }
}
