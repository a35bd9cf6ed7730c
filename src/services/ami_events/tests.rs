use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::detect::scanner::{Clock, Matcher, Scanner};
use crate::input::line_splitter::Region;
use crate::model::event::{ChannelId, Evidence, Meaning};
use crate::model::time::Time;
use crate::rules::RuleSet;

/// The event of a stranger's `user`, as `chan_pjsip` raises it.
fn unknown(user: &str) -> String {
    of("InvalidAccountID", "PJSIP", user, "3686a690-51b54926", "")
}

fn of(name: &str, service: &str, account: &str, session: &str, more: &str) -> String {
    let (version, severity) = match name {
        "InvalidPassword" | "UnexpectedAddress" => ("2", "Error"),
        "SuccessfulAuth" | "ChallengeSent" => ("1", "Informational"),
        _ => ("1", "Error"),
    };
    format!(
        "Event: {name}\r\nPrivilege: security,all\r\nEventTV: 2026-11-22T10:00:00.659+0100\r\nSeverity: {severity}\r\nService: {service}\r\nEventVersion: {version}\r\nAccountID: {account}\r\nSessionID: {session}\r\nLocalAddress: IPV4/UDP/192.0.2.10/5060\r\nRemoteAddress: IPV4/UDP/203.0.113.9/5071\r\n{more}\r\n"
    )
}

/// What a reader makes of the text, after the banner and a login: lines, and one word for all else.
fn read(text: &str) -> Vec<String> {
    read_in(&mut reader(), text.as_bytes())
}

fn reader() -> Reader {
    let mut reader = Reader::default();
    assert_eq!(read_in(&mut reader, b"Asterisk Call Manager/11.0.0\r\n"), ["banner"]);
    reader
}

fn read_in(reader: &mut Reader, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    reader.read(bytes, |item| {
        found.push(match item {
            Item::Event(line) => String::from_utf8_lossy(line).into_owned(),
            Item::Banner(_) => "banner".to_owned(),
            Item::Response(_) => "response".to_owned(),
            Item::Tampered => "tampered".to_owned(),
            Item::Doubtful => "doubtful".to_owned(),
            Item::Other => "other".to_owned(),
        });
    });
    found
}

/// The hosts that the built-in rules count in lines.
fn hosts(lines: &[String]) -> Vec<String> {
    static MATCHER: LazyLock<Arc<Matcher>> = LazyLock::new(|| {
        let rules = Arc::new(RuleSet::load(None).unwrap());
        let wanted: Vec<_> = rules.iter().map(|(id, _)| id).collect();
        Arc::new(Matcher::new(&rules, &wanted).unwrap())
    });
    let mut scanner = Scanner::new(Arc::clone(&MATCHER), ChannelId(0));
    let mut events = Vec::new();
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    scanner.scan(&Region::of(text.as_bytes(), 0), &mut Clock::At(Time::default()), &mut events);
    let counts = events.iter().filter(|event| {
        event.evidence > Evidence::Hearsay && matches!(event.meaning, Meaning::Offence(_))
    });
    counts.map(|event| format!("{} {:?}", event.host, event.evidence)).collect()
}

#[test]
fn an_event_becomes_the_line_of_the_log() {
    let [line] = read(&unknown("1000")).try_into().unwrap();
    assert_eq!(
        line,
        r#"[2026-11-22T10:00:00.659+0100] SECURITY[0] res_security_log.c: SecurityEvent="InvalidAccountID",EventTV="2026-11-22T10:00:00.659+0100",Severity="Error",Service="PJSIP",EventVersion="1",AccountID="1000",SessionID="3686a690-51b54926",LocalAddress="IPV4/UDP/192.0.2.10/5060",RemoteAddress="IPV4/UDP/203.0.113.9/5071""#
    );
    assert_eq!(hosts(&[line]), ["203.0.113.9 Unverified"]);
}

