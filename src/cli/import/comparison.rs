//! Both guards on the same logs: which hosts each would have banned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::super::output::{Failure, Output};
use super::super::text::printable_text;
use crate::fail2ban::jails::{Configuration, Jail};
use crate::fail2ban::options::seconds;
use crate::fail2ban::translation::Translation;
use crate::model::words::counted;
use crate::sys::program::{Program, ProgramError};

/// The time that each program may take for a log.
const LIMIT: Duration = Duration::from_secs(600);
/// The hosts that are shown.
const MOST_SHOWN: usize = 1000;

/// A host, and which jails would have banned it.
#[derive(Debug, Default, Serialize)]
struct Compared {
    /// The jails of fail2ban.
    fail2ban: BTreeSet<String>,
    /// The jails of ours.
    asterguard: BTreeSet<String>,
}

/// Prints which hosts would have been banned by which guard. `config` is the translated configuration.
pub fn compare(
    base: &Path,
    configuration: &Configuration,
    translation: &Translation,
    config: &Path,
    logs: &[PathBuf],
    output: &Output,
) -> Result<(), Failure> {
    let mut hosts: BTreeMap<IpAddr, Compared> = BTreeMap::new();
    for (host, jail) in ours(config, logs)? {
        hosts.entry(host).or_default().asterguard.insert(jail);
    }
    let mut left_out = Vec::new();
    let taken = |jail: &&Jail| translation.taken.contains(&jail.name) && jail.name != "recidive";
    for jail in configuration.jails.iter().filter(taken) {
        for log in logs {
            match theirs(base, jail, log) {
                Ok(banned) => {
                    for host in banned {
                        hosts.entry(host).or_default().fail2ban.insert(jail.name.clone());
                    }
                }
                Err(why) => left_out.push(format!("{}: {why}", jail.name)),
            }
        }
    }
    if output.json {
        for (host, compared) in &hosts {
            output.object(&serde_json::json!({
                "host": host, "fail2ban": compared.fail2ban, "asterguard": compared.asterguard,
            }));
        }
        output.object(&serde_json::json!({ "result": "compared", "left_out": left_out }));
        return Ok(());
    }
    output.line("");
    output
        .line(format_args!("{:<40} {:<24} {}", "would be banned", "by fail2ban", "by asterguard"));
    let named = |jails: &BTreeSet<String>| {
        let names = jails.iter().cloned().collect::<Vec<_>>().join(",");
        if names.is_empty() { "-".to_owned() } else { printable_text(&names) }
    };
    for (host, Compared { fail2ban, asterguard }) in hosts.iter().take(MOST_SHOWN) {
        output.line(format_args!(
            "{:<40} {:<24} {}",
            host.to_string(),
            named(fail2ban),
            named(asterguard)
        ));
    }
    let count =
        |wanted: fn(&Compared) -> bool| hosts.values().filter(|compared| wanted(compared)).count();
    output.line(format_args!(
        "{} by both, {} by fail2ban only, {} by asterguard only (`asterguard explain LINE` says why)",
        counted(count(|host| !host.fail2ban.is_empty() && !host.asterguard.is_empty()), "host"),
        count(|host| host.asterguard.is_empty()),
        count(|host| host.fail2ban.is_empty()),
    ));
    for why in left_out {
        output.line(format_args!("  ! not compared: {}", printable_text(&why)));
    }
    Ok(())
}

/// Returns the hosts that we would have banned in these logs, with the jails.
fn ours(config: &Path, logs: &[PathBuf]) -> Result<Vec<(IpAddr, String)>, Failure> {
    // What `replay` prints is what it finds: it has a process of its own, and this one keeps its output.
    let program = std::env::current_exe()?;
    let mut arguments = vec!["replay".to_owned(), "--json".to_owned(), "--config".to_owned()];
    arguments.push(config.to_string_lossy().into_owned());
    arguments.push("--".to_owned());
    arguments.extend(logs.iter().map(|log| log.to_string_lossy().into_owned()));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let said = Program::with_argv([program.into_os_string()]).limited(LIMIT).run(&arguments, &[]);
    let said = said.map_err(|error| Failure::new(format!("replay: {error}")))?;
    let objects = said
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let bans = objects.filter(|object| object.get("action").is_some_and(|action| action == "ban"));
    let ban = |object: Value| {
        let host = object.get("host")?.as_str()?.parse().ok()?;
        Some((host, object.get("jail")?.as_str()?.to_owned()))
    };
    Ok(bans.filter_map(ban).collect())
}

/// Returns the hosts that a jail of fail2ban would have banned in a log.
fn theirs(base: &Path, jail: &Jail, log: &Path) -> Result<BTreeSet<IpAddr>, String> {
    let filter = jail.settings.get("filter").map_or("", |setting| setting.text.as_str());
    let own = jail.settings.contains_key("failregex");
    let which = if own || filter.is_empty() { &jail.name } else { filter };
    let (base, log) = (base.to_string_lossy(), log.to_string_lossy());
    // Raw: what it takes for a host is not looked up. An argument that begins with a dash would be an option.
    if log.starts_with('-') || which.starts_with('-') {
        return Err("a name begins with a dash".to_owned());
    }
    let arguments = ["--raw", "--out", "<ip>\t<time>", "--config", &*base, &*log, which];
    let said = Program::with_argv(["fail2ban-regex"]).limited(LIMIT).run(&arguments, &[]);
    let said = said.map_err(|error| match error {
        ProgramError::NotFound { .. } => "fail2ban-regex is not installed".to_owned(),
        error => error.to_string(),
    })?;
    let text = String::from_utf8_lossy(&said);
    let hits = text.lines().filter_map(|line| {
        let (host, time) = line.split_once('\t')?;
        Some((host.parse::<IpAddr>().ok()?.to_canonical(), time.trim().parse::<f64>().ok()?))
    });
    let number = |key: &str, usual: f64| {
        let number = jail.get(key).and_then(seconds).and_then(|number| i32::try_from(number).ok());
        number.map_or(usual, f64::from)
    };
    Ok(banned(hits, number("maxretry", 5.0), number("findtime", 600.0)))
}

/// Returns the hosts with `maxretry` hits within `findtime` seconds.
fn banned(
    hits: impl Iterator<Item = (IpAddr, f64)>,
    maxretry: f64,
    findtime: f64,
) -> BTreeSet<IpAddr> {
    let mut times: BTreeMap<IpAddr, Vec<f64>> = BTreeMap::new();
    for (host, time) in hits {
        times.entry(host).or_default().push(time);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of at least 1"
    )]
    let count = maxretry.max(1.0) as usize;
    let enough = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.windows(count).any(|hits| match hits {
            [first, .., last] => last - first <= findtime,
            _ => true,
        })
    };
    times.iter_mut().filter_map(|(host, times)| enough(times).then_some(*host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_count_within_their_time() {
        let host = |last: u8| IpAddr::from([192, 0, 2, last]);
        let hits = [(1, 0.0), (1, 700.0), (1, 1100.0), (2, 5.0), (2, 5.5), (2, 9.0), (3, 1.0)];
        let hits = || hits.iter().map(|(last, time)| (host(*last), *time));
        assert_eq!(banned(hits(), 3.0, 600.0), BTreeSet::from([host(2)]));
        assert_eq!(banned(hits(), 2.0, 600.0), BTreeSet::from([host(1), host(2)]));
        assert_eq!(banned(hits(), 1.0, 600.0).len(), 3);
    }
}
