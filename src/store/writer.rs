//! The thread that writes the state file: what has come together is one transaction; after a failure
//! it tries again.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits between attempts")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tracing::{debug, error, info, warn};

use super::record::{self, Record};
use super::schema::{self, StoreError};
use super::{Health, Message, Pace, bans, begin_anew, lock, progress};
use crate::bans::Entry;
use crate::event::{Ban, Lifted};
use crate::plan::Plan;
use crate::time::Time;

/// How long after a failure the file is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How often what is too old is looked for.
const PRUNE: Duration = Duration::from_secs(3600);
/// Messages in one transaction.
const BATCH: usize = 256;
/// Bytes that have to fit into the file for it to count as working again.
const ROOM: i64 = 64 << 10;

pub(super) struct Writer {
    path: PathBuf,
    connection: Option<Connection>,
    health: Arc<Mutex<Health>>,
    pending: Arc<AtomicUsize>,
    pace: Arc<Pace>,
    /// When to try again, and to prune.
    retry: Instant,
    prune: Instant,
    /// The present, as far as messages tell.
    now: Time,
    durable: bool,
}

/// When something was last stored.
pub(super) fn saved(connection: &Connection) -> rusqlite::Result<Option<Time>> {
    let mut statement = connection.prepare("SELECT value FROM notes WHERE name = 'saved'")?;
    let mut rows = statement.query([])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?.map(Time::from_millis))
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        connection: Option<Connection>,
        health: Arc<Mutex<Health>>,
        pending: Arc<AtomicUsize>,
        pace: Arc<Pace>,
    ) -> Self {
        let now = Instant::now();
        Self {
            path,
            connection,
            health,
            pending,
            pace,
            retry: now + RETRY,
            prune: now,
            now: Time::default(),
            durable: false,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let wait = if self.connection.is_some() { PRUNE } else { RETRY };
            let mut next = match inbox.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut batch, mut waiting, mut stop) = (Vec::new(), Vec::new(), false);
            while let Some(message) = next {
                match message {
                    Message::Then(then) => waiting.push(then),
                    Message::Stop => stop = true,
                    other => batch.push(other),
                }
                let full = batch.len() >= BATCH;
                next = if full || stop { None } else { inbox.try_recv().ok() };
            }
            let begin = Instant::now();
            self.store(&batch);
            if batch.iter().any(|message| matches!(message, Message::Checkpoint(..))) {
                let took = begin.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
                self.pace.took.store(took, Ordering::Relaxed);
                self.pace.busy.store(false, Ordering::Release);
            }
            for then in waiting {
                then();
            }
            if stop {
                return self.close();
            }
        }
    }

    fn store(&mut self, batch: &[Message]) {
        for message in batch {
            match message {
                Message::Changes(_, entries, now) => {
                    self.pending.fetch_sub(entries.len(), Ordering::Relaxed);
                    self.now = *now;
                }
                Message::All(_, _, now) | Message::Checkpoint(_, now) | Message::Jump(_, now) => {
                    self.now = *now;
                }
                Message::Then(_) | Message::Stop => {}
            }
        }
        if self.connection.is_none() && Instant::now() >= self.retry {
            self.try_again();
        }
        if self.connection.is_none() {
            return;
        }
        match self.write(batch) {
            Err(error) => self.failed(&error),
            // Now it has all that it missed.
            Ok(()) if batch.iter().any(|message| matches!(message, Message::All(..))) => {
                lock(&self.health).error = None;
            }
            Ok(()) => {}
        }
    }

    fn write(&mut self, batch: &[Message]) -> Result<(), StoreError> {
        let prune = Instant::now() >= self.prune && self.now > Time::default();
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if batch.is_empty() && !prune {
            return Ok(());
        }
        // A ban is on the disk before anybody is told that it is stored. What else is lost with the
        // power can be read again from the logs.
        let durable = batch
            .iter()
            .any(|m| matches!(m, Message::Changes(..) | Message::All(..) | Message::Jump(..)));
        if std::mem::replace(&mut self.durable, durable) != durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            connection.pragma_update(None, "synchronous", level)?;
        }
        let transaction = connection.transaction()?;
        for message in batch {
            match message {
                Message::Changes(plan, entries, now) => {
                    changes(&transaction, plan, entries, *now)?;
                }
                Message::All(plan, all, now) => {
                    let records: Vec<_> = all.iter().filter_map(|ban| record(plan, ban)).collect();
                    bans::replace(&transaction, &records, *now)?;
                }
                Message::Checkpoint(checkpoint, _) => progress::write(&transaction, checkpoint)?,
                Message::Jump(jump, _) => bans::correct(&transaction, *jump)?,
                Message::Then(_) | Message::Stop => {}
            }
        }
        if prune {
            let forgotten = bans::prune(&transaction, self.now)?;
            debug!("{forgotten} bans of the past are forgotten");
            self.prune = Instant::now() + PRUNE;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO notes VALUES ('saved', ?1)")?
            .execute([self.now.millis()])?;
        transaction.commit()?;
        Ok(())
    }

    /// Nothing of a batch is stored: goes on without the file for a while, or with a new one.
    fn failed(&mut self, why: &StoreError) {
        self.connection = None;
        self.durable = false;
        self.retry = Instant::now() + RETRY;
        match begin_anew(&self.path, why, self.now) {
            Ok((connection, notice)) => {
                error!("{notice}");
                self.connection = Some(connection);
                let mut health = lock(&self.health);
                (health.notice, health.behind) = (Some(notice), true);
            }
            Err(told) => {
                let mut health = lock(&self.health);
                if health.error.is_none() {
                    error!("nothing is stored, the guard goes on in memory: {told}");
                }
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
        info!("{} works again", self.path.display());
        self.connection = Some(connection);
        lock(&self.health).behind = true;
    }

    fn close(self) {
        let Some(connection) = self.connection else { return };
        // The file alone is complete then. If that does not work, what lies beside it is needed.
        let folded: rusqlite::Result<()> =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = folded {
            warn!("{}: {error}", self.path.display());
        }
    }
}

fn changes(
    connection: &Connection,
    plan: &Plan,
    entries: &[Entry],
    now: Time,
) -> rusqlite::Result<()> {
    for entry in entries {
        match entry {
            Entry::Entered(ban) => {
                if let Some(record) = record(plan, ban) {
                    bans::enter(connection, &record, now)?;
                }
            }
            Entry::Struck(ban, how) => {
                let ended = match how {
                    Lifted::Expired => ban.until.unwrap_or(now),
                    Lifted::ByHand | Lifted::Ignored | Lifted::Replaced => now,
                };
                if let Some(key) = record::key(plan, ban) {
                    bans::strike(connection, &key, ended, *how)?;
                }
            }
        }
    }
    Ok(())
}

fn record(plan: &Plan, ban: &Ban) -> Option<Record> {
    let (_, jail, set) = record::key(plan, ban)?;
    Some(Record {
        host: ban.subject,
        jail,
        set,
        address: ban.host,
        since: ban.since,
        until: ban.until,
        attempts: ban.offences,
        evidence: ban.evidence,
        rule: ban.cause.and_then(|(rule, line)| Some((plan.rule_name(rule)?, line))),
        ended: None,
    })
}
