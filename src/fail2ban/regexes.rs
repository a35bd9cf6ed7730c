//! The failregexes of a jail as rules: the prefix put in, what is a known message of Asterisk's, and how far its host can
//! be believed.

use std::collections::BTreeSet;

use crate::model::event::Evidence;
use crate::rules::python_regex::branches;
use crate::rules::search::{Found, Search};
use crate::rules::{Grammar, RuleSet};

use super::stock;

/// What becomes of a failregex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is one that fail2ban or the usual instructions bring for Asterisk; these built-in rules read its messages.
    Stock(Vec<String>),
    /// A stranger may write such a line, or part of it; these built-in rules read the same lines, and know better whose they
    /// are.
    Covered(Vec<String>),
    /// A rule, with this evidence.
    Rule {
        /// The whole regex, in fail2ban's syntax.
        regex: String,
        /// How far the host may be believed.
        evidence: Evidence,
        /// Built-in rules that read some of the same lines.
        beside: Vec<String>,
    },
    /// It cannot be had, for this reason.
    Refused(String),
}

/// Lines of Asterisk's with the built-in rules that read them: what a failregex is compared with.
#[derive(Debug, Default)]
pub struct Samples {
    lines: Vec<(Vec<u8>, String, Evidence)>,
}

impl Samples {
    /// Takes the examples of rules for Asterisk's lines.
    #[must_use]
    pub fn of(rules: &RuleSet) -> Self {
        let dates = crate::rules::date_pattern::Dates::new(None).ok();
        let of_asterisk = |rule: &&crate::rules::Rule| {
            rules.file_of(rule).is_some_and(|file| file.grammar == Grammar::Asterisk)
        };
        let mut lines = Vec::new();
        for (id, rule) in rules.iter().filter(|(_, rule)| of_asterisk(rule)) {
            let name = rules.name_of(id).unwrap_or_default();
            for example in rule.examples.iter().filter(|example| example.host.is_some()) {
                let date = dates.as_ref().and_then(|dates| dates.find(&example.line));
                let mut line = example.line.clone();
                line.drain(date.unwrap_or_default());
                lines.push((line, name.clone(), rule.evidence));
            }
        }
        Self { lines }
    }

    /// Returns the names of the rules that read lines which this regex matches, and the least evidence that one of them
    /// gives such a line.
    #[must_use]
    pub fn matched(&self, search: &Search) -> (Vec<String>, Evidence) {
        let hits =
            self.lines.iter().filter(|(line, ..)| matches!(search.find(line), Found::Host(_)));
        let hits: Vec<_> = hits.collect();
        let names: BTreeSet<_> = hits.iter().map(|(_, name, _)| name.clone()).collect();
        let least = hits.iter().map(|(.., evidence)| *evidence).min().unwrap_or(Evidence::Proven);
        (names.into_iter().collect(), least)
    }
}

/// Decides what becomes of a failregex that is used with this prefregex.
#[must_use]
pub fn fate(failregex: &str, prefregex: Option<&str>, samples: &Samples) -> Fate {
    let is_stock = stock::is_known(failregex);
    if failregex.contains("<F-NOFAIL>") || failregex.contains("<F-MLFGAINED>") {
        return Fate::Refused(
            "it only explains other lines (<F-NOFAIL>), and one line is read at a time".to_owned(),
        );
    }
    let whole = match prefregex.map(|prefix| with_prefix(prefix, failregex)) {
        Some(Ok(whole)) => whole,
        Some(Err(error)) => return Fate::Refused(error),
        None => failregex.to_owned(),
    };
    let search = match Search::new(&whole) {
        Ok(search) => search,
        Err(_) if is_stock => return Fate::Stock(Vec::new()),
        Err(error) => return Fate::Refused(error.to_string()),
    };
    let (evidence, beside) = evidence(&search, samples);
    match evidence {
        _ if is_stock => Fate::Stock(beside),
        Evidence::Hearsay if !beside.is_empty() => Fate::Covered(beside),
        _ => Fate::Rule { regex: whole, evidence, beside },
    }
}

/// Returns how far the hosts that a failregex finds can be believed, and the names of the built-in rules that read some of the
/// same lines: what they know of a message holds for others that read it, too.
#[must_use]
pub fn evidence(search: &Search, samples: &Samples) -> (Evidence, Vec<String>) {
    let (beside, least) = samples.matched(search);
    let evidence = if search.pinned { Evidence::Unverified.min(least) } else { Evidence::Hearsay };
    (evidence, beside)
}

