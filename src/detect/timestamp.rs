//! The time that a log line says it was written at, in whichever of the usual formats it says so.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::model::time::Time;

/// Bytes of the longest text that is looked at; the longest format has less than 40.
const LONGEST: usize = 64;

/// Reads the text between the brackets of an Asterisk log line, or the time in a syslog header.
/// Nothing has to be configured: each text is recognised by itself.
///
/// | format | example |
/// |---|---|
/// | Asterisk's default, traditional syslog | `Nov 22 00:55:30`, `Nov  2 00:55:30`, `Nov 2 00:55:30` |
/// | ISO 8601, RFC 3339 | `2026-11-22 01:01:03`, `2026-11-22T01:01:13.492+0000`, `…+01:00`, `…Z` |
/// | ISO with the date in brackets | `[2026-11-22] 01:01:57` |
/// | US | `11/22/2026 01:01:28 AM` |
/// | German | `22.11.2026 01:01:33` |
/// | `ctime` (`%c`) | `Sun Nov 22 01:01:47 2026` |
/// | RFC 2822 | `Sun, 22 Nov 2026 01:01:52 +0000` |
/// | seconds since 1970 (`%s`) | `1795309297`, `1795309302.748` |
///
/// Every clock time may have up to nine decimals after a point or comma (milliseconds are kept),
/// `AM` or `PM`, and a zone: an offset, `Z`, `UTC` or `GMT`. Other names of zones (`%Z`) are the
/// host's own and change nothing.
///
/// A run of equal texts costs one comparison of bytes; times of the same second, one conversion from
/// local time. Memory is fixed, nothing is allocated.
#[derive(Clone, Debug)]
pub struct TimestampParser {
    zone: TimeZone,
    /// Dates without a year are not later than this.
    latest: DateTime,
    text: [u8; LONGEST],
    length: usize,
    answer: Option<Time>,
    converted: Option<(DateTime, Time)>,
}

impl TimestampParser {
    /// A parser of logs that were written in `zone`. A date without a year is taken as the last such
    /// date up to one day after `reference`: the present for a live log, else the time when the file
    /// was last written. Local times that a change of clocks skips or repeats are taken as the
    /// zone's rules before that change say (RFC 5545).
    #[must_use]
    pub fn new(zone: TimeZone, reference: Time) -> Self {
        let tomorrow = reference.millis().saturating_add(86_400_000);
        let latest = match jiff::Timestamp::from_millisecond(tomorrow) {
            Ok(instant) => zone.to_datetime(instant),
            Err(_) if tomorrow < 0 => DateTime::MIN,
            Err(_) => DateTime::MAX,
        };
        Self { zone, latest, text: [0; LONGEST], length: 0, answer: None, converted: None }
    }

    /// The instant that `text` names, or `None` if it names none.
    pub fn parse(&mut self, text: &[u8]) -> Option<Time> {
        if self.text.get(..self.length) == Some(text) {
            return self.answer;
        }
        let copy = self.text.get_mut(..text.len())?;
        copy.copy_from_slice(text);
        self.length = text.len();
        self.answer = match Cursor(text.trim_ascii()).stamp() {
            Some(Stamp::Epoch(time)) => Some(time),
            Some(Stamp::Clock(clock)) => self.instant(&clock),
            None => None,
        };
        self.answer
    }

    fn instant(&mut self, clock: &Clock) -> Option<Time> {
        let at = |year| {
            Some(date(year, clock.month, clock.day)?.at(clock.hour, clock.minute, clock.second, 0))
        };
        let local = match clock.year {
            Some(year) => at(year)?,
            // Nine years hold a 29th of February, whatever the century.
            None => (0..9)
                .filter_map(|ago| at(self.latest.year() - ago))
                .find(|at| *at <= self.latest)?,
        };
        let start = match (clock.offset, self.converted) {
            (Some(offset), _) => {
                Time::from_secs(Offset::UTC.to_timestamp(local).ok()?.as_second() - offset)
            }
            (None, Some((same, start))) if same == local => start,
            (None, _) => {
                let start = Time::from_secs(self.zone.to_timestamp(local).ok()?.as_second());
                self.converted = Some((local, start));
                start
            }
        };
        Some(Time::from_millis(start.millis() + clock.millis))
    }
}

