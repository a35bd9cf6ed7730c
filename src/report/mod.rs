//! What the guard saw and did in a week or another span, for people: one value, as text, as a page and as JSON. Pure.
//!
//! All that strangers may have written is on one line, without invisible characters and cut when it comes in here
//! ([`plain`]); the page escapes its markup beyond that.

mod attention;
mod hosts;
pub mod html;
pub mod text;
mod timeline;
mod week;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;

pub use attention::{Finding, FindingKind};
pub use hosts::{BanLedger, CameBack, HostNumbers, NamedNumbers, Returned, TriedAccount};
pub use timeline::{Happening, PauseSpan, ProblemSpan, Restart};
pub use week::{HourNumbers, Week};

use crate::control::list::FeedReport;
use crate::decide::engine::HourCount;
use crate::decide::hour_counts::{Hour, HourTally, begin_of, hour_of};
use crate::model::account::Account;
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::place::Place;
use crate::model::time::Time;
use crate::model::words::counted;
use crate::notify::words::plain;
use timeline::Timeline;

/// The entries of each list of the report.
pub const MOST_LISTED: usize = 10;
/// Characters of a name, and of a sentence.
const LONGEST_NAME: usize = 64;
const LONGEST_TEXT: usize = 300;
/// The hours of a week.
pub const WEEK: Hour = 7 * 24;

/// The span of a report: whole hours, of which the last one is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first hour.
    pub first: Hour,
    /// The present, in the last hour.
    pub now: Time,
}

impl Span {
    /// Returns the span from `since` to `now`: of seven days, the 168 hours of which the present one is the last.
    #[must_use]
    pub fn new(since: Time, now: Time) -> Self {
        let hours = i64::try_from(now.since(since).as_secs().div_ceil(3600)).unwrap_or(WEEK);
        Self { first: hour_of(now) + 1 - hours.max(1), now }
    }

    /// The hours that it has.
    #[must_use]
    pub fn hours(&self) -> Hour {
        hour_of(self.now) + 1 - self.first
    }

    /// When it begins.
    #[must_use]
    pub fn begin(&self) -> Time {
        begin_of(self.first)
    }

    /// The first hour of the span that is compared with it: as long, and right before it.
    #[must_use]
    pub fn before(&self) -> Hour {
        self.first - self.hours()
    }

    /// The first hour that the report needs the counts of.
    #[must_use]
    pub fn first_counted(&self) -> Hour {
        self.before().min(hour_of(self.now) + 1 - 2 * WEEK)
    }

    /// The time from which it needs events: what was in force when the span began shows in those before.
    #[must_use]
    pub fn first_event(&self) -> Time {
        begin_of(self.first - WEEK)
    }

    fn holds(&self, time: Time) -> bool {
        time >= self.begin()
    }
}

/// What only a running daemon knows.
#[derive(Clone, Debug, Default)]
pub struct DaemonFacts {
    /// The problems that there are now, with their checks.
    pub problems: Vec<(String, String)>,
    /// The feeds.
    pub feeds: Vec<FeedReport>,
}

/// All that a report is made of, besides the bans ([`BanLedger`]).
#[derive(Clone, Debug)]
pub struct Material {
    /// The name of the machine.
    pub machine: String,
    /// The zone of its clocks on the wall.
    pub zone: TimeZone,
    /// Since when hours are counted; `None`: they never were.
    pub counted_since: Option<Time>,
    /// The counts of hours, from [`Span::first_counted`] on.
    pub hours: Vec<HourCount>,
    /// The events from [`Span::first_event`] on, the oldest first.
    pub events: Vec<GuardEvent>,
    /// The accounts that exist: that have logged in.
    pub accounts: HashSet<Account>,
    /// What the daemon said; `None`: none runs, or it does not answer.
    pub daemon: Option<DaemonFacts>,
}

/// The sums of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Lines and exchanges that counted against a host.
    pub attempts: u64,
    /// Lines that counted for nothing, because their address cannot be trusted.
    pub untrusted: u64,
    /// Lines that name two hosts.
    pub ambiguous: u64,
    /// Bans.
    pub bans: u64,
    /// Bans that jails in observe mode would have made.
    pub observed: u64,
}

impl From<HourTally> for Totals {
    fn from(tally: HourTally) -> Self {
        let HourTally { attempts, untrusted, ambiguous, bans, observed } = tally;
        Self { attempts, untrusted, ambiguous, bans, observed }
    }
}

/// A rule, and what it told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleNumbers {
    /// `filter/id`; `by hand` of orders.
    pub rule: String,
    /// See [`Totals`].
    #[serde(flatten)]
    pub numbers: Totals,
}

/// What jails in observe mode would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// The bans that they would have made, of each jail. Those with the most first.
    pub jails: Vec<NamedNumbers>,
    /// Those of each host.
    pub hosts: Vec<NamedNumbers>,
}

