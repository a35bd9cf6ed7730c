//! Bans of the fleet's peers: what is taken, what becomes of it, and that nobody innocent is hit.

use ipnet::IpNet;

use super::*;
use crate::decide::peer_bans::{PeerTerms, Refusal, Taken};
use crate::fleet::protocol::PeerBan;
use crate::hosts::exempt::IgnoreList;
use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::node::NodeName;

const HOST: &str = "198.51.100.9";

/// A fleet of three, of which this guard is `pbx1`.
fn terms() -> PeerTerms {
    PeerTerms {
        peers: ["pbx2", "pbx3"].map(node).into(),
        operator: false,
        accept: [Evidence::Proven].into(),
        longest: Duration::from_secs(3600),
        most: 100,
    }
}

fn bench(config: &str, terms: Option<PeerTerms>) -> Bench {
    Bench::of(plan_of(config, terms))
}

fn plan_of(config: &str, terms: Option<PeerTerms>) -> Arc<Plan> {
    let mut plan = Plan::clone(&plan(config));
    plan.peers = terms;
    Arc::new(plan)
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn ban(issuer: &str, host: &str, seconds: u64) -> PeerBan {
    PeerBan {
        issuer: node(issuer),
        host: host.parse().unwrap(),
        jail: "asterisk-guess".to_owned(),
        rule: "asterisk-security/failed".to_owned(),
        evidence: Evidence::Proven,
        remaining: seconds.saturating_mul(1000),
    }
}

impl Bench {
    fn peer(&mut self, ban: &PeerBan, secs: i64) -> Result<Taken, Refusal> {
        self.engine.take_peer_ban(ban, Time::from_secs(secs), &mut self.decisions)
    }

    fn peer_lifts(&mut self, issuer: &str, host: &str) -> bool {
        let host = host.parse().unwrap();
        self.engine.take_peer_lift(&node(issuer), host, &mut self.decisions)
    }

    /// When the element of a host in scope `sip` ends, by what the kernel is to hold.
    fn ends(&self, host: &str) -> Option<i64> {
        let host: Subject = host.parse().unwrap();
        let mut elements = self.engine.bans().elements();
        let element = elements.find(|element| element.subject == host)?;
        element.until.map(Time::secs)
    }
}

#[test]
fn peers_ban_lasts_for_the_time_that_remains() {
    let mut bench = bench("", Some(terms()));
    assert_eq!(bench.peer(&ban("pbx2", HOST, 600), 100), Ok(Taken::Entered));
    assert!(
        matches!(bench.changes()[..], [Change::Put(e)] if e.until == Some(Time::from_secs(700)))
    );
    assert_eq!(bench.said(), [format!("fleet Ban {HOST} sip 600")]);
    // The same again changes nothing; no ban lasts longer than this node takes.
    assert_eq!(bench.peer(&ban("pbx2", HOST, 599), 101), Ok(Taken::Known));
    assert!(bench.decisions.is_empty());
    assert_eq!(bench.peer(&ban("pbx2", HOST, u64::MAX), 200), Ok(Taken::Entered));
    assert_eq!(bench.ends(HOST), Some(3800));
    bench.said();
    bench.tick(3800);
    assert_eq!(bench.said(), [format!("fleet Unban {HOST} Expired")]);
    assert!(bench.changes().is_empty() && bench.engine.peers().is_empty());
    assert_eq!(bench.peer(&ban("pbx2", HOST, 0), 4000), Err(Refusal::Over));
}

#[test]
fn two_peers_ban_a_host_and_one_lifts_its_own() {
    let mut bench = bench("", Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    bench.peer(&ban("pbx3", HOST, 300), 0).unwrap();
    assert_eq!((bench.ends(HOST), bench.engine.bans().len()), (Some(600), 1));
    assert_eq!(bench.said(), [format!("fleet Ban {HOST} sip 600")]);
    // A stranger lifts nothing, nor does a peer what is another's.
    assert!(!bench.peer_lifts("pbx9", HOST));
    assert!(bench.peer_lifts("pbx2", HOST) && !bench.peer_lifts("pbx2", HOST));
    assert_eq!(bench.ends(HOST), Some(300));
    assert_eq!(bench.said(), [""; 0], "it is banned still");
    assert!(bench.peer_lifts("pbx3", HOST));
    assert!(matches!(bench.changes()[..], [Change::Remove(..)]));
    assert_eq!(bench.said(), [format!("fleet Unban {HOST} Recalled")]);
}

#[test]
fn own_ban_and_that_of_a_peer_end_alone() {
    let mut bench = bench(NOT_SLOW, Some(terms()));
    bench.peer(&ban("pbx2", HOST, 1200), 0).unwrap();
    bench.said();
    // What a peer bans does not keep this guard from seeing for itself.
    (0..5).for_each(|second| bench.offence(GUESS, HOST, second));
    assert_eq!(bench.said(), [format!("asterisk-guess Ban {HOST} sip 600")]);
    bench.tick(604);
    assert_eq!(bench.said(), [format!("asterisk-guess Unban {HOST} Expired")]);
    assert_eq!(bench.ends(HOST), Some(1200));
    (0..5).for_each(|second| bench.offence(GUESS, HOST, 700 + second));
    bench.said();
    // A peer's lift leaves the own ban.
    assert!(bench.peer_lifts("pbx2", HOST) && !bench.peer_lifts("pbx2", HOST));
    assert_eq!(bench.said(), [format!("fleet Unban {HOST} Recalled")]);
    assert!(bench.ends(HOST).is_some_and(|end| end > 1200));
    assert!(!bench.peer_lifts("asterisk-guess", HOST) && bench.engine.bans().len() == 1);
}

#[test]
fn nobody_innocent_is_banned_by_what_peers_say() {
    let mut bench = bench("[default]\nignoreip = '198.51.100.64/27'\n", Some(terms()));
    bench.login("198.51.100.7", "1000", Evidence::Proven);
    bench.login("2001:db8:7::7", "1001", Evidence::Proven);
    let own = |net: &str| {
        let net: IpNet = net.parse().unwrap();
        ExemptNetwork::new(net, ExemptReason::Gateway)
    };
    let list = IgnoreList::default().and([own("198.51.100.1/32")].into_iter());
    bench.engine.protect(Arc::new(list), &mut bench.decisions);
    let cases = [
        ("0.0.0.0/0", Refusal::NotAHost),
        ("::/0", Refusal::NotAHost),
        ("128.0.0.0/1", Refusal::NotAHost),
        ("198.51.100.0/24", Refusal::NotAHost),
        ("198.51.100.8/31", Refusal::NotAHost),
        ("2001:db8::/32", Refusal::NotAHost),
        ("2001:db8::/63", Refusal::NotAHost),
        // Another length than that of the networks that are banned here.
        ("2001:db8::/72", Refusal::NotAHost),
        ("198.51.100.9:5060", Refusal::NotAHost),
        ("0.0.0.0", Refusal::NotBannable),
        ("0.1.2.3", Refusal::NotBannable),
        ("127.0.0.1", Refusal::NotBannable),
        ("255.255.255.255", Refusal::NotBannable),
        ("224.0.0.1", Refusal::NotBannable),
        ("169.254.1.1", Refusal::NotBannable),
        // Others at each site.
        ("10.1.2.3", Refusal::NotBannable),
        ("172.16.0.1", Refusal::NotBannable),
        ("192.168.1.1", Refusal::NotBannable),
        ("100.64.0.1", Refusal::NotBannable),
        ("fd00:1::/64", Refusal::NotBannable),
        ("fe80::1", Refusal::NotBannable),
        ("198.51.100.64", Refusal::Ignored),
        ("198.51.100.1", Refusal::Ignored),
        ("198.51.100.7", Refusal::KnownGood),
        ("2001:db8:7::/64", Refusal::KnownGood),
        ("2001:db8:7::9", Refusal::KnownGood),
    ];
    bench.said();
    for (host, why) in cases {
        assert_eq!(bench.peer(&ban("pbx2", host, 600), 0), Err(why), "{host}");
    }
    for (evidence, why) in
        [(Evidence::Unverified, Refusal::Evidence), (Evidence::Hearsay, Refusal::Evidence)]
    {
        let doubtful = PeerBan { evidence, ..ban("pbx2", HOST, 600) };
        assert_eq!(bench.peer(&doubtful, 0), Err(why));
    }
    assert_eq!(bench.peer(&ban("pbx9", HOST, 600), 0), Err(Refusal::Stranger));
    assert_eq!(bench.said(), [""; 0]);
    assert!(bench.engine.bans().is_empty());
    // Those next to them are banned.
    for host in [HOST, "198.51.100.63", "2001:db8:8::/64", "2001:db8:9::7"] {
        assert_eq!(bench.peer(&ban("pbx2", host, 600), 0), Ok(Taken::Entered), "{host}");
    }
    let (_, bans, refused) = bench.engine.peers().issuers().next().unwrap();
    assert_eq!((bans, refused[&Refusal::NotAHost]), (4, 9));
    assert_eq!(bench.engine.peers().strangers(), 1);
}

#[test]
fn host_that_becomes_ignored_is_lifted() {
    let mut bench = bench("", Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    bench.said();
    let net: IpNet = "198.51.100.9/32".parse().unwrap();
    let list = IgnoreList::default().and([ExemptNetwork::new(net, ExemptReason::Own)].into_iter());
    bench.engine.protect(Arc::new(list), &mut bench.decisions);
    assert_eq!(bench.said(), [format!("fleet Unban {HOST} Ignored")]);
    assert!(bench.engine.peers().is_empty());
    assert_eq!(bench.peer(&ban("pbx2", HOST, 600), 1), Err(Refusal::Ignored));
}

#[test]
fn hostile_peer_has_no_more_than_its_share() {
    let mut bench = bench(NOT_SLOW, Some(terms()));
    for n in 0..100_000_u32 {
        let host = std::net::Ipv4Addr::from(0x0500_0000 + n).to_string();
        let taken = bench.peer(&ban("pbx2", &host, 600), 0);
        assert_eq!(taken.is_ok(), n < 100);
    }
    assert_eq!(bench.engine.bans().len(), 100);
    assert_eq!(bench.peer(&ban("pbx3", HOST, 600), 0), Ok(Taken::Entered));
    bench.said();
    (0..5).for_each(|second| bench.offence(GUESS, "203.0.113.9", second));
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 600"]);
}

#[test]
fn unban_of_a_peers_ban_is_remembered() {
    let mut bench = bench("", Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    let whom: Subject = HOST.parse().unwrap();
    assert_eq!(bench.engine.unban(whom, None, &mut bench.decisions), 1);
    assert_eq!(bench.peer(&ban("pbx2", HOST, 590), 10), Err(Refusal::Dismissed));
    assert_eq!(bench.ends(HOST), None);
    bench.tick(600);
    assert_eq!(bench.peer(&ban("pbx2", HOST, 600), 600), Ok(Taken::Entered));
}

#[test]
fn nothing_of_peers_goes_out_again() {
    let mut bench = bench(NOT_SLOW, Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    (0..5).for_each(|second| bench.offence(GUESS, "203.0.113.9", second));
    (0..5).for_each(|second| bench.offence(GUESS, "192.168.1.9", second));
    let manual = by_hand("203.0.113.10", None, None);
    bench.engine.ban(&manual, Time::from_secs(0), &mut bench.decisions);
    for network in ["203.0.113.128/25", "203.0.113.11:5060"] {
        let order = by_hand(network, None, None);
        bench.engine.ban(&order, Time::from_secs(0), &mut bench.decisions);
    }
    assert_eq!(bench.engine.bans().len(), 6);
    let out = bench.engine.bans().iter().filter_map(|ban| bench.engine.own_ban(ban));
    let out: Vec<_> = out.map(|own| format!("{} {} {}", own.host, own.jail, own.rule)).collect();
    assert_eq!(out, ["203.0.113.9 asterisk-guess asterisk-test/guess", "203.0.113.10 manual "]);
    assert_eq!(bench.engine.own_jail(bench.engine.plan().fleet()), None);
}

#[test]
fn those_that_are_no_peers_any_more_have_no_bans() {
    let mut bench = bench("", Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    bench.peer(&ban("pbx3", HOST, 300), 0).unwrap();
    bench.said();
    let one = PeerTerms { peers: [node("pbx3")].into(), ..terms() };
    bench.engine.change(plan_of("", Some(one)), &mut bench.decisions);
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.ends(HOST), Some(300));
    bench.engine.change(plan_of("", None), &mut bench.decisions);
    assert_eq!(bench.said(), [format!("fleet Unban {HOST} Recalled")]);
    assert!(bench.engine.bans().is_empty());
    assert_eq!(bench.peer(&ban("pbx2", HOST, 600), 1), Err(Refusal::Stranger));
}

#[test]
fn ports_are_those_of_the_jail_of_the_same_name() {
    let mut bench = bench("[jail.asterisk-guess]\nport = 'all'\n", Some(terms()));
    bench.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    let other = PeerBan { jail: "its-own".to_owned(), ..ban("pbx3", HOST, 300) };
    bench.peer(&other, 0).unwrap();
    assert_eq!(
        bench.said(),
        [format!("fleet Ban {HOST} all 600"), format!("fleet Ban {HOST} sip 300")]
    );
    // Other ports by another configuration.
    bench.engine.change(plan_of("", Some(terms())), &mut bench.decisions);
    let scopes: Vec<_> = bench.engine.bans().iter().map(|ban| (ban.scope, ban.until)).collect();
    assert_eq!(scopes, [(ScopeId(1), Some(Time::from_secs(600)))]);
    assert!(bench.peer_lifts("pbx2", HOST));
    assert_eq!(bench.ends(HOST), Some(300));
}

#[test]
fn restart_keeps_peers_bans_with_their_issuers() {
    let mut before = bench("", Some(terms()));
    before.peer(&ban("pbx2", HOST, 600), 0).unwrap();
    before.peer(&ban("pbx3", HOST, 300), 0).unwrap();
    before.peer(&ban("pbx2", "198.51.100.10", 600), 0).unwrap();
    let whom: Subject = "198.51.100.10".parse().unwrap();
    before.engine.unban(whom, None, &mut before.decisions);
    let bans = before.engine.bans().iter().copied().collect();
    let stored = before.engine.peers().stored();
    let mut after = bench("", Some(terms()));
    let now = Time::from_secs(100);
    let stored_bans = StoredBans { bans, ..StoredBans::default() };
    after.engine.recover(&stored_bans, &[], now, &mut after.decisions);
    after.decisions.clear();
    after.engine.restore_peers(&stored, now, &mut after.decisions);
    assert!(after.decisions.is_empty(), "{:?}", after.decisions);
    assert_eq!(after.ends(HOST), Some(600));
    assert!(after.peer_lifts("pbx2", HOST));
    assert_eq!(after.ends(HOST), Some(300));
    let again = ban("pbx2", "198.51.100.10", 400);
    assert_eq!(after.peer(&again, 200), Err(Refusal::Dismissed));
}
