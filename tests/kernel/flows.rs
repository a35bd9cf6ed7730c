//! Bans of one port of an address: what becomes of packets, and that the sets are put back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use asterguard::enforce::{BanSink, Comparison, CounterSocket, Drift, NftProgram};
use asterguard::model::event::{Change, Element};
use asterguard::model::scope::Blocktype;
use asterguard::table::structure::Structure;
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::kit::Fate::{Arrived, Dropped, Refused};
use crate::kit::{
    self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, MALLORY_V6, PBX_V4, PBX_V6, SIP, WEB, now,
};
use crate::{ALL, MINUTE, ONLY_SIP, Way, apply, element, helper, put, sink, structure, subject};

/// A port of a host's, and another one.
const BAD: u16 = 40_000;
const GOOD: u16 = 40_001;

/// One port of a host, as people write it.
fn flow(host: &str, port: u16) -> String {
    SocketAddr::new(host.parse().unwrap(), port).to_string()
}

#[test]
fn a_banned_port_is_dropped_and_no_other_one() {
    if !kit::usable() {
        return;
    }
    for way in Way::ALL {
        let mut lab = Lab::new();
        lab.pbx.enter();
        let mut sink: Box<dyn BanSink> = match way {
            Way::Netlink => Box::new(sink(&lab.pbx, &structure())),
            Way::Helper => {
                let mut sink = helper(&lab.pbx).bans;
                sink.load(&structure()).unwrap();
                Box::new(sink)
            }
        };
        for (host, neighbour) in [(EVE, MALLORY), (EVE_V6, EVE_V6_TOO)] {
            let bad = flow(host, BAD);
            apply(&mut *sink, &[put(ALL, &bad, MINUTE)]);
            assert_eq!(
                (lab.udp_of(host, BAD, SIP), lab.tcp_of(host, BAD, SIP)),
                (Dropped, Dropped)
            );
            assert_eq!(
                (lab.udp_of(host, BAD, WEB), lab.tcp_of(host, BAD, WEB)),
                (Dropped, Dropped)
            );
            assert_eq!(
                (lab.udp_of(host, GOOD, SIP), lab.tcp_of(host, GOOD, SIP)),
                (Arrived, Arrived)
            );
            assert_eq!((lab.udp_of(neighbour, BAD, SIP), lab.ping(host)), (Arrived, Arrived));

            // Of the ports here, only those of the scope.
            apply(&mut *sink, &[Change::Remove(ALL, subject(&bad)), put(ONLY_SIP, &bad, MINUTE)]);
            assert_eq!(
                (lab.udp_of(host, BAD, SIP), lab.tcp_of(host, BAD, SIP)),
                (Dropped, Dropped)
            );
            assert_eq!(
                (lab.udp_of(host, BAD, WEB), lab.tcp_of(host, BAD, WEB)),
                (Arrived, Arrived)
            );
            assert_eq!(
                (lab.udp_of(host, GOOD, SIP), lab.tcp_of(host, GOOD, SIP)),
                (Arrived, Arrived)
            );

            apply(&mut *sink, &[Change::Remove(ONLY_SIP, subject(&bad))]);
            assert_eq!(
                (lab.udp_of(host, BAD, SIP), lab.tcp_of(host, BAD, SIP)),
                (Arrived, Arrived)
            );
        }
        assert_eq!(sink.adopt(now()).unwrap(), []);
    }
}

#[test]
fn further_scopes_close_to_ports_too_and_the_kernel_ends_that() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let polite = structure.find_scope("all", Blocktype::Reject, 64).unwrap();
    let narrow = structure.find_scope("sip", Blocktype::Reject, 128).unwrap();
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    let second = Duration::from_secs(1);
    apply(
        &mut sink,
        &[
            put(polite, &flow(EVE, BAD), MINUTE),
            put(narrow, &flow(EVE_V6, BAD), MINUTE),
            put(web, &flow(MALLORY_V6, BAD), second),
        ],
    );
    for host in [EVE, EVE_V6] {
        assert_eq!((lab.udp_of(host, BAD, SIP), lab.tcp_of(host, BAD, SIP)), (Refused, Refused));
        assert_eq!((lab.udp_of(host, GOOD, SIP), lab.tcp_of(host, GOOD, SIP)), (Arrived, Arrived));
    }
    assert_eq!((lab.udp_of(EVE, BAD, WEB), lab.udp_of(EVE_V6, BAD, WEB)), (Refused, Arrived));
    assert_eq!(lab.udp_of(MALLORY_V6, BAD, SIP), Arrived);
    kit::until("the ban is over", || lab.udp_of(MALLORY_V6, BAD, WEB) == Arrived);
    assert_eq!(sink.adopt(now()).unwrap().len(), 2);
    // What is allowed beats it.
    sink.allow(&[format!("{EVE}/32").parse().unwrap()]).unwrap();
    assert_eq!((lab.udp_of(EVE, BAD, SIP), lab.udp_of(EVE_V6, BAD, SIP)), (Arrived, Refused));
}

