//! What `status` says at night: whether the phones are well, whether logs are read, whether bans
//! arrive.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::{Value, json};

use crate::doctor::{findings, verdicts};
use crate::kit::guard::{Guard, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::owner::Owner;
use crate::{CONFIG, addresses, login_line, odd_packet, wrong_password};

const OFFICE: &str = "198.51.100.20";

/// A stranger's text may stand in such a line: nothing of it is believed.
const HEARSAY: &str = "[2026-11-22 01:12:24] NOTICE[1638] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from \
                       '<sip:1000@pbx>' failed for '198.51.100.9:5071' (callid: a) - Failed to authenticate";

fn guard(netns: &Netns) -> Guard {
    Guard::start(
        netns,
        &CONFIG.replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-security\"]"),
    )
}

fn source(guard: &Guard) -> Value {
    guard.status()["sources"][0].clone()
}

fn first_line(guard: &Guard) -> String {
    guard.order(&["status"]).lines().next().unwrap().to_owned()
}

#[test]
fn status_begins_with_the_health_of_the_phones() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    assert_eq!(first_line(&guard), "OK: 0 hosts banned; no login seen");
    assert_eq!(guard.status()["logins"]["last"], Value::Null);
    guard
        .append("messages", &[login_line(OFFICE), login_line("198.51.100.21"), login_line(OFFICE)]);
    guard.append("messages", &[wrong_password("198.51.100.66")]);
    kit::until("they are read", || guard.jail("asterisk-guess")["total_failed"] == 1);
    let line = first_line(&guard);
    assert!(line.starts_with("OK: 0 hosts banned; last login "), "{line}");
    assert!(line.ends_with(" ago, 2 hosts within 5m"), "{line}");
    let logins = guard.status()["logins"].clone();
    assert_eq!((&logins["host"], &logins["banned"]), (&json!(OFFICE), &json!(0)));

    // A ban of somebody who could log in is what to look at first.
    guard.order(&["ban", "203.0.113.5"]);
    guard.order(&["ban", OFFICE, "--yes"]);
    let line = first_line(&guard);
    assert!(line.starts_with("OK: 2 hosts banned, one of which has logged in; "), "{line}");
    let all = guard.order(&["status"]);
    assert!(
        all.contains(&format!("banned, though there were logins from there: {OFFICE}\n")),
        "{all}"
    );
    assert_eq!(guard.status()["logins"]["banned_hosts"], json!([OFFICE]));
    guard.order(&["unban", OFFICE]);
    assert_eq!(guard.status()["logins"]["banned"], 0);
    guard.order(&["pause"]);
    assert!(first_line(&guard).starts_with("PAUSED: 1 host banned; last login "));
}

/// For monitoring, which goes by the exit code.
#[test]
fn health_can_be_queried() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let check = |args: &[&str]| guard.ctl(&[&["status", "--check"], args].concat());
    assert_eq!(check(&[]), (0, "OK: 0 hosts banned; no login seen\n".to_owned(), String::new()));
    guard.order(&["pause"]);
    let (code, out, said) = check(&[]);
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(
        out.starts_with("PAUSED: 0 hosts banned; no login seen\n! nothing is dropped until 20")
            && out.ends_with("\n  do: asterguard resume\n"),
        "{out}"
    );
    assert_eq!(out.lines().count(), 3, "{out}");
    guard.order(&["resume"]);
    fs::remove_file(guard.path("messages")).unwrap();
    fs::create_dir(guard.path("messages")).unwrap();
    kit::until("that is seen", || guard.status()["health"] == "DEGRADED");
    let (code, out, _) = check(&[]);
    assert!(
        code == 1
            && out.starts_with("DEGRADED (logs, log-access): ")
            && out.contains("\n! no log file is being read\n  do: "),
        "{out}"
    );
    let (code, out, _) = check(&["--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["health"]), (1, &json!("DEGRADED")));
    assert_eq!(guard.ctl(&["status"]).0, 0, "who only looks is told, and that is no failure");
    let home = guard.stop();
    assert_eq!(home.ctl(&["status", "--check"]).0, 4);
}

#[test]
fn status_shows_last_line_and_error_of_each_log() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    guard.append("messages", &["[Nov 22 01:12:24] NOTICE[1] x.c: nothing"]);
    kit::until("it is read", || source(&guard)["lines"] == 1);
    let before = source(&guard);
    let age = kit::now().secs() - before["last_line"].as_i64().unwrap();
    assert!((0..20).contains(&age), "{before}");
    assert!(before["silent_for"].as_i64().unwrap() <= age + 1, "{before}");
    assert_eq!(
        (&before["unread"], &before["lag"], &before["errors"]),
        (&json!(0), &json!(0), &json!(0))
    );

    fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
    fs::create_dir(guard.path("messages")).unwrap();
    kit::until("that is seen", || source(&guard)["errors"] == 1);
    let error = source(&guard)["last_error"]["error"].clone();
    assert!(error.as_str().unwrap().contains("it is a directory"), "{error}");
    let all = guard.order(&["status"]);
    let line = all.lines().find(|line| line.contains("/messages: unreadable: ")).unwrap();
    assert!(line.contains(", 1 error, the last one at "), "{line}");
    assert_eq!(line.matches("it is a directory").count(), 1, "{line}");
    // It stays known when it is over.
    fs::remove_dir(guard.path("messages")).unwrap();
    guard.append("messages", &[odd_packet("198.51.100.66")]);
    kit::until("it is read again", || source(&guard)["lines"] == 2);
    assert_eq!(source(&guard)["errors"], 1);
}

