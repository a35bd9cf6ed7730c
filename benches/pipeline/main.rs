//! How fast logs are read, from the file to the decision, on one thread.
//!
//! ```text
//! cargo bench --bench pipeline
//! ASTERGUARD_BENCH_FILES=/var/log/asterisk/full:/var/log/asterisk/messages cargo bench --bench pipeline
//! ```
//!
//! Each round reads each log twice: once as the daemon does, through [`LineSplitter`], [`Scanner`]
//! and [`Engine`] with the built-in configuration (but nobody is banned, so every refusal counts to
//! the end), and once with `read()` and nothing but a search for the line feeds. The table shows
//! the medians of all rounds, in CPU time of the thread: what else runs on the machine matters less
//! then. (`best` is the fastest round's time for a line, in ns.) `plain` is the speed of the plain
//! search in MB/s, and `ratio` how many times as fast as that the pipeline is. `RssAnon` is the
//! memory taken at the end, in MiB, that of the logs before included as far as the allocator kept it.
//!
//! If `ASTERGUARD_FAIL2BAN` says where fail2ban's package is unpacked (`make bench` sees to it), its
//! server reads the beginnings of the made-up logs too, once each.
//!
//! | variable | default | |
//! |---|---|---|
//! | `ASTERGUARD_BENCH_MIB` | 256 | size of each made-up log, in MiB |
//! | `ASTERGUARD_BENCH_ROUNDS` | 7 | |
//! | `ASTERGUARD_BENCH_SEED` | 1 | of the made-up logs |
//! | `ASTERGUARD_BENCH_ONLY` | | only this log: quiet, attack, security or crowd |
//! | `ASTERGUARD_BENCH_FILES` | | read these files instead, separated by colons |
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "it measures time, and shows it"
)]

#[path = "../fail2ban/mod.rs"]
mod fail2ban;
#[path = "../logs/mod.rs"]
mod logs;
mod peer;
#[path = "../process/mod.rs"]
mod process;

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufWriter, Read as _, Seek as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use asterguard::config::{self, Mode};
use asterguard::decide::engine::Engine;
use asterguard::decide::plan::Plan;
use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::LineSplitter;
use asterguard::model::event::{Decision, JailId};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use process::own_cpu_time;

/// What the daemon asks for in one read, in bytes.
const READ_SIZE: usize = 128 * 1024;

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Error> {
    // Without `--bench`, this is `cargo test --all-targets`, which asks whether it runs at all.
    let measuring = env::args().any(|arg| arg == "--bench");
    let mib = if measuring { number("ASTERGUARD_BENCH_MIB", 256)? } else { 1 };
    let rounds = if measuring { number("ASTERGUARD_BENCH_ROUNDS", 7)? } else { 1 };

    let mut logs = match env::var("ASTERGUARD_BENCH_FILES") {
        Ok(paths) => paths.split(':').map(Log::open).collect::<Result<Vec<_>, _>>()?,
        Err(_) => made_up(mib << 20)?,
    };
    let start = Instant::now();
    let plan = Arc::new(plan()?);
    let jails: Vec<JailId> = plan.jails().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(&plan.rules, &plan.rules_for(&jails))?);
    let setup = start.elapsed();
    let idle = anonymous_memory();

    for _ in 0..rounds {
        for log in &mut logs {
            let plain = log.timed(count_lines)?;
            let mut memory = 0;
            let read = log.timed(|file| run(file, &plan, &jails, &matcher, &mut memory))?;
            if log.plain.last().is_some_and(|(_, lines)| *lines != plain.1)
                || log.read.last().is_some_and(|(_, counts)| *counts != read.1)
            {
                return Err(format!("two readings of {} differ", log.name).into());
            }
            log.memory = log.memory.max(memory);
            log.plain.push(plain);
            log.read.push(read);
        }
    }

    println!(
        "\nrules: ready in {} ms, automata of {} KiB, RssAnon {:.1} MiB before the first line",
        setup.as_millis(),
        matcher.memory() >> 10,
        mebibytes(idle)
    );
    println!("{HEADINGS}");
    for log in &mut logs {
        println!("{}", log.row());
    }
    if let Some(package) = fail2ban::unpacked() {
        beside(&package, &logs, if measuring { PEER_MIB } else { 1 })?;
    }
    Ok(())
}

