//! The hosts that have logged in, and the time: it shows that the phones are well, and which banned
//! hosts perhaps should not be banned.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::clock_step::ClockStep;
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Hosts that are remembered; about 60 bytes each. When there are more, of eight the one whose
/// login is the longest ago is forgotten.
pub const CAPACITY: usize = 1 << 15;

/// The last believed login from each host.
#[derive(Clone, Debug, Default)]
pub struct LoginLog {
    hosts: HashMap<Subject, Time, RandomState>,
    last: Option<(Subject, Time)>,
    /// The number of changes so far.
    changes: u64,
    /// The number of logins so far.
    total: u64,
}

impl LoginLog {
    /// Records a login that can be believed.
    pub fn note(&mut self, host: Subject, time: Time) {
        self.changes += 1;
        self.total += 1;
        if self.hosts.len() >= CAPACITY && !self.hosts.contains_key(&host) {
            let oldest = eviction::least(&self.hosts, |time| *time);
            oldest.and_then(|host| self.hosts.remove(&host));
        }
        let latest = self.hosts.entry(host).or_insert(time);
        *latest = time.max(*latest);
        if self.last.is_none_or(|(_, last)| last <= time) {
            self.last = Some((host, time));
        }
    }

    /// Corrects the times of all logins.
    pub fn correct(&mut self, step: ClockStep) {
        self.changes += 1;
        let last = self.last.as_mut().map(|(_, time)| time);
        step.correct_all(self.hosts.values_mut().chain(last));
    }

    /// Returns how many logins there were since the start.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The last login of all: from where, and when.
    #[must_use]
    pub fn last(&self) -> Option<(Subject, Time)> {
        self.last
    }

    /// Returns when an account last logged in from `host`, as far as is remembered.
    #[must_use]
    pub fn of(&self, host: &Subject) -> Option<Time> {
        self.hosts.get(host).copied()
    }

    /// Returns the hosts that logins came from, as far as is remembered.
    pub fn hosts(&self) -> impl Iterator<Item = &Subject> {
        self.hosts.keys()
    }

    /// Returns each host with the time of its last login, as far as is remembered.
    pub fn iter(&self) -> impl Iterator<Item = (Subject, Time)> {
        self.hosts.iter().map(|(host, time)| (*host, *time))
    }

    /// Returns a number that is another one after each change.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns how many hosts had a login within `span` before `now`.
    #[must_use]
    pub fn within(&self, span: Duration, now: Time) -> usize {
        self.hosts.values().filter(|time| now.since(**time) <= span).count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(n: u32) -> Subject {
        Subject::of(Ipv4Addr::from(0x0a00_0000 + n).into(), 64)
    }

    #[test]
    fn keeps_the_last_login_of_each_host() {
        let mut logins = LoginLog::default();
        assert_eq!((logins.last(), logins.of(&host(1))), (None, None));
        let at = Time::from_secs;
        for (n, secs) in [(1, 100), (2, 400), (1, 300)] {
            logins.note(host(n), at(secs));
        }
        assert_eq!(logins.last(), Some((host(2), at(400))));
        assert_eq!(logins.of(&host(1)), Some(at(300)));
        assert_eq!(logins.within(Duration::from_secs(150), at(500)), 1);
        // A clock that was set back takes no login away.
        assert_eq!(logins.within(Duration::from_secs(150), at(0)), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut logins = LoginLog::default();
        for n in 0..3 * u32::try_from(CAPACITY).unwrap() {
            logins.note(host(n), Time::from_secs(n.into()));
            assert!(logins.hosts.len() <= CAPACITY);
        }
        assert!(logins.of(&host(3 * u32::try_from(CAPACITY).unwrap() - 1)).is_some());
    }
}
