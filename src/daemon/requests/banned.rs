//! `banned`: the bans in force.

use super::ban_snapshot::{self, Selection};
use crate::control::Problem;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::daemon::Daemon;
use crate::model::subject::canonical;

/// Bans that are listed with what was dropped of them. The kernel goes through a set from its beginning
/// for each part of a list: twice as many bans take four times as long. 100 000 take it 0.7 s, and these
/// five, which a caller that asks for nothing but bans may wait for.
const MOST_COUNTED: usize = 1 << 18;

pub(super) async fn answer(
    daemon: &Daemon,
    request: BannedRequest,
) -> Result<Vec<NamedBan>, Problem> {
    let selection = request.host.map(canonical).map_or(Selection::All, Selection::Host);
    let snapshot = ban_snapshot::take(daemon, selection).await?;
    daemon.apart(move |kernel| snapshot.named(kernel, MOST_COUNTED)).await
}
