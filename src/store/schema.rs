//! The state file: opening it, telling whether it is ours and whole, and what tables it has.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::process::geteuid;
use thiserror::Error;

/// The mark of a state file of this program (`application_id` in the header of the file).
const OURS: i32 = i32::from_be_bytes(*b"AGRD");
/// The time for which another process may hold the file (`restore`, or a person's `sqlite3`).
const PATIENCE: Duration = Duration::from_secs(2);
/// The part of the file that is kept in memory, in the words of `SQLite`: while it is read as a
/// whole, and afterwards.
const CACHE: (i32, i32) = (-4096, -2048);
/// Bytes of the header that every state file begins with.
const HEADER: u64 = 100;
/// Files up to this many bytes are checked as a whole before they are used.
const CHECKED: u64 = 32 << 20;

/// The additions of each version to the one before it. Never changed once released, only added to.
const STEPS: [&str; 7] = [
    "
    -- Bans: in force where `ended` is null, history where it is not. Times are milliseconds since
    -- 1970; a null `until` is permanent.
    CREATE TABLE bans (
        id INTEGER PRIMARY KEY,
        host TEXT NOT NULL,
        jail TEXT NOT NULL,
        nft_set TEXT NOT NULL,
        address TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER,
        attempts INTEGER NOT NULL,
        evidence TEXT NOT NULL,
        rule TEXT,
        line INTEGER,
        ended INTEGER,
        how TEXT
    );
    CREATE UNIQUE INDEX in_force ON bans (host, jail, nft_set) WHERE ended IS NULL;
    CREATE INDEX past ON bans (ended) WHERE ended IS NOT NULL;
    CREATE INDEX by_host ON bans (host, since);
    -- Single values, by name.
    CREATE TABLE notes (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    -- Logs: where to go on (null: there was no file), in what context, as of when.
    CREATE TABLE logs (
        path BLOB PRIMARY KEY,
        channel INTEGER NOT NULL,
        position TEXT,
        context TEXT,
        read_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- Offence tables: how they count, and their entries, some to a row.
    CREATE TABLE counters (
        name TEXT PRIMARY KEY,
        maxretry INTEGER NOT NULL,
        findtime INTEGER NOT NULL,
        ipv6prefix INTEGER NOT NULL,
        entries INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE offences (
        name TEXT NOT NULL,
        page INTEGER NOT NULL,
        entries BLOB NOT NULL,
        PRIMARY KEY (name, page)
    );
",
    "
    -- Sources, in place of logs: where to go on (null: there was nothing to read), in bytes that only
    -- the source reads. The key of a file is its path.
    CREATE TABLE sources (
        key BLOB PRIMARY KEY,
        channel INTEGER NOT NULL,
        checkpoint BLOB,
        context TEXT,
        read_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO sources SELECT path, channel, CAST(position AS BLOB), context, read_at FROM logs;
    DROP TABLE logs;
",
    "
    -- Who ordered a ban, and why (null: nobody did).
    ALTER TABLE bans ADD COLUMN ordered_by TEXT;
    ALTER TABLE bans ADD COLUMN comment TEXT;
    -- Networks that are let through by order, and pauses of jails (an empty name: of all together). A null `until`:
    -- until somebody ends it.
    CREATE TABLE allowed (
        net TEXT PRIMARY KEY,
        since INTEGER NOT NULL,
        until INTEGER,
        ordered_by TEXT NOT NULL,
        comment TEXT
    ) WITHOUT ROWID;
    CREATE TABLE pauses (
        jail TEXT PRIMARY KEY,
        until INTEGER,
        ordered_by TEXT NOT NULL
    ) WITHOUT ROWID;
    -- What each jail has counted in all. `last` is when an offence was last counted; null: never.
    CREATE TABLE totals (
        jail TEXT PRIMARY KEY,
        failed INTEGER NOT NULL,
        banned INTEGER NOT NULL,
        observed INTEGER NOT NULL,
        ignored INTEGER NOT NULL,
        excused INTEGER NOT NULL,
        withheld INTEGER NOT NULL,
        hearsay INTEGER NOT NULL,
        last INTEGER
    ) WITHOUT ROWID;
",
    "
    -- The accounts that a banned host tried (null: none is known), each as its beginning, a colon and its number.
    ALTER TABLE bans ADD COLUMN accounts TEXT;
    -- What the guard did: `at` in milliseconds since 1970, `body` as JSON.
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL
    );
    CREATE INDEX events_at ON events (at);
",
    "
    -- Accounts that have logged in, by the hash of their names: the beginning of the name, the first login and the last
    -- one, and where that came from; whether it moves; the last days on which it used a new network, and all its networks,
    -- as JSON.
    CREATE TABLE accounts (
        account INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        host TEXT NOT NULL,
        roams INTEGER NOT NULL,
        moves TEXT NOT NULL,
        networks TEXT NOT NULL
    );
",
    "
    -- What happened in each hour (since 1970, in UTC), by the rule that told of it (empty: none did).
    CREATE TABLE hours (
        hour INTEGER NOT NULL,
        rule TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        untrusted INTEGER NOT NULL,
        ambiguous INTEGER NOT NULL,
        bans INTEGER NOT NULL,
        observed INTEGER NOT NULL,
        PRIMARY KEY (hour, rule)
    ) WITHOUT ROWID;
    -- When an account had last logged in from a banned host, before the ban (null: none is known).
    ALTER TABLE bans ADD COLUMN login INTEGER;
",
    "
    -- Bans of the fleet's peers: those in force, and those that were lifted here (`lifted` is 1) and are not taken again
    -- before their end. Times are milliseconds since 1970.
    CREATE TABLE peer_bans (
        host TEXT NOT NULL,
        issuer TEXT NOT NULL,
        jail TEXT NOT NULL,
        rule TEXT NOT NULL,
        evidence TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        lifted INTEGER NOT NULL,
        PRIMARY KEY (host, issuer)
    ) WITHOUT ROWID;
",
];

/// The reason why there is no state file to work with.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It is not a state file of ours, not whole, or of a later version: of no use to us.
    #[error("{0}")]
    Unusable(String),
    /// It cannot be read or written at the moment: full, forbidden, in use.
    #[error("{0}")]
    Unavailable(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => Self::Unavailable(error.to_string()),
            // Torn pages, another file, tables or columns that are missing or hold something else.
            _ => Self::Unusable(format!("it is damaged: {error}")),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Opens the state file at `path` for writing, makes it if there is none, and brings it up to date.
///
/// # Errors
/// See [`StoreError`]; nothing has been changed then.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    make(path)?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    if connection.is_readonly("main")? {
        return Err(StoreError::Unavailable("it may not be written".to_owned()));
    }
    prepare(&connection)?;
    let version = version(&connection)?;
    check(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut connection, version)?;
    Ok(connection)
}

/// Opens the state file at `path` to read it, even if another process has it open.
///
/// # Errors
/// See [`StoreError`].
pub fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let connection = open_unchecked(path)?;
    check(&connection, path)?;
    Ok(connection)
}

/// Opens it likewise, without checking whether the file is whole.
///
/// # Errors
/// See [`StoreError`].
pub fn open_unchecked(path: &Path) -> Result<Connection, StoreError> {
    let look = |connection: Connection| {
        prepare(&connection)?;
        match version(&connection)? {
            0 => Err(StoreError::Unusable("it is empty".to_owned())),
            _ => Ok(connection),
        }
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(path, flags).map_err(Into::into).and_then(look);
    // Where nothing can be written, SQLite cannot share the file with others, and need not.
    if matches!(opened, Err(StoreError::Unavailable(_))) && !has_changes(path) {
        let alone = flags | OpenFlags::SQLITE_OPEN_URI;
        return look(Connection::open_with_flags(
            format!("file:{}?immutable=1", escaped(path)),
            alone,
        )?);
    }
    opened
}

/// Whether there are changes next to the file that are not in it yet.
fn has_changes(path: &Path) -> bool {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    std::fs::metadata(wal).is_ok_and(|metadata| metadata.len() > 0)
}

/// Returns a path as part of a URI.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte));
            }
            other => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{other:02x}");
            }
        }
    }
    text
}

