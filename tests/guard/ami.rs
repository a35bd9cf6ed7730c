//! The manager interface as a source: the real helper beside a server that plays Asterisk, and the guard behind it.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::elements;
use crate::kit::guard::{Guard, Home, PATIENCE, PROGRAM, told};
use crate::kit::{self, Netns};

const EVE: &str = "203.0.113.9";

/// A jail of text alone: what the PBX answers is not looked at.
const GUARD: &str = r#"
[wire]
enabled = false

[default]
logpath = ["$DIR/messages", "ami:"]

[jail.asterisk-guess]
maxretry = 5
findtime = "10m"
bantime = "10m"
filter = "asterisk-security"
"#;

/// What Asterisk reports of a wrong password over TLS.
fn event(host: &str, call: usize) -> String {
    format!(
        "Event: ChallengeResponseFailed\r\nPrivilege: security,all\r\nEventTV: 2026-11-22T10:00:00.659+0100\r\nSeverity: Error\r\nService: PJSIP\r\nEventVersion: 1\r\nAccountID: 1000\r\nSessionID: call-{call}\r\nLocalAddress: IPV4/TLS/192.0.2.10/5061\r\nRemoteAddress: IPV4/TLS/{host}/40000\r\nChallenge: 1569024763/510a77c1\r\nResponse: 8e18d5a3\r\nExpectedResponse: \r\n\r\n"
    )
}

/// The line of Asterisk's log for it.
fn line(host: &str, call: usize) -> String {
    format!(
        "[2026-11-22T10:00:00.659+0100] SECURITY[0] res_security_log.c: SecurityEvent=\"ChallengeResponseFailed\",EventTV=\"2026-11-22T10:00:00.659+0100\",Severity=\"Error\",Service=\"PJSIP\",EventVersion=\"1\",AccountID=\"1000\",SessionID=\"call-{call}\",LocalAddress=\"IPV4/TLS/192.0.2.10/5061\",RemoteAddress=\"IPV4/TLS/{host}/40000\",Challenge=\"1569024763/510a77c1\",Response=\"8e18d5a3\",ExpectedResponse=\"\""
    )
}

/// A server at a port of this machine.
struct Server(TcpListener);

impl Server {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// A home with a configuration that names it, and a secret.
    fn home(&self, more: &str) -> Home {
        let port = self.0.local_addr().unwrap().port();
        let home = Home::new(&format!(
            "[ami]\nport = {port}\nsecretfile = '$DIR/secret'\ncafile = '$DIR/ami.crt'\n{more}"
        ));
        home.write("secret", "s3cret\n");
        fs::set_permissions(home.path("secret"), Permissions::from_mode(0o640)).unwrap();
        home
    }

    fn accept(&self) -> Session<TcpStream> {
        self.0.set_nonblocking(true).unwrap();
        let mut accepted = None;
        kit::until("it connects", || {
            accepted = self.0.accept().ok();
            accepted.is_some()
        });
        let (stream, _) = accepted.unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Session(stream)
    }

    /// By TLS, with one of the certificates in `tests/data/ami`.
    fn accept_tls(&self, name: &str) -> Session<StreamOwned<ServerConnection, TcpStream>> {
        let Session(stream) = self.accept();
        let file =
            |end: &str| format!("{}/tests/data/ami/{name}.{end}", env!("CARGO_MANIFEST_DIR"));
        let certificate = CertificateDer::from_pem_file(file("crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let server = ServerConnection::new(Arc::new(config)).unwrap();
        Session(StreamOwned::new(server, stream))
    }
}

/// A connection, as Asterisk has it.
struct Session<S>(S);

impl<S: Read + Write> Session<S> {
    fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
        self.0.flush().unwrap();
    }

    /// The next action.
    fn hear(&mut self) -> String {
        let (mut action, mut byte) = (Vec::new(), [0]);
        while !action.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            action.push(byte[0]);
        }
        String::from_utf8(action).unwrap()
    }

    /// Greets, and lets somebody in; what he said.
    fn let_in(&mut self) -> String {
        self.say("Asterisk Call Manager/11.0.0\r\n");
        let mut said = self.hear();
        if said.starts_with("Action: Challenge") {
            self.say("Response: Success\r\nChallenge: 126484967\r\n\r\n");
            said = self.hear();
        }
        self.say("Response: Success\r\nMessage: Authentication accepted\r\n\r\n");
        said
    }
}

