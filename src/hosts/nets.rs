//! Many networks, and whether an address is in one of them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::subject::canonical;

/// Networks of which none overlaps another, in the order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nets(Vec<IpNet>);

impl Nets {
    /// These networks, merged where they overlap or touch.
    #[must_use]
    pub fn new(nets: impl IntoIterator<Item = IpNet>) -> Self {
        let nets: Vec<_> = nets.into_iter().map(|net| net.trunc()).collect();
        let mut nets = IpNet::aggregate(&nets);
        nets.sort_unstable_by_key(IpNet::network);
        Self(nets)
    }

    /// Whether one of them holds `host`. Takes time that grows with the logarithm of their number.
    #[must_use]
    pub fn contains(&self, host: IpAddr) -> bool {
        let host = canonical(host);
        let after = self.0.partition_point(|net| net.network() <= host);
        let candidate = after.checked_sub(1).and_then(|at| self.0.get(at));
        candidate.is_some_and(|net| net.contains(&host))
    }

    /// The networks.
    #[must_use]
    pub fn as_slice(&self) -> &[IpNet] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net() -> impl Strategy<Value = IpNet> {
        // Few addresses and all lengths, so that networks meet.
        let v4 = (0_u32..64, 24_u8..=32).prop_map(|(n, bits)| {
            IpNet::new(IpAddr::from((0xc000_0200 + n).to_be_bytes()), bits).unwrap()
        });
        let v6 = (0_u128..64, 0_u8..=128).prop_map(|(n, bits)| {
            IpNet::new(IpAddr::from((n << 58 | 0x2001 << 112).to_be_bytes()), bits).unwrap()
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn it_holds_what_one_of_them_holds(
            nets in prop::collection::vec(net(), 0..12),
            hosts in prop::collection::vec(net(), 1..12),
        ) {
            let set = Nets::new(nets.clone());
            for host in hosts.iter().map(IpNet::addr) {
                let one = nets.iter().any(|net| net.contains(&host));
                prop_assert_eq!(set.contains(host), one, "{} in {:?}", host, nets);
            }
        }
    }
}
