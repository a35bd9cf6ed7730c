//! Where lines come from: log files, followed over rotations and truncations.
//!
//! [`glob`] says which files a list of patterns means, a [`Follower`] reads one of them, and a
//! [`Watcher`] says when it is worth polling. The watcher is a convenience: polling all followers
//! once a second finds everything that it misses.
//!
//! A [`WireSource`] reads no lines: it listens to what the kernel shows of our own answers.

mod follower;
pub mod glob;
pub mod line_splitter;
mod log_file;
mod rotation;
mod wakeup;

pub use crate::sip::capture::{Listening, WireSource, nflog_socket};
pub use follower::{FileEvent, Follower, Origin, Poll, State};
pub use log_file::{Position, Why};
pub use wakeup::{WatchError, Watcher};
