//! What becomes of packets: real ones, from a namespace of attackers to one with a PBX.

use std::time::Duration;

use asterguard::enforce::BanSink;
use asterguard::model::event::{Change, Element, JailId};
use asterguard::model::pause::Pause;
use asterguard::model::scope::{Blocktype, Ports};
use asterguard::model::subject::Subject;
use asterguard::table::structure::Structure;

use crate::kit::Fate::{Arrived, Dropped, Refused};
use crate::kit::{
    self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, MALLORY_V6, Netns, PBX_V6, SIP, WEB, now,
};
use crate::{ALL, MINUTE, ONLY_SIP, apply, put, sink, structure, subject};

fn rules(netns: &Netns) -> String {
    netns.exec("nft list chain inet asterguard prerouting; nft list chain inet asterguard refuse")
}

#[test]
fn a_banned_host_is_dropped_until_it_is_unbanned() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut sink = sink(&lab.pbx, &structure());
    assert_eq!((lab.udp(EVE, SIP), lab.tcp(EVE, SIP), lab.ping(EVE)), (Arrived, Arrived, Arrived));
    apply(&mut sink, &[put(ALL, EVE, MINUTE)]);
    assert_eq!((lab.udp(EVE, SIP), lab.tcp(EVE, WEB), lab.ping(EVE)), (Dropped, Dropped, Dropped));
    assert_eq!((lab.udp(MALLORY, SIP), lab.tcp(MALLORY, WEB)), (Arrived, Arrived));
    apply(&mut sink, &[Change::Remove(ALL, subject(EVE))]);
    assert_eq!((lab.udp(EVE, SIP), lab.tcp(EVE, WEB), lab.ping(EVE)), (Arrived, Arrived, Arrived));
}

#[test]
fn an_ipv6_ban_closes_the_network_and_not_the_next() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut sink = sink(&lab.pbx, &structure());
    assert_eq!((lab.udp(EVE_V6, SIP), lab.ping(EVE_V6)), (Arrived, Arrived));
    apply(&mut sink, &[put(ALL, EVE_V6, MINUTE)]);
    assert_eq!((lab.udp(EVE_V6, SIP), lab.ping(EVE_V6)), (Dropped, Dropped));
    assert_eq!((lab.tcp(EVE_V6_TOO, WEB), lab.udp(EVE_V6_TOO, SIP)), (Dropped, Dropped));
    assert_eq!((lab.udp(MALLORY_V6, SIP), lab.udp(EVE, SIP)), (Arrived, Arrived));
}

#[test]
fn the_kernel_ends_a_ban_by_itself() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut sink = sink(&lab.pbx, &structure());
    let second = Duration::from_secs(1);
    apply(
        &mut sink,
        &[put(ALL, EVE, second), put(ONLY_SIP, EVE_V6, second), put(ALL, MALLORY, MINUTE)],
    );
    drop(sink);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Dropped));
    kit::until("the bans are over", || {
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)) == (Arrived, Arrived)
    });
    assert_eq!(lab.udp(MALLORY, SIP), Dropped);
}

#[test]
fn a_scope_closes_its_ports_only() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    let closed =
        [put(ONLY_SIP, EVE, MINUTE), put(ONLY_SIP, EVE_V6, MINUTE), put(web, MALLORY, MINUTE)];
    apply(&mut sink, &closed);
    for eve in [EVE, EVE_V6] {
        assert_eq!((lab.udp(eve, SIP), lab.tcp(eve, SIP)), (Dropped, Dropped));
        assert_eq!(
            (lab.udp(eve, WEB), lab.tcp(eve, WEB), lab.ping(eve)),
            (Arrived, Arrived, Arrived)
        );
    }
    assert_eq!((lab.udp(MALLORY, WEB), lab.tcp(MALLORY, WEB)), (Dropped, Dropped));
    assert_eq!((lab.udp(MALLORY, SIP), lab.ping(MALLORY)), (Arrived, Arrived));
}

