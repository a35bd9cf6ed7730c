//! `asterguard events`: what the guard did, up to now and as it happens.

use std::thread;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Exit;
use super::output::{Failure, Output};
use super::state_file::{StateDirArg, moment};
use super::text::printable_text;
use crate::model::event::Evidence;
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::time::Time;
use crate::store::{EventQuery, EventReader, StoreError};

/// The time between two looks for new events.
const PACE: Duration = Duration::from_millis(250);
/// Events that are shown if nothing else is said.
const SHOWN: usize = 50;

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Wait for what happens next, and show it
    #[arg(long, short)]
    follow: bool,
    /// Show all events since then: a duration like 7d, or a date like 2026-11-22
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,
    /// Show only events of these kinds: ban, unban, observed, login, health, order, heal, start, stop, lost
    #[arg(long, value_name = "KIND,…", value_delimiter = ',', value_parser = kind)]
    kind: Vec<EventKind>,
    /// Show at most this many events that there are, the newest [default: 50; with --since: all]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    state: StateDirArg,
}

fn kind(word: &str) -> Result<EventKind, String> {
    let words: Vec<_> = EventKind::ALL.iter().map(|(_, word)| *word).collect();
    EventKind::named(word).ok_or_else(|| format!("there are: {}", words.join(", ")))
}

pub fn events(args: &EventsArgs, output: &Output) -> Result<Exit, Failure> {
    let last = args.limit.or(args.since.is_none().then_some(SHOWN));
    let query = EventQuery { since: args.since, kinds: args.kind.clone(), last };
    let unreadable = |error: StoreError| args.state.unreadable(&error);
    let mut file = args.state.file();
    let mut reader = args.state.is_there()?.then(|| args.state.events()).transpose()?;
    let (found, mut place) = match &reader {
        Some(reader) => reader.read(&query).map_err(unreadable)?,
        None => (Vec::new(), 0),
    };
    show(&found, output);
    if !args.follow {
        if found.is_empty() && !output.json {
            output.line("no event is known");
        }
        return Ok(if found.is_empty() { Exit::NotFound } else { Exit::Done });
    }
    loop {
        thread::sleep(PACE);
        let now = args.state.file();
        if now.is_some() && (now != file || reader.is_none()) {
            // The state file was replaced: the events in the new one are numbered anew.
            (file, place) = (now, 0);
            reader = EventReader::open(&args.state.state_dir).ok();
        }
        // A file that cannot be read now may be in a moment.
        if let Some(Ok((found, end))) = reader.as_ref().map(|reader| reader.after(place, &query)) {
            show(&found, output);
            place = end;
        }
    }
}

/// An event as JSON. Times are in seconds since the epoch.
#[derive(Serialize)]
struct EventLine<'a> {
    time: i64,
    time_at: String,
    kind: EventKind,
    text: &'a str,
    jail: Option<&'a str>,
    host: Option<&'a str>,
    evidence: Option<Evidence>,
    account: Option<&'a str>,
    by: Option<&'a str>,
    good: Option<bool>,
    ban: Option<BanLine<'a>>,
}

#[derive(Serialize)]
struct BanLine<'a> {
    ports: &'a str,
    until: Option<i64>,
    attempts: u32,
    rule: Option<&'a str>,
    accounts: &'a [String],
}

impl<'a> From<&'a GuardEvent> for EventLine<'a> {
    fn from(event: &'a GuardEvent) -> Self {
        Self {
            time: event.at.secs(),
            time_at: event.at.utc(),
            kind: event.kind,
            text: &event.text,
            jail: event.jail.as_deref(),
            host: event.host.as_deref(),
            evidence: event.evidence,
            account: event.account.as_deref(),
            by: event.by.as_deref(),
            good: event.good,
            ban: event.ban.as_ref().map(|ban| BanLine {
                ports: &ban.ports,
                until: ban.until.map(Time::secs),
                attempts: ban.attempts,
                rule: ban.rule.as_deref(),
                accounts: &ban.accounts,
            }),
        }
    }
}

fn show(events: &[GuardEvent], output: &Output) {
    for event in events {
        if output.json {
            output.object(&EventLine::from(event));
        } else {
            let text = printable_text(&event.text);
            output.line(format_args!("{}  {:<8}  {text}", event.at, event.kind));
        }
    }
}
