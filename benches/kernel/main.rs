//! From the log line to the kernel, beside fail2ban, in one run: how long until a host is banned, until
//! all bans are back when somebody flushes the ruleset, and until a guard or a machine that starts has them.
//!
//! ```text
//! make bench-kernel            # fetches fail2ban's package, unpacks it and says where it is
//! ```
//!
//! What it is at is told on standard error; a whole run takes about five minutes. Its figures are those of
//! that moment: nothing else should be running.
//!
//! Needs root: both run in network namespaces of their own. Both read a log of the same lines, and ban
//! at the first wrong password. The clock starts when the line is written, or the transaction that
//! flushes the ruleset is sent, and stops when a dump of the set has the element. Nothing runs `nft`
//! but what is measured.
#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::precedence,
    clippy::unwrap_used,
    reason = "it measures time, shows it, and fails by panicking"
)]

#[path = "../fail2ban/mod.rs"]
mod fail2ban;
mod hanging;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod peer;
mod reader;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use asterguard::enforce::helper::FirewallHelper;
use asterguard::enforce::{BanSink, NetlinkSink};
use asterguard::model::event::{Change, Element, ScopeId};
use asterguard::model::scope::Blocktype;
use asterguard::model::subject::Subject;
use asterguard::table::structure::Structure;

use hanging::Untold;
use kit::Netns;
use kit::guard::{Guard, Home, PROGRAM};
use reader::Reader;

const CONFIG: &str = r#"
loglevel = "warning"
[default]
maxunverified = 1000000 # lines alone are unverified, and 100 such bans a minute are the default
logpath = ["$DIR/messages"]
knowngood = { enabled = false }
[jail.asterisk-guess]
maxretry = 1
bantime = "1h"
filter = "asterisk-sip"
[jail.asterisk-scan]
enabled = false
"#;

const JAIL: &str = "asterisk-guess";

/// How much is measured: all of it, or, as a test, hardly anything.
struct Amount {
    single: u32,
    /// fail2ban takes a third of a second for each.
    their_single: u32,
    burst: u32,
    bans: u32,
    flushes: u32,
    starts: u32,
    full: [u32; 2],
}

const MEASURED: Amount = Amount {
    single: 200,
    their_single: 30,
    burst: 5000,
    bans: 10_000,
    flushes: 100,
    starts: 7,
    full: [100_000, 1_000_000],
};
const TRIED: Amount = Amount {
    single: 4,
    their_single: 2,
    burst: 50,
    bans: 100,
    flushes: 2,
    starts: 2,
    full: [3000, 4000],
};

/// How long to wait between two looks at whether many bans are back.
const LOOK: Duration = Duration::from_micros(200);

/// What was measured of one of the two; in milliseconds.
#[derive(Default)]
struct Figures {
    single: Vec<f64>,
    burst: Option<f64>,
    /// The same while a mail server hangs.
    untold: Vec<f64>,
    untold_burst: Option<f64>,
    flushed: Vec<f64>,
    started: Vec<f64>,
    restored: Vec<f64>,
}

/// What was measured beside so many bans.
struct Beside {
    bans: u32,
    /// Of adds to the set, in microseconds: by this process, and by a guard's writer until its answer is
    /// there.
    adds: [Vec<f64>; 2],
    /// From the log line to the kernel, in milliseconds.
    single: Vec<f64>,
    /// Seconds until a guard is ready, and until it has taken them over.
    ready: f64,
    start: f64,
    /// MiB of anonymous memory that it has then, and its firewall helper.
    memory: [f64; 2],
    /// The same, once all of them are stored.
    stored: [f64; 2],
}

/// Says on standard error what is being measured, and how long it has been going on.
fn measuring(what: &str) {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("{:>5} s  {what}", BEGIN.elapsed().as_secs());
}

fn main() {
    let amount = if std::env::args().any(|arg| arg == "--bench") { MEASURED } else { TRIED };
    if !kit::usable() {
        return;
    }
    let ours = asterguard(&amount);
    let theirs = fail2ban::unpacked().map(|package| fail2ban(&amount, &package));
    let beside = amount.full.map(|full| beside(&amount, full));
    print(&amount, ours, theirs, beside);
}

