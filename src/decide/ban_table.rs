//! The bans in force, as (jail, subject, scope), and the kernel elements that stand for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ipnet::IpNet;

use crate::decide::totals::BanKind;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Ban, Change, Element, JailId, Lifted, ScopeId};
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Bans in force at most; about 200 bytes each. As many as a set of the kernel takes.
pub const CAPACITY: usize = 1 << 20;

/// Banned networks of one scope at most: the kernel has them in sets of intervals, which have to stay small.
pub const MOST_NETWORKS: usize = 4096;

/// Changes that are kept for somebody who looks on, at most; about 150 bytes each.
const MOST_WATCHED: usize = 1 << 16;

type BanKey = (Subject, ScopeId, JailId);

/// All bans in force. Several jails may ban one subject in one scope: to the kernel that is one
/// element, and its deadline is the latest of theirs.
#[derive(Debug, Default)]
pub struct BanTable {
    bans: BTreeMap<BanKey, Ban>,
    /// The bans that end by themselves, soonest first.
    deadlines: BTreeSet<(Time, BanKey)>,
    /// The number of bans of each kind that there are some of.
    counts: BTreeMap<BanKind, usize>,
    /// The number of hosts and networks that are banned, each once, with all of its ports.
    hosts: usize,
    /// The jails whose bans are not in force for a while: the kernel is not to have them.
    paused: BTreeSet<JailId>,
    /// The changes since the last [`BanTable::take_journal`]; `None` if no journal is kept.
    journal: Option<Vec<JournalEntry>>,
    /// The changes since the last [`BanTable::take_watched`]; `None` if nobody looks on, or has to look again.
    watched: Option<Vec<JournalEntry>>,
}

/// A change in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalEntry {
    /// This ban is in force, in place of one with the same jail, subject and scope.
    Entered(Ban),
    /// This one no longer is, and why.
    Struck(Ban, Lifted),
}

impl BanTable {
    /// Enters a ban, in place of one with the same jail, subject and scope, and returns the change
    /// that the kernel needs. `None` if the table is full.
    pub fn put(&mut self, ban: Ban) -> Option<Change> {
        self.enter(ban).then(|| self.element(ban.scope, ban.subject))
    }

    /// Enters a ban likewise, and returns whether there was room for it.
    pub fn enter(&mut self, ban: Ban) -> bool {
        let key = (ban.subject, ban.scope, ban.jail);
        if self.bans.len() >= CAPACITY && !self.bans.contains_key(&key) {
            return false;
        }
        *self.counts.entry(BanKind::from(&ban)).or_default() += 1;
        match self.bans.insert(key, ban) {
            Some(replaced) => {
                self.uncount(&replaced);
                if let Some(until) = replaced.until {
                    self.deadlines.remove(&(until, key));
                }
            }
            None => {
                let is_first = self.of_host(ban.subject).nth(1).is_none();
                self.hosts += usize::from(is_first);
            }
        }
        if let Some(until) = ban.until {
            self.deadlines.insert((until, key));
        }
        self.note(JournalEntry::Entered(ban));
        true
    }

    /// Enters these bans likewise, in their order, and returns for how many there was no room. Into an empty table, they come
    /// sorted: that takes half the memory and a third of the time.
    pub fn enter_all(&mut self, bans: impl IntoIterator<Item = Ban>) -> usize {
        let mut bans = bans.into_iter();
        if self.bans.is_empty() {
            let first = bans.by_ref().take(CAPACITY);
            let first: BTreeMap<_, _> =
                first.map(|ban| ((ban.subject, ban.scope, ban.jail), ban)).collect();
            let ends = first.iter().filter_map(|(key, ban)| Some((ban.until?, *key)));
            self.deadlines = ends.collect();
            let mut last = None;
            for ban in first.values() {
                *self.counts.entry(BanKind::from(ban)).or_default() += 1;
                self.hosts +=
                    usize::from(last.replace(ban.subject.net()) != Some(ban.subject.net()));
                self.note(JournalEntry::Entered(*ban));
            }
            self.bans = first;
        }
        bans.filter(|ban| !self.enter(*ban)).count()
    }

