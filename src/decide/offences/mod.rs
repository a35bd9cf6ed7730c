//! Counts offences: those of each subject within a jail's findtime.
//!
//! One attempt may write several lines, and one message may reach several files. So a subject's
//! lines are counted for each channel apart, lines of one attempt as one, and its offences are the
//! largest of these counts, never their sum.
//!
//! A table may count the different accounts that were tried instead: then each is counted once, however often
//! it fails, and as long as it fails.
//!
//! The table has a fixed size. A full table makes room by looking at eight entries drawn by chance
//! and dropping the one with the fewest offences (the oldest, among equals): hosts that come back
//! stay, those that were seen once go.
//!
//! Under attack, each line is of another host and finds nothing in the processor's caches. So the
//! table is a hash table made for this: finding an entry touches one place in a small table and the
//! entry, and an entry fits into a cache line.

mod accounts;
mod resize;
mod snapshot;

use std::hash::BuildHasher as _;
use std::sync::LazyLock;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::config::Counting;
use crate::model::clock_step::ClockStep;
use crate::model::event::{ChannelId, Event, Evidence};
use crate::model::subject::Subject;
use crate::model::time::Time;
use snapshot::Changes;
pub use snapshot::Pages;

/// Subjects that one jail's table holds at most, counted once for each channel.
pub const CAPACITY: usize = 1 << 16;
/// Channels that a subject's lines are told apart for; with more, the quietest gives way.
const CHANNELS: usize = 4;
/// Times remembered for each channel; with a larger maxretry, several attempts share one.
const LONGEST_RING: u32 = 64;
/// Lines of one rule belong to one attempt only if they come within this many seconds.
const ATTEMPT_SECS: u32 = 2;

/// A subject's offences within findtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All offences that count.
    pub all: u32,
    /// Of these, the proven ones.
    pub proven: u32,
    /// The different accounts that they were at, where these are recorded; those that name none count each.
    pub accounts: u32,
}

/// The offences of one jail. For each channel, a subject takes about `72 + 4 × min(maxretry, 64)`
/// bytes (92 for maxretry 5), and twice as many places where accounts are recorded. Grows as subjects come
/// and stops at [`CAPACITY`].
#[derive(Debug)]
pub struct OffenceTable {
    counting: Counting,
    findtime: u32,
    /// Times in a ring.
    ring: usize,
    /// Attempts that one time in a ring stands for.
    step: u32,
    capacity: usize,
    /// A power of two of lists of entries, whose subjects' hashes are alike: the first of each.
    lists: Vec<u32>,
    entries: Vec<SubjectEntry>,
    /// `ring` seconds for each entry.
    times: Vec<u32>,
    /// The accounts that they were at, by their [numbers](crate::model::account::Account::number), 0 for none; empty if they are not
    /// recorded.
    accounts: Vec<u32>,
    dropped: u64,
    sweep: usize,
    /// When it was last swept, in seconds since the epoch, and what was too little for an entry: entries times seconds.
    swept: u32,
    owed: u64,
    /// Entries that sweeps have looked at.
    #[cfg(test)]
    looked_at: usize,
    chance: u32,
    changes: Changes,
}

/// A subject with its hash, which is the same in all tables.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The subject.
    pub subject: Subject,
    hash: u64,
}

impl From<Subject> for Key {
    fn from(subject: Subject) -> Self {
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        Self { subject, hash: HASHER.hash_one(subject) }
    }
}

/// The end of a list.
const END: u32 = u32::MAX;

/// One subject in one channel.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct SubjectEntry {
    subject: Subject,
    /// The entry after it in its list.
    following: u32,
    last: u32,
    track: Track,
}

/// The attempts of a subject in one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// The channel and the number of the last line counted.
    channel: u16,
    line: u64,
    /// The attempt that further lines may belong to: its rule, lines to come, second of the first.
    rule: u16,
    to_come: u8,
    opened: u32,
    /// The ring: next place to write, places in use, and a bit for each place that is proven.
    next: u8,
    used: u8,
    proven: u64,
    /// Attempts that do not fill a place yet (only with a large maxretry).
    gathered: u32,
}

impl OffenceTable {
    /// An empty table for a jail that bans at `maxretry` offences within `findtime`.
    #[must_use]
    pub fn new(maxretry: u32, findtime: Duration) -> Self {
        Self::with_capacity(maxretry, findtime, CAPACITY)
    }

