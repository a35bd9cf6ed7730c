//! fail2ban's own server from an unpacked package, with its nftables action and a plain jail.

use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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

const DATABASE: &str = "fail2ban.sqlite3";

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

/// A server; ended when dropped.
pub struct Fail2ban {
    child: Child,
}

/// Where it is unpacked, if it is: `make bench-kernel` says so.
pub fn unpacked() -> Option<PathBuf> {
    std::env::var_os("ASTERGUARD_FAIL2BAN").map(PathBuf::from)
}

impl Fail2ban {
    /// Starts it; its configuration and database are in `home`, and stay for the next start.
    pub fn start(netns: &Netns, package: &Path, home: &Path, log: &Path) -> io::Result<Self> {
        let config = home.join("fail2ban");
        if !config.exists() {
            copy(&package.join("etc/fail2ban"), &config)?;
            let _ = fs::remove_dir_all(config.join("jail.d"));
            fs::write(config.join("jail.local"), JAIL.replace("$LOG", log.to_str().unwrap()))?;
            let database = home.join(DATABASE);
            let text = format!(
                "[Definition]\nlogtarget = {}\ndbfile = {}\n",
                home.join("fail2ban.log").display(),
                database.display()
            );
            fs::write(config.join("fail2ban.local"), text)?;
        }
        let child = netns
            .command("env")
            .arg(format!("PYTHONPATH={}", package.join("usr/lib/python3/dist-packages").display()))
            .arg("/usr/bin/python3")
            .arg(package.join("usr/bin/fail2ban-server"))
            // -x: one that was killed has left its socket.
            .args(["-x", "-f", "-c"])
            .arg(&config)
            .arg("-s")
            .arg(home.join("fail2ban.sock"))
            .arg("-p")
            .arg(home.join("fail2ban.pid"))
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// Has the next start in `home` find these bans in the database.
    pub fn remember(home: &Path, hosts: impl Iterator<Item = Ipv4Addr>) -> io::Result<()> {
        let mut python = Command::new("/usr/bin/python3")
            .args(["-c", REMEMBER])
            .arg(home.join(DATABASE))
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

    /// Ends it without a chance to lift its bans.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Fail2ban {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("cp failed")) }
}
