//! Reads the kernel's answers and notifications from bytes. Nothing in them is taken at its word.

use std::net::IpAddr;
use std::time::Duration;

use super::message::{
    COMMENT, EXPIRATION, FLAGS, HEADER, INTERVAL_END, KEY, LIST_ELEMENTS, OBJECT_DATA, OBJECT_NAME,
    SET_NAME, USERDATA, VALUE,
};
use crate::sys::netlink::{self, attributes, number};
use crate::table::structure::SetKey;

/// Types of messages that belong to every protocol.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A flag of messages: something changed while the list was made.
const DUMP_INTERRUPTED: u16 = 0x10;

/// Attributes of an element, of an expression, of a counter, and of a generation.
const EXPRESSION: u16 = 7;
const EXPRESSIONS: u16 = 11;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const COUNTER_BYTES: u16 = 1;
const COUNTER_PACKETS: u16 = 2;
const GENERATION_ID: u16 = 1;

/// An element as the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: Vec<u8>,
    /// The time that is left of it; `None`: it stays.
    pub(super) left: Option<Duration>,
    pub(super) comment: Option<String>,
    /// The packets and bytes that it has matched, in a set of bans those that were dropped, if they are
    /// counted.
    pub(super) dropped: Option<Count>,
    /// Whether it ends an interval, and is not in it.
    pub(super) ends: bool,
}

/// Packets and bytes.
pub type Count = (u64, u64);

impl Found {
    /// Returns the key as an address, if it is as long as one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        address(&self.key)
    }

    /// Returns the key as an address, or with a port where that follows, in four bytes.
    pub(super) fn set_key(&self) -> Option<SetKey> {
        match self.key.split_last_chunk() {
            Some((host, [high, low, 0, 0])) if matches!(host.len(), 4 | 16) => {
                Some(SetKey::Flow(address(host)?, u16::from_be_bytes([*high, *low])))
            }
            _ => self.address().map(SetKey::Host),
        }
    }
}

fn address(key: &[u8]) -> Option<IpAddr> {
    match *key {
        [a, b, c, d] => Some(IpAddr::from([a, b, c, d])),
        _ => <[u8; 16]>::try_from(key).ok().map(IpAddr::from),
    }
}

/// A message of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// The message of this number is refused for this reason (an `errno`), or 0: it is not.
    Status { number: u32, errno: i32 },
    /// Part of an answer. All has to be asked for again if it was `interrupted` by a change.
    Part { kind: u16, attributes: &'a [u8], interrupted: bool },
    /// The list ends here.
    Done,
}

/// A message as it was received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) number: u32,
    /// The port of the process that made the kernel send it.
    pub(super) port: u32,
    /// The bytes that follow the header.
    pub(super) rest: &'a [u8],
}

impl<'a> Received<'a> {
    /// Returns the attributes of a message of `nf_tables`.
    pub(super) fn attributes(&self) -> &'a [u8] {
        self.rest.get(4..).unwrap_or_default()
    }

    /// Returns the family of a message of `nf_tables`.
    pub(super) fn family(&self) -> u8 {
        self.rest.first().copied().unwrap_or_default()
    }
}

/// Returns the messages in one datagram; what is broken ends it.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    netlink::messages(bytes).filter_map(|message| {
        Some(Received {
            kind: u16::from_ne_bytes(number(message, 4)?),
            flags: u16::from_ne_bytes(number(message, 6)?),
            number: u32::from_ne_bytes(number(message, 8)?),
            port: u32::from_ne_bytes(number(message, 12)?),
            rest: message.get(HEADER..)?,
        })
    })
}

/// Returns the answers in one datagram.
pub(super) fn replies(bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    messages(bytes).filter_map(|message| {
        Some(match message.kind {
            ERROR => {
                let errno = i32::from_ne_bytes(number(message.rest, 0)?);
                Reply::Status { number: message.number, errno: errno.saturating_neg() }
            }
            DONE => Reply::Done,
            kind => Reply::Part {
                kind,
                attributes: message.attributes(),
                interrupted: message.flags & DUMP_INTERRUPTED != 0,
            },
        })
    })
}

