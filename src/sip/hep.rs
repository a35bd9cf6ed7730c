//! Reads the HEP (version 3) datagrams by which Asterisk copies each SIP message that PJSIP receives or sends.
//!
//! `res_hep` (Asterisk 12 and later; read in the sources up to 22, tried with 16.28 and 22.10) writes
//! `HEP3`, the length of the datagram, and chunks, all in network order. A chunk is vendor, type and
//! length (2 bytes each, the length with these six), and its value:
//!
//! | type | value |
//! |---|---|
//! | 1, 2 | address family (Linux' numbers: 2, 10), IP protocol |
//! | 3, 4 or 5, 6 | source and destination, IPv4 or IPv6 |
//! | 7, 8 | source and destination port |
//! | 9, 10 | seconds and microseconds; not read here, as time is an argument |
//! | 11 | 1 for SIP, 5 for RTCP (`res_hep_rtcp`) |
//! | 12 | `capture_id` |
//! | 14 | `capture_password`, if there is one |
//! | 17 | Call-ID, or the channel's name |
//! | 15 | the message, which comes last |
//!
//! These are copies of traffic with digests and texts in it: parsed in memory, never stored, and
//! hidden from `Debug`. Nothing is copied here: what is read borrows from the datagram.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const MAGIC: &[u8; 4] = b"HEP3";
/// `HEP3` and the length of the datagram.
const HEADER: usize = 6;
/// Vendor, type and length of a chunk.
const CHUNK_HEADER: usize = 6;
/// Chunks at most; Asterisk writes twelve or thirteen.
const MOST_CHUNKS: usize = 32;
/// Chunks of other vendors mean something to nobody here.
const GENERIC_VENDOR: u16 = 0;

const FAMILY: u16 = 1;
const IP_PROTOCOL: u16 = 2;
const SOURCE_V4: u16 = 3;
const DESTINATION_V4: u16 = 4;
const SOURCE_V6: u16 = 5;
const DESTINATION_V6: u16 = 6;
const SOURCE_PORT: u16 = 7;
const DESTINATION_PORT: u16 = 8;
const CAPTURE_TYPE: u16 = 11;
const CAPTURE_ID: u16 = 12;
const AUTH_KEY: u16 = 14;
const PAYLOAD: u16 = 15;
const CORRELATION: u16 = 17;
/// The highest type that is known here.
const HIGHEST: u16 = CORRELATION;

/// The number of SIP among capture types.
const SIP: u8 = 1;
/// Linux' `AF_INET` and `AF_INET6`, which `res_hep` writes as they are.
const INET: u8 = 2;
const INET6: u8 = 10;

/// A message that Asterisk received or sent, with the addresses of its socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hep<'a> {
    /// The sender of the message, an IPv4-mapped address as IPv4.
    pub source: SocketAddr,
    /// The address that the message went to, an IPv4-mapped address as IPv4.
    pub destination: SocketAddr,
    /// The IP protocol, as it is written. **It says nothing about the transport:** `res_hep` presets
    /// 17 (UDP) and `res_hep_pjsip` never changes it, so messages over TCP, TLS and WebSocket say 17
    /// too. The port on Asterisk's side tells the transport.
    pub ip_protocol: u8,
    /// The kind of the message; see [`Hep::is_sip`].
    pub capture_type: u8,
    /// `capture_id` of hep.conf.
    pub capture_id: Option<u32>,
    /// The `capture_password` of hep.conf; `None`: nothing. See [`Hep::has_password`].
    pub auth_key: Option<&'a [u8]>,
    /// The text that messages have in common that belong together: the Call-ID, or the
    /// channel's name (`uuid_type`).
    pub correlation: Option<&'a [u8]>,
    /// The message, as far as it was copied.
    pub payload: &'a [u8],
    /// Whether the end of the message is missing, as the kernel copied less than there was.
    pub truncated: bool,
}

/// Without the message, the password and the Call-ID.
impl fmt::Debug for Hep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hep")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("ip_protocol", &self.ip_protocol)
            .field("capture_type", &self.capture_type)
            .field("capture_id", &self.capture_id)
            .field("bytes", &self.payload.len())
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

