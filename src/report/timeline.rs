//! What the events of the guard amount to: pauses, restarts, problems, repairs and gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{LONGEST_NAME, LONGEST_TEXT, MOST_LISTED, Span, short};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::pause::Pause;
use crate::model::time::Time;
use crate::model::words::counted;
use crate::notify::words::plain;

/// The check that tells of pauses, which are told by themselves.
pub const PAUSE: &str = "pause";
/// A pause that is found so long after a start is the one that was in force before it.
const FOUND: Duration = Duration::from_secs(10);
/// Spans of a kind that are kept; what comes beyond that is only counted.
const MOST_SPANS: usize = 100;

/// A pause: a time in which banned hosts were not dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PauseSpan {
    /// Of this jail; `null`: of all.
    pub jail: Option<String>,
    /// When it began, in seconds since the epoch.
    pub since: i64,
    /// When it ended; `null`: it is in force.
    pub until: Option<i64>,
    /// How long it was in force within the span of the report.
    pub seconds: u64,
    /// Who ordered it; `null`: nobody that the guard knows.
    pub by: Option<String>,
}

/// A start of the guard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restart {
    /// When it started, in seconds since the epoch.
    pub time: i64,
    /// How long it was not there; `null`: it did not say that it stopped, so that is not known.
    pub down: Option<u64>,
}

/// A time in which a check of the health was not ok.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemSpan {
    /// The check.
    pub check: String,
    /// When it turned, in seconds since the epoch.
    pub since: i64,
    /// When it was ok again; `null`: it is not.
    pub until: Option<i64>,
    /// How long that was within the span of the report.
    pub seconds: u64,
    /// What was wrong.
    pub text: String,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// When, in seconds since the epoch.
    pub time: i64,
    /// What, in words.
    pub text: String,
}

impl Happening {
    /// Returns an event as it is told.
    #[must_use]
    pub fn of(event: &GuardEvent) -> Self {
        Self { time: event.at.secs(), text: plain(&event.text, LONGEST_TEXT) }
    }
}

/// What the events amount to.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub pauses: Vec<PauseSpan>,
    pub restarts: Vec<Restart>,
    pub problems: Vec<ProblemSpan>,
    /// The newest repairs and gaps, the oldest first, and how many there were.
    pub heals: Vec<Happening>,
    pub healed: usize,
    pub lost: Vec<Happening>,
    pub gaps: usize,
    /// Since when the guard is stopped, if that is the last that is known of it.
    pub stopped: Option<Time>,
}

/// Something that is open until an event ends it.
#[derive(Debug)]
struct Open {
    since: Time,
    /// When it ends by itself.
    until: Option<Time>,
    /// Who ordered a pause; what is wrong.
    text: Option<String>,
}

impl Timeline {
    /// Puts events together, of which the oldest come first.
    pub fn of(events: &[GuardEvent], span: Span) -> Self {
        let mut all = Self::default();
        let mut pauses: BTreeMap<Option<String>, Open> = BTreeMap::new();
        let mut checks: BTreeMap<String, Open> = BTreeMap::new();
        let mut last_start = None;
        let mut was_there = false;
        for event in events {
            let (at, is_in_span) = (event.at, span.holds(event.at));
            match event.kind {
                EventKind::Start => {
                    if is_in_span && was_there {
                        let down = all.stopped.map(|stopped| at.since(stopped).as_secs());
                        push(&mut all.restarts, Restart { time: at.secs(), down });
                    }
                    (last_start, was_there, all.stopped) = (Some(at), true, None);
                    // What is still wrong is told again.
                    for (check, open) in std::mem::take(&mut checks) {
                        all.end_problem(check, open, Some(at), span);
                    }
                    pauses.retain(|jail, open| {
                        let is_over = open.until.is_some_and(|until| until <= at);
                        if is_over {
                            all.end_pause(jail.as_ref(), open, open.until, span);
                        }
                        !is_over
                    });
                }
                EventKind::Stop => (all.stopped, was_there) = (Some(at), true),
                EventKind::Heal if is_in_span => {
                    all.healed += 1;
                    keep_newest(&mut all.heals, event);
                }
                EventKind::Lost if is_in_span => {
                    all.gaps += 1;
                    keep_newest(&mut all.lost, event);
                }
                EventKind::Health => {
                    let Some(check) = event.check.as_deref().filter(|check| *check != PAUSE) else {
                        continue;
                    };
                    // Of each host there is a warning of its own.
                    if event.host.is_some() {
                        continue;
                    }
                    let check = plain(check, LONGEST_NAME);
                    if event.good == Some(true) {
                        if let Some(open) = checks.remove(&check) {
                            all.end_problem(check, open, Some(at), span);
                        }
                    } else if checks.len() < MOST_SPANS {
                        let text = Some(plain(&event.text, LONGEST_TEXT));
                        checks.entry(check).or_insert(Open { since: at, until: None, text });
                    }
                }
                _ => {}
            }
            if let Some(pause) = event.pause {
                let jail = event.jail.as_deref().map(|jail| plain(jail, LONGEST_NAME));
                let is_found =
                    event.by.is_none() && last_start.is_some_and(|start| at.since(start) <= FOUND);
                all.pause(&mut pauses, (jail, event, pause), is_found, span);
            }
        }
        for (jail, open) in &pauses {
            let end = open.until.filter(|until| *until <= span.now);
            all.end_pause(jail.as_ref(), open, end, span);
        }
        for (check, open) in checks {
            all.end_problem(check, open, None, span);
        }
        all.pauses.sort_by_key(|pause| pause.since);
        all.problems.sort_by_key(|problem| problem.since);
        all
    }