/// The helper, and the guard's end of its socket.
struct Helper {
    home: Home,
    child: Child,
    records: Receiver<String>,
    socket: UnixStream,
}

impl Helper {
    fn start(home: Home) -> Self {
        let mut helper = Self::start_unread(home);
        let (told, records) = channel();
        let reader = BufReader::new(helper.socket.try_clone().unwrap());
        thread::spawn(move || {
            reader.lines().map_while(Result::ok).try_for_each(|record| told.send(record))
        });
        helper.records = records;
        helper
    }

    /// The same, and nobody reads what it says.
    fn start_unread(home: Home) -> Self {
        let (socket, other) = UnixStream::pair().unwrap();
        let child = spawn(&home, other);
        (&socket).write_all(b"{\"select\":[],\"after\":null}\n").unwrap();
        Self { home, child, records: channel().1, socket }
    }

    fn next(&self) -> String {
        self.records.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until it says that events come.
    fn follows(&self) {
        assert_eq!(self.next(), "S");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(home: &Home, socket: UnixStream) -> Child {
    let output: OwnedFd = socket.try_clone().unwrap().into();
    Command::new(PROGRAM)
        .args(["ami-source", "--config"])
        .arg(home.path("asterguard.toml"))
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::from(output))
        .spawn()
        .unwrap()
}

#[test]
fn events_come_as_lines_wherever_they_are_cut() {
    let server = Server::new();
    let helper = Helper::start(server.home(""));
    let mut session = server.accept();
    let login = session.let_in();
    assert_eq!(
        login,
        "Action: Login\r\nUsername: asterguard\r\nEvents: security\r\nAuthType: MD5\r\nKey: e41cdf43b37f8c19fd3311729372fe3f\r\n\r\n"
    );
    helper.follows();
    for byte in event(EVE, 1).chars() {
        session.say(&byte.to_string());
    }
    assert_eq!(helper.next(), format!("L{}", line(EVE, 1)));
}

#[test]
fn a_refused_login_is_said_with_what_to_do() {
    let server = Server::new();
    let helper = Helper::start(server.home("user = 'guard'"));
    let mut session = server.accept();
    session.say("Asterisk Call Manager/5.0.5\r\n");
    session.hear();
    session.say("Response: Success\r\nChallenge: 1\r\n\r\n");
    session.hear();
    session.say("Response: Error\r\nMessage: Authentication failed\r\n\r\n");
    let said = helper.next();
    assert!(said.contains("Asterisk refused the login (Authentication failed); do: "), "{said}");
    assert!(said.contains("user guard") && said.contains("/secret;"), "{said}");
    // It is tried again, and works once the password is right.
    let mut session = server.accept();
    session.let_in();
    helper.follows();
}

#[test]
fn a_connection_that_drops_within_an_event_is_made_again() {
    let server = Server::new();
    let helper = Helper::start(server.home(""));
    let mut session = server.accept();
    session.let_in();
    helper.follows();
    let whole = event(EVE, 1);
    session.say(&whole[..whole.len() - 2]);
    drop(session);
    let said = helper.next();
    assert!(said.starts_with('S') && said.contains("has closed the connection; do: "), "{said}");
    let mut session = server.accept();
    session.let_in();
    session.say(&event(EVE, 2));
    let gap = helper.next();
    assert!(gap.starts_with("Gno events of AMI since "), "{gap}");
    helper.follows();
    assert_eq!(helper.next(), format!("L{}", line(EVE, 2)), "half an event is none");
}

#[test]
fn over_tls_only_asterisk_gets_the_secret() {
    let server = Server::new();
    for (shown, known, is_right) in
        [("own", "own", true), ("signed", "authority", true), ("own", "authority", false)]
    {
        let home = server.home("tls = true");
        let known = format!("{}/tests/data/ami/{known}.crt", env!("CARGO_MANIFEST_DIR"));
        fs::copy(known, home.path("ami.crt")).unwrap();
        let helper = Helper::start(home);
        let mut session = server.accept_tls(shown);
        if is_right {
            let login = session.let_in();
            assert!(login.ends_with("Events: security\r\nSecret: s3cret\r\n\r\n"), "{login}");
            helper.follows();
            session.say(&event(EVE, 1));
            assert_eq!(helper.next(), format!("L{}", line(EVE, 1)));
        } else {
            let refused = session.0.write_all(b"Asterisk Call Manager/11.0.0\r\n");
            let heard = refused.and_then(|()| session.0.read(&mut [0; 100]));
            assert!(
                heard.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidData),
                "{heard:?}"
            );
            let said = helper.next();
            assert!(said.starts_with("Sno TLS with 127.0.0.1:"), "{said}");
            assert!(said.contains("invalid peer certificate"), "{said}");
            assert!(said.contains("ami.crt holds Asterisk's certificate"), "{said}");
        }
    }
}

#[test]
fn asterisk_never_waits_for_the_guard() {
    const EVENTS: usize = 60_000;
    let server = Server::new();
    let helper = Helper::start_unread(server.home(""));
    let mut session = server.accept();
    session.let_in();
    // More than the helper keeps, and nobody takes any of it.
    let block: String = (0..100).map(|call| event(EVE, call)).collect();
    let begin = Instant::now();
    for _ in 0..EVENTS / 100 {
        session.say(&block);
    }
    session.say("Action: none\r\n\r\n");
    let took = begin.elapsed();
    // Asterisk ends a session that does not read for 100 ms; half of the time is the debug build's.
    assert!(took < PATIENCE, "{EVENTS} events took {took:?}");
    println!("{EVENTS} events in {took:?}");
    helper.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut lines, mut dropped) = (0, 0);
    let mut records = BufReader::new(&helper.socket).lines();
    while lines + dropped < EVENTS {
        let record = records.next().unwrap().unwrap();
        match record.as_bytes()[0] {
            b'L' => lines += 1,
            b'G' => {
                let (number, _) = record[1..].split_once(" lines were dropped").unwrap();
                dropped += number.parse::<usize>().unwrap();
            }
            _ => {}
        }
    }
    assert!(lines > 10_000 && dropped > 10_000, "{lines} {dropped}");
}

