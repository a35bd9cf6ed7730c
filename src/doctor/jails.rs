//! Checks of the configuration, the daemon, and what its jails have seen.

use std::time::Duration;

use super::Finding;
use super::facts::{NoStatus, World};
use crate::config::{Diagnostic, Mode, is_without_section};
use crate::control::health::Check;
use crate::control::status::{JailStatus, Status};
use crate::model::time::HumanDuration;

/// A guard that runs this long without a single offence sees nothing, on a network that has any.
const LONG: u64 = 86_400;
/// Offences without a ban that are worth a question.
const MANY: u64 = 100;

/// Checks the guard's own configuration.
pub fn configuration(world: &World) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    let unread = world.unread.iter().map(|unread| {
        let place = unread.path.display().to_string();
        Finding::advice(CHECK, unread.to_string()).at(place).change("rename, move or delete it")
    });
    let plan = match &world.plan {
        Ok(plan) => plan,
        // The daemon says it.
        Err(_) if world.has_problem(Check::Configuration) => return unread.collect(),
        Err(why) => {
            let seen = format!("it cannot be used: {}", why.trim_end());
            let broken = Finding::problem(CHECK, seen).change("asterguard check");
            return std::iter::once(broken).chain(unread).collect();
        }
    };
    let mut found = vec![match plan.config.described().count() {
        0 => Finding::problem(CHECK, "no jail is enabled: nobody is ever banned")
            .change("enable one: `enabled = true`"),
        jails => Finding::ok(CHECK, format!("{jails} jails")),
    }];
    let warnings = plan.warnings();
    let warnings = warnings.into_iter().chain(plan.notes.iter().map(Diagnostic::line));
    found.extend(warnings.map(|warning| Finding::advice(CHECK, warning)));
    found.extend(unread);
    found
}

/// Checks whether the daemon runs.
pub fn daemon(world: &World) -> Vec<Finding> {
    const CHECK: &str = "daemon";
    let status = match &world.status {
        Ok(status) => status,
        Err(NoStatus::Dead(why)) => {
            let why = why.lines().next().unwrap_or_default();
            return vec![Finding::problem(CHECK, why).change("systemctl enable --now asterguard")];
        }
        Err(NoStatus::NotPermitted(why)) => {
            return vec![Finding::unchecked(CHECK, why).change("run doctor as root")];
        }
    };
    vec![if status.dry_run {
        Finding::advice(CHECK, "it only says which hosts it would ban")
            .change("run it without --dry-run")
    } else {
        Finding::ok(CHECK, format!("pid {}, up {}", status.pid, words(status.uptime)))
    }]
}

fn words(seconds: u64) -> String {
    HumanDuration(Duration::from_secs(seconds)).to_string()
}

/// Finds jails that see nothing, or much without effect.
pub fn jails(world: &World) -> Vec<Finding> {
    const CHECK: &str = "jails";
    let Ok(status) = &world.status else {
        return vec![Finding::unchecked(
            CHECK,
            "only a running daemon knows what its jails have seen",
        )];
    };
    let mut found = Vec::new();
    let jails = || status.jails.iter().filter(|jail| !is_without_section(&jail.jail));
    // One setting, and not one for each jail.
    let all_observe = jails().count() > 1 && jails().all(|jail| jail.mode == Mode::Observe);
    if all_observe {
        let seen = "all jails observe: nobody is banned";
        let change = "when you agree with `asterguard banned --observe`: `mode = \"enforce\"`";
        found.push(Finding::advice(CHECK, seen).at("[default]").change(change));
    }
    for jail in jails() {
        let observes = !all_observe && jail.mode == Mode::Observe;
        let of_jail = of_jail(world, status, jail).or_else(|| {
            let finding = Finding::advice(CHECK, "it observes and bans nobody");
            observes.then(|| finding.change("`mode = \"enforce\"`"))
        });
        found.extend(of_jail.map(|finding| finding.at(format!("[jail.{}]", jail.jail))));
    }
    for source in status.sources.iter().filter(|source| source.oversized > 0) {
        let seen = format!("{} lines were too long to be believed", source.oversized);
        found.push(
            Finding::advice(CHECK, seen).at(&source.path).change(
                "somebody sends packets that are made to break the log; look at them there",
            ),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("as they should be after {}", words(status.uptime))));
    }
    found
}

fn of_jail(world: &World, status: &Status, jail: &JailStatus) -> Option<Finding> {
    const CHECK: &str = "jails";
    let JailStatus { total_failed, total_banned, hearsay, ignored, excused, .. } = *jail;
    // Where it is so of all jails, the daemon says it.
    if total_failed == 0 && hearsay >= MANY && !world.has_problem(Check::Evidence) {
        let seen = format!("{hearsay} attempts, and all of them hearsay: nobody is banned");
        return Some(Finding::problem(CHECK, seen).change(
            "`asterguard status` names the rules; let Asterisk write `messages` and `security`, without VERBOSE",
        ));
    }
    if total_failed >= MANY && total_banned == 0 && jail.mode == Mode::Enforce {
        let seen = format!("{total_failed} attempts and not one ban");
        return Some(Finding::problem(CHECK, seen).change(
            "lower `maxretry`, or lengthen `findtime`: the attempts come too slowly for them",
        ));
    }
    let silent = total_failed + hearsay + ignored + excused == 0;
    (silent && status.uptime >= LONG).then(|| {
        let seen = format!("not one attempt in {}", words(status.uptime));
        Finding::advice(CHECK, seen).change(
            "if this machine can be reached from the Internet, its logs are not the right ones: asterguard test FILE",
        )
    })
}