/// A feed, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedAge {
    /// Its name.
    pub feed: String,
    /// The networks in it.
    pub networks: usize,
    /// When its file was written last, in seconds since the epoch; `null` if that is not known.
    pub written: Option<i64>,
    /// Why it is not what its file says.
    pub problem: Option<String>,
}

/// The report. Times are in seconds since the epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: String,
    /// The begin of the span.
    pub since: i64,
    /// Its end: when the report was made.
    pub until: i64,
    /// Since when attempts are counted; `null`: they never were. What was before is missing.
    pub counted_since: Option<i64>,
    /// Whether all was well, but for pauses.
    pub ok: bool,
    /// All in one sentence.
    pub verdict: String,
    /// The sums of the span.
    pub totals: Totals,
    /// Those of the span right before it, of the same length.
    pub before: Totals,
    /// What a person should look at.
    pub look_at: Vec<Finding>,
    /// The last 336 hours: two weeks.
    pub hours: Vec<HourNumbers>,
    /// The hosts that were banned, those with the most attempts first.
    pub hosts: Vec<HostNumbers>,
    /// Their networks.
    pub networks: Vec<NamedNumbers>,
    /// Their countries; empty without databases.
    pub countries: Vec<NamedNumbers>,
    /// The operators of their networks; empty without databases.
    pub asns: Vec<NamedNumbers>,
    /// The rules.
    pub rules: Vec<RuleNumbers>,
    /// The accounts that banned hosts tried.
    pub accounts: Vec<TriedAccount>,
    /// The hosts that were banned, all together.
    pub banned_hosts: usize,
    /// The hosts that came back after a ban.
    pub came_back: CameBack,
    /// What jails in observe mode would have done.
    pub observed: Observed,
    /// The pauses.
    pub pauses: Vec<PauseSpan>,
    /// The starts of the guard, but for its first one.
    pub restarts: Vec<Restart>,
    /// When a check of the health was not ok.
    pub problems: Vec<ProblemSpan>,
    /// The repairs of the table in the kernel.
    pub heals: Vec<Happening>,
    /// The gaps in logs.
    pub lost: Vec<Happening>,
    /// The feeds; `null`: no daemon answers.
    pub feeds: Option<Vec<FeedAge>>,
    /// Two weeks as a table.
    #[serde(skip)]
    pub week: Week,
}

impl Report {
    /// Returns the report of a span. `place` says where a host is, where that is known.
    #[must_use]
    pub fn new(
        span: Span,
        material: &Material,
        bans: &BanLedger,
        place: impl Fn(std::net::IpAddr) -> Place,
    ) -> Self {
        let timeline = Timeline::of(&material.events, span);
        let summary = bans.summary(span, &material.accounts, place);
        let (totals, rules) = sums(material.hours.iter().filter(|count| count.hour >= span.first));
        let before = span.before()..span.first;
        let (before, _) = sums(material.hours.iter().filter(|count| before.contains(&count.hour)));
        let (ok, verdict) = verdict(span, material, &timeline, &totals, &before);
        let hours = week::hours(span, &material.hours);
        let week = Week::new(&hours, &material.zone);
        let look_at = attention::findings(span, material, &timeline, &summary, &rules, &totals);
        Self {
            machine: plain(&material.machine, LONGEST_NAME),
            since: span.begin().secs(),
            until: span.now.secs(),
            counted_since: material.counted_since.map(Time::secs),
            ok,
            verdict,
            totals,
            before,
            look_at,
            hours,
            hosts: summary.hosts,
            networks: summary.networks,
            countries: summary.countries,
            asns: summary.asns,
            rules: top(rules, |RuleNumbers { numbers, .. }| {
                (numbers.attempts, numbers.bans, numbers.untrusted + numbers.ambiguous)
            }),
            accounts: summary.accounts,
            banned_hosts: summary.banned_hosts,
            came_back: summary.came_back,
            observed: observed(&material.events, span),
            pauses: timeline.pauses,
            restarts: timeline.restarts,
            problems: timeline.problems,
            heals: timeline.heals,
            lost: timeline.lost,
            feeds: material.daemon.as_ref().map(|daemon| daemon.feeds.iter().map(feed).collect()),
            week,
        }
    }

    /// Returns how old a feed was when the report was made, in words.
    #[must_use]
    pub fn age(&self, feed: &FeedAge) -> String {
        let age = |written| short(Time::from_secs(self.until).since(Time::from_secs(written)));
        feed.written.map_or("not known".to_owned(), age)
    }

    /// Returns the subject of a mail with it.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("asterguard on {}: {}", self.machine, self.verdict)
    }
}

/// Returns the largest entries, the largest first.
fn top<T, K: Ord>(mut all: Vec<T>, size: impl Fn(&T) -> K) -> Vec<T> {
    all.sort_by_key(|entry| std::cmp::Reverse(size(entry)));
    all.truncate(MOST_LISTED);
    all
}

