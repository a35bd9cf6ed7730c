//! Bans that get longer with each further one.

use super::*;

/// The bans of a host that guesses as often as it is banned for, each time after a pause in
/// seconds.
fn bans_after(config: &str, pauses: &[i64]) -> Vec<String> {
    let mut bench = Bench::new(&format!("{config}{NOT_SLOW}"));
    let (mut bans, mut now) = (Vec::new(), 0);
    for (n, pause) in pauses.iter().enumerate() {
        now += pause;
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        bench.said();
        // Guesses at two accounts in turn: one could be a phone.
        let account = ["1000", "1001"][n % 2];
        for _ in 0..5 {
            bench.account_event(GUESS, "203.0.113.9", now, Evidence::Proven, Some(account));
        }
        bans.extend(bench.said());
    }
    bans
}

#[test]
fn bans_grow_until_a_host_has_been_quiet() {
    let without = "[jail.recidive]\nenabled = false\n";
    let lengths = |pauses: &[i64]| -> Vec<String> {
        let last_word = |ban: String| ban.rsplit(' ').next().map(str::to_owned);
        bans_after(without, pauses).into_iter().filter_map(last_word).collect()
    };
    let pauses = [0, 700, 3000, 10_000, 40_000, 90_000];
    assert_eq!(lengths(&pauses), ["600", "2400", "9600", "38400", "86400", "86400"]);
    // Each day of quiet takes one ban back, from the four that it takes to the longest.
    for (days, length) in [(0, "86400"), (1, "38400"), (3, "2400"), (4, "600"), (60, "600")] {
        let lengths = lengths(&[&pauses[..], &[86_400 * (days + 1)]].concat());
        assert_eq!(lengths[6], length, "{days} days");
    }
}

#[test]
fn overalljails_counts_bans_of_all_jails() {
    for (all, length) in [("false", 600), ("true", 2400)] {
        let mut bench = Bench::new(&format!("[default]\nbantime = {{ overalljails = {all} }}"));
        (0..3).for_each(|_| bench.event(SCAN, "203.0.113.9", 0, Evidence::Proven));
        assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 all 3600"]);
        bench.engine.on_tick(Time::from_secs(3600), &mut bench.decisions);
        bench.said();
        (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 3600));
        assert_eq!(bench.said(), [format!("asterisk-guess Ban 203.0.113.9 sip {length}")]);
    }
}

#[test]
fn rndtime_varies_the_end_of_a_ban() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nbantime = { rndtime = '10m' }");
    for host in 0..64 {
        (0..5).for_each(|_| bench.offence(GUESS, &format!("203.0.113.{host}"), 0));
    }
    let said = bench.said();
    let length = |ban: &String| ban.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    let lengths: std::collections::BTreeSet<_> = said.iter().map(length).collect();
    assert!(lengths.iter().all(|length| (600..=1200).contains(length)), "{lengths:?}");
    assert!(lengths.len() > 32, "{lengths:?}");
}

#[test]
fn recidive_bans_repeat_offenders() {
    let short = "[jail.asterisk-guess]\nbantime = 60\n[jail.recidive]\nmaxretry = 3\n";
    let bans = bans_after(short, &[0, 61, 61]);
    let ban = "asterisk-guess Ban 203.0.113.9 sip 60";
    assert_eq!(bans, [ban, ban, ban, "recidive Ban 203.0.113.9 all 604800"]);
    // At one account alone.
    let mut bench = Bench::new(&format!("{short}{NOT_SLOW}"));
    for now in [0, 61, 122, 183, 244] {
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        for _ in 0..5 {
            bench.account_event(GUESS, "203.0.113.9", now, Evidence::Proven, Some("1000"));
        }
    }
    assert!(!bench.said().iter().any(|said| said.starts_with("recidive")));
    // Too seldom.
    assert_eq!(bans_after(short, &[0, 43_200, 43_200]), [ban; 3]);
    // By another jail, and not alone by proof.
    let mut bench = Bench::new("[jail.recidive]\nmaxretry = 2\n");
    (0..3).for_each(|_| bench.event(SCAN, "203.0.113.9", 0, Evidence::Proven));
    bench.engine.on_tick(Time::from_secs(3600), &mut bench.decisions);
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 3600));
    assert!(bench.said().iter().any(|said| said.starts_with("recidive")));
    let mut bench = Bench::new("[jail.recidive]\nmaxretry = 1\n");
    (0..3).for_each(|_| bench.offence(SCAN, "203.0.113.9", 0));
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 sip 600"]);
    // Nor for those that it ignores.
    let ignores = "[jail.recidive]\nmaxretry = 1\nignoreip = '203.0.113.9'\n";
    assert_eq!(bans_after(ignores, &[0]).len(), 1);
    let observes = "[jail.recidive]\nmaxretry = 1\nmode = 'observe'\n";
    assert_eq!(bans_after(observes, &[0])[1], "recidive Would ban 203.0.113.9");
}

/// A host that comes back an hour after each ban, for thirty days, and once more after a
/// fortnight.
#[test]
fn returning_host_over_thirty_days() {
    const HOUR: i64 = 3600;
    let mut bench = Bench::new(&format!("[jail.recidive]\nfindtime = '1w'\n{NOT_SLOW}"));
    let (mut now, mut bans) = (0, Vec::new());
    let mut come = |now: i64| {
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        bench.said();
        for n in 0..5 {
            let account = if n == 4 && bans.len() % 2 == 0 { "1000" } else { "1001" };
            bench.account_event(GUESS, "203.0.113.9", now, Evidence::Proven, Some(account));
        }
        let latest = bench.engine.bans().iter().filter_map(|ban| ban.until).max();
        let time = format!("{}d {:02}:{:02}", now / 86_400, now / HOUR % 24, now / 60 % 60);
        bans.extend(bench.said().iter().map(|said| format!("{time} {said}")));
        latest.map_or(now, Time::secs)
    };
    while now < 30 * 86_400 {
        now = come(now) + HOUR;
    }
    come(now + 14 * 86_400);
    let short: Vec<_> = bans.iter().map(|ban| ban.replace(" Ban 203.0.113.9", "")).collect();
    insta::assert_snapshot!(short.join("\n"), @r"
    0d 00:00 asterisk-guess sip 600
    0d 01:10 asterisk-guess sip 2400
    0d 02:50 asterisk-guess sip 9600
    0d 06:30 asterisk-guess sip 38400
    0d 18:10 asterisk-guess sip 86400
    0d 18:10 recidive all 604800
    7d 19:10 asterisk-guess sip 86400
    8d 20:10 asterisk-guess sip 86400
    9d 21:10 asterisk-guess sip 86400
    10d 22:10 asterisk-guess sip 86400
    11d 23:10 asterisk-guess sip 86400
    11d 23:10 recidive all 604800
    19d 00:10 asterisk-guess sip 86400
    20d 01:10 asterisk-guess sip 86400
    21d 02:10 asterisk-guess sip 86400
    22d 03:10 asterisk-guess sip 86400
    23d 04:10 asterisk-guess sip 86400
    23d 04:10 recidive all 604800
    44d 05:10 asterisk-guess sip 600
    ");
}
