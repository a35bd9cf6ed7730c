//! `asterguard check`

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;

use super::output::{Failure, Output};
use super::{ConfigArg, Exit};
use crate::config::Diagnostic;
use crate::control::geofence::FenceStatus;
use crate::control::list::{FeedReport, FetchStatus};
use crate::daemon::engine_thread::log_reader;
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan, unread_names};
use crate::detect::rule_examples;
use crate::feeds::FetchRecord;
use crate::geo::Databases;
use crate::hosts::discover::{self, Wanted};
use crate::hosts::exempt::words;
use crate::hosts::lists::{self, Lists};
use crate::input::glob::{self, Unread};
use crate::rules::RulesError;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Print every value in force, as a configuration file, with the file and line where it is written
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    config: ConfigArg,
}

pub fn check(args: &CheckArgs, output: &Output) -> Result<(), Failure> {
    let plan = load_plan(args.config.config.as_deref())?;
    if args.show {
        output.settings(&plan.config.settings());
        if !output.json {
            tell_notes(&plan, output, "# ");
        }
        return Ok(());
    }
    let outcome = rule_examples::run(&Arc::clone(&plan.rules)).map_err(PlanError::from)?;
    if !outcome.wrong.0.is_empty() {
        return Err(PlanError::from(RulesError::Wrong(outcome.wrong)).into());
    }
    log_reader::compile(&plan).map_err(PlanError::from)?;
    let jails: Vec<_> = plan.config.described().collect();
    let names: Vec<_> = jails.iter().map(|jail| jail.name.as_str()).collect();
    if jails.is_empty() {
        return Err(Failure {
            exit: Exit::Config,
            message: "no jail is enabled: nothing would ever be banned".to_owned(),
        });
    }
    let mut lists = lists::load(&plan.config.lists, &Lists::default()).map_err(PlanError::from)?;
    let databases = || Databases::open(&plan.config.geoip.files);
    lists.geofence =
        plan.config.lists.countries.as_ref().map(|countries| databases().geofence(countries, None));
    let fence = lists.geofence.as_ref().map(FenceStatus::from);
    let files = log_reader::wanted(&plan);
    let unread = unread(&plan);
    let mut warnings = plan.warnings();
    warnings.extend(unread_names(args.config.config.as_deref()).iter().map(ToString::to_string));
    let (never, left_out) = discover::scan(&Wanted::by(&plan.config, &lists));
    if output.json {
        let mut told = serde_json::json!({
            "result": "done",
            "jails": names,
            "terms": jails.iter().map(|jail| (jail.name.as_str(), jail.terms())).collect::<BTreeMap<_, _>>(),
            "warnings": warnings.into_iter().chain(plan.notes.iter().map(Diagnostic::line)).collect::<Vec<_>>(),
            "failregexes": plan.config.described().flat_map(|jail| plan.own_rules(jail)).collect::<BTreeMap<_, _>>(),
            "filters": plan.rules.filters(),
            "rules": plan.rules.rules.len(),
            "examples": outcome.run,
            "never_banned": never.counts(),
            "left_out": left_out,
            "blocked": lists.block.len(),
            "feeds": lists.feeds.iter().map(|feed| told(&plan, feed)).collect::<Vec<_>>(),
            "unread": unread.iter().map(|(logpath, why)| serde_json::json!({
                "logpath": logpath, "why": why.to_string(),
            })).collect::<Vec<_>>(),
            "files": files.keys().map(ToString::to_string).collect::<Vec<_>>(),
        });
        if let (Some(fence), Some(told)) = (&fence, told.as_object_mut()) {
            told.insert("geofence".to_owned(), serde_json::json!(fence));
        }
        output.object(&told);
    } else {
        output.line(format_args!(
            "ok: {} jails ({}), {} rules in {} filters, {} examples read as they should be",
            jails.len(),
            names.join(", "),
            plan.rules.rules.len(),
            plan.rules.files.len(),
            outcome.run
        ));
        for jail in &jails {
            output.line(format_args!("  {}: {}", jail.name, jail.terms()));
        }
        for (name, evidence) in jails.iter().flat_map(|jail| plan.own_rules(jail)) {
            output.line(format_args!("  {name}: {evidence}"));
        }
        for source in files.keys() {
            let note = match source.path() {
                Some(path) if glob::irregular(path).is_some() => "  (not a file: not read)",
                Some(path) if !path.is_file() => "  (not there yet: awaited)",
                _ => "",
            };
            output.line(format_args!("  {source}{note}"));
        }
        let words = words(&never.counts());
        output.line(format_args!("  never banned, besides ignoreip and names: {words}"));
        if !lists.block.is_empty() {
            output.line(format_args!("  blocked: {} networks", lists.block.len()));
        }
        for feed in &lists.feeds {
            let FeedReport { feed: name, networks, skipped, .. } = told(&plan, feed);
            output
                .line(format_args!("  feed {name}: {networks} networks, {skipped} lines skipped"));
        }
        if let Some(fence) = &fence {
            output.line(format_args!("  geofence: {}", fence.in_words()));
        }
        let problems = lists.problems().map(|problem| problem.seen);
        let unread = unread.iter().map(|(logpath, why)| format!("logpath {logpath:?} {why}"));
        let left_out = warnings.into_iter().chain(unread).chain(left_out).chain(problems);
        for words in left_out {
            output.line(format_args!("  ! {words}"));
        }
        tell_notes(&plan, output, "  ");
    }
    Ok(())
}

/// Prints what is worth a second look, each at its place, below a line of its own. `before` stands before each line.
fn tell_notes(plan: &Plan, output: &Output, before: &str) {
    for note in &plan.notes {
        let mut mark = "! ";
        for line in note.render(false).lines() {
            output.line(format_args!("{before}{mark}{line}"));
            mark = "  ";
        }
    }
}

/// Returns the patterns of each jail for which nothing is read now, with the reason why. That a built-in one matches
/// nothing is as it should be: they are the names of all distributions.
fn unread(plan: &Plan) -> BTreeMap<&str, Unread> {
    let patterns = plan.readers().flat_map(|(_, jail)| {
        let built_in = plan.config.places.of_jail(&jail.name, "logpath").is_none();
        jail.logpath.iter().map(move |pattern| (pattern.as_str(), built_in))
    });
    let why = |(pattern, built_in)| match glob::unread(pattern)? {
        Unread::NoFile if built_in => None,
        why => Some((pattern, why)),
    };
    patterns.filter_map(why).collect()
}

fn told(plan: &Plan, feed: &lists::Feed) -> FeedReport {
    let fetch = plan.config.lists.fetch(&feed.name);
    let status = fetch.map(|fetch| FetchStatus::new(fetch, &FetchRecord::read(&feed.path)));
    FeedReport::new(feed, None, status)
}
