//! What people order while the guard runs: networks, comments, doubts, hosts that are let through, bans that move from one
//! guard to another, pauses of single jails; and all of it with the guard up, down, and with a broken configuration.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, EVE, EVE_V6, EVE_V6_TOO, Lab, MALLORY, Netns, SIP, WEB};
use crate::{CONFIG, addresses, elements, login, wrong_password};

/// A network that EVE and MALLORY are in.
const NET: &str = "192.0.2.64/28";

/// Without what the guard would find out of the machine.
fn config() -> String {
    CONFIG.replace("[default]\n", "[default]\nignoreip = ['127.0.0.0/8', '203.0.113.0/24']\n")
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs a command with all places of a home, whether a guard runs there or not.
fn placed(netns: &Netns, home: &Home, args: &[&str]) -> Told {
    let mut command = netns.command(PROGRAM);
    command.args(args).arg("--socket").arg(home.path("socket"));
    command.arg("--config").arg(home.path("asterguard.toml"));
    told(&command.arg("--state-dir").arg(home.path("state")).output().unwrap())
}

fn restarted(netns: &Netns, home: Home) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

#[test]
fn a_network_is_banned_and_lifted_by_hand() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &config());
    let said = guard.order(&["ban", NET, "--for", "10m", "--comment", "ticket 4711"]);
    assert!(said.starts_with(&format!("{NET} is banned until 2")), "{said}");
    kit::until("it is shut out", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!(
        (lab.udp(MALLORY, SIP), lab.udp(EVE, WEB), lab.udp(EVE_V6, SIP)),
        (Dropped, Dropped, Arrived)
    );
    let line = guard.order(&["banned", EVE]);
    assert!(line.contains(&format!("{NET}  manual  all    9m ")), "{line}");
    assert!(line.contains("by hand (root): ticket 4711"), "{line}");
    for whom in ["192.0.2.0/24", NET, "192.0.2.64/30", MALLORY] {
        let ban = parse(&guard.order(&["banned", whom, "--json"]));
        assert_eq!(
            (&ban["host"], &ban["by"], &ban["comment"]),
            (&json!(NET), &json!("root"), &json!("ticket 4711"))
        );
        assert!(ban["until"].as_i64().unwrap() > ban["since"].as_i64().unwrap() + 590);
    }
    let (code, out, _) = guard.ctl(&["banned", "192.0.2.96/28"]);
    assert_eq!((code, out.as_str()), (9, "192.0.2.96/28 is not banned\n"));
    let (state, places) = (guard.path("state"), guard.path("asterguard.toml"));
    let places = ["--state-dir", state.to_str().unwrap(), "--config", places.to_str().unwrap()];
    let explained = guard.order(&[&["explain", EVE], &places[..]].concat());
    assert!(
        explained.starts_with(&format!("{EVE}: banned\n")) && explained.contains("ticket 4711"),
        "{explained}"
    );

    // IPv6, in the name of a jail; the /64 next to it is no part of it.
    guard.order(&["ban", "2001:db8:0:a::/65", "--jail", "asterisk-guess"]);
    kit::until("it is shut out", || lab.udp(EVE_V6, SIP) == Dropped);
    assert_eq!((lab.udp(EVE_V6, WEB), lab.udp(EVE_V6_TOO, SIP)), (Arrived, Arrived));

    // What is refused, with the reason.
    for (whom, words) in [
        ("0.0.0.0/0", "wider than /8"),
        ("2000::/3", "wider than /8 (IPv6: /16)"),
        ("127.0.0.0/9", "loopback"),
        ("203.0.113.0/25", "is in ignoreip"),
        ("192.0.2.64/29", "overlaps 192.0.2.64/28, which is banned until"),
    ] {
        let (code, out, said) = guard.ctl(&["ban", whom]);
        assert_eq!((code, out.as_str()), (2, ""), "{whom}: {said}");
        assert!(said.contains(words), "{whom}: {said}");
    }
    // A wider one in its place, with hosts in it that pass all the same.
    let said = guard.order(&["ban", "203.0.112.0/21"]);
    assert!(said.contains("; still let through: 203.0.113.0/24 (in ignoreip)"), "{said}");
    guard.order(&["ban", "192.0.2.64/27", "--for", "1h"]);
    kit::until("it takes its place", || {
        networks(&lab.pbx, "ban_net4") == ["192.0.2.64/27", "203.0.112.0/21"]
    });

    // Over a restart, and when it is lost.
    let guard = restarted(&lab.pbx, guard.stop());
    assert_eq!((lab.udp(EVE, SIP), guard.order(&["banned"]).lines().count()), (Dropped, 4));
    lab.pbx.exec("nft flush set inet asterguard ban_net4");
    kit::until("it is put back", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!(guard.ctl(&["verify"]).0, 0);
    assert_eq!(guard.order(&["unban", EVE]), "1 ban lifted\n");
    assert_eq!(guard.order(&["unban", "2001:db8::/32"]), "1 ban lifted\n");
    kit::until("nobody is shut out", || {
        (lab.udp(EVE, SIP), lab.udp(MALLORY, SIP), lab.udp(EVE_V6, SIP))
            == (Arrived, Arrived, Arrived)
    });
}

/// The networks in a set, as nft names them.
fn networks(netns: &Netns, set: &str) -> Vec<String> {
    let output = netns
        .command("nft")
        .args(["-j", "list", "set", "inet", "asterguard", set])
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sets = json["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|object| object["set"]["elem"].as_array());
    let net = |element: &Value| {
        let value = if element["elem"].is_null() { element } else { &element["elem"]["val"] };
        match (value.as_str(), value["range"].as_array()) {
            (Some(address), _) => address.to_owned(),
            (_, Some(ends)) => {
                format!("{}-{}", ends[0].as_str().unwrap(), ends[1].as_str().unwrap())
            }
            _ => {
                format!("{}/{}", value["prefix"]["addr"].as_str().unwrap(), value["prefix"]["len"])
            }
        }
    };
    let mut nets: Vec<_> = sets.flatten().map(net).collect();
    nets.sort();
    nets
}

#[test]
fn an_order_says_what_it_changes() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    let ban = |args: &[&str]| {
        let done = parse(&guard.order(&[&["ban", "198.51.100.7", "--json"], args].concat()));
        (done["changed"].as_bool().unwrap(), done["message"].as_str().unwrap().to_owned())
    };
    let (changed, words) = ban(&["--for", "1h"]);
    assert!(changed && words.starts_with("198.51.100.7 is banned until 2"), "{words}");
    let (changed, words) = ban(&["--ensure", "--for", "1h"]);
    assert!(
        !changed
            && words.ends_with(": nothing changed")
            && words.contains("banned already, until 2"),
        "{words}"
    );
    let (changed, words) = ban(&["--ensure", "--for", "2h", "--comment", "longer"]);
    assert!(changed && words.contains(" (before: until 2"), "{words}");
    assert!(!ban(&["--ensure"]).0);
    assert!(ban(&["--ensure", "--for", "permanent"]).0);
    guard.says("198.51.100.7 was ordered by root: longer");
    assert!(!ban(&[]).0);
    // In the name of a jail whose bans grow: the same order again makes it no longer.
    for changed in [true, false, false] {
        assert_eq!(ban(&["--jail", "asterisk-guess"]).0, changed);
    }
    kit::until("it is in the kernel", || elements(&netns, "sip4").len() == 1);
    assert_eq!(elements(&netns, "sip4")[0].timeout, Some(600));
    let unban = || guard.ctl(&["unban", "198.51.100.7", "--json"]);
    let (code, out, _) = unban();
    assert_eq!((code, &parse(&out)["changed"]), (0, &json!(true)));
    let (code, out, _) = unban();
    assert_eq!((code, &parse(&out)["changed"]), (9, &json!(false)));
    for (comment, words) in
        [("a\nb", "control characters"), (&*"x".repeat(201), "200 bytes at most")]
    {
        let (code, _, said) = guard.ctl(&["ban", "198.51.100.8", "--comment", comment]);
        assert!(code == 2 && said.contains(words), "{said}");
    }
    assert_eq!(guard.order(&["banned"]), "nobody is banned\n");
}

#[test]
fn who_has_logged_in_is_banned_only_by_who_means_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = config().replace("\"asterisk-sip\"", "[\"asterisk-sip\", \"asterisk-security\"]");
    let guard = Guard::start(&netns, &config);
    guard.append("messages", &[login("198.51.100.20")]);
    kit::until("it is read", || !guard.status()["logins"]["last"].is_null());
    for whom in ["198.51.100.20", "198.51.100.0/24"] {
        let (code, out, said) = guard.ctl(&["ban", whom]);
        assert_eq!((code, out.as_str()), (2, ""), "{said}");
        assert!(
            said.contains("somebody has logged in from 198.51.100.20, the last time at 2"),
            "{said}"
        );
        assert!(said.trim_end().ends_with("with --yes it is"), "{said}");
    }
    assert_eq!(guard.order(&["banned"]), "nobody is banned\n");
    // A person at a terminal is asked.
    for (answer, code) in [("n", 2), ("", 2), ("y", 0)] {
        let (ended, out, said) = at_a_terminal(&guard, &["ban", "198.51.100.20"], answer);
        assert_eq!((ended, out.is_empty()), (code, code != 0), "{said}");
        assert!(said.contains(". Ban 198.51.100.20? [y/N] "), "{said}");
    }
    assert_eq!(guard.order(&["unban", "198.51.100.20"]), "1 ban lifted\n");
    // One port of it, too; other hosts are not asked about.
    assert_eq!(guard.ctl(&["ban", "198.51.100.20:5060"]).0, 2);
    guard.order(&["ban", "198.51.100.21", "198.51.100.128/25"]);
    for whom in ["198.51.100.20", "198.51.100.0/24"] {
        guard.order(&["ban", whom, "--yes"]);
    }
    assert_eq!(guard.order(&["banned"]).lines().count(), 1 + 3);
}

