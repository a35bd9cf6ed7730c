//! Tests for what whole regions of lines are read as.

use std::path::PathBuf;

use super::*;
use crate::input::line_splitter::LineSplitter;

const RULES: &str = r#"
ignoreregex = ['from the office']
[[message]]
head = "pbx.c: nothing to see here"
own = true
[[message]]
head = "door.c: nothing to see here"
own = true
[[message]]
head = "net.c: Timeout of '"
end = ["' -- see the manual"]
next = '^Timed out after \d+ms$'
[[message]]
head = "door.c: Call from '"
end = ["' refused"]
[[message]]
head = "net.c: "
contains = "Raw packet"
dump = true
[[message]]
head = "bell.c: Rung by '"
dump = true
reach = 100
[[rule]]
id = "bell"
failregex = '''^bell\.c: Rung by '.*' at <HOST>$'''
class = "scan"
evidence = "unverified"
[[message]]
head = "net.c: "
contains = "says again"
echo = true
[[rule]]
id = "knock"
failregex = '^door\.c: <HOST> knocked.*$'
class = "scan"
evidence = "unverified"
[[rule]]
id = "call"
failregex = '''^door\.c: Call from '.*' at '<HOST:PORT>' to '.*' refused$'''
class = "extension"
evidence = "unverified"
[[rule]]
id = "half-a-call"
failregex = '''^door\.c: Call from '.*' at '<HOST:PORT>' to '[^']*$'''
class = "malformed"
evidence = "unverified"
cut = true
[[rule]]
id = "packet"
failregex = '^net\.c: Raw packet from <TRANSPORT HOST:PORT> follows$'
class = "malformed"
evidence = "unverified"
[[rule]]
id = "again"
failregex = '^net\.c: <HOST> says again .*$'
class = "scan"
evidence = "proven"
[[rule]]
id = "login"
failregex = '^door\.c: <HOST> came in as "[^"]*"$'
class = "success"
evidence = "proven"
account = { after = 'as "' }
[[rule]]
id = "welcome"
failregex = '^door\.c: <HOST> knocked politely$'
class = "ignored"
evidence = "unverified"
"#;

fn matcher(texts: &[&str]) -> Arc<Matcher> {
    let files = (0..).zip(texts);
    let sources: Vec<(PathBuf, String)> =
        files.map(|(n, text): (i32, _)| (format!("{n}.toml").into(), (*text).to_owned())).collect();
    let rules = Arc::new(RuleSet::parse(&sources).unwrap_or_else(|wrong| panic!("{wrong}")));
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    Arc::new(Matcher::new(&rules, &all).unwrap())
}

/// Reads `text` in pieces of `size` bytes; each event as `line meaning host evidence`.
fn read_in_pieces(matcher: &Arc<Matcher>, text: &[u8], size: usize) -> Vec<String> {
    let mut scanner = Scanner::new(Arc::clone(matcher), ChannelId(0));
    let mut splitter = LineSplitter::new(size);
    let mut events = Vec::new();
    for piece in text.chunks(size) {
        splitter.space()[..piece.len()].copy_from_slice(piece);
        splitter.filled(piece.len());
        while let Some(region) = splitter.next_region() {
            scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        }
    }
    let words = |event: &Event| match event.meaning {
        Meaning::Offence(_) => format!("{} offence {} {}", event.line, event.host, event.evidence),
        Meaning::Tampered => format!("{} tampered", event.line),
        Meaning::Ignored => format!("{} ignored {}", event.line, event.host),
        Meaning::Success => format!("{} success {} {}", event.line, event.host, event.evidence),
    };
    events.iter().map(words).collect()
}

/// Reads `text` in pieces of several sizes: what is read must not depend on how the bytes arrive.
fn read(text: &[u8]) -> Vec<String> {
    let matcher = matcher(&[RULES]);
    let whole = read_in_pieces(&matcher, text, 1 << 17);
    for size in [1000, 61, 7] {
        assert_eq!(read_in_pieces(&matcher, text, size), whole, "in pieces of {size}");
    }
    whole
}

const KNOCK: &str = "[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked\n";
const NOISE: &str = "[Nov 22 00:52:46] NOTICE[1] pbx.c: nothing to see here, move along\n";

fn text(parts: &[&str]) -> Vec<u8> {
    parts.concat().into_bytes()
}

#[test]
fn lines_that_a_rule_matches_are_found_among_others() {
    let lines = text(&[NOISE, KNOCK, "\n", NOISE, NOISE, "\u{fffd}\n", NOISE, KNOCK]);
    assert_eq!(
        read(&lines),
        ["2 offence 203.0.113.9 unverified", "8 offence 203.0.113.9 unverified"]
    );
    let crlf = String::from_utf8(lines).unwrap().replace('\n', "\r\n");
    assert_eq!(read(crlf.as_bytes()).len(), 2);
    assert!(read(b"").is_empty());
    assert!(read(b"\n\n\0\n\xff\xfe\n").is_empty());
}

#[test]
fn bytes_that_are_no_text_hide_nothing() {
    let lines = b"[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked \xff\xfe\0\x1b[31m\n";
    assert_eq!(read(lines), ["1 offence 203.0.113.9 unverified"]);
}

#[test]
fn levels_that_report_nothing_are_not_read() {
    for level in ["DEBUG", "DTMF"] {
        assert!(read(KNOCK.replace("NOTICE", level).as_bytes()).is_empty(), "{level}");
    }
    for level in ["WARNING", "ERROR", "SECURITY"] {
        assert_eq!(read(KNOCK.replace("NOTICE", level).as_bytes()).len(), 1, "{level}");
    }
}

#[test]
fn no_line_proves_anything_whatever_transport_it_names() {
    for transport in ["UDP", "TCP", "TLS", "WSS"] {
        let line =
            format!("[x] NOTICE[1] net.c: Raw packet from {transport} 203.0.113.9:5060 follows\n");
        assert_eq!(read(line.as_bytes()), ["1 offence 203.0.113.9 unverified"]);
    }
}

