//! Offices: phones that are logged in beside one that fails, and those that guess there.

use super::*;
use crate::model::event::SIP_RESPONSES;

const OFFICE: &str = "203.0.113.7";

impl Bench {
    /// A proven exchange of the office at this port of it.
    fn seen(&mut self, outcome: Outcome, account: &str, port: u16, secs: i64) {
        self.seen_at(OFFICE, outcome, account, port, secs);
    }

    fn seen_at(&mut self, host: &str, outcome: Outcome, account: &str, port: u16, secs: i64) {
        let rule = match outcome {
            Outcome::Login => "registered",
            _ => "refused",
        };
        let rule = self.engine.plan().rules.named("wire", rule).unwrap();
        let event = Event {
            channel: SIP_RESPONSES,
            account: Account::named(account.as_bytes()),
            basis: Basis::Exchange(Exchange {
                outcome,
                carrier: Carrier::Stream,
                ..refused(Source::Wire)
            }),
            clue: Clue { port, ..Clue::default() },
            ..self.fresh_event(rule, host, secs, Evidence::Proven)
        };
        self.engine.on_event(&event, &mut self.decisions);
    }

    fn refused(&mut self, account: &str, port: u16, secs: i64) {
        self.seen(Outcome::CredentialsRefused, account, port, secs);
    }
}

/// An office with nine phones.
fn office() -> Bench {
    let mut bench = Bench::of(Arc::new(seen_plan("")));
    (0..9).for_each(|n| bench.seen(Outcome::Login, &format!("10{n}"), 5000 + n, 0));
    bench
}

/// The built-in rules and jails.
pub(super) fn seen_plan(config: &str) -> Plan {
    let rules = RuleSet::load(None).unwrap();
    let sources = [("test.toml".into(), config.to_owned())];
    let config = config::load::parse(&sources, &rules.filters()).unwrap();
    Plan::new(config, Arc::new(rules))
}

#[test]
fn the_port_of_one_bad_phone_is_banned_and_not_the_office() {
    let mut bench = office();
    (1..=5).for_each(|n| bench.refused("199", 6000, 60 * n));
    let ban = |port, length| format!("asterisk-wire Ban {OFFICE}:{port} sip {length}");
    assert_eq!(bench.said(), [ban(6000, 600)]);
    // Its router gives it another port, and another.
    (6..=10).for_each(|n| bench.refused("199", 6001, 60 * n));
    assert!(bench.said().contains(&ban(6001, 600)));
    (11..=15).for_each(|n| bench.refused("199", 6002, 60 * n));
    let said = bench.said();
    assert!(said.contains(&ban(6002, 600)), "{said:?}");
    let office: Subject = OFFICE.parse().unwrap();
    assert!(bench.engine.bans().iter().all(|ban| ban.subject != office));
    // The others go on, with an old password too.
    (0..9).for_each(|n| bench.refused(&format!("10{n}"), 5000 + n, 1000));
    assert!(bench.said().is_empty());
}

#[test]
fn a_slow_phone_over_tls_is_reported_and_not_banned() {
    let mut bench = office();
    for n in 0..49_u16 {
        bench.refused("199", 10_000 + n, 60 + 60 * i64::from(n));
        bench.seen(Outcome::Login, "100", 5000, 60 + 60 * i64::from(n));
    }
    let said = bench.said();
    assert_eq!(said, [format!("asterisk-wire fails at {OFFICE}: 5 beside 9")]);
    // More than fifty a day is no phone's business.
    (50..70_u16).for_each(|n| bench.refused("199", 10_000 + n, 60 + 60 * i64::from(n)));
    let said = bench.said();
    assert!(said.iter().any(|said| said.ends_with(&format!("Ban {OFFICE} sip 600"))), "{said:?}");
}

