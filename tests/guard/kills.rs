//! A guard that is killed at any moment, under load: in the end, all is as with one that lived on.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::guard::{Guard, Home, PATIENCE, PROGRAM};
use crate::kit::random::{self, Random};
use crate::kit::{self, Netns};
use crate::{CONFIG, Element, elements, record, wrong_password};

/// How often it is killed, unless `KILLS` says otherwise.
const KILLS: usize = 24;
/// Of 100 kills, so many do not wait until the guard is ready.
const EARLY: usize = 50;
/// How long a guard lives that was ready, at most.
const LIFE: usize = 700;
/// Hosts that attack at the same time.
const CROWD: u32 = 40;
/// Crowds that come during the test, more or less: so many, or two for each time that it is killed.
const CROWDS: u64 = 200;
/// How long bans take, in milliseconds.
const BAN: i64 = 6 * 3_600_000;
/// By how much a deadline may be off, in milliseconds.
const OFF: i64 = 1000;
/// Who comes last.
const LAST: &str = "203.0.113.77";

/// Host `n`: each fourth offends five times, and is banned; the others four times.
fn host(n: u32) -> String {
    Ipv4Addr::from(0x0a10_0000 + n).to_string()
}

fn is_banned(n: u32) -> bool {
    n % 4 == 0
}

/// Writes what crowds of attackers cause into several logs at once, until it is told to end.
struct Attack {
    end: Arc<AtomicBool>,
    /// For each crowd that came, when its last lines were written.
    thread: thread::JoinHandle<Vec<i64>>,
}

impl Attack {
    fn begin(logs: [PathBuf; 2], kills: usize) -> Self {
        let crowds = CROWDS.max(2 * kills as u64);
        let pause = Duration::from_millis((kills as u64 * 600 / crowds / 5).max(5));
        let end = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let mut crowds = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let first = u32::try_from(crowds.len()).unwrap() * CROWD;
                crowds.push(write_crowd(&logs, first, pause));
            }
            crowds
        });
        Self { end, thread }
    }

    /// Ends it.
    fn end(self) -> Vec<i64> {
        self.end.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The lines of one crowd, all hosts in turn, some lines at a time. When the last were written.
fn write_crowd(logs: &[PathBuf], first: u32, pause: Duration) -> i64 {
    let (mut account, mut written) = (first * 5 * 11, 0);
    for round in 0..5 {
        let mut text = String::new();
        for n in (first..first + CROWD).filter(|n| round < 4 || is_banned(*n)) {
            // No two lines are alike, as in a real log.
            account += 1;
            text += &wrong_password(&host(n)).replace("1000", &account.to_string());
            text += "\n";
            for _ in 0..10 {
                account += 1;
                let peer = format!("Peer '{account}' is now UNREACHABLE!");
                text += &record(&format!("[Nov 22 01:12:24] NOTICE[1] chan_sip.c: {peer}"));
                text += "\n";
            }
        }
        written = kit::now().millis();
        for log in logs {
            append(log, &text);
        }
        thread::sleep(pause);
    }
    written
}

fn append(log: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(log).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Renames the log and makes a new one, as logrotate does.
fn rotate(home: &Home, number: usize) {
    let (log, old) = (home.path("messages"), home.path(&format!("messages.{number}")));
    fs::rename(&log, old).unwrap();
    OpenOptions::new().create(true).append(true).open(log).unwrap();
}

/// A guard that is killed again and again.
struct Victim<'a> {
    netns: &'a Netns,
    chance: Random,
    /// How long it takes to be ready.
    start: Duration,
    /// When it was ready.
    ready: Vec<i64>,
    /// Bans by hand that it acknowledged.
    acknowledged: BTreeSet<String>,
}

impl Victim<'_> {
    fn spawn(&self, home: Home) -> Guard {
        let run = home.run(self.netns.command(PROGRAM));
        Guard::spawn(home, run)
    }

    fn until_ready(&mut self, guard: &mut Guard) {
        guard.await_ready(PATIENCE);
        self.ready.push(kit::now().millis());
        assert_eq!(guard.status()["health"], "OK", "{:#?}", guard.log_lines());
    }

    /// Starts it, and kills it at any moment.
    fn live_and_die(&mut self, home: Home, round: usize) -> Home {
        let mut guard = self.spawn(home);
        if self.chance.chance(EARLY) {
            // While it starts, reads what it had stored, brings kernel and store together, and catches up.
            let most = usize::try_from(self.start.as_micros()).unwrap() * 5 / 4;
            thread::sleep(Duration::from_micros(self.chance.below(most) as u64));
        } else {
            self.until_ready(&mut guard);
            thread::sleep(Duration::from_millis(self.chance.below(LIFE) as u64));
            // What was acknowledged a moment before stays.
            let address = format!("172.16.{}.{}", round / 250, round % 250 + 1);
            guard.order(&["ban", &address, "--for", "6h"]);
            self.acknowledged.insert(address);
        }
        guard.kill()
    }
}

/// What the kernel's set of a guard holds, and from when to when it was asked.
struct Held {
    elements: Vec<Element>,
    begin: i64,
    end: i64,
}

impl Held {
    fn by(netns: &Netns) -> Self {
        let begin = kit::now().millis();
        Self { elements: elements(netns, "sip4"), begin, end: kit::now().millis() }
    }

    fn addresses(&self) -> BTreeSet<&str> {
        self.elements.iter().map(|element| element.address.as_str()).collect()
    }

