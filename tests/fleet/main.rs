//! Fleets: the real processes that share bans, over a real server.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking, and wait for things that really happen"
)]

#[path = "../kit/mod.rs"]
mod kit;

mod attacks;
mod bench;
mod commands;
mod guards;
mod lossy;
mod nodes;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use asterguard::config::Fleet;
use asterguard::config::fleet::{FleetServer, PeerKey};
use asterguard::fleet::client::Client;
use asterguard::fleet::keys::PrivateKey;
use asterguard::fleet::layout;
use asterguard::fleet::protocol::{FleetStatus, FromFleet, OwnBan, ToFleet};
use asterguard::fleet::record::{Host, Operation, Order, Position, Record, SignedBan};
use asterguard::fleet::resp::Reply;
use asterguard::model::event::Evidence;
use asterguard::model::time::Time;
use asterguard::sys::json_line::line;

use kit::guard::{Home, PATIENCE, PROGRAM};

/// Whether what these tests run is there. Says so if not.
fn able() -> bool {
    let missing = kit::programs::missing();
    if let Some(why) = &missing {
        kit::programs::skip(why);
    }
    missing.is_none()
}

/// A real server on a port of its own, of this machine only.
struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
    options: Vec<String>,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&["--port", "PORT"])
    }

    /// With these options, where `PORT` is the port.
    fn start_with(options: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let directory = tempfile::tempdir().unwrap();
        let options =
            options.iter().map(|word| word.replace("PORT", &port.to_string())).collect::<Vec<_>>();
        let child = Self::spawn(&options, &directory);
        let server = Self { child, port, directory, options };
        server.await_it();
        server
    }

    fn spawn(options: &[String], directory: &tempfile::TempDir) -> Child {
        // Another one than Redis, if it is named: dev/test-fleet.sh.
        let named = std::env::var_os("ASTERGUARD_FLEET_SERVER");
        Command::new(named.unwrap_or_else(|| "redis-server".into()))
            .args(options)
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir", directory.path().to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn await_it(&self) {
        kit::until("the server listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
    }

    /// Kills it, and starts another one that has nothing.
    fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(&self.options, &self.directory);
        self.await_it();
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Client {
        Client::connect(&Fleet {
            server: FleetServer::read(&self.url()).unwrap(),
            node: "test".parse().unwrap(),
            key: "/k".into(),
            password: None,
            tls_ca: None,
            tls_client: None,
            accept: vec![],
            unverified_needs: 2,
            bantime_max: Duration::from_secs(60),
            max_bans: 1,
            max_rate: 1,
            operator: None,
            peers: BTreeMap::<_, PeerKey>::new(),
        })
        .unwrap()
    }

    fn ask(&self, command: &str) -> Reply {
        let words: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        self.client().ask_one(&words).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of a node, and a connection as the guard has it.
struct Node {
    name: String,
    home: Home,
    child: Child,
    listener: UnixListener,
    stream: UnixStream,
    told: Arc<Mutex<Vec<FromFleet>>>,
    /// The hosts that this guard bans itself.
    own: BTreeSet<String>,
}

/// Keys of nodes, by name.
type Keys = BTreeMap<String, (String, String)>;

fn keys(names: &[&str]) -> Keys {
    let made = |name: &&str| {
        let (key, text) = PrivateKey::generate().unwrap();
        ((*name).to_owned(), (text, key.public().to_string()))
    };
    names.iter().map(made).collect()
}

fn config(name: &str, url: &str, keys: &Keys, more: &str) -> String {
    let mut text = format!(
        "[fleet]\nserver = \"{url}\"\nnode = \"{name}\"\nkey = \"$DIR/node.key\"\n{more}\n[fleet.peers]\n"
    );
    for (peer, (_, public)) in keys.iter().filter(|(peer, _)| *peer != name) {
        writeln!(text, "{peer} = \"{public}\"").unwrap();
    }
    text
}

impl Node {
    fn start(name: &str, server: &Server, keys: &Keys, more: &str) -> Self {
        Self::start_with(name, &config(name, &server.url(), keys, more), keys)
    }

    fn start_with(name: &str, config: &str, keys: &Keys) -> Self {
        let home = Home::new(config);
        home.write("node.key", &keys[name].0);
        fs::set_permissions(home.path("node.key"), Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(home.path("state")).unwrap();
        Self::in_home(name, home)
    }

    fn in_home(name: &str, home: Home) -> Self {
        let listener = UnixListener::bind(home.path("fleet.sock")).unwrap();
        let child = spawn(&home, &listener);
        let (stream, told) = connect(&home);
        let (name, own) = (name.to_owned(), BTreeSet::new());
        let mut node = Self { name, home, child, listener, stream, told, own };
        node.begin();
        node
    }

    /// Kills the process, and starts another one, as systemd does.
    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(&self.home, &self.listener);
        (self.stream, self.told) = connect(&self.home);
        self.begin();
    }

    /// Ends the connection of the guard.
    fn guard_leaves(&self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }

    /// Connects the guard again.
    fn guard_is_back(&mut self) {
        (self.stream, self.told) = connect(&self.home);
        self.begin();
    }

    /// Says all own bans, as the guard does at each connection.
    fn begin(&mut self) {
        let bans = self.own.iter().map(|host| ToFleet::Ban(own(host)));
        let lines: Vec<_> =
            std::iter::once(ToFleet::Begin).chain(bans).chain([ToFleet::Complete]).collect();
        self.say(&lines);
    }

    fn say(&mut self, lines: &[ToFleet]) {
        let bytes: Vec<u8> = lines.iter().flat_map(line).collect();
        self.stream.write_all(&bytes).unwrap();
    }

    fn ban(&mut self, host: &str) {
        self.own.insert(host.to_owned());
        self.say(&[ToFleet::Ban(own(host))]);
    }

    fn lift(&mut self, host: &str) {
        self.own.remove(host);
        self.say(&[ToFleet::Lift { host: host.parse().unwrap(), jail: "asterisk-scan".into() }]);
    }

    /// The bans that the guard was told, and were not lifted: issuer and host.
    fn bans(&self) -> BTreeMap<(String, String), u64> {
        let mut bans = BTreeMap::new();
        for told in self.told.lock().unwrap().iter() {
            match told {
                FromFleet::Ban(ban) => {
                    let key = (ban.issuer.to_string(), ban.host.to_string());
                    bans.insert(key, ban.remaining);
                }
                FromFleet::Lift { issuer, host } => {
                    bans.remove(&(issuer.to_string(), host.to_string()));
                }
                FromFleet::Unban { host, .. } => {
                    bans.retain(|(_, banned), _| *banned != host.to_string());
                }
                FromFleet::Status(_) | FromFleet::Order(_) | FromFleet::Unchanged => {}
            }
        }
        bans
    }

    fn has(&self, issuer: &str, host: &str) -> bool {
        self.bans().contains_key(&(issuer.to_owned(), host.to_owned()))
    }

    fn until_banned(&self, issuer: &str, host: &str) {
        until(&format!("{issuer} bans {host} at {}", self.name), || self.has(issuer, host));
    }

    fn status(&self) -> FleetStatus {
        let told = self.told.lock().unwrap();
        let last = told.iter().rev().find_map(|it| match it {
            FromFleet::Status(status) => Some(FleetStatus::clone(status)),
            _ => None,
        });
        last.unwrap_or_default()
    }

    fn refused(&self, peer: &str, reason: &str) -> u64 {
        let peers = self.status().peers;
        let peer = peers.get(&peer.parse().unwrap());
        peer.and_then(|peer| peer.refused.get(reason).copied()).unwrap_or(0)
    }

    fn until_connected(&self) {
        let start = Instant::now();
        while !self.status().connected {
            assert!(start.elapsed() < 2 * PATIENCE, "{:#?}", self.status());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < 2 * PATIENCE, "not within {:?}: {what}", 2 * PATIENCE);
        thread::sleep(Duration::from_millis(2));
    }
}

fn spawn(home: &Home, listener: &UnixListener) -> Child {
    Command::new(PROGRAM)
        .args(["fleet-node", "--config"])
        .arg(home.path("asterguard.toml"))
        .arg("--state-dir")
        .arg(home.path("state"))
        .envs(home.path("clock.so").exists().then(|| ("LD_PRELOAD", home.path("clock.so"))))
        .env("CLOCK", home.path("clock"))
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
        .spawn()
        .unwrap()
}

fn connect(home: &Home) -> (UnixStream, Arc<Mutex<Vec<FromFleet>>>) {
    let stream = UnixStream::connect(home.path("fleet.sock")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let (into, reader) = (Arc::clone(&told), BufReader::new(stream.try_clone().unwrap()));
    let mut back = stream.try_clone().unwrap();
    thread::spawn(move || {
        for text in reader.lines().map_while(Result::ok) {
            let said = serde_json::from_str(&text).unwrap();
            if let FromFleet::Unban { host, issued, .. } = said {
                // The guard does so, and says it.
                let _ = back.write_all(&line(&ToFleet::Obeyed { host, issued }));
            }
            into.lock().unwrap().push(said);
        }
    });
    (stream, told)
}

fn own(host: &str) -> OwnBan {
    OwnBan {
        host: host.parse().unwrap(),
        jail: "asterisk-scan".to_owned(),
        rule: "asterisk-sip/a".to_owned(),
        evidence: Evidence::Proven,
        since: kit::now(),
        until: Some(kit::now().plus(Duration::from_secs(3600))),
    }
}

/// A node that says whatever it likes, with its true key.
struct Liar {
    name: String,
    key: PrivateKey,
    at: Position,
    client: Client,
}

impl Liar {
    fn new(name: &str, keys: &Keys, server: &Server) -> Self {
        let key = PrivateKey::read(&keys[name].0).unwrap();
        let at = Position { epoch: 10_000_000_000, sequence: 0 };
        Self { name: name.to_owned(), key, at, client: server.client() }
    }

    fn record(&mut self, operation: Operation) -> Vec<u8> {
        self.at.sequence += 1;
        Record::new(self.name.parse().unwrap(), self.at, operation).sign(&self.key)
    }

    fn ban(&mut self, host: &str) -> Vec<u8> {
        self.record(Operation::Ban(signed(host)))
    }

    /// Publishes bytes in the channel of a node.
    fn publish(&mut self, channel: &str, bytes: &[u8]) {
        let channel = layout::channel(&channel.parse().unwrap());
        self.client.ask_one(&[b"PUBLISH", &channel, bytes]).unwrap();
    }
}

fn signed(host: &str) -> SignedBan {
    SignedBan {
        host: Host::of(&host.parse().unwrap()),
        evidence: Evidence::Proven,
        jail: "lies".to_owned(),
        rule: String::new(),
        issued: kit::now().millis(),
        duration: 3_600_000,
    }
}
