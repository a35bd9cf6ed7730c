//! Finds what people write who do not know TOML, says it in their words, and reads on as if it were right.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::DeTable;

use super::fail2ban::{self, Pasted};
use super::jail_section::KEYS;
use super::own_rules;

/// The kinds of value that keys have, as far as it matters for what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    /// A text.
    Text,
    /// One of a few small words.
    Word,
    /// A list of texts.
    List,
    /// A regex, or several, each on a line of its own: anything may stand in it.
    Regex,
    /// A list of ports.
    Ports,
}

const BOOLEANS: [&str; 4] = ["enabled", "trunks", "renew", "overalljails"];
const NUMBERS: [&str; 11] = [
    "maxretry",
    "ipv6prefix",
    "maxunverified",
    "maxunknown",
    "maxrate",
    "maxtries",
    "factor",
    "group",
    "snaplen",
    "maxrefusals",
    "maxpackets",
];
const WORDS: [&str; 6] = ["mode", "count", "blocktype", "loglevel", "hearsay", "limiter"];
const LISTS: [&str; 10] = [
    "filter",
    "class",
    "logpath",
    "ignoreip",
    "allow",
    "deny",
    "block",
    "allowfiles",
    "blockfiles",
    "forward",
];

/// The longest value that is shown as it should be, in bytes.
const SHOWN: usize = 100;

/// Bytes of a line that are looked at in one go.
const LONGEST: usize = 16 << 10;
/// Inline tables in each other that are looked into.
const DEEPEST: usize = 4;
/// Mistakes that are looked for in one file.
const MOST: usize = 1000;

/// Parts of a longer list that are shown.
const FEW: usize = 3;

/// Opening and closing quotes that typesetters use.
const TYPOGRAPHIC: [char; 19] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}',
    '\u{ab}', '\u{bb}', '\u{2039}', '\u{203a}', '\u{2032}', '\u{2033}', '\u{ff02}', '\u{ff07}',
    '\u{300c}', '`', '\u{b4}',
];

/// Returns text without quotes of any kind around it.
pub(super) fn without_quotes(text: &str) -> &str {
    text.trim().trim_matches(TYPOGRAPHIC).trim_matches(['"', '\'']).trim()
}

/// Whether text has a typesetter's quote at one of its ends.
pub(super) fn is_typographic(text: &str) -> bool {
    text.starts_with(TYPOGRAPHIC) || text.ends_with(TYPOGRAPHIC)
}

/// Returns what somebody means by a word in the place of `true` or `false`.
pub(super) fn as_boolean(word: &str) -> Option<bool> {
    match word.to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "1" | "enable" | "enabled" => Some(true),
        "false" | "no" | "off" | "n" | "0" | "disable" | "disabled" => Some(false),
        _ => None,
    }
}

/// One mistake of spelling.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// The bytes of the file that are wrong.
    pub span: Range<usize>,
    /// The bytes of the file in which other mistakes may depend on this one.
    pub whole: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: String,
    /// What else can be wrong there.
    pub beside: Beside,
}

/// What is told beside a mistake of spelling of what else is wrong in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// All of it.
    Everything,
    /// What is wrong with the value is told first, and then this is added in short; what is wrong with the key is all
    /// that matters.
    Value,
    /// Nothing: what was read is made up.
    Nothing,
}

/// What to write in a value that is wrong for other reasons, too.
pub(crate) const IN_QUOTES: &str = "texts, names, addresses and times stand in \" \"";

/// A file's text without its mistakes of spelling, line by line the same.
#[derive(Debug)]
pub(crate) struct Repaired<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// What was changed.
    pub edits: Edits,
    /// The mistakes.
    pub faults: Vec<Fault>,
    /// Whether nothing else is worth a word.
    pub hopeless: bool,
}

/// What was changed in a text: where it stands in the file, and where it stands now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, Range<usize>)>);

impl<'a> Repaired<'a> {
    /// Takes a text as it is.
    pub fn nothing(text: &'a str) -> Self {
        Self { text: text.into(), edits: Edits::default(), faults: Vec::new(), hopeless: false }
    }

