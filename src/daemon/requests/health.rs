//! The checks of the guard's health: each looks at one thing, and says what to do.

use std::time::Duration;

use super::without_effect;
use crate::control::health::{Check, CheckResult};
use crate::control::status::{PauseStatus, SourceStatus, WireStatus};
use crate::daemon::engine_thread::Core;
use crate::daemon::engine_thread::log_reader::LET_READ;
use crate::daemon::firewall_thread::SinkHealth;
use crate::feeds::{ENABLE, FetchRecord};
use crate::model::pause::Pause;
use crate::model::remote_source::RemoteSource;
use crate::model::time::{HumanDuration, Time};
use crate::model::trouble::Trouble;
use crate::model::words::counted;
use crate::rules::pattern::Pattern;
use crate::sys::peer::Peer;

/// Lines after which it is certain what a log holds.
const FEW: u64 = 20;

/// Slow rules that are named.
const MOST_SLOW: usize = 5;

/// What a check looks at, and what it has found to be wrong.
type Look = fn(&Facts<'_>) -> Vec<Trouble>;

/// All checks, in the order of [`Check`], with what is said where nothing is wrong.
const CHECKS: [(Check, Look, &str); 25] = [
    (Check::Pause, pause, "dropping is not paused"),
    (Check::Nftables, nftables, "the kernel takes changes"),
    (Check::TableChanges, table_changes, "nobody fights for the table"),
    (Check::KernelSets, kernel_sets, "the kernel has taken every ban"),
    (Check::BanCount, ban_count, "there is room for more bans"),
    (Check::BanEffect, ban_effect, "no packet of a banned host came through lately"),
    (Check::Flood, flood, "no ban is withheld"),
    (Check::Logs, logs, "a log is being read"),
    (Check::LogAccess, log_access, "each log that is there can be read"),
    (Check::Ami, ami, "the manager interface tells its events, or is not asked"),
    (Check::LogFormat, log_format, "the logs hold what Asterisk writes"),
    (Check::Evidence, evidence, "what is seen can be believed"),
    (Check::Configuration, configuration, "the configuration on disk can be used"),
    (Check::TamperedLines, tampered_lines, "no line names two hosts"),
    (Check::FreeText, free_text, "no line stands right behind free text"),
    (Check::SlowRules, slow_rules, "no failregex took more steps than it may"),
    (Check::StateFile, state_file, "the state file can be written"),
    (Check::StateDamage, state_damage, "the state file is the one that was left"),
    (Check::Limiter, limiter, "the kernel's limiter has room"),
    (Check::Wire, wire, "the wire is available, or not wanted"),
    (Check::NeverBanned, never_banned, "the hosts that are never banned are known"),
    (Check::Lists, feeds, "the feeds are what their files say, and as fresh as they should be"),
    (Check::Notify, notify, "notifications are sent, or none are configured"),
    (Check::Geoip, geoip, "the databases of countries are what their files say, or there are none"),
    (Check::Fleet, fleet, "bans are shared with the fleet, or there is none"),
];

/// All that the checks look at.
pub(crate) struct Facts<'c> {
    core: &'c Core,
    pub(super) sink: SinkHealth,
    pub(super) sources: Vec<SourceStatus>,
    pub(super) wire: WireStatus,
    now: Time,
}

impl Core {
    /// Returns what there is to look at.
    pub(crate) fn facts(&self, now: Time) -> Facts<'_> {
        let sink = self.worker.health();
        let sources = self.reader.status(&self.engine.plan().rules, now);
        let wire = self.wire.status(&self.engine, sink.wire.as_ref());
        Facts { core: self, sink, sources, wire, now }
    }
}

impl Facts<'_> {
    /// Returns the results of all checks: those of one check stand together.
    pub(crate) fn checks(&self) -> Vec<CheckResult> {
        let results = CHECKS.iter().flat_map(|(check, look, well)| {
            let wrong = look(self);
            let well = wrong.is_empty().then(|| CheckResult::ok(*check, well));
            well.into_iter()
                .chain(wrong.into_iter().map(|trouble| CheckResult::problem(*check, trouble)))
        });
        results.collect()
    }
}

/// Returns the sum of a number of all files.
fn count(facts: &Facts<'_>, number: fn(&SourceStatus) -> u64) -> u64 {
    facts.sources.iter().map(number).sum()
}

