//! The networks that logins are told apart by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::subject::canonical;

/// Bits of an IPv4 address that count: most providers and offices change addresses within these.
const IPV4: u8 = 24;
/// The same for IPv6: what a customer gets at most. The parts below it change with privacy extensions and new prefixes.
const IPV6: u8 = 48;

/// A network that an account logs in from: an IPv4 /24 or an IPv6 /48, in 7 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoginNetwork {
    is_ipv6: bool,
    bytes: [u8; 6],
}

impl LoginNetwork {
    /// Returns the network that a host is in.
    #[must_use]
    pub fn of(host: IpAddr) -> Self {
        let mut bytes = [0; 6];
        let is_ipv6 = match canonical(host) {
            IpAddr::V4(v4) => {
                bytes.iter_mut().zip(v4.octets()).take(3).for_each(|(place, byte)| *place = byte);
                false
            }
            IpAddr::V6(v6) => {
                bytes.iter_mut().zip(v6.octets()).for_each(|(place, byte)| *place = byte);
                true
            }
        };
        Self { is_ipv6, bytes }
    }

    /// Returns the network that all of `net` is in; `None` if it is wider than one.
    #[must_use]
    pub fn holding(net: &IpNet) -> Option<Self> {
        let network = Self::of(net.network());
        network.net().contains(net).then_some(network)
    }

    /// Returns it as people write it.
    #[must_use]
    pub fn net(self) -> IpNet {
        let mut octets = [0; 16];
        octets.iter_mut().zip(self.bytes).for_each(|(place, byte)| *place = byte);
        if self.is_ipv6 {
            let address = Ipv6Addr::from(octets);
            return Ipv6Net::new(address, IPV6).unwrap_or_else(|_| Ipv6Net::from(address)).into();
        }
        let [first, second, third, ..] = octets;
        let address = Ipv4Addr::new(first, second, third, 0);
        Ipv4Net::new(address, IPV4).unwrap_or_else(|_| Ipv4Net::from(address)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_in_one_network() {
        for (host, net) in [
            ("203.0.113.9", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.0/24"),
            ("2001:db8:1:2::7", "2001:db8:1::/48"),
            ("2001:db8:1:ffff::8", "2001:db8:1::/48"),
        ] {
            assert_eq!(LoginNetwork::of(host.parse().unwrap()).net().to_string(), net, "{host}");
        }
        for (net, held) in [
            ("203.0.113.9/32", true),
            ("203.0.113.0/24", true),
            ("203.0.112.0/23", false),
            ("2001:db8:1:2::/64", true),
            ("2001:db8::/32", false),
            ("::/0", false),
        ] {
            assert_eq!(LoginNetwork::holding(&net.parse().unwrap()).is_some(), held, "{net}");
        }
        assert_eq!(size_of::<LoginNetwork>(), 7);
    }
}
