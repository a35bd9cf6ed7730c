//! Bringing back what was stored: into a daemon that starts, or into the kernel without one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tracing::{error, info, warn};

use super::instance_lock;
use crate::daemon::engine_thread::log_reader::Reader;
use crate::daemon::engine_thread::recorder::Recorder;
use crate::daemon::tasks::list_refresh::ListKeeper;
use crate::daemon::{Options, RunError, SinkKind};
use crate::decide::engine::{Awaited, Engine, RecoverySummary, StoredBans};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::enforce::netlink::NetlinkSink;
use crate::enforce::{BanSink as _, ListSink};
use crate::hosts::exempt::IgnoreList;
use crate::hosts::lists::Lists;
use crate::model::event::KernelElement;
use crate::model::event::{BANS, Change, ChannelId, Decision, Element, SIP_RESPONSES};
use crate::model::orders::Orders;
use crate::model::time::Time;
use crate::store::ban_record::PlanIndex;
use crate::store::checkpoint::StoredCheckpoint;
use crate::store::{self, Extent, LogCheckpoint, Store};
use crate::sys::clock::now;
use crate::sys::program::Program;
use crate::table::structure::Structure;

/// The result of `restore`.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The outcome for the bans.
    pub bans: RecoverySummary,
    /// Whether there was a state file at all.
    pub stored: bool,
    /// The problem with it.
    pub problem: Option<String>,
    /// The number of bans that the kernel did not take, and the reason why not the first of them;
    /// `None`: it took all.
    pub refused: Option<(usize, String)>,
}

/// Loads the structure into the kernel and puts all bans there that are stored, with the rest of
/// their time. Reads configuration and state file, and nothing else; there need be no network yet.
///
/// # Errors
/// When the configuration is wrong, nftables does not work, or a daemon runs. A state file that is
/// missing or damaged is none: see [`Restored`].
pub fn restore(config: Option<&Path>, state_dir: &Path) -> Result<Restored, RunError> {
    let plan = load_plan(config)?;
    let _claim = instance_lock::claim_for_restore(state_dir)?;
    let mut sink = NetlinkSink::new(Program::nft())?;
    // Read while `nft` is at work.
    let (now, directory) = (now(), state_dir.to_owned());
    let reading = std::thread::Builder::new()
        .name("store".into())
        .spawn(move || store::read(&directory, Extent::InForce, now))
        .context("cannot start a thread")?;
    let lists = Arc::new(
        crate::hosts::lists::load(&plan.config.lists, &Lists::default())
            .map_err(PlanError::from)?,
    );
    let keeper = ListKeeper::new(ListSink::netlink(Program::nft())?);
    let sets = keeper.prepare(&lists)?;
    let plan = Arc::new(plan.with_lists(Arc::clone(&lists), sets));
    let mut orders = store::orders(state_dir);
    orders.expire(now);
    let allow = plan.allowed(&IgnoreList::default().and(orders.exempt()));
    sink.load(&Structure { allow, ..plan.structure.clone() })?;
    keeper.settle(&plan.structure, lists);
    let read = reading.join().map_err(|_| anyhow!("reading what is stored failed"))?;
    let stored = read.is_some();
    let (loaded, problem) = read.unwrap_or_default();
    let found = sink.adopt(now)?;
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut decisions = Vec::new();
    let bans = engine.recover(&loaded.remembered(&plan), &found, now, &mut decisions);
    // A host that the configuration ignores since is none of these.
    engine.protect(Arc::default(), &mut decisions);
    // What others lifted has to go, and all that is in force has to be there.
    let gone = |decision: &Decision| match decision {
        Decision::Change(change @ Change::Remove(..)) => Some(*change),
        _ => None,
    };
    let gone: Vec<_> = decisions.iter().filter_map(gone).collect();
    let mut report = sink.apply(&gone, now)?;
    let in_force = |element: &Element| element.until.is_none_or(|until| until > now);
    let wanted = engine.bans().elements().filter(in_force);
    report.refused.extend(sink.restore(&wanted.collect::<Vec<_>>(), now)?.refused);
    let first = |(change, reason): &(Change, String)| format!("{}: {reason}", change.key().1);
    let refused = report.refused.first().map(|refused| (report.refused.len(), first(refused)));
    Ok(Restored { bans, stored, problem, refused })
}

