//! What every command prints with `--json`: scripts read it, so each key, its order and its type are kept in
//! `snapshots/`.
//!
//! What is another value on each machine and each day is left out: `<number>`, `<time>`, `$DIR`. After a change
//! that is meant, `INSTA_UPDATE=always cargo test --test guard json` writes them anew; the diff is what scripts see.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::ignored::Machine;
use crate::kit::guard::{Guard, Home, PROGRAM, Told, told};
use crate::kit::{self, Netns};
use crate::{
    CONFIG, addresses, odd_packet_line as odd_packet, wrong_password_line as wrong_password,
};

const EVE: &str = "198.51.100.66";
const OFFICE: &str = "198.51.100.20";

/// Options, and what they name in a home.
const CONFIG_FILE: (&str, &str) = ("--config", "asterguard.toml");
const SOCKET: (&str, &str) = ("--socket", "socket");
const STATE: (&str, &str) = ("--state-dir", "state");

/// Numbers that differ from run to run. Some may be missing (null) at first; that is not left out.
const VARYING: [&str; 23] = [
    "ago",
    "bytes",
    "checkpoint",
    "checkpoint_ago",
    "checkpoint_took",
    "counters_read",
    "ended",
    "knocked",
    "lag",
    "last",
    "last_failed",
    "last_heal",
    "last_line",
    "left",
    "login",
    "paused_until",
    "pid",
    "silent_for",
    "since",
    "time",
    "until",
    "uptime",
    "written",
];

/// When the lines of the logs here were written, as they say.
const WRITTEN: u64 = 1_732_237_944;

/// The same line with this date.
fn dated(line: &str) -> String {
    format!("[2024-11-22 01:12:24{}", &line[line.find(']').unwrap()..])
}

fn wrong(host: &str) -> String {
    dated(&wrong_password(host))
}

/// What Asterisk writes into `security` when the password of `host` is right.
fn login(host: &str) -> String {
    format!(
        "[2024-11-22 01:12:24] SECURITY[1724] res_security_log.c: SecurityEvent=\"SuccessfulAuth\",\
         EventTV=\"2024-11-22T01:12:24.659+0000\",Severity=\"Informational\",Service=\"PJSIP\",\
         EventVersion=\"1\",AccountID=\"1000\",SessionID=\"z\",\
         LocalAddress=\"IPV4/UDP/192.0.2.1/5060\",RemoteAddress=\"IPV4/UDP/{host}/5060\",\
         UsingPassword=\"1\""
    )
}

/// A line that may name either of two hosts: a rule that leaves that open finds one, another the other.
const TAMPERED: &str = "[2024-11-22 01:12:24] NOTICE[1] door.c: a from '192.0.2.66' asked: b from \
                        '198.51.100.161' asked: c";
/// A line whose address the sender may have made up.
const HEARSAY: &str = "[2024-11-22 01:12:24] NOTICE[1638] chan_iax2.c: No registration for peer 'admin' \
                       (from 203.0.113.9)";
/// One that nobody is to blame for.
const NOBODYS: &str = "[2024-11-22 01:12:24] NOTICE[1638] chan_sip.c: Registration from \
                       '<sip:100@192.0.2.10>' failed for '203.0.113.9:5071' - Device not configured to \
                       use this transport type";
const NOTHING: &str = "[2024-11-22 01:12:24] NOTICE[1] cdr.c: All is well";

/// A rule that cannot tell which of two addresses the sender wrote.
const DOOR: &str = r#"
[[rule]]
id = "knock"
failregex = "^door\\.c: .* from '<HOST>' asked: .*$"
class = "guess"
evidence = "proven"
[[rule.example]]
line = "[2024-11-22 01:12:24] NOTICE[1] door.c: a from '192.0.2.66' asked: b"
host = "192.0.2.66"
"#;

/// Everything that shows in an answer: lists, a feed, trunks, a jail that only observes, one that ignores.
const ALL: &str = r#"
asteriskconf = "$DIR/asterisk"

[lists]
allow = ["192.0.2.200"]
block = ["203.0.113.7"]
allowfiles = "$DIR/allow.list"
blockfiles = ["$DIR/block.list"]
guardedports = [8088]

[feed.drop]
path = "$DIR/drop.list"
"#;

const DOOR_JAIL: &str = r#"
[jail.door]
filter = "door"
class = "guess"
mode = "observe"
ignoreip = ["192.0.2.128/25"]
"#;

