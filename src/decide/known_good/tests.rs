use super::*;
use crate::model::event::{Basis, Class, Clue, Meaning, RuleId};

const SECURITY: ChannelId = ChannelId(0);
const MESSAGES: ChannelId = ChannelId(1);

fn terms() -> config::KnownGood {
    config::KnownGood {
        enabled: true,
        time: Duration::from_secs(86400),
        maxunknown: 5,
        findtime: Duration::from_secs(600),
        maxrate: 30,
        maxtries: 50,
    }
}

fn office() -> Subject {
    "198.51.100.7".parse().unwrap()
}

/// Known hosts, and the number of the next line.
struct Bench {
    known: KnownGood,
    line: u64,
}

impl Bench {
    fn new() -> Self {
        Self { known: KnownGood::new(&terms()), line: 0 }
    }

    fn event(&mut self, channel: ChannelId, account: &str, secs: i64) -> Event {
        self.line += 1;
        Event {
            time: Time::from_secs(1_800_000_000 + secs),
            channel,
            rule: RuleId(0),
            meaning: Meaning::Offence(Class::Guess),
            host: office().address(),
            evidence: Evidence::Unverified,
            line: self.line,
            account: Account::named(account.as_bytes()),
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    fn login(&mut self, account: &str, secs: i64) {
        let event = self.event(SECURITY, account, secs);
        let event = Event { evidence: Evidence::Proven, ..event };
        self.known.login(office(), &event);
    }

    fn fails(&mut self, account: &str, secs: i64, evidence: Evidence) -> bool {
        let event = self.event(SECURITY, account, secs);
        self.known.weigh(office(), &event, evidence, 1) == Weight::Nothing
    }

    fn reports(&mut self, secs: i64) -> Vec<(u32, u32)> {
        let mut reports = Vec::new();
        self.known.tick(Time::from_secs(1_800_000_000 + secs), &mut reports);
        reports.iter().map(|report| (report.known, report.unknown)).collect()
    }
}

use Evidence::{Proven, Unverified};

#[test]
fn known_accounts_may_fail() {
    let mut bench = Bench::new();
    assert!(!bench.fails("1000", 0, Unverified), "nobody is known yet");
    bench.login("1000", 1);
    for secs in 0..500 {
        assert!(bench.fails("1000", 2 + 3 * secs, if secs % 2 == 0 { Proven } else { Unverified }));
    }
    assert!(!bench.fails("1001", 3000, Proven), "proof against another counts");
    assert!(bench.fails("1001", 3001, Unverified), "what can be forged does not");
    assert!(bench.fails("", 3002, Unverified));
}

#[test]
fn login_counts_for_a_day_and_is_renewed() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    bench.login("1000", 80_000);
    assert!(bench.fails("1000", 80_000 + 86_399, Proven));
    assert!(!bench.fails("1000", 80_000 + 86_400, Proven));
    // Another account's login renews the host, not the account.
    bench.login("1000", 200_000);
    bench.login("1001", 280_000);
    assert!(!bench.fails("1000", 290_000, Proven));
    assert!(bench.fails("1001", 290_000, Proven));
    bench.reports(280_000 + 86_400);
    assert_eq!((bench.known.hosts.len(), bench.known.accounts), (0, 0));
}

#[test]
fn too_many_unknown_accounts_end_the_excuse() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    let excused: Vec<_> = (0..6).map(|n| bench.fails(&format!("9{n}"), n, Unverified)).collect();
    assert_eq!(excused, [true, true, true, true, false, false]);
    assert!(!bench.fails("1000", 10, Unverified), "for all of the host");
    // A login does not bring it back, or one valid account would be a shield.
    bench.login("1000", 11);
    assert!(!bench.fails("1000", 12, Unverified) && !bench.fails("99", 13, Unverified));
    // Ten quiet minutes do.
    assert!(bench.fails("1000", 13 + 600, Unverified));
    assert!(bench.fails("99", 14 + 600, Unverified));
}

#[test]
fn guesses_at_one_unknown_account_count_like_several() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    let excused = (0..1000).filter(|n| bench.fails("admin", *n, Unverified)).count();
    assert_eq!(excused, 29);
    // Slow ones have a limit a day, unless the account does not exist.
    let mut bench = Bench::new();
    bench.login("1000", 0);
    assert_eq!((0..80).filter(|n| bench.fails("admin", 30 * n, Unverified)).count(), 50);
    bench.login("1000", 90_000);
    let old_phone = (0..1000).filter(|n| {
        let event = bench.event(SECURITY, "199", 90_000 + 60 * n);
        let event = Event { meaning: Meaning::Offence(Class::User), ..event };
        bench.known.weigh(office(), &event, Unverified, 1) == Weight::Nothing
    });
    assert_eq!(old_phone.count(), 1000);
    // Proven ones never are, and nobody else pays for them.
    let mut bench = Bench::new();
    bench.login("1000", 0);
    for n in 0..100 {
        let event = Event { evidence: Proven, ..bench.event(SECURITY, "admin", n) };
        assert_eq!(bench.known.weigh(office(), &event, Proven, 1), Weight::Shared);
    }
    assert!(bench.fails("1000", 100, Unverified));
}

