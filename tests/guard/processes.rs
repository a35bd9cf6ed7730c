//! Two processes: one reads and decides, and has no capability; one writes to the firewall, and reads
//! nothing.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, addresses, wrong_password};

/// An unprivileged user and group.
const NOBODY: u32 = 65534;

const NET_ADMIN: &str = "0000000000001000";
const DAC_OVERRIDE: &str = "0000000000000002";
const NONE: &str = "0000000000000000";

/// The writer that belongs to a guard.
fn writer(guard: &Guard) -> u32 {
    let pid = guard.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap()
}

/// What the status of a process, or of a thread, says about something.
fn said(status: &Path, what: &str) -> String {
    let status = fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

/// Checks what every thread of a process may do.
fn assert_holds(pid: u32, capabilities: &str, more: &[(&str, &str)]) {
    let tasks: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().collect();
    assert!(!tasks.is_empty());
    for task in tasks {
        let status = task.unwrap().path().join("status");
        let always = [("NoNewPrivs", "1"), ("Seccomp", "2")];
        let sets = [("CapEff", capabilities), ("CapPrm", capabilities)];
        for (what, value) in sets.iter().chain(&always).chain(more) {
            assert_eq!(said(&status, what), *value, "{what} of {}", said(&status, "Name"));
        }
    }
}

/// The program where everybody can execute it.
fn program(home: &Home) -> std::path::PathBuf {
    let program = home.path("bin/asterguard");
    fs::create_dir_all(home.path("bin")).unwrap();
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
    program
}

#[test]
fn a_service_reads_without_any_capability() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&format!("{CONFIG}\n[lists]\nblock = [\"203.0.113.0/24\"]\n"));
    let program = program(&home);
    let own = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    own(&home.path(""));
    // As systemd starts it.
    let mut command = netns.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin"]);
    command.args(["--bounding-set=-all,+net_admin"]).arg(&program);
    let run = home.run(command);
    let guard = Guard::start_in(home, run);
    guard.says("listening to the wire");
    assert_holds(guard.pid(), NONE, &[("CapAmb", NONE), ("CapInh", NONE)]);
    assert_holds(writer(&guard), NET_ADMIN, &[("CapBnd", NET_ADMIN)]);
    assert_eq!(said(Path::new(&format!("/proc/{}/status", writer(&guard))), "Name"), "asterguard");
    // All that needs the kernel works.
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    kit::until("a line bans", || addresses(&netns, "sip4") == [EVE]);
    guard.order(&["reload"]);
    guard.order(&["pause"]);
    guard.order(&["resume"]);
    guard.order(&["verify"]);
    guard.order(&["banned"]);
    guard.order(&["list", "block"]);
    netns.exec("nft flush ruleset");
    guard.says("put back, 1 bans");
    assert_eq!(guard.status()["health"], "OK");
    let writer = writer(&guard);
    guard.stop();
    kit::until("the writer has ended", || !Path::new(&format!("/proc/{writer}")).exists());
}

#[test]
fn root_keeps_no_more_than_what_it_reads_logs_by() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    assert_holds(guard.pid(), DAC_OVERRIDE, &[("CapBnd", DAC_OVERRIDE), ("CapInh", NONE)]);
    assert_holds(writer(&guard), NET_ADMIN, &[("CapBnd", NET_ADMIN)]);
    // The writer has no file of the guard's open.
    let open = fs::read_dir(format!("/proc/{}/fd", writer(&guard))).unwrap();
    let open = open.map(|fd| fs::read_link(fd.unwrap().path()).unwrap());
    let files: Vec<_> = open.filter(|path| path.starts_with(guard.path(""))).collect();
    assert_eq!(files, Vec::<std::path::PathBuf>::new());
}

#[test]
fn without_its_writer_the_guard_ends_and_bans_stay() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password("198.51.100.8"); 3]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 3);
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
    let killed = Command::new("kill").args(["-KILL", &writer(&guard).to_string()]).status();
    assert!(killed.unwrap().success());
    // As it does without nftables: a service is started again then.
    let (code, home) = guard.ends();
    assert_eq!(code, Some(5));
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
    // Nothing is lost: not the ban, not what was counted, not what was written meanwhile.
    home.append("messages", &vec![wrong_password("198.51.100.8"); 2]);
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.says("Ban 198.51.100.8 (5 offences");
    kit::until("both are banned", || addresses(&netns, "sip4") == ["198.51.100.8"]);
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
}

#[test]
fn the_writer_does_not_outlive_the_guard() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
    let writer = writer(&guard);
    guard.kill();
    kit::until("the writer has ended", || !Path::new(&format!("/proc/{writer}")).exists());
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
}

#[test]
fn a_reload_reads_new_directories_or_says_that_it_takes_a_restart() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    // Below what it reads already.
    fs::create_dir(guard.path("more")).unwrap();
    guard.write("more/full", "");
    guard.write("asterguard.toml", &CONFIG.replace("$DIR/messages", "$DIR/more/messages"));
    guard.order(&["reload"]);
    guard.append("more/messages", &vec![wrong_password("198.51.100.8"); 5]);
    guard.says("Ban 198.51.100.8 ");
    // Somewhere else: it goes on as before, and a restart loses no line.
    let elsewhere = tempfile::tempdir().unwrap();
    let log = elsewhere.path().join("messages");
    let there = format!("\"$DIR/more/messages\", \"{}\"", log.display());
    guard.write("asterguard.toml", &CONFIG.replace("\"$DIR/messages\"", &there));
    let (code, _, said) = guard.ctl(&["reload"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("restart asterguard, no line gets lost"), "{said}");
    assert!(said.contains(&elsewhere.path().display().to_string()), "{said}");
    guard.append("more/messages", &vec![wrong_password("198.51.100.9"); 3]);
    kit::until("it reads on", || guard.jail("asterisk-guess")["total_failed"] == 8);
    let home = guard.stop();
    home.append("more/messages", &vec![wrong_password("198.51.100.9"); 2]);
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.says("Ban 198.51.100.9 (5 offences");
    let lines = format!("{}\n", wrong_password("198.51.100.10")).repeat(5);
    fs::write(&log, lines).unwrap();
    guard.says("Ban 198.51.100.10 ");
}
