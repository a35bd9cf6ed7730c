//! The networks that accounts log in from. A login from a network that its account never used is the first sign of a
//! stolen password.
//!
//! For a while after an account was first seen, its networks are learned in silence. After that, a login from another
//! network raises an alarm, and protects nobody: its host does not become [known good](super::known_good) by it.
//! The network counts as used when somebody says so, or by a login there a day later.
//!
//! Some accounts move: a phone on mobile data, a home whose provider changes its address each day. An account
//! that used a new network on [`MOVES`] days of a month, its first day left out, or more than [`MOST_USED`] in all,
//! raises no alarm any more. Days are counted and not networks, so that IPv4 and IPv6 of one place are one move.
//!
//! Of such an account, the country still says something, where a database of the administrator knows it: the first login
//! from a country that the account never used raises the same alarm.
//!
//! Only proven logins are looked at: of an exchange that was seen, or of a record that no sender can end or begin. A line
//! that a stranger may have written teaches nothing and raises no alarm. So an attacker needs a password to change
//! anything here; with one, it makes no more than some alarms, and takes no more room than the account has.

mod alarm_limit;
mod network;
mod snapshot;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use foldhash::fast::RandomState;
use ipnet::IpNet;
use thiserror::Error;

use crate::config;
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Decision, Event, Evidence, NewNetworkLogin, RoamingAccount};
use crate::model::eviction;
use crate::model::place::Country;
use crate::model::time::Time;
use alarm_limit::AlarmLimit;
pub use network::LoginNetwork;
use snapshot::Changes;
pub use snapshot::{AccountChanges, StoredAccount, StoredAccounts, StoredNetwork};

/// Accounts that are known, at most 1000 bytes each with all their networks and countries: 32 MiB if each has all of them,
/// and usually a fifth of that. When there are more, of eight the one whose last login is the longest ago is forgotten.
pub const CAPACITY: usize = 1 << 15;
/// Networks of one account that count as used; the one that was used the longest ago gives way.
pub const MOST_USED: usize = 16;
/// Networks of one account that have raised an alarm. With more, one whose alarm is a day old gives way; if there is none,
/// the new one raises no alarm, and its logins protect nobody either.
pub const MOST_ALARMS: usize = 4;
/// Countries of one account that are remembered; the one that was used the longest ago gives way.
pub const MOST_COUNTRIES: usize = 16;
/// An account that used a new network on this many days of [`MONTH`], its first day left out, moves.
pub const MOVES: usize = 3;
/// The time in which these days are counted, in seconds.
const MONTH: u32 = 30 * DAY;
/// A network counts as used by a login this long after the alarm, in seconds.
const DAY: u32 = 86_400;
/// A network that has raised an alarm is forgotten when nobody has logged in from there for so long, in seconds.
const FORGOTTEN: u32 = 7 * DAY;

/// The networks of all accounts.
#[derive(Debug)]
pub struct AccountNetworks {
    terms: config::NewNetworks,
    accounts: HashMap<Account, AccountHistory, RandomState>,
    limit: AlarmLimit,
    changes: Changes,
}

/// The history of an account. Times are in seconds since the epoch.
#[derive(Debug)]
struct AccountHistory {
    first: u32,
    last: u32,
    /// Where the last login came from.
    host: IpAddr,
    /// Whether its networks change too often to tell anything.
    roams: bool,
    /// The last days on which it used a new network, newest first; 0: none.
    moves: [u32; MOVES - 1],
    networks: Vec<KnownNetwork>,
    /// The countries that it has logged in from, as far as they are known.
    countries: Vec<KnownCountry>,
}

/// A network that an account has logged in from.
#[derive(Clone, Copy, Debug)]
struct KnownNetwork {
    network: LoginNetwork,
    /// Whether it has raised an alarm, and does not count as used yet.
    alarm: bool,
    since: u32,
    last: u32,
}

/// A country that an account has logged in from.
#[derive(Clone, Copy, Debug)]
struct KnownCountry {
    country: Country,
    /// The times, and the network of its last login there.
    at: KnownNetwork,
}

/// What a login says of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginPlace {
    /// Nothing: the account uses this network, is new, or moves.
    Usual,
    /// The account has never used this network: the login protects nobody.
    New,
}

/// The reason why an account is not found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoAccount {
    /// No account of that name has logged in.
    #[error("no account {0:?} has logged in: `asterguard accounts` shows all of them")]
    Unknown(String),
    /// Several names begin so.
    #[error("{1} accounts begin with {0:?}: write the whole name")]
    Several(String, usize),
}

impl AccountNetworks {
    /// Returns a table without accounts.
    #[must_use]
    pub fn new(terms: &config::NewNetworks) -> Self {
        Self {
            terms: terms.clone(),
            accounts: HashMap::default(),
            limit: AlarmLimit::default(),
            changes: Changes::default(),
        }
    }

