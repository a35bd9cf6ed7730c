//! The subject that is counted and banned: an IPv4 address or an IPv6 network, or one port of an address.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A host as the guard counts and bans it: one IPv4 address, or the IPv6 network (by default the
/// /64) that an address is in, because a host with one IPv6 address has its whole network. Or a flow:
/// what comes from one port of one address, over UDP and TCP, and leaves all else behind that address
/// alone.
///
/// Sorted by address; a host comes right before its flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Subject {
    net: IpNet,
    /// Only with a single address.
    port: Option<NonZeroU16>,
}

/// A subject as it passes from one process to another.
#[derive(Deserialize)]
struct Parts {
    net: IpNet,
    port: Option<NonZeroU16>,
}

/// The kind of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The reason why something is no subject, as advice to whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoSubject {
    /// It is none of the forms.
    #[error(
        "write an address, a network like 192.0.2.0/24, or an address and port like 192.0.2.7:5060 or [2001:db8::7]:5060"
    )]
    Text,
    /// Port 0, or a network with a port.
    #[error("a port is from 1 to 65535, and one of a single address")]
    Port,
}

impl Subject {
    /// The subject that `address` belongs to when IPv6 is taken by networks of `ipv6prefix` bits.
    /// The address is made canonical first (see [`canonical`]).
    #[must_use]
    pub fn of(address: IpAddr, ipv6prefix: u8) -> Self {
        let net = match canonical(address) {
            IpAddr::V4(v4) => IpNet::V4(Ipv4Net::from(v4)),
            IpAddr::V6(v6) => {
                let net = Ipv6Net::new(v6, ipv6prefix).unwrap_or_else(|_| Ipv6Net::from(v6));
                IpNet::V6(net.trunc())
            }
        };
        Self { net, port: None }
    }

    /// What comes from this port of `address`, which is made canonical first; `None` for port 0, which
    /// no packet comes from that an answer can reach.
    #[must_use]
    pub fn flow(address: IpAddr, port: u16) -> Option<Self> {
        NonZeroU16::new(port).map(|port| Self { port: Some(port), ..Self::of(address, 128) })
    }

    /// The port of the host, if this is a flow.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.map(NonZeroU16::get)
    }

    /// Whether this is one port of an address.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        self.port.is_some()
    }

    /// The same without the port.
    #[must_use]
    pub fn host(&self) -> Self {
        Self::from(self.net)
    }

    /// The network; of a flow, its address alone.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.net
    }

    /// The first address of the network: what an nftables set holds as the key, or as its first part.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.net.addr()
    }

    /// Whether this is one address, with or without a port.
    #[must_use]
    pub fn is_one_address(&self) -> bool {
        self.net.prefix_len() == self.net.max_prefix_len()
    }

    /// Whether a ban of this holds what comes from `other`: its network holds the other one, and it is
    /// the same port, or all of them.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.net.contains(&other.net) && (self.port.is_none() || self.port == other.port)
    }

    /// Whether a ban of this closes anything to `other`: one of the two holds the other one.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// Whether an order to lift the bans of this means the ban of `held`: of a flow only its own, not those of its host.
    #[must_use]
    pub fn means(&self, held: &Self) -> bool {
        if self.is_flow() { held == self } else { held.overlaps(self) }
    }

    /// Whether this is a single IPv6 address that a set of networks of `ipv6prefix` bits can hold
    /// besides them: its key is not that of a network.
    #[must_use]
    pub fn is_single_within(&self, ipv6prefix: u8) -> bool {
        self.is_ipv6()
            && self.net.prefix_len() == 128
            && Self::of(self.address(), ipv6prefix).address() != self.address()
    }

    /// Returns the kind of its address.
    #[must_use]
    pub fn family(&self) -> Family {
        if self.is_ipv6() { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// Whether this is an IPv6 network, or a port of an IPv6 address.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        matches!(self.net, IpNet::V6(_))
    }

    /// Between these are a network, or an address, and all ports of it.
    #[must_use]
    pub fn with_ports(net: IpNet) -> (Self, Self) {
        (Self { net, port: None }, Self { net, port: Some(NonZeroU16::MAX) })
    }

    /// Between these is everything that lies in `net`, in the order of subjects. So may be networks that
    /// hold it, which begin at the same address.
    #[must_use]
    pub fn within(net: &IpNet) -> RangeInclusive<Self> {
        let widest = IpNet::new(net.network(), 0).unwrap_or(*net);
        let last = Self { net: IpNet::from(net.broadcast()), port: Some(NonZeroU16::MAX) };
        Self { net: widest, port: None }..=last
    }
}