/// Runs a command whose standard input is a terminal, at which somebody types this line.
fn at_a_terminal(guard: &Guard, args: &[&str], line: &str) -> Told {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut master = File::from(master);
    master.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut command = Command::new(PROGRAM);
    told(&guard.program(&mut command, args).stdin(terminal).output().unwrap())
}

/// A `ban --confirm` that waits for its answer, and what it has asked.
fn trial(guard: &Guard, args: &[&str]) -> (Child, String) {
    let mut command = Command::new(PROGRAM);
    guard.program(&mut command, &[&["ban"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut asked = vec![0; 1];
    let stderr = child.stderr.as_mut().unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"to keep it banned ") && stderr.read(&mut asked).unwrap() == 1 {
        text.extend(&asked);
    }
    (child, String::from_utf8(text).unwrap())
}

#[test]
fn a_ban_ends_unless_it_is_confirmed() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &config());
    let (mut child, asked) = trial(&guard, &[EVE, "--confirm", "60s", "--comment", "noisy"]);
    assert!(
        asked.contains(&format!("{EVE} is banned until 2"))
            && asked.contains("press Enter within 1m"),
        "{asked}"
    );
    kit::until("it is shut out", || lab.udp(EVE, SIP) == Dropped);
    assert!(elements(&lab.pbx, "ban4")[0].timeout.is_some_and(|timeout| timeout <= 60));
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let (code, out, said) = told(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{said}");
    assert!(
        out.starts_with(&format!("{EVE} is banned until it is lifted (before: until 2")),
        "{out}"
    );
    kit::until("it stays", || elements(&lab.pbx, "ban4")[0].timeout.is_none());
    let ban = parse(&guard.order(&["banned", EVE, "--json"]));
    assert_eq!((&ban["until"], &ban["comment"]), (&Value::Null, &json!("noisy")));

    // Nobody answers: whoever it was has shut out themselves. The kernel lets it go.
    let (mut child, _) = trial(&guard, &[MALLORY, "--confirm", "2s"]);
    kit::until("it is shut out", || lab.udp(MALLORY, SIP) == Dropped);
    let stdin = child.stdin.take().unwrap();
    let (code, out, said) = told(&child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        said.contains(&format!("not confirmed within 2s: {MALLORY} is not banned any more")),
        "{said}"
    );
    kit::until("it is let go", || lab.udp(MALLORY, SIP) == Arrived);
    // So does one whose command is killed.
    let (mut child, _) = trial(&guard, &[MALLORY, "--confirm", "2s"]);
    child.kill().unwrap();
    child.wait().unwrap();
    kit::until("it is let go", || lab.udp(MALLORY, SIP) == Arrived);
    // What is banned already needs no trial.
    let output = {
        let mut command = Command::new(PROGRAM);
        let command = guard.program(&mut command, &["ban", EVE, "--confirm", "60s"]);
        told(&command.stdin(Stdio::null()).output().unwrap())
    };
    assert_eq!((output.0, output.1.contains("banned already")), (0, true), "{output:?}");
}

#[test]
fn who_is_allowed_passes_until_it_ends_or_is_taken_back() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &config());
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    kit::until("she is shut out", || lab.udp(EVE, SIP) == Dropped);
    let said = guard.order(&["allow", EVE, "--for", "8h", "--comment", "the boss travels"]);
    assert!(
        said.starts_with(&format!("{EVE} is let through until 2"))
            && said.contains("; 1 ban lifted"),
        "{said}"
    );
    kit::until("she passes", || lab.udp(EVE, SIP) == Arrived);
    // She can do as she likes, and nobody bans her by hand by mistake.
    guard.append("messages", &vec![wrong_password(EVE); 20]);
    kit::until("it is read", || guard.jail("asterisk-guess")["ignored"] == 20);
    assert_eq!(guard.order(&["banned"]), "nobody is banned\n");
    let (code, _, said) = guard.ctl(&["ban", EVE]);
    assert!(
        code == 2
            && said.contains("is allowed by root until 2")
            && said.contains(": the boss travels"),
        "{said}"
    );
    let entry = parse(&guard.order(&["list", "allow", EVE, "--json"]));
    assert_eq!(
        (&entry["origin"], &entry["by"], &entry["comment"]),
        (&json!("order"), &json!("root"), &json!("the boss travels"))
    );
    let listed = guard.order(&["allow", "--list"]);
    assert!(
        listed.starts_with(EVE)
            && listed.contains(", by root at 2")
            && listed.ends_with(": the boss travels\n"),
        "{listed}"
    );

    // A ban by hand waits, and holds again afterwards.
    guard.order(&["ban", MALLORY]);
    kit::until("he is shut out", || lab.udp(MALLORY, SIP) == Dropped);
    let said = guard.order(&["allow", NET, "--for", "permanent"]);
    assert!(said.contains("; 1 ban by hand will hold again afterwards"), "{said}");
    kit::until("he passes", || lab.udp(MALLORY, SIP) == Arrived);
    let guard = restarted(&lab.pbx, guard.stop());
    assert_eq!((lab.udp(MALLORY, SIP), lab.udp(EVE, SIP)), (Arrived, Arrived));
    assert_eq!(guard.order(&["allow", "--list"]).lines().count(), 2);
    guard.order(&["allow", NET, "--remove"]);
    kit::until("he is shut out", || lab.udp(MALLORY, SIP) == Dropped);
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    let done = parse(&guard.order(&["allow", NET, "--remove", "--json"]));
    assert_eq!(done["changed"], json!(false));

    // It ends by itself.
    let said = guard.order(&["allow", EVE, "--for", "1s"]);
    assert!(said.contains(" (before: until 2"), "{said}");
    guard.says(&format!("{EVE} is no longer let through: its time is over"));
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    kit::until("she is shut out", || lab.udp(EVE, SIP) == Dropped);
    // Unbanned for good measure.
    let said = guard.order(&["unban", EVE, "--allow-for", "1h"]);
    assert!(said.starts_with(&format!("1 ban lifted; {EVE} is let through until 2")), "{said}");
    guard.append("messages", &vec![wrong_password(EVE); 20]);
    kit::until("it is read", || guard.jail("asterisk-guess")["ignored"] == 40);
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    for (whom, words) in [("0.0.0.0/0", "wider than /8"), ("192.0.2.66:5060", "one port of a host")]
    {
        let (code, _, said) = guard.ctl(&["allow", whom]);
        assert!(code == 2 && said.contains(words), "{said}");
    }
}

