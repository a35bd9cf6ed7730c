//! This machine's addresses and gateways, as the kernel tells them by rtnetlink(7).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily as Family, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send,
    socket_with,
};
use tracing::warn;

/// Addresses, and gateways, at most.
const MOST: usize = 1024;
/// The number of bytes that the kernel puts into one datagram of a dump (`NLMSG_GOODSIZE` and more).
const DATAGRAM: usize = 64 << 10;
/// The least time between two looks, however often something changes.
const REST: Duration = Duration::from_millis(100);
/// `RTMGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE` of linux/rtnetlink.h.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// `RTM_NEWROUTE` and `RTM_DELROUTE`.
const ROUTES: [u16; 2] = [24, 25];

/// The addresses of this machine, and of its gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its addresses, with the lengths of their networks.
    pub own: Vec<IpNet>,
    /// The next hops of its default routes.
    pub gateways: Vec<IpAddr>,
}

impl Network {
    /// The IPv6 networks that it has neighbours in.
    pub fn on_link(&self) -> Vec<Ipv6Net> {
        let nets = self.own.iter().filter_map(|own| match own {
            IpNet::V6(net) if net.prefix_len() < 128 && !net.addr().is_unicast_link_local() => {
                Some(net.trunc())
            }
            _ => None,
        });
        nets.collect()
    }

    fn finished(mut self) -> Self {
        self.own.sort_unstable();
        self.own.dedup();
        self.own.truncate(MOST);
        self.gateways.sort_unstable();
        self.gateways.dedup();
        self.gateways.truncate(MOST);
        self
    }
}

/// Asks the kernel once.
pub fn current() -> io::Result<Network> {
    let socket = socket(0)?;
    let mut network = Network::default();
    let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    dump(&socket, addresses, |message| {
        if let RouteNetlinkMessage::NewAddress(message) = message {
            network.own.extend(own(&message));
        }
    })?;
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut routes = RouteMessage::default();
        routes.header.address_family = family;
        dump(&socket, RouteNetlinkMessage::GetRoute(routes), |message| {
            if let RouteNetlinkMessage::NewRoute(message) = message {
                if network.gateways.len() < MOST {
                    network.gateways.extend(gateways(&message));
                }
            }
        })?;
    }
    Ok(network.finished())
}

/// Asks the kernel, and starts a thread that calls `tell` with what changes, until `tell` says that
/// nobody listens any more.
pub fn watch(tell: impl Fn(Network) -> bool + Send + 'static) -> io::Result<Network> {
    // Changes between the two are in the queue.
    let socket = socket(GROUPS)?;
    let first = current()?;
    let mut last = first.clone();
    let run = move || {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            if !wait(&socket, &mut buffer) {
                continue;
            }
            match current() {
                Ok(now) if now == last => {}
                Ok(now) => {
                    last = now.clone();
                    if !tell(now) {
                        return;
                    }
                }
                Err(error) => warn!("cannot ask for addresses and routes: {error}"),
            }
            thread::sleep(REST);
        }
    };
    thread::Builder::new().name("network".into()).spawn(run)?;
    Ok(first)
}