/// Flows of both families, in the sets of three scopes, and a host.
fn wanted(structure: &Structure) -> Vec<Element> {
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    let later = Some(now().plus(60 * MINUTE));
    vec![
        element(ALL, &flow(EVE, BAD), later),
        element(ALL, EVE, later),
        element(ONLY_SIP, &flow(EVE, BAD), None),
        element(ONLY_SIP, &flow(EVE_V6, GOOD), later),
        element(web, &flow(MALLORY_V6, 1), later),
        element(web, &flow(MALLORY, u16::MAX), later),
    ]
}

#[test]
fn lost_flows_are_heard_of_and_put_back() {
    if !kit::usable() {
        return;
    }
    let lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let wanted = wanted(&structure);
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, wanted.len());
    assert_eq!(sink.compare(&wanted, now()).unwrap(), Comparison::default());
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, 0);
    let by_nft = NftProgram::new(lab.pbx.nft()).bans(&structure, now()).unwrap();
    let mut found: Vec<_> = by_nft.iter().map(|held| held.element.subject).collect();
    let mut expected: Vec<_> = wanted.iter().map(|element| element.subject).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);

    let mut watch = sink.watch().unwrap();
    for (deed, set, missing) in [
        ("delete element inet asterguard sip_flow4 { 192.0.2.66 . 40000 }", "sip_flow4", 1),
        ("flush set inet asterguard ban_flow4", "ban_flow4", 1),
        ("flush set inet asterguard scope_web_drop_64_flow6", "scope_web_drop_64_flow6", 1),
        ("flush set inet asterguard sip_flow6", "sip_flow6", 1),
    ] {
        lab.pbx.exec(&format!("nft '{deed}'"));
        let heard = watch.wait().unwrap();
        assert!(heard.emptied.contains(set) && !heard.lost, "{heard:?}");
        assert!(structure.scope_of_set(set).is_some(), "it is looked at for that");
        assert_eq!(sink.inspect().unwrap(), [], "the table itself is as it was");
        let compared = sink.compare(&wanted, now()).unwrap();
        assert_eq!((compared.missing.len(), compared.extra.len()), (missing, 0), "{deed}");
        assert_eq!(sink.restore(&wanted, now()).unwrap().done, missing, "{deed}");
    }
    // Another end than it should have, and one that somebody else added.
    lab.pbx.exec(
        "nft 'delete element inet asterguard ban_flow4 { 192.0.2.66 . 40000 }
              add element inet asterguard ban_flow4 { 192.0.2.66 . 40000 timeout 5s, 203.0.113.1 . 5060 }'",
    );
    let compared = sink.compare(&wanted, now()).unwrap();
    let extra: Vec<_> = compared.extra.iter().map(|one| one.subject.to_string()).collect();
    assert_eq!((compared.wrong.len(), extra), (1, vec!["203.0.113.1:5060".to_owned()]));
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, 1);
    apply(&mut sink, &[Change::Remove(ALL, subject("203.0.113.1:5060"))]);
    assert_eq!(sink.compare(&wanted, now()).unwrap(), Comparison::default());

    // The sets themselves, and the whole table.
    for deed in [
        "flush chain inet asterguard prerouting; delete set inet asterguard sip_flow4",
        "flush ruleset",
    ] {
        lab.pbx.exec(&format!("nft '{deed}'"));
        let seen = sink.inspect().unwrap();
        assert!(seen.iter().any(|drift| matches!(drift, Drift::Missing(_))), "{seen:?}");
        sink.repair(&structure).unwrap();
        assert_eq!(sink.inspect().unwrap(), [], "{deed}");
        assert!(sink.restore(&wanted, now()).unwrap().done > 0);
        assert_eq!(sink.compare(&wanted, now()).unwrap(), Comparison::default());
    }
}

#[test]
fn networks_of_another_length_leave_flows_as_they_are() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut config = kit::config(Vec::new());
    let before = Structure::new(&config);
    let mut sink = sink(&lab.pbx, &before);
    let later = Some(now().plus(60 * MINUTE));
    let plain = |host: &str| Element {
        jail: asterguard::model::event::JailId(0),
        ..element(ALL, host, later)
    };
    let flows = [plain(&flow(EVE_V6, BAD)), plain(&flow(EVE, BAD))];
    let network = plain(EVE_V6_TOO);
    assert_eq!(sink.restore(&[&flows[..], &[network]].concat(), now()).unwrap().done, 3);
    config.ipv6prefix = 128;
    let after = Structure::new(&config);
    let scopes = after.rekeys(&before);
    let alone = Element { subject: EVE_V6_TOO.parse().unwrap(), ..network };
    // Flows are left out of what is written anew, even if they are among it.
    sink.load_rekeyed(&after, &scopes, &[flows[0], alone], now()).unwrap();
    let held = sink.compare(&[&flows[..], &[alone]].concat(), now()).unwrap();
    assert_eq!(held, Comparison::default());
    assert_eq!((lab.udp_of(EVE_V6, BAD, SIP), lab.udp_of(EVE_V6, GOOD, SIP)), (Dropped, Arrived));
}