/// All of a subject in numbers, which compare and hash in a few instructions: whether it is of IPv6, its address, and
/// how long its network is together with its port.
type Key = (bool, u128, u32);

impl Subject {
    fn key(&self) -> Key {
        let (is_ipv6, address) = match self.net.addr() {
            IpAddr::V4(v4) => (false, v4.to_bits().into()),
            IpAddr::V6(v6) => (true, v6.to_bits()),
        };
        let port = self.port.map_or(0, NonZeroU16::get);
        (is_ipv6, address, u32::from(self.net.prefix_len()) << 16 | u32::from(port))
    }
}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (_, address, rest) = self.key();
        // An IPv4 address takes one step together with what else there is.
        match u32::try_from(address) {
            Ok(v4) => state.write_u64(u64::from(v4) << 32 | u64::from(rest)),
            Err(_) => {
                state.write_u128(address);
                state.write_u32(rest);
            }
        }
    }
}

impl From<IpNet> for Subject {
    fn from(net: IpNet) -> Self {
        Self { net: net.trunc(), port: None }
    }
}

impl TryFrom<Parts> for Subject {
    type Error = NoSubject;

    fn try_from(Parts { net, port }: Parts) -> Result<Self, NoSubject> {
        let subject = Self { port, ..Self::from(net) };
        let sound = subject.port.is_none() || subject.is_one_address();
        sound.then_some(subject).ok_or(NoSubject::Port)
    }
}

/// A bare address where the subject is one address, `address:port` (`[address]:port`) where it is a
/// flow, else `address/bits`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port() {
            Some(port) => SocketAddr::new(self.address(), port).fmt(f),
            None => f.write_str(&written(&self.net)),
        }
    }
}