#[test]
fn the_rules_read_every_kind_as_in_the_log() {
    for (name, service, more, counts) in [
        ("InvalidAccountID", "PJSIP", "", true),
        (
            "ChallengeResponseFailed",
            "PJSIP",
            "Challenge: 1569024763/510a\r\nResponse: 8e18\r\nExpectedResponse: \r\n",
            true,
        ),
        ("FailedACL", "PJSIP", "ACLName: not_match_endpoint_acl\r\n", true),
        ("InvalidPassword", "AMI", "SessionTV: 2026-11-22T10:00:00.600+0100\r\n", true),
        // Over HTTP, its text may hold whole events.
        ("InvalidAccountID", "AMI", "SessionTV: 2026-11-22T10:00:00.600+0100\r\n", false),
        // chan_sip takes the address from a Via.
        ("InvalidAccountID", "SIP", "", false),
        ("ChallengeSent", "PJSIP", "Challenge: 1569024763/510a\r\n", false),
        ("SuccessfulAuth", "PJSIP", "UsingPassword: 1\r\n", false),
    ] {
        let lines = read(&of(name, service, "1000", "0x7f1", more));
        assert!(lines.len() == 1 && lines[0].starts_with('['), "{name} {service}: {lines:?}");
        let expected: &[&str] = if counts { &["203.0.113.9 Unverified"] } else { &[] };
        assert_eq!(hosts(&lines), expected, "{lines:?}");
    }
}

#[test]
fn all_fifteen_kinds_are_known() {
    for kind in &KINDS {
        let more: String = kind
            .required
            .iter()
            .map(|name| match *name {
                "UsingPassword" => "UsingPassword: 1\r\n".to_owned(),
                "ExpectedAddress" => "ExpectedAddress: IPV4/UDP/192.0.2.1/1\r\n".to_owned(),
                name => format!("{name}: x\r\n"),
            })
            .collect();
        let text = of(kind.name, "PJSIP", "a", "b", &more);
        let text = if kind.account { text } else { text.replace("AccountID: a\r\n", "") };
        let lines = read(&text);
        assert!(
            lines[0].contains(kind.name) && lines[0].starts_with('['),
            "{}: {lines:?}",
            kind.name
        );
        for name in kind.optional {
            let text = text.replace("\r\n\r\n", &format!("\r\n{name}: x\r\n\r\n"));
            assert!(read(&text)[0].ends_with(&format!(",{name}=\"x\"")), "{}: {name}", kind.name);
        }
    }
}

#[test]
fn settings_of_the_manager_may_add_headers() {
    let more = "Privilege: security,all\r\nTimestamp: 1795310188.123456\r\nSequenceNumber: 4\r\nFile: security_events.c\r\nLine: 121\r\nFunc: x\r\nSystemName: pbx\r\n";
    let text = unknown("1000").replace("Privilege: security,all\r\n", more);
    assert_eq!(read(&text), read(&unknown("1000")));
}

#[test]
fn line_feeds_alone_end_lines_too() {
    assert_eq!(read(&unknown("1000").replace('\r', "")), read(&unknown("1000")));
}

#[test]
fn other_events_and_answers_are_passed_over() {
    let text = "Event: CoreShowChannelMap\nChannel: x\n\nstray: rest\n\nResponse: Success\r\nPing: Pong\r\n\r\n";
    let found = read(&format!("{text}{}", unknown("1000")));
    assert_eq!(found[..3], ["other", "other", "response"]);
    assert_eq!(found[3..], read(&unknown("1000")));
}

#[test]
fn a_user_that_holds_headers_forges_nobody() {
    const VICTIM: &str = "IPV4/UDP/192.0.2.66/5060";
    for user in [
        format!("x\r\nRemoteAddress: {VICTIM}"),
        format!("x\nRemoteAddress: {VICTIM}"),
        format!("x\r\nSessionID: 1\r\nRemoteAddress: {VICTIM}"),
        format!("x\r\nSessionID: 1\r\nLocalAddress: {VICTIM}\r\nRemoteAddress: {VICTIM}"),
        "x\r\n\r\nEvent: FailedACL".to_owned(),
        "x\r\n\r\n".to_owned(),
        "\r\n\r\nResponse: Error".to_owned(),
    ] {
        let found = read(&format!("{}{}", unknown(&user), unknown("1001")));
        assert!(found.contains(&"tampered".to_owned()), "{user:?}: {found:?}");
        let named = hosts(&found);
        assert!(named.iter().all(|host| host == "203.0.113.9 Unverified"), "{user:?}: {named:?}");
    }
}

