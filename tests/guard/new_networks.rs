//! Logins from networks that an account never used: said, protecting nobody, kept over a restart, acknowledged.

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, login, login_line, wrong_password};

const OFFICE: &str = "198.51.100.7";
const THIEF: &str = "203.0.113.9";

/// Networks are learned for a second.
fn config() -> String {
    CONFIG
        .replace("\"$DIR/messages\"", "\"$DIR/messages\", \"$DIR/plain\"")
        .replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-security\"]")
        .replace("[default]\n", "[default]\nnewnetworks = { learn = \"1s\" }\n")
}

fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn accounts(guard: &Guard) -> Vec<Value> {
    parse(&guard.order(&["accounts", "--json"]))
}

fn trusted(guard: &Guard) -> Vec<Value> {
    let known = parse(&guard.order(&["list", "known-good", "--json"]));
    known.into_iter().map(|known| known["host"].clone()).collect()
}

fn again(home: Home, netns: &Netns) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

/// A guard that has learned the office.
fn settled(netns: &Netns) -> Guard {
    let guard = Guard::start(netns, &config());
    assert!(guard.order(&["accounts"]).starts_with("no account has logged in yet"));
    guard.append("messages", &[login(OFFICE)]);
    kit::until("the office is learned", || {
        accounts(&guard).iter().any(|known| known["state"] == "watched")
    });
    guard
}

fn has_the_fields_that_scripts_read(account: &Value) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(account),
        [
            "schema", "account", "state", "until", "until_at", "since", "since_at", "last",
            "last_at", "host", "networks"
        ]
    );
    let networks = account["networks"].as_array().unwrap();
    assert_eq!(keys(&networks[0]), ["net", "since", "since_at", "last", "last_at", "alarm"]);
    let nets: Vec<_> = networks.iter().map(|known| (&known["net"], &known["alarm"])).collect();
    let expected =
        [("198.51.100.0/24", false), ("203.0.113.0/24", true)].map(|(n, a)| (json!(n), json!(a)));
    assert!(nets.iter().copied().eq(expected.iter().map(|(net, alarm)| (net, alarm))), "{nets:?}");
}

#[test]
fn a_thief_is_told_and_trusted_when_acknowledged() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = settled(&netns);
    guard.append("messages", &[login(THIEF)]);
    let said = guard.says(&format!("account 1000 logged in from {THIEF}"));
    assert!(said.contains("203.0.113.0/24") && said.contains("accounts ack 1000"), "{said}");
    assert_eq!(trusted(&guard), [OFFICE]);
    guard.append("messages", &vec![wrong_password(THIEF); 5]);
    guard.says(&format!("Ban {THIEF}"));
    kit::until("it is in the kernel", || addresses(&netns, "sip4") == [THIEF]);
    let table = guard.order(&["accounts"]);
    assert!(table.contains("ALARM") && table.contains("203.0.113.0/24 (new)"), "{table}");

    // Without the guard, and after a restart.
    let home = guard.stop();
    let mut command = netns.command(PROGRAM);
    command.arg("accounts").arg("--socket").arg(home.path("socket"));
    command.arg("--state-dir").arg(home.path("state")).arg("--json");
    let (code, out, said) = told(&command.output().unwrap());
    assert_eq!((code, &parse(&out)[0]["state"]), (0, &json!("alarm")), "{said}");
    has_the_fields_that_scripts_read(&parse(&out)[0]);
    assert_eq!(home.ctl(&["accounts", "ack", "1000"]).0, 4);
    let guard = again(home, &netns);
    assert_eq!(accounts(&guard)[0]["state"], "alarm");
    guard.append("messages", &[login(THIEF), login(OFFICE)]);
    kit::until("both are read", || accounts(&guard)[0]["host"] == OFFICE);
    assert_eq!(trusted(&guard), [OFFICE]);

    // The person says that it is right: that is logged with who it was, and outlives a kill.
    assert_eq!(guard.ctl(&["accounts", "ack", "1001"]).0, 2);
    let done = guard.order(&["accounts", "ack", "1000", THIEF]);
    assert_eq!(done, "account 1000 uses 203.0.113.0/24 from now on\n");
    guard.says("uses 203.0.113.0/24 from now on, acknowledged by root");
    let (code, out, _) = guard.ctl(&["accounts", "ack", "1000", "--json"]);
    assert_eq!((code, &parse(&out)[0]["changed"]), (0, &json!(false)));
    let guard = again(guard.kill(), &netns);
    assert_eq!(accounts(&guard)[0]["state"], "watched");
    guard.append("messages", &[login(THIEF)]);
    kit::until("its host is trusted", || trusted(&guard).contains(&json!(THIEF)));
    // Learned anew: that too outlives a kill.
    let done = guard.order(&["accounts", "forget", "1000"]);
    assert_eq!(done, "the networks of account 1000 are learned anew\n");
    guard.says("are learned anew, ordered by root");
    let guard = again(guard.kill(), &netns);
    assert_eq!(accounts(&guard), [Value::Null; 0]);
}

#[test]
fn lines_of_a_plain_log_neither_teach_nor_alarm() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = settled(&netns);
    let forged: Vec<_> = (0..200).map(|n| login_line(&format!("203.0.{n}.9"))).collect();
    guard.append("plain", &forged);
    guard.append("plain", &[login_line("203.0.113.9").replace("1000", "1001")]);
    guard.append("plain", &[login_line("198.51.100.8").replace("1000", "1002")]);
    kit::until("all of them are read", || trusted(&guard).contains(&json!("198.51.100.8")));
    assert_eq!(accounts(&guard).len(), 1);
    assert_eq!(accounts(&guard)[0]["networks"].as_array().map(Vec::len), Some(1));
    assert!(!trusted(&guard).contains(&json!("203.0.7.9")), "a watched account");
    guard.append("messages", &[login("203.0.7.9")]);
    guard.says("account 1000 logged in from 203.0.7.9");
    assert_eq!(guard.count("that it never used"), 1, "nothing was said of what was forged");
}
