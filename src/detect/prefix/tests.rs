//! Lines of every shape, and what is left of them.

use super::*;
use proptest::prelude::*;

fn stripped(line: &[u8]) -> Option<(String, Level, Shape, String)> {
    let mut scratch = Vec::new();
    let stripped = strip(line, &Tags::default(), &mut scratch)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(stripped.stamp), stripped.level, stripped.shape, text(stripped.body)))
}

/// The same report in every shape: the line, and the date in it.
const SHAPES: [(Shape, &str, &str); 60] = [
    // the default for files
    (Shape::File, "[Nov 22 00:52:46] NOTICE[3762] chan_sip.c: Hello: you", "Nov 22 00:52:46"),
    (
        Shape::File,
        "[Nov 22 00:52:46] WARNING[3762][C-0000001a] chan_sip.c: Hello: you\r",
        "Nov 22 00:52:46",
    ),
    (
        Shape::File,
        "[[2026-11-22] 01:01:57] SECURITY[1] chan_sip.c: Hello: you",
        "[2026-11-22] 01:01:57",
    ),
    (Shape::File, "[] ERROR[1] chan_sip.c: Hello: you", ""),
    (Shape::File, "[1795309302.748] NOTICE [22382] chan_sip.c: Hello: you", "1795309302.748"),
    // plain, console
    (
        Shape::Console,
        "[2026-11-22 01:01:03] NOTICE[115]: chan_sip.c:676 log_it: Hello: you",
        "2026-11-22 01:01:03",
    ),
    (Shape::Console, "NOTICE[115][C-1]: chan_sip.c:676 log_it: Hello: you", ""),
    // colours: as printed, on black, as rsyslog prints the escape byte
    (
        Shape::Console,
        "[Nov 22 10:00:00] \x1b[1;33mNOTICE\x1b[0m[566]: \x1b[1;37mchan_sip.c\x1b[0m:\x1b[1;37m123\x1b[0m \x1b[1;37mfunc\x1b[0m: Hello: you",
        "Nov 22 10:00:00",
    ),
    (
        Shape::Console,
        "[Nov 22 10:00:00] \x1b[1;33;40mNOTICE \x1b[0;37;40m[566][C-1a]: \x1b[1;37;40mchan_sip.c\x1b[0;37;40m:\x1b[1;37;40m123\x1b[0;37;40m \x1b[1;37;40mfunc\x1b[0;37;40m: Hello: you",
        "Nov 22 10:00:00",
    ),
    (
        Shape::Console,
        "Nov 22 10:00:00 pbx asterisk[555]: [Nov 22 10:00:00] #033[1;31mERROR#033[0m[566]: #033[1;37mchan_sip.c#033[0m:#033[1;37m123#033[0m #033[1;37mfunc#033[0m: Hello: you",
        "Nov 22 10:00:00",
    ),
    (
        Shape::Console,
        "\x1b[0;31mERROR\x1b[0m[566]: \x1b[1;37mchan_sip.c\x1b[0m:\x1b[1;37m123\x1b[0m \x1b[1;37mfunc\x1b[0m: Hello: you",
        "",
    ),
    // traditional syslog
    (
        Shape::Syslog,
        "Nov  4 18:30:40 pbx asterisk[32]: NOTICE[32257]: chan_sip.c:6 in log_it: Hello: you",
        "Nov  4 18:30:40",
    ),
    (
        Shape::Syslog,
        "Nov 4 18:30:40 pbx asterisk[32]: NOTICE[7][C-1]: chan_sip.c:6 in log_it: Hello: you",
        "Nov 4 18:30:40",
    ),
    (
        Shape::Syslog,
        "<133>Nov 22 00:49:18 asterisk[467]: NOTICE[1]: chan_sip.c:6 in f: Hello: you",
        "Nov 22 00:49:18",
    ),
    (
        Shape::Syslog,
        "Nov 22 00:49:18 pbx asterisk: NOTICE[1]: chan_sip.c:6 in f: Hello: you",
        "Nov 22 00:49:18",
    ),
    // ISO
    (
        Shape::Syslog,
        "2026-11-22T10:00:00.123456+01:00 pbx asterisk[5]: NOTICE[1]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00.123456+01:00",
    ),
    // RFC 5424: without and with data, with a byte order mark, without a process
    (
        Shape::Syslog,
        "<141>1 2026-11-22T10:00:00+01:00 pbx asterisk 555 - - NOTICE[1943]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00+01:00",
    ),
    (
        Shape::Syslog,
        "<141>1 2026-11-22T10:00:00+01:00 pbx asterisk 555 - - \u{feff}NOTICE[1943]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00+01:00",
    ),
    (
        Shape::Syslog,
        "<141>1 2026-11-22T10:00:00Z - asterisk 555 ID47 [a@1 b=\"c]\\\"\"][d] NOTICE[1943]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00Z",
    ),
    (
        Shape::Syslog,
        "2026-11-22T10:00:00Z pbx asterisk - - - NOTICE[1943]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00Z",
    ),
    (
        Shape::Console,
        "<141>1 2026-11-22T10:00:00Z pbx asterisk 555 - - [Nov 22 10:00:00] NOTICE[1943]: chan_sip.c:6 f: Hello: you",
        "Nov 22 10:00:00",
    ),
    // journalctl: short, short-precise, short-iso, short-iso-precise, short-full, short-unix, cat
    (
        Shape::Syslog,
        "Nov 22 10:00:00 pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "Nov 22 10:00:00",
    ),
    (
        Shape::Syslog,
        "Nov 22 10:00:00.123456 pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "Nov 22 10:00:00.123456",
    ),
    (
        Shape::Syslog,
        "2026-11-22T10:00:00+0100 pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00+0100",
    ),
    (
        Shape::Syslog,
        "2026-11-22T10:00:00.123456+01:00 pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "2026-11-22T10:00:00.123456+01:00",
    ),
    (
        Shape::Syslog,
        "Sun 2026-11-22 10:00:00 CET pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "Sun 2026-11-22 10:00:00 CET",
    ),
    (
        Shape::Syslog,
        "1795309302.748123 pbx asterisk[123]: NOTICE[566]: chan_sip.c:6 in f: Hello: you",
        "1795309302.748123",
    ),
    (Shape::Console, "NOTICE[566]: chan_sip.c:6 in f: Hello: you", ""),
    // the console, captured
    (
        Shape::Console,
        "Nov 22 10:00:00 pbx asterisk[1]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "Nov 22 10:00:00.123456 pbx asterisk[1]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "2026-11-22T10:00:00+0100 pbx asterisk[1]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "2026-11-22T10:00:00.123456789Z [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        r#"{"log":"[Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you\n","stream":"stdout","time":"2026-11-22T10:00:00.123456789Z"}"#,
        "Nov 22 09:59:59",
    ),
    // json: a file, syslog, a captured console
    (
        Shape::Json,
        r#"{"hostname":"","timestamp":"2026-11-22 10:00:00","identifiers":{"lwp":1943,"callid":""},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":29058},"level":"NOTICE","message":"Hello: you\n"}}"#,
        "2026-11-22 10:00:00",
    ),
    (
        Shape::Json,
        r#"Nov 22 10:00:00 pbx asterisk[1]: {"hostname":"","timestamp":"","identifiers":{"lwp":1943,"callid":""},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":29058},"level":"SECURITY","message":"Hello: you"}}"#,
        "Nov 22 10:00:00",
    ),
    (
        Shape::Json,
        r#"<141>1 2026-11-22T10:00:00Z pbx asterisk 5 - - {"hostname":"","timestamp":"[2026-11-22] 10:00:00","identifiers":{"lwp":1943,"callid":""},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":29058},"level":"ERROR","message":"Hello: you\n\n"}}"#,
        "[2026-11-22] 10:00:00",
    ),
    (
        Shape::Json,
        r#"{"hostname":"pbx","timestamp":"1795309302.748","identifiers":{"lwp":1943,"callid":"[C-1]"},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":29058},"level":"WARNING","message":"Hello: you\n"}}"#,
        "1795309302.748",
    ),
    (
        Shape::Json,
        "{\"hostname\":\"\",\"timestamp\":\"\",\"identifiers\":{\"lwp\":1,\"callid\":\"\"},\"logmsg\":{\"location\":{\"filename\":\"chan_sip.c\",\"function\":\"f\",\"line\":0},\"level\":\"NOTICE\",\"message\":\"Hello: you\"}}\r",
        "",
    ),
    // Kubernetes, with a console, without its dates, with a log file that is followed
    (
        Shape::Console,
        "2026-11-22T10:00:00.123456789Z stdout F [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "2026-11-22T10:00:00.123456789+01:00 stderr F NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "2026-11-22T10:00:00.123456789+01:00",
    ),
    (
        Shape::File,
        "2026-11-22T10:00:00.123456789Z stdout F [Nov 22 09:59:59] NOTICE[1] chan_sip.c: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "2026-11-22T10:00:00.123456789Z stdout F [Nov 22 09:59:59] \x1b[1;33mNOTICE\x1b[0m[1]: \x1b[1;37mchan_sip.c\x1b[0m:\x1b[1;37m6\x1b[0m \x1b[1;37mf\x1b[0m: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Json,
        r#"2026-11-22T10:00:00.123456789Z stdout F {"hostname":"","timestamp":"","identifiers":{"lwp":1,"callid":""},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":6},"level":"NOTICE","message":"Hello: you\n"}}"#,
        "2026-11-22T10:00:00.123456789Z",
    ),
    // docker compose logs: plain, with -t, coloured, the older version, a swarm's service
    (
        Shape::Console,
        "asterisk-1  | [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (Shape::Console, "asterisk-1  | NOTICE[1]: chan_sip.c:6 f: Hello: you", ""),
    (
        Shape::Console,
        "pbx-1       | 2026-11-22T10:00:00.123456789Z [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "\x1b[36mpbx_1  |\x1b[0m [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "voice_pbx.1.x8qk2@node1    | [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Json,
        r#"pbx-1  | {"hostname":"","timestamp":"","identifiers":{"lwp":1,"callid":""},"logmsg":{"location":{"filename":"chan_sip.c","function":"f","line":6},"level":"NOTICE","message":"Hello: you\n"}}"#,
        "",
    ),
    // Docker's syslog and journald drivers, and NethServer
    (
        Shape::Console,
        "Nov 22 10:00:00 dockerhost 3f1c2d4e5a6b[1234]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "Nov 22 10:00:00 dockerhost 3f1c2d4e5a6b[1234]: NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 10:00:00",
    ),
    (
        Shape::Console,
        "2026-11-22T10:00:00+01:00 dockerhost asterisk/3f1c2d4e5a6b[1234]: [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "<30>1 2026-11-22T10:00:00Z dockerhost 3f1c2d4e5a6b 1234 3f1c2d4e5a6b - [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you",
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        "Nov 22 10:00:00 node1 freepbx[77]: [Nov 22 09:59:59] #033[1;33mNOTICE#033[0m[1]: #033[1;37mchan_sip.c#033[0m:#033[1;37m6#033[0m #033[1;37mf#033[0m: Hello: you",
        "Nov 22 09:59:59",
    ),
    // journalctl -o json: the syslog channel, a console, bytes, a container
    (
        Shape::Syslog,
        r#"{"__REALTIME_TIMESTAMP":"1795309302748123","_TRANSPORT":"syslog","_COMM":"asterisk","SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"NOTICE[1]: chan_sip.c:6 in f: Hello: you"}"#,
        "1795309302748123",
    ),
    (
        Shape::Console,
        r#"{"_TRANSPORT":"stdout","_SYSTEMD_UNIT":"asterisk.service","_COMM":"safe_asterisk","MESSAGE":"[Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you"}"#,
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        r#"{"MESSAGE":[91,78,111,118,32,50,50,32,48,57,58,53,57,58,53,57,93,32,27,91,49,59,51,51,109,78,79,84,73,67,69,27,91,48,109,91,49,93,58,32,99,104,97,110,95,115,105,112,46,99,58,54,32,102,58,32,72,101,108,108,111,58,32,121,111,117],"_TRANSPORT":"stdout","_COMM":"asterisk"}"#,
        "Nov 22 09:59:59",
    ),
    (
        Shape::Console,
        r#"{"CONTAINER_NAME":"pbx","_COMM":"dockerd","_TRANSPORT":"journal","MESSAGE":"[Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello: you"}"#,
        "Nov 22 09:59:59",
    ),
    // Asterisk 1.2, in its default dateformat and in another
    (Shape::File, "Nov 22 09:59:59 NOTICE[1] chan_sip.c: Hello: you", "Nov 22 09:59:59"),
    (Shape::File, "2026-11-22 09:59:59 NOTICE[1] chan_sip.c: Hello: you", "2026-11-22 09:59:59"),
];

#[test]
fn every_shape_leaves_file_and_message() {
    for (shape, line, stamp) in SHAPES {
        let expected =
            (stamp.to_owned(), Level::Report, shape, "chan_sip.c: Hello: you".to_owned());
        assert_eq!(stripped(line.as_bytes()), Some(expected), "{line}");
        let mut texts = REPORTING.into_iter().chain(HIDDEN_ENTRIES);
        assert!(texts.any(|text| memmem::find(line.as_bytes(), text).is_some()), "{line}");
    }
    assert_eq!(stripped(b"[x] VERBOSE[1][C-2] pbx.c:     -- Executing").unwrap().1, Level::Verbose);
    assert_eq!(
        stripped(b"[x] WARNING[1]: pjproject: <?>: \tsip_transport.c Dropping").unwrap().3,
        "pjproject: \tsip_transport.c Dropping"
    );
}

#[test]
fn every_level_that_reports_is_found() {
    for (name, level) in LEVELS {
        let is_found = REPORTING.iter().any(|text| memmem::find(name, text).is_some());
        assert_eq!(is_found, level == Level::Report, "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn other_text_has_no_prefix() {
    for line in [
        "",
        "[",
        "{",
        "NOTICE[1] chan_sip.c: x",
        " [Nov 22 00:52:46] NOTICE[3762] chan_sip.c: x",
        "[Nov 22 00:52:46] NOTICE chan_sip.c: x",
        "[Nov 22 00:52:46] NOTICE[12a] chan_sip.c: x",
        "[Nov 22 00:52:46] HELLO[12] chan_sip.c: x",
        "[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64 running Linux on 2026-01-01",
        "[Nov 22 00:52:46] \x1b[1;33HELLO\x1b[0m[12] chan_sip.c: x",
        "Nov 22 10:00:00 pbx sshd[1]: NOTICE[1]: chan_sip.c:6 in f: Hello",
        "Nov 22 10:00:00 pbx cron asterisk[1]: NOTICE[1]: chan_sip.c:6 in f: Hello",
        "Nov 22 10:00:00 pbx asterisk[1]:     -- Executing [9@x:1]",
        "Nov 22 10:00:00 pbx asterisk[1]: NOTICE[1]: chan_sip.c Hello",
        "<141>1 2026-11-22T10:00:00Z pbx asterisk 555 - [a NOTICE[1]: chan_sip.c:6 in f: Hello",
        // half a line, and one header within another
        "2026-11-22T10:00:00.1Z stdout P [Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello",
        "2026-11-22T10:00:00.1Z stdout F Nov 22 10:00:00 pbx asterisk[1]: NOTICE[1]: chan_sip.c:6 in f: Hello",
        "2026-11-22T10:00:00.1Z stdout F 2026-11-22T10:00:00.1Z stdout F [x] NOTICE[1]: chan_sip.c:6 f: Hello",
        "asterisk-1  | asterisk-1  | [x] NOTICE[1]: chan_sip.c:6 f: Hello",
        r#"{"log":"Nov 22 10:00:00 pbx asterisk[1]: NOTICE[1]: chan_sip.c:6 in f: Hello\n","stream":"stdout"}"#,
        // names that are none, and other programs
        "two words  | [x] NOTICE[1]: chan_sip.c:6 f: Hello",
        "Nov 22 10:00:00 pbx asterisk-web[1]: [x] NOTICE[1]: chan_sip.c:6 f: Hello",
        "Nov 22 10:00:00 pbx [asterisk][1]: [x] NOTICE[1]: chan_sip.c:6 f: Hello",
        "5abc NOTICE[1] chan_sip.c: Hello",
        "Foo 22 10:00:00 NOTICE[1] chan_sip.c: Hello",
        // the journal: who says what he is, and arrays that hold no bytes
        r#"{"_COMM":"logger","SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"NOTICE[1]: chan_sip.c:6 in f: Hello"}"#,
        r#"{"_SYSTEMD_UNIT":"cron.service","SYSLOG_IDENTIFIER":"asterisk","MESSAGE":"NOTICE[1]: chan_sip.c:6 in f: Hello"}"#,
        r#"{"_COMM":"asterisk","MESSAGE":["NOTICE[1]: chan_sip.c:6 in f: Hello"]}"#,
        r#"{"_COMM":"asterisk","MESSAGE":[78,256]}"#,
        r#"{"_COMM":"asterisk","MESSAGE":null}"#,
        r#"{"_COMM":"asterisk","MESSAGE":"NOTICE[1]: a.c:6 in f: x","MESSAGE":"NOTICE[1]: a.c:6 in f: y"}"#,
        // journalctl indents what a line feed in a message left over
        "                                 NOTICE[1]: chan_sip.c:6 in f: Hello",
    ] {
        assert_eq!(stripped(line.as_bytes()), None, "{line}");
    }
    let mut scratch = Vec::new();
    let banner = b"[Nov 22 00:49:11] Asterisk 16.28.0 built by root @ pbx on a x86_64";
    assert!(begins_message(banner, &Tags::default(), &mut scratch));
    assert!(!begins_message(
        b"Via: SIP/2.0/UDP 198.51.100.119:59564",
        &Tags::default(),
        &mut scratch
    ));
}

#[test]
fn a_function_is_taken_for_one_only_if_it_can_be() {
    for (line, body) in [
        ("[x] NOTICE[1]: a.c: Hello: you", "a.c: you"),
        ("[x] NOTICE[1]: a.c: Hello you: there", "a.c: Hello you: there"),
        (
            "Nov 22 01:12:24 NOTICE[123]: chan_sip.c: Failed for 'a: b'",
            "chan_sip.c: Failed for 'a: b'",
        ),
        ("[x] NOTICE[1]: pjproject: <?>: text", "pjproject: text"),
        ("[x] NOTICE[1]: Ext. 9:3 @ in: text", "Ext. 9: text"),
    ] {
        assert_eq!(stripped(line.as_bytes()).unwrap().3, body, "{line}");
    }
}

#[test]
fn other_tags_are_read_where_they_are_named() {
    let named = Tags::new(["pbx"]);
    let mut scratch = Vec::new();
    let mut reads = |line: &str| strip(line.as_bytes(), &named, &mut scratch).is_some();
    let console = "[Nov 22 09:59:59] NOTICE[1]: chan_sip.c:6 f: Hello";
    for header in ["Nov 22 10:00:00 host pbx[1]: ", "Nov 22 10:00:00 pbx: ", "pbx-1  | ", ""] {
        assert!(reads(&format!("{header}{console}")), "{header}");
    }
    for header in [
        "Nov 22 10:00:00 host asterisk[1]: ",
        "Nov 22 10:00:00 host 3f1c2d4e5a6b[1]: ",
        "web-1  | ",
    ] {
        assert!(!reads(&format!("{header}{console}")), "{header}");
    }
}

#[test]
fn what_is_in_a_wrapping_is_found() {
    let mut scratch = Vec::new();
    for line in [
        "Hello\r",
        "2026-11-22T10:00:00.1Z stdout F Hello",
        "2026-11-22T10:00:00.1Z Hello",
        "asterisk-1  | Hello",
        "asterisk-1  | 2026-11-22T10:00:00.1Z Hello",
        "Nov 22 10:00:00 pbx asterisk[1]: Hello",
        r#"{"log":"Hello\n","stream":"stdout"}"#,
        r#"{"_COMM":"asterisk","MESSAGE":"Hello"}"#,
    ] {
        let text = unwrapped(line.as_bytes(), &Tags::default(), &mut scratch);
        assert_eq!(text, b"Hello", "{line}");
    }
}

#[test]
fn colours_in_a_message_name_nobody_else() {
    let line = b"[Nov 22 10:00:00] \x1b[1;33mNOTICE\x1b[0m[566]: x.c:1 f: a\x1b[0mb\x1b[1 c\x1b";
    assert_eq!(stripped(line).unwrap().3, "x.c: ab\x1b[1 c\x1b");
}

#[test]
fn messages_in_a_body_are_seen() {
    let inner = |body: &str| {
        let bodies = inner_bodies(body.as_bytes());
        bodies.map(|body| String::from_utf8_lossy(&body).into_owned()).collect::<Vec<_>>()
    };
    let hello = "chan_sip.c: Hello";
    assert_eq!(inner("a.c: Hi[Nov 22 00:52:46] NOTICE[3762] chan_sip.c: Hello"), [hello]);
    assert_eq!(inner("a.c: Hi[] NOTICE[3][C-1]: chan_sip.c:7 log_it: Hello"), [hello]);
    assert_eq!(inner("a.c: HiNov 22 00:52:46 NOTICE[3762] chan_sip.c: Hello"), [hello]);
    let second = "b.c: x[] NOTICE[3] chan_sip.c: Hello";
    assert_eq!(inner("a.c: [] ERROR[1] b.c: x[] NOTICE[3] chan_sip.c: Hello"), [second, hello]);
    for one in ["a.c: Hi", "a.c: from [2001:db8::9]:5060 NOTICE[3] b.c: x", "a.c: ] NOTICE: b"] {
        assert!(inner(one).is_empty(), "{one}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut scratch = Vec::new();
        let _ = strip(&line, &Tags::default(), &mut scratch);
        prop_assert!(scratch.len() <= line.len());
        let _ = kernel(&line);
    }

    #[test]
    fn nearly_right_lines_are_survived(
        shape in 0..SHAPES.len(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut line = SHAPES[shape].1.as_bytes().to_vec();
        let place = at.index(line.len());
        line[place] = byte;
        line.truncate(cut.index(line.len() + 1));
        let mut scratch = Vec::new();
        let _ = strip(&line, &Tags::default(), &mut scratch);
        prop_assert!(scratch.len() <= line.len());
    }
}

#[test]
fn each_level_is_known_by_its_name() {
    for (name, expected) in LEVELS {
        for thread in ["[1]", " [1]"] {
            let text = [name, thread.as_bytes()].concat();
            assert_eq!(level(&text), Some((expected, thread.as_bytes())));
        }
        assert_eq!(level(name), None);
        let line = [name, b"[17]".as_slice()].concat();
        let behind = |rest: &str| level_in_file(&[&line, rest.as_bytes()].concat());
        assert_eq!(behind(" a.c: b"), Some(expected));
        assert_eq!(behind("[C-0000001a] a.c: b"), Some(expected));
        assert_eq!([behind(": a.c:1 b: c"), behind(""), behind("[C-1g] a.c: b")], [None; 3]);
    }
}
