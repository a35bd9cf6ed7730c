//! Orders to a running guard: what each does, what each refuses, and with which exit code.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Fate, Lab, Netns, SIP};
use crate::{CONFIG, JAILS, addresses, elements, odd_packet, wrong_password};

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_host_is_banned_and_unbanned_by_hand() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    assert_eq!(guard.order(&["ban", "192.0.2.7"]), "192.0.2.7 is banned until it is lifted\n");
    let said = guard.order(&["ban", "192.0.2.8", "--for", "1h"]);
    assert!(said.starts_with("192.0.2.8 is banned until 20"), "{said}");
    guard.order(&["ban", "192.0.2.9", "--jail", "asterisk-guess"]);
    let done = parse(&guard.order(&["ban", "2001:db8::7", "--json"]));
    assert_eq!(
        done,
        json!({
            "schema": 1, "result": "done", "changed": true,
            "message": "2001:db8::/64 is banned until it is lifted",
        })
    );
    kit::until("all are in the kernel", || {
        (addresses(&netns, "ban4").len(), addresses(&netns, "sip4").len()) == (2, 1)
            && addresses(&netns, "ban6").len() == 1
    });
    let ban4 = elements(&netns, "ban4");
    assert_eq!((ban4[0].timeout, ban4[1].timeout), (None, Some(3600)));
    assert!(ban4.iter().all(|element| element.comment.as_deref() == Some("manual")));
    let sip4 = elements(&netns, "sip4");
    assert_eq!((sip4[0].timeout, sip4[0].comment.as_deref()), (Some(600), Some("asterisk-guess")));
    assert_eq!(addresses(&netns, "ban6"), ["2001:db8::"]);
    guard.says("[manual] Ban 2001:db8::/64 (by hand, ports all, permanent)");

    // A ban of another jail stays when one is lifted by the jail's name.
    let (code, out, _) = guard.ctl(&["unban", "192.0.2.9", "--jail", "manual"]);
    assert_eq!((code, out.as_str()), (9, "192.0.2.9 is not banned by manual: nothing lifted\n"));
    assert_eq!(guard.order(&["unban", "192.0.2.9", "--jail", "asterisk-guess"]), "1 ban lifted\n");
    assert_eq!(guard.order(&["unban", "192.0.2.0/24"]), "2 bans lifted\n");
    let done = parse(&guard.order(&["unban", "2001:db8::1234", "--json"]));
    assert_eq!(
        done,
        json!({ "schema": 1, "result": "done", "changed": true, "message": "1 ban lifted" })
    );
    let done = parse(&guard.order(&["reload", "--json"]));
    assert_eq!(done, json!({ "schema": 1, "result": "done", "message": "reloaded" }));
    guard.says("[manual] Unban 192.0.2.7");
    kit::until("none is in the kernel", || {
        ["ban4", "ban6", "sip4"].iter().all(|set| addresses(&netns, set).is_empty())
    });
}

