//! Where lines come from: log files, followed over rotations and truncations.
//!
//! [`glob`] says which files a list of patterns means, a [`Follower`] reads one of them, and a
//! [`Watcher`] says when it is worth polling. The watcher is a convenience: polling all followers
//! once a second finds everything that it misses.

mod follower;
pub mod glob;
pub mod line_splitter;
mod log_file;
mod rotation;
mod wakeup;

pub use follower::{FileEvent, Follower, Origin, Poll, State};
pub use log_file::{Position, Why};
pub use wakeup::{WatchError, Watcher};