#[test]
fn status_shows_the_last_repair_of_the_table() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let sink = |guard: &Guard| guard.status()["sinks"][0].clone();
    let well = json!({
        "sink": "netlink", "queue": 0, "refused": 0, "error": null, "last_error": null, "last_heal": null,
        "heals": 0
    });
    assert_eq!(sink(&guard), well);
    netns.exec("nft flush ruleset");
    guard.order(&["ban", "203.0.113.5"]);
    kit::until("the ban is there", || addresses(&netns, "ban4") == ["203.0.113.5"]);
    kit::until("it says so", || sink(&guard)["last_heal"].is_i64());
    let age = kit::now().secs() - sink(&guard)["last_heal"].as_i64().unwrap();
    assert!((0..20).contains(&age), "{age}");
    let all = guard.order(&["status"]);
    assert!(all.contains("\n  netlink: the table was rebuilt at 20"), "{all}");
}

#[test]
fn status_shows_what_is_stored() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    guard.append("messages", &[login_line(OFFICE), wrong_password("198.51.100.66")]);
    guard.order(&["ban", "203.0.113.5"]);
    guard.order(&["ban", "203.0.113.6"]);
    guard.order(&["unban", "203.0.113.6"]);
    let store = |guard: &Guard| guard.status()["store"].clone();
    kit::until("it is counted", || {
        let store = store(&guard);
        ["bans", "past", "offenders", "known_good"].map(|what| store[what].clone())
            == [json!(1), json!(1), json!(3), json!(1)]
    });
    let told = store(&guard);
    let path = guard.path("state/asterguard.db");
    assert_eq!((&told["state"], &told["path"]), (&json!("stored"), &json!(path)));
    assert_eq!(told["trouble"], Value::Null);
    assert!(told["bytes"].as_u64().unwrap() >= fs::metadata(&path).unwrap().len(), "{told}");
    assert!(told["checkpoint_ago"].as_u64().unwrap() < 20, "{told}");
    assert!(told["checkpoint_took"].as_u64().unwrap() < 20_000, "{told}");
    let words = " KiB: 1 ban, 1 earlier one, 3 offenders, 1 known good; last checkpoint ";
    let all = guard.order(&["status"]);
    assert!(
        all.contains(words) && all.contains(&format!("  {}: stored, ", path.display())),
        "{all}"
    );
    assert_eq!(guard.status()["health"], "OK");

    // A file that is gone is missed, and written anew, with what was over before.
    for file in ["asterguard.db", "asterguard.db-wal", "asterguard.db-shm"] {
        fs::remove_file(guard.path("state").join(file)).unwrap();
    }
    guard.says("was deleted while the guard ran: it is written anew");
    kit::until("it is there, and said", || {
        path.exists() && store(&guard)["past"] == 1 && guard.status()["health"] == "DEGRADED"
    });
    let status = guard.status();
    assert!(status["problems"].to_string().contains("was deleted"), "{status}");
    let run = guard.kill();
    let run = {
        let command = run.run(netns.command(PROGRAM));
        Guard::start_in(run, command)
    };
    assert_eq!(run.jail("manual")["banned"][0]["host"], "203.0.113.5");
    run.append("messages", &vec![wrong_password("198.51.100.66"); 4]);
    run.says("Ban 198.51.100.66 (5 offences");
    assert_eq!(run.status()["health"], "OK");
}

