//! What the engine decides, event by event.

mod clock;
mod restart;

use std::time::Duration;

use super::*;
use crate::account::Account;
use crate::config;
use crate::event::{Change, RuleId};
use crate::rules::RuleSet;
use crate::sink::Adopted;

const RULES: &str = r"
[[rule]]
id = 'guess'
failregex = '^a\.c: <HOST> guessed$'
class = 'guess'
evidence = 'proven'
[[rule]]
id = 'scan'
failregex = '^a\.c: <HOST> scanned$'
class = 'scan'
evidence = 'unverified'
[[rule]]
id = 'login'
failregex = '^a\.c: <HOST> came in$'
class = 'success'
evidence = 'proven'
";
const GUESS: RuleId = RuleId(0);
const SCAN: RuleId = RuleId(1);
const LOGIN: RuleId = RuleId(2);

/// A plan with the built-in jails and what `config` says otherwise.
fn plan(config: &str) -> Arc<Plan> {
    let rules = RuleSet::parse(&[("asterisk-test.toml".into(), RULES.to_owned())]).unwrap();
    let sources = [("test.toml".into(), config.to_owned())];
    let config =
        config::load::parse(&sources, &rules.filters()).unwrap_or_else(|wrong| panic!("{wrong}"));
    Arc::new(Plan::new(config, Arc::new(rules)))
}

/// An engine whose channel 0 is read by all jails, and what it decided.
struct Bench {
    engine: Engine,
    line: u64,
    decisions: Vec<Decision>,
}

impl Bench {
    fn new(config: &str) -> Self {
        let plan = plan(config);
        let mut engine = Engine::new(Arc::clone(&plan));
        engine.open_channel(plan.jails().map(|(id, _)| id).collect());
        Self { engine, line: 0, decisions: Vec::new() }
    }

    /// An offence that `rule` tells of, at `secs`.
    fn offence(&mut self, rule: RuleId, host: &str, secs: i64) {
        let evidence = if rule == GUESS { Evidence::Proven } else { Evidence::Unverified };
        self.event(rule, host, secs, evidence);
    }

    fn event(&mut self, rule: RuleId, host: &str, secs: i64, evidence: Evidence) {
        self.account_event(rule, host, secs, evidence, None);
    }

    fn account_event(
        &mut self,
        rule: RuleId,
        host: &str,
        secs: i64,
        evidence: Evidence,
        account: Option<&str>,
    ) {
        self.line += 1;
        let event = Event {
            time: Time::from_secs(secs),
            channel: ChannelId(0),
            rule,
            meaning: self.engine.plan().rules.get(rule).unwrap().meaning,
            host: host.parse().unwrap(),
            evidence,
            line: self.line,
            account: account.and_then(|name| Account::named(name.as_bytes())),
        };
        self.engine.on_event(&event, &mut self.decisions);
    }

    /// What was decided since the last call, in fail2ban's words.
    fn said(&mut self) -> Vec<String> {
        let plan = Arc::clone(self.engine.plan());
        let jail = |id: JailId| plan.jail(id).unwrap().name.clone();
        let words = |decision: Decision| match decision {
            Decision::Ban(ban) => {
                let length = ban.until.map_or(0, |until| until.since(ban.since).as_secs());
                let scope = &plan.structure.scopes[usize::from(ban.scope.0)].name;
                Some(format!("{} Ban {} {scope} {length}", jail(ban.jail), ban.subject))
            }
            Decision::Renewed(ban) => {
                let length = ban.until.map_or(0, |until| until.since(ban.since).as_secs());
                Some(format!("{} Renew {} {length}", jail(ban.jail), ban.subject))
            }
            Decision::Observed(ban) => {
                Some(format!("{} Would ban {}", jail(ban.jail), ban.subject))
            }
            Decision::Unban { jail: id, subject, why } => {
                Some(format!("{} Unban {subject} {why:?}", jail(id)))
            }
            Decision::FloodBegins => Some("flood".to_owned()),
            Decision::FloodEbbs { withheld } => Some(format!("ebb after {withheld}")),
            Decision::AccountsFail(report) => Some(format!(
                "{} known fail at {}, {} unknown",
                report.known, report.subject, report.unknown
            )),
            Decision::Found { .. } | Decision::Change(_) => None,
        };
        self.decisions.drain(..).filter_map(words).collect()
    }

