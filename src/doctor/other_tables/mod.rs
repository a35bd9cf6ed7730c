//! The other tables of the firewall: listed once, when somebody asks, and never on a live path.
#![expect(clippy::disallowed_methods, reason = "an edge: asking has an end")]

mod iptables_legacy;

mod ruleset;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::enforce::SinkError;
use crate::sys::program::Program;
pub use ruleset::{BaseChain, Ruleset, SetName};

/// The time that all questions about one host may take together.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest listing that is read, in bytes: some 100 000 rules.
const MOST: usize = 32 << 20;

/// A rule outside of our table that turns a host away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropper {
    /// Family and name, as `nft list table` takes them.
    pub table: String,
    /// The chain that the rule is in.
    pub chain: String,
    /// The rule: its handle in nftables, its text in iptables.
    pub rule: String,
    /// The set that holds the host, if it is one.
    pub set: Option<String>,
    /// Whether the rule asks for more than the source address, such as a port.
    pub partly: bool,
}

/// Lists tables, chains and rules, without the elements of sets.
///
/// # Errors
/// When `nft` does not work, takes longer than ten seconds or prints more than 32 MiB.
pub fn list(nft: &Program) -> Result<Ruleset, SinkError> {
    let output = nft.limited(LIMIT).capped(MOST).run(&["-j", "-t", "list", "ruleset"], b"")?;
    Ruleset::parse(&output).map_err(|error| SinkError::Output(error.to_string()))
}

/// Returns the rules outside of our table that turn `host` away: those of nftables, iptables-nft among
/// them, and those of the old iptables. What is decided by anything but the source address (a
/// policy, a mark, a port alone) is not looked for.
///
/// # Errors
/// When the ruleset cannot be [listed](list).
pub fn who_drops(nft: &Program, host: IpAddr) -> Result<Vec<Dropper>, SinkError> {
    let end = Instant::now() + LIMIT;
    let left = || end.saturating_duration_since(Instant::now());
    let mut holds = |set: &SetName, host: IpAddr| {
        let element = format!("{{ {host} }}");
        let args = ["get", "element", &set.family, &set.table, &set.name, &element];
        nft.limited(left()).capped(MOST).run(&args, b"").is_ok()
    };
    let mut found = list(nft)?.droppers(host, &mut holds);
    found.extend(iptables_legacy::droppers(host, &left));
    Ok(found)
}
