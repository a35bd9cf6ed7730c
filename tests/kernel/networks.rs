//! Bans of networks: what becomes of packets, that they are put back, and that they cost nobody else anything.

use std::time::{Duration, Instant};

use asterguard::enforce::{BanSink, Comparison, CounterSocket, NftProgram};
use asterguard::model::event::{Change, Element};
use asterguard::model::scope::Blocktype;
use asterguard::model::subject::Subject;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::{self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, Netns, SIP, WEB, now};
use crate::{ALL, MINUTE, ONLY_SIP, Way, apply, element, helper, sink, structure};

/// A network of each family with two hosts in it, and a host beside it. (Beside the first is the one that says what
/// arrived: if it were banned, nothing would.)
const NETS: [(&str, [&str; 2], Option<&str>); 2] = [
    ("192.0.2.64/28", [EVE, MALLORY], None),
    ("2001:db8:0:a::/65", [EVE_V6, EVE_V6], Some(EVE_V6_TOO)),
];

fn network(net: Subject, span: Duration) -> Element {
    Element { subject: net, ..element(ALL, EVE, Some(now().plus(span))) }
}

#[test]
fn a_banned_network_is_dropped_and_no_other_one() {
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
        for (net, [host, other], beside) in NETS {
            let net: Subject = net.parse().unwrap();
            apply(&mut *sink, &[Change::Put(network(net, MINUTE))]);
            assert_eq!(
                (lab.udp(host, SIP), lab.udp(host, WEB), lab.ping(host)),
                (Dropped, Dropped, Dropped)
            );
            assert_eq!(lab.udp(other, SIP), Dropped);
            if let Some(beside) = beside {
                assert_eq!((lab.udp(beside, SIP), lab.ping(beside)), (Arrived, Arrived));
            }
            // Again, with another end, and of the ports here only those of the scope.
            let only_sip = Element { scope: ONLY_SIP, ..network(net, 2 * MINUTE) };
            apply(
                &mut *sink,
                &[
                    Change::Put(network(net, 2 * MINUTE)),
                    Change::Remove(ALL, net),
                    Change::Put(only_sip),
                ],
            );
            assert_eq!((lab.udp(host, SIP), lab.udp(host, WEB)), (Dropped, Arrived));
            // What is let through within it passes.
            let single = host.parse::<Subject>().unwrap().net();
            sink.allow(&[single]).unwrap();
            assert_eq!(lab.udp(host, SIP), Arrived);
            sink.allow(&[]).unwrap();
            assert_eq!(lab.udp(host, SIP), Dropped);
            apply(&mut *sink, &[Change::Remove(ONLY_SIP, net)]);
            assert_eq!((lab.udp(host, SIP), lab.udp(host, WEB)), (Arrived, Arrived));
            // The kernel lets it go by itself, and takes it again.
            apply(&mut *sink, &[Change::Put(network(net, Duration::from_secs(1)))]);
            kit::until("the ban is over", || lab.udp(host, SIP) == Arrived);
            apply(&mut *sink, &[Change::Put(network(net, MINUTE))]);
            assert_eq!(lab.udp(host, SIP), Dropped);
            apply(&mut *sink, &[Change::Remove(ALL, net)]);
        }
        assert_eq!(sink.adopt(now()).unwrap(), []);
    }
}

