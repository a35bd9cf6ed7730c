//! One failregex: its tags expanded, its shape checked, and what the matcher needs to know of it.

use regex_syntax::hir::{Hir, HirKind, Look};
use thiserror::Error;

use crate::rules::address_tag::AddressTag;
use crate::rules::expand;
use crate::rules::search::Search;

/// A literal shorter than this is in too many lines to tell which ones to look at.
const SHORTEST_NEEDLE: usize = 6;

/// A failregex, taken apart at its address.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As the rule file has it.
    pub source: String,
    /// With every tag expanded: a byte regex anchored at both ends.
    pub regex: String,
    /// The address tag that it holds.
    pub tag: AddressTag,
    /// The regex of everything before the address, and of everything behind it.
    pub around: (String, String),
    /// Whether there is no end to the text that may stand before the address.
    pub open: bool,
    /// The literal bytes right before the address; empty when the body begins with it.
    pub before: Vec<u8>,
    /// The literal bytes right behind the address; empty when the body ends with it.
    pub after: Vec<u8>,
    /// Literals of the message; every line that matches holds all of them.
    pub needles: Vec<Vec<u8>>,
    /// A failregex in fail2ban's own syntax; then `regex` is its gate, and the fields of the address say nothing.
    pub search: Option<Search>,
}

/// An error in a failregex, and what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// Not a regex.
    #[error("this is no valid regex: {0}")]
    Syntax(String),
    /// `^` or `$` is missing.
    #[error("a failregex is anchored at both ends: it begins with `^` and ends with `$`")]
    NotAnchored,
    /// No address tag, or several.
    #[error("a failregex holds exactly one address tag, and this one holds {0}; the tags are {tags}", tags = address_tags())]
    Addresses(usize),
    /// The tag is in a group or in one branch of several.
    #[error("the address tag stands in a group or an alternative; put it at the top level")]
    Nested,
    /// Something variable stands right before the tag.
    #[error(
        "right before the address tag there must be fixed text, so that the address can be found by it"
    )]
    NoFixedTextBefore,
    /// The text behind the tag could be part of an address.
    #[error(
        "right behind the address tag there must be fixed text that cannot be part of an address"
    )]
    OpenEnd,
    /// In angle brackets, but no tag.
    #[error("`{0}` is no tag; the tags are {tags}, <TEXT> and <VALUE>", tags = address_tags())]
    UnknownTag(String),
    /// A failregex in fail2ban's syntax that cannot be had here.
    #[error("{0}")]
    OfFail2ban(String),
}

fn address_tags() -> String {
    AddressTag::ALL.map(|(_, name)| name).join(", ")
}

impl Pattern {
    /// Reads a failregex.
    ///
    /// # Errors
    /// Returns an error if it is no regex or does not have the shape that lets its address be
    /// found; see [`PatternError`].
    pub fn new(source: &str) -> Result<Self, PatternError> {
        Self::read(source, true)
    }

    /// Reads a failregex for lines that no grammar of Asterisk's is stripped from: what it begins with is no file's
    /// name.
    ///
    /// # Errors
    /// Those of [`Pattern::new`].
    pub fn of_text(source: &str) -> Result<Self, PatternError> {
        Self::read(source, false)
    }

