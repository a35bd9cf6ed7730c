//! Checkpoints in the state file: the position in each log, and the counts that stand for what was
//! read up to there. Both are written together.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{accounts, hours};
use crate::decide::engine::{
    AccountChanges, HourCount, JailTotals, KnownHosts, OffenceCounts, StoredAccounts,
    StoredEarlier, Tally,
};
use crate::decide::offences::Pages;
use crate::detect::scanner::Context;
use crate::input::{SourceCheckpoint, SourceKey};
use crate::model::time::Time;

/// The place where reading a source stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    /// Its key.
    pub key: SourceKey,
    /// The number that counts know it by.
    pub channel: u16,
    /// The place to continue at; `None`: there was nothing to read.
    pub checkpoint: Option<SourceCheckpoint>,
    /// The context of the next line, if it is known.
    pub context: Option<Context>,
    /// The time when all of it had been read: what comes after the checkpoint was written later.
    pub read_at: Time,
}

/// The changes since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// The places where reading all logs stopped.
    pub logs: Vec<LogCheckpoint>,
    /// The names of rules by the numbers that counts know them by, if they have changed.
    pub rules: Option<Vec<String>>,
    /// The names of all tables that there are, if they may have changed: others are forgotten.
    pub names: Option<Vec<String>>,
    /// Counts that have changed.
    pub counters: Vec<OffenceCounts>,
    /// The known good hosts, if they have changed.
    pub logins: Option<KnownHosts>,
    /// The accounts that have logged in, where that has changed.
    pub accounts: Option<AccountChanges>,
    /// The names of all jails, if they may have changed: totals of others are forgotten.
    pub jails: Option<Vec<String>>,
    /// The totals of jails, where they have changed.
    pub totals: Vec<JailTotals>,
    /// The counts of hours, where they have changed.
    pub hours: Vec<HourCount>,
    /// The bans that other guards made before, if that has changed.
    pub earlier: Option<StoredEarlier>,
}

/// The sum of all checkpoints, as it was stored.
#[derive(Clone, Debug, Default)]
pub struct StoredCheckpoint {
    /// As in [`Checkpoint`].
    pub logs: Vec<LogCheckpoint>,
    /// The names of rules by their numbers.
    pub rules: Vec<String>,
    /// All pages of all tables.
    pub counters: Vec<OffenceCounts>,
    /// As in [`Checkpoint`].
    pub logins: KnownHosts,
    /// The accounts that have logged in.
    pub accounts: StoredAccounts,
    /// The totals of all jails.
    pub totals: Vec<JailTotals>,
    /// The counts of the last hours.
    pub hours: Vec<HourCount>,
    /// The bans that other guards made before.
    pub earlier: StoredEarlier,
}

/// Writes a checkpoint.
pub fn write(connection: &Connection, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM sources", [])?;
    let mut insert =
        connection.prepare_cached("INSERT INTO sources VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for log in &checkpoint.logs {
        let place = log.checkpoint.as_ref().map(SourceCheckpoint::as_bytes);
        let context = text(log.context.as_ref());
        let key = log.key.to_bytes();
        insert.execute(params![key, log.channel, place, context, log.read_at.millis()])?;
    }
    if let Some(rules) = &checkpoint.rules {
        note(connection, "rules", rules)?;
    }
    if let Some(names) = &checkpoint.names {
        keep_only(connection, ["counters", "offences"], "name", names)?;
    }
    for counters in &checkpoint.counters {
        write_counters(connection, counters)?;
    }
    if let Some(logins) = &checkpoint.logins {
        note(connection, "logins", logins)?;
        // To be counted without reading all of it.
        note(connection, "known_good", &logins.len())?;
    }
    if let Some(earlier) = &checkpoint.earlier {
        note(connection, "earlier", earlier)?;
    }
    if let Some(changes) = &checkpoint.accounts {
        accounts::write(connection, changes)?;
    }
    if let Some(jails) = &checkpoint.jails {
        keep_only(connection, ["totals"], "jail", jails)?;
    }
    write_totals(connection, &checkpoint.totals)?;
    hours::write(connection, &checkpoint.hours)
}

fn text(value: Option<&impl serde::Serialize>) -> Option<String> {
    value.and_then(|value| serde_json::to_string(value).ok())
}

fn write_counters(connection: &Connection, counters: &OffenceCounts) -> rusqlite::Result<()> {
    let OffenceCounts { name, maxretry, findtime, ipv6prefix, pages } = counters;
    connection
        .prepare_cached("INSERT OR REPLACE INTO counters VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            name,
            maxretry,
            i64::try_from(*findtime).unwrap_or(i64::MAX),
            ipv6prefix,
            i64::try_from(pages.entries).unwrap_or(i64::MAX)
        ])?;
    connection
        .prepare_cached("DELETE FROM offences WHERE name = ?1 AND page >= ?2")?
        .execute(params![name, i64::try_from(pages.count()).unwrap_or(i64::MAX)])?;
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO offences VALUES (?1, ?2, ?3)")?;
    for (page, entries) in &pages.changed {
        insert.execute(params![name, page, entries])?;
    }
    Ok(())
}

