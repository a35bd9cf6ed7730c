//! `asterguard import`: bans, or what fail2ban has.

mod comparison;
mod switch;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::output::{Failure, Output};
use super::text::printable_text;
use super::{Exit, SocketArg, export};
use crate::config::diagnostic::Diagnostics;
use crate::decide::plan_files::load_plan;
use crate::fail2ban::database::MAGIC;
use crate::fail2ban::jails::{self, Configuration};
use crate::fail2ban::report::{Item, Verdict};
use crate::fail2ban::translation::{MARK, Translation, translate};
use crate::model::words::counted;
use crate::rules::RuleSet;
use crate::sys::text_file;

/// The names of the files that are written begin so.
const OURS: &str = "fail2ban";
/// Bytes of a file that may be written again.
const LARGEST: u64 = 16 << 20;

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A directory with fail2ban's configuration; fail2ban's database, for its bans; or a file with bans that `export` or
    /// `banned --json` wrote (`-` is standard input)
    #[arg(default_value = "/etc/fail2ban", value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    fail2ban: Fail2banArgs,
    #[command(flatten)]
    socket: SocketArg,
}

/// What can be asked of what fail2ban has.
#[derive(Debug, Args)]
struct Fail2banArgs {
    /// Write the translation into this directory, as conf.d and rules.d; without it, nothing is written
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also take this jail, which is not about Asterisk, or its bans; can be given more than once
    #[arg(long = "jail", value_name = "JAIL")]
    jails: Vec<String>,
    /// Also take over from fail2ban's database how often each host was banned before, so that its next ban is as long as if
    /// these bans had been made here
    #[arg(long)]
    history: bool,
    /// Run both guards on these logs: which hosts would have been banned by which. fail2ban-regex has to be installed
    #[arg(long, value_name = "LOG", num_args = 1.., requires = "out")]
    check: Vec<PathBuf>,
    /// Print the commands that stop fail2ban's part and start ours, in an order in which nobody is unguarded
    #[arg(long)]
    switch: bool,
}

/// Takes over bans, or translates fail2ban's configuration.
pub fn import(args: &ImportArgs, output: &Output) -> Result<Exit, Failure> {
    if args.path.is_dir() {
        return configuration(&args.path, &args.fail2ban, output);
    }
    let Fail2banArgs { out, jails, history, check: _, switch } = &args.fail2ban;
    if is_database(&args.path) && out.is_none() && !*switch {
        let done = export::import_of_fail2ban(&args.path, jails, *history, &args.socket, output);
        return done.map(|()| Exit::Done);
    }
    if *history {
        let message =
            format!("{} is no database: --history is for fail2ban's", args.path.display());
        return Err(Failure { exit: Exit::Usage, message });
    }
    if out.is_some() || !jails.is_empty() || *switch {
        let message = format!(
            "{} is no directory: --out, --jail and --switch are for fail2ban's configuration",
            args.path.display()
        );
        return Err(Failure { exit: Exit::Usage, message });
    }
    export::import(&args.path, &args.socket, output).map(|()| Exit::Done)
}

/// Whether a file is a database of `SQLite`.
fn is_database(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    let read = text_file::open_regular(path).map(|(mut file, _)| file.read_exact(&mut head));
    matches!(read, Ok(Ok(()))) && head == MAGIC
}

/// Translates the configuration in a directory.
fn configuration(base: &Path, args: &Fail2banArgs, output: &Output) -> Result<Exit, Failure> {
    if args.history {
        let message =
            "--history is for fail2ban's database, for example /var/lib/fail2ban/fail2ban.sqlite3";
        return Err(Failure { exit: Exit::Usage, message: message.to_owned() });
    }
    let Some(configuration) = jails::load(base) else {
        return Err(Failure::new(format!(
            "{} has no jail.conf and no jail.local: this is not fail2ban's directory",
            base.display()
        )));
    };
    let rules = RuleSet::load(None).map_err(Failure::new)?;
    let translation =
        translate(&configuration, &rules, &args.jails, |path| Path::new(path).is_file());
    let unknown = args.jails.iter().find(|name| !translation.taken.contains(name));
    if let Some(name) = unknown {
        let known: Vec<_> = configuration.jails.iter().map(|jail| jail.name.as_str()).collect();
        let message = format!(
            "fail2ban has no enabled jail `{}`; there are {}",
            printable_text(name),
            known.join(", ")
        );
        return Err(Failure { exit: Exit::Usage, message });
    }
    let written = args.out.as_deref().map(|out| write(out, &translation)).transpose();
    let written = written.map_err(|error| Failure::new(format!("{error:#}")))?;
    if output.json {
        for item in &translation.report.items {
            output.object(item);
        }
        output.object(&sum(&configuration, &translation, written.as_deref().unwrap_or_default()));
    } else {
        tell(&configuration, &translation, output);
        for path in written.iter().flatten() {
            output.line(format_args!("written: {}", path.display()));
        }
    }
    if let Some(out) = &args.out {
        // What was written is read as the guard will read it.
        let config = out.join("asterguard.toml");
        load_plan(Some(&config))?;
        if !args.check.is_empty() {
            comparison::compare(base, &configuration, &translation, &config, &args.check, output)?;
        }
    }
    if args.switch && !output.json {
        output.line("");
        for line in switch::lines(
            base,
            configuration.database.as_deref(),
            &translation,
            args.out.as_deref(),
        ) {
            output.line(line);
        }
    } else if args.out.is_none() && !output.json {
        output.line("nothing was written: add --out /etc/asterguard, or another directory to look at it first");
    }
    if configuration.problems.is_empty() {
        return Ok(Exit::Done);
    }
    let problems = Diagnostics(configuration.problems);
    let message = format!(
        "{}\n\n{} in fail2ban's files; the rest was read",
        problems.render(super::output::colours()),
        counted(problems.0.len(), "mistake")
    );
    Err(Failure::new(message))
}

