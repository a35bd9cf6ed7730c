//! Changes that others made to our table, as the kernel's notifications tell them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::structure::TABLE;

/// The most sets that are told apart; of more, all may have changed.
const SETS_MAX: usize = 64;

/// Changes of one or more transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalChanges {
    /// Whether anything was: what is there has to be looked at.
    pub heard: bool,
    /// The gravest change that was not our own, and its origin.
    pub gravest: Option<(TableChange, Origin)>,
    /// The number of other changes.
    pub more: u64,
    /// Sets of which elements came or went.
    pub sets: BTreeSet<String>,
    /// Sets of which elements went.
    pub emptied: BTreeSet<String>,
    /// Sets that were deleted. They may be there again, with nothing of what they held.
    pub deleted: BTreeSet<String>,
    /// Whether more may have happened than was heard of.
    pub lost: bool,
}

/// The process that made a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The name that the process gave itself, without anything that is no letter.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// Something that was done to our table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// The object that changed.
    pub object: Object,
    /// The action that was done to it.
    pub action: Action,
}

/// An action that can be done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// It is new, or changed.
    Added,
    /// It is gone.
    Deleted,
}

/// The kinds of objects, the gravest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// Elements of a set.
    Elements(String),
    /// Something without a name here.
    Other,
    /// A set.
    Set(String),
    /// Rules of a chain.
    Rules(String),
    /// A chain.
    Chain(String),
    /// The table.
    Table,
}

impl ExternalChanges {
    /// Records one change.
    pub(in crate::enforce) fn record(&mut self, change: TableChange) {
        self.heard = true;
        match (&change.object, change.action) {
            (Object::Elements(set), action) => self.touch(set, action),
            // The kernel tells nothing of the elements that it held.
            (Object::Set(set), Action::Deleted) => self.delete(set),
            (..) => {}
        }
        self.count(change, Origin::default(), 1);
    }

    /// Records the origin of all of these; `None`: we made them.
    pub(in crate::enforce) fn set_origin(&mut self, origin: Option<Origin>) {
        match (&mut self.gravest, origin) {
            (Some((_, who)), Some(origin)) => *who = origin,
            (_, Some(_)) => {}
            (gravest, None) => {
                *gravest = None;
                self.more = 0;
            }
        }
    }

    /// Adds what was heard of later.
    pub fn merge(&mut self, later: Self) {
        self.heard |= later.heard;
        self.lost |= later.lost;
        for set in &later.sets {
            let gone = later.emptied.contains(set);
            self.touch(set, if gone { Action::Deleted } else { Action::Added });
        }
        for set in &later.deleted {
            self.delete(set);
        }
        if let Some((change, origin)) = later.gravest {
            self.count(change, origin, later.more + 1);
        }
    }

    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.heard && !self.lost
    }

    fn touch(&mut self, set: &str, action: Action) {
        if self.sets.len() < SETS_MAX {
            self.sets.insert(set.to_owned());
        } else {
            self.lost |= !self.sets.contains(set);
        }
        if action == Action::Deleted && self.sets.contains(set) {
            self.emptied.insert(set.to_owned());
        }
    }

    fn delete(&mut self, set: &str) {
        self.touch(set, Action::Deleted);
        if self.sets.contains(set) {
            self.deleted.insert(set.to_owned());
        }
    }

    /// Keeps the gravest, and counts the others.
    fn count(&mut self, change: TableChange, origin: Origin, count: u64) {
        self.more += count;
        match &mut self.gravest {
            Some((gravest, _)) if gravest.gravity() >= change.gravity() => {}
            gravest => {
                self.more -= u64::from(gravest.is_none());
                *gravest = Some((change, origin));
            }
        }
    }
}

impl TableChange {
    fn gravity(&self) -> (u8, Action) {
        let object = match self.object {
            Object::Elements(_) => 0,
            Object::Other => 1,
            Object::Set(_) => 2,
            Object::Rules(_) => 3,
            Object::Chain(_) => 4,
            Object::Table => 5,
        };
        (object, self.action)
    }
}

