use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::fleet::FleetServer;
use crate::fleet::keys::PrivateKey;
use crate::fleet::protocol::PeerBan;
use crate::fleet::snapshot;

const HOUR: u64 = 3_600_000;
const START: i64 = 1_700_000_000_000;

/// A node with its key, which counts its records.
struct Node {
    name: NodeName,
    key: PrivateKey,
    at: Position,
}

impl Node {
    fn new(name: &str) -> Self {
        let (key, _) = PrivateKey::generate().unwrap();
        Self { name: name.parse().unwrap(), key, at: Position { epoch: 1, sequence: 0 } }
    }

    fn says(&mut self, operation: Operation) -> Vec<u8> {
        self.at.sequence += 1;
        Record::new(self.name.clone(), self.at, operation).sign(&self.key)
    }

    fn bans(&mut self, host: &str) -> Vec<u8> {
        self.says(Operation::Ban(ban(host)))
    }

    fn beats(&self, clock: i64) -> Vec<u8> {
        let operation = Operation::Heartbeat { clock };
        Record::new(self.name.clone(), self.at, operation).sign(&self.key)
    }
}

fn host(text: &str) -> Host {
    Host::of(&text.parse().unwrap())
}

fn ban(text: &str) -> SignedBan {
    SignedBan {
        host: host(text),
        evidence: Evidence::Proven,
        jail: "asterisk-scan".to_owned(),
        rule: "sip/a".to_owned(),
        issued: START,
        duration: HOUR,
    }
}

fn fleet(peers: &[&Node]) -> Fleet {
    let known = |node: &&Node| (node.name.clone(), PeerKey::Trusted(node.key.public()));
    Fleet {
        server: FleetServer::read("redis://127.0.0.1").unwrap(),
        node: "me".parse().unwrap(),
        key: "/k".into(),
        password: None,
        tls_ca: None,
        tls_client: None,
        accept: vec![Evidence::Proven],
        unverified_needs: 2,
        bantime_max: Duration::from_secs(86_400),
        max_bans: 100,
        max_rate: 10,
        operator: None,
        peers: peers.iter().map(known).collect(),
    }
}

/// An admission that has read all there was.
struct Gate {
    admission: Admission,
    now: Moment,
}

impl Gate {
    fn new(fleet: &Fleet) -> Self {
        let mut admission = Admission::new(fleet, &Read::new());
        for name in fleet.peers.keys() {
            assert!(admission.all_read(name) || fleet.peers[name] == PeerKey::Revoked);
        }
        Self { admission, now: Moment { server: START, wall: START, steady: Time::default() } }
    }

    fn live(&mut self, node: &str, bytes: &[u8]) -> Result<Vec<FromFleet>, Refusal> {
        let mut told = Vec::new();
        let taken = self.admission.live(&node.parse().unwrap(), bytes, self.now, &mut told);
        taken.map(|()| told)
    }

    fn refused(&mut self, node: &str, reason: &str) -> u64 {
        let status = self.admission.status(self.now.server);
        status[&node.parse::<NodeName>().unwrap()].refused.get(reason).copied().unwrap_or(0)
    }
}

