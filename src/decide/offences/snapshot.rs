//! An offence table as bytes: the pages that have changed, to be stored, and back.
//!
//! A page holds the entries of some consecutive places. So whatever happens to the table, what is
//! stored of it is no larger than the table, and writing it costs no more than there are pages that
//! have changed.

use super::{Key, OffenceTable, SubjectEntry, Track};
use crate::config::Counting;
use crate::model::subject::Subject;
use crate::model::time::Time;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Entries of one page.
const PAGE: usize = 32;
/// Bytes of an entry, without its times and accounts.
const FIXED: usize = 45;

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
        let changed =
            changed.map(|page| (u32::try_from(page).unwrap_or(u32::MAX), self.page(page)));
        Some(Pages { entries, changed: changed.collect() })
    }

    fn page(&self, page: usize) -> Vec<u8> {
        let places = page * PAGE..self.entries.len().min((page + 1) * PAGE);
        let mut bytes = Vec::with_capacity(places.len() * self.width());
        for place in places {
            let (times, accounts) =
                (self.times.get(self.places(place)), self.accounts.get(self.places(place)));
            if let (Some(entry), Some(times)) = (self.entries.get(place), times) {
                write(&mut bytes, entry, times, accounts.unwrap_or_default());
            }
        }
        bytes
    }

    /// Bytes of an entry.
    fn width(&self) -> usize {
        FIXED + 4 * self.numbers()
    }

    /// The times of an entry, and its accounts.
    fn numbers(&self) -> usize {
        if self.counting == Counting::Attempts { self.ring } else { 2 * self.ring }
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
            for bytes in bytes.chunks_exact(self.width()).take(count) {
                let Some((mut entry, numbers)) = read(bytes, self.ring, self.numbers()) else {
                    continue;
                };
                let (times, accounts) = numbers.split_at_checked(self.ring).unwrap_or_default();
                let Some(channel) = channel(entry.track.channel) else { continue };
                entry.track.channel = channel;
                match rule(entry.track.rule) {
                    Some(rule) => entry.track.rule = rule,
                    None => entry.track.to_come = 0,
                }
                self.put(&entry, times, accounts, now.secs32());
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
        if let Some(known) = self.accounts.get_mut(places.clone()) {
            known.copy_from_slice(accounts);
        }
        let known = self.times.get_mut(places);
        if let (Some(known), Some(place)) = (known, self.entries.get_mut(at)) {
            known.copy_from_slice(times);
            (place.last, place.track) = (entry.last, entry.track);
        }
        self.changes.note(at);
    }
}

fn write(bytes: &mut Vec<u8>, entry: &SubjectEntry, times: &[u32], accounts: &[u32]) {
    let net = entry.subject.net();
    let address = match net {
        IpNet::V4(net) => net.addr().to_ipv6_mapped(),
        IpNet::V6(net) => net.addr(),
    };
    let track = &entry.track;
    bytes.extend([u8::from(entry.subject.is_ipv6()), net.prefix_len()]);
    bytes.extend(address.octets());
    bytes.extend(entry.last.to_le_bytes());
    bytes.extend(track.channel.to_le_bytes());
    bytes.extend(track.rule.to_le_bytes());
    bytes.push(track.to_come);
    bytes.extend(track.opened.to_le_bytes());
    bytes.extend([track.next, track.used]);
    bytes.extend(track.proven.to_le_bytes());
    bytes.extend(track.gathered.to_le_bytes());
    for number in times.iter().chain(accounts) {
        bytes.extend(number.to_le_bytes());
    }
}

fn read(bytes: &[u8], ring: usize, count: usize) -> Option<(SubjectEntry, Vec<u32>)> {
    let mut rest = bytes;
    let [is_ipv6, bits] = take(&mut rest)?;
    let address = std::net::Ipv6Addr::from(take::<16>(&mut rest)?);
    let net = match is_ipv6 {
        0 => IpNet::V4(Ipv4Net::new(address.to_ipv4_mapped()?, bits).ok()?),
        _ => IpNet::V6(Ipv6Net::new(address, bits).ok()?),
    };
    let last = u32::from_le_bytes(take(&mut rest)?);
    let channel = u16::from_le_bytes(take(&mut rest)?);
    let rule = u16::from_le_bytes(take(&mut rest)?);
    let [to_come] = take(&mut rest)?;
    let opened = u32::from_le_bytes(take(&mut rest)?);
    let [next, used] = take(&mut rest)?;
    let proven = u64::from_le_bytes(take(&mut rest)?);
    let gathered = u32::from_le_bytes(take(&mut rest)?);
    let mut numbers = Vec::with_capacity(count);
    while let Some(number) = take(&mut rest) {
        numbers.push(u32::from_le_bytes(number));
    }
    let sane = numbers.len() == count && usize::from(next) < ring && usize::from(used) <= ring;
    // Lines have other numbers in another run: none of them is the one that was counted last.
    let line = 0;
    let track = Track { channel, line, rule, to_come, opened, next, used, proven, gathered };
    sane.then(|| {
        (SubjectEntry { subject: Subject::from(net), following: super::END, last, track }, numbers)
    })
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
        assert_eq!(changes.changed[0].1.len(), PAGE * (FIXED + 20));
    }
}
