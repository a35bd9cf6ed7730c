//! Tells the service manager that this process is ready, is alive, or is about to end (`sd_notify(3)`).
//!
//! The socket for that is opened once, before the process gives up the right to open one.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It works from now on.
    Ready,
    /// It is alive.
    Watchdog,
    /// It is about to end.
    Stopping,
}

impl Notice {
    fn words(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Watchdog => b"WATCHDOG=1",
            Self::Stopping => b"STOPPING=1",
        }
    }
}

/// The service manager, if one wants to be told anything.
#[derive(Debug, Default)]
pub struct ServiceManager {
    line: Option<(UnixDatagram, SocketAddr)>,
    watches: bool,
}

impl ServiceManager {
    /// Returns the one that `NOTIFY_SOCKET` names. One that cannot be reached is none: that must keep nothing from starting.
    #[must_use]
    pub fn find() -> Self {
        let line = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let word = |name: &str| env::var(name).ok();
        let watches = watches(
            word("WATCHDOG_USEC").as_deref(),
            word("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self { line, watches }
    }

    /// Whether it waits for [`Notice::Watchdog`] from time to time.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watches
    }

    /// Tells it something. Nobody listens any more: then nobody waits for it either.
    pub fn tell(&self, notice: Notice) {
        if let Some((socket, address)) = &self.line {
            let words = notice.words();
            // There may be another socket by that name since.
            let _ = socket.send(words).or_else(|_| socket.send_to_addr(words, address));
        }
    }
}

/// Returns a socket that is connected to the one of this name: a path, or after an `@` a name that is no file's.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    Ok((socket, address))
}

/// Whether the environment of the process `own` says that it is watched (`sd_watchdog_enabled(3)`).
fn watches(microseconds: Option<&str>, pid: Option<&str>, own: u32) -> bool {
    microseconds.is_some_and(|text| text.parse().is_ok_and(|time: u64| time > 0))
        && pid.is_none_or(|text| text.parse() == Ok(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchdog_is_that_of_this_process() {
        for (microseconds, pid, expected) in [
            (Some("30000000"), Some("7"), true),
            (Some("30000000"), None, true),
            (Some("30000000"), Some("8"), false),
            (Some("30000000"), Some("seven"), false),
            (Some("0"), Some("7"), false),
            (Some("soon"), None, false),
            (None, Some("7"), false),
        ] {
            assert_eq!(watches(microseconds, pid, 7), expected, "{microseconds:?} {pid:?}");
        }
    }

    #[test]
    fn notices_arrive_also_at_a_socket_that_was_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let heard = |listener: &UnixDatagram| {
            let mut words = [0; 32];
            let length = listener.recv(&mut words).unwrap();
            String::from_utf8(words[..length].to_vec()).unwrap()
        };
        let first = UnixDatagram::bind(&path).unwrap();
        let line = Some(connect(path.as_os_str()).unwrap());
        let manager = ServiceManager { line, watches: false };
        manager.tell(Notice::Ready);
        assert_eq!(heard(&first), "READY=1");
        drop(first);
        std::fs::remove_file(&path).unwrap();
        manager.tell(Notice::Watchdog);
        let second = UnixDatagram::bind(&path).unwrap();
        manager.tell(Notice::Stopping);
        assert_eq!(heard(&second), "STOPPING=1");
    }

    #[test]
    fn name_after_an_at_sign_is_no_file() {
        let name = format!("asterguard-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        let line = Some(connect(OsStr::new(&format!("@{name}"))).unwrap());
        ServiceManager { line, watches: false }.tell(Notice::Ready);
        let mut words = [0; 32];
        assert_eq!(listener.recv(&mut words).unwrap(), 7);
    }
}