#[test]
fn rapid_guessing_at_one_account_ends_the_excuse() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    let excused: Vec<_> = (0..100).map(|_| bench.fails("1000", 1, Unverified)).collect();
    assert_eq!(excused.iter().position(|excused| !excused), Some(29));
    assert!(excused[29..].iter().all(|excused| !excused));
    // Logging in between makes no difference.
    let mut bench = Bench::new();
    let excused = (0..1000)
        .filter(|n| {
            bench.login("1000", n / 100);
            bench.fails("1000", n / 100, Unverified)
        })
        .count();
    assert_eq!(excused, 29);
}

#[test]
fn attempt_in_two_logs_counts_once() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    for _ in 0..29 {
        for channel in [MESSAGES, SECURITY] {
            let event = bench.event(channel, "1000", 1);
            assert_eq!(bench.known.weigh(office(), &event, Unverified, 1), Weight::Nothing);
        }
    }
    for _ in 0..4 {
        for channel in [MESSAGES, SECURITY] {
            let event = bench.event(channel, "77", 1);
            assert_eq!(bench.known.weigh(office(), &event, Unverified, 1), Weight::Nothing);
        }
    }
}

#[test]
fn site_with_failing_phones_is_reported_once() {
    let mut bench = Bench::new();
    (0..30).for_each(|n| bench.login(&format!("10{n:02}"), n));
    for round in 0..5 {
        (0..30).for_each(|n| assert!(bench.fails(&format!("10{n:02}"), 100 + 60 * round, Proven)));
    }
    assert_eq!(bench.reports(400), [(30, 0)]);
    (0..30).for_each(|n| assert!(bench.fails(&format!("10{n:02}"), 500, Proven)));
    assert_eq!(bench.reports(600), []);
    // Somebody set the password right on all phones but three, and does so again a day later.
    (0..27).for_each(|n| bench.login(&format!("10{n:02}"), 1000));
    (0..5).for_each(|n| assert!(bench.fails("1029", 10_000 + n, Proven)));
    assert_eq!(bench.reports(10_030), [], "more may come");
    assert_eq!(bench.reports(10_090), [(1, 0)]);
    // One or two mistakes are not worth telling.
    let mut bench = Bench::new();
    bench.login("1000", 0);
    (1..4).for_each(|n| assert!(bench.fails("1000", n, Proven)));
    assert_eq!(bench.reports(100), []);
}

#[test]
fn hosts_and_accounts_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..200_000_u32 {
        let host = Subject::of(std::net::Ipv4Addr::from(0x0a00_0000 + n / 3).into(), 64);
        let event = bench.event(SECURITY, &format!("a{n}"), i64::from(n / 100));
        bench.known.login(host, &event);
        assert!(bench.known.accounts <= CAPACITY);
    }
    let held: usize = bench.known.hosts.values().map(|host| host.accounts.len()).sum();
    assert_eq!(held, bench.known.accounts);
    let mut bench = Bench::new();
    (0..3000).for_each(|n| bench.login(&format!("a{n}"), 0));
    assert_eq!((bench.known.accounts, bench.known.hosts.len()), (PER_HOST, 1));
    let size = size_of::<(Subject, KnownHost)>() + size_of::<KnownAccount>();
    assert!(size <= 260, "{size}");
}

#[test]
fn known_good_can_be_switched_off() {
    let mut bench = Bench::new();
    bench.login("1000", 0);
    bench.known.change(&config::KnownGood { enabled: false, ..terms() });
    assert!(!bench.fails("1000", 1, Unverified));
    bench.login("1000", 2);
    assert!(!bench.fails("1000", 3, Unverified));
}

#[test]
fn restart_keeps_hosts_that_are_known_good() {
    let mut before = Bench::new();
    before.known.note_changes();
    before.login("1000", 0);
    before.login("1001", 5);
    before.fails("1000", 7, Evidence::Proven);
    let kept = before.known.take_changes().unwrap();
    assert_eq!(before.known.take_changes(), None, "nothing has changed since");
    let kept = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();

    let now = Time::from_secs(1_800_000_010);
    let mut after = Bench::new();
    after.known.restore(&kept, now, Some);
    assert_eq!(after.known.standing(&office(), now), before.known.standing(&office(), now));
    assert!(after.known.standing(&office(), now).is_some());
    assert!(after.fails("1001", 20, Evidence::Proven), "it is excused as before");
    assert!(!after.fails("1002", 20, Evidence::Proven));

    let mut much_later = Bench::new();
    much_later.known.restore(&kept, now.plus(Duration::from_secs(86400)), Some);
    assert!(much_later.known.hosts.is_empty());
}
