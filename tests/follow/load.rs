//! Rotations under a writer at full speed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asterguard::source::{Follower, Origin};

use crate::{Bench, appender, numbered, until};

const ROTATIONS: u32 = 250;

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
fn write_and_rotate(path: &Path, end: &AtomicU64, rotate: impl Fn(u32)) {
    let mut next = 0;
    for rotation in 0..=ROTATIONS {
        let mut file = appender(path);
        let until = Instant::now() + Duration::from_millis(u64::from(rotation % 4) * 5);
        loop {
            file.write_all(numbered(next, 1).as_bytes()).unwrap();
            next += 1;
            if Instant::now() >= until {
                break;
            }
        }
        if rotation < ROTATIONS {
            rotate(rotation);
        }
    }
    end.store(next - 1, Ordering::Release);
}

/// Nothing lost, nothing twice, however files are named. They stay in use for 0 to 15 ms.
fn nothing_is_lost(rotate: impl Fn(&Path, u32) + Sync) {
    let mut bench = Bench::with(Origin::Start, |log| drop(appender(log)));
    let path = bench.at("log");
    let end = AtomicU64::new(u64::MAX);
    let numbers = thread::scope(|scope| {
        scope.spawn(|| write_and_rotate(&path, &end, |rotation| rotate(&path, rotation)));
        read_all(&mut bench.follower, &end, &AtomicU64::new(0))
    });
    let count = numbers.len() as u64;
    let wrong = (0..).zip(&numbers).find(|(expected, number)| expected != *number);
    assert_eq!(wrong, None, "the first line that is not the next one");
    assert_eq!(count, end.load(Ordering::Acquire) + 1);
    assert_eq!(bench.open_files(), 1);
    eprintln!("{count} lines over {ROTATIONS} rotations");
}

fn numbered_path(path: &Path, number: u32) -> std::path::PathBuf {
    path.with_file_name(format!("log.{number}"))
}

#[test]
fn sequential_names_under_load() {
    nothing_is_lost(|path, rotation| fs::rename(path, numbered_path(path, rotation)).unwrap());
}

#[test]
fn shifted_names_under_load() {
    nothing_is_lost(|path, rotation| {
        for number in (0..rotation).rev() {
            fs::rename(numbered_path(path, number), numbered_path(path, number + 1)).unwrap();
        }
        fs::rename(path, numbered_path(path, 0)).unwrap();
    });
}

#[test]
fn empty_files_in_between_under_load() {
    nothing_is_lost(|path, rotation| {
        fs::rename(path, numbered_path(path, rotation)).unwrap();
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

    let writer = || {
        let mut next = 0;
        while !done.load(Ordering::Acquire) {
            let mut file = file.lock().unwrap();
            file.write_all(numbered(next, 1).as_bytes()).unwrap();
            written.store(next, Ordering::Release);
            next += 1;
        }
        // The last line cannot fall into the gap: nobody truncates any more.
        file.lock().unwrap().write_all(numbered(next, 1).as_bytes()).unwrap();
        end.store(next, Ordering::Release);
    };
    let rotator = || {
        for rotation in 0..100 {
            // Something of each file has to be read, or nothing tells that it was there.
            let begun = written.load(Ordering::Acquire);
            until("the follower", || read.load(Ordering::Acquire) > begun);
            let wait = Instant::now() + Duration::from_millis(u64::from(rotation % 4) * 5);
            until("the time to rotate", || Instant::now() >= wait);

            let copied = fs::copy(&path, numbered_path(&path, rotation)).unwrap();
            let file = file.lock().unwrap();
            let all = fs::read(&path).unwrap();
            let copied = usize::try_from(copied).unwrap();
            let cut = all[..copied].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let gap = all[cut..].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            excused.lock().unwrap().extend(gap.map(number_of));
            file.set_len(0).unwrap();
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
    eprintln!(
        "{} lines, {} of them in a gap, {} lost",
        numbers.len() + lost.len(),
        excused.len(),
        lost.len()
    );
    let wrongly = lost.difference(&excused);
    assert_eq!(wrongly.clone().min(), None, "{} lost outside of a gap", wrongly.count());
    drop(file);
    assert_eq!(bench.open_files(), 1);
}
