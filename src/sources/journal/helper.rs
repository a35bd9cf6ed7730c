//! The process that reads the journal for the guard: it runs `journalctl`, and hands on what is wanted, as
//! [`remote`](crate::input::remote) reads it.
//!
//! It reads what there is first, up to the end; then it follows. Each time it begins with the last entry that it had: if
//! that is not there any more, neither are others. It ends when the guard closes the connection.
#![expect(
    clippy::disallowed_methods,
    reason = "an edge: a program that fails is started again after a while"
)]

use std::io::{self, ErrorKind, Read as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use memchr::{memchr, memmem};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::entry::{DROPPED, Entry, FIELDS, Told, matches};
use crate::input::remote::{LONGEST_PLACE, LONGEST_REQUEST, RemoteRequest};
use crate::model::journal_part::JournalPart;
use crate::model::time::Time;
use crate::sys::clock;

/// Parts of the journal in a request.
const MOST_PARTS: usize = 16;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// The longest line of `journalctl` that is read, in bytes. A message of Asterisk's has 8192, of which `journalctl`
/// prints each as up to five.
const LONGEST_LINE: usize = 256 << 10;
/// The most that is kept of what `journalctl` says is wrong, in bytes.
const LONGEST_COMPLAINT: usize = 1 << 10;
/// The shortest time before `journalctl` is started again; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest time before `journalctl` is started again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// What is written from this time on, in microseconds since 1970.
    Since(u64),
    /// Behind the entry with this cursor.
    After(String),
}

impl Place {
    /// Reads what [`Place::written`] wrote.
    fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST_PLACE {
            return None;
        }
        if let Some(since) = text.strip_prefix("since=") {
            return since.parse().ok().map(Self::Since);
        }
        let is_part = |part: &str| {
            let value = part.get(1..).and_then(|rest| rest.strip_prefix('='));
            value.is_some_and(|value| {
                !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        let is_cursor = text.split(';').all(is_part);
        is_cursor.then(|| Self::After(text.to_owned()))
    }

    fn written(&self) -> String {
        match self {
            Self::Since(since) => format!("since={since}"),
            Self::After(cursor) => cursor.clone(),
        }
    }

    /// The time of the place, in microseconds since 1970.
    fn time(&self) -> Option<u64> {
        match self {
            Self::Since(since) => Some(*since),
            Self::After(cursor) => u64::from_str_radix(part(cursor, "t=")?, 16).ok(),
        }
    }

    /// The arguments with which `journalctl` begins there.
    fn argument(&self) -> String {
        match self {
            Self::Since(since) => {
                format!("--since=@{}.{:06}", since / 1_000_000, since % 1_000_000)
            }
            Self::After(cursor) => format!("--cursor={cursor}"),
        }
    }
}

/// Returns the part of a cursor that begins like this.
fn part<'a>(cursor: &'a str, name: &str) -> Option<&'a str> {
    cursor.split(';').find_map(|part| part.strip_prefix(name))
}

/// Whether two cursors are of the same entry: in another file of the journal it has another number.
fn is_same(one: &str, other: &str) -> bool {
    ["b=", "m=", "t=", "x="].iter().all(|name| part(one, name) == part(other, name))
}

/// Reads the journal for the `guard`, at whose connection it asks and is answered, until it closes that.
///
/// # Errors
/// Returns an error if the request cannot be read or makes no sense.
pub fn serve(guard: BorrowedFd<'_>, answer: impl Write) -> io::Result<()> {
    serve_by(Path::new("journalctl"), guard, answer)
}