#[test]
fn whoever_guesses_beside_a_login_is_banned_soon() {
    // One account from ever other ports, and three accounts.
    for (accounts, tries) in [(1, 7), (3, 5)] {
        let mut bench = office();
        let office: Subject = OFFICE.parse().unwrap();
        let banned = (1..100_u16).find(|n| {
            bench.seen(Outcome::Login, "100", 5000, i64::from(*n));
            bench.refused(&format!("2{}", n % accounts), 10_000 + n, i64::from(*n));
            bench.engine.bans().iter().any(|ban| ban.subject == office)
        });
        assert_eq!(banned, Some(tries), "{accounts}");
    }
}

#[test]
fn a_mistyped_name_is_forgiven_when_its_owner_logs_in() {
    let mut bench = Bench::of(Arc::new(seen_plan("")));
    // A new office: each phone has one wrong password at first.
    for n in 0..30_u16 {
        let (account, now) = (format!("10{n}"), 3600 * i64::from(n));
        bench.refused(&account, 6000 + n, now);
        bench.seen(Outcome::Login, &account, 6000 + n, now + 60);
    }
    assert!(bench.said().is_empty() && bench.engine.bans().is_empty());
    // The same from a host where nobody logs in.
    let host = "198.51.100.9";
    for n in 0..30_u16 {
        let now = 200_000 + 20_000 * i64::from(n);
        bench.seen_at(host, Outcome::CredentialsRefused, &format!("10{n}"), 6000, now);
    }
    assert_eq!(bench.said()[0], format!("asterisk-accounts Ban {host} all 3600"));
}

#[test]
fn one_account_over_and_over_is_banned_mildly() {
    let mut bench = Bench::of(Arc::new(seen_plan("")));
    let host = "198.51.100.9";
    for n in 0..2000 {
        let now = 60 * n;
        bench.tick(now);
        if !bench.engine.bans().iter().any(|ban| ban.subject == host.parse().unwrap()) {
            bench.seen_at(host, Outcome::CredentialsRefused, "199", 6000, now);
        }
    }
    let said = bench.said();
    assert!(said.len() > 4 && said.iter().all(|said| !said.contains(" all ")), "{said:?}");
}

#[test]
fn a_slow_guesser_is_banned_within_a_dozen() {
    for pause in [281, 600, 3000] {
        let mut bench = Bench::of(Arc::new(seen_plan("")));
        let host = "198.51.100.9";
        let banned = (1..100).find(|n| {
            let account = format!("1{n}");
            bench.seen_at(host, Outcome::CredentialsRefused, &account, 6000, pause * n);
            !bench.said().is_empty()
        });
        assert_eq!(banned, Some(8), "{pause}");
        // At one account.
        let mut bench = Bench::of(Arc::new(seen_plan("")));
        let banned = (1..100).find(|n| {
            bench.seen_at(host, Outcome::CredentialsRefused, "100", 6000, pause * n);
            !bench.said().is_empty()
        });
        assert_eq!(banned, Some(12), "{pause}");
    }
}

#[test]
fn an_account_that_many_guess_at_is_said_once() {
    let mut bench = Bench::of(Arc::new(seen_plan("")));
    for n in 0..98 {
        let host = format!("198.51.100.{}", n % 49);
        bench.seen_at(&host, Outcome::CredentialsRefused, "1001", 6000, 25 * n);
    }
    assert_eq!(bench.said(), ["1001 is guessed at by 10"]);
    let targeted = bench.engine.targeted();
    assert_eq!((targeted.len(), targeted[0].hosts), (1, 49));
    // Forged packets name nobody.
    for n in 0..98 {
        let host = format!("198.51.100.{n}");
        let rule = bench.engine.plan().rules.named("wire", "refused").unwrap();
        let event = Event {
            channel: SIP_RESPONSES,
            account: Account::named(b"1002"),
            basis: Basis::Exchange(refused(Source::Wire)),
            ..bench.fresh_event(rule, &host, 5000, Evidence::Unverified)
        };
        bench.engine.on_event(&event, &mut bench.decisions);
    }
    assert_eq!(bench.engine.targeted().len(), 1);
}
