//! The geofence: how long it takes to load, what a packet costs, and whether other runs of `nft` get slow.
//!
//! ```text
//! make bench-geofence          # fetches a database of countries, and says where it is
//! ```
//!
//! Needs root: all happens in network namespaces of its own. Packets go through a pair of virtual interfaces to a socket
//! that nobody reads. Rounds with and without a geofence take turns, and the medians are compared.
#![allow(
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it measures time, shows it, and fails by panicking"
)]

#[path = "../../tests/kit/mod.rs"]
mod kit;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use asterguard::config::{Countries, FenceAction, Mode};
use asterguard::enforce::{BanSink as _, ListSink, NetlinkSink};
use asterguard::geo::{Country, Databases};
use asterguard::hosts::lists::Lists;
use asterguard::table::geofence_rules::Fence;
use asterguard::table::list_sets::Contents;
use asterguard::table::structure::Structure;
use asterguard::{hosts::lists::Geofence, sys::program::Program};

use kit::{Netns, SIP, wired};

/// Where the database is.
const DATABASE: &str = "ASTERGUARD_MMDB";

const LARGEST: [&str; 2] = ["US", "CN"];
const THIRTY: [&str; 30] = [
    "DE", "AT", "CH", "FR", "NL", "BE", "LU", "IT", "ES", "PT", "GB", "IE", "DK", "SE", "NO", "FI",
    "IS", "PL", "CZ", "SK", "HU", "SI", "HR", "RO", "BG", "GR", "CY", "MT", "EE", "LV",
];

/// The PBX, and who sends to it: hosts that no country has, so that they are looked for in all sets and then noted where
/// countries are allowed; and one that is in Germany.
const PBX: [&str; 3] = ["203.0.113.1", "2001:db8:0:ff::1", "193.99.144.1"];
const HOSTS: [&str; 3] = ["203.0.113.2", "2001:db8::2", "193.99.144.2"];
const WORDS: [&str; 3] = ["IPv4, of no country", "IPv6, of no country", "IPv4, of Germany"];

/// How much is measured: all of it, or, as a test, hardly anything.
struct Amount {
    rounds: usize,
    packets: u32,
    runs: usize,
}

const MEASURED: Amount = Amount { rounds: 201, packets: 3000, runs: 10 };
const TRIED: Amount = Amount { rounds: 3, packets: 500, runs: 2 };

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

struct Scene {
    pbx: Netns,
    outside: Netns,
    /// Never read, so that packets end there.
    _sockets: Vec<UdpSocket>,
    table: NetlinkSink,
    lists: ListSink,
    without: Structure,
}

impl Scene {
    fn new() -> Self {
        let (pbx, outside) = wired(&PBX, &HOSTS);
        pbx.enter();
        let sockets = ["0.0.0.0", "::"].map(|any| {
            let any =
                if any == "::" { format!("[{any}]:{}", SIP + 1) } else { format!("{any}:{SIP}") };
            UdpSocket::bind(any).unwrap()
        });
        let mut table = NetlinkSink::new(Program::nft()).unwrap();
        let without = Structure::new(&kit::config(Vec::new()));
        table.load(&without).unwrap();
        // Another program's table.
        pbx.exec("nft 'add table ip other; add set ip other hosts { type ipv4_addr; }'");
        let lists = ListSink::netlink(Program::nft()).unwrap();
        Self { pbx, outside, _sockets: sockets.into(), table, lists, without }
    }

