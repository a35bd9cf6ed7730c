//! A small network for the tests that need a real kernel: namespaces, peers, probes.

// Each test target compiles its own copy and uses its own part.
#![allow(dead_code)]

pub mod guard;
pub mod kernel;
pub mod programs;
pub mod random;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use asterguard::config::{
    BanTerms, Config, Counting, GeoIp, Hearsay, Jail, KnownGood, ListConfig, LogLevel, Mode,
    NewNetworks, Places, SipMonitor,
};
use asterguard::model::event::Class;
use asterguard::model::scope::{Blocktype, Ports};
use asterguard::model::time::{BanDuration, BanTime, Time};
use asterguard::sys::program::Program;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Why tests with network namespaces cannot run here, if they cannot.
fn obstacle() -> Option<String> {
    programs::missing().or_else(|| {
        let error = Netns::try_new().err()?;
        Some(format!("cannot make a network namespace (root is needed): {error}"))
    })
}

/// Makes `path` a program that is this script. A process of its own writes it: nothing can be executed
/// that somebody has open for writing, and what another test starts has all of ours open for a moment.
pub fn script(path: &Path, text: &str) {
    let mut install = Command::new("install");
    let install = install.args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut child = install.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{}", path.display());
}

/// Whether tests with network namespaces can run here. Says so if not; in continuous integration
/// (`CI=true`), where they must be able to, panics.
pub fn usable() -> bool {
    let obstacle = obstacle();
    if let Some(why) = &obstacle {
        programs::skip(why);
    }
    obstacle.is_none()
}

/// The system's own Python starts faster than a wrapper on the PATH.
pub fn python() -> &'static str {
    let own = "/usr/bin/python3";
    if std::path::Path::new(own).exists() { own } else { "python3" }
}

/// The present instant.
pub fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Time::from_millis(since_epoch.as_millis().try_into().unwrap())
}

/// Waits until `condition` holds, for at most 20 seconds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_done(what, || condition().then_some(()).ok_or_else(String::new));
}

/// The same, for a condition that tells how things are instead.
pub fn until_done(what: &str, mut condition: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while let Err(instead) = condition() {
        let patient = start.elapsed() < Duration::from_secs(20);
        assert!(patient, "waited in vain until {what} {instead}");
        sleep(Duration::from_millis(20));
    }
}

/// A network namespace with loopback up; gone when dropped.
pub struct Netns {
    name: String,
}

impl Netns {
    pub fn new() -> Self {
        Self::try_new().unwrap()
    }

