//! What becomes of orders: bans of networks, bans of hosts that are banned already, and pauses of jails.

use super::*;

const HOUR: Option<BanDuration> = Some(BanDuration::For(Duration::from_secs(3600)));
const DAY: Option<BanDuration> = Some(BanDuration::For(Duration::from_secs(86_400)));
const FOREVER: Option<BanDuration> = Some(BanDuration::Permanent);

/// Gives an order, and returns what has become of it, with the subject and end of the ban that is told.
fn order(bench: &mut Bench, order: &ManualBan, secs: i64) -> String {
    let end = |ban: &Ban| ban.until.map_or("never".to_owned(), |end| end.secs().to_string());
    match bench.engine.ban(order, Time::from_secs(secs), &mut bench.decisions) {
        Ordered::Banned { ban, before } => format!(
            "{} until {}, before {}",
            ban.subject,
            end(&ban),
            before.map_or("not".to_owned(), |ban| end(&ban))
        ),
        Ordered::Kept(ban) => format!("{} kept until {}", ban.subject, end(&ban)),
        Ordered::Overlaps(ban) => format!("overlaps {}", ban.subject),
        Ordered::Full => "full".to_owned(),
    }
}

fn banned(bench: &Bench) -> Vec<String> {
    bench.engine.bans().iter().map(|ban| ban.subject.to_string()).collect()
}

#[test]
fn the_same_order_twice_is_the_same_as_once() {
    let mut bench = Bench::new("");
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    let jails = by_hand("203.0.113.9", guess, None);
    assert_eq!(order(&mut bench, &jails, 0), "203.0.113.9 until 600, before not");
    assert_eq!(order(&mut bench, &jails, 100), "203.0.113.9 kept until 600");
    // Once it is over, the next one is longer.
    bench.tick(601);
    assert_eq!(order(&mut bench, &jails, 700), "203.0.113.9 until 3100, before not");
    let timed = by_hand("203.0.113.10", None, HOUR);
    assert_eq!(order(&mut bench, &timed, 0), "203.0.113.10 until 3600, before not");
    assert_eq!(order(&mut bench, &timed, 60), "203.0.113.10 until 3660, before 3600");
    assert_eq!(bench.engine.bans().len(), 2);
}

#[test]
fn a_ban_is_ensured_tried_and_confirmed() {
    let mut bench = Bench::new("");
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    let with = |length, manner| ManualBan { manner, ..by_hand("203.0.113.9", guess, length) };
    let minute = Some(BanDuration::For(Duration::from_secs(60)));
    assert_eq!(
        order(&mut bench, &with(minute, Manner::Try), 0),
        "203.0.113.9 until 60, before not"
    );
    // As long as if it had not been tried.
    let confirmed = with(None, Manner::Confirm);
    assert_eq!(order(&mut bench, &confirmed, 10), "203.0.113.9 until 610, before 60");
    for (length, secs, outcome) in [
        (None, 20, "203.0.113.9 kept until 610"),
        (minute, 20, "203.0.113.9 kept until 610"),
        (HOUR, 30, "203.0.113.9 until 3630, before 610"),
        // It was as long, though less is left of it.
        (HOUR, 3000, "203.0.113.9 kept until 3630"),
        (FOREVER, 3000, "203.0.113.9 until never, before 3630"),
        (HOUR, 3000, "203.0.113.9 kept until never"),
    ] {
        assert_eq!(order(&mut bench, &with(length, Manner::Ensure), secs), outcome);
    }
    assert_eq!(order(&mut bench, &with(minute, Manner::Try), 3001), "203.0.113.9 kept until never");
}

#[test]
fn no_two_banned_networks_overlap() {
    let mut bench = Bench::new("");
    let mut ban = |net: &str, length| order(&mut bench, &by_hand(net, None, length), 0);
    assert_eq!(ban("192.0.2.0/25", HOUR), "192.0.2.0/25 until 3600, before not");
    assert_eq!(ban("192.0.2.128/26", DAY), "192.0.2.128/26 until 86400, before not");
    // It would end before one within it, or take an hour from one that holds it.
    assert_eq!(ban("192.0.2.0/24", HOUR), "overlaps 192.0.2.128/26");
    assert_eq!(ban("192.0.2.0/26", DAY), "overlaps 192.0.2.0/25");
    assert_eq!(ban("192.0.2.0/26", HOUR), "192.0.2.0/25 kept until 3600");
    // Hosts and ports are in sets of their own.
    assert_eq!(ban("192.0.2.7", DAY), "192.0.2.7 until 86400, before not");
    assert_eq!(ban("192.0.2.7:5060", DAY), "192.0.2.7:5060 until 86400, before not");
    assert_eq!(ban("192.0.2.0/24", DAY), "192.0.2.0/24 until 86400, before not");
    assert_eq!(ban("2001:db8::/32", DAY), "2001:db8::/32 until 86400, before not");
    assert_eq!(ban("2001:db8::7", DAY), "2001:db8::/64 until 86400, before not");
    let left = ["192.0.2.0/24", "192.0.2.7", "192.0.2.7:5060", "2001:db8::/32", "2001:db8::/64"];
    assert_eq!(banned(&bench), left);
    let removed = bench.changes();
    let removed = removed.iter().filter(|change| matches!(change, Change::Remove(..)));
    let removed: Vec<_> = removed.map(|change| change.key().1.to_string()).collect();
    assert_eq!(removed, ["192.0.2.0/25", "192.0.2.128/26"]);
    assert_eq!(bench.engine.unban("192.0.2.9".parse().unwrap(), None, &mut bench.decisions), 1);
}