    /// Changes the terms. What was learned stays.
    pub fn change(&mut self, terms: &config::NewNetworks) {
        self.terms = terms.clone();
    }

    /// Takes up a login that can be believed, and adds what is to be said of it to `out`. No alarm is raised about a host
    /// that `is_trusted`. `country` says where the host is.
    pub fn login(
        &mut self,
        event: &Event,
        country: impl FnOnce() -> Option<Country>,
        is_trusted: impl Fn() -> bool,
        out: &mut Vec<Decision>,
    ) -> LoginPlace {
        let (Some(account), true) = (event.account, self.terms.enabled) else {
            return LoginPlace::Usual;
        };
        match self.login_in_network(event, account, &is_trusted, out) {
            LoginPlace::Usual => country().map_or(LoginPlace::Usual, |country| {
                self.login_in_country(event, account, country, &is_trusted, out)
            }),
            LoginPlace::New => LoginPlace::New,
        }
    }

    fn login_in_network(
        &mut self,
        event: &Event,
        account: Account,
        is_trusted: impl Fn() -> bool,
        out: &mut Vec<Decision>,
    ) -> LoginPlace {
        let network = LoginNetwork::of(event.host);
        let learn = seconds(self.terms.learn);
        if event.evidence < Evidence::Proven {
            let known = self.accounts.get(&account);
            return known.map_or(LoginPlace::Usual, |known| {
                known.weigh_unproven(network, event.time.secs32(), learn)
            });
        }
        self.make_room(account);
        let now = event.time.secs32();
        let known =
            self.accounts.entry(account).or_insert_with(|| AccountHistory::new(now, event.host));
        self.changes.note(account);
        let now = now.max(known.last);
        let is_again = LoginNetwork::of(known.host) == network;
        (known.last, known.host) = (now, event.host);
        known.forget_alarms(now);
        let is_silent = known.roams || known.learns(now, learn);
        match known.networks.iter_mut().find(|known| known.network == network) {
            Some(at) if at.alarm && now.saturating_sub(at.since) < DAY => {
                at.last = now;
                return LoginPlace::New;
            }
            Some(at) => {
                at.last = now;
                // Nobody has said otherwise for a day.
                if !std::mem::take(&mut at.alarm) {
                    return LoginPlace::Usual;
                }
                known.makes_room_for_used();
            }
            None if is_silent => {
                if known.use_new(network, now) > MOST_USED {
                    self.roams(account, out, event.time);
                    return LoginPlace::Usual;
                }
            }
            None if is_trusted() => return LoginPlace::Usual,
            None => {
                let is_told = known.alarm(network, now) && self.limit.allows(now);
                if is_told {
                    out.push(Decision::NewNetwork(known.told(account, event.host)));
                } else if !is_again {
                    self.limit.withhold();
                }
                return LoginPlace::New;
            }
        }
        self.moved(account, now, out);
        LoginPlace::Usual
    }

    /// Weighs the country of a login whose network says nothing against it. It counts only of an account that moves; of
    /// others it is learned.
    fn login_in_country(
        &mut self,
        event: &Event,
        account: Account,
        country: Country,
        is_trusted: impl Fn() -> bool,
        out: &mut Vec<Decision>,
    ) -> LoginPlace {
        let learn = seconds(self.terms.learn);
        let Some(known) = self.accounts.get_mut(&account) else { return LoginPlace::Usual };
        let is_silent = !known.roams || known.learns_countries(event.time.secs32(), learn);
        let at = known.countries.iter_mut().find(|known| known.country == country);
        if event.evidence < Evidence::Proven {
            let is_used = at.is_some_and(|known| !known.at.alarm);
            return if is_silent || is_used { LoginPlace::Usual } else { LoginPlace::New };
        }
        let (now, network) = (event.time.secs32().max(known.last), LoginNetwork::of(event.host));
        if let Some(KnownCountry { at, .. }) = at {
            (at.last, at.network) = (now, network);
            if at.alarm && now.saturating_sub(at.since) < DAY {
                return LoginPlace::New;
            }
            at.alarm = false;
            return LoginPlace::Usual;
        }
        let is_alarm = !is_silent && !is_trusted();
        if known.countries.len() >= MOST_COUNTRIES {
            let countries = known.countries.iter().enumerate();
            if let Some((oldest, _)) = countries.min_by_key(|(_, known)| known.at.last) {
                known.countries.remove(oldest);
            }
        }
        let at = KnownNetwork { network, alarm: is_alarm, since: now, last: now };
        known.countries.push(KnownCountry { country, at });
        if !is_alarm {
            return LoginPlace::Usual;
        }
        if self.limit.allows(now) {
            let login = known.told(account, event.host);
            out.push(Decision::NewNetwork(NewNetworkLogin { country: Some(country), ..login }));
        } else {
            self.limit.withhold();
        }
        LoginPlace::New
    }

