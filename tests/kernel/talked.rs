//! Who our PBX talks to at its encrypted ports: recorded by the kernel, and read one by one.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use asterguard::config::SipMonitor;
use asterguard::enforce::helper::{Channel, Request};
use asterguard::enforce::{BanSink, CounterSocket, Drift, NetlinkSink, WireRules};
use asterguard::model::subject::Subject;
use asterguard::table::structure::Structure;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::kit::{self, EVE, EVE_V6, MALLORY, Netns, PBX_V4, PBX_V6, SIP};
use crate::{helper, sink};

const TLS: u16 = SIP + 1;
/// The port of a host's.
const OWN: u16 = 40_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// The wire, with these encrypted ports. MALLORY is always let pass.
fn structure(wrapped: &[u16]) -> Structure {
    let mut config = kit::config(Vec::new());
    config.wire = SipMonitor::default();
    config.asterisk.wrapped = wrapped.iter().copied().collect();
    config.ignoreip.push(format!("{MALLORY}/32").parse().unwrap());
    Structure::new(&config)
}

/// A sink for `netns` with all of that loaded.
fn loaded(netns: &Netns, structure: &Structure) -> NetlinkSink {
    let mut sink = sink(netns, structure);
    assert_eq!(sink.load_wire(structure).unwrap(), WireRules::Whole);
    sink
}

fn flow(host: &str, port: u16) -> Subject {
    Subject::flow(host.parse().unwrap(), port).unwrap()
}

/// A PBX and hosts on one wire, and listeners at two ports.
struct Wire {
    listeners: [TcpListener; 2],
    hosts: Netns,
    pbx: Netns,
}

impl Wire {
    fn new() -> Self {
        let (pbx, hosts) = kit::wired(&[PBX_V4, PBX_V6], &[EVE, MALLORY, EVE_V6]);
        pbx.enter();
        let listeners = [SIP, TLS].map(|port| TcpListener::bind(("::", port)).unwrap());
        Self { listeners, hosts, pbx }
    }

    /// Connects a host to one of the two ports: the host's end, and the PBX's.
    fn connect(&self, host: &str, own: u16, port: u16) -> [TcpStream; 2] {
        self.hosts.enter();
        let from = SocketAddr::new(host.parse().unwrap(), own);
        let (family, to) = if from.is_ipv4() {
            (AddressFamily::INET, PBX_V4)
        } else {
            (AddressFamily::INET6, PBX_V6)
        };
        let socket = socket(family, SocketType::STREAM, None).unwrap();
        bind(&socket, &from).unwrap();
        connect(&socket, &SocketAddr::new(to.parse::<IpAddr>().unwrap(), port)).unwrap();
        let ends = [socket.into(), self.listeners[usize::from(port == TLS)].accept().unwrap().0];
        for end in &ends {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
            end.set_nodelay(true).unwrap();
        }
        self.pbx.enter();
        ends
    }
}

/// One segment from one end to the other.
fn send(from: &mut TcpStream, to: &mut TcpStream) {
    from.write_all(b"\x17\x03\x03").unwrap();
    to.read_exact(&mut [0; 3]).unwrap();
}

#[test]
fn who_is_answered_at_an_encrypted_port_is_recorded_for_five_seconds() {
    if !kit::usable() {
        return;
    }
    let wire = Wire::new();
    let _sink = loaded(&wire.pbx, &structure(&[TLS]));
    let mut counters = CounterSocket::open().unwrap();
    for host in [EVE, EVE_V6] {
        let [mut far, mut near] = wire.connect(host, OWN, TLS);
        let [mut far_clear, mut near_clear] = wire.connect(host, OWN + 1, SIP);
        // A connection alone is nothing that was said, nor is what is acknowledged.
        send(&mut far, &mut near);
        assert_eq!(counters.talked(flow(host, OWN)).unwrap(), None);
        let mut before = 0;
        for _ in 0..5 {
            send(&mut near, &mut far);
            send(&mut near_clear, &mut far_clear);
            let count = counters.talked(flow(host, OWN)).unwrap().unwrap();
            assert!(count > before, "{count} after {before}");
            before = count;
        }
        assert!(before >= 5);
        assert_eq!(counters.talked(flow(host, OWN + 1)).unwrap(), None, "it is in clear");
        assert_eq!(counters.talked(flow(host, OWN + 2)).unwrap(), None);
        assert_eq!(counters.talked(flow(host, OWN).host()).unwrap(), None, "a host has no port");
        let begin = Instant::now();
        kit::until("it is forgotten, whatever the host sends", || {
            send(&mut far, &mut near);
            counters.talked(flow(host, OWN)).unwrap().is_none()
        });
        eprintln!("forgotten after {:?}", begin.elapsed());
        send(&mut near, &mut far);
        let count = counters.talked(flow(host, OWN)).unwrap().unwrap();
        assert!(count < before, "it begins anew: {count}");
    }
    // Whoever is never banned is not recorded.
    let [mut far, mut near] = wire.connect(MALLORY, OWN, TLS);
    send(&mut near, &mut far);
    assert_eq!(counters.talked(flow(MALLORY, OWN)).unwrap(), None);
}

