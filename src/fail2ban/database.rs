//! fail2ban's database: the bans that are in force there.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use crate::model::subject::Subject;

/// What every file of `SQLite` begins with.
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bans that are read.
const MOST: usize = 100_000;
/// The longest time that is waited while fail2ban writes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A ban of fail2ban's. Times are in seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBan {
    /// The jail.
    pub jail: String,
    /// The host.
    pub host: Subject,
    /// The time when it began.
    pub since: i64,
    /// The time when it ends; `None`: never.
    pub until: Option<i64>,
}

/// What is in the database.
#[derive(Debug, Default)]
pub struct StoredBans {
    /// The bans whose time is not over.
    pub bans: Vec<StoredBan>,
    /// The bans that are over.
    pub over: usize,
    /// What is banned there and is no address.
    pub others: Vec<String>,
}

/// The reason why the database cannot be read.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// It cannot be opened, or has no bans.
    #[error("this is no database of fail2ban that can be read: {0}")]
    Unreadable(#[from] rusqlite::Error),
}

/// Reads the bans of the database at `path`, as they are at `now` (seconds since the epoch). It is opened for reading only.
///
/// # Errors
/// When it is not fail2ban's, or cannot be read.
pub fn read(path: &Path, now: i64) -> Result<StoredBans, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // The last ban of each host in each jail; older versions have only the log of all.
    let has = |table: &str| connection.prepare(&format!("SELECT 1 FROM {table}")).is_ok();
    let table = if has("bips") { "bips" } else { "bans" };
    let with_length = connection.prepare(&format!("SELECT bantime FROM {table}")).is_ok();
    let length = if with_length { "bantime" } else { "600" };
    let query = format!(
        "SELECT jail, ip, max(timeofban), {length} FROM {table} GROUP BY jail, ip LIMIT {MOST}"
    );
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, i64>(3)?,
        ))
    })?;
    let mut found = StoredBans::default();
    for row in rows {
        let (jail, host, since, length) = row?;
        let until = (length >= 0).then(|| since.saturating_add(length));
        match host.parse::<Subject>() {
            _ if until.is_some_and(|until| until <= now) => found.over += 1,
            Ok(host) => found.bans.push(StoredBan { jail, host, since, until }),
            Err(_) => found.others.push(host),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database in the form of fail2ban 0.11 and later.
    fn database(rows: &[(&str, &str, i64, i64)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let connection = Connection::open(directory.path().join("db")).unwrap();
        let tables = "CREATE TABLE bips(ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON)";
        connection.execute_batch(tables).unwrap();
        for (jail, ip, since, length) in rows {
            let row = "INSERT INTO bips VALUES (?1, ?2, ?3, ?4, 1, '{}')";
            connection.execute(row, (ip, jail, since, length)).unwrap();
        }
        directory
    }

    #[test]
    fn bans_that_are_in_force_are_read() {
        let directory = database(&[
            ("asterisk", "203.0.113.1", 1000, 600),
            ("asterisk", "203.0.113.2", 1000, -1),
            ("asterisk", "2001:db8::1", 100, 600),
            ("sshd", "alice", 1000, 600),
            ("sshd", "198.51.100.0/24", 1000, 600),
        ]);
        let found = read(&directory.path().join("db"), 1100).unwrap();
        let ends: Vec<_> = found.bans.iter().map(|ban| (ban.host.to_string(), ban.until)).collect();
        let expected =
            [("203.0.113.1", Some(1600)), ("203.0.113.2", None), ("198.51.100.0/24", Some(1600))];
        assert_eq!(ends, expected.map(|(host, until)| (host.to_owned(), until)));
        assert_eq!((found.over, found.others.as_slice()), (1, &["alice".to_owned()][..]));
    }

    #[test]
    fn another_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs(name)").unwrap();
        assert!(read(&path, 0).is_err());
        std::fs::write(&path, b"SQLite format 3\0rubbish").unwrap();
        assert!(read(&path, 0).is_err());
        assert!(read(&directory.path().join("none"), 0).is_err());
        assert!(!directory.path().join("none").exists());
    }
}