/// A home with all of that, and with files of Asterisk's that the doctor has something to say about.
fn home() -> Home {
    let filters = "[\"asterisk-sip\", \"asterisk-security\", \"asterisk-iax\"]";
    // Longer than others: whoever is banned longest is told first.
    let bantime = ("bantime = \"10m\"", "bantime = \"15m\"");
    let config = CONFIG.replace("\"asterisk-sip\"", filters).replace(bantime.0, bantime.1);
    let home = Home::new(&format!("{ALL}{config}{DOOR_JAIL}"));
    home.write("rules.d/door.toml", DOOR);
    home.write("allow.list", "# friends\n192.0.2.201/32\n");
    home.write("block.list", "192.0.2.66 # eve\n2001:db8:bad::/48\n");
    home.write("drop.list", "192.0.2.67 ; SBL1\n2001:db8:0:a::/64\nnot a network\n");
    home.write(
        "asterisk/sip.conf",
        "[general]\nallowguest=yes\n[carrier]\ntype=peer\nhost=203.0.113.70\n\
         [1000]\ntype=friend\nhost=dynamic\nsecret=1000\n[all]\ntype=friend\nhost=0.0.0.0/0\n",
    );
    home.write(
        "asterisk/logger.conf",
        "[general]\ndateformat=%F %T\n[logfiles]\n$DIR/messages => notice,warning,error\n\
         $DIR/security => security\n",
    );
    home.write(
        "sessions/5",
        "UID=1000\nUSER=alice\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\nCLASS=user\n\
         REMOTE_HOST=192.0.2.99\nSERVICE=sshd\nLEADER=812\n",
    );
    // As if Asterisk did not run, whether there is one on this machine or not.
    home.script(
        "bin/asterisk",
        "#!/bin/sh\necho 'Unable to connect to remote asterisk' >&2\nexit 1\n",
    );
    home
}

/// Makes the log as old as its lines are.
fn age(log: &Path) {
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(WRITTEN);
    File::options().write(true).open(log).unwrap().set_modified(written).unwrap();
}

/// JSON with each value on a line of its own. Nothing else is changed.
fn laid_out(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match c {
            _ if quoted => {
                text.push(c);
                quoted = escaped || c != '"';
                escaped = !escaped && c == '\\';
            }
            '{' | '[' if rest.peek().is_some_and(|next| "}]".contains(*next)) => {
                text.push(c);
                text.extend(rest.next());
            }
            '{' | '[' => {
                depth += 1;
                text.push(c);
                text += &line(depth);
            }
            '}' | ']' => {
                depth -= 1;
                text += &line(depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                text += &line(depth);
            }
            ':' => text += ": ",
            c => {
                text.push(c);
                quoted = c == '"';
            }
        }
    }
    text
}

/// A line of what is laid out, without a number that is [`VARYING`].
fn without_number(line: &str) -> String {
    let bare = line.trim_end_matches(',');
    let found = bare.split_once("\": ").filter(|(key, value)| {
        let key = key.trim_start().trim_start_matches('"');
        VARYING.contains(&key) && value.bytes().all(|b| b.is_ascii_digit())
    });
    match found {
        Some((key, _)) => format!("{key}\": <number>{}", &line[bare.len()..]),
        None => line.to_owned(),
    }
}

/// A line of what is laid out, without the time for which the guard has run.
fn without_uptime(line: &str) -> String {
    const PID: &str = "pid <number>, up ";
    let cut = line.split_once(PID);
    cut.map_or_else(|| line.to_owned(), |(before, _)| format!("{before}{PID}<time>\","))
}

/// The text without the instants in it: `<time>` for `2026-11-22T01:04:00Z`.
fn without_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |at: usize| {
        text.as_bytes().get(at..at + SHAPE.len()).is_some_and(|bytes| {
            bytes.iter().zip(SHAPE).all(|(b, shape)| match shape {
                b'0' => b.is_ascii_digit(),
                shape => b == shape,
            })
        })
    };
    let (mut kept, mut begin) = (String::new(), 0);
    while let Some(at) = (begin..text.len()).find(|at| fits(*at)) {
        kept += &text[begin..at];
        kept += "<time>";
        begin = at + SHAPE.len();
    }
    kept + &text[begin..]
}

/// The text without what happened in which minute.
fn without_minutes(text: &str) -> String {
    const MINUTES: &str = "\"minutes\":[";
    let cut = text.split_once(MINUTES).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(']')?;
        Some(format!("{before}\"minutes\":\"<minutes>\"{after}"))
    });
    cut.unwrap_or_else(|| text.to_owned())
}

