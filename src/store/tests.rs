//! The state file by itself: what is written can be read, and what is not a state file is kept
//! aside.
#![expect(clippy::disallowed_methods, reason = "waits, and gives up")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::channel;

use super::*;
use crate::config;
use crate::decide::account_networks::{AccountChanges, StoredAccount, StoredNetwork};
use crate::decide::ban_table::JournalEntry;
use crate::decide::engine::{JailTotals, Tally};
use crate::decide::hour_counts::{HourTally, hour_of};
use crate::decide::peer_bans::{IssuedBan, IssuedChange, StoredIssued};
use crate::input::{Position, SourceCheckpoint, SourceKey};
use crate::model::account::Account;
use crate::model::clock_step::ClockStep;
use crate::model::event::{Evidence, JailId, Lifted, RuleId, ScopeId};
use crate::model::guard_event::{BanDetails, EventKind};
use crate::model::orders::{AllowedNetwork, OrderedPause};
use crate::model::place::Country;
use crate::model::subject::Subject;
use crate::rules::RuleSet;

const NOW: Time = Time::from_secs(1_800_000_000);
const PATIENCE: Duration = Duration::from_secs(20);

fn plan() -> Arc<Plan> {
    let rules = Arc::new(RuleSet::load(None).unwrap());
    let config = config::load::parse(&[], &rules.filters()).unwrap();
    Arc::new(Plan::new(config, rules))
}

fn ban(host: &str, secs: Option<u64>) -> Ban {
    let subject: Subject = host.parse().unwrap();
    Ban {
        jail: JailId(0),
        subject,
        host: subject.address(),
        scope: ScopeId(1),
        since: NOW,
        until: secs.map(|secs| NOW.plus(Duration::from_secs(secs))),
        offences: 5,
        evidence: Evidence::Proven,
        cause: Some((RuleId(3), 42)),
    }
}

/// Ends a store once all is written.
fn close(store: Store) {
    store.stop(PATIENCE);
}

/// Waits until the store has dealt with all that it was told.
fn settle(store: &Store) {
    let (done, is_done) = channel();
    store.then(move || done.send(()).unwrap());
    is_done.recv_timeout(PATIENCE).unwrap();
}

fn reopened(directory: &Path, now: Time) -> OpenedStore {
    let opened = open(directory, now);
    assert_eq!(opened.health, Health::default());
    opened
}

/// Returns the bans in force, by host, as the plan has them.
fn bans(loaded: &Loaded, plan: &Plan) -> Vec<Ban> {
    let mut bans = loaded.remembered(plan).bans;
    bans.sort_by_key(|ban| ban.subject);
    bans
}

#[test]
fn bans_are_restored_as_they_were() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let all = [ban("192.0.2.1", Some(600)), ban("192.0.2.2", None), ban("2001:db8::/64", Some(9))];
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    store.note(&plan, all.iter().map(|ban| JournalEntry::Entered(*ban)).collect(), NOW);
    close(store);
    assert_eq!(bans(&reopened(home.path(), NOW).loaded, &plan), all);

    // One ends, one is lifted, one is replaced by a longer one.
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let later = NOW.plus(Duration::from_secs(5));
    let longer = Ban { since: later, until: None, cause: None, ..all[0] };
    let entries = vec![
        JournalEntry::Struck(all[2], Lifted::Expired),
        JournalEntry::Struck(all[1], Lifted::ByHand),
        JournalEntry::Entered(longer),
    ];
    store.note(&plan, entries, later);
    close(store);
    let opened = reopened(home.path(), later);
    assert_eq!(bans(&opened.loaded, &plan), [longer]);
    assert_eq!(opened.loaded.saved, Some(later));
    let lifted: Vec<_> = opened.loaded.lifted.iter().map(|ban| ban.host.to_string()).collect();
    assert_eq!(lifted, ["192.0.2.2"]);
    let past: Vec<_> = opened.loaded.past.iter().map(|ban| ban.host.to_string()).collect();
    assert_eq!(past, ["192.0.2.1", "192.0.2.2", "2001:db8::/64", "192.0.2.1"]);
    let past =
        bans::of_hosts(opened.connection.as_ref().unwrap(), &["192.0.2.1".to_owned()], None, 9);
    let ended: Vec<_> = past.unwrap().into_iter().map(|ban| ban.ended).collect();
    assert_eq!(ended, [None, Some((later, Lifted::Replaced))]);
}

