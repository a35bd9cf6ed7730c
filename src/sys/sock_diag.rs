//! Asks the kernel for its sockets, and destroys connections (`NETLINK_SOCK_DIAG`).
//!
//! Both are for the network namespace of the thread that opened the socket. Listing needs no
//! privilege; destroying needs `CAP_NET_ADMIN` and a kernel with `CONFIG_INET_DIAG_DESTROY` (since 4.5).
//! Numbers and layouts are those of `linux/sock_diag.h`, `linux/inet_diag.h` and `linux/tcp.h`: what the
//! kernel counts with is in the machine's byte order, ports and addresses are in network order.
#![expect(clippy::disallowed_methods, reason = "an edge: it gives the kernel a limited time")]

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, send, socket_with};

use super::netlink::{aligned, number};
use crate::model::scope::Ports;
use crate::model::subject::Subject;

/// Sockets that are taken from one list; about 80 bytes each.
pub const MOST_SOCKETS: usize = 1 << 16;
/// The time that one list, or one round of destroying, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most that is received in one call, in bytes. Parts of lists have 32 KiB at most.
const PART: usize = 64 << 10;
/// Connections that are destroyed by one message to the kernel. The answers have to fit into the
/// socket's buffer: some hundred bytes each.
const BATCH: usize = 64;
/// The widest networks whose connections may be destroyed, in bits: a ban closes no more.
const WIDEST: (u8, u8) = (16, 32);

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;

const INET: u8 = 2;
const INET6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;

const LISTEN: u32 = 1 << 10;
/// The state of a UDP socket that is bound but not connected.
const UNCONNECTED: u32 = 1 << 7;
/// Every state that a connection has, but for `TIME_WAIT`, in which it is over.
const CONNECTED: u32 = 0x1fff & !(1 << 6) & !(1 << 7) & !LISTEN & !1;

/// An attribute that says which sockets are meant, and its operation for a remote address.
const BYTECODE: u16 = 1;
const REMOTE: u8 = 8;

/// The place of a socket in the kernel's messages, from their header on: ports, addresses, interface and
/// cookie, 48 bytes. A request for a socket has them as the kernel gave them.
const ID: usize = 4;
const ID_LENGTH: usize = 48;
/// `struct inet_diag_msg`: the least that is told of a socket.
const MESSAGE: usize = 72;
const UID: usize = 64;

/// The protocol that a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A bound UDP socket.
    Udp,
    /// A listening TCP socket.
    Tcp,
}

/// A socket that waits for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that it is bound to; `::` is mostly for IPv4 too.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The user that opened it, as this namespace of users numbers it.
    pub uid: u32,
}

/// The reason why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SockDiagError {
    /// This kernel cannot list sockets, or cannot destroy connections.
    #[error("this kernel cannot {0} (it lacks {1})")]
    Unsupported(&'static str, &'static str),
    /// It needs a capability.
    #[error("destroying connections needs CAP_NET_ADMIN")]
    NotPermitted,
    /// So wide a network is no host's.
    #[error("{0} is too wide a network to destroy its connections")]
    TooWide(IpNet),
    /// Anything else.
    #[error("asking the kernel for its sockets: {0}")]
    Io(#[from] io::Error),
}

/// The result for a host's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Connections that are gone by this.
    pub destroyed: usize,
    /// Whether there may be more of them: there were too many, or it took too long.
    pub unfinished: bool,
}

/// A socket to `sock_diag`.
#[derive(Debug)]
pub struct SockDiag {
    fd: OwnedFd,
    /// The number of the last request.
    number: u32,
    /// Whether the kernel said that it cannot destroy.
    unsupported: bool,
    part: Vec<u8>,
}

impl SockDiag {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// When there can be no such socket: the kernel has no `sock_diag`, or a sandbox forbids it.
    pub fn open() -> io::Result<Self> {
        Ok(Self { fd: open()?, number: 0, unsupported: false, part: vec![0; PART] })
    }

