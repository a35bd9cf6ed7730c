//! What a person should look at, and what can be done about it.

use serde::Serialize;

use super::hosts::{BanSummary, Named};
use super::timeline::Timeline;
use super::{LONGEST_TEXT, Material, RuleNumbers, Span, Totals};
use crate::control::health::Check;
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::time::Time;
use crate::model::words::counted;
use crate::notify::words::plain;

/// Examples that a finding has.
const MOST_ITEMS: usize = 3;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// Hosts were banned from which an account had logged in before.
    BannedAfterLogin,
    /// Bans by hand never end.
    EndlessBans,
    /// Lines name two hosts.
    AmbiguousLines,
    /// Lines count for nothing, because a stranger may have written their address.
    UntrustedLines,
    /// Packets of banned hosts came through.
    BansWithoutEffect,
    /// It is not known which hosts are never banned: names did not resolve, or files could not be read.
    UnresolvedNames,
    /// Accounts logged in from networks that they never used.
    NewNetworks,
    /// Accounts fail where others are logged in, or many hosts guess at them.
    Accounts,
    /// The guard started, and had not said that it stopped.
    Crashes,
    /// Lines of logs were not read.
    LostLines,
    /// Something is wrong now.
    ProblemsNow,
    /// No daemon answers, so some of this is not known.
    NoDaemon,
    /// Attempts are not counted for as long as the report is about.
    ShortCounts,
}

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub what: FindingKind,
    /// How many.
    pub count: u64,
    /// The same in words.
    pub text: String,
    /// Examples: at most five.
    pub items: Vec<String>,
    /// What to do.
    pub todo: &'static str,
}

/// Returns what there is to look at, in the order of [`FindingKind`].
pub(super) fn findings(
    span: Span,
    material: &Material,
    timeline: &Timeline,
    bans: &BanSummary,
    rules: &[RuleNumbers],
    totals: &Totals,
) -> Vec<Finding> {
    let mut all = Vec::new();
    of_bans(bans, &mut all);
    of_lines(rules, totals, &mut all);
    of_events(span, &material.events, &mut all);
    of_guard(span, material, timeline, &mut all);
    all.sort_by_key(|finding| finding.what);
    all
}

fn finding(what: FindingKind, count: u64, text: String, todo: &'static str) -> Finding {
    Finding { what, count, text, items: Vec::new(), todo }
}

fn of_bans(bans: &BanSummary, all: &mut Vec<Finding>) {
    let named = |what, Named { count, names }: &Named, thing: &str, todo| Finding {
        items: names.clone(),
        ..finding(what, *count as u64, counted(*count, thing), todo)
    };
    if bans.logged_in.count > 0 {
        let todo = "asterguard explain HOST; if it is one of yours: asterguard unban HOST";
        let thing = "banned host";
        let found = named(FindingKind::BannedAfterLogin, &bans.logged_in, thing, todo);
        let text = format!("{} had logged in before", found.text);
        all.push(Finding { text, ..found });
    }
    if bans.endless.count > 0 {
        let todo = "asterguard unban HOST, if it is not needed any more";
        all.push(named(
            FindingKind::EndlessBans,
            &bans.endless,
            "ban by hand without an end",
            todo,
        ));
        if let Some(last) = all.last_mut().filter(|last| last.count != 1) {
            last.text = format!("{} bans by hand without an end", last.count);
        }
    }
}

fn of_lines(rules: &[RuleNumbers], totals: &Totals, all: &mut Vec<Finding>) {
    for (what, count, number, text, todo) in [
        (
            FindingKind::AmbiguousLines,
            totals.ambiguous,
            (|totals: &Totals| totals.ambiguous) as fn(&Totals) -> u64,
            "name two hosts: somebody tries to have others banned",
            "look at these lines: asterguard test --matched LOG",
        ),
        (
            FindingKind::UntrustedLines,
            totals.untrusted,
            |totals: &Totals| totals.untrusted,
            "count for nothing, because a stranger may have written their address",
            "let the guard see network traffic: docs/network-traffic.md",
        ),
    ] {
        if count > 0 {
            let mut told: Vec<_> = rules.iter().filter(|rule| number(&rule.numbers) > 0).collect();
            told.sort_by_key(|rule| std::cmp::Reverse(number(&rule.numbers)));
            let item = |rule: &&RuleNumbers| format!("{} × {}", number(&rule.numbers), rule.rule);
            let text = format!("{} {text}", counted(count, "line"));
            let items = told.iter().take(MOST_ITEMS).map(item).collect();
            all.push(Finding { items, ..finding(what, count, text, todo) });
        }
    }
}

