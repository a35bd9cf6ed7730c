use super::*;
use crate::model::event::{Basis, ChannelId, Clue, Meaning, RuleId};
use crate::model::place::Country;

const HOUR: i64 = 3600;
const DAYS: i64 = 86_400;
const WEEK: i64 = 7 * DAYS;

fn terms() -> config::NewNetworks {
    config::NewNetworks { enabled: true, learn: Duration::from_secs(7 * 86_400) }
}

fn at(secs: i64) -> Time {
    Time::from_secs(1_800_000_000 + secs)
}

fn account(name: &str) -> Account {
    Account::named(name.as_bytes()).unwrap()
}

/// The accounts, and what was said of them.
struct Bench {
    table: AccountNetworks,
    out: Vec<Decision>,
    /// The countries of hosts, by how their addresses begin.
    countries: Vec<(&'static str, Country)>,
}

impl Bench {
    fn new() -> Self {
        Self { table: AccountNetworks::new(&terms()), out: Vec::new(), countries: Vec::new() }
    }

    fn login_with(&mut self, name: &str, host: &str, secs: i64, evidence: Evidence) -> LoginPlace {
        let event = Event {
            time: at(secs),
            channel: ChannelId(0),
            rule: RuleId(0),
            meaning: Meaning::Success,
            host: host.parse().unwrap(),
            evidence,
            line: 1,
            account: Account::named(name.as_bytes()),
            basis: Basis::Text,
            clue: Clue::default(),
        };
        let country =
            || self.countries.iter().find(|(of, _)| host.starts_with(of)).map(|(_, c)| *c);
        self.table.login(&event, country, || false, &mut self.out)
    }

    fn login(&mut self, name: &str, host: &str, secs: i64) -> LoginPlace {
        self.login_with(name, host, secs, Evidence::Proven)
    }

    /// Logs in each hour of these days, from one of the hosts, in turn.
    fn uses(&mut self, name: &str, hosts: &[&str], days: std::ops::Range<i64>) {
        for hour in days.start * 24..days.end * 24 {
            let host = hosts[usize::try_from(hour).unwrap() % hosts.len()];
            self.login(name, host, hour * HOUR);
        }
    }

    /// Returns what was said since the last call.
    fn said(&mut self) -> Vec<String> {
        let words = |decision: Decision| match decision {
            Decision::NewNetwork(NewNetworkLogin { account, country: Some(country), .. }) => {
                format!("{account} {country}")
            }
            Decision::NewNetwork(login) => format!("{} {}", login.account, login.network),
            Decision::AccountRoams(roams) => format!("{} roams", roams.account),
            Decision::NewNetworksWithheld(count) => format!("{count} withheld"),
            other => panic!("{other:?}"),
        };
        self.out.drain(..).map(words).collect()
    }

    fn acknowledge(&mut self, name: &str, net: Option<&str>, secs: i64) -> Vec<String> {
        let net = net.map(|net| net.parse().unwrap());
        let done = self.table.acknowledge(account(name), net.as_ref(), at(secs), &mut self.out);
        done.iter().map(ToString::to_string).collect()
    }
}

use LoginPlace::{New, Usual};

/// Numbers that look like chance, the same ones each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn a_new_network_is_an_alarm_after_the_learning_time() {
    let mut bench = Bench::new();
    bench.uses("1001", &["198.51.100.7", "2001:db8:1:2::7"], 0..10);
    // Another host of the same network is none.
    assert_eq!(bench.login("1001", "198.51.100.200", 10 * DAYS), Usual);
    assert_eq!(bench.login("1001", "2001:db8:1:ffff::9", 10 * DAYS), Usual);
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.login("1001", "203.0.113.9", 10 * DAYS + 5), New);
    let Some(Decision::NewNetwork(told)) = bench.out.first().copied() else { panic!() };
    assert_eq!((told.since, told.networks), (at(0), 2));
    assert!(told.before.is_some());
    // It is said once, as long as the network is new.
    for minute in 0..60 {
        assert_eq!(bench.login("1001", "203.0.113.77", 10 * DAYS + 60 * minute), New);
        assert_eq!(bench.login("1001", "198.51.100.7", 10 * DAYS + 60 * minute), Usual);
    }
    assert_eq!(bench.said(), ["1001 203.0.113.0/24"]);
    // It is that account's, and no other's.
    assert_eq!(bench.login("1002", "203.0.113.9", 10 * DAYS), Usual);
}

