//! The bans of the fleet's peers: who issued each, until when, and which of them somebody has lifted here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::fleet::{Fleet, PeerKey};
use crate::fleet::protocol::MOST_PEERS;
use crate::model::clock_step::ClockStep;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::{Time, is_near};

/// Peers' bans in force at most, of all peers together: half of what the table of bans takes, so that there is always room
/// for this guard's own. About 160 bytes each, so 80 MB.
pub const MOST: usize = 1 << 19;
/// Peers' bans that were lifted here, and are not taken again before their end; about 80 bytes each, so 10 MB. When there
/// are more, those that end first are forgotten.
pub const MOST_DISMISSED: usize = 1 << 17;
/// Different names of peers' jails and rules that are remembered, of up to 64 bytes each. Others are shown as nothing.
pub const MOST_NAMES: usize = 4096;
/// Ends of one ban that are no further apart are the same: the time that remains was measured a moment apart.
const SAME: Duration = Duration::from_secs(3);

/// What a node takes of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTerms {
    /// The peers.
    pub peers: BTreeSet<NodeName>,
    /// Whether there is an operator, who may unban hosts in the whole fleet.
    pub operator: bool,
    /// The evidence that is enough.
    pub accept: BTreeSet<Evidence>,
    /// The most that a peer's ban lasts here.
    pub longest: Duration,
    /// The bans of one peer that are in force here at most.
    pub most: usize,
}

impl PeerTerms {
    /// Returns what the configuration says.
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let trusted = fleet.peers.iter().filter(|(_, key)| matches!(key, PeerKey::Trusted(_)));
        Self {
            peers: trusted.map(|(name, _)| name.clone()).collect(),
            operator: fleet.operator.is_some(),
            accept: fleet.accept.iter().copied().collect(),
            longest: fleet.bantime_max,
            most: usize::try_from(fleet.max_bans).unwrap_or(usize::MAX),
        }
    }

    /// Whether this is a peer.
    #[must_use]
    pub fn knows(&self, name: &NodeName) -> bool {
        self.peers.contains(name)
    }
}

/// The reason why a peer's ban was not taken.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// `[fleet.peers]` does not name it.
    #[error("no peer of this node")]
    Stranger,
    /// The evidence is none that `accept` names.
    #[error("evidence that is not accepted")]
    Evidence,
    /// It is more than one host, or an IPv6 network of another length than those that are banned here.
    #[error("not one host")]
    NotAHost,
    /// No machine that could be banned has this address.
    #[error("cannot be banned")]
    NotBannable,
    /// It is never banned here.
    #[error("never banned here")]
    Ignored,
    /// Somebody has logged in from there lately.
    #[error("known good here")]
    KnownGood,
    /// No time is left of it.
    #[error("over")]
    Over,
    /// Somebody has lifted it here.
    #[error("lifted here")]
    Dismissed,
    /// The peer has as many bans in force as it may.
    #[error("too many bans of the peer")]
    TooMany,
    /// All peers together have.
    #[error("too many bans of peers")]
    Full,
}

impl Refusal {
    /// Returns its name, as JSON and metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Evidence => "evidence",
            Self::NotAHost => "not-a-host",
            Self::NotBannable => "not-bannable",
            Self::Ignored => "ignored",
            Self::KnownGood => "known-good",
            Self::Over => "over",
            Self::Dismissed => "dismissed",
            Self::TooMany => "too-many",
            Self::Full => "full",
        }
    }
}

/// A ban of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedBan {
    /// The host.
    pub host: Subject,
    /// The peer.
    pub issuer: NodeName,
    /// The peer's jail, and its rule, as it names them.
    pub jail: String,
    /// See there.
    pub rule: String,
    /// What it rests on, as the peer says.
    pub evidence: Evidence,
    /// When it was taken.
    pub since: Time,
    /// When it ends.
    pub until: Time,
}

/// What has become of a peer's ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in force: new, or with another end.
    Entered,
    /// It was in force already.
    Known,
}

/// A change in the table, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuedChange {
    /// This ban is in force, in place of an earlier one of the same peer and host.
    Entered(IssuedBan),
    /// The peer's ban of the host is over or lifted.
    Gone(Subject, NodeName),
    /// It was lifted here, and is not taken again until then.
    Dismissed(Subject, NodeName, Time),
}

