//! Tests for what becomes of the bans of store and kernel at a start.

use super::*;
use crate::decide::engine::{RecoverySummary, StoredBans};

const SIP: ScopeId = ScopeId(1);
const HOST: &str = "203.0.113.9";
/// The present, in seconds.
const NOW: i64 = 1_800_000_000;

/// A ban by `asterisk-guess` that began 100 s ago and was meant for 600 s, if it ends at all.
fn stored(bench: &Bench, ends_in: Option<i64>) -> Ban {
    let subject: Subject = HOST.parse().unwrap();
    Ban {
        jail: bench.engine.plan().jail_named("asterisk-guess").unwrap(),
        subject,
        host: subject.address(),
        scope: SIP,
        since: Time::from_secs(NOW + ends_in.unwrap_or(500) - 600),
        until: ends_in.map(|secs| Time::from_secs(NOW + secs)),
        offences: 5,
        evidence: Evidence::Proven,
        cause: Some((GUESS, 7)),
    }
}

fn element(bench: &Bench, ends_in: Option<i64>) -> KernelElement {
    let ban = stored(bench, ends_in);
    let element = Element { scope: SIP, subject: ban.subject, until: ban.until, jail: ban.jail };
    KernelElement { element, known_jail: true }
}

/// The only ban: offences, and in how many seconds it ends.
fn ban(bench: &Bench) -> Option<(u32, Option<i64>)> {
    assert!(bench.engine.bans().len() <= 1);
    let ban = bench.engine.bans().iter().next()?;
    Some((ban.offences, ban.until.map(|until| until.secs() - NOW)))
}

/// Returns what the kernel is told: in how many seconds the element ends, or that it goes.
#[expect(clippy::option_option, reason = "an element that goes, or one that may never end")]
fn told(bench: &mut Bench) -> Vec<Option<Option<i64>>> {
    let ends = |change: Change| match change {
        Change::Put(element) => Some(element.until.map(|until| until.secs() - NOW)),
        Change::Remove(..) => None,
    };
    bench.changes().into_iter().map(ends).collect()
}

