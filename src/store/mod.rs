//! State that outlives the daemon: an `SQLite` file in the state directory, written by a thread of
//! its own.
//!
//! The store never stops the guard, and the engine never waits for it. A file that is damaged,
//! another program's, or of a later version is kept aside, and a new one is begun; one that cannot
//! be read or written at the moment is tried again. Until then, the guard goes on with what it
//! has in memory, and at the next start with what the kernel has.

mod accounts;
pub(crate) mod ban_record;
pub(crate) mod bans;
pub(crate) mod checkpoint;
pub(crate) mod events;
pub(crate) mod hours;
mod orders;
mod peer_bans;
mod quarantine;
mod schema;
mod stats;
mod writer_thread;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

pub use ban_record::BanRecord;
pub use bans::{HistoryQuery, word};
pub use checkpoint::LogCheckpoint;
pub use events::{EventId, EventQuery};
pub use schema::StoreError;
pub use stats::StoreStats;

use crate::config::FLEET;
use crate::decide::ban_table::JournalEntry;
use crate::decide::engine::{HourCount, KnownHosts, StoredAccounts, StoredBans};
use crate::decide::hour_counts::Hour;
use crate::decide::peer_bans::{IssuedChange, StoredIssued};
use crate::decide::plan::Plan;
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Ban, Lifted};
use crate::model::guard_event::GuardEvent;
use crate::model::orders::{Note, Orders};
use crate::model::time::Time;
use crate::sys::mutex::lock;
use ban_record::{PlanIndex, StoredKey};
use checkpoint::{Checkpoint, StoredCheckpoint};
use writer_thread::WriterThread;

/// The name of the file in the state directory.
pub const FILE: &str = "asterguard.db";
/// Messages that may wait for the thread.
const QUEUE: usize = 1024;
/// Changes of bans that may wait for the thread, about 150 bytes each. Beyond that, all bans are
/// stored again once it has caught up.
const MOST_PENDING: usize = 1 << 16;

/// A message to the thread.
enum WriterMessage {
    /// Changes in the ban table, in terms of a plan.
    Changes(Arc<Plan>, Vec<JournalEntry>, Time),
    /// All bans in force.
    All(Arc<Plan>, Vec<Ban>, Time),
    /// Changes in the bans of peers, after those of the ban table.
    Issued(Vec<IssuedChange>, Time),
    /// All bans of peers.
    AllIssued(StoredIssued, Time),
    /// The guard's progress: positions in logs, and counts.
    Checkpoint(Box<Checkpoint>, Time),
    /// Somebody ordered the ban of this key.
    Note(StoredKey, Note, Time),
    /// What is ordered besides bans.
    Orders(Orders, Time),
    /// What happened, each with the accounts that a banned host tried.
    Events(Vec<(GuardEvent, Vec<Account>)>, Time),
    /// The clock was set.
    ClockStep(ClockStep, Time),
    /// Call this once all that was sent before is stored, or cannot be.
    Then(Box<dyn FnOnce() + Send>),
    Stop,
}

/// The health of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The reason why nothing is stored at the moment; `None` if it is.
    pub error: Option<String>,
    /// The damage that was found in the file at the start or since, and what became of it.
    pub notice: Option<String>,
    /// Whether something was not stored that could be by now, so that all has to be sent again.
    pub behind: bool,
    /// The contents of the file, as of a moment ago; `None` if that is not known.
    pub stats: Option<StoreStats>,
}

/// The last checkpoint that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastCheckpoint {
    /// The time when it was written.
    pub at: Time,
    /// The time that it took.
    pub took: Duration,
}

/// The stored state, as far as it can be read.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Bans that were in force.
    pub bans: Vec<BanRecord>,
    /// Bans that were lifted before their time was over.
    pub lifted: Vec<BanRecord>,
    /// The last bans there were, those in force too, the oldest first.
    pub past: Vec<BanRecord>,
    /// The progress that the guard had made.
    pub progress: StoredCheckpoint,
    /// What was ordered besides bans.
    pub orders: Orders,
    /// The bans of the fleet's peers.
    pub peers: StoredIssued,
    /// The time when something was last stored.
    pub saved: Option<Time>,
}

