//! Recovery after a restart: the bans of the store and of the kernel, and how often hosts were
//! banned before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use super::earlier::StoredEarlier;
use crate::decide::ban_table::{self, BanTable};
use crate::model::event::KernelElement;
use crate::model::event::{Ban, Change, Decision, Element, JailId, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::{Time, is_near};

/// Deadlines of the store and the kernel that are no further apart are the same.
const SAME: Duration = Duration::from_secs(1);

/// The stored bans, in terms of the plan in force.
#[derive(Clone, Debug, Default)]
pub struct StoredBans {
    /// The bans that were in force, with deadlines by the wall clock.
    pub bans: Vec<Ban>,
    /// Bans that were lifted by hand, or that ended with their host being ignored, as the elements
    /// they were: the kernel may still have them.
    pub lifted: Vec<Element>,
    /// All bans that there were, those in force too, the oldest first. Of these, only subject,
    /// jail, evidence and length matter.
    pub past: Vec<Ban>,
    /// The bans that other guards made before.
    pub earlier: StoredEarlier,
    /// Until when lines of a subject that were written before do not count for a jail any more.
    pub marks: Vec<(JailId, Subject, Time)>,
    /// The time when something was last stored.
    pub saved: Option<Time>,
}

/// The outcome for the bans of store and kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    /// In force, and known to both.
    pub kept: usize,
    /// Stored, and missing in the kernel: they are put there, with the rest of their time.
    pub missing: usize,
    /// In the kernel, and not stored.
    pub adopted: usize,
    /// In the kernel, and lifted before: they are taken out.
    pub lifted: usize,
    /// Stored, and over meanwhile.
    pub expired: usize,
}

/// What a start has yet to learn of the kernel.
#[derive(Debug)]
pub struct Awaited {
    /// The bans that were lifted before, and that the kernel may still have.
    lifted: HashMap<ScopedSubject, Option<Time>>,
    /// Whether the clock was set back since something was last stored.
    set_back: bool,
    /// Elements that the kernel was told of since: it may have been asked before.
    told: HashSet<ScopedSubject>,
}

impl Awaited {
    /// Records that the kernel is told this.
    pub fn tell(&mut self, change: &Change) {
        self.told.insert(change.key());
    }

    /// Returns what takes the bans that were lifted out of the kernel, be they there or not: numbers of scopes are about
    /// to change.
    pub fn settle(&mut self, bans: &BanTable) -> Vec<Change> {
        self.told.clear();
        self.lifted.drain().map(|((scope, subject), _)| bans.element(scope, subject)).collect()
    }
}

type ScopedSubject = (ScopeId, Subject);

fn key(element: &Element) -> ScopedSubject {
    (element.scope, element.subject)
}

impl Engine {
    /// Merges the stored bans and the elements that are `found` in the kernel into a new engine;
    /// what has to change in the kernel is added to `out`.
    ///
    /// * Both know a ban: it has the store's details and the later deadline. If the clock was set
    ///   back since, the kernel's, whose time is not that of the clock.
    /// * Only the kernel: it is taken over, unless the store says that it was lifted.
    /// * Only the store: it goes on for the rest of its time, and never for longer than it was
    ///   meant to last, whatever became of the clock.
    pub fn recover(
        &mut self,
        stored: &StoredBans,
        found: &[KernelElement],
        now: Time,
        out: &mut Vec<Decision>,
    ) -> RecoverySummary {
        let awaited = self.recover_stored(stored, now);
        self.recover_held(&awaited, found, now, out)
    }

    /// The part of [`Engine::recover`] that is about the store. Its bans are taken to be in the kernel, until that says
    /// what it holds.
    pub fn recover_stored(&mut self, stored: &StoredBans, now: Time) -> Awaited {
        let bans = stored.bans.iter().map(|ban| within_its_length(ban, now));
        let refused = self.bans.enter_all(bans);
        self.refused += u64::try_from(refused).unwrap_or(u64::MAX);
        self.restore_earlier(&stored.earlier);
        self.recall(&stored.past);
        for (jail, subject, mark) in &stored.marks {
            let known = self.late.marks.entry((*jail, *subject)).or_insert(*mark);
            *known = (*known).max(*mark);
        }
        Awaited {
            lifted: stored.lifted.iter().map(|element| (key(element), element.until)).collect(),
            set_back: stored.saved.is_some_and(|saved| saved.since(now) > SAME),
            told: HashSet::new(),
        }
    }

