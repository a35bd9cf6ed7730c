//! What happened in each hour, by the rule that told of it: small numbers that are kept for a year.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::model::event::RuleId;
use crate::model::time::Time;

/// An hour, as the number of hours since 1970 in UTC.
pub type Hour = i64;

/// The hours whose counts are known in memory, up to the present: what comes later is stored whole, even if the disk was
/// full for this long. What is older, or more than an hour ahead, is not counted.
pub const REMEMBERED: Hour = 48;
/// Rules that are counted apart in an hour; what others tell is counted together.
pub const MOST_RULES: usize = 64;
/// The name of these others.
pub const OTHERS: &str = "others";
/// Pairs of hour and rule that are counted between two checkpoints; about 80 bytes each. Beyond that, nothing new begins.
const MOST_FRESH: usize = 8192;

/// Milliseconds of an hour.
const MILLIS: i64 = 3_600_000;

/// Returns the hour that a time is in.
#[must_use]
pub fn hour_of(time: Time) -> Hour {
    time.millis().div_euclid(MILLIS)
}

/// Returns the time when an hour begins.
#[must_use]
pub fn begin_of(hour: Hour) -> Time {
    Time::from_millis(hour.saturating_mul(MILLIS))
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A line or exchange that counts against a host, however many jails count it.
    Attempt,
    /// One that counts against nobody, because its address cannot be trusted.
    Untrusted,
    /// A line that can be read as naming two hosts.
    Ambiguous,
    /// A ban.
    Ban,
    /// A ban that a jail in observe mode would have made.
    Observed,
}

/// The numbers of an hour and a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HourTally {
    /// See [`Counted::Attempt`].
    pub attempts: u64,
    /// See [`Counted::Untrusted`].
    pub untrusted: u64,
    /// See [`Counted::Ambiguous`].
    pub ambiguous: u64,
    /// See [`Counted::Ban`].
    pub bans: u64,
    /// See [`Counted::Observed`].
    pub observed: u64,
}

impl HourTally {
    fn count(&mut self, what: Counted) {
        let number = match what {
            Counted::Attempt => &mut self.attempts,
            Counted::Untrusted => &mut self.untrusted,
            Counted::Ambiguous => &mut self.ambiguous,
            Counted::Ban => &mut self.bans,
            Counted::Observed => &mut self.observed,
        };
        *number = number.saturating_add(1);
    }

    /// Adds the numbers of another one.
    pub fn add(&mut self, other: &Self) {
        let Self { attempts, untrusted, ambiguous, bans, observed } = self;
        *attempts = attempts.saturating_add(other.attempts);
        *untrusted = untrusted.saturating_add(other.untrusted);
        *ambiguous = ambiguous.saturating_add(other.ambiguous);
        *bans = bans.saturating_add(other.bans);
        *observed = observed.saturating_add(other.observed);
    }
}

/// The numbers of an hour and a rule, with their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// The hour.
    pub hour: Hour,
    /// The rule, as `filter/id`; empty: no rule, as of a ban by hand.
    pub rule: String,
    /// All that was counted in that hour so far.
    pub tally: HourTally,
}

/// Counts by hour and rule. It takes at most [`REMEMBERED`] × ([`MOST_RULES`] + 1) × 120 bytes and [`MOST_FRESH`] × 80
/// bytes: a megabyte.
#[derive(Debug, Default)]
pub struct HourCounts {
    /// What was counted since the last checkpoint.
    fresh: HashMap<(Hour, Option<RuleId>), HourTally, RandomState>,
    /// All that was counted in the last hours, by the names of the rules.
    known: BTreeMap<Hour, BTreeMap<String, HourTally>>,
    /// What of that is not stored yet.
    changed: BTreeSet<(Hour, String)>,
}

impl HourCounts {
    /// Counts something of this time, by this rule.
    pub fn count(&mut self, what: Counted, time: Time, rule: Option<RuleId>) {
        let key = (hour_of(time), rule);
        if let Some(tally) = self.fresh.get_mut(&key) {
            tally.count(what);
        } else if self.fresh.len() < MOST_FRESH {
            self.fresh.entry(key).or_default().count(what);
        }
    }

    /// Gives what was counted the names that its rules have now: before the rules get other numbers, and before it is stored.
    pub fn settle(&mut self, name: impl Fn(RuleId) -> Option<String>) {
        // In the order of their hours: there may not be room for all.
        let mut fresh: Vec<_> = self.fresh.drain().collect();
        fresh.sort_unstable_by_key(|(key, _)| *key);
        for ((hour, rule), tally) in fresh {
            let rules = self.known.entry(hour).or_default();
            let rule = rule.map_or(Some(String::new()), &name).unwrap_or_else(|| OTHERS.to_owned());
            let is_room = rules.len() < MOST_RULES || rules.contains_key(&rule);
            let rule = if is_room { rule } else { OTHERS.to_owned() };
            rules.entry(rule.clone()).or_default().add(&tally);
            self.changed.insert((hour, rule));
        }
    }

