//! `asterguard replay`

mod captures;
mod log;
mod merge;
mod summary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::log_file;
use super::output::{Failure, Output};
use super::test::is_ignored;
use super::text::wrapped;
use super::{ConfigArg, Exit};
use crate::config::Mode;
use crate::decide::engine::{Engine, TOGETHER};
use crate::decide::joins::BY_DATES;
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::detect::scanner::Scanner;
use crate::hosts::exempt::IgnoreList;
use crate::hosts::lists::{self, Lists};
use crate::model::event::{Ban, Decision, Event, Evidence, JailId, Meaning};
use crate::model::time::{BanDuration, Time};
use crate::rules::Service;
use captures::Captures;
use log::Log;
use merge::Merged;
use summary::{Summary, finish};

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Log files, also packed ones (.gz), or - for standard input. Their lines are put in the order of their times
    #[arg(required_unless_present = "pcap", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Capture of the packets of a PBX, made on the PBX (pcap or pcapng, also .gz, or - for standard input). It shows
    /// what the PBX did with each host. Can be given more than once
    #[arg(long, value_name = "FILE")]
    pcap: Vec<PathBuf>,
    /// Address of the PBX in the captures; can be given more than once
    /// [default: the addresses that communicate with the most others at the SIP ports]
    #[arg(long, value_name = "ADDRESS", requires = "pcap")]
    own: Vec<IpAddr>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Serialize)]
struct BanRecord<'a> {
    action: &'static str,
    host: IpAddr,
    /// The subject of the ban: the host, or its IPv6 network.
    network: String,
    jail: &'a str,
    time: String,
    offences: u32,
    evidence: Evidence,
    /// Seconds; null for a permanent ban.
    bantime: Option<u64>,
    scope: &'a str,
    /// Whether somebody from there also logged in.
    logged_in: bool,
    filter: Option<&'a str>,
    rule: Option<&'a str>,
    file: &'a str,
    line: u64,
}

pub fn replay(args: &ReplayArgs, output: &Output) -> Result<(), Failure> {
    if args.files.iter().chain(&args.pcap).filter(|path| log_file::is_stdin(path)).count() > 1 {
        let message = "standard input can be read once: give `-` once".to_owned();
        return Err(Failure { exit: Exit::Usage, message });
    }
    let plan = Arc::new(load_plan(args.config.config.as_deref())?);
    let jails: Vec<JailId> = plan.jails().map(|(id, _)| id).collect();
    let rules = plan.rules_for(&jails);
    let matcher = Arc::new(plan.matcher(&rules).map_err(PlanError::from)?);
    let mut engine = Engine::new(Arc::clone(&plan));
    engine.join_within(BY_DATES);
    let allowed =
        lists::load(&plan.config.lists.own(), &Lists::default()).map_err(PlanError::from)?;
    let allowed = IgnoreList::new(allowed.allowed(), BTreeMap::new());
    engine.protect(Arc::new(allowed), &mut Vec::new());

    // Without captures, another engine supposes that the PBX did what the lines tell.
    let mut supposed = Engine::new(Arc::clone(&plan));
    supposed.protect(Arc::clone(engine.ignored()), &mut Vec::new());
    let progress = progress(args);
    let (mut logs, mut unreadable) = (Vec::new(), Vec::new());
    for path in &args.files {
        let reader = match log_file::open(path, &progress) {
            Ok(reader) => reader,
            Err(error) => {
                unreadable.push((path, cannot_read(path, &error)));
                continue;
            }
        };
        // The channels have the numbers of the logs.
        let channel = engine.open_channel(jails.clone());
        supposed.open_channel(jails.clone());
        let scanner = Scanner::new(Arc::clone(&matcher), channel);
        let mut log = Log::new(path, reader, scanner, &plan);
        log.alone = args.files.len() == 1 && args.pcap.is_empty();
        logs.push(log);
    }
    if logs.is_empty() && !unreadable.is_empty() {
        return Err(Failure::new(lines(unreadable.into_iter().map(|(_, message)| message))));
    }
    let captures = Captures::open(&args.pcap, &args.own, Arc::clone(&plan), &progress)
        .map_err(|(path, error)| Failure::new(cannot_read(&path, &error)))?;

    let files = logs.iter().map(|log| &log.path).chain(&args.pcap);
    let names = files.map(|path| path.display().to_string()).collect();
    let mut replay = Replay::new(&plan, output, &progress, names);
    replay.summary.logs = logs.len();
    let mut merged = Merged::new(logs, captures);
    let mut number = 0;
    while let Some((index, event)) = merged.next() {
        if number % TOGETHER == 0 {
            let engines = [Some(&engine), args.pcap.is_empty().then_some(&supposed)];
            for engine in engines.into_iter().flatten() {
                engine.look_ahead(merged.ahead(index));
            }
        }
        number += 1;
        engine.see(merged.captures.sight(event.time));
        replay.count_ignored(&engine, &event);
        replay.event(&mut engine, &event, index);
        if args.pcap.is_empty() {
            replay.suppose(&mut supposed, &event);
        }
    }
    progress.finish_and_clear();
    if let Some(last) = replay.last {
        engine.on_tick(last.plus(BY_DATES), &mut replay.decisions);
    }
    replay.tell_all();
    let Merged { logs, captures, .. } = merged;
    let mut summary = replay.summary;
    summary.unmatched = engine.unmatched();
    for (origin, since, withheld) in engine.floods() {
        summary.withhold(origin, since, withheld);
    }
    let shown = |path: &PathBuf| path.display().to_string();
    let of_jails = jails.iter().filter_map(|id| engine.numbers(*id, replay.last?));
    summary.excused = of_jails.map(|numbers| numbers.tally.excused).sum();
    summary.add_logs(&logs);
    summary.unreadable = unreadable.iter().map(|(path, _)| shown(path)).collect();
    let observing = plan.jails().filter(|(_, jail)| jail.mode == Mode::Observe);
    summary.observing = observing.map(|(_, jail)| jail.name.clone()).collect();
    let (numbers, broken) = captures.numbers();
    summary.captures = (!args.pcap.is_empty()).then_some(numbers);
    finish(&summary, &plan, &logs, output);
    let mut wrong: Vec<_> = unreadable.into_iter().map(|(_, message)| message).collect();
    wrong.extend(broken);
    wrong.extend(complaints(&logs));
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(lines(wrong))) }
}

