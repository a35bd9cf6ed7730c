//! The example lines of rules: each must be read as it says.

use std::sync::Arc;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::detect::prefilter::PatternSetError;
use crate::detect::scanner::{Clock, Matcher, Scanner};
use crate::input::line_splitter::Region;
use crate::model::event::{ChannelId, Event, Meaning, RuleId};
use crate::model::time::Time;
use crate::rules::{Example, Rule, RuleSet};

/// The outcome of all examples.
#[derive(Debug)]
pub struct ExamplesOutcome {
    /// The number of examples.
    pub run: usize,
    /// Those that went wrong, where they stand in their files.
    pub wrong: Diagnostics,
}

/// Runs the examples of all rules, each line for itself.
///
/// # Errors
/// Returns an error if the rules are too large together.
pub fn run(rules: &Arc<RuleSet>) -> Result<ExamplesOutcome, PatternSetError> {
    let all: Vec<RuleId> = rules.iter().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(rules, &all)?);
    let mut outcome = ExamplesOutcome { run: 0, wrong: Diagnostics(Vec::new()) };
    for (id, rule) in rules.iter() {
        for example in &rule.examples {
            outcome.run += 1;
            let events: Vec<_> = read(&matcher, &example.line)
                .into_iter()
                .filter(|event| event.rule == id)
                .collect();
            outcome.wrong.0.extend(complaint(rules, rule, example, &events));
        }
    }
    Ok(outcome)
}

/// Reads one line by all rules.
fn read(matcher: &Arc<Matcher>, line: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let text = [line, b"\n"].concat();
    let region = Region::of(&text, 1);
    Scanner::new(Arc::clone(matcher), ChannelId(0)).scan(
        &region,
        &mut Clock::At(Time::default()),
        &mut events,
    );
    events
}

fn complaint(
    rules: &RuleSet,
    rule: &Rule,
    example: &Example,
    events: &[Event],
) -> Option<Diagnostic> {
    let found =
        events.iter().find(|event| event.meaning != Meaning::Tampered).map(|event| event.host);
    if found == example.host.map(crate::model::subject::canonical) {
        return None;
    }
    let message = match (example.host, found) {
        (Some(host), None) if events.is_empty() => {
            format!("rule `{}` does not match this line; it should find {host}", rule.id)
        }
        (Some(host), None) => {
            format!("rule `{}` finds two hosts in this line; it should find {host}", rule.id)
        }
        (Some(host), Some(found)) => {
            format!("rule `{}` finds {found} in this line; it should find {host}", rule.id)
        }
        (None, found) => {
            format!("rule `{}` finds {} in this line; it should not match", rule.id, found?)
        }
    };
    let file = rules.file_of(rule)?;
    Some(Diagnostic {
        path: file.path.clone(),
        source: Arc::clone(&file.source),
        span: example.span.clone(),
        message,
        help: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_rules_read_their_examples_right() {
        let rules = Arc::new(RuleSet::load(None).unwrap_or_else(|wrong| panic!("{wrong}")));
        let outcome = run(&rules).unwrap();
        assert!(outcome.wrong.0.is_empty(), "{}", outcome.wrong);
        // No line shows what is seen on the wire.
        for (_, rule) in rules.iter().filter(|(_, rule)| !rule.patterns.is_empty()) {
            let file = &rules.file_of(rule).unwrap().name;
            assert!(
                rule.examples.iter().any(|example| example.host.is_some()),
                "{file}/{}: no line that hits",
                rule.id
            );
            assert!(
                rule.examples.iter().any(|example| example.host.is_none()),
                "{file}/{}: no line that misses",
                rule.id
            );
        }
    }

    #[test]
    fn a_wrong_example_is_shown_where_it_is() {
        let text = r#"
[[rule]]
id = "no-entry"
failregex = '^door\.c: <HOST> knocked$'
class = "scan"
evidence = "unverified"
[[rule.example]]
line = "[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked"
host = "203.0.113.8"
[[rule.example]]
line = "[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocks"
host = "203.0.113.9"
[[rule.example]]
line = "[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked"
host = "none"
"#;
        let rules = RuleSet::parse(&[("mine.toml".into(), text.to_owned())]).unwrap();
        let outcome = run(&Arc::new(rules)).unwrap();
        let said = outcome.wrong.to_string();
        assert_eq!((outcome.run, outcome.wrong.0.len()), (3, 3));
        for words in [
            "mine.toml:8:8: ",
            "finds 203.0.113.9 in this line; it should find 203.0.113.8",
            "mine.toml:11:8",
            "does not match",
            "mine.toml:14:8",
            "should not match",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
