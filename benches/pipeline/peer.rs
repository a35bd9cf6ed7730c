//! The same logs read by fail2ban's own server, which bans nobody: the CPU time that it takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::fail2ban::{Server, database};
use crate::process::cpu_time;

/// What passes for a line that it has to look at: it skips what is older than `findtime`.
const JAIL: &str = "\
[bench]
enabled = true
filter = asterisk
logpath = $LOG
backend = polling
maxretry = 1000000000
maxmatches = 1
findtime = 100y
action =
";

/// The CPU time in which it reads `log`, which is appended to an empty one, and the failed attempts that it finds there.
pub fn read(package: &Path, log: &mut File) -> io::Result<(Duration, u64)> {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = home.path().join("messages");
    fs::write(&path, "")?;
    let server = Server::start(Command::new("env"), package, home.path(), JAIL, &path)?;
    let mut reader = Reader { server, home: home.path() };
    reader.until("it looks at the log", |position| position == Some(0))?;
    let before = cpu_time(reader.server.pid());
    let mut appended = OpenOptions::new().append(true).open(&path)?;
    let size = io::copy(log, &mut appended)?;
    reader.until("it has read the log", |position| {
        // It may write down where it stands only when there is more.
        let _ = appended.write_all(b"\n");
        position >= Some(size)
    })?;
    let time = cpu_time(reader.server.pid()).saturating_sub(before);
    Ok((time, reader.failed(package)?))
}

/// A server that reads one log.
struct Reader<'a> {
    server: Server,
    home: &'a Path,
}

impl Reader<'_> {
    /// Waits until it has written down that it stands there in the log.
    fn until(&mut self, what: &str, mut is_it: impl FnMut(Option<u64>) -> bool) -> io::Result<()> {
        let begin = Instant::now();
        while !is_it(self.position()) {
            if self.server.has_ended()? || begin.elapsed() > Duration::from_secs(180) {
                return Err(io::Error::other(format!("fail2ban never came to where {what}")));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = Connection::open_with_flags(database(self.home), flags).ok()?;
        open.query_row("SELECT lastfilepos FROM logs", [], |row| row.get::<_, i64>(0))
            .ok()?
            .try_into()
            .ok()
    }

    /// The failed attempts that it has counted.
    fn failed(&self, package: &Path) -> io::Result<u64> {
        let out = Command::new("/usr/bin/python3")
            .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
            .arg(package.join("usr/bin/fail2ban-client"))
            .args(["-c".as_ref(), self.home.join("fail2ban").as_os_str()])
            .args(["-s".as_ref(), self.home.join("fail2ban.sock").as_os_str()])
            .args(["status", "bench"])
            .output()?;
        let out = String::from_utf8_lossy(&out.stdout);
        let line = out.lines().find(|line| line.contains("Total failed:"));
        let number = line.and_then(|line| line.rsplit('\t').next()?.parse().ok());
        number.ok_or_else(|| io::Error::other(format!("no number of failures: {out}")))
    }
}
