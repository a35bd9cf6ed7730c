//! Checks of what the guard sees of SIP: Asterisk's ports, the wire, and HEP.

use std::collections::BTreeSet;

use super::facts::World;
use super::{Finding, some_of};
use crate::config::Config;
use crate::hosts::asterisk::hep_conf::{CaptureAddress, HepConf};
use crate::hosts::asterisk::ports::{Driver, Listening, Port, Transport};
use crate::hosts::discover::ConfFiles;
use crate::sys::sock_diag::Protocol;

/// What makes Asterisk send HEP, in hep.conf and without a restart.
const HEP: &str = "asterguard setup; or write into hep.conf:\n  [general]\n  enabled = yes\n  capture_address = 127.0.0.1:9060\n  \
                   capture_password = (a long word that nobody knows)\n  uuid_type = call-id\n\
                   then: asterisk -rx 'module load res_hep.so'; asterisk -rx 'module load res_hep_pjsip.so'; asterguard reload";

/// Checks the ports that Asterisk's configuration opens: whether they are there to be found, and open.
pub fn ports(world: &World) -> Vec<Finding> {
    const CHECK: &str = "ports";
    if !world.asterisk.is_dir() {
        let why = format!("there is no {}", world.asterisk.display());
        return vec![
            Finding::unchecked(CHECK, why)
                .change("name it in `asteriskconf`, or write SIP's ports into [ports]"),
        ];
    }
    let listening = listening(world);
    let mut found: Vec<_> = listening
        .left_out
        .iter()
        .map(|why| Finding::advice(CHECK, why).change("see that Asterisk means the same"))
        .collect();
    if listening.sip.is_empty() {
        let why = format!("{} opens no port for SIP", world.asterisk.display());
        found.push(
            Finding::unchecked(CHECK, why).change("write them into [ports], if there are any"),
        );
        return found;
    }
    let words = |port: &Port| {
        let file = port.file.as_deref().unwrap_or_default();
        format!("{}/{} ({file})", port.number, name(port.transport))
    };
    match &world.sockets {
        Err(why) => {
            let ports: Vec<_> = listening.sip.iter().map(words).collect();
            let seen = format!("SIP at {}; whether they are open: {why}", some_of(&ports));
            found.push(Finding::unchecked(CHECK, seen));
        }
        Ok(sockets) => {
            let is_open = |port: &&Port| {
                let datagrams = port.transport == Transport::Udp;
                let protocol = if datagrams { Protocol::Udp } else { Protocol::Tcp };
                sockets
                    .iter()
                    .any(|socket| socket.port == port.number && socket.protocol == protocol)
            };
            let (open, closed): (Vec<_>, Vec<_>) = listening.sip.iter().partition(is_open);
            // One port may be opened for several addresses.
            let unique = |ports: Vec<&Port>| {
                let mut words: Vec<_> = ports.into_iter().map(words).collect();
                words.dedup();
                words
            };
            if !open.is_empty() {
                found.push(Finding::ok(CHECK, format!("SIP at {}", unique(open).join(", "))));
            }
            if !closed.is_empty() {
                let closed = unique(closed);
                let seen = format!(
                    "nobody listens at {}: Asterisk does not run, or has not loaded that module; bans of SIP's ports close these ports, too",
                    some_of(&closed)
                );
                found.push(Finding::unchecked(CHECK, seen));
            }
        }
    }
    found
}

/// Checks how much the kernel shows the guard of what Asterisk answers.
pub fn wire(world: &World) -> Vec<Finding> {
    const CHECK: &str = "wire";
    let Ok(status) = &world.status else {
        return vec![Finding::unchecked(CHECK, "no guard runs")];
    };
    let wire = &status.wire;
    let state = wire.state.as_str();
    vec![match (&wire.trouble, state) {
        // The daemon says it.
        (_, "not available") => return Vec::new(),
        (Some(why), _) => Finding::advice(CHECK, format!("{state}: {why}"))
            .change("run Linux 5.16 and nftables 1.0.1, or newer"),
        (None, "listening") => {
            Finding::ok(CHECK, format!("listening, {} answers so far", wire.numbers.answers))
        }
        (None, "starting") => Finding::unchecked(CHECK, state),
        (None, _) => Finding::advice(CHECK, format!("{state}: only the logs are seen"))
            .at("[wire]")
            .change("write `enabled = true`"),
    }]
}