    fn changes(&self) -> Vec<Change> {
        let changes = self.decisions.iter().filter_map(|decision| match decision {
            Decision::Change(change) => Some(*change),
            _ => None,
        });
        changes.collect()
    }
}

#[test]
fn enough_offences_ban() {
    let mut bench = Bench::new("");
    for second in 0..5 {
        assert!(bench.said().is_empty());
        bench.offence(GUESS, "203.0.113.9", second);
    }
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 600"]);
    // Lines that were written before the ban took hold do not ban again.
    for _ in 0..20 {
        bench.offence(GUESS, "203.0.113.9", 5);
    }
    assert!(bench.said().is_empty());
    bench.engine.on_tick(Time::from_secs(604), &mut bench.decisions);
    assert_eq!(bench.said(), ["asterisk-guess Unban 203.0.113.9 Expired"]);
    assert!(bench.changes().is_empty(), "the kernel lets go by itself");
}

#[test]
fn a_proven_ban_of_a_host_that_knocks_begins_anew() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nrenew = true\n");
    let (host, forged) = ("2001:db8::9", "203.0.113.10");
    for second in 0..5 {
        bench.offence(GUESS, host, second);
        bench.event(GUESS, forged, second, Evidence::Unverified);
        bench.offence(SCAN, "203.0.113.11", second);
    }
    assert_eq!(bench.said().len(), 3);
    // Scope 1 is `sip`. The network's key stands for the host.
    let key = |host: &str| (ScopeId(1), host.parse().unwrap());
    let knock = ["2001:db8::", forged, "203.0.113.11", "203.0.113.99"].map(key);
    let renew = |bench: &mut Bench, secs| {
        bench.engine.renew(&knock, Time::from_secs(secs), &mut bench.decisions);
    };
    renew(&mut bench, 303);
    assert!(bench.decisions.is_empty(), "half of it is left");
    renew(&mut bench, 305);
    let until = Some(Time::from_secs(905));
    assert!(matches!(bench.changes()[..], [Change::Put(element)] if element.until == until));
    assert_eq!(bench.said(), ["asterisk-guess Renew 2001:db8::/64 600"]);
    bench.engine.on_tick(Time::from_secs(700), &mut bench.decisions);
    assert_eq!(bench.said().len(), 2, "the others are over");
    renew(&mut bench, 905);
    assert!(bench.decisions.is_empty(), "over");
    bench.engine.on_tick(Time::from_secs(905), &mut bench.decisions);
    assert_eq!(bench.said(), ["asterisk-guess Unban 2001:db8::/64 Expired"]);
}

/// The bans of a host that guesses as often as it is banned for, each time after a pause in seconds.
fn bans_after(config: &str, pauses: &[i64]) -> Vec<String> {
    let mut bench = Bench::new(config);
    let (mut bans, mut now) = (Vec::new(), 0);
    for pause in pauses {
        now += pause;
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        bench.said();
        (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", now));
        bans.extend(bench.said());
    }
    bans
}

#[test]
fn bans_get_longer_until_a_host_has_been_quiet() {
    let without = "[jail.recidive]\nenabled = false\n";
    let lengths = |pauses: &[i64]| -> Vec<String> {
        let last_word = |ban: String| ban.rsplit(' ').next().map(str::to_owned);
        bans_after(without, pauses).into_iter().filter_map(last_word).collect()
    };
    let pauses = [0, 700, 3000, 10_000, 40_000, 90_000];
    assert_eq!(lengths(&pauses), ["600", "2400", "9600", "38400", "86400", "86400"]);
    // Each day of quiet takes one ban back, from the four that it takes to the longest.
    for (days, length) in [(0, "86400"), (1, "38400"), (3, "2400"), (4, "600"), (60, "600")] {
        let lengths = lengths(&[&pauses[..], &[86_400 * (days + 1)]].concat());
        assert_eq!(lengths[6], length, "{days} days");
    }
}

#[test]
fn the_bans_of_all_jails_can_make_the_next_one_longer() {
    for (all, length) in [("false", 600), ("true", 2400)] {
        let mut bench = Bench::new(&format!("[default]\nbantime = {{ overalljails = {all} }}"));
        (0..3).for_each(|_| bench.event(SCAN, "203.0.113.9", 0, Evidence::Proven));
        assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 all 3600"]);
        bench.engine.on_tick(Time::from_secs(3600), &mut bench.decisions);
        bench.said();
        (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 3600));
        assert_eq!(bench.said(), [format!("asterisk-guess Ban 203.0.113.9 sip {length}")]);
    }
}

