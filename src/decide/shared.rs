//! Hosts from which phones are logged in while another account fails: the part of such a host that is banned.
//!
//! An office is many phones behind one address. Where one of them has an old password, the others must not be
//! shut out with it: its connection is banned, by its port. Whoever guesses there comes back from other ports at
//! once; then it is the host after all. A phone that tries at most [`SLOW`] times a minute, from another port each
//! time as TCP and TLS have it, is only reported, up to a number of tries a day.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::decide::interval::Interval;
use crate::decide::recent_ports::{MANY, RecentPorts};
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Class, Event, Meaning, SIP_RESPONSES};
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Tries a minute that a phone makes by itself.
pub const SLOW: usize = 2;
/// Failures that are remembered: as many of two accounts as show that one is fast.
const LAST: usize = 2 * SLOW + 1;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);
/// An account is reported that failed so often, and no other in between.
const WORTH_TELLING: u32 = 5;
/// A host is reported again after this time.
const QUIET: Duration = Duration::from_secs(3600);
/// Hosts that are known at most, about 240 bytes each; of eight, the one that failed the longest ago gives way.
pub const CAPACITY: usize = 1 << 14;

/// The part of a host that is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Host,
    /// This port of it.
    Port(Subject),
    /// Nothing: it is reported.
    Nothing,
}

/// The failures at hosts from which others are logged in.
#[derive(Debug, Default)]
pub struct SharedHosts {
    hosts: HashMap<Subject, Failures, RandomState>,
    swept: Interval,
}

/// The failures at one host.
#[derive(Clone, Copy, Debug)]
pub struct Failures {
    /// The account that failed last.
    pub account: Option<Account>,
    /// The time of the first of them within a day.
    pub since: Time,
    /// Their number since then.
    pub failures: u32,
    /// Those of this account, with none of another in between.
    in_turn: u32,
    /// Of these, tries at accounts that may exist.
    tries: u32,
    /// The last ones, the newest first.
    last: [Failure; LAST],
    /// Ports that were banned: with another one, the host is.
    banned: RecentPorts<{ MANY - 1 }>,
    /// The time when the host was last reported.
    told: Option<Time>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failure {
    time: Time,
    port: u16,
    /// Its [number](Account::number), 0 if it has no plain name.
    account: u32,
}

impl SharedHosts {
    /// Takes up a failure at a host. Of a line that is about an exchange, which was taken up before, only whether the
    /// account exists is news.
    pub fn note(&mut self, subject: Subject, event: &Event) {
        let now = event.time;
        // An account that does not exist cannot be guessed.
        let exists = event.meaning != Meaning::Offence(Class::User);
        if event.exchange().is_some() && event.channel != SIP_RESPONSES {
            if let Some(known) = self.hosts.get_mut(&subject).filter(|_| !exists) {
                known.tries = known.tries.saturating_sub(1);
            }
            return;
        }
        self.make_room(&subject);
        let known = self.hosts.entry(subject).or_insert_with(|| Failures::new(now));
        if now.since(known.since) >= DAY {
            *known = Failures { since: now, failures: 0, tries: 0, ..*known };
        }
        known.in_turn =
            if known.account == event.account { known.in_turn.saturating_add(1) } else { 1 };
        known.account = event.account;
        known.failures = known.failures.saturating_add(1);
        known.tries = known.tries.saturating_add(exists.into());
        known.last.rotate_right(1);
        if let Some(newest) = known.last.first_mut() {
            let account = event.account.map_or(0, Account::number);
            *newest = Failure { time: now, port: event.clue.port, account };
        }
    }

    /// Returns the part of a host that is banned for the failure that was noted last; it may be tried `maxtries`
    /// times a day.
    pub fn part(&mut self, subject: Subject, event: &Event, maxtries: u32) -> Part {
        let now = event.time;
        let Some(known) = self.hosts.get_mut(&subject) else { return Part::Host };
        let port = event.clue.port;
        let flow = Subject::flow(event.host, port);
        let is_fast = known.is_fast(now);
        let others = known.banned.lately(now).filter(|other| *other != port).count();
        match flow {
            _ if known.tries > maxtries => Part::Host,
            _ if is_fast && others + 1 >= MANY => Part::Host,
            None if is_fast => Part::Host,
            Some(flow) if is_fast || known.keeps_port() => {
                known.banned.note(port, now);
                Part::Port(flow)
            }
            _ => Part::Nothing,
        }
    }

    /// Returns what is to be reported of a host, once in a while.
    pub fn report(&mut self, subject: Subject, now: Time) -> Option<Failures> {
        let known = self.hosts.get_mut(&subject)?;
        let rested = known.told.is_none_or(|told| now.since(told) >= QUIET);
        let due = rested && known.in_turn >= WORTH_TELLING;
        due.then(|| {
            known.told = Some(now);
            *known
        })
    }

