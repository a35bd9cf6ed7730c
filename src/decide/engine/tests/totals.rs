//! What a jail has counted in all, stored and restored.

use super::*;
use crate::decide::engine::JailTotals;

/// What `asterisk-guess` has counted, of those.
fn guess(totals: &[JailTotals]) -> Option<(u64, u64, Option<Time>)> {
    let guess = totals.iter().find(|totals| totals.jail == "asterisk-guess")?;
    Some((guess.tally.failed, guess.tally.banned, guess.tally.last))
}

#[test]
fn totals_are_told_when_they_change_and_restored() {
    let mut bench = Bench::new(NOT_SLOW);
    let jails = bench.engine.plan().jails().count();
    assert_eq!(bench.engine.take_totals().len(), jails, "none of them is stored");
    assert_eq!(bench.engine.take_totals(), []);
    (0..5).for_each(|second| bench.offence(GUESS, "203.0.113.9", second));
    let totals = bench.engine.take_totals();
    assert_eq!(guess(&totals), Some((5, 1, Some(Time::from_secs(4)))), "{totals:?}");
    assert!(totals.iter().all(|totals| totals.jail != "asterisk-options"), "{totals:?}");
    assert_eq!(bench.engine.take_totals(), []);
    // A reload keeps them, and has them stored anew.
    bench.reload(NOT_SLOW);
    assert_eq!(bench.engine.take_totals(), []);
    bench.engine.note_changes();
    let totals = bench.engine.take_totals();
    assert_eq!((totals.len(), guess(&totals).map(|(failed, ..)| failed)), (jails, Some(5)));

    // The next process goes on from there, whatever its clock says and its jails are.
    let mut again = Bench::new(NOT_SLOW);
    let odd = JailTotals { jail: "gone".to_owned(), ..JailTotals::default() };
    again.engine.restore_totals(&[&totals[..], &[odd]].concat(), Time::from_secs(2));
    again.offence(GUESS, "203.0.113.10", 9);
    assert_eq!(guess(&again.engine.take_totals()), Some((6, 1, Some(Time::from_secs(9)))));
    again.engine.restore_totals(&totals, Time::from_secs(2));
    assert_eq!(guess(&again.engine.take_totals()), Some((5, 1, Some(Time::from_secs(2)))));
}
