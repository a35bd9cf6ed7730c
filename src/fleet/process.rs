//! The process that reaches the fleet's server: it holds this node's key, and gives the guard what peers may say.
//!
//! Under systemd, `asterguard-fleet.socket` starts it, and hands it the listening socket on standard input. It is one
//! process for all connections (`Accept=no`). It ends when the configuration has changed, and is started again at the next
//! connection.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use super::admission::Admission;
use super::keys::PrivateKey;
use super::outbox::{Next, Outbox};
use super::protocol::{FleetStatus, FromFleet, ToFleet};
use super::publisher::Publisher;
use super::shared::Shared;
use super::{catch_up, listener, state_file};
use crate::config::Fleet;
use crate::config::load::load_fleet;
use crate::sys::clock::now;
use crate::sys::json_line::line;
use crate::sys::local_server::accept;
use crate::sys::mutex::lock;

/// The socket at which it serves the guard.
pub const SOCKET: &str = "/run/asterguard-fleet.sock";
/// The directory of its state.
pub const STATE_DIR: &str = "/var/lib/asterguard-fleet";
/// Connections at the same time: the guard has one, and for a moment two after a restart; commands have others.
const MOST_CONNECTIONS: usize = 4;
/// Bytes of a line of the guard.
const LONGEST: u64 = 64 << 10;
/// The time after which a guard that does not read is let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two looks at the state, and at a configuration that could not be used.
const LOOK: Duration = Duration::from_secs(1);
/// The time after which the process ends if there is no fleet.
const IDLE: Duration = Duration::from_secs(60);

/// The files that this process reads, as its configuration names them now.
#[must_use]
pub fn files(config: Option<&Path>) -> Vec<PathBuf> {
    let system = ["/etc", "/usr/share", "/usr/lib", "/lib", "/lib64", "/run", "/dev/urandom"];
    let mut files: Vec<PathBuf> = system.map(PathBuf::from).to_vec();
    files.extend(config.and_then(Path::parent).map(Path::to_owned));
    if let Ok(Some(fleet)) = load_fleet(config) {
        let (certificate, key) = fleet.tls_client.clone().unzip();
        let named = [Some(fleet.key), fleet.password, fleet.tls_ca, certificate, key];
        let parents = named.iter().flatten().filter_map(|file| file.parent());
        files.extend(parents.map(Path::to_owned));
    }
    files
}

/// Serves the guard at this listening socket until the configuration is another one.
///
/// # Errors
/// When the socket does not listen, or there can be no threads.
pub fn serve(listener: UnixListener, config: Option<PathBuf>, state: &Path) -> io::Result<()> {
    listener.set_nonblocking(false)?;
    let (leave, left) = channel();
    let loaded = load_fleet(config.as_deref()).map_err(|error| first_line(&error));
    let is_idle = matches!(loaded, Ok(None));
    let shared = begin(&loaded, state).inspect_err(|trouble| eprintln!("<4>{trouble}"));
    let office = Arc::new(Office { shared, config, loaded, leave });
    let watching = Arc::clone(&office);
    let directory = state.to_owned();
    spawn("status", move || watching.watch(&directory))?;
    spawn("accept", move || {
        let guards = Arc::clone(&office);
        let ended = accept(&listener, MOST_CONNECTIONS, move |stream| guards.connected(stream));
        let _ = office.leave.send(Err(ended));
    })?;
    let ended = if is_idle { left.recv_timeout(IDLE).ok() } else { left.recv().ok() };
    ended.unwrap_or(Ok(()))
}

/// Starts what connects to the server.
fn begin(loaded: &Result<Option<Fleet>, String>, state: &Path) -> Result<Arc<Shared>, String> {
    let fleet = loaded.clone()?.ok_or("no fleet is configured: see docs/fleet.md")?;
    let key = PrivateKey::read_file(&fleet.key).map_err(|trouble| trouble.to_string())?;
    let epoch = state_file::next_epoch(state, now().secs());
    state_file::keep_epoch(state, epoch)
        .map_err(|error| format!("cannot write into {}: {error}", state.display()))?;
    let admission = Admission::new(&fleet, &state_file::read(state));
    let shared = Arc::new(Shared::new(fleet, admission, state.to_owned()));
    lock(&shared.admission).restore(state_file::read_orders(state), shared.moment());
    let publisher = Publisher::new(Arc::clone(&shared), key, state.to_owned(), epoch);
    let (listening, reading) = (Arc::clone(&shared), Arc::clone(&shared));
    let started = spawn("publish", move || publisher.run())
        .and_then(|()| spawn("listen", move || listener::run(&listening)))
        .and_then(|()| spawn("read", move || catch_up::run(&reading)));
    started.map_err(|error| error.to_string())?;
    Ok(shared)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(|_| ())
}

