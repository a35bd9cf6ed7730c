//! What `test` says of a log, which lines it shows, and what it says of a failregex that is in no file.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::kit;
use crate::kit::guard::{Home, PROGRAM, Told, told};
use crate::offline::{at, fits, flat, objects, run};
use crate::{CONFIG, odd_packet_line, record, wrong_password_line};

const HOST: &str = "198.51.100.14";
const OTHER: &str = "198.51.100.15";
const IGNORED: &str = "192.0.2.1";

/// A home with a log in several forms, and its path.
fn home_with_log() -> (Home, String) {
    let home = Home::new(&CONFIG.replace("[default]", "[default]\nignoreip = \"192.0.2.1\""));
    home.append("messages", &vec![wrong_password_line(HOST); 3]);
    home.append("messages", &[at("2026-11-22 01:12:24", &wrong_password_line(OTHER))]);
    home.append("messages", &[wrong_password_line(IGNORED)]);
    home.append("messages", &[record(&odd_packet_line(HOST))]);
    for n in 1..=3 {
        let words = format!("[Nov 22 01:12:14] NOTICE[1] cdr.c: All is \x1b[2Jwell {n}");
        home.append("messages", &[words]);
    }
    home.append("messages", &["[Nov 22 01:12:14] VERBOSE[1] pbx.c: Executing", "nobody's line"]);
    let log = home.path("messages").to_str().unwrap().to_owned();
    (home, log)
}

/// The rows below a title, up to the next empty line, with single spaces.
fn table(out: &str, title: &str) -> Vec<String> {
    let (_, rest) =
        out.split_once(&format!("{title}\n")).unwrap_or_else(|| panic!("{title}: {out}"));
    rest.lines().take_while(|line| !line.is_empty()).map(flat).collect()
}

fn summary(home: &Home, args: &[&str]) -> Value {
    let (_, out, said) = run(home, &[args, &["--json"]].concat());
    assert_eq!(said, "");
    let mut objects = objects(&out);
    objects.pop().unwrap()["summary"].take()
}

