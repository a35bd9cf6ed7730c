//! Checks of nftables: the program, the kernel, our table, and those that come before it.

use super::facts::World;
use super::{Finding, some_of};
use crate::table::structure::{CHAIN, TABLE};

/// The oldest `nft` that the ruleset is known to load with.
const OLDEST_NFT: (u32, u32, u32) = (1, 0, 2);
/// The first kernel that rejects packets in `prerouting`.
const OLDEST_KERNEL: (u32, u32) = (5, 9);
/// The priority of our chain in `prerouting`.
const OURS: i64 = -300;

/// Returns the numbers at the beginning of a version: `v1.0.6 (…)`, `6.1.0-13-amd64`.
fn numbers(version: &str) -> [u32; 3] {
    let begin = version.find(|c: char| c.is_ascii_digit()).unwrap_or(version.len());
    let text = version.get(begin..).unwrap_or_default();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut parts =
        text.get(..end).unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

/// Checks the version of `nft`.
pub fn nft(world: &World) -> Vec<Finding> {
    const CHECK: &str = "nft";
    vec![match &world.nft {
        Err(why) => Finding::problem(CHECK, format!("{why}: the guard declares its table with it"))
            .change("install it (Debian: apt-get install nftables) or put it on the PATH"),
        Ok(version) => {
            let [major, minor, patch] = numbers(version);
            if (major, minor, patch) < OLDEST_NFT {
                Finding::advice(
                    CHECK,
                    format!("{version} is older than what asterguard is tested with"),
                )
                .change("upgrade nftables to 1.0.2 or newer")
            } else {
                Finding::ok(CHECK, version)
            }
        }
    }]
}

/// Checks the version of the kernel.
pub fn kernel(world: &World) -> Vec<Finding> {
    const CHECK: &str = "kernel";
    vec![match world.kernel.as_deref().map(str::trim) {
        None => Finding::unchecked(CHECK, "/proc/sys/kernel/osrelease cannot be read"),
        Some(release) => {
            let [major, minor, _] = numbers(release);
            if (major, minor) < OLDEST_KERNEL {
                Finding::problem(
                    CHECK,
                    format!("Linux {release} cannot reject packets in prerouting"),
                )
                .change("run Linux 5.9 or newer")
            } else {
                Finding::ok(CHECK, format!("Linux {release}"))
            }
        }
    }]
}

/// Checks whether the connections of banned hosts end at once.
pub fn connections(world: &World) -> Vec<Finding> {
    const CHECK: &str = "connections";
    vec![match &world.destroys {
        Ok(()) => Finding::ok(CHECK, "those of banned hosts are destroyed"),
        Err(why) => Finding::unchecked(CHECK, format!("those of banned hosts: {why}")),
    }]
}

/// Checks our own table.
pub fn ours(world: &World) -> Vec<Finding> {
    const CHECK: &str = "table";
    let ruleset = match &world.ruleset {
        Ok(ruleset) => ruleset,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let place = format!("table inet {TABLE}");
    let guards = world.status.as_ref().is_ok_and(|status| !status.dry_run);
    // By its name: the limiter has a chain at the same hook, and `nft` lists them in any order.
    let chain = ruleset.chains.iter().find(|chain| {
        let ours = chain.table.0 == "inet" && chain.table.1 == TABLE;
        ours && chain.hook == CHAIN && chain.name == CHAIN
    });
    vec![match (ruleset.has_ours(), chain) {
        (false, _) if guards => Finding::problem(CHECK, "it is gone: nobody is kept out")
            .at(place)
            .change("asterguard reload"),
        (false, _) => {
            Finding::advice(CHECK, "it is not there: no guard ran since the machine started")
                .at(place)
                .change("systemctl enable --now asterguard")
        }
        (true, None) => {
            Finding::problem(CHECK, "it has no chain in prerouting: nobody is kept out")
                .at(place)
                .change("asterguard reload")
        }
        (true, Some(chain)) if !ruleset.can_drop(chain) => {
            Finding::problem(CHECK, "its chain has no rules: nobody is kept out")
                .at(place)
                .change("asterguard reload")
        }
        (true, Some(chain)) if chain.priority != OURS => {
            Finding::advice(CHECK, format!("its chain has priority {}, not {OURS}", chain.priority))
                .at(place)
                .change("asterguard reload")
        }
        (true, Some(_)) => {
            Finding::ok(CHECK, format!("{place} is in force, ahead of connection tracking"))
        }
    }]
}

/// Finds tables whose chains get packets before ours and drop some, and what passes all chains by.
pub fn order(world: &World) -> Vec<Finding> {
    const CHECK: &str = "table-order";
    let ruleset = match &world.ruleset {
        Ok(ruleset) => ruleset,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let mut found = Vec::new();
    for chain in &ruleset.chains {
        let (family, table) = &chain.table;
        let earlier =
            chain.hook == "ingress" || (chain.hook == "prerouting" && chain.priority < OURS);
        if !table.starts_with(TABLE) && earlier && ruleset.can_drop(chain) {
            let seen = format!(
                "{} (priority {}) drops packets before ours sees them: such hosts do not show in our counters, and `ignoreip` does not let them through",
                chain.hook, chain.priority
            );
            found.push(Finding::advice(CHECK, seen).at(format!("chain {family} {table} {}", chain.name)).change(
                "`asterguard explain HOST` says whether it drops a host; let your own hosts through there too",
            ));
        }
    }
    if !ruleset.flowtables.is_empty() {
        let names: Vec<_> =
            ruleset.flowtables.iter().map(|(table, name)| format!("{table} {name}")).collect();
        found.push(
            Finding::advice(CHECK, "a flow table takes forwarded connections past all chains: a ban does not end those that are under way")
                .at(format!("flowtable {}", some_of(&names)))
                .change("keep SIP and RTP out of it if the PBX is behind this machine (a container, a VM)"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "nothing drops packets before our table sees them"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(numbers("nftables v1.0.6 (Lester Gooch #5)"), [1, 0, 6]);
        assert_eq!(numbers("6.1.0-13-amd64"), [6, 1, 0]);
        assert_eq!(numbers("6.18"), [6, 18, 0]);
        assert_eq!(numbers("none"), [0, 0, 0]);
    }
}