impl Loaded {
    /// Returns the same in terms of a plan.
    #[must_use]
    pub fn remembered(&self, plan: &Plan) -> StoredBans {
        let names = PlanIndex::new(plan);
        StoredBans {
            bans: self.bans.iter().filter_map(|ban| ban.ban(&names)).collect(),
            lifted: self.lifted.iter().filter_map(|ban| ban.element(&names)).collect(),
            past: self.past.iter().filter_map(|ban| ban.past(&names)).collect(),
            earlier: self.progress.earlier.clone(),
            marks: self.past.iter().filter_map(|ban| ban.mark(&names)).collect(),
            saved: self.saved,
        }
    }
}

/// A state file that was looked at: what it holds, and how to go on with it.
#[derive(Debug)]
pub struct OpenedStore {
    /// The state that could be read.
    pub loaded: Loaded,
    /// The problems that were found.
    pub health: Health,
    path: PathBuf,
    connection: Option<Connection>,
}

/// Opens the state file in `directory`. Problems are reported and dealt with; what can be read of
/// the file is.
#[must_use]
pub fn open(directory: &Path, now: Time) -> OpenedStore {
    let path = directory.join(FILE);
    let mut opened = OpenedStore {
        loaded: Loaded::default(),
        health: Health::default(),
        path: path.clone(),
        connection: None,
    };
    let why = match schema::open(&path) {
        Ok(connection) => match load(&connection, Extent::All, now, &mut opened.loaded) {
            Ok(()) => {
                // If that does not work, it takes some memory more.
                let _ = schema::slim(&connection);
                opened.connection = Some(connection);
                return opened;
            }
            Err(error) => error,
        },
        Err(error) => {
            // Of a damaged file, what stands before the damage; of one that may not be written, all.
            if let Ok(connection) = schema::open_unchecked(&path) {
                let _ = load(&connection, Extent::All, now, &mut opened.loaded);
            }
            error
        }
    };
    match begin_anew(&path, &why, now) {
        Ok((connection, notice)) => {
            opened.connection = Some(connection);
            opened.health.notice = Some(notice);
            // The new file has nothing of it yet.
            opened.health.behind = true;
        }
        Err(error) => opened.health.error = Some(error),
    }
    opened
}

/// Reads the state file in `directory`, and leaves it alone; `None` if there is none. Returns the
/// problem with it too, if there is one.
#[must_use]
pub fn read(directory: &Path, what: Extent, now: Time) -> Option<(Loaded, Option<String>)> {
    let path = directory.join(FILE);
    if !path.exists() {
        return None;
    }
    let mut loaded = Loaded::default();
    let mut look = |connection: Result<Connection, StoreError>| {
        connection.and_then(|connection| load(&connection, what, now, &mut loaded))
    };
    // Where speed matters, damage is found where it matters too.
    let open = match what {
        Extent::All => schema::open_to_read,
        Extent::InForce => schema::open_unchecked,
    };
    let wrong = match look(open(&path)) {
        Ok(()) => None,
        Err(error) => {
            let _ = look(schema::open_unchecked(&path));
            Some(format!("{}: {error}", path.display()))
        }
    };
    Some((loaded, wrong))
}

/// Notes in the state file of `directory` that the bans which are `meant` have been lifted by hand, where no guard runs.
/// Returns their number.
///
/// # Errors
/// When there is a file, and it cannot be written.
pub fn lift(
    directory: &Path,
    meant: impl Fn(&BanRecord) -> bool,
    now: Time,
) -> Result<usize, StoreError> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(0);
    }
    let connection = schema::open(&path)?;
    let mut lifted = Vec::new();
    bans::in_force(&connection, |ban| {
        if meant(&ban) {
            lifted.push(ban.key());
        }
    })?;
    let transaction = connection.unchecked_transaction()?;
    for key in &lifted {
        bans::strike(&transaction, key, now, Lifted::ByHand)?;
        if key.1 == FLEET {
            peer_bans::lift(&transaction, &key.0)?;
        }
    }
    transaction.commit()?;
    Ok(lifted.len())
}

/// Returns what is ordered besides bans, by the state file of `directory`; nothing if it cannot be read.
#[must_use]
pub fn orders(directory: &Path) -> Orders {
    let read = schema::open_unchecked(&directory.join(FILE))
        .and_then(|connection| Ok(orders::read(&connection)?));
    read.unwrap_or_default()
}

