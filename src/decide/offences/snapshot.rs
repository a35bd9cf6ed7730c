//! An offence table as bytes: the pages that have changed, to be stored, and back.
//!
//! A page holds the entries of some consecutive places. So whatever happens to the table, what is
//! stored of it is no larger than the table, and writing it costs no more than there are pages that
//! have changed. Of most hosts an entry holds one attempt and room for more; only what it holds is stored.

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Key, OffenceTable, SubjectEntry, Track};
use crate::config::Counting;
use crate::model::subject::Subject;
use crate::model::time::Time;

/// Entries of one page.
const PAGE: usize = 32;
/// The first byte of an entry. Those of the first two are of version 0.1.0: with 16 bytes of address for both, and with the
/// places of the ring that are not in use.
const OLD_V4: u8 = 0;
const OLD_V6: u8 = 1;
const V4: u8 = 2;
const V6: u8 = 3;

/// The changes in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// The number of entries that it has now; pages past these are void.
    pub entries: usize,
    /// The pages that have changed, by their numbers.
    pub changed: Vec<(u32, Vec<u8>)>,
}

impl Pages {
    /// Returns how many pages the table has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.div_ceil(PAGE)
    }
}

/// The pages that have changed: a bit for each; `None` until changes are to be recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Option<Vec<u64>>);

impl Changes {
    pub(super) fn note(&mut self, place: usize) {
        let Some(bits) = &mut self.0 else { return };
        let page = place / PAGE;
        if bits.len() <= page / 64 {
            bits.resize(page / 64 + 1, 0);
        }
        if let Some(bits) = bits.get_mut(page / 64) {
            *bits |= 1 << (page % 64);
        }
    }

    /// Records that all of `entries` entries have changed.
    pub(super) fn note_all(&mut self, entries: usize) {
        for place in (0..entries).step_by(PAGE) {
            self.note(place);
        }
    }
}

impl OffenceTable {
    /// Counts all pages as changed, and records changes from now on.
    pub fn note_changes(&mut self) {
        self.changes = Changes(Some(Vec::new()));
        self.changes.note_all(self.entries.len());
    }

    /// Returns what has changed since the last call; `None` if nothing has.
    pub fn take_changes(&mut self) -> Option<Pages> {
        let bits = self.changes.0.as_mut()?;
        if bits.iter().all(|bits| *bits == 0) {
            return None;
        }
        let bits = std::mem::take(bits);
        let is_set =
            |page: &usize| bits.get(page / 64).is_some_and(|bits| bits >> (page % 64) & 1 == 1);
        let entries = self.entries.len();
        let changed = (0..entries.div_ceil(PAGE)).filter(is_set);
        let mut bytes = Vec::new();
        let changed = changed.map(|page| {
            bytes.clear();
            self.write_page(page, &mut bytes);
            (u32::try_from(page).unwrap_or(u32::MAX), bytes.clone())
        });
        Some(Pages { entries, changed: changed.collect() })
    }

    fn write_page(&self, page: usize, bytes: &mut Vec<u8>) {
        for place in page * PAGE..self.entries.len().min((page + 1) * PAGE) {
            let (times, accounts) =
                (self.times.get(self.places(place)), self.accounts.get(self.places(place)));
            if let (Some(entry), Some(times)) = (self.entries.get(place), times) {
                write(bytes, entry, times, accounts.unwrap_or_default());
            }
        }
    }

    /// Restores the entries of a table with the same terms, as far as they still count at `now`.
    /// `channel` and `rule` map the stored numbers to those of today; entries of channels that are
    /// gone are left out, and so is what makes no sense.
    pub fn restore(
        &mut self,
        pages: &Pages,
        now: Time,
        channel: impl Fn(u16) -> Option<u16>,
        rule: impl Fn(u16) -> Option<u16>,
    ) {
        for (page, bytes) in &pages.changed {
            let first = usize::try_from(*page).unwrap_or(usize::MAX).saturating_mul(PAGE);
            // The bytes behind the last entry are of some time before.
            let count = pages.entries.saturating_sub(first).min(PAGE);
            let (mut rest, with_accounts) = (bytes.as_slice(), self.counting != Counting::Attempts);
            for _ in 0..count {
                let Some(stored) = read(&mut rest, self.ring, with_accounts) else { break };
                let StoredEntry { mut entry, times, accounts } = stored;
                let Some(channel) = channel(entry.track.channel) else { continue };
                entry.track.channel = channel;
                match rule(entry.track.rule) {
                    Some(rule) => entry.track.rule = rule,
                    None => entry.track.to_come = 0,
                }
                self.put(&entry, &times, &accounts, now.secs32());
            }
        }
    }

    /// Enters what is known of a subject in a channel, if it counts still.
    fn put(&mut self, entry: &SubjectEntry, times: &[u32], accounts: &[u32], now: u32) {
        if now.saturating_sub(entry.last) >= self.findtime {
            return;
        }
        let hash = Key::from(entry.subject).hash;
        let at = self.entry(entry.subject, hash, entry.track.channel, now);
        let places = self.places(at);
        let known = self.accounts.get_mut(places.clone()).unwrap_or_default();
        known.iter_mut().zip(accounts).for_each(|(known, account)| *known = *account);
        let known = self.times.get_mut(places).unwrap_or_default();
        known.iter_mut().zip(times).for_each(|(known, time)| *known = *time);
        if let Some(place) = self.entries.get_mut(at) {
            (place.last, place.track) = (entry.last, entry.track);
        }
        self.changes.note(at);
    }
}

