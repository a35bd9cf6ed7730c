//! What is stored, and taken up at the next start: of the guard, or of the machine.

use std::fs;
use std::process::Command;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, EVE, Lab, Netns, SIP};
use crate::{CONFIG, addresses, elements, odd_packet, wrong_password, wrong_password_line};

/// Starts again where a guard has lived.
fn again(home: Home, netns: &Netns) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

/// `restore`, with the configuration and state of a home.
fn restore(home: &Home, netns: &Netns) -> Told {
    let mut command: Command = netns.command(PROGRAM);
    command.args(["--json", "restore", "--config"]).arg(home.path("asterguard.toml"));
    told(&command.arg("--state-dir").arg(home.path("state")).output().unwrap())
}

/// The only ban of a jail as `status` shows it.
fn ban(guard: &Guard, jail: &str) -> serde_json::Value {
    let banned = guard.jail(jail)["banned"].clone();
    assert_eq!(banned.as_array().map(Vec::len), Some(1), "{jail}: {banned}");
    banned[0].clone()
}

#[test]
fn a_ban_keeps_its_details_over_stop_and_kill() {
    if !kit::usable() {
        return;
    }
    let ends: [fn(Guard) -> Home; 2] = [Guard::stop, Guard::kill];
    for end in ends {
        let netns = Netns::new();
        let guard = Guard::start(&netns, CONFIG);
        guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
        guard.says("Ban 198.51.100.14 ");
        // An order that is answered is stored, and with it all that came before.
        guard.order(&["ban", "203.0.113.9"]);
        let before = ban(&guard, "asterisk-guess");
        let mut guard = again(end(guard), &netns);
        // And once more, so that what was taken up is stored too.
        for _ in 0..2 {
            let after = ban(&guard, "asterisk-guess");
            for field in ["host", "scope", "since", "offences", "evidence", "rule"] {
                assert_eq!(after[field], before[field], "{field}");
            }
            let (then, now) = (before["left"].as_u64().unwrap(), after["left"].as_u64().unwrap());
            assert!(now <= then && now + 20 > then, "{then} {now}");
            assert_eq!(ban(&guard, "manual")["left"], serde_json::Value::Null);
            assert_eq!(guard.status()["health"], "OK");
            guard = again(end(guard), &netns);
        }
    }
}

#[test]
fn a_lifted_ban_does_not_come_back() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", "203.0.113.9"]);
    guard.order(&["ban", "203.0.113.10", "--for", "1h"]);
    kit::until("both are in the kernel", || addresses(&netns, "ban4").len() == 2);
    let held = elements(&netns, "ban4");
    guard.order(&["unban", "203.0.113.0/24"]);
    kit::until("they are out", || addresses(&netns, "ban4").is_empty());
    let home = guard.kill();
    // As if it had been killed before it could tell the kernel.
    let left = held[0].expires.unwrap();
    netns.exec(&format!(
        "nft add element inet asterguard ban4 '{{ 203.0.113.9 comment \"manual\", 203.0.113.10 timeout {left}s comment \"manual\" }}'"
    ));
    let guard = again(home, &netns);
    kit::until("they are out again", || addresses(&netns, "ban4").is_empty());
    assert_eq!(guard.jail("manual"), serde_json::Value::Null);
}