/// All of it, to be stored and restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredIssued {
    /// The bans in force.
    pub bans: Vec<IssuedBan>,
    /// Those that were lifted here: host, peer, and the end.
    pub dismissed: Vec<(Subject, NodeName, Time)>,
}

/// A peer: its place in [`PeerBans::issuers`].
type IssuerId = u16;
/// The name of a jail or rule: its place in [`Names::texts`], from 1; 0: none.
type NameId = u16;
type Key = (Subject, IssuerId);

#[derive(Clone, Copy, Debug)]
struct Part {
    jail: NameId,
    rule: NameId,
    evidence: Evidence,
    since: Time,
    until: Time,
}

#[derive(Debug)]
struct Issuer {
    name: NodeName,
    bans: usize,
    refused: BTreeMap<Refusal, u64>,
}

/// The bans of all peers. A host that several of them ban is banned until the last of these ends, and a peer that lifts its
/// own leaves the others.
#[derive(Debug, Default)]
pub struct PeerBans {
    parts: BTreeMap<Key, Part>,
    /// The same by their ends, soonest first.
    deadlines: BTreeSet<(Time, Key)>,
    dismissed: BTreeMap<Key, Time>,
    dismissed_ends: BTreeSet<(Time, Key)>,
    issuers: Vec<Issuer>,
    ids: HashMap<NodeName, IssuerId, RandomState>,
    names: Names,
    /// Refusals of those that are no peers: one counter, however many of them there are.
    strangers: u64,
    journal: Option<Vec<IssuedChange>>,
}

/// Names that many bans share.
#[derive(Debug, Default)]
struct Names {
    texts: Vec<String>,
    ids: HashMap<String, NameId, RandomState>,
}

impl Names {
    fn id(&mut self, text: &str) -> NameId {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let is_plain = text.len() <= crate::fleet::protocol::LONGEST_NAME
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !is_plain || self.texts.len() >= MOST_NAMES {
            return 0;
        }
        self.texts.push(text.to_owned());
        let id = NameId::try_from(self.texts.len()).unwrap_or(0);
        self.ids.insert(text.to_owned(), id);
        id
    }

    fn text(&self, id: NameId) -> &str {
        let at = usize::from(id).checked_sub(1);
        at.and_then(|at| self.texts.get(at)).map_or("", String::as_str)
    }
}

impl PeerBans {
    /// Takes a ban that lasts until `ban.until`, of a peer that may have `most` in force.
    ///
    /// # Errors
    /// With the reason why it is not taken, which is counted.
    pub fn put(&mut self, ban: &IssuedBan, most: usize) -> Result<Taken, Refusal> {
        let Some(issuer) = self.issuer(&ban.issuer) else {
            return Err(self.refuse(&ban.issuer, Refusal::Full));
        };
        let key = (ban.host, issuer);
        if self.dismissed.get(&key).is_some_and(|end| *end > ban.since) {
            return Err(self.refuse(&ban.issuer, Refusal::Dismissed));
        }
        let known = self.parts.get(&key).copied();
        if known.is_some_and(|known| {
            is_near(Some(known.until), Some(ban.until), SAME) && known.evidence == ban.evidence
        }) {
            return Ok(Taken::Known);
        }
        if known.is_none() {
            let own = self.issuers.get(usize::from(issuer)).map_or(0, |issuer| issuer.bans);
            if own >= most {
                return Err(self.refuse(&ban.issuer, Refusal::TooMany));
            }
            if self.parts.len() >= MOST {
                return Err(self.refuse(&ban.issuer, Refusal::Full));
            }
        }
        self.enter(key, ban);
        self.note(|| IssuedChange::Entered(ban.clone()));
        Ok(Taken::Entered)
    }

    fn enter(&mut self, key: Key, ban: &IssuedBan) {
        let (jail, rule) = (self.names.id(&ban.jail), self.names.id(&ban.rule));
        let IssuedBan { evidence, since, until, .. } = *ban;
        let part = Part { jail, rule, evidence, since, until };
        match self.parts.insert(key, part) {
            Some(before) => drop(self.deadlines.remove(&(before.until, key))),
            None => self.count(key.1, 1),
        }
        self.deadlines.insert((until, key));
    }

