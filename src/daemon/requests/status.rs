//! `status`: the state of the guard, its files and its jails.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ban_snapshot::{self, Selection, Snapshot};
use super::health::Facts;
use super::{jail_named, without_effect};
use crate::control::Problem;
use crate::control::banned::{BanStatus, NamedBan};
use crate::control::geofence::FenceStatus;
use crate::control::health::CheckResult;
use crate::control::list::FetchStatus;
use crate::control::status::{
    Detail, FeedStatus, Health, JailStatus, LoginStatus, PastError, PauseStatus, SinkStatus,
    Status, StatusRequest, TargetedStatus,
};
use crate::daemon::engine_thread::Core;
use crate::daemon::engine_thread::sip_channel;
use crate::daemon::firewall_thread::SinkHealth;
use crate::daemon::{Daemon, Kernel};
use crate::decide::plan::Plan;
use crate::geo::Databases;
use crate::hosts::exempt::IgnoreList;
use crate::model::event::{Ban, JailId, Targeted};
use crate::model::place::Place;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::clock::now;

/// Logins within this time say that the phones are well.
const LATELY: Duration = Duration::from_secs(300);
/// Hosts that are named, where there may be many.
const MOST_NAMED: usize = 16;

/// Bans that a status has the counters of; see [`super::banned`]. It is asked for all the time.
const MOST_COUNTED: usize = 20_000;

pub(super) async fn answer(daemon: &Daemon, request: StatusRequest) -> Result<Status, Problem> {
    let StatusRequest { jail, detail } = request;
    let selection = jail.clone().map_or(Selection::All, Selection::Jail);
    let mut status = daemon.engine.ask(move |core| core.status(jail.as_deref())).await??;
    match detail {
        Detail::Brief => Ok(status),
        Detail::Full => {
            let snapshot = ban_snapshot::take(daemon, selection).await?;
            let fill = move |kernel: &Kernel| {
                fill(&mut status, snapshot, kernel);
                status
            };
            daemon.apart(fill).await
        }
    }
}

/// Fills the bans into a status.
fn fill(status: &mut Status, snapshot: Snapshot, kernel: &Kernel) {
    for NamedBan { jail, ban } in snapshot.named(kernel, MOST_COUNTED) {
        if let Some(known) = status.jails.iter_mut().find(|known| known.jail == jail) {
            known.banned.push(ban);
        }
    }
}

impl Core {
    /// Returns the state of the guard, with one jail or all, without its bans.
    pub(super) fn status(&self, jail: Option<&str>) -> Result<Status, Problem> {
        let plan = self.engine.plan();
        let only = jail_named(plan, jail)?;
        let now = now();
        let facts = self.facts(now);
        let checks = facts.checks();
        let Facts { sink, sources, wire, .. } = facts;
        let problems: Vec<_> =
            checks.iter().filter(|result| result.is_problem()).map(CheckResult::in_words).collect();
        let paused = self.pauses();
        let without_section = [plan.manual(), plan.fleet()];
        let idle = |id: JailId| without_section.contains(&id) && self.engine.bans().count(id) == 0;
        let shown = plan.jails().filter(|(id, _)| only.map_or(!idle(*id), |only| only == *id));
        Ok(Status {
            health: Health::of(&paused, &problems),
            problems,
            checks,
            geofence: plan.lists.geofence.as_ref().map(FenceStatus::from),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            dry_run: self.dry_run,
            paused_until: self.paused.end().map(Time::secs),
            hosts_banned: self.engine.bans().hosts(),
            paused,
            jails: shown.filter_map(|(id, jail)| self.jail_status(id, jail, now)).collect(),
            sources,
            wire,
            never_banned: never_banned(plan, self.engine.ignored()),
            queue: sink.pending,
            without_effect: without_effect::list(plan, self.engine.without_effect()),
            logins: self.logins(now),
            targeted: self.targeted(),
            sinks: vec![sink_status(self.sink, &sink)],
            store: self.recorder.status(now),
            notify: self.events.notify.as_ref().map(|link| link.status()).unwrap_or_default(),
            feeds: self.feeds(),
            fleet: self.fleet_summary(),
        })
    }

    /// Returns the feeds that are fetched.
    pub(super) fn feeds(&self) -> Vec<FeedStatus> {
        let (plan, records) = (self.engine.plan(), self.fetched.get());
        let feeds = plan.lists.feeds.iter().filter_map(|feed| {
            let fetch = plan.config.lists.fetch(&feed.name)?;
            let record = records.get(&feed.name).cloned().unwrap_or_default();
            let fetch = FetchStatus::new(fetch, &record);
            Some(FeedStatus { feed: feed.name.clone(), networks: feed.networks.len(), fetch })
        });
        feeds.collect()
    }

    /// Returns the hosts that have logged in, and those of them that a ban keeps out.
    fn targeted(&self) -> Vec<TargetedStatus> {
        let targeted = self.engine.targeted();
        let told = targeted.iter().map(|Targeted { account, hosts, since }| TargetedStatus {
            account: account.to_string(),
            hosts: *hosts,
            since: since.secs(),
        });
        told.collect()
    }

