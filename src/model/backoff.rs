//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// Returns how long to wait before a try: `first`, and twice as long for each of the `doublings`, but no longer than
/// `longest`; as `chance`, any number, says, between a half of that and all of it, so that not all machines of a network
/// come back at once.
#[must_use]
pub fn wait(first: Duration, longest: Duration, doublings: u32, chance: u64) -> Duration {
    let whole = first.saturating_mul(1 << doublings.min(10)).min(longest);
    let half = whole / 2;
    let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_millis(chance % span)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn tries_become_rare_and_none_is_predictable() {
        let wait = |doublings, chance| wait(FIRST, LONGEST, doublings, chance);
        let longest = |doublings| wait(doublings, u64::MAX - (u64::MAX % 500) - 1);
        assert!((0..100).all(|doublings| wait(doublings, 0) >= FIRST / 2));
        assert!((0..100).all(|doublings| longest(doublings) <= LONGEST));
        assert!(wait(30, 0) == LONGEST / 2 && wait(30, 29_999) > Duration::from_secs(59));
        assert!(wait(2, 0) < wait(3, 0));
    }
}
