//! Instants and lengths of time as the engine knows them: handed in, never looked up.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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

    /// Returns how long after `earlier` this instant is; zero if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }
}

/// Whether two ends (`None`: never) are the same, or lie no further apart than `tolerance`.
#[must_use]
pub fn is_near(a: Option<Time>, b: Option<Time>, tolerance: Duration) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.since(b).max(b.since(a)) <= tolerance,
        (a, b) => a == b,
    }
}

impl Time {
    /// Returns the seconds since the epoch in 32 bits, where many are kept; enough until 2106.
    #[must_use]
    pub fn secs32(self) -> u32 {
        u32::try_from(self.secs().max(0)).unwrap_or(u32::MAX)
    }
}

/// The zone that times are written in for people.
static ZONE: OnceLock<TimeZone> = OnceLock::new();

/// Writes times in this zone from now on, for the rest of the process; without it, they are in UTC. The first zone stays.
pub fn write_in(zone: TimeZone) {
    let _ = ZONE.set(zone);
}

impl Time {
    /// Returns it in RFC 3339, in UTC and whole seconds, for programs: `2026-11-22T00:52:46Z`.
    #[must_use]
    pub fn utc(self) -> String {
        self.stamp().map_or_else(|| format!("@{}", self.secs()), |stamp| stamp.to_string())
    }

    fn stamp(self) -> Option<Timestamp> {
        Timestamp::from_second(self.secs()).ok()
    }
}

/// For people: RFC 3339 in the zone of [`write_in`], whole seconds: `2026-11-22T01:52:46+01:00`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = ZONE.get().filter(|zone| **zone != TimeZone::UTC);
        match zone.zip(self.stamp()) {
            Some((zone, stamp)) => {
                write!(f, "{}", stamp.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z"))
            }
            None => f.write_str(&self.utc()),
        }
    }
}

/// The duration of a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanDuration {
    /// For this long.
    For(Duration),
    /// Until it is lifted by hand.
    Permanent,
}

impl BanDuration {
    /// The deadline of a ban that starts at `now`; `None` for a permanent one.
    #[must_use]
    pub fn until(self, now: Time) -> Option<Time> {
        match self {
            Self::For(span) => Some(now.plus(span)),
            Self::Permanent => None,
        }
    }
}

/// A duration as the configuration writes it: `1d 12h`. Milliseconds are left out, unless there is
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// The units, longest first, in seconds; years and months are as long as in the configuration.
    const UNITS: [(u64, &str); 6] =
        [(31_557_600, "y"), (2_630_016, "M"), (86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_secs();
        if rest == 0 {
            return match self.0.subsec_millis() {
                0 => f.write_str("0s"),
                millis => write!(f, "{millis}ms"),
            };
        }
        let mut space = "";
        for (unit, name) in Self::UNITS {
            if rest >= unit {
                write!(f, "{space}{}{name}", rest / unit)?;
                (rest, space) = (rest % unit, " ");
            }
        }
        Ok(())
    }
}

/// What is left of a duration, for people: the two largest units, rounded up. What was to last for a year reads as a year
/// for as long as that is nearly true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoughDuration(pub Duration);

impl fmt::Display for RoughDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.0.as_secs();
        let units = HumanDuration::UNITS;
        let largest = units.iter().position(|(unit, _)| secs >= *unit).unwrap_or(units.len() - 1);
        let length = |index: usize| units.get(index).map_or(1, |(unit, _)| *unit);
        let (unit, second) = (length(largest), length(largest + 1));
        let rest = (secs % unit).div_ceil(second).saturating_mul(second).min(unit);
        let rounded = (secs - secs % unit).saturating_add(rest);
        // A year is no whole number of months, and a month is none of days.
        let longer = largest.checked_sub(1).map_or(u64::MAX, length);
        let rounded = rounded.min(longer);
        let text = HumanDuration(Duration::from_secs(rounded)).to_string();
        let two: Vec<_> = text.split(' ').take(2).collect();
        f.write_str(&two.join(" "))
    }
}

impl fmt::Display for BanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(span) => write!(f, "{}", HumanDuration(*span)),
            Self::Permanent => f.write_str("permanent"),
        }
    }
}

/// The length of a host's first ban and how it grows with each further one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BanTime {
    /// Length of the first ban.
    pub first: BanDuration,
    /// Each further ban is this many times as long as the one before (1: always the same).
    pub factor: u32,
    /// No ban is longer than this, but for `rndtime`.
    pub max: BanDuration,
    /// Each time that a host keeps quiet for this long after its last ban, one ban is forgotten;
    /// `None`: never.
    pub decay: Option<Duration>,
    /// Up to this much is added at random, so that no attacker knows when to come back.
    pub rndtime: Duration,
    /// Whether the bans of other jails count too.
    pub overalljails: bool,
}

