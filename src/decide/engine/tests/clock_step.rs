//! The wall clock is set by a day, and the engine is told.

use super::*;
use crate::model::clock_step::ClockStep;

const DAY: i64 = 86_400;
const NOON: i64 = 10 * DAY + DAY / 2;

/// Returns what an engine says when its clock is set by `step` seconds on the way, and it is told
/// that it was set by `told` seconds. The times that it is handed are by that clock.
fn day(step: i64, told: i64) -> Vec<String> {
    let mut bench = Bench::new("[default]\nmaxunverified = 1\n");
    let mut said = Vec::new();
    // Banned for ten minutes; one short of it; one that is known good; one of many forged ones.
    (0..5).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + second));
    (0..4).for_each(|second| bench.offence(GUESS, "192.0.2.2", NOON + second));
    bench.account_event(LOGIN, "192.0.2.3", NOON, Evidence::Proven, Some("1000"));
    (0..3).for_each(|second| bench.offence(SCAN, "192.0.2.4", NOON + second));
    (0..3).for_each(|second| bench.offence(SCAN, "192.0.2.5", NOON + second));
    said.extend(bench.said());

    bench.engine.correct(ClockStep::by_millis(told * 1000));
    let at = |second: i64| NOON + step + second;
    bench.tick(at(60));
    // Its lines from before it was banned are no reason for another ban; a fifth offence is one.
    (0..9).for_each(|_| bench.offence(GUESS, "192.0.2.1", at(60)));
    bench.offence(GUESS, "192.0.2.2", at(61));
    // Excused, for it has logged in.
    (0..9).for_each(|_| {
        bench.account_event(GUESS, "192.0.2.3", at(62), Evidence::Proven, Some("1000"));
    });
    bench.tick(at(130));
    // The flood is over.
    (0..3).for_each(|second| bench.offence(SCAN, "192.0.2.6", at(131) + second));
    said.extend(bench.said());
    for second in [603, 604, 660, 661] {
        bench.tick(at(second));
        said.extend(bench.said().into_iter().map(|what| format!("{second}: {what}")));
    }
    // Again, and for longer, because it was banned before.
    (0..5).for_each(|_| bench.offence(GUESS, "192.0.2.1", at(700)));
    said.extend(bench.said());
    let good = bench.engine.known_good(Time::from_secs(at(700))).count();
    let logins = bench.engine.logins().within(Duration::from_secs(900), Time::from_secs(at(700)));
    let lately = bench.engine.logins().within(Duration::from_secs(600), Time::from_secs(at(700)));
    said.push(format!("{good} known good, {logins} logins within 15m, {lately} within 10m"));
    let kernel: Vec<_> = bench
        .engine
        .bans()
        .elements()
        .filter_map(|Element { subject, until, .. }| {
            Some(format!("{subject} {}", until?.secs() - at(0)))
        })
        .collect();
    said.extend(kernel);
    said
}

#[test]
fn clock_step_of_a_day_changes_nothing() {
    let expected = day(0, 0);
    for words in [
        "asterisk-guess Ban 192.0.2.1 sip 600",
        "asterisk-guess Ban 192.0.2.2 sip 600",
        "flood by the logs",
        "ebb of the logs after 1",
        "604: asterisk-guess Unban 192.0.2.1 Expired",
        "asterisk-guess Ban 192.0.2.1 sip 2400",
        "1 known good, 1 logins within 15m, 0 within 10m",
    ] {
        assert!(expected.iter().any(|said| said == words), "{words}: {expected:#?}");
    }
    for step in [-DAY, DAY, -9 * DAY, 9000 * DAY] {
        assert_eq!(day(step, step), expected, "{step}");
        assert_ne!(day(step, 0), expected, "{step}, and nobody says so");
    }
}

#[test]
fn corrected_times_are_stored_again() {
    let mut bench = Bench::new("");
    bench.engine.keep_journal();
    bench.engine.note_changes();
    (0..4).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + second));
    bench.account_event(LOGIN, "192.0.2.3", NOON, Evidence::Proven, Some("1000"));
    assert!(!bench.engine.take_changes().is_empty());
    assert!(bench.engine.take_logins().is_some());
    bench.engine.correct(ClockStep::by_millis(DAY * 1000));
    let (counters, logins) = (bench.engine.take_changes(), bench.engine.take_logins().unwrap());
    assert_eq!(bench.engine.take_journal(), []);
    let mut again = Bench::new("");
    let now = Time::from_secs(NOON + DAY + 60);
    let rules: Vec<_> = (0..3).map(|rule| Some(RuleId(rule))).collect();
    let channels = [(0, ChannelId(0))].into();
    again.engine.restore_counts(&counters, &logins, &channels, &rules, now);
    again.offence(GUESS, "192.0.2.1", NOON + DAY + 60);
    assert_eq!(again.said(), ["asterisk-guess Ban 192.0.2.1 sip 600"]);
    assert_eq!(again.engine.known_good(now).count(), 1);
}

#[test]
fn uncorrected_clock_step_frees_no_host() {
    const NOON: i64 = 10 * 86_400;
    for step in [-86_400, 86_400] {
        let mut bench = Bench::new("");
        (0..4).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + second));
        bench.tick(NOON + 4);
        // Another host starts from nothing.
        bench.tick(NOON + step);
        bench.offence(GUESS, "192.0.2.2", NOON + step);
        assert_eq!(bench.said(), [""; 0], "{step}");
        // Five more are a ban, whatever is remembered of the first four.
        (0..5).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + step + second));
        assert_eq!(bench.said(), ["asterisk-guess Ban 192.0.2.1 sip 600"], "{step}");
        // The ban is over when the clock says so.
        bench.tick(NOON + step + 599);
        assert_eq!(bench.said(), [""; 0], "{step}");
        bench.tick(NOON + step + 700);
        assert_eq!(bench.said(), ["asterisk-guess Unban 192.0.2.1 Expired"], "{step}");
    }
}
