//! `unban`: lifts bans.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{allow, jail_named, note};
use crate::control::unban::UnbanRequest;
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::guard_event::GuardEvent;
use crate::model::orders::Caller;
use crate::model::subject::Subject;
use crate::model::words::counted;
use crate::sys::clock::now;

pub(super) async fn answer(
    daemon: &Daemon,
    request: UnbanRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    daemon.engine.order(move |core| unban(core, &request, &caller)).await?
}

fn unban(core: &mut Core, request: &UnbanRequest, caller: &Caller) -> Result<Done, Problem> {
    let allowed = request.net.zip(request.allow_seconds);
    let allowed = allowed.map(|(SubjectText(whom), seconds)| Ok((allow::network(whom)?, seconds)));
    let allowed = allowed.transpose().map_err(|why: String| Problem::refused(why))?;
    let jail = jail_named(core.engine.plan(), request.jail.as_deref())?;
    let every: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    let whom = request
        .net
        .map_or_else(|| every.map(Subject::from).to_vec(), |SubjectText(subject)| vec![subject]);
    let lift = |whom| core.engine.unban(whom, jail, &mut core.decisions);
    let count: usize = whom.into_iter().map(lift).sum();
    core.carry_out();
    let lifted = lifted(request.net.map(|SubjectText(whom)| whom), request.jail.as_deref(), count);
    let told = GuardEvent::ordered(now(), &lifted, caller);
    core.events.tell(match request.net {
        Some(SubjectText(whom)) => told.about(whom),
        None => told,
    });
    let Some((net, seconds)) = allowed else { return Ok(Done::changing(count > 0, lifted)) };
    let Done { message, .. } =
        allow::let_through(core, net, Some(seconds), note(caller, Some("unban"))?)?;
    Ok(Done::changing(true, format!("{lifted}; {message}")))
}

/// Returns what has become of the bans of a host or network, or of all; of one jail, or of all.
#[must_use]
pub fn lifted(whom: Option<Subject>, jail: Option<&str>, count: usize) -> String {
    let by = jail.map_or(String::new(), |jail| format!(" by {jail}"));
    match whom.filter(|_| count == 0) {
        Some(whom) => format!("{whom} is not banned{by}: nothing lifted"),
        None => format!("{} lifted", counted(count, "ban")),
    }
}
