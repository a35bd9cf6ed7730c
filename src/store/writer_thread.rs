//! The thread that writes the state file: what has come together is one transaction; after a
//! failure it tries again.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits between attempts")]

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{debug, error, warn};

use super::ban_record::{self, BanRecord};
use super::schema::{self, StoreError};
use super::{
    CheckpointPace, Health, WriterMessage, bans, begin_anew, checkpoint, events, hours, lock,
    orders, peer_bans, quarantine, stats,
};
use crate::decide::ban_table::JournalEntry;
use crate::decide::plan::Plan;
use crate::model::event::Lifted;
use crate::model::time::Time;

/// The time after a failure until the file is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The time between two checks that the file is still there; the thread wakes up at least then.
const LOOK: Duration = Duration::from_secs(1);
/// Counting what the file holds takes no more than this part of the time.
const STOCK_SHARE: u32 = 100;
/// The time between two searches for what is too old.
const PRUNE: Duration = Duration::from_secs(3600);
/// Changes in the bans of peers after which what is too old is looked for earlier: a peer that bans and lifts all day fills no
/// disk.
const MOST_ISSUED: usize = 1 << 16;
/// Messages in one transaction.
const BATCH: usize = 256;
/// Bytes that have to fit into the file for it to count as working again.
const ROOM: i64 = 64 << 10;

pub(super) struct WriterThread {
    path: PathBuf,
    connection: Option<Connection>,
    health: Arc<Mutex<Health>>,
    pending: Arc<AtomicUsize>,
    pace: Arc<CheckpointPace>,
    /// The times to try again, to prune, to check that the file is there, and to count what it
    /// holds.
    retry: Instant,
    prune: Instant,
    look: Instant,
    stock: Instant,
    /// The file that is open, as the kernel knows it; `None` if that is not known.
    file: Option<FileId>,
    /// Whether something was written since the file was counted.
    changed: bool,
    /// The present, by the last message.
    now: Time,
    durable: bool,
    /// Changes in the bans of peers since the last search for what is too old.
    issued: usize,
}

/// Returns when something was last stored.
pub(super) fn saved(connection: &Connection) -> rusqlite::Result<Option<Time>> {
    let mut statement = connection.prepare("SELECT value FROM notes WHERE name = 'saved'")?;
    let mut rows = statement.query([])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?.map(Time::from_millis))
}

