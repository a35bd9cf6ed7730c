//! Our table as the kernel describes it: to be compared with what it was, and to be put back.
//!
//! Values that change by themselves are left out: handles, numbers of users, counters, and the names of
//! anonymous sets. Attributes are those of `linux/netfilter/nf_tables.h`.

use std::collections::BTreeMap;

use super::message::{
    EXPIRATION, NESTED, NEW_CHAIN, NEW_OBJECT, NEW_RULE, NEW_SET, NEW_TABLE, OBJECT_DATA,
    OBJECT_NAME, OBJECT_TYPE, SET_NAME, TYPE_COUNTER, attribute,
};
use crate::enforce::drift::structure::{Drift, Part};
use crate::sys::netlink::{attributes, number};
use crate::table::structure::{TABLE, is_filled};

/// Attributes of tables, chains, sets, objects and rules.
/// Everywhere the first.
const TABLE_NAME: u16 = 1;
const TABLE_USE: u16 = 3;
const TABLE_HANDLE: u16 = 4;
const CHAIN_HANDLE: u16 = 2;
pub(super) const CHAIN_NAME: u16 = 3;
const CHAIN_USE: u16 = 6;
const CHAIN_COUNTERS: u16 = 8;
const SET_FLAGS: u16 = 3;
pub(super) const SET_ID: u16 = 10;
const SET_HANDLE: u16 = 16;
/// Attributes that the kernel sends and does not accept.
const SET_KIND: u16 = 19;
const SET_COUNT: u16 = 20;
pub(super) const RULE_CHAIN: u16 = 2;
const OBJECT_USE: u16 = 5;
const OBJECT_HANDLE: u16 = 6;
const RULE_HANDLE: u16 = 3;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_POSITION: u16 = 6;
/// Attributes of expressions.
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
pub(super) const LOOKUP_SET: u16 = 1;
/// Attributes of an element that others count with it.
const ELEMENT_EXPRESSION: u16 = 7;
const ELEMENT_EXPRESSIONS: u16 = 11;

const ANONYMOUS: u32 = 1;

