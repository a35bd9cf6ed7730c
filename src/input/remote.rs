//! Lines from a source helper: a process that reads, for the guard, what the guard itself may not reach.
//!
//! The guard connects to the helper and writes one line of JSON, a [`RemoteRequest`]. Then the helper writes records, one
//! on each line. The first byte of a record says what it is:
//!
//! | byte | what follows |
//! |---|---|
//! | `L` | a line for the rules |
//! | `C` | the place after the last line, by which the helper goes on there later |
//! | `S` | the state: nothing if lines come, otherwise the reason why none do, and what to do |
//! | `G` | lines may be missing here: since when, and why |
//!
//! A thread reads them into a bounded buffer. If the guard is slow, the helper waits. If the helper ends, the thread
//! connects again after a while.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::FollowError;
use super::line_splitter::{HISTORY, Region};
use super::source::{LineSource, Poll, SourceCheckpoint, SourceEvent, SourceNumbers, SourceState};
use crate::model::backoff;
use crate::model::remote_source::RemoteSource;
use crate::sys::mutex::lock;
use crate::sys::peer::{Connect, Peer};

/// The longest record, in bytes, with its line feed.
pub const LONGEST_RECORD: usize = 64 << 10;
/// The longest place, in bytes.
pub const LONGEST_PLACE: usize = 1 << 10;
/// The longest request, in bytes, with its line feed.
pub const LONGEST_REQUEST: usize = 4 << 10;
/// The longest state or gap that is shown, in characters.
const LONGEST_WORDS: usize = 512;
/// Bytes of lines that wait for the engine. If there are more, the helper waits.
const WAITING: usize = 1 << 20;
/// Gaps that wait for the log. Later ones are not logged.
const MOST_GAPS: usize = 16;
/// The shortest time before the thread connects again; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest time before the thread connects again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the guard wants to get from a source helper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteRequest {
    /// What is to be read: for the journal, its units.
    pub select: Vec<String>,
    /// The place after which to go on; `None`: only what is written from now on.
    pub after: Option<String>,
}

/// The ways to the source helpers, and what wakes the engine.
#[derive(Clone, Default)]
pub struct Remotes {
    peers: Vec<(Peer, Connect)>,
    wake: Option<Wake>,
    /// The time before a thread connects again for the first time.
    first_wait: Duration,
}

/// Wakes the engine.
type Wake = Arc<dyn Fn() + Send + Sync>;

impl fmt::Debug for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.peers.iter().map(|(peer, _)| peer)).finish()
    }
}

impl Remotes {
    /// Returns the ways to these helpers; `wake` is called when there is something to poll.
    #[must_use]
    pub fn new(peers: Vec<(Peer, Connect)>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { peers, wake: Some(wake), first_wait: FIRST_WAIT }
    }

    /// Opens a source.
    pub(super) fn open(&self, source: &RemoteSource) -> Remote {
        self.start(source, Place::default())
    }

    /// Goes on with a source after a checkpoint. `None` if that makes no sense.
    pub(super) fn resume(
        &self,
        source: &RemoteSource,
        checkpoint: &SourceCheckpoint,
    ) -> Option<Remote> {
        let place = serde_json::from_slice(checkpoint.as_bytes()).ok()?;
        Some(self.start(source, place))
    }

