//! Bans that packets come through.

use super::*;
use crate::model::event::{Passed, Remedy, WithoutEffect};

const HOST: &str = "203.0.113.9";

/// What the kernel has counted: hosts, ports and packets.
fn look(bench: &mut Bench, secs: i64, counted: &[(&str, u16, u64)]) -> Vec<String> {
    let counted: Vec<_> = counted
        .iter()
        .map(|(host, port, packets)| Passed {
            host: host.parse().unwrap(),
            port: *port,
            packets: *packets,
        })
        .collect();
    bench.engine.on_passed(&counted, Time::from_secs(secs), &mut bench.decisions);
    bench.said()
}

/// What is said of packets to `port` that come all the time, from the moment of the ban on.
fn flood(bench: &mut Bench, host: &str, port: u16, secs: std::ops::Range<i64>) -> Vec<String> {
    let packets = |now| u64::try_from(now).unwrap() * 10;
    secs.flat_map(|now| look(bench, now, &[(host, port, packets(now))])).collect()
}

/// A bench where Asterisk also listens at 5070, and `host` is banned at second 0.
fn bench(rule: RuleId, host: &str) -> Bench {
    let plan = plan("");
    let mut config = plan.config.clone();
    config.jails.pop();
    config.asterisk.heard = [5070].into();
    let plan = Arc::new(Plan::new(config, Arc::clone(&plan.rules)));
    let mut bench = Bench::new("");
    bench.engine = Engine::new(Arc::clone(&plan));
    bench.engine.open_channel(plan.jails().map(|(id, _)| id));
    (0..5).for_each(|_| bench.offence(rule, host, 0));
    assert_eq!(bench.said().len(), 1);
    bench
}

fn outcomes(bench: &Bench) -> Vec<Remedy> {
    bench.engine.without_effect().map(|found| found.outcome).collect()
}

#[test]
fn a_proven_ban_without_effect_is_widened_once() {
    // At a port that it does not close, and at one that others are mapped to.
    for port in [5070, 5060] {
        let mut bench = bench(GUESS, HOST);
        assert!(flood(&mut bench, HOST, port, 0..7).is_empty(), "what is under way says nothing");
        let said = flood(&mut bench, HOST, port, 7..8);
        assert_eq!(
            said,
            [
                format!("asterisk-guess no effect {HOST} 20 packets to {port} Widened"),
                format!("asterisk-guess Ban {HOST} all 593"),
            ]
        );
        let all: Vec<_> = bench.engine.bans().iter().map(|ban| (ban.scope.0, ban.until)).collect();
        assert_eq!(all, [0, 1].map(|scope| (scope, Some(Time::from_secs(600)))));
        // What still comes is judged by the wider one: all ports are closed, and that has no effect either.
        let said = flood(&mut bench, HOST, port, 8..60);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].ends_with("Unchanged"), "{said:?}");
        assert_eq!(outcomes(&bench), [Remedy::Unchanged, Remedy::Widened]);
        bench.tick(600);
        assert_eq!(outcomes(&bench), []);
    }
}

#[test]
fn an_unverified_ban_and_one_by_hand_are_never_widened() {
    let mut bench = bench(SCAN, HOST);
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    let manual = by_hand("203.0.113.10", guess, None);
    bench.engine.ban(&manual, Time::from_secs(0), &mut bench.decisions);
    bench.said();
    for (host, port, outcome) in [(HOST, 5070, "Unverified"), ("203.0.113.10", 5060, "ByHand")] {
        let said = flood(&mut bench, host, port, 20..60);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].ends_with(outcome), "{said:?}");
    }
    assert_eq!(bench.engine.bans().len(), 2);
}

#[test]
fn packets_that_no_ban_should_hold_are_no_alarm() {
    let mut bench = bench(GUESS, HOST);
    // A web server; a host that is not banned; one look that a table was put back at.
    assert!(flood(&mut bench, HOST, 443, 10..60).is_empty());
    assert!(flood(&mut bench, "203.0.113.10", 5070, 60..90).is_empty());
    for secs in 100..160 {
        assert!(look(&mut bench, secs, &[(HOST, 5070, 7)]).is_empty());
    }
    assert_eq!(outcomes(&bench), []);
    // A ban of one port of the host.
    let flow: Subject = format!("{HOST}:40000").parse().unwrap();
    let mut bench = Bench::new("");
    let order = by_hand(&flow.to_string(), None, None);
    bench.engine.ban(&order, Time::from_secs(0), &mut bench.decisions);
    bench.said();
    assert!(flood(&mut bench, HOST, 5060, 10..60).is_empty());
}

#[test]
fn nothing_is_widened_again_after_a_restart() {
    let mut bench = bench(GUESS, HOST);
    flood(&mut bench, HOST, 5070, 0..10);
    let stored = super::super::StoredBans {
        bans: bench.engine.bans().iter().copied().collect(),
        ..Default::default()
    };
    assert_eq!(stored.bans.len(), 2);
    let mut after = Bench::new("");
    after.engine = Engine::new(Arc::clone(bench.engine.plan()));
    after.engine.recover(&stored, &[], Time::from_secs(20), &mut after.decisions);
    after.said();
    let said = flood(&mut after, HOST, 5070, 20..60);
    assert_eq!(said, [format!("asterisk-guess no effect {HOST} 20 packets to 5070 Unchanged")]);
    assert_eq!(after.engine.bans().len(), 2);
}

#[test]
fn ipv6_hosts_are_judged_by_their_networks() {
    let mut bench = bench(GUESS, "2001:db8::9");
    let mut said = Vec::new();
    for secs in 5..9 {
        // From another address each time.
        said.extend(look(&mut bench, secs, &[(&format!("2001:db8::{secs}"), 5070, 1)]));
        said.extend(look(&mut bench, secs, &[("2001:db8:0:1::9", 5070, 9)]));
    }
    assert_eq!(said[0], "asterisk-guess no effect 2001:db8::/64 2 packets to 5070 Widened");
    assert_eq!(said.len(), 2, "{said:?}");
}

#[test]
fn another_plan_begins_anew() {
    let mut bench = bench(SCAN, HOST);
    assert_eq!(flood(&mut bench, HOST, 5070, 5..10).len(), 1);
    let found: Vec<WithoutEffect> = bench.engine.without_effect().collect();
    assert_eq!(
        (found[0].packets, found[0].since, found[0].last.secs()),
        (40, Time::from_secs(6), 9)
    );
    bench.reload("[ports]\nsip = [5060, 5070]\n");
    assert_eq!(outcomes(&bench), []);
}
