//! One failregex of fail2ban's: searched for in a line as fail2ban does, in bounded time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regex_automata::meta::Regex;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::python_regex::{HOST_GROUPS, NoPython, Translated, translate};
use super::{Grammar, byte_regex};

/// The number of steps back that a regex with look-around or back-references may take in one line.
const BACKTRACKS: usize = 20_000;
/// The longest line in which such a regex is tried, in bytes: longer ones hold no message of Asterisk's.
const LONGEST_LINE: usize = 8192;
/// The shortest literal that tells which message this is.
const SHORTEST_MARK: usize = 5;
/// The shortest literal that lines are looked for by.
const SHORTEST_NEEDLE: usize = 6;

/// What a line holds for a failregex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It does not match.
    Nothing,
    /// It matches, and this is the host.
    Host(IpAddr),
    /// It matches, and where the host should stand is a name or something else.
    NoAddress,
    /// It took more steps than it may: it counts as no match.
    GaveUp,
}

/// A failregex, ready to run.
#[derive(Clone, Debug)]
pub struct Search {
    exact: LineRegex,
    /// A regex anchored at both ends that an automaton can run; every line that matches, it matches.
    gate: String,
    /// Whether the host can be named by nobody but the program that writes the log.
    pub pinned: bool,
    /// Literals that every matching line holds, though it has a date.
    pub needles: Vec<Vec<u8>>,
    given_up: Arc<AtomicU64>,
}

/// A regex that is searched for in lines.
#[derive(Clone, Debug)]
pub enum LineRegex {
    /// Takes time in proportion to the line.
    Plain(Regex),
    /// Steps back, up to a limit. It reads a character for each byte.
    Backtracking(Arc<fancy_regex::Regex>),
}

impl LineRegex {
    /// Reads a regex in the syntax of rules with this grammar: Python's, or ours.
    ///
    /// # Errors
    /// When it is no regex, or holds what cannot be had here.
    pub fn read(source: &str, grammar: Grammar) -> Result<Self, NoSearch> {
        if grammar == Grammar::Fail2ban {
            return Self::new(&translate(source)?);
        }
        byte_regex(source).map(Self::Plain).map_err(|error| reason(&*error))
    }

    fn new(translated: &Translated) -> Result<Self, NoSearch> {
        if !translated.backtracks {
            return byte_regex(&translated.exact).map(Self::Plain).map_err(|error| reason(&*error));
        }
        let regex = fancy_regex::RegexBuilder::new(&translated.exact)
            .backtrack_limit(BACKTRACKS)
            .delegate_size_limit(1 << 20)
            .delegate_dfa_size_limit(1 << 20)
            .build();
        regex.map(|regex| Self::Backtracking(Arc::new(regex))).map_err(|error| reason(&error))
    }

    /// Whether it matches anywhere in a line; not if that takes more steps than it may.
    #[must_use]
    pub fn is_match(&self, line: &[u8]) -> bool {
        match self {
            Self::Plain(regex) => regex.is_match(line),
            Self::Backtracking(_) if line.len() > LONGEST_LINE => false,
            Self::Backtracking(regex) => regex.is_match(&as_text(line)).unwrap_or(false),
        }
    }
}

/// Returns text with a character for each byte.
fn as_text(line: &[u8]) -> String {
    line.iter().copied().map(char::from).collect()
}

impl Search {
    /// Reads a failregex in Python's syntax, with fail2ban's tags.
    ///
    /// # Errors
    /// When it is no regex, holds no host, or something that cannot be had here.
    pub fn new(source: &str) -> Result<Self, NoSearch> {
        let translated = translate(source)?;
        let has = |group: &str| translated.groups.iter().any(|known| known == group);
        if !HOST_GROUPS.iter().any(|group| has(group)) {
            return Err(match () {
                () if has("dns") => NoSearch::OnlyNames,
                () if has("mlfid") => NoSearch::OtherLine,
                () => NoSearch::NoHost,
            });
        }
        let exact = LineRegex::new(&translated)?;
        let hir = parse(&translated.gate).map_err(NoSearch::Regex)?;
        let around = translated.around.as_ref();
        let pinned = around.is_some_and(|(head, tail)| is_pinned(head, tail));
        Ok(Self {
            gate: anchored(&translated.gate, &hir),
            exact,
            pinned,
            needles: needles(&hir),
            given_up: Arc::default(),
        })
    }

