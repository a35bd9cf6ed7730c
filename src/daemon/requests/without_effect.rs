//! Bans without effect, in words, and what is to be done about them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::control::status::IneffectiveBan;
use crate::decide::plan::Plan;
use crate::model::event::{Remedy, ScopeId, WithoutEffect};
use crate::model::scope::{Ports, merged, toml_range};
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::model::words::counted;

/// The time for which a ban is a problem after its host's last packet came through: what let that through will
/// let others through.
const SHOWN: Duration = Duration::from_secs(24 * 3600);
/// Bans that are listed.
const MOST_LISTED: usize = 64;
/// Hosts that one problem names.
const MOST_NAMED: usize = 4;

/// Returns a ban without effect in words, for the log.
pub(crate) fn in_words(plan: &Plan, found: &WithoutEffect) -> String {
    let WithoutEffect { ban, port, packets, since, outcome, .. } = found;
    format!(
        "The ban of {} ({} ports, {}) has no effect: {} to port {port} came through since {since}; {}. {}",
        ban.subject,
        scope_name(plan, ban.scope),
        ban.evidence,
        counted(*packets, "packet"),
        outcome.in_words(),
        advice(plan, ban.scope, *port)
    )
}

/// Returns the bans that are listed, those with the last packets first.
pub(super) fn list(plan: &Plan, found: impl Iterator<Item = WithoutEffect>) -> Vec<IneffectiveBan> {
    let mut all: Vec<_> = found.collect();
    all.sort_by_key(|found| std::cmp::Reverse(found.last));
    all.iter().take(MOST_LISTED).map(|found| report(plan, found)).collect()
}

/// Returns the problems that there are at `now`, one for each port that packets come to.
pub(super) fn problems(
    plan: &Plan,
    found: impl Iterator<Item = WithoutEffect>,
    now: Time,
) -> Vec<Trouble> {
    let mut ports: BTreeMap<(ScopeId, u16), Vec<WithoutEffect>> = BTreeMap::new();
    for found in found.filter(|found| now.since(found.last) < SHOWN) {
        ports.entry((found.ban.scope, found.port)).or_default().push(found);
    }
    let problem = |((scope, port), found): ((ScopeId, u16), Vec<WithoutEffect>)| {
        let packets: u64 = found.iter().map(|found| found.packets).sum();
        let hosts: Vec<_> = found
            .iter()
            .take(MOST_NAMED)
            .map(|found| format!("{} ({})", found.ban.subject, in_a_word(found.outcome)))
            .collect();
        let others = match found.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            others => format!(" and {}", counted(others, "other")),
        };
        let seen = format!(
            "{} of {} ports had no effect, {} to port {port} came through: {}{others}",
            counted(found.len(), "ban"),
            scope_name(plan, scope),
            counted(packets, "packet"),
            hosts.join(", ")
        );
        Trouble::new(seen, advice(plan, scope, port))
    };
    ports.into_iter().map(problem).collect()
}

fn report(plan: &Plan, found: &WithoutEffect) -> IneffectiveBan {
    let WithoutEffect { ban, port, packets, since, last, outcome } = found;
    IneffectiveBan {
        host: ban.subject.to_string(),
        jail: plan.jail(ban.jail).map_or_else(String::new, |jail| jail.name.clone()),
        scope: scope_name(plan, ban.scope).to_owned(),
        port: *port,
        packets: *packets,
        since: since.secs(),
        last: last.secs(),
        outcome: *outcome,
        advice: advice(plan, ban.scope, *port),
    }
}

fn scope_name(plan: &Plan, scope: ScopeId) -> &str {
    plan.structure.scope(scope).map_or("?", |scope| &scope.name)
}

fn in_a_word(outcome: Remedy) -> &'static str {
    match outcome {
        Remedy::Widened => "all ports are closed to it now",
        Remedy::Unverified => "unverified",
        Remedy::ByHand => "by hand",
        Remedy::Unchanged => "goes on",
    }
}

/// Returns what an administrator is to do where packets come to a port in spite of bans of this scope.
fn advice(plan: &Plan, scope: ScopeId, port: u16) -> String {
    let Some(scope) = plan.structure.scope(scope) else { return String::new() };
    let name = &scope.name;
    let Ports::Ranges(ranges) = &scope.ports else {
        return "Something has changed the rules of table inet asterguard: asterguard verify --repair".to_owned();
    };
    if scope.ports.contain(port) {
        return format!(
            "The bans close port {port}, but another port leads there (Docker, DNAT): find it (docker ps; nft list ruleset | grep dnat) and add it to `{name}` below [ports]"
        );
    }
    let ports: Vec<_> =
        merged(ranges.iter().copied().chain([(port, port)])).into_iter().map(toml_range).collect();
    format!(
        "Asterisk listens at port {port}, which these bans do not close: write {name} = [{}] below [ports]",
        ports.join(", ")
    )
}
