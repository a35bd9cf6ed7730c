//! Bans in the state file: those in force and those that were.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::ban_record::{self, BanRecord, PlanIndex, SharedNames, StoredKey};
use crate::decide::plan::Plan;
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Ban, Evidence, Lifted};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::orders::Note;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Bans that are over and are kept, at most; about 250 bytes each.
pub const MOST_PAST: i64 = 1 << 18;
/// The time for which bans that are over are kept.
pub const KEPT: Duration = Duration::from_secs(400 * 86400);
/// Earlier bans that are gone through at a start.
const MOST_RECALLED: i64 = 1 << 17;
/// Bans that were lifted, and that the kernel may still have, read at a start.
const MOST_LIFTED: i64 = 1 << 16;
/// Bans of peers that are over and are kept, at most: however many these are, the guard's own stay.
pub const MOST_PAST_OF_PEERS: i64 = 1 << 16;

/// Returns the columns that a ban is read from. A file that an earlier version wrote, and that is only read, lacks some.
fn columns(connection: &Connection) -> rusqlite::Result<String> {
    let mut columns =
        "host, jail, nft_set, address, since, until, attempts, evidence, rule, line, ended, how"
            .to_owned();
    for column in ["ordered_by", "comment", "accounts", "login"] {
        let there = connection.column_exists(None, "bans", column)?;
        columns += ", ";
        columns += if there { column } else { "NULL" };
    }
    Ok(columns)
}

/// Writes that a ban is in force, in place of one with the same host, jail and set.
pub fn enter(connection: &Connection, ban: &BanRecord, now: Time) -> rusqlite::Result<()> {
    // A ban of another moment is another ban: the one before becomes history. Where the same lines
    // led to both, it was renewed because its host was still sending, which makes no further ban longer.
    let (rule, line) = cause(ban);
    connection
        .prepare_cached(
            "UPDATE bans SET ended = ?1, how = CASE
                 WHEN rule = ?6 AND line = ?7 AND attempts = ?8 THEN 'renewed' ELSE 'replaced' END
             WHERE host = ?2 AND jail = ?3 AND nft_set = ?4 AND ended IS NULL AND since <> ?5",
        )?
        .execute(params![
            now.millis(),
            ban.host.to_string(),
            ban.jail,
            ban.set,
            ban.since.millis(),
            rule,
            line,
            ban.attempts,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO bans
             (host, jail, nft_set, address, since, until, attempts, evidence, rule, line)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (host, jail, nft_set) WHERE ended IS NULL DO UPDATE SET
             address = ?4, until = ?6, attempts = ?7, evidence = ?8, rule = ?9, line = ?10",
        )?
        .execute(params![
            ban.host.to_string(),
            ban.jail,
            ban.set,
            ban.address.to_string(),
            ban.since.millis(),
            ban.until.map(Time::millis),
            ban.attempts,
            ban.evidence.to_string(),
            rule,
            line,
        ])?;
    Ok(())
}

/// Returns the rule and line that completed a count, as they are stored.
fn cause(ban: &BanRecord) -> (Option<&str>, Option<i64>) {
    let cause = ban.rule.as_ref();
    cause.map(|(rule, line)| (&**rule, i64::try_from(*line).unwrap_or(i64::MAX))).unzip()
}

/// Writes that a ban is over.
pub fn strike(
    connection: &Connection,
    (host, jail, set): &StoredKey,
    ended: Time,
    how: Lifted,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE bans SET ended = ?1, how = ?2
             WHERE host = ?3 AND jail = ?4 AND nft_set = ?5 AND ended IS NULL",
        )?
        .execute(params![ended.millis(), word(how), host, jail, set])?;
    Ok(())
}

/// Writes who ordered a ban that is in force.
pub fn annotate(
    connection: &Connection,
    (host, jail, set): &StoredKey,
    note: &Note,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE bans SET ordered_by = ?1, comment = ?2
             WHERE host = ?3 AND jail = ?4 AND nft_set = ?5 AND ended IS NULL",
        )?
        .execute(params![note.by, note.comment, host, jail, set])?;
    Ok(())
}