    /// Returns the regex, anchored at both ends, that lets through every line that this matches.
    #[must_use]
    pub fn gate(&self) -> &str {
        &self.gate
    }

    /// Whether it holds look-around or back-references.
    #[must_use]
    pub fn backtracks(&self) -> bool {
        matches!(self.exact, LineRegex::Backtracking(_))
    }

    /// Returns how many lines took more steps than they may.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Searches a line that the gate has let through.
    #[must_use]
    pub fn find(&self, line: &[u8]) -> Found {
        match &self.exact {
            LineRegex::Plain(regex) => {
                let mut captures = regex.create_captures();
                regex.captures(line, &mut captures);
                if !captures.is_match() {
                    return Found::Nothing;
                }
                let group = |name: &str| {
                    let span = captures.get_group_by_name(name)?;
                    std::str::from_utf8(line.get(span.range())?).ok().map(str::to_owned)
                };
                host(group)
            }
            LineRegex::Backtracking(regex) => {
                if line.len() > LONGEST_LINE {
                    return self.give_up();
                }
                match regex.captures(&as_text(line)) {
                    Ok(None) => Found::Nothing,
                    Ok(Some(captures)) => {
                        host(|name| captures.name(name).map(|found| found.as_str().to_owned()))
                    }
                    Err(_) => self.give_up(),
                }
            }
        }
    }

    fn give_up(&self) -> Found {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        Found::GaveUp
    }
}

/// The reason why a failregex cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoSearch {
    /// It cannot be translated.
    #[error(transparent)]
    Python(#[from] NoPython),
    /// It is no regex, or too large.
    #[error("this is no valid regex: {0}")]
    Regex(String),
    /// Nothing in it says who did it.
    #[error("no host stands in it: write <HOST> where the address stands")]
    NoHost,
    /// The host can only be a name.
    #[error(
        "only a name stands in it, and names in logs are never looked up: write <ADDR> where the address stands"
    )]
    OnlyNames,
    /// Another line names the host.
    #[error("another line names the host (<F-MLFID>), and one line is read at a time")]
    OtherLine,
}

/// Returns the innermost reason of an error.
fn reason(error: &dyn std::error::Error) -> NoSearch {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    NoSearch::Regex(last_line(&inner.to_string()))
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

/// Returns the host that the groups of a match name.
fn host(group: impl Fn(&str) -> Option<String>) -> Found {
    for name in HOST_GROUPS {
        let Some(text) = group(name).filter(|text| !text.is_empty()) else { continue };
        let text = text.trim_start_matches('[').trim_end_matches(']');
        let v4 = text.parse::<Ipv4Addr>().map(IpAddr::V4);
        return match v4.or_else(|_| text.parse::<Ipv6Addr>().map(IpAddr::V6)) {
            Ok(host) => Found::Host(host),
            Err(_) => Found::NoAddress,
        };
    }
    Found::NoAddress
}

/// Returns a regex anchored at both ends that matches all of every line in which `regex` matches anywhere.
fn anchored(regex: &str, hir: &Hir) -> String {
    let parts = parts(hir);
    let begins = matches!(parts.first().map(|part| part.kind()), Some(HirKind::Look(Look::Start)));
    let ends = matches!(parts.last().map(|part| part.kind()), Some(HirKind::Look(Look::End)));
    let head = if begins { "" } else { "(?s:.*)" };
    let tail = if ends { "" } else { "(?s:.*)" };
    format!("^{head}(?:{regex}){tail}$")
}

fn parse(regex: &str) -> Result<Hir, String> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(120)
        .build()
        .parse(regex)
        .map_err(|error| last_line(&error.to_string()))
}

fn parts(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    }
}

