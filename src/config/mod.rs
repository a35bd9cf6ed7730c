//! The configuration: the settings of the guard and of each jail.

mod ami;
mod answered;
mod countries;
pub mod diagnostic;
pub mod duration;
pub(crate) mod fail2ban;
pub mod feeds;
pub mod fleet;
mod geoip;
mod global;
mod jail_section;
mod lists;
pub mod load;
mod log_time_zone;
mod named_sections;
pub(crate) mod network;
pub mod notify;
mod own_rules;
mod places;
mod ports;
pub mod settings;
mod sip_monitor;
pub(crate) mod spelling;
#[cfg(test)]
mod tests;
mod toml_reader;
pub mod unread_names;
mod warnings;

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use ami::{AmiAccess, is_user};
pub use countries::{Countries, FenceAction};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use feeds::{Content, Fetch, KeyUse, ListFile, Step};
pub use fleet::Fleet;
pub use geoip::GeoIp;
pub use lists::ListConfig;
pub use load::{LoadError, load};
pub use log_time_zone::LogTimeZone;
pub(crate) use network::network;
pub use notify::Notifier;
pub use own_rules::{OwnRules, PlacedText};
pub use places::Places;
pub use settings::Setting;
pub use sip_monitor::{Limiter, SipMonitor};

use crate::model::event::Class;
use crate::model::exchange::AsteriskPorts;
use crate::model::hostname::HostName;
use crate::model::scope::{Blocktype, Ports};
use crate::model::time::BanTime;

/// The jail of bans that somebody ordered by hand, or that were found in the kernel without a
/// jail. It reads nothing, and no section of the configuration describes it.
pub const MANUAL: &str = "manual";

/// The jail of the bans of the fleet's peers. It reads nothing, and no section of the configuration describes it.
pub const FLEET: &str = "fleet";

/// The jail that counts the proven bans of the others. It reads nothing either.
pub const RECIDIVE: &str = "recidive";

/// The whole configuration, defaults filled in and every value checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The amount of detail in what the daemon says.
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
    /// The things that make a host known good.
    pub knowngood: KnownGood,
    /// The settings for logins from networks that an account never used.
    pub newnetworks: NewNetworks,
    /// Unverified bans that may be a minute, of all jails together, by each origin.
    pub maxunverified: u32,
    /// The tags by which lines in the logs of others are known as Asterisk's; `<CONTAINER>` is any container.
    pub tag: Vec<String>,
    /// The zone of dates in logs that name none; `None`: the system's.
    pub logtimezone: Option<LogTimeZone>,
    /// The named port lists: `all` and `sip` first, then those of `[ports]` by name.
    pub ports: Vec<(String, Ports)>,
    /// The networks to let pass and to block, and the places where they are written.
    pub lists: ListConfig,
    /// The settings for what is looked at of our PBX's own answers.
    pub wire: SipMonitor,
    /// Where the manager interface (AMI) is asked for events; `None` without a section for it.
    pub ami: Option<AmiAccess>,
    /// The files that know the country and the network of a host.
    pub geoip: GeoIp,
    /// Who is told what the guard does, by name.
    pub notify: Vec<Notifier>,
    /// The fleet that bans are shared with; `None`: none.
    pub fleet: Option<Fleet>,
    /// The facts that are known of Asterisk's ports; found, not written.
    pub asterisk: AsteriskPorts,
    /// The `dateformat` of Asterisk's logger.conf, if it names one; found, not written.
    pub dateformat: Option<String>,
    /// The jails in the order of their names; [`JailId`](crate::model::event::JailId) is an index.
    /// Disabled ones are left out.
    pub jails: Vec<Jail>,
    /// The places where all of that is written.
    pub places: Places,
}

