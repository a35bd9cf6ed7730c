//! One file of fail2ban's as text: sections, keys, values and what is wrong, each with its place.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::config::diagnostic::Diagnostic;

/// Sections that one file may have.
const MOST_SECTIONS: usize = 2000;
/// Keys that one file may have.
const MOST_KEYS: usize = 20_000;
/// Mistakes that are shown of one file.
const MOST_MISTAKES: usize = 20;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name, as it is shown.
    pub path: Arc<Path>,
    /// Its text.
    pub text: Arc<str>,
}

/// A value as it is written, not yet interpolated.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its lines, without indentation and comments, joined by line feeds.
    pub text: String,
    /// The file in which it stands.
    pub source: Source,
    /// The place of its key.
    pub span: Range<usize>,
}

impl Value {
    /// Returns the number of the line in which its key stands, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    /// Returns something that is wrong with it, for people.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>, help: Option<&str>) -> Diagnostic {
        Diagnostic {
            path: self.source.path.to_path_buf(),
            source: Arc::clone(&self.source.text),
            span: self.span.clone(),
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }
}

/// A section of a file. A name may occur once only.
#[derive(Clone, Debug)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// Keys in small letters, each once, in the order of the file.
    pub keys: Vec<(String, Value)>,
}

impl Section {
    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

/// A file, taken apart.
#[derive(Clone, Debug)]
pub struct Ini {
    /// Its sections, in their order.
    pub sections: Vec<Section>,
    /// What is wrong in it. fail2ban refuses such a file as a whole; here, the rest of it counts.
    pub problems: Vec<Diagnostic>,
}

/// Takes a file apart as Python's `configparser` does with the settings of fail2ban: comments begin with `#` or `;` at the
/// start of a line, or with `;` behind white space; a line that is indented more than its key goes on with its value.
#[must_use]
pub fn parse(path: &Path, text: &str) -> Ini {
    let source = Source { path: path.into(), text: text.into() };
    let mut reader =
        Reader { source, ini: Ini { sections: Vec::new(), problems: Vec::new() }, keys: 0 };
    let (mut at, mut indent, mut open) = (0, 0, false);
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let line = line.trim_end_matches(['\n', '\r']);
        let comment = comment(line);
        let content = line.get(..comment.unwrap_or(line.len())).unwrap_or(line).trim();
        if content.is_empty() {
            if comment.is_none() && open {
                reader.append("");
            }
            continue;
        }
        let lead = line.len() - line.trim_start().len();
        if open && lead > indent {
            reader.append(content);
            continue;
        }
        indent = lead;
        let span = start + lead..start + lead + content.len();
        open = reader.begin(content, span);
    }
    reader.close();
    reader.ini
}

struct Reader {
    source: Source,
    ini: Ini,
    keys: usize,
}

impl Reader {
    /// Reads a line that begins something, and returns whether what follows may go on with it.
    fn begin(&mut self, content: &str, span: Range<usize>) -> bool {
        if let Some(name) =
            content.strip_prefix('[').and_then(|rest| Some(rest.rsplit_once(']')?.0))
        {
            self.section(name, span);
            return false;
        }
        let Some(end) = content.find(['=', ':']) else {
            self.problem(
                span,
                "this is neither a section, nor a key with a value",
                Some("write `key = value`; a line that goes on with a value is indented more than its key"),
            );
            return false;
        };
        let (key, value) = content.split_at(end);
        let key = key.trim_end();
        let key_span = span.start..span.start + key.len();
        if key.is_empty() {
            self.problem(span, "there is no key before this", None);
            return false;
        }
        let value = value.get(1..).unwrap_or_default().trim();
        let key = key.to_lowercase();
        self.key(key, value, key_span)
    }

    fn section(&mut self, name: &str, span: Range<usize>) {
        if self.ini.sections.len() == MOST_SECTIONS {
            self.problem(
                span,
                format!("more than {MOST_SECTIONS} sections: the rest is left out"),
                None,
            );
            return;
        }
        if let Some(at) = self.ini.sections.iter().position(|section| section.name == name) {
            let help = "fail2ban refuses the file for this; here, the two are put together";
            self.problem(span, format!("there is a section [{name}] already"), Some(help));
            let again = self.ini.sections.remove(at);
            self.ini.sections.push(again);
            return;
        }
        self.ini.sections.push(Section { name: name.to_owned(), keys: Vec::new() });
    }

    fn key(&mut self, key: String, value: &str, span: Range<usize>) -> bool {
        if self.ini.sections.is_empty() {
            let help = "write [DEFAULT], or the name of a jail in brackets, before it";
            self.problem(span, "this stands before the first section", Some(help));
            return false;
        }
        self.keys += 1;
        if self.keys > MOST_KEYS {
            if self.keys == MOST_KEYS + 1 {
                self.problem(
                    span,
                    format!("more than {MOST_KEYS} keys: the rest is left out"),
                    None,
                );
            }
            return false;
        }
        let source = self.source.clone();
        let value = Value { text: value.to_owned(), source, span: span.clone() };
        let Some(section) = self.ini.sections.last_mut() else { return false };
        let before = section.keys.len();
        section.keys.retain(|(known, _)| *known != key);
        let again = section.keys.len() < before;
        let message = format!("`{key}` is set twice in [{}]", section.name);
        section.keys.push((key, value));
        if again {
            let help = "fail2ban refuses the file for this; here, the last one counts";
            self.problem(span, message, Some(help));
        }
        true
    }