#[test]
fn flows_are_stored_beside_their_host() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let all = [
        ban("192.0.2.1", Some(600)),
        ban("192.0.2.1:5060", Some(600)),
        ban("192.0.2.1:40312", None),
        ban("192.0.2.10:5060", None),
        ban("[2001:db8::7]:5060", Some(9)),
    ];
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    store.note(&plan, all.iter().map(|ban| JournalEntry::Entered(*ban)).collect(), NOW);
    close(store);
    let opened = reopened(home.path(), NOW);
    assert_eq!(bans(&opened.loaded, &plan), all);
    let set = |host: &str| {
        let sql = "SELECT nft_set FROM bans WHERE host = ?1";
        let connection = opened.connection.as_ref().unwrap();
        connection.query_row(sql, [host], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(["192.0.2.1", "192.0.2.1:5060"].map(set), ["sip4", "sip_flow4"]);
    assert_eq!(set("[2001:db8::7]:5060"), "sip_flow6");
    let of = |hosts: &[&str], all_ports: Option<&str>| -> Vec<String> {
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        let all_ports = all_ports.map(|host| host.parse().unwrap());
        let connection = opened.connection.as_ref().unwrap();
        let found = bans::of_hosts(connection, &hosts, all_ports, 9).unwrap();
        found.iter().map(|ban| ban.host.to_string()).collect()
    };
    assert_eq!(of(&["192.0.2.1"], None), ["192.0.2.1"]);
    let mut with_ports = of(&["192.0.2.1"], Some("192.0.2.1"));
    with_ports.sort();
    assert_eq!(with_ports, ["192.0.2.1", "192.0.2.1:40312", "192.0.2.1:5060"]);
    assert_eq!(of(&[], Some("2001:db8::7")), ["[2001:db8::7]:5060"]);

    // One is lifted, and the others stay.
    let store = Store::start(opened).unwrap();
    store.note(&plan, vec![JournalEntry::Struck(all[1], Lifted::ByHand)], NOW);
    close(store);
    let left = bans(&reopened(home.path(), NOW).loaded, &plan);
    assert_eq!(left, [all[0], all[2], all[3], all[4]]);
}

#[test]
fn renewed_ban_is_one_ban() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let first = ban("192.0.2.1", Some(600));
    let later = |secs| Ban { since: NOW.plus(Duration::from_secs(secs)), ..first };
    let again = Ban { cause: Some((RuleId(3), 99)), ..later(900) };
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    store.note(&plan, [first, later(400), again].map(JournalEntry::Entered).to_vec(), NOW);
    close(store);
    let since: Vec<_> =
        reopened(home.path(), NOW).loaded.past.iter().map(|ban| ban.since).collect();
    assert_eq!(since, [later(400).since, again.since]);
}

#[test]
fn storing_all_bans_ends_the_others() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let entries =
        ["192.0.2.1", "192.0.2.2"].map(|host| JournalEntry::Entered(ban(host, Some(600))));
    store.note(&plan, entries.to_vec(), NOW);
    let now = [ban("192.0.2.2", Some(700)), ban("192.0.2.3", Some(600))];
    store.note_all(&plan, now.to_vec(), NOW);
    close(store);
    assert_eq!(bans(&reopened(home.path(), NOW).loaded, &plan), now);
}

#[test]
fn clock_step_moves_the_bans_in_force() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let all = [ban("192.0.2.1", Some(600)), ban("192.0.2.2", None), ban("192.0.2.3", Some(60))];
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    store.note(&plan, all.iter().map(|ban| JournalEntry::Entered(*ban)).collect(), NOW);
    store.note(&plan, vec![JournalEntry::Struck(all[2], Lifted::ByHand)], NOW);
    let step = ClockStep::by_millis(-86_400_000);
    let now = step.correct(NOW);
    store.correct(step, now);
    // What is in force is as it was stored: it becomes no ban of its own.
    let corrected = all.map(|ban| Ban {
        since: step.correct(ban.since),
        until: ban.until.map(|until| step.correct(until)),
        ..ban
    });
    store.note_all(&plan, corrected[..2].to_vec(), now);
    close(store);
    let opened = reopened(home.path(), now);
    assert_eq!(bans(&opened.loaded, &plan), corrected[..2]);
    assert_eq!(opened.loaded.saved, Some(now));
    let past: Vec<_> = opened.loaded.past.iter().map(|ban| (ban.host, ban.since)).collect();
    assert_eq!(past.len(), 3);
    assert!(past.contains(&(all[2].subject, NOW)), "what is over keeps its times: {past:?}");
}

#[test]
fn history_is_bounded() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let opened = reopened(home.path(), NOW);
    let connection = opened.connection.as_ref().unwrap();
    for n in 0..20_i64 {
        let days = Duration::from_secs(86400 * 30 * u64::try_from(n).unwrap());
        let ended = NOW.plus(days).millis();
        let host = format!("192.0.2.{n}");
        connection
            .execute(
                "INSERT INTO bans VALUES (NULL, ?1, 'j', 'ban4', ?1, 0, 1, 5, 'proven', NULL, NULL, ?2, 'expired', NULL, NULL, NULL, NULL)",
                rusqlite::params![host, ended],
            )
            .unwrap();
    }
    let now = NOW.plus(Duration::from_secs(86400 * 600));
    // Those that were over more than 400 days ago: 0 to 180 days after the first.
    assert_eq!(bans::prune(connection, now).unwrap(), 7);
    assert_eq!(bans::prune(connection, now).unwrap(), 0);
    drop(plan);
}

type Make<'a> = &'a dyn Fn(&Path);

#[test]
fn foreign_and_damaged_files_are_quarantined() {
    let plan = plan();
    let text = |path: &Path| fs::write(path, "dear diary\n".repeat(1000)).unwrap();
    let other = |path: &Path| {
        Connection::open(path).unwrap().execute_batch("CREATE TABLE songs (name)").unwrap();
    };
    let later = |path: &Path| {
        drop(schema::open(path).unwrap());
        Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    let without_tables = |path: &Path| {
        drop(schema::open(path).unwrap());
        Connection::open(path).unwrap().execute_batch("DROP TABLE bans").unwrap();
    };
    let cases: [(&str, Make); 4] = [
        ("not a database", &text),
        ("another program's", &other),
        ("a later asterguard wrote it", &later),
        ("damaged", &without_tables),
    ];
    for (why, make) in cases {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE);
        make(&path);
        let before = fs::read(&path).unwrap();
        let opened = open(home.path(), NOW);
        let notice = opened.health.notice.clone().unwrap();
        assert!(notice.contains(why), "{notice}");
        assert_eq!(opened.health.error, None);
        let kept = home.path().join(format!("{FILE}.broken-{}", NOW.millis()));
        assert!(notice.contains(kept.to_str().unwrap()), "{notice}");
        assert!(fs::read(&kept).unwrap() == before, "{why}: it is what it was");
        let store = Store::start(opened).unwrap();
        store.note_all(&plan, vec![ban("192.0.2.1", None)], NOW);
        close(store);
        assert_eq!(reopened(home.path(), NOW).loaded.bans.len(), 1);
    }
}