/// What commands told, one after the other.
struct Transcript<'a> {
    home: &'a Home,
    /// What is written instead of what.
    hidden: Vec<(String, String)>,
    /// Whether instants in texts are those of this run.
    live: bool,
    text: String,
}

impl<'a> Transcript<'a> {
    fn new(home: &'a Home) -> Self {
        let hidden = vec![
            (
                home.path("").display().to_string().trim_end_matches('/').to_owned(),
                "$DIR".to_owned(),
            ),
            (
                format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION")),
                "\"version\":\"<version>\"".to_owned(),
            ),
        ];
        Self { home, hidden, live: false, text: String::new() }
    }

    /// From now on, `words` is written instead of `this`.
    fn hide(&mut self, this: &str, words: &str) {
        self.hidden.push((this.to_owned(), words.to_owned()));
    }

    /// Writes down what the program tells with these arguments and those that say where this home's files are.
    fn tell(&mut self, command: Command, args: &[&str]) {
        let told = self.run(command, args);
        self.note(args, &told);
    }

    /// The same, of a program that needs no namespace.
    fn here(&mut self, args: &[&str]) {
        self.tell(Command::new(PROGRAM), args);
    }

    fn run(&self, mut command: Command, args: &[&str]) -> Told {
        let files: &[(&str, &str)] = match args[0] {
            "check" | "test" | "replay" | "ruleset" | "ami-user" | "fetch" => &[CONFIG_FILE],
            "explain" | "run" | "setup" => &[CONFIG_FILE, SOCKET, STATE],
            "doctor" => &[CONFIG_FILE, SOCKET],
            "restore" => &[CONFIG_FILE, STATE],
            "notify" => &[],
            _ => &[SOCKET],
        };
        command.args(args).env("TZ", "UTC").stdin(Stdio::null());
        for (option, name) in files {
            command.arg(option).arg(self.home.path(name));
        }
        told(&command.arg("--json").output().unwrap())
    }

    /// Writes down what was told: each line of it is JSON.
    fn note(&mut self, args: &[&str], (code, out, said): &Told) {
        let words = [&["$ asterguard"], args, &["--json"]].concat().join(" ");
        let mut text = format!("{words}\n");
        for (stream, told) in [("", out), ("2> ", said)] {
            for line in told.lines() {
                let json: Result<Value, _> = serde_json::from_str(line);
                assert!(json.is_ok_and(|json| json.is_object()), "{words}: {line}");
                text += stream;
                text += &laid_out(&self.hidden(line));
                text.push('\n');
            }
        }
        let text = self.hidden(&text);
        self.text.extend(text.lines().map(|line| without_uptime(&without_number(line)) + "\n"));
        self.text.extend(["exit code ", &code.to_string(), "\n\n"]);
    }

    fn hidden(&self, text: &str) -> String {
        let hide = |text: String, (this, words): &(String, String)| text.replace(this, words);
        let text = self.hidden.iter().fold(text.to_owned(), hide);
        let text = without_minutes(&text);
        if self.live { without_times(&text) } else { text }
    }
}

#[test]
fn wrong_usage_is_told_as_json() {
    let home = Home::new(CONFIG);
    let mut told = Transcript::new(&home);
    for args in [
        &[][..],
        &["nonsense"],
        &["statsu"],
        &["ban"],
        &["ban", "nobody"],
        &["ban", "192.0.2.1", "--for", "ages"],
        &["ban", "192.0.2.0/24"],
        &["ban", "192.0.2.1:65536"],
        &["unban"],
        &["unban", "--all", "192.0.2.7"],
        &["unban", "192.0.2.7/33"],
        &["pause", "--for", "-5"],
        &["list"],
        &["list", "friends"],
        &["get"],
        &["get", "asterisk-guess", "bantime"],
        &["get", "failregex"],
        &["explain"],
        &["explain", "pbx.example"],
        &["replay"],
        &["test"],
        &["test", "-", "--limit", "some"],
        &["test", "-", "--class", "guess"],
        &["test", "-", "--regex", "x", "--class", "rude"],
        &["replay", "-", "-"],
        &["run", "--sink", "iptables"],
        &["run", "--dry-run", "--sink", "nft"],
        &["check", "--confg", "x"],
    ] {
        let output = Command::new(PROGRAM).args(args).arg("--json").output().unwrap();
        told.note(args, &kit::guard::told(&output));
    }
    insta::assert_snapshot!("usage", told.text);
}