/// Changes what is ordered besides bans in the state file of `directory`, where no guard runs. The file is made if
/// there is none.
///
/// # Errors
/// When it cannot be written; or with the error of `change`.
pub fn change_orders<T, E: From<StoreError>>(
    directory: &Path,
    change: impl FnOnce(&mut Orders) -> Result<T, E>,
) -> Result<T, E> {
    let connection = schema::open(&directory.join(FILE))?;
    let done = |connection: &Connection, orders: &Orders| -> Result<(), StoreError> {
        let transaction = connection.unchecked_transaction()?;
        orders::replace(&transaction, orders)?;
        Ok(transaction.commit()?)
    };
    let mut orders = orders::read(&connection).map_err(StoreError::from)?;
    let changed = change(&mut orders)?;
    done(&connection, &orders)?;
    Ok(changed)
}

/// Returns who ordered the bans that are in force, by the state file of `directory`; nothing if it cannot be read.
#[must_use]
pub fn notes(directory: &Path) -> HashMap<StoredKey, Note> {
    let read = schema::open_unchecked(&directory.join(FILE))
        .and_then(|connection| Ok(bans::notes(&connection)?));
    read.unwrap_or_default()
}

/// Returns the accounts that have logged in, by the state file of `directory`.
///
/// # Errors
/// When there is no such file, or it cannot be read.
pub fn accounts(directory: &Path) -> Result<StoredAccounts, StoreError> {
    let connection = schema::open_unchecked(&directory.join(FILE))?;
    Ok(accounts::read(&connection)?)
}

/// Returns the last bans of these hosts, and of all ports of one, in force and over, newest first, at most
/// `most`. `None` if the state file in `directory` cannot be read.
#[must_use]
pub fn of_hosts(
    directory: &Path,
    hosts: &[String],
    all_ports: Option<IpAddr>,
    most: usize,
) -> Option<Vec<BanRecord>> {
    let connection = schema::open_unchecked(&directory.join(FILE)).ok()?;
    bans::of_hosts(&connection, hosts, all_ports, most).ok()
}

/// Hands over each past ban that is asked for, and those in force, newest first, until `each` returns false.
///
/// # Errors
/// When the state file in `directory` cannot be read.
pub fn history(
    directory: &Path,
    query: &HistoryQuery,
    each: impl FnMut(BanRecord) -> bool,
) -> Result<(), StoreError> {
    Ok(bans::history(&schema::open_unchecked(&directory.join(FILE))?, query, each)?)
}

/// The state file of a directory, for who looks back at some time.
#[derive(Debug)]
pub struct PastReader(Connection);

impl PastReader {
    /// Opens the state file in `directory`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self(schema::open_unchecked(&directory.join(FILE))?))
    }

    /// Hands over each ban that there is, past and in force, newest first.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn bans(&self, mut each: impl FnMut(BanRecord)) -> Result<(), StoreError> {
        let each = |ban| {
            each(ban);
            true
        };
        Ok(bans::history(&self.0, &HistoryQuery::default(), each)?)
    }

    /// Hands over the counts from an hour on.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn hours(&self, first: Hour, each: impl FnMut(HourCount)) -> Result<(), StoreError> {
        Ok(hours::since(&self.0, first, each)?)
    }

    /// Returns since when hours are counted; `None`: they never were.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn counted_since(&self) -> Result<Option<Time>, StoreError> {
        Ok(hours::begun(&self.0)?)
    }

    /// Returns the events since then, the oldest first.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn events(&self, since: Time) -> Result<Vec<GuardEvent>, StoreError> {
        let query = EventQuery { since: Some(since), ..EventQuery::default() };
        Ok(events::read(&self.0, &query)?.0)
    }

    /// Returns the accounts that exist: that have logged in, as far as is remembered.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn accounts(&self) -> Result<HashSet<Account>, StoreError> {
        let known: Option<KnownHosts> = checkpoint::noted(&self.0, "logins")?;
        let proven = accounts::read(&self.0)?.accounts.into_iter().map(|known| known.account);
        Ok(known.iter().flat_map(KnownHosts::accounts).chain(proven).collect())
    }
}

/// The events in a state file, for who reads them while a guard writes.
#[derive(Debug)]
pub struct EventReader(Connection);

