//! Reloads: what changes, what stays, and that no line is lost or counted twice by one.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::kit::guard::{Guard, PROGRAM, told};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, elements, odd_packet, record, wrong_password};

const EVE: &str = "198.51.100.14";
const MALLORY: &str = "198.51.100.15";

/// Ways to break a configuration: the file that is written, its text, the code and the words that
/// `reload` ends with. A file under `rules.d` or `conf.d` that is not there breaks nothing.
const BREAKS: [(&str, &str, &str); 3] = [
    ("asterguard.toml", "[default\nmaxretry = 5\n", "asterguard.toml:1:9: "),
    (
        "conf.d/glob.toml",
        "[jail.asterisk-guess]\nfilter = [\"asterisk-slip*\"]\n",
        "conf.d/glob.toml:2:11: no rule file is called \"asterisk-slip*\"",
    ),
    (
        "rules.d/mine.toml",
        "[[rule]]\nid = \"knock\"\nfailregex = '^door\\.c: (<HOST> knocked$'\nclass = \"scan\"\n\
         evidence = \"unverified\"\n",
        "rules.d/mine.toml:3:13: ",
    ),
];

/// Breaks the configuration in one way, has it refused, and mends it.
fn refuse(guard: &Guard, (file, text, words): (&str, &str, &str)) {
    let path = guard.path(file);
    let whole = fs::read_to_string(&path).ok();
    guard.write(file, text);
    let (code, out, said) = guard.ctl(&["reload"]);
    match whole {
        Some(whole) => guard.write(file, &whole),
        None => fs::remove_file(&path).unwrap(),
    }
    assert_eq!((code, out.as_str()), (3, ""), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(
        said.lines().any(|line| line.trim_start_matches([' ', '|']).starts_with('^')),
        "{said}"
    );
}

#[test]
fn a_broken_configuration_changes_nothing() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.append("messages", &vec![wrong_password(MALLORY); 4]);
    kit::until("the ban is in the kernel", || addresses(&netns, "sip4") == [EVE]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 9);
    let before = guard.status()["jails"].clone();
    let before = before.as_array().unwrap().iter().map(|jail| jail["total_failed"].clone());
    let before: Vec<_> = before.collect();

    for broken in BREAKS {
        refuse(&guard, broken);
        guard.says(
            &format!("reload refused: {}/{}", guard.path("").display(), broken.0)
                .replace("//", "/"),
        );
    }
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    let status = guard.status();
    let after = status["jails"].as_array().unwrap().iter().map(|jail| jail["total_failed"].clone());
    assert_eq!(after.collect::<Vec<_>>(), before);
    assert_eq!(guard.jail("asterisk-guess")["banned"][0]["host"], EVE);
    assert_eq!(addresses(&netns, "sip4"), [EVE]);

    // Four offences before, one after, make five.
    guard.append("messages", &[wrong_password(MALLORY)]);
    guard.says(&format!("[asterisk-guess] Ban {MALLORY} (5 offences"));
    assert_eq!(guard.count("] Ban "), 2);
}

/// What lies in `conf.d` or `rules.d` by mistake, how it is made, and the words by which it is refused;
/// none if it is passed over.
const NO_FILES: [(&str, [&str; 2], Option<&str>); 6] = [
    ("conf.d/pipe.toml", ["mkfifo", ""], Some("it is a named pipe, not a regular file")),
    ("rules.d/pipe.toml", ["mkfifo", ""], Some("it is a named pipe, not a regular file")),
    ("conf.d/zero.toml", ["ln", "/dev/zero"], Some("it is a device, not a regular file")),
    ("rules.d/zero.toml", ["ln", "/dev/zero"], Some("it is a device, not a regular file")),
    // The lock that Emacs puts next to a file while it is changed.
    ("conf.d/.#mine.toml", ["ln", "me@pbx.4711:1700000000"], None),
    ("rules.d/.#mine.toml", ["ln", "me@pbx.4711:1700000000"], None),
];

