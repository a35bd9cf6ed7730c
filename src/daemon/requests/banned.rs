//! `banned`: the bans in force.

use super::ban_snapshot::{self, Selection};
use super::one_host;
use crate::control::banned::{BannedRequest, NamedBan};
use crate::control::{Problem, SubjectText};
use crate::daemon::Daemon;

/// Bans that are listed with what was dropped of them. The kernel goes through a set from its beginning
/// for each part of a list: twice as many bans take four times as long. 100 000 take it 0.7 s, and these
/// five, which a caller that asks for nothing but bans may wait for.
const MOST_COUNTED: usize = 1 << 18;

pub(super) async fn answer(
    daemon: &Daemon,
    request: BannedRequest,
) -> Result<Vec<NamedBan>, Problem> {
    let selection = match request.host {
        Some(SubjectText(whom)) => Selection::Whom(one_host(whom)?),
        None => Selection::All,
    };
    let snapshot = ban_snapshot::take(daemon, selection).await?;
    daemon.apart(move |kernel| snapshot.named(kernel, MOST_COUNTED)).await
}
