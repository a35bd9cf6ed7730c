//! A table whose entries are looked at again after a fixed time, the oldest first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::time::Time;

/// A table of at most `capacity` entries. When it is full, the entry whose turn comes next gives way.
/// Looking at what is due costs what is due, however many entries there are.
#[derive(Debug)]
pub struct Aging<V> {
    map: HashMap<u64, V, RandomState>,
    /// Each entry once, in the order of their turns.
    turns: VecDeque<(Time, u64)>,
    every: Duration,
    capacity: usize,
    dropped: u64,
}

impl<V> Aging<V> {
    /// Returns a table whose entries have their turn after each `every`. (Seven eighths of a power of two
    /// use the memory of a hash table best.)
    #[must_use]
    pub fn new(capacity: usize, every: Duration) -> Self {
        Self { map: HashMap::default(), turns: VecDeque::new(), every, capacity, dropped: 0 }
    }

    /// Returns the entry of a key.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        self.map.get_mut(&key)
    }

    /// Returns the entry of a key.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&V> {
        self.map.get(&key)
    }

    /// Returns the entry of a key, which `new` makes where there is none.
    pub fn entry(&mut self, key: u64, now: Time, new: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(&key) {
            if self.map.len() >= self.capacity {
                self.drop_next();
            }
            self.turns.push_back((now.plus(self.every), key));
        }
        self.map.entry(key).or_insert_with(new)
    }

    /// Gives every entry whose turn has come to `keep`; those that it does not keep go.
    pub fn visit(&mut self, now: Time, mut keep: impl FnMut(&mut V) -> bool) {
        while let Some((_, key)) = self.turns.front().copied().filter(|(due, _)| *due <= now) {
            self.turns.pop_front();
            if self.map.get_mut(&key).is_some_and(&mut keep) {
                self.turns.push_back((now.plus(self.every), key));
            } else {
                self.map.remove(&key);
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.map.clear();
        self.turns.clear();
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns the number of entries that gave way to others.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_next(&mut self) {
        if let Some((_, key)) = self.turns.pop_front() {
            self.map.remove(&key);
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn entries_have_their_turn_and_stay_while_kept() {
        let mut table = Aging::new(10, Duration::from_secs(4));
        *table.entry(1, at(0), || 0) += 1;
        *table.entry(2, at(1000), || 5) += 1;
        let mut seen = Vec::new();
        table.visit(at(3999), |_| unreachable!());
        table.visit(at(4000), |value| {
            seen.push(*value);
            true
        });
        table.visit(at(5000), |value| {
            seen.push(*value);
            false
        });
        assert_eq!((seen, table.len()), (vec![1, 6], 1));
        table.visit(at(8000), |_| false);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_full_table_drops_the_oldest() {
        let mut table = Aging::new(2, Duration::from_secs(4));
        for key in 0..5 {
            table.entry(key, at(0), || key);
        }
        assert_eq!((table.len(), table.dropped()), (2, 3));
        assert!(table.get_mut(2).is_none() && table.get_mut(3).is_some() && table.get(4).is_some());
        table.clear();
        table.visit(at(9000), |_| unreachable!());
    }
}
