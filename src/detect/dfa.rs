//! A deterministic automaton that takes little memory and time.
//!
//! As a plain table, a DFA has a row for each state. These are thousands and fill megabytes, and
//! each byte of a line waits for its state's row to come from slow memory. But what failregexes
//! describe is mostly fixed text: a state goes on to a state of its own with one byte only, and with
//! all others to where many states go. So states are numbered such that the one to be expected next
//! comes next, and states that differ in nothing else share a row. Rows become few, the processor
//! foresees the way through fixed text, and only what varies is looked up.

use std::collections::HashMap;

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::alphabet::{ByteClasses, Unit};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use serde::{Deserialize, Serialize};

/// The state without a way out.
const DEAD: u16 = 0;
/// The state in which a body begins.
const START: u16 = 1;
/// The length of fixed text that is compared at once, in bytes: for less, that does not pay.
const WORTHWHILE: u16 = 8;
/// So many bytes of a text are looked at together: whoever wrote it may have put a byte that leads on right behind the
/// first ones.
const TOGETHER: usize = 64;
/// Of so many bytes those are that lead nowhere else, where looking at many together pays.
const WIDE: usize = 64;
/// So often in one body it is looked ahead for a byte that leads on, where that is near: a sender may have put one
/// everywhere.
const PATIENCE: u8 = 24;
/// No class of bytes (there are 256 of them at most), and no stops.
const NONE: u16 = u16::MAX;

/// See the module's description.
#[derive(Debug, Serialize, Deserialize)]
pub struct Automaton {
    /// The class of each byte. Whatever the state, bytes of one class lead to the same.
    #[serde(with = "whole")]
    classes: [u8; 256],
    states: Vec<State>,
    /// For each state, the byte that leads to the state with the next number, if it is one only.
    steps: Vec<u8>,
    /// The next state for each class, row by row.
    rows: Vec<u16>,
    /// The patterns that match: all sets that there are, the empty one first.
    matches: Vec<Vec<usize>>,
    /// The bytes that lead away from states: all others are passed over.
    stops: Vec<Stops>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    /// The place where its row begins.
    row: u32,
    /// The class of bytes that leads to the state with the next number, whatever the row says.
    expected: u16,
    /// The patterns that match a body that ends here.
    matches: u16,
    /// The number of states from this one on that each lead to the next by one byte: fixed text.
    run: u16,
    /// The bytes that lead away from here, if it is worthwhile to look for them: an index into those of the automaton.
    stops: u16,
}

/// The bytes that lead away from a state: up to four, and all that are not in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stops {
    few: Few,
    /// The first and the last byte that does not lead away.
    within: (u8, u8),
}

/// Up to four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Few {
    One(u8),
    Two(u8, u8),
    Three(u8, u8, u8),
    Four(u8, u8, u8, u8),
}

impl Stops {
    /// Returns the bytes that lead away, which `leaves` tells; `None`: they are too many.
    fn new(leaves: impl Fn(&u8) -> bool) -> Option<Self> {
        let mut stays = (0..=u8::MAX).filter(|byte| !leaves(byte));
        let within = (stays.next()?, stays.next_back()?);
        if stays.count() < WIDE {
            return None;
        }
        let few = match *(within.0..=within.1).filter(leaves).collect::<Vec<_>>() {
            [a] => Few::One(a),
            [a, b] => Few::Two(a, b),
            [a, b, c] => Few::Three(a, b, c),
            [a, b, c, d] => Few::Four(a, b, c, d),
            _ => return None,
        };
        Some(Self { few, within })
    }

    /// Returns how many bytes of a text lead nowhere else.
    #[inline]
    fn passed(self, text: &[u8]) -> usize {
        let mut passed = 0;
        for together in text.chunks(TOGETHER) {
            let before = self.before_few(together);
            let staying = self.staying(before);
            passed += staying;
            if staying < together.len() {
                break;
            }
        }
        passed
    }

    /// Returns what stands before the first of the few bytes.
    fn before_few(self, text: &[u8]) -> &[u8] {
        let before = |end: Option<usize>| end.and_then(|end| text.get(..end)).unwrap_or(text);
        match self.few {
            Few::One(a) => before(memchr::memchr(a, text)),
            Few::Two(a, b) => before(memchr::memchr2(a, b, text)),
            Few::Three(a, b, c) => before(memchr::memchr3(a, b, c, text)),
            Few::Four(a, b, c, d) => {
                let text = before(memchr::memchr2(a, b, text));
                memchr::memchr2(c, d, text).and_then(|end| text.get(..end)).unwrap_or(text)
            }
        }
    }

