//! What a test of many lines comes to: how many were matched, by which rules, in which forms, and whom they name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::super::line_forms::{FormCount, LineForms};
use super::super::output::Output;
use super::super::text::wrapped;
use super::hosts::NamedHosts;
use super::lines::Kind;
use super::verdict::{LineVerdict, Verdict};
use crate::decide::plan::Plan;
use crate::detect::line_form::{DateForm, Form};
use crate::model::event::{Class, Event, Evidence, Meaning, RuleId};

/// Hosts that are told.
const MOST_TOLD: usize = 10;

/// Counts of lines. It grows with the number of rules, not with that of lines.
#[derive(Debug, Default)]
pub struct Summary {
    /// All lines, those too that were too long to be read.
    pub lines: u64,
    offences: u64,
    hearsay: u64,
    successes: u64,
    ignored: u64,
    tampered: u64,
    missed: u64,
    /// Lines of 8000 bytes or more, which no rule reads.
    pub oversized: u64,
    rules: BTreeMap<(RuleId, Verdict, Evidence), u64>,
    hosts: NamedHosts,
}

/// The last object of a test.
#[derive(Debug, Serialize)]
struct Told<'a> {
    lines: u64,
    offences: u64,
    hearsay: u64,
    successes: u64,
    ignored: u64,
    tampered: u64,
    missed: u64,
    other_levels: u64,
    unknown: u64,
    oversized: u64,
    rules: Vec<RuleCount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unused: Option<Vec<String>>,
    line_formats: Vec<FormCount<Form>>,
    date_formats: Vec<FormCount<DateForm>>,
    hosts: Vec<HostCount>,
    /// The lines that a host may have been named in beside those that are counted.
    hosts_uncounted: u64,
    left_out: &'a BTreeMap<Kind, u64>,
}

/// How many lines a rule hit, with which outcome.
#[derive(Debug, Serialize)]
struct RuleCount<'a> {
    filter: &'a str,
    rule: &'a str,
    verdict: Verdict,
    class: Option<Class>,
    evidence: Evidence,
    lines: u64,
}

#[derive(Debug, Serialize)]
struct HostCount {
    host: IpAddr,
    lines: u64,
}

/// What a summary is told of.
pub struct Subject<'a> {
    pub plan: &'a Plan,
    pub forms: &'a LineForms,
    /// What was not printed because there was too much of it.
    pub left_out: &'a BTreeMap<Kind, u64>,
    /// The rules that were tried.
    pub rules: Vec<RuleId>,
    /// Whether the rules without a hit are named, too.
    pub verbose: bool,
    /// What was read, if no line of it is known to be one of Asterisk's.
    pub unrecognized: Option<String>,
}

impl Summary {
    /// Counts a line, of which this is the verdict and the event that led to it; `missed`: rules read it, and none hit.
    pub fn note(&mut self, said: &LineVerdict<'_>, event: Option<&Event>, missed: bool) {
        self.lines += 1;
        match said.verdict {
            Verdict::Offence => self.offences += 1,
            Verdict::Tampered => self.tampered += 1,
            Verdict::Ignored => self.ignored += 1,
            Verdict::Success => self.successes += 1,
            Verdict::None => self.missed += u64::from(missed),
        }
        let Some(event) = event else { return };
        *self.rules.entry((event.rule, said.verdict, event.evidence)).or_default() += 1;
        if said.verdict == Verdict::Offence {
            self.hearsay += u64::from(event.evidence == Evidence::Hearsay);
            self.hosts.add(event.host);
        }
    }

