//! `asterguard setup`

use std::collections::BTreeSet;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::process::geteuid;
use serde_json::json;

use super::Exit;
use super::client::ask;
use super::output::{Failure, Output};
use super::person::agreed;
use super::without_daemon::PlacesArgs;
use crate::config::load::MAIN;
use crate::control::reload::ReloadRequest;
use crate::control::status::{Detail, Status, StatusRequest};
use crate::decide::plan::Plan as GuardPlan;
use crate::decide::plan_files::load_plan;
use crate::model::words::counted;
use crate::setup::apply::apply;
use crate::setup::difference;
use crate::setup::plan::{Plan, Wanted, Wishes, logs_in_words, watched};
use crate::setup::record::{Entry, Record};
use crate::setup::survey::{Places, Survey};
use crate::setup::trial::{self, Direction, Guard, Outcome, Part};
use crate::setup::undo::{Undone, undo};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "options of a command line")]
pub struct SetupArgs {
    /// Show what would be changed, and change nothing; exit code 1 if there is something
    #[arg(long)]
    dry_run: bool,
    /// Take back what setup changed
    #[arg(long, conflicts_with_all = ["dry_run", "enforce"])]
    undo: bool,
    /// Have the guard ban. Without this, it begins by reporting whom it would ban
    #[arg(long)]
    enforce: bool,
    /// Do not give the guard a user of the manager interface (AMI)
    #[arg(long)]
    without_ami: bool,
    /// Also switch on this jail of a service that is not Asterisk's, for example sshd
    #[arg(long = "jail", value_name = "NAME", conflicts_with = "undo")]
    jails: Vec<String>,
    /// Do not ask before changing anything
    #[arg(long, short)]
    yes: bool,
    /// Do not have Asterisk write a line at the end, and wait for it
    #[arg(long)]
    no_trial: bool,
    /// Where the files are: those of an image that is mounted there. No program is asked
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
    #[command(flatten)]
    places: PlacesArgs,
}

impl SetupArgs {
    fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }

    fn status(&self) -> Option<Status> {
        let request = StatusRequest { jail: None, detail: Detail::Brief };
        if self.is_here() { ask(&self.places.socket.socket, &request).ok() } else { None }
    }

    fn reload(&self) -> Result<(), String> {
        let done = ask(&self.places.socket.socket, &ReloadRequest);
        done.map(|_| ()).map_err(|failure| failure.message)
    }

    fn plan_of_guard(&self) -> Result<GuardPlan, Failure> {
        Ok(load_plan(self.places.config.config.as_deref())?)
    }

    fn places(&self, asterisk: &Path) -> Places {
        let main = self.places.config.config.as_deref().unwrap_or(Path::new(MAIN));
        Places::below(&self.root, asterisk, main, &self.places.state.state_dir)
    }

    fn look(&self, guard: &GuardPlan, status: Option<&Status>) -> Survey {
        let places = self.places(&guard.config.asteriskconf);
        Survey::look(&self.root, places, guard, status)
    }
}

pub fn setup(args: &SetupArgs, output: &Output) -> Result<Exit, Failure> {
    if !geteuid().is_root() {
        return Err(Failure {
            exit: Exit::NotPermitted,
            message: "setup reads and writes Asterisk's configuration: run it as root (sudo asterguard setup)".to_owned(),
        });
    }
    if args.undo {
        return take_back(args, output);
    }
    let guard = args.plan_of_guard()?;
    let survey = args.look(&guard, args.status().as_ref());
    if !survey.places.asterisk.is_dir() {
        let place = survey.places.asterisk.display();
        return Err(Failure {
            exit: Exit::NotFound,
            message: format!(
                "there is no {place}: install Asterisk first, or name its directory in `asteriskconf`"
            ),
        });
    }
    let mode = if args.enforce { Wanted::Enforce } else { Wanted::Observe };
    if let Some(unknown) = args.jails.iter().find(|jail| {
        guard.jail_named(jail).is_none() && !survey.services.iter().any(|it| it.jail == **jail)
    }) {
        let offered: Vec<_> = survey.services.iter().map(|offer| offer.jail.as_str()).collect();
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        let message =
            format!("there is no service for a jail {unknown:?} here; those that run: {offered}");
        return Err(Failure { exit: Exit::Usage, message });
    }
    let wishes = Wishes { mode, ami: !args.without_ami, jails: args.jails.clone() };
    let plan = Plan::make(&survey, &wishes);
    show_found(&survey, output);
    show_plan(&plan, output);
    if args.dry_run {
        return Ok(if plan.is_empty() { Exit::Done } else { Exit::Failed });
    }
    let mut record = Record::open(&survey.places.record).map_err(Failure::new)?;
    if !plan.is_empty() {
        if !args.yes {
            let question = "Apply?";
            if output.json || !std::io::stdin().is_terminal() {
                let message = "nothing was changed: with --yes, it would be".to_owned();
                return Err(Failure { exit: Exit::Usage, message });
            }
            if !agreed(question) {
                output.done("nothing was changed");
                return Ok(Exit::Done);
            }
        }
        let applied = apply(&plan, &mut record, |done| output.note(done));
        applied.map_err(|error| {
            Failure::new(format!(
                "{error}. What was written before: asterguard setup --undo takes it back"
            ))
        })?;
    }
    finish(args, &survey, &plan, &mut record, output)
}

