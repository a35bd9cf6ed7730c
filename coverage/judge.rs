//! Whether it is right to name these hosts for a message.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::Result;

use crate::messages::{Message, Record, Tells};
use crate::ours::{Asterguard, Verdict};

/// How an answer compares with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The attacker is named.
    Caught,
    /// Nobody is named, but an attack was there to be seen.
    Missed,
    /// Nobody is named, and nobody should be.
    Silent,
    /// The attacker is named, but the same line could name anybody.
    Lucky,
    /// A host is named that did nothing wrong.
    Overdone,
    /// A host is named that has nothing to do with it.
    WrongHost,
}

impl Outcome {
    /// Of an answer that counts against the hosts in `named`.
    pub fn of(record: &Record<'_>, named: &BTreeSet<IpAddr>) -> Self {
        match (record.tells, named.is_empty()) {
            _ if named.iter().any(|host| *host != record.source) => Self::WrongHost,
            (Tells::Attack, false) => Self::Caught,
            (Tells::Attack, true) => Self::Missed,
            (Tells::Doubt, false) => Self::Lucky,
            (_, false) => Self::Overdone,
            (_, true) => Self::Silent,
        }
    }

    /// Whether somebody is named who must not be.
    pub fn is_harmful(self) -> bool {
        matches!(self, Self::Overdone | Self::WrongHost)
    }

    /// Whether its sender is named, be it right or not.
    pub fn names_sender(self) -> bool {
        matches!(self, Self::Caught | Self::Lucky | Self::Overdone)
    }
}

/// What our two ways of judging make of a message.
pub struct Judged {
    /// The plain line, where nothing else is seen.
    pub text: Verdict,
    /// The plain line and the exchange of an attacker; `None`: none brings it about.
    pub attacked: Option<Verdict>,
    /// The hosts that are named wrongly, by the line alone, and where exchanges are seen.
    pub harm: [BTreeSet<IpAddr>; 2],
}

impl Judged {
    /// Judges a message in all its samples.
    pub fn of(message: &Message, asterguard: &Asterguard) -> Result<Self> {
        let plain = message.plain();
        let script = message.exchange().map(|name| asterguard.script(name)).transpose()?;
        let innocent = message.innocent.as_ref().map(|name| asterguard.script(name)).transpose()?;
        let mut harm = [BTreeSet::new(), BTreeSet::new()];
        for record in message.records() {
            let named = asterguard.by_text(&record).named;
            if Outcome::of(&record, &named).is_harmful() {
                harm[0].extend(named);
            }
            if let Some(script) = script {
                let named = asterguard.with_exchange(message, &record, script).named;
                harm[1].extend(named.into_iter().filter(|host| *host != record.source));
            }
        }
        if let Some(innocent) = innocent {
            harm[1].extend(asterguard.with_exchange(message, &plain, innocent).named);
        }
        let attacked = script.map(|script| asterguard.with_exchange(message, &plain, script));
        Ok(Self { text: asterguard.by_text(&plain), attacked, harm })
    }

    /// What is wrong with naming hosts beside an exchange, if anything is.
    pub fn complaint(&self, message: &Message) -> Option<String> {
        let named = &self.harm[1];
        match (named.is_empty(), &message.mistaken) {
            (true, None) | (false, Some(_)) => None,
            (true, Some(_)) => Some(format!("nobody is mistaken: {}", message.text)),
            (false, None) => {
                Some(format!("by exchange, {named:?} must not be named: {}", message.text))
            }
        }
    }
}

/// What is wrong with our answer to a line, if anything is.
pub fn complaint(record: &Record<'_>, verdict: &Verdict) -> Option<String> {
    let (named, said) = (&verdict.named, verdict.in_words());
    let reason = record.sample.instead.is_some() || record.sample.todo.is_some();
    let wrong = match Outcome::of(record, named) {
        Outcome::Lucky | Outcome::Overdone | Outcome::WrongHost => {
            format!("{named:?} must not be named")
        }
        _ if said != record.sample.ours => format!("{said}, but `ours` is {}", record.sample.ours),
        Outcome::Caught | Outcome::Silent if !reason => return None,
        Outcome::Missed if reason => return None,
        Outcome::Caught | Outcome::Silent => "nothing is missed, so why a reason?".to_owned(),
        Outcome::Missed => "missed, and no `instead` or `todo` says why".to_owned(),
    };
    Some(format!("{wrong}: {}", record.sample.line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_outcome() {
        let outcome = |tells: &str, named: &[&str]| {
            let text = format!(
                "family = '-'\ntext = '-'\ntells = '{tells}'\nplain = {{ line = '-', ours = '-' }}"
            );
            let message: Message = toml::from_str(&text).unwrap();
            Outcome::of(&message.plain(), &named.iter().map(|host| host.parse().unwrap()).collect())
        };
        assert_eq!(outcome("attack", &["203.0.113.9"]), Outcome::Caught);
        assert_eq!(outcome("attack", &[]), Outcome::Missed);
        assert_eq!(outcome("attack", &["192.0.2.66"]), Outcome::WrongHost);
        assert_eq!(outcome("attack", &["203.0.113.9", "192.0.2.66"]), Outcome::WrongHost);
        assert_eq!(outcome("harmless", &["203.0.113.9"]), Outcome::Overdone);
        assert_eq!(outcome("both", &["203.0.113.9"]), Outcome::Overdone);
        assert_eq!(outcome("both", &[]), Outcome::Silent);
        assert_eq!(outcome("doubt", &[]), Outcome::Silent);
        assert_eq!(outcome("doubt", &["203.0.113.9"]), Outcome::Lucky);
        assert_eq!(outcome("own", &["192.0.2.66"]), Outcome::WrongHost);
    }
}