    fn start(&self, source: &RemoteSource, place: Place) -> Remote {
        let (peer, select) = match source {
            RemoteSource::Journal(part) => (Peer::Journal, vec![part.to_string()]),
            RemoteSource::Ami => (Peer::Ami, Vec::new()),
        };
        let request = RemoteRequest { select, after: None };
        let connect = self.peers.iter().find(|(known, _)| *known == peer);
        let state = if connect.is_some() {
            SourceState::Waiting { why: FollowError::Helper("its helper is started".to_owned()) }
        } else {
            failed(format!(
                "start the guard with {} and the socket of {}",
                peer.option(),
                peer.unit()
            ))
        };
        let inbox =
            Inbox { place: place.clone(), state: state.clone(), behind: true, ..Inbox::default() };
        let shared = Arc::new(Shared { inbox: Mutex::new(inbox), changed: Condvar::new() });
        if let Some((_, connect)) = connect {
            let session = Session {
                shared: Arc::clone(&shared),
                connect: Arc::clone(connect),
                wake: self.wake.clone(),
                peer,
                request,
                first_wait: self.first_wait,
            };
            let name = peer.option().trim_start_matches('-').to_owned();
            // Without a thread there are no lines, and the state says that none come.
            let _ = thread::Builder::new().name(name).spawn(move || session.run());
        }
        Remote { shared, place, state, bytes: Vec::new(), next_line: 1 }
    }
}

/// A source that a helper reads. It takes as much memory as may wait, twice, and a thread.
#[derive(Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    /// The place after the last line that was handed out.
    place: Place,
    state: SourceState,
    /// The history, and at a poll the lines.
    bytes: Vec<u8>,
    next_line: u64,
}

/// A place in a source: so many lines after the last place that the helper named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    after: Option<String>,
    lines: u64,
}

/// What the thread and the engine share.
#[derive(Debug)]
struct Shared {
    inbox: Mutex<Inbox>,
    /// The engine has taken the lines, or wants no more.
    changed: Condvar,
}

#[derive(Debug)]
struct Inbox {
    /// Lines, each with a line feed.
    lines: Vec<u8>,
    /// The place after them.
    place: Place,
    state: SourceState,
    /// Whether old lines are still to come.
    behind: bool,
    gaps: Vec<String>,
    /// Whether the engine was woken since its last poll.
    woken: bool,
    /// The connection, while there is one.
    stream: Option<UnixStream>,
    /// Whether nobody polls any more.
    closed: bool,
}

impl Inbox {
    fn note_gap(&mut self, why: String) {
        if self.gaps.len() < MOST_GAPS {
            self.gaps.push(why);
        }
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            place: Place::default(),
            state: SourceState::Following,
            behind: false,
            gaps: Vec::new(),
            woken: false,
            stream: None,
            closed: false,
        }
    }
}

impl LineSource for Remote {
    /// Hands out all lines that wait: never more than [`WAITING`] bytes.
    fn poll(&mut self, _budget: u64, each: &mut dyn FnMut(Region<'_>)) -> Poll {
        let start = self.bytes.len();
        let (gaps, behind) = {
            let mut inbox = lock(&self.shared.inbox);
            self.bytes.append(&mut inbox.lines);
            self.place.clone_from(&inbox.place);
            if self.state != inbox.state {
                self.state = inbox.state.clone();
            }
            inbox.woken = false;
            (std::mem::take(&mut inbox.gaps), inbox.behind)
        };
        self.shared.changed.notify_all();
        let bytes = self.bytes.len() - start;
        if bytes > 0 {
            let first_line = self.next_line;
            let lines = self.bytes.get(start..).unwrap_or_default();
            self.next_line += bytecount::count(lines, b'\n') as u64;
            each(Region {
                bytes: &self.bytes,
                start,
                first_line,
                next_line: self.next_line,
                after_gap: !gaps.is_empty(),
            });
            self.bytes.drain(..self.bytes.len().saturating_sub(HISTORY));
        }
        let events = gaps.into_iter().map(|why| SourceEvent::Gap { why }).collect();
        Poll { bytes: bytes as u64, more: false, between_lines: true, behind, events }
    }

    fn checkpoint(&self) -> Option<SourceCheckpoint> {
        serde_json::to_vec(&self.place).ok().map(SourceCheckpoint::new)
    }

    fn state(&self) -> &SourceState {
        &self.state
    }

    fn status(&self) -> SourceNumbers {
        SourceNumbers { unread: lock(&self.shared.inbox).lines.len() as u64, oversized: 0 }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let mut inbox = lock(&self.shared.inbox);
        inbox.closed = true;
        if let Some(stream) = inbox.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(inbox);
        self.shared.changed.notify_all();
    }
}

/// The thread that talks with the helper.
struct Session {
    shared: Arc<Shared>,
    connect: Connect,
    wake: Option<Wake>,
    peer: Peer,
    request: RemoteRequest,
    first_wait: Duration,
}

impl Session {
    fn run(&self) {
        let mut doublings = 0_u32;
        loop {
            let why = match self.connected() {
                Ok(()) => "its helper has ended".to_owned(),
                Err(error) => error.to_string(),
            };
            let mut inbox = lock(&self.shared.inbox);
            inbox.stream = None;
            if inbox.closed {
                return;
            }
            // A helper that got as far as to say that all is well had no lasting fault.
            if matches!(inbox.state, SourceState::Following) {
                doublings = 0;
            }
            if inbox.place.after.is_none() && matches!(inbox.state, SourceState::Following) {
                inbox.note_gap(format!(
                    "{why}, and what was written until it is there again is not read"
                ));
            }
            let (socket, logs) = (self.peer.unit(), self.peer.unit().replace(".socket", "@*"));
            inbox.state = failed(format!("{why} ({socket}); see journalctl -u '{logs}'"));
            self.wake(&mut inbox);
            let chance = RandomState::new().hash_one(0);
            let wait = backoff::wait(self.first_wait, LONGEST_WAIT, doublings, chance);
            let (inbox, _) = self
                .shared
                .changed
                .wait_timeout_while(inbox, wait, |inbox| !inbox.closed)
                .unwrap_or_else(PoisonError::into_inner);
            if inbox.closed {
                return;
            }
            drop(inbox);
            doublings = doublings.saturating_add(1);
        }
    }