/// Returns a state file with bans, closed.
fn file_with_bans(directory: &Path, count: u32) -> Vec<u8> {
    let plan = plan();
    let store = Store::start(reopened(directory, NOW)).unwrap();
    let address = |n: u32| std::net::Ipv4Addr::from(0xc633_6400 + n).to_string();
    store.note_all(&plan, (0..count).map(|n| ban(&address(n), Some(600))).collect(), NOW);
    close(store);
    fs::read(directory.join(FILE)).unwrap()
}

/// Returns where to tear a file of `length` bytes: in some places, or at each `TORN`th byte (`make
/// soak`: at each).
fn places(length: usize, some: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
    let step = std::env::var("TORN").ok().map(|step| step.parse().expect("TORN is a number"));
    (0..length).filter(move |at| step.map_or_else(|| some(*at), |step: usize| at % step == 0))
}

#[test]
fn file_torn_anywhere_opens_with_what_can_be_read() {
    let home = tempfile::tempdir().unwrap();
    let whole = file_with_bans(home.path(), 200);
    let path = home.path().join(FILE);
    let hosts = |opened: &OpenedStore| -> BTreeSet<_> {
        opened.loaded.bans.iter().map(|ban| (ban.host, ban.until)).collect()
    };
    let all = hosts(&reopened(home.path(), NOW));
    let (begin, mut most) = (std::time::Instant::now(), 0);
    // Much of the header, the ends of pages, and some places in between.
    let some = |at: usize| (at < 110 && at % 9 < 2) || at % 1531 == 0 || at % 4096 < 2;
    for at in places(whole.len(), some) {
        for fill in [None, Some([0_u8, 0xa5][at % 2])] {
            let mut torn = whole[..at].to_vec();
            if let Some(fill) = fill {
                torn.extend((at..whole.len()).map(|n| if n % 2 == 0 { fill } else { !fill }));
            }
            let home = tempfile::tempdir().unwrap();
            fs::write(home.path().join(FILE), &torn).unwrap();
            let opened = open(home.path(), NOW);
            assert_eq!(opened.health.error, None, "cut at {at}");
            assert!(opened.connection.is_some(), "cut at {at}");
            // An empty file is a new one; anything else that is not whole is said.
            let bans = hosts(&opened);
            assert!(bans.is_subset(&all), "cut at {at} {fill:?}");
            // An empty file is a new one. Of what else is not whole it is said; but where no more than
            // some letters are others, there is nothing to tell by.
            let said = opened.health.notice.is_some();
            let letters = fill.is_some() && bans == all;
            assert!(if torn.is_empty() { !said } else { said || letters }, "cut at {at} {fill:?}");
            most = most.max(opened.loaded.bans.len());
        }
    }
    eprintln!("{} bytes, torn: {:?}", whole.len(), begin.elapsed());
    assert!(most > 100, "of 200 bans, at most {most} could be read");
    assert!(path.exists());
}

/// Returns a store that was killed, with the files that `SQLite` keeps next to its own:
/// bans one by one, each a transaction.
fn killed(directory: &Path, count: u8) -> Store {
    let plan = plan();
    let store = Store::start(reopened(directory, NOW)).unwrap();
    for n in 0..count {
        let ban = ban(&format!("192.0.2.{n}"), Some(600));
        store.note(&plan, vec![JournalEntry::Entered(ban)], NOW);
        settle(&store);
    }
    store
}

#[test]
fn write_ahead_log_torn_anywhere_gives_earlier_bans() {
    const BANS: u8 = 8;
    let home = tempfile::tempdir().unwrap();
    let store = killed(home.path(), BANS);
    let read = |end: &str| fs::read(home.path().join(format!("{FILE}{end}"))).unwrap();
    let (whole, log, index) = (read(""), read("-wal"), read("-shm"));
    let opened = |log: &[u8], index: &[u8], at: &str| {
        let home = tempfile::tempdir().unwrap();
        for (end, bytes) in [("", &whole[..]), ("-wal", log), ("-shm", index)] {
            fs::write(home.path().join(format!("{FILE}{end}")), bytes).unwrap();
        }
        let opened = open(home.path(), NOW);
        assert_eq!(opened.health.error, None, "{at}");
        assert!(opened.connection.is_some(), "{at}");
        let mut hosts: Vec<_> = opened.loaded.bans.iter().map(|ban| ban.host).collect();
        hosts.sort_unstable();
        // One after another, as they were entered: a transaction is there as a whole or not at all.
        let expected = (0..BANS).map(|n| Subject::of([192, 0, 2, n].into(), 64));
        assert_eq!(hosts, expected.take(hosts.len()).collect::<Vec<_>>(), "{at}");
        hosts.len()
    };
    assert_eq!(opened(&log, &index, "as it was"), usize::from(BANS));
    let mut counts = BTreeSet::new();
    // Its head, the heads of its frames (24 bytes before each page), and some places in between.
    let some = |at: usize| at < 40 || at % 2999 == 0 || at % 4120 < 2;
    let begin = std::time::Instant::now();
    for at in places(log.len(), some) {
        for fill in [None, Some([0_u8, 0xa5][at % 2])] {
            let mut torn = log[..at].to_vec();
            torn.extend(fill.into_iter().flat_map(|fill| vec![fill; log.len() - at]));
            counts.insert(opened(&torn, &index, &format!("cut at {at}, {fill:?}")));
        }
    }
    eprintln!("{} bytes, torn: {:?}", log.len(), begin.elapsed());
    assert!(counts.len() > usize::from(BANS) / 2, "{counts:?}");
    // The index is made again by whoever is alone.
    for at in (0..index.len()).step_by(997) {
        for fill in [0_u8, 0xa5, 0xff] {
            let mut torn = index.clone();
            torn[at..].fill(fill);
            let known = opened(&log, &torn, &format!("index from {at}, {fill}"));
            assert_eq!(known, usize::from(BANS));
            assert_eq!(opened(&log, &index[..at], "an index cut short"), usize::from(BANS));
        }
    }
    close(store);
}

