//! The screen, drawn into memory, and what each key does.

use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::keys::{KEYS, Key};
use super::model::{Effect, Mode, Model, Order, Outcome, Task};
use super::screen::{self, Look, Signs};
use crate::control::banned::{BanStatus, Dropped, NamedBan};
use crate::control::status::{Health, PauseStatus};
use crate::control::top::{LoggedInHost, MinuteReport, TopReport, TopRow};
use crate::decide::ban_view::BanOrder;
use crate::model::event::{Class, Evidence};
use crate::model::place::{Country, Place};
use crate::model::time::{BanDuration, Time};

/// 2026-11-22T14:02:46Z.
const NOW: i64 = 1_795_356_166;

const LOOK: Look = Look { signs: Signs::Unicode, is_coloured: true };

fn row(host: &str, jail: &str, offences: u32) -> TopRow {
    let ban = BanStatus {
        host: host.to_owned(),
        scope: "sip".to_owned(),
        left: Some(1860),
        until: Some(NOW + 1860),
        since: NOW - 600,
        offences,
        evidence: Evidence::Proven,
        by_hand: offences == 0,
        by: None,
        comment: None,
        issuers: Vec::new(),
        paused: false,
        rule: Some("asterisk-security/invalid-password".to_owned()),
        place: Place::default(),
        dropped: Dropped { packets: Some(12), bytes: Some(720) },
        knocked: Some(NOW - 240),
    };
    TopRow {
        ban: NamedBan { jail: jail.to_owned(), ban },
        tries: offences * 5,
        bans: 2,
        login: None,
        last: Some(NOW - 240),
        class: Some(Class::Guess),
        last_rule: Some("asterisk-security/invalid-password".to_owned()),
        account: Some("1000".to_owned()),
    }
}

fn report() -> TopReport {
    let mut phone = row("203.0.113.77", "asterisk-guess", 5);
    (phone.login, phone.account, phone.tries) = (Some(NOW - 9000), Some("214".to_owned()), 5);
    let mut scanner = row("198.51.100.42", "asterisk-scan", 62);
    (scanner.class, scanner.account) = (Some(Class::Extension), None);
    scanner.ban.ban.evidence = Evidence::Unverified;
    scanner.ban.ban.dropped.packets = Some(48_130);
    (scanner.ban.ban.left, scanner.last) = (Some(6 * 86_400 + 7200), Some(NOW - 2));
    let mut by_hand = row("2001:db8:1234:5678::/64", "manual", 0);
    by_hand.ban.ban.left = None;
    (by_hand.class, by_hand.account, by_hand.last, by_hand.last_rule) = (None, None, None, None);
    let minutes = (0..90).map(|n| MinuteReport {
        attempts: if n == 60 { 412 } else { n % 7 },
        bans: u32::from(n % 30 == 0),
    });
    TopReport {
        time: NOW,
        health: Health::Ok,
        problems: Vec::new(),
        version: "0.1.0".to_owned(),
        uptime: 12 * 86_400,
        dry_run: false,
        paused: Vec::new(),
        hosts_banned: 4,
        bans: 4,
        observed: 0,
        login: Some(NOW - 4),
        lag: 0,
        minutes: minutes.collect(),
        dropped_per_second: Some(1234.0),
        counters_read: Some(NOW - 1),
        logged_in: 1,
        logged_in_hosts: vec![LoggedInHost {
            host: "203.0.113.77".to_owned(),
            account: Some("214".to_owned()),
        }],
        matching: 4,
        rows: vec![phone, scanner, row("198.51.100.15", "asterisk-guess", 5), by_hand],
    }
}

fn model_of(size: (u16, u16), report: TopReport) -> Model {
    let now = Time::from_secs(NOW);
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let mut model = Model::new(zone, Duration::from_secs(1), size, now);
    model.on_report(Ok(report));
    model
}

fn model() -> Model {
    model_of((80, 24), report())
}

fn drawn(model: &Model, look: Look) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(model.size.0, model.size.1)).unwrap();
    terminal.draw(|frame| screen::draw(model, look, frame.area(), frame.buffer_mut())).unwrap();
    terminal
}