/// A state that is made for real, and ended again.
struct State<'s> {
    check: &'static str,
    /// What is said of it.
    words: &'static str,
    make: &'s dyn Fn(),
    end: &'s dyn Fn(),
}

/// What `doctor` exits with, what it says of a check, and all problems that it sees. It prints all of the daemon's own
/// checks.
fn doctor(guard: &Guard, netns: &Netns, check: &str) -> (i32, Value, Vec<Value>) {
    let (code, found) = findings(guard, netns);
    let named = guard.status()["checks"].as_array().unwrap().clone();
    for result in &named {
        let name = result["check"].as_str().unwrap();
        assert!(!verdicts(&found, name).is_empty(), "{name}: {found:#?}");
    }
    // Where it has findings of its own, those of the daemon come first.
    let of_check = found.iter().find(|finding| finding["check"] == check).unwrap().clone();
    let problems = found.into_iter().filter(|finding| finding["verdict"] == "problem").collect();
    (code, of_check, problems)
}

/// Makes a state and ends it: before, meanwhile and after, `status`, `doctor` and the log say what they should.
fn is_said(guard: &Guard, netns: &Netns, state: &State) {
    let State { check: name, words, make, end } = *state;
    let check = || guard.ctl(&["status", "--check"]);
    let fine = |when: &str| {
        kit::until_done(&format!("{name}: all is well {when}"), || match check() {
            (0, ..) => Ok(()),
            (_, out, _) => Err(out),
        });
        let (code, found, problems) = doctor(guard, netns, name);
        assert_eq!((code, &found["verdict"]), (0, &json!("ok")), "{found} {problems:#?}");
    };
    fine("before");
    make();
    kit::until_done(&format!("{name} is said"), || match check() {
        (1, out, _) if out.contains(words) => Ok(()),
        (_, out, _) => Err(out),
    });
    let (_, out, _) = check();
    let first = if name == "pause" { "PAUSED: ".into() } else { format!("DEGRADED ({name}): ") };
    assert!(out.starts_with(&first), "{out}");
    let mut lines = out.lines().skip_while(|line| !line.contains(words));
    assert!(lines.next().is_some_and(|line| line.starts_with("! ")), "{out}");
    let todo = lines.next().and_then(|line| line.strip_prefix("  do: ")).unwrap();
    let (code, found, problems) = doctor(guard, netns, name);
    assert_eq!((code, &found["verdict"]), (1, &json!("problem")), "{found} {problems:#?}");
    assert!(found["seen"].as_str().unwrap().contains(words), "{found}");
    assert_eq!(found["change"], todo, "{found}");
    // Those are said in words of their own.
    let logged = !["pause", "log-access"].contains(&name);
    if logged {
        let said = guard.says(&format!(" {name}: "));
        assert!(said.contains(words) && said.ends_with(&format!("; do: {todo}")), "{said}");
    }
    end();
    fine("after");
    if logged {
        guard.says(&format!(" {name} is ok again: "));
        assert_eq!(guard.count(&format!(" {name}: ")), 1, "{:#?}", guard.log_lines());
    }
}

