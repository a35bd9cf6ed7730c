//! Text for people: what cannot act on a terminal, and lines that fit it.

use std::fmt::Write as _;

/// The characters of a line that fit any terminal.
pub const WIDTH: usize = 80;

/// Returns bytes with all that could do something to a terminal, or that is not ASCII, as escapes.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "{}", byte.escape_ascii());
            }
        }
    }
    text
}

/// Returns a text of one line with all that could do something to a terminal as escapes.
pub fn printable_text(text: &str) -> String {
    // The sign of a number of things is one of ours.
    let harmless = |c: &char| c.is_alphanumeric() || matches!(c, ' '..='~' | '×');
    text.chars()
        .map(|c| if harmless(&c) { c.to_string() } else { c.escape_default().to_string() })
        .collect()
}

/// Returns the first `width` characters of `text`; `...` are the last of them if more would follow.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(3)).collect();
    kept + "..."
}

/// Breaks `text` between words into lines that fit, of which all but the first begin with `indent` spaces. A word that
/// is longer than a line stays whole.
pub fn wrapped(text: &str, indent: usize) -> String {
    let begin = text.len() - text.trim_start_matches(' ').len();
    let (blank, words) = text.split_at(begin);
    let mut broken = blank.to_owned();
    let mut column = begin;
    for (number, word) in words.split(' ').enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > WIDTH {
            broken.push('\n');
            broken.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if number > 0 {
            broken.push(' ');
            column += 1;
        }
        broken.push_str(word);
        column += width;
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_act_on_the_terminal() {
        assert_eq!(
            printable(b"from '\"a\\b\"' \x1b[2J\r\x9b\xff\t"),
            r#"from '"a\b"' \x1b[2J\r\x9b\xff\t"#
        );
    }

    #[test]
    fn lines_are_cut_and_broken_to_fit() {
        assert_eq!([cut("abcdef", 6), cut("abcdefg", 6)], ["abcdef", "abc..."]);
        let text = wrapped(&format!("{} {}", "word ".repeat(40).trim_end(), "x".repeat(100)), 4);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[..3].iter().all(|line| line.len() <= WIDTH), "{text}");
        assert!(lines[1..].iter().all(|line| line.starts_with("    ")), "{text}");
        assert_eq!(text.split_whitespace().count(), 41);
        assert_eq!(wrapped("  indented", 4), "  indented");
    }
}