#[test]
fn bans_move_to_another_guard() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    guard.order(&["ban", "198.51.100.7", "--for", "1h", "--comment", "ticket 4711"]);
    for whom in ["10.1.0.0/16", "203.0.112.1:5070", "2001:db8::7"] {
        guard.order(&["ban", whom]);
    }
    let (file, kept) = (guard.path("bans.json"), guard.order(&["export"]));
    let said = guard.order(&["export", file.to_str().unwrap()]);
    assert_eq!(said, format!("5 bans written to {}\n", file.display()));
    assert_eq!(kept.lines().count(), 5);
    let mut lines: Vec<_> = kept.lines().map(str::to_owned).collect();
    let mut over = parse(&lines[0]);
    (over["until"], over["host"]) = (json!(1_700_000_000), json!("198.51.100.9"));
    let mut elsewhere = parse(&lines[0]);
    (elsewhere["scope"], elsewhere["host"]) = (json!("web"), json!("198.51.100.10"));
    let mut protected = parse(&lines[0]);
    protected["host"] = json!("203.0.113.7");
    let mut endless = parse(&lines[0]);
    endless.as_object_mut().unwrap().remove("until");
    lines.extend([over, elsewhere, protected, endless].map(|ban| ban.to_string()));
    lines.push("198.51.100.11".to_owned());

    let other = Netns::new();
    let second = Guard::start(&other, &config());
    second.order(&["ban", "198.51.100.7", "--for", "10m"]);
    let mut import = Command::new(PROGRAM);
    second.program(&mut import, &["import", "-", "--json"]);
    let mut child =
        import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let (code, out, said) = told(&child.wait_with_output().unwrap());
    let sum = parse(&out);
    assert_eq!(
        (code, &sum["new"], &sum["known"], &sum["over"]),
        (1, &json!(5), &json!(0), &json!(1)),
        "{said}"
    );
    assert_eq!(
        (sum["refused"].as_array().unwrap().len(), sum["unreadable"].as_array().unwrap().len()),
        (2, 2)
    );
    for words in [
        "there is no list of ports ",
        "203.0.113.7 is in ignoreip",
        "missing field `until`",
        "-:10:",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // The same bans, with end, reason and person.
    let same = |line: &str| {
        let mut ban = parse(line);
        for changing in ["left", "packets", "bytes", "knocked"] {
            ban.as_object_mut().unwrap().remove(changing);
        }
        ban.to_string()
    };
    let sorted = |text: &str| {
        let mut all: Vec<_> = text.lines().map(same).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&second.order(&["export"])), sorted(&kept));
    kit::until("all are in the kernel", || {
        let sets = ["ban4", "ban6", "sip4", "ban_flow4"];
        sets.iter().all(|set| addresses(&other, set).len() == 1)
            && networks(&other, "ban_net4") == ["10.1.0.0/16"]
    });
    // Once more changes nothing.
    let done = parse(&second.order(&["import", file.to_str().unwrap(), "--json"]));
    assert_eq!((&done["changed"], &done["known"]), (&json!(false), &json!(5)));
    let (code, _, said) = second.ctl(&["import", "/no/such/file"]);
    assert!(code == 1 && said.contains("cannot read /no/such/file"), "{said}");
}