#[test]
fn a_line_with_two_readings_names_nobody() {
    let line = |exten: &str| {
        format!("[x] NOTICE[1] door.c: Call from 'a' at '203.0.113.9:5060' to '{exten}' refused\n")
    };
    assert_eq!(read(line("b").as_bytes()), ["1 offence 203.0.113.9 unverified"]);
    assert_eq!(read(line("b' at '192.0.2.66:1' to 'c").as_bytes()), ["1 tampered"]);
}

#[test]
fn what_is_excused_is_ignored() {
    let polite = KNOCK.replace("knocked", "knocked politely");
    assert_eq!(read(polite.as_bytes()), ["1 ignored 203.0.113.9", "1 ignored 203.0.113.9"]);
    let office = KNOCK.replace("knocked", "knocked from the office");
    assert_eq!(read(office.as_bytes()), ["1 ignored 203.0.113.9"]);
}

#[test]
fn two_rules_that_name_two_hosts_are_a_forgery() {
    let other = r"
[[rule]]
id = 'other'
failregex = '^door\.c: 203\.0\.113\.9 knocked for <HOST>$'
class = 'scan'
evidence = 'proven'
";
    let line = KNOCK.replace("knocked", "knocked for 192.0.2.66");
    let events = read_in_pieces(&matcher(&[RULES, other]), line.as_bytes(), 1000);
    assert_eq!(events, ["1 tampered", "1 tampered"]);
}

#[test]
fn what_follows_a_message_that_was_cut_is_hearsay() {
    let cut = "[x] NOTICE[1] door.c: Call from 'a\n";
    assert_eq!(
        read(&text(&[KNOCK, cut, KNOCK])),
        ["1 offence 203.0.113.9 unverified", "3 offence 203.0.113.9 hearsay"]
    );
    let whole = "[x] NOTICE[1] door.c: Call from 'a' at 'nowhere' refused\n";
    assert_eq!(read(&text(&[whole, KNOCK])), ["2 offence 203.0.113.9 unverified"]);
    // A rule may read the half that is left. The other half may name its sender, and nobody else.
    let half = "[x] NOTICE[1] door.c: Call from 'a' at '192.0.2.1:5060' to 'b\n";
    let knock = KNOCK.replace("203.0.113.9", "192.0.2.1");
    assert_eq!(
        read(&text(&[half, KNOCK, &knock])),
        [
            "1 offence 192.0.2.1 unverified",
            "2 offence 203.0.113.9 hearsay",
            "3 offence 192.0.2.1 unverified"
        ]
    );
    // The doubt ends 8192 bytes on.
    let (near, far) = (NOISE.repeat(8192 / NOISE.len()), NOISE.repeat(8192 / NOISE.len() + 1));
    assert!(read(&text(&[cut, &near, KNOCK]))[0].ends_with("hearsay"));
    assert!(read(&text(&[cut, &far, KNOCK]))[0].ends_with("unverified"));
}

#[test]
fn nobody_logs_in_behind_a_message_that_no_rule_reads() {
    let login = "[x] NOTICE[1] door.c: 192.0.2.1 came in as \"1000\"\n";
    let other = "[x] NOTICE[1] net.c: whatever, and who knows whose\n";
    let near = NOISE.repeat(8192 / NOISE.len());
    let far = NOISE.repeat(8192 / NOISE.len() + 1);
    for (between, success) in [(near, "hearsay"), (far, "unverified")] {
        let last = |line| read(&text(&[other, &between, line])).pop().unwrap();
        assert!(last(login).ends_with(success), "{}", last(login));
        assert!(last(KNOCK).ends_with("unverified"));
    }
}

#[test]
fn a_message_of_two_lines_that_is_known_is_whole() {
    let first = "[x] NOTICE[1] net.c: Timeout of 'a' -- see the manual\n";
    let second = "Timed out after 32ms\n";
    assert!(read(&text(&[first, second, KNOCK]))[0].ends_with("unverified"));
    let forged = "[x] NOTICE[1] net.c: Timeout of 'a\n";
    for lines in [
        [forged, second, KNOCK],
        [first, "Timed out after long\n", KNOCK],
        ["\n", second, KNOCK],
        [NOISE, second, KNOCK],
    ] {
        assert!(read(&text(&lines))[0].ends_with("hearsay"), "{lines:?}");
    }
}

#[test]
fn what_follows_a_raw_packet_is_hearsay_but_for_its_sender() {
    let packet =
        |host: &str| format!("[x] NOTICE[1] net.c: Raw packet from UDP {host}:5060 follows\n");
    let (eve, mallory) = (packet("192.0.2.1"), packet("192.0.2.2"));
    let raw = "INVITE sip:a SIP/2.0\n";
    let lines = text(&[&eve, raw, "-- end of packet.\n", NOISE, KNOCK]);
    assert_eq!(read(&lines), ["1 offence 192.0.2.1 unverified", "5 offence 203.0.113.9 hearsay"]);
    // Text that Eve wrote may name Eve, but not when Mallory wrote as well.
    let knock = KNOCK.replace("203.0.113.9", "192.0.2.1");
    assert!(read(&text(&[&eve, raw, NOISE, &knock]))[1].ends_with("unverified"));
    assert!(read(&text(&[&eve, &mallory, raw, NOISE, &knock]))[2].ends_with("hearsay"));
    assert!(read(&text(&[&eve, raw, &knock]))[1].ends_with("hearsay"), "no line of its own");
    // A message that repeats such text goes on with the doubt, but does not begin one.
    let again = "[x] NOTICE[1] net.c: 192.0.2.1 says again x\n";
    assert_eq!(read(&text(&[again, KNOCK]))[1], "2 offence 203.0.113.9 unverified");
    let noise = NOISE.repeat(8000 / NOISE.len());
    let lines = text(&[&eve, &noise, again, &noise, KNOCK]);
    assert!(read(&lines)[2].ends_with("hearsay"));
}