#[test]
fn a_network_is_used_a_day_later_or_when_acknowledged() {
    let mut bench = Bench::new();
    bench.uses("1001", &["198.51.100.7"], 0..8);
    assert_eq!(bench.login("1001", "203.0.113.9", 8 * DAYS), New);
    assert_eq!(bench.login("1001", "203.0.113.9", 9 * DAYS - 1), New);
    assert_eq!(bench.login("1001", "203.0.113.9", 9 * DAYS), Usual);
    assert_eq!(bench.login("1001", "203.0.113.9", 9 * DAYS + 1), Usual);
    assert_eq!(bench.said(), ["1001 203.0.113.0/24"]);
    // Another one, and nobody comes back for a week: that is another alarm.
    assert_eq!(bench.login("1001", "192.0.2.9", 10 * DAYS), New);
    assert_eq!(bench.login("1001", "192.0.2.9", 17 * DAYS), New);
    assert_eq!(bench.said(), ["1001 192.0.2.0/24"; 2]);
    assert_eq!(bench.acknowledge("1001", Some("192.0.2.9/32"), 17 * DAYS + 1), ["192.0.2.0/24"]);
    assert_eq!(bench.login("1001", "192.0.2.10", 17 * DAYS + 2), Usual);
    assert_eq!(bench.acknowledge("1001", None, 17 * DAYS + 3), [""; 0], "there is no alarm left");
    // Before a journey; not a network that is wider than one.
    assert_eq!(bench.acknowledge("1001", Some("192.0.0.0/8"), 60 * DAYS), [""; 0]);
    assert_eq!(bench.acknowledge("1001", Some("100.64.7.0/24"), 60 * DAYS), ["100.64.7.0/24"]);
    assert_eq!(bench.login("1001", "100.64.7.200", 60 * DAYS + 2), Usual);
    assert_eq!(bench.said(), [""; 0]);
}

#[test]
fn those_who_do_not_move_raise_no_alarm_for_weeks() {
    let home = ["198.51.100.7", "2001:db8:1:2::7", "2001:db8:1:2:aaaa::1", "2001:db8:1:3::9"];
    let office = ["203.0.113.2", "192.0.2.2", "2001:db8:2::2"];
    let mut bench = Bench::new();
    // A home with IPv4 and IPv6, whose phone changes its IPv6 address; an office with a second line that has been used
    // once; somebody who works in both.
    bench.uses("home", &home, 0..60);
    bench.uses("office", &["203.0.113.2"], 0..3);
    bench.uses("office", &office, 3..4);
    bench.uses("both", &["203.0.113.2"], 0..2);
    bench.uses("both", &home, 2..4);
    for week in 0..8 {
        bench.uses("office", &office[..1], 4 + 7 * week..10 + 7 * week);
        bench.uses("office", &office, 10 + 7 * week..11 + 7 * week);
        bench.uses("both", &office[..1], 4 + 7 * week..9 + 7 * week);
        bench.uses("both", &home, 9 + 7 * week..11 + 7 * week);
    }
    assert_eq!(bench.said(), [""; 0]);
    // All of them are watched.
    for name in ["home", "office", "both"] {
        assert_eq!(bench.login(name, "100.64.1.1", 61 * DAYS), New, "{name}");
    }
}

