//! Whether dropping is paused, and until when.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock_step::ClockStep;
use super::time::Time;

/// Whether dropping is paused: while it is, bans stay but no packet is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pause {
    /// Banned hosts are dropped.
    #[default]
    Off,
    /// Nothing is dropped until this time.
    Until(Time),
    /// Nothing is dropped until somebody ends the pause.
    Indefinite,
}

impl Pause {
    /// Returns a pause that begins at `now` and lasts for `length`; `None`: until somebody ends it.
    #[must_use]
    pub fn lasting(length: Option<Duration>, now: Time) -> Self {
        length.map_or(Self::Indefinite, |length| Self::Until(now.plus(length)))
    }

    /// Returns the pause that several together amount to, given when each ends by itself (`None`:
    /// never): the longest of them.
    #[must_use]
    pub fn longest(ends: impl IntoIterator<Item = Option<Time>>) -> Self {
        let longest = ends.into_iter().reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b)));
        match longest {
            None => Self::Off,
            Some(None) => Self::Indefinite,
            Some(Some(end)) => Self::Until(end),
        }
    }

    /// Whether dropping is paused.
    #[must_use]
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// Returns the time at which the pause ends by itself, if it does.
    #[must_use]
    pub fn end(self) -> Option<Time> {
        match self {
            Self::Until(end) => Some(end),
            Self::Off | Self::Indefinite => None,
        }
    }

    /// Whether the pause has ended by itself at `now`.
    #[must_use]
    pub fn is_over(self, now: Time) -> bool {
        self.end().is_some_and(|end| end <= now)
    }

    /// Corrects the end after the wall clock was set.
    pub fn correct(&mut self, step: ClockStep) {
        if let Self::Until(end) = self {
            *end = step.correct(*end);
        }
    }
}

/// Writes what is said when a pause begins or ends.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("banned hosts are dropped again"),
            Self::Until(end) => write!(f, "nothing is dropped until {end}"),
            Self::Indefinite => f.write_str("nothing is dropped until `asterguard resume`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_several_pauses_counts() {
        let at = |secs| Some(Time::from_secs(secs));
        assert_eq!(Pause::longest([]), Pause::Off);
        assert_eq!(Pause::longest([at(5), at(9), at(7)]), Pause::Until(Time::from_secs(9)));
        assert_eq!(Pause::longest([at(5), None, at(7)]), Pause::Indefinite);
    }

    #[test]
    fn a_pause_is_over_at_its_end_and_not_before() {
        let pause = Pause::lasting(Some(Duration::from_secs(10)), Time::from_secs(100));
        assert!(!pause.is_over(Time::from_millis(109_999)) && pause.is_over(Time::from_secs(110)));
        let endless = Pause::lasting(None, Time::from_secs(100));
        assert!(!endless.is_over(Time::from_millis(i64::MAX)) && endless.is_on());
        assert!(!Pause::Off.is_over(Time::from_secs(110)) && !Pause::Off.is_on());
    }

    #[test]
    fn setting_the_clock_moves_the_end() {
        let mut pause = Pause::Until(Time::from_secs(100));
        pause.correct(ClockStep::by_millis(-30_000));
        assert_eq!(pause.end(), Some(Time::from_secs(70)));
    }
}