impl EventReader {
    /// Opens the state file in `directory`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Ok(Self(schema::open_unchecked(&directory.join(FILE))?))
    }

    /// Returns the events that are asked for, the oldest first, and the place behind the last one that there is.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read(&self, query: &EventQuery) -> Result<(Vec<GuardEvent>, EventId), StoreError> {
        Ok(events::read(&self.0, query)?)
    }

    /// Returns the events behind a place that are asked for, and the place behind the last of them.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn after(
        &self,
        place: EventId,
        query: &EventQuery,
    ) -> Result<(Vec<GuardEvent>, EventId), StoreError> {
        Ok(events::after(&self.0, place, query)?)
    }
}

/// Quarantines a file that is of no use, opens a new one, and returns a notice about it.
///
/// # Errors
/// When the file may be good but cannot be used now, or a new one cannot be made.
fn begin_anew(path: &Path, why: &StoreError, now: Time) -> Result<(Connection, String), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let StoreError::Unusable(_) = why else { return Err(told(why)) };
    let kept = quarantine::quarantine_file(path, now)
        .map_err(|error| format!("{}: {why}, and it cannot be renamed: {error}", path.display()))?;
    let notice = format!(
        "the state file {} could not be used ({why}); it is kept as {}, and a new one was begun",
        path.display(),
        kept.display()
    );
    let connection = schema::open(path).map_err(|error| format!("{notice}, but: {error}"))?;
    Ok((connection, notice))
}

/// The part of a file that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that a guard continues with.
    All,
    /// Only what the kernel has to know.
    InForce,
}

/// Reads a file, up to a damage if there is one.
fn load(
    connection: &Connection,
    read: Extent,
    now: Time,
    loaded: &mut Loaded,
) -> Result<(), StoreError> {
    loaded.bans.clear();
    bans::in_force(connection, |ban| loaded.bans.push(ban))?;
    loaded.lifted = bans::lifted(connection, now)?;
    loaded.saved = writer_thread::saved(connection)?;
    loaded.orders = orders::read(connection)?;
    loaded.peers = peer_bans::read(connection, now)?;
    if read == Extent::All {
        loaded.past = bans::past(connection)?;
        loaded.progress = checkpoint::read(connection)?;
        loaded.progress.hours = hours::recent(connection, now)?;
    }
    Ok(())
}

/// A handle to the store's thread.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    queue: SyncSender<WriterMessage>,
    pending: Arc<AtomicUsize>,
    pace: Arc<CheckpointPace>,
    health: Arc<Mutex<Health>>,
    thread: JoinHandle<()>,
}

/// The pace at which the thread writes checkpoints.
#[derive(Debug, Default)]
struct CheckpointPace {
    /// Whether one is waiting, or being written.
    busy: AtomicBool,
    /// Milliseconds that the last transaction with one took.
    took: AtomicU64,
    /// The time of that transaction, in milliseconds since 1970; 0: there was none.
    at: AtomicI64,
}

