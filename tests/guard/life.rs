//! Stop, start, kill: what stays in force, and who may run.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, Element, addresses, elements, wrong_password};

const EVE: &str = "198.51.100.14";

/// All bans in the kernel.
fn held(netns: &Netns) -> Vec<Element> {
    ["ban4", "ban6", "sip4", "sip6"].iter().flat_map(|set| elements(netns, set)).collect()
}

/// A guard with a ban by an attack, one by hand without end, and one of an IPv6 network.
fn guard_with_bans(netns: &Netns) -> Guard {
    let guard = Guard::start(netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.order(&["ban", "203.0.113.9"]);
    guard.order(&["ban", "2001:db8:0:a::66", "--jail", "asterisk-scan", "--for", "1h"]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    kit::until("all are in the kernel", || held(netns).len() == 3);
    guard
}

#[test]
fn bans_outlive_the_guard_and_are_restored_at_start() {
    if !kit::usable() {
        return;
    }
    let ends: [fn(Guard) -> Home; 2] = [Guard::stop, Guard::kill];
    for (end, leaves_socket) in ends.into_iter().zip([false, true]) {
        let netns = Netns::new();
        let guard = guard_with_bans(&netns);
        let rules = netns.exec("nft list chain inet asterguard prerouting");
        let before = held(&netns);

        let home = end(guard);
        assert_eq!(home.path("socket").exists(), leaves_socket);
        let (code, _, said) = home.ctl(&["status"]);
        assert_eq!(code, 4, "{said}");
        assert!(said.contains("no daemon answers"), "{said}");
        let alone = held(&netns);
        let keys = |held: &[Element]| -> Vec<_> {
            held.iter().map(|e| (e.address.clone(), e.timeout, e.comment.clone())).collect()
        };
        assert_eq!(keys(&alone), keys(&before));
        assert_eq!(netns.exec("nft list chain inet asterguard prerouting"), rules);

        let run = home.run(netns.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        assert!(guard.says("bans found in force").contains("3 bans found"));
        assert_eq!(netns.exec("nft list chain inet asterguard prerouting"), rules);
        for (jail, host, ends_in) in [
            ("asterisk-guess", EVE, Some(600)),
            ("asterisk-scan", "2001:db8:0:a::/64", Some(3600)),
            ("manual", "203.0.113.9", None),
        ] {
            let banned = guard.jail(jail)["banned"].clone();
            assert_eq!(banned.as_array().map(Vec::len), Some(1), "{jail}: {banned}");
            assert_eq!(banned[0]["host"], host);
            let left = banned[0]["left"].as_u64();
            assert_eq!(left.is_some(), ends_in.is_some(), "{banned}");
            // Some seconds have passed, not more.
            assert!(left <= ends_in && left >= ends_in.map(|secs| secs - 30), "{banned}");
        }
        // They can be lifted like its own, and go on to be counted as bans.
        let failed = || guard.jail("asterisk-guess")["total_failed"].as_u64().unwrap();
        let before = failed();
        guard.append("messages", &vec![wrong_password(EVE); 5]);
        kit::until("all lines are read", || failed() == before + 5);
        assert_eq!(guard.count("] Ban "), 0, "{:#?}", guard.log_lines());
        assert_eq!(guard.order(&["unban", "0.0.0.0/0"]), "2 bans lifted\n");
        guard.order(&["unban", "2001:db8:0:a::1"]);
        kit::until("nobody is banned", || held(&netns).is_empty());
        guard.stop();
    }
}

#[test]
fn lines_from_before_the_start_are_not_counted() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password(EVE); 5]);
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 4]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 4);
    assert_eq!(guard.count("] Ban "), 0);
    guard.append("messages", &[wrong_password(EVE)]);
    guard.says(&format!("Ban {EVE} (5 offences"));
}

#[test]
fn a_second_guard_is_refused_with_the_pid_of_the_first() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard_with_bans(&netns);
    let before = netns.exec("nft -s list ruleset");
    let (code, out, said) = told(&guard.run(netns.command(PROGRAM)).output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""), "{said}");
    assert!(said.contains(&format!("running already (pid {}", guard.pid())), "{said}");
    assert_eq!(netns.exec("nft -s list ruleset"), before);
    assert_eq!(guard.status()["pid"], guard.pid());

    // Nor may it take the first one's socket with a state directory of its own, even for a dry run.
    let mut run = netns.command(PROGRAM);
    guard.program(&mut run, &["run", "--dry-run", "--config"]).arg(guard.path("asterguard.toml"));
    let (code, _, said) = told(&run.arg("--state-dir").arg(guard.path("other")).output().unwrap());
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another asterguard listens there"), "{said}");
    assert_eq!(netns.exec("nft -s list ruleset"), before);
    assert_eq!(guard.status()["pid"], guard.pid());
}

