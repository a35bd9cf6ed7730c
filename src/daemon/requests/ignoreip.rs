//! `ignoreip`: the hosts that are never banned, and why.

use ipnet::IpNet;

use super::jail_named;
use crate::control::Problem;
use crate::control::ignoreip::IgnoreipRequest;
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::subject::Subject;

pub(super) async fn answer(
    daemon: &Daemon,
    request: IgnoreipRequest,
) -> Result<Vec<ExemptNetwork>, Problem> {
    daemon.engine.ask(move |core| entries(core, request.jail.as_deref())).await?
}

/// Returns the hosts that are never banned: by any jail, and by this one.
fn entries(core: &Core, jail: Option<&str>) -> Result<Vec<ExemptNetwork>, Problem> {
    let (plan, list) = (core.engine.plan(), core.engine.ignored());
    let jail = jail_named(plan, jail)?;
    let mut entries = configured(&plan.config.ignoreip);
    entries.extend_from_slice(list.entries());
    if let Some(jail) = jail.and_then(|jail| plan.jail(jail)) {
        entries.extend(configured(&jail.ignoreip));
        for name in &jail.ignorenames {
            let origin = ExemptReason::Ignoreip { entry: name.to_string() };
            let addresses = list.addresses(name).iter();
            entries.extend(addresses.map(|address| ExemptNetwork::new(*address, origin.clone())));
        }
    }
    entries.sort_unstable();
    entries.dedup();
    Ok(entries)
}

/// Returns networks that the configuration itself has.
fn configured(nets: &[IpNet]) -> Vec<ExemptNetwork> {
    let entry = |net: &IpNet| {
        ExemptNetwork::new(*net, ExemptReason::Ignoreip { entry: Subject::from(*net).to_string() })
    };
    nets.iter().map(entry).collect()
}
