//! Orders of administrators: bans by hand, bans of another guard, and pauses of single jails.

use std::sync::Arc;

use super::{Engine, subject};
use crate::decide::ban_table::{MOST_NETWORKS, end};
use crate::decide::known_good::Standing;
use crate::decide::plan::Plan;
use crate::model::event::{Ban, Decision, Evidence, JailId, Lifted};
use crate::model::subject::Subject;
use crate::model::time::{BanDuration, Time};
use crate::table::structure::SetKind;

/// A ban by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManualBan {
    /// The host to ban (an IPv6 address stands for its network), one port of a host, or a network.
    pub whom: Subject,
    /// The jail that the ban belongs to; `None`: [`MANUAL`](crate::config::MANUAL).
    pub jail: Option<JailId>,
    /// The length of the ban; `None`: as long as the jail's.
    pub length: Option<BanDuration>,
    /// What happens to a ban in force.
    pub manner: Manner,
}

/// What an order to ban does with a ban of the same jail that is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// It gets the length that is ordered; without one, it stays as it is.
    #[default]
    Set,
    /// It stays as it is if it is as long as is ordered.
    Ensure,
    /// As [`Manner::Ensure`]. A new one makes no later one longer: it ends soon, or is confirmed.
    Try,
    /// It begins anew.
    Confirm,
}

/// What has become of an order to ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// This ban is in force, in place of the one before.
    Banned { ban: Ban, before: Option<Ban> },
    /// This ban was in force, and stays.
    Kept(Ban),
    /// This ban, of a network that shares addresses with the one that is meant, stands in the way.
    Overlaps(Ban),
    /// There are too many bans.
    Full,
}

impl Engine {
    /// Bans by hand. A jail's own length and ports apply where none are given.
    pub fn ban(&mut self, order: &ManualBan, now: Time, out: &mut Vec<Decision>) -> Ordered {
        let plan = Arc::clone(&self.plan);
        let id = order.jail.unwrap_or_else(|| plan.manual());
        let Some(jail) = plan.jail(id) else { return Ordered::Full };
        let (scope, bantime) = plan.ban_terms(jail, Evidence::Proven);
        let (whom, address) = (order.whom, order.whom.address());
        let host = || subject(&self.ignored, address, jail.ipv6prefix);
        let subject = if !whom.is_flow() && whom.is_one_address() { host() } else { whom };
        let before = self.in_force(subject, id, now).filter(|ban| ban.scope == scope);
        if let Some(known) = before.filter(|known| stays(known, order, now)) {
            return Ordered::Kept(known);
        }
        let length = order
            .length
            .unwrap_or_else(|| self.next_length(id, subject, Evidence::Proven, &bantime, now));
        let ban = Ban {
            jail: id,
            subject,
            host: address,
            scope,
            since: now,
            until: length.until(now),
            offences: 0,
            evidence: Evidence::Proven,
            cause: None,
        };
        if let Some(other) = self.make_way(&plan, &ban, out) {
            return other;
        }
        let entered = self.refused;
        match order.manner {
            Manner::Try => self.enter(ban, out),
            Manner::Set | Manner::Ensure | Manner::Confirm => self.issue_ban(ban, &bantime, out),
        }
        if self.refused > entered { Ordered::Full } else { Ordered::Banned { ban, before } }
    }

    /// Takes up a ban of another guard, or of an earlier time, unless a ban of the same lasts as long.
    pub fn import(&mut self, ban: Ban, now: Time, out: &mut Vec<Decision>) -> Ordered {
        let plan = Arc::clone(&self.plan);
        let before = self.in_force(ban.subject, ban.jail, now).filter(|b| b.scope == ban.scope);
        if let Some(known) = before.filter(|known| end(known) >= end(&ban)) {
            return Ordered::Kept(known);
        }
        if let Some(other) = self.make_way(&plan, &ban, out) {
            return other;
        }
        let Some(jail) = plan.jail(ban.jail) else { return Ordered::Full };
        let entered = self.refused;
        self.issue_ban(ban, &plan.ban_terms(jail, ban.evidence).1, out);
        if self.refused > entered { Ordered::Full } else { Ordered::Banned { ban, before } }
    }

    /// Returns the ban of a subject by a jail.
    fn in_force(&self, subject: Subject, jail: JailId, now: Time) -> Option<Ban> {
        let lasts = |ban: &&Ban| ban.until.is_none_or(|until| until > now);
        self.bans.of(subject).filter(lasts).find(|ban| ban.jail == jail).copied()
    }

    /// Takes out the banned networks that a new one holds. Returns what becomes of the order where one that stays is in
    /// the way: a set of intervals has no two that overlap.
    fn make_way(&mut self, plan: &Plan, new: &Ban, out: &mut Vec<Decision>) -> Option<Ordered> {
        let scope = plan.structure.scope(new.scope)?;
        let is_network = |subject: Subject| scope.kind_of(subject) == SetKind::Networks;
        if !is_network(new.subject) {
            return None;
        }
        let others = self.bans.iter();
        let others: Vec<Ban> = others
            .filter(|ban| ban.scope == new.scope && is_network(ban.subject))
            .filter(|ban| ban.subject != new.subject)
            .copied()
            .collect();
        let within = |ban: &&Ban| new.subject.holds(&ban.subject);
        let wider = others.iter().find(|ban| ban.subject.holds(&new.subject));
        if let Some(wider) = wider {
            let lasts = end(wider) >= end(new);
            return Some(if lasts { Ordered::Kept(*wider) } else { Ordered::Overlaps(*wider) });
        }
        if let Some(longer) = others.iter().filter(within).find(|ban| end(ban) > end(new)) {
            return Some(Ordered::Overlaps(*longer));
        }
        if others.len() >= MOST_NETWORKS {
            return Some(Ordered::Full);
        }
        for ban in others.iter().filter(within) {
            out.push(Decision::Change(self.bans.remove(ban, Lifted::Replaced)));
        }
        None
    }

    /// Sets whether the bans of a jail are not in force for a while. It goes on counting and banning. Returns how many bans
    /// it has.
    pub fn pause_jail(&mut self, jail: JailId, paused: bool, out: &mut Vec<Decision>) -> usize {
        out.extend(self.bans.pause(jail, paused).into_iter().map(Decision::Change));
        self.bans.count(jail)
    }

    /// Returns the hosts that are known good, and that a ban of `whom` closes something to.
    #[must_use]
    pub fn known_within(&self, whom: Subject, now: Time) -> Vec<(Subject, Standing)> {
        let whom = if whom.is_flow() || !whom.is_one_address() {
            whom
        } else {
            self.known_as(whom.address())
        };
        self.known.standings(now).filter(|(known, _)| known.overlaps(&whom)).collect()
    }
}

/// Whether a ban in force stays as it is.
fn stays(known: &Ban, order: &ManualBan, now: Time) -> bool {
    let is_as_long = |length: BanDuration| match (length, known.until) {
        (_, None) => true,
        (BanDuration::Permanent, Some(_)) => false,
        (BanDuration::For(length), Some(until)) => {
            until.since(known.since) >= length || until.since(now) >= length
        }
    };
    match order.manner {
        Manner::Set => order.length.is_none(),
        Manner::Ensure | Manner::Try => order.length.is_none_or(is_as_long),
        Manner::Confirm => false,
    }
}
