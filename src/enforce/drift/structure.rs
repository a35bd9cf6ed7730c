//! Differences between a table and what was loaded, and the words for them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::words::counted;

/// Something that a structure declares.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The table itself.
    Table,
    /// A chain, by name.
    Chain(String),
    /// A set, by name.
    Set(String),
    /// A counter, or another object, by name.
    Object(String),
}

/// Something that others took away or changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Drift {
    /// It is not there.
    Missing(Part),
    /// It is there, but of another kind: other flags, another size, another hook.
    Changed(Part),
    /// In this chain, how many of our rules are missing and how many are not ours; both are zero where
    /// only the order is another one.
    Rules {
        /// The chain's name.
        chain: String,
        /// Rules of ours that are not there.
        missing: usize,
        /// Rules that are not ours.
        foreign: usize,
    },
    /// A set whose content the configuration decides holds something else.
    Content(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => write!(f, "table inet {}", crate::table::structure::TABLE),
            Self::Chain(name) => write!(f, "chain {name}"),
            Self::Set(name) => write!(f, "set {name}"),
            Self::Object(name) => write!(f, "counter {name}"),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = |count: &usize| counted(*count, "rule");
        match self {
            Self::Missing(part) => write!(f, "{part} is missing"),
            Self::Changed(part) => write!(f, "{part} is not of the kind that was declared"),
            Self::Rules { chain, missing: 0, foreign: 0 } => {
                write!(f, "the rules of chain {chain} are in another order")
            }
            Self::Rules { chain, missing, foreign: 0 } => {
                write!(f, "{} missing in chain {chain}", rules(missing))
            }
            Self::Rules { chain, missing: 0, foreign } => {
                write!(f, "{} in chain {chain}", counted(*foreign, "foreign rule"))
            }
            Self::Rules { chain, missing, foreign } => {
                write!(f, "{} missing and {foreign} foreign in chain {chain}", rules(missing))
            }
            Self::Content(set) => write!(f, "set {set} does not hold what it should"),
        }
    }
}