    /// Returns how many first bytes of a text are in the range.
    fn staying(self, text: &[u8]) -> usize {
        let (first, last) = self.within;
        if (first, last) == (0, u8::MAX) {
            return text.len();
        }
        let stays = |byte: &u8| (first..=last).contains(byte);
        // Not `all`: what need not stop at the first is done for many bytes at the same time.
        if text.iter().fold(true, |all, byte| all & stays(byte)) {
            return text.len();
        }
        text.iter().position(|byte| !stays(byte)).unwrap_or(text.len())
    }
}

impl Automaton {
    /// The same as `dfa`, whose byte classes are `classes`. `None` if it has more than 65534 states.
    #[must_use]
    pub fn new(dfa: &dense::DFA<Vec<u32>>, classes: &ByteClasses) -> Option<Self> {
        let bytes: Vec<u8> = classes.representatives(..).filter_map(Unit::as_u8).collect();
        let (order, numbers) = number(dfa, &bytes)?;
        let mut states = Vec::with_capacity(order.len());
        let (mut rows, mut known_rows) = (Vec::new(), HashMap::new());
        let (mut matches, mut known_matches) = (vec![Vec::new()], HashMap::from([(Vec::new(), 0)]));
        for (id, following) in order.iter().zip(1..) {
            let mut row: Vec<u16> = bytes
                .iter()
                .filter_map(|byte| numbers.get(&dfa.next_state(*id, *byte)).copied())
                .collect();
            let expected = row.iter().position(|next| *next == following);
            let usual = most_frequent(&row);
            if let Some(place) = expected.and_then(|class| row.get_mut(class)) {
                // This place is never looked at; let it not keep rows from being equal.
                *place = usual;
            }
            let row = *known_rows.entry(row).or_insert_with_key(|row| {
                rows.extend_from_slice(row);
                rows.len() - row.len()
            });
            let matching = *known_matches.entry(matching(dfa, *id)).or_insert_with_key(|found| {
                matches.push(found.clone());
                matches.len() - 1
            });
            states.push(State {
                row: u32::try_from(row).ok()?,
                expected: expected.map_or(Some(NONE), |class| u16::try_from(class).ok())?,
                matches: u16::try_from(matching).ok()?,
                run: 0,
                stops: NONE,
            });
        }
        let classes = std::array::from_fn(|byte| classes.get(u8::try_from(byte).unwrap_or(0)));
        rows.shrink_to_fit();
        let steps = steps(&mut states, &classes);
        let mut stops: Vec<Stops> = Vec::new();
        for (id, state) in order.iter().zip(&mut states) {
            let Some(new) = Stops::new(|byte| dfa.next_state(*id, *byte) != *id) else { continue };
            let known = stops.iter().position(|known| *known == new);
            state.stops = u16::try_from(known.unwrap_or(stops.len())).unwrap_or(NONE);
            if known.is_none() {
                stops.push(new);
            }
        }
        Some(Self { classes, states, steps, rows, matches, stops })
    }

    /// The patterns that match the whole of `body`.
    #[must_use]
    pub fn matching(&self, body: &[u8]) -> &[usize] {
        self.run(body)
            .and_then(|state| self.matches.get(usize::from(state.matches)))
            .map_or(&[], Vec::as_slice)
    }

