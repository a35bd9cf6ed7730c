//! Attempts that two lines tell of: sshd writes that a user does not exist, and then that the password was wrong.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::decide::interval::Interval;
use crate::model::clock_step::ClockStep;
use crate::model::event::{ChannelId, Event};
use crate::model::time::Time;

/// The time for which the second line is waited for: more than sshd's `LoginGraceTime`.
const LASTS: Duration = Duration::from_secs(180);
/// Connections that are known at most, about 60 bytes each. With more, both lines count.
const CAPACITY: usize = 16_384;

/// The connections on which an attempt was told of once.
#[derive(Debug, Default)]
pub struct Announced {
    connections: HashMap<(IpAddr, u16, ChannelId), Time, RandomState>,
    swept: Interval,
}

impl Announced {
    /// Whether an offence is one that was told of before; `announces`: whether another line will tell of it again.
    pub fn tells_again(&mut self, event: &Event, announces: bool) -> bool {
        let connection = (event.host, event.clue.port, event.channel);
        if event.clue.port == 0 || (!announces && self.connections.is_empty()) {
            return false;
        }
        if announces {
            if self.connections.len() < CAPACITY || self.connections.contains_key(&connection) {
                self.connections.insert(connection, event.time);
            }
            return false;
        }
        let told = self.connections.remove(&connection);
        told.is_some_and(|told| event.time.since(told) < LASTS)
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if self.swept.is_over(LASTS / 18, now) {
            self.connections.retain(|_, told| now.since(*told) < LASTS);
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        step.correct_all(self.connections.values_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Basis, Class, Clue, Evidence, Meaning, RuleId};

    fn event(port: u16, secs: i64) -> Event {
        Event {
            time: Time::from_secs(secs),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Offence(Class::User),
            host: [203, 0, 113, 9].into(),
            evidence: Evidence::Unverified,
            line: 1,
            account: None,
            basis: Basis::Served,
            clue: Clue { port, ..Clue::default() },
        }
    }

    #[test]
    fn the_first_line_after_it_is_about_the_same_attempt() {
        let mut announced = Announced::default();
        assert!(!announced.tells_again(&event(1000, 0), true));
        assert!(!announced.tells_again(&event(1001, 1), false), "another connection");
        assert!(announced.tells_again(&event(1000, 2), false));
        assert!(!announced.tells_again(&event(1000, 3), false), "the second password");
    }

    #[test]
    fn what_names_no_port_or_comes_late_counts() {
        let mut announced = Announced::default();
        assert!(!announced.tells_again(&event(0, 0), true));
        assert!(!announced.tells_again(&event(0, 1), false));
        assert!(!announced.tells_again(&event(1000, 0), true));
        assert!(!announced.tells_again(&event(1000, 180), false));
        announced.tells_again(&event(1000, 200), true);
        announced.tick(Time::from_secs(380));
        assert!(announced.connections.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut announced = Announced::default();
        for host in 0..2 * u32::try_from(CAPACITY).unwrap() {
            let host = std::net::Ipv4Addr::from_bits(host).into();
            announced.tells_again(&Event { host, ..event(1, 0) }, true);
        }
        assert_eq!(announced.connections.len(), CAPACITY);
    }
}
