//! The process that asks Asterisk's manager interface (AMI) for security events, and hands them to the guard.
//!
//! Under systemd, `asterguard-ami.socket` starts it for each connection of the guard (`Accept=yes`). Two threads: one reads
//! what Asterisk sends as soon as it comes, and never waits for the guard, because Asterisk keeps in its own memory what a
//! client does not read. The other writes to the guard.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::ami_connection::Connection;
use super::ami_secret;
use super::outbox::Outbox;
use crate::config::AmiAccess;
use crate::config::load::load_ami;
use crate::input::remote::LONGEST_REQUEST;
use crate::model::backoff;
use crate::model::time::{HumanDuration, Time};
use crate::model::trouble::Trouble;
use crate::services::ami_session::{Login, LoginWay, Output, Session, SessionError};
use crate::sys::clock;

/// The time before the first try after a connection that worked. It doubles with each try that fails …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this. (A refused login is a line in Asterisk's log each time.)
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A session that has lasted for so long has worked.
const WORKED: Duration = Duration::from_secs(10);
/// The time between two reports of events that were not used.
const BETWEEN_REPORTS: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const AT_ONCE: usize = 64 << 10;

/// The files that this process needs, as its configuration names them now.
#[must_use]
pub fn files(config: Option<&Path>, credentials: Option<&Path>) -> Vec<PathBuf> {
    let mut files = vec!["/etc".into(), "/dev/urandom".into()];
    files.extend(config.and_then(Path::parent).map(Path::to_owned));
    files.extend(credentials.map(Path::to_owned));
    if let Ok(Some(access)) = load_ami(config) {
        let directories = [access.cafile, access.secretfile];
        files.extend(directories.iter().filter_map(|file| file.parent()).map(Path::to_owned));
    }
    files
}

/// Serves the guard until it closes the connection. `config` is the main configuration file, `credentials` the directory
/// in which the service manager may hand over the secret.
///
/// # Errors
/// Returns an error if the guard's request cannot be read, or there can be no threads.
pub fn serve(
    config: Option<PathBuf>,
    credentials: Option<PathBuf>,
    guard: impl Read,
    to_guard: impl Write + Send + 'static,
) -> io::Result<()> {
    let mut guard = BufReader::new(guard);
    // What it says is for other sources: there is one stream of events, and none is repeated.
    let mut request = Vec::new();
    (&mut guard).take(LONGEST_REQUEST as u64).read_until(b'\n', &mut request)?;
    if !request.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the request has no end"));
    }
    let outbox = Arc::new(Outbox::default());
    let asker = Asker {
        config,
        credentials,
        outbox: Arc::clone(&outbox),
        lost: None,
        following: false,
        blind: false,
    };
    thread::Builder::new().name("ami".to_owned()).spawn(move || asker.run())?;
    thread::Builder::new().name("guard".to_owned()).spawn(move || outbox.write_to(to_guard))?;
    // Nothing more comes from the guard, but the end.
    match io::copy(&mut guard, &mut io::sink()) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(()),
    }
}

/// The side of Asterisk.
struct Asker {
    config: Option<PathBuf>,
    credentials: Option<PathBuf>,
    outbox: Arc<Outbox>,
    /// When a session ended that had worked, and why.
    lost: Option<(Time, String)>,
    /// Whether it has logged in, and whether it was said that no events come even so.
    following: bool,
    blind: bool,
}

