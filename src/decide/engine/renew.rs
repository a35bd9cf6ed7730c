//! Renews the bans of hosts that are still sending packets.

use std::sync::Arc;

use super::Engine;
use crate::decide::ban_activity::ElementKey;
use crate::model::event::{Ban, Decision, Evidence};
use crate::model::time::Time;

impl Engine {
    /// Renews the bans of the hosts that are still `sending`, for as long as they were, in jails
    /// that want it: proven ones, of which less than half is left. (Forged packets must not be able
    /// to keep a host out for ever.)
    pub fn renew(&mut self, sending: &[ElementKey], now: Time, out: &mut Vec<Decision>) {
        let plan = Arc::clone(&self.plan);
        for (scope, subject) in sending {
            let due: Vec<Ban> = self
                .bans
                .of(*subject)
                .filter(|ban| ban.scope == *scope && ban.evidence == Evidence::Proven)
                .filter(|ban| plan.jail(ban.jail).is_some_and(|jail| jail.renew))
                .filter_map(|ban| renewed(ban, now))
                .collect();
            for ban in due {
                if let Some(state) = self.states.get_mut(usize::from(ban.jail.0)) {
                    state.prolong(&ban);
                }
                let change = self.bans.put(ban);
                out.push(Decision::Renewed(ban));
                out.extend(change.map(Decision::Change));
            }
        }
    }
}

/// The ban, begun again; `None` if at least half of it is left.
fn renewed(ban: &Ban, now: Time) -> Option<Ban> {
    let until = ban.until.filter(|until| *until > now)?;
    let length = until.since(ban.since);
    (until.since(now) < length / 2).then(|| Ban {
        since: now,
        until: Some(now.plus(length)),
        ..*ban
    })
}