/// Returns the sums of counts, and those of each rule.
fn sums<'a>(counts: impl Iterator<Item = &'a HourCount>) -> (Totals, Vec<RuleNumbers>) {
    let mut rules: BTreeMap<&str, HourTally> = BTreeMap::new();
    let mut all = HourTally::default();
    for HourCount { rule, tally, .. } in counts {
        all.add(tally);
        rules.entry(rule).or_default().add(tally);
    }
    let named = |(rule, tally): (&str, HourTally)| {
        let rule = if rule.is_empty() { "by hand".to_owned() } else { plain(rule, LONGEST_NAME) };
        RuleNumbers { rule, numbers: tally.into() }
    };
    (all.into(), rules.into_iter().map(named).collect())
}

fn feed(report: &FeedReport) -> FeedAge {
    FeedAge {
        feed: plain(&report.feed, LONGEST_NAME),
        networks: report.networks,
        written: report.written,
        problem: report.problem.as_deref().map(|problem| plain(problem, LONGEST_TEXT)),
    }
}

/// Returns what jails in observe mode would have done, by the events about that.
fn observed(events: &[GuardEvent], span: Span) -> Observed {
    let (mut jails, mut hosts) = (BTreeMap::new(), BTreeMap::new());
    let of_span =
        events.iter().filter(|event| event.kind == EventKind::Observed && span.holds(event.at));
    for event in of_span {
        let attempts = event.ban.as_ref().map_or(0, |ban| u64::from(ban.attempts));
        for (names, name) in [(&mut jails, &event.jail), (&mut hosts, &event.host)] {
            let name = plain(name.as_deref().unwrap_or("?"), LONGEST_NAME);
            let numbers = names
                .entry(name.clone())
                .or_insert_with(|| NamedNumbers { name, ..NamedNumbers::default() });
            numbers.bans += 1;
            numbers.attempts += attempts;
        }
    }
    let top = |all: BTreeMap<String, NamedNumbers>| {
        top(all.into_values().collect(), |numbers| (numbers.bans, numbers.attempts))
    };
    Observed { jails: top(jails), hosts: top(hosts) }
}

/// Returns a duration in one word or two: `12m`, `3h 20m`.
fn short(duration: Duration) -> String {
    crate::model::time::RoughDuration(duration).to_string()
}

/// Returns how much more or less there was than before: ` (+12 %)`; nothing where that says nothing.
fn change(now: u64, before: u64, is_whole: bool) -> String {
    if before == 0 || !is_whole {
        return String::new();
    }
    let (now, before) = (i128::from(now), i128::from(before));
    format!(" ({:+} %)", (now - before) * 100 / before)
}

/// Returns whether all was well, and all in one sentence.
fn verdict(
    span: Span,
    material: &Material,
    timeline: &Timeline,
    totals: &Totals,
    before: &Totals,
) -> (bool, String) {
    let length = if span.hours() == WEEK {
        "all week".to_owned()
    } else {
        let hours = u64::try_from(span.hours()).unwrap_or(0);
        format!("for {}", short(Duration::from_secs(hours * 3600)))
    };
    let mut checks: BTreeMap<&str, Duration> = BTreeMap::new();
    for problem in &timeline.problems {
        *checks.entry(&problem.check).or_default() += Duration::from_secs(problem.seconds);
    }
    let now = material.daemon.iter().flat_map(|daemon| &daemon.problems);
    for (check, _) in now.filter(|(check, _)| check != timeline::PAUSE) {
        checks.entry(check).or_default();
    }
    let is_known = material.counted_since.is_some() || !material.events.is_empty();
    let ok = checks.is_empty() && timeline.stopped.is_none() && is_known;
    let head = if !is_known {
        "Nothing is stored of this time".to_owned()
    } else if let Some(since) = timeline.stopped.filter(|_| material.daemon.is_none()) {
        format!("NOT RUNNING since {since}")
    } else if !checks.is_empty() {
        let words = checks.iter().map(|(check, time)| {
            if time.is_zero() { (*check).to_owned() } else { format!("{check} {}", short(*time)) }
        });
        format!("NOT OK: {}", words.collect::<Vec<_>>().join(", "))
    } else {
        format!("OK {length}")
    };
    let is_whole = material.counted_since.is_some_and(|since| since <= begin_of(span.before()));
    let numbers = format!(
        "{}{}, {}{}",
        counted(totals.attempts, "attempt"),
        change(totals.attempts, before.attempts, is_whole),
        counted(totals.bans, "ban"),
        change(totals.bans, before.bans, is_whole)
    );
    let words = [
        head,
        numbers,
        timeline.pauses_in_words(),
        timeline.restarts_in_words(),
        timeline.lost_in_words(),
    ];
    (ok, plain(&words.join("; "), LONGEST_TEXT))
}
