//! fail2ban's database: the bans that are in force there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use crate::model::subject::Subject;

/// What every file of `SQLite` begins with.
pub const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bans that are read.
const MOST: usize = 100_000;
/// Bans of one host that are counted.
const MOST_COUNTED: i64 = 1000;
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
    /// How often each jail has banned each host, in force or over.
    pub history: Vec<PastBans>,
}

/// How often a jail of fail2ban's has banned a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBans {
    /// The jail.
    pub jail: String,
    /// The host.
    pub host: IpAddr,
    /// The number of bans, at most 1000.
    pub bans: u32,
    /// The time when the last one ended or will, in seconds since the epoch; `None`: never.
    pub until: Option<i64>,
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
    let has = |table: &str| connection.table_exists(None, table).unwrap_or(false);
    let table = if has("bips") { "bips" } else { "bans" };
    let with_length = connection.prepare(&format!("SELECT bantime FROM {table}")).is_ok();
    let length = if with_length { "bantime" } else { "600" };
    let counted = connection.prepare(&format!("SELECT bancount FROM {table}")).is_ok();
    let count = if counted { "CAST(bancount AS INTEGER)" } else { "1" };
    let query = format!(
        "SELECT jail, ip, max(timeofban), {length}, {count} FROM {table} GROUP BY jail, ip LIMIT {MOST}"
    );
    let logged = if has("bans") { logged(&connection)? } else { HashMap::new() };
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, i64>(2)?,
            row.get::<_, i64>(3)?,
            row.get::<_, Option<i64>>(4)?,
        ))
    })?;
    let mut found = StoredBans::default();
    for row in rows {
        let (jail, host, since, length, count) = row?;
        let until = (length >= 0).then(|| since.saturating_add(length));
        if let Ok(address) = host.parse::<IpAddr>() {
            let key = (jail.clone(), host.clone());
            let logged = logged.get(&key).copied().unwrap_or_default();
            let bans = count.unwrap_or(1).max(logged).clamp(0, MOST_COUNTED);
            let bans = u32::try_from(bans).unwrap_or_default();
            // What has not begun yet is no ban.
            if bans > 0 && since <= now {
                found.history.push(PastBans { jail: jail.clone(), host: address, bans, until });
            }
        }
        match host.parse::<Subject>() {
            _ if until.is_some_and(|until| until <= now) => found.over += 1,
            Ok(host) => found.bans.push(StoredBan { jail, host, since, until }),
            Err(_) => found.others.push(host),
        }
    }
    Ok(found)
}

/// Returns how many bans of each host by each jail are in the log of all bans: without growing bans, the table of the last ones
/// does not count them.
fn logged(connection: &Connection) -> rusqlite::Result<HashMap<(String, String), i64>> {
    let query = format!("SELECT jail, ip, count(*) FROM bans GROUP BY jail, ip LIMIT {MOST}");
    let mut statement = connection.prepare(&query)?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    rows.collect()
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

    /// How often each host was banned, by the database after `sql`.
    fn history(sql: &str, now: i64) -> Vec<(String, u32, Option<i64>)> {
        let directory = database(&[]);
        let path = directory.path().join("db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let mut found = read(&path, now).unwrap().history;
        found.sort_by_key(|past| (past.host, past.jail.clone()));
        found.into_iter().map(|past| (past.host.to_string(), past.bans, past.until)).collect()
    }

    #[test]
    fn bans_of_before_are_counted() {
        let bips = "INSERT INTO bips VALUES ('203.0.113.1', 'a', 1000, 600, 3, '{}'), ('203.0.113.2', 'a', 900, 50, 1, '{}'),
            ('198.51.100.0/24', 'a', 1000, 600, 9, '{}');";
        let log = "CREATE TABLE bans(jail TEXT, ip TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON);
            INSERT INTO bans VALUES ('a', '203.0.113.2', 100, 50, 1, '{}'), ('a', '203.0.113.2', 900, 50, 1, '{}');";
        let one = |host: &str, bans, until| (host.to_owned(), bans, Some(until));
        assert_eq!(
            history(&format!("{bips}{log}"), 1100),
            [one("203.0.113.1", 3, 1600), one("203.0.113.2", 2, 950)]
        );
        // As before 0.11: there is nothing but the log.
        let old = "DROP TABLE bips; CREATE TABLE bans(jail TEXT, ip TEXT, timeofban INTEGER, data JSON);
            INSERT INTO bans VALUES ('a', '203.0.113.2', 100, '{}'), ('a', '203.0.113.2', 900, '{}');";
        assert_eq!(history(old, 1000), [one("203.0.113.2", 2, 1500)]);
    }

    #[test]
    fn counts_that_make_no_sense_are_bounded() {
        for (row, expected) in [
            ("'203.0.113.1', 'a', 1000, 600, 9223372036854775807", Some(1000)),
            ("'203.0.113.1', 'a', 1000, 600, 1e300", Some(1000)),
            ("'203.0.113.1', 'a', 1000, 600, -5", None),
            ("'203.0.113.1', 'a', 1000, 600, 'many'", None),
            ("'203.0.113.1', 'a', 1000, 600, NULL", Some(1)),
            ("'203.0.113.1', 'a', 1000, 9223372036854775807, 2", Some(2)),
            ("'203.0.113.1', 'a', -9223372036854775807, 600, 2", Some(2)),
            // It has not begun yet.
            ("'203.0.113.1', 'a', 9223372036854775807, 600, 2", None),
            ("'no address', 'a', 1000, 600, 2", None),
        ] {
            let found = history(&format!("INSERT INTO bips VALUES ({row}, '{{}}')"), 1100);
            assert_eq!(found.first().map(|(_, bans, _)| *bans), expected, "{row}");
        }
        // What is computed is no table of fail2ban's: it might never end.
        let endless = "DROP TABLE bips; CREATE VIEW bips AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
            SELECT 'a' AS jail, x AS ip, 1 AS timeofban, 1 AS bantime, 1 AS bancount FROM n";
        let directory = database(&[]);
        let path = directory.path().join("db");
        Connection::open(&path).unwrap().execute_batch(endless).unwrap();
        assert!(read(&path, 0).is_err());
    }
}
