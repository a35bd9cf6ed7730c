//! The small languages in fail2ban's values: `NAME[KEY="value"]`, lists, yes and no, lengths of time, `<tags>`.

use std::collections::BTreeMap;

use thiserror::Error;

use super::merged::LONGEST_VALUE;

/// How often one tag may be replaced in one value, as in fail2ban.
const MOST_OF_ONE: usize = 25;
/// Tags that are replaced in one value.
const MOST_TAGS: usize = 2000;

/// What stands behind `filter =`, or one of the things behind `action =`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file's name.
    pub name: String,
    /// The options in brackets.
    pub options: BTreeMap<String, String>,
}

/// What is wrong with `NAME[KEY="value"]`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no option: write NAME[KEY=\"value\", KEY=\"value\"]")]
pub struct NoOption(String);

/// Reads one `NAME[KEY="value", …]`.
///
/// # Errors
/// When the brackets hold something else.
pub fn named(text: &str) -> Result<Named, NoOption> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(Named { name: text.to_owned(), options: BTreeMap::new() });
    };
    let inner = rest.trim_end().strip_suffix(']').ok_or_else(|| NoOption(short(rest)))?;
    let mut options = BTreeMap::new();
    let mut rest = inner.trim();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').ok_or_else(|| NoOption(short(rest)))?;
        let key = key.trim();
        let well_named = |c: char| c.is_alphanumeric() || "_-.?/".contains(c);
        // `blocktype?family=inet6=…`: the condition belongs to the key.
        let (key, value) = match key.split_once('?') {
            Some((_, _)) => {
                let (condition, value) =
                    value.split_once('=').ok_or_else(|| NoOption(short(rest)))?;
                (format!("{key}={condition}"), value)
            }
            None => (key.to_owned(), value),
        };
        if key.is_empty() || !key.chars().all(|c| well_named(c) || c == '=') {
            return Err(NoOption(short(rest)));
        }
        let value = value.trim_start();
        let (value, behind) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let quoted = value.get(1..).unwrap_or_default();
                quoted.split_once(quote).ok_or_else(|| NoOption(short(rest)))?
            }
            _ => value.split_at(value.find([',', ']']).unwrap_or(value.len())),
        };
        options.insert(key, value.trim().to_owned());
        let behind = behind.trim_start();
        rest = if behind.is_empty() {
            ""
        } else if let Some(next) = behind.strip_prefix(',') {
            next.trim_start()
        } else if let Some(next) =
            behind.strip_prefix(']').and_then(|next| next.trim_start().strip_prefix('['))
        {
            next.trim_start()
        } else {
            return Err(NoOption(short(behind)));
        };
    }
    Ok(Named { name: name.trim().to_owned(), options })
}

fn short(text: &str) -> String {
    text.chars().take(25).collect()
}

/// Splits a list of `NAME[KEY="value"]`, by white space outside of brackets and quotes.
#[must_use]
pub fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), None, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') if depth > 0 => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, c) if c.is_whitespace() && depth == 0 => {
                // `NAME [` is one.
                let rest = text.get(at..).unwrap_or_default().trim_start();
                if rest.starts_with('[') {
                    continue;
                }
                parts.extend(start.take().and_then(|start| text.get(start..at)));
                continue;
            }
            _ => {}
        }
        start.get_or_insert(at);
    }
    parts.extend(start.and_then(|start: usize| text.get(start..)));
    parts
}

/// Splits a list by white space and commas.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty())
}

/// Whether fail2ban takes this for yes.
#[must_use]
pub fn is_yes(text: &str) -> bool {
    ["1", "on", "true", "yes"].contains(&text.to_lowercase().as_str())
}

/// Returns a length of time in seconds: a number, or numbers with units such as `1d12h` and `1y 6mo`. Negative ones
/// have no end. `None` if it is none.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Some(number);
    }
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        total += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = behind.trim_start_matches([' ', '\t', '+', ',']);
    }
    let whole = total.round();
    // Beyond, an f64 is no whole number; it is longer than anybody lives.
    if !(0.0..=9e15).contains(&whole) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked right above")]
    let whole = whole as i64;
    Some(if negative { -whole } else { whole })
}

/// Returns the seconds of a unit; years and months are mean ones.
fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "s" | "ss" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "mm" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hh" | "hour" | "hours" => 3600.0,
        "d" | "dd" | "day" | "days" => 86_400.0,
        "w" | "ww" | "week" | "weeks" => 604_800.0,
        "mo" | "mon" | "month" | "months" => 30.4375 * 86_400.0,
        "y" | "yy" | "year" | "years" => 365.25 * 86_400.0,
        _ => return None,
    })
}

/// What is wrong with `<tags>`.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoTag {
    /// A tag that stands in itself.
    #[error("`<{0}>` stands in itself")]
    InItself(String),
    /// It grows without end.
    #[error(
        "it has more than {LONGEST_VALUE} bytes, or {MOST_TAGS} tags, when every tag in it is replaced"
    )]
    TooLong,
}

