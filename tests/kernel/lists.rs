//! Lists: whom they drop, that they change without a gap, and that they slow nobody.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use asterguard::config::{ListConfig, ListFile};
use asterguard::enforce::ListSink;
use asterguard::enforce::helper::Remote;
use asterguard::enforce::{BanSink, NetlinkSink};
use asterguard::hosts::lists::{self, Lists};
use asterguard::table::list_sets::Contents;
use asterguard::table::structure::{Structure, TABLE};

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::{self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, MALLORY_V6, Netns, SIP, WEB};
use crate::{ALL, MINUTE, Way, apply, helper, put, sink, structure};

/// The lists that these texts are, read from files.
fn read(block: &str, feed: &str) -> Lists {
    let directory = tempfile::tempdir().unwrap();
    let [block, feed] = [("block", block), ("feed", feed)].map(|(name, text)| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let config = ListConfig {
        blockfiles: vec![block],
        feeds: vec![ListFile { name: "feed".to_owned(), path: feed, fetch: None }],
        ..ListConfig::default()
    };
    lists::load(&config, &Lists::default()).unwrap()
}

/// Has `sink` go by these lists, as the guard does.
fn change(lists: &mut ListSink, sink: &mut dyn BanSink, to: &Lists, structure: &Structure) {
    let contents = Contents::new(to);
    lists.fill(&contents).unwrap();
    sink.load(&Structure { lists: contents.sets(), ..structure.clone() }).unwrap();
    lists.sweep(&contents.sets()).unwrap();
}

fn list_sink(way: Way, netns: &Netns) -> ListSink {
    match way {
        Way::Netlink => {
            netns.enter();
            ListSink::netlink(netns.nft()).unwrap()
        }
        Way::Helper => {
            let Remote { bans, lists, .. } = helper(netns);
            // It ends when the first connection does.
            Box::leak(Box::new(bans));
            ListSink::Remote(lists)
        }
    }
}

#[test]
fn listed_hosts_are_dropped_unless_allowed() {
    for way in Way::ALL {
        if !kit::usable() {
            return;
        }
        let mut lab = Lab::new();
        let mut lists = list_sink(way, &lab.pbx);
        let mut sink = sink(&lab.pbx, &structure());
        let to = read(
            &format!("{MALLORY}/32\n192.0.2.66/31\n"),
            "192.0.2.64/28\n2001:db8:0:a::/64\n2001:db8:0:b::67\n",
        );
        change(&mut lists, &mut sink, &to, &structure());
        let hosts = [EVE, MALLORY, EVE_V6, EVE_V6_TOO, MALLORY_V6];
        for host in hosts {
            assert_eq!((lab.udp(host, SIP), lab.tcp(host, WEB)), (Dropped, Dropped), "{host}");
        }
        let fed = lab.pbx.exec("nft list counter inet asterguard fed");
        assert!(!fed.contains("packets 0 "), "{fed}");
        let friends = [EVE, EVE_V6, MALLORY_V6].map(str::parse::<std::net::IpAddr>);
        let friends: Vec<_> = friends.into_iter().map(|host| host.unwrap().into()).collect();
        sink.allow(&friends).unwrap();
        for (host, fate) in hosts.iter().zip([Arrived, Dropped, Arrived, Dropped, Arrived]) {
            assert_eq!(lab.udp(host, SIP), fate, "{host}");
        }
        sink.allow(&[]).unwrap();
        change(&mut lists, &mut sink, &Lists::default(), &structure());
        for host in hosts {
            assert_eq!(lab.udp(host, SIP), Arrived, "{host}");
        }
        let left = lab.pbx.exec("nft list ruleset");
        assert!(!left.contains("list_"), "{left}");
    }
}

#[test]
fn guarded_ports_admit_allowed_hosts_only() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guarded = Structure {
        guarded: vec![(1, 1), (WEB, WEB + 1)],
        allow: vec!["192.0.2.66/32".parse().unwrap()],
        ..structure()
    };
    let mut sink = sink(&lab.pbx, &guarded);
    assert_eq!((lab.udp(EVE, WEB), lab.tcp(EVE, WEB)), (Arrived, Arrived));
    for stranger in [MALLORY, MALLORY_V6] {
        assert_eq!((lab.udp(stranger, WEB), lab.tcp(stranger, WEB)), (Dropped, Dropped));
        assert_eq!((lab.udp(stranger, SIP), lab.ping(stranger)), (Arrived, Arrived));
    }
    sink.load(&structure()).unwrap();
    assert_eq!((lab.udp(MALLORY, WEB), lab.tcp(MALLORY_V6, WEB)), (Arrived, Arrived));
}

