//! `asterguard status`

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::banned::ban_line;
use super::client::ask;
use super::columns::{Columns, Give};
use super::completions;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::config::{Limiter, Mode, is_without_section};
use crate::control::health::names_of_problems;
use crate::control::list::FetchStatus;
use crate::control::status::{
    Detail, FeedStatus, Health, JailStatus, LimiterStatus, LoginStatus, PastError, SinkStatus,
    SourceStatus, Status, StatusRequest, StoreStatus, TargetedStatus, WireStatus,
};
use crate::exchange::Numbers;
use crate::hosts::exempt::words;
use crate::model::time::{RoughDuration, Time};
use crate::model::words::counted;
use crate::notify::protocol::NotifyStatus;
use crate::sys::clock::now;

/// Rules with hearsay that are shown for one file.
const MOST_RULES: usize = 5;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Show only this jail, with its bans
    #[arg(add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    /// Also show jails without a failed attempt
    #[arg(long, short, conflicts_with = "jail")]
    all: bool,
    /// For monitoring: print only whether it works and what is wrong. The exit code is 1 unless it is OK
    /// (so if it is DEGRADED or PAUSED)
    #[arg(long)]
    check: bool,
    /// With --check: print one line as a plugin of Nagios does, with its exit codes (0 OK, 1 WARNING, 2 CRITICAL,
    /// 3 UNKNOWN)
    #[arg(long, requires = "check", conflicts_with_all = ["jail", "all"])]
    nagios: bool,
    #[command(flatten)]
    socket: SocketArg,
}

impl StatusArgs {
    /// Whether the state is to be told as a plugin does.
    pub fn is_for_nagios(&self) -> bool {
        self.nagios
    }

    /// The control socket.
    pub fn socket(&self) -> &Path {
        &self.socket.socket
    }
}

pub fn status(args: &StatusArgs, output: &Output) -> Result<Exit, Failure> {
    if output.json {
        let status = asked(args, Detail::Full)?;
        output.object(&status);
        return Ok(exit(args, &status));
    }
    if args.check {
        let status = asked(args, Detail::Brief)?;
        output.line(in_short(&status).trim_end());
        return Ok(exit(args, &status));
    }
    if args.jail.is_none() {
        let status = asked(args, Detail::Brief)?;
        output.line(overview(&status).trim_end());
        jails(args, &status, output);
        return Ok(Exit::Done);
    }
    for jail in &asked(args, Detail::Full)?.jails {
        output.line(jail_tree(jail).trim_end());
    }
    Ok(Exit::Done)
}

/// Prints the jails in columns: those that have counted something, or all.
fn jails(args: &StatusArgs, status: &Status, output: &Output) {
    let mut columns = Columns::new(&[
        ("JAIL", Give::Never),
        ("MODE", Give::Below(70)),
        ("FAILING", Give::Never),
        ("FAILED", Give::Never),
        ("BANNED", Give::Never),
        ("BANS", Give::Never),
        ("LAST FAILURE", Give::Below(80)),
    ]);
    let is_idle = |jail: &JailStatus| {
        let banned = jail.currently_banned + jail.currently_observed;
        jail.total_failed == 0 && jail.total_banned == 0 && banned == 0
    };
    let (idle, busy): (Vec<_>, Vec<_>) = status.jails.iter().partition(|jail| is_idle(jail));
    let shown: Vec<_> = if args.all { status.jails.iter().collect() } else { busy };
    for jail in &shown {
        let (banned, bans) = match jail.mode {
            Mode::Enforce => (jail.currently_banned.to_string(), jail.total_banned),
            Mode::Observe => {
                (format!("({} would be)", jail.currently_observed), jail.total_observed)
            }
        };
        let last = jail.last_failed.map(|time| now().since(Time::from_secs(time)).as_secs());
        columns.row([
            jail.jail.clone(),
            if jail.mode == Mode::Observe { "observe" } else { "enforce" }.to_owned(),
            jail.currently_failed.to_string(),
            jail.total_failed.to_string(),
            banned,
            bans.to_string(),
            last.map_or("-".to_owned(), |ago| format!("{} ago", brief(ago))),
        ]);
    }
    if !shown.is_empty() {
        output.line("");
        output.table(columns);
    }
    if !args.all && !idle.is_empty() {
        let more = if shown.is_empty() { "" } else { "more " };
        output.line(format_args!(
            "  {} {more}{} without a failure (status --all); all about one: status JAIL",
            idle.len(),
            if idle.len() == 1 { "jail" } else { "jails" },
        ));
    }
}

