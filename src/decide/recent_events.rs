//! The last events, to explain why a host is banned or not.

use std::collections::VecDeque;

use ipnet::IpNet;

use crate::model::clock_step::ClockStep;
use crate::model::event::{Event, RuleId};

/// Events that are remembered, of all hosts together; 96 bytes each.
pub const CAPACITY: usize = 1 << 15;

/// A ring of events.
#[derive(Debug)]
pub struct RecentEvents {
    events: VecDeque<Event>,
    /// The number of events that were ever recorded.
    recorded: u64,
}

impl Default for RecentEvents {
    /// None; there is room for all from the beginning, which the kernel gives when it is used.
    fn default() -> Self {
        Self { events: VecDeque::with_capacity(CAPACITY), recorded: 0 }
    }
}

impl RecentEvents {
    /// Records an event, in place of the oldest when there are too many.
    pub fn push(&mut self, event: &Event) {
        if self.events.len() >= CAPACITY {
            self.events.pop_front();
        }
        self.events.push_back(*event);
        self.recorded += 1;
    }

    /// Corrects their times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.events.iter_mut().map(|event| &mut event.time));
    }

    /// Returns the events that name a host of `net`, newest first.
    pub fn of(&self, net: IpNet) -> impl Iterator<Item = &Event> {
        self.of_last(CAPACITY, net)
    }

    /// Returns those of them that are among the last `within` of all hosts, newest first.
    pub fn of_last(&self, within: usize, net: IpNet) -> impl Iterator<Item = &Event> {
        self.events.iter().rev().take(within).filter(move |event| net.contains(&event.host))
    }

    /// Returns the events that were recorded after so many others, newest first, as far as they are remembered.
    pub fn after(&self, recorded: u64) -> impl Iterator<Item = &Event> {
        let new = self.recorded.saturating_sub(recorded);
        self.events.iter().rev().take(usize::try_from(new).unwrap_or(usize::MAX))
    }

    /// Returns how many events were ever recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Returns how many events there are, of all hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Renumbers the rules: events of rules without a new number are forgotten.
    pub fn renumber(&mut self, new: impl Fn(RuleId) -> Option<RuleId>) {
        self.events.retain_mut(|event| new(event.rule).map(|rule| event.rule = rule).is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Basis, ChannelId, Clue, Evidence, Meaning};
    use crate::model::time::Time;

    #[test]
    fn finds_the_last_events_of_a_network() {
        let mut recent = RecentEvents::default();
        for n in 0..100_000_u32 {
            recent.push(&Event {
                time: Time::from_secs(n.into()),
                channel: ChannelId(0),
                rule: RuleId(u16::try_from(n % 3).unwrap()),
                meaning: Meaning::Success,
                host: std::net::Ipv4Addr::from(0x0a00_0000 + n % 1000).into(),
                evidence: Evidence::Proven,
                line: n.into(),
                account: None,
                basis: Basis::Text,
                clue: Clue::default(),
            });
        }
        assert_eq!(recent.len(), CAPACITY);
        let lines = |net: &str| -> Vec<u64> {
            recent.of(net.parse().unwrap()).map(|event| event.line).take(3).collect()
        };
        assert_eq!(lines("10.0.0.7/32"), [99_007, 98_007, 97_007]);
        assert_eq!(lines("10.0.0.0/29"), [99_007, 99_006, 99_005]);
        let after = |recorded| recent.after(recorded).map(|event| event.line).collect::<Vec<_>>();
        assert_eq!((recent.recorded(), after(99_998)), (100_000, vec![99_999, 99_998]));
        assert_eq!((after(100_000).len(), after(0).len()), (0, CAPACITY));
        recent.renumber(|rule| (rule != RuleId(1)).then_some(RuleId(9)));
        assert!((20_000..22_000).contains(&recent.len()));
        assert!(recent.events.iter().all(|event| event.rule == RuleId(9)));
        assert_eq!(size_of::<Event>(), 96);
    }
}