    /// Reads a text. `own` tells the names of our sections; without it, sections of fail2ban's are nothing special.
    pub fn of(text: &'a str, own: Option<&dyn Fn(&str) -> bool>) -> Self {
        if let Some(fault) = no_lines(text) {
            return Self { faults: vec![fault], hopeless: true, ..Self::nothing(text) };
        }
        let pasted = own.map_or_else(Vec::new, |own| fail2ban::pasted(text, own));
        if pasted.is_empty() && DeTable::parse(text).is_ok() {
            return Self::nothing(text);
        }
        Scanner::new(text, pasted).finish()
    }
}

impl Edits {
    /// Returns where something stands in the file that stands at `span` in the text that was read.
    pub fn place(&self, original: &str, read: &str, span: &Range<usize>) -> Range<usize> {
        let start = self.back(span.start, |edit| edit.start);
        let end = self.back(span.end, |edit| edit.end);
        let inside = self.0.iter().find(|(_, new)| new.start <= span.start && span.end <= new.end);
        // A word of a longer value is shown alone.
        let word = inside.and_then(|(old, _)| {
            let word = read.get(span.clone())?.trim_matches(['"', '\'']);
            let at = original.get(old.clone())?.find(word).filter(|_| !word.is_empty())?;
            Some(old.start + at..old.start + at + word.len())
        });
        word.unwrap_or(start..end.max(start))
    }

    fn back(&self, at: usize, within: fn(&Range<usize>) -> usize) -> usize {
        let mut moved = at;
        for (old, new) in &self.0 {
            if at > new.start && at < new.end || (at == new.start && new.start < new.end) {
                return within(old);
            }
            if at >= new.end {
                moved = old.end + (at - new.end);
            }
        }
        moved
    }
}

/// Notes that this is no text of lines.
fn no_lines(text: &str) -> Option<Fault> {
    let fault = |at: usize, message: &str, help: &str| {
        let (message, help) = (message.to_owned(), help.to_owned());
        Fault { span: at..at + 1, whole: 0..text.len(), message, help, beside: Beside::Nothing }
    };
    if let Some(at) = text.find('\0') {
        return Some(fault(
            at,
            "a zero byte: this is no text file",
            "save the file as plain text (UTF-8)",
        ));
    }
    let lone =
        text.match_indices('\r').find(|(at, _)| text.as_bytes().get(at + 1) != Some(&b'\n'))?.0;
    let help = "save the file with the line ends of Unix (LF)";
    Some(fault(lone, "a line ends as on old Macintoshes (CR)", help))
}

/// What is wrong with a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Quotes,
    Typographic,
    Unclosed,
    Doubled,
    Semicolon,
    /// Another word for true or false.
    YesNo,
    /// `True`, `FALSE`.
    Capitals,
    /// No word for either.
    Boolean,
    Number,
    Brackets,
    Comma,
    Bracket,
    LastComma,
    Comment,
    Colon,
    Equals,
}

impl Wrong {
    fn words(self) -> &'static str {
        match self {
            Self::Quotes => "quotes are missing",
            Self::Typographic => "these are typographic quotes",
            Self::Unclosed => "a quote is missing",
            Self::Doubled => "the quotes are doubled",
            Self::Semicolon => "no ; stands at the end of a line",
            Self::YesNo => "yes and no are written true and false here",
            Self::Capitals => "true and false are written in small letters",
            Self::Boolean => "this is neither true nor false",
            Self::Number => "this is no whole number",
            Self::Brackets => "a list stands in [ ]",
            Self::Comma => "a comma is missing",
            Self::Bracket => "the ] of this list is missing",
            Self::LastComma => "a comma is too much",
            Self::Comment => "a comment begins with #",
            Self::Colon => "between a key and its value stands one =",
            Self::Equals => "the = is missing",
        }
    }
}

/// A value, read and written as it should be.
struct Value {
    end: usize,
    text: String,
}

