//! The other services of the PBX as bytes: IAX2's frames, what AMI answers, what HTTP asks and answers.
//!
//! None of this knows who is at the other end, or when: what it means is told by [`crate::exchange`]. Streams may be
//! cut anywhere.

pub mod ami;
pub mod ami_events;
pub mod ami_session;
mod framing;
pub mod http;
pub mod iax;
mod line;