    /// The state in which `body` ends; `None` if that is the dead one.
    fn run(&self, body: &[u8]) -> Option<&State> {
        let mut rest = body;
        let mut number = usize::from(START);
        let mut patience = PATIENCE;
        'next_state: loop {
            let mut state = self.states.get(number)?;
            if state.run >= WORTHWHILE {
                let fixed = self.steps.get(number..number + usize::from(state.run))?;
                let same = common_prefix(fixed, rest);
                number += same;
                rest = rest.get(same..)?;
                state = self.states.get(number)?;
            }
            let stops = self.stops.get(usize::from(state.stops));
            if let Some(stops) = stops.filter(|_| patience > 0) {
                let passed = stops.passed(rest);
                patience -= u8::from(passed < usize::from(WORTHWHILE));
                rest = rest.get(passed..)?;
            }
            let row = self.rows.get(state.row as usize..)?;
            let mut bytes = rest.iter();
            for byte in &mut bytes {
                let class = *self.classes.get(usize::from(*byte))?;
                let next = if u16::from(class) == state.expected {
                    number + 1
                } else {
                    usize::from(*row.get(usize::from(class))?)
                };
                // With a state that leads to itself, nothing has to be looked up again.
                if next != number {
                    if next == usize::from(DEAD) {
                        return None;
                    }
                    number = next;
                    rest = bytes.as_slice();
                    continue 'next_state;
                }
            }
            return Some(state);
        }
    }

    /// Returns its memory, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.states)
            + size_of_val(&*self.steps)
            + size_of_val(&*self.rows)
            + size_of_val(&*self.stops)
    }
}

/// Returns for each state the byte that leads to the next one, and notes in each how long the fixed text is that
/// begins there.
fn steps(states: &mut [State], classes: &[u8; 256]) -> Vec<u8> {
    let only_byte = |state: &State| {
        let mut bytes =
            (0..=u8::MAX).zip(classes).filter(|(_, class)| u16::from(**class) == state.expected);
        bytes.next().filter(|_| bytes.next().is_none()).map(|(byte, _)| byte)
    };
    let (mut steps, mut run) = (Vec::with_capacity(states.len()), 0_u16);
    for state in states.iter_mut().rev() {
        let byte = only_byte(state);
        run = byte.map_or(0, |_| run.saturating_add(1));
        state.run = run;
        steps.push(byte.unwrap_or(0));
    }
    steps.reverse();
    steps
}

/// The number of bytes that two texts have in common at their beginnings.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let length = a.len().min(b.len());
    let (a, b) = (a.get(..length).unwrap_or_default(), b.get(..length).unwrap_or_default());
    let (mut left, mut right, mut same) = (a, b, 0);
    while let (Some((x, a)), Some((y, b))) = (left.split_first_chunk(), right.split_first_chunk()) {
        if let Some(equal) = equal_bytes(x, y) {
            return same + equal;
        }
        (left, right, same) = (a, b, same + 8);
    }
    // The rest is shorter; together with what has been compared before it, it is not.
    match (a.last_chunk(), b.last_chunk()) {
        (Some(x), Some(y)) => equal_bytes(x, y).map_or(length, |equal| length - 8 + equal),
        _ => left.iter().zip(right).take_while(|(x, y)| x == y).count(),
    }
}

/// The number of first bytes that are equal; `None`: all are.
fn equal_bytes(a: &[u8; 8], b: &[u8; 8]) -> Option<usize> {
    let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
    (difference != 0).then(|| difference.trailing_zeros() as usize / 8)
}

/// Numbers the states of `dfa`, for which `bytes` are one of each class: the dead state, the start,
/// and, as far as there is one, behind each state another that it leads to with one class only.
fn number(
    dfa: &dense::DFA<Vec<u32>>,
    bytes: &[u8],
) -> Option<(Vec<StateID>, HashMap<StateID, u16>)> {
    let dead = StateID::ZERO;
    let mut order = vec![dead];
    let mut numbers = HashMap::from([(dead, DEAD)]);
    let mut open = vec![dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?];
    while let Some(begin) = open.pop() {
        let mut next = Some(begin);
        while let Some(id) = next.take().filter(|id| !numbers.contains_key(id)) {
            numbers.insert(id, u16::try_from(order.len()).ok().filter(|number| *number < NONE)?);
            order.push(id);
            let mut ahead: Vec<_> = bytes.iter().map(|byte| dfa.next_state(id, *byte)).collect();
            ahead.sort_unstable();
            for same in ahead.chunk_by(|a, b| a == b) {
                match same {
                    [id, ..] if numbers.contains_key(id) => {}
                    [id] if next.is_none() => next = Some(*id),
                    [id, ..] => open.push(*id),
                    [] => {}
                }
            }
        }
    }
    Some((order, numbers))
}

/// The patterns that match a body that ends in this state.
fn matching(dfa: &dense::DFA<Vec<u32>>, id: StateID) -> Vec<usize> {
    let end = dfa.next_eoi_state(id);
    let count = if dfa.is_match_state(end) { dfa.match_len(end) } else { 0 };
    (0..count).map(|index| dfa.match_pattern(end, index).as_usize()).collect()
}