fn sum(
    configuration: &Configuration,
    translation: &Translation,
    written: &[PathBuf],
) -> serde_json::Value {
    let counts =
        Verdict::ALL.map(|verdict| (verdict.to_string(), translation.report.count(verdict)));
    serde_json::json!({
        "result": "done",
        "changed": !written.is_empty(),
        "jails": translation.taken,
        "stay": translation.stay,
        "verdicts": counts.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "mistakes": configuration.problems.len(),
        "files": written,
        "config": translation.config,
        "rules": translation.rules.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<std::collections::BTreeMap<_, _>>(),
    })
}

/// Prints the report.
fn tell(configuration: &Configuration, translation: &Translation, output: &Output) {
    let mut jail = None;
    for item in &translation.report.items {
        if jail != Some(&item.jail) {
            output.line(format_args!("[{}]", printable_text(&item.jail)));
            jail = Some(&item.jail);
        }
        let Item { place, what, verdict, why, .. } = item;
        let place = place.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
        output.line(format_args!(
            "  {verdict:<8}{}{}",
            printable_text(what),
            printable_text(&place)
        ));
        output.line(super::text::wrapped(&format!("          {}", printable_text(why)), 10));
    }
    for path in open_to_others(&configuration.files) {
        let words = format!(
            "  ! {} can be written by others than root: who can do that chooses whom fail2ban bans, and what is read here",
            path.display()
        );
        output.line(super::text::wrapped(&printable_text(&words), 4));
    }
    let counts = [
        (Verdict::Taken, "taken as it is"),
        (Verdict::Better, "done better by something built in"),
        (Verdict::Hearsay, "untrusted (hearsay): shown, and bans nobody"),
        (Verdict::Cannot, "cannot be, for the reason given"),
    ];
    output.line(format_args!(
        "taken over: {} of {}; not about Asterisk: {}; not enabled: {}",
        translation.taken.len(),
        counted(configuration.jails.len(), "jail"),
        translation.stay.len(),
        configuration.disabled.len(),
    ));
    if !translation.stay.is_empty() {
        output.line(super::text::wrapped(
            &format!("  stay in fail2ban: {}", printable_text(&translation.stay.join(", "))),
            4,
        ));
    }
    for (verdict, words) in counts {
        output
            .line(format_args!("  {:>5}  {verdict:<8}{words}", translation.report.count(verdict)));
    }
}

/// Returns those of these files and of their directories that somebody besides root and its group can write.
fn open_to_others(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let is_open = |path: &Path| {
        fs::metadata(path).is_ok_and(|metadata| {
            let by_group = metadata.mode() & 0o020 != 0 && metadata.gid() != 0;
            metadata.mode() & 0o002 != 0 || by_group
        })
    };
    let directories = files.iter().filter_map(|path| path.parent());
    let all = files.iter().map(PathBuf::as_path).chain(directories);
    all.filter(|path| is_open(path)).map(Path::to_owned).collect()
}

/// Writes the translation, and returns the files that were written.
fn write(out: &Path, translation: &Translation) -> anyhow::Result<Vec<PathBuf>> {
    let mut files =
        vec![(out.join("conf.d").join(format!("{OURS}.toml")), translation.config.clone())];
    for (name, text) in &translation.rules {
        files.push((out.join("rules.d").join(format!("{name}.toml")), text.clone()));
    }
    let old = text_file::toml_files(&out.join("rules.d"))?;
    let begins =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(OURS));
    let old: Vec<_> = old
        .into_iter()
        .filter(|path| begins(path) && !files.iter().any(|(known, _)| known == path))
        .collect();
    for path in files.iter().map(|(path, _)| path).chain(&old) {
        let is_ours = |path: &Path| {
            text_file::read_text(path, LARGEST).is_ok_and(|text| text.starts_with(MARK))
        };
        anyhow::ensure!(
            !path.exists() || is_ours(path) || old.contains(path),
            "{} is not a file that `import` wrote: move it away, or choose another directory with --out",
            path.display()
        );
    }
    for path in &old {
        if text_file::read_text(path, LARGEST).is_ok_and(|text| text.starts_with(MARK)) {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    let main = out.join("asterguard.toml");
    if !main.exists() {
        files.push((
            main,
            format!(
                "{MARK}\n# The values are in conf.d, and those that are not there are built in.\n"
            ),
        ));
    }
    for (path, text) in &files {
        let context = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(out)).with_context(context)?;
        replace(path, text).with_context(context)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Writes a file so that it is there as a whole or as it was.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("toml.new");
    let mut file = fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}
