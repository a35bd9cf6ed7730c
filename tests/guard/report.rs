//! `asterguard report`: of a log that a real Asterisk wrote under attack, with a guard and without, as text, as a page, as
//! JSON and by mail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, wrong_password};

/// A command with the places of a home.
fn report(home: &Home, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    command.arg("report").args(args).arg("--socket").arg(home.path("socket"));
    command.arg("--config").arg(home.path("asterguard.toml"));
    command.arg("--helper").arg(home.path("helper"));
    told(&command.arg("--state-dir").arg(home.path("state")).output().unwrap())
}

fn json(home: &Home) -> Value {
    let (code, out, said) = report(home, &["--json"]);
    assert_eq!(code, 0, "{said}");
    serde_json::from_str(&out).unwrap()
}

/// What is found in a log by looking for texts: kinds of lines that count by themselves, and the rules that are for them.
/// The third is how many there are besides.
const KINDS: [(&str, &str, u64); 2] = [
    ("- Wrong password", "asterisk-sip/wrong-password", 5),
    ("- Device does not match ACL", "asterisk-sip/peer-acl-echo", 0),
];

/// Returns the host that a line of `chan_sip` says that something failed for.
fn failed_for(line: &str) -> Option<&str> {
    let (_, rest) = line.rsplit_once("failed for '")?;
    let (host, _) = rest.split_once('\'')?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    Some(host.trim_matches(['[', ']']))
}

/// Writes down which fields there are, and of which type: scripts read them.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                fields(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(all) => all.iter().for_each(|one| fields(one, &format!("{path}[]"), found)),
        Value::Null => {}
        Value::Bool(_) => drop(found.insert(format!("{path} bool"))),
        Value::Number(_) => drop(found.insert(format!("{path} number"))),
        Value::String(_) => drop(found.insert(format!("{path} text"))),
    }
}

/// With `CORPUS`, the log of a whole corpus instead of an excerpt.
#[test]
fn a_real_attack_is_reported_as_it_was() {
    if !kit::usable() {
        return;
    }
    let log = std::env::var("CORPUS").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/attack-messages.log"),
        |corpus| Path::new(&corpus).join("messages-default.log"),
    );
    let bytes = fs::read(log).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let netns = Netns::new();
    // Of one kind, all lines count in one jail.
    let config = CONFIG.replace("[jail.asterisk-scan]", "[jail.asterisk-scan]\nmaxretry = 1000000");
    let guard = Guard::start(&netns, &config);
    guard.append_bytes("messages", &bytes);
    let is_excerpt = std::env::var_os("CORPUS").is_none();
    if is_excerpt {
        guard.append("messages", &vec![wrong_password(EVE); 5]);
    }
    let all = text.lines().count() as u64 + if is_excerpt { 5 } else { 0 };
    kit::until("all of it is read", || guard.status()["sources"][0]["lines"] == all);
    let home = guard.stop();
    let report = json(&home);
    // A host on the own link is never banned: what it does is no attempt.
    let counts = |line: &&str| failed_for(line).is_some_and(|host| !host.starts_with("fe80"));
    let lines = |kind: &str| {
        text.lines().filter(|line| line.ends_with(kind)).filter(counts).collect::<Vec<_>>()
    };
    for (kind, rule, more) in KINDS.into_iter().take(if is_excerpt { KINDS.len() } else { 1 }) {
        let told = report["rules"].as_array().unwrap().iter().find(|it| it["rule"] == rule);
        let told = told.unwrap_or_else(|| panic!("{rule}: {report:#}"));
        let number = |field: &str| told[field].as_u64().unwrap();
        let sum = number("attempts") + number("untrusted") + number("ambiguous");
        assert_eq!(
            sum,
            lines(kind).len() as u64 + if is_excerpt { more } else { 0 },
            "{rule}: {told}"
        );
    }
    let rules =
        report["rules"].as_array().unwrap().iter().map(|it| it["attempts"].as_u64().unwrap());
    assert_eq!(report["totals"]["attempts"], rules.sum::<u64>(), "{report:#}");
    // Who gave five wrong passwords is banned, once; and a phone that gave one is not.
    let mut wrong: BTreeMap<&str, u64> = BTreeMap::new();
    for line in lines(KINDS[0].0) {
        *wrong.entry(failed_for(line).unwrap()).or_default() += 1;
    }
    let banned = |host: &str| {
        let host = if host.contains(':') { "2001:db8:bad::/64" } else { host };
        report["hosts"].as_array().unwrap().iter().find(|it| it["host"] == host)
    };
    println!("{}", report["verdict"]);
    println!("{} lines; wrong passwords by host: {wrong:?}", text.lines().count());
    if !is_excerpt {
        println!("{report:#}");
        return;
    }
    for (host, count) in &wrong {
        match banned(host) {
            Some(row) => assert!(*count >= 5 && row["bans"] == 1 && row["attempts"] == 5, "{row}"),
            None => assert!(*count < 5, "{host}: {count}"),
        }
    }
    assert_eq!(banned(EVE).unwrap()["attempts"], 5);
    let account = &report["accounts"][0];
    assert_eq!(
        (account["account"].as_str(), account["exists"].as_bool()),
        (Some("1000"), Some(false))
    );
}

