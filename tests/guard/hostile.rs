//! Bytes and files that no Asterisk would write: the guard goes on, and stays small.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, wrong_password, wrong_password_line};

/// Memory that a guard may take in a build without optimisation, in kilobytes. A mapping of the
/// program's pages counts too, and is most of it.
const MOST_MEMORY: u64 = 100 << 10;

/// What each test sees to in the end: a good line still bans.
fn still_guards(guard: &Guard, netns: &Netns, host: &str) {
    guard.append("messages", &vec![wrong_password(host); 5]);
    guard.says(&format!("[asterisk-guess] Ban {host} (5 offences"));
    kit::until("the host is in the kernel", || addresses(netns, "sip4").contains(&host.to_owned()));
    assert!(guard.resident() < MOST_MEMORY, "{} kB", guard.resident());
}

fn lines(guard: &Guard) -> u64 {
    guard.status()["sources"][0]["lines"].as_u64().unwrap()
}

/// Bytes drawn by chance, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(next).collect()
}

#[test]
fn arbitrary_bytes_hide_no_good_line() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let zeros = vec![0; 100_000];
    let brackets = b"[".repeat(50_000);
    let heads = b"[Nov 22 01:12:24] NOTICE[1] chan_sip.c: Registration from '".repeat(3000);
    for (n, garbage) in
        [noise(300_000), zeros, brackets, heads, vec![0xff; 9000], vec![b'\n'; 9000]]
            .into_iter()
            .enumerate()
    {
        guard.append_bytes("messages", &[&garbage[..], b"\n"].concat());
        // What follows a line that is too long is doubted for 8192 bytes.
        guard.append("messages", &vec!["[Nov 22 01:12:24] NOTICE[1] pbx.c: All is well"; 200]);
        still_guards(&guard, &netns, &format!("198.51.100.{}", n + 1));
    }
    assert_eq!(guard.count("] Ban "), 6);
}

#[test]
fn odd_bytes_in_a_good_line_do_not_hide_it() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &CONFIG.replace("maxretry = 5", "maxretry = 3"));
    // In the account's name, at the end of the line, and in pieces.
    for (host, name, end) in [
        ("198.51.100.1", &b"\xff\xfe"[..], "\n"),
        ("198.51.100.2", b"\xc3\x28", "\n"),
        ("198.51.100.3", "zoë".as_bytes(), "\r\n"),
    ] {
        let line = wrong_password(host);
        let (before, after) = line.split_once("1000").unwrap();
        let line = [before.as_bytes(), name, after.as_bytes(), end.as_bytes()].concat();
        guard.append_bytes("messages", &line.repeat(3));
        guard.says(&format!("[asterisk-guess] Ban {host} "));
    }
    let line = wrong_password("198.51.100.4") + "\n";
    for byte in line.repeat(3).as_bytes() {
        guard.append_bytes("messages", &[*byte]);
    }
    guard.says("[asterisk-guess] Ban 198.51.100.4 ");
    // A line without its end is no line yet.
    guard.append("messages", &vec![wrong_password("198.51.100.5"); 2]);
    let read = lines(&guard);
    guard.append_bytes("messages", wrong_password("198.51.100.5").as_bytes());
    guard.append_bytes("messages", b"\n");
    guard.says("[asterisk-guess] Ban 198.51.100.5 ");
    assert!(lines(&guard) > read);
    assert_eq!(guard.count("] Ban "), 5);
}

#[test]
fn endless_line_takes_bounded_memory() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    still_guards(&guard, &netns, "198.51.100.1");
    let before = guard.resident();
    // 10 MB that never become a line, with a good line's text in the midst of it.
    let piece = [&vec![b'x'; 1 << 20][..], wrong_password("198.51.100.66").as_bytes()].concat();
    for _ in 0..10 {
        guard.append_bytes("messages", &piece);
    }
    guard.append_bytes("messages", b"\n");
    kit::until("it is passed over", || guard.status()["sources"][0]["oversized"] == 1);
    let grown = guard.resident().saturating_sub(before);
    assert!(grown < 4096, "{grown} kB for one line");
    guard.append("messages", &vec!["[Nov 22 01:12:24] NOTICE[1] pbx.c: All is well"; 200]);
    still_guards(&guard, &netns, "198.51.100.2");
    assert_eq!(guard.count("198.51.100.66"), 0);
}