/// Puts a failregex into the place of `<F-CONTENT>` in a prefregex: fail2ban looks for it in what stands there.
///
/// # Errors
/// When the two cannot be one regex.
pub fn with_prefix(prefregex: &str, failregex: &str) -> Result<String, String> {
    let no_content = || "its prefregex has no <F-CONTENT>".to_owned();
    let (head, rest) = prefregex.split_once("<F-CONTENT>").ok_or_else(no_content)?;
    let (content, tail) = rest.split_once("</F-CONTENT>").ok_or_else(no_content)?;
    if branches(prefregex).len() > 1 {
        return Err("its prefregex has alternatives outside of a group".to_owned());
    }
    let (flags, failregex) = leading_flags(failregex);
    let mut parts = Vec::new();
    for branch in branches(failregex) {
        let (more, branch) = leading_flags(branch);
        let begins = branch.strip_prefix('^').or_else(|| branch.strip_prefix(r"\A"));
        let body = begins.unwrap_or(branch);
        let end = body.strip_suffix('$').filter(|body| !ends_in_escape(body));
        let body = end.unwrap_or(body);
        if has_anchor(body) {
            return Err(
                "`^` or `$` stands in the middle, which cannot be put together with its prefregex"
                    .to_owned(),
            );
        }
        let before = if begins.is_some() { "" } else { ".*?" };
        let behind = if end.is_some() { "" } else { ".*" };
        let ignores_case = !flags.is_empty() || !more.is_empty();
        parts.push((before, ignores_case, body, behind));
    }
    let joined = match parts.as_slice() {
        // Without a group, the host stands at the top level.
        [(before, false, body, behind)] => format!("{before}{body}{behind}"),
        parts => {
            let part = |(before, ignores_case, body, behind): &(&str, bool, &str, &str)| {
                let flag = if *ignores_case { "i" } else { "" };
                format!("{before}(?{flag}:{body}){behind}")
            };
            format!("(?:{})", parts.iter().map(part).collect::<Vec<_>>().join("|"))
        }
    };
    let tail = if tail.is_empty() { "$" } else { tail };
    // What is looked at has to be what the prefix says, too.
    let content = match content {
        ".+" | ".*" | ".+?" | ".*?" => String::new(),
        content => format!("(?=(?:{content}){tail})"),
    };
    Ok(format!("{head}{content}{joined}{tail}"))
}

/// Splits `(?i)` off the beginning.
fn leading_flags(regex: &str) -> (&str, &str) {
    let flags = ["(?i)", "(?iu)", "(?ui)"].into_iter().find(|flags| regex.starts_with(flags));
    flags.map_or(("", regex), |flags| regex.split_at(flags.len()))
}

fn ends_in_escape(text: &str) -> bool {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Whether an anchor stands in a regex, outside of classes.
fn has_anchor(regex: &str) -> bool {
    let (mut class, mut escaped) = (None::<usize>, false);
    for (at, c) in regex.char_indices() {
        match (class, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(first), ']') if at > first => class = None,
            (Some(first), '^') if at + 1 == first + 1 => class = Some(at + 1),
            (None, '[') => class = Some(at + 1),
            (None, '^' | '$') => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_and_a_failregex_become_one() {
        let with = |failregex: &str| with_prefix(r"^P\s<F-CONTENT>.+</F-CONTENT>$", failregex);
        assert_eq!(with("^a <HOST>$").unwrap(), r"^P\sa <HOST>$");
        assert_eq!(with("^a <HOST>").unwrap(), r"^P\sa <HOST>.*$");
        assert_eq!(with("a <HOST>$").unwrap(), r"^P\s.*?a <HOST>$");
        assert_eq!(with("^a <HOST>|b").unwrap(), r"^P\s(?:(?:a <HOST>).*|.*?(?:b).*)$");
        assert_eq!(with("(?i)^a <HOST>$").unwrap(), r"^P\s(?:(?i:a <HOST>))$");
        assert_eq!(with(r"^[^$]\$ <HOST>$").unwrap(), r"^P\s[^$]\$ <HOST>$");
        assert!(with("^(?:^a|b) <HOST>$").is_err());
        assert!(with_prefix("^P", "a").is_err());
        let some = with_prefix("^P<F-CONTENT>[ab].+</F-CONTENT>$", "^a <HOST>$").unwrap();
        assert_eq!(some, "^P(?=(?:[ab].+)$)a <HOST>$");
    }

    #[test]
    fn the_host_keeps_its_place() {
        for (failregex, line) in [
            ("^a <HOST>$", "P a 192.0.2.1"),
            ("^a <HOST>", "P a 192.0.2.1 x"),
            ("by <HOST>", "P x by 192.0.2.1 x"),
            ("^a <HOST>$|^b x$", "P a 192.0.2.1"),
        ] {
            let whole = with_prefix(r"^P\s<F-CONTENT>.+</F-CONTENT>$", failregex).unwrap();
            let found = Search::new(&whole).unwrap().find(line.as_bytes());
            assert_eq!(found, Found::Host("192.0.2.1".parse().unwrap()), "{whole}");
        }
    }

    #[test]
    fn what_built_in_rules_read_is_left_to_them() {
        let rules = RuleSet::load(None).unwrap();
        let samples = Samples::of(&rules);
        let fate = |regex: &str| fate(regex, None, &samples);
        let Fate::Covered(by) =
            fate("NOTICE.*: Registration from '.*' failed for '<HOST>.*' - Wrong password")
        else {
            panic!("{:?}", fate("…"))
        };
        assert!(by.contains(&"asterisk-sip/wrong-password".to_owned()), "{by:?}");
        let Fate::Rule { evidence, beside, .. } = fate("^my own door: <HOST> knocked$") else {
            panic!()
        };
        assert_eq!((evidence, beside.len()), (Evidence::Unverified, 0));
        let Fate::Rule { evidence, .. } = fate("my own door .* <HOST>") else { panic!() };
        assert_eq!(evidence, Evidence::Hearsay);
        assert!(matches!(fate("no host"), Fate::Refused(_)));
        assert!(matches!(fate("^<F-NOFAIL>x</F-NOFAIL> <HOST>"), Fate::Refused(_)));
    }

    proptest! {
        #[test]
        fn any_two_texts_end(prefix in r"[a(|)^$\[\]\\.+<>F/CONTE-]{0,40}", failregex in r"[a(|)^$\[\]\\?i:<>HOST]{0,40}") {
            let _ = with_prefix(&prefix, &failregex);
            let _ = with_prefix(&format!("{prefix}<F-CONTENT>.+</F-CONTENT>"), &failregex);
            let _ = has_anchor(&failregex);
        }
    }
}
