//! The same logs read by fail2ban's own server, which bans nobody: the CPU time that it takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

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

/// Where it is unpacked, if it is: `make bench` says so.
pub fn unpacked() -> Option<PathBuf> {
    std::env::var_os("ASTERGUARD_FAIL2BAN").map(PathBuf::from)
}

/// A server that reads one log; ended when dropped.
struct Server {
    child: Child,
    database: PathBuf,
}

/// The CPU time in which it reads `log`, which is appended to an empty one.
pub fn read(package: &Path, log: &mut File) -> io::Result<Duration> {
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = home.path().join("messages");
    fs::write(&path, "")?;
    let mut server = Server::start(package, home.path(), &path)?;
    server.until("it looks at the log", |position| position == Some(0))?;
    let before = server.cpu_time()?;
    let mut appended = OpenOptions::new().append(true).open(&path)?;
    let size = io::copy(log, &mut appended)?;
    server.until("it has read the log", |position| {
        // It may write down where it stands only when there is more.
        let _ = appended.write_all(b"\n");
        position >= Some(size)
    })?;
    Ok(server.cpu_time()?.saturating_sub(before))
}

impl Server {
    fn start(package: &Path, home: &Path, log: &Path) -> io::Result<Self> {
        let (config, database) = (home.join("config"), home.join("fail2ban.sqlite3"));
        let packaged = package.join("etc/fail2ban");
        Command::new("cp").arg("-r").arg(packaged).arg(&config).status()?;
        // The package's own jail, for ssh, is none of ours.
        fs::remove_dir_all(config.join("jail.d"))?;
        fs::write(config.join("jail.local"), JAIL.replace("$LOG", &log.to_string_lossy()))?;
        let database_is = database.display();
        let text = format!("[Definition]\nlogtarget = SYSOUT\ndbfile = {database_is}\n");
        fs::write(config.join("fail2ban.local"), text)?;
        let child = Command::new("/usr/bin/python3")
            .env("PYTHONPATH", package.join("usr/lib/python3/dist-packages"))
            .arg(package.join("usr/bin/fail2ban-server"))
            .args(["-f".as_ref(), "-c".as_ref(), config.as_os_str()])
            .args(["-s".as_ref(), home.join("sock").as_os_str()])
            .args(["-p".as_ref(), home.join("pid").as_os_str(), "start".as_ref()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child, database })
    }

    /// Waits until it has written down that it stands there in the log.
    fn until(&mut self, what: &str, mut is_it: impl FnMut(Option<u64>) -> bool) -> io::Result<()> {
        let begin = Instant::now();
        while !is_it(self.position()) {
            if self.child.try_wait()?.is_some() || begin.elapsed() > Duration::from_secs(180) {
                return Err(io::Error::other(format!("fail2ban never came to where {what}")));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn position(&self) -> Option<u64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(&self.database, flags).ok()?;
        database
            .query_row("SELECT lastfilepos FROM logs", [], |row| row.get::<_, i64>(0))
            .ok()?
            .try_into()
            .ok()
    }

    /// User and system time of all its threads: fields 14 and 15 of /proc/PID/stat (proc(5)), in
    /// hundredths of a second.
    fn cpu_time(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(10 * ticks))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
