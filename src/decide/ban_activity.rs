//! The banned hosts that are still sending packets: those whose counters in the kernel still move.

use std::collections::HashMap;

use crate::model::event::ScopeId;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// A banned host in the kernel: the scope that is closed to it, and its element's key.
pub type ElementKey = (ScopeId, Subject);

/// The last reading of a host's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CounterReading {
    /// Packets and bytes that the kernel dropped.
    pub dropped: (u64, u64),
    /// The time when it was last seen to have moved; `None`: not between any two readings.
    pub moved: Option<Time>,
}

/// The counters, as they were last read.
#[derive(Clone, Debug, Default)]
pub struct BanActivity {
    seen: HashMap<ElementKey, CounterReading>,
    /// Whether the counters were read before.
    has_read: bool,
}

impl BanActivity {
    /// Records what the counters say `now`; hosts that have none any more are forgotten.
    pub fn update(&mut self, counters: HashMap<ElementKey, (u64, u64)>, now: Time) {
        let before = std::mem::take(&mut self.seen);
        let has_read = std::mem::replace(&mut self.has_read, true);
        let seen = |(key, dropped): (ElementKey, (u64, u64))| {
            let known = before.get(&key);
            // One that was not there, or has gone back, belongs to an element that is new.
            let differs = known.map_or(has_read, |known| known.dropped != dropped);
            let moves = differs && dropped.0 > 0;
            let last = known.and_then(|known| known.moved);
            (key, CounterReading { dropped, moved: if moves { Some(now) } else { last } })
        };
        self.seen = counters.into_iter().map(seen).collect();
    }

    /// Returns the hosts whose counters were seen to move after `since`.
    #[must_use]
    pub fn since(&self, since: Time) -> Vec<ElementKey> {
        let moved = self.seen.iter().filter(|(_, seen)| seen.moved.is_some_and(|at| at > since));
        moved.map(|(key, _)| *key).collect()
    }

    /// Returns the last reading of each host.
    #[must_use]
    pub fn seen(&self) -> &HashMap<ElementKey, CounterReading> {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_is_a_counter_that_moved_between_readings() {
        let key = |n: u8| (ScopeId(0), Subject::of([192, 0, 2, n].into(), 128));
        let at = Time::from_secs;
        let mut activity = BanActivity::default();
        let update = |activity: &mut BanActivity, counts: &[(u8, u64)], now| {
            let counters = counts.iter().map(|(n, packets)| (key(*n), (*packets, packets * 60)));
            activity.update(counters.collect(), at(now));
            let mut moved = activity.since(at(now - 10));
            moved.sort_unstable();
            moved
        };
        assert_eq!(update(&mut activity, &[(1, 0), (2, 5), (3, 1)], 10), []);
        assert_eq!(update(&mut activity, &[(1, 1), (2, 5), (4, 9), (5, 0)], 20), [key(1), key(4)]);
        // Made again: nothing since, and packets since.
        assert_eq!(update(&mut activity, &[(1, 0), (2, 2), (4, 9)], 30), [key(2)]);
        let seen = |n| activity.seen().get(&key(n)).map(|seen| seen.moved.map(Time::secs));
        assert_eq!([seen(1), seen(2), seen(4)], [Some(Some(20)), Some(Some(30)), Some(Some(20))]);
        assert_eq!((seen(3), seen(5)), (None, None));
    }
}
