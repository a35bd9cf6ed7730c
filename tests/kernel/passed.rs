//! What comes through from banned hosts all the same: counted by the kernel, behind the rules that drop.

use std::time::Duration;

use asterguard::enforce::helper::Request;
use asterguard::enforce::{BanSink, CounterSocket, Drift, NetlinkSink, Part};
use asterguard::model::event::{Change, Passed};
use asterguard::table::structure::Structure;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::{self, EVE, EVE_V6, Lab, MALLORY, MALLORY_V6, Netns, SIP, WEB};
use crate::{ALL, MINUTE, ONLY_SIP, apply, helper, put, sink, subject};

/// A port that leads to SIP's by address translation.
const MAPPED: u16 = 15_060;

/// As everywhere, and Asterisk listens at `heard` too.
fn structure(heard: &[u16]) -> Structure {
    Structure { heard: heard.iter().copied().collect(), ..crate::structure() }
}

/// What has come through, sorted.
fn passed(counters: &mut CounterSocket) -> Vec<(String, u16, u64)> {
    let tell = |Passed { host, port, packets }| (host.to_string(), port, packets);
    let mut all: Vec<_> = counters.passed().unwrap().into_iter().map(tell).collect();
    all.sort();
    all
}

fn one(host: &str, port: u16, packets: u64) -> (String, u16, u64) {
    (host.to_owned(), port, packets)
}

/// How many packets of a host are counted as dropped.
fn dropped(counters: &mut CounterSocket, structure: &Structure, host: &str) -> u64 {
    counters.banned(structure).unwrap()[&(ONLY_SIP, subject(host))].0
}

#[test]
fn only_what_a_ban_should_have_held_is_counted() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure(&[WEB]);
    let mut sink = sink(&lab.pbx, &structure);
    let mut counters = CounterSocket::open().unwrap();
    let bans = [put(ONLY_SIP, EVE, MINUTE), put(ONLY_SIP, EVE_V6, MINUTE)];
    apply(&mut sink, &bans);
    apply(&mut sink, &[put(ONLY_SIP, &format!("{MALLORY}:40000"), MINUTE)]);
    for host in [EVE, EVE_V6] {
        // What is dropped, and what goes to ports that no ban closes.
        assert_eq!((lab.udp(host, SIP), lab.tcp(host, SIP)), (Dropped, Dropped));
        assert_eq!(lab.ping(host), Arrived);
        lab.udp(host, 7);
        lab.tcp(host, 443);
    }
    // Hosts that are not banned, and one port of a host.
    for (host, port) in [(MALLORY, WEB), (MALLORY, SIP), (MALLORY_V6, WEB), (MALLORY_V6, SIP)] {
        assert_eq!((lab.udp(host, port), lab.tcp(host, port)), (Arrived, Arrived));
    }
    assert_eq!(
        (lab.udp_of(MALLORY, 40_000, SIP), lab.udp_of(MALLORY, 40_000, WEB)),
        (Dropped, Arrived)
    );
    // Our own packets to a banned host, answers or not.
    lab.pbx.exec(&format!("for n in 1 2 3; do echo | nc -u -q0 -p {} {EVE} {SIP}; done", SIP + 1));
    assert_eq!(passed(&mut counters), []);

    let before = [EVE, EVE_V6].map(|host| dropped(&mut counters, &structure, host));
    for packets in 1..=3 {
        assert_eq!((lab.udp(EVE, WEB), lab.udp(EVE_V6, WEB)), (Arrived, Arrived));
        assert_eq!(passed(&mut counters), [one(EVE, WEB, packets), one(EVE_V6, WEB, packets)]);
    }
    assert_eq!(lab.tcp(EVE, WEB), Arrived);
    assert!(passed(&mut counters)[0].2 > 3);
    // It is none of those that were dropped.
    assert_eq!([EVE, EVE_V6].map(|host| dropped(&mut counters, &structure, host)), before);

    // Neither a pause nor hosts that are let pass.
    let clear = || {
        lab.pbx.exec("nft 'flush set inet asterguard passed4; flush set inet asterguard passed6'")
    };
    clear();
    sink.pause(Some(MINUTE)).unwrap();
    assert_eq!(
        (lab.udp(EVE, WEB), lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)),
        (Arrived, Arrived, Arrived)
    );
    assert_eq!(passed(&mut counters), []);
    sink.resume().unwrap();
    sink.allow(&[format!("{EVE}/32").parse().unwrap(), format!("{EVE_V6}/128").parse().unwrap()])
        .unwrap();
    assert_eq!(
        (lab.udp(EVE, WEB), lab.udp(EVE, SIP), lab.udp(EVE_V6, WEB)),
        (Arrived, Arrived, Arrived)
    );
    assert_eq!(passed(&mut counters), []);
    sink.allow(&[]).unwrap();
    apply(&mut sink, &[Change::Remove(ONLY_SIP, subject(EVE))]);
    assert_eq!((lab.udp(EVE, WEB), lab.udp(EVE_V6, WEB)), (Arrived, Arrived));
    assert_eq!(passed(&mut counters), [one(EVE_V6, WEB, 1)]);
}

