//! Instants and lengths of time as the engine knows them: handed in, never looked up.

use std::fmt;
use std::time::Duration;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The instant `secs` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant and `span` later; stays at the last instant instead of overflowing.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_millis().try_into().unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this instant is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }
}

/// RFC 3339 in UTC, whole seconds: `2026-11-22T00:52:46Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.secs()) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "@{}", self.secs()),
        }
    }
}

/// How long a ban lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// For this long.
    For(Duration),
    /// Until somebody lifts it.
    Permanent,
}

impl Lasting {
    /// The deadline of a ban that starts at `now`; `None` for a permanent one.
    #[must_use]
    pub fn until(self, now: Time) -> Option<Time> {
        match self {
            Self::For(span) => Some(now.plus(span)),
            Self::Permanent => None,
        }
    }
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => write!(f, "{}", humantime::format_duration(*span)),
            Self::Permanent => f.write_str("permanent"),
        }
    }
}

/// The length of a host's first ban and how it grows with each further one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanTime {
    /// Length of the first ban.
    pub first: Lasting,
    /// Each further ban is this many times as long as the one before (1: always the same).
    pub factor: u32,
    /// No ban is longer than this.
    pub max: Lasting,
}

impl BanTime {
    /// Always the same length.
    #[must_use]
    pub const fn fixed(length: Lasting) -> Self {
        Self { first: length, factor: 1, max: length }
    }

    /// The length of the ban that follows `earlier` bans of the same host.
    #[must_use]
    pub fn after(&self, earlier: u32) -> Lasting {
        let Lasting::For(first) = self.first else { return Lasting::Permanent };
        let grown = first.saturating_mul(self.factor.saturating_pow(earlier));
        match self.max {
            Lasting::For(max) => Lasting::For(grown.min(max.max(first))),
            Lasting::Permanent => Lasting::For(grown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_grow_up_to_their_maximum() {
        let hour = Duration::from_secs(3600);
        let growing =
            BanTime { first: Lasting::For(hour), factor: 4, max: Lasting::For(24 * hour) };
        let lengths: Vec<_> = (0..5).map(|n| growing.after(n)).collect();
        assert_eq!(lengths, [1, 4, 16, 24, 24].map(|h| Lasting::For(h * hour)));
        assert_eq!(growing.after(u32::MAX), Lasting::For(24 * hour));
        assert_eq!(BanTime::fixed(Lasting::Permanent).after(7), Lasting::Permanent);
    }

    #[test]
    fn instants_print_as_rfc_3339() {
        assert_eq!(Time::from_secs(1_795_308_766).to_string(), "2026-11-22T00:52:46Z");
        assert_eq!(Time::from_millis(-1).secs(), -1);
    }
}
