//! The journal: a process that reads it for the guard, and what it takes from an entry.
//!
//! The guard runs no program and reads none of journald's files. [`helper`] runs `journalctl`, [`entry`] reads what that
//! prints and decides whose an entry is, and the guard gets one line of JSON for each of Asterisk's entries.

pub mod entry;
pub mod helper;
