//! A great many networks in little memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::subject::canonical;

/// Networks in the order of their addresses, none within another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u8)>,
    v6: Vec<(u128, u8)>,
}

/// The first addresses of networks that are equally long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keys {
    /// The addresses of IPv4 networks.
    V4(Vec<u32>),
    /// The addresses of IPv6 networks.
    V6(Vec<u128>),
}

impl Networks {
    /// Returns the set of these networks, without those that lie in others of them.
    #[must_use]
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net.trunc() {
                IpNet::V4(net) => v4.push((net.addr().to_bits(), net.prefix_len())),
                IpNet::V6(net) => v6.push((net.addr().to_bits(), net.prefix_len())),
            }
        }
        outermost(&mut v4, |(outer, bits), (inner, _)| same_start(outer ^ inner, bits));
        outermost(&mut v6, |(outer, bits), (inner, _)| {
            (outer ^ inner).leading_zeros() >= u32::from(bits)
        });
        Self { v4, v6 }
    }

    /// Returns these networks, merged where they overlap or touch.
    #[must_use]
    pub fn merged(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let nets: Vec<_> = nets.into_iter().map(|net| net.trunc()).collect();
        Self::new(IpNet::aggregate(&nets))
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The networks.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.iter().map(|(bits, length)| (IpAddr::V4((*bits).into()), *length));
        let v6 = self.v6.iter().map(|(bits, length)| (IpAddr::V6((*bits).into()), *length));
        // Both were networks before.
        v4.chain(v6).filter_map(|(address, length)| IpNet::new(address, length).ok())
    }

    /// Returns the network that `host` is in. Takes time that grows with the logarithm of their
    /// number.
    #[must_use]
    pub fn find(&self, host: IpAddr) -> Option<IpNet> {
        let (address, length) = match canonical(host) {
            IpAddr::V4(v4) => {
                let host = v4.to_bits();
                let after = self.v4.partition_point(|(start, _)| *start <= host);
                let (start, length) = *self.v4.get(after.checked_sub(1)?)?;
                (same_start(start ^ host, length).then_some(IpAddr::V4(start.into()))?, length)
            }
            IpAddr::V6(v6) => {
                let host = v6.to_bits();
                let after = self.v6.partition_point(|(start, _)| *start <= host);
                let (start, length) = *self.v6.get(after.checked_sub(1)?)?;
                let within = (start ^ host).leading_zeros() >= u32::from(length);
                (within.then_some(IpAddr::V6(start.into()))?, length)
            }
        };
        IpNet::new(address, length).ok()
    }

    /// Whether one of them holds `host`. Takes time that grows with the logarithm of their number.
    #[must_use]
    pub fn contains(&self, host: IpAddr) -> bool {
        self.find(host).is_some()
    }

    /// Whether there are IPv4 networks.
    #[must_use]
    pub fn has_v4(&self) -> bool {
        !self.v4.is_empty()
    }

    /// Whether there are IPv6 networks.
    #[must_use]
    pub fn has_v6(&self) -> bool {
        !self.v6.is_empty()
    }

    /// Returns how many addresses are in them, of IPv4 and of IPv6.
    #[must_use]
    pub fn addresses(&self) -> (u128, u128) {
        let size = |bits: u32| 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
        let v4 = self.v4.iter().map(|(_, length)| size(32_u32.saturating_sub((*length).into())));
        let v6 = self.v6.iter().map(|(_, length)| size(128_u32.saturating_sub((*length).into())));
        (v4.fold(0, u128::saturating_add), v6.fold(0, u128::saturating_add))
    }

    /// The same networks in fewer lengths: those of a length that few have are written as networks
    /// of the next length that there is, as long as not more than a quarter is added in all.
    #[must_use]
    pub fn in_few_lengths(&self) -> Self {
        let v4 = longer(counts(&self.v4), self.v4.len() / 4);
        let v6 = longer(counts(&self.v6), self.v6.len() / 4);
        self.with_lengths(&v4, &v6)
    }

    /// The same networks in at most `most` lengths of either family, at least one: in those that need the fewest
    /// networks. `None` if these are more than `limit`.
    #[must_use]
    pub fn in_lengths(&self, most: usize, limit: usize) -> Option<Self> {
        let [(v4_count, v4), (v6_count, v6)] =
            [counts(&self.v4), counts(&self.v6)].map(|counts| fewest(&counts, most));
        (v4_count.saturating_add(v6_count) <= limit).then(|| self.with_lengths(&v4, &v6))
    }

    /// The same, with these lengths instead of each, which are not shorter.
    fn with_lengths(&self, v4: &BTreeMap<u8, u8>, v6: &BTreeMap<u8, u8>) -> Self {
        let nets = self.iter().flat_map(|net| {
            let lengths = if matches!(net, IpNet::V4(_)) { v4 } else { v6 };
            let length = lengths.get(&net.prefix_len()).copied().unwrap_or(net.prefix_len());
            // Never shorter than it is.
            net.subnets(length).into_iter().flatten()
        });
        Self::new(nets)
    }

    /// The same, sorted by family (`true`: IPv6) and length.
    #[must_use]
    pub fn by_length(&self) -> BTreeMap<(bool, u8), Keys> {
        let (mut v4, mut v6) = (BTreeMap::<u8, Vec<_>>::new(), BTreeMap::<u8, Vec<_>>::new());
        for (start, length) in &self.v4 {
            v4.entry(*length).or_default().push(*start);
        }
        for (start, length) in &self.v6 {
            v6.entry(*length).or_default().push(*start);
        }
        let v4 = v4.into_iter().map(|(length, keys)| ((false, length), Keys::V4(keys)));
        let v6 = v6.into_iter().map(|(length, keys)| ((true, length), Keys::V6(keys)));
        v4.chain(v6).collect()
    }
}

