//! What people see: every command at a terminal and in a pipe, as root and not, with a guard and without, and typed wrongly.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, wrong_password};

/// A user who is nobody to the guard.
const NOBODY: u32 = 65_534;

/// A command of the program with all places of a home; `command` is the program, in whatever wrapping.
fn placed(mut command: Command, home: &Home, args: &[&str]) -> Command {
    let (name, rest) = args.split_first().unwrap();
    command.arg(name);
    if *name == "fleet" {
        // Its options belong to what follows.
        command.args(rest).arg("--socket").arg(home.path("socket")).stdin(Stdio::null());
        return command;
    }
    if !ALONE.contains(name) {
        command.arg("--socket").arg(home.path("socket"));
    }
    if PLACED.contains(name) {
        command.arg("--config").arg(home.path("asterguard.toml"));
    }
    if STORED.contains(name) {
        command.arg("--state-dir").arg(home.path("state"));
    }
    command.args(rest).stdin(Stdio::null());
    command
}

fn command(netns: &Netns, home: &Home, args: &[&str]) -> Command {
    placed(netns.command(PROGRAM), home, args)
}

/// The commands that take a configuration, and a state directory.
const PLACED: [&str; 15] = [
    "run", "accounts", "banned", "unban", "allow", "export", "ruleset", "check", "doctor", "test",
    "explain", "replay", "restore", "report", "fetch",
];
const STORED: [&str; 12] = [
    "run", "accounts", "banned", "unban", "allow", "export", "explain", "restore", "history",
    "events", "report", "top",
];
/// Those that know no socket.
const ALONE: [&str; 9] =
    ["fetch", "check", "test", "replay", "ruleset", "restore", "history", "events", "notify"];

/// Runs a command at a terminal of so many columns, and returns the exit code and all that is to be seen there.
fn seen(mut command: Command, columns: u16) -> (i32, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let end = || Stdio::from(terminal.try_clone().unwrap());
    command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm").env_remove("NO_COLOR");
    let mut child = command.spawn().unwrap();
    drop((terminal, command));
    let mut text = Vec::new();
    let mut part = [0; 4096];
    let mut master = File::from(master);
    loop {
        match master.read(&mut part) {
            Ok(0) => break,
            Ok(length) => text.extend(&part[..length]),
            // The other end is closed.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let code = child.wait().unwrap().code().unwrap();
    (code, String::from_utf8(text).unwrap().replace("\r\n", "\n"))
}

/// The same without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        plain += &rest[..at];
        let style = &rest[at + 2..];
        let end = style.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        rest = &style[end + 1..];
    }
    plain + rest
}

