//! Tells which way a captured packet went: to our PBX, or from it. (Of live packets the kernel tells.)
//!
//! Our end of a SIP packet has an address of the PBX's, and one of its SIP ports. Which addresses are the PBX's can be
//! said; else [`Talks`] finds out. In a capture that was taken on the PBX, one of them is an end of every packet, and
//! so of the two ends ours is the one that talks with more others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::exchange::HepFlow;
use crate::model::scope::{Ports, is_within};
use crate::model::subject::canonical;
use crate::sip::Transport;
use crate::sip::nflog::Path;
use crate::sip::packet::Packet;

/// Pairs of hosts that talk; more are not remembered. About 40 bytes each, so 5 MiB.
const MOST_PAIRS: usize = 1 << 17;

/// The ends of packets that are ours.
#[derive(Clone, Debug)]
pub struct Ours {
    /// The addresses of the PBX.
    pub addresses: BTreeSet<IpAddr>,
    /// The ports that SIP is spoken at.
    pub sip: Ports,
    /// The copies that Asterisk mirrors by HEP. Which user sent a datagram is not seen in a capture: the sender's
    /// address must be one of ours.
    pub hep: Option<HepFlow>,
}

impl Ours {
    /// Returns the way that a packet went; `None`: it has nothing to do with our SIP.
    #[must_use]
    pub fn path(&self, packet: &Packet<'_>) -> Option<Path> {
        let (from, to) = (packet.flow.from, packet.flow.to);
        let is_ours = |host: IpAddr| self.addresses.contains(&canonical(host));
        if is_hep(self.hep.as_ref(), packet) {
            let local = from.0.is_loopback() || from.0 == to.0 || is_ours(from.0);
            return local.then_some(Path::Hep);
        }
        let (out, into) = (self.sip.contain(from.1), self.sip.contain(to.1));
        match (is_ours(from.0), is_ours(to.0)) {
            (true, false) => out.then_some(Path::Out),
            (false, true) => into.then_some(Path::In),
            // From the machine to itself: the ports tell, or nothing does.
            (true, true) if out && !into => Some(Path::Out),
            (true, true) if into && !out => Some(Path::In),
            (true, true) | (false, false) => None,
        }
    }
}

/// Who talks with whom at a SIP port.
#[derive(Debug, Default)]
pub struct Talks {
    /// Hosts at a SIP port, and whom they talk with there.
    pairs: BTreeSet<(IpAddr, IpAddr)>,
    /// The refusals that each of them sent.
    refusals: BTreeMap<IpAddr, u64>,
}

impl Talks {
    /// Takes note of a packet.
    pub fn note(&mut self, packet: &Packet<'_>, sip: &Ports, hep: Option<&HepFlow>) {
        let (from, to) = (packet.flow.from, packet.flow.to);
        let (sender, receiver) = (canonical(from.0), canonical(to.0));
        if is_hep(hep, packet) || sender == receiver {
            return;
        }
        let ends = [(from.1, sender, receiver), (to.1, receiver, sender)];
        for (port, ours, theirs) in ends {
            if sip.contain(port) && self.pairs.len() < MOST_PAIRS {
                self.pairs.insert((ours, theirs));
            }
        }
        let refuses = [&b"SIP/2.0 401 "[..], b"SIP/2.0 407 ", b"SIP/2.0 403 "];
        if refuses.iter().any(|line| packet.payload.starts_with(line))
            && self.pairs.contains(&(sender, receiver))
        {
            *self.refusals.entry(sender).or_default() += 1;
        }
    }

    /// Returns the addresses that are the PBX's: so few that one of them is an end of each pair, those with the most
    /// partners first; of two with as many, the one that refuses more.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let mut hosts: Vec<(usize, u64, IpAddr)> = Vec::new();
        for (host, _) in &self.pairs {
            match hosts.last_mut() {
                Some((partners, _, last)) if last == host => *partners += 1,
                _ => hosts.push((1, self.refusals.get(host).copied().unwrap_or(0), *host)),
            }
        }
        hosts.sort_unstable_by(|a, b| b.cmp(a));
        let mut ours = BTreeSet::new();
        for (_, _, host) in hosts {
            let partners = self.pairs.range((host, lowest())..).take_while(|pair| pair.0 == host);
            if partners.into_iter().any(|(_, partner)| !ours.contains(partner)) {
                ours.insert(host);
            }
        }
        ours
    }
}