#[test]
fn the_ports_follow_asterisk() {
    if !kit::usable() {
        return;
    }
    let wire = Wire::new();
    let mut sink = loaded(&wire.pbx, &structure(&[TLS]));
    let mut counters = CounterSocket::open().unwrap();
    let [mut far, mut near] = wire.connect(EVE, OWN, SIP);
    let mut talked = |counters: &mut CounterSocket| {
        send(&mut near, &mut far);
        counters.talked(flow(EVE, OWN)).unwrap()
    };
    assert_eq!(talked(&mut counters), None);
    let other = structure(&[SIP, 8089]);
    sink.load(&other).unwrap();
    sink.load_wire(&other).unwrap();
    assert!(talked(&mut counters).is_some());
    assert_eq!(sink.inspect().unwrap(), []);
    let content = vec![Drift::Content("talked_ports".to_owned())];
    wire.pbx.exec("nft flush set inet asterguard talked_ports");
    assert_eq!(sink.inspect().unwrap(), content);
    sink.repair(&other).unwrap();
    assert_eq!(sink.inspect().unwrap(), []);
    let ports = wire.pbx.exec("nft list set inet asterguard talked_ports");
    assert!(ports.contains("5060, 8089"), "{ports}");

    // None at all, and no wire: nothing is recorded, nothing fails.
    let none = structure(&[]);
    sink.load(&none).unwrap();
    sink.load_wire(&none).unwrap();
    wire.pbx.exec("nft flush set inet asterguard talked4");
    assert_eq!(talked(&mut counters), None);
    let off = Structure { wire: SipMonitor { enabled: false, ..SipMonitor::default() }, ..other };
    sink.load(&off).unwrap();
    sink.load_wire(&off).unwrap();
    assert_eq!(talked(&mut counters), None);
    let sets = wire.pbx.exec("nft -t list table inet asterguard");
    assert!(!sets.contains("talked"), "{sets}");
    assert_eq!(sink.inspect().unwrap(), []);
}

#[test]
fn one_is_read_as_fast_among_ten_thousand() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut remote = helper(&netns);
    let structure = structure(&[TLS]);
    remote.bans.load(&structure).unwrap();
    remote.bans.load_wire(&structure).unwrap();
    let elements: Vec<_> = (0..10_000_u32)
        .map(|n| format!("10.1.{}.{} . {} timeout 10m", n >> 8 & 255, n & 255, 1024 + n))
        .collect();
    let text = format!("add element inet asterguard talked4 {{ {} }}", elements.join(", "));
    netns.nft().run(&["-f", "-"], text.as_bytes()).unwrap();
    let asked: Vec<_> =
        (0..1000_u16).map(|n| flow(&format!("10.1.{}.{}", n >> 8, n & 255), 1024 + n)).collect();
    let median = |read: &mut dyn FnMut(Subject) -> Option<u64>| {
        let mut took = BTreeSet::new();
        for (place, flow) in asked.iter().enumerate() {
            let begin = Instant::now();
            assert_eq!(read(*flow), Some(0));
            took.insert((begin.elapsed(), place));
        }
        took.iter().nth(500).unwrap().0
    };
    let mut counters = CounterSocket::open().unwrap();
    let direct = median(&mut |flow| counters.talked(flow).unwrap());
    let ask = |line: &mut Channel, flow| line.call(&Request::Talked(flow)).unwrap();
    let remotely = median(&mut |flow| ask(&mut remote.talked, flow));
    eprintln!(
        "one of 10 000 is read in {direct:?}, by the firewall helper in {remotely:?} (medians)"
    );
    assert!(direct < Duration::from_millis(1), "{direct:?}");
    assert!(remotely < Duration::from_millis(1), "{remotely:?}");
    assert_eq!(ask(&mut remote.talked, flow("10.2.0.1", 7)), None::<u64>);
}
