//! Logs that are rotated, removed and made while the guard runs.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, record, wrong_password};

const EVE: &str = "198.51.100.14";

/// Four offences before what `change` does to the log and one afterwards are five; and all lines
/// are read once.
fn counts_go_on(change: fn(&Guard)) {
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 4]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 4);
    change(&guard);
    guard.append("messages", &[wrong_password(EVE)]);
    guard.says(&format!("[asterisk-guess] Ban {EVE} (5 offences"));
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], 5);
    // And the next rotation is like the first.
    change(&guard);
    guard.append("messages", &vec![wrong_password("198.51.100.15"); 5]);
    guard.says("[asterisk-guess] Ban 198.51.100.15 (5 offences");
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], 10);
    assert_eq!(guard.count("] Ban "), 2);
    guard.stop();
}

#[test]
fn log_renamed_and_recreated() {
    if !kit::usable() {
        return;
    }
    counts_go_on(|guard| {
        let _ = fs::rename(guard.path("messages.1"), guard.path("messages.2"));
        fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
        fs::write(guard.path("messages"), "").unwrap();
    });
}

#[test]
fn log_copied_and_truncated() {
    if !kit::usable() {
        return;
    }
    counts_go_on(|guard| {
        fs::copy(guard.path("messages"), guard.path("messages.1")).unwrap();
        fs::write(guard.path("messages"), "").unwrap();
    });
}

#[test]
fn log_deleted_and_recreated() {
    if !kit::usable() {
        return;
    }
    counts_go_on(|guard| fs::remove_file(guard.path("messages")).unwrap());
}

#[test]
fn lines_written_to_the_renamed_file_count_too() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 2]);
    fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
    // Asterisk has the file open until it is told to open another one.
    guard.append("messages.1", &vec![wrong_password(EVE); 2]);
    guard.append("messages", &[wrong_password(EVE)]);
    guard.says(&format!("[asterisk-guess] Ban {EVE} (5 offences"));
}

#[test]
fn a_log_that_appears_later_is_read_from_its_first_line() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = CONFIG.replace("[\"$DIR/messages\"]", "[\"$DIR/later/messages\"]");
    let guard = Guard::start(&netns, &config);
    let status = guard.order(&["status"]);
    assert!(status.starts_with("DEGRADED (logs): "), "{status}");
    assert!(status.contains("no log file is being read"), "{status}");
    fs::create_dir(guard.path("later")).unwrap();
    guard.append("later/messages", &vec![wrong_password(EVE); 5]);
    guard.says(&format!("[asterisk-guess] Ban {EVE} (5 offences"));
    assert_eq!(guard.status()["health"], "OK");
}

#[test]
fn a_pattern_finds_new_logs_and_never_rotated_ones() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&CONFIG.replace("$DIR/messages", "$DIR/*/mess*"));
    home.write("pbx1/messages", "");
    let run = home.run(netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.append("pbx1/messages", &vec![wrong_password("198.51.100.1"); 5]);
    guard.says("Ban 198.51.100.1 ");

    fs::create_dir(guard.path("pbx2")).unwrap();
    guard.append("pbx2/messages", &vec![wrong_password("198.51.100.2"); 5]);
    guard.says("Ban 198.51.100.2 ");

    // Old lines under rotated names, and then a new log by which to tell that they were seen.
    for name in ["messages.1", "messages-20261122", "messages.2.gz", "messages.old", "messages~"] {
        guard.append(&format!("pbx2/{name}"), &vec![wrong_password("198.51.100.66"); 9]);
    }
    fs::create_dir(guard.path("pbx3")).unwrap();
    guard.append("pbx3/messages", &vec![wrong_password("198.51.100.3"); 5]);
    guard.says("Ban 198.51.100.3 ");
    let status = guard.status();
    let paths = status["sources"].as_array().unwrap().iter().map(|source| source["path"].clone());
    let expected = [1, 2, 3].map(|n| guard.path(&format!("pbx{n}/messages")));
    assert_eq!(paths.collect::<Vec<_>>(), expected.map(|path| path.to_str().unwrap().to_owned()));
    assert_eq!(guard.count("198.51.100.66"), 0);

    // A log that goes is left; its jail goes on with the others.
    fs::remove_file(guard.path("pbx1/messages")).unwrap();
    guard.says("no longer reading ");
    guard.append("pbx3/messages", &vec![wrong_password("198.51.100.4"); 5]);
    guard.says("Ban 198.51.100.4 ");
}

#[test]
fn rotations_in_quick_succession_lose_and_repeat_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    // The jails that count for long would hold what this one counts.
    let alone =
        "[jail.asterisk-slow]\nenabled = false\n[jail.asterisk-accounts]\nenabled = false\n";
    let guard = Guard::start(&netns, &format!("{CONFIG}\n{alone}"));
    // Each line is another account's, as no two files of a real log begin alike.
    let mut account = 0;
    let mut lines = |count: usize| -> Vec<String> {
        let next = |_| {
            account += 1;
            wrong_password(EVE).replace("1000", &account.to_string())
        };
        (0..count).map(next).collect()
    };
    for round in 1..=12 {
        guard.append("messages", &lines(50));
        for n in (1..round).rev() {
            let [from, to] = [n, n + 1].map(|n| guard.path(&format!("messages.{n}")));
            fs::rename(from, to).unwrap();
        }
        fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
        guard.append("messages", &lines(1));
    }
    guard.append("messages", &vec![wrong_password("198.51.100.16"); 5]);
    guard.says("Ban 198.51.100.16 ");
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], 12 * 51 + 5);
    assert_eq!(guard.status()["sources"][0]["lines"], 12 * 51 + 5);
    assert_eq!(guard.count("] Ban "), 2);
}

