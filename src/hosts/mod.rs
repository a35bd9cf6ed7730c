//! Hosts that are never banned, and hosts that are always blocked: discovered on this machine,
//! listed by the administrator, or named as trunks in Asterisk's configuration.

pub mod asterisk;
pub mod discover;
pub mod exempt;
pub mod lists;
