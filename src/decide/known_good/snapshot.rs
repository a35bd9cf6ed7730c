//! The hosts that are known good, to be stored and restored.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{KnownAccount, KnownGood, KnownHost, Login, Run};
use crate::decide::offences::OffenceTable;
use crate::model::account::Account;
use crate::model::event::ChannelId;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// All hosts that are known good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownHosts {
    /// The number of a certain name as an account: with another program, names may have others.
    sample: Option<Account>,
    hosts: Vec<StoredHost>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredHost {
    host: String,
    login: Time,
    channel: u16,
    line: u64,
    ended: Option<Time>,
    /// Name, last login, last failure.
    accounts: Vec<(Account, Time, Option<Time>)>,
    /// Those of whose logins more than a line tells.
    #[serde(default)]
    proven: Vec<Account>,
}

impl KnownHosts {
    /// Returns how many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The accounts that have logged in from them.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.hosts.iter().flat_map(|kept| kept.accounts.iter().map(|(account, ..)| *account))
    }

    /// The last login from each host.
    pub fn logins(&self) -> impl Iterator<Item = (Subject, Time)> {
        self.hosts.iter().filter_map(|kept| Some((kept.host.parse().ok()?, kept.login)))
    }
}

fn sample() -> Option<Account> {
    Account::named(b"asterguard")
}

impl KnownGood {
    /// Counts all as changed, and records changes from now on.
    pub fn note_changes(&mut self) {
        self.changed = true;
        self.strangers.note_changes();
    }

    /// Returns all hosts, if anything has changed since the last call.
    pub fn take_changes(&mut self) -> Option<KnownHosts> {
        std::mem::take(&mut self.changed).then(|| KnownHosts {
            sample: sample(),
            hosts: self.hosts.iter().map(|(subject, host)| kept(*subject, host)).collect(),
        })
    }

    /// The offences of strangers at hosts that are known.
    pub fn strangers(&mut self) -> &mut OffenceTable {
        &mut self.strangers
    }

    /// Restores stored hosts; `channel` maps the stored numbers of logs to those of today.
    pub fn restore(
        &mut self,
        logins: &KnownHosts,
        now: Time,
        channel: impl Fn(u16) -> Option<u16>,
    ) {
        if !self.terms.enabled || logins.sample != sample() {
            return;
        }
        for kept in &logins.hosts {
            let Ok(subject) = kept.host.parse::<Subject>() else { continue };
            if kept.login.plus(self.terms.time) <= now || self.hosts.contains_key(&subject) {
                continue;
            }
            self.make_room();
            let host = host(kept, &channel);
            self.accounts += host.accounts.len();
            self.hosts.insert(subject, host);
        }
    }
}

fn kept(subject: Subject, host: &KnownHost) -> StoredHost {
    let KnownHost { accounts, login, ended, .. } = host;
    StoredHost {
        host: subject.to_string(),
        login: login.time,
        channel: login.channel.0,
        line: login.line,
        ended: *ended,
        accounts: accounts.iter().map(|known| (known.name, known.login, known.failed)).collect(),
        proven: accounts.iter().filter(|known| known.proven).map(|known| known.name).collect(),
    }
}

fn host(kept: &StoredHost, channel: impl Fn(u16) -> Option<u16>) -> KnownHost {
    // Of a log that is gone, the number of none.
    let channel = ChannelId(channel(kept.channel).unwrap_or(u16::MAX - 1));
    let proven: HashSet<_> = kept.proven.iter().collect();
    let known = |(name, login, failed): &(Account, Time, Option<Time>)| KnownAccount {
        name: *name,
        login: *login,
        proven: proven.contains(name),
        failed: *failed,
        run: Run::new(*login, channel),
    };
    KnownHost {
        accounts: kept.accounts.iter().take(super::PER_HOST).map(known).collect(),
        login: Login { time: kept.login, channel, line: kept.line },
        others: [Run::new(kept.login, channel); 2].into(),
        ended: kept.ended,
        trouble: None,
    }
}
