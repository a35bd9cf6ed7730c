//! `asterguard report`: what happened in a week, as text, as a page and by mail.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::TimeZone;

use super::Exit;
use super::notify::{self, HelperArg};
use super::output::{Failure, Output};
use super::state_file::moment;
use super::text::printable_text;
use super::without_daemon::PlacesArgs;
use crate::config::Notifier;
use crate::config::load::{MAIN, load, load_notify};
use crate::config::notify::Topic;
use crate::control::health::CheckResult;
use crate::control::list::{ListEntries, ListName, ListRequest};
use crate::control::status::{Detail, StatusRequest};
use crate::geo::Databases;
use crate::model::time::Time;
use crate::notify::helper;
use crate::notify::protocol::{Letter, ToNotifier};
use crate::notify::send::machine;
use crate::report::text::text;
use crate::report::{BanLedger, DaemonFacts, Material, Report, Span, html};
use crate::rules::RuleSet;
use crate::store::{PastReader, StoreError};
use crate::sys::clock::now;
use crate::sys::replace::replace;

/// The mode of the page: it names hosts and accounts.
const MODE: u32 = 0o640;

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Where it begins: a duration like 7d or 30d, or a date like 2026-11-22
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "7d")]
    since: Time,
    /// Write it as a page of HTML into this file; - for standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Send it by all notifiers of kind mail that have "report" in `on`
    #[arg(long)]
    mail: bool,
    #[command(flatten)]
    helper: HelperArg,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn report(args: &ReportArgs, output: &Output) -> Result<Exit, Failure> {
    let span = Span::new(args.since, now());
    let (databases, receivers) = configured(args, output)?;
    let daemon = asked(args, output);
    let mut bans = BanLedger::new(span);
    let mut material = Material {
        machine: machine(),
        zone: TimeZone::system(),
        counted_since: None,
        hours: Vec::new(),
        events: Vec::new(),
        accounts: HashSet::new(),
        daemon,
    };
    let state = &args.places.state;
    if state.is_there()? {
        read(&state.state_dir, span, &mut material, &mut bans)
            .map_err(|error| state.unreadable(&error))?;
    } else {
        output.note(&format!("there is no state file in {}", state.state_dir.display()));
    }
    let report = Report::new(span, &material, &bans, |host| databases.place(host));
    if let Some(path) = &args.html {
        write(path, &html::page(&report), output)?;
    }
    if let Some(receivers) = receivers {
        let letter =
            Letter { subject: report.subject(), text: text(&report), html: html::page(&report) };
        let request = ToNotifier::Letter(Box::new(letter.clone()));
        return args.helper.sent(&request, output, || helper::deliver(&receivers, &letter));
    }
    if args.html.is_some() {
        return Ok(Exit::Done);
    }
    if output.json {
        output.object(&report);
    } else {
        output.line(text(&report).trim_end());
    }
    Ok(Exit::Done)
}

/// Reads all that the state file has about a span.
fn read(
    directory: &Path,
    span: Span,
    material: &mut Material,
    bans: &mut BanLedger,
) -> Result<(), StoreError> {
    let past = PastReader::open(directory)?;
    material.counted_since = past.counted_since()?;
    past.hours(span.first_counted(), |count| material.hours.push(count))?;
    material.events = past.events(span.first_event())?;
    material.accounts = past.accounts()?;
    past.bans(|ban| bans.add(&ban))
}

/// Returns the databases of places, and who gets the report if it is sent.
///
/// # Errors
/// When it is to be sent, and nobody is to get it, or the configuration cannot be used.
fn configured(
    args: &ReportArgs,
    output: &Output,
) -> Result<(Databases, Option<Vec<Notifier>>), Failure> {
    let main = args.places.config.config.as_deref();
    let directory = main.unwrap_or(Path::new(MAIN)).parent();
    let rules = directory.map(|directory| directory.join("rules.d"));
    let databases = match load(main, &RuleSet::names(rules.as_deref())) {
        Ok(config) => Databases::open(&config.geoip.files),
        Err(error) => {
            let error = error.to_string();
            let first = error.lines().next().unwrap_or_default();
            output
                .note(&format!("without countries, as the configuration cannot be used: {first}"));
            Databases::default()
        }
    };
    for problem in databases.problems() {
        output.note(&printable_text(problem));
    }
    if !args.mail {
        return Ok((databases, None));
    }
    let receivers = load_notify(main).map_err(notify::unusable)?;
    if !receivers.iter().any(|receiver| receiver.on.contains(&Topic::Report)) {
        let message = "nobody is to get the report: write \"report\" into `on` of a [notify.NAME] of kind = \"mail\" (docs/report.md)";
        return Err(Failure { exit: Exit::Usage, message: message.to_owned() });
    }
    Ok((databases, Some(receivers)))
}

/// Returns what only the daemon knows; `None` if none answers.
fn asked(args: &ReportArgs, output: &Output) -> Option<DaemonFacts> {
    let ask = || -> Result<Option<DaemonFacts>, Failure> {
        let brief = StatusRequest { jail: None, detail: Detail::Brief };
        let Some(status) = args.places.ask(&brief)? else { return Ok(None) };
        let problems = status.checks.into_iter().filter(CheckResult::is_problem);
        let problems = problems.map(|found| (found.check.name().to_owned(), found.seen)).collect();
        let list = ListRequest { list: ListName::Feed, host: None };
        let feeds = match args.places.ask(&list)? {
            Some(ListEntries::Feed { feeds, .. }) => feeds,
            _ => Vec::new(),
        };
        Ok(Some(DaemonFacts { problems, feeds }))
    };
    // One that hangs keeps nobody from what is stored.
    ask().unwrap_or_else(|failure| {
        output.note(&failure.message);
        None
    })
}

/// Writes the page into a file, or to standard output.
fn write(path: &Path, page: &str, output: &Output) -> Result<(), Failure> {
    if path == Path::new("-") {
        output.line(page.trim_end());
        return Ok(());
    }
    replace(path, page.as_bytes(), MODE, |_| Ok(()))
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}