    /// As [`OffenceTable::new`], with room for `capacity` subjects (at least one).
    #[must_use]
    pub fn with_capacity(maxretry: u32, findtime: Duration, capacity: usize) -> Self {
        let ring = maxretry.clamp(1, LONGEST_RING);
        Self {
            counting: Counting::Attempts,
            findtime: u32::try_from(findtime.as_secs()).unwrap_or(u32::MAX),
            ring: ring as usize,
            step: maxretry.max(1).div_ceil(ring),
            capacity: capacity.max(1),
            lists: vec![END; 16],
            entries: Vec::new(),
            times: Vec::new(),
            accounts: Vec::new(),
            dropped: 0,
            sweep: 0,
            swept: 0,
            owed: 0,
            #[cfg(test)]
            looked_at: 0,
            chance: 0x9e37_79b9,
            changes: Changes::default(),
        }
    }

    /// Counts the line that `event` tells of, of a rule that writes `per_attempt` lines an attempt.
    pub fn add(&mut self, subject: impl Into<Key>, event: &Event, per_attempt: u8) -> Count {
        let Key { subject, hash } = subject.into();
        let now = event.time.secs32();
        let account = accounts::number(self.counting, event);
        let at = self.entry(subject, hash, event.channel.0, now);
        self.changes.note(at);
        let places = self.places(at);
        let accounts = self.accounts.get_mut(places.clone()).unwrap_or_default();
        let times = self.times.get_mut(places);
        if let (Some(entry), Some(times)) = (self.entries.get_mut(at), times) {
            entry.last = entry.last.max(now);
            if entry.track.is_new_attempt(event, per_attempt, now) {
                let proven = event.evidence == Evidence::Proven;
                if self.counting == Counting::Accounts {
                    entry.track.note_account(times, accounts, account, proven, now, self.findtime);
                } else if let Some(place) = entry.track.note(times, proven, now, self.step) {
                    accounts.get_mut(place).into_iter().for_each(|at| *at = account);
                }
            }
        }
        self.most(self.list_of(hash), &subject, now)
    }

    /// Returns the place of the entry that [`OffenceTable::add`] will look at first for a subject.
    #[must_use]
    pub fn first_place(&self, key: &Key) -> usize {
        self.lists.get(self.list_of(key.hash)).map_or(0, |place| *place as usize)
    }

    /// Reads the entry at a place. Whoever asks for the places of many and then reads them all has the processor wait for
    /// memory once; nothing else follows from it.
    pub fn touch(&self, place: usize) {
        std::hint::black_box(self.entries.get(place).map_or(0, |entry| entry.last));
        std::hint::black_box(self.times.get(place.wrapping_mul(self.ring)).copied());
    }

    /// The places of an entry's times.
    fn places(&self, at: usize) -> std::ops::Range<usize> {
        at * self.ring..(at + 1) * self.ring
    }

    /// A subject's offences at `now`.
    #[must_use]
    pub fn count(&self, subject: &Subject, now: Time) -> Count {
        self.most(self.list(subject), subject, now.secs32())
    }

    /// A subject's offences at `now`, log by log; logs without any are left out.
    #[must_use]
    pub fn channels(&self, subject: &Subject, now: Time) -> Vec<(ChannelId, Count)> {
        let of_entry = |at: usize| {
            let channel = self.entries.get(at)?.track.channel;
            Some((ChannelId(channel), self.count_at(at, now.secs32())))
        };
        let counts = self.of(self.list(subject), subject).filter_map(of_entry);
        counts.filter(|(_, count)| count.all > 0).collect()
    }

    /// Forgets a subject.
    pub fn clear(&mut self, subject: &Subject) {
        let list = self.list(subject);
        loop {
            let Some(at) = self.of(list, subject).next() else { return };
            self.remove(at);
        }
    }

    /// Returns how many subjects have an offence within findtime.
    #[must_use]
    pub fn live(&self, now: Time) -> usize {
        let now = now.secs32();
        let live = |at: &usize| {
            self.entries
                .get(*at)
                .is_some_and(|entry| now.saturating_sub(entry.last) < self.findtime)
        };
        // A subject is counted at the first of its entries.
        let first = |at: &usize| {
            self.entries.get(*at).is_some_and(|SubjectEntry { subject, .. }| {
                self.of(self.list(subject), subject).find(live) == Some(*at)
            })
        };
        (0..self.entries.len()).filter(live).filter(first).count()
    }

