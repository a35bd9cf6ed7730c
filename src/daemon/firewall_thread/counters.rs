//! Reads what the kernel has dropped: on request, and now and then where bans are renewed. Never for
//! the engine, which would have to wait.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::decide::ban_activity::{BanActivity, CounterReading, ElementKey};
use crate::decide::plan::Plan;
use crate::enforce::helper::{Channel, Request};
use crate::model::time::{BanDuration, Time};
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::table::list_sets::{FED, ListSet};
use crate::table::structure::Structure;

/// The longest pause between two looks at the counters for renewals.
const LONGEST: Duration = Duration::from_secs(60);

/// The shortest.
const SHORTEST: Duration = Duration::from_secs(1);

/// Handle to the counters.
pub struct Counters {
    /// The activity that was last seen in the counters of the banned.
    activity: Mutex<BanActivity>,
    /// The channel to the process that may read them; `None` where there is no kernel to read from.
    line: Option<Mutex<Channel>>,
}

impl Counters {
    /// Returns counters that are read by this connection, if there are any.
    pub fn new(line: Option<Channel>) -> Self {
        Self { activity: Mutex::default(), line: line.map(Mutex::new) }
    }

    /// Returns what the kernel has dropped of all banned hosts; nothing if that cannot be known.
    pub fn banned(&self, structure: &Structure) -> HashMap<ElementKey, CounterReading> {
        self.look(structure, |activity| activity.seen().clone())
    }

    /// Returns the elements whose counters have been seen to move since then.
    pub fn still_sending(&self, structure: &Structure, since: Time) -> Vec<ElementKey> {
        self.look(structure, |activity| activity.since(since))
    }

    /// Returns the packets and bytes that feeds have dropped since the table was made; `None` if
    /// that cannot be known.
    pub fn fed(&self) -> Option<(u64, u64)> {
        self.read(&Request::Named(Cow::Borrowed(FED))).flatten()
    }

    /// Returns the packets and bytes that this counter of the geofence has counted; `None` if that cannot be known.
    pub fn fenced(&self, counter: &str) -> Option<(u64, u64)> {
        self.read(&Request::Named(Cow::Borrowed(counter))).flatten()
    }

    /// Returns the hosts that the geofence has stopped lately, with their packets.
    pub fn abroad(&self) -> Vec<(IpAddr, u64)> {
        self.read(&Request::Abroad).unwrap_or_default()
    }

    /// Returns what was dropped of each blocked network, and the networks that somebody put there by
    /// hand.
    pub fn blocked(&self, sets: &[ListSet]) -> (HashMap<IpNet, (u64, u64)>, Vec<IpNet>) {
        self.read(&Request::Blocked(Cow::Borrowed(sets))).unwrap_or_default()
    }

    fn look<T: Default>(&self, structure: &Structure, tell: impl FnOnce(&BanActivity) -> T) -> T {
        // One look at a time: each is compared with the one before.
        let mut activity = lock(&self.activity);
        let counters = self.read(&Request::Banned(Cow::Borrowed(structure)));
        counters.map_or_else(T::default, |counters| {
            activity.update(counters, now());
            tell(&activity)
        })
    }

    /// Reads by a connection of its own: that takes as long as it takes.
    fn read<T: DeserializeOwned>(&self, request: &Request<'_>) -> Option<T> {
        let mut line = lock(self.line.as_ref()?);
        let read = line.call(request);
        read.map_err(|error| warn!("counters cannot be read: {error}")).ok()
    }
}

/// Returns the time between two looks at who is still sending: four looks in the shortest ban that
/// may be renewed. `None`: never, since none may.
pub fn pace(plan: &Plan) -> Option<Duration> {
    let renewed = plan.jails().filter(|(_, jail)| jail.renew);
    let shortest = renewed.map(|(_, jail)| match jail.bantime.first {
        BanDuration::For(length) => length / 4,
        BanDuration::Permanent => LONGEST,
    });
    shortest.min().map(|pace| pace.clamp(SHORTEST, LONGEST))
}
