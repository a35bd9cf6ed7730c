//! All ways to the kernel's sets, and the `nft` program, side by side: the same changes leave the same
//! sets, and refuse the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use asterguard::enforce::{BanSink, NetlinkSink};
use asterguard::model::event::{Change, Element, JailId, ScopeId};
use asterguard::model::subject::Subject;
use asterguard::sys::program::Program;
use asterguard::table::structure::{SetKey, Structure};
use serde_json::Value;

use crate::kit::guard::PROGRAM;
use crate::kit::random::{self, Random};
use crate::kit::{self, Netns, now};
use crate::nft_writer::NftWriter;
use crate::{ALL, ONLY_SIP, Way, element, helper_of, structure, subject};

const OPERATIONS: usize = 10_000;
/// After so many, the sets are compared.
const COMPARED: usize = 1000;
/// Room in two of the four sets, for a little less than comes.
const ROOM: usize = 150;
/// So many that are refused for want of room are enough: `nft` has to be run a dozen times for each.
const REFUSED: usize = 30;
/// Addresses of each family.
const ADDRESSES: usize = 250;

/// What carries the changes out.
enum Hand {
    Sink(Box<dyn BanSink>),
    Nft(Box<NftWriter>),
}

/// One of the ways (`None`: the `nft` program), in a namespace of its own.
struct Subjected {
    way: Option<Way>,
    netns: Netns,
    hand: Hand,
    /// The longest that changes took: so much later than meant, elements may end.
    slowest: Duration,
}

impl Subjected {
    /// With sets that are not as large as ours are; `bin` is for the programs that declare them.
    fn open(way: Option<Way>, bin: &Path) -> Self {
        let netns = Netns::new();
        let nft = bin.join("nft");
        let own = String::from_utf8(netns.try_exec("command -v nft").stdout).unwrap();
        let smaller = |set| format!("-e '/set {set} {{/,/}}/s/size 1048576/size {ROOM}/'");
        let sed = format!("sed {} {}", smaller("sip4"), smaller("ban6"));
        // Elements come in lines that are left as they are.
        kit::script(&nft, &format!("#!/bin/sh\n{sed} | {} \"$@\"\n", own.trim()));
        let by =
            || Program::with_argv(["ip", "netns", "exec", netns.name(), nft.to_str().unwrap()]);
        let loaded = |mut sink: Box<dyn BanSink>| {
            sink.load(&structure()).unwrap();
            Hand::Sink(sink)
        };
        let hand = match way {
            None => Hand::Nft(Box::new(NftWriter::load(by(), structure()))),
            Some(Way::Netlink) => {
                netns.enter();
                loaded(Box::new(NetlinkSink::new(by()).unwrap()))
            }
            Some(Way::Helper) => {
                let program = bin.join("asterguard");
                let path = format!("PATH={}:$PATH", bin.display());
                kit::script(&program, &format!("#!/bin/sh\n{path} exec {PROGRAM} \"$@\"\n"));
                loaded(Box::new(helper_of(&netns, &program).bans))
            }
        };
        let subjected = Self { way, netns, hand, slowest: Duration::ZERO };
        let declared = subjected.netns.exec("nft list table inet asterguard");
        assert_eq!(declared.matches(&format!("size {ROOM}\n")).count(), 2, "{declared}");
        subjected
    }

    /// Who was refused, each with whether that was for want of room.
    fn apply(&mut self, changes: &[Change]) -> Vec<(Change, bool)> {
        let begin = Instant::now();
        let refused = match &mut self.hand {
            Hand::Sink(sink) => sink.apply(changes, now()).unwrap().refused,
            Hand::Nft(nft) => nft.apply(changes, now()),
        };
        self.slowest = self.slowest.max(begin.elapsed());
        let full = |words: &str| words.contains("the set is full");
        let refused = refused.into_iter().map(|(change, words)| (change, full(&words)));
        let mut refused: Vec<_> = refused.collect();
        refused.sort_by_key(|(change, _)| change.key());
        refused
    }

    /// The kernel's sets hold these elements and no others, and those end when they are meant to.
    fn holds(&self, model: &Model, structure: &Structure) {
        let begin = now();
        let listing = listing(&self.netns);
        let end = now();
        let known = |(set, address): &(String, String)| format!("{set} {address}");
        let expected: Vec<_> = model.named(structure).keys().map(known).collect();
        assert_eq!(listing.keys().map(known).collect::<Vec<_>>(), expected, "{:?}", self.way);
        for (key, element) in model.named(structure) {
            let found = &listing[&key];
            assert_eq!(found["comment"], structure.jails[usize::from(element.jail.0)], "{key:?}");
            let Some(until) = element.until else {
                assert_eq!((&found["timeout"], &found["expires"]), (&Value::Null, &Value::Null));
                continue;
            };
            // Timeouts are whole seconds, rounded up; nft says the rest in whole seconds, rounded down.
            let left = found["expires"].as_i64().unwrap() * 1000;
            let latest = until.plus(self.slowest + Duration::from_secs(1));
            let right = until.millis() <= end.millis() + left + 1000
                && begin.millis() + left <= latest.millis();
            assert!(right, "{:?}: {key:?} has {left} ms until {until}", self.way);
        }
    }
}

/// Whether that is in a set with little room: `sip4` or `ban6`.
fn is_cramped((scope, subject): (ScopeId, Subject)) -> bool {
    let is_host = !subject.is_flow() && matches!(subject.net().prefix_len(), 32 | 64);
    is_host && scope == if subject.is_ipv6() { ALL } else { ONLY_SIP }
}