#[test]
fn a_reject_is_noticed_at_once() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let polite = structure.find_scope("all", Blocktype::Reject, 64).unwrap();
    let narrow = structure.find_scope("sip", Blocktype::Reject, 128).unwrap();
    let one = Subject::of(EVE_V6_TOO.parse().unwrap(), 128);
    let until = Some(now().plus(MINUTE));
    let narrow = Element { scope: narrow, subject: one, until, jail: JailId(1) };
    apply(
        &mut sink,
        &[put(polite, EVE, MINUTE), put(polite, MALLORY_V6, MINUTE), Change::Put(narrow)],
    );
    for host in [EVE, MALLORY_V6] {
        assert_eq!((lab.udp(host, SIP), lab.tcp(host, WEB)), (Refused, Refused));
    }
    assert_eq!((lab.udp(EVE_V6_TOO, SIP), lab.tcp(EVE_V6_TOO, SIP)), (Refused, Refused));
    assert_eq!((lab.udp(EVE_V6_TOO, WEB), lab.udp(EVE_V6, SIP)), (Arrived, Arrived));
}

#[test]
fn one_address_of_a_network_can_be_shut_out_alone() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let polite = structure.find_scope("all", Blocktype::Reject, 64).unwrap();
    for (scope, fate) in [(ALL, Dropped), (ONLY_SIP, Dropped), (polite, Refused)] {
        let subject = Subject::of(EVE_V6.parse().unwrap(), 128);
        let until = Some(now().plus(MINUTE));
        let one = Element { scope, subject, until, jail: JailId(0) };
        apply(&mut sink, &[Change::Put(one)]);
        assert_eq!((lab.udp(EVE_V6, SIP), lab.udp(EVE_V6_TOO, SIP)), (fate, Arrived));
        assert_eq!(sink.adopt(now()).unwrap()[0].element.subject, subject);
        apply(&mut sink, &[Change::Remove(scope, subject)]);
        assert_eq!(lab.udp(EVE_V6, SIP), Arrived);
    }
}

#[test]
fn allowed_beats_blocked_and_banned() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut with_friends = structure();
    for friend in [format!("{EVE}/32"), format!("{EVE_V6}/128")] {
        with_friends.allow.push(friend.parse().unwrap());
    }
    let mut sink = sink(&lab.pbx, &with_friends);
    lab.pbx.exec(&format!(
        "nft 'add element inet asterguard block4 {{ {EVE}, {MALLORY}/31 }}
              add element inet asterguard block6 {{ {MALLORY_V6} }}'"
    ));
    apply(&mut sink, &[put(ALL, EVE, MINUTE), put(ALL, EVE_V6, MINUTE)]);
    assert_eq!(
        (lab.udp(EVE, SIP), lab.tcp(EVE, WEB), lab.udp(EVE_V6, SIP)),
        (Arrived, Arrived, Arrived)
    );
    assert_eq!(lab.udp(EVE_V6_TOO, SIP), Dropped);
    assert_eq!((lab.udp(MALLORY, WEB), lab.udp(MALLORY_V6, WEB)), (Dropped, Dropped));
    // No longer a friend: the ban that was there all the time shows.
    sink.load(&structure()).unwrap();
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Dropped));
    assert_eq!(lab.udp(MALLORY, WEB), Dropped);
}

