//! The kernel's sockets: which wait for anybody, and what becomes of a banned host's connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use asterguard::model::scope::Ports;
use asterguard::model::subject::Subject;
use asterguard::sys::sock_diag::{Destroyed, Listener, Protocol, SockDiag, SockDiagError};
use ipnet::IpNet;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::kit::{
    self, EVE, EVE_V6, EVE_V6_TOO, MALLORY, MALLORY_V6, Netns, PBX_V4, PBX_V6, Peer, SIP, WEB,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection of a host to the PBX, by both of its ends.
struct Connection {
    host: TcpStream,
    pbx: TcpStream,
}

impl Connection {
    /// Whether what the host sends arrives.
    fn works(&mut self) -> bool {
        let mut byte = [0];
        self.host.write_all(b"a").is_ok()
            && self.pbx.read(&mut byte).is_ok_and(|read| read == 1)
            && self.pbx.write_all(b"b").is_ok()
            && self.host.read(&mut byte).is_ok_and(|read| read == 1)
    }

    /// That both ends know that it is over, and that the PBX reads nothing more of it.
    fn assert_gone(&mut self) {
        let mut bytes = [0; 16];
        let host = self.host.read(&mut bytes).unwrap_err().kind();
        assert_eq!(host, ErrorKind::ConnectionReset);
        assert!(self.host.write_all(b"one more password").is_err());
        let pbx = self.pbx.read(&mut bytes);
        match pbx {
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionAborted),
            Ok(read) => assert_eq!(read, 0),
        }
        assert_eq!(self.pbx.read(&mut bytes).unwrap(), 0);
    }
}

/// A PBX with a listener for IPv4 only and one for both families, and a namespace with many hosts.
struct Pbx {
    hosts: Netns,
    v4: TcpListener,
    both: TcpListener,
    diag: SockDiag,
    /// Last, so that all sockets in it are closed before.
    netns: Netns,
}

impl Pbx {
    fn new() -> Self {
        let hosts = [EVE, MALLORY, EVE_V6, EVE_V6_TOO, MALLORY_V6];
        let (netns, hosts) = kit::wired(&[PBX_V4, PBX_V6], &hosts);
        netns.enter();
        let v4 = TcpListener::bind(("0.0.0.0", SIP)).unwrap();
        let both = TcpListener::bind(("::", WEB)).unwrap();
        Self { hosts, v4, both, diag: SockDiag::open().unwrap(), netns }
    }

    fn connect(&self, from: &str, port: u16) -> Connection {
        let from: IpAddr = from.parse().unwrap();
        let to: IpAddr = if from.is_ipv4() { PBX_V4 } else { PBX_V6 }.parse().unwrap();
        // The namespace is that of the thread that opens the socket.
        let host = thread::scope(|scope| {
            let opened = scope.spawn(|| {
                self.hosts.enter();
                let family =
                    if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
                let fd = socket(family, SocketType::STREAM, None).unwrap();
                bind(&fd, &SocketAddr::new(from, 0)).unwrap();
                connect(&fd, &SocketAddr::new(to, port)).unwrap();
                TcpStream::from(fd)
            });
            opened.join().unwrap()
        });
        let listener = if port == SIP { &self.v4 } else { &self.both };
        let (pbx, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_canonical(), from);
        for end in [&host, &pbx] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let mut connection = Connection { host, pbx };
        assert!(connection.works(), "{from}");
        connection
    }
}

fn net(text: &str) -> Subject {
    Subject::from(text.parse::<IpNet>().unwrap())
}

fn all(destroyed: usize) -> Destroyed {
    Destroyed { destroyed, unfinished: false }
}

