//! What is kept of one peer: how far it was read, its bans, and its allowance.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::protocol::PeerBan;
use super::record::{Position, SignedBan};
use crate::config::fleet::PeerKey;
use crate::model::allowance::Allowance;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// How many times its rate a peer may say at once.
const BURST: u64 = 10;

/// A ban of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The end, in milliseconds since the epoch, by the server's clock.
    pub until: i64,
    /// When the peer said it, by the server's clock; never later than when it was taken.
    pub since: i64,
    /// What it rests on.
    pub evidence: Evidence,
    /// The jail and the rule, with a line feed between: names have none.
    names: Box<str>,
    /// Whether the guard was told.
    pub told: bool,
}

impl Held {
    /// Returns a ban that the guard was not told yet.
    #[must_use]
    pub fn new(ban: &SignedBan, until: i64, now: i64) -> Self {
        let names = format!("{}\n{}", ban.jail, ban.rule).into_boxed_str();
        Self { until, since: ban.issued.min(now), evidence: ban.evidence, names, told: false }
    }

    /// Returns the ban as the guard is told it.
    #[must_use]
    pub fn for_guard(&self, issuer: &NodeName, host: Subject, now: i64) -> PeerBan {
        let (jail, rule) = self.names.split_once('\n').unwrap_or((&self.names, ""));
        PeerBan {
            issuer: issuer.clone(),
            host,
            jail: jail.to_owned(),
            rule: rule.to_owned(),
            evidence: self.evidence,
            remaining: u64::try_from(self.until.saturating_sub(now)).unwrap_or(0),
        }
    }
}

/// The bans of a peer, about 250 bytes each.
#[derive(Debug, Default)]
pub struct Bans {
    by_host: HashMap<Subject, Held>,
    by_end: BTreeSet<(i64, Subject)>,
}

impl Bans {
    /// Returns the number.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_host.len()
    }

    /// Returns the ban of a host.
    #[must_use]
    pub fn get(&self, host: &Subject) -> Option<&Held> {
        self.by_host.get(host)
    }

    /// Notes that the guard was told of the ban of a host; returns it unless that was so before.
    pub fn tell(&mut self, host: &Subject) -> Option<&Held> {
        let held = self.by_host.get_mut(host).filter(|held| !held.told)?;
        held.told = true;
        Some(held)
    }

    /// Takes up a ban in the place of another one of the host.
    pub fn insert(&mut self, host: Subject, held: Held) {
        let until = held.until;
        if let Some(before) = self.by_host.insert(host, held) {
            self.by_end.remove(&(before.until, host));
        }
        self.by_end.insert((until, host));
    }

    /// Removes the ban of a host.
    pub fn remove(&mut self, host: &Subject) -> Option<Held> {
        let held = self.by_host.remove(host)?;
        self.by_end.remove(&(held.until, *host));
        Some(held)
    }

    /// Forgets what has ended; returns how many.
    pub fn end(&mut self, now: i64) -> usize {
        let before = self.len();
        while let Some((until, host)) = self.by_end.first().copied().filter(|it| it.0 <= now) {
            self.by_end.remove(&(until, host));
            self.by_host.remove(&host);
        }
        before - self.len()
    }

    /// Returns all.
    pub fn iter(&self) -> impl Iterator<Item = (&Subject, &Held)> {
        self.by_host.iter()
    }
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    /// How it is known.
    pub key: PeerKey,
    /// Its last record that was read.
    pub last: Position,
    /// The last record that was read before a restart: what is before it is no news, unless its stream has it.
    pub floor: Position,
    /// The last record that its newest snapshot contains.
    pub snapshot: Position,
    /// The newest record that it said to have.
    pub newest: Position,
    /// What is missing, and whether the server was asked for it before.
    pub missing: Missing,
    /// Its bans.
    pub bans: Bans,
    /// What it may say.
    pub allowance: Allowance,
    /// When it last said something, in milliseconds of the guard's wall clock.
    pub heard: Option<i64>,
    /// By how many seconds its clock is ahead.
    pub clock: Option<i64>,
    /// Its records that were accepted.
    pub accepted: u64,
    /// Those that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// What of a peer has to be read from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// Nothing.
    #[default]
    Nothing,
    /// The records after the last one, from its stream.
    Records,
    /// Its snapshot, and what came after it.
    Snapshot,
}

impl Peer {
    /// Returns a peer of which nothing was read.
    #[must_use]
    pub fn new(key: PeerKey, rate: u32) -> Self {
        let (nothing, rate) = (Position::default(), u64::from(rate));
        let allowance = Allowance::new(rate * BURST, rate, Duration::from_secs(1), Time::default());
        Self {
            key,
            last: nothing,
            floor: nothing,
            snapshot: nothing,
            newest: nothing,
            missing: Missing::Snapshot,
            bans: Bans::default(),
            allowance,
            heard: None,
            clock: None,
            accepted: 0,
            refused: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_its_rate_and_ten_times_that_at_once() {
        let mut peer = Peer::new(PeerKey::Revoked, 5);
        let mut taken = |now| {
            (0..1000).filter(|_| peer.allowance.take(1, Time::from_millis(now)).is_ok()).count()
        };
        assert_eq!([taken(0), taken(0), taken(200), taken(1200)], [50, 0, 1, 5]);
        assert_eq!(taken(i64::MAX), 50);
        assert_eq!(taken(0), 0);
    }
}
