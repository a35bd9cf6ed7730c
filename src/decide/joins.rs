//! Joins lines with the exchanges that they are about: what the PBX did is the evidence, and a line only tells
//! what was wrong.
//!
//! A line finds its exchange by the Call-ID or the nonce that it names, else by the host's address and
//! port, at about the same time. Lines and exchanges come by different ways, so either may be first: a
//! line waits for a while. A line and an exchange are of one service; IAX2's and the manager's lines name no port, and are
//! about the host's exchange at that time. In one log, an exchange has one line; further ones wait for the next exchange, so
//! that no host counts more often than it was refused. By the port alone, of which a stranger may have heard,
//! a line can only say what the exchange says by itself: that a password was wrong.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hash};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::model::clock_step::ClockStep;
use crate::model::event::{Basis, ChannelId, Class, Event, Meaning};
use crate::model::exchange::{Exchange, Outcome, Protocol};
use crate::model::time::Time;

/// The time within which a line and its exchange are seen, as they happen. (Asterisk's threads: 6 ms at
/// most were measured; a loaded machine takes longer.)
pub const AT_ONCE: Duration = Duration::from_millis(500);
/// The same by the dates of lines, which have no fractions of seconds.
pub const BY_DATES: Duration = Duration::from_secs(2);
/// Lines that may wait, about 160 bytes each: 8 MiB in all. With more, the oldest wait no longer.
const WAITING: usize = 50_000;
/// Exchanges that are remembered, about 250 bytes each: 4 MiB in all.
const EXCHANGES: usize = 16_384;
/// Logs in which an exchange may have a line each.
const CHANNELS: usize = 4;
/// Lines of one key that are looked at for an exchange, and exchanges for a line: enough, unless somebody writes
/// many more lines than there are exchanges.
const LOOKED_AT: usize = 16;

/// Lines and exchanges of the last moment.
#[derive(Debug)]
pub struct Joins {
    patience: Duration,
    seed: RandomState,
    /// The exchanges, oldest first; the number of the first.
    exchanges: VecDeque<Seen>,
    first: u64,
    /// The keys of exchanges, each with the exchange's number.
    known: BTreeSet<(u64, u64)>,
    /// The lines that wait, oldest first, and the number of the first.
    lines: VecDeque<Option<Event>>,
    first_line: u64,
    /// The keys of lines that wait, each with the line's number.
    waiting: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Seen {
    event: Event,
    exchange: Exchange,
    /// The logs that have had a line about it.
    told: [Option<ChannelId>; CHANNELS],
}

/// The ways that a line and an exchange can be the same by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum By {
    Call,
    Nonce,
    Port,
    /// Where neither of these is named: the host alone.
    Host,
}