#[test]
fn those_who_move_raise_no_alarm_at_all() {
    for seed in 1..200_u64 {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bench = Bench::new();
        for hour in 0..6 * 7 * 24 {
            let now = hour * HOUR;
            // A phone on mobile data: carrier-grade NAT with 200 networks, another one every few hours; home at night.
            let host = if hour % 24 < 8 {
                "198.51.100.7".to_owned()
            } else if chance.below(4) == 0 {
                format!("2001:db8:{:x}::1", chance.below(500))
            } else {
                format!("100.64.{}.{}", chance.below(200), chance.below(250))
            };
            bench.login("mobile", &host, now);
            // A home whose provider gives it other addresses each night.
            let day = hour / 24;
            bench.login("dynamic", &format!("10.{}.{}.7", day % 7, day), now);
            bench.login("dynamic", &format!("2001:db8:{day:x}::7"), now);
            // A guest in hotels: another one every second day.
            bench.login("guest", &format!("172.16.{}.9", day / 2), now);
        }
        let mut said = bench.said();
        said.sort();
        assert_eq!(said, ["dynamic roams", "guest roams", "mobile roams"], "seed {seed}");
    }
}

#[test]
fn a_journey_after_the_learning_time_is_an_alarm_for_each_place() {
    let mut bench = Bench::new();
    bench.uses("1001", &["198.51.100.7"], 0..20);
    for place in 0..2 {
        for hour in 0..48 {
            let now = (20 + 2 * place) * DAYS + hour * HOUR;
            bench.login("1001", &format!("203.0.{place}.9"), now);
        }
    }
    bench.uses("1001", &["198.51.100.7"], 24..30);
    assert_eq!(bench.said(), ["1001 203.0.0.0/24", "1001 203.0.1.0/24"]);
    // A third day with a new network in a month: it moves.
    bench.login("1001", "203.0.2.9", 30 * DAYS);
    assert_eq!(bench.acknowledge("1001", None, 30 * DAYS + 60), ["203.0.2.0/24"]);
    assert_eq!(bench.said(), ["1001 203.0.2.0/24", "1001 roams"]);
    assert_eq!(bench.login("1001", "203.0.3.9", 40 * DAYS), Usual);
    assert_eq!(bench.said(), [""; 0]);
    // Places that are months apart are no moves.
    let mut bench = Bench::new();
    bench.uses("1002", &["198.51.100.7"], 0..8);
    for month in 1..12 {
        let now = month * 31 * DAYS;
        assert_eq!(bench.login("1002", &format!("203.0.{month}.9"), now), New);
        assert_eq!(bench.login("1002", &format!("203.0.{month}.9"), now + DAYS), Usual);
    }
    assert_eq!(bench.said().len(), 11);
}

#[test]
fn many_networks_in_the_learning_time_are_roaming() {
    let mut bench = Bench::new();
    for n in 0..=MOST_USED {
        assert_eq!(bench.said(), [""; 0], "{n}");
        bench.login("1001", &format!("10.0.{n}.1"), i64::try_from(n).unwrap());
    }
    assert_eq!(bench.said(), ["1001 roams"]);
    assert_eq!(bench.table.accounts[&account("1001")].networks.len(), MOST_USED);
}

#[test]
fn lines_that_may_be_forged_teach_nothing_and_alarm_nobody() {
    let mut bench = Bench::new();
    // In the learning time, and of accounts that nobody has.
    bench.uses("1001", &["198.51.100.7"], 0..3);
    for n in 0..100_000_u32 {
        let host = std::net::Ipv4Addr::from_bits(0xcb00_0000 + n * 256).to_string();
        bench.login_with("1001", &host, 3 * DAYS, Evidence::Unverified);
        let place = bench.login_with(&format!("x{n}"), &host, 3 * DAYS, Evidence::Unverified);
        assert_eq!(place, Usual, "as if there were no such table");
    }
    bench.uses("1001", &["198.51.100.7"], 3..10);
    let known = &bench.table.accounts[&account("1001")];
    assert_eq!((bench.table.accounts.len(), known.networks.len()), (1, 1));
    // Later, one protects nobody where a proven one would not. It says nothing, and does not make the network known.
    for hour in 0..100 {
        let now = 10 * DAYS + hour * HOUR;
        assert_eq!(bench.login_with("1001", "203.0.113.9", now, Evidence::Unverified), New);
        assert_eq!(bench.login_with("1001", "198.51.100.9", now, Evidence::Unverified), Usual);
    }
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.login("1001", "203.0.113.9", 15 * DAYS), New);
    assert_eq!(bench.said(), ["1001 203.0.113.0/24"]);
}