impl Asker {
    fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            let began = clock::monotonic_now();
            let trouble = self.ask();
            let lasted = clock::monotonic_now().since(began);
            let worked = std::mem::take(&mut self.following);
            failures = if worked && lasted >= WORKED { 0 } else { failures + 1 };
            if worked {
                self.lost = Some((clock::now(), trouble.seen.clone()));
            }
            self.outbox.state(&trouble.to_string());
            let (doublings, chance) = (failures.saturating_sub(1), RandomState::new().hash_one(0));
            thread::sleep(backoff::wait(FIRST_WAIT, LONGEST_WAIT, doublings, chance));
        }
    }

    /// Connects, and hands on what comes until that ends; returns why it did.
    fn ask(&mut self) -> Trouble {
        let access = match self.access() {
            Ok(access) => access,
            Err(trouble) => return trouble,
        };
        let secret = match ami_secret::read(&access.secretfile, self.credentials.as_deref()) {
            Ok(secret) => secret,
            Err(error) => return error.trouble(),
        };
        let mut connection = match Connection::open(&access) {
            Ok(connection) => connection,
            Err(error) => return error.trouble(),
        };
        // By TLS, only Asterisk gets the secret. Without it, nobody does.
        let way = if access.tls { LoginWay::Plain } else { LoginWay::Challenge };
        let login = Login { user: access.user.clone(), secret, way };
        let mut session = Session::new(login, clock::monotonic_now());
        let mut buffer = vec![0; AT_ONCE];
        let mut out = Output::default();
        let mut unused = Unused::default();
        loop {
            let read = connection.read(&mut buffer);
            let now = clock::monotonic_now();
            let taken = match &read {
                Ok(Some(bytes)) => {
                    let bytes = buffer.get(..*bytes).unwrap_or_default();
                    session.read(bytes, now, &mut out)
                }
                _ => Ok(()),
            };
            let taken = taken.and_then(|()| session.tick(now, &mut out));
            if session.is_following() && !self.following {
                self.has_begun();
            }
            self.outbox.lines(&out.lines);
            out.lines.clear();
            unused.add(&mut out);
            if let Some(words) = unused.report(now) {
                self.outbox.gap(&words);
            }
            if session.is_blind(now) != self.blind {
                self.blind = !self.blind;
                let words = if self.blind { blind(&access).to_string() } else { String::new() };
                self.outbox.state(&words);
            }
            let sent = if out.send.is_empty() { Ok(()) } else { connection.send(&out.send) };
            out.send.clear();
            let address = connection.address();
            match (taken, read.map(drop).and(sent)) {
                (Err(error), _) => return trouble(&error, address, &access),
                (_, Err(error)) => return error.trouble(),
                _ => {}
            }
        }
    }

    fn has_begun(&mut self) {
        if let Some((since, why)) = self.lost.take() {
            let lasted = HumanDuration(Duration::from_secs(clock::now().since(since).as_secs()));
            self.outbox.gap(&format!("no events of AMI since {since}, for {lasted}: {why}"));
        }
        (self.following, self.blind) = (true, false);
        self.outbox.state("");
    }

    fn access(&self) -> Result<AmiAccess, Trouble> {
        let switched_off = || {
            Trouble::new("[ami] is not in use", "write [ami] into the configuration, and reload")
        };
        match load_ami(self.config.as_deref()) {
            Ok(access) => access.filter(|access| access.enabled).ok_or_else(switched_off),
            Err(error) => {
                let error = error.to_string();
                let first = error.lines().next().unwrap_or_default();
                Err(Trouble::new(first, "asterguard check"))
            }
        }
    }
}

/// What is wrong when not even the event of our own login comes.
fn blind(access: &AmiAccess) -> Trouble {
    Trouble::new(
        "Asterisk has accepted the login, and tells no security events",
        format!(
            "write read = security into [{}] of manager.conf; then asterisk -rx 'manager reload'",
            access.user
        ),
    )
}

fn trouble(error: &SessionError, address: &str, access: &AmiAccess) -> Trouble {
    let todo = match error {
        SessionError::Refused(_) => format!(
            "have manager.conf hold what `asterguard ami-user` prints for the user {}, with the secret in {}; then \
             asterisk -rx 'manager reload'",
            access.user,
            access.secretfile.display()
        ),
        SessionError::NotAmi(_) => {
            "write host and port of the manager interface below [ami]".to_owned()
        }
        SessionError::Mute(_) | SessionError::Silent => {
            "see that Asterisk is well, and not out of AMI sessions (authlimit in manager.conf)"
                .to_owned()
        }
    };
    Trouble::new(format!("{address}: {error}"), todo)
}

/// Events that were not used, since the last report. Doubtful ones alone are no news: with `chan_sip`, each event makes the
/// next one doubtful.
#[derive(Debug, Default)]
struct Unused {
    tampered: u64,
    doubtful: u64,
    reported: Option<Time>,
}

impl Unused {
    fn add(&mut self, out: &mut Output) {
        self.tampered += std::mem::take(&mut out.tampered);
        self.doubtful += std::mem::take(&mut out.doubtful);
    }

    fn report(&mut self, now: Time) -> Option<String> {
        let is_time = self.reported.is_none_or(|then| now.since(then) >= BETWEEN_REPORTS);
        if !is_time || self.tampered == 0 {
            return None;
        }
        self.reported = Some(now);
        let tampered = std::mem::take(&mut self.tampered);
        let doubtful = std::mem::take(&mut self.doubtful);
        Some(format!(
            "{tampered} events were not used, because their headers are not those that Asterisk writes (somebody sends \
             names with line breaks), and {doubtful} because they came right after such text"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_events_are_reported_once_a_minute() {
        let mut unused = Unused::default();
        let at = Time::from_secs;
        assert_eq!(unused.report(at(0)), None);
        unused.add(&mut Output { tampered: 2, doubtful: 1, ..Output::default() });
        assert!(unused.report(at(0)).unwrap().starts_with("2 events were not used"));
        unused.add(&mut Output { tampered: 5, ..Output::default() });
        assert_eq!(unused.report(at(59)), None);
        assert!(unused.report(at(60)).unwrap().starts_with("5 events were not used"));
        unused.add(&mut Output { doubtful: 5, ..Output::default() });
        assert_eq!(unused.report(at(600)), None);
    }
}