fn lines(messages: impl IntoIterator<Item = String>) -> String {
    messages.into_iter().collect::<Vec<_>>().join("\n")
}

fn cannot_read(path: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", log_file::name(path))
}

/// Returns what could not be read of logs that were begun, or not be used.
fn complaints(logs: &[Log]) -> Vec<String> {
    let broken = |log: &Log| {
        let (name, error) = (log_file::name(&log.path), log.broken.as_ref()?);
        Some(format!("cannot read on in {name} after line {}: {error}", log.lines))
    };
    let mut wrong: Vec<_> = logs.iter().filter_map(broken).collect();
    let left_out = logs.iter().filter(|log| log.is_left_out());
    let undated: Vec<_> = left_out.map(|log| log_file::name(&log.path)).collect();
    if !undated.is_empty() {
        wrong.push(format!(
            "left out, because their lines have no time to merge them by: {}; set `dateformat` in logger.conf",
            undated.join(", ")
        ));
    }
    wrong
}

fn progress(args: &ReplayArgs) -> ProgressBar {
    let size = |path: &PathBuf| log_file::size(path);
    let captures: u64 = args.pcap.iter().map(size).sum();
    let times = if args.own.is_empty() { 2 } else { 1 };
    let bytes = args.files.iter().map(size).sum::<u64>() + times * captures;
    // With a pipe among them, nobody knows how much there is.
    let mut files = args.files.iter().chain(&args.pcap);
    let typed = files.any(|path| log_file::is_stdin(path));
    let is_pipe = typed && log_file::size(Path::new(log_file::STDIN)) == 0;
    log_file::progress(if is_pipe { 0 } else { bytes }, typed)
}

/// Bans that wait to be told, in case somebody from there logs in later in the logs.
const MOST_WAITING: usize = 65_536;
/// Hosts that logged in; more are not remembered.
const MOST_LOGGED_IN: usize = 65_536;

/// A ban that would have been.
struct WouldBe {
    action: &'static str,
    ban: Ban,
    /// The log whose line completed the count.
    log: usize,
}

/// The part that lets the engine decide and tells what it decided.
struct Replay<'a> {
    plan: &'a Plan,
    output: &'a Output,
    progress: &'a ProgressBar,
    /// The names of the logs.
    names: Vec<String>,
    summary: Summary,
    decisions: Vec<Decision>,
    /// The time of the last event, and whether it was the first of its second.
    last: Option<Time>,
    ticks: bool,
    waiting: VecDeque<WouldBe>,
    logged_in: BTreeSet<IpAddr>,
    /// Whether the columns of bans have been named.
    has_header: bool,
}

impl<'a> Replay<'a> {
    fn new(
        plan: &'a Plan,
        output: &'a Output,
        progress: &'a ProgressBar,
        names: Vec<String>,
    ) -> Self {
        Self {
            plan,
            output,
            progress,
            names,
            summary: Summary::default(),
            decisions: Vec::new(),
            last: None,
            ticks: false,
            waiting: VecDeque::new(),
            logged_in: BTreeSet::new(),
            has_header: false,
        }
    }

