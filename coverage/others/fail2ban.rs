//! `fail2ban-regex` with the filter for Asterisk that comes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Other, lines, said};
use crate::messages::Message;

/// Asks the package that is unpacked in `root` about all lines.
pub fn ask(root: &Path, messages: &[Message]) -> Result<Other> {
    let mut named = BTreeMap::<_, BTreeSet<_>>::new();
    let path = root.join("lines.log");
    for log in logs(messages) {
        fs::write(&path, log).with_context(|| path.display().to_string())?;
        // --raw: what it takes for a host is not looked up.
        let format = "<ip>\t<matches>";
        let hits = run(root, &["--raw", "--out", format, &path.to_string_lossy(), "asterisk"])?;
        for hit in hits.lines() {
            let (host, line) = hit.split_once('\t').with_context(|| format!("a hit: {hit}"))?;
            if let Ok(host) = host.parse() {
                named.entry(line.trim_end().to_owned()).or_default().insert(host);
            }
        }
    }
    Other::new(format!("fail2ban {}", run(root, &["-V"])?.trim()), named)
}

/// All lines, in a log for each way to write the time: fail2ban learns from a log which one it has.
fn logs(messages: &[Message]) -> impl Iterator<Item = String> {
    let mut logs = BTreeMap::<&str, String>::new();
    for line in lines(messages) {
        let log = logs.entry(before_level(line)).or_default();
        log.push_str(line);
        log.push('\n');
    }
    logs.into_values()
}

/// What stands before the level, and so the time.
fn before_level(line: &str) -> &str {
    let levels = ["NOTICE", "WARNING", "ERROR", "SECURITY", "VERBOSE", "kernel"];
    let at = levels.iter().filter_map(|level| line.find(level)).min();
    at.and_then(|at| line.get(..at)).unwrap_or_default()
}

fn run(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(root.join("usr/bin/fail2ban-regex"));
    command
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .arg("--config")
        .arg(root.join("etc/fail2ban"))
        .args(arguments);
    said(&mut command)
}
