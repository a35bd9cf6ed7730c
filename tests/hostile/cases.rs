//! Small excerpts of logs that once deceived a guard, and what is right: by their text alone, as `replay` reads them,
//! and beside the exchanges that the lines are about.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use asterguard::decide::engine::{Engine, Sight};
use asterguard::decide::exchange_event;
use asterguard::decide::joins::BY_DATES;
use asterguard::detect::scanner::{Clock, Scanner};
use asterguard::detect::timestamp::TimestampParser;
use asterguard::exchange::{Exchanges, Flow};
use asterguard::input::line_splitter::Region;
use asterguard::model::event::{Ban, Decision, Event, Evidence, Meaning};
use asterguard::model::exchange::{Carrier, SipDriver, Source};
use asterguard::model::time::Time;

use crate::guard::plan;
use crate::messages::Transport;
use crate::sip::{Answer, Request};

/// 2026-11-28 10:00:00 UTC.
const TEN: i64 = 1_795_860_000;
const MINUTE: i64 = 60;

/// The events of a log, by the dates of its lines.
fn events(text: &str) -> (Vec<Event>, Engine) {
    let (plan, matcher) = plan();
    let mut engine = Engine::new(Arc::clone(plan));
    engine.join_within(BY_DATES);
    let channel = engine.open_channel(plan.jails().map(|(id, _)| id));
    let mut scanner = Scanner::new(Arc::clone(matcher), channel);
    let reference = Time::from_secs(TEN + 24 * 60 * MINUTE);
    let mut parser = TimestampParser::new(jiff::tz::TimeZone::UTC, reference);
    let (mut last, mut events) = (None, Vec::new());
    scanner.scan(
        &Region::of(text.as_bytes(), 1),
        &mut Clock::Replay(&mut parser, &mut last),
        &mut events,
    );
    (events, engine)
}

/// Has the engine decide about `events`, in the order of their times.
fn decide(mut engine: Engine, mut events: Vec<Event>) -> Vec<String> {
    events.sort_by_key(|event| event.time);
    let mut decisions = Vec::new();
    for event in &events {
        engine.on_tick(event.time, &mut decisions);
        engine.on_event(event, &mut decisions);
    }
    if let Some(last) = events.last() {
        engine.on_tick(last.time.plus(BY_DATES), &mut decisions);
    }
    let said = |ban: &Ban| {
        let jail = plan().0.jail(ban.jail).map_or("", |jail| &jail.name);
        format!("{} {} {jail}", ban.subject, ban.evidence)
    };
    let bans = decisions.iter().filter_map(|decision| match decision {
        Decision::Ban(ban) => Some(said(ban)),
        _ => None,
    });
    let mut bans: Vec<_> = bans.collect();
    bans.sort();
    bans
}

/// The bans by text alone.
fn by_text(text: &str) -> Vec<String> {
    let (events, engine) = events(text);
    decide(engine, events)
}

/// The offences in a text that cannot be believed.
fn hearsay(text: &str) -> usize {
    let hearsay = |event: &&Event| {
        event.evidence == Evidence::Hearsay && matches!(event.meaning, Meaning::Offence(_))
    };
    events(text).0.iter().filter(hearsay).count()
}

/// What a line is about.
struct Attempt {
    /// In seconds.
    at: i64,
    host: &'static str,
    port: u16,
    driver: SipDriver,
    over: Transport,
    call: String,
}

/// The bans by the exchanges of these attempts and the lines about them.
fn beside(text: &str, attempts: &[Attempt]) -> Vec<String> {
    let (mut events, mut engine) = events(text);
    engine.see(Sight { answers: true, ..Sight::default() });
    let (mut exchanges, mut number) = (Exchanges::default(), 0);
    for attempt in attempts {
        let Attempt { at, host, port, driver, over, call } = attempt;
        let host: IpAddr = host.parse().unwrap();
        let carrier = if *over == Transport::Udp { Carrier::Datagram } else { Carrier::Stream };
        let (port, now) = (*port, Time::from_secs(*at));
        let flow = Flow {
            host,
            host_port: port,
            port: 5060,
            carrier,
            source: Source::Wire,
            driver: Some(*driver),
            doubted: false,
        };
        let mut request = Request {
            driver: *driver,
            over: *over,
            host,
            port,
            method: "REGISTER",
            cseq_method: "REGISTER",
            cseq: 1,
            call: call.clone().into_bytes(),
            branch: "z9hG4bK1".to_owned(),
            maddr: None,
            received: None,
            user: "100".to_owned(),
            nonce: None,
        };
        let mut seen = Vec::new();
        for (nonce, status) in [(None, 401), (Some("11112222".to_owned()), 401)] {
            (request.nonce, request.cseq) = (nonce, request.cseq + 1);
            let answer = Answer { status, nonce: Some("11112222".to_owned()) };
            exchanges.message(&flow, &request.bytes(), now, &mut seen);
            exchanges.message(&flow, &request.answer(&answer), now, &mut seen);
        }
        assert_eq!(seen.len(), 1, "one attempt");
        for observation in seen {
            number += 1;
            events.extend(exchange_event::event(&plan().0, &observation, number, now));
        }
    }
    decide(engine, events)
}

