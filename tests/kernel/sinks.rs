//! What sinks promise, in the kernel and dry, and what they say of an `nft` that fails.

use std::process::Command;
use std::time::{Duration, Instant};

use asterguard::enforce::{BanSink, CounterSocket, DryRunSink, NetlinkSink, NftProgram, SinkError};
use asterguard::model::event::KernelElement;
use asterguard::model::event::{Change, Element, JailId, ScopeId};
use asterguard::model::pause::Pause;
use asterguard::model::scope::{Blocktype, Ports};
use asterguard::model::subject::Subject;
use asterguard::sys::program::Program;
use asterguard::table::first_load::first_load;
use asterguard::table::structure::Structure;

use crate::kit::{self, EVE, EVE_V6, MALLORY, MALLORY_V6, Netns, now};
use crate::{ALL, MINUTE, ONLY_SIP, Way, apply, element, put, sink, structure, subject};

#[test]
fn every_structure_loads() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut config = kit::config(Vec::new());
    for ipv6prefix in [1, 48, 64, 127, 128] {
        config.ipv6prefix = ipv6prefix;
        for blocktype in [Blocktype::Drop, Blocktype::Reject] {
            for port in ["all", "sip", "web", "drop", "tcp", "9-lives_"] {
                config.jails.push(kit::jail(
                    &format!("j{ipv6prefix}-{port}"),
                    port,
                    blocktype,
                    ipv6prefix,
                ));
            }
        }
    }
    for name in ["drop", "tcp", "9-lives_"] {
        config.ports.push((name.to_owned(), Ports::Ranges(vec![(0, u16::MAX)])));
    }
    for allow in
        ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::/0", "2001:db8::/32", "2001:db8::1/128"]
    {
        config.ignoreip.push(allow.parse().unwrap());
    }
    let structure = Structure::new(&config);
    assert_eq!(structure.scopes.len(), 2 + 58);
    sink(&netns, &structure).load(&structure).unwrap();
}

#[test]
fn allow_list_changes_without_a_gap() {
    if !kit::usable() {
        return;
    }
    let mut lab = kit::Lab::new();
    let structure = structure();
    let mut sink = sink(&lab.pbx, &structure);
    sink.load(&structure).unwrap();
    apply(&mut sink, &[put(ALL, EVE, MINUTE), put(ALL, MALLORY, MINUTE)]);
    assert_eq!(lab.udp(EVE, kit::SIP), kit::Fate::Dropped);
    let eve: ipnet::IpNet = format!("{EVE}/32").parse().unwrap();
    sink.allow(&[eve]).unwrap();
    assert_eq!(lab.udp(EVE, kit::SIP), kit::Fate::Arrived);
    assert_eq!(lab.udp(MALLORY, kit::SIP), kit::Fate::Dropped);

    // One that stays allowed never notices that others come and go.
    let others: Vec<ipnet::IpNet> =
        (0..200).map(|n| format!("10.{n}.0.0/24").parse().unwrap()).collect();
    for round in 0..20 {
        let nets: Vec<_> = others.iter().skip(round * 10).copied().chain([eve]).collect();
        sink.allow(&nets).unwrap();
        assert_eq!(lab.udp(EVE, kit::SIP), kit::Fate::Arrived, "round {round}");
    }
    sink.allow(&[]).unwrap();
    assert_eq!(lab.udp(EVE, kit::SIP), kit::Fate::Dropped, "the ban was there all the time");
    assert_eq!(sink.adopt(now()).unwrap().len(), 2);
    lab.pbx.exec("nft flush ruleset");
    assert!(matches!(sink.allow(&[eve]), Err(SinkError::NoTable)));
}

