//! The verdict of the rules on a line.

use serde::Serialize;

use super::super::text::printable;
use crate::decide::plan::Plan;
use crate::decide::policy;
use crate::detect::line_form;
use crate::model::event::{Class, Event, Evidence, Meaning};
use crate::model::subject::bannable;

/// The verdict of the rules on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Offence,
    Tampered,
    Success,
    Ignored,
    None,
}

#[derive(Debug, Serialize)]
pub struct LineVerdict<'a> {
    pub line: u64,
    pub verdict: Verdict,
    pub host: Option<std::net::IpAddr>,
    pub filter: Option<&'a str>,
    pub rule: Option<&'a str>,
    pub class: Option<Class>,
    pub evidence: Option<Evidence>,
    /// Whether it looks like a line that Asterisk writes, or that a rule is for.
    pub recognized: bool,
}

/// Returns what the rules make of the line `text`, of which these are the `events`.
pub fn verdict<'a>(plan: &'a Plan, line: u64, text: &[u8], events: &[Event]) -> LineVerdict<'a> {
    let recognized = line_form::read(text, &plan.tags(), &mut Vec::new()).is_some();
    judged(plan, line, recognized, events.first())
}

/// Returns what a rule makes of a line, of which this is the event; `recognized`: whether Asterisk begins lines so.
pub fn judged<'a>(
    plan: &'a Plan,
    line: u64,
    recognized: bool,
    event: Option<&Event>,
) -> LineVerdict<'a> {
    let nothing = LineVerdict {
        line,
        verdict: Verdict::None,
        host: None,
        filter: None,
        rule: None,
        class: None,
        evidence: None,
        recognized: recognized || event.is_some(),
    };
    let Some(event) = event else { return nothing };
    let Some(rule) = plan.rules.get(event.rule) else { return nothing };
    let class = match rule.meaning {
        Meaning::Offence(class) => Some(class),
        _ => None,
    };
    let verdict = match event.meaning {
        Meaning::Offence(_) if is_ignored(plan, event) => Verdict::Ignored,
        Meaning::Offence(_) => Verdict::Offence,
        Meaning::Success => Verdict::Success,
        Meaning::Ignored => Verdict::Ignored,
        Meaning::Tampered => Verdict::Tampered,
    };
    LineVerdict {
        verdict,
        host: (verdict != Verdict::Tampered).then_some(event.host),
        filter: plan.rules.file_of(rule).map(|file| file.name.as_str()),
        rule: Some(&rule.id),
        class,
        evidence: Some(event.evidence),
        ..nothing
    }
}

/// Whether no jail would ever ban the host for it.
pub fn is_ignored(plan: &Plan, event: &Event) -> bool {
    let mut jails =
        plan.counted_by(event.rule).iter().filter_map(|jail| plan.jail(*jail)).peekable();
    if jails.peek().is_none() {
        return !bannable(event.host);
    }
    jails.all(|jail| policy::ignored(jail, event.host))
}

/// Formats a verdict for people, with the line escaped: its bytes are somebody else's.
pub fn in_words(said: &LineVerdict<'_>, line: &[u8]) -> String {
    format!("{}\n    {}", headline(said), printable(line))
}

/// Formats a verdict alone.
pub fn headline(said: &LineVerdict<'_>) -> String {
    let word = match said.verdict {
        Verdict::Offence => "offence",
        Verdict::Tampered => "TAMPERED",
        Verdict::Success => "success",
        Verdict::Ignored => "ignored",
        Verdict::None => return format!("{}: no rule matches", said.line),
    };
    let host = said.host.map_or("two hosts".to_owned(), |host| host.to_string());
    let evidence = said.evidence.map_or(String::new(), |evidence| evidence.to_string());
    format!(
        "{}: {word} {host} {evidence} {}/{}",
        said.line,
        said.filter.unwrap_or_default(),
        said.rule.unwrap_or_default(),
    )
}