/// Writes which accounts a host tried, and whether one had logged in from there, of an event that tells of its ban.
pub fn tried(
    connection: &Connection,
    event: &GuardEvent,
    accounts: &[Account],
) -> rusqlite::Result<()> {
    let login = event.ban.as_ref().and_then(|ban| ban.login);
    if event.kind != EventKind::Ban || (accounts.is_empty() && login.is_none()) {
        return Ok(());
    }
    let words: Vec<_> = accounts.iter().copied().map(Account::to_stored).collect();
    let words = (!words.is_empty()).then(|| words.join(" "));
    connection
        .prepare_cached(
            "UPDATE bans SET accounts = ?1, login = ?2
             WHERE host = ?3 AND jail = ?4 AND ended IS NULL",
        )?
        .execute(params![words, login.map(Time::millis), event.host, event.jail])?;
    Ok(())
}

/// What of the past is asked for.
#[derive(Clone, Debug, Default)]
pub struct HistoryQuery {
    /// Bans of this host or network, of its ports, and of networks that hold it.
    pub whom: Option<Subject>,
    /// Bans that began then or later.
    pub since: Option<Time>,
    /// Bans by this jail.
    pub jail: Option<String>,
    /// Bans of hosts that tried this account.
    pub account: Option<Account>,
}

/// Hands over each ban that is asked for, newest first, until `each` returns false.
///
/// # Errors
/// When the file is damaged.
pub fn history(
    connection: &Connection,
    query: &HistoryQuery,
    mut each: impl FnMut(BanRecord) -> bool,
) -> rusqlite::Result<()> {
    let columns = columns(connection)?;
    // An account is looked for by its number, which stands in one column alone.
    let account = query.account.map(Account::to_stored);
    let number = account.as_deref().and_then(|stored| stored.split_once(':')).map(|(_, n)| n);
    if number.is_some() && !connection.column_exists(None, "bans", "accounts")? {
        return Ok(());
    }
    let tried = if number.is_some() { "instr(accounts, ?3) > 0" } else { "?3 IS NULL" };
    let sql = format!(
        "SELECT {columns} FROM bans WHERE since >= ?1 AND (?2 IS NULL OR jail = ?2) AND {tried}
         ORDER BY id DESC"
    );
    let since = query.since.map_or(i64::MIN, Time::millis);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![since, query.jail, number])?;
    let mut names = SharedNames::default();
    while let Some(row) = rows.next()? {
        if let Some(whom) = query.whom {
            // Most rows are of others: only the host is read of them.
            let host: Option<Subject> = parsed(row, 0)?;
            if !host.is_some_and(|host| host.overlaps(&whom)) {
                continue;
            }
        }
        if let Some(ban) = record(row, &mut names)? {
            if !each(ban) {
                break;
            }
        }
    }
    Ok(())
}

/// Returns who ordered the bans that are in force and that somebody ordered.
///
/// # Errors
/// When the file is damaged.
pub fn notes(connection: &Connection) -> rusqlite::Result<HashMap<StoredKey, Note>> {
    if !connection.column_exists(None, "bans", "ordered_by")? {
        return Ok(HashMap::new());
    }
    let mut statement = connection.prepare(
        "SELECT host, jail, nft_set, ordered_by, comment FROM bans NOT INDEXED
         WHERE ended IS NULL AND ordered_by IS NOT NULL AND jail <> 'fleet'",
    )?;
    let note = |row: &Row<'_>| {
        let key = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok((key, Note { by: row.get(3)?, comment: row.get(4)? }))
    };
    statement.query_map([], note)?.collect()
}

/// Corrects the bans in force by a step of the wall clock. Those that are over keep their times,
/// which nothing in the kernel has to agree with.
pub fn correct(connection: &Connection, step: ClockStep) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE bans SET since = since + ?1, until = until + ?1 WHERE ended IS NULL",
        [step.millis()],
    )?;
    Ok(())
}