    fn read(source: &str, names_file: bool) -> Result<Self, PatternError> {
        let found = expand::address_tags(source);
        let [(tag, at, len)] = found[..] else { return Err(PatternError::Addresses(found.len())) };
        if !source.starts_with('^') || !source.ends_with('$') || source.ends_with(r"\$") {
            return Err(PatternError::NotAnchored);
        }
        let (head, tail) = (expanded(&source[..at])?, expanded(&source[at + len..])?);
        let regex = format!("{head}{}{tail}", tag.regex());
        let (head_hir, tail_hir) = (parse(&head), parse(&tail));
        if head_hir.is_err() || tail_hir.is_err() || has_flags(&regex) {
            parse(&regex)?;
        }
        let (Ok(head_hir), Ok(tail_hir)) = (head_hir, tail_hir) else {
            return Err(PatternError::Nested);
        };
        let (head_parts, tail_parts) = (parts(&head_hir), parts(&tail_hir));
        if !matches!(head_parts.first().map(|hir| hir.kind()), Some(HirKind::Look(Look::Start)))
            || !matches!(tail_parts.last().map(|hir| hir.kind()), Some(HirKind::Look(Look::End)))
        {
            // `^a|b<HOST>c$`: the anchors belong to branches.
            return Err(PatternError::Nested);
        }
        let before = match head_parts.last().map(|hir| hir.kind()) {
            Some(HirKind::Look(Look::Start)) => Vec::new(),
            Some(HirKind::Literal(literal)) => literal.0.to_vec(),
            _ => return Err(PatternError::NoFixedTextBefore),
        };
        let after = match tail_parts.first().map(|hir| hir.kind()) {
            Some(HirKind::Look(Look::End)) => Vec::new(),
            Some(HirKind::Literal(literal)) if ends_address(&literal.0) => literal.0.to_vec(),
            // Behind a word and a number, what comes is no part of an address.
            Some(HirKind::Literal(literal))
                if tag == AddressTag::HostWordPort
                    && literal.0.first().is_some_and(|byte| !byte.is_ascii_digit()) =>
            {
                literal.0.to_vec()
            }
            // A full stop that nothing follows ends a sentence.
            Some(HirKind::Literal(literal)) if *literal.0 == *b"." && tail_parts.len() == 2 => {
                literal.0.to_vec()
            }
            _ => return Err(PatternError::OpenEnd),
        };
        let open = head_hir.properties().maximum_len().is_none();
        let needles = needles(&head_parts, names_file).chain(needles(&tail_parts, false)).collect();
        Ok(Self {
            source: source.to_owned(),
            regex,
            tag,
            around: (head, tail),
            open,
            before,
            after,
            needles,
            search: None,
        })
    }

    /// Returns how many lines it gave up, because they took more steps than it may.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.search.as_ref().map_or(0, Search::given_up)
    }

    /// Reads a failregex in fail2ban's own syntax (`prefix = "fail2ban"`).
    ///
    /// # Errors
    /// [`PatternError::OfFail2ban`].
    pub fn of_fail2ban(source: &str) -> Result<Self, PatternError> {
        let search =
            Search::new(source).map_err(|error| PatternError::OfFail2ban(error.to_string()))?;
        Ok(Self {
            source: source.to_owned(),
            regex: search.gate().to_owned(),
            tag: AddressTag::Host,
            around: (String::new(), String::new()),
            open: true,
            before: Vec::new(),
            after: Vec::new(),
            needles: search.needles.clone(),
            search: Some(search),
        })
    }
}

/// Expands the text tags and refuses tags that there are not.
fn expanded(text: &str) -> Result<String, PatternError> {
    let expanded = expand::text_tags(text);
    // `(?P<name>` and `(?<name>` are groups, not tags.
    let stray = expanded.match_indices('<').find_map(|(at, _)| {
        let (before, behind) = expanded.split_at(at);
        let name = &behind[..=behind.find('>')?];
        let upper = name.len() > 2
            && name[1..name.len() - 1]
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b"[]:./ -".contains(&b));
        (upper && !before.ends_with("(?") && !before.ends_with("(?P")).then(|| name.to_owned())
    });
    stray.map_or(Ok(expanded), |tag| Err(PatternError::UnknownTag(tag)))
}

/// Whether a regex holds flags or names of groups. Without them, it is sound if its parts are.
fn has_flags(regex: &str) -> bool {
    regex.match_indices("(?").any(|(at, _)| !regex[at..].starts_with("(?:"))
}

fn parse(regex: &str) -> Result<Hir, PatternError> {
    regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(50)
        .build()
        .parse(regex)
        .map_err(|error| PatternError::Syntax(last_line(&error.to_string())))
}

