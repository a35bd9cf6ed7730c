//! `asterguard list`

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use super::banned::dropped;
use super::client::ask;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::config::Mode;
use crate::control::explain::KnownGoodReport;
use crate::control::geofence::{AbroadHost, CountryReport, FenceReport};
use crate::control::list::{
    BlockReport, FeedReport, KnownHost, ListEntries, ListName, ListRequest,
};
use crate::enforce::ListOrigin;
use crate::model::listed::ExemptNetwork;
use crate::model::place::Country;
use crate::model::subject::{Subject, written};
use crate::model::time::{RoughDuration, Time};
use crate::model::words::counted;
use crate::sys::clock::now;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// The list
    list: ListName,
    /// Show only the entries that contain this host
    host: Option<IpAddr>,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn list(args: &ListArgs, output: &Output) -> Result<Exit, Failure> {
    let request = ListRequest { list: args.list, host: args.host };
    let entries = ask(&args.socket.socket, &request)?;
    if is_empty(&entries) && !output.json {
        output.line(nobody(args.list, args.host));
    }
    match &entries {
        ListEntries::Allow(allowed) => never_banned(allowed, output),
        ListEntries::Block(blocked) => {
            for entry in blocked {
                blocked_line(entry, output);
            }
        }
        ListEntries::Feed { feeds, dropped } => {
            for feed in feeds {
                feed_line(feed, output);
            }
            if output.json {
                output.object(&serde_json::json!({ "feed": null, "dropped": dropped }));
            } else if let Some(packets) = dropped.packets {
                output.line(format_args!("{} dropped by feeds", counted(packets, "packet")));
            }
        }
        ListEntries::Countries(fence) => {
            if let Some(fence) = fence {
                tell_fence(fence, args.host, output);
            }
        }
        ListEntries::KnownGood(known) => {
            for host in known {
                known_line(host, output);
            }
        }
    }
    let is_missing = args.host.is_some() && is_empty(&entries);
    Ok(if is_missing { Exit::NotFound } else { Exit::Done })
}

fn is_empty(entries: &ListEntries) -> bool {
    match entries {
        ListEntries::Allow(allowed) => allowed.is_empty(),
        ListEntries::Block(blocked) => blocked.is_empty(),
        ListEntries::Feed { feeds, .. } => feeds.is_empty(),
        ListEntries::Countries(fence) => {
            fence.as_ref().is_none_or(|fence| fence.stops == Some(false))
        }
        ListEntries::KnownGood(known) => known.is_empty(),
    }
}

/// Returns what is said of a list that nothing is in, or not this host.
fn nobody(list: ListName, host: Option<IpAddr>) -> String {
    let (nothing, not) = match list {
        ListName::Allow => ("the allow list is empty", "is not in the allow list"),
        ListName::Block => ("nothing is blocked", "is not blocked"),
        ListName::Feed => ("there is no feed", "is in no feed"),
        ListName::Countries => ("there is no geofence", "is not outside the geofence"),
        ListName::KnownGood => ("nobody has logged in lately", "has not logged in lately"),
    };
    host.map_or(nothing.to_owned(), |host| format!("{host} {not}"))
}

fn blocked_line(entry: &BlockReport, output: &Output) {
    if output.json {
        return output.object(entry);
    }
    let origin = match (&entry.file, entry.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        _ => "by hand".to_owned(),
    };
    let dropped = dropped(entry.dropped);
    output.line(format_args!("{:<17} {origin}{dropped}", written(&entry.net)));
}

fn feed_line(feed: &FeedReport, output: &Output) {
    if output.json {
        return output.object(feed);
    }
    let FeedReport { feed: name, path, networks, skipped, .. } = feed;
    match &feed.net {
        Some(net) => output.line(format_args!("{:<17} feed {name} ({path})", written(net))),
        None => output.line(format_args!(
            "{name}: {}, {} skipped ({path})",
            counted(*networks, "network"),
            counted(*skipped, "line")
        )),
    }
    if let (None, Some(fetch)) = (&feed.net, &feed.fetch) {
        output.line(format_args!("  {}", super::status::fetched(fetch)));
    }
    if let Some(problem) = &feed.problem {
        output.line(format_args!("  ! {problem}"));
    }
}

