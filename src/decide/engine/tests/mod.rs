//! Tests for what the engine decides, event by event.

mod ban_rate_limit;
mod clock_step;
mod earlier;
mod effect;
mod growing;
mod known_good;
mod new_networks;
mod order;
mod peers;
mod recovery;
mod reload;
mod shared;
mod thirty_days;
mod totals;
mod watch;

use std::time::Duration;

use super::*;
use crate::config;
use crate::model::account::Account;
use crate::model::event::{
    Basis, Change, Class, Clue, Event, KernelElement, Meaning, RuleId, SIP_RESPONSES,
};
use crate::model::exchange::Transport;
use crate::model::exchange::{Carrier, Exchange, ExchangeId, Method, Outcome, Protocol, Source};
use crate::model::time::BanDuration;
use crate::rules::RuleSet;

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
[[rule]]
id = 'sip-guess'
failregex = '^a\.c: <HOST> guessed by SIP$'
class = 'guess'
evidence = 'proven'
service = 'pjsip'
";
const GUESS: RuleId = RuleId(0);
const SCAN: RuleId = RuleId(1);
const LOGIN: RuleId = RuleId(2);
const SIP_GUESS: RuleId = RuleId(3);

/// An order to ban.
fn by_hand(whom: &str, jail: Option<JailId>, length: Option<BanDuration>) -> ManualBan {
    ManualBan { whom: whom.parse().unwrap(), jail, length, manner: Manner::Set }
}

/// Without the jail that counts what the others count, for longer.
const NOT_SLOW: &str = "[jail.asterisk-slow]\nenabled = false\n";

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

/// An exchange in which credentials were refused.
fn refused(source: Source) -> Exchange {
    Exchange {
        protocol: Protocol::Sip,
        outcome: Outcome::CredentialsRefused,
        method: Method::Register,
        status: 401,
        port: 5060,
        carrier: Carrier::Datagram,
        source,
    }
}

impl Bench {
    fn new(config: &str) -> Self {
        Self::of(plan(config))
    }

    fn of(plan: Arc<Plan>) -> Self {
        let jails: Vec<_> = plan.jails().map(|(id, _)| id).collect();
        let mut engine = Engine::new(plan);
        engine.open_channel(jails);
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
        let event = self.fresh_event(rule, host, secs, evidence);
        let account = account.and_then(|name| Account::named(name.as_bytes()));
        self.engine.on_event(&Event { account, ..event }, &mut self.decisions);
    }

    /// An unverified offence that another source than a log tells of.
    fn exchange_event(&mut self, rule: RuleId, host: &str, secs: i64, source: Source) {
        let event = self.fresh_event(rule, host, secs, Evidence::Unverified);
        let exchange = Exchange {
            protocol: Protocol::Sip,
            outcome: Outcome::RefusedOutright,
            method: Method::Invite,
            status: 404,
            port: 5060,
            carrier: Carrier::Datagram,
            source,
        };
        self.engine
            .on_event(&Event { basis: Basis::Exchange(exchange), ..event }, &mut self.decisions);
    }

    fn fresh_event(&mut self, rule: RuleId, host: &str, secs: i64, evidence: Evidence) -> Event {
        self.line += 1;
        Event {
            time: Time::from_secs(secs),
            channel: ChannelId(0),
            rule,
            meaning: self.engine.plan().rules.get(rule).unwrap().meaning,
            host: host.parse().unwrap(),
            evidence,
            line: self.line,
            account: None,
            basis: Basis::Text,
            clue: Clue::default(),
        }
    }

    /// Returns what was decided since the last call, in fail2ban's words.
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
            Decision::FloodBegins(origin) => Some(format!("flood by {origin}")),
            Decision::FloodEbbs { origin, withheld } => {
                Some(format!("ebb of {origin} after {withheld}"))
            }
            Decision::AccountsFail(report) => Some(format!(
                "{} known fail at {}, {} unknown",
                report.known, report.subject, report.unknown
            )),
            Decision::StrangerFails { jail: id, subject, failures, others, .. } => {
                Some(format!("{} fails at {subject}: {failures} beside {others}", jail(id)))
            }
            Decision::AccountTargeted(Targeted { account, hosts, .. }) => {
                Some(format!("{account} is guessed at by {hosts}"))
            }
            Decision::NewNetwork(login) => {
                Some(format!("{} from {} in {}", login.account, login.host, login.network))
            }
            Decision::AccountRoams(roams) => Some(format!("{} roams", roams.account)),
            Decision::NewNetworksWithheld(logins) => Some(format!("{logins} alarms withheld")),
            Decision::WithoutEffect(found) => Some(format!(
                "{} no effect {} {} packets to {} {:?}",
                jail(found.ban.jail),
                found.ban.subject,
                found.packets,
                found.port,
                found.outcome
            )),
            Decision::Found { .. } | Decision::AskTalked(_) | Decision::Change(_) => None,
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