#[test]
fn what_is_no_regular_file_is_refused_not_read() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    for directory in ["conf.d", "rules.d"] {
        fs::create_dir(guard.path(directory)).unwrap();
    }
    // A pipe would have it wait for ever.
    let within_time = || {
        let mut command = Command::new("timeout");
        command.args(["20", PROGRAM]);
        command
    };
    for (file, [program, target], refused) in NO_FILES {
        let path = guard.path(file);
        let mut make = Command::new(program);
        if program == "ln" {
            make.args(["-s", target]);
        }
        assert!(make.arg(&path).status().unwrap().success(), "{file}");
        let mut check = within_time();
        check.args(["check", "--config"]).arg(guard.path("asterguard.toml"));
        let check = told(&check.output().unwrap());
        let reload = told(&guard.program(&mut within_time(), &["reload"]).output().unwrap());
        for (code, _, complaint) in [check, reload] {
            match refused {
                Some(why) => {
                    assert_eq!(code, 3, "{file}: {complaint}");
                    let expected = format!("cannot read {}: {why}", path.display());
                    assert!(complaint.contains(&expected), "{complaint}");
                }
                None => assert_eq!((code, complaint.as_str()), (0, ""), "{file}"),
            }
        }
        fs::remove_file(path).unwrap();
    }
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
}

#[test]
fn a_changed_configuration_takes_effect() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 2]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["total_failed"] == 2);

    // Other numbers, another log, another jail.
    guard.append("security", &vec![wrong_password(MALLORY); 9]);
    let changed = CONFIG.replace("maxretry = 5", "maxretry = 2").replace("messages", "security");
    guard.write("asterguard.toml", &changed);
    guard.write(
        "conf.d/door.toml",
        "[jail.door]\nfilter = \"door\"\nport = \"all\"\nmaxretry = 1\n",
    );
    guard.write(
        "rules.d/door.toml",
        "[[rule]]\nid = \"knock\"\nfailregex = '^door\\.c: <HOST> knocked$'\nclass = \"scan\"\n\
         evidence = \"proven\"\n",
    );
    guard.order(&["reload"]);
    let files = |guard: &Guard| -> Vec<String> {
        let status = guard.status();
        let sources = status["sources"].as_array().unwrap().iter();
        sources.map(|source| source["path"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files(&guard), [guard.path("security").to_str().unwrap()]);
    guard.says("no longer reading ");

    guard.append("messages", &vec![wrong_password("198.51.100.99"); 9]);
    guard.append("security", &vec![wrong_password(EVE); 2]);
    guard.append("security", &[record("[Nov 22 01:12:24] NOTICE[1] door.c: 203.0.113.9 knocked")]);
    guard.says(&format!("[asterisk-guess] Ban {EVE} (2 offences"));
    guard.says("[door] Ban 203.0.113.9 (1 offences, proven, door/knock, ports all");
    kit::until("both are in the kernel", || {
        (addresses(&netns, "sip4"), addresses(&netns, "ban4"))
            == (vec![EVE.to_owned()], vec!["203.0.113.9".to_owned()])
    });
    // What stood in the new log before, and what is written to the old one, counts for nothing.
    assert_eq!(guard.count("] Ban "), 2, "{:#?}", guard.log_lines());

    // A jail that goes leaves its bans, which are then nobody's but the administrator's.
    fs::remove_file(guard.path("conf.d/door.toml")).unwrap();
    guard.order(&["reload"]);
    assert_eq!(guard.jail("manual")["banned"][0]["host"], "203.0.113.9");
    assert_eq!(guard.order(&["unban", "203.0.113.9"]), "1 ban lifted\n");
    kit::until("it is out of the kernel", || addresses(&netns, "ban4").is_empty());
}

#[test]
fn a_host_that_becomes_ignored_is_let_in_at_once() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    kit::until("both are in the kernel", || addresses(&netns, "sip4") == [EVE, MALLORY]);
    let config = CONFIG.replace("[default]", &format!("[default]\nignoreip = \"{EVE}\""));
    guard.write("asterguard.toml", &config);
    guard.order(&["reload"]);
    // It passes from now on, because of this:
    assert!(netns.exec("nft list set inet asterguard allow4").contains(EVE));
    let begin = Instant::now();
    guard.says(&format!("[asterisk-guess] Unban {EVE}"));
    kit::until("it is out of the set", || addresses(&netns, "sip4") == [MALLORY]);
    assert!(begin.elapsed() < Duration::from_secs(1), "took {:?}", begin.elapsed());
    assert_eq!(guard.jail("asterisk-guess")["currently_banned"], 1);
}

