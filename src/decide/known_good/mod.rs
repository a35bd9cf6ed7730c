//! Hosts that accounts have logged in from lately: excuses failures of phones, and not of
//! attackers.
//!
//! A host (an IPv6 network as it is banned: what a ban would hit as a whole, and what a phone
//! changes its addresses in) is known good while one of its accounts has logged in within the time
//! that the configuration says. Then
//!
//! * failures of accounts that have logged in from there do not count: a changed password locks out
//!   a phone, not the office around it;
//! * unverified offences of others do not count either: forging a customer's address does not get
//!   the customer banned;
//! * proven offences of others count, and so do those of an account of whose logins only a line tells.
//!   What is banned for them is [the part of the host](super::shared) that they come from.
//!
//! One valid account must not be a shield for guessing at others. So offences of too many others,
//! of whatever evidence, or a run of failures of one account, end the excuses of the host for a
//! while. No host becomes known good by a forged login: its answer goes to the true owner of the
//! address.

mod snapshot;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::config;
use crate::config::Counting;
use crate::decide::interval::Interval;
use crate::decide::offences::OffenceTable;
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::AccountFailures;
use crate::model::event::{Basis, ChannelId, Class, Event, Evidence, Meaning};
use crate::model::eviction;
use crate::model::exchange::Protocol;
use crate::model::subject::Subject;
use crate::model::time::Time;
pub use snapshot::KnownHosts;

/// Accounts that are known in all, each at one host; about 260 bytes each if every one is at a host
/// of its own. When there are more, a host that has long seen no login is forgotten.
pub const CAPACITY: usize = 1 << 15;
/// Accounts that are known at one host.
const PER_HOST: usize = 2048;
/// Logs that the failures of an account are told apart for. Each attempt may stand in several.
const CHANNELS: usize = 3;
/// How often all hosts are looked at for logins that are past, within the time for which a login counts.
const SWEEPS: u32 = 4;
/// Failures that were excused at a host before it is reported.
const WORTH_TELLING: u32 = 5;
/// The time for which failures are gathered for one report.
const GATHER: Duration = Duration::from_secs(60);
/// A host whose accounts have not failed for this long is reported again when they do.
const QUIET: Duration = Duration::from_secs(3600);
/// The time within which a run of failures is counted.
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// The hosts that are known good.
#[derive(Debug)]
pub struct KnownGood {
    terms: config::KnownGood,
    hosts: HashMap<Subject, KnownHost, RandomState>,
    /// Accounts at all hosts together.
    accounts: usize,
    /// Offences of accounts that have not logged in, at hosts that are known.
    strangers: OffenceTable,
    swept: Interval,
    /// The hosts whose accounts fail, each with the time when that is to be reported; at most a few for each host.
    due: BTreeSet<(Time, Subject)>,
    /// Whether anything has changed that is to be stored.
    changed: bool,
}

#[derive(Debug)]
struct KnownHost {
    accounts: Vec<KnownAccount>,
    login: Login,
    /// The failures of others, within this minute and this day.
    others: (Run, Run),
    /// Until when nothing is excused, because too much was.
    ended: Option<Time>,
    trouble: Option<FailingAccounts>,
}

/// The last login from a host: what it is known good by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login {
    /// The time.
    pub time: Time,
    /// The log.
    pub channel: ChannelId,
    /// The line in that log.
    pub line: u64,
}

/// An account that has logged in.
#[derive(Debug)]
struct KnownAccount {
    name: Account,
    login: Time,
    /// Whether the PBX was seen to let it in, and not only a line says so.
    proven: bool,
    /// The time when it last failed; `None` if not since it logged in.
    failed: Option<Time>,
    /// Its failures within this minute.
    run: Run,
}

/// Failures that are counted from some time on, log by log.
#[derive(Clone, Copy, Debug)]
struct Run {
    since: Time,
    counts: [(ChannelId, u32); CHANNELS],
}

/// Accounts that logged in once and fail now.
#[derive(Debug)]
struct FailingAccounts {
    since: Time,
    last: Time,
    excused: u32,
    told: bool,
}

/// The weight of an offence at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is excused.
    Nothing,
    /// It counts, and others are logged in from there.
    Shared,
    /// It counts.
    Whole,
}

