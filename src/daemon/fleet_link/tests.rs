use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::*;
use crate::fleet::protocol::PeerBan;
use crate::model::event::Evidence;
use crate::model::time::Time;

/// The other process and the engine, played by the test.
struct Lab {
    link: FleetLink,
    streams: Receiver<UnixStream>,
    woken: Receiver<()>,
    _directory: tempfile::TempDir,
}

struct Other(BufReader<UnixStream>);

impl Lab {
    fn new() -> Self {
        let (connect, streams, directory) = peer_link::other();
        let (tell, woken) = channel();
        let wake = move || tell.send(()).unwrap_or_default();
        let link = FleetLink::start_after(connect, true, wake, Duration::from_millis(1)).unwrap();
        Self { link, streams, woken, _directory: directory }
    }

    /// A connection, at the beginning of which there is no ban to say.
    fn accept(&self) -> Other {
        let mut other = Other(BufReader::new(self.streams.recv().unwrap()));
        assert_eq!(other.hear(), Some(ToFleet::Begin));
        while self.link.wants_page().is_none() {
            self.woken.recv().unwrap();
        }
        self.link.page(Vec::new(), None);
        assert_eq!(other.hear(), Some(ToFleet::Complete));
        other
    }
}

impl Other {
    fn hear(&mut self) -> Option<ToFleet> {
        let mut text = String::new();
        self.0.read_line(&mut text).unwrap_or_default();
        read(text.as_bytes())
    }

    fn say(&mut self, what: &FromFleet) -> io::Result<()> {
        self.0.get_mut().write_all(&line(what))
    }
}

fn host(n: u32) -> Subject {
    Subject::of(std::net::Ipv4Addr::from(0xCB00_0000 + n).into(), 128)
}

fn own(n: u32) -> OwnBan {
    OwnBan {
        host: host(n),
        jail: "asterisk-guess".to_owned(),
        rule: String::new(),
        evidence: Evidence::Proven,
        since: Time::from_secs(1),
        until: None,
    }
}

fn peers(n: u32) -> FromFleet {
    FromFleet::Ban(PeerBan {
        issuer: "pbx2".parse().unwrap(),
        host: host(n),
        jail: "asterisk-guess".to_owned(),
        rule: String::new(),
        evidence: Evidence::Proven,
        remaining: 60_000,
    })
}

#[test]
fn what_is_said_without_a_connection_is_not_kept() {
    let lab = Lab::new();
    let mut other = lab.accept();
    lab.link.ban(own(1));
    lab.link.lift(host(1), "manual");
    assert_eq!(other.hear(), Some(ToFleet::Ban(own(1))));
    let lift = ToFleet::Lift { host: host(1), jail: "manual".to_owned() };
    assert_eq!(other.hear(), Some(lift));
    drop(other);
    // Everything is said again by the next one.
    lab.accept();
}

#[test]
fn who_says_something_never_waits_and_all_is_said_again() {
    let lab = Lab::new();
    let mut other = lab.accept();
    let start = monotonic_now();
    (0..100_000).for_each(|n| lab.link.ban(own(n)));
    let took = monotonic_now().since(start);
    assert!(took < Duration::from_secs(20), "{took:?}");
    let (waiting, dropped) = lab.link.numbers();
    assert!(dropped > 0 && waiting < 100_000, "{waiting} {dropped}");
    let mut heard = 0;
    while other.hear() != Some(ToFleet::Begin) {
        heard += 1;
    }
    assert_eq!(heard, 100_000 - dropped);
}

#[test]
fn other_process_waits_for_the_engine() {
    let lab = Lab::new();
    let mut other = lab.accept();
    let says = thread::spawn(move || {
        let all = (0..20_000).all(|n| other.say(&peers(n)).is_ok());
        (other, all)
    });
    let mut taken = Vec::new();
    while taken.len() < 20_000 {
        lab.woken.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(lock(&lab.link.shared.state).heard.len() <= MOST_HEARD);
        loop {
            let (some, more) = lab.link.take(256);
            assert!(some.len() <= 256);
            taken.extend(some);
            if !more {
                break;
            }
        }
    }
    assert!(says.join().unwrap().1);
    assert_eq!(taken.last(), Some(&peers(19_999)));
}

#[test]
fn nonsense_ends_the_connection() {
    let lab = Lab::new();
    for nonsense in ["\n", "{}\n", "[", "{\"ban\":{}}\n", "{\"lift\":{\"issuer\":\"A\"}}\n"] {
        let mut other = lab.accept();
        let _ = other.0.get_mut().write_all(nonsense.as_bytes());
        let _ = other.0.get_mut().shutdown(Shutdown::Write);
        assert_eq!(other.hear(), None);
    }
    // A line without an end.
    let mut other = lab.accept();
    let block = vec![b'x'; 1 << 20];
    let blocks = (0..100).take_while(|_| other.0.get_mut().write_all(&block).is_ok()).count();
    assert!(blocks <= 1 + LONGEST_LINE / block.len(), "{blocks}");
    let mut other = lab.accept();
    lab.link.ban(own(1));
    assert_eq!(other.hear(), Some(ToFleet::Ban(own(1))));
    assert!(!lab.link.troubles().is_empty(), "nothing has come of this one yet");
    other.say(&FromFleet::Status(Box::default())).unwrap();
    while lab.link.status().is_none() {
        thread::yield_now();
    }
    assert!(lab.link.troubles().is_empty());
}

