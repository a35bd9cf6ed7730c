//! A table of what was seen lately, in two halves: the newer one, and the one before it.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::time::Time;

/// A table whose entries stay for at least `lasts` after they were last looked for, unless there are too
/// many: then the older half gives way. Nothing is taken out of the newer half, so that its hash table
/// never grows and can be filled to seven eighths.
#[derive(Debug)]
pub struct Recent<V> {
    newer: HashMap<u64, V, RandomState>,
    older: HashMap<u64, V, RandomState>,
    /// The beginning of the newer half.
    since: Time,
    lasts: Duration,
    /// Entries of each half at most.
    half: usize,
    dropped: u64,
}

impl<V> Recent<V> {
    /// Returns a table of at most `2 * half` entries. (Seven eighths of a power of two use the memory of a
    /// hash table best.) All of it is reserved at once; the kernel gives memory for what is used.
    #[must_use]
    pub fn new(half: usize, lasts: Duration) -> Self {
        let map = || HashMap::with_capacity_and_hasher(half, RandomState::default());
        let (newer, older, since) = (map(), map(), Time::default());
        Self { newer, older, since, lasts, half, dropped: 0 }
    }

    /// Returns the entry of a key.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        self.newer.get_mut(&key).or_else(|| self.older.get_mut(&key))
    }

    /// Returns the entry of a key.
    #[must_use]
    pub fn get(&self, key: u64) -> Option<&V> {
        self.newer.get(&key).or_else(|| self.older.get(&key))
    }

    /// Returns the entry of a key, which `new` makes where there is none.
    pub fn entry(&mut self, key: u64, now: Time, new: impl FnOnce() -> V) -> &mut V {
        if !self.newer.contains_key(&key) && self.newer.len() >= self.half {
            self.dropped += self.older.len() as u64;
            self.turn(now);
        }
        let known = self.older.remove(&key);
        self.newer.entry(key).or_insert_with(|| known.unwrap_or_else(new))
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if now.since(self.since) >= self.lasts {
            self.turn(now);
        }
    }

    /// Gives all entries.
    pub fn entries(&mut self) -> impl Iterator<Item = &mut V> {
        self.newer.values_mut().chain(self.older.values_mut())
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.newer.clear();
        self.older.clear();
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    /// Returns the number of entries that gave way to others.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Begins another half.
    fn turn(&mut self, now: Time) {
        self.older.clear();
        std::mem::swap(&mut self.newer, &mut self.older);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(4);

    fn at(millis: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + millis)
    }

    #[test]
    fn entries_stay_for_as_long_as_they_are_looked_for() {
        let mut table = Recent::new(10, LASTS);
        table.tick(at(0));
        *table.entry(1, at(0), || 0) += 1;
        *table.entry(2, at(1000), || 5) += 1;
        for millis in (0..20_000).step_by(1000) {
            table.tick(at(millis));
            *table.entry(1, at(millis), || unreachable!()) += 1;
        }
        assert_eq!((table.get(1), table.get(2), table.len()), (Some(&21), None, 1));
        table.tick(at(24_000));
        assert!(table.get_mut(1).is_some());
        table.tick(at(28_000));
        table.tick(at(32_000));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_older_half_of_a_full_table_gives_way() {
        let mut table = Recent::new(7, LASTS);
        let memory = table.newer.capacity();
        for key in 0..1000 {
            table.entry(key, at(0), || key);
            assert!(table.len() <= 14 && table.get(key).is_some());
            assert!(key < 7 || table.get(key - 7).is_some(), "the last half is there");
        }
        assert_eq!(table.len() as u64 + table.dropped(), 1000);
        assert_eq!(table.newer.capacity().max(table.older.capacity()), memory);
        table.clear();
        assert_eq!(table.entries().count(), 0);
    }
}