/// The stored state, read without a daemon.
#[derive(Debug)]
pub struct Stored {
    /// An engine that knows what the daemon would at its start.
    pub engine: Engine,
    /// The logs that it has counts of.
    pub logs: HashMap<ChannelId, String>,
    /// The time when something was last stored.
    pub saved: Option<Time>,
    /// The problem with the state file.
    pub problem: Option<String>,
}

/// Reads what is stored in a directory, in terms of a plan; `None` if nothing is.
#[must_use]
pub fn stored(plan: &Arc<Plan>, state_dir: &Path) -> Option<Stored> {
    let now = now();
    let (loaded, problem) = store::read(state_dir, Extent::All, now)?;
    let mut engine = Engine::new(Arc::clone(plan));
    let mut ignored = Vec::new();
    engine.recover(&loaded.remembered(plan), &[], now, &mut ignored);
    // What is over meanwhile is over.
    engine.on_tick(now, &mut ignored);
    let open = |log: &LogCheckpoint| (log.channel, engine.open_channel(Vec::new()));
    let channels: HashMap<_, _> = loaded.progress.logs.iter().map(open).collect();
    take_up_counts(&mut engine, &loaded.progress, &channels);
    let path = |log: &LogCheckpoint| Some((*channels.get(&log.channel)?, log.key.to_string()));
    let mut logs: HashMap<_, _> = loaded.progress.logs.iter().filter_map(path).collect();
    logs.insert(BANS, "bans".to_owned());
    logs.insert(SIP_RESPONSES, crate::daemon::engine_thread::sip_channel::NAME.to_owned());
    Some(Stored { engine, logs, saved: loaded.saved, problem })
}

fn take_up_counts(
    engine: &mut Engine,
    progress: &StoredCheckpoint,
    channels: &HashMap<u16, ChannelId>,
) {
    let names = PlanIndex::new(engine.plan());
    let rules: Vec<_> = progress.rules.iter().map(|name| names.rule(name)).collect();
    engine.restore_counts(&progress.counters, &progress.logins, channels, &rules, now());
    engine.restore_totals(&progress.totals, now());
    engine.restore_hours(&progress.hours);
    engine.restore_accounts(&progress.accounts, now());
}

/// Recovers into a new engine what is stored and what was found in the kernel, and logs what that was; where the kernel
/// has not been listed, returns what that is awaited for. From then on, what changes is stored.
pub(crate) fn take_up(
    options: &Options,
    engine: &mut Engine,
    reader: &mut Reader,
    (found, orders): (Option<&[KernelElement]>, &Orders),
    out: &mut Vec<Decision>,
) -> Result<(Recorder, Option<Awaited>), RunError> {
    if options.sink == SinkKind::DryRun {
        // Its bans are none, and must not become some at the next start.
        engine.recover(&StoredBans::default(), found.unwrap_or_default(), now(), out);
        return Ok((Recorder::default(), None));
    }
    let mut opened = store::open(&options.state_dir, now());
    if let Some(notice) = &opened.health.notice {
        error!("{notice}");
    }
    let remembered = opened.loaded.remembered(engine.plan());
    let gone = opened.loaded.bans.len() - remembered.bans.len();
    let mut awaited = Some(engine.recover_stored(&remembered, now()));
    if let Some(found) = found {
        let taken = awaited.take().map(|begun| engine.recover_held(&begun, found, now(), out));
        say_taken(taken.unwrap_or_default(), !remembered.bans.is_empty());
    }
    engine.restore_peers(&std::mem::take(&mut opened.loaded.peers), now(), out);
    if gone > 0 {
        warn!("{gone} stored bans are for ports that the configuration no longer has");
    }
    let progress = std::mem::take(&mut opened.loaded.progress);
    let channels = reader.resume(&progress.logs, engine);
    take_up_counts(engine, &progress, &channels);
    let store = Store::start(opened).context("cannot start a thread")?;
    let mut recorder = Recorder::new(store, engine, orders.clone());
    // The store hears of what became of its bans, and of those that only the kernel had.
    recorder.begin_anew(engine, now());
    Ok((recorder, awaited))
}

/// Logs what became of the bans of store and kernel, if there is something to say.
pub(crate) fn say_taken(taken: RecoverySummary, are_stored: bool) {
    let RecoverySummary { kept, missing, adopted, lifted, expired } = taken;
    if are_stored || lifted > 0 {
        info!(
            "of the stored bans, {kept} are in the kernel, {missing} are put back there, {expired} are over; {adopted} are in the kernel alone, {lifted} were lifted before and are taken out"
        );
    }
}
