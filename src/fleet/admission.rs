//! Decides what of the records of peers is taken. It knows no clock and no server.

use std::collections::BTreeMap;

use super::orders::{CLOCKS, Kept, Orders, is_due};
use super::peer::{Held, Missing, Peer};
use super::protocol::{FromFleet, PeerStatus};
use super::record::{Host, Operation, Order, Position, Record, SignedBan};
use super::refusal::Refusal;
use super::snapshot::Head;
use crate::config::Fleet;
use crate::config::fleet::PeerKey;
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Bans of all peers together; each takes about 250 bytes.
pub const MOST_HELD: usize = 1_000_000;
/// Ends that lie no further apart are the same, in milliseconds: clocks are asked once in a while.
const SAME: i64 = 5000;
/// A difference between clocks that is worth a word, in seconds.
const CLOCK: i64 = 60;

/// What time it is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Milliseconds since the epoch, by the server's clock.
    pub server: i64,
    /// Milliseconds since the epoch, by this machine's clock.
    pub wall: i64,
    /// The same by a clock that is never set.
    pub steady: Time,
}

/// How far each peer was read, to be kept over a restart: its last record, and the last one of its snapshot.
pub type Read = BTreeMap<NodeName, (Position, Position)>;

/// The limits, the peers, and what is known of them.
pub struct Admission {
    /// The operator's orders of the last minutes.
    pub orders: Orders,
    node: NodeName,
    accept: Vec<Evidence>,
    unverified_needs: usize,
    bantime_max: i64,
    max_bans: usize,
    operator: Option<PublicKey>,
    peers: BTreeMap<NodeName, Peer>,
    held: usize,
    refused: BTreeMap<&'static str, u64>,
}

