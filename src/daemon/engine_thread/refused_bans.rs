//! The bans that the sink would not take, because a set is full for example: kept, and offered again
//! until it takes them or nobody wants them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{Duration, Instant};

use tracing::error;

use crate::enforce::Report;
use crate::model::event::{Change, Element, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The time to wait after a set took nothing of what it was offered.
const PAUSE: Duration = Duration::from_secs(1);
/// The number of bans that are offered to a set that may still be full. When it takes them all, it
/// is offered twice as many.
const FEW: usize = 16;
/// The number of bans that are offered together at most.
const MANY: usize = 5000;
/// Refusals of one transaction that are told one by one.
const MOST_TOLD: usize = 10;

/// A set of the kernel: a scope, whether it is the one for IPv6, and whether it is for flows.
type Set = (ScopeId, bool, bool);

/// The bans that the sink refused, by the set that they are for.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    sets: BTreeMap<Set, Queue>,
    /// The time when it is offered again; `None`: there is nothing.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Queue {
    waiting: BTreeMap<Subject, Element>,
    /// The host that the sink was offered last: the others come first.
    last: Option<Subject>,
    /// The number of bans that are offered next.
    offer: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), last: None, offer: FEW }
    }
}

impl Queue {
    fn next(&mut self) -> Vec<Element> {
        let after = self.last.map_or(Unbounded, Excluded);
        let (later, all) = (self.waiting.range((after, Unbounded)), self.waiting.iter());
        let most = self.offer.min(self.waiting.len());
        let offered: Vec<_> = later.chain(all).map(|(_, element)| *element).take(most).collect();
        self.last = offered.last().map(|element| element.subject);
        offered
    }
}

fn set_of(scope: ScopeId, subject: Subject) -> Set {
    (scope, subject.is_ipv6(), subject.is_flow())
}

impl Refused {
    /// Returns how many bans wait.
    pub(crate) fn len(&self) -> usize {
        self.sets.values().map(|queue| queue.waiting.len()).sum()
    }

    /// Returns when there is something to offer.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the sets that something waits for, without those whose time is over at `now`.
    pub(crate) fn sets(&mut self, now: Time) -> Vec<Set> {
        for queue in self.sets.values_mut() {
            queue.waiting.retain(|_, element| element.until.is_none_or(|until| until > now));
        }
        self.sets.retain(|_, queue| !queue.waiting.is_empty());
        self.sets.keys().copied().collect()
    }

    /// Returns what the set is to be offered now.
    pub(crate) fn offer(&mut self, set: Set) -> Vec<Change> {
        let offered = self.sets.get_mut(&set).map(Queue::next);
        offered.unwrap_or_default().into_iter().map(Change::Put).collect()
    }

    /// Records what became of what a set was offered, and returns whether it takes more.
    pub(crate) fn offered(&mut self, set: Set, offered: &[Change], report: &Report) -> bool {
        let refused: BTreeSet<_> = report.refused.iter().map(|(change, _)| change.key()).collect();
        let Some(queue) = self.sets.get_mut(&set) else { return false };
        for (scope, subject) in offered.iter().map(Change::key) {
            if !refused.contains(&(scope, subject)) {
                queue.waiting.remove(&subject);
            }
        }
        queue.offer = if refused.is_empty() { (queue.offer * 2).min(MANY) } else { FEW };
        refused.len() < offered.len() && !queue.waiting.is_empty()
    }

    /// Records when to offer the rest: `at_once`, or after a pause.
    pub(crate) fn wait(&mut self, at_once: bool, now: Instant) {
        self.sets.retain(|_, queue| !queue.waiting.is_empty());
        self.due = (!self.sets.is_empty()).then(|| if at_once { now } else { now + PAUSE });
    }

    /// Records what the sink would not take, and says so.
    pub(crate) fn note(&mut self, report: &Report, now: Instant) {
        let mut new = 0;
        for (change, reason) in &report.refused {
            let (scope, subject) = change.key();
            let known = match change {
                Change::Remove(..) => false,
                Change::Put(element) => {
                    let queue = self.sets.entry(set_of(scope, subject)).or_default();
                    queue.waiting.insert(subject, *element).is_some()
                }
            };
            new += usize::from(!known);
            if !known && new <= MOST_TOLD {
                error!("the kernel did not take {subject}: {reason}");
            }
        }
        if new > MOST_TOLD {
            error!("and {} more", new - MOST_TOLD);
        }
        if !self.sets.is_empty() {
            self.due.get_or_insert(now + PAUSE);
        }
    }

    /// Forgets a ban, of which there is something newer.
    pub(crate) fn forget(&mut self, (scope, subject): (ScopeId, Subject)) {
        if let Some(queue) = self.sets.get_mut(&set_of(scope, subject)) {
            queue.waiting.remove(&subject);
        }
    }

    /// Forgets all, because the sink is told the whole. Returns whether there was something.
    pub(crate) fn clear(&mut self) -> bool {
        self.due = None;
        !std::mem::take(&mut self.sets).is_empty()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "instants to count from")]
mod tests {
    use super::*;
    use crate::model::event::JailId;

    fn put(n: u16, until: i64) -> Change {
        let subject = Subject::of([10, 0, (n >> 8) as u8, (n & 255) as u8].into(), 128);
        let until = Some(Time::from_secs(until));
        Change::Put(Element { scope: ScopeId(0), subject, until, jail: JailId(0) })
    }

    fn refuse(changes: impl IntoIterator<Item = Change>) -> Report {
        let refused = changes.into_iter().map(|change| (change, "full".to_owned())).collect();
        Report { refused, ..Report::default() }
    }

    const SET: Set = (ScopeId(0), false, false);

    #[test]
    fn all_have_a_turn_and_a_set_with_room_is_offered_more() {
        let (mut refused, begin) = (Refused::default(), Instant::now());
        refused.note(&refuse((0..100).map(|n| put(n, 60))), begin);
        assert_eq!((refused.len(), refused.due()), (100, Some(begin + PAUSE)));
        // The set is full: others are offered each time, and the first ones again at last.
        let first = refused.offer(SET);
        assert_eq!(first.len(), FEW);
        assert!(!refused.offered(SET, &first, &refuse(first.clone())));
        let second = refused.offer(SET);
        assert!(second.iter().all(|change| !first.contains(change)));
        // One was taken: there may be room for more.
        assert!(refused.offered(SET, &second, &refuse(second[1..].to_vec())));
        assert_eq!(refused.len(), 99);
        let mut sizes = Vec::new();
        loop {
            let offered = refused.offer(SET);
            sizes.push(offered.len());
            if !refused.offered(SET, &offered, &Report::default()) {
                break;
            }
        }
        assert_eq!(sizes, [16, 32, 51]);
        refused.wait(false, begin);
        assert_eq!((refused.len(), refused.due()), (0, None));
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_offered() {
        let (mut refused, begin) = (Refused::default(), Instant::now());
        refused.note(&refuse([put(1, 10), put(2, 60), put(3, 60)]), begin);
        refused.forget(put(2, 0).key());
        assert_eq!(refused.sets(Time::from_secs(10)), [SET]);
        assert_eq!(refused.offer(SET), [put(3, 60)]);
        // A newer word about it counts.
        refused.note(&refuse([put(3, 90)]), begin);
        assert_eq!((refused.offer(SET), refused.len()), (vec![put(3, 90)], 1));
        assert!(refused.clear());
        assert_eq!((refused.len(), refused.due()), (0, None));
    }
}