#[test]
fn one_jail_is_paused_and_the_others_go_on() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, &config());
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.order(&["ban", MALLORY]);
    kit::until("both are shut out", || {
        (lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)) == (Dropped, Dropped)
    });
    let said = guard.order(&["pause", "--jail", "asterisk-guess", "--for", "1h"]);
    assert!(
        said.starts_with("the bans of asterisk-guess are not in force until 2")
            && said.ends_with(": this opens 1 ban\n"),
        "{said}"
    );
    kit::until("she passes", || lab.udp(EVE, SIP) == Arrived);
    assert_eq!(lab.udp(MALLORY, SIP), Dropped);
    // It goes on counting; what it bans waits. All that is told says so.
    guard.append("messages", &vec![wrong_password("198.51.100.9"); 5]);
    guard.says("[asterisk-guess] Ban 198.51.100.9");
    let banned = guard.order(&["banned", EVE]);
    assert!(banned.contains(" (paused)  proven, 5 × "), "{banned}");
    let (code, out, _) = guard.ctl(&["status", "--check"]);
    assert!(code == 1 && out.starts_with("PAUSED: "), "{out}");
    assert!(
        out.contains("! the bans of asterisk-guess are not in force until 2")
            && out.contains(", ordered by root"),
        "{out}"
    );
    assert_eq!(guard.ctl(&["verify"]).0, 0);
    // A lost table, a reload and a restart do not bring them back.
    lab.pbx.exec("nft flush ruleset");
    kit::until("it is put back", || lab.udp(MALLORY, SIP) == Dropped);
    guard.order(&["reload"]);
    let guard = restarted(&lab.pbx, guard.stop());
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Dropped));
    assert!(addresses(&lab.pbx, "sip4").is_empty());
    assert_eq!(guard.ctl(&["verify"]).0, 0);
    assert_eq!(
        guard.order(&["resume", "--jail", "asterisk-guess"]),
        "the bans of asterisk-guess are in force again\n"
    );
    kit::until("she is shut out", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!(addresses(&lab.pbx, "sip4").len(), 2);
    assert_eq!(guard.ctl(&["status", "--check"]).0, 0);
    // It ends by itself, and with all others.
    guard.order(&["pause", "--jail", "asterisk-guess", "--for", "1s"]);
    guard.says("the pause of the jail asterisk-guess is over");
    kit::until("she is shut out", || lab.udp(EVE, SIP) == Dropped);
    guard.order(&["pause", "--jail", "asterisk-guess"]);
    guard.order(&["pause", "--jail", "manual"]);
    kit::until("both pass", || (lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)) == (Arrived, Arrived));
    guard.order(&["resume"]);
    kit::until("both are shut out", || {
        (lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)) == (Dropped, Dropped)
    });
    let (code, _, said) = guard.ctl(&["pause", "--jail", "sshd"]);
    assert!(code == 2 && said.contains("there is no jail `sshd`"), "{said}");
}