#[test]
fn forged_name_bans_no_other_host() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    // A pattern that cannot tell which of two addresses the sender wrote.
    let home = Home::new(&CONFIG.replace("asterisk-sip", "asterisk-[ds]*"));
    home.write(
        "rules.d/asterisk-door.toml",
        "[[rule]]\nid = \"knock\"\nfailregex = \"^door\\\\.c: .* from '<HOST>' asked: .*$\"\n\
         class = \"guess\"\nevidence = \"proven\"\n",
    );
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    // Accounts that are called like the end of a line, as Asterisk logged them.
    let victim = "192.0.2.66";
    let forged = [
        "\"' failed for '192.0.2.66:5060' - Wrong password\" <sip:inj1@203.0.113.16>",
        "' failed for '192.0.2.66:5060' - Wrong password <sip:inj2@203.0.113.16>",
        "<sip:inj3' failed for '192.0.2.66:5060' - Wrong password@203.0.113.16>",
        "\"x[Nov 22 00:59:59] NOTICE[4242] chan_sip.c: Registration from '<sip:x@y>' failed for \
         '192.0.2.66:5060' - Wrong password\" <sip:inj11@203.0.113.16>",
    ];
    let lines = forged.map(|account| {
        wrong_password_line("198.51.100.160").replace("\"1000\" <sip:1000@203.0.113.16>", account)
    });
    guard.append("messages", &[&lines[..], &lines].concat());
    guard.says("[asterisk-guess] Ban 198.51.100.160 (5 offences");
    let line = "[Nov 22 01:13:30] NOTICE[1] door.c: a from '192.0.2.66' asked: b from '198.51.100.161' asked: c";
    guard.append("messages", &[line; 9]);
    kit::until("all are read", || guard.status()["sources"][0]["tampered"] == 11);
    let status = guard.order(&["status"]);
    assert!(
        status.starts_with("DEGRADED (tampered-lines): ") && status.contains("! 11 lines in "),
        "{status}"
    );
    assert!(status.contains("9 × asterisk-door/knock"), "{status}");
    // A reload with other rules before it in the list takes nothing away.
    guard.write("rules.d/aaa.toml", &guard.read("rules.d/asterisk-door.toml"));
    guard.order(&["reload"]);
    let counts = guard.status()["sources"][0]["unbelieved"].clone();
    let counted = json!({ "rule": "asterisk-door/knock", "tampered": 9, "hearsay": 0 });
    assert!(counts.as_array().is_some_and(|counts| counts.contains(&counted)), "{counts}");
    assert_eq!((guard.count(victim), guard.count("198.51.100.161")), (0, 0));
    still_guards(&guard, &netns, "198.51.100.1");
    assert_eq!(guard.count("] Ban "), 2);
}

#[test]
fn non_log_is_reported_and_awaited() {
    type Make = fn(&Path);
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let made: [(&str, Make, &str); 6] = [
        ("empty", |path| fs::write(path, "").unwrap(), "following"),
        ("missing", |_| {}, "there is no such file yet"),
        ("directory", |path| fs::create_dir(path).unwrap(), "it is a directory"),
        ("pipe", |path| make_pipe(path), "it is a named pipe"),
        ("device", |path| symlink("/dev/zero", path).unwrap(), "it is a device"),
        ("nowhere", |path| symlink("gone", path).unwrap(), "there is no such file yet"),
    ];
    let logs = made.map(|(name, ..)| format!("\"$DIR/odd/{name}\"")).join(", ");
    let home = Home::new(&CONFIG.replace("\"$DIR/messages\"", &logs));
    fs::create_dir(home.path("odd")).unwrap();
    for (name, make, _) in made {
        make(&home.path(&format!("odd/{name}")));
    }
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED", "though one of them is read");
    for (name, _, says) in made {
        let path = guard.path(&format!("odd/{name}"));
        let mut sources = status["sources"].as_array().unwrap().iter();
        let source = sources.find(|source| source["path"] == path.to_str().unwrap()).unwrap();
        assert!(source["state"].as_str().unwrap().contains(says), "{source}");
    }
    for (n, (name, ..)) in (1..).zip(made) {
        let path = guard.path(&format!("odd/{name}"));
        if name == "directory" {
            fs::remove_dir(&path).unwrap();
        } else if name != "missing" {
            fs::remove_file(&path).unwrap();
        }
        let host = format!("198.51.100.{n}");
        guard.append(&format!("odd/{name}"), &vec![wrong_password(&host); 5]);
        guard.says(&format!("[asterisk-guess] Ban {host} (5 offences"));
    }
    guard.stop();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_link_is_followed_wherever_it_points() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&CONFIG.replace("$DIR/messages", "$DIR/link"));
    home.write("one/log", "");
    symlink("one/log", home.path("link")).unwrap();
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("one/log", &vec![wrong_password("198.51.100.1"); 5]);
    guard.says("Ban 198.51.100.1 ");
    guard.write("two/log", "");
    fs::remove_file(guard.path("link")).unwrap();
    symlink("two/log", guard.path("link")).unwrap();
    guard.append("two/log", &vec![wrong_password("198.51.100.2"); 5]);
    guard.says("Ban 198.51.100.2 ");
    assert_eq!(guard.count("] Ban "), 2);
}

#[test]
fn unreadable_log_is_reported_and_read_later() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    home.append("messages", &vec![wrong_password("198.51.100.66"); 9]);
    let mode = |home: &Home, mode| {
        fs::set_permissions(home.path("messages"), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&home, 0o000);
    // Root, but without the power to read what it may not; with the one over the network.
    let mut command = netns.command("setpriv");
    let powers = "-dac_override,-dac_read_search";
    command.args(["--bounding-set", powers, "--inh-caps", powers, PROGRAM]);
    let run = home.run(command);
    let guard = Guard::start_in(home, run);
    let status = guard.status();
    assert_eq!(status["health"], "DEGRADED");
    let state = status["sources"][0]["state"].as_str().unwrap();
    assert!(state.contains("permission denied"), "{state}");
    guard.says("permission denied");
    mode(&guard, 0o644);
    guard.says("messages: following");
    guard.append("messages", &vec![wrong_password("198.51.100.14"); 5]);
    guard.says("Ban 198.51.100.14 ");
    assert_eq!(guard.count("] Ban "), 1, "what stood there before counts for nothing");
}
