//! Reads a set of the kernel by netlink, in microseconds: what is measured must not wait for `nft`.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NFTABLES: u16 = 10;
const DELETE_TABLE: u16 = NFTABLES << 8 | 0x02;
const NEW_ELEMENTS: u16 = NFTABLES << 8 | 0x0c;
const GET_ELEMENTS: u16 = NFTABLES << 8 | 0x0d;
const DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const INET: u8 = 1;

/// A netlink socket in the network namespace of the thread that opened it.
pub struct Reader {
    fd: OwnedFd,
    part: Vec<u8>,
}

impl Reader {
    pub fn open() -> io::Result<Self> {
        let fd = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        bind(&fd, &SocketAddrNetlink::new(0, 0))?;
        let _ = set_socket_recv_buffer_size_force(&fd, 32 << 20);
        Ok(Self { fd, part: vec![0; 64 << 10] })
    }

    /// The keys of a set, each with how long it stays; nothing if there is no such set.
    pub fn elements(&mut self, table: &str, set: &str) -> HashMap<Vec<u8>, Option<Duration>> {
        let mut found = HashMap::new();
        let mut question = Vec::new();
        message(&mut question, GET_ELEMENTS, REQUEST | DUMP, INET, 0, |message| {
            attribute(message, 1, table);
            attribute(message, 2, set);
        });
        send(&self.fd, &question, SendFlags::empty()).unwrap();
        loop {
            let (length, _) = recv(&self.fd, self.part.as_mut_slice(), RecvFlags::empty()).unwrap();
            let mut rest = &self.part[..length];
            while rest.len() >= 16 {
                let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
                match u16::from_ne_bytes(rest[4..6].try_into().unwrap()) {
                    NEW_ELEMENTS => take(&rest[20..length], &mut found),
                    // An error: there is no such set.
                    DONE | 2 => return found,
                    _ => {}
                }
                rest = &rest[((length + 3) & !3).min(rest.len())..];
            }
        }
    }

    /// Whether a set has this key. Faster than reading all of a set.
    pub fn has(&mut self, table: &str, set: &str, key: Ipv4Addr) -> bool {
        let mut question = Vec::new();
        message(&mut question, GET_ELEMENTS, REQUEST, INET, 0, |message| {
            attribute(message, 1, table);
            attribute(message, 2, set);
            // A list of one item, in which is a key, in which is a value: 4 bytes each, and the address.
            for (kind, length) in [(3_u16, 20_u16), (1, 16), (1, 12), (1, 8)] {
                message.extend(length.to_ne_bytes());
                message.extend(kind.to_ne_bytes());
            }
            message.extend(key.octets());
        });
        send(&self.fd, &question, SendFlags::empty()).unwrap();
        recv(&self.fd, self.part.as_mut_slice(), RecvFlags::empty()).unwrap();
        u16::from_ne_bytes(self.part[4..6].try_into().unwrap()) == NEW_ELEMENTS
    }

    /// Removes all tables of all families in one transaction: what `nft flush ruleset` does.
    pub fn flush_ruleset(&mut self) {
        let mut bytes = Vec::new();
        message(&mut bytes, BATCH_BEGIN, REQUEST, 0, NFTABLES, |_| {});
        message(&mut bytes, DELETE_TABLE, REQUEST, 0, 0, |_| {});
        message(&mut bytes, BATCH_END, REQUEST, 0, NFTABLES, |_| {});
        send(&self.fd, &bytes, SendFlags::empty()).unwrap();
    }
}

fn take(list: &[u8], found: &mut HashMap<Vec<u8>, Option<Duration>>) {
    let items = attributes(list).filter(|(kind, _)| *kind == 3).flat_map(|(_, l)| attributes(l));
    for (_, item) in items {
        let (mut key, mut left) = (Vec::new(), None);
        for (kind, value) in attributes(item) {
            match kind {
                1 => key = attributes(value).flat_map(|(_, key)| key.to_vec()).collect(),
                5 => {
                    let millis = u64::from_be_bytes(value.try_into().unwrap());
                    left = Some(Duration::from_millis(millis));
                }
                _ => {}
            }
        }
        found.insert(key, left);
    }
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        if rest.len() < 4 {
            return None;
        }
        let length = usize::from(u16::from_ne_bytes(rest[..2].try_into().unwrap()));
        let kind = u16::from_ne_bytes(rest[2..4].try_into().unwrap()) & 0x3fff;
        let value = &rest[4..length];
        rest = &rest[((length + 3) & !3).min(rest.len())..];
        Some((kind, value))
    })
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, text: &str) {
    bytes.extend(u16::try_from(4 + text.len() + 1).unwrap().to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes.resize((bytes.len() + 3) & !3, 0);
}

fn message(
    bytes: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    family: u8,
    resource: u16,
    content: impl FnOnce(&mut Vec<u8>),
) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    content(bytes);
    let length = u32::try_from(bytes.len() - start).unwrap();
    bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}