#[test]
fn there_are_not_more_networks_than_a_set_takes() {
    let mut bench = Bench::new("");
    for n in 0..ban_table::MOST_NETWORKS {
        let net = format!("10.{}.{}.0/24", n / 256, n % 256);
        assert!(order(&mut bench, &by_hand(&net, None, None), 0).contains("until never"));
    }
    assert_eq!(order(&mut bench, &by_hand("192.0.2.0/24", None, None), 0), "full");
    assert_eq!(
        order(&mut bench, &by_hand("10.0.0.0/24", None, HOUR), 0),
        "10.0.0.0/24 until 3600, before never"
    );
    assert!(order(&mut bench, &by_hand("192.0.2.7", None, None), 0).contains("until never"));
}

/// Returns the changes that were decided since the last call.
fn taken(bench: &mut Bench) -> Vec<Change> {
    let changes = bench.changes();
    bench.decisions.clear();
    changes
}

#[test]
fn a_paused_jail_goes_on_counting_and_its_bans_come_back() {
    let mut bench = Bench::new("");
    let guess = bench.engine.plan().jail_named("asterisk-guess").unwrap();
    order(&mut bench, &by_hand("203.0.113.9", Some(guess), HOUR), 0);
    order(&mut bench, &by_hand("203.0.113.10", None, HOUR), 0);
    taken(&mut bench);
    assert_eq!(bench.engine.pause_jail(guess, true, &mut bench.decisions), 1);
    assert!(matches!(taken(&mut bench)[..], [Change::Remove(..)]));
    order(&mut bench, &by_hand("203.0.113.11", Some(guess), HOUR), 0);
    assert!(matches!(taken(&mut bench)[..], [Change::Remove(..)]));
    // Over a reload too.
    bench.reload("[default]\nmaxretry = 9");
    let kernel: Vec<_> = bench.engine.bans().elements().map(|e| e.subject.to_string()).collect();
    assert_eq!((kernel, bench.engine.bans().len()), (vec!["203.0.113.10".to_owned()], 3));
    taken(&mut bench);
    let guess = bench.engine.plan().jail_named("asterisk-guess").unwrap();
    assert_eq!(bench.engine.pause_jail(guess, false, &mut bench.decisions), 2);
    assert!(matches!(taken(&mut bench)[..], [Change::Put(_), Change::Put(_)]));
}

#[test]
fn bans_of_another_guard_are_taken_up_once() {
    let mut bench = Bench::new("");
    let scan = bench.engine.plan().jail_named("asterisk-scan").unwrap();
    let ban = |net: &str, until: Option<i64>| {
        let subject: Subject = net.parse().unwrap();
        Ban {
            jail: scan,
            subject,
            host: subject.address(),
            scope: ScopeId(0),
            since: Time::from_secs(0),
            until: until.map(Time::from_secs),
            offences: 7,
            evidence: Evidence::Unverified,
            cause: None,
        }
    };
    let mut import = |net, until| {
        bench.engine.import(ban(net, until), Time::from_secs(10), &mut bench.decisions)
    };
    assert!(matches!(import("203.0.113.9", Some(100)), Ordered::Banned { before: None, .. }));
    assert!(matches!(import("203.0.113.9", Some(100)), Ordered::Kept(_)));
    assert!(matches!(import("203.0.113.9", Some(90)), Ordered::Kept(_)));
    assert!(matches!(import("203.0.113.9", None), Ordered::Banned { before: Some(_), .. }));
    assert!(matches!(import("192.0.2.0/24", Some(100)), Ordered::Banned { .. }));
    assert!(matches!(import("192.0.2.0/23", Some(50)), Ordered::Overlaps(_)));
}
