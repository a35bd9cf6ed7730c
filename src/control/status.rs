//! The state of the guard, its files and its jails.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::banned::BanStatus;
use super::fleet::FleetSummary;
use super::geofence::FenceStatus;
use super::health::CheckResult;
use super::list::FetchStatus;
use super::{Answer, Query, Request};
use crate::model::event::Remedy;
use crate::model::time::Time;
use crate::model::words::counted;
use crate::notify::protocol::NotifyStatus;

/// Asks for the state of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// Only this jail.
    pub jail: Option<String>,
    /// The amount of detail.
    #[serde(default)]
    pub detail: Detail,
}

impl Query for StatusRequest {
    type Reply = Status;

    fn request(&self) -> Request {
        Request::Status(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Status(status) => Some(*status),
            _ => None,
        }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// The amount of a status that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// With every ban.
    #[default]
    Full,
    /// Without the list of bans: this takes no time, however many there are.
    Brief,
}

/// The state of the guard, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Health {
    /// All is well.
    Ok,
    /// Something is wrong; see the problems.
    Degraded,
    /// Nothing is dropped, because somebody paused it.
    Paused,
}

impl Health {
    /// Returns it of a guard with these pauses and problems.
    #[must_use]
    pub fn of(paused: &[PauseStatus], problems: &[String]) -> Self {
        match (paused.is_empty(), problems.is_empty()) {
            (false, _) => Self::Paused,
            (true, true) => Self::Ok,
            (true, false) => Self::Degraded,
        }
    }
}

/// The state of the guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// In one word.
    pub health: Health,
    /// The problems, in words for people: what was seen, and what to do.
    pub problems: Vec<String>,
    /// Every check, with what it has found.
    #[serde(default)]
    pub checks: Vec<CheckResult>,
    /// The geofence, if the configuration has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geofence: Option<FenceStatus>,
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Whether bans are only said, not put into force.
    pub dry_run: bool,
    /// The time when a pause ends (seconds since the epoch), if there is one that ends by itself.
    pub paused_until: Option<i64>,
    /// The number of hosts and networks that are banned, each once, however many bans it has.
    #[serde(default)]
    pub hosts_banned: usize,
    /// The pauses in force.
    #[serde(default)]
    pub paused: Vec<PauseStatus>,
    /// The jails, or the one that was asked for.
    pub jails: Vec<JailStatus>,
    /// The files that are read.
    pub sources: Vec<SourceStatus>,
    /// The state of the wire.
    #[serde(default)]
    pub wire: WireStatus,
    /// The number of networks that are never banned, by what they are: `ignoreip`, `own`, `gateway`,
    /// `resolver`, `session`, `trunk`.
    pub never_banned: BTreeMap<String, usize>,
    /// Changes that the kernel has yet to be told of.
    pub queue: usize,
    /// Bans that were seen to have no effect: 64 at most, those with the last packets first.
    #[serde(default)]
    pub without_effect: Vec<IneffectiveBan>,
    /// The hosts that have logged in.
    pub logins: LoginStatus,
    /// The accounts that many hosts guess at, those with the most hosts first.
    #[serde(default)]
    pub targeted: Vec<TargetedStatus>,
    /// The places that bans go to.
    pub sinks: Vec<SinkStatus>,
    /// The state that outlives the daemon.
    #[serde(default)]
    pub store: StoreStatus,
    /// The notifiers, as the process that tells said it last.
    #[serde(default)]
    pub notify: Vec<NotifyStatus>,
    /// The feeds that are fetched.
    #[serde(default)]
    pub feeds: Vec<FeedStatus>,
    /// The fleet that bans are shared with; not there if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetSummary>,
}

/// A feed that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// Its name.
    pub feed: String,
    /// The networks in it.
    pub networks: usize,
    /// How it is fetched, and what became of that.
    #[serde(flatten)]
    pub fetch: FetchStatus,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseStatus {
    /// The jail whose bans are not in force; `null`: nothing is dropped.
    pub jail: Option<String>,
    /// The time when it ends, in seconds since the epoch; `null`: somebody has to end it.
    pub until: Option<i64>,
    /// The person who ordered it; `null` if that is not known.
    pub by: Option<String>,
}

/// An account that many hosts guess at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetedStatus {
    /// Its name, or the first seven characters of it and `*`.
    pub account: String,
    /// The number of hosts within a day, 64 at most.
    pub hosts: usize,
    /// The time of the first failure, in seconds since the epoch.
    pub since: i64,
}

/// A ban whose host's packets came through all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IneffectiveBan {
    /// The banned host or network.
    pub host: String,
    /// The jail that banned it.
    pub jail: String,
    /// The name of the ports that the ban closes.
    pub scope: String,
    /// The port that the packets came to last, behind address translation.
    pub port: u16,
    /// The number of packets.
    pub packets: u64,
    /// The time when the first were found, in seconds since the epoch.
    pub since: i64,
    /// The time when the last were found.
    pub last: i64,
    /// `widened` to all ports, or why not: `unverified`, `byhand`, `unchanged` (all ports are closed already).
    pub outcome: Remedy,
    /// What is to be done about it, for people.
    pub advice: String,
}

impl IneffectiveBan {
    /// Returns it in words.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { jail, port, packets, since, outcome, advice, .. } = self;
        let packets = counted(*packets, "packet");
        let since = Time::from_secs(*since);
        format!(
            "no effect of the ban [{jail}]: {packets} to port {port} came through since {since}; {}. {advice}",
            outcome.in_words()
        )
    }
}

