//! Which lines of a log are printed, and how many of each kind.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::verdict::Verdict;

/// Lines of a kind that are printed for people unless they ask for more.
const MOST_PRINTED: u64 = 100;

/// The kind of a line, as far as it matters who wants to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An offence or a login.
    Matched,
    /// Harmless, or of a host that is never banned.
    Ignored,
    /// Two hosts could be meant.
    Tampered,
    /// Rules read it, and none hit.
    Missed,
    /// No rule reads it.
    Unread,
}

impl Kind {
    /// Returns the kind of a line with this verdict; `missed`: rules read it, and none hit.
    pub fn of(verdict: Verdict, missed: bool) -> Self {
        match verdict {
            Verdict::Offence | Verdict::Success => Self::Matched,
            Verdict::Ignored => Self::Ignored,
            Verdict::Tampered => Self::Tampered,
            Verdict::None if missed => Self::Missed,
            Verdict::None => Self::Unread,
        }
    }

    /// Returns what such lines are called.
    pub fn lines(self) -> &'static str {
        match self {
            Self::Matched => "matched lines",
            Self::Ignored => "ignored lines",
            Self::Tampered => "tampered lines",
            Self::Missed => "missed lines",
            Self::Unread => "lines that no rule reads",
        }
    }
}

/// The most lines of a kind that are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(u64);

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(u64::MAX)),
            _ => text.parse().map(Self).map_err(|_| "write a number, or `all`".to_owned()),
        }
    }
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct LinesArgs {
    /// Print the lines that a rule matches, with the result of each rule
    #[arg(long)]
    matched: bool,
    /// Print the lines that the rules read (NOTICE, WARNING, ERROR, SECURITY) but that none matches
    #[arg(long)]
    missed: bool,
    /// Print the ignored lines: harmless, or about a host that is never banned
    #[arg(long)]
    ignored: bool,
    /// Print the ambiguous lines, which can be read in two ways with two hosts
    #[arg(long)]
    tampered: bool,
    /// Print at most this many lines of each kind, or `all` [default: 100; with --json: all]
    #[arg(long, value_name = "N|all")]
    limit: Option<Limit>,
}

/// Chooses the lines that are printed.
pub struct Choice {
    /// Whether somebody asked for lines of some kind.
    pub asked: bool,
    wanted: Vec<Kind>,
    limit: u64,
    printed: BTreeMap<Kind, u64>,
    /// What was not printed because there was too much of it.
    pub left_out: BTreeMap<Kind, u64>,
}

impl Choice {
    /// `json`: where no kind is asked for, all lines are wanted.
    pub fn new(args: &LinesArgs, json: bool) -> Self {
        let hit = args.matched;
        let mut wanted = Vec::new();
        for (kind, asked) in [
            (Kind::Matched, hit),
            (Kind::Ignored, hit || args.ignored),
            (Kind::Tampered, hit || args.tampered),
            (Kind::Missed, args.missed),
        ] {
            if asked {
                wanted.push(kind);
            }
        }
        let asked = !wanted.is_empty();
        if json && !asked {
            wanted = vec![Kind::Matched, Kind::Ignored, Kind::Tampered, Kind::Missed, Kind::Unread];
        }
        let usual = if json { u64::MAX } else { MOST_PRINTED };
        Self {
            asked,
            wanted,
            limit: args.limit.map_or(usual, |limit| limit.0),
            printed: BTreeMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// Whether the next line of this kind is to be printed.
    pub fn takes(&mut self, kind: Kind) -> bool {
        if !self.wanted.contains(&kind) {
            return false;
        }
        let printed = self.printed.entry(kind).or_default();
        let takes = *printed < self.limit;
        if takes {
            *printed += 1;
        } else {
            *self.left_out.entry(kind).or_default() += 1;
        }
        takes
    }
}