    /// Records that an account has used a new network today.
    fn moved(&mut self, account: Account, now: u32, out: &mut Vec<Decision>) {
        let Some(known) = self.accounts.get_mut(&account) else { return };
        if known.moved(now) {
            self.roams(account, out, Time::from_secs(now.into()));
        }
    }

    /// Raises no alarm about an account from now on, and says so once.
    fn roams(&mut self, account: Account, out: &mut Vec<Decision>, now: Time) {
        let Some(known) = self.accounts.get_mut(&account) else { return };
        if std::mem::replace(&mut known.roams, true) {
            return;
        }
        let networks = known.used();
        let since = Time::from_secs(known.first.into());
        if self.limit.allows_roaming(now.secs32()) {
            out.push(Decision::AccountRoams(RoamingAccount { account, networks, since }));
        }
    }

    /// Lets time pass: says how many alarms were withheld.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Decision>) {
        out.extend(self.limit.tick(now.secs32()).map(Decision::NewNetworksWithheld));
    }

    /// Returns the account of a name as it is written, or as it is shown.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn named(&self, name: &str) -> Result<Account, NoAccount> {
        let whole = Account::named(name.as_bytes()).filter(|name| self.accounts.contains_key(name));
        if let Some(account) = whole {
            return Ok(account);
        }
        let mut shown = self.accounts.keys().filter(|known| known.to_string() == name);
        let (first, more) = (shown.next(), shown.count());
        match first {
            Some(account) if more == 0 => Ok(*account),
            Some(_) => Err(NoAccount::Several(name.to_owned(), more + 1)),
            None => Err(NoAccount::Unknown(name.to_owned())),
        }
    }

    /// Lets networks of an account count as used: those of its alarms that `net` overlaps, or all of them. If there is
    /// no such alarm and `net` lies in one network, that one. Returns them.
    pub fn acknowledge(
        &mut self,
        account: Account,
        net: Option<&IpNet>,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Vec<IpNet> {
        let Some(known) = self.accounts.get_mut(&account) else { return Vec::new() };
        let now = now.secs32().max(known.first);
        let mut done = known.acknowledge(net);
        let network = net.and_then(LoginNetwork::holding).filter(|_| done.is_empty());
        if let Some(network) = network.filter(|network| !known.knows(*network)) {
            known.use_new(network, now);
            done.push(network.net());
        }
        if !done.is_empty() {
            known.makes_room_for_used();
            self.changes.note(account);
            self.moved(account, now, out);
        }
        done
    }

    /// Does the same for the alarms of all accounts in `net`. Returns the accounts.
    pub fn acknowledge_all(
        &mut self,
        net: &IpNet,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Vec<Account> {
        let concerned = |known: &AccountHistory| known.alarms_in(Some(net)).next().is_some();
        let accounts = self.accounts.iter().filter(|(_, known)| concerned(known));
        let accounts: Vec<_> = accounts.map(|(account, _)| *account).collect();
        for account in &accounts {
            self.acknowledge(*account, Some(net), now, out);
        }
        accounts
    }

    /// Forgets an account: it is new by its next login.
    pub fn forget(&mut self, account: Account) {
        if self.accounts.remove(&account).is_some() {
            self.changes.note(account);
        }
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for known in self.accounts.values_mut() {
            let moves = known.moves.iter_mut().filter(|time| **time != 0);
            let times = [&mut known.first, &mut known.last].into_iter().chain(moves);
            let countries = known.countries.iter_mut().map(|known| &mut known.at);
            let networks = known.networks.iter_mut().chain(countries);
            let networks = networks.flat_map(|at| [&mut at.since, &mut at.last]);
            for time in times.chain(networks) {
                *time = step.correct_secs(*time);
            }
        }
        self.limit.correct(step);
        self.changes.note_all();
    }

    fn make_room(&mut self, account: Account) {
        if self.accounts.len() < CAPACITY || self.accounts.contains_key(&account) {
            return;
        }
        let oldest = eviction::least(&self.accounts, |known| known.last);
        if let Some(account) = oldest {
            self.accounts.remove(&account);
            self.changes.note(account);
        }
    }
}

impl AccountHistory {
    fn new(now: u32, host: IpAddr) -> Self {
        let network = LoginNetwork::of(host);
        Self {
            first: now,
            last: now,
            host,
            roams: false,
            moves: [0; MOVES - 1],
            networks: vec![KnownNetwork { network, alarm: false, since: now, last: now }],
            countries: Vec::new(),
        }
    }

    fn learns(&self, now: u32, learn: u32) -> bool {
        now.saturating_sub(self.first) < learn
    }

    /// Whether its countries are learned still: from the first login whose country was known.
    fn learns_countries(&self, now: u32, learn: u32) -> bool {
        let first = self.countries.iter().map(|known| known.at.since).min();
        first.is_none_or(|first| now.saturating_sub(first) < learn)
    }

    fn knows(&self, network: LoginNetwork) -> bool {
        self.networks.iter().any(|known| known.network == network && !known.alarm)
    }

    fn used(&self) -> usize {
        self.networks.iter().filter(|known| !known.alarm).count()
    }

    fn alarms_in<'a>(
        &'a self,
        net: Option<&'a IpNet>,
    ) -> impl Iterator<Item = &'a KnownNetwork> + 'a {
        let countries = self.countries.iter().map(|known| &known.at);
        let all = self.networks.iter().chain(countries);
        all.filter(move |known| known.alarm && known.is_in(net))
    }

    /// Weighs a login of which only a line tells: it teaches nothing, and protects nobody where a proven one would not.
    fn weigh_unproven(&self, network: LoginNetwork, now: u32, learn: u32) -> LoginPlace {
        if self.roams || self.learns(now, learn) || self.knows(network) {
            LoginPlace::Usual
        } else {
            LoginPlace::New
        }
    }

    /// Forgets alarms of networks that nobody logs in from any more.
    fn forget_alarms(&mut self, now: u32) {
        let is_kept =
            |known: &KnownNetwork| !known.alarm || now.saturating_sub(known.last) < FORGOTTEN;
        self.networks.retain(is_kept);
        self.countries.retain(|known| is_kept(&known.at));
    }

    /// Lets a new network count as used. Returns how many do, before one gives way.
    fn use_new(&mut self, network: LoginNetwork, now: u32) -> usize {
        self.networks.retain(|known| known.network != network);
        self.networks.push(KnownNetwork { network, alarm: false, since: now, last: now });
        let used = self.used();
        self.makes_room_for_used();
        used
    }

    /// Forgets the network that was used the longest ago where there are too many.
    fn makes_room_for_used(&mut self) {
        if self.used() <= MOST_USED {
            return;
        }
        let used = self.networks.iter().enumerate().filter(|(_, known)| !known.alarm);
        if let Some((oldest, _)) = used.min_by_key(|(_, known)| known.last) {
            self.networks.remove(oldest);
        }
    }

    /// Notes the alarm of a network. Returns false where there were too many within a day.
    fn alarm(&mut self, network: LoginNetwork, now: u32) -> bool {
        if self.networks.iter().filter(|known| known.alarm).count() >= MOST_ALARMS {
            let alarms = self.networks.iter().enumerate().filter(|(_, known)| known.alarm);
            let oldest = alarms.min_by_key(|(_, known)| known.since);
            match oldest.filter(|(_, known)| now.saturating_sub(known.since) >= DAY) {
                Some((oldest, _)) => {
                    self.networks.remove(oldest);
                }
                None => return false,
            }
        }
        self.networks.push(KnownNetwork { network, alarm: true, since: now, last: now });
        true
    }

    /// Records that it used a new network. Returns whether it did so on too many days lately.
    fn moved(&mut self, now: u32) -> bool {
        let day = |time: u32| time.saturating_sub(self.first) / DAY;
        let today = day(now);
        let [newest, ..] = self.moves;
        if today == 0 || (newest != 0 && day(newest) == today) {
            return false;
        }
        let is_lately = |time: &u32| *time != 0 && now.saturating_sub(*time) < MONTH;
        let are_many = self.moves.iter().all(is_lately);
        self.moves.rotate_right(1);
        let [newest, ..] = &mut self.moves;
        *newest = now;
        are_many
    }

    fn acknowledge(&mut self, net: Option<&IpNet>) -> Vec<IpNet> {
        let countries = self.countries.iter_mut().map(|known| &mut known.at);
        let all = self.networks.iter_mut().chain(countries);
        let alarms = all.filter(|known| known.alarm && known.is_in(net));
        let done = alarms.map(|known| {
            known.alarm = false;
            known.network.net()
        });
        done.collect()
    }

    /// Returns what is said of a login from a network that was not used before.
    fn told(&self, account: Account, host: IpAddr) -> NewNetworkLogin {
        let used = self.networks.iter().filter(|known| !known.alarm);
        let last = used.max_by_key(|known| known.last);
        NewNetworkLogin {
            account,
            host,
            network: LoginNetwork::of(host).net(),
            since: Time::from_secs(self.first.into()),
            networks: self.used(),
            before: last.map(|known| known.network.net()),
            country: None,
        }
    }
}

impl KnownNetwork {
    fn is_in(&self, net: Option<&IpNet>) -> bool {
        let own = self.network.net();
        net.is_none_or(|net| net.contains(&own) || own.contains(net))
    }
}

fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}

/// The host of an account that was restored and whose last host makes no sense.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests;