/// Hosts that offend while the log is rotated: those with even numbers five times, the others four times.
const HOSTS: u32 = 400;
/// How often the log is rotated at least, how long a file stays in use, and how many lines are written in a millisecond.
const ROTATIONS: u32 = 100;
const LIFE: Duration = Duration::from_millis(20);
const LINES_PER_MS: usize = 20;

fn host(n: u32) -> String {
    format!("198.18.{}.{}", n / 200, n % 200 + 1)
}

/// All lines of the attack: of each twenty, one is an offence. No two are alike, as in a real log.
fn attack() -> Vec<String> {
    let offences = (0..5).flat_map(|round| (0..HOSTS).filter(move |n| round < 4 || n % 2 == 0));
    let lines = offences.enumerate().flat_map(|(number, n)| {
        let offence = wrong_password(&host(n)).replace("1000", &number.to_string());
        let quiet = move |k| {
            let peer = format!("Peer '{number}-{k}' is now Reachable.");
            record(&format!("[Nov 22 01:12:24] NOTICE[1] chan_sip.c: {peer}"))
        };
        std::iter::once(offence).chain((1..20).map(quiet))
    });
    lines.collect()
}

/// Writes lines as they are due, and renames the log again and again; how often.
fn write_and_rotate(home: &Home, lines: &[String]) -> u32 {
    let (begin, mut written, mut rotations) = (Instant::now(), 0, 0);
    while written < lines.len() || rotations < ROTATIONS {
        let end = Instant::now() + LIFE;
        while Instant::now() < end {
            let millis = usize::try_from(begin.elapsed().as_millis()).unwrap();
            let due = (millis * LINES_PER_MS).clamp(written, lines.len());
            home.append("messages", &lines[written..due]);
            written = due;
            thread::sleep(Duration::from_millis(1));
        }
        fs::rename(home.path("messages"), home.path(&format!("messages.{rotations}"))).unwrap();
        home.write("messages", "");
        rotations += 1;
    }
    rotations
}

#[test]
fn rotations_under_load_lose_and_repeat_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &CONFIG.replace("findtime = \"10m\"", "findtime = \"1h\""));
    let lines = attack();
    let begin = Instant::now();
    let rotations = write_and_rotate(&guard, &lines);
    let wrote = begin.elapsed();
    kit::until("all is read", || {
        guard.status()["sources"][0]["lines"].as_u64() >= Some(lines.len() as u64)
    });
    assert_eq!(guard.status()["sources"][0]["lines"], lines.len());
    assert_eq!(guard.jail("asterisk-guess")["total_failed"], lines.len() / 20);
    let banned: BTreeSet<_> = (0..HOSTS).filter(|n| n % 2 == 0).map(host).collect();
    kit::until("they are in the kernel", || addresses(&netns, "sip4").len() >= banned.len());
    assert_eq!(addresses(&netns, "sip4").into_iter().collect::<BTreeSet<_>>(), banned);
    // The others have four offences, no more and no less.
    let explained = guard.order(&["explain", &host(1), "--json"]);
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let mut jails = explained["jails"].as_array().unwrap().iter();
    assert_eq!(jails.find(|jail| jail["jail"] == "asterisk-guess").unwrap()["offences"], 4);
    let fifth: Vec<_> = (1..HOSTS).step_by(2).map(|n| wrong_password(&host(n))).collect();
    guard.append("messages", &fifth);
    kit::until("all are banned", || addresses(&netns, "sip4").len() == HOSTS as usize);
    eprintln!("{rotations} rotations and {} lines in {wrote:?}", lines.len());
}

/// Notifications are a hint: a guard that gets none finds lines, rotations and new files by looking.
#[test]
fn without_inotify_everything_is_found_once_a_second() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    for limit in ["watches", "instances"] {
        let home = Home::new(CONFIG);
        // The limit of a user namespace of its own; there it may not write to the kernel's sets.
        let mut command = netns.command("unshare");
        let script = format!("echo 0 >/proc/sys/user/max_inotify_{limit} && exec \"$0\" \"$@\"");
        command.args(["--user", "--map-root-user", "sh", "-c", &script, PROGRAM]);
        let mut run = home.run(command);
        run.arg("--dry-run");
        let guard = Guard::start_in(home, run);
        guard.append("messages", &vec![wrong_password(EVE); 2]);
        kit::until("they are read", || guard.jail("asterisk-guess")["total_failed"] == 2);
        fs::rename(guard.path("messages"), guard.path("messages.1")).unwrap();
        // A file that begins like the old one would pass for a copy of it.
        guard.append(
            "messages",
            &[record("[Nov 22 01:12:25] NOTICE[17931] logger.c: another file")],
        );
        guard.append("messages", &vec![wrong_password(EVE); 3]);
        guard.says(&format!("[asterisk-guess] Ban {EVE} (5 offences"));
        guard.says("polled instead");
    }
}