/// The parts of our table, each as attributes without what changes by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) table: Option<Vec<u8>>,
    pub(super) chains: BTreeMap<String, Vec<u8>>,
    /// Of each chain, in order.
    pub(super) rules: BTreeMap<String, Vec<Vec<u8>>>,
    pub(super) sets: BTreeMap<String, Vec<u8>>,
    /// Named counters, and the like.
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    /// Sets without a name of their own, by the name that the kernel gave them.
    pub(super) anonymous: BTreeMap<String, Vec<u8>>,
    /// Of anonymous sets, and of those that the configuration fills.
    pub(super) elements: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Snapshot {
    /// Records the attributes of a message that describes a part of a table; of another table's it
    /// records nothing.
    pub(super) fn take(&mut self, kind: u16, part: &[u8]) {
        if text_of(part, TABLE_NAME).as_deref() != Some(TABLE) {
            return;
        }
        match kind {
            NEW_TABLE => self.table = Some(without(part, &[TABLE_USE, TABLE_HANDLE])),
            NEW_CHAIN => {
                let Some(name) = text_of(part, CHAIN_NAME) else { return };
                let same = without(part, &[CHAIN_HANDLE, CHAIN_USE, CHAIN_COUNTERS]);
                self.chains.insert(name, same);
            }
            NEW_SET => {
                let Some(name) = text_of(part, SET_NAME) else { return };
                let flags = value_of(part, SET_FLAGS).and_then(|flags| number(flags, 0));
                let same = without(part, &[SET_ID, SET_HANDLE, SET_KIND, SET_COUNT]);
                let anonymous = flags.map_or(0, u32::from_be_bytes) & ANONYMOUS != 0;
                let sets = if anonymous { &mut self.anonymous } else { &mut self.sets };
                sets.insert(name, same);
            }
            NEW_OBJECT => {
                let Some(name) = text_of(part, OBJECT_NAME) else { return };
                self.objects.insert(name, object(part));
            }
            NEW_RULE => {
                let Some(chain) = text_of(part, RULE_CHAIN) else { return };
                let same = without(part, &[RULE_HANDLE, RULE_POSITION]);
                self.rules.entry(chain).or_default().push(without_counts(&same));
            }
            _ => {}
        }
    }

    /// Forgets the parts that `wanted`, which gets their kinds and names, does not want.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str, &str) -> bool) {
        self.chains.retain(|name, _| wanted("chain", name));
        self.rules.retain(|chain, _| wanted("chain", chain));
        self.sets.retain(|name, _| wanted("set", name));
        self.objects.retain(|name, _| wanted("counter", name));
        let rules = &self.rules;
        let used = |set: &str| {
            let mut all = rules.values().flatten();
            all.any(|rule| with_lookups(rule, |name| (name == set).then(Vec::new)) != *rule)
        };
        self.anonymous.retain(|name, _| used(name));
        let (sets, anonymous) = (&self.sets, &self.anonymous);
        self.elements.retain(|set, _| sets.contains_key(set) || anonymous.contains_key(set));
    }

    /// Whether there is a part of this kind and name.
    pub(super) fn has(&self, kind: &str, name: &str) -> bool {
        match kind {
            "chain" => self.chains.contains_key(name),
            "set" => self.sets.contains_key(name),
            _ => self.objects.contains_key(name),
        }
    }

    /// Returns the sets whose elements belong to the picture.
    pub(super) fn filled_sets(&self) -> Vec<String> {
        let named = self.sets.keys().filter(|name| is_filled(name));
        named.chain(self.anonymous.keys()).cloned().collect()
    }

    /// Records the elements that a set holds.
    pub(super) fn hold<'a>(&mut self, set: &str, items: impl Iterator<Item = &'a [u8]>) {
        let changing = [EXPIRATION, ELEMENT_EXPRESSION, ELEMENT_EXPRESSIONS];
        let mut items: Vec<_> = items.map(|item| without(item, &changing)).collect();
        items.sort_unstable();
        self.elements.insert(set.to_owned(), items);
    }

    /// Returns what of this is missing or different in `now`. Whatever else is there is none of ours, except
    /// in our own chains.
    pub(super) fn drift(&self, now: &Self) -> Vec<Drift> {
        if self.table.is_some() && now.table.is_none() {
            return vec![Drift::Missing(Part::Table)];
        }
        let mut drift = Vec::new();
        if self.table != now.table {
            drift.push(Drift::Changed(Part::Table));
        }
        compare(&self.chains, &now.chains, Part::Chain, &mut drift);
        compare(&self.sets, &now.sets, Part::Set, &mut drift);
        compare(&self.objects, &now.objects, Part::Object, &mut drift);
        for (set, content) in &self.elements {
            let held = now.elements.get(set);
            if self.sets.contains_key(set) && held.is_some_and(|held| held != content) {
                drift.push(Drift::Content(set.clone()));
            }
        }
        for chain in self.chains.keys().filter(|chain| now.chains.contains_key(*chain)) {
            let (ours, theirs) = (self.readable_rules(chain), now.readable_rules(chain));
            if ours != theirs {
                let foreign = surplus(&theirs, &ours);
                let missing = surplus(&ours, &theirs);
                drift.push(Drift::Rules { chain: chain.clone(), missing, foreign });
            }
        }
        drift
    }

    /// Returns a chain's rules, with the content of anonymous sets in the place of their names.
    fn readable_rules(&self, chain: &str) -> Vec<Vec<u8>> {
        let content = |name: &str| {
            let set = self.anonymous.get(name)?;
            let mut content = without(set, &[SET_NAME]);
            content.extend(self.elements.get(name)?.concat());
            Some(content)
        };
        let rules = self.rules.get(chain).into_iter().flatten();
        rules.map(|rule| with_lookups(rule, content)).collect()
    }
}