impl WriterThread {
    pub(super) fn new(
        path: PathBuf,
        connection: Option<Connection>,
        health: Arc<Mutex<Health>>,
        pending: Arc<AtomicUsize>,
        pace: Arc<CheckpointPace>,
    ) -> Self {
        let now = Instant::now();
        let file = connection.as_ref().and_then(|_| FileId::of(&path).ok());
        Self {
            file,
            changed: true,
            path,
            connection,
            health,
            pending,
            pace,
            retry: now + RETRY,
            prune: now,
            look: now + LOOK,
            stock: now,
            now: Time::default(),
            durable: false,
            issued: 0,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<WriterMessage>) {
        loop {
            let mut next = match inbox.recv_timeout(LOOK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut batch, mut waiting, mut stop) = (Vec::new(), Vec::new(), false);
            while let Some(message) = next {
                match message {
                    WriterMessage::Then(then) => waiting.push(then),
                    WriterMessage::Stop => stop = true,
                    other => batch.push(other),
                }
                let full = batch.len() >= BATCH;
                next = if full || stop { None } else { inbox.try_recv().ok() };
            }
            let begin = Instant::now();
            self.store(&batch);
            if batch.iter().any(|message| matches!(message, WriterMessage::Checkpoint(..))) {
                let took = begin.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
                self.pace.took.store(took, Ordering::Relaxed);
                if self.connection.is_some() {
                    self.pace.at.store(self.now.millis(), Ordering::Relaxed);
                }
                self.pace.busy.store(false, Ordering::Release);
            }
            for then in waiting {
                then();
            }
            self.take_stock();
            if stop {
                return self.close();
            }
        }
    }

    fn store(&mut self, batch: &[WriterMessage]) {
        for message in batch {
            match message {
                WriterMessage::Changes(_, entries, now) => {
                    self.pending.fetch_sub(entries.len(), Ordering::Relaxed);
                    self.now = *now;
                }
                WriterMessage::Issued(changes, now) => {
                    self.pending.fetch_sub(changes.len(), Ordering::Relaxed);
                    self.issued += changes.len();
                    self.now = *now;
                }
                WriterMessage::All(_, _, now)
                | WriterMessage::AllIssued(_, now)
                | WriterMessage::Checkpoint(_, now)
                | WriterMessage::Note(_, _, now)
                | WriterMessage::Orders(_, now)
                | WriterMessage::Events(_, now)
                | WriterMessage::ClockStep(_, now) => {
                    self.now = *now;
                }
                WriterMessage::Then(_) | WriterMessage::Stop => {}
            }
        }
        if self.connection.is_none() && Instant::now() >= self.retry {
            self.try_again();
        }
        if self.connection.is_some() && Instant::now() >= self.look {
            self.look = Instant::now() + LOOK;
            self.look_after();
        }
        if self.connection.is_none() {
            return;
        }
        match self.write(batch) {
            Err(error) => self.failed(&error),
            // Now it has all that it missed.
            Ok(()) if batch.iter().any(|message| matches!(message, WriterMessage::All(..))) => {
                lock(&self.health).error = None;
            }
            Ok(()) => {}
        }
    }

    fn write(&mut self, batch: &[WriterMessage]) -> Result<(), StoreError> {
        let due = Instant::now() >= self.prune || self.issued >= MOST_ISSUED;
        let prune = due && self.now > Time::default();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if batch.is_empty() && !prune {
            return Ok(());
        }
        // A ban is on the disk before anybody is told that it is stored. What else is lost with the
        // power can be read again from the logs.
        let durable = batch.iter().any(|m| {
            matches!(
                m,
                WriterMessage::Changes(..)
                    | WriterMessage::All(..)
                    | WriterMessage::Issued(..)
                    | WriterMessage::AllIssued(..)
                    | WriterMessage::Note(..)
                    | WriterMessage::Orders(..)
                    | WriterMessage::ClockStep(..)
            )
        });
        if std::mem::replace(&mut self.durable, durable) != durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            connection.pragma_update(None, "synchronous", level)?;
        }
        let transaction = connection.transaction()?;
        for message in batch {
            match message {
                WriterMessage::Changes(plan, entries, now) => {
                    changes(&transaction, plan, entries, *now)?;
                }
                WriterMessage::All(plan, all, now) => {
                    bans::replace(&transaction, plan, all, *now)?;
                }
                WriterMessage::Issued(changes, _) => peer_bans::change(&transaction, changes)?,
                WriterMessage::AllIssued(all, _) => peer_bans::replace(&transaction, all)?,
                WriterMessage::Checkpoint(checkpoint, _) => {
                    checkpoint::write(&transaction, checkpoint)?;
                }
                WriterMessage::Note(key, note, _) => bans::annotate(&transaction, key, note)?,
                WriterMessage::Events(happened, _) => {
                    for (event, accounts) in happened {
                        events::enter(&transaction, event)?;
                        bans::tried(&transaction, event, accounts)?;
                    }
                }
                WriterMessage::Orders(all, _) => orders::replace(&transaction, all)?,
                WriterMessage::ClockStep(step, _) => {
                    bans::correct(&transaction, *step)?;
                    peer_bans::correct(&transaction, *step)?;
                }
                WriterMessage::Then(_) | WriterMessage::Stop => {}
            }
        }
        if prune {
            let forgotten = bans::prune(&transaction, self.now)?;
            events::prune(&transaction, self.now)?;
            hours::prune(&transaction, self.now)?;
            peer_bans::prune(&transaction, self.now)?;
            self.issued = 0;
            debug!("{forgotten} bans of the past are forgotten");
            self.prune = Instant::now() + PRUNE;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO notes VALUES ('saved', ?1)")?
            .execute([self.now.millis()])?;
        hours::begin(&transaction, self.now)?;
        transaction.commit()?;
        self.changed = true;
        Ok(())
    }

    /// Counts what the file holds, if that has changed and has not been done lately.
    fn take_stock(&mut self) {
        let begin = Instant::now();
        let Some(connection) = self.connection.as_ref().filter(|_| self.changed) else { return };
        if begin < self.stock {
            return;
        }
        // If that does not work, writing will not either, which is told.
        let stats = stats::count(connection, &self.path).ok();
        self.changed = false;
        self.stock = Instant::now() + (begin.elapsed() * STOCK_SHARE).max(LOOK);
        lock(&self.health).stats = stats;
    }

    /// Checks that the file that is open is still the one at the path. If it was removed or
    /// replaced, it is written there again.
    fn look_after(&mut self) {
        let how = match (FileId::of(&self.path), self.file) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => "deleted",
            (Ok(there), Some(open)) if there != open => "replaced",
            _ => return,
        };
        let path = self.path.display();
        let notice =
            format!("the state file {path} was {how} while the guard ran: it is written anew");
        warn!("{notice}");
        let opened = self.write_anew();
        self.connection = None;
        match opened.map_err(StoreError::from).and_then(|()| self.open()) {
            Ok(()) => {
                let mut health = lock(&self.health);
                (health.notice, health.behind) = (Some(notice), true);
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Puts a copy of the file that is open at the path, from where it was removed. A file that is
    /// there now is quarantined.
    fn write_anew(&mut self) -> io::Result<()> {
        if self.path.exists() {
            quarantine::quarantine_file(&self.path, self.now)?;
        }
        let copy = quarantine::with(&self.path, ".new");
        let copied = self.connection.take().is_some_and(|open| schema::copy(&open, &copy).is_ok());
        quarantine::remove_companions(&self.path)?;
        // Without it, there is what memory holds.
        if copied { std::fs::rename(copy, &self.path) } else { Ok(()) }
    }

    /// Opens the file at the path.
    fn open(&mut self) -> Result<(), StoreError> {
        let connection = schema::open(&self.path)?;
        self.use_file(connection);
        Ok(())
    }

    fn use_file(&mut self, connection: Connection) {
        self.file = FileId::of(&self.path).ok();
        self.connection = Some(connection);
        self.changed = true;
    }

    /// Goes on without the file for a while, or with a new one, because nothing of a batch is stored.
    fn failed(&mut self, why: &StoreError) {
        self.connection = None;
        self.durable = false;
        self.retry = Instant::now() + RETRY;
        match begin_anew(&self.path, why, self.now) {
            Ok((connection, notice)) => {
                error!("{notice}");
                self.use_file(connection);
                let mut health = lock(&self.health);
                (health.notice, health.behind) = (Some(notice), true);
            }
            Err(told) => {
                let mut health = lock(&self.health);
                (health.error, health.behind) = (Some(told), false);
            }
        }
    }

    /// Opens the file again, and sees whether it takes anything.
    fn try_again(&mut self) {
        self.retry = Instant::now() + RETRY;
        let connection = match schema::open(&self.path) {
            Ok(connection) => connection,
            Err(error) => return self.failed(&error),
        };
        let takes = connection
            .execute("INSERT OR REPLACE INTO notes VALUES ('room', zeroblob(?1))", [ROOM])
            .and_then(|_| connection.execute("DELETE FROM notes WHERE name = 'room'", []));
        if let Err(error) = takes {
            return self.failed(&error.into());
        }
        self.use_file(connection);
        lock(&self.health).behind = true;
    }

    fn close(self) {
        let Some(connection) = self.connection else { return };
        // The file alone is complete then. If that does not work, what lies next to it is needed.
        let folded: rusqlite::Result<()> =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            warn!("{}: {error}", self.path.display());
        }
    }
}

/// A file's identity for the kernel: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self(metadata.dev(), metadata.ino()))
    }
}

fn changes(
    connection: &Connection,
    plan: &Plan,
    entries: &[JournalEntry],
    now: Time,
) -> rusqlite::Result<()> {
    for entry in entries {
        match entry {
            JournalEntry::Entered(ban) => {
                if let Some(record) = BanRecord::of(plan, ban) {
                    bans::enter(connection, &record, now)?;
                }
            }
            JournalEntry::Struck(ban, how) => {
                let ended = match how {
                    Lifted::Expired => ban.until.unwrap_or(now),
                    Lifted::ByHand | Lifted::Ignored | Lifted::Replaced | Lifted::Recalled => now,
                };
                if let Some(key) = ban_record::key(plan, ban) {
                    bans::strike(connection, &key, ended, *how)?;
                }
            }
        }
    }
    Ok(())
}
