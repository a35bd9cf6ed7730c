//! How long something took: a count of each range of lengths, as monitoring wants it.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The upper bounds of the ranges, in seconds. What took longer is only in the count of all.
pub const BOUNDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

/// The lengths that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many were in each range of [`BOUNDS`], and not in the one before.
    pub ranges: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// How many seconds they took together.
    pub seconds: f64,
}

impl Histogram {
    /// Counts `count` things, each of which took `length`.
    pub fn note(&mut self, length: Duration, count: u32) {
        let seconds = length.as_secs_f64();
        let range = BOUNDS.iter().zip(&mut self.ranges).find(|(bound, _)| seconds <= **bound);
        if let Some((_, range)) = range {
            *range += u64::from(count);
        }
        self.count += u64::from(count);
        self.seconds += seconds * f64::from(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_in_one_range() {
        let mut seen = Histogram::default();
        seen.note(Duration::from_micros(250), 2);
        seen.note(Duration::from_millis(7), 1);
        seen.note(Duration::from_secs(60), 1);
        let mut ranges = [0; BOUNDS.len()];
        (ranges[0], ranges[5]) = (2, 1);
        assert_eq!((seen.ranges, seen.count), (ranges, 4));
        assert!((seen.seconds - 60.007_5).abs() < 1e-9, "{}", seen.seconds);
    }
}