#[test]
fn removed_file_is_written_again() {
    type TakeAway = fn(&Path);
    let ways: [(&str, TakeAway); 3] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("replaced", |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, "dear diary").unwrap();
        }),
        ("replaced", |path| {
            let other = path.with_extension("other");
            drop(schema::open(&other).unwrap());
            fs::rename(other, path).unwrap();
        }),
    ];
    for (how, take_away) in ways {
        let (home, plan) = (tempfile::tempdir().unwrap(), plan());
        let path = home.path().join(FILE);
        let store = Store::start(reopened(home.path(), NOW)).unwrap();
        let first = ban("192.0.2.1", Some(600));
        store.note(
            &plan,
            vec![JournalEntry::Entered(first), JournalEntry::Struck(first, Lifted::ByHand)],
            NOW,
        );
        store.note(&plan, vec![JournalEntry::Entered(ban("192.0.2.2", None))], NOW);
        settle(&store);
        take_away(&path);
        let begin = std::time::Instant::now();
        while !store.health().behind {
            assert!(begin.elapsed() < PATIENCE, "{how}: {:?}", store.health());
            std::thread::sleep(Duration::from_millis(20));
        }
        let notice = store.health().notice.unwrap();
        assert!(notice.contains(how) && notice.contains(path.to_str().unwrap()), "{notice}");
        store.note(&plan, vec![JournalEntry::Entered(ban("192.0.2.3", None))], NOW);
        // As if it was killed.
        settle(&store);
        let copy = tempfile::tempdir().unwrap();
        for name in [FILE.to_owned(), format!("{FILE}-wal")] {
            fs::copy(home.path().join(&name), copy.path().join(&name)).unwrap();
        }
        let loaded = reopened(copy.path(), NOW).loaded;
        assert_eq!((loaded.bans.len(), loaded.past.len()), (2, 3), "{how}: history too");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        let aside = fs::read_dir(home.path()).unwrap().flatten();
        let aside = aside.filter(|entry| entry.file_name().to_str().unwrap().contains("broken"));
        assert_eq!(aside.count() > 0, how == "replaced");
        close(store);
    }
}

#[test]
fn stats_count_what_the_file_holds() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let first = ban("192.0.2.1", Some(600));
    store.note(
        &plan,
        vec![JournalEntry::Entered(first), JournalEntry::Struck(first, Lifted::ByHand)],
        NOW,
    );
    store.note(&plan, vec![JournalEntry::Entered(ban("192.0.2.2", None))], NOW);
    let pages = crate::decide::offences::Pages { entries: 7, changed: Vec::new() };
    let counters = vec![crate::decide::engine::OffenceCounts {
        name: "j".to_owned(),
        pages,
        ..Default::default()
    }];
    assert_eq!(store.written(), None);
    store.checkpoint(Checkpoint { counters, ..Checkpoint::default() }, NOW);
    let begin = std::time::Instant::now();
    let stats = loop {
        match store.health().stats {
            Some(stats) if stats.offenders > 0 => break stats,
            _ => assert!(begin.elapsed() < PATIENCE, "{:?}", store.health()),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((stats.bans, stats.past, stats.offenders, stats.known_good), (1, 1, 7, 0));
    assert!(stats.bytes > 4096, "{stats:?}");
    assert_eq!(store.written().map(|written| written.at), Some(NOW));
    close(store);
}

#[test]
fn failed_writes_are_retried() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    // A directory in its place cannot be opened, and is nobody's broken file.
    let path = home.path().join(FILE);
    fs::create_dir(&path).unwrap();
    let opened = open(home.path(), NOW);
    assert!(opened.health.error.is_some() && opened.health.notice.is_none());
    let store = Store::start(opened).unwrap();
    store.note(&plan, vec![JournalEntry::Entered(ban("192.0.2.1", None))], NOW);
    settle(&store);
    assert!(store.health().error.is_some());
    fs::remove_dir(&path).unwrap();
    let begin = std::time::Instant::now();
    // It says when it wants to be told all.
    while !store.health().behind {
        assert!(begin.elapsed() < PATIENCE, "{:?}", store.health());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(store.health().error.is_some(), "it has not got all yet");
    store.note_all(&plan, vec![ban("192.0.2.2", None)], NOW);
    settle(&store);
    assert_eq!(Health { stats: None, ..store.health() }, Health::default());
    close(store);
    assert_eq!(reopened(home.path(), NOW).loaded.bans.len(), 1);
}

/// Makes a file as version 2 has it of one as version 3 has it.
const TO_VERSION_2: &str =
    "DROP TABLE peer_bans; DROP TABLE hours; ALTER TABLE bans DROP COLUMN login;
    DROP TABLE accounts; DROP TABLE events; ALTER TABLE bans DROP COLUMN accounts;
    DROP TABLE totals; DROP TABLE allowed; DROP TABLE pauses;
    ALTER TABLE bans DROP COLUMN ordered_by; ALTER TABLE bans DROP COLUMN comment;
    PRAGMA user_version = 2";

#[test]
fn orders_are_stored_with_who_gave_them() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let note = |by: &str, comment: Option<&str>| Note {
        by: by.to_owned(),
        comment: comment.map(str::to_owned),
    };
    let banned = ban("203.0.113.9", Some(100));
    store.note(&plan, vec![JournalEntry::Entered(banned)], NOW);
    let key = ban_record::key(&plan, &banned).unwrap();
    store.annotate(key.clone(), note("alice (sudo)", Some("ticket")), NOW);
    let orders = Orders {
        allowed: vec![AllowedNetwork {
            net: "192.0.2.0/24".parse().unwrap(),
            since: NOW,
            until: Some(NOW.plus(Duration::from_secs(60))),
            note: note("root", None),
        }],
        pauses: vec![
            OrderedPause { jail: None, until: None, by: "root".to_owned() },
            OrderedPause { jail: Some("scan".to_owned()), until: Some(NOW), by: "bob".to_owned() },
        ],
    };
    store.orders(orders.clone(), NOW);
    close(store);
    assert_eq!(super::orders(home.path()), orders);
    let loaded = reopened(home.path(), NOW).loaded;
    assert_eq!((loaded.orders, loaded.bans.len()), (orders, 1));
    assert_eq!(loaded.bans[0].note, Some(note("alice (sudo)", Some("ticket"))));
    assert_eq!(
        notes(home.path()),
        HashMap::from([(key.clone(), note("alice (sudo)", Some("ticket")))])
    );

    // The next ban of the host is another one, which nobody ordered; what is over keeps its note.
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let later = Ban { since: NOW.plus(Duration::from_secs(9)), ..banned };
    store.note(&plan, vec![JournalEntry::Entered(later)], NOW);
    close(store);
    assert_eq!(notes(home.path()), HashMap::new());
    let hosts = ["203.0.113.9".to_owned()];
    let all = of_hosts(home.path(), &hosts, None, 9).unwrap();
    let by: Vec<_> = all.iter().map(|ban| ban.note.as_ref().map(|note| note.by.as_str())).collect();
    assert_eq!(by, [None, Some("alice (sudo)")]);

    // Without a guard; and a file of an earlier version that is only read.
    change_orders(home.path(), |orders| {
        orders.allowed.clear();
        Ok::<_, StoreError>(())
    })
    .unwrap();
    assert_eq!(
        (super::orders(home.path()).allowed.len(), super::orders(home.path()).pauses.len()),
        (0, 2)
    );
    Connection::open(home.path().join(FILE)).unwrap().execute_batch(TO_VERSION_2).unwrap();
    assert_eq!(
        (super::orders(home.path()), notes(home.path())),
        (Orders::default(), HashMap::new())
    );
    let (loaded, problem) = read(home.path(), Extent::All, NOW).unwrap();
    assert_eq!((loaded.bans.len(), problem), (1, None));
    assert_eq!(reopened(home.path(), NOW).loaded.bans.len(), 1, "it is brought up to date");
}