#[test]
fn the_first_load_declares_what_every_load_does() {
    if !kit::usable() {
        return;
    }
    let structure = Structure {
        guarded: vec![(22, 22)],
        heard: [5070].into(),
        allow: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()],
        ..structure()
    };
    let [any, first, loaded] = [(); 3].map(|()| Netns::new());
    let list = |netns: &Netns| netns.exec("nft list table inet asterguard");
    any.nft().run(&["-f", "-"], structure.ruleset().as_bytes()).unwrap();
    let text = first_load(&structure.ruleset());
    first.nft().run(&["-f", "-"], text.as_bytes()).unwrap();
    assert_eq!(list(&first), list(&any));
    first.nft().run(&["-f", "-"], text.as_bytes()).expect_err("the table is there");

    let mut sink = sink(&loaded, &structure);
    assert_eq!(list(&loaded), list(&any));
    sink.load(&structure).unwrap();
    assert_eq!(list(&loaded), list(&any));
    // Somebody took all of it away but the table.
    loaded.exec("nft delete table inet asterguard; nft add table inet asterguard");
    sink.load(&structure).unwrap();
    assert_eq!(list(&loaded), list(&any));
}

#[test]
fn a_refused_element_costs_only_itself() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    // One set takes three elements only, of which two are there.
    let full = "set ban6 {\n\t\ttype ipv6_addr\n\t\tsize 1048576";
    let tiny = structure().ruleset().replace(full, &full.replace("1048576", "3"));
    assert_ne!(tiny, structure().ruleset());
    netns.nft().run(&["-f", "-"], tiny.as_bytes()).unwrap();
    let mut sink = Way::Netlink.attach(&netns, structure());
    apply(
        &mut *sink,
        &[put(ALL, "2001:db8:1::", 60 * MINUTE), put(ALL, "2001:db8:2::", 60 * MINUTE)],
    );

    let mut changes: Vec<_> = (0..1000_u16)
        .map(|n| put(ALL, &format!("10.0.{}.{}", n / 250, n % 250), 60 * MINUTE))
        .collect();
    let nowhere = put(ScopeId(99), "10.1.0.1", 60 * MINUTE);
    let [within, around] = ["10.1.2.0/24", "10.1.0.0/16"].map(|net| {
        let subject = net.parse().unwrap();
        Change::Put(Element { subject, ..element(ALL, EVE, Some(now().plus(60 * MINUTE))) })
    });
    changes.insert(500, nowhere);
    // Of two networks that overlap, the one that comes first.
    changes.insert(600, within);
    changes.insert(601, around);
    // These find room: one is there, one goes, one takes the free place and one that of the other.
    changes.insert(100, put(ALL, "2001:db8:1::", 90 * MINUTE));
    changes.insert(200, Change::Remove(ALL, subject("2001:db8:2::")));
    changes.insert(300, put(ALL, "2001:db8:3::", 60 * MINUTE));
    changes.insert(400, put(ALL, "2001:db8:4::", 60 * MINUTE));
    let report = sink.apply(&changes, now()).unwrap();
    assert_eq!(report.done, 1005);
    let refused: Vec<_> = report.refused.iter().map(|(change, _)| *change).collect();
    assert_eq!(refused, [around, nowhere]);
    assert!(report.refused[0].1.contains("overlaps"), "{:?}", report.refused);

    // Now it is full.
    changes.truncate(99);
    changes.insert(50, put(ALL, "2001:db8:5::", 60 * MINUTE));
    changes.insert(60, Change::Remove(ALL, subject("2001:db8:6::")));
    let report = sink.apply(&changes, now()).unwrap();
    assert_eq!(report.done, 100);
    let [(change, words)] = &report.refused[..] else { panic!("{:?}", report.refused) };
    assert_eq!(*change, changes[50]);
    assert!(words.contains("full") && words.contains("Too many open files in system"), "{words}");
    assert_eq!(sink.adopt(now()).unwrap().len(), 1004);

    // Many that are refused do not take for ever, and what has room still gets in.
    let many: Vec<_> =
        (0x10..0x1010).map(|n| put(ALL, &format!("2001:db8:{n:x}::"), 60 * MINUTE)).collect();
    let report =
        sink.apply(&[&many[..], &[put(ALL, "10.1.0.0", 60 * MINUTE)]].concat(), now()).unwrap();
    assert_eq!((report.done, report.refused.len()), (1, many.len()));
}