fn exit(args: &StatusArgs, status: &Status) -> Exit {
    if args.check && status.health != Health::Ok { Exit::Failed } else { Exit::Done }
}

fn asked(args: &StatusArgs, detail: Detail) -> Result<Status, Failure> {
    let request = StatusRequest { jail: args.jail.clone(), detail };
    ask(&args.socket.socket, &request)
}

/// Returns the first line: for the person called at night.
fn headline(status: &Status) -> String {
    let (health, colour) = match status.health {
        Health::Ok => ("OK".to_owned(), AnsiColor::Green),
        Health::Degraded => {
            (format!("DEGRADED ({})", names_of_problems(&status.checks)), AnsiColor::Red)
        }
        Health::Paused => ("PAUSED".to_owned(), AnsiColor::Yellow),
    };
    let style = Style::new().fg_color(Some(colour.into())).bold();
    let health = format!("{style}{health}{style:#}");
    let bans: usize = status.jails.iter().map(|jail| jail.currently_banned).sum();
    let hosts = status.hosts_banned;
    let mut banned = format!("{} banned", counted(hosts, "host"));
    if bans != hosts {
        banned = format!("{banned} ({})", counted(bans, "ban"));
    }
    let LoginStatus { ago, lately, banned: known, .. } = &status.logins;
    let known = match known {
        0 => String::new(),
        1 => ", one of which has logged in".to_owned(),
        known => format!(", {known} bans of hosts that have logged in"),
    };
    let logins = match ago {
        None => "no login seen".to_owned(),
        Some(ago) => {
            format!("last login {} ago, {} within 5m", brief(*ago), counted(*lately, "host"))
        }
    };
    let jails = || status.jails.iter().filter(|jail| !is_without_section(&jail.jail));
    let observing = jails().filter(|jail| jail.mode == Mode::Observe).count();
    let would: usize = jails().map(|jail| jail.currently_observed).sum();
    match observing {
        0 => format!("{health}: {banned}{known}; {logins}\n"),
        all if all == jails().count() => format!(
            "{health}, observing only: {would} would be banned, {banned}{known}; {logins}\n"
        ),
        some => format!(
            "{health}: {banned}{known}, {would} more would be by {}; {logins}\n",
            counted(some, "observing jail")
        ),
    }
}

/// Returns the state of the guard, and what is wrong.
fn in_short(status: &Status) -> String {
    let mut text = headline(status);
    // Writing to a string does not fail.
    if status.dry_run {
        let _ = writeln!(text, "! dry run: bans are only said");
    }
    for wrong in status.checks.iter().filter(|result| result.is_problem()) {
        let _ = writeln!(text, "! {}", wrong.seen.trim_end().replace('\n', "\n  "));
        let _ = wrong.todo.as_ref().map(|todo| writeln!(text, "  do: {todo}"));
    }
    text
}