#[test]
fn totals_are_stored_and_a_file_without_them_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    drop(schema::open(&path).unwrap());
    change(TO_VERSION_2);
    let (untouched, problem) = read(home.path(), Extent::All, NOW).unwrap();
    assert_eq!((untouched.progress.totals, problem), (Vec::new(), None));

    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let of = |jail: &str, failed| {
        let tally = Tally {
            failed,
            banned: 2,
            observed: 3,
            ignored: 4,
            excused: 5,
            withheld: 6,
            hearsay: 7,
            last: Some(NOW),
        };
        JailTotals { jail: jail.to_owned(), tally }
    };
    let totals = vec![of("a", 1), of("b", 1)];
    store.checkpoint(Checkpoint { totals: totals.clone(), ..Checkpoint::default() }, NOW);
    settle(&store);
    assert_eq!(read(home.path(), Extent::All, NOW).unwrap().0.progress.totals, totals);
    // One counts on, the other is no jail any more.
    let last = Checkpoint {
        jails: Some(vec!["a".to_owned()]),
        totals: vec![of("a", u64::MAX)],
        ..Checkpoint::default()
    };
    store.checkpoint(last, NOW);
    close(store);
    let totals = reopened(home.path(), NOW).loaded.progress.totals;
    assert_eq!(totals, [of("a", i64::MAX.unsigned_abs())]);

    // A number that makes no sense harms no other.
    change("UPDATE totals SET failed = -5, banned = 'x', observed = 1e99, last = 'never'");
    let [JailTotals { tally, .. }] =
        <[_; 1]>::try_from(reopened(home.path(), NOW).loaded.progress.totals).unwrap();
    let Tally { failed, banned, observed, ignored, last, .. } = tally;
    assert_eq!((failed, banned, observed, ignored, last), (0, 0, 0, 4, None));
}

#[test]
fn accounts_are_stored_and_a_file_without_them_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    drop(schema::open(&path).unwrap());
    change(
        "DROP TABLE peer_bans; DROP TABLE accounts; DROP TABLE hours; ALTER TABLE bans DROP COLUMN login;
         PRAGMA user_version = 4",
    );
    let (untouched, problem) = read(home.path(), Extent::All, NOW).unwrap();
    assert_eq!((untouched.progress.accounts, problem), (StoredAccounts::default(), None));
    assert!(accounts(home.path()).unwrap().accounts.is_empty());

    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let of = |name: &str, alarm| StoredAccount {
        account: Account::named(name.as_bytes()).unwrap(),
        first: NOW,
        last: NOW.plus(Duration::from_secs(5)),
        host: "203.0.113.9".to_owned(),
        roams: name == "b",
        moves: vec![NOW],
        networks: vec![StoredNetwork {
            net: "203.0.113.0/24".parse().unwrap(),
            since: NOW,
            last: NOW,
            alarm,
            country: Country::of(b"NL").filter(|_| name == "b"),
        }],
    };
    let known = |accounts: Vec<StoredAccount>| StoredAccounts {
        sample: Account::named(b"asterguard"),
        learn: 604_800,
        accounts,
    };
    let write = |is_all, accounts, gone| {
        let changes = AccountChanges { is_all, known: known(accounts), gone };
        store.checkpoint(Checkpoint { accounts: Some(changes), ..Checkpoint::default() }, NOW);
        settle(&store);
        let mut stored = accounts_of(home.path());
        stored.accounts.sort_by_key(|stored| stored.account.to_string());
        stored
    };
    let all = vec![of("a", false), of("b", false), of("reception-1", true)];
    let stored = write(true, all.clone(), Vec::new());
    assert_eq!(stored, known(all));
    let names: Vec<_> = stored.accounts.iter().map(|of| of.account.to_string()).collect();
    assert_eq!(names, ["a", "b", "recepti*"]);
    let gone = vec![of("reception-1", true).account];
    assert_eq!(write(false, vec![of("a", true)], gone), known(vec![of("a", true), of("b", false)]));
    assert_eq!(write(true, vec![of("c", true)], Vec::new()), known(vec![of("c", true)]));
    close(store);

    // A row that makes no sense harms no other.
    change(
        "INSERT INTO accounts VALUES (7, 'x', 'never', 0, '', 0, '[]', '[]');
            INSERT INTO accounts VALUES (8, 'x', 1, 2, '', 0, '[]', 'nonsense')",
    );
    assert_eq!(reopened(home.path(), NOW).loaded.progress.accounts, known(vec![of("c", true)]));
}