/// Writes that these bans are in force, and no others. They are in the order of their subjects, scopes and jails.
///
/// What is stored is compared with them row by row: beside a million bans, there is no room for as many others.
pub fn replace(
    connection: &Connection,
    plan: &Plan,
    bans: &[Ban],
    now: Time,
) -> rusqlite::Result<()> {
    let names = PlanIndex::new(plan);
    let order = |ban: &Ban| (ban.subject, ban.scope, ban.jail);
    let (mut is_stored, mut gone) = (vec![false; bans.len()], Vec::new());
    in_force(connection, |stored| {
        // A jail or set that the plan does not know is another one than any of its own.
        let known = stored.ban(&names).filter(|ban| {
            let names = ban_record::names(plan, ban);
            names.is_some_and(|(jail, set)| *jail == *stored.jail && *set == *stored.set)
                && ban.subject == stored.host
        });
        let place = known.and_then(|known| bans.binary_search_by_key(&order(&known), order).ok());
        match place.and_then(|place| Some((bans.get(place)?, is_stored.get_mut(place)?))) {
            Some((ban, is_stored)) => {
                *is_stored = (ban.since, ban.until) == (stored.since, stored.until);
            }
            None => gone.push((stored.key(), stored.until)),
        }
    })?;
    let others = bans.iter().zip(is_stored).filter(|(_, is_stored)| !is_stored);
    for record in others.filter_map(|(ban, _)| BanRecord::of(plan, ban)) {
        enter(connection, &record, now)?;
    }
    for (key, until) in gone {
        // A ban whose time was over is not worth another word.
        match until.filter(|until| *until <= now) {
            Some(until) => strike(connection, &key, until, Lifted::Expired)?,
            None => strike(connection, &key, now, Lifted::Replaced)?,
        }
    }
    Ok(())
}

/// Hands over each ban in force, as far as they can be read.
///
/// # Errors
/// When the file is damaged from some place on.
pub fn in_force(connection: &Connection, each: impl FnMut(BanRecord)) -> rusqlite::Result<()> {
    let sql = format!("SELECT {} FROM bans NOT INDEXED WHERE ended IS NULL", columns(connection)?);
    select(connection, &sql, [], each)
}

/// Returns the bans, past and in force, of these hosts, and of all ports of one; newest first, at most
/// `most`.
///
/// # Errors
/// When the file is damaged.
pub fn of_hosts(
    connection: &Connection,
    hosts: &[String],
    all_ports: Option<IpAddr>,
    most: usize,
) -> rusqlite::Result<Vec<BanRecord>> {
    let mut found = Vec::new();
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let columns = columns(connection)?;
    let sql = format!("SELECT {columns} FROM bans WHERE host = ?1 ORDER BY since DESC LIMIT ?2");
    for host in hosts {
        select(connection, &sql, params![host, limit], |ban| found.push(ban))?;
    }
    if let Some(host) = all_ports {
        let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
        // A colon, and what comes right behind it in the order of texts.
        let (first, last) = (format!("{host}:"), format!("{host};"));
        let sql = format!(
            "SELECT {columns} FROM bans WHERE host > ?1 AND host < ?2 ORDER BY since DESC LIMIT ?3"
        );
        select(connection, &sql, params![first, last, limit], |ban| found.push(ban))?;
    }
    found.sort_by_key(|ban| std::cmp::Reverse(ban.since));
    found.truncate(most);
    Ok(found)
}

/// Returns the bans that were lifted and would not be over yet.
///
/// # Errors
/// When the file is damaged.
pub fn lifted(connection: &Connection, now: Time) -> rusqlite::Result<Vec<BanRecord>> {
    let columns = columns(connection)?;
    let sql = format!(
        "SELECT {columns} FROM bans WHERE ended IS NOT NULL AND how IN ('lifted', 'ignored', 'recalled')
         AND (until IS NULL OR until > ?1) ORDER BY ended DESC LIMIT ?2"
    );
    let mut found = Vec::new();
    select(connection, &sql, params![now.millis(), MOST_LIFTED], |ban| found.push(ban))?;
    Ok(found)
}

/// Returns the last bans there were, those in force too, the oldest first; of one that was renewed, the
/// last.
pub fn past(connection: &Connection) -> rusqlite::Result<Vec<BanRecord>> {
    let columns = columns(connection)?;
    let sql = format!(
        "SELECT {columns} FROM bans WHERE how IS NOT 'renewed' AND jail <> 'fleet'
         ORDER BY id DESC LIMIT ?1"
    );
    let mut found = Vec::new();
    select(connection, &sql, [MOST_RECALLED], |ban| found.push(ban))?;
    found.reverse();
    Ok(found)
}