    fn try_new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ag{}-{count}", std::process::id());
        let output = Command::new("ip").args(["netns", "add", &name]).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let netns = Self { name };
        netns.exec("ip link set lo up");
        Ok(netns)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a line of shell inside, which may fail, but not because a program is missing.
    pub fn try_exec(&self, line: &str) -> Output {
        let output = self.command("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
        // What a shell says of a program that it cannot find or execute.
        let missing = matches!(output.status.code(), Some(126 | 127));
        assert!(!missing, "{line}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a line of shell inside, which has to succeed; returns what it printed.
    pub fn exec(&self, line: &str) -> String {
        let output = self.try_exec(line);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// From now on, sockets that this thread opens are inside.
    pub fn enter(&self) {
        let namespace = fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// `nft` inside.
    pub fn nft(&self) -> Program {
        Program::with_argv(["ip", "netns", "exec", &self.name, "nft"])
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// A Python process that is told something line by line, and answers so; killed when dropped.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    fn start(netns: &Netns, args: &[&str]) -> Self {
        Self::run(netns, include_str!("peer.py"), args)
    }

    /// Runs a script, which says that it is ready.
    pub fn run(netns: &Netns, script: &str, args: &[&str]) -> Self {
        let mut child = netns
            .command(python())
            .args(["-c", script])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, stdin, stdout };
        assert_eq!(peer.hear(), "ready");
        peer
    }

    /// Says something, and waits for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").unwrap();
        self.hear()
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A socket in the other namespace got it.
    Arrived,
    /// It was answered with a TCP reset or ICMP port unreachable.
    Refused,
    /// Nothing was heard of it.
    Dropped,
}

/// The SIP port that the PBX listens on.
pub const SIP: u16 = 5060;
/// Another port that the PBX listens on.
pub const WEB: u16 = 8088;

pub const PBX_V4: &str = "192.0.2.1";
pub const PBX_V6: &str = "2001:db8:0:ff::1";
const PBX_MAC: &str = "02:00:00:00:00:01";
const OTHERS_MAC: &str = "02:00:00:00:00:02";

/// Attackers; two of those with IPv6 share a /64.
pub const EVE: &str = "192.0.2.66";
pub const MALLORY: &str = "192.0.2.67";
pub const EVE_V6: &str = "2001:db8:0:a::66";
pub const EVE_V6_TOO: &str = "2001:db8:0:a:ffff::67";
pub const MALLORY_V6: &str = "2001:db8:0:b::67";
/// Never ban this one: it carries the markers.
const REFEREE: &str = "192.0.2.250";

/// Two namespaces on one wire, each with these addresses. Every one is known to the other side beforehand,
/// so that no packet waits for neighbour discovery.
pub fn wired(pbx: &[&str], others: &[&str]) -> (Netns, Netns) {
    let (inside, outside) = (Netns::new(), Netns::new());
    inside.exec(&format!(
        "ip link add eth0 address {PBX_MAC} type veth peer name eth0 address {OTHERS_MAC} netns {}",
        outside.name()
    ));
    for (netns, own, other, other_mac) in
        [(&inside, pbx, others, OTHERS_MAC), (&outside, others, pbx, PBX_MAC)]
    {
        let mut script = vec!["set -e; ip link set eth0 up".to_owned()];
        for address in own {
            // All of 2001:db8::/32 is on the wire, and no network that the PBX is in itself.
            let bits = if address.contains(':') { "128 nodad" } else { "24" };
            script.push(format!("ip address add {address}/{bits} dev eth0"));
        }
        script.push("ip route add 2001:db8::/32 dev eth0".to_owned());
        for address in other {
            script.push(format!("ip neighbour add {address} lladdr {other_mac} dev eth0"));
        }
        netns.exec(&script.join("\n"));
    }
    until("both ends of the wire are up", || {
        [&inside, &outside].iter().all(|n| n.exec("cat /sys/class/net/eth0/operstate") == "up\n")
    });
    (inside, outside)
}

/// A PBX and a host with the addresses of several attackers, on one wire.
pub struct Lab {
    sender: Peer,
    _listener: Peer,
    pub attacker: Netns,
    pub pbx: Netns,
}

impl Lab {
    pub fn new() -> Self {
        Self::with_ports(&[SIP, WEB])
    }

    /// The same, with listeners at these ports of the PBX.
    pub fn with_ports(ports: &[u16]) -> Self {
        let hosts = [EVE, MALLORY, REFEREE, EVE_V6, EVE_V6_TOO, MALLORY_V6];
        let (pbx, attacker) = wired(&[PBX_V4, PBX_V6], &hosts);
        let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let args: Vec<_> = ["listen"].into_iter().chain(ports.iter().map(String::as_str)).collect();
        let listener = Peer::start(&pbx, &args);
        let sender = Peer::start(&attacker, &["attack", REFEREE, PBX_V4]);
        Self { sender, _listener: listener, attacker, pbx }
    }

    /// Sends a datagram to the PBX.
    pub fn udp(&mut self, from: &str, port: u16) -> Fate {
        self.udp_of(from, 0, port)
    }

    /// Does so from this port of the sender; 0: any.
    pub fn udp_of(&mut self, from: &str, own: u16, port: u16) -> Fate {
        self.probe("udp", from, own, port)
    }

    /// Opens a connection to the PBX.
    pub fn tcp(&mut self, from: &str, port: u16) -> Fate {
        self.tcp_of(from, 0, port)
    }

    /// Does so from this port of the sender; 0: any.
    pub fn tcp_of(&mut self, from: &str, own: u16, port: u16) -> Fate {
        self.probe("tcp", from, own, port)
    }

    /// Sends an echo request to the PBX.
    pub fn ping(&mut self, from: &str) -> Fate {
        self.probe("ping", from, 0, 0)
    }

    fn probe(&mut self, kind: &str, from: &str, own: u16, port: u16) -> Fate {
        let source: IpAddr = from.parse().unwrap();
        let to = if source.is_ipv6() { PBX_V6 } else { PBX_V4 };
        writeln!(self.sender.stdin, "{kind} {from} {own} {to} {port}").unwrap();
        match self.sender.hear().as_str() {
            "arrived" => Fate::Arrived,
            "refused" => Fate::Refused,
            "dropped" => Fate::Dropped,
            other => panic!("the sender says {other:?}"),
        }
    }
}

/// A jail that bans like this.
pub fn jail(name: &str, port: &str, blocktype: Blocktype, ipv6prefix: u8) -> Jail {
    let bantime = BanTime::fixed(BanDuration::For(Duration::from_secs(600)));
    Jail {
        name: name.to_owned(),
        mode: Mode::Enforce,
        own: asterguard::config::OwnRules::default(),
        filter: vec![glob::Pattern::new("*").unwrap()],
        class: Class::ALL.map(|(class, _)| class).to_vec(),
        logpath: Vec::new(),
        count: Counting::Attempts,
        maxretry: 3,
        findtime: Duration::from_secs(600),
        bantime,
        port: port.to_owned(),
        blocktype,
        ignoreip: Vec::new(),
        ignorenames: Vec::new(),
        ipv6prefix,
        unverified: BanTerms { bantime, port: "sip".to_owned() },
        hearsay: Hearsay::Ignore,
        renew: false,
    }
}

/// A configuration with these jails, the port lists `all`, `sip` and `web`, and IPv6 by /64.
pub fn config(jails: Vec<Jail>) -> Config {
    Config {
        asterisk: asterguard::model::exchange::AsteriskPorts::default(),
        loglevel: LogLevel::Notice,
        trunks: false,
        asteriskconf: "/etc/asterisk".into(),
        ignorenames: Vec::new(),
        ignoreip: ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).to_vec(),
        ipv6prefix: 64,
        knowngood: KnownGood {
            enabled: true,
            time: Duration::from_secs(86400),
            maxunknown: 5,
            findtime: Duration::from_secs(600),
            maxrate: 30,
            maxtries: 50,
        },
        newnetworks: NewNetworks { enabled: true, learn: Duration::from_secs(7 * 86_400) },
        maxunverified: 100,
        tag: vec!["asterisk".to_owned()],
        logtimezone: None,
        dateformat: None,
        ports: vec![
            ("all".to_owned(), Ports::All),
            ("sip".to_owned(), Ports::Ranges(vec![(SIP, SIP + 1)])),
            ("web".to_owned(), Ports::Ranges(vec![(80, 80), (WEB, WEB + 1)])),
        ],
        lists: ListConfig::default(),
        wire: SipMonitor { enabled: false, ..SipMonitor::default() },
        ami: None,
        geoip: GeoIp::default(),
        notify: Vec::new(),
        fleet: None,
        jails,
        places: Places::default(),
    }
}