#[test]
fn existing_bans_are_adopted() {
    if kit::usable() {
        adoption(Way::Netlink);
    }
}

#[test]
fn what_is_there_can_be_adopted_by_the_helper() {
    if kit::usable() {
        adoption(Way::Helper);
    }
}

fn adoption(way: Way) {
    let netns = Netns::new();
    let structure = structure();
    let mut sink = sink(&netns, &structure);
    assert_eq!(sink.adopt(now()).unwrap(), []);
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    let mut elements = vec![
        element(ALL, EVE, Some(now().plus(MINUTE))),
        element(ALL, EVE_V6, Some(now().plus(Duration::from_secs(3600)))),
        element(ONLY_SIP, MALLORY, None),
        element(web, MALLORY_V6, Some(now().plus(Duration::from_secs(3_155_760_000)))),
        element(ALL, "192.0.2.66:5060", Some(now().plus(MINUTE))),
        element(web, "[2001:db8::7]:65535", None),
    ];
    elements[1].jail = JailId(0);
    apply(&mut sink, &elements.iter().map(|e| Change::Put(*e)).collect::<Vec<_>>());
    let added = now();
    netns.exec(
        "nft 'add element inet asterguard sip4 { 203.0.113.1 timeout 3000s comment \"by hand\" }'",
    );
    netns.exec("nft 'add element inet asterguard sip6 { 2001:db8:c::7 }'");

    let mut sink = way.attach(&netns, structure.clone());
    let adopted = sink.adopt(now()).unwrap();
    let read = NftProgram::new(netns.nft()).bans(&structure, now()).unwrap();
    // Where there is no time for it, nothing is listed, and the sink works on.
    assert_eq!(sink.adopt_within(now(), Duration::ZERO, 0).unwrap(), None);
    let within = sink.adopt_within(now(), MINUTE, 0).unwrap().unwrap();
    assert_eq!(sink.adopt_within(now(), Duration::ZERO, 100).unwrap().unwrap().len(), within.len());
    netns.enter();
    let beside = CounterSocket::open().unwrap().held(&structure, now()).unwrap();
    for adopted in [&adopted, &read, &within, &beside] {
        assert_eq!(adopted.len(), elements.len() + 2);
        for element in &elements {
            let mut found = adopted.iter().filter(|found| found.known_jail);
            let found = found.any(|found| same(&found.element, element));
            assert!(found, "{element:?} not in {adopted:?}");
        }
    }
    // It was added some time between then and now.
    let (span, slack) = (Duration::from_secs(3000), Duration::from_secs(2));
    let ends = added.plus(span)..=now().plus(span + slack + slack);
    let foreign: Vec<_> = adopted.iter().filter(|found| !found.known_jail).collect();
    let by_hand = |element: &Element| {
        (element.scope, element.subject) == (ONLY_SIP, subject("203.0.113.1"))
            && element.until.is_some_and(|until| ends.contains(&until.plus(slack)))
    };
    assert!(foreign.iter().any(|found| by_hand(&found.element)), "{foreign:?}");
    let alone = Subject::of("2001:db8:c::7".parse().unwrap(), 128);
    assert!(foreign.iter().any(|found| found.element.subject == alone));
}

/// Whether two elements are the same up to a second or so.
fn same(a: &Element, b: &Element) -> bool {
    let near = match (a.until, b.until) {
        (Some(a), Some(b)) => a.since(b) + b.since(a) <= Duration::from_secs(2),
        (a, b) => a == b,
    };
    (a.scope, a.subject, a.jail) == (b.scope, b.subject, b.jail) && near
}