/// Where a guard writes what it bans, and how it gets to know of attackers.
struct Scene<'a> {
    reader: Reader,
    table: &'a str,
    set: &'a str,
    log: &'a Path,
    /// The number of the next attacker.
    next: u32,
}

/// The keys of a set's elements, and how long each has left.
type Elements = HashMap<Vec<u8>, Option<Duration>>;

fn attacker(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0001 + n)
}

impl<'a> Scene<'a> {
    /// A guard of ours in this namespace, whose next attacker has this number.
    fn ours(log: &'a Path, next: u32) -> Self {
        let reader = Reader::open().unwrap();
        Scene { reader, table: "asterguard", set: "sip4", log, next }
    }

    fn count(&mut self) -> usize {
        self.reader.elements(self.table, self.set).len()
    }

    /// So many new attackers at once; how long until all are in the kernel.
    fn attack(&mut self, count: u32, patience: Duration) -> Option<f64> {
        // Of one, it is enough to see whether it is there.
        let all = (count > 1).then(|| self.count() + count as usize);
        let date = jiff::Zoned::now().strftime("%F %T").to_string();
        let line = |n| {
            format!(
                "[{date}] NOTICE[17931] chan_sip.c: Registration from \
                 '\"1000\" <sip:1000@203.0.113.16>' failed for '{}:5060' - Wrong password\n",
                attacker(n)
            )
        };
        let lines: Vec<_> = (self.next..self.next + count).map(line).collect();
        self.next += count;
        let begin = Instant::now();
        let mut log = OpenOptions::new().create(true).append(true).open(self.log).unwrap();
        log.write_all(lines.concat().as_bytes()).unwrap();
        self.until(begin, all, patience)
    }

    /// When the last attacker is there, and so many elements in `all`. They are counted only once he is:
    /// that takes time which is none of what is measured.
    fn until(&mut self, begin: Instant, all: Option<usize>, patience: Duration) -> Option<f64> {
        let last = attacker(self.next - 1);
        while begin.elapsed() < patience {
            let there = self.reader.has(self.table, self.set, last);
            let passed = begin.elapsed();
            if there && all.is_none_or(|all| self.count() >= all) {
                return Some(passed.as_secs_f64() * 1e3);
            }
            match all {
                None => std::thread::yield_now(),
                // Whoever looks all the time takes a processor from what is measured.
                Some(_) => std::thread::sleep(LOOK),
            }
        }
        None
    }

    /// One by one, each when the one before is in the kernel.
    fn single(&mut self, count: u32, patience: Duration) -> Vec<f64> {
        (0..count).filter_map(|_| self.attack(1, patience)).collect()
    }
}

/// The guard tells by mail, and the server takes none: how long bans take all the same.
fn untold(amount: &Amount, patience: Duration) -> (Vec<f64>, Option<f64>) {
    let netns = Netns::new();
    netns.enter();
    let untold = Untold::start(&netns);
    let log = untold.guard.path("messages");
    let mut scene = Scene::ours(&log, 0);
    scene.attack(1, patience).expect("it is banned");
    let _connection = untold.hangs();
    measuring(&format!("asterguard: {} bans while a mail server hangs", amount.single));
    (scene.single(amount.single, patience), scene.attack(amount.burst, patience))
}

