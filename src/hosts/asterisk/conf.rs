//! Reads the format of Asterisk's `.conf` files: sections, templates, includes, comments.
//!
//! As `main/config.c` of Asterisk 16 to 22 does: `[name](!)` is a template, `[name](a,b)` inherits,
//! `[name](+)` goes on with a section; `;` begins a comment unless `\;` is written, `;--` and `--;`
//! enclose one; `key = value` and `key => value` say the same. `#exec` is never carried out.

use std::collections::HashMap;
use std::rc::Rc;

/// Files that include each other, deep at most; what Asterisk allows.
const DEEPEST: usize = 10;
/// The longest line that Asterisk reads, in bytes; longer ones are passed over.
const LONGEST_LINE: usize = 8192;
/// Sections at most; about 200 bytes each.
pub const MOST_SECTIONS: usize = 1 << 16;
/// Values at most, those that templates hand down included; about 60 bytes each, besides the text.
pub const MOST_VALUES: usize = 1 << 17;

/// A source of files. An implementation bounds how many there are, and their size.
pub trait Files {
    /// The files, with their names, that `pattern` (as `#include` has it) stands for.
    fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)>;
}

/// A section, with what it inherits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfSection {
    /// Its name.
    pub name: String,
    /// The file in which it begins.
    pub file: Rc<str>,
    /// Whether it only is there to be inherited from.
    pub template: bool,
    /// The values of the keys that were asked for, each with its key, in their order.
    pub values: Vec<(Rc<str>, Rc<str>)>,
}

impl ConfSection {
    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let of_key = move |(known, _): &&(Rc<str>, _)| known.eq_ignore_ascii_case(key);
        self.values.iter().filter(of_key).map(|(_, value)| &**value)
    }

    /// The last value of a key: the one that counts where there can be only one.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&str> {
        let of_key = |(known, _): &&(Rc<str>, _)| known.eq_ignore_ascii_case(key);
        self.values.iter().rev().find(of_key).map(|(_, value)| &**value)
    }
}

/// The sections that were read.
#[derive(Debug, Default)]
pub struct Conf {
    /// The sections in their order.
    pub sections: Vec<ConfSection>,
    /// The things that were left out, for people.
    pub left_out: Vec<String>,
}

impl Conf {
    /// The last value of a key in sections of the name `general`, whose letters may be large.
    #[must_use]
    pub fn general(&self, key: &str) -> Option<&str> {
        let named = self.sections.iter().filter(|s| s.name.eq_ignore_ascii_case("general"));
        named.filter_map(|section| section.last(key)).next_back()
    }
}

/// Reads `main` and what it includes. Only the values of `keys` (lower case) are kept.
pub fn read(files: &mut dyn Files, main: &str, keys: &[&str]) -> Conf {
    parse(files, main, Some(keys.iter().map(|key| Rc::from(*key)).collect()))
}

/// Reads `main` and what it includes, whatever the keys are.
pub fn read_all(files: &mut dyn Files, main: &str) -> Conf {
    parse(files, main, None)
}

fn parse(files: &mut dyn Files, main: &str, keys: Option<Vec<Rc<str>>>) -> Conf {
    let mut parser = Parser { keys, ..Parser::default() };
    parser.include(files, main, 0);
    if parser.overflown {
        parser.conf.left_out.push(format!("{main} is too large: a part of it was not read"));
    }
    parser.conf
}

#[derive(Default)]
struct Parser {
    /// The keys whose values are kept; `None`: all.
    keys: Option<Vec<Rc<str>>>,
    conf: Conf,
    /// The last section of each name (in lower case).
    named: HashMap<String, usize>,
    /// The section that values go to.
    current: Option<usize>,
    values: usize,
    overflown: bool,
}

impl Parser {
    fn include(&mut self, files: &mut dyn Files, pattern: &str, depth: usize) {
        if depth >= DEEPEST {
            self.overflown = true;
            return;
        }
        for (name, bytes) in files.open(pattern) {
            let name: Rc<str> = name.into();
            let mut within = 0;
            for line in bytes.split(|byte| *byte == b'\n') {
                if line.len() > LONGEST_LINE {
                    continue;
                }
                let line = without_comments(&String::from_utf8_lossy(line), &mut within);
                self.line(files, &name, line.trim(), depth);
            }
        }
    }