/// A guard with two bans, one of them by hand.
fn guard(netns: &Netns) -> Guard {
    let guard = Guard::start(netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    guard.order(&[
        "ban",
        "2001:db8::7",
        "--comment",
        "a long story about who asked for it and why",
    ]);
    guard
}

/// Every command as it is used: the exit codes with a guard, without one, and as nobody.
const USED: [(&[&str], [i32; 3]); 36] = [
    (&["reload"], [0, 4, 8]),
    (&["status"], [0, 4, 8]),
    (&["status", "asterisk-guess"], [0, 4, 8]),
    (&["status", "--check"], [0, 4, 8]),
    (&["status", "--check", "--nagios"], [0, 2, 3]),
    (&["metrics"], [0, 4, 8]),
    (&["banned"], [0, 0, 8]),
    (&["banned", EVE], [0, 0, 8]),
    (&["banned", "198.51.100.250"], [9, 9, 8]),
    (&["history"], [0, 0, 8]),
    (&["history", "198.51.100.250", "--since", "1d"], [9, 9, 8]),
    (&["events", "--kind", "ban,start"], [0, 0, 8]),
    (&["events", "--kind", "login"], [9, 9, 8]),
    (&["fetch"], [0, 0, 0]),
    (&["report"], [0, 0, 8]),
    (&["top", "--once", "--sort", "left", "--filter", "guess"], [0, 4, 8]),
    (&["list", "allow"], [0, 4, 8]),
    (&["list", "block", EVE], [9, 4, 8]),
    (&["ban", "198.51.100.7", "--for", "1h"], [0, 4, 8]),
    (&["unban", "--all", "--jail", "asterisk-scan"], [0, 0, 8]),
    (&["unban", "198.51.100.250"], [9, 9, 8]),
    (&["allow", "198.51.100.8", "--for", "1h"], [0, 0, 8]),
    (&["allow", "--list"], [0, 0, 8]),
    (&["accounts"], [0, 0, 8]),
    (&["export"], [0, 0, 8]),
    (&["pause"], [0, 0, 8]),
    (&["resume"], [0, 0, 8]),
    (&["get", "asterisk-guess", "maxretry"], [0, 4, 8]),
    (&["get", "ignoreip"], [0, 4, 8]),
    (&["verify"], [0, 4, 8]),
    (&["check"], [0, 0, 0]),
    (&["ruleset"], [0, 0, 0]),
    (&["explain", EVE], [0, 4, 8]),
    (&["import", "/dev/null"], [0, 0, 0]),
    // No notifier is configured.
    (&["fleet", "status"], [2, 4, 8]),
    (&["notify", "test"], [2, 2, 2]),
];

#[test]
fn every_command_is_used_at_a_terminal_in_a_pipe_and_by_scripts() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    // Everybody may read the configuration.
    fs::set_permissions(guard.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let each = |home: &Home, which: usize| {
        for (args, codes) in USED {
            let (code, out, said) = told(&command(&netns, home, args).output().unwrap());
            assert_eq!(code, codes[which], "{args:?}: {out}{said}");
            assert!(
                !out.contains('\u{1b}') && !said.contains('\u{1b}'),
                "no colours in a pipe: {args:?}"
            );
            let (code, out, said) =
                told(&command(&netns, home, &[args, &["--json"]].concat()).output().unwrap());
            assert_eq!(code, codes[which], "{args:?} --json: {out}{said}");
            for line in out.lines().chain(said.lines()) {
                let object: Value =
                    serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {line}"));
                assert_eq!(object["schema"], 1, "{args:?}: {line}");
            }
            let (code, text) = seen(command(&netns, home, args), 60);
            assert_eq!(code, codes[which], "{args:?} at a terminal: {text}");
        }
    };
    each(&guard, 0);
    // Of another user, the same commands say that they may not ask.
    let program = guard.public_program();
    for (args, codes) in USED {
        let mut command = placed(Command::new(&program), &guard, args);
        let (code, out, said) = told(&command.uid(NOBODY).gid(NOBODY).output().unwrap());
        assert_eq!(code, codes[2], "{args:?} as nobody: {out}{said}");
        assert!(codes[2] != 8 || said.contains("you may not "), "{args:?}: {said}");
    }
    let home = guard.stop();
    each(&home, 1);
}

#[test]
fn setup_is_for_root_alone() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let mut command = Command::new(guard.public_program());
    command.args(["setup", "--dry-run"]).stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
    let (code, out, said) = told(&command.output().unwrap());
    assert_eq!((code, out.as_str()), (8, ""), "{said}");
    assert!(said.contains("run it as root"), "{said}");
}

#[test]
fn what_is_in_columns_fits_the_terminal() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    for columns in [60, 80, 120, 200] {
        let (_, text) = seen(command(&netns, &guard, &["banned"]), columns);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("HOST ")
                && lines[0].contains(" JAIL ")
                && lines[0].contains(" LEFT "),
            "{text}"
        );
        assert!(
            lines.iter().all(|line| line.chars().count() <= columns.into()),
            "{columns}: {text}"
        );
        assert_eq!(lines[0].contains("LAST PACKET"), columns >= 110, "{text}");
        assert_eq!(text.contains('…'), columns < 200, "{columns}: {text}");
    }
    // A pipe gets all of it.
    let text = guard.order(&["banned"]);
    assert!(text.contains("by hand (root): a long story about who asked for it and why"), "{text}");
    let (_, text) = seen(command(&netns, &guard, &["status"]), 60);
    let columns: Vec<_> = plain(&text)
        .lines()
        .skip_while(|line| !line.starts_with("JAIL"))
        .map(str::to_owned)
        .collect();
    let (last, rows) = columns.split_last().unwrap();
    for jail in ["asterisk-guess  ", "manual  "] {
        assert!(rows.iter().any(|row| row.starts_with(jail)), "{text}");
    }
    assert!(last.contains(" more jails without a failure"), "{text}");
    assert!(rows.iter().all(|row| row.chars().count() <= 60), "{text}");
    assert!(text.lines().count() < 24, "one screen: {text}");
    // In another order, and not all.
    let hosts = |args: &[&str]| -> Vec<String> {
        let text = guard.order(&[&["banned"], args].concat());
        text.lines().skip(1).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(hosts(&[]), ["2001:db8::/64", EVE]);
    for order in ["host", "jail"] {
        assert_eq!(hosts(&["--sort", order]), [EVE, "2001:db8::/64"], "{order}");
    }
    assert_eq!(hosts(&["--limit", "1"]), ["2001:db8::/64"]);
    let (_, _, said) = guard.ctl(&["banned", "--limit", "1"]);
    assert_eq!(said, "asterguard: and 1 ban more\n");
}

