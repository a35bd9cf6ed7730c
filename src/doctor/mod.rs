//! `asterguard doctor`: looks for what goes wrong in practice, and says what to change.
//!
//! Each check is a small function from the [`World`] to findings. It needs neither the daemon nor
//! Asterisk: what cannot be looked at is said, with the reason. What a running daemon checks itself is
//! told as the daemon says it.

mod accounts;
mod facts;
mod feeds;
mod geofence;
mod health;
mod jails;
mod journal;
mod log_access;
mod logger;
mod logs;
mod manager;
mod nftables;
pub mod other_tables;
mod other_tools;
mod services;
mod sip_sources;
mod trunks;

use serde::Serialize;

pub use facts::{NoStatus, World};

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unchecked,
    /// It works; it could be better or safer.
    Advice,
    /// Something is wrong: attacks are not seen or not stopped, or innocents are.
    Problem,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check; the names are part of the interface.
    pub check: &'static str,
    /// The result.
    pub verdict: Verdict,
    /// The facts that were seen.
    pub seen: String,
    /// The place: a file, a section, a table.
    pub place: Option<String>,
    /// The change to make.
    pub change: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { check, verdict, seen: seen.into(), place: None, change: None }
    }

    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, seen)
    }

    fn unchecked(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unchecked, why)
    }

    fn advice(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Advice, seen)
    }

    fn problem(check: &'static str, seen: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, seen)
    }

    fn at(self, place: impl Into<String>) -> Self {
        Self { place: Some(place.into()), ..self }
    }

    fn change(self, change: impl Into<String>) -> Self {
        Self { change: Some(change.into()), ..self }
    }
}

/// A check: its name, and what it finds. Those of the daemon (`health`) have names of their own.
pub type Check = (&'static str, fn(&World) -> Vec<Finding>);

/// All checks, in the order in which they are told.
pub const CHECKS: &[Check] = &[
    ("configuration", jails::configuration),
    ("daemon", jails::daemon),
    ("health", health::checks),
    ("logger", logger::levels_of),
    ("logger-files", logger::files),
    ("dateformat", logger::dateformat),
    ("logger-filter", logger::filter),
    ("logger-limit", logger::limit),
    ("logpath", logs::logpath),
    ("journal", journal::entries),
    ("permissions", log_access::permissions),
    ("clock", logs::clock),
    ("log-queue", logs::queue),
    ("nft", nftables::nft),
    ("kernel", nftables::kernel),
    ("table", nftables::ours),
    ("table-order", nftables::order),
    ("other-guards", other_tools::guards),
    ("jails", jails::jails),
    ("ports", sip_sources::ports),
    ("service-ports", services::ports),
    ("wire", sip_sources::wire),
    ("hep", sip_sources::hep),
    ("connections", nftables::connections),
    ("trunks", trunks::ignored),
    ("geofence", geofence::geofence),
    ("guests", accounts::guests),
    ("account-names", accounts::alwaysauthreject),
    ("passwords", accounts::passwords),
    ("acl", accounts::acl),
    ("manager", manager::manager),
    ("manager-events", manager::events),
    ("iax-authdebug", accounts::authdebug),
    ("rtp-timeout", accounts::rtp_timeout),
    ("feeds", feeds::timer),
];

/// Returns a few names out of a long list, for people.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