#[test]
fn a_pause_says_what_it_opens() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(
        &netns,
        &(config()
            + "[lists]\nallow = ['203.0.113.7']\nblock = ['198.51.100.0/24']\nguardedports = [22, '8000-8010']\n"),
    );
    guard.order(&["ban", "192.0.2.7", "10.0.0.0/9"]);
    let said = guard.order(&["pause"]);
    assert!(said.starts_with("nothing is dropped until 2"), "{said}");
    assert!(said.ends_with(": this opens 2 bans, 1 network of block, the guarded ports 22, 8000-8010 for everybody\n"), "{said}");
    assert!(guard.order(&["status"]).contains(", ordered by root"));
    guard.order(&["resume"]);
    let home = guard.stop();
    let said = placed(&netns, &home, &["pause"]).2;
    assert!(said.contains("unexpected argument '--config'"), "it needs none: {said}");
    let (code, out, _) = home.ctl_in(&netns, &["pause"]);
    assert!(
        code == 0 && out.contains("this opens all bans, block lists, feeds and guarded ports"),
        "{out}"
    );
    let (code, _, said) = home.ctl_in(&Netns::new(), &["pause"]);
    assert!(
        code == 5 && said.contains("nothing to pause: there is no table inet asterguard"),
        "{said}"
    );
    assert_eq!(
        home.ctl_in(&netns, &["pause", "--jail", "manual"]).0,
        4,
        "only the guard knows jails"
    );
}