/// Checks whether Asterisk tells of what comes over TLS and WebSocket.
pub fn hep(world: &World) -> Vec<Finding> {
    const CHECK: &str = "hep";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be read")];
    };
    let listening = listening(world);
    let is_pjsip = |port: &&Port| port.driver == Driver::Pjsip;
    let pjsip: Vec<_> = listening.sip.iter().filter(is_pjsip).collect();
    if pjsip.is_empty() {
        return vec![Finding::unchecked(CHECK, "there is no chan_pjsip here, which HEP is of")];
    }
    let hidden = |port: &&&Port| !matches!(port.transport, Transport::Udp | Transport::Tcp);
    let hidden: BTreeSet<_> = pjsip.iter().filter(hidden).map(|port| port.number).collect();
    let place = world.path("hep.conf");
    match HepConf::read(&mut ConfFiles::new(&world.asterisk)).filter(|hep| hep.enabled) {
        None if hidden.is_empty() => {
            vec![Finding::ok(CHECK, "it is off; all that Asterisk speaks is seen without it")]
        }
        None => {
            let ports: Vec<_> = hidden.iter().map(u16::to_string).collect();
            let seen = format!(
                "it is off: what comes by TLS or WebSocket (ports {}) is seen in the logs only, which prove little",
                ports.join(", ")
            );
            vec![Finding::advice(CHECK, seen).at(place).change(HEP)]
        }
        Some(conf) => enabled(world, &conf, &plan.config, &place),
    }
}

/// Returns what is to be said of an `enabled = yes`.
fn enabled(world: &World, conf: &HepConf, config: &Config, place: &str) -> Vec<Finding> {
    const CHECK: &str = "hep";
    let mut found = Vec::new();
    match &conf.capture_address {
        CaptureAddress::Name(name) => {
            let seen = format!("capture_address is the name {name}, which is not looked up here");
            found.push(Finding::problem(CHECK, seen).at(place).change("write its address"));
        }
        CaptureAddress::Missing => {
            let seen = "capture_address is no address with a port: Asterisk sends nothing";
            found.push(
                Finding::problem(CHECK, seen).at(place).change("capture_address = 127.0.0.1:9060"),
            );
        }
        CaptureAddress::Address(to) if !config.wire.enabled => {
            let seen = format!("Asterisk sends to {to}, and nobody listens: the wire is off");
            found.push(Finding::advice(CHECK, seen).at("[wire]").change("enabled = true"));
        }
        CaptureAddress::Address(to) => {
            let come = match &world.status {
                Ok(status) => format!(", {} messages so far", status.wire.numbers.hep),
                Err(_) => String::new(),
            };
            found.push(Finding::ok(CHECK, format!("Asterisk sends to {to}{come}")));
        }
    }
    if conf.capture_password.is_empty() {
        let seen = "there is no capture_password: only the sender's user shows that it is Asterisk";
        found.push(
            Finding::advice(CHECK, seen).at(place).change(
                "write one, then: asterisk -rx 'module reload res_hep.so'; asterguard reload",
            ),
        );
    }
    let modules = ["res_hep", "res_hep_pjsip"];
    let missing: Vec<_> = modules.into_iter().filter(|module| !world.loads(module)).collect();
    if !missing.is_empty() {
        let seen = format!("Asterisk does not load {}", missing.join(" and "));
        let change = format!("load = {}.so", missing.join(".so, load = "));
        found.push(Finding::problem(CHECK, seen).at(world.path("modules.conf")).change(change));
    }
    found
}

fn listening(world: &World) -> Listening {
    Listening::read(&mut ConfFiles::new(&world.asterisk))
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}
