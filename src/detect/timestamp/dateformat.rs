//! Dates as `dateformat` in logger.conf has them written.

use super::cursor::{Clock, Cursor, Date, Day, Stamp, TimeOfDay, hour_of_day};
use crate::model::time::Time;

/// More parts than this has no format.
const MOST_PARTS: usize = 64;

/// A `dateformat`: what `strftime` knows, and Asterisk's own `%q`, `%1q` to `%6q` for decimals of a second.
/// The names are those of the C locale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateFormat {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This byte.
    Byte(u8),
    /// Any number of spaces.
    Spaces,
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Weekday,
    Hour,
    Minute,
    Second,
    HalfDay,
    /// Decimals of a second, so many.
    Decimals(usize),
    Offset,
    Zone,
    Epoch,
    /// Digits that say nothing more.
    Digits,
}

impl DateFormat {
    /// Reads a `dateformat`. `None`: it has a part that is not known, or too little to tell an instant by.
    #[must_use]
    pub fn new(format: &str) -> Option<Self> {
        let mut parts = Vec::new();
        append(format.as_bytes(), &mut parts)?;
        let has = |wanted: &[Part]| parts.iter().any(|part| wanted.contains(part));
        let is_whole = has(&[Part::Epoch])
            || (has(&[Part::Day]) && has(&[Part::Month, Part::MonthName]) && has(&[Part::Hour]));
        (is_whole && parts.len() <= MOST_PARTS).then_some(Self { parts })
    }

    /// Reads a date that is written so.
    pub(super) fn read(&self, text: &[u8]) -> Option<Stamp> {
        let mut cursor = Cursor(text);
        let (mut time, mut afternoon, mut offset) = (TimeOfDay::default(), None, None);
        let mut date = Date { year: None, month: 0, day: 0 };
        let mut epoch = None;
        for part in &self.parts {
            match part {
                Part::Byte(byte) => cursor.eat(*byte)?,
                Part::Spaces => cursor.spaces(),
                Part::Year => date.year = Some(cursor.number(4)?),
                Part::ShortYear => date.year = Some(2000 + cursor.number::<i16>(2)?),
                Part::MonthName => date.month = cursor.month()?,
                Part::Weekday => cursor.weekday()?,
                Part::Month => date.month = padded(&mut cursor)?,
                Part::Day => date.day = padded(&mut cursor)?,
                Part::Hour => time.hour = padded(&mut cursor)?,
                Part::Minute => time.minute = cursor.short_number()?,
                Part::Second => time.second = cursor.short_number()?,
                Part::HalfDay => {
                    let word = cursor.0.get(..2)?;
                    afternoon = Some(word.eq_ignore_ascii_case(b"pm"));
                    if afternoon == Some(false) && !word.eq_ignore_ascii_case(b"am") {
                        return None;
                    }
                    cursor.0 = cursor.0.get(2..)?;
                }
                Part::Decimals(digits) => time.millis = cursor.fraction(*digits)?,
                Part::Offset => offset = Some(cursor.offset()?),
                Part::Zone => {
                    let name = cursor.word()?;
                    offset = matches!(name, b"UTC" | b"GMT" | b"Z").then_some(0).or(offset);
                }
                Part::Epoch => {
                    let digits = cursor.digits_ahead();
                    epoch = Some(cursor.number::<i64>(digits.clamp(1, 11))?);
                }
                Part::Digits => {
                    let digits = cursor.digits_ahead().clamp(1, 9);
                    cursor.number::<i64>(digits)?;
                }
            }
        }
        if !cursor.0.is_empty() {
            return None;
        }
        if let Some(seconds) = epoch {
            return Some(Stamp::Epoch(Time::from_millis(seconds * 1000 + time.millis)));
        }
        if let Some(afternoon) = afternoon {
            time.hour = hour_of_day(time.hour, afternoon);
        }
        let clock: Clock = time.finish(Day::One(date), offset)?;
        Some(Stamp::Clock(clock))
    }
}

/// One or two digits, perhaps with a space instead of the first.
fn padded(cursor: &mut Cursor<'_>) -> Option<i8> {
    cursor.spaces();
    cursor.short_number()
}

/// Appends what `format` says.
fn append(mut format: &[u8], parts: &mut Vec<Part>) -> Option<()> {
    while let Some((byte, rest)) = format.split_first() {
        format = rest;
        match byte {
            b'%' => {
                // Flags and widths of the C library: they pad, which numbers are read with anyway.
                let width =
                    rest.iter().take_while(|byte| b"-_0^#123456789EO".contains(byte)).count();
                let (flags, rest) = rest.split_at_checked(width)?;
                let (directive, rest) = rest.split_first()?;
                format = rest;
                directive_of(*directive, flags, parts)?;
            }
            b' ' | b'\t' => parts.push(Part::Spaces),
            byte => parts.push(Part::Byte(*byte)),
        }
    }
    Some(())
}

fn directive_of(directive: u8, flags: &[u8], parts: &mut Vec<Part>) -> Option<()> {
    let whole = match directive {
        b'c' => &b"%a %b %e %T %Y"[..],
        b'D' | b'x' => b"%m/%d/%y",
        b'F' => b"%Y-%m-%d",
        b'r' => b"%I:%M:%S %p",
        b'R' => b"%H:%M",
        b'T' | b'X' => b"%H:%M:%S",
        b'v' => b"%e-%b-%Y",
        _ => b"",
    };
    if !whole.is_empty() {
        return append(whole, parts);
    }
    parts.push(match directive {
        b'Y' | b'G' => Part::Year,
        b'y' | b'g' => Part::ShortYear,
        b'm' => Part::Month,
        b'b' | b'B' | b'h' => Part::MonthName,
        b'd' | b'e' => Part::Day,
        b'a' | b'A' => Part::Weekday,
        b'H' | b'I' | b'k' | b'l' => Part::Hour,
        b'M' => Part::Minute,
        b'S' => Part::Second,
        b'p' | b'P' => Part::HalfDay,
        b'q' => match flags {
            [] => Part::Decimals(3),
            [digit @ b'1'..=b'6'] => Part::Decimals(usize::from(digit - b'0')),
            _ => return None,
        },
        b'z' => Part::Offset,
        b'Z' => Part::Zone,
        b's' => Part::Epoch,
        b'C' | b'j' | b'u' | b'w' | b'U' | b'V' | b'W' => Part::Digits,
        b'n' | b't' => Part::Spaces,
        b'%' => Part::Byte(b'%'),
        _ => return None,
    });
    Some(())
}