    fn logins(&self, now: Time) -> LoginStatus {
        let (logins, bans) = (self.engine.logins(), self.engine.bans());
        // There may be very many bans, but the number of logins is bounded.
        let bans_of = |host: &Subject| (*host, bans.of(*host).count());
        let mut banned: Vec<_> = logins.hosts().map(bans_of).filter(|(_, n)| *n > 0).collect();
        banned.sort_unstable();
        LoginStatus {
            last: logins.last().map(|(_, time)| time.secs()),
            ago: logins.last().map(|(_, time)| now.since(time).as_secs()),
            host: logins.last().map(|(host, _)| host.to_string()),
            total: logins.total(),
            lately: logins.within(LATELY, now),
            banned: banned.iter().map(|(_, bans)| bans).sum(),
            banned_hosts: banned
                .iter()
                .take(MOST_NAMED)
                .map(|(host, _)| host.to_string())
                .collect(),
        }
    }

    /// Returns the pauses in force: that of all jails, and those of single ones.
    pub(super) fn pauses(&self) -> Vec<PauseStatus> {
        let pauses = &self.orders.pauses;
        let whole = pauses.iter().find(|pause| pause.jail.is_none());
        let whole = self.paused.is_on().then(|| PauseStatus {
            jail: None,
            until: self.paused.end().map(Time::secs),
            by: whole.map(|pause| pause.by.clone()),
        });
        let single = pauses.iter().filter(|pause| pause.jail.is_some()).map(|pause| PauseStatus {
            jail: pause.jail.clone(),
            until: pause.until.map(Time::secs),
            by: Some(pause.by.clone()),
        });
        whole.into_iter().chain(single).collect()
    }

    /// Returns what a jail reads.
    fn files_of(&self, id: JailId) -> Vec<String> {
        let mut files = self.reader.files_of(id);
        if self.engine.plan().watchers().contains(&id) {
            files.push(sip_channel::NAME.to_owned());
        }
        files
    }

    fn jail_status(&self, id: JailId, jail: &crate::config::Jail, now: Time) -> Option<JailStatus> {
        let numbers = self.engine.numbers(id, now)?;
        Some(JailStatus {
            jail: jail.name.clone(),
            mode: jail.mode,
            currently_failed: numbers.live,
            total_failed: numbers.tally.failed,
            ignored: numbers.tally.ignored,
            excused: numbers.tally.excused,
            withheld: numbers.tally.withheld,
            hearsay: numbers.tally.hearsay,
            last_failed: numbers.tally.last.map(Time::secs),
            files: self.files_of(id),
            currently_banned: numbers.banned,
            total_banned: numbers.tally.banned,
            currently_observed: numbers.observed,
            total_observed: numbers.tally.observed,
            // Those are filled in by another thread.
            banned: Vec::new(),
        })
    }
}

/// Counts the entries that no jail bans, by kind.
fn never_banned(plan: &Plan, list: &IgnoreList) -> BTreeMap<String, usize> {
    let mut counts = list.counts();
    *counts.entry("ignoreip".to_owned()).or_default() += plan.config.ignoreip.len();
    counts
}

fn sink_status(name: &str, health: &SinkHealth) -> SinkStatus {
    let past = |(time, words): &(Time, String)| PastError::new(*time, words);
    SinkStatus {
        sink: name.to_owned(),
        queue: health.pending,
        refused: health.refused,
        error: health.error.clone(),
        last_error: health.last_error.as_ref().map(past),
        last_heal: health.healed.map(Time::secs),
        heals: health.heals,
    }
}

/// Returns a ban with the name of its jail.
pub(crate) fn named_ban(plan: &Plan, ban: &Ban, now: Time) -> NamedBan {
    let jail = plan.jail(ban.jail).map_or_else(String::new, |jail| jail.name.clone());
    NamedBan { jail, ban: ban_status(plan, ban, now) }
}

/// Returns a ban with its jail, and where its host is.
pub(super) fn placed_ban(plan: &Plan, ban: &Ban, now: Time, places: &Databases) -> NamedBan {
    let NamedBan { jail, ban: status } = named_ban(plan, ban, now);
    let place = places.place(ban.subject.address());
    NamedBan { jail, ban: BanStatus { place, ..status } }
}

/// Returns a ban in the words of the control protocol.
fn ban_status(plan: &Plan, ban: &Ban, now: Time) -> BanStatus {
    BanStatus {
        host: ban.subject.to_string(),
        scope: plan.structure.scope(ban.scope).map_or_else(String::new, |scope| scope.name.clone()),
        left: ban.until.map(|until| until.since(now).as_secs()),
        until: ban.until.map(Time::secs),
        since: ban.since.secs(),
        offences: ban.offences,
        evidence: ban.evidence,
        by_hand: ban.offences == 0 && ban.jail != plan.fleet(),
        // Those are filled in by whoever knows.
        by: None,
        comment: None,
        issuers: Vec::new(),
        paused: false,
        rule: ban.cause.and_then(|(rule, _)| plan.rule_name(rule)),
        dropped: None.into(),
        place: Place::default(),
        knocked: None,
    }
}
