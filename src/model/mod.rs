//! Plain values that all rooms share: no I/O, no clock, no behaviour beyond their own.

pub mod account;
pub mod allowance;
pub mod backoff;
pub mod clock_step;
pub mod event;
pub mod eviction;
pub mod exchange;
pub mod guard_event;
pub mod histogram;
pub mod hostname;
pub mod journal_part;
pub mod listed;
pub mod network_set;
pub mod node;
pub mod orders;
pub mod pause;
pub mod place;
pub mod public_key;
pub mod remote_source;
pub mod scope;
pub mod subject;
pub mod time;
pub mod trouble;
pub mod words;
