//! The SIP response monitor: a PBX that answers as Asterisk does, phones and attackers, no log files.
//!
//! Needs root, nft, iproute2 and python3; every test has network namespaces of its own.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

#[path = "../kit/mod.rs"]
mod kit;

mod attackers;
mod innocents;
mod limiter;
mod lines;
mod nat;
mod services;
mod unavailable;

use std::sync::{PoisonError, RwLock};

use kit::guard::Guard;
use kit::{Netns, Peer};

/// Nothing to read but the wire. It bans at the third attempt.
const CONFIG: &str = r#"
trunks = false

[ports]
sip = ["5060-5061"]

[default]
logpath = ["$DIR/messages"]

[jail.asterisk-guess]
filter = "asterisk-sip"

[jail.asterisk-scan]
filter = "asterisk-sip"

[jail.asterisk-wire]
maxretry = 3
"#;

/// The configuration with this below `[wire]`.
fn wire(keys: &str) -> String {
    CONFIG.replace("[ports]", &format!("[wire]\n{keys}\n\n[ports]"))
}

const PBX: &str = "192.0.2.1";
const PBX_V6: &str = "2001:db8:0:ff::1";
const EVE: &str = "192.0.2.66";
const EVE_V6: &str = "2001:db8:0:a::66";
const MALLORY: &str = "192.0.2.67";
const MALLORY_V6: &str = "2001:db8:0:b::67";
const OFFICE: &str = "192.0.2.70";
const CARRIER: &str = "192.0.2.71";
const PHONE: &str = "192.0.2.72";
const PHONE_V6: &str = "2001:db8:0:c::72";
const NOBODY: &str = "192.0.2.73";
const OUTSIDE: [&str; 9] =
    [EVE, MALLORY, OFFICE, CARRIER, PHONE, NOBODY, EVE_V6, MALLORY_V6, PHONE_V6];

/// Floods take all of a small machine: who counts what gets through before a ban waits for their end.
static FLOOD: RwLock<()> = RwLock::new(());

/// Holds floods off until it is dropped.
fn no_flood() -> impl Drop {
    FLOOD.read().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until all others have ended, and holds them off until it is dropped.
fn flooding() -> impl Drop {
    FLOOD.write().unwrap_or_else(PoisonError::into_inner)
}

/// A PBX, and everybody else, on one wire.
struct Lab {
    /// The machine that the guard runs on.
    host: Netns,
    outside: Netns,
    /// The PBX; it knows how many wrong passwords reached it.
    pbx: Peer,
    others: Peer,
}

impl Lab {
    fn new() -> Self {
        let (host, outside) = plugged();
        let pbx = Peer::run(&host, include_str!("../kit/sip.py"), &["serve"]);
        let others = Peer::run(&outside, include_str!("../kit/sip.py"), &["play"]);
        Self { host, outside, pbx, others }
    }

    /// Has somebody do something; what came of it.
    fn play(&mut self, what: &str) -> String {
        self.others.ask(what)
    }

    /// How many wrong passwords have reached the PBX.
    fn passwords(&mut self) -> u32 {
        self.pbx.ask("").parse().unwrap()
    }
}

/// The machine that the guard runs on, and everybody else, on one wire.
fn plugged() -> (Netns, Netns) {
    kit::wired(&[PBX, PBX_V6], &OUTSIDE)
}

/// A guard that listens to the wire.
fn guard(netns: &Netns, config: &str) -> Guard {
    let guard = Guard::start(netns, config);
    guard.listens();
    guard
}

/// Who is banned by the jail of the wire, with the evidence, sorted.
fn banned(guard: &Guard) -> Vec<String> {
    banned_by(guard, "asterisk-wire")
}

/// The same of any jail.
fn banned_by(guard: &Guard, jail: &str) -> Vec<String> {
    let jail = guard.jail(jail);
    let bans = jail["banned"].as_array().unwrap();
    let word = |ban: &serde_json::Value, key: &str| ban[key].as_str().unwrap().to_owned();
    let mut banned: Vec<_> =
        bans.iter().map(|ban| format!("{} {}", word(ban, "host"), word(ban, "evidence"))).collect();
    banned.sort();
    banned
}
