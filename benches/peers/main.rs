//! What whole programs take to read the same logs, and how many of the failed attempts in them each finds.
//!
//! ```text
//! make bench-peers
//! ```
//!
//! Each program reads each log as its users would have it read, with its own rules for Asterisk: `asterguard replay`,
//! fail2ban's server (`ASTERGUARD_FAIL2BAN` says where it is unpacked), `fail2ban-rs dry-run` (`ASTERGUARD_FAIL2BAN_RS` is
//! the program); then `grep -c` with one expression for all attempts, and `wc -l`. The table has the CPU time of all
//! threads of the process, from its start to its end; of fail2ban's server, without its start. Beside the attempts that it
//! found stand those that were written.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it measures time, and shows it"
)]

#[path = "../fail2ban/mod.rs"]
mod fail2ban;
#[path = "../logs/mod.rs"]
mod logs;
#[path = "../pipeline/peer.rs"]
mod peer;
#[path = "../process/mod.rs"]
mod process;

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use asterguard::config;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{ChannelId, Event, JailId, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use process::{Ran, run};

/// Lines of a log; fail2ban reads a quarter million in half a minute.
const LINES: usize = 250_000;

/// A log, and what was written into it.
struct Log {
    name: &'static str,
    path: PathBuf,
    lines: usize,
    /// The lines that say that somebody failed.
    attempts: u64,
    /// An extended regular expression for them.
    expression: &'static str,
}

type Generate = fn(u64, usize, &mut BufWriter<File>) -> std::io::Result<u64>;

fn main() {
    // Without `--bench`, this is `cargo test --all-targets`, which asks whether it runs at all.
    let lines = if env::args().any(|arg| arg == "--bench") { LINES } else { 500 };
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let quiet: Generate = |seed, lines, out| logs::quiet(seed, lines, out).map(|()| 0);
    let kinds: [(&str, Generate, &str); 3] = [
        ("quiet", quiet, ATTACK),
        ("attack", logs::attack_counted, ATTACK),
        ("security", logs::security_counted, SECURITY),
    ];
    println!(
        "| log | program | CPU s | lines a CPU second | attempts found | written | times as fast |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, generate, expression) in kinds {
        let path = home.path().join(name);
        let mut out = BufWriter::new(File::create(&path).unwrap());
        let attempts = generate(1, lines, &mut out).unwrap();
        out.flush().unwrap();
        Log { name, path, lines, attempts, expression }.compare(home.path());
    }
}

const ATTACK: &str = "failed (for|to authenticate as) |rejected because |: Rejecting '";
const SECURITY: &str =
    "SecurityEvent=\"(InvalidPassword|InvalidAccountID|ChallengeResponseFailed|FailedACL)\"";

impl Log {
    /// Prints a row of each program.
    fn compare(&self, home: &Path) {
        let (ours, found) = self.asterguard();
        self.row("asterguard replay", ours, found, ours);
        if let Some(package) = fail2ban::unpacked() {
            let (cpu, found) = peer::read(&package, &mut File::open(&self.path).unwrap()).unwrap();
            let name = format!("fail2ban {}", fail2ban::version(&package));
            self.row(&name, cpu, Some(found), ours);
        }
        if let Some(program) = env::var_os("ASTERGUARD_FAIL2BAN_RS") {
            let (name, cpu, found) = self.fail2ban_rs(Path::new(&program), home);
            self.row(&name, cpu, Some(found), ours);
        }
        // It ends with 1 where there is none.
        let grep = ["-c", "grep -cE \"$0\" \"$1\" || true", self.expression];
        let grep = run(Command::new("sh").args(grep).arg(&self.path));
        self.row("grep -cE", grep.cpu, grep.out.trim().parse().ok(), ours);
        let wc = run(Command::new("wc").arg("-l").arg(&self.path));
        self.row("wc -l", wc.cpu, None, ours);
    }

    fn row(&self, program: &str, cpu: Duration, found: Option<u64>, ours: Duration) {
        let seconds = cpu.as_secs_f64().max(0.01);
        println!(
            "| {} | {program} | {seconds:.2} | {:.0} | {} | {} | {:.1} |",
            self.name,
            self.lines as f64 / seconds,
            found.map_or_else(|| "–".to_owned(), |found| found.to_string()),
            self.attempts,
            seconds / ours.as_secs_f64().max(0.01),
        );
    }

    /// The CPU time, and the lines that a rule takes for a failed attempt: `replay` tells only of those that count.
    fn asterguard(&self) -> (Duration, Option<u64>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_asterguard"));
        let cpu = run(command.arg("replay").arg(&self.path)).cpu;
        let rules = RuleSet::load(None).unwrap();
        let config = config::load::parse(&[], &rules.filters()).unwrap();
        let plan = Plan::new(config, Arc::new(rules));
        let jails: Vec<JailId> = plan.jails().map(|(id, _)| id).collect();
        let matcher = Arc::new(Matcher::new(&plan.rules, &plan.rules_for(&jails)).unwrap());
        let (log, mut events) = (fs::read(&self.path).unwrap(), Vec::new());
        let mut clock = Clock::At(Time::from_secs(1_795_308_766));
        Scanner::new(matcher, ChannelId(0)).scan(&Region::of(&log, 1), &mut clock, &mut events);
        let failed = |event: &&Event| matches!(event.meaning, Meaning::Offence(_));
        (cpu, Some(events.iter().filter(failed).count() as u64))
    }

    /// Its name and version, CPU time, and the matches that it tells of.
    fn fail2ban_rs(&self, program: &Path, home: &Path) -> (String, Duration, u64) {
        let config = home.join("fail2ban-rs.toml");
        let jail = run(Command::new(program).args(["gen-config", "asterisk"])).out;
        fs::write(&config, format!("[global]\n{jail}")).unwrap();
        let name = run(Command::new(program).arg("--version")).out.trim().to_owned();
        let mut command = Command::new(program);
        command.arg("dry-run").arg("--config").arg(&config).arg(&self.path);
        let Ran { cpu, out } = run(command.args(["-j", "asterisk"]));
        let matches =
            out.lines().find_map(|line| line.trim().strip_prefix("Matches:")?.trim().parse().ok());
        (name, cpu, matches.unwrap_or_else(|| panic!("{out}")))
    }
}
