//! `asterguard doctor`

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::client::ask;
use super::output::{Failure, Output};
use super::{ConfigArg, Exit, SocketArg};
use crate::control::status::{Detail, Status, StatusRequest};
use crate::decide::plan_files::{load_plan, unread_names};
use crate::doctor::{CHECKS, Finding, NoStatus, Verdict, World};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Also show what is in order
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn doctor(args: &DoctorArgs, output: &Output) -> Exit {
    let progress = progress(output);
    let step = |what: &'static str| {
        progress.set_message(what);
        progress.tick();
    };
    let plan =
        load_plan(args.config.config.as_deref()).map_err(|error| Failure::from(error).message);
    step("daemon");
    let unread = unread_names(args.config.config.as_deref());
    let world = World { unread, ..World::look(plan, status(args), step) };
    let mut findings = Vec::new();
    for (name, check) in CHECKS {
        step(name);
        findings.extend(check(&world));
    }
    progress.finish_and_clear();
    for finding in &findings {
        if output.json {
            output.object(finding);
        } else if finding.verdict != Verdict::Ok || args.verbose {
            output.line(in_words(finding).trim_end());
        }
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    if !output.json {
        output.line(format_args!(
            "problems: {}, hints: {}, not checked: {}, as it should be: {}",
            count(Verdict::Problem),
            count(Verdict::Advice),
            count(Verdict::Unchecked),
            count(Verdict::Ok)
        ));
    }
    if count(Verdict::Problem) > 0 { Exit::Failed } else { Exit::Done }
}

fn status(args: &DoctorArgs) -> Result<Status, NoStatus> {
    let request = StatusRequest { jail: None, detail: Detail::Brief };
    ask(&args.socket.socket, &request).map_err(|Failure { exit, message }| match exit {
        Exit::NotPermitted => NoStatus::NotPermitted(message),
        _ => NoStatus::Dead(message),
    })
}

/// Returns a progress bar, which is shown where somebody is looking and nothing else is printed there.
fn progress(output: &Output) -> ProgressBar {
    if output.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("looking at {msg} …");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

fn in_words(finding: &Finding) -> String {
    let (word, colour) = match finding.verdict {
        Verdict::Problem => ("problem", AnsiColor::Red),
        Verdict::Advice => ("hint", AnsiColor::Yellow),
        Verdict::Unchecked => ("?", AnsiColor::Cyan),
        Verdict::Ok => ("ok", AnsiColor::Green),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    let seen = finding.seen.replace('\n', "\n         ");
    let mut text = format!("{style}{word:<8}{style:#} {}: {seen}\n", finding.check);
    // Writing to a string does not fail.
    if let Some(place) = &finding.place {
        let _ = writeln!(text, "         where: {place}");
    }
    if let Some(change) = &finding.change {
        let _ = writeln!(text, "         do: {change}");
    }
    text
}