/// Returns the part of the status that is not about one jail.
fn overview(status: &Status) -> String {
    let mut text = in_short(status);
    // Writing to a string does not fail.
    let Status { version, pid, .. } = status;
    let _ = writeln!(text, "  asterguard {version}, pid {pid}, up {}", brief(status.uptime));
    let (silent, read): (Vec<_>, Vec<_>) = status
        .sources
        .iter()
        .partition(|source| source.lines == 0 && source.state.starts_with("waiting"));
    for source in read {
        let _ = writeln!(
            text,
            "  {}: {}, {}, {}, {} tampered, {} hearsay{}",
            source.path,
            source.state,
            counted(source.lines, "line"),
            counted(source.hits, "hit"),
            source.tampered,
            source.hearsay,
            pace(source)
        );
        for count in source.unbelieved.iter().filter(|count| count.hearsay > 0).take(MOST_RULES) {
            let _ = writeln!(text, "    hearsay: {} × {}", count.hearsay, count.rule);
        }
    }
    if !silent.is_empty() {
        let paths: Vec<_> = silent.iter().map(|source| source.path.as_str()).collect();
        let _ = writeln!(text, "  not there, awaited: {}", paths.join(" "));
    }
    status.sinks.iter().for_each(|sink| text += &sink_line(sink));
    let _ = writeln!(text, "  {}", store_line(&status.store));
    for notifier in &status.notify {
        let _ = writeln!(text, "  {}", notify_line(notifier));
    }
    if let Some(fleet) = &status.fleet {
        let _ = writeln!(text, "  fleet: {}", fleet.in_words());
    }
    for FeedStatus { feed, networks, fetch } in &status.feeds {
        let networks = counted(*networks, "network");
        let _ = writeln!(text, "  feed {feed}: {networks}, {}", fetched(fetch));
    }
    if !status.logins.banned_hosts.is_empty() {
        let hosts = status.logins.banned_hosts.join(" ");
        let _ = writeln!(text, "  banned, though there were logins from there: {hosts}");
    }
    for TargetedStatus { account, hosts, since } in &status.targeted {
        let since = Time::from_secs(*since);
        let _ = writeln!(text, "  account {account} is guessed at by {hosts} hosts since {since}");
    }
    let _ = writeln!(text, "  {}", wire_line(&status.wire));
    if let Some(fence) = &status.geofence {
        let _ = writeln!(text, "  geofence: {}", fence.in_words());
    }
    let _ = writeln!(text, "  never banned: {}", words(&status.never_banned));
    text
}

/// Returns how a file is being read, as far as it is worth a word.
fn pace(source: &SourceStatus) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match source.last_line {
        Some(_) => write!(text, ", last line {} ago", brief(source.silent_for)),
        None => write!(text, ", silent for {}", brief(source.silent_for)),
    };
    if source.unread > 0 {
        let _ = write!(text, ", {} bytes behind for {}", source.unread, brief(source.lag));
    }
    if let Some(last) = &source.last_error {
        // What its state is now was said already.
        let last = if last.error == source.state { at(last) } else { past(last) };
        let _ = write!(text, ", {}, the last one {last}", counted(source.errors, "error"));
    }
    text
}

/// Returns how old a fetched feed is, and why it is not newer.
pub(super) fn fetched(fetch: &FetchStatus) -> String {
    let ago = |time: i64| brief(now().since(Time::from_secs(time)).as_secs());
    let mut text = match fetch.last_fetched {
        Some(time) => format!("fetched {} ago", ago(time)),
        None => "not fetched yet".to_owned(),
    };
    if let (Some(error), Some(time)) = (&fetch.error, fetch.last_try) {
        text = format!("{text}; the last try, {} ago: {error}", ago(time));
    }
    text
}

/// Returns how bans get to the kernel; nothing where all is well and always was.
fn sink_line(sink: &SinkStatus) -> String {
    let mut parts = Vec::new();
    if sink.queue > 0 {
        parts.push(format!("{} changes wait", sink.queue));
    }
    if let Some(last) = &sink.last_error {
        parts.push(format!("last error {}", past(last)));
    }
    if let Some(time) = sink.last_heal {
        parts.push(format!("the table was rebuilt at {}", Time::from_secs(time)));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!("  {}: {}\n", sink.sink, parts.join(", "))
    }
}

/// Returns the state of the state file.
fn store_line(store: &StoreStatus) -> String {
    let path = store.path.as_deref().unwrap_or("state");
    let mut text = match (&store.trouble, store.bytes) {
        (Some(trouble), _) => format!("{path}: {}: {trouble}", store.state),
        (None, None) => format!("{path}: {}", store.state),
        (None, Some(bytes)) => {
            let number = |held: Option<u64>| held.unwrap_or(0);
            format!(
                "{path}: {}, {} KiB: {}, {}, {}, {} known good",
                store.state,
                bytes.div_ceil(1024),
                counted(number(store.bans), "ban"),
                counted(number(store.past), "earlier one"),
                counted(number(store.offenders), "offender"),
                number(store.known_good)
            )
        }
    };
    if let (Some(ago), Some(took)) = (store.checkpoint_ago, store.checkpoint_took) {
        // Writing to a string does not fail.
        let _ = write!(text, "; last checkpoint {} ago, in {took} ms", brief(ago));
    }
    text
}