/// The standing of a host that is known good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Accounts that have logged in.
    pub accounts: usize,
    /// Of these, those that fail now.
    pub failing: usize,
    /// Offences of others lately.
    pub unknown: u32,
    /// The last login.
    pub login: Login,
    /// Until when the host is known good if there is no other login.
    pub until: Time,
    /// Until when nothing is excused all the same.
    pub ended: Option<Time>,
}

impl KnownGood {
    /// Returns a table without hosts.
    #[must_use]
    pub fn new(terms: &config::KnownGood) -> Self {
        Self {
            strangers: strangers(terms),
            terms: terms.clone(),
            hosts: HashMap::default(),
            accounts: 0,
            swept: Interval::default(),
            due: BTreeSet::new(),
            changed: false,
        }
    }

    /// Changes the terms. Hosts that are known stay known, for as long as the new terms say.
    pub fn change(&mut self, terms: &config::KnownGood) {
        self.strangers.change_terms(terms.maxunknown, terms.findtime);
        self.terms = terms.clone();
        if !terms.enabled {
            self.hosts.clear();
            self.due.clear();
            self.accounts = 0;
        }
    }

    /// Records a login that can be believed. It clears the account's failures.
    pub fn login(&mut self, subject: Subject, event: &Event) {
        let (Some(name), true) = (event.account, self.terms.enabled) else { return };
        self.changed = true;
        let fresh = Run::new(event.time, event.channel);
        let login = Login { time: event.time, channel: event.channel, line: event.line };
        self.forget_past(&subject, event.time);
        if !self.knows(&subject, name) {
            self.make_room();
            self.accounts += 1;
        }
        let host = self.hosts.entry(subject).or_insert_with(|| KnownHost {
            accounts: Vec::new(),
            login,
            others: (fresh, fresh),
            ended: None,
            trouble: None,
        });
        host.login = login;
        let fresh = KnownAccount {
            name,
            login: event.time,
            proven: event.evidence == Evidence::Proven,
            failed: None,
            run: fresh,
        };
        let full = host.accounts.len() >= PER_HOST;
        if event.evidence == Evidence::Proven {
            self.strangers.forgive(&subject, name);
        }
        match host.accounts.iter_mut().find(|known| known.name == name) {
            // The run of failures is not cleared: who knows a password can log in between any two.
            Some(known) => {
                (known.login, known.failed) = (event.time, None);
                known.proven |= event.evidence == Evidence::Proven;
            }
            None if full => self.accounts -= 1,
            None => host.accounts.push(fresh),
        }
    }

    /// Forgets what is past at a host, which may be long before all hosts are looked at.
    fn forget_past(&mut self, subject: &Subject, now: Time) {
        let Some(host) = self.hosts.get_mut(subject) else { return };
        let past = host.forget_past(self.terms.time, now);
        self.accounts = self.accounts.saturating_sub(past);
        if host.accounts.is_empty() {
            self.hosts.remove(subject);
        }
    }

    fn knows(&self, subject: &Subject, name: Account) -> bool {
        let host = self.hosts.get(subject);
        host.is_some_and(|host| host.accounts.iter().any(|known| known.name == name))
    }

    /// Weighs an offence at a host. `evidence` is what it counts as otherwise.
    pub fn weigh(
        &mut self,
        subject: Subject,
        event: &Event,
        evidence: Evidence,
        per_attempt: u8,
    ) -> Weight {
        let terms = &self.terms;
        let Some(host) = self.hosts.get_mut(&subject) else { return Weight::Whole };
        if host.until(terms.time) <= event.time {
            return Weight::Whole;
        }
        // A web page can have its visitor's browser ask for what is refused.
        if event.exchange().is_some_and(|seen| seen.protocol == Protocol::Http) {
            return Weight::Nothing;
        }
        let is_live = |known: &KnownAccount| known.login.plus(terms.time) > event.time;
        // A line about one connection: it is that connection that is banned for it.
        let is_talked = event.basis == Basis::Talked;
        let is_another = |known: &KnownAccount| {
            (known.proven || is_talked) && is_live(known) && Some(known.name) != event.account
        };
        let is_shared = host.accounts.iter().any(is_another);
        let may_be_forged = evidence < Evidence::Proven && !(is_talked && is_shared);
        if event.is_probe() {
            // A monitor in the office asks for many.
            return if may_be_forged { Weight::Nothing } else { Weight::Shared };
        }
        let mut known = host.accounts.iter_mut().filter(|known| is_live(known));
        let known = known.find(|known| Some(known.name) == event.account);
        let is_known = known.is_some();
        let is_sure = known.as_ref().is_some_and(|known| known.proven);
        // A phone that changed its address does not answer a challenge: its password is none the worse for that.
        let is_failure = event.meaning == Meaning::Offence(Class::Guess);
        let too_much = match known {
            Some(_) if !is_failure => false,
            Some(known) => known.fail(event) >= terms.maxrate,
            None => {
                let goes_on = host.other_fails(event, terms);
                let stranger = as_stranger(event);
                let accounts = self.strangers.add(subject, &stranger, per_attempt).all;
                accounts >= terms.maxunknown || (may_be_forged && goes_on)
            }
        };
        self.changed |= is_known || too_much;
        if too_much {
            host.ended = Some(event.time.plus(terms.findtime));
        }
        if host.ended.is_some_and(|until| until > event.time) {
            return Weight::Whole;
        }
        if is_known && is_failure {
            let due = host.note(event.time);
            self.due.extend(due.map(|due| (due, subject)));
        }
        if may_be_forged || is_sure || (is_known && is_talked) {
            Weight::Nothing
        } else if is_shared {
            Weight::Shared
        } else {
            Weight::Whole
        }
    }

