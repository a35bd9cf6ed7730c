//! A date and a time of day, read out of a text by its shape.

use crate::model::time::Time;

/// A time as a text has it.
pub(super) enum Stamp {
    Epoch(Time),
    Clock(Clock),
}

/// A date and time of day; not yet an instant.
pub(super) struct Clock {
    pub day: Day,
    pub hour: i8,
    pub minute: i8,
    pub second: i8,
    pub millis: i64,
    /// Seconds east of Greenwich; `None` is local time.
    pub offset: Option<i64>,
}

/// A day.
#[derive(Clone, Copy)]
pub(super) enum Day {
    One(Date),
    /// Numbers whose order does not show: what they are by each order that there is.
    Several([Option<Date>; ORDERS]),
}

/// The orders in which numbers can stand: day first, month first, year first.
pub(super) const ORDERS: usize = 3;

/// A date that need not exist, and whose year may be missing.
#[derive(Clone, Copy)]
pub(super) struct Date {
    pub year: Option<i16>,
    pub month: i8,
    pub day: i8,
}

/// The names of the months and of the days of the week, in the C locale.
const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];
const WEEKDAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];

/// Whether this may be a zone's short name, such as `CET`.
fn is_zone(name: &[u8]) -> bool {
    (2..=5).contains(&name.len()) && name.iter().all(u8::is_ascii_uppercase)
}

/// The place in `names` of the one that `word` is, or begins with three letters or more.
fn named(names: &[&[u8]], word: &[u8]) -> Option<usize> {
    let is_it = |name: &&[u8]| {
        name.get(..word.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(word))
    };
    (word.len() >= 3).then(|| names.iter().position(is_it))?
}

/// Returns the hour on a clock of 24 hours.
pub(super) fn hour_of_day(hour: i8, afternoon: bool) -> i8 {
    match (hour, afternoon) {
        (12, false) => 0,
        (0..12, true) => hour + 12,
        _ => hour,
    }
}

/// The rest of the text. Each method takes something off its front, or answers `None`.
pub(super) struct Cursor<'a>(pub &'a [u8]);

impl<'a> Cursor<'a> {
    pub fn stamp(mut self) -> Option<Stamp> {
        let digits = self.digits_ahead();
        let is_all = |cursor: &Self| matches!(cursor.0.get(digits), None | Some(b'.' | b','));
        match digits {
            5..=11 if is_all(&self) => {
                let millis = self.number::<i64>(digits)? * 1000 + self.decimals()?;
                return self.0.is_empty().then(|| Stamp::Epoch(Time::from_millis(millis)));
            }
            // Milliseconds, microseconds and nanoseconds, as journals count.
            13 | 16 | 19 => {
                let millis = self.number::<i64>(13)?;
                self.number::<i64>(digits - 13)?;
                return self.0.is_empty().then(|| Stamp::Epoch(Time::from_millis(millis)));
            }
            _ => {}
        }
        // The time of day may stand first.
        let is_first = (1..=2).contains(&digits) && self.0.get(digits) == Some(&b':');
        let mut first = if is_first { Some(self.time()?) } else { None };
        if let Some(time) = &mut first {
            let behind = self.0;
            self.spaces();
            if !self.half_day(time) {
                self.0 = behind;
            }
            self.separator()?;
        }
        let mut day = self.day(digits == 14)?;
        let mut time = match first {
            Some(time) => time,
            None if digits == 14 => self.time()?,
            None => {
                self.separator()?;
                self.time()?
            }
        };
        let mut zone = None;
        loop {
            self.spaces();
            if self.half_day(&mut time) {
                continue;
            }
            match (self.0.first(), &mut day) {
                (None, _) => break,
                (Some(b'0'..=b'9'), Day::One(Date { year: year @ None, .. })) => {
                    *year = Some(self.number(4)?);
                }
                (Some(b'+' | b'-'), _) if zone.is_none() => zone = Some(Some(self.offset()?)),
                _ => match self.word()? {
                    b"Z" | b"UTC" | b"GMT" if zone.is_none() => zone = Some(Some(0)),
                    name if zone.is_none() && is_zone(name) => zone = Some(None),
                    _ => return None,
                },
            }
        }
        time.finish(day, zone.flatten()).map(Stamp::Clock)
    }

