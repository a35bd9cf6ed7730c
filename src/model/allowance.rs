//! How often something may be done: so many times at once, and again as time passes.

use std::time::Duration;

use super::time::Time;

/// What may be used up at once, and comes back at a steady rate. It is counted in parts, so that nothing is rounded.
#[derive(Debug, Default)]
pub struct Allowance {
    /// The parts of one, those that come back each millisecond, and all that there may be.
    unit: u64,
    gain: u64,
    most: u64,
    left: u64,
    at: Time,
}

impl Allowance {
    /// Returns a full one of `most`, of which `rate` come back in each `period`.
    #[must_use]
    pub fn new(most: u64, rate: u64, period: Duration, now: Time) -> Self {
        let unit = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let most = most.saturating_mul(unit);
        Self { unit, gain: rate, most, left: most, at: now }
    }

    /// Uses up so much; of what costs more than there ever is, all.
    ///
    /// # Errors
    /// With the time that it takes until that is there. Nothing is used up then.
    pub fn take(&mut self, cost: u64, now: Time) -> Result<(), Duration> {
        let passed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.at = self.at.max(now);
        self.left = self.left.saturating_add(passed.saturating_mul(self.gain)).min(self.most);
        let cost = cost.saturating_mul(self.unit).min(self.most);
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let missing = (cost - self.left).div_ceil(self.unit.max(1));
                let each = self.unit.div_ceil(self.gain.max(1));
                Err(Duration::from_millis(missing.saturating_mul(each)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowance_comes_back_with_time() {
        let at = |millis| Time::from_millis(millis);
        let mut allowance = Allowance::new(10, 1, Duration::from_millis(100), at(0));
        assert_eq!(allowance.take(10, at(0)), Ok(()));
        assert_eq!(allowance.take(1, at(0)), Err(Duration::from_millis(100)));
        assert_eq!(allowance.take(3, at(150)), Err(Duration::from_millis(200)));
        assert_eq!(allowance.take(3, at(300)), Ok(()));
        // What costs more than there ever is takes all of it.
        assert_eq!(allowance.take(99, at(1000)), Err(Duration::from_millis(300)));
        assert_eq!(allowance.take(99, at(10_000)), Ok(()));
    }
}
