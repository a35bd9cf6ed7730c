//! What a line costs as an installation grows: more jails, rules, hosts, bans, files, and an older log.
//!
//! ```text
//! make bench-scale
//! ```
//!
//! Each row is one number of one of these, and everything else as it comes. Each round reads the same lines anew, through
//! [`Scanner`] and [`Engine`] as the guard does; the table shows the median of the rounds, in CPU time of the thread. The
//! last axis, the age of the log, is `asterguard replay` as a user starts it, less a start with an empty log.
//!
//! The plots go to the file that `ASTERGUARD_BENCH_SVG` names, if it is set.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it measures time, and shows it"
)]

#[path = "../logs/mod.rs"]
mod logs;
mod plot;
#[path = "../process/mod.rs"]
mod process;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use asterguard::config::{self, Mode};
use asterguard::decide::engine::Engine;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{Ban, Evidence, JailId};
use asterguard::model::subject::Subject;
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use plot::Axis;

const START: Time = Time::from_secs(1_795_308_766);

/// How much is measured: the greatest numbers of the axes, lines of a log, and rounds.
struct Amount {
    most: u64,
    lines: usize,
    rounds: usize,
}

const MEASURED: Amount = Amount { most: 10_000_000, lines: 200_000, rounds: 5 };
const TRIED: Amount = Amount { most: 100, lines: 1000, rounds: 2 };

fn main() {
    // Without `--bench`, this is `cargo test --all-targets`, which asks whether it runs at all.
    let amount = if env::args().any(|arg| arg == "--bench") { MEASURED } else { TRIED };
    let upto = |numbers: &[u64]| -> Vec<u64> {
        numbers.iter().copied().filter(|number| *number <= amount.most).collect()
    };
    let attack = log(logs::attack, amount.lines);
    let axes = [
        Axis::measure("jails", &upto(&[1, 3, 10, 30, 100]), |jails| {
            Scene::new(jails as usize, 0).cost(&attack, amount.rounds)
        }),
        Axis::measure("rules more", &upto(&[0, 100, 300, 1000, 2000]), |rules| {
            Scene::new(1, rules as usize).cost(&attack, amount.rounds)
        }),
        Axis::measure("hosts", &upto(&[1, 100, 10_000, 100_000, 1_000_000, 10_000_000]), |hosts| {
            Scene::new(1, 0).cost_of_hosts(hosts as u32, &amount)
        }),
        Axis::measure("bans", &upto(&[0, 100, 10_000, 100_000, 1_000_000]), |bans| {
            Scene::new(1, 0).banned(bans as u32).cost(&attack, amount.rounds)
        }),
        Axis::measure("files", &upto(&[1, 5, 50, 500]), |files| {
            Scene::new(1, 0).cost_of_files(files as usize, &attack, amount.rounds)
        }),
        Axis::measure("hours of the log", &upto(&[1, 24, 720, 8760]), |hours| {
            cost_of_age(hours, amount.lines, amount.rounds)
        }),
    ];
    println!("| axis | number | ns a line | of the least |\n|---|---|---|---|");
    for axis in &axes {
        print!("{}", axis.rows());
    }
    if let Some(path) = env::var_os("ASTERGUARD_BENCH_SVG") {
        plot::draw(Path::new(&path), &axes);
    }
}

fn log(generate: fn(u64, usize, &mut Vec<u8>) -> std::io::Result<()>, lines: usize) -> Vec<u8> {
    let mut log = Vec::new();
    generate(1, lines, &mut log).unwrap();
    log
}

/// Rules that match nothing in the logs, as an administrator writes them: `service` tells them apart.
fn more_rules(service: &str, count: usize) -> String {
    let mut text = String::from("prefix = \"asterisk\"\n");
    for number in 0..count {
        writeln!(
            text,
            "[[rule]]\nid = \"r{number}\"\nclass = \"guess\"\nevidence = \"unverified\"\n\
             failregex = '''^{service}_{number}\\.c: Login of '[^']*' refused for '<HOST:PORT>'$'''"
        )
        .unwrap();
    }
    text
}

/// A plan with its automata, and an engine.
struct Scene {
    jails: Vec<JailId>,
    matcher: Arc<Matcher>,
    engine: Engine,
}

impl Scene {
    /// The built-in jails, in observe mode, with `jails - 1` others that have a filter of one rule each, and `rules` more
    /// rules in one more filter.
    fn new(jails: usize, rules: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = String::new();
        let mut add = |name: &str, count: usize| {
            fs::write(home.path().join(format!("{name}.toml")), more_rules(name, count)).unwrap();
            writeln!(
                config,
                "[jail.{name}]\nfilter = \"{name}\"\nlogpath = [\"/var/log/asterisk/messages\"]"
            )
            .unwrap();
        };
        for number in 1..jails {
            add(&format!("other{number}"), 1);
        }
        if rules > 0 {
            add("more", rules);
        }
        let rules = RuleSet::load(Some(home.path())).unwrap();
        let sources = [(PathBuf::from("bench.toml"), config)];
        let mut config = config::load::parse(&sources, &rules.filters())
            .unwrap_or_else(|wrong| panic!("{wrong:?}"));
        for jail in &mut config.jails {
            jail.mode = Mode::Observe;
        }
        let plan = Arc::new(Plan::new(config, Arc::new(rules)));
        let jails: Vec<JailId> = plan.jails().map(|(id, _)| id).collect();
        let matcher = Arc::new(Matcher::new(&plan.rules, &plan.rules_for(&jails)).unwrap());
        Self { jails, matcher, engine: Engine::new(plan) }
    }