/// Gives back the memory that only reading a whole file takes.
pub fn slim(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", CACHE.1)?;
    connection.release_memory()
}

/// Makes an empty file, which only the guard's user and group may read: it says who logged in
/// from where. `SQLite` gives those next to it the same mode.
fn make(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o640).open(path) {
        Ok(file) => Ok(give_to_guard(&file, path)?),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a new file over to the owner of its directory, where a command of root's makes it for a guard that is another user.
fn give_to_guard(file: &File, path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|_| geteuid().is_root()) else { return Ok(()) };
    let (owner, own) = (std::fs::metadata(directory)?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (own.uid(), own.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Writes all that `connection` sees into a file at `path`, in place of one that is there; the file
/// that it is open on need not have a name any more.
///
/// # Errors
/// See [`StoreError`]; a part of the file may be there then.
pub fn copy(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => make(path)?,
    }
    connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
    Ok(())
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", CACHE.0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(())
}

/// Returns the version of the tables in the file; 0 for an empty one.
fn version(connection: &Connection) -> Result<usize, StoreError> {
    let number = |pragma: &str| -> rusqlite::Result<i32> {
        connection.pragma_query_value(None, pragma, |row| row.get(0))
    };
    // SQLite would take it for an empty one, and write over it.
    let length = connection.path().and_then(|path| std::fs::metadata(path).ok()).map(|m| m.len());
    if length.is_some_and(|length| (1..HEADER).contains(&length)) {
        return Err(StoreError::Unusable("it is not a database".to_owned()));
    }
    let (owner, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match usize::try_from(version) {
        _ if owner == 0 && version == 0 && objects == 0 => Ok(0),
        _ if owner != OURS => Err(StoreError::Unusable("it is another program's file".to_owned())),
        Ok(version @ 1..) if version <= STEPS.len() => Ok(version),
        _ => Err(StoreError::Unusable(format!(
            "a later asterguard wrote it (version {version}; this one knows {})",
            STEPS.len()
        ))),
    }
}

/// Looks a file through that is small enough for that; damage in a large one is found on the way.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let length = std::fs::metadata(path)?.len();
    let page: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    // SQLite takes what is missing of the last page for zeros.
    if length.checked_rem(page.into()) != Some(0) && !has_changes(path) {
        return Err(StoreError::Unusable("it is damaged: it is cut short".to_owned()));
    }
    if length > CHECKED {
        return Ok(());
    }
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(StoreError::Unusable(format!("it is damaged: {said}"))) }
}

fn migrate(connection: &mut Connection, version: usize) -> Result<(), StoreError> {
    let missing = STEPS.get(version..).unwrap_or_default();
    if missing.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for step in missing {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", OURS)?;
    transaction.pragma_update(
        None,
        "user_version",
        i32::try_from(STEPS.len()).unwrap_or(i32::MAX),
    )?;
    transaction.commit()?;
    Ok(())
}
