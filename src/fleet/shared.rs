//! What the threads of the fleet's process have in common.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::admission::{Admission, Moment};
use super::orders::{CLOCKS, Kept};
use super::outbox::Outbox;
use super::own_bans::OwnBans;
use super::protocol::{FleetStatus, FromFleet, OrderState};
use super::record::Order;
use super::state_file;
use crate::config::Fleet;
use crate::model::trouble::Trouble;
use crate::sys::clock::{monotonic_now, now};
use crate::sys::mutex::lock;

/// Something that is waited for.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Rings.
    pub fn ring(&self) {
        *lock(&self.rung) = true;
        self.changed.notify_all();
    }

    /// Waits until it has rung since the last time, or for so long.
    pub fn wait(&self, longest: Duration) {
        let is_silent = |rung: &mut bool| !*rung;
        let waited = self.changed.wait_timeout_while(lock(&self.rung), longest, is_silent);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

/// The part of a thread in the connection with the server.
#[derive(Debug, Default)]
pub struct Link {
    /// The last [epoch](Shared::epoch) in which it was seen to work; 0: it does not.
    up: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// What all threads have.
pub struct Shared {
    /// The configuration of the fleet.
    pub fleet: Fleet,
    /// What is known of the peers.
    pub admission: Mutex<Admission>,
    /// The bans of this guard's own.
    pub own: Mutex<OwnBans>,
    /// Rings when there is something to publish.
    pub to_publish: Bell,
    /// Rings when there is something to read.
    pub to_read: Bell,
    /// The connection that publishes.
    pub publisher: Link,
    /// The connection that listens.
    pub listener: Link,
    /// The connection that reads.
    pub reader: Link,
    /// Rings when a connection is made or lost.
    pub changed: Bell,
    /// Counts connections that were lost. Whenever one is, the server may be another one, so each of the others has to
    /// show again that it works.
    epoch: AtomicU64,
    state: PathBuf,
    orders_kept: Mutex<Vec<Kept>>,
    guards: Mutex<Vec<Arc<Outbox>>>,
    /// By how much the server's clock is ahead of [`monotonic_now`], in milliseconds.
    ahead: AtomicI64,
    /// What it was called when the state last changed between connected and not, and since when.
    since: Mutex<(bool, i64)>,
}

impl Shared {
    /// Returns what there is at the start.
    #[must_use]
    pub fn new(fleet: Fleet, admission: Admission, state: PathBuf) -> Self {
        let wall = now();
        Self {
            fleet,
            changed: Bell::default(),
            epoch: AtomicU64::new(1),
            state,
            orders_kept: Mutex::default(),
            admission: Mutex::new(admission),
            own: Mutex::default(),
            to_publish: Bell::default(),
            to_read: Bell::default(),
            publisher: Link::default(),
            listener: Link::default(),
            reader: Link::default(),
            guards: Mutex::default(),
            ahead: AtomicI64::new(wall.millis().saturating_sub(monotonic_now().millis())),
            since: Mutex::new((false, wall.secs())),
        }
    }

    /// Returns the number of the present time without a loss. Who sees it change shows that its connection works.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Notes that the connection of a thread works, as it was seen in this epoch.
    pub fn is_up(&self, link: &Link, epoch: u64) {
        *lock(&link.trouble) = None;
        if link.up.swap(epoch, Ordering::SeqCst) != epoch {
            self.changed.ring();
        }
    }

    /// Notes that the connection of a thread is lost, or what else is wrong. The first trouble in a row is logged.
    pub fn is_down(&self, link: &Link, trouble: &Trouble) {
        link.up.store(0, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst);
        let before = lock(&link.trouble).replace(trouble.to_string());
        if before.is_none() {
            eprintln!("<4>{trouble}");
        }
        self.to_publish.ring();
        self.changed.ring();
    }

    /// Returns what time it is.
    #[must_use]
    pub fn moment(&self) -> Moment {
        let steady = monotonic_now();
        Moment {
            server: steady.millis().saturating_add(self.ahead.load(Ordering::Relaxed)),
            wall: now().millis(),
            steady,
        }
    }

    /// Takes up the server's clock, in milliseconds since the epoch.
    pub fn set_clock(&self, server: i64) {
        let ahead = server.saturating_sub(monotonic_now().millis());
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Tells all guards. With `patiently`, it waits for those that have much to read.
    pub fn tell(&self, lines: &[FromFleet], patiently: bool) {
        if lines.is_empty() {
            return;
        }
        let guards = lock(&self.guards).clone();
        for guard in guards {
            if patiently {
                guard.wait_for_room();
            }
            for line in lines {
                guard.add(line);
            }
        }
    }

    /// Takes up a guard: it is told what happens from now on.
    pub fn add_guard(&self, guard: &Arc<Outbox>) {
        lock(&self.guards).push(Arc::clone(guard));
    }

    /// Forgets a guard.
    pub fn remove_guard(&self, guard: &Arc<Outbox>) {
        lock(&self.guards).retain(|other| !Arc::ptr_eq(other, guard));
    }

    /// Takes an order of the operator: it is kept, obeyed here, and published. Returns what has become of it so far.
    pub fn order(&self, order: &Order) -> OrderState {
        let (mut told, now) = (Vec::new(), self.moment());
        let (taken, state) = {
            let mut admission = lock(&self.admission);
            let taken = admission.unban(&self.fleet.node, order, CLOCKS, now, &mut told);
            (taken, admission.orders.state(order))
        };
        if let Err(refusal) = taken {
            return OrderState {
                refused: Some(refusal.reason().to_owned()),
                ..OrderState::default()
            };
        }
        if !told.is_empty() {
            self.keep_orders();
            self.tell(&told, false);
            self.to_publish.ring();
        }
        state
    }

    /// Stores the operator's orders, if they are others than before.
    pub fn keep_orders(&self) {
        let mut kept = lock(&self.orders_kept);
        let now = self.moment();
        let orders = {
            let mut admission = lock(&self.admission);
            admission.orders.end(now);
            admission.orders.all().to_vec()
        };
        if orders == *kept {
            return;
        }
        match state_file::keep_orders(&self.state, &orders) {
            Ok(()) => *kept = orders,
            Err(error) => eprintln!("<4>{}: {error}", self.state.display()),
        }
    }

    /// Returns the state for people.
    #[must_use]
    pub fn status(&self) -> FleetStatus {
        let now = self.moment();
        let (peers, refused, is_read) = {
            let mut admission = lock(&self.admission);
            let is_read = admission.missing().is_empty();
            (admission.status(now.server), admission.refused(), is_read)
        };
        let links = [&self.publisher, &self.listener, &self.reader];
        let trouble = links.iter().find_map(|link| lock(&link.trouble).clone());
        let epoch = self.epoch();
        let up = |link: &Link| link.up.load(Ordering::SeqCst) == epoch;
        let connected = up(&self.publisher) && up(&self.listener) && is_read && trouble.is_none();
        let mut since = lock(&self.since);
        if since.0 != connected {
            *since = (connected, now.wall / 1000);
        }
        let (bans, waiting, dropped) = lock(&self.own).counts();
        FleetStatus {
            node: Some(self.fleet.node.clone()),
            server: self.fleet.server.to_string(),
            connected,
            since: since.1,
            trouble,
            published: bans.saturating_sub(waiting) as u64,
            waiting: waiting as u64,
            dropped,
            peers,
            refused,
        }
    }
}
