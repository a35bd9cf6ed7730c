//! What other programs make of the same lines, with what they ship for Asterisk.

pub mod crowdsec;
pub mod fail2ban;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::messages::{Message, Record};

/// The answers of another program.
pub struct Other {
    /// What it is called, with its version.
    pub name: String,
    /// Whom it counts each line against.
    named: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Other {
    fn new(name: String, named: BTreeMap<String, BTreeSet<IpAddr>>) -> Result<Self> {
        ensure!(!named.is_empty(), "{name} names nobody at all");
        Ok(Self { name, named })
    }

    /// The hosts that it would count this against.
    pub fn named(&self, record: &Record<'_>) -> BTreeSet<IpAddr> {
        let lines = record.sample.line.lines();
        lines.filter_map(|line| self.named.get(line.trim_end())).flatten().copied().collect()
    }
}

/// All lines of all samples.
fn lines(messages: &[Message]) -> impl Iterator<Item = &str> {
    messages.iter().flat_map(Message::records).flat_map(|record| record.sample.line.lines())
}

/// What a program says, if it succeeds.
fn said(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } =
        command.output().with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name}: {status}: {}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
