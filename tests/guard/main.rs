//! The whole program as users run it: real log lines in, a real kernel's sets and packets out.
//!
//! Needs root, nft, iproute2 and python3; every test has namespaces and directories of its own.
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

mod ami;
mod answers;
mod bans;
mod by_order;
mod clock;
mod confined;
mod doctor;
mod effect;
mod explain;
mod fleet;
mod flows;
mod full;
mod geofence;
mod geoip;
mod heal;
mod health;
mod history;
mod hostile;
mod ignored;
mod in_force;
mod include;
mod json;
mod kernel_lost;
mod kills;
mod life;
mod lists;
mod metrics;
mod mistakes;
mod new_networks;
mod no_kernel;
mod offline;
mod orders;
mod own_rules;
mod owner;
mod pause;
mod policy;
mod processes;
mod reload;
mod report;
mod restart;
mod rotation;
mod services;
mod signals;
mod strangers;
mod terminal;
mod tested;
mod top;

use kit::Netns;

/// One log; five wrong passwords close SIP for ten minutes. Only the rules that the tests need: they
/// are compiled at each start.
/// The jails that are built in.
const JAILS: [&str; 13] = [
    "asterisk-accounts",
    "asterisk-ami",
    "asterisk-ami-malformed",
    "asterisk-ami-probe",
    "asterisk-guess",
    "asterisk-http",
    "asterisk-iax",
    "asterisk-options",
    "asterisk-probe",
    "asterisk-scan",
    "asterisk-slow",
    "asterisk-wire",
    "recidive",
];

const CONFIG: &str = r#"
[ports]
sip = ["5060-5061"]

[default]
logpath = ["$DIR/messages"]

[jail.asterisk-guess]
maxretry = 5
findtime = "10m"
bantime = "10m"
filter = "asterisk-sip"

[jail.asterisk-scan]
filter = "asterisk-sip"
"#;

/// What Asterisk 16 writes when `host` gives a wrong password, by its `[json]` formatter: of what stands in a
/// file of such records alone, no sender can have written one.
fn wrong_password(host: &str) -> String {
    record(&wrong_password_line(host))
}

/// The same by the formatter for files, where any sender can.
fn wrong_password_line(host: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!(
        "[Nov 22 01:12:24] NOTICE[17931] chan_sip.c: Registration from \
         '\"1000\" <sip:1000@203.0.113.16>' failed for '{host}:5060' - Wrong password"
    )
}

/// What it writes when `host` sends a packet that no phone sends.
fn odd_packet(host: &str) -> String {
    record(&odd_packet_line(host))
}

/// What it writes when `host` sends so much by TCP as no phone sends: such a packet cannot be forged.
fn large_packet_line(host: &str) -> String {
    format!(
        "[Nov 22 01:13:21] WARNING[17931] chan_sip.c: Rejecting TCP packet from '{host}:40001' \
         because way too large: 40000"
    )
}

fn odd_packet_line(host: &str) -> String {
    format!(
        "[Nov 22 01:12:24] NOTICE[17931] chan_sip.c: Invalid to address: '<100@203.0.113.16>' from \
         {host} (missing sip:) trying to use anyway..."
    )
}

/// What it writes when `host` logs in to the account 1000 over PJSIP.
fn login_line(host: &str) -> String {
    format!(
        "[2026-11-22 10:00:00] SECURITY[1724] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",\
         EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"Informational\",Service=\"PJSIP\",\
         EventVersion=\"1\",AccountID=\"1000\",SessionID=\"z\",\
         LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/{host}/5060\",\
         UsingPassword=\"1\""
    )
}

/// The same by the `[json]` formatter.
fn login(host: &str) -> String {
    record(&login_line(host))
}

/// A line of a file as the `[json]` formatter writes it.
fn record(line: &str) -> String {
    let (stamp, rest) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
    let (level, rest) = rest.split_once('[').unwrap();
    let (_, rest) = rest.split_once("] ").unwrap();
    let (file, message) = rest.split_once(": ").unwrap();
    serde_json::json!({
        "hostname": "",
        "timestamp": stamp,
        "identifiers": { "lwp": 17931, "callid": "" },
        "logmsg": {
            "location": { "filename": file, "function": "f", "line": 6 },
            "level": level,
            "message": format!("{message}\n"),
        },
    })
    .to_string()
}

/// An element of a set in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Element {
    /// With ` . ` and the port where that is a part of the key.
    address: String,
    /// Seconds; `None`: it stays.
    timeout: Option<u64>,
    expires: Option<u64>,
    comment: Option<String>,
}

/// What a set of our table holds, by address; nothing if there is no such set.
fn elements(netns: &Netns, set: &str) -> Vec<Element> {
    let output = netns.try_exec(&format!("nft -j list set inet asterguard {set}"));
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let found = listing["nftables"].as_array().into_iter().flatten();
    let found = found.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    let mut elements: Vec<_> = found
        .map(|element| &element["elem"])
        .map(|element| Element {
            address: match element["val"]["concat"].as_array() {
                Some(parts) => format!("{} . {}", parts[0].as_str().unwrap(), parts[1]),
                None => element["val"].as_str().unwrap().to_owned(),
            },
            timeout: element["timeout"].as_u64(),
            expires: element["expires"].as_u64(),
            comment: element["comment"].as_str().map(str::to_owned),
        })
        .collect();
    elements.sort_by(|a, b| a.address.cmp(&b.address));
    elements
}

/// The addresses that a set of our table holds.
fn addresses(netns: &Netns, set: &str) -> Vec<String> {
    elements(netns, set).into_iter().map(|element| element.address).collect()
}