#[test]
fn alarms_are_limited() {
    // A thief with one password and many networks.
    let mut bench = Bench::new();
    bench.uses("1001", &["198.51.100.7"], 0..8);
    for n in 0..1000 {
        let host = format!("203.{}.{}.9", n / 250, n % 250);
        assert_eq!(bench.login("1001", &host, 8 * DAYS + n), New);
    }
    assert_eq!(bench.said().len(), MOST_ALARMS);
    assert_eq!(bench.table.accounts[&account("1001")].networks.len(), 1 + MOST_ALARMS);
    bench.table.tick(at(8 * DAYS + 1000), &mut bench.out);
    bench.table.tick(at(8 * DAYS + 1001), &mut bench.out);
    assert_eq!(bench.said(), [format!("{} withheld", 1000 - MOST_ALARMS)]);
    // Again from the last of them: nothing to count. The next day, there are four more.
    for n in 0..100 {
        assert_eq!(bench.login("1001", "203.3.249.9", 8 * DAYS + 2000 + n), New);
    }
    bench.table.tick(at(8 * DAYS + 3000), &mut bench.out);
    assert_eq!(bench.said(), [""; 0]);
    for n in 0..1000 {
        let host = format!("192.{}.{}.9", n / 250, n % 250);
        assert_eq!(bench.login("1001", &host, 9 * DAYS + 1000 + n), New);
    }
    assert_eq!(bench.said().len(), MOST_ALARMS);
    assert_eq!(bench.table.accounts[&account("1001")].networks.len(), 1 + MOST_ALARMS);
    // A site with other addresses.
    let mut bench = Bench::new();
    for n in 0..500 {
        bench.uses(&format!("1{n:03}"), &["198.51.100.7"], 0..8);
    }
    for n in 0..500 {
        assert_eq!(bench.login(&format!("1{n:03}"), "203.0.113.9", 8 * DAYS + n), New);
    }
    assert_eq!(bench.said().len(), 20);
    let net = "203.0.113.0/24".parse().unwrap();
    let done = bench.table.acknowledge_all(&net, at(8 * DAYS + 600), &mut bench.out);
    assert_eq!(done.len(), 500);
    assert_eq!(bench.login("1499", "203.0.113.9", 8 * DAYS + 700), Usual);
}

#[test]
fn a_host_that_is_trusted_raises_no_alarm() {
    let mut bench = Bench::new();
    bench.uses("1001", &["198.51.100.7"], 0..8);
    let event = Event {
        time: at(8 * DAYS),
        channel: ChannelId(0),
        rule: RuleId(0),
        meaning: Meaning::Success,
        host: "203.0.113.9".parse().unwrap(),
        evidence: Evidence::Proven,
        line: 1,
        account: Account::named(b"1001"),
        basis: Basis::Text,
        clue: Clue::default(),
    };
    assert_eq!(bench.table.login(&event, || None, || true, &mut bench.out), Usual);
    assert_eq!(
        bench.table.login(&event, || None, || false, &mut bench.out),
        New,
        "it was not learned"
    );
    bench.table.change(&config::NewNetworks { enabled: false, ..terms() });
    assert_eq!(bench.table.login(&event, || None, || false, &mut bench.out), Usual);
}

#[test]
fn memory_is_bounded() {
    let mut bench = Bench::new();
    bench.table.note_changes();
    bench.table.take_changes();
    for n in 0..2 * CAPACITY {
        bench.login(&n.to_string(), "198.51.100.7", i64::try_from(n).unwrap());
        assert!(bench.table.accounts.len() <= CAPACITY);
    }
    assert!(matches!(bench.table.changes, Changes::All), "{:?}", bench.table.accounts.len());
    for n in 0..10_000_i64 {
        bench.login("one", &format!("10.{}.{}.1", n / 250, n % 250), WEEK + n * HOUR);
    }
    let networks = &bench.table.accounts[&account("one")].networks;
    assert!(networks.len() <= MOST_USED + MOST_ALARMS);
    // A vector grows by doubling.
    assert!(networks.capacity() <= 32, "{}", networks.capacity());
    let networks = 32 * size_of::<KnownNetwork>() + MOST_COUNTRIES * size_of::<KnownCountry>();
    let size = size_of::<(Account, AccountHistory)>() + networks;
    assert!(size <= 1000, "{size}");
}

