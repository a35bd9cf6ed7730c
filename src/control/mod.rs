//! What the command line and the daemon say to each other: one line of JSON each way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::hosts::lists::Feed;
use crate::model::event::{Class, Evidence};
use crate::model::exchange::Exchange;
use crate::model::time::Time;

/// Where the daemon listens unless it is told otherwise.
pub const SOCKET: &str = "/run/asterguard/asterguard.sock";

/// The longest request that the daemon reads, in bytes.
pub const LONGEST_REQUEST: u64 = 64 << 10;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    /// How things stand, of one jail or of all.
    Status {
        jail: Option<String>,
        #[serde(default)]
        detail: Detail,
    },
    /// Read configuration and rules again.
    Reload,
    /// Ban a host. `seconds`: how long; `None` with `permanent` unset: as long as the jail would.
    Ban { host: IpAddr, jail: Option<String>, seconds: Option<u64>, permanent: bool },
    /// Lift the bans in a network, or all.
    Unban { net: Option<IpNet>, jail: Option<String> },
    /// Stop dropping for so many seconds; `None`: until told otherwise.
    Pause { seconds: Option<u64> },
    /// Drop again.
    Resume,
    /// The failregexes that a jail counts.
    Failregex { jail: String },
    /// Where a host stands, and why.
    Explain { host: IpAddr },
    /// Whether kernel, configuration and memory agree; `repair`: have the kernel agree with memory.
    Verify { repair: bool },
    /// Who is never banned: by any jail, and by this one.
    Ignoreip { jail: Option<String> },
    /// Who is banned, or the bans of a host.
    Banned { host: Option<IpAddr> },
    /// What is in a list, or in it for this host.
    List { list: ListName, host: Option<IpAddr> },
}

/// How much of a status is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// With every ban.
    #[default]
    Full,
    /// Without the list of bans: this takes no time, however many there are.
    Brief,
}

/// A list that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListName {
    /// Who is let through, whatever is banned
    Allow,
    /// Who is dropped because you say so
    Block,
    /// What others say is bad: feeds
    Feed,
    /// Hosts from which somebody has logged in lately
    KnownGood,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// It is done; what was done, for people.
    Done { message: String },
    /// It was not done, and why. `usage` is set when the request itself was wrong.
    Failed { message: String, usage: bool },
    /// How things stand.
    Status(Box<Status>),
    /// Failregexes.
    Failregex { rules: Vec<RuleText> },
    /// Where a host stands.
    Explain(Box<HostReport>),
    /// Who is never banned, and why.
    Ignoreip { ignored: Vec<crate::model::listed::ExemptNetwork> },
    /// How kernel, configuration and memory differ.
    Verification(Verification),
    /// Who is banned.
    Banned { bans: Vec<NamedBan> },
    /// The entries of `block`.
    Block { blocked: Vec<BlockReport> },
    /// The feeds.
    Feed { feeds: Vec<FeedReport>, dropped: Dropped },
    /// Hosts that are known good.
    #[serde(rename = "known-good")]
    KnownGood { known: Vec<KnownHost> },
}

impl Answer {
    /// Something did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), usage: false }
    }

    /// The request makes no sense.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), usage: true }
    }
}

/// How kernel, configuration and memory differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The differences, [`MOST_DIFFERENCES`] at most.
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub count: usize,
    /// Whether those of the kernel have been mended.
    pub repaired: bool,
}

/// The most differences that are told one by one.
pub const MOST_DIFFERENCES: usize = 1000;

/// Something that is not the same in two places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What kind of thing.
    pub kind: DifferenceKind,
    /// Whose ban it is about, if it is about one.
    pub host: Option<String>,
    /// The scope of that ban.
    pub scope: Option<String>,
    /// All of it, for people.
    pub message: String,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// The table, a chain, a set, rules, or what the configuration puts into a set.
    Structure,
    /// A ban that the kernel does not have.
    Missing,
    /// A ban that ends at another time in the kernel.
    End,
    /// An element in the kernel that is no ban.
    Extra,
    /// The pause.
    Pause,
    /// The configuration's files and what is in force.
    Configuration,
}