    /// Counts a ban that is not taken, and returns the reason.
    pub fn refuse(&mut self, issuer: &NodeName, why: Refusal) -> Refusal {
        let id = if why == Refusal::Stranger { None } else { self.issuer(issuer) };
        match id.and_then(|id| self.issuers.get_mut(usize::from(id))) {
            Some(issuer) => *issuer.refused.entry(why).or_default() += 1,
            None => self.strangers += 1,
        }
        why
    }

    /// Ends a peer's ban of a host. Whether there was one.
    pub fn lift(&mut self, issuer: &NodeName, host: Subject) -> bool {
        let Some(id) = self.ids.get(issuer) else { return false };
        self.take((host, *id))
    }

    /// Ends all peers' bans of a host.
    pub fn forget(&mut self, host: Subject) {
        for key in self.keys(host) {
            self.take(key);
        }
    }

    /// Ends all peers' bans of a host, and takes none of them again before its end.
    pub fn dismiss(&mut self, host: Subject) {
        self.dismiss_begun(host, Time::from_millis(i64::MAX));
    }

    /// Does the same with those that were taken by then.
    pub fn dismiss_begun(&mut self, host: Subject, by: Time) {
        for key in self.keys(host) {
            let part = self.parts.get(&key).copied().filter(|part| part.since <= by);
            let Some(part) = part else { continue };
            self.take(key);
            self.remember(key, part.until);
            let issuer = self.issuers.get(usize::from(key.1)).map(|issuer| issuer.name.clone());
            if let Some(issuer) = issuer {
                self.note(|| IssuedChange::Dismissed(host, issuer, part.until));
            }
        }
    }

    /// Ends the bans of those that are no peers any more, and returns their hosts.
    pub fn retain(&mut self, is_peer: impl Fn(&NodeName) -> bool) -> BTreeSet<Subject> {
        let issuers = self.issuers.iter().map(|issuer| is_peer(&issuer.name)).collect::<Vec<_>>();
        let stays = |id: IssuerId| issuers.get(usize::from(id)).copied().unwrap_or(false);
        let gone: Vec<Key> = self.parts.keys().filter(|key| !stays(key.1)).copied().collect();
        for key in &gone {
            self.take(*key);
        }
        gone.into_iter().map(|(host, _)| host).collect()
    }

    /// Forgets what is over.
    pub fn tick(&mut self, now: Time) {
        while let Some((until, key)) = self.deadlines.first().copied() {
            if until > now {
                break;
            }
            self.take(key);
        }
        while let Some((until, key)) = self.dismissed_ends.first().copied() {
            if until > now {
                break;
            }
            self.dismissed_ends.pop_first();
            self.dismissed.remove(&key);
        }
    }

    /// Returns the peers' bans of a host, the longest first.
    #[must_use]
    pub fn of(&self, host: Subject) -> Vec<IssuedBan> {
        let mut bans: Vec<_> =
            self.range(host).filter_map(|(key, part)| self.ban(key, part)).collect();
        bans.sort_by(|a, b| (b.until, &a.issuer).cmp(&(a.until, &b.issuer)));
        bans
    }

    /// Returns the hosts that peers ban, each once.
    pub fn hosts(&self) -> impl Iterator<Item = Subject> {
        let mut last = None;
        self.parts
            .keys()
            .filter_map(move |(host, _)| (last.replace(*host) != Some(*host)).then_some(*host))
    }

    /// Returns each peer that something is known of: its bans in force here, and those that were refused, by reason.
    pub fn issuers(&self) -> impl Iterator<Item = (&NodeName, usize, &BTreeMap<Refusal, u64>)> {
        self.issuers.iter().map(|issuer| (&issuer.name, issuer.bans, &issuer.refused))
    }

