//! Two processes: one reads and decides, and has no capability; one writes to the firewall, and reads
//! nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use tempfile::TempDir;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, addresses, wrong_password};

/// An unprivileged user and group.
const NOBODY: u32 = 65534;

const NET_ADMIN: &str = "0000000000001000";
const DAC_OVERRIDE: &str = "0000000000000002";
const DAC_READ_SEARCH: &str = "0000000000000004";
const NONE: &str = "0000000000000000";

/// The firewall helper that belongs to a guard.
pub fn helper(guard: &Guard) -> u32 {
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

#[test]
fn a_service_reads_without_any_capability() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&format!("{CONFIG}\n[lists]\nblock = [\"203.0.113.0/24\"]\n"));
    let program = home.public_program();
    let own = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    own(&home.path(""));
    // As systemd starts it.
    let mut command = netns.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin"]);
    command.args(["--bounding-set=-all,+net_admin"]).arg(&program);
    let run = home.run_as_service(command);
    let guard = Guard::start_in(home, run);
    guard.says("listening to the wire");
    assert_holds(guard.pid(), NONE, &[("CapAmb", NONE), ("CapInh", NONE)]);
    assert_holds(helper(&guard), NET_ADMIN, &[("CapBnd", NET_ADMIN)]);
    assert_eq!(said(Path::new(&format!("/proc/{}/status", helper(&guard))), "Name"), "asterguard");
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
    let helper = helper(&guard);
    guard.stop();
    kit::until("the firewall helper has ended", || !Path::new(&format!("/proc/{helper}")).exists());
}

#[test]
fn root_keeps_only_the_capability_to_read_logs() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = start_as(&netns, Home::new(CONFIG), Some("root"));
    assert_holds(guard.pid(), DAC_OVERRIDE, &[("CapBnd", DAC_OVERRIDE), ("CapInh", NONE)]);
    assert_holds(helper(&guard), NET_ADMIN, &[("CapBnd", NET_ADMIN)]);
    // Each has the two filters of its own, besides those of whoever started it.
    let filters = |pid: &str| -> u32 {
        said(Path::new(&format!("/proc/{pid}/status")), "Seccomp_filters").parse().unwrap()
    };
    for pid in [guard.pid(), helper(&guard)] {
        assert_eq!(filters(&pid.to_string()), filters("self") + 2);
    }
    // The firewall helper has no file of the guard's open.
    let open = fs::read_dir(format!("/proc/{}/fd", helper(&guard))).unwrap();
    let open = open.map(|fd| fs::read_link(fd.unwrap().path()).unwrap());
    let files: Vec<_> = open.filter(|path| path.starts_with(guard.path(""))).collect();
    assert_eq!(files, Vec::<std::path::PathBuf>::new());
}

/// Starts a guard as root, which becomes this user. Its socket is in a directory of its own, with a link to it from home.
fn start_as(netns: &Netns, home: Home, user: Option<&str>) -> Guard {
    let mut run = netns.command(PROGRAM);
    run.arg("run").arg("--config").arg(home.path("asterguard.toml")).arg("--state-dir");
    run.arg(home.path("state")).arg("--socket").arg(home.path("run/asterguard.sock"));
    run.args(user.iter().flat_map(|user| ["--user", user]));
    let _ = std::os::unix::fs::symlink("run/asterguard.sock", home.path("socket"));
    Guard::start_in(home, run)
}

/// The owners of what is in a directory, and of itself.
fn owners(directory: &Path) -> BTreeSet<u32> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let all = files.chain([directory.to_owned()]);
    all.map(|path| fs::symlink_metadata(path).unwrap().uid()).collect()
}

