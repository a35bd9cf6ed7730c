//! Commands that need no guard: check, test, replay. None of them needs root.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::kit::guard::{Home, PROGRAM, Told, told};
use crate::kit::{self, Netns};
use crate::{
    CONFIG, JAILS, large_packet_line, odd_packet_line as odd_packet,
    wrong_password_line as wrong_password,
};

const HOST: &str = "198.51.100.14";

/// Runs a command with the configuration of `home`, in UTC.
fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--config").arg(home.path("asterguard.toml")).env("TZ", "UTC");
    command.stdin(Stdio::null());
    command
}

pub fn run(home: &Home, args: &[&str]) -> Told {
    told(&command(home, args).output().unwrap())
}

pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A text whose lines were broken to fit a terminal, as one line.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether each line fits a terminal, but for paths of files.
pub fn fits(text: &str) -> bool {
    text.lines().all(|line| line.chars().count() <= 80 || line.contains('/'))
}

/// The same line with another time.
pub fn at(time: &str, line: &str) -> String {
    format!("[{time}{}", &line[line.find(']').unwrap()..])
}

#[test]
fn trunks_are_shown_by_check() {
    let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}"));
    home.write(
        "asterisk/sip.conf",
        "[carrier]\ntype=peer\nhost=203.0.113.7\n[all]\ntype=friend\nhost=0.0.0.0/0\n",
    );
    let (code, out, said) = run(&home, &["check"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains(" 1 trunk\n") && out.contains("! 0.0.0.0/0 of the trunk all ("), "{out}");
    let (_, out, _) = run(&home, &["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&json["never_banned"]["trunk"], json["left_out"].as_array().unwrap().len()),
        (&1.into(), 1)
    );
}

#[test]
fn a_good_configuration_is_checked_with_all_examples() {
    let home = Home::new(&CONFIG.replace("messages\"", "messages\", \"$DIR/later\""));
    let (code, out, said) = run(&home, &["check"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let mut lines = out.lines();
    let first = lines.next().unwrap();
    assert!(
        first.starts_with(&format!("ok: {} jails ({}), ", JAILS.len(), JAILS.join(", "))),
        "{first}"
    );
    for jail in JAILS {
        assert!(lines.next().unwrap().starts_with(&format!("  {jail}: ")), "{out}");
    }
    assert!(lines.next().unwrap().ends_with("/later  (not there yet: awaited)"), "{out}");
    assert!(lines.next().unwrap().ends_with("/messages"), "{out}");

    let (code, out, _) = run(&home, &["check", "--json"]);
    let report = &objects(&out)[0];
    assert_eq!((code, &report["result"]), (0, &json!("done")));
    assert_eq!(report["jails"], json!(JAILS));
    assert!(report["filters"].as_array().unwrap().contains(&json!("asterisk-sip")), "{report}");
    assert!(report["examples"].as_u64() >= report["rules"].as_u64(), "{report}");
}

#[test]
fn a_logpath_that_is_never_read_is_told() {
    let logs = r#"logpath = ["$DIR/messages", "$DIR/nothere*", "$DIR/messages.1", "$DIR/messages*gz", "$DIR/later"]"#;
    let home = Home::new(&CONFIG.replace("logpath = [\"$DIR/messages\"]", logs));
    home.write("messages.2.gz", "");
    let (code, out, said) = run(&home, &["check"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let path = |name: &str| home.path(name).display().to_string();
    let rotated = "names only logs that were rotated away, and these are never followed; name the log that Asterisk writes";
    let expected = [
        (path("messages*gz"), rotated),
        (path("messages.1"), rotated),
        (path("nothere*"), "matches no file yet"),
    ];
    let told: Vec<_> = out.lines().filter_map(|line| line.strip_prefix("  ! logpath ")).collect();
    let words = expected.clone().map(|(path, why)| format!("{path:?} {why}"));
    assert_eq!(told, words, "{out}");
    let (_, out, _) = run(&home, &["check", "--json"]);
    let listed = expected.map(|(logpath, why)| json!({ "logpath": logpath, "why": why }));
    assert_eq!(objects(&out)[0]["unread"], json!(listed));
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let rule = |failregex: &str, host: &str| {
        format!(
            "[[rule]]\nid = \"knock\"\nfailregex = '{failregex}'\nclass = \"scan\"\n\
             evidence = \"unverified\"\n[[rule.example]]\n\
             line = \"[Nov 22 00:52:46] NOTICE[1] door.c: 203.0.113.9 knocked\"\nhost = \"{host}\"\n"
        )
    };
    for (file, text, place, words, marked) in [
        (
            "asterguard.toml",
            "[jail.asterisk-guess]\nmaxretries = 3\n".to_owned(),
            ":2:1: ",
            "help: ",
            "  | ^^^^^^^^^^",
        ),
        (
            "asterguard.toml",
            "[default]\nbantime = \"ten minutes\"\n".to_owned(),
            ":2:11: ",
            "not a duration",
            "  |           ^^^^^^^^^^^^^",
        ),
        ("conf.d/a.toml", "[default\n".to_owned(), ":1:9: ", "", "  |         ^"),
        (
            "rules.d/door.toml",
            rule(r"^door\.c: knocked$", "none"),
            ":3:13: ",
            "address tag",
            "^^^^",
        ),
        (
            "rules.d/door.toml",
            rule(r"^door\.c: <HOST> ([a-z]$", "none"),
            ":3:13: ",
            "unclosed",
            "^^^^",
        ),
        (
            "rules.d/door.toml",
            rule(r"^door\.c: <HOST> knocked$", "203.0.113.8"),
            ":7:8: ",
            "finds 203.0.113.9 in this line; it should find 203.0.113.8",
            "^^^^",
        ),
    ] {
        let home = Home::new(CONFIG);
        home.write(file, &text);
        let (code, out, said) = run(&home, &["check"]);
        assert_eq!((code, out.as_str()), (3, ""), "{said}");
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with("asterguard: ") && first.contains(&(file.to_owned() + place)),
            "{said}"
        );
        assert!(said.contains(words) && said.contains(marked), "{said}");
        // Whatever needs the configuration refuses it in the same way; a wrong example is not
        // found out by all.
        if !words.starts_with("finds") {
            for args in [&["test", "a line"][..], &["replay", "/dev/null"], &["run", "--dry-run"]] {
                assert_eq!(run(&home, args), (code, out.clone(), said.clone()), "{args:?}");
            }
        }
        let (code, out, failure) = run(&home, &["check", "--json"]);
        assert_eq!((code, out.as_str()), (3, ""));
        assert_eq!(objects(&failure)[0]["message"], said["asterguard: ".len()..].trim_end());
    }
    let home = Home::new(CONFIG);
    fs::remove_file(home.path("asterguard.toml")).unwrap();
    let (code, _, said) = run(&home, &["check"]);
    assert_eq!(code, 3);
    assert!(said.contains("cannot read ") && said.contains("asterguard.toml"), "{said}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    if Command::new("script").arg("--version").output().is_err() {
        return kit::programs::skip("`script` is not there");
    }
    let home = Home::new("[default\n");
    let shown = |line: &str| {
        let check =
            format!("{line} {PROGRAM} check --config {}", home.path("asterguard.toml").display());
        let mut script = Command::new("script");
        script.args(["-qec", &check, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        let output = script.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8(output.stdout).unwrap()
    };
    let coloured = shown("env");
    assert!(coloured.contains("\x1b["), "{coloured:?}");
    let plain = shown("env NO_COLOR=1");
    assert!(!plain.contains('\x1b') && plain.contains("asterguard.toml:1:9: "), "{plain:?}");
}

#[test]
fn a_line_is_tested() {
    let home = Home::new(&CONFIG.replace("[default]", "[default]\nignoreip = \"192.0.2.1\""));
    let line = wrong_password(HOST);
    let (code, out, said) = run(&home, &["test", &line]);
    assert_eq!((code, said.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], format!("1: offence {HOST} unverified asterisk-sip/wrong-password"));
    assert_eq!(lines[1], format!("    {line}"));
    assert!(
        lines[2].starts_with("  form: [DATE] LEVEL[ID] FILE: MESSAGE; Nov 22 01:12:24 is 20"),
        "{out}"
    );
    assert_eq!(lines.len(), 3, "{out}");

    // Exactly these keys, in this order.
    let (code, out, _) = run(&home, &["test", &line, "--json"]);
    let expected = format!(
        r#"{{"schema":1,"line":1,"verdict":"offence","host":"{HOST}","filter":"asterisk-sip","rule":"wrong-password","class":"guess","evidence":"unverified","recognized":true}}"#
    );
    assert_eq!((code, out), (0, expected + "\n"));

    let (code, out, _) = run(&home, &["test", &wrong_password("192.0.2.1"), "--json"]);
    assert_eq!((code, &objects(&out)[0]["verdict"]), (0, &json!("ignored")));
    // Nothing is hit: exit code 9, and what a failregex would have to match.
    let well = "[Nov 22 01:12:14] NOTICE[1] cdr.c: All is well";
    let (code, out, said) = run(&home, &["test", well]);
    assert_eq!((code, said.as_str()), (9, ""));
    assert!(out.starts_with(&format!("1: no rule matches\n    {well}\n")), "{out}");
    assert!(out.ends_with("  a failregex sees: cdr.c: All is well\n"), "{out}");
    let (code, out, _) = run(&home, &["test", well, "--json"]);
    let nothing = json!({
        "schema": 1, "line": 1, "verdict": "none", "host": null, "filter": null, "rule": null, "class": null,
        "evidence": null, "recognized": true
    });
    assert_eq!((code, objects(&out)), (9, vec![nothing]));
}

#[test]
fn the_lines_of_a_file_are_tested() {
    let home = Home::new(CONFIG);
    let nothing = "[Nov 22 01:12:14] NOTICE[1] cdr.c: All is well".to_owned();
    home.append("messages", &[wrong_password(HOST), nothing, odd_packet("2001:db8::7")]);
    // Without a last line feed, and with bytes that act on terminals.
    let odd = wrong_password("198.51.100.15").replace("1000", "\x1b[2J\u{9b}");
    home.append_bytes("messages", odd.as_bytes());
    let file = home.path("messages");
    let from_file = run(&home, &["test", file.to_str().unwrap(), "--matched"]);
    let (code, out, said) = &from_file;
    assert_eq!((*code, said.as_str()), (0, ""));
    let (printed, summary) = out.split_once("Lines ").unwrap();
    let verdicts: Vec<_> = printed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        verdicts,
        [
            format!("1: offence {HOST} unverified asterisk-sip/wrong-password"),
            "3: offence 2001:db8::7 unverified asterisk-sip/invalid-to-address".to_owned(),
            // Nobody knows what else may stand in the second line, or behind it.
            "4: offence 198.51.100.15 unverified asterisk-sip/wrong-password".to_owned(),
        ]
    );
    let counts: Vec<_> = summary.lines().take(4).map(flat).collect();
    assert_eq!(
        counts,
        [
            "4",
            "matched 3 75.0 % of these 0 logins, 0 hearsay",
            "ignored 0 0.0 % harmless, or of hosts that are never banned",
            "missed 1 25.0 % read by rules, and none hit (--missed)",
        ]
    );
    assert!(!out.contains('\x1b') && out.is_ascii(), "{out:?}");

    let mut from_stdin = command(&home, &["test", "-", "--matched"]);
    from_stdin.stdin(File::open(&file).unwrap());
    assert_eq!(told(&from_stdin.output().unwrap()), from_file);

    let (_, out, _) = run(&home, &["test", file.to_str().unwrap(), "--json"]);
    let mut told = objects(&out);
    let summary = &told.pop().unwrap()["summary"];
    let verdicts: Vec<_> = told.iter().map(|object| object["verdict"].clone()).collect();
    assert_eq!(verdicts, ["offence", "none", "offence", "offence"]);
    assert_eq!((&summary["lines"], &summary["offences"]), (&json!(4), &json!(3)));

    for missing in ["/no/such/file", "messages.l0g"] {
        let (code, out, said) = run(&home, &["test", missing]);
        assert_eq!((code, out.as_str()), (1, ""), "{said}");
        assert!(said.contains(missing), "{said}");
    }
    let (code, _, said) = run(&home, &["test", "/"]);
    assert_eq!(code, 1, "{said}");
}

#[test]
fn logs_are_replayed_by_their_times() {
    let home = Home::new(CONFIG);
    let attack = |host: &str, hour: u32| -> Vec<String> {
        let minute = |n: u32| at(&format!("2026-11-22 {hour:02}:0{n}:00"), &wrong_password(host));
        (0..5).map(minute).collect()
    };
    home.append("one", &[attack("198.51.100.1", 1), attack("198.51.100.3", 3)].concat());
    home.append("two", &[attack("198.51.100.2", 2), attack("198.51.100.4", 4)].concat());
    // Five offences, but never five within findtime.
    let slow =
        |n: u32| at(&format!("2026-11-22 {:02}:00:00", 5 + n), &wrong_password("198.51.100.9"));
    home.append("two", &(0..5).map(slow).collect::<Vec<_>>());
    let [one, two] = ["one", "two"].map(|name| home.path(name).to_str().unwrap().to_owned());

    let (code, out, said) = run(&home, &["replay", &one, &two, "--json"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let told = objects(&out);
    let bans: Vec<_> =
        told[..4].iter().map(|ban| (ban["host"].clone(), ban["time"].clone())).collect();
    let expected = [1, 2, 3, 4]
        .map(|n| (json!(format!("198.51.100.{n}")), json!(format!("2026-11-22T0{n}:04:00Z"))));
    assert_eq!(bans, expected, "merged by their times");
    let first = json!({
        "schema": 1, "action": "ban", "host": "198.51.100.1", "network": "198.51.100.1",
        "jail": "asterisk-guess", "time": "2026-11-22T01:04:00Z", "time_secs": 1_795_309_440, "offences": 5,
        "evidence": "unverified", "bantime": 600, "scope": "sip", "logged_in": false,
        "filter": "asterisk-sip", "rule": "wrong-password", "file": one, "line": 5
    });
    assert_eq!(told[0], first);
    let summary = json!({
        "schema": 1, "action": "summary", "lines": 25, "offences": 25, "tampered": 0, "unmatched": 0, "hearsay": 0,
        "ignored": 0, "successes": 0, "banned": 4, "unrecognized": [], "captures": null,
        "banned_hosts": { "logs": 4, "captures": 0 }, "supposed": { "hosts": 4, "ports": 0, "first": expected.each_ref().map(|(host, _)| host) },
        "withheld": [], "observed": 0, "observing": [], "excused": 0,
        "ignored_hosts": { "lines": 0, "hosts": 0, "first": [] }, "undated": 0, "other_levels": 0,
        "unknown": 0, "oversized": 0, "unreadable": [], "undated_files": []
    });
    assert_eq!(told[4..], [summary]);

    // For people; the order of the files changes nothing.
    let (code, out, _) = run(&home, &["replay", &two, &one]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(code, 0);
    assert!(fits(&out), "{out}");
    let column = |name: &str| lines[0].find(name).unwrap();
    assert_eq!(
        [column("TIME"), column("WHAT"), column("HOST"), column("FOR")],
        [0, 21, 31, 71],
        "{out}"
    );
    let place = |text: &str| lines[1].find(text);
    assert_eq!(
        [place("2026-11-22T01:04:00Z"), place("Ban "), place("198.51.100.1 "), place("10m")],
        [Some(0), Some(21), Some(31), Some(71)],
        "{out}"
    );
    let cause = format!(
        " asterisk-guess: 5 offences, unverified, asterisk-sip/wrong-password, ports sip, {one}:5 "
    );
    assert!(flat(&out).contains(&cause), "{out}");
    assert!(
        out.contains("\n25 lines: 25 offences, 4 bans, 0 logins\nwould be banned by "),
        "{out}"
    );

    // Only said, where the jail only says.
    home.write("conf.d/a.toml", "[default]\nmode = \"observe\"\n");
    let (_, out, _) = run(&home, &["replay", &one, "--json"]);
    let told = objects(&out);
    assert_eq!((&told[0]["action"], &told[2]["banned"]), (&json!("observe"), &json!(0)));
    let (_, out, _) = run(&home, &["replay", &one]);
    assert!(out.contains("2026-11-22T01:04:00Z Would ban 198.51.100.1 "), "{out}");
    let words = "observed only: 2 bans of all jails, because of `mode = \"observe\"`";
    assert!(flat(&out).contains(words), "{out}");
    assert_eq!((&told[2]["observed"], &told[2]["observing"]), (&json!(2), &json!(JAILS)));
}

/// "Nothing to ban" must not be read of a file that is none of Asterisk's.
#[test]
fn a_file_that_is_no_log_is_said_to_be_none() {
    let home = Home::new(CONFIG);
    home.write("hostname", "pbx\n");
    home.append_bytes("bytes", &(0..9999_u32).map(|n| (n * n % 251) as u8).collect::<Vec<_>>());
    home.write("quiet", "[Nov 22 01:12:14] VERBOSE[1] pbx.c: Executing\n");
    home.write("kernel", "Nov 22 01:12:14 pbx kernel: [1.0] usb 1-1: new device\n");
    let path = |name: &str| home.path(name).display().to_string();
    for (name, odd) in
        [("hostname", true), ("bytes", true), ("empty", true), ("quiet", false), ("kernel", false)]
    {
        let file = if name == "empty" { "/dev/null".to_owned() } else { path(name) };
        let words = match name {
            "empty" => format!("{file} is empty"),
            _ => format!(
                "no line of {file} looks like one that Asterisk writes: is it the right file?"
            ),
        };
        for (command, expected) in [("replay", 0), ("test", 9)] {
            let (code, out, said) = run(&home, &[command, &file]);
            assert_eq!((code, said.as_str()), (expected, ""));
            assert_eq!(flat(&out).contains(&words), odd, "{command}: {out}");
        }
        let (_, out, _) = run(&home, &["replay", &file, "--json"]);
        let expected = if odd { json!([file]) } else { json!([]) };
        assert_eq!(objects(&out)[0]["unrecognized"], expected);
        let (_, out, _) = run(&home, &["test", &file, "--json"]);
        let mut told = objects(&out);
        assert!(told.pop().unwrap()["summary"]["lines"].is_u64(), "{out}");
        assert!(told.iter().all(|line| line["recognized"] == !odd), "{out}");
    }
    // One among others is named, and the numbers are in English.
    home.append("messages", &[wrong_password(HOST)]);
    let (_, out, _) = run(&home, &["replay", &path("messages"), &path("hostname")]);
    assert!(out.starts_with("2 lines: 1 offence, 0 bans, "), "{out}");
    assert!(flat(&out).contains(&format!("no line of {} looks", path("hostname"))), "{out}");
    assert!(out.contains("\nleft out:\n        1  not written by Asterisk, or the rest"), "{out}");
    assert_eq!(out.matches("no line of").count(), 1, "{out}");
    let (_, out, _) = run(&home, &["replay", &path("messages")]);
    assert!(out.starts_with("1 line: 1 offence, 0 bans, 0 logins\nwould be"), "{out}");
}

/// What Asterisk writes into `security` when the password of `host` is right.
fn login(service: &str, host: &str) -> String {
    format!(
        "[2026-11-22 01:02:00] SECURITY[1724] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",\
         EventTV=\"2026-11-22T01:02:00.659+0000\",Severity=\"Informational\",Service=\"{service}\",\
         EventVersion=\"1\",AccountID=\"1000\",SessionID=\"0x7f\",\
         LocalAddress=\"IPV4/UDP/203.0.113.16/5060\",RemoteAddress=\"IPV4/UDP/{host}/5060\",\
         UsingPassword=\"1\""
    )
}

#[test]
fn replayed_ban_of_a_host_that_logged_in_is_marked() {
    let home = Home::new(&CONFIG.replace("\"asterisk-sip\"", "\"asterisk-s*\""));
    for host in ["198.51.100.1", "198.51.100.2", "198.51.100.3"] {
        home.append("log", &vec![at("2026-11-22 01:01:00", &wrong_password(host)); 5]);
    }
    // The second one's login is what a Via header says: it tells nothing of him.
    home.append("log", &[login("PJSIP", "198.51.100.1"), login("SIP", "198.51.100.2")]);
    let log = home.path("log");
    let (code, out, said) = run(&home, &["replay", log.to_str().unwrap(), "--json"]);
    assert_eq!((code, said.as_str()), (0, ""));
    let marks: Vec<_> = objects(&out)[..3].iter().map(|ban| ban["logged_in"].clone()).collect();
    assert_eq!(marks, [true, false, false]);
    let (_, out, _) = run(&home, &["replay", log.to_str().unwrap()]);
    let out = flat(&out);
    let (marked, rest) = out.split_once(", but also logged in, ").unwrap();
    assert!(marked.rsplit_once(" Ban ").unwrap().1.starts_with("198.51.100.1 "), "{out}");
    assert!(!rest.contains("but also logged in"), "{out}");
}

/// Packets of an Asterisk 22 (203.0.113.250) as `tcpdump -i eth0` copied them: 198.51.100.101 logs in four times,
/// .102 twice after a wrong password, .115 guesses seven times, .114 is `svcrack` with 31 passwords.
const CAPTURE: &[u8] = include_bytes!("../data/pbx.pcap");
/// The same by `tcpdump -i any`, with what Asterisk mirrored by HEP, packed: .116 guesses seven times over TLS, whose
/// packets are not in it.
const CAPTURE_HEP: &[u8] = include_bytes!("../data/pbx-hep.pcap.gz");
const GUESSER: &str = "198.51.100.115";
const CRACKER: &str = "198.51.100.114";
const TLS_GUESSER: &str = "198.51.100.116";

/// A home with both captures, and with the configuration of the Asterisk that they are of.
fn home_with_captures() -> Home {
    let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}"));
    home.write(
        "asterisk/pjsip.conf",
        "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n\
         [t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5061\n",
    );
    home.write(
        "asterisk/hep.conf",
        "[general]\nenabled=yes\ncapture_address=127.0.0.1:9060\ncapture_password=hep-of-the-lab\n",
    );
    home.append_bytes("pbx.pcap", CAPTURE);
    home.append_bytes("pbx-hep.pcap.gz", CAPTURE_HEP);
    home
}

/// The hosts of the bans that `replay --json` told, each with its evidence, and the summary.
fn replayed(out: &str) -> (Vec<(String, String)>, Value) {
    let mut objects = objects(out);
    let summary = objects.pop().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (objects.iter().map(|ban| (text(&ban["host"]), text(&ban["evidence"]))).collect(), summary)
}

fn proven(hosts: &[&str]) -> Vec<(String, String)> {
    hosts.iter().map(|host| ((*host).to_owned(), "proven".to_owned())).collect()
}

#[test]
fn a_capture_shows_whom_what_the_pbx_did_would_have_banned() {
    let home = home_with_captures();
    let capture = home.path("pbx.pcap").display().to_string();
    let (code, out, said) = run(&home, &["replay", "--pcap", &capture, "--json"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let (bans, summary) = replayed(&out);
    assert_eq!(bans, proven(&[GUESSER, CRACKER]));
    let first = &objects(&out)[0];
    assert_eq!(
        (&first["jail"], &first["filter"], &first["rule"], &first["file"]),
        (&json!("asterisk-wire"), &json!("wire"), &json!("refused"), &json!(capture))
    );
    // Seven, one mistake, and what svcrack tried; the logins of two phones.
    assert_eq!((&summary["offences"], &summary["successes"]), (&json!(40), &json!(6)));
    assert_eq!(summary["banned_hosts"], json!({ "logs": 0, "captures": 2 }));
    let numbers = &summary["captures"];
    assert_eq!(numbers["own"], json!(["203.0.113.250"]));
    assert_eq!((&numbers["cut"], &numbers["link_types"]), (&json!(0), &json!({})));
    assert_eq!(numbers["sip"], numbers["relevant"]);

    let (_, out, _) = run(&home, &["replay", "--pcap", &capture]);
    assert!(out.ends_with("\nwould be banned by what the PBX did: 2 hosts\n"), "{out}");
    // With another address as the PBX's, nobody there did anything.
    let own = ["replay", "--pcap", &capture, "--own", GUESSER, "--json"];
    let (bans, summary) = replayed(&run(&home, &own).1);
    assert_eq!((bans, &summary["captures"]["own"]), (proven(&[]), &json!([GUESSER])));
    assert_eq!(summary["captures"]["sip"], 0);
}

#[test]
fn a_capture_with_hep_shows_what_tls_hides() {
    let home = home_with_captures();
    let capture = home.path("pbx-hep.pcap.gz").display().to_string();
    let hosts = |home: &Home| replayed(&run(home, &["replay", "--pcap", &capture, "--json"]).1);
    let (bans, summary) = hosts(&home);
    assert_eq!(bans, proven(&[GUESSER, TLS_GUESSER, CRACKER]));
    assert!(summary["captures"]["hep"].as_u64().unwrap() > 100, "{summary}");
    assert_eq!((&summary["offences"], &summary["successes"]), (&json!(47), &json!(6)));
    // Another password is not that of this Asterisk.
    let conf = fs::read_to_string(home.path("asterisk/hep.conf")).unwrap();
    home.write("asterisk/hep.conf", &conf.replace("hep-of-the-lab", "another"));
    let (bans, summary) = hosts(&home);
    assert_eq!((bans, &summary["captures"]["hep"]), (proven(&[GUESSER, CRACKER]), &json!(0)));
}

#[test]
fn logs_and_captures_are_merged_by_time() {
    let home = home_with_captures();
    let capture = home.path("pbx.pcap").display().to_string();
    let out = run(&home, &["replay", "--pcap", &capture, "--json"]).1;
    let times = objects(&out).iter().map(|ban| ban["time"].to_string()).collect::<Vec<_>>();
    let between = times[0].trim_matches('"').replace('T', " ").replace('Z', "");
    // The other guesser is banned in the second after.
    home.append("messages", &vec![at(&between, &large_packet_line(HOST)); 5]);
    // Of a guess, the capture would show something; of what was before it, it cannot.
    home.append("messages", &vec![at(&between, &wrong_password("198.51.100.77")); 5]);
    let before = at("2020-01-01 00:00:00", &wrong_password("198.51.100.78"));
    home.write("before", &format!("{before}\n").repeat(5));
    let early = home.path("before").display().to_string();
    let log = home.path("messages").display().to_string();
    let (code, out, said) = run(&home, &["replay", &early, &log, "--pcap", &capture, "--json"]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    let (bans, summary) = replayed(&out);
    let mut hosts: Vec<_> = bans.iter().map(|(host, _)| host.as_str()).collect();
    assert_eq!(hosts.pop(), Some(CRACKER));
    hosts.sort_unstable();
    assert_eq!(hosts, [GUESSER, HOST, "198.51.100.78"]);
    assert_eq!(summary["banned_hosts"], json!({ "logs": 2, "captures": 2 }));
    assert_eq!(summary["unmatched"], 5);
    let (_, out, _) = run(&home, &["replay", &log, "--pcap", &capture]);
    let last = out.lines().last().unwrap();
    assert_eq!(last, "would be banned by what the PBX did: 2 hosts; by the logs: 1 host");
}

#[test]
fn a_capture_that_cannot_be_read_whole_is_read_as_far_as_it_can_be() {
    let home = home_with_captures();
    let path = home.path("broken.pcap");
    let capture = path.display().to_string();
    let replay = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        run(&home, &["replay", "--pcap", &capture])
    };
    let (code, out, said) = replay(&CAPTURE[..CAPTURE.len() / 2]);
    assert!(code == 1 && out.contains(GUESSER), "{out}");
    assert!(
        said.contains(&format!("cannot read on in {capture} after packet "))
            && said.contains("it ends in the middle of what begins at byte "),
        "{said}"
    );
    let (code, out, said) = replay(b"no capture at all, but a text");
    assert!(code == 1 && out.starts_with("0 packets: "), "{out}");
    assert!(said.contains("after packet 0: it is neither pcap nor pcapng"), "{said}");

    // Of another link type, and with packets that were cut.
    let mut bytes = CAPTURE.to_vec();
    bytes[20] = 147;
    let (code, out, _) = replay(&bytes);
    assert_eq!(code, 0);
    assert!(out.contains(" of the unknown link type 147\n"), "{out}");
    assert!(out.contains("captures: no packet goes to or from a SIP port"), "{out}");
    let mut cut = CAPTURE[..24].to_vec();
    let mut rest = &CAPTURE[24..];
    while let Some((head, behind)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let copied = length.min(300);
        cut.extend(&head[..8]);
        cut.extend(u32::try_from(copied).unwrap().to_le_bytes());
        cut.extend(&head[12..]);
        cut.extend(&behind[..copied]);
        rest = &behind[length..];
    }
    let (code, out, _) = replay(&cut);
    let told = flat(&out);
    assert!(code == 0 && out.contains("\ncut: ") && told.contains("(`tcpdump -s 0`"), "{out}");

    let (code, _, said) = run(&home, &["replay", "--pcap", "/no/such/file"]);
    assert!(code == 1 && said.contains("cannot read /no/such/file: "), "{said}");
    let (code, _, said) = run(&home, &["replay", "--pcap", "/dev/null"]);
    assert!(code == 1 && said.contains("say with --own"), "{said}");
}

#[test]
fn a_replay_says_what_it_cannot_know_and_what_it_withheld() {
    let hearsay = |host: &str| {
        format!(
            "[2026-11-22 01:12:24] NOTICE[1638] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from \
             '<sip:1000@pbx>' failed for '{host}:5071' (callid: a) - Failed to authenticate"
        )
    };
    let config = CONFIG.replace("[default]", "[default]\nmaxunverified = 1");
    let home =
        Home::new(&config.replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-pjsip\"]"));
    for last in 31..=33 {
        let line = at("2026-11-22 01:12:24", &odd_packet(&format!("198.51.100.{last}")));
        home.append("messages", &vec![line; 3]);
    }
    // Text alone counts for nothing here, but each line tells what the PBX did.
    for last in 1..=6 {
        home.append("messages", &vec![hearsay(&format!("198.51.100.{last}")); 5]);
    }
    home.append("messages", &vec![hearsay("198.51.100.7"); 4]);
    let log = home.path("messages").display().to_string();
    let (code, out, said) = run(&home, &["replay", &log]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(fits(&out), "{out}");
    let told = flat(&out);
    let last = &told[told.find("would be banned by").unwrap()..];
    assert_eq!(
        last,
        "would be banned by what the PBX did, if it did what the lines tell: 7 hosts (text alone: 1 host): \
         198.51.100.1 (5 offences), 198.51.100.2 (5 offences), 198.51.100.3 (5 offences), \
         198.51.100.4 (5 offences), 198.51.100.5 (5 offences), ...; a capture of its packets shows what it did \
         (`--pcap`)"
    );
    assert!(
        told.contains(
            " withheld: 2 bans by the logs, as there were more unverified ones a minute than \
             `maxunverified = 1` allows; at 2026-11-22T01:12:24Z for the first time "
        ),
        "{out}"
    );
    let hearsay = " left out: 34 hearsay: a stranger may have written the address ";
    assert!(told.contains(hearsay), "{out}");
    let (_, out, _) = run(&home, &["replay", &log, "--json"]);
    let (_, summary) = replayed(&out);
    assert_eq!(
        (&summary["captures"], &summary["banned_hosts"], &summary["supposed"]["hosts"]),
        (&Value::Null, &json!({ "logs": 1, "captures": 0 }), &json!(7))
    );
    assert_eq!(
        summary["withheld"],
        json!([{ "origin": "the logs", "time": "2026-11-22T01:12:24Z", "time_secs": 1_795_309_944, "bans": 2 }])
    );
}

#[test]
fn packed_logs_are_replayed_as_far_as_they_can_be_read() {
    let pack = |lines: &[String]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let home = Home::new(CONFIG);
    let lines = vec![at("2026-11-22 01:01:00", &wrong_password(HOST)); 5];
    let good = home.path("messages.2.gz");
    fs::write(&good, pack(&lines)).unwrap();
    let (code, out, said) = run(&home, &["replay", good.to_str().unwrap()]);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    assert!(out.contains(HOST) && out.contains("5 lines: 5 offences, 1 ban,"), "{out}");
    let (_, out, _) = run(&home, &["test", good.to_str().unwrap()]);
    assert!(flat(&out).starts_with("Lines 5 matched 5 100.0 %"), "{out}");

    // All of one part, and what there is of the next: its last line is not whole.
    let more = lines.iter().enumerate().map(|(n, line)| format!("{line} {n}"));
    let second = pack(&more.collect::<Vec<_>>());
    let broken = home.path("messages.1.gz");
    fs::write(&broken, [&pack(&lines)[..], &second[..second.len() - 9]].concat()).unwrap();
    let (code, out, said) = run(&home, &["test", broken.to_str().unwrap()]);
    assert!(code == 1 && flat(&out).starts_with("Lines 10 matched 5 50.0 %"), "{out}");
    assert!(said.contains("messages.1.gz: it ends in the middle"), "{said}");
    let (code, out, said) = run(&home, &["replay", broken.to_str().unwrap()]);
    assert!(code == 1 && out.contains(HOST) && out.contains(" 5 offences, 1 ban,"), "{out}");
    assert!(
        said.contains("messages.1.gz after line ") && said.contains("ends in the middle"),
        "{said}"
    );
    fs::write(&broken, b"no gzip file at all").unwrap();
    let (code, out, said) = run(&home, &["replay", broken.to_str().unwrap()]);
    assert!(code == 1 && out.starts_with("0 lines: "), "{out}");
    assert!(said.contains("after line 0: it is damaged"), "{said}");
}

#[test]
fn dates_are_read_as_logger_conf_has_them() {
    let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}"));
    let log = home.path("messages");
    let line = |date: &str| at(date, &wrong_password(HOST));
    home.append("messages", &vec![line("07/11/2026 16:00:00"); 9]);
    let path = log.to_str().unwrap();
    let banned = |day: &str| {
        let (code, out, said) = run(&home, &["replay", path]);
        assert_eq!(code, 0, "{said}");
        assert!(out.contains(&format!("\n{day}T16:00:00Z Ban       {HOST} ")), "{out}");
    };
    for (format, day) in [("%d/%m/%Y %T", "2026-11-07"), ("%m/%d/%Y %T", "2026-07-11")] {
        home.write("asterisk/logger.conf", &format!("[general]\ndateformat = {format}\n"));
        banned(day);
    }
    // Without it, nothing is guessed, until a date shows which number is the day.
    fs::remove_file(home.path("asterisk/logger.conf")).unwrap();
    let (_, out, _) = run(&home, &["replay", path]);
    assert!(out.contains("no time can be read in its lines"), "{out}");
    fs::remove_file(&log).unwrap();
    home.append("messages", &[line("30/10/2026 16:00:00")]);
    home.append("messages", &vec![line("07/11/2026 16:00:00"); 9]);
    banned("2026-11-07");
}

#[test]
fn lines_of_every_capture_are_read_by_their_tags() {
    let console = wrong_password(HOST).replace("] chan_sip.c: ", "]: chan_sip.c:6 f: ");
    let entry = |program: &str, text: &str| {
        json!({ "_COMM": program, "_TRANSPORT": "stdout", "MESSAGE": text }).to_string()
    };
    let numbers = json!({ "_COMM": "asterisk", "MESSAGE": console.as_bytes() }).to_string();
    let ours = [
        format!("2026-11-28T10:00:00.123456789Z stdout F {console}"),
        format!("Nov 28 10:00:00 node freepbx[77]: {console}"),
        entry("asterisk", &console),
        numbers,
        wrong_password(HOST).trim_start_matches('[').replace("] NOTICE", " NOTICE"),
    ];
    let others = [
        format!("Nov 28 10:00:00 host 3f1c2d4e5a6b[1234]: {console}"),
        format!("pbx-1  | {console}"),
    ];
    let offences = |home: &Home, lines: &[String]| {
        let text = lines.join("\n") + "\n";
        let path = home.path("log");
        fs::write(&path, text).unwrap();
        let mut test = command(home, &["test", "-", "--json"]);
        let (_, out, said) = told(&test.stdin(File::open(path).unwrap()).output().unwrap());
        assert_eq!(said, "");
        let verdicts = objects(&out);
        let ours = |said: &&Value| said["verdict"] == "offence" && said["host"] == HOST;
        verdicts.iter().filter(ours).count()
    };
    let home = Home::new(CONFIG);
    assert_eq!(offences(&home, &ours), ours.len());
    assert_eq!(offences(&home, &others), others.len());
    // What another program says is not Asterisk's.
    let foreign = ["logger", "sshd"].map(|program| entry(program, &console));
    assert_eq!(offences(&home, &foreign), 0);
    let named = Home::new(&CONFIG.replace("[default]", "[default]\ntag = [\"pbx\"]"));
    assert_eq!(offences(&named, &others), 1, "only the one that is named");
    let tagged = format!("Nov 28 10:00:00 host pbx[1]: {console}");
    assert_eq!(offences(&named, &[tagged, ours[1].clone()]), 1);
}

#[test]
fn a_log_without_times_is_named_and_left_out() {
    let home = Home::new(CONFIG);
    home.append("undated", &vec![at("", &wrong_password("198.51.100.7")); 9]);
    home.append("dated", &vec![at("2026-11-22 01:00:00", &wrong_password(HOST)); 9]);
    let [undated, dated] =
        ["undated", "dated"].map(|name| home.path(name).to_str().unwrap().to_owned());
    let (code, out, said) = run(&home, &["replay", &dated, &undated]);
    assert_eq!(code, 1, "{out}");
    assert!(said.contains(&undated) && !said.contains(&dated), "{said}");
    assert!(out.contains(HOST) && !out.contains("198.51.100.7"), "{out}");
    let left_out = format!("left out: the lines of {undated} have no time to merge them by");
    assert!(flat(&out).contains(&left_out), "{out}");
    // Of several files, those that can be read count.
    let (code, out, said) = run(&home, &["replay", "/no/such/file", &dated, "--json"]);
    assert!(code == 1 && said.contains("cannot read /no/such/file: "), "{said}");
    let (bans, summary) = replayed(&out);
    assert_eq!((bans.len(), &summary["unreadable"]), (1, &json!(["/no/such/file"])));
    // By itself, it has an order all the same.
    let (code, out, said) = run(&home, &["replay", &undated]);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains("Ban       198.51.100.7"), "{out}");
    assert!(flat(&out).contains("counted in their order, as if written all at once"), "{out}");

    for (file, words) in [("/no/such/file", "No such file"), ("/", "is a directory")] {
        let (code, out, said) = run(&home, &["replay", file]);
        assert_eq!((code, out.as_str()), (1, ""), "{said}");
        assert!(said.contains(file) && said.contains(words), "{said}");
    }
}

#[test]
fn dates_without_a_year_precede_the_file_time() {
    let home = Home::new(CONFIG);
    home.append("log", &vec![at("Dec 31 23:59:00", &wrong_password("198.51.100.1")); 5]);
    home.append("log", &vec![at("Jan  1 00:01:00", &wrong_password("198.51.100.2")); 5]);
    let log = home.path("log");
    // The second of January 2024, at noon.
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_196_800);
    File::options().write(true).open(&log).unwrap().set_modified(written).unwrap();
    let (code, out, said) = run(&home, &["replay", log.to_str().unwrap(), "--json"]);
    assert_eq!((code, said.as_str()), (0, ""));
    let times: Vec<_> = objects(&out)[..2].iter().map(|ban| ban["time"].clone()).collect();
    assert_eq!(times, ["2023-12-31T23:59:00Z", "2024-01-01T00:01:00Z"]);
}

#[test]
fn nothing_offline_touches_the_kernel() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password(HOST); 9]);
    let [log, config] = ["messages", "asterguard.toml"].map(|name| home.path(name));
    let [log, config] = [log.to_str().unwrap(), config.to_str().unwrap()];
    for args in [&["check"][..], &["test", log], &["replay", log]] {
        let output = netns.command(PROGRAM).args(args).args(["--config", config]).output().unwrap();
        assert_eq!(told(&output).0, 0, "{args:?}");
    }
    assert_eq!(netns.exec("nft list ruleset"), "");
}

#[test]
fn every_command_explains_itself() {
    let commands = [
        "run", "reload", "status", "ban", "unban", "pause", "resume", "get", "check", "test",
        "replay",
    ];
    let (_, help, _) = told(&Command::new(PROGRAM).arg("--help").output().unwrap());
    assert!(help.contains("Exit codes: 0 done"), "{help}");
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not listed: {help}");
        let output = Command::new(PROGRAM).args([command, "--help"]).output().unwrap();
        let (code, out, said) = told(&output);
        assert_eq!((code, said.as_str()), (0, ""));
        assert!(out.contains(&format!("Usage: asterguard {command}")), "{out}");
        assert!(out.contains("--json"), "{out}");
    }
    let (code, out, _) = told(&Command::new(PROGRAM).arg("--version").output().unwrap());
    assert_eq!((code, out), (0, format!("asterguard {}\n", env!("CARGO_PKG_VERSION"))));
    let (code, _, said) = told(&Command::new(PROGRAM).output().unwrap());
    assert_eq!(code, 2);
    assert!(said.contains("Usage: "), "{said}");
}

#[test]
fn usage_error_as_json() {
    for args in [&["--json"][..], &["nonsense", "--json"], &["--json", "ban", "nobody"]] {
        let (code, out, said) = told(&Command::new(PROGRAM).args(args).output().unwrap());
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        let failure = &objects(&said)[0];
        assert_eq!(failure["result"], "failed", "{args:?}");
        assert!(failure["message"].as_str().unwrap().contains("--help"), "{failure}");
    }
    // Behind `--`, it is a word like any other.
    let (_, _, said) = told(&Command::new(PROGRAM).args(["ban", "--", "--json"]).output().unwrap());
    assert!(said.starts_with("error: "), "{said}");
    let (code, out, _) = told(&Command::new(PROGRAM).args(["--json", "--help"]).output().unwrap());
    assert_eq!(code, 0);
    assert!(out.contains("Usage: "), "{out}");
}

#[test]
fn closed_pipe_ends_a_command_quietly() {
    let home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password(HOST); 20_000]);
    let log = home.path("messages");
    let log = log.to_str().unwrap();
    for args in [&["test", log, "--matched", "--limit", "all"][..], &["test", log, "--json"]] {
        let mut command = command(&home, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.contains(HOST), "{first}");
        let (code, _, said) = told(&child.wait_with_output().unwrap());
        assert_eq!((code, said.as_str()), (0, ""), "{args:?}");
    }
    // With nobody to hear of a failure either, the code still tells.
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let output = command(&home, &["check"]).stdout(full()).output().unwrap();
    assert_eq!(told(&output).0, 1);
    for help in ["--help", "--version"] {
        let output = Command::new(PROGRAM).arg(help).stdout(full()).output().unwrap();
        assert_eq!(told(&output).0, 1, "{help}");
    }
}

/// All of a directory's Rust, as one text.
fn sources(directory: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

#[test]
fn the_table_of_faults_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = sources(&root.join("src")) + &sources(&root.join("tests"));
    let table = fs::read_to_string(root.join("tests/README.md")).unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("| fault")).skip(2);
    let mut names = 0;
    for row in rows.filter(|row| row.starts_with('|')) {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in tests.split('`').skip(1).step_by(2).filter(|name| name.contains('_')) {
            // `NAME_*` stands for all that begin so.
            let whole = name.strip_suffix('*').map_or(format!("fn {name}("), |n| format!("fn {n}"));
            let exists = code.contains(&whole) || root.join(format!("tests/{name}.rs")).exists();
            assert!(exists, "{name} of the row {row}");
            names += 1;
        }
    }
    assert!(names > 50, "{names}");
}