impl Admission {
    /// Returns what is known at the start: what was read before the restart.
    #[must_use]
    pub fn new(fleet: &Fleet, read: &Read) -> Self {
        let peer = |(name, key): (&NodeName, &PeerKey)| {
            let mut peer = Peer::new(*key, fleet.max_rate);
            (peer.floor, peer.snapshot) = read.get(name).copied().unwrap_or_default();
            // What came after the snapshot is read again: its bans are not known any more.
            peer.last = peer.snapshot;
            if *key == PeerKey::Revoked {
                peer.missing = Missing::Nothing;
            }
            (name.clone(), peer)
        };
        Self {
            orders: Orders::default(),
            node: fleet.node.clone(),
            accept: fleet.accept.clone(),
            unverified_needs: fleet.unverified_needs as usize,
            bantime_max: i64::try_from(fleet.bantime_max.as_millis()).unwrap_or(i64::MAX),
            max_bans: fleet.max_bans as usize,
            operator: fleet.operator,
            peers: fleet.peers.iter().map(peer).collect(),
            held: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Takes a record from the channel of a node. What the guard has to know of it is added to `told`.
    ///
    /// # Errors
    /// Returns the reason if it is not taken; that is counted.
    pub fn live(
        &mut self,
        node: &NodeName,
        bytes: &[u8],
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<(), Refusal> {
        match self.take(node, bytes, now, told) {
            Ok(Taken::Later) => Ok(()),
            Ok(Taken::Now) => self.count(node, Ok(())),
            Err(refusal) => self.count(node, Err(refusal)),
        }
    }

    fn take(
        &mut self,
        node: &NodeName,
        bytes: &[u8],
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<Taken, Refusal> {
        let peer = self.peers.get_mut(node).ok_or(Refusal::Stranger)?;
        let PeerKey::Trusted(key) = peer.key else { return Err(Refusal::Revoked) };
        let is_awaited = peer.missing == Missing::Nothing;
        // Signatures are what costs: without an allowance, nothing is looked at.
        if peer.allowance.take(1, now.steady).is_err() {
            // What is not looked at is missing.
            peer.missing = peer.missing.max(Missing::Snapshot);
            return Err(Refusal::TooFast);
        }
        let record = Record::read(bytes).map_err(Refusal::Unreadable)?;
        if record.node != *node {
            return Err(Refusal::Name);
        }
        let is_heartbeat = matches!(record.operation, Operation::Heartbeat { .. });
        if record.at < peer.last || (record.at == peer.last && !is_heartbeat) {
            return Err(Refusal::Replayed);
        }
        if !Record::is_signed(bytes, &key) {
            return Err(Refusal::Forged);
        }
        peer.heard = Some(now.wall);
        peer.newest = peer.newest.max(record.at);
        if let Operation::Heartbeat { clock } = record.operation {
            let ahead = clock.saturating_sub(now.wall) / 1000;
            peer.clock = Some(ahead).filter(|ahead| ahead.saturating_abs() > CLOCK);
            if record.at.epoch > peer.last.epoch && record.at.sequence == 0 {
                // It was started again, and has said nothing since.
                peer.last = record.at;
            } else if record.at > peer.last {
                peer.missing = peer.missing.max(Missing::Records);
            }
            return Ok(Taken::Now);
        }
        if !is_awaited {
            // It is read from the stream, after what is before it.
            return Ok(Taken::Later);
        }
        if !record.at.follows(peer.last) {
            peer.missing = Missing::Records;
            return Ok(Taken::Later);
        }
        peer.last = record.at;
        let done = match &record.operation {
            Operation::Unban(order) => self.unban(node, order, CLOCKS, now, told),
            operation => self.apply(node, operation, None, now, told),
        };
        done.map(|()| Taken::Now)
    }

    /// Takes a record of a node's stream, where what is before the last one is no mistake. Returns whether there is
    /// a gap before it: then it is not taken, unless `over_gaps`.
    ///
    /// # Errors
    /// Returns the reason if it is not taken; that is counted.
    pub fn streamed(
        &mut self,
        node: &NodeName,
        bytes: &[u8],
        over_gaps: bool,
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<bool, Refusal> {
        let read = self.read_streamed(node, bytes, over_gaps, now);
        let taken = match read {
            Ok(Streamed::Gap) => return Ok(true),
            Ok(Streamed::Known) => return Ok(false),
            Ok(Streamed::New(operation)) => self.apply(node, &operation, None, now, told),
            Err(refusal) => Err(refusal),
        };
        self.count(node, taken).map(|()| false)
    }

    fn read_streamed(
        &mut self,
        node: &NodeName,
        bytes: &[u8],
        over_gaps: bool,
        now: Moment,
    ) -> Result<Streamed, Refusal> {
        let peer = self.peers.get_mut(node).ok_or(Refusal::Stranger)?;
        let PeerKey::Trusted(key) = peer.key else { return Err(Refusal::Revoked) };
        let record = Record::read(bytes).map_err(Refusal::Unreadable)?;
        if record.node != *node {
            return Err(Refusal::Name);
        }
        if record.at <= peer.last {
            return Ok(Streamed::Known);
        }
        if peer.allowance.take(1, now.steady).is_err() {
            return Err(Refusal::TooFast);
        }
        if !Record::is_signed(bytes, &key) {
            return Err(Refusal::Forged);
        }
        peer.newest = peer.newest.max(record.at);
        if !record.at.follows(peer.last) && !over_gaps {
            return Ok(Streamed::Gap);
        }
        peer.last = record.at;
        Ok(Streamed::New(record.operation))
    }

    /// Takes the head of a node's snapshot, and returns it if its blocks are to be read.
    ///
    /// # Errors
    /// Returns the reason if it is not taken; that is counted.
    pub fn head(&mut self, node: &NodeName, bytes: &[u8]) -> Result<Head, Refusal> {
        let read = self.read_head(node, bytes);
        match read {
            Ok(head) => Ok(head),
            Err(refusal) => self.count(node, Err(refusal)).and(Err(refusal)),
        }
    }

    fn read_head(&mut self, node: &NodeName, bytes: &[u8]) -> Result<Head, Refusal> {
        let peer = self.peers.get_mut(node).ok_or(Refusal::Stranger)?;
        let PeerKey::Trusted(key) = peer.key else { return Err(Refusal::Revoked) };
        let head = Head::read(bytes).map_err(Refusal::Unreadable)?;
        if head.node != *node {
            return Err(Refusal::Name);
        }
        if head.at < peer.snapshot {
            return Err(Refusal::Replayed);
        }
        if !Head::is_signed(bytes, &key) {
            return Err(Refusal::Forged);
        }
        Ok(head)
    }

    /// Whether the ban of a snapshot is new here, so that the server is asked how long it lasts.
    #[must_use]
    pub fn is_new(&self, node: &NodeName, ban: &SignedBan, now: Moment) -> bool {
        let held = self.peers.get(node).zip(ban.host.subject());
        let held = held.and_then(|(peer, host)| peer.bans.get(&host));
        let until = self.end_of(ban, None, now.server);
        held.is_none_or(|held| until.is_some_and(|until| until > held.until.saturating_add(SAME)))
    }

    /// Takes a ban of a snapshot whose head was taken. `left` is how long it lasts by the server, in milliseconds.
    pub fn snapshot_ban(
        &mut self,
        node: &NodeName,
        ban: SignedBan,
        left: u64,
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) {
        let taken = self.apply(node, &Operation::Ban(ban), Some(left), now, told);
        // What a peer has too much of is counted, and no reason to stop.
        let _ = self.count(node, taken);
    }

    /// Notes that a snapshot was read as a whole.
    pub fn snapshot_read(&mut self, node: &NodeName, head: &Head) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.snapshot = peer.snapshot.max(head.at);
            peer.last = peer.last.max(head.at);
            peer.newest = peer.newest.max(head.at);
            peer.missing = Missing::Records;
        }
    }

    /// Notes that everything the server has of a peer was read; `false` if it has said more than that since.
    pub fn all_read(&mut self, node: &NodeName) -> bool {
        self.peers.get_mut(node).is_none_or(|peer| {
            peer.missing = Missing::Nothing;
            peer.last = peer.last.max(peer.floor);
            peer.last >= peer.newest
        })
    }

    /// Notes that nothing more of a peer can be read, whatever it said.
    pub fn given_up(&mut self, node: &NodeName) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.missing = Missing::Nothing;
            peer.last = peer.last.max(peer.newest).max(peer.floor);
        }
    }

    /// Notes that records of a peer have to be read from the server.
    pub fn want(&mut self, node: &NodeName, missing: Missing) {
        let peer = self.peers.get_mut(node).filter(|peer| peer.key != PeerKey::Revoked);
        if let Some(peer) = peer {
            peer.missing = peer.missing.max(missing);
        }
    }

    /// Notes that records of all peers have to be read from the server: it was away.
    pub fn want_all(&mut self, missing: Missing) {
        for peer in self.peers.values_mut().filter(|peer| peer.key != PeerKey::Revoked) {
            peer.missing = peer.missing.max(missing);
        }
    }

    /// Returns the peers of which something is missing, what, and their last records.
    #[must_use]
    pub fn missing(&self) -> Vec<(NodeName, Missing, Position)> {
        let missing = self.peers.iter().filter(|(_, peer)| peer.missing != Missing::Nothing);
        missing.map(|(name, peer)| (name.clone(), peer.missing, peer.last)).collect()
    }

    /// Whether a ban of a peer is in force here.
    #[must_use]
    pub fn holds_any(&self, node: &NodeName) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.bans.len() > 0)
    }

    /// Whether something of a peer has to be read from the server.
    #[must_use]
    pub fn is_behind(&self, node: &NodeName) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.missing != Missing::Nothing)
    }

    /// Returns the last record of a peer that was read.
    #[must_use]
    pub fn last(&self, node: &NodeName) -> Option<Position> {
        self.peers.get(node).map(|peer| peer.last)
    }

    /// Counts what a peer's snapshot must not hold.
    pub fn refuse_of(&mut self, node: &NodeName, refusal: Refusal) {
        let _ = self.count(node, Err(refusal));
    }

    /// Does what a signed record says, within the limits.
    fn apply(
        &mut self,
        node: &NodeName,
        operation: &Operation,
        left: Option<u64>,
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<(), Refusal> {
        match operation {
            Operation::Heartbeat { .. } => Ok(()),
            Operation::Ban(ban) => self.ban(node, ban, left, now, told),
            Operation::Lift(host) => self.lift(node, *host, told),
            Operation::Unban(order) => self.unban(node, order, 0, now, told),
        }
    }

    fn ban(
        &mut self,
        node: &NodeName,
        ban: &SignedBan,
        left: Option<u64>,
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<(), Refusal> {
        let host = ban.host.subject().ok_or(Refusal::NotAHost)?;
        if !ban.has_names() {
            return Err(Refusal::NoNames);
        }
        if !self.accept.contains(&ban.evidence) {
            return Err(Refusal::Evidence);
        }
        let until = self.end_of(ban, left, now.server).ok_or(Refusal::Over)?;
        if self.orders.covers(host, ban.issued) {
            return Err(Refusal::Over);
        }
        let peer = self.peers.get_mut(node).ok_or(Refusal::Stranger)?;
        self.held = self.held.saturating_sub(peer.bans.end(now.server));
        if peer.bans.get(&host).is_none() {
            if peer.bans.len() >= self.max_bans || self.held >= MOST_HELD {
                return Err(Refusal::TooMany);
            }
            self.held += 1;
        }
        peer.bans.insert(host, Held::new(ban, until, now.server));
        self.tell(node, host, ban.evidence, now.server, told);
        Ok(())
    }

    /// Returns when a ban ends here: the earliest of what the server, the peer and this node say.
    fn end_of(&self, ban: &SignedBan, left: Option<u64>, now: i64) -> Option<i64> {
        let duration = i64::try_from(ban.duration).unwrap_or(i64::MAX);
        let signed = ban.issued.saturating_add(duration).saturating_sub(now).min(duration);
        let left = left.map_or(i64::MAX, |left| i64::try_from(left).unwrap_or(i64::MAX));
        let remaining = signed.min(left).min(self.bantime_max);
        (remaining > 0).then(|| now.saturating_add(remaining))
    }

    /// Tells the guard of a ban; of an unverified one, when enough peers say the same.
    fn tell(
        &mut self,
        node: &NodeName,
        host: Subject,
        evidence: Evidence,
        now: i64,
        told: &mut Vec<FromFleet>,
    ) {
        if evidence == Evidence::Proven || self.unverified_needs <= 1 {
            let peer = self.peers.get_mut(node);
            let held = peer.and_then(|peer| peer.bans.tell(&host));
            told.extend(held.map(|held| FromFleet::Ban(held.for_guard(node, host, now))));
            return;
        }
        let says = |peer: &&mut Peer| peer.bans.get(&host).is_some_and(|held| held.until > now);
        if self.peers.values_mut().filter(says).count() < self.unverified_needs {
            return;
        }
        for (name, peer) in &mut self.peers {
            let held = peer.bans.tell(&host).filter(|held| held.until > now);
            told.extend(held.map(|held| FromFleet::Ban(held.for_guard(name, host, now))));
        }
    }

    fn lift(
        &mut self,
        node: &NodeName,
        host: Host,
        told: &mut Vec<FromFleet>,
    ) -> Result<(), Refusal> {
        let host = host.subject().ok_or(Refusal::NotAHost)?;
        let peer = self.peers.get_mut(node).ok_or(Refusal::Stranger)?;
        // A ban that is not there was refused, or has ended.
        if let Some(held) = peer.bans.remove(&host) {
            self.held = self.held.saturating_sub(1);
            let issuer = node.clone();
            told.extend(held.told.then_some(FromFleet::Lift { issuer, host }));
        }
        Ok(())
    }

    /// Takes an order of the operator that this node gives itself, or a peer passes on. It lifts what began until `later`
    /// after its time, in milliseconds: of one that is heard as it is given, that is how much clocks may differ; of one
    /// that is read later, nothing. Taken again, it does nothing.
    ///
    /// # Errors
    /// When it is not the operator's, or old, or there are too many.
    pub fn unban(
        &mut self,
        by: &NodeName,
        order: &Order,
        later: i64,
        now: Moment,
        told: &mut Vec<FromFleet>,
    ) -> Result<(), Refusal> {
        let host = order.host.subject().ok_or(Refusal::NotAHost)?;
        let operator = self.operator.ok_or(Refusal::NoOrder)?;
        if !is_due(order, now) || !order.is_of(&operator) {
            return Err(Refusal::NoOrder);
        }
        if self.orders.has(order) {
            return Ok(());
        }
        let until = order.issued.saturating_add(later);
        let (unsaid, begun) = (*by == self.node, until.min(now.wall));
        let kept = Kept { order: order.clone(), by: by.clone(), begun, unsaid, obeyed: false };
        let line = kept.line();
        self.orders.keep(kept, now)?;
        told.extend(line);
        for (name, peer) in &mut self.peers {
            if peer.bans.get(&host).is_none_or(|held| held.since > until) {
                continue;
            }
            let removed = peer.bans.remove(&host);
            self.held = self.held.saturating_sub(1);
            // The guard may have taken it only now, later than the order was given.
            let issuer = name.clone();
            told.extend(removed.filter(|held| held.told).map(|_| FromFleet::Lift { issuer, host }));
        }
        Ok(())
    }

    /// Takes up the orders of before a restart, as far as they count.
    pub fn restore(&mut self, orders: Vec<Kept>, now: Moment) {
        let Some(operator) = self.operator else { return };
        for kept in orders.into_iter().filter(|kept| kept.order.is_of(&operator)) {
            if is_due(&kept.order, now) && !self.orders.has(&kept.order) {
                let _ = self.orders.keep(kept, now);
            }
        }
    }

    /// Counts a refusal: of a peer by its name, of all others together.
    fn count(&mut self, node: &NodeName, taken: Result<(), Refusal>) -> Result<(), Refusal> {
        match (self.peers.get_mut(node), taken) {
            (Some(peer), Ok(())) => peer.accepted = peer.accepted.saturating_add(1),
            (Some(peer), Err(refusal)) => {
                let number = peer.refused.entry(refusal.reason()).or_default();
                *number = number.saturating_add(1);
            }
            (None, Err(refusal)) => self.refuse(refusal),
            (None, Ok(())) => {}
        }
        taken
    }

    /// Counts what is nobody's record.
    pub fn refuse(&mut self, refusal: Refusal) {
        let number = self.refused.entry(refusal.reason()).or_default();
        *number = number.saturating_add(1);
    }

    /// Returns the refusals of what is nobody's record, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        owned(&self.refused)
    }

    /// Forgets bans that have ended, and returns the state of the peers.
    pub fn status(&mut self, now: i64) -> BTreeMap<NodeName, PeerStatus> {
        for peer in self.peers.values_mut() {
            self.held = self.held.saturating_sub(peer.bans.end(now));
        }
        let status = |(name, peer): (&NodeName, &Peer)| {
            let status = PeerStatus {
                last: peer.heard.map(|heard| heard / 1000),
                bans: peer.bans.len() as u64,
                accepted: peer.accepted,
                refused: owned(&peer.refused),
                clock: peer.clock,
            };
            (name.clone(), status)
        };
        self.peers.iter().map(status).collect()
    }

    /// Returns the names of the peers that are not revoked.
    #[must_use]
    pub fn trusted(&self) -> Vec<NodeName> {
        let trusted = self.peers.iter().filter(|(_, peer)| peer.key != PeerKey::Revoked);
        trusted.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the bans of a peer that the guard was told.
    #[must_use]
    pub fn told(&self, node: &NodeName, now: i64) -> Vec<FromFleet> {
        let bans = self.peers.get(node).into_iter().flat_map(|peer| peer.bans.iter());
        let told = bans.filter(|(_, held)| held.told && held.until > now);
        told.map(|(host, held)| FromFleet::Ban(held.for_guard(node, *host, now))).collect()
    }

    /// Returns how far each peer was read.
    #[must_use]
    pub fn read(&self) -> Read {
        let read = |peer: &Peer| (peer.last.max(peer.floor), peer.snapshot);
        self.peers.iter().map(|(name, peer)| (name.clone(), read(peer))).collect()
    }
}

/// What became of a record that is no mistake.
enum Taken {
    /// It was done.
    Now,
    /// It is read from the stream, after what is missing before it.
    Later,
}

/// What a record of a stream is.
enum Streamed {
    /// It was read before.
    Known,
    /// Something is missing before it.
    Gap,
    /// It says this.
    New(Operation),
}

fn owned(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(reason, number)| ((*reason).to_owned(), *number)).collect()
}

#[cfg(test)]
mod tests;
