//! The guard, and the process that tells beside it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::thread;

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

/// Starts the process at a socket, and again when it ends, as systemd does.
fn serve(home: &Home) {
    let listener = UnixListener::bind(home.path("teller")).unwrap();
    let (config, queue) = (home.path("asterguard.toml"), home.path("queue"));
    thread::spawn(move || {
        loop {
            let mut command = Command::new(PROGRAM);
            command.args(["notifier", "--config"]).arg(&config).arg("--state-dir").arg(&queue);
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
