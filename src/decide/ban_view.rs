//! The bans as somebody sees them who looks on: a copy beside the engine, with what else is known of the hosts, filtered
//! and sorted. With 100 000 bans, it is brought up to date and sorted in milliseconds, and the engine does none of it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::ban_activity::{CounterReading, ElementKey};
use super::engine::{WatchedBan, WatchedChange};
use super::plan::Plan;
use crate::model::account::Account;
use crate::model::event::{Ban, Class, Event, JailId, Meaning, RuleId, ScopeId};
use crate::model::eviction;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Hosts whose last attempt is remembered; about 100 bytes each.
const MOST_HOSTS: usize = 1 << 16;

/// Bans of hosts that had logged in, which a page names besides.
const MOST_KNOWN: usize = 64;

/// The order of bans; each begins with the greatest. Bans of hosts that had logged in come first in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanOrder {
    /// By the last packet.
    #[default]
    Last,
    /// By attempts.
    Tries,
    /// By dropped packets.
    Dropped,
    /// By the time that is left.
    Left,
    /// By the number of bans.
    Bans,
}

impl BanOrder {
    /// All orders, in the order in which somebody goes through them, with their names.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Last, "last"),
        (Self::Tries, "tries"),
        (Self::Dropped, "dropped"),
        (Self::Left, "left"),
        (Self::Bans, "bans"),
    ];
}

/// The bans that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanFilter {
    /// All.
    All,
    /// Those that hold this host or network, or lie in it.
    Whom(Subject),
    /// Those whose jail's name contains this text, whose host tried or used the account of this name, or whose address
    /// begins with it.
    Text(String),
}

impl BanFilter {
    /// Reads what somebody typed.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text = text.trim();
        match text.parse() {
            _ if text.is_empty() => Self::All,
            Ok(whom) => Self::Whom(whom),
            Err(_) => Self::Text(text.to_owned()),
        }
    }
}

/// The last that was seen of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// The time of the last attempt or login.
    pub time: Time,
    /// The rule and class of the last attempt.
    pub attempt: Option<(RuleId, Class)>,
    /// The account that it tried last.
    pub tried: Option<Account>,
    /// The account that logged in there last.
    pub logged_in: Option<Account>,
}

/// A ban with what is known of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenBan {
    /// The ban, its attempts and how many there were.
    pub watched: WatchedBan,
    /// The packets that the kernel dropped; `None` if that is not known.
    pub counter: Option<CounterReading>,
    /// The time of the last login there.
    pub logged_in: Option<Time>,
    /// The last that was seen of the host.
    pub seen: Option<LastSeen>,
}

impl SeenBan {
    /// Returns the time of the last packet: one that was dropped, or that of the attempt that led to the ban.
    #[must_use]
    pub fn last(&self) -> Option<Time> {
        last(&self.watched.ban, self.counter.as_ref())
    }
}

fn last(ban: &Ban, counter: Option<&CounterReading>) -> Option<Time> {
    let attempt = (ban.offences > 0).then_some(ban.since);
    counter.and_then(|counter| counter.moved).max(attempt)
}

/// Returns the rank of a ban in an order: the greatest come first.
fn rank((watched, counter): &Counted, order: BanOrder) -> u64 {
    let millis = |time: Time| u64::try_from(time.millis()).unwrap_or(0);
    match order {
        // In seconds, as it is shown: hosts that send all the time do not change places all the time.
        BanOrder::Last => last(&watched.ban, counter.as_ref()).map_or(0, millis) / 1000,
        BanOrder::Tries => watched.tries.into(),
        BanOrder::Dropped => counter.map_or(0, |counter| counter.dropped.0),
        BanOrder::Left => watched.ban.until.map_or(u64::MAX, millis),
        BanOrder::Bans => watched.bans.into(),
    }
}

/// The first bans in an order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The bans.
    pub bans: Vec<SeenBan>,
    /// The number of all that pass the filter.
    pub matching: usize,
    /// The number of all bans of hosts that had logged in, whatever the filter.
    pub logged_in: usize,
    /// Some of these, as all bans would begin in this order.
    pub known: Vec<SeenBan>,
}

type BanKey = (Subject, ScopeId, JailId);

/// A ban, and what was dropped of it.
type Counted = (WatchedBan, Option<CounterReading>);

