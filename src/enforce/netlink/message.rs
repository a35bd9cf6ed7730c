//! The few netlink messages that a table needs, as bytes for the kernel.
//!
//! Numbers and layouts are those of `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and
//! `linux/netfilter/nf_tables.h`. Headers are in the machine's byte order, what is in attributes of
//! `nf_tables` in network order. Attributes begin at multiples of four bytes.

use std::net::IpAddr;
use std::time::Duration;

use super::interval::behind;
use crate::sys::netlink::aligned;
use crate::table::structure::{SetKey, TABLE};

pub(super) const HEADER: usize = 16;

/// Types of messages.
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NFTABLES: u16 = 10;
pub(super) const NEW_TABLE: u16 = NFTABLES << 8;
pub(super) const GET_TABLE: u16 = NFTABLES << 8 | 0x01;
pub(super) const DELETE_TABLE: u16 = NFTABLES << 8 | 0x02;
pub(super) const NEW_CHAIN: u16 = NFTABLES << 8 | 0x03;
pub(super) const GET_CHAIN: u16 = NFTABLES << 8 | 0x04;
pub(super) const DELETE_CHAIN: u16 = NFTABLES << 8 | 0x05;
pub(super) const NEW_RULE: u16 = NFTABLES << 8 | 0x06;
pub(super) const GET_RULE: u16 = NFTABLES << 8 | 0x07;
pub(super) const DELETE_RULE: u16 = NFTABLES << 8 | 0x08;
pub(super) const NEW_SET: u16 = NFTABLES << 8 | 0x09;
pub(super) const GET_SET: u16 = NFTABLES << 8 | 0x0a;
pub(super) const DELETE_SET: u16 = NFTABLES << 8 | 0x0b;
pub(super) const NEW_ELEMENTS: u16 = NFTABLES << 8 | 0x0c;
pub(super) const GET_ELEMENTS: u16 = NFTABLES << 8 | 0x0d;
pub(super) const DELETE_ELEMENTS: u16 = NFTABLES << 8 | 0x0e;
pub(super) const NEW_GENERATION: u16 = NFTABLES << 8 | 0x0f;
const GET_GENERATION: u16 = NFTABLES << 8 | 0x10;
pub(super) const NEW_OBJECT: u16 = NFTABLES << 8 | 0x12;
const GET_OBJECT: u16 = NFTABLES << 8 | 0x13;

/// Flags of messages.
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

/// Families.
const UNSPECIFIED: u8 = 0;
pub(super) const INET: u8 = 1;

/// Attributes of a list of elements.
pub(super) const LIST_TABLE: u16 = 1;
pub(super) const LIST_SET: u16 = 2;
pub(super) const LIST_ELEMENTS: u16 = 3;
pub(super) const LIST_SET_ID: u16 = 4;
pub(super) const LIST_ITEM: u16 = 1;
/// Attributes of a set, and of a named object.
const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const OBJECT_NAME: u16 = 2;
pub(super) const OBJECT_TYPE: u16 = 3;
pub(super) const OBJECT_DATA: u16 = 4;
/// The type of an object that counts.
pub(super) const TYPE_COUNTER: u32 = 1;
/// Attributes of an element.
pub(super) const KEY: u16 = 1;
pub(super) const FLAGS: u16 = 3;
const TIMEOUT: u16 = 4;
pub(super) const EXPIRATION: u16 = 5;
pub(super) const USERDATA: u16 = 6;
/// That an element is not in an interval, but ends one.
pub(super) const INTERVAL_END: u32 = 1;
/// The attribute of a key.
pub(super) const VALUE: u16 = 1;
/// The only kind of userdata that an element has.
pub(super) const COMMENT: u8 = 0;

pub(super) const NESTED: u16 = 0x8000;
/// The most bytes of elements in one message: the length of an attribute has 16 bits, and the longest
/// element needs 200 bytes.
pub(super) const LIST_MAX: usize = 65_000;

/// An element to be written, or to be found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) key: Key,
    /// The time from now on until it ends; `None`: it stays. At least a millisecond.
    pub(super) timeout: Option<Duration>,
    pub(super) comment: Option<&'a str>,
}

/// The key of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Address(IpAddr),
    /// An address, and a port of the host.
    Flow(IpAddr, u16),
    /// A network in a set of intervals: its first address, and the one behind its last, if there is one.
    Network(IpAddr, Option<IpAddr>),
    /// A protocol family (`nf_proto`).
    Family(u8),
}

impl From<SetKey> for Key {
    fn from(key: SetKey) -> Self {
        match key {
            SetKey::Host(address) => Self::Address(address),
            SetKey::Flow(address, port) => Self::Flow(address, port),
            SetKey::Network(net) => Self::Network(net.network(), behind(net.broadcast())),
        }
    }
}

