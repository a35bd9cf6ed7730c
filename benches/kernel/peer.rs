//! fail2ban with its nftables action and a plain jail.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fail2ban::{Server, database};
use crate::kit::Netns;

/// Its jail reads this log and bans at the first wrong password, for an hour.
const JAIL: &str = "\
[DEFAULT]
ignoreip = 127.0.0.1/8
[bench]
enabled = true
filter = asterisk
logpath = $LOG
backend = auto
maxretry = 1
findtime = 600
bantime = 3600
action = nftables[name=bench, port=\"5060,5061\", protocol=udp, type=multiport]
";

/// The table and set that its action fills.
pub const TABLE: &str = "f2b-table";
pub const SET: &str = "addr-set-bench";

/// Has its database hold these bans and no others, as if it had just decided them.
const REMEMBER: &str = r#"
import sqlite3, sys, time
rows = [(host.strip(), int(time.time())) for host in sys.stdin]
with sqlite3.connect(sys.argv[1]) as database:
    for table in ("bans", "bips"):
        database.execute(f"DELETE FROM {table}")
        database.executemany(
            f"INSERT INTO {table}(jail, ip, timeofban, bantime, bancount, data)"
            " VALUES('bench', ?, ?, 3600, 1, '{\"matches\": [], \"failures\": 1}')",
            rows,
        )
"#;

/// Starts it.
pub fn start(netns: &Netns, package: &Path, home: &Path, log: &Path) -> io::Result<Server> {
    Server::start(netns.command("env"), package, home, JAIL, log)
}

/// Has the next start in `home` find these bans in the database.
pub fn remember(home: &Path, hosts: impl Iterator<Item = Ipv4Addr>) -> io::Result<()> {
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", REMEMBER])
        .arg(database(home))
        .stdin(Stdio::piped())
        .spawn()?;
    let mut list = io::BufWriter::new(python.stdin.take().unwrap());
    for host in hosts {
        writeln!(list, "{host}")?;
    }
    drop(list);
    let done = python.wait()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("its database takes no bans")) }
}