#[test]
fn what_is_made_of_lines_is_told_as_json() {
    let home = home();
    let mut told = Transcript::new(&home);
    for line in [
        &wrong(EVE),
        &wrong("127.0.0.1"),
        TAMPERED,
        HEARSAY,
        NOBODYS,
        &login(OFFICE),
        NOTHING,
        "no log line",
    ] {
        told.here(&["test", line]);
        told.here(&["explain", line]);
    }
    told.here(&["test", "messages.l0g"]);
    told.here(&["test", "/"]);
    home.append("messages", &[login(OFFICE)]);
    for (host, times) in [(EVE, 5), (OFFICE, 6), ("198.51.100.67", 4)] {
        home.append("messages", &vec![wrong(host); times]);
    }
    home.append("messages", &vec![dated(&odd_packet("2001:db8:66::1")); 3]);
    let knock = "[2024-11-22 01:12:24] NOTICE[1] door.c: a from '198.51.100.99' asked: b";
    home.append("messages", &[knock; 3]);
    home.append("messages", &[NOBODYS, HEARSAY, TAMPERED, NOTHING]);
    home.write("hostname", "pbx\n");
    home.append("undated", &[wrong_password(EVE).replace("Nov 22 01:12:24", "")]);
    for name in ["messages", "hostname", "undated"] {
        age(&home.path(name));
    }
    let path = |name: &str| home.path(name).display().to_string();
    home.append_bytes("pbx.pcap", include_bytes!("../data/pbx.pcap"));
    let [messages, hostname, undated, capture] =
        ["messages", "hostname", "undated", "pbx.pcap"].map(path);
    for args in [
        &["test", &messages][..],
        &["test", &messages, "--missed", "--tampered", "--limit", "1"],
        &["test", &messages, "--regex", "^door\\.c: a from '<HOST>' asked: .*$", "--limit", "0"],
        &["test", &messages, "--regex", "door"],
        &["replay", &messages],
        &["replay", &messages, &hostname, &undated],
        &["replay", "/no/such/file"],
        &["replay", &messages, "--pcap", &capture],
        &["replay", "--pcap", &messages],
    ] {
        // Shown as `$DIR`, like all paths here.
        told.here(args);
    }
    insta::assert_snapshot!("lines", told.text);
}

#[test]
fn what_needs_no_guard_is_told_as_json() {
    if !kit::usable() {
        return;
    }
    let (machine, home) = (Machine::new(), home());
    let mut told = Transcript::new(&home);
    told.live = true;
    let program = || at_home(&machine, &home);
    told.hide(&version(machine.netns.command("nft").arg("--version")), "<version of nft>");
    told.hide(fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim(), "<kernel>");

    told.tell(program(), &["check"]);
    told.tell(program(), &["ami-user"]);
    told.tell(program(), &["fetch"]);
    home.write("notify.toml", "[notify.tool]\nkind = 'command'\ncommand = ['/bin/true']\n");
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let files = ["--config", &path("notify.toml"), "--helper", &path("nobody")];
    told.tell(program(), &[&["notify", "test", "tool"], &files[..]].concat());
    told.tell(program(), &["ruleset"]);
    told.tell(program(), &["ruleset", "--output", home.path("out.nft").to_str().unwrap()]);
    told.tell(program(), &["ruleset", "--output", "/no/such/directory/out.nft"]);
    home.append("messages", &[wrong(EVE)]);
    age(&home.path("messages"));
    // By itself, so that other guards of this machine do not matter.
    told.tell(alone(&program()), &["doctor"]);
    let image = home.path("");
    let image = image.to_str().unwrap();
    for more in [&["--dry-run"][..], &[], &["--yes"], &["--yes"], &["--undo"], &["--undo"]] {
        told.tell(program(), &[&["setup", "--root", image], more].concat());
    }
    told.tell(program(), &["explain", EVE]);
    for args in [
        &["status"][..],
        &["banned"],
        &["top"],
        &["list", "block"],
        &["ban", EVE, OFFICE],
        &["unban", "--all"],
        &["get", "ignoreip"],
        &["get", "asterisk-guess", "failregex"],
        &["verify"],
        &["reload"],
        // Those that go to the kernel themselves: there is no table yet.
        &["pause"],
        &["resume"],
        &["restore"],
        // Now there is.
        &["pause"],
        &["pause", "--for", "permanent"],
        &["resume"],
        &["explain", EVE],
    ] {
        told.tell(program(), args);
    }

    // What cannot be read.
    let mistake = "[jail.asterisk-guess]\nmaxretries = 3\n";
    home.write("conf.d/a.toml", mistake);
    for args in [
        &["check"][..],
        &["test", NOTHING],
        &["replay", "/dev/null"],
        &["ruleset"],
        &["restore"],
        &["run"],
        &["explain", EVE],
    ] {
        told.tell(program(), args);
    }
    // The rest is about this machine's own Asterisk then.
    let (code, out, said) = told.run(alone(&program()), &["doctor"]);
    told.note(&["doctor"], &(code, out.lines().next().unwrap().to_owned(), said));
    home.write("conf.d/a.toml", "[default]\nenabled = false\n");
    told.tell(program(), &["check"]);
    home.write(
        "conf.d/a.toml",
        "[default]\nlogpath = [\"$DIR/messages\", \"$DIR/messages.1\", \"$DIR/later\"]\n",
    );
    home.write("drop.list", "<html>\n");
    told.tell(program(), &["check"]);
    home.write("block.list", "192.0.2.66\n192.0.2.300\n");
    told.tell(program(), &["check"]);
    home.write(
        "rules.d/door.toml",
        "[[rule]]\nid = \"knock\"\nfailregex = '^door$'\nclass = \"scan\"\n",
    );
    told.tell(program(), &["check"]);
    insta::assert_snapshot!("without_a_guard", told.text);
}