/// How the guard is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// All is well.
    Ok,
    /// Something is wrong; see the problems.
    Degraded,
    /// Nothing is dropped, because somebody said so.
    Paused,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In one word.
    pub health: Health,
    /// What is wrong, for people.
    pub problems: Vec<String>,
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Whether bans are only said, not put into force.
    pub dry_run: bool,
    /// When a pause ends (seconds since the epoch), if there is one that ends by itself.
    pub paused_until: Option<i64>,
    /// The jails, or the one that was asked for.
    pub jails: Vec<JailStatus>,
    /// The files that are read.
    pub sources: Vec<SourceStatus>,
    /// What is seen on the wire.
    #[serde(default)]
    pub wire: WireStatus,
    /// How many networks are never banned, by what they are: `ignoreip`, `own`, `gateway`,
    /// `resolver`, `session`, `trunk`.
    pub never_banned: BTreeMap<String, usize>,
    /// Changes that the kernel has yet to be told of.
    pub queue: usize,
    /// Who has logged in.
    pub logins: LoginStatus,
    /// Where bans go.
    pub sinks: Vec<SinkStatus>,
    /// What outlives the daemon.
    #[serde(default)]
    pub store: StoreStatus,
}

/// How the state file stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `stored`, `in memory only`, or `off` in a dry run.
    pub state: String,
    /// Where the file is; `null` in a dry run.
    pub path: Option<String>,
    /// Why nothing is stored; `null` if it is.
    pub trouble: Option<String>,
    /// Bytes of the file, with what is not folded into it yet. What it holds is `null` if it cannot be read.
    pub bytes: Option<u64>,
    /// Bans in force.
    pub bans: Option<u64>,
    /// Bans that are over.
    pub past: Option<u64>,
    /// Hosts whose offences are counted, once for each log and jail.
    pub offenders: Option<u64>,
    /// Hosts that are known good.
    pub known_good: Option<u64>,
    /// When it was last stored how far the guard has come, in seconds since the epoch; `null` if it was
    /// not since the start.
    pub checkpoint: Option<i64>,
    /// How many seconds ago that was.
    pub checkpoint_ago: Option<u64>,
    /// How many milliseconds it took.
    pub checkpoint_took: Option<u64>,
}

/// Whether the phones are well. Only logins that can be believed count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStatus {
    /// When the last one was, in seconds since the epoch; `null` if none was seen.
    pub last: Option<i64>,
    /// How many seconds ago that was.
    pub ago: Option<u64>,
    /// From where.
    pub host: Option<String>,
    /// Hosts with a login within the last five minutes.
    pub lately: usize,
    /// How many bans in force are of hosts with a login at any time before.
    pub banned: usize,
    /// Some of these hosts.
    pub banned_hosts: Vec<String>,
}

/// How one of the ways to put bans into force does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// What it is: `netlink`, `nft`, `dry run`.
    pub sink: String,
    /// Changes that wait.
    pub queue: usize,
    /// Bans that it does not take, each tried again until it does.
    pub refused: usize,
    /// Why it does not work now; `null` if it does.
    pub error: Option<String>,
    /// What last went wrong.
    pub last_error: Option<PastError>,
    /// When the table was last built anew because it was gone, in seconds since the epoch.
    pub last_heal: Option<i64>,
}

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastError {
    /// In seconds since the epoch.
    pub time: i64,
    /// In words.
    pub error: String,
}

impl PastError {
    /// What went wrong at `time`.
    #[must_use]
    pub fn new(time: Time, error: &str) -> Self {
        Self { time: time.secs(), error: error.to_owned() }
    }
}

/// How the wire stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WireStatus {
    /// `listening`, `starting`, `not available`, or `off` and why.
    pub state: String,
    /// Why it is not available.
    pub trouble: Option<String>,
    /// What was seen so far.
    #[serde(flatten)]
    pub numbers: crate::exchange::Numbers,
    /// What was seen and there was no room for.
    pub dropped: u64,
    /// What the kernel's own limiter has found.
    pub limiter: LimiterStatus,
}

/// What the kernel's own limiter has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimiterStatus {
    /// What is done with them.
    pub mode: crate::config::Limiter,
    /// Hosts that were over a rate within ten minutes.
    pub hosts: usize,
    /// And since the start.
    pub total: u64,
    /// Whether one of its sets is full, so that it cannot find others.
    pub full: bool,
}

