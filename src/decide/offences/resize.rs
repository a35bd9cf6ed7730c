//! Changes the terms of a table in use: what was counted goes on counting.

use std::time::Duration;

use super::{OffenceTable, Track};
use crate::config::Counting;

impl OffenceTable {
    /// Counts on other terms from now on. What was counted stays, as far as it fits: of each
    /// subject in each channel, the last attempts.
    pub fn change_terms(&mut self, maxretry: u32, findtime: Duration) {
        let fresh = Self::with_capacity(maxretry, findtime, self.capacity);
        self.findtime = fresh.findtime;
        if (self.ring, self.step) == (fresh.ring, fresh.step) {
            return;
        }
        if self.counting != Counting::Attempts {
            return self.move_accounts(maxretry, findtime);
        }
        let mut times = vec![0; self.entries.len() * fresh.ring];
        let old = self.times.chunks_exact(self.ring).zip(times.chunks_exact_mut(fresh.ring));
        for (entry, (old, new)) in self.entries.iter_mut().zip(old) {
            entry.track.move_to(old, self.step, new, fresh.step);
        }
        (self.times, self.ring, self.step) = (times, fresh.ring, fresh.step);
        self.changes.note_all(self.entries.len());
    }

    /// Forgets the IPv6 subjects, which were those of networks of another length.
    pub fn forget_ipv6(&mut self) {
        for at in (0..self.entries.len()).rev() {
            if self.entries.get(at).is_some_and(|entry| entry.subject.is_ipv6()) {
                self.remove(at);
            }
        }
    }
}

impl Track {
    /// Moves to another ring, whose places stand for `new_step` attempts each, with the last
    /// attempts of the old one.
    fn move_to(&mut self, old: &[u32], step: u32, new: &mut [u32], new_step: u32) {
        // From the last one back. A place is as old as the last of its attempts, and as proven as all.
        let (mut kept, mut group, mut gathered) = (Vec::with_capacity(new.len()), None, 0);
        let places = old.len().max(1);
        for back in 1..=usize::from(self.used) {
            let at = (usize::from(self.next) + places - back) % places;
            let (time, is_proven) = (old.get(at).copied().unwrap_or(0), self.proven >> at & 1 == 1);
            let mut left = step;
            while left > 0 && kept.len() < new.len() {
                let (last, proven) = group.take().unwrap_or((time, true));
                let taken = left.min(new_step - gathered);
                (left, gathered) = (left - taken, gathered + taken);
                if gathered == new_step {
                    kept.push((last, proven && is_proven));
                    gathered = 0;
                } else {
                    group = Some((last, proven && is_proven));
                }
            }
        }
        self.gathered = self.gathered.saturating_add(gathered).min(new_step - 1);
        self.used = u8::try_from(kept.len()).unwrap_or(u8::MAX);
        self.next = u8::try_from(kept.len() % new.len().max(1)).unwrap_or(0);
        self.proven = 0;
        for (at, (place, (time, proven))) in new.iter_mut().zip(kept.iter().rev()).enumerate() {
            *place = *time;
            self.proven |= u64::from(*proven) << at;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::offences::Count;
    use crate::model::event::{Basis, ChannelId, Class, Clue, Event, Evidence, Meaning, RuleId};
    use crate::model::subject::Subject;
    use crate::model::time::Time;

    const FINDTIME: Duration = Duration::from_secs(600);

    fn now(secs: i64) -> Time {
        Time::from_secs(1_800_000_000 + secs)
    }

    /// A host with one attempt a second, of which these are proven.
    fn table(maxretry: u32, attempts: &[bool]) -> (OffenceTable, Subject) {
        let subject = Subject::of([192, 0, 2, 1].into(), 64);
        let mut table = OffenceTable::new(maxretry, FINDTIME);
        for (second, proven) in (0..).zip(attempts) {
            add(&mut table, subject, second, *proven);
        }
        (table, subject)
    }

    fn add(table: &mut OffenceTable, subject: Subject, second: i64, proven: bool) -> Count {
        let event = Event {
            time: now(second),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Offence(Class::Guess),
            host: subject.address(),
            evidence: if proven { Evidence::Proven } else { Evidence::Unverified },
            line: u64::try_from(second).unwrap() + 1,
            account: None,
            basis: Basis::Text,
            clue: Clue::default(),
        };
        table.add(subject, &event, 1)
    }

    proptest! {
        /// As long as each attempt has a place of its own, a table whose terms change counts on
        /// like one that remembers all of them.
        #[test]
        fn resize_keeps_the_last_attempts(
            before in 1u32..65,
            after in 1u32..65,
            attempts in proptest::collection::vec(any::<bool>(), 0..100),
            more in proptest::collection::vec(any::<bool>(), 1..100),
        ) {
            let (mut changed, subject) = table(before, &attempts);
            changed.change_terms(after, FINDTIME);
            let kept = attempts.len().min(before as usize).min(after as usize);
            let mut known = attempts[attempts.len() - kept..].to_vec();
            for (second, proven) in (i64::try_from(attempts.len()).unwrap()..).zip(more) {
                known.push(proven);
                let last = &known[known.len().saturating_sub(after as usize)..];
                let count = add(&mut changed, subject, second, proven);
                prop_assert_eq!(count.all as usize, last.len());
                prop_assert_eq!(count.proven as usize, last.iter().filter(|proven| **proven).count());
            }
        }

        /// If attempts share places, a place or so may be missing, and none is made up.
        #[test]
        fn resize_keeps_attempts_that_share_a_slot(
            before in 1u32..400,
            after in 1u32..400,
            attempts in 0usize..600,
        ) {
            let (mut changed, subject) = table(before, &vec![true; attempts]);
            let time = now(i64::try_from(attempts).unwrap());
            let whole = |table: &OffenceTable| table.count(&subject, time);
            // Only what was within findtime, and had a place.
            let counted = whole(&changed).all;
            let places = after.div_ceil(64.min(after));
            changed.change_terms(after, FINDTIME);
            let count = whole(&changed);
            prop_assert!(count.all <= counted, "{count:?} of {counted}");
            prop_assert!(count.all + places >= counted.min(after), "{count:?} of {counted}");
            prop_assert_eq!(count.all, count.proven);
        }
    }

    #[test]
    fn huge_maxretry_is_reached_and_left_quickly() {
        let (mut table, subject) = table(5, &[true; 5]);
        for maxretry in [u32::MAX, 1, u32::MAX, 5] {
            table.change_terms(maxretry, FINDTIME);
        }
        assert!(table.count(&subject, now(5)).all <= 1);
    }

    #[test]
    fn new_findtime_counts_immediately() {
        let (mut table, subject) = table(5, &[true; 5]);
        for (secs, left) in [(600, 2), (3, 1), (60, 5)] {
            table.change_terms(5, Duration::from_secs(secs));
            let at = if secs == 600 { 602 } else { 6 };
            assert_eq!(table.count(&subject, now(at)).all, left, "{secs}");
        }
    }
}
