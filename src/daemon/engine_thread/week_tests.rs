//! Two weeks of log lines, read, decided and stored as the daemon does it, and the report of them: each number is compared
//! with what the author of the lines has counted.
//!
//! With `PAGES` in the environment, the pages go into that directory: `make report-shots` shows them in a browser.

mod corpus;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::event_log::EventLog;
use super::log_reader::{Matchers, Reader};
use super::recorder::Recorder;
use crate::config::load;
use crate::control::list::FeedReport;
use crate::decide::engine::{Engine, Manner, ManualBan};
use crate::decide::plan::Plan;
use crate::detect::scanner::{Clock, Scanner};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::LineSplitter;
use crate::model::event::{ChannelId, Decision};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::orders::{Note, Orders};
use crate::model::pause::Pause;
use crate::model::place::{Country, Place};
use crate::model::time::{BanDuration, Time};
use crate::report::text::text;
use crate::report::{
    BanLedger, DaemonFacts, FindingKind, MOST_LISTED, Material, Report, Span, html,
};
use crate::rules::RuleSet;
use crate::store::{self, PastReader, Store};
use crate::sys::clock::monotonic_now;

/// 2026-11-30, a Monday, 06:30 in UTC.
const NOW: Time = Time::from_secs(1_796_020_200);
const HOUR: i64 = 3600;
/// The hours that attackers are at work: the last ones, with the present one.
const HOURS: i64 = 2 * 168;

const CONFIG: &str = r#"
[default]
maxunverified = 3600
logpath = ["/log"]
[jail.asterisk-guess]
maxretry = 5
findtime = "10m"
bantime = { first = "1h", factor = 4, max = "16h", decay = "30d" }
unverified = { bantime = { first = "1h", factor = 4, max = "16h", decay = "30d" } }
[jail.recidive]
enabled = false
"#;

/// What the author of the lines knows.
#[derive(Default)]
struct Truth {
    /// Lines and bans of each hour, counted from the first one.
    hours: BTreeMap<i64, (u64, u64)>,
    /// Of each host: the hours in which it was at work, and the accounts that it tried, one after the other.
    hosts: BTreeMap<IpAddr, Vec<(i64, Vec<&'static str>)>>,
    /// The hours in whose middle the guard was restarted.
    restarts: Vec<i64>,
}

impl Truth {
    /// Whether a host that was banned since this hour has tried an account: within the five attempts that led to the ban, or
    /// earlier, as far as the guard could see that since its last start.
    fn has_tried(&self, host: IpAddr, account: &str, first: i64) -> bool {
        let work = &self.hosts[&host];
        work.iter().filter(|(hour, _)| *hour >= first).any(|(hour, tried)| {
            let start = self.restarts.iter().rev().find(|at| **at < *hour).copied().unwrap_or(0);
            let before = work.iter().filter(|(at, _)| (start + 1..*hour).contains(at));
            tried[..5].contains(&account) || before.clone().any(|(_, it)| it.contains(&account))
        })
    }
}

/// The numbers of a linear congruential generator: the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A line as Asterisk 16 writes it.
fn wrong(at: i64, host: IpAddr, account: &str) -> String {
    let date = Time::from_secs(at).utc().replace('T', " ").replace('Z', "");
    let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
    format!(
        "[{date}] NOTICE[17931] chan_sip.c: Registration from '<sip:{account}@203.0.113.16>' failed for '{host}:33272' - Wrong password\n"
    )
}

/// The guard, with a store in a directory.
struct Lab {
    home: tempfile::TempDir,
    plan: Arc<Plan>,
    engine: Engine,
    channel: ChannelId,
    splitter: LineSplitter,
    scanner: Scanner,
    reader: Reader,
    recorder: Option<Recorder>,
    events: EventLog,
}

impl Lab {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        let rules = RuleSet::load(None).unwrap();
        let config = load::parse(&[("test.toml".into(), config.to_owned())], &rules.filters());
        let plan =
            Arc::new(Plan::new(config.unwrap_or_else(|wrong| panic!("{wrong}")), Arc::new(rules)));
        let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
        let matcher = Arc::new(plan.matcher(&all).unwrap());
        let mut lab = Self {
            home: tempfile::tempdir().unwrap(),
            engine: Engine::new(Arc::clone(&plan)),
            channel: ChannelId(0),
            splitter: LineSplitter::new(1 << 20),
            scanner: Scanner::new(matcher, ChannelId(0)),
            plan,
            reader: Reader::new(Matchers::new()),
            recorder: None,
            events: EventLog::default(),
        };
        lab.start(Time::from_secs(NOW.secs() - HOURS * HOUR));
        lab
    }

