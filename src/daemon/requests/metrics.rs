//! `metrics`: the numbers of the guard, for monitoring.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use ipnet::IpNet;

use crate::control::Problem;
use crate::control::fleet::{FleetReport, FleetSummary};
use crate::control::metrics::{
    BanCount, DropCount, DropReason, FeedCount, JailTerms, Metrics, OffenceCount, numbers_only,
};
use crate::daemon::engine_thread::Core;
use crate::daemon::{Daemon, Kernel};
use crate::decide::ban_activity::ElementKey;
use crate::decide::drop_totals::DropTotals;
use crate::decide::engine::Engine;
use crate::decide::totals::{BanKind, OffenceKind};
use crate::feeds::Records;
use crate::hosts::lists::Feed;
use crate::model::time::{BanDuration, Time};
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::table::structure::Structure;

/// Bans whose counters are read. Metrics are asked for all the time, and the kernel takes a while to list more.
const MOST_COUNTED: usize = 20_000;

/// What the kernel has dropped, as [`Metrics::dropped`] tells it.
#[derive(Default)]
pub(crate) struct Dropped(Mutex<DropTotals<Dropper, DropReason>>);

/// Something that has a counter in the kernel.
#[derive(PartialEq, Eq, Hash)]
enum Dropper {
    /// An element of a ban.
    Ban(ElementKey),
    /// A network of `block`.
    Block(IpNet),
    /// The feeds.
    Feeds,
}

/// The elements in force with their jails, and what is needed to read their counters.
struct Elements {
    structure: Structure,
    jails: Vec<(ElementKey, String)>,
}

pub(super) async fn answer(daemon: &Daemon) -> Result<Metrics, Problem> {
    let ask = |core: &mut Core| Ok::<_, Problem>((core.metrics()?, core.elements()));
    let (mut metrics, elements) = daemon.engine.ask(ask).await??;
    let records = daemon.fetched.get();
    let fill = move |kernel: &Kernel| {
        metrics.feeds = feeds(kernel, &records);
        metrics.dropped = elements.map(|elements| dropped(kernel, &elements));
        metrics.memory = kernel.memory.bytes();
        metrics
    };
    daemon.apart(fill).await
}

impl Core {
    /// Returns the numbers that the engine has.
    fn metrics(&self) -> Result<Metrics, Problem> {
        let engine = &self.engine;
        let status = self.status(None)?;
        Ok(Metrics {
            without_effect: status.without_effect.len(),
            targeted: status.targeted.len(),
            status: numbers_only(status),
            bans: bans(engine),
            offences: offences(engine),
            refused: engine.refused(),
            feeds: Vec::new(),
            dropped: None,
            took: self.worker.health().took,
            memory: None,
            fleet: self.fleet_report().map(|report| {
                let summary =
                    FleetSummary { server: String::new(), trouble: None, ..report.summary };
                FleetReport { summary, ..report }
            }),
            terms: terms(engine),
        })
    }

    /// Returns the elements in force; `None` if they are too many to be looked at.
    fn elements(&self) -> Option<Elements> {
        let (plan, bans) = (self.engine.plan(), self.engine.bans());
        if bans.len() > MOST_COUNTED {
            return None;
        }
        let named = bans.elements().filter_map(|element| {
            let jail = plan.jail(element.jail)?;
            Some(((element.scope, element.subject), jail.name.clone()))
        });
        Some(Elements { jails: named.collect(), structure: plan.structure.clone() })
    }
}

/// Returns the bans of each kind.
fn bans(engine: &Engine) -> Vec<BanCount> {
    let plan = engine.plan();
    let mut counts = BTreeMap::<BanKind, (u64, u64)>::new();
    for (kind, total) in engine.totals().bans() {
        counts.entry(*kind).or_default().1 = total;
    }
    for (kind, in_force) in engine.bans().kinds() {
        counts.entry(*kind).or_default().0 = u64::try_from(in_force).unwrap_or(u64::MAX);
    }
    let count = |(kind, (in_force, total)): (BanKind, (u64, u64))| {
        let BanKind { jail, evidence, family, scope } = kind;
        let (jail, scope) = (plan.jail(jail)?, plan.structure.scope(scope)?);
        let (jail, scope) = (jail.name.clone(), scope.name.clone());
        Some(BanCount { jail, evidence, family, scope, in_force, total })
    };
    counts.into_iter().filter_map(count).collect()
}

/// Returns the offences of each kind.
fn offences(engine: &Engine) -> Vec<OffenceCount> {
    let plan = engine.plan();
    let named = engine.totals().offences().filter_map(|(kind, total)| {
        let OffenceKind { jail, class, evidence } = *kind;
        Some(OffenceCount { jail: plan.jail(jail)?.name.clone(), class, evidence, total })
    });
    named.collect()
}

/// Returns the values of the jails.
fn terms(engine: &Engine) -> Vec<JailTerms> {
    let plan = engine.plan();
    let jails = plan.jails().filter(|(_, jail)| !jail.is_without_section());
    let terms = jails.map(|(_, jail)| JailTerms {
        jail: jail.name.clone(),
        maxretry: jail.maxretry,
        findtime: jail.findtime.as_secs(),
        bantime: match jail.bantime.first {
            BanDuration::For(length) => Some(length.as_secs()),
            BanDuration::Permanent => None,
        },
    });
    terms.collect()
}

/// Returns what the kernel has dropped since this process looks.
fn dropped(kernel: &Kernel, elements: &Elements) -> Vec<DropCount> {
    // One reading at a time: each is compared with the one before.
    let mut totals = lock(&kernel.dropped.0);
    let counts = if elements.jails.is_empty() {
        HashMap::new()
    } else {
        kernel.counters.banned(&elements.structure)
    };
    let (blocked, _) = kernel.counters.blocked(&kernel.lists.sets());
    // Without an answer of the kernel, nothing was dropped that is known of.
    if elements.jails.is_empty() || !counts.is_empty() {
        let banned = elements.jails.iter().filter_map(|(key, jail)| {
            let count = counts.get(key)?;
            Some((Dropper::Ban(*key), DropReason::Jail(jail.clone()), count.dropped))
        });
        let blocked =
            blocked.into_iter().map(|(net, count)| (Dropper::Block(net), DropReason::Block, count));
        let fed = kernel.counters.fed().map(|count| (Dropper::Feeds, DropReason::Feed, count));
        totals.update(banned.chain(blocked).chain(fed));
    }
    let count = |(reason, (packets, bytes)): (&DropReason, (u64, u64))| DropCount {
        reason: reason.clone(),
        packets,
        bytes,
    };
    totals.totals().map(count).collect()
}

fn feeds(kernel: &Kernel, records: &Records) -> Vec<FeedCount> {
    let (lists, now) = (kernel.lists.lists(), now().secs());
    let fetched = |feed: &Feed| records.get(&feed.name)?.fetched;
    let count = |feed: &Feed| FeedCount {
        feed: feed.name.clone(),
        networks: u64::try_from(feed.networks.len()).unwrap_or(u64::MAX),
        age: fetched(feed)
            .or_else(|| feed.written().map(Time::secs))
            .map(|written| u64::try_from(now.saturating_sub(written)).unwrap_or(0)),
    };
    lists.feeds.iter().map(count).collect()
}
