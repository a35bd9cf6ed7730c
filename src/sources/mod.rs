//! Sources that the guard may not reach itself, as processes of their own: they read, and hand lines to the guard.
//!
//! What they write is described in [`crate::input`]. Each is a hidden command, and has a unit of its own.

pub mod ami;
mod ami_connection;
pub mod ami_secret;
pub mod journal;
mod outbox;