    fn reload(&mut self, config: &str) {
        let plan = plan(config);
        self.engine.change(Arc::clone(&plan), &mut self.decisions);
        self.engine.change_channel(ChannelId(0), plan.jails().map(|(id, _)| id));
    }

    fn login(&mut self, host: &str, account: &str, evidence: Evidence) {
        self.account_event(LOGIN, host, 0, evidence, Some(account));
    }

    fn tick(&mut self, secs: i64) {
        self.engine.on_tick(Time::from_secs(secs), &mut self.decisions);
    }
}

#[test]
fn maxretry_offences_ban_a_host() {
    let mut bench = Bench::new(NOT_SLOW);
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
fn proven_ban_of_a_sending_host_is_renewed() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nrenew = true\n");
    let (host, forged) = ("2001:db8::9", "203.0.113.10");
    for second in 0..5 {
        bench.offence(GUESS, host, second);
        bench.event(GUESS, forged, second, Evidence::Unverified);
        bench.offence(SCAN, "203.0.113.11", second);
    }
    assert_eq!(bench.said().len(), 3);
    // Scope 1 is `sip`.
    let key = |host: &str| (ScopeId(1), host.parse().unwrap());
    let sending = ["2001:db8::/64", forged, "203.0.113.11", "203.0.113.99"].map(key);
    let renew = |bench: &mut Bench, secs| {
        bench.engine.renew(&sending, Time::from_secs(secs), &mut bench.decisions);
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

#[test]
fn sending_flow_is_renewed_without_its_host() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nrenew = true\n");
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    for whom in ["203.0.113.9", "203.0.113.9:40000", "203.0.113.9:40001"] {
        let order = by_hand(whom, guess, None);
        bench.engine.ban(&order, Time::from_secs(0), &mut bench.decisions);
    }
    bench.said();
    let flow: Subject = "203.0.113.9:40000".parse().unwrap();
    let sending = [(ScopeId(1), flow)];
    bench.engine.renew(&sending, Time::from_secs(305), &mut bench.decisions);
    assert!(matches!(bench.changes()[..], [Change::Put(element)] if element.subject == flow));
    assert_eq!(bench.said(), ["asterisk-guess Renew 203.0.113.9:40000 600"]);
}

#[test]
fn unverified_evidence_has_its_own_ban_terms() {
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
fn hearsay_bans_only_where_configured() {
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

fn gateway(host: &str) -> crate::model::listed::ExemptNetwork {
    let host: IpAddr = host.parse().unwrap();
    crate::model::listed::ExemptNetwork::new(host, crate::model::listed::ExemptReason::Gateway)
}

#[test]
fn discovered_host_is_unbanned_and_never_banned() {
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
fn ignored_names_count_for_their_jail_only() {
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
fn own_network_is_banned_by_single_addresses() {
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
fn observe_mode_reports_a_host_once() {
    let mut bench = Bench::new(&format!("[default]\nmode = 'observe'\n{NOT_SLOW}"));
    (0..50).for_each(|_| bench.offence(GUESS, "203.0.113.9", 0));
    assert!(bench.changes().is_empty());
    assert_eq!(bench.said(), ["asterisk-guess Would ban 203.0.113.9"]);
    (0..5).for_each(|_| bench.offence(GUESS, "203.0.113.9", 1000));
    assert_eq!(bench.said(), ["asterisk-guess Would ban 203.0.113.9"]);
}

#[test]
fn manual_bans_can_be_lifted() {
    let mut bench = Bench::new("");
    let now = Time::from_secs(0);
    let host = "203.0.113.9";
    let minute = Some(BanDuration::For(Duration::from_secs(60)));
    let guess = bench.engine.plan().jail_named("asterisk-guess");
    for order in [by_hand(host, None, None), by_hand(host, guess, minute)] {
        bench.engine.ban(&order, now, &mut bench.decisions);
    }
    assert_eq!(
        bench.said(),
        ["manual Ban 203.0.113.9 all 0", "asterisk-guess Ban 203.0.113.9 sip 60"]
    );
    let mut unban =
        |whom: &str, jail| bench.engine.unban(whom.parse().unwrap(), jail, &mut bench.decisions);
    assert_eq!(unban("203.0.113.8", None), 0);
    assert_eq!(unban("203.0.113.0/24", guess), 1);
    assert_eq!(unban("203.0.113.9", None), 1);
    assert_eq!(bench.changes().len(), 2);
    assert!(bench.engine.bans().is_empty());
}

#[test]
fn flows_are_banned_and_lifted_beside_their_host() {
    let mut bench = Bench::new("");
    let now = Time::from_secs(0);
    let minute = Some(BanDuration::For(Duration::from_secs(60)));
    for whom in ["203.0.113.9", "203.0.113.9:40000", "203.0.113.9:40001", "[2001:db8::7]:5060"] {
        bench.engine.ban(&by_hand(whom, None, minute), now, &mut bench.decisions);
    }
    let said = [
        "manual Ban 203.0.113.9 all 60",
        "manual Ban 203.0.113.9:40000 all 60",
        "manual Ban 203.0.113.9:40001 all 60",
        "manual Ban [2001:db8::7]:5060 all 60",
    ];
    assert_eq!(bench.said(), said);
    let left = |bench: &Bench| -> Vec<_> {
        bench.engine.bans().iter().map(|ban| ban.subject.to_string()).collect()
    };
    // Of other lengths of networks they know nothing.
    let wider = Bench::new("[default]\nipv6prefix = 128\n");
    let narrower = Bench::new("[default]\nipv6prefix = 48\n");
    for other in [wider, narrower] {
        assert_eq!(bench.engine.rekeyed(other.engine.plan()), []);
        let plan = Arc::clone(bench.engine.plan());
        bench.engine.change(Arc::clone(other.engine.plan()), &mut bench.decisions);
        assert!(left(&bench).contains(&"[2001:db8::7]:5060".to_owned()), "{:?}", left(&bench));
        bench.engine.change(plan, &mut bench.decisions);
    }
    bench.said();
    let mut unban =
        |whom: &str| bench.engine.unban(whom.parse().unwrap(), None, &mut bench.decisions);
    // One that is not banned, though its host is; then one alone; then the host with the other.
    assert_eq!(unban("203.0.113.9:40002"), 0);
    assert_eq!(unban("203.0.113.9:40000"), 1);
    assert_eq!(unban("203.0.113.9"), 2);
    assert_eq!(unban("2001:db8::8"), 0);
    assert_eq!(unban("2001:db8::/64"), 1);
    assert_eq!(left(&bench), [""; 0]);
}

#[test]
fn kernel_bans_are_adopted() {
    let mut bench = Bench::new("");
    let guess = bench.engine.plan().jail_named("asterisk-guess").unwrap();
    let element = |host: &str| Element {
        scope: ScopeId(1),
        subject: host.parse().unwrap(),
        until: Some(Time::from_secs(60)),
        jail: guess,
    };
    let found = [
        KernelElement { element: element("203.0.113.9"), known_jail: true },
        KernelElement { element: element("203.0.113.8"), known_jail: false },
    ];
    bench.engine.adopt(&found, Time::from_secs(0));
    bench.engine.on_tick(Time::from_secs(60), &mut bench.decisions);
    assert_eq!(
        bench.said(),
        ["manual Unban 203.0.113.8 Expired", "asterisk-guess Unban 203.0.113.9 Expired"]
    );
}

/// What is seen of the PBX's answers.
const ANSWERS: Sight =
    Sight { answers: true, hep: false, talked: false, served: false, iax: false, ami: false };

/// Offences that are counted of a host, in the jail `asterisk-guess`.
fn counted(bench: &Bench, host: &str, now: i64) -> (u32, u32) {
    let guess = bench.engine.plan().jail_named("asterisk-guess").unwrap();
    let all = bench.engine.explain(host.parse().unwrap(), Time::from_secs(now), 9);
    let standing = all.jails.iter().find(|standing| standing.jail == guess).unwrap();
    (standing.count.all, standing.count.proven)
}

#[test]
fn a_line_counts_by_what_the_pbx_did() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nmaxretry = 20");
    let host = "192.0.2.1";
    let clue = Clue { port: 5071, ..Clue::default() };
    let line = |bench: &mut Bench, secs| {
        let event = bench.fresh_event(SIP_GUESS, host, secs, Evidence::Hearsay);
        bench.engine.on_event(&Event { clue, ..event }, &mut bench.decisions);
    };
    // Hearsay that stands alone counts for nothing, whatever is seen.
    line(&mut bench, 0);
    bench.engine.see(ANSWERS);
    line(&mut bench, 10);
    bench.engine.on_tick(Time::from_secs(11), &mut bench.decisions);
    assert_eq!(counted(&bench, host, 11), (0, 0));
    let lines = bench.engine.explain(host.parse().unwrap(), Time::from_secs(11), 9).lines;
    assert_eq!(
        lines.iter().map(|line| line.basis).collect::<Vec<_>>(),
        [Basis::Unmatched, Basis::Text]
    );
    // Beside an exchange it does.
    line(&mut bench, 20);
    let event = bench.fresh_event(LOGIN, host, 20, Evidence::Proven);
    let basis = Basis::Exchange(refused(Source::Wire));
    let meaning = Meaning::Offence(Class::Guess);
    let event = Event { channel: SIP_RESPONSES, basis, clue, meaning, ..event };
    bench.engine.on_event(&event, &mut bench.decisions);
    assert_eq!(counted(&bench, host, 20), (1, 1));
    // Old lines are about what nobody saw.
    let event = bench.fresh_event(SIP_GUESS, host, 21, Evidence::Unverified);
    bench.engine.on_old_event(&Event { clue, ..event }, Time::from_secs(21), &mut bench.decisions);
    assert_eq!(counted(&bench, host, 21), (2, 1));
    // What is no matter of SIP is not looked for in its exchanges.
    bench.event(GUESS, host, 22, Evidence::Unverified);
    assert_eq!(counted(&bench, host, 22), (3, 1));
}

#[test]
fn an_attempt_in_two_logs_and_an_answer_counts_once() {
    let mut bench = Bench::new("[jail.asterisk-guess]\nmaxretry = 20");
    bench.engine.see(ANSWERS);
    let jails: Vec<_> = bench.engine.plan().jails().map(|(id, _)| id).collect();
    let other_log = bench.engine.open_channel(jails);
    let host = "192.0.2.1";
    for attempt in 1..=4 {
        let secs = 10 * i64::from(attempt);
        let call = ExchangeId::of(format!("call-{attempt}").as_bytes());
        let clue = Clue { call, port: 5071, ..Clue::default() };
        let answer = bench.fresh_event(SIP_GUESS, host, secs, Evidence::Proven);
        let basis = Basis::Exchange(refused(Source::Wire));
        let answer = Event { channel: SIP_RESPONSES, basis, clue, ..answer };
        bench.engine.on_event(&answer, &mut bench.decisions);
        // Each log has it, and one has it twice.
        for channel in [ChannelId(0), other_log, other_log] {
            let line = bench.fresh_event(SIP_GUESS, host, secs, Evidence::Unverified);
            bench.engine.on_event(&Event { channel, clue, ..line }, &mut bench.decisions);
        }
        bench.engine.on_tick(Time::from_secs(secs + 2), &mut bench.decisions);
        assert_eq!(counted(&bench, host, secs), (attempt, attempt));
    }
}

/// Providers and monitors ask by OPTIONS, and a record about that tells of a stranger.
#[test]
fn a_framed_line_about_what_is_seen_counts_by_its_exchange() {
    let host = "192.0.2.1";
    for (transport, sight, alone) in [
        (Transport::Datagram, Sight::default(), true),
        (Transport::Datagram, ANSWERS, false),
        (Transport::Stream, ANSWERS, false),
        (Transport::Wrapped, ANSWERS, true),
        (Transport::Wrapped, Sight { talked: true, ..ANSWERS }, true),
        (Transport::Wrapped, Sight { hep: true, ..ANSWERS }, false),
        (Transport::Unknown, ANSWERS, true),
    ] {
        let mut bench = Bench::new("");
        bench.engine.see(sight);
        let event = bench.fresh_event(SIP_GUESS, host, 0, Evidence::Unverified);
        let clue = Clue { port: 5071, transport, ..Clue::default() };
        let event = Event { basis: Basis::Framed, clue, ..event };
        bench.engine.on_event(&event, &mut bench.decisions);
        bench.engine.on_tick(Time::from_secs(1), &mut bench.decisions);
        let expected = u32::from(alone);
        assert_eq!(counted(&bench, host, 1), (expected, 0), "{transport:?} {sight:?}");
    }
}

#[test]
fn a_line_about_a_hidden_connection_counts_by_what_was_sent_on_it() {
    let mut bench = Bench::new("");
    let host = "192.0.2.1";
    let line = |bench: &mut Bench, transport, sight| {
        bench.engine.see(sight);
        let event = bench.fresh_event(SIP_GUESS, host, 0, Evidence::Hearsay);
        let clue = Clue { port: 5071, transport, ..Clue::default() };
        bench.engine.on_event(&Event { clue, ..event }, &mut bench.decisions);
        let asks = |decision: &Decision| match decision {
            Decision::AskTalked(event) => Some(*event),
            _ => None,
        };
        let asked = bench.decisions.iter().find_map(asks);
        bench.decisions.clear();
        asked
    };
    let talked = Sight { talked: true, ..ANSWERS };
    for (transport, sight, asks) in [
        (Transport::Wrapped, talked, true),
        (Transport::Unknown, talked, true),
        (Transport::Datagram, talked, false),
        (Transport::Wrapped, ANSWERS, false),
        // HEP tells of all that is said on it.
        (Transport::Wrapped, Sight { hep: true, ..talked }, false),
        (Transport::Unknown, Sight { hep: true, ..talked }, false),
    ] {
        assert_eq!(line(&mut bench, transport, sight).is_some(), asks, "{transport:?} {sight:?}");
    }
    assert_eq!(counted(&bench, host, 1), (0, 0));
    for sent in [None, Some(1), Some(1)] {
        let asked = line(&mut bench, Transport::Wrapped, talked).unwrap();
        bench.engine.on_talked(&asked, sent, &mut bench.decisions);
    }
    assert_eq!(counted(&bench, host, 1), (1, 0), "each segment is for one line");
}

#[test]
fn a_login_that_a_line_tells_of_excuses_nothing_that_is_proven() {
    let mut bench = Bench::new("");
    for (evidence, bans) in [(Evidence::Proven, false), (Evidence::Unverified, true)] {
        let host = if bans { "192.0.2.1" } else { "192.0.2.2" };
        bench.account_event(LOGIN, host, 0, evidence, Some("1000"));
        for secs in 1..20 {
            bench.account_event(GUESS, host, 30 * secs, Evidence::Proven, Some("1000"));
        }
        let subject = Subject::of(host.parse().unwrap(), 128);
        assert_eq!(bench.engine.bans().of(subject).count() > 0, bans, "{evidence}");
    }
}

/// Five lines close a port, and the third port closes the host: whoever guesses gets fifteen tries, or five with a
/// connection each, and whoever is named by lines loses a connection.
#[test]
fn hidden_connections_are_closed_one_by_one() {
    let closed = |lines: &[(u16, i64)]| {
        let mut bench = Bench::new("");
        bench.engine.see(Sight { talked: true, ..ANSWERS });
        let mut said = Vec::new();
        for (port, secs) in lines {
            let event = bench.fresh_event(SIP_GUESS, "192.0.2.1", *secs, Evidence::Hearsay);
            let clue = Clue { port: *port, transport: Transport::Wrapped, ..Clue::default() };
            bench.engine.on_event(&Event { clue, ..event }, &mut bench.decisions);
            let asked = bench.decisions.drain(..).find_map(|decision| match decision {
                Decision::AskTalked(event) => Some(event),
                _ => None,
            });
            bench.engine.on_talked(&asked.unwrap(), Some(99), &mut bench.decisions);
            said.extend(bench.said());
        }
        let hosts = said.iter().filter_map(|line| line.split(" Ban ").nth(1)?.split(' ').next());
        hosts.map(str::to_owned).collect::<Vec<_>>()
    };
    let five = |port: u16, secs: i64| (0..5).map(move |n| (port, secs + n));
    let one_by_one: Vec<_> = five(1000, 0)
        .chain(five(1000, 5))
        .chain(five(1001, 10))
        .chain(five(1002, 700))
        .chain(five(1003, 710))
        .chain(five(1004, 720))
        .collect();
    let hosts =
        ["192.0.2.1:1000", "192.0.2.1:1001", "192.0.2.1:1002", "192.0.2.1:1003", "192.0.2.1"];
    assert_eq!(closed(&one_by_one), hosts);
    assert_eq!(closed(&[(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]), ["192.0.2.1"]);
}

#[test]
fn what_http_refuses_counts_for_nothing_where_somebody_has_logged_in() {
    let mut bench = Bench::new("");
    let refuse = |bench: &mut Bench, host: &str, protocol| {
        let event = bench.fresh_event(GUESS, host, 10, Evidence::Proven);
        let basis = Basis::Exchange(Exchange { protocol, ..refused(Source::Wire) });
        let event = Event { channel: SIP_RESPONSES, basis, ..event };
        bench.engine.on_event(&event, &mut bench.decisions);
        counted(bench, host, 10)
    };
    let (office, stranger) = ("192.0.2.1", "192.0.2.2");
    bench.account_event(LOGIN, office, 5, Evidence::Proven, Some("1000"));
    assert_eq!(refuse(&mut bench, office, Protocol::Http), (0, 0));
    assert_eq!(refuse(&mut bench, stranger, Protocol::Http), (1, 1));
    assert_eq!(refuse(&mut bench, office, Protocol::Sip), (1, 1));
}