#[test]
fn restore_brings_bans_back_before_the_guard_starts() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", "203.0.113.9"]);
    guard.order(&["ban", "2001:db8:0:a::66", "--jail", "asterisk-scan", "--for", "30m"]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    let home = guard.kill();
    lab.pbx.exec("nft flush ruleset");
    assert_eq!(lab.udp(EVE, SIP), Arrived);

    let (code, out, said) = restore(&home, &lab.pbx);
    assert_eq!(code, 0, "{said}");
    let done = r#"{"schema":1,"result":"done","restored":3,"found":0,"expired":0}"#;
    assert_eq!(out.trim(), done);
    assert_eq!(lab.udp(EVE, SIP), Dropped);
    let left = elements(&lab.pbx, "ban4").iter().map(|e| e.expires).collect::<Vec<_>>();
    assert!(matches!(left[..], [Some(3500..=3600), None]), "{left:?}");
    // Twice is as good as once.
    assert!(restore(&home, &lab.pbx).1.contains(r#""restored":0,"found":3"#));

    let guard = again(home, &lab.pbx);
    assert!(guard.says("bans found in force").contains("3 bans found"));
    assert_eq!(guard.status()["health"], "OK");
    // A guard that runs needs no help.
    let (code, _, said) = restore(&guard, &lab.pbx);
    assert!(code == 1 && said.contains("running already"), "{said}");

    // Without `restore`, the guard does it itself.
    let home = guard.stop();
    lab.pbx.exec("nft flush ruleset");
    let guard = again(home, &lab.pbx);
    guard.says("3 are put back there");
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
}

#[test]
fn without_a_state_file_the_structure_is_there() {
    if !kit::usable() {
        return;
    }
    let (netns, home) = (Netns::new(), Home::new(CONFIG));
    let (code, out, said) = restore(&home, &netns);
    assert_eq!((code, said.as_str()), (0, ""), "{out}");
    netns.exec("nft list set inet asterguard sip4");
    assert!(!home.path("state").exists(), "nothing was made");
}

#[test]
fn damaged_state_file_is_reported_and_stops_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", "203.0.113.9", "--for", "1h"]);
    kit::until("it is in the kernel", || addresses(&netns, "ban4").len() == 1);
    let home = guard.stop();
    fs::write(home.path("state/asterguard.db"), "x".repeat(5000)).unwrap();

    // `restore` leaves the file alone.
    let (code, _, said) = restore(&home, &netns);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains("not a database") && said.contains("what could be read"), "{said}");
    assert_eq!(fs::read_to_string(home.path("state/asterguard.db")).unwrap(), "x".repeat(5000));
    assert_eq!(addresses(&netns, "ban4"), ["203.0.113.9"]);

    // The guard keeps it aside, and takes the kernel's word for the bans.
    let guard = again(home, &netns);
    guard.says("could not be used");
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    assert!(status["problems"].to_string().contains("asterguard.db.broken-"), "{status}");
    assert!(ban(&guard, "manual")["left"].as_u64().unwrap() > 3500);
    let guard = again(guard.kill(), &netns);
    assert_eq!(guard.status()["health"], "OK");
    assert!(guard.says("of the stored bans").contains("1 are in the kernel"));
}

/// What the jails `before` banned is taken up by a guard with the configuration `after`: hosts in the
/// kernel's set for SIP, after both were lost.
fn taken_up(before: &str, after: &str) -> (Guard, Netns) {
    let netns = Netns::new();
    let guard = Guard::start(&netns, before);
    for host in ["198.51.100.1", "198.51.100.2"] {
        guard.append("messages", &vec![wrong_password(host); 5]);
        guard.says(&format!("Ban {host} "));
    }
    let home = guard.stop();
    netns.exec("nft flush ruleset");
    home.write("asterguard.toml", after);
    (again(home, &netns), netns)
}

#[test]
fn newly_ignored_hosts_are_not_restored() {
    if !kit::usable() {
        return;
    }
    let after = CONFIG.replace("[default]", "[default]\nignoreip = ['198.51.100.2']");
    let (_guard, netns) = taken_up(CONFIG, &after);
    kit::until("one is back", || addresses(&netns, "sip4") == ["198.51.100.1"]);
}

#[test]
fn bans_of_a_jail_that_is_gone_are_manual() {
    if !kit::usable() {
        return;
    }
    let other =
        "[jail.asterisk-guess]\nenabled = false\n[jail.other]\nport = 'sip'\nclass = 'guess'";
    let (guard, netns) = taken_up(&CONFIG.replace("[jail.asterisk-guess]", other), CONFIG);
    kit::until("both are back", || addresses(&netns, "sip4").len() == 2);
    assert_eq!(guard.jail("manual")["currently_banned"], 2);
}

#[test]
fn counts_go_on_after_stop_and_kill() {
    if !kit::usable() {
        return;
    }
    let ends: [fn(Guard) -> Home; 2] = [Guard::stop, Guard::kill];
    for end in ends {
        let netns = Netns::new();
        let guard = Guard::start(&netns, CONFIG);
        guard.append("messages", &vec![wrong_password("198.51.100.14"); 3]);
        kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 3);
        let home = end(guard);
        home.append("messages", &[wrong_password("198.51.100.14")]);
        let guard = again(home, &netns);
        guard.says("bytes that were written while the guard was not running");
        // A start that reads nothing new changes nothing.
        let guard = again(end(guard), &netns);
        guard.append("messages", &[wrong_password("198.51.100.14")]);
        guard.says("Ban 198.51.100.14 (5 offences");
    }
}

/// What `status` shows of what a jail has counted in all.
fn totals(guard: &Guard) -> Vec<serde_json::Value> {
    let fields = ["total_failed", "total_banned", "ignored", "total_observed", "last_failed"];
    let of = |jail| fields.map(|field| guard.jail(jail)[field].clone());
    ["asterisk-guess", "asterisk-scan"].into_iter().flat_map(of).collect()
}