impl Joins {
    /// Returns one in which lines and exchanges find each other within `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            seed: RandomState::default(),
            exchanges: VecDeque::new(),
            first: 0,
            known: BTreeSet::new(),
            lines: VecDeque::with_capacity(WAITING),
            first_line: 0,
            waiting: BTreeSet::new(),
        }
    }

    /// Records an exchange, and adds the lines to `out` that have waited for it.
    pub fn exchange(&mut self, event: &Event, out: &mut Vec<Event>) {
        let Basis::Exchange(exchange) = event.basis else { return };
        if self.exchanges.len() >= EXCHANGES {
            self.forget();
        }
        let number = self.first + self.exchanges.len() as u64;
        let keys = self.keys(event);
        self.exchanges.push_back(Seen { event: *event, exchange, told: [None; CHANNELS] });
        for (by, key) in keys.into_iter().flatten() {
            self.known.insert((key, number));
            let lines = self.waiting.range((key, 0)..=(key, u64::MAX)).map(|(_, line)| *line);
            for line in lines.take(LOOKED_AT).collect::<Vec<_>>() {
                let joined = self.line_at(line).and_then(|event| self.tell(number, by, &event));
                if let Some(joined) = joined {
                    self.take_line(line);
                    out.push(joined);
                }
            }
        }
    }

    /// Returns a line with what its exchange makes of it, if that has been seen.
    pub fn find(&mut self, event: &Event) -> Option<Event> {
        self.keys(event).into_iter().flatten().find_map(|(by, key)| {
            self.numbers(key).into_iter().find_map(|number| self.tell(number, by, event))
        })
    }

    /// Keeps a line until its exchange is seen. One that waits no longer because there are too many, or of
    /// which nothing tells its exchange, is added to `out`.
    pub fn wait(&mut self, event: &Event, out: &mut Vec<Event>) {
        let keys = self.keys(event);
        if keys.iter().all(Option::is_none) {
            out.push(Event { basis: Basis::Unmatched, ..*event });
            return;
        }
        if self.lines.len() >= WAITING {
            self.give_up(out);
        }
        let number = self.first_line + self.lines.len() as u64;
        self.lines.push_back(Some(*event));
        self.waiting.extend(keys.into_iter().flatten().map(|(_, key)| (key, number)));
    }

    /// Lets time pass: adds the lines to `out` for which no exchange came.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Event>) {
        let patience = self.patience;
        let over = |event: &Event| now.since(event.time) >= patience;
        while self.lines.front().is_some_and(|line| line.as_ref().is_none_or(over)) {
            self.give_up(out);
        }
        let forgotten = |event: &Event| now.since(event.time) >= 2 * patience;
        while self.exchanges.front().is_some_and(|seen| forgotten(&seen.event)) {
            self.forget();
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        let exchanges = self.exchanges.iter_mut().map(|seen| &mut seen.event.time);
        let lines = self.lines.iter_mut().flatten().map(|event| &mut event.time);
        step.correct_all(exchanges.chain(lines));
    }

    /// Returns what a line says of an exchange, if it is about it.
    fn tell(&mut self, number: u64, by: By, line: &Event) -> Option<Event> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let patience = self.patience;
        let seen = self.exchanges.get_mut(at)?;
        let apart = line.time.since(seen.event.time).max(seen.event.time.since(line.time));
        // Who has a nonce got it from us, whomever the line names.
        let same_host = by == By::Nonce || line.host == seen.event.host;
        if apart >= patience || !same_host || !same_kind(line, &seen.event) {
            return None;
        }
        let refused = seen.exchange.outcome == Outcome::CredentialsRefused;
        let says_that = refused && line.meaning == Meaning::Offence(Class::Guess);
        let is_login = line.meaning == Meaning::Success;
        let is_probe = seen.exchange.outcome == Outcome::Probed;
        let is_sure = !matches!(by, By::Port | By::Host);
        let adds = !is_login && !is_probe && (says_that || is_sure);
        let told = seen.told.iter().flatten().any(|channel| *channel == line.channel);
        let place = seen.told.iter_mut().find(|place| place.is_none());
        let basis = match place {
            _ if !adds => Basis::Beside(seen.exchange),
            Some(place) if !told => {
                *place = Some(line.channel);
                Basis::Exchange(seen.exchange)
            }
            // It may be about the next one.
            _ => return None,
        };
        let Event { host, evidence, account, .. } = seen.event;
        Some(Event { host, evidence, account, basis, ..*line })
    }

    /// Returns the keys by which a line and an exchange are the same, the surest first.
    fn keys(&self, event: &Event) -> [Option<(By, u64)>; 4] {
        let clue = &event.clue;
        let port = (clue.port != 0).then_some((event.host, clue.port));
        let service = clue.protocol;
        let is_exchange = matches!(event.basis, Basis::Exchange(_));
        let host = service != Protocol::Sip && (is_exchange || clue.port == 0);
        let key = |by: By, of: u64| (by, self.seed.hash_one((by, service, of)));
        [
            clue.call.map(|call| key(By::Call, self.hash((event.host, call)))),
            clue.nonce.map(|nonce| key(By::Nonce, self.hash(nonce))),
            port.map(|port| key(By::Port, self.hash(port))),
            host.then(|| key(By::Host, self.hash(event.host))),
        ]
    }

    fn hash(&self, of: impl Hash) -> u64 {
        self.seed.hash_one(of)
    }

    /// Returns the numbers of the last exchanges that have a key, the newest first.
    fn numbers(&self, key: u64) -> Vec<u64> {
        let known = self.known.range((key, 0)..=(key, u64::MAX)).rev();
        known.take(LOOKED_AT).map(|(_, number)| *number).collect()
    }

    fn line_at(&self, number: u64) -> Option<Event> {
        let at = usize::try_from(number.checked_sub(self.first_line)?).ok()?;
        *self.lines.get(at)?
    }

    /// Takes a line out of those that wait.
    fn take_line(&mut self, number: u64) -> Option<Event> {
        let event = self.line_at(number)?;
        for (_, key) in self.keys(&event).into_iter().flatten() {
            self.waiting.remove(&(key, number));
        }
        let at = usize::try_from(number - self.first_line).ok()?;
        self.lines.get_mut(at)?.take()
    }

    /// Lets the oldest line wait no longer.
    fn give_up(&mut self, out: &mut Vec<Event>) {
        if let Some(event) = self.take_line(self.first_line) {
            let told = self.keys(&event).into_iter().flatten().find_map(|(_, key)| {
                let at = self.numbers(key).first()?.checked_sub(self.first)?;
                let seen = self.exchanges.get(usize::try_from(at).ok()?)?;
                same_kind(&event, &seen.event).then_some(seen)
            });
            let basis = told.map_or(Basis::Unmatched, |seen| Basis::Beside(seen.exchange));
            out.push(Event { basis, ..event });
        }
        self.lines.pop_front();
        self.first_line += 1;
    }

    /// Forgets the oldest exchange.
    fn forget(&mut self) {
        let Some(seen) = self.exchanges.pop_front() else { return };
        for (_, key) in self.keys(&seen.event).into_iter().flatten() {
            self.known.remove(&(key, self.first));
        }
        self.first += 1;
    }
}

/// Whether both are about logins, or both about something that was refused.
fn same_kind(one: &Event, other: &Event) -> bool {
    (one.meaning == Meaning::Success) == (other.meaning == Meaning::Success)
}

#[cfg(test)]
mod tests;
