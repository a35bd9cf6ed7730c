//! `unban`: lifts bans.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::jail_named;
use crate::control::unban::UnbanRequest;
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::subject::Subject;
use crate::model::words::counted;

pub(super) async fn answer(daemon: &Daemon, request: UnbanRequest) -> Result<Done, Problem> {
    daemon.engine.order(move |core| unban(core, &request)).await?
}

fn unban(core: &mut Core, request: &UnbanRequest) -> Result<Done, Problem> {
    let jail = jail_named(core.engine.plan(), request.jail.as_deref())?;
    let every: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    let whom = request
        .net
        .map_or_else(|| every.map(Subject::from).to_vec(), |SubjectText(subject)| vec![subject]);
    let lift = |whom| core.engine.unban(whom, jail, &mut core.decisions);
    let count: usize = whom.into_iter().map(lift).sum();
    core.carry_out();
    Ok(Done::new(format!("{} lifted", counted(count, "ban"))))
}
