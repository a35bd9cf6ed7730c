//! Where in a line fail2ban sees a date: it takes it out before a failregex sees the line.

use regex_automata::PatternID;
use regex_automata::meta::Regex;
use thiserror::Error;

use super::byte_regex;
use super::python_regex::{NoPython, translate};

/// Where dates stand in lines.
#[derive(Clone, Debug)]
pub enum Dates {
    /// In any of the usual forms, at the beginning of a line or later.
    Usual(Regex),
    /// Where this matches.
    Own(Regex),
    /// There are none: `{NONE}`.
    None,
}

/// The reason why a `datepattern` cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoDates {
    /// It is no regex, apart from its dates.
    #[error(transparent)]
    Python(#[from] NoPython),
    /// It is none in another way.
    #[error("this is no valid datepattern: {0}")]
    Regex(String),
}

const MONTH: &str = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const DAY_NAME: &str = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const ZONE: &str = r"(?:Z|UTC|GMT|[+-][01]\d(?::?\d\d)?)";
const ZONE_NAME: &str = r"(?:[A-Z]{3,5}|[+-]\d\d:\d\d)";
const CLOCK: &str = r"[ ]?\d?\d:\d\d:\d\d";

/// The usual forms, each of which may stand anywhere.
fn usual() -> Vec<String> {
    vec![
        format!(
            r"20\d\d(?:-\d\d?-|/\d\d?/|\.\d\d?\.)\d\d?(?:T|  ?){CLOCK}(?:[.,]\d+)?(?:\s*{ZONE})?"
        ),
        format!(r"(?:{DAY_NAME} )?{MONTH} [ \d]?\d 20\d\d {CLOCK}(?:\.\d+)?"),
        format!(r"(?:{ZONE_NAME} )?(?:{DAY_NAME} )?{MONTH} [ \d]?\d {CLOCK}(?:\.\d+)?(?: 20\d\d)?"),
        format!(r"\d\d?(?:-\d\d?-|/\d\d?/)(?:20)?\d\d {CLOCK}(?:\.\d+)?"),
        format!(r"\d\d?(?:-{MONTH}-|/{MONTH}/)20\d\d[ :]?{CLOCK}(?:\.\d+)?(?: {ZONE})?"),
        format!(r"\d\d?/\d\d?/20\d\d:{CLOCK}"),
        r"\d{6}  ?\d?\d:\d\d:\d\d".to_owned(),
        format!(r"{MONTH} \d\d?, 20\d\d {CLOCK} [AP]M"),
        format!(r"20\d{{6}}(?:-|T|  ?)\d\d?:?\d\d:?\d\d(?:[.,]\d+)?(?:\s*{ZONE})?"),
    ]
}

/// Forms that count only at the beginning of a line.
fn beginning() -> Vec<String> {
    vec![
        r"\d{10}(?:\.\d{3,6})?".to_owned(),
        r"\d\d:\d\d:\d\d".to_owned(),
        r"\d\d/\d\d/\d\d@\d\d:\d\d:\d\d".to_owned(),
        format!(r"{MONTH}-\d\d-\d\d {CLOCK}"),
        "@?[0-9a-f]{24}".to_owned(),
    ]
}

impl Dates {
    /// Reads a `datepattern`; none of it stands for the usual forms.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(pattern: Option<&str>) -> Result<Self, NoDates> {
        let built = |regex: &str| {
            byte_regex(regex).map_err(|error| {
                NoDates::Regex(error.to_string().lines().last().unwrap_or_default().to_owned())
            })
        };
        let usual = usual().join("|");
        let begins = beginning().join("|");
        let Some(pattern) = pattern.map(str::trim).filter(|pattern| !pattern.is_empty()) else {
            return built(&format!(
                r"(?i)^\W{{0,2}}(?P<date>{usual}|{begins})(?:\b|\W|$)|\b(?P<later>{usual})\b"
            ))
            .map(Self::Usual);
        };
        if pattern.contains("{NONE}") {
            return Ok(Self::None);
        }
        let mut regexes = Vec::new();
        for line in pattern.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (line, at_begin) =
                match ["{^LN-BEG}", "{*WD-BEG}"].iter().find_map(|mark| line.strip_prefix(mark)) {
                    Some(rest) => (rest, line.starts_with("{^LN")),
                    None => (line, false),
                };
            let line = line.replace("{UNB}", "").replace("{*WD-END}", "");
            let line = line.trim();
            let begin = if at_begin { r"^\W{0,2}" } else { "" };
            if line.is_empty() || line == "{DATE}" || line == "{DEFAULT}" {
                let more = if at_begin { format!("|{begins}") } else { String::new() };
                regexes.push(format!("{begin}(?:{usual}{more})"));
                continue;
            }
            let line = line.replace("{DATE}", &format!("(?:{usual})"));
            let translated = translate(&with_fields(&line))?;
            // Python finds a field by what it was before: here, any field will do.
            let regex = if translated.backtracks { translated.gate } else { translated.exact };
            regexes.push(format!("{begin}(?:{regex})"));
        }
        // The first group that there is holds the date, as in fail2ban; otherwise all of it is one.
        built(&format!("(?i)(?:{})", regexes.join("|"))).map(Self::Own)
    }

    /// Returns the place of the date in a line.
    #[must_use]
    pub fn find(&self, line: &[u8]) -> Option<std::ops::Range<usize>> {
        match self {
            Self::None => None,
            Self::Own(regex) => {
                let mut captures = regex.create_captures();
                regex.captures(line, &mut captures);
                let whole = captures.get_group(0)?;
                let unnamed = |index: &usize| {
                    captures.group_info().to_name(PatternID::ZERO, *index).is_none()
                };
                let groups = (1..captures.group_len()).filter(unnamed);
                let mut places = groups.filter_map(|index| captures.get_group(index));
                Some(places.next().unwrap_or(whole).range())
            }
            Self::Usual(regex) => {
                let mut captures = regex.create_captures();
                regex.captures(line, &mut captures);
                let group = captures.get_group_by_name("date");
                group.or_else(|| captures.get_group_by_name("later")).map(|span| span.range())
            }
        }
    }
}

