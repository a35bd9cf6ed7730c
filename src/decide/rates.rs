//! Attempts and bans of each of the last minutes.

use std::collections::VecDeque;

use crate::model::clock_step::ClockStep;
use crate::model::time::Time;

/// Minutes that are remembered; 8 bytes each.
pub const MINUTES: usize = 180;

/// Attempts and bans so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Attempts that a jail counted.
    pub attempts: u64,
    /// Bans decided.
    pub bans: u64,
}

/// Attempts and bans of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinuteCount {
    /// Attempts that a jail counted.
    pub attempts: u32,
    /// Bans decided.
    pub bans: u32,
}

/// Attempts and bans of the last minutes.
#[derive(Clone, Debug, Default)]
pub struct MinuteRates {
    minutes: VecDeque<MinuteCount>,
    /// The sums, and the time, of the last tick.
    before: Option<(Sums, Time)>,
}

impl MinuteRates {
    /// Records the sums of `now`. What was counted before the first call is of no minute.
    pub fn tick(&mut self, sums: Sums, now: Time) {
        let (before, last) = self.before.unwrap_or((sums, now));
        let passed = minute(now).saturating_sub(minute(last)).max(0);
        let passed = usize::try_from(passed).unwrap_or(MINUTES).min(MINUTES);
        let new = if self.minutes.is_empty() { 1 } else { passed };
        self.minutes.extend(std::iter::repeat_n(MinuteCount::default(), new));
        let old = self.minutes.len().saturating_sub(MINUTES);
        self.minutes.drain(..old);
        // Sums fall when a jail goes.
        let more =
            |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
        if let Some(count) = self.minutes.back_mut() {
            count.attempts = count.attempts.saturating_add(more(sums.attempts, before.attempts));
            count.bans = count.bans.saturating_add(more(sums.bans, before.bans));
        }
        self.before = Some((sums, now.max(last)));
    }

    /// Returns the minutes, oldest first. The last one is not over.
    pub fn minutes(&self) -> impl Iterator<Item = MinuteCount> {
        self.minutes.iter().copied()
    }

    /// Corrects the time of the last minute.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.before.as_mut().map(|(_, time)| time));
    }
}

fn minute(time: Time) -> i64 {
    time.secs().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rates: &MinuteRates) -> Vec<(u32, u32)> {
        rates.minutes().map(|count| (count.attempts, count.bans)).collect()
    }

    #[test]
    fn what_is_counted_belongs_to_its_minute() {
        let mut rates = MinuteRates::default();
        let mut tick = |secs, attempts, bans| {
            rates.tick(Sums { attempts, bans }, Time::from_secs(secs));
            counts(&rates)
        };
        // What there was before the start is of no minute.
        assert_eq!(tick(600, 1000, 50), [(0, 0)]);
        assert_eq!(tick(601, 1003, 51), [(3, 1)]);
        assert_eq!(tick(659, 1004, 51), [(4, 1)]);
        assert_eq!(tick(660, 1005, 51), [(4, 1), (1, 0)]);
        assert_eq!(tick(845, 1007, 52), [(4, 1), (1, 0), (0, 0), (0, 0), (2, 1)]);
        // A jail went, with its total; a clock that is set back makes no minutes.
        assert_eq!(tick(846, 7, 2).last(), Some(&(2, 1)));
        assert_eq!(tick(100, 9, 2).last(), Some(&(4, 1)));
        assert_eq!(tick(846, 10, 2).len(), 5);
    }

    #[test]
    fn memory_is_bounded_and_a_set_clock_makes_no_minutes() {
        let mut rates = MinuteRates::default();
        for minute in 0..1000 {
            rates.tick(
                Sums { attempts: minute, bans: 0 },
                Time::from_secs(60 * 60 * 24 + i64::try_from(minute).unwrap() * 60),
            );
        }
        assert_eq!(rates.minutes.len(), MINUTES);
        rates.tick(Sums::default(), Time::from_secs(i64::MAX / 1000));
        assert_eq!((rates.minutes.len(), counts(&rates)[0]), (MINUTES, (0, 0)));
        let mut rates = MinuteRates::default();
        rates.tick(Sums::default(), Time::from_secs(60));
        rates.correct(ClockStep::by_millis(86_400_000));
        rates.tick(Sums::default(), Time::from_secs(86_400 + 61));
        assert_eq!(rates.minutes.len(), 1);
    }
}
