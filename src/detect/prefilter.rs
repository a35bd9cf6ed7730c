//! The pattern set: which failregexes match a body, found by one pass of one automaton over it.

use std::sync::Arc;

use regex_automata::hybrid;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use thiserror::Error;

use super::compile;
use super::dfa::Automaton;
use super::shipped::{self, Shipped};

/// The number of bytes that the lazy DFA may use for its states, per scanner.
const LAZY_CACHE: usize = 2 << 20;
/// The same where there are so many failregexes that it cannot run with that.
const MOST_LAZY_CACHE: usize = 64 << 20;

/// The automata over all failregexes of one grammar: that of the shipped ones, and one of those that are not shipped, as
/// far as there are such. Immutable and shared; what changes while they run is in a [`PatternSetCache`].
#[derive(Debug)]
pub struct PatternSet(Vec<Part>);

/// Some of the failregexes.
#[derive(Debug)]
struct Part {
    runner: Runner,
    /// For each pattern of the automaton, which failregex of the whole set that is; `None`: one that the set has not.
    places: Vec<Option<usize>>,
}

#[derive(Debug)]
enum Runner {
    /// Fully built: usually less than one MiB.
    Full(Arc<Automaton>),
    /// States built as they are met.
    Lazy(Box<hybrid::dfa::DFA>),
}

/// The changing part of a pattern set: empty for full automata, at most 2 MiB for a lazy one, and 64 MiB for one of thousands
/// of failregexes.
#[derive(Debug, Default)]
pub struct PatternSetCache(Option<Box<hybrid::dfa::Cache>>);

/// The reason why a pattern set cannot be built. Each failregex has been parsed before, so this is
/// about size.
#[derive(Debug, Error)]
#[error("these rules are too large together: {0}")]
pub struct PatternSetError(String);

impl PatternSet {
    /// Returns the automata for `regexes`, each anchored at both ends. Only those are compiled that are not shipped.
    ///
    /// # Errors
    /// Returns an error if they are too large even for a lazy automaton.
    pub fn new(regexes: &[&str]) -> Result<Self, PatternSetError> {
        let Some(Shipped { automaton, places }) = shipped::find(regexes) else {
            return Self::compiled(regexes, compile::DENSE_LIMIT);
        };
        let mut own: Vec<_> = (0..regexes.len()).collect();
        own.retain(|index| !places.contains(&Some(*index)));
        let mut parts = vec![Part { runner: Runner::Full(automaton), places }];
        if !own.is_empty() {
            let regexes: Vec<_> =
                own.iter().filter_map(|index| regexes.get(*index)).copied().collect();
            let runner = Runner::compiled(&regexes, compile::DENSE_LIMIT)?;
            parts.push(Part { runner, places: own.into_iter().map(Some).collect() });
        }
        Ok(Self(parts))
    }

    fn compiled(regexes: &[&str], limit: usize) -> Result<Self, PatternSetError> {
        let runner = Runner::compiled(regexes, limit)?;
        Ok(Self(vec![Part { runner, places: (0..regexes.len()).map(Some).collect() }]))
    }

    /// A cache to run this pattern set with.
    #[must_use]
    pub fn cache(&self) -> PatternSetCache {
        PatternSetCache(self.0.iter().find_map(|part| match &part.runner {
            Runner::Full(_) => None,
            Runner::Lazy(dfa) => Some(Box::new(dfa.create_cache())),
        }))
    }

    /// Returns the memory of the automata themselves, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let of_part = |part: &Part| match &part.runner {
            Runner::Full(automaton) => automaton.memory(),
            Runner::Lazy(dfa) => dfa.get_config().get_cache_capacity(),
        };
        self.0.iter().map(of_part).sum()
    }

    /// Whether any failregex matches the whole of `body`, for a pattern set that is seldom asked.
    #[must_use]
    pub fn matches(&self, body: &[u8]) -> bool {
        let mut found = Vec::new();
        self.matching(&mut self.cache(), body, &mut found);
        !found.is_empty()
    }

    /// Adds the indices of all failregexes that match the whole of `body` to `found`, in their order.
    pub fn matching(&self, cache: &mut PatternSetCache, body: &[u8], found: &mut Vec<usize>) {
        let begin = found.len();
        for part in &self.0 {
            part.matching(cache, body, found);
        }
        if let Some(new) = found.get_mut(begin..).filter(|new| new.len() > 1) {
            new.sort_unstable();
        }
    }
}

