//! The way to the process that tells people (`asterguard notifier`): a bounded queue, and a thread that hands it over.
//!
//! Whoever tells something never waits. An event stays here until the other process has it on its disk; then it says so. If
//! the connection ends before that, the event is said again by the next one.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::peer_link::{self, FIRST_WAIT, Talk};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::time::Time;
use crate::model::trouble::Trouble;
use crate::notify::protocol::{LONGEST_REPORT, NotifyStatus, Report, ToNotifier};
use crate::sys::json_line::{line, read};
use crate::sys::mutex::lock;
use crate::sys::peer::{Connect, Peer};

/// Events that wait for the other process, and bytes that they take. For more there is no room: they are counted, and the
/// number is told when there is.
const MOST_EVENTS: usize = 1024;
/// See [`MOST_EVENTS`].
const MOST_BYTES: usize = 4 << 20;
/// Bytes that are written at once.
const AT_ONCE: usize = 64 << 10;
/// Notifiers that are shown.
const MOST_NOTIFIERS: usize = crate::config::notify::MOST_NOTIFIERS;
/// The way to the process that tells. It takes at most 4 MiB, and two threads.
pub struct NotifyLink {
    shared: Arc<Shared>,
}

impl fmt::Debug for NotifyLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NotifyLink")
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whether anybody is to be told anything; otherwise, events are not kept, and nothing is connected.
    wanted: bool,
    /// The lines that the other process does not have on its disk, oldest first, and their size.
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many of them were written by this connection, and how many the other process had dealt with.
    written: usize,
    told: u64,
    /// Events for which there was no room, and the time of the last one.
    lost: u64,
    lost_at: Time,
    report: Report,
    /// Why there is no connection.
    trouble: Option<String>,
    stream: Option<UnixStream>,
    /// Whether the connection has ended, and whether this link has.
    broken: bool,
    stopped: bool,
}

impl State {
    /// Adds a line, if there is room.
    fn push(&mut self, line: Vec<u8>) -> bool {
        let bytes = self.bytes + line.len();
        let is_room = self.lines.len() < MOST_EVENTS && bytes <= MOST_BYTES;
        if is_room {
            self.bytes = bytes;
            self.lines.push_back(line);
        }
        is_room
    }

    /// Says how many events there was no room for, once there is some.
    fn tell_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let text = format!(
            "{} events could not be told: the process that tells did not take them in time (asterguard events has them)",
            self.lost
        );
        let mut event = GuardEvent::new(self.lost_at, EventKind::Health, text);
        event.good = Some(false);
        if self.push(line(&ToNotifier::Event(Box::new(event)))) {
            self.lost = 0;
        }
    }

    /// Takes up what the other process says.
    fn take(&mut self, report: Report) {
        let new = usize::try_from(report.taken.saturating_sub(self.told)).unwrap_or(usize::MAX);
        for _ in 0..new.min(self.written) {
            if let Some(line) = self.lines.pop_front() {
                self.bytes = self.bytes.saturating_sub(line.len());
                self.written -= 1;
            }
        }
        self.told = report.taken.max(self.told);
        self.report = report;
        self.report.notifiers.truncate(MOST_NOTIFIERS);
        self.tell_lost();
    }
}