/// How much of the made-up logs fail2ban reads, in MiB: some seconds' work for it.
const PEER_MIB: u64 = 16;

/// Prints how fast fail2ban reads, and how many times as fast we are.
fn beside(package: &Path, logs: &[Log], mib: u64) -> Result<(), Error> {
    println!("\n(beside fail2ban {})", fail2ban::version(package));
    println!("log       fail2ban: MB/s   lines/s  asterguard is so many times as fast");
    for mut beginning in made_up(mib << 20)? {
        let name = &beginning.name;
        let Some(log) = logs.iter().find(|log| log.name == *name) else { continue };
        let lines = log.plain.first().map_or(0, |(_, lines)| *lines) as f64;
        let lines = lines * beginning.bytes as f64 / log.bytes as f64;
        beginning.file.rewind()?;
        let seconds = peer::read(package, &mut beginning.file)?.0.as_secs_f64();
        let (ours, theirs) = (log.speed(), beginning.bytes as f64 / seconds);
        println!(
            "{name:<9} {:>14.1} {:>9.0} {:>12.0}",
            theirs / 1e6,
            lines / seconds,
            ours / theirs
        );
    }
    Ok(())
}

const HEADINGS: &str = "log        MiB    lines     hits offences    MB/s   lines/s ns/line    best   plain ratio RssAnon  goal";

fn number(name: &str, default: u64) -> Result<u64, Error> {
    match env::var(name) {
        Ok(text) => text.parse().map_err(|error| format!("{name}: {error}").into()),
        Err(_) => Ok(default),
    }
}

/// The built-in rules and configuration, but with all jails in observe mode.
fn plan() -> Result<Plan, Error> {
    let rules = RuleSet::load(None)?;
    let mut config = config::load::parse(&[], &rules.filters())?;
    for jail in &mut config.jails {
        jail.mode = Mode::Observe;
    }
    Ok(Plan::new(config, Arc::new(rules)))
}

/// A log file and what was measured of it.
struct Log {
    name: String,
    goal: &'static str,
    file: File,
    bytes: u64,
    /// `RssAnon` at the end, in bytes.
    memory: u64,
    plain: Vec<(Duration, u64)>,
    read: Vec<(Duration, Counts)>,
}

/// What reading a log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    lines: u64,
    hits: u64,
    offences: u64,
}

type Generate = fn(u64, usize, &mut BufWriter<File>) -> io::Result<()>;

fn made_up(bytes: u64) -> Result<Vec<Log>, Error> {
    let only = env::var("ASTERGUARD_BENCH_ONLY").ok();
    let seed = number("ASTERGUARD_BENCH_SEED", 1)?;
    // A line each of so many hosts that it shows what a host takes.
    let crowd: Generate = |_, lines, out| logs::numbered(0..lines.min(100_000) as u32, out);
    let kinds: [(&str, &str, Generate); 4] = [
        ("quiet", "3300, then 6000 MB/s", logs::quiet),
        ("attack", "1.15, then 2 M lines/s", logs::attack),
        ("security", "1.7, then 3 M lines/s", logs::security),
        ("crowd", "RssAnon at most 48 MiB", crowd),
    ];
    kinds
        .into_iter()
        .filter(|(name, ..)| only.as_ref().is_none_or(|only| only == name))
        .map(|(name, goal, generate)| {
            Log::make(name, goal, |out, lines| generate(seed, lines, out), bytes)
        })
        .collect()
}

impl Log {
    fn open(path: &str) -> Result<Self, Error> {
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::open(path).map_err(|error| format!("{path}: {error}"))?;
        Self::of(name, "", file)
    }