/// Returns the state of a notifier.
fn notify_line(notifier: &NotifyStatus) -> String {
    let NotifyStatus { name, kind, sent, queued, dropped, failing_since, .. } = notifier;
    let mut text = format!("notify {name} ({kind}): {} sent", counted(*sent, "message"));
    // Writing to a string does not fail.
    if *queued > 0 {
        let _ = write!(text, ", {} waiting", counted(*queued, "event"));
    }
    if *dropped > 0 {
        let _ = write!(text, ", {} given up", counted(*dropped, "event"));
    }
    if let Some(since) = failing_since {
        let _ = write!(text, ", failing since {}", Time::from_secs(*since));
    }
    text
}

fn past(error: &PastError) -> String {
    format!("{}: {}", at(error), error.error)
}

fn at(error: &PastError) -> String {
    format!("at {}", Time::from_secs(error.time))
}

/// Formats a length of time, to its two largest units.
fn brief(seconds: u64) -> String {
    RoughDuration(Duration::from_secs(seconds)).to_string()
}

/// Returns what is seen on the wire.
fn wire_line(wire: &WireStatus) -> String {
    let Numbers { answers, refusals, attempts, logins, lost, hep, .. } = wire.numbers;
    let by_hep = match hep {
        0 => String::new(),
        hep => format!(", {hep} messages by HEP"),
    };
    let seen = format!(
        "{answers} answers, {refusals} refusals, {attempts} attempts, {logins} logins, {lost} packets lost{by_hep}"
    );
    let state = wire.state.as_str();
    if state.starts_with("listening") || answers > 0 {
        format!("the wire: {state}, {seen}{}", limited(&wire.limiter))
    } else {
        format!("the wire: {state}")
    }
}

/// Returns the hosts that the kernel's limiter has found, if there are any.
fn limited(limiter: &LimiterStatus) -> String {
    let done = if limiter.mode == Limiter::Ban { "dropped" } else { "not dropped" };
    match limiter.hosts {
        0 => String::new(),
        hosts => format!("; {hosts} hosts over the limiter's rates, {done}"),
    }
}

/// Formats a jail as fail2ban-client shows it.
fn jail_tree(jail: &JailStatus) -> String {
    let files = if jail.files.is_empty() { "-".to_owned() } else { jail.files.join(" ") };
    let mode = if jail.mode == Mode::Observe { " (observe: nobody is banned)" } else { "" };
    let observed = match (jail.mode, jail.total_observed) {
        (Mode::Observe, all) => {
            let now = jail.currently_observed;
            format!("   |- Would be banned:  {now}\n   |- In all:           {all}\n")
        }
        (Mode::Enforce, _) => String::new(),
    };
    let excused = some("Excused: ", jail.excused);
    let withheld = some("Withheld:", jail.withheld);
    let mut text = format!(
        "\
Status for the jail: {}{mode}
|- Filter
|  |- Currently failed: {}
|  |- Total failed:     {}
|  |- Ignored:          {}
{excused}|  |- Hearsay:          {}
{withheld}|  `- File list:        {files}
`- Actions
   |- Currently banned: {}
   |- Total banned:     {}
{observed}   `- Banned IP list:
",
        jail.jail,
        jail.currently_failed,
        jail.total_failed,
        jail.ignored,
        jail.hearsay,
        jail.currently_banned,
        jail.total_banned
    );
    for ban in &jail.banned {
        let _ = writeln!(text, "      {}", ban_line(ban));
    }
    text
}

/// Formats a line of the tree for what most guards never have.
fn some(name: &str, count: u64) -> String {
    if count == 0 { String::new() } else { format!("|  |- {name}         {count}\n") }
}