/// An element with nothing but a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bare {
    pub(super) key: Key,
    /// Whether it ends an interval, and is not in it.
    pub(super) ends: bool,
}

/// Messages that the kernel carries out together or not at all.
#[derive(Debug)]
pub(super) struct Transaction {
    bytes: Vec<u8>,
    /// The sequence number of the next message.
    next: u32,
}

impl Transaction {
    /// Begins with the message numbered `first`.
    pub(super) fn begin(first: u32) -> Self {
        let mut transaction = Self { bytes: Vec::new(), next: first };
        transaction.message(BATCH_BEGIN, REQUEST, UNSPECIFIED, NFTABLES, |_| {});
        transaction
    }

    /// Adds an element to a set, unless it is there; returns the message's number.
    pub(super) fn add(&mut self, set: &str, element: &Element<'_>) -> u32 {
        self.message(NEW_ELEMENTS, REQUEST | CREATE, INET, 0, |message| {
            in_set(message, set);
            elements(message, |list| write_element(list, element));
        })
    }

    /// Adds elements, as many in a message as fit; those that are there stay.
    pub(super) fn add_many(&mut self, set: &str, elements: &[Bare]) {
        self.add_list(set, elements.iter(), |list, bare| write_bare(list, **bare));
    }

    /// The same, with timeouts and comments.
    pub(super) fn add_all<'a>(&mut self, set: &str, elements: impl Iterator<Item = Element<'a>>) {
        self.add_list(set, elements, write_element);
    }

    fn add_list<T>(
        &mut self,
        set: &str,
        elements: impl Iterator<Item = T>,
        write: impl Fn(&mut Vec<u8>, &T),
    ) {
        let mut elements = elements.peekable();
        while elements.peek().is_some() {
            self.message(NEW_ELEMENTS, REQUEST | CREATE, INET, 0, |message| {
                in_set(message, set);
                attribute(message, LIST_ELEMENTS | NESTED, |list| {
                    let start = list.len();
                    while let Some(element) = elements.next_if(|_| list.len() - start < LIST_MAX) {
                        write(list, &element);
                    }
                });
            });
        }
    }

    /// Appends a message about our table with these attributes.
    pub(super) fn order(&mut self, kind: u16, flags: u16, attributes: &[u8]) -> u32 {
        self.message(kind, REQUEST | flags, INET, 0, |message| message.extend(attributes))
    }

    /// Removes an element that is there.
    pub(super) fn delete(&mut self, set: &str, key: Key) -> u32 {
        self.message(DELETE_ELEMENTS, REQUEST, INET, 0, |message| {
            in_set(message, set);
            elements(message, |list| write_item(list, key, |_| {}));
        })
    }

    /// Removes all elements of a set.
    pub(super) fn flush(&mut self, set: &str) -> u32 {
        self.message(DELETE_ELEMENTS, REQUEST, INET, 0, |message| in_set(message, set))
    }

    /// Returns the bytes of the whole transaction, and the number that follows.
    pub(super) fn end(mut self) -> (Vec<u8>, u32) {
        self.message(BATCH_END, REQUEST, UNSPECIFIED, NFTABLES, |_| {});
        (self.bytes, self.next)
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        content: impl FnOnce(&mut Vec<u8>),
    ) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        write_message(&mut self.bytes, kind, flags, number, family, resource, content);
        number
    }
}

/// Questions about our table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'a> {
    Table,
    /// All chains of the family, of whatever table: not every kernel can be asked for some.
    Chains,
    Rules,
    Sets,
    Objects,
    /// The named counters.
    Counters,
    Elements(&'a str),
    /// One element of a set.
    Element(&'a str, Key),
    /// The number of transactions that there have been, of all tables.
    Generation,
}

impl Question<'_> {
    /// Returns the message that asks it.
    pub(super) fn bytes(self, number: u32) -> Vec<u8> {
        let (kind, flags) = match self {
            Self::Table => (GET_TABLE, 0),
            Self::Chains => (GET_CHAIN, DUMP),
            Self::Rules => (GET_RULE, DUMP),
            Self::Sets => (GET_SET, DUMP),
            Self::Objects | Self::Counters => (GET_OBJECT, DUMP),
            Self::Elements(_) => (GET_ELEMENTS, DUMP),
            Self::Element(..) => (GET_ELEMENTS, 0),
            Self::Generation => (GET_GENERATION, 0),
        };
        let mut bytes = Vec::new();
        write_message(&mut bytes, kind, REQUEST | flags, number, INET, 0, |message| {
            if !matches!(self, Self::Generation) {
                // Everywhere else the first attribute.
                attribute(message, LIST_TABLE, |value| text(value, TABLE));
            }
            match self {
                Self::Elements(set) => attribute(message, LIST_SET, |value| text(value, set)),
                Self::Element(set, key) => {
                    attribute(message, LIST_SET, |value| text(value, set));
                    elements(message, |list| write_item(list, key, |_| {}));
                }
                Self::Counters => attribute(message, OBJECT_TYPE, |value| {
                    value.extend(TYPE_COUNTER.to_be_bytes());
                }),
                Self::Table
                | Self::Chains
                | Self::Rules
                | Self::Sets
                | Self::Objects
                | Self::Generation => {}
            }
        });
        bytes
    }

    /// Whether the answer is a list, which has an end of its own.
    pub(super) fn is_list(self) -> bool {
        !matches!(self, Self::Table | Self::Element(..) | Self::Generation)
    }
}

