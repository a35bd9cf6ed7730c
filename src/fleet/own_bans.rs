//! The bans of this guard's own: what the server is to have, and what it lacks.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::protocol::{OwnBan, is_name};
use super::record::{Host, SignedBan};
use super::snapshot::{BLOCK, MOST_BLOCKS};
use crate::model::event::Evidence;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Hosts whose bans are published: as many as a snapshot holds, about 300 bytes each.
pub const MOST_OWN: usize = BLOCK * MOST_BLOCKS;
/// Bans of one host, of different jails.
const MOST_JAILS: usize = 16;
/// The length of a ban that never ends, in milliseconds: a year. It is published again before.
const PERMANENT: u64 = 365 * 86_400_000;

type ByHost = HashMap<Subject, Vec<OwnBan>>;

/// What the server is to have.
#[derive(Debug, Default)]
pub struct OwnBans {
    bans: ByHost,
    /// What the guard says, from the beginning on.
    loading: Option<ByHost>,
    /// The hosts of which the server lacks something.
    dirty: BTreeSet<Subject>,
    /// Whether the guard has said everything once.
    known: bool,
    /// Bans for which there was no room.
    dropped: u64,
}

impl OwnBans {
    /// Takes up that all bans follow.
    pub fn begin(&mut self) {
        self.loading = Some(ByHost::new());
    }

    /// Takes up a ban. Hearsay, and what is no host, is nobody else's business.
    pub fn ban(&mut self, ban: OwnBan) {
        let is_right = Host::of(&ban.host).subject() == Some(ban.host) && !ban.jail.is_empty();
        let is_told = ban.evidence != Evidence::Hearsay && is_name(&ban.jail) && is_name(&ban.rule);
        if !is_right || !is_told {
            return;
        }
        let host = ban.host;
        let bans = self.loading.as_mut().unwrap_or(&mut self.bans);
        if bans.len() >= MOST_OWN && !bans.contains_key(&host) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let of_host = bans.entry(host).or_default();
        of_host.retain(|other| other.jail != ban.jail);
        if of_host.len() < MOST_JAILS {
            of_host.push(ban);
        }
        if self.loading.is_none() {
            self.dirty.insert(host);
        }
    }

    /// Takes up that all bans were said: what changed since the last time is dirty.
    pub fn complete(&mut self, now: Time) {
        let Some(loaded) = self.loading.take() else { return };
        let before = std::mem::replace(&mut self.bans, loaded);
        for (host, bans) in &before {
            let is_over = strongest(bans, now).is_none();
            if !is_over && !self.bans.contains_key(host) {
                self.dirty.insert(*host);
            }
        }
        let changed = self.bans.iter().filter(|(host, bans)| before.get(*host) != Some(*bans));
        self.dirty.extend(changed.map(|(host, _)| *host));
        self.known = true;
    }

    /// Takes up that a ban was lifted.
    pub fn lift(&mut self, host: &Subject, jail: &str) {
        let bans = self.loading.as_mut().unwrap_or(&mut self.bans);
        let Some(of_host) = bans.get_mut(host) else { return };
        of_host.retain(|ban| ban.jail != jail);
        if of_host.is_empty() {
            bans.remove(host);
        }
        if self.loading.is_none() {
            self.dirty.insert(*host);
        }
    }

