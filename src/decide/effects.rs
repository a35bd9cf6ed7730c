//! Packets of banned hosts that come through all the same: how their number grows from one look to the next,
//! and the bans that are without effect.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::clock_step::ClockStep;
use crate::model::event::{Passed, Remedy, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The age that a ban has to have: packets that were under way, and those that came before the kernel knew of
/// it, say nothing.
pub const GRACE: Duration = Duration::from_secs(5);
/// Looks that have to find more packets than the one before: at the moment when a damaged table is put back,
/// one may.
const LOOKS: u8 = 2;
/// The time within which they have to.
const WITHIN: Duration = Duration::from_secs(600);
/// Bans that are known to be without effect, or may be; about 120 bytes each. Further ones are not looked at.
const CAPACITY: usize = 1024;

/// A ban, as the kernel has it.
type Key = (Subject, ScopeId);

/// What was counted at the last look, and what follows from it.
#[derive(Debug, Default)]
pub struct Effects {
    /// As many as the kernel's sets take, about 40 bytes each.
    counted: HashMap<(IpAddr, u16), u64, RandomState>,
    looked: Option<Time>,
    bans: BTreeMap<Key, Ineffective>,
}

/// A ban that packets come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ineffective {
    /// The port that they came to last.
    pub port: u16,
    /// The number of packets.
    pub packets: u64,
    /// The time of the first look that found some.
    pub since: Time,
    /// The time of the last one.
    pub last: Time,
    /// The outcome for the ban; `None`: it is not certain yet.
    pub outcome: Option<Remedy>,
    looks: u8,
}

impl Effects {
    /// Takes up what has been counted so far, and returns what has come since the look before, and when that
    /// was; nothing at the first one.
    pub fn look(&mut self, counted: &[Passed], now: Time) -> Option<(Time, Vec<Passed>)> {
        let key = |passed: &Passed| (passed.host, passed.port);
        let grown = |passed: &Passed| {
            // The kernel has begun anew where there are fewer.
            let before = self.counted.get(&key(passed)).filter(|before| **before <= passed.packets);
            let packets = passed.packets - before.copied().unwrap_or(0);
            (packets > 0).then_some(Passed { packets, ..*passed })
        };
        let all = counted.iter().filter_map(grown).collect();
        self.counted = counted.iter().map(|passed| (key(passed), passed.packets)).collect();
        self.looked.replace(now).map(|before| (before, all))
    }

    /// Records packets that a look at `now` found, of a ban that should have held them. Whether that makes it
    /// certain that the ban is without effect: once for each.
    pub fn record(&mut self, ban: Key, port: u16, packets: u64, now: Time) -> bool {
        if self.bans.len() >= CAPACITY && !self.bans.contains_key(&ban) {
            return false;
        }
        let new = Ineffective { port, packets: 0, since: now, last: now, outcome: None, looks: 0 };
        let known = self.bans.entry(ban).or_insert(new);
        if known.outcome.is_none() && now.since(known.last) > WITHIN {
            *known = new;
        }
        if known.looks == 0 || known.last != now {
            known.looks = known.looks.saturating_add(1);
        }
        known.packets += packets;
        (known.port, known.last) = (port, now);
        known.outcome.is_none() && known.looks >= LOOKS
    }

    /// Sets the outcome for a ban.
    pub fn settle(&mut self, ban: Key, outcome: Remedy) -> Option<Ineffective> {
        let known = self.bans.get_mut(&ban)?;
        known.outcome = Some(outcome);
        Some(*known)
    }

    /// Returns the bans that packets come through.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Ineffective)> {
        self.bans.iter().map(|(key, known)| (*key, known))
    }

    /// Forgets the bans that are over.
    pub fn retain(&mut self, in_force: impl Fn(Key) -> bool) {
        self.bans.retain(|key, _| in_force(*key));
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        let bans = self.bans.values_mut().flat_map(|known| [&mut known.since, &mut known.last]);
        step.correct_all(bans.chain(&mut self.looked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(n: u8, packets: u64) -> Passed {
        Passed { host: [192, 0, 2, n].into(), port: 5060, packets }
    }

    #[test]
    fn only_what_has_come_since_the_look_before_counts() {
        let mut effects = Effects::default();
        let mut look = |counted: &[Passed], secs| effects.look(counted, Time::from_secs(secs));
        let at = Time::from_secs;
        assert_eq!(look(&[passed(1, 7)], 10), None);
        assert_eq!(look(&[passed(1, 7), passed(2, 3)], 11), Some((at(10), vec![passed(2, 3)])));
        assert_eq!(
            look(&[passed(1, 9), passed(2, 2)], 12),
            Some((at(11), vec![passed(1, 2), passed(2, 2)]))
        );
        assert_eq!(look(&[], 13), Some((at(12), Vec::new())));
        assert_eq!(look(&[passed(1, 1)], 14), Some((at(13), vec![passed(1, 1)])));
    }

    #[test]
    fn two_looks_make_it_certain_and_it_is_said_once() {
        let mut effects = Effects::default();
        let key = |n: u8| (Subject::of([192, 0, 2, n].into(), 128), ScopeId(1));
        let mut record = |n, secs| effects.record(key(n), 5060, 1, Time::from_secs(secs));
        // Two ports at one look are one look.
        assert_eq!([record(1, 10), record(1, 10), record(1, 12)], [false, false, true]);
        assert_eq!([record(2, 10), record(2, 700), record(2, 701)], [false, false, true]);
        effects.settle(key(1), Remedy::Widened);
        assert!(!effects.record(key(1), 5060, 1, Time::from_secs(13)));
        let known = effects.bans[&key(1)];
        assert_eq!(
            (known.packets, known.since, known.last),
            (4, Time::from_secs(10), Time::from_secs(13))
        );
        effects.retain(|known| known == key(2));
        assert_eq!(effects.iter().count(), 1);
    }

    #[test]
    fn there_are_not_more_than_fit() {
        let mut effects = Effects::default();
        for n in 0..2 * u32::try_from(CAPACITY).unwrap() {
            let subject = Subject::of(std::net::Ipv4Addr::from(n).into(), 128);
            effects.record((subject, ScopeId(1)), 5060, 1, Time::from_secs(10));
        }
        assert_eq!(effects.iter().count(), CAPACITY);
    }
}