    /// Returns what is known of a host at `now`; `None` if it is not known good.
    #[must_use]
    pub fn standing(&self, subject: &Subject, now: Time) -> Option<Standing> {
        let host = self.hosts.get(subject)?;
        let until = host.until(self.terms.time);
        (until > now).then(|| Standing {
            accounts: host.live(self.terms.time, now).count(),
            failing: host.failing(self.terms.time, now).count(),
            unknown: self.strangers.count(subject, now).all,
            login: host.login,
            until,
            ended: host.ended.filter(|ended| *ended > now),
        })
    }

    /// All hosts that are known good at `now`.
    pub fn standings(&self, now: Time) -> impl Iterator<Item = (Subject, Standing)> {
        self.hosts.keys().filter_map(move |subject| Some((*subject, self.standing(subject, now)?)))
    }

    /// Lets time pass: forgets what is past, and adds the hosts to `reports` whose accounts fail.
    pub fn tick(&mut self, now: Time, reports: &mut Vec<AccountFailures>) {
        while let Some((_, subject)) = self.due.first().filter(|(due, _)| *due <= now).copied() {
            self.due.pop_first();
            reports.extend(self.report(subject, now));
        }
        let time = self.terms.time;
        if self.swept.is_over(time / SWEEPS, now) {
            let mut past = 0;
            self.hosts.retain(|_, host| {
                past += host.forget_past(time, now);
                !host.accounts.is_empty()
            });
            self.changed |= past > 0;
            self.accounts = self.accounts.saturating_sub(past);
        }
        self.strangers.sweep(now);
    }

    /// Returns what is to be reported of a host now.
    fn report(&mut self, subject: Subject, now: Time) -> Option<AccountFailures> {
        let host = self.hosts.get_mut(&subject)?;
        if !host.is_worth_telling(now) {
            return None;
        }
        let failing = host.failing(self.terms.time, now).count();
        let known = u32::try_from(failing).unwrap_or(u32::MAX);
        let unknown = self.strangers.count(&subject, now).all;
        (known > 0).then_some(AccountFailures { subject, known, unknown })
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for host in self.hosts.values_mut() {
            host.correct(step);
        }
        let due = std::mem::take(&mut self.due);
        self.due.extend(due.into_iter().map(|(due, subject)| (step.correct(due), subject)));
        self.strangers.correct(step);
        self.changed |= !self.hosts.is_empty();
    }

    /// Forgets a host when there are too many accounts: of eight, the one whose last login is the
    /// longest ago.
    fn make_room(&mut self) {
        if self.accounts < CAPACITY {
            return;
        }
        let oldest = eviction::least(&self.hosts, |host| host.login.time);
        if let Some(host) = oldest.and_then(|subject| self.hosts.remove(&subject)) {
            self.accounts = self.accounts.saturating_sub(host.accounts.len());
        }
    }
}

fn strangers(terms: &config::KnownGood) -> OffenceTable {
    OffenceTable::with_capacity(terms.maxunknown, terms.findtime, CAPACITY)
        .counting(Counting::Accounts)
}