/// Reads a file statement by statement.
struct Scanner<'a> {
    text: &'a str,
    pasted: Vec<Pasted>,
    /// Whether the statements are below `[ports]`.
    in_ports: bool,
    /// The inline tables around what is read.
    depth: usize,
    /// What is wrong with the statement so far, and where.
    wrong: Vec<(Wrong, Range<usize>)>,
    edits: Vec<(Range<usize>, String)>,
    faults: Vec<Fault>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, pasted: Vec<Pasted>) -> Self {
        Self {
            text,
            pasted,
            in_ports: false,
            depth: 0,
            wrong: Vec::new(),
            edits: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn finish(mut self) -> Repaired<'a> {
        let mut at = 0;
        while at < self.text.len() && self.faults.len() < MOST {
            at = self.line(at).max(at + 1);
        }
        let mut text = String::with_capacity(self.text.len());
        let mut edits = Vec::new();
        let mut done = 0;
        for (old, new) in self.edits {
            if old.start < done {
                continue;
            }
            text.push_str(self.text.get(done..old.start).unwrap_or_default());
            let start = text.len();
            text.push_str(&new);
            done = old.end;
            edits.push((old, start..text.len()));
        }
        text.push_str(self.text.get(done..).unwrap_or_default());
        Repaired { text: text.into(), edits: Edits(edits), faults: self.faults, hopeless: false }
    }

    /// The rest of the line from `at` on, without its end; of a very long line, a part.
    fn rest(&self, at: usize) -> &'a str {
        let mut end = self.text.len().min(at.saturating_add(LONGEST));
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let rest = self.text.get(at..end).unwrap_or_default();
        rest.split('\n').next().unwrap_or_default().trim_end_matches('\r')
    }

    /// The beginning of the line behind the one of `at`.
    fn next_line(&self, at: usize) -> usize {
        let end = self.text.get(at..).and_then(|rest| rest.find('\n'));
        end.map_or(self.text.len(), |end| at + end + 1)
    }

    /// Reads the line or statement that begins at `at`; returns where it ends.
    fn line(&mut self, at: usize) -> usize {
        let rest = self.rest(at);
        let start = at + rest.len() - rest.trim_start().len();
        if let Some(pasted) = self.pasted.iter().position(|pasted| pasted.header.start == start) {
            return self.paste(pasted);
        }
        let rest = rest.trim();
        match rest.chars().next() {
            None | Some('#') => self.next_line(at),
            _ if is_comment(rest) => {
                let mark = start..start + if rest.starts_with(';') { 1 } else { 2 };
                self.edits.push((mark.clone(), "#".to_owned()));
                let text = rest.trim_start_matches([';', '/']).trim();
                let help = format!("write # {text}");
                self.fault(
                    mark,
                    start..start + rest.len(),
                    Wrong::Comment.words(),
                    help,
                    Beside::Everything,
                );
                self.next_line(at)
            }
            Some('[') => {
                self.header(start, rest);
                self.next_line(at)
            }
            _ => self.statement(start, rest),
        }
    }

    fn paste(&mut self, index: usize) -> usize {
        let Pasted { header, whole, message, help } = self.pasted.swap_remove(index);
        let lines = self.text.get(whole.clone()).unwrap_or_default().matches('\n').count();
        self.edits.push((whole.clone(), "\n".repeat(lines)));
        self.in_ports = false;
        let end = whole.end;
        self.faults.push(Fault { span: header, whole, message, help, beside: Beside::Nothing });
        end
    }

    fn fault(
        &mut self,
        span: Range<usize>,
        whole: Range<usize>,
        words: &str,
        help: String,
        beside: Beside,
    ) {
        self.faults.push(Fault { span, whole, message: words.to_owned(), help, beside });
    }

    /// Reads the head of a section.
    fn header(&mut self, start: usize, line: &str) {
        self.in_ports = line.trim_start_matches('[').trim_start().starts_with("ports");
        if let Some((name, rest)) = line.split_once(']') {
            let mark = start + name.len() + 1 + rest.len() - rest.trim_start().len();
            if is_comment(rest.trim_start()) && rest.starts_with([' ', '\t', ';']) {
                self.edits.push((mark..mark + 1, "#".to_owned()));
                let help = format!(
                    "write {name}]  # {}",
                    rest.trim_start().trim_start_matches([';', '/']).trim()
                );
                self.fault(
                    mark..mark + 1,
                    start..start + line.len(),
                    Wrong::Comment.words(),
                    help,
                    Beside::Everything,
                );
            }
            return;
        }
        let name = line.split(['#', ';']).next().unwrap_or(line).trim_end();
        if name.starts_with("[[")
            || name.len() < 2
            || name.contains(|c: char| c.is_whitespace() || "=\"'".contains(c))
        {
            return;
        }
        let end = start + name.len();
        self.edits.push((end..end, "]".to_owned()));
        let help = format!("write {name}]");
        self.fault(
            end..end,
            start..end,
            "the ] of this section is missing",
            help,
            Beside::Everything,
        );
    }

    /// Reads `key = value`; returns where it ends.
    fn statement(&mut self, start: usize, line: &str) -> usize {
        self.wrong.clear();
        let Some((key, mark, value)) = parts(line) else { return self.next_line(start) };
        let value = start + value;
        let name = key.rsplit('.').next().unwrap_or(key).trim().trim_matches(['"', '\'']);
        let kind = self.kind(name);
        let sign = start + key.len()..value;
        match mark {
            '=' => {}
            ':' => self.wrong.push((Wrong::Colon, value - 1..value)),
            // Without a sign, only what is surely a key is one.
            _ if kind.is_none() => return self.next_line(start),
            _ => self.wrong.push((Wrong::Equals, sign.clone())),
        }
        let Some(read) = self.value(value, kind.unwrap_or(Kind::Text), Place::Line) else {
            // What fail2ban's files leave empty is to be left out here.
            if self.rest(value).trim().is_empty() && fail2ban::advice(key).is_some() {
                let (whole, words) = (start..start + line.len(), "a value is missing");
                let help = "leave the line out".to_owned();
                self.fault(sign.clone(), whole, words, help, Beside::Value);
                self.edits.push((sign, " = \"\"".to_owned()));
            }
            return self.next_line(value);
        };
        if self.wrong.is_empty() {
            return self.next_line(read.end);
        }
        let begin = value + self.rest(value).len() - self.rest(value).trim_start().len();
        let only_value = mark == '=';
        if !only_value {
            self.edits.push((sign, " = ".to_owned()));
        }
        let end = read.end;
        self.edits.push((begin..end, read.text.clone()));
        self.note(start, begin..end, key, &read.text, only_value);
        self.next_line(end)
    }

    /// Notes what is wrong with a statement, in one sentence.
    fn note(
        &mut self,
        start: usize,
        value: Range<usize>,
        key: &str,
        right: &str,
        only_value: bool,
    ) {
        let mut words: Vec<_> = Vec::new();
        for (wrong, _) in &self.wrong {
            if !words.contains(&wrong.words()) {
                words.push(wrong.words());
            }
        }
        let message = words.join(", and ");
        let Some((first, span)) = self.wrong.iter().min_by_key(|(_, span)| span.start).cloned()
        else {
            return;
        };
        let one_line = right
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("[ ", "[")
            .replace(" ]", "]");
        let right = if right.contains('\n') {
            one_line.as_str()
        } else {
            right.split(" #").next().unwrap_or(right)
        };
        let whole_list = right.len() <= SHOWN && !right.contains('#');
        let help = match first {
            Wrong::Number => "write it in digits, for example 3".to_owned(),
            Wrong::Boolean => "write true or false".to_owned(),
            _ if whole_list && only_value => format!("write {right}"),
            _ if whole_list => format!("write {key} = {right}"),
            _ => {
                let words = right.split([' ', ',', '[', ']']).filter(|word| word.starts_with('"'));
                let words: Vec<_> = words.collect();
                let more = if words.len() > FEW { ", …" } else { "" };
                let few: Vec<_> = words.into_iter().take(FEW).collect();
                format!("write [{}{more}]", few.join(", "))
            }
        };
        let beside = match first {
            Wrong::Number | Wrong::Boolean => Beside::Nothing,
            Wrong::Comment | Wrong::Semicolon | Wrong::LastComma | Wrong::Equals | Wrong::Colon => {
                Beside::Everything
            }
            _ => Beside::Value,
        };
        self.fault(span, start..value.end, &message, help, beside);
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let is = |names: &[&str]| names.contains(&name);
        match () {
            () if self.in_ports || name == "guardedports" => Some(Kind::Ports),
            () if is(&BOOLEANS) => Some(Kind::Boolean),
            () if is(&NUMBERS) => Some(Kind::Number),
            () if is(&WORDS) => Some(Kind::Word),
            () if is(&LISTS) => Some(Kind::List),
            () if own_rules::KEYS.contains(&name) => Some(Kind::Regex),
            () if is(&KEYS) || ["first", "max", "decay", "path"].contains(&name) => {
                Some(Kind::Text)
            }
            () => None,
        }
    }

    /// Reads a value. `None`: there is none, or none that can be told.
    fn value(&mut self, at: usize, kind: Kind, place: Place) -> Option<Value> {
        let rest = self.rest(at);
        let start = at + rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let value = match rest.chars().next()? {
            '[' => self.array(start, kind)?,
            '{' if self.depth < DEEPEST => {
                self.depth += 1;
                let table = self.table(start);
                self.depth -= 1;
                table?
            }
            '#' | '{' => return None,
            _ if rest.starts_with("\"\"\"") || rest.starts_with("'''") => {
                let quote = rest.get(..3)?;
                let end = self.text.get(start + 3..)?.find(quote)? + start + 6;
                Value { end, text: self.text.get(start..end)?.to_owned() }
            }
            c if c == '"' || c == '\'' || TYPOGRAPHIC.contains(&c) => self.quoted(start, place),
            _ => return self.bare(start, kind, place),
        };
        if place == Place::Line { self.behind(start, value, kind) } else { Some(value) }
    }

    /// Reads what stands behind a value on its line.
    fn behind(&mut self, start: usize, mut value: Value, kind: Kind) -> Option<Value> {
        let rest = self.rest(value.end);
        let text = rest.trim();
        let at = value.end + rest.len() - rest.trim_start().len();
        if text.is_empty() || text.starts_with('#') {
            return Some(value);
        }
        if text == ";" || text == ",;" {
            self.wrong.push((Wrong::Semicolon, at..at + 1));
            return Some(Value { end: at + text.len(), ..value });
        }
        if is_comment(text) {
            self.wrong.push((Wrong::Comment, at..at + 1));
            value.text.push_str(" # ");
            value.text.push_str(text.trim_start_matches([';', '/']).trim());
            return Some(Value { end: at + text.len(), ..value });
        }
        if text == "," {
            self.wrong.push((Wrong::LastComma, at..at + 1));
            return Some(Value { end: at + 1, ..value });
        }
        if !matches!(kind, Kind::List | Kind::Ports) || value.text.starts_with(['[', '{']) {
            return None;
        }
        // Several in a row, without brackets.
        let mut items = vec![value.text];
        let mut at = value.end;
        loop {
            let rest = self.rest(at);
            let next = rest.trim_start_matches([' ', '\t', ',']);
            at += rest.len() - next.len();
            if next.is_empty() || next.starts_with('#') || is_comment(next) {
                break;
            }
            let item = self.value(at, kind, Place::List)?;
            at = item.end;
            items.push(item.text);
        }
        self.wrong.push((Wrong::Brackets, start..at));
        let value = Value { end: at, text: format!("[{}]", items.join(", ")) };
        self.behind(start, value, kind)
    }

    /// Reads a text that begins with a quote of some kind.
    fn quoted(&mut self, start: usize, place: Place) -> Value {
        let rest = self.rest(start);
        let open = rest.chars().next().unwrap_or('"');
        let body = rest.get(open.len_utf8()..).unwrap_or_default();
        let mut is_escaped = false;
        let mut close = None;
        for (at, c) in body.char_indices() {
            let is_end = match open {
                '"' | '\'' => c == open,
                _ => TYPOGRAPHIC.contains(&c) || c == '"' || c == '\'',
            };
            if is_end && !is_escaped {
                close = Some((at, c));
                break;
            }
            is_escaped = open == '"' && c == '\\' && !is_escaped;
        }
        let is_straight = open == '"' || open == '\'';
        if let (Some((0, _)), Some(inner)) = (close, body.get(1..)) {
            let pair: String = [open, open].iter().collect();
            if let Some((text, _)) = inner.split_once(&pair).filter(|(text, _)| {
                is_straight && !text.is_empty() && !text.contains([',', '#', open])
            }) {
                let end = start + text.len() + 4;
                self.wrong.push((Wrong::Doubled, start..end));
                return Value { end, text: quote(text) };
            }
        }
        if let (Some((at, c)), true) = (close, is_straight) {
            let end = start + 1 + at + c.len_utf8();
            return Value { end, text: self.text.get(start..end).unwrap_or_default().to_owned() };
        }
        // Opened in one way and closed in another, or never.
        let close = close
            .or_else(|| body.char_indices().find(|(_, c)| TYPOGRAPHIC.contains(c) && *c != '`'));
        let (text, length) = match close {
            Some((at, c)) => (body.get(..at), at + c.len_utf8()),
            None => {
                let stops: &[char] =
                    if place == Place::Line { &['#'] } else { &[',', ']', '}', '#'] };
                let text = body.split(stops).next().unwrap_or(body).trim_end();
                (Some(text), text.len())
            }
        };
        let end = start + open.len_utf8() + length;
        let wrong =
            if is_straight && close.is_none() { Wrong::Unclosed } else { Wrong::Typographic };
        self.wrong.push((wrong, start..end));
        Value { end, text: quote(text.unwrap_or_default()) }
    }

    /// Reads a value without quotes.
    fn bare(&mut self, start: usize, kind: Kind, place: Place) -> Option<Value> {
        let rest = self.rest(start);
        let stops = |c: char| match place {
            Place::Line => c == '#' && kind != Kind::Regex,
            Place::List => c == ',' || c == ']' || c == '#' || c.is_whitespace(),
            Place::Table => c == ',' || c == '}' || c == '#',
        };
        let mut text = rest.split(stops).next().unwrap_or(rest);
        let marks = if kind == Kind::Regex { &[][..] } else { &[" ;", "\t;", " //", "\t//"] };
        let comment = marks.iter().filter_map(|mark| text.find(mark)).min();
        if let Some(at) = comment {
            text = text.get(..at)?;
        }
        let trimmed = text.trim_end();
        let last = if place == Place::Line {
            trimmed.trim_end_matches([',', ';']).trim_end()
        } else {
            trimmed
        };
        if last.is_empty()
            || (place != Place::Line && last.starts_with([';', '/']) && is_comment(last))
        {
            return None;
        }
        let end = start + last.len();
        let mut value = Value { end, text: self.right(start..end, last, kind, place) };
        if place != Place::Line {
            return Some(value);
        }
        if comment.is_none() && (kind == Kind::Regex || !rest.contains('#')) {
            value = self.continued(start, value, kind);
        }
        self.behind(start, value, if value_is_list(kind) { Kind::Text } else { kind })
    }

    /// Returns how a value without quotes is written.
    fn right(&mut self, span: Range<usize>, text: &str, kind: Kind, place: Place) -> String {
        match kind {
            Kind::Boolean if text == "true" || text == "false" => text.to_owned(),
            Kind::Boolean => {
                if DeTable::parse(&format!("x = {text}")).is_ok() {
                    return text.to_owned();
                }
                let meant = as_boolean(text);
                let is_word = ["true", "false"].contains(&text.to_lowercase().as_str());
                let wrong = match meant {
                    Some(_) if is_word => Wrong::Capitals,
                    Some(_) => Wrong::YesNo,
                    None => Wrong::Boolean,
                };
                self.wrong.push((wrong, span));
                meant.unwrap_or(true).to_string()
            }
            Kind::List | Kind::Ports if place == Place::Line && text.contains([' ', '\t', ',']) => {
                self.wrong.push((Wrong::Quotes, span.clone()));
                self.wrong.push((Wrong::Brackets, span));
                let items = text.split([' ', '\t', ',']).filter(|item| !item.is_empty());
                let items: Vec<_> = items.map(|item| item_of(item, kind)).collect();
                format!("[{}]", items.join(", "))
            }
            _ if DeTable::parse(&format!("x = {text}")).is_ok() => text.to_owned(),
            // A quote at its end only.
            _ if text.ends_with(['"', '\'']) && !matches!(kind, Kind::Boolean | Kind::Number) => {
                self.wrong.push((Wrong::Unclosed, span));
                quote(text.trim_end_matches(['"', '\'']))
            }
            Kind::Number => {
                self.wrong.push((Wrong::Number, span));
                "1".to_owned()
            }
            Kind::Word => {
                self.wrong.push((Wrong::Quotes, span));
                quote(&text.to_lowercase())
            }
            Kind::Ports | Kind::List | Kind::Text | Kind::Regex => {
                // `True` is nothing but `true`, whatever the key is.
                let lower = text.to_lowercase();
                if lower == "true" || lower == "false" {
                    self.wrong.push((Wrong::Capitals, span));
                    return lower;
                }
                self.wrong.push((Wrong::Quotes, span));
                item_of(text, kind)
            }
        }
    }

    /// Reads the lines over which a value goes on as in fail2ban's files: indented, and no statements.
    fn continued(&mut self, start: usize, value: Value, kind: Kind) -> Value {
        let mut at = self.next_line(value.end);
        let mut end = value.end;
        let mut lines = vec![value.text.trim_start_matches('[').trim_end_matches(']').to_owned()];
        loop {
            let line = self.rest(at);
            let text = line.trim();
            let is_statement = |text| match parts(text) {
                Some((_, '=', _)) => true,
                Some((_, ':', at)) => {
                    text.get(at..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                }
                _ => false,
            };
            let goes_on = line.starts_with([' ', '\t'])
                && !text.is_empty()
                && !text.starts_with(['#', '[', ']', '}'])
                && !is_comment(text)
                && !is_statement(text);
            if !goes_on {
                break;
            }
            let breaks: &[char] = if kind == Kind::Regex { &[] } else { &[' ', '\t', ','] };
            let items = text.split(breaks).filter(|item| !item.is_empty());
            lines.push(
                items
                    .map(|item| quote(item.trim_matches(['"', '\''])))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            end = at + line.trim_end().len();
            at = self.next_line(at);
        }
        if lines.len() == 1 {
            return value;
        }
        self.wrong.push((Wrong::Quotes, start..value.end));
        self.wrong.push((Wrong::Brackets, start..value.end));
        if value_is_list(kind) {
            return Value { end, text: format!("[{}]", lines.join(",\n")) };
        }
        let more = "\n".repeat(lines.len() - 1);
        Value { end, text: format!("{}{more}", value.text) }
    }

    /// Reads a list in brackets.
    fn array(&mut self, start: usize, kind: Kind) -> Option<Value> {
        let mut text = "[".to_owned();
        let mut at = start + 1;
        let mut needs_comma = None;
        // The end of what is no space and no comment.
        let (mut end, mut kept) = (at, text.len());
        let mut is_first = false;
        loop {
            let rest = self.text.get(at..)?;
            let begins = is_first && self.begins_a_statement(at);
            let Some(next) = rest.chars().next().filter(|_| !begins) else {
                // It was never closed: it ends with the item before.
                text.truncate(kept);
                text.push(']');
                self.wrong.push((Wrong::Bracket, start..start + 1));
                return Some(Value { end, text });
            };
            is_first = next == '\n' || (is_first && next.is_whitespace());
            match next {
                ']' => {
                    text.push(']');
                    return Some(Value { end: at + 1, text });
                }
                // No list here holds lists.
                '[' => return None,
                c if c.is_whitespace() => {
                    text.push(c);
                    at += c.len_utf8();
                }
                ',' => {
                    text.push(',');
                    needs_comma = None;
                    at += 1;
                    (end, kept) = (at, text.len());
                }
                '#' => {
                    text.push_str(self.rest(at));
                    at += self.rest(at).len();
                }
                _ if is_comment(rest) => {
                    let comment = self.rest(at);
                    self.wrong.push((Wrong::Comment, at..at + 1));
                    text.push_str("# ");
                    text.push_str(comment.trim_start_matches([';', '/']).trim());
                    at += comment.len();
                }
                _ => {
                    if let Some(behind) = needs_comma {
                        self.wrong.push((Wrong::Comma, behind..behind + 1));
                        text.insert(kept, ',');
                    }
                    let item = self.value(at, kind, Place::List)?;
                    text.push_str(&item.text);
                    at = item.end;
                    needs_comma = Some(at);
                    (end, kept) = (at, text.len());
                }
            }
        }
    }

    /// Whether a new statement or section begins at `at`, which is the first text of its line.
    fn begins_a_statement(&self, at: usize) -> bool {
        let line = self.rest(at);
        line.starts_with('[') || parts(line).is_some_and(|(_, mark, _)| mark == '=')
    }

    /// Reads an inline table.
    fn table(&mut self, start: usize) -> Option<Value> {
        let mut text = "{".to_owned();
        let mut at = start + 1;
        loop {
            let rest = self.rest(at);
            match rest.chars().next()? {
                '}' => {
                    text.push('}');
                    return Some(Value { end: at + 1, text });
                }
                c if c == ',' || c.is_whitespace() => {
                    text.push(c);
                    at += c.len_utf8();
                }
                _ => {
                    let (key, mark, value) = parts(rest)?;
                    let name = key.trim();
                    if mark == ':' {
                        self.wrong.push((Wrong::Colon, at + value - 1..at + value));
                    } else if mark != '=' {
                        return None;
                    }
                    let kind = self.kind(name).unwrap_or(Kind::Text);
                    let value = self.value(at + value, kind, Place::Table)?;
                    text.push_str(name);
                    text.push_str(" = ");
                    text.push_str(&value.text);
                    at = value.end;
                }
            }
        }
    }
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On a line of its own.
    Line,
    List,
    Table,
}

fn value_is_list(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::Ports | Kind::Regex)
}