impl Default for LimiterStatus {
    fn default() -> Self {
        Self { mode: crate::config::Limiter::Off, hosts: 0, total: 0, full: false }
    }
}

/// How one jail stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JailStatus {
    /// Its name.
    pub jail: String,
    /// `enforce` or `observe`.
    pub mode: crate::config::Mode,
    /// Hosts with an offence within findtime.
    pub currently_failed: usize,
    /// Offences counted.
    pub total_failed: u64,
    /// Offences of hosts that are never banned.
    pub ignored: u64,
    /// Offences that were excused because their hosts are known good.
    pub excused: u64,
    /// Unverified bans that were withheld because there were too many at once.
    pub withheld: u64,
    /// Offences whose address could not be trusted.
    pub hearsay: u64,
    /// When an offence was last counted, in seconds since the epoch.
    pub last_failed: Option<i64>,
    /// The files it reads.
    pub files: Vec<String>,
    /// Bans in force.
    pub currently_banned: usize,
    /// Bans decided.
    pub total_banned: u64,
    /// The bans in force, longest first.
    pub banned: Vec<BanStatus>,
}

/// One ban in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BanStatus {
    /// Who: an address, or an IPv6 network.
    pub host: String,
    /// What is closed to it.
    pub scope: String,
    /// Seconds left; `null` for a permanent ban.
    pub left: Option<u64>,
    /// When it began, in seconds since the epoch.
    pub since: i64,
    /// Offences counted; 0 for a ban by hand or one that was found in the kernel.
    pub offences: u32,
    /// What it rests on; `proven` for a ban by hand.
    pub evidence: Evidence,
    /// Whether no offence led to it: somebody ordered it, or it was found in the kernel.
    #[serde(default)]
    pub by_hand: bool,
    /// The rule that completed the count, as `filter/id`.
    pub rule: Option<String>,
    /// What was dropped of it; `null` if the kernel does not say.
    #[serde(flatten)]
    pub dropped: Dropped,
    /// When it was last seen sending packets, in seconds since the epoch; `null` if it was not: it
    /// is seen when its counter has moved between two looks.
    pub knocked: Option<i64>,
}

/// How one log file stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its path.
    pub path: String,
    /// `following`, or why it is not followed.
    pub state: String,
    /// Lines read.
    pub lines: u64,
    /// When the last one was read, in seconds since the epoch.
    pub last_line: Option<i64>,
    /// Seconds since then, or since the file was first looked at.
    pub silent_for: u64,
    /// Bytes that have not been read yet.
    pub unread: u64,
    /// Seconds since all was read, if there are such bytes.
    pub lag: u64,
    /// How many times it could not be read.
    pub errors: u64,
    /// Why not, the last time.
    pub last_error: Option<PastError>,
    /// Lines that a rule matched.
    pub hits: u64,
    /// Of these, lines that name two hosts.
    pub tampered: u64,
    /// Of these, lines whose address cannot be trusted.
    pub hearsay: u64,
    /// Which rules the tampered and hearsay lines are of, those with the most first.
    pub unbelieved: Vec<RuleCount>,
    /// Lines too long to be believed.
    pub oversized: u64,
    /// Whether all lines are hearsay because the file holds free text.
    pub free_text: bool,
}

impl SourceStatus {
    /// The rules whose lines name two hosts, for people.
    #[must_use]
    pub fn tampered_rules(&self) -> String {
        let counts = self.unbelieved.iter().filter(|count| count.tampered > 0);
        let words = counts.map(|count| format!("{} × {}", count.tampered, count.rule));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// How many lines of a rule could not be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// `filter/id`.
    pub rule: String,
    /// Lines that name two hosts.
    pub tampered: u64,
    /// Lines whose address cannot be trusted.
    pub hearsay: u64,
}

/// A rule as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// `filter/id`.
    pub rule: String,
    /// Its failregexes.
    pub failregex: Vec<String>,
}

