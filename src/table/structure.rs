//! The layout of the kernel's table: scopes, ports, masks, and the text that declares it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{Config, SipMonitor};
use crate::model::event::{Element, JailId, ScopeId};
use crate::model::exchange::ServicePorts;
use crate::model::subject::Subject;
use crate::model::time::Time;

use super::geofence_rules::{Fence, write_geofence};
use super::list_sets::{ListSet, write_lists};
pub use super::names::TABLE;
use super::names::{is_name, mask, word};
use super::passed_rules::write_passed;
use crate::model::event::KernelElement;
use crate::model::scope::{Blocktype, Ports, merged, range_words};

/// The chain of it that drops whoever is banned; it is named like its hook.
pub const CHAIN: &str = "prerouting";

/// The name of the set whose elements stop all dropping.
pub const PAUSED: &str = "paused";

/// The sets of those that are never dropped, and whether they hold IPv6 networks.
pub(crate) const ALLOWED: [(&str, bool); 2] = [("allow4", false), ("allow6", true)];

/// The part of the ruleset that is the same everywhere.
const INCLUDE: &str = include_str!("../../nft/asterguard.nft");

/// The number of elements that a set of a further scope takes; the same as in the include.
const SET_SIZE: u32 = 1_048_576;

/// The same of a set of flows.
const FLOW_SET_SIZE: u32 = 131_072;

/// The same of a set of networks. Both ends of a network count (up to Linux 6.15), so that this is twice as many as there
/// may be: [`MOST_NETWORKS`](crate::decide::ban_table::MOST_NETWORKS).
const NETWORK_SET_SIZE: u32 = 8192;

/// The extent of a ban: a named port list, how it is closed, and how wide an IPv6 ban is. Each scope
/// has a pair of sets of its own for each [`SetKind`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The port list's name: `all`, `sip`, or one from `[ports]` (letters, digits, `-`, `_`).
    pub name: String,
    /// The ports themselves.
    pub ports: Ports,
    /// Drop or reject.
    pub blocktype: Blocktype,
    /// Bits of an IPv6 address that count (1 to 128).
    pub ipv6prefix: u8,
    /// The name of the pair of sets for hosts, without the closing `4` or `6`.
    sets: String,
}

/// What the names of a further scope's pairs of sets end in, ahead of `4` or `6`. None of the one kind
/// can be one of the other: the ends differ. (Of the scopes that are built in, the others follow the
/// whole name of the first.)
const HOSTS: &str = "_v";
const FLOWS: &str = "_flow";
const NETWORKS: &str = "_net";

/// The kinds of sets that bans are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    /// Single IPv4 addresses; IPv6 networks of the scope's length, and single addresses within such a network. Hash sets.
    Hosts,
    /// Addresses, each with one port of the host. Hash sets.
    Flows,
    /// All other networks. Sets of intervals, which have to stay small.
    Networks,
}

/// A key in a set of bans, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetKey {
    /// Of [`SetKind::Hosts`]: an address, or the first one of a network.
    Host(IpAddr),
    /// Of [`SetKind::Flows`].
    Flow(IpAddr, u16),
    /// Of [`SetKind::Networks`].
    Network(IpNet),
}

impl Scope {
    /// Returns a scope besides the two that are built in. Its sets are named after all that distinguishes it:
    /// `scope_web_reject_64_v4`.
    #[must_use]
    pub fn further(name: &str, ports: Ports, blocktype: Blocktype, ipv6prefix: u8) -> Self {
        let how = match blocktype {
            Blocktype::Drop => "drop",
            Blocktype::Reject => "reject",
            Blocktype::DropNew => "new",
        };
        let sets = format!("scope_{}_{how}_{ipv6prefix}{HOSTS}", word(name));
        Self { name: name.to_owned(), ports, blocktype, ipv6prefix, sets }
    }

    pub(crate) fn builtin(name: &str, ports: Ports, ipv6prefix: u8, sets: &str) -> Self {
        let (name, sets) = (name.to_owned(), sets.to_owned());
        Self { name, ports, blocktype: Blocktype::Drop, ipv6prefix, sets }
    }

    /// Returns the name of one of its sets.
    #[must_use]
    pub fn set(&self, kind: SetKind, ipv6: bool) -> String {
        let stem = self.sets.strip_suffix(HOSTS).unwrap_or(&self.sets);
        let family = if ipv6 { 6 } else { 4 };
        match kind {
            SetKind::Hosts => format!("{}{family}", self.sets),
            SetKind::Flows => format!("{stem}{FLOWS}{family}"),
            SetKind::Networks => format!("{stem}{NETWORKS}{family}"),
        }
    }

