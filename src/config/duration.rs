//! Lengths of time as people write them: `10m`, `1d 12h`, `3600`, `permanent`.

use std::time::Duration;

use thiserror::Error;

use crate::model::time::BanDuration;

/// The longest duration: 100 years of 365.25 days. nftables takes timeouts up to this.
pub const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

/// More digits than any duration up to [`LONGEST`] needs; `humantime` 2.4 panics on some
/// longer ones.
const DIGITS: usize = 18;

/// The reason why a text or number is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// Nothing, or something else.
    #[error("\"{0}\" is not a duration")]
    NotALength(String),
    /// A number with a unit that does not exist.
    #[error("unknown unit \"{0}\": use s, m, h, d, w, M (months) or y")]
    UnknownUnit(String),
    /// Less than zero.
    #[error("{0} must not be negative")]
    Negative(i64),
    /// Less than a second.
    #[error("too short: the shortest is 1s")]
    TooShort,
    /// More than [`LONGEST`].
    #[error("too long: the longest is 100y")]
    TooLong,
}

/// Reads a duration from 1 second to 100 years: numbers with units, as `humantime` has them
/// (`10m`, `1d 12h`, `1y`; `m` is minutes, `M` is months), or digits alone, which are seconds.
///
/// # Errors
/// Returns an error if it is none, or too short or too long.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    if let Ok(number) = text.trim().parse() {
        return seconds(number);
    }
    if text.bytes().filter(u8::is_ascii_digit).count() > DIGITS {
        return Err(DurationError::TooLong);
    }
    humantime::parse_duration(text).map_err(|error| explain(text, error)).and_then(bounded)
}

/// Reads a duration from 1 second to 100 years, in seconds.
///
/// # Errors
/// Returns an error if it is too short or too long.
pub fn seconds(number: i64) -> Result<Duration, DurationError> {
    let number = number.try_into().map_err(|_| DurationError::Negative(number))?;
    bounded(Duration::from_secs(number))
}

/// Reads how long a ban lasts: what [`parse`] reads, or `permanent`; fail2ban's `-1` means the same.
///
/// # Errors
/// As [`parse`].
pub fn parse_ban_duration(text: &str) -> Result<BanDuration, DurationError> {
    match text.trim() {
        "permanent" | "-1" => Ok(BanDuration::Permanent),
        _ => parse(text).map(BanDuration::For),
    }
}

/// Returns how long a ban lasts, from a number of seconds; -1 is permanent.
///
/// # Errors
/// As [`seconds`].
pub fn ban_duration_seconds(number: i64) -> Result<BanDuration, DurationError> {
    match number {
        -1 => Ok(BanDuration::Permanent),
        _ => seconds(number).map(BanDuration::For),
    }
}

fn bounded(span: Duration) -> Result<Duration, DurationError> {
    match span {
        short if short < Duration::from_secs(1) => Err(DurationError::TooShort),
        long if long > LONGEST => Err(DurationError::TooLong),
        _ => Ok(span),
    }
}

fn explain(text: &str, error: humantime::DurationError) -> DurationError {
    match error {
        humantime::DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
            DurationError::UnknownUnit(unit)
        }
        humantime::DurationError::NumberOverflow => DurationError::TooLong,
        _ => DurationError::NotALength(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_as_people_write_them() {
        for (text, expected) in [
            ("10m", 600),
            ("1d 12h", 129_600),
            ("1d12h", 129_600),
            ("1.5h", 5400),
            ("90 minutes", 5400),
            ("1w", 604_800),
            ("1M", 2_630_016),
            ("1y", 31_557_600),
            ("100y", 3_155_760_000),
            ("600", 600),
            (" 600 ", 600),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(expected)), "{text}");
            assert_eq!(
                parse_ban_duration(text),
                Ok(BanDuration::For(Duration::from_secs(expected))),
                "{text}"
            );
        }
        for text in ["permanent", "-1", " -1 "] {
            assert_eq!(parse_ban_duration(text), Ok(BanDuration::Permanent), "{text}");
        }
        assert_eq!(ban_duration_seconds(-1), Ok(BanDuration::Permanent));
        assert_eq!(ban_duration_seconds(60), parse_ban_duration("1m"));
    }

    #[test]
    fn what_is_no_length_is_explained() {
        for (text, expected) in [
            ("", "\"\" is not a duration"),
            ("soon", "\"soon\" is not a duration"),
            ("10m,", "\"10m,\" is not a duration"),
            ("1h 30", "\"1h 30\" is not a duration"),
            ("permanent", "\"permanent\" is not a duration"),
            ("1mo", "unknown unit \"mo\": use s, m, h, d, w, M (months) or y"),
            ("-1", "-1 must not be negative"),
            ("0", "too short: the shortest is 1s"),
            ("0s", "too short: the shortest is 1s"),
            ("999ms", "too short: the shortest is 1s"),
            ("101y", "too long: the longest is 100y"),
            ("3155760001", "too long: the longest is 100y"),
            ("99999999999999y", "too long: the longest is 100y"),
            // `humantime` 2.4.0 panics on this one.
            ("18446744073709551615s 500ms 500ms", "too long: the longest is 100y"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(parse_ban_duration("-2"), Err(DurationError::Negative(-2)));
        assert_eq!(ban_duration_seconds(-2), Err(DurationError::Negative(-2)));
        assert_eq!(ban_duration_seconds(0), Err(DurationError::TooShort));
        assert_eq!(seconds(i64::MAX), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "([0-9]{0,19}[. ]?(ns|us|ms|s|m|h|d|w|M|y|\\PC)? ?){0,4}") {
            if let Ok(span) = parse(&text) {
                prop_assert!(span >= Duration::from_secs(1) && span <= LONGEST);
            }
        }

        #[test]
        fn what_is_printed_can_be_read(seconds in 1u64..=LONGEST.as_secs()) {
            let length = BanDuration::For(Duration::from_secs(seconds));
            prop_assert_eq!(parse_ban_duration(&length.to_string()), Ok(length));
        }
    }
}