#[test]
fn connections_of_one_host_are_destroyed() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let mut eve = [pbx.connect(EVE, SIP), pbx.connect(EVE, WEB)];
    let mut others =
        [pbx.connect(MALLORY, SIP), pbx.connect(MALLORY, WEB), pbx.connect(EVE_V6, WEB)];
    // To the listener for both families, it is an IPv6 connection with mapped addresses.
    assert!(matches!(eve[1].pbx.peer_addr().unwrap(), SocketAddr::V6(_)));
    assert_eq!(pbx.diag.destroy(&[(net(&format!("{EVE}/32")), Ports::All)]).unwrap(), all(2));
    eve.iter_mut().for_each(Connection::assert_gone);
    assert!(others.iter_mut().all(Connection::works));
    assert_eq!(pbx.diag.destroy(&[(net(&format!("{EVE}/32")), Ports::All)]).unwrap(), all(0));
    // The listeners are there still: for the host, too, as far as this is concerned.
    let mut again = pbx.connect(EVE, WEB);
    assert_eq!(
        pbx.diag.destroy(&[(net(&format!("::ffff:{EVE}/128")), Ports::All)]).unwrap(),
        all(1)
    );
    again.assert_gone();
    assert!(others.iter_mut().all(Connection::works));
}

#[test]
fn ipv6_connections_are_destroyed_by_host_or_network() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let [mut eve, mut near, mut far, mut v4] =
        [EVE_V6, EVE_V6_TOO, MALLORY_V6, EVE].map(|host| pbx.connect(host, WEB));
    assert_eq!(pbx.diag.destroy(&[(net(&format!("{EVE_V6}/128")), Ports::All)]).unwrap(), all(1));
    eve.assert_gone();
    assert!(near.works() && far.works() && v4.works());
    assert_eq!(pbx.diag.destroy(&[(net(&format!("{EVE_V6}/64")), Ports::All)]).unwrap(), all(1));
    near.assert_gone();
    assert!(far.works() && v4.works());
}

#[test]
fn connections_of_one_port_of_a_host_are_destroyed() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    // The second listener is for both families: to it, IPv4 addresses are mapped ones.
    for (host, port) in [(EVE, SIP), (EVE, WEB), (EVE_V6, WEB)] {
        let [mut one, mut two, mut three] = [(); 3].map(|()| pbx.connect(host, port));
        let flow = |connection: &Connection| {
            let own = connection.host.local_addr().unwrap();
            Subject::flow(own.ip(), own.port()).unwrap()
        };
        // The kernel is asked for the one, and for all where there are several.
        assert_eq!(pbx.diag.destroy(&[(flow(&one), Ports::All)]).unwrap(), all(1));
        one.assert_gone();
        assert!(two.works() && three.works());
        let other_port = Ports::Ranges(vec![(port + 1, u16::MAX)]);
        assert_eq!(pbx.diag.destroy(&[(flow(&two), other_port)]).unwrap(), all(0));
        let several = [(flow(&two), Ports::All), (net(&format!("{MALLORY}/32")), Ports::All)];
        assert_eq!(pbx.diag.destroy(&several).unwrap(), all(1));
        two.assert_gone();
        assert!(three.works());
    }
}

#[test]
fn only_connections_to_the_given_ports_are_destroyed() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let (mut sip, mut web) = (pbx.connect(EVE, SIP), pbx.connect(EVE, WEB));
    let eve = net(&format!("{EVE}/32"));
    assert_eq!(pbx.diag.destroy(&[(eve, Ports::Ranges(vec![(5061, 5062)]))]).unwrap(), all(0));
    assert_eq!(pbx.diag.destroy(&[(eve, Ports::Ranges(vec![(SIP, 5061)]))]).unwrap(), all(1));
    sip.assert_gone();
    assert!(web.works());
}