    /// Goes on with what is stored, as after a restart.
    fn start(&mut self, now: Time) {
        let opened = store::open(self.home.path(), now);
        self.engine = Engine::new(Arc::clone(&self.plan));
        self.channel = self.engine.open_channel(self.plan.jails().map(|(id, _)| id));
        let mut ignored = Vec::new();
        self.engine.recover(&opened.loaded.remembered(&self.plan), &[], now, &mut ignored);
        self.engine.restore_hours(&opened.loaded.progress.hours);
        self.engine.restore_accounts(&opened.loaded.progress.accounts, now);
        let store = Store::start(opened).unwrap();
        let mut recorder = Recorder::new(store, &mut self.engine, Orders::default());
        recorder.begin_anew(&mut self.engine, now);
        self.recorder = Some(recorder);
        self.tell(GuardEvent::new(now, EventKind::Start, "asterguard guards"));
        self.store(now);
    }

    fn stop(&mut self, now: Time) {
        self.tell(GuardEvent::new(now, EventKind::Stop, "asterguard stops"));
        self.store(now);
        self.recorder.take().unwrap().stop(Duration::from_secs(20));
    }

    fn tell(&mut self, event: GuardEvent) {
        self.events.tell_others(event);
    }

    /// Reads lines, and decides.
    fn read(&mut self, lines: &str) {
        let mut parser = TimestampParser::new(TimeZone::UTC, NOW);
        let (mut last, mut found) = (None, Vec::new());
        self.splitter.space()[..lines.len()].copy_from_slice(lines.as_bytes());
        self.splitter.filled(lines.len());
        while let Some(region) = self.splitter.next_region() {
            self.scanner.scan(&region, &mut Clock::Lines(&mut parser, &mut last), &mut found);
        }
        let mut decisions = Vec::new();
        for event in found {
            self.engine.on_tick(event.time, &mut decisions);
            self.engine.on_event(&event, &mut decisions);
            self.decided(&mut decisions, event.time);
        }
    }

    fn decided(&mut self, decisions: &mut Vec<Decision>, now: Time) {
        self.recorder.as_mut().unwrap().note(&mut self.engine, now);
        for decision in decisions.drain(..).filter(|it| !matches!(it, Decision::AskTalked(_))) {
            self.events.decided(&decision, &self.engine, &self.reader, now);
        }
    }