/// Has everything read again, and waits for a line.
fn finish(
    args: &SetupArgs,
    before: &Survey,
    plan: &Plan,
    record: &mut Record,
    output: &Output,
) -> Result<Exit, Failure> {
    if !args.is_here() {
        output.done(if plan.is_empty() { "there is nothing to change" } else { "done" });
        return Ok(Exit::Done);
    }
    let (status, reload) = (|| args.status(), || args.reload());
    let guard = Guard { status: &status, reload: &reload };
    let mut out = Outcome::default();
    let below = |name: &str| plan.files.iter().any(|edit| is_below(&edit.path, before, name));
    let parts = [
        (Part::Logger, below("logger")),
        (Part::Hep, below("hep") || below("modules.conf")),
        (Part::Manager, below("manager")),
        (Part::Groups, !plan.groups.is_empty()),
    ];
    let parts: Vec<_> =
        parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect();
    if before.runs {
        if !plan.is_empty() {
            trial::reload(&parts, Direction::There, record, &guard, &mut out);
        }
        if !args.no_trial {
            let now = args.plan_of_guard()?;
            let survey = args.look(&now, None);
            let expects_hep = parts.contains(&Part::Hep);
            let outcome = trial::wait(&survey, &watched(&survey), &guard, expects_hep, |_| {});
            out.seen.extend(outcome.seen);
            out.missing.extend(outcome.missing);
        }
    } else {
        out.missing.push("Asterisk does not run: start it, and run `asterguard setup` again to see a line arrive".to_owned());
    }
    let changed = counted(plan.files.len(), "file");
    let (seen, missing) = (&out.seen, &out.missing);
    if output.json {
        let result = if missing.is_empty() { "done" } else { "incomplete" };
        output.object(&json!({ "result": result, "files": plan.files.len(), "seen": seen, "missing": missing }));
    } else {
        output.line(format_args!("\n{changed} changed; asterguard setup --undo takes it back"));
        for words in seen {
            output.line(format_args!("  ok: {words}"));
        }
        for words in missing {
            output.line(format_args!("  missing: {words}"));
        }
    }
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Whether a file is the one of this name among Asterisk's, or one that it includes for that.
fn is_below(path: &Path, survey: &Survey, name: &str) -> bool {
    let inside = path.strip_prefix(&survey.places.asterisk);
    inside.is_ok_and(|inside| inside.to_string_lossy().starts_with(name))
}

fn take_back(args: &SetupArgs, output: &Output) -> Result<Exit, Failure> {
    // The record has the paths of Asterisk's files. A configuration with a mistake keeps nobody from this.
    let places = args.places(Path::new("/etc/asterisk"));
    let mut record = Record::open(&places.record).map_err(Failure::new)?;
    if record.entries().is_empty() {
        return Err(Failure {
            exit: Exit::NotFound,
            message: "setup has changed nothing here".to_owned(),
        });
    }
    let modules: Vec<_> = record
        .entries()
        .iter()
        .filter_map(|entry| match entry {
            Entry::Module { name } => Some(name.clone()),
            _ => None,
        })
        .collect();
    let observed = fs::read_to_string(&places.own).is_ok_and(|text| text.contains("observe"));
    let groups = record.entries().iter().any(|entry| matches!(entry, Entry::Group { .. }));
    let done = undo(&mut record).map_err(Failure::new)?;
    let mut whole = true;
    for one in &done {
        let (result, words) = match one {
            Undone::Restored(path) => ("restored", path.display().to_string()),
            Undone::Removed(path) => ("removed", path.display().to_string()),
            Undone::AsBefore(path) => ("as before", path.display().to_string()),
            Undone::LeftGroup { user, group } => ("left", format!("{user} the group {group}")),
            Undone::Module(module) => ("unloaded", module.clone()),
            Undone::Failed(why) => {
                whole = false;
                ("failed", why.clone())
            }
            Undone::Changed { path, difference } => {
                whole = false;
                let path = path.display();
                let words = format!(
                    "{path} was changed after setup wrote it, so it stays. What was changed since:\n{difference}"
                );
                ("left as it is", words)
            }
        };
        if output.json {
            output.object(&json!({ "undo": result, "what": words }));
        } else {
            output.line(format_args!("{result}: {words}"));
        }
    }
    if args.is_here() {
        // In the opposite order: one uses the other.
        for module in modules.iter().rev() {
            trial::unload(module);
        }
        let (status, reload) = (|| args.status(), || args.reload());
        let guard = Guard { status: &status, reload: &reload };
        let mut out = Outcome::default();
        let mut parts = vec![Part::Logger, Part::Hep, Part::Manager];
        parts.extend(groups.then_some(Part::Groups));
        trial::reload(&parts, Direction::Back, &mut record, &guard, &mut out);
        out.missing.iter().for_each(|words| output.note(words));
    }
    let own = |one: &Undone| matches!(one, Undone::Removed(path) | Undone::Restored(path) if *path == places.own);
    if observed && done.iter().any(own) {
        output.note(
            "`mode = \"observe\"` of setup is gone: without another, the guard bans from now on",
        );
    }
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

fn show_found(survey: &Survey, output: &Output) {
    let version = survey.version.map_or("of an unknown version".to_owned(), |v| v.to_string());
    let runs = if survey.runs { "runs" } else { "does not run" };
    let logs = logs_in_words(survey);
    let ports: BTreeSet<_> = survey
        .listening
        .sip
        .iter()
        .map(|port| format!("{}/{}", port.number, format!("{:?}", port.transport).to_lowercase()))
        .collect();
    let ports: Vec<_> = ports.into_iter().collect();
    let caller = survey.caller.map(|address| address.to_string());
    if output.json {
        output.object(&json!({ "found": {
            "system": survey.system, "distribution": survey.distribution,
            "asterisk": survey.version.map(|version| version.to_string()), "runs": survey.runs,
            "logs": logs, "ports": ports, "trunks": survey.trunks, "contacts": survey.contacts,
            "caller": caller,
        } }));
        return;
    }
    let line = |name: &str, words: &str| output.line(format_args!("  {name:<10} {words}"));
    output.line("Found:");
    line("system", survey.system.as_deref().unwrap_or("unknown"));
    line("Asterisk", &format!("{version}, {}, {runs}", survey.distribution.name()));
    match logs.split_first() {
        None => line("logs", "none"),
        Some((first, rest)) => {
            line("logs", first);
            for log in rest {
                line("", log);
            }
        }
    }
    line("SIP", &some(&ports, "no port"));
    line("trunks", &some(&survey.trunks, "none"));
    line("contacts", &some(&survey.contacts, "none"));
    if let Some(caller) = caller {
        line("you", &format!("{caller} (never banned with `asterguard allow {caller}`)"));
    }
}

/// Returns a few words of a list.
fn some(all: &[String], none: &str) -> String {
    const SHOWN: usize = 8;
    if all.is_empty() {
        return none.to_owned();
    }
    let shown = all.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn show_plan(plan: &Plan, output: &Output) {
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    for edit in &plan.files {
        let path = edit.path.display().to_string();
        let difference = difference(&path, edit.old.as_deref(), Some(&edit.new), &plan.secrets);
        let why: Vec<_> = edit.why.iter().flat_map(|why| why.lines()).collect();
        if output.json {
            output
                .object(&json!({ "change": "file", "path": path, "why": why, "diff": difference }));
        } else {
            output.line(format_args!("\n{}. {path}", next()));
            for why in why {
                output.line(format_args!("   {why}"));
            }
            output.line(format_args!("\n{}", difference.trim_end()));
        }
    }
    for edit in &plan.groups {
        if output.json {
            output.object(&json!({ "change": "group", "user": edit.user, "group": edit.group, "why": edit.why }));
        } else {
            let (user, group) = (&edit.user, &edit.group);
            output.line(format_args!(
                "\n{}. usermod -a -G {group} {user}\n   {}",
                next(),
                edit.why
            ));
        }
    }
    for hand in &plan.by_hand {
        if output.json {
            output.object(&json!({ "by_hand": hand }));
        } else {
            output.line(format_args!(
                "\nBy hand, in {}: {}\n\n{}",
                hand.place,
                hand.why,
                hand.text.trim_end()
            ));
        }
    }
    if output.json {
        plan.notes.iter().for_each(|note| output.object(&json!({ "note": note })));
        return;
    }
    if !plan.notes.is_empty() {
        output.line("\nLeft as it is:");
        plan.notes.iter().for_each(|note| output.line(format_args!("  {note}")));
    }
    if plan.is_empty() {
        output.line("\nThere is nothing to change.");
    } else {
        output.line("");
    }
}