/// A jail: which lines are read, what counts, and what happens to the hosts that they name.
#[derive(Clone, Debug, PartialEq)]
pub struct Jail {
    /// Its name (letters, digits, `-`, `_`; at most 64 bytes).
    pub name: String,
    /// Enforce bans or only say what would be banned.
    pub mode: Mode,
    /// The rule files that count, as globs over their names.
    pub filter: Vec<glob::Pattern>,
    /// The failregexes in its own table, besides.
    pub own: OwnRules,
    /// The classes of offence that count.
    pub class: Vec<Class>,
    /// Log files to follow, as paths that may hold `*`, `?` and `[…]`.
    pub logpath: Vec<String>,
    /// The things that maxretry counts.
    pub count: Counting,
    /// A ban comes with this many offences (at least 1) …
    pub maxretry: u32,
    /// … within this time.
    pub findtime: Duration,
    /// The duration of a ban.
    pub bantime: BanTime,
    /// The ports: the name of a list in [`Config::ports`].
    pub port: String,
    /// Drop or reject.
    pub blocktype: Blocktype,
    /// Never banned by this jail: its own and those of [`Config::ignoreip`].
    pub ignoreip: Vec<IpNet>,
    /// The names of hosts that are never banned by this jail: its own only.
    pub ignorenames: Vec<HostName>,
    /// Bits of an IPv6 address that count.
    pub ipv6prefix: u8,
    /// The terms that apply instead to a ban that rests on unverified evidence.
    pub unverified: BanTerms,
    /// Whether proven bans of hosts that are still sending packets are renewed.
    pub renew: bool,
    /// Whether hearsay counts (as unverified evidence).
    pub hearsay: Hearsay,
}

impl Jail {
    /// Whether it is the jail of what others decide, which no section of the configuration describes.
    #[must_use]
    pub fn is_without_section(&self) -> bool {
        is_without_section(&self.name)
    }
}

/// Whether this is the name of a jail of what others decide, which no section of the configuration describes.
#[must_use]
pub fn is_without_section(jail: &str) -> bool {
    jail == MANUAL || jail == FLEET
}

/// The length and reach of a ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BanTerms {
    /// The duration of a ban.
    pub bantime: BanTime,
    /// The ports: the name of a list in [`Config::ports`].
    pub port: String,
}

/// The things that make a host known good, and those that end that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownGood {
    /// Whether there are such hosts at all.
    pub enabled: bool,
    /// The time for which a login counts.
    pub time: Duration,
    /// It ends with offences of this many accounts that have not logged in …
    pub maxunknown: u32,
    /// … within this time, and for as long.
    pub findtime: Duration,
    /// It also ends with this many failures of one account in a minute.
    pub maxrate: u32,
    /// Failures of accounts that have not logged in, a day, for which the host itself is not banned.
    pub maxtries: u32,
}

/// The settings for logins from networks that an account never used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNetworks {
    /// Whether they raise alarms.
    pub enabled: bool,
    /// The time after the first login of an account in which its networks are learned.
    pub learn: Duration,
}

/// The use that a jail, or the geofence, makes of its decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Ban.
    #[default]
    Enforce,
    /// Say which hosts would be banned.
    Observe,
}

/// The things that a jail counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counting {
    /// Each offence.
    #[default]
    Attempts,
    /// Different accounts: each counts once, however often the host fails at it. What is about no account counts
    /// each time; all accounts without a plain name are one where they may exist.
    Accounts,
    /// Bans, as the jail [`RECIDIVE`] counts them.
    Bans,
}

/// The use that a jail makes of lines whose address cannot be trusted from the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hearsay {
    /// Count them in `status`, ban nobody.
    #[default]
    Ignore,
    /// Treat them as unverified evidence: an attacker can then get innocent hosts banned.
    Count,
}

/// The amount of detail in what the daemon says, in fail2ban's words, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what stops the guard.
    Critical,
    /// Things that went wrong.
    Error,
    /// Things that may go wrong.
    Warning,
    /// Bans and unbans too.
    #[default]
    Notice,
    /// Each counted offence too.
    Info,
    /// Everything.
    Debug,
}