#[test]
fn the_end_of_a_ban_cannot_be_foretold() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nbantime = { rndtime = '10m' }");
    for host in 0..64 {
        (0..5).for_each(|_| bench.offence(GUESS, &format!("203.0.113.{host}"), 0));
    }
    let said = bench.said();
    let length = |ban: &String| ban.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    let lengths: std::collections::BTreeSet<_> = said.iter().map(length).collect();
    assert!(lengths.iter().all(|length| (600..=1200).contains(length)), "{lengths:?}");
    assert!(lengths.len() > 32, "{lengths:?}");
}

#[test]
fn who_is_banned_again_and_again_is_banned_for_long() {
    let short = "[jail.asterisk-guess]\nbantime = 60\n[jail.recidive]\nmaxretry = 3\n";
    let bans = bans_after(short, &[0, 61, 61]);
    let ban = "asterisk-guess Ban 203.0.113.9 sip 60";
    assert_eq!(bans, [ban, ban, ban, "recidive Ban 203.0.113.9 all 604800"]);
    // Too seldom.
    assert_eq!(bans_after(short, &[0, 43_200, 43_200]), [ban; 3]);
    // By another jail, and not alone by proof.
    let mut bench = Bench::new("[jail.recidive]\nmaxretry = 2\n");
    (0..3).for_each(|_| bench.event(SCAN, "203.0.113.9", 0, Evidence::Proven));
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 1));
    assert!(bench.said().iter().any(|said| said.starts_with("recidive")));
    let mut bench = Bench::new("[jail.recidive]\nmaxretry = 1\n");
    (0..3).for_each(|_| bench.offence(SCAN, "203.0.113.9", 0));
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 sip 600"]);
    // Nor for those that it ignores.
    let ignores = "[jail.recidive]\nmaxretry = 1\nignoreip = '203.0.113.9'\n";
    assert_eq!(bans_after(ignores, &[0]).len(), 1);
    let observes = "[jail.recidive]\nmaxretry = 1\nmode = 'observe'\n";
    assert_eq!(bans_after(observes, &[0])[1], "recidive Would ban 203.0.113.9");
}

