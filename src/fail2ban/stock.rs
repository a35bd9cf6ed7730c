//! The failregexes that fail2ban and the usual instructions on the web bring for Asterisk, known by hashes.
//!
//! Only hashes are here: the regexes are others' work. `dev/stock.sh` computes them from the originals.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use md5::{Digest, Md5};

/// The hashes, each with the versions that have it.
const HASHES: &str = include_str!("stock-hashes.txt");

static KNOWN: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| HASHES.lines().filter_map(|line| line.split_whitespace().next()).collect());

/// What stands in the prefix of a line, and in none of Asterisk's messages.
const OF_PREFIX: [&str; 4] = ["NOTICE", "SECURITY", "WARNING", "ERROR"];

/// Whether a failregex is one of them, whatever its prefix.
#[must_use]
pub fn is_known(failregex: &str) -> bool {
    KNOWN.contains(hash(failregex).as_str())
}

/// Returns the hash of a failregex without its prefix.
#[must_use]
pub fn hash(failregex: &str) -> String {
    let digest = Md5::digest(message(failregex).as_bytes());
    let start = digest.first_chunk().map_or(0, |start: &[u8; 8]| u64::from_be_bytes(*start));
    format!("{start:016x}")
}

/// Returns what a failregex says of the message itself, with white space as one blank: from the first word behind the level,
/// or from the host.
#[must_use]
pub fn message(failregex: &str) -> String {
    let text: Vec<_> = failregex.split_whitespace().collect();
    let text = text.join(" ");
    let levels = OF_PREFIX.iter().filter_map(|level| text.rfind(level).map(|at| at + level.len()));
    let text = text.get(levels.max().unwrap_or_default()..).unwrap_or_default();
    let host = text.find("<HOST>").unwrap_or(text.len());
    let start = first_word(text).unwrap_or(text.len()).min(host);
    text.get(start..).unwrap_or_default().trim_end_matches(['.', '*', '$']).to_owned()
}

/// Returns where the first word of a message begins: three letters or more, outside of classes, escapes and tags.
fn first_word(text: &str) -> Option<usize> {
    let (mut word, mut class, mut escaped, mut tag) = (None, false, false, false);
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let is_letter = c.is_ascii_alphabetic() && !escaped && !class && !tag;
        match (word, is_letter) {
            (None, true) => word = Some(at),
            (Some(start), false) => {
                let found = text.get(start..at).unwrap_or_default();
                if found.len() >= 3 {
                    return Some(start);
                }
                word = None;
            }
            _ => {}
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '<' => tag = true,
            '>' => tag = false,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_does_not_matter() {
        for same in [
            r"^\[\]\s*(?:NOTICE|SECURITY)\[\d+\] \S+:\d* Door opened for '<HOST>' - by\s+nobody$",
            r"NOTICE.* .*: Door opened for '<HOST>' - by\s+nobody",
            r"^Door opened  for '<HOST>' - by\s+nobody$",
        ] {
            assert_eq!(message(same), r"Door opened for '<HOST>' - by\s+nobody", "{same}");
        }
        assert_eq!(message("^(?:a)? <HOST> failed$"), "<HOST> failed");
        assert_ne!(hash("Door <HOST> a"), hash("Door <HOST> b"));
    }

    #[test]
    fn hashes_are_whole() {
        for line in HASHES.lines().filter(|line| !line.starts_with('#')) {
            let hash = line.split_whitespace().next().unwrap_or_default();
            assert!(hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{line}");
        }
    }
}
