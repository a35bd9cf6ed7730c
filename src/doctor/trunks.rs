//! Checks of the hosts that Asterisk knows as trunks: nobody should ban them.

use super::facts::World;
use super::{Finding, some_of};
use crate::hosts::asterisk::trunks::{TrunkHost, Trunks};
use crate::hosts::discover::ConfFiles;

/// Checks whether all trunks are among those that are never banned.
pub fn ignored(world: &World) -> Vec<Finding> {
    const CHECK: &str = "trunks";
    let Ok(plan) = &world.plan else {
        return vec![Finding::unchecked(CHECK, "the configuration cannot be read")];
    };
    let mut disk = ConfFiles::new(&world.asterisk);
    let Trunks { trunks, left_out } = Trunks::find(&mut disk);
    if !world.asterisk.is_dir() {
        let why = format!("there is no {}", world.asterisk.display());
        return vec![Finding::unchecked(CHECK, why).change("name it in `asteriskconf`")];
    }
    let mut found: Vec<_> =
        disk.left_out().iter().map(|why| Finding::unchecked(CHECK, why)).collect();
    let change = "write it into `ignoreip` if it is meant";
    found.extend(left_out.iter().map(|words| Finding::advice(CHECK, words).change(change)));
    let config = &plan.config;
    let bannable = |target: &TrunkHost| match target {
        TrunkHost::Net(net) => !config.ignoreip.iter().any(|known| known.contains(net)),
        TrunkHost::Name(name) => !config.ignorenames.contains(name),
    };
    let named: Vec<String> = trunks
        .iter()
        .filter(|trunk| !config.trunks && bannable(&trunk.target))
        .map(|trunk| trunk.name.clone())
        .collect();
    if named.is_empty() {
        found.push(Finding::ok(
            CHECK,
            format!("{} addresses and names of trunks are never banned", trunks.len()),
        ));
    } else {
        let seen = format!("trunks can be banned: {}", some_of(&named));
        found.push(
            Finding::problem(CHECK, seen)
                .at("`trunks = false`")
                .change("leave `trunks` as it is built in, or write them into `ignoreip`"),
        );
    }
    found
}