/// Returns the elements in a message that lists some, as bytes.
pub(super) fn items(attributes_of_list: &[u8]) -> impl Iterator<Item = &[u8]> {
    attributes(attributes_of_list)
        .filter(|(kind, _)| *kind == LIST_ELEMENTS)
        .flat_map(|(_, list)| attributes(list))
        .map(|(_, item)| item)
}

/// Returns the name of the set that a message describes.
pub(super) fn set_name(set: &[u8]) -> Option<String> {
    string(attributes(set).find(|(kind, _)| *kind == SET_NAME)?.1)
}

/// Returns the number of a generation.
pub(super) fn generation_of(message: &[u8]) -> Option<u32> {
    let (_, value) = attributes(message).find(|(kind, _)| *kind == GENERATION_ID)?;
    number(value, 0).map(u32::from_be_bytes)
}

/// Returns the name of the counter that a message describes, and what it has counted.
pub(super) fn counter(object: &[u8]) -> Option<(String, Count)> {
    let (mut name, mut count) = (None, None);
    for (kind, value) in attributes(object) {
        match kind {
            OBJECT_NAME => name = string(value),
            OBJECT_DATA => count = counted(value),
            _ => {}
        }
    }
    Some((name?, count?))
}

/// Returns an element as it is listed.
pub(super) fn found(item: &[u8]) -> Option<Found> {
    let (mut key, mut left, mut comment, mut dropped) = (None, None, None, None);
    let mut ends = false;
    for (kind, value) in attributes(item) {
        match kind {
            KEY => key = attributes(value).find(|(kind, _)| *kind == VALUE).map(|(_, key)| key),
            EXPIRATION => {
                left = number(value, 0).map(u64::from_be_bytes).map(Duration::from_millis);
            }
            FLAGS => {
                let flags = number(value, 0).map_or(0, u32::from_be_bytes);
                ends = flags & INTERVAL_END != 0;
            }
            USERDATA => comment = comment_in(value),
            EXPRESSION => dropped = dropped.or(counter_in(value)),
            EXPRESSIONS => {
                dropped = dropped.or(attributes(value).find_map(|(_, one)| counter_in(one)));
            }
            _ => {}
        }
    }
    Some(Found { key: key?.to_vec(), left, comment, dropped, ends })
}

/// Returns the numbers that an expression has counted, if it counts.
fn counter_in(expression: &[u8]) -> Option<Count> {
    let (mut counts, mut count) = (false, None);
    for (kind, value) in attributes(expression) {
        match kind {
            EXPRESSION_NAME => counts = value == b"counter\0",
            EXPRESSION_DATA => count = counted(value),
            _ => {}
        }
    }
    count.filter(|_| counts)
}

fn counted(counter: &[u8]) -> Option<Count> {
    let find = |wanted| attributes(counter).find(|(kind, _)| *kind == wanted);
    let read = |wanted| number(find(wanted)?.1, 0).map(u64::from_be_bytes);
    Some((read(COUNTER_PACKETS)?, read(COUNTER_BYTES)?))
}

/// Text that ends with a zero.
fn string(value: &[u8]) -> Option<String> {
    String::from_utf8(value.strip_suffix(&[0])?.to_vec()).ok()
}

/// Userdata is a list of (kind, length, bytes); a comment ends with a zero.
fn comment_in(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, more @ ..] = rest {
        let value = more.get(..usize::from(*length))?;
        if *kind == COMMENT {
            return string(value);
        }
        rest = more.get(value.len()..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::{Element, Key, Transaction};
    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(replies(&bytes).count() <= bytes.len() / HEADER + 1);
            prop_assert!(items(&bytes).filter_map(found).count() <= bytes.len());
        }

        #[test]
        fn broken_answers_are_read_without_harm(at in 0usize..100, byte: u8) {
            let mut transaction = Transaction::begin(1);
            let key = Key::Address([192, 0, 2, 1].into());
            transaction.add("ban4", &Element { key, timeout: Some(Duration::from_secs(60)), comment: Some("scan") });
            let (mut bytes, _) = transaction.end();
            let place = at % bytes.len();
            bytes[place] = byte;
            prop_assert!(replies(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