/// Nor is one that shares nothing with the first but the kernel's table.
#[test]
fn a_second_guard_with_files_of_its_own_is_refused_too() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard_with_bans(&netns);
    let before = netns.exec("nft -s list ruleset");
    let other = Home::new("");
    let config = other.path("asterguard.toml").display().to_string();
    let state = other.path("state").display().to_string();
    std::fs::create_dir(other.path("state")).unwrap();
    let restore = || {
        let mut restore = netns.command(PROGRAM);
        told(
            &restore
                .args(["restore", "--config", &config, "--state-dir", &state])
                .output()
                .unwrap(),
        )
    };
    // More often than anybody could wait in line without being turned away.
    for _ in 0..3 {
        for (code, out, said) in
            [told(&other.run(netns.command(PROGRAM)).output().unwrap()), restore()]
        {
            assert_eq!((code, out.as_str()), (1, ""), "{said}");
            assert!(said.contains(&format!("another asterguard (pid {})", guard.pid())), "{said}");
        }
    }
    assert_eq!(netns.exec("nft -s list ruleset"), before);

    // What changes nothing, and what guards something else, is not in its way.
    let mut dry = other.run(netns.command(PROGRAM));
    dry.arg("--dry-run");
    let other = Guard::start_in(other, dry).stop();
    let elsewhere = Netns::new();
    let run = other.run(elsewhere.command(PROGRAM));
    let other = Guard::start_in(other, run).stop();

    // Once the first has ended, even by force, the second may.
    guard.kill();
    let run = other.run(netns.command(PROGRAM));
    let _other = Guard::start_in(other, run).stop();
    let (code, _, said) = restore();
    assert_eq!(code, 0, "{said}");
}

/// The name by which guards know of each other is anybody's to take.
#[test]
fn a_stranger_cannot_keep_the_guard_from_starting() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let squat = "import os, socket, sys
s = socket.socket(socket.AF_UNIX); os.setuid(65534)
s.bind('\\0asterguard'); s.listen(BACKLOG); print(flush=True); sys.stdin.read()";
    // One that would be seen, and one whose line is full, so that nobody can see him without waiting.
    for (backlog, words) in [("9", "the user 65534"), ("0", "it cannot be seen by whom")] {
        let mut command = netns.command("python3");
        command.args(["-c", &squat.replace("BACKLOG", backlog)]);
        let mut stranger = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(stranger.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut fill = netns.command("python3");
        fill.args(["-c", "import socket; socket.socket(socket.AF_UNIX).connect('\\0asterguard')"]);
        if backlog == "0" {
            assert!(fill.status().unwrap().success());
        }
        let guard = Guard::start(&netns, CONFIG);
        guard.says(words);
        guard.stop();
        drop(stranger.stdin.take());
        assert!(stranger.wait().unwrap().success());
    }
}

#[test]
fn lines_before_the_stop_are_still_handled() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.stop();
    assert_eq!(addresses(&netns, "sip4"), [EVE]);
}

#[test]
fn a_dry_run_leaves_the_kernel_alone() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    let mut run = home.run(netns.command(PROGRAM));
    run.arg("--dry-run");
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    guard.order(&["ban", "203.0.113.9"]);
    assert_eq!(guard.status()["dry_run"], true);
    assert_eq!(guard.jail("asterisk-guess")["currently_banned"], 1);
    guard.order(&["pause"]);
    guard.stop();
    assert_eq!(netns.exec("nft list ruleset"), "");
    assert_eq!(addresses(&netns, "sip4"), [""; 0]);
}

#[test]
fn start_failure_names_its_cause() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    let refused = |what: &str| {
        let (code, _, said) = told(&home.run(netns.command(PROGRAM)).output().unwrap());
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(what), "{said}");
    };
    home.write("state", "a file where a directory should be");
    refused("cannot make the state directory");
    std::fs::remove_file(home.path("state")).unwrap();
    std::fs::create_dir(home.path("socket")).unwrap();
    refused("it is no socket");
    std::fs::remove_dir(home.path("socket")).unwrap();
    home.write("socket", "somebody's only copy");
    refused("it is no socket");
    assert_eq!(std::fs::read_to_string(home.path("socket")).unwrap(), "somebody's only copy");
    assert_eq!(netns.exec("nft list ruleset"), "");
}

/// The log holds a raw packet's head; what comes after it may be the packet, whenever it is read.
#[test]
fn start_inside_a_raw_packet_trusts_none_of_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    home.append(
        "messages",
        &["[Nov 22 00:56:07] ERROR[13176] pjproject: \tsip_endpoint.c Error processing packet from \
           198.51.100.150:5060: Missing required header(s) (PJSIP_EMISSINGHDR)  From [code 171050]:"],
    );
    // As long as its lines go on, however slow this machine is, it is not over.
    let packet = Dribble::into(home.path("messages"));
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("messages", &vec![wrong_password(EVE); 9]);
    kit::until("the lines are read", || guard.status()["sources"][0]["hearsay"] == 9);

    // Nor does a rotation end the packet.
    std::fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
    guard.append("messages", &vec![wrong_password(EVE); 9]);
    kit::until("the lines are read", || guard.status()["sources"][0]["hearsay"] == 18);
    guard.append("messages", &vec![wrong_password(EVE); 60]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    drop(packet);
}

/// Lines of a raw packet that come slowly, until it is dropped.
struct Dribble {
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Dribble {
    fn into(log: PathBuf) -> Self {
        let (stop, stopped) = channel::<()>();
        let write = move || {
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout)
            {
                Home::append_to(&log, b"a\n");
            }
        };
        Self { stop, thread: Some(thread::spawn(write)) }
    }
}

impl Drop for Dribble {
    fn drop(&mut self) {
        self.stop.send(()).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}