    fn line(&mut self, files: &mut dyn Files, file: &Rc<str>, line: &str, depth: usize) {
        if let Some(directive) = line.strip_prefix('#') {
            let (word, rest) =
                directive.split_once(|c: char| c.is_whitespace()).unwrap_or((directive, ""));
            if ["include", "tryinclude"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
                let quotes = ['"', '<', '>', '\''];
                self.include(files, rest.trim().trim_matches(quotes), depth + 1);
            }
        } else if let Some(rest) = line.strip_prefix('[') {
            if let Some((name, options)) = rest.split_once(']') {
                self.section(file, name, options);
            }
        } else if let Some((key, value)) = line.split_once('=') {
            // `key => value`, and `key += value`, which adds a value as a second line would.
            let value = value.strip_prefix('>').unwrap_or(value);
            self.value(key.strip_suffix('+').unwrap_or(key).trim(), value.trim());
        }
    }

    fn section(&mut self, file: &Rc<str>, name: &str, options: &str) {
        let options = options.trim().strip_prefix('(').and_then(|text| text.split_once(')'));
        let options: Vec<_> = options.map_or_else(Vec::new, |(inside, _)| {
            inside.split(',').map(str::trim).filter(|option| !option.is_empty()).collect()
        });
        if options.iter().any(|option| option.starts_with('+')) {
            // One that is not there is an error to Asterisk, which then reads none of the file.
            self.current = self.find(name);
            return;
        }
        if self.conf.sections.len() >= MOST_SECTIONS {
            (self.current, self.overflown) = (None, true);
            return;
        }
        let mut values = Vec::new();
        let bases: Vec<_> = options.iter().filter_map(|option| self.find(option)).collect();
        for base in bases {
            let inherited = self.conf.sections.get(base).map_or(&[][..], |base| &base.values);
            self.values = self.values.saturating_add(inherited.len());
            if self.values > MOST_VALUES {
                self.overflown = true;
                break;
            }
            values.extend_from_slice(inherited);
        }
        self.current = Some(self.conf.sections.len());
        self.named.insert(name.to_ascii_lowercase(), self.conf.sections.len());
        self.conf.sections.push(ConfSection {
            name: name.to_owned(),
            file: Rc::clone(file),
            template: options.contains(&"!"),
            values,
        });
    }

    /// The last section of this name.
    fn find(&self, name: &str) -> Option<usize> {
        self.named.get(&name.to_ascii_lowercase()).copied()
    }

    fn value(&mut self, key: &str, value: &str) {
        let key = match &self.keys {
            Some(keys) => keys.iter().find(|known| key.eq_ignore_ascii_case(known)).map(Rc::clone),
            None => Some(key.into()),
        };
        let Some(key) = key else { return };
        let section = self.current.and_then(|at| self.conf.sections.get_mut(at));
        if self.values >= MOST_VALUES {
            self.overflown = true;
        } else if let Some(section) = section {
            self.values += 1;
            section.values.push((key, value.into()));
        }
    }
}

