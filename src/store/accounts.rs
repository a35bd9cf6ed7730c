//! Accounts that have logged in, in the state file, with their networks.

use std::num::NonZeroU64;

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};

use super::checkpoint::{note, noted};
use crate::decide::account_networks::{AccountChanges, StoredAccount, StoredAccounts};
use crate::model::account::Account;
use crate::model::time::Time;

/// The name of the note about all accounts together.
const NOTE: &str = "accounts";

/// The things that are true of all accounts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Terms {
    sample: Option<Account>,
    learn: u64,
}

/// Writes the accounts that have changed.
pub fn write(connection: &Connection, changes: &AccountChanges) -> rusqlite::Result<()> {
    let AccountChanges { is_all, known, gone } = changes;
    note(connection, NOTE, &Terms { sample: known.sample, learn: known.learn })?;
    if *is_all {
        connection.execute("DELETE FROM accounts", [])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM accounts WHERE account = ?1")?;
    for account in gone {
        delete.execute([key(*account)])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for StoredAccount { account, first, last, host, roams, moves, networks } in &known.accounts {
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        insert.execute(params![
            key(*account),
            account.to_string(),
            first.millis(),
            last.millis(),
            host,
            roams,
            text(serde_json::to_string(moves)),
            text(serde_json::to_string(networks))
        ])?;
    }
    Ok(())
}

/// Reads all accounts; one that makes no sense is left out.
pub fn read(connection: &Connection) -> rusqlite::Result<StoredAccounts> {
    // A file of an earlier version that has not been written to since; see the steps of the schema.
    if !connection.table_exists(None, "accounts")? {
        return Ok(StoredAccounts::default());
    }
    let Terms { sample, learn } = noted(connection, NOTE)?.unwrap_or_default();
    let mut statement = connection
        .prepare("SELECT account, name, first, last, host, roams, moves, networks FROM accounts")?;
    let mut rows = statement.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.extend(account(row));
    }
    Ok(StoredAccounts { sample, learn, accounts })
}

fn account(row: &Row<'_>) -> Option<StoredAccount> {
    let number: i64 = row.get(0).ok()?;
    let hash = NonZeroU64::new(u64::from_ne_bytes(number.to_ne_bytes()))?;
    let name: String = row.get(1).ok()?;
    let time = |column: usize| row.get(column).ok().map(Time::from_millis);
    let (moves, networks): (String, String) = (row.get(6).ok()?, row.get(7).ok()?);
    Some(StoredAccount {
        account: Account::restored(hash, &name),
        first: time(2)?,
        last: time(3)?,
        host: row.get(4).ok()?,
        roams: row.get(5).ok()?,
        moves: serde_json::from_str(&moves).ok()?,
        networks: serde_json::from_str(&networks).ok()?,
    })
}

/// Returns the number of an account in the file, where numbers have a sign.
fn key(account: Account) -> i64 {
    i64::from_ne_bytes(NonZeroU64::from(account).get().to_ne_bytes())
}