#[test]
fn guard_started_as_root_becomes_the_services_user() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    let secret = fs::Permissions::from_mode(0o600);
    for name in ["messages", "asterguard.toml"] {
        fs::set_permissions(home.path(name), secret.clone()).unwrap();
    }
    // It ran as root before.
    let guard = start_as(&netns, home, Some("root"));
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
    let home = guard.kill();
    assert_eq!(owners(&home.path("state")), BTreeSet::from([0]));
    // Something that is none of its files.
    fs::hard_link(home.path("asterguard.toml"), home.path("state/asterguard.toml")).unwrap();

    let guard = start_as(&netns, home, Some("nobody"));
    let ids = format!("{NOBODY}\t").repeat(4);
    let user = [("Uid", ids.trim()), ("Gid", ids.trim()), ("CapAmb", NONE), ("CapBnd", NONE)];
    assert_holds(guard.pid(), DAC_READ_SEARCH, &user);
    let pid = helper(&guard);
    assert_holds(
        pid,
        NET_ADMIN,
        &[("Uid", ids.trim()), ("Gid", ids.trim()), ("CapBnd", NET_ADMIN)],
    );
    for pid in [guard.pid(), pid] {
        assert_eq!(said(Path::new(&format!("/proc/{pid}/status")), "Groups"), NOBODY.to_string());
    }
    let status = guard.status();
    assert_eq!(status["health"], "OK", "{status}");
    assert_eq!(fs::metadata(guard.path("asterguard.toml")).unwrap().uid(), 0);
    fs::remove_file(guard.path("state/asterguard.toml")).unwrap();
    assert_eq!(owners(&guard.path("state")), BTreeSet::from([NOBODY]));
    let socket = fs::metadata(guard.path("run/asterguard.sock")).unwrap();
    assert_eq!((socket.uid(), socket.gid(), socket.mode() & 0o777), (NOBODY, NOBODY, 0o660));
    for file in ["asterguard.db", "asterguard.db-wal", "asterguard.db-shm"] {
        let mode = fs::metadata(guard.path("state").join(file)).unwrap().mode();
        assert_eq!(mode & 0o137, 0, "{file}: {mode:o}");
    }
    // It reads what is root's, bans, and takes changes over.
    let host = "198.51.100.8";
    guard.append("messages", &vec![wrong_password(host); 5]);
    kit::until("a line bans", || addresses(&netns, "sip4") == [host]);
    guard.write("asterguard.toml", &CONFIG.replace("maxretry = 5", "maxretry = 2"));
    guard.order(&["reload"]);
    guard.append("messages", &vec![wrong_password("198.51.100.9"); 2]);
    kit::until("the change holds", || addresses(&netns, "sip4").len() == 2);
    netns.exec("nft flush ruleset");
    guard.says("put back, 3 bans");

    // As root once more, and back again.
    let home = guard.stop();
    let guard = start_as(&netns, home, Some("root"));
    assert_eq!(guard.status()["health"], "OK");
    guard.order(&["unban", EVE]);
    kit::until("the ban is lifted", || addresses(&netns, "ban4").is_empty());
    let home = guard.kill();
    let guard = start_as(&netns, home, Some("nobody"));
    assert_eq!(guard.status()["health"], "OK");
    assert_eq!(owners(&guard.path("state")), BTreeSet::from([NOBODY]));
    assert_eq!(addresses(&netns, "sip4").len(), 2);
    assert!(addresses(&netns, "ban4").is_empty());
}

#[test]
fn user_that_is_not_there_is_a_mistake() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let refused = |mut run: Command, words: &str| {
        let output = run.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    };
    let home = Home::new(CONFIG);
    let mut run = home.run_as_service(netns.command(PROGRAM));
    run.args(["--user", "no-such-user"]);
    refused(run, "there is no user no-such-user; make that user (useradd --system no-such-user)");
    assert!(!home.path("state").exists());
    let mut run = home.run(Command::new(home.public_program()));
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    run.uid(NOBODY).gid(NOBODY);
    refused(run, "only root can become the user root: start it as root, or leave --user out");
    // The user that is meant if nothing is said: without it, the guard goes on as root.
    let there = Command::new("id").arg("asterguard").output().unwrap().status.success();
    let guard = start_as(&netns, home, None);
    let uid = said(Path::new(&format!("/proc/{}/status", guard.pid())), "Uid");
    assert_eq!(uid.starts_with("0\t"), !there, "{uid}");
    let words = "the guard goes on as root: there is no user asterguard";
    assert_eq!(guard.count(words), usize::from(!there), "{:#?}", guard.log_lines());
}

#[test]
fn directory_of_others_is_not_made_over() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    fs::create_dir(home.path("state")).unwrap();
    home.write("state/letters", "");
    let guard = start_as(&netns, home, Some("nobody"));
    guard.says("state was not made over to the user nobody");
    assert_eq!(owners(&guard.path("state")), BTreeSet::from([0]));
    // It guards all the same, and says what does not work.
    assert_eq!(guard.status()["health"], "DEGRADED");
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
}

#[test]
fn without_its_helper_the_guard_ends_and_bans_stay() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password("198.51.100.8"); 3]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 3);
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
    let killed = Command::new("kill").args(["-KILL", &helper(&guard).to_string()]).status();
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
fn the_helper_does_not_outlive_the_guard() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);
    let helper = helper(&guard);
    guard.kill();
    kit::until("the firewall helper has ended", || !Path::new(&format!("/proc/{helper}")).exists());
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
}