/// A network as people write it: a bare address where it is one address, else `address/bits`.
#[must_use]
pub fn written(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Reads an address (an IPv6 one alone means the /128), an address and port, or `address/bits`.
impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::of(address, 128));
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            let flow = Self::flow(socket.ip(), socket.port());
            return flow.ok_or(NoSubject::Port);
        }
        text.parse::<IpNet>().map(Self::from).map_err(|_| NoSubject::Text)
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
    use proptest::prelude::*;

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
    fn flows_are_written_as_they_are_read() {
        for (text, written, host) in [
            ("203.0.113.9:40312", "203.0.113.9:40312", "203.0.113.9"),
            ("[2001:0DB8::7]:1", "[2001:db8::7]:1", "2001:db8::7"),
            ("[::ffff:203.0.113.9]:65535", "203.0.113.9:65535", "203.0.113.9"),
            ("[64:ff9b::cb00:7109]:7", "203.0.113.9:7", "203.0.113.9"),
        ] {
            let flow: Subject = text.parse().unwrap();
            assert_eq!(flow.to_string(), written);
            assert_eq!(Subject::flow(flow.address(), flow.port().unwrap()), Some(flow));
            assert!(flow.is_flow() && flow.host().to_string() == host);
        }
        assert_eq!(Subject::flow(ip("203.0.113.9"), 0), None);
        for wrong in [
            "203.0.113.9:0",
            "203.0.113.9:65536",
            "203.0.113.0/24:5060",
            "2001:db8::7:x",
            "[2001:db8::/64]:7",
            "203.0.113.9:",
            ":7",
        ] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
        // A port without brackets is a part of an IPv6 address.
        assert!(!"2001:db8::7:5060".parse::<Subject>().unwrap().is_flow());
    }

    #[test]
    fn flows_are_sorted_behind_their_host_and_not_within_it() {
        let all = [
            "192.0.2.7",
            "192.0.2.7:1",
            "192.0.2.7:65535",
            "192.0.2.8",
            "192.0.2.8:5060",
            "2001:db8::/64",
            "2001:db8::",
            "[2001:db8::]:7",
            "[2001:db8::7]:7",
            "2001:db8:0:1::/64",
        ]
        .map(|text| text.parse::<Subject>().unwrap());
        assert!(all.is_sorted());
        for (net, within) in
            [("192.0.2.7/32", 0..3), ("192.0.2.0/24", 0..5), ("2001:db8::/64", 5..9)]
        {
            let range = Subject::within(&net.parse().unwrap());
            let found: Vec<_> = all.iter().filter(|subject| range.contains(subject)).collect();
            assert_eq!(found, all[within].iter().collect::<Vec<_>>(), "{net}");
        }
    }

    proptest! {
        #[test]
        fn they_are_in_the_order_of_their_parts(
            parts in proptest::collection::vec(
                (any::<bool>(), prop_oneof![any::<u128>(), 0..4u128], 0u8..=128, 0u16..3), 2
            ),
        ) {
            let subjects = parts.iter().map(|(is_ipv6, address, bits, port)| {
                let net = if *is_ipv6 {
                    IpNet::new(Ipv6Addr::from_bits(*address).into(), *bits)
                } else {
                    let address = u32::try_from(address & 0xffff_ffff).unwrap();
                    IpNet::new(Ipv4Addr::from_bits(address).into(), bits / 4)
                };
                Subject { net: net.unwrap(), port: NonZeroU16::new(*port) }
            });
            let [one, other]: [Subject; 2] = subjects.collect::<Vec<_>>().try_into().unwrap();
            prop_assert_eq!(one.cmp(&other), (one.net, one.port).cmp(&(other.net, other.port)));
        }
    }

    #[test]
    fn a_subject_holds_what_comes_from_it() {
        for (one, other, holds) in [
            ("192.0.2.7", "192.0.2.7:5060", true),
            ("192.0.2.0/24", "192.0.2.7:5060", true),
            ("192.0.2.7:5060", "192.0.2.7:5060", true),
            ("192.0.2.7:5060", "192.0.2.7", false),
            ("192.0.2.7:5060", "192.0.2.7:5061", false),
            ("192.0.2.7:5060", "192.0.2.8:5060", false),
            ("2001:db8::/64", "[2001:db8::7]:1", true),
        ] {
            let [one, other]: [Subject; 2] = [one, other].map(|text| text.parse().unwrap());
            assert_eq!(one.holds(&other), holds, "{one} {other}");
            let overlaps = holds || other.holds(&one);
            assert_eq!([one.overlaps(&other), other.overlaps(&one)], [overlaps; 2]);
        }
    }

    #[test]
    fn the_port_goes_to_the_other_process() {
        for text in ["192.0.2.7", "192.0.2.7:40312", "2001:db8::/64", "[2001:db8::7]:40312"] {
            let subject: Subject = text.parse().unwrap();
            let bytes = postcard::to_stdvec(&subject).unwrap();
            assert_eq!(postcard::from_bytes::<Subject>(&bytes), Ok(subject));
        }
        let port = NonZeroU16::new(7);
        let wide = postcard::to_stdvec(&("192.0.2.0/24".parse::<IpNet>().unwrap(), port)).unwrap();
        assert!(postcard::from_bytes::<Subject>(&wide).is_err(), "a network has no port");
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
