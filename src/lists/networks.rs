//! A great many networks in little memory.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::subject::canonical;

/// Networks in the order of their addresses, none within another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<(u32, u8)>,
    v6: Vec<(u128, u8)>,
}

/// The first addresses of networks that are equally long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keys {
    /// Of IPv4 networks.
    V4(Vec<u32>),
    /// Of IPv6 networks.
    V6(Vec<u128>),
}

impl Networks {
    /// These networks, without those that lie in others of them.
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

    /// How many there are.
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

    /// The one that `host` is in. Takes time that grows with the logarithm of their number.
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
    /// How many there are.
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

    proptest! {
        #[test]
        fn they_hold_what_one_of_them_holds(
            nets in prop::collection::vec(net(), 0..12),
            hosts in prop::collection::vec(net(), 1..12),
        ) {
            let set = Networks::new(nets.clone());
            for host in hosts.iter().map(IpNet::addr) {
                let one = nets.iter().any(|net| net.contains(&host));
                let found = set.find(host);
                prop_assert_eq!(found.is_some(), one, "{} in {:?}", host, nets);
                prop_assert!(found.is_none_or(|net| net.contains(&host)));
            }
        }

        #[test]
        fn none_lies_in_another_and_none_is_lost(nets in prop::collection::vec(net(), 0..12)) {
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