#[test]
fn lost_networks_are_heard_of_and_put_back() {
    if !kit::usable() {
        return;
    }
    let lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    let nets =
        ["10.0.0.0/8", "198.51.100.0/25", "198.51.100.128/25", "2001:db8:1::/48", "2001:db8::"];
    let mut wanted: Vec<_> = nets.map(|net| network(net.parse().unwrap(), 60 * MINUTE)).to_vec();
    wanted.push(Element { scope: web, until: None, ..wanted[0] });
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, wanted.len());
    assert_eq!(sink.compare(&wanted, now()).unwrap(), Comparison::default());
    let by_nft = NftProgram::new(lab.pbx.nft()).bans(&structure, now()).unwrap();
    let key = |one: &Element| (one.scope, one.subject, one.until.is_some());
    let mut found: Vec<_> = by_nft.iter().map(|held| key(&held.element)).collect();
    let mut expected: Vec<_> = wanted.iter().map(key).collect();
    found.sort_unstable_by_key(|(scope, subject, _)| (scope.0, *subject));
    expected.sort_unstable_by_key(|(scope, subject, _)| (scope.0, *subject));
    assert_eq!(found, expected);

    let mut watch = sink.watch().unwrap();
    for (deed, set, missing) in [
        ("delete element inet asterguard ban_net4 { 198.51.100.0/25 }", "ban_net4", 1),
        ("flush set inet asterguard ban_net6", "ban_net6", 2),
        ("flush set inet asterguard scope_web_drop_64_net4", "scope_web_drop_64_net4", 1),
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
    // A network that somebody else added, and a range that is none.
    lab.pbx
        .exec("nft 'add element inet asterguard ban_net4 { 203.0.113.0/24, 192.0.2.1-192.0.2.6 }'");
    let compared = sink.compare(&wanted, now()).unwrap();
    let extra: Vec<_> = compared.extra.iter().map(|one| one.subject.to_string()).collect();
    assert_eq!(extra, ["203.0.113.0/24"]);
    // One that overlaps it is refused, alone and with the reason.
    let over = Change::Put(network("203.0.112.0/22".parse().unwrap(), MINUTE));
    let other = Change::Put(network("203.0.116.0/24".parse().unwrap(), MINUTE));
    let report = sink.apply(&[over, other], now()).unwrap();
    let [(refused, words)] = &report.refused[..] else { panic!("{:?}", report.refused) };
    assert_eq!((report.done, *refused, words.contains("overlaps")), (1, over, true), "{words}");
    lab.pbx.exec("nft flush ruleset");
    sink.repair(&structure).unwrap();
    assert!(sink.restore(&wanted, now()).unwrap().done == wanted.len());
    assert_eq!(sink.compare(&wanted, now()).unwrap(), Comparison::default());
}

#[test]
fn what_was_dropped_of_a_network_is_counted() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let nets: [Subject; 2] = NETS.map(|(net, ..)| net.parse().unwrap());
    apply(&mut sink, &nets.map(|net| Change::Put(network(net, MINUTE))));
    for host in [EVE, EVE, EVE_V6] {
        assert_eq!(lab.udp(host, SIP), Dropped);
    }
    let counts = CounterSocket::open().unwrap().banned(&structure).unwrap();
    let packets = nets.map(|net| counts.get(&(ALL, net)).map(|(packets, _)| *packets));
    assert_eq!((packets, counts.len()), ([Some(2), Some(1)], 2));
}

/// The median time of ten runs of nft with a table of its own, while `netns` has ours.
fn nft_takes(netns: &Netns) -> Duration {
    let mut runs: Vec<_> = (0..10)
        .map(|_| {
            let text = b"add table ip other; add set ip other s { type ipv4_addr; }; add element ip other s { 192.0.2.1 }; delete table ip other";
            let begin = Instant::now();
            netns.nft().run(&["-f", "-"], text).unwrap();
            begin.elapsed()
        })
        .collect();
    runs.sort_unstable();
    runs[5]
}

#[test]
fn networks_beside_a_hundred_thousand_hosts_cost_nft_nothing() {
    const HOSTS: u32 = 100_000;
    if !kit::usable() {
        return;
    }
    let lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let later = Some(now().plus(60 * MINUTE));
    let nth = |n: u32| {
        let host = Subject::of(std::net::Ipv4Addr::from(0x0a00_0000 + n).into(), 128);
        Element { subject: host, ..element(ALL, EVE, later) }
    };
    let hosts: Vec<_> = (0..HOSTS).map(nth).collect();
    assert_eq!(sink.restore(&hosts, now()).unwrap().done, hosts.len());
    let before = nft_takes(&lab.pbx);
    let begin = Instant::now();
    apply(&mut sink, &[Change::Put(network("198.51.100.0/24".parse().unwrap(), 60 * MINUTE))]);
    sink.allow(&["203.0.113.0/24".parse().unwrap()]).unwrap();
    let took = begin.elapsed();
    let after = nft_takes(&lab.pbx);
    // As many networks as there may be.
    let nets = (0..4096_u32).map(|n| {
        let net = ipnet::Ipv4Net::new((0x1400_0000 + (n << 8)).into(), 24).unwrap();
        Change::Put(network(Subject::from(ipnet::IpNet::V4(net)), 60 * MINUTE))
    });
    let begin = Instant::now();
    apply(&mut sink, &nets.collect::<Vec<_>>());
    let many = begin.elapsed();
    let full = nft_takes(&lab.pbx);
    eprintln!(
        "nft beside {HOSTS} banned hosts: {before:?}; with a network banned and one let through (in {took:?}): {after:?}; \
         with 4096 networks banned (in {many:?}): {full:?} (medians of ten)"
    );
    // Twice as long is what a busy machine does; an interval set of as many elements takes seconds.
    assert!(after < before * 2 + Duration::from_millis(5), "{before:?} {after:?}");
}
