//! The subject that is counted and banned: an IPv4 address or an IPv6 network.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// A host as the guard counts and bans it: one IPv4 address, or the IPv6 network (by default the
/// /64) that an address is in, because a host with one IPv6 address has its whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "IpNet")]
pub struct Subject(IpNet);

impl Subject {
    /// The subject that `address` belongs to when IPv6 is taken by networks of `ipv6prefix` bits.
    /// The address is made canonical first (see [`canonical`]).
    #[must_use]
    pub fn of(address: IpAddr, ipv6prefix: u8) -> Self {
        match canonical(address) {
            IpAddr::V4(v4) => Self(IpNet::V4(Ipv4Net::from(v4))),
            IpAddr::V6(v6) => {
                let net = Ipv6Net::new(v6, ipv6prefix).unwrap_or_else(|_| Ipv6Net::from(v6));
                Self(IpNet::V6(net.trunc()))
            }
        }
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// The first address of the network: what an nftables set holds as the key.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// Whether this is a single IPv6 address that a set of networks of `ipv6prefix` bits can hold
    /// besides them: its key is not that of a network.
    #[must_use]
    pub fn is_single_within(&self, ipv6prefix: u8) -> bool {
        self.is_ipv6()
            && self.0.prefix_len() == 128
            && Self::of(self.address(), ipv6prefix).address() != self.address()
    }

    /// Whether this is an IPv6 network.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        matches!(self.0, IpNet::V6(_))
    }
}

impl From<IpNet> for Subject {
    fn from(net: IpNet) -> Self {
        Self(net.trunc())
    }
}

/// A bare address where the subject is one address, else `address/bits`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.0))
    }
}

/// A network as people write it: a bare address where it is one address, else `address/bits`.
#[must_use]
pub fn written(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Reads an address (an IPv6 one alone means the /128) or `address/bits`.
impl FromStr for Subject {
    type Err = ipnet::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::of(address, 128));
        }
        text.parse::<IpNet>().map(|net| Self(net.trunc()))
    }
}

/// One spelling for each host: an IPv4 address mapped into IPv6 (`::ffff:0:0/96`, RFC 4291) or
/// translated by NAT64 (`64:ff9b::/96`, RFC 6052) is that IPv4 address.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [h1, h2] = high.to_be_bytes();
            let [l1, l2] = low.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(h1, h2, l1, l2))
        }
        _ => IpAddr::V6(v6),
    }
}

/// Returns the same for a network, without host bits. A network that holds all such addresses, and
/// more, stays as it is.
#[must_use]
pub fn canonical_net(net: IpNet) -> IpNet {
    let v4 = match canonical(net.addr()) {
        v4 @ IpAddr::V4(_) if matches!(net, IpNet::V6(_)) => {
            net.prefix_len().checked_sub(96).and_then(|bits| IpNet::new(v4, bits).ok())
        }
        _ => None,
    };
    v4.unwrap_or(net).trunc()
}

/// Whether an address can be told apart at all and may ever be banned: not loopback, unspecified,
/// multicast, broadcast or link-local. (`fe80::/10`: banning it cuts the gateway off.)
#[must_use]
pub fn bannable(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.octets()[0] == 0
                || v4.is_multicast()
                || v4.is_link_local()
                || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6 == Ipv6Addr::UNSPECIFIED
                || v6.is_multicast()
                || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_host_has_one_spelling() {
        for spelling in
            ["203.0.113.9", "::ffff:203.0.113.9", "::ffff:cb00:7109", "64:ff9b::cb00:7109"]
        {
            assert_eq!(Subject::of(ip(spelling), 64).to_string(), "203.0.113.9", "{spelling}");
        }
        let wide = Subject::of(ip("2001:db8:0:1:ffff::7"), 64);
        assert_eq!(wide.to_string(), "2001:db8:0:1::/64");
        assert_eq!(wide, Subject::of(ip("2001:0DB8::0001:0:0:0:1"), 64));
        assert_eq!(Subject::of(ip("2001:db8::1"), 128).to_string(), "2001:db8::1");
        assert_eq!("2001:db8::/32".parse::<Subject>().unwrap().to_string(), "2001:db8::/32");
    }

    #[test]
    fn single_addresses_are_told_from_networks_by_their_keys() {
        for (subject, bits, single) in [
            ("2001:db8::7", 64, true),
            ("2001:db8::7", 128, false),
            ("2001:db8::", 64, false),
            ("2001:db8:0:1::", 64, false),
            ("2001:db8:0:1::", 48, true),
            ("2001:db8::/64", 48, false),
            ("192.0.2.7", 24, false),
        ] {
            let subject: Subject = subject.parse().unwrap();
            assert_eq!(subject.is_single_within(bits), single, "{subject} {bits}");
        }
    }

    #[test]
    fn one_network_has_one_spelling() {
        for (written, meant) in [
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("64:ff9b::c000:207/128", "192.0.2.7/32"),
            ("64:ff9b::/96", "0.0.0.0/0"),
            ("64:ff9b::/64", "64:ff9b::/64"),
            ("2001:db8::7/64", "2001:db8::/64"),
        ] {
            let net = canonical_net(written.parse().unwrap());
            assert_eq!(net.to_string(), meant, "{written}");
        }
    }

    #[test]
    fn special_addresses_are_never_banned() {
        for never in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "169.254.1.1",
            "::",
            "::1",
            "ff02::1",
            "fe80::1",
            "febf::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!bannable(ip(never)), "{never}");
        }
        for may in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fec0::1", "fd00::1"] {
            assert!(bannable(ip(may)), "{may}");
        }
    }
}
