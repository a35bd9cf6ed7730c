//! Takes what the fleet's peers say, a little at a time, and tells them what this guard decided.

use std::sync::Arc;

use tracing::debug;

use super::Core;
use crate::daemon::fleet_link::{FleetLink, PAGE};
use crate::decide::engine::Engine;
use crate::fleet::protocol::FromFleet;
use crate::model::event::{Decision, Lifted};
use crate::model::guard_event::GuardEvent;
use crate::model::node::NodeName;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::sys::clock::now;

/// What peers say that is taken before the guard looks again for something of its own.
const AT_ONCE: usize = 256;

impl Core {
    /// Takes some of what peers said, and says the next of all own bans, if they are to be said. Whether there is more.
    pub(super) fn serve_fleet(&mut self) -> bool {
        let Some(link) = self.fleet.clone() else { return false };
        if let Some(after) = link.wants_page() {
            let bans: Vec<_> = self.engine.bans().page(after.as_ref(), PAGE).copied().collect();
            let last = bans.last().copied().filter(|_| bans.len() == PAGE);
            link.page(bans.iter().filter_map(|ban| self.engine.own_ban(ban)).collect(), last);
        }
        let (said, more) = link.take(AT_ONCE);
        if said.is_empty() {
            return false;
        }
        for said in said {
            self.take_from_fleet(said);
        }
        self.carry_out();
        more
    }

    fn take_from_fleet(&mut self, said: FromFleet) {
        let now = now();
        match said {
            FromFleet::Ban(ban) => {
                if let Err(why) = self.engine.take_peer_ban(&ban, now, &mut self.decisions) {
                    debug!("[fleet] {} of {} is not banned: {why}", ban.host, ban.issuer);
                }
            }
            FromFleet::Lift { issuer, host } => {
                self.engine.take_peer_lift(&issuer, host, &mut self.decisions);
            }
            FromFleet::Unban { host, by, issued, begun } => {
                self.unban_for_operator(host, &by, issued, begun);
            }
            FromFleet::Status(_) | FromFleet::Order(_) | FromFleet::Unchanged => {}
        }
    }

    /// Lifts all bans of one host that had begun by then for the fleet's operator, if there is one.
    fn unban_for_operator(&mut self, host: Subject, by: &NodeName, issued: i64, begun: Time) {
        let has_operator = self.engine.plan().peers.as_ref().is_some_and(|terms| terms.operator);
        if !has_operator || !Engine::is_single(host) {
            return;
        }
        let count = self.engine.unban_begun(host, begun, &mut self.decisions);
        self.carry_out();
        if let Some(link) = &self.fleet {
            link.obeyed(host, issued);
        }
        if count > 0 {
            let text = format!("the bans of {host} were lifted by the fleet's operator, at {by}");
            let by = format!("the fleet's operator, at {by}");
            self.events.tell(GuardEvent::order(now(), text, by).about(host));
        }
    }
}

/// Tells peers what was decided, as far as it is for them.
pub(super) fn publish(link: &Arc<FleetLink>, decisions: &[Decision], engine: &Engine) {
    if !link.is_wanted() {
        return;
    }
    for decision in decisions {
        match decision {
            Decision::Ban(ban) | Decision::Renewed(ban) => {
                if let Some(own) = engine.own_ban(ban) {
                    link.ban(own);
                }
            }
            Decision::Unban { jail, subject, why: Lifted::ByHand | Lifted::Ignored } => {
                if let Some(jail) = engine.own_jail(*jail).filter(|_| Engine::is_single(*subject)) {
                    link.lift(*subject, jail);
                }
            }
            _ => {}
        }
    }
}
