//! asterguard guards Asterisk phone systems.
//!
//! It reads what Asterisk says about refused logins, scans and toll-fraud dialling, decides which
//! host is behind it, and puts that host into nftables sets whose elements carry their own timeouts.
//! The kernel drops, the kernel expires; user space keeps no unban timers.
//!
//! Data flows one way, and the rooms stand in its order: each imports only from those above it
//! (`tests/layers.rs` checks this).
//!
//! | room | job |
//! |---|---|
//! | [`model`] | plain values that all rooms share: events, decisions, subjects, time (pure) |
//! | [`sys`] | thin wrappers of Linux: clocks, program runner, sandbox, netlink attributes |
//! | [`config`] | configuration files to a checked configuration, with diagnostics |
//! | [`rules`] | rule files to checked rules |
//! | [`fail2ban`] | reads fail2ban's configuration, and translates it |
//! | [`hosts`] | the hosts that are never banned or always blocked: discovered and listed |
//! | [`geo`] | where a host is: country and network, from the MMDB files of the administrator |
//! | [`table`] | the structure of our nftables table, as a value and as text (pure) |
//! | [`input`] | bytes in: followed log files, split into lines |
//! | [`detect`] | a line to an event: prefix, time, prefilter, context, address (pure) |
//! | [`sip`] | SIP messages, as the kernel copies them or Asterisk mirrors them by HEP |
//! | [`services`] | IAX2, AMI and HTTP as bytes (pure) |
//! | [`sources`] | sources of lines that the guard may not reach itself, as processes of their own |
//! | [`notify`] | tells people and programs what the guard does, as a process of its own |
//! | [`feeds`] | fetches the lists that others make, as a command of its own |
//! | [`exchange`] | requests and our PBX's answers to observations: what a host did (pure) |
//! | [`decide`] | events to decisions: counts offences, decides on bans (pure) |
//! | [`enforce`] | decisions to the kernel, by a helper process; finds and repairs drift |
//! | [`store`] | the state that outlives the process |
//! | [`control`] | requests and replies between the command line and the daemon |
//! | [`report`] | what happened in a week, as text, as a page and as JSON (pure) |
//! | [`daemon`] | the running guard: start, threads, reload, requests |
//! | [`metrics`] | the guard's numbers for monitoring, as text, and a server for them |
//! | [`doctor`] | checks of the machine, and other tools' firewall tables |
//! | [`setup`] | changes Asterisk's configuration for the guard, and takes that back |
//! | [`cli`] | the commands |
//!
//! A pure room knows no clock, no I/O and no runtime: time is an argument, so that `run`, `replay`,
//! `test` and the tests drive the same engine. Not pure are only [`exchange::capture`], and
//! [`decide::plan_files`], which reads the files of a plan.
//! Events and decisions ([`model::event`]) are `Copy` values of a fixed size.
#![forbid(unsafe_code)]

// In the order above: empty lines keep rustfmt from sorting them.
pub mod model;

pub mod sys;

pub mod config;

pub mod rules;

pub mod fail2ban;

pub mod hosts;

pub mod geo;

pub mod table;

pub mod input;

pub mod detect;

pub mod sip;

pub mod services;

pub mod sources;

pub mod notify;

pub mod feeds;
pub mod fleet;

pub mod exchange;

pub mod decide;

pub mod enforce;

pub mod store;

pub mod control;

pub mod report;

pub mod daemon;

pub mod metrics;

pub mod doctor;

pub mod setup;

pub mod cli;

pub use cli::main;