/// Returns the value of the option `name` with every `<tag>` in it replaced for which there is a value; others stay.
///
/// # Errors
/// When a tag stands in itself, or there is no end to it.
pub fn substituted(
    name: &str,
    text: &str,
    mut value_of: impl FnMut(&str) -> Option<String>,
) -> Result<String, NoTag> {
    let mut text = text.to_owned();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let (mut from, mut replaced) = (0, 0);
    while let Some((at, tag)) = next_tag(&text, from) {
        let tag = tag.to_owned();
        let Some(value) = (if tag == name { Some(String::new()) } else { value_of(&tag) }) else {
            from = at + tag.len() + 2;
            continue;
        };
        let count = counts.entry(tag.clone()).or_default();
        *count += 1;
        replaced += 1;
        if tag == name || *count > MOST_OF_ONE {
            return Err(NoTag::InItself(tag));
        }
        text = text.replace(&format!("<{tag}>"), &value);
        if text.len() > LONGEST_VALUE || replaced > MOST_TAGS {
            return Err(NoTag::TooLong);
        }
        // What stood there may have made a tag of what stands around it: `<a_<b>>`.
        from = 0;
    }
    Ok(text)
}

/// Finds the next `<…>` that holds neither angle brackets nor blanks.
fn next_tag(text: &str, from: usize) -> Option<(usize, &str)> {
    let mut from = from;
    loop {
        let at = from + text.get(from..)?.find('<')?;
        let inner = text.get(at + 1..)?;
        let end = inner.find(['<', '>', ' '])?;
        if end > 0 && inner.as_bytes().get(end) == Some(&b'>') {
            return Some((at, inner.get(..end)?));
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(text: &str) -> Vec<(String, String)> {
        named(text).unwrap().options.into_iter().collect()
    }

    #[test]
    fn options_stand_in_brackets() {
        assert_eq!(
            named("asterisk").unwrap(),
            Named { name: "asterisk".into(), options: BTreeMap::new() }
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            options("x[a=1, b=\"y, z\" , c = '[q]']"),
            [pair("a", "1"), pair("b", "y, z"), pair("c", "[q]")]
        );
        assert_eq!(options("x[a=1][b=2]"), [pair("a", "1"), pair("b", "2")]);
        assert_eq!(options("x[]"), []);
        assert_eq!(
            options("x[t?family=inet6=drop, port=\"5060,5061\"]"),
            [pair("port", "5060,5061"), pair("t?family=inet6", "drop")]
        );
        for wrong in ["x[a", "x[a]", "x[a=\"1]", "x[=1]", "x[a=1]y"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn actions_are_split_outside_of_brackets() {
        let text = "a[x=\"1 2\",\n  y=3]\n%b [z='q r'] c";
        assert_eq!(split(text), ["a[x=\"1 2\",\n  y=3]", "%b [z='q r']", "c"]);
        assert!(split(" \n").is_empty());
    }

    #[test]
    fn lengths_of_time_have_units() {
        for (text, expected) in [
            ("600", Some(600)),
            ("-1", Some(-1)),
            ("10m", Some(600)),
            ("1d12h", Some(129_600)),
            ("1d 12h", Some(129_600)),
            ("1y 6mo", Some(31_557_600 + 15_778_800)),
            ("1.5h", Some(5400)),
            ("2 weeks", Some(1_209_600)),
            ("1 hour, 30 min", Some(5400)),
            ("-1d", Some(-86_400)),
            ("", Some(0)),
            ("soon", None),
            ("10q", None),
            ("9999999999999999y", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn tags_may_stand_in_tags() {
        let value_of = |tag: &str| match tag {
            "mode" => Some("more".to_owned()),
            "re-more" => Some("x<HOST><re-less>".to_owned()),
            "re-less" => Some("y".to_owned()),
            "loop" => Some("<pool>".to_owned()),
            "pool" => Some("<loop>".to_owned()),
            "grow" => Some("<grow2><grow2>".repeat(9)),
            "grow2" => Some("<grow3><grow3>".repeat(99)),
            "grow3" => Some("yyyyyyyyyyyy".repeat(99)),
            _ => None,
        };
        assert_eq!(substituted("f", "^<re-<mode>>< a><$", value_of).unwrap(), "^x<HOST>y< a><$");
        assert_eq!(substituted("f", "<loop>", value_of), Err(NoTag::InItself("loop".into())));
        assert_eq!(substituted("f", "a<f>", value_of), Err(NoTag::InItself("f".into())));
        assert_eq!(substituted("f", "<grow>", value_of), Err(NoTag::TooLong));
    }

    proptest! {
        #[test]
        fn nothing_stops_the_readers(text in "[a-c<>\\[\\]=,\"' \n0-9mdy]{0,60}") {
            let _ = named(&text);
            let _ = seconds(&text);
            prop_assert!(split(&text).iter().all(|part| !part.trim().is_empty()));
            let _ = substituted("f", &text, |tag| Some(tag.repeat(2)));
        }
    }
}