fn socket(groups: u32) -> io::Result<OwnedFd> {
    // No protocol is protocol 0, which is NETLINK_ROUTE.
    let socket = socket_with(Family::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Waits for a notification, takes all that are there, and says whether they may matter. That some
/// were lost, because there were too many, always does.
fn wait(socket: &OwnedFd, buffer: &mut [u8]) -> bool {
    let mut matters = false;
    let mut flags = RecvFlags::empty();
    loop {
        match recv(socket, &mut *buffer, flags) {
            Ok((read, _)) => matters |= may_matter(buffer.get(..read).unwrap_or_default()),
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => return matters,
            Err(Errno::NOBUFS) => matters = true,
            Err(_) => return true,
        }
        flags = RecvFlags::DONTWAIT;
    }
}

/// All news do, except of routes that are no default routes: a router may have a million.
fn may_matter(datagram: &[u8]) -> bool {
    let mut rest = datagram;
    while let Some((header, payload)) = split(rest) {
        // The second byte of a `struct rtmsg` is the length of the destination.
        if !ROUTES.contains(&header.message_type) || payload.get(1).is_none_or(|bits| *bits == 0) {
            return true;
        }
        rest = rest.get(aligned(header.length)..).unwrap_or_default();
    }
    false
}

/// The header and payload of the first message.
fn split(datagram: &[u8]) -> Option<(NetlinkHeader, &[u8])> {
    const HEADER: usize = 16;
    let word = |at: usize| Some(u32::from_ne_bytes(*datagram.get(at..)?.first_chunk()?));
    let length = word(0)?;
    let message_type = u16::from_ne_bytes(*datagram.get(4..)?.first_chunk()?);
    let payload = datagram.get(HEADER..usize::try_from(length).ok()?)?;
    let mut header = NetlinkHeader::default();
    (header.length, header.message_type) = (length, message_type);
    Some((header, payload))
}

/// `NLMSG_ALIGN`
fn aligned(length: u32) -> usize {
    usize::try_from(length.next_multiple_of(4)).unwrap_or(usize::MAX)
}

/// Asks for a whole table.
fn dump(
    socket: &OwnedFd,
    question: RouteNetlinkMessage,
    mut take: impl FnMut(RouteNetlinkMessage),
) -> io::Result<()> {
    let mut message = NetlinkMessage::from(question);
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut buffer = vec![0; DATAGRAM];
    let length = message.buffer_len();
    message.serialize(buffer.get_mut(..length).unwrap_or_default());
    send(socket, buffer.get(..length).unwrap_or_default(), SendFlags::empty())?;
    loop {
        let (read, _) = recv(socket, &mut *buffer, RecvFlags::empty())?;
        let mut rest = buffer.get(..read).unwrap_or_default();
        while let Some((header, _)) = split(rest) {
            match NetlinkMessage::deserialize(rest).map(|message| message.payload) {
                Ok(NetlinkPayload::InnerMessage(message)) => take(message),
                Ok(NetlinkPayload::Done(_)) => return Ok(()),
                Ok(NetlinkPayload::Error(error)) => return Err(error.to_io()),
                // Something newer than we know, about one route: the others count.
                Ok(_) | Err(_) => {}
            }
            rest = rest.get(aligned(header.length)..).unwrap_or_default();
        }
    }
}

/// The address itself; of a point-to-point link, `Address` is the other end.
fn own(message: &AddressMessage) -> Option<IpNet> {
    let attribute = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| {
        message.attributes.iter().find_map(wanted)
    };
    let local = attribute(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        attribute(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    IpNet::new(address?, message.header.prefix_len).ok()
}

/// The next hops, if this is a default route.
fn gateways(message: &RouteMessage) -> Vec<IpAddr> {
    if message.header.destination_prefix_length != 0 || message.header.kind != RouteType::Unicast {
        return Vec::new();
    }
    hops(&message.attributes)
}

fn hops(attributes: &[RouteAttribute]) -> Vec<IpAddr> {
    attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(v4))
            | RouteAttribute::Via(RouteVia::Inet(v4)) => vec![IpAddr::V4(*v4)],
            RouteAttribute::Gateway(RouteAddress::Inet6(v6))
            | RouteAttribute::Via(RouteVia::Inet6(v6)) => vec![IpAddr::V6(*v6)],
            RouteAttribute::MultiPath(hops_of) => hops_of
                .iter()
                .flat_map(|RouteNextHop { attributes, .. }| hops(attributes))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernel_answers() {
        let network = current().unwrap();
        // Wherever tests run, there is a loopback device, and it is up or has no address.
        assert!(network.own.iter().all(|own| own.max_prefix_len() >= own.prefix_len()));
    }

    fn message(message_type: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(message_type.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(aligned(length), 0);
        bytes
    }

    #[test]
    fn only_default_routes_matter() {
        let (host, default) = (message(24, &[2, 32, 0]), message(25, &[2, 0, 0]));
        let address = message(20, &[2, 24, 0]);
        assert!(!may_matter(&host) && !may_matter(&[]));
        assert!(may_matter(&default) && may_matter(&address));
        assert!(may_matter(&[host.clone(), default].concat()));
        assert!(!may_matter(&[host.clone(), host].concat()));
    }

    proptest! {
        #[test]
        fn any_datagram_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..80), length in 0_u32..40) {
            may_matter(&bytes);
            may_matter(&[&length.to_ne_bytes(), &[24, 0][..], &bytes].concat());
        }
    }
}
