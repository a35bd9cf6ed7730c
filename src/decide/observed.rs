//! Bans that jails in observe mode would have made, for as long as they would have lasted: what is to be judged
//! before a jail may ban.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::model::clock_step::ClockStep;
use crate::model::event::{Ban, JailId};
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Bans that are known at most, about 200 bytes each; of eight, the oldest gives way.
pub const CAPACITY: usize = 1 << 14;

/// The bans that would be in force.
#[derive(Debug, Default)]
pub struct ObservedBans {
    bans: HashMap<(JailId, Subject), Ban, RandomState>,
    /// When each of them would be over, if ever.
    deadlines: BTreeSet<(Time, JailId, Subject)>,
}

impl ObservedBans {
    /// Takes up a ban.
    pub fn put(&mut self, ban: Ban) {
        let key = (ban.jail, ban.subject);
        if self.bans.len() >= CAPACITY && !self.bans.contains_key(&key) {
            let oldest = eviction::least(&self.bans, |ban| ban.since);
            let oldest = oldest.and_then(|key| self.bans.remove(&key));
            self.drop_deadline(oldest.as_ref());
        }
        self.deadlines.extend(deadline(&ban));
        let before = self.bans.insert(key, ban);
        let replaced = before.filter(|before| before.until != ban.until);
        self.drop_deadline(replaced.as_ref());
    }

    fn drop_deadline(&mut self, ban: Option<&Ban>) {
        if let Some(deadline) = ban.and_then(deadline) {
            self.deadlines.remove(&deadline);
        }
    }

    /// Returns the bans, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    /// Returns how many of them a jail would have in force.
    #[must_use]
    pub fn count(&self, jail: JailId) -> usize {
        self.iter().filter(|ban| ban.jail == jail).count()
    }

    /// Lets time pass: forgets the bans that would be over.
    pub fn tick(&mut self, now: Time) {
        while let Some((_, jail, subject)) =
            self.deadlines.first().filter(|(until, ..)| *until <= now).copied()
        {
            self.deadlines.pop_first();
            self.bans.remove(&(jail, subject));
        }
    }

    /// Goes by another plan: `successor` returns what is left of a ban.
    pub fn change(&mut self, successor: impl Fn(&Ban) -> Option<Ban>) {
        let before = std::mem::take(self).bans;
        before.values().filter_map(successor).for_each(|ban| self.put(ban));
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for ban in self.bans.values_mut() {
            step.correct_all(std::iter::once(&mut ban.since).chain(&mut ban.until));
        }
        self.deadlines = self.bans.values().filter_map(deadline).collect();
    }
}

fn deadline(ban: &Ban) -> Option<(Time, JailId, Subject)> {
    Some((ban.until?, ban.jail, ban.subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Evidence, ScopeId};

    fn ban(host: u32, jail: u16, until: Option<i64>) -> Ban {
        let address = std::net::Ipv4Addr::from(0x0A00_0000 + host).into();
        Ban {
            jail: JailId(jail),
            subject: Subject::of(address, 64),
            host: address,
            scope: ScopeId(1),
            since: Time::from_secs(host.into()),
            until: until.map(Time::from_secs),
            offences: 5,
            evidence: Evidence::Proven,
            cause: None,
        }
    }

    #[test]
    fn they_last_as_long_as_the_bans_would() {
        let mut observed = ObservedBans::default();
        observed.put(ban(1, 0, Some(100)));
        observed.put(ban(1, 0, Some(200)));
        observed.put(ban(1, 1, None));
        assert_eq!((observed.count(JailId(0)), observed.count(JailId(1))), (1, 1));
        observed.tick(Time::from_secs(200));
        assert_eq!((observed.count(JailId(0)), observed.count(JailId(1))), (0, 1));
        observed.change(|known| Some(Ban { jail: JailId(3), ..*known }));
        assert_eq!((observed.count(JailId(1)), observed.count(JailId(3))), (0, 1));
        observed.change(|_| None);
        assert_eq!(observed.iter().count(), 0);
    }

    #[test]
    fn each_has_the_deadline_that_was_said_last() {
        let mut observed = ObservedBans::default();
        for until in [Some(100), Some(50), None, Some(70), Some(70)] {
            observed.put(ban(1, 0, until));
            assert_eq!(observed.deadlines.len(), until.iter().count());
        }
        observed.correct(ClockStep::by_millis(10_000));
        observed.tick(Time::from_secs(79));
        assert_eq!(observed.count(JailId(0)), 1);
        observed.tick(Time::from_secs(80));
        assert_eq!((observed.count(JailId(0)), observed.deadlines.len()), (0, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut observed = ObservedBans::default();
        (0..2 << 14).for_each(|host| observed.put(ban(host, 0, Some(9))));
        assert_eq!((observed.count(JailId(0)), observed.deadlines.len()), (CAPACITY, CAPACITY));
    }
}
