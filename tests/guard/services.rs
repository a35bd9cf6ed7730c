//! Services that are not Asterisk's: a real sshd, and a web login that logs as that of `FreePBX` does.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, EVE, MALLORY, Netns, PBX_V4};

/// Hosts beside EVE (who guesses) and MALLORY (who only writes others' names).
const OFFICE: &str = "192.0.2.70";
const VICTIM: &str = "192.0.2.71";
const LATE: &str = "192.0.2.72";

const SSHD: &str = r#"
loglevel = "info"
[jail.sshd]
enabled = true
logpath = ["$DIR/auth.log"]
"#;

/// As a syslog daemon writes what sshd logs (with `-e`, to its standard error).
const SYSLOG: &str = r"
import sys, time
with open(sys.argv[1], 'ab', buffering=0) as log:
    for line in sys.stdin.buffer:
        date = time.strftime('%b %d %H:%M:%S').encode()
        log.write(date + b' pbx sshd[77]: ' + line.rstrip(b'\r\n') + b'\n')
";

/// Starts sshd with the users alice, bob and carol, whose password is `secret`.
const START: &str = r#"
set -e
cd "$1"
mount --make-rprivate /
cp /etc/passwd passwd; cp /etc/shadow shadow; chmod 600 shadow
hash=$(openssl passwd -6 secret)
for user in alice bob carol; do
    echo "$user:x:3001:3001::/:/bin/sh" >> passwd
    echo "$user:$hash:19000:0:99999:7:::" >> shadow
done
mount --bind passwd /etc/passwd
mount --bind shadow /etc/shadow
mkdir -p /run/sshd
: > sshd_config
echo 'PerSourcePenalties no' > penalties
if "$(command -v sshd)" -t -f penalties -h host_key 2>/dev/null; then cp penalties sshd_config; fi
"$(command -v sshd)" -D -e -f "$1/sshd_config" -h "$1/host_key" -p 22 \
    -o UsePAM=no -o PasswordAuthentication=yes -o PidFile=none 2>&1 |
    python3 syslog.py auth.log
"#;

/// A process with children; all of them end with it.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().try_into().unwrap()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

/// A machine with sshd and the guard, and hosts on the same wire.
struct Lab {
    guard: Guard,
    hosts: Netns,
    _sshd: Group,
    _pbx: Netns,
}

