//! Text of strangers made harmless for each channel: no control or format characters, no markup, no more than fits.

/// Returns a text on one line that shows what is there: each control character, line break and format character (those
/// that change the direction of text too) is replaced, and what is longer than `most` characters is cut.
#[must_use]
pub fn plain(text: &str, most: usize) -> String {
    let shown = |c: char| if is_shown(c) { c } else { '\u{fffd}' };
    cut(text.chars().map(shown), most)
}

/// Cuts what has more than `most` characters, and shows that by a last one.
fn cut(chars: impl Iterator<Item = char>, most: usize) -> String {
    let mut chars = chars;
    let mut text: String = chars.by_ref().take(most.saturating_sub(1)).collect();
    if let Some(last) = chars.next() {
        text.push(if chars.next().is_some() { '\u{2026}' } else { last });
    }
    text
}

/// Whether a character is shown as it is. Those that are not have no shape, or change that of others: Unicode's general
/// categories Cc, Cf, Zl and Zp, and what fills or selects without a shape of its own.
fn is_shown(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'))
}

/// Escapes a text for HTML, as text or within the quotes of an attribute.
#[must_use]
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes a text for Slack (<https://docs.slack.dev/messaging/formatting-message-text>): these three characters begin
/// and end links, names and calls of all who are there.
#[must_use]
pub fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes a text for Discord: a backslash before each character that can be part of markup, a name or a link. (Discord
/// takes a backslash away before any punctuation of ASCII.)
#[must_use]
pub fn discord(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '~'
                | '|'
                | '>'
                | '<'
                | '#'
                | '-'
                | '['
                | ']'
                | '('
                | ')'
                | ':'
                | '@'
                | '+'
        ) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Returns the lines that fit into `most` units, with a last one that says how many do not. `size` is the size of a line
/// with its line break.
#[must_use]
pub fn fitting(lines: &[String], most: usize, size: impl Fn(&str) -> usize) -> Vec<String> {
    /// Room for the last line.
    const REST: usize = 40;
    let whole: usize = lines.iter().map(|line| size(line)).sum();
    if whole <= most {
        return lines.to_vec();
    }
    let mut used = REST;
    let fit = |line: &&String| {
        used = used.saturating_add(size(line));
        used <= most
    };
    let mut kept: Vec<_> = lines.iter().take_while(fit).cloned().collect();
    kept.push(format!("({} more lines)", lines.len() - kept.len()));
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_strangers_stays_on_its_line() {
        assert_eq!(plain("a\r\nBcc: x@y\tz\u{1b}[2J", 100), "a��Bcc: x@y�z�[2J");
        assert_eq!(plain("\u{202e}gpj.exe\u{2066}\u{200b}\u{feff}", 100), "�gpj.exe���");
        assert_eq!(plain("grüße 電話", 100), "grüße 電話");
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(plain("abcdefg", 6), "abcde…");
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(html("<b a='1'>\"&"), "&lt;b a=&#39;1&#39;&gt;&quot;&amp;");
        assert_eq!(slack("<!channel> & <http://x|y>"), "&lt;!channel&gt; &amp; &lt;http://x|y&gt;");
        assert_eq!(discord("**a** @everyone http://x"), "\\*\\*a\\*\\* \\@everyone http\\://x");
    }

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let lines: Vec<_> = (0..100).map(|n| format!("line {n:02}")).collect();
        let size = |line: &str| line.len() + 1;
        assert_eq!(fitting(&lines, 800, size), lines);
        let kept = fitting(&lines, 120, size);
        assert_eq!(kept.len(), 11);
        assert_eq!(kept.last().map(String::as_str), Some("(90 more lines)"));
    }

    proptest! {
        #[test]
        fn nothing_unseen_and_nothing_long_gets_through(text: String, most in 1..50_usize) {
            let safe = plain(&text, most);
            prop_assert!(safe.chars().count() <= most);
            prop_assert!(safe.chars().all(is_shown));
            let safe = plain(&text, 4000);
            prop_assert!(!html(&safe).contains(['<', '>', '"', '\'']));
            prop_assert!(!slack(&safe).contains(['<', '>']));
        }
    }
}
