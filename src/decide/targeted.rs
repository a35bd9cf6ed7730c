//! Accounts that many hosts guess at.
//!
//! Whoever has many hosts tries a password from each, and stays below every limit. No host is banned for that: it
//! is said, so that the owner can change the password or the name. Only proven exchanges count: with forged packets,
//! anybody could have any account reported.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::decide::interval::Interval;
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::Targeted;
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// An account is reported with this many hosts within [`DAY`].
pub const MANY: usize = 10;
/// Hosts that are told apart for one account.
const MOST: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);
/// Accounts that are known at most, about 600 bytes each with all their hosts; of eight, the one with the fewest
/// gives way.
pub const CAPACITY: usize = 4096;

/// The accounts at which hosts failed within a day.
#[derive(Debug, Default)]
pub struct TargetedAccounts {
    accounts: HashMap<Account, Hosts, RandomState>,
    hasher: RandomState,
    swept: Interval,
}

#[derive(Debug)]
struct Hosts {
    since: Time,
    /// They, by their hashes, and when each last failed.
    seen: Vec<(u32, u32)>,
    told: bool,
}

impl TargetedAccounts {
    /// Takes up a failure that is proven. Returns the account when it is to be reported: once, as long as it goes on.
    pub fn note(&mut self, account: Account, subject: Subject, now: Time) -> Option<Targeted> {
        let [a, b, c, d, ..] = self.hasher.hash_one(subject).to_le_bytes();
        let host = u32::from_le_bytes([a, b, c, d]);
        self.make_room(account);
        let fresh = || Hosts { since: now, seen: Vec::new(), told: false };
        let known = self.accounts.entry(account).or_insert_with(fresh);
        known.forget(now);
        let time = now.secs32();
        let same = known.seen.iter().position(|(other, _)| *other == host);
        if same.is_none() && known.seen.len() < MOST {
            known.seen.push((host, time));
        } else {
            let oldest = || (0..MOST).min_by_key(|at| known.seen.get(*at).map(|(_, last)| *last));
            let place = same.or_else(oldest).and_then(|at| known.seen.get_mut(at));
            if let Some(place) = place {
                *place = (host, time);
            }
        }
        let due = known.seen.len() >= MANY && !known.told;
        known.told |= due;
        due.then(|| known.as_targeted(account))
    }

    /// Returns the accounts that many hosts guess at, those with the most hosts first.
    #[must_use]
    pub fn many(&self) -> Vec<Targeted> {
        let many = self.accounts.iter().filter(|(_, known)| known.seen.len() >= MANY);
        let mut many: Vec<_> = many.map(|(account, known)| known.as_targeted(*account)).collect();
        many.sort_by_key(|targeted| (std::cmp::Reverse(targeted.hosts), targeted.since));
        many
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if self.swept.is_over(DAY / 144, now) {
            self.accounts.retain(|_, known| {
                known.forget(now);
                !known.seen.is_empty()
            });
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for known in self.accounts.values_mut() {
            step.correct_all([&mut known.since]);
            known.seen.iter_mut().for_each(|(_, last)| *last = step.correct_secs(*last));
        }
    }

    fn make_room(&mut self, account: Account) {
        if self.accounts.len() < CAPACITY || self.accounts.contains_key(&account) {
            return;
        }
        let fewest = eviction::least(&self.accounts, |known| known.seen.len());
        fewest.and_then(|account| self.accounts.remove(&account));
    }
}

impl Hosts {
    fn forget(&mut self, now: Time) {
        let day = u32::try_from(DAY.as_secs()).unwrap_or(u32::MAX);
        self.seen.retain(|(_, last)| now.secs32().saturating_sub(*last) < day);
        if self.seen.is_empty() {
            (self.since, self.told) = (now, false);
        }
    }

    fn as_targeted(&self, account: Account) -> Targeted {
        Targeted { account, hosts: self.seen.len(), since: self.since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u32) -> Subject {
        Subject::of(std::net::Ipv4Addr::from_bits(n).into(), 64)
    }

    fn at(secs: i64) -> Time {
        Time::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn an_account_is_told_once_with_its_hosts() {
        let mut targeted = TargetedAccounts::default();
        let account = Account::named(b"1001").unwrap();
        let told: Vec<_> =
            (0..100).filter_map(|n| targeted.note(account, host(n / 2), at(n.into()))).collect();
        assert_eq!(told, [Targeted { account, hosts: MANY, since: at(0) }]);
        assert_eq!(targeted.many(), [Targeted { account, hosts: 50, since: at(0) }]);
        // One host is not many, however often it tries.
        let other = Account::named(b"1002").unwrap();
        assert!((0..100).all(|n| targeted.note(other, host(1), at(n)).is_none()));
        targeted.tick(at(99 + 86_400));
        assert!(targeted.accounts.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut targeted = TargetedAccounts::default();
        let account = Account::named(b"1001").unwrap();
        for n in 0..1000 {
            targeted.note(account, host(n), at(n.into()));
        }
        assert_eq!(targeted.many()[0].hosts, MOST);
        for n in 0..2 * u32::try_from(CAPACITY).unwrap() {
            let name = n.to_string();
            targeted.note(Account::named(name.as_bytes()).unwrap(), host(1), at(1000));
        }
        assert_eq!(targeted.accounts.len(), CAPACITY);
        assert!(size_of::<(Account, Hosts)>() + MOST * size_of::<(u32, u32)>() <= 640);
    }
}