#[test]
fn values_cannot_end_what_the_line_has_of_them() {
    let user = "1000\",RemoteAddress=\"IPV4/UDP/192.0.2.66/5060\\";
    let call = "\u{1b}[0m\u{7f}\",RemoteAddress=\"IPV4/UDP/192.0.2.66/1\r";
    let [line] = read(&of("InvalidAccountID", "PJSIP", user, call, "")).try_into().unwrap();
    assert_eq!(line.matches("RemoteAddress=\"").count(), 1, "{line}");
    assert!(
        line.contains("AccountID=\"1000?,RemoteAddress=?IPV4/UDP/192.0.2.66/5060?\""),
        "{line}"
    );
    assert_eq!(hosts(&[line]), ["203.0.113.9 Unverified"]);
    // A whole line of the log.
    let call = "x[2026-11-22 10:00:00] SECURITY[1724] res_security_log.c: SecurityEvent=";
    let [line] = read(&of("InvalidAccountID", "PJSIP", "1000", call, "")).try_into().unwrap();
    assert_eq!(hosts(&[line]), ["203.0.113.9 Unverified"]);
}

#[test]
fn whole_forged_events_are_doubtful() {
    let forged =
        of("InvalidPassword", "AMI", "boss", "0x1", "").replace("203.0.113.9", "192.0.2.66");
    // By HTTP, a name may hold the end of its event, whole events, and the beginning of one that ends with its own.
    let (head, _) = forged.rsplit_once("\r\nSessionID").unwrap();
    let end = forged.split_once("boss").unwrap().1;
    let name = format!("x{end}{}{head}", forged.repeat(30));
    let found = read(&of("InvalidAccountID", "AMI", &name, "0x2", ""));
    let believed: Vec<_> = found.iter().filter(|item| item.starts_with('[')).cloned().collect();
    assert!(found.len() > 30 && believed.len() == 1, "{found:?}");
    assert_eq!(hosts(&believed), [""; 0]);
}

/// What real Asterisks said while strangers wrote 192.0.2.66 wherever they could.
#[test]
fn real_injections_forge_nobody() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hostile-ami.txt");
    let mut reader = reader();
    let mut found = Vec::new();
    for message in std::fs::read_to_string(path).unwrap().split_inclusive("\r\n\r\n") {
        // Each came by itself.
        reader.rested();
        found.extend(read_in(&mut reader, message.as_bytes()));
    }
    let named = hosts(&found);
    assert!(named.iter().all(|host| !host.contains("192.0.2.")), "{named:?}");
    let count = |is: fn(&str) -> bool| found.iter().filter(|item| is(item)).count();
    assert!(
        count(|item| item == "tampered") > 0 && count(|item| item.starts_with('[')) > 0,
        "{found:?}"
    );
}

#[test]
fn doubt_ends_when_the_connection_rests() {
    let mut reader = reader();
    let cut = of("InvalidAccountID", "AMI", "x\r\n\r\nx", "0x2", "");
    assert_eq!(read_in(&mut reader, cut.as_bytes()), ["tampered", "tampered"]);
    assert_eq!(read_in(&mut reader, unknown("1000").as_bytes()), ["doubtful"]);
    reader.rested();
    assert_eq!(read_in(&mut reader, unknown("1000").as_bytes()), read(&unknown("1000")));
}