impl Lab {
    fn new(config: &str) -> Self {
        let (pbx, hosts) = kit::wired(&[PBX_V4], &[EVE, MALLORY, OFFICE, VICTIM, LATE]);
        let home = Home::new(config);
        let dir = home.path(".");
        fs::set_permissions(&dir, unix(0o755)).unwrap();
        home.write("auth.log", "");
        home.write("syslog.py", SYSLOG);
        home.write("start.sh", START);
        for (name, text) in [("wrong", "no"), ("right", "secret")] {
            home.script(name, &format!("#!/bin/sh\necho {text}\n"));
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(home.path("host_key"));
        assert!(keygen.status().unwrap().success());
        let mut run = pbx.command("unshare");
        run.args(["-m", "sh"]).arg(home.path("start.sh")).arg(fs::canonicalize(&dir).unwrap());
        let sshd = Group::start(run.stdin(Stdio::null()).stdout(Stdio::null()));
        let run = home.run(pbx.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        let lab = Self { guard, hosts, _sshd: sshd, _pbx: pbx };
        kit::until("sshd listens", || {
            lab.guard.read("auth.log").contains("Server listening on 0.0.0.0")
        });
        lab.guard.listens();
        lab
    }

    /// `ssh` from a host, as this user.
    fn ssh(&self, from: &str, user: &str, answer: &str) -> Command {
        let mut ssh = self.hosts.command("ssh");
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=2",
            "PreferredAuthentications=password",
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(["-F", "none", "-b", from, "-l", user, PBX_V4]);
        ssh.env("SSH_ASKPASS", self.guard.path(answer)).env("SSH_ASKPASS_REQUIRE", "force");
        ssh.env("DISPLAY", ":0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        ssh
    }

    /// Guesses so many passwords on one connection.
    fn guess(&self, from: &str, user: &str, times: u32) {
        let mut ssh = self.ssh(from, user, "wrong");
        let _ = ssh.args(["-o", &format!("NumberOfPasswordPrompts={times}"), "true"]).output();
    }

    /// Whether a new connection gets an answer.
    fn gets_in(&self, from: &str) -> bool {
        let said = self.ssh(from, "alice", "right").arg("true").output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success() || text.contains("timed out"), "{text}");
        said.status.success()
    }

    fn is_banned(&self, host: &str) -> bool {
        self.guard.order(&["banned"]).contains(&format!("\n{host} "))
    }
}

fn unix(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// A session that is open: what is written to it comes back.
struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(lab: &Lab, from: &str) -> Self {
        let mut ssh = lab.ssh(from, "alice", "right");
        let mut process =
            ssh.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut session = Self { process, input, output: BufReader::new(output) };
        session.works();
        session
    }

    fn works(&mut self) {
        self.input.write_all(b"still there\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "still there\n");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn ssh_guessers_are_banned_and_open_sessions_go_on() {
    if !kit::usable() {
        return;
    }
    let lab = Lab::new(SSHD);
    let guard = &lab.guard;
    // Four wrong passwords are no ban, and the fifth is one.
    lab.guess(EVE, "alice", 4);
    guard.says_times(&format!("[sshd] Found {EVE}"), 4);
    assert!(!lab.is_banned(EVE) && lab.gets_in(EVE));
    // (That login has made the host a trusted one: another host guesses.)
    lab.guess(LATE, "alice", 5);
    guard.says(&format!("[sshd] Ban {LATE}"));
    kit::until("it is shut out", || !lab.gets_in(LATE));

    // Who does not exist counts once for each password, though sshd says so twice at first.
    lab.guess(VICTIM, "nobodyx", 2);
    guard.says_times(&format!("[sshd] Found {VICTIM}"), 2);
    let mut session = Session::open(&lab, VICTIM);
    drop(Session::open(&lab, VICTIM));

    // An office: somebody is logged in, and others mistype.
    let mut office = Session::open(&lab, OFFICE);
    lab.guess(OFFICE, "bob", 6);
    lab.guess(OFFICE, "bob", 3);
    kit::until("all of it is read", || guard.jail("sshd")["excused"].as_u64() == Some(9));
    assert!(!lab.is_banned(OFFICE) && lab.gets_in(OFFICE));
    office.works();
    // Whoever guesses at one account after another from there is banned, and the session goes on.
    for user in ["u1", "u2", "u3", "u4"] {
        lab.guess(OFFICE, user, 3);
    }
    guard.says(&format!("[sshd] Ban {OFFICE}"));
    kit::until("it is shut out", || !lab.gets_in(OFFICE));
    office.works();
    office.works();
    session.works();
    assert!(!lab.is_banned(VICTIM));
    // Its packets are no sign of a ban without effect.
    assert_eq!(guard.count("without effect"), 0, "{:?}", guard.log_lines());
}

#[test]
fn whoever_writes_names_into_an_auth_log_names_nobody() {
    if !kit::usable() {
        return;
    }
    let lab = Lab::new(SSHD);
    let guard = &lab.guard;
    // A victim whose session is open, and one that has never been here.
    let mut session = Session::open(&lab, VICTIM);
    let forged = |n: u32| format!("x from {VICTIM} port {n} ssh2");
    for n in 0..3 {
        lab.guess(MALLORY, &forged(n), 2);
    }
    guard.says(&format!("[sshd] Ban {MALLORY}"));
    // A local user writes with `logger -t sshd` about both.
    let own = lab.guard.read("auth.log");
    let accepted = own.split(&format!("from {VICTIM} port ")).nth(1).unwrap();
    let port = accepted.split(' ').next().unwrap();
    let line = |host: &str, port: &str| {
        format!(
            "Nov 22 10:00:00 pbx sshd[9]: Failed password for root from {host} port {port} ssh2"
        )
    };
    let before = guard.status()["wire"]["unmatched"].as_u64().unwrap_or(0);
    guard.append("auth.log", &vec![line(OFFICE, "40000"); 10]);
    guard.append("auth.log", &vec![line(VICTIM, "1"); 10]);
    kit::until("they count for nothing", || {
        guard.status()["wire"]["unmatched"].as_u64().unwrap_or(0) >= before + 20
    });
    // And about the connection that is open: at worst the host is counted, and its session goes on.
    guard.append("auth.log", &vec![line(VICTIM, port); 10]);
    session.works();
    // A guesser is still found.
    lab.guess(EVE, "alice", 5);
    guard.says(&format!("[sshd] Ban {EVE}"));
    session.works();
    for innocent in [OFFICE, VICTIM] {
        assert!(!lab.is_banned(innocent), "{innocent}");
    }
}

#[test]
fn nothing_is_read_unless_the_jail_is_switched_on() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, "[default]\nlogpath = ['$DIR/messages']\n");
    guard.listens();
    let rules = netns.exec("nft list chain inet asterguard wire_output");
    assert!(!rules.contains("served_ports"), "{rules}");
    guard.write("conf.d/sshd.toml", "[jail.sshd]\nenabled = true\nlogpath = '$DIR/auth.log'\n");
    guard.order(&["reload"]);
    kit::until("its ports are watched", || {
        netns.exec("nft list chain inet asterguard wire_output").contains("served_ports")
    });
    let ports = netns.exec("nft list set inet asterguard served_ports");
    assert!(ports.contains("elements = { 22 }"), "{ports}");
}

#[test]
fn what_is_seen_counts_from_when_the_status_says_so() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, SSHD);
    guard.write("auth.log", "");
    kit::until("its log is followed", || guard.count("auth.log: following") == 1);
    guard.listens();
    // No connection of theirs was answered.
    let line = |host: &str| {
        format!("Nov 22 10:00:00 pbx sshd[9]: Failed password for root from {host} port 40000 ssh2")
    };
    let forged: Vec<_> = [OFFICE, VICTIM].map(line).into_iter().cycle().take(40).collect();
    guard.append("auth.log", &forged);
    kit::until("they count for nothing", || guard.status()["wire"]["unmatched"] == 40);
    assert_eq!(guard.count("Found"), 0, "{:?}", guard.log_lines());
}

