//! Detects that the wall clock was set: it moved by more, or less, than the monotonic clock.

use std::time::Duration;

use crate::model::time::Time;

/// The number of milliseconds that the wall clock may be off before anything is done about it.
const TOLERANCE: i64 = 1000;

/// The amount by which a clock was set: forward, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    millis: i64,
}

impl ClockStep {
    /// The step of a clock that was set forward by `millis` milliseconds; back, if that is
    /// negative.
    #[must_use]
    pub const fn by_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// Milliseconds forward; negative if the clock was set back.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.millis
    }

    /// Returns what the clock would have shown at `time` if it had been right then.
    #[must_use]
    pub const fn correct(self, time: Time) -> Time {
        Time::from_millis(time.millis().saturating_add(self.millis))
    }

    /// Returns the same for seconds since the epoch.
    #[must_use]
    pub fn correct_secs(self, secs: u32) -> u32 {
        let corrected = i64::from(secs).saturating_add((self.millis + 500).div_euclid(1000));
        u32::try_from(corrected.max(0)).unwrap_or(u32::MAX)
    }

    /// Corrects all of these times in place.
    pub fn correct_all<'a>(self, times: impl IntoIterator<Item = &'a mut Time>) {
        for time in times {
            *time = self.correct(*time);
        }
    }
}

/// Compares the wall clock with the monotonic clock, which nobody can set.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// The time by the wall clock when the monotonic clock was at zero.
    zero: Time,
}

impl WallClock {
    /// Begins with what the clocks show now: the wall clock, and the monotonic clock.
    #[must_use]
    pub fn new(clocks: (Time, Duration)) -> Self {
        Self { zero: zero(clocks) }
    }

    /// Returns how far the wall clock was set since the last call, if it was by more than a second.
    /// Smaller steps add up until they are.
    pub fn step(&mut self, clocks: (Time, Duration)) -> Option<ClockStep> {
        let zero = zero(clocks);
        let millis = zero.millis().saturating_sub(self.zero.millis());
        if millis.abs() <= TOLERANCE {
            return None;
        }
        self.zero = zero;
        Some(ClockStep { millis })
    }
}

fn zero((wall, monotonic): (Time, Duration)) -> Time {
    let passed = i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX);
    Time::from_millis(wall.millis().saturating_sub(passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_step_is_more_or_less_than_time_passed() {
        const DAY: i64 = 86_400_000;
        let at = |millis| Time::from_millis(1_800_000_000_000 + millis);
        let passed = Duration::from_millis;
        let mut clock = WallClock::new((at(0), passed(500)));
        for (wall, monotonic, expected) in [
            (60_000, 60_500, None),
            // A day passes, and nothing else.
            (60_000 + DAY, 60_500 + 86_400_000, None),
            (60_000 + 2 * DAY, 60_500 + 86_400_000, Some(DAY)),
            (61_000 + 2 * DAY, 61_500 + 86_400_000, None),
            (61_000, 61_500 + 86_400_000, Some(-2 * DAY)),
            // Small steps add up.
            (61_700, 61_500 + 86_400_000, None),
            (62_400, 61_500 + 86_400_000, Some(1400)),
            (62_400, 61_500 + 86_400_000, None),
        ] {
            let step = clock.step((at(wall), passed(monotonic)));
            assert_eq!(step.map(ClockStep::millis), expected, "{wall} {monotonic}");
        }
    }

    #[test]
    fn seconds_and_instants_are_corrected_alike() {
        let time = Time::from_secs(1_800_000_000);
        for millis in [86_400_000, -86_400_000, 1400, -1400, 1600, -1600] {
            let step = ClockStep::by_millis(millis);
            let secs = i64::from(step.correct_secs(1_800_000_000));
            assert!((secs * 1000 - step.correct(time).millis()).abs() <= 500, "{millis}");
        }
        assert_eq!(ClockStep::by_millis(-9000).correct_secs(3), 0);
        assert_eq!(ClockStep::by_millis(i64::MAX - 500).correct_secs(3), u32::MAX);
    }
}