    /// Returns the hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<Subject> {
        self.bans.keys().copied().collect()
    }

    /// Takes up of which hosts the server has bans, of those that were `asked` for: it lacks the others, and those that are
    /// no more are to be lifted.
    pub fn found(&mut self, asked: &[Subject], there: &[Subject]) {
        let known: HashSet<_> = there.iter().collect();
        self.dirty.extend(asked.iter().filter(|host| !known.contains(host)));
        let bans = &self.bans;
        self.dirty.extend(there.iter().filter(|host| !bans.contains_key(host)));
    }

    /// Takes up that the server has lost everything.
    pub fn all_lost(&mut self) {
        self.dirty.extend(self.bans.keys());
    }

    /// Forgets bans that have ended: the server does, too.
    pub fn end(&mut self, now: Time) {
        let is_on = |ban: &OwnBan| ban.until.is_none_or(|until| until > now);
        self.bans.retain(|_, bans| {
            bans.retain(is_on);
            !bans.is_empty()
        });
    }

    /// Returns the next hosts of which the server lacks something, at most `most`.
    pub fn take(&mut self, most: usize) -> Vec<Subject> {
        let taken: Vec<_> = self.dirty.iter().take(most).copied().collect();
        for host in &taken {
            self.dirty.remove(host);
        }
        taken
    }

    /// Takes back what could not be published.
    pub fn give_back(&mut self, hosts: &[Subject]) {
        self.dirty.extend(hosts);
    }

    /// Returns the ban of a host as it is published; `None` if there is none.
    #[must_use]
    pub fn signed(&self, host: &Subject, now: Time, server: i64) -> Option<SignedBan> {
        let (ban, duration) = strongest(self.bans.get(host)?, now)?;
        Some(SignedBan {
            host: Host::of(host),
            evidence: ban.evidence,
            jail: ban.jail.clone(),
            rule: ban.rule.clone(),
            issued: server,
            duration,
        })
    }

    /// Returns all bans as they are published.
    #[must_use]
    pub fn all(&self, now: Time, server: i64) -> Vec<SignedBan> {
        self.bans.keys().filter_map(|host| self.signed(host, now, server)).collect()
    }

    /// Returns the number of hosts whose bans are published, of those that wait, and of bans for which there was no room.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, u64) {
        (self.bans.len(), self.dirty.len(), self.dropped)
    }

    /// Whether the guard has said everything once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known
    }
}

/// Returns the ban of several that says most, and how long it lasts, in milliseconds.
fn strongest(bans: &[OwnBan], now: Time) -> Option<(&OwnBan, u64)> {
    let left = |ban: &OwnBan| {
        ban.until.map_or(PERMANENT, |until| {
            u64::try_from(until.since(now).as_millis()).unwrap_or(PERMANENT).min(PERMANENT)
        })
    };
    let all = bans.iter().map(|ban| (ban, left(ban))).filter(|(_, left)| *left > 0);
    all.max_by_key(|(ban, left)| (ban.evidence, *left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(host: &str, jail: &str, until: i64) -> OwnBan {
        OwnBan {
            host: host.parse().unwrap(),
            jail: jail.to_owned(),
            rule: String::new(),
            evidence: Evidence::Proven,
            since: Time::from_secs(0),
            until: Some(Time::from_secs(until)),
        }
    }

    fn now() -> Time {
        Time::from_secs(10)
    }

    #[test]
    fn what_the_guard_says_again_is_compared() {
        let mut own = OwnBans::default();
        own.begin();
        for it in [ban("192.0.2.1", "a", 20), ban("192.0.2.2", "a", 20), ban("192.0.2.3", "a", 5)] {
            own.ban(it);
        }
        assert!(own.take(9).is_empty() && !own.is_known());
        own.complete(now());
        assert_eq!(own.take(9).len(), 3);
        own.begin();
        own.ban(ban("192.0.2.1", "a", 20));
        own.complete(now());
        // The second one was lifted meanwhile; the third has ended by itself.
        assert_eq!(own.take(9), ["192.0.2.2".parse().unwrap()]);
        assert_eq!(own.signed(&"192.0.2.2".parse().unwrap(), now(), 0), None);
        own.all_lost();
        assert_eq!(own.take(9).len(), 1);
    }

    #[test]
    fn a_host_has_one_ban_and_a_lift_leaves_that_of_another_jail() {
        let mut own = OwnBans::default();
        own.ban(ban("192.0.2.1", "a", 20));
        own.ban(ban("192.0.2.1", "b", 30));
        let host = "192.0.2.1".parse().unwrap();
        assert_eq!(own.take(9), [host]);
        let signed = own.signed(&host, now(), 7).unwrap();
        assert_eq!((signed.jail.as_str(), signed.issued, signed.duration), ("b", 7, 20_000));
        own.lift(&host, "b");
        assert_eq!(own.take(9), [host]);
        assert_eq!(own.signed(&host, now(), 7).unwrap().jail, "a");
        own.end(Time::from_secs(21));
        assert_eq!(own.counts(), (0, 0, 0));
    }

    #[test]
    fn networks_and_hearsay_stay_here() {
        let mut own = OwnBans::default();
        own.ban(ban("192.0.2.0/24", "a", 20));
        own.ban(ban("127.0.0.1", "a", 20));
        own.ban(OwnBan { evidence: Evidence::Hearsay, ..ban("192.0.2.1", "a", 20) });
        own.ban(ban("192.0.2.1", "a\nb", 20));
        assert!(own.take(9).is_empty());
    }
}
