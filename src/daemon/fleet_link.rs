//! The way to the process that reaches the fleet's server (`asterguard fleet-node`): bounded queues in both directions.
//!
//! Whoever has something to say never waits. All of the guard's own bans are said at each new connection, in pages, so
//! nothing is kept while there is none. What the other process says waits until the engine takes it, a little at a time; it
//! is read no faster than a fleet has reason to speak.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::peer_link::{self, FIRST_WAIT, Talk};
use crate::fleet::protocol::{
    FleetStatus, FromFleet, LONGEST_LINE, MOST_PEERS, OwnBan, PeerStatus, ToFleet, is_name,
};
use crate::model::allowance::Allowance;
use crate::model::event::Ban;
use crate::model::subject::Subject;
use crate::model::trouble::Trouble;
use crate::sys::clock::monotonic_now;
use crate::sys::json_line::{line, read};
use crate::sys::mutex::lock;
use crate::sys::peer::{Connect, Peer};

/// Bytes of lines that wait for the other process. When there is no room, what is new is dropped, and all is said again
/// once there is.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of them below which there is room for the next page of bans, of at most [`PAGE`].
const ROOM_FOR_PAGE: usize = 1 << 20;
/// Bans of a page.
pub const PAGE: usize = 1000;
/// Lines of the other process that wait for the engine. With more, it has to wait.
const MOST_HEARD: usize = 1024;
/// Bytes that are written at once.
const AT_ONCE: usize = 64 << 10;
/// Lines that are read at once at most: as many bans as one joins with …
const BURST: u64 = 1 << 17;
/// … and those that are read each second after that.
const RATE: u64 = 1000;
/// Bytes of a line that count as another one.
const LINE: usize = 16 << 10;
/// Orders of the fleet's operator that are carried out at once, and the time after which there may be another one.
const UNBANS: u64 = 60;
/// See [`UNBANS`].
const UNBAN_EVERY: Duration = Duration::from_secs(60);
/// Orders that are remembered as carried out: more than there can be while the other process repeats one.
const MOST_OBEYED: usize = 128;
/// Reasons of refusals that are kept of each peer.
const MOST_REASONS: usize = 32;
/// Bytes of a text about what is wrong, or of the server's name.
const LONGEST_TEXT: usize = 512;

/// The way to the process that reaches the fleet's server. Its queues take at most 4 MiB to there, 1024 lines from there,
/// and one line that is being read.
pub struct FleetLink {
    shared: Arc<Shared>,
}

impl fmt::Debug for FleetLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FleetLink")
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Has the engine look here.
    wake: Box<dyn Fn() + Send + Sync>,
}

/// How far the guard's own bans were said by this connection.
#[derive(Clone, Copy, Debug, Default)]
enum Said {
    /// There is no connection.
    #[default]
    Nothing,
    /// Those up to this one.
    Until(Option<Ban>),
    /// All.
    All,
}

/// Whether the other process goes by the configuration of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Configuration {
    /// It has read it.
    #[default]
    Read,
    /// It was asked to, and has not said that it is that of before. Until then, or until the next process is there, what it
    /// said of its connections is old.
    Asked,
}

#[derive(Default)]
struct State {
    /// Whether there is a fleet; otherwise, nothing is connected.
    wanted: bool,
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    said: Said,
    /// How much was dropped since [`ToFleet::Begin`], and in all.
    unsaid: u64,
    dropped: u64,
    heard: VecDeque<FromFleet>,
    status: Option<Box<FleetStatus>>,
    /// The operator's orders that were not carried out, because there were too many.
    unbans_refused: u64,
    lines_left: Allowance,
    unbans_left: Allowance,
    /// The orders that were carried out last: the host, and when each was given. Repeated, they do nothing.
    obeyed: VecDeque<(Subject, i64)>,
    config: Configuration,
    trouble: Option<String>,
    stream: Option<UnixStream>,
    /// Whether the connection has ended, and whether this link has.
    broken: bool,
    stopped: bool,
}

