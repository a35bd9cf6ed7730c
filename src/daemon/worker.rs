//! The thread that owns the sink: gathers changes, carries them out, and tries again.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits between attempts")]

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tracing::{error, info, warn};

use super::now;
use crate::event::{Change, ScopeId};
use crate::sink::{BanSink, SinkError, Structure};
use crate::subject::Subject;
use crate::time::Time;

/// Messages that may wait for the worker; each holds the changes of one reading.
const QUEUE: usize = 1024;
/// Changes that may wait while the sink does not work: as many as there can be bans, about 150
/// bytes each. Beyond that, the worker asks for all elements once the sink works again.
const MOST_PENDING: usize = crate::bans::CAPACITY;
/// Changes in one transaction.
const BATCH: usize = 5000;
/// The pause after a failure, first and longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

enum Message {
    Changes(Vec<Change>),
    Allow(Vec<IpNet>),
    Load(Structure, SyncSender<Result<(), SinkError>>),
    Pause(Option<Option<Duration>>, Told),
    Stop,
}

type Told = Box<dyn FnOnce(Result<(), SinkError>) + Send>;

/// How the sink is doing.
#[derive(Clone, Debug, Default)]
pub struct SinkHealth {
    /// Changes that wait.
    pub pending: usize,
    /// Why the last attempt failed; `None` if it did not.
    pub error: Option<String>,
    /// What last went wrong, and when.
    pub last_error: Option<(Time, String)>,
    /// When the table was last built anew because it was gone.
    pub healed: Option<Time>,
    /// Changes that the sink refused for good.
    pub refused: u64,
    /// Whether changes were lost, so that all elements have to be sent again.
    pub behind: bool,
}

/// The way to the worker.
pub struct Worker {
    queue: SyncSender<Message>,
    health: Arc<Mutex<SinkHealth>>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread; `structure` is what the sink has loaded.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(sink: Box<dyn BanSink + Send>, structure: Structure) -> std::io::Result<Self> {
        let (queue, inbox) = sync_channel(QUEUE);
        let health = Arc::default();
        let state = State {
            sink,
            structure,
            allow_changed: false,
            pending: HashMap::new(),
            order: Vec::new(),
            health: Arc::clone(&health),
            retry: None,
        };
        let thread =
            std::thread::Builder::new().name("sink".into()).spawn(move || state.run(&inbox))?;
        Ok(Self { queue, health, thread })
    }