/// Returns an offence as it counts at a host that is known good: by its account, whatever it is.
fn as_stranger(event: &Event) -> Event {
    let meaning = event.account.map_or(event.meaning, |_| Meaning::Offence(Class::User));
    Event { meaning, ..*event }
}

impl KnownHost {
    fn until(&self, time: Duration) -> Time {
        self.login.time.plus(time)
    }

    /// Counts a failure of an account that has not logged in, and returns whether there are too many of them.
    fn other_fails(&mut self, event: &Event, terms: &config::KnownGood) -> bool {
        let (minute, day) = &mut self.others;
        let is_fast = minute.count(event, MINUTE) >= terms.maxrate;
        // An account that does not exist cannot be guessed.
        let may_exist = event.meaning != Meaning::Offence(Class::User);
        is_fast || (may_exist && day.count(event, DAY) > terms.maxtries)
    }

    fn correct(&mut self, step: ClockStep) {
        let (minute, day) = &mut self.others;
        let times = [&mut self.login.time, &mut minute.since, &mut day.since];
        step.correct_all(times.into_iter().chain(&mut self.ended));
        if let Some(trouble) = &mut self.trouble {
            step.correct_all([&mut trouble.since, &mut trouble.last]);
        }
        for known in &mut self.accounts {
            let KnownAccount { login, failed, run, .. } = known;
            step.correct_all([login, &mut run.since].into_iter().chain(failed));
        }
    }

    /// The accounts that have logged in within `time`.
    fn live(&self, time: Duration, now: Time) -> impl Iterator<Item = &KnownAccount> {
        self.accounts.iter().filter(move |known| known.login.plus(time) > now)
    }

    /// Those of them that failed lately.
    fn failing(&self, time: Duration, now: Time) -> impl Iterator<Item = &KnownAccount> {
        let lately = move |failed: Time| now.since(failed) < QUIET;
        self.live(time, now).filter(move |known| known.failed.is_some_and(lately))
    }

    /// Forgets the accounts that have not logged in within `time`, and returns how many there were.
    fn forget_past(&mut self, time: Duration, now: Time) -> usize {
        let before = self.accounts.len();
        self.accounts.retain(|known| known.login.plus(time) > now);
        before - self.accounts.len()
    }

    /// Records a failure that was excused. Returns when that is to be reported, once there are enough.
    fn note(&mut self, now: Time) -> Option<Time> {
        let fresh = FailingAccounts { since: now, last: now, excused: 0, told: false };
        let going_on = self.trouble.take().filter(|trouble| now.since(trouble.last) < QUIET);
        let trouble = self.trouble.insert(going_on.unwrap_or(fresh));
        trouble.last = now;
        trouble.excused = trouble.excused.saturating_add(1);
        (trouble.excused == WORTH_TELLING).then(|| trouble.since.plus(GATHER).max(now))
    }

    /// Whether failures are to be reported now; says so once.
    fn is_worth_telling(&mut self, now: Time) -> bool {
        let due = |trouble: &&mut FailingAccounts| {
            !trouble.told && trouble.excused >= WORTH_TELLING && now.since(trouble.since) >= GATHER
        };
        self.trouble.as_mut().filter(due).is_some_and(|trouble| {
            trouble.told = true;
            true
        })
    }
}

impl KnownAccount {
    /// Counts a failure, and returns how many there were within this minute in the log that has
    /// most of them.
    fn fail(&mut self, event: &Event) -> u32 {
        self.failed = Some(event.time);
        self.run.count(event, MINUTE)
    }
}

impl Run {
    fn new(since: Time, channel: ChannelId) -> Self {
        Self { since, counts: [(channel, 0); CHANNELS] }
    }

    /// Counts a failure, and returns how many there were within `span` in the log that has most of them.
    fn count(&mut self, event: &Event, span: Duration) -> u32 {
        if event.time.since(self.since) >= span {
            *self = Self::new(event.time, event.channel);
        }
        let counts = &mut self.counts;
        let same = counts.iter().position(|(channel, _)| *channel == event.channel);
        // With more logs than places, several share the last.
        let free = || counts.iter().position(|(_, count)| *count == 0);
        let place = same.or_else(free).unwrap_or(CHANNELS - 1);
        if let Some(count) = counts.get_mut(place) {
            *count = (event.channel, count.1.saturating_add(1));
        }
        counts.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