    /// Connects, and reads records until the helper ends.
    fn connected(&self) -> io::Result<()> {
        let mut stream = (self.connect)()?;
        let Place { after, lines } = {
            let mut inbox = lock(&self.shared.inbox);
            if inbox.closed {
                return Ok(());
            }
            inbox.stream = Some(stream.try_clone()?);
            inbox.place.clone()
        };
        // Without a place, nothing that comes was there before.
        let mut skip = if after.is_some() { lines } else { 0 };
        let mut request = serde_json::to_vec(&RemoteRequest { after, ..self.request.clone() })?;
        request.push(b'\n');
        stream.write_all(&request)?;
        let mut reader = BufReader::new(stream);
        let mut record = Vec::new();
        loop {
            record.clear();
            (&mut reader).take(LONGEST_RECORD as u64).read_until(b'\n', &mut record)?;
            let Some((b'\n', text)) = record.split_last() else {
                let whole = record.is_empty();
                return if whole { Ok(()) } else { Err(nonsense()) };
            };
            let (kind, text) = text.split_first().ok_or_else(nonsense)?;
            if !self.take(*kind, text, &mut skip)? {
                return Ok(());
            }
        }
    }

    /// Takes a record; returns whether anybody wants more.
    fn take(&self, kind: u8, text: &[u8], skip: &mut u64) -> io::Result<bool> {
        let mut inbox = lock(&self.shared.inbox);
        match kind {
            // The place is before lines that were had.
            b'L' if *skip > 0 => {
                *skip -= 1;
                return Ok(true);
            }
            b'L' => {
                inbox = self.until_there_is_room(inbox, text.len());
                if inbox.closed {
                    return Ok(false);
                }
                inbox.lines.extend_from_slice(text);
                inbox.lines.push(b'\n');
                inbox.place.lines += 1;
            }
            b'C' => {
                let place = std::str::from_utf8(text).ok().filter(|place| {
                    (1..=LONGEST_PLACE).contains(&place.len())
                        && place.bytes().all(|byte| byte.is_ascii_graphic())
                });
                let after = Some(place.ok_or_else(nonsense)?.to_owned());
                inbox.place = Place { after, lines: *skip };
                return Ok(true);
            }
            b'S' if text.is_empty() => {
                inbox.state = SourceState::Following;
                inbox.behind = false;
            }
            b'S' => inbox.state = failed(words(text)),
            b'G' => {
                *skip = 0;
                inbox.note_gap(words(text));
            }
            _ => return Err(nonsense()),
        }
        self.wake(&mut inbox);
        Ok(true)
    }