impl State {
    /// Adds a line, if there is a connection, and room.
    fn push(&mut self, what: &ToFleet) {
        if self.stream.is_none() {
            return;
        }
        let line = line(what);
        if self.bytes + line.len() > MOST_BYTES {
            self.unsaid = self.unsaid.saturating_add(1);
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// Has all bans said from the beginning.
    fn say_all(&mut self) {
        self.lines.clear();
        (self.bytes, self.unsaid, self.said) = (0, 0, Said::Until(None));
        self.push(&ToFleet::Begin);
        if self.config == Configuration::Asked {
            self.push(&ToFleet::Reload);
        }
    }
}

impl FleetLink {
    /// Starts the thread. `wanted` says whether there is a fleet; without one, nothing is connected. `wake` has the engine
    /// look at [`FleetLink::take`] and [`FleetLink::wants_page`].
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(
        connect: Connect,
        wanted: bool,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_after(connect, wanted, wake, FIRST_WAIT)
    }

    fn start_after(
        connect: Connect,
        wanted: bool,
        wake: impl Fn() + Send + Sync + 'static,
        first_wait: Duration,
    ) -> io::Result<Self> {
        let now = monotonic_now();
        let state = State {
            wanted,
            lines_left: Allowance::new(BURST, RATE, Duration::from_secs(1), now),
            unbans_left: Allowance::new(UNBANS, 1, UNBAN_EVERY, now),
            ..State::default()
        };
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { state, changed: Condvar::new(), wake: Box::new(wake) });
        peer_link::start(Arc::clone(&shared), connect, first_wait)?;
        Ok(Self { shared })
    }

    /// Whether there is a fleet.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        lock(&self.shared.state).wanted
    }

    /// Says that a ban of this guard's own begins, or has another length. It never waits.
    pub fn ban(&self, ban: OwnBan) {
        self.say(&ToFleet::Ban(ban));
    }

    /// Says that a ban of this guard's own was lifted. It never waits.
    pub fn lift(&self, host: Subject, jail: &str) {
        self.say(&ToFleet::Lift { host, jail: jail.to_owned() });
    }

    fn say(&self, what: &ToFleet) {
        lock(&self.shared.state).push(what);
        self.shared.changed.notify_all();
    }

    /// Says that an order of the operator was carried out: the one of this host, given at this time.
    pub fn obeyed(&self, host: Subject, issued: i64) {
        let mut state = lock(&self.shared.state);
        if state.obeyed.len() >= MOST_OBEYED {
            state.obeyed.pop_front();
        }
        state.obeyed.push_back((host, issued));
        state.push(&ToFleet::Obeyed { host, issued });
        self.shared.changed.notify_all();
    }

    /// Says that the configuration was read again; `wanted` as at the start.
    pub fn reload(&self, wanted: bool) {
        let mut state = lock(&self.shared.state);
        state.wanted = wanted;
        if state.stream.is_some() {
            state.config = Configuration::Asked;
        }
        state.push(&ToFleet::Reload);
        if !wanted {
            state.heard.clear();
        }
        self.shared.changed.notify_all();
    }

    /// Has all bans said again: their times are others.
    pub fn say_again(&self) {
        let mut state = lock(&self.shared.state);
        if state.stream.is_some() {
            state.say_all();
        }
        drop(state);
        (self.shared.wake)();
    }

    /// Returns behind which of this guard's bans the next ones are to be said, if there is room for some.
    #[must_use]
    pub fn wants_page(&self) -> Option<Option<Ban>> {
        let state = lock(&self.shared.state);
        match state.said {
            Said::Until(ban) if state.bytes < ROOM_FOR_PAGE => Some(ban),
            _ => None,
        }
    }

