//! `banned`: the bans in force, or those that jails in observe mode would have made.

use std::sync::Arc;

use super::ban_snapshot::{self, Selection};
use super::status::placed_ban;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::control::{Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::ban_table::end;
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::model::event::Ban;
use crate::sys::clock::now;

/// Bans that are listed with what was dropped of them. The kernel goes through a set from its beginning
/// for each part of a list: twice as many bans take four times as long. 100 000 take it 0.7 s, and these
/// five, which a caller that asks for nothing but bans may wait for.
const MOST_COUNTED: usize = 1 << 18;

pub(super) async fn answer(
    daemon: &Daemon,
    request: BannedRequest,
) -> Result<Vec<NamedBan>, Problem> {
    let selection = match request.host {
        Some(SubjectText(whom)) => Selection::Whom(whom),
        None => Selection::All,
    };
    if request.observe {
        let observed = move |core: &mut Core| observed(&core.engine, &selection);
        let (plan, bans) = daemon.engine.ask(observed).await?;
        let (places, now) = (daemon.places.get(), now());
        return Ok(bans.iter().map(|ban| placed_ban(&plan, ban, now, &places)).collect());
    }
    let snapshot = ban_snapshot::take(daemon, selection).await?;
    daemon.apart(move |kernel| snapshot.named(kernel, MOST_COUNTED)).await
}

/// Returns the bans that would be in force, longest first, and the plan that they are of.
fn observed(engine: &Engine, selection: &Selection) -> (Arc<Plan>, Vec<Ban>) {
    let plan = engine.plan();
    let bans = engine.observed().iter().filter(|ban| selection.has(plan, ban));
    let mut bans: Vec<_> = bans.copied().collect();
    bans.sort_by_key(|ban| (std::cmp::Reverse(end(ban)), ban.subject, ban.jail));
    (Arc::clone(plan), bans)
}