#[test]
fn what_was_written_before_the_start_is_part_of_the_context() {
    let head = "[2026-11-22 10:00:00] ERROR[1] net.c: Raw packet from UDP 192.0.2.1:9 follows";
    let matcher = matcher(&[RULES]);
    let events = |before: &[u8]| {
        let lines = text(&[KNOCK, KNOCK]);
        let bytes = [before, &lines].concat();
        let region = Region { bytes: &bytes, start: before.len(), ..Region::of(&lines, 1) };
        let (mut scanner, mut events) =
            (Scanner::new(Arc::clone(&matcher), ChannelId(0)), Vec::new());
        scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        assert_eq!(scanner.stats().hits, 2, "only what was given out is counted");
        events.iter().map(|event| event.evidence).collect::<Vec<_>>()
    };
    let (hearsay, believed) = (Evidence::Hearsay, Evidence::Unverified);
    assert_eq!(events(b""), [believed; 2]);
    assert_eq!(events(&text(&[NOISE, NOISE])), [believed; 2]);
    assert_eq!(events(&text(&[head, NOISE])), [hearsay; 2]);
    // A full history begins inside a line: what follows may be of that line, as far as it reached.
    let full = [vec![b'x'; HISTORY - 2], b"\n\n".to_vec()].concat();
    assert_eq!(events(&full), [hearsay; 2]);
    let quiet = NOISE.repeat(HISTORY).into_bytes();
    let full = &quiet[quiet.len() - HISTORY..];
    assert!(memchr::memchr(b'\n', full).unwrap() < KNOCK.len());
    assert_eq!(events(full), [hearsay, believed]);
}

#[test]
fn what_follows_a_short_text_is_hearsay_for_a_short_while() {
    let rung = "[x] NOTICE[1] bell.c: Rung by 'a' at 192.0.2.1\n";
    assert_eq!(
        read(&text(&[rung, KNOCK, rung])),
        [
            "1 offence 192.0.2.1 unverified",
            "2 offence 203.0.113.9 hearsay",
            "3 offence 192.0.2.1 unverified"
        ]
    );
    let noise = NOISE.repeat(100 / NOISE.len() + 1);
    assert!(read(&text(&[rung, &noise, KNOCK]))[1].ends_with("unverified"));
}

#[test]
fn nobody_writes_himself_a_login() {
    let login = "[x] NOTICE[1] door.c: 192.0.2.1 came in as \"1000\"\n";
    assert_eq!(read(login.as_bytes()), ["1 success 192.0.2.1 unverified"]);
    let packet = "[x] NOTICE[1] net.c: Raw packet from TCP 192.0.2.1:5060 follows\n";
    let forged = text(&[packet, "INVITE sip:a SIP/2.0\n", NOISE, login]);
    assert_eq!(read(&forged), ["1 offence 192.0.2.1 unverified", "4 success 192.0.2.1 hearsay"]);
}

#[test]
fn a_line_after_one_that_is_no_message_is_hearsay() {
    let lines = text(&[NOISE, "Via: SIP/2.0/UDP 198.51.100.119\n", KNOCK, KNOCK]);
    assert_eq!(read(&lines), ["3 offence 203.0.113.9 hearsay", "4 offence 203.0.113.9 unverified"]);
    // Asterisk ends some messages with an empty line, and begins files with a banner.
    let banner =
        "[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64 running Linux\n";
    assert_eq!(read(&text(&[NOISE, "\n", KNOCK])), ["3 offence 203.0.113.9 unverified"]);
    assert_eq!(read(&text(&[banner, KNOCK])), ["2 offence 203.0.113.9 unverified"]);
    // In a file of a syslog daemon, others write too.
    let syslog = "Nov 22 10:00:00 pbx asterisk[1]: NOTICE[1]: door.c:6 in f: 203.0.113.9 knocked\n";
    assert_eq!(
        read(&text(&["Nov 22 10:00:00 pbx sshd[1]: hello\n", syslog])),
        ["2 offence 203.0.113.9 unverified"]
    );
}

#[test]
fn what_follows_a_line_that_asterisk_cut_is_hearsay() {
    let long = format!("[x] NOTICE[1] pbx.c: {}\n", "a".repeat(8000));
    assert_eq!(read(&text(&[&long, KNOCK])), ["2 offence 203.0.113.9 hearsay"]);
    let long_hit = KNOCK.replace("knocked", &format!("knocked{}", " ".repeat(8000)));
    assert!(read(long_hit.as_bytes()).is_empty());
}

#[test]
fn what_follows_free_text_is_hearsay_for_a_short_while() {
    let far = NOISE.repeat(8192 / NOISE.len() + 1);
    for level in ["VERBOSE", "DEBUG"] {
        let free = format!("[x] {level}[1] pbx.c: -- Executing\n");
        assert!(read(&text(&[&free, KNOCK]))[0].ends_with("hearsay"));
        assert!(read(&text(&[&free, NOISE, KNOCK]))[0].ends_with("hearsay"));
        assert!(read(&text(&[&free, &far, KNOCK]))[0].ends_with("unverified"));
        assert!(read(&text(&[KNOCK, &free]))[0].ends_with("unverified"));
        // A record that was cut lacks its line feed.
        let glued = format!("[x] NOTICE[1] door.c: nothing of not{free}");
        assert!(read(&text(&[&glued, KNOCK]))[0].ends_with("hearsay"));
        // So may be an object.
        let record = object("door.c", "NOTICE", "192.0.2.66 knocked");
        assert!(read(&text(&[&free, &record]))[0].ends_with("hearsay"));
        let by_syslog =
            "Nov 22 10:00:00 pbx asterisk[467]: NOTICE[1]: door.c:6 in f: 192.0.2.66 knocked\n";
        assert!(read(&text(&[&free, by_syslog]))[0].ends_with("hearsay"));
        // A syslog daemon leaves no line feed in a message.
        let free = format!("Nov 22 10:00:00 pbx asterisk[467]: {level}[1]: pbx.c:6 in f: x\n");
        assert!(read(&text(&[&free, by_syslog]))[0].ends_with("unverified"));
    }
}

/// A line as the console shows it.
fn console(body: &str) -> String {
    format!(
        "[Nov 22 00:52:46] \u{1b}[1;33mNOTICE\u{1b}[0m[1]: \u{1b}[1;37mdoor.c\u{1b}[0m:\u{1b}[1;37m6\u{1b}[0m \u{1b}[1;37mf\u{1b}[0m: {body}\n"
    )
}