fn asterguard(amount: &Amount) -> Figures {
    let patience = Duration::from_secs(30);
    let netns = Netns::new();
    netns.enter();
    let guard = Guard::start(&netns, CONFIG);
    let log = guard.path("messages");
    let mut scene = Scene::ours(&log, 0);
    measuring(&format!("asterguard: {} bans, one by one", amount.single));
    let single = scene.single(amount.single, patience);
    measuring(&format!("asterguard: {} at once", amount.burst));
    let burst = scene.attack(amount.burst, patience);
    let (untold, untold_burst) = untold(amount, patience);
    netns.enter();
    let mut figures = Figures { single, burst, untold, untold_burst, ..Figures::default() };
    let more = amount.bans.saturating_sub(scene.next);
    scene.attack(more, patience).expect("all are banned");
    measuring(&format!("asterguard: {} flushes with {} bans", amount.flushes, scene.next));
    for _ in 0..amount.flushes {
        // One a second is what is made up for in the long run.
        std::thread::sleep(Duration::from_secs(1));
        figures.flushed.push(flush(&mut scene, patience));
    }
    measuring("asterguard: start");
    let mut home = guard.kill();
    for _ in 0..amount.starts {
        let begin = Instant::now();
        let run = home.run(netns.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        figures.started.push(begin.elapsed().as_secs_f64() * 1e3);
        assert_eq!(guard.jail("asterisk-guess")["currently_banned"], scene.next);
        home = guard.kill();
    }
    measuring("asterguard: restore");
    let restored = (0..amount.starts).map(|_| restore(&mut scene, &netns, &home));
    figures.restored = restored.collect();
    figures
}

/// A machine that starts anew, where the table is gone and the state file is not: how long `restore` takes
/// until all bans are back, with the time that they had left.
fn restore(scene: &mut Scene, netns: &Netns, home: &Home) -> f64 {
    let before = scene.reader.elements(scene.table, scene.set);
    let listed = Instant::now();
    scene.reader.flush_ruleset();
    let begin = Instant::now();
    let mut restore = netns.command(PROGRAM);
    restore.args(["--json", "restore", "--config"]).arg(home.path("asterguard.toml"));
    let output = restore.arg("--state-dir").arg(home.path("state")).output().unwrap();
    let took = begin.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = scene.reader.elements(scene.table, scene.set);
    compare(&before, &after, listed.elapsed());
    took.as_secs_f64() * 1e3
}

/// Sees to it that all bans are there, with the time that they had left so long before.
fn compare(before: &Elements, after: &Elements, passed: Duration) {
    assert_eq!(before.len(), after.len());
    for (host, left) in before {
        let (left, now) = (left.unwrap(), after[host].unwrap());
        let wrong = left.saturating_sub(passed).abs_diff(now);
        assert!(wrong <= Duration::from_secs(1), "{host:?}: {left:?} {now:?}");
    }
}

/// Flushes the ruleset; how long until all bans are back, with the time that they had left.
fn flush(scene: &mut Scene, patience: Duration) -> f64 {
    let before = scene.reader.elements(scene.table, scene.set);
    let begin = Instant::now();
    scene.reader.flush_ruleset();
    let back = scene.until(begin, Some(before.len()), patience).expect("all bans are back");
    // A set that is just growing may be listed with gaps.
    let (after, passed) = loop {
        let after = scene.reader.elements(scene.table, scene.set);
        if after.len() >= before.len() {
            break (after, begin.elapsed());
        }
        assert!(begin.elapsed() < patience, "{} of {} bans are back", after.len(), before.len());
    };
    compare(&before, &after, passed);
    back
}

fn fail2ban(amount: &Amount, package: &Path) -> Figures {
    let patience = Duration::from_secs(300);
    let netns = Netns::new();
    netns.enter();
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("messages");
    std::fs::write(&log, "").unwrap();
    let server = peer::start(&netns, package, home.path(), &log).unwrap();
    let mut scene = Scene {
        reader: Reader::open().unwrap(),
        table: peer::TABLE,
        set: peer::SET,
        log: &log,
        next: 0,
    };
    // It says nowhere that it is ready; the first ban makes its table.
    kit::until("fail2ban is there", || home.path().join("fail2ban.sock").exists());
    std::thread::sleep(Duration::from_secs(3));
    scene.attack(1, patience).expect("fail2ban bans");
    measuring(&format!("fail2ban: {} bans, one by one", amount.their_single));
    let single = scene.single(amount.their_single, patience);
    measuring(&format!("fail2ban: {} at once", amount.burst));
    let burst = scene.attack(amount.burst, patience);
    let mut figures = Figures { single, burst, ..Figures::default() };
    drop(server);
    scene.reader.flush_ruleset();
    scene.next = amount.bans;
    peer::remember(home.path(), (0..amount.bans).map(attacker)).unwrap();
    measuring(&format!("fail2ban: start with {} bans", amount.bans));
    let begin = Instant::now();
    let server = peer::start(&netns, package, home.path(), &log).unwrap();
    let bans = amount.bans as usize;
    // Where it takes longer than that, there is no figure, but there are the others.
    figures.started.extend(scene.until(begin, Some(bans), patience));
    measuring("fail2ban: a flush, and ten seconds to make up for it");
    scene.reader.flush_ruleset();
    let back = scene.until(Instant::now(), Some(bans), Duration::from_secs(10));
    figures.flushed.extend(back);
    drop(server);
    figures
}

/// A set that has so many bans, and a guard that takes them over.
fn beside(amount: &Amount, full: u32) -> Beside {
    measuring(&format!("asterguard: beside {full} bans"));
    let netns = Netns::new();
    netns.enter();
    let adds = adds(&netns, full);
    let home = Home::new(&CONFIG.replace("warning", "info"));
    let run = home.run(netns.command(PROGRAM));
    let patience = Duration::from_secs(300);
    let begin = Instant::now();
    let guard = Guard::start_within(patience, home, run);
    let ready = begin.elapsed().as_secs_f64();
    // Where they are many, the guard is ready before it has listed them.
    let is_late = guard.count("are listed beside all else") > 0;
    while is_late && guard.count("are in the kernel alone") == 0 {
        assert!(begin.elapsed() < patience, "{:#?}", guard.log_lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    let start = begin.elapsed().as_secs_f64();
    let memory = anonymous(guard.pid());
    // The guard is not asked: to list its bans would take memory, too.
    let file = rusqlite::Connection::open(guard.path("state/asterguard.db")).unwrap();
    let in_file = || file.query_row("SELECT count(*) FROM bans", [], |row| row.get(0)).unwrap_or(0);
    while in_file() < full {
        assert!(begin.elapsed() < patience, "{:#?}", guard.log_lines());
        std::thread::sleep(Duration::from_millis(100));
    }
    // Until what the writing took is given back.
    let mut stored = memory;
    loop {
        std::thread::sleep(Duration::from_secs(2));
        let before = std::mem::replace(&mut stored, anonymous(guard.pid()));
        if (before[0] - stored[0]).abs() < 0.5 {
            break;
        }
    }
    let log = guard.path("messages");
    let mut scene = Scene::ours(&log, full);
    let single = scene.single(amount.single / 4, Duration::from_secs(30));
    assert_eq!(single.len(), amount.single as usize / 4, "each is banned");
    Beside { bans: full, adds, single, ready, start, memory, stored }
}

/// Fills the set up to here; the microseconds that each of the last adds took, half of them by the firewall helper.
fn adds(netns: &Netns, full: u32) -> [Vec<f64>; 2] {
    let structure = structure();
    let mut sink = NetlinkSink::new(netns.nft()).unwrap();
    sink.load(&structure).unwrap();
    let now = kit::now();
    let element = |n: u32| Element {
        scope: ScopeId(1),
        subject: Subject::of(attacker(n).into(), 64),
        until: Some(now.plus(Duration::from_secs(3600))),
        jail: structure.jail(JAIL).unwrap(),
    };
    let before: Vec<_> = (0..full - 1000).map(element).collect();
    assert_eq!(sink.restore(&before, now).unwrap().done, before.len());
    let add = |sink: &mut dyn BanSink, n| {
        let begin = Instant::now();
        let report = sink.apply(&[Change::Put(element(n))], now).unwrap();
        assert_eq!(report.done, 1);
        begin.elapsed().as_secs_f64() * 1e6
    };
    let direct = (full - 1000..full - 500).map(|n| add(&mut sink, n)).collect();
    let helper = FirewallHelper::start_program(Path::new(PROGRAM)).unwrap();
    let (mut remote, _child) = helper.open().unwrap();
    remote.bans.load(&structure).unwrap();
    let by_helper = (full - 500..full).map(|n| add(&mut remote.bans, n)).collect();
    [direct, by_helper]
}

/// MiB of memory of their own, files not counted, that a process and all its children have.
fn anonymous(pid: u32) -> [f64; 2] {
    let of = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    };
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let children = tasks.flat_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    });
    [of(pid), children.map(of).sum()]
}

