//! What `messages.toml` says.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::exchanges::Transport;

/// Who sends what our samples tell of, if they do not say otherwise.
const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    message: Vec<Message>,
}

/// A message, in the wording of some versions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// What writes it: a heading of the page.
    pub family: String,
    /// The message, with what varies left out.
    pub text: String,
    /// The first and the last version that write it so; none where it is not Asterisk's.
    pub since: Option<String>,
    pub until: Option<String>,
    /// What it tells of.
    pub tells: Tells,
    /// Why nobody may be named for it. Every message has one but those of attacks.
    pub why: Option<String>,
    /// The exchange of an attacker that brings it about, by its name in `exchanges.toml`: every message has one
    /// that attackers bring about.
    exchange: Option<String>,
    /// The exchange of a phone of ours that brings it about, if that is seen.
    pub innocent: Option<String>,
    /// What carries it.
    #[serde(default)]
    pub over: Transport,
    /// Why it is told of a phone of ours all the same, if that exchange looks like an attack.
    pub mistaken: Option<String>,
    /// Who caused it in truth: the only host that may be named.
    #[serde(default = "attacker")]
    source: IpAddr,
    /// What stands in the log.
    pub plain: Sample,
    /// What stands in the log when the sender wants 192.0.2.66 to be taken for him.
    pub forged: Option<Sample>,
}

/// What a message tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tells {
    /// An attack, and who did it.
    Attack,
    /// Perhaps an attack, but it names nobody, or somebody whom a stranger chose.
    Doubt,
    /// What attackers and ours bring about alike: the line does not tell which.
    Both,
    /// Nothing that phones, trunks and programs of ours do not do.
    Harmless,
    /// Our own request that was refused.
    Own,
}

/// One line, or several if the message breaks in two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// As it stands in the log, without the last line feed; empty if nothing is written.
    #[serde(default)]
    pub line: String,
    /// Our verdict on each line that a rule hits.
    pub ours: String,
    /// If it tells of something else than its message.
    tells: Option<Tells>,
    /// Why it is right that we do not count it, although it tells of an attack.
    pub instead: Option<String>,
    /// What is missing, if we do not count it and should.
    pub todo: Option<String>,
}

/// A sample of a message.
pub struct Record<'a> {
    pub sample: &'a Sample,
    /// What it tells of.
    pub tells: Tells,
    /// The only host that may be named.
    pub source: IpAddr,
}

impl Message {
    /// The exchange of an attacker that brings it about; `None`: none does.
    pub fn exchange(&self) -> Option<&str> {
        self.exchange.as_deref()
    }

    /// The plain sample.
    pub fn plain(&self) -> Record<'_> {
        self.record(&self.plain)
    }

    /// The forged sample.
    pub fn forged(&self) -> Option<Record<'_>> {
        self.forged.as_ref().map(|sample| self.record(sample))
    }

    /// All samples.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        [Some(self.plain()), self.forged()].into_iter().flatten()
    }

    fn record<'a>(&self, sample: &'a Sample) -> Record<'a> {
        Record { sample, tells: sample.tells.unwrap_or(self.tells), source: self.source }
    }
}

impl Record<'_> {
    /// What the line says of the packets that it is about: the Call-ID, and the nonce that was answered.
    pub fn traces(&self) -> [Option<&str>; 2] {
        let between = |after: &str, until: &str| {
            let (_, rest) = self.sample.line.split_once(after)?;
            let (text, _) = rest.split_once(until)?;
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "@.-_/".contains(c);
            text.chars().all(is_plain).then_some(text)
        };
        let by_event = || between("\",SessionID=\"", "\"");
        let call = between("' (callid: ", ") - ").or_else(by_event);
        [call, between("\",ReceivedChallenge=\"", "\"")]
    }

    /// A log that holds nothing else.
    pub fn log(&self) -> Vec<u8> {
        let line = &self.sample.line;
        if line.is_empty() { Vec::new() } else { format!("{line}\n").into_bytes() }
    }
}

fn attacker() -> IpAddr {
    ATTACKER
}

/// The messages in `text`, in their order.
pub fn read(text: &str) -> Result<Vec<Message>> {
    let File { message: messages } = toml::from_str(text).context("messages.toml")?;
    for message in &messages {
        let attack = message.tells == Tells::Attack;
        let text = &message.text;
        ensure!(attack == message.why.is_none(), "`why` is wanted, or not: {text}");
        let by_attackers = matches!(message.tells, Tells::Attack | Tells::Doubt | Tells::Both);
        ensure!(by_attackers == message.exchange.is_some(), "`exchange` is wanted, or not: {text}");
    }
    Ok(messages)
}
