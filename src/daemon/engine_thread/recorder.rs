//! Passes changes from the engine to the store, and decides when they are written.
#![expect(clippy::disallowed_methods, reason = "an edge: checkpoints have a pace")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event_log::Happened;
use super::log_reader::Reader;
use crate::control::status::StoreStatus;
use crate::decide::engine::Engine;
use crate::model::clock_step::ClockStep;
use crate::model::event::Ban;
use crate::model::orders::{Note, Orders};
use crate::model::time::Time;
use crate::store::ban_record;
use crate::store::checkpoint::Checkpoint;
use crate::store::{Health, LogCheckpoint, Store};

/// The time between two records of how far the guard has come, if nobody is banned.
const PACE: Duration = Duration::from_secs(1);
/// Checkpoints take no more than this part of the time to write: after a ban, and otherwise.
const SHARES: (u32, u32) = (4, 20);

/// The recorder of what must outlive the daemon; it stores nothing in a dry run.
#[derive(Debug, Default)]
pub struct Recorder {
    store: Option<Store>,
    /// The logs, as they are stored.
    left: Vec<LogCheckpoint>,
    /// Whether all is to be stored, and not only what has changed.
    anew: bool,
    /// The time of the last checkpoint.
    last: Option<Instant>,
    /// Whether somebody was banned, or a ban was lifted, since.
    due: bool,
    /// What is ordered besides bans, as it is stored.
    orders: Orders,
}

impl Recorder {
    /// Returns a recorder for `engine`, of which it wants to know what changes from now on.
    #[must_use]
    pub fn new(store: Store, engine: &mut Engine, orders: Orders) -> Self {
        engine.keep_journal();
        engine.note_changes();
        Self { store: Some(store), anew: true, orders, ..Self::default() }
    }

    /// Stores the bans that have changed.
    pub fn note(&mut self, engine: &mut Engine, now: Time) {
        let entries = engine.take_journal();
        let issued = engine.take_peer_journal();
        if let (Some(store), false) = (&self.store, entries.is_empty()) {
            store.note(engine.plan(), entries, now);
            self.due = true;
        }
        if let (Some(store), false) = (&self.store, issued.is_empty()) {
            store.note_issued(issued, now);
        }
    }

    /// Stores all: after a reload, jails, sets and rules may have other names, and jails other
    /// terms.
    pub fn begin_anew(&mut self, engine: &mut Engine, now: Time) {
        self.note(engine, now);
        if let Some(store) = &self.store {
            let bans = engine.bans().iter().copied().collect();
            store.note_all(&Arc::clone(engine.plan()), bans, now);
            store.note_all_issued(engine.peers().stored(), now);
            store.orders(self.orders.clone(), now);
            engine.note_changes();
            self.anew = true;
        }
    }

    /// Stores who ordered a ban that is in force.
    pub fn annotate(&mut self, engine: &mut Engine, ban: &Ban, note: Note, now: Time) {
        self.note(engine, now);
        if let (Some(store), Some(key)) = (&self.store, ban_record::key(engine.plan(), ban)) {
            store.annotate(key, note, now);
        }
    }

    /// Stores what happened, after the changes that it is about.
    pub fn events(&self, happened: Vec<Happened>, now: Time) {
        if let (Some(store), false) = (&self.store, happened.is_empty()) {
            store.events(happened, now);
        }
    }

    /// Stores what is ordered besides bans, if that has changed.
    pub fn orders(&mut self, orders: &Orders, now: Time) {
        if self.orders != *orders {
            self.orders.clone_from(orders);
            if let Some(store) = &self.store {
                store.orders(orders.clone(), now);
            }
        }
    }

    /// Corrects what is stored by a step of the wall clock, after `engine` was corrected.
    pub fn correct(&mut self, step: ClockStep, now: Time) {
        if let Some(store) = &self.store {
            store.correct(step, now);
            // The counts with them, and where the logs are read.
            self.anew = true;
            self.due = true;
        }
    }

    /// Sees to it that the store has everything; once a second.
    pub fn tick(&mut self, engine: &mut Engine, now: Time) {
        if self.store.as_ref().is_some_and(|store| store.health().behind) {
            self.begin_anew(engine, now);
        }
    }

