//! What the kernel dropped since the guard looks, as totals that never go back, made of the counters of elements
//! that come and go: for metrics.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Packets and bytes.
pub type Counter = (u64, u64);

/// Totals by a label `L`, of the counters of elements `K`. It holds one counter for each element of the last reading.
#[derive(Debug)]
pub struct DropTotals<K, L> {
    last: HashMap<K, Counter>,
    /// Whether the counters were read before: what they had then was dropped before this process looked.
    has_read: bool,
    totals: BTreeMap<L, Counter>,
}

impl<K, L> Default for DropTotals<K, L> {
    fn default() -> Self {
        Self { last: HashMap::new(), has_read: false, totals: BTreeMap::new() }
    }
}

impl<K: Eq + Hash, L: Ord> DropTotals<K, L> {
    /// Adds what the counters have moved by since the last reading. An element that was not there, or whose counter has
    /// gone back, is new. What was dropped after the last reading by elements that are gone now is lost.
    pub fn update(&mut self, counters: impl IntoIterator<Item = (K, L, Counter)>) {
        let mut read = HashMap::new();
        for (key, label, counter) in counters {
            let before = match self.last.get(&key) {
                Some(last) if last.0 <= counter.0 && last.1 <= counter.1 => *last,
                Some(_) => (0, 0),
                None if self.has_read => (0, 0),
                None => counter,
            };
            let total = self.totals.entry(label).or_default();
            total.0 = total.0.saturating_add(counter.0 - before.0);
            total.1 = total.1.saturating_add(counter.1 - before.1);
            read.insert(key, counter);
        }
        self.last = read;
        self.has_read = true;
    }

    /// The totals.
    pub fn totals(&self) -> impl Iterator<Item = (&L, Counter)> {
        self.totals.iter().map(|(label, counter)| (label, *counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_never_go_back() {
        let mut totals = DropTotals::default();
        let mut update = |counters: &[(u8, &'static str, Counter)]| {
            totals.update(counters.iter().copied());
            totals.totals().map(|(label, counter)| (*label, counter)).collect::<Vec<_>>()
        };
        // What was dropped before the first look is none of ours.
        assert_eq!(update(&[(1, "a", (5, 500))]), [("a", (0, 0))]);
        assert_eq!(
            update(&[(1, "a", (7, 700)), (2, "b", (1, 60))]),
            [("a", (2, 200)), ("b", (1, 60))]
        );
        // One is over, and one was made again.
        assert_eq!(update(&[(2, "b", (3, 180))]), [("a", (2, 200)), ("b", (3, 180))]);
        assert_eq!(
            update(&[(1, "a", (1, 60)), (2, "b", (0, 0))]),
            [("a", (3, 260)), ("b", (3, 180))]
        );
    }
}
