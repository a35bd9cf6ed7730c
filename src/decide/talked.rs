//! Connections whose content is not seen: how many lines about one can be believed, which is in each log as many as
//! this machine sent segments on it, and at how many ports of a host.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::decide::interval::Interval;
use crate::decide::recent_ports::{LATELY, MANY, RecentPorts};
use crate::model::clock_step::ClockStep;
use crate::model::event::ChannelId;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// The time for which the kernel remembers what was sent: the timeout of its sets.
const LASTS: Duration = Duration::from_secs(5);
/// Connections, and hosts, that are known at most, about 60 and 100 bytes each: as many as the kernel's sets
/// take.
const CAPACITY: usize = 65_536;

/// The connections that lines have been believed about.
#[derive(Debug, Default)]
pub struct TalkedFlows {
    /// The segments that the lines of a log have used up, by the host's address and port. Each log may tell of an attempt,
    /// and the attempts of a host are counted for each log apart.
    used: HashMap<(IpAddr, u16, ChannelId), Used, RandomState>,
    /// The last ports of a host that lines told of.
    ports: HashMap<Subject, RecentPorts<MANY>, RandomState>,
    swept: Interval,
    swept_ports: Interval,
}

#[derive(Debug)]
struct Used {
    segments: u64,
    last: Time,
}

impl TalkedFlows {
    /// Uses one up of the segments that were `sent` on a connection of a host, or to all of a host (port 0), for a line in the
    /// log `channel`, and returns whether there was one left.
    pub fn use_up(
        &mut self,
        flow: (IpAddr, u16),
        channel: ChannelId,
        sent: Option<u64>,
        now: Time,
    ) -> bool {
        let Some(sent) = sent else { return false };
        let key = (flow.0, flow.1, channel);
        if self.used.len() >= CAPACITY && !self.used.contains_key(&key) {
            return false;
        }
        let used = self.used.entry(key).or_insert(Used { segments: 0, last: now });
        // The kernel has begun to count anew.
        if now.since(used.last) >= LASTS || used.segments > sent {
            used.segments = 0;
        }
        used.last = now;
        let is_left = used.segments < sent;
        used.segments += u64::from(is_left);
        is_left
    }

    /// Notes the port of a host (banned as `subject`) that a line was believed about.
    pub fn note_port(&mut self, subject: Subject, port: u16, now: Time) {
        if self.ports.len() < CAPACITY || self.ports.contains_key(&subject) {
            self.ports.entry(subject).or_default().note(port, now);
        }
    }

    /// Returns at how many ports of a host lines have been believed lately, three at most.
    #[must_use]
    pub fn ports(&self, subject: Subject, now: Time) -> usize {
        self.ports.get(&subject).map_or(0, |ports| ports.lately(now).count())
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if self.swept.is_over(LASTS / 2, now) {
            self.used.retain(|_, used| now.since(used.last) < LASTS);
        }
        if self.swept_ports.is_over(LATELY / 2, now) {
            self.ports.retain(|_, ports| ports.lately(now).next().is_some());
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.used.values_mut().map(|used| &mut used.last));
        self.ports.values_mut().for_each(|ports| ports.correct(step));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: ChannelId = ChannelId(0);

    #[test]
    fn each_line_uses_up_a_segment() {
        let mut talked = TalkedFlows::default();
        let host = "203.0.113.9".parse().unwrap();
        let at = Time::from_millis;
        assert!(!talked.use_up((host, 1), LOG, None, at(0)));
        assert!(!talked.use_up((host, 1), LOG, Some(0), at(0)));
        let used = |talked: &mut TalkedFlows, sent, now| {
            (0..5).filter(|_| talked.use_up((host, 1), LOG, Some(sent), at(now))).count()
        };
        assert_eq!(used(&mut talked, 3, 0), 3);
        assert_eq!(used(&mut talked, 4, 1000), 1);
        assert!(talked.use_up((host, 2), LOG, Some(1), at(1000)), "another has its own");
        let other_log = ChannelId(1);
        assert!(talked.use_up((host, 1), other_log, Some(1), at(1000)));
        assert!(!talked.use_up((host, 1), other_log, Some(1), at(1000)));
        // A set that was emptied, and one whose element was over.
        assert_eq!(used(&mut talked, 2, 1500), 2);
        assert_eq!(used(&mut talked, 2, 6500), 2);
        talked.tick(at(11_500));
        assert!(talked.used.is_empty());
    }

    #[test]
    fn ports_of_a_host_are_told_apart_for_ten_minutes() {
        let mut talked = TalkedFlows::default();
        let host = "203.0.113.9".parse().unwrap();
        let subject = Subject::of(host, 64);
        let at = Time::from_secs;
        for (port, secs, known) in [(1, 100, 1), (1, 101, 1), (2, 102, 2), (3, 103, 3), (4, 104, 3)]
        {
            assert!(talked.use_up((host, port), LOG, Some(9), at(secs)));
            talked.note_port(subject, port, at(secs));
            assert_eq!(talked.ports(subject, at(secs)), known);
        }
        assert_eq!(talked.ports(subject, at(703)), 1);
        talked.tick(at(704));
        assert!(talked.ports.is_empty());
    }
}
