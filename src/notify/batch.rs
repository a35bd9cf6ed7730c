//! Events that are told together: some as a whole, and the number of all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::time::Time;

/// Events that are kept as a whole; of others the number.
pub const MOST_EVENTS: usize = 100;
/// Bytes that these may have as JSON.
pub const MOST_BYTES: usize = 512 << 10;
/// Pairs of kind and jail that are counted apart.
const MOST_COUNTS: usize = 256;
/// The jail of what is beyond that.
const OTHERS: &str = "others";

/// Events that are told together. It takes [`MOST_BYTES`] and about 20 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The first events.
    pub events: Vec<GuardEvent>,
    /// How many there were of each kind and jail; an event without a jail has an empty one.
    pub counts: Vec<Count>,
    /// The time of the last event.
    pub last: Time,
    /// The size of the events as JSON.
    bytes: usize,
}

/// How many events there were of a kind, in a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The kind.
    pub kind: EventKind,
    /// The jail; empty: none.
    pub jail: String,
    /// The number.
    pub number: u64,
}

impl Batch {
    /// Returns a batch of one event.
    #[must_use]
    pub fn of(event: GuardEvent) -> Self {
        let mut batch = Self::default();
        batch.add(event);
        batch
    }

    /// Adds an event.
    pub fn add(&mut self, event: GuardEvent) {
        let jail = event.jail.clone().unwrap_or_default();
        let found = self.counts.iter().position(|it| it.kind == event.kind && it.jail == jail);
        let jail = if found.is_none() && self.counts.len() >= MOST_COUNTS {
            OTHERS.to_owned()
        } else {
            jail
        };
        let place = self.counts.iter_mut().find(|it| it.kind == event.kind && it.jail == jail);
        match place {
            Some(count) => count.number = count.number.saturating_add(1),
            None => self.counts.push(Count { kind: event.kind, jail, number: 1 }),
        }
        self.last = self.last.max(event.at);
        if self.events.len() >= MOST_EVENTS {
            return;
        }
        let size = serde_json::to_vec(&event).map_or(usize::MAX, |json| json.len());
        let bytes = self.bytes.saturating_add(size);
        if bytes <= MOST_BYTES {
            self.bytes = bytes;
            self.events.push(event);
        }
    }

    /// Returns the number of events.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(count.number))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns the number of events of which only the number is known.
    #[must_use]
    pub fn omitted(&self) -> u64 {
        self.total().saturating_sub(self.events.len() as u64)
    }

    /// Returns the only event, if it is the only one.
    #[must_use]
    pub fn single(&self) -> Option<&GuardEvent> {
        match self.events.as_slice() {
            [event] if self.total() == 1 => Some(event),
            _ => None,
        }
    }

    /// Returns a batch of its own for each event, if all of them are there as a whole.
    ///
    /// # Errors
    /// Otherwise, returns the batch itself.
    pub fn apart(self) -> Result<Vec<Self>, Self> {
        if self.omitted() > 0 {
            return Err(self);
        }
        Ok(self.events.into_iter().map(Self::of).collect())
    }

    /// Returns the numbers of each kind.
    #[must_use]
    pub fn kinds(&self) -> BTreeMap<EventKind, u64> {
        let mut kinds = BTreeMap::new();
        for count in &self.counts {
            let number: &mut u64 = kinds.entry(count.kind).or_default();
            *number = number.saturating_add(count.number);
        }
        kinds
    }

    /// Whether this can have come about by [`Batch::add`], as far as limits go: it was read from a file.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.events.len() <= MOST_EVENTS
            && self.bytes <= MOST_BYTES
            && self.counts.len() <= MOST_COUNTS + EventKind::ALL.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_nothing_is_uncounted() {
        let mut batch = Batch::default();
        for number in 0..5000_u64 {
            let text = "\u{1}".repeat(400);
            let mut event = GuardEvent::new(Time::from_secs(1), EventKind::Ban, text);
            event.jail = Some(format!("jail-{}", number % 1000));
            batch.add(event);
        }
        assert!(batch.is_bounded() && batch.events.len() == MOST_EVENTS);
        assert_eq!((batch.total(), batch.omitted()), (5000, 4900));
        let mut large = Batch::default();
        for _ in 0..MOST_EVENTS {
            large.add(GuardEvent::new(Time::default(), EventKind::Ban, "x".repeat(100 << 10)));
        }
        assert!(large.is_bounded() && large.events.len() == 5 && large.total() == 100);
        assert!(large.apart().is_err());
    }
}
