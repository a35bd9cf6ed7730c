//! The geofence: its networks when databases change, and the hosts that it lets through because an account has logged in
//! from there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;
use crate::control::Problem;
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::daemon::tasks::geoip_refresh;
use crate::decide::plan::Plan;
use crate::geo::SharedDatabases;
use crate::hosts::lists::Lists;
use crate::model::time::Time;
use crate::sys::clock::now;

/// The time between two looks at who has logged in. A host that is outside and unknown cannot log in, so nobody waits
/// for this.
const LOOK: Duration = Duration::from_secs(5);

/// Reads the databases that have changed, and returns `lists` with the geofence that they make.
pub fn fenced(lists: Lists, config: &Config, places: &SharedDatabases, before: &Lists) -> Lists {
    geoip_refresh::refresh(places, &config.geoip.files);
    let geofence = config
        .lists
        .countries
        .as_ref()
        .map(|countries| places.get().geofence(countries, before.geofence.as_ref()));
    Lists { geofence, ..lists }
}

impl Daemon {
    /// Goes by the databases that have just been read. Nothing else that was written is taken up.
    pub(super) async fn renew_geofence(self: &Daemon) {
        let last = self.reloads.turn().await;
        let Ok(plan) = self.plan().await else { return };
        if plan.config.lists.countries.is_none() {
            return;
        }
        let (keeper, places) = (Arc::clone(&self.kernel.lists), Arc::clone(&self.places));
        let renew = move |plan: &Plan| {
            let before = keeper.lists();
            let lists = fenced((*before).clone(), &plan.config, &places, &before);
            if lists == *before {
                return Ok(None);
            }
            let sets = keeper.prepare(&lists)?;
            Ok(Some(plan.with_other_lists(Arc::new(lists), sets)))
        };
        let renewed = self.adapt(plan, renew).await;
        drop(last);
        match renewed {
            Ok(false) => {}
            Ok(true) => info!("the geofence goes by the new databases"),
            Err(problem) => {
                warn!("the geofence does not go by the new databases: {}", problem.message);
            }
        }
    }

    /// Lets the hosts that accounts have logged in from through the geofence, for as long as the guard runs.
    pub(crate) async fn admit_known(&self) {
        let mut told = Vec::new();
        loop {
            let fenced = |core: &mut Core| core.engine.plan().structure.geofence.is_some();
            let Ok(is_fenced) = self.engine.ask(fenced).await else { return };
            let known =
                if is_fenced { self.known_hosts().await.unwrap_or_default() } else { Vec::new() };
            if differ(&told, &known, now()) {
                match self.tell_known(known.clone()).await {
                    Ok(()) => told = known,
                    Err(error) => warn!("hosts that are known good are not let through: {error}"),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Does so once, before a geofence takes effect.
    pub(super) async fn admit_before(&self) {
        let Ok(known) = self.known_hosts().await else { return };
        if let Err(error) = self.tell_known(known).await {
            warn!("hosts that are known good are not let through: {error}");
        }
    }

    /// Returns the hosts that are known good, and until when.
    async fn known_hosts(&self) -> Result<Vec<(IpAddr, Time)>, Problem> {
        let look = |core: &mut Core| {
            let known = core.engine.known_good(now());
            known.map(|(host, standing)| (host.net().addr(), standing.until)).collect::<Vec<_>>()
        };
        let mut known = self.engine.ask(look).await?;
        known.sort_unstable();
        known.dedup_by_key(|(host, _)| *host);
        Ok(known)
    }

    async fn tell_known(&self, known: Vec<(IpAddr, Time)>) -> Result<(), String> {
        let keeper = Arc::clone(&self.kernel.lists);
        let told = tokio::task::spawn_blocking(move || keeper.admit(known)).await;
        told.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// Whether what was told has to be told again: not for every login that makes a host known good for a little longer.
fn differ(told: &[(IpAddr, Time)], known: &[(IpAddr, Time)], now: Time) -> bool {
    let renewed = |((old, until), (new, later)): (&(IpAddr, Time), &(IpAddr, Time))| {
        old != new || later.since(*until) > until.since(now) / 4
    };
    told.len() != known.len() || told.iter().zip(known).any(renewed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_again_when_others_are_known_or_they_are_for_much_longer() {
        let now = Time::from_secs(1000);
        let host =
            |last: u8, until: i64| (IpAddr::from([203, 0, 113, last]), Time::from_secs(until));
        let told = [host(1, 2000), host(2, 3000)];
        assert!(!differ(&told, &told, now));
        assert!(!differ(&told, &[host(1, 2100), host(2, 3100)], now));
        assert!(differ(&told, &[host(1, 2000), host(3, 3000)], now));
        assert!(differ(&told, &told[..1], now));
        assert!(differ(&told, &[host(1, 2300), host(2, 3000)], now));
        // What is over in the kernel.
        assert!(differ(&[host(1, 900)], &[host(1, 2000)], now));
        assert!(differ(&[], &told, now));
    }
}
