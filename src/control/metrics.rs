//! The numbers of the guard, for monitoring. They name no host, no account and no person, so more people may read them
//! than may read a status.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fleet::FleetReport;
use super::health::CheckResult;
use super::status::Status;
use super::{Answer, Query, Request};
use crate::model::event::{Class, Evidence};
use crate::model::histogram::Histogram;
use crate::model::subject::Family;

/// Asks for the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsRequest;

impl Query for MetricsRequest {
    type Reply = Metrics;

    fn request(&self) -> Request {
        Request::Metrics
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Metrics(metrics) => Some(*metrics),
            _ => None,
        }
    }
}

impl From<Metrics> for Answer {
    fn from(metrics: Metrics) -> Self {
        Self::Metrics(Box::new(metrics))
    }
}

/// Returns the path of the socket at which nothing but metrics can be asked for: it is beside the control socket.
#[must_use]
pub fn numbers_socket(control: &Path) -> PathBuf {
    let mut name = control.file_stem().unwrap_or_default().to_owned();
    name.push("-numbers");
    if let Some(extension) = control.extension() {
        name.push(".");
        name.push(extension);
    }
    control.with_file_name(name)
}

/// The numbers of the guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The state, as [`numbers_only`] leaves it.
    pub status: Status,
    /// Bans, by what they are.
    pub bans: Vec<BanCount>,
    /// Offences since the start, by what they are.
    pub offences: Vec<OffenceCount>,
    /// Bans that were not made since the start, because there were too many.
    pub refused: u64,
    /// Bans in force that were seen to have no effect.
    pub without_effect: usize,
    /// Accounts that many hosts guess at.
    pub targeted: usize,
    /// The feeds.
    pub feeds: Vec<FeedCount>,
    /// What the kernel dropped since the guard looks, as far as it was seen; `None` while there are too many bans.
    pub dropped: Option<Vec<DropCount>>,
    /// How long it took from when a line was read until the kernel had the ban that follows from it.
    pub took: Histogram,
    /// Bytes of memory that the guard uses; `None` if the kernel does not say.
    pub memory: Option<u64>,
    /// The fleet; `None` if there is none.
    #[serde(default)]
    pub fleet: Option<FleetReport>,
    /// The values in force of each jail, in seconds where it is a time.
    pub terms: Vec<JailTerms>,
}

/// Bans of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanCount {
    /// The jail that made them.
    pub jail: String,
    /// The evidence that they rest on.
    pub evidence: Evidence,
    /// The kind of address.
    pub family: Family,
    /// The name of the ports that are closed.
    pub scope: String,
    /// Those in force.
    pub in_force: u64,
    /// Those that were made since the start.
    pub total: u64,
}

/// Offences of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffenceCount {
    /// The jail that counted them.
    pub jail: String,
    /// The kind of attempt.
    pub class: Class,
    /// The evidence that they count as.
    pub evidence: Evidence,
    /// Those since the start.
    pub total: u64,
}

/// A feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCount {
    /// Its name.
    pub feed: String,
    /// The networks in it.
    pub networks: u64,
    /// Seconds since its file was last changed; `None` if that cannot be known.
    pub age: Option<u64>,
}

/// What was dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropCount {
    /// The reason.
    pub reason: DropReason,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A reason to drop packets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropReason {
    /// Bans of this jail.
    Jail(String),
    /// The list `block`.
    Block,
    /// The feeds.
    Feed,
}

/// The values of a jail that monitoring shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailTerms {
    /// Its name.
    pub jail: String,
    /// Offences that bring a ban.
    pub maxretry: u32,
    /// Seconds within which they count.
    pub findtime: u64,
    /// Seconds of the first ban; `None`: it never ends.
    pub bantime: Option<u64>,
}

/// Leaves out all that names a host, an account or a person, or is text about one.
#[must_use]
pub fn numbers_only(mut status: Status) -> Status {
    status.problems.clear();
    for CheckResult { seen, todo, .. } in &mut status.checks {
        seen.clear();
        *todo = None;
    }
    status.geofence = None;
    status.without_effect.clear();
    status.targeted.clear();
    status.logins.host = None;
    status.logins.banned_hosts.clear();
    for pause in &mut status.paused {
        pause.by = None;
    }
    for jail in &mut status.jails {
        jail.banned.clear();
    }
    for notifier in &mut status.notify {
        (notifier.why, notifier.todo) = (None, None);
    }
    for sink in &mut status.sinks {
        // That there is an error is no secret.
        sink.error.iter_mut().for_each(String::clear);
        sink.last_error = None;
    }
    for source in &mut status.sources {
        source.last_error = None;
    }
    if let Some(fleet) = &mut status.fleet {
        (fleet.server, fleet.trouble) = (String::new(), None);
    }
    status.store.trouble = None;
    status.wire.trouble = None;
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_socket_beside_the_other() {
        for (control, numbers) in [
            ("/run/asterguard/asterguard.sock", "/run/asterguard/asterguard-numbers.sock"),
            ("/tmp/socket", "/tmp/socket-numbers"),
            ("x.y.z", "x.y-numbers.z"),
        ] {
            assert_eq!(numbers_socket(Path::new(control)), Path::new(numbers));
        }
    }
}
