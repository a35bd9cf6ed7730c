//! Checks whether the geofence would stop the person who sits here.

use super::Finding;
use super::facts::World;
use crate::geo::Databases;
use crate::sys::ssh_client::ssh_client;

/// Checks the geofence that the configuration wants against the databases, and against the address that this person
/// is logged in from.
pub fn geofence(world: &World) -> Vec<Finding> {
    const CHECK: &str = "geofence";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be read")];
    };
    let Some(countries) = &plan.config.lists.countries else {
        return vec![Finding::ok(CHECK, "no country is allowed or denied")];
    };
    let fence = Databases::open(&plan.config.geoip.files).geofence(countries, None);
    let place = "`countries` below [lists]";
    let mut found: Vec<_> = fence
        .problem()
        .map(|seen| {
            Finding::problem(CHECK, seen).at(place).change(crate::hosts::lists::geofence::MEND)
        })
        .into_iter()
        .collect();
    if let Some(host) = ssh_client().filter(|host| fence.stops(*host)) {
        let seen = format!("your own address, {host}, is outside");
        found.push(
            Finding::advice(CHECK, seen)
                .at(place)
                .change("write it into `allow` below [lists] if phones are there: you are let through only while you are logged in"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("{} networks", fence.networks.len())));
    }
    found
}