    /// Returns all UDP sockets that are bound and not connected, and all TCP sockets that listen, sorted and
    /// each once; [`MOST_SOCKETS`] of each kind and family at most.
    ///
    /// # Errors
    /// When the kernel cannot list sockets, or does not answer in 2 seconds.
    pub fn listening(&mut self) -> Result<Vec<Listener>, SockDiagError> {
        let mut found = Vec::new();
        for (protocol, code, state) in
            [(Protocol::Udp, UDP, UNCONNECTED), (Protocol::Tcp, TCP, LISTEN)]
        {
            for family in [INET, INET6] {
                let (sockets, _) = self.list(&request(family, code, state, &[]))?;
                found.extend(sockets.iter().filter(|socket| socket.local_port != 0).map(
                    |socket| {
                        let (address, port) = (socket.local, socket.local_port);
                        Listener { protocol, address, port, uid: socket.uid }
                    },
                ));
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether the kernel can destroy connections, asked with one that cannot be there.
    ///
    /// # Errors
    /// When it cannot, or does not permit it, or does not answer in 2 seconds.
    pub fn probe(&mut self) -> Result<(), SockDiagError> {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let (id, local_port) = ([0; ID_LENGTH], 0);
        let remote_port = 0;
        let none = Socket { id, local: nobody, local_port, remote: nobody, remote_port, uid: 0 };
        self.destroy_batch(INET, &[none]).map(drop)
    }

    /// Destroys all TCP connections with hosts, or with networks' hosts, or with one port of a host,
    /// whichever side opened them, that end at one of these ports here. Both ends learn of it, and what was not read yet of a connection's
    /// buffer still can be. IPv4-mapped addresses are IPv4's: of sockets that are for both families, too.
    ///
    /// A kernel that cannot do it is reported once, by the first call that meets it; later calls do
    /// nothing.
    ///
    /// # Errors
    /// When the kernel cannot do it or does not permit it, or does not answer in 2 seconds; and when a
    /// network is wider than /16 (IPv6: /32), after the others' connections are gone.
    pub fn destroy(&mut self, closed: &[(Subject, Ports)]) -> Result<Destroyed, SockDiagError> {
        let mut remotes: HashMap<IpNet, Vec<(Option<u16>, &Ports)>> = HashMap::new();
        let mut too_wide = None;
        for (subject, ports) in closed {
            let remote = canonical(subject.net()).trunc();
            let widest = if matches!(remote, IpNet::V4(_)) { WIDEST.0 } else { WIDEST.1 };
            if remote.prefix_len() < widest {
                too_wide = Some(SockDiagError::TooWide(remote));
            } else {
                remotes.entry(remote).or_default().push((subject.port(), ports));
            }
        }
        let mut result = Destroyed::default();
        if self.unsupported || remotes.is_empty() {
            return too_wide.map_or(Ok(result), Err);
        }
        // The kernel goes through all connections for each question: a single network, or flow, is chosen
        // by it.
        let choice = match remotes.iter().collect::<Vec<_>>().as_slice() {
            [(remote, closed)] => match closed.as_slice() {
                [(port, _)] => only(**remote, *port),
                _ => only(**remote, None),
            },
            _ => Vec::new(),
        };
        let lengths: BTreeSet<_> = remotes.keys().map(IpNet::prefix_len).collect();
        let is_closed = |socket: &Socket| {
            let host = socket.remote.to_canonical();
            let nets = lengths.iter().filter_map(|length| IpNet::new(host, *length).ok());
            nets.filter_map(|net| remotes.get(&net.trunc()))
                .flatten()
                .filter(|(port, _)| port.is_none_or(|port| port == socket.remote_port))
                .any(|(_, ports)| ports.contain(socket.local_port))
        };
        let ipv6_only = remotes.keys().all(|remote| matches!(remote, IpNet::V6(_)));
        for family in if ipv6_only { &[INET6][..] } else { &[INET, INET6] } {
            let (mut sockets, whole) = self.list(&request(*family, TCP, CONNECTED, &choice))?;
            result.unfinished |= !whole;
            sockets.retain(is_closed);
            let end = Instant::now() + PATIENCE;
            for batch in sockets.chunks(BATCH) {
                if Instant::now() >= end {
                    result.unfinished = true;
                    break;
                }
                result.destroyed += self.destroy_batch(*family, batch)?;
            }
        }
        too_wide.map_or(Ok(result), Err)
    }

    /// Destroys these, and counts those that were still there.
    fn destroy_batch(&mut self, family: u8, batch: &[Socket]) -> Result<usize, SockDiagError> {
        let mut bytes = Vec::new();
        let first = self.number.wrapping_add(1);
        for socket in batch {
            let mut body = header(family, TCP, CONNECTED);
            // With its cookie: if the connection is gone meanwhile, no other socket is meant, least of
            // all the listening one.
            body.extend(socket.id);
            self.number = self.number.wrapping_add(1);
            bytes.extend(message(DESTROY, REQUEST | ACKNOWLEDGE, self.number, &body));
        }
        send(&self.fd, &bytes, SendFlags::empty()).map_err(io::Error::from)?;
        let (mut answers, mut destroyed, mut failure) = (0, 0, None);
        let end = Instant::now() + PATIENCE;
        while answers < batch.len() {
            let length = self.receive(end)?;
            for reply in messages(self.part.get(..length).unwrap_or_default()) {
                let Reply::Status { number, errno } = reply else { continue };
                // Of another round that was given up.
                if number.wrapping_sub(first) as usize >= batch.len() {
                    continue;
                }
                answers += 1;
                match outcome(errno) {
                    Outcome::Destroyed => destroyed += 1,
                    Outcome::Gone => {}
                    Outcome::Failed(error) => failure = failure.or(Some(error)),
                }
            }
        }
        match failure {
            None => Ok(destroyed),
            Some(error) => {
                self.unsupported |= matches!(error, SockDiagError::Unsupported(..));
                Err(error)
            }
        }
    }

    /// Returns the sockets that a request asks for, and whether these are all.
    fn list(&mut self, body: &[u8]) -> Result<(Vec<Socket>, bool), SockDiagError> {
        self.number = self.number.wrapping_add(1);
        let asked = self.number;
        let bytes = message(BY_FAMILY, REQUEST | DUMP, asked, body);
        send(&self.fd, &bytes, SendFlags::empty()).map_err(io::Error::from)?;
        let mut found = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let length = self.receive(end)?;
            for reply in messages(self.part.get(..length).unwrap_or_default()) {
                match reply {
                    Reply::Socket { number, .. } | Reply::Status { number, .. }
                        if number != asked => {}
                    Reply::Socket { socket, .. } => found.push(socket),
                    Reply::Status { errno: 0, .. } => return Ok((found, true)),
                    Reply::Status { errno, .. } => return Err(refused(errno)),
                }
            }
            if found.len() >= MOST_SOCKETS {
                // The rest of the list goes with the socket that it was for.
                found.truncate(MOST_SOCKETS);
                self.fd = open()?;
                return Ok((found, false));
            }
        }
    }

    /// Receives into the buffer: how many bytes.
    fn receive(&mut self, end: Instant) -> io::Result<usize> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // An answer that comes late is no answer to what is asked next.
                self.fd = open()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            set_socket_timeout(&self.fd, Timeout::Recv, Some(left.max(Duration::from_millis(1))))?;
            match recv(&self.fd, self.part.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => return Ok(length),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let fd = socket_with(family, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    bind(&fd, &SocketAddrNetlink::new(0, 0))?;
    Ok(fd)
}

/// IPv4-mapped networks as IPv4's.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    let v4 = mapped.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok());
    v4.map_or(net, IpNet::V4)
}

/// Returns a request as far as the socket's ports: family, protocol, states.
fn header(family: u8, protocol: u8, states: u32) -> Vec<u8> {
    let mut bytes = vec![family, protocol, 0, 0];
    bytes.extend(states.to_ne_bytes());
    bytes
}

/// Returns a request for the sockets in these states.
fn request(family: u8, protocol: u8, states: u32, attributes: &[u8]) -> Vec<u8> {
    let mut bytes = header(family, protocol, states);
    bytes.extend([0; ID_LENGTH]);
    bytes.extend(attributes);
    bytes
}

/// Returns the attribute that asks for sockets with a remote address of this network, and with this remote
/// port if there is one: one operation, behind which a match ends the program, and a mismatch jumps past
/// its end.
fn only(remote: IpNet, port: Option<u16>) -> Vec<u8> {
    let (family, address) = match remote.network() {
        IpAddr::V4(address) => (INET, address.octets().to_vec()),
        IpAddr::V6(address) => (INET6, address.octets().to_vec()),
    };
    let length = 4 + 8 + address.len();
    let yes = u8::try_from(length).unwrap_or(u8::MAX);
    let no = u16::try_from(length + 4).unwrap_or(u16::MAX);
    let attribute = u16::try_from(4 + length).unwrap_or(u16::MAX);
    let mut bytes = [attribute.to_ne_bytes(), BYTECODE.to_ne_bytes()].concat();
    bytes.extend([REMOTE, yes]);
    bytes.extend(no.to_ne_bytes());
    // The condition: family, bits, port (-1: any).
    bytes.extend([family, remote.prefix_len(), 0, 0]);
    bytes.extend(port.map_or(-1, i32::from).to_ne_bytes());
    bytes.extend(address);
    bytes
}

fn message(kind: u16, flags: u16, number: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

/// A socket as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    id: [u8; ID_LENGTH],
    local: IpAddr,
    local_port: u16,
    remote: IpAddr,
    remote_port: u16,
    uid: u32,
}

/// The reply of the kernel to a request, by its number.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Socket {
        number: u32,
        socket: Socket,
    },
    /// The list is whole, or the request done (0), or refused (an `errno`).
    Status {
        number: u32,
        errno: i32,
    },
}

/// Returns the messages in what was received in one call; what is broken ends it.
fn messages(bytes: &[u8]) -> impl Iterator<Item = Reply> {
    super::netlink::messages(bytes).filter_map(reply)
}

fn reply(message: &[u8]) -> Option<Reply> {
    let asked = u32::from_ne_bytes(number(message, 8)?);
    match u16::from_ne_bytes(number(message, 4)?) {
        // An end of a list tells of an error as an error does, or of nothing at all.
        kind @ (ERROR | DONE) => {
            let errno = match number(message, HEADER) {
                Some(errno) => i32::from_ne_bytes(errno).saturating_neg(),
                None if kind == DONE => 0,
                None => return None,
            };
            Some(Reply::Status { number: asked, errno: errno.max(0) })
        }
        BY_FAMILY => Some(Reply::Socket { number: asked, socket: socket(message.get(HEADER..)?)? }),
        _ => None,
    }
}

fn socket(message: &[u8]) -> Option<Socket> {
    let message = message.get(..MESSAGE)?;
    let id: [u8; ID_LENGTH] = number(message, ID)?;
    let address = |at| {
        Some(match *message.first()? {
            INET => IpAddr::V4(Ipv4Addr::from(number::<4>(&id, at)?)),
            INET6 => IpAddr::V6(Ipv6Addr::from(number::<16>(&id, at)?)),
            _ => return None,
        })
    };
    Some(Socket {
        id,
        local: address(4)?,
        local_port: u16::from_be_bytes(number(&id, 0)?),
        remote: address(20)?,
        remote_port: u16::from_be_bytes(number(&id, 2)?),
        uid: u32::from_ne_bytes(number(message, UID)?),
    })
}

/// The meaning of the answer to a request to destroy.
enum Outcome {
    Destroyed,
    /// It was gone before.
    Gone,
    Failed(SockDiagError),
}

fn outcome(errno: i32) -> Outcome {
    if errno == 0 {
        return Outcome::Destroyed;
    }
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT | Errno::STALE => Outcome::Gone,
        Errno::PERM | Errno::ACCESS => Outcome::Failed(SockDiagError::NotPermitted),
        // ENOTSUP is the same number.
        Errno::OPNOTSUPP => Outcome::Failed(SockDiagError::Unsupported(
            "destroy connections",
            "CONFIG_INET_DIAG_DESTROY",
        )),
        other => Outcome::Failed(SockDiagError::Io(other.into())),
    }
}

