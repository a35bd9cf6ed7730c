//! The colours of a console: well-formed codes are taken out, nothing else.
//!
//! Asterisk colours level, file, line and function: `ESC [ 1 ; 33 m NOTICE ESC [ 0 m`. rsyslog prints
//! the ESC byte as `#033`. The codes are taken out of the message too: a sender who puts some
//! there might as well have left them out.

use memchr::memmem;

/// The spellings of an ESC byte and the bracket behind it.
const BEGINNINGS: [&[u8]; 2] = [b"\x1b[", b"#033["];

/// A code further on than this colours no prefix.
const LONGEST_PREFIX: usize = 256;

/// Whether there is a colour in the first part of `line`.
pub(super) fn is_in(line: &[u8]) -> bool {
    let head = line.get(..LONGEST_PREFIX).unwrap_or(line);
    BEGINNINGS.iter().any(|beginning| memmem::find(head, beginning).is_some())
}

/// Removes all colour codes from `text`.
pub(super) fn remove(text: &mut Vec<u8>) {
    let (mut from, mut kept) = (0, 0);
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        if let Some(length) = code(rest) {
            from += length;
            continue;
        }
        text.copy_within(from..=from, kept);
        (from, kept) = (from + 1, kept + 1);
    }
    text.truncate(kept);
}

/// Returns the length of the colour code that `text` begins with: `ESC [`, digits and semicolons, `m`.
fn code(text: &[u8]) -> Option<usize> {
    let numbers = BEGINNINGS.iter().find_map(|beginning| text.strip_prefix(*beginning))?;
    let end = numbers.iter().position(|byte| !byte.is_ascii_digit() && *byte != b';')?;
    (numbers.get(end) == Some(&b'm')).then(|| text.len() - numbers.len() + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn removed(text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        remove(&mut text);
        text
    }

    #[test]
    fn only_whole_codes_are_taken_out() {
        for (text, left) in [
            (&b"\x1b[1;33mNOTICE\x1b[0m[566]"[..], &b"NOTICE[566]"[..]),
            (b"#033[1;33;40mNOTICE#033[0;37;40m", b"NOTICE"),
            (b"a\x1b[mb", b"ab"),
            (b"\x1b[2J\x1b[1;3", b"\x1b[2J\x1b[1;3"),
            (b"\x1b\x1b[1mm", b"\x1bm"),
            (b"#033 #033[", b"#033 #033["),
            (b"", b""),
        ] {
            assert_eq!(removed(text), left, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_without_codes_stays(text in r"[a-m\x1b#0-3;\[]{0,40}") {
            let left = removed(text.as_bytes());
            prop_assert!(left.len() <= text.len());
            if !is_in(text.as_bytes()) {
                prop_assert_eq!(left, text.as_bytes());
            }
        }
    }
}
