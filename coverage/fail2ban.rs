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
        let log = root.join("lines.log");
        fs::write(&log, lines(messages)).with_context(|| log.display().to_string())?;
        // --raw: whom it takes for a host is an address here, and no name to be looked up.
        let hits =
            run(root, &["--raw", "--out", "<ip>\t<matches>", &log.to_string_lossy(), "asterisk"])?;
        let mut named = BTreeMap::<_, BTreeSet<_>>::new();
        for hit in hits.lines() {
            let (host, line) = hit.split_once('\t').with_context(|| format!("a hit: {hit}"))?;
            if let Ok(host) = host.parse() {
                named.entry(line.trim_end().to_owned()).or_default().insert(host);
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

fn lines(messages: &[Message]) -> String {
    let mut lines = String::new();
    for record in messages.iter().flat_map(Message::records) {
        lines.push_str(&record.sample.line);
        lines.push('\n');
    }
    lines
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