    /// Returns the kind of the set that `subject` is in when it is banned.
    #[must_use]
    pub fn kind_of(&self, subject: Subject) -> SetKind {
        let bits = subject.net().prefix_len();
        let is_host = match subject.net() {
            IpNet::V4(_) => bits == 32,
            IpNet::V6(_) => bits == self.ipv6prefix || subject.is_single_within(self.ipv6prefix),
        };
        match (subject.is_flow(), is_host) {
            (true, _) => SetKind::Flows,
            (false, true) => SetKind::Hosts,
            (false, false) => SetKind::Networks,
        }
    }

    /// Returns the key of `subject` in that set.
    #[must_use]
    pub fn key_of(&self, subject: Subject) -> SetKey {
        match (subject.port(), self.kind_of(subject)) {
            (Some(port), _) => SetKey::Flow(subject.address(), port),
            (None, SetKind::Networks) => SetKey::Network(subject.net()),
            (None, _) => SetKey::Host(subject.address()),
        }
    }

    /// Returns the name of the set that `subject` is in when it is banned.
    #[must_use]
    pub fn set_of(&self, subject: Subject) -> String {
        self.set(self.kind_of(subject), subject.is_ipv6())
    }

    /// Returns all its sets: kind and name.
    pub fn sets(&self) -> impl Iterator<Item = (SetKind, String)> {
        let kinds = [SetKind::Hosts, SetKind::Flows, SetKind::Networks].into_iter();
        kinds.flat_map(|kind| [false, true].map(|ipv6| (kind, self.set(kind, ipv6))))
    }

    /// Returns the name of the set that holds the scope's ports.
    pub(super) fn port_set(&self) -> String {
        format!("ports_{}", word(&self.name))
    }

    /// Returns the scope's ports as elements of an nft set.
    fn port_text(&self) -> String {
        match &self.ports {
            Ports::All => port_elements(&[(0, u16::MAX)]),
            Ports::Ranges(ranges) => port_elements(ranges),
        }
    }

    /// Returns the rules that turn away whoever is in the scope's sets.
    fn rules(&self) -> String {
        // A SYN without ACK opens a connection.
        let opening = "tcp flags & (syn | ack) == syn ";
        let set = self.port_set();
        let of = |ports: &str| self.rules_for(ports, ports);
        match (&self.ports, self.blocktype) {
            (Ports::All, Blocktype::DropNew) => {
                of(opening) + &self.rules_for("meta l4proto != tcp ", "meta l4proto udp ")
            }
            (Ports::Ranges(_), Blocktype::DropNew) => {
                of(&format!("tcp dport @{set} {opening}")) + &of(&format!("udp dport @{set} "))
            }
            (Ports::All, _) => self.rules_for("", "meta l4proto { tcp, udp } "),
            (Ports::Ranges(_), _) => of(&format!("meta l4proto {{ tcp, udp }} th dport @{set} ")),
        }
    }

    /// Returns the rules for packets that match `ports`; of hosts whose ports are banned, for those that match `flows`: only
    /// with some protocols there are ports.
    fn rules_for(&self, ports: &str, flows: &str) -> String {
        let verdict = match self.blocktype {
            Blocktype::Drop | Blocktype::DropNew => "drop",
            Blocktype::Reject => "goto refuse",
        };
        let pair = |kind| [false, true].map(|ipv6| self.set(kind, ipv6));
        let [[v4, v6], [flow4, flow6], [net4, net6]] =
            [SetKind::Hosts, SetKind::Flows, SetKind::Networks].map(pair);
        let mask = mask(self.ipv6prefix);
        format!(
            "\t\t{ports}ip saddr @{v4} {verdict}\n\
             \t\t{ports}ip6 saddr & {mask} @{v6} {verdict}\n\
             \t\t{ports}ip6 saddr @{v6} {verdict}\n\
             \t\t{flows}ip saddr . th sport @{flow4} {verdict}\n\
             \t\t{flows}ip6 saddr . th sport @{flow6} {verdict}\n\
             \t\t{ports}ip saddr @{net4} {verdict}\n\
             \t\t{ports}ip6 saddr @{net6} {verdict}\n"
        )
    }
}