    fn until_there_is_room<'a>(
        &'a self,
        inbox: MutexGuard<'a, Inbox>,
        length: usize,
    ) -> MutexGuard<'a, Inbox> {
        let is_full = |inbox: &mut Inbox| !inbox.closed && inbox.lines.len() + length >= WAITING;
        self.shared.changed.wait_while(inbox, is_full).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the engine, once until it polls.
    fn wake(&self, inbox: &mut Inbox) {
        if !std::mem::replace(&mut inbox.woken, true)
            && let Some(wake) = &self.wake
        {
            wake();
        }
    }
}

fn failed(why: String) -> SourceState {
    SourceState::Unreadable { why: FollowError::Helper(why) }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its helper says what makes no sense")
}

/// A text of the helper for people: of bounded length, and without control characters.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(LONGEST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn journal() -> RemoteSource {
        RemoteSource::Journal("asterisk.service".parse().unwrap())
    }

    /// A helper that the test plays, and the engine's end of it.
    struct Lab {
        listener: UnixListener,
        remotes: Remotes,
        wakes: Receiver<()>,
        _directory: tempfile::TempDir,
    }

    /// A connection of the guard to the helper.
    struct Helper {
        request: RemoteRequest,
        stream: UnixStream,
    }

    impl Lab {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let socket = directory.path().join("socket");
            let listener = UnixListener::bind(&socket).unwrap();
            let connect: Connect = Arc::new(move || UnixStream::connect(&socket));
            let (woken, wakes) = channel();
            let wake = move || woken.send(()).unwrap_or_default();
            let mut remotes = Remotes::new(vec![(Peer::Journal, connect)], Arc::new(wake));
            remotes.first_wait = Duration::from_millis(1);
            Self { listener, remotes, wakes, _directory: directory }
        }

        fn open(&self) -> Remote {
            self.remotes.open(&journal())
        }

        fn accept(&self) -> Helper {
            let (stream, _) = self.listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            Helper { request: serde_json::from_str(&line).unwrap(), stream }
        }

        /// Polls at each wake-up until so many lines have come, and returns them and what happened.
        fn lines(&self, remote: &mut Remote, count: usize) -> (Vec<String>, Vec<SourceEvent>) {
            let (mut lines, mut events) = (Vec::new(), Vec::new());
            loop {
                let poll = remote.poll(0, &mut |region| {
                    lines.extend(
                        region.lines().map(|(_, line)| String::from_utf8_lossy(line).into_owned()),
                    );
                });
                events.extend(poll.events);
                if lines.len() >= count {
                    return (lines, events);
                }
                self.wakes.recv().unwrap();
            }
        }

        /// Polls at each wake-up until the state is one of these.
        fn until(&self, remote: &mut Remote, is: impl Fn(&SourceState) -> bool) {
            loop {
                remote.poll(0, &mut |_| {});
                if is(remote.state()) {
                    return;
                }
                self.wakes.recv().unwrap();
            }
        }
    }

    impl Helper {
        fn say(&mut self, records: &str) {
            self.stream.write_all(records.as_bytes()).unwrap();
        }
    }

    fn is_following(state: &SourceState) -> bool {
        *state == SourceState::Following
    }

    #[test]
    fn after_a_restart_no_line_comes_twice_and_none_is_lost() {
        let lab = Lab::new();
        let mut remote = lab.open();
        let mut helper = lab.accept();
        assert_eq!(helper.request.select, ["asterisk.service"]);
        assert_eq!(helper.request.after, None);
        helper.say("Cone\nS\nLa\nLb\n");
        assert_eq!(lab.lines(&mut remote, 2).0, ["a", "b"]);
        let checkpoint = remote.checkpoint().unwrap();
        drop(remote);
        // What the guard does after a restart, and what the thread does if the helper ends.
        let mut remote = lab.remotes.resume(&journal(), &checkpoint).unwrap();
        let mut helper = lab.accept();
        assert_eq!(helper.request.after.as_deref(), Some("one"));
        helper.say("La\nLb\nLc\nCtwo\nLd\nCthree\nLe\n");
        assert_eq!(lab.lines(&mut remote, 3).0, ["c", "d", "e"]);
        assert!(
            remote.poll(0, &mut |_| {}).behind,
            "the helper has not said that it is at the end"
        );
        helper.say("S\n");
        lab.until(&mut remote, is_following);
        assert!(!remote.poll(0, &mut |_| {}).behind);
        drop(helper);
        let mut helper = lab.accept();
        assert_eq!(helper.request.after.as_deref(), Some("three"));
        // Another place than before, ahead of lines that were had.
        helper.say("Cagain\nLe\nLf\nS\n");
        let (lines, events) = lab.lines(&mut remote, 1);
        assert_eq!((lines.as_slice(), events.as_slice()), (&["f".to_owned()][..], &[][..]));
        assert_eq!(remote.place, Place { after: Some("again".to_owned()), lines: 2 });
    }

    #[test]
    fn what_is_missing_is_said() {
        let lab = Lab::new();
        let mut remote = lab.open();
        let mut helper = lab.accept();
        helper.say("S\nLa\nGits place is gone \u{7}\nLb\n");
        let (lines, events) = lab.lines(&mut remote, 2);
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(events, [SourceEvent::Gap { why: "its place is gone ?".to_owned() }]);
        helper.say("Sthe password is wrong\n");
        lab.until(&mut remote, |state| state.to_string() == "unreadable: the password is wrong");
        helper.say("S\n");
        lab.until(&mut remote, is_following);
        // It named no place, so what comes until it is there again is lost.
        drop(helper);
        lab.until(&mut remote, |state| !is_following(state));
        let state = remote.state().to_string();
        assert!(
            state.contains("its helper has ended") && state.contains("asterguard-journal"),
            "{state}"
        );
        let mut helper = lab.accept();
        helper.say("S\nLc\n");
        assert_eq!(lab.lines(&mut remote, 1).0, ["c"]);
    }

    #[test]
    fn without_a_helper_it_is_said_how_to_get_one() {
        let remote = Remotes::default().open(&RemoteSource::Ami);
        let state = remote.state().to_string();
        assert!(state.contains("--ami") && state.contains("asterguard-ami.socket"), "{state}");
    }

    #[test]
    fn nonsense_ends_the_connection_and_memory_is_bounded() {
        let lab = Lab::new();
        let mut remote = lab.open();
        for nonsense in [
            "X\n",
            "\n",
            "C\n",
            "Ca b\n",
            &format!("C{}\n", "a".repeat(LONGEST_PLACE + 1)),
            &"L".repeat(LONGEST_RECORD),
        ] {
            let mut helper = lab.accept();
            // The guard may be gone before all of it is written.
            let _ = helper.stream.write_all(nonsense.as_bytes());
            lab.until(&mut remote, |state| state.to_string().contains("makes no sense"));
            assert_eq!(helper.stream.read(&mut [0]).unwrap_or(0), 0, "{nonsense:.9}");
            lock(&remote.shared.inbox).state = SourceState::Following;
        }
        let mut helper = lab.accept();
        helper.stream.set_nonblocking(true).unwrap();
        let line = format!("L{}\n", "x".repeat(1000));
        let mut sent = 0;
        // The buffers of the socket take some, too.
        while helper.stream.write_all(line.as_bytes()).is_ok() {
            sent += line.len();
            assert!(sent < 8 * WAITING);
        }
        assert!(remote.status().unread <= WAITING as u64);
    }
}