fn write(bytes: &mut Vec<u8>, entry: &SubjectEntry, times: &[u32], accounts: &[u32]) {
    let track = &entry.track;
    match entry.subject.net() {
        IpNet::V4(net) => {
            bytes.extend([V4, net.prefix_len()]);
            bytes.extend(net.addr().octets());
        }
        IpNet::V6(net) => {
            bytes.extend([V6, net.prefix_len()]);
            bytes.extend(net.addr().octets());
        }
    }
    bytes.extend(entry.last.to_le_bytes());
    bytes.extend(track.channel.to_le_bytes());
    bytes.extend(track.rule.to_le_bytes());
    bytes.push(track.to_come);
    bytes.extend(track.opened.to_le_bytes());
    bytes.extend([track.next, track.used]);
    bytes.extend(track.proven.to_le_bytes());
    bytes.extend(track.gathered.to_le_bytes());
    let used = |numbers| <[u32]>::iter(numbers).take(track.used.into());
    for number in used(times).chain(used(accounts)) {
        bytes.extend(number.to_le_bytes());
    }
}

/// An entry as it was stored.
struct StoredEntry {
    entry: SubjectEntry,
    times: Vec<u32>,
    accounts: Vec<u32>,
}

/// Reads the next entry, of a table that has this ring. What makes no sense ends its page.
fn read(rest: &mut &[u8], ring: usize, with_accounts: bool) -> Option<StoredEntry> {
    let [kind, bits] = take(rest)?;
    let net: IpNet = match kind {
        OLD_V4 => {
            let address = Ipv6Addr::from(take::<16>(rest)?).to_ipv4_mapped()?;
            Ipv4Net::new(address, bits).ok()?.into()
        }
        V4 => Ipv4Net::new(take::<4>(rest)?.into(), bits).ok()?.into(),
        OLD_V6 | V6 => Ipv6Net::new(take::<16>(rest)?.into(), bits).ok()?.into(),
        _ => return None,
    };
    let last = u32::from_le_bytes(take(rest)?);
    let channel = u16::from_le_bytes(take(rest)?);
    let rule = u16::from_le_bytes(take(rest)?);
    let [to_come] = take(rest)?;
    let opened = u32::from_le_bytes(take(rest)?);
    let [next, used] = take(rest)?;
    let proven = u64::from_le_bytes(take(rest)?);
    let gathered = u32::from_le_bytes(take(rest)?);
    if usize::from(next) >= ring || usize::from(used) > ring {
        return None;
    }
    let stored = if matches!(kind, OLD_V4 | OLD_V6) { ring } else { used.into() };
    let mut numbers = |count| -> Option<Vec<u32>> {
        (0..count).map(|_| Some(u32::from_le_bytes(take(rest)?))).collect()
    };
    let times = numbers(stored)?;
    let accounts = numbers(if with_accounts { stored } else { 0 })?;
    // Lines have other numbers in another run: none of them is the one that was counted last.
    let line = 0;
    let track = Track { channel, line, rule, to_come, opened, next, used, proven, gathered };
    let entry = SubjectEntry { subject: Subject::from(net), following: super::END, last, track };
    Some(StoredEntry { entry, times, accounts })
}

