//! The messages of `nfnetlink_log`, as bytes: asking for a group's packets, and reading them.
//!
//! Numbers and layouts are those of `linux/netfilter/nfnetlink_log.h`. Headers are in the machine's
//! byte order, what is in attributes in network order.

use crate::sys::netlink::{self, aligned, attributes, number};

const HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

const ERROR: u16 = 2;
const ULOG: u16 = 4 << 8;
const PACKET: u16 = ULOG;
const CONFIG: u16 = ULOG | 1;

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_BUFFER: u16 = 3;
const CONFIG_THRESHOLD: u16 = 5;
const CONFIG_FLAGS: u16 = 6;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const NUMBERED: u16 = 1;

const PACKET_HEADER: u16 = 1;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
const NUMBER: u16 = 12;

/// The bytes that the kernel allocates for one message. Larger packets get more; smaller ones would
/// hold more of the socket's buffer than they need.
const BUFFER: u32 = 1024;

/// Asks for the packets of `group`, each immediately and numbered, with at most `copy` bytes of it.
/// The kernel acknowledges it.
#[must_use]
pub fn bind(group: u16, copy: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.extend(CONFIG.to_ne_bytes());
    bytes.extend((REQUEST | ACKNOWLEDGE).to_ne_bytes());
    // The number of the request (there is one), and the sender's port, which the kernel knows.
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([0, 0]);
    bytes.extend(group.to_be_bytes());
    attribute(&mut bytes, CONFIG_COMMAND, &[BIND]);
    let [a, b, c, d] = copy.to_be_bytes();
    attribute(&mut bytes, CONFIG_MODE, &[a, b, c, d, COPY_PACKET, 0]);
    attribute(&mut bytes, CONFIG_BUFFER, &BUFFER.to_be_bytes());
    // Nothing is gathered: a guess that is noticed late is followed by others meanwhile.
    attribute(&mut bytes, CONFIG_THRESHOLD, &1_u32.to_be_bytes());
    attribute(&mut bytes, CONFIG_FLAGS, &NUMBERED.to_be_bytes());
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if let Some(place) = bytes.get_mut(..4) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    bytes
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
}

/// The prefix by which the rules mark packets that Asterisk sends to its HEP collector.
pub const HEP_PREFIX: &[u8] = b"hep";
/// The hook that packets pass before routing (`NF_INET_PRE_ROUTING`).
const PREROUTING: u8 = 0;

/// The way that a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// To us.
    In,
    /// From us.
    Out,
    /// From Asterisk to its HEP collector.
    Hep,
}

/// A message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum NflogMessage<'a> {
    /// A packet from its IP header on, and its number among those of the group.
    Packet { bytes: &'a [u8], number: Option<u32>, path: Path },
    /// The request is refused for this reason (an `errno`), or 0: it is not.
    Status(i32),
}

/// Returns the messages in what one call received; a broken one ends it.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = NflogMessage<'_>> {
    netlink::messages(bytes).filter_map(read)
}

fn read(message: &[u8]) -> Option<NflogMessage<'_>> {
    match u16::from_ne_bytes(number(message, 4)?) {
        ERROR => {
            let errno = i32::from_ne_bytes(number(message, HEADER)?);
            Some(NflogMessage::Status(errno.saturating_neg()))
        }
        PACKET => {
            let (mut packet, mut count, mut path) = (None, None, Path::Out);
            for (kind, value) in attributes(message.get(HEADER + GENERIC_HEADER..)?) {
                match kind {
                    PAYLOAD => packet = Some(value),
                    NUMBER => count = number(value, 0).map(u32::from_be_bytes),
                    // The protocol of two bytes, then the hook.
                    PACKET_HEADER if value.get(2) == Some(&PREROUTING) && path == Path::Out => {
                        path = Path::In;
                    }
                    PREFIX if value.starts_with(HEP_PREFIX) => path = Path::Hep,
                    _ => {}
                }
            }
            Some(NflogMessage::Packet { bytes: packet?, number: count, path })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns a packet as the kernel tells of it.
    fn told(payload: &[u8], count: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(PACKET.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend([2, 0, 0x13, 0xc4]);
        attribute(&mut bytes, 1, &[0x08, 0, 3, 0]);
        attribute(&mut bytes, PAYLOAD, payload);
        attribute(&mut bytes, NUMBER, &count.to_be_bytes());
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn packets_are_found_among_other_messages() {
        let mut bytes = told(b"first", 7);
        // The end of a list, which is the end of nothing here.
        bytes.extend([20_u32.to_ne_bytes(), 3_u32.to_ne_bytes()].concat());
        bytes.extend([0; 12]);
        bytes.extend(told(b"second!", 8));
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(
            all,
            [
                NflogMessage::Packet { bytes: b"first", number: Some(7), path: Path::Out },
                NflogMessage::Packet { bytes: b"second!", number: Some(8), path: Path::Out },
            ]
        );
    }

    #[test]
    fn bind_request_has_the_kernels_layout() {
        let bytes = bind(5060, 2048);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(bytes[..4], u32::try_from(bytes.len()).unwrap().to_ne_bytes());
        assert_eq!(bytes[18..20], [0x13, 0xc4], "the group");
        let attributes: Vec<_> = attributes(&bytes[20..]).collect();
        assert_eq!(attributes[0], (CONFIG_COMMAND, &[BIND][..]));
        assert_eq!(attributes[1], (CONFIG_MODE, &[0, 0, 8, 0, COPY_PACKET, 0][..]));
        assert_eq!(attributes.len(), 5);
    }

    #[test]
    fn refusal_carries_its_errno() {
        let mut bytes = [36_u32.to_ne_bytes(), 2_u32.to_ne_bytes(), [0; 4], [0; 4]].concat();
        bytes.extend((-16_i32).to_ne_bytes());
        bytes.extend([0; 16]);
        assert_eq!(messages(&bytes).collect::<Vec<_>>(), [NflogMessage::Status(16)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
        }

        #[test]
        fn broken_messages_are_read_without_harm(at in 0usize..200, byte: u8) {
            let mut bytes = told(b"SIP/2.0 401 Unauthorized", 1);
            let place = at % bytes.len();
            bytes[place] = byte;
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
