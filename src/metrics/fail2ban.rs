//! The names of the common exporter for fail2ban (`f2b_…`), so that dashboards which were made for it go on.

use super::catalog::{Kind, Metric};
use super::samples::{Samples, number, size};
use crate::config::is_without_section;
use crate::control::metrics::{JailTerms, Metrics};

const JAIL: &[&str] = &["jail"];

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

/// They are gauges, the totals too, as that exporter has them.
pub const CATALOG: [Metric; 9] = [
    gauge("f2b_up", &[], "1 if the guard answers"),
    gauge("f2b_jail_count", &[], "Jails"),
    gauge("f2b_jail_failed_current", JAIL, "Hosts with a failed attempt within findtime"),
    gauge("f2b_jail_failed_total", JAIL, "Failed attempts"),
    gauge("f2b_jail_banned_current", JAIL, "Bans in force"),
    gauge("f2b_jail_banned_total", JAIL, "Bans made"),
    gauge("f2b_config_jail_ban_time", JAIL, "bantime in seconds, -1 if it has no end"),
    gauge("f2b_config_jail_find_time", JAIL, "findtime in seconds"),
    gauge("f2b_config_jail_max_retries", JAIL, "maxretry"),
];

/// Returns the samples of what the guard told; `None`: it does not answer.
#[must_use]
pub fn samples(metrics: Option<&Metrics>) -> Samples {
    let mut samples = Samples::empty(&CATALOG);
    samples.set("f2b_up", if metrics.is_some() { 1.0 } else { 0.0 });
    let Some(metrics) = metrics else { return samples };
    let jails = || metrics.status.jails.iter().filter(|jail| !is_without_section(&jail.jail));
    samples.set("f2b_jail_count", size(jails().count()));
    for jail in &metrics.status.jails {
        let own = &[jail.jail.as_str()];
        samples.add("f2b_jail_failed_current", own, size(jail.currently_failed));
        samples.add("f2b_jail_failed_total", own, number(jail.total_failed));
        samples.add("f2b_jail_banned_current", own, size(jail.currently_banned));
        samples.add("f2b_jail_banned_total", own, number(jail.total_banned));
    }
    for JailTerms { jail, maxretry, findtime, bantime } in &metrics.terms {
        let own = &[jail.as_str()];
        samples.add("f2b_config_jail_ban_time", own, bantime.map_or(-1.0, number));
        samples.add("f2b_config_jail_find_time", own, number(*findtime));
        samples.add("f2b_config_jail_max_retries", own, f64::from(*maxretry));
    }
    samples
}
