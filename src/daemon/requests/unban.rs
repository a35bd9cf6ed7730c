//! `unban`: lifts bans.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::jail_named;
use crate::control::unban::UnbanRequest;
use crate::control::{Done, Problem};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::words::counted;

pub(super) async fn answer(daemon: &Daemon, request: UnbanRequest) -> Result<Done, Problem> {
    daemon.engine.order(move |core| unban(core, &request)).await?
}

fn unban(core: &mut Core, request: &UnbanRequest) -> Result<Done, Problem> {
    let jail = jail_named(core.engine.plan(), request.jail.as_deref())?;
    let all = || vec![Ipv4Net::default().into(), Ipv6Net::default().into()];
    let nets: Vec<IpNet> = request.net.map_or_else(all, |net| vec![net]);
    let lift = |net| core.engine.unban(net, jail, &mut core.decisions);
    let count: usize = nets.iter().map(lift).sum();
    core.carry_out();
    Ok(Done::new(format!("{} lifted", counted(count, "ban"))))
}
