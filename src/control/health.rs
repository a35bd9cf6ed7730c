//! The health of the guard: one list of checks, each with what was seen and what is to be done about it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::trouble::Trouble;

/// Checks that [`names_of_problems`] has by name; the others are counted.
const MOST_NAMED: usize = 2;

/// What is checked, in the order in which it is told. The names are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Whether dropping is paused.
    Pause,
    /// Whether the kernel takes changes.
    Nftables,
    /// Whether another program changes our table again and again.
    TableChanges,
    /// Whether the kernel takes each ban.
    KernelSets,
    /// Whether there are too many bans.
    BanCount,
    /// Whether packets of banned hosts come through.
    BanEffect,
    /// Whether unverified bans are withheld, because there are too many.
    Flood,
    /// Whether a log is followed.
    Logs,
    /// Whether each log can be read.
    LogAccess,
    /// Whether the manager interface tells its events, if it is asked.
    Ami,
    /// Whether logs hold lines of Asterisk.
    LogFormat,
    /// Whether anything of what is seen can be believed.
    Evidence,
    /// Whether the guard would start again with the configuration on disk.
    Configuration,
    /// Whether lines name two hosts.
    TamperedLines,
    /// Whether lines stand right behind free text.
    FreeText,
    /// Whether failregexes with look-around took more steps than they may.
    SlowRules,
    /// Whether what must outlive a restart is stored.
    StateFile,
    /// Whether the state file is the one that was left.
    StateDamage,
    /// Whether the kernel's limiter has room.
    Limiter,
    /// Whether the wire is available, if it is wanted.
    Wire,
    /// Whether the hosts that are meant to be let pass are known.
    NeverBanned,
    /// Whether feeds are what their files say.
    Lists,
    /// Whether those who are to be told something are told.
    Notify,
    /// Whether the databases of countries and networks can be read.
    Geoip,
    /// Whether bans are shared with the fleet, if there is one.
    Fleet,
}

impl Check {
    /// Returns the name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Nftables => "nftables",
            Self::TableChanges => "table-changes",
            Self::KernelSets => "kernel-sets",
            Self::BanCount => "ban-count",
            Self::BanEffect => "ban-effect",
            Self::Flood => "flood",
            Self::Logs => "logs",
            Self::LogAccess => "log-access",
            Self::Ami => "ami",
            Self::LogFormat => "log-format",
            Self::Evidence => "evidence",
            Self::Configuration => "configuration",
            Self::TamperedLines => "tampered-lines",
            Self::FreeText => "free-text",
            Self::SlowRules => "slow-rules",
            Self::StateFile => "state-file",
            Self::StateDamage => "state-damage",
            Self::Limiter => "limiter",
            Self::Wire => "wire",
            Self::NeverBanned => "never-banned",
            Self::Lists => "lists",
            Self::Notify => "notify",
            Self::Geoip => "geoip",
            Self::Fleet => "fleet",
        }
    }
}

/// How a check turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Something is wrong.
    Problem,
}

/// What a check has found. One that has found several things wrong has a result for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check.
    pub check: Check,
    /// How it turned out.
    pub state: CheckState,
    /// The facts that were seen, for people.
    pub seen: String,
    /// What to do about it; `None` if there is nothing to do.
    pub todo: Option<String>,
}

impl CheckResult {
    /// Returns the result of a check that found nothing wrong.
    #[must_use]
    pub fn ok(check: Check, seen: &str) -> Self {
        Self { check, state: CheckState::Ok, seen: seen.to_owned(), todo: None }
    }

    /// Returns the result of a check that found something wrong.
    #[must_use]
    pub fn problem(check: Check, Trouble { seen, todo }: Trouble) -> Self {
        Self { check, state: CheckState::Problem, seen, todo: Some(todo) }
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_problem(&self) -> bool {
        self.state == CheckState::Problem
    }

    /// Returns what was seen and what to do, in one line of text.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &self.todo {
            Some(todo) => Trouble::new(&self.seen, todo).to_string(),
            None => self.seen.clone(),
        }
    }
}

/// Returns the names of the checks that found something wrong, in few words: `logs, log-access +1`.
#[must_use]
pub fn names_of_problems(checks: &[CheckResult]) -> String {
    let mut wrong: Vec<_> = checks.iter().filter(|result| result.is_problem()).collect();
    wrong.dedup_by_key(|result| result.check);
    let named: Vec<_> = wrong.iter().take(MOST_NAMED).map(|result| result.check.name()).collect();
    let mut names = named.join(", ");
    if let Some(more) = wrong.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        // Writing to a string does not fail.
        let _ = write!(names, " +{more}");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_problems_are_named_and_others_counted() {
        let wrong = |check| CheckResult::problem(check, Trouble::new("seen", "todo"));
        let fine = CheckResult::ok(Check::Nftables, "well");
        assert_eq!(fine.in_words(), "well");
        assert_eq!(wrong(Check::Logs).in_words(), "seen; do: todo");
        let named = |wrong: &[CheckResult]| {
            names_of_problems(&[std::slice::from_ref(&fine), wrong].concat())
        };
        assert_eq!(named(&[]), "");
        assert_eq!(named(&[wrong(Check::Logs)]), "logs");
        // Two files are one check.
        let files = [wrong(Check::Logs), wrong(Check::LogAccess), wrong(Check::LogAccess)];
        assert_eq!(named(&files), "logs, log-access");
        let many = [&files[..], &[wrong(Check::Wire), wrong(Check::Lists)]].concat();
        assert_eq!(named(&many), "logs, log-access +2");
    }
}