/// The next bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(*bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Basis, ChannelId, Class, Clue, Event, Evidence, Meaning, RuleId};

    const START: i64 = 1_800_000_000;

    fn host(n: u32) -> Subject {
        let v6 = std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(n) << 64);
        let v4 = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        Subject::of(if n % 3 == 0 { v6.into() } else { v4.into() }, 64)
    }

    fn event(channel: u16, line: u64, secs: i64, proven: bool) -> Event {
        Event {
            time: Time::from_secs(START + secs),
            channel: ChannelId(channel),
            rule: RuleId(u16::try_from(line % 3).unwrap()),
            meaning: Meaning::Offence(Class::Guess),
            host: host(1).address(),
            evidence: if proven { Evidence::Proven } else { Evidence::Unverified },
            line,
            account: None,
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    fn table(maxretry: u32) -> OffenceTable {
        OffenceTable::with_capacity(maxretry, Duration::from_secs(600), 200)
    }

    /// The pages that a store keeps.
    #[derive(Default)]
    struct StoredPages {
        entries: usize,
        pages: BTreeMap<u32, Vec<u8>>,
    }

    impl StoredPages {
        fn keep(&mut self, changes: Option<Pages>) {
            let Some(changes) = changes else { return };
            self.entries = changes.entries;
            let count = u32::try_from(changes.count()).unwrap();
            self.pages.extend(changes.changed);
            self.pages.retain(|page, _| *page < count);
        }

        fn table(&self, maxretry: u32, now: Time) -> OffenceTable {
            let mut table = table(maxretry);
            let changed = self.pages.clone().into_iter().collect();
            table.restore(&Pages { entries: self.entries, changed }, now, Some, Some);
            table
        }
    }

    proptest! {
        /// A table that was stored now and then counts on as if nothing had happened.
        #[test]
        fn restored_table_counts_on(
            // With more, an entry that is past may hold half a step, which is not stored.
            maxretry in 1u32..65,
            per_attempt in 1u8..4,
            lines in proptest::collection::vec((0u32..400, 0u16..4, 0i64..20, any::<bool>(), 0u8..20), 1..600),
        ) {
            let (mut plain, mut kept) = (table(maxretry), StoredPages::default());
            plain.note_changes();
            let (mut now, mut line) = (0, 0);
            for (who, channel, pause, proven, what) in lines {
                now += pause;
                line += 1;
                plain.add(host(who), &event(channel, line, now, proven), per_attempt);
                match what {
                    0 => plain.clear(&host(who)),
                    1 => plain.sweep(Time::from_secs(START + now)),
                    2..6 => kept.keep(plain.take_changes()),
                    _ => {}
                }
            }
            kept.keep(plain.take_changes());
            prop_assert!(plain.take_changes().is_none());
            let time = Time::from_secs(START + now);
            let mut again = kept.table(maxretry, time);
            prop_assert_eq!(plain.live(time), again.live(time));
            for who in 0..400 {
                prop_assert_eq!(plain.count(&host(who), time), again.count(&host(who), time));
            }
            // The next line belongs to the attempt that was open, or it does not.
            for who in 0..400 {
                for channel in 0..4 {
                    line += 1;
                    let event = event(channel, line, now, true);
                    let counts = [&mut plain, &mut again].map(|t| t.add(host(who), &event, per_attempt));
                    if plain.dropped() + again.dropped() == 0 {
                        prop_assert_eq!(counts[0], counts[1]);
                    }
                }
            }
        }

        #[test]
        fn garbage_pages_are_ignored(page in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut table = table(5);
            let now = Time::from_secs(START);
            let pages = Pages { entries: usize::MAX, changed: vec![(0, page.clone()), (u32::MAX, page)] };
            table.restore(&pages, now, Some, Some);
            for who in 0..400 {
                assert!(table.count(&host(who), now).all <= 64);
            }
            table.sweep(now);
        }
    }

    #[test]
    fn only_changed_pages_are_stored() {
        let mut table = OffenceTable::new(5, Duration::from_secs(600));
        for who in 0..10_000 {
            table.add(host(who), &event(0, 1 + u64::from(who), 0, true), 1);
        }
        assert!(table.take_changes().is_none(), "nobody wants to know");
        table.note_changes();
        assert_eq!(table.take_changes().unwrap().changed.len(), 10_000_usize.div_ceil(PAGE));
        table.add(host(77), &event(0, 20_000, 1, true), 1);
        let changes = table.take_changes().unwrap();
        assert_eq!((changes.entries, changes.changed.len()), (10_000, 1));
        // 33 bytes and the time of an attempt, 12 more with IPv6, and one of them has failed twice.
        let ipv6 = (64..96).filter(|who| who % 3 == 0).count();
        assert_eq!(changes.changed[0].1.len(), PAGE * (33 + 4) + 12 * ipv6 + 4);
    }

    #[test]
    fn entries_of_version_0_1_0_are_read() {
        let old = |kind: u8, bits: u8, address: &str, times: [u32; 3]| {
            let mut bytes = vec![kind, bits];
            bytes.extend(address.parse::<Ipv6Addr>().unwrap().octets());
            bytes.extend(times[1].to_le_bytes());
            // Channel, rule and what is left of an attempt; where the next time goes, and that two are in use.
            bytes.extend([7, 0, 1, 0, 0]);
            bytes.extend(times[0].to_le_bytes());
            bytes.extend([2, 2]);
            bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend([0; 4]);
            bytes.extend(times.iter().flat_map(|time| time.to_le_bytes()));
            bytes
        };
        let now = u32::try_from(START).unwrap();
        let mut page = old(OLD_V4, 32, "::ffff:10.0.0.1", [now - 9, now - 8, 0]);
        page.extend(old(OLD_V6, 64, "2001:db8:0:5::", [now - 700, now - 8, 0]));
        // What stands behind the last entry is of some time before.
        page.extend(old(OLD_V4, 32, "::ffff:10.0.0.2", [now - 9, now - 8, 0]));
        let mut table = table(3);
        let stored = Pages { entries: 2, changed: vec![(0, page)] };
        let time = Time::from_secs(START);
        table.restore(&stored, time, |channel| (channel == 7).then_some(0), Some);
        let count = |address: &str| {
            let count = table.count(&Subject::of(address.parse().unwrap(), 64), time);
            (count.all, count.proven)
        };
        assert_eq!(count("10.0.0.1"), (2, 1));
        assert_eq!(count("2001:db8:0:5::77"), (1, 0));
        assert_eq!(count("10.0.0.2"), (0, 0));
    }
}
