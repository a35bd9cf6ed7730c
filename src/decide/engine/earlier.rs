//! Bans that another guard made of a host before this one did: they make its next ban longer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::Engine;
use crate::model::clock_step::ClockStep;
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Hosts of which this is remembered, of about 60 bytes each. When there are more, some whose last ban ended longest ago are
/// forgotten.
const CAPACITY: usize = 1 << 16;

/// Bans of a host that count at most: no ban time grows for longer.
pub const MOST_EARLIER: u32 = 32;

/// The bans that a host had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierBans {
    /// Their number.
    pub bans: u32,
    /// The time when the last one ended, or will; `None`: never.
    pub until: Option<Time>,
    /// The time when they were taken over.
    pub taken: Time,
}

impl EarlierBans {
    /// Returns how long ago the last one ended.
    pub(super) fn quiet(&self, now: Time) -> Duration {
        self.until.map_or(Duration::ZERO, |end| now.since(end))
    }
}

/// What is remembered of all hosts.
#[derive(Debug, Default)]
pub(super) struct EarlierTable {
    hosts: HashMap<Subject, EarlierBans, RandomState>,
    changed: bool,
}

impl EarlierTable {
    /// Returns the bans of a subject that had been taken over by `now`.
    pub fn of(&self, subject: &Subject, now: Time) -> Option<&EarlierBans> {
        self.hosts.get(subject).filter(|earlier| earlier.taken <= now)
    }

    /// Takes over bans. Returns whether that is news.
    fn put(&mut self, subject: Subject, earlier: EarlierBans) -> bool {
        let earlier = EarlierBans { bans: earlier.bans.min(MOST_EARLIER), ..earlier };
        let known = self.hosts.get(&subject).copied();
        if earlier.bans == 0 || known.is_some_and(|known| known.bans >= earlier.bans) {
            return false;
        }
        if known.is_none() && self.hosts.len() >= CAPACITY {
            let rank = |one: &EarlierBans| (one.until.is_none(), one.until);
            let oldest = eviction::least(&self.hosts, rank);
            oldest.and_then(|oldest| self.hosts.remove(&oldest));
        }
        // A jail that has banned the host since counts them already.
        let taken = known.map_or(earlier.taken, |known| known.taken);
        self.hosts.insert(subject, EarlierBans { taken, ..earlier });
        self.changed = true;
        true
    }

    /// Counts all of it as changed.
    pub fn note_changes(&mut self) {
        self.changed = !self.hosts.is_empty();
    }

    pub fn correct(&mut self, step: ClockStep) {
        for earlier in self.hosts.values_mut() {
            step.correct_all([&mut earlier.taken].into_iter().chain(&mut earlier.until));
        }
        self.note_changes();
    }
}

/// The bans of other guards, to be stored: subjects as they are written.
pub type StoredEarlier = Vec<(String, EarlierBans)>;

impl Engine {
    /// Takes over that another guard has banned a host `bans` times, the last time until then. Each jail counts them for its
    /// next ban of the host, as if they had been its own. Returns whether that is news.
    pub fn take_over(&mut self, host: IpAddr, bans: u32, until: Option<Time>, now: Time) -> bool {
        let subject = self.known_as(host);
        self.earlier.put(subject, EarlierBans { bans, until, taken: now })
    }

    /// Returns the bans of other guards, if that has changed since the last call.
    pub fn take_earlier(&mut self) -> Option<StoredEarlier> {
        let stored = |(subject, earlier): (&Subject, &EarlierBans)| (subject.to_string(), *earlier);
        std::mem::take(&mut self.earlier.changed)
            .then(|| self.earlier.hosts.iter().map(stored).collect())
    }

    /// Restores them. What makes no sense is left out.
    pub(super) fn restore_earlier(&mut self, stored: &StoredEarlier) {
        for (subject, earlier) in stored.iter().take(CAPACITY) {
            if let Ok(subject) = subject.parse() {
                self.earlier.put(subject, *earlier);
            }
        }
        self.earlier.changed = false;
    }
}