/// The program in the machine, with what this home has on the `PATH` first.
fn at_home(machine: &Machine, home: &Home) -> Command {
    let mut command = machine.program(home);
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", home.path("bin").display()));
    command
}

/// The command, where no other process can be seen.
fn alone(command: &Command) -> Command {
    let mut alone = Command::new("unshare");
    alone.args(["--pid", "--fork", "--mount-proc"]);
    alone.arg(command.get_program()).args(command.get_args());
    alone.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    alone
}

/// What a program prints about itself.
fn version(command: &mut Command) -> String {
    String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn what_a_guard_answers_is_told_as_json() {
    if !kit::usable() {
        return;
    }
    let (machine, home) = (Machine::new(), home());
    let netns = &machine.netns;
    let mut run = home.run(machine.program(&home));
    run.env("TZ", "UTC");
    let guard = Guard::start_in(home, run);
    let mut told = Transcript::new(&guard);
    told.live = true;
    told.hide(&version(netns.command("nft").arg("--version")), "<version of nft>");
    told.hide(fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim(), "<kernel>");
    told.hide(&format!("pid {}", guard.pid()), "pid <number>");
    let program = || at_home(&machine, &guard);

    live(&mut told, &guard, netns);
    for args in [
        &["status"][..],
        &["status", "--check", "door"],
        &["status", "sshd"],
        &["banned"],
        &["banned", EVE],
        &["banned", "192.0.2.9"],
        &["top", "--sort", "bans"],
        &["list", "allow"],
        &["list", "allow", "192.0.2.201"],
        &["list", "block"],
        &["list", "block", "2001:db8:bad::1"],
        &["list", "feed"],
        &["list", "feed", "192.0.2.67"],
        &["list", "known-good"],
        &["list", "known-good", EVE],
        &["accounts"],
        &["accounts", "ack", "1000"],
        &["accounts", "ack", "1001"],
        &["get", "ignoreip"],
        &["get", "door", "ignoreip"],
        &["get", "door", "failregex"],
        &["get", "sshd", "failregex"],
    ] {
        told.here(args);
    }
    netns.exec(
        "nft 'add table inet f2b-table; add set inet f2b-table addr-set-sshd { type ipv4_addr; };
              add element inet f2b-table addr-set-sshd { 198.51.100.67 };
              add chain inet f2b-table c { type filter hook input priority -1; };
              add rule inet f2b-table c tcp dport 22 ip saddr @addr-set-sshd reject'",
    );
    for host in
        [EVE, OFFICE, "198.51.100.67", "203.0.113.6", "2001:db8:66::9", "192.0.2.254", "fe80::1"]
    {
        told.tell(program(), &["explain", host]);
    }
    told.tell(program(), &["run"]);
    told.tell(program(), &["restore"]);

    // Differences, of which each is mended.
    told.here(&["verify"]);
    netns.exec("nft add element inet asterguard sip4 { 198.51.100.1 timeout 1h }");
    told.here(&["verify"]);
    guard.write("conf.d/more.toml", "[jail.asterisk-guess]\nmaxretry = 7\n");
    told.here(&["verify", "--repair"]);
    guard.write("conf.d/more.toml", "[jail.asterisk-guess]\nmaxretries = 7\n");
    told.here(&["verify"]);
    told.here(&["reload"]);
    fs::remove_file(guard.path("conf.d/more.toml")).unwrap();
    kit::until("the mistake is forgotten", || !guard.status().to_string().contains("maxretries"));

    told.here(&["pause", "--for", "1h"]);
    told.here(&["status", "door"]);
    told.here(&["pause", "--for", "permanent"]);
    told.tell(alone(&program()), &["doctor"]);
    told.here(&["resume"]);
    told.here(&["unban", "203.0.113.0/24", "--jail", "asterisk-guess"]);
    told.here(&["unban", "203.0.113.0/24"]);

    // Ports of hosts.
    told.here(&["ban", "203.0.113.77:40000", "[2001:db8:5::7]:5060", "--for", "1h"]);
    told.here(&["ban", "203.0.113.77:0"]);
    told.here(&["ban", "192.0.2.254:40000"]);
    for whom in ["203.0.113.77", "203.0.113.77:40000", "203.0.113.77:40001"] {
        told.here(&["banned", whom]);
    }
    told.tell(program(), &["explain", "203.0.113.77:40000"]);
    told.here(&["unban", "203.0.113.77:40000"]);
    told.here(&["unban", "[2001:db8:5::7]:5060"]);
    insta::assert_snapshot!("guard", told.text);

    drop(told);
    after_it_ended(&machine, &guard.stop());
}

/// Orders, offences and logins, until all of that is in force and stored.
fn live(told: &mut Transcript<'_>, guard: &Guard, netns: &Netns) {
    told.here(&["ban", "203.0.113.5", "--for", "1h"]);
    told.here(&["ban", "203.0.113.6", OFFICE, "--jail", "asterisk-scan", "--for", "30m"]);
    told.here(&["ban", "2001:db8:5::1"]);
    told.here(&["ban", "127.0.0.1", "192.0.2.254", "192.0.2.200", "192.0.2.1"]);
    told.here(&["ban", "203.0.113.5", "--jail", "sshd"]);
    told.here(&["unban", "203.0.113.6"]);
    guard.append("messages", &[login(OFFICE), dated(&odd_packet(OFFICE))]);
    guard.append("messages", &vec![wrong(EVE); 6]);
    guard.append("messages", &vec![wrong("198.51.100.67"); 2]);
    // Of two bans in the same millisecond, the order would be another one.
    kit::until("the first ban is there", || addresses(netns, "sip4") == [EVE]);
    guard.append("messages", &vec![dated(&odd_packet("2001:db8:66::1")); 3]);
    // What follows such a line is not believed for a while.
    guard.append("messages", &[NOBODYS, HEARSAY, TAMPERED, TAMPERED, NOTHING]);
    age(&guard.path("messages"));
    guard.write("drop.list", "<html>429 Too Many Requests</html>\n");
    told.here(&["reload"]);
    kit::until("all is read, in force, and stored", || {
        let status = guard.status();
        status["sources"][0]["lines"] == 18
            && status["queue"] == 0
            && status["wire"]["state"] == "listening"
            && addresses(netns, "sip4") == [EVE]
            && addresses(netns, "ban4") == [OFFICE, "203.0.113.5"]
            && addresses(netns, "sip6").len() == 1
            && ["bans", "past", "offenders", "known_good"]
                .map(|what| status["store"][what].as_u64())
                == [Some(5), Some(1), Some(7), Some(1)]
            && status["store"]["checkpoint"].is_i64()
    });
}

/// What is stored tells the same.
fn after_it_ended(machine: &Machine, home: &Home) {
    let mut told = Transcript::new(home);
    told.live = true;
    let program = || at_home(machine, home);
    for args in [&["explain", EVE][..], &["explain", "203.0.113.6"], &["restore"]] {
        told.tell(program(), args);
    }
    machine.netns.exec("nft flush ruleset");
    told.tell(program(), &["restore"]);
    fs::write(home.path("state/asterguard.db"), "x".repeat(5000)).unwrap();
    for args in [&["restore"][..], &["explain", EVE]] {
        told.tell(program(), args);
    }
    insta::assert_snapshot!("stored", told.text);
}
