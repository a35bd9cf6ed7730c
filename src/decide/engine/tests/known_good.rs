//! Hosts that somebody has logged in from.

use super::*;

const OFFICE: &str = "203.0.113.7";

#[test]
fn site_with_an_old_password_is_reported_not_banned() {
    let mut bench = Bench::new("");
    (0..30).for_each(|n| bench.login(OFFICE, &format!("10{n:02}"), Evidence::Proven));
    for round in 1..60 {
        for n in 0..30 {
            let account = format!("10{n:02}");
            let evidence = if n % 2 == 0 { Evidence::Proven } else { Evidence::Unverified };
            bench.account_event(GUESS, OFFICE, 60 * round, evidence, Some(&account));
        }
        bench.tick(60 * round + 30);
    }
    assert_eq!(bench.said(), [format!("30 known fail at {OFFICE}, 0 unknown")]);
    assert!(bench.engine.bans().is_empty());
    // Proof against somebody else counts from the first line on.
    for n in 0..5 {
        bench.account_event(GUESS, OFFICE, 4000 + n, Evidence::Proven, Some("9999"));
    }
    assert_eq!(bench.said(), [format!("asterisk-guess Ban {OFFICE} sip 600")]);
}

#[test]
fn one_valid_account_does_not_excuse_guessing() {
    // For each of these, an attacker logs in before every try.
    let bans_by = |accounts: fn(i64) -> String, rule: RuleId, evidence: Evidence| {
        let mut bench = Bench::new("");
        (0..200).find(|n| {
            bench.login("203.0.113.9", "1000", Evidence::Proven);
            bench.account_event(rule, "203.0.113.9", n / 10, evidence, Some(&accounts(*n)));
            !bench.said().is_empty()
        })
    };
    let many: fn(i64) -> String = |n| format!("20{n:02}");
    // As early as without a valid account.
    assert_eq!(bans_by(many, GUESS, Evidence::Proven), Some(4));
    assert_eq!(bans_by(many, SCAN, Evidence::Proven), Some(2));
    // Those of two others that can be forged are excused, and 29 a minute of one.
    assert_eq!(bans_by(many, GUESS, Evidence::Unverified), Some(6));
    assert_eq!(bans_by(|_| "2000".to_owned(), SCAN, Evidence::Unverified), Some(31));
    // The account that it has the password of, or one of a neighbour.
    assert_eq!(bans_by(|_| "1000".to_owned(), GUESS, Evidence::Unverified), Some(33));
}

#[test]
fn some_logins_make_no_host_known_good() {
    let offences = |bench: &mut Bench, host: &str| {
        for n in 0..5 {
            bench.account_event(GUESS, host, n, Evidence::Unverified, Some("1000"));
        }
        !bench.said().is_empty()
    };
    // A login that a stranger may have written, that of another host, or of no account.
    let mut bench = Bench::new("");
    bench.login(OFFICE, "1000", Evidence::Hearsay);
    bench.login("203.0.113.8", "1000", Evidence::Proven);
    bench.event(LOGIN, OFFICE, 0, Evidence::Proven);
    assert!(offences(&mut bench, OFFICE));
    // Nothing at all, when it is switched off.
    let mut bench = Bench::new("[default]\nknowngood = { enabled = false }");
    bench.login(OFFICE, "1000", Evidence::Proven);
    assert!(offences(&mut bench, OFFICE));
    // An IPv6 network is known as a whole, for it is banned as a whole.
    let mut bench = Bench::new("");
    bench.login("2001:db8::7", "1000", Evidence::Proven);
    assert!(!offences(&mut bench, "2001:db8::8") && offences(&mut bench, "2001:db8:0:1::7"));
}

#[test]
fn manual_ban_overrides_known_good_across_a_reload() {
    let mut bench = Bench::new("");
    bench.login(OFFICE, "1000", Evidence::Proven);
    bench.reload("[default]\nmaxretry = 1\nmaxunverified = 7");
    bench.account_event(GUESS, OFFICE, 0, Evidence::Proven, Some("1000"));
    assert!(bench.said().is_empty());
    let order = by_hand(OFFICE, None, None);
    bench.engine.ban(&order, Time::from_secs(1), &mut bench.decisions);
    assert_eq!(bench.said(), [format!("manual Ban {OFFICE} all 0")]);
}