/// Returns the reason why the kernel lists nothing. Without the module for a protocol there is no
/// handler for it.
fn refused(errno: i32) -> SockDiagError {
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT | Errno::OPNOTSUPP => {
            SockDiagError::Unsupported("list sockets", "CONFIG_INET_DIAG")
        }
        other => SockDiagError::Io(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(family: u8, local: &[u8], remote: &[u8]) -> Vec<u8> {
        let mut body = vec![family, 1, 0, 0];
        body.extend([5060_u16.to_be_bytes(), 40000_u16.to_be_bytes()].concat());
        for address in [local, remote] {
            body.extend(address);
            body.resize(aligned(body.len() + 16 - address.len()), 0);
        }
        body.extend([0, 0, 0, 0, 7, 7, 7, 7, 8, 8, 8, 8]);
        body.extend([[0; 4], [0; 4], [0; 4], 1000_u32.to_ne_bytes(), [0; 4]].concat());
        assert_eq!(body.len(), MESSAGE);
        // An attribute behind it.
        body.extend([5, 0, 11, 0, 1, 0, 0, 0]);
        message(BY_FAMILY, 2, 9, &body)
    }

    fn status(kind: u16, errno: i32) -> Vec<u8> {
        message(kind, 0, 9, &(-errno).to_ne_bytes())
    }

    #[test]
    fn sockets_and_the_end_of_a_list_are_read() {
        let v6 = [[0x20, 1, 0xd, 0xb8], [0; 4], [0; 4], [0, 0, 0, 1]].concat();
        let bytes = [
            told(INET, &[192, 0, 2, 1], &[198, 51, 100, 7]),
            told(INET6, &v6, &v6),
            status(DONE, 0),
        ]
        .concat();
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 3);
        let Reply::Socket { number: 9, socket } = &all[0] else { panic!("{all:?}") };
        assert_eq!((socket.local.to_string().as_str(), socket.local_port), ("192.0.2.1", 5060));
        assert_eq!((socket.remote.to_string().as_str(), socket.uid), ("198.51.100.7", 1000));
        assert_eq!(socket.remote_port, 40000);
        assert_eq!(socket.id[40..], [7, 7, 7, 7, 8, 8, 8, 8], "the cookie");
        let Reply::Socket { socket, .. } = &all[1] else { panic!("{all:?}") };
        assert_eq!(socket.remote.to_string(), "2001:db8::1");
        assert_eq!(all[2], Reply::Status { number: 9, errno: 0 });
        // An end without a number, and a list that ends in an error.
        assert_eq!(
            messages(&message(DONE, 0, 9, &[])).collect::<Vec<_>>(),
            [Reply::Status { number: 9, errno: 0 }]
        );
        assert_eq!(
            messages(&status(DONE, 2)).collect::<Vec<_>>(),
            [Reply::Status { number: 9, errno: 2 }]
        );
    }

    #[test]
    fn a_request_has_the_form_that_the_kernel_reads() {
        let bytes = request(INET6, TCP, CONNECTED, &only("192.0.2.7/32".parse().unwrap(), None));
        assert_eq!(bytes[..4], [INET6, TCP, 0, 0]);
        assert_eq!(bytes[4..8], CONNECTED.to_ne_bytes());
        assert_eq!(CONNECTED, 0b1_1011_0011_1110);
        let attributes: Vec<_> = crate::sys::netlink::attributes(&bytes[56..]).collect();
        let [(BYTECODE, program)] = attributes[..] else { panic!("{attributes:?}") };
        assert_eq!(program.len(), 16);
        assert_eq!(program[..2], [REMOTE, 16]);
        assert_eq!(program[2..4], 20_u16.to_ne_bytes());
        assert_eq!(program[4..6], [INET, 32]);
        assert_eq!(program[8..12], [0xff; 4]);
        assert_eq!(program[12..], [192, 0, 2, 7]);
        assert_eq!(only("2001:db8::/64".parse().unwrap(), None).len(), 4 + 28);
        let one = only("192.0.2.7/32".parse().unwrap(), Some(40_000));
        assert_eq!((one.len(), &one[12..16]), (20, &40_000_i32.to_ne_bytes()[..]));
    }

    #[test]
    fn what_the_kernel_answers_has_a_meaning() {
        let errno = |errno: Errno| outcome(errno.raw_os_error());
        assert!(matches!(outcome(0), Outcome::Destroyed));
        for gone in [Errno::NOENT, Errno::STALE] {
            assert!(matches!(errno(gone), Outcome::Gone));
        }
        for unsupported in [Errno::OPNOTSUPP, Errno::NOTSUP] {
            let Outcome::Failed(error) = errno(unsupported) else { panic!() };
            assert!(matches!(error, SockDiagError::Unsupported(..)));
            assert!(error.to_string().contains("CONFIG_INET_DIAG_DESTROY"));
        }
        assert!(matches!(errno(Errno::PERM), Outcome::Failed(SockDiagError::NotPermitted)));
        assert!(matches!(errno(Errno::INVAL), Outcome::Failed(SockDiagError::Io(_))));
    }

    #[test]
    fn mapped_networks_are_those_of_ipv4() {
        for (text, expected) in [
            ("::ffff:192.0.2.7/128", "192.0.2.7/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:0:0/95", "::ffff:0:0/95"),
            ("2001:db8::7/128", "2001:db8::7/128"),
            ("192.0.2.7/32", "192.0.2.7/32"),
        ] {
            assert_eq!(canonical(text.parse().unwrap()), expected.parse().unwrap(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            place in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
            let mut bytes = told(INET, &[192, 0, 2, 1], &[198, 51, 100, 7]);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER + 1);
        }
    }
}
