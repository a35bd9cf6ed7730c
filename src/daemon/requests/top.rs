//! `top`: what somebody sees who looks on. The engine hands over what has changed; a copy beside it is sorted and filtered
//! on another thread. The copy is kept as long as somebody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::status::placed_ban;
use crate::control::Problem;
use crate::control::banned::{BanStatus, NamedBan};
use crate::control::health::CheckResult;
use crate::control::status::{Health, PauseStatus};
use crate::control::top::{
    LONGEST_FILTER, LoggedInHost, MOST_ROWS, MinuteReport, TopReport, TopRequest, TopRow,
};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::ban_view::{BanFilter, BanView, Page, SeenBan};
use crate::decide::engine::{WatchedBan, WatchedChange};
use crate::decide::plan::Plan;
use crate::geo::Databases;
use crate::model::account::Account;
use crate::model::event::{Ban, Event, Meaning};
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::clock::{monotonic_now, now};

/// Bans that the engine hands over at a time: less than a millisecond.
const PART: usize = 4096;
/// The copy is dropped when nobody has asked for this long.
const KEPT: Duration = Duration::from_secs(10);
/// The shortest pause between two looks at the kernel's counters.
const PAUSE: Duration = Duration::from_secs(1);
/// Looks at the counters take no more than this part of the time.
const SHARE: u32 = 10;
/// Problems, and hosts that had logged in, that are named.
const MOST_PROBLEMS: usize = 4;
const MOST_NAMED: usize = 16;

/// The copy for those who look on.
#[derive(Default)]
pub(crate) struct Lookout(Mutex<State>);

#[derive(Default)]
struct State {
    /// `None`: nobody looks on, or somebody sorts it just now.
    view: Option<BanView>,
    /// Whether a task looks at the counters.
    is_counting: bool,
    /// The time when somebody asked last, by the monotonic clock.
    asked: Time,
}

pub(super) async fn answer(
    daemon: &Arc<Daemon>,
    request: TopRequest,
) -> Result<TopReport, Problem> {
    let rows = request.rows.min(MOST_ROWS);
    let filter: String = request.filter.chars().take(LONGEST_FILTER).collect();
    let filter = BanFilter::read(&filter);
    let mut state = daemon.lookout.0.lock().await;
    state.asked = monotonic_now();
    let known = state.view.take();
    let view = up_to_date(daemon, known).await?;
    let observed = if request.observe {
        let all = |core: &mut Core| {
            let engine = &core.engine;
            engine.observed().iter().map(|ban| engine.remembered(ban)).collect::<Vec<_>>()
        };
        Some(daemon.engine.ask(all).await?)
    } else {
        None
    };
    let mut report = daemon.engine.ask(Core::overview).await?;
    let places = daemon.places.get();
    let fill = move |_: &crate::daemon::Kernel| {
        let page = match observed {
            Some(observed) => {
                let page = view.page_of(observed, request.sort, &filter, rows);
                let Page { logged_in, known, .. } = view.page(request.sort, &BanFilter::All, 0);
                Page { logged_in, known, ..page }
            }
            None => view.page(request.sort, &filter, rows),
        };
        fill(&mut report, &view, &page, &places);
        (view, report)
    };
    let (view, report) = daemon.apart(fill).await?;
    state.view = Some(view);
    if !state.is_counting {
        state.is_counting = true;
        tokio::spawn(count(Arc::clone(daemon)));
    }
    Ok(report)
}

/// Brings the copy up to date, or makes one.
async fn up_to_date(daemon: &Daemon, known: Option<BanView>) -> Result<BanView, Problem> {
    let changes = match &known {
        Some(_) => daemon.engine.ask(|core| core.engine.watched()).await?,
        None => None,
    };
    let plan = daemon.plan().await?;
    let known = known.filter(|view| Arc::ptr_eq(view.plan(), &plan));
    let mut view = match (known, changes) {
        (Some(mut view), Some(changes)) => {
            view.change(changes);
            view
        }
        _ => whole(daemon, plan).await?,
    };
    let (recorded, changes) = (view.recorded(), view.login_changes());
    let news = daemon.engine.ask(move |core| News::new(core, recorded, changes)).await?;
    let News { mut events, recorded, logins } = news;
    events.reverse();
    view.see(&events, recorded);
    if let Some((logins, changes)) = logins {
        view.log_in(logins, changes);
    }
    Ok(view)
}

/// Copies all bans, in parts: lines are read and hosts are banned in between.
async fn whole(daemon: &Daemon, plan: Arc<Plan>) -> Result<BanView, Problem> {
    let mut view = BanView::new(plan);
    let mut last: Option<Ban> = None;
    daemon.engine.ask(|core| core.engine.watch()).await?;
    loop {
        let part = daemon.engine.ask(move |core| core.engine.page(last.as_ref(), PART)).await?;
        last = part.last().map(|watched: &WatchedBan| watched.ban);
        let is_all = part.len() < PART;
        view.enter(part);
        if is_all {
            break;
        }
    }
    // What changed meanwhile is in a part already, or not yet: it is what is said last that holds. If too much changed, the
    // next request begins anew.
    let changes: Vec<WatchedChange> =
        daemon.engine.ask(|core| core.engine.watched()).await?.unwrap_or_default();
    view.change(changes);
    Ok(view)
}