/// A ban with its place in an order.
#[derive(Clone, Copy)]
struct Ranked<'a> {
    key: (Reverse<(bool, u64)>, BanKey),
    counted: &'a Counted,
    logged_in: Option<Time>,
}

/// The bans in force beside the engine: about 250 bytes each.
#[derive(Debug)]
pub struct BanView {
    plan: Arc<Plan>,
    bans: HashMap<BanKey, Counted, RandomState>,
    counters: HashMap<ElementKey, CounterReading>,
    /// The time of the last reading of the counters, and packets a second between it and the one before.
    read: Option<(Time, Option<f64>)>,
    hosts: HashMap<IpAddr, LastSeen, RandomState>,
    /// The number of events that were taken up.
    recorded: u64,
    logins: BTreeMap<Subject, Time>,
    /// The state of the logins; see [`super::login_log::LoginLog::changes`].
    login_changes: Option<u64>,
}

impl BanView {
    /// Returns a view that has seen nothing, by the plan that is in force.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            bans: HashMap::default(),
            counters: HashMap::new(),
            read: None,
            hosts: HashMap::default(),
            recorded: 0,
            logins: BTreeMap::new(),
            login_changes: None,
        }
    }

    /// Returns the plan that rules and jails are named by.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Takes up bans.
    pub fn enter(&mut self, bans: Vec<WatchedBan>) {
        for watched in bans {
            self.enter_one(watched);
        }
    }

    fn enter_one(&mut self, watched: WatchedBan) {
        let Ban { subject, scope, jail, .. } = watched.ban;
        let counter = self.counters.get(&(scope, subject)).copied();
        self.bans.insert((subject, scope, jail), (watched, counter));
    }

    /// Takes up changes, the oldest first.
    pub fn change(&mut self, changes: Vec<WatchedChange>) {
        for change in changes {
            match change {
                WatchedChange::Entered(watched) => self.enter_one(watched),
                WatchedChange::Struck(ban) => {
                    self.bans.remove(&(ban.subject, ban.scope, ban.jail));
                }
            }
        }
    }

    /// Takes up a reading of the kernel's counters.
    pub fn count(&mut self, counters: HashMap<ElementKey, CounterReading>, now: Time) {
        // An element that is new begins at zero. One that was made again since does too.
        let more = |(key, reading): (&ElementKey, &CounterReading)| {
            let before = self.counters.get(key).map_or(0, |before| before.dropped.0);
            let now = reading.dropped.0;
            if now >= before { now - before } else { now }
        };
        let rate = self.read.and_then(|(before, _)| {
            let span = now.since(before).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let packets = counters.iter().map(more).fold(0, u64::saturating_add) as f64;
            (span > 0.0).then(|| packets / span)
        });
        for ((subject, scope, _), (_, counter)) in &mut self.bans {
            *counter = counters.get(&(*scope, *subject)).copied();
        }
        self.counters = counters;
        self.read = Some((now, rate));
    }

    /// Returns the time when the counters were last read, and the packets a second that were dropped before that.
    #[must_use]
    pub fn read(&self) -> Option<(Time, Option<f64>)> {
        self.read
    }

    /// Returns how many events were taken up.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.recorded
    }

    /// Takes up the events that are new, the oldest first; `recorded` is their number since the beginning.
    pub fn see(&mut self, events: &[Event], recorded: u64) {
        self.recorded = recorded;
        for event in events {
            if self.hosts.len() >= MOST_HOSTS && !self.hosts.contains_key(&event.host) {
                let oldest = eviction::least(&self.hosts, |seen| seen.time);
                oldest.and_then(|host| self.hosts.remove(&host));
            }
            let nothing =
                LastSeen { time: event.time, attempt: None, tried: None, logged_in: None };
            let seen = self.hosts.entry(event.host).or_insert(nothing);
            match event.meaning {
                Meaning::Offence(class) => {
                    seen.attempt = Some((event.rule, class));
                    seen.tried = event.account.or(seen.tried);
                }
                Meaning::Success => seen.logged_in = event.account.or(seen.logged_in),
                Meaning::Ignored | Meaning::Tampered => {}
            }
            seen.time = event.time;
        }
    }

    /// Returns the state of the logins that were taken up last.
    #[must_use]
    pub fn login_changes(&self) -> Option<u64> {
        self.login_changes
    }

    /// Takes up the hosts that have logged in, in place of those before.
    pub fn log_in(&mut self, logins: Vec<(Subject, Time)>, changes: u64) {
        self.logins = logins.into_iter().collect();
        self.login_changes = Some(changes);
    }

    /// Returns the first bans in an order.
    #[must_use]
    pub fn page(&self, order: BanOrder, filter: &BanFilter, most: usize) -> Page {
        self.select(self.bans.values(), order, filter, most)
    }

    /// Does the same with other bans, which are not in force.
    #[must_use]
    pub fn page_of(
        &self,
        bans: Vec<WatchedBan>,
        order: BanOrder,
        filter: &BanFilter,
        most: usize,
    ) -> Page {
        let bans: Vec<Counted> = bans.into_iter().map(|watched| (watched, None)).collect();
        self.select(bans.iter(), order, filter, most)
    }

    fn select<'a>(
        &self,
        bans: impl Iterator<Item = &'a Counted>,
        order: BanOrder,
        filter: &BanFilter,
        most: usize,
    ) -> Page {
        let wanted = Wanted::new(self, filter);
        let (mut chosen, mut known) = (Vec::new(), Vec::new());
        for counted in bans {
            let ban = &counted.0.ban;
            let logged_in = self.logged_in(ban);
            let greatest = Reverse((logged_in.is_some(), rank(counted, order)));
            let key = (greatest, (ban.subject, ban.scope, ban.jail));
            let ranked = Ranked { key, counted, logged_in };
            if logged_in.is_some() {
                known.push(ranked);
            }
            if wanted.has(ban) {
                chosen.push(ranked);
            }
        }
        let (matching, logged_in) = (chosen.len(), known.len());
        Page {
            bans: self.first(chosen, most),
            matching,
            logged_in,
            known: self.first(known, MOST_KNOWN),
        }
    }

    /// Returns the first of these, sorted, with what was seen of their hosts.
    fn first(&self, mut chosen: Vec<Ranked<'_>>, most: usize) -> Vec<SeenBan> {
        if chosen.len() > most {
            chosen.select_nth_unstable_by_key(most, |ranked| ranked.key);
            chosen.truncate(most);
        }
        chosen.sort_unstable_by_key(|ranked| ranked.key);
        let with_host = |Ranked { counted: (watched, counter), logged_in, .. }: Ranked<'_>| {
            let seen = self.hosts.get(&watched.ban.host).copied();
            SeenBan { watched: *watched, counter: *counter, logged_in, seen }
        };
        chosen.into_iter().map(with_host).collect()
    }

    /// Returns when an account last logged in from a banned host or from within a banned network.
    fn logged_in(&self, ban: &Ban) -> Option<Time> {
        if self.logins.is_empty() {
            return None;
        }
        let within = || {
            let net = ban.subject.net();
            let logins = self.logins.range(Subject::within(&net));
            logins.filter(|(host, _)| net.contains(&host.net())).map(|(_, time)| *time).max()
        };
        // The network under which a login from there is known, if it is that of an IPv6 host.
        let known_as = Subject::of(ban.host, self.plan.config.ipv6prefix);
        let is_of_host = ban.subject.net().contains(&ban.host);
        let same = self.logins.get(&known_as).copied().filter(|_| is_of_host);
        same.or_else(|| if ban.subject.is_flow() { None } else { within() })
    }
}

