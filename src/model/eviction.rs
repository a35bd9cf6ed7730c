//! Which entry gives way where a table is full.

use std::collections::HashMap;
use std::hash::BuildHasher;

/// Entries that are compared. All of them would take too long, and none could be chosen.
const COMPARED: usize = 8;

/// Returns the key of the entry that gives way: of eight, the one of the lowest rank.
pub fn least<K: Copy, V, S: BuildHasher, R: Ord>(
    table: &HashMap<K, V, S>,
    rank: impl Fn(&V) -> R,
) -> Option<K> {
    let compared = table.iter().take(COMPARED);
    compared.min_by_key(|(_, entry)| rank(entry)).map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_a_few_gives_way() {
        let table: HashMap<u32, u32> = (0..8).map(|n| (n, 100 - n)).collect();
        assert_eq!(least(&table, |rank| *rank), Some(7));
        assert_eq!(least(&HashMap::<u32, u32>::new(), |rank| *rank), None);
        let many: HashMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
        assert!(many.contains_key(&least(&many, |rank| *rank).unwrap()));
    }
}