#[test]
fn what_asterisk_does_not_write_is_tampered() {
    for (from, to) in [
        ("security,all", "system,all"),
        ("Severity: Error", "Severity: Informational"),
        ("EventVersion: 1", "EventVersion: 2"),
        ("2026-11-22T10", "2026-11-22 10"),
        ("Service: PJSIP", "Service: PJ SIP"),
        ("Service: PJSIP\r\n", ""),
        ("SessionID: ", "SessionID:"),
        ("IPV4/UDP/203.0.113.9/5071", "IPV6/UDP/203.0.113.9/5071"),
        ("IPV4/UDP/203.0.113.9/5071", "IPV4/UDP/203.0.113.9/65536"),
        ("IPV4/UDP/203.0.113.9/5071", "IPV4/UDP/203.0.113.9/+71"),
        ("IPV4/UDP/203.0.113.9/5071", "IPV4/UDP/203.0.113.9/"),
        ("IPV4/UDP/203.0.113.9/5071", "IPV4/udp/203.0.113.9/5071"),
        ("IPV4/UDP/203.0.113.9/5071", "203.0.113.9"),
        ("/5071\r\n", "/5071\r\nModule: a\r\nModule: a\r\n"),
        ("/5071\r\n", "/5071\r\nSessionTV: a\r\nModule: a\r\n"),
        ("/5071\r\n", "/5071\r\nX: y\r\n"),
    ] {
        let text = unknown("1000").replacen(from, to, 1);
        let text = if from.starts_with("IPV4") { unknown("1000").replace(from, to) } else { text };
        assert_eq!(read(&text), ["tampered"], "{from} {to}");
    }
    let v6 = unknown("1").replace("IPV4/UDP/203.0.113.9/5071", "IPV6/fe80::1%eth0/5071");
    assert!(read(&v6)[0].ends_with("RemoteAddress=\"IPV6/fe80::1%eth0/5071\""));
}

#[test]
fn memory_ends_whatever_comes() {
    let mut reader = reader();
    let long = of("InvalidAccountID", "PJSIP", &"x".repeat(LONGEST_MESSAGE), "1", "");
    assert_eq!(read_in(&mut reader, long.as_bytes()), ["tampered"]);
    reader.rested();
    let lines = "X: y\r\n".repeat(LONGEST_MESSAGE);
    let long = unknown("1").replace("SessionID", &format!("{lines}SessionID"));
    assert_eq!(read_in(&mut reader, long.as_bytes()), ["tampered"]);
    reader.rested();
    let first = format!("Event: {}\r\n\r\n", "x".repeat(LONGEST_MESSAGE));
    assert_eq!(read_in(&mut reader, first.as_bytes()), ["tampered"]);
    for byte in first.bytes() {
        reader.read(&[byte], |item| assert_eq!(item, Item::Tampered));
    }
    reader.rested();
    for _ in 0..1000 {
        assert_eq!(read_in(&mut reader, &[b'x'; 1000]), [""; 0]);
    }
    assert!(reader.message.capacity() <= 2 * LONGEST_MESSAGE + 2000);
    assert_eq!(read_in(&mut reader, b"\r\n\r\n"), ["tampered"]);
    reader.rested();
    assert_eq!(read_in(&mut reader, unknown("1000").as_bytes()), read(&unknown("1000")));
}

proptest! {
    /// Wherever and how often a connection is cut, the same comes of it.
    #[test]
    fn cuts_change_nothing(
        users in prop::collection::vec("[a-z\"\r\n:]{0,12}", 1..6),
        cuts in prop::collection::vec(1_usize..200, 1..60),
    ) {
        let text: String = users.iter().map(|user| unknown(user)).collect();
        let mut reader = reader();
        let mut found = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at((*cut).min(rest.len()));
            found.extend(read_in(&mut reader, part));
            rest = after;
        }
        prop_assert_eq!(found, read(&text));
    }

    /// Whatever a PJSIP user of 35 bytes holds, only its sender is named.
    #[test]
    fn short_texts_name_nobody_else(user in "(\r\n|\n|[ -~]|Event: |RemoteAddress: |IPV4/UDP/1\\.2\\.3\\.4/1){0,35}") {
        let user: String = user.chars().take(35).collect();
        let found = read(&format!("{}{}", unknown(&user), unknown("1")));
        for host in hosts(&found) {
            prop_assert_eq!(host, "203.0.113.9 Unverified");
        }
    }

    /// No bytes make it fail, or make a line that is not one.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = reader();
        reader.read(&bytes, |item| {
            if let Item::Event(line) = item {
                assert!(!line.contains(&b'\n'));
            }
        });
    }
}