#[test]
fn accounts_are_found_by_their_names() {
    let mut bench = Bench::new();
    for name in ["1001", "reception-1", "reception-2", "warehouse-1"] {
        bench.login(name, "198.51.100.7", 0);
    }
    for (name, found) in [
        ("1001", Ok("1001")),
        ("reception-2", Ok("recepti*")),
        ("wareh*", Err(NoAccount::Unknown("wareh*".to_owned()))),
        ("warehou*", Ok("warehou*")),
        ("recepti*", Err(NoAccount::Several("recepti*".to_owned(), 2))),
        ("1002", Err(NoAccount::Unknown("1002".to_owned()))),
        ("", Err(NoAccount::Unknown(String::new()))),
    ] {
        let found = found.map(str::to_owned);
        assert_eq!(bench.table.named(name).map(|account| account.to_string()), found, "{name}");
    }
}

#[test]
fn restart_and_clock_step_change_nothing() {
    let mut bench = Bench::new();
    bench.table.note_changes();
    bench.uses("1001", &["198.51.100.7", "2001:db8:1::7"], 0..8);
    bench.uses("mobile", &["198.51.100.7"], 0..1);
    for n in 0..8 {
        bench.login("mobile", &format!("10.0.{n}.1"), n * DAYS);
    }
    bench.login("1001", "203.0.113.9", 8 * DAYS);
    bench.said();
    let all = bench.table.take_changes().unwrap();
    assert!(all.is_all && all.known.accounts.len() == 2);
    assert_eq!(bench.table.take_changes(), None, "nothing has changed since");
    bench.login("1001", "203.0.113.9", 8 * DAYS + 1);
    let some = bench.table.take_changes().unwrap();
    assert!(!some.is_all && some.known.accounts.len() == 1 && some.gone.is_empty());

    let mut after = Bench::new();
    after.table.restore(&bench.table.stored(), at(8 * DAYS + 2));
    assert_eq!(after.login("1001", "203.0.113.9", 8 * DAYS + 3), New);
    assert_eq!(after.login("1001", "2001:db8:1::9", 8 * DAYS + 3), Usual);
    assert_eq!(after.login("mobile", "10.9.9.9", 8 * DAYS + 3), Usual);
    assert_eq!(after.said(), [""; 0], "all of that was said before");
    let step = ClockStep::by_millis(-1000 * 365 * DAYS);
    after.table.correct(step);
    let year = -365 * DAYS;
    assert_eq!(after.login("1001", "203.0.113.9", year + 9 * DAYS - 1), New);
    assert_eq!(after.login("1001", "203.0.113.9", year + 9 * DAYS), Usual);
    // Forgotten, and gone from the file too.
    bench.table.take_changes();
    bench.table.forget(account("mobile"));
    assert_eq!(bench.table.take_changes().unwrap().gone, [account("mobile")]);
    for secs in [0, 1] {
        assert_eq!(bench.login("mobile", &format!("10.1.{secs}.9"), 9 * DAYS + secs), Usual);
    }
    assert_eq!(bench.login("mobile", "10.1.9.9", 30 * DAYS), New, "it is watched");
    // Of another program.
    let mut other = Bench::new();
    let stored = StoredAccounts { sample: Account::named(b"x"), ..bench.table.stored() };
    other.table.restore(&stored, at(8 * DAYS));
    assert!(other.table.accounts.is_empty());
}

