//! The facts that the checks look at, gathered once, at the edge.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::unread_names::UnreadName;
use crate::control::health::{Check, CheckResult};
use crate::control::status::Status;
use crate::daemon::engine_thread::log_reader;
use crate::decide::plan::Plan;
use crate::doctor::journal;
use crate::doctor::other_tables::{self, Ruleset};
use crate::hosts::asterisk::conf::{self, Conf};
use crate::hosts::asterisk::modules_conf;
use crate::hosts::discover::{ConfFiles, asterisk_ports};
use crate::model::journal_part::JournalPart;
use crate::model::time::Time;
use crate::sources::journal::entry;
use crate::sys::clock::now;
use crate::sys::program::{Program, ProgramError};
use crate::sys::sock_diag::{Listener, SockDiag, SockDiagError};

/// The time that a program that is asked something may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Processes that are looked at, at most.
const MOST_PROCESSES: usize = 1 << 16;

/// The reason why the state of the daemon is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoStatus {
    /// None answers, in words.
    Dead(String),
    /// This user may not ask it, in words.
    NotPermitted(String),
}

/// The facts that there are to look at. In place of a part that is not to be had is the reason why.
#[derive(Debug)]
pub struct World {
    /// The plan that the guard goes by.
    pub plan: Result<Plan, String>,
    /// The files beside the configuration that are not read.
    pub unread: Vec<UnreadName>,
    /// The logs that the jails read, whether they exist or not.
    pub logs: Vec<PathBuf>,
    /// The parts of the journal that the jails read.
    pub journal: Vec<journal::Part>,
    /// The directory of Asterisk's configuration.
    pub asterisk: PathBuf,
    /// The state of the daemon.
    pub status: Result<Status, NoStatus>,
    /// The firewall's tables, chains and rules.
    pub ruleset: Result<Ruleset, String>,
    /// The text that `nft --version` prints.
    pub nft: Result<String, String>,
    /// The text that `asterisk -V` prints.
    pub version: Result<String, String>,
    /// The answer of Asterisk to `logger filter show`.
    pub filter: Result<String, String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// The sockets that wait for anybody.
    pub sockets: Result<Vec<Listener>, String>,
    /// Whether the kernel can destroy the connections of banned hosts.
    pub destroys: Result<(), String>,
    /// Whether the timer that fetches lists is on; `None`: systemd does not run here.
    pub fetch_timer: Option<bool>,
    /// The names of the processes that run.
    pub processes: Vec<String>,
    /// The present.
    pub now: Time,
}

impl World {
    /// Looks around. `step` is told what is looked at next.
    pub fn look(
        plan: Result<Plan, String>,
        status: Result<Status, NoStatus>,
        mut step: impl FnMut(&'static str),
    ) -> Self {
        let unknown = Path::new("/etc/asterisk");
        let asterisk = plan.as_ref().map_or(unknown, |plan| &plan.config.asteriskconf).to_owned();
        let logs = plan.as_ref().map_or_else(|_| Vec::new(), log_reader::files);
        step("journal");
        let parts = plan.as_ref().map_or_else(|_| Vec::new(), log_reader::parts_of_journal);
        let journal = parts.into_iter().map(|part| (part.clone(), last_entry(&part))).collect();
        step("nft");
        let nft = ask(&["nft", "--version"]);
        let ruleset = other_tables::list(&Program::nft()).map_err(|error| error.to_string());
        step("asterisk");
        let version = ask(&["asterisk", "-V"]);
        let filter = ask(&["asterisk", "-rx", "logger filter show"]);
        step("processes");
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let (processes, now) = (processes(), now());
        let sockets = asterisk_ports::sockets().map_err(|error| error.to_string());
        let destroys = SockDiag::open().map_err(SockDiagError::from).and_then(|mut d| d.probe());
        let destroys = destroys.map_err(|error| error.to_string());
        Self {
            plan,
            unread: Vec::new(),
            logs,
            journal,
            asterisk,
            status,
            ruleset,
            nft,
            version,
            filter,
            kernel,
            sockets,
            destroys,
            fetch_timer: fetch_timer(),
            processes,
            now,
        }
    }

    /// Whether a running daemon says that this is wrong.
    #[must_use]
    pub fn has_problem(&self, check: Check) -> bool {
        let wrong = |result: &CheckResult| result.check == check && result.is_problem();
        self.status.as_ref().is_ok_and(|status| status.checks.iter().any(wrong))
    }

    /// Reads a file of Asterisk's configuration, with what it includes.
    ///
    /// # Errors
    /// The reason why there is nothing to be said about it.
    pub fn conf(&self, name: &str, keys: &[&str]) -> Result<Conf, String> {
        self.read(name, |disk| conf::read(disk, name, keys))
    }

    /// Does the same, whatever the keys are.
    ///
    /// # Errors
    /// The reason why there is nothing to be said about it.
    pub fn conf_all(&self, name: &str) -> Result<Conf, String> {
        self.read(name, |disk| conf::read_all(disk, name))
    }

    fn read(
        &self,
        name: &str,
        read: impl FnOnce(&mut ConfFiles<'_>) -> Conf,
    ) -> Result<Conf, String> {
        let mut disk = ConfFiles::new(&self.asterisk);
        let conf = read(&mut disk);
        match (conf.sections.is_empty(), disk.left_out().first()) {
            (true, Some(why)) => Err(why.clone()),
            (true, None) => Err(format!("there is no {}", self.path(name))),
            (false, _) => Ok(conf),
        }
    }

    /// Returns the whole path of a file of Asterisk's configuration.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.asterisk.join(name).display().to_string()
    }

    /// Whether Asterisk loads this module, as far as `modules.conf` says.
    #[must_use]
    pub fn loads(&self, module: &str) -> bool {
        let conf = self.conf("modules.conf", &modules_conf::KEYS);
        conf.map_or(true, |conf| modules_conf::loads(&conf, module))
    }
}

/// Whether systemd starts the timer that fetches lists.
fn fetch_timer() -> Option<bool> {
    const ENABLED: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];
    const LINK: &str = "timers.target.wants/asterguard-fetch.timer";
    Path::new("/run/systemd/system").is_dir().then(|| {
        ENABLED.iter().any(|directory| Path::new(directory).join(LINK).symlink_metadata().is_ok())
    })
}

/// Whether Asterisk takes a value for no.
#[must_use]
pub fn is_no(value: &str) -> bool {
    ["no", "false", "n", "f", "0", "off"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Returns the last entry of a part of the journal, as `journalctl` prints it; nothing if there is none.
fn last_entry(part: &JournalPart) -> Result<String, String> {
    let fields = entry::matches(part);
    let mut argv = vec!["journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=1"];
    argv.extend(fields.iter().map(String::as_str));
    ask(&argv)
}

/// Returns what a program prints.
fn ask(argv: &[&str]) -> Result<String, String> {
    Program::ask(argv, PATIENCE).map_err(|error| match error {
        ProgramError::NotFound { .. } => {
            format!("there is no `{}` here", argv.first().copied().unwrap_or_default())
        }
        error => error.to_string(),
    })
}

/// Returns the names of all processes; of those that an interpreter runs, the script's.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    let names = pids.take(MOST_PROCESSES).filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let first = name(words.next()?.as_ref());
        let interpreted = ["python", "php", "perl", "bash", "sh"].iter();
        let script = interpreted.filter(|i| first.starts_with(**i)).find_map(|_| {
            words.by_ref().take(8).find(|word| !word.starts_with('-') && !word.is_empty())
        });
        Some(script.map_or(first, |script| name(&script)))
    });
    let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
