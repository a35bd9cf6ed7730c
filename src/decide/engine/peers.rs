//! Takes bans and lifts of the fleet's peers, as far as nobody innocent can be hit by them, and says which bans of its own
//! go out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, never};
use crate::decide::ban_table::CAPACITY;
use crate::decide::peer_bans::{IssuedBan, IssuedChange, PeerBans, Refusal, StoredIssued, Taken};
use crate::decide::plan::Plan;
use crate::decide::policy;
use crate::fleet::protocol::{OwnBan, PeerBan};
use crate::model::event::{Ban, Decision, Evidence, JailId, Lifted, ScopeId};
use crate::model::listed::unblockable;
use crate::model::node::NodeName;
use crate::model::subject::{Subject, bannable};
use crate::model::time::Time;
use crate::table::structure::SetKind;

/// The bits of an IPv6 network that is one host.
const IPV6_HOST: u8 = 64;

impl Engine {
    /// Takes a peer's ban, which ends by itself. Its jail closes here what the jail of the same name closes, or what bans
    /// close by default.
    ///
    /// # Errors
    /// With the reason why it is not taken, which is counted.
    pub fn take_peer_ban(
        &mut self,
        ban: &PeerBan,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Result<Taken, Refusal> {
        let plan = Arc::clone(&self.plan);
        let refused = self.peer_refusal(&plan, ban, now);
        let (longest, most) =
            plan.peers.as_ref().map_or((Duration::ZERO, 0), |terms| (terms.longest, terms.most));
        let length = Duration::from_millis(ban.remaining).min(longest);
        let refused = refused.or_else(|| length.is_zero().then_some(Refusal::Over));
        if let Some(why) = refused {
            return Err(self.peers.refuse(&ban.issuer, why));
        }
        let PeerBan { issuer, host, jail, rule, evidence, .. } = ban.clone();
        let until = now.plus(length);
        let issued = IssuedBan { host, issuer, jail, rule, evidence, since: now, until };
        let taken = self.peers.put(&issued, most)?;
        if taken == Taken::Entered {
            self.settle_peers(&plan, host, Lifted::Recalled, out);
        }
        Ok(taken)
    }

    /// Takes it that a peer lifts its own ban of a host. What others have banned stays. Whether there was such a ban.
    pub fn take_peer_lift(
        &mut self,
        issuer: &NodeName,
        host: Subject,
        out: &mut Vec<Decision>,
    ) -> bool {
        let plan = Arc::clone(&self.plan);
        let lifted = self.peers.lift(issuer, host);
        if lifted {
            self.settle_peers(&plan, host, Lifted::Recalled, out);
        }
        lifted
    }

    /// Lifts the bans of a host that had begun by then: for the fleet's operator, who may have said so a while ago. What
    /// peers have banned since is left, too. Returns how many were lifted.
    pub fn unban_begun(&mut self, host: Subject, by: Time, out: &mut Vec<Decision>) -> usize {
        let (plan, fleet) = (Arc::clone(&self.plan), self.plan.fleet());
        let peers: BTreeSet<Subject> = (self.bans.iter())
            .filter(|ban| ban.jail == fleet && host.means(&ban.subject))
            .map(|ban| ban.subject)
            .collect();
        let is_new = |part: &IssuedBan| part.since > by;
        let (some_new, all_old): (Vec<_>, Vec<_>) =
            peers.into_iter().partition(|subject| self.peers.of(*subject).iter().any(is_new));
        let before = some_new.iter().map(|subject| self.peers.of(*subject).len()).sum::<usize>();
        for subject in &some_new {
            self.peers.dismiss_begun(*subject, by);
            self.settle_peers(&plan, *subject, Lifted::ByHand, out);
        }
        let left = some_new.iter().map(|subject| self.peers.of(*subject).len()).sum::<usize>();
        let is_old = |ban: &Ban| {
            if ban.jail == fleet {
                return all_old.contains(&ban.subject);
            }
            ban.since <= by && host.means(&ban.subject)
        };
        before.saturating_sub(left) + self.lift(Lifted::ByHand, out, is_old)
    }

    /// Returns the bans of peers.
    #[must_use]
    pub fn peers(&self) -> &PeerBans {
        &self.peers
    }

    /// Returns what has changed in the bans of peers since the last call.
    pub fn take_peer_journal(&mut self) -> Vec<IssuedChange> {
        self.peers.take_journal()
    }

    /// Restores the stored bans of peers, after the bans themselves.
    pub fn restore_peers(&mut self, stored: &StoredIssued, now: Time, out: &mut Vec<Decision>) {
        self.peers.restore(stored, now);
        self.change_peers(out);
    }

    /// Ends the bans of those that are no peers by the plan, and brings those of the others in line with it.
    pub(super) fn change_peers(&mut self, out: &mut Vec<Decision>) {
        let plan = Arc::clone(&self.plan);
        let is_peer = |name: &NodeName| plan.peers.as_ref().is_some_and(|terms| terms.knows(name));
        let mut hosts = self.peers.retain(is_peer);
        hosts.extend(self.peers.hosts());
        for host in hosts {
            self.settle_peers(&plan, host, Lifted::Recalled, out);
        }
    }

    /// Returns what peers are told of a ban: nothing of theirs, of networks and ports, and of hosts that are others
    /// elsewhere.
    #[must_use]
    pub fn own_ban(&self, ban: &Ban) -> Option<OwnBan> {
        let jail = self.own_jail(ban.jail)?;
        let goes_out = ban.evidence > Evidence::Hearsay && is_one_host(ban.subject);
        goes_out.then(|| OwnBan {
            host: ban.subject,
            jail: jail.to_owned(),
            rule: ban.cause.and_then(|(rule, _)| self.plan.rule_name(rule)).unwrap_or_default(),
            evidence: ban.evidence,
            since: ban.since,
            until: ban.until,
        })
    }

    /// Returns the name of a jail whose bans are this guard's own.
    #[must_use]
    pub fn own_jail(&self, jail: JailId) -> Option<&str> {
        let jail = self.plan.jail(jail).filter(|_| jail != self.plan.fleet());
        jail.map(|jail| jail.name.as_str())
    }

    /// Whether this is one host and nothing else: an IPv4 address, or an IPv6 network of a host.
    #[must_use]
    pub fn is_single(host: Subject) -> bool {
        is_single(host)
    }

    /// Returns why a peer's ban is not taken, whatever else is in force.
    fn peer_refusal(&self, plan: &Plan, ban: &PeerBan, now: Time) -> Option<Refusal> {
        let Some(terms) = plan.peers.as_ref().filter(|terms| terms.knows(&ban.issuer)) else {
            return Some(Refusal::Stranger);
        };
        if ban.evidence == Evidence::Hearsay || !terms.accept.contains(&ban.evidence) {
            return Some(Refusal::Evidence);
        }
        let (host, net, address) = (ban.host, ban.host.net(), ban.host.address());
        let scope = peer_scope(plan, &ban.jail, ban.evidence);
        let kind = plan.structure.scope(scope).map(|scope| scope.kind_of(host));
        if !is_single(host) || kind != Some(SetKind::Hosts) {
            return Some(Refusal::NotAHost);
        }
        let is_own_network = !host.is_one_address() && self.ignored.on_link(&net);
        if !is_one_host(host) || unblockable(&net).is_some() || is_own_network {
            return Some(Refusal::NotBannable);
        }
        let jail = plan.jail(plan.fleet())?;
        if policy::ignored(jail, address) || never(&self.ignored, jail, address) {
            return Some(Refusal::Ignored);
        }
        let known_as = [host, self.known_as(address)];
        if known_as.iter().any(|known| self.known.standing(known, now).is_some()) {
            return Some(Refusal::KnownGood);
        }
        (self.bans.len() >= CAPACITY).then_some(Refusal::Full)
    }

    /// Has the table of bans, and so the kernel, hold for a host what its peers' bans come to.
    fn settle_peers(&mut self, plan: &Plan, host: Subject, why: Lifted, out: &mut Vec<Decision>) {
        let jail = plan.fleet();
        let mut wanted: BTreeMap<ScopeId, Ban> = BTreeMap::new();
        for part in self.peers.of(host) {
            let scope = peer_scope(plan, &part.jail, part.evidence);
            let IssuedBan { since, until, evidence, .. } = part;
            let ban = Ban {
                jail,
                subject: host,
                host: host.address(),
                scope,
                since,
                until: Some(until),
                offences: 0,
                evidence,
                cause: None,
            };
            // The longest comes first.
            let known = wanted.entry(scope).or_insert(ban);
            known.evidence = known.evidence.max(evidence);
        }
        let there: Vec<Ban> = self.bans.of(host).filter(|ban| ban.jail == jail).copied().collect();
        for ban in there.iter().filter(|ban| !wanted.contains_key(&ban.scope)) {
            out.push(Decision::Change(self.bans.remove(ban, why)));
        }
        if wanted.is_empty() && !there.is_empty() {
            out.push(Decision::Unban { jail, subject: host, why });
        }
        for (scope, ban) in wanted {
            let before = there.iter().find(|ban| ban.scope == scope);
            let ban = Ban { since: before.map_or(ban.since, |before| before.since), ..ban };
            if before == Some(&ban) {
                continue;
            }
            let Some(change) = self.bans.put(ban) else {
                self.refused += 1;
                continue;
            };
            out.push(Decision::Change(change));
            if before.is_none() {
                out.push(Decision::Ban(ban));
                if let Some(state) = self.states.get_mut(usize::from(jail.0)) {
                    state.tally.banned += 1;
                }
                self.totals.ban(&ban);
            }
        }
    }
}

/// Returns what a peer's ban closes here.
fn peer_scope(plan: &Plan, jail: &str, evidence: Evidence) -> ScopeId {
    let same = plan.jail_named(jail).and_then(|id| plan.jail(id));
    let of_fleet = || plan.jail(plan.fleet());
    same.or_else(of_fleet).map_or(ScopeId(0), |jail| plan.ban_terms(jail, evidence).0)
}

/// Whether this is one host and nothing else: an IPv4 address, or an IPv6 network of a host.
fn is_single(host: Subject) -> bool {
    let bits = host.net().prefix_len();
    !host.is_flow() && if host.is_ipv6() { bits >= IPV6_HOST } else { bits == 32 }
}

/// Whether this is one host, and the same one everywhere: an address that is not private.
fn is_one_host(host: Subject) -> bool {
    let address = host.address();
    is_single(host)
        && bannable(address)
        && match address {
            IpAddr::V4(v4) => {
                !v4.is_private()
                    && !is_shared(v4)
                    && !v4.is_broadcast()
                    && v4.octets().first() != Some(&0)
            }
            IpAddr::V6(v6) => !v6.is_unique_local(),
        }
}

/// Whether this is an address behind a provider's address translation (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}
