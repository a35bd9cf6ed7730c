//! What became of each line of fail2ban's configuration, for people.

use std::fmt;

use serde::Serialize;

use super::ini::Value;

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It means the same here.
    Taken,
    /// Something built in does it better.
    Better,
    /// A rule that bans nobody: a stranger may write the host.
    Hearsay,
    /// It cannot be had.
    Cannot,
}

impl Verdict {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 4] = [Self::Taken, Self::Better, Self::Hearsay, Self::Cannot];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Taken => "taken",
            Self::Better => "better",
            Self::Hearsay => "hearsay",
            Self::Cannot => "cannot",
        })
    }
}

/// A line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// The file and the line, if there is one.
    pub place: Option<String>,
    /// The jail; `DEFAULT` for all.
    pub jail: String,
    /// The key and its value, as fail2ban has it.
    pub what: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The reason, or what is written here.
    pub why: String,
}

/// The whole report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its lines, in the order of jails and keys.
    pub items: Vec<Item>,
}

/// Characters of a value that are shown.
const SHOWN: usize = 120;

impl Report {
    /// Adds a line.
    pub fn add(
        &mut self,
        jail: &str,
        (key, text): (&str, &str),
        written: Option<&Value>,
        verdict: Verdict,
        why: impl Into<String>,
    ) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut what = format!("{key} = {text}");
        if what.chars().count() > SHOWN {
            what = what.chars().take(SHOWN).chain("...".chars()).collect();
        }
        let place =
            written.map(|value| format!("{}:{}", value.source.path.display(), value.line()));
        self.items.push(Item { place, jail: jail.to_owned(), what, verdict, why: why.into() });
    }

    /// Returns how many lines there are with a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.items.iter().filter(|item| item.verdict == verdict).count()
    }
}
