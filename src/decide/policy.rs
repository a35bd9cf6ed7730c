//! The consequence of a count: nothing, or a ban, and which one.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{BanTerms, Counting, Hearsay, Jail};
use crate::decide::offences::Count;
use crate::model::event::Evidence;
use crate::model::subject::bannable;

/// Whether `host` is never banned by `jail`: it cannot be (see [`bannable`]) or the administrator
/// says so.
#[must_use]
pub fn ignored(jail: &Jail, host: IpAddr) -> bool {
    !bannable(host) || jail.ignoreip.iter().any(|net| net.contains(&host))
}

/// The one of `nets` that holds all of `net`.
#[must_use]
pub fn holding(nets: &[IpNet], net: &IpNet) -> Option<IpNet> {
    nets.iter().find(|known| known.contains(net)).copied()
}

/// Whether one of `nets` holds all of `net`.
#[must_use]
pub fn covers(nets: &[IpNet], net: &IpNet) -> bool {
    nets.iter().any(|known| known.contains(net))
}

/// Returns what an offence with this evidence counts as for `jail`; `None`: it does not count.
#[must_use]
pub fn counts_as(jail: &Jail, evidence: Evidence) -> Option<Evidence> {
    match (evidence, jail.hearsay) {
        (Evidence::Hearsay, Hearsay::Ignore) => None,
        (Evidence::Hearsay, Hearsay::Count) => Some(Evidence::Unverified),
        (Evidence::Unverified | Evidence::Proven, _) => Some(evidence),
    }
}

/// The evidence on which `jail` bans for `count`; `None`: it does not. Enough proven offences make
/// a proven ban; if it takes unverified ones to reach maxretry, the ban is an unverified one. Bans that are all for
/// guesses at one account make no further one.
#[must_use]
pub fn verdict(jail: &Jail, count: Count) -> Option<Evidence> {
    if jail.count == Counting::Bans && count.accounts < 2 && jail.maxretry > 1 {
        return None;
    }
    if count.proven >= jail.maxretry {
        Some(Evidence::Proven)
    } else if count.all >= jail.maxretry {
        Some(Evidence::Unverified)
    } else {
        None
    }
}

/// The length and reach of a ban on this evidence.
#[must_use]
pub fn punishment(jail: &Jail, evidence: Evidence) -> BanTerms {
    match evidence {
        Evidence::Proven => BanTerms { bantime: jail.bantime, port: jail.port.clone() },
        Evidence::Unverified | Evidence::Hearsay => jail.unverified.clone(),
    }
}
