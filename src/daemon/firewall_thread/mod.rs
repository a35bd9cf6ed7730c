//! The thread that owns the sink: gathers changes, carries them out, tries again, and puts back what
//! others take away.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits between attempts")]

mod backoff;
pub(super) mod counters;
mod repair;

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tracing::{error, warn};

use super::engine_thread::refused_bans::Refused;
use crate::daemon::firewall_thread::repair::Healing;
use crate::enforce::helper::{Channel, Request};
use crate::enforce::{BanSink, Comparison, Drift, ExternalChanges, Report, SinkError, WireRules};
use crate::model::event::{Change, Element, ScopeId};
use crate::model::histogram::Histogram;
use crate::model::pause::Pause;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::table::structure::Structure;

/// Messages that may wait for the worker; each holds the changes of one reading.
const QUEUE: usize = 1024;
/// Changes that may wait while the sink does not work: as many as there can be bans, about 150
/// bytes each. Beyond that, the worker asks for all elements once the sink works again.
const MOST_PENDING: usize = crate::decide::ban_table::CAPACITY;
/// Changes in one transaction.
const BATCH: usize = 5000;
/// The pause after a failure, first and longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The same for the rules that show our own answers, without which bans go on.
const WIRE_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

enum Message {
    /// Changes, and when the lines were begun to be read that they follow from.
    Changes(Vec<Change>, Instant),
    Allow(Vec<IpNet>),
    Load(Box<Structure>, Vec<Element>, SyncSender<Result<(), SinkError>>),
    Pause(Pause, Reply),
    /// Others changed something, at this time.
    ExternalChanges(ExternalChanges, Instant),
    Restore(Box<DesiredState>),
    Verify(Box<DesiredState>, Repair, VerifyReply),
    Stop,
}

type Reply = Box<dyn FnOnce(Result<(), SinkError>) + Send>;

type VerifyReply = Box<dyn FnOnce(Result<Verified, SinkError>) + Send>;

/// Whether differences are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Repair nothing.
    No,
    /// Make the sink hold what it should.
    Yes,
}

/// The result of comparing the sink with what it should hold.
#[derive(Debug)]
pub struct Verified {
    /// The damage of the table.
    pub damage: Vec<Drift>,
    /// The comparison of the bans.
    pub comparison: Comparison,
    /// The difference of the pause, in words.
    pub pause: Option<String>,
    /// Whether all of it has been repaired.
    pub repaired: bool,
}

/// All that the sink is to hold.
#[derive(Debug)]
pub struct DesiredState {
    /// The networks that it lets pass.
    pub allow: Vec<IpNet>,
    /// Whether it drops nothing for now.
    pub paused: Pause,
    /// The bans.
    pub elements: Vec<Element>,
}

/// A report that the worker makes by itself.
#[derive(Debug)]
pub enum WorkerEvent {
    /// The sink may have lost something: it has to be sent all of its desired state.
    Lost,
    /// It lost something, and has it again: in words.
    Healed(String),
    /// Somebody paused the sink or ended a pause.
    Paused(Pause),
}

/// The state of the sink.
#[derive(Clone, Debug, Default)]
pub struct SinkHealth {
    /// Changes that wait.
    pub pending: usize,
    /// The reason why the last attempt failed; `None` if it did not.
    pub error: Option<String>,
    /// The time when something last went wrong, and what it was.
    pub last_error: Option<(Time, String)>,
    /// The time when the table was last rebuilt because it was gone.
    pub healed: Option<Time>,
    /// How often that was done.
    pub heals: u64,
    /// How long it took from when lines were begun to be read until the kernel had the bans that follow from them.
    pub took: Histogram,
    /// Bans that the sink does not take, each tried again until it does.
    pub refused: usize,
    /// Whether our own answers are shown as they should be, or why not; `None`: not tried yet.
    pub wire: Option<Result<WireRules, String>>,
    /// Whether changes were lost, so that all elements have to be sent again.
    pub behind: bool,
    /// The changes that another program makes to the table faster than they are put back, and the time
    /// until which that is shown.
    pub fight: Option<(String, Instant)>,
}

