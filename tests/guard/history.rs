//! What is told afterwards: past bans, and what the guard did.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::kit::guard::{Guard, Home, PATIENCE, PROGRAM, told};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, addresses, record, wrong_password, wrong_password_line};

/// Runs a command on the state of a home, and returns its exit code and what it printed, an object a line.
fn asked(netns: &Netns, home: &Home, args: &[&str]) -> (i32, Vec<Value>) {
    let mut command = netns.command(PROGRAM);
    command.arg("--json").args(args).arg("--state-dir").arg(home.path("state"));
    let (code, out, said) = told(&command.output().unwrap());
    let objects = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(code == 0 || code == 9, "{args:?}: {said}");
    (code, objects)
}

/// `events -f`, and its lines.
struct Follower(Child, Receiver<String>);

impl Follower {
    fn start(netns: &Netns, home: &Home) -> Self {
        let mut command = netns.command(PROGRAM);
        command.args(["events", "--follow", "--state-dir"]);
        let mut child = command.arg(home.path("state")).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, heard) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self(child, heard)
    }

    /// Waits for a line with this text.
    fn says(&self, text: &str) -> String {
        loop {
            let line = self.1.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_happened_is_told_live_and_afterwards() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let follower = Follower::start(&netns, &guard);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    let line = follower.says("  ban       [asterisk-guess] Ban ");
    assert!(line.contains(&format!("Ban {EVE} (5 offences, ")), "{line}");
    guard.order(&["ban", "203.0.113.9", "--for", "1h", "--comment", "ticket 4711"]);
    follower.says("  order     203.0.113.9 was ordered by ");
    guard.order(&["unban", EVE]);
    follower.says(&format!("  unban     [asterisk-guess] Unban {EVE} (lifted by hand)"));
    kit::until("it is out of the kernel", || !addresses(&netns, "sip4").contains(&EVE.to_owned()));
    netns.exec("nft delete table inet asterguard");
    follower.says("  heal      ");
    guard.order(&["pause", "--for", "1h"]);
    follower.says(", ordered by ");
    follower.says("  health    pause");
    guard.order(&["resume"]);

    let home = guard.stop();
    follower.says("  stop      asterguard stops");
    // Without a guard, all of it is known.
    let (_, found) = asked(&netns, &home, &["events", "--since", "1h"]);
    let kinds: Vec<_> = found.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"start"), Some(&"stop")), "{kinds:?}");
    let ban = found.iter().find(|event| event["kind"] == "ban").unwrap();
    assert_eq!([&ban["host"], &ban["jail"]], [EVE, "asterisk-guess"], "{ban}");
    assert_eq!(ban["ban"]["attempts"], 5, "{ban}");
    assert_eq!(ban["ban"]["accounts"][0], "1000", "{ban}");
    let order = found.iter().find(|event| event["kind"] == "order").unwrap();
    assert!(order["by"].as_str().unwrap().starts_with("root"), "{order}");

    let (_, bans) = asked(&netns, &home, &["history"]);
    let hosts: Vec<_> = bans.iter().map(|ban| ban["host"].as_str().unwrap()).collect();
    assert_eq!(hosts, ["203.0.113.9", EVE], "the newest first");
    assert!(bans[0]["ended"].is_null() && bans[0]["comment"] == "ticket 4711", "{}", bans[0]);
    assert_eq!([&bans[1]["how"], &bans[1]["accounts"][0]], ["lifted", "1000"]);
    for (args, count) in [
        (&["history", EVE][..], 1),
        (&["history", "192.0.2.0/24"], 1),
        (&["history", "--account", "1000"], 1),
        (&["history", "--account", "1001"], 0),
        (&["history", "--jail", "manual"], 1),
        (&["history", "--since", "2037-01-01"], 0),
        (&["history", "--limit", "1"], 1),
    ] {
        let (code, bans) = asked(&netns, &home, args);
        assert_eq!((code, bans.len()), (if count == 0 { 9 } else { 0 }, count), "{args:?}");
    }
}

/// What acts on a terminal is only text.
#[test]
fn what_strangers_wrote_acts_on_nobody() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let evil = wrong_password_line(EVE).replace("1000", "10\u{1b}[31m00");
    guard.append("messages", &vec![record(&evil); 5]);
    guard.append("messages", &vec![wrong_password("198.51.100.99"); 5]);
    guard.says("Ban 198.51.100.99");
    let home = guard.stop();
    for name in ["events", "history"] {
        let mut command = netns.command(PROGRAM);
        command.arg(name).arg("--state-dir").arg(home.path("state"));
        let (_, out, _) = told(&command.output().unwrap());
        assert!(out.contains("198.51.100.99") && !out.contains('\u{1b}'), "{out}");
    }
}