    /// Removes a ban, and returns the change that the kernel needs.
    pub fn remove(&mut self, ban: &Ban, why: Lifted) -> Change {
        let key = (ban.subject, ban.scope, ban.jail);
        if let Some(known) = self.take(&key) {
            if let Some(until) = known.until {
                self.deadlines.remove(&(until, key));
            }
            self.note(JournalEntry::Struck(known, why));
        }
        self.element(ban.scope, ban.subject)
    }

    /// Removes and returns a ban whose time is over at `now`. The kernel has let go by itself.
    pub fn pop_expired(&mut self, now: Time) -> Option<Ban> {
        let (until, key) = *self.deadlines.first()?;
        if until > now {
            return None;
        }
        self.deadlines.pop_first();
        let ban = self.take(&key)?;
        self.note(JournalEntry::Struck(ban, Lifted::Expired));
        Some(ban)
    }

    fn take(&mut self, key: &BanKey) -> Option<Ban> {
        let ban = self.bans.remove(key)?;
        self.uncount(&ban);
        let is_last = self.of_host(ban.subject).next().is_none();
        self.hosts -= usize::from(is_last);
        Some(ban)
    }

    fn uncount(&mut self, ban: &Ban) {
        let kind = BanKind::from(ban);
        let left = self.counts.get(&kind).and_then(|count| count.checked_sub(1));
        match left.filter(|left| *left > 0) {
            Some(left) => drop(self.counts.insert(kind, left)),
            None => drop(self.counts.remove(&kind)),
        }
    }

    /// Corrects the times when bans began and when they end. The journal does not contain this.
    pub fn correct(&mut self, step: ClockStep) {
        for ban in self.bans.values_mut() {
            step.correct_all([&mut ban.since].into_iter().chain(&mut ban.until));
        }
        let before = std::mem::take(&mut self.deadlines);
        self.deadlines = before.into_iter().map(|(end, key)| (step.correct(end), key)).collect();
        self.watched = None;
    }

    /// Keeps a journal from now on, for [`BanTable::take_journal`] to be called often.
    pub fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// Whether a journal is kept.
    #[must_use]
    pub fn keeps_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Returns what has changed since the last call; nothing if no journal is kept.
    pub fn take_journal(&mut self) -> Vec<JournalEntry> {
        self.journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Keeps what changes from now on, for somebody who looks on and calls [`BanTable::take_watched`] often.
    pub fn watch(&mut self) {
        self.watched = Some(Vec::new());
    }

    /// Ends that.
    pub fn unwatch(&mut self) {
        self.watched = None;
    }

    /// Returns what has changed since the last call; `None` if that is not known: nobody looked on, there was too much, or
    /// the clock was set.
    pub fn take_watched(&mut self) -> Option<Vec<JournalEntry>> {
        self.watched.as_mut().map(std::mem::take)
    }

    /// Returns at most `most` bans, by subject: those after a ban, or the first.
    pub fn page(&self, after: Option<&Ban>, most: usize) -> impl Iterator<Item = &Ban> {
        let begin = match after {
            Some(ban) => Bound::Excluded((ban.subject, ban.scope, ban.jail)),
            None => Bound::Unbounded,
        };
        self.bans.range((begin, Bound::Unbounded)).map(|(_, ban)| ban).take(most)
    }

    fn note(&mut self, entry: JournalEntry) {
        if let Some(journal) = &mut self.journal {
            journal.push(entry);
        }
        match &mut self.watched {
            Some(watched) if watched.len() < MOST_WATCHED => watched.push(entry),
            watched => *watched = None,
        }
    }

    /// Sets whether the bans of a jail are not in force for a while, and returns the changes that the kernel needs. Their
    /// time goes on.
    pub fn pause(&mut self, jail: JailId, is_paused: bool) -> Vec<Change> {
        let changed = if is_paused { self.paused.insert(jail) } else { self.paused.remove(&jail) };
        if !changed {
            return Vec::new();
        }
        let bans = self.bans.values().filter(|ban| ban.jail == jail);
        bans.map(|ban| self.element(ban.scope, ban.subject)).collect()
    }

    /// Whether the bans of a jail are not in force for a while.
    #[must_use]
    pub fn is_paused(&self, jail: JailId) -> bool {
        self.paused.contains(&jail)
    }

    /// Returns what the kernel must hold for a subject in a scope.
    #[must_use]
    pub fn element(&self, scope: ScopeId, subject: Subject) -> Change {
        let in_force = |ban: &&Ban| ban.scope == scope && !self.is_paused(ban.jail);
        let latest = self.of(subject).filter(in_force).max_by_key(|ban| end(ban));
        match latest {
            Some(ban) => Change::Put(Element { scope, subject, until: ban.until, jail: ban.jail }),
            None => Change::Remove(scope, subject),
        }
    }

    /// Returns what the kernel must hold in all.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        let mut bans = self.bans.values().filter(|ban| !self.is_paused(ban.jail)).peekable();
        std::iter::from_fn(move || {
            let mut latest = bans.next()?;
            let (subject, scope) = (latest.subject, latest.scope);
            while let Some(ban) = bans.next_if(|ban| (ban.subject, ban.scope) == (subject, scope)) {
                latest = std::cmp::max_by_key(latest, ban, |ban| end(ban));
            }
            Some(Element { scope, subject, until: latest.until, jail: latest.jail })
        })
    }

