//! `asterguard fetch`: fetches the lists that have a url.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use rustix::process::geteuid;

use super::log_file::progress;
use super::notify::unusable;
use super::output::{Failure, Output};
use super::text::printable_text;
use super::{ConfigArg, Exit};
use crate::config::duration;
use crate::config::feeds::FETCHED_DIR;
use crate::config::load::load_feeds;
use crate::config::{Fetch, ListFile};
use crate::daemon;
use crate::feeds::{self, FetchResult, Outcome, Terms, USER};
use crate::model::time::RoughDuration;
use crate::model::words::counted;
use crate::sys::clock::now;
use crate::sys::sandbox::{self, Needs, Sockets};
use crate::sys::user::{User, become_user, group};

/// What a resolver and TLS read. Nothing else of /etc is open to what talks to strangers: the configuration was read before.
const SYSTEM: [&str; 18] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/etc/static",
    "/nix/store",
    "/usr/share",
    "/usr/lib",
    "/lib",
    "/lib64",
    "/run/systemd/resolve",
    "/dev/urandom",
];

#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Only these feeds: the NAME of [feed.NAME]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Also fetch what is not due or has not changed, and take a list that has lost nearly everything
    #[arg(long)]
    force: bool,
    /// Time for each list
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = patience)]
    timeout: Duration,
    #[command(flatten)]
    config: ConfigArg,
}

/// Reads how long a list may take.
fn patience(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text).map_err(|error| error.to_string())?;
    let is_fine = (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&length);
    is_fine.then_some(length).ok_or_else(|| "write a time between 1s and 1h".to_owned())
}

pub fn fetch(args: &FetchArgs, output: &Output) -> Result<Exit, Failure> {
    let lists = load_feeds(args.config.config.as_deref()).map_err(unusable)?;
    let wanted = wanted(&lists, &args.names)?;
    if wanted.is_empty() {
        output.note("no feed has a url: there is nothing to fetch (docs/feeds.md)");
        return Ok(Exit::Done);
    }
    leave_root()?;
    confine(&wanted);
    let terms = Terms { force: args.force, patience: args.timeout };
    let bar = progress(0, false);
    let mut all_well = true;
    for (list, how) in wanted {
        let outcome = feeds::fetch(list, how, terms, now(), &|pages| step(&bar, &list.name, pages));
        all_well &= outcome.result != FetchResult::Failed;
        bar.suspend(|| told(&outcome, output));
    }
    bar.finish_and_clear();
    Ok(if all_well { Exit::Done } else { Exit::Failed })
}

/// Returns the feeds that are fetched: all, or those of these names.
fn wanted<'l>(
    lists: &'l [ListFile],
    names: &[String],
) -> Result<Vec<(&'l ListFile, &'l Fetch)>, Failure> {
    let fetched = || lists.iter().filter_map(|list| Some((list, list.fetch.as_ref()?)));
    if names.is_empty() {
        return Ok(fetched().collect());
    }
    let names: BTreeSet<_> = names.iter().map(String::as_str).collect();
    if let Some(name) = names.iter().find(|name| !fetched().any(|(list, _)| list.name == **name)) {
        let known: Vec<_> = fetched().map(|(list, _)| list.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("there is no feed {name:?} with a url; with one: {known}");
        return Err(Failure { exit: Exit::Usage, message });
    }
    Ok(fetched().filter(|(list, _)| names.contains(list.name.as_str())).collect())
}

/// Becomes the user that fetches, if this is root and there is one: root has no business with what strangers send.
fn leave_root() -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let failed = |what: &dyn std::fmt::Display| {
        Failure::new(format!("cannot become the user {USER}: {what}"))
    };
    let Some(found) = User::find(USER).map_err(|error| failed(&error))? else { return Ok(()) };
    // The guard reads what is fetched as a member of its group.
    let gid = group(daemon::USER).ok().flatten().unwrap_or(found.gid);
    let user = User { gid, ..found };
    match DirBuilder::new().mode(0o750).create(FETCHED_DIR) {
        Ok(()) => chown(FETCHED_DIR, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(&error)),
    }
    become_user(&user).map_err(|error| failed(&error))
}

/// Gives up all files, programs and sockets that fetching does not need. What cannot be given up here is what the unit
/// takes away.
fn confine(wanted: &[(&ListFile, &Fetch)]) {
    let mut read: Vec<PathBuf> = SYSTEM.map(PathBuf::from).to_vec();
    for (_, fetch) in wanted {
        read.extend(fetch.key.iter().map(|(file, _)| file.clone()));
        read.extend(fetch.cafile.clone());
    }
    let write = wanted.iter().filter_map(|(list, _)| list.path.parent().map(Path::to_owned));
    let needs =
        Needs { read, write: write.collect(), sockets: Sockets::Internet, ..Needs::default() };
    let _ = sandbox::give_up_capabilities();
    let _ = sandbox::confine(&needs);
}

/// Shows what goes on, where somebody looks.
fn step(bar: &ProgressBar, name: &str, pages: usize) {
    bar.set_message(format!("{name}: page {}", pages + 1));
    bar.tick();
}

fn told(outcome: &Outcome, output: &Output) {
    if output.json {
        return output.object(outcome);
    }
    let Outcome { feed, result, networks, skipped, error, todo, due_in } = outcome;
    let networks = counted(*networks, "network");
    let skipped = if *skipped == 0 {
        String::new()
    } else {
        format!(", {} skipped", counted(*skipped, "entry"))
    };
    let text = match result {
        FetchResult::Fetched => format!("{networks}{skipped}"),
        FetchResult::Unchanged => format!("not changed, {networks}"),
        FetchResult::NotDue => {
            let rest = RoughDuration(Duration::from_secs(due_in.unwrap_or(0)));
            format!("due in {rest}, {networks}")
        }
        FetchResult::Failed => {
            let why = error.as_deref().unwrap_or_default();
            format!("FAILED: {}; the last list stays, {networks}", printable_text(why))
        }
    };
    output.line(format_args!("{feed}: {text}"));
    if let (FetchResult::Failed, Some(todo)) = (result, todo) {
        output.line(format_args!("  do: {}", printable_text(todo)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_for_a_list_has_bounds() {
        assert_eq!(patience("90s"), Ok(Duration::from_secs(90)));
        assert!(["0", "2h", "soon"].iter().all(|text| patience(text).is_err()));
    }
}
