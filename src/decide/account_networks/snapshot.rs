//! The networks of accounts, to be shown, stored and restored.

use std::collections::HashSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    AccountHistory, AccountNetworks, CAPACITY, KnownCountry, KnownNetwork, LoginNetwork,
    MOST_ALARMS, MOST_COUNTRIES, MOST_USED, MOVES, NOWHERE,
};
use crate::model::account::Account;
use crate::model::place::Country;
use crate::model::time::Time;

/// An account and its networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account.
    pub account: Account,
    /// The time of its first login.
    pub first: Time,
    /// The time of its last one.
    pub last: Time,
    /// The host that this one came from, as text.
    pub host: String,
    /// Whether it raises no alarm, because it moves.
    pub roams: bool,
    /// The last days on which it used a new network, newest first.
    pub moves: Vec<Time>,
    /// Its networks, in the order in which they were first used.
    pub networks: Vec<StoredNetwork>,
}

/// A network of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredNetwork {
    /// The network.
    pub net: IpNet,
    /// The time of the first login from there; of an alarm, when it was raised.
    pub since: Time,
    /// The time of the last login from there.
    pub last: Time,
    /// Whether it has raised an alarm, and does not count as used yet.
    #[serde(default)]
    pub alarm: bool,
    /// The country, if it is an entry about a country; the network is then the last one there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}

/// All accounts, as they were stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAccounts {
    /// The number of a certain name as an account: with another program, names may have others.
    pub sample: Option<Account>,
    /// For how long networks are learned, in seconds.
    pub learn: u64,
    /// The accounts.
    pub accounts: Vec<StoredAccount>,
}

/// The accounts that have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChanges {
    /// Whether these are all that there are.
    pub is_all: bool,
    /// The accounts.
    pub known: StoredAccounts,
    /// Those that are forgotten.
    pub gone: Vec<Account>,
}

/// The accounts that have changed since they were last stored, at most [`CAPACITY`]; with more, all of them have.
#[derive(Debug, Default)]
pub(super) enum Changes {
    /// Nobody wants to know.
    #[default]
    Unwatched,
    Some(HashSet<Account>),
    All,
}

impl Changes {
    pub fn note(&mut self, account: Account) {
        if let Self::Some(changed) = self {
            changed.insert(account);
            if changed.len() > CAPACITY {
                *self = Self::All;
            }
        }
    }

    pub fn note_all(&mut self) {
        if !matches!(self, Self::Unwatched) {
            *self = Self::All;
        }
    }
}

fn sample() -> Option<Account> {
    Account::named(b"asterguard")
}

impl AccountNetworks {
    /// Counts all as changed, and records changes from now on.
    pub fn note_changes(&mut self) {
        self.changes = Changes::All;
    }

    /// Returns what has changed since the last call; `None`: nothing.
    pub fn take_changes(&mut self) -> Option<AccountChanges> {
        let fresh = match self.changes {
            Changes::Unwatched => return None,
            Changes::Some(_) | Changes::All => Changes::Some(HashSet::new()),
        };
        let changes = std::mem::replace(&mut self.changes, fresh);
        let Changes::Some(changed) = changes else {
            return Some(AccountChanges { is_all: true, known: self.stored(), gone: Vec::new() });
        };
        if changed.is_empty() {
            return None;
        }
        let mut known = StoredAccounts { accounts: Vec::new(), ..self.terms_stored() };
        let mut gone = Vec::new();
        for account in changed {
            match self.accounts.get(&account) {
                Some(history) => known.accounts.push(kept(account, history)),
                None => gone.push(account),
            }
        }
        Some(AccountChanges { is_all: false, known, gone })
    }

    /// Returns all accounts.
    #[must_use]
    pub fn stored(&self) -> StoredAccounts {
        let accounts = self.accounts.iter().map(|(account, known)| kept(*account, known));
        StoredAccounts { accounts: accounts.collect(), ..self.terms_stored() }
    }

    fn terms_stored(&self) -> StoredAccounts {
        let learn = self.terms.learn.as_secs();
        StoredAccounts { sample: sample(), learn, accounts: Vec::new() }
    }

    /// Restores stored accounts, as of `now`: the clock may have been set back since.
    pub fn restore(&mut self, stored: &StoredAccounts, now: Time) {
        if stored.sample != sample() {
            return;
        }
        for kept in stored.accounts.iter().take(CAPACITY) {
            self.accounts.entry(kept.account).or_insert_with(|| history(kept, now));
        }
    }
}

fn time(secs: u32) -> Time {
    Time::from_secs(secs.into())
}

fn kept(account: Account, known: &AccountHistory) -> StoredAccount {
    let network = |known: &KnownNetwork, country| StoredNetwork {
        net: known.network.net(),
        since: time(known.since),
        last: time(known.last),
        alarm: known.alarm,
        country,
    };
    let networks = known.networks.iter().map(|known| network(known, None));
    let countries = known.countries.iter().map(|known| network(&known.at, Some(known.country)));
    StoredAccount {
        account,
        first: time(known.first),
        last: time(known.last),
        host: known.host.to_string(),
        roams: known.roams,
        moves: known.moves.iter().filter(|secs| **secs != 0).map(|secs| time(*secs)).collect(),
        networks: networks.chain(countries).collect(),
    }
}

fn history(kept: &StoredAccount, now: Time) -> AccountHistory {
    let secs = |time: Time| time.min(now).secs32();
    let mut moves = [0; MOVES - 1];
    moves.iter_mut().zip(&kept.moves).for_each(|(place, time)| *place = secs(*time));
    let network = |kept: &StoredNetwork| {
        let network = LoginNetwork::holding(&kept.net)?;
        let (since, last) = (secs(kept.since), secs(kept.last));
        Some(KnownNetwork { network, alarm: kept.alarm, since, last })
    };
    let country =
        |kept: &StoredNetwork| Some(KnownCountry { country: kept.country?, at: network(kept)? });
    let is_network = |kept: &&StoredNetwork| kept.country.is_none();
    let networks = kept.networks.iter().filter(is_network).take(MOST_USED + MOST_ALARMS);
    AccountHistory {
        first: secs(kept.first),
        last: secs(kept.last),
        host: kept.host.parse().unwrap_or(NOWHERE),
        roams: kept.roams,
        moves,
        networks: networks.filter_map(network).collect(),
        countries: kept.networks.iter().filter_map(country).take(MOST_COUNTRIES).collect(),
    }
}