/// Returns the last of some events, in words.
fn last<'a>(events: impl DoubleEndedIterator<Item = &'a GuardEvent>) -> (u64, Vec<String>) {
    let mut count = 0;
    let mut items = Vec::new();
    for event in events.rev() {
        count += 1;
        if items.len() < MOST_ITEMS {
            let text = plain(&event.text, LONGEST_TEXT);
            let seen = text.split("; do: ").next().unwrap_or_default();
            items.push(plain(&format!("{}: {seen}", event.at), 160));
        }
    }
    (count, items)
}

fn of_events(span: Span, events: &[GuardEvent], all: &mut Vec<Finding>) {
    let of_span = || events.iter().filter(|event| span.holds(event.at));
    let is_check = |event: &GuardEvent, check: Check| event.check.as_deref() == Some(check.name());
    let without_effect =
        of_span().filter(|event| is_check(event, Check::BanEffect) && event.host.is_some());
    let (count, items) = last(without_effect);
    if count > 0 {
        let text =
            format!("{} of bans without effect: packets came through", counted(count, "case"));
        let todo = "asterguard status says which ports to add";
        all.push(Finding { items, ..finding(FindingKind::BansWithoutEffect, count, text, todo) });
    }
    let (count, items) = last(of_span().filter(|event| event.kind == EventKind::Login));
    if count > 0 {
        let text = format!("{} from new networks", counted(count, "login"));
        let todo = "asterguard accounts; if it is right: asterguard accounts ack ACCOUNT";
        all.push(Finding { items, ..finding(FindingKind::NewNetworks, count, text, todo) });
    }
    let warned = of_span().filter(|event| {
        event.kind == EventKind::Health && event.check.is_none() && event.good == Some(false)
    });
    let (count, items) = last(warned);
    if count > 0 {
        let text = format!(
            "{} about accounts that fail, or that many guess at",
            counted(count, "warning")
        );
        let todo = "correct the phones, or give these accounts better names and passwords";
        all.push(Finding { items, ..finding(FindingKind::Accounts, count, text, todo) });
    }
}

fn of_guard(span: Span, material: &Material, timeline: &Timeline, all: &mut Vec<Finding>) {
    let crashes = timeline.crashes() as u64;
    if crashes > 0 {
        let starts = timeline.restarts.iter().filter(|restart| restart.down.is_none());
        let items = starts.rev().take(MOST_ITEMS).map(|at| Time::from_secs(at.time).to_string());
        let text = format!(
            "{} without a stop before: killed, or without power",
            counted(crashes, "start")
        );
        let found = finding(FindingKind::Crashes, crashes, text, "journalctl -u asterguard");
        all.push(Finding { items: items.collect(), ..found });
    }
    if timeline.gaps > 0 {
        let count = timeline.gaps as u64;
        let items = timeline.lost.iter().rev().take(MOST_ITEMS);
        let items = items.map(|lost| plain(&lost.text, 160)).collect();
        let text = format!("lines were not read in {}", counted(count, "gap"));
        let todo = "asterguard replay LOG shows which hosts these lines would have banned";
        all.push(Finding { items, ..finding(FindingKind::LostLines, count, text, todo) });
    }
    let Some(daemon) = &material.daemon else {
        let text = "no daemon answers: whether names resolve, how old feeds are, and what is wrong now is not known";
        all.push(finding(FindingKind::NoDaemon, 1, text.to_owned(), "asterguard status"));
        return short_counts(span, material, all);
    };
    let never_banned = Check::NeverBanned.name();
    let (unresolved, others): (Vec<_>, Vec<_>) =
        daemon.problems.iter().partition(|(check, _)| check == never_banned);
    for (what, problems, text, todo) in [
        (
            FindingKind::UnresolvedNames,
            unresolved,
            "of hosts that are never banned are not known: names that do not resolve, files that cannot be read",
            "asterguard status",
        ),
        (FindingKind::ProblemsNow, others, "now", "asterguard status says what to do"),
    ] {
        if !problems.is_empty() {
            let count = problems.len() as u64;
            let items =
                problems.iter().take(MOST_ITEMS).map(|(_, seen)| plain(seen, 160)).collect();
            let thing = if what == FindingKind::UnresolvedNames { "address" } else { "problem" };
            let number = match (what, count) {
                (FindingKind::UnresolvedNames, 2..) => format!("{count} addresses"),
                _ => counted(count, thing),
            };
            let text = format!("{number} {text}");
            all.push(Finding { items, ..finding(what, count, text, todo) });
        }
    }
    short_counts(span, material, all);
}

/// Says that the counts do not reach back as far as the report does.
fn short_counts(span: Span, material: &Material, all: &mut Vec<Finding>) {
    let text = match material.counted_since {
        Some(since) if since <= span.begin() => return,
        Some(since) => {
            format!("attempts and bans are counted since {since}: what was before is missing")
        }
        None => {
            "attempts were never counted here: what is below is of bans that are stored".to_owned()
        }
    };
    all.push(finding(FindingKind::ShortCounts, 1, text, "nothing; the next report has more"));
}