impl NotifyLink {
    /// Starts the thread. `wanted` says whether the configuration has notifiers; without any, nothing is connected.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(connect: Connect, wanted: bool) -> io::Result<Self> {
        Self::start_after(connect, wanted, FIRST_WAIT)
    }

    fn start_after(connect: Connect, wanted: bool, first_wait: Duration) -> io::Result<Self> {
        let state = State { wanted, ..State::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        peer_link::start(Arc::clone(&shared), connect, first_wait)?;
        Ok(Self { shared })
    }

    /// Whether anybody is to be told anything.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        lock(&self.shared.state).wanted
    }

    /// Hands an event over. It never waits.
    pub fn tell(&self, event: &GuardEvent) {
        let mut state = lock(&self.shared.state);
        if !state.wanted || state.stopped {
            return;
        }
        state.tell_lost();
        let line = line(&ToNotifier::Event(Box::new(event.clone())));
        // Order matters less than that nothing is told before what is missing is.
        if state.lost > 0 || !state.push(line) {
            state.lost = state.lost.saturating_add(1);
            state.lost_at = event.at;
        }
        self.shared.changed.notify_all();
    }

    /// Says that the configuration was read again; `wanted` as at the start.
    pub fn reload(&self, wanted: bool) {
        let mut state = lock(&self.shared.state);
        let was_wanted = std::mem::replace(&mut state.wanted, wanted);
        if was_wanted || wanted {
            // Without room, very much waits that the next process gets with the new configuration.
            state.push(line(&ToNotifier::Reload));
        }
        self.shared.changed.notify_all();
    }

    /// Returns the state of each notifier, as the other process said it last.
    #[must_use]
    pub fn status(&self) -> Vec<NotifyStatus> {
        let state = lock(&self.shared.state);
        if state.wanted { state.report.notifiers.clone() } else { Vec::new() }
    }

    /// Returns what is wrong, if anything is.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let state = lock(&self.shared.state);
        if !state.wanted {
            return Vec::new();
        }
        let (socket, logs) = (Peer::Notify.unit(), Peer::Notify.unit().replace(".socket", ""));
        let mut troubles = Vec::new();
        if let Some(why) = &state.trouble {
            troubles.push(Trouble::new(
                format!(
                    "nobody is told anything now: {why} ({socket}); {} events wait",
                    state.lines.len()
                ),
                format!("see journalctl -u {logs}; systemctl status {socket}"),
            ));
        }
        if let Some(why) = &state.report.trouble {
            troubles.push(Trouble::new(format!("notifications: {why}"), "asterguard check"));
        }
        if state.lost > 0 {
            troubles.push(Trouble::new(
                format!("{} events were not told, because too many wait", state.lost),
                format!("see journalctl -u {logs}"),
            ));
        }
        for notifier in &state.report.notifiers {
            if let (Some(since), Some(why)) = (notifier.failing_since, &notifier.why) {
                let NotifyStatus { name, queued, .. } = notifier;
                let since = Time::from_secs(since);
                troubles.push(Trouble::new(
                    format!("nothing is told by [notify.{name}] since {since}: {why}; {queued} events wait"),
                    notifier.todo.clone().unwrap_or_else(|| format!("asterguard notify test {name}")),
                ));
            }
        }
        troubles
    }

    /// Ends the connection when all is handed over, or after this time.
    pub fn stop(&self, limit: Duration) {
        let mut state = lock(&self.shared.state);
        state.tell_lost();
        self.shared.changed.notify_all();
        if state.wanted && state.stream.is_some() {
            let waits = |state: &mut State| !state.lines.is_empty() && state.stream.is_some();
            let waited = self.shared.changed.wait_timeout_while(state, limit, waits);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.stopped = true;
        if let Some(stream) = state.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for NotifyLink {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

impl Talk for Shared {
    const NAME: &'static str = "notify";
    const LONGEST: usize = LONGEST_REPORT;

    fn wait_for_reason(&self) -> bool {
        let idle = |state: &mut State| !state.wanted && state.lines.is_empty() && !state.stopped;
        let state = self.changed.wait_while(lock(&self.state), idle);
        !state.unwrap_or_else(PoisonError::into_inner).stopped
    }

    fn begin(&self, stream: UnixStream) {
        let mut state = lock(&self.state);
        (state.stream, state.written, state.told, state.broken) = (Some(stream), 0, 0, false);
    }

    fn next(&self, bytes: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| {
            state.written >= state.lines.len() && !state.broken && !state.stopped
        };
        let state = self.changed.wait_while(lock(&self.state), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.broken || state.stopped {
            return false;
        }
        let mut lines = 0;
        for line in state.lines.iter().skip(state.written) {
            if lines > 0 && bytes.len() + line.len() > AT_ONCE {
                break;
            }
            bytes.extend_from_slice(line);
            lines += 1;
        }
        // Before they are written: the answer may be here at once.
        state.written += lines;
        true
    }

    fn hear(&self, line: &[u8]) -> bool {
        let Some(report) = read::<Report>(line) else { return false };
        let mut state = lock(&self.state);
        state.trouble = None;
        state.take(report);
        self.changed.notify_all();
        true
    }

    fn silent(&self) {
        lock(&self.state).broken = true;
        self.changed.notify_all();
    }

    fn ended(&self, why: String, worked: bool) {
        let mut state = lock(&self.state);
        (state.stream, state.written, state.broken) = (None, 0, false);
        if !worked {
            state.trouble = Some(why);
        }
        // A reload that was the last word ends with the process that it was for.
        if !state.wanted {
            state.lines.clear();
            state.bytes = 0;
        }
        self.changed.notify_all();
    }

    fn rest(&self, wait: Duration) -> bool {
        let goes_on = |state: &mut State| !state.stopped;
        let waited = self.changed.wait_timeout_while(lock(&self.state), wait, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::sync::mpsc::Receiver;
    use std::thread;

    use super::*;
    use crate::sys::clock::monotonic_now;

    /// The other process, played by the test.
    struct Lab {
        link: NotifyLink,
        streams: Receiver<UnixStream>,
        _directory: tempfile::TempDir,
    }

    struct Other(BufReader<UnixStream>);

    impl Lab {
        fn new() -> Self {
            let (connect, streams, directory) = peer_link::other();
            let link = NotifyLink::start_after(connect, true, Duration::from_millis(1)).unwrap();
            Self { link, streams, _directory: directory }
        }

        fn accept(&self) -> Other {
            Other(BufReader::new(self.streams.recv().unwrap()))
        }

        fn tell(&self, text: &str) {
            self.link.tell(&GuardEvent::new(Time::default(), EventKind::Start, text));
        }

        fn until(&self, is: impl Fn(&State) -> bool) {
            let start = monotonic_now();
            while !is(&lock(&self.link.shared.state)) {
                assert!(monotonic_now().since(start) < Duration::from_secs(10));
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl Other {
        fn hear(&mut self) -> String {
            let mut text = String::new();
            // One who was let go reads nothing, or that he was.
            self.0.read_line(&mut text).unwrap_or_default();
            match read::<ToNotifier>(text.as_bytes()) {
                Some(ToNotifier::Event(event)) => event.text,
                Some(ToNotifier::Reload) => "reload".to_owned(),
                Some(ToNotifier::Test(_)) => "test".to_owned(),
                Some(ToNotifier::Letter(_)) => "letter".to_owned(),
                None => String::new(),
            }
        }

        fn say(&mut self, taken: u64) {
            let report = Report { taken, ..Report::default() };
            self.0.get_mut().write_all(&line(&report)).unwrap();
        }
    }

    #[test]
    fn what_is_not_on_the_disk_is_said_again() {
        let lab = Lab::new();
        let mut other = lab.accept();
        for text in ["one", "two", "three"] {
            lab.tell(text);
        }
        assert_eq!([other.hear(), other.hear(), other.hear()], ["one", "two", "three"]);
        other.say(1);
        lab.until(|state| state.lines.len() == 2);
        drop(other);
        let mut other = lab.accept();
        assert_eq!([other.hear(), other.hear()], ["two", "three"]);
        other.say(2);
        lab.until(|state| state.lines.is_empty() && state.bytes == 0);
        lab.link.reload(true);
        assert_eq!(other.hear(), "reload");
    }

    #[test]
    fn who_tells_never_waits_and_what_is_lost_is_told() {
        let lab = Lab::new();
        let mut other = lab.accept();
        let start = monotonic_now();
        (0..100_000).for_each(|number| lab.tell(&number.to_string()));
        let took = monotonic_now().since(start);
        assert!(took < Duration::from_secs(10), "{took:?}");
        let troubles = lab.link.troubles();
        assert!(troubles[0].seen.starts_with(&(100_000 - MOST_EVENTS).to_string()), "{troubles:?}");
        for number in 0..MOST_EVENTS {
            assert_eq!(other.hear(), number.to_string());
        }
        other.say(MOST_EVENTS as u64);
        assert!(other.hear().starts_with(&format!("{} events could not", 100_000 - MOST_EVENTS)));
        lab.tell("next");
        assert_eq!(other.hear(), "next");
    }

    #[test]
    fn nonsense_ends_the_connection() {
        let lab = Lab::new();
        for nonsense in ["\n", "{}\n", "[", &"x".repeat(LONGEST_REPORT + 1)] {
            let mut other = lab.accept();
            let _ = other.0.get_mut().write_all(nonsense.as_bytes());
            let _ = other.0.get_mut().shutdown(Shutdown::Write);
            assert_eq!(other.hear(), "");
        }
        let mut other = lab.accept();
        other.say(u64::MAX);
        lab.tell("still");
        assert_eq!(other.hear(), "still");
    }

    #[test]
    fn the_last_words_are_handed_over() {
        let lab = Lab::new();
        let mut other = lab.accept();
        other.say(0);
        lab.until(|state| state.stream.is_some());
        lab.tell("stopped");
        let heard = thread::spawn(move || {
            let text = other.hear();
            other.say(1);
            text
        });
        lab.link.stop(Duration::from_secs(10));
        assert_eq!(heard.join().unwrap(), "stopped");
        assert!(lock(&lab.link.shared.state).lines.is_empty());
    }

    #[test]
    fn without_notifiers_nothing_is_kept() {
        let refuse: Connect = Arc::new(|| panic!("nobody asked for that"));
        let link = NotifyLink::start_after(refuse, false, Duration::ZERO).unwrap();
        link.tell(&GuardEvent::new(Time::default(), EventKind::Start, "x"));
        assert!(lock(&link.shared.state).lines.is_empty() && link.troubles().is_empty());
    }
}
