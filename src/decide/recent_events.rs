//! The last events, to explain why a host is banned or not.

use std::collections::VecDeque;

use ipnet::IpNet;

use crate::model::clock_step::ClockStep;
use crate::model::event::{Event, RuleId};

/// Events that are remembered, of all hosts together; 96 bytes each.
pub const CAPACITY: usize = 1 << 15;

/// A ring of events.
#[derive(Debug)]
pub struct RecentEvents(VecDeque<Event>);

impl Default for RecentEvents {
    /// None; there is room for all from the beginning, which the kernel gives when it is used.
    fn default() -> Self {
        Self(VecDeque::with_capacity(CAPACITY))
    }
}

impl RecentEvents {
    /// Records an event, in place of the oldest when there are too many.
    pub fn push(&mut self, event: &Event) {
        if self.0.len() >= CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(*event);
    }

    /// Corrects their times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.0.iter_mut().map(|event| &mut event.time));
    }

    /// Returns the events that name a host of `net`, newest first.
    pub fn of(&self, net: IpNet) -> impl Iterator<Item = &Event> {
        self.of_last(CAPACITY, net)
    }

    /// Returns those of them that are among the last `within` of all hosts, newest first.
    pub fn of_last(&self, within: usize, net: IpNet) -> impl Iterator<Item = &Event> {
        self.0.iter().rev().take(within).filter(move |event| net.contains(&event.host))
    }

    /// Returns how many events there are, of all hosts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Renumbers the rules: events of rules without a new number are forgotten.
    pub fn renumber(&mut self, new: impl Fn(RuleId) -> Option<RuleId>) {
        self.0.retain_mut(|event| new(event.rule).map(|rule| event.rule = rule).is_some());
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
        recent.renumber(|rule| (rule != RuleId(1)).then_some(RuleId(9)));
        assert!((20_000..22_000).contains(&recent.len()));
        assert!(recent.0.iter().all(|event| event.rule == RuleId(9)));
        assert_eq!(size_of::<Event>(), 96);
    }
}
