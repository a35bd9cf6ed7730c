//! The sources of lines: log files, followed over rotations and truncations, and what helper processes read ([`remote`]).
//!
//! A [`LineSource`] hands out lines, and says where to go on in it after a restart; a [`SourceKey`]
//! opens it. [`glob`] says which files a list of patterns means, a [`Follower`] reads one of them, and a
//! [`Watcher`] says when it is worth polling. The watcher is a convenience: polling all followers
//! once a second finds everything that it misses.
//!
//! Captures of packets are read at rest: [`capture_file`], and [`link_layer`] for what stands ahead of their IP headers.

pub mod capture_file;
mod follower;
pub mod glob;
pub mod line_splitter;
pub mod link_layer;
mod log_file;
pub mod remote;
mod rotation;
mod source;
mod wakeup;

pub use follower::Follower;
pub use log_file::{FollowError, Position};
pub use remote::Remotes;
pub use source::{
    LineSource, Origin, Poll, Resumed, SourceCheckpoint, SourceEvent, SourceKey, SourceNumbers,
    SourceState,
};
pub use wakeup::{WatchError, Watcher};
