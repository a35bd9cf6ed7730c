//! How often tables are swept: so seldom that it costs less than filling them did.

use std::time::Duration;

use crate::model::time::Time;

/// When something was last done that is to be done once an interval.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval(Option<Time>);

impl Interval {
    /// Returns whether `every` has passed since the last time that this was so. A clock that was set back counts as well.
    pub fn is_over(&mut self, every: Duration, now: Time) -> bool {
        let is_over = self.0.is_none_or(|last| now < last || now.since(last) >= every);
        if is_over {
            self.0 = Some(now);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_once_an_interval() {
        let mut interval = Interval::default();
        let mut over = |secs| interval.is_over(Duration::from_secs(10), Time::from_secs(secs));
        let found: Vec<_> = [100, 100, 109, 110, 115, 300, 40, 41, 50].map(&mut over).to_vec();
        assert_eq!(found, [true, false, false, true, false, true, true, false, true]);
    }
}
