//! Rotations under a writer at full speed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asterguard::input::{Follower, Origin};

use crate::{Bench, appender, numbered, until};

/// Rotations in the short form: of one method at the pace of the long one, of the others as fast as can be,
/// and at intervals of up to 15 ms.
const STEADY: u32 = 1000;
const HASTY: u32 = 250;
/// Rotated files that are kept, as logrotate keeps some.
const KEPT: u32 = 250;
/// At a steady pace, how long a file stays in use, and how many lines are written in a millisecond.
const LIFE: Duration = Duration::from_millis(20);
const LINES_PER_MS: u64 = 50;

/// How many rotations there are in the long form (`ROTATIONS`), all at a steady pace; `None`: the short one.
pub fn long_form() -> Option<u32> {
    let asked = std::env::var("ROTATIONS").ok()?;
    Some(asked.parse().expect("ROTATIONS is a number"))
}

/// Hands out the next lines' number: one each time in haste; at a steady pace, as many as are
/// due by now, so that the rate is kept.
struct Pace {
    begin: Instant,
    steady: bool,
    rotations: u32,
}

impl Pace {
    fn steady() -> Self {
        let rotations = long_form().unwrap_or(STEADY);
        Self { begin: Instant::now(), steady: true, rotations }
    }

    /// As fast as can be, but for the long form.
    fn hasty(rotations: u32) -> Self {
        let rotations = long_form().unwrap_or(rotations);
        Self { begin: Instant::now(), steady: long_form().is_some(), rotations }
    }

    /// How many lines to write, if so many have been written.
    fn due(&self, written: u64) -> u64 {
        if !self.steady {
            return 1;
        }
        let millis = u64::try_from(self.begin.elapsed().as_millis()).unwrap();
        (millis * LINES_PER_MS).saturating_sub(written)
    }

    /// How long the file of this rotation stays in use.
    fn life(&self, rotation: u32) -> Duration {
        if self.steady { LIFE } else { Duration::from_millis(u64::from(rotation % 4) * 5) }
    }

    /// Says what it was like.
    fn tell(&self, method: &str, lines: u64, lost: usize) {
        let seconds = self.begin.elapsed().as_secs_f64();
        eprintln!(
            "{method}: {} rotations in {seconds:.1} s, {lines} lines ({:.0} a second), {lost} lost, none twice",
            self.rotations,
            f64::from(u32::try_from(lines).unwrap()) / seconds
        );
    }
}

/// Polls until line `end` (or the end that is stored later) has come; returns the numbers read.
/// The last one so far is in `read`.
fn read_all(follower: &mut Follower, end: &AtomicU64, read: &AtomicU64) -> Vec<u64> {
    let mut numbers = Vec::new();
    until("all lines", || {
        follower.poll(1 << 20, &mut |region| {
            numbers.extend(region.lines().map(|(_, line)| number_of(line)));
        });
        let last = numbers.last().copied();
        read.store(last.unwrap_or(0), Ordering::Release);
        last == Some(end.load(Ordering::Acquire))
    });
    // Nothing may come after it.
    let poll = follower.poll(u64::MAX, &mut |region| {
        numbers.extend(region.lines().map(|(_, line)| number_of(line)));
    });
    assert_eq!(poll.bytes, 0);
    numbers
}

fn number_of(line: &[u8]) -> u64 {
    let line = std::str::from_utf8(line).expect("lines are whole");
    assert!(line.ends_with("a message") && line.starts_with('['), "a cut line: {line:?}");
    line[1..9].parse().unwrap()
}

/// Writes lines until told to rotate, over and over; `rotate` gets the count.
fn write_and_rotate(path: &Path, end: &AtomicU64, pace: &Pace, rotate: impl Fn(u32)) {
    let mut next = 0;
    for rotation in 0..=pace.rotations {
        let mut file = appender(path);
        let until = Instant::now() + pace.life(rotation);
        loop {
            let due = pace.due(next);
            file.write_all(numbered(next, due).as_bytes()).unwrap();
            next += due;
            if Instant::now() >= until {
                break;
            }
            if due == 0 {
                thread::yield_now();
            }
        }
        if rotation < pace.rotations {
            rotate(rotation);
        }
    }
    end.store(next - 1, Ordering::Release);
}

/// Nothing lost, nothing twice, however files are named.
fn nothing_is_lost(method: &str, pace: &Pace, rotate: impl Fn(&Path, u32) + Sync) {
    let mut bench = Bench::with(Origin::Start, |log| drop(appender(log)));
    let path = bench.at("log");
    let end = AtomicU64::new(u64::MAX);
    let numbers = thread::scope(|scope| {
        scope.spawn(|| write_and_rotate(&path, &end, pace, |rotation| rotate(&path, rotation)));
        read_all(&mut bench.follower, &end, &AtomicU64::new(0))
    });
    let count = numbers.len() as u64;
    let wrong = (0..).zip(&numbers).find(|(expected, number)| expected != *number);
    assert_eq!(wrong, None, "the first line that is not the next one");
    assert_eq!(count, end.load(Ordering::Acquire) + 1);
    assert_eq!(bench.open_files(), 1);
    pace.tell(method, count, 0);
}

