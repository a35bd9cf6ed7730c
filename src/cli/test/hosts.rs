//! The hosts that a log names most, in memory that is bounded however many it names.

use std::collections::HashMap;
use std::net::IpAddr;

/// Hosts that are remembered, of about 40 bytes each.
const MOST_HOSTS: usize = 65_536;

/// Counts how often hosts are named. When there are too many, as much is taken off all counts as leaves half of the
/// hosts: who is named more often than others stays, and a count is too low by what was taken off at most.
#[derive(Debug, Default)]
pub struct NamedHosts {
    counts: HashMap<IpAddr, u64>,
    /// What was taken off all counts.
    pub taken_off: u64,
}

impl NamedHosts {
    /// Counts a line that names `host`.
    pub fn add(&mut self, host: IpAddr) {
        *self.counts.entry(host).or_default() += 1;
        if self.counts.len() > MOST_HOSTS {
            self.thin_out();
        }
    }

    fn thin_out(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let less = *median;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(less);
            *count > 0
        });
        self.taken_off += less;
    }

    /// The hosts that are named most, at most `most` of them, and how often each is named at least.
    pub fn top(&self, most: usize) -> Vec<(IpAddr, u64)> {
        let mut named: Vec<_> = self.counts.iter().map(|(host, count)| (*host, *count)).collect();
        named.sort_unstable_by_key(|(host, count)| (std::cmp::Reverse(*count), *host));
        named.truncate(most);
        named
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    #[test]
    fn hosts_are_listed_most_named_first() {
        let mut named = NamedHosts::default();
        for number in [7, 9, 9, 8, 8, 9] {
            named.add(host(number));
        }
        assert_eq!(named.top(2), [(host(9), 3), (host(8), 2)]);
        assert_eq!((named.top(9).len(), named.taken_off), (3, 0));
    }

    #[test]
    fn a_crowd_does_not_push_out_who_is_named_most() {
        let mut named = NamedHosts::default();
        for number in 0..400_000_u32 {
            named.add(host(1 << 24 | number));
            if number % 100 == 0 {
                named.add(host(9));
            }
        }
        assert!(named.counts.len() <= MOST_HOSTS);
        let top = named.top(1);
        assert_eq!(top[0].0, host(9));
        assert!(named.taken_off > 0 && top[0].1 < 4000, "{top:?}");
        assert!(top[0].1 + named.taken_off >= 4000, "{top:?} {}", named.taken_off);
    }
}
