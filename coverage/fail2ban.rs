//! What fail2ban makes of the same lines, with the filter for Asterisk that comes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::messages::{Message, Record};

/// Its answers.
pub struct Fail2ban {
    version: String,
    /// Whom it names for each line.
    named: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Fail2ban {
    /// Asks the `fail2ban-regex` of the package that is unpacked in `root` about all lines.
    pub fn ask(root: &Path, messages: &[Message]) -> Result<Self> {
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
        ensure!(!named.is_empty(), "fail2ban-regex hits nothing at all");
        Ok(Self { version: run(root, &["-V"])?.trim().to_owned(), named })
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// The hosts that it would count this against.
    pub fn named(&self, record: &Record<'_>) -> BTreeSet<IpAddr> {
        let lines = record.sample.line.lines();
        lines.filter_map(|line| self.named.get(line.trim_end())).flatten().copied().collect()
    }
}

/// All lines, in a log for each way to write the time: fail2ban learns from a log which one it has.
fn logs(messages: &[Message]) -> impl Iterator<Item = String> {
    let mut logs = BTreeMap::<&str, String>::new();
    for line in
        messages.iter().flat_map(Message::records).flat_map(|record| record.sample.line.lines())
    {
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
    let output = Command::new(root.join("usr/bin/fail2ban-regex"))
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .arg("--config")
        .arg(root.join("etc/fail2ban"))
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run fail2ban-regex of {}", root.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fail2ban-regex: {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
