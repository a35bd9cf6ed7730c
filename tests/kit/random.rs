//! Chance from a seed: the same seed gives the same choices.

// Each test target compiles its own copy and uses its own part.
#![allow(dead_code)]

use std::hash::{BuildHasher as _, RandomState};

/// What `SEED` says, or else another number each time. Says so, as a failure has to name it.
pub fn seed() -> u64 {
    let asked = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seed = asked.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
    eprintln!("SEED={seed}");
    seed
}

/// A generator of 64-bit numbers (`SplitMix64`).
pub struct Random(u64);

impl Random {
    /// Choices of their own for each `(seed, index)`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut random = Self(seed ^ index.wrapping_mul(0xd134_2543_de82_ef95));
        random.number();
        random
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
