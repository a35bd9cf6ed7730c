//! What somebody sees who looks on: bans with what their jails remember, and what changes.

use super::*;
use crate::decide::engine::WatchedChange;

#[test]
fn a_ban_is_seen_with_the_attempts_of_earlier_ones() {
    let mut bench = Bench::new(NOT_SLOW);
    assert_eq!(bench.engine.watched(), None, "nobody looks on");
    let ban = |bench: &mut Bench, secs| {
        (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", secs));
    };
    ban(&mut bench, 0);
    bench.engine.watch();
    let page = bench.engine.page(None, 10);
    let seen: Vec<_> = page.iter().map(|seen| (seen.tries, seen.bans)).collect();
    assert_eq!(seen, [(5, 1)]);
    assert_eq!(bench.engine.page(page.last().map(|seen| &seen.ban), 10), []);
    bench.engine.on_tick(Time::from_secs(600), &mut bench.decisions);
    ban(&mut bench, 601);
    let changes = bench.engine.watched().unwrap();
    assert_eq!(changes[0], WatchedChange::Struck(page[0].ban));
    let entered = changes.iter().find_map(|change| match change {
        WatchedChange::Entered(seen) if seen.ban.jail == page[0].ban.jail => Some(*seen),
        _ => None,
    });
    assert_eq!(entered.map(|seen| (seen.tries, seen.bans)), Some((10, 2)));
    assert_eq!(bench.engine.watched(), Some(Vec::new()));
    // A reload is another table: somebody has to look at all of it again.
    bench.reload(NOT_SLOW);
    assert_eq!(bench.engine.watched(), None);
    bench.engine.watch();
    bench.engine.unwatch();
    ban(&mut bench, 700);
    assert_eq!(bench.engine.watched(), None);
}

#[test]
fn attempts_and_bans_of_each_minute_are_counted_once() {
    let mut bench = Bench::new(NOT_SLOW);
    bench.engine.on_tick(Time::from_secs(60), &mut bench.decisions);
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 61));
    bench.engine.on_tick(Time::from_secs(62), &mut bench.decisions);
    bench.engine.on_tick(Time::from_secs(120), &mut bench.decisions);
    let minutes: Vec<_> = bench.engine.rates().minutes().collect();
    let counts: Vec<_> = minutes.iter().map(|minute| (minute.attempts, minute.bans)).collect();
    // The ban is no attempt, though the jail recidive counts it.
    assert_eq!(counts, [(5, 1), (0, 0)]);
}