#[test]
fn a_hangup_signal_reloads() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.write("asterguard.toml", &CONFIG.replace("maxretry = 5", "maxretry = \"many\""));
    guard.signal("HUP");
    guard.says("asterguard.toml:9:12: ");
    guard.write("asterguard.toml", &CONFIG.replace("maxretry = 5", "maxretry = 1"));
    guard.signal("HUP");
    guard.says(" reloaded");
    guard.append("messages", &[wrong_password(EVE)]);
    guard.says(&format!("[asterisk-guess] Ban {EVE} (1 offences"));
}

/// The `n`th of many hosts.
fn host(n: u32) -> String {
    Ipv4Addr::from(0x0a00_0000 + n).to_string()
}

/// Appends `lines(n)` for n = 0, 1, 2, … at `rate` lines a second until `stop`, at most `most`;
/// says how many.
fn write(guard: &Guard, rate: u32, most: u32, stop: &AtomicBool, line: fn(&str) -> String) -> u32 {
    let mut written = 0;
    let begin = Instant::now();
    while !stop.load(Ordering::Relaxed) && written < most {
        let due = u32::try_from(begin.elapsed().as_millis()).unwrap() * (rate / 1000);
        let lines: Vec<_> = (written..due.min(most)).map(|n| line(&host(n))).collect();
        guard.append("messages", &lines);
        written = due.min(most);
        // Paces the writer; nothing is awaited.
        thread::sleep(Duration::from_millis(5));
    }
    written
}

