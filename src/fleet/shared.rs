//! What the threads of the fleet's process have in common.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::admission::{Admission, Moment};
use super::outbox::Outbox;
use super::own_bans::OwnBans;
use super::protocol::{FleetStatus, FromFleet};
use super::record::Order;
use crate::config::Fleet;
use crate::model::trouble::Trouble;
use crate::sys::clock::{monotonic_now, now};
use crate::sys::mutex::lock;

/// Orders of the operator that wait for the server.
const MOST_ORDERS: usize = 100;

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
    up: AtomicBool,
    trouble: Mutex<Option<String>>,
}

impl Link {
    /// Notes that all is well.
    pub fn is_up(&self) {
        self.up.store(true, Ordering::Relaxed);
        *lock(&self.trouble) = None;
    }

    /// Notes what is wrong. The first trouble in a row is logged.
    pub fn is_down(&self, trouble: &Trouble) {
        self.up.store(false, Ordering::Relaxed);
        let before = lock(&self.trouble).replace(trouble.to_string());
        if before.is_none() {
            eprintln!("<4>{trouble}");
        }
    }
}

/// What all threads have.
pub struct Shared {
    /// The configuration of the fleet.
    pub fleet: Fleet,
    /// What is known of the peers.
    pub admission: Mutex<Admission>,
    /// The bans of this guard's own.
    pub own: Mutex<OwnBans>,
    /// Orders of the operator that are to be published.
    pub orders: Mutex<Vec<Order>>,
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
    guards: Mutex<Vec<Arc<Outbox>>>,
    /// By how much the server's clock is ahead of [`monotonic_now`], in milliseconds.
    ahead: AtomicI64,
    /// What it was called when the state last changed between connected and not, and since when.
    since: Mutex<(bool, i64)>,
}

impl Shared {
    /// Returns what there is at the start.
    #[must_use]
    pub fn new(fleet: Fleet, admission: Admission) -> Self {
        let wall = now();
        Self {
            fleet,
            admission: Mutex::new(admission),
            own: Mutex::default(),
            orders: Mutex::default(),
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

    /// Gives an order of the operator: it is obeyed here, and published.
    pub fn order(&self, order: Order) {
        let mut told = Vec::new();
        let now = self.moment();
        if lock(&self.admission).unban(&self.fleet.node, &order, now, &mut told).is_err() {
            return;
        }
        let mut orders = lock(&self.orders);
        if orders.len() < MOST_ORDERS {
            orders.push(order);
        }
        drop(orders);
        self.tell(&told, false);
        self.to_publish.ring();
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
        let up = |link: &Link| link.up.load(Ordering::Relaxed);
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
