//! Where lines come from: log files, followed over rotations and truncations.
//!
//! [`paths`] says which files a list of patterns means, a [`Follower`] reads one of them, and a
//! [`Watcher`] says when it is worth polling. The watcher is a convenience: polling all followers
//! once a second finds everything that it misses.

mod file;
mod follower;
pub mod paths;
mod rotation;
mod watch;

pub use file::{Position, Why};
pub use follower::{FileEvent, Follower, Origin, Poll, State};
pub use watch::{WatchError, Watcher};
