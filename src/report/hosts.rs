//! The bans of a span, by host, network, place and account, and which hosts came back.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use super::{LONGEST_NAME, MOST_LISTED, Span, short, top};
use crate::config::{FLEET, MANUAL};
use crate::decide::account_networks::LoginNetwork;
use crate::model::account::Account;
use crate::model::event::Lifted;
use crate::model::place::Place;
use crate::model::subject::{Subject, written};
use crate::model::time::Time;
use crate::notify::words::plain;
use crate::store::BanRecord;

/// Bans in a row whose lengths are told.
const MOST_LENGTHS: usize = 5;
/// Hosts and bans that a finding names.
const MOST_NAMED: usize = 5;

/// A host that was banned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostNumbers {
    /// The host, or its IPv6 network.
    pub host: String,
    /// Its attempts that led to bans.
    pub attempts: u64,
    /// Its bans.
    pub bans: u64,
    /// The jails that banned it.
    pub jails: Vec<String>,
    /// When its last ban began, in seconds since the epoch.
    pub last: i64,
    /// Where it is, as far as databases know.
    pub place: Option<Place>,
}

/// Something that hosts have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamedNumbers {
    /// Its name.
    pub name: String,
    /// The hosts; 0: they were not counted.
    pub hosts: u64,
    /// Their attempts that led to bans.
    pub attempts: u64,
    /// Their bans.
    pub bans: u64,
}

/// An account that banned hosts tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TriedAccount {
    /// Its name, or the first seven characters of it and `*`.
    pub account: String,
    /// How many of the banned hosts tried it.
    pub hosts: u64,
    /// Whether it has ever logged in here.
    pub exists: bool,
}

/// The hosts that came back after a ban had ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CameBack {
    /// How many hosts.
    pub hosts: usize,
    /// Those that came back most often.
    pub top: Vec<Returned>,
}

/// A host that came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Returned {
    /// The host.
    pub host: String,
    /// How often it was banned in all, as far as that is known.
    pub bans: usize,
    /// How long its last bans were meant to be in seconds, the oldest first; `null`: without end.
    pub lengths: Vec<Option<u64>>,
}

impl Returned {
    /// `1h, 4h, 16h`
    #[must_use]
    pub fn lengths_in_words(&self) -> String {
        let word = |length: &Option<u64>| {
            length.map_or("no end".to_owned(), |seconds| short(Duration::from_secs(seconds)))
        };
        let words: Vec<_> = self.lengths.iter().map(word).collect();
        let earlier = if self.bans > self.lengths.len() { "…, " } else { "" };
        format!("{earlier}{}", words.join(", "))
    }
}

/// Something that is named in a finding, at most [`MOST_NAMED`] of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub count: usize,
    pub names: Vec<String>,
}

impl Named {
    fn push(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.names.len() < MOST_NAMED {
            self.names.push(name());
        }
    }
}

/// What a report says of bans.
#[derive(Debug, Default)]
pub struct BanSummary {
    pub hosts: Vec<HostNumbers>,
    pub networks: Vec<NamedNumbers>,
    pub countries: Vec<NamedNumbers>,
    pub asns: Vec<NamedNumbers>,
    pub accounts: Vec<TriedAccount>,
    pub banned_hosts: usize,
    pub came_back: CameBack,
    /// Hosts that had logged in and were banned, and bans by hand that never end.
    pub logged_in: Named,
    pub endless: Named,
}

/// A ban, as far as a report needs it: about 120 bytes.
#[derive(Clone, Debug)]
struct Row {
    jail: Rc<str>,
    since: Time,
    until: Option<Time>,
    ended: Option<Time>,
    /// Whether another took its place.
    replaced: bool,
    attempts: u32,
    cause: Option<(Rc<str>, u64)>,
    login: Option<Time>,
    by: Option<Rc<str>>,
    address: IpAddr,
    accounts: Vec<Account>,
}

impl Row {
    /// Whether this is the ban `earlier`, which was renewed because its host was still sending.
    fn renews(&self, earlier: &Self) -> bool {
        let goes_on = earlier.ended.is_some_and(|ended| {
            self.since.since(ended).max(ended.since(self.since)) < Duration::from_secs(2)
        });
        earlier.replaced
            && goes_on
            && self.cause.is_some()
            && self.jail == earlier.jail
            && self.cause == earlier.cause
            && self.attempts == earlier.attempts
    }

