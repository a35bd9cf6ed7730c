//! `CrowdSec` with the collection `crowdsecurity/asterisk` of the hub that Debian ships with it.
//!
//! Its agent needs a local API, and no network: it gets a network namespace with nothing but a loopback device.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Other, lines, said};
use crate::messages::Message;

/// The parts of the hub that are in use: the collection, and what each log passes ahead of it and behind it.
const HUB: [&str; 5] = [
    "parsers/s00-raw/crowdsecurity/syslog-logs.yaml",
    "parsers/s01-parse/crowdsecurity/asterisk-logs.yaml",
    "parsers/s02-enrich/crowdsecurity/dateparse-enrich.yaml",
    "scenarios/crowdsecurity/asterisk_bf.yaml",
    "scenarios/crowdsecurity/asterisk_user_enum.yaml",
];
/// The kind of event that both scenarios count.
const COUNTS: &str = "log_type: asterisk_failed_auth";

/// Asks the package that is unpacked in `root` about all lines, each in a file of its own.
pub fn ask(root: &Path, messages: &[Message]) -> Result<Other> {
    let place = root.join("run");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    for folder in ["etc", "data", "dump", "logs"] {
        fs::create_dir_all(place.join(folder))?;
    }
    let etc = place.join("etc");
    let hub = root.join("usr/share/crowdsec/hub");
    for part in HUB {
        let to = etc.join(part.replace("crowdsecurity/", ""));
        fs::create_dir_all(to.parent().unwrap_or(&etc))?;
        fs::copy(hub.join(part), &to).with_context(|| part.to_owned())?;
    }
    symlink(root.join("etc/crowdsec/patterns"), etc.join("patterns"))?;
    fs::write(etc.join("acquis.yaml"), "")?;
    fs::write(etc.join("config.yaml"), config(root, &place))?;
    let lines: Vec<_> = lines(messages).collect();
    for (number, line) in lines.iter().enumerate() {
        fs::write(place.join(format!("logs/{number}.log")), format!("{line}\n"))?;
    }
    run(root, &place)?;
    let dump = place.join("dump/parser-dump.yaml");
    let dump = fs::read_to_string(&dump).with_context(|| dump.display().to_string())?;
    let mut named = BTreeMap::<_, BTreeSet<_>>::new();
    for (file, host) in parsed(&dump) {
        let number = Path::new(file).file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let line = number.and_then(|number: usize| lines.get(number));
        let line = line.with_context(|| format!("crowdsec tells of {file}"))?;
        if let Ok(host) = host.parse() {
            named.entry(line.trim_end().to_owned()).or_default().insert(host);
        }
    }
    Other::new(format!("CrowdSec {}", version(root)?), named)
}

/// The configuration: Debian's, without the central API.
fn config(root: &Path, place: &Path) -> String {
    let (root, place) = (root.display(), place.display());
    format!(
        "common: {{daemonize: false, log_media: stdout, log_level: warning, working_dir: .}}
config_paths:
  config_dir: {place}/etc
  data_dir: {place}/data
  simulation_path: {root}/etc/crowdsec/simulation.yaml
  hub_dir: {root}/usr/share/crowdsec/hub
  index_path: {root}/usr/share/crowdsec/hub/.index.json
crowdsec_service: {{acquisition_path: {place}/etc/acquis.yaml, parser_routines: 1}}
cscli: {{output: raw}}
db_config: {{type: sqlite, db_path: {place}/data/crowdsec.db}}
prometheus: {{enabled: false}}
api:
  client: {{credentials_path: {place}/etc/credentials.yaml}}
  server: {{listen_uri: '127.0.0.1:8080', profiles_path: {root}/etc/crowdsec/profiles.yaml}}
"
    )
}

/// Has it read the logs, and dump what it made of them.
fn run(root: &Path, place: &Path) -> Result<()> {
    const SCRIPT: &str = r#"
set -e
ip link set lo up
cd "$2"
"$1/usr/bin/cscli" -c etc/config.yaml machines add agent --password agent -f etc/credentials.yaml --force
"$1/usr/bin/crowdsec" -c etc/config.yaml -dsn "file://$2/logs/*.log" -type asterisk -dump-data "$2/dump"
"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "sh", "-c", SCRIPT, "sh"]).arg(root).arg(place);
    said(&mut unshare).map(drop)
}

/// The files and hosts of the events that went through all parsers and that the scenarios count.
fn parsed(dump: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let (mut enriched, mut file, mut counts, mut host) = (false, None, false, None);
    for line in dump.lines() {
        let value = line.trim_start();
        if !line.starts_with(' ') {
            enriched = value == "s02-enrich:";
        } else if value == "- evt:" {
            (file, counts, host) = (None, false, None);
        } else if let Some(path) = value.strip_prefix("datasource_path: ") {
            file = Some(path);
        } else if let Some(address) = value.strip_prefix("source_ip: ") {
            // Once among what was parsed, once in the verdict, which comes later.
            host = Some(address.trim_matches(['"', '\'']));
        } else if value == COUNTS {
            counts = true;
        } else if let ("success: true", true, true) = (value, enriched, counts) {
            found.extend(file.zip(host));
        }
    }
    found
}

/// The version, without Debian's part.
fn version(root: &Path) -> Result<String> {
    // It says so where others complain.
    let said = Command::new(root.join("usr/bin/cscli")).arg("version").output()?.stderr;
    let said = String::from_utf8_lossy(&said);
    let (_, rest) = said.split_once("version: v").context("crowdsec does not say its version")?;
    Ok(rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect())
}