fn clock(second: i64) -> String {
    format!("2026-11-28 10:{:02}:{:02}", second / MINUTE, second % MINUTE)
}

fn chan_sip(second: i64, thread: &str) -> String {
    format!(
        "[{}] NOTICE[1638]{thread} chan_sip.c: Registration from '<sip:1@h>' failed for '203.0.113.9:5060' - Wrong password\n",
        clock(second)
    )
}

fn unknown_account(second: i64, account: &str, host: &str) -> String {
    format!(
        "[{}] SECURITY[1724] res_security_log.c: SecurityEvent=\"InvalidAccountID\",EventTV=\"2026-11-28T10:00:00.000+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{account}\",SessionID=\"s{second}\",LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/{host}/33021\"\n",
        clock(second)
    )
}

/// One REGISTER whose user holds a line feed and the head of a line of free text, and later an attacker.
#[test]
fn a_planted_line_of_free_text_switches_nothing_off() {
    let forged = format!("x\n[{}] VERBOSE[1] x", clock(0));
    let mut text = unknown_account(0, &forged, "198.51.100.7");
    for second in 0..8 {
        let account = format!("12{second}");
        text += &unknown_account(MINUTE + 3 * second, &account, "203.0.113.9");
    }
    assert_eq!(by_text(&text), ["203.0.113.9 unverified asterisk-scan"]);
}

#[test]
fn an_honest_line_of_free_text_casts_a_short_doubt() {
    let mut text =
        format!("[{}] VERBOSE[12] logger.c: Asterisk Queue Logger restarted\n", clock(0));
    (1..7).for_each(|second| text += &chan_sip(second, ""));
    assert_eq!(by_text(&text), ["203.0.113.9 unverified asterisk-guess"]);
}

/// An INVITE with line feeds in its `Replaces`, as Asterisk 16.28 wrote it.
#[test]
fn nobody_is_banned_by_what_a_replaces_header_holds() {
    let head = "NOTICE[27305][C-0000000a] chan_sip.c: Supervised transfer attempted to replace non-existent call id (x";
    let forged = "NOTICE[4711] chan_sip.c: Registration from '<sip:1@x>' failed for '192.0.2.70:5060' - Wrong password";
    let one = |second: i64| {
        let date = clock(second);
        format!("[{date}] {head}\n[{date}] {forged}\nz)!\n")
    };
    let text: String = (0..20).map(|number| one(3 * number)).collect();
    assert_eq!((by_text(&text), hearsay(&text)), (vec![], 20));
}

/// An OPTIONS without Call-ID that holds a line of free text, as Asterisk 22.10 wrote it out raw.
#[test]
fn a_raw_packet_with_a_line_of_free_text_switches_nothing_off() {
    let mut text = format!(
        "[{date}] ERROR[27317] pjproject: \t        sip_endpoint.c Error processing packet from 198.51.100.58:44335: Missing required header(s) (PJSIP_EMISSINGHDR) Call-ID [code 171050]:\nOPTIONS sip:203.0.113.22 SIP/2.0\nCSeq: 1 OPTIONS\n\n\n[{date}] VERBOSE[1] x.c: y\n\n-- end of packet.\n",
        date = clock(0)
    );
    for second in 2..8 {
        let _ = writeln!(
            text,
            "[{}] SECURITY[27376] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-28T10:00:02.669+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1000\",SessionID=\"a{second}\",LocalAddress=\"IPV4/UDP/203.0.113.22/5060\",RemoteAddress=\"IPV4/UDP/198.51.100.57/33021\",Challenge=\"1/2\",Response=\"3\",ExpectedResponse=\"\"",
            clock(second)
        );
    }
    assert_eq!(by_text(&text), ["198.51.100.57 unverified asterisk-guess"]);
}