    /// Stores all, and waits until that is done.
    fn store(&mut self, now: Time) {
        let recorder = self.recorder.as_mut().unwrap();
        recorder.events(self.events.take(), now);
        recorder.checkpoint_now(&mut self.engine, &self.reader, now);
        let (done, is_done) = channel();
        recorder.then(move || done.send(()).unwrap());
        is_done.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    /// Bans by hand without an end, as `asterguard ban` does.
    fn ban(&mut self, host: &str, now: Time) {
        let order = ManualBan {
            whom: host.parse().unwrap(),
            jail: None,
            length: Some(BanDuration::Permanent),
            manner: Manner::Set,
        };
        let mut decisions = Vec::new();
        self.engine.ban(&order, now, &mut decisions);
        let ban = decisions.iter().find_map(|decision| match decision {
            Decision::Ban(ban) => Some(*ban),
            _ => None,
        });
        self.decided(&mut decisions, now);
        let note = Note { by: "root".to_owned(), comment: Some(EVIL.to_owned()) };
        self.recorder.as_mut().unwrap().annotate(&mut self.engine, &ban.unwrap(), note, now);
    }
}

/// What a hostile person would write where text is free.
const EVIL: &str =
    "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}gnp.\u{1b}[2J&lt;";

/// Attackers at work for two weeks. Each comes back after more than a day, with five wrong passwords or more within a minute.
fn attack(lab: &mut Lab) -> Truth {
    let mut truth = Truth::default();
    let mut chance = Chance(7);
    let accounts = ["1000", "100", "admin", "2001", "trunk", "5060"];
    let first = NOW.secs().div_euclid(HOUR) + 1 - HOURS;
    for hour in first..first + HOURS {
        let mut lines = String::new();
        // At night there are more.
        let many = if (hour % 24) < 6 { 4 } else { 2 };
        for _ in 0..chance.below(many) {
            let number = chance.below(60);
            let host: IpAddr = match number {
                0..10 => format!("2001:db8:bad:{number:x}::1").parse().unwrap(),
                10..30 => format!("198.51.100.{number}").parse().unwrap(),
                _ => format!("203.0.113.{number}").parse().unwrap(),
            };
            let work = truth.hosts.entry(host).or_default();
            if work.len() >= 6 || work.last().is_some_and(|(last, _)| hour - last < 26) {
                continue;
            }
            let mut tried = Vec::new();
            // A busy host tries on after it is banned: lines that were on their way.
            let count = 5 + chance.below(4);
            for second in 0..i64::try_from(count).unwrap() {
                let account = accounts[usize::try_from(chance.below(6)).unwrap()];
                tried.push(account);
                lines += &wrong(hour * HOUR + 60 + second, host, account);
            }
            work.push((hour, tried));
            let numbers = truth.hours.entry(hour).or_default();
            (numbers.0, numbers.1) = (numbers.0 + count, numbers.1 + 1);
        }
        lab.read(&lines);
        if (hour - first) % 50 == 49 {
            // In the middle of an hour: what was counted of it stays.
            truth.restarts.push(hour);
            lab.stop(Time::from_secs(hour * HOUR + 1200));
            lab.start(Time::from_secs(hour * HOUR + 1205));
        }
        lab.store(Time::from_secs((hour * HOUR + 1800).min(NOW.secs())));
    }
    truth
}

fn place(host: IpAddr, name: &str) -> Place {
    let (country, asn) = match host.to_string() {
        host if host.starts_with("198.") => (b"NL", 64_496),
        host if host.starts_with("203.") => (b"US", 64_497),
        _ => (b"DE", 64_498),
    };
    Place { country: Country::of(country), asn: Some(asn), organisation: Some(name.to_owned()) }
}

fn report(home: &Path, now: Time, since: Time, daemon: Option<DaemonFacts>) -> Report {
    // What is hostile is where there is a daemon.
    let name =
        if daemon.as_ref().is_some_and(|it| !it.feeds.is_empty()) { EVIL } else { "Example" };
    let span = Span::new(since, now);
    let past = PastReader::open(home).unwrap();
    let mut bans = BanLedger::new(span);
    past.bans(|ban| bans.add(&ban)).unwrap();
    let mut hours = Vec::new();
    past.hours(span.first_counted(), |count| hours.push(count)).unwrap();
    let material = Material {
        machine: "pbx1".to_owned(),
        zone: TimeZone::UTC,
        counted_since: past.counted_since().unwrap(),
        hours,
        events: past.events(span.first_event()).unwrap(),
        accounts: past.accounts().unwrap(),
        daemon,
    };
    Report::new(span, &material, &bans, |host| place(host, name))
}

/// Writes a page where `make report-shots` looks for it.
fn show(report: &Report, name: &str) {
    if let Some(directory) = std::env::var_os("PAGES") {
        std::fs::write(Path::new(&directory).join(name), html::page(report)).unwrap();
    }
}

/// What is told of banned hosts since an hour, of their networks and accounts, and of those that came back.
fn hosts_are_true(report: &Report, truth: &Truth, first: i64) {
    // Hosts: five attempts led to each ban.
    let of_week: BTreeMap<_, _> = truth
        .hosts
        .iter()
        .map(|(host, work)| (*host, work.iter().filter(|(hour, _)| *hour >= first).count()))
        .filter(|(_, bans)| *bans > 0)
        .collect();
    assert_eq!(report.banned_hosts, of_week.len());
    let written = |host: IpAddr| {
        if host.is_ipv6() { host.to_string().replace("::1", "::/64") } else { host.to_string() }
    };
    for row in &report.hosts {
        let (host, bans) = of_week.iter().find(|(host, _)| written(**host) == row.host).unwrap();
        assert_eq!((row.bans, row.attempts), (*bans as u64, 5 * *bans as u64), "{host}");
        assert_eq!(row.jails, ["asterisk-guess"]);
    }
    let least = report.hosts.last().unwrap().bans;
    let more = of_week.values().filter(|bans| **bans as u64 > least).count();
    assert!(report.hosts.len() == 10 && more < 10, "those with the most are told");
    // Networks and places.
    let of = |start: &str| {
        let own = of_week.iter().filter(|(host, _)| host.to_string().starts_with(start));
        own.fold((0, 0), |sum, (_, bans)| (sum.0 + 1, sum.1 + *bans as u64))
    };
    for (named, start) in [
        (&report.networks, "198.51.100.0/24"),
        (&report.networks, "203.0.113.0/24"),
        (&report.networks, "2001:db8:bad::/48"),
        (&report.countries, "NL"),
        (&report.countries, "US"),
        (&report.countries, "DE"),
        (&report.asns, "AS64498"),
    ] {
        let row = named.iter().find(|row| row.name.starts_with(start)).unwrap();
        let start = match start {
            "NL" | "198.51.100.0/24" => "198.",
            "US" | "203.0.113.0/24" => "203.",
            _ => "2001:",
        };
        let (hosts, bans) = of(start);
        assert_eq!((row.hosts, row.bans, row.attempts), (hosts, bans, 5 * bans), "{}", row.name);
    }
    // Accounts.
    for account in ["1000", "100", "admin", "2001", "trunk", "5060"] {
        let tried = |host: &&IpAddr| truth.has_tried(**host, account, first);
        let expected = of_week.keys().filter(tried).count() as u64;
        let row = report.accounts.iter().find(|row| row.account == account).unwrap();
        assert_eq!((row.hosts, row.exists), (expected, false), "{account}");
    }
    // Who came back: all bans of a host count, and each was four times as long as the one before.
    let returned = |host: &&IpAddr| truth.hosts[*host].len() > 1;
    assert_eq!(report.came_back.hosts, of_week.keys().filter(returned).count());
    let most = of_week.keys().map(|host| truth.hosts[host].len()).max().unwrap();
    let top = &report.came_back.top[0];
    assert_eq!(top.bans, most);
    let lengths: Vec<_> =
        [1, 4, 16, 16, 16, 16][..most].iter().map(|hours| Some(hours * 3600)).collect();
    assert_eq!(top.lengths, lengths[most.saturating_sub(5)..], "{top:?}");
}

#[test]
fn each_number_of_a_week_is_true() {
    let mut lab = Lab::new();
    let truth = attack(&mut lab);
    let home = lab.home.path().to_owned();
    let week_ago = Time::from_secs(NOW.secs() - 7 * 24 * HOUR);
    let report = report(&home, NOW, week_ago, Some(DaemonFacts::default()));
    assert_eq!(report.look_at, []);
    let first = NOW.secs().div_euclid(HOUR) - 167;
    let sum = |hours: std::ops::Range<i64>| {
        truth.hours.range(hours).fold((0, 0), |sum, (_, it)| (sum.0 + it.0, sum.1 + it.1))
    };
    let (attempts, bans) = sum(first..i64::MAX);
    assert!(attempts > 500 && bans > 80, "{attempts} {bans}");
    assert_eq!((report.totals.attempts, report.totals.bans), (attempts, bans));
    let before = (report.before.attempts, report.before.bans);
    assert_eq!(before, sum(first - 168..first));
    assert_eq!(
        (report.totals.untrusted, report.totals.ambiguous, report.totals.observed),
        (0, 0, 0)
    );
    // Hour by hour, in both weeks.
    assert_eq!(report.hours.len(), 336);
    for numbers in &report.hours {
        let expected = truth.hours.get(&(numbers.time / HOUR)).copied().unwrap_or_default();
        assert_eq!((numbers.attempts, numbers.bans), expected, "{}", numbers.time);
    }
    // On the grid, each hour of the week stands once, at its day and time.
    for (which, from) in [(0, first), (1, first - 168)] {
        let all: Vec<_> =
            report.week.days.iter().flat_map(|day| day.weeks[which]).flatten().collect();
        let hours: BTreeSet<_> = all.iter().map(|it| it.time / HOUR).collect();
        assert_eq!(
            (all.len(), hours.first(), hours.last()),
            (168, Some(&from), Some(&(from + 167)))
        );
    }
    let names: Vec<_> = report.week.days.iter().map(|day| day.name.as_str()).collect();
    assert_eq!(names, ["Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"]);
    let now = report.week.days[6].weeks[0][6].unwrap();
    assert_eq!(now.time, NOW.secs() - 30 * 60);

    hosts_are_true(&report, &truth, first);
    // Rules: all came by one.
    let [rule] = report.rules.as_slice() else { panic!("{:?}", report.rules) };
    assert_eq!((rule.numbers.attempts, rule.numbers.bans), (attempts, bans));
    // Six restarts of five seconds; in this week, three of them.
    let restarts: Vec<_> = report.restarts.iter().map(|restart| restart.down).collect();
    assert_eq!(restarts, [Some(5); 3]);
    let counted_since = NOW.secs() - HOURS * HOUR;
    assert_eq!(report.counted_since, Some(counted_since));
    let is_whole = report.verdict.contains(" %)");
    assert!(
        is_whole && report.ok && report.verdict.starts_with("OK all week; "),
        "{}",
        report.verdict
    );
    assert!(
        report.verdict.ends_with("; no pause; 3 restarts (15s down); no line lost"),
        "{}",
        report.verdict
    );
    show(&report, "plain.html");
    // A span of another length.
    let day = self::report(&home, NOW, Time::from_secs(NOW.secs() - 24 * HOUR), None);
    assert_eq!((day.totals.attempts, day.totals.bans), sum(first + 144..i64::MAX));
    assert_eq!((day.before.attempts, day.before.bans), sum(first + 120..first + 144));
    assert!(day.verdict.starts_with("OK for 1d; "), "{}", day.verdict);
}

/// The same with all lists as long as they can be, and all names too.
fn full(mut report: Report) -> Report {
    fn fill<T: Clone>(all: &mut Vec<T>, most: usize) {
        let first = all.first().unwrap_or_else(|| panic!("{}", std::any::type_name::<T>())).clone();
        all.resize(most, first);
    }
    fill(&mut report.hosts, MOST_LISTED);
    report.networks.iter_mut().chain(&mut report.asns).for_each(|it| it.name = "W".repeat(64));
    for named in [
        &mut report.networks,
        &mut report.countries,
        &mut report.asns,
        &mut report.observed.jails,
        &mut report.observed.hosts,
    ] {
        fill(named, MOST_LISTED);
    }
    fill(&mut report.rules, MOST_LISTED);
    fill(&mut report.accounts, MOST_LISTED);
    fill(&mut report.came_back.top, MOST_LISTED);
    fill(&mut report.pauses, 100);
    fill(&mut report.restarts, 100);
    fill(&mut report.problems, 100);
    fill(&mut report.heals, MOST_LISTED);
    fill(&mut report.lost, MOST_LISTED);
    fill(report.feeds.as_mut().unwrap(), MOST_LISTED);
    for finding in &mut report.look_at {
        fill(&mut finding.items, 5);
    }
    fill(&mut report.look_at, FindingKind::ShortCounts as usize + 1);
    report
}

/// All that a guard can tell happens, with hostile names.
fn everything_happens(lab: &mut Lab) {
    let at = |hours: i64| Time::from_secs(NOW.secs() - hours * HOUR);
    let order = |hours, pause| GuardEvent::ordered(at(hours), pause, "root").leaving(pause);
    let health = |hours, check: &str, good| GuardEvent {
        check: Some(check.to_owned()),
        good: Some(good),
        ..GuardEvent::new(at(hours), EventKind::Health, format!("{check}: {EVIL}; do: mend it"))
    };
    let long = EVIL.repeat(200);
    for event in [
        health(400, "wire", false),
        order(50, Pause::Until(at(48))),
        GuardEvent::new(at(48), EventKind::Order, "the pause is over").leaving(Pause::Off),
        health(50, "pause", false),
        // It was taken over by a restart, and ended by somebody.
        order(41, Pause::Indefinite),
        GuardEvent::new(at(40), EventKind::Stop, "stops"),
        GuardEvent::new(at(40), EventKind::Start, "starts"),
        GuardEvent::new(at(40), EventKind::Order, "found").leaving(Pause::Indefinite),
        GuardEvent::ordered(at(39), "again", "alice (sudo)").leaving(Pause::Off),
        // This one says nothing of a stop.
        GuardEvent::new(at(30), EventKind::Start, "starts"),
        health(29, "logs", false),
        health(26, "logs", true),
        GuardEvent { check: Some("ban-effect".to_owned()), ..health(25, "x", false) }
            .about("198.51.100.12"),
        GuardEvent::new(at(24), EventKind::Heal, format!("nft deleted the table: put back {long}")),
        GuardEvent::new(at(23), EventKind::Lost, format!("/var/log/{EVIL}: lines may be missing")),
        GuardEvent {
            account: Some(long.clone()),
            ..GuardEvent::new(at(22), EventKind::Login, long.clone())
        },
        GuardEvent {
            good: Some(false),
            ..GuardEvent::new(at(21), EventKind::Health, format!("account {EVIL} is guessed at"))
        },
        GuardEvent {
            jail: Some(EVIL.to_owned()),
            ..GuardEvent::new(at(20), EventKind::Observed, "[x] Would ban")
        }
        .about("192.0.2.9"),
        GuardEvent {
            jail: Some(long.clone()),
            pause: Some(Pause::Until(at(-5))),
            by: Some(long.clone()),
            ..GuardEvent::new(at(1), EventKind::Order, "x")
        },
    ] {
        lab.tell(event);
    }
    let login = wrong(NOW.secs() - 9 * 24 * HOUR, "192.0.2.50".parse().unwrap(), "1000");
    let login = login.split(" NOTICE").next().unwrap().to_owned()
        + " SECURITY[1724] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",EventTV=\"2026-11-22T01:12:24.659+0000\",Severity=\"Informational\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1000\",SessionID=\"z\",LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/192.0.2.50/5060\",UsingPassword=\"1\"\n";
    lab.read(&login);
    lab.ban("192.0.2.50", at(10));
    lab.store(NOW);
}

fn is_harmless(page: &str, text: &str) {
    // Only our own elements, of which none is a script, and nothing from elsewhere.
    let known = [
        "!DOCTYPE", "html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p",
        "main", "section", "div", "ul", "li", "span", "svg", "text", "rect", "table", "thead",
        "tbody", "tr", "th", "td",
    ];
    for element in page.split('<').skip(1) {
        let name: String = element
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '!')
            .collect();
        assert!(
            known.contains(&name.as_str()),
            "<{}",
            element.chars().take(60).collect::<String>()
        );
        let tag = element.split('>').next().unwrap();
        assert!(!tag.contains("onerror") && !tag.contains("http"), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;") && !page.contains("url(") && !page.contains("@import"));
    for shown in [page, text] {
        let is_odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(is_odd), "control characters");
    }
    assert!(page.len() < 200_000 && text.len() < 60_000, "{} {}", page.len(), text.len());
    assert!(text.lines().all(|line| line.chars().count() < 420));
}

/// All that can be told is told, and what strangers wrote does nothing.
#[test]
fn everything_is_told_and_hostile_names_do_nothing() {
    let mut lab = Lab::new();
    attack(&mut lab);
    let at = |hours: i64| Time::from_secs(NOW.secs() - hours * HOUR);
    everything_happens(&mut lab);
    let long = EVIL.repeat(200);
    let feed = FeedReport {
        feed: EVIL.to_owned(),
        path: long.clone(),
        networks: 12_345,
        skipped: 1,
        problem: Some(long.clone()),
        written: Some(at(30).secs()),
        net: None,
        fetch: None,
    };
    let problems = vec![
        ("never-banned".to_owned(), format!("trunk {EVIL} does not resolve")),
        ("lists".to_owned(), long),
    ];
    let daemon = Some(DaemonFacts { problems, feeds: vec![feed] });
    let report = report(lab.home.path(), NOW, at(7 * 24), daemon);

    let pauses: Vec<_> = report
        .pauses
        .iter()
        .map(|it| (it.seconds / 3600, it.until.is_some(), it.jail.is_some()))
        .collect();
    assert_eq!(pauses, [(2, true, false), (2, true, false), (1, false, true)]);
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|it| (it.check.as_str(), it.seconds / 3600, it.until.is_some()))
        .collect();
    // What began before the week ended with the next start.
    assert_eq!(problems, [("logs", 3, true)]);
    let down: Vec<_> = report.restarts.iter().map(|restart| restart.down).collect();
    assert_eq!(down[down.len() - 2..], [Some(0), None]);
    let kinds: Vec<_> = report.look_at.iter().map(|finding| finding.what).collect();
    let expected = [
        FindingKind::BannedAfterLogin,
        FindingKind::EndlessBans,
        FindingKind::BansWithoutEffect,
        FindingKind::UnresolvedNames,
        FindingKind::NewNetworks,
        FindingKind::Accounts,
        FindingKind::Crashes,
        FindingKind::LostLines,
        FindingKind::ProblemsNow,
    ];
    assert_eq!(kinds, expected);
    assert!(
        !report.ok && report.verdict.starts_with("NOT OK: lists, logs 3h, never-banned; "),
        "{}",
        report.verdict
    );
    assert!(
        report.verdict.contains("3 pauses (5h, by ") && report.verdict.contains("IN FORCE NOW"),
        "{}",
        report.verdict
    );
    assert!(report.verdict.contains("1 without a stop before"), "{}", report.verdict);
    assert!(report.verdict.ends_with("LINES LOST in 1 gap"), "{}", report.verdict);
    let account = report.accounts.iter().find(|row| row.account == "1000").unwrap();
    assert!(account.exists);
    assert_eq!(report.observed.jails[0].bans, 1);
    assert_eq!(report.age(&report.feeds.as_ref().unwrap()[0]), "1d 6h");

    let report = full(report);
    let (page, text) = (html::page(&report), text(&report));
    show(&report, "full.html");
    is_harmless(&page, &text);
    let json = serde_json::to_string(&report).unwrap();
    assert!(json.len() < 200_000 && !json.contains('\u{202e}'));
}

#[test]
fn an_empty_store_says_so() {
    let lab = Lab::new();
    drop(lab.recorder);
    let later = NOW.plus(Duration::from_secs(30 * 86400));
    let report = report(lab.home.path(), later, NOW, None);
    assert_eq!((report.totals.attempts, report.hosts.len()), (0, 0));
    let _ = (html::page(&report), text(&report));
    show(&report, "empty.html");
}

/// A year under attack: 100 000 bans, each hour with twenty rules, and as many events as are kept. A test takes longer than the
/// program, which is optimised.
#[test]
fn a_year_under_attack_is_reported_at_once() {
    let mut lab = Lab::new();
    lab.stop(Time::from_secs(NOW.secs() - HOURS * HOUR));
    let path = lab.home.path().join(store::FILE);
    let mut connection = rusqlite::Connection::open(&path).unwrap();
    let transaction = connection.transaction().unwrap();
    let (year, hour) = (NOW.secs() * 1000 - 365 * 86_400_000, NOW.secs() / HOUR);
    transaction
        .execute_batch(&format!(
            "INSERT INTO bans WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999)
             SELECT NULL, '198.' || (18 + i / 65536) || '.' || (i / 256 % 256) || '.' || (i % 256), 'asterisk-guess', 'sip4',
                 '198.18.0.1', {year} + i * 315360, {year} + i * 315360 + 600000, 5, 'proven',
                 'asterisk-sip/wrong-password', i, {year} + i * 315360 + 600000, 'expired', NULL, NULL,
                 '1000:0000000000000001', NULL FROM n;
             INSERT INTO hours WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 8760 * 20 - 1)
             SELECT {hour} - i / 20, 'filter/rule-' || (i % 20), 5, 1, 0, 1, 0 FROM n;"
        ))
        .unwrap();
    let event = GuardEvent::new(NOW, EventKind::Health, "x".repeat(300));
    let body = serde_json::to_string(&event).unwrap();
    for _ in 0..65_536 {
        transaction
            .prepare_cached("INSERT INTO events (at, kind, body) VALUES (?1, 'health', ?2)")
            .unwrap()
            .execute(rusqlite::params![NOW.millis(), body])
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(connection);
    let begin = monotonic_now();
    let year = Time::from_secs(NOW.secs() - 366 * 86_400);
    let report = report(lab.home.path(), NOW, year, None);
    let _ = (html::page(&report), text(&report));
    let took = monotonic_now().since(begin);
    assert_eq!((report.banned_hosts, report.totals.attempts), (100_000, 5 * 8760 * 20));
    println!("a report of a year took {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
