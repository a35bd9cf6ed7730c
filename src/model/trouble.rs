//! Something that is wrong, and what is to be done about it.

use std::fmt;

/// Something that is wrong, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The facts that were seen.
    pub seen: String,
    /// What to do about it.
    pub todo: String,
}

impl Trouble {
    /// Returns what was `seen`, with what to do about it.
    #[must_use]
    pub fn new(seen: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { seen: seen.into(), todo: todo.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; do: {}", self.seen, self.todo)
    }
}