/// Everything about the kernel's table that the configuration decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structure {
    /// The scopes; [`ScopeId`] is an index into them. `all` and `sip`, dropping, with the default
    /// IPv6 prefix, are always the first two.
    pub scopes: Vec<Scope>,
    /// The names of the jails; [`JailId`] is an index into them.
    pub jails: Vec<String>,
    /// Addresses and networks that are never dropped, whatever the sets say.
    pub allow: Vec<IpNet>,
    /// The sets of lists whose networks are dropped.
    pub lists: Vec<ListSet>,
    /// What the sets of countries among the lists are for.
    #[serde(default)]
    pub geofence: Option<Fence>,
    /// Ports of this machine, over UDP and TCP, that only hosts reach that are never dropped:
    /// ranges as in [`Ports`].
    pub guarded: Vec<(u16, u16)>,
    /// The part of our own answers that is shown.
    pub wire: SipMonitor,
    /// Ports at which our PBX speaks SIP in TLS or WebSocket: who is answered there is recorded with its port.
    pub wrapped: BTreeSet<u16>,
    /// The ports of services that are not Asterisk's, as far as jails in use read of them.
    pub served: Vec<(u16, u16)>,
    /// Ports of [`AsteriskPorts::heard`](crate::model::exchange::AsteriskPorts::heard).
    pub heard: BTreeSet<u16>,
    /// The ports of the PBX's other services that are watched.
    #[serde(default)]
    pub services: ServicePorts,
}

/// A scope that the structure does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no scope number {0}")]
pub struct NoScope(pub u16);

