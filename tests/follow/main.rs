//! Follows real files through everything that happens to logs.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

mod faults;
mod live;
mod load;
#[allow(dead_code, reason = "no test here needs a network")]
#[path = "../kit/programs.rs"]
mod programs;
mod resume;
mod rotation;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use asterguard::input::{FileEvent, Follower, Origin, Poll, State};

/// A directory with a log called `log`, its follower, and what the follower has read.
struct Bench {
    dir: tempfile::TempDir,
    follower: Follower,
    seen: Vec<Vec<u8>>,
    events: Vec<FileEvent>,
}

impl Bench {
    /// A follower of a log that does not exist yet.
    fn new() -> Self {
        Self::with(Origin::Start, |_| {})
    }

    /// A follower of a log that is prepared first.
    fn with(origin: Origin, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        prepare(&path);
        let follower = Follower::new(path, origin);
        Self { dir, follower, seen: Vec::new(), events: Vec::new() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Appends to a file of the directory, which is created if need be.
    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        append(&self.at(name), bytes);
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    /// Polls once, and takes down the lines.
    fn poll(&mut self) -> Poll {
        let mut lines = Vec::new();
        let poll = self.follower.poll(u64::MAX, &mut |region| {
            lines.extend(region.lines().map(|(_, line)| line.to_vec()));
        });
        self.seen.append(&mut lines);
        self.events.extend(poll.events.iter().cloned());
        poll
    }

    /// Polls until there is nothing more, and gives the lines that came since the last call.
    fn read(&mut self) -> Vec<String> {
        while self.poll().more {}
        let lines = std::mem::take(&mut self.seen);
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    /// The names and offsets at which files were entered since the last call.
    fn opened(&mut self) -> Vec<(String, u64)> {
        let opened = self.events.drain(..).filter_map(|event| match event {
            FileEvent::Opened { file, offset } => {
                Some((file.file_name().unwrap().to_str().unwrap().to_owned(), offset))
            }
            _ => None,
        });
        opened.collect()
    }

    fn is_following(&self) -> bool {
        *self.follower.state() == State::Following
    }

    /// How many files of the directory this process holds open.
    fn open_files(&self) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.filter(|target| target.starts_with(self.dir.path())).count()
    }
}

fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    appender(path).write_all(bytes.as_ref()).unwrap();
}

fn appender(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// Lines of about the size of a log message: `first` and the ones after it.
fn numbered(first: u64, count: u64) -> String {
    (first..first + count).fold(String::new(), |text, n| {
        text + &format!("[{n:08}] NOTICE[1234] chan_sip.c: a message\n")
    })
}

/// The numbers of such lines.
fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().map(|line| line[1..9].parse().unwrap()).collect()
}

/// Repeats `step` until it is satisfied. A minute is far more than any step takes, but for the long
/// form of the rotations.
fn until(what: &str, mut step: impl FnMut() -> bool) {
    let patience = if load::long_form().is_some() { 3600 } else { 60 };
    let deadline = Instant::now() + Duration::from_secs(patience);
    while !step() {
        assert!(Instant::now() < deadline, "still waiting for {what}");
        thread::yield_now();
    }
}
