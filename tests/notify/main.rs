//! Notifications: the real process that tells, beside real servers for mail and for the web.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

#[path = "../kit/mod.rs"]
mod kit;

mod commands;
mod guard;
mod helper;
mod mails;
mod webhooks;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use asterguard::model::event::Evidence;
use asterguard::model::guard_event::{BanDetails, EventKind, GuardEvent};
use asterguard::model::time::Time;
use asterguard::notify::protocol::{NotifyStatus, Report, ToNotifier};
use asterguard::sys::json_line::{line, read};
use serde_json::Value;

use kit::guard::{Home, PATIENCE, PROGRAM};

/// Whether what these tests run is there. Says so if not.
fn able() -> bool {
    let missing = kit::programs::missing();
    if let Some(why) = &missing {
        kit::programs::skip(why);
    }
    missing.is_none()
}

/// What a stranger may write into a name.
const HOSTILE: &str = "x\"'\\ $(touch /tmp/pwned) `id`; <b>&amp; *bold* _it_ [a](http://evil.example) @everyone <!channel> <@U1>\r\nBcc: eve@example.com\r\n\r\n\u{1b}[2J\u{0}\u{202e}gpj";

/// One of the certificates that the tests of the manager interface have, too.
fn certificate(name: &str) -> String {
    format!("{}/tests/data/ami/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A server that is a script; it prints its port, and then a line for each thing that it gets.
struct Server {
    child: Child,
    port: u16,
    lines: Receiver<String>,
}

impl Server {
    fn start(script: &str, args: &[&str]) -> Self {
        let path = format!("{}/tests/notify/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new(kit::python())
            .arg(path)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        let (told, got) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child, port, lines: got }
    }

    /// The next thing that it gets.
    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    /// Whether it gets nothing more for a while.
    fn is_done(&self) -> bool {
        self.lines.recv_timeout(Duration::from_secs(3)).is_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that tells, and a connection as the guard has it.
struct Helper {
    home: Home,
    child: Child,
    listener: UnixListener,
    stream: UnixStream,
    report: Arc<Mutex<Report>>,
}

/// A home with this configuration and a file with a secret.
fn home(config: &str) -> Home {
    let home = Home::new(config);
    home.write("secret", "s3cret\n");
    fs::set_permissions(home.path("secret"), Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(home.path("queue")).unwrap();
    home
}

fn spawn(home: &Home, listener: &UnixListener) -> Child {
    Command::new(PROGRAM)
        .args(["notifier", "--config"])
        .arg(home.path("asterguard.toml"))
        .arg("--state-dir")
        .arg(home.path("queue"))
        .env("SECRET_OF_THE_ENVIRONMENT", "x")
        .env("PATH", format!("{}:{}", home.path("bin").display(), std::env::var("PATH").unwrap()))
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Helper {
    fn start(config: &str) -> Self {
        Self::start_in(home(config))
    }

    fn start_in(home: Home) -> Self {
        let listener = UnixListener::bind(home.path("notify")).unwrap();
        let child = spawn(&home, &listener);
        let (stream, report) = Self::connect(&home);
        Self { home, child, listener, stream, report }
    }

    fn connect(home: &Home) -> (UnixStream, Arc<Mutex<Report>>) {
        let stream = UnixStream::connect(home.path("notify")).unwrap();
        let report = Arc::new(Mutex::new(Report::default()));
        let (told, reader) = (Arc::clone(&report), BufReader::new(stream.try_clone().unwrap()));
        thread::spawn(move || {
            for text in reader.lines().map_while(Result::ok) {
                *told.lock().unwrap() = read(text.as_bytes()).unwrap();
            }
        });
        (stream, report)
    }

    /// Kills it, and starts another one, as systemd does.
    fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(&self.home, &self.listener);
        (self.stream, self.report) = Self::connect(&self.home);
    }

    fn tell(&mut self, event: &GuardEvent) {
        self.say(&ToNotifier::Event(Box::new(event.clone())));
    }

    fn say(&mut self, what: &ToNotifier) {
        self.stream.write_all(&line(what)).unwrap();
    }

    fn report(&self) -> Report {
        self.report.lock().unwrap().clone()
    }

    /// Waits until so many lines are on the disk.
    fn taken(&self, lines: u64) {
        kit::until("all is on the disk", || self.report().taken == lines);
    }

    /// Waits until the state of a notifier is like this.
    fn until(&self, name: &str, is: impl Fn(&NotifyStatus) -> bool) -> NotifyStatus {
        self.until_in(Duration::from_secs(20), name, is)
    }

    fn until_in(
        &self,
        time: Duration,
        name: &str,
        is: impl Fn(&NotifyStatus) -> bool,
    ) -> NotifyStatus {
        let start = Instant::now();
        loop {
            let report = self.report();
            if let Some(status) = report.notifiers.iter().find(|it| it.name == name && is(it)) {
                return status.clone();
            }
            assert!(start.elapsed() < time, "{report:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A ban of which all is known.
fn ban(host: &str) -> GuardEvent {
    let at = Time::from_secs(1_795_308_766);
    GuardEvent {
        jail: Some("asterisk-guess".to_owned()),
        host: Some(host.to_owned()),
        evidence: Some(Evidence::Proven),
        ban: Some(BanDetails {
            ports: "sip".to_owned(),
            until: Some(Time::from_secs(1_795_308_766 + 3600)),
            attempts: 5,
            rule: Some("asterisk-security/wrong-password".to_owned()),
            accounts: vec!["1000".to_owned(), "1001".to_owned()],
            login: None,
            lines: vec!["SECURITY[1] InvalidPassword <sip:1000@pbx>".to_owned()],
        }),
        ..GuardEvent::new(at, EventKind::Ban, format!("{host} banned"))
    }
}

/// A ban in which everything that a stranger may choose is hostile.
fn hostile() -> GuardEvent {
    let mut event = ban("203.0.113.9");
    HOSTILE.clone_into(&mut event.text);
    event.account = Some(HOSTILE.to_owned());
    event.jail = Some(HOSTILE.to_owned());
    let details = event.ban.as_mut().unwrap();
    details.accounts = vec![HOSTILE.to_owned()];
    details.lines = vec![HOSTILE.to_owned()];
    event
}

/// Many bans, each of another host.
fn many(count: usize) -> impl Iterator<Item = GuardEvent> {
    (0..count).map(|number| ban(&format!("198.51.{}.{}", number / 250, number % 250)))
}