/// Returns a named object, without what it has counted if it is a counter.
fn object(part: &[u8]) -> Vec<u8> {
    let mut same = without(part, &[OBJECT_USE, OBJECT_HANDLE]);
    if value_of(part, OBJECT_TYPE) == Some(&TYPE_COUNTER.to_be_bytes()) {
        same = without(&same, &[OBJECT_DATA]);
        attribute(&mut same, OBJECT_DATA | NESTED, |_| {});
    }
    same
}

/// Rules of `these` that `those` do not have.
fn surplus(these: &[Vec<u8>], those: &[Vec<u8>]) -> usize {
    let mut left: Vec<_> = those.iter().collect();
    let found = these.iter().filter(|rule| {
        let place = left.iter().position(|other| other == rule);
        place.map(|place| left.swap_remove(place)).is_some()
    });
    these.len() - found.count()
}

fn compare(
    ours: &BTreeMap<String, Vec<u8>>,
    theirs: &BTreeMap<String, Vec<u8>>,
    part: impl Fn(String) -> Part,
    drift: &mut Vec<Drift>,
) {
    for (name, described) in ours {
        match theirs.get(name) {
            None => drift.push(Drift::Missing(part(name.clone()))),
            Some(other) if other != described => drift.push(Drift::Changed(part(name.clone()))),
            Some(_) => {}
        }
    }
}

/// Returns the attributes of a rule without what its expressions have counted.
fn without_counts(rule: &[u8]) -> Vec<u8> {
    with_expressions(rule, |name, expression| match name {
        b"counter\0" | b"last\0" => Some(without(expression, &[EXPRESSION_DATA])),
        _ => None,
    })
}

/// Returns the attributes of a rule with `lookup` in the place of the names of anonymous sets, where it has
/// something to put there.
pub(super) fn with_lookups(rule: &[u8], lookup: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    with_expressions(rule, |name, expression| {
        if name != b"lookup\0" {
            return None;
        }
        let data = value_of(expression, EXPRESSION_DATA)?;
        let replaced = lookup(&text_of(data, LOOKUP_SET)?)?;
        let mut same = without(expression, &[EXPRESSION_DATA]);
        attribute(&mut same, EXPRESSION_DATA | NESTED, |written| {
            written.extend(&replaced);
            written.extend(without(data, &[LOOKUP_SET]));
        });
        Some(same)
    })
}

/// Returns the attributes of a rule, with its expressions changed where `change` (which gets their names and
/// attributes) says so.
fn with_expressions(rule: &[u8], change: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut written = Vec::with_capacity(rule.len());
    for (kind, value) in attributes(rule) {
        if kind != RULE_EXPRESSIONS {
            attribute(&mut written, kind, |same| same.extend(value));
            continue;
        }
        attribute(&mut written, RULE_EXPRESSIONS | NESTED, |list| {
            for (kind, expression) in attributes(value) {
                let name = value_of(expression, EXPRESSION_NAME).unwrap_or_default();
                let changed = change(name, expression);
                attribute(list, kind | NESTED, |item| {
                    item.extend(changed.as_deref().unwrap_or(expression));
                });
            }
        });
    }
    written
}

/// Attributes without those of these kinds.
pub(super) fn without(list: &[u8], kinds: &[u16]) -> Vec<u8> {
    let mut same = Vec::with_capacity(list.len());
    for (kind, value) in attributes(list).filter(|(kind, _)| !kinds.contains(kind)) {
        attribute(&mut same, kind, |written| written.extend(value));
    }
    same
}