#[test]
fn who_gave_an_order_is_known_afterwards() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    let by = |sudo: &str, args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        let command = guard.program(&mut command, args).env("SUDO_USER", sudo);
        let (code, out, said) = told(&command.output().unwrap());
        assert_eq!(code, 0, "{said}");
        out
    };
    by("alice", &["ban", "198.51.100.7", "--comment", "ticket 4711"]);
    by("bob", &["allow", "198.51.100.8"]);
    by("evil\nname", &["ban", "198.51.100.9"]);
    let banned = guard.order(&["banned"]);
    assert!(
        banned.contains("by hand (alice (sudo)): ticket 4711") && banned.contains("by hand (root)"),
        "{banned}"
    );
    assert!(guard.order(&["allow", "--list"]).contains("by bob (sudo) at 2"));
    guard.says("198.51.100.7 was ordered by alice (sudo): ticket 4711");
    by("carol", &["unban", "198.51.100.7"]);
    guard.says("1 ban lifted, ordered by carol (sudo)");
    let state = guard.path("state").display().to_string();
    let explained = guard.order(&["explain", "198.51.100.7", "--state-dir", &state]);
    assert!(explained.contains(", lifted: by hand (alice (sudo)): ticket 4711"), "{explained}");
    // Over a restart, and by whoever is no root.
    let guard = restarted(&netns, guard.stop());
    assert!(guard.order(&["banned"]).contains("by hand (root)"));
    assert!(guard.order(&["allow", "--list"]).contains("by bob (sudo)"));
}