#[test]
fn a_line_behind_a_message_of_two_lines_counts() {
    let mut text = String::new();
    for second in 1..7 {
        let _ = writeln!(
            text,
            "[{}] WARNING[1638] chan_sip.c: Retransmission timeout reached on transmission 1a2b3c{second}@198.51.100.77 for seqno 1 (Critical Response) -- See https://wiki.asterisk.org/wiki/display/AST/SIP+Retransmissions\nPacket timed out after 32000ms with no response",
            clock(second)
        );
        text += &chan_sip(second, "[C-00000001]");
    }
    assert_eq!(by_text(&text), ["203.0.113.9 unverified asterisk-guess"]);
}

fn refused(second: i64, host: &str, call: &str, reason: &str) -> String {
    format!(
        "NOTICE[906]: res_pjsip/pjsip_distributor.c:676 log_failed_request: Request 'REGISTER' from '<sip:1006@192.0.2.10>' failed for '{host}:6816' (callid: {call}{second}) - {reason}\n"
    )
}

fn attempts(host: &'static str, port: u16, driver: SipDriver, over: Transport) -> Vec<Attempt> {
    let attempt = |number: i64| {
        let call = format!("c{}", 3 * number);
        Attempt { at: TEN + 3 * number, host, port, driver, over, call }
    };
    (0..8).map(attempt).collect()
}

/// All that Asterisk's sample configuration has it write about PJSIP.
#[test]
fn notices_of_pjsip_count_beside_their_exchanges_alone() {
    let host = "203.0.113.74";
    let mut text = String::new();
    for second in (0..24).step_by(3) {
        for reason in ["No matching endpoint found", "Failed to authenticate"] {
            let _ = write!(text, "[{}] {}", clock(second), refused(second, host, "c", reason));
        }
    }
    assert_eq!((by_text(&text), hearsay(&text)), (vec![], 16));
    let bans = beside(&text, &attempts(host, 6816, SipDriver::Pjsip, Transport::Udp));
    assert!(bans.contains(&format!("{host} proven asterisk-wire")), "{bans:?}");
}

/// A syslog daemon tells nobody how a message ends.
#[test]
fn lines_by_syslog_count_beside_their_exchanges_alone() {
    let hosts = ["198.51.100.70", "198.51.100.71", "198.51.100.72"];
    let mut text = String::new();
    for second in (0..24).step_by(3) {
        let head = format!("Nov 28 10:00:{second:02} pbx asterisk[555]: ");
        let _ = writeln!(
            text,
            "{head}SECURITY[1724]: res_security_log.c:114 in security_event_stasis_cb: SecurityEvent=\"InvalidAccountID\",EventTV=\"2026-11-28T10:00:00.000+0000\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"100\",SessionID=\"c{second}\",LocalAddress=\"IPV4/TCP/192.0.2.10/5060\",RemoteAddress=\"IPV4/TCP/{}/33021\"",
            hosts[0]
        );
        let _ = writeln!(
            text,
            "{head}NOTICE[1724]: chan_sip.c:28926 in handle_request_register: Registration from '\"100\" <sip:100@192.0.2.10>' failed for '{}:5071' - Wrong password",
            hosts[1]
        );
        text += &head;
        let notice = refused(second, hosts[2], "c", "No matching endpoint found");
        text += &notice.replace("log_failed_request", "in log_failed_request");
    }
    assert_eq!((by_text(&text), hearsay(&text)), (vec![], 24));
    let mut all = attempts(hosts[0], 33021, SipDriver::Pjsip, Transport::Tcp);
    all.extend(attempts(hosts[1], 5071, SipDriver::ChanSip, Transport::Udp));
    all.extend(attempts(hosts[2], 6816, SipDriver::Pjsip, Transport::Udp));
    let bans = beside(&text, &all);
    for host in hosts {
        assert!(bans.contains(&format!("{host} proven asterisk-wire")), "{host}: {bans:?}");
    }
    // One account that does not exist, over and over, is no scan.
    assert!(!bans.contains(&format!("{} proven asterisk-scan", hosts[2])), "{bans:?}");
}