/// Returns the key of a line, the sign behind it (a space if there is none), and where the value begins.
fn parts(line: &str) -> Option<(&str, char, usize)> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c);
    let key = line.get(..line.find(|c: char| !is_key(c))?)?;
    let rest = line.get(key.len()..)?;
    let sign = rest.trim_start();
    let at = key.len() + rest.len() - sign.len();
    let mark = match sign.chars().next()? {
        '=' => '=',
        ':' => ':',
        _ if rest.len() > sign.len() => return (!key.is_empty()).then_some((key, ' ', at)),
        _ => return None,
    };
    // `:=` and `==`.
    let more = sign.get(1..)?.len() - sign.get(1..)?.trim_start_matches('=').len();
    (!key.is_empty()).then_some((key, if more > 0 { ':' } else { mark }, at + 1 + more))
}

/// Whether text begins like a comment of another language.
fn is_comment(text: &str) -> bool {
    text.starts_with(';') || text.starts_with("//")
}

/// Returns a value of a list as it is written.
fn item_of(text: &str, kind: Kind) -> String {
    match kind {
        Kind::Ports if text.bytes().all(|byte| byte.is_ascii_digit()) => text.to_owned(),
        Kind::Ports => quote(&text.replace(':', "-")),
        _ => quote(text),
    }
}