    /// The part of [`Engine::recover`] that is about the kernel, which may be listed later: what it was told since counts,
    /// and not what was listed of it.
    pub fn recover_held(
        &mut self,
        awaited: &Awaited,
        found: &[KernelElement],
        now: Time,
        out: &mut Vec<Decision>,
    ) -> RecoverySummary {
        let Awaited { lifted, set_back, told } = awaited;
        let mut taken = RecoverySummary::default();
        let of_kernel = found.iter().map(|known| (key(&known.element), known.element));
        let mut unmatched: HashMap<ScopedSubject, Element> = of_kernel.collect();
        let mut adopted = Vec::new();
        let stored_elements: Vec<Element> = self.bans.elements().collect();
        for element in stored_elements {
            if told.contains(&key(&element)) {
                taken.kept += 1;
                unmatched.remove(&key(&element));
            } else if let Some(in_kernel) = unmatched.remove(&key(&element)) {
                taken.kept += 1;
                agree(&mut self.bans, &in_kernel, *set_back, out);
            } else if element.until.is_none_or(|until| until > now) {
                taken.missing += 1;
                out.push(Decision::Change(Change::Put(element)));
            } else {
                taken.expired += 1;
            }
        }
        for known in found {
            let key = key(&known.element);
            let is_over = known.element.until.is_some_and(|until| until <= now);
            if unmatched.remove(&key).is_none() || told.contains(&key) || is_over {
                continue;
            }
            if lifted.get(&key).is_some_and(|until| is_near(*until, known.element.until, SAME)) {
                taken.lifted += 1;
                out.push(Decision::Change(Change::Remove(key.0, key.1)));
            } else {
                taken.adopted += 1;
                adopted.push(known.clone());
            }
        }
        self.adopt(&adopted, now);
        taken
    }
}

impl Engine {
    /// Goes through earlier bans as they came, so that the next ones grow as they would have.
    fn recall(&mut self, past: &[Ban]) {
        let plan = Arc::clone(&self.plan);
        for ban in past {
            let Some(jail) = plan.jail(ban.jail) else { continue };
            let (_, bantime) = plan.ban_terms(jail, ban.evidence);
            let quiet = self.quiet(&(ban.subject, ban.evidence), ban.since);
            if let Some(state) = self.states.get_mut(usize::from(ban.jail.0)) {
                state.remember(ban, &bantime, quiet, self.earlier.of(&ban.subject, ban.since));
            }
        }
    }
}

/// A ban that lasts no longer from `now` than it was meant to from its beginning.
fn within_its_length(ban: &Ban, now: Time) -> Ban {
    let longest = ban.until.map(|until| now.plus(until.since(ban.since)));
    Ban { until: ban.until.zip(longest).map(|(until, longest)| until.min(longest)), ..*ban }
}

/// Brings the deadline of an element that the kernel holds and that of its bans together.
fn agree(book: &mut BanTable, element: &Element, set_back: bool, out: &mut Vec<Decision>) {
    let of_element = |ban: &&Ban| ban.scope == element.scope;
    let Some(latest) =
        book.of(element.subject).filter(of_element).max_by_key(|ban| ban_table::end(ban))
    else {
        return;
    };
    let (latest, later) =
        (*latest, ban_table::end(latest) > (element.until.is_none(), element.until));
    if is_near(latest.until, element.until, SAME) {
        return;
    }
    if later && !set_back {
        out.push(Decision::Change(book.element(element.scope, element.subject)));
        return;
    }
    let named = book.of(element.subject).filter(of_element).find(|ban| ban.jail == element.jail);
    let lasting = named.copied().unwrap_or(latest);
    if set_back {
        // None of them lasts longer than the element.
        let others: Vec<Ban> = book.of(element.subject).filter(of_element).copied().collect();
        for ban in others {
            let until = match (ban.until, element.until) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            book.put(Ban { until, ..ban });
        }
    }
    book.put(Ban { until: element.until, ..lasting });
}
