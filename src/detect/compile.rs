//! Failregexes to one automaton. The build script includes this file, too.

use regex_automata::MatchKind;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::syntax;

use super::dfa::Automaton;

/// A DFA that would take more than this many bytes as a plain table is not built.
pub const DENSE_LIMIT: usize = 8 << 20;

/// Builds the NFA of `regexes`, each anchored at both ends.
///
/// # Errors
/// When they are too large, or one is no regex.
pub fn nfa(regexes: &[&str]) -> Result<NFA, Box<thompson::BuildError>> {
    let syntax = syntax::Config::new().unicode(false).utf8(false);
    let config = thompson::Config::new()
        .utf8(false)
        .nfa_size_limit(Some(32 << 20))
        .which_captures(thompson::WhichCaptures::None);
    let mut compiler = thompson::Compiler::new();
    compiler.syntax(syntax).configure(config).build_many(regexes).map_err(Box::new)
}

/// Builds the automaton; `None` if it takes more than `limit` bytes as a plain table, or has too many states.
///
/// # Errors
/// When it cannot be built for another reason.
pub fn automaton(nfa: &NFA, limit: usize) -> Result<Option<Automaton>, Box<dense::BuildError>> {
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(limit))
        .determinize_size_limit(Some(4 * limit));
    match dense::Builder::new().configure(config).build_from_nfa(nfa) {
        Ok(dfa) => Ok(Automaton::new(&dfa, nfa.byte_classes())),
        Err(error) if error.is_size_limit_exceeded() => Ok(None),
        Err(error) => Err(Box::new(error)),
    }
}