#[test]
fn lists_are_as_the_nft_program_fills_them() {
    if !kit::usable() {
        return;
    }
    let mut block = "203.0.113.0/24\n203.0.113.7\n2001:db8::/32\n".to_owned();
    let mut feed = String::new();
    for n in 0..3000_u32 {
        let random = n.wrapping_mul(2_654_435_761);
        let [a, b, c, d] = random.to_be_bytes();
        let _ = writeln!(feed, "{}.{b}.{c}.{d}/{}", a % 223 + 1, 10 + n % 23);
        let _ = writeln!(feed, "2a00:{b:x}{c:02x}:{d:x}::/{}", 20 + n % 109);
        let _ = writeln!(block, "198.18.{}.{d}", c % 8);
    }
    let to = read(&block, &feed);
    let allow = ["10.0.0.0/8", "10.1.2.3/32", "11.0.0.0/8", "255.255.255.255/32", "192.0.2.4/30"]
        .into_iter()
        .chain(["2001:db8::1/128", "::/16", "ff00::/8"])
        .map(|net| net.parse().unwrap())
        .collect::<Vec<_>>();
    let listings = Way::ALL.map(|way| {
        let (netns, mut sink) = way.open();
        let mut lists = list_sink(way, &netns);
        sink.load(&structure()).unwrap();
        change(&mut lists, &mut *sink, &to, &structure());
        for nets in [&allow[..1], &[], &allow[..]] {
            sink.allow(nets).unwrap();
        }
        // Filling again what is there does no harm.
        lists.fill(&Contents::new(&to)).unwrap();
        netns.exec("nft -n list ruleset")
    });
    let by_nft = {
        let (netns, contents) = (Netns::new(), Contents::new(&to));
        let whole = Structure { lists: contents.sets(), allow, ..structure() };
        let mut text = whole.ruleset();
        for (set, keys) in contents.iter() {
            let keys: Vec<_> = keys.iter().map(|key| key.to_string()).collect();
            let _ =
                writeln!(text, "add element inet {TABLE} {} {{ {} }}", set.name, keys.join(", "));
        }
        netns.nft().run(&["-f", "-"], text.as_bytes()).unwrap();
        netns.exec("nft -n list ruleset")
    };
    // In whatever order the sets were made, and their elements are listed.
    let [by_netlink, by_helper] = listings;
    let [by_nft, by_netlink, by_helper] = [by_nft, by_netlink, by_helper].map(|text| {
        let mut words: Vec<_> = text
            .split([' ', ',', '\n', '\t'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        words.sort();
        words
    });
    assert!(by_nft.len() > 8000, "{}", by_nft.len());
    assert_eq!(by_nft, by_netlink);
    assert_eq!(by_nft, by_helper);
}

#[test]
fn a_list_changes_without_a_gap() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let (one, two) = (read("", "192.0.2.66\n192.0.2.67\n"), read("198.18.0.1", "192.0.2.64/30\n"));
    let mut first = list_sink(Way::Netlink, &lab.pbx);
    let mut sink = sink(&lab.pbx, &structure());
    change(&mut first, &mut sink, &one, &structure());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for n in 0..40 {
                change(&mut first, &mut sink, [&two, &one][n % 2], &structure());
            }
            done.store(true, Ordering::Release);
        });
        let mut sent = 0;
        while !done.load(Ordering::Acquire) && !changes.is_finished() {
            assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, WEB)), (Dropped, Dropped), "{sent}");
            sent += 2;
        }
        changes.join().unwrap();
        assert!(sent > 10, "only {sent} packets");
    });
    // What a structure still needs is not swept away, whoever asks for it.
    first.sweep(&[]).unwrap();
    assert_eq!(lab.udp(EVE, SIP), Dropped);
}

/// How many networks the feed has in the test below.
const MANY: u32 = 100_000;

#[test]
fn large_feed_slows_no_packets() {
    if !kit::usable() {
        return;
    }
    let many = std::env::var("ASTERGUARD_FEED").map_or(MANY, |many| many.parse().unwrap());
    let feed: String = (0..many)
        .map(|n| {
            // Every address once: the multiplier is odd.
            let [_, b, c, d] = n.wrapping_mul(2_654_435_761).to_be_bytes();
            match n % 4 {
                0 => format!("{}.{b}.{c}.0/24\n", 11 + n % 60),
                1 => format!("2a00:{:x}:{:x}::/48\n", n >> 16, n & 0xffff),
                _ => format!("{}.{}.{c}.{d}\n", 128 + (n >> 16) % 40, n >> 8 & 255),
            }
        })
        .collect();
    let time = |what: &str, act: &mut dyn FnMut()| {
        let begin = Instant::now();
        act();
        eprintln!("{what}: {:?}", begin.elapsed());
        begin.elapsed()
    };
    let mut to = Lists::default();
    time("reading", &mut || to = read("", &feed));
    let netns = Netns::new();
    netns.enter();
    let mut sink = NetlinkSink::new(netns.nft()).unwrap();
    sink.load(&structure()).unwrap();
    let mut lists = ListSink::netlink(netns.nft()).unwrap();
    let contents = Contents::new(&to);
    eprintln!("{} networks in {} sets", contents.len(), contents.sets().len());
    time("filling", &mut || lists.fill(&contents).unwrap());
    let full = Structure { lists: contents.sets(), ..structure() };
    let loading = time("loading", &mut || sink.load(&full).unwrap());
    let again = time("loading again", &mut || sink.load(&full).unwrap());
    let other = time("another table's element", &mut || {
        netns.exec("nft 'add table inet t; add set inet t s { type ipv4_addr; }; add element inet t s { 192.0.2.1 }'");
    });
    let allow = time("allow", &mut || sink.allow(&["192.0.2.1/32".parse().unwrap()]).unwrap());
    let mut bans = Vec::new();
    for n in 0..200 {
        let host = format!("192.0.2.{n}");
        let begin = Instant::now();
        apply(&mut sink, &[put(ALL, &host, MINUTE)]);
        bans.push(begin.elapsed());
    }
    bans.sort();
    eprintln!("a ban: {:?} median, {:?} at most", bans[100], bans[199]);
    time("filling beside it", &mut || lists.fill(&contents).unwrap());
    time("sweeping", &mut || {
        sink.load(&structure()).unwrap();
        lists.sweep(&[]).unwrap();
    });
    for span in [loading, again, other, allow] {
        assert!(span < Duration::from_secs(1), "{span:?}");
    }
    assert!(bans[100] < Duration::from_millis(5), "{:?}", bans[100]);
}
