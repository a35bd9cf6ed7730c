//! The two guards: the hosts that each names in lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use asterguard::detect::scanner::{Clock, Matcher, Scanner};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{ChannelId, Evidence, Meaning};
use asterguard::model::time::Time;
use asterguard::rules::RuleSet;

use crate::programs::skip;

/// Hosts, by line.
pub type Named = BTreeMap<String, BTreeSet<IpAddr>>;

/// Where fail2ban is unpacked; `None`, after saying so, if it cannot be had here.
pub fn fail2ban() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = Command::new(root.join("dev/fail2ban.sh")).current_dir(root).output();
    let place = said.ok().filter(|said| said.status.success());
    let place = place.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    let place =
        place.map(PathBuf::from).filter(|place| place.join("usr/bin/fail2ban-regex").is_file());
    let runs = place
        .filter(|place| regex(place).arg("-V").output().is_ok_and(|said| said.status.success()));
    if runs.is_none() {
        skip("fail2ban cannot be fetched or run here (apt-get download fail2ban, and python3)");
    }
    runs
}

fn regex(place: &Path) -> Command {
    // The package is for Debian's own Python.
    let python = Path::new("/usr/bin/python3");
    let mut command = Command::new(if python.exists() { python } else { Path::new("python3") });
    command
        .arg(place.join("usr/bin/fail2ban-regex"))
        .env("PYTHONPATH", place.join("usr/lib/python3/dist-packages"));
    command
}

/// Returns the hosts that fail2ban counts, with a jail or filter of the configuration in `config`; the reason, if it refuses
/// it.
pub fn named_by_fail2ban(
    place: &Path,
    config: &Path,
    filter: &str,
    lines: &[&str],
) -> Result<Named, String> {
    let log = config.join("lines.log");
    fs::write(&log, lines.join("\n") + "\n").unwrap();
    let mut command = regex(place);
    // Raw: what it takes for a host is not looked up.
    command.args(["--raw", "--no-check-all", "--out", "<ip>\t<matches>", "--config"]);
    let said = command.arg(config).arg(&log).arg(filter).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    if !said.status.success() {
        return Err(format!("{}{}", text.trim(), String::from_utf8_lossy(&said.stderr).trim()));
    }
    let mut named = Named::new();
    for hit in text.lines() {
        let Some((host, line)) = hit.split_once('\t') else { continue };
        if let Ok(host) = host.parse::<IpAddr>() {
            named.entry(line.trim_end().to_owned()).or_default().insert(host.to_canonical());
        }
    }
    Ok(named)
}

/// Returns the hosts that our rules name, those of `rules_d` and the built-in ones, in lines that are each a log of their
/// own; and those of them that are more than hearsay.
pub fn named_by_us(rules_d: &Path, lines: &[&str]) -> (Named, Named) {
    let rules = Arc::new(RuleSet::load(Some(rules_d)).unwrap());
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(&rules, &all).unwrap());
    let (mut named, mut believed) = (Named::new(), Named::new());
    for line in lines {
        let mut scanner = Scanner::new(Arc::clone(&matcher), ChannelId(0));
        let text = format!("{line}\n");
        let mut events = Vec::new();
        scanner.scan(&Region::of(text.as_bytes(), 1), &mut Clock::At(Time::default()), &mut events);
        for event in events.iter().filter(|event| matches!(event.meaning, Meaning::Offence(_))) {
            named.entry((*line).to_owned()).or_default().insert(event.host);
            if event.evidence > Evidence::Hearsay {
                believed.entry((*line).to_owned()).or_default().insert(event.host);
            }
        }
    }
    (named, believed)
}