/// regex-syntax prints the pattern with a caret of its own; the last line is the reason.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

fn parts(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    }
}

/// The literals among `parts` that are long enough to look for. A line may have the file name
/// and the message apart (`FILE:LINE FUNC: MESSAGE`), so where the text `names_file`, nothing up to the first
/// `: ` is taken.
fn needles(parts: &[&Hir], names_file: bool) -> impl Iterator<Item = Vec<u8>> {
    let mut in_file_name = names_file;
    let mut found = Vec::new();
    for part in parts {
        let HirKind::Literal(literal) = part.kind() else { continue };
        let mut text = &literal.0[..];
        if in_file_name {
            match memchr::memmem::find(text, b": ") {
                Some(end) => text = text.get(end + 2..).unwrap_or_default(),
                None => continue,
            }
            in_file_name = false;
        }
        if text.len() >= SHORTEST_NEEDLE {
            found.push(text.to_vec());
        }
    }
    found.into_iter()
}

/// Whether an address ends where `text` begins: with `.`, only if no digit follows.
fn ends_address(text: &[u8]) -> bool {
    match text {
        [b'.', next, ..] => !next.is_ascii_alphanumeric() && *next != b':' && *next != b'.',
        [b'.'] | [] => false,
        [first, ..] => !first.is_ascii_hexdigit() && *first != b':' && *first != b'%',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_taken_apart_at_its_address() {
        let pattern =
            Pattern::new(r"^chan_sip\.c: Registration from '<TEXT>' failed for '<HOST[:PORT]>' - Wrong password$")
                .unwrap();
        assert_eq!(pattern.tag, AddressTag::HostMaybePort);
        assert_eq!(pattern.before, b"' failed for '");
        assert_eq!(pattern.after, b"' - Wrong password");
        let needles: Vec<_> = pattern.needles.iter().map(|n| String::from_utf8_lossy(n)).collect();
        assert_eq!(needles, ["Registration from '", "' failed for '", "' - Wrong password"]);

        let first = Pattern::new(r"^<HOST> failed$").unwrap();
        assert!(first.before.is_empty());
        let last = Pattern::new(r"^manager\.c: Empty registration from <HOST>$").unwrap();
        assert!(last.after.is_empty());
        assert!(Pattern::new(r"^a: from <HOST port PORT>: no$").is_ok());
        let sentence = Pattern::new(r"^a: from <HOST>\.$").unwrap();
        assert_eq!(sentence.after, b".");
        assert!(Pattern::new(r"^manager\.c: (?<name>a) from <HOST>\. Line$").is_ok());
    }

    #[test]
    fn shapes_that_hide_the_address_are_refused() {
        use PatternError::*;
        let error = |source: &str| Pattern::new(source).unwrap_err();
        assert_eq!(error("^a <HOST> b"), NotAnchored);
        assert_eq!(error("a <HOST> b$"), NotAnchored);
        assert_eq!(error("^a b$"), Addresses(0));
        assert_eq!(error("^<HOST> and <HOST:PORT>$"), Addresses(2));
        assert_eq!(error("^a|b <HOST> c$"), Nested);
        assert_eq!(error("^a (<HOST>) c$"), Nested);
        assert_eq!(error("^a <HOST> c|d$"), Nested);
        assert_eq!(error("^a .*<HOST> c$"), NoFixedTextBefore);
        assert_eq!(error("^a <HOST>[0-9]* c$"), OpenEnd);
        assert_eq!(error("^a <HOST>:5060 c$"), OpenEnd);
        assert_eq!(error("^a <HOST>.5060 c$"), OpenEnd);
        assert_eq!(error("^a <HOST> <ANY>$"), UnknownTag("<ANY>".to_owned()));
        for unsound in ["^a <HOST> ([a-z$", "^(?P<x>a) <HOST> (?P<x>c)$", "^(?x)a <HOST> #c)$"] {
            assert!(matches!(error(unsound), Syntax(_) | Nested), "{unsound}");
        }
    }
}