    /// The first and the last instant at which this element can end: the kernel gives whole seconds.
    fn deadline(&self, element: &Element) -> (i64, i64) {
        let left = i64::try_from(element.expires.unwrap()).unwrap() * 1000;
        (self.begin + left, self.end + left + 1000)
    }
}

fn in_the_kernel(netns: &Netns, count: usize) {
    kit::until("all bans are in the kernel", || elements(netns, "sip4").len() >= count);
}

#[test]
fn nothing_is_lost_and_nothing_counts_twice() {
    if !kit::usable() {
        return;
    }
    let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let chance = Random::new(random::seed(), 0);
    // One jail counts: with three, the catching up of a debug build takes longer than is allowed here.
    let config = CONFIG
        .replace("findtime = \"10m\"\nbantime = \"10m\"", "findtime = \"6h\"\nbantime = \"6h\"")
        + "\n[jail.asterisk-slow]\nenabled = false\n[jail.asterisk-accounts]\nenabled = false\n";
    let (netns, calm) = (Netns::new(), Netns::new());
    // This one is never killed.
    let twin = Guard::start(&calm, &config);
    let begin = Instant::now();
    let guard = Guard::start(&netns, &config);
    let (start, ready) = (begin.elapsed(), vec![kit::now().millis()]);
    let acknowledged = BTreeSet::new();
    let mut victim = Victim { netns: &netns, chance, start, ready, acknowledged };

    let attack = Attack::begin([guard.path("messages"), twin.path("messages")], kills);
    let mut home = guard.kill();
    for round in 0..kills {
        home = victim.live_and_die(home, round);
        if victim.chance.chance(25) {
            rotate(&home, round);
        }
    }
    let mut guard = victim.spawn(home);
    victim.until_ready(&mut guard);
    let written = attack.end();
    // Whoever comes last is banned last.
    let both = [(&guard, &netns), (&twin, &calm)];
    let hosts = u32::try_from(written.len()).unwrap() * CROWD;
    let mut expected: BTreeSet<_> = (0..hosts).filter(|n| is_banned(*n)).map(host).collect();
    expected.insert(LAST.to_owned());
    for (guard, netns) in both {
        guard.append("messages", &vec![wrong_password(LAST); 5]);
        guard.says(&format!("Ban {LAST} "));
        in_the_kernel(netns, expected.len());
    }
    let [held, calm_held] = [Held::by(&netns), Held::by(&calm)];
    for held in [&held, &calm_held] {
        let banned = held.addresses().into_iter().map(str::to_owned).collect();
        let wrong: Vec<_> = expected.symmetric_difference(&banned).collect();
        assert!(wrong.is_empty(), "of {hosts} hosts: {wrong:?}");
    }
    let by_hand: BTreeSet<_> = elements(&netns, "ban4").into_iter().map(|e| e.address).collect();
    assert_eq!(by_hand, victim.acknowledged);
    let late = deadlines(&held, &calm_held, &written, &victim.ready);
    own_deadlines(&guard, &held);

    // Of those who offended four times, none was banned: nothing counted twice. At the fifth time all
    // are: nothing was lost.
    let others: Vec<_> = (0..hosts).filter(|n| !is_banned(*n)).map(host).collect();
    let fifth: Vec<_> = others.iter().map(|host| wrong_password(host)).collect();
    for (guard, netns) in both {
        guard.append("messages", &fifth);
        guard.says(&format!("Ban {} ", others.last().unwrap()));
        in_the_kernel(netns, expected.len() + others.len());
    }
    eprintln!(
        "{kills} kills, {} of them before it was ready; {hosts} hosts, {} banned, those with one more \
         attempt all at the next; at most {late} ms later than by the guard that lived on",
        kills + 2 - victim.ready.len(),
        expected.len(),
    );
}

/// Each ban ends in the kernel when it would have, had the guard never been killed: six hours after the
/// host's last line was written, or after the guard was ready again. Returns by how many milliseconds the
/// latest is later than by the other guard.
fn deadlines(held: &Held, calm: &Held, written: &[i64], ready: &[i64]) -> i64 {
    let mut late = 0;
    for (element, other) in held.elements.iter().zip(&calm.elements) {
        assert_eq!((&element.address, &element.comment), (&other.address, &other.comment));
        if element.address == LAST {
            continue;
        }
        let n = u32::from(element.address.parse::<Ipv4Addr>().unwrap()) - 0x0a10_0000;
        let written = written[(n / CROWD) as usize];
        let again = ready.iter().find(|ready| **ready > written).unwrap_or(&written);
        let ((first, last), calm) = (held.deadline(element), calm.deadline(other));
        assert!(last >= written + BAN - OFF, "{element:?} ends too early");
        let latest = calm.1.max(again + BAN) + OFF;
        assert!(first <= latest, "{element:?} ends {} ms too late", first - latest);
        late = late.max(first - calm.0);
    }
    late
}

/// The guard itself says what the kernel does.
fn own_deadlines(guard: &Guard, held: &Held) {
    let jail = guard.jail("asterisk-guess");
    let bans = jail["banned"].as_array().unwrap();
    assert_eq!(bans.len(), held.elements.len());
    for ban in bans {
        let host = ban["host"].as_str().unwrap();
        let at = held.elements.binary_search_by(|element| element.address.as_str().cmp(host));
        let (first, last) = held.deadline(&held.elements[at.unwrap()]);
        let ends = ban["since"].as_i64().unwrap() * 1000 + BAN;
        // `since` is in whole seconds, and the kernel is told a moment later.
        assert!((first - 2000..=last + 1000).contains(&ends), "{first} {last} {ban}");
    }
}