type Ends = Option<Option<i64>>;
type Case = (Ends, Ends, Option<(u32, Option<i64>)>, &'static [Ends]);

#[test]
fn recovery_merges_store_and_kernel() {
    // Each case: what is stored, what the kernel has, and what the ban is then: offences and end;
    // what the kernel is told.
    let cases: [Case; 10] = [
        // Both, and they agree, also if the clocks are a little apart.
        (Some(Some(500)), Some(Some(500)), Some((5, Some(500))), &[]),
        (Some(Some(500)), Some(Some(501)), Some((5, Some(500))), &[]),
        (Some(None), Some(None), Some((5, None)), &[]),
        // Both: the later deadline, with the store's details.
        (Some(Some(500)), Some(Some(900)), Some((5, Some(900))), &[]),
        (Some(Some(500)), Some(Some(50)), Some((5, Some(500))), &[Some(Some(500))]),
        (Some(Some(500)), Some(None), Some((5, None)), &[]),
        // Over by the clock, but the kernel knows better: the clock was set.
        (Some(Some(-9)), Some(Some(60)), Some((5, Some(60))), &[]),
        // Only one of them.
        (None, Some(Some(60)), Some((0, Some(60))), &[]),
        (Some(Some(500)), None, Some((5, Some(500))), &[Some(Some(500))]),
        (Some(None), None, Some((5, None)), &[Some(None)]),
    ];
    for (at, (in_store, in_kernel, expected, changes)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new("");
        let bans = in_store.map(|ends| stored(&bench, ends)).into_iter().collect();
        let found: Vec<_> = in_kernel.map(|ends| element(&bench, ends)).into_iter().collect();
        let remembered = StoredBans { bans, ..StoredBans::default() };
        let now = Time::from_secs(NOW);
        bench.engine.recover(&remembered, &found, now, &mut bench.decisions);
        bench.engine.on_tick(now, &mut bench.decisions);
        assert_eq!(ban(&bench), expected, "case {at}");
        assert_eq!(told(&mut bench), changes, "case {at}");
    }
}

#[test]
fn recovery_reports_and_drops_expired_bans() {
    let mut bench = Bench::new("");
    let bans = vec![stored(&bench, Some(-9))];
    let remembered = StoredBans { bans, ..StoredBans::default() };
    let now = Time::from_secs(NOW);
    let taken = bench.engine.recover(&remembered, &[], now, &mut bench.decisions);
    assert_eq!(taken, RecoverySummary { expired: 1, ..RecoverySummary::default() });
    bench.engine.on_tick(now, &mut bench.decisions);
    assert_eq!(bench.said(), ["asterisk-guess Unban 203.0.113.9 Expired"]);
    assert_eq!(ban(&bench), None);
}

#[test]
fn lifted_ban_is_not_adopted_from_the_kernel() {
    for (ends_in, is_the_same) in [(Some(300), true), (Some(900), false), (None, false)] {
        let mut bench = Bench::new("");
        let lifted = vec![element(&bench, Some(300)).element];
        let found = [element(&bench, ends_in)];
        let remembered = StoredBans { lifted, ..StoredBans::default() };
        bench.engine.recover(&remembered, &found, Time::from_secs(NOW), &mut bench.decisions);
        assert_eq!(ban(&bench).is_none(), is_the_same, "{ends_in:?}");
        assert_eq!(told(&mut bench), if is_the_same { vec![None] } else { vec![] });
    }
}

#[test]
fn clock_set_back_prolongs_no_ban() {
    const DAY: i64 = 86400;
    let now = Time::from_secs(NOW - DAY);
    let saved = Some(Time::from_secs(NOW - 100));
    // After a reboot, the whole length at most; without one, what the kernel says.
    for (in_kernel, ends_in) in [(None, 600), (Some(500), 500)] {
        let mut bench = Bench::new("");
        let remembered =
            StoredBans { bans: vec![stored(&bench, Some(500))], saved, ..StoredBans::default() };
        let found: Vec<_> =
            in_kernel.map(|secs| element(&bench, Some(secs - DAY))).into_iter().collect();
        bench.engine.recover(&remembered, &found, now, &mut bench.decisions);
        assert_eq!(ban(&bench), Some((5, Some(ends_in - DAY))), "{in_kernel:?}");
    }
}

#[test]
fn element_of_two_jails_gets_the_longer_deadline() {
    let mut bench = Bench::new("");
    let scan = bench.engine.plan().jail_named("asterisk-scan").unwrap();
    let short = stored(&bench, Some(100));
    let long = Ban { jail: scan, ..stored(&bench, Some(500)) };
    let remembered = StoredBans { bans: vec![short, long], ..StoredBans::default() };
    let now = Time::from_secs(NOW);
    let taken = bench.engine.recover(&remembered, &[], now, &mut bench.decisions);
    assert_eq!(taken, RecoverySummary { missing: 1, ..RecoverySummary::default() });
    assert_eq!(told(&mut bench), [Some(Some(500))]);
    assert_eq!(bench.engine.bans().len(), 2);
}

#[test]
fn stored_history_makes_bans_grow() {
    let mut bench = Bench::new("");
    let now = Time::from_secs(NOW);
    let earlier = |since: i64, length: i64| Ban {
        since: Time::from_secs(NOW + since),
        until: Some(Time::from_secs(NOW + since + length)),
        ..stored(&bench, None)
    };
    let past = vec![earlier(-9000, 600), earlier(-4000, 2400)];
    let remembered = StoredBans { past, ..StoredBans::default() };
    bench.engine.recover(&remembered, &[], now, &mut bench.decisions);
    for _ in 0..5 {
        bench.offence(GUESS, HOST, NOW);
    }
    // 10 minutes, 40, and now 160.
    assert_eq!(ban(&bench).unwrap().1, Some(160 * 60));
}

/// A host by its last number.
fn host(n: u8) -> Subject {
    format!("203.0.113.{n}").parse().unwrap()
}

#[test]
fn a_kernel_that_is_listed_late_undoes_nothing() {
    let mut bench = Bench::new("");
    let of = |bench: &Bench, n: u8, ends_in| Ban { subject: host(n), ..stored(bench, ends_in) };
    let held = |bench: &Bench, n: u8, ends_in: i64| {
        let mut known = element(bench, Some(ends_in));
        known.element.subject = host(n);
        known
    };
    let remembered = StoredBans {
        bans: [1, 2, 3, 4].map(|n| of(&bench, n, Some(500))).to_vec(),
        lifted: [7, 8].map(|n| held(&bench, n, 300).element).to_vec(),
        ..StoredBans::default()
    };
    let now = Time::from_secs(NOW);
    let mut awaited = bench.engine.recover_stored(&remembered, now);
    assert_eq!(bench.engine.bans().len(), 4);
    assert_eq!(bench.changes(), [], "the store is trusted");
    // Meanwhile: one is lifted, one gets another end, one is new.
    bench.engine.unban(host(2), None, &mut bench.decisions);
    let shorter = bench.engine.bans.put(of(&bench, 3, Some(20))).unwrap();
    let new = bench.engine.bans.put(of(&bench, 5, Some(600))).unwrap();
    let meanwhile = bench.changes();
    assert_eq!(meanwhile, [Change::Remove(SIP, host(2))]);
    bench.decisions.clear();
    meanwhile.iter().chain([&shorter, &new]).for_each(|change| awaited.tell(change));
    // As it was before: with the two of which only the kernel knows, one of them over, and one that was lifted.
    let found = [(1, 500), (2, 500), (3, 500), (6, 100), (7, 300), (9, 0)];
    let found = found.map(|(n, ends)| held(&bench, n, ends));
    let taken = bench.engine.recover_held(&awaited, &found, now, &mut bench.decisions);
    let counts = (taken.kept, taken.missing, taken.adopted, taken.lifted, taken.expired);
    assert_eq!(counts, (3, 1, 1, 1, 0));
    let banned: Vec<_> = bench.engine.bans().iter().map(|ban| (ban.subject, ban.until)).collect();
    let ends = [(1, 500), (3, 20), (4, 500), (5, 600), (6, 100)];
    assert_eq!(banned, ends.map(|(n, ends)| (host(n), Some(Time::from_secs(NOW + ends)))));
    let missing = Change::Put(Element { subject: host(4), ..element(&bench, Some(500)).element });
    assert_eq!(bench.changes(), [missing, Change::Remove(SIP, host(7))]);
}

#[test]
fn what_was_lifted_goes_before_numbers_change() {
    let mut bench = Bench::new("");
    let lifted = [1, 2].map(|n| Element { subject: host(n), ..element(&bench, Some(300)).element });
    let bans = vec![Ban { subject: host(1), ..stored(&bench, Some(500)) }];
    let remembered = StoredBans { bans, lifted: lifted.to_vec(), ..StoredBans::default() };
    let mut awaited = bench.engine.recover_stored(&remembered, Time::from_secs(NOW));
    let mut told = awaited.settle(bench.engine.bans());
    told.sort_by_key(|change| change.key().1);
    let again = Element { subject: host(1), ..element(&bench, Some(500)).element };
    assert_eq!(told, [Change::Put(again), Change::Remove(SIP, host(2))]);
    assert_eq!(awaited.settle(bench.engine.bans()), []);
}