#[test]
fn connections_of_many_hosts_are_destroyed_at_once() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let [mut eve, mut mallory, mut near, mut far] =
        [(EVE, SIP), (MALLORY, WEB), (EVE_V6_TOO, WEB), (MALLORY_V6, WEB)]
            .map(|(host, port)| pbx.connect(host, port));
    let sip = Ports::Ranges(vec![(SIP, SIP)]);
    let closed = [
        (net(&format!("{EVE}/32")), sip.clone()),
        // Not of this port.
        (net(&format!("{MALLORY}/32")), sip),
        // One that is too wide does not hold up the others.
        (net("::/0"), Ports::All),
        (net(&format!("{EVE_V6}/64")), Ports::All),
    ];
    let error = pbx.diag.destroy(&closed).unwrap_err();
    assert!(matches!(error, SockDiagError::TooWide(_)), "{error}");
    eve.assert_gone();
    near.assert_gone();
    assert!(mallory.works() && far.works());
}

#[test]
fn many_connections_are_destroyed_at_once() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let mut eve: Vec<_> = (0..200).map(|n| pbx.connect(EVE, [SIP, WEB][n % 2])).collect();
    let mut other = pbx.connect(MALLORY, SIP);
    assert_eq!(pbx.diag.destroy(&[(net(&format!("{EVE}/32")), Ports::All)]).unwrap(), all(200));
    eve.iter_mut().for_each(Connection::assert_gone);
    assert!(other.works());
}

#[test]
fn wide_networks_keep_their_connections() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let mut eve = pbx.connect(EVE, SIP);
    for wide in ["0.0.0.0/0", "192.0.0.0/15", "::/0", "::ffff:0:0/96", "2001:d00::/31"] {
        let error = pbx.diag.destroy(&[(net(wide), Ports::All)]).unwrap_err();
        assert!(matches!(error, SockDiagError::TooWide(_)), "{error}");
    }
    assert!(eve.works());
}

#[test]
fn listening_sockets_are_listed_with_their_users() {
    if !kit::usable() {
        return;
    }
    let mut pbx = Pbx::new();
    let _udp = UdpSocket::bind((PBX_V4, SIP)).unwrap();
    let _udp_v6 = UdpSocket::bind((PBX_V6, 5061)).unwrap();
    let connected = UdpSocket::bind((PBX_V4, 5062)).unwrap();
    connected.connect((EVE, 5060)).unwrap();
    let _connection = pbx.connect(EVE, SIP);
    let script = "import os, socket, sys\n\
                  os.setuid(65534)\n\
                  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  s.bind(('0.0.0.0', 5160))\n\
                  print('ready', flush=True)\n\
                  sys.stdin.read()";
    let _asterisk = Peer::run(&pbx.netns, script, &[]);
    let listener = |protocol, address: &str, port, uid| {
        let address = address.parse().unwrap();
        Listener { protocol, address, port, uid }
    };
    let expected = [
        listener(Protocol::Udp, "0.0.0.0", 5160, 65534),
        listener(Protocol::Udp, PBX_V4, SIP, 0),
        listener(Protocol::Udp, PBX_V6, 5061, 0),
        listener(Protocol::Tcp, "0.0.0.0", SIP, 0),
        listener(Protocol::Tcp, "::", WEB, 0),
    ];
    assert_eq!(pbx.diag.listening().unwrap(), expected);
}

#[test]
fn listing_needs_no_privilege_and_destroying_does() {
    if !kit::usable() {
        return;
    }
    let pbx = Pbx::new();
    let mut eve = pbx.connect(EVE, SIP);
    let mut sets = capabilities(None).unwrap();
    sets.effective = CapabilitySet::empty();
    // It holds for this thread, and the namespace is entered already.
    set_capabilities(None, sets).unwrap();
    let mut diag = SockDiag::open().unwrap();
    assert_eq!(diag.listening().unwrap().len(), 2);
    let error = diag.destroy(&[(net(&format!("{EVE}/32")), Ports::All)]).unwrap_err();
    assert!(matches!(error, SockDiagError::NotPermitted), "{error}");
    assert!(eve.works());
    // The namespaces are deleted with it.
    sets.effective = sets.permitted;
    set_capabilities(None, sets).unwrap();
}