    fn event(&mut self, engine: &mut Engine, event: &Event, log: usize) {
        self.summary.note(event);
        // As with the running guard, time passes once a second; seconds without an event pass with the next one.
        self.ticks = self.last.is_none_or(|last| last.secs() != event.time.secs());
        self.last = Some(event.time);
        let logs_in = event.meaning == Meaning::Success && event.evidence > Evidence::Hearsay;
        if logs_in && self.logged_in.len() < MOST_LOGGED_IN {
            self.logged_in.insert(event.host);
        }
        if self.ticks {
            engine.on_tick(event.time, &mut self.decisions);
        }
        engine.on_event(event, &mut self.decisions);
        let mut found = event.channel;
        for decision in self.decisions.drain(..) {
            let (action, ban) = match decision {
                Decision::Ban(ban) => ("ban", ban),
                Decision::Observed(ban) => ("observe", ban),
                Decision::Found { channel, .. } => {
                    found = channel;
                    continue;
                }
                Decision::FloodBegins(origin) => {
                    self.summary.withhold(origin, event.time, 0);
                    continue;
                }
                Decision::FloodEbbs { origin, withheld } => {
                    self.summary.withhold(origin, event.time, withheld);
                    continue;
                }
                _ => continue,
            };
            // A line may have waited for the exchange that is taken up now.
            let log = if found == event.channel { log } else { found.0.into() };
            if action == "ban" {
                self.summary.ban(&ban, log);
            } else {
                self.summary.observed += 1;
            }
            self.waiting.push_back(WouldBe { action, ban, log });
        }
        while self.waiting.len() > MOST_WAITING {
            self.tell_one();
        }
    }

    /// Counts an offence that counts for nothing because its host is never banned.
    fn count_ignored(&mut self, engine: &Engine, event: &Event) {
        let is_offence = matches!(event.meaning, Meaning::Offence(_));
        let is_believed = event.evidence > Evidence::Hearsay;
        let protected = || engine.ignored().find(event.host).is_some();
        if is_offence && is_believed && (is_ignored(self.plan, event) || protected()) {
            self.summary.ignore(event.host);
        }
    }

    /// Takes up an event as if an exchange had been seen beside each line about one.
    fn suppose(&mut self, engine: &mut Engine, event: &Event) {
        let rule = self.plan.rules.get(event.rule);
        let about_sip =
            rule.is_some_and(|rule| matches!(rule.service, Service::Pjsip | Service::ChanSip));
        let evidence = if about_sip { Evidence::Proven } else { event.evidence };
        if self.ticks {
            engine.on_tick(event.time, &mut self.decisions);
        }
        engine.on_event(&Event { evidence, ..*event }, &mut self.decisions);
        for decision in self.decisions.drain(..) {
            if let Decision::Ban(ban) | Decision::Observed(ban) = decision {
                self.summary.suppose(&ban);
            }
        }
    }

    fn tell_all(&mut self) {
        while !self.waiting.is_empty() {
            self.tell_one();
        }
    }

    /// Tells the ban that has been waiting longest.
    fn tell_one(&mut self) {
        let Some(WouldBe { action, ban, log }) = self.waiting.pop_front() else { return };
        let rule = ban.cause.and_then(|(rule, _)| self.plan.rules.get(rule));
        let network = ban.subject.net();
        let mut logged_in = self.logged_in.range(network.network()..=network.broadcast());
        let record = BanRecord {
            action,
            host: ban.host,
            network: ban.subject.to_string(),
            jail: self.plan.jail(ban.jail).map_or("", |jail| &jail.name),
            time: ban.since.utc(),
            offences: ban.offences,
            evidence: ban.evidence,
            bantime: ban.until.map(|until| until.since(ban.since).as_secs()),
            scope: self.plan.structure.scope(ban.scope).map_or("", |scope| &scope.name),
            logged_in: logged_in.next().is_some(),
            filter: rule
                .and_then(|rule| self.plan.rules.file_of(rule))
                .map(|file| file.name.as_str()),
            rule: rule.map(|rule| rule.id.as_str()),
            file: self.names.get(log).map_or("", String::as_str),
            line: ban.cause.map_or(0, |(_, line)| line),
        };
        self.progress.suspend(|| {
            if self.output.json {
                self.output.object(&record);
            } else {
                if !std::mem::replace(&mut self.has_header, true) {
                    self.output.line(HEADER);
                }
                self.output.line(in_words(&record));
            }
        });
    }
}

/// The names of the columns.
const HEADER: &str = "TIME                 WHAT      HOST                                    FOR";

/// A ban in two lines or more: the columns, and what led to it.
fn in_words(record: &BanRecord<'_>) -> String {
    let length = record
        .bantime
        .map_or(BanDuration::Permanent, |secs| BanDuration::For(Duration::from_secs(secs)));
    let columns = format!(
        "{:<20} {:<9} {:<39} {length}",
        record.time,
        if record.action == "observe" { "Would ban" } else { "Ban" },
        record.network,
    );
    let cause = format!(
        "    {}: {} offences, {}, {}/{}, ports {}{}, {}:{}",
        record.jail,
        record.offences,
        record.evidence,
        record.filter.unwrap_or_default(),
        record.rule.unwrap_or_default(),
        record.scope,
        if record.logged_in { ", but also logged in" } else { "" },
        log_file::name(Path::new(record.file)),
        record.line
    );
    format!("{columns}\n{}", wrapped(&cause, 4))
}
