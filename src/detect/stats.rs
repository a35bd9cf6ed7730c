//! Counts of what a scanner has seen, and which rules' lines it could not believe.

use std::collections::BTreeMap;

use crate::model::event::{Event, Evidence, Meaning, RuleId};
use crate::rules::RuleSet;

/// Counts of a scanner since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Lines that a rule matched.
    pub hits: u64,
    /// Of these, lines that could be read in two ways.
    pub tampered: u64,
    /// Of these, lines whose address could not be trusted.
    pub hearsay: u64,
}

/// Lines of one rule that could not be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnbelievedHits {
    /// Lines that could be read in two ways.
    pub tampered: u64,
    /// Lines whose address could not be trusted.
    pub hearsay: u64,
}

/// Counts lines by what they were read as.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub seen: ScanStats,
    /// As many as there are rules at most.
    pub unbelieved: BTreeMap<RuleId, UnbelievedHits>,
}

impl Counts {
    /// Counts a line that rules matched. One that several rules matched is told of the first.
    pub fn add(&mut self, hits: &[Event]) {
        self.seen.hits += 1;
        let tampered = hits.iter().any(|hit| hit.meaning == Meaning::Tampered);
        let believed = hits.iter().any(|hit| hit.evidence > Evidence::Hearsay);
        let Some(first) = hits.first().filter(|_| tampered || !believed) else { return };
        let of_rule = self.unbelieved.entry(first.rule).or_default();
        let (all, of_rule) = if tampered {
            (&mut self.seen.tampered, &mut of_rule.tampered)
        } else {
            (&mut self.seen.hearsay, &mut of_rule.hearsay)
        };
        *all += 1;
        *of_rule += 1;
    }

    /// Goes on with other rules; the counts of those that are gone are dropped.
    pub fn change(&mut self, before: &RuleSet, now: &RuleSet) {
        let counts = std::mem::take(&mut self.unbelieved).into_iter();
        let successor = now.successors(before);
        self.unbelieved = counts.filter_map(|(id, count)| Some((successor(id)?, count))).collect();
    }
}