/// A line of the `[json]` formatter; `message` is escaped.
fn object(file: &str, level: &str, message: &str) -> String {
    format!(
        r#"{{"hostname":"","timestamp":"Nov 22 00:52:46","identifiers":{{"lwp":1,"callid":""}},"logmsg":{{"location":{{"filename":"{file}","function":"f","line":6}},"level":"{level}","message":"{message}\n"}}}}"#
    ) + "\n"
}

#[test]
fn free_text_on_a_console_makes_hearsay_of_what_follows() {
    let knock = console("203.0.113.9 knocked");
    let other = console("nothing to see here");
    assert_eq!(
        read(&text(&[&other, &knock, "\n", &other, &knock])),
        ["2 offence 203.0.113.9 unverified", "5 offence 203.0.113.9 unverified"]
    );
    // A number that somebody dialled broke the line: whatever is made to look like a message follows.
    let dialled = "    -- Executing [9\n";
    for forged in [&other, "[x] DEBUG[1]: x.c:1 f: y\n", NOISE, "NOTICE[1]: x.c:1 f: y\n"] {
        let lines = text(&[&knock, dialled, forged, &knock, &knock]);
        assert_eq!(
            read(&lines)[1..],
            ["4 offence 203.0.113.9 hearsay", "5 offence 203.0.113.9 hearsay"]
        );
    }
    let far = other.repeat(8192 / other.len() + 1);
    assert!(read(&text(&[dialled, &far, &knock]))[0].ends_with("unverified"));
    // Lines that journald captured: each line has a header of its own.
    let captured = |line: &str| format!("Nov 22 00:52:46 pbx asterisk[1]: {line}");
    let lines = [&knock, dialled, NOISE, &knock].map(captured);
    assert_eq!(
        read(lines.concat().as_bytes()),
        ["1 offence 203.0.113.9 unverified", "4 offence 203.0.113.9 hearsay"]
    );
    // A raw packet is its sender's, on a console as well.
    let packet = console("x").replace("door.c", "net.c");
    let packet = packet.replace(": x", ": Raw packet from UDP 192.0.2.1:5060 follows");
    let eve = console("192.0.2.1 knocked");
    assert_eq!(
        read(&text(&[&packet, "INVITE sip:a SIP/2.0\n", &other, &knock, &eve])),
        [
            "1 offence 192.0.2.1 unverified",
            "4 offence 203.0.113.9 hearsay",
            "5 offence 192.0.2.1 unverified"
        ]
    );
}

#[test]
fn an_object_holds_all_of_its_message() {
    let knock = object("door.c", "NOTICE", "203.0.113.9 knocked");
    let forged = r"Call from 'a\n[x] NOTICE[1] door.c: 192.0.2.66 knocked\n{\u0022";
    let cut = object("door.c", "NOTICE", forged);
    assert_eq!(
        read(&text(&[&cut, &knock, &cut, &knock])),
        ["2 offence 203.0.113.9 unverified", "4 offence 203.0.113.9 unverified"]
    );
    // A rule reads beyond a line feed, as one line.
    let broken = object("door.c", "NOTICE", r"Call from 'a\nb' at '203.0.113.9:1' to 'c' refused");
    assert_eq!(read(broken.as_bytes()), ["1 offence 203.0.113.9 unverified"]);
    // Free text inside an object is no danger to the next one.
    let verbose = object("pbx.c", "VERBOSE", r"[x] VERBOSE[1] pbx.c: -- Executing");
    assert_eq!(read(&text(&[&verbose, &knock])), ["2 offence 203.0.113.9 unverified"]);
    // On a console and in a text file, an object may be forged like any line.
    for before in ["    -- Executing [9\n", "[x] NOTICE[1] door.c: Call from 'a\n"] {
        let lines = text(&[before, &verbose, &knock]);
        assert_eq!(read(&lines), ["3 offence 203.0.113.9 hearsay"], "{before}");
    }
}

