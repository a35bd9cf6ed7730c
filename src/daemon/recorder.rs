//! Between the engine and the store: what has changed, and when it is written.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Engine;
use crate::store::Store;
use crate::time::Time;

/// Has what must outlive the daemon stored; or nothing, in a dry run.
#[derive(Debug, Default)]
pub struct Recorder {
    store: Option<Store>,
}

impl Recorder {
    /// A recorder for `engine`, of which it wants to know what changes from now on.
    #[must_use]
    pub fn new(store: Store, engine: &mut Engine) -> Self {
        engine.keep_journal();
        Self { store: Some(store) }
    }

    /// Has the bans stored that have changed.
    pub fn note(&self, engine: &mut Engine, now: Time) {
        let entries = engine.take_journal();
        if let (Some(store), false) = (&self.store, entries.is_empty()) {
            store.note(engine.plan(), entries, now);
        }
    }

    /// Has all bans stored: after a reload, their jails and sets may have other names.
    pub fn note_all(&self, engine: &mut Engine, now: Time) {
        self.note(engine, now);
        if let Some(store) = &self.store {
            let bans = engine.bans().iter().copied().collect();
            store.note_all(&Arc::clone(engine.plan()), bans, now);
        }
    }

    /// Sees to it that the store has everything; once a second.
    pub fn tick(&self, engine: &mut Engine, now: Time) {
        let Some(store) = &self.store else { return };
        let health = store.health();
        if health.behind && health.error.is_none() {
            self.note_all(engine, now);
        }
    }

    /// Calls `then` once all that was noted is stored, or cannot be.
    pub fn then(&self, then: impl FnOnce() + Send + 'static) {
        match &self.store {
            Some(store) => store.then(then),
            None => then(),
        }
    }

    /// What is wrong with the store, for people.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let Some(store) = &self.store else { return Vec::new() };
        let health = store.health();
        let error = health.error.map(|error| {
            format!(
                "nothing is stored, so a restart would know only what the kernel holds: {error}"
            )
        });
        error.into_iter().chain(health.notice).collect()
    }

    /// Stores what is left, within `limit`.
    pub fn stop(self, limit: Duration) {
        if let Some(store) = self.store {
            store.stop(limit);
        }
    }
}