    /// Takes up that a pause is in force from now on, or none.
    fn pause(
        &mut self,
        open: &mut BTreeMap<Option<String>, Open>,
        (jail, event, pause): (Option<String>, &GuardEvent, Pause),
        is_found: bool,
        span: Span,
    ) {
        let by = event.by.as_deref().map(|by| plain(by, LONGEST_NAME));
        if !pause.is_on() {
            if let Some(ended) = open.remove(&jail) {
                let end = ended.until.map_or(event.at, |until| until.min(event.at));
                self.end_pause(jail.as_ref(), &ended, Some(end), span);
            }
            return;
        }
        match open.get_mut(&jail) {
            // It is the same, or a longer one that goes on from it.
            Some(before) if is_found || before.until.is_none_or(|until| until >= event.at) => {
                before.until = pause.end();
                before.text = by.or(before.text.take());
            }
            _ => {
                let new = Open { since: event.at, until: pause.end(), text: by };
                if let Some(ended) = open.insert(jail.clone(), new) {
                    self.end_pause(jail.as_ref(), &ended, ended.until, span);
                }
            }
        }
    }

    fn end_pause(&mut self, jail: Option<&String>, open: &Open, end: Option<Time>, span: Span) {
        if let Some(seconds) = within(open.since, end, span) {
            let pause = PauseSpan {
                jail: jail.cloned(),
                since: open.since.secs(),
                until: end.map(Time::secs),
                seconds,
                by: open.text.clone(),
            };
            push(&mut self.pauses, pause);
        }
    }

    fn end_problem(&mut self, check: String, open: Open, end: Option<Time>, span: Span) {
        if let Some(seconds) = within(open.since, end, span) {
            let (since, until) = (open.since.secs(), end.map(Time::secs));
            let text = open.text.unwrap_or_default();
            push(&mut self.problems, ProblemSpan { check, since, until, seconds, text });
        }
    }

    /// `2 pauses (12m, by root)`
    pub fn pauses_in_words(&self) -> String {
        if self.pauses.is_empty() {
            return "no pause".to_owned();
        }
        let seconds = self.pauses.iter().map(|pause| pause.seconds).sum();
        let mut people: Vec<_> =
            self.pauses.iter().map(|pause| pause.by.as_deref().unwrap_or("nobody known")).collect();
        people.sort_unstable();
        people.dedup();
        let in_force = self.pauses.iter().any(|pause| pause.until.is_none());
        let now = if in_force { ", IN FORCE NOW" } else { "" };
        format!(
            "{} ({}, by {}{now})",
            counted(self.pauses.len(), "pause"),
            short(Duration::from_secs(seconds)),
            people.join(", ")
        )
    }

    /// `2 restarts (3s down)`
    pub fn restarts_in_words(&self) -> String {
        if self.restarts.is_empty() {
            return "no restart".to_owned();
        }
        let down = self.restarts.iter().filter_map(|restart| restart.down).sum();
        let mut words = vec![format!("{} down", short(Duration::from_secs(down)))];
        let unknown = self.crashes();
        if unknown > 0 {
            words.push(format!("{unknown} without a stop before"));
        }
        format!("{} ({})", counted(self.restarts.len(), "restart"), words.join(", "))
    }

    /// Starts before which the guard did not say that it stopped.
    pub fn crashes(&self) -> usize {
        self.restarts.iter().filter(|restart| restart.down.is_none()).count()
    }

    /// `no line lost`
    pub fn lost_in_words(&self) -> String {
        match self.gaps {
            0 => "no line lost".to_owned(),
            gaps => format!("LINES LOST in {}", counted(gaps, "gap")),
        }
    }
}

/// Returns how many seconds of something are in a span; `None`: it was over before.
fn within(since: Time, end: Option<Time>, span: Span) -> Option<u64> {
    let end = end.unwrap_or(span.now);
    (end >= span.begin() && since <= span.now)
        .then(|| end.min(span.now).since(since.max(span.begin())).as_secs())
}

fn push<T>(all: &mut Vec<T>, one: T) {
    if all.len() < MOST_SPANS {
        all.push(one);
    }
}

fn keep_newest(all: &mut Vec<Happening>, event: &GuardEvent) {
    if all.len() >= MOST_LISTED {
        all.remove(0);
    }
    all.push(Happening::of(event));
}