impl BanTime {
    /// Returns a ban time that never grows.
    #[must_use]
    pub const fn fixed(length: BanDuration) -> Self {
        Self {
            first: length,
            factor: 1,
            max: length,
            decay: None,
            rndtime: Duration::ZERO,
            overalljails: false,
        }
    }

    /// The length of the ban that follows `earlier` bans of the same host; `chance` is any number.
    #[must_use]
    pub fn after(&self, earlier: u32, chance: u64) -> BanDuration {
        let BanDuration::For(first) = self.first else { return BanDuration::Permanent };
        let grown = first.saturating_mul(self.factor.saturating_pow(earlier));
        let length = match self.max {
            BanDuration::For(max) => grown.min(max.max(first)),
            BanDuration::Permanent => grown,
        };
        let more = Duration::from_secs(chance % self.rndtime.as_secs().saturating_add(1));
        BanDuration::For(length.saturating_add(more))
    }

    /// Returns how many of `bans` still count after their host has been quiet for `quiet`. Never
    /// more than make the longest ban: however many there were, quiet makes the next one shorter.
    #[must_use]
    pub fn remembered(&self, bans: u32, quiet: Duration) -> u32 {
        let longest = self.after(u32::MAX, 0);
        let enough = (0..32).find(|bans| self.after(*bans, 0) == longest).unwrap_or(32);
        let forgotten = self.decay.map_or(0, |decay| quiet.as_millis() / decay.as_millis().max(1));
        bans.min(enough).saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_grow_up_to_their_maximum() {
        let hour = Duration::from_secs(3600);
        let growing = BanTime {
            factor: 4,
            max: BanDuration::For(24 * hour),
            ..BanTime::fixed(BanDuration::For(hour))
        };
        let lengths: Vec<_> = (0..5).map(|n| growing.after(n, 99)).collect();
        assert_eq!(lengths, [1, 4, 16, 24, 24].map(|h| BanDuration::For(h * hour)));
        assert_eq!(growing.after(u32::MAX, 0), BanDuration::For(24 * hour));
        assert_eq!(BanTime::fixed(BanDuration::Permanent).after(7, 0), BanDuration::Permanent);
    }

    #[test]
    fn chance_adds_up_to_rndtime() {
        let fixed = BanTime::fixed(BanDuration::For(Duration::from_secs(600)));
        let by_chance = BanTime { rndtime: Duration::from_secs(60), ..fixed };
        for (chance, seconds) in [(0, 600), (60, 660), (61, 600), (u64::MAX, 600 + u64::MAX % 61)] {
            let length = BanDuration::For(Duration::from_secs(seconds));
            assert_eq!(by_chance.after(0, chance), length, "{chance}");
        }
    }

    #[test]
    fn quiet_forgets_bans_one_by_one() {
        let day = Duration::from_secs(86_400);
        let (first, max) = (BanDuration::For(day), BanDuration::For(60 * day));
        let never = BanTime { factor: 4, max, ..BanTime::fixed(first) };
        let daily = BanTime { decay: Some(day), ..never };
        assert_eq!(never.remembered(2, 1000 * day), 2);
        assert_eq!(never.remembered(1000, 1000 * day), 3, "1, 4, 16, 60 days");
        for (quiet, left) in [(day / 2, 3), (day, 2), (3 * day, 0), (u32::MAX * day, 0)] {
            assert_eq!(daily.remembered(1000, quiet), left, "{quiet:?}");
        }
        assert_eq!(BanTime::fixed(first).remembered(9, Duration::ZERO), 0, "all are alike");
    }

    #[test]
    fn durations_print_as_the_configuration_reads_them() {
        for (millis, text) in [
            (0, "0s"),
            (999, "999ms"),
            (1500, "1s"),
            (86_400_000, "1d"),
            (93_784_000, "1d 2h 3m 4s"),
            (604_800_000, "7d"),
            (31_557_600_000 + 2 * 2_630_016_000, "1y 2M"),
        ] {
            assert_eq!(HumanDuration(Duration::from_millis(millis)).to_string(), text);
        }
    }

    #[test]
    fn what_is_left_is_rounded_up_to_two_units() {
        const YEAR: u64 = 31_557_600;
        for (secs, text) in [
            (0, "0s"),
            (59, "59s"),
            (599, "9m 59s"),
            (3599, "59m 59s"),
            (3601, "1h 1m"),
            (7199, "2h"),
            (86_399, "1d"),
            (172_800, "2d"),
            (YEAR, "1y"),
            (YEAR - 10, "1y"),
            (YEAR - 86_400, "11M 30d"),
            (YEAR + 1, "1y 1M"),
            (2 * YEAR - 1, "2y"),
        ] {
            assert_eq!(RoughDuration(Duration::from_secs(secs)).to_string(), text, "{secs}");
        }
    }

    #[test]
    fn instants_print_as_rfc_3339() {
        assert_eq!(Time::from_secs(1_795_308_766).utc(), "2026-11-22T00:52:46Z");
        assert_eq!(Time::from_millis(-1).secs(), -1);
    }
}