#[test]
fn what_root_orders_without_a_guard_is_for_its_user() {
    if !kit::usable() {
        return;
    }
    let (netns, home) = (Netns::new(), Home::new(&config()));
    let state = home.path("state");
    std::fs::create_dir(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(65_534), Some(65_534)).unwrap();
    let (code, out, said) = placed(&netns, &home, &["allow", "192.0.2.64/28", "--for", "1h"]);
    assert!(code == 0 && out.contains("is let through until 2"), "{said}");
    for file in std::fs::read_dir(&state).unwrap() {
        let file = file.unwrap();
        let (metadata, name) = (file.metadata().unwrap(), file.file_name());
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (65_534, 0o640), "{name:?}");
    }
    assert_eq!(store_of(&home), ["192.0.2.64/28"]);
}

/// The networks that are stored as let through.
fn store_of(home: &Home) -> Vec<String> {
    let database = rusqlite::Connection::open(home.path("state/asterguard.db")).unwrap();
    let mut statement = database.prepare("SELECT net FROM allowed ORDER BY net").unwrap();
    let nets = statement.query_map([], |row| row.get(0)).unwrap();
    nets.map(Result::unwrap).collect()
}

/// What is to be seen after an order: the store, and the kernel.
fn seen(netns: &Netns, home: &Home, what: &str) -> (Vec<String>, Vec<String>) {
    let database = rusqlite::Connection::open(home.path("state/asterguard.db")).unwrap();
    let (sql, sets): (_, &[&str]) = match what {
        "bans" => {
            ("SELECT host FROM bans WHERE ended IS NULL ORDER BY host", &["ban4", "ban_net4"])
        }
        _ => ("SELECT net FROM allowed ORDER BY net", &["allow4"]),
    };
    let mut statement = database.prepare(sql).unwrap();
    let stored = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (stored, sets.iter().flat_map(|set| networks(netns, set)).collect())
}

