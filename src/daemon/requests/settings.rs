//! `settings`: the values of a jail that are in force.

use super::jail_named;
use crate::config::Setting;
use crate::control::Problem;
use crate::control::settings::SettingsRequest;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    request: SettingsRequest,
) -> Result<Vec<Setting>, Problem> {
    let plan = daemon.plan().await?;
    let jail = jail_named(&plan, Some(&request.jail))?.and_then(|jail| plan.jail(jail));
    Ok(jail.map_or_else(Vec::new, |jail| plan.config.jail_settings(jail)))
}
