//! A line to an event: its prefix and time, which rule reads it, which host it names, and what it proves.

pub mod address;
mod compile;
mod continuation;
mod dfa;
mod extract;
pub mod line_form;
mod messages;
mod pieces;
pub mod prefilter;
pub mod prefix;
pub mod rule_examples;
pub mod scanner;
mod shipped;
mod stats;
pub mod timestamp;
