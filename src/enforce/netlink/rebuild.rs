//! Gives the kernel its own description of our table back: what is missing is made again, what was
//! changed is put right, and all of it in one transaction. No program has to be run for that.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{
    APPEND, CREATE, DELETE_ELEMENTS, DELETE_RULE, DELETE_SET, DELETE_TABLE, LIST_ELEMENTS,
    LIST_ITEM, LIST_MAX, LIST_SET, LIST_SET_ID, LIST_TABLE, NESTED, NEW_CHAIN, NEW_ELEMENTS,
    NEW_OBJECT, NEW_RULE, NEW_SET, NEW_TABLE, SET_NAME, Transaction, attribute, text,
};
use super::snapshot::{LOOKUP_SET, RULE_CHAIN, SET_ID, Snapshot, with_lookups, without};
use crate::table::structure::TABLE;

/// The attribute of a lookup that names a set of the same transaction.
const LOOKUP_SET_ID: u16 = 4;

/// The objects that have to go before the table can be put back.
#[derive(Debug, Default)]
pub(super) struct Clearing {
    /// The whole table: it, a chain or an object is of another kind.
    pub(super) table: bool,
    /// These sets: they are of another kind, or go with the table.
    pub(super) sets: BTreeSet<String>,
}

impl Clearing {
    /// Returns the least that has to go.
    pub(super) fn least(ours: &Snapshot, now: &Snapshot) -> Self {
        let differs = |ours: &BTreeMap<String, Vec<u8>>, now: &BTreeMap<String, Vec<u8>>| {
            let other = |(name, kind)| ours.get(name).is_some_and(|ours| ours != kind);
            now.iter().filter(move |set| other(*set)).map(|(name, _)| name.clone()).collect()
        };
        let chains: BTreeSet<String> = differs(&ours.chains, &now.chains);
        let objects: BTreeSet<String> = differs(&ours.objects, &now.objects);
        let others = !chains.is_empty() || !objects.is_empty();
        let table = now.table.is_some() && (now.table != ours.table || others);
        if table {
            return Self::all(now);
        }
        Self { table, sets: differs(&ours.sets, &now.sets) }
    }

    /// Returns the table with all that is in it.
    pub(super) fn all(now: &Snapshot) -> Self {
        Self { table: now.table.is_some(), sets: now.sets.keys().cloned().collect() }
    }
}

/// The elements of sets that have to go, by name of the set, as the kernel listed them.
pub(super) type Kept = BTreeMap<String, Vec<Vec<u8>>>;

/// Writes the transaction that makes of the table as it is `now` what is `ours`.
pub(super) fn write(
    transaction: &mut Transaction,
    ours: &Snapshot,
    now: &Snapshot,
    clearing: &Clearing,
    kept: &Kept,
) {
    clear(transaction, ours, now, clearing);
    let gone = |name: &String, kind: &BTreeMap<String, Vec<u8>>| {
        clearing.table || clearing.sets.contains(name) || !kind.contains_key(name)
    };
    if clearing.table || now.table.is_none() {
        transaction.order(NEW_TABLE, CREATE, ours.table.as_deref().unwrap_or_default());
    }
    for (_, chain) in ours.chains.iter().filter(|(name, _)| gone(name, &now.chains)) {
        transaction.order(NEW_CHAIN, CREATE, chain);
    }
    for (_, object) in ours.objects.iter().filter(|(name, _)| gone(name, &now.objects)) {
        transaction.order(NEW_OBJECT, CREATE, object);
    }
    let mut ids = 1_u32..;
    for (name, set) in &ours.sets {
        let made = gone(name, &now.sets);
        if made {
            transaction.order(NEW_SET, CREATE, &with_id(set, ids.next()));
        }
        if let Some(content) = ours.elements.get(name) {
            if !made {
                transaction.order(DELETE_ELEMENTS, 0, &in_table(LIST_SET, name));
            }
            add(transaction, name, None, content);
        } else if let Some(content) = kept.get(name) {
            add(transaction, name, None, content);
        }
    }
    let anonymous = write_anonymous(transaction, ours, ids);
    let lookup = |name: &str| {
        let id = anonymous.get(name)?;
        let mut named = Vec::new();
        attribute(&mut named, LOOKUP_SET, |value| text(value, &pattern(name)));
        attribute(&mut named, LOOKUP_SET_ID, |value| value.extend(id.to_be_bytes()));
        Some(named)
    };
    for rule in ours.rules.values().flatten() {
        transaction.order(NEW_RULE, CREATE | APPEND, &with_lookups(rule, lookup));
    }
}

/// Empties our chains, and takes away what has to go.
fn clear(transaction: &mut Transaction, ours: &Snapshot, now: &Snapshot, clearing: &Clearing) {
    if clearing.table {
        let mut table = Vec::new();
        attribute(&mut table, LIST_TABLE, |value| text(value, TABLE));
        transaction.order(DELETE_TABLE, 0, &table);
        return;
    }
    for chain in ours.chains.keys().filter(|chain| now.rules.contains_key(*chain)) {
        transaction.order(DELETE_RULE, 0, &in_table(RULE_CHAIN, chain));
    }
    for set in &clearing.sets {
        transaction.order(DELETE_SET, 0, &in_table(SET_NAME, set));
    }
}

/// Makes the sets that have no name of their own; the numbers that they have in this transaction.
fn write_anonymous<'a>(
    transaction: &mut Transaction,
    ours: &'a Snapshot,
    ids: impl Iterator<Item = u32>,
) -> BTreeMap<&'a str, u32> {
    let numbered = ours.anonymous.iter().zip(ids).map(|((name, set), id)| {
        let mut described = without(set, &[SET_NAME]);
        attribute(&mut described, SET_NAME, |value| text(value, &pattern(name)));
        transaction.order(NEW_SET, CREATE, &with_id(&described, Some(id)));
        let content = ours.elements.get(name).map(Vec::as_slice).unwrap_or_default();
        add(transaction, &pattern(name), Some(id), content);
        (name.as_str(), id)
    });
    numbered.collect()
}

/// Puts elements into a set, as they were listed.
fn add(transaction: &mut Transaction, set: &str, id: Option<u32>, items: &[Vec<u8>]) {
    let mut items = items.iter().peekable();
    while items.peek().is_some() {
        let mut message = in_table(LIST_SET, set);
        if let Some(id) = id {
            attribute(&mut message, LIST_SET_ID, |value| value.extend(id.to_be_bytes()));
        }
        attribute(&mut message, LIST_ELEMENTS | NESTED, |list| {
            let start = list.len();
            while let Some(item) = items.next_if(|_| list.len() - start < LIST_MAX) {
                attribute(list, LIST_ITEM | NESTED, |written| written.extend(item));
            }
        });
        transaction.order(NEW_ELEMENTS, CREATE, &message);
    }
}

/// Returns the attributes that name something in our table.
fn in_table(kind: u16, name: &str) -> Vec<u8> {
    let mut named = Vec::new();
    attribute(&mut named, LIST_TABLE, |value| text(value, TABLE));
    attribute(&mut named, kind, |value| text(value, name));
    named
}

fn with_id(set: &[u8], id: Option<u32>) -> Vec<u8> {
    let mut described = set.to_vec();
    attribute(&mut described, SET_ID, |value| value.extend(id.unwrap_or_default().to_be_bytes()));
    described
}

/// Returns the name by which the kernel chooses one: `__set%d` for `__set7`.
fn pattern(name: &str) -> String {
    format!("{}%d", name.trim_end_matches(|c: char| c.is_ascii_digit()))
}