/// What every sink does, whatever is behind it.
fn behaves_like_a_sink(sink: &mut dyn BanSink) {
    let is = |sink: &mut dyn BanSink, expected: &[Element]| {
        let adopted = sink.adopt(now()).unwrap();
        let all = expected
            .iter()
            .all(|e| adopted.iter().any(|a: &KernelElement| a.known_jail && same(&a.element, e)));
        assert!(all && adopted.len() == expected.len(), "{adopted:?} instead of {expected:?}");
    };
    let for_secs = |secs| Some(now().plus(Duration::from_secs(secs)));
    assert!(matches!(sink.apply(&[], now()), Err(SinkError::NoTable)), "nothing is loaded yet");
    sink.load(&structure()).unwrap();
    is(sink, &[]);
    assert_eq!(sink.apply(&[], now()).unwrap().done, 0);

    let eve = element(ALL, EVE, for_secs(100));
    let eve6 = element(ONLY_SIP, EVE_V6, for_secs(200));
    let report = sink.apply(&[Change::Put(eve), Change::Put(eve6)], now()).unwrap();
    assert_eq!((report.done, report.refused.len()), (2, 0));
    is(sink, &[eve, eve6]);
    for secs in [1000, 20] {
        let eve = element(ALL, EVE, for_secs(secs));
        apply(sink, &[Change::Put(eve)]);
        is(sink, &[eve, eve6]);
    }
    let other_jail = Element { jail: JailId(0), ..eve };
    apply(sink, &[Change::Put(other_jail)]);
    is(sink, &[other_jail, eve6]);
    for permanent in
        [element(ALL, EVE, None), element(ALL, EVE, for_secs(30)), element(ALL, EVE, None)]
    {
        apply(sink, &[Change::Put(permanent)]);
        is(sink, &[permanent, eve6]);
    }
    // The same key in another scope is another element, and removing what is not there is fine.
    let elsewhere = element(ONLY_SIP, EVE, for_secs(100));
    apply(
        sink,
        &[
            Change::Put(elsewhere),
            Change::Remove(ALL, subject(EVE)),
            Change::Remove(ALL, subject(MALLORY)),
        ],
    );
    is(sink, &[elsewhere, eve6]);
    // Of several changes to a key the last counts.
    let mallory = element(ALL, MALLORY, for_secs(50));
    let changes = [
        Change::Put(element(ALL, MALLORY, None)),
        Change::Remove(ALL, mallory.subject),
        Change::Put(mallory),
        Change::Put(elsewhere),
        Change::Remove(ONLY_SIP, elsewhere.subject),
    ];
    assert_eq!(sink.apply(&changes, now()).unwrap().done, 2);
    is(sink, &[mallory, eve6]);
    // A ban that is over already is none.
    apply(sink, &[Change::Put(element(ALL, MALLORY, Some(now())))]);
    is(sink, &[eve6]);
    // A port of a host is one more, beside the host and its other ports.
    let flows = ["192.0.2.66:5060", "192.0.2.66:5061", "[2001:db8:0:a::66]:5060"];
    let [one, two, six] = flows.map(|flow| element(ALL, flow, for_secs(100)));
    let eve = element(ALL, EVE, for_secs(100));
    apply(sink, &[eve, one, two, six].map(Change::Put));
    is(sink, &[eve6, eve, one, two, six]);
    let longer = element(ALL, flows[0], None);
    apply(sink, &[Change::Put(longer), Change::Remove(ALL, eve.subject)]);
    is(sink, &[eve6, longer, two, six]);
    apply(sink, &[longer, two, six].map(|element| Change::Remove(ALL, element.subject)));
    is(sink, &[eve6]);
    // Networks come in place of those within them, and what is not there can be removed.
    let net =
        |text: &str| Element { subject: text.parse().unwrap(), ..element(ALL, EVE, for_secs(100)) };
    let [narrow, wide, six, single] =
        ["10.1.0.0/16", "10.0.0.0/8", "2001:db8::/63", "2001:db8::"].map(net);
    let nowhere = Change::Put(Element { scope: ScopeId(99), ..mallory });
    let removed = [wide, six, single].map(|element| Change::Remove(ALL, element.subject));
    let puts = [nowhere, Change::Put(mallory), Change::Put(narrow), Change::Put(six)];
    let report = sink.apply(&[&removed[..2], &puts].concat(), now()).unwrap();
    assert_eq!((report.done, report.refused.len()), (4, 1), "{:?}", report.refused);
    is(sink, &[narrow, six, mallory, eve6]);
    apply(sink, &[Change::Remove(ALL, narrow.subject), Change::Put(wide), removed[2]]);
    is(sink, &[wide, six, mallory, eve6]);
    apply(sink, &[wide, six].map(|element| Change::Remove(ALL, element.subject)));
    is(sink, &[mallory, eve6]);
    sink.load(&structure()).unwrap();
    is(sink, &[mallory, eve6]);

    assert_eq!(sink.paused(now()).unwrap(), Pause::Off);
    sink.resume().unwrap();
    for secs in [900, 60] {
        sink.pause(Some(Duration::from_secs(secs))).unwrap();
        let until = sink.paused(now()).unwrap().end().unwrap();
        assert!(until.since(now()).as_secs().abs_diff(secs) <= 2, "{until}");
    }
    sink.pause(None).unwrap();
    assert_eq!(sink.paused(now()).unwrap(), Pause::Indefinite);
    sink.resume().unwrap();
    assert_eq!(sink.paused(now()).unwrap(), Pause::Off);
}

