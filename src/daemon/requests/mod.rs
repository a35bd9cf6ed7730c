//! Answering the control socket: one file for each request.

pub(crate) mod accounts;
pub(crate) mod allow;
mod ban;
mod ban_snapshot;
mod banned;
mod dispatch;
pub(crate) mod explain;
mod failregex;
mod fleet;
pub(crate) mod health;
mod ignoreip;
mod import;
mod list;
pub(super) mod metrics;
mod pause;
pub(super) mod server;
mod settings;
pub(crate) mod status;
pub(crate) mod top;
pub(crate) mod unban;
mod verify;
pub(crate) mod without_effect;

use crate::control::Problem;
use crate::decide::plan::Plan;
use crate::model::event::JailId;
use crate::model::orders::{self, Caller, Note};
use crate::model::subject::Subject;

/// Returns the jail of this name; `None` for no name.
pub(crate) fn jail_named(plan: &Plan, name: Option<&str>) -> Result<Option<JailId>, Problem> {
    let Some(name) = name else { return Ok(None) };
    plan.jail_named(name).map(Some).ok_or_else(|| {
        let known: Vec<_> = plan.jails().map(|(_, jail)| jail.name.as_str()).collect();
        Problem::refused(format!("there is no jail `{name}`; there are {}", known.join(", ")))
    })
}

/// Returns who gave an order, and why.
pub(crate) fn note(caller: &Caller, comment: Option<&str>) -> Result<Note, Problem> {
    let comment = comment.map(orders::comment).transpose().map_err(Problem::refused)?;
    Ok(Note { by: caller.to_string(), comment: comment.flatten() })
}

/// Returns a host or one port of a host, of which there has to be one address.
fn one_host(whom: Subject) -> Result<Subject, Problem> {
    let refused = || Problem::refused(format!("{whom} is a network: write one address"));
    whom.is_one_address().then_some(whom).ok_or_else(refused)
}

/// Returns the problem that the thread that writes to the kernel hangs.
fn kernel_is_silent() -> Problem {
    Problem::failed("nftables does not answer; see `asterguard status`")
}
