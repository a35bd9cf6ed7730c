//! Reads what the state file says of a host, whether a daemon runs or not.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::control::explain::HostReport;
use crate::daemon::requests;
use crate::daemon::{self};
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::model::event::Evidence;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::store::{self, BanRecord};
use crate::sys::clock::now;

/// Earlier bans that are shown.
const MOST: usize = 20;

/// A ban that is over. Times are in seconds since the epoch.
#[derive(Debug, Serialize)]
pub struct Earlier {
    host: String,
    jail: String,
    since: i64,
    /// The time when it would have ended by itself; `None`: never.
    until: Option<i64>,
    ended: i64,
    /// The way in which it ended: `expired`, `lifted`, `ignored` or `replaced`.
    how: &'static str,
    offences: u32,
    evidence: Evidence,
    rule: Option<String>,
    /// The person who ordered it, and the reason, in the person's words.
    by: Option<String>,
    comment: Option<String>,
}

impl Earlier {
    fn of(ban: BanRecord) -> Option<Self> {
        let (ended, how) = ban.ended?;
        let (by, comment) = ban.note.map(|note| (note.by, note.comment)).unzip();
        Some(Self {
            host: ban.host.to_string(),
            jail: ban.jail,
            since: ban.since.secs(),
            until: ban.until.map(Time::secs),
            ended: ended.secs(),
            how: store::word(how),
            offences: ban.attempts,
            evidence: ban.evidence,
            rule: ban.rule.map(|(name, _)| name),
            by,
            comment: comment.flatten(),
        })
    }

    fn is_flow(&self) -> bool {
        self.host.parse().is_ok_and(|whom: Subject| whom.is_flow())
    }

    /// Returns the same in words, for people.
    pub fn in_words(&self) -> String {
        let time = |secs| Time::from_secs(secs).to_string();
        let why = match &self.rule {
            Some(rule) => format!("{} offences, {}, {rule}", self.offences, self.evidence),
            None => {
                let by = self.by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
                let comment =
                    self.comment.as_ref().map_or(String::new(), |comment| format!(": {comment}"));
                format!("by hand{by}{comment}")
            }
        };
        let (since, ended) = (time(self.since), time(self.ended));
        let Self { host, jail, how, .. } = self;
        // Of the host itself it goes without saying.
        let port = if self.is_flow() { format!(" of {host}") } else { String::new() };
        format!("earlier [{jail}]{port} {since} to {ended}, {how}: {why}")
    }
}

/// Returns the bans that a host, its network and its ports (or the port that was asked for) had, newest
/// first; `None` if the state file cannot be read.
pub fn earlier(state_dir: &Path, report: &HostReport) -> Option<Vec<Earlier>> {
    let mut hosts = vec![report.host.to_string(), report.network.clone()];
    hosts.dedup();
    hosts.extend(report.port.map(|port| SocketAddr::new(report.host, port).to_string()));
    let all_ports = report.port.is_none().then_some(report.host);
    let bans = store::of_hosts(state_dir, &hosts, all_ports, MOST)?;
    Some(bans.into_iter().filter_map(Earlier::of).collect())
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