/// Returns a bench where account 1001 moves, within the Netherlands (100) and Germany (101), after its first month.
fn abroad() -> Bench {
    let mut bench = Bench::new();
    let country = |code: &[u8]| Country::of(code).unwrap();
    bench.countries = vec![
        ("100.", country(b"NL")),
        ("101.", country(b"DE")),
        ("102.", country(b"RU")),
        ("103.", country(b"FR")),
    ];
    for day in 0..30 {
        let host = format!("{}.{day}.0.1", 100 + day % 2);
        bench.login("1001", &host, day * DAYS);
    }
    assert!(bench.said().iter().any(|said| said == "1001 roams"));
    bench
}

#[test]
fn of_an_account_that_moves_a_new_country_raises_an_alarm() {
    let mut bench = abroad();
    assert_eq!(bench.login("1001", "100.99.0.1", 31 * DAYS), Usual, "a new network at home");
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(bench.login("1001", "102.1.0.1", 31 * DAYS), New);
    assert_eq!(bench.said(), ["1001 RU"]);
    assert_eq!(bench.login("1001", "102.2.0.1", 31 * DAYS + 60), New, "once, and protects nobody");
    assert_eq!(bench.said(), [""; 0]);
    assert_eq!(
        bench.login_with("1001", "102.1.0.1", 31 * DAYS, Evidence::Unverified),
        New,
        "a line protects nobody either"
    );
    assert_eq!(bench.login_with("1001", "103.1.0.1", 31 * DAYS, Evidence::Unverified), New);
    assert_eq!(bench.login_with("1001", "101.1.0.1", 31 * DAYS, Evidence::Unverified), Usual);
    // Stored and restored, it is the same.
    let stored = bench.table.stored();
    let mut again = Bench { countries: bench.countries.clone(), ..Bench::new() };
    again.table.restore(&stored, at(31 * DAYS + 60));
    assert_eq!(again.table.stored(), stored);
    assert_eq!(again.login("1001", "102.1.0.1", 31 * DAYS + 90), New);
    // Acknowledged, by any host there.
    assert_eq!(bench.acknowledge("1001", Some("102.2.0.9/32"), 31 * DAYS + 90), ["102.2.0.0/24"]);
    assert_eq!(bench.login("1001", "102.3.0.1", 31 * DAYS + 99), Usual);
    // Or a day later.
    assert_eq!(again.login("1001", "102.1.0.1", 32 * DAYS + 60), Usual);
    assert!(again.said().is_empty());
}

#[test]
fn countries_are_learned_first_and_bounded() {
    let mut bench = abroad();
    // The same account, before there was a database: its countries are learned for a week from then on.
    for entry in bench.table.accounts.values_mut() {
        entry.countries.clear();
    }
    assert_eq!(bench.login("1001", "102.1.0.1", 31 * DAYS), Usual);
    assert_eq!(bench.login("1001", "101.1.0.1", 32 * DAYS), Usual);
    assert_eq!(bench.login("1001", "103.1.0.1", 39 * DAYS), New);
    assert_eq!(bench.said(), ["1001 FR"]);
    // Nothing is known of this one.
    assert_eq!(bench.login("1001", "192.0.2.1", 39 * DAYS), Usual);
    let letters = |n: u8| Country::of(&[b'A' + n / 26, b'A' + n % 26]).unwrap();
    for n in 0..100 {
        bench.countries = vec![("1", letters(n))];
        bench.login("1001", "100.1.1.1", 40 * DAYS + i64::from(n));
    }
    let known = bench.table.accounts.values().next().unwrap();
    assert_eq!(known.countries.len(), MOST_COUNTRIES);
}

#[test]
fn of_an_account_that_stays_the_network_counts_and_not_the_country() {
    let mut bench = abroad();
    bench.uses("2002", &["100.7.0.1"], 0..10);
    assert_eq!(bench.login("2002", "102.7.0.1", 10 * DAYS), New);
    assert_eq!(bench.said(), ["2002 102.7.0.0/24"]);
    let known = &bench.table.accounts[&account("2002")];
    assert_eq!(known.countries.len(), 1, "what is doubted is not learned");
}