#[test]
fn colours_are_for_terminals_and_for_whoever_wants_them() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let with = |args: &[&str], columns, variable: Option<&str>| {
        let mut command = command(&netns, &guard, &[&["status"], args].concat());
        if let Some(variable) = variable {
            command.env(variable, "1");
        }
        match columns {
            Some(columns) => seen(command, columns).1,
            None => told(&command.output().unwrap()).1,
        }
    };
    let is_coloured =
        |text: &str| text.starts_with("\u{1b}[") && text.contains("\u{1b}[0m: 2 hosts banned");
    assert!(is_coloured(&with(&[], Some(80), None)));
    assert!(is_coloured(&with(&["--color", "always"], None, None)));
    for text in [with(&[], None, None), with(&["--color", "never"], Some(80), None)] {
        assert!(text.starts_with("OK: 2 hosts banned"), "{text}");
    }
}

#[test]
fn nothing_that_is_typed_gets_to_the_terminal_raw() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let evil = "\u{1b}[31mred\u{7}\u{1b}]0;title\u{7}";
    for args in [
        &["status", evil][..],
        &["banned", evil],
        &["ban", evil],
        &["ban", "198.51.100.9", "--jail", evil],
        &["ban", "198.51.100.9", "--comment", evil],
        &["unban", evil],
        &["allow", evil],
        &["explain", evil],
        &["get", evil, evil],
        &["list", evil],
        &["import", evil],
        &["pause", "--jail", evil],
        &["check", "--config", evil],
        &["test", evil],
        &["replay", evil],
        &[evil],
    ] {
        for args in [args.to_vec(), [args, &["--json"]].concat()] {
            let mut command = Command::new(PROGRAM);
            guard.program(&mut command, &args);
            if ALONE.contains(&args[0]) {
                command = Command::new(PROGRAM);
                command.args(&args);
            }
            let (code, out, said) = told(&command.stdin(Stdio::null()).output().unwrap());
            assert_ne!(code, 0, "{args:?}");
            assert!(
                !out.contains(['\u{1b}', '\u{7}']) && !said.contains(['\u{1b}', '\u{7}']),
                "{args:?}: {out}{said}"
            );
        }
    }
}

#[test]
fn times_are_local_for_people_and_the_same_in_all_json() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let tokyo = |args: &[&str]| {
        told(&command(&netns, &guard, args).env("TZ", "Asia/Tokyo").output().unwrap())
    };
    let (_, out, _) = tokyo(&["explain", EVE]);
    assert!(out.contains("+09:00 ") && !out.contains("Z "), "{out}");
    let ban: Value = serde_json::from_str(&tokyo(&["banned", EVE, "--json"]).1).unwrap();
    for field in ["since", "until"] {
        let stamp: jiff::Timestamp = ban[format!("{field}_at")].as_str().unwrap().parse().unwrap();
        assert_eq!(stamp.as_second(), ban[field].as_i64().unwrap());
        assert!(ban[format!("{field}_at")].as_str().unwrap().ends_with('Z'));
    }
    let year: Value =
        serde_json::from_str(&tokyo(&["ban", "198.51.100.7", "--for", "1y", "--json"]).1).unwrap();
    assert!(year["message"].as_str().unwrap().contains(" is banned until 2"), "{year}");
    assert!(guard.order(&["banned", "198.51.100.7"]).contains("  1y    "), "a year reads as one");
    // In the log, too.
    let line = guard.says("[asterisk-guess] Ban");
    let (date, rest) = line.split_once(' ').unwrap();
    let (time, _) = rest.split_once(' ').unwrap();
    let stamp = format!("{date}T{time}");
    assert!(stamp.parse::<jiff::Timestamp>().is_ok(), "{stamp}");
}

#[test]
fn a_shell_is_offered_jails_and_hosts() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = guard(&netns);
    let offered = |words: &[&str]| -> Vec<String> {
        let mut command = netns.command(PROGRAM);
        let index = words.len() + 2;
        command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index.to_string());
        command
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_SPACE", "false");
        command
            .args(["--", "asterguard", words[0], "--socket"])
            .arg(guard.path("socket"))
            .args(&words[1..]);
        told(&command.output().unwrap()).1.lines().map(str::to_owned).collect()
    };
    let jails = offered(&["ban", "--jail", ""]);
    assert!(
        jails.contains(&"asterisk-guess".to_owned()) && jails.contains(&"manual".to_owned()),
        "{jails:?}"
    );
    assert_eq!(offered(&["status", "asterisk-g"]), ["asterisk-guess"]);
    let hosts = offered(&["unban", ""]);
    assert!(
        hosts.contains(&EVE.to_owned()) && hosts.contains(&"2001:db8::/64".to_owned()),
        "{hosts:?}"
    );
    let mut command = netns.command(PROGRAM);
    command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "1").env("_CLAP_IFS", "\n");
    let (_, commands, _) = told(&command.args(["--", "asterguard", ""]).output().unwrap());
    assert!(
        commands.contains("status")
            && !commands.contains("look-up")
            && !commands.contains("writer"),
        "{commands}"
    );
}