/// What is to be in the sets.
#[derive(Default)]
struct Model(BTreeMap<(ScopeId, Subject), Element>);

impl Model {
    fn apply(&mut self, changes: &[Change], refused: &[(Change, bool)]) {
        for change in changes {
            match change {
                Change::Put(element) => self.0.insert(change.key(), *element),
                Change::Remove(..) => self.0.remove(&change.key()),
            };
        }
        // There is no room for those that were not there.
        for (change, _) in refused {
            self.0.remove(&change.key());
        }
    }

    /// Whether a change puts somebody new where there is little room.
    fn crowds(&self, change: &Change) -> bool {
        let Change::Put(_) = change else { return false };
        is_cramped(change.key()) && !self.0.contains_key(&change.key())
    }

    /// How many there are in the fuller of the sets with little room.
    fn fullest(&self) -> usize {
        let held = |ipv6| {
            let here = |key: &&_| is_cramped(**key) && key.1.is_ipv6() == ipv6;
            self.0.keys().filter(here).count()
        };
        held(false).max(held(true))
    }

    /// By set and address, as nft names them.
    fn named(&self, structure: &Structure) -> BTreeMap<(String, String), Element> {
        let named = self.0.iter().map(|((scope, subject), element)| {
            let (set, key) = structure.place(*scope, *subject).unwrap();
            let key = match key {
                SetKey::Host(address) => address.to_string(),
                SetKey::Flow(address, port) => format!("{address} . {port}"),
                SetKey::Network(net) => net.to_string(),
            };
            ((set, key), *element)
        });
        named.collect()
    }
}

/// What `nft list` says of all elements, by set and address.
fn listing(netns: &Netns) -> BTreeMap<(String, String), Value> {
    let output = netns.command("nft").args(["-j", "list", "table", "inet", "asterguard"]).output();
    let json: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let mut all = BTreeMap::new();
    for set in json["nftables"].as_array().unwrap().iter().map(|object| &object["set"]) {
        for element in set["elem"].as_array().into_iter().flatten().map(|e| &e["elem"]) {
            let value = &element["val"];
            let key = match (value, &value["concat"], &value["prefix"]["addr"]) {
                (Value::String(address), ..) => address.clone(),
                (_, Value::Array(parts), _) => {
                    format!("{} . {}", parts[0].as_str().unwrap(), parts[1])
                }
                (.., Value::String(address)) => format!("{address}/{}", value["prefix"]["len"]),
                _ => continue,
            };
            all.insert((set["name"].as_str().unwrap().to_owned(), key), element.clone());
        }
    }
    all
}

/// A change by chance, of few hosts and networks, so that they come again; at times one that no set can hold.
fn change(chance: &mut Random) -> Change {
    let scope = *chance.pick(&[ALL, ONLY_SIP]);
    let (family, number) = (chance.below(2), chance.below(ADDRESSES));
    let address = if chance.chance(30) {
        let port = 1 + chance.below(3);
        [format!("10.0.0.{number}:{port}"), format!("[2001:db8::{number:x}]:{port}")]
    } else if chance.chance(10) {
        // Each two touch; the last has no end.
        let last = chance.chance(5).then_some(["255.255.0.0/16", "2001:db8::"].map(str::to_owned));
        last.unwrap_or([format!("10.{}.0.0/16", number + 1), format!("2001:db9:{number:x}::/48")])
    } else {
        [format!("10.0.0.{number}"), format!("2001:db8:0:{number:x}::")]
    };
    if chance.chance(25) {
        return Change::Remove(scope, subject(&address[family]));
    }
    let hours = chance.below(50) as u64;
    let until = (hours > 0).then(|| now().plus(Duration::from_secs(3600 * hours)));
    let jail = JailId(u16::try_from(chance.below(5)).unwrap());
    let nowhere = chance.chance(1);
    let scope = if nowhere { ScopeId(99) } else { scope };
    Change::Put(Element { jail, ..element(scope, &address[family], until) })
}

#[test]
fn all_sinks_produce_the_same_sets() {
    if !kit::usable() {
        return;
    }
    let mut chance = Random::new(random::seed(), 0);
    let ways = [None, Some(Way::Netlink), Some(Way::Helper)];
    let bins = ways.map(|_| tempfile::tempdir().unwrap());
    let mut places = bins.iter();
    let mut ways = ways.map(|way| Subjected::open(way, places.next().unwrap().path()));
    let (structure, mut model) = (structure(), Model::default());
    let (mut left, mut compared, mut full, mut misfits) = (OPERATIONS, OPERATIONS, 0, 0);
    while left > 0 {
        let count = (1 + chance.below(200)).min(left);
        left -= count;
        let mut changes: Vec<_> = (0..count).map(|_| change(&mut chance)).collect();
        let crowded = full >= REFUSED && model.fullest() > ROOM * 2 / 3;
        changes.retain(|change| !(crowded && model.crowds(change)));
        let [first, others @ ..] = &mut ways;
        let refused = first.apply(&changes);
        for other in others {
            assert_eq!(other.apply(&changes), refused, "{:?}", other.way);
        }
        full += refused.iter().filter(|(_, full)| *full).count();
        misfits += refused.iter().filter(|(_, full)| !full).count();
        model.apply(&changes, &refused);
        if left == 0 || compared - left >= COMPARED {
            compared = left;
            for way in &ways {
                way.holds(&model, &structure);
            }
        }
    }
    let slowest = ways.map(|way| way.slowest);
    eprintln!(
        "{} elements; refused: {full} for want of room, {misfits} that fit nowhere; {slowest:?}",
        model.0.len()
    );
    assert!(model.0.len() > 500 && full >= REFUSED && misfits > 50);
}
