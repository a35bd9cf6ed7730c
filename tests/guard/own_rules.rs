//! Failregexes in a jail's own table: who is banned by them, what is said of them, and what strangers can do with them; and
//! how often fail2ban banned a host before.

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, MALLORY, Netns};
use crate::offline::run;
use crate::{CONFIG, addresses, elements, wrong_password};

/// A door that logs who knocks; behind a colon stands what the caller says.
const DOOR: &str = r#"
[jail.door]
logpath = "$DIR/door.log"
failregex = '''
    ^\s*door: refused <HOST>: .*$
    ^\s*door: (?!ok)\w+ asked for \w+ by <HOST>$
    said .* at <HOST>
'''
ignoreregex = ['refused \S+: the office$']
maxretry = 3
"#;

const DATE: &str = "2026-11-22 10:00:00";

fn started(netns: &Netns, home: Home) -> Guard {
    let run = home.run(netns.command(PROGRAM));
    Guard::start_in(home, run)
}

fn refused(host: &str, said: &str) -> String {
    format!("{DATE} door: refused {host}: {said}")
}

#[test]
fn a_jail_bans_by_its_own_failregexes() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = Home::new(&format!("{CONFIG}{DOOR}"));
    home.write("door.log", "");
    let guard = started(&netns, home);
    guard.append("door.log", &vec![refused(MALLORY, "the office"); 9]);
    guard.append("door.log", &vec![refused(EVE, "hello"); 3]);
    guard.says(&format!("[door] Ban {EVE}"));
    kit::until("the ban is in the kernel", || addresses(&netns, "sip4") == [EVE]);
    assert_eq!(elements(&netns, "sip4")[0].comment.as_deref(), Some("door"));
    assert_eq!(guard.jail("door")["banned"][0]["rule"], "jail.door/1");
    assert_eq!(
        guard.order(&["get", "door", "failregex"]),
        "jail.door/1\t^\\s*door: refused <HOST>: .*$\n\
         jail.door/2\t^\\s*door: (?!ok)\\w+ asked for \\w+ by <HOST>$\njail.door/3\tsaid .* at <HOST>\n"
    );
    let regexes: Value =
        serde_json::from_str(guard.order(&["get", "door", "ignoreregex"]).trim()).unwrap();
    assert_eq!(regexes, json!(["refused \\S+: the office$"]));
    assert!(guard.order(&["explain", EVE]).contains("jail.door/1"));

    // No other jail counts them, whatever it reads.
    let rules = guard.order(&["get", "asterisk-guess", "failregex"]);
    assert!(!rules.contains("jail.door"), "{rules}");

    // With another regex, what was counted before goes on.
    guard.append("door.log", &vec![refused(MALLORY, "hello"); 2]);
    kit::until("both are counted", || guard.jail("door")["total_failed"] == 5);
    guard.write(
        "conf.d/more.toml",
        "[jail.door]\nfailregex = ['^\\s*door: refused <HOST>: .*$', '^\\s*gate: <HOST>$']\n",
    );
    assert_eq!(guard.order(&["reload"]), "reloaded\n");
    guard.append("door.log", &[format!("{DATE} gate: {MALLORY}")]);
    guard.says(&format!("[door] Ban {MALLORY}"));

    // A wrong one leaves all as it was.
    guard.write(
        "conf.d/more.toml",
        "[jail.door]\nfailregex = ['^\\s*door: refused <HOST>: (.*$']\n",
    );
    let (code, _, said) = guard.ctl(&["reload"]);
    let place = format!("{}:2:14: ", guard.path("conf.d/more.toml").display());
    assert!(
        code == 3 && said.contains(&place) && said.contains("\n  |              ^^^"),
        "{said}"
    );
    assert_eq!(guard.jail("door")["currently_banned"], 2);
}

#[test]
fn what_strangers_write_bans_nobody_else_and_hides_nobody() {
    let home = Home::new(DOOR);
    let victim = "198.51.100.66";
    let lines = [
        // He says that somebody else was refused, and where.
        refused(EVE, &format!("door: refused {victim}: x")),
        refused(EVE, &format!("x asked for y by {victim}")),
        refused(EVE, &format!("said x at {victim}")),
        // He writes a date, half a date, and bytes that are none of a text.
        refused(EVE, "2026-11-22 10:00:01 door: refused"),
        refused(EVE, "\u{1b}[2K\u{fffd}\t\u{0}"),
        // What only seems to be an exception.
        refused(EVE, "the office and more"),
        refused(EVE, &"a".repeat(7000)),
        format!("{DATE} someone said x at {victim}"),
        format!("{DATE} someone said x at {victim}"),
        format!("{DATE} someone said x at {victim}"),
        format!("{DATE} x door: refused {victim}: x"),
    ];
    home.append("door.log", &lines);
    home.append_bytes("door.log", b"2026-11-22 10:00:02 door: refused 192.0.2.250: \xff\xfe\xc3\n");
    let log = home.path("door.log").display().to_string();
    let (code, out, said) = run(&home, &["replay", "--json", &log]);
    assert_eq!(code, 0, "{said}");
    let bans: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let bans: Vec<_> = bans.iter().filter(|one| one["action"] == "ban").collect();
    assert!(!bans.is_empty() && bans.iter().all(|ban| ban["host"] == EVE), "{out}");
    let (code, out, _) = run(&home, &["test", &log, "--json"]);
    assert!(
        code == 0 && out.contains("\"filter\":\"jail.door\"") && out.contains("192.0.2.250"),
        "{out}"
    );
}