    /// Makes a log of about `bytes`. The file has no name, so nothing stays behind. It is where
    /// logs are, in a file system on a disk: to read from a tmpfs takes longer.
    fn make(
        name: &str,
        goal: &'static str,
        generate: impl Fn(&mut BufWriter<File>, usize) -> io::Result<()>,
        bytes: u64,
    ) -> Result<Self, Error> {
        const SAMPLE: usize = 1000;
        let write = |lines| -> io::Result<File> {
            let mut out = BufWriter::new(tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR"))?);
            generate(&mut out, lines)?;
            let file = out.into_inner()?;
            file.sync_all()?;
            Ok(file)
        };
        let sample = write(SAMPLE)?.metadata()?.len();
        let lines = usize::try_from(bytes)? * SAMPLE / usize::try_from(sample)?;
        Self::of(name.to_owned(), goal, write(lines)?)
    }

    fn of(name: String, goal: &'static str, file: File) -> Result<Self, Error> {
        let bytes = file.metadata()?.len();
        Ok(Self { name, goal, file, bytes, memory: 0, plain: Vec::new(), read: Vec::new() })
    }

    fn timed<T>(
        &mut self,
        work: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<(Duration, T)> {
        self.file.rewind()?;
        let start = own_cpu_time();
        let result = work(&mut self.file)?;
        Ok((own_cpu_time().saturating_sub(start), result))
    }

    /// In bytes a second, once the rounds are in order.
    fn speed(&self) -> f64 {
        let time = self.read.get(self.read.len() / 2).map_or(Duration::ZERO, |(time, _)| *time);
        self.bytes as f64 / time.as_secs_f64()
    }

    fn row(&mut self) -> String {
        let (plain, _) = median_and_best(&mut self.plain);
        let (time, best) = median_and_best(&mut self.read);
        let counts = self.read.first().map(|(_, counts)| *counts).unwrap_or_default();
        let (seconds, bytes, lines) = (time.as_secs_f64(), self.bytes as f64, counts.lines as f64);
        format!(
            "{:<9} {:>4.0} {:>8} {:>8} {:>8} {:>7.0} {:>9.0} {:>7.1} {:>7.1} {:>7.0} {:>5.2} {:>7.1}  {}",
            self.name,
            mebibytes(self.bytes),
            counts.lines,
            counts.hits,
            counts.offences,
            bytes / seconds / 1e6,
            lines / seconds,
            seconds * 1e9 / lines,
            best.as_secs_f64() * 1e9 / lines,
            bytes / plain.as_secs_f64() / 1e6,
            plain.as_secs_f64() / seconds,
            mebibytes(self.memory),
            self.goal
        )
    }
}

fn median_and_best<T>(times: &mut [(Duration, T)]) -> (Duration, Duration) {
    times.sort_by_key(|(time, _)| *time);
    let at = |index: usize| times.get(index).map_or(Duration::ZERO, |(time, _)| *time);
    (at(times.len() / 2), at(0))
}

/// What the daemon does with a file, without waiting for it to grow. `dev/callgrind.sh` counts its instructions.
#[inline(never)]
fn run(
    file: &mut File,
    plan: &Arc<Plan>,
    jails: &[JailId],
    matcher: &Arc<Matcher>,
    memory: &mut u64,
) -> io::Result<Counts> {
    let mut engine = Engine::new(Arc::clone(plan));
    let channel = engine.open_channel(jails.to_vec());
    let mut scanner = Scanner::new(Arc::clone(matcher), channel);
    let mut splitter = LineSplitter::new(READ_SIZE);
    let (mut events, mut decisions) = (Vec::new(), Vec::new());
    let mut counts = Counts::default();
    let mut now = Time::from_secs(1_795_308_766);
    loop {
        let read = file.read(splitter.space())?;
        splitter.filled(read);
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::At(now), &mut events);
            counts.lines = region.next_line - 1;
            engine.on_events(&events, &mut decisions);
            events.clear();
        }
        let found = |decision: &&Decision| matches!(decision, Decision::Found { .. });
        counts.offences += decisions.iter().filter(found).count() as u64;
        decisions.clear();
        // What is read at once is about a second's worth of an attack.
        now = now.plus(Duration::from_secs(1));
        if read == 0 {
            break;
        }
    }
    counts.hits = scanner.stats().hits;
    *memory = anonymous_memory();
    Ok(counts)
}

/// The least that a reader of lines can do.
fn count_lines(file: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; 2 * READ_SIZE];
    let (mut kept, mut lines) = (0, 0);
    loop {
        let read = file.read(&mut buffer[kept..kept + READ_SIZE])?;
        if read == 0 {
            return Ok(lines);
        }
        let filled = &buffer[..kept + read];
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', filled) {
            black_box(&filled[begin..end]);
            begin = end + 1;
            lines += 1;
        }
        let rest = begin..filled.len();
        kept = rest.len().min(READ_SIZE);
        buffer.copy_within(rest.end - kept..rest.end, 0);
    }
}

/// Memory of this process that belongs to no file, in bytes; 0 if the kernel does not say.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
