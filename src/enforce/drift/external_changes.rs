//! What others did to our table, as far as it was heard of.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::structure::TABLE;

/// The most sets that are told apart; of more, all may have changed.
const SETS_MAX: usize = 64;

/// What was heard of at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Whether anything was: what is there has to be looked at.
    pub heard: bool,
    /// The gravest deed that was not our own, and who did it.
    pub gravest: Option<(Deed, Actor)>,
    /// How many changes there were beside it.
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

/// Who did something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The name that the process gave itself, without anything that is no letter.
    pub name: String,
    /// Its number.
    pub pid: u32,
}

/// Something that was done to our table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// To what.
    pub thing: Thing,
    /// What became of it.
    pub done: Done,
}

/// What can be done to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Done {
    /// It is new, or changed.
    Added,
    /// It is gone.
    Deleted,
}

/// What things there are, the gravest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Thing {
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

impl Foreign {
    /// Takes in one change.
    pub(in crate::enforce) fn note(&mut self, deed: Deed) {
        self.heard = true;
        match (&deed.thing, deed.done) {
            (Thing::Elements(set), done) => self.touch(set, done),
            // Of what it held, nothing is told.
            (Thing::Set(set), Done::Deleted) => self.delete(set),
            (..) => {}
        }
        self.blame(deed, Actor::default(), 1);
    }

    /// Says who did all of this; `None`: we did.
    pub(in crate::enforce) fn by(&mut self, actor: Option<Actor>) {
        match (&mut self.gravest, actor) {
            (Some((_, who)), Some(actor)) => *who = actor,
            (_, Some(_)) => {}
            (gravest, None) => {
                *gravest = None;
                self.more = 0;
            }
        }
    }

    /// Takes in what was heard of later.
    pub fn merge(&mut self, later: Self) {
        self.heard |= later.heard;
        self.lost |= later.lost;
        for set in &later.sets {
            let gone = later.emptied.contains(set);
            self.touch(set, if gone { Done::Deleted } else { Done::Added });
        }
        for set in &later.deleted {
            self.delete(set);
        }
        if let Some((deed, actor)) = later.gravest {
            self.blame(deed, actor, later.more + 1);
        }
    }

    /// Whether there is nothing to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.heard && !self.lost
    }

    fn touch(&mut self, set: &str, done: Done) {
        if self.sets.len() < SETS_MAX {
            self.sets.insert(set.to_owned());
        } else {
            self.lost |= !self.sets.contains(set);
        }
        if done == Done::Deleted && self.sets.contains(set) {
            self.emptied.insert(set.to_owned());
        }
    }

    fn delete(&mut self, set: &str) {
        self.touch(set, Done::Deleted);
        if self.sets.contains(set) {
            self.deleted.insert(set.to_owned());
        }
    }

    /// Keeps the gravest, and counts the others.
    fn blame(&mut self, deed: Deed, actor: Actor, count: u64) {
        self.more += count;
        match &mut self.gravest {
            Some((gravest, _)) if gravest.gravity() >= deed.gravity() => {}
            gravest => {
                self.more -= u64::from(gravest.is_none());
                *gravest = Some((deed, actor));
            }
        }
    }
}

impl Deed {
    fn gravity(&self) -> (u8, Done) {
        let thing = match self.thing {
            Thing::Elements(_) => 0,
            Thing::Other => 1,
            Thing::Set(_) => 2,
            Thing::Rules(_) => 3,
            Thing::Chain(_) => 4,
            Thing::Table => 5,
        };
        (thing, self.done)
    }
}

/// "nft (pid 4711) deleted table inet asterguard, and 3 more changes"
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gravest {
            None => return f.write_str("something changed our table"),
            Some((deed, Actor { name, pid })) => write!(f, "{name} (pid {pid}) {deed}")?,
        }
        match self.more {
            0 => Ok(()),
            1 => f.write_str(", and one more change"),
            more => write!(f, ", and {more} more changes"),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = match (&self.thing, self.done) {
            (Thing::Table | Thing::Chain(_) | Thing::Set(_), Done::Added) => "declared",
            (_, Done::Added) => "added",
            (_, Done::Deleted) => "deleted",
        };
        match &self.thing {
            Thing::Table => write!(f, "{done} table inet {TABLE}"),
            Thing::Chain(name) => write!(f, "{done} chain {name}"),
            Thing::Rules(chain) => write!(f, "{done} rules of chain {chain}"),
            Thing::Set(name) => write!(f, "{done} set {name}"),
            Thing::Elements(set) => write!(f, "{done} elements of set {set}"),
            Thing::Other => write!(f, "{done} something in table inet {TABLE}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(deeds: &[(Thing, Done)], pid: u32) -> Foreign {
        let mut foreign = Foreign::default();
        for (thing, done) in deeds {
            foreign.note(Deed { thing: thing.clone(), done: *done });
        }
        foreign.by(Some(Actor { name: "nft".to_owned(), pid }));
        foreign
    }

    #[test]
    fn the_gravest_deed_is_told_and_the_others_counted() {
        let set = |name: &str| Thing::Set(name.to_owned());
        let mut flush = heard(
            &[(set("ban4"), Done::Deleted), (Thing::Table, Done::Deleted), (set("x"), Done::Added)],
            7,
        );
        let words = "nft (pid 7) deleted table inet asterguard, and 2 more changes";
        assert_eq!(flush.to_string(), words);
        let elements = Thing::Elements("ban4".to_owned());
        flush.merge(heard(&[(elements.clone(), Done::Deleted)], 8));
        let words = "nft (pid 7) deleted table inet asterguard, and 3 more changes";
        assert_eq!(flush.to_string(), words);
        assert!(flush.sets.contains("ban4"));
        let mut first = heard(&[(elements, Done::Deleted)], 8);
        assert_eq!(first.to_string(), "nft (pid 8) deleted elements of set ban4");
        first.merge(flush);
        assert_eq!(first.gravest.unwrap().1.pid, 7);
    }

    #[test]
    fn what_a_deleted_set_held_is_gone() {
        let set = || Thing::Set("ban4".to_owned());
        let declared = heard(&[(set(), Done::Added)], 7);
        assert!(declared.sets.is_empty());
        let mut all = declared;
        all.merge(heard(&[(set(), Done::Deleted), (set(), Done::Added)], 7));
        for sets in [&all.sets, &all.emptied, &all.deleted] {
            assert!(sets.contains("ban4"));
        }
        let emptied = heard(&[(Thing::Elements("ban4".to_owned()), Done::Deleted)], 7);
        assert!(emptied.emptied.contains("ban4") && emptied.deleted.is_empty());
    }

    #[test]
    fn we_are_not_blamed_for_what_we_did_but_it_is_looked_at() {
        let mut ours = heard(&[(Thing::Table, Done::Deleted), (Thing::Other, Done::Added)], 7);
        ours.by(None);
        assert!(ours.gravest.is_none() && ours.more == 0 && !ours.is_empty());
        assert!(Foreign::default().is_empty());
    }

    #[test]
    fn more_sets_than_can_be_told_apart_are_all_sets() {
        let mut foreign = Foreign::default();
        for n in 0..=SETS_MAX {
            assert!(!foreign.lost);
            foreign.note(Deed { thing: Thing::Elements(n.to_string()), done: Done::Added });
        }
        assert!(foreign.lost && foreign.sets.len() == SETS_MAX);
    }
}