impl<'a> Hep<'a> {
    /// Reads a datagram, which may be cut at its end: within the message it is then
    /// [`truncated`](Self::truncated).
    ///
    /// `None` for all that Asterisk would not write: another version, more bytes than the datagram
    /// says that it has, lengths that do not fit, a known chunk twice, no family, address, port,
    /// type or message, addresses of two families, a compressed message, more than 32 chunks. And
    /// for a datagram that was cut before the message begins. Unknown chunks are passed over.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        if !datagram.starts_with(MAGIC) {
            return None;
        }
        let whole = usize::from(u16_at(datagram, MAGIC.len())?);
        let missing = whole.checked_sub(datagram.len())?;
        let mut rest = datagram.get(HEADER..)?;
        let mut chunks = Chunks::default();
        for _ in 0..MOST_CHUNKS {
            if rest.is_empty() {
                break;
            }
            let (vendor, kind) = (u16_at(rest, 0)?, u16_at(rest, 2)?);
            let length = usize::from(u16_at(rest, 4)?).checked_sub(CHUNK_HEADER)?;
            let value = rest.get(CHUNK_HEADER..)?;
            let cut = length.saturating_sub(value.len());
            // Only the message may be cut, and by no more than the datagram was.
            if cut > 0 && (cut > missing || (vendor, kind) != (GENERIC_VENDOR, PAYLOAD)) {
                return None;
            }
            let (value, behind) = value.split_at_checked(length).unwrap_or((value, &[]));
            if vendor == GENERIC_VENDOR {
                chunks.take(kind, value)?;
            }
            rest = behind;
        }
        if rest.is_empty() { chunks.finish(missing > 0) } else { None }
    }

    /// Whether the message is SIP, and not RTCP or something else.
    #[must_use]
    pub fn is_sip(&self) -> bool {
        self.capture_type == SIP
    }

    /// Whether the datagram carries this `capture_password`. With an empty one Asterisk sends none,
    /// so a datagram that has one then is not Asterisk's. Takes the same time wherever two passwords
    /// of one length differ.
    #[must_use]
    pub fn has_password(&self, password: &[u8]) -> bool {
        match self.auth_key {
            None => password.is_empty(),
            Some([]) => false,
            Some(key) => {
                let differ = key.iter().zip(password).fold(0, |all, (a, b)| all | (a ^ b));
                key.len() == password.len() && std::hint::black_box(differ) == 0
            }
        }
    }
}

/// The chunks that were found so far. Each known chunk stands once at most.
#[derive(Default)]
struct Chunks<'a> {
    /// A bit for each known type that was there.
    seen: u32,
    family: Option<u8>,
    ip_protocol: Option<u8>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    capture_type: Option<u8>,
    capture_id: Option<u32>,
    auth_key: Option<&'a [u8]>,
    correlation: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
}

impl<'a> Chunks<'a> {
    /// Records a chunk. `None`: its length is wrong, or it stands there a second time.
    fn take(&mut self, kind: u16, value: &'a [u8]) -> Option<()> {
        if kind > HIGHEST {
            return Some(());
        }
        let bit = 1_u32 << kind;
        if self.seen & bit != 0 {
            return None;
        }
        self.seen |= bit;
        match kind {
            FAMILY => self.family = Some(u8::from_be_bytes(exactly(value)?)),
            IP_PROTOCOL => self.ip_protocol = Some(u8::from_be_bytes(exactly(value)?)),
            SOURCE_V4 => set(&mut self.source, v4(value)?)?,
            SOURCE_V6 => set(&mut self.source, v6(value)?)?,
            DESTINATION_V4 => set(&mut self.destination, v4(value)?)?,
            DESTINATION_V6 => set(&mut self.destination, v6(value)?)?,
            SOURCE_PORT => self.source_port = Some(u16::from_be_bytes(exactly(value)?)),
            DESTINATION_PORT => self.destination_port = Some(u16::from_be_bytes(exactly(value)?)),
            CAPTURE_TYPE => self.capture_type = Some(u8::from_be_bytes(exactly(value)?)),
            CAPTURE_ID => self.capture_id = Some(u32::from_be_bytes(exactly(value)?)),
            AUTH_KEY => self.auth_key = Some(value),
            CORRELATION => self.correlation = Some(value),
            PAYLOAD => self.payload = Some(value),
            _ => {}
        }
        Some(())
    }

