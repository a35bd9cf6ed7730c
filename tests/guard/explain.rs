//! `explain`: why a host stands where it does, and what each jail makes of a line.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, odd_packet, wrong_password};

const HOST: &str = "198.51.100.14";

/// `explain` with the configuration of `home`.
fn explain(home: &Home, args: &[&str]) -> Told {
    let config = home.path("asterguard.toml");
    let state = home.path("state");
    let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    home.ctl(&[&["explain"], args, &places].concat())
}

/// The same in a namespace, whose kernel it looks into where no daemon answers.
fn explain_in(netns: &Netns, home: &Home, args: &[&str]) -> Told {
    let (config, state) = (home.path("asterguard.toml"), home.path("state"));
    let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
    home.ctl_in(netns, &[&["explain"], args, &places].concat())
}

fn object_in(netns: &Netns, home: &Home, args: &[&str]) -> (i32, Value) {
    let (code, out, _) = explain_in(netns, home, &[args, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap())
}

fn object(home: &Home, args: &[&str]) -> (i32, Value) {
    let (code, out, _) = explain(home, &[args, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap())
}

/// What a report says of a jail.
fn jail<'a>(report: &'a Value, name: &str) -> &'a Value {
    let jails = report["jails"].as_array().unwrap();
    jails.iter().find(|jail| jail["jail"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

fn home() -> Home {
    Home::new(&CONFIG.replace(
        "[default]\n",
        "[default]\nignoreip = ['127.0.0.0/8', '192.0.2.0/24']\nhearsay = 'ignore'\n",
    ))
}

#[test]
fn a_host_is_explained_by_its_lines_counts_and_bans() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = home();
    let run = home.run(netns.command(crate::kit::guard::PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![odd_packet(HOST); 2]);
    guard.append("messages", &vec![wrong_password("198.51.100.15"); 3]);
    guard.append("messages", &vec![wrong_password(HOST); 7]);
    guard.append("messages", &[wrong_password("192.0.2.9")]);
    kit::until("all is read", || guard.status()["sources"][0]["lines"] == 13);

    let (code, report) = object(&guard, &[HOST]);
    assert_eq!((code, &report["bannable"], &report["known_good"]), (0, &json!(true), &Value::Null));
    let ban = &report["bans"][0];
    assert_eq!((&ban["jail"], &ban["offences"]), (&json!("asterisk-guess"), &json!(5)));
    assert!((590..=600).contains(&ban["left"].as_u64().unwrap()), "{ban}");
    assert_eq!(report["bans"].as_array().unwrap().len(), 1);
    let path = guard.path("messages").display().to_string();
    let [guess, scan, recidive] =
        ["asterisk-guess", "asterisk-scan", "recidive"].map(|name| jail(&report, name));
    assert_eq!((&recidive["jail"], &recidive["offences"]), (&json!("recidive"), &json!(1)));
    assert_eq!(recidive["sources"], json!([{ "path": "bans", "offences": 1 }]));
    assert_eq!(
        (&guess["offences"], &guess["proven"], &guess["maxretry"]),
        (&json!(2), &json!(2), &json!(5))
    );
    assert_eq!(scan["sources"], json!([{ "path": path, "offences": 2 }]));
    let lines = report["lines"].as_array().unwrap();
    let numbers: Vec<_> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6, 2, 1]);
    assert_eq!(
        (&lines[8]["rule"], &lines[8]["class"]),
        (&json!("asterisk-sip/invalid-to-address"), &json!("malformed"))
    );

    let (_, text, _) = explain(&guard, &[HOST]);
    let said: Vec<_> = text.lines().collect();
    assert_eq!(said[0], format!("{HOST}: banned"));
    assert!(said[1].starts_with("  ban [asterisk-guess] 198.51.100.14  sip ports, "), "{text}");
    for jail in [
        format!("asterisk-guess: 2 of 5 offences within 10m, 2 proven: 2 in {path}"),
        "asterisk-probe: 0 of 10 offences within 10m".to_owned(),
        format!("asterisk-scan: 2 of 3 accounts within 1d, 0 proven: 2 in {path}"),
        "asterisk-wire: 0 of 5 offences within 10m".to_owned(),
        "recidive: 1 of 5 bans within 1d, 1 proven: 1 in bans".to_owned(),
    ] {
        assert!(said.contains(&format!("  {jail}").as_str()), "{jail}: {text}");
    }
    assert!(
        said[15].ends_with(&format!("{path}:12 {HOST} guess, proven, asterisk-sip/wrong-password")),
        "{text}"
    );
    assert_eq!(said.len(), 15 + 9);

    // A host that was only ignored, one that nobody has seen, and one that cannot be banned.
    let (_, text, _) = explain(&guard, &["192.0.2.9"]);
    assert!(text.contains("asterisk-guess: ignored, by ignoreip 192.0.2.0/24\n"), "{text}");
    assert!(text.contains("messages:13 192.0.2.9 guess"), "{text}");
    let (_, text, _) = explain(&guard, &["2001:db8::7"]);
    assert!(
        text.starts_with("2001:db8::7, counted and banned as 2001:db8::/64: not banned\n"),
        "{text}"
    );
    assert!(explain(&guard, &["fe80::1"]).1.contains("can never be banned"));

    // Reloading with rules that get other numbers, the reason of a ban stays what it was.
    guard.write("rules.d/aaa.toml", "[[rule]]\nid = \"a\"\nfailregex = '^a\\.c: <HOST> b$'\nclass = \"scan\"\nevidence = \"proven\"\n");
    guard.order(&["reload"]);
    let (_, report) = object(&guard, &[HOST]);
    assert_eq!(report["bans"][0]["rule"], "asterisk-sip/wrong-password");
    assert_eq!(report["lines"].as_array().unwrap().len(), 9);
    assert_eq!(report["lines"][0]["rule"], "asterisk-sip/wrong-password");
}

#[test]
fn known_good_host_is_explained() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &CONFIG.replace("\"asterisk-sip\"", "\"asterisk-*\""));
    guard.append(
        "messages",
        &[format!(
            "[2026-11-22 10:00:00] SECURITY[1724] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",\
             EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"Informational\",Service=\"PJSIP\",\
             EventVersion=\"1\",AccountID=\"1000\",SessionID=\"z\",\
             LocalAddress=\"IPV4/UDP/192.0.2.10/5060\",RemoteAddress=\"IPV4/UDP/{HOST}/5060\",\
             UsingPassword=\"1\""
        )],
    );
    guard.append("messages", &vec![odd_packet(HOST); 2]);
    kit::until("all is read", || guard.jail("asterisk-scan")["excused"] == 2);
    let (_, report) = object(&guard, &[HOST]);
    let known = &report["known_good"];
    assert_eq!(
        (&known["accounts"], &known["unknown"], &known["line"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(known["until"].as_i64().unwrap() - known["login"].as_i64().unwrap(), 86_400);
    assert_eq!(known["ended"], Value::Null);
    assert!(explain(&guard, &[HOST]).1.contains("\n  known good until "));
    guard.append("messages", &vec![odd_packet(HOST); 2]);
    kit::until("it is over", || guard.jail("asterisk-scan")["total_failed"] == 2);
    let (_, text, _) = explain(&guard, &[HOST]);
    assert!(text.contains("too many, so nothing is excused until "), "{text}");
}

#[test]
fn explain_without_daemon_reads_the_configuration() {
    let home = home();
    let (code, text, complaint) = explain(&home, &["192.0.2.9"]);
    assert_eq!(code, 4);
    assert!(text.contains("  asterisk-scan: ignored, by ignoreip 192.0.2.0/24\n"), "{text}");
    assert!(
        complaint.contains("no daemon answers") && complaint.contains("nothing is stored"),
        "{complaint}"
    );
    let (code, report) = object(&home, &[HOST]);
    assert_eq!((code, &report["jails"][0]["ignored_by"]), (4, &Value::Null));
    // Nobody has looked, if there is no nft.
    let blind = |args: &[&str]| {
        let (config, state) = (home.path("asterguard.toml"), home.path("state"));
        let mut command = Command::new(PROGRAM);
        let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        home.program(&mut command, &[&["explain"], args, &places].concat());
        told(&command.env("PATH", "/nowhere").output().unwrap())
    };
    let report: Value = serde_json::from_str(&blind(&[HOST, "--json"]).1).unwrap();
    assert_eq!((&report["bans"], &report["lines"]), (&Value::Null, &json!([])));
    let (_, text, _) = blind(&[HOST]);
    assert!(
        text.starts_with(&format!("{HOST}: nobody could look whether it is banned\n")),
        "{text}"
    );
    assert_eq!(explain(&home, &["pbx.example"]).0, 2);
}

#[test]
fn a_line_is_explained_jail_by_jail() {
    let home = home();
    let (code, text, complaint) = explain(&home, &[&wrong_password(HOST)]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    let said: Vec<_> = text.lines().collect();
    assert_eq!(said[0], format!("1: offence {HOST} proven asterisk-sip/wrong-password"));
    for jail in [
        "asterisk-guess: counts; 5 within 10m ban from sip ports for 10m",
        "asterisk-slow: counts; 12 within 1d ban from sip ports for 10m",
        "asterisk-probe: does not count this filter or class",
        "asterisk-scan: does not count this filter or class",
        "asterisk-wire: does not count this filter or class",
    ] {
        assert!(said.contains(&format!("  {jail}").as_str()), "{jail}: {text}");
    }
    assert_eq!(said.len(), 14);

    let (_, text, _) = explain(&home, &[&odd_packet("192.0.2.9")]);
    assert!(text.contains("asterisk-scan: ignored, by ignoreip 192.0.2.0/24\n"), "{text}");
    let (_, text, _) = explain(&home, &[&odd_packet("127.0.0.1")]);
    assert!(text.contains("asterisk-scan: ignored, by ignoreip 127.0.0.0/8"), "{text}");
    let (_, told) = object(&home, &[&odd_packet(HOST)]);
    assert_eq!(
        (&told["verdict"], &told["rule"]),
        (&json!("offence"), &json!("invalid-to-address"))
    );
    assert_eq!(
        *jail(&told, "asterisk-scan"),
        json!({ "jail": "asterisk-scan", "treatment": "counts", "ignored_by": null, "maxretry": 3,
                "findtime": 86400, "bantime": 600, "scope": "sip" })
    );

    // What nobody may be banned for, hearsay that counts only where it is told to, and nothing.
    let hearsay = "[2026-11-22 10:00:00] NOTICE[1638] chan_iax2.c: No registration for peer 'admin' \
                   (from 203.0.113.9)";
    home.write("asterguard.toml", &CONFIG.replace("asterisk-sip", "asterisk-iax"));
    let (_, text, _) = explain(&home, &[hearsay]);
    assert!(text.contains("asterisk-scan: hearsay: "), "{text}");
    let counting = CONFIG
        .replace("asterisk-sip", "asterisk-iax")
        .replace("[default]", "[default]\nhearsay = 'count'");
    home.write("asterguard.toml", &counting);
    let (_, text, _) = explain(&home, &[hearsay]);
    assert!(
        text.contains("asterisk-scan: counts; 3 within 1d ban from sip ports for 10m"),
        "{text}"
    );
    let (code, text, _) = explain(&home, &["nothing to see here"]);
    assert_eq!((code, text.as_str()), (0, "1: no rule matches\n    nothing to see here\n"));
}

#[test]
fn explain_without_daemon_reads_the_state_file() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = home();
    let run = home.run(netns.command(crate::kit::guard::PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(HOST); 5]);
    guard.says(&format!("Ban {HOST} "));
    guard.order(&["unban", HOST]);
    guard.order(&["ban", HOST, "--for", "1h"]);
    guard.append("messages", &vec![wrong_password(HOST); 2]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 7);
    let (_, with_daemon) = object(&guard, &[HOST]);
    let log = guard.path("messages").display().to_string();
    let home = guard.stop();

    let (code, report) = object_in(&netns, &home, &[HOST]);
    assert_eq!(code, 4);
    let ban = &report["bans"][0];
    assert_eq!((&ban["jail"], &ban["scope"]), (&json!("manual"), &json!("all")));
    assert_eq!(report["jails"], with_daemon["jails"]);
    let guess = jail(&report, "asterisk-guess");
    assert_eq!((&guess["offences"], &guess["sources"][0]["path"]), (&json!(2), &json!(log)));
    assert_eq!(report["earlier"], with_daemon["earlier"]);
    let earlier = &report["earlier"][0];
    assert_eq!((&earlier["jail"], &earlier["how"]), (&json!("asterisk-guess"), &json!("lifted")));
    let (_, text, complaint) = explain_in(&netns, &home, &[HOST]);
    assert!(text.starts_with(&format!("{HOST}: banned\n")), "{text}");
    assert!(text.contains("  earlier [asterisk-guess] "), "{text}");
    assert!(complaint.contains("This is what was stored last, at 2"), "{complaint}");
    assert!(complaint.contains("the bans and lists are those in the kernel"), "{complaint}");
    // By nft, behind the back of the state file.
    netns.exec("nft flush set inet asterguard ban4");
    assert!(explain_in(&netns, &home, &[HOST]).1.starts_with(&format!("{HOST}: not banned\n")));

    // Looking changes nothing, and works on a file that is damaged.
    std::fs::write(home.path("state/asterguard.db"), "nonsense").unwrap();
    let (code, _, complaint) = explain(&home, &[HOST]);
    assert!(code == 4 && complaint.contains("not a database"), "{complaint}");
    assert_eq!(home.read("state/asterguard.db"), "nonsense");
}
