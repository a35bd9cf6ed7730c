//! More unverified bans are due than there may be.

use super::*;

#[test]
fn unverified_bans_are_limited_to_a_hundred_a_minute() {
    const SOURCES: u32 = 90_000;
    let host = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
    let mut bench = Bench::new("");
    // 15 seconds; in the middle of it somebody guesses over TCP.
    for n in 0..SOURCES {
        let second = i64::from(n / 6000);
        (0..3).for_each(|_| bench.offence(SCAN, &host(n), second));
        if n % 10_000 == 0 {
            bench.offence(GUESS, "203.0.113.9", second);
            bench.tick(second);
        }
        bench
            .decisions
            .retain(|decision| !matches!(decision, Decision::Found { .. } | Decision::Change(_)));
    }
    let floods: Vec<_> = bench.engine.floods().collect();
    assert_eq!(floods, [(Origin::Log, Time::from_secs(0), u64::from(SOURCES) - 100)]);
    assert_eq!(bench.engine.bans().len(), 101);
    let said = bench.said();
    assert_eq!(
        said.iter().filter(|said| *said == "flood by the logs").count(),
        1,
        "one word about it"
    );
    assert!(said.contains(&"asterisk-guess Ban 203.0.113.9 sip 600".to_owned()));
    assert_eq!(said.len(), 102);

    // It goes on a little, then ebbs.
    for n in 0..200 {
        bench.tick(61);
        (0..3).for_each(|_| bench.offence(SCAN, &host(n + 200_000), 61));
    }
    assert!(bench.said().is_empty());
    bench.tick(121);
    bench.offence(SCAN, &host(0), 125);
    bench.tick(182);
    assert_eq!(bench.said(), ["ebb of the logs after 90100"]);
    (0..3).for_each(|_| bench.offence(SCAN, &host(70_000), 190));
    assert_eq!(bench.said(), [format!("asterisk-scan Ban {} sip 600", host(70_000))]);
}

#[test]
fn a_flood_of_one_origin_does_not_silence_another() {
    let host = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
    let mut bench = Bench::new("");
    for n in 0..200 {
        (0..3).for_each(|_| bench.exchange_event(SCAN, &host(n), 0, Source::Wire));
    }
    assert!(bench.said().contains(&"flood by the wire".to_owned()));
    (0..3).for_each(|_| bench.offence(SCAN, "203.0.113.9", 1));
    (0..3).for_each(|_| bench.exchange_event(SCAN, "203.0.113.10", 1, Source::Hep));
    (0..3).for_each(|_| bench.exchange_event(SCAN, "203.0.113.11", 1, Source::Wire));
    assert_eq!(
        bench.said(),
        ["203.0.113.9", "203.0.113.10"].map(|host| format!("asterisk-scan Ban {host} sip 600"))
    );
}
