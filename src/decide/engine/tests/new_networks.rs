//! Logins from networks that an account never used: what they protect, and what not.

use super::*;

const OFFICE: &str = "198.51.100.7";
const THIEF: &str = "203.0.113.9";
const DAY: i64 = 86_400;

impl Bench {
    fn login_at(&mut self, host: &str, account: &str, secs: i64) {
        self.account_event(LOGIN, host, secs, Evidence::Proven, Some(account));
    }

    /// Logs in each hour of ten days.
    fn settled(config: &str) -> Self {
        let mut bench = Self::new(config);
        (0..240).for_each(|hour| bench.login_at(OFFICE, "1001", 3600 * hour));
        assert!(bench.said().is_empty());
        bench
    }

    fn is_known(&self, host: &str, secs: i64) -> bool {
        let host = host.parse().unwrap();
        self.engine.known_good(Time::from_secs(secs)).any(|(known, _)| known == host)
    }
}

#[test]
fn a_thief_raises_an_alarm_and_is_banned_for_guessing() {
    let mut bench = Bench::settled("");
    bench.login_at(THIEF, "1001", 10 * DAY);
    assert_eq!(bench.said(), [format!("1001 from {THIEF} in 203.0.113.0/24")]);
    assert!(!bench.is_known(THIEF, 10 * DAY) && bench.is_known(OFFICE, 10 * DAY));
    // As many wrong guesses as of anybody, at its own account too, and however often it logs in.
    for n in 0..5 {
        bench.login_at(THIEF, "1001", 10 * DAY + n);
        bench.account_event(GUESS, THIEF, 10 * DAY + n, Evidence::Unverified, Some("1001"));
    }
    assert_eq!(bench.said(), [format!("asterisk-guess Ban {THIEF} sip 600")]);
    // Nothing of that concerns the office.
    for n in 0..20 {
        bench.account_event(GUESS, OFFICE, 10 * DAY + n, Evidence::Proven, Some("1001"));
    }
    assert!(bench.said().is_empty());
}

#[test]
fn after_a_day_or_when_acknowledged_it_is_as_usual() {
    let mut bench = Bench::settled("");
    bench.login_at(THIEF, "1001", 10 * DAY);
    bench.login_at(THIEF, "1001", 11 * DAY);
    assert!(bench.is_known(THIEF, 11 * DAY));

    let mut bench = Bench::settled("");
    bench.login_at(THIEF, "1001", 10 * DAY);
    let now = Time::from_secs(10 * DAY + 60);
    let done = bench.engine.acknowledge("1001", None, now, &mut bench.decisions).unwrap();
    assert_eq!(done.1, ["203.0.113.0/24".parse().unwrap()]);
    assert!(!bench.is_known(THIEF, 10 * DAY + 61), "by its next login");
    bench.login_at(THIEF, "1001", 10 * DAY + 62);
    assert!(bench.is_known(THIEF, 10 * DAY + 63));
    assert!(bench.engine.acknowledge("1009", None, now, &mut bench.decisions).is_err());
}

#[test]
fn a_host_that_others_use_stays_known_good() {
    let mut bench = Bench::settled("");
    bench.login_at(THIEF, "2001", 10 * DAY);
    assert!(bench.is_known(THIEF, 10 * DAY), "a new account is learned");
    bench.login_at(THIEF, "1001", 10 * DAY + 1);
    assert_eq!(bench.said(), [format!("1001 from {THIEF} in 203.0.113.0/24")]);
    let host = THIEF.parse().unwrap();
    let now = Time::from_secs(10 * DAY + 2);
    let standing = bench.engine.known_good(now).find(|(known, _)| *known == host).unwrap().1;
    assert_eq!(standing.accounts, 1, "by the other one alone");
}

#[test]
fn hosts_that_are_never_banned_and_a_switch_raise_none() {
    for config in [
        "[default]\nignoreip = ['203.0.113.0/28']",
        "[default]\nnewnetworks = { enabled = false }",
        "[default]\nnewnetworks = { learn = '11d' }",
    ] {
        let mut bench = Bench::settled(config);
        bench.login_at(THIEF, "1001", 10 * DAY);
        assert!(bench.said().is_empty(), "{config}");
        assert!(bench.is_known(THIEF, 10 * DAY), "{config}");
    }
}

#[test]
fn a_line_that_may_be_forged_makes_no_network_known() {
    let mut bench = Bench::settled("");
    for n in 0..100 {
        let (now, evidence) = (10 * DAY + 3600 * n, Evidence::Unverified);
        bench.account_event(LOGIN, THIEF, now, evidence, Some("1001"));
        bench.login_at(OFFICE, "1001", now);
        assert!(!bench.is_known(THIEF, now));
    }
    assert!(bench.said().is_empty());
    bench.login_at(THIEF, "1001", 15 * DAY);
    assert_eq!(bench.said(), [format!("1001 from {THIEF} in 203.0.113.0/24")]);
}

#[test]
fn a_restart_keeps_what_was_learned() {
    let mut before = Bench::settled("");
    before.engine.note_changes();
    before.login_at(THIEF, "1001", 10 * DAY);
    let changes = before.engine.take_accounts().unwrap();
    let mut after = Bench::new("");
    after.engine.restore_accounts(&changes.known, Time::from_secs(10 * DAY));
    after.login_at(OFFICE, "1001", 10 * DAY + 1);
    after.login_at(THIEF, "1001", 10 * DAY + 2);
    after.login_at("192.0.2.9", "1001", 10 * DAY + 3);
    assert_eq!(after.said(), ["1001 from 192.0.2.9 in 192.0.2.0/24"]);
    assert!(after.is_known(OFFICE, 10 * DAY + 4) && !after.is_known(THIEF, 10 * DAY + 4));
}