/// Adds the removal of a set.
pub(super) fn delete_set(transaction: &mut Transaction, set: &str) {
    transaction.message(DELETE_SET, REQUEST, INET, 0, |message| {
        attribute(message, SET_TABLE, |value| text(value, TABLE));
        attribute(message, SET_NAME, |value| text(value, set));
    });
}

fn write_message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    number: u32,
    family: u8,
    resource: u16,
    content: impl FnOnce(&mut Vec<u8>),
) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    // The sender's port: the kernel knows it.
    bytes.extend([0; 4]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    content(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = bytes.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
}

pub(super) fn in_set(message: &mut Vec<u8>, set: &str) {
    attribute(message, LIST_TABLE, |value| text(value, TABLE));
    attribute(message, LIST_SET, |value| text(value, set));
}

/// A list of one element. One a message, so that the kernel says of each whether it is refused.
fn elements(message: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    attribute(message, LIST_ELEMENTS | NESTED, write);
}

/// Writes an element into a list; of a network, the element that ends its interval too, which has nothing but a key.
fn write_item(list: &mut Vec<u8>, key: Key, rest: impl FnOnce(&mut Vec<u8>)) {
    attribute(list, LIST_ITEM | NESTED, |item| {
        write_key(item, key);
        rest(item);
    });
    if let Key::Network(_, Some(behind)) = key {
        write_bare(list, Bare { key: Key::Address(behind), ends: true });
    }
}

fn write_element(list: &mut Vec<u8>, element: &Element<'_>) {
    write_item(list, element.key, |item| {
        if let Some(timeout) = element.timeout {
            // Milliseconds; an element with none would stay for ever.
            let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1);
            attribute(item, TIMEOUT, |value| value.extend(millis.to_be_bytes()));
            // Without it, an element that is there would keep its old end if the timeout is the same.
            attribute(item, EXPIRATION, |value| value.extend(millis.to_be_bytes()));
        }
        if let Some(comment) = element.comment {
            attribute(item, USERDATA, |value| {
                value.extend([COMMENT, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)]);
                text(value, comment);
            });
        }
    });
}

fn write_bare(list: &mut Vec<u8>, bare: Bare) {
    write_item(list, bare.key, |item| {
        if bare.ends {
            attribute(item, FLAGS, |value| value.extend(INTERVAL_END.to_be_bytes()));
        }
    });
}

fn write_key(item: &mut Vec<u8>, key: Key) {
    attribute(item, KEY | NESTED, |data| {
        attribute(data, VALUE, |value| match key {
            Key::Address(address) | Key::Network(address, _) => write_address(value, address),
            // Each part of a key takes whole registers of four bytes.
            Key::Flow(address, port) => {
                write_address(value, address);
                value.extend(port.to_be_bytes());
                value.extend([0; 2]);
            }
            Key::Family(family) => value.push(family),
        });
    });
}

fn write_address(value: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => value.extend(v4.octets()),
        IpAddr::V6(v6) => value.extend(v6.octets()),
    }
}

pub(super) fn attribute(bytes: &mut Vec<u8>, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 2]);
    bytes.extend(kind.to_ne_bytes());
    value(bytes);
    let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX);
    if let Some(place) = bytes.get_mut(start..start + 2) {
        place.copy_from_slice(&length.to_ne_bytes());
    }
    bytes.resize(aligned(bytes.len()), 0);
}

pub(super) fn text(value: &mut Vec<u8>, text: &str) {
    value.extend(text.as_bytes());
    value.push(0);
}

#[cfg(test)]
mod tests {
    use super::super::reply::{Found, found, items, messages};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Returns the element as the kernel would tell of it, from what it was told.
    fn echoed(element: &Element<'_>) -> Found {
        let mut transaction = Transaction::begin(7);
        let begin = transaction.bytes.len();
        assert_eq!(transaction.add("ban4", element), 8);
        let (bytes, next) = transaction.end();
        assert_eq!(next, 10);
        let all: Vec<_> = messages(&bytes[begin..]).collect();
        assert_eq!(all.len(), 2, "the element and the end");
        let mut elements = items(all[0].attributes());
        let echo = found(elements.next().unwrap()).unwrap();
        assert_eq!((all[0].kind, elements.next()), (NEW_ELEMENTS, None));
        echo
    }