/// Prints what the geofence goes by, and whom it has stopped, or would have; of a host, whether it is outside.
fn tell_fence(report: &FenceReport, host: Option<IpAddr>, output: &Output) {
    if output.json {
        return output.object(report);
    }
    if let (Some(host), Some(stops)) = (host, report.stops) {
        if stops {
            output.line(format_args!("{host} is outside: {}", report.fence.in_words()));
        }
        return;
    }
    output.line(report.fence.in_words());
    if let Some(problem) = &report.fence.problem {
        output.line(format_args!("  ! {problem}"));
    }
    if let Some(packets) = report.dropped.packets {
        let done = match report.fence.mode {
            Mode::Enforce => "dropped",
            Mode::Observe => "would have been dropped",
        };
        output.line(format_args!("{} {done}", counted(packets, "packet")));
    }
    let name = |country: Option<Country>| country.map_or("??".to_owned(), |code| code.to_string());
    for CountryReport { country, hosts, packets } in &report.lately {
        let (hosts, packets) = (
            counted(u64::try_from(*hosts).unwrap_or(u64::MAX), "host"),
            counted(*packets, "packet"),
        );
        output.line(format_args!("  {}  {hosts} lately, {packets}", name(*country)));
    }
    for AbroadHost { host, country, packets } in &report.hosts {
        let packets = counted(*packets, "packet");
        output.line(format_args!("{:<17} {}  {packets}", host.to_string(), name(*country)));
    }
}

fn known_line(host: &KnownHost, output: &Output) {
    if output.json {
        return output.object(host);
    }
    let KnownGoodReport { accounts, failing, until, source, line, ended, .. } = &host.report;
    let accounts = counted(*accounts, "account");
    let failing = if *failing == 0 { String::new() } else { format!(", {failing} failing") };
    let ended = if ended.is_some() { ", nothing is excused now" } else { "" };
    let left = Duration::from_secs(Time::from_secs(*until).since(now()).as_secs());
    let left = RoughDuration(left);
    output.line(format_args!(
        "{:<17} {accounts}{failing}{ended}, {left} left, {source}:{line}",
        host.host
    ));
}

/// A list by which a host is dropped without a ban.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    /// `block`, `hand` (an element that somebody put into `block4` or `block6`) or `feed`.
    list: &'static str,
    /// The network that it is in.
    net: IpNet,
    /// The place of the entry, or the name of the feed.
    place: Option<String>,
}

impl Listed {
    /// Returns what the kernel says, where no daemon knows more.
    pub(super) fn in_kernel((origin, net): (ListOrigin, IpNet)) -> Self {
        let list = match origin {
            ListOrigin::Block => "block",
            ListOrigin::Feed => "feed",
            ListOrigin::Hand => "hand",
        };
        Self { list, net, place: None }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = written(&self.net);
        match (self.list, &self.place) {
            ("feed", Some(name)) => write!(f, "{net} is in feed {name}"),
            ("block", Some(place)) => write!(f, "{net} is in block ({place})"),
            (list @ ("block" | "feed"), None) => write!(f, "{net} is in {list}"),
            _ => write!(f, "{net} is in block4 or block6: somebody put it there with nft"),
        }
    }
}

/// Returns the lists by which a host is dropped without a ban.
pub(super) fn listed(socket: &Path, host: IpAddr) -> Result<Vec<Listed>, Failure> {
    let mut listed = Vec::new();
    for list in [ListName::Block, ListName::Feed] {
        match ask(socket, &ListRequest { list, host: Some(host) })? {
            ListEntries::Block(blocked) => listed.extend(blocked.into_iter().map(|entry| {
                let place = entry.file.zip(entry.line).map(|(file, line)| format!("{file}:{line}"));
                let list = if place.is_some() { "block" } else { "hand" };
                Listed { list, net: entry.net, place }
            })),
            ListEntries::Feed { feeds, .. } => {
                listed.extend(feeds.into_iter().filter_map(|feed| {
                    Some(Listed { list: "feed", net: feed.net?, place: Some(feed.feed) })
                }));
            }
            ListEntries::Allow(_) | ListEntries::Countries(_) | ListEntries::KnownGood(_) => {}
        }
    }
    Ok(listed)
}

/// Prints the networks that are never banned, and why.
pub(super) fn never_banned(entries: &[ExemptNetwork], output: &Output) {
    for entry in entries {
        if output.json {
            output.object(entry);
        } else {
            output.line(format_args!(
                "{:<17} {}",
                Subject::from(entry.net).to_string(),
                entry.origin
            ));
        }
    }
}