    /// Returns the whole, if all is there.
    fn finish(self, truncated: bool) -> Option<Hep<'a>> {
        let (source, destination) = (self.source?, self.destination?);
        let fits = match self.family? {
            INET => source.is_ipv4() && destination.is_ipv4(),
            INET6 => source.is_ipv6() && destination.is_ipv6(),
            _ => false,
        };
        if !fits {
            return None;
        }
        Some(Hep {
            source: SocketAddr::new(source.to_canonical(), self.source_port?),
            destination: SocketAddr::new(destination.to_canonical(), self.destination_port?),
            ip_protocol: self.ip_protocol?,
            capture_type: self.capture_type?,
            capture_id: self.capture_id,
            auth_key: self.auth_key,
            correlation: self.correlation,
            payload: self.payload?,
            truncated,
        })
    }
}

/// Sets what is not set yet: an address of the other family would be a second one.
fn set(place: &mut Option<IpAddr>, address: IpAddr) -> Option<()> {
    place.replace(address).is_none().then_some(())
}

fn v4(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(exactly::<4>(value)?).into())
}

fn v6(value: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(exactly::<16>(value)?).into())
}

fn exactly<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(exactly).map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &[u8] = b"REGISTER sip:pbx.example SIP/2.0\r\nCall-ID: a1\r\n\r\n";

    fn chunk(vendor: u16, kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + CHUNK_HEADER).unwrap();
        let header = [vendor.to_be_bytes(), kind.to_be_bytes(), length.to_be_bytes()].concat();
        [&header, value].concat()
    }

    fn datagram(chunks: &[Vec<u8>]) -> Vec<u8> {
        let chunks = chunks.concat();
        let length = u16::try_from(chunks.len() + HEADER).unwrap();
        [&MAGIC[..], &length.to_be_bytes(), &chunks].concat()
    }

    /// Returns the chunks in the order in which `res_hep` writes them.
    fn chunks(source: &str, destination: &str, password: &[u8], payload: &[u8]) -> Vec<Vec<u8>> {
        let (source, destination): (SocketAddr, SocketAddr) =
            (source.parse().unwrap(), destination.parse().unwrap());
        let mut all = vec![
            chunk(0, FAMILY, &[if source.is_ipv4() { INET } else { INET6 }]),
            chunk(0, IP_PROTOCOL, &[17]),
            chunk(0, SOURCE_PORT, &source.port().to_be_bytes()),
            chunk(0, DESTINATION_PORT, &destination.port().to_be_bytes()),
            chunk(0, 9, &[0x69, 0, 0, 0]),
            chunk(0, 10, &[0, 0, 0, 1]),
            chunk(0, CAPTURE_TYPE, &[SIP]),
            chunk(0, CAPTURE_ID, &77_u32.to_be_bytes()),
        ];
        for (address, kind_v4, kind_v6) in [
            (source.ip(), SOURCE_V4, SOURCE_V6),
            (destination.ip(), DESTINATION_V4, DESTINATION_V6),
        ] {
            all.push(match address {
                IpAddr::V4(address) => chunk(0, kind_v4, &address.octets()),
                IpAddr::V6(address) => chunk(0, kind_v6, &address.octets()),
            });
        }
        if !password.is_empty() {
            all.push(chunk(0, AUTH_KEY, password));
        }
        all.push(chunk(0, CORRELATION, b"a1"));
        all.push(chunk(0, PAYLOAD, payload));
        all
    }

    fn usual() -> Vec<Vec<u8>> {
        chunks("198.51.100.7:40000", "192.0.2.1:5061", b"secret", MESSAGE)
    }

    #[test]
    fn what_asterisk_writes_is_read() {
        let bytes = datagram(&usual());
        let hep = Hep::read(&bytes).unwrap();
        assert_eq!(hep.source, "198.51.100.7:40000".parse().unwrap());
        assert_eq!(hep.destination, "192.0.2.1:5061".parse().unwrap());
        assert_eq!((hep.ip_protocol, hep.capture_id, hep.is_sip()), (17, Some(77), true));
        assert_eq!((hep.auth_key, hep.correlation), (Some(&b"secret"[..]), Some(&b"a1"[..])));
        assert_eq!((hep.payload, hep.truncated), (MESSAGE, false));
        // RTCP is not SIP.
        let mut other = usual();
        other[6] = chunk(0, CAPTURE_TYPE, &[5]);
        assert!(!Hep::read(&datagram(&other)).unwrap().is_sip());
    }

    #[test]
    fn both_families_are_read_and_mapped_addresses_are_ipv4() {
        for (source, destination, expected) in [
            ("[2001:db8::7]:5", "[2001:db8::1]:5060", "[2001:db8::7]:5"),
            ("[::ffff:198.51.100.7]:5", "[::ffff:192.0.2.1]:5060", "198.51.100.7:5"),
        ] {
            let bytes = datagram(&chunks(source, destination, b"", MESSAGE));
            let hep = Hep::read(&bytes).unwrap();
            assert_eq!(hep.source, expected.parse().unwrap());
            assert_eq!(hep.source.is_ipv4(), hep.destination.is_ipv4());
            assert_eq!(hep.auth_key, None);
        }
    }

    #[test]
    fn only_the_configured_password_will_do() {
        let with = datagram(&usual());
        let with = Hep::read(&with).unwrap();
        assert!(with.has_password(b"secret"));
        for wrong in [&b""[..], b"secre", b"secret2", b"Secret", b"secreT"] {
            assert!(!with.has_password(wrong), "{wrong:?}");
        }
        let without = datagram(&chunks("198.51.100.7:4", "192.0.2.1:5", b"", MESSAGE));
        let without = Hep::read(&without).unwrap();
        assert!(without.has_password(b"") && !without.has_password(b"secret"));
        // Asterisk leaves an empty password out: one that is there is somebody else's.
        let mut empty = usual();
        empty[10] = chunk(0, AUTH_KEY, b"");
        let empty = datagram(&empty);
        let empty = Hep::read(&empty).unwrap();
        assert!(!empty.has_password(b"") && !empty.has_password(b"secret"));
    }

    #[test]
    fn a_cut_datagram_is_truncated_or_nothing() {
        let bytes = datagram(&usual());
        let message = bytes.len() - MESSAGE.len();
        for length in 0..bytes.len() {
            let read = Hep::read(&bytes[..length]);
            if length < message {
                assert_eq!(read, None, "{length}");
            } else {
                let read = read.unwrap();
                assert!(read.truncated);
                assert_eq!(read.payload, &MESSAGE[..length - message]);
                assert!(read.has_password(b"secret"));
            }
        }
    }

    #[test]
    fn a_message_may_claim_no_more_than_is_missing() {
        let mut bytes = datagram(&usual());
        let length = bytes.len() - MESSAGE.len() - 2;
        bytes[length + 1] += 1;
        assert_eq!(Hep::read(&bytes), None, "longer than the datagram");
        bytes.pop();
        assert_eq!(Hep::read(&bytes), None, "cut by one, and one more claimed");
        bytes[length + 1] -= 1;
        assert!(Hep::read(&bytes).unwrap().truncated);
        bytes.extend([0; 2]);
        assert_eq!(Hep::read(&bytes), None, "more bytes than the datagram has");
    }

    #[test]
    fn chunks_that_are_missing_or_twice_there_are_not_asterisks() {
        let all = usual();
        for place in 0..all.len() {
            let mut less = all.clone();
            let gone = less.remove(place);
            let kind = u16::from_be_bytes([gone[2], gone[3]]);
            // The time, `capture_id`, the password and the Call-ID are no addresses.
            let needed = ![9, 10, CAPTURE_ID, AUTH_KEY, CORRELATION].contains(&kind);
            assert_eq!(Hep::read(&datagram(&less)).is_none(), needed, "without {kind}");
            let twice = [all.clone(), vec![gone]].concat();
            assert_eq!(Hep::read(&datagram(&twice)), None, "twice {kind}");
        }
    }

    #[test]
    fn wrong_datagrams_are_refused() {
        let mut all = vec![Vec::new(), MAGIC.to_vec(), b"HEP3\0\x06".to_vec()];
        let good = datagram(&usual());
        for (place, byte) in [(3, b'2'), (0, b'h'), (11, 6), (12, 3), (12, INET6)] {
            let mut bytes = good.clone();
            bytes[place] = byte;
            all.push(bytes);
        }
        // One end in the other family, and both families at the same time.
        for mixed in [SOURCE_V6, DESTINATION_V6] {
            let address = chunk(0, mixed, &[1; 16]);
            let mut other = usual();
            other[if mixed == SOURCE_V6 { 8 } else { 9 }] = address.clone();
            all.push(datagram(&other));
            all.push(datagram(&[usual(), vec![address]].concat()));
        }
        // A compressed message.
        let mut zipped = usual();
        zipped[12] = chunk(0, 16, MESSAGE);
        all.push(datagram(&zipped));
        let many = vec![chunk(0, 99, b""); MOST_CHUNKS];
        all.push(datagram(&[many, usual()].concat()));
        // Addresses and numbers of another length.
        for kind in [FAMILY, SOURCE_V4, SOURCE_PORT, DESTINATION_PORT, CAPTURE_TYPE, CAPTURE_ID] {
            let mut odd = usual();
            odd.retain(|chunk| chunk[3] != kind.to_be_bytes()[1]);
            odd.insert(0, chunk(0, kind, &[1; 7]));
            all.push(datagram(&odd));
        }
        for bytes in all {
            assert_eq!(Hep::read(&bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn unknown_chunks_are_passed_over() {
        let foreign = vec![
            chunk(4, PAYLOAD, b"another vendor's"),
            chunk(4, AUTH_KEY, b"x"),
            chunk(0, 19, b"capture_name"),
            chunk(0, 19, b"twice"),
        ];
        let bytes = datagram(&[foreign, usual()].concat());
        let hep = Hep::read(&bytes).unwrap();
        assert_eq!((hep.payload, hep.has_password(b"secret")), (MESSAGE, true));
    }

    #[test]
    fn debug_hides_what_is_secret() {
        let bytes = datagram(&usual());
        let text = format!("{:?}", Hep::read(&bytes).unwrap());
        assert!(text.contains("198.51.100.7:40000") && !text.contains("115"), "{text}");
        assert!(!text.contains("secret") && !text.contains("REGISTER"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Hep::read(&bytes);
            let _ = Hep::read(&[&MAGIC[..], &bytes].concat());
        }

        #[test]
        fn any_change_is_read_without_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            length in any::<prop::sample::Index>(),
        ) {
            let mut bytes = datagram(&usual());
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let cut = &bytes[..length.index(bytes.len() + 1)];
            for bytes in [&bytes[..], cut] {
                if let Some(hep) = Hep::read(bytes) {
                    prop_assert!(hep.payload.len() < bytes.len());
                    prop_assert!(hep.truncated || usize::from(u16_at(bytes, 4).unwrap()) == bytes.len());
                }
            }
        }

        #[test]
        fn what_is_written_is_read(
            source in any::<(u32, u16)>(), destination in any::<(u128, u16)>(),
            password in prop::collection::vec(any::<u8>(), 0..40),
            payload in prop::collection::vec(any::<u8>(), 0..2000),
            order in any::<prop::sample::Index>(),
        ) {
            let source = SocketAddr::new(Ipv4Addr::from(source.0).to_ipv6_mapped().into(), source.1);
            let destination = SocketAddr::new(Ipv6Addr::from(destination.0).into(), destination.1);
            let mut chunks = chunks(&source.to_string(), &destination.to_string(), &password, &payload);
            let turn = order.index(chunks.len());
            chunks.rotate_left(turn);
            let bytes = datagram(&chunks);
            let hep = Hep::read(&bytes).unwrap();
            prop_assert_eq!(hep.source, SocketAddr::new(source.ip().to_canonical(), source.port()));
            prop_assert_eq!(hep.destination.port(), destination.port());
            prop_assert_eq!(hep.payload, &payload[..]);
            prop_assert!(hep.has_password(&password) && !hep.truncated);
        }
    }
}