    /// The same with so many hosts banned, none of which is in the logs.
    fn banned(mut self, bans: u32) -> Self {
        let plan = Arc::clone(self.engine.plan());
        let jail = plan.manual();
        let (scope, _) = plan.ban_terms(plan.jail(jail).unwrap(), Evidence::Proven);
        let mut decisions = Vec::new();
        for number in 0..bans {
            let host: IpAddr = logs::numbered_host(number).into();
            let ban = Ban {
                jail,
                subject: Subject::of(host, 64),
                host,
                scope,
                since: START,
                until: Some(START.plus(Duration::from_secs(86_400))),
                offences: 5,
                evidence: Evidence::Proven,
                cause: None,
            };
            self.engine.import(ban, START, &mut decisions);
            decisions.clear();
        }
        assert_eq!(self.engine.bans().iter().count(), bans as usize);
        self
    }

    /// Reads `log` in `rounds`, and returns the nanoseconds a line.
    fn cost(&mut self, log: &[u8], rounds: usize) -> f64 {
        self.cost_of_files(1, log, rounds)
    }

    /// The same in so many files, whose lines come in turn, 200 at a time.
    fn cost_of_files(&mut self, files: usize, log: &[u8], rounds: usize) -> f64 {
        let parts = parts(log);
        let mut times: Vec<f64> = (0..rounds).map(|_| self.round(files, &parts)).collect();
        median(&mut times)
    }

    fn round(&mut self, files: usize, parts: &[(&[u8], u64)]) -> f64 {
        let mut scanners: Vec<Scanner> = (0..files)
            .map(|_| {
                let channel = self.engine.open_channel(self.jails.clone());
                Scanner::new(Arc::clone(&self.matcher), channel)
            })
            .collect();
        let (mut lines, mut hits) = (vec![1; files], 0);
        let (mut events, mut decisions) = (Vec::new(), Vec::new());
        let start = process::own_cpu_time();
        for (number, (part, count)) in parts.iter().enumerate() {
            let file = number % files;
            let region = Region::of(part, lines[file]);
            lines[file] += count;
            scanners[file].scan(&region, &mut Clock::At(START), &mut events);
            hits += events.len();
            for event in events.drain(..) {
                self.engine.on_event(&event, &mut decisions);
                decisions.clear();
            }
        }
        let time = process::own_cpu_time().saturating_sub(start);
        assert!(hits > 0, "nothing was found");
        time.as_secs_f64() * 1e9 / parts.iter().map(|(_, count)| *count as f64).sum::<f64>()
    }

    /// Lines of so many hosts in turn; those of the first round are not measured.
    fn cost_of_hosts(&mut self, hosts: u32, amount: &Amount) -> f64 {
        let batch = |from: u32, lines: u32| {
            let mut log = Vec::new();
            for begin in (from..from + lines).step_by(hosts.min(lines) as usize) {
                let first = begin % hosts;
                let last = hosts.min(first + hosts.min(from + lines - begin));
                logs::numbered(first..last, &mut log).unwrap();
            }
            log
        };
        let lines = amount.lines as u32;
        for from in (0..hosts).step_by(lines as usize) {
            let log = batch(from, lines.min(hosts - from));
            self.round(1, &parts(&log));
        }
        let log = batch(0, lines);
        self.cost(&log, amount.rounds)
    }
}

/// The log in parts of 200 lines, each with the number of its lines.
fn parts(log: &[u8]) -> Vec<(&[u8], u64)> {
    let mut parts = Vec::new();
    let (mut begin, mut count) = (0, 0);
    for end in memchr::memchr_iter(b'\n', log) {
        count += 1;
        if count == 200 || end + 1 == log.len() {
            parts.push((&log[begin..=end], count));
            (begin, count) = (end + 1, 0);
        }
    }
    parts
}

/// `asterguard replay` of a log of so many hours, less that of an empty one, in nanoseconds a line.
fn cost_of_age(hours: u64, lines: usize, rounds: usize) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("security.log");
    let mut log = Vec::new();
    logs::stretched(1, lines, hours * 3600, &mut log).unwrap();
    let replay = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let round = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_asterguard"));
            process::run(command.arg("replay").arg(&path)).cpu.as_secs_f64()
        };
        let mut times: Vec<f64> = (0..rounds).map(|_| round()).collect();
        median(&mut times)
    };
    (replay(&log) - replay(b"")).max(0.0) * 1e9 / lines as f64
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