impl Keys {
    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::V4(keys) => keys.len(),
            Self::V6(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let (v4, v6) = match self {
            Self::V4(keys) => (keys.as_slice(), &[][..]),
            Self::V6(keys) => (&[][..], keys.as_slice()),
        };
        let v4 = v4.iter().map(|bits| IpAddr::V4((*bits).into()));
        v4.chain(v6.iter().map(|bits| IpAddr::V6((*bits).into())))
    }
}

/// Returns which length the networks of each length are to have, if no more than `room` may be
/// added.
fn longer(mut counts: BTreeMap<u8, usize>, mut room: usize) -> BTreeMap<u8, u8> {
    let mut longer: BTreeMap<u8, u8> = counts.keys().map(|length| (*length, *length)).collect();
    loop {
        // The cost of getting rid of each length but the longest.
        let pairs = counts.iter().zip(counts.keys().skip(1));
        let costs = pairs.map(|((from, count), to)| {
            let parts = 1_usize.checked_shl(u32::from(to - from)).unwrap_or(usize::MAX);
            (count.saturating_mul(parts), *count, *from, *to)
        });
        let Some((many, few, from, to)) = costs.min_by_key(|(many, few, ..)| many - few) else {
            return longer;
        };
        if many - few > room {
            return longer;
        }
        room -= many - few;
        counts.remove(&from);
        *counts.entry(to).or_default() += many;
        longer.values_mut().filter(|length| **length == from).for_each(|length| *length = to);
    }
}

/// Returns which length the networks of each length are to have, so that there are at most `most` lengths and as few
/// networks as that allows; and how many these are.
fn fewest(counts: &BTreeMap<u8, usize>, most: usize) -> (usize, BTreeMap<u8, u8>) {
    let lengths: Vec<_> = counts.iter().map(|(length, count)| (*length, *count)).collect();
    // What the first so many lengths cost, and where the last of their groups begins, for each number of groups.
    let mut best: Vec<Option<(usize, Vec<usize>)>> = vec![None; lengths.len() + 1];
    if let Some(none) = best.first_mut() {
        *none = Some((0, Vec::new()));
    }
    for _ in 0..most.max(1) {
        let mut next = best.clone();
        for (behind, cheapest) in next.iter_mut().enumerate().skip(1) {
            for (start, before) in best.iter().enumerate().take(behind) {
                let Some((cost, starts)) = before else { continue };
                let group = lengths.get(start..behind).unwrap_or_default();
                let cost = cost.saturating_add(in_longest(group));
                if cheapest.as_ref().is_none_or(|(least, _)| cost < *least) {
                    *cheapest = Some((cost, starts.iter().copied().chain([start]).collect()));
                }
            }
        }
        best = next;
    }
    let (cost, starts) = best.pop().flatten().unwrap_or_default();
    let ends = starts.iter().skip(1).copied().chain([lengths.len()]);
    let groups = starts.iter().zip(ends).filter_map(|(start, end)| lengths.get(*start..end));
    let lengths = groups
        .filter_map(|group| Some((group, group.last()?.0)))
        .flat_map(|(group, longest)| group.iter().map(move |(length, _)| (*length, longest)))
        .collect();
    (cost, lengths)
}

/// Returns how many networks these are in the longest of their lengths.
fn in_longest(group: &[(u8, usize)]) -> usize {
    let longest = group.last().map_or(0, |(length, _)| *length);
    let parts = group.iter().map(|(length, count)| {
        let parts = 1_usize.checked_shl((longest - length).into()).unwrap_or(usize::MAX);
        count.saturating_mul(parts)
    });
    parts.fold(0, usize::saturating_add)
}

