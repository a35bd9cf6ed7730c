//! `allow`: lets hosts and networks through while the guard runs, or no longer.

use std::time::Duration;

use ipnet::IpNet;

use super::note;
use crate::control::allow::{AllowRequest, AllowedReport};
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::guard_event::GuardEvent;
use crate::model::listed::too_wide;
use crate::model::orders::{AllowedNetwork, Caller, Note, Orders, end};
use crate::model::subject::{Subject, canonical_net, written};
use crate::model::time::Time;
use crate::model::words::counted;
use crate::sys::clock::now;

pub(super) async fn answer(
    daemon: &Daemon,
    request: AllowRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    let AllowRequest { host: SubjectText(whom), seconds, comment, remove } = request;
    let note = note(&caller, comment.as_deref())?;
    let net = network(whom).map_err(Problem::refused)?;
    if remove {
        return daemon.engine.order(move |core| no_longer(core, net, &note)).await;
    }
    daemon.engine.order(move |core| let_through(core, net, seconds, note)).await?
}

/// Returns the networks that are let through by order.
pub(super) async fn list(daemon: &Daemon) -> Result<Vec<AllowedReport>, Problem> {
    daemon.engine.ask(|core| reports(&core.orders)).await
}

/// Returns the networks that are let through by order.
#[must_use]
pub fn reports(orders: &Orders) -> Vec<AllowedReport> {
    let report = |known: &AllowedNetwork| AllowedReport {
        net: known.net,
        since: known.since.secs(),
        until: known.until.map(Time::secs),
        by: known.note.by.clone(),
        comment: known.note.comment.clone(),
    };
    let mut all: Vec<_> = orders.allowed.iter().map(report).collect();
    all.sort_by_key(|known| known.net);
    all
}

/// Returns the network of what is to be let through.
///
/// # Errors
/// When that cannot be let through: the reason.
pub fn network(whom: Subject) -> Result<IpNet, String> {
    let net = canonical_net(whom.net());
    match too_wide(&net) {
        _ if whom.is_flow() => Err(format!("{whom} is one port of a host: write its address")),
        true => {
            Err(format!("{whom} is wider than /8 (IPv6: /16): nearly nobody would be kept out"))
        }
        false => Ok(net),
    }
}

/// Lets a network through from now on.
pub(super) fn let_through(
    core: &mut Core,
    net: IpNet,
    seconds: Option<u64>,
    note: Note,
) -> Result<Done, Problem> {
    let now = now();
    let until = end(seconds.map(Duration::from_secs), now);
    let words = allowed(net, until);
    core.events.tell(GuardEvent::ordered(now, &words, &note.by).about(written(&net)));
    let new = AllowedNetwork { net, since: now, until, note };
    let before = core.orders.allow(new).map_err(Problem::refused)?;
    let bans = core.engine.bans().within(&net).count();
    core.protect();
    core.recorder.orders(&core.orders, now);
    let left = core.engine.bans().within(&net).count();
    let lifted = match bans - left.min(bans) {
        0 => String::new(),
        lifted => format!("; {} lifted", counted(lifted, "ban")),
    };
    let stays = match left {
        0 => String::new(),
        left => format!("; {} by hand will hold again afterwards", counted(left, "ban")),
    };
    let before = before.map_or(String::new(), |before| {
        format!(
            " (before: {})",
            before.until.map_or("without an end".to_owned(), |end| format!("until {end}"))
        )
    });
    Ok(Done::changing(true, format!("{words}{before}{lifted}{stays}")))
}

/// Returns that a network is let through.
#[must_use]
pub fn allowed(net: IpNet, until: Option<Time>) -> String {
    let until =
        until.map_or("until `asterguard allow --remove`".to_owned(), |end| format!("until {end}"));
    format!("{} is let through {until}", written(&net))
}

/// Lets a network through no longer.
fn no_longer(core: &mut Core, net: IpNet, note: &Note) -> Done {
    let Some(_) = core.orders.disallow(&net) else {
        return Done::changing(false, not_allowed(net));
    };
    core.protect();
    core.recorder.orders(&core.orders, now());
    let words = format!("{} is no longer let through by order", written(&net));
    let told = format!("{words}, by {}", note.by);
    core.events.tell(GuardEvent::order(now(), told, &note.by).about(written(&net)));
    Done::changing(true, words)
}

/// Returns that there is no order about a network.
#[must_use]
pub fn not_allowed(net: IpNet) -> String {
    format!("{} was not let through by order: nothing changed", written(&net))
}
