//! `explain`: what is known of a host, and why it is banned or not.

use super::ban_snapshot::{self, Selection};
use super::status::named_ban;
use super::{one_host, without_effect};
use crate::control::explain::{
    ExplainRequest, HostReport, JailReport, KnownGoodReport, LineReport, RestsOn, SourceCount,
    StrangerReport,
};
use crate::control::geofence::Stopped;
use crate::control::{Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::engine::{Engine, Explanation};
use crate::decide::known_good::Standing;
use crate::decide::plan::Plan;
use crate::model::event::{Ban, Basis, ChannelId, Event, Meaning};
use crate::model::place::Place;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::clock::now;

/// Bans that are shown with what was dropped of them: reading that takes longer, the more are banned.
const NOT_COUNTED: usize = 0;
/// Lines that are shown.
const MOST_LINES: usize = 20;

pub(super) async fn answer(
    daemon: &Daemon,
    request: ExplainRequest,
) -> Result<HostReport, Problem> {
    let SubjectText(whom) = request.host;
    let whom = one_host(whom)?;
    let explain = move |core: &mut Core| {
        explain(&core.engine, whom, now(), |channel| core.reader.path_of(channel))
    };
    let report = daemon.engine.ask(explain).await?;
    // Who ordered them is in the state file, which may take a moment.
    let bans = ban_snapshot::take(daemon, Selection::Whom(whom)).await?;
    let bans = daemon.apart(move |kernel| bans.named(kernel, NOT_COUNTED)).await?;
    let place = daemon.places.get().place(report.host);
    Ok(HostReport { bans: Some(bans), place, ..report })
}

/// Returns what the engine knows of a host, or of one port of a host; `path` names the logs.
#[must_use]
pub fn explain(
    engine: &Engine,
    whom: Subject,
    now: Time,
    path: impl Fn(ChannelId) -> String,
) -> HostReport {
    let plan = engine.plan();
    let mut found = engine.explain(whom.address(), now, MOST_LINES);
    found.bans.retain(|ban| ban.subject.overlaps(&whom));
    let named = |ban: &Ban| named_ban(plan, ban, now);
    let is_free = found.protected.is_some() || found.known_good.is_some();
    let fence = plan.lists.geofence.as_ref().filter(|fence| !is_free && fence.stops(found.host));
    HostReport {
        host: found.host,
        port: whom.port(),
        network: found.subject.to_string(),
        place: Place::default(),
        bannable: found.bannable,
        protected: found.protected.as_ref().map(ToString::to_string),
        known_good: found.known_good.map(|standing| known_good(&standing, &path)),
        stranger: found.stranger.map(|failures| StrangerReport {
            account: failures.account.map(|account| account.to_string()),
            failures: failures.failures,
            since: failures.since.secs(),
        }),
        jails: jails(plan, &found, &path),
        bans: Some(found.bans.iter().map(named).collect()),
        observed: engine
            .observed()
            .iter()
            .filter(|ban| ban.subject.overlaps(&whom) || ban.subject == found.subject)
            .map(named)
            .collect(),
        guardedports: match &found.protected {
            Some(_) => Vec::new(),
            None => plan.config.lists.guardedports.clone(),
        },
        geofence: fence
            .map(|fence| Stopped { action: fence.countries.action, mode: fence.countries.mode }),
        without_effect: without_effect::list(
            plan,
            engine.without_effect().filter(|known| found.bans.contains(&known.ban)),
        ),
        lines: found.lines.iter().map(|event| line(plan, event, &path)).collect(),
    }
}

fn jails(plan: &Plan, found: &Explanation, path: impl Fn(ChannelId) -> String) -> Vec<JailReport> {
    let report = |standing: &crate::decide::engine::JailStanding| {
        let jail = plan.jail(standing.jail)?;
        Some(JailReport {
            jail: jail.name.clone(),
            mode: jail.mode,
            ignored_by: standing.ignored_by.clone(),
            count: jail.count,
            offences: standing.count.all,
            proven: standing.count.proven,
            maxretry: jail.maxretry,
            findtime: jail.findtime.as_secs(),
            sources: standing
                .channels
                .iter()
                .map(|(channel, count)| SourceCount { path: path(*channel), offences: count.all })
                .collect(),
        })
    };
    found.jails.iter().filter_map(report).collect()
}

pub(super) fn known_good(
    standing: &Standing,
    path: impl Fn(ChannelId) -> String,
) -> KnownGoodReport {
    KnownGoodReport {
        accounts: standing.accounts,
        failing: standing.failing,
        unknown: standing.unknown,
        login: standing.login.time.secs(),
        source: path(standing.login.channel),
        line: standing.login.line,
        until: standing.until.secs(),
        ended: standing.ended.map(Time::secs),
    }
}

fn rests_on(basis: Basis) -> RestsOn {
    match basis {
        Basis::Text => RestsOn::Text,
        Basis::Framed => RestsOn::Framed,
        Basis::Talked => RestsOn::Talked,
        Basis::Served => RestsOn::Served,
        Basis::Exchange(_) => RestsOn::Exchange,
        Basis::Beside(_) | Basis::Unmatched => RestsOn::Nothing,
    }
}

fn line(plan: &Plan, event: &Event, path: impl Fn(ChannelId) -> String) -> LineReport {
    let class = match event.meaning {
        Meaning::Offence(class) => Some(class),
        _ => None,
    };
    LineReport {
        time: event.time.secs(),
        host: event.host,
        source: path(event.channel),
        line: event.line,
        rule: plan.rule_name(event.rule).unwrap_or_default(),
        meaning: match event.meaning {
            Meaning::Offence(_) => "offence",
            Meaning::Success => "success",
            Meaning::Ignored => "ignored",
            Meaning::Tampered => "tampered",
        }
        .to_owned(),
        class,
        evidence: event.evidence,
        exchange: event.exchange(),
        rests_on: rests_on(event.basis),
    }
}