/// Whether nobody but the program that writes the log can name the host, as far as the regex alone tells: it begins with
/// the message that it is about, and on one side of the host stands nothing up to the line's end in which an
/// address has room.
fn is_pinned(head: &str, tail: &str) -> bool {
    let (Ok(head), Ok(tail)) = (parse(head), parse(tail)) else { return false };
    let (head, tail) = (parts(&head), parts(&tail));
    let starts = matches!(head.first().map(|part| part.kind()), Some(HirKind::Look(Look::Start)));
    let ends = matches!(tail.last().map(|part| part.kind()), Some(HirKind::Look(Look::End)));
    let fixed_before = match head.last().map(|part| part.kind()) {
        Some(HirKind::Literal(literal)) => {
            literal.0.last().is_some_and(|byte| !is_of_address(*byte))
        }
        Some(HirKind::Look(Look::Start)) => true,
        _ => false,
    };
    let narrow = |parts: &[&Hir]| parts.iter().all(|part| is_narrow(part));
    starts
        && fixed_before
        && names_its_message(&head, &tail)
        && (narrow(&head) || (ends && narrow(&tail)))
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'.' || byte == b':'
}

/// Whether no address has room in what this matches: every piece without an end lacks both the dot and the colon.
fn is_narrow(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(repetition) if repetition.max.is_none_or(|max| max > 3) => {
            !may_hold(&repetition.sub, b'.') && !may_hold(&repetition.sub, b':')
        }
        HirKind::Repetition(repetition) => is_narrow(&repetition.sub),
        HirKind::Capture(capture) => is_narrow(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().all(is_narrow),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => true,
    }
}

/// Whether what this matches may hold a byte.
fn may_hold(hir: &Hir, byte: u8) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&byte),
        HirKind::Class(Class::Bytes(class)) => {
            class.iter().any(|range| (range.start()..=range.end()).contains(&byte))
        }
        HirKind::Class(Class::Unicode(_)) => true,
        HirKind::Repetition(repetition) => may_hold(&repetition.sub, byte),
        HirKind::Capture(capture) => may_hold(&capture.sub, byte),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().any(|part| may_hold(part, byte))
        }
    }
}

/// Whether a regex that begins with the line fixes which message it is about, before text of any kind: that could be
/// another message, in which a stranger quotes this one.
fn names_its_message(head: &[&Hir], tail: &[&Hir]) -> bool {
    for part in head.iter().chain(tail) {
        match part.kind() {
            HirKind::Literal(literal) if literal.0.len() >= SHORTEST_MARK => return true,
            // A prefix of Asterisk's holds the name of a file, up to a colon.
            HirKind::Repetition(repetition)
                if repetition.max.is_none_or(|max| max > 64) && may_hold(&repetition.sub, b':') =>
            {
                return false;
            }
            _ => {}
        }
    }
    false
}

