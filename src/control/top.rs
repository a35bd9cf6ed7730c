//! What somebody sees who looks on: the health in a line, the rates of the last minutes, and the first bans in an order.

use serde::{Deserialize, Serialize};

use super::banned::NamedBan;
use super::status::{Health, PauseStatus};
use super::{Answer, Query, Request};
use crate::decide::ban_view::BanOrder;
use crate::model::event::Class;

/// Bans that one reply holds at most.
pub const MOST_ROWS: usize = 512;
/// Characters of a filter that count.
pub const LONGEST_FILTER: usize = 64;

/// Asks for what there is to see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopRequest {
    /// The order of the bans.
    #[serde(default)]
    pub sort: BanOrder,
    /// The bans that are wanted: an address, a network, a part of a jail's name, or an account; empty: all.
    #[serde(default)]
    pub filter: String,
    /// The number of bans, [`MOST_ROWS`] at most.
    pub rows: usize,
    /// In place of the bans in force, those that jails in observe mode would have made.
    #[serde(default)]
    pub observe: bool,
}

impl Query for TopRequest {
    type Reply = TopReport;

    fn request(&self) -> Request {
        Request::Top(self.clone())
    }

    fn reply(answer: Answer) -> Option<Self::Reply> {
        match answer {
            Answer::Top(report) => Some(*report),
            _ => None,
        }
    }
}

impl From<TopReport> for Answer {
    fn from(report: TopReport) -> Self {
        Self::Top(Box::new(report))
    }
}

/// What there is to see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopReport {
    /// The time of the report, in seconds since the epoch.
    pub time: i64,
    /// The state of the guard, in one word.
    pub health: Health,
    /// Its problems, in words for people: 4 at most.
    pub problems: Vec<String>,
    /// The daemon's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime: u64,
    /// Whether bans are only said, not put into force.
    pub dry_run: bool,
    /// The pauses in force.
    pub paused: Vec<PauseStatus>,
    /// The number of hosts and networks that are banned.
    pub hosts_banned: usize,
    /// The number of bans in force.
    pub bans: usize,
    /// The number of bans that jails in observe mode would have in force.
    pub observed: usize,
    /// The time of the last login, in seconds since the epoch; `null` if none was seen.
    pub login: Option<i64>,
    /// Seconds since all of the logs was read; 0 if all is.
    pub lag: u64,
    /// The last minutes, oldest first: at most 180. The last one is not over.
    pub minutes: Vec<MinuteReport>,
    /// Packets of banned hosts that the kernel dropped, per second, between the last two looks at its counters; `null`
    /// before the second one.
    pub dropped_per_second: Option<f64>,
    /// The time of the last of these looks, in seconds since the epoch. With very many bans, they take the kernel long,
    /// and are less frequent.
    pub counters_read: Option<i64>,
    /// The number of bans of hosts that had logged in before.
    pub logged_in: usize,
    /// Some of these hosts.
    pub logged_in_hosts: Vec<LoggedInHost>,
    /// The number of bans that pass the filter.
    pub matching: usize,
    /// The first of them: those of hosts that had logged in, then the others, each in the order that was asked for.
    pub rows: Vec<TopRow>,
}

/// One minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteReport {
    /// Attempts that a jail counted.
    pub attempts: u32,
    /// Bans decided.
    pub bans: u32,
}

/// A banned host that had logged in before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedInHost {
    /// The banned host.
    pub host: String,
    /// The account that logged in there last, or the first seven characters of it and `*`; `null` if it is not remembered.
    pub account: Option<String>,
}

/// A ban, with what is known of its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopRow {
    /// The ban.
    #[serde(flatten)]
    pub ban: NamedBan,
    /// The attempts that this ban and the earlier ones counted which are remembered.
    pub tries: u32,
    /// The number of these bans, with this one.
    pub bans: u32,
    /// The time of the last login there, in seconds since the epoch; `null` if none is known.
    pub login: Option<i64>,
    /// The time of its last packet: one that was dropped, or the attempt that led to the ban, in seconds since the epoch.
    pub last: Option<i64>,
    /// The class of the last attempt.
    pub class: Option<Class>,
    /// The rule of the last attempt, as `filter/id`.
    pub last_rule: Option<String>,
    /// The account that it tried last, or the first seven characters of it and `*`.
    pub account: Option<String>,
}
