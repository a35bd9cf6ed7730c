//! Counts what the state file holds.

use std::path::Path;

use rusqlite::Connection;

/// The size of the state file and of its contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Its length, with that of what is not folded into it yet.
    pub bytes: u64,
    /// Bans in force.
    pub bans: u64,
    /// Bans that are over.
    pub past: u64,
    /// Hosts whose offences are counted, once for each log and jail.
    pub offenders: u64,
    /// Hosts that are known good.
    pub known_good: u64,
}

/// Counts what is in the file at `path`. Takes some milliseconds for each hundred thousand bans.
///
/// # Errors
/// When the file cannot be read.
pub fn count(connection: &Connection, path: &Path) -> rusqlite::Result<StoreStats> {
    let bytes = [path.to_owned(), super::quarantine::with(path, "-wal")]
        .iter()
        .filter_map(|file| Some(std::fs::metadata(file).ok()?.len()))
        .sum();
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM bans WHERE ended IS NULL),
                (SELECT count(*) FROM bans WHERE ended IS NOT NULL),
                (SELECT coalesce(sum(entries), 0) FROM counters),
                coalesce((SELECT CAST(value AS INTEGER) FROM notes WHERE name = 'known_good'), 0)",
    )?;
    statement.query_row([], |row| {
        let number = |at| row.get(at).map(|number: i64| u64::try_from(number).unwrap_or(0));
        Ok(StoreStats {
            bytes,
            bans: number(0)?,
            past: number(1)?,
            offenders: number(2)?,
            known_good: number(3)?,
        })
    })
}