    /// Corrects all times.
    pub fn correct(&mut self, step: ClockStep) {
        for entry in &mut self.entries {
            entry.last = step.correct_secs(entry.last);
            entry.track.opened = step.correct_secs(entry.track.opened);
        }
        for time in &mut self.times {
            *time = step.correct_secs(*time);
        }
        self.changes.note_all(self.entries.len());
    }

    /// Returns how many subjects were dropped because the table was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets some of the subjects whose offences are all past findtime. It looks at all of them twice within findtime,
    /// however often it is called: so it costs as much as counting them did.
    pub fn sweep(&mut self, now: Time) {
        let now = now.secs32();
        let passed = now.saturating_sub(std::mem::replace(&mut self.swept, now));
        if passed == 0 {
            return;
        }
        let turn = u64::from(self.findtime / 2).max(1);
        self.owed = self.owed.saturating_add(u64::from(passed) * self.entries.len() as u64);
        let due = usize::try_from(self.owed / turn).unwrap_or(usize::MAX);
        self.owed %= turn;
        for _ in 0..due.min(self.entries.len()) {
            #[cfg(test)]
            {
                self.looked_at += 1;
            }
            if self.sweep >= self.entries.len() {
                self.sweep = 0;
            }
            match self.entries.get(self.sweep) {
                Some(entry) if now.saturating_sub(entry.last) >= self.findtime => {
                    self.remove(self.sweep);
                }
                Some(_) => self.sweep += 1,
                None => return,
            }
        }
    }

    /// The list in which a subject's entries are.
    fn list(&self, subject: &Subject) -> usize {
        self.list_of(Key::from(*subject).hash)
    }

    /// The list in which the entries of subjects with this hash are.
    fn list_of(&self, hash: u64) -> usize {
        // The mask keeps what fits into any usize.
        usize::try_from(hash & (self.lists.len() as u64 - 1)).unwrap_or(0)
    }

    /// The entries of a list, and their places.
    fn chain(&self, list: usize) -> impl Iterator<Item = (usize, &SubjectEntry)> {
        let at = |place: u32| Some((place as usize, self.entries.get(place as usize)?));
        let first = self.lists.get(list).and_then(|place| at(*place));
        std::iter::successors(first, move |(_, entry)| at(entry.following))
    }

    /// The places of a subject's entries, all of which are in `list`.
    fn of(&self, list: usize, subject: &Subject) -> impl Iterator<Item = usize> {
        self.chain(list).filter(|(_, entry)| entry.subject == *subject).map(|(place, _)| place)
    }

    fn count_at(&self, at: usize, now: u32) -> Count {
        let times = self.times.get(at * self.ring..).unwrap_or_default();
        let entry = self.entries.get(at);
        entry.map_or(Count::default(), |entry| {
            let count = entry.track.count(times, now, self.findtime, self.step);
            let different = || {
                let used = self.accounts.get(self.places(at)).unwrap_or_default();
                let used = used.get(..entry.track.used.into()).unwrap_or_default();
                accounts::different(used, times, now, self.findtime)
            };
            let accounts = match self.counting {
                Counting::Attempts => 0,
                Counting::Accounts => count.all,
                Counting::Bans => different(),
            };
            Count { accounts, ..count }
        })
    }

    /// The largest of a subject's counts.
    fn most(&self, list: usize, subject: &Subject, now: u32) -> Count {
        let counts = self.of(list, subject).map(|at| self.count_at(at, now));
        counts.fold(Count::default(), |most, count| Count {
            all: most.all.max(count.all),
            proven: most.proven.max(count.proven),
            accounts: most.accounts.max(count.accounts),
        })
    }

    /// The place of a subject's entry for a channel, made if there is none.
    fn entry(&mut self, subject: Subject, hash: u64, channel: u16, now: u32) -> usize {
        let list = self.list_of(hash);
        let of_channel =
            |at: &usize| self.entries.get(*at).is_some_and(|entry| entry.track.channel == channel);
        if let Some(at) = self.of(list, &subject).find(of_channel) {
            return at;
        }
        if self.of(list, &subject).count() >= CHANNELS {
            let quietest = self.of(list, &subject).min_by_key(|at| self.count_at(*at, now).all);
            if let Some(at) = quietest {
                self.remove(at);
            }
        }
        self.make_room();
        let at = self.entries.len();
        let place = u32::try_from(at).unwrap_or(END);
        let list = self.list_of(hash);
        if let Some(first) = self.lists.get_mut(list) {
            let following = std::mem::replace(first, place);
            let track = Track { channel, ..Track::default() };
            self.entries.push(SubjectEntry { subject, following, last: 0, track });
            self.times.resize(self.entries.len() * self.ring, 0);
            if self.counting != Counting::Attempts {
                self.accounts.resize(self.times.len(), 0);
            }
        }
        at
    }