    /// Returns what has changed since the last call, of the hours that are known at `now`. Settle it first.
    pub fn take_changes(&mut self, now: Time) -> Vec<HourCount> {
        let present = hour_of(now);
        let is_known = |hour: Hour| (present - REMEMBERED..=present + 1).contains(&hour);
        self.known.retain(|hour, _| is_known(*hour));
        let changed = std::mem::take(&mut self.changed).into_iter();
        let count = |(hour, rule): (Hour, String)| {
            let tally = *self.known.get(&hour)?.get(&rule)?;
            Some(HourCount { hour, rule, tally })
        };
        changed.filter_map(count).collect()
    }

    /// Lets all that is known count as changed.
    pub fn note_changes(&mut self) {
        let keys = self.known.iter().flat_map(|(hour, rules)| {
            rules.keys().map(|rule| (*hour, rule.clone())).collect::<Vec<_>>()
        });
        self.changed.extend(keys);
    }

    /// Restores what was stored of the last hours.
    pub fn restore(&mut self, stored: &[HourCount]) {
        for HourCount { hour, rule, tally } in stored {
            let rules = self.known.entry(*hour).or_default();
            if rules.len() <= MOST_RULES {
                rules.entry(rule.clone()).or_default().add(tally);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_795_308_766);

    fn name(rule: RuleId) -> String {
        format!("filter/{}", rule.0)
    }

    fn settled(counts: &mut HourCounts, now: Time) -> Vec<(Hour, String, u64)> {
        counts.settle(|rule| Some(name(rule)));
        let changes = counts.take_changes(now).into_iter();
        changes.map(|it| (it.hour, it.rule, it.tally.attempts)).collect()
    }

    #[test]
    fn hours_are_told_when_they_change_and_go_on_after_a_restart() {
        let mut counts = HourCounts::default();
        let hour = hour_of(NOW);
        for (what, rule) in [
            (Counted::Attempt, Some(RuleId(1))),
            (Counted::Attempt, Some(RuleId(1))),
            (Counted::Ban, None),
        ] {
            counts.count(what, NOW, rule);
        }
        let expected = [(hour, String::new(), 0), (hour, "filter/1".to_owned(), 2)];
        assert_eq!(settled(&mut counts, NOW), expected);
        assert_eq!(settled(&mut counts, NOW), []);
        counts.note_changes();
        counts.settle(|rule| Some(name(rule)));
        let stored = counts.take_changes(NOW);
        assert_eq!(stored.len(), 2);
        let mut again = HourCounts::default();
        again.restore(&stored);
        assert_eq!(settled(&mut again, NOW), []);
        again.count(Counted::Attempt, NOW, Some(RuleId(1)));
        assert_eq!(settled(&mut again, NOW), [(hour, "filter/1".to_owned(), 3)]);
        // The rules have other numbers now.
        again.count(Counted::Attempt, NOW, Some(RuleId(1)));
        again.settle(|rule| Some(name(rule)));
        again.count(Counted::Attempt, NOW, Some(RuleId(9)));
        again.settle(|_| Some("filter/1".to_owned()));
        assert_eq!(settled(&mut again, NOW), [(hour, "filter/1".to_owned(), 5)]);
    }

    #[test]
    fn whatever_comes_memory_and_rows_are_bounded() {
        let mut counts = HourCounts::default();
        for round in 0..4 {
            for number in 0..100_000_i64 {
                let rule = RuleId(u16::try_from(number % 60_000).unwrap());
                let time = Time::from_secs(NOW.secs() + (number % 7) * 3600 * round);
                counts.count(Counted::Attempt, time, Some(rule));
            }
            assert!(counts.fresh.len() <= MOST_FRESH);
            counts.settle(|rule| Some(name(rule)));
        }
        assert!(counts.known.values().all(|rules| rules.len() <= MOST_RULES + 1));
        let hours: BTreeSet<_> = counts.take_changes(NOW).into_iter().map(|it| it.hour).collect();
        assert_eq!(hours.len(), 2, "this hour and the next one: {hours:?}");
        assert_eq!(counts.known.len(), 2);
        // A clock that is set changes nothing for what comes then.
        for time in [Time::default(), Time::from_millis(i64::MAX), Time::from_millis(i64::MIN), NOW]
        {
            counts.count(Counted::Attempt, time, None);
        }
        let [(hour, rule, _)] = <[_; 1]>::try_from(settled(&mut counts, NOW)).unwrap();
        assert_eq!((hour, rule.as_str()), (hour_of(NOW), OTHERS));
    }
}
