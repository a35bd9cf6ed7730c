//! Words for people that more than one room uses.

use std::fmt::Display;

/// A number of things: `1 line`, `27 lines`.
pub fn counted(count: impl Copy + Display + PartialEq + From<u8>, thing: &str) -> String {
    let plural = if count == From::from(1) { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_is_singular() {
        assert_eq!([0u64, 1, 2].map(|n| counted(n, "ban")), ["0 bans", "1 ban", "2 bans"]);
        assert_eq!(counted(1usize, "host"), "1 host");
    }
}
