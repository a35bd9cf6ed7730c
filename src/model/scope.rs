//! The scope of a ban: which ports it closes, and how.

use serde::{Deserialize, Serialize};

/// The kernel's answer to a banned host's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blocktype {
    /// Silence.
    #[default]
    Drop,
    /// A TCP reset, or ICMP port unreachable.
    Reject,
    /// Silence, but for TCP connections that are open: these go on.
    #[serde(rename = "drop-new")]
    DropNew,
}

/// The ports that a scope closes, over UDP and TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ports {
    /// All ports and all protocols.
    All,
    /// These ranges, both ends included, in ascending order, not overlapping.
    Ranges(Vec<(u16, u16)>),
}

impl Ports {
    /// Whether a port is one of them.
    #[must_use]
    pub fn contain(&self, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Ranges(ranges) => is_within(ranges, port),
        }
    }
}

/// Whether a port is in one of these ranges, both ends included.
#[must_use]
pub fn is_within(ranges: &[(u16, u16)], port: u16) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
}

/// Returns a range of ports in words: `5060` or `5060-5061`.
#[must_use]
pub fn range_words((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Returns a range of ports as a configuration has it: `5060` or `"5060-5061"`.
#[must_use]
pub fn toml_range(range: (u16, u16)) -> String {
    let words = range_words(range);
    if range.0 == range.1 { words } else { format!("\"{words}\"") }
}

/// Returns ranges in ascending order, none of which overlaps or touches another.
#[must_use]
pub fn merged(ranges: impl IntoIterator<Item = (u16, u16)>) -> Vec<(u16, u16)> {
    let mut ranges: Vec<_> = ranges.into_iter().filter(|(first, last)| first <= last).collect();
    ranges.sort_unstable();
    let mut all: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match all.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => all.push((first, last)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_merged() {
        let ranges = [(9, 3), (5, 6), (1, 4), (10, 20), (12, 13), (65_535, 65_535)];
        assert_eq!(merged(ranges.into_iter()), [(1, 6), (10, 20), (65_535, 65_535)]);
    }
}