/// "nft (pid 4711) deleted table inet asterguard, and 3 more changes"
impl fmt::Display for ExternalChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gravest {
            None => return f.write_str("something changed our table"),
            Some((change, Origin { name, pid })) => write!(f, "{name} (pid {pid}) {change}")?,
        }
        match self.more {
            0 => Ok(()),
            1 => f.write_str(", and one more change"),
            more => write!(f, ", and {more} more changes"),
        }
    }
}

impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match (&self.object, self.action) {
            (Object::Table | Object::Chain(_) | Object::Set(_), Action::Added) => "declared",
            (_, Action::Added) => "added",
            (_, Action::Deleted) => "deleted",
        };
        match &self.object {
            Object::Table => write!(f, "{verb} table inet {TABLE}"),
            Object::Chain(name) => write!(f, "{verb} chain {name}"),
            Object::Rules(chain) => write!(f, "{verb} rules of chain {chain}"),
            Object::Set(name) => write!(f, "{verb} set {name}"),
            Object::Elements(set) => write!(f, "{verb} elements of set {set}"),
            Object::Other => write!(f, "{verb} something in table inet {TABLE}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(changes: &[(Object, Action)], pid: u32) -> ExternalChanges {
        let mut foreign = ExternalChanges::default();
        for (object, action) in changes {
            foreign.record(TableChange { object: object.clone(), action: *action });
        }
        foreign.set_origin(Some(Origin { name: "nft".to_owned(), pid }));
        foreign
    }

    #[test]
    fn the_gravest_change_is_shown_and_the_others_counted() {
        let set = |name: &str| Object::Set(name.to_owned());
        let mut flush = heard(
            &[
                (set("ban4"), Action::Deleted),
                (Object::Table, Action::Deleted),
                (set("x"), Action::Added),
            ],
            7,
        );
        let words = "nft (pid 7) deleted table inet asterguard, and 2 more changes";
        assert_eq!(flush.to_string(), words);
        let elements = Object::Elements("ban4".to_owned());
        flush.merge(heard(&[(elements.clone(), Action::Deleted)], 8));
        let words = "nft (pid 7) deleted table inet asterguard, and 3 more changes";
        assert_eq!(flush.to_string(), words);
        assert!(flush.sets.contains("ban4"));
        let mut first = heard(&[(elements, Action::Deleted)], 8);
        assert_eq!(first.to_string(), "nft (pid 8) deleted elements of set ban4");
        first.merge(flush);
        assert_eq!(first.gravest.unwrap().1.pid, 7);
    }

    #[test]
    fn a_deleted_set_counts_as_emptied() {
        let set = || Object::Set("ban4".to_owned());
        let declared = heard(&[(set(), Action::Added)], 7);
        assert!(declared.sets.is_empty());
        let mut all = declared;
        all.merge(heard(&[(set(), Action::Deleted), (set(), Action::Added)], 7));
        for sets in [&all.sets, &all.emptied, &all.deleted] {
            assert!(sets.contains("ban4"));
        }
        let emptied = heard(&[(Object::Elements("ban4".to_owned()), Action::Deleted)], 7);
        assert!(emptied.emptied.contains("ban4") && emptied.deleted.is_empty());
    }

    #[test]
    fn own_changes_have_no_origin_but_are_looked_at() {
        let mut ours =
            heard(&[(Object::Table, Action::Deleted), (Object::Other, Action::Added)], 7);
        ours.set_origin(None);
        assert!(ours.gravest.is_none() && ours.more == 0 && !ours.is_empty());
        assert!(ExternalChanges::default().is_empty());
    }

    #[test]
    fn too_many_sets_to_tell_apart_count_as_lost() {
        let mut foreign = ExternalChanges::default();
        for n in 0..=SETS_MAX {
            assert!(!foreign.lost);
            foreign.record(TableChange {
                object: Object::Elements(n.to_string()),
                action: Action::Added,
            });
        }
        assert!(foreign.lost && foreign.sets.len() == SETS_MAX);
    }
}