    /// Whether a rule hit a line.
    pub fn has_hits(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Prints it.
    pub fn print(&self, of: &Subject<'_>, output: &Output) {
        if output.json {
            output.object(&serde_json::json!({ "summary": self.told(of) }));
            return;
        }
        self.print_counts(of, output);
        self.print_rules(of, output);
        print_forms(of.forms, output);
        self.print_hosts(output);
        for (kind, lines) in of.left_out.iter().filter(|(_, lines)| **lines > 0) {
            let words = format!(
                "{lines} more {} were not printed: `--limit N` prints more, `--limit all` all",
                kind.lines()
            );
            output.line(wrapped(&words, 2));
        }
        if let Some(file) = &of.unrecognized {
            output.line(file);
        }
    }

    fn told<'a>(&self, of: &Subject<'a>) -> Told<'a> {
        Told {
            lines: self.lines,
            offences: self.offences,
            hearsay: self.hearsay,
            successes: self.successes,
            ignored: self.ignored,
            tampered: self.tampered,
            missed: self.missed,
            other_levels: of.forms.other_levels,
            unknown: of.forms.unknown,
            oversized: self.oversized,
            rules: self.rule_counts(of.plan),
            unused: of.verbose.then(|| self.unused(of)),
            line_formats: of.forms.forms(),
            date_formats: of.forms.dates(),
            hosts: self
                .hosts
                .top(MOST_TOLD)
                .into_iter()
                .map(|(host, lines)| HostCount { host, lines })
                .collect(),
            hosts_uncounted: self.hosts.taken_off,
            left_out: of.left_out,
        }
    }

    /// The rules that hit lines, most lines first.
    fn rule_counts<'a>(&self, plan: &'a Plan) -> Vec<RuleCount<'a>> {
        let count = |((id, verdict, evidence), lines): (&(RuleId, Verdict, Evidence), &u64)| {
            let rule = plan.rules.get(*id)?;
            let class = match rule.meaning {
                Meaning::Offence(class) => Some(class),
                _ => None,
            };
            let filter = plan.rules.file_of(rule).map_or("", |file| &file.name);
            let (verdict, evidence, lines) = (*verdict, *evidence, *lines);
            Some(RuleCount { filter, rule: &rule.id, verdict, class, evidence, lines })
        };
        let mut counts: Vec<_> = self.rules.iter().filter_map(count).collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.lines));
        counts
    }

    /// The names of the rules that were tried and hit no line.
    fn unused(&self, of: &Subject<'_>) -> Vec<String> {
        let used: BTreeSet<_> = self.rules.keys().map(|(id, ..)| *id).collect();
        let unused = of.rules.iter().filter(|id| !used.contains(id));
        unused.filter_map(|id| of.plan.rules.name_of(*id)).collect()
    }

    fn print_counts(&self, of: &Subject<'_>, output: &Output) {
        let matched = self.offences + self.successes;
        let row = |label: &str, count: u64, words: &str| {
            let share = percent(count, self.lines);
            let row = format!("  {label:<14}{count:>10}  {share:>7}  {words}");
            output.line(row.trim_end());
        };
        output.line(format_args!("{:<16}{:>10}", "Lines", self.lines));
        let logins = self.successes;
        row("matched", matched, &format!("of these {logins} logins, {} hearsay", self.hearsay));
        row("ignored", self.ignored, "harmless, or of hosts that are never banned");
        row("missed", self.missed, "read by rules, and none hit (--missed)");
        let more = [
            ("tampered", self.tampered, "may name two hosts, so they count for none"),
            ("other levels", of.forms.other_levels, "VERBOSE and the like: no rule reads them"),
            ("unknown", of.forms.unknown, "not Asterisk's, or the rest of a message"),
            ("too long", self.oversized, "8000 bytes or more: no rule reads them"),
        ];
        for (label, count, words) in more.into_iter().filter(|(_, count, _)| *count > 0) {
            row(label, count, words);
        }
    }

    fn print_rules(&self, of: &Subject<'_>, output: &Output) {
        let counts = self.rule_counts(of.plan);
        if !counts.is_empty() {
            output.line("\nRules");
            output.line(format_args!("{:>9}  {:<9} {:<10} RULE", "LINES", "CLASS", "EVIDENCE"));
        }
        for RuleCount { filter, rule, verdict, class, evidence, lines } in counts {
            let class = match (verdict, class) {
                (Verdict::Offence, Some(class)) => {
                    Class::ALL.iter().find(|(known, _)| *known == class).map_or("", |(_, n)| n)
                }
                (Verdict::Tampered, _) => "TAMPERED",
                (Verdict::Success, _) => "success",
                _ => "ignored",
            };
            let evidence = evidence.to_string();
            output.line(format_args!("{lines:>9}  {class:<9} {evidence:<10} {filter}/{rule}"));
        }
        if of.verbose {
            let unused = self.unused(of);
            if !unused.is_empty() {
                output.line("\nRules without a hit");
            }
            for name in unused {
                output.line(format_args!("  {name}"));
            }
        }
    }

    fn print_hosts(&self, output: &Output) {
        let top = self.hosts.top(MOST_TOLD);
        if top.is_empty() {
            return;
        }
        output.line(if self.hosts.taken_off == 0 {
            "\nHosts named most".to_owned()
        } else {
            format!("\nHosts named most (each in up to {} lines more)", self.hosts.taken_off)
        });
        output.line(format_args!("{:>9}  HOST", "LINES"));
        for (host, lines) in top {
            output.line(format_args!("{lines:>9}  {host}"));
        }
    }
}

fn print_forms(forms: &LineForms, output: &Output) {
    let (lines, dates) = (forms.forms(), forms.dates());
    if !lines.is_empty() {
        output.line("\nForms of lines");
        output.line(format_args!("{:>9}  {:<35}  FIRST", "LINES", "FORM"));
    }
    for count in lines {
        output.line(count.row(count.format.sample()));
    }
    if !dates.is_empty() {
        output.line("\nDates");
        output.line(format_args!("{:>9}  {:<35}  FIRST", "LINES", "FORMAT"));
    }
    for count in dates {
        output.line(count.row(count.format.sample()));
    }
}

/// A share of lines: `12.5 %`.
fn percent(count: u64, lines: u64) -> String {
    let tenths = if lines == 0 { 0 } else { u128::from(count) * 1000 / u128::from(lines) };
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact_and_of_nothing_none() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!(percent(0, 0), "0.0 %");
    }
}