/// Returns what is wrong with some of the files.
fn of_sources(
    facts: &Facts<'_>,
    concerned: fn(&SourceStatus) -> bool,
    trouble: fn(&SourceStatus) -> Trouble,
) -> Vec<Trouble> {
    facts.sources.iter().filter(|source| concerned(source)).map(trouble).collect()
}

fn pause(facts: &Facts<'_>) -> Vec<Trouble> {
    let trouble = |PauseStatus { jail, until, by }| {
        let end = until.map_or(Pause::Indefinite, |end| Pause::Until(Time::from_secs(end)));
        let by = by.map_or(String::new(), |by| format!(", ordered by {by}"));
        match jail {
            None => Trouble::new(format!("{end}{by}"), "asterguard resume"),
            Some(jail) => {
                let end = until.map_or("until `asterguard resume`".to_owned(), |end| {
                    format!("until {}", Time::from_secs(end))
                });
                Trouble::new(
                    format!("the bans of {jail} are not in force {end}{by}"),
                    format!("asterguard resume --jail {jail}"),
                )
            }
        }
    };
    facts.core.pauses().into_iter().map(trouble).collect()
}

fn nftables(facts: &Facts<'_>) -> Vec<Trouble> {
    let SinkHealth { error, pending, .. } = &facts.sink;
    let wrong = error.as_ref().map(|error| {
        Trouble::new(
            format!("{pending} bans wait for nftables: {error}"),
            "see that the guard may change nftables (`asterguard doctor`); it is tried again all the time",
        )
    });
    wrong.into_iter().collect()
}

fn table_changes(facts: &Facts<'_>) -> Vec<Trouble> {
    let wrong = facts.sink.fight.as_ref().map(|(deed, _)| {
        Trouble::new(
            format!(
                "{deed}, and did so again and again: the table is put back once a second at most"
            ),
            "stop that program, or have it leave table inet asterguard alone",
        )
    });
    wrong.into_iter().collect()
}

fn kernel_sets(facts: &Facts<'_>) -> Vec<Trouble> {
    let refused = facts.sink.refused;
    let wrong = (refused > 0).then(|| {
        Trouble::new(
            format!(
                "{refused} bans are not in force, because the kernel does not take them (a set is full?)"
            ),
            "see the reason in the log, and remove bans that are not needed; they are tried again all the time",
        )
    });
    wrong.into_iter().collect()
}

fn ban_count(facts: &Facts<'_>) -> Vec<Trouble> {
    let refused = facts.core.engine.refused();
    let wrong = (refused > 0).then(|| {
        Trouble::new(
            format!("{refused} bans were not entered: there are too many"),
            "shorten `bantime`, or remove bans that are not needed",
        )
    });
    wrong.into_iter().collect()
}

fn ban_effect(facts: &Facts<'_>) -> Vec<Trouble> {
    let engine = &facts.core.engine;
    without_effect::problems(engine.plan(), engine.without_effect(), facts.now)
}

fn flood(facts: &Facts<'_>) -> Vec<Trouble> {
    let most = facts.core.engine.plan().config.maxunverified;
    let wrong = facts.core.engine.floods().map(|(origin, since, withheld)| {
        Trouble::new(
            format!(
                "since {since}, {withheld} unverified bans by {origin} were withheld: more than {most} a minute are due, so source addresses are being forged; proven bans go on"
            ),
            "raise `maxunverified` if so many hosts do attack; else it ends by itself",
        )
    });
    wrong.collect()
}

fn logs(facts: &Facts<'_>) -> Vec<Trouble> {
    if facts.sources.iter().any(|source| source.state == "following") {
        return Vec::new();
    }
    let todo =
        "see the files in `asterguard status`, and write where Asterisk's logs are into `logpath`";
    vec![Trouble::new("no log file is being read", todo)]
}

fn log_access(facts: &Facts<'_>) -> Vec<Trouble> {
    let concerned =
        |source: &SourceStatus| !is_ami(source) && source.state.starts_with("unreadable");
    of_sources(facts, concerned, |source| {
        let change = if source.path.starts_with('/') {
            LET_READ
        } else {
            "do what this says, or take it out of `logpath`"
        };
        Trouble::new(format!("{} is {}", source.path, source.state), change)
    })
}

