//! `banned`: the bans in force, or those that jails in observe mode would have made.

use super::ban_snapshot::{self, Selection};
use super::status::named_ban;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::control::{Problem, SubjectText};
use crate::daemon::Daemon;
use crate::decide::ban_table::end;
use crate::decide::engine::Engine;
use crate::model::subject::Subject;
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
        let mut bans = daemon.engine.ask(move |core| observed(&core.engine, &selection)).await?;
        let places = daemon.places.get();
        for (ban, host) in bans.iter_mut().filter_map(|NamedBan { ban, .. }| {
            let host = ban.host.parse::<Subject>().ok()?;
            Some((ban, host.address()))
        }) {
            ban.place = places.place(host);
        }
        return Ok(bans);
    }
    let snapshot = ban_snapshot::take(daemon, selection).await?;
    daemon.apart(move |kernel| snapshot.named(kernel, MOST_COUNTED)).await
}

/// Returns the bans that would be in force, longest first.
fn observed(engine: &Engine, selection: &Selection) -> Vec<NamedBan> {
    let (plan, now) = (engine.plan(), now());
    let mut bans: Vec<_> =
        engine.observed().iter().filter(|ban| selection.has(plan, ban)).collect();
    bans.sort_by_key(|ban| (std::cmp::Reverse(end(ban)), ban.subject, ban.jail));
    bans.into_iter().map(|ban| named_ban(plan, ban, now)).collect()
}