/// The state of the state file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `stored`, `in memory only`, or `off` in a dry run.
    pub state: String,
    /// The path of the file; `null` in a dry run.
    pub path: Option<String>,
    /// The reason why nothing is stored; `null` if it is.
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
    /// The time when the progress of the guard was last stored, in seconds since the epoch; `null` if it
    /// was not since the start.
    pub checkpoint: Option<i64>,
    /// The number of seconds since then.
    pub checkpoint_ago: Option<u64>,
    /// The number of milliseconds that it took.
    pub checkpoint_took: Option<u64>,
}

/// Whether the phones are well. Only logins that can be believed count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStatus {
    /// The time of the last login, in seconds since the epoch; `null` if none was seen.
    pub last: Option<i64>,
    /// The number of seconds since then.
    pub ago: Option<u64>,
    /// The host that it came from.
    pub host: Option<String>,
    /// The number of logins since the start.
    #[serde(default)]
    pub total: u64,
    /// Hosts with a login within the last five minutes.
    pub lately: usize,
    /// The number of bans in force that are of hosts with a login at any time before.
    pub banned: usize,
    /// Some of these hosts.
    pub banned_hosts: Vec<String>,
}

/// The state of one of the places that bans go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkStatus {
    /// The kind of the place: `netlink`, `nft`, `dry run`.
    pub sink: String,
    /// Changes that wait.
    pub queue: usize,
    /// Bans that it does not take, each tried again until it does.
    pub refused: usize,
    /// The reason why it does not work now; `null` if it does.
    pub error: Option<String>,
    /// The last error.
    pub last_error: Option<PastError>,
    /// The time when the table was last rebuilt because it was gone, in seconds since the epoch.
    pub last_heal: Option<i64>,
    /// The number of times that it was since the start.
    #[serde(default)]
    pub heals: u64,
}

/// An error, and the time when it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastError {
    /// In seconds since the epoch.
    pub time: i64,
    /// In words.
    pub error: String,
}

impl PastError {
    /// Returns the error that happened at `time`.
    #[must_use]
    pub fn new(time: Time, error: &str) -> Self {
        Self { time: time.secs(), error: error.to_owned() }
    }
}

/// The state of the wire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WireStatus {
    /// `listening`, `listening over UDP only`, `starting`, `not available`, or `off` and why.
    pub state: String,
    /// The reason why it is not available, or not over TCP.
    pub trouble: Option<String>,
    /// The numbers of what was seen so far.
    #[serde(flatten)]
    pub numbers: crate::exchange::Numbers,
    /// The number of things that were seen and there was no room for.
    pub dropped: u64,
    /// Lines that counted for nothing, because what they tell of was not seen.
    #[serde(default)]
    pub unmatched: u64,
    /// The hosts that the kernel's own limiter has found.
    pub limiter: LimiterStatus,
}

/// The hosts that the kernel's own limiter has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimiterStatus {
    /// The action that is taken with them.
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

/// The state of one jail.
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
    /// Unverified bans that were withheld because there were too many at the same time.
    pub withheld: u64,
    /// Offences whose address could not be trusted.
    pub hearsay: u64,
    /// The time when an offence was last counted, in seconds since the epoch.
    pub last_failed: Option<i64>,
    /// The files it reads.
    pub files: Vec<String>,
    /// Bans in force.
    pub currently_banned: usize,
    /// Bans decided.
    pub total_banned: u64,
    /// Bans that would be in force, were it not for observing only.
    #[serde(default)]
    pub currently_observed: usize,
    /// Such bans since the start.
    #[serde(default)]
    pub total_observed: u64,
    /// The bans in force, longest first.
    pub banned: Vec<BanStatus>,
}

/// The state of one log file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its path.
    pub path: String,
    /// `following`, or why it is not followed.
    pub state: String,
    /// Lines read.
    pub lines: u64,
    /// The time when the last line was read, in seconds since the epoch.
    pub last_line: Option<i64>,
    /// Seconds since then, or since the file was first looked at.
    pub silent_for: u64,
    /// Bytes that have not been read yet.
    pub unread: u64,
    /// Seconds since all was read, if there are such bytes.
    pub lag: u64,
    /// The number of times that it could not be read.
    pub errors: u64,
    /// The error of the last time that it could not be read.
    pub last_error: Option<PastError>,
    /// Lines that a rule matched.
    pub hits: u64,
    /// Of these, lines that name two hosts.
    pub tampered: u64,
    /// Of these, lines whose address cannot be trusted.
    pub hearsay: u64,
    /// The rules that the tampered and hearsay lines are of, those with the most first.
    pub unbelieved: Vec<RuleCount>,
    /// Lines too long to be believed.
    pub oversized: u64,
    /// Whether lines were not believed within the last ten minutes because they stood right behind VERBOSE or
    /// DEBUG lines.
    pub free_text: bool,
    /// Whether a line in a form that the jails' rules are for was read, or none yet.
    #[serde(default)]
    pub recognized: bool,
}

impl SourceStatus {
    /// Returns the rules whose lines name two hosts, for people.
    #[must_use]
    pub fn tampered_rules(&self) -> String {
        let counts = self.unbelieved.iter().filter(|count| count.tampered > 0);
        let words = counts.map(|count| format!("{} × {}", count.tampered, count.rule));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// The number of lines of a rule that could not be believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleCount {
    /// `filter/id`.
    pub rule: String,
    /// Lines that name two hosts.
    pub tampered: u64,
    /// Lines whose address cannot be trusted.
    pub hearsay: u64,
}