#[test]
fn a_user_that_gets_no_events_is_said() {
    let server = Server::new();
    let helper = Helper::start(server.home(""));
    let mut session = server.accept();
    session.let_in();
    helper.follows();
    // Asterisk reports each login, that of the helper too.
    let said = helper.next();
    assert!(
        said.contains("tells no security events; do: write read = security into [asterguard]"),
        "{said}"
    );
    session.say(&event(EVE, 1));
    assert_eq!([helper.next(), helper.next()].concat(), format!("L{}S", line(EVE, 1)));
}

#[test]
fn a_server_that_never_answers_is_left() {
    let server = Server::new();
    let helper = Helper::start(server.home(""));
    let _mute = server.accept();
    let said = helper.next();
    assert!(said.contains("Asterisk does not answer: it sends no greeting; do: "), "{said}");
    let mut session = server.accept();
    session.let_in();
    helper.follows();
}

#[test]
fn what_is_in_the_way_of_a_login_is_said() {
    let server = Server::new();
    let home = server.home("");
    fs::set_permissions(home.path("secret"), Permissions::from_mode(0o644)).unwrap();
    let secret = home.path("secret").display().to_string();
    let helper = Helper::start(home);
    let said = helper.next();
    assert_eq!(
        said,
        format!("Sothers may read or change {secret} (mode 0644); do: chmod 640 {secret}")
    );
    fs::set_permissions(helper.home.path("secret"), Permissions::from_mode(0o640)).unwrap();
    let mut session = server.accept();
    session.let_in();
    helper.follows();

    let said = |config: &str| {
        let home = Home::new(config);
        home.write("secret", "s3cret");
        fs::set_permissions(home.path("secret"), Permissions::from_mode(0o600)).unwrap();
        Helper::start(home).next()
    };
    let closed = said("[ami]\nport = 1\nsecretfile = '$DIR/secret'\n");
    assert!(closed.contains("no connection to 127.0.0.1:1: Connection refused"), "{closed}");
    let wrong = said("[ami]\nsecret = 'x'\n");
    assert!(wrong.contains("no secret may stand in this file; do: asterguard check"), "{wrong}");
    let none = said("loglevel = 'info'\n");
    assert!(none.starts_with("S[ami] is not in use; do: "), "{none}");
}