/// What is to be seen.
fn seen(model: &Model) -> String {
    drawn(model, LOOK).backend().to_string()
}

fn keys(model: &mut Model, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| model.on_key(Key::Char(c))).collect()
}

#[test]
fn small_screen_shows_what_matters() {
    insta::assert_snapshot!(seen(&model()));
}

#[test]
fn large_screen_uses_its_room() {
    let mut report = report();
    report.health = Health::Degraded;
    report.problems = vec!["log-access: you may not read /x; do: chmod".to_owned(); 6];
    let place = &mut report.rows[1].ban.ban.place;
    place.country = Country::of(b"NL");
    (place.asn, place.organisation) = (Some(64_496), Some("Example Hosting".to_owned()));
    let mut model = model_of((200, 50), report);
    (0..150).for_each(|n| model.dropped.push_back(f64::from(n)));
    insta::assert_snapshot!(seen(&model));
}

#[test]
fn a_pause_and_a_silent_daemon_are_seen() {
    let mut report = report();
    report.health = Health::Paused;
    report.problems = vec!["pause: nothing is dropped".to_owned()];
    let pause = |jail: Option<&str>, until| PauseStatus {
        jail: jail.map(str::to_owned),
        until,
        by: Some("alice (sudo)".to_owned()),
    };
    report.paused = vec![pause(None, Some(NOW + 900)), pause(Some("asterisk-guess"), None)];
    report.rows.iter_mut().for_each(|row| row.ban.ban.paused = true);
    let mut model = model_of((80, 24), report);
    model.on_time(Time::from_secs(NOW + 12));
    model.on_report(Err("no daemon answers at /run/x.sock\u{1b}[2J".to_owned()));
    insta::assert_snapshot!(seen(&model));
    // It is back.
    model.on_report(Ok(self::report()));
    assert!(!seen(&model).contains("no report"));
    // One that hangs is noticed too.
    model.on_time(Time::from_secs(NOW + 20));
    assert!(seen(&model).contains("!  no report from the daemon for 8s"), "{}", seen(&model));
}

#[test]
fn every_key_of_the_help_page_is_there() {
    let mut model = model();
    assert!(keys(&mut model, "?").is_empty());
    let help = seen(&model);
    for (key, does) in KEYS {
        assert!(help.contains(key) && help.contains(does), "{key}: {help}");
    }
    insta::assert_snapshot!(help);
    model.on_key(Key::Esc);
    assert_eq!(model.mode, Mode::Table);
}

#[test]
fn orders_are_asked_once_and_done_only_at_y() {
    let host = "203.0.113.77".parse().unwrap();
    let order = |order| vec![Effect::Run(Task::Order(order))];
    let cases = [
        ("u", Order::Unban { host, allow_seconds: None }),
        ("U", Order::Unban { host, allow_seconds: Some(3600) }),
        ("p", Order::Pause { seconds: 900 }),
    ];
    for (key, expected) in cases {
        for no in [Key::Char('n'), Key::Esc, Key::Enter, Key::Char('u'), Key::Down] {
            let mut model = model();
            assert!(keys(&mut model, key).is_empty());
            assert!(seen(&model).contains("? y/n"), "{}", seen(&model));
            assert!(model.on_key(no).is_empty());
            assert!(seen(&model).contains("nothing was done"));
            assert_eq!(model.mode, Mode::Table);
        }
        let mut model = model();
        keys(&mut model, key);
        // A report that comes in between changes nothing about what was asked.
        let mut other = report();
        other.rows.reverse();
        model.on_report(Ok(other));
        assert_eq!(keys(&mut model, "y"), order(expected));
        let effects = model.on_outcome(Outcome::Ordered(Ok("2 bans lifted".to_owned())));
        assert_eq!(effects, [Effect::Refresh]);
        assert!(seen(&model).contains("2 bans lifted"));
    }
    let mut paused = report();
    paused.paused = vec![PauseStatus { jail: None, until: None, by: None }];
    let mut model = model_of((80, 24), paused);
    assert_eq!(keys(&mut model, "py"), order(Order::Resume));
}

