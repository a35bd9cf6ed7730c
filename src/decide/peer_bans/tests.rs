use super::*;

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn host(n: u32) -> Subject {
    Subject::of(std::net::Ipv4Addr::from(0xCB00_7100 + n).into(), 128)
}

fn at(secs: i64) -> Time {
    Time::from_secs(secs)
}

fn ban(issuer: &str, n: u32, since: i64, until: i64) -> IssuedBan {
    IssuedBan {
        host: host(n),
        issuer: node(issuer),
        jail: "asterisk-guess".to_owned(),
        rule: "asterisk-security/failed".to_owned(),
        evidence: Evidence::Proven,
        since: at(since),
        until: at(until),
    }
}

fn issuers(bans: &PeerBans, n: u32) -> Vec<(String, i64)> {
    bans.of(host(n)).into_iter().map(|ban| (ban.issuer.to_string(), ban.until.secs())).collect()
}

#[test]
fn each_peer_has_its_own_part_of_a_ban() {
    let mut bans = PeerBans::default();
    assert_eq!(bans.put(&ban("pbx2", 1, 0, 100), 10), Ok(Taken::Entered));
    assert_eq!(bans.put(&ban("pbx3", 1, 0, 200), 10), Ok(Taken::Entered));
    // The same again, a moment later.
    assert_eq!(bans.put(&ban("pbx3", 1, 1, 201), 10), Ok(Taken::Known));
    assert_eq!(issuers(&bans, 1), [("pbx3".to_owned(), 200), ("pbx2".to_owned(), 100)]);
    assert_eq!(bans.hosts().collect::<Vec<_>>(), [host(1)]);
    // A peer lifts its own, and nobody else's.
    assert!(!bans.lift(&node("pbx4"), host(1)));
    assert!(bans.lift(&node("pbx3"), host(1)) && !bans.lift(&node("pbx3"), host(1)));
    assert_eq!(issuers(&bans, 1), [("pbx2".to_owned(), 100)]);
    // Its last word counts, also if it is shorter.
    assert_eq!(bans.put(&ban("pbx2", 1, 0, 50), 10), Ok(Taken::Entered));
    bans.tick(at(49));
    assert_eq!(issuers(&bans, 1), [("pbx2".to_owned(), 50)]);
    bans.tick(at(50));
    assert!(bans.is_empty() && bans.deadlines.is_empty());
    let numbers: Vec<_> = bans.issuers().map(|(name, bans, _)| (name.as_str(), bans)).collect();
    assert_eq!(numbers, [("pbx2", 0), ("pbx3", 0)]);
}

#[test]
fn a_peer_has_no_more_bans_than_it_may() {
    let mut bans = PeerBans::default();
    let taken = (0..100).filter(|n| bans.put(&ban("pbx2", *n, 0, 100), 10).is_ok()).count();
    assert_eq!((taken, bans.len()), (10, 10));
    // Others are none the worse for it, and one that is over makes room.
    assert_eq!(bans.put(&ban("pbx3", 1, 0, 100), 10), Ok(Taken::Entered));
    assert!(bans.lift(&node("pbx2"), host(0)));
    assert_eq!(bans.put(&ban("pbx2", 99, 0, 100), 10), Ok(Taken::Entered));
    // Another end of one that is in force needs no room.
    assert_eq!(bans.put(&ban("pbx2", 99, 0, 300), 10), Ok(Taken::Entered));
    assert_eq!(bans.put(&ban("pbx2", 50, 0, 100), 10), Err(Refusal::TooMany));
    let (_, _, refused) = bans.issuers().next().unwrap();
    assert_eq!(refused.get(&Refusal::TooMany), Some(&91));
}