    /// Adds a line to the last value.
    fn append(&mut self, line: &str) {
        let last = self.ini.sections.last_mut().and_then(|section| section.keys.last_mut());
        if let Some((_, value)) = last {
            value.text.push('\n');
            value.text.push_str(line);
        }
    }

    fn close(&mut self) {
        for section in &mut self.ini.sections {
            for (_, value) in &mut section.keys {
                value.text.truncate(value.text.trim_end().len());
            }
        }
    }

    fn problem(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        if self.ini.problems.len() < MOST_MISTAKES {
            self.ini.problems.push(Diagnostic {
                path: self.source.path.to_path_buf(),
                source: Arc::clone(&self.source.text),
                span,
                message: message.into(),
                help: help.map(str::to_owned),
            });
        }
    }
}

/// Returns the place where a comment begins in a line.
fn comment(line: &str) -> Option<usize> {
    if line.trim_start().starts_with(['#', ';']) {
        return Some(0);
    }
    let mut before = ' ';
    line.char_indices().find_map(|(at, this)| {
        let begins = this == ';' && before.is_whitespace();
        before = this;
        begins.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Ini {
        parse(Path::new("jail.local"), text)
    }

    fn value(text: &str, key: &str) -> Option<String> {
        let ini = read(text);
        ini.sections.iter().find_map(|section| Some(section.get(key)?.text.clone()))
    }

    #[test]
    fn values_go_on_in_indented_lines() {
        let text = "[a]\nlogpath = /x\n  /y ; why\n# no\n\n\t/z\nmore: 1\n";
        assert_eq!(value(text, "logpath").unwrap(), "/x\n/y\n\n/z");
        assert_eq!(value(text, "more").unwrap(), "1");
        // Indented as much as the key: a key of its own.
        assert_eq!(value("[a]\n  x = 1\n  y = 2\n", "y").unwrap(), "2");
    }

    #[test]
    fn comments_are_those_of_fail2ban() {
        let text = "[a]\nx = a;b ; c\ny = d # e\n; no = 1\n";
        assert_eq!(value(text, "x").unwrap(), "a;b");
        assert_eq!(value(text, "y").unwrap(), "d # e");
        assert_eq!(value(text, "no"), None);
    }

    #[test]
    fn keys_are_written_small_and_end_at_the_first_mark() {
        assert_eq!(value("[a]\nFailRegex = a: b=c\n", "failregex").unwrap(), "a: b=c");
        assert_eq!(value("[a]\nx:1\r\n", "x").unwrap(), "1");
        assert_eq!(value("[a]\nx =\n", "x").unwrap(), "");
    }

    #[test]
    fn mistakes_are_shown_and_the_rest_is_read() {
        let text = "i# stray\n[a]\nnothing\nx = 1\nx = 2\n[a]\ny = 3\n";
        let ini = read(text);
        let said: Vec<_> = ini.problems.iter().map(ToString::to_string).collect();
        for (said, words) in said.iter().zip([
            "jail.local:1:1: this is neither",
            "jail.local:3:1: this is neither",
            "jail.local:5:1: `x` is set twice in [a]",
            "jail.local:6:1: there is a section [a] already",
        ]) {
            assert!(said.starts_with(words), "{said}");
        }
        assert_eq!((said.len(), ini.sections.len()), (4, 1));
        assert_eq!(
            (value(text, "x").unwrap(), value(text, "y").unwrap()),
            ("2".into(), "3".into())
        );
        let early = read("x = 1\n[a]\ny = 2\n");
        assert!(early.problems[0].to_string().contains("before the first section"));
    }

    #[test]
    fn a_file_without_end_is_bounded() {
        let many: Vec<_> = (0..MOST_SECTIONS + 9).map(|n| format!("[{n}]\n")).collect();
        assert_eq!(read(&many.concat()).sections.len(), MOST_SECTIONS);
        let many: Vec<_> = (0..MOST_KEYS + 9).map(|n| format!("k{n}=1\n")).collect();
        let ini = read(&format!("[a]\n{}", many.concat()));
        assert_eq!((ini.sections[0].keys.len(), ini.problems.len()), (MOST_KEYS, 1));
        assert_eq!(read(&"?\n".repeat(9999)).problems.len(), MOST_MISTAKES);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_every_place_is_in_it(text in "[\\[\\]a=:;# \t\n\r%ü]{0,200}") {
            for section in read(&text).sections {
                for (key, value) in section.keys {
                    prop_assert!(text[value.span.clone()].to_lowercase() == key);
                    prop_assert!(value.line() <= text.matches('\n').count() + 1);
                }
            }
        }
    }
}
