//! What happened in each hour, in the state file: a row for each hour and rule, of about a year.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::decide::engine::HourCount;
use crate::decide::hour_counts::{Hour, HourTally, REMEMBERED, hour_of};
use crate::model::time::Time;

/// The time for which hours are kept.
pub const KEPT: Duration = Duration::from_secs(400 * 86400);
/// Rows that are kept at most, about 50 bytes each: 26 MB. Without anybody who makes every rule match in every hour, a year
/// has about a tenth of that.
pub const MOST_ROWS: i64 = 1 << 19;

/// Writes what was counted. A number in the file never becomes smaller: a clock that was set may have hidden it.
pub fn write(connection: &Connection, counts: &[HourCount]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO hours VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (hour, rule) DO UPDATE SET
         attempts = max(attempts, ?3), untrusted = max(untrusted, ?4),
         ambiguous = max(ambiguous, ?5), bans = max(bans, ?6), observed = max(observed, ?7)",
    )?;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for HourCount { hour, rule, tally } in counts {
        let HourTally { attempts, untrusted, ambiguous, bans, observed } = *tally;
        insert.execute(params![
            hour,
            rule,
            number(attempts),
            number(untrusted),
            number(ambiguous),
            number(bans),
            number(observed)
        ])?;
    }
    Ok(())
}

/// Hands over the counts from an hour on.
///
/// # Errors
/// When the file is damaged.
pub fn since(
    connection: &Connection,
    first: Hour,
    mut each: impl FnMut(HourCount),
) -> rusqlite::Result<()> {
    // A file of an earlier version that has not been written to since; see the steps of the schema.
    if !connection.table_exists(None, "hours")? {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT hour, rule, attempts, untrusted, ambiguous, bans, observed FROM hours
         WHERE hour >= ?1 ORDER BY hour, rule",
    )?;
    let mut rows = statement.query([first])?;
    while let Some(row) = rows.next()? {
        each(count(row)?);
    }
    Ok(())
}

/// A number that makes no sense is 0.
fn count(row: &Row<'_>) -> rusqlite::Result<HourCount> {
    let number = |column| {
        let stored: Option<i64> = row.get(column).ok();
        stored.and_then(|number| number.try_into().ok()).unwrap_or(0)
    };
    let tally = HourTally {
        attempts: number(2),
        untrusted: number(3),
        ambiguous: number(4),
        bans: number(5),
        observed: number(6),
    };
    Ok(HourCount { hour: row.get(0)?, rule: row.get(1)?, tally })
}

/// Returns the counts of the last hours, with which a guard goes on.
pub fn recent(connection: &Connection, now: Time) -> rusqlite::Result<Vec<HourCount>> {
    let (mut found, last) = (Vec::new(), hour_of(now) + 1);
    since(connection, hour_of(now) - REMEMBERED, |count| {
        found.extend((count.hour <= last).then_some(count));
    })?;
    Ok(found)
}

/// Notes that hours are counted from `now` on, unless they have been for longer.
pub fn begin(connection: &Connection, now: Time) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO notes VALUES ('hours_since', ?1)")?
        .execute([now.millis()])?;
    Ok(())
}

/// Returns since when hours are counted; `None`: they never were.
pub fn begun(connection: &Connection) -> rusqlite::Result<Option<Time>> {
    connection
        .query_row("SELECT value FROM notes WHERE name = 'hours_since'", [], |row| row.get(0))
        .optional()
        .map(|begun| begun.map(Time::from_millis))
}

/// Forgets hours that are too old, and the oldest ones when there are too many rows.
pub fn prune(connection: &Connection, now: Time) -> rusqlite::Result<()> {
    let kept = i64::try_from(KEPT.as_secs() / 3600).unwrap_or(i64::MAX);
    connection.execute("DELETE FROM hours WHERE hour < ?1", [hour_of(now) - kept])?;
    connection.execute(
        "DELETE FROM hours WHERE hour <=
         (SELECT hour FROM hours ORDER BY hour DESC LIMIT 1 OFFSET ?1)",
        [MOST_ROWS],
    )?;
    Ok(())
}