fn numbered_path(path: &Path, number: u32) -> std::path::PathBuf {
    path.with_file_name(format!("log.{number}"))
}

/// Removes the oldest file that is kept no longer.
fn forget(path: &Path, rotation: u32) {
    if let Some(old) = rotation.checked_sub(KEPT) {
        fs::remove_file(numbered_path(path, old)).unwrap();
    }
}

#[test]
fn sequential_names_under_load() {
    nothing_is_lost("renamed to .0, .1, .2 …", &Pace::steady(), |path, rotation| {
        fs::rename(path, numbered_path(path, rotation)).unwrap();
        forget(path, rotation);
    });
}

#[test]
fn shifted_names_under_load() {
    nothing_is_lost("shifted, the newest is .0", &Pace::hasty(HASTY), |path, rotation| {
        for number in (0..rotation.min(KEPT)).rev() {
            fs::rename(numbered_path(path, number), numbered_path(path, number + 1)).unwrap();
        }
        fs::rename(path, numbered_path(path, 0)).unwrap();
    });
}

#[test]
fn empty_files_in_between_under_load() {
    nothing_is_lost("renamed, the new one is made empty", &Pace::hasty(HASTY), |path, rotation| {
        fs::rename(path, numbered_path(path, rotation)).unwrap();
        forget(path, rotation);
        File::create(path).unwrap();
    });
}

/// `copytruncate`: a line may be lost only if it was written after its file was copied and before
/// it was truncated. The writer goes on meanwhile; the lock is there to know which lines these are.
#[test]
fn copytruncate_under_load() {
    let mut bench = Bench::with(Origin::Start, |log| drop(appender(log)));
    let path = bench.at("log");
    let (end, done) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
    let (written, read) = (AtomicU64::new(0), AtomicU64::new(0));
    let file = Mutex::new(appender(&path));
    let excused = Mutex::new(HashSet::new());
    let pace = Pace::hasty(100);

    let writer = || {
        let mut next = 0;
        while !done.load(Ordering::Acquire) {
            let due = pace.due(next);
            if due == 0 {
                thread::yield_now();
                continue;
            }
            let mut file = file.lock().unwrap();
            file.write_all(numbered(next, due).as_bytes()).unwrap();
            next += due;
            written.store(next - 1, Ordering::Release);
        }
        // The last line cannot fall into the gap: nobody truncates any more.
        file.lock().unwrap().write_all(numbered(next, 1).as_bytes()).unwrap();
        end.store(next, Ordering::Release);
    };
    let rotator = || {
        for rotation in 0..pace.rotations {
            // Something of each file has to be read, or nothing tells that it was there.
            let begun = written.load(Ordering::Acquire);
            until("the follower", || read.load(Ordering::Acquire) > begun);
            let wait = Instant::now() + pace.life(rotation);
            until("the time to rotate", || Instant::now() >= wait);

            let copied = fs::copy(&path, numbered_path(&path, rotation)).unwrap();
            let file = file.lock().unwrap();
            let all = fs::read(&path).unwrap();
            let copied = usize::try_from(copied).unwrap();
            let cut = all[..copied].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let gap = all[cut..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            excused.lock().unwrap().extend(gap.map(number_of));
            file.set_len(0).unwrap();
            drop(file);
            forget(&path, rotation);
        }
        done.store(true, Ordering::Release);
    };
    let numbers = thread::scope(|scope| {
        scope.spawn(writer);
        scope.spawn(rotator);
        read_all(&mut bench.follower, &end, &read)
    });

    assert!(numbers.is_sorted_by(|a, b| a < b), "in order, and nothing twice");
    let excused = excused.into_inner().unwrap();
    let read: HashSet<u64> = numbers.iter().copied().collect();
    let lost = (0..*numbers.last().unwrap()).filter(|n| !read.contains(n));
    let lost: HashSet<u64> = lost.collect();
    pace.tell("copied and truncated", (numbers.len() + lost.len()) as u64, lost.len());
    eprintln!("  {} lines were written between a copy and its truncation", excused.len());
    let wrongly = lost.difference(&excused);
    assert_eq!(wrongly.clone().min(), None, "{} lost outside of a gap", wrongly.count());
    drop(file);
    assert_eq!(bench.open_files(), 1);
}