/// Returns a text in quotes.
fn quote(text: &str) -> String {
    match (text.contains(['"', '\\']), text.contains('\'')) {
        (false, _) => format!("\"{text}\""),
        (true, false) => format!("'{text}'"),
        (true, true) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// Puts what the TOML parser says about `text` in words for people who do not think in TOML.
pub(crate) fn syntax(message: &str, text: &str) -> (String, Option<String>) {
    if message.starts_with("string values must be quoted") {
        return if text.is_empty() {
            ("a value is missing".to_owned(), Some("write it after the =".to_owned()))
        } else {
            ("quotes are missing".to_owned(), Some(format!("write \"{text}\"")))
        };
    }
    let is = |words: &[&str]| words.iter().any(|words| message.contains(words));
    let (message, help) = match message {
        "duplicate key" => (message, "it is there already, further up: keep one of the two"),
        _ if is(&["key with no value", "expected key", "unquoted key", "quoted key"]) => (
            "this is no setting",
            "a setting is written key = value, a section [default] or [jail.NAME], and a comment begins with #",
        ),
        _ if is(&["unclosed table", "unclosed array table", "missing table"]) => (
            "this is no section",
            "a section is written [default] or [jail.NAME], alone on its line",
        ),
        _ if is(&["unexpected key or value"]) => {
            ("there is more on this line than one value", "begin a new line, or a comment with #")
        }
        _ if is(&["extend value of type", "dotted key"]) => (
            "this key has a value already, further up",
            "write all parts of it into one line, as in bantime = { first = \"1h\", factor = 4 }",
        ),
        _ if is(&["escape"]) => {
            (message, "write it in single quotes: nothing in them needs escaping")
        }
        _ if is(&["unclosed array", "unclosed inline table", "missing comma", "extra comma"]) => {
            (message, "a list is written [\"a\", \"b\"], and a table { a = 1, b = 2 }")
        }
        _ => return (message.to_owned(), None),
    };
    (message.to_owned(), Some(help.to_owned()))
}
