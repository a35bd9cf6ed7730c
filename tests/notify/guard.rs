//! The guard, and the process that tells beside it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};

const CONFIG: &str = r#"
[wire]
enabled = false

[default]
logpath = ["$DIR/messages"]

[notify.tool]
kind = "command"
command = ["/bin/true"]
"#;

/// Starts the process at a socket, and again when it ends, as systemd does. It ends with these tests.
fn serve(home: &Home) {
    let listener = UnixListener::bind(home.path("teller")).unwrap();
    let (config, queue) = (home.path("asterguard.toml"), home.path("queue"));
    thread::spawn(move || {
        loop {
            let mut command = Command::new("setpriv");
            command
                .args(["--pdeathsig", "KILL", PROGRAM, "notifier", "--config"])
                .arg(&config)
                .arg("--state-dir")
                .arg(&queue);
            command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
            if !command.status().is_ok_and(|status| status.success()) {
                return;
            }
        }
    });
}

fn start(netns: &Netns, home: Home, notify: bool) -> Guard {
    let mut run = home.run(netns.command(PROGRAM));
    if notify {
        run.arg("--notify").arg(home.path("teller"));
    }
    Guard::start_in(home, run)
}

/// How the guard is with the notifications.
fn check(guard: &Guard) -> String {
    let status = guard.status();
    let checks = status["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == "notify").unwrap();
    format!("{} {}", check["state"].as_str().unwrap(), check["seen"].as_str().unwrap())
}

fn notifiers(guard: &Guard) -> Vec<String> {
    let status = guard.status();
    let notifiers = status["notify"].as_array().unwrap();
    notifiers.iter().map(|it| format!("{} {}", it["name"], it["kind"])).collect()
}

#[test]
fn status_shows_the_notifiers_and_a_reload_changes_them() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = crate::home(CONFIG);
    let guard = start(&netns, home, true);
    kit::until("nobody is there", || {
        check(&guard).starts_with("problem nobody is told anything now: ")
    });
    serve(&guard);
    kit::until("it is there", || check(&guard).starts_with("ok"));
    assert_eq!(notifiers(&guard), [r#""tool" "command""#]);
    assert!(guard.order(&["status"]).contains("notify tool (command): 0 messages sent"));
    guard.write("asterguard.toml", &CONFIG.replace("notify.tool", "notify.other"));
    guard.order(&["reload"]);
    kit::until("another process has the new one", || notifiers(&guard) == [r#""other" "command""#]);
    assert!(check(&guard).starts_with("ok"));
    guard.write("asterguard.toml", CONFIG.split("[notify").next().unwrap());
    guard.order(&["reload"]);
    kit::until("there is none", || notifiers(&guard).is_empty());
    assert!(check(&guard).starts_with("ok"));
}

#[test]
fn without_the_option_it_is_said_how_to_get_one() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = start(&netns, crate::home(CONFIG), false);
    let seen = check(&guard);
    assert!(
        seen.starts_with("problem nobody is told anything: ") && seen.contains("--notify"),
        "{seen}"
    );
}

/// What Asterisk writes five times when `host` guesses a password.
fn guesses(host: &str) -> Vec<String> {
    let line = format!(
        "[Nov 22 01:12:24] NOTICE[17931] chan_sip.c: Registration from \
         '\"1000\" <sip:1000@203.0.113.16>' failed for '{host}:5060' - Wrong password"
    );
    vec![line; 5]
}

#[test]
fn a_ban_is_told_with_the_lines_that_led_to_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = crate::home(&CONFIG.replace("\"/bin/true\"", "\"/usr/bin/tee\", \"$DIR/told\""));
    serve(&home);
    let guard = start(&netns, home, true);
    kit::until("it is there", || check(&guard).starts_with("ok"));
    let lines = guesses("198.51.100.7");
    guard.append("messages", &lines);
    let told = || fs::read_to_string(guard.path("told")).unwrap_or_default();
    kit::until("it is told", || told().ends_with('\n'));
    let event: Value = serde_json::from_str(&told()).unwrap();
    let event = if event.is_array() { &event[0] } else { &event };
    assert_eq!([&event["kind"], &event["host"]], ["ban", "198.51.100.7"], "{event}");
    assert_eq!(event["ban"]["lines"], serde_json::json!(lines), "{event}");
    assert_eq!(event["ban"]["accounts"], serde_json::json!(["1000"]), "{event}");
}

/// How long it takes until 2000 attackers are in the kernel.
fn storm(guard: &Guard, netns: &Netns) -> Duration {
    let host = |n: u32| format!("198.18.{}.{}", n / 250, n % 250 + 1);
    let lines: Vec<_> = (0..2000).flat_map(|n| guesses(&host(n))).collect();
    let begin = Instant::now();
    guard.append("messages", &lines);
    let count = || netns.exec("nft list set inet asterguard sip4").matches("198.18.").count();
    kit::until("all are banned", || count() >= 2000);
    begin.elapsed()
}

#[test]
fn a_receiver_that_hangs_delays_no_ban() {
    if !kit::usable() {
        return;
    }
    let config = CONFIG.replace("[default]\n", "[default]\nmaxunverified = 1000000\n");
    let alone = {
        let (netns, home) = (Netns::new(), crate::home(&config));
        storm(&start(&netns, home, false), &netns)
    };
    let netns = Netns::new();
    let home = crate::home(&config);
    let listener = UnixListener::bind(home.path("teller")).unwrap();
    // It takes connections, and reads nothing.
    let connections = thread::spawn(move || listener.incoming().take(1).collect::<Vec<_>>());
    let guard = start(&netns, home, true);
    let connection = connections.join().unwrap();
    let beside = storm(&guard, &netns);
    println!("2000 bans in {alone:?}, beside a receiver that hangs {beside:?}");
    assert!(beside < alone * 2 + Duration::from_secs(1), "{alone:?} {beside:?}");
    let mut events = Command::new(PROGRAM);
    events.args(["events", "--kind", "ban", "--limit", "5000", "--state-dir"]);
    events.arg(guard.path("state"));
    kit::until("all are stored", || {
        String::from_utf8(events.output().unwrap().stdout).unwrap().lines().count() == 2000
    });
    drop(connection);
}