#[test]
fn totals_outlive_stop_and_kill() {
    if !kit::usable() {
        return;
    }
    let config = CONFIG
        .replace("[default]", "[default]\nignoreip = ['192.0.2.0/24']")
        .replace("[jail.asterisk-scan]", "[jail.asterisk-scan]\nmode = 'observe'");
    let netns = Netns::new();
    let mut guard = Guard::start(&netns, &config);
    let lines = |host: &str, count| vec![wrong_password(host); count];
    guard.append("messages", &lines("192.0.2.7", 2));
    guard.append("messages", &lines("198.51.100.15", 3));
    guard.append("messages", &vec![odd_packet("198.51.100.16"); 5]);
    guard.append("messages", &lines("198.51.100.14", 5));
    guard.says("Ban 198.51.100.14 ");
    for n in 1_i64.. {
        let stored = || {
            let file = guard.path("state/asterguard.db");
            let sql = "SELECT failed FROM totals WHERE jail = 'asterisk-guess'";
            let file = rusqlite::Connection::open(file).unwrap();
            file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0)
        };
        kit::until("a checkpoint has them", || stored() == 7 + n);
        let before = totals(&guard);
        assert_eq!(before[..4], [7 + n, 1, 2, 0].map(serde_json::Value::from), "{before:?}");
        assert_eq!(before[5..9], [5, 0, 0, 1].map(serde_json::Value::from), "{before:?}");
        guard.order(&["reload"]);
        assert_eq!(totals(&guard), before, "a reload takes nothing away");
        let home = match n {
            1 | 2 => guard.kill(),
            3 | 4 => guard.stop(),
            _ => break,
        };
        guard = again(home, &netns);
        assert_eq!(totals(&guard), before, "start {n}");
        // They go on from there.
        guard.append("messages", &lines(&format!("198.51.100.{}", 100 + n), 1));
    }
    // A damaged file takes them away, and nothing else.
    let home = guard.stop();
    let file = rusqlite::Connection::open(home.path("state/asterguard.db")).unwrap();
    let odd = "UPDATE totals SET failed = -5, banned = 'x', ignored = 1e99, last = 'never'";
    file.execute(odd, []).unwrap();
    drop(file);
    let guard = again(home, &netns);
    let zeros = [0, 0, 0, 0].map(serde_json::Value::from);
    assert_eq!((&totals(&guard)[..4], guard.status()["health"].clone()), (&zeros[..], "OK".into()));
    assert_eq!(ban(&guard, "asterisk-guess")["host"], "198.51.100.14");
}

#[test]
fn what_a_rotation_moved_while_it_was_down_is_read() {
    if !kit::usable() {
        return;
    }
    let rename = |home: &Home| {
        fs::rename(home.path("messages"), home.path("messages.1")).unwrap();
        home.append("messages.1", &[wrong_password("198.51.100.14")]);
    };
    let copy = |home: &Home| {
        home.append("messages", &[wrong_password("198.51.100.14")]);
        fs::copy(home.path("messages"), home.path("messages.1")).unwrap();
        fs::write(home.path("messages"), "").unwrap();
    };
    let twice = |home: &Home| {
        rename(home);
        fs::rename(home.path("messages.1"), home.path("messages.2")).unwrap();
        home.append("messages.1", &[wrong_password("203.0.113.5")]);
    };
    let rotations: [&dyn Fn(&Home); 3] = [&rename, &copy, &twice];
    for rotate in rotations {
        let netns = Netns::new();
        let guard = Guard::start(&netns, CONFIG);
        // The beginning of the log tells it from others.
        guard.append(
            "messages",
            &vec!["[Nov 22 01:12:24] NOTICE[1] chan_sip.c: Peer '1000' is now UNREACHABLE!"; 20],
        );
        guard.append("messages", &vec![wrong_password("198.51.100.14"); 3]);
        kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 3);
        let home = guard.stop();
        rotate(&home);
        home.append("messages", &[wrong_password("198.51.100.14")]);
        let guard = again(home, &netns);
        guard.says("Ban 198.51.100.14 (5 offences");
    }
}

#[test]
fn state_of_version_0_1_0_goes_on_where_the_log_was_left() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password_line("198.51.100.14"); 3]);
    fs::create_dir(home.path("state")).unwrap();
    let file = home.path("state").join("asterguard.db");
    let dump = include_str!("../data/state-0.1.0.sql");
    let dump = dump.replace("$DIR", home.path("").to_str().unwrap().trim_end_matches('/'));
    rusqlite::Connection::open(&file).unwrap().execute_batch(&dump).unwrap();
    // The second time, it is this version's file.
    for _ in 0..2 {
        home.append("messages", &[wrong_password_line("198.51.100.15")]);
        let guard = again(home, &netns);
        let line = wrong_password_line("198.51.100.15").len() + 1;
        guard.says(&format!(
            "messages: read {line} bytes that were written while the guard was not running, with 1 hits"
        ));
        assert_eq!(guard.status()["health"], "OK");
        home = guard.stop();
    }
}