/// What keeps a guard from doing its work is no health: `status`, `doctor` and the log say so, what to do, and when
/// it is over.
#[test]
fn each_state_is_said_with_what_to_do_until_it_is_over() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = CONFIG
        .replace("messages\"]", "messages\", \"$DIR/other\"]")
        .replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-security\"]");
    let guard = Guard::start(&netns, &config);
    let check = || guard.ctl(&["status", "--check"]);
    let append = |line: &str, count: usize| guard.append("messages", &vec![line; count]);
    let written = |text: &str| guard.write("asterguard.toml", text);
    let reloaded = |text: &str| {
        written(text);
        guard.order(&["reload"]);
    };
    let owner = RefCell::new(None);
    let states = [
        State {
            check: "pause",
            words: "nothing is dropped until ",
            make: &|| drop(guard.order(&["pause"])),
            end: &|| drop(guard.order(&["resume"])),
        },
        // A log that cannot be read, though another one can.
        State {
            check: "log-access",
            words: "/other is unreadable: ",
            make: &|| fs::create_dir(guard.path("other")).unwrap(),
            end: &|| fs::remove_dir(guard.path("other")).unwrap(),
        },
        State {
            check: "logs",
            words: "no log file is being read",
            make: &|| fs::remove_file(guard.path("messages")).unwrap(),
            end: &|| guard.append_bytes("messages", b""),
        },
        // Lines of something else.
        State {
            check: "log-format",
            words: "20 lines, and not one as Asterisk writes them",
            make: &|| {
                let line = "192.0.2.1 - - GET / HTTP/1.1";
                append(line, 19);
                kit::until("they are read", || source(&guard)["lines"] == 19);
                assert_eq!(check().0, 0, "too few to tell");
                append(line, 1);
            },
            end: &|| append("[Nov 22 01:12:24] NOTICE[1] chan_sip.c: Peer is UNREACHABLE!", 1),
        },
        // Text of strangers, and nothing else to see.
        State {
            check: "evidence",
            words: "none of 20 lines about attempts can be believed",
            make: &|| {
                reloaded(&format!("[wire]\nenabled = false\n{config}"));
                append(HEARSAY, 20);
            },
            end: &|| reloaded(&config),
        },
        // A configuration that the next start would end with.
        State {
            check: "configuration",
            words: "/asterguard.toml:9:12: ",
            make: &|| written(&config.replace("maxretry = 5", "maxretry = five")),
            end: &|| written(&config),
        },
        // A kernel that takes nothing.
        State {
            check: "nftables",
            words: " bans wait for nftables: ",
            make: &|| {
                owner.replace(Some(Owner::take(&netns)));
                guard.order(&["ban", "203.0.113.5"]);
            },
            end: &|| drop(owner.take()),
        },
    ];
    for state in &states {
        is_said(&guard, &netns, state);
    }

    // A daemon that is gone.
    let home = guard.kill();
    assert_eq!(home.ctl(&["status", "--check"]).0, 4);
    let (code, found) = findings(&home, &netns);
    assert_eq!((code, verdicts(&found, "daemon")), (1, vec!["problem"]), "{found:#?}");
    assert_eq!(verdicts(&found, "health"), ["unchecked"]);
}

/// Who may not ask is not told that there is no daemon.
#[test]
fn who_may_not_ask_is_told_so() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    // Everybody may enter.
    fs::set_permissions(guard.path(""), Permissions::from_mode(0o755)).unwrap();
    let program = guard.public_program();
    let as_nobody = |args: &[&str]| {
        let mut run = Command::new(&program);
        run.args(args).arg("--socket").arg(guard.path("socket")).uid(65_534).gid(65_534);
        told(&run.output().unwrap())
    };
    for args in [&["status", "--check"][..], &["banned"], &["unban", "192.0.2.1"]] {
        let (code, out, said) = as_nobody(args);
        assert_eq!((code, out.as_str()), (8, ""), "{said}");
        assert!(said.contains("you may not ask the daemon"), "{said}");
    }
    let (code, out, said) = as_nobody(&["explain", "192.0.2.1"]);
    assert_eq!(code, 8, "{said}");
    assert!(out.starts_with("192.0.2.1: nobody could look whether it is banned\n"), "{out}");
    let (_, out, _) = as_nobody(&["doctor", "--json"]);
    let of_daemon = out.lines().find(|line| line.contains("\"check\":\"daemon\"")).unwrap();
    assert!(of_daemon.contains("\"unchecked\"") && !of_daemon.contains("systemctl"), "{of_daemon}");
}