    /// The bans of a subject. Those of a host's flows are none of the host's: see [`BanTable::within`].
    pub fn of(&self, subject: Subject) -> impl Iterator<Item = &Ban> {
        // One search, and not one more for the end.
        let from = self.bans.range((subject, ScopeId(0), JailId(0))..);
        from.take_while(move |(key, _)| key.0 == subject).map(|(_, ban)| ban)
    }

    /// The bans of the host or network of a subject, and of all its ports.
    fn of_host(&self, subject: Subject) -> impl Iterator<Item = &Ban> {
        let (first, last) = Subject::with_ports(subject.net());
        let first = (first, ScopeId(0), JailId(0));
        let last = (last, ScopeId(u16::MAX), JailId(u16::MAX));
        self.bans.range(first..=last).map(|(_, ban)| ban)
    }

    /// Returns how many hosts and networks are banned, each once however many of its ports are, and by however many jails.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts
    }

    /// The bans of all hosts and flows that lie in a network, or at an address.
    pub fn within(&self, net: &IpNet) -> impl Iterator<Item = &Ban> {
        let (first, last) = Subject::within(net).into_inner();
        let first = (first, ScopeId(0), JailId(0));
        let last = (last, ScopeId(u16::MAX), JailId(u16::MAX));
        let net = *net;
        let range = self.bans.range(first..=last).map(|(_, ban)| ban);
        range.filter(move |ban| net.contains(&ban.subject.net()))
    }

    /// All bans, by subject.
    pub fn iter(&self) -> impl Iterator<Item = &Ban> {
        self.bans.values()
    }

    /// Returns how many bans there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bans.len()
    }

    /// Returns how many of them are a jail's.
    #[must_use]
    pub fn count(&self, jail: JailId) -> usize {
        self.counts.iter().filter(|(kind, _)| kind.jail == jail).map(|(_, count)| count).sum()
    }

    /// Returns how many of them there are of each kind.
    pub fn kinds(&self) -> impl Iterator<Item = (&BanKind, usize)> {
        self.counts.iter().map(|(kind, count)| (kind, *count))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bans.is_empty()
    }
}

