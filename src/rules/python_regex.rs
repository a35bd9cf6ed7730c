//! Python's `re` syntax, with the tags of fail2ban's failregexes, to regexes over bytes.
//!
//! A regex becomes two. One says the same. Where it holds look-around, back-references or atomic groups, only a
//! backtracking matcher can run it; then it is meant for text in which each character is a byte. The other is a *gate*: an
//! automaton runs it, and it lets through everything that the first matches, and more.

use std::fmt::Write as _;

use thiserror::Error;

/// How deep groups may stand in groups.
const DEEPEST: usize = 40;
/// Bytes that a regex may have, after its tags are replaced.
pub const LONGEST: usize = 16 << 10;
/// The highest number of repeats.
const MOST_REPEATS: u32 = 1000;

/// The groups that hold the host, in the order in which fail2ban looks for it.
pub const HOST_GROUPS: [&str; 4] = ["fid", "ip4", "ip6", "host"];

const IP4: &str = r"(?:::[fF]{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}:|:){2,7}(?:[0-9a-fA-F]{1,4}|:)?)";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
/// A small superset of every host tag.
const HOST_GATE: &str = r"[0-9A-Za-z_.:^/\[\]\x80-\xff-]+";
const CIDR: &str = r"(?P<cidr>\d+)";

/// A regex of fail2ban's, translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// Matches what the original matches.
    pub exact: String,
    /// Matches that and more.
    pub gate: String,
    /// Whether `exact` needs a backtracking matcher.
    pub backtracks: bool,
    /// The gate of what stands before the host and of what stands behind it, if the host stands at the top level, once.
    pub around: Option<(String, String)>,
    /// The names of its groups.
    pub groups: Vec<String>,
}

/// The reason why a regex cannot be translated.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NoPython {
    /// It is longer than [`LONGEST`].
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    /// Groups in groups in groups.
    #[error("groups stand deeper than {DEEPEST} in one another")]
    TooDeep,
    /// It ends inside of something.
    #[error("`{0}` is not closed")]
    NotClosed(&'static str),
    /// A closing parenthesis alone.
    #[error("`)` closes nothing")]
    Unopened,
    /// A repeat of nothing.
    #[error("`{0}` repeats nothing")]
    NothingToRepeat(char),
    /// A repeat that is too high.
    #[error("more than {MOST_REPEATS} repeats")]
    TooMany,
    /// Something that this translation does not know.
    #[error("`{0}` is not known here")]
    Unknown(String),
    /// Several lines at once.
    #[error("<SKIPLINES> needs several lines at once, and one line is read at a time")]
    Lines,
    /// A character that is several bytes, in a class.
    #[error("`{0}` in a class is several bytes: write it as an alternative, (?:…|…)")]
    Wide(char),
    /// A class without anything in it.
    #[error("a class ends before it begins: `{0}`")]
    Range(String),
}

/// Translates a regex.
///
/// # Errors
/// When it is none, or holds what cannot be had here; see [`NoPython`].
pub fn translate(source: &str) -> Result<Translated, NoPython> {
    let (text, host) = expand(source)?;
    let mut parser = Parser {
        rest: &text,
        whole: text.len(),
        host,
        depth: 0,
        backtracks: false,
        ignore_case: false,
        groups: Vec::new(),
        around: None,
    };
    let both = parser.alternatives(true)?;
    if !parser.rest.is_empty() {
        return Err(NoPython::Unopened);
    }
    Ok(Translated {
        exact: both.exact,
        gate: both.gate,
        backtracks: parser.backtracks,
        around: parser.around,
        groups: parser.groups,
    })
}

