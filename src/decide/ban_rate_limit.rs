//! Limits the bans a minute that rest on packets whose sender can be forged.
//!
//! One machine can send packets in the names of ninety thousand others. Each of them would be
//! banned for it, mildly, but a customer is a customer. So when more such bans are due than there
//! are on a bad day, none is carried out until the flood has ebbed.

use std::time::Duration;

use crate::model::clock_step::ClockStep;
use crate::model::time::Time;

const MINUTE: Duration = Duration::from_secs(60);

/// Counts unverified bans by the minute.
#[derive(Clone, Debug)]
pub struct BanRateLimit {
    /// Bans a minute that are carried out.
    most: u32,
    /// The beginning of the minute, and the bans that were due since.
    minute: Time,
    due: u32,
    /// The beginning of the flood, if there is one.
    since: Option<Time>,
    /// Bans that were not carried out in this flood, or the last one.
    withheld: u64,
}

/// The limit's answer to a ban that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is carried out.
    Pass,
    /// It is not, and it is the first one: a flood has begun.
    Begins,
    /// It is not.
    Withheld,
}

impl BanRateLimit {
    /// Lets `most` bans a minute pass.
    #[must_use]
    pub fn new(most: u32) -> Self {
        Self { most, minute: Time::default(), due: 0, since: None, withheld: 0 }
    }

    /// Sets how many bans a minute may pass; a flood goes on.
    pub fn allow(&mut self, most: u32) {
        self.most = most;
    }

    /// Corrects the times when the minute and the flood began.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all([&mut self.minute].into_iter().chain(&mut self.since));
    }

    /// Returns the beginning of the flood, if there is one, and how many bans it withheld.
    #[must_use]
    pub fn state(&self) -> Option<(Time, u64)> {
        Some((self.since?, self.withheld))
    }

    /// Whether a ban that is due now is carried out.
    pub fn judge(&mut self, now: Time) -> Admission {
        if now.since(self.minute) >= MINUTE {
            (self.minute, self.due) = (now, 0);
        }
        self.due = self.due.saturating_add(1);
        match self.since {
            None if self.due <= self.most => Admission::Pass,
            None => {
                (self.since, self.withheld) = (Some(now), 1);
                Admission::Begins
            }
            Some(_) => {
                self.withheld += 1;
                Admission::Withheld
            }
        }
    }

    /// Lets time pass. A flood ends with a minute in which no more bans were due than may pass;
    /// says how many it withheld. Call it before [`BanRateLimit::judge`] for the same time.
    pub fn tick(&mut self, now: Time) -> Option<u64> {
        let passed = now.since(self.minute);
        if passed < MINUTE {
            return None;
        }
        let calm = self.due <= self.most || passed >= 2 * MINUTE;
        (self.minute, self.due) = (now, 0);
        if !calm {
            return None;
        }
        self.since.take().map(|_| self.withheld)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn flood_begins_over_the_limit_and_ends_with_a_calm_minute() {
        let mut flood = BanRateLimit::new(3);
        let mut judge = |secs| {
            let over = flood.tick(at(secs));
            (over, flood.judge(at(secs)), flood.state())
        };
        for secs in [0, 20, 59] {
            assert_eq!(judge(secs), (None, Admission::Pass, None));
        }
        assert_eq!(judge(59), (None, Admission::Begins, Some((at(59), 1))));
        // A new minute does not end it: the last one was not calm.
        for (secs, withheld) in [(60, 2), (61, 3), (62, 4)] {
            assert_eq!(judge(secs), (None, Admission::Withheld, Some((at(59), withheld))));
        }
        // This one was: three were due.
        assert_eq!(judge(120), (Some(4), Admission::Pass, None));
    }

    #[test]
    fn silence_ends_a_flood() {
        let mut flood = BanRateLimit::new(1);
        assert_eq!((0..1000).filter(|_| flood.judge(at(0)) == Admission::Pass).count(), 1);
        assert_eq!(flood.tick(at(59)), None);
        assert_eq!(flood.tick(at(61)), None, "the first minute was none of calm");
        assert_eq!(flood.tick(at(122)), Some(999));
        assert_eq!(flood.judge(at(122)), Admission::Pass);
    }
}
