//! The counts of one jail, and the bans that its subjects have had.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::earlier::EarlierBans;
use crate::config::Jail;
use crate::decide::offences::OffenceTable;
use crate::model::event::{Ban, Evidence};
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::{BanTime, Time};

/// Subjects of one jail whose earlier bans are remembered, for longer bans to come; about 40 bytes
/// each. When there are more, some that were banned longest ago are forgotten.
const HISTORY: usize = 1 << 16;

/// The state of one jail.
#[derive(Debug)]
pub(super) struct JailState {
    pub offences: OffenceTable,
    /// Proven and unverified bans apart: spoofed packets must not make a proven ban longer.
    pub history: HashMap<(Subject, Evidence), PastBans, RandomState>,
    pub tally: Tally,
    /// The tally that is stored; `None` if none is.
    pub stored: Option<Tally>,
}

/// A subject's bans so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct PastBans {
    pub bans: u32,
    /// The attempts that these counted, together.
    pub tries: u32,
    /// The time when the last one was decided, and when it ended or will end.
    pub last: (Time, Option<Time>),
}

/// The counts of a jail since it was set up. They outlive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Offences counted.
    pub failed: u64,
    /// Bans decided.
    pub banned: u64,
    /// Bans that would have been, were it not for observing only.
    pub observed: u64,
    /// Offences of hosts that are never banned.
    pub ignored: u64,
    /// Offences of hosts that are known good, which were excused.
    pub excused: u64,
    /// Unverified bans that were not carried out, because there were too many of them.
    pub withheld: u64,
    /// Offences whose address could not be trusted.
    pub hearsay: u64,
    /// The time when an offence was last counted.
    pub last: Option<Time>,
}

impl JailState {
    pub fn new(jail: &Jail) -> Self {
        Self {
            offences: OffenceTable::new(jail.maxretry, jail.findtime).counting(jail.count),
            history: HashMap::default(),
            tally: Tally::default(),
            stored: None,
        }
    }

    /// Counts on the terms of `jail` from now on, on those of `before` up to here.
    pub fn change_terms(&mut self, before: &Jail, jail: &Jail) {
        if before.count == jail.count {
            self.offences.change_terms(jail.maxretry, jail.findtime);
        } else {
            self.offences = Self::new(jail).offences;
            self.offences.note_changes();
        }
        if before.ipv6prefix != jail.ipv6prefix {
            self.offences.forget_ipv6();
        }
    }

    /// Returns how many earlier bans still count of a subject that has been quiet for `quiet`. Those of `others` count until
    /// the first ban after they were taken over, which has counted them.
    pub fn earlier(
        &self,
        whose: &(Subject, Evidence),
        bantime: &BanTime,
        quiet: Duration,
        others: Option<&EarlierBans>,
    ) -> u32 {
        let own = self.history.get(whose);
        let is_new = |others: &&EarlierBans| own.is_none_or(|own| own.last.0 < others.taken);
        let others = others.filter(is_new).map_or(0, |others| others.bans);
        let own = own.map_or(0, |own| own.bans);
        bantime.remembered(own.saturating_add(others), quiet)
    }

    /// Records that a ban ends later.
    pub fn prolong(&mut self, ban: &Ban) {
        if let Some(earlier) = self.history.get_mut(&(ban.subject, ban.evidence)) {
            earlier.last = (ban.since, ban.until);
        }
    }

    pub fn remember(
        &mut self,
        ban: &Ban,
        bantime: &BanTime,
        quiet: Duration,
        others: Option<&EarlierBans>,
    ) {
        let key = (ban.subject, ban.evidence);
        let earlier = self.earlier(&key, bantime, quiet, others);
        let tries = self.history.get(&key).filter(|_| earlier > 0).map_or(0, |past| past.tries);
        let (bans, tries) = (earlier.saturating_add(1), tries.saturating_add(ban.offences));
        self.make_room(&key);
        self.history.insert(key, PastBans { bans, tries, last: (ban.since, ban.until) });
    }

    fn make_room(&mut self, key: &(Subject, Evidence)) {
        if self.history.len() >= HISTORY && !self.history.contains_key(key) {
            let oldest = eviction::least(&self.history, |earlier| earlier.last.0);
            oldest.and_then(|key| self.history.remove(&key));
        }
    }
}