/// Returns how many networks have each length.
fn counts<T>(nets: &[(T, u8)]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    for (_, length) in nets {
        *counts.entry(*length).or_default() += 1;
    }
    counts
}

fn same_start(differing: u32, bits: u8) -> bool {
    differing.leading_zeros() >= u32::from(bits)
}

/// Sorts networks, and leaves out those that lie in others.
fn outermost<T: Copy + Ord>(nets: &mut Vec<T>, holds: impl Fn(T, T) -> bool) {
    // A wider network comes right before all that lie in it.
    nets.sort_unstable();
    nets.dedup_by(|inner, outer| holds(*outer, *inner));
    nets.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net() -> impl Strategy<Value = IpNet> {
        // Few addresses and all lengths, so that networks meet.
        let v4 = (0_u32..64, 0_u8..=32).prop_map(|(n, bits)| {
            IpNet::new(IpAddr::from((0xc000_0200 + n).to_be_bytes()), bits).unwrap()
        });
        let v6 = (0_u128..64, 0_u8..=128).prop_map(|(n, bits)| {
            IpNet::new(IpAddr::from((n << 58 | 0x2001 << 112).to_be_bytes()), bits).unwrap()
        });
        prop_oneof![v4, v6]
    }

    #[test]
    fn rare_lengths_are_merged_into_common_ones() {
        let host = |n: u32| IpNet::from(IpAddr::from((0xc633_0000 + n * 2).to_be_bytes()));
        let wide = ["203.0.112.0/22", "198.18.0.0/17", "192.0.2.0/24"].map(str::parse);
        let wide = wide.into_iter().map(Result::unwrap);
        let few = Networks::new((0..20_000).map(host).chain(wide)).in_few_lengths();
        let lengths: Vec<_> =
            few.by_length().iter().map(|((_, length), keys)| (*length, keys.len())).collect();
        // The /22 and /24 are four and one of /24; 128 of them make the /17; 256 hosts each were
        // too many.
        assert_eq!(lengths, [(24, 133), (32, 20_000)]);
    }

    proptest! {
        #[test]
        fn set_holds_what_one_network_holds(
            nets in prop::collection::vec(net(), 0..12),
            hosts in prop::collection::vec(net(), 1..12),
        ) {
            let set = Networks::new(nets.clone());
            for host in hosts.iter().map(IpNet::addr) {
                let one = nets.iter().any(|net| net.contains(&host));
                let found = set.find(host);
                prop_assert_eq!(found.is_some(), one, "{} in {:?}", host, nets);
                prop_assert!(found.is_none_or(|net| net.contains(&host)));
                prop_assert_eq!(Networks::merged(nets.clone()).contains(host), one);
            }
        }

        #[test]
        fn merged_lengths_hold_the_same_addresses(nets in prop::collection::vec(net(), 0..40)) {
            let set = Networks::new(nets);
            let few = set.in_few_lengths();
            prop_assert!(few.len() <= set.len() + set.len() / 4);
            prop_assert!(few.by_length().len() <= set.by_length().len());
            let merged = |set: &Networks| {
                let mut nets = IpNet::aggregate(&set.iter().collect());
                nets.sort_unstable();
                nets
            };
            prop_assert_eq!(merged(&few), merged(&set));
            prop_assert_eq!(set.in_lengths(129, usize::MAX), Some(set.clone()));
            if let Some(few) = set.in_lengths(2, 10_000) {
                prop_assert!(few.by_length().len() <= 4);
                prop_assert!(few.len() <= 10_000);
                prop_assert_eq!(merged(&few), merged(&set));
            }
        }

        #[test]
        fn nested_networks_are_merged_and_none_is_lost(nets in prop::collection::vec(net(), 0..12)) {
            let set = Networks::new(nets.clone());
            let kept: Vec<_> = set.iter().collect();
            for (at, net) in kept.iter().enumerate() {
                let others = kept.iter().enumerate().filter(|(other, _)| *other != at);
                prop_assert!(others.into_iter().all(|(_, other)| !other.contains(net)));
            }
            for net in nets {
                prop_assert!(kept.iter().any(|known| known.contains(&net)), "{} is lost", net);
            }
            let by_length = set.by_length();
            prop_assert_eq!(by_length.values().map(Keys::len).sum::<usize>(), set.len());
            for ((ipv6, length), keys) in by_length {
                for key in keys.iter() {
                    prop_assert_eq!(key.is_ipv6(), ipv6);
                    prop_assert!(kept.contains(&IpNet::new(key, length).unwrap()));
                }
            }
        }
    }
}