/// Where a host stands, and what led there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostReport {
    /// Who.
    pub host: IpAddr,
    /// What would be banned: the host, or its IPv6 network.
    pub network: String,
    /// Whether it can be banned at all.
    pub bannable: bool,
    /// Why no jail bans it, beside what the configuration says: "the gateway", for example.
    pub protected: Option<String>,
    /// What it is known good by; `null` if it is not.
    pub known_good: Option<KnownGoodReport>,
    /// In each jail.
    pub jails: Vec<JailReport>,
    /// The bans in force.
    pub bans: Vec<NamedBan>,
    /// The last lines that named it, newest first.
    pub lines: Vec<LineReport>,
}

/// What a host is known good by. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownGoodReport {
    /// Accounts that have logged in.
    pub accounts: usize,
    /// Of these, those that fail now.
    pub failing: usize,
    /// Offences of others lately.
    pub unknown: u32,
    /// The last login.
    pub login: i64,
    /// In which log it stood.
    pub source: String,
    /// In which line.
    pub line: u64,
    /// When it is forgotten if there is no other.
    pub until: i64,
    /// Until when nothing is excused all the same; `null` if it is.
    pub ended: Option<i64>,
}

/// A host that is known good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// Who: an address, or an IPv6 network.
    pub host: String,
    /// By what.
    #[serde(flatten)]
    pub report: KnownGoodReport,
}

/// An entry of `block`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReport {
    /// Who.
    pub net: IpNet,
    /// `block`, or `hand` if somebody put it into `block4` or `block6` with `nft`.
    pub origin: String,
    /// In which file it is written.
    pub file: Option<Arc<str>>,
    /// In which line.
    pub line: Option<usize>,
    /// What was dropped; `null` if the kernel does not say. An entry within another has that of the
    /// other.
    #[serde(flatten)]
    pub dropped: Dropped,
}

/// What the kernel has dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Packets.
    pub packets: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

impl From<Option<(u64, u64)>> for Dropped {
    fn from(count: Option<(u64, u64)>) -> Self {
        let (packets, bytes) = count.unzip();
        Self { packets, bytes }
    }
}

/// A feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedReport {
    /// Its name.
    pub feed: String,
    /// Its file.
    pub path: String,
    /// Networks in it that lie in no other of them.
    pub networks: usize,
    /// Lines of it that were skipped.
    pub skipped: usize,
    /// Why it is not what its file says.
    pub problem: Option<String>,
    /// The network of it that the host is in that was asked for.
    pub net: Option<IpNet>,
}

impl FeedReport {
    /// A feed, and the network in it that `host` is in.
    #[must_use]
    pub fn new(feed: &Feed, host: Option<IpAddr>) -> Self {
        Self {
            feed: feed.name.clone(),
            path: feed.path.display().to_string(),
            networks: feed.networks.len(),
            skipped: feed.skipped,
            problem: feed.problem.clone(),
            net: host.and_then(|host| feed.networks.find(host)),
        }
    }
}

/// Where a host stands in one jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailReport {
    /// Which.
    pub jail: String,
    /// `enforce` or `observe`.
    pub mode: crate::config::Mode,
    /// The entry of `ignoreip` that the host is in.
    pub ignored_by: Option<String>,
    /// Offences within findtime.
    pub offences: u32,
    /// Of these, proven ones.
    pub proven: u32,
    /// Offences that bring a ban.
    pub maxretry: u32,
    /// Seconds that offences count.
    pub findtime: u64,
    /// Log by log.
    pub sources: Vec<SourceCount>,
}

/// Offences in one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCount {
    /// Its path.
    pub path: String,
    /// How many.
    pub offences: u32,
}

/// A ban in force, with its jail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedBan {
    /// Whose.
    pub jail: String,
    /// The ban.
    #[serde(flatten)]
    pub ban: BanStatus,
}

/// A line that named a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReport {
    /// When it was read, in seconds since the epoch.
    pub time: i64,
    /// Whom it named.
    pub host: IpAddr,
    /// In which log.
    pub source: String,
    /// Its number.
    pub line: u64,
    /// `filter/id`.
    pub rule: String,
    /// `offence`, `success`, `ignored` or `tampered`.
    pub meaning: String,
    /// Of an offence.
    pub class: Option<Class>,
    /// How far it is believed.
    pub evidence: Evidence,
    /// The exchange that it rests on, where our PBX's own answers were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
}
