//! What is ordered besides bans, in the state file: networks that are let through, and pauses.

use rusqlite::{Connection, Row, params};

use crate::model::orders::{AllowedNetwork, Note, OrderedPause, Orders};
use crate::model::time::Time;

/// Writes that these orders are in force, and no others.
pub fn replace(connection: &Connection, orders: &Orders) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM allowed", [])?;
    connection.execute("DELETE FROM pauses", [])?;
    let mut allow = connection.prepare_cached("INSERT INTO allowed VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for AllowedNetwork { net, since, until, note } in &orders.allowed {
        let until = until.map(Time::millis);
        allow.execute(params![net.to_string(), since.millis(), until, note.by, note.comment])?;
    }
    let mut pause = connection.prepare_cached("INSERT INTO pauses VALUES (?1, ?2, ?3)")?;
    for OrderedPause { jail, until, by } in &orders.pauses {
        let jail = jail.as_deref().unwrap_or_default();
        pause.execute(params![jail, until.map(Time::millis), by])?;
    }
    Ok(())
}

/// Returns the orders that were in force; none from a file of an earlier version.
pub fn read(connection: &Connection) -> rusqlite::Result<Orders> {
    if !connection.table_exists(None, "allowed")? {
        return Ok(Orders::default());
    }
    let time = |millis: Option<i64>| millis.map(Time::from_millis);
    let allowed = |row: &Row<'_>| {
        let net: String = row.get(0)?;
        let note = Note { by: row.get(3)?, comment: row.get(4)? };
        let (since, until) = (Time::from_millis(row.get(1)?), time(row.get(2)?));
        // What makes no sense was not written by this program.
        Ok(net.parse().ok().map(|net| AllowedNetwork { net, since, until, note }))
    };
    let pause = |row: &Row<'_>| {
        let jail = Some(row.get(0)?).filter(|name: &String| !name.is_empty());
        Ok(OrderedPause { jail, until: time(row.get(1)?), by: row.get(2)? })
    };
    let mut statement =
        connection.prepare("SELECT net, since, until, ordered_by, comment FROM allowed")?;
    let allowed: Vec<_> = statement.query_map([], allowed)?.collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare("SELECT jail, until, ordered_by FROM pauses")?;
    let pauses = statement.query_map([], pause)?.collect::<rusqlite::Result<_>>()?;
    Ok(Orders { allowed: allowed.into_iter().flatten().collect(), pauses })
}