/// Returns when a ban ends, as something to compare: one without a deadline ends last.
#[must_use]
pub fn end(ban: &Ban) -> (bool, Option<Time>) {
    (ban.until.is_none(), ban.until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Evidence;

    fn ban(jail: u16, until: Option<i64>) -> Ban {
        ban_of("203.0.113.9", jail, until)
    }

    fn ban_of(subject: &str, jail: u16, until: Option<i64>) -> Ban {
        let subject: Subject = subject.parse().unwrap();
        Ban {
            jail: JailId(jail),
            subject,
            host: subject.address(),
            scope: ScopeId(0),
            since: Time::from_secs(0),
            until: until.map(Time::from_secs),
            offences: 3,
            evidence: Evidence::Proven,
            cause: None,
        }
    }

    #[expect(clippy::option_option, reason = "an element that goes, or one that may never end")]
    fn until(change: Option<Change>) -> Option<Option<i64>> {
        match change? {
            Change::Put(element) => Some(element.until.map(Time::secs)),
            Change::Remove(..) => None,
        }
    }

    #[test]
    fn a_host_is_counted_once() {
        let mut book = BanTable::default();
        let bans = [
            ban(0, Some(100)),
            ban(1, None),
            ban_of("203.0.113.9:5060", 0, None),
            ban_of("203.0.113.9:5061", 0, None),
            ban_of("203.0.113.10:5060", 0, Some(100)),
            ban_of("203.0.113.0/24", 0, None),
        ];
        for ban in bans {
            book.put(ban);
            book.put(Ban { offences: 4, ..ban });
        }
        assert_eq!((book.len(), book.hosts()), (6, 3));
        while book.pop_expired(Time::from_secs(100)).is_some() {}
        assert_eq!((book.len(), book.hosts()), (4, 2));
        for ban in bans {
            book.remove(&ban, Lifted::ByHand);
        }
        assert_eq!((book.len(), book.hosts()), (0, 0));
    }

    #[test]
    fn many_at_once_are_as_many_one_by_one() {
        let hosts = ["203.0.113.9", "203.0.113.9:5060", "203.0.113.0/24", "2001:db8::/64", "::1"];
        let hosts = hosts.iter().chain(["203.0.113.8", "203.0.113.9", "[2001:db8::7]:1"].iter());
        let bans: Vec<_> = hosts
            .zip(0_u16..)
            .map(|(host, n)| ban_of(host, n % 2, (n % 3 > 0).then_some(100 - i64::from(n))))
            .collect();
        // Twice, the second time with other ends: those count.
        let again = bans.iter().take(4).map(|ban| Ban { until: Some(Time::from_secs(7)), ..*ban });
        let bans: Vec<_> = bans.iter().copied().chain(again).collect();
        let (mut one_by_one, mut at_once) = (BanTable::default(), BanTable::default());
        assert!(bans.iter().all(|ban| one_by_one.enter(*ban)));
        assert_eq!(at_once.enter_all(bans.iter().copied()), 0);
        assert_eq!(format!("{one_by_one:?}"), format!("{at_once:?}"));
        // Whoever keeps a journal hears of each that is in force then.
        let mut kept = BanTable::default();
        kept.keep_journal();
        assert_eq!(kept.enter_all(bans.iter().copied()), 0);
        let entered: Vec<_> = kept.bans.values().map(|ban| JournalEntry::Entered(*ban)).collect();
        assert_eq!(kept.take_journal(), entered);
        // Into a table that is not empty.
        at_once.keep_journal();
        assert_eq!(at_once.enter_all([ban_of("192.0.2.1", 0, None)]), 0);
        assert_eq!((at_once.len(), at_once.take_journal().len()), (one_by_one.len() + 1, 1));
    }

    #[test]
    fn a_full_table_takes_no_more_at_once() {
        let host = |n: u32| std::net::Ipv4Addr::from(n).to_string();
        let model = ban(0, None);
        let many = (0..=u32::try_from(CAPACITY).unwrap()).map(|n| {
            let subject = Subject::of(std::net::Ipv4Addr::from(n).into(), 64);
            Ban { subject, ..model }
        });
        let mut book = BanTable::default();
        assert_eq!(book.enter_all(many), 1);
        assert_eq!((book.len(), book.hosts()), (CAPACITY, CAPACITY));
        assert_eq!(book.of(host(0).parse().unwrap()).count(), 1);
    }

    #[test]
    fn the_kernel_has_no_bans_of_a_paused_jail() {
        let mut book = BanTable::default();
        book.put(ban(0, Some(100)));
        book.put(ban(1, Some(200)));
        book.put(ban_of("203.0.113.10", 1, None));
        let changes: Vec<_> =
            book.pause(JailId(1), true).into_iter().map(Some).map(until).collect();
        assert_eq!(changes, [Some(Some(100)), None]);
        assert_eq!(book.pause(JailId(1), true), []);
        // What it bans meanwhile waits, too.
        assert_eq!(until(book.put(ban_of("203.0.113.11", 1, None))), None);
        assert_eq!((book.elements().count(), book.len()), (1, 4));
        let changes: Vec<_> =
            book.pause(JailId(1), false).into_iter().map(Some).map(until).collect();
        assert_eq!(changes, [Some(Some(200)), Some(None), Some(None)]);
        assert_eq!(book.elements().count(), 3);
    }

    #[test]
    fn element_lasts_as_long_as_its_longest_ban() {
        let mut book = BanTable::default();
        assert_eq!(until(book.put(ban(0, Some(100)))), Some(Some(100)));
        assert_eq!(until(book.put(ban(1, Some(50)))), Some(Some(100)));
        assert_eq!(until(book.put(ban(2, None))), Some(None));
        assert_eq!(book.elements().count(), 1);
        assert_eq!([0, 1, 2, 3].map(|jail| book.count(JailId(jail))), [1, 1, 1, 0]);
        assert_eq!(until(Some(book.remove(&ban(2, None), Lifted::ByHand))), Some(Some(100)));
        assert_eq!(until(Some(book.remove(&ban(0, None), Lifted::ByHand))), Some(Some(50)));
        assert_eq!(until(Some(book.remove(&ban(1, None), Lifted::ByHand))), None);
        assert!(book.is_empty() && book.deadlines.is_empty());
        assert_eq!(book.count(JailId(0)), 0);
    }

    #[test]
    fn flows_are_bans_of_their_own() {
        let mut book = BanTable::default();
        let all = [
            "203.0.113.9",
            "203.0.113.9:5060",
            "203.0.113.9:40312",
            "203.0.113.10:5060",
            "2001:db8::/64",
            "[2001:db8::7]:5060",
        ];
        for subject in all {
            assert!(book.enter(ban_of(subject, 0, Some(100))));
        }
        assert_eq!(book.elements().count(), all.len());
        let subject = |ban: &Ban| ban.subject.to_string();
        for one in all {
            let of: Vec<_> = book.of(one.parse().unwrap()).map(subject).collect();
            assert_eq!(of, [one]);
        }
        for (net, held) in [
            ("203.0.113.9/32", &all[..3]),
            ("203.0.113.0/24", &all[..4]),
            ("2001:db8::7/128", &all[5..]),
            ("2001:db8::/64", &all[4..]),
            ("203.0.113.11/32", &[]),
        ] {
            let within: Vec<_> = book.within(&net.parse().unwrap()).map(subject).collect();
            assert_eq!(within, held, "{net}");
        }
        // The host's element goes, and those of its flows stay.
        let change = book.remove(&ban_of(all[0], 0, None), Lifted::ByHand);
        assert!(matches!(change, Change::Remove(..)));
        assert_eq!(book.within(&"203.0.113.9/32".parse().unwrap()).count(), 2);
    }

    #[test]
    fn who_looks_on_sees_each_change_or_looks_again() {
        let mut book = BanTable::default();
        let host = |n: u32| std::net::Ipv4Addr::from(0x0A00_0000 + n).to_string();
        for n in 0..5 {
            book.put(ban_of(&host(n), 0, None));
        }
        assert_eq!(book.take_watched(), None);
        book.watch();
        let first: Vec<Ban> = book.page(None, 3).copied().collect();
        let (changed, gone) = (Ban { offences: 9, ..first[0] }, first[1]);
        book.put(changed);
        book.remove(&gone, Lifted::ByHand);
        let rest: Vec<Ban> = book.page(first.last(), 3).copied().collect();
        assert_eq!((first.len(), rest.len()), (3, 2));
        let told = [JournalEntry::Entered(changed), JournalEntry::Struck(gone, Lifted::ByHand)];
        assert_eq!(book.take_watched(), Some(told.to_vec()));
        assert_eq!(book.take_watched(), Some(Vec::new()));
        // More than is kept, a clock that is set, and nobody who looks.
        for _ in 0..=MOST_WATCHED {
            book.put(changed);
        }
        assert_eq!(book.take_watched(), None);
        book.watch();
        book.correct(ClockStep::by_millis(1000));
        assert_eq!(book.take_watched(), None);
        book.watch();
        book.unwatch();
        assert_eq!(book.take_watched(), None);
    }

    #[test]
    fn bans_expire_in_order_except_permanent_ones() {
        let mut book = BanTable::default();
        for (jail, until) in [(0, Some(30)), (1, Some(10)), (2, None), (3, Some(20))] {
            book.put(ban(jail, until));
        }
        // Put again with another deadline: only the new one counts.
        book.put(ban(1, Some(25)));
        let mut expired = Vec::new();
        while let Some(ban) = book.pop_expired(Time::from_secs(25)) {
            expired.push(ban.jail.0);
        }
        assert_eq!(expired, [3, 1]);
        assert_eq!(book.len(), 2);
        assert_eq!([0, 1, 2, 3].map(|jail| book.count(JailId(jail))), [1, 0, 1, 0]);
    }
}