/// Whether a source is the manager interface.
fn is_ami(source: &SourceStatus) -> bool {
    RemoteSource::named(&source.path) == Ok(Some(RemoteSource::Ami))
}

fn ami(facts: &Facts<'_>) -> Vec<Trouble> {
    let concerned =
        |source: &SourceStatus| is_ami(source) && source.state.starts_with("unreadable");
    of_sources(facts, concerned, |SourceStatus { state, .. }| {
        // Its helper says both.
        let why = state.strip_prefix("unreadable: ").unwrap_or(state);
        let (seen, todo) = why.split_once("; do: ").unwrap_or((why, "asterguard doctor"));
        Trouble::new(format!("no events of the manager interface: {seen}"), todo)
    })
}

fn log_format(facts: &Facts<'_>) -> Vec<Trouble> {
    let concerned = |source: &SourceStatus| source.lines >= FEW && !source.recognized;
    of_sources(facts, concerned, |SourceStatus { path, lines, .. }| {
        let see = match RemoteSource::named(path) {
            Ok(Some(RemoteSource::Journal(_))) => "journalctl".to_owned(),
            _ => format!("asterguard test {path}"),
        };
        Trouble::new(
            format!("{path}: {lines} lines, and not one as Asterisk writes them"),
            format!("see `{see}`, and write the right log into `logpath`"),
        )
    })
}

fn evidence(facts: &Facts<'_>) -> Vec<Trouble> {
    let (hits, hearsay) =
        (count(facts, |source| source.hits), count(facts, |source| source.hearsay));
    let blind = !facts.wire.state.starts_with("listening");
    let wrong = (hits >= FEW && hearsay == hits && blind).then(|| {
        Trouble::new(
            format!("none of {hits} lines about attempts can be believed, and nothing else is seen"),
            "let Asterisk write `messages => notice,warning,error`, or switch the wire on: `enabled = true` below [wire]",
        )
    });
    wrong.into_iter().collect()
}

fn configuration(facts: &Facts<'_>) -> Vec<Trouble> {
    let wrong = facts.core.unusable.as_ref().map(|why| {
        Trouble::new(
            format!("the configuration on disk cannot be used, so the guard would not start again: {why}"),
            "correct it; `asterguard check` shows the place",
        )
    });
    wrong.into_iter().collect()
}

fn tampered_lines(facts: &Facts<'_>) -> Vec<Trouble> {
    of_sources(
        facts,
        |source| source.tampered > 0,
        |source| {
            Trouble::new(
                format!(
                    "{} lines in {} name two hosts: somebody tries to have others banned ({})",
                    source.tampered,
                    source.path,
                    source.tampered_rules()
                ),
                "look at these lines, and ban who sent them (`asterguard ban HOST`); they ban nobody by themselves",
            )
        },
    )
}

fn free_text(facts: &Facts<'_>) -> Vec<Trouble> {
    of_sources(
        facts,
        |source| source.free_text,
        |source| {
            Trouble::new(
                format!(
                    "{} holds VERBOSE or DEBUG lines, and lines right behind them (within 8192 bytes, while the log does not rest for a second) cannot be trusted",
                    source.path
                ),
                "let Asterisk write `messages => notice,warning,error` and `security => security` and read those",
            )
        },
    )
}

fn slow_rules(facts: &Facts<'_>) -> Vec<Trouble> {
    let rules = &facts.core.engine.plan().rules;
    let slow = rules.iter().filter_map(|(id, rule)| {
        let lines: u64 = rule.patterns.iter().map(Pattern::given_up).sum();
        let name = rules.name_of(id).filter(|_| lines > 0)?;
        Some(Trouble::new(
            format!("{name} was given up in {}: they count as not matched", counted(lines, "line")),
            "write its failregex without look-around, back-references or stars in stars (docs/rules.md)",
        ))
    });
    slow.take(MOST_SLOW).collect()
}

fn state_file(facts: &Facts<'_>) -> Vec<Trouble> {
    let wrong = facts.core.recorder.error().map(|error| {
        Trouble::new(
            format!(
                "nothing is stored, so a restart would know only what the kernel holds: {error}"
            ),
            "make room, or let the guard's user write there; it is tried again every two seconds",
        )
    });
    wrong.into_iter().collect()
}