    /// Sees to it that there is room for one more entry, and that the lists stay short.
    fn make_room(&mut self) {
        if self.entries.len() >= self.capacity {
            let drawn: [usize; 8] = std::array::from_fn(|_| self.draw());
            let weakest = drawn.into_iter().min_by_key(|at| {
                let last = self.entries.get(*at).map_or(0, |entry| entry.last);
                (self.count_at(*at, last).all, last)
            });
            self.remove(weakest.unwrap_or(0));
            self.dropped += 1;
        }
        if 2 * self.entries.len() >= self.lists.len() {
            self.lists = vec![END; 2 * self.lists.len()];
            for (place, at) in (0..).zip(0..self.entries.len()) {
                let list = self.entries.get(at).map_or(0, |entry| self.list(&entry.subject));
                if let (Some(first), Some(entry)) =
                    (self.lists.get_mut(list), self.entries.get_mut(at))
                {
                    entry.following = std::mem::replace(first, place);
                }
            }
        }
    }

    /// A place drawn by chance (xorshift: cheap, and nothing depends on its being good).
    fn draw(&mut self) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        self.chance as usize % self.entries.len().max(1)
    }

    /// Removes an entry; the last one takes its place.
    fn remove(&mut self, at: usize) {
        let Some(entry) = self.entries.get(at) else { return };
        self.changes.note(at);
        self.redirect(at, entry.following);
        let last = self.entries.len() - 1;
        if at < last {
            self.redirect(last, u32::try_from(at).unwrap_or(END));
        }
        self.entries.swap_remove(at);
        for places in [&mut self.times, &mut self.accounts] {
            if !places.is_empty() {
                places.copy_within(last * self.ring.., at * self.ring);
                places.truncate(last * self.ring);
            }
        }
    }

    /// Lets what leads to an entry lead to the place `to`.
    fn redirect(&mut self, at: usize, to: u32) {
        let Some(list) = self.entries.get(at).map(|entry| self.list(&entry.subject)) else {
            return;
        };
        let before = self.chain(list).find(|(_, entry)| entry.following as usize == at);
        let leads = match before.map(|(place, _)| place) {
            Some(place) => self.entries.get_mut(place).map(|entry| &mut entry.following),
            None => self.lists.get_mut(list),
        };
        if let Some(leads) = leads {
            *leads = to;
        }
    }
}

impl Track {
    /// Whether a line tells of an attempt that no other line has told of.
    fn is_new_attempt(&mut self, event: &Event, per_attempt: u8, now: u32) -> bool {
        if self.line == event.line {
            // Another rule has counted this line.
            return false;
        }
        self.line = event.line;
        if self.to_come > 0
            && self.rule == event.rule.0
            && now.saturating_sub(self.opened) <= ATTEMPT_SECS
        {
            self.to_come -= 1;
            return false;
        }
        (self.rule, self.to_come, self.opened) = (event.rule.0, per_attempt.saturating_sub(1), now);
        true
    }

    /// Counts an attempt, and returns its place if it fills one.
    fn note(&mut self, times: &mut [u32], proven: bool, now: u32, step: u32) -> Option<usize> {
        self.gathered += 1;
        if self.gathered < step {
            return None;
        }
        self.gathered = 0;
        let place = usize::from(self.next);
        *times.get_mut(place)? = now;
        self.mark(place, proven);
        let ring = u8::try_from(times.len()).unwrap_or(u8::MAX);
        self.next = (self.next + 1) % ring;
        self.used = self.used.saturating_add(1).min(ring);
        Some(place)
    }

    /// Records whether what is at a place is proven.
    fn mark(&mut self, place: usize, proven: bool) {
        let bit = 1 << place;
        self.proven = if proven { self.proven | bit } else { self.proven & !bit };
    }