fn most_frequent(row: &[u16]) -> u16 {
    let mut sorted = row.to_vec();
    sorted.sort_unstable();
    let longest = sorted.chunk_by(|a, b| a == b).max_by_key(|same| same.len());
    longest.and_then(|same| same.first()).copied().unwrap_or(DEAD)
}

/// An array that is longer than those that serde knows.
mod whole {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(array: &[u8; 256], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(array)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 256], D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        bytes.try_into().map_err(|_| D::Error::invalid_length(bytes.len(), &"256 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::MatchKind;
    use regex_automata::nfa::thompson;
    use regex_automata::util::syntax;

    use super::*;
    use crate::rules::byte_regex;

    const REGEXES: [&str; 10] = [
        "^abcabcabcabcaab[^b]*abcabcabc$",
        "^(?:aab|c)abcabcabcabcabc0?$",
        "^aab.*aac[0-9]+$",
        "^aab.*aac$",
        "^aa(?:b|c)?[^b]*$",
        "^.*abcab$",
        "^$",
        r"^[^a]*\xff(?:ab|ac|0)*$",
        r"^c[^0\x00-\x1f\x7f-\xff]*0[^0ab\n]*$",
        r"^c[^a\x00-\x1f]*a?$",
    ];

    fn automaton(regexes: &[&str]) -> Automaton {
        let nfa = thompson::Compiler::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build_many(regexes)
            .unwrap();
        let dfa = dense::Builder::new()
            .configure(dense::Config::new().match_kind(MatchKind::All))
            .build_from_nfa(&nfa)
            .unwrap();
        Automaton::new(&dfa, nfa.byte_classes()).unwrap()
    }

    #[test]
    fn fixed_text_takes_hardly_any_memory() {
        let text = "a".repeat(10_000);
        let automaton = automaton(&[&format!("^{text}$")]);
        assert!(automaton.memory() < 200_000, "{}", automaton.memory());
        assert_eq!(automaton.matching(text.as_bytes()), [0]);
        assert!(automaton.matching(&text.as_bytes()[1..]).is_empty());
    }

    const PIECES: [&str; 11] = [
        "a",
        "b",
        "c",
        "0",
        "\u{ff}",
        "\n",
        "aab",
        "aac",
        "abc",
        "abcabcabc",
        "ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
    ];

    proptest! {
        #[test]
        fn what_is_equal_is_counted(a in "[ab]{0,40}", b in "[ab]{0,40}", common in "[ab]{0,40}") {
            let (left, right) = (format!("{common}{a}"), format!("{common}{b}"));
            let equal = left.bytes().zip(right.bytes()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(common_prefix(left.as_bytes(), right.as_bytes()), equal);
        }

        #[test]
        fn bytes_that_lead_nowhere_else_are_passed_over(
            few in proptest::collection::vec(b'!'..b'~', 1..5),
            range in prop_oneof![Just((b' ', b'~')), Just((0, u8::MAX)), Just((b' ', u8::MAX))],
            text in proptest::collection::vec(proptest::sample::select(&b" abcdefgh\n\xff~"[..]), 0..300),
        ) {
            let leaves = |byte: &u8| few.contains(byte) || !(range.0..=range.1).contains(byte);
            let stops = Stops::new(leaves).unwrap();
            let passed = text.iter().position(leaves).unwrap_or(text.len());
            prop_assert_eq!(stops.passed(&text), passed);
        }

        #[test]
        fn it_matches_what_the_regexes_match(
            pieces in proptest::collection::vec(proptest::sample::select(&PIECES), 0..12),
        ) {
            let body: Vec<u8> = pieces.concat().chars().map(|char| char as u8).collect();
            let mut found = automaton(&REGEXES).matching(&body).to_vec();
            found.sort_unstable();
            let expected: Vec<usize> = (0..REGEXES.len())
                .filter(|index| byte_regex(REGEXES[*index]).unwrap().is_match(&body))
                .collect();
            prop_assert_eq!(&found, &expected);
            let bytes = postcard::to_stdvec(&automaton(&REGEXES)).unwrap();
            let mut again = postcard::from_bytes::<Automaton>(&bytes).unwrap().matching(&body).to_vec();
            again.sort_unstable();
            prop_assert_eq!(again, expected);
        }
    }
}