#[test]
fn the_dry_run_behaves_like_a_sink() {
    behaves_like_a_sink(&mut DryRunSink::new());
}

#[test]
fn the_kernel_behaves_like_a_sink() {
    if kit::usable() {
        let (_netns, mut sink) = Way::Netlink.open();
        behaves_like_a_sink(&mut *sink);
    }
}

#[test]
fn the_helper_behaves_like_a_sink() {
    if kit::usable() {
        let (_netns, mut sink) = Way::Helper.open();
        behaves_like_a_sink(&mut *sink);
    }
}

#[test]
fn a_table_that_is_gone_is_told_apart() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let structure = structure();
    let mut sink = Way::Netlink.attach(&netns, structure.clone());
    let nft = NftProgram::new(netns.nft());
    let ban = put(ALL, EVE, MINUTE);
    let gone = |sink: &mut dyn BanSink| {
        for changes in [vec![ban], vec![Change::Remove(ALL, subject(EVE))], vec![ban; 3]] {
            assert!(matches!(sink.apply(&changes, now()), Err(SinkError::NoTable)));
        }
        assert!(matches!(sink.pause(None), Err(SinkError::NoTable)));
        assert!(matches!(sink.resume(), Err(SinkError::NoTable)));
        assert!(matches!(sink.paused(now()), Err(SinkError::NoTable)));
        assert_eq!(sink.adopt(now()).unwrap(), []);
        assert!(matches!(nft.pause(None), Err(SinkError::NoTable)));
        assert!(matches!(nft.resume(), Err(SinkError::NoTable)));
        assert!(matches!(nft.paused(now()), Err(SinkError::NoTable)));
        assert_eq!(nft.bans(&structure, now()).unwrap(), []);
    };
    gone(&mut *sink);
    sink.load(&structure).unwrap();
    apply(&mut *sink, &[ban]);
    netns.exec("nft flush ruleset");
    gone(&mut *sink);
    sink.load(&structure).unwrap();
    // One set of many is enough.
    let web = structure.find_scope("web", Blocktype::Drop, 64).unwrap();
    netns.exec(
        "nft 'flush chain inet asterguard prerouting; flush chain inet asterguard passed_input;
         flush chain inet asterguard passed_forward; delete set inet asterguard scope_web_drop_64_v4'",
    );
    assert!(matches!(sink.apply(&[ban, put(web, EVE, MINUTE)], now()), Err(SinkError::NoTable)));
    sink.load(&structure).unwrap();
    apply(&mut *sink, &[ban, put(web, EVE, MINUTE)]);
}