impl Part {
    fn matching(&self, cache: &mut PatternSetCache, body: &[u8], found: &mut Vec<usize>) {
        let place = |pattern: usize| self.places.get(pattern).copied().flatten();
        // All failregexes end with `$`, so matches show at the end of the body and nowhere else.
        match (&self.runner, &mut cache.0) {
            (Runner::Full(automaton), _) => {
                found.extend(automaton.matching(body).iter().filter_map(|pattern| place(*pattern)));
            }
            (Runner::Lazy(dfa), Some(cache)) => {
                // A lazy DFA gives up only when its cache thrashes; the line is then tried with an
                // empty one.
                if run_lazy(dfa, cache, body, place, found).is_none() {
                    cache.reset(dfa);
                    let _ = run_lazy(dfa, cache, body, place, found);
                }
            }
            (Runner::Lazy(_), None) => {}
        }
    }
}

impl Runner {
    /// Builds the automaton for `regexes`: a lazy one, where it would take more than `limit` bytes as a plain table.
    fn compiled(regexes: &[&str], limit: usize) -> Result<Self, PatternSetError> {
        let too_large = |error: &dyn std::fmt::Display| PatternSetError(error.to_string());
        let nfa = compile::nfa(regexes).map_err(|error| too_large(&error))?;
        if let Some(automaton) =
            compile::automaton(&nfa, limit).map_err(|error| too_large(&error))?
        {
            return Ok(Self::Full(Arc::new(automaton)));
        }
        let lazy = |capacity| {
            let config = hybrid::dfa::Config::new().match_kind(MatchKind::All);
            let config = config.cache_capacity(capacity);
            hybrid::dfa::Builder::new()
                .configure(config)
                .build_from_nfa(nfa.clone())
                .map_err(Box::new)
        };
        // What it cannot run with is known once it is built; what it just can run with is too little to run fast.
        let dfa = lazy(LAZY_CACHE).or_else(|_| lazy(MOST_LAZY_CACHE));
        dfa.map(|dfa| Self::Lazy(Box::new(dfa))).map_err(|error| too_large(&error))
    }
}

fn run_lazy(
    dfa: &hybrid::dfa::DFA,
    cache: &mut hybrid::dfa::Cache,
    body: &[u8],
    place: impl Fn(usize) -> Option<usize>,
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
        let patterns = (0..count).map(|index| dfa.match_pattern(cache, state, index).as_usize());
        found.extend(patterns.filter_map(place));
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
    use crate::rules::address_tag::AddressTag;

    const REGEXES: [&str; 3] = ["^a[^']*b$", "^a.*$", r"^x[\xff]y$"];

    #[test]
    fn full_and_lazy_find_the_same() {
        let full = PatternSet::new(&REGEXES).unwrap();
        let lazy = PatternSet::compiled(&REGEXES, 10).unwrap();
        assert!(matches!(
            (&full.0[0].runner, &lazy.0[0].runner),
            (Runner::Full(_), Runner::Lazy(_))
        ));
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
    fn thousands_of_failregexes_get_the_room_that_they_need() {
        let address = AddressTag::HostPort.regex();
        let regex =
            |number| format!(r"^mine_{number}\.c: Login of '[^']*' refused for '{address}'$");
        let regexes: Vec<_> = (0..3000).map(regex).collect();
        let regexes: Vec<_> = regexes.iter().map(String::as_str).collect();
        let set = PatternSet::new(&regexes).unwrap();
        assert_eq!(set.memory(), MOST_LAZY_CACHE);
        let (mut cache, mut found) = (set.cache(), Vec::new());
        for number in [0, 1234, 2999] {
            let body = format!("mine_{number}.c: Login of 'x' refused for '192.0.2.1:5060'");
            set.matching(&mut cache, body.as_bytes(), &mut found);
        }
        assert_eq!(found, [0, 1234, 2999]);
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