#[test]
fn hosts_and_times_are_typed() {
    let type_in = |key: char, text: &str| {
        let mut model = model();
        keys(&mut model, &key.to_string());
        while matches!(&model.mode, Mode::Typing { text, .. } if !text.is_empty()) {
            model.on_key(Key::Backspace);
        }
        keys(&mut model, text);
        model.on_key(Key::Enter);
        model
    };
    let host = |text: &str| text.parse().unwrap();
    let for_secs = |secs| BanDuration::For(Duration::from_secs(secs));
    for (key, text, question, order) in [
        (
            'b',
            "192.0.2.7",
            "ban 192.0.2.7 without an end?",
            Order::Ban { host: host("192.0.2.7"), length: BanDuration::Permanent, sure: false },
        ),
        (
            'b',
            " 192.0.2.0/24 1d ",
            "ban 192.0.2.0/24 for 1d?",
            Order::Ban { host: host("192.0.2.0/24"), length: for_secs(86_400), sure: false },
        ),
        (
            'a',
            "2001:db8::7 8h",
            "let 2001:db8::7 through for 8h?",
            Order::Allow { host: host("2001:db8::7"), length: for_secs(28_800) },
        ),
    ] {
        let mut model = type_in(key, text);
        assert!(seen(&model).contains(question), "{}", seen(&model));
        assert_eq!(keys(&mut model, "y"), [Effect::Run(Task::Order(order))]);
    }
    for wrong in ["x", "192.0.2.7 soon", "192.0.2.7; reboot", "$(reboot)", "192.0.2.300", "-h"] {
        let mut model = type_in('b', wrong);
        assert_eq!(model.mode, Mode::Table, "{wrong}");
        assert!(model.said.as_ref().is_some_and(|said| !said.is_good), "{wrong}");
        assert!(keys(&mut model, "y").is_empty());
    }
    // What is allowed is first of all the host that is chosen.
    let mut model = model();
    keys(&mut model, "a");
    assert!(seen(&model).contains("for example): 203.0.113.77"), "{}", seen(&model));
    // A host with a login is asked for again, and what is typed has an end.
    let order = Order::Ban { host: host("192.0.2.7"), length: BanDuration::Permanent, sure: true };
    model.on_key(Key::Esc);
    model.on_outcome(Outcome::Unsure(order.clone(), "1001 is there".to_owned()));
    assert!(seen(&model).contains("1001 is there y/n"));
    assert_eq!(keys(&mut model, "y"), [Effect::Run(Task::Order(order))]);
    keys(&mut model, "b");
    keys(&mut model, &"9".repeat(1000));
    assert!(matches!(&model.mode, Mode::Typing { text, .. } if text.len() == 64));
}

#[test]
fn order_filter_and_observed_bans_are_asked_for() {
    let mut model = model();
    assert_eq!(model.request().rows, 24);
    for expected in
        [BanOrder::Tries, BanOrder::Dropped, BanOrder::Left, BanOrder::Bans, BanOrder::Last]
    {
        assert_eq!(keys(&mut model, "s"), [Effect::Refresh]);
        assert_eq!(model.request().sort, expected);
    }
    // What was asked for before is not shown as what is wanted now.
    let request = model.request();
    keys(&mut model, "s");
    model.on_answer(&request, Ok(TopReport { matching: 9977, ..report() }));
    assert!(seen(&model).contains("...  sort: tries") && !seen(&model).contains("9977"));
    model.on_answer(&model.request(), Ok(TopReport { matching: 78, ..report() }));
    assert!(seen(&model).contains(": 78 bans  sort: tries"), "{}", seen(&model));
    keys(&mut model, "f1000x");
    model.on_key(Key::Backspace);
    assert_eq!(model.on_key(Key::Enter), [Effect::Refresh]);
    assert_eq!(model.request().filter, "1000");
    assert!(seen(&model).contains("filter: 1000"));
    // Escape leaves the line, and then removes the filter.
    keys(&mut model, "f2");
    assert!(model.on_key(Key::Esc).is_empty());
    assert_eq!(model.request().filter, "1000");
    assert_eq!(model.on_key(Key::Esc), [Effect::Refresh]);
    assert_eq!(model.request().filter, "");
    assert_eq!(keys(&mut model, "o"), [Effect::Refresh]);
    assert!(model.request().observe);
    assert!(keys(&mut model, "u").is_empty());
    assert!(seen(&model).contains("their jails only observe"));
    assert_eq!(keys(&mut model, "q"), [Effect::Quit]);
    assert_eq!(model.on_key(Key::Ctrl('c')), [Effect::Quit]);
    assert_eq!(model.on_key(Key::Ctrl('z')), [Effect::Suspend]);
}

