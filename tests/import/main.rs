//! What fail2ban has, read and used: beside the real fail2ban, on the same lines.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod bounded;
mod command;
mod configurations;
mod filters;
mod guards;
#[path = "../kit/programs.rs"]
#[allow(dead_code)]
mod programs;