/// Handle to the worker's thread.
pub struct Worker {
    queue: SyncSender<Message>,
    health: Arc<Mutex<SinkHealth>>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread; `structure` is what the sink has loaded. `notify` is called with what the
    /// worker has to say by itself.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        sink: Box<dyn BanSink + Send>,
        structure: Structure,
        notify: impl Fn(WorkerEvent) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, inbox) = sync_channel(QUEUE);
        let health = Arc::default();
        let state = State {
            sink,
            structure,
            allow_changed: false,
            pending: HashMap::new(),
            order: Vec::new(),
            begun: Vec::new(),
            refused: Refused::default(),
            health: Arc::clone(&health),
            retry: None,
            wire_retry: None,
            notify: Box::new(notify),
            healing: Healing::new(Instant::now()),
        };
        let thread =
            std::thread::Builder::new().name("sink".into()).spawn(move || state.run(&inbox))?;
        Ok(Self { queue, health, thread })
    }

    /// Starts a thread that hears by this connection what other programs do to the table; the worker puts it
    /// back.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn listen(&self, mut watch: Channel) -> std::io::Result<()> {
        let queue = self.queue.clone();
        let listen = move || loop {
            match watch.call(&Request::Listen) {
                // While the worker is busy, what comes waits with the kernel.
                Ok(heard) => {
                    if queue.send(Message::ExternalChanges(heard, Instant::now())).is_err() {
                        return;
                    }
                }
                // There is no writer any more: somebody else says so, or it is the end.
                Err(SinkError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => return,
                Err(error) => {
                    error!("what others do to the table is noticed at the next ban only: {error}");
                    return;
                }
            }
        };
        std::thread::Builder::new().name("watch".into()).spawn(listen).map(drop)
    }

    /// Makes the sink hold this; never waits. When the worker cannot keep up it is
    /// [`SinkHealth::behind`].
    pub fn restore(&self, desired: DesiredState) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Restore(Box::new(desired)))
        {
            lock(&self.health).behind = true;
        }
    }

    /// Compares the sink with what it should hold, and tells `reply` what differs. The caller is not
    /// kept waiting.
    pub fn verify(
        &self,
        desired: DesiredState,
        repair: Repair,
        reply: impl FnOnce(Result<Verified, SinkError>) + Send + 'static,
    ) {
        // Full: the sink hangs, and the caller sees that `reply` was dropped.
        let message = Message::Verify(Box::new(desired), repair, Box::new(reply));
        let _ = self.queue.try_send(message);
    }

    /// Hands changes over that follow from what was read `since` then; never waits. When the worker cannot keep up it is
    /// [`SinkHealth::behind`].
    pub fn apply(&self, changes: Vec<Change>, since: Instant) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Changes(changes, since)) {
            lock(&self.health).behind = true;
        }
    }

    /// Makes the sink let these networks pass, ahead of every change that is handed over later; never
    /// waits. When the worker cannot keep up it is [`SinkHealth::behind`].
    pub fn allow(&self, nets: Vec<IpNet>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Allow(nets)) {
            lock(&self.health).behind = true;
        }
    }

    /// Makes the sink load another structure, and waits for it. All changes handed over before are
    /// meant for the old one, all later ones for the new. `rekeyed` is what the IPv6 sets are to hold
    /// whose networks have another length in the new one.
    ///
    /// # Errors
    /// When the sink does not take it; the old one stays.
    pub fn load(&self, structure: Structure, rekeyed: Vec<Element>) -> Result<(), SinkError> {
        let (reply, answer) = sync_channel(1);
        let gone = || SinkError::Io(std::io::ErrorKind::BrokenPipe.into());
        self.queue.send(Message::Load(Box::new(structure), rekeyed, reply)).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Makes the sink pause or resume, and tells `reply` whether that worked. The caller is not kept
    /// waiting.
    pub fn pause(&self, pause: Pause, reply: impl FnOnce(Result<(), SinkError>) + Send + 'static) {
        // Full: the sink hangs, and the caller sees that `reply` was dropped.
        let _ = self.queue.try_send(Message::Pause(pause, Box::new(reply)));
    }

    /// Returns the state of the sink.
    #[must_use]
    pub fn health(&self) -> SinkHealth {
        let mut health = lock(&self.health).clone();
        health.fight = health.fight.filter(|(_, until)| *until > Instant::now());
        health
    }

    /// Records that all elements are being sent again.
    pub fn caught_up(&self) {
        lock(&self.health).behind = false;
    }

    /// Carries out what is waiting, within `limit`, and ends the thread.
    pub fn stop(self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut stop = Message::Stop;
        while let Err(TrySendError::Full(message)) = self.queue.try_send(stop) {
            if Instant::now() >= deadline {
                return;
            }
            stop = message;
            std::thread::yield_now();
        }
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

pub(crate) struct State {
    pub(crate) sink: Box<dyn BanSink + Send>,
    pub(crate) structure: Structure,
    /// Whether the sink has yet to be told which networks the structure allows.
    pub(crate) allow_changed: bool,
    /// The changes to be made, the last one for each key, and the order in which the keys came.
    pending: HashMap<(ScopeId, Subject), Change>,
    order: Vec<(ScopeId, Subject)>,
    /// When the reading began that bans among them follow from, and how many: of [`QUEUE`] readings at most.
    begun: Vec<(Instant, u32)>,
    refused: Refused,
    pub(crate) health: Arc<Mutex<SinkHealth>>,
    /// The time to try again after a failure, and the time to wait after the next one.
    retry: Option<(Instant, Duration)>,
    /// The same for the rules that show our own answers.
    wire_retry: Option<(Instant, Duration)>,
    pub(crate) notify: Box<dyn Fn(WorkerEvent) + Send>,
    pub(crate) healing: Healing,
}

impl State {
    /// Returns when there is something to do without a message.
    fn due(&self) -> Option<Instant> {
        let retry = self.retry.map(|(at, _)| at);
        let wire = self.wire_retry.map(|(at, _)| at);
        // What has just failed is not tried again immediately, whoever wants it.
        let own = [self.healing.due(), self.refused.due(), wire].into_iter().flatten().min();
        own.filter(|_| retry.is_none()).or(retry)
    }

    fn run(mut self, inbox: &Receiver<Message>) {
        self.load_wire();
        loop {
            let message = match self.due() {
                Some(at) => {
                    match inbox.recv_timeout(at.saturating_duration_since(Instant::now())) {
                        Err(RecvTimeoutError::Disconnected) => return,
                        message => message.ok(),
                    }
                }
                None => match inbox.recv() {
                    Ok(message) => Some(message),
                    Err(_) => return,
                },
            };
            // Whatever else has come goes into the same transaction.
            let mut next = message;
            while let Some(message) = next {
                match message {
                    Message::Changes(changes, since) => {
                        self.note_begin(&changes, since);
                        for change in changes {
                            self.gather(change);
                        }
                    }
                    Message::Allow(nets) => {
                        self.allow_changed |= self.structure.allow != nets;
                        self.structure.allow = nets;
                    }
                    Message::ExternalChanges(heard, since) => self.healing.hear(heard, since),
                    other => {
                        self.apply();
                        match other {
                            Message::Load(structure, rekeyed, reply) => {
                                let _ = reply.send(self.load(*structure, &rekeyed));
                            }
                            Message::Pause(pause, reply) => reply(self.pause(pause)),
                            Message::Restore(desired) => {
                                self.refused.clear();
                                self.restore(*desired);
                            }
                            Message::Verify(desired, repair, reply) => {
                                reply(self.verify(&desired, repair));
                            }
                            Message::Stop => return,
                            Message::Changes(..)
                            | Message::Allow(_)
                            | Message::ExternalChanges(..) => {}
                        }
                    }
                }
                next = inbox.try_recv().ok();
            }
            if self.retry.is_none_or(|(at, _)| at <= Instant::now()) {
                if self.healing.due().is_some_and(|at| at <= Instant::now()) {
                    self.heal();
                }
                self.apply();
                self.offer_refused();
                self.note_success();
                if self.wire_retry.is_some_and(|(at, _)| at <= Instant::now()) {
                    self.load_wire();
                }
            }
            let mut health = lock(&self.health);
            health.pending = self.pending.len();
            health.refused = self.refused.len();
        }
    }

    fn note_begin(&mut self, changes: &[Change], since: Instant) {
        let bans = changes.iter().filter(|change| matches!(change, Change::Put(_))).count();
        if bans > 0 && self.begun.len() < QUEUE {
            self.begun.push((since, u32::try_from(bans).unwrap_or(u32::MAX)));
        }
    }

    /// Records that the kernel has all that was read.
    fn note_end(&mut self) {
        if !self.begun.is_empty() {
            let mut health = lock(&self.health);
            for (since, bans) in self.begun.drain(..) {
                health.took.note(since.elapsed(), bans);
            }
        }
    }

    pub(crate) fn gather(&mut self, change: Change) {
        let key = change.key();
        self.refused.forget(key);
        if self.pending.len() >= MOST_PENDING && !self.pending.contains_key(&key) {
            lock(&self.health).behind = true;
            return;
        }
        if self.pending.insert(key, change).is_none() {
            self.order.push(key);
        }
    }

    fn load(&mut self, structure: Structure, rekeyed: &[Element]) -> Result<(), SinkError> {
        // Loading makes a table that was gone, but not what was in it. Asked by taking out an element
        // that is never there, which takes no longer when the sets are full.
        let nobody = Subject::of(Ipv4Addr::UNSPECIFIED.into(), 128);
        let gone = match self.sink.apply(&[Change::Remove(ScopeId(0), nobody)], now()) {
            Err(SinkError::NoTable) => true,
            asked => asked.map(|_| false)?,
        };
        match structure.rekeys(&self.structure).as_slice() {
            [] => self.sink.load(&structure)?,
            scopes => self.sink.load_rekeyed(&structure, scopes, rekeyed, now())?,
        }
        self.structure = structure;
        self.load_wire();
        self.allow_changed = false;
        // Those that wait speak of the old structure.
        let waiting = !std::mem::take(&mut self.order).is_empty();
        self.pending.clear();
        self.begun.clear();
        let refused = self.refused.clear();
        self.healing.mended |= gone;
        self.healing.lost_pause |= gone;
        if gone || waiting || refused {
            (self.notify)(WorkerEvent::Lost);
        }
        Ok(())
    }

    fn pause(&mut self, pause: Pause) -> Result<(), SinkError> {
        let mut done = self.set_pause(pause);
        if matches!(done, Err(SinkError::NoTable)) {
            self.healing.lost();
            self.heal();
            done = self.set_pause(pause);
        }
        // Whatever there was before does not count any more.
        self.healing.lost_pause &= done.is_err();
        done
    }

    /// Makes the sink pause or resume. A pause whose end has come is none any more.
    pub(crate) fn set_pause(&mut self, pause: Pause) -> Result<(), SinkError> {
        let now = now();
        match pause {
            Pause::Until(end) if end > now => self.sink.pause(Some(end.since(now))),
            Pause::Off | Pause::Until(_) => self.sink.resume(),
            Pause::Indefinite => self.sink.pause(None),
        }
    }

    /// Carries out all that is pending, or notes the failure and when to try again.
    pub(crate) fn apply(&mut self) {
        if self.allow_changed {
            // First: whoever is let pass must not be dropped for a moment.
            match self.sink.allow(&self.structure.allow) {
                Ok(()) => self.succeeded(),
                Err(error) => return self.failed(&error),
            }
            self.allow_changed = false;
        }
        while !self.order.is_empty() {
            let batch: Vec<_> = self.order.iter().take(BATCH).copied().collect();
            let changes: Vec<_> =
                batch.iter().filter_map(|key| self.pending.get(key)).copied().collect();
            match self.sink.apply(&changes, now()) {
                Ok(report) => {
                    self.order.drain(..batch.len());
                    for key in &batch {
                        self.pending.remove(key);
                    }
                    self.succeeded();
                    self.note(&report);
                }
                Err(error) => return self.failed(&error),
            }
        }
        self.note_end();
    }

    /// Records what the sink would not take, and that others may have done what nobody heard of.
    pub(crate) fn note(&mut self, report: &Report) {
        self.refused.note(report, Instant::now());
        if report.unheard {
            self.healing
                .hear(ExternalChanges { lost: true, ..ExternalChanges::default() }, Instant::now());
        }
    }

    /// Offers the sink again what it would not take, as much as it takes now.
    fn offer_refused(&mut self) {
        let due = self.refused.due().is_some_and(|at| at <= Instant::now());
        if !due || !self.order.is_empty() {
            return;
        }
        let mut more = false;
        for set in self.refused.sets(now()) {
            let offered = self.refused.offer(set);
            match self.sink.apply(&offered, now()) {
                Ok(report) => more |= self.refused.offered(set, &offered, &report),
                Err(error) => return self.failed(&error),
            }
        }
        self.refused.wait(more, Instant::now());
    }

    /// Loads the rules that show our own answers, if the kernel can do it, or notes when to try again: what
    /// refuses them may be repaired, or over.
    pub(crate) fn load_wire(&mut self) {
        let loaded = self.sink.load_wire(&self.structure).map_err(|error| error.to_string());
        // That there is none is a matter of the health.
        if let Ok(WireRules::DatagramsOnly(why)) = &loaded {
            warn!(
                "the wire is available over UDP only, since the rules for TCP were refused: {why}"
            );
        }
        self.wire_retry = loaded.is_err().then(|| next_try(self.wire_retry, WIRE_RETRY));
        lock(&self.health).wire = Some(loaded);
    }

    pub(crate) fn succeeded(&mut self) {
        self.retry = None;
        lock(&self.health).error = None;
    }

    /// Records an attempt that did not fail again, whether or not there was something to carry out.
    fn note_success(&mut self) {
        let over = self.retry.is_some_and(|(at, _)| at <= Instant::now());
        match (over, self.healing.due()) {
            (false, _) => {}
            (true, None) => self.succeeded(),
            // What is still to be looked at has a pace of its own.
            (true, Some(_)) => self.retry = None,
        }
    }

    pub(crate) fn failed(&mut self, error: &SinkError) {
        if matches!(error, SinkError::NoTable) {
            return self.healing.lost();
        }
        self.retry = Some(next_try(self.retry, RETRY));
        let mut health = lock(&self.health);
        health.error = Some(error.to_string());
        health.last_error = Some((now(), error.to_string()));
    }
}

/// Returns when to try again after a failure, and the time to wait after the next one; `pauses` are the first and the
/// longest.
fn next_try(
    last: Option<(Instant, Duration)>,
    pauses: (Duration, Duration),
) -> (Instant, Duration) {
    let (first, longest) = pauses;
    let wait = last.map_or(first, |(_, wait)| wait);
    (Instant::now() + wait, (wait * 2).min(longest))
}
