//! The bans of the fleet's peers in the state file, each with its issuer.

use rusqlite::{Connection, Row, params};

use super::bans::{evidence, parsed};
use crate::decide::peer_bans::{IssuedBan, IssuedChange, StoredIssued};
use crate::model::clock_step::ClockStep;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Issuers of one ban that its history names.
const MOST_NAMED: i64 = 8;

/// Writes changes, after those of the bans themselves.
pub fn change(connection: &Connection, changes: &[IssuedChange]) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            IssuedChange::Entered(ban) => {
                enter(connection, ban)?;
                name_issuers(connection, ban.host)?;
            }
            IssuedChange::Gone(host, issuer) => {
                connection
                    .prepare_cached(
                        "DELETE FROM peer_bans WHERE host = ?1 AND issuer = ?2 AND lifted = 0",
                    )?
                    .execute(params![host.to_string(), issuer.as_str()])?;
            }
            IssuedChange::Dismissed(host, issuer, until) => {
                dismiss(connection, *host, issuer, *until)?;
            }
        }
    }
    Ok(())
}

/// Writes that this is all there is.
pub fn replace(connection: &Connection, all: &StoredIssued) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM peer_bans", [])?;
    for ban in &all.bans {
        enter(connection, ban)?;
        name_issuers(connection, ban.host)?;
    }
    for (host, issuer, until) in &all.dismissed {
        dismiss(connection, *host, issuer, *until)?;
    }
    Ok(())
}

/// Writes that somebody has lifted what peers ban of a host, where no guard runs.
pub fn lift(connection: &Connection, host: &str) -> rusqlite::Result<()> {
    connection.execute("UPDATE peer_bans SET lifted = 1 WHERE host = ?1", [host])?;
    Ok(())
}

/// Returns all that is not over; nothing from a file of an earlier version. What makes no sense is left out.
pub fn read(connection: &Connection, now: Time) -> rusqlite::Result<StoredIssued> {
    let mut stored = StoredIssued::default();
    if !connection.table_exists(None, "peer_bans")? {
        return Ok(stored);
    }
    let mut statement = connection.prepare(
        "SELECT host, issuer, jail, rule, evidence, since, until, lifted FROM peer_bans
         WHERE until > ?1",
    )?;
    let mut rows = statement.query([now.millis()])?;
    while let Some(row) = rows.next()? {
        let Some(ban) = ban(row)? else { continue };
        if row.get(7)? {
            stored.dismissed.push((ban.host, ban.issuer, ban.until));
        } else {
            stored.bans.push(ban);
        }
    }
    Ok(stored)
}

/// Corrects all times by a step of the wall clock.
pub fn correct(connection: &Connection, step: ClockStep) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE peer_bans SET since = since + ?1, until = until + ?1", [step.millis()])?;
    Ok(())
}

/// Forgets what is over.
pub fn prune(connection: &Connection, now: Time) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM peer_bans WHERE until <= ?1", [now.millis()])?;
    Ok(())
}

fn enter(connection: &Connection, ban: &IssuedBan) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO peer_bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)")?
        .execute(params![
            ban.host.to_string(),
            ban.issuer.as_str(),
            ban.jail,
            ban.rule,
            ban.evidence.to_string(),
            ban.since.millis(),
            ban.until.millis(),
        ])?;
    Ok(())
}

fn dismiss(
    connection: &Connection,
    host: Subject,
    issuer: &NodeName,
    until: Time,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO peer_bans VALUES (?1, ?2, '', '', ?3, ?4, ?4, 1)")?
        .execute(params![
            host.to_string(),
            issuer.as_str(),
            Evidence::Proven.to_string(),
            until.millis(),
        ])?;
    Ok(())
}

/// Writes into the history of a ban who issued it. Names stay there when one of them lifts its part.
fn name_issuers(connection: &Connection, host: Subject) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE bans SET ordered_by = (SELECT group_concat(issuer, ', ') FROM
                 (SELECT issuer FROM peer_bans WHERE host = ?1 AND lifted = 0
                  ORDER BY until DESC, issuer LIMIT ?2)),
             comment = (SELECT trim(jail || ' ' || rule) FROM peer_bans WHERE host = ?1 AND lifted = 0
                  ORDER BY until DESC, issuer LIMIT 1)
             WHERE host = ?1 AND jail = 'fleet' AND ended IS NULL",
        )?
        .execute(params![host.to_string(), MOST_NAMED])?;
    Ok(())
}

fn ban(row: &Row<'_>) -> rusqlite::Result<Option<IssuedBan>> {
    let (host, issuer) = (parsed(row, 0)?, parsed(row, 1)?);
    let word: String = row.get(4)?;
    let (Some(host), Some(issuer), Some(evidence)) = (host, issuer, evidence(&word)) else {
        return Ok(None);
    };
    Ok(Some(IssuedBan {
        host,
        issuer,
        jail: row.get(2)?,
        rule: row.get(3)?,
        evidence,
        since: Time::from_millis(row.get(5)?),
        until: Time::from_millis(row.get(6)?),
    }))
}