#[test]
fn there_is_an_end_to_bans_peers_names_and_what_is_lifted() {
    let mut bans = PeerBans::default();
    for n in 0..u32::try_from(MOST_DISMISSED + 10).unwrap() {
        assert_eq!(bans.put(&ban("pbx2", n, 0, 100 + i64::from(n)), MOST), Ok(Taken::Entered));
        bans.dismiss(host(n));
    }
    assert_eq!((bans.dismissed.len(), bans.dismissed_ends.len()), (MOST_DISMISSED, MOST_DISMISSED));
    assert_eq!(bans.put(&ban("pbx2", 9, 0, 109), 10), Ok(Taken::Entered), "it ends first");
    assert_eq!(bans.put(&ban("pbx2", 10, 0, 110), 10), Err(Refusal::Dismissed));
    for n in 0..2 * MOST_NAMES {
        let named = IssuedBan { jail: format!("jail-{n}"), ..ban("pbx3", 0, 0, 10_000) };
        let until = at(10_000 + 10 * i64::try_from(n).unwrap());
        bans.put(&IssuedBan { until, ..named }, 10).unwrap();
    }
    assert_eq!((bans.names.texts.len(), bans.names.ids.len()), (MOST_NAMES, MOST_NAMES));
    let hostile = IssuedBan { jail: "a\nb".to_owned(), rule: "x".repeat(65), ..ban("a", 3, 0, 9) };
    bans.put(&hostile, 10).unwrap();
    let shown = bans.of(host(3)).remove(0);
    assert_eq!((shown.jail.as_str(), shown.rule.as_str()), ("", ""));
    for n in 0..MOST_PEERS + 10 {
        let _ = bans.put(&ban(&format!("n{n}"), 5, 0, 100), 10);
    }
    assert_eq!((bans.issuers.len(), bans.ids.len()), (MOST_PEERS, MOST_PEERS));
    assert!(bans.strangers() >= 10);
    for n in 0..1000 {
        bans.refuse(&node(&format!("s{n}")), Refusal::Stranger);
    }
    assert_eq!(bans.issuers.len(), MOST_PEERS);
}

#[test]
fn all_peers_together_leave_room_for_others() {
    let mut bans = PeerBans::default();
    for n in 0..u32::try_from(MOST).unwrap() {
        bans.put(&ban("pbx2", n, 0, 100), usize::MAX).unwrap();
    }
    assert_eq!(bans.put(&ban("pbx3", 1, 0, 100), 10), Err(Refusal::Full));
    bans.tick(at(100));
    assert_eq!(bans.put(&ban("pbx3", 1, 100, 200), 10), Ok(Taken::Entered));
}

#[test]
fn what_is_lifted_here_is_not_taken_again_before_its_end() {
    let mut bans = PeerBans::default();
    bans.put(&ban("pbx2", 1, 0, 100), 10).unwrap();
    bans.put(&ban("pbx3", 1, 0, 200), 10).unwrap();
    bans.dismiss(host(1));
    assert!(bans.is_empty());
    // A snapshot, or the peer itself, says it again.
    assert_eq!(bans.put(&ban("pbx2", 1, 50, 100), 10), Err(Refusal::Dismissed));
    assert_eq!(bans.put(&ban("pbx2", 1, 50, 500), 10), Err(Refusal::Dismissed));
    // Another peer had no part in what was lifted.
    assert_eq!(bans.put(&ban("pbx4", 1, 50, 500), 10), Ok(Taken::Entered));
    bans.tick(at(100));
    assert_eq!(bans.put(&ban("pbx2", 1, 100, 500), 10), Ok(Taken::Entered));
    assert_eq!(bans.put(&ban("pbx3", 1, 100, 200), 10), Err(Refusal::Dismissed));
}

#[test]
fn bans_of_those_that_are_no_peers_any_more_end() {
    let mut bans = PeerBans::default();
    bans.put(&ban("pbx2", 1, 0, 100), 10).unwrap();
    bans.put(&ban("pbx3", 1, 0, 100), 10).unwrap();
    bans.put(&ban("pbx3", 2, 0, 100), 10).unwrap();
    let hosts = bans.retain(|name| name.as_str() == "pbx2");
    assert_eq!(hosts, BTreeSet::from([host(1), host(2)]));
    assert_eq!((issuers(&bans, 1), bans.len()), (vec![("pbx2".to_owned(), 100)], 1));
}

#[test]
fn a_restart_and_a_clock_that_is_set_change_nothing() {
    let mut bans = PeerBans::default();
    bans.keep_journal();
    bans.put(&ban("pbx2", 1, 0, 100), 10).unwrap();
    bans.put(&ban("pbx3", 1, 0, 20), 10).unwrap();
    bans.put(&ban("pbx2", 2, 0, 100), 10).unwrap();
    bans.dismiss(host(2));
    let told = bans.take_journal();
    assert_eq!(told.len(), 5);
    assert_eq!(told[3], IssuedChange::Gone(host(2), node("pbx2")));
    assert_eq!(told[4], IssuedChange::Dismissed(host(2), node("pbx2"), at(100)));
    bans.correct(ClockStep::by_millis(1_000_000));
    let mut next = PeerBans::default();
    next.restore(&bans.stored(), at(1030));
    assert_eq!(issuers(&next, 1), [("pbx2".to_owned(), 1100)]);
    assert_eq!(next.of(host(1))[0].jail, "asterisk-guess");
    assert_eq!(next.put(&ban("pbx2", 2, 1040, 1100), 10), Err(Refusal::Dismissed));
    next.tick(at(1100));
    assert!(next.is_empty() && next.dismissed.is_empty() && next.dismissed_ends.is_empty());
}