    /// Hour and minute, mostly seconds, perhaps decimals.
    fn time(&mut self) -> Option<TimeOfDay> {
        if self.digits_ahead() == 6 {
            let (hour, minute) = (self.number(2)?, self.number(2)?);
            return Some(TimeOfDay {
                hour,
                minute,
                second: self.number(2)?,
                millis: self.decimals()?,
            });
        }
        let hour = self.short_number()?;
        let separator = *self.0.first().filter(|byte| matches!(byte, b':' | b'.' | b'-'))?;
        self.eat(separator)?;
        let minute = self.number(2)?;
        let mut time = TimeOfDay { hour, minute, second: 0, millis: 0 };
        // Without seconds, only a colon makes it a time.
        if separator != b':' || self.0.first() == Some(&b':') {
            self.eat(separator)?;
            time.second = self.number(2)?;
            time.millis = self.decimals()?;
        }
        Some(time)
    }

    /// `AM` or `PM`, if it stands there.
    fn half_day(&mut self, time: &mut TimeOfDay) -> bool {
        let Some((word, rest)) = self.0.split_at_checked(2) else { return false };
        let afternoon = match word {
            b"AM" | b"am" => false,
            b"PM" | b"pm" => true,
            _ => return false,
        };
        let ends = rest.first().is_none_or(|byte| !byte.is_ascii_alphabetic());
        if ends {
            time.hour = hour_of_day(time.hour, afternoon);
            self.0 = rest;
        }
        ends
    }

    /// What stands between day and time.
    fn separator(&mut self) -> Option<()> {
        let before = self.0.len();
        self.spaces();
        if let Some(b'T' | b'_' | b',' | b':' | b'-') = self.0.first() {
            self.0 = self.0.get(1..)?;
            self.spaces();
        }
        (self.0.len() < before).then_some(())
    }

    /// A day; `packed`: eight digits of more.
    fn day(&mut self, packed: bool) -> Option<Day> {
        match (self.digits_ahead(), self.0.first()?) {
            (8, _) => self.packed_day(),
            (14, _) if packed => self.packed_day(),
            (4, _) => self.year_first(),
            (1 | 2, _) => {
                let first = self.short_number()?;
                match *self.0.first()? {
                    separator @ (b'/' | b'-' | b'.') => {
                        self.eat(separator)?;
                        if self.digits_ahead() == 0 {
                            let month = self.month()?;
                            self.eat(separator)?;
                            let year = Some(self.year()?);
                            return Some(Day::One(Date { year, month, day: first }));
                        }
                        self.numbers(first, separator)
                    }
                    _ => {
                        self.spaces();
                        let month = self.month()?;
                        Some(Day::One(Date { year: self.year_ahead(), month, day: first }))
                    }
                }
            }
            (0, b'[') => {
                self.eat(b'[')?;
                let day = self.day(false)?;
                self.eat(b']')?;
                Some(day)
            }
            (0, _) => {
                let word = self.word()?;
                if named(&WEEKDAYS, word).is_some() {
                    // `Sun, 22 Nov 2026` or `Sun Nov 22`
                    let _ = self.eat(b',');
                    self.spaces();
                    return self.day(false);
                }
                let month = month(word)?;
                self.spaces();
                let day = self.short_number()?;
                Some(Day::One(Date { year: self.year_ahead(), month, day }))
            }
            _ => None,
        }
    }

    /// `20261122`
    fn packed_day(&mut self) -> Option<Day> {
        let year = Some(self.number(4)?);
        Some(Day::One(Date { year, month: self.number(2)?, day: self.number(2)? }))
    }

    /// `2026-11-22`, `2026/11/22`, `2026.11.22`, `2026-Nov-22`
    fn year_first(&mut self) -> Option<Day> {
        let year = Some(self.number(4)?);
        let separator = *self.0.first().filter(|byte| matches!(byte, b'-' | b'/' | b'.'))?;
        self.eat(separator)?;
        let month = if self.digits_ahead() > 0 { self.number(2)? } else { self.month()? };
        self.eat(separator)?;
        Some(Day::One(Date { year, month, day: self.number(2)? }))
    }

