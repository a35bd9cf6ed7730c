//! Limits how often a table that others take away is put back.

use std::time::{Duration, Instant};

/// The number of losses that are made up for immediately ...
const BURST: u32 = 10;
/// ... and the time that it takes until there may be one more.
const REFILL: Duration = Duration::from_secs(1);
/// Looking and putting back take no more than this part of the time.
const SHARE: u32 = 5;

/// The pace that keeps us from spinning against somebody who changes our table again and again: ten
/// losses are made up for immediately, then one a second, and never does it take more than a fifth
/// of the time.
#[derive(Debug)]
pub struct Pace {
    /// The number of losses that may be made up for immediately, as of `filled`.
    left: u32,
    filled: Instant,
    /// The time before which nothing is made up for.
    rest: Instant,
}

impl Pace {
    /// Returns a pace that has not been used.
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, filled: now, rest: now }
    }

    /// Returns when the next loss may be made up for.
    pub fn next(&self) -> Instant {
        let refill = if self.left == 0 { self.filled + REFILL } else { self.filled };
        self.rest.max(refill)
    }

    /// Records that something was looked at, which took from `begin` to `end`.
    pub fn looked(&mut self, begin: Instant, end: Instant) {
        self.rest = end + end.saturating_duration_since(begin) * (SHARE - 1);
    }

    /// Records that something was put back. Returns whether somebody takes away more than is put
    /// back immediately.
    pub fn spend(&mut self, now: Instant) -> bool {
        let waits = self.left == 0;
        let refills = now.saturating_duration_since(self.filled).as_millis() / REFILL.as_millis();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        if self.left.saturating_add(refills) >= BURST {
            (self.left, self.filled) = (BURST, now);
        } else {
            self.left += refills;
            self.filled += REFILL * refills;
        }
        let slowed = waits && self.left <= 1;
        self.left = self.left.saturating_sub(1);
        slowed
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "there is no other way to an `Instant`")]

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn ten_at_once_and_then_one_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut now = start;
        let mut times = Vec::new();
        for number in 0..15 {
            now = now.max(pace.next());
            times.push((now - start).as_millis());
            assert_eq!(pace.spend(now), number >= 10, "{number}");
            now += 10 * MILLI;
        }
        assert_eq!(times[..10], [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        assert_eq!(times[10..], [1000, 2000, 3000, 4000, 5000]);
        let later = now + 20 * REFILL;
        assert!(pace.next() <= later);
        assert!(!pace.spend(later));
        assert_eq!(pace.left, BURST - 1);
    }

    #[test]
    fn what_takes_long_is_seldom_done() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.looked(start, start + 2000 * MILLI);
        assert_eq!(pace.next(), start + 10_000 * MILLI);
    }
}