impl Structure {
    /// Returns what `config` needs: the two scopes that are built in, and one for every further
    /// combination of port list, blocktype and IPv6 prefix that a jail (or its `unverified`) uses.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        // Asterisk's own ports are its services', whatever else is.
        let asterisk = &config.asterisk;
        let none = BTreeSet::new();
        let own = |name: &str| match name {
            "sip" => &asterisk.sip,
            "iax" => &asterisk.iax,
            "http" => &asterisk.websocket,
            _ => &none,
        };
        let with_own = |name: &str, ranges: &[(u16, u16)]| {
            let own = own(name).iter().map(|port| (*port, *port));
            Ports::Ranges(merged(ranges.iter().copied().chain(own)))
        };
        let ports = |name: &str| {
            let (_, ports) = config.ports.iter().find(|(known, _)| known == name)?;
            Some(match ports {
                Ports::Ranges(ranges) => with_own(name, ranges),
                Ports::All => Ports::All,
            })
        };
        let sip = ports("sip").unwrap_or_else(|| with_own("sip", &[]));
        let mut structure = Self {
            scopes: vec![
                Scope::builtin("all", Ports::All, config.ipv6prefix, "ban"),
                Scope::builtin("sip", sip, config.ipv6prefix, "sip"),
            ],
            jails: config.jails.iter().map(|jail| jail.name.clone()).collect(),
            allow: config.ignoreip.clone(),
            lists: Vec::new(),
            geofence: None,
            guarded: config.lists.guardedports.clone(),
            wire: config.wire.clone(),
            wrapped: config.asterisk.wrapped.clone(),
            served: Vec::new(),
            heard: config.asterisk.heard.clone(),
            services: ServicePorts::new(asterisk, ports),
        };
        for jail in &config.jails {
            for port in [&jail.port, &jail.unverified.port] {
                if structure.find_scope(port, jail.blocktype, jail.ipv6prefix).is_some() {
                    continue;
                }
                let Some(ports) = ports(port) else { continue };
                let scope = Scope::further(port, ports, jail.blocktype, jail.ipv6prefix);
                structure.scopes.push(scope);
            }
        }
        structure
    }

    /// Returns a name that the configuration does not allow: it might become a part of the ruleset.
    #[must_use]
    pub(crate) fn odd_name(&self) -> Option<&str> {
        let scopes = self.scopes.iter().flat_map(|scope| [&scope.name, &scope.sets]);
        let lists = self.lists.iter().map(|set| &set.name);
        let mut names = scopes.chain(lists).chain(&self.jails);
        names.find(|name| !is_name(name)).map(String::as_str)
    }

    /// Returns the scope with this number.
    #[must_use]
    pub fn scope(&self, id: ScopeId) -> Option<&Scope> {
        self.scopes.get(usize::from(id.0))
    }

    /// Returns the scope that closes the port list `port` in this way.
    #[must_use]
    pub fn find_scope(&self, port: &str, blocktype: Blocktype, ipv6prefix: u8) -> Option<ScopeId> {
        let index = self.scopes.iter().position(|scope| {
            scope.name == port && scope.blocktype == blocktype && scope.ipv6prefix == ipv6prefix
        })?;
        u16::try_from(index).ok().map(ScopeId)
    }

    /// Returns the jail of this name.
    #[must_use]
    pub fn jail(&self, name: &str) -> Option<JailId> {
        let index = self.jails.iter().position(|jail| jail == name)?;
        u16::try_from(index).ok().map(JailId)
    }

    /// Returns the name of the set that `subject` is in when it is banned, and its key there.
    ///
    /// # Errors
    /// When there is no such scope.
    pub fn place(&self, scope: ScopeId, subject: Subject) -> Result<(String, SetKey), NoScope> {
        let found = self.existing_scope(scope)?;
        Ok((found.set_of(subject), found.key_of(subject)))
    }

    /// Returns a scope, as [`Structure::scope`] does.
    ///
    /// # Errors
    /// When there is no such scope.
    pub fn existing_scope(&self, id: ScopeId) -> Result<&Scope, NoScope> {
        self.scope(id).ok_or(NoScope(id.0))
    }

    /// Returns the scope that the set of this name belongs to, and its kind.
    #[must_use]
    pub fn scope_of_set(&self, set: &str) -> Option<(ScopeId, SetKind)> {
        let found = self.sets().find(|(_, _, own)| own == set);
        found.map(|(scope, kind, _)| (scope, kind))
    }

    /// Returns the scopes whose IPv6 networks have another length than in `before`, in the same sets.
    #[must_use]
    pub fn rekeys(&self, before: &Self) -> Vec<ScopeId> {
        let differs = |scope: &Scope| {
            let mut others = before.scopes.iter();
            others.any(|old| old.sets == scope.sets && old.ipv6prefix != scope.ipv6prefix)
        };
        let numbered = (0..).zip(&self.scopes).filter(|(_, scope)| differs(scope));
        numbered.map(|(id, _)| ScopeId(id)).collect()
    }

    /// Returns all sets that bans go to: their scope, kind and name.
    pub(crate) fn sets(&self) -> impl Iterator<Item = (ScopeId, SetKind, String)> {
        let all = |(id, scope): (u16, &Scope)| {
            let sets: Vec<_> = scope.sets().collect();
            sets.into_iter().map(move |(kind, set)| (ScopeId(id), kind, set))
        };
        (0..).zip(&self.scopes).flat_map(all)
    }

    /// Returns the subject that a key in the sets of `scope` means.
    #[must_use]
    pub fn subject(&self, scope: ScopeId, key: SetKey) -> Option<Subject> {
        let scope = self.scope(scope)?;
        let (address, subject) = match key {
            SetKey::Flow(address, port) => (address, Subject::flow(address, port)?),
            SetKey::Host(address) => {
                let single = Subject::of(address, 128);
                let is_single = single.is_single_within(scope.ipv6prefix);
                (address, if is_single { single } else { Subject::of(address, scope.ipv6prefix) })
            }
            SetKey::Network(net) => {
                let subject = Subject::from(net);
                let is_there = scope.kind_of(subject) == SetKind::Networks;
                (net.addr(), Some(subject).filter(|_| is_there)?)
            }
        };
        // An IPv4 address in IPv6 dress: no packet looks like that.
        (subject.is_ipv6() == address.is_ipv6()).then_some(subject)
    }

    /// Returns the element that is found in the sets of `scope` with this key and a comment.
    pub(crate) fn adopted(
        &self,
        scope: ScopeId,
        key: SetKey,
        until: Option<Time>,
        comment: Option<&str>,
    ) -> Option<KernelElement> {
        let subject = self.subject(scope, key)?;
        let jail = comment.and_then(|name| self.jail(name));
        let element = Element { scope, subject, until, jail: jail.unwrap_or(JailId(0)) };
        Some(KernelElement { element, known_jail: jail.is_some() })
    }

    /// Bits of an IPv6 address that count for the scopes that are built in.
    pub(crate) fn ipv6prefix(&self) -> u8 {
        self.scopes.first().map_or(64, |scope| scope.ipv6prefix)
    }

    /// Returns the text for `nft -f -` that declares all of it, in one transaction, whatever of it was
    /// there before. What the sets hold stays, but for the ports and the allowed addresses.
    #[must_use]
    pub fn ruleset(&self) -> String {
        let (builtin, further) = self.scopes.split_at(self.scopes.len().min(2));
        let sip_ports = builtin.get(1).map_or_else(|| port_elements(&[]), Scope::port_text);
        let mut text = format!(
            "define sip_ports = {sip_ports}\ndefine ipv6_mask = {}\n\n{INCLUDE}",
            mask(self.ipv6prefix())
        );
        self.write_allowed(&mut text);
        write_further(&mut text, further);
        write_lists(&mut text, &self.lists);
        write_guarded(&mut text, &self.guarded);
        if let Some(fence) = self.geofence {
            write_geofence(&mut text, fence, &self.lists, self.ipv6prefix());
        }
        write_passed(&mut text, &self.scopes, &self.heard);
        text
    }

    /// Refills the allow sets.
    fn write_allowed(&self, text: &mut String) {
        for (set, ipv6) in ALLOWED {
            let mine = self.allow.iter().filter(|net| matches!(net, IpNet::V6(_)) == ipv6);
            if let Some(nets) = net_elements(mine) {
                let _ = writeln!(text, "\nadd element inet {TABLE} {set} {nets}");
            }
        }
    }
}