/// As fail2ban's administrators type it.
#[test]
fn several_hosts_are_banned_and_unbanned_at_once() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let said =
        guard.order(&["ban", "192.0.2.7", "2001:db8::7", "192.0.2.8", "--jail", "asterisk-guess"]);
    let hosts: Vec<_> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(hosts, ["192.0.2.7", "2001:db8::/64", "192.0.2.8"]);
    // Who cannot be banned keeps nobody else from it.
    let (code, out, said) = guard.ctl(&["ban", "::1", "192.0.2.9", "127.0.0.1"]);
    assert_eq!((code, out.as_str()), (2, "192.0.2.9 is banned until it is lifted\n"));
    assert!(said.contains("::1 is loopback") && said.contains("\n127.0.0.1 is loopback"), "{said}");
    kit::until("all are in the kernel", || {
        (addresses(&netns, "sip4").len(), addresses(&netns, "ban4").len()) == (2, 1)
    });
    let (code, _, said) = guard.ctl(&["ban", "192.0.2.1", "192.0.2.2", "--jail", "sshd"]);
    assert_eq!((code, said.matches("there is no jail `sshd`").count()), (2, 1), "{said}");

    assert_eq!(
        guard.order(&["unban", "192.0.2.7", "192.0.2.1"]),
        "1 ban lifted\n192.0.2.1 is not banned: nothing lifted\n"
    );
    assert_eq!(guard.order(&["unban", "--all", "--jail", "asterisk-guess"]), "2 bans lifted\n");
    let done = parse(&guard.order(&["unban", "--all", "--json"]));
    assert_eq!(
        done,
        json!({ "schema": 1, "result": "done", "changed": true, "message": "1 ban lifted" })
    );
    kit::until("none is in the kernel", || {
        ["ban4", "sip4", "sip6"].iter().all(|set| addresses(&netns, set).is_empty())
    });
    for wrong in [&["unban"][..], &["unban", "--all", "192.0.2.7"]] {
        assert_eq!(guard.ctl(wrong).0, 2, "{wrong:?}");
    }
    let home = guard.stop();
    let (code, _, said) = home.ctl(&["ban", "192.0.2.1", "192.0.2.2"]);
    assert_eq!((code, said.matches("no daemon answers").count()), (4, 1), "{said}");
}

#[test]
fn a_ban_by_hand_is_told_from_others() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    kit::until("she is banned", || guard.jail("asterisk-guess")["currently_banned"] == 1);
    guard.order(&["ban", "192.0.2.7"]);
    guard.order(&["ban", "192.0.2.8", "--jail", "asterisk-guess", "--for", "1w"]);
    let banned = guard.order(&["banned"]);
    let of = |host: &str| banned.lines().find(|line| line.contains(host)).unwrap();
    assert!(
        of("192.0.2.7").starts_with("192.0.2.7   manual          all    permanent  by hand (root)"),
        "{banned}"
    );
    assert!(of("192.0.2.8").contains(" sip    7d         by hand"), "{banned}");
    assert!(of(EVE).contains("  proven, 5 × asterisk-sip/wrong-password"), "{banned}");
    assert!(guard.order(&["explain", "192.0.2.7"]).contains("permanent, by hand"));
    let json = guard.order(&["banned", "--json"]);
    let by_hand: Vec<_> = json
        .lines()
        .map(|line| {
            let ban = parse(line);
            (ban["host"].as_str().unwrap().to_owned(), ban["by_hand"].as_bool().unwrap())
        })
        .collect();
    for (host, expected) in [("192.0.2.7", true), ("192.0.2.8", true), (EVE, false)] {
        assert!(by_hand.contains(&(host.to_owned(), expected)), "{by_hand:?}");
    }
}

#[test]
fn an_empty_list_says_that_it_is() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    for (args, words) in [
        (&["banned"][..], "nobody is banned\n"),
        (&["banned", EVE], "192.0.2.66 is not banned\n"),
        (&["list", "block"], "nothing is blocked\n"),
        (&["list", "block", EVE], "192.0.2.66 is not blocked\n"),
        (&["list", "feed"], "there is no feed\n"),
        (&["list", "known-good"], "nobody has logged in lately\n"),
        (&["list", "allow", EVE], "192.0.2.66 is not in the allow list\n"),
    ] {
        // That nothing is there is the answer; that the one is not there that was asked for is a code, too.
        let expected = if args.last() == Some(&EVE) { 9 } else { 0 };
        let (code, out, _) = guard.ctl(args);
        assert!(code == expected && out.starts_with(words), "{args:?}: {out}");
        let (code, json, _) = guard.ctl(&[args, &["--json"]].concat());
        assert_eq!(code, expected, "{args:?}");
        let is_sum =
            |line: &str| parse(line)["feed"].is_null() && parse(line)["dropped"].is_object();
        assert!(json.lines().all(is_sum), "{json}");
    }
}