/// Returns what is wrong with the configuration, and where, without what follows.
fn first_line(error: &impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// What concerns all connections.
struct Office {
    /// What connects to the server, or why nothing does.
    shared: Result<Arc<Shared>, String>,
    config: Option<PathBuf>,
    loaded: Result<Option<Fleet>, String>,
    leave: Sender<io::Result<()>>,
}

impl Office {
    fn connected(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        match &self.shared {
            Ok(shared) => {
                let outbox = Arc::new(Outbox::default());
                thread::scope(|scope| {
                    scope.spawn(|| {
                        let _ = write(shared, stream, &outbox);
                        let _ = stream.shutdown(std::net::Shutdown::Both);
                    });
                    let read = self.read(stream, shared, &outbox);
                    shared.remove_guard(&outbox);
                    outbox.close();
                    read
                })
            }
            Err(trouble) => self.wait(stream, trouble),
        }
    }

    /// Says what is wrong until the configuration can be used.
    fn wait(&self, mut stream: &UnixStream, trouble: &str) -> io::Result<()> {
        let status = FleetStatus { trouble: Some(trouble.to_owned()), ..FleetStatus::default() };
        let status = line(&FromFleet::Status(Box::new(status)));
        loop {
            stream.write_all(&status)?;
            thread::sleep(2 * LOOK);
            if load_fleet(self.config.as_deref()).is_ok_and(|fleet| fleet.is_some()) {
                // With another configuration, or with the files that were missing.
                let _ = self.leave.send(Ok(()));
            }
        }
    }

    fn read(&self, stream: &UnixStream, shared: &Shared, outbox: &Arc<Outbox>) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 << 10, stream);
        let mut text = Vec::new();
        loop {
            text.clear();
            (&mut reader).take(LONGEST).read_until(b'\n', &mut text)?;
            if text.is_empty() {
                return Ok(());
            }
            if !text.ends_with(b"\n") {
                return Err(io::ErrorKind::InvalidData.into());
            }
            // What makes no sense is no reason to lose what follows.
            let Ok(said) = serde_json::from_slice::<ToFleet>(&text) else { continue };
            match said {
                ToFleet::Begin => {
                    lock(&shared.own).begin();
                    // Commands say no such thing, and hear only what they ask for.
                    if !outbox.is_guard() {
                        // First, so that nothing is lost between what there is and what happens.
                        shared.add_guard(outbox);
                        outbox.begin();
                    }
                }
                ToFleet::Ban(ban) => lock(&shared.own).ban(ban),
                ToFleet::Complete => lock(&shared.own).complete(now()),
                ToFleet::Lift { host, jail } => lock(&shared.own).lift(&host, &jail),
                ToFleet::Unban(order) => outbox.add(&FromFleet::Order(shared.order(&order))),
                ToFleet::Obeyed { host, issued } if outbox.is_guard() => {
                    lock(&shared.admission).orders.obeyed(host, issued);
                }
                ToFleet::Obeyed { .. } => {}
                ToFleet::Reload if self.is_changed() => drop(self.leave.send(Ok(()))),
                ToFleet::Reload => outbox.add(&FromFleet::Unchanged),
            }
            // What follows at once is published together.
            if reader.buffer().is_empty() {
                shared.to_publish.ring();
            }
        }
    }

    /// Whether the configuration is another one. One that cannot be used is none.
    fn is_changed(&self) -> bool {
        let loaded = load_fleet(self.config.as_deref());
        loaded.is_ok_and(|fleet| self.loaded.as_ref() != Ok(&fleet))
    }

    /// Tells the guards of the state when it changes, and keeps orders, and how far peers were read.
    fn watch(&self, state: &Path) {
        let Ok(shared) = &self.shared else { return };
        let (mut told, mut kept) = (FleetStatus::default(), state_file::read(state));
        loop {
            shared.changed.wait(LOOK);
            let status = shared.status();
            if status != told {
                told = status.clone();
                shared.tell(&[FromFleet::Status(Box::new(status))], false);
            }
            let read = lock(&shared.admission).read();
            shared.keep_orders();
            if read != kept {
                match state_file::keep(state, &read) {
                    Ok(()) => kept = read,
                    Err(error) => eprintln!("<4>{}: {error}", state.display()),
                }
            }
        }
    }
}

/// Writes what a guard has to know, or the answers to a command.
fn write(shared: &Shared, mut stream: &UnixStream, outbox: &Outbox) -> io::Result<()> {
    while let Some(next) = outbox.take() {
        match next {
            Next::All => write_all(shared, stream)?,
            Next::Lines(lines) => {
                stream.write_all(&lines.iter().flat_map(line).collect::<Vec<_>>())?;
            }
        }
    }
    Ok(())
}

/// Writes the state, all bans, and what the operator ordered in the last minutes: this guard may have been away.
fn write_all(shared: &Shared, mut stream: &UnixStream) -> io::Result<()> {
    stream.write_all(&line(&FromFleet::Status(Box::new(shared.status()))))?;
    let peers = lock(&shared.admission).trusted();
    for peer in &peers {
        // One by one, so that they are not in memory twice.
        let told = lock(&shared.admission).told(peer, shared.moment().server);
        for some in told.chunks(500) {
            stream.write_all(&some.iter().flat_map(line).collect::<Vec<_>>())?;
        }
    }
    let orders = lock(&shared.admission).orders.lines(shared.moment());
    stream.write_all(&orders.iter().flat_map(line).collect::<Vec<_>>())
}