/// A filter with what it compares.
struct Wanted<'a> {
    view: &'a BanView,
    filter: &'a BanFilter,
    /// For each jail, whether its name contains the text.
    jails: Vec<bool>,
    account: Option<Account>,
    /// Whether an address may begin with the text.
    is_address: bool,
}

impl<'a> Wanted<'a> {
    fn new(view: &'a BanView, filter: &'a BanFilter) -> Self {
        let text = match filter {
            BanFilter::Text(text) => text.as_str(),
            BanFilter::All | BanFilter::Whom(_) => "",
        };
        let named = |name: &str| !text.is_empty() && name.contains(text);
        Self {
            view,
            filter,
            jails: view.plan.jails().map(|(_, jail)| named(&jail.name)).collect(),
            account: Account::named(text.as_bytes()),
            is_address: text.contains(['.', ':'])
                && text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[')),
        }
    }

    fn has(&self, ban: &Ban) -> bool {
        match self.filter {
            BanFilter::All => true,
            BanFilter::Whom(whom) => ban.subject.overlaps(whom),
            BanFilter::Text(text) => {
                self.jails.get(usize::from(ban.jail.0)).copied().unwrap_or(false)
                    || self.is_at_account(ban)
                    || (self.is_address && ban.subject.to_string().starts_with(text))
            }
        }
    }

    fn is_at_account(&self, ban: &Ban) -> bool {
        let Some(account) = self.account else { return false };
        let seen = self.view.hosts.get(&ban.host);
        seen.is_some_and(|seen| [seen.tried, seen.logged_in].contains(&Some(account)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Basis, ChannelId, Clue, Evidence};
    use crate::rules::RuleSet;

    fn plan() -> Arc<Plan> {
        let rules = RuleSet::load(None).unwrap();
        let config = crate::config::load::parse(&[], &rules.filters()).unwrap();
        Arc::new(Plan::new(config, Arc::new(rules)))
    }

    fn jail(plan: &Plan, name: &str) -> JailId {
        plan.jail_named(name).unwrap()
    }

    fn ban(subject: &str, jail: JailId, offences: u32) -> WatchedBan {
        let subject: Subject = subject.parse().unwrap();
        let ban = Ban {
            jail,
            subject,
            host: subject.address(),
            scope: ScopeId(0),
            since: Time::from_secs(100),
            until: Some(Time::from_secs(i64::from(1000 + offences))),
            offences,
            evidence: Evidence::Proven,
            cause: None,
        };
        WatchedBan { ban, tries: offences * 10, bans: offences }
    }

    fn event(host: &str, meaning: Meaning, account: &str) -> Event {
        Event {
            time: Time::from_secs(100),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning,
            host: host.parse().unwrap(),
            evidence: Evidence::Proven,
            line: 1,
            account: Account::named(account.as_bytes()),
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    fn hosts(page: &Page) -> Vec<String> {
        page.bans.iter().map(|seen| seen.watched.ban.subject.to_string()).collect()
    }

    fn reading(packets: u64, moved: Option<i64>) -> CounterReading {
        CounterReading { dropped: (packets, packets * 60), moved: moved.map(Time::from_secs) }
    }

    fn view() -> BanView {
        let plan = plan();
        let (guess, scan) = (jail(&plan, "asterisk-guess"), jail(&plan, "asterisk-scan"));
        let mut view = BanView::new(plan);
        for (host, jail, offences) in [
            ("198.51.100.1", guess, 5),
            ("198.51.100.2", scan, 7),
            ("203.0.113.0/24", guess, 0),
            ("2001:db8::/64", scan, 6),
            ("198.51.100.20:5060", guess, 3),
        ] {
            view.enter(vec![ban(host, jail, offences)]);
        }
        view
    }

    #[test]
    fn each_order_begins_with_the_greatest() {
        let mut view = view();
        let key = |host: &str| (ScopeId(0), host.parse::<Subject>().unwrap());
        let counters = [
            (key("198.51.100.1"), reading(3, Some(300))),
            (key("203.0.113.0/24"), reading(90, Some(200))),
        ];
        view.count(counters.into_iter().collect(), Time::from_secs(300));
        let first = |order| hosts(&view.page(order, &BanFilter::All, 2));
        assert_eq!(first(BanOrder::Last), ["198.51.100.1", "203.0.113.0/24"]);
        assert_eq!(first(BanOrder::Tries), ["198.51.100.2", "2001:db8::/64"]);
        assert_eq!(first(BanOrder::Dropped), ["203.0.113.0/24", "198.51.100.1"]);
        assert_eq!(first(BanOrder::Left), ["198.51.100.2", "2001:db8::/64"]);
        assert_eq!(first(BanOrder::Bans), ["198.51.100.2", "2001:db8::/64"]);
        // A host that had logged in comes first, also one within a network or behind one port.
        for (login, host) in [
            ("198.51.100.20", "198.51.100.20:5060"),
            ("203.0.113.7", "203.0.113.0/24"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            view.log_in(vec![(login.parse().unwrap(), Time::from_secs(50))], 1);
            let page = view.page(BanOrder::Tries, &BanFilter::All, 9);
            assert_eq!((hosts(&page)[0].as_str(), page.logged_in), (host, 1), "{login}");
            // It is told although the filter hides it.
            let page = view.page(BanOrder::Tries, &BanFilter::read("198.51.100.1"), 9);
            assert_eq!((page.matching, page.known.len()), (1, 1));
        }
        view.log_in(vec![("192.0.2.1".parse().unwrap(), Time::from_secs(50))], 2);
        assert_eq!(view.page(BanOrder::Tries, &BanFilter::All, 9).logged_in, 0);
    }

    #[test]
    fn filters_are_addresses_networks_jails_and_accounts() {
        let mut view = view();
        let guess = Meaning::Offence(Class::Guess);
        let events = [
            event("198.51.100.1", guess, "1000"),
            event("198.51.100.2", guess, "10001"),
            event("198.51.100.20", Meaning::Success, "1000"),
        ];
        view.see(&events, 3);
        for (text, expected) in [
            ("", 5),
            ("198.51.100.1", 1),
            ("198.51.100.0/24", 3),
            ("203.0.113.9", 1),
            ("2001:db8::7", 1),
            ("198.51.100.20:5060", 1),
            ("scan", 2),
            ("asterisk", 5),
            ("1000", 2),
            ("10001", 1),
            ("198.51.100.2", 1),
            ("198.51.", 3),
            ("2001:", 1),
            ("nothing", 0),
            ("\u{1b}[2J", 0),
        ] {
            let page = view.page(BanOrder::Last, &BanFilter::read(text), 9);
            assert_eq!((page.matching, page.bans.len()), (expected, expected), "{text:?}");
        }
        let page = view.page(BanOrder::Last, &BanFilter::read("10001"), 9);
        let seen = page.bans[0].seen.unwrap();
        assert_eq!(seen.attempt, Some((RuleId(0), Class::Guess)));
        assert_eq!(seen.tried.unwrap().to_string(), "10001");
    }

    #[test]
    fn changes_and_counters_are_taken_up() {
        let mut view = view();
        let guess = jail(&view.plan, "asterisk-guess");
        let gone = ban("198.51.100.1", guess, 5);
        let struck = WatchedChange::Struck(gone.ban);
        let entered = WatchedChange::Entered(ban("198.51.100.2", guess, 1));
        view.change(vec![struck, struck, entered]);
        assert_eq!(view.page(BanOrder::Last, &BanFilter::All, 9).matching, 5);
        let key = |host: &str| (ScopeId(0), host.parse::<Subject>().unwrap());
        let count = |view: &mut BanView, packets: &[(&str, u64)], now| {
            let counters = packets.iter().map(|(host, n)| (key(host), reading(*n, None)));
            view.count(counters.collect(), Time::from_secs(now));
            view.read().unwrap().1
        };
        assert_eq!(count(&mut view, &[("198.51.100.2", 100), ("198.51.100.9", 7)], 10), None);
        // 50 more, one that is new, and one that was made again; one has gone.
        let now = [("198.51.100.2", 150), ("198.51.100.8", 5), ("198.51.100.9", 5)];
        assert_eq!(count(&mut view, &now, 20), Some(6.0));
        assert_eq!(count(&mut view, &[], 20), None);
        assert_eq!(count(&mut view, &[], 30), Some(0.0));
    }

    #[test]
    fn last_packet_is_dropped_or_led_to_the_ban() {
        let seen = |offences, moved: Option<i64>| {
            let watched = ban("198.51.100.1", JailId(0), offences);
            let counter = Some(reading(1, moved));
            SeenBan { watched, counter, logged_in: None, seen: None }.last().map(Time::secs)
        };
        assert_eq!(
            [seen(3, None), seen(3, Some(150)), seen(0, None)],
            [Some(100), Some(150), None]
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut view = view();
        let host = |n: u32| std::net::Ipv4Addr::from(0x0A00_0000 + n).to_string();
        let events: Vec<_> = (0..u32::try_from(MOST_HOSTS).unwrap() + 1000)
            .map(|n| event(&host(n), Meaning::Success, "1"))
            .collect();
        view.see(&events, 1);
        assert_eq!(view.hosts.len(), MOST_HOSTS);
    }
}