/// Whether a packet goes where Asterisk mirrors its messages to.
fn is_hep(hep: Option<&HepFlow>, packet: &Packet<'_>) -> bool {
    let (from, to) = (packet.flow.from, packet.flow.to);
    hep.is_some_and(|hep| {
        packet.transport == Transport::Udp
            && (canonical(to.0), to.1) == (hep.to.ip(), hep.to.port())
            && !is_within(&hep.never_from, from.1)
    })
}

/// The address that comes before all others.
fn lowest() -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::packet::Flow;

    const PBX: &str = "192.0.2.1";
    const PHONE: &str = "198.51.100.7";
    const TRUNK: &str = "203.0.113.9";

    fn packet<'a>(from: (&str, u16), to: (&str, u16), payload: &'a [u8]) -> Packet<'a> {
        let end = |(host, port): (&str, u16)| (host.parse().unwrap(), port);
        let flow = Flow { from: end(from), to: end(to) };
        let transport = Transport::Udp;
        Packet { flow, transport, sequence: 0, payload, whole: payload.len() }
    }

    fn sip() -> Ports {
        Ports::Ranges(vec![(5060, 5061)])
    }

    fn own(packets: &[Packet<'_>]) -> Vec<String> {
        let mut talks = Talks::default();
        for packet in packets {
            talks.note(packet, &sip(), None);
        }
        talks.addresses().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_pbx_is_the_one_that_talks_with_most() {
        let refusal = b"SIP/2.0 401 Unauthorized\r\n";
        let phones = [
            packet((PHONE, 5060), (PBX, 5060), b"REGISTER "),
            packet(("198.51.100.8", 40_000), (PBX, 5060), b"REGISTER "),
        ];
        // A PBX that registers at its provider from any port, or from 5060.
        for port in [5060, 34_567] {
            let trunk = packet((TRUNK, 5060), (PBX, port), refusal);
            assert_eq!(own(&[phones[0], phones[1], trunk]), [PBX]);
        }
        // Of two alone, the one at a SIP port, or the one that refuses.
        assert_eq!(own(&phones[1..]), [PBX]);
        assert_eq!(own(&[phones[0], packet((PBX, 5060), (PHONE, 5060), refusal)]), [PBX]);
        // With a second address, and of the other family.
        let second = packet(("2001:db8::8", 9), ("2001:db8::1", 5061), b"REGISTER ");
        assert_eq!(own(&[phones[0], phones[1], second]), [PBX, "2001:db8::1"]);
        assert_eq!(own(&[packet((PHONE, 9), (PBX, 53), b"")]), [""; 0]);
    }

    #[test]
    fn our_end_tells_the_way() {
        let ours = Ours {
            addresses: [PBX.parse().unwrap(), "127.0.0.1".parse().unwrap()].into(),
            sip: sip(),
            hep: Some(HepFlow {
                uid: 0,
                to: "127.0.0.1:9060".parse().unwrap(),
                never_from: vec![(5060, 5061)],
            }),
        };
        for (from, to, expected) in [
            ((PHONE, 5060), (PBX, 5060), Some(Path::In)),
            ((PBX, 5060), (PHONE, 5060), Some(Path::Out)),
            ((PBX, 34_567), (TRUNK, 5060), None),
            ((TRUNK, 5060), (PBX, 34_567), None),
            ((PHONE, 9), (PBX, 53), None),
            ((PHONE, 5060), (TRUNK, 5060), None),
            (("127.0.0.1", 9), ("127.0.0.1", 5060), Some(Path::In)),
            (("127.0.0.1", 5060), ("127.0.0.1", 9), Some(Path::Out)),
            (("127.0.0.1", 5060), ("127.0.0.1", 5060), None),
            (("127.0.0.1", 9), ("127.0.0.1", 9060), Some(Path::Hep)),
            ((PBX, 9), ("127.0.0.1", 9060), Some(Path::Hep)),
            (("127.0.0.1", 5061), ("127.0.0.1", 9060), Some(Path::Out)),
            ((PHONE, 9), ("127.0.0.1", 9060), None),
        ] {
            assert_eq!(ours.path(&packet(from, to, b"")), expected, "{from:?} {to:?}");
        }
    }
}