#[test]
fn another_spelling_is_the_same_host() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard =
        Guard::start(&netns, &CONFIG.replace("[default]", "[default]\nignoreip = \"192.0.2.1\""));
    guard.order(&["ban", "::ffff:192.0.2.7"]);
    kit::until("it is in the kernel", || addresses(&netns, "ban4") == ["192.0.2.7"]);
    assert_eq!(guard.order(&["unban", "::ffff:192.0.2.7"]), "1 ban lifted\n");
    assert_eq!(guard.ctl(&["ban", "::ffff:192.0.2.1"]).0, 2, "an ignored host");
}

#[test]
fn invalid_bans_are_refused() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let config = CONFIG.replace("[default]", "[default]\nignoreip = [\"192.0.2.64/28\"]");
    let guard = Guard::start(&lab.pbx, &config);
    let no_jail =
        format!("there is no jail `asterisk`; there are {}, fleet, manual", JAILS.join(", "));
    for (args, words) in [
        (&["ban", EVE][..], "is in ignoreip"),
        (&["ban", "127.0.0.1"], "loopback"),
        (&["ban", "::1"], "loopback"),
        (&["ban", "fe80::1"], "link-local"),
        (&["ban", "0.0.0.0"], "unspecified"),
        (&["ban", "224.0.0.5"], "multicast"),
        (&["ban", "198.51.100.1", "--jail", "asterisk"], no_jail.as_str()),
        (&["ban", "198.51.100.300"], "invalid value"),
        (&["ban", "198.0.0.0/7"], "networks wider than /8 (IPv6: /16) are not blocked"),
        (&["ban", "somebody"], "invalid value"),
        (&["ban", "198.51.100.1", "--for", "soon"], "not a duration"),
        (&["ban"], "required"),
        (&["unban", "198.51.100.1", "--jail", "sshd"], "there is no jail `sshd`"),
        (&["unban", "198.51.100"], "write an address"),
        (&["status", "sshd"], "there is no jail `sshd`"),
        (&["get", "sshd", "failregex"], "there is no jail `sshd`"),
        (&["get", "asterisk-guess", "logpaths"], "there is no value `logpaths`"),
        (&["pause", "--for", "0s"], "too short"),
        (&["stop"], "unrecognized"),
    ] {
        let (code, out, said) = guard.ctl(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {said}");
        assert!(said.contains(words), "{args:?}: {said}");
    }
    let (code, out, said) = guard.ctl(&["ban", "::1", "--json"]);
    assert_eq!((code, out.as_str(), &parse(&said)["result"]), (2, "", &json!("failed")));
    assert_eq!(addresses(&lab.pbx, "ban4"), [""; 0]);

    // Lines about an ignored host count as ignored; and if it is in a set all the same, it passes.
    guard.append("messages", &vec![wrong_password(EVE); 9]);
    kit::until("they are read", || guard.jail("asterisk-guess")["ignored"] == 9);
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], 0);
    lab.pbx.exec(&format!("nft 'add element inet asterguard ban4 {{ {EVE} }}'"));
    assert_eq!(lab.udp(EVE, SIP), Fate::Arrived);
}

#[test]
fn ignoreip_overrides_a_manual_ban() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Fate::Dropped);
    guard.write(
        "asterguard.toml",
        &CONFIG.replace("[default]", "[default]\nignoreip = \"192.0.2.66\""),
    );
    guard.order(&["reload"]);
    assert_eq!(lab.udp(EVE, SIP), Fate::Arrived);
}

#[test]
fn without_a_guard_orders_say_that_there_is_none() {
    let home = Home::new(CONFIG);
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["reload"],
        &["ban", "192.0.2.7"],
        &["banned", "--observe"],
        &["get", "asterisk-guess", "failregex"],
    ] {
        let (code, out, said) = home.ctl(args);
        assert_eq!((code, out.as_str()), (4, ""), "{args:?}: {said}");
        assert!(said.contains("no daemon answers"), "{said}");
        if args.contains(&"--json") {
            assert_eq!(parse(&said)["result"], "failed");
        }
    }
}