fn state_damage(facts: &Facts<'_>) -> Vec<Trouble> {
    let todo = "find out who or what did that; it is a problem until the next start";
    facts.core.recorder.notice().map(|notice| Trouble::new(notice, todo)).into_iter().collect()
}

fn limiter(facts: &Facts<'_>) -> Vec<Trouble> {
    let wrong = facts.wire.limiter.full.then(|| {
        Trouble::new(
            "a set of the kernel's limiter is full, so that it finds no other: source addresses are being forged",
            "have your provider drop forged packets, if that lasts; bans go on without the limiter",
        )
    });
    wrong.into_iter().collect()
}

fn wire(facts: &Facts<'_>) -> Vec<Trouble> {
    let wrong = facts.wire.trouble.as_ref().filter(|_| facts.wire.state == "not available");
    let wrong = wrong.map(|why| {
        Trouble::new(
            format!("the wire is not available: {why}; only the logs are"),
            "repair that (in a container: CAP_NET_ADMIN, and nfnetlink_log loaded on the host), or write `enabled = false` below [wire]",
        )
    });
    wrong.into_iter().collect()
}

fn never_banned(facts: &Facts<'_>) -> Vec<Trouble> {
    facts.core.engine.ignored().problems.clone()
}

fn feeds(facts: &Facts<'_>) -> Vec<Trouble> {
    let (plan, records) = (facts.core.engine.plan(), facts.core.fetched.get());
    let mut wrong: Vec<_> = plan.lists.problems().collect();
    for feed in plan.lists.feeds.iter().filter(|feed| feed.is_fetched && feed.problem.is_none()) {
        let Some(fetch) = plan.config.lists.fetch(&feed.name) else { continue };
        let record = records.get(&feed.name).cloned().unwrap_or_default();
        wrong.extend(stale(&feed.name, &record, fetch.every, facts.now));
    }
    wrong
}

/// Returns what is wrong with a feed that is older than it should be.
fn stale(name: &str, record: &FetchRecord, every: Duration, now: Time) -> Option<Trouble> {
    if !record.is_stale(every, now) {
        return None;
    }
    let every = HumanDuration(every);
    let age = match record.fetched {
        Some(fetched) => format!("was fetched last at {}", Time::from_secs(fetched)),
        None => "was never fetched".to_owned(),
    };
    let why = match &record.error {
        Some(error) => format!(": {error}"),
        None => String::new(),
    };
    let todo = record.todo.clone().unwrap_or_else(|| ENABLE.to_owned());
    Some(Trouble::new(format!("feed {name} {age}, and not every {every}{why}"), todo))
}

fn geoip(facts: &Facts<'_>) -> Vec<Trouble> {
    let todo = "put a whole MMDB file there, or take it out of `files` below [geoip]";
    let places = facts.core.events.places();
    places.problems().map(|seen| Trouble::new(seen, todo)).collect()
}

fn notify(facts: &Facts<'_>) -> Vec<Trouble> {
    let wanted = &facts.core.engine.plan().config.notify;
    match &facts.core.events.notify {
        _ if wanted.is_empty() => Vec::new(),
        Some(link) => link.troubles(),
        None => vec![started_without("nobody is told anything", Peer::Notify)],
    }
}

fn fleet(facts: &Facts<'_>) -> Vec<Trouble> {
    let (plan, core) = (facts.core.engine.plan(), facts.core);
    match &core.fleet {
        _ if plan.config.fleet.is_none() || core.dry_run => Vec::new(),
        Some(link) => link.troubles(),
        None => vec![started_without("no bans are shared with the fleet", Peer::Fleet)],
    }
}

/// Returns the trouble that a process of ours is wanted, and the guard does not know where it is.
fn started_without(so: &str, peer: Peer) -> Trouble {
    let (option, unit) = (peer.option(), peer.unit());
    Trouble::new(
        format!("{so}: the guard was started without {option}"),
        format!("start the guard with {option} and the socket of {unit}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_one_place_and_one_name() {
        let order: Vec<_> = CHECKS.iter().map(|(check, ..)| *check).collect();
        assert!(order.is_sorted_by(|one, next| one < next), "{order:?}");
        // The last one is the last: none is missing.
        assert_eq!(order.last().map(|check| *check as usize), Some(CHECKS.len() - 1));
        for check in order {
            assert_eq!(serde_json::to_value(check).unwrap(), check.name());
        }
    }
}
