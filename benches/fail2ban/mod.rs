//! fail2ban's own server, from an unpacked package, with one jail.
//!
//! For benchmarks (`#[path = "../fail2ban/mod.rs"] mod fail2ban;`).
#![allow(dead_code, reason = "each user needs some of it")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where it is unpacked, if it is: the Makefile says so.
pub fn unpacked() -> Option<PathBuf> {
    std::env::var_os("ASTERGUARD_FAIL2BAN").map(PathBuf::from)
}

/// Its version, as the package's directory of Python modules has it.
pub fn version(package: &Path) -> String {
    let modules = package.join("usr/lib/python3/dist-packages");
    let names = fs::read_dir(modules).into_iter().flatten().flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let version =
        |name: String| Some(name.strip_prefix("fail2ban-")?.strip_suffix(".egg-info")?.to_owned());
    names.find_map(version).unwrap_or_default()
}

/// Where a server keeps its bans, and how far it has read.
pub fn database(home: &Path) -> PathBuf {
    home.join("fail2ban.sqlite3")
}

/// A server; ended when dropped, without a chance to lift its bans.
pub struct Server {
    child: Child,
}

impl Server {
    /// Starts it by `env`, the program of that name in whatever wrapping. In `jail`, `$LOG` becomes `log`.
    /// Its configuration and database are in `home`, and stay for the next start.
    pub fn start(
        mut env: Command,
        package: &Path,
        home: &Path,
        jail: &str,
        log: &Path,
    ) -> io::Result<Self> {
        let config = home.join("fail2ban");
        if !config.exists() {
            configure(&config, package, home, &jail.replace("$LOG", &log.to_string_lossy()))?;
        }
        let child = env
            .arg(format!("PYTHONPATH={}", package.join("usr/lib/python3/dist-packages").display()))
            .arg("/usr/bin/python3")
            .arg(package.join("usr/bin/fail2ban-server"))
            // -x: one that was killed has left its socket.
            .args(["-x".as_ref(), "-f".as_ref(), "-c".as_ref(), config.as_os_str()])
            .args(["-s".as_ref(), home.join("fail2ban.sock").as_os_str()])
            .args(["-p".as_ref(), home.join("fail2ban.pid").as_os_str(), "start".as_ref()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { child })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configure(config: &Path, package: &Path, home: &Path, jail: &str) -> io::Result<()> {
    let packaged = package.join("etc/fail2ban");
    let done = Command::new("cp").arg("-r").arg(packaged).arg(config).status()?;
    if !done.success() {
        return Err(io::Error::other("fail2ban's configuration cannot be copied"));
    }
    // The package's own jail, for ssh, is none of ours.
    fs::remove_dir_all(config.join("jail.d"))?;
    fs::write(config.join("jail.local"), jail)?;
    let (log, database) = (home.join("fail2ban.log"), database(home));
    let (log, database) = (log.display(), database.display());
    let text = format!("[Definition]\nlogtarget = {log}\ndbfile = {database}\n");
    fs::write(config.join("fail2ban.local"), text)
}