/// As the login of `FreePBX` does: the line is written before the answer is sent, and a line feed in the name becomes a blank.
const WEB_LOGIN: &str = r"
import http.server, sys, time, urllib.parse
class Login(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b'login')
    def do_POST(self):
        form = self.rfile.read(int(self.headers['Content-Length'])).decode()
        form = urllib.parse.parse_qs(form)
        name, word = form['username'][0], form['password'][0]
        what = 'successful' if word == 'secret' else 'failure'
        text = f'Authentication {what} for {name} from {self.client_address[0]}'
        text = text.replace('\r\n', ' ').replace('\r', ' ').replace('\n', ' ')
        date = time.strftime('%Y-%b-%d %H:%M:%S')
        with open(sys.argv[1], 'a') as log:
            log.write(f'[{date}] [freepbx_security.NOTICE]: {text} [] []\n')
        self.answer(what.encode())
    def answer(self, text):
        self.send_response(200)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('', 80), Login).serve_forever()
";

/// Sends a request from a host; `None`: there is no answer.
fn web(hosts: &Netns, from: &str, request: &str) -> Option<String> {
    hosts.enter();
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&stream, &SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let mut stream = TcpStream::from(stream);
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    connect(&stream, &SocketAddr::new(PBX_V4.parse().unwrap(), 80)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn login(hosts: &Netns, from: &str, name: &str, word: &str) -> Option<String> {
    let form = format!("username={name}&password={word}");
    let length = form.len();
    web(hosts, from, &format!("POST /admin HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{form}"))
}

#[test]
fn a_web_login_is_guarded_as_freepbx_logs_it() {
    if !kit::usable() {
        return;
    }
    let (pbx, hosts) = kit::wired(&[PBX_V4], &[EVE, MALLORY, OFFICE, VICTIM, LATE]);
    let config =
        "loglevel = 'info'\n[jail.freepbx-web]\nenabled = true\nlogpath = ['$DIR/security.log']\n";
    let home = Home::new(config);
    home.write("security.log", "");
    home.write("login.py", WEB_LOGIN);
    let mut server = pbx.command(kit::python());
    let _server = Group::start(server.arg(home.path("login.py")).arg(home.path("security.log")));
    let run = home.run(pbx.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.listens();
    kit::until("the web server answers", || web(&hosts, EVE, "GET / HTTP/1.0\r\n\r\n").is_some());

    for _ in 0..4 {
        assert!(login(&hosts, EVE, "admin", "wrong").is_some());
    }
    // The last one bans it, perhaps before its answer has arrived.
    login(&hosts, EVE, "admin", "wrong");
    guard.says(&format!("[freepbx-web] Ban {EVE}"));
    kit::until("it is shut out", || web(&hosts, EVE, "GET / HTTP/1.0\r\n\r\n").is_none());

    // An office where somebody is logged in, and another mistypes.
    assert!(login(&hosts, OFFICE, "1001", "secret").is_some());
    for _ in 0..8 {
        assert!(login(&hosts, OFFICE, "1002", "wrong").is_some());
    }
    kit::until("they are excused", || guard.jail("freepbx-web")["excused"].as_u64() == Some(8));

    // A name with a line and another host in it; that host looks at pages meanwhile.
    let name = format!(
        "x from {VICTIM} [] []%0A[2026-Nov-22 10:00:00] [freepbx_security.NOTICE]: \
         Authentication failure for y from {VICTIM} [] []"
    );
    for attempt in 1..=5 {
        assert!(web(&hosts, VICTIM, "GET / HTTP/1.0\r\n\r\n").is_some());
        assert!(login(&hosts, MALLORY, &name, "wrong").is_some() || attempt == 5);
    }
    guard.says(&format!("[freepbx-web] Ban {MALLORY}"));
    // What somebody else writes into the log, about a host that was never here.
    let line = format!(
        "[2026-Nov-22 10:00:00] [freepbx_security.NOTICE]: Authentication failure for admin from {LATE} [] []"
    );
    guard.append("security.log", &vec![line; 9]);
    kit::until_done("it counts for nothing", || {
        let wire = &guard.status()["wire"];
        let is_over = wire["unmatched"].as_u64().is_some_and(|lines| lines >= 9);
        is_over.then_some(()).ok_or_else(|| format!("{wire}\n{}", guard.log_lines().join("\n")))
    });
    for innocent in [OFFICE, VICTIM, LATE] {
        assert!(web(&hosts, innocent, "GET / HTTP/1.0\r\n\r\n").is_some(), "{innocent}");
    }
    assert_eq!(guard.order(&["banned"]).lines().count(), 3, "{}", guard.order(&["banned"]));
}
