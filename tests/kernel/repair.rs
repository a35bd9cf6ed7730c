//! What others took away or changed is put back by netlink, as the kernel itself described it.

use asterguard::enforce::{BanSink, Drift, NetlinkSink, Part};
use asterguard::sys::program::Program;

use crate::kit::{self, EVE, EVE_V6, MALLORY, Netns, now};
use crate::{ALL, MINUTE, ONLY_SIP, apply, element, put, structure};

/// A namespace in which the structure is loaded, and a sink whose `nft` fails from now on.
fn loaded() -> (Netns, NetlinkSink, tempfile::TempDir) {
    let netns = Netns::new();
    netns.enter();
    let bin = tempfile::tempdir().unwrap();
    let shim = bin.path().join("nft");
    let text = format!("#!/bin/sh\nexec ip netns exec {} nft \"$@\"\n", netns.name());
    kit::script(&shim, &text);
    let mut sink = NetlinkSink::new(Program::with_argv([&shim])).unwrap();
    sink.load(&structure()).unwrap();
    std::fs::remove_file(shim).unwrap();
    (netns, sink, bin)
}

#[test]
fn netlink_reports_and_repairs_every_damage() {
    if !kit::usable() {
        return;
    }
    let (netns, mut sink, _bin) = loaded();
    let missing = |part| vec![Drift::Missing(part)];
    let set = |name: &str| Part::Set(name.to_owned());
    let rules =
        |missing, foreign| vec![Drift::Rules { chain: "prerouting".to_owned(), missing, foreign }];
    let all =
        netns.exec("nft -a list chain inet asterguard prerouting").matches("# handle").count();
    let all = all - 1;
    assert_eq!(sink.inspect().unwrap(), []);
    for (deed, damage) in [
        ("delete table inet asterguard", missing(Part::Table)),
        ("flush ruleset", missing(Part::Table)),
        ("flush chain inet asterguard prerouting", rules(all, 0)),
        ("add rule inet asterguard prerouting accept", rules(0, 1)),
        ("insert rule inet asterguard prerouting counter drop", rules(0, 1)),
        ("delete set inet asterguard block4", missing(set("block4"))),
        ("flush set inet asterguard allow4", vec![Drift::Content("allow4".to_owned())]),
        (
            "add element inet asterguard ports_sip { 7 }",
            vec![Drift::Content("ports_sip".to_owned())],
        ),
        ("table inet asterguard { flags dormant; }", vec![Drift::Changed(Part::Table)]),
        (
            "add chain inet asterguard prerouting { policy drop; }",
            vec![Drift::Changed(Part::Chain("prerouting".to_owned()))],
        ),
    ] {
        if deed.starts_with("delete set") {
            let uses = netns.exec("nft -a list chain inet asterguard prerouting");
            let rule = uses.lines().find(|line| line.contains("@block4")).unwrap();
            let handle = rule.rsplit(' ').next().unwrap();
            netns.exec(&format!("nft delete rule inet asterguard prerouting handle {handle}"));
            assert_eq!(sink.inspect().unwrap(), rules(1, 0));
        }
        netns.exec(&format!("nft '{deed}'"));
        let seen = sink.inspect().unwrap();
        assert!(seen.starts_with(&damage), "{deed}: {seen:?}");
        sink.repair(&structure()).unwrap();
        assert_eq!(sink.inspect().unwrap(), [], "{deed}");
        apply(&mut sink, &[put(ALL, EVE, MINUTE)]);
    }
}

