//! asterguard guards Asterisk phone systems.
//!
//! It reads what Asterisk says about refused logins, scans and toll-fraud dialling, decides who is
//! behind it, and puts them into nftables sets whose elements carry their own timeouts. The kernel
//! drops, the kernel expires; user space keeps no unban timers.
//!
//! ```text
//! sources          lines           matcher                  offences        policy        sink
//! file  stdin  ─►  split at \n ─►  gate: one multi-     ─►  per (jail,  ─►  ignored,  ─►  nft sets
//!                  (memchr,        pattern DFA              host) window    never,        (batched)
//!                  bounded)        confirm: host, context,  bounded         escalate      dry run
//!                                  evidence
//! ```
//!
//! Data flows one way. A [`input`] hands bytes to the [`line_splitter`] splitter; the [`scanner`] turns
//! lines into [`event::Event`]s; the [`engine`] counts them ([`offences`]), applies the [`policy`]
//! and returns [`event::Decision`]s; a [`enforce`] carries those out. Events and decisions are `Copy`
//! values of a fixed size. What writes to the kernel ([`enforce::writer`]) is a process of its own.
//!
//! Everything but `source`, `finder`, `firewall`, `sink`, `store`, `sandbox`, `daemon`, `doctor` and `cli` is pure: no clock, no
//! I/O, no runtime. Time comes in as an argument, so `run`, `replay`, `test` and the tests drive the
//! same engine.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decide;
pub mod detect;
pub mod doctor;
pub mod enforce;
pub mod exchange;
pub mod hosts;
pub mod input;
pub mod model;
pub mod rules;
pub mod sip;
pub mod store;
pub mod sys;
pub mod table;

pub use cli::main;