#[test]
fn the_user_for_asterisk_is_printed_with_its_secret() {
    let home = Home::new("[ami]\nuser = 'guard'\nsecretfile = '$DIR/secret'\n");
    let run = |args: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("ami-user").args(args).arg("--config").arg(home.path("asterguard.toml"));
        told(&command.output().unwrap())
    };
    let (code, out, _) = run(&[]);
    assert!(code == 0 && out.contains("\n[guard]\nsecret = SECRET\n"), "{out}");
    assert!(!home.path("secret").exists());
    let (code, out, _) = run(&["--generate"]);
    let secret = home.read("secret");
    assert!(code == 0 && out.contains(&format!("\n[guard]\nsecret = {secret}")), "{out}");
    assert!(secret.len() == 49 && out.ends_with("\nread = security\nwrite =\n"), "{out}");
    let mode = fs::metadata(home.path("secret")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    // What is there stays, and is used.
    let (code, out, _) = run(&["--generate", "--name", "other"]);
    assert!(code == 0 && out.contains(&format!("\n[other]\nsecret = {secret}")), "{out}");
    assert_eq!(home.read("secret"), secret);
    assert_eq!(run(&["--name", "general"]).0, 2);
}

#[test]
fn the_helper_ends_with_the_guard() {
    let server = Server::new();
    let mut helper = Helper::start(server.home(""));
    let mut session = server.accept();
    session.let_in();
    helper.follows();
    helper.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(helper.child.wait().unwrap().success());
}

/// Starts the helper at each connection to a socket, as systemd does.
fn serve(home: &Home) {
    let listener = UnixListener::bind(home.path("ami")).unwrap();
    let config = home.path("asterguard.toml");
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let output: OwnedFd = socket.try_clone().unwrap().into();
            let mut command = Command::new(PROGRAM);
            command.args(["ami-source", "--config"]).arg(&config);
            command.stdin(Stdio::from(OwnedFd::from(socket))).stdout(Stdio::from(output));
            thread::spawn(move || command.status());
        }
    });
}

fn start(netns: &Netns, home: Home) -> Guard {
    serve(&home);
    let mut run = home.run(netns.command(PROGRAM));
    run.arg("--ami").arg(home.path("ami"));
    Guard::start_in(home, run)
}

/// How the guard is with the manager interface.
fn check(guard: &Guard) -> String {
    let status = guard.status();
    let checks = status["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == "ami").unwrap();
    format!("{} {}", check["state"].as_str().unwrap(), check["seen"].as_str().unwrap())
}

#[test]
fn its_events_ban_and_one_attempt_counts_once() {
    if !kit::usable() {
        return;
    }
    let server = Server::new();
    let netns = Netns::new();
    let home = server.home("");
    let ami = home.read("asterguard.toml");
    home.write("asterguard.toml", &format!("{GUARD}\n{ami}"));
    let guard = start(&netns, home);
    let mut session = server.accept();
    session.let_in();
    kit::until("events come", || check(&guard).starts_with("ok"));

    // The same attempts in a log and here.
    for call in 0..4 {
        session.say(&event(EVE, call));
        guard.append("messages", &[line(EVE, call)]);
    }
    let lines = |path: &str| {
        let status = guard.status();
        let files = status["sources"].as_array().unwrap();
        let file =
            files.iter().find(|file| file["path"].as_str().unwrap().ends_with(path)).unwrap();
        file["lines"].as_u64().unwrap()
    };
    kit::until("all are read", || lines("ami:") == 4 && lines("messages") == 4);
    assert_eq!(elements(&netns, "sip4").len(), 0);
    session.say(&event(EVE, 4));
    guard.says(&format!("[asterisk-guess] Ban {EVE}"));
    kit::until("it is in the kernel", || elements(&netns, "sip4").len() == 1);
    drop(session);
    kit::until("it is said", || check(&guard).contains("has closed the connection"));
    assert!(guard.order(&["status"]).contains("ami:"));
    let mut session = server.accept();
    session.let_in();
    guard.says("ami:: lines may be missing: no events of AMI since ");
    kit::until("events come again", || check(&guard).starts_with("ok"));
}
