//! The pattern set: which failregexes match a body, found by one pass of one automaton over it.

use regex_automata::dfa::{StartKind, dense};
use regex_automata::hybrid;
use regex_automata::nfa::thompson;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::start;
use regex_automata::util::syntax;
use regex_automata::{Anchored, MatchKind};
use thiserror::Error;

use super::dfa::Automaton;

/// A DFA that would take more than this many bytes as a plain table is not built; the lazy one takes
/// its place.
const DENSE_LIMIT: usize = 8 << 20;
/// The number of bytes that the lazy DFA may use for its states, per scanner.
const LAZY_CACHE: usize = 2 << 20;

/// The automaton over all failregexes of one grammar. Immutable and shared; what changes while it
/// runs is in a [`PatternSetCache`].
#[derive(Debug)]
pub enum PatternSet {
    /// Fully built: usually less than one MiB.
    Full(Box<Automaton>),
    /// States built as they are met.
    Lazy(Box<hybrid::dfa::DFA>),
}

/// The changing part of a pattern set: empty for a full one, at most 2 MiB for a lazy one.
#[derive(Debug, Default)]
pub struct PatternSetCache(Option<Box<hybrid::dfa::Cache>>);

/// The reason why a pattern set cannot be built. Each failregex has been parsed before, so this is
/// about size.
#[derive(Debug, Error)]
#[error("these rules are too large together: {0}")]
pub struct PatternSetError(String);

impl PatternSet {
    /// Builds the automaton for `regexes`, each anchored at both ends.
    ///
    /// # Errors
    /// Returns an error if they are too large even for a lazy automaton.
    pub fn new(regexes: &[&str]) -> Result<Self, PatternSetError> {
        Self::with_dense_limit(regexes, DENSE_LIMIT)
    }

    fn with_dense_limit(regexes: &[&str], limit: usize) -> Result<Self, PatternSetError> {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let thompson = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(32 << 20))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .syntax(syntax)
            .configure(thompson)
            .build_many(regexes)
            .map_err(|error| PatternSetError(error.to_string()))?;
        let dense = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Anchored)
                    .dfa_size_limit(Some(limit))
                    .determinize_size_limit(Some(4 * limit)),
            )
            .build_from_nfa(&nfa);
        match dense {
            Ok(dfa) => {
                if let Some(automaton) = Automaton::new(&dfa, nfa.byte_classes()) {
                    return Ok(Self::Full(Box::new(automaton)));
                }
            }
            Err(error) if error.is_size_limit_exceeded() => {}
            Err(error) => return Err(PatternSetError(error.to_string())),
        }
        hybrid::dfa::Builder::new()
            .configure(
                hybrid::dfa::Config::new().match_kind(MatchKind::All).cache_capacity(LAZY_CACHE),
            )
            .build_from_nfa(nfa)
            .map(|dfa| Self::Lazy(Box::new(dfa)))
            .map_err(|error| PatternSetError(error.to_string()))
    }

    /// A cache to run this pattern set with.
    #[must_use]
    pub fn cache(&self) -> PatternSetCache {
        PatternSetCache(match self {
            Self::Full(_) => None,
            Self::Lazy(dfa) => Some(Box::new(dfa.create_cache())),
        })
    }

    /// Returns the memory of the automaton itself, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::Full(automaton) => automaton.memory(),
            Self::Lazy(_) => LAZY_CACHE,
        }
    }

    /// Whether any failregex matches the whole of `body`, for a pattern set that is seldom asked.
    #[must_use]
    pub fn matches(&self, body: &[u8]) -> bool {
        let mut found = Vec::new();
        self.matching(&mut self.cache(), body, &mut found);
        !found.is_empty()
    }

    /// Adds the indices of all failregexes that match the whole of `body` to `found`.
    pub fn matching(&self, cache: &mut PatternSetCache, body: &[u8], found: &mut Vec<usize>) {
        // All failregexes end with `$`, so matches show at the end of the body and nowhere else.
        match (self, &mut cache.0) {
            (Self::Full(automaton), _) => found.extend_from_slice(automaton.matching(body)),
            (Self::Lazy(dfa), Some(cache)) => {
                // A lazy DFA gives up only when its cache thrashes; the line is then tried with an
                // empty one.
                if run_lazy(dfa, cache, body, found).is_none() {
                    cache.reset(dfa);
                    let _ = run_lazy(dfa, cache, body, found);
                }
            }
            (Self::Lazy(_), None) => {}
        }
    }
}