/// Returns literals at the top level. A date may have stood wherever two bytes meet that are no letters: there, a literal is
/// taken apart.
fn needles(hir: &Hir) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for part in parts(hir) {
        let HirKind::Literal(literal) = part.kind() else { continue };
        let is_word = |byte: u8| byte.is_ascii_alphanumeric();
        let pieces = literal.0.chunk_by(|a, b| is_word(*a) || is_word(*b));
        found.extend(pieces.filter(|piece| piece.len() >= SHORTEST_NEEDLE).map(<[u8]>::to_vec));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(regex: &str, line: &str) -> Found {
        let search = Search::new(regex).unwrap();
        let gate = byte_regex(search.gate()).unwrap().is_match(line.as_bytes());
        let found = search.find(line.as_bytes());
        assert!(gate || found == Found::Nothing, "{regex}: {}", search.gate());
        found
    }

    fn host(text: &str) -> Found {
        Found::Host(text.parse().unwrap())
    }

    #[test]
    fn a_failregex_is_searched_anywhere() {
        assert_eq!(find("from <HOST>", "x from 192.0.2.1:5"), host("192.0.2.1"));
        assert_eq!(find("from <HOST>", "x from [2001:db8::1]:5"), host("2001:db8::1"));
        assert_eq!(find("from <ADDR>$", "from ::ffff:192.0.2.1"), host("192.0.2.1"));
        assert_eq!(find("from <SUBNET> ", "from 192.0.2.0/24 "), host("192.0.2.0"));
        assert_eq!(find("from <HOST>$", "from evil.example.com"), Found::NoAddress);
        assert_eq!(find("from <HOST>$", "from 999.1.1.1"), Found::NoAddress);
        assert_eq!(find("^from <HOST>$", "a from 192.0.2.1"), Found::Nothing);
        assert_eq!(find("^(?:a|b from) <HOST>", "b from ::1"), host("::1"));
        assert_eq!(find("by (?P<host>\\S+)$", "by 192.0.2.1"), host("192.0.2.1"));
        assert_eq!(find("of <F-ID>\\S+</F-ID>", "of alice"), Found::NoAddress);
        // The greedy star takes all but the last address, as in Python.
        assert_eq!(find(".* <ADDR>", "1 192.0.2.1 2 192.0.2.2"), host("192.0.2.2"));
    }

    #[test]
    fn look_around_and_back_references_work() {
        assert_eq!(
            find("(?<!not )from <HOST>", "not from 192.0.2.1 from 192.0.2.2"),
            host("192.0.2.2")
        );
        assert_eq!(find(r#"^(["'])x\1 <HOST>(?!:)"#, "\"x\" 192.0.2.1"), host("192.0.2.1"));
        assert_eq!(find(r"^(a)?b(?(1)c|d) <HOST>", "bd 192.0.2.1"), host("192.0.2.1"));
        let line = b"\xff\xe9 from 192.0.2.1";
        let search = Search::new(r"^\S+ from <HOST>(?=$)").unwrap();
        assert_eq!(search.find(line), host("192.0.2.1"));
    }

    #[test]
    fn a_catastrophic_pattern_is_given_up() {
        let search = Search::new(r"^(?:a?){40}(a*)*\1c<HOST>").unwrap();
        let line = format!("{} 192.0.2.1", "a".repeat(8000));
        assert_eq!(search.find(line.as_bytes()), Found::GaveUp);
        assert_eq!(search.given_up(), 1);
        // The same count, wherever it is used.
        assert_eq!(search.clone().find(&b"a".repeat(LONGEST_LINE + 1)), Found::GaveUp);
        assert_eq!(search.given_up(), 2);
    }

    #[test]
    fn hosts_are_pinned_by_fixed_text_up_to_an_end() {
        let pinned = |regex: &str| Search::new(regex).unwrap().pinned;
        for good in [
            r"^\s*NOTICE\[\d+\] [^:]+: refused '.*' from '<HOST>'$",
            r"^door: <HOST> knocked .*$",
            r"^door: '[^']*' by <ADDR>(?::\d+)? - (?:no|never)$",
        ] {
            assert!(pinned(good), "{good}");
        }
        for bad in [
            r"refused '.*' from '<HOST>'$",
            r"^.* refused '.*' from '<HOST>'$",
            r"^refused '.*' from '<HOST>'",
            r"^refused '.*' from '<HOST>' .*$",
            r"^refused .*<HOST>$",
            r"^refused (?:by|from) .* (?:<HOST>)$",
        ] {
            assert!(!pinned(bad), "{bad}");
        }
    }

    #[test]
    fn literals_do_not_span_a_place_where_a_date_may_have_been() {
        let search = Search::new(r#"^<ADDR> - \[\] "GET /admin" failed for user$"#).unwrap();
        let needles: Vec<_> = search.needles.iter().map(|n| String::from_utf8_lossy(n)).collect();
        assert_eq!(needles, ["/admin\"", " failed for user"]);
    }

    #[test]
    fn what_names_nobody_is_refused() {
        assert_eq!(Search::new("^failed$").unwrap_err(), NoSearch::NoHost);
        assert_eq!(Search::new("^failed <F-USER>x</F-USER>$").unwrap_err(), NoSearch::NoHost);
        assert_eq!(Search::new("^<DNS> failed$").unwrap_err(), NoSearch::OnlyNames);
        assert!(matches!(Search::new("(<HOST>"), Err(NoSearch::Python(_))));
        assert!(matches!(Search::new("(?P<ip4>a)<HOST>"), Err(NoSearch::Regex(_))));
    }
}
