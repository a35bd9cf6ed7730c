//! The automata of the shipped rules, which were made when the program was built.
//!
//! What counts is the text of a failregex, with its tags expanded: one that has been changed is not found here, whatever
//! its rule is called, and is compiled when it is loaded.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock};

use super::dfa::Automaton;

include!(concat!(env!("OUT_DIR"), "/automata.rs"));

/// An automaton as it stands in the program.
struct Made {
    /// What it was made from; its patterns are the indices.
    regexes: &'static [&'static str],
    bytes: &'static [u8],
    /// It, once it was needed; `None` inside: it cannot be read.
    read: OnceLock<Option<Arc<Automaton>>>,
}

impl Made {
    const fn new(regexes: &'static [&'static str], bytes: &'static [u8]) -> Self {
        Self { regexes, bytes, read: OnceLock::new() }
    }
}

/// The place of an automaton's pattern.
type Place = (usize, usize);

/// The places of each failregex, by its text: of one that stands in several rules, there are several.
static PLACES: LazyLock<HashMap<&'static str, Vec<Place>>> = LazyLock::new(|| {
    let mut places = HashMap::<_, Vec<Place>>::new();
    for (number, made) in MADE.iter().enumerate() {
        for (index, regex) in made.regexes.iter().enumerate() {
            places.entry(*regex).or_default().push((number, index));
        }
    }
    places
});

/// An automaton that knows some of the failregexes that were asked for.
pub(super) struct Shipped {
    pub automaton: Arc<Automaton>,
    /// For each of its patterns, the failregex that it stands for, if that was asked for: an index.
    pub places: Vec<Option<usize>>,
}

/// Returns the automaton that knows most of these failregexes; `None` if there is none that knows any.
#[must_use]
pub(super) fn find(regexes: &[&str]) -> Option<Shipped> {
    let known = |made: usize| {
        let knows = move |places: &&Vec<Place>| places.iter().any(|(number, _)| *number == made);
        regexes.iter().filter_map(|regex| PLACES.get(regex)).filter(knows).count()
    };
    let best = (0..MADE.len()).max_by_key(|made| known(*made)).filter(|made| known(*made) > 0)?;
    let made = MADE.get(best)?;
    let read = || postcard::from_bytes(made.bytes).ok().map(Arc::new);
    let automaton = made.read.get_or_init(read).clone()?;
    let mut places = vec![None; made.regexes.len()];
    for (index, regex) in regexes.iter().enumerate() {
        let mut of_regex = PLACES.get(regex).into_iter().flatten();
        let is_free = |(number, pattern): &&Place| {
            *number == best && places.get(*pattern).is_some_and(Option::is_none)
        };
        let free = of_regex.find(is_free).map(|(_, pattern)| *pattern);
        if let Some(place) = free.and_then(|pattern| places.get_mut(pattern)) {
            *place = Some(index);
        }
    }
    Some(Shipped { automaton, places })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Grammar, RuleSet};

    #[test]
    fn every_shipped_failregex_has_been_compiled() {
        let rules = RuleSet::load(None).unwrap();
        for grammar in [Grammar::Asterisk, Grammar::Kernel, Grammar::Syslog, Grammar::None] {
            let of_grammar = rules.iter().filter(|(_, rule)| {
                rules.file_of(rule).is_some_and(|file| file.grammar == grammar)
            });
            let patterns = of_grammar.flat_map(|(_, rule)| &rule.patterns);
            let regexes: Vec<_> = patterns.map(|pattern| pattern.regex.as_str()).collect();
            assert!(!regexes.is_empty(), "{grammar:?}");
            let mut found: Vec<_> = find(&regexes).unwrap().places.into_iter().flatten().collect();
            found.sort_unstable();
            assert_eq!(found, (0..regexes.len()).collect::<Vec<_>>(), "{grammar:?}");
        }
    }

    #[test]
    fn a_failregex_is_found_as_often_as_it_was_compiled() {
        let regex = MADE[0].regexes[0];
        let times = PLACES[regex].iter().filter(|(number, _)| *number == 0).count();
        let asked = vec![regex; times + 1];
        let found = find(&asked).unwrap();
        assert_eq!(found.places.iter().flatten().count(), times);
        assert!(find(&["^another$"]).is_none());
        assert!(find(&[]).is_none());
    }

    #[test]
    fn bytes_that_are_none_are_not_read() {
        for made in &MADE {
            for end in [0, 1, 257, made.bytes.len() / 2, made.bytes.len() - 1] {
                assert!(postcard::from_bytes::<Automaton>(&made.bytes[..end]).is_err());
            }
        }
    }
}
