//! Failregexes that are tried without a rule file, checked as those of a rule file are.

use std::path::Path;
use std::sync::Arc;

use super::pattern::Pattern;
use super::search::LineRegex;
use super::{Grammar, Rule, RuleFile};
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::model::event::Meaning;

/// The name under which they are reported: no rule file has it.
pub const FILTER: &str = "--regex";

/// Failregexes to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// Each becomes a rule, named by its number.
    pub failregex: &'a [String],
    /// As in a rule file.
    pub ignoreregex: &'a [String],
    /// The meaning of a hit.
    pub meaning: Meaning,
    /// The prefix that is taken off first.
    pub grammar: Grammar,
}

impl Trial<'_> {
    /// Returns the rule file that they would make.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn file(&self) -> Result<RuleFile, Diagnostics> {
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        for (number, regex) in (1..).zip(self.failregex) {
            let pattern = match self.grammar {
                Grammar::Fail2ban => Pattern::of_fail2ban(regex),
                Grammar::Asterisk => Pattern::new(regex),
                Grammar::Kernel | Grammar::Syslog | Grammar::None => Pattern::of_text(regex),
            };
            match pattern {
                Ok(pattern) => {
                    rules.push(Rule::plain(number.to_string(), vec![pattern], self.meaning));
                }
                Err(error) => problems.push(problem(FILTER, regex, error.to_string())),
            }
        }
        let mut ignoreregex = Vec::new();
        for regex in self.ignoreregex {
            match LineRegex::read(regex, self.grammar) {
                Ok(compiled) => ignoreregex.push(compiled),
                Err(error) => problems.push(problem("--ignoreregex", regex, error.to_string())),
            }
        }
        if !problems.is_empty() {
            return Err(Diagnostics(problems));
        }
        Ok(RuleFile {
            name: FILTER.to_owned(),
            path: FILTER.into(),
            source: "".into(),
            grammar: self.grammar,
            programs: Vec::new(),
            ignoreregex,
            datepattern: None,
            messages: Vec::new(),
            rules,
            owner: None,
        })
    }
}

/// What is wrong with the regex that an option has: all of it is marked.
fn problem(option: &str, regex: &str, message: String) -> Diagnostic {
    Diagnostic {
        path: Path::new(option).to_owned(),
        source: Arc::from(regex),
        span: 0..regex.len(),
        message,
        help: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Class;

    fn tried(failregex: &[&str], ignoreregex: &[&str]) -> Result<RuleFile, String> {
        let owned =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let trial = Trial {
            failregex: &owned(failregex),
            ignoreregex: &owned(ignoreregex),
            meaning: Meaning::Offence(Class::Guess),
            grammar: Grammar::Asterisk,
        };
        trial.file().map_err(|error| error.to_string())
    }

    #[test]
    fn each_regex_is_a_rule() {
        let file =
            tried(&[r"^door\.c: <HOST> knocked$", r"^door\.c: <HOST> rang$"], &["x"]).unwrap();
        let ids: Vec<_> = file.rules.iter().map(|rule| rule.id.as_str()).collect();
        assert_eq!((ids, file.ignoreregex.len()), (vec!["1", "2"], 1));
    }

    #[test]
    fn mistakes_are_those_of_a_rule_file() {
        let said = tried(&["<HOST> knocked", "^a$"], &["("]).unwrap_err();
        for words in [
            "--regex:1:1: a failregex is anchored at both ends",
            "1 | <HOST> knocked\n  | ^^^^^^^^^^^^^^",
            "--regex:1:1: a failregex holds exactly one address tag",
            "--ignoreregex:1:1: this is no valid regex",
        ] {
            assert!(said.contains(words), "{said}");
        }
    }
}
