//! Who still knocks: when the counters of banned hosts were last seen to move.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::event::ScopeId;
use crate::time::Time;

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
pub struct Knocking(HashMap<Key, Seen>);

impl Knocking {
    /// Takes in what the counters say now; hosts that have none any more are forgotten. Returns
    /// those whose counters have moved since the last time.
    pub fn look(&mut self, counters: HashMap<Key, (u64, u64)>, now: Time) -> Vec<Key> {
        let mut moved = Vec::new();
        let before = std::mem::take(&mut self.0);
        let seen = |(key, dropped): (Key, (u64, u64))| {
            let known = before.get(&key);
            // A counter that has gone back belongs to an element that was made anew.
            let moves = known.is_some_and(|known| known.dropped != dropped) && dropped.0 > 0;
            if moves {
                moved.push(key);
            }
            let last = known.and_then(|known| known.moved);
            (key, Seen { dropped, moved: if moves { Some(now) } else { last } })
        };
        self.0 = counters.into_iter().map(seen).collect();
        moved
    }

    /// What was last seen of each host.
    #[must_use]
    pub fn seen(&self) -> &HashMap<Key, Seen> {
        &self.0
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
            let mut moved = knocking.look(counters.collect(), at(now));
            moved.sort_unstable();
            moved
        };
        assert_eq!(look(&mut knocking, &[(1, 0), (2, 5), (3, 1)], 10), []);
        assert_eq!(look(&mut knocking, &[(1, 1), (2, 5), (4, 9)], 20), [key(1)]);
        // Made anew: nothing since, and knocking since.
        assert_eq!(look(&mut knocking, &[(1, 0), (2, 2), (4, 9)], 30), [key(2)]);
        let seen = |n| knocking.seen().get(&key(n)).map(|seen| seen.moved.map(Time::secs));
        assert_eq!(
            (seen(1), seen(2), seen(3), seen(4)),
            (Some(Some(20)), Some(Some(30)), None, Some(None))
        );
    }
}