/// Splits a regex at the `|` that stand in no group.
#[must_use]
pub fn branches(source: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut class) = (Vec::new(), 0, 0_usize, None::<usize>);
    let mut chars = source.char_indices();
    while let Some((at, c)) = chars.next() {
        match (class, c) {
            (_, '\\') => {
                chars.next();
            }
            (Some(begin), ']') if at > begin => class = None,
            (None, '[') => {
                let rest = source.get(at + 1..).unwrap_or_default();
                let first = at + 1 + usize::from(rest.starts_with('^'));
                // A bracket that closes right away is a member.
                class = Some(first);
            }
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, '|') if depth == 0 => {
                parts.extend(source.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(source.get(start..));
    parts
}

/// Replaces fail2ban's tags, and returns where the first host tag stands in the result, and where it ends.
fn expand(source: &str) -> Result<(String, Option<(usize, usize)>), NoPython> {
    let mut out = String::new();
    let mut host = None;
    let mut open: Vec<String> = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find('<') {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let group = before.ends_with("(?P") || before.ends_with("(?");
        let end = behind.find('>').filter(|end| !group && *end > 1);
        let Some((tag, after)) = end.map(|end| {
            (behind.get(1..end).unwrap_or_default(), behind.get(end + 1..).unwrap_or_default())
        }) else {
            out.push('<');
            rest = behind.get(1..).unwrap_or_default();
            continue;
        };
        let start = out.len();
        let address = || format!(r"(?:\[?(?:{IP4}|{IP6})\]?)");
        match tag {
            "SKIPLINES" => return Err(NoPython::Lines),
            "HOST" => write(&mut out, format_args!("(?:{}|{DNS})", address())),
            "ADDR" | "F-ADDR/" => out.push_str(&address()),
            "IP4" | "F-IP4/" => write(&mut out, format_args!("(?:{IP4})")),
            "IP6" | "F-IP6/" => write(&mut out, format_args!("(?:{IP6})")),
            "DNS" | "F-DNS/" => out.push_str(DNS),
            "CIDR" | "F-CIDR/" => out.push_str(CIDR),
            "SUBNET" | "F-SUBNET/" => {
                write(&mut out, format_args!(r"(?:\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?)"));
            }
            "F-ID/" => out.push_str(r"(?P<fid>\S+)"),
            "F-PORT/" => out.push_str(r"(?P<fport>\w+)"),
            _ => match (tag.strip_prefix("F-"), tag.strip_prefix("/F-")) {
                (Some(name), _) if is_custom(name) => {
                    open.push(name.to_owned());
                    write(&mut out, format_args!("(?P<{}>", group_name(name)));
                }
                (_, Some(name)) if open.iter().any(|open| open == name) => out.push(')'),
                _ => {
                    out.push('<');
                    rest = behind.get(1..).unwrap_or_default();
                    continue;
                }
            },
        }
        if host.is_none()
            && matches!(
                tag,
                "HOST"
                    | "ADDR"
                    | "F-ADDR/"
                    | "IP4"
                    | "F-IP4/"
                    | "IP6"
                    | "F-IP6/"
                    | "SUBNET"
                    | "F-SUBNET/"
            )
        {
            host = Some((start, out.len()));
        }
        rest = after;
        if out.len() > LONGEST {
            return Err(NoPython::TooLong);
        }
    }
    out.push_str(rest);
    if out.len() > LONGEST { Err(NoPython::TooLong) } else { Ok((out, host)) }
}

fn is_custom(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    !name.is_empty() && name.bytes().all(known)
}

fn group_name(tag: &str) -> String {
    match tag {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        _ => tag.to_lowercase().replace('-', "_"),
    }
}

/// A piece, as the exact regex has it and as the gate has it.
#[derive(Default)]
struct Both {
    exact: String,
    gate: String,
}

impl Both {
    fn same(text: &str) -> Self {
        Self { exact: text.to_owned(), gate: text.to_owned() }
    }

    fn push(&mut self, other: &Self) {
        self.exact.push_str(&other.exact);
        self.gate.push_str(&other.gate);
    }
}

struct Parser<'a> {
    rest: &'a str,
    whole: usize,
    /// Where the host stands in the text.
    host: Option<(usize, usize)>,
    depth: usize,
    backtracks: bool,
    ignore_case: bool,
    groups: Vec<String>,
    around: Option<(String, String)>,
}

impl Parser<'_> {
    fn at(&self) -> usize {
        self.whole - self.rest.len()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Reads up to the end, or to a closing parenthesis.
    fn alternatives(&mut self, top: bool) -> Result<Both, NoPython> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(NoPython::TooDeep);
        }
        let ignore_case = self.ignore_case;
        let mut all = self.sequence(top)?;
        while self.eat("|") {
            self.around = self.around.take().filter(|_| !top);
            let next = self.sequence(false)?;
            all.exact.push('|');
            all.gate.push('|');
            all.push(&next);
        }
        self.ignore_case = ignore_case;
        self.depth -= 1;
        Ok(all)
    }

    fn sequence(&mut self, top: bool) -> Result<Both, NoPython> {
        let mut all = Both::default();
        let mut head = None;
        while let Some(c) = self.rest.chars().next().filter(|c| *c != '|' && *c != ')') {
            let start = self.at();
            if top && self.host.is_some_and(|(begin, _)| begin == start) {
                head = Some(all.gate.len());
            }
            if "*+?".contains(c) {
                return Err(NoPython::NothingToRepeat(c));
            }
            let mut piece = self.piece()?;
            if self.host == Some((start, self.at())) {
                HOST_GATE.clone_into(&mut piece.gate);
            }
            let (piece, repeated) = self.repeats(piece)?;
            all.push(&piece);
            if top && self.host.is_some_and(|(_, end)| end == self.at()) && !repeated {
                let begin = head.unwrap_or_default();
                self.around = all.gate.get(..begin).map(|head| (head.to_owned(), String::new()));
                head = Some(all.gate.len());
            }
        }
        if let (true, Some((_, tail)), Some(end)) = (top, &mut self.around, head) {
            all.gate.get(end..).unwrap_or_default().clone_into(tail);
        }
        Ok(all)
    }

    /// Reads what can be repeated.
    fn piece(&mut self) -> Result<Both, NoPython> {
        let Some(c) = self.next() else { return Ok(Both::default()) };
        Ok(match c {
            '(' => return self.group(),
            '[' => Both::same(&self.class()?),
            '\\' => return self.escape(),
            '.' => Both::same(r"[^\n]"),
            '^' => Both::same("^"),
            '$' => Both::same("$"),
            c => Both::same(&literal(c)),
        })
    }

    /// Reads the repeats behind a piece, and returns whether there are any.
    fn repeats(&mut self, piece: Both) -> Result<(Both, bool), NoPython> {
        let count = match self.rest.chars().next() {
            Some(c @ ('*' | '+' | '?')) => {
                self.next();
                c.to_string()
            }
            Some('{') => match self.counted()? {
                Some(count) => count,
                None => return Ok((piece, false)),
            },
            _ => return Ok((piece, false)),
        };
        let lazy = self.eat("?");
        let possessive = !lazy && self.eat("+");
        self.backtracks |= possessive;
        let mark = if lazy { "?" } else { "" };
        let exact = if possessive {
            format!("(?>(?:{}){count})", piece.exact)
        } else {
            format!("(?:{}){count}{mark}", piece.exact)
        };
        let both = Both { exact, gate: format!("(?:{}){count}{mark}", piece.gate) };
        if self.rest.starts_with(['*', '+', '?']) {
            return Err(NoPython::NothingToRepeat(self.rest.chars().next().unwrap_or('*')));
        }
        Ok((both, true))
    }

    /// Reads `{2}`, `{2,}`, `{,3}` or `{2,3}`; anything else is a brace.
    fn counted(&mut self) -> Result<Option<String>, NoPython> {
        let Some((inner, rest)) = self.rest.get(1..).and_then(|rest| rest.split_once('}')) else {
            return Ok(None);
        };
        let (low, high) = match inner.split_once(',') {
            Some((low, high)) => (low, Some(high)),
            None => (inner, None),
        };
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let good = is_number(low)
            && high.is_none_or(is_number)
            && (!low.is_empty() || high.is_some_and(|high| !high.is_empty()));
        if !good {
            return Ok(None);
        }
        let number = |text: &str| {
            text.parse::<u32>().ok().filter(|n| *n <= MOST_REPEATS).ok_or(NoPython::TooMany)
        };
        let low = if low.is_empty() { 0 } else { number(low)? };
        let count = match high {
            None => format!("{{{low}}}"),
            Some("") => format!("{{{low},}}"),
            Some(high) => format!("{{{low},{}}}", number(high)?),
        };
        self.rest = rest;
        Ok(Some(count))
    }

    /// Reads what stands behind `(`.
    fn group(&mut self) -> Result<Both, NoPython> {
        if !self.eat("?") {
            let inner = self.inner()?;
            return Ok(Both {
                exact: format!("({})", inner.exact),
                gate: format!("(?:{})", inner.gate),
            });
        }
        if self.eat("#") {
            let (_, rest) = self.rest.split_once(')').ok_or(NoPython::NotClosed("(?#"))?;
            self.rest = rest;
            return Ok(Both::same("(?:)"));
        }
        if self.eat(":") {
            let inner = self.inner()?;
            return Ok(Both {
                exact: format!("(?:{})", inner.exact),
                gate: format!("(?:{})", inner.gate),
            });
        }
        for around in ["=", "!", "<=", "<!"] {
            if self.eat(around) {
                let inner = self.inner()?;
                self.backtracks = true;
                return Ok(Both {
                    exact: format!("(?{around}{})", inner.exact),
                    gate: "(?:)".to_owned(),
                });
            }
        }
        if self.eat(">") {
            let inner = self.inner()?;
            self.backtracks = true;
            return Ok(Both {
                exact: format!("(?>{})", inner.exact),
                gate: format!("(?:{})", inner.gate),
            });
        }
        if self.eat("P<") || self.eat("<") {
            let name = self.name('>', "(?P<")?;
            let inner = self.inner()?;
            self.groups.push(name.clone());
            return Ok(Both {
                exact: format!("(?P<{name}>{})", inner.exact),
                gate: format!("(?:{})", inner.gate),
            });
        }
        if self.eat("P=") {
            let name = self.name(')', "(?P=")?;
            return Ok(self.same_as(&format!(r"\k<{name}>")));
        }
        if self.eat("(") {
            let which = self.name(')', "(?(")?;
            let mut branches = vec![self.sequence(false)?];
            while self.eat("|") {
                branches.push(self.sequence(false)?);
            }
            self.close()?;
            self.backtracks = true;
            let which = if which.bytes().all(|b| b.is_ascii_digit()) {
                which
            } else {
                format!("<{which}>")
            };
            let exact: Vec<_> = branches.iter().map(|branch| branch.exact.as_str()).collect();
            let gates: Vec<_> = branches.iter().map(|branch| branch.gate.as_str()).collect();
            let none = if gates.len() == 1 { "|" } else { "" };
            return Ok(Both {
                exact: format!("(?({which}){})", exact.join("|")),
                gate: format!("(?:{}{none})", gates.join("|")),
            });
        }
        self.flags()
    }

    /// Reads `(?i)` and `(?i:…)`.
    fn flags(&mut self) -> Result<Both, NoPython> {
        let end = self.rest.find([')', ':']).ok_or(NoPython::NotClosed("(?"))?;
        let (flags, rest) = self.rest.split_at(end);
        let (on, off) = flags.split_once('-').unwrap_or((flags, ""));
        let unknown = || NoPython::Unknown(format!("(?{flags}"));
        // (?a), (?u), (?L) choose letters beyond ASCII, (?m) and (?s) are about line ends: no line holds one.
        if !on.chars().chain(off.chars()).all(|c| "aiLmsu".contains(c)) {
            return Err(unknown());
        }
        let before = self.ignore_case;
        self.ignore_case = (before || on.contains('i')) && !off.contains('i');
        let flag = if self.ignore_case { "i" } else { "-i" };
        if let Some(rest) = rest.strip_prefix(')') {
            self.rest = rest;
            return Ok(Both::same(&format!("(?{flag})")));
        }
        self.rest = rest.get(1..).unwrap_or_default();
        let inner = self.alternatives(false)?;
        self.close()?;
        self.ignore_case = before;
        Ok(Both {
            exact: format!("(?{flag}:{})", inner.exact),
            gate: format!("(?{flag}:{})", inner.gate),
        })
    }

    fn inner(&mut self) -> Result<Both, NoPython> {
        let inner = self.alternatives(false)?;
        self.close()?;
        Ok(inner)
    }

    fn close(&mut self) -> Result<(), NoPython> {
        if self.eat(")") { Ok(()) } else { Err(NoPython::NotClosed("(")) }
    }

    fn name(&mut self, end: char, what: &'static str) -> Result<String, NoPython> {
        let (name, rest) = self.rest.split_once(end).ok_or(NoPython::NotClosed(what))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(NoPython::Unknown(format!("{what}{name}")));
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    /// Refers to what a group has matched.
    fn same_as(&mut self, group: &str) -> Both {
        self.backtracks = true;
        Both { exact: format!("(?:{group})"), gate: r"[^\n]*".to_owned() }
    }

    /// Reads what stands behind a backslash.
    fn escape(&mut self) -> Result<Both, NoPython> {
        let Some(c) = self.next() else { return Err(NoPython::NotClosed("\\")) };
        Ok(Both::same(&match c {
            'A' => "^".to_owned(),
            'Z' | 'z' => "$".to_owned(),
            // Which letters there are beyond ASCII is not the same for both.
            'b' | 'B' => return Ok(Both { exact: format!(r"\{c}"), gate: "(?:)".to_owned() }),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => written(&members(c)),
            '1'..='9' => {
                let mut number = c.to_string();
                if let Some(digit) = self.rest.chars().next().filter(char::is_ascii_digit) {
                    self.next();
                    number.push(digit);
                }
                return Ok(self.same_as(&format!(r"\{number}")));
            }
            c => match self.escaped(c)? {
                Escaped::Byte(byte) => format!(r"\x{byte:02x}"),
                Escaped::Char(c) => literal(c),
            },
        }))
    }

    /// Reads an escape that stands for one character.
    fn escaped(&mut self, c: char) -> Result<Escaped, NoPython> {
        let byte = |byte: u8| Ok(Escaped::Byte(byte));
        match c {
            'n' => byte(b'\n'),
            'r' => byte(b'\r'),
            't' => byte(b'\t'),
            'f' => byte(0x0c),
            'v' => byte(0x0b),
            'a' => byte(0x07),
            '0' => {
                let digits =
                    self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                let (octal, rest) = self.rest.split_at(digits);
                self.rest = rest;
                byte(if octal.is_empty() { 0 } else { u8::from_str_radix(octal, 8).unwrap_or(0) })
            }
            'x' => {
                let number = self.hex(2)?;
                // A character, which is two bytes beyond ASCII.
                char::from_u32(number)
                    .map(Escaped::Char)
                    .ok_or_else(|| NoPython::Unknown(r"\x".to_owned()))
            }
            'u' => char::from_u32(self.hex(4)?)
                .map(Escaped::Char)
                .ok_or_else(|| NoPython::Unknown(r"\u".to_owned())),
            c if c.is_ascii_alphanumeric() => Err(NoPython::Unknown(format!("\\{c}"))),
            c => Ok(Escaped::Char(c)),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<u32, NoPython> {
        let unknown = || NoPython::Unknown(r"\x".to_owned());
        let text = self.rest.get(..digits).ok_or_else(unknown)?;
        let number = u32::from_str_radix(text, 16).map_err(|_| unknown())?;
        self.rest = self.rest.get(digits..).unwrap_or_default();
        Ok(number)
    }

    /// Reads a class behind its `[`.
    fn class(&mut self) -> Result<String, NoPython> {
        let negated = self.eat("^");
        let mut set = [false; 256];
        let mut first = true;
        loop {
            let Some(c) = self.next() else { return Err(NoPython::NotClosed("[")) };
            if c == ']' && !first {
                break;
            }
            first = false;
            let low = match self.member(c)? {
                Member::Several(several) => {
                    set.iter_mut().zip(*several).for_each(|(member, more)| *member |= more);
                    continue;
                }
                Member::One(byte) => byte,
            };
            let is_range = self.rest.starts_with('-')
                && !self.rest.get(1..).unwrap_or_default().starts_with(']');
            let high = if is_range && self.rest.len() > 1 {
                self.next();
                let c = self.next().ok_or(NoPython::NotClosed("["))?;
                match self.member(c)? {
                    Member::One(high) => high,
                    Member::Several(several) => {
                        // `[\w-\d]`: the dash is a member.
                        set.iter_mut().zip(*several).for_each(|(member, more)| *member |= more);
                        mark(&mut set, b'-', b'-');
                        low
                    }
                }
            } else {
                low
            };
            if high < low {
                return Err(NoPython::Range(format!("{}-{}", char::from(low), char::from(high))));
            }
            mark(&mut set, low, high);
        }
        if self.ignore_case {
            for letter in b'a'..=b'z' {
                let (small, big) = (usize::from(letter), usize::from(letter.to_ascii_uppercase()));
                let either = [small, big].iter().any(|at| set.get(*at) == Some(&true));
                for at in [small, big] {
                    set.get_mut(at).into_iter().for_each(|member| *member = either);
                }
            }
        }
        if negated {
            set = set.map(|member| !member);
        }
        Ok(written(&set))
    }

    fn member(&mut self, c: char) -> Result<Member, NoPython> {
        let c = match c {
            '\\' => {
                let c = self.next().ok_or(NoPython::NotClosed("["))?;
                match c {
                    'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                        return Ok(Member::Several(Box::new(members(c))));
                    }
                    'b' => return Ok(Member::One(8)),
                    c => match self.escaped(c)? {
                        Escaped::Byte(byte) => return Ok(Member::One(byte)),
                        Escaped::Char(c) => c,
                    },
                }
            }
            c => c,
        };
        u8::try_from(c).ok().filter(u8::is_ascii).map(Member::One).ok_or(NoPython::Wide(c))
    }
}

enum Escaped {
    Byte(u8),
    Char(char),
}

enum Member {
    One(u8),
    Several(Box<[bool; 256]>),
}

fn mark(set: &mut [bool; 256], low: u8, high: u8) {
    let range = usize::from(low)..=usize::from(high);
    set.get_mut(range).into_iter().flatten().for_each(|member| *member = true);
}

/// Returns the bytes of `\d`, `\s`, `\w` and their opposites. Bytes of letters beyond ASCII are letters.
fn members(class: char) -> [bool; 256] {
    let mut set = [false; 256];
    match class.to_ascii_lowercase() {
        'd' => mark(&mut set, b'0', b'9'),
        's' => [(0x09, 0x0d), (0x1c, 0x20)]
            .into_iter()
            .for_each(|(low, high)| mark(&mut set, low, high)),
        _ => [(b'0', b'9'), (b'A', b'Z'), (b'a', b'z'), (b'_', b'_'), (0x80, 0xff)]
            .into_iter()
            .for_each(|(low, high)| mark(&mut set, low, high)),
    }
    if class.is_ascii_uppercase() {
        set = set.map(|member| !member);
    }
    set
}

/// Writes a class of bytes.
fn written(set: &[bool; 256]) -> String {
    let mut out = String::from("[");
    let bytes: Vec<u8> =
        (0..=u8::MAX).zip(set).filter(|(_, member)| **member).map(|(byte, _)| byte).collect();
    for run in bytes.chunk_by(|a, b| a.wrapping_add(1) == *b) {
        match run {
            [one] => write(&mut out, format_args!(r"\x{one:02x}")),
            [first, .., last] => write(&mut out, format_args!(r"\x{first:02x}-\x{last:02x}")),
            [] => {}
        }
    }
    out.push(']');
    // Nothing at all.
    if bytes.is_empty() { r"[^\x00-\xff]".to_owned() } else { out }
}

/// Adds to a text, which does not fail.
fn write(out: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(what);
}

/// Writes a character as its bytes.
fn literal(c: char) -> String {
    if c.is_ascii_alphanumeric() {
        return c.to_string();
    }
    let mut bytes = String::new();
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        write(&mut bytes, format_args!(r"\x{byte:02x}"));
    }
    if c.is_ascii() { bytes } else { format!("(?:{bytes})") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::byte_regex;

    fn exact(source: &str) -> String {
        translate(source).unwrap().exact
    }

    fn finds(source: &str, text: &str) -> bool {
        let translated = translate(source).unwrap();
        assert!(!translated.backtracks, "{source}");
        byte_regex(&translated.exact).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn what_python_reads_otherwise_is_rewritten() {
        for (source, yes, no) in [
            (r"^a\<b\>$", "a<b>", "ab"),
            (r"^a{,2}b{x}$", "aab{x}", "aaab{x}"),
            (r"^[]a]+$", "]a]", "b"),
            (r"^[^]a]+$", "bc", "b]"),
            (r"^[[&&a~~-]+$", "[&a~-", "b"),
            (r"^\d+\Z", "12", "12a"),
            (r"^(?i)Ab[c]$", "aBC", "abd"),
            (r"^(?i:a)b$", "Ab", "AB"),
            (r"(?i)[^a]$", "b", "A"),
            (r"^\w+é$", "éé", "é "),
            (r"^\x41\u00e9\t$", "Aé\t", "A\t"),
            (r"^[\x2a\-\w]+$", "*-a", "+"),
            (r"^a(?#no)b$", "ab", "a"),
            (r"^[a\]b]$", "]", "\\"),
            (r"^'\ \/%\'$", "' /%'", "'"),
        ] {
            assert!(finds(source, yes), "{source} {yes} {}", exact(source));
            assert!(!finds(source, no), "{source} {no}");
        }
    }

    #[test]
    fn tags_become_groups() {
        let groups = |source: &str| translate(source).unwrap().groups;
        assert_eq!(groups("<HOST>"), ["ip4", "ip6", "dns"]);
        assert_eq!(groups("<F-USER>.*</F-USER> <ADDR>"), ["user", "ip4", "ip6"]);
        assert_eq!(groups("<F-ID/> a</F-X> <b> <"), ["fid"]);
        assert!(finds("^x <b> </F-X> <ADDR>$", "x <b> </F-X> [2001:db8::1]"));
        assert_eq!(translate("a<SKIPLINES>b"), Err(NoPython::Lines));
    }

    #[test]
    fn look_around_goes_to_the_second_step() {
        for source in
            ["a(?=b)c", "(?<!a)b", r"(a)\1", "(?P<q>a)(?P=q)", "(?>a+)b", "a++b", "(a)?(?(1)b|c)"]
        {
            let translated = translate(source).unwrap();
            assert!(translated.backtracks, "{source}");
            assert!(byte_regex(&translated.gate).is_ok(), "{source}");
            assert!(
                fancy_regex::Regex::new(&translated.exact).is_ok(),
                "{source}: {}",
                translated.exact
            );
        }
    }

    #[test]
    fn what_stands_around_the_host_is_known() {
        let around = |source: &str| translate(source).unwrap().around.is_some();
        assert!(around("^a <HOST> b$"));
        assert!(around("<HOST>"));
        for nested in
            ["^a (?:<HOST>|x)$", "^a <HOST>|b$", "^b|a <HOST>$", "^(<HOST>)$", "(?:<HOST>)+"]
        {
            assert!(!around(nested), "{nested}");
        }
        let (head, tail) = translate("^a <HOST>:1$").unwrap().around.unwrap();
        assert_eq!((head.as_str(), tail.as_str()), (r"^a\x20", r"\x3a1$"));
    }

    #[test]
    fn mistakes_are_named() {
        for (source, error) in [
            ("(a", NoPython::NotClosed("(")),
            ("a)", NoPython::Unopened),
            ("[a", NoPython::NotClosed("[")),
            ("*a", NoPython::NothingToRepeat('*')),
            ("a**", NoPython::NothingToRepeat('*')),
            (r"\q", NoPython::Unknown(r"\q".to_owned())),
            ("(?x) a", NoPython::Unknown("(?x".to_owned())),
            ("[b-a]", NoPython::Range("b-a".to_owned())),
            ("[é]", NoPython::Wide('é')),
            ("a{9999}", NoPython::TooMany),
        ] {
            assert_eq!(translate(source), Err(error), "{source}");
        }
        assert_eq!(translate(&"(".repeat(5000)), Err(NoPython::TooDeep));
        assert_eq!(translate(&"a".repeat(LONGEST + 1)), Err(NoPython::TooLong));
        assert_eq!(translate(&"<HOST>".repeat(1000)), Err(NoPython::TooLong));
    }

    #[test]
    fn branches_are_those_outside_of_groups() {
        assert_eq!(branches(r"a|(b|c)|[|]]|\||[^]|]"), ["a", "(b|c)", "[|]]", r"\|", "[^]|]"]);
    }

    proptest! {
        /// What the regex matches, the gate lets through.
        #[test]
        fn the_gate_is_open_for_every_match(
            pieces in proptest::collection::vec(proptest::sample::select(vec![
                "a", "b", "(?=a)", "(?!b)", "(", ")", "|", "*", "?", "[^a]", ".", r"\w", "(?:", r"\1", "(?<=a)", "{1,2}", "^", "$", "(?i)",
            ]), 0..12),
            text in "[abA ]{0,12}",
        ) {
            let source = pieces.concat();
            let Ok(translated) = translate(&source) else { return Ok(()) };
            let Ok(gate) = byte_regex(&translated.gate) else { return Ok(()) };
            let Ok(exact) = fancy_regex::Regex::new(&translated.exact) else { return Ok(()) };
            if exact.is_match(&text).unwrap_or(false) {
                prop_assert!(gate.is_match(text.as_bytes()), "{} {}", translated.exact, translated.gate);
            }
        }

        #[test]
        fn any_text_ends(source in r"[()\[\]{}?*+|\\^$.<>a-zA-Z0-9,:=!#P-]{0,60}") {
            let _ = translate(&source);
            let _ = branches(&source);
        }
    }
}
