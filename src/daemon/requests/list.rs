//! `list`: the entries of a list, and what the kernel has dropped of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{explain, ignoreip};
use crate::config::Mode;
use crate::control::Problem;
use crate::control::geofence::{AbroadHost, FenceReport, FenceStatus, by_country};
use crate::control::ignoreip::IgnoreipRequest;
use crate::control::list::{
    BlockReport, FeedReport, KnownHost, ListEntries, ListName, ListRequest,
};
use crate::control::status::FeedStatus;
use crate::daemon::engine_thread::Core;
use crate::daemon::{Daemon, Kernel};
use crate::geo::Databases;
use crate::hosts::lists::Feed;
use crate::model::listed::ListedNetwork;
use crate::model::subject::{Subject, canonical};
use crate::sys::clock::now;
use crate::table::geofence_rules::{DROPPED, OBSERVED};

/// Hosts that the geofence has stopped and that are shown.
const MOST_ABROAD: usize = 20;

pub(super) async fn answer(daemon: &Daemon, request: ListRequest) -> Result<ListEntries, Problem> {
    let host = request.host.map(canonical);
    match request.list {
        ListName::Allow => {
            let mut entries = ignoreip::answer(daemon, IgnoreipRequest { jail: None }).await?;
            entries.retain(|entry| host.is_none_or(|host| entry.net.contains(&host)));
            Ok(ListEntries::Allow(entries))
        }
        ListName::Block => daemon.apart(move |kernel| block(host, kernel)).await,
        ListName::Feed => {
            let fetches = daemon.engine.ask(|core| core.feeds()).await?;
            daemon.apart(move |kernel| feeds(host, &fetches, kernel)).await
        }
        ListName::Countries => {
            let places = daemon.places.get();
            daemon.apart(move |kernel| countries(host, kernel, &places)).await
        }
        ListName::KnownGood => daemon.engine.ask(move |core| known_good(core, host)).await,
    }
}

/// Returns the hosts that are known good, or the one that `host` is.
fn known_good(core: &Core, host: Option<IpAddr>) -> ListEntries {
    let path = |channel| core.reader.path_of(channel);
    let known = core.engine.known_good(now());
    let known = known.filter(|(subject, _)| host.is_none_or(|host| subject.net().contains(&host)));
    let report = |(subject, standing): (Subject, _)| KnownHost {
        host: subject.to_string(),
        report: explain::known_good(&standing, path),
    };
    ListEntries::KnownGood(known.map(report).collect())
}

/// Returns the geofence, and whom it has stopped.
fn countries(host: Option<IpAddr>, kernel: &Kernel, places: &Databases) -> ListEntries {
    let lists = kernel.lists.lists();
    let Some(fence) = &lists.geofence else { return ListEntries::Countries(None) };
    let counter = match fence.countries.mode {
        Mode::Enforce => DROPPED,
        Mode::Observe => OBSERVED,
    };
    let counted = kernel.counters.fenced(counter);
    let mut hosts: Vec<_> = kernel
        .counters
        .abroad()
        .into_iter()
        .map(|(host, packets)| AbroadHost { host, country: places.country(host), packets })
        .collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host.packets));
    let lately = by_country(&hosts);
    hosts.truncate(MOST_ABROAD);
    ListEntries::Countries(Some(Box::new(FenceReport {
        fence: FenceStatus::from(fence),
        dropped: counted.into(),
        lately,
        hosts,
        stops: host.map(|host| fence.stops(host)),
    })))
}

fn feeds(host: Option<IpAddr>, fetches: &[FeedStatus], kernel: &Kernel) -> ListEntries {
    let lists = kernel.lists.lists();
    let report = |feed: &Feed| {
        let status = fetches.iter().find(|status| status.feed == feed.name);
        FeedReport::new(feed, host, status.map(|status| status.fetch.clone()))
    };
    let feeds = lists.feeds.iter().map(report);
    let feeds = feeds.filter(|feed| host.is_none() || feed.net.is_some()).collect();
    ListEntries::Feed { feeds, dropped: kernel.counters.fed().into() }
}

fn block(host: Option<IpAddr>, kernel: &Kernel) -> ListEntries {
    let lists = kernel.lists.lists();
    let (counts, by_hand) = kernel.counters.blocked(&kernel.lists.sets());
    let networks = lists.blocked();
    let report = |listed: &ListedNetwork| {
        // An entry within another is not in the kernel.
        let held = networks.find(listed.net.addr());
        BlockReport {
            net: listed.net,
            origin: "block".to_owned(),
            file: Some(Arc::clone(&listed.place.file)),
            line: Some(listed.place.line),
            dropped: held.and_then(|net| counts.get(&net).copied()).into(),
        }
    };
    let hand = |net| BlockReport {
        net,
        origin: "hand".to_owned(),
        file: None,
        line: None,
        dropped: None.into(),
    };
    let all = lists.block.iter().map(report).chain(by_hand.into_iter().map(hand));
    let wanted = |report: &BlockReport| host.is_none_or(|host| report.net.contains(&host));
    ListEntries::Block(all.filter(wanted).collect())
}