#[test]
fn each_order_works_with_the_guard_up_down_and_with_a_broken_configuration() {
    const BANNED: [&str; 4] = ["10.1.0.0/16", "198.51.100.1", "198.51.100.2", "198.51.100.3"];
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &config());
    let run = |args: &[&str]| placed(&netns, &guard, args);
    for host in BANNED {
        guard.order(&["ban", host]);
    }
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let bans_are = |home: &Home, hosts: &[&str]| {
        kit::until("the kernel has them", || {
            let (mut stored, mut held) = seen(&netns, home, "bans");
            stored.sort();
            held.sort();
            eprintln!("{stored:?} {held:?}");
            (stored, held) == (strings(hosts), strings(hosts))
        });
    };
    let allowed_are = |home: &Home, stored: &[&str], held: &[&str]| {
        kit::until("the kernel has them", || {
            let (known, mut in_kernel) = seen(&netns, home, "allowed");
            in_kernel.retain(|net| net.starts_with("192.0.2."));
            eprintln!("{known:?} {in_kernel:?}");
            (known, in_kernel) == (strings(stored), strings(held))
        });
    };
    bans_are(&guard, &BANNED);
    // Up, with a good and with a broken configuration on the disk.
    let good = guard.read("asterguard.toml");
    assert_eq!(run(&["unban", BANNED[1]]).0, 0);
    assert_eq!(run(&["allow", "192.0.2.0/28"]).0, 0);
    guard.write("asterguard.toml", "[default]\nmaxretry = \"five\"\n");
    assert_eq!(run(&["unban", BANNED[2]]).0, 0);
    assert_eq!(run(&["ban", "198.51.100.4"]).0, 2, "no such option");
    assert_eq!(guard.ctl(&["ban", "198.51.100.4"]).0, 0);
    assert_eq!(run(&["allow", "192.0.2.16/28", "--for", "1h"]).0, 0);
    let (code, out, _) = run(&["banned"]);
    assert_eq!((code, out.lines().count()), (0, 1 + 3), "{out}");
    bans_are(&guard, &["10.1.0.0/16", "198.51.100.3", "198.51.100.4"]);
    allowed_are(&guard, &["192.0.2.0/28", "192.0.2.16/28"], &["192.0.2.0/27"]);

    // Down, with a broken and with a good one.
    let home = guard.stop();
    let run = |args: &[&str]| placed(&netns, &home, args);
    let (code, out, said) = run(&["unban", "10.1.0.0/16"]);
    assert_eq!((code, out.as_str()), (0, "1 ban lifted\n"), "{said}");
    assert!(said.contains("the configuration cannot be used ("), "{said}");
    let (code, out, said) =
        run(&["allow", "192.0.2.64/28", "--for", "1h", "--comment", "locked out"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("192.0.2.64/28 is let through until 2"), "{out}");
    bans_are(&home, &["198.51.100.3", "198.51.100.4"]);
    allowed_are(
        &home,
        &["192.0.2.0/28", "192.0.2.16/28", "192.0.2.64/28"],
        &["192.0.2.0/27", "192.0.2.64/28"],
    );
    home.write("asterguard.toml", &good);
    assert_eq!(run(&["unban", "198.51.100.3"]).1, "1 ban lifted\n");
    assert_eq!(run(&["allow", "192.0.2.64/28", "--remove"]).0, 0);
    assert_eq!(run(&["allow", "192.0.2.80/28"]).0, 0);
    let (code, out, said) = run(&["allow", "--list"]);
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(said.contains("no daemon answers: this is what the state file says"), "{said}");
    let (code, out, _) = run(&["export"]);
    assert_eq!((code, &parse(&out)["by"]), (0, &json!("root")));
    bans_are(&home, &["198.51.100.4"]);
    allowed_are(
        &home,
        &["192.0.2.0/28", "192.0.2.16/28", "192.0.2.80/28"],
        &["192.0.2.0/27", "192.0.2.80/28"],
    );
    for order in [&["ban", "198.51.100.5"][..], &["resume", "--jail", "manual"]] {
        assert_eq!(home.ctl_in(&netns, order).0, 4, "{order:?} needs the guard");
    }
    // It takes over what was ordered meanwhile; where the table was lost, too.
    netns.exec("nft flush ruleset");
    let (code, _, said) = run(&["allow", "192.0.2.96/28"]);
    assert_eq!(code, 0, "{said}");
    let guard = restarted(&netns, home);
    bans_are(&guard, &["198.51.100.4"]);
    allowed_are(
        &guard,
        &["192.0.2.0/28", "192.0.2.16/28", "192.0.2.80/28", "192.0.2.96/28"],
        &["192.0.2.0/27", "192.0.2.80-192.0.2.111"],
    );
    assert_eq!(guard.order(&["allow", "--list"]).lines().count(), 4);
}