    /// The rest of two or three numbers, of which the last may be missing.
    fn numbers(&mut self, first: i8, separator: u8) -> Option<Day> {
        let second = self.short_number()?;
        // With points, the day always stands first.
        let dotted = separator == b'.';
        let short = matches!(self.0, [_, a, b, rest @ ..]
            if a.is_ascii_digit() && b.is_ascii_digit() && !rest.first().is_some_and(u8::is_ascii_digit));
        let year = match self.eat(separator) {
            Some(()) if self.digits_ahead() > 0 => Some(self.year()?),
            Some(()) if !dotted => return None,
            _ => None,
        };
        let day_first = Date { year, month: second, day: first };
        if dotted {
            return Some(Day::One(day_first));
        }
        let month_first = Date { year, month: first, day: second };
        let last = year.and_then(|year| i8::try_from(year - 2000).ok());
        let year_first = last.filter(|_| short).map(|last| Date {
            year: Some(2000 + i16::from(first)),
            month: second,
            day: last,
        });
        Some(Day::Several([Some(day_first), Some(month_first), year_first]))
    }

    /// A year of four digits, or of two in this century.
    pub fn year(&mut self) -> Option<i16> {
        match self.digits_ahead() {
            2 => Some(2000 + self.number::<i16>(2)?),
            _ => self.number(4),
        }
    }

    /// A year of four digits, if it comes next.
    fn year_ahead(&mut self) -> Option<i16> {
        let rest = self.0;
        let _ = self.eat(b',');
        self.spaces();
        let year = (self.digits_ahead() == 4).then(|| self.number(4)).flatten();
        if year.is_none() {
            self.0 = rest;
        }
        year
    }

    pub fn month(&mut self) -> Option<i8> {
        month(self.word()?)
    }

    pub fn weekday(&mut self) -> Option<()> {
        named(&WEEKDAYS, self.word()?).map(|_| ())
    }

    /// `+0100`, `+01:00` or `+01`, in seconds.
    pub fn offset(&mut self) -> Option<i64> {
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

    /// Up to nine decimals after a point, comma or colon, as milliseconds; none are 0.
    fn decimals(&mut self) -> Option<i64> {
        if !matches!(self.0.first(), Some(b'.' | b',' | b':')) {
            return Some(0);
        }
        self.0 = self.0.get(1..)?;
        self.fraction(self.digits_ahead())
    }

    /// This many decimals, as milliseconds.
    pub fn fraction(&mut self, digits: usize) -> Option<i64> {
        if !(1..=9).contains(&digits) {
            return None;
        }
        let kept = digits.min(3);
        let millis: i64 = self.number(kept)?;
        self.number::<i64>(digits - kept)?;
        Some(millis * [1, 100, 10, 1].get(kept)?)
    }

    /// One or two digits.
    pub fn short_number(&mut self) -> Option<i8> {
        self.number(self.digits_ahead().clamp(1, 2))
    }

    /// Exactly this many digits; none are 0.
    pub fn number<T: TryFrom<i64>>(&mut self, digits: usize) -> Option<T> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number.iter().try_fold(0_i64, |value, byte| {
            let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })?;
        self.0 = rest;
        T::try_from(value).ok()
    }

    pub fn digits_ahead(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// One letter or more.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        if word.is_empty() { None } else { Some(word) }
    }

    /// Any number of spaces.
    pub fn spaces(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    pub fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }
}

fn month(word: &[u8]) -> Option<i8> {
    i8::try_from(named(&MONTHS, word)? + 1).ok()
}

/// A time of day.
#[derive(Clone, Copy, Default)]
pub(super) struct TimeOfDay {
    pub hour: i8,
    pub minute: i8,
    pub second: i8,
    pub millis: i64,
}

impl TimeOfDay {
    /// Returns this time on a day, if it is one.
    pub fn finish(self, day: Day, offset: Option<i64>) -> Option<Clock> {
        let Self { hour, minute, second, millis } = self;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        // The 60 of a leap second is taken for the second before.
        Some(Clock { day, hour, minute, second: second.min(59), millis, offset })
    }
}