/// Forgets bans that have long been over, and the oldest ones when there are too many.
pub fn prune(connection: &Connection, now: Time) -> rusqlite::Result<usize> {
    let oldest = now.millis().saturating_sub(KEPT.as_millis().try_into().unwrap_or(i64::MAX));
    let mut aged = connection.execute("DELETE FROM bans WHERE ended < ?1", [oldest])?;
    aged += connection.execute(
        "DELETE FROM bans WHERE id IN (SELECT id FROM bans
         WHERE ended IS NOT NULL AND jail = 'fleet' ORDER BY ended DESC LIMIT -1 OFFSET ?1)",
        [MOST_PAST_OF_PEERS],
    )?;
    let past: i64 =
        connection
            .query_row("SELECT count(*) FROM bans WHERE ended IS NOT NULL", [], |row| row.get(0))?;
    let surplus = past.saturating_sub(MOST_PAST);
    if surplus <= 0 {
        return Ok(aged);
    }
    let pushed_out = connection.execute(
        "DELETE FROM bans WHERE id IN
         (SELECT id FROM bans WHERE ended IS NOT NULL ORDER BY ended LIMIT ?1)",
        [surplus],
    )?;
    Ok(aged + pushed_out)
}

/// Hands over each row that makes sense. One that does not was not written by this program.
fn select(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    mut each: impl FnMut(BanRecord),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut names = SharedNames::default();
    while let Some(row) = rows.next()? {
        if let Some(ban) = record(row, &mut names)? {
            each(ban);
        }
    }
    Ok(())
}

fn record(row: &Row<'_>, names: &mut SharedNames) -> rusqlite::Result<Option<BanRecord>> {
    let time = |millis: Option<i64>| millis.map(Time::from_millis);
    let mut name = |column| Ok::<_, rusqlite::Error>(names.shared(row.get_ref(column)?.as_str()?));
    let (Some(host), Some(address), Some(evidence)) =
        (parsed(row, 0)?, parsed(row, 3)?, evidence(row.get_ref(7)?.as_str()?))
    else {
        return Ok(None);
    };
    let rule = match row.get_ref(8)? {
        ValueRef::Null => None,
        _ => Some(name(8)?),
    };
    let line: Option<i64> = row.get(9)?;
    let how: Option<String> = row.get(11)?;
    let (by, comment): (Option<String>, Option<String>) = (row.get(12)?, row.get(13)?);
    Ok(Some(BanRecord {
        host,
        jail: name(1)?,
        set: name(2)?,
        address,
        since: Time::from_millis(row.get(4)?),
        until: time(row.get(5)?),
        attempts: row.get(6)?,
        evidence,
        rule: rule.map(|rule| (rule, line.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))),
        ended: time(row.get(10)?).zip(how.as_deref().map(lifted_as)),
        note: by.map(|by| Note { by, comment }),
        accounts: row.get_ref(14)?.as_str().map_or_else(
            |_| Vec::new(),
            |words| words.split(' ').filter_map(Account::from_stored).collect(),
        ),
        login: time(row.get(15)?),
    }))
}

pub(super) fn parsed<T: std::str::FromStr>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    Ok(row.get_ref(column)?.as_str().ok().and_then(|text| text.parse().ok()))
}

pub(super) fn evidence(word: &str) -> Option<Evidence> {
    [Evidence::Unverified, Evidence::Proven].into_iter().find(|known| known.to_string() == word)
}

const WORDS: [(Lifted, &str); 5] = [
    (Lifted::Expired, "expired"),
    (Lifted::ByHand, "lifted"),
    (Lifted::Ignored, "ignored"),
    (Lifted::Replaced, "replaced"),
    (Lifted::Recalled, "recalled"),
];

/// Returns how a ban ended, as it is stored.
#[must_use]
pub fn word(how: Lifted) -> &'static str {
    WORDS.iter().find(|(known, _)| *known == how).map_or("expired", |(_, word)| word)
}

/// Returns how a ban ended; `renewed` is replaced too.
fn lifted_as(word: &str) -> Lifted {
    let known = WORDS.iter().find(|(_, known)| *known == word);
    known.map_or(Lifted::Replaced, |(how, _)| *how)
}