    #[test]
    fn an_element_is_read_as_it_was_written() {
        for (address, timeout, comment) in [
            ("192.0.2.1", Some(MINUTE), Some("asterisk-scan")),
            ("2001:db8::", None, None),
            ("192.0.2.1", Some(Duration::from_secs(3_155_760_000)), Some("")),
        ] {
            let address = address.parse().unwrap();
            let element = Element { key: Key::Address(address), timeout, comment };
            let found = echoed(&element);
            assert_eq!(found.address(), Some(address));
            assert_eq!((found.left, found.comment.as_deref()), (timeout, comment));
        }
    }

    #[test]
    fn a_flow_is_read_as_it_was_written() {
        for (address, port) in [("192.0.2.1", 40_312), ("2001:db8::7", 1)] {
            let key = SetKey::Flow(address.parse().unwrap(), port);
            let found = echoed(&Element { key: key.into(), timeout: None, comment: None });
            assert_eq!((found.key.len() % 4, found.address()), (0, None));
            assert_eq!(found.set_key(), Some(key));
        }
        let key = SetKey::Host([192, 0, 2, 1].into());
        let host = echoed(&Element { key: key.into(), timeout: None, comment: None });
        assert_eq!(host.set_key(), Some(key));
    }

    #[test]
    fn a_network_has_two_ends_but_for_the_last() {
        for (net, end) in [
            ("192.0.2.0/24", Some("192.0.3.0")),
            ("255.255.255.0/24", None),
            ("2001:db8::/32", Some("2001:db9::")),
        ] {
            let key = Key::from(SetKey::Network(net.parse().unwrap()));
            let element = Element { key, timeout: Some(MINUTE), comment: Some("manual") };
            let mut list = Vec::new();
            write_element(&mut list, &element);
            let mut written = Vec::new();
            attribute(&mut written, LIST_ELEMENTS | NESTED, |value| value.extend(&list));
            let found: Vec<_> = items(&written).filter_map(found).collect();
            assert_eq!((found[0].ends, found[0].left), (false, Some(MINUTE)));
            let behind = found.get(1).map(|end| (end.address().unwrap().to_string(), end.ends));
            assert_eq!(behind, end.map(|end| (end.to_owned(), true)));
            assert!(found.iter().skip(1).all(|end| end.left.is_none() && end.comment.is_none()));
        }
    }

    #[test]
    fn a_timed_element_is_never_sent_without_its_timeout() {
        let key = Key::Family(2);
        for (timeout, sent) in
            [(Duration::ZERO, 1), (Duration::from_micros(900), 1), (MINUTE, 60_000)]
        {
            let element = Element { key, timeout: Some(timeout), comment: None };
            let found = echoed(&element);
            assert_eq!(found.left, Some(Duration::from_millis(sent)));
            assert_eq!(found.key, [2]);
        }
    }

    #[test]
    fn many_elements_are_as_many_messages_as_they_need() {
        let comment = "c".repeat(127);
        let element = |n: u32| Element {
            key: Key::Address(IpAddr::from(u128::from(n).to_be_bytes())),
            timeout: Some(MINUTE),
            comment: Some(&comment),
        };
        for count in [0, 1, 10_000] {
            let mut transaction = Transaction::begin(1);
            transaction.add_all("ban6", (0..count).map(element));
            let (bytes, _) = transaction.end();
            let lists = messages(&bytes).filter(|message| message.kind == NEW_ELEMENTS);
            let keys = lists.flat_map(|list| items(list.attributes())).filter_map(found);
            let keys: Vec<_> = keys.filter_map(|found| found.address()).collect();
            let expected: Vec<_> =
                (0..count).map(|n| IpAddr::from(u128::from(n).to_be_bytes())).collect();
            assert!(keys == expected);
        }
    }

    #[test]
    fn the_layout_is_the_kernels() {
        let mut list = Vec::new();
        let key = Key::Address([192, 0, 2, 1].into());
        write_element(&mut list, &Element { key, timeout: None, comment: Some("x") });
        let value = [8_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
        let nest = [12_u16.to_ne_bytes(), 0x8001_u16.to_ne_bytes()].concat();
        let userdata = [8_u16.to_ne_bytes(), 6_u16.to_ne_bytes()].concat();
        let item = [24_u16.to_ne_bytes(), 0x8001_u16.to_ne_bytes()].concat();
        let key = [&nest[..], &value, &[192, 0, 2, 1]].concat();
        let expected = [&item[..], &key, &userdata, &[0, 2, b'x', 0]].concat();
        assert_eq!(list, expected);
    }
}