fn structure() -> Structure {
    Structure::new(&kit::config(vec![kit::jail(JAIL, "sip", Blocktype::Drop, 64)]))
}

fn middle(spans: &mut [f64]) -> f64 {
    spans.sort_by(f64::total_cmp);
    spans.get(spans.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The 99th percentile.
fn slowest(spans: &mut [f64]) -> f64 {
    spans.sort_by(f64::total_cmp);
    spans.get((spans.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn print(amount: &Amount, mut ours: Figures, theirs: Option<Figures>, beside: [Beside; 2]) {
    let asked = theirs.is_some();
    let mut theirs = theirs.unwrap_or_default();
    let number = |value: f64| if value.is_nan() { "-".to_owned() } else { format!("{value:.1}") };
    let row = |what: String, ours: f64, theirs: f64, goal: &str| {
        let ratio = theirs / ours;
        let ratio = if ratio.is_nan() { "-".to_owned() } else { format!("{ratio:.0}") };
        println!("{what:<46}{:>12}{:>12}{ratio:>8}  {goal}", number(ours), number(theirs));
    };
    println!("{:<46}{:>12}{:>12}{:>8}  goal", "milliseconds", "asterguard", "fail2ban", "ratio");
    row(
        format!("log line to kernel, {} bans, median", amount.single),
        middle(&mut ours.single),
        middle(&mut theirs.single),
        "≤ 2",
    );
    row(
        "                              99th percentile".to_owned(),
        slowest(&mut ours.single),
        slowest(&mut theirs.single),
        "≤ 10",
    );
    let of = |span: Option<f64>| span.unwrap_or(f64::NAN);
    row(format!("{} hosts at once", amount.burst), of(ours.burst), of(theirs.burst), "≤ 100");
    let nothing = f64::NAN;
    row("while a mail server hangs, median".to_owned(), middle(&mut ours.untold), nothing, "≤ 2");
    row("  99th percentile".to_owned(), slowest(&mut ours.untold), nothing, "≤ 10");
    row(format!("  {} hosts at once", amount.burst), of(ours.untold_burst), nothing, "≤ 100");
    let bans = amount.bans;
    row(
        format!("flush with {bans} bans, all back, median"),
        middle(&mut ours.flushed),
        middle(&mut theirs.flushed),
        "",
    );
    row(
        format!("  99th percentile of {}", amount.flushes),
        slowest(&mut ours.flushed),
        slowest(&mut theirs.flushed),
        "≤ 50",
    );
    let theirs_start = middle(&mut theirs.started);
    let median = |what: &str| format!("{what}, median of {}", amount.starts);
    row(
        median(&format!("start with {bans} bans")),
        middle(&mut ours.started),
        theirs_start,
        "≤ 100",
    );
    row(
        median(&format!("restore {bans} bans at boot")),
        middle(&mut ours.restored),
        theirs_start,
        "≤ 60",
    );
    if asked {
        let single = amount.their_single;
        let version =
            fail2ban::unpacked().map(|package| fail2ban::version(&package)).unwrap_or_default();
        println!(
            "(fail2ban {version}: {single} bans one by one. Its {bans} bans were put into its database.)"
        );
        if theirs.flushed.is_empty() {
            println!("(fail2ban puts no bans back after a flush: only those it decides later.)");
        }
    } else {
        println!("(fail2ban was not there: make bench-kernel fetches it.)");
    }
    for Beside {
        bans,
        adds: [mut adds, mut by_helper],
        mut single,
        ready,
        start,
        memory,
        stored,
    } in beside
    {
        println!("\nbeside {bans} bans");
        let line = |what: &str, value: f64, goal: &str| println!("{what:<46}{value:>12.1}  {goal}");
        line("  add to the set, microseconds, median", middle(&mut adds), "≤ 50");
        line("                                99th percentile", slowest(&mut adds), "≤ 50");
        line(
            "  the same by the firewall helper, there and back, median",
            middle(&mut by_helper),
            "≤ 50",
        );
        line("  log line to kernel, milliseconds, median", middle(&mut single), "");
        line("  start of a guard until it is ready, seconds", ready, "≤ 3");
        line("  until it has taken them over, seconds", start, "");
        line("  memory of the guard (RssAnon) then, MiB", memory[0], "");
        line("  memory of its firewall helper", memory[1], "");
        line("  memory of the guard once they are stored", stored[0], "≤ 250 for a million");
        line("  memory of its firewall helper", stored[1], "");
    }
}
