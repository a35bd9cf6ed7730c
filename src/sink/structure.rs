//! What the kernel's table looks like: scopes, ports, masks, and the text that declares it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What the kernel does with a banned host's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blocktype {
    /// Silence.
    #[default]
    Drop,
    /// A TCP reset, or ICMP port unreachable.
    Reject,
}

/// The ports that a scope closes, over UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// All ports and all protocols.
    All,
    /// These ranges, both ends included, in ascending order, not overlapping.
    Ranges(Vec<(u16, u16)>),
}

/// What a ban closes: a named port list, how it is closed, and how wide an IPv6 ban is. Each scope
/// has a pair of sets of its own, named [`Scope::set`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The port list's name: `all`, `sip`, or one from `[ports]` (letters, digits, `-`, `_`).
    pub name: String,
    /// The ports themselves.
    pub ports: Ports,
    /// Drop or reject.
    pub blocktype: Blocktype,
    /// Bits of an IPv6 address that count (1 to 128).
    pub ipv6prefix: u8,
}

/// Everything about the kernel's table that the configuration decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// The scopes; [`ScopeId`](crate::event::ScopeId) is an index into them. `all` and `sip`,
    /// dropping, with the default IPv6 prefix, are always the first two.
    pub scopes: Vec<Scope>,
    /// The names of the jails; [`JailId`](crate::event::JailId) is an index into them.
    pub jails: Vec<String>,
    /// Addresses and networks that are never dropped, whatever the sets say.
    pub allow: Vec<IpNet>,
}