impl Store {
    /// Starts the thread that goes on with the file.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(opened: OpenedStore) -> std::io::Result<Self> {
        let (queue, inbox) = sync_channel(QUEUE);
        let (pending, pace) = (Arc::default(), Arc::default());
        let health = Arc::new(Mutex::new(opened.health));
        let path = opened.path.clone();
        let writer = WriterThread::new(
            opened.path,
            opened.connection,
            Arc::clone(&health),
            Arc::clone(&pending),
            Arc::clone(&pace),
        );
        let thread =
            std::thread::Builder::new().name("store".into()).spawn(move || writer.run(&inbox))?;
        Ok(Self { path, queue, pending, pace, health, thread })
    }

    /// Stores changes; never waits. When the thread cannot keep up, it is [`Health::behind`].
    pub fn note(&self, plan: &Arc<Plan>, entries: Vec<JournalEntry>, now: Time) {
        let count = entries.len();
        if self.pending.load(Ordering::Relaxed) + count > MOST_PENDING {
            lock(&self.health).behind = true;
            return;
        }
        self.pending.fetch_add(count, Ordering::Relaxed);
        if self.queue.try_send(WriterMessage::Changes(Arc::clone(plan), entries, now)).is_err() {
            self.pending.fetch_sub(count, Ordering::Relaxed);
            lock(&self.health).behind = true;
        }
    }

    /// Stores that these bans are in force and no others; never waits.
    pub fn note_all(&self, plan: &Arc<Plan>, bans: Vec<Ban>, now: Time) {
        lock(&self.health).behind = false;
        if self.queue.try_send(WriterMessage::All(Arc::clone(plan), bans, now)).is_err() {
            lock(&self.health).behind = true;
        }
    }

    /// Stores changes in the bans of peers, after those of the bans; never waits.
    pub fn note_issued(&self, changes: Vec<IssuedChange>, now: Time) {
        let count = changes.len();
        let has_room = self.pending.load(Ordering::Relaxed) + count <= MOST_PENDING;
        self.pending.fetch_add(count, Ordering::Relaxed);
        if !has_room || self.queue.try_send(WriterMessage::Issued(changes, now)).is_err() {
            self.pending.fetch_sub(count, Ordering::Relaxed);
            lock(&self.health).behind = true;
        }
    }

    /// Stores that these are all bans of peers, after [`Store::note_all`]; never waits.
    pub fn note_all_issued(&self, all: StoredIssued, now: Time) {
        if self.queue.try_send(WriterMessage::AllIssued(all, now)).is_err() {
            lock(&self.health).behind = true;
        }
    }

    /// Returns how long the last checkpoint took to write; `None` while one is being written.
    #[must_use]
    pub fn pace(&self) -> Option<Duration> {
        let busy = self.pace.busy.load(Ordering::Acquire);
        (!busy).then(|| Duration::from_millis(self.pace.took.load(Ordering::Relaxed)))
    }

    /// Returns the last checkpoint that was written since the start.
    #[must_use]
    pub fn written(&self) -> Option<LastCheckpoint> {
        let at = self.pace.at.load(Ordering::Relaxed);
        let took = Duration::from_millis(self.pace.took.load(Ordering::Relaxed));
        (at != 0).then_some(LastCheckpoint { at: Time::from_millis(at), took })
    }

    /// Returns where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores a checkpoint; never waits. One at a time: see [`Store::pace`].
    pub fn checkpoint(&self, checkpoint: Checkpoint, now: Time) {
        self.pace.busy.store(true, Ordering::Release);
        if self.queue.try_send(WriterMessage::Checkpoint(Box::new(checkpoint), now)).is_err() {
            self.pace.busy.store(false, Ordering::Release);
            lock(&self.health).behind = true;
        }
    }

    /// Corrects the stored bans in force by a step of the wall clock; never waits.
    pub fn correct(&self, step: ClockStep, now: Time) {
        if let Some(written) = self.written() {
            self.pace.at.store(step.correct(written.at).millis(), Ordering::Relaxed);
        }
        if self.queue.try_send(WriterMessage::ClockStep(step, now)).is_err() {
            lock(&self.health).behind = true;
        }
    }

    /// Stores who ordered a ban that was handed over before; never waits.
    pub fn annotate(&self, key: StoredKey, note: Note, now: Time) {
        // Without it, the ban is one by hand all the same.
        let _ = self.queue.try_send(WriterMessage::Note(key, note, now));
    }

    /// Stores what is ordered besides bans; never waits.
    pub fn orders(&self, orders: Orders, now: Time) {
        if self.queue.try_send(WriterMessage::Orders(orders, now)).is_err() {
            lock(&self.health).behind = true;
        }
    }

    /// Stores what happened; never waits. Of a ban, it comes behind the change.
    pub fn events(&self, happened: Vec<(GuardEvent, Vec<Account>)>, now: Time) {
        // Without them, the bans are there all the same.
        let _ = self.queue.try_send(WriterMessage::Events(happened, now));
    }

    /// Calls `then` once all that was handed over before is stored, or cannot be stored.
    pub fn then(&self, then: impl FnOnce() + Send + 'static) {
        if let Err(
            TrySendError::Full(WriterMessage::Then(then))
            | TrySendError::Disconnected(WriterMessage::Then(then)),
        ) = self.queue.try_send(WriterMessage::Then(Box::new(then)))
        {
            then();
        }
    }

    /// Returns the health of the store.
    #[must_use]
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    /// Stores what is waiting, within `limit`, and ends the thread.
    pub fn stop(self, limit: Duration) {
        let (done, is_done) = sync_channel(1);
        self.then(move || {
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(limit);
        if self.queue.try_send(WriterMessage::Stop).is_ok() {
            // It has nothing left to do but to close the file.
            let _ = self.thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