    /// The attempts within `findtime` seconds before `now`.
    fn count(&self, times: &[u32], now: u32, findtime: u32, step: u32) -> Count {
        let mut count = Count::default();
        for (place, time) in times.iter().enumerate().take(self.used.into()) {
            if now.saturating_sub(*time) < findtime {
                count.all += step;
                count.proven += if self.proven >> place & 1 == 1 { step } else { 0 };
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;
    use crate::model::event::{Basis, Class, Clue, Meaning, RuleId};
    use proptest::prelude::*;

    fn host(n: u32) -> Subject {
        Subject::of(std::net::Ipv4Addr::from(0x0a00_0000 + n).into(), 64)
    }

    fn event(channel: u16, rule: u16, line: u64, secs: i64, evidence: Evidence) -> Event {
        Event {
            time: Time::from_secs(1_800_000_000 + secs),
            channel: ChannelId(channel),
            rule: RuleId(rule),
            meaning: Meaning::Offence(Class::Guess),
            host: host(1).address(),
            evidence,
            line,
            account: None,
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    /// Counts lines given as (channel, rule, second), numbered in order; the offences at the end.
    fn offences(maxretry: u32, per_attempt: u8, lines: &[(u16, u16, i64)]) -> Count {
        let mut table = OffenceTable::new(maxretry, Duration::from_secs(600));
        let mut count = Count::default();
        for (line, (channel, rule, secs)) in (1..).zip(lines) {
            count = table.add(
                host(1),
                &event(*channel, *rule, line, *secs, Evidence::Proven),
                per_attempt,
            );
        }
        count
    }

    #[test]
    fn only_offences_within_findtime_count() {
        assert_eq!(offences(3, 1, &[(0, 0, 0), (0, 0, 1), (0, 0, 2)]).all, 3);
        assert_eq!(offences(3, 1, &[(0, 0, 0), (0, 0, 1), (0, 0, 600)]).all, 2);
        assert_eq!(offences(3, 1, &[(0, 0, 0), (0, 0, 300), (0, 0, 899), (0, 0, 900)]).all, 2);
    }

    #[test]
    fn channels_do_not_add_up() {
        assert_eq!(offences(3, 1, &[(0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)]).all, 2);
        let six_channels: Vec<_> = (0..6).map(|channel| (channel, 0, 0)).collect();
        assert_eq!(offences(3, 1, &six_channels).all, 1);
    }

    #[test]
    fn lines_of_one_attempt_count_once() {
        assert_eq!(offences(9, 3, &[(0, 0, 0), (0, 0, 0), (0, 0, 1)]).all, 1);
        assert_eq!(offences(9, 3, &[(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 1)]).all, 2);
        assert_eq!(
            offences(9, 3, &[(0, 0, 0), (0, 0, 3), (0, 0, 6)]).all,
            3,
            "too far apart to be one attempt"
        );
        assert_eq!(
            offences(9, 2, &[(0, 0, 0), (0, 1, 0), (0, 0, 0)]).all,
            3,
            "other rules are other attempts"
        );
    }

    #[test]
    fn line_counts_once_for_all_rules() {
        let mut table = OffenceTable::new(3, Duration::from_secs(600));
        for rule in 0..3 {
            table.add(host(1), &event(0, rule, 7, 0, Evidence::Proven), 1);
        }
        assert_eq!(table.count(&host(1), Time::from_secs(1_800_000_000)).all, 1);
    }

    #[test]
    fn proven_offences_are_told_apart() {
        let mut table = OffenceTable::new(3, Duration::from_secs(600));
        let kinds =
            [Evidence::Unverified, Evidence::Proven, Evidence::Proven, Evidence::Unverified];
        let counts: Vec<_> = (1..)
            .zip(kinds)
            .map(|(line, evidence)| table.add(host(1), &event(0, 0, line, 0, evidence), 1))
            .map(|count| (count.all, count.proven))
            .collect();
        assert_eq!(counts, [(1, 0), (2, 1), (3, 2), (3, 2)]);
    }

    #[test]
    fn a_large_maxretry_is_reached_in_the_end() {
        let mut table = OffenceTable::new(1000, Duration::from_secs(600));
        let reached = (1..=2000).find(|line| {
            table.add(host(1), &event(0, 0, *line, 0, Evidence::Proven), 1).all >= 1000
        });
        assert!((1000..=1000 + 1000 / 64 + 1).contains(&reached.unwrap()), "{reached:?}");
    }

    #[test]
    fn full_table_keeps_the_busiest_hosts() {
        let mut table = OffenceTable::with_capacity(5, Duration::from_secs(86400), 100);
        for round in 0..4 {
            table.add(host(0), &event(0, 0, round + 1, 0, Evidence::Proven), 1);
        }
        for (line, stranger) in (1..).zip(1..100_000) {
            table.add(
                host(stranger),
                &event(0, 0, line, i64::from(stranger) / 1000, Evidence::Proven),
                1,
            );
        }
        assert_eq!(table.entries.len(), 100);
        assert_eq!(table.times.len(), 100 * 5);
        assert_eq!(table.dropped(), 100_000 - 100);
        assert_eq!(table.count(&host(0), Time::from_secs(1_800_000_000)).all, 4);
    }

    #[test]
    fn entry_size_is_as_documented() {
        assert_eq!(size_of::<SubjectEntry>(), 64);
    }

    #[test]
    fn sweep_forgets_past_offences() {
        let mut table = OffenceTable::new(5, Duration::from_secs(600));
        for n in 0..5000 {
            table.add(host(n), &event(0, 0, 1, i64::from(n % 2) * 1000, Evidence::Proven), 1);
        }
        let now = Time::from_secs(1_800_000_000 + 1001);
        assert_eq!(table.live(now), 2500);
        for _ in 0..10 {
            table.sweep(now);
        }
        assert_eq!((table.entries.len(), table.live(now)), (2500, 2500));
        assert_eq!(table.count(&host(1), now).all, 1);
        table.clear(&host(1));
        assert_eq!(table.count(&host(1), now).all, 0);
    }

    /// Counts so many lines, each of another host, one in `pause` seconds, and lets time pass at each second.
    /// Returns how many entries were looked at for that.
    fn looked_at(lines: u32, pause: i64, findtime: u64) -> usize {
        let mut table = OffenceTable::new(5, Duration::from_secs(findtime));
        table.sweep(Time::from_secs(1_800_000_000));
        for n in 0..lines {
            let event = event(0, 0, u64::from(n) + 1, i64::from(n) * pause, Evidence::Proven);
            // A replay skips the seconds without a line; the running guard has them all.
            for second in 0..if lines < 2000 { pause } else { 1 } {
                table.sweep(Time::from_secs(event.time.secs() + second));
            }
            table.add(host(n), &event, 1);
        }
        table.looked_at
    }

    #[test]
    fn what_sweeps_cost_does_not_grow_with_the_time_that_passes() {
        for findtime in [600, 86_400] {
            // In a minute, in an hour, in a day, in a year.
            for pause in [0, 1, 24, 8760] {
                let looked_at = looked_at(3600, pause, findtime);
                assert!(looked_at <= 4 * 3600, "{looked_at} by lines {pause} s apart");
            }
            let looked_at = looked_at(500, 3600, findtime);
            assert!(looked_at <= 4 * 500, "{looked_at} by sweeps of each second");
        }
    }

    proptest! {
        /// The table agrees with plainly keeping every time, for one line an attempt.
        #[test]
        fn table_agrees_with_plain_lists_of_times(
            maxretry in 1u32..12,
            lines in proptest::collection::vec((0u32..30, 0u16..4, 0i64..40), 1..400),
        ) {
            let mut table = OffenceTable::new(maxretry, Duration::from_secs(600));
            let mut now = 0;
            let mut plain: HashMap<(u32, u16), Vec<i64>> = HashMap::new();
            for (line, (who, channel, pause)) in (1..).zip(lines) {
                now += pause;
                plain.entry((who, channel)).or_default().push(now);
                let live = |times: &Vec<i64>| times.iter().filter(|time| now - **time < 600).count();
                let counts = plain.iter().filter(|((other, _), _)| *other == who);
                let expected = counts.map(|(_, times)| live(times)).max().unwrap_or(0);
                let event = event(channel, 0, line, now, Evidence::Proven);
                let count = table.add(host(who), &event, 1);
                prop_assert_eq!(count.all as usize, expected.min(maxretry as usize));
                if count.all >= maxretry {
                    table.clear(&host(who));
                    plain.retain(|(other, _), _| *other != who);
                }
                let live: HashSet<u32> = plain
                    .iter()
                    .filter(|(_, times)| live(times) > 0)
                    .map(|((who, _), _)| *who)
                    .collect();
                prop_assert_eq!(table.live(Time::from_secs(1_800_000_000 + now)), live.len());
                if line % 50 == 0 {
                    table.sweep(Time::from_secs(1_800_000_000 + now));
                }
            }
        }
    }
}
