//! Checks for others that ban hosts on this machine.

use super::Finding;
use super::facts::World;
use crate::doctor::other_tables::Ruleset;

/// Another guard, and what it is known by.
struct Guard {
    name: &'static str,
    processes: &'static [&'static str],
    /// Beginnings of the names of its tables, chains and sets.
    names: &'static [&'static str],
    change: &'static str,
}

const GUARDS: &[Guard] = &[
    Guard {
        name: "fail2ban",
        processes: &["fail2ban-server"],
        names: &["f2b-", "addr-set-", "addr6-set-", "fail2ban-"],
        change: "switch its jail for Asterisk off (`enabled = false`); its jails for other services may stay",
    },
    Guard {
        name: "FreePBX's firewall",
        processes: &["voipfirewalld"],
        names: &["fpbx"],
        change: "an `unban` here does not remove its bans, nor the other way round: put your own addresses into both",
    },
    Guard {
        name: "CrowdSec",
        processes: &["crowdsec", "crowdsec-firewall-bouncer"],
        names: &["crowdsec"],
        change: "an `unban` here does not remove its bans: put your own addresses into its allow list too",
    },
    Guard {
        name: "sshguard",
        processes: &["sshguard"],
        names: &["sshguard"],
        change: "an `unban` here does not remove its bans: put your own addresses into its allow list too",
    },
    Guard {
        name: "CSF",
        processes: &["lfd"],
        names: &["DENYIN", "LOCALINPUT"],
        change: "an `unban` here does not remove its bans: put your own addresses into csf.allow too",
    },
];

/// Finds others that ban hosts here.
pub fn guards(world: &World) -> Vec<Finding> {
    const CHECK: &str = "other-guards";
    let mut found = Vec::new();
    for guard in GUARDS {
        let runs = guard.processes.iter().any(|name| {
            world.processes.iter().any(|process| process.trim_end_matches(" -") == *name)
        });
        let marks = world.ruleset.as_ref().map_or_else(|_| Vec::new(), |set| marks(guard, set));
        if !runs && marks.is_empty() {
            continue;
        }
        // A name with "asterisk" in it: two guards for one thing.
        let doubled = marks.iter().find(|mark| mark.to_ascii_lowercase().contains("asterisk"));
        let how = if runs { "runs" } else { "does not run, but its rules are there" };
        let finding = match doubled {
            Some(mark) => Finding::problem(
                CHECK,
                format!(
                    "{} {how} and bans for Asterisk too: a ban that one removes stays in the other",
                    guard.name
                ),
            )
            .at(mark),
            None => {
                let finding =
                    Finding::advice(CHECK, format!("{} {how} beside this guard", guard.name));
                match marks.first() {
                    Some(mark) => finding.at(mark),
                    None => finding,
                }
            }
        };
        found.push(finding.change(guard.change));
    }
    if found.is_empty() {
        let all = GUARDS.iter().map(|guard| guard.name).collect::<Vec<_>>().join(", ");
        found.push(match &world.ruleset {
            Ok(_) => Finding::ok(CHECK, format!("none of {all} is active")),
            Err(why) => Finding::unchecked(
                CHECK,
                format!("none of {all} runs; their rules cannot be looked for: {why}"),
            ),
        });
    }
    found
}

/// Returns the tables, chains and sets that another guard has made.
fn marks(guard: &Guard, ruleset: &Ruleset) -> Vec<String> {
    let tables = ruleset.tables.iter().map(|(family, name)| (family.as_str(), name));
    let chains = ruleset.chain_names.iter().map(|(table, name)| (table.as_str(), name));
    let sets = ruleset.sets.iter().map(|(table, name)| (table.as_str(), name));
    let fits = |name: &String| guard.names.iter().any(|begin| name.starts_with(begin));
    let kinds = [
        ("table", tables.collect::<Vec<_>>()),
        ("chain", chains.collect()),
        ("set", sets.collect()),
    ];
    let named = kinds.into_iter().flat_map(|(kind, names)| {
        names
            .into_iter()
            .filter(|(_, name)| fits(name))
            .map(move |(of, name)| format!("{kind} {of} {name}"))
    });
    named.collect()
}