#[test]
fn the_chosen_host_stays_chosen() {
    let mut model = model();
    model.on_key(Key::Down);
    let mut other = report();
    other.rows.swap(1, 3);
    model.on_report(Ok(other));
    assert_eq!(model.rows()[model.chosen].ban.ban.host, "198.51.100.42");
    // It goes: another one is, and never none.
    let mut other = report();
    other.rows.truncate(1);
    other.matching = 1;
    model.on_report(Ok(other.clone()));
    assert_eq!(model.chosen, 0);
    other.rows.clear();
    other.matching = 0;
    model.on_report(Ok(other));
    for key in [Key::Down, Key::End, Key::PageDown, Key::Up, Key::Enter] {
        assert!(model.on_key(key).is_empty());
    }
    assert!(seen(&model).contains("no host is chosen"));
}

#[test]
fn more_rows_are_asked_for_when_they_are_needed() {
    let mut report = report();
    let host = |n: u32| row(&std::net::Ipv4Addr::from(0x0A00_0000 + n).to_string(), "a", 5);
    report.rows = (0..24).map(host).collect();
    report.matching = 100_000;
    let mut model = model_of((80, 24), report.clone());
    assert_eq!(model.on_key(Key::End), [Effect::Refresh]);
    assert!(seen(&model).contains("10.0.0.23"));
    let request = model.request();
    assert!(request.rows > 24, "{request:?}");
    for _ in 0..1000 {
        report.rows = (0..u32::try_from(model.request().rows).unwrap()).map(host).collect();
        model.on_report(Ok(report.clone()));
        model.on_key(Key::PageDown);
    }
    assert_eq!((model.request().rows, model.chosen), (512, 511));
    assert!(seen(&model).contains("10.0.1.255"), "{}", seen(&model));
}

#[test]
fn explain_and_whois_are_shown_and_remembered() {
    let mut model = model();
    let host = "203.0.113.77".parse().unwrap();
    assert_eq!(model.on_key(Key::Enter), [Effect::Run(Task::Explain(host))]);
    // What is about somebody else, or comes when nobody waits any more, is not shown.
    model.on_outcome(Outcome::Explained(
        "198.51.100.1".parse().unwrap(),
        Ok(vec!["other".to_owned()]),
    ));
    assert!(!seen(&model).contains("other"));
    let long = format!("  {}", "long words ".repeat(20));
    let lines =
        vec!["203.0.113.77: banned".to_owned(), long, "evil \u{1b}]0;x\u{7} \u{202e}".to_owned()];
    model.on_outcome(Outcome::Explained(host, Ok(lines)));
    insta::assert_snapshot!(seen(&model));
    let address = host.address();
    assert_eq!(keys(&mut model, "w"), [Effect::Run(Task::Whois(address))]);
    model.on_outcome(Outcome::Whois(address, vec!["netname: EVIL\u{1b}[2J".to_owned()]));
    assert!(seen(&model).contains(r"netname: EVIL\u{1b}[2J"));
    model.on_key(Key::Esc);
    // The second time, nobody is asked.
    assert!(keys(&mut model, "w").is_empty());
    assert!(seen(&model).contains("netname: EVIL"));
    for n in 0..1000u32 {
        model.on_outcome(Outcome::Whois(std::net::Ipv4Addr::from(n).into(), Vec::new()));
    }
}

