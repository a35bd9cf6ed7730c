//! When something is told: at once, gathered, or after quiet hours. Pure: times are arguments.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::notify::{Notifier, QuietHours};
use crate::model::time::Time;

/// The time for which the first event waits for others of the same moment.
pub const GATHERED: Duration = Duration::from_secs(2);
/// Events of a moment that are told one by one; more are told together.
pub const MOST_SINGLE: usize = 10;
/// Messages in [`BURST`]: what happens beyond that is told together at its end.
pub const MOST_IN_BURST: usize = 10;
/// See [`MOST_IN_BURST`].
pub const BURST: Duration = Duration::from_secs(60);
/// The time over which `maxperhour` counts.
const HOUR: Duration = Duration::from_secs(3600);

/// Returns when what has waited since `first` is due. `sent` are the times of the last messages, oldest first.
#[must_use]
pub fn due(notifier: &Notifier, first: Time, sent: &[Time], now: Time, zone: &TimeZone) -> Time {
    let gathered = first.plus(notifier.digest.max(GATHERED));
    let most = usize::try_from(notifier.maxperhour).unwrap_or(usize::MAX);
    let free = |most: usize, span: Duration| {
        let oldest = sent.len().checked_sub(most).and_then(|place| sent.get(place));
        // A clock that was set back keeps nothing waiting.
        oldest.filter(|oldest| **oldest <= now).map_or(first, |oldest| oldest.plus(span))
    };
    let due = gathered.max(free(MOST_IN_BURST, BURST)).max(free(most, HOUR));
    let end = notifier.quiet.and_then(|quiet| quiet_until(quiet, due.max(now), zone));
    end.unwrap_or(due)
}

/// Returns how many messages may be sent one by one now.
#[must_use]
pub fn room(notifier: &Notifier, sent: &[Time], now: Time) -> usize {
    let within = |span: Duration| {
        sent.iter().filter(|time| **time <= now && now.since(**time) < span).count()
    };
    let most = usize::try_from(notifier.maxperhour).unwrap_or(usize::MAX);
    let left = |most: usize, span| most.saturating_sub(within(span));
    left(MOST_IN_BURST, BURST).min(left(most, HOUR)).min(MOST_SINGLE)
}

/// Forgets times that limit nothing any more.
pub fn forget(notifier: &Notifier, sent: &mut Vec<Time>, now: Time) {
    sent.retain(|time| *time <= now && now.since(*time) < HOUR);
    let most = usize::try_from(notifier.maxperhour).unwrap_or(usize::MAX).max(MOST_IN_BURST);
    let surplus = sent.len().saturating_sub(most);
    sent.drain(..surplus);
}

/// Returns when quiet hours end, if it is quiet at this time.
#[must_use]
pub fn quiet_until(quiet: QuietHours, now: Time, zone: &TimeZone) -> Option<Time> {
    let local = Timestamp::from_second(now.secs()).ok()?.to_zoned(zone.clone());
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let (from, until) = (i32::from(quiet.from), i32::from(quiet.until));
    let is_quiet = if from < until {
        (from..until).contains(&minute)
    } else {
        minute >= from || minute < until
    };
    if !is_quiet {
        return None;
    }
    // On the day of a change of the clocks, the end is where the wall clock shows it.
    let day = if minute < until { local.date() } else { local.date().tomorrow().ok()? };
    let (hour, minute) = (i8::try_from(until / 60).ok()?, i8::try_from(until % 60).ok()?);
    let end = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
    Some(Time::from_secs(end.timestamp().as_second()).max(now.plus(Duration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::tests::notifier;

    fn at(text: &str) -> Time {
        Time::from_secs(text.parse::<Timestamp>().unwrap().as_second())
    }

    #[test]
    fn quiet_hours_end_by_the_wall_clock() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let night = QuietHours { from: 22 * 60, until: 7 * 60 };
        let end = |now| quiet_until(night, at(now), &zone).map(Time::utc);
        assert_eq!(end("2026-07-01T19:59:59Z"), None);
        assert_eq!(end("2026-07-01T20:00:00Z").as_deref(), Some("2026-07-02T05:00:00Z"));
        assert_eq!(end("2026-07-02T04:59:59Z").as_deref(), Some("2026-07-02T05:00:00Z"));
        assert_eq!(end("2026-07-02T05:00:00Z"), None);
        // Winter begins in this night.
        assert_eq!(end("2026-10-24T21:00:00Z").as_deref(), Some("2026-10-25T06:00:00Z"));
        let noon = QuietHours { from: 12 * 60, until: 13 * 60 };
        let end = |now| quiet_until(noon, at(now), &TimeZone::UTC).map(Time::utc);
        assert_eq!(end("2026-07-01T12:30:00Z").as_deref(), Some("2026-07-01T13:00:00Z"));
        assert_eq!((end("2026-07-01T11:59:59Z"), end("2026-07-01T13:00:00Z")), (None, None));
    }

    #[test]
    fn storms_are_gathered() {
        let mut notifier = notifier("");
        let (zone, now) = (TimeZone::UTC, Time::from_secs(10_000));
        let due = |notifier: &Notifier, sent: &[Time]| due(notifier, now, sent, now, &zone);
        assert_eq!(due(&notifier, &[]), now.plus(GATHERED));
        let nine = vec![now; 9];
        assert_eq!((due(&notifier, &nine), room(&notifier, &nine, now)), (now.plus(GATHERED), 1));
        let ten = vec![now; 10];
        assert_eq!((due(&notifier, &ten), room(&notifier, &ten, now)), (now.plus(BURST), 0));
        notifier.maxperhour = 2;
        let two = [Time::from_secs(9000), Time::from_secs(9999)];
        assert_eq!(due(&notifier, &two), Time::from_secs(9000 + 3600));
        // A clock that was set back.
        assert_eq!(due(&notifier, &[now.plus(HOUR), now.plus(HOUR)]), now.plus(GATHERED));
        notifier.digest = HOUR;
        assert_eq!(due(&notifier, &[]), now.plus(HOUR));
        let mut sent = vec![Time::from_secs(1), now, now, now];
        forget(&notifier, &mut sent, now);
        assert_eq!(sent, [now; 3]);
    }

    #[test]
    fn quiet_hours_come_last() {
        let mut notifier = notifier("");
        notifier.quiet = Some(QuietHours { from: 22 * 60, until: 7 * 60 });
        let now = at("2026-07-01T21:59:59Z");
        let due = due(&notifier, now, &[], now, &TimeZone::UTC);
        assert_eq!(due.utc(), "2026-07-02T07:00:00Z");
    }
}