#[test]
fn reload_reads_new_directories_or_asks_for_a_restart() {
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
    assert!(said.contains("nothing is known to start it again: restart asterguard"), "{said}");
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

/// Starts a guard as something does that starts it again when it ends.
fn supervised(netns: &Netns, home: Home) -> Guard {
    let mut run = home.run(netns.command(PROGRAM));
    run.arg("--supervised");
    Guard::start_in(home, run)
}

/// A directory that no guard needed when it started, with a log that has old lines; and the
/// configuration that names the log.
fn elsewhere() -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("messages");
    append(&directory, &vec![wrong_password("198.51.100.7"); 5]);
    let both = format!("\"$DIR/messages\", \"{}\"", log.display());
    (directory, CONFIG.replace("\"$DIR/messages\"", &both))
}

fn append(directory: &TempDir, lines: &[String]) {
    let log = directory.path().join("messages");
    let mut file = fs::File::options().create(true).append(true).open(log).unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

#[test]
fn supervised_guard_restarts_for_a_new_directory() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = supervised(&netns, Home::new(CONFIG));
    let (old, new) = ("198.51.100.8", "198.51.100.9");
    guard.append("messages", &vec![wrong_password(old); 3]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 3);
    guard.order(&["ban", EVE]);
    kit::until("the host is banned", || addresses(&netns, "ban4") == [EVE]);

    // A mistake is one here too, and nothing comes of it.
    let (directory, config) = elsewhere();
    guard.write("asterguard.toml", &config.replace("maxretry = 5", "maxretry = \"many\""));
    let (code, _, said) = guard.ctl(&["reload"]);
    assert_eq!(code, 3, "{said}");
    guard.write("asterguard.toml", &CONFIG.replace("10m", "20m"));
    assert_eq!(guard.order(&["reload"]), "reloaded\n");

    // Who asks meanwhile is told the same.
    guard.write("asterguard.toml", &config);
    let answers = thread::scope(|scope| {
        [(); 2]
            .map(|()| scope.spawn(|| guard.order(&["reload"])))
            .map(|asked| asked.join().unwrap())
    });
    let answer = format!(
        "asterguard restarts itself to be able to read {}\n",
        directory.path().canonicalize().unwrap().display()
    );
    assert_eq!(answers, [answer.clone(), answer]);
    guard.append("messages", &[wrong_password(old)]);
    append(&directory, &[wrong_password(new), wrong_password(new)]);
    let (code, home) = guard.ends();
    assert_eq!(code, Some(7));
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
    home.append("messages", &[wrong_password(old)]);
    append(&directory, &[wrong_password(new), wrong_password(new)]);

    // Each line counts once: those of the new log from the reload on.
    let guard = supervised(&netns, home);
    guard.says(&format!("Ban {old} (5 offences"));
    append(&directory, &[wrong_password(new)]);
    guard.says(&format!("Ban {new} (5 offences"));
    kit::until("both are banned", || addresses(&netns, "sip4") == [old, new]);
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    assert_eq!(guard.stop().read("messages").lines().count(), 5);
}

#[test]
fn supervised_guard_restarts_only_if_nothing_is_lost() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let (directory, config) = elsewhere();
    let refused = |guard: &Guard, why: &str| {
        let (code, _, said) = guard.ctl(&["reload"]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(why), "{said}");
        assert!(said.contains(directory.path().to_str().unwrap()), "{said}");
    };
    // Nothing is stored here.
    let home = Home::new(CONFIG);
    let mut run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, {
        run.args(["--supervised", "--dry-run"]);
        run
    });
    guard.write("asterguard.toml", &config);
    refused(&guard, "the counts would be lost");
    drop(guard);

    // A list that this process cannot read, with a mistake by which none would start.
    let guard = supervised(&netns, Home::new(CONFIG));
    fs::write(directory.path().join("block"), "nobody\n").unwrap();
    let list =
        format!("{CONFIG}\n[lists]\nblockfiles = [\"{}/block\"]\n", directory.path().display());
    guard.write("asterguard.toml", &list);
    refused(&guard, "it cannot check the list there");
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("Ban {EVE} (5 offences"));

    // A signal is as good as an order, and nobody waits for the answer.
    guard.write("asterguard.toml", &config);
    guard.signal("HUP");
    guard.says("asterguard restarts itself to be able to read ");
    assert_eq!(guard.ends().0, Some(7));
}
