//! Many elements at the same time: lists, and the networks that are let through.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::message::{Bare, Key, delete_set};
use super::socket::Socket;
use super::{SinkError, all_or_error, failed};
use crate::model::network_set::Keys;

/// Elements in one transaction: a few milliseconds, for which others have to wait.
const PART: usize = 10_000;

/// A socket for lists: what it does takes its time, and keeps no other socket from its work.
#[derive(Debug)]
pub struct ListSocket(Socket);

impl ListSocket {
    /// Opens it, in the network namespace of the thread that calls this.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn open() -> io::Result<Self> {
        Socket::open().map(Self)
    }

    /// Adds elements to a set; those that are there stay.
    pub(in crate::enforce) fn fill(&mut self, set: &str, keys: &Keys) -> Result<(), SinkError> {
        let mut keys = keys.iter().map(|key| Bare { key: Key::Address(key), ends: false });
        loop {
            let part: Vec<_> = keys.by_ref().take(PART).collect();
            if part.is_empty() {
                return Ok(());
            }
            let mut transaction = self.0.transaction();
            transaction.add_many(set, &part);
            all_or_error(&self.0.carry_out(transaction)?)?;
        }
    }

    /// Returns the names of all sets of the table.
    pub(in crate::enforce) fn sets(&mut self) -> Result<Vec<String>, SinkError> {
        self.0.names().map_err(failed)
    }

    /// Removes a set, unless a rule refers to it.
    pub(in crate::enforce) fn delete(&mut self, set: &str) -> Result<(), SinkError> {
        let mut transaction = self.0.transaction();
        delete_set(&mut transaction, set);
        // Refused, it stays, and the next sweep tries again.
        self.0.carry_out(transaction).map(drop).map_err(SinkError::Io)
    }
}

/// Networks of one family as the elements of a set of intervals: where each begins, and where the
/// addresses go on after it. Those that touch become one.
pub(super) fn intervals(nets: &[IpNet], ipv6: bool) -> Vec<Bare> {
    let mut ranges: Vec<(u128, u128)> = nets
        .iter()
        .filter(|net| matches!(net, IpNet::V6(_)) == ipv6)
        .map(|net| (number(net.network()), number(net.broadcast())))
        .collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    let highest = if ipv6 { u128::MAX } else { u128::from(u32::MAX) };
    let ends = |(first, last): (u128, u128)| {
        let start = Bare { key: key(first, ipv6), ends: false };
        // Nothing comes after the highest address: that interval stays open.
        let end = (last < highest).then(|| Bare { key: key(last + 1, ipv6), ends: true });
        std::iter::once(start).chain(end)
    };
    merged.into_iter().flat_map(ends).collect()
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn key(number: u128, ipv6: bool) -> Key {
    let v4 = u32::try_from(number).ok().filter(|_| !ipv6);
    Key::Address(v4.map_or(IpAddr::V6(number.into()), |v4| IpAddr::V4(v4.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(nets: &[&str], ipv6: bool) -> Vec<String> {
        let nets: Vec<_> = nets.iter().map(|net| net.parse().unwrap()).collect();
        let written = |bare: &Bare| match (bare.key, bare.ends) {
            (Key::Address(address), true) => format!("-{address}"),
            (key, _) => format!("{key:?}").replace("Address(", "").replace(')', ""),
        };
        intervals(&nets, ipv6).iter().map(written).collect()
    }

    #[test]
    fn intervals_have_two_ends_but_for_the_last() {
        assert_eq!(
            ends(&["10.1.0.0/16", "192.0.2.1/32", "10.0.0.0/8", "::1/128", "11.0.0.0/8"], false),
            ["10.0.0.0", "-12.0.0.0", "192.0.2.1", "-192.0.2.2"]
        );
        assert_eq!(ends(&["0.0.0.0/0"], false), ["0.0.0.0"]);
        assert_eq!(ends(&["255.255.255.255/32"], false), ["255.255.255.255"]);
        assert_eq!(ends(&["::/0"], true), ["::"]);
        assert_eq!(ends(&["2001:db8::/32", "10.0.0.0/8"], true), ["2001:db8::", "-2001:db9::"]);
        assert_eq!(ends(&[], true), Vec::<String>::new());
    }
}