fn unban(n: u32, by: &crate::model::node::NodeName) -> FromFleet {
    FromFleet::Unban { host: host(n), by: by.clone(), issued: 7, begun: Time::from_secs(1) }
}

#[test]
fn order_that_was_carried_out_is_not_repeated() {
    let lab = Lab::new();
    let mut other = lab.accept();
    let by = "pbx2".parse().unwrap();
    let obeyed = ToFleet::Obeyed { host: host(1), issued: 7 };
    lab.link.obeyed(host(1), 7);
    assert_eq!(other.hear(), Some(obeyed.clone()));
    // However often it is said, also at the next connection: it costs nothing, and the engine does not hear it.
    for _ in 0..2 * UNBANS {
        other.say(&unban(1, &by)).unwrap();
        assert_eq!(other.hear(), Some(obeyed.clone()));
    }
    drop(other);
    let mut other = lab.accept();
    other.say(&unban(1, &by)).unwrap();
    assert_eq!(other.hear(), Some(obeyed));
    other.say(&unban(2, &by)).unwrap();
    while lab.link.take(0) != (Vec::new(), true) {
        lab.woken.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    assert_eq!(lab.link.take(usize::MAX).0, [unban(2, &by)]);
}

#[test]
fn what_was_said_before_a_reload_is_not_what_holds_after_it() {
    let lab = Lab::new();
    let mut other = lab.accept();
    let says_connected = |other: &mut Other| {
        let status = FleetStatus { connected: true, ..FleetStatus::default() };
        other.say(&FromFleet::Status(Box::new(status))).unwrap();
        // Behind it, so that it was heard.
        other.say(&peers(1)).unwrap();
        while lab.link.take(usize::MAX).0.is_empty() {
            lab.woken.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        lab.link.status().unwrap().connected
    };
    assert!(says_connected(&mut other));
    lab.link.reload(true);
    assert!(!lab.link.status().unwrap().connected);
    assert!(!says_connected(&mut other), "it has not read the configuration again yet");
    assert_eq!(other.hear(), Some(ToFleet::Reload));
    other.say(&FromFleet::Unchanged).unwrap();
    assert!(says_connected(&mut other));
    // It ends, and the next one begins.
    lab.link.reload(true);
    drop(other);
    let mut other = lab.accept();
    assert!(!lab.link.status().unwrap().connected);
    assert!(says_connected(&mut other));
}

#[test]
fn operator_does_not_lift_everything() {
    let lab = Lab::new();
    let mut other = lab.accept();
    let by: crate::model::node::NodeName = "pbx2".parse().unwrap();
    for n in 0..1000 {
        other.say(&unban(n, &by)).unwrap();
    }
    other.say(&peers(1)).unwrap();
    let mut taken = Vec::new();
    while taken.last() != Some(&peers(1)) {
        lab.woken.recv_timeout(Duration::from_secs(20)).unwrap();
        taken.extend(lab.link.take(usize::MAX).0);
    }
    assert_eq!(taken.len() as u64, UNBANS + 1);
}

#[test]
fn status_of_a_hostile_process_is_cut() {
    let mut status = FleetStatus { server: "x\n".repeat(1000), ..FleetStatus::default() };
    let many = || (0..1000).map(|n| (format!("r{n}"), 1)).collect();
    status.refused = many();
    let peer = PeerStatus { refused: many(), ..PeerStatus::default() };
    status.peers =
        (0..MOST_PEERS + 10).map(|n| (format!("n{n}").parse().unwrap(), peer.clone())).collect();
    let status = bounded(status);
    assert_eq!((status.server.len(), status.refused.len()), (LONGEST_TEXT, MOST_REASONS));
    assert_eq!(status.peers.len(), MOST_PEERS);
    assert!(status.peers.values().all(|peer| peer.refused.len() == MOST_REASONS));
}

#[test]
fn without_a_fleet_nothing_is_connected_or_kept() {
    let refuse: Connect = Arc::new(|| panic!("nobody asked for that"));
    let link = FleetLink::start_after(refuse, false, || {}, Duration::ZERO).unwrap();
    link.ban(own(1));
    link.reload(false);
    assert_eq!(link.numbers(), (0, 0));
    assert!(link.wants_page().is_none() && link.status().is_none() && link.troubles().is_empty());
}
