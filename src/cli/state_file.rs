//! Reads what the state file says of a host, whether a daemon runs or not.

use std::fs::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Exit;
use super::ban::length;
use super::output::Failure;
use crate::config::FLEET;
use crate::control::explain::HostReport;
use crate::daemon::requests;
use crate::daemon::{self, STATE_DIR};
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::model::event::Evidence;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::store::{self, BanRecord, EventReader, StoreError};
use crate::sys::clock::now;

/// Where the state file is.
#[derive(Debug, Args)]
pub struct StateDirArg {
    /// Directory where the daemon stores its state
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    pub state_dir: PathBuf,
}

impl StateDirArg {
    /// Whether there is a state file.
    ///
    /// # Errors
    /// When nobody but others may know.
    pub fn is_there(&self) -> Result<bool, Failure> {
        let path = self.state_dir.join(store::FILE);
        match File::open(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => {
                if error.kind() != ErrorKind::PermissionDenied {
                    return Err(self.unreadable(&error.into()));
                }
                let seen = format!("you may not read {}", path.display());
                let todo = "run this as root, or as a member of the group asterguard";
                let message = Trouble::new(seen, todo).to_string();
                Err(Failure { exit: Exit::NotPermitted, message })
            }
        }
    }

    /// Returns the failure to read the state file.
    pub fn unreadable(&self, error: &StoreError) -> Failure {
        let path = self.state_dir.join(store::FILE);
        Failure { exit: Exit::BadState, message: format!("{}: {error}", path.display()) }
    }

    /// Opens the events.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self) -> Result<EventReader, Failure> {
        EventReader::open(&self.state_dir).map_err(|error| self.unreadable(&error))
    }

    /// Returns the file as the kernel knows it; `None` if there is none.
    pub fn file(&self) -> Option<(u64, u64)> {
        let metadata = std::fs::metadata(self.state_dir.join(store::FILE)).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
}

/// Reads a moment of the past: how long ago it was, or a date, with a time of day or without one.
pub fn moment(text: &str) -> Result<Time, String> {
    if let Ok(ago) = length(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Time::from_millis(now().millis().saturating_sub(ago)));
    }
    let date: jiff::civil::DateTime = text.parse().map_err(|_| {
        "write how long ago it was, like 7d or 12h, or a date like 2026-11-22 or 2026-11-22T08:00"
    })?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::system());
    let zoned = zoned.map_err(|error| error.to_string())?;
    Ok(Time::from_millis(zoned.timestamp().as_millisecond()))
}

/// Earlier bans that are shown.
const MOST: usize = 20;

/// A ban of the past, or one in force. Times are in seconds since the epoch.
#[derive(Debug, Serialize)]
pub struct StoredBan {
    pub host: String,
    pub jail: String,
    pub since: i64,
    /// The time when it would have ended by itself; `None`: never.
    until: Option<i64>,
    /// The time when it ended; `None`: it is in force.
    pub ended: Option<i64>,
    /// The way in which it ended: `expired`, `lifted`, `ignored` or `replaced`.
    pub how: Option<&'static str>,
    offences: u32,
    evidence: Evidence,
    rule: Option<String>,
    /// The person who ordered it, and the reason, in the person's words.
    by: Option<String>,
    comment: Option<String>,
    /// The accounts that the host tried, as far as they are known.
    pub accounts: Vec<String>,
}

impl From<BanRecord> for StoredBan {
    fn from(ban: BanRecord) -> Self {
        let (ended, how) = ban.ended.unzip();
        let (by, comment) = ban.note.map(|note| (note.by, note.comment)).unzip();
        Self {
            host: ban.host.to_string(),
            jail: ban.jail.to_string(),
            since: ban.since.secs(),
            until: ban.until.map(Time::secs),
            ended: ended.map(Time::secs),
            how: how.map(store::word),
            offences: ban.attempts,
            evidence: ban.evidence,
            rule: ban.rule.map(|(name, _)| name.to_string()),
            by,
            comment: comment.flatten(),
            accounts: ban.accounts.iter().map(ToString::to_string).collect(),
        }
    }
}

impl StoredBan {
    fn is_flow(&self) -> bool {
        self.host.parse().is_ok_and(|whom: Subject| whom.is_flow())
    }

    /// Returns why the host was banned.
    pub fn why(&self) -> String {
        match &self.rule {
            None if self.jail == FLEET => {
                let by = self.by.as_deref().unwrap_or("a peer");
                let comment = self.comment.as_deref().unwrap_or_default();
                format!("by {by}: {comment}, {}", self.evidence)
            }
            Some(rule) => format!("{} offences, {}, {rule}", self.offences, self.evidence),
            None => {
                let by = self.by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
                let comment =
                    self.comment.as_ref().map_or(String::new(), |comment| format!(": {comment}"));
                format!("by hand{by}{comment}")
            }
        }
    }

    /// Returns a ban that is over in words, for people.
    pub fn in_words(&self) -> String {
        let time = |secs| Time::from_secs(secs).to_string();
        let (since, ended) = (time(self.since), self.ended.map(time).unwrap_or_default());
        let (Self { host, jail, .. }, how, why) = (self, self.how.unwrap_or_default(), self.why());
        // Of the host itself it goes without saying.
        let port = if self.is_flow() { format!(" of {host}") } else { String::new() };
        format!("earlier [{jail}]{port} {since} to {ended}, {how}: {why}")
    }
}

/// Returns the bans that a host, its network and its ports (or the port that was asked for) had, newest
/// first; `None` if the state file cannot be read.
pub fn earlier(state_dir: &Path, report: &HostReport) -> Option<Vec<StoredBan>> {
    let mut hosts = vec![report.host.to_string(), report.network.clone()];
    hosts.dedup();
    hosts.extend(report.port.map(|port| SocketAddr::new(report.host, port).to_string()));
    let all_ports = report.port.is_none().then_some(report.host);
    let bans = store::of_hosts(state_dir, &hosts, all_ports, MOST)?;
    let over = bans.into_iter().filter(|ban| ban.ended.is_some());
    Some(over.map(StoredBan::from).collect())
}

/// Returns what configuration and state file say of a host, and how far that can be trusted.
pub fn report(plan: Plan, state_dir: &Path, whom: Subject) -> (HostReport, String) {
    let plan = Arc::new(plan);
    let Some(stored) = daemon::stored(&plan, state_dir) else {
        let engine = Engine::new(plan);
        let report = requests::explain::explain(&engine, whom, now(), |_| String::new());
        let words =
            "This is what the configuration says: nothing is stored, or you may not read it";
        // Nobody has looked.
        return (HostReport { bans: None, ..report }, words.to_owned());
    };
    let path = |channel| stored.logs.get(&channel).cloned().unwrap_or_else(|| "?".to_owned());
    let report = requests::explain::explain(&stored.engine, whom, now(), path);
    let mut words = match stored.saved {
        Some(saved) => format!("This is what was stored last, at {saved}"),
        None => "This is what is stored".to_owned(),
    };
    if let Some(problem) = stored.problem {
        words += "; ";
        words += &problem;
    }
    (report, words)
}