    /// Stores how far the guard has come, if it is time: once a second, and after each ban and
    /// unban. To be called when all events that were read have been taken in.
    pub fn checkpoint(&mut self, engine: &mut Engine, reader: &Reader, now: Time) {
        let Some(took) = self.store.as_ref().and_then(Store::pace) else { return };
        let wait = if self.due { took * SHARES.0 } else { (took * SHARES.1).max(PACE) };
        if self.last.is_none_or(|last| last.elapsed() >= wait) {
            self.checkpoint_now(engine, reader, now);
        }
    }

    /// Stores how far the guard has come.
    pub fn checkpoint_now(&mut self, engine: &mut Engine, reader: &Reader, now: Time) {
        self.last = Some(Instant::now());
        self.due = false;
        // While nothing can be stored, what has changed stays what has changed.
        let Some(store) = self.store.as_ref().filter(|store| store.health().error.is_none()) else {
            return;
        };
        let anew = std::mem::take(&mut self.anew);
        let left = reader.checkpoints();
        let counters = engine.take_changes();
        let logins = engine.take_logins();
        let accounts = engine.take_accounts();
        let totals = engine.take_totals();
        let hours = engine.take_hours(now);
        let earlier = engine.take_earlier();
        let nothing = counters.is_empty()
            && logins.is_none()
            && accounts.is_none()
            && totals.is_empty()
            && hours.is_empty()
            && earlier.is_none();
        if !anew && nothing && is_where(&left, &self.left) {
            return;
        }
        let plan = engine.plan();
        let rules = anew.then(|| {
            plan.rules.iter().map(|(id, _)| plan.rule_name(id).unwrap_or_default()).collect()
        });
        let names = anew.then(|| engine.counter_names());
        let jails = anew.then(|| plan.jails().map(|(_, jail)| jail.name.clone()).collect());
        self.left.clone_from(&left);
        let checkpoint = Checkpoint {
            logs: left,
            rules,
            names,
            counters,
            logins,
            accounts,
            jails,
            totals,
            hours,
            earlier,
        };
        store.checkpoint(checkpoint, now);
    }

    /// Calls `then` once all that was noted is stored, or cannot be.
    pub fn then(&self, then: impl FnOnce() + Send + 'static) {
        match &self.store {
            Some(store) => store.then(then),
            None => then(),
        }
    }

    /// Whether a process that is started after this one knows what this one does.
    #[must_use]
    pub fn stores(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.health().error.is_none())
    }

    /// Returns the state of the store.
    #[must_use]
    pub fn status(&self, now: Time) -> StoreStatus {
        let Some(store) = &self.store else {
            return StoreStatus { state: "off".to_owned(), ..StoreStatus::default() };
        };
        let Health { error, stats, .. } = store.health();
        let stats = stats.filter(|_| error.is_none());
        let written = store.written();
        StoreStatus {
            state: if error.is_none() { "stored" } else { "in memory only" }.to_owned(),
            path: Some(store.path().display().to_string()),
            trouble: error,
            bytes: stats.map(|stats| stats.bytes),
            bans: stats.map(|stats| stats.bans),
            past: stats.map(|stats| stats.past),
            offenders: stats.map(|stats| stats.offenders),
            known_good: stats.map(|stats| stats.known_good),
            checkpoint: written.map(|written| written.at.secs()),
            checkpoint_ago: written.map(|written| now.since(written.at).as_secs()),
            checkpoint_took: written
                .map(|written| written.took.as_millis().try_into().unwrap_or(u64::MAX)),
        }
    }

    /// Returns why nothing is stored, if nothing is.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.store.as_ref()?.health().error
    }

    /// Returns what was wrong with the state file, at the start or since, and what became of it.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        self.store.as_ref()?.health().notice
    }

    /// Stores what is left, within `limit`.
    pub fn stop(self, limit: Duration) {
        if let Some(store) = self.store {
            store.stop(limit);
        }
    }
}

/// Whether logs are where they were. That they are known to have been there for longer is not worth
/// writing, which would keep a quiet machine's disk awake.
fn is_where(now: &[LogCheckpoint], before: &[LogCheckpoint]) -> bool {
    let place = |left: &LogCheckpoint| (left.key.clone(), left.channel, left.checkpoint.clone());
    now.iter().map(place).eq(before.iter().map(place))
}
