//! What the administrator wants: the settings of the guard and of each jail.

pub mod diagnostic;
pub mod duration;
mod global;
mod jail_section;
mod lists;
pub mod load;
mod ports;
mod sip_monitor;
#[cfg(test)]
mod tests;
mod toml_reader;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use diagnostic::{Diagnostic, Diagnostics};
pub(crate) use jail_section::network;
pub use lists::{ListConfig, ListFile};
pub use load::{LoadError, load};
pub use sip_monitor::{Limiter, Wire};

use crate::model::event::Class;
use crate::model::hostname::HostName;
use crate::model::scope::{Blocktype, Ports};
use crate::model::time::BanTime;

/// The jail of bans that somebody ordered by hand, or that were found in the kernel without a
/// jail. It reads nothing, and no section of the configuration describes it.
pub const MANUAL: &str = "manual";

/// The jail that counts the proven bans of the others. It reads nothing either.
pub const RECIDIVE: &str = "recidive";

/// The whole configuration, defaults filled in and every value checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How much the daemon says.
    pub loglevel: LogLevel,
    /// Whether the hosts that Asterisk's configuration names as trunks are never banned.
    pub trunks: bool,
    /// The directory that Asterisk's configuration is in.
    pub asteriskconf: PathBuf,
    /// Addresses and networks that are never banned and always let through by the kernel.
    pub ignoreip: Vec<IpNet>,
    /// Names of hosts of which the same is true.
    pub ignorenames: Vec<HostName>,
    /// Bits of an IPv6 address that count, for the scopes `all` and `sip`.
    pub ipv6prefix: u8,
    /// What makes a host known good.
    pub knowngood: KnownGood,
    /// Unverified bans that may be a minute, of all jails together.
    pub maxunverified: u32,
    /// The named port lists: `all` and `sip` first, then those of `[ports]` by name.
    pub ports: Vec<(String, Ports)>,
    /// Whom to let pass and whom to block, and where that is written.
    pub lists: ListConfig,
    /// What is looked at of our PBX's own answers.
    pub wire: Wire,
    /// The jails in the order of their names; [`JailId`](crate::model::event::JailId) is an index.
    /// Disabled ones are left out.
    pub jails: Vec<Jail>,
}

/// A jail: which lines are read, what counts, and what happens to whom they name.
#[derive(Clone, Debug, PartialEq)]
pub struct Jail {
    /// Its name (letters, digits, `-`, `_`; at most 64 bytes).
    pub name: String,
    /// Enforce bans or only say what would be banned.
    pub mode: Mode,
    /// Which rule files count, as globs over their names.
    pub filter: Vec<glob::Pattern>,
    /// Which classes of offence count.
    pub class: Vec<Class>,
    /// Log files to follow, as paths that may hold `*`, `?` and `[…]`.
    pub logpath: Vec<String>,
    /// A ban comes with this many offences (at least 1) …
    pub maxretry: u32,
    /// … within this time.
    pub findtime: Duration,
    /// How long.
    pub bantime: BanTime,
    /// Which ports: the name of a list in [`Config::ports`].
    pub port: String,
    /// Drop or reject.
    pub blocktype: Blocktype,
    /// Never banned by this jail: its own and those of [`Config::ignoreip`].
    pub ignoreip: Vec<IpNet>,
    /// The names of hosts that are never banned by this jail: its own only.
    pub ignorenames: Vec<HostName>,
    /// Bits of an IPv6 address that count.
    pub ipv6prefix: u8,
    /// What a ban that rests on unverified evidence is like instead.
    pub unverified: Punishment,
    /// Whether proven bans of hosts that are still sending packets are renewed.
    pub renew: bool,
    /// Whether hearsay counts (as unverified evidence).
    pub hearsay: Hearsay,
}

/// The length and reach of a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Punishment {
    /// How long.
    pub bantime: BanTime,
    /// Which ports: the name of a list in [`Config::ports`].
    pub port: String,
}

/// What makes a host known good, and what ends that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGood {
    /// Whether there are such hosts at all.
    pub enabled: bool,
    /// How long a login counts.
    pub time: Duration,
    /// It ends with this many offences of accounts that have not logged in …
    pub maxunknown: u32,
    /// … within this time, and for as long.
    pub findtime: Duration,
    /// It also ends with this many failures of one account in a minute.
    pub maxrate: u32,
}

/// What a jail does with its decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Ban.
    #[default]
    Enforce,
    /// Say who would be banned.
    Observe,
}

/// What a jail does with lines whose address cannot be trusted from the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hearsay {
    /// Count them in `status`, ban nobody.
    #[default]
    Ignore,
    /// Treat them as unverified evidence: an attacker can then have innocent hosts banned.
    Count,
}

/// How much the daemon says, in fail2ban's words, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops the guard.
    Critical,
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warning,
    /// Bans and unbans too.
    #[default]
    Notice,
    /// Each counted offence too.
    Info,
    /// Everything.
    Debug,
}