    /// Says the next bans; `last` is the last one of this page, `None` if there are no others behind it.
    pub fn page(&self, bans: Vec<OwnBan>, last: Option<Ban>) {
        let mut state = lock(&self.shared.state);
        if !matches!(state.said, Said::Until(_)) {
            return;
        }
        for ban in bans {
            state.push(&ToFleet::Ban(ban));
        }
        match last {
            Some(last) => state.said = Said::Until(Some(last)),
            None => {
                state.push(&ToFleet::Complete);
                state.said = Said::All;
            }
        }
        self.shared.changed.notify_all();
    }

    /// Takes at most so many of the lines of the other process, and says whether there are more.
    #[must_use]
    pub fn take(&self, most: usize) -> (Vec<FromFleet>, bool) {
        let mut state = lock(&self.shared.state);
        let most = most.min(state.heard.len());
        let taken = state.heard.drain(..most).collect();
        self.shared.changed.notify_all();
        (taken, !state.heard.is_empty())
    }

    /// Returns the state of the fleet, as the other process said it last; `None`: it said none since there is a fleet, or
    /// is not there.
    #[must_use]
    pub fn status(&self) -> Option<FleetStatus> {
        let state = lock(&self.shared.state);
        let said = state.status.as_deref().filter(|_| state.wanted && state.trouble.is_none());
        said.map(|said| FleetStatus {
            connected: said.connected && state.config == Configuration::Read,
            ..said.clone()
        })
    }

    /// Returns how many lines wait for the other process, and how many there was no room for.
    #[must_use]
    pub fn numbers(&self) -> (usize, u64) {
        let state = lock(&self.shared.state);
        (state.lines.len(), state.dropped)
    }