/// Does the same, by this program.
fn serve_by(program: &Path, guard: BorrowedFd<'_>, answer: impl Write) -> io::Result<()> {
    let RemoteRequest { select, after } = request(guard)?;
    if select.is_empty() || select.len() > MOST_PARTS {
        return Err(nonsense(format!("1 to {MOST_PARTS} parts of the journal are read")));
    }
    let parts: Result<Vec<JournalPart>, _> = select.iter().map(|part| part.parse()).collect();
    let parts = parts.map_err(|error| nonsense(error.to_string()))?;
    let known = after.as_deref().map(Place::read);
    let place = known.clone().flatten().unwrap_or_else(now);
    let (program, out) = (program.to_owned(), Vec::new());
    let mut reader = Reader { program, parts, place, answer, out, said: None, is_told: false };
    if known == Some(None) {
        reader.gap("the place at which to go on makes no sense");
    }
    match reader.run(guard) {
        // The guard has gone while it was told something.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Reads the request.
fn request(guard: BorrowedFd<'_>) -> io::Result<RemoteRequest> {
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    while memchr(b'\n', &line).is_none() {
        let count = rustix::io::read(guard, &mut bytes)?;
        line.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if count == 0 || line.len() > LONGEST_REQUEST {
            return Err(nonsense("there is no request of one line".to_owned()));
        }
    }
    serde_json::from_slice(&line).map_err(|error| nonsense(error.to_string()))
}

fn nonsense(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// The place at which the journal ends now.
fn now() -> Place {
    Place::Since(u64::try_from(clock::now().millis()).unwrap_or_default() * 1000)
}

/// Reads the journal, and tells the guard.
struct Reader<W> {
    program: PathBuf,
    parts: Vec<JournalPart>,
    /// The place behind the last entry that was read.
    place: Place,
    answer: W,
    /// Records that have not been written yet.
    out: Vec<u8>,
    /// The state that was told last.
    said: Option<String>,
    /// Whether the guard knows the place.
    is_told: bool,
}

/// How far `journalctl` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// To the end of the journal.
    End,
    /// For ever.
    Killed,
}

/// The entry that is read first, although it has been read before.
struct Expected {
    cursor: String,
    until: Until,
}

/// The end of a `journalctl`.
enum Ended {
    /// The guard has closed the connection.
    Unwanted,
    /// It has read what it should.
    Done,
    /// It could not be run, or failed: this says why.
    Failed(String),
}

impl<W: Write> Reader<W> {
    fn run(&mut self, guard: BorrowedFd<'_>) -> io::Result<()> {
        self.tell()?;
        let mut wait = FIRST_WAIT;
        loop {
            let begin = Instant::now();
            let mut ended = self.read(Until::End, guard)?;
            if matches!(ended, Ended::Done) {
                self.say("");
                self.tell()?;
                ended = self.read(Until::Killed, guard)?;
            }
            let why = match ended {
                Ended::Unwanted => return Ok(()),
                Ended::Done => "journalctl has ended: it is started again".to_owned(),
                Ended::Failed(why) => why,
            };
            eprintln!("{why}");
            self.say(&why);
            self.tell()?;
            if begin.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            if is_closed(guard, wait)? {
                return Ok(());
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Runs `journalctl` once, from the place on.
    fn read(&mut self, until: Until, guard: BorrowedFd<'_>) -> io::Result<Ended> {
        let begin = now();
        let mut journalctl = match Journalctl::start(&self.program, &self.place, &self.parts, until)
        {
            Ok(journalctl) => journalctl,
            Err(error) => return Ok(Ended::Failed(format!("journalctl cannot be run: {error}"))),
        };
        let (mut lines, mut complaint) = (Lines::default(), Vec::new());
        // The first entry is the one at the place, if there was one.
        let mut expected = match &self.place {
            Place::After(cursor) => Some(Expected { cursor: cursor.clone(), until }),
            Place::Since(_) => None,
        };
        let mut bytes = vec![0; CHUNK];
        loop {
            match journalctl.wait(guard)? {
                Ready::Guard => return Ok(Ended::Unwanted),
                Ready::Complaint => {
                    let count = journalctl.complaint(&mut bytes)?;
                    let room = LONGEST_COMPLAINT.saturating_sub(complaint.len());
                    complaint.extend_from_slice(bytes.get(..count.min(room)).unwrap_or_default());
                    if is_forbidden(&complaint) {
                        return Ok(Ended::Failed(forbidden(&complaint)));
                    }
                }
                Ready::Output => {
                    let count = journalctl.output(&mut bytes)?;
                    if count == 0 {
                        break;
                    }
                    let read = bytes.get(..count).unwrap_or_default();
                    lines.split(read, |line| self.entry(line, &mut expected));
                    self.tell()?;
                }
            }
        }
        let status = journalctl.end(&mut complaint)?;
        let said = String::from_utf8_lossy(&complaint).trim().replace('\n', "; ");
        if is_forbidden(&complaint) {
            return Ok(Ended::Failed(forbidden(&complaint)));
        }
        if !status.success() || until == Until::Killed {
            // What journald cannot make sense of it will not understand the next time either.
            if said.contains("cursor")
                && let Some(time) = self.place.time()
            {
                self.place = Place::Since(time);
                self.gap("the place at which to go on is not known any more");
                self.tell_place();
            }
            let said = if said.is_empty() { status.to_string() } else { said };
            return Ok(Ended::Failed(format!("journalctl has ended: {said}")));
        }
        if expected.is_some() {
            self.vanished();
            self.place = begin;
            self.tell_place();
        }
        Ok(Ended::Done)
    }

    /// Takes an entry; `expected` is the first one, until that has come.
    fn entry(&mut self, line: Line<'_>, expected: &mut Option<Expected>) {
        let Line::Whole(line) = line else {
            let left_out = Entry::left_out();
            self.record(b'L', &left_out);
            return;
        };
        let Some(entry) = Entry::read(line) else { return };
        if let Some(Expected { cursor, until }) = expected.take() {
            if is_same(&cursor, entry.cursor()) {
                return;
            }
            // What follows is of this boot alone, and all before it has been read.
            if until == Until::End {
                self.vanished();
            }
        }
        let told = entry.told(&self.parts);
        let cursor = entry.cursor();
        if cursor.len() <= LONGEST_PLACE {
            (self.place, self.is_told) = (Place::After(cursor.to_owned()), false);
        }
        match told {
            Told::Nothing => {}
            Told::Line(line) => self.record(b'L', &line),
            Told::Dropped(words) => {
                self.gap(&format!(
                    "journald says \"{words}\": raise RateLimitBurst= in journald.conf, or LogRateLimitBurst= in the unit"
                ));
                self.tell_place();
            }
        }
    }

    /// Says that the entry at the place is not there any more.
    fn vanished(&mut self) {
        let millis =
            self.place.time().map(|micros| micros / 1000).and_then(|ms| ms.try_into().ok());
        let since =
            millis.map_or_else(String::new, |ms| format!(" since {}", Time::from_millis(ms)));
        self.gap(&format!(
            "entries{since} have been removed from the journal before they were read"
        ));
    }

    fn gap(&mut self, why: &str) {
        eprintln!("entries may be missing: {why}");
        self.record(b'G', why.as_bytes());
    }

    /// Says how the source is: nothing if all is well.
    fn say(&mut self, state: &str) {
        if self.said.as_deref() != Some(state) {
            self.said = Some(state.to_owned());
            self.record(b'S', state.as_bytes());
        }
    }

    fn record(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend(text.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
        self.out.push(b'\n');
    }

    fn tell_place(&mut self) {
        let place = self.place.written();
        self.record(b'C', place.as_bytes());
        self.is_told = true;
    }

    /// Writes all that has not been written, and the place.
    fn tell(&mut self) -> io::Result<()> {
        if !self.is_told {
            self.tell_place();
        }
        self.answer.write_all(&self.out)?;
        self.answer.flush()?;
        self.out.clear();
        Ok(())
    }
}

/// Whether `journalctl` says that it may not read the journal.
fn is_forbidden(complaint: &[u8]) -> bool {
    ["insufficient permissions", "not seeing messages from other users"]
        .iter()
        .any(|words| memmem::find(complaint, words.as_bytes()).is_some())
}

fn forbidden(complaint: &[u8]) -> String {
    let words = String::from_utf8_lossy(complaint).trim().replace('\n', " ");
    format!(
        "journalctl may not read the journal: set SupplementaryGroups=systemd-journal in asterguard-journal@.service (it says: {words})"
    )
}

/// Whether the guard closes the connection within this time.
fn is_closed(guard: BorrowedFd<'_>, within: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(guard, PollFlags::IN)];
    Ok(wait_for(&mut fds, Some(within))? > 0)
}

/// Waits until one of these can be read; returns how many can.
fn wait_for(fds: &mut [PollFd<'_>], within: Option<Duration>) -> io::Result<usize> {
    let limit = within.map(|within| Timespec {
        tv_sec: within.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: within.subsec_nanos().into(),
    });
    loop {
        match poll(fds, limit.as_ref()) {
            Err(Errno::INTR) => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// A running `journalctl`, which ends with this.
struct Journalctl {
    child: Child,
    stdout: ChildStdout,
    /// Until it is closed.
    stderr: Option<ChildStderr>,
}

/// What can be read.
enum Ready {
    Output,
    Complaint,
    /// The guard has closed the connection.
    Guard,
}

impl Journalctl {
    fn start(
        program: &Path,
        place: &Place,
        parts: &[JournalPart],
        until: Until,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["--output=json", "--all", "--no-pager", "--no-tail", &place.argument()]);
        command.arg(format!("--output-fields={FIELDS}"));
        if until == Until::Killed {
            command.arg("--follow");
        }
        for part in parts {
            command.args(matches(part)).arg("+");
        }
        command.args(["_TRANSPORT=driver", &format!("MESSAGE_ID={DROPPED}")]);
        let mut child = command
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), stderr) => Ok(Self { child, stdout, stderr }),
            (None, _) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits until something can be read: from the guard first.
    fn wait(&self, guard: BorrowedFd<'_>) -> io::Result<Ready> {
        let read = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![read(guard), read(self.stdout.as_fd())];
        fds.extend(self.stderr.as_ref().map(|stderr| read(stderr.as_fd())));
        wait_for(&mut fds, None)?;
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        Ok(match (is_ready(0), is_ready(2)) {
            (true, _) => Ready::Guard,
            (_, true) => Ready::Complaint,
            _ => Ready::Output,
        })
    }

    fn output(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(bytes)
    }

    fn complaint(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.stderr.as_mut().map_or(Ok(0), |stderr| stderr.read(bytes))?;
        if count == 0 {
            self.stderr = None;
        }
        Ok(count)
    }

    /// Waits until it has ended, and returns how.
    fn end(&mut self, complaint: &mut Vec<u8>) -> io::Result<ExitStatus> {
        if let Some(stderr) = self.stderr.take() {
            let room = LONGEST_COMPLAINT.saturating_sub(complaint.len());
            stderr.take(room as u64).read_to_end(complaint)?;
        }
        self.child.wait()
    }
}

impl Drop for Journalctl {
    fn drop(&mut self) {
        // If it has ended, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Splits what is read into lines. It keeps at most [`LONGEST_LINE`] bytes.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// Whether the line that was begun is too long.
    skips: bool,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line<'a> {
    Whole(&'a [u8]),
    TooLong,
}

impl Lines {
    fn split(&mut self, mut read: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = memchr(b'\n', read) {
            let (line, rest) = read.split_at(end);
            read = rest.get(1..).unwrap_or_default();
            if std::mem::take(&mut self.skips) || self.begun.len() + line.len() > LONGEST_LINE {
                each(Line::TooLong);
            } else if self.begun.is_empty() {
                each(Line::Whole(line));
            } else {
                self.begun.extend_from_slice(line);
                each(Line::Whole(&self.begun));
            }
            self.begun.clear();
        }
        if self.skips || self.begun.len() + read.len() > LONGEST_LINE {
            (self.skips, self.begun) = (true, Vec::new());
        } else {
            self.begun.extend_from_slice(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    use proptest::prelude::*;

    use super::*;

    const CURSOR: &str = "s=0a1b;i=3f;b=99;m=12ab;t=64ab12cd34567;x=ff00";

    #[test]
    fn places_are_read_and_written() {
        for text in ["since=1764441234123456", CURSOR] {
            assert_eq!(Place::read(text).unwrap().written(), text);
        }
        for text in [
            "",
            "since=",
            "since=-1",
            "since=x",
            "s=",
            "x",
            "s=0a;rm -rf /",
            "--help",
            "s=0a;=1",
            &format!("s={}", "0".repeat(1100)),
        ] {
            assert_eq!(Place::read(text), None, "{text}");
        }
        let place = Place::read(CURSOR).unwrap();
        assert_eq!(place.time(), Some(0x6_4ab1_2cd3_4567));
        assert_eq!(place.argument(), format!("--cursor={CURSOR}"));
        assert_eq!(Place::Since(1_764_441_234_000_056).argument(), "--since=@1764441234.000056");
    }

    #[test]
    fn an_entry_is_the_same_in_another_file() {
        assert!(is_same(CURSOR, &CURSOR.replace("s=0a1b;i=3f", "s=77;i=1")));
        assert!(!is_same(CURSOR, &CURSOR.replace("m=12ab", "m=12ac")));
    }

    #[test]
    fn nonsense_is_refused() {
        for asked in [
            "{}\n",
            "no json\n",
            "{\"select\":[],\"after\":null}\n",
            "{\"select\":[\"--file=/etc/shadow\"],\"after\":null}\n",
            "{\"select\":[\"asterisk.service\"],\"after\":null,\"more\":1}\n",
            "{\"select\":[\"asterisk.service\"]",
        ] {
            let (mut guard, helper) = UnixStream::pair().unwrap();
            guard.write_all(asked.as_bytes()).unwrap();
            drop(guard);
            let error = serve(helper.as_fd(), io::sink()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{asked}");
        }
    }

    /// Asks a helper whose `journalctl` is this script, and returns what it answers, up to a record that begins with
    /// `last`. The script knows by `$n` how often it was run before, and `$all` are its arguments.
    fn answers(script: &str, after: &str, last: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("journalctl");
        let text = format!(
            "#!/bin/sh\nall=\"$*\"; echo >>\"$0.runs\"; n=$(wc -l <\"$0.runs\")\n\
             entry() {{ echo '{{\"__CURSOR\":\"'\"$1\"'\",\"__REALTIME_TIMESTAMP\":\"17\",\"_TRANSPORT\":\"stdout\",\"_SYSTEMD_UNIT\":\"asterisk.service\",\"MESSAGE\":\"'\"$2\"'\"}}'; }}\n\
             {script}\n"
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (guard, helper) = UnixStream::pair().unwrap();
        (&guard)
            .write_all(
                format!("{{\"select\":[\"asterisk.service\"],\"after\":{after}}}\n").as_bytes(),
            )
            .unwrap();
        let serving = std::thread::spawn(move || serve_by(&program, helper.as_fd(), &helper));
        let mut told = Vec::new();
        for line in io::BufReader::new(&guard).lines() {
            told.push(line.unwrap());
            if told.last().is_some_and(|line| line.starts_with(last)) {
                break;
            }
        }
        drop(guard);
        serving.join().unwrap().unwrap();
        told
    }

    #[test]
    fn journalctl_that_ends_goes_on_where_it_was() {
        let script = r"
            case $n in
            1) entry b=1 known; entry b=2 one;;
            2) entry b=2 one; entry b=3 two;;
            *) case $all in *--cursor=b=3*) entry b=3 two; entry b=4 three;; esac; sleep 5;;
            esac";
        let told = answers(script, "\"b=1\"", "L|three");
        let records: Vec<_> = told.iter().filter(|line| !line.starts_with('S')).collect();
        // The place is told with each that was read.
        assert_eq!(records, ["Cb=1", "L|one", "Cb=2", "L|two", "Cb=3", "L|three"]);
        let states: Vec<_> = told.iter().filter(|line| line.starts_with('S')).collect();
        assert_eq!(states[0], "S");
        assert!(states[1].starts_with("Sjournalctl has ended: exit status: 0"), "{states:?}");
    }

    #[test]
    fn what_has_been_removed_is_told() {
        let told = answers("entry b=7 late", "\"b=1;t=10\"", "S");
        assert!(told[1].starts_with("Gentries since 1970-01-01"), "{told:?}");
        assert_eq!(told[2..], ["L|late", "Cb=7", "S"]);
        let told = answers("exit 0", "\"b=1;t=10\"", "S");
        assert!(told[1].starts_with("Gentries since"), "{told:?}");
        assert!(told[2..].iter().any(|line| line.starts_with("Csince=")), "{told:?}");
        let unknown = "echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1";
        let told = answers(unknown, "\"b=1;t=10\"", "S");
        assert_eq!(told[1], "Gthe place at which to go on is not known any more");
        assert!(told[2..].contains(&"Csince=16".to_owned()), "{told:?}");
        let told = answers("exit 0", "\"nonsense\"", "S");
        assert_eq!(told[0], "Gthe place at which to go on makes no sense");
    }

    #[test]
    fn what_is_in_the_way_is_told() {
        let denied =
            "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1";
        for (script, words) in [
            (denied, "Sjournalctl may not read the journal: set SupplementaryGroups"),
            ("echo 'out of memory' >&2; exit 3", "Sjournalctl has ended: out of memory"),
            ("kill -9 $$", "Sjournalctl has ended: signal: 9"),
        ] {
            let told = answers(script, "null", "S");
            assert!(told.last().unwrap().starts_with(words), "{told:?}");
        }
        let (guard, helper) = UnixStream::pair().unwrap();
        (&guard).write_all(b"{\"select\":[\"asterisk.service\"],\"after\":null}\n").unwrap();
        let missing = Path::new("/nonexistent/journalctl");
        let serving = std::thread::spawn(move || serve_by(missing, helper.as_fd(), &helper));
        let mut lines = io::BufReader::new(&guard).lines();
        let state = lines.find_map(|line| line.ok().filter(|line| line.starts_with('S'))).unwrap();
        assert!(state.starts_with("Sjournalctl cannot be run: No such file"), "{state}");
        drop(lines);
        drop(guard);
        serving.join().unwrap().unwrap();
    }

    #[test]
    fn nonsense_of_journalctl_is_passed_over() {
        let script = r#"
            echo '-- Journal begins --'; echo '{'; head -c 300000 /dev/zero | tr '\\0' x; echo
            entry b=2 one; echo; printf '{"__CURSOR":"b=3","MESSAGE":[1,'"#;
        let told = answers(script, "null", "S");
        let lines: Vec<_> = told.iter().filter(|line| line.starts_with('L')).collect();
        assert_eq!(lines, ["L|(left out: too long)", "L|one"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_left_out() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut note = |line: Line<'_>| {
            found.push(match line {
                Line::Whole(text) => text.len(),
                Line::TooLong => usize::MAX,
            });
        };
        for _ in 0..5 {
            lines.split(&vec![b'x'; CHUNK], &mut note);
        }
        lines.split(b"x\nabc\n", &mut note);
        assert_eq!(found, [usize::MAX, 3]);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_come(
            text in "[ab\n]{0,60}", size in 1_usize..20
        ) {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                lines.split(piece, |line| match line {
                    Line::Whole(line) => found.push(String::from_utf8_lossy(line).into_owned()),
                    Line::TooLong => panic!("too long"),
                });
            }
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let expected: Vec<_> = text.contains('\n').then(|| whole.split('\n')).into_iter().flatten().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
