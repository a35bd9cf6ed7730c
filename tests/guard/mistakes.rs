//! The mistakes of people who come from fail2ban, or who do not know TOML: what is said about each, by `check` and by a
//! guard that is told to reload; and that what it says to write is right.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, Netns};
use crate::offline::run;
use crate::{CONFIG, addresses, elements, wrong_password};

/// All of them, with what is said about each.
const MISTAKES: &str = include_str!("../data/mistakes.toml");

#[derive(Deserialize)]
struct Table {
    mistake: Vec<Mistake>,
}

#[derive(Deserialize)]
struct Mistake {
    name: String,
    /// The file that it is in.
    #[serde(default = "main_file")]
    file: String,
    text: String,
    /// `LINE:COLUMN: SENTENCE → WHAT TO DO` for each error; none if the file is accepted.
    #[serde(default)]
    says: Vec<String>,
    /// What is accepted, and worth a second look.
    #[serde(default)]
    warns: Vec<String>,
    /// The text once all of that is obeyed.
    right: Option<String>,
}

fn main_file() -> String {
    "asterguard.toml".to_owned()
}

fn mistakes() -> Vec<Mistake> {
    toml::from_str::<Table>(MISTAKES).unwrap().mistake
}

/// A home whose configuration is this file alone.
fn home(file: &str, text: &str) -> Home {
    let home = Home::new("");
    home.write(file, text);
    home
}

/// Returns what the errors about a file say, without the lines that show it.
fn said(errors: &str, path: &Path) -> Vec<String> {
    let errors = errors.strip_prefix("asterguard: ").unwrap_or(errors).trim_end();
    let one = |error: &str| {
        let place = format!("{}:", path.display());
        let first = error.lines().next().unwrap();
        let sentence = first.strip_prefix(&place).unwrap_or(first);
        let help = error.split_once("\nhelp: ").map(|(_, help)| help.replace("\n      ", "\n"));
        help.map_or(sentence.to_owned(), |help| format!("{sentence} → {help}"))
    };
    errors.split("\n\n").filter(|error| !error.is_empty()).map(one).collect()
}

#[test]
fn each_mistake_gets_its_sentence() {
    let mistakes = mistakes();
    assert!(mistakes.len() > 100, "{}", mistakes.len());
    for Mistake { name, file, text, says, warns, .. } in mistakes {
        let home = home(&file, &text);
        let (code, out, errors) = run(&home, &["check"]);
        assert_eq!(said(&errors, &home.path(&file)), says, "{name}: {errors}");
        assert_eq!(code, if says.is_empty() { 0 } else { 3 }, "{name}: {out}{errors}");
        // Each is shown at its place.
        let carets =
            errors.lines().filter(|line| line.trim_start_matches([' ', '|']).starts_with('^'));
        assert_eq!(carets.count(), says.len(), "{name}: {errors}");
        let place = format!("{}/", home.path("").display()).replace("//", "/");
        let warned = out.lines().filter_map(|line| line.strip_prefix("  ! "));
        let warned: Vec<_> = warned.map(|line| line.replace(&place, "")).collect();
        assert_eq!(warned, warns, "{name}");
    }
}

#[test]
fn who_obeys_is_done() {
    for Mistake { name, file, says, right, .. } in mistakes() {
        let Some(right) = right else {
            assert!(says.is_empty(), "{name}: nobody tried what it says to write");
            continue;
        };
        let home = if right.is_empty() { Home::new("") } else { home(&file, &right) };
        // Without the examples of all rules, which take their time.
        let (code, _, errors) = run(&home, &["check", "--show"]);
        assert_eq!((code, errors.as_str()), (0, ""), "{name}");
    }
}

#[test]
fn files_that_are_no_text_are_refused() {
    let utf16: Vec<u8> = "[default]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, line) in
        [(&b"# B\xfcro\n[default]\n"[..], 1), (&[&[0xff, 0xfe], &utf16[..]].concat(), 1)]
    {
        let home = Home::new("");
        fs::write(home.path("asterguard.toml"), bytes).unwrap();
        let (code, _, errors) = run(&home, &["check"]);
        let path = home.path("asterguard.toml");
        let expected =
            format!("asterguard: {}:{line}: not UTF-8: save the file as UTF-8\n", path.display());
        assert_eq!((code, errors), (3, expected));
    }
}