fn accounts_of(directory: &Path) -> StoredAccounts {
    accounts(directory).unwrap()
}

#[test]
fn state_of_version_0_1_0_is_read_and_migrated() {
    let home = tempfile::tempdir().unwrap();
    let dump = include_str!("../../tests/data/state-0.1.0.sql").replace("$DIR", "/var/log");
    Connection::open(home.path().join(FILE)).unwrap().execute_batch(&dump).unwrap();
    let at = Time::from_millis(1_795_896_268_344);

    // Without a daemon, the file stays as it is.
    let (untouched, problem) = read(home.path(), Extent::All, at).unwrap();
    assert_eq!(problem, None);
    let opened = reopened(home.path(), at);
    assert_eq!(opened.loaded.progress.logs, untouched.progress.logs);

    let [log] = <[_; 1]>::try_from(untouched.progress.logs).unwrap();
    assert_eq!(log.key, SourceKey::File("/var/log/messages".into()));
    let position = Position::from_checkpoint(log.checkpoint.as_ref().unwrap()).unwrap();
    assert_eq!((position.offset, position.fingerprint.len()), (432, 256));
    assert!(log.context.is_some());
    assert_eq!(log.read_at, at);
    assert_eq!(untouched.progress.counters[0].name, "asterisk-guess");

    // What a source of another kind left are bytes.
    let store = Store::start(opened).unwrap();
    let place = SourceCheckpoint::new(b"s=7f\0\xff".to_vec());
    let logs = vec![LogCheckpoint { checkpoint: Some(place), ..log }];
    store.checkpoint(Checkpoint { logs: logs.clone(), ..Checkpoint::default() }, at);
    close(store);
    assert_eq!(reopened(home.path(), at).loaded.progress.logs, logs);
}

/// The event that a host was banned.
fn event(kind: EventKind, at: Time, host: &str) -> GuardEvent {
    GuardEvent {
        jail: Some(plan().jail(JailId(0)).unwrap().name.clone()),
        ban: Some(BanDetails::default()),
        ..GuardEvent::new(at, kind, format!("Ban {host}")).about(host)
    }
}

#[test]
fn accounts_are_stored_with_the_ban_that_they_led_to() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let [known, other] = ["1000", "a-very-long-name"].map(|name| Account::named(name.as_bytes()));
    let first = ban("192.0.2.1", Some(600));
    store.note(&plan, vec![JournalEntry::Entered(first)], NOW);
    let accounts = vec![known.unwrap(), other.unwrap()];
    store.events(vec![(event(EventKind::Ban, NOW, "192.0.2.1"), accounts)], NOW);
    let later = NOW.plus(Duration::from_secs(9));
    let second = Ban { since: later, cause: None, ..first };
    store.note(&plan, vec![JournalEntry::Entered(second)], later);
    close(store);
    let of = |account| {
        let query = HistoryQuery { account, ..HistoryQuery::default() };
        let mut found = Vec::new();
        let take = |ban: BanRecord| {
            found.push((ban.since, ban.accounts.iter().map(ToString::to_string).collect()));
            true
        };
        history(home.path(), &query, take).unwrap();
        found
    };
    let tried: Vec<String> = vec!["1000".to_owned(), "a-very-*".to_owned()];
    assert_eq!(of(None), [(later, Vec::new()), (NOW, tried.clone())], "the newest first");
    assert_eq!(of(other), [(NOW, tried)], "found by the whole name");
    assert_eq!(of(Account::named(b"a-very-other-name")), []);
}

#[test]
fn events_are_read_from_the_end_and_from_a_place() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let at = |n: u64| NOW.plus(Duration::from_secs(n));
    let some = (0..10_u64).map(|n| {
        let kind = if n % 2 == 0 { EventKind::Ban } else { EventKind::Unban };
        (event(kind, at(n), "192.0.2.1"), Vec::new())
    });
    store.events(some.collect(), NOW);
    settle(&store);
    let reader = EventReader::open(home.path()).unwrap();
    let times = |events: &[GuardEvent]| -> Vec<_> { events.iter().map(|event| event.at).collect() };
    let last = EventQuery { last: Some(2), ..EventQuery::default() };
    let (found, place) = reader.read(&last).unwrap();
    assert_eq!(times(&found), [at(8), at(9)]);
    let bans = EventQuery { since: Some(at(3)), kinds: vec![EventKind::Ban], last: None };
    assert_eq!(times(&reader.read(&bans).unwrap().0), [at(4), at(6), at(8)]);
    assert_eq!(reader.after(place, &bans).unwrap().0, []);
    store.events(vec![(event(EventKind::Ban, at(11), "192.0.2.2"), Vec::new())], NOW);
    store.events(vec![(event(EventKind::Stop, at(12), "192.0.2.2"), Vec::new())], NOW);
    settle(&store);
    let (found, end) = reader.after(place, &bans).unwrap();
    assert_eq!((times(&found), end), (vec![at(11)], place + 2));
    close(store);
}

