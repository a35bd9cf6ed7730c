//! Judges bans by what comes through all the same, and widens those that may be.

use std::collections::BTreeSet;

use super::Engine;
use crate::decide::ban_table::end;
use crate::decide::effects::GRACE;
use crate::decide::plan::Plan;
use crate::model::event::{Ban, Decision, Evidence, Passed, Remedy, ScopeId, WithoutEffect};
use crate::model::scope::Ports;
use crate::model::subject::Subject;
use crate::model::time::Time;

impl Engine {
    /// Takes up what the kernel has counted of banned hosts' packets that come through all the same. A ban that
    /// was older than [`GRACE`] when such packets came to a port that it should close, at two looks, is without
    /// effect: it is reported once, and a proven one is widened to all ports.
    pub fn on_passed(&mut self, counted: &[Passed], now: Time, out: &mut Vec<Decision>) {
        let Some((before, grown)) = self.effects.look(counted, now) else { return };
        let plan = std::sync::Arc::clone(&self.plan);
        for passed in grown {
            for ban in self.should_hold(&plan, &passed, before) {
                let key = (ban.subject, ban.scope);
                if self.effects.record(key, passed.port, passed.packets, now) {
                    self.remedy(&plan, &ban, now, out);
                }
            }
        }
    }

    /// Returns the bans that are without effect.
    pub fn without_effect(&self) -> impl Iterator<Item = WithoutEffect> {
        self.effects.iter().filter_map(|((subject, scope), known)| {
            let ban = *self.strongest(subject, scope)?;
            let (since, last) = (known.since, known.last);
            let (port, packets, outcome) = (known.port, known.packets, known.outcome?);
            Some(WithoutEffect { ban, port, packets, since, last, outcome })
        })
    }

    /// Forgets the bans without effect that are over.
    pub(super) fn sweep_effects(&mut self) {
        let bans = &self.bans;
        self.effects.retain(|(subject, scope)| bans.of(subject).any(|ban| ban.scope == scope));
    }

    /// Returns the bans that should have held such a packet that came after `then`, one of each scope.
    fn should_hold(&self, plan: &Plan, passed: &Passed, then: Time) -> Vec<Ban> {
        let lengths = plan.structure.scopes.iter().map(|scope| scope.ipv6prefix);
        // Those of one address, too; of IPv4 there is nothing else.
        let subjects: BTreeSet<_> =
            lengths.chain([128]).map(|length| Subject::of(passed.host, length)).collect();
        let mut held = Vec::new();
        for subject in subjects {
            let scopes: BTreeSet<_> = self.bans.of(subject).map(|ban| ban.scope).collect();
            let ports = |scope: ScopeId| plan.structure.scope(scope).map(|scope| &scope.ports);
            let all = scopes.iter().find(|scope| ports(**scope) == Some(&Ports::All));
            // A ban of all ports stands for those of some.
            let judged = all.map_or_else(|| scopes.clone(), |all| [*all].into());
            held.extend(
                judged
                    .into_iter()
                    .filter(|scope| should_close(plan, *scope, passed.port))
                    .filter_map(|scope| self.strongest(subject, scope))
                    .filter(|ban| ban.since.plus(GRACE) <= then)
                    .filter(|ban| ban.until.is_none_or(|until| until > then)),
            );
        }
        held
    }

    /// Returns the ban in this scope that decides what is done: the best proven one, which lasts longest.
    fn strongest(&self, subject: Subject, scope: ScopeId) -> Option<&Ban> {
        let bans = self.bans.of(subject).filter(|ban| ban.scope == scope);
        bans.max_by_key(|ban| (ban.evidence, !is_by_hand(ban), end(ban)))
    }

    fn remedy(&mut self, plan: &Plan, ban: &Ban, now: Time, out: &mut Vec<Decision>) {
        let wide = wide_scope(plan, ban);
        let outcome = match wide {
            _ if ban.jail == plan.fleet() => Remedy::Unchanged,
            _ if is_by_hand(ban) => Remedy::ByHand,
            None => Remedy::Unchanged,
            Some(_) if ban.evidence < Evidence::Proven => Remedy::Unverified,
            Some(_) => Remedy::Widened,
        };
        let Some(known) = self.effects.settle((ban.subject, ban.scope), outcome) else { return };
        out.push(Decision::WithoutEffect(WithoutEffect {
            ban: *ban,
            port: known.port,
            packets: known.packets,
            since: known.since,
            last: known.last,
            outcome,
        }));
        if let Some(scope) = wide.filter(|_| outcome == Remedy::Widened) {
            self.enter(Ban { scope, since: now, ..*ban }, out);
        }
    }
}

/// Whether an administrator chose what this ban closes, or nobody knows who did.
fn is_by_hand(ban: &Ban) -> bool {
    ban.offences == 0
}

/// Whether a ban in this scope should have closed this port: it is one of its own, or one at which Asterisk may
/// speak SIP as it does at those.
fn should_close(plan: &Plan, scope: ScopeId, port: u16) -> bool {
    let Some(scope) = plan.structure.scope(scope) else { return false };
    let asterisk = &plan.config.asterisk;
    let is_sip = || scope.name == "sip" || asterisk.sip.iter().any(|own| scope.ports.contain(*own));
    scope.ports.contain(port) || (asterisk.heard.contains(&port) && is_sip())
}

/// Returns the scope of all ports that can hold a ban's subject, closed like the ban's own scope if possible;
/// `None`: there is none, or it is closed already.
fn wide_scope(plan: &Plan, ban: &Ban) -> Option<ScopeId> {
    let own = plan.structure.scope(ban.scope)?;
    if own.ports == Ports::All {
        return None;
    }
    let numbered = (0..).map(ScopeId).zip(&plan.structure.scopes);
    numbered
        .filter(|(_, scope)| scope.ports == Ports::All && scope.ipv6prefix == own.ipv6prefix)
        .max_by_key(|(id, scope)| (scope.blocktype == own.blocktype, std::cmp::Reverse(*id)))
        .map(|(id, _)| id)
}