#[test]
fn long_texts_are_scrolled_to_their_end() {
    let mut model = model();
    let host = "203.0.113.77".parse().unwrap();
    model.on_key(Key::Enter);
    let lines = (0..100).map(|n| format!("line {n}.")).collect();
    model.on_outcome(Outcome::Explained(host, Ok(lines)));
    assert!(seen(&model).contains("line 0."));
    for _ in 0..100 {
        model.on_key(Key::PageDown);
    }
    let text = seen(&model);
    assert!(text.contains("line 99.") && text.contains("line 90."), "{text}");
    model.on_key(Key::Home);
    model.on_key(Key::Down);
    assert!(!seen(&model).contains("line 0.") && seen(&model).contains("line 1."));
}

#[test]
fn times_are_local_or_in_utc() {
    let mut model = model_of((200, 50), report());
    let text = seen(&model);
    assert!(text.contains("peak 412 at 14:33") && text.contains("11-22 14:52"), "{text}");
    keys(&mut model, "t");
    let text = seen(&model);
    assert!(text.contains("peak 412 at 13:33") && text.contains("11-22 13:52"), "{text}");
    assert!(text.contains("  UTC"), "{text}");
}

#[test]
fn nothing_of_strangers_acts_on_the_terminal() {
    let evil = "\u{1b}[2J\u{9b}31m\u{7}\r\n\u{202e}\u{200b}";
    let mut report = report();
    for row in &mut report.rows {
        row.ban.jail = evil.to_owned();
        row.ban.ban.host = evil.to_owned();
        row.ban.ban.scope = evil.to_owned();
        row.last_rule = Some(evil.to_owned());
        row.account = Some(evil.to_owned());
        row.ban.ban.place.organisation = Some(evil.to_owned());
    }
    report.version = evil.to_owned();
    report.problems = vec![evil.to_owned()];
    report.paused =
        vec![PauseStatus { jail: Some(evil.to_owned()), until: None, by: Some(evil.to_owned()) }];
    report.logged_in_hosts =
        vec![LoggedInHost { host: evil.to_owned(), account: Some(evil.to_owned()) }];
    for size in [(80, 24), (200, 50)] {
        let mut model = model_of(size, report.clone());
        model.filter = evil.to_owned();
        model.on_report(Err(evil.to_owned()));
        let text = seen(&model).replace('\n', "");
        assert!(
            !text.contains(|c: char| c.is_control() || evil.contains(c) && !c.is_ascii()),
            "{text:?}"
        );
        assert!(text.contains(r"\u{1b}"), "{text}");
        let plain = screen::plain(&model, LOOK, None).concat();
        assert!(!plain.contains(|c: char| c.is_control()), "{plain:?}");
    }
}

#[test]
fn without_colours_there_are_none() {
    let mut model = model();
    model.on_report(Err("gone".to_owned()));
    for (is_coloured, signs) in [(false, Signs::Ascii), (true, Signs::Unicode)] {
        let terminal = drawn(&model, Look { signs, is_coloured });
        let cells = &terminal.backend().buffer().content;
        let coloured =
            cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured.count() > 0, is_coloured);
        let is_ascii = cells.iter().all(|cell| cell.symbol().is_ascii());
        assert_eq!(is_ascii, signs == Signs::Ascii);
        // What is chosen is seen without colours too.
        assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}

#[test]
fn any_size_is_survived() {
    for width in [1, 2, 39, 40, 41, 60, 79, 80, 119, 120, 500] {
        for height in [1, 2, 9, 10, 11, 24, 100] {
            let mut model = model();
            model.on_size((width, height));
            seen(&model);
            for key in [
                Key::Down,
                Key::End,
                Key::Char('f'),
                Key::Char('x'),
                Key::Esc,
                Key::Char('u'),
                Key::Char('n'),
                Key::Enter,
            ] {
                model.on_key(key);
                let text = seen(&model);
                assert!(
                    text.lines().all(|line| line.chars().count() <= usize::from(width) + 2),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn a_pipe_gets_all_of_it() {
    let mut model = model_of((u16::MAX, u16::MAX), report());
    model.on_time(Time::from_secs(NOW));
    let text =
        screen::plain(&model, Look { signs: Signs::Ascii, is_coloured: false }, None).join("\n");
    insta::assert_snapshot!(text);
}
