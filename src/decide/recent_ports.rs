//! The last few ports of a host that something happened at.

use std::time::Duration;

use crate::model::clock_step::ClockStep;
use crate::model::time::Time;

/// With so many ports of a host within [`LATELY`], it is the host: it comes back from another each time.
pub const MANY: usize = 3;
/// The time within which ports are counted.
pub const LATELY: Duration = Duration::from_secs(600);

/// The last `N` ports, each with the last time; 0 where there is none.
#[derive(Clone, Copy, Debug)]
pub struct RecentPorts<const N: usize>([(u16, Time); N]);

impl<const N: usize> Default for RecentPorts<N> {
    fn default() -> Self {
        Self([(0, Time::default()); N])
    }
}

impl<const N: usize> RecentPorts<N> {
    /// Records a port; of more than there is room for, the one of the longest ago is forgotten.
    pub fn note(&mut self, port: u16, now: Time) {
        let same = self.0.iter().position(|(other, _)| *other == port);
        let oldest = || (0..N).min_by_key(|at| self.0.get(*at).map(|(_, last)| *last));
        if let Some(place) = same.or_else(oldest).and_then(|at| self.0.get_mut(at)) {
            *place = (port, now);
        }
    }

    /// Gives the ports of [lately](LATELY).
    pub fn lately(&self, now: Time) -> impl Iterator<Item = u16> {
        let lately = self.0.iter().filter(move |(_, last)| now.since(*last) < LATELY);
        lately.map(|(port, _)| *port).filter(|port| *port != 0)
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.0.iter_mut().map(|(_, last)| last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ports_are_told_apart_for_ten_minutes() {
        let mut ports = RecentPorts::<3>::default();
        let at = Time::from_secs;
        for (port, secs, known) in [(1, 700, 1), (1, 701, 1), (2, 702, 2), (3, 703, 3), (4, 704, 3)]
        {
            ports.note(port, at(secs));
            assert_eq!(ports.lately(at(secs)).count(), known);
        }
        assert!(!ports.lately(at(704)).any(|port| port == 1));
        assert_eq!(ports.lately(at(1303)).collect::<Vec<_>>(), [4]);
    }
}
