//! What one jail has counted, and the bans that its subjects have had.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::Jail;
use crate::event::{Ban, Evidence};
use crate::offence::OffenceTable;
use crate::subject::Subject;
use crate::time::{BanTime, Lasting, Time};

/// Subjects of one jail whose earlier bans are remembered, for longer bans to come; about 40 bytes
/// each. When there are more, some that were banned longest ago are forgotten.
const HISTORY: usize = 1 << 16;

/// What one jail has counted.
#[derive(Debug)]
pub(super) struct JailState {
    pub offences: OffenceTable,
    /// Proven and unverified bans apart: spoofed packets must not make a proven ban longer.
    pub history: HashMap<(Subject, Evidence), Earlier, RandomState>,
    pub tally: Tally,
}

/// A subject's bans so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Earlier {
    pub bans: u32,
    /// When the last one was decided, and when it ended or will end.
    pub last: (Time, Option<Time>),
}

/// What a jail has counted since it was set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Offences counted.
    pub failed: u64,
    /// Bans decided.
    pub banned: u64,
    /// Offences of hosts that are never banned.
    pub ignored: u64,
    /// Offences of hosts that are known good, which were excused.
    pub excused: u64,
    /// Unverified bans that were not carried out, because there were too many at once.
    pub withheld: u64,
    /// Offences whose address could not be trusted.
    pub hearsay: u64,
    /// When an offence was last counted.
    pub last: Option<Time>,
}

impl JailState {
    pub fn new(jail: &Jail) -> Self {
        Self {
            offences: OffenceTable::new(jail.maxretry, jail.findtime),
            history: HashMap::default(),
            tally: Tally::default(),
        }
    }

    /// The length of a subject's next ban on this evidence. Earlier bans count until a host has
    /// kept quiet for as long as the longest ban takes.
    pub fn next_length(
        &self,
        subject: Subject,
        evidence: Evidence,
        bantime: &BanTime,
        now: Time,
    ) -> Lasting {
        let quiet = |end: Time| matches!(bantime.max, Lasting::For(max) if now.since(end) > max);
        let earlier = self.history.get(&(subject, evidence));
        let earlier = earlier.filter(|earlier| !earlier.last.1.is_some_and(quiet));
        bantime.after(earlier.map_or(0, |earlier| earlier.bans))
    }

    pub fn remember(&mut self, ban: &Ban) {
        let key = (ban.subject, ban.evidence);
        if self.history.len() >= HISTORY && !self.history.contains_key(&key) {
            let drawn = self.history.iter().take(8);
            let oldest = drawn.min_by_key(|(_, earlier)| earlier.last.0).map(|(key, _)| *key);
            oldest.and_then(|key| self.history.remove(&key));
        }
        let earlier =
            self.history.entry(key).or_insert(Earlier { bans: 0, last: (ban.since, ban.until) });
        earlier.bans = earlier.bans.saturating_add(1);
        earlier.last = (ban.since, ban.until);
    }
}

impl Jail {
    /// Whether offences counted for this jail mean the same to `other`.
    pub(super) fn counts_like(&self, other: &Self) -> bool {
        self.maxretry == other.maxretry
            && self.findtime == other.findtime
            && self.ipv6prefix == other.ipv6prefix
    }
}
