//! `logtimezone`: the zone of dates in logs that name none.

use jiff::tz::{Offset, TimeZone};

use super::toml_reader::{TomlReader, TomlValue};

const HELP: &str = "write \"UTC\", an offset such as \"+01:00\" or \"UTC-0500\", or a name such as \"Europe/Berlin\"";

/// A time zone, and its name as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTimeZone {
    /// As it is written.
    pub name: String,
    /// The zone.
    pub zone: TimeZone,
}

/// Reads a zone.
pub(super) fn read(reader: &mut TomlReader, value: &TomlValue) -> Option<LogTimeZone> {
    let name = reader.text(value, HELP)?.trim();
    let zone = fixed(name).or_else(|| TimeZone::get(name).ok());
    if zone.is_none() {
        reader.error(value.span(), format_args!("no time zone is called {name:?}"), HELP);
    }
    Some(LogTimeZone { name: name.to_owned(), zone: zone? })
}

/// Returns the zone that is this far from Greenwich: `UTC`, `+0100`, `GMT-5`, `UTC+05:30`.
fn fixed(name: &str) -> Option<TimeZone> {
    if ["UTC", "GMT", "Z"].contains(&name) {
        return Some(TimeZone::UTC);
    }
    let offset = name.strip_prefix("UTC").or_else(|| name.strip_prefix("GMT")).unwrap_or(name);
    let sign = match offset.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = offset.get(1..)?.replacen(':', "", 1);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match digits.len() {
        1 | 2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    let (hours, minutes) = (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?);
    let seconds = sign * (hours * 3600 + minutes * 60);
    let is_one = hours <= 14 && minutes < 60;
    is_one.then(|| Offset::from_seconds(seconds).ok()).flatten().map(TimeZone::fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_fail2ban_writes_them() {
        let seconds =
            |name: &str| fixed(name).map(|zone| zone.to_fixed_offset().unwrap().seconds());
        for (name, offset) in [
            ("UTC", Some(0)),
            ("Z", Some(0)),
            ("UTC+0100", Some(3600)),
            ("GMT-5", Some(-18_000)),
            ("+05:30", Some(19_800)),
            ("-0330", Some(-12_600)),
            ("+14", Some(50_400)),
            ("+15", None),
            ("+0160", None),
            ("+1:2:3", None),
            ("+", None),
            ("+1\u{e9}", None),
            ("Europe/Berlin", None),
            ("", None),
        ] {
            assert_eq!(seconds(name), offset, "{name}");
        }
    }
}
