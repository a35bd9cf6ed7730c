//! What the guard did, in the state file: each event as JSON, the newest ones.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::time::Time;

/// Events that are kept, at most; about 400 bytes each, so 26 MB.
pub const MOST_EVENTS: i64 = 1 << 16;
/// The time for which events are kept.
pub const KEPT: Duration = Duration::from_secs(400 * 86400);

/// The place of an event in the file: later ones have larger numbers.
pub type EventId = i64;

/// Stores an event.
pub fn enter(connection: &Connection, event: &GuardEvent) -> rusqlite::Result<()> {
    // It is made of strings and numbers.
    let body = serde_json::to_string(event).unwrap_or_default();
    connection
        .prepare_cached("INSERT INTO events (at, kind, body) VALUES (?1, ?2, ?3)")?
        .execute(params![event.at.millis(), event.kind.to_string(), body])?;
    Ok(())
}

/// Forgets events that are too old, and the oldest ones when there are too many.
pub fn prune(connection: &Connection, now: Time) -> rusqlite::Result<()> {
    let oldest = now.millis().saturating_sub(KEPT.as_millis().try_into().unwrap_or(i64::MAX));
    connection.execute("DELETE FROM events WHERE at < ?1", [oldest])?;
    connection.execute(
        "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?1",
        [MOST_EVENTS],
    )?;
    Ok(())
}

/// The events that are asked for.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Events of that time or later.
    pub since: Option<Time>,
    /// Events of these kinds; empty: of all.
    pub kinds: Vec<EventKind>,
    /// Only the newest ones, so many; `None`: all.
    pub last: Option<usize>,
}

impl EventQuery {
    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// Returns the events that are asked for, the oldest first, and the place behind the last one that there is.
///
/// # Errors
/// When the file is damaged.
pub fn read(
    connection: &Connection,
    query: &EventQuery,
) -> rusqlite::Result<(Vec<GuardEvent>, EventId)> {
    if !connection.table_exists(None, "events")? {
        return Ok((Vec::new(), 0));
    }
    let end: Option<EventId> =
        connection.query_row("SELECT max(id) FROM events", [], |row| row.get(0))?;
    let mut statement =
        connection.prepare_cached("SELECT body FROM events WHERE at >= ?1 ORDER BY id DESC")?;
    let mut rows = statement.query([query.since.map_or(i64::MIN, Time::millis)])?;
    let (most, mut found) = (query.last.unwrap_or(usize::MAX), Vec::new());
    while found.len() < most {
        let Some(row) = rows.next()? else { break };
        found.extend(event(row.get_ref(0)?.as_str().unwrap_or_default(), query));
    }
    found.reverse();
    Ok((found, end.unwrap_or(0)))
}

/// Returns the events behind a place that are asked for, the oldest first, and the place behind the last of them.
///
/// # Errors
/// When the file is damaged.
pub fn after(
    connection: &Connection,
    place: EventId,
    query: &EventQuery,
) -> rusqlite::Result<(Vec<GuardEvent>, EventId)> {
    if !connection.table_exists(None, "events")? {
        return Ok((Vec::new(), place));
    }
    let (mut found, mut end) = (Vec::new(), place);
    let mut statement =
        connection.prepare_cached("SELECT id, body FROM events WHERE id > ?1 ORDER BY id")?;
    let mut rows = statement.query([place])?;
    while let Some(row) = rows.next()? {
        end = row.get(0)?;
        found.extend(event(row.get_ref(1)?.as_str().unwrap_or_default(), query));
    }
    Ok((found, end))
}

/// A row that does not make sense was not written by this program.
fn event(body: &str, query: &EventQuery) -> Option<GuardEvent> {
    let event: GuardEvent = serde_json::from_str(body).ok()?;
    query.wants(event.kind).then_some(event)
}
