//! The guard's numbers in the text format of Prometheus, and a server for them.
//!
//! [`catalog`] says which metrics there are, [`samples`] makes them of what the guard tells, [`fail2ban`] those of the
//! common exporter for fail2ban; all of them are pure. [`http`] is the process that serves them.

pub mod catalog;
pub mod fail2ban;
pub mod http;
pub mod samples;

pub use samples::{Sample, Samples};