/// Somebody who comes back an hour after each ban, for thirty days, and once more after a fortnight.
#[test]
fn thirty_days_of_coming_back() {
    const HOUR: i64 = 3600;
    let mut bench = Bench::new("[jail.recidive]\nfindtime = '1w'\n");
    let (mut now, mut bans) = (0, Vec::new());
    let mut come = |now: i64| {
        bench.engine.on_tick(Time::from_secs(now), &mut bench.decisions);
        bench.said();
        (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", now));
        let latest = bench.engine.bans().iter().filter_map(|ban| ban.until).max();
        let time = format!("{}d {:02}:{:02}", now / 86_400, now / HOUR % 24, now / 60 % 60);
        bans.extend(bench.said().iter().map(|said| format!("{time} {said}")));
        latest.map_or(now, Time::secs)
    };
    while now < 30 * 86_400 {
        now = come(now) + HOUR;
    }
    come(now + 14 * 86_400);
    let short: Vec<_> = bans.iter().map(|ban| ban.replace(" Ban 203.0.113.9", "")).collect();
    insta::assert_snapshot!(short.join("\n"), @r"
    0d 00:00 asterisk-guess sip 600
    0d 01:10 asterisk-guess sip 2400
    0d 02:50 asterisk-guess sip 9600
    0d 06:30 asterisk-guess sip 38400
    0d 18:10 asterisk-guess sip 86400
    0d 18:10 recidive all 604800
    7d 19:10 asterisk-guess sip 86400
    8d 20:10 asterisk-guess sip 86400
    9d 21:10 asterisk-guess sip 86400
    10d 22:10 asterisk-guess sip 86400
    11d 23:10 asterisk-guess sip 86400
    11d 23:10 recidive all 604800
    19d 00:10 asterisk-guess sip 86400
    20d 01:10 asterisk-guess sip 86400
    21d 02:10 asterisk-guess sip 86400
    22d 03:10 asterisk-guess sip 86400
    23d 04:10 asterisk-guess sip 86400
    23d 04:10 recidive all 604800
    44d 05:10 asterisk-guess sip 600
    ");
}

#[test]
fn unverified_evidence_has_its_own_punishment() {
    let mut bench = Bench::new("");
    (0..3).for_each(|_| bench.offence(SCAN, "203.0.113.9", 0));
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 sip 600"]);
    // Proof of the same is worth a real ban on top.
    (0..3).for_each(|_| bench.event(SCAN, "203.0.113.9", 1, Evidence::Proven));
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 all 3600"]);
    // Two proven offences and one unverified are unverified together.
    (0..2).for_each(|_| bench.event(SCAN, "203.0.113.8", 2, Evidence::Proven));
    bench.offence(SCAN, "203.0.113.8", 2);
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.8 sip 600"]);
}

#[test]
fn hearsay_bans_nobody_unless_it_is_told_to() {
    let mut bench = Bench::new("");
    (0..50).for_each(|_| bench.event(GUESS, "203.0.113.9", 0, Evidence::Hearsay));
    assert!(bench.said().is_empty());
    let numbers = bench
        .engine
        .numbers(bench.engine.plan().jail_named("asterisk-guess").unwrap(), Time::from_secs(0));
    assert_eq!(numbers.unwrap().tally.hearsay, 50);

    let mut bench = Bench::new("[default]\nhearsay = 'count'");
    (0..5).for_each(|_| bench.event(GUESS, "203.0.113.9", 0, Evidence::Hearsay));
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 600"]);
}

#[test]
fn some_hosts_are_never_banned() {
    let mut bench = Bench::new("[default]\nignoreip = '203.0.113.0/24 2001:db8:1::/48'");
    for host in
        ["203.0.113.9", "2001:db8:1:2::9", "127.0.0.1", "fe80::1", "0.0.0.0", "224.0.0.1", "::1"]
    {
        (0..9).for_each(|_| bench.offence(GUESS, host, 0));
    }
    assert!(bench.said().is_empty());
}

fn gateway(host: &str) -> crate::ignored::Entry {
    let host: IpAddr = host.parse().unwrap();
    crate::ignored::Entry::new(host, crate::ignored::Origin::Gateway)
}

#[test]
fn a_host_that_is_found_to_be_ours_is_let_in_and_stays_in() {
    let mut bench = Bench::new("");
    for host in ["203.0.113.8", "203.0.113.9", "2001:db8:1:2::9"] {
        (0..5).for_each(|_| bench.offence(GUESS, host, 0));
    }
    assert_eq!(bench.said().len(), 3);
    bench.decisions.clear();
    let list = vec![gateway("203.0.113.9"), gateway("2001:db8:1:2::1")];
    bench.engine.protect(
        Arc::new(IgnoreList::new(list, std::collections::BTreeMap::new())),
        &mut bench.decisions,
    );
    // Its neighbour in the same network stays out; the kernel lets the gateway itself pass.
    assert_eq!(bench.said(), ["asterisk-guess Unban 203.0.113.9 Ignored"]);
    (0..9).for_each(|_| bench.offence(GUESS, "203.0.113.9", 1));
    bench.reload("");
    (0..9).for_each(|_| bench.offence(GUESS, "::ffff:203.0.113.9", 2));
    assert!(bench.said().is_empty(), "a reload changes nothing about it");

    bench.engine.protect(Arc::default(), &mut bench.decisions);
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 3));
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 2400"]);
}

#[test]
fn the_names_that_a_jail_ignores_are_ignored_by_that_jail() {
    let config = "[jail.asterisk-guess]\nignoreip = 'phone.example'";
    let mut bench = Bench::new(config);
    let host = "203.0.113.9".parse().unwrap();
    let names = [("phone.example".parse().unwrap(), vec![host])].into();
    bench.engine.protect(Arc::new(IgnoreList::new(Vec::new(), names)), &mut bench.decisions);
    (0..9).for_each(|_| bench.offence(GUESS, "203.0.113.9", 0));
    (0..3).for_each(|_| bench.offence(SCAN, "203.0.113.9", 0));
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.9 sip 600"]);
}