    /// Returns the failures at a host within a day.
    #[must_use]
    pub fn of(&self, subject: &Subject, now: Time) -> Option<Failures> {
        self.hosts.get(subject).filter(|known| now.since(known.since) < DAY).copied()
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) {
        if self.swept.is_over(DAY / 24, now) {
            self.hosts.retain(|_, known| now.since(known.newest()) < DAY);
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for known in self.hosts.values_mut() {
            let last = known.last.iter_mut().map(|failure| &mut failure.time);
            step.correct_all(last.chain([&mut known.since]).chain(&mut known.told));
            known.banned.correct(step);
        }
    }

    fn make_room(&mut self, subject: &Subject) {
        if self.hosts.len() < CAPACITY || self.hosts.contains_key(subject) {
            return;
        }
        let oldest = eviction::least(&self.hosts, Failures::newest);
        oldest.and_then(|subject| self.hosts.remove(&subject));
    }
}

impl Failures {
    fn new(now: Time) -> Self {
        Self {
            account: None,
            since: now,
            failures: 0,
            in_turn: 0,
            tries: 0,
            last: [Failure::default(); LAST],
            banned: RecentPorts::default(),
            told: None,
        }
    }

    fn newest(&self) -> Time {
        self.last.first().map_or(self.since, |failure| failure.time)
    }

    /// The last failures of the account that failed last, the newest first.
    fn same_account(&self) -> impl Iterator<Item = &Failure> {
        let account = self.last.first().map_or(0, |failure| failure.account);
        self.last.iter().filter(move |failure| failure.account == account)
    }

    /// Whether it failed more than [`SLOW`] times within a minute.
    fn is_fast(&self, now: Time) -> bool {
        self.same_account().filter(|failure| now.since(failure.time) < MINUTE).count() > SLOW
    }

    /// Whether it failed from the same port before.
    fn keeps_port(&self) -> bool {
        let mut ports = self.same_account().map(|failure| failure.port);
        ports.next().is_some_and(|port| ports.next() == Some(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Basis, ChannelId, Clue, Evidence, RuleId};

    const MAXTRIES: u32 = 50;

    fn event(secs: i64, port: u16, class: Class) -> Event {
        Event {
            time: Time::from_secs(1_800_000_000 + secs),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Offence(class),
            host: [203, 0, 113, 9].into(),
            evidence: Evidence::Proven,
            line: 1,
            account: Account::named(b"199"),
            basis: Basis::Text,
            clue: Clue { port, ..Clue::default() },
        }
    }

    fn parts(events: impl IntoIterator<Item = Event>) -> Vec<Part> {
        let mut shared = SharedHosts::default();
        let subject = Subject::of([203, 0, 113, 9].into(), 64);
        let judge = |event: Event| {
            shared.note(subject, &event);
            shared.part(subject, &event, MAXTRIES)
        };
        events.into_iter().map(judge).collect()
    }

    fn port(port: u16) -> Part {
        Part::Port(Subject::flow([203, 0, 113, 9].into(), port).unwrap())
    }

    #[test]
    fn a_guesser_with_a_port_for_each_try_is_banned_at_the_third() {
        let parts = parts((0..5).map(|n| event(i64::from(n), 4000 + n, Class::Guess)));
        assert_eq!(parts, [Part::Nothing, Part::Nothing, port(4002), port(4003), Part::Host]);
    }

    #[test]
    fn a_phone_that_keeps_its_port_loses_that_one() {
        let one = parts((0..9).map(|n| event(60 * n, 5062, Class::Guess)));
        assert_eq!(one[0], Part::Nothing);
        assert!(one[1..].iter().all(|part| *part == port(5062)), "{one:?}");
        // Its router gives it others, slowly.
        let many = parts(
            (0..9).map(|n| event(60 * n, 5062 + u16::try_from(n / 3).unwrap(), Class::Guess)),
        );
        assert!(!many.contains(&Part::Host), "{many:?}");
    }

    #[test]
    fn a_slow_phone_with_ever_other_ports_is_reported() {
        let at = |n: u16, class| event(30 * i64::from(n), 10_000 + n, class);
        let exists = parts((0..60).map(|n| at(n, Class::Guess)));
        assert!(exists[..50].iter().all(|part| *part == Part::Nothing), "{exists:?}");
        assert!(exists[50..].iter().all(|part| *part == Part::Host), "{exists:?}");
        let unknown = parts((0..200).map(|n| at(n, Class::User)));
        assert!(unknown.iter().all(|part| *part == Part::Nothing), "{unknown:?}");
    }

    #[test]
    fn the_tries_of_a_day_are_counted_and_said_once_an_hour() {
        let mut shared = SharedHosts::default();
        let subject = Subject::of([203, 0, 113, 9].into(), 64);
        let mut said = 0;
        for n in 0..72_u16 {
            let event = event(3600 * i64::from(n), 10_000 + n, Class::Guess);
            shared.note(subject, &event);
            assert_eq!(shared.part(subject, &event, MAXTRIES), Part::Nothing);
            said += usize::from(shared.report(subject, event.time).is_some());
            assert!(shared.report(subject, event.time).is_none());
        }
        assert_eq!(said, 68);
        let now = Time::from_secs(1_800_000_000 + 71 * 3600);
        assert_eq!(shared.of(&subject, now).unwrap().failures, 24);
        shared.tick(now.plus(DAY));
        assert!(shared.hosts.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        assert!(size_of::<(Subject, Failures)>() <= 240);
        let mut shared = SharedHosts::default();
        for n in 0..2 * u32::try_from(CAPACITY).unwrap() {
            shared.note(
                Subject::of(std::net::Ipv4Addr::from_bits(n).into(), 64),
                &event(0, 1, Class::Guess),
            );
        }
        assert_eq!(shared.hosts.len(), CAPACITY);
    }
}