fn the_ban(told: &[FromFleet]) -> &PeerBan {
    match told {
        [FromFleet::Ban(ban)] => ban,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ban_of_a_peer_arrives_with_its_issuer() {
    let mut pbx2 = Node::new("pbx2");
    let mut gate = Gate::new(&fleet(&[&pbx2]));
    gate.now.server += 1000;
    let told = gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    let ban = the_ban(&told);
    assert_eq!((ban.issuer.as_str(), ban.remaining), ("pbx2", HOUR - 1000));
    assert_eq!((ban.jail.as_str(), ban.rule.as_str()), ("asterisk-scan", "sip/a"));
    let lifted = gate.live("pbx2", &pbx2.says(Operation::Lift(host("192.0.2.7")))).unwrap();
    assert!(matches!(lifted.as_slice(), [FromFleet::Lift { .. }]));
    let again = gate.live("pbx2", &pbx2.says(Operation::Lift(host("192.0.2.7")))).unwrap();
    assert_eq!(again, []);
}

#[test]
fn what_others_wrote_is_not_taken() {
    let (mut pbx2, mut pbx3, mut stranger) =
        (Node::new("pbx2"), Node::new("pbx3"), Node::new("stranger"));
    let mut known = fleet(&[&pbx2, &pbx3]);
    known.peers.insert(pbx3.name.clone(), PeerKey::Revoked);
    let mut gate = Gate::new(&known);
    assert_eq!(gate.live("stranger", &stranger.bans("192.0.2.7")), Err(Refusal::Stranger));
    assert_eq!(gate.live("pbx3", &pbx3.bans("192.0.2.7")), Err(Refusal::Revoked));
    assert_eq!(gate.live("pbx2", &pbx3.bans("192.0.2.7")), Err(Refusal::Name));
    let mut forger = Node::new("pbx2");
    assert_eq!(gate.live("pbx2", &forger.bans("192.0.2.7")), Err(Refusal::Forged));
    let record = pbx2.bans("192.0.2.7");
    assert!(gate.live("pbx2", &record).is_ok());
    assert_eq!(gate.live("pbx2", &record), Err(Refusal::Replayed));
    let long = vec![0; 600];
    assert!(matches!(gate.live("pbx2", &long), Err(Refusal::Unreadable(NotARecord::TooLarge))));
    assert_eq!(gate.refused("pbx2", "forged"), 1);
    assert_eq!(gate.refused("pbx3", "revoked"), 1);
    assert_eq!(gate.admission.refused(), BTreeMap::from([("stranger".to_owned(), 1)]));
}

use crate::fleet::sealed::NotARecord;

#[test]
fn a_signed_record_may_say_one_host_for_a_time_and_no_more() {
    let mut pbx2 = Node::new("pbx2");
    let mut gate = Gate::new(&fleet(&[&pbx2]));
    for wide in ["0.0.0.0/0", "192.0.2.0/24", "127.0.0.1", "224.0.0.1", "::/0", "2001:db8::/48"] {
        assert_eq!(gate.live("pbx2", &pbx2.bans(wide)), Err(Refusal::NotAHost), "{wide}");
    }
    let mut say = |change: &dyn Fn(&mut SignedBan)| {
        let mut said = ban("192.0.2.7");
        change(&mut said);
        gate.live("pbx2", &pbx2.says(Operation::Ban(said)))
    };
    assert_eq!(say(&|ban| ban.evidence = Evidence::Unverified), Err(Refusal::Evidence));
    assert_eq!(say(&|ban| ban.evidence = Evidence::Hearsay), Err(Refusal::Evidence));
    assert_eq!(say(&|ban| ban.issued -= 3_600_000), Err(Refusal::Over));
    assert_eq!(say(&|ban| ban.duration = 0), Err(Refusal::Over));
    assert_eq!(say(&|ban| ban.jail = "a\nb".to_owned()), Err(Refusal::NoNames));
    let day = 86_400_000;
    assert_eq!(the_ban(&say(&|ban| ban.duration = u64::MAX).unwrap()).remaining, day);
    // A time that has not come makes no ban longer.
    assert_eq!(the_ban(&say(&|ban| ban.issued = i64::MAX).unwrap()).remaining, HOUR);
}

#[test]
fn a_peer_lifts_its_own_bans_only() {
    let (mut pbx2, mut pbx3) = (Node::new("pbx2"), Node::new("pbx3"));
    let mut gate = Gate::new(&fleet(&[&pbx2, &pbx3]));
    gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    let told = gate.live("pbx3", &pbx3.says(Operation::Lift(host("192.0.2.7")))).unwrap();
    assert_eq!(told, []);
    assert_eq!(gate.admission.told(&pbx2.name, START).len(), 1);
}

#[test]
fn a_gap_is_read_from_the_stream_and_loses_nothing() {
    let mut pbx2 = Node::new("pbx2");
    let mut gate = Gate::new(&fleet(&[&pbx2]));
    let all: Vec<_> = (1..=4).map(|it| pbx2.bans(&format!("192.0.2.{it}"))).collect();
    gate.live("pbx2", &all[0]).unwrap();
    assert_eq!(gate.live("pbx2", &all[2]).unwrap(), []);
    let name = pbx2.name.clone();
    assert_eq!(gate.admission.missing()[0].1, Missing::Records);
    let mut told = Vec::new();
    for record in &all[..3] {
        let gap = gate.admission.streamed(&name, record, false, gate.now, &mut told).unwrap();
        assert!(!gap);
    }
    assert!(told.len() == 2 && gate.admission.all_read(&name));
    assert_eq!(gate.live("pbx2", &all[3]).unwrap().len(), 1);
    // A heartbeat says what was lost at the end.
    pbx2.bans("192.0.2.9");
    gate.live("pbx2", &pbx2.beats(START)).unwrap();
    assert_eq!(gate.admission.missing().len(), 1);
    // What the stream lost is no gap for ever.
    let next = pbx2.bans("192.0.2.10");
    assert_eq!(gate.admission.streamed(&name, &next, false, gate.now, &mut told), Ok(true));
    assert_eq!(gate.admission.streamed(&name, &next, true, gate.now, &mut told), Ok(false));
    assert!(gate.admission.all_read(&name));
}

#[test]
fn a_snapshot_adds_and_an_older_one_is_refused() {
    let pbx2 = Node::new("pbx2");
    let known = fleet(&[&pbx2]);
    let mut gate = Gate::new(&known);
    let at = |sequence| Position { epoch: 1, sequence };
    let write = |at, bans: &[SignedBan]| snapshot::write(pbx2.name.clone(), at, bans, &pbx2.key);
    let written = write(at(5), &[ban("192.0.2.1"), ban("192.0.2.2")]);
    let head = gate.admission.head(&pbx2.name, &written.head).unwrap();
    let mut told = Vec::new();
    for said in head.block(0, &written.blocks[0]).unwrap() {
        assert!(gate.admission.is_new(&pbx2.name, &said, gate.now));
        gate.admission.snapshot_ban(&pbx2.name, said, 5000, gate.now, &mut told);
    }
    gate.admission.snapshot_read(&pbx2.name, &head);
    assert!(told.len() == 2 && gate.admission.told(&pbx2.name, START + 4000).len() == 2);
    // An empty one removes nothing, and an older one is no news; both also after a restart.
    let read = gate.admission.read();
    let empty = write(at(6), &[]);
    let head = gate.admission.head(&pbx2.name, &empty.head).unwrap();
    gate.admission.snapshot_read(&pbx2.name, &head);
    assert_eq!(gate.admission.told(&pbx2.name, START).len(), 2);
    let old = write(at(4), &[ban("192.0.2.3")]);
    assert_eq!(gate.admission.head(&pbx2.name, &old.head), Err(Refusal::Replayed));
    let mut again = Admission::new(&known, &read);
    assert_eq!(again.head(&pbx2.name, &old.head), Err(Refusal::Replayed));
    assert!(again.head(&pbx2.name, &written.head).is_ok());
    let other = Node::new("pbx2");
    let forged = snapshot::write(other.name.clone(), at(9), &[], &other.key);
    assert_eq!(gate.admission.head(&pbx2.name, &forged.head), Err(Refusal::Forged));
}

#[test]
fn a_restart_takes_no_replay() {
    let mut pbx2 = Node::new("pbx2");
    let known = fleet(&[&pbx2]);
    let mut gate = Gate::new(&known);
    let record = pbx2.bans("192.0.2.7");
    gate.live("pbx2", &record).unwrap();
    let mut again = Admission::new(&known, &gate.admission.read());
    // Its stream is read again, so that a later lift finds the ban.
    let mut told = Vec::new();
    assert_eq!(again.streamed(&pbx2.name, &record, true, gate.now, &mut told), Ok(false));
    assert_eq!(told.len(), 1);
    again = Admission::new(&known, &gate.admission.read());
    again.all_read(&pbx2.name);
    let taken = again.live(&pbx2.name, &record, gate.now, &mut Vec::new());
    assert_eq!(taken, Err(Refusal::Replayed));
    // The peer's restart is another epoch.
    pbx2.at = Position { epoch: 2, sequence: 0 };
    assert_eq!(gate.live("pbx2", &pbx2.bans("192.0.2.8")).unwrap().len(), 1);
}

#[test]
fn an_unverified_ban_counts_when_enough_peers_say_it() {
    let (mut pbx2, mut pbx3) = (Node::new("pbx2"), Node::new("pbx3"));
    let mut known = fleet(&[&pbx2, &pbx3]);
    known.accept.push(Evidence::Unverified);
    let mut gate = Gate::new(&known);
    let said = || SignedBan { evidence: Evidence::Unverified, ..ban("192.0.2.7") };
    for _ in 0..3 {
        assert_eq!(gate.live("pbx2", &pbx2.says(Operation::Ban(said()))).unwrap(), []);
    }
    let told = gate.live("pbx3", &pbx3.says(Operation::Ban(said()))).unwrap();
    let issuers: Vec<_> = told
        .iter()
        .map(|it| match it {
            FromFleet::Ban(ban) => ban.issuer.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(issuers, ["pbx2", "pbx3"]);
}

#[test]
fn the_operator_alone_unbans_for_all_and_only_now() {
    let (mut pbx2, mut pbx3) = (Node::new("pbx2"), Node::new("pbx3"));
    let operator = Node::new("operator");
    let mut known = fleet(&[&pbx2, &pbx3]);
    let order =
        |issued, key: &PrivateKey| Operation::Unban(Order::new(host("192.0.2.7"), issued, key));
    let mut gate = Gate::new(&known);
    gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    let unban = order(START, &operator.key);
    assert_eq!(gate.live("pbx3", &pbx3.says(unban)), Err(Refusal::NoOrder));
    known.operator = Some(operator.key.public());
    let mut gate = Gate::new(&known);
    pbx2.at.sequence = 0;
    pbx3.at.sequence = 0;
    gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    let own = pbx3.says(order(START, &pbx3.key));
    assert_eq!(gate.live("pbx3", &own), Err(Refusal::NoOrder));
    let old = pbx3.says(order(START - 700_000, &operator.key));
    assert_eq!(gate.live("pbx3", &old), Err(Refusal::NoOrder));
    let told = gate.live("pbx3", &pbx3.says(order(START, &operator.key))).unwrap();
    let [FromFleet::Unban { by, .. }, FromFleet::Lift { issuer, .. }] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((by.as_str(), issuer.as_str()), ("pbx3", "pbx2"));
    assert_eq!(gate.admission.told(&pbx2.name, START), []);
}

const MINUTE: i64 = 60_000;

/// Two peers, an operator, and an admission that knows all of them.
fn with_operator() -> (Gate, Node, Node, PrivateKey) {
    let (pbx2, pbx3, operator) = (Node::new("pbx2"), Node::new("pbx3"), Node::new("operator"));
    let mut known = fleet(&[&pbx2, &pbx3]);
    known.operator = Some(operator.key.public());
    (Gate::new(&known), pbx2, pbx3, operator.key)
}

fn order(issued: i64, key: &PrivateKey) -> Order {
    Order::new(host("192.0.2.7"), issued, key)
}

#[test]
fn an_order_that_is_taken_again_lifts_nothing_that_came_later() {
    let (mut gate, mut pbx2, mut pbx3, operator) = with_operator();
    let order = order(START, &operator);
    gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    let told = gate.live("pbx3", &pbx3.says(Operation::Unban(order.clone()))).unwrap();
    let begun = |told: &FromFleet| match told {
        FromFleet::Unban { begun, issued, .. } => (begun.millis(), *issued),
        other => panic!("{other:?}"),
    };
    // What is there now, and nothing that comes.
    assert_eq!(begun(&told[0]), (START, START));
    gate.now.server += 1000;
    gate.now.wall += 1000;
    gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap();
    assert_eq!(gate.live("pbx2", &pbx2.says(Operation::Unban(order.clone()))), Ok(vec![]));
    assert_eq!(gate.admission.told(&pbx2.name, gate.now.server).len(), 1);
    // A guard that connects now hears it as it was.
    let lines = gate.admission.orders.lines(gate.now);
    assert_eq!(lines.iter().map(begun).collect::<Vec<_>>(), [(START, START)]);
    // After ten minutes, nobody hears it.
    gate.now.wall += 10 * MINUTE;
    assert_eq!(gate.admission.orders.lines(gate.now), []);
    assert_eq!(gate.live("pbx3", &pbx3.says(Operation::Unban(order))), Err(Refusal::NoOrder));
}

#[test]
fn an_order_that_is_read_or_held_back_lifts_what_was_there_when_it_was_given() {
    let (mut gate, mut pbx2, mut pbx3, operator) = with_operator();
    let given = Operation::Unban(order(START, &operator));
    gate.now.server += 5 * MINUTE;
    gate.now.wall += 5 * MINUTE;
    let later = SignedBan { issued: START + 1, ..ban("192.0.2.7") };
    gate.live("pbx2", &pbx2.says(Operation::Ban(later))).unwrap();
    let record = pbx3.says(given.clone());
    let mut told = Vec::new();
    gate.admission.streamed(&pbx3.name, &record, false, gate.now, &mut told).unwrap();
    assert!(matches!(told.as_slice(), [FromFleet::Unban { begun, .. }] if begun.millis() == START));
    assert_eq!(gate.admission.told(&pbx2.name, gate.now.server).len(), 1);
    // A ban of long before, of a peer that has not heard of it, does not come back.
    let old = SignedBan { issued: START - 2 * MINUTE, ..ban("192.0.2.7") };
    assert_eq!(gate.live("pbx3", &pbx3.says(Operation::Ban(old))), Err(Refusal::Over));

    // The server has held the message back, for five minutes.
    let (mut gate, _, mut pbx3, operator) = with_operator();
    gate.now.server += 5 * MINUTE;
    gate.now.wall += 5 * MINUTE;
    let told = gate.live("pbx3", &pbx3.says(Operation::Unban(order(START, &operator)))).unwrap();
    assert!(
        matches!(told.as_slice(), [FromFleet::Unban { begun, .. }] if begun.millis() == START + MINUTE)
    );
}

#[test]
fn a_server_that_turns_its_clock_back_makes_no_old_order_count() {
    let (mut gate, _, mut pbx3, operator) = with_operator();
    gate.now.wall += 11 * MINUTE;
    let told = gate.live("pbx3", &pbx3.says(Operation::Unban(order(START, &operator))));
    assert_eq!(told, Err(Refusal::NoOrder));
}

#[test]
fn orders_of_before_a_restart_are_checked_again() {
    let (mut gate, _, mut pbx3, operator) = with_operator();
    gate.live("pbx3", &pbx3.says(Operation::Unban(order(START, &operator)))).unwrap();
    let mut kept = gate.admission.orders.all().to_vec();
    let forged = order(START + 1, &pbx3.key);
    kept.push(Kept { order: forged, ..kept[0].clone() });
    let again = |gate: &mut Gate, now: Moment| {
        gate.admission.orders = Orders::default();
        gate.admission.restore(kept.clone(), now);
        gate.admission.orders.all().to_vec()
    };
    let now = gate.now;
    assert_eq!(again(&mut gate, now), kept[..1]);
    assert_eq!(again(&mut gate, Moment { server: START + 11 * MINUTE, ..now }), []);
}

#[test]
fn orders_are_bounded() {
    let (mut gate, _, mut pbx3, operator) = with_operator();
    let mut taken = 0;
    for number in 0..200 {
        gate.now.steady = gate.now.steady.plus(Duration::from_secs(1));
        let given = Operation::Unban(order(START + number, &operator));
        taken += usize::from(gate.live("pbx3", &pbx3.says(given)).is_ok());
    }
    assert_eq!((taken, gate.refused("pbx3", "too-many")), (100, 100));
}

#[test]
fn a_wrong_clock_is_said_and_does_no_harm() {
    let mut pbx2 = Node::new("pbx2");
    let mut gate = Gate::new(&fleet(&[&pbx2]));
    gate.now.wall += 7_200_000;
    gate.live("pbx2", &pbx2.beats(START)).unwrap();
    assert_eq!(the_ban(&gate.live("pbx2", &pbx2.bans("192.0.2.7")).unwrap()).remaining, HOUR);
    assert_eq!(gate.admission.status(START)[&pbx2.name].clock, Some(-7200));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever a hostile peer says at whatever speed: no more than its limits, nothing but hosts, and others unharmed.
    #[test]
    fn a_hostile_peer_stays_within_its_limits(
        said in prop::collection::vec((any::<u32>(), 0u8..=40, any::<u64>(), 0u64..20, 0u8..8), 1..400),
    ) {
        let (mut bad, mut good) = (Node::new("bad"), Node::new("good"));
        let mut gate = Gate::new(&fleet(&[&bad, &good]));
        let mut banned = 0;
        let began = gate.now.steady;
        for (address, bits, duration, pause, kind) in said {
            gate.now.steady = gate.now.steady.plus(Duration::from_millis(pause));
            gate.now.server += i64::try_from(pause).unwrap();
            let mut said = ban("192.0.2.1");
            let text = format!("{}/{}", std::net::Ipv4Addr::from(address), bits.min(32));
            let net: ipnet::IpNet = text.parse().unwrap();
            said.host = Host::of(&Subject::from(net));
            said.duration = duration;
            let mut record = bad.says(Operation::Ban(said));
            if kind == 0 {
                record[70] ^= 1;
            }
            if kind == 1 {
                bad.at.sequence += 5;
            }
            for told in gate.live("bad", &record).unwrap_or_default() {
                let FromFleet::Ban(told) = told else { panic!("{told:?}") };
                banned += 1;
                prop_assert!(told.host.is_one_address() && !told.host.address().is_loopback());
                prop_assert!(told.remaining <= 86_400_000);
            }
            let _ = gate.admission.all_read(&bad.name);
        }
        let passed = u64::try_from(gate.now.steady.since(began).as_millis()).unwrap();
        let most = 100 + 10 * passed / 1000 + 1;
        prop_assert!(banned <= most);
        prop_assert!(gate.admission.told(&bad.name, START).len() <= 100);
        prop_assert_eq!(gate.live("good", &good.bans("192.0.2.9")).unwrap().len(), 1);
    }
}