#[test]
fn under_load_every_line_counts_exactly_once() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = r#"
        loglevel = "info"
        [default]
        logpath = ["$DIR/messages"]
        [jail.asterisk-guess]
        enabled = false
        [jail.asterisk-scan]
        filter = "asterisk-sip"
        mode = "observe"
    "#;
    let guard = Guard::start(&netns, config);
    let stop = AtomicBool::new(false);
    // Half of them good, half of them broken; `make soak` has a thousand.
    let rounds = std::env::var("RELOADS").map_or(52, |n| n.parse::<usize>().unwrap()) / 2;
    let most = 6000 * u32::try_from(rounds).unwrap();
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&guard, 50_000, most, &stop, odd_packet));
        for round in 0..rounds {
            // The jail's number changes with every second reload.
            let text = format!(
                "[jail.a]\nenabled = {}\nfilter = \"asterisk-sip\"\nclass = \"guess\"",
                round % 2 == 0
            );
            guard.write("conf.d/a.toml", &text);
            assert_eq!(guard.order(&["reload"]), "reloaded\n");
            refuse(&guard, BREAKS[round % BREAKS.len()]);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(written > 10_000, "{written} lines are no load");
    kit::until("all lines are read", || guard.status()["sources"][0]["lines"] == written);
    let status = guard.status();
    assert_eq!(status["sources"][0]["hits"], written);
    assert_eq!(guard.jail("asterisk-scan")["total_failed"], written);
    let found = guard
        .log_lines()
        .into_iter()
        .filter_map(|line| Some(line.split_once("[asterisk-scan] Found ")?.1.to_owned()));
    let mut expected = (0..written).map(|n| format!("{} (1)", host(n)));
    for (n, line) in found.enumerate() {
        assert_eq!(Some(line), expected.next(), "line {n}");
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn bans_overtaken_by_a_reload_keep_their_meaning() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = r#"
        [ports]
        odd = [7000]
        strange = [7001]
        [default]
        logpath = ["$DIR/messages"]
        [jail.asterisk-guess]
        filter = "asterisk-sip"
        maxretry = 1
        port = "odd"
        [jail.asterisk-scan]
        enabled = false
    "#;
    let guard = Guard::start(&netns, config);
    let stop = AtomicBool::new(false);
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| write(&guard, 1000, 50_000, &stop, wrong_password));
        for round in 0..12 {
            // The numbers of the jail and of its scope change with every reload.
            let text = format!(
                "[jail.a]\nenabled = {}\nfilter = \"asterisk-sip\"\nport = \"strange\"\nclass = \"acl\"",
                round % 2 == 0
            );
            guard.write("conf.d/a.toml", &text);
            guard.order(&["reload"]);
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let set = "scope_odd_drop_64_v4";
    kit::until("all are banned", || {
        let status = guard.status();
        status["queue"] == 0 && guard.jail("asterisk-guess")["currently_banned"] == written
    });
    kit::until("all are in the kernel", || addresses(&netns, set).len() == written as usize);
    let wrong: Vec<_> = elements(&netns, set)
        .into_iter()
        .filter(|element| element.comment.as_deref() != Some("asterisk-guess"))
        .collect();
    assert_eq!(wrong, []);
}

#[test]
fn other_ports_and_another_ipv6_prefix_lose_no_ban() {
    if !kit::usable() {
        return;
    }
    let mut lab = kit::Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    let dropped = kit::Fate::Dropped;
    guard.order(&["ban", kit::EVE, "--jail", "asterisk-guess"]);
    guard.order(&["ban", kit::EVE_V6]);
    kit::until("both are shut out", || {
        (lab.udp(kit::EVE, kit::SIP), lab.udp(kit::EVE_V6, kit::SIP)) == (dropped, dropped)
    });
    assert_eq!(lab.udp(kit::EVE, kit::WEB), kit::Fate::Arrived);
    let left = elements(&lab.pbx, "sip4")[0].expires.unwrap();

    guard.write("asterguard.toml", &CONFIG.replace("\"5060-5061\"", "\"5060-5061\", 8088"));
    guard.order(&["reload"]);
    assert_eq!((lab.udp(kit::EVE, kit::SIP), lab.udp(kit::EVE, kit::WEB)), (dropped, dropped));
    for (bits, key) in [("60", "2001:db8::"), ("64", "2001:db8:0:a::")] {
        let config = CONFIG.replace("[default]", &format!("[default]\nipv6prefix = {bits}"));
        guard.write("asterguard.toml", &config);
        guard.order(&["reload"]);
        kit::until("the key is another one", || addresses(&lab.pbx, "ban6") == [key]);
        assert_eq!(
            (lab.udp(kit::EVE_V6, kit::SIP), lab.udp(kit::EVE, kit::SIP)),
            (dropped, dropped)
        );
        assert_eq!(guard.order(&["verify"]), "kernel, configuration and memory are the same\n");
    }
    assert!(elements(&lab.pbx, "sip4")[0].expires.unwrap().abs_diff(left) < 30);
    assert_eq!(guard.count("put back"), 0, "{:#?}", guard.log_lines());
}

#[test]
fn ports_of_asterisk_are_followed_without_a_reload() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, &format!("asteriskconf = \"$DIR\"\n{CONFIG}"));
    let closed = |port: u16| {
        let get = format!("nft get element inet asterguard ports_sip '{{ {port} }}'");
        netns.command("sh").args(["-c", &get]).output().unwrap().status.success()
    };
    guard.append("messages", &vec![wrong_password(EVE); 4]);
    assert!(closed(5060) && !closed(15_060));
    // What else is being written is not taken up by that.
    guard.write("conf.d/half.toml", "[jail.asterisk-gue");
    let transport = |port: u16| format!("[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:{port}\n");
    guard.write("pjsip.conf", &transport(15_060));
    kit::until("the new port is closed", || closed(15_060));
    guard.says("taken up what has changed of Asterisk's ports and HEP");
    guard.write("pjsip.conf", &transport(15_160));
    kit::until("another is closed instead", || closed(15_160) && !closed(15_060));
    assert!(closed(5060));
    // And nothing that was counted is forgotten.
    guard.append("messages", &[wrong_password(EVE)]);
    guard.says(&format!("Ban {EVE} "));
}
