//! The clocks: the one place where the time is read. All others take it as an argument.
#![expect(clippy::disallowed_methods, reason = "the edge that all others get the time from")]

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::Time;

/// Two clocks that are read within this time are read at the same moment.
const SAME_MOMENT: Duration = Duration::from_millis(100);

/// Returns the time of day, by the wall clock.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}

/// Returns how long this process has run, as an instant, by the monotonic clock: nobody can set it.
#[must_use]
pub fn monotonic_now() -> Time {
    static START: OnceLock<Instant> = OnceLock::new();
    Time::default().plus(START.get_or_init(Instant::now).elapsed())
}

/// Returns the wall clock and the monotonic clock, read at the same moment.
#[must_use]
pub fn both_clocks() -> (Time, Duration) {
    let (mut begin, mut wall) = (monotonic_now(), now());
    // If this thread was not let run in between, read again; but not for ever.
    for _ in 0..10 {
        let end = monotonic_now();
        if end.since(begin) < SAME_MOMENT {
            break;
        }
        (begin, wall) = (monotonic_now(), now());
    }
    (wall, begin.since(Time::default()))
}