    /// When the host may come back: the kernel lets go of it.
    fn end(&self) -> Option<Time> {
        self.ended.or(self.until)
    }
}

/// The bans, as they are handed over: the newest first. It takes about 200 bytes for each ban of the span, and each
/// earlier one of the same hosts; the state file has about 300 000 bans at most.
#[derive(Debug)]
pub struct BanLedger {
    begin: Time,
    hosts: HashMap<Subject, Vec<Row>>,
    names: HashSet<Rc<str>>,
    endless: Named,
}

impl BanLedger {
    /// Returns one without bans, for this span.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self {
            begin: span.begin(),
            hosts: HashMap::new(),
            names: HashSet::new(),
            endless: Named::default(),
        }
    }

    /// Takes up a ban.
    pub fn add(&mut self, ban: &BanRecord) {
        // What peers saw is for their reports.
        if *ban.jail == *FLEET {
            return;
        }
        let is_by_hand = ban.note.is_some() || *ban.jail == *MANUAL;
        if ban.ended.is_none() && ban.until.is_none() && is_by_hand {
            self.endless.push(|| {
                let by = ban.note.as_ref().map_or("?", |note| &note.by);
                let comment = ban.note.as_ref().and_then(|note| note.comment.as_deref());
                let comment = comment.map_or(String::new(), |comment| format!(": {comment}"));
                plain(&format!("{} (since {}, {by}{comment})", ban.host, ban.since), 120)
            });
        }
        // Ports of a host are the host.
        let host = if ban.host.is_flow() { Subject::of(ban.address, 128) } else { ban.host };
        if ban.since < self.begin && !self.hosts.contains_key(&host) {
            return;
        }
        let row = Row {
            jail: self.name(&ban.jail),
            since: ban.since,
            until: ban.until,
            ended: ban.ended.map(|(at, _)| at),
            replaced: matches!(ban.ended, Some((_, Lifted::Replaced))),
            attempts: ban.attempts,
            cause: ban.rule.as_ref().map(|(rule, line)| (self.name(rule), *line)),
            login: ban.login,
            by: ban.note.as_ref().map(|note| self.name(&note.by)),
            address: ban.address,
            accounts: ban.accounts.clone(),
        };
        self.hosts.entry(host).or_default().push(row);
    }

    /// Returns a name, of which there is one copy.
    fn name(&mut self, name: &str) -> Rc<str> {
        if let Some(known) = self.names.get(name) {
            return Rc::clone(known);
        }
        let new: Rc<str> = name.into();
        self.names.insert(Rc::clone(&new));
        new
    }

    /// Returns what there is to say. `exists` are the accounts that have logged in.
    #[must_use]
    pub fn summary(
        &self,
        span: Span,
        exists: &HashSet<Account>,
        place: impl Fn(IpAddr) -> Place,
    ) -> BanSummary {
        let mut summary = BanSummary { endless: self.endless.clone(), ..BanSummary::default() };
        let mut hosts = Vec::new();
        let mut networks: HashMap<LoginNetwork, NamedNumbers> = HashMap::new();
        let (mut countries, mut asns) = (HashMap::new(), HashMap::new());
        let mut accounts: HashMap<Account, u64> = HashMap::new();
        let mut returned = Vec::new();
        for (host, rows) in &self.hosts {
            let rows = without_renewals(rows);
            let of_span = || rows.iter().filter(|row| span.holds(row.since));
            let bans = of_span().count() as u64;
            let Some(last) = of_span().next_back() else { continue };
            let attempts = of_span().map(|row| u64::from(row.attempts)).sum();
            let is_by_hand = of_span().all(|row| row.by.is_some() || &*row.jail == MANUAL);
            let one = NamedNumbers { name: String::new(), hosts: 1, attempts, bans };
            let found = place(last.address);
            let organisation = found.organisation.map(|name| plain(&name, LONGEST_NAME));
            let found = Place { organisation, ..found };
            if !is_by_hand {
                add(&mut networks, LoginNetwork::of(last.address), &one);
                if let Some(country) = found.country {
                    add(&mut countries, country.to_string(), &one);
                }
                if let Some(network) = found.network() {
                    add(&mut asns, plain(&network, LONGEST_NAME), &one);
                }
            }
            let tried: HashSet<_> = of_span().flat_map(|row| &row.accounts).collect();
            for account in tried {
                *accounts.entry(*account).or_default() += 1;
            }
            if of_span().any(|row| row.login.is_some()) {
                summary.logged_in.push(|| host.to_string());
            }
            returned.extend(came_back(*host, &rows));
            hosts.push((*host, attempts, bans, last.since, found));
        }
        summary.banned_hosts = hosts.len();
        summary.came_back.hosts = returned.len();
        returned.sort_by(|a, b| b.bans.cmp(&a.bans).then_with(|| a.host.cmp(&b.host)));
        returned.truncate(MOST_LISTED);
        summary.came_back.top = returned;
        hosts.sort_by_key(|(host, attempts, bans, ..)| {
            (std::cmp::Reverse((*attempts, *bans)), *host)
        });
        hosts.truncate(MOST_LISTED);
        summary.hosts = hosts.into_iter().map(|found| self.numbers(span, found)).collect();
        let networks =
            networks.into_iter().map(|(network, numbers)| (written(&network.net()), numbers));
        summary.networks = largest(networks);
        summary.countries = largest(countries);
        summary.asns = largest(asns);
        let tried = accounts.into_iter().map(|(account, hosts)| TriedAccount {
            account: account.to_string(),
            hosts,
            exists: exists.contains(&account),
        });
        let mut tried: Vec<_> = tried.collect();
        tried.sort_by(|a, b| a.account.cmp(&b.account));
        summary.accounts = top(tried, |account| account.hosts);
        summary
    }

    fn numbers(
        &self,
        span: Span,
        (host, attempts, bans, last, place): (Subject, u64, u64, Time, Place),
    ) -> HostNumbers {
        let rows = self.hosts.get(&host).into_iter().flatten();
        let jails: BTreeSet<_> = rows
            .filter(|row| span.holds(row.since))
            .map(|row| plain(&row.jail, LONGEST_NAME))
            .collect();
        HostNumbers {
            host: host.to_string(),
            attempts,
            bans,
            jails: jails.into_iter().take(MOST_NAMED).collect(),
            last: last.secs(),
            place: (!place.is_unknown()).then_some(place),
        }
    }
}