/// The line without what is commented out. `within` is how many `;--` are still open.
fn without_comments(line: &str, within: &mut usize) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(';') {
        let (before, after) = rest.split_at(at);
        let after = after.get(1..).unwrap_or("");
        let opens = after.starts_with("--") && !after.starts_with("---");
        if *within > 0 {
            if before.ends_with("--") {
                *within -= 1;
            } else if opens {
                *within += 1;
            }
        } else if let Some(before) = before.strip_suffix('\\') {
            kept.push_str(before);
            kept.push(';');
        } else {
            kept.push_str(before);
            if !opens {
                return kept;
            }
            *within = 1;
        }
        rest = after;
    }
    if *within == 0 {
        kept.push_str(rest);
    }
    kept
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Files in memory, by name; `*` at the end of a pattern stands for anything.
    pub struct Memory(pub BTreeMap<String, Vec<u8>>);

    impl Memory {
        pub fn of(files: &[(&str, &str)]) -> Self {
            Self(files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect())
        }
    }

    impl Files for Memory {
        fn open(&mut self, pattern: &str) -> Vec<(String, Vec<u8>)> {
            let fits = |name: &str| match pattern.strip_suffix('*') {
                Some(stem) => name.starts_with(stem),
                None => name == pattern,
            };
            self.0
                .iter()
                .filter(|(name, _)| fits(name))
                .map(|(name, bytes)| (name.clone(), bytes.clone()))
                .collect()
        }
    }

    /// Returns what is read of `main`, as `name: key=value …`.
    fn sections(files: &[(&str, &str)], keys: &[&str]) -> Vec<String> {
        let conf = read(&mut Memory::of(files), "main", keys);
        let text = |section: &ConfSection| {
            let values: Vec<_> =
                section.values.iter().map(|(key, value)| format!(" {key}={value}")).collect();
            let kind = if section.template { "!" } else { ":" };
            format!("{}{kind}{}", section.name, values.concat())
        };
        conf.sections.iter().map(text).collect()
    }

    #[test]
    fn values_and_comments() {
        let text = "
            host = nobody's
            [a] ; a comment
            Host=1 ; another
            host => 2\\;transport=tcp;gone
            port = 5060
            host += 3
            ;-- a block
            host = 4
            ;-- in a block --; host = 5
            --; host = 6
            ;--- a line of its own
            ;-- short --;host = 7
            nothing
            [b
            = 8
            [b]
            host =\r
        ";
        assert_eq!(
            sections(&[("main", text)], &["host"]),
            ["a: host=1 host=2;transport=tcp host=3 host=6 host=7", "b: host="]
        );
    }

    #[test]
    fn all_values_can_be_asked_for() {
        let mut files = Memory::of(&[("main", "[a]\nMessages.log => notice\n/x/y=*\n")]);
        let conf = read_all(&mut files, "main");
        let values: Vec<_> = conf.sections[0].values.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(values, [("Messages.log", "notice"), ("/x/y", "*")]);
        assert_eq!(conf.sections[0].last("messages.LOG"), Some("notice"));
    }

    #[test]
    fn templates_hand_down_what_they_have() {
        let text = "
            [base](!)
            host=1
            [more](!, base)
            host=2
            [x](more)
            host=3
            [y](base,more,unknown)
            [X](+)
            host=4
            [z](+)
            host=5
        ";
        let read = sections(&[("main", text)], &["host"]);
        let expected = [
            "base! host=1",
            "more! host=1 host=2",
            "x: host=1 host=2 host=3 host=4",
            "y: host=1 host=1 host=2",
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn files_are_included_where_they_are_named() {
        let files = [
            (
                "main",
                "[a]\n#include \"extra\"\nhost=2\n#tryinclude <none>\n#include d/*\n#exec /bin/x",
            ),
            ("extra", "host=1\n[b]\n"),
            ("d/1", "[c]\nhost=3\n"),
            ("d/2", "host=4\n"),
        ];
        assert_eq!(sections(&files, &["host"]), ["a: host=1", "b: host=2", "c: host=3 host=4"]);
        assert_eq!(sections(&[("main", "[a]\n#include main")], &[]).len(), DEEPEST);
    }

    #[test]
    fn templates_cannot_grow_without_end() {
        let mut text = String::from("[t0](!)\nhost=1\n");
        for n in 1..200 {
            use std::fmt::Write as _;
            writeln!(text, "[t{n}](!,t{0},t{0})", n - 1).unwrap();
        }
        let conf = read(&mut Memory::of(&[("main", &text)]), "main", &["host"]);
        let values: usize = conf.sections.iter().map(|section| section.values.len()).sum();
        assert!(values <= MOST_VALUES, "{values}");
        assert_eq!(conf.left_out, ["main is too large: a part of it was not read"]);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            words in prop::collection::vec(prop::sample::select(vec![
                "[", "]", "(", ")", "!", "+", ",", ";", "--", "\\", "=", ">", "\n", "a", "b", "host",
                "#include ", "main", "\u{e9}",
            ]), 0..200),
        ) {
            for text in [bytes, words.concat().into_bytes()] {
                let lines = text.split(|byte| *byte == b'\n').count();
                let mut files = Memory(BTreeMap::from([("main".to_owned(), text)]));
                let conf = read(&mut files, "main", &["host", "a"]);
                // Each line begins one section at most, however often it includes itself.
                let most = (0..DEEPEST).fold(1_usize, |most, _| most.saturating_mul(lines));
                prop_assert!(conf.sections.len() <= most.min(MOST_SECTIONS));
            }
        }
    }
}