#[test]
fn check_says_how_far_each_can_be_believed() {
    let home = Home::new(DOOR);
    let (code, out, said) = run(&home, &["check"]);
    assert_eq!((code, said.as_str()), (0, ""));
    for words in [
        "\n  jail.door/1: unverified\n",
        "\n  jail.door/2: unverified\n",
        "\n  jail.door/3: hearsay\n",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let note = format!(
        "  ! {}:7:5: untrusted (hearsay), and bans nobody: a stranger may write such a line, with any address in it\n    7 |     said .* at <HOST>\n      |     ^^^^^^^^^^^^^^^^^\n    help: ",
        home.path("asterguard.toml").display()
    );
    assert!(out.contains(&note), "{out}");
    let (_, shown, _) = run(&home, &["check", "--show"]);
    assert!(shown.contains("#   7 |     said .* at <HOST>"), "{shown}");
    // What is shown is a configuration itself, and the same.
    let again = Home::new(&shown);
    let (code, shown_again, said) = run(&again, &["check", "--show"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(
        shown_again.contains(r#"failregex = ["^\\s*door: refused <HOST>: .*$", "#),
        "{shown_again}"
    );
}

#[test]
fn how_often_fail2ban_banned_a_host_makes_its_next_ban_longer() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let config = CONFIG
        .replace("bantime = \"10m\"", "bantime = { first = \"10m\", factor = 4, max = \"1d\" }");
    let guard = Guard::start(&netns, &config);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let path = guard.path("fail2ban.sqlite3");
    let tables = format!(
        "CREATE TABLE bips(ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON);
         INSERT INTO bips VALUES ('{EVE}', 'asterisk', {before}, 60, 1, '{{}}'), ('{EVE}', 'asterisk-tcp', {before}, 60, 1, '{{}}'),
            ('{EVE}', 'sshd', {before}, 60, 99, '{{}}'), ('{MALLORY}', 'sshd', {before}, 60, 9, '{{}}');",
        before = now - 100
    );
    rusqlite::Connection::open(&path).unwrap().execute_batch(&tables).unwrap();
    let import = |more: &[&str]| {
        let args = [&["import", path.to_str().unwrap(), "--json"], more].concat();
        serde_json::from_str::<Value>(&guard.order(&args)).unwrap()
    };
    // Only who asks for it gets it.
    assert_eq!(import(&[])["changed"], false);
    let done = import(&["--history"]);
    assert_eq!(
        (&done["changed"], &done["earlier"], &done["over"]),
        (&json!(true), &json!(1), &json!(4))
    );
    assert_eq!(import(&["--history"])["changed"], false);

    // The counts are stored with the next checkpoint: a guard that starts again knows them.
    kit::until("it is stored", || {
        let database = rusqlite::Connection::open(guard.path("state/asterguard.db")).unwrap();
        let sql = "SELECT count(*) FROM notes WHERE name = 'earlier'";
        database.query_row(sql, [], |row| row.get::<_, i64>(0)).is_ok_and(|rows| rows == 1)
    });
    let home = guard.stop();
    let guard = started(&netns, home);
    guard.append("messages", &vec![wrong_password(EVE); 5]);
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    kit::until("both are banned", || addresses(&netns, "sip4").len() == 2);
    let length = |host: &str| {
        let held = elements(&netns, "sip4");
        held.iter().find(|one| one.address == host).unwrap().timeout
    };
    assert_eq!((length(EVE), length(MALLORY)), (Some(9600), Some(600)));
    for args in [&["import", "/etc", "--history"][..], &["import", "/dev/null", "--history"]] {
        let (code, _, said) = guard.ctl(args);
        assert!(code == 2 && said.contains("--history is for fail2ban's"), "{said}");
    }
}

#[test]
fn dates_without_a_zone_are_in_logtimezone() {
    for (zone, begin) in
        [("", "2026-11-22T10:00:00Z"), ("logtimezone = 'UTC+0530'", "2026-11-22T04:30:00Z")]
    {
        let home = Home::new(&format!("[default]\n{zone}\n{DOOR}"));
        home.append("door.log", &vec![refused(EVE, "hello"); 3]);
        let (code, out, said) =
            run(&home, &["replay", "--json", &home.path("door.log").display().to_string()]);
        assert_eq!(code, 0, "{said}");
        assert!(out.contains(begin), "{zone}: {out}");
    }
}