/// A day that exists and is not at the end of time. (Asked for in this way because a refusal by jiff
/// may allocate.)
fn date(year: i16, month: i8, day: i8) -> Option<Date> {
    if !(1..=12).contains(&month) || year > 9998 {
        return None;
    }
    let first = Date::new(year, month, 1).ok()?;
    if (1..=first.days_in_month()).contains(&day) { Date::new(year, month, day).ok() } else { None }
}

/// Whether this may be a zone's short name, such as `CET`.
fn is_zone(name: &[u8]) -> bool {
    (2..=5).contains(&name.len()) && name.iter().all(u8::is_ascii_uppercase)
}

/// A time as a text has it.
enum Stamp {
    Epoch(Time),
    Clock(Clock),
}

/// A date and time of day; not yet an instant.
struct Clock {
    year: Option<i16>,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    millis: i64,
    /// Seconds east of Greenwich; `None` is local time.
    offset: Option<i64>,
}

/// A year that may be missing, a month, a day.
type Day = (Option<i16>, i8, i8);

/// The rest of the text. Each method takes something off its front, or answers `None`.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn stamp(mut self) -> Option<Stamp> {
        let digits = self.digits_ahead();
        if (5..=11).contains(&digits) {
            let millis = self.number::<i64>(digits)? * 1000 + self.decimals()?;
            return self.0.is_empty().then(|| Stamp::Epoch(Time::from_millis(millis)));
        }
        let (mut year, month, day) = self.day()?;
        if self.spaces() == 0 {
            self.eat(b'T')?;
        }
        let mut hour = self.short_number()?;
        self.eat(b':')?;
        let minute = self.number::<i8>(2)?;
        self.eat(b':')?;
        let second = self.number::<i8>(2)?;
        let millis = self.decimals()?;
        let mut zone = None;
        loop {
            self.spaces();
            match self.0.first() {
                None => break,
                Some(b'0'..=b'9') if year.is_none() => year = Some(self.number(4)?),
                Some(b'+' | b'-') if zone.is_none() => zone = Some(Some(self.offset()?)),
                Some(_) => match self.word()? {
                    b"AM" | b"am" => hour = if hour == 12 { 0 } else { hour },
                    b"PM" | b"pm" => hour = if hour < 12 { hour + 12 } else { hour },
                    b"Z" | b"UTC" | b"GMT" if zone.is_none() => zone = Some(Some(0)),
                    name if zone.is_none() && is_zone(name) => zone = Some(None),
                    _ => return None,
                },
            }
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // The 60 of a leap second is taken for the second before.
        let (second, offset) = (second.min(59), zone.flatten());
        Some(Stamp::Clock(Clock { year, month, day, hour, minute, second, millis, offset }))
    }

    fn day(&mut self) -> Option<Day> {
        match (self.digits_ahead(), self.0.first()?) {
            (4, _) => self.iso_day(),
            (1 | 2, _) => {
                let first = self.short_number()?;
                match self.0.first()? {
                    b'/' => {
                        let (day, year) = self.rest_of_day(b'/')?;
                        Some((Some(year), first, day))
                    }
                    b'.' => {
                        let (month, year) = self.rest_of_day(b'.')?;
                        Some((Some(year), month, first))
                    }
                    _ => {
                        self.spaces();
                        let month = self.month()?;
                        self.spaces();
                        Some((Some(self.number(4)?), month, first))
                    }
                }
            }
            (0, b'[') => {
                self.eat(b'[')?;
                let day = self.iso_day()?;
                self.eat(b']')?;
                Some(day)
            }
            (0, _) => {
                if self.weekday() {
                    // `Sun, 22 Nov 2026` or `Sun Nov 22`
                    let _ = self.eat(b',');
                    self.spaces();
                    if self.digits_ahead() > 0 {
                        return self.day();
                    }
                }
                let month = self.month()?;
                self.spaces();
                Some((None, month, self.short_number()?))
            }
            _ => None,
        }
    }

    fn iso_day(&mut self) -> Option<Day> {
        let year = self.number(4)?;
        self.eat(b'-')?;
        let month = self.number(2)?;
        self.eat(b'-')?;
        Some((Some(year), month, self.number(2)?))
    }

    fn rest_of_day(&mut self, separator: u8) -> Option<(i8, i16)> {
        self.eat(separator)?;
        let second = self.short_number()?;
        self.eat(separator)?;
        Some((second, self.number(4)?))
    }

    fn month(&mut self) -> Option<i8> {
        const NAMES: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
        let word = self.word()?;
        let index = NAMES.chunks(3).position(|name| name.eq_ignore_ascii_case(word))?;
        i8::try_from(index + 1).ok()
    }

    fn weekday(&mut self) -> bool {
        const NAMES: &[u8; 21] = b"montuewedthufrisatsun";
        let (name, rest) = self.0.split_at(self.0.len().min(3));
        let found = NAMES.chunks(3).any(|weekday| weekday.eq_ignore_ascii_case(name));
        if found {
            self.0 = rest;
        }
        found
    }

    /// `+0100`, `+01:00` or `+01`, in seconds.
    fn offset(&mut self) -> Option<i64> {
        let east = self.0.first() == Some(&b'+');
        self.eat(if east { b'+' } else { b'-' })?;
        let hours: i64 = self.number(2)?;
        let _ = self.eat(b':');
        let minutes: i64 = if self.digits_ahead() > 0 { self.number(2)? } else { 0 };
        let seconds = hours * 3600 + minutes * 60;
        if hours > 23 || minutes > 59 {
            return None;
        }
        Some(if east { seconds } else { -seconds })
    }

    /// Up to nine decimals after a point or comma, as milliseconds; none are 0.
    fn decimals(&mut self) -> Option<i64> {
        if self.eat(b'.').or_else(|| self.eat(b',')).is_none() {
            return Some(0);
        }
        let digits = self.digits_ahead();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let kept = digits.min(3);
        let millis: i64 = self.number(kept)?;
        self.0 = self.0.get(digits - kept..)?;
        Some(millis * [1, 100, 10, 1].get(kept)?)
    }

    /// One or two digits.
    fn short_number(&mut self) -> Option<i8> {
        self.number(self.digits_ahead().clamp(1, 2))
    }

    /// Exactly this many digits.
    fn number<T: TryFrom<i64>>(&mut self, digits: usize) -> Option<T> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number.iter().try_fold(0_i64, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })?;
        self.0 = rest;
        T::try_from(value).ok()
    }

    fn digits_ahead(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// One letter or more.
    fn word(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        if word.is_empty() { None } else { Some(word) }
    }

    /// Any number of spaces.
    fn spaces(&mut self) -> usize {
        let before = self.0.len();
        self.0 = self.0.trim_ascii_start();
        before - self.0.len()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Europe/Berlin, without asking the system's database.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn utc(text: &str) -> Time {
        Time::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn parser(zone: TimeZone) -> TimestampParser {
        TimestampParser::new(zone, utc("2026-11-22T01:02:00Z"))
    }

    fn read(text: &str) -> Option<String> {
        let millis = parser(TimeZone::UTC).parse(text.as_bytes())?.millis();
        Some(jiff::Timestamp::from_millisecond(millis).unwrap().to_string())
    }

    #[test]
    fn every_format_that_asterisk_and_syslog_write() {
        for (text, expected) in [
            ("Nov 22 00:55:30", "2026-11-22T00:55:30Z"),
            ("2026-11-22 01:01:03", "2026-11-22T01:01:03Z"),
            ("2026-11-22 01:01:08.576", "2026-11-22T01:01:08.576Z"),
            ("2026-11-22T01:01:13.492+0000", "2026-11-22T01:01:13.492Z"),
            ("2026-11-22 01:01:23.223782", "2026-11-22T01:01:23.223Z"),
            ("11/22/2026 01:01:28 AM", "2026-11-22T01:01:28Z"),
            ("22.11.2026 01:01:33", "2026-11-22T01:01:33Z"),
            ("1795309297", "2026-11-22T01:01:37Z"),
            ("1795309302.748", "2026-11-22T01:01:42.748Z"),
            ("Sun Nov 22 01:01:47 2026", "2026-11-22T01:01:47Z"),
            ("Sun, 22 Nov 2026 01:01:52 +0000", "2026-11-22T01:01:52Z"),
            ("[2026-11-22] 01:01:57", "2026-11-22T01:01:57Z"),
            // traditional syslog: the day padded or not
            ("Nov  4 18:30:40", "2026-11-04T18:30:40Z"),
            ("Nov 4 18:30:40", "2026-11-04T18:30:40Z"),
            ("2026-11-22T10:00:00.123456+01:00", "2026-11-22T09:00:00.123Z"),
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            // what else a dateformat may ask for
            ("11/22/2026 12:01:28 AM", "2026-11-22T00:01:28Z"),
            ("11/22/2026 12:01:28 PM", "2026-11-22T12:01:28Z"),
            ("11/22/2026  1:01:28 PM", "2026-11-22T13:01:28Z"),
            ("11/22/2026 13:01:28", "2026-11-22T13:01:28Z"),
            ("2026-11-22 01:01:03 CET", "2026-11-22T01:01:03Z"),
            ("2026-11-22 01:01:03 -0330", "2026-11-22T04:31:03Z"),
            ("2026-11-22 01:01:03,5", "2026-11-22T01:01:03.5Z"),
            ("Sun Nov 22 01:01:47 UTC 2026", "2026-11-22T01:01:47Z"),
            ("Sun 22 Nov 2026 01:01:52 AM EST", "2026-11-22T01:01:52Z"),
            ("Nov 22 00:55:30.042", "2026-11-22T00:55:30.042Z"),
            ("2016-12-31 23:59:60", "2016-12-31T23:59:59Z"),
            ("1795309302.7", "2026-11-22T01:01:42.7Z"),
            (" 2026-11-22 01:01:03 ", "2026-11-22T01:01:03Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_instant() {
        for text in [
            "",
            " ",
            "2026-11-22",
            "01:01:03",
            "2026-02-29 00:00:00",
            "2026-11-31 00:00:00",
            "2026-13-01 00:00:00",
            "2026-00-01 00:00:00",
            "2026-11-00 00:00:00",
            "2026-11-22 24:00:00",
            "2026-11-22 00:60:00",
            "2026-11-22 00:00:61",
            "2026-11-22 00:00:00.",
            "2026-11-22 00:00:00.1234567890",
            "2026-11-22 00:00:00 +2500",
            "2026-11-22 00:00:00 pbx",
            "2026-11-22 00:00:00 CET CEST",
            "2026-11-22 00:00:00 2026",
            "2026-11-2200:00:00",
            "22/11/2026 00:00:00",
            "9999-12-31 23:59:59",
            "Foo 22 00:00:00",
            "Nov22",
            "Nov 31 00:00:00",
            "[2026-11-22 01:01:57",
            "1795309297s",
            "1795309297.",
            "20261122010103",
            "C-0000001a",
            "NOTICE",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_without_a_year_is_the_last_such_date() {
        let at = |reference: &str, text: &str| {
            let time = TimestampParser::new(TimeZone::UTC, utc(reference)).parse(text.as_bytes());
            time.map(|time| time.to_string())
        };
        for (reference, text, expected) in [
            ("2027-01-01T00:00:05Z", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"),
            ("2026-12-31T23:59:59Z", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"),
            ("2026-12-30T23:59:59Z", "Jan  1 00:00:01", "2026-01-01T00:00:01Z"),
            ("2026-11-22T12:00:00Z", "Nov 23 12:00:00", "2026-11-23T12:00:00Z"),
            ("2026-11-22T12:00:00Z", "Nov 23 12:00:01", "2025-11-23T12:00:01Z"),
            ("2026-11-22T12:00:00Z", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"),
            ("2028-02-28T11:00:00Z", "Feb 29 10:00:00", "2028-02-29T10:00:00Z"),
            ("2103-11-22T12:00:00Z", "Feb 29 12:00:00", "2096-02-29T12:00:00Z"),
        ] {
            assert_eq!(at(reference, text).as_deref(), Some(expected), "{reference} {text}");
        }
    }

    #[test]
    fn local_times_follow_the_zone() {
        let mut parser = parser(berlin());
        for (text, expected) in [
            ("2026-11-22 01:01:03", "2026-11-22T00:01:03Z"),
            ("2026-07-22 01:01:03", "2026-07-21T23:01:03Z"),
            // skipped: as if the clocks had not been changed yet
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00Z"),
            // twice: the first one
            ("2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
            ("2026-10-25 02:30:00 +0100", "2026-10-25T01:30:00Z"),
            ("Jul 22 01:01:03", "2026-07-21T23:01:03Z"),
            ("1795309297", "2026-11-22T01:01:37Z"),
        ] {
            assert_eq!(parser.parse(text.as_bytes()), Some(utc(expected)), "{text}");
        }
        // "Jan 1" is tomorrow in Berlin already.
        let mut parser = TimestampParser::new(berlin(), utc("2026-12-30T23:30:00Z"));
        assert_eq!(parser.parse(b"Jan  1 00:30:00"), Some(utc("2026-12-31T23:30:00Z")));
    }

    #[test]
    fn what_is_remembered_is_never_mixed_up() {
        let mut parser = parser(berlin());
        let texts: [&[u8]; 9] = [
            b"2026-11-22 01:01:03.250",
            b"2026-11-22 01:01:03.250",
            b"2026-11-22 01:01:03.750",
            b"2026-11-22 01:01:03.75",
            b"2026-11-22 01:01:03+0500",
            b"2026-11-22 01:01:03",
            b"garbage",
            b"",
            &[b'1'; 1000],
        ];
        let fresh: Vec<_> = texts.iter().map(|text| self::parser(berlin()).parse(text)).collect();
        for _ in 0..2 {
            let again: Vec<_> = texts.iter().map(|text| parser.parse(text)).collect();
            assert_eq!(again, fresh);
        }
        assert_eq!(fresh[0].unwrap().millis() % 1000, 250);
        assert_eq!(fresh[8], None);
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        for reference in [i64::MIN, i64::MAX] {
            let mut parser = TimestampParser::new(berlin(), Time::from_millis(reference));
            parser.parse(b"Nov 22 00:55:30");
            assert!(parser.parse(b"2026-11-22 01:01:03").is_some());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(texts in proptest::collection::vec(any::<Vec<u8>>(), 1..8)) {
            let mut parser = parser(berlin());
            for text in texts {
                parser.parse(&text);
            }
        }

        #[test]
        fn near_misses_are_answered(text in "[A-Z]?[a-z]{0,3}[,\\[ ]{0,2}[0-9]{0,12}[-/. T\\]:]{0,2}([0-9]{1,4}[-/. T\\]:+]{0,2}){0,7}[A-Z]{0,3}") {
            let mut parser = parser(berlin());
            let first = parser.parse(text.as_bytes());
            prop_assert_eq!(parser.parse(text.as_bytes()), first);
        }

        #[test]
        fn what_was_written_is_read(
            seconds in 0i64..4_102_444_800,
            millis in 0i64..1000,
            format in proptest::sample::select(vec![
                "%Y-%m-%d %H:%M:%S%.3f", "%Y-%m-%dT%H:%M:%S%.6f%z", "%Y-%m-%d %H:%M:%S%.3f %:z",
                "%m/%d/%Y %I:%M:%S%.3f %p", "%d.%m.%Y %H:%M:%S%.3f", "%a %b %e %H:%M:%S%.3f %Y",
                "%a, %d %b %Y %H:%M:%S%.3f %z", "[%Y-%m-%d] %H:%M:%S%.3f", "%s%.3f",
            ]),
            zone in proptest::sample::select(vec![TimeZone::UTC, berlin()]),
        ) {
            // Numbers of less than five digits are no seconds since 1970.
            let seconds = seconds.max(10_000);
            let stamp = jiff::Timestamp::from_millisecond(seconds * 1000 + millis).unwrap();
            let zoned = stamp.to_zoned(zone.clone());
            let text = zoned.strftime(format).to_string();
            // Without its offset, the second of two equal local times reads as the first.
            let exact = format.contains('z') || format.contains("%s");
            let expected = if exact { stamp } else { zone.to_timestamp(zoned.datetime()).unwrap() };
            let read = parser(zone).parse(text.as_bytes());
            prop_assert_eq!(read, Some(Time::from_millis(expected.as_millisecond())), "{}", text);
        }

        #[test]
        fn a_yearless_date_is_at_most_a_year_before_tomorrow(
            reference in 946_684_800i64..4_102_444_800,
            ago in 0i64..364 * 86400,
        ) {
            let reference = Time::from_secs(reference);
            let written = reference.secs() + 86400 - ago;
            let stamp = jiff::Timestamp::from_second(written).unwrap();
            let text = stamp.strftime("%b %e %H:%M:%S").to_string();
            let read = TimestampParser::new(TimeZone::UTC, reference).parse(text.as_bytes());
            prop_assert_eq!(read, Some(Time::from_secs(written)), "{}", text);
        }
    }
}
