//! Tests for bans that another guard made before: how long they make the next ones.

use super::*;
use crate::decide::engine::StoredBans;

const HOST: &str = "203.0.113.9";
const OTHER: &str = "203.0.113.10";
const NOW: i64 = 1_800_000_000;

/// The lengths of the next bans of a host, each begun when the one before is over and `pause` seconds have passed.
fn lengths(bench: &mut Bench, host: &str, mut now: i64, pauses: &[i64]) -> Vec<i64> {
    let mut lengths = Vec::new();
    for pause in pauses {
        now += pause;
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        bench.said();
        // Guesses at two accounts in turn: one could be a phone.
        for account in ["1000", "1001", "1000", "1001", "1000"] {
            bench.account_event(GUESS, host, now, Evidence::Proven, Some(account));
        }
        let ban = bench.engine.bans().iter().find(|ban| ban.host.to_string() == host).copied();
        let until = ban.unwrap().until.unwrap();
        lengths.push(until.secs() - now);
        now = until.secs() + 1;
    }
    lengths
}

fn bench() -> Bench {
    Bench::new(&format!("{NOT_SLOW}[jail.recidive]\nenabled = false\n"))
}

fn take_over(bench: &mut Bench, host: &str, bans: u32, until: Option<i64>) -> bool {
    let host = host.parse().unwrap();
    bench.engine.take_over(host, bans, until.map(Time::from_secs), Time::from_secs(NOW))
}

#[test]
fn the_next_ban_is_as_long_as_after_as_many_of_ours() {
    for bans in 0..6 {
        let mut ours = bench();
        let before = vec![0; usize::try_from(bans).unwrap()];
        lengths(&mut ours, HOST, NOW - 600_000, &before);
        let last = ours.engine.bans().iter().filter_map(|ban| ban.until).max();
        let begin = last.map_or(NOW, Time::secs);
        let expected = lengths(&mut ours, HOST, begin + 1, &[0, 0]);

        let mut theirs = bench();
        assert_eq!(take_over(&mut theirs, HOST, bans, Some(NOW - 1)), bans > 0);
        assert_eq!(lengths(&mut theirs, HOST, NOW, &[0, 0]), expected, "{bans}");
        // Nobody else's.
        assert_eq!(lengths(&mut theirs, OTHER, NOW, &[0]), [600]);
    }
}

#[test]
fn quiet_makes_less_of_them() {
    for (days, length) in [(0, 38_400), (1, 9600), (3, 600), (1000, 600)] {
        let mut bench = bench();
        take_over(&mut bench, HOST, 3, Some(NOW - 86_400 * days));
        assert_eq!(lengths(&mut bench, HOST, NOW, &[0]), [length], "{days} days");
    }
    // Not while the last one lasts.
    let mut bench = bench();
    take_over(&mut bench, HOST, 3, None);
    assert_eq!(lengths(&mut bench, HOST, NOW + 864_000, &[0]), [38_400]);
}

#[test]
fn they_count_once_and_over_a_restart() {
    let mut bench = bench();
    take_over(&mut bench, HOST, 1, Some(NOW));
    assert!(!take_over(&mut bench, HOST, 1, Some(NOW)), "once more is no news");
    assert_eq!(lengths(&mut bench, HOST, NOW, &[0]), [2400]);
    let past: Vec<_> = bench.engine.bans().iter().copied().collect();
    let earlier = bench.engine.take_earlier().unwrap();
    assert_eq!(bench.engine.take_earlier(), None);
    assert!(!take_over(&mut bench, HOST, 1, Some(NOW)));

    let mut again = self::bench();
    let stored = StoredBans { past, earlier, ..StoredBans::default() };
    again.engine.recover(&stored, &[], Time::from_secs(NOW), &mut again.decisions);
    assert_eq!(again.engine.take_earlier(), None);
    assert_eq!(lengths(&mut again, HOST, NOW + 2401, &[0]), [9600]);
    assert_eq!(lengths(&mut bench, HOST, NOW + 2401, &[0]), [9600]);
}

#[test]
fn a_ban_of_ours_from_before_counts_besides() {
    let mut bench = bench();
    assert_eq!(lengths(&mut bench, HOST, NOW - 700, &[0]), [600]);
    take_over(&mut bench, HOST, 1, Some(NOW));
    let past: Vec<_> = bench.engine.bans().iter().copied().collect();
    let earlier = bench.engine.take_earlier().unwrap();
    let mut again = self::bench();
    let stored = StoredBans { past, earlier, ..StoredBans::default() };
    again.engine.recover(&stored, &[], Time::from_secs(NOW), &mut again.decisions);
    for bench in [&mut bench, &mut again] {
        assert_eq!(lengths(bench, HOST, NOW, &[1]), [9600]);
    }
}

#[test]
fn numbers_that_make_no_sense_ban_nobody_for_longer_than_the_longest_ban() {
    for until in [None, Some(i64::MIN), Some(0), Some(i64::MAX)] {
        let mut bench = bench();
        take_over(&mut bench, HOST, u32::MAX, until);
        take_over(&mut bench, "127.0.0.1", u32::MAX, until);
        let length = if matches!(until, Some(i64::MIN | 0)) { 600 } else { 86_400 };
        assert_eq!(lengths(&mut bench, HOST, NOW, &[0]), [length], "{until:?}");
    }
    let mut bench = bench();
    for number in 0..70_000_u32 {
        bench.engine.take_over(
            (number + 0x0a00_0000).to_be_bytes().into(),
            3,
            None,
            Time::from_secs(NOW),
        );
    }
    assert_eq!(bench.engine.take_earlier().unwrap().len(), 1 << 16);
    // What is stored and no subject is left out.
    let nonsense = EarlierBans { bans: 3, until: None, taken: Time::from_secs(NOW) };
    let earlier = vec![("x".to_owned(), nonsense), (HOST.to_owned(), nonsense)];
    let mut again = self::bench();
    let stored = StoredBans { earlier, ..StoredBans::default() };
    again.engine.recover(&stored, &[], Time::from_secs(NOW), &mut again.decisions);
    assert_eq!(lengths(&mut again, HOST, NOW, &[0]), [38_400]);
}