#[test]
fn what_comes_by_a_mapped_port_is_counted() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut sink = sink(&lab.pbx, &structure(&[]));
    let mut counters = CounterSocket::open().unwrap();
    // Docker's way: behind the rules that drop.
    lab.pbx.exec(&format!(
        "nft 'table ip nat {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                udp dport {MAPPED} redirect to :{SIP}
                udp dport {} dnat to 10.9.9.2:{SIP}
            }}
        }}'
        sysctl -qw net.ipv4.ip_forward=1
        ip link add inside type veth peer name other; ip link set other up; ip address add 10.9.9.1/24 dev inside; ip link set inside up",
        MAPPED + 1
    ));
    apply(&mut sink, &[put(ONLY_SIP, EVE, MINUTE)]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, MAPPED)), (Dropped, Arrived));
    assert_eq!(passed(&mut counters), [one(EVE, SIP, 1)]);
    // One that leads to a container.
    lab.udp(EVE, MAPPED + 1);
    assert_eq!(passed(&mut counters), [one(EVE, SIP, 2)]);
    assert_eq!(lab.udp(MALLORY, MAPPED), Arrived);
    lab.udp(EVE, 7);
    assert_eq!(passed(&mut counters), [one(EVE, SIP, 2)]);
    // A ban of all ports closes that too.
    apply(&mut sink, &[put(ALL, EVE, MINUTE)]);
    assert_eq!(lab.udp(EVE, MAPPED), Dropped);
    lab.udp(EVE, MAPPED + 1);
    assert_eq!(passed(&mut counters), [one(EVE, SIP, 2)]);
    // Unless somebody takes the rules away.
    lab.pbx.exec("nft flush chain inet asterguard prerouting");
    assert_eq!(lab.udp(EVE, WEB), Arrived);
    assert_eq!(passed(&mut counters), [one(EVE, SIP, 2), one(EVE, WEB, 1)]);
}

#[test]
fn an_older_table_gets_it_and_damage_is_mended() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure(&[WEB]);
    let mut sink = sink(&lab.pbx, &structure);
    apply(&mut sink, &[put(ONLY_SIP, EVE, MINUTE)]);
    let rules =
        |chain: &str, missing| Drift::Rules { chain: chain.to_owned(), missing, foreign: 0 };
    for (deed, drift) in [
        ("flush chain inet asterguard passed", vec![rules("passed", 5)]),
        ("flush chain inet asterguard passed_forward", vec![rules("passed_forward", 3)]),
        ("flush set inet asterguard heard_ports", vec![Drift::Content("heard_ports".to_owned())]),
        (
            "flush chain inet asterguard passed_input; delete chain inet asterguard passed_input",
            vec![Drift::Missing(Part::Chain("passed_input".to_owned()))],
        ),
    ] {
        lab.pbx.exec(&format!("nft '{deed}'"));
        assert_eq!(sink.inspect().unwrap(), drift, "{deed}");
        sink.repair(&structure).unwrap();
        assert_eq!(sink.inspect().unwrap(), []);
    }
    // A table as it was before there was any of this.
    let chains = ["passed_input", "passed_forward", "passed_closed", "passed"];
    let flush: String =
        chains.map(|chain| format!("flush chain inet asterguard {chain}; ")).concat();
    let delete: String =
        chains.map(|chain| format!("delete chain inet asterguard {chain}; ")).concat();
    lab.pbx.exec(&format!(
        "nft '{flush}{delete} delete set inet asterguard passed4; delete set inet asterguard passed6;
         delete set inet asterguard heard_ports'"
    ));
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, WEB)), (Dropped, Arrived));
    let mut newer = NetlinkSink::new(lab.pbx.nft()).unwrap();
    newer.load(&structure).unwrap();
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, WEB)), (Dropped, Arrived));
    assert_eq!(passed(&mut CounterSocket::open().unwrap()), [one(EVE, WEB, 1)]);
}

#[test]
fn looking_takes_no_time() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut remote = helper(&netns);
    remote.bans.load(&structure(&[])).unwrap();
    let mut look = |expected: usize| {
        let all = (0..50).map(|_| {
            let begin = std::time::Instant::now();
            let found: Vec<Passed> = remote.passed.call(&Request::Passed).unwrap();
            assert_eq!(found.len(), expected);
            begin.elapsed()
        });
        all.min().unwrap()
    };
    let empty = look(0);
    let elements: Vec<_> =
        (0..4096_u32).map(|n| format!("10.1.{}.{} . {SIP}", n >> 8, n & 255)).collect();
    let text = format!("add element inet asterguard passed4 {{ {} }}", elements.join(", "));
    netns.nft().run(&["-f", "-"], text.as_bytes()).unwrap();
    let full = look(4096);
    eprintln!("a look takes {empty:?}, with 4096 hosts {full:?} ");
    assert!(empty < Duration::from_millis(5), "{empty:?}");
    assert!(full < Duration::from_millis(200), "{full:?}");
}