fn write_totals(connection: &Connection, totals: &[JailTotals]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO totals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for JailTotals { jail, tally } in totals {
        let Tally { failed, banned, observed, ignored, excused, withheld, hearsay, last } = *tally;
        insert.execute(params![
            jail,
            number(failed),
            number(banned),
            number(observed),
            number(ignored),
            number(excused),
            number(withheld),
            number(hearsay),
            last.map(Time::millis)
        ])?;
    }
    Ok(())
}

/// Forgets the rows of these tables that are not of these names, which stand in `column`.
fn keep_only<const N: usize>(
    connection: &Connection,
    tables: [&str; N],
    column: &str,
    names: &[String],
) -> rusqlite::Result<()> {
    let names = serde_json::to_string(names).unwrap_or_default();
    for table in tables {
        let sql =
            format!("DELETE FROM {table} WHERE {column} NOT IN (SELECT value FROM json_each(?1))");
        connection.execute(&sql, [&names])?;
    }
    Ok(())
}

/// Reads all that there is.
pub fn read(connection: &Connection) -> rusqlite::Result<StoredCheckpoint> {
    let mut progress = StoredCheckpoint {
        rules: noted(connection, "rules")?.unwrap_or_default(),
        logins: noted(connection, "logins")?.unwrap_or_default(),
        accounts: accounts::read(connection)?,
        earlier: noted(connection, "earlier")?.unwrap_or_default(),
        ..StoredCheckpoint::default()
    };
    // A file of version 0.1.0 that has not been written to since; see the steps of the schema.
    let is_first = !connection.table_exists(None, "sources")?;
    let mut statement = connection.prepare(if is_first {
        "SELECT path, channel, position, context, read_at FROM logs"
    } else {
        "SELECT key, channel, checkpoint, context, read_at FROM sources"
    })?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // One that makes no sense is as good as none that was ever stored.
        let Some(key) = SourceKey::from_bytes(row.get_ref(0)?.as_bytes()?) else { continue };
        let place = row.get_ref(2)?.as_bytes_or_null()?;
        let context: Option<String> = row.get(3)?;
        progress.logs.push(LogCheckpoint {
            key,
            channel: row.get(1)?,
            checkpoint: place.map(|bytes| SourceCheckpoint::new(bytes.to_vec())),
            context: context.and_then(|context| serde_json::from_str(&context).ok()),
            read_at: Time::from_millis(row.get(4)?),
        });
    }
    let mut statement =
        connection.prepare("SELECT name, maxretry, findtime, ipv6prefix, entries FROM counters")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let entries: i64 = row.get(4)?;
        let findtime: i64 = row.get(2)?;
        let pages = Pages {
            entries: usize::try_from(entries).unwrap_or(0),
            changed: pages(connection, &name)?,
        };
        progress.counters.push(OffenceCounts {
            name,
            maxretry: row.get(1)?,
            findtime: u64::try_from(findtime).unwrap_or(0),
            ipv6prefix: row.get(3)?,
            pages,
        });
    }
    progress.totals = read_totals(connection)?;
    Ok(progress)
}

/// Reads the totals; a number that makes no sense is 0.
fn read_totals(connection: &Connection) -> rusqlite::Result<Vec<JailTotals>> {
    // A file of an earlier version that has not been written to since; see the steps of the schema.
    if !connection.table_exists(None, "totals")? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare(
        "SELECT jail, failed, banned, observed, ignored, excused, withheld, hearsay, last FROM totals",
    )?;
    let mut rows = statement.query([])?;
    let mut totals = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = |column: usize| row.get::<_, i64>(column).ok();
        let number = |column| stored(column).and_then(|n| n.try_into().ok()).unwrap_or(0);
        let tally = Tally {
            failed: number(1),
            banned: number(2),
            observed: number(3),
            ignored: number(4),
            excused: number(5),
            withheld: number(6),
            hearsay: number(7),
            last: stored(8).map(Time::from_millis),
        };
        let Ok(jail) = row.get(0) else { continue };
        totals.push(JailTotals { jail, tally });
    }
    Ok(totals)
}

fn pages(connection: &Connection, name: &str) -> rusqlite::Result<Vec<(u32, Vec<u8>)>> {
    let mut statement = connection
        .prepare_cached("SELECT page, entries FROM offences WHERE name = ?1 ORDER BY page")?;
    statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(super) fn note(
    connection: &Connection,
    name: &str,
    value: &impl serde::Serialize,
) -> rusqlite::Result<()> {
    let Ok(value) = serde_json::to_string(value) else { return Ok(()) };
    connection
        .prepare_cached("INSERT OR REPLACE INTO notes VALUES (?1, ?2)")?
        .execute(params![name, value])?;
    Ok(())
}

/// Returns a note, if it is there and makes sense.
pub(super) fn noted<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    let value: Option<String> = connection
        .query_row("SELECT value FROM notes WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    Ok(value.and_then(|value| serde_json::from_str(&value).ok()))
}
