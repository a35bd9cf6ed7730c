//! An error in a file written by hand: where it is, what is wrong, what to write.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};
use strsim::levenshtein;

/// Characters of a source line that are shown at most; of a longer line, those around the caret.
const SHOWN: usize = 100;
/// Characters kept before the caret when the beginning of a line is left out.
const LEAD: usize = 40;
/// Errors that are shown at most: a file that is no configuration at all is wrong in every line.
const MOST: usize = 50;

/// One error in a text file, pointing at the very bytes that are wrong.
///
/// ```text
/// asterguard.toml:3:12: maxretry is 0
/// 3 | maxretry = 0
///   |            ^
/// help: write 1 to ban at the first offence
/// ```
/// The first line is what editors and terminals make clickable. Lines and columns count from 1,
/// columns in characters. What could steer a terminal (control characters, text direction, invisible
/// characters) is shown as an escape such as `\u{1b}`, wherever it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name as it is shown.
    pub path: PathBuf,
    /// The whole text of the file.
    pub source: Arc<str>,
    /// The bytes of `source` that are wrong. Any range is fine: one that does not fit is moved to
    /// the nearest characters.
    pub span: Range<usize>,
    /// The text that says what is wrong.
    pub message: String,
    /// The text that says what to write instead; further lines of it are such as can be copied.
    pub help: Option<String>,
}

impl Diagnostic {
    /// The line and column where the error begins.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        let place = Place::find(&self.source, &self.span);
        (place.number, place.before.chars().count() + 1)
    }

    /// Returns all of it in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let (line, column) = self.position();
        let place = format!("{}:{line}:{column}", self.path.display());
        let help = self.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
        escape(&format!("{place}: {}{help}", self.message))
    }

    /// The whole diagnostic without a line end after it, coloured for a terminal on request.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let style = |ansi: AnsiColor| if color { ansi.on_default().bold() } else { Style::new() };
        let bold = if color { Style::new().bold() } else { Style::new() };
        let (red, blue, cyan) =
            (style(AnsiColor::Red), style(AnsiColor::Blue), style(AnsiColor::Cyan));

        let place = Place::find(&self.source, &self.span);
        let excerpt = place.excerpt();
        let (line, column) = self.position();
        let gutter = " ".repeat(line.to_string().len());
        let path = escape(&self.path.to_string_lossy());
        let message = escape(&self.message);

        let mut out = format!("{bold}{path}:{line}:{column}:{bold:#} {red}{message}{red:#}\n");
        let _ = writeln!(out, "{blue}{line} |{blue:#} {}", excerpt.text);
        let _ = write!(out, "{blue}{gutter} |{blue:#} {}", " ".repeat(excerpt.indent));
        let _ = write!(out, "{red}{}{red:#}", "^".repeat(excerpt.width));
        if let Some(help) = &self.help {
            let mut lines = help.split('\n').map(escape);
            let _ = write!(out, "\n{cyan}help:{cyan:#} {}", lines.next().unwrap_or_default());
            for line in lines {
                let _ = write!(out, "\n      {line}");
            }
        }
        out
    }
}

/// Never coloured; see [`Diagnostic::render`].
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// All errors that were found in one go, in the order of their files and lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// All of them, an empty line between each two; of very many, the first, and how many more
    /// there are.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut parts: Vec<_> = self.0.iter().take(MOST).map(|one| one.render(color)).collect();
        if self.0.len() > MOST {
            parts.push(format!("and {} more errors", self.0.len() - MOST));
        }
        parts.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The name that `word` probably means: the nearest of `names`, if it is near at all. Letter case
/// does not count as a difference.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.len() / 3).clamp(1, 3);
    let word = word.to_lowercase();
    let close = names.into_iter().map(|name| (levenshtein(&word, &name.to_lowercase()), name));
    close
        .filter(|(steps, _)| *steps <= allowed)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, name)| name)
}

/// The place of a span: its line, cut at the span's ends.
struct Place<'a> {
    number: usize,
    before: &'a str,
    marked: &'a str,
    after: &'a str,
}

impl<'a> Place<'a> {
    /// The line in which `span` begins; a span over several lines is cut at the end of its first.
    fn find(source: &'a str, span: &Range<usize>) -> Self {
        let (head, rest) = source.split_at(boundary(source, span.start));
        let number = head.matches('\n').count() + 1;
        let before = head.rsplit('\n').next().unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        let line = line.strip_suffix('\r').unwrap_or(line);
        let length = boundary(source, span.end).saturating_sub(head.len());
        let (marked, after) = line.split_at(length.min(line.len()));
        Self { number, before, marked, after }
    }

    /// The line as it is shown.
    fn excerpt(&self) -> Excerpt {
        let [before, marked, after] =
            [self.before, self.marked, self.after].map(|part| part.chars().count());
        let skipped = if before > SHOWN - LEAD { before - LEAD } else { 0 };
        let room = SHOWN - (before - skipped);

        let left_out = if skipped > 0 { "…" } else { "" };
        let lead = format!("{left_out}{}", shown(self.before.chars().skip(skipped)));
        let tail = shown(self.after.chars().take(room.saturating_sub(marked)));
        let more = if marked + after > room { "…" } else { "" };
        let marked = shown(self.marked.chars().take(room));

        Excerpt {
            indent: lead.chars().count(),
            width: marked.chars().count().max(1),
            text: format!("{lead}{marked}{tail}{more}"),
        }
    }
}

/// A source line, and which columns of it to underline.
struct Excerpt {
    text: String,
    indent: usize,
    width: usize,
}

/// The nearest end of a character at or before `at`.
fn boundary(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0)
}