/// What is new in the engine, besides bans.
struct News {
    /// Events, newest first.
    events: Vec<Event>,
    recorded: u64,
    /// The hosts that have logged in, if that has changed.
    logins: Option<(Vec<(Subject, Time)>, u64)>,
}

impl News {
    fn new(core: &Core, recorded: u64, changes: Option<u64>) -> Self {
        let (recent, logins) = (core.engine.recent(), core.engine.logins());
        let is_changed = changes != Some(logins.changes());
        Self {
            events: recent.after(recorded).copied().collect(),
            recorded: recent.recorded(),
            logins: is_changed.then(|| (logins.iter().collect(), logins.changes())),
        }
    }
}

/// Looks at the kernel's counters as long as somebody looks on, and drops the copy then.
async fn count(daemon: Arc<Daemon>) {
    loop {
        let Ok(plan) = daemon.plan().await else { return };
        let begin = monotonic_now();
        let read = daemon.apart(move |kernel| kernel.counters.banned(&plan.structure)).await;
        let took = monotonic_now().since(begin);
        let mut state = daemon.lookout.0.lock().await;
        if monotonic_now().since(state.asked) > KEPT {
            state.view = None;
            state.is_counting = false;
            // Fails when the engine has ended.
            let _ = daemon.engine.ask(|core| core.engine.unwatch()).await;
            return;
        }
        if let (Ok(counters), Some(mut view)) = (read, state.view.take()) {
            let count = move |_: &crate::daemon::Kernel| {
                view.count(counters, now());
                view
            };
            state.view = daemon.apart(count).await.ok();
        }
        drop(state);
        tokio::time::sleep(PAUSE.max(took * SHARE)).await;
    }
}

impl Core {
    /// Returns a report without bans.
    fn overview(&mut self) -> TopReport {
        let now = now();
        let facts = self.facts(now);
        let checks = facts.checks();
        let problems = checks.iter().filter(|result| result.is_problem());
        let problems: Vec<_> = problems.map(CheckResult::in_words).take(MOST_PROBLEMS).collect();
        let paused = self.pauses();
        let bans = self.engine.bans();
        let minutes = self.engine.rates().minutes();
        TopReport {
            time: now.secs(),
            health: Health::of(&paused, &problems),
            problems,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: self.started.elapsed().as_secs(),
            dry_run: self.dry_run,
            paused,
            hosts_banned: bans.hosts(),
            bans: bans.len(),
            observed: self.engine.observed().iter().count(),
            login: self.engine.logins().last().map(|(_, time)| time.secs()),
            lag: facts.sources.iter().map(|source| source.lag).max().unwrap_or(0),
            minutes: minutes
                .map(|count| MinuteReport { attempts: count.attempts, bans: count.bans })
                .collect(),
            // What follows is filled in by another thread.
            dropped_per_second: None,
            counters_read: None,
            logged_in: 0,
            logged_in_hosts: Vec::new(),
            matching: 0,
            rows: Vec::new(),
        }
    }
}

/// Fills bans and counters into a report.
fn fill(report: &mut TopReport, view: &BanView, page: &Page, places: &Databases) {
    let (read, rate) = view.read().unzip();
    report.dropped_per_second = rate.flatten();
    report.counters_read = read.map(Time::secs);
    report.logged_in = page.logged_in;
    let account = |account: Option<Account>| account.map(|account| account.to_string());
    let host = |known: &SeenBan| LoggedInHost {
        host: known.watched.ban.subject.to_string(),
        account: account(known.seen.and_then(|seen| seen.logged_in)),
    };
    report.logged_in_hosts = page.known.iter().map(host).collect();
    report.logged_in_hosts.dedup();
    report.logged_in_hosts.truncate(MOST_NAMED);
    report.matching = page.matching;
    let now = Time::from_secs(report.time);
    let row = |seen: &SeenBan| row(view.plan(), seen, &report.paused, now, places);
    report.rows = page.bans.iter().map(row).collect();
}

fn row(
    plan: &Plan,
    seen: &SeenBan,
    paused: &[PauseStatus],
    now: Time,
    places: &Databases,
) -> TopRow {
    let named = placed_ban(plan, &seen.watched.ban, now, places);
    let is_paused =
        |pause: &PauseStatus| pause.jail.as_ref().is_none_or(|jail| *jail == named.jail);
    let attempt = seen.seen.and_then(|seen| seen.attempt);
    // Longer ago than is remembered, the rule that completed the count is the last that is known.
    let class = attempt.map(|(_, class)| class).or_else(|| {
        match plan.rules.get(seen.watched.ban.cause?.0)?.meaning {
            Meaning::Offence(class) => Some(class),
            Meaning::Success | Meaning::Ignored | Meaning::Tampered => None,
        }
    });
    let account = seen.seen.and_then(|seen| seen.tried).map(|account| account.to_string());
    let ban = BanStatus {
        paused: paused.iter().any(is_paused),
        dropped: seen.counter.map(|counter| counter.dropped).into(),
        knocked: seen.counter.and_then(|counter| counter.moved).map(Time::secs),
        ..named.ban
    };
    TopRow {
        last_rule: attempt.and_then(|(rule, _)| plan.rule_name(rule)).or_else(|| ban.rule.clone()),
        ban: NamedBan { ban, jail: named.jail },
        tries: seen.watched.tries,
        bans: seen.watched.bans,
        login: seen.logged_in.map(Time::secs),
        last: seen.last().map(Time::secs),
        class,
        account,
    }
}