#[test]
fn a_set_of_another_kind_is_replaced() {
    if !kit::usable() {
        return;
    }
    let (netns, mut sink, _bin) = loaded();
    netns.exec("nft add element inet asterguard block4 { 198.51.100.0/24 }");
    netns.exec("nft add element inet asterguard paused { ipv4, ipv6 timeout 1h }");
    for other in ["flags interval", "flags timeout; size 7", "flags dynamic,timeout; size 1048576"]
    {
        // Rules of others hold on to it too.
        netns.exec(&format!(
            "nft 'flush chain inet asterguard prerouting; flush chain inet asterguard passed_input;
             flush chain inet asterguard passed_forward;
             flush chain inet asterguard passed_closed; delete set inet asterguard ban4;
             add set inet asterguard ban4 {{ type ipv4_addr; {other}; }};
             add chain inet asterguard mine;
             add rule inet asterguard mine ip saddr @ban4 drop'"
        ));
        let seen = sink.inspect().unwrap();
        assert!(seen.contains(&Drift::Changed(Part::Set("ban4".to_owned()))), "{seen:?}");
        sink.repair(&structure()).unwrap();
        assert_eq!(sink.inspect().unwrap(), [], "{other}");
        // What is yours is still there.
        let block = netns.exec("nft list set inet asterguard block4");
        assert!(block.contains("198.51.100.0/24"), "{block}");
        let paused = netns.exec("nft list set inet asterguard paused");
        assert!(paused.contains("ipv4") && paused.contains("ipv6 timeout 1h"), "{paused}");
    }
}

#[test]
fn repair_writes_only_missing_or_wrong_elements() {
    if !kit::usable() {
        return;
    }
    let (netns, mut sink, _bin) = loaded();
    let soon = Some(now().plus(MINUTE));
    let later = Some(now().plus(60 * MINUTE));
    let wanted = [
        element(ALL, EVE, later),
        element(ALL, EVE_V6, None),
        element(ONLY_SIP, MALLORY, later),
        element(ONLY_SIP, EVE, soon),
    ];
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, 4);
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, 0);
    netns.exec("nft delete element inet asterguard ban4 { 192.0.2.66 }");
    netns.exec("nft 'delete element inet asterguard sip4 { 192.0.2.66 }; add element inet asterguard sip4 { 192.0.2.66 timeout 5s }'");
    netns.exec("nft add element inet asterguard ban4 { 203.0.113.1 }");
    assert_eq!(sink.restore(&wanted, now()).unwrap().done, 2);
    let held = sink.adopt(now()).unwrap();
    assert_eq!(held.len(), 5, "what somebody else put there stays: {held:?}");
    for element in &wanted {
        let held = held.iter().find(|held| {
            (held.element.scope, held.element.subject) == (element.scope, element.subject)
        });
        let (held, wanted) = (held.unwrap().element.until, element.until);
        assert_eq!(held.is_none(), wanted.is_none());
        let apart = held.zip(wanted).map(|(a, b)| a.since(b) + b.since(a));
        assert!(apart.unwrap_or_default().as_secs() <= 1, "{element:?} {held:?}");
    }
}

#[test]
fn loading_over_an_older_structure_loses_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    netns.enter();
    let older = structure()
        .ruleset()
        .replace("size 1048576", "size 4096")
        .replace("type nf_proto\n\t\tflags timeout", "type nf_proto\n\t\tflags dynamic,timeout")
        .replace("flags interval\n\t\tauto-merge", "flags interval");
    netns.nft().run(&["-f", "-"], older.as_bytes()).unwrap();
    netns.exec("nft add element inet asterguard block4 { 198.51.100.0/24, 203.0.113.7 }");
    let mut sink = NetlinkSink::attached(netns.nft(), structure()).unwrap();
    let later = Some(now().plus(60 * MINUTE));
    // Longer than nft can be told in milliseconds, or in seconds.
    let [months, years] = [60, 2000].map(|days| Some(now().plus(days * 24 * 60 * MINUTE)));
    let bans = [
        element(ALL, EVE, later),
        element(ONLY_SIP, EVE_V6, None),
        element(ALL, MALLORY, months),
        element(ONLY_SIP, MALLORY, years),
        element(ONLY_SIP, "192.0.2.66:5060", later),
        element(ALL, "[2001:db8::7]:40312", None),
    ];
    assert_eq!(sink.restore(&bans, now()).unwrap().done, 6);
    sink.pause(Some(MINUTE)).unwrap();

    sink.load(&structure()).unwrap();
    assert_eq!(sink.inspect().unwrap(), []);
    let compared = sink.compare(&bans, now()).unwrap();
    assert_eq!(compared, asterguard::enforce::Comparison::default());
    assert!(sink.adopt(now()).unwrap().iter().all(|held| held.known_jail), "with their comments");
    assert!(sink.paused(now()).unwrap().end().is_some(), "a pause that ends by itself");
    let block = netns.exec("nft list set inet asterguard block4");
    assert!(block.contains("198.51.100.0/24, 203.0.113.7"), "{block}");
    let ban4 = netns.exec("nft list set inet asterguard ban4");
    assert!(ban4.contains("size 1048576"), "{ban4}");
}

