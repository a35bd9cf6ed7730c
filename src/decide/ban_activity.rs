//! Who still knocks: when the counters of banned hosts were last seen to move.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::model::event::ScopeId;
use crate::model::time::Time;

/// A banned host in the kernel: what is closed to it, and its key there.
pub type Key = (ScopeId, IpAddr);

/// What was seen of a host's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Packets and bytes.
    pub dropped: (u64, u64),
    /// When it was last seen to have moved; `None`: not between any two looks.
    pub moved: Option<Time>,
}

/// The counters, as they were last read.
#[derive(Clone, Debug, Default)]
pub struct Knocking {
    seen: HashMap<Key, Seen>,
    /// Whether there was a look before.
    looked: bool,
}

impl Knocking {
    /// Takes in what the counters say now; hosts that have none any more are forgotten.
    pub fn look(&mut self, counters: HashMap<Key, (u64, u64)>, now: Time) {
        let before = std::mem::take(&mut self.seen);
        let looked = std::mem::replace(&mut self.looked, true);
        let seen = |(key, dropped): (Key, (u64, u64))| {
            let known = before.get(&key);
            // One that was not there, or has gone back, belongs to an element that is new.
            let differs = known.map_or(looked, |known| known.dropped != dropped);
            let moves = differs && dropped.0 > 0;
            let last = known.and_then(|known| known.moved);
            (key, Seen { dropped, moved: if moves { Some(now) } else { last } })
        };
        self.seen = counters.into_iter().map(seen).collect();
    }

    /// Whose counters have been seen to move since then.
    #[must_use]
    pub fn since(&self, since: Time) -> Vec<Key> {
        let moved = self.seen.iter().filter(|(_, seen)| seen.moved.is_some_and(|at| at > since));
        moved.map(|(key, _)| *key).collect()
    }

    /// What was last seen of each host.
    #[must_use]
    pub fn seen(&self) -> &HashMap<Key, Seen> {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_moves_between_two_looks() {
        let key = |n: u8| (ScopeId(0), IpAddr::from([192, 0, 2, n]));
        let at = Time::from_secs;
        let mut knocking = Knocking::default();
        let look = |knocking: &mut Knocking, counts: &[(u8, u64)], now| {
            let counters = counts.iter().map(|(n, packets)| (key(*n), (*packets, packets * 60)));
            knocking.look(counters.collect(), at(now));
            let mut moved = knocking.since(at(now - 10));
            moved.sort_unstable();
            moved
        };
        assert_eq!(look(&mut knocking, &[(1, 0), (2, 5), (3, 1)], 10), []);
        assert_eq!(look(&mut knocking, &[(1, 1), (2, 5), (4, 9), (5, 0)], 20), [key(1), key(4)]);
        // Made anew: nothing since, and knocking since.
        assert_eq!(look(&mut knocking, &[(1, 0), (2, 2), (4, 9)], 30), [key(2)]);
        let seen = |n| knocking.seen().get(&key(n)).map(|seen| seen.moved.map(Time::secs));
        assert_eq!([seen(1), seen(2), seen(4)], [Some(Some(20)), Some(Some(30)), Some(Some(20))]);
        assert_eq!((seen(3), seen(5)), (None, None));
    }
}
