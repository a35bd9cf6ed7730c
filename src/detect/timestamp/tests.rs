//! Dates in every format, and what is no date.

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
        "07/11/2026 00:00:00",
        "22/13/2026 00:00:00",
        "10:00:00 x",
        "9999-12-31 23:59:59",
        "Foo 22 00:00:00",
        "Nov22",
        "Nov 31 00:00:00",
        "[2026-11-22 01:01:57",
        "1795309297s",
        "1795309297.",
        "20261322010103",
        "17953093027481234",
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
        // Only this one could be the other way round.
        let known = DateFormat::new("%m/%d/%Y %I:%M:%S.%q %p");
        let read = parser(zone).with_format(known).parse(text.as_bytes());
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

/// The instant that the dates below are of.
const THEN: &str = "2026-11-07T13:04:05.678Z";

/// What a date is read as by its shape alone.
#[derive(Clone, Copy)]
enum ByShape {
    /// The instant, or the second or minute in which it is.
    Read,
    /// Day and month could be either.
    Unclear,
    /// It holds too little, or is none.
    No,
}

#[test]
fn dates_of_thirty_one_formats() {
    use ByShape::{No, Read, Unclear};
    for (format, text, by_shape) in [
        ("%b %e %T", "Nov  7 13:04:05", Read),
        ("%F %T", "2026-11-07 13:04:05", Read),
        ("%F %T.%3q", "2026-11-07 13:04:05.678", Read),
        ("%F %T.%4q", "2026-11-07 13:04:05.6780", Read),
        ("%F %T,%q", "2026-11-07 13:04:05,678", Read),
        ("%FT%T.%6q%z", "2026-11-07T13:04:05.678000+0000", Read),
        ("%F_%H-%M-%S", "2026-11-07_13-04-05", Read),
        ("%F %R", "2026-11-07 13:04", Read),
        ("[%F] %T", "[2026-11-07] 13:04:05", Read),
        ("%Y/%m/%d %T", "2026/11/07 13:04:05", Read),
        ("%Y.%m.%d-%T", "2026.11.07-13:04:05", Read),
        ("%Y%m%d %H%M%S", "20261107 130405", Read),
        ("%Y%m%dT%H%M%SZ", "20261107T130405Z", Read),
        ("%Y%m%d%H%M%S", "20261107130405", Read),
        ("%d/%m/%Y %T", "07/11/2026 13:04:05", Unclear),
        ("%m/%d/%Y %T", "11/07/2026 13:04:05", Unclear),
        ("%m/%d/%Y %r", "11/07/2026 01:04:05 PM", Unclear),
        ("%D %T", "11/07/26 13:04:05", Unclear),
        ("%d/%m/%y %T", "07/11/26 13:04:05", Unclear),
        ("%d/%m %T", "07/11 13:04:05", Unclear),
        ("%d-%m-%Y %T", "07-11-2026 13:04:05", Unclear),
        ("%d.%m.%Y %T", "07.11.2026 13:04:05", Read),
        ("%d.%m.%y, %H.%M.%S", "07.11.26, 13.04.05", Read),
        ("%d/%b/%Y:%T %z", "07/Nov/2026:13:04:05 +0000", Read),
        ("%d-%b-%Y %T", "07-Nov-2026 13:04:05", Read),
        ("%e %B %Y %T", " 7 November 2026 13:04:05", Read),
        ("%T %d.%m.%Y", "13:04:05 07.11.2026", Read),
        ("%c", "Sat Nov  7 13:04:05 2026", Read),
        ("%A, %d %b %Y %T %Z", "Saturday, 07 Nov 2026 13:04:05 UTC", Read),
        ("%s.%3q", "1794056645.678", Read),
        ("%d %m %Y um %H Uhr %M", "07 11 2026 um 13 Uhr 04", No),
    ] {
        let known = DateFormat::new(format).unwrap_or_else(|| panic!("{format}"));
        let is_then = |time: Option<Time>| {
            time.is_some_and(|time| (0..60_000).contains(&(utc(THEN).millis() - time.millis())))
        };
        let mut parser = parser(TimeZone::UTC);
        let read = parser.parse(text.as_bytes());
        match by_shape {
            Read => assert!(is_then(read), "{format}: {text}: {read:?}"),
            Unclear | No => assert_eq!(read, None, "{format}: {text}"),
        }
        let mut parser = parser.with_format(Some(known));
        parser.length = 0;
        let read = parser.parse(text.as_bytes());
        assert!(is_then(read), "{format}: {text}: {read:?}");
    }
    // A time of day alone is no instant, and nobody knows what `%!` is.
    for format in ["%T", "%F", "%H:%M", "%F %T %!", "%F %T %7q", "pbx", ""] {
        assert_eq!(DateFormat::new(format), None, "{format}");
    }
}

#[test]
fn the_order_of_day_and_month_is_never_guessed() {
    let mut parser = parser(TimeZone::UTC);
    let mut read = |text: &str| parser.parse(text.as_bytes()).map(|time| time.to_string());
    assert_eq!(read("07/11/2026 10:00:00"), None);
    assert_eq!(read("11/11/2026 10:00:00").as_deref(), Some("2026-11-11T10:00:00Z"));
    assert_eq!(read("08/11/2026 10:00:00"), None, "that said nothing about the order");
    assert_eq!(read("13/11/2026 10:00:00").as_deref(), Some("2026-11-13T10:00:00Z"));
    assert_eq!(read("07/11/2026 10:00:00").as_deref(), Some("2026-11-07T10:00:00Z"));
    // Who writes another order into a line of his own changes nothing any more.
    assert_eq!(read("11/13/2026 10:00:00").as_deref(), Some("2026-11-13T10:00:00Z"));
    assert_eq!(read("07/11/2026 10:00:01").as_deref(), Some("2026-11-07T10:00:01Z"));
    // What has not come yet cannot be: the file was written on 22 November.
    let mut parser = super::TimestampParser::new(TimeZone::UTC, utc("2026-11-22T01:02:00Z"));
    let mut read = |text: &str| parser.parse(text.as_bytes()).map(|time| time.to_string());
    assert_eq!(read("12/11/2026 10:00:00").as_deref(), Some("2026-11-12T10:00:00Z"));
    assert_eq!(read("22-11-26 10:00:00").as_deref(), Some("2026-11-22T10:00:00Z"));
}

#[test]
fn dates_from_before_the_format_was_set_are_read() {
    let known = DateFormat::new("%d/%m/%Y %T");
    let mut parser = parser(TimeZone::UTC).with_format(known);
    let mut read = |text: &str| parser.parse(text.as_bytes()).map(|time| time.to_string());
    assert_eq!(read("07/11/2026 10:00:00").as_deref(), Some("2026-11-07T10:00:00Z"));
    assert_eq!(read("Nov  6 10:00:00").as_deref(), Some("2026-11-06T10:00:00Z"));
    assert_eq!(read("31/02/2026 10:00:00"), None);
}