#[test]
fn a_guard_refuses_each_mistake_in_the_same_words() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    for Mistake { name, file, text, says, .. } in mistakes() {
        if says.is_empty() {
            continue;
        }
        let file = if file == main_file() { "conf.d/mine.toml".to_owned() } else { file };
        guard.write(&file, &text);
        let (code, out, errors) = guard.ctl(&["reload"]);
        fs::remove_file(guard.path(&file)).unwrap();
        assert_eq!((code, out.as_str()), (3, ""), "{name}: {errors}");
        assert_eq!(said(&errors, &guard.path(&file)), says, "{name}: {errors}");
    }
    // The configuration is as it was, and so is the guard.
    assert_eq!(guard.order(&["get", "asterisk-guess", "maxretry"]), "5\n");
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    kit::until("the ban is in the kernel", || addresses(&netns, "sip4") == ["198.51.100.14"]);
}

#[test]
fn names_that_are_not_read_are_told() {
    let home = Home::new("");
    for name in [
        "conf.d/x.conf",
        "conf.d/y.toml.bak",
        "conf.d/z.TOML",
        "conf.d/.w.toml",
        "rules.d/v",
        "conf.d/sub/a.toml",
    ] {
        home.write(name, "");
    }
    home.write("conf.d/good.toml", "");
    home.write("conf.d/good.toml~", "");
    home.write("conf.d/jail.local", "[DEFAULT]\nbantime = 1h\n");
    home.write("rules.d/asterisk.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let call = |better: &str| {
        format!(
            "is not read: only names that end in .toml and begin with no dot are; to have it read, call it {better}"
        )
    };
    let is_a_directory = format!(
        "is a directory, of which nothing is read: put its files into {}",
        home.path("conf.d").display()
    );
    let is_its = |page| {
        format!("is not read, and is a file of fail2ban: docs/{page} says what to write here")
    };
    let expected = [
        ("conf.d/.w.toml", call("w.toml")),
        (
            "conf.d/good.toml~",
            "is not read: only names that end in .toml are, such as good.toml beside it".to_owned(),
        ),
        ("conf.d/jail.local", is_its("from-fail2ban.md")),
        ("conf.d/sub", is_a_directory),
        ("conf.d/x.conf", call("x.toml")),
        ("conf.d/y.toml.bak", call("y.toml")),
        ("conf.d/z.TOML", call("z.toml")),
        ("rules.d/asterisk.conf", is_its("rules.md")),
        ("rules.d/v", call("v.toml")),
    ]
    .map(|(name, why)| format!("{} {why}", home.path(name).display()));

    let (code, out, errors) = run(&home, &["check"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    let told: Vec<_> = out.lines().filter_map(|line| line.strip_prefix("  ! ")).collect();
    assert_eq!(told, expected, "{out}");

    let (_, out, _) = run(&home, &["doctor"]);
    let hints = out.lines().filter_map(|line| line.strip_prefix("hint     configuration: "));
    assert_eq!(hints.collect::<Vec<_>>(), expected, "{out}");
    // Also where nothing can be read for another reason.
    home.write("asterguard.toml", "[default\n");
    let (_, out, _) = run(&home, &["doctor"]);
    assert!(out.contains(&format!("hint     configuration: {}", expected[0])), "{out}");
}

#[test]
fn mistakes_in_rules_hide_none_in_the_configuration() {
    let home =
        Home::new("[default]\nmaxretri = 5\n[jail.door]\nenabled = true\nfilter = \"door\"\n");
    home.write(
        "rules.d/door.toml",
        "[[rule]]\nid = \"knock\"\nclass = \"guess\"\nevidence = \"proven\"\nfailregex = 'x'\n",
    );
    let (code, _, errors) = run(&home, &["check"]);
    assert_eq!(code, 3, "{errors}");
    for mistake in ["door.toml:5:", "asterguard.toml:2:1: unknown key \"maxretri\""] {
        assert!(errors.contains(mistake), "{mistake}: {errors}");
    }
    assert!(!errors.contains("no filter"), "the filter is there, if wrong: {errors}");
}

/// What is no log file, how it is made, and what it is called.
const NO_LOGS: [(&str, &str, &str); 3] = [
    ("logs", "mkdir", "is a directory, of which nothing is read; name the log files in it"),
    ("pipe", "mkfifo", "is a named pipe, of which nothing is read; name a log file"),
    ("device", "ln -s /dev/zero", "is a device, of which nothing is read; name a log file"),
];

#[test]
fn a_logpath_that_is_no_file_is_told_and_hangs_nobody() {
    if !kit::usable() {
        return;
    }
    let paths = NO_LOGS.map(|(name, ..)| format!("\"$DIR/{name}\"")).join(", ");
    let home = Home::new(&CONFIG.replace("\"$DIR/messages\"", &paths));
    for (name, make, _) in NO_LOGS {
        let mut words = make.split(' ');
        let mut command = Command::new(words.next().unwrap());
        assert!(command.args(words).arg(home.path(name)).status().unwrap().success());
    }
    let within_time = |args: &[&str]| -> Told {
        let mut command = Command::new("timeout");
        command.args(["60", PROGRAM]).args(args).arg("--config").arg(home.path("asterguard.toml"));
        told(&command.output().unwrap())
    };
    let (code, out, errors) = within_time(&["check"]);
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    for (name, _, why) in NO_LOGS {
        let path = home.path(name);
        assert!(out.contains(&format!("  ! logpath {path:?} {why}\n")), "{out}");
        assert!(out.contains(&format!("  {}  (not a file: not read)\n", path.display())), "{out}");
    }
    let (code, out, _) = within_time(&["doctor"]);
    assert_eq!(code, 1, "{out}");
    for (name, _, why) in NO_LOGS {
        let path = home.path(name);
        assert!(out.contains(&format!("problem  logpath: {} {why}\n", path.display())), "{out}");
    }

    // A guard starts with them, says so, and can be reloaded and stopped.
    let netns = Netns::new();
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    kit::until("status says what is not read", || {
        let status = guard.status()["checks"].to_string();
        NO_LOGS.iter().all(|(name, ..)| status.contains(guard.path(name).to_str().unwrap()))
    });
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    guard.write("asterguard.toml", CONFIG);
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    kit::until("the ban is in the kernel", || addresses(&netns, "sip4") == ["198.51.100.14"]);
    guard.stop();
}

#[test]
fn negative_lengths_are_understood_or_explained() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    // As in fail2ban, -1 has no end.
    for args in [&["ban", "--for", "-1", "198.51.100.7"][..], &["ban", "--for=-1", "198.51.100.8"]]
    {
        guard.order(args);
    }
    for (args, why) in [
        (
            &["ban", "--for", "-5", "198.51.100.9"][..],
            "-5 must not be negative; write for example 10m, 1d, 3600 (seconds) or permanent",
        ),
        (
            &["ban", "--for", "-1h", "198.51.100.9"],
            "\"-1h\" is not a duration; write for example 10m, 1d, 3600 (seconds) or permanent",
        ),
        (
            &["ban", "--confirm", "-1", "198.51.100.9"],
            "-1 must not be negative; write for example 10m, 1d or 3600 (seconds)",
        ),
        (
            &["pause", "--for", "-60"],
            "-60 must not be negative; write for example 10m, 1d, 3600 (seconds) or permanent",
        ),
        (
            &["allow", "--for", "-60", "198.51.100.9"],
            "-60 must not be negative; write for example 10m, 1d, 3600 (seconds) or permanent",
        ),
        (
            &["unban", "--allow-for", "-1", "198.51.100.9"],
            "-1 must not be negative; write for example 10m, 1d or 3600 (seconds)",
        ),
        (&["ban", "-1"], "unexpected argument '-1' found"),
    ] {
        let (code, out, said) = guard.ctl(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {said}");
        assert!(said.lines().next().unwrap().ends_with(why), "{args:?}: {said}");
        assert!(!said.contains("-- -"), "{args:?}: {said}");
    }
    kit::until("both bans are in the kernel", || {
        let banned = elements(&netns, "ban4");
        let banned: Vec<_> = banned.iter().map(|ban| (ban.address.as_str(), ban.timeout)).collect();
        banned == [("198.51.100.7", None), ("198.51.100.8", None)]
    });
    assert_eq!(guard.order(&["get", "asterisk-guess", "maxretry"]), "5\n");
    assert_eq!(guard.order(&["get", "asterisk-guess", "findtime"]), "\"10m\"\n");
}