#[test]
fn what_the_guard_did_is_reported_with_and_without_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = format!("{CONFIG}\n[feed.bad]\npath = \"$DIR/bad.txt\"\n");
    let home = Home::new(&config);
    home.write("bad.txt", "203.0.113.0/24\n");
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("Ban {EVE}"));
    guard.order(&["pause", "--for", "1h"]);
    guard.order(&["resume"]);
    guard.order(&["ban", "203.0.113.9", "--comment", "<script>alert(1)</script>"]);
    netns.exec("nft delete table inet asterguard");
    guard.says("put back");
    kit::until("all of it is stored", || {
        let report = json(&guard);
        report["heals"].as_array().unwrap().len() == 1 && report["totals"]["attempts"] == 5
    });
    let report_of = |home: &Home| {
        let report = json(home);
        let text = |field: &str| report[field].as_str().unwrap().to_owned();
        let kinds: Vec<_> =
            report["look_at"].as_array().unwrap().iter().map(|it| it["what"].clone()).collect();
        (text("verdict"), kinds, report)
    };
    let (verdict, kinds, live) = report_of(&guard);
    assert!(verdict.starts_with("OK all week; 5 attempts, 2 bans; 1 pause ("), "{verdict}");
    assert!(verdict.contains(", by root); no restart; no line lost"), "{verdict}");
    assert_eq!(kinds, ["endless-bans", "short-counts"], "{live:#}");
    let (feed, pause) = (&live["feeds"][0], &live["pauses"][0]);
    assert_eq!((feed["feed"].as_str(), feed["networks"].as_u64()), (Some("bad"), Some(1)));
    assert!(feed["written"].is_i64() && feed["written_at"].is_string(), "{feed}");
    assert!(pause["jail"].is_null() && pause["by"] == "root" && pause["until"].is_i64(), "{pause}");
    let mut found = BTreeSet::new();
    fields(&live, "", &mut found);
    insta::assert_snapshot!("report_fields", found.into_iter().collect::<Vec<_>>().join("\n"));
    assert!(live["heals"][0]["text"].as_str().unwrap().contains("put back"), "{live:#}");

    // Without the guard, the same but for what only it knows; then it is killed, which is no stop.
    let home = guard.stop();
    let (verdict, kinds, dead) = report_of(&home);
    assert!(verdict.starts_with("NOT RUNNING since "), "{verdict}");
    assert_eq!(kinds, ["endless-bans", "no-daemon", "short-counts"], "{dead:#}");
    assert_eq!((&dead["totals"], &dead["hosts"]), (&live["totals"], &live["hosts"]));
    assert!(dead["feeds"].is_null());
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let stored = || json(&guard)["restarts"].as_array().unwrap().len();
    kit::until("its start is stored", || stored() == 1);
    let home = guard.kill();
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let (verdict, kinds, _) = report_of(&guard);
    assert!(verdict.contains("; 2 restarts ("), "{verdict}");
    assert!(verdict.contains(", 1 without a stop before); no line lost"), "{verdict}");
    assert_eq!(kinds, ["endless-bans", "crashes", "short-counts"]);

    // As a page, which a checker finds nothing wrong with.
    let page = guard.path("page.html");
    let (code, out, said) = report(&guard, &["--html", page.to_str().unwrap()]);
    assert_eq!((code, out.as_str(), said.as_str()), (0, "", ""));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"), "{html}");
    let (code, out, said) =
        told(&Command::new("tidy").args(["-q", "-e"]).arg(&page).output().unwrap());
    assert_eq!((code, out.as_str(), said.as_str()), (0, "", ""), "tidy");
    let (code, out, _) = report(&guard, &["--html", "-"]);
    assert!(code == 0 && out.starts_with("<!DOCTYPE html>"), "{out}");
    let (code, _, said) = report(&guard, &["--html", "/nowhere/page.html"]);
    assert!(code == 1 && said.contains("cannot write /nowhere/page.html"), "{said}");
    // As text, without colours and the like.
    let (_, out, _) = report(&guard, &["--since", "1d"]);
    assert!(out.starts_with("OK for 1d; ") && out.contains("Look at these\n"), "{out}");
    assert!(out.chars().all(|c| c == '\n' || !c.is_control()), "{out}");
}