#[test]
fn external_changes_are_noticed_despite_lost_messages() {
    if !kit::usable() {
        return;
    }
    let (netns, mut sink, _bin) = loaded();
    // Room for a few messages only; the listener does not listen meanwhile.
    let mut watch = sink.watch_with(4096).unwrap();
    let later = Some(now().plus(60 * MINUTE));
    let host = |n: u32| format!("10.1.{}.{}", n >> 8, n & 255);
    let bans: Vec<_> = (0..5000).map(|n| element(ALL, &host(n), later)).collect();
    assert_eq!(sink.restore(&bans, now()).unwrap().done, 5000);
    netns.exec("nft flush set inet asterguard ban4");
    let heard = watch.wait().unwrap();
    assert!(heard.lost, "{heard}");
    assert_eq!(sink.restore(&bans, now()).unwrap().done, 5000);

    // With room enough: our own changes are no news, others are told with who it was.
    let mut watch = sink.watch().unwrap();
    assert_eq!(sink.restore(&[], now()).unwrap().done, 0);
    apply(&mut sink, &[put(ALL, EVE, MINUTE)]);
    netns.exec("nft delete element inet asterguard ban4 { 192.0.2.66 }");
    let heard = watch.wait().unwrap();
    assert!(!heard.lost && heard.sets.contains("ban4") && heard.more == 0, "{heard:?}");
    assert!(heard.to_string().ends_with(" deleted elements of set ban4"), "{heard}");
}

#[test]
fn own_repairs_are_not_external_changes() {
    if !kit::usable() {
        return;
    }
    let (netns, mut sink, _bin) = loaded();
    let mut watch = sink.watch().unwrap();
    let later = Some(now().plus(60 * MINUTE));
    let host = |n: u32| format!("10.1.{}.{}", n >> 8, n & 255);
    let bans: Vec<_> = (0..20_000).map(|n| element(ALL, &host(n), later)).collect();
    let report = sink.restore(&bans, now()).unwrap();
    assert!(report.done == bans.len() && !report.unheard);
    // It listens again.
    netns.exec("nft delete element inet asterguard ban4 { 10.1.0.7 }");
    let heard = watch.wait().unwrap();
    assert!(heard.more == 0 && !heard.lost && heard.emptied.contains("ban4"), "{heard:?}");

    // Somebody who is at it all the time, until the bans are back.
    netns.exec("nft flush set inet asterguard ban4; nft add table inet other");
    let (begun, busy) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let report = std::thread::scope(|scope| {
        let netns = &netns;
        scope.spawn(move || {
            while ended.try_recv().is_err() {
                netns.exec("nft add chain inet other c; nft delete chain inet other c");
                let _ = begun.send(());
            }
        });
        busy.recv().unwrap();
        let report = loop {
            let report = sink.restore(&bans, now()).unwrap();
            if report.unheard {
                break report;
            }
            netns.exec("nft flush set inet asterguard ban4");
        };
        end.send(()).unwrap();
        report
    });
    assert_eq!(report.done, bans.len());
}