/// Writes the fields of `strptime` as regexes.
fn with_fields(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let behind = behind.strip_prefix("Ex").unwrap_or(behind);
        let mut chars = behind.chars();
        let field = chars.next();
        rest = chars.as_str();
        out.push_str(match field {
            Some('Y') => r"20\d\d",
            Some('m' | 'd') => r"[ \d]?\d",
            Some('H' | 'k' | 'I' | 'l') => r" ?\d?\d",
            Some('y' | 'M' | 'S') => r"\d\d",
            Some('b') => MONTH,
            Some('B') => "[A-Z][a-z]+",
            Some('a') => DAY_NAME,
            Some('A') => "[A-Z][a-z]+day",
            Some('f') => r"\d+",
            Some('z') => ZONE,
            Some('Z') => "(?:Z|[A-Z]{3,5})",
            Some('p') => "(?:AM|PM)",
            Some('j') => r"\d{1,3}",
            Some('s') => r"\d{10}",
            Some('T') => r"\d?\d:\d\d:\d\d",
            Some('F') => r"20\d\d-\d\d-\d\d",
            Some('U' | 'W' | 'w') => r"\d\d?",
            _ => "%",
        });
    }
    out.push_str(rest);
    for (name, regex) in [
        ("LEPOCH", r"\d{10,16}(?:\.\d+)?"),
        ("EPOCH", r"\d{10}(?:\.\d{3,6})?"),
        ("TAI64N", "@?[0-9a-f]{24}"),
    ] {
        out = out.replace(name, regex);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pattern: Option<&str>, line: &str) -> String {
        let dates = Dates::new(pattern).unwrap();
        match dates.find(line.as_bytes()) {
            Some(place) => format!("{}|{}", &line[..place.start], &line[place.end..]),
            None => line.to_owned(),
        }
    }

    #[test]
    fn usual_dates_are_found() {
        for (line, expected) in [
            ("[2026-11-22 10:00:00] NOTICE[1] x", "[|] NOTICE[1] x"),
            ("[2026-11-22 10:00:00.123] NOTICE", "[|] NOTICE"),
            ("[Nov 22 10:00:00] NOTICE[1] x", "[|] NOTICE[1] x"),
            ("Nov  2 10:00:00 pbx asterisk[5]: x", "| pbx asterisk[5]: x"),
            ("2026-11-22T10:00:00.123456+01:00 pbx x", "| pbx x"),
            ("192.0.2.1 - - [22/Nov/2026:10:00:00 +0100] \"GET", "192.0.2.1 - - [|] \"GET"),
            ("Sun Nov 22 10:00:00.011 2026 x", "| x"),
            ("1500000000.123 x", "| x"),
            ("10:00:00 x", "| x"),
            ("x 1500000000 y", "x 1500000000 y"),
            ("no date", "no date"),
        ] {
            assert_eq!(cut(None, line), expected);
        }
    }

    #[test]
    fn a_datepattern_says_where() {
        let line = "x 2026-11-22 10:00:00 [22.11.2026] y";
        assert_eq!(cut(Some(r"\[%d\.%m\.%Y\]"), line), "x 2026-11-22 10:00:00 | y");
        assert_eq!(cut(Some("{^LN-BEG}"), line), line);
        assert_eq!(cut(Some("{NONE}"), line), line);
        assert_eq!(
            cut(Some("{^LN-BEG}%ExY-%Exm-%Exd %ExH:%ExM:%ExS"), &line[2..]),
            "| [22.11.2026] y"
        );
        assert_eq!(cut(Some("^EPOCH"), "1500000000 y"), "| y");
        // A group alone holds the date.
        let both = "{^LN-BEG}%ExY-%m-%d\n^[^\\[]*\\[({DATE})\n";
        assert_eq!(cut(Some(both), "192.0.2.1 [22/Nov/2026:10:00:00 +0100] x"), "192.0.2.1 [|] x");
        assert_eq!(cut(Some("%d/%b[^/]*/%Y"), "a 02/sept./2015 b"), "a | b");
        assert!(Dates::new(Some("(")).is_err());
    }
}