fn value_of(list: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(list).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// Returns a name, as the kernel writes it: with a zero at its end.
pub(super) fn text_of(list: &[u8], wanted: u16) -> Option<String> {
    let text = value_of(list, wanted)?;
    String::from_utf8(text.strip_suffix(&[0]).unwrap_or(text).to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::text;
    use super::*;

    fn rule(chain: &str, set: &str, handle: u64, packets: u64) -> Vec<u8> {
        let mut rule = Vec::new();
        attribute(&mut rule, TABLE_NAME, |value| text(value, TABLE));
        attribute(&mut rule, RULE_CHAIN, |value| text(value, chain));
        attribute(&mut rule, RULE_HANDLE, |value| value.extend(handle.to_be_bytes()));
        attribute(&mut rule, RULE_EXPRESSIONS, |list| {
            attribute(list, 1, |item| {
                attribute(item, EXPRESSION_NAME, |value| text(value, "lookup"));
                attribute(item, EXPRESSION_DATA, |data| {
                    attribute(data, LOOKUP_SET, |value| text(value, set));
                });
            });
            attribute(list, 1, |item| {
                attribute(item, EXPRESSION_NAME, |value| text(value, "counter"));
                attribute(item, EXPRESSION_DATA, |data| {
                    attribute(data, 2, |value| value.extend(packets.to_be_bytes()));
                });
            });
        });
        rule
    }

    fn anonymous(name: &str) -> Vec<u8> {
        let mut set = Vec::new();
        attribute(&mut set, TABLE_NAME, |value| text(value, TABLE));
        attribute(&mut set, SET_NAME, |value| text(value, name));
        attribute(&mut set, SET_FLAGS, |value| value.extend(ANONYMOUS.to_be_bytes()));
        set
    }

    /// Returns a chain with one rule, which looks an anonymous set of this name up, with this element in it.
    fn picture(set: &str, handle: u64, packets: u64, element: &[u8]) -> Snapshot {
        let mut seen = Snapshot::default();
        seen.take(NEW_SET, &anonymous(set));
        seen.chains.insert("c".to_owned(), Vec::new());
        seen.take(NEW_RULE, &rule("c", set, handle, packets));
        let mut item = Vec::new();
        attribute(&mut item, 1, |key| key.extend(element));
        seen.hold(set, [item.as_slice()].into_iter());
        seen
    }

    #[test]
    fn what_changes_by_itself_is_no_damage() {
        let ours = picture("__set0", 1, 0, &[6]);
        assert_eq!(ours.drift(&picture("__set7", 9, 1000, &[6])), []);
        let drift = Drift::Rules { chain: "c".to_owned(), missing: 1, foreign: 1 };
        assert_eq!(ours.drift(&picture("__set0", 1, 0, &[17])), [drift]);
    }

    #[test]
    fn rules_are_counted_and_their_order_counts() {
        let mut ours = Snapshot::default();
        ours.chains.insert("c".to_owned(), Vec::new());
        let mut now = ours.clone();
        for name in ["a", "b", "b"] {
            ours.take(NEW_RULE, &rule("c", name, 1, 0));
        }
        for name in ["b", "b", "a"] {
            now.take(NEW_RULE, &rule("c", name, 1, 0));
        }
        let rules = |missing, foreign| [Drift::Rules { chain: "c".to_owned(), missing, foreign }];
        assert_eq!(ours.drift(&now), rules(0, 0));
        now.take(NEW_RULE, &rule("c", "x", 1, 0));
        assert_eq!(ours.drift(&now), rules(0, 1));
        now.rules.get_mut("c").unwrap().remove(0);
        assert_eq!(ours.drift(&now), rules(1, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_a_part(kind: u8, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut seen = Snapshot::default();
            seen.take(NEW_TABLE + u16::from(kind % 20), &bytes);
            let described = rule("c", "s", 1, 1);
            let mut broken = described.clone();
            for (at, byte) in bytes.iter().enumerate().take(3) {
                let place = (usize::from(*byte) + at) % broken.len();
                broken[place] ^= byte;
            }
            seen.take(NEW_RULE, &broken);
            with_lookups(&broken, |_| Some(vec![1]));
        }
    }
}