    /// Hands changes over; never waits. When the worker cannot keep up it is [`SinkHealth::behind`].
    pub fn apply(&self, changes: Vec<Change>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Changes(changes)) {
            lock(&self.health).behind = true;
        }
    }

    /// Has the sink let these networks pass, ahead of every change that is handed over later; never
    /// waits. When the worker cannot keep up it is [`SinkHealth::behind`].
    pub fn allow(&self, nets: Vec<IpNet>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Allow(nets)) {
            lock(&self.health).behind = true;
        }
    }

    /// Has the sink load another structure, and waits for it. All changes handed over before are
    /// meant for the old one, all later ones for the new.
    ///
    /// # Errors
    /// When the sink does not take it; the old one stays.
    pub fn load(&self, structure: Structure) -> Result<(), SinkError> {
        let (reply, answer) = sync_channel(1);
        let gone = || SinkError::Io(std::io::ErrorKind::BrokenPipe.into());
        self.queue.send(Message::Load(structure, reply)).map_err(|_| gone())?;
        answer.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Has the sink pause for a length of time (`Some(None)`: until it is ended) or resume (`None`),
    /// and `told` whether that worked. The caller is not kept waiting.
    pub fn pause(
        &self,
        length: Option<Option<Duration>>,
        told: impl FnOnce(Result<(), SinkError>) + Send + 'static,
    ) {
        // Full: the sink hangs, and the caller sees that `told` was dropped.
        let _ = self.queue.try_send(Message::Pause(length, Box::new(told)));
    }

    /// How the sink is doing.
    #[must_use]
    pub fn health(&self) -> SinkHealth {
        lock(&self.health).clone()
    }

    /// Takes note that all elements are being sent again.
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

fn lock(health: &Mutex<SinkHealth>) -> std::sync::MutexGuard<'_, SinkHealth> {
    health.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct State {
    sink: Box<dyn BanSink + Send>,
    structure: Structure,
    /// Whether the sink has yet to be told whom the structure allows.
    allow_changed: bool,
    /// What is to be done, the last word for each key, and the order in which the keys came.
    pending: HashMap<(ScopeId, Subject), Change>,
    order: Vec<(ScopeId, Subject)>,
    health: Arc<Mutex<SinkHealth>>,
    /// After a failure: when to try again, and how long to wait after the next one.
    retry: Option<(Instant, Duration)>,
}

impl State {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let message = match self.retry {
                Some((at, _)) => {
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
                    Message::Changes(changes) => {
                        for change in changes {
                            self.gather(change);
                        }
                    }
                    Message::Allow(nets) => {
                        self.allow_changed |= self.structure.allow != nets;
                        self.structure.allow = nets;
                    }
                    other => {
                        self.apply();
                        match other {
                            Message::Load(structure, reply) => {
                                let _ = reply.send(self.load(structure));
                            }
                            Message::Pause(length, told) => told(self.pause(length)),
                            Message::Stop => return,
                            Message::Changes(_) | Message::Allow(_) => {}
                        }
                    }
                }
                next = inbox.try_recv().ok();
            }
            if self.retry.is_none_or(|(at, _)| at <= Instant::now()) {
                self.apply();
            }
            lock(&self.health).pending = self.pending.len();
        }
    }

    fn gather(&mut self, change: Change) {
        let key = change.key();
        if self.pending.len() >= MOST_PENDING && !self.pending.contains_key(&key) {
            lock(&self.health).behind = true;
            return;
        }
        if self.pending.insert(key, change).is_none() {
            self.order.push(key);
        }
    }

    fn load(&mut self, structure: Structure) -> Result<(), SinkError> {
        // Loading makes a table that was gone, but not what was in it. Asked by taking out an element
        // that is never there, which takes no longer when the sets are full.
        let nobody = Subject::of(Ipv4Addr::UNSPECIFIED.into(), 128);
        let gone = match self.sink.apply(&[Change::Remove(ScopeId(0), nobody)], now()) {
            Err(SinkError::NoTable) => true,
            asked => asked.map(|_| false)?,
        };
        self.sink.load(&structure)?;
        self.structure = structure;
        self.allow_changed = false;
        lock(&self.health).behind |= gone;
        if !self.pending.is_empty() {
            // They speak of the old structure.
            self.pending.clear();
            self.order.clear();
            lock(&self.health).behind = true;
        }
        Ok(())
    }

    fn pause(&mut self, length: Option<Option<Duration>>) -> Result<(), SinkError> {
        let set = |sink: &mut dyn BanSink| match length {
            Some(length) => sink.pause(length),
            None => sink.resume(),
        };
        match set(&mut *self.sink) {
            Err(SinkError::NoTable) if self.rebuild() => set(&mut *self.sink),
            result => result,
        }
    }

    /// Carries out all that is pending, or notes the failure and when to try again.
    fn apply(&mut self) {
        let mut rebuilt = false;
        if self.allow_changed {
            // First: whoever is let pass must not be dropped for a moment.
            match self.sink.allow(&self.structure.allow) {
                Ok(()) => self.succeeded(),
                Err(SinkError::NoTable) if self.rebuild() => rebuilt = true,
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
                    for (change, reason) in &report.refused {
                        error!("the kernel did not take {}: {reason}", change.key().1);
                    }
                    lock(&self.health).refused += report.refused.len() as u64;
                }
                Err(SinkError::NoTable)
                    if !std::mem::replace(&mut rebuilt, true) && self.rebuild() => {}
                Err(error) => return self.failed(&error),
            }
        }
    }

    /// The table is gone: somebody flushed the ruleset. Builds it anew and asks for all elements.
    fn rebuild(&mut self) -> bool {
        warn!("the nftables table is gone; building it again");
        match self.sink.load(&self.structure) {
            Ok(()) => {
                self.allow_changed = false;
                let mut health = lock(&self.health);
                health.behind = true;
                health.healed = Some(now());
                true
            }
            Err(error) => {
                error!("{error}");
                false
            }
        }
    }

    fn succeeded(&mut self) {
        if self.retry.take().is_some() {
            info!("nftables works again");
        }
        lock(&self.health).error = None;
    }

    fn failed(&mut self, error: &SinkError) {
        let wait = self.retry.map_or(RETRY.0, |(_, wait)| wait);
        if self.retry.is_none() {
            error!("{} bans are waiting: {error}", self.pending.len());
        }
        self.retry = Some((Instant::now() + wait, (wait * 2).min(RETRY.1)));
        let mut health = lock(&self.health);
        health.error = Some(error.to_string());
        health.last_error = Some((now(), error.to_string()));
    }
}
