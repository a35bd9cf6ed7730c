//! The sinks against a real kernel: what is put into the sets is dropped, and nothing else is.
//!
//! Needs root, nft, iproute2 and python3; every test has network namespaces of its own.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

#[path = "../kit/mod.rs"]
mod kit;

mod equivalence;
mod flows;
mod lists;
mod networks;
mod nft_writer;
mod packets;
mod passed;
mod repair;
mod sinks;
mod sock_diag;
mod talked;

use std::path::Path;
use std::time::Duration;

use asterguard::enforce::helper::{FirewallHelper, Remote};
use asterguard::enforce::{BanSink, NetlinkSink, Report};
use asterguard::model::event::{Change, Element, ScopeId};
use asterguard::model::scope::Blocktype;
use asterguard::model::subject::Subject;
use asterguard::model::time::Time;
use asterguard::table::structure::Structure;

use kit::guard::PROGRAM;
use kit::{Netns, now};

const ALL: ScopeId = ScopeId(0);
const ONLY_SIP: ScopeId = ScopeId(1);
const MINUTE: Duration = Duration::from_secs(60);

/// One jail for each way of closing something: `scan` (everything), `guess` (SIP), `web` (other
/// ports), `polite` (everything, by reject), `narrow` (SIP, by reject, IPv6 by /128).
fn structure() -> Structure {
    Structure::new(&kit::config(vec![
        kit::jail("guess", "sip", Blocktype::Drop, 64),
        kit::jail("narrow", "sip", Blocktype::Reject, 128),
        kit::jail("polite", "all", Blocktype::Reject, 64),
        kit::jail("scan", "all", Blocktype::Drop, 64),
        kit::jail("web", "web", Blocktype::Drop, 64),
    ]))
}

/// Of an address, or of an address and port.
fn subject(address: &str) -> Subject {
    let subject: Subject = address.parse().unwrap();
    if subject.is_flow() { subject } else { Subject::of(subject.address(), 64) }
}

fn element(scope: ScopeId, address: &str, until: Option<Time>) -> Element {
    let jail = structure().jail("scan").unwrap();
    Element { scope, subject: subject(address), until, jail }
}

fn put(scope: ScopeId, address: &str, span: Duration) -> Change {
    Change::Put(element(scope, address, Some(now().plus(span))))
}

/// A sink for `netns` with `structure` loaded.
fn sink(netns: &Netns, structure: &Structure) -> NetlinkSink {
    netns.enter();
    let mut sink = NetlinkSink::new(netns.nft()).unwrap();
    sink.load(structure).unwrap();
    sink
}

/// The ways to the kernel's sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Netlink,
    /// By netlink, in a process of its own.
    Helper,
}

impl Way {
    const ALL: [Self; 2] = [Self::Netlink, Self::Helper];

    /// A namespace and a sink for it, nothing loaded yet.
    fn open(self) -> (Netns, Box<dyn BanSink>) {
        let netns = Netns::new();
        let sink: Box<dyn BanSink> = match self {
            Self::Netlink => {
                netns.enter();
                Box::new(NetlinkSink::new(netns.nft()).unwrap())
            }
            Self::Helper => Box::new(helper(&netns).bans),
        };
        (netns, sink)
    }

    /// A sink for a namespace in which `structure` is loaded already.
    fn attach(self, netns: &Netns, structure: Structure) -> Box<dyn BanSink> {
        match self {
            Self::Netlink => {
                netns.enter();
                Box::new(NetlinkSink::attached(netns.nft(), structure).unwrap())
            }
            Self::Helper => {
                // It has no other way to know the structure; what the sets hold stays.
                let mut sink = helper(netns).bans;
                sink.load(&structure).unwrap();
                Box::new(sink)
            }
        }
    }
}

/// The ways to a firewall helper's process in a namespace.
fn helper(netns: &Netns) -> Remote {
    helper_of(netns, Path::new(PROGRAM))
}

/// The same of another program.
fn helper_of(netns: &Netns, program: &Path) -> Remote {
    netns.enter();
    let helper = FirewallHelper::start_program(program).unwrap();
    helper.open().unwrap().0
}

fn apply(sink: &mut dyn BanSink, changes: &[Change]) {
    let Report { refused, .. } = sink.apply(changes, now()).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}
