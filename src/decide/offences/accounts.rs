//! Counts the different accounts that a host fails at.

use std::time::Duration;

use super::{OffenceTable, Track};
use crate::config::Counting;
use crate::model::account::Account;
use crate::model::event::{Class, Event, Meaning};
use crate::model::subject::Subject;

/// The number of all accounts that may exist and have no plain name.
const NAMELESS: u32 = 1;

/// Returns the number of the account that an offence is at; 0 if it counts by itself.
pub(super) fn number(counting: Counting, event: &Event) -> u32 {
    let number = event.account.map(Account::number);
    match (counting, event.meaning) {
        (Counting::Attempts, _) => 0,
        (_, Meaning::Offence(Class::User)) => number.unwrap_or(0),
        (_, Meaning::Offence(Class::Guess)) => number.unwrap_or(NAMELESS),
        // Whoever asks for nobody asks for us, again and again.
        _ if event.is_probe() => number.unwrap_or(NAMELESS),
        _ => 0,
    }
}

/// Returns how many different accounts there are among those that were tried within `findtime` seconds.
pub(super) fn different(accounts: &[u32], times: &[u32], now: u32, findtime: u32) -> u32 {
    let live =
        |place: usize| times.get(place).is_some_and(|time| now.saturating_sub(*time) < findtime);
    let is_first = |place: usize, account: u32| {
        let before = accounts.iter().take(place).enumerate();
        account == 0 || !before.into_iter().any(|(at, other)| *other == account && live(at))
    };
    let counted = accounts.iter().enumerate();
    let counted = counted.filter(|(at, account)| live(*at) && is_first(*at, **account)).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

impl Track {
    /// Counts an account, once.
    pub(super) fn note_account(
        &mut self,
        times: &mut [u32],
        accounts: &mut [u32],
        account: u32,
        proven: bool,
        now: u32,
        findtime: u32,
    ) {
        let live = |time: u32| now.saturating_sub(time) < findtime;
        let known = accounts.iter().zip(times.iter()).take(self.used.into());
        let known = known
            .enumerate()
            .find(|(_, (other, time))| account != 0 && **other == account && live(**time));
        let known = known.map(|(place, _)| place);
        let free = (usize::from(self.used) < times.len()).then_some(usize::from(self.used));
        let oldest = || (0..times.len()).min_by_key(|place| times.get(*place).copied());
        let Some(place) = known.or(free).or_else(oldest) else { return };
        // One try that is proven says that the host tries it.
        self.mark(place, proven || known.is_some_and(|place| self.proven >> place & 1 == 1));
        if let (Some(time), Some(at)) = (times.get_mut(place), accounts.get_mut(place)) {
            (*time, *at) = (now, account);
        }
        self.used = self.used.max(u8::try_from(place + 1).unwrap_or(u8::MAX));
    }
}

impl OffenceTable {
    /// Returns the table, which counts these from now on. Call it while it is empty.
    #[must_use]
    pub fn counting(self, counting: Counting) -> Self {
        Self { counting, ..self }
    }

    /// Forgets that a subject failed at an account: it has logged in.
    pub fn forgive(&mut self, subject: &Subject, account: Account) {
        if self.counting == Counting::Attempts {
            return;
        }
        let number = account.number();
        let of_subject: Vec<_> = self.of(self.list(subject), subject).collect();
        for at in of_subject {
            let places = self.places(at);
            let accounts = self.accounts.get(places.clone()).unwrap_or_default();
            let times = self.times.get_mut(places).unwrap_or_default();
            for (time, other) in times.iter_mut().zip(accounts) {
                if *other == number && *time != 0 {
                    *time = 0;
                    self.changes.note(at);
                }
            }
        }
    }

    /// As [`OffenceTable::change_terms`] for the accounts: the last ones stay, as far as there is room.
    pub(super) fn move_accounts(&mut self, maxretry: u32, findtime: Duration) {
        let fresh = Self::with_capacity(maxretry, findtime, self.capacity);
        let (ring, room) = (self.ring, fresh.ring);
        let (mut times, mut accounts) = (Vec::new(), Vec::new());
        for (at, entry) in self.entries.iter_mut().enumerate() {
            let old = |places: &[u32], place: usize| places.get(at * ring + place).copied();
            let used = usize::from(entry.track.used);
            let mut order: Vec<usize> = (0..ring.min(used)).collect();
            order.sort_by_key(|place| std::cmp::Reverse(old(&self.times, *place)));
            order.truncate(room);
            // The first place is the next to be written: the oldest.
            order.reverse();
            let proven = entry.track.proven;
            entry.track.proven = 0;
            for (new, place) in order.iter().enumerate() {
                times.push(old(&self.times, *place).unwrap_or(0));
                accounts.push(old(&self.accounts, *place).unwrap_or(0));
                entry.track.mark(new, proven >> place & 1 == 1);
            }
            times.resize((at + 1) * room, 0);
            accounts.resize((at + 1) * room, 0);
            entry.track.used = u8::try_from(order.len()).unwrap_or(u8::MAX);
            entry.track.next = u8::try_from(order.len() % room).unwrap_or(0);
        }
        (self.times, self.accounts, self.ring, self.step) = (times, accounts, room, fresh.step);
        self.changes.note_all(self.entries.len());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Basis, ChannelId, Clue, Evidence, RuleId};
    use crate::model::time::Time;

    const START: i64 = 1_800_000_000;
    const FINDTIME: u64 = 600;

    fn host() -> Subject {
        Subject::of([203, 0, 113, 9].into(), 64)
    }

    fn at(secs: i64) -> Time {
        Time::from_secs(START + secs)
    }

    fn event(line: u64, secs: i64, class: Class, account: Option<u8>, proven: bool) -> Event {
        Event {
            time: at(secs),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Offence(class),
            host: host().address(),
            evidence: if proven { Evidence::Proven } else { Evidence::Unverified },
            line,
            account: account.and_then(|n| Account::named(n.to_string().as_bytes())),
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    fn table(maxretry: u32) -> OffenceTable {
        let table = OffenceTable::with_capacity(maxretry, Duration::from_secs(FINDTIME), 100);
        table.counting(Counting::Accounts)
    }

    proptest! {
        /// The table agrees with plainly keeping when each account last failed, also after it was stored and when
        /// there is room for more.
        #[test]
        fn each_account_counts_once(
            maxretry in 2u32..20,
            tries in prop::collection::vec((0u8..12, 0i64..90, any::<bool>(), 0u8..20), 1..200),
        ) {
            let mut counted = table(maxretry);
            let (mut last, mut proven): (HashMap<u8, i64>, HashMap<u8, bool>) = Default::default();
            let mut now = 0;
            for (line, (account, pause, is_proven, what)) in (1..).zip(tries) {
                now += pause;
                let live = |last: &HashMap<u8, i64>, who: u8| {
                    last.get(&who).is_some_and(|time| now - time < i64::try_from(FINDTIME).unwrap())
                };
                let before = live(&last, account) && proven.get(&account) == Some(&true);
                proven.insert(account, is_proven || before);
                last.insert(account, now);
                let event = event(line, now, Class::Guess, Some(account), is_proven);
                let count = counted.add(host(), &event, 1);
                let all = (0..12).filter(|who| live(&last, *who)).count();
                let sure = (0..12).filter(|who| live(&last, *who) && proven[who]).count();
                if all <= maxretry as usize {
                    prop_assert_eq!((count.all as usize, count.proven as usize), (all, sure));
                    prop_assert_eq!(count.accounts, count.all);
                }
                if count.all >= maxretry {
                    counted.clear(&host());
                    last.clear();
                }
                match what {
                    0 => {
                        counted.forgive(&host(), event.account.unwrap());
                        last.remove(&account);
                    }
                    1 => {
                        let mut again = table(maxretry);
                        counted.note_changes();
                        if let Some(pages) = counted.take_changes() {
                            again.restore(&pages, at(now), Some, Some);
                        }
                        prop_assert_eq!(again.count(&host(), at(now)), counted.count(&host(), at(now)));
                        counted = again;
                    }
                    2 => {
                        counted.change_terms(maxretry + 30, Duration::from_secs(FINDTIME));
                        counted.change_terms(maxretry, Duration::from_secs(FINDTIME));
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn what_has_no_account_counts_each_time_where_none_can_exist() {
        let counts = |class: Class| {
            let mut table = table(9);
            (1..=5).map(|line| table.add(host(), &event(line, 0, class, None, true), 1).all).max()
        };
        assert_eq!(counts(Class::User), Some(5));
        assert_eq!(counts(Class::Extension), Some(5));
        assert_eq!(counts(Class::Guess), Some(1), "one account with a strange name");
    }
}
