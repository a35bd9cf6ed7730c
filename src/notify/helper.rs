//! The process that tells: it takes events from the guard, and keeps them until they are told.
//!
//! Under systemd, `asterguard-notify.socket` starts it, and hands it the listening socket on standard input. It is one
//! process for all connections (`Accept=no`), because it goes on without the guard: what is queued is told, and what the
//! guard says at its end too. It ends when the configuration has changed, and is started again at the next connection.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::batch::Batch;
use super::desk::{self, Desk};
use super::protocol::{LONGEST_LINE, LONGEST_WORDS, Letter, Outcome, Report, ToNotifier};
use super::queue::Failure;
use super::send::{machine, send, send_letter};
use super::words::plain;
use crate::config::Notifier;
use crate::config::load::{LoadError, load_notify};
use crate::config::notify::{Place, Topic, Way};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::sys::clock::now;
use crate::sys::json_line::{line, read};
use crate::sys::local_server::accept;
use crate::sys::mutex::lock;

/// The socket at which it takes events.
pub const SOCKET: &str = "/run/asterguard-notify.sock";
/// The directory where queues are kept.
pub const STATE_DIR: &str = "/var/lib/asterguard-notify";
/// Connections at the same time. The guard has one, and for a moment two after a restart.
const MOST_CONNECTIONS: usize = 4;
/// The shortest time between two reports.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);
/// The time after which a guard that does not read is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time after which the process ends if there is no notifier.
const IDLE: Duration = Duration::from_secs(60);
/// The time between two looks at a configuration that could not be used at the start.
const LOOK: Duration = Duration::from_secs(2);
/// The time that messages on their way have before the process ends for another configuration.
const GRACE: Duration = Duration::from_secs(1);

/// The files that this process reads, as its configuration names them now, and whether it runs programs.
#[must_use]
pub fn files(config: Option<&Path>) -> (Vec<PathBuf>, bool) {
    let system = ["/etc", "/usr/share", "/usr/lib", "/lib", "/lib64", "/run", "/dev/urandom"];
    let mut files: Vec<PathBuf> = system.map(PathBuf::from).to_vec();
    files.extend(config.and_then(Path::parent).map(Path::to_owned));
    let notifiers = load_notify(config).unwrap_or_default();
    for notifier in &notifiers {
        let named = match &notifier.way {
            Way::Mail(mail) => {
                [mail.login.as_ref().map(|(_, file)| file), mail.cafile.as_ref(), None]
            }
            Way::Webhook(hook) => {
                let url = match &hook.url {
                    Place::File(file) => Some(file),
                    Place::Written(_) => None,
                };
                [url, hook.tokenfile.as_ref(), hook.cafile.as_ref()]
            }
            Way::Command(_) => [None; 3],
        };
        files.extend(
            named.into_iter().flatten().filter_map(|file| file.parent()).map(Path::to_owned),
        );
    }
    let runs = |notifier: &Notifier| match &notifier.way {
        Way::Command(_) => true,
        Way::Mail(mail) => mail.whois,
        Way::Webhook(_) => false,
    };
    (files, notifiers.iter().any(runs))
}

/// Serves the guard at this listening socket until the configuration is another one. `config` is the main configuration
/// file, `state` the directory of the queues.
///
/// # Errors
/// When the socket does not listen, or there can be no threads.
pub fn serve(listener: UnixListener, config: Option<PathBuf>, state: &Path) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    let news = Arc::new(News::default());
    let (notifiers, trouble) = match load_notify(config.as_deref()) {
        Ok(notifiers) => (notifiers, None),
        Err(error) => (Vec::new(), Some(first_line(&error))),
    };
    if trouble.is_none() {
        forget_others(state, &notifiers);
    }
    let machine = machine();
    let mut desks = Vec::new();
    for notifier in &notifiers {
        let tell = Arc::clone(&news);
        let (desk, wrong) = Desk::open(notifier.clone(), state, Arc::new(move || tell.changed()));
        if let Some(wrong) = wrong {
            eprintln!("<4>{wrong}");
        }
        desk.start(&machine)?;
        desks.push(desk);
    }
    let (leave, left) = channel();
    let (is_idle, is_lost) = (desks.is_empty() && trouble.is_none(), trouble.is_some());
    let office = Arc::new(Office {
        config,
        notifiers,
        desks,
        news,
        trouble: Mutex::new(trouble),
        leave,
        leaving: AtomicBool::new(false),
        is_lost,
    });
    thread::Builder::new().name("accept".to_owned()).spawn(move || {
        let guards = Arc::clone(&office);
        let ended = accept(&listener, MOST_CONNECTIONS, move |stream| guards.connected(stream));
        let _ = office.leave.send(Err(ended));
    })?;
    // A socket that does not listen is an error; a changed configuration is none.
    let ended = if is_idle { left.recv_timeout(IDLE).ok() } else { left.recv().ok() };
    let ended = ended.unwrap_or(Ok(()));
    if ended.is_ok() {
        thread::sleep(GRACE);
    }
    ended
}