    /// Returns what is wrong, if anything is.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let state = lock(&self.shared.state);
        if !state.wanted {
            return Vec::new();
        }
        let (socket, unit) = (Peer::Fleet.unit(), Peer::Fleet.unit().replace(".socket", ""));
        let mut troubles = Vec::new();
        if let Some(why) = &state.trouble {
            troubles.push(Trouble::new(
                format!("no bans are shared with the fleet now: {why} ({socket})"),
                format!("see journalctl -u {unit}; systemctl status {socket}"),
            ));
        } else if let Some(why) = state.status.as_ref().and_then(|status| status.trouble.as_ref()) {
            troubles.push(Trouble::new(format!("fleet: {why}"), "asterguard fleet status"));
        }
        if state.unbans_refused > 0 {
            troubles.push(Trouble::new(
                format!("{} unbans of the fleet's operator were not carried out: more than {UNBANS} at once", state.unbans_refused),
                "revoke the operator's key if that was not you: remove `operator` from [fleet]",
            ));
        }
        troubles
    }

    /// Ends the connection.
    pub fn stop(&self) {
        let mut state = lock(&self.shared.state);
        state.stopped = true;
        if let Some(stream) = state.stream.take() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for FleetLink {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Waits until a line of this length may be taken. Whether the connection goes on.
    fn wait_for_turn(&self, length: usize) -> bool {
        let cost = 1 + u64::try_from(length / LINE).unwrap_or(u64::MAX);
        let mut state = lock(&self.state);
        while let Err(wait) = state.lines_left.take(cost, monotonic_now()) {
            let goes_on = |state: &mut State| !state.stopped && state.stream.is_some();
            let waited = self.changed.wait_timeout_while(state, wait, goes_on);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.stopped || state.stream.is_none() {
                return false;
            }
        }
        true
    }

    /// Keeps a line for the engine, once there is room. Whether the connection goes on.
    fn keep(&self, said: FromFleet) -> bool {
        let is_full = |state: &mut State| {
            state.heard.len() >= MOST_HEARD && !state.stopped && state.stream.is_some()
        };
        let state = self.changed.wait_while(lock(&self.state), is_full);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.stopped || state.stream.is_none() {
            return false;
        }
        if let FromFleet::Unban { host, issued, .. } = said {
            if state.obeyed.contains(&(host, issued)) {
                state.push(&ToFleet::Obeyed { host, issued });
                drop(state);
                self.changed.notify_all();
                return true;
            }
            if state.unbans_left.take(1, monotonic_now()).is_err() {
                state.unbans_refused += 1;
                return true;
            }
        }
        let was_empty = state.heard.is_empty();
        if state.wanted {
            state.heard.push_back(said);
        }
        drop(state);
        if was_empty {
            (self.wake)();
        }
        true
    }
}

impl Talk for Shared {
    const NAME: &'static str = "fleet";
    const LONGEST: usize = LONGEST_LINE;

    fn wait_for_reason(&self) -> bool {
        let idle = |state: &mut State| !state.wanted && !state.stopped;
        let state = self.changed.wait_while(lock(&self.state), idle);
        !state.unwrap_or_else(PoisonError::into_inner).stopped
    }

    fn begin(&self, stream: UnixStream) {
        let mut state = lock(&self.state);
        (state.stream, state.broken, state.config) = (Some(stream), false, Configuration::Read);
        state.say_all();
        drop(state);
        (self.wake)();
    }

    fn next(&self, bytes: &mut Vec<u8>) -> bool {
        let idle = |state: &mut State| {
            state.lines.is_empty()
                && state.unsaid == 0
                && !state.broken
                && !state.stopped
                && state.wanted
        };
        let state = self.changed.wait_while(lock(&self.state), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.broken || state.stopped || (!state.wanted && state.lines.is_empty()) {
            return false;
        }
        if state.lines.is_empty() {
            state.say_all();
        }
        while let Some(line) = state.lines.front() {
            if !bytes.is_empty() && bytes.len() + line.len() > AT_ONCE {
                break;
            }
            bytes.extend_from_slice(line);
            state.bytes -= line.len();
            state.lines.pop_front();
        }
        let wants = matches!(state.said, Said::Until(_)) && state.bytes < ROOM_FOR_PAGE;
        drop(state);
        if wants {
            (self.wake)();
        }
        true
    }

    fn hear(&self, line: &[u8]) -> bool {
        if !self.wait_for_turn(line.len()) {
            return false;
        }
        match read::<FromFleet>(line) {
            None => false,
            Some(FromFleet::Status(status)) => {
                let status = bounded(*status);
                let mut state = lock(&self.state);
                (state.status, state.trouble) = (Some(Box::new(status)), None);
                true
            }
            Some(FromFleet::Unchanged) => {
                lock(&self.state).config = Configuration::Read;
                true
            }
            Some(said) => self.keep(said),
        }
    }

    fn silent(&self) {
        lock(&self.state).broken = true;
        self.changed.notify_all();
    }

    fn ended(&self, why: String, worked: bool) {
        let mut state = lock(&self.state);
        (state.stream, state.broken, state.said) = (None, false, Said::Nothing);
        state.lines.clear();
        (state.bytes, state.unsaid) = (0, 0);
        // One that has worked may be back at once.
        if !worked {
            state.trouble = Some(why);
        } else if let Some(status) = &mut state.status {
            status.connected = false;
        }
        self.changed.notify_all();
    }

    fn rest(&self, wait: Duration) -> bool {
        let goes_on = |state: &mut State| !state.stopped;
        let waited = self.changed.wait_timeout_while(lock(&self.state), wait, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopped
    }
}

/// Returns a status without what no process of ours would say.
fn bounded(mut status: FleetStatus) -> FleetStatus {
    let reasons = |refused: &mut std::collections::BTreeMap<String, u64>| {
        let mut kept = 0;
        refused.retain(|reason, _| {
            kept += 1;
            kept <= MOST_REASONS && is_name(reason)
        });
    };
    let mut kept = 0;
    status.peers.retain(|_, _| {
        kept += 1;
        kept <= MOST_PEERS
    });
    status.peers.values_mut().for_each(|peer: &mut PeerStatus| reasons(&mut peer.refused));
    reasons(&mut status.refused);
    status.server = plain(&status.server);
    status.trouble = status.trouble.as_deref().map(plain);
    status
}

/// Returns the beginning of a text, without control characters.
fn plain(text: &str) -> String {
    let plain = text.chars().filter(|character| !character.is_control());
    plain.take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests;