#[test]
fn old_lines_do_not_ban_an_unbanned_host_again() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let now = || format!("[{}]", kit::now());
    let line = |host: &str| wrong_password_line(host).replace("[Nov 22 01:12:24]", &now());
    guard.append("messages", &vec![line("198.51.100.14"); 5]);
    guard.says("Ban 198.51.100.14 ");
    let home = guard.stop();
    let log = fs::read(home.path("messages")).unwrap();
    let guard = again(home, &netns);
    guard.order(&["unban", "198.51.100.14"]);
    let home = guard.kill();
    // The same lines in a file that nobody knows, with others: all of it is read, by its own times.
    home.write("messages", &format!("{}\n", "a new beginning ".repeat(30)));
    let old = line("198.51.100.15").replace(&now()[..5], "[2020");
    home.append("messages", &vec![old; 5]);
    home.append_bytes("messages", &log);
    home.append("messages", &vec![line("198.51.100.16"); 5]);
    let guard = again(home, &netns);
    guard.says("Ban 198.51.100.16 (5 offences");
    kit::until("the ban is in the kernel", || addresses(&netns, "sip4") == ["198.51.100.16"]);
    assert_eq!(guard.count("198.51.100.14"), 0, "{:#?}", guard.log_lines());
}

/// The program, with something mounted over the state directory (`$0`) that no other process sees.
fn mounting(netns: &Netns, home: &Home, mount: &str) -> Command {
    let mut command = netns.command("unshare");
    command.args(["-m", "sh", "-c", &format!("{mount} && exec \"$@\"")]);
    command.arg(home.path("state")).arg(PROGRAM);
    command
}

#[test]
fn a_state_directory_that_cannot_be_written_stops_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    guard.says("Ban 198.51.100.14 ");
    let home = guard.stop();
    let before = fs::read(home.path("state/asterguard.db")).unwrap();
    let readonly = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\"";
    let run = home.run(mounting(&netns, &home, readonly));
    let guard = Guard::start_in(home, run);
    guard.says("state-file: nothing is stored, so ");
    assert_eq!(ban(&guard, "asterisk-guess")["offences"], 5, "what is stored can be read");
    guard.append("messages", &vec![wrong_password("198.51.100.15"); 5]);
    guard.says("Ban 198.51.100.15 ");
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    assert!(status["problems"].to_string().contains("nothing is stored"), "{status}");
    assert_eq!(status["store"]["state"], "in memory only");
    assert!(status["store"]["trouble"].is_string(), "{status}");
    let all = guard.order(&["status"]);
    assert!(all.contains("/state/asterguard.db: in memory only: "), "{all}");
    let home = guard.stop();
    assert!(fs::read(home.path("state/asterguard.db")).unwrap() == before);
    assert_eq!(addresses(&netns, "sip4").len(), 2);
}

#[test]
fn full_disk_stops_nothing_and_is_caught_up_later() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    fs::create_dir(home.path("state")).unwrap();
    let run = home.run(mounting(&netns, &home, "mount -t tmpfs -o size=512k tmpfs \"$0\""));
    let guard = Guard::start_in(home, run);
    // The small disk is seen through /proc, by the guard's own eyes.
    let inside = format!("/proc/{}/root{}", guard.pid(), guard.path("state").display());
    let filler = format!("{inside}/filler");
    guard.order(&["ban", "203.0.113.1"]);
    assert_eq!(guard.status()["health"], "OK");
    let _ = fs::write(&filler, vec![0; 1 << 20]);
    for n in 1..=40 {
        let host = format!("198.51.100.{n}");
        guard.append("messages", &vec![wrong_password(&host); 5]);
        guard.says(&format!("Ban {host} "));
    }
    guard.says("state-file: nothing is stored, so ");
    assert_eq!(guard.status()["health"], "DEGRADED");
    fs::remove_file(&filler).unwrap();
    guard.says("state-file is ok again");
    kit::until("all is well", || guard.status()["health"] == "OK");
    // Out of the kernel's memory, it is all in the file.
    guard.order(&["ban", "203.0.113.2"]);
    let copies: Vec<_> = ["asterguard.db", "asterguard.db-wal"]
        .map(|name| (name, fs::read(format!("{inside}/{name}")).unwrap_or_default()))
        .into();
    let home = guard.kill();
    netns.exec("nft flush ruleset");
    for (name, bytes) in copies {
        fs::write(home.path("state").join(name), bytes).unwrap();
    }
    let (code, out, said) = restore(&home, &netns);
    assert_eq!(code, 0, "{said}");
    assert!(out.contains(r#""restored":42"#), "{out}");
}