#[test]
fn failing_nft_is_reported_as_such() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    sink(&netns, &structure());
    let errors = |nft: Program| {
        let loaded = NetlinkSink::new(nft.clone()).unwrap().load(&structure()).unwrap_err();
        let nft = NftProgram::new(nft);
        let read = nft.bans(&structure(), now()).unwrap_err();
        [loaded, read, nft.pause(None).unwrap_err(), nft.paused(now()).unwrap_err()]
    };
    for error in errors(Program::with_argv(["nft-that-is-not-installed"])) {
        assert!(matches!(error, SinkError::NoProgram { .. }), "{error}");
    }
    // Root, but without CAP_NET_ADMIN over the namespace.
    let powerless =
        ["ip", "netns", "exec", netns.name(), "setpriv", "--bounding-set=-net_admin", "nft"];
    for error in errors(Program::with_argv(powerless)) {
        assert!(matches!(error, SinkError::NotPermitted(_)), "{error}");
    }
    let bin = tempfile::tempdir().unwrap();
    let shim = bin.path().join("nft");
    kit::script(&shim, "#!/bin/sh\nsleep 1000\n");
    let limit = Duration::from_millis(100);
    let before = Instant::now();
    for error in errors(Program::with_argv([&shim]).limited(limit)) {
        assert!(matches!(error, SinkError::Hangs(_)), "{error}");
    }
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    let left = Command::new("pgrep").arg("-f").arg(&shim).output().unwrap().stdout;
    assert_eq!(String::from_utf8(left).unwrap(), "", "all of it is stopped");
    // Refusals that are nobody's fault in particular are the fault of the whole.
    kit::script(&shim, "#!/bin/sh\necho 'Error: JSON support not compiled-in' >&2\nexit 1\n");
    for error in errors(Program::with_argv([&shim])) {
        assert!(matches!(&error, SinkError::Refused(words) if words.contains("JSON")), "{error}");
    }
}

#[test]
fn pauses_by_the_nft_program_are_those_of_the_sink() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let (mut sink, nft) = (sink(&netns, &structure()), NftProgram::new(netns.nft()));
    for secs in [900, 60] {
        nft.pause(Some(Duration::from_secs(secs))).unwrap();
        for paused in [sink.paused(now()).unwrap(), nft.paused(now()).unwrap()] {
            let until = paused.end().unwrap();
            assert!(until.since(now()).as_secs().abs_diff(secs) <= 2, "{until}");
        }
    }
    nft.pause(None).unwrap();
    assert_eq!([sink.paused(now()).unwrap(), nft.paused(now()).unwrap()], [Pause::Indefinite; 2]);
    nft.resume().unwrap();
    assert_eq!([sink.paused(now()).unwrap(), nft.paused(now()).unwrap()], [Pause::Off; 2]);
    // More than every nft can be told is as long as it can be told.
    nft.pause(Some(Duration::MAX)).unwrap();
    assert!(nft.paused(now()).unwrap().end().unwrap().since(now()) > 10_000_000 * MINUTE);
}

#[test]
fn many_bans_go_in_at_once() {
    for way in Way::ALL {
        if !kit::usable() {
            return;
        }
        let (_netns, mut sink) = way.open();
        sink.load(&structure()).unwrap();
        let address = |n: u32| match n % 2 {
            0 => format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255),
            _ => format!("2001:db8:{n:x}::"),
        };
        let changes: Vec<_> = (0..40_000).map(|n| put(ALL, &address(n), 60 * MINUTE)).collect();
        let before = Instant::now();
        apply(&mut *sink, &changes);
        let span = before.elapsed();
        eprintln!("40 000 bans took {span:?} ({way:?})");
        // A hundred times what it takes, since anything may run beside it.
        assert!(span < std::time::Duration::from_secs(60), "{span:?} ({way:?})");
        assert_eq!(sink.adopt(now()).unwrap().len(), changes.len());
        let removals: Vec<_> =
            changes.iter().map(|c| Change::Remove(c.key().0, c.key().1)).collect();
        apply(&mut *sink, &removals);
        assert_eq!(sink.adopt(now()).unwrap(), []);
    }
}