#[test]
fn a_log_is_summed_up_in_columns() {
    let (home, log) = home_with_log();
    let (code, out, said) = run(&home, &["test", &log]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(fits(&out) && out.is_ascii() && !out.contains('\x1b'), "{out}");
    let counts: Vec<_> = out.lines().take_while(|line| !line.is_empty()).map(flat).collect();
    assert_eq!(
        counts,
        [
            "Lines 11",
            "matched 5 45.4 % of these 0 logins, 0 hearsay",
            "ignored 1 9.0 % harmless, or of hosts that are never banned",
            "missed 3 27.2 % read by rules, and none hit (--missed)",
            "other levels 1 9.0 % VERBOSE and the like: no rule reads them",
            "unknown 1 9.0 % not Asterisk's, or the rest of a message",
        ]
    );
    // Most lines first.
    let rules = table(&out, "Rules");
    assert_eq!(rules[0], "LINES CLASS EVIDENCE RULE");
    assert_eq!(rules[1], "4 guess unverified asterisk-sip/wrong-password");
    assert!(
        rules.contains(&"1 ignored unverified asterisk-sip/wrong-password".to_owned()),
        "{out}"
    );
    assert_eq!(rules.len(), 4, "{out}");
    let forms = table(&out, "Forms of lines");
    assert!(
        forms[1].starts_with("9 [DATE] LEVEL[ID] FILE: MESSAGE [Nov 22 01:12:24] NOT"),
        "{out}"
    );
    assert!(forms[2].starts_with("1 {\"logmsg\":{...},...} ([json]) {\"hostname\""), "{out}");
    assert_eq!(
        table(&out, "Dates"),
        [
            "LINES FORMAT FIRST",
            "9 Mon DD HH:MM:SS Nov 22 01:12:24",
            "1 YYYY-MM-DD HH:MM:SS 2026-11-22 01:12:24",
        ]
    );
    assert_eq!(
        table(&out, "Hosts named most"),
        ["LINES HOST", &format!("4 {HOST}"), &format!("1 {OTHER}")]
    );
    // The rules without a hit are many, and shown on request.
    let unused = "asterisk-sip/no-matching-peer";
    assert!(!out.contains("Rules without a hit"), "{out}");
    let (_, out, _) = run(&home, &["test", &log, "--verbose"]);
    let names = table(&out, "Rules without a hit");
    assert!(
        names.len() > 50 && !names.contains(&"asterisk-sip/wrong-password".to_owned()),
        "{out}"
    );
    assert!(names.contains(&unused.to_owned()), "{out}");

    let told = summary(&home, &["test", &log]);
    assert_eq!(
        (&told["lines"], &told["offences"], &told["missed"], &told["unknown"]),
        (&json!(11), &json!(5), &json!(3), &json!(1))
    );
    assert_eq!(told["hosts"][0], json!({ "host": HOST, "lines": 4 }));
    assert_eq!(
        told["rules"][0],
        json!({ "filter": "asterisk-sip", "rule": "wrong-password", "verdict": "offence",
                "class": "guess", "evidence": "unverified", "lines": 4 })
    );
    assert_eq!(told["date_formats"][1]["first"], "2026-11-22 01:12:24");
    assert_eq!((&told["unused"], &told["left_out"]), (&Value::Null, &json!({})));
}

#[test]
fn lines_are_shown_by_their_kind_up_to_a_limit() {
    let (home, log) = home_with_log();
    let shown = |args: &[&str]| {
        let (code, out, said) = run(&home, &[&["test", &log][..], args].concat());
        assert_eq!((code, said.as_str()), (0, ""), "{args:?}");
        out
    };
    let out = shown(&["--missed"]);
    let lines: Vec<_> = out.lines().take(2).collect();
    assert_eq!(
        lines,
        ["7: no rule matches", r"    [Nov 22 01:12:14] NOTICE[1] cdr.c: All is \x1b[2Jwell 1"]
    );
    assert_eq!(out.matches("no rule matches").count(), 3, "{out}");
    assert!(!out.contains("pbx.c: Executing\n") && !out.contains("not printed"), "{out}");
    let out = shown(&["--missed", "--limit", "1"]);
    assert_eq!(out.matches("no rule matches").count(), 1, "{out}");
    let more = "2 more missed lines were not printed: `--limit N` prints more, `--limit all` all";
    assert!(flat(&out).contains(more) && fits(&out), "{out}");
    let out = shown(&["--ignored"]);
    assert!(
        out.starts_with(&format!("5: ignored {IGNORED} unverified asterisk-sip/wrong-")),
        "{out}"
    );
    assert!(!out.contains("offence"), "{out}");
    assert_eq!(shown(&["--matched"]).matches("\n    [").count(), 5);

    // The default for people is not all of a large file; for programs it is.
    home.append("messages", &vec![wrong_password_line(HOST); 200]);
    let out = shown(&["--matched"]);
    assert_eq!(out.matches(": offence ").count(), 100, "{out}");
    assert!(flat(&out).contains("105 more matched lines were not printed"), "{out}");
    assert_eq!(shown(&["--matched", "--limit", "all"]).matches(": offence ").count(), 205);
    assert_eq!(objects(&shown(&["--json"])).len(), 212);
    let told = objects(&shown(&["--json", "--missed", "--limit", "2"]));
    let text = r"[Nov 22 01:12:14] NOTICE[1] cdr.c: All is \x1b[2Jwell 1";
    assert_eq!((told.len(), &told[0]["line"], &told[0]["text"]), (3, &json!(7), &json!(text)));
    assert_eq!(told[2]["summary"]["left_out"], json!({ "missed": 1 }));
    assert_eq!(objects(&shown(&["--json", "--limit", "0"])).len(), 1);
}

/// A line of a module that no shipped rule knows.
fn knock(host: &str) -> String {
    format!("[Nov 22 01:12:24] NOTICE[1] door.c: 'a' from {host} knocked")
}

const KNOCK: &str = r"^door\.c: '.*' from <HOST> knocked$";

#[test]
fn a_failregex_is_tried_without_a_file() {
    let home = Home::new(CONFIG);
    home.append("messages", &[knock(HOST), knock(OTHER), knock(OTHER), wrong_password_line(HOST)]);
    let log = home.path("messages").to_str().unwrap().to_owned();
    let (code, out, said) = run(&home, &["test", &log, "--regex", KNOCK]);
    assert_eq!((code, said.as_str()), (0, ""));
    // The other rules are not tried.
    assert_eq!(
        table(&out, "Rules"),
        ["LINES CLASS EVIDENCE RULE", "3 guess unverified --regex/1"],
        "{out}"
    );
    assert_eq!(table(&out, "Hosts named most")[1], format!("2 {OTHER}"), "{out}");
    assert!(flat(&out).contains(" missed 1 25.0 % "), "{out}");

    let line = knock(HOST);
    let tried = |more: &[&str]| {
        run(&home, &[&["test", &line, "--json", "--regex", KNOCK][..], more].concat())
    };
    let (code, out, _) = tried(&["--class", "scan"]);
    assert_eq!((code, &objects(&out)[0]["class"]), (0, &json!("scan")));
    let (code, out, _) = tried(&["--ignoreregex", "'a' from"]);
    assert_eq!((code, &objects(&out)[0]["verdict"]), (0, &json!("ignored")));
    let (code, out, _) = tried(&["--class", "success"]);
    assert_eq!((code, &objects(&out)[0]["verdict"]), (0, &json!("success")));

    // Each of several is told apart, whatever the line looks like.
    home.append("other", &["Nov 22 10:00:00 pbx kernel: drop 198.51.100.7", "knock 198.51.100.8"]);
    let other = home.path("other").to_str().unwrap().to_owned();
    let regexes = ["--regex", "^knock <HOST>$", "--regex", "^.* drop <HOST>$", "--prefix", "none"];
    let told = summary(&home, &[&["test", &other][..], &regexes].concat());
    let rules: Vec<_> = told["rules"].as_array().unwrap().iter().map(|r| &r["rule"]).collect();
    assert_eq!(rules, ["1", "2"]);
    let kernel = ["--regex", "^drop <HOST>$", "--prefix", "kernel"];
    let told = summary(&home, &[&["test", &other][..], &kernel].concat());
    assert_eq!((&told["offences"], &told["missed"]), (&json!(1), &json!(0)));

    // What hits nothing: exit code 9, and what there was to be hit.
    let (code, out, said) = run(&home, &["test", &log, "--regex", "^door: <HOST> rang$"]);
    assert_eq!((code, said.as_str()), (9, ""));
    let sees = format!("a failregex sees:\n  door.c: 'a' from {HOST} knocked\n");
    assert!(out.ends_with(&sees), "{out}");
}

#[test]
fn mistakes_in_a_tried_failregex_are_those_of_a_file() {
    let home = Home::new(CONFIG);
    let line = knock(HOST);
    for (args, place, words) in [
        (&["--regex", "<HOST> knocked"][..], "--regex:1:1: ", "anchored at both ends"),
        (&["--regex", "^knocked$"], "--regex:1:1: ", "exactly one address tag"),
        (&["--regex", "^<HOST> ([a-z]$"], "--regex:1:1: ", "unclosed group"),
        (&["--regex", r"^(?!a)b <HOST> c$"], "--regex:1:1: ", "look-around"),
        (&["--regex", r"^(a)\1 b <HOST> c$"], "--regex:1:1: ", "backreferences"),
        (&["--regex", KNOCK, "--ignoreregex", "("], "--ignoreregex:1:1: ", "no valid regex"),
    ] {
        let (code, out, said) = run(&home, &[&["test", &line][..], args].concat());
        assert_eq!((code, out.as_str()), (3, ""), "{args:?}: {said}");
        assert!(said.contains(place) && said.contains(words) && said.contains("\n  | ^"), "{said}");
    }
    // Too large for any automaton: refused, not tried for ever.
    let large = format!("^a{} b <HOST> c$", ".{1000}".repeat(1000));
    let (code, _, said) = run(&home, &["test", &line, "--regex", &large]);
    assert!(code == 3 && said.contains("too large"), "{code} {said}");
    for args in [&["--ignoreregex", "x"][..], &["--class", "guess"], &["--prefix", "none"]] {
        let (code, _, said) = run(&home, &[&["test", &line][..], args].concat());
        assert!(code == 2 && said.contains("--regex"), "{said}");
    }
}

#[test]
fn one_word_is_a_file_that_is_missing() {
    let home = Home::new(CONFIG);
    let (code, out, said) = run(&home, &["test", "hello"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        said.contains("there is no file hello") && said.contains("asterguard test -"),
        "{said}"
    );
    // As it says: the same word, as a line.
    let (code, out, said) = with_stdin(&home, &["test", "-"], "hello\n");
    assert_eq!((code, said.as_str()), (9, ""));
    assert!(flat(&out).contains("unknown 1 100.0 %") && out.contains("standard input"), "{out}");
}

fn piped(home: &Home, args: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--config").arg(home.path("asterguard.toml")).env("TZ", "UTC");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs a command that reads this through a pipe.
fn with_stdin(home: &Home, args: &[&str], text: &str) -> Told {
    let mut child = piped(home, args);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    told(&child.wait_with_output().unwrap())
}

#[test]
fn standard_input_is_replayed_like_a_file() {
    let home = Home::new(CONFIG);
    let line = at("2026-11-22 01:00:00", &wrong_password_line(HOST));
    home.append("messages", &vec![line; 5]);
    let log = home.path("messages");
    let text = fs::read_to_string(&log).unwrap();
    let from_file = run(&home, &["replay", log.to_str().unwrap(), "--json"]);
    let named = from_file.1.replace(log.to_str().unwrap(), "-");
    assert!(from_file.0 == 0 && named.contains("\"file\":\"-\""), "{named}");
    let (code, out, said) = with_stdin(&home, &["replay", "-", "--json"], &text);
    assert_eq!((code, out.as_str(), said.as_str()), (0, named.as_str(), ""));
    let (code, out, _) = with_stdin(&home, &["replay", "-"], "pbx\n");
    let words =
        "no line of standard input looks like one that Asterisk writes: is it the right file?";
    assert!(code == 0 && flat(&out).contains(words), "{out}");

    // A capture has to be read twice, unless the PBX's address is known.
    let capture = include_bytes!("../data/pbx.pcap");
    home.append_bytes("pbx.pcap", capture);
    let replay = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(["replay", "--pcap", "-", "--json"]).args(args).env("TZ", "UTC");
        command.arg("--config").arg(home.path("asterguard.toml"));
        command.stdin(File::open(home.path("pbx.pcap")).unwrap());
        told(&command.output().unwrap())
    };
    let (code, out, said) = replay(&["--own", "203.0.113.250"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(objects(&out).last().unwrap()["banned_hosts"]["captures"], 2, "{out}");
    let (code, _, said) = replay(&[]);
    assert!(code == 1 && said.contains("standard input") && said.contains("--own"), "{said}");
    let (code, _, said) = run(&home, &["replay", "-", "--pcap", "-"]);
    assert!(code == 2 && said.contains("standard input can be read once"), "{said}");
}

#[test]
fn what_a_replay_leaves_out_is_said_with_the_reason() {
    let config = CONFIG.replace("[default]", "[default]\nignoreip = \"192.0.2.1\"");
    let home = Home::new(&config);
    let date = |line: &str| at("2026-11-22 01:00:00", line);
    home.append("messages", &vec![date(&wrong_password_line(HOST)); 5]);
    home.append("messages", &vec![date(&wrong_password_line(IGNORED)); 2]);
    home.append("messages", &[at("some day", &wrong_password_line(OTHER))]);
    home.append("messages", &["nobody's line".to_owned(), "x".repeat(9000)]);
    home.append("messages", &["[2026-11-22 01:00:00] VERBOSE[1] pbx.c: Executing"]);
    let log = home.path("messages").to_str().unwrap().to_owned();
    let (code, out, said) = run(&home, &["replay", &log]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(
        fits(&out) && out.contains("\n11 lines: 8 offences, 1 ban, 0 logins\nleft out:\n"),
        "{out}"
    );
    for row in [
        "        2  of hosts that are never banned: 192.0.2.1\n",
        "        1  VERBOSE, DEBUG and the like: no rule reads these levels\n",
        "        1  not written by Asterisk, or the rest of a message\n",
        "        1  of 8000 bytes or more: too long to be believed\n",
        "        1  without a date that can be read: the one before them counts\n",
    ] {
        assert!(out.contains(row), "{row}: {out}");
    }
    let (_, out, _) = run(&home, &["replay", &log, "--json"]);
    let summary = objects(&out).pop().unwrap();
    assert_eq!(summary["ignored_hosts"], json!({ "lines": 2, "hosts": 1, "first": [IGNORED] }));
    let counts = ["undated", "other_levels", "unknown", "oversized"].map(|key| &summary[key]);
    assert_eq!(counts, [1, 1, 1, 1]);
}

#[test]
fn progress_is_shown_on_a_terminal_alone() {
    if Command::new("script").arg("--version").output().is_err() {
        return kit::programs::skip("`script` is not there");
    }
    let home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password_line(HOST); 20_000]);
    let [log, config, out] = ["messages", "asterguard.toml", "out"]
        .map(|name| home.path(name).to_str().unwrap().to_owned());
    for command in ["test", "replay"] {
        for (input, file) in [(String::new(), log.as_str()), (format!("cat {log} | "), "-")] {
            let line = format!("{input}{PROGRAM} {command} {file} --config {config} > {out}");
            let mut script = Command::new("script");
            script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
            let output = script.output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            let seen = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(seen.contains("MiB"), "{command} {file}: {seen:?}");
            assert!(fs::read_to_string(&out).unwrap().is_ascii(), "{command} {file}");
        }
        let (_, _, said) = run(&home, &[command, &log]);
        assert_eq!(said, "", "nobody looks");
    }
}

/// The most memory that a process has had, in KiB.
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lines that each have another date and form, act on terminals or have no end; one in `every` names another host.
fn hostile(numbers: std::ops::Range<u32>, every: u32) -> Vec<u8> {
    let mut text = Vec::new();
    for n in numbers {
        let host = std::net::Ipv4Addr::from(0x0b00_0000 + n).to_string();
        // A log whose first line has no date is not replayed at all.
        let date =
            if n == 0 { "2026-11-22 01:12:24".to_owned() } else { format!("odd\x1b[2J {n}") };
        let line = if n % every == 0 { wrong_password_line(&host) } else { knock(&host) };
        text.extend(at(&date, &line).bytes());
        text.extend(b"\n\xff\xfe\x1b]0;x\x07 form ");
        text.extend(n.to_string().bytes());
        text.extend(b"\n");
        if n % 1000 == 0 {
            text.extend(vec![b'['; 100_000]);
            text.extend(b"\n");
        }
    }
    text
}

/// The bounds are in docs/limits.md.
#[test]
fn a_hostile_log_takes_bounded_memory_and_no_terminal() {
    let home = Home::new(CONFIG);
    for (command, every) in [("test", 1), ("replay", 500)] {
        let mut child = piped(&home, &[command, "-"]);
        let mut input = child.stdin.take().unwrap();
        // What a pipe has taken and does not hold was read. More hosts than are remembered are named then.
        input.write_all(&hostile(0..70_000, every)).unwrap();
        let before = peak(&child);
        input.write_all(&hostile(70_000..140_000, every)).unwrap();
        let grown = peak(&child) - before;
        drop(input);
        assert!(grown < 4 << 10, "{command}: {grown} KiB more for 20 MB");
        let (code, out, said) = told(&child.wait_with_output().unwrap());
        assert_eq!((code, said.as_str()), (0, ""));
        assert!(out.is_ascii() && !out.contains('\x1b'), "{out}");
        assert!(out.lines().count() < 60 && fits(&out), "{out}");
        if command == "test" {
            let out = flat(&out);
            for words in [
                "Lines 280140 matched 140000 49.9 %",
                " too long 140 ",
                " 139999 no date that can be read odd\\x1b[2J 1 ",
                " Hosts named most (each in up to 2 lines more) ",
            ] {
                assert!(out.contains(words), "{words}: {out}");
            }
        }
    }
}