/// `text` in characters that take one column each and cannot steer a terminal. (Wide East Asian
/// characters are left as they are: a caret behind one stands too far left.)
fn shown(text: impl Iterator<Item = char>) -> String {
    let mut out = String::new();
    for c in text {
        match c {
            '\t' => out.push_str("    "),
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// Text that comes from or through a file, on one line and harmless.
fn escape(text: &str) -> String {
    shown(text.chars())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(source: &str, span: Range<usize>) -> Diagnostic {
        Diagnostic {
            path: PathBuf::from("a.toml"),
            source: source.into(),
            span,
            message: "wrong".to_owned(),
            help: Some("write right".to_owned()),
        }
    }

    fn lines(source: &str, span: Range<usize>) -> String {
        let shown = at(source, span).to_string();
        shown.strip_suffix("\nhelp: write right").unwrap().to_owned()
    }

    #[test]
    fn shows_place_line_caret_and_help() {
        insta::assert_snapshot!(at("[default]\r\nmaxretry = 0\r\n", 22..23), @"
        a.toml:2:12: wrong
        2 | maxretry = 0
          |            ^
        help: write right
        ");
    }

    #[test]
    fn long_line_numbers_keep_the_gutter_straight() {
        insta::assert_snapshot!(lines(&format!("{}class = 'gues'", "\n".repeat(99)), 107..113), @"
        a.toml:100:9: wrong
        100 | class = 'gues'
            |         ^^^^^^
        ");
    }

    #[test]
    fn spans_that_do_not_fit_are_moved() {
        insta::assert_snapshot!(lines("", 7..9), @"
        a.toml:1:1: wrong
        1 | 
          | ^
        ");
        insta::assert_snapshot!(lines("x = 'ü'\n", 6..7), @"
        a.toml:1:6: wrong
        1 | x = 'ü'
          |      ^
        ");
        insta::assert_snapshot!(lines("a\nb\n", 4..4), @"
        a.toml:3:1: wrong
        3 | 
          | ^
        ");
        insta::assert_snapshot!(lines("ab = [\n1,\n]\n", 5..12), @"
        a.toml:1:6: wrong
        1 | ab = [
          |      ^
        ");
        insta::assert_snapshot!(lines("a = 1", Range { start: 4, end: 2 }), @"
        a.toml:1:5: wrong
        1 | a = 1
          |     ^
        ");
        insta::assert_snapshot!(lines("a = 1", usize::MAX..usize::MAX), @"
        a.toml:1:6: wrong
        1 | a = 1
          |      ^
        ");
    }

    #[test]
    fn tabs_and_hostile_bytes_do_not_move_the_caret() {
        insta::assert_snapshot!(lines("\ta\u{1b}[2J\u{9b}\u{202e} = 'no'", 14..18), @r"
        a.toml:1:12: wrong
        1 |     a\u{1b}[2J\u{9b}\u{202e} = 'no'
          |                                ^^^^
        ");
        let mut hostile = at("x", 0..1);
        hostile.path = PathBuf::from("a\u{1b}]0;b\u{7}.toml");
        hostile.message = "no such name \"\r\u{1b}[2K\"".to_owned();
        hostile.help = Some("not \u{200b}\r\n\u{1b}[2K".to_owned());
        insta::assert_snapshot!(hostile, @r#"
        a\u{1b}]0;b\u{7}.toml:1:1: no such name "\r\u{1b}[2K"
        1 | x
          | ^
        help: not \u{200b}\r
              \u{1b}[2K
        "#);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_caret_is_shown() {
        let long = format!(
            "ignoreip = [{}'here', {}]",
            "'192.0.2.1', ".repeat(50),
            "'192.0.2.2', ".repeat(50)
        );
        let start = long.find("'here'").unwrap();
        insta::assert_snapshot!(lines(&long, start..start + 6), @"
        a.toml:1:663: wrong
        1 | … '192.0.2.1', '192.0.2.1', '192.0.2.1', 'here', '192.0.2.2', '192.0.2.2', '192.0.2.2', '192.0.2.2', …
          |                                          ^^^^^^
        ");
        let marked = lines(&"x".repeat(5000), 0..5000);
        let (x, caret) = ("x".repeat(SHOWN), "^".repeat(SHOWN));
        assert_eq!(marked, format!("a.toml:1:1: wrong\n1 | {x}…\n  | {caret}"));
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let all = Diagnostics(vec![at("a = 1", 4..5), at("b = 1", 0..1)]);
        let coloured = all.render(true);
        assert!(coloured.contains("\u{1b}["));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), all.to_string());
        assert_eq!(all.to_string().matches("\n\n").count(), 1);
    }

    #[test]
    fn of_very_many_errors_the_first_are_shown() {
        let text = Diagnostics(vec![at("a = 1", 4..5); MOST + 7]).to_string();
        assert_eq!(text.matches("a.toml:1:5: wrong").count(), MOST);
        assert!(text.ends_with("\n\nand 7 more errors"), "{text}");
    }

    #[test]
    fn suggests_only_what_is_near() {
        let names = ["maxretry", "findtime", "bantime", "port"];
        assert_eq!(nearest("maxretries", names), Some("maxretry"));
        assert_eq!(nearest("BANTIME", names), Some("bantime"));
        assert_eq!(nearest("ports", names), Some("port"));
        assert_eq!(nearest("backend", names), None);
        assert_eq!(nearest("", names), None);
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_is_shown(source in "[\u{0}-\u{3000}\n\r\t]{0,300}", a in 0usize..1000, b in 0usize..1000) {
            let text = at(&source, a..b).to_string();
            prop_assert_eq!(text.lines().count(), 4);
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
            let (marked, caret) = (text.lines().nth(1).unwrap(), text.lines().nth(2).unwrap());
            prop_assert!(marked.chars().count() < 1100);
            prop_assert!(caret.chars().count() <= marked.chars().count() + 1);
        }
    }
}