#[test]
fn events_are_bounded() {
    let home = tempfile::tempdir().unwrap();
    let connection = open(home.path(), NOW).connection.unwrap();
    let most = usize::try_from(events::MOST_EVENTS).unwrap();
    let old = event(EventKind::Ban, NOW, "192.0.2.1");
    let transaction = connection.unchecked_transaction().unwrap();
    for _ in 0..most + 10 {
        events::enter(&transaction, &old).unwrap();
    }
    events::prune(&transaction, NOW).unwrap();
    transaction.commit().unwrap();
    let read = || EventReader::open(home.path()).unwrap().read(&EventQuery::default()).unwrap();
    assert_eq!(read().0.len(), most);
    let stats = stats::count(&connection, &home.path().join(FILE)).unwrap();
    assert!(stats.bytes < 40 << 20, "{} bytes", stats.bytes);
    events::prune(&connection, NOW.plus(events::KEPT + Duration::from_secs(1))).unwrap();
    assert_eq!(read().0, []);
}

#[test]
fn history_of_100_000_bans_is_read_at_once() {
    let home = tempfile::tempdir().unwrap();
    let connection = open(home.path(), NOW).connection.unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    let sql = "INSERT INTO bans VALUES (NULL, ?1, ?2, 'sip4', ?1, ?3, ?3 + 600000, 5, 'proven', 'asterisk-sip/wrong-password', 7, ?3 + 600000, 'expired', NULL, NULL, ?4, NULL)";
    let mut insert = transaction.prepare(sql).unwrap();
    for n in 0..100_000_u32 {
        let host = std::net::Ipv4Addr::from(0xc612_0000 + n).to_string();
        let jail = ["asterisk-guess", "asterisk-scan"][n as usize % 2];
        let account = Account::named(format!("10{}", n % 1000).as_bytes()).unwrap().to_stored();
        let since = NOW.plus(Duration::from_secs(n.into())).millis();
        insert.execute(rusqlite::params![host, jail, since, account]).unwrap();
    }
    drop(insert);
    transaction.commit().unwrap();
    let subject = |text: &str| Some(text.parse().unwrap());
    let queries = [
        (HistoryQuery::default(), 100_000),
        (HistoryQuery { whom: subject("198.18.1.1"), ..HistoryQuery::default() }, 1),
        (HistoryQuery { whom: subject("198.18.0.0/22"), ..HistoryQuery::default() }, 1024),
        (HistoryQuery { account: Account::named(b"10999"), ..HistoryQuery::default() }, 100),
        (
            HistoryQuery { jail: Some("asterisk-scan".to_owned()), ..HistoryQuery::default() },
            50_000,
        ),
        (
            HistoryQuery {
                since: Some(NOW.plus(Duration::from_secs(99_990))),
                ..HistoryQuery::default()
            },
            10,
        ),
    ];
    for (query, expected) in queries {
        let (begin, mut count) = (std::time::Instant::now(), 0);
        let each = |_| {
            count += 1;
            true
        };
        history(home.path(), &query, each).unwrap();
        assert_eq!(count, expected, "{query:?}");
        // A debug build on a busy machine; a release build takes a twentieth.
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?} {query:?}");
        eprintln!("{took:?} {query:?}");
    }
}

/// An hour of [`NOW`], so many hours later, and attempts by a rule in it.
fn hour(later: Hour, rule: &str, attempts: u64) -> HourCount {
    let tally = HourTally { attempts, bans: 1, ..HourTally::default() };
    HourCount { hour: hour_of(NOW) + later, rule: rule.to_owned(), tally }
}

#[test]
fn hours_are_stored_for_a_year_and_a_file_without_them_is_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE);
    drop(schema::open(&path).unwrap());
    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    change(
        "DROP TABLE peer_bans; DROP TABLE hours; ALTER TABLE bans DROP COLUMN login; PRAGMA user_version = 5",
    );
    let past = PastReader::open(home.path()).unwrap();
    assert_eq!(past.counted_since().unwrap(), None);
    past.hours(i64::MIN, |count| panic!("{count:?}")).unwrap();
    past.bans(|ban| panic!("{ban:?}")).unwrap();
    drop(past);

    let stored = |hours: Vec<HourCount>, now: Time| {
        let store = Store::start(reopened(home.path(), now)).unwrap();
        store.checkpoint(Checkpoint { hours, ..Checkpoint::default() }, now);
        close(store);
    };
    let found = |first: Hour| {
        let mut found = Vec::new();
        let past = PastReader::open(home.path()).unwrap();
        past.hours(hour_of(NOW) + first, |count| found.push(count)).unwrap();
        (found, past.counted_since().unwrap())
    };
    stored(vec![hour(0, "a/b", 3), hour(0, "", 0), hour(1, "a/b", 5)], NOW);
    // Written again, no number becomes smaller.
    stored(vec![hour(0, "a/b", 2), hour(1, "a/b", 6)], NOW.plus(Duration::from_secs(9)));
    let expected = vec![hour(0, "", 0), hour(0, "a/b", 3), hour(1, "a/b", 6)];
    assert_eq!(found(i64::MIN / 2), (expected.clone(), Some(NOW)));
    assert_eq!(found(1).0, expected[2..]);
    // A guard goes on with those of the last hours.
    let after = |hours: u64| NOW.plus(Duration::from_secs(hours * 3600));
    let recent = |now| reopened(home.path(), now).loaded.progress.hours;
    assert_eq!(recent(NOW), expected);
    assert_eq!([recent(after(49)).len(), recent(after(50)).len()], [1, 0]);
    // After a year and some days, the first of them are forgotten.
    stored(Vec::new(), after(400 * 24 + 1));
    assert_eq!(found(i64::MIN / 2).0, expected[2..]);
    // A number that makes no sense harms no other.
    change("UPDATE hours SET attempts = -5, untrusted = 'x', observed = 1e99");
    let tally = found(1).0[0].tally;
    assert_eq!((tally.attempts, tally.untrusted, tally.bans), (0, 0, 1));
}