/// What a container prints: nobody knows where the text between the messages comes from.
#[test]
fn lines_on_a_console_count_beside_their_exchanges_alone() {
    let host = "198.51.100.91";
    let mut text = String::new();
    for second in (0..24).step_by(3) {
        let _ = writeln!(
            text,
            "  == Using SIP RTP CoS mark 5\n[Nov 28 10:00:{second:02}] NOTICE[1638]: chan_sip.c:28926 handle_request_register: Registration from '\"100\" <sip:100@192.0.2.10>' failed for '{host}:5071' - Wrong password"
        );
    }
    assert_eq!((by_text(&text), hearsay(&text)), (vec![], 8));
    let bans = beside(&text, &attempts(host, 5071, SipDriver::ChanSip, Transport::Udp));
    assert!(bans.contains(&format!("{host} proven asterisk-wire")), "{bans:?}");
}

/// Asterisk's line about a wrong password, by `chan_sip`.
fn wrong_password(at: i64, account: u32, host: &str) -> String {
    let stamp = jiff::Timestamp::from_second(TEN + at).unwrap();
    let stamp = stamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S");
    format!(
        "[{stamp}] NOTICE[1638][C-0000001a] chan_sip.c: Registration from '\"{account}\" <sip:{account}@192.0.2.10>' failed for '{host}:5071' - Wrong password\n"
    )
}

/// The lines of a log up to the first ban.
fn lines_to_ban(lines: &[String]) -> Option<usize> {
    (1..=lines.len()).find(|count| !by_text(&lines[..*count].concat()).is_empty())
}

/// One try every five minutes: no `findtime` of ten minutes ever holds three.
#[test]
fn slow_guesses_are_banned_within_a_dozen() {
    let host = "203.0.113.200";
    for pause in [281, 900, 3600] {
        let many: Vec<_> =
            (0_u32..20).map(|n| wrong_password(pause * i64::from(n), 100 + n, host)).collect();
        assert_eq!(lines_to_ban(&many), Some(8), "{pause}");
        let one: Vec<_> = (0..20).map(|n| wrong_password(pause * n, 100, host)).collect();
        assert_eq!(lines_to_ban(&one), Some(12), "{pause}");
    }
    // A phone that is switched on each morning with an old password is none.
    let phone: Vec<_> = (0..60).map(|day| wrong_password(86_400 * day, 100, host)).collect();
    assert_eq!(lines_to_ban(&phone), None);
}

/// The phones of an office are logged in over TLS, and one of an account that was deleted goes on trying.
#[test]
fn an_old_phone_gets_no_office_banned() {
    let host = "203.0.113.50";
    let event = |at: i64, event: &str, account: u32, port: u16| {
        let stamp = jiff::Timestamp::from_second(TEN + at).unwrap();
        let stamp = stamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S");
        let (severity, more) = match event {
            "SuccessfulAuth" => ("Informational", ",UsingPassword=\"1\""),
            _ => ("Error", ""),
        };
        format!(
            "[{stamp}] SECURITY[1724] res_security_log.c: SecurityEvent=\"{event}\",EventTV=\"2026-11-28T10:00:00.000+0000\",Severity=\"{severity}\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"{account}\",SessionID=\"s{at}\",LocalAddress=\"IPV4/TLS/192.0.2.10/5061\",RemoteAddress=\"IPV4/TLS/{host}/{port}\"{more}\n"
        )
    };
    let mut text = String::new();
    for minute in 0_u16..180 {
        let at = 60 * i64::from(minute);
        if minute % 30 == 0 {
            (1..=20).for_each(|n| text += &event(at, "SuccessfulAuth", 100 + n, 5100));
        }
        text += &event(at + 7, "InvalidAccountID", 199, 20_000 + minute);
    }
    assert_eq!(by_text(&text), [""; 0]);
    // Beside no phones, it is banned mildly and its host is no scanner.
    let alone: String =
        text.lines().filter(|line| line.contains("Invalid")).collect::<Vec<_>>().join("\n");
    let bans = by_text(&alone);
    assert!(!bans.is_empty() && bans.iter().all(|ban| !ban.contains("scan")), "{bans:?}");
}
