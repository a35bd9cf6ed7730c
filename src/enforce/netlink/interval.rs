//! Networks as the elements of a set of intervals, and back.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::message::{Bare, Key};
use super::reply::Found;
use crate::table::structure::{SetKey, SetKind};

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

/// Returns the networks between the ends of intervals: where each begins, and where the addresses go on
/// after it. The last may be open.
pub(super) fn networks(ends: Vec<(IpAddr, bool)>) -> Vec<IpNet> {
    let ends = ends.into_iter().map(|(address, ends)| (address, ends, ())).collect();
    let nets = ranges(ends).into_iter().filter_map(|((), first, last)| subnets(first, last));
    nets.flatten().collect()
}

/// Returns what a set of this kind holds, with its keys. An interval that is no network is left out: we did not put it
/// there.
pub(super) fn keyed(kind: SetKind, held: Vec<Found>) -> Vec<(SetKey, Found)> {
    if kind != SetKind::Networks {
        return held.into_iter().filter_map(|found| Some((found.set_key()?, found))).collect();
    }
    let ends = held.into_iter().filter_map(|found| Some((found.address()?, found.ends, found)));
    let network = |(found, first, last)| {
        let mut nets = subnets(first, last)?;
        let net = nets.next()?;
        nets.next().is_none().then_some((SetKey::Network(net), found))
    };
    ranges(ends.collect()).into_iter().filter_map(network).collect()
}

/// Returns the ranges between these ends, each with what its beginning has with it, both ends included.
fn ranges<T>(mut ends: Vec<(IpAddr, bool, T)>) -> Vec<(T, IpAddr, IpAddr)> {
    // An interval that ends where the next begins comes first.
    ends.sort_by_key(|(address, ends, _)| (*address, !ends));
    let (mut ranges, mut open) = (Vec::new(), None);
    for (address, ends, with) in ends {
        match (ends, open.take()) {
            (true, Some((first, of_first))) => {
                ranges.extend(before(address).map(|last| (of_first, first, last)));
            }
            (true, None) => {}
            (false, first) => open = first.or(Some((address, with))),
        }
    }
    let highest = |first: IpAddr| match first {
        IpAddr::V4(_) => IpAddr::from([255; 4]),
        IpAddr::V6(_) => IpAddr::from([255; 16]),
    };
    ranges.extend(open.map(|(first, with)| (with, first, highest(first))));
    ranges
}

fn subnets(first: IpAddr, last: IpAddr) -> Option<IpSubnets> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Some(IpSubnets::from(Ipv4Subnets::new(first, last, 0)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Some(IpSubnets::from(Ipv6Subnets::new(first, last, 0)))
        }
        _ => None,
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    beside(address, u32::checked_sub, u128::checked_sub)
}

/// Returns the address that follows, if there is one.
pub(super) fn behind(address: IpAddr) -> Option<IpAddr> {
    beside(address, u32::checked_add, u128::checked_add)
}

fn beside(
    address: IpAddr,
    v4: impl FnOnce(u32, u32) -> Option<u32>,
    v6: impl FnOnce(u128, u128) -> Option<u128>,
) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => v4(address.to_bits(), 1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => v6(address.to_bits(), 1).map(|bits| IpAddr::V6(bits.into())),
    }
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

    #[test]
    fn networks_come_back_from_their_intervals() {
        for nets in [
            &["10.0.0.0/8", "192.0.2.1/32", "192.0.2.4/30"][..],
            &["255.255.255.255/32"],
            &["0.0.0.0/0"],
            &["2001:db8::/32", "ff00::/8"],
            &[],
        ] {
            let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
            let ipv6 = nets.first().is_some_and(|net| matches!(net, IpNet::V6(_)));
            let mut ends: Vec<_> = intervals(&nets, ipv6)
                .into_iter()
                .map(|bare| match bare.key {
                    Key::Address(address) => (address, bare.ends),
                    _ => panic!(),
                })
                .collect();
            ends.reverse();
            assert_eq!(networks(ends), nets);
        }
    }
}