/// Whoever is locked out while the guard is down, or would not start, is let in all the same, and stays in.
#[test]
fn bans_are_listed_and_lifted_without_a_guard() {
    const BY_HAND: &str = "203.0.113.9";
    const FLOW: &str = "203.0.113.10:5071";
    const NET: &str = "2001:db8:0:b::7";
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    for args in [&["ban", BY_HAND, "--for", "1h"][..], &["ban", FLOW], &["ban", NET]] {
        guard.order(args);
    }
    kit::until("all are in the kernel", || {
        let sets = ["sip4", "ban4", "ban_flow4", "ban6"];
        sets.iter().all(|set| addresses(&netns, set).len() == 1)
    });
    let home = guard.stop();
    let run = |args: &[&str]| {
        let mut command = netns.command(PROGRAM);
        command.args(args).arg("--socket").arg(home.path("socket"));
        command.arg("--config").arg(home.path("asterguard.toml"));
        told(&command.arg("--state-dir").arg(home.path("state")).output().unwrap())
    };
    let (code, out, said) = run(&["banned"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no daemon answers: this is about the kernel"), "{said}");
    assert_eq!(out.lines().count(), 1 + 4, "{out}");
    let guessed = out.lines().find(|line| line.starts_with(EVE)).unwrap();
    assert!(guessed.contains("  asterisk-guess  sip    9m "), "{out}");
    assert!(guessed.contains("  proven, 5 × asterisk-sip/wrong-password"), "{out}");
    let (_, out, _) = run(&["banned", EVE, "--json"]);
    assert_eq!(
        (&parse(&out)["host"], &parse(&out)["jail"]),
        (&EVE.into(), &"asterisk-guess".into())
    );

    let (code, out, said) = run(&["unban", EVE, FLOW]);
    assert_eq!((code, out.as_str()), (0, "1 ban lifted\n1 ban lifted\n"), "{said}");
    assert!(addresses(&netns, "sip4").is_empty() && addresses(&netns, "ban_flow4").is_empty());
    let (code, out, _) = run(&["unban", BY_HAND, "--jail", "asterisk-guess"]);
    assert_eq!((code, out.contains("is not banned by asterisk-guess: nothing lifted")), (9, true));
    assert_eq!(run(&["unban", BY_HAND, "--jail", "sshd"]).0, 2);

    // With a configuration that keeps the guard from starting.
    let good = std::fs::read_to_string(home.path("asterguard.toml")).unwrap();
    home.write("asterguard.toml", "[default]\nmaxretry = \"five\"\n");
    let (code, out, said) = run(&["unban", NET]);
    assert_eq!((code, out.as_str()), (0, "1 ban lifted\n"), "{said}");
    assert!(
        said.contains("the configuration cannot be used (") && said.contains(":2:12:"),
        "{said}"
    );
    assert!(addresses(&netns, "ban6").is_empty());
    let (_, out, _) = run(&["banned"]);
    assert!(out.lines().count() == 2 && out.contains(BY_HAND), "{out}");

    // It does not put them back.
    home.write("asterguard.toml", &good);
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!(guard.order(&["banned"]).lines().count(), 2);
    assert_eq!(addresses(&netns, "ban4"), [BY_HAND]);
    assert!(addresses(&netns, "sip4").is_empty());
    let state = guard.path("state").display().to_string();
    let explained = guard.order(&["explain", EVE, "--state-dir", &state]);
    assert!(explained.contains(", lifted: 5 offences"), "{explained}");
}

#[test]
fn status_shows_what_fail2ban_shows() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.append("messages", &vec![odd_packet("198.51.100.7"); 2]);
    kit::until("the lines are read", || guard.jail("asterisk-scan")["total_failed"] == 2);

    let all = guard.order(&["status"]);
    let first = all.lines().next().unwrap();
    assert!(first.starts_with("OK: 1 host banned; no login seen"), "{first}");
    assert!(all.contains("messages: following, 7 lines, 7 hits, 0 tampered, 0 hearsay"), "{all}");
    let one = guard.order(&["status", "asterisk-guess"]);
    let row = all.lines().find(|line| line.starts_with("asterisk-guess ")).unwrap();
    let cells: Vec<_> = row.split_whitespace().take(6).collect();
    assert_eq!(cells, ["asterisk-guess", "enforce", "0", "5", "1", "1"], "{all}");
    assert!(all.contains("\n  8 more jails without a failure (status --all)"), "{all}");
    let every = guard.order(&["status", "--all"]);
    assert!(JAILS.iter().all(|jail| every.contains(&format!("\n{jail} "))), "{every}");
    let log = guard.path("messages");
    let expected = format!(
        "Status for the jail: asterisk-guess\n\
         |- Filter\n\
         |  |- Currently failed: 0\n\
         |  |- Total failed:     5\n\
         |  |- Ignored:          0\n\
         |  |- Hearsay:          0\n\
         |  `- File list:        {}\n\
         `- Actions\n\
         \x20  |- Currently banned: 1\n\
         \x20  |- Total banned:     1\n\
         \x20  `- Banned IP list:\n\
         \x20     {EVE}  sip ports, ",
        log.display()
    );
    assert!(one.starts_with(&expected), "{one}");
    assert!(one.ends_with(" left, proven, 5 × asterisk-sip/wrong-password\n"), "{one}");

    let status = guard.status();
    let jails: Vec<_> = status["jails"].as_array().unwrap().iter().map(|j| &j["jail"]).collect();
    assert_eq!(jails, JAILS);
    let scan = guard.jail("asterisk-scan");
    assert_eq!((&scan["currently_failed"], &scan["total_banned"]), (&json!(1), &json!(0)));
    let one = parse(&guard.order(&["status", "asterisk-scan", "--json"]));
    assert_eq!(one["jails"].as_array().unwrap().len(), 1);

    let listed = guard.order(&["get", "asterisk-guess", "failregex"]);
    let line =
        listed.lines().find(|line| line.starts_with("asterisk-sip/wrong-password\t")).unwrap();
    assert!(line.ends_with("Wrong password$"), "{line}");
    assert!(!listed.contains("because extension"), "the other jail's: {listed}");
    let (code, again, _) = told(
        &Command::new(PROGRAM)
            .args(["get", "asterisk-guess", "failregex", "--socket"])
            .arg(guard.path("socket"))
            .output()
            .unwrap(),
    );
    assert_eq!((code, &again), (0, &listed), "options may come last");
    let listed = guard.order(&["get", "asterisk-guess", "failregex", "--json"]);
    let rules: Vec<_> = listed.lines().map(parse).collect();
    let rule = rules.iter().find(|rule| rule["rule"] == "asterisk-sip/wrong-password").unwrap();
    assert!(rule["failregex"][0].as_str().unwrap().contains("<HOST"), "{rule}");
}

#[test]
fn invalid_request_is_answered_with_an_error() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let mode = guard.path("socket").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660, "for root and the group alone");
    let long = [vec![b'x'; 100_000], b"\n".to_vec()].concat();
    let odd: [&[u8]; 6] =
        [b"\n", b"{}\n", b"\xff\0\n", b"{\"command\":\"stop\"}\n", b"[[[[", &long];
    for request in odd {
        let mut socket = UnixStream::connect(guard.path("socket")).unwrap();
        // The answer may come before all of it is sent.
        let _ = socket.write_all(request);
        let _ = socket.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = socket.read_to_string(&mut answer);
        if answer.is_empty() {
            assert_eq!(request.len(), long.len(), "cut off by what it had not sent yet");
        } else {
            let answer = parse(&answer);
            assert_eq!((&answer["answer"], &answer["usage"]), (&json!("failed"), &json!(true)));
        }
    }
    // Callers that say nothing keep nobody else waiting.
    let _silent: Vec<_> =
        (0..50).map(|_| UnixStream::connect(guard.path("socket")).unwrap()).collect();
    assert_eq!(guard.status()["health"], "OK");
}