#[test]
fn what_was_dropped_of_a_flow_is_counted() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let all = [(EVE, BAD), (EVE, GOOD), (EVE_V6, BAD)].map(|(host, port)| flow(host, port));
    apply(&mut sink, &all.clone().map(|flow| put(ALL, &flow, MINUTE)));
    apply(&mut sink, &[put(ALL, MALLORY, MINUTE)]);
    for (host, port) in [(EVE, BAD), (EVE, BAD), (EVE_V6, BAD), (MALLORY, BAD)] {
        assert_eq!(lab.udp_of(host, port, SIP), Dropped);
    }
    let counts = CounterSocket::open().unwrap().banned(&structure).unwrap();
    let packets = |whom: &str| counts.get(&(ALL, subject(whom))).map(|(packets, _)| *packets);
    assert_eq!(all.map(|flow| packets(&flow)), [Some(2), Some(0), Some(1)]);
    assert_eq!((packets(MALLORY), packets(EVE), counts.len()), (Some(1), None, 4));
}

/// MiB of memory that the kernel cannot give back: what its sets take is a part of that.
fn kernel_memory() -> f64 {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = memory.lines().find_map(|line| line.strip_prefix("SUnreclaim:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}

#[test]
fn a_hundred_thousand_flows_are_as_quick_as_one() {
    const FLOWS: u32 = 100_000;
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let later = Some(now().plus(60 * MINUTE));
    let nth = |n: u32| {
        let host = std::net::Ipv4Addr::from(0x0A00_0000 + n / 4).to_string();
        element(ONLY_SIP, &flow(&host, 10_000 + (n % 4) as u16), later)
    };
    // The median and the slowest but one per cent.
    let one_by_one = |sink: &mut dyn BanSink, from: u32| {
        let mut took: Vec<_> = (from..from + 500)
            .map(|n| {
                let begin = std::time::Instant::now();
                apply(sink, &[Change::Put(nth(n))]);
                begin.elapsed()
            })
            .collect();
        took.sort();
        (took[250], took[494])
    };
    let empty = one_by_one(&mut sink, 0);
    let before = kernel_memory();
    let most: Vec<_> = (500..FLOWS - 500).map(nth).collect();
    let begin = std::time::Instant::now();
    assert_eq!(sink.restore(&most, now()).unwrap().done, most.len());
    let (restored, memory) = (begin.elapsed(), kernel_memory() - before);
    let full = one_by_one(&mut sink, FLOWS - 500);
    eprintln!(
        "a flow is banned in {empty:?} (median, p99), beside {FLOWS} in {full:?}; \
         {} at once in {restored:?}, {memory:.1} MiB of the kernel's memory",
        most.len()
    );
    assert_eq!(sink.adopt(now()).unwrap().len(), FLOWS as usize);
    apply(&mut sink, &[put(ONLY_SIP, &flow(EVE, BAD), MINUTE)]);
    assert_eq!((lab.udp_of(EVE, BAD, SIP), lab.udp_of(EVE, GOOD, SIP)), (Dropped, Arrived));
    assert!(full.0 < 10 * empty.0 && full.0 < Duration::from_millis(5), "{empty:?} {full:?}");
}

#[test]
fn only_the_connection_from_the_banned_port_is_destroyed() {
    if !kit::usable() {
        return;
    }
    let (pbx, hosts) = kit::wired(&[PBX_V4, PBX_V6], &[EVE, EVE_V6]);
    let mut sink = helper(&pbx).bans;
    sink.load(&structure()).unwrap();
    pbx.enter();
    let listener = TcpListener::bind(("::", SIP)).unwrap();
    for (host, to) in [(EVE, PBX_V4), (EVE_V6, PBX_V6)] {
        hosts.enter();
        let [(mut bad, _bad_pbx), (mut good, mut good_pbx)] = [BAD, GOOD].map(|port| {
            let from = SocketAddr::new(host.parse().unwrap(), port);
            let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket(family, SocketType::STREAM, None).unwrap();
            bind(&socket, &from).unwrap();
            connect(&socket, &SocketAddr::new(to.parse::<IpAddr>().unwrap(), SIP)).unwrap();
            let host = TcpStream::from(socket);
            host.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            (host, listener.accept().unwrap().0)
        });
        apply(&mut sink, &[put(ONLY_SIP, &flow(host, BAD), MINUTE)]);
        // The far end is told by a reset, which the ban does not keep from it.
        let error = bad.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{host}");
        good.write_all(b"a").unwrap();
        good_pbx.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut byte = [0; 1];
        assert_eq!(good_pbx.read(&mut byte).unwrap(), 1);
        good_pbx.write_all(b"b").unwrap();
        assert_eq!(good.read(&mut byte).unwrap(), 1);
    }
}