    /// Microseconds that a packet takes from `sender`.
    fn send(sender: &UdpSocket, packets: u32) -> f64 {
        let text = [b'x'; 400];
        let start = Instant::now();
        for _ in 0..packets {
            let _ = sender.send(&text);
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(packets)
    }

    /// Opens a socket outside.
    fn sender(&self, number: usize) -> UdpSocket {
        let (host, to) = (HOSTS[number], PBX[number]);
        let (host, to) = if host.contains(':') {
            (format!("[{host}]:0"), format!("[{to}]:{}", SIP + 1))
        } else {
            (format!("{host}:0"), format!("{to}:{SIP}"))
        };
        self.outside.enter();
        let socket = UdpSocket::bind(host).unwrap();
        socket.connect(to).unwrap();
        self.pbx.enter();
        socket
    }

    /// Milliseconds that a run of `nft` takes that adds to another table, and one that lists it.
    fn nft(&self, runs: usize) -> (f64, f64) {
        let time = |arguments: &[&str]| {
            let start = Instant::now();
            let done = self.pbx.command("nft").args(arguments).output().unwrap();
            assert!(done.status.success());
            milliseconds(start)
        };
        let add = (0..runs).map(|n| {
            let element = format!("{{ 198.51.100.{} }}", n % 250);
            time(&["add", "element", "ip", "other", "hosts", &element])
        });
        (
            median(add.collect()),
            median((0..runs).map(|_| time(&["list", "table", "ip", "other"])).collect()),
        )
    }
}

fn measure(scene: &mut Scene, databases: &Databases, countries: &Countries, amount: &Amount) {
    let name = format!("{} {}", countries.action.word(), countries.named.len());
    let before = scene.nft(amount.runs);
    let start = Instant::now();
    let fence: Geofence = databases.geofence(countries, None);
    assert_eq!(fence.problem, None);
    let scanned = milliseconds(start);
    let lists = Lists { geofence: Some(fence), ..Lists::default() };
    let contents = Contents::new(&lists);
    scene.lists.fill(&contents).unwrap();
    let Countries { action, mode, .. } = *countries;
    let geofence = Some(Fence { action, mode });
    let with = Structure { lists: contents.sets(), geofence, ..scene.without.clone() };
    scene.table.load(&with).unwrap();
    scene.lists.admit(&[], true).unwrap();
    println!(
        "{name}: {} networks in {} sets; loaded in {:.0} ms (reading the database's networks {scanned:.0} ms)",
        contents.len(),
        contents.sets().len(),
        milliseconds(start)
    );
    let beside = scene.nft(amount.runs);
    for (number, word) in WORDS.into_iter().enumerate() {
        let sender = scene.sender(number);
        let (mut bare, mut fenced) = (Vec::new(), Vec::new());
        for _ in 0..amount.rounds {
            scene.table.load(&scene.without).unwrap();
            bare.push(Scene::send(&sender, amount.packets));
            scene.table.load(&with).unwrap();
            fenced.push(Scene::send(&sender, amount.packets));
        }
        let costs = bare.iter().zip(&fenced).map(|(bare, fenced)| fenced - bare).collect();
        println!(
            "{name}: a packet ({word}) takes {:.2} µs, without {:.2} µs: {:.2} µs more",
            median(fenced),
            median(bare),
            median(costs)
        );
    }
    scene.table.load(&scene.without).unwrap();
    scene.lists.sweep(&[]).unwrap();
    let after = scene.nft(amount.runs);
    println!(
        "{name}: nft adds to another table in {:.2} ms (before: {:.2} ms, after: {:.2} ms), lists it in {:.2} ms ({:.2}, {:.2})",
        beside.0, before.0, after.0, beside.1, before.1, after.1
    );
}

fn main() {
    let amount = if std::env::args().any(|arg| arg == "--bench") { MEASURED } else { TRIED };
    if !kit::usable() {
        return;
    }
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else {
        println!("skipped: {DATABASE} names no database");
        return;
    };
    let start = Instant::now();
    let databases = Arc::new(Databases::open(&[path]));
    println!("the file is read in {:.0} ms", milliseconds(start));
    let mut scene = Scene::new();
    let set = |codes: &[&str]| -> BTreeSet<Country> {
        codes.iter().map(|code| Country::of(code.as_bytes()).unwrap()).collect()
    };
    for (action, named) in [(FenceAction::Deny, set(&LARGEST)), (FenceAction::Allow, set(&THIRTY))]
    {
        let countries = Countries { action, named, mode: Mode::Observe };
        measure(&mut scene, &databases, &countries, &amount);
    }
}