/// Whatever happens, there are no more rows than fit.
#[test]
fn rows_of_hours_are_bounded() {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TABLE hours (hour INTEGER, rule TEXT, PRIMARY KEY (hour, rule)) WITHOUT ROWID;
             INSERT INTO hours WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {})
             SELECT {} - i / 65, i FROM n",
            hours::MOST_ROWS + 5000,
            hour_of(NOW)
        ))
        .unwrap();
    hours::prune(&connection, NOW).unwrap();
    let (rows, last): (i64, i64) = connection
        .query_row("SELECT count(*), max(hour) FROM hours", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!((hours::MOST_ROWS - 65..=hours::MOST_ROWS).contains(&rows), "{rows}");
    assert_eq!(last, hour_of(NOW));
}

fn issued(issuer: &str, host: &str, secs: u64) -> IssuedBan {
    IssuedBan {
        host: host.parse().unwrap(),
        issuer: issuer.parse().unwrap(),
        jail: "asterisk-guess".to_owned(),
        rule: "asterisk-sip/wrong-password".to_owned(),
        evidence: Evidence::Proven,
        since: NOW,
        until: NOW.plus(Duration::from_secs(secs)),
    }
}

#[test]
fn bans_of_peers_are_stored_with_their_issuers() {
    let (home, plan) = (tempfile::tempdir().unwrap(), plan());
    let host = "198.51.100.9";
    let of_fleet =
        |host: &str| Ban { jail: plan.fleet(), offences: 0, cause: None, ..ban(host, Some(600)) };
    let all =
        [issued("pbx2", host, 600), issued("pbx3", host, 60), issued("pbx2", "198.51.100.10", 600)];
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    let entries = [host, "198.51.100.10"].map(of_fleet).map(JournalEntry::Entered);
    store.note(&plan, entries.to_vec(), NOW);
    store.note_issued(all.clone().map(IssuedChange::Entered).to_vec(), NOW);
    close(store);
    assert_eq!(reopened(home.path(), NOW).loaded.peers.bans.len(), 3);
    // One is lifted by its issuer, one by hand where no guard runs, and the clock is set.
    let store = Store::start(reopened(home.path(), NOW)).unwrap();
    store.note_issued(vec![IssuedChange::Gone(all[1].host, all[1].issuer.clone())], NOW);
    store.correct(ClockStep::by_millis(1000), NOW);
    close(store);
    let meant = |ban: &BanRecord| ban.host == all[2].host;
    assert_eq!(lift(home.path(), meant, NOW).unwrap(), 1);
    let opened = reopened(home.path(), NOW);
    let second = |time: Time| time.plus(Duration::from_secs(1));
    let left = IssuedBan { since: second(NOW), until: second(all[0].until), ..all[0].clone() };
    assert_eq!(opened.loaded.peers.bans, [left]);
    let dismissed = (all[2].host, all[2].issuer.clone(), second(all[2].until));
    assert_eq!(opened.loaded.peers.dismissed, [dismissed]);
    // The history has all who had a part in it.
    let connection = opened.connection.as_ref().unwrap();
    let past = bans::of_hosts(connection, &[host.to_owned()], None, 9).unwrap();
    let note = past[0].note.as_ref().unwrap();
    let comment = "asterisk-guess asterisk-sip/wrong-password";
    assert_eq!((note.by.as_str(), note.comment.as_deref()), ("pbx2, pbx3", Some(comment)));
    let over = NOW.plus(Duration::from_secs(1000));
    assert_eq!(reopened(home.path(), over).loaded.peers, StoredIssued::default());
}

#[test]
fn peers_that_ban_all_day_leave_the_history_of_others() {
    let home = tempfile::tempdir().unwrap();
    let connection = schema::open(&home.path().join(FILE)).unwrap();
    let most = u32::try_from(bans::MOST_PAST_OF_PEERS).unwrap();
    let transaction = connection.unchecked_transaction().unwrap();
    for n in 0..most + 100 {
        let host = std::net::Ipv4Addr::from(0x0500_0000 + n).to_string();
        let sql = "INSERT INTO bans (host, jail, nft_set, address, since, until, attempts, evidence, ended, how)
                   VALUES (?1, ?2, 'sip4', ?1, ?3, ?3, 0, 'proven', ?4, 'recalled')";
        let jail = if n == 0 { "asterisk-guess" } else { "fleet" };
        let ended = NOW.millis() + i64::from(n);
        transaction
            .prepare_cached(sql)
            .unwrap()
            .execute((host, jail, NOW.millis(), ended))
            .unwrap();
    }
    transaction.commit().unwrap();
    bans::prune(&connection, NOW).unwrap();
    let count = |jail: &str| -> u32 {
        let sql = "SELECT count(*) FROM bans WHERE jail = ?1";
        connection.query_row(sql, [jail], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("asterisk-guess"), count("fleet")), (1, most));
    assert_eq!(bans::past(&connection).unwrap().len(), 1, "no ban of a peer makes others longer");
}