fn run_lazy(
    dfa: &hybrid::dfa::DFA,
    cache: &mut hybrid::dfa::Cache,
    body: &[u8],
    found: &mut Vec<usize>,
) -> Option<()> {
    let mut state = dfa.start_state(cache, &start::Config::new().anchored(Anchored::Yes)).ok()?;
    for &byte in body {
        state = dfa.next_state(cache, state, byte).ok()?;
        if state.is_dead() {
            return Some(());
        }
    }
    state = dfa.next_eoi_state(cache, state).ok()?;
    if state.is_match() {
        let count = dfa.match_len(cache, state);
        found.extend((0..count).map(|index| dfa.match_pattern(cache, state, index).as_usize()));
    }
    Some(())
}

/// More literals than this are slower to look for than to run the automaton.
const MOST_NEEDLES: usize = 48;

/// A search for the literals without which no line can matter: few enough to look for all in one pass,
/// at the speed of memory. `None` if there is a pattern without a literal, or too many.
///
/// `wanted` holds, for each thing to be found, the literals of which each line that matters holds
/// all: one is enough, so the fewest that serve all are chosen.
#[must_use]
pub fn prefilter(wanted: &[&[Vec<u8>]]) -> Option<Prefilter> {
    let mut open: Vec<&[Vec<u8>]> = wanted.to_vec();
    let mut needles: Vec<&[u8]> = Vec::new();
    while !open.is_empty() {
        let serves = |needle: &[u8]| {
            open.iter()
                .filter(|literals| {
                    literals.iter().any(|l| memchr::memmem::find(l, needle).is_some())
                })
                .count()
        };
        let best =
            open.iter().copied().flatten().max_by_key(|needle| (serves(needle), needle.len()))?;
        needles.push(best);
        open.retain(|literals| !literals.iter().any(|l| memchr::memmem::find(l, best).is_some()));
        if needles.len() > MOST_NEEDLES {
            return None;
        }
    }
    Prefilter::new(MatchKind::LeftmostFirst, &needles)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGEXES: [&str; 3] = ["^a[^']*b$", "^a.*$", r"^x[\xff]y$"];

    #[test]
    fn full_and_lazy_find_the_same() {
        let full = PatternSet::new(&REGEXES).unwrap();
        let lazy = PatternSet::with_dense_limit(&REGEXES, 10).unwrap();
        assert!(matches!((&full, &lazy), (PatternSet::Full(_), PatternSet::Lazy(_))));
        for (body, expected) in [
            (&b"ab"[..], vec![0, 1]),
            (b"a'b", vec![1]),
            (b"axb'", vec![1]),
            (b"", vec![]),
            (b"b", vec![]),
            (b"x\xffy", vec![2]),
            (b"x\xfey", vec![]),
        ] {
            for pattern_set in [&full, &lazy] {
                let (mut cache, mut found) = (pattern_set.cache(), Vec::new());
                pattern_set.matching(&mut cache, body, &mut found);
                found.sort_unstable();
                assert_eq!(found, expected, "{body:?}");
            }
        }
    }

    #[test]
    fn the_prefilter_takes_the_fewest_literals() {
        let wanted: Vec<Vec<Vec<u8>>> = [
            &["Registration from", " failed for "][..],
            &["Request", " failed for '"],
            &["nobody else"],
        ]
        .iter()
        .map(|literals| literals.iter().map(|l| l.as_bytes().to_vec()).collect())
        .collect();
        let wanted: Vec<&[Vec<u8>]> = wanted.iter().map(Vec::as_slice).collect();
        let search = prefilter(&wanted).unwrap();
        let finds = |text: &str| {
            search
                .find(text.as_bytes(), regex_automata::Span { start: 0, end: text.len() })
                .is_some()
        };
        assert!(
            finds("x failed for 'y")
                && finds("say nobody else")
                && !finds("Registration from nobody")
        );
        assert!(
            prefilter(&[&[]]).is_none(),
            "a pattern without a literal needs every line looked at"
        );
    }
}