#[test]
fn of_a_network_that_this_machine_is_in_only_one_address_is_banned() {
    let mut bench = Bench::new("");
    let near = |bench: &mut Bench, nets: &[&str]| {
        let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
        let list = IgnoreList::default().with_on_link(nets);
        bench.engine.protect(Arc::new(list), &mut bench.decisions);
    };
    near(&mut bench, &["2001:db8:1:2::/64"]);
    (0..5).for_each(|n| bench.offence(GUESS, &format!("2001:db8:1:2::{n:x}"), 0));
    (0..5).for_each(|_| bench.offence(GUESS, "2001:db8:1:2::9", 0));
    (0..9).for_each(|_| bench.offence(GUESS, "2001:db8:1:2::", 0));
    (0..5).for_each(|_| bench.offence(GUESS, "2001:db8:1:3::9", 0));
    assert_eq!(
        bench.said(),
        [
            "asterisk-guess Ban 2001:db8:1:2::9 sip 600",
            "asterisk-guess Ban 2001:db8:1:3::/64 sip 600"
        ]
    );
    bench.decisions.clear();
    near(&mut bench, &["2001:db8:1:3::/80"]);
    let keys: Vec<_> = bench.changes().iter().map(|change| change.key().1.to_string()).collect();
    assert_eq!(keys, ["2001:db8:1:3::/64", "2001:db8:1:3::9"]);
    assert!(bench.said().is_empty(), "it is the same ban");
    bench.decisions.clear();
    bench.reload("[default]\nipv6prefix = 56");
    assert!(bench.changes().is_empty(), "single addresses stay what they are");
    assert_eq!(bench.engine.bans().len(), 2);
}

#[test]
fn an_ipv6_network_is_one_subject() {
    let mut bench = Bench::new("");
    (0..5).for_each(|n| bench.offence(GUESS, &format!("2001:db8:1:2::{n:x}"), 0));
    assert_eq!(bench.said(), ["asterisk-guess Ban 2001:db8:1:2::/64 sip 600"]);
}

#[test]
fn an_observing_jail_says_it_once() {
    let mut bench = Bench::new("[default]\nmode = 'observe'");
    (0..50).for_each(|_| bench.offence(GUESS, "203.0.113.9", 0));
    assert!(bench.changes().is_empty());
    assert_eq!(bench.said(), ["asterisk-guess Would ban 203.0.113.9"]);
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 1000));
    assert_eq!(bench.said(), ["asterisk-guess Would ban 203.0.113.9"]);
}

#[test]
fn bans_by_hand_and_their_lifting() {
    let mut bench = Bench::new("");
    let now = Time::from_secs(0);
    let host = "203.0.113.9".parse().unwrap();
    let minute = Some(Lasting::For(Duration::from_secs(60)));
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    for order in
        [Order { host, jail: None, length: None }, Order { host, jail: guess, length: minute }]
    {
        bench.engine.ban(&order, now, &mut bench.decisions);
    }
    assert_eq!(
        bench.said(),
        ["manual Ban 203.0.113.9 all 0", "asterisk-guess Ban 203.0.113.9 sip 60"]
    );
    let other = "203.0.113.8/32".parse().unwrap();
    assert_eq!(bench.engine.unban(&other, None, &mut bench.decisions), 0);
    assert_eq!(
        bench.engine.unban(&"203.0.113.0/24".parse().unwrap(), guess, &mut bench.decisions),
        1
    );
    assert_eq!(bench.engine.unban(&IpNet::from(host), None, &mut bench.decisions), 1);
    assert_eq!(bench.changes().len(), 2);
    assert!(bench.engine.bans().is_empty());
}

#[test]
fn bans_found_in_the_kernel_go_on() {
    let mut bench = Bench::new("");
    let guess = bench.engine.plan().jail_named("asterisk-guess").unwrap();
    let element = |host: &str| Element {
        scope: ScopeId(1),
        subject: host.parse().unwrap(),
        until: Some(Time::from_secs(60)),
        jail: guess,
    };
    let found = [
        Adopted { element: element("203.0.113.9"), known_jail: true },
        Adopted { element: element("203.0.113.8"), known_jail: false },
    ];
    bench.engine.adopt(&found, Time::from_secs(0));
    bench.engine.on_tick(Time::from_secs(60), &mut bench.decisions);
    assert_eq!(
        bench.said(),
        ["manual Unban 203.0.113.8 Expired", "asterisk-guess Unban 203.0.113.9 Expired"]
    );
}