#[test]
fn neighbour_discovery_survives_a_ban_of_the_network() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut with_friend = structure();
    with_friend.allow.push(format!("{EVE_V6_TOO}/128").parse().unwrap());
    let mut sink = sink(&lab.pbx, &with_friend);
    apply(&mut sink, &[put(ALL, EVE_V6, MINUTE)]);
    for netns in [&lab.pbx, &lab.attacker] {
        netns.exec("ip -6 neighbour flush all nud all");
        assert_eq!(netns.exec("ip -6 neighbour show"), "");
    }
    // The banned one asks for the PBX: no echo comes back, but the PBX has told its MAC address.
    assert_eq!(lab.ping(EVE_V6), Dropped);
    kit::until("the PBX answers a solicitation of the banned host", || {
        lab.attacker.exec(&format!("ip -6 neighbour show {PBX_V6}")).contains("02:00:00:00:00:01")
    });
    // The PBX asks for the banned one, and hears the answer.
    lab.pbx.exec("ip -6 neighbour flush all nud all");
    lab.pbx.try_exec(&format!("echo | nc -u -q0 {EVE_V6} 7"));
    kit::until("the PBX hears the advertisement of the banned host", || {
        lab.pbx.exec(&format!("ip -6 neighbour show {EVE_V6}")).contains("02:00:00:00:00:02")
    });
    kit::until("the friend in the same network gets through", || {
        lab.udp(EVE_V6_TOO, SIP) == Arrived
    });
    assert_eq!(lab.udp(EVE_V6, SIP), Dropped);
}

#[test]
fn reload_keeps_elements_and_doubles_nothing() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    let polite = structure.find_scope("all", Blocktype::Reject, 64).unwrap();
    apply(&mut sink, &[put(ALL, EVE, MINUTE), put(polite, EVE_V6, MINUTE)]);
    lab.pbx.exec("nft 'add table inet another; add chain inet another mine'");
    lab.pbx.exec("nft 'add element inet asterguard block4 { 198.51.100.0/24 }'");
    let (rules_before, adopted_before) = (rules(&lab.pbx), sink.adopt(now()).unwrap().len());
    for _ in 0..3 {
        sink.load(&structure).unwrap();
    }
    assert_eq!(rules(&lab.pbx), rules_before);
    assert_eq!((adopted_before, sink.adopt(now()).unwrap().len()), (2, 2));
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Refused));
    assert!(lab.pbx.exec("nft list set inet asterguard block4").contains("198.51.100.0/24"));
    lab.pbx.exec("nft list chain inet another mine");
}

#[test]
fn a_changed_structure_keeps_the_bans() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut config = kit::config(vec![kit::jail("guess", "sip", Blocktype::Drop, 64)]);
    let mut sink = sink(&lab.pbx, &Structure::new(&config));
    apply(&mut sink, &[put(ONLY_SIP, EVE, MINUTE)]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, WEB)), (Dropped, Arrived));
    config.ports[1].1 = Ports::Ranges(vec![(1, 7), (WEB, WEB)]);
    config.jails.insert(0, kit::jail("a-new-one", "web", Blocktype::Reject, 56));
    let changed = Structure::new(&config);
    sink.load(&changed).unwrap();
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, WEB)), (Arrived, Dropped));
    assert!(rules(&lab.pbx).contains("scope_web_reject_56_v6"), "{}", rules(&lab.pbx));
    sink.load(&structure()).unwrap();
    assert!(!rules(&lab.pbx).contains("scope_web_reject_56_v6"));
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE, WEB)), (Dropped, Arrived));
}

#[test]
fn pause_accepts_all_packets_and_expires() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let mut sink = sink(&lab.pbx, &structure());
    apply(&mut sink, &[put(ALL, EVE, MINUTE), put(ALL, EVE_V6, MINUTE)]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Dropped));
    sink.pause(Some(Duration::from_secs(900))).unwrap();
    assert_eq!(
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP), lab.tcp(EVE, WEB)),
        (Arrived, Arrived, Arrived)
    );
    sink.load(&structure()).unwrap();
    assert_eq!(lab.udp(EVE, SIP), Arrived, "a pause outlives a reload");
    sink.resume().unwrap();
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Dropped, Dropped));
    sink.pause(None).unwrap();
    assert_eq!(sink.paused(now()).unwrap(), Pause::Indefinite);
    sink.pause(Some(Duration::from_secs(1))).unwrap();
    drop(sink);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)), (Arrived, Arrived));
    kit::until("the pause is over", || {
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)) == (Dropped, Dropped)
    });
}