/// Declares the sets of the further scopes and appends their rules.
fn write_further(text: &mut String, further: &[Scope]) {
    if further.is_empty() {
        return;
    }
    let port_sets: BTreeMap<String, String> = further
        .iter()
        .filter(|scope| scope.ports != Ports::All && scope.name != "sip")
        .map(|scope| (scope.port_set(), scope.port_text()))
        .collect();
    let _ = writeln!(text, "\ntable inet {TABLE} {{");
    for set in port_sets.keys() {
        let _ = writeln!(
            text,
            "\tset {set} {{\n\t\ttype inet_service\n\t\tflags interval\n\t\tauto-merge\n\t}}"
        );
    }
    for scope in further {
        for (ipv6, kind) in [(false, "ipv4_addr"), (true, "ipv6_addr")] {
            let flows = format!("{kind} . inet_service");
            for (set, kind, size, flags) in [
                (SetKind::Hosts, kind, SET_SIZE, "dynamic,timeout"),
                (SetKind::Flows, flows.as_str(), FLOW_SET_SIZE, "dynamic,timeout"),
                (SetKind::Networks, kind, NETWORK_SET_SIZE, "interval,timeout"),
            ] {
                let set = scope.set(set, ipv6);
                let _ = writeln!(
                    text,
                    "\tset {set} {{\n\t\ttype {kind}\n\t\tsize {size}\n\t\tflags {flags}\n\t\tcounter\n\t}}"
                );
            }
        }
    }
    text.push_str("}\n\n");
    for (set, ports) in &port_sets {
        let _ =
            writeln!(text, "flush set inet {TABLE} {set}\nadd element inet {TABLE} {set} {ports}");
    }
    let rules: String = further.iter().map(Scope::rules).collect();
    let _ = writeln!(text, "\ntable inet {TABLE} {{\n\tchain prerouting {{\n{rules}\t}}\n}}");
}

/// Appends the rule that closes ports of this machine to every host whose packets have come so far.
fn write_guarded(text: &mut String, ports: &[(u16, u16)]) {
    if ports.is_empty() {
        return;
    }
    // Only what is for this machine: `fib` knows its addresses. A connection that is under way, or
    // that this machine began, goes on.
    let to = format!("th dport {} fib daddr type local counter drop", port_elements(ports));
    let _ = writeln!(
        text,
        "\ntable inet {TABLE} {{\n\tchain prerouting {{\n\
         \t\ttcp flags & (syn | ack) == syn {to}\n\
         \t\tmeta l4proto udp {to}\n\t}}\n}}"
    );
}

/// Port ranges as nft writes them. nft has no empty list; no packet is for port 0.
pub(super) fn port_elements(ranges: &[(u16, u16)]) -> String {
    let ranges: Vec<_> = ranges.iter().copied().map(range_words).collect();
    if ranges.is_empty() { "{ 0 }".to_owned() } else { format!("{{ {} }}", ranges.join(", ")) }
}

/// Kinds and names of the chains, sets and counters that a text of ours declares.
pub(crate) fn declarations(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let declared = (words.next()?, words.next()?);
        let opens = words.next() == Some("{") && words.next().is_none();
        (opens && matches!(declared.0, "chain" | "set" | "counter")).then_some(declared)
    })
}

/// Whether the configuration decides what the set of this name holds: the hosts that we let pass, and ports.
pub(crate) fn is_filled(set: &str) -> bool {
    matches!(set, "allow4" | "allow6" | "wire_pbx4" | "wire_pbx6" | "talked_ports" | "heard_ports")
        || set == "served_ports"
        || matches!(set, "iax_ports" | "ami_ports" | "http_ports")
        || set.starts_with("ports_")
}

/// Networks as nft writes the elements of a set; `None` for none. Overlaps are merged, since not
/// every `nft` copes with them.
pub(crate) fn net_elements<'a>(nets: impl Iterator<Item = &'a IpNet>) -> Option<String> {
    let nets = IpNet::aggregate(&nets.map(IpNet::trunc).collect());
    let nets: Vec<_> = nets.iter().map(ToString::to_string).collect();
    (!nets.is_empty()).then(|| format!("{{ {} }}", nets.join(", ")))
}

#[cfg(test)]
pub(crate) mod tests;
