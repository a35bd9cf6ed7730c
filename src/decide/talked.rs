//! Connections whose content is not seen: how many lines about one can be believed, which is as many as the PBX sent
//! segments on it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::clock_step::ClockStep;
use crate::model::time::Time;

/// The time for which the kernel remembers what was sent: the timeout of its sets.
const LASTS: Duration = Duration::from_secs(5);
/// Connections that are known at most, about 60 bytes each: as many as the kernel's sets take.
const CAPACITY: usize = 65_536;

/// The segments that lines have used up, by the host's address and port.
#[derive(Debug, Default)]
pub struct TalkedFlows(HashMap<(IpAddr, u16), Used, RandomState>);

#[derive(Debug)]
struct Used {
    segments: u64,
    last: Time,
}

impl TalkedFlows {
    /// Uses one up of the segments that were `sent` on a connection, and returns whether there was one left.
    pub fn use_up(&mut self, flow: (IpAddr, u16), sent: Option<u64>, now: Time) -> bool {
        let Some(sent) = sent else { return false };
        if self.0.len() >= CAPACITY && !self.0.contains_key(&flow) {
            return false;
        }
        let used = self.0.entry(flow).or_insert(Used { segments: 0, last: now });
        // The kernel has begun to count anew.
        if now.since(used.last) >= LASTS || used.segments > sent {
            used.segments = 0;
        }
        used.last = now;
        let is_left = used.segments < sent;
        used.segments += u64::from(is_left);
        is_left
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        self.0.retain(|_, used| now.since(used.last) < LASTS);
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.0.values_mut().map(|used| &mut used.last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_uses_up_a_segment() {
        let mut talked = TalkedFlows::default();
        let flow = |port| ("203.0.113.9".parse().unwrap(), port);
        let at = Time::from_millis;
        assert!(!talked.use_up(flow(1), None, at(0)));
        assert!(!talked.use_up(flow(1), Some(0), at(0)));
        let used = |talked: &mut TalkedFlows, sent, now| {
            (0..5).filter(|_| talked.use_up(flow(1), Some(sent), at(now))).count()
        };
        assert_eq!(used(&mut talked, 3, 0), 3);
        assert_eq!(used(&mut talked, 4, 1000), 1);
        assert!(talked.use_up(flow(2), Some(1), at(1000)), "another connection has its own");
        // A set that was emptied, and one whose element was over.
        assert_eq!(used(&mut talked, 2, 1500), 2);
        assert_eq!(used(&mut talked, 2, 6500), 2);
        talked.tick(at(11_500));
        assert!(talked.0.is_empty());
    }
}