/// Sends a test message by this notifier, or by all at the same time, and returns what became of it.
#[must_use]
pub fn test(notifiers: &[Notifier], name: Option<&str>) -> Vec<Outcome> {
    let machine = machine();
    let asked = notifiers.iter().filter(|notifier| name.is_none_or(|name| notifier.name == name));
    each(asked, |notifier| {
        let text = format!("this is a test of [notify.{}]: nothing was banned", notifier.name);
        let batch = Batch::of(GuardEvent::new(now(), EventKind::Order, text));
        send(notifier, &batch, &machine)
    })
}

/// Sends a letter by all notifiers that send reports at the same time, and returns what became of it.
#[must_use]
pub fn deliver(notifiers: &[Notifier], letter: &Letter) -> Vec<Outcome> {
    let machine = machine();
    let asked = notifiers.iter().filter(|notifier| notifier.on.contains(&Topic::Report));
    each(asked, |notifier| send_letter(notifier, letter, &machine))
}

/// Sends something by all of these at the same time.
fn each<'a>(
    notifiers: impl Iterator<Item = &'a Notifier>,
    send: impl Fn(&Notifier) -> Result<String, Failure> + Sync,
) -> Vec<Outcome> {
    let one = |notifier: &Notifier| {
        let (sent, said, todo) = match send(notifier) {
            Ok(said) => (true, said, None),
            Err(failure) => (false, failure.trouble.seen, Some(failure.trouble.todo)),
        };
        Outcome {
            name: notifier.name.clone(),
            kind: notifier.kind().to_owned(),
            sent,
            said: plain(&said, LONGEST_WORDS),
            todo: todo.map(|todo| plain(&todo, LONGEST_WORDS)),
        }
    };
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> =
            notifiers.map(|notifier| scope.spawn(move || one(notifier))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// Returns what is wrong with the configuration, and where, without what follows.
fn first_line(error: &LoadError) -> String {
    plain(error.to_string().lines().next().unwrap_or_default(), LONGEST_WORDS)
}

/// Removes the queues of notifiers that are not there any more.
fn forget_others(state: &Path, notifiers: &[Notifier]) {
    let known: Vec<_> =
        notifiers.iter().map(|notifier| desk::file(state, &notifier.name)).collect();
    for entry in fs::read_dir(state).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_queue = path.extension().is_some_and(|extension| extension == "queue");
        if is_queue && !known.contains(&path) {
            // One that stays is in nobody's way.
            let _ = fs::remove_file(path);
        }
    }
}

/// A number that grows with each change, and those who wait for one.
#[derive(Default)]
struct News {
    number: Mutex<u64>,
    grown: Condvar,
}

impl News {
    fn changed(&self) {
        *lock(&self.number) += 1;
        self.grown.notify_all();
    }

    /// Waits until the number is another one, and returns it.
    fn after(&self, seen: u64) -> u64 {
        let is_old = |number: &mut u64| *number == seen;
        *self.grown.wait_while(lock(&self.number), is_old).unwrap_or_else(PoisonError::into_inner)
    }
}

/// All notifiers, and what concerns all of them.
struct Office {
    config: Option<PathBuf>,
    notifiers: Vec<Notifier>,
    desks: Vec<Arc<Desk>>,
    news: Arc<News>,
    /// What is wrong with the configuration on disk, or with the directory of the queues.
    trouble: Mutex<Option<String>>,
    leave: Sender<io::Result<()>>,
    /// Whether the process is about to end. Then nothing is taken any more: it is for the next one.
    leaving: AtomicBool,
    /// Whether the configuration was wrong at the start, so that it is not known whom to tell.
    is_lost: bool,
}

/// A connection of the guard.
#[derive(Default)]
struct Line {
    /// The lines that were read.
    read: AtomicU64,
    closed: AtomicBool,
    /// What became of a test.
    tested: Mutex<Option<Vec<Outcome>>>,
}

impl Office {
    /// Takes lines until the connection ends, and reports.
    fn connected(&self, stream: &UnixStream) -> io::Result<()> {
        if self.leaving.load(Ordering::Relaxed) {
            // Held until the end: who comes again then gets the next process.
            thread::sleep(2 * GRACE);
            return Ok(());
        }
        stream.set_write_timeout(Some(PATIENCE))?;
        if self.is_lost {
            return self.wait(stream);
        }
        let at = Line::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.report(stream, &at);
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
            let read = self.read(stream, &at);
            at.closed.store(true, Ordering::Release);
            self.news.changed();
            read
        })
    }

    /// Takes nothing, so that the guard keeps it, until the configuration can be used.
    fn wait(&self, mut stream: &UnixStream) -> io::Result<()> {
        while self.leaving.load(Ordering::Relaxed) || !self.reload() {
            let trouble = lock(&self.trouble).clone();
            stream.write_all(&line(&Report { trouble, ..Report::default() }))?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Reads lines. They are put on the disk by [`Office::report`]: those that come within a moment together.
    fn read(&self, stream: &UnixStream, at: &Line) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        let mut text = Vec::new();
        loop {
            text.clear();
            (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(());
            }
            // What makes no sense is no reason to lose what follows, but what has no end is.
            if !text.ends_with(b"\n") {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut leaves = false;
            match read::<ToNotifier>(&text) {
                Some(ToNotifier::Event(event)) => self.add(&event),
                Some(ToNotifier::Reload) => leaves = self.reload(),
                Some(ToNotifier::Test(name)) => {
                    *lock(&at.tested) = Some(test(&self.notifiers, name.as_deref()));
                }
                Some(ToNotifier::Letter(letter)) => {
                    *lock(&at.tested) = Some(deliver(&self.notifiers, &letter));
                }
                None => {}
            }
            at.read.fetch_add(1, Ordering::Release);
            self.news.changed();
            // What follows is for the next process.
            if leaves {
                return Ok(());
            }
        }
    }

    fn add(&self, event: &GuardEvent) {
        for desk in &self.desks {
            desk.add(event);
        }
    }

    fn save(&self) {
        for desk in &self.desks {
            if let Err(error) = desk.save() {
                eprintln!("<4>the queue cannot be written: {error}");
                let words =
                    format!("the queue cannot be written, so a restart would lose it: {error}");
                *lock(&self.trouble) = Some(plain(&words, LONGEST_WORDS));
            }
        }
    }

    /// Ends the process if the configuration is another one: only a new one may read other files.
    fn reload(&self) -> bool {
        let mut trouble = lock(&self.trouble);
        let leaves = match load_notify(self.config.as_deref()) {
            Ok(notifiers) if notifiers == self.notifiers && !self.is_lost => {
                *trouble = None;
                false
            }
            Ok(_) => {
                self.leaving.store(true, Ordering::Relaxed);
                // Nobody waits for it only when the process ends anyway.
                let _ = self.leave.send(Ok(()));
                true
            }
            Err(error) => {
                *trouble = Some(first_line(&error));
                false
            }
        };
        drop(trouble);
        self.news.changed();
        leaves
    }

    /// Puts what was read on the disk, and says so, until the connection ends.
    fn report(&self, mut stream: &UnixStream, at: &Line) -> io::Result<()> {
        let mut seen = 0;
        loop {
            let is_last = at.closed.load(Ordering::Acquire);
            let taken = at.read.load(Ordering::Acquire);
            self.save();
            let report = Report {
                taken,
                notifiers: self.desks.iter().map(|desk| desk.status()).collect(),
                trouble: lock(&self.trouble).clone(),
                tested: lock(&at.tested).take(),
            };
            stream.write_all(&line(&report))?;
            if is_last {
                return Ok(());
            }
            seen = self.news.after(seen);
            thread::sleep(BETWEEN_REPORTS);
        }
    }
}
