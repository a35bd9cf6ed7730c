//! Where lines come from: log files, followed over rotations and truncations.
//!
//! [`paths`] says which files a list of patterns means, a [`Follower`] reads one of them, and a
//! [`Watcher`] says when it is worth polling. The watcher is a convenience: polling all followers
//! once a second finds everything that it misses.
//!
//! A [`WireSource`] reads no lines: it listens to what the kernel shows of our own answers.

mod file;
mod follower;
pub mod paths;
mod rotation;
mod watch;
mod wire;

pub use file::{Position, Why};
pub use follower::{FileEvent, Follower, Origin, Poll, State};
pub use watch::{WatchError, Watcher};
pub use wire::{Listening, WireSource, nflog_socket};
