//! One IP packet: its addresses, its transport and what it carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Transport;

const UDP: u8 = 17;
const TCP: u8 = 6;
/// Extension headers of IPv6 that may stand ahead of UDP and TCP, all laid out alike: hop-by-hop,
/// routing, destination options.
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// Extension headers that are looked past.
const MOST_EXTENSIONS: usize = 8;

/// Both ends of a connection, and which way the packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The sender's address and port.
    pub from: (IpAddr, u16),
    /// The receiver's address and port.
    pub to: (IpAddr, u16),
}

/// A packet that UDP or TCP carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The addresses and ports.
    pub flow: Flow,
    /// The transport.
    pub transport: Transport,
    /// TCP's number of the first byte; 0 for UDP.
    pub sequence: u32,
    /// The bytes that it carries, as far as they were copied.
    pub payload: &'a [u8],
    /// The number of bytes that it carries in all.
    pub whole: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet from its IP header on. `None` for one that carries neither UDP nor TCP, for
    /// fragments but the first, and for one that is cut within its headers.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::read_v4(bytes),
            6 => Self::read_v6(bytes),
            _ => None,
        }
    }

    fn read_v4(bytes: &'a [u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 0xf) * 4;
        let total = usize::from(number(bytes, 2)?);
        let fragment = number(bytes, 6)? & 0x1fff;
        let (from, to) = (Ipv4Addr::from(array(bytes, 12)?), Ipv4Addr::from(array(bytes, 16)?));
        if header < 20 || fragment != 0 {
            return None;
        }
        let length = total.checked_sub(header);
        Self::carried(*bytes.get(9)?, bytes.get(header..)?, length, from.into(), to.into())
    }

    fn read_v6(bytes: &'a [u8]) -> Option<Self> {
        let total = usize::from(number(bytes, 4)?);
        let (from, to) =
            (Ipv6Addr::from(array::<16>(bytes, 8)?), Ipv6Addr::from(array::<16>(bytes, 24)?));
        let mut next = *bytes.get(6)?;
        let mut rest = bytes.get(40..)?;
        let mut length = Some(total).filter(|length| *length > 0);
        for _ in 0..MOST_EXTENSIONS {
            if !EXTENSIONS.contains(&next) {
                break;
            }
            let extension = (usize::from(*rest.get(1)?) + 1) * 8;
            next = *rest.first()?;
            rest = rest.get(extension..)?;
            length = length.and_then(|length| length.checked_sub(extension));
        }
        Self::carried(next, rest, length, from.into(), to.into())
    }

    /// Returns what the IP packet carries: `length` bytes, of which `bytes` were copied. A length
    /// of 0 is that of a packet longer than its header can say, which the network card takes apart.
    fn carried(
        protocol: u8,
        bytes: &'a [u8],
        length: Option<usize>,
        from: IpAddr,
        to: IpAddr,
    ) -> Option<Self> {
        let (transport, header, sequence) = match protocol {
            UDP => (Transport::Udp, 8, 0),
            TCP => {
                let header = usize::from(bytes.get(12)? >> 4) * 4;
                (Transport::Tcp, header, u32::from_be_bytes(array(bytes, 4)?))
            }
            _ => return None,
        };
        let copied = bytes.get(header..)?;
        let whole = match length {
            None | Some(0) => copied.len(),
            Some(length) => length.checked_sub(header)?,
        };
        Some(Self {
            flow: Flow { from: (from, number(bytes, 0)?), to: (to, number(bytes, 2)?) },
            transport,
            sequence,
            payload: copied.get(..whole).unwrap_or(copied),
            whole,
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a packet as the kernel would copy it, from port 5060.
    pub fn packet(to: &str, port: u16, tcp: Option<u32>, payload: &[u8]) -> Vec<u8> {
        let mut inner = [5060_u16.to_be_bytes(), port.to_be_bytes()].concat();
        let protocol = match tcp {
            Some(sequence) => {
                inner.extend(sequence.to_be_bytes());
                // Acknowledgement, 8 words of header, flags, window, sums, and options.
                inner.extend([0, 0, 0, 0, 0x80, 0x18, 1, 0, 0, 0, 0, 0]);
                inner.extend([1; 12]);
                TCP
            }
            None => {
                inner.extend(u16::try_from(8 + payload.len()).unwrap().to_be_bytes());
                inner.extend([0; 2]);
                UDP
            }
        };
        inner.extend(payload);
        let length = u16::try_from(inner.len()).unwrap();
        match to.parse().unwrap() {
            IpAddr::V4(to) => {
                let mut bytes = vec![0x45, 0];
                bytes.extend((length + 20).to_be_bytes());
                bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0, 192, 0, 2, 1]);
                bytes.extend(to.octets());
                [bytes, inner].concat()
            }
            IpAddr::V6(to) => {
                let mut bytes = vec![0x60, 0, 0, 0];
                bytes.extend(length.to_be_bytes());
                bytes.extend([protocol, 64]);
                bytes.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
                bytes.extend(to.octets());
                [bytes, inner].concat()
            }
        }
    }

    #[test]
    fn both_families_and_transports_are_read() {
        for to in ["198.51.100.7", "2001:db8:bad::7"] {
            for tcp in [None, Some(77)] {
                let bytes = packet(to, 40000, tcp, b"SIP/2.0 401 Unauthorized");
                let read = Packet::read(&bytes).unwrap();
                assert_eq!(read.flow.to, (to.parse().unwrap(), 40000));
                assert_eq!(read.flow.from.1, 5060);
                assert_eq!(read.sequence, tcp.unwrap_or(0));
                assert_eq!(read.transport == Transport::Tcp, tcp.is_some());
                assert_eq!(read.payload, b"SIP/2.0 401 Unauthorized");
                assert_eq!(read.whole, 24);
                // Cut by the snap length: what is missing is known.
                let cut = Packet::read(&bytes[..bytes.len() - 10]).unwrap();
                assert_eq!((cut.payload, cut.whole), (&b"SIP/2.0 401 Un"[..], 24));
            }
        }
    }

    #[test]
    fn ipv6_extension_headers_are_skipped() {
        let mut bytes = packet("2001:db8::7", 9, None, b"SIP/2.0 200 OK");
        bytes[6] = 60;
        bytes[5] += 8;
        bytes.splice(40..40, [UDP, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(Packet::read(&bytes).unwrap().payload, b"SIP/2.0 200 OK");
    }

    #[test]
    fn later_fragments_and_other_protocols_are_ignored() {
        let good = packet("198.51.100.7", 9, None, b"SIP/2.0 200 OK");
        for (place, byte) in [(7, 1), (9, 1), (0, 0x44), (0, 0x55)] {
            let mut bytes = good.clone();
            bytes[place] = byte;
            assert_eq!(Packet::read(&bytes), None, "{place}");
        }
        // Padding behind the packet is no part of it.
        let padded = [good, vec![0; 9]].concat();
        assert_eq!(Packet::read(&padded).unwrap().payload, b"SIP/2.0 200 OK");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            start in proptest::sample::select(vec![0x45u8, 0x46, 0x4f, 0x60]),
            rest in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let bytes = [vec![start], rest].concat();
            if let Some(packet) = Packet::read(&bytes) {
                prop_assert!(packet.payload.len() <= packet.whole.max(bytes.len()));
            }
        }
    }
}