/// Whether the lines prove something, of files of these.
fn evidence_of(lines: &[&str]) -> Vec<String> {
    read(&text(lines)).iter().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn records_of_a_file_that_holds_nothing_else_prove_their_transport() {
    let packet = |transport: &str| {
        object("net.c", "NOTICE", &format!("Raw packet from {transport} 203.0.113.9:5060 follows"))
    };
    let (tls, udp) = (packet("TLS"), packet("UDP"));
    let banner = "[Nov 22 00:52:46] Asterisk 22.10.0 built by root @ pbx on a x86_64\n";
    assert_eq!(evidence_of(&[banner, &tls, &udp, &tls]), ["proven", "unverified", "proven"]);
    // One line of another form, and nothing does as far as a message reaches.
    let verbose = object("pbx.c", "VERBOSE", "-- Executing");
    let near = verbose.repeat(8192 / verbose.len() - 1);
    let far = verbose.repeat(8192 / verbose.len() + 1);
    assert_eq!(evidence_of(&[NOISE, &near, &tls]), ["unverified"]);
    assert_eq!(evidence_of(&[NOISE, &far, &tls]), ["proven"]);
}

#[test]
fn a_line_that_two_messages_share_names_nobody() {
    // The first was cut, its line feed too, and an ESC hid how long it was.
    let call = "[x] NOTICE[1] door.c: Call from 'a' at '203.0.113.9:5060' to 'b";
    let end = "[x] NOTICE[1] pbx.c: ' refused\n";
    assert_eq!(
        read(&text(&[call, end, KNOCK])),
        ["1 tampered", "2 offence 203.0.113.9 unverified"]
    );
    // Anything that the second may hold is not lost.
    let packet = "[x] NOTICE[1] net.c: Raw packet from UDP 192.0.2.1:5060 follows\n";
    assert_eq!(
        read(&text(&[call, packet, KNOCK])),
        ["1 tampered", "2 offence 203.0.113.9 hearsay"]
    );
}

#[test]
fn what_stands_behind_another_message_casts_its_doubt() {
    let raw = "[x] NOTICE[1] net.c: Raw packet from UDP 192.0.2.1:5060 follows";
    let knock = |line: &str| read(&text(&[line, "\n", NOISE, KNOCK])).pop().unwrap();
    // The rest of a message that was cut, one of a level that is not read, and one of two others.
    for before in ["aaaa", "[x] DEBUG[1] net.c: aaa", "[x] NOTICE[1] net.c: a[x] NOTICE[1] a.c: a"]
    {
        assert!(knock(&format!("{before}{raw}")).ends_with("hearsay"), "{before}");
        assert!(knock(&format!("{before}{raw}[x] NOTICE[1] net.c: a")).ends_with("hearsay"));
    }
    assert!(knock("aaaa").ends_with("unverified"));
    // With many, nobody looks at all of them.
    let many = "[x] NOTICE[1] pbx.c: nothing to see here".repeat(8);
    assert!(knock(&many).ends_with("unverified"));
    assert!(knock(&format!("{many}{many}")).ends_with("hearsay"));
}

#[test]
fn what_syslog_cannot_show_to_be_whole_is_hearsay() {
    let call = "door.c:7 in f: Call from 'a' at '203.0.113.9:1' to 'b' refused";
    for (prefix, evidence) in [
        ("[x] NOTICE[1]: ", "unverified"),
        ("Nov 22 00:52:46 pbx asterisk[1]: NOTICE[1]: ", "hearsay"),
    ] {
        assert!(read(&text(&[prefix, call, "\n"]))[0].ends_with(evidence), "{prefix}");
        // Nobody can write anything before this address.
        let knock = "door.c:7 in f: 203.0.113.9 knocked\n";
        assert!(read(&text(&[prefix, knock]))[0].ends_with("unverified"), "{prefix}");
    }
}

#[test]
fn a_doubt_ends_when_the_writer_rests() {
    let packet = "[x] NOTICE[1] net.c: Raw packet from UDP 192.0.2.1:5060 follows\nINVITE\n";
    let events = |rested: bool| {
        let mut scanner = Scanner::new(matcher(&[RULES]), ChannelId(0));
        let mut events = Vec::new();
        let (first, then) = (text(&[packet]), text(&[KNOCK, KNOCK]));
        let whole = [first.clone(), then].concat();
        scanner.scan(&Region::of(&first, 1), &mut Clock::At(Time::default()), &mut events);
        if rested {
            scanner.rested();
        }
        let rest = Region { bytes: &whole, start: first.len(), ..Region::of(&whole, 3) };
        scanner.scan(&rest, &mut Clock::At(Time::default()), &mut events);
        events.iter().skip(1).map(|event| event.evidence).collect::<Vec<_>>()
    };
    assert_eq!(events(false), [Evidence::Hearsay; 2]);
    assert_eq!(events(true), [Evidence::Unverified; 2]);
}

/// Anything before the first region has been over for long then.
#[test]
fn doubt_before_first_region_ends_when_writer_rests() {
    let packet = "[x] NOTICE[1] net.c: Raw packet from UDP 192.0.2.1:5060 follows\nINVITE\n";
    let free = "[x] VERBOSE[1] app.c: whatever\n";
    let event = |before: &str, rested: bool| {
        let mut scanner = Scanner::new(matcher(&[RULES]), ChannelId(0));
        let mut events = Vec::new();
        let (before, line) = (text(&[before]), text(&[KNOCK]));
        let whole = [before.clone(), line].concat();
        if rested {
            scanner.rested();
        }
        let region = Region { bytes: &whole, start: before.len(), ..Region::of(&whole, 3) };
        scanner.scan(&region, &mut Clock::At(Time::default()), &mut events);
        events[0].evidence
    };
    assert_eq!(event(packet, false), Evidence::Hearsay);
    assert_eq!(event(packet, true), Evidence::Unverified);
    assert_eq!(event(free, false), Evidence::Hearsay);
    assert_eq!(event(free, true), Evidence::Unverified);
    // A history that is full begins in the middle of something.
    let long = packet.to_owned() + &"a\n".repeat(HISTORY);
    assert_eq!(event(&long, false), Evidence::Hearsay);
    assert_eq!(event(&long, true), Evidence::Unverified);
}

#[test]
fn a_doubt_reaches_as_far_as_its_message() {
    let rules = RULES.replacen("dump = true", "dump = true\nreach = 100", 1);
    let packet = "[x] NOTICE[1] net.c: Raw packet from UDP 192.0.2.1:5060 follows\n";
    for (noise, evidence) in [(1, "hearsay"), (2, "unverified")] {
        let lines = text(&[packet, &NOISE.repeat(noise), KNOCK]);
        let events = read_in_pieces(&matcher(&[&rules]), &lines, 61);
        assert!(events[1].ends_with(evidence), "{noise}: {events:?}");
    }
}

/// The headers of those who capture a console.
const CAPTURED: [fn(&str) -> String; 7] = [
    |line| format!("2026-11-22T00:52:46.123456789Z stdout F {line}"),
    |line| format!("asterisk-1  | {line}"),
    |line| format!("asterisk-1  | 2026-11-22T00:52:46.1Z {line}"),
    |line| format!("Nov 22 00:52:46 host 3f1c2d4e5a6b[1234]: {line}"),
    |line| format!("Nov 22 00:52:46 node freepbx[77]: {line}"),
    |line| {
        let quoted = serde_json::to_string(line).unwrap();
        format!("{{\"log\":{quoted},\"stream\":\"stdout\"}}\n")
    },
    |line| {
        let numbers: Vec<_> = line.trim_end().bytes().map(|byte| byte.to_string()).collect();
        format!("{{\"MESSAGE\":[{}],\"_COMM\":\"asterisk\"}}\n", numbers.join(","))
    },
];

#[test]
fn free_text_among_captured_lines_makes_hearsay_of_what_follows() {
    let (knock, other) = (console("203.0.113.9 knocked"), console("nothing to see here"));
    // As many lines as a message can have.
    let far = other.repeat(8192);
    for captured in CAPTURED {
        let lines = |parts: &[&str]| -> Vec<u8> {
            let lines = parts.iter().flat_map(|part| part.split_inclusive('\n'));
            lines.map(captured).collect::<String>().into_bytes()
        };
        let header = captured("x\n");
        // Whoever attacks is seen, beside others too.
        assert!(read(&lines(&[&other, &knock]))[0].ends_with("203.0.113.9 unverified"), "{header}");
        // What somebody dialled broke a line, and a whole message follows; some is VERBOSE, which a journal's
        // numbers hide.
        for free in ["    -- Executing [9\n", "[x] VERBOSE[1]: pbx.c:1 f: -- Executing [9\n"] {
            assert!(read(&lines(&[free, &knock]))[0].ends_with("hearsay"), "{header}{free}");
            assert!(
                read(&lines(&[free, &other, &knock]))[0].ends_with("hearsay"),
                "{header}{free}"
            );
            let seen = read_in_pieces(&matcher(&[RULES]), &lines(&[free, &far, &knock]), 1 << 16);
            assert!(seen[0].ends_with("unverified"), "{header}{free}");
        }
        // A header that a sender writes into his text is not one: it is text.
        let forged = captured(&knock);
        assert!(read(&lines(&[&other, &forged])).is_empty(), "{header}");
    }
}

#[test]
fn a_message_of_two_lines_is_whole_on_a_console_too() {
    let first = console("x").replace("door.c", "net.c");
    let first = first.replace(": x\n", ": Timeout of 'a' -- see the manual\n");
    let knock = console("203.0.113.9 knocked");
    let (second, other) = ("Timed out after 32ms\n", "Timed out after long\n");
    for captured in CAPTURED.into_iter().chain([str::to_owned as fn(&str) -> String]) {
        let lines = |second: &str| {
            text(&[&captured(&first), &captured(second), &captured(&knock), &captured(&knock)])
        };
        let both = ["3 offence 203.0.113.9 unverified", "4 offence 203.0.113.9 unverified"];
        assert_eq!(read(&lines(second)), both, "{}", captured(""));
        assert!(read(&lines(other))[0].ends_with("hearsay"), "{}", captured(""));
        // By itself, the second line is anybody's.
        let alone = text(&[&captured(&knock), &captured(second), &captured(&knock)]);
        assert!(read(&alone)[1].ends_with("hearsay"), "{}", captured(""));
    }
}

/// A record of CRI's.
fn record(stream: &str, tag: &str, text: &str) -> String {
    format!("2026-11-22T00:52:46.123456789Z {stream} {tag} {text}\n")
}

#[test]
fn a_line_in_pieces_is_put_together() {
    let knock = console("203.0.113.9 knocked");
    let line = knock.trim_end();
    let whole = record("stdout", "F", line);
    for cut in [1, 5, 20, 40, line.len() - 3, line.len()] {
        let (head, tail) = line.split_at(cut);
        let (head, tail) = (record("stdout", "P", head), record("stdout", "F", tail));
        assert_eq!(
            read(&text(&[&head, &tail, &whole])),
            ["2 offence 203.0.113.9 unverified", "3 offence 203.0.113.9 unverified"],
            "cut at {cut}"
        );
    }
    // In three.
    let lines = [("P", &line[..10]), ("P", &line[10..30]), ("F", &line[30..])];
    let parts: Vec<_> = lines.iter().map(|(tag, text)| record("stdout", tag, text)).collect();
    assert_eq!(read(parts.concat().as_bytes()), ["3 offence 203.0.113.9 unverified"]);
}

#[test]
fn a_piece_is_never_taken_for_a_line() {
    let forged = console("192.0.2.66 knocked");
    let forged = forged.trim_end();
    let knock = record("stdout", "F", console("203.0.113.9 knocked").trim_end());
    // What a sender wrote came to stand at the beginning of a piece.
    let head = console("noise of ").trim_end().to_owned() + &"x".repeat(500);
    for (first, between, last) in [
        (record("stdout", "P", &head), String::new(), record("stdout", "F", forged)),
        (record("stdout", "P", &head), record("stderr", "F", "x"), record("stdout", "F", forged)),
        (record("stdout", "P", &head), String::new(), record("stdout", "P", forged)),
        // Its beginning is out of sight.
        (
            record("stdout", "P", &"y".repeat(7900)),
            record("stdout", "P", &"x".repeat(7900)),
            record("stdout", "F", forged),
        ),
    ] {
        let events = read(&text(&[&knock, &first, &between, &last]));
        assert_eq!(events, ["1 offence 203.0.113.9 unverified"], "{first}{last}");
    }
}

#[test]
fn another_container_is_not_asterisk_where_tags_are_named() {
    let matcher = Matcher::new(
        &matcher(&[RULES]).rules,
        &matcher(&[RULES]).rules.iter().map(|(id, _)| id).collect::<Vec<_>>(),
    );
    let matcher = Arc::new(matcher.unwrap().with_tags(Tags::new(["pbx"])));
    let (eve, innocent) = (console("203.0.113.9 knocked"), console("192.0.2.66 knocked"));
    let lines = format!(
        "pbx-1  | {eve}web-1  | {innocent}Nov 22 00:52:46 host 3f1c2d4e5a6b[1]: {innocent}"
    );
    let events = read_in_pieces(&matcher, lines.as_bytes(), 1 << 17);
    assert_eq!(events, ["1 offence 203.0.113.9 unverified"]);
}

#[test]
fn lines_of_asterisk_1_2_are_doubted_like_others() {
    let knock = "Nov 22 00:52:46 NOTICE[1] door.c: 203.0.113.9 knocked\n";
    let noise = "Nov 22 00:52:46 NOTICE[1] pbx.c: nothing to see here\n";
    assert!(read(&text(&[noise, knock]))[0].ends_with("unverified"));
    assert!(read(&text(&[noise, "half of a text\n", knock]))[0].ends_with("hearsay"));
    let cut = "Nov 22 00:52:46 NOTICE[1] door.c: Call from 'a\n";
    assert!(read(&text(&[cut, knock]))[0].ends_with("hearsay"));
    let glued = knock
        .replace("knocked\n", &format!("knocked{}", knock.replace("203.0.113.9", "192.0.2.66")));
    assert_eq!(read(glued.as_bytes()), ["1 tampered"]);
}

/// A Docker record of a line.
fn docker(line: &str) -> String {
    let log = serde_json::to_string(line).unwrap();
    format!("{{\"log\":{log},\"stream\":\"stdout\"}}\n")
}

#[test]
fn records_within_dockers_are_framed_if_all_are() {
    let packet =
        |to: &str| object("net.c", "NOTICE", &format!("Raw packet from {to}:5060 follows"));
    let (tcp, udp) = (docker(&packet("TCP 203.0.113.9")), docker(&packet("UDP 203.0.113.9")));
    let banner = docker("[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64\n");
    let other = docker(&object("pbx.c", "VERBOSE", r"-- Executing [9\n[x] NOTICE[1]: a"));
    let proven = ["1 offence 203.0.113.9 proven"];
    assert_eq!(read(tcp.as_bytes()), proven);
    assert_eq!(read(udp.as_bytes()), ["1 offence 203.0.113.9 unverified"]);
    for before in [&other, &banner] {
        assert!(read(&text(&[before, &tcp]))[0].ends_with("proven"), "{before}");
    }
    // A console that also shows text is one on which anybody may write an object.
    for before in [docker("    -- Executing [9\n"), docker("\n"), docker("{\n"), docker("{}")] {
        let far = other.repeat(8192);
        assert!(!read(&text(&[&before, &tcp])).pop().unwrap().ends_with("proven"), "{before}");
        let seen = read_in_pieces(&matcher(&[RULES]), &text(&[&before, &far, &tcp]), 1 << 16);
        assert!(seen[0].ends_with("proven"), "{before}");
    }
}

#[test]
fn as_many_lines_as_a_message_can_have_are_doubted_whatever_is_around_each() {
    let (forged, other) = ("[x] NOTICE[1]: door.c:6 f: 192.0.2.66 knocked\n", console("nothing"));
    // Of what was broken, every line is there: all of one kind, or many empty ones first.
    let many = forged.repeat((8192 - 20) / forged.len());
    let last = "\n".repeat(8192 - 20 - 3 * forged.len()) + &forged.repeat(3);
    let escaped = "\u{1}<\n".repeat((8192 - 200) / 3) + &forged.repeat(3);
    let beginnings = ["    -- Executing [9\n", "[x] VERBOSE[1]: pbx.c:1 f: -- Executing [9\n"];
    for captured in CAPTURED {
        for beginning in beginnings {
            for rest in [&many, &last, &escaped] {
                let all = [&*other, beginning, rest].concat();
                let lines: String = all.split_inclusive('\n').map(captured).collect();
                for size in [1 << 14, 1 << 16] {
                    let seen = read_in_pieces(&matcher(&[RULES]), lines.as_bytes(), size);
                    assert!(seen.len() >= 3, "{seen:?}");
                    let believed: Vec<_> =
                        seen.iter().filter(|event| !event.ends_with("hearsay")).collect();
                    assert!(believed.is_empty(), "{}{beginning}{believed:?}", captured("x\n"));
                }
            }
        }
    }
}

#[test]
fn a_forged_header_makes_no_doubt_reach_further() {
    let noise = "[Nov 22 00:52:46] NOTICE[1] pbx.c: nothing to see here\n";
    let knock = "[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked\n";
    for captured in CAPTURED {
        let forged = "[Nov 22 00:52:46] NOTICE[1] door.c: Call from 'a\n".to_owned()
            + &captured("[Nov 22 00:52:46] NOTICE[1] net.c: Timeout of 'x\n").repeat(20);
        let far = noise.repeat(2 * 8192 / noise.len() + 2);
        for before in ["", noise] {
            for size in [1 << 14, 1 << 16] {
                let text = [before, &forged, &far, knock].concat();
                let seen = read_in_pieces(&matcher(&[RULES]), text.as_bytes(), size);
                let last = seen.last().unwrap();
                assert!(last.ends_with("203.0.113.9 unverified"), "{}{last}", captured("x\n"));
            }
        }
    }
}

/// Rules that are better in records.
const BETTER: &str = r#"
[[rule]]
id = "asked"
failregex = '^door\.c: .* asked from <HOST:PORT> for .*$'
class = "guess"
evidence = "hearsay"
framed = "unverified"
[[rule]]
id = "twin"
failregex = '^bell\.c: .* rung at <HOST:PORT> for .*$'
class = "guess"
evidence = "hearsay"
framed = "unverified"
twin = true
[[rule]]
id = "security"
failregex = '^res_security_log\.c: .*Address="<TRANSPORT HOST:PORT>"$'
class = "guess"
evidence = "unverified"
unbroken = true
[[rule]]
id = "head"
failregex = '^head\.c: <TRANSPORT HOST:PORT> .*$'
class = "guess"
evidence = "unverified"
"#;

/// Reads lines of the journal's own source.
fn read_journal(lines: &[&str]) -> Vec<String> {
    let matcher = Arc::into_inner(matcher(&[RULES, BETTER])).unwrap().with_tags(Tags::journal());
    read_in_pieces(&Arc::new(matcher), &text(lines), 61)
}

#[test]
fn a_rule_may_say_more_in_records() {
    let matcher = matcher(&[RULES, BETTER]);
    let evidence = |lines: &[u8]| {
        let events = read_in_pieces(&matcher, lines, 1 << 12);
        events.iter().map(|event| event.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let asked =
        |who: &str| object("door.c", "NOTICE", &format!("'{who}' asked from 203.0.113.9:5 for x"));
    assert_eq!(evidence(asked("a").as_bytes()), ["unverified"]);
    let line = "[x] NOTICE[1] door.c: 'a' asked from 203.0.113.9:5 for x\n";
    assert_eq!(evidence(line.as_bytes()), ["hearsay"]);
    // What a sender adds makes it name nobody, but never somebody else.
    let forged = asked("a' asked from 192.0.2.66:5 for '");
    assert_eq!(evidence(forged.as_bytes()), ["tampered"]);
    // In a log with both levels, one of two messages counts.
    let twin = object("bell.c", "NOTICE", "a rung at 203.0.113.9:5 for x");
    let security = object("res_security_log.c", "SECURITY", r#"Address=\"UDP 203.0.113.9:5\""#);
    assert_eq!(evidence(&text(&[&twin, &twin])), ["unverified"; 2]);
    assert_eq!(
        evidence(&text(&[&security, &twin, &security])),
        ["unverified", "hearsay", "unverified"]
    );
}

#[test]
fn a_datagram_is_one_message_and_its_senders() {
    let datagram = |message: &str| {
        let message = serde_json::to_string(message).unwrap();
        format!(
            "{{\"__REALTIME_TIMESTAMP\":\"1764441234123456\",\"_TRANSPORT\":\"syslog\",\"MESSAGE\":{message}}}\n"
        )
    };
    let head = datagram("NOTICE[1]: head.c:1 in f: TLS 203.0.113.9:5 x\n");
    let security = |end: &str| {
        datagram(&format!(
            "SECURITY[1]: res_security_log.c:1 in f: A=\"x\",Address=\"TLS 203.0.113.9:5\"{end}"
        ))
    };
    assert_eq!(read_journal(&[&head]), ["1 offence 203.0.113.9 proven"]);
    assert_eq!(read_journal(&[&head.replace("TLS", "UDP")]), ["1 offence 203.0.113.9 unverified"]);
    assert_eq!(read_journal(&[&security("\n")]), ["1 offence 203.0.113.9 proven"]);
    // Without its end, it may be one that was cut where its sender liked.
    assert_eq!(read_journal(&[&security("")]), ["1 offence 203.0.113.9 hearsay"]);
    // The text of others beside it is no part of it.
    let dialled = "|    -- Executing [9\n";
    assert_eq!(read_journal(&[dialled, &head]), ["2 offence 203.0.113.9 proven"]);
    // Line feeds in it stay in it.
    let forged =
        datagram("NOTICE[1]: x.c:1 in f: y\nNOTICE[1]: head.c:1 in f: TLS 192.0.2.66:5 x\n");
    assert!(read_journal(&[&forged]).is_empty());
    // An object is whole, and its text is as it was.
    let object = object("door.c", "NOTICE", "a asked from 203.0.113.9:5 for x");
    assert_eq!(read_journal(&[dialled, &datagram(&object)]), ["2 offence 203.0.113.9 unverified"]);
    assert_eq!(
        read_journal(&[&datagram("NOTICE[1]: door.c:1 in f: a asked from 203.0.113.9:5 for x\n")]),
        ["1 offence 203.0.113.9 hearsay"]
    );
    // A captured console is one.
    let captured = |line: &str| format!("|{line}");
    let knock = captured(&console("203.0.113.9 knocked"));
    assert_eq!(read_journal(&[&knock]), ["1 offence 203.0.113.9 unverified"]);
    assert_eq!(read_journal(&[dialled, &knock]), ["2 offence 203.0.113.9 hearsay"]);
    assert!(read_journal(&[&captured(&head)]).is_empty());
}

/// Rules in fail2ban's own syntax.
const OF_FAIL2BAN: &str = r#"
prefix = "fail2ban"
ignoreregex = ['office']
[[rule]]
id = "door"
failregex = '''^\[\] NOTICE\[\d+\] door\.c: '.*' by <HOST>(?!:)$'''
class = "guess"
evidence = "unverified"
[[rule]]
id = "anywhere"
failregex = '''knock of <ADDR>'''
class = "guess"
evidence = "hearsay"
[[rule]]
id = "other"
failregex = '''^ other\[\d+\]: <HOST> failed$'''
class = "guess"
evidence = "unverified"
"#;

fn of_fail2ban(text: &str) -> Vec<(String, Evidence, Meaning)> {
    let file = [("fail2ban-door.toml".into(), OF_FAIL2BAN.to_owned())];
    let rules = Arc::new(RuleSet::parse(&file).unwrap());
    let all: Vec<_> = rules.iter().map(|(id, _)| id).collect();
    let matcher = Arc::new(Matcher::new(&rules, &all).unwrap());
    let mut scanner = Scanner::new(matcher, ChannelId(0));
    let mut events = Vec::new();
    let clock = &mut Clock::At(Time::default());
    scanner.scan(&Region::of(text.as_bytes(), 1), clock, &mut events);
    events.iter().map(|event| (event.host.to_string(), event.evidence, event.meaning)).collect()
}

#[test]
fn failregexes_of_fail2ban_see_a_line_without_its_date() {
    let guess = Meaning::Offence(crate::model::event::Class::Guess);
    let host = |host: &str, evidence| vec![(host.to_owned(), evidence, guess)];
    for (text, expected) in [
        (
            "[2026-11-22 10:00:00] NOTICE[1] door.c: 'x' by 192.0.2.1\n",
            host("192.0.2.1", Evidence::Unverified),
        ),
        ("[2026-11-22 10:00:00] NOTICE[1] door.c: 'x' by 192.0.2.1:5\n", Vec::new()),
        (
            "[2026-11-22 10:00:00] NOTICE[1] x.c: knock of 192.0.2.2\n",
            host("192.0.2.2", Evidence::Hearsay),
        ),
        ("Nov 22 10:00:00 other[5]: 192.0.2.3 failed\n", host("192.0.2.3", Evidence::Unverified)),
        (
            "[2026-11-22 10:00:00] NOTICE[1] door.c: 'office' by 192.0.2.1\n",
            vec![("192.0.2.1".to_owned(), Evidence::Unverified, Meaning::Ignored)],
        ),
    ] {
        assert_eq!(of_fail2ban(text), expected, "{text}");
    }
}

#[test]
fn a_line_that_a_sender_wrote_into_a_log_is_hearsay() {
    let guess = Meaning::Offence(crate::model::event::Class::Guess);
    let hearsay = vec![("192.0.2.3".to_owned(), Evidence::Hearsay, guess)];
    // In Asterisk's log, what does not begin as its lines do may be the rest of a message.
    let forged =
        "[2026-11-22 10:00:00] NOTICE[1] x.c: begins\nNov 22 10:00:00 other[5]: 192.0.2.3 failed\n";
    assert_eq!(of_fail2ban(forged), hearsay);
    let verbose = "[2026-11-22 10:00:00] VERBOSE[1] x.c: knock of 192.0.2.3\n";
    assert_eq!(of_fail2ban(verbose), hearsay);
    // And what stands within reach of a message that was not whole.
    let behind = "[2026-11-22 10:00:00] VERBOSE[1] x.c: free\n[2026-11-22 10:00:00] NOTICE[1] door.c: 'x' by 192.0.2.3\n";
    assert_eq!(of_fail2ban(behind), hearsay);
}