impl Bench {
    fn reload(&mut self, config: &str) {
        let plan = plan(config);
        self.engine.change(Arc::clone(&plan), &mut self.decisions);
        self.engine.change_channel(ChannelId(0), plan.jails().map(|(id, _)| id).collect());
    }
}

#[test]
fn a_reload_keeps_the_counts() {
    let mut bench = Bench::new("");
    (0..4).for_each(|_| bench.offence(GUESS, "203.0.113.9", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "203.0.113.8", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "2001:db8::1", 0));
    bench
        .reload("[jail.aaa]\nfilter='asterisk-*'\nclass='acl'\n[jail.asterisk-scan]\nmaxretry = 4");
    bench.offence(GUESS, "203.0.113.9", 1);
    bench.offence(SCAN, "203.0.113.8", 1);
    assert_eq!(bench.said(), ["asterisk-guess Ban 203.0.113.9 sip 600"]);
    bench.offence(SCAN, "203.0.113.8", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.8 sip 600"], "the fourth of four");
    // Fewer offences are enough now: that shows at the next one.
    bench.reload("[jail.asterisk-scan]\nmaxretry = 2");
    assert_eq!(bench.said(), [""; 0]);
    bench.offence(SCAN, "2001:db8::2", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 2001:db8::/64 sip 600"]);
}

#[test]
fn with_another_ipv6_prefix_counts_of_ipv6_begin_anew() {
    let mut bench = Bench::new("");
    (0..2).for_each(|_| bench.offence(SCAN, "203.0.113.8", 0));
    (0..2).for_each(|_| bench.offence(SCAN, "2001:db8::1", 0));
    bench.reload("[default]\nipv6prefix = 48");
    bench.offence(SCAN, "203.0.113.8", 1);
    bench.offence(SCAN, "2001:db8::1", 1);
    assert_eq!(bench.said(), ["asterisk-scan Ban 203.0.113.8 sip 600"]);
}

#[test]
fn a_reload_keeps_bans_and_lifts_those_of_hosts_that_are_ignored_now() {
    let mut bench = Bench::new(
        "[jail.web]\nfilter='asterisk-*'\nclass='guess'\nport='web'\nmaxretry=5\n[ports]\nweb=[80]",
    );
    for host in ["203.0.113.8", "203.0.113.9"] {
        (0..5).for_each(|_| bench.offence(GUESS, host, 0));
    }
    assert_eq!(bench.said().len(), 4);
    bench.reload("[default]\nignoreip = '203.0.113.9'");
    assert_eq!(
        bench.said(),
        [
            "manual Unban 203.0.113.8 ByHand",
            "manual Unban 203.0.113.9 ByHand",
            "asterisk-guess Unban 203.0.113.9 Ignored"
        ],
        "without its ports, a ban has no meaning"
    );
    assert_eq!(bench.engine.bans().len(), 1);
}

#[test]
fn a_reload_with_another_ipv6_prefix_gives_bans_their_new_keys() {
    let mut bench = Bench::new("");
    (0..5).for_each(|_| bench.offence(GUESS, "2001:db8:1:2::9", 0));
    bench.decisions.clear();
    let plan = Arc::clone(bench.engine.plan());
    assert_eq!(bench.engine.rekeyed(&plan), [], "nothing changes");
    bench.reload("[default]\nipv6prefix = 56");
    assert!(bench.changes().is_empty(), "the kernel has been told as the structure was loaded");
    let bans: Vec<_> = bench.engine.bans().iter().map(|ban| ban.subject.to_string()).collect();
    assert_eq!(bans, ["2001:db8:1::/56"]);
    let back: Vec<_> = bench.engine.rekeyed(&plan);
    let back: Vec<_> = back.iter().map(|element| element.subject.to_string()).collect();
    assert_eq!(back, ["2001:db8:1:2::/64"]);
}

const OFFICE: &str = "203.0.113.7";

impl Bench {
    fn login(&mut self, host: &str, account: &str, evidence: Evidence) {
        self.account_event(LOGIN, host, 0, evidence, Some(account));
    }

    fn tick(&mut self, secs: i64) {
        self.engine.on_tick(Time::from_secs(secs), &mut self.decisions);
    }
}

#[test]
fn a_site_with_an_old_password_is_reported_and_not_banned() {
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
fn one_valid_account_is_no_shield() {
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
    // Four that can be forged are excused.
    assert_eq!(bans_by(many, GUESS, Evidence::Unverified), Some(8));
    assert_eq!(bans_by(|_| "2000".to_owned(), SCAN, Evidence::Unverified), Some(6));
    // The account that he has the password of, or one of a neighbour.
    assert_eq!(bans_by(|_| "1000".to_owned(), GUESS, Evidence::Unverified), Some(33));
}

#[test]
fn what_makes_nobody_known_good() {
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
fn a_ban_by_hand_beats_known_good_and_a_reload_keeps_it() {
    let mut bench = Bench::new("");
    bench.login(OFFICE, "1000", Evidence::Proven);
    bench.reload("[default]\nmaxretry = 1\nmaxunverified = 7");
    bench.account_event(GUESS, OFFICE, 0, Evidence::Proven, Some("1000"));
    assert!(bench.said().is_empty());
    let order = Order { host: OFFICE.parse().unwrap(), jail: None, length: None };
    bench.engine.ban(&order, Time::from_secs(1), &mut bench.decisions);
    assert_eq!(bench.said(), [format!("manual Ban {OFFICE} all 0")]);
}

#[test]
fn a_flood_of_forged_packets_bans_a_hundred_a_minute_at_most() {
    const SOURCES: u32 = 90_000;
    let host = |n: u32| std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
    let mut bench = Bench::new("");
    // 15 seconds; in the middle of it somebody guesses over TCP.
    for n in 0..SOURCES {
        let second = i64::from(n / 6000);
        (0..3).for_each(|_| bench.offence(SCAN, &host(n), second));
        if n % 10_000 == 0 {
            bench.offence(GUESS, "203.0.113.9", second);
            bench.tick(second);
        }
        bench
            .decisions
            .retain(|decision| !matches!(decision, Decision::Found { .. } | Decision::Change(_)));
    }
    assert_eq!(bench.engine.flood(), Some((Time::from_secs(0), u64::from(SOURCES) - 100)));
    assert_eq!(bench.engine.bans().len(), 101);
    let said = bench.said();
    assert_eq!(said.iter().filter(|said| *said == "flood").count(), 1, "one word about it");
    assert!(said.contains(&"asterisk-guess Ban 203.0.113.9 sip 600".to_owned()));
    assert_eq!(said.len(), 102);

    // It goes on a little, then ebbs.
    for n in 0..200 {
        bench.tick(61);
        (0..3).for_each(|_| bench.offence(SCAN, &host(n + 200_000), 61));
    }
    assert!(bench.said().is_empty());
    bench.tick(121);
    bench.offence(SCAN, &host(0), 125);
    bench.tick(182);
    assert_eq!(bench.said(), ["ebb after 90100"]);
    (0..3).for_each(|_| bench.offence(SCAN, &host(70_000), 190));
    assert_eq!(bench.said(), [format!("asterisk-scan Ban {} sip 600", host(70_000))]);
}

#[test]
fn a_clock_that_jumps_a_day_lets_nobody_off() {
    const NOON: i64 = 10 * 86_400;
    for jump in [-86_400, 86_400] {
        let mut bench = Bench::new("");
        (0..4).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + second));
        bench.tick(NOON + 4);
        // Another host starts from nothing.
        bench.tick(NOON + jump);
        bench.offence(GUESS, "192.0.2.2", NOON + jump);
        assert_eq!(bench.said(), [""; 0], "{jump}");
        // Five more are a ban, whatever is remembered of the first four.
        (0..5).for_each(|second| bench.offence(GUESS, "192.0.2.1", NOON + jump + second));
        assert_eq!(bench.said(), ["asterisk-guess Ban 192.0.2.1 sip 600"], "{jump}");
        // The ban is over when the clock says so.
        bench.tick(NOON + jump + 599);
        assert_eq!(bench.said(), [""; 0], "{jump}");
        bench.tick(NOON + jump + 700);
        assert_eq!(bench.said(), ["asterisk-guess Unban 192.0.2.1 Expired"], "{jump}");
    }
}
