//! Checks at times which hosts the kernel's own limiter has found. (Nobody is told of what packets
//! put into a set.)

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::info;

use crate::config::Limiter as Mode;
use crate::control::status::LimiterStatus;
use crate::enforce::helper::{Channel, Request};
use crate::sys::mutex::lock;

/// The time between two looks: hosts stay in the sets for ten minutes.
const PAUSE: Duration = Duration::from_secs(5);
/// Hosts of one look that are named in the log.
const NAMED: usize = 8;

/// Handle to the thread.
pub struct Limiter {
    shared: Arc<Mutex<Shared>>,
}

/// The data that both sides know.
#[derive(Default)]
struct Shared {
    mode: Mode,
    /// Hosts in the sets, and those that have been since the start.
    hosts: usize,
    total: u64,
    full: bool,
}

impl Limiter {
    /// Starts the thread, which looks by this connection.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(mode: Mode, mut line: Channel) -> std::io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared { mode, ..Shared::default() }));
        let looker = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("limiter".into())
            .spawn(move || look_on(&looker, &mut line))?;
        Ok(Self { shared })
    }

    /// Goes by another mode.
    pub fn change(&self, mode: Mode) {
        lock(&self.shared).mode = mode;
    }

    /// Returns its state.
    pub fn status(&self) -> LimiterStatus {
        let Shared { mode, hosts, total, full } = *lock(&self.shared);
        LimiterStatus { mode, hosts, total, full }
    }
}

/// Looks until the process ends.
fn look_on(shared: &Mutex<Shared>, line: &mut Channel) {
    let mut known = HashSet::new();
    loop {
        let mode = lock(shared).mode;
        if mode == Mode::Off {
            known.clear();
        } else {
            // Where the sets cannot be read, there is nobody in them: status says what is wrong.
            let found: Result<(Vec<IpAddr>, bool), _> = line.call(&Request::Limited);
            let (hosts, full) = found.unwrap_or_default();
            take_note(&mut lock(shared), &known, &hosts, full, mode);
            known = hosts.into_iter().collect();
        }
        std::thread::sleep(PAUSE);
    }
}

/// Logs the hosts that are new in it.
fn take_note(
    shared: &mut Shared,
    known: &HashSet<IpAddr>,
    hosts: &[IpAddr],
    full: bool,
    mode: Mode,
) {
    let new: Vec<_> = hosts.iter().filter(|host| !known.contains(host)).collect();
    if !new.is_empty() {
        let named: Vec<_> = new.iter().take(NAMED).map(ToString::to_string).collect();
        let others = if new.len() > NAMED { " and others" } else { "" };
        let done = if mode == Mode::Ban { "dropped for ten minutes" } else { "not dropped" };
        info!(
            "the kernel's limiter found {} hosts over its rates ({done}): {}{others}",
            new.len(),
            named.join(", ")
        );
    }
    shared.hosts = hosts.len();
    shared.total += new.len() as u64;
    shared.full = full;
}
