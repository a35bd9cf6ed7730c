//! The lists: `allow`, `block`, feeds, and the hosts that are known good.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::banned::Dropped;
use super::explain::KnownGoodReport;
use super::geofence::FenceReport;
use super::{Answer, Query, Request};
use crate::config::Fetch;
use crate::feeds::FetchRecord;
use crate::hosts::lists::Feed;
use crate::model::listed::ExemptNetwork;
use crate::model::time::Time;

/// Asks for the entries of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRequest {
    /// The list that is asked for.
    pub list: ListName,
    /// Only those that hold this host.
    pub host: Option<IpAddr>,
}

impl Query for ListRequest {
    type Reply = ListEntries;

    fn request(&self) -> Request {
        Request::List(*self)
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Ignoreip { ignored } => Some(ListEntries::Allow(ignored)),
            Answer::Block { blocked } => Some(ListEntries::Block(blocked)),
            Answer::Feed { feeds, dropped } => Some(ListEntries::Feed { feeds, dropped }),
            Answer::Countries { geofence } => Some(ListEntries::Countries(geofence)),
            Answer::KnownGood { known } => Some(ListEntries::KnownGood(known)),
            _ => None,
        }
    }
}

/// The entries of a list.
#[derive(Clone, Debug, PartialEq)]
pub enum ListEntries {
    /// The networks that are let through, and why.
    Allow(Vec<ExemptNetwork>),
    /// The entries of `block`.
    Block(Vec<BlockReport>),
    /// The feeds, and what they have dropped together.
    Feed { feeds: Vec<FeedReport>, dropped: Dropped },
    /// The geofence, if there is one.
    Countries(Option<Box<FenceReport>>),
    /// Hosts that are known good.
    KnownGood(Vec<KnownHost>),
}

impl From<ListEntries> for Answer {
    fn from(entries: ListEntries) -> Self {
        match entries {
            ListEntries::Allow(ignored) => Self::Ignoreip { ignored },
            ListEntries::Block(blocked) => Self::Block { blocked },
            ListEntries::Feed { feeds, dropped } => Self::Feed { feeds, dropped },
            ListEntries::Countries(geofence) => Self::Countries { geofence },
            ListEntries::KnownGood(known) => Self::KnownGood { known },
        }
    }
}

/// A list that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListName {
    /// Networks that are let through, even if they are banned
    Allow,
    /// Networks that are blocked because you wrote them
    Block,
    /// Feeds: networks on the lists of others
    Feed,
    /// The geofence: countries that may or may not reach the SIP ports, and whom it has stopped
    Countries,
    /// Hosts from which an account has logged in lately
    KnownGood,
}

/// An entry of `block`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReport {
    /// The network that is blocked.
    pub net: IpNet,
    /// `block`, or `hand` if somebody put it into `block4` or `block6` with `nft`.
    pub origin: String,
    /// The file that it is written in.
    pub file: Option<Arc<str>>,
    /// The line of that file.
    pub line: Option<usize>,
    /// The packets and bytes that were dropped; `null` if the kernel does not say. An entry within another
    /// has those of the other.
    #[serde(flatten)]
    pub dropped: Dropped,
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
    /// The reason why it is not what its file says.
    pub problem: Option<String>,
    /// The time when its file was written last, or, if it is fetched, when that went well last, in seconds since the epoch;
    /// `null` if that cannot be seen.
    #[serde(default)]
    pub written: Option<i64>,
    /// The network of it that the host is in that was asked for.
    pub net: Option<IpNet>,
    /// How it is fetched; `null` if it is not.
    #[serde(default)]
    pub fetch: Option<FetchStatus>,
}

/// How a feed is fetched, and what became of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchStatus {
    /// The time from one try to the next, in seconds.
    pub every: u64,
    /// When it was fetched last, or found to be unchanged, in seconds since the epoch; `null`: never.
    pub last_fetched: Option<i64>,
    /// When that was tried last; `null`: never.
    pub last_try: Option<i64>,
    /// What went wrong at the last try; `null`: nothing.
    pub error: Option<String>,
    /// What to do about it.
    pub todo: Option<String>,
}

impl FetchStatus {
    /// Returns what is known of a feed that is fetched like this.
    #[must_use]
    pub fn new(fetch: &Fetch, record: &FetchRecord) -> Self {
        Self {
            every: fetch.every.as_secs(),
            last_fetched: record.fetched,
            last_try: record.tried,
            error: record.error.clone(),
            todo: record.todo.clone(),
        }
    }
}

impl FeedReport {
    /// Returns a feed as it was read last, what is known of its fetches, and the network in it that `host` is in.
    #[must_use]
    pub fn new(feed: &Feed, host: Option<IpAddr>, fetch: Option<FetchStatus>) -> Self {
        let fetched = fetch.as_ref().and_then(|fetch| fetch.last_fetched);
        Self {
            feed: feed.name.clone(),
            path: feed.path.display().to_string(),
            networks: feed.networks.len(),
            skipped: feed.skipped,
            problem: feed.problem.clone(),
            written: fetched.or_else(|| feed.written().map(Time::secs)),
            net: host.and_then(|host| feed.networks.find(host)),
            fetch,
        }
    }
}

/// A host that is known good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHost {
    /// The host: an address, or an IPv6 network.
    pub host: String,
    /// The facts by which it is known good.
    #[serde(flatten)]
    pub report: KnownGoodReport,
}