    /// Returns how many bans of those that are no peers were refused.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Returns how many bans there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Corrects all times. The journal does not contain this.
    pub fn correct(&mut self, step: ClockStep) {
        for part in self.parts.values_mut() {
            step.correct_all([&mut part.since, &mut part.until]);
        }
        step.correct_all(self.dismissed.values_mut());
        let corrected = |ends: &BTreeSet<(Time, Key)>| {
            ends.iter().map(|(end, key)| (step.correct(*end), *key)).collect()
        };
        self.deadlines = corrected(&self.deadlines);
        self.dismissed_ends = corrected(&self.dismissed_ends);
    }

    /// Keeps a journal from now on, for [`PeerBans::take_journal`] to be called often.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// Returns what has changed since the last call; nothing if no journal is kept.
    pub fn take_journal(&mut self) -> Vec<IssuedChange> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns all of it, to be stored.
    #[must_use]
    pub fn stored(&self) -> StoredIssued {
        let name =
            |id: IssuerId| self.issuers.get(usize::from(id)).map(|issuer| issuer.name.clone());
        let dismissed = self.dismissed.iter();
        StoredIssued {
            bans: self.parts.iter().filter_map(|(key, part)| self.ban(key, part)).collect(),
            dismissed: dismissed
                .filter_map(|((host, issuer), end)| Some((*host, name(*issuer)?, *end)))
                .collect(),
        }
    }

    /// Restores what is not over at `now`.
    pub fn restore(&mut self, stored: &StoredIssued, now: Time) {
        for ban in stored.bans.iter().filter(|ban| ban.until > now).take(MOST) {
            if let Some(issuer) = self.issuer(&ban.issuer) {
                self.enter((ban.host, issuer), ban);
            }
        }
        for (host, issuer, end) in stored.dismissed.iter().filter(|(.., end)| *end > now) {
            if let Some(issuer) = self.issuer(issuer) {
                self.remember((*host, issuer), *end);
            }
        }
    }

    fn issuer(&mut self, name: &NodeName) -> Option<IssuerId> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        let id = IssuerId::try_from(self.issuers.len()).ok();
        let id = id.filter(|id| usize::from(*id) < MOST_PEERS)?;
        self.ids.insert(name.clone(), id);
        self.issuers.push(Issuer { name: name.clone(), bans: 0, refused: BTreeMap::new() });
        Some(id)
    }

    fn remember(&mut self, key: Key, end: Time) {
        if let Some(before) = self.dismissed.insert(key, end) {
            self.dismissed_ends.remove(&(before, key));
        }
        self.dismissed_ends.insert((end, key));
        if self.dismissed.len() > MOST_DISMISSED {
            if let Some((_, key)) = self.dismissed_ends.pop_first() {
                self.dismissed.remove(&key);
            }
        }
    }

    fn range(&self, host: Subject) -> impl Iterator<Item = (&Key, &Part)> {
        self.parts.range((host, IssuerId::MIN)..=(host, IssuerId::MAX))
    }

    fn keys(&self, host: Subject) -> Vec<Key> {
        self.range(host).map(|(key, _)| *key).collect()
    }

    fn ban(&self, (host, issuer): &Key, part: &Part) -> Option<IssuedBan> {
        let Part { jail, rule, evidence, since, until } = *part;
        let issuer = self.issuers.get(usize::from(*issuer))?.name.clone();
        let (jail, rule) = (self.names.text(jail).to_owned(), self.names.text(rule).to_owned());
        Some(IssuedBan { host: *host, issuer, jail, rule, evidence, since, until })
    }

    fn take(&mut self, key: Key) -> bool {
        let Some(part) = self.parts.remove(&key) else { return false };
        self.deadlines.remove(&(part.until, key));
        self.count(key.1, -1);
        if let Some(name) = self.issuers.get(usize::from(key.1)).map(|issuer| issuer.name.clone()) {
            self.note(|| IssuedChange::Gone(key.0, name));
        }
        true
    }

    fn count(&mut self, issuer: IssuerId, by: isize) {
        if let Some(issuer) = self.issuers.get_mut(usize::from(issuer)) {
            issuer.bans = issuer.bans.saturating_add_signed(by);
        }
    }

    fn note(&mut self, change: impl FnOnce() -> IssuedChange) {
        if let Some(journal) = &mut self.journal {
            journal.push(change());
        }
    }
}

#[cfg(test)]
mod tests;