/// Returns bans in the order of their begins; one that was renewed is one.
fn without_renewals(rows: &[Row]) -> Vec<Row> {
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(|row| row.since);
    let mut bans: Vec<Row> = Vec::with_capacity(sorted.len());
    for row in sorted {
        match bans.iter_mut().rev().find(|earlier| row.renews(earlier)) {
            Some(earlier) => {
                (earlier.until, earlier.ended) = (row.until, row.ended);
                earlier.replaced = row.replaced;
            }
            None => bans.push(row),
        }
    }
    bans
}

/// Returns how often a host came back, if it did: bans at the same time, of several jails or ports, are one.
fn came_back(host: Subject, rows: &[Row]) -> Option<Returned> {
    let mut stays: Vec<(Option<Time>, Option<u64>)> = Vec::new();
    for row in rows {
        let length = row.until.map(|until| until.since(row.since).as_secs());
        match stays.last_mut() {
            Some((end, longest)) if end.is_none_or(|end| end > row.since) => {
                *end = end.zip(row.end()).map(|(a, b)| a.max(b));
                *longest = longest.zip(length).map(|(a, b)| a.max(b));
            }
            _ => stays.push((row.end(), length)),
        }
    }
    let bans = stays.len();
    (bans > 1).then(|| Returned {
        host: host.to_string(),
        bans,
        lengths: stays
            .iter()
            .skip(bans.saturating_sub(MOST_LENGTHS))
            .map(|(_, length)| *length)
            .collect(),
    })
}

fn add<K: Eq + Hash>(all: &mut HashMap<K, NamedNumbers>, key: K, one: &NamedNumbers) {
    let numbers = all.entry(key).or_default();
    numbers.hosts += one.hosts;
    numbers.attempts += one.attempts;
    numbers.bans += one.bans;
}

fn largest(all: impl IntoIterator<Item = (String, NamedNumbers)>) -> Vec<NamedNumbers> {
    // In the order of their names where they are alike.
    let all: BTreeMap<_, _> = all.into_iter().collect();
    let named = all.into_iter().map(|(name, numbers)| NamedNumbers { name, ..numbers });
    top(named.collect(), |numbers| (numbers.attempts, numbers.hosts))
}
