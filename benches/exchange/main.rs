//! What exchanges cost: how long from Asterisk's refusal to the kernel's set, by the wire and by HEP; how much
//! of a processor the guard takes at 200 and at 5000 exchanges a second; how much memory the tables take.
//!
//! ```text
//! make bench-exchange
//! ```
//!
//! Needs root: it runs in network namespaces of its own. An exchange is a request and its answer. The PBX
//! is made up, and answers as `chan_pjsip` does; the packets are real, and so is the guard. A run takes a
//! minute and a half; nothing else should be running.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::precedence,
    clippy::unchecked_time_subtraction,
    clippy::unwrap_used,
    reason = "it measures time, shows it, and fails by panicking"
)]

#[path = "../../tests/kit/mod.rs"]
mod kit;
#[path = "../kernel/reader.rs"]
#[allow(dead_code, reason = "the other bench flushes the ruleset, too")]
mod reader;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use asterguard::exchange::{Exchanges, Flow};
use asterguard::model::exchange::{Carrier, SipDriver, Source};
use asterguard::model::time::Time;

use kit::Netns;
use kit::guard::{Guard, Home, PROGRAM};
use reader::Reader;

const CONFIG: &str = r#"
loglevel = "warning"
asteriskconf = "$DIR"
trunks = false
[default]
logpath = ["$DIR/messages"]
knowngood = { enabled = false }
[jail.asterisk-wire]
maxretry = 1
bantime = "1h"
unverified = { bantime = "1h" }
"#;
const PJSIP: &str = "[udp]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5060\n";
const HEP: &str =
    "[general]\nenabled=yes\ncapture_address=127.0.0.1:9060\ncapture_password=secret\n";

const PBX: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ROUTER: &str = "192.0.2.66";
const SIP: u16 = 5060;
const COLLECTOR: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 9060);
/// Phones whose exchanges a second are counted.
const PHONES: u32 = 250;

/// How much is measured: all of it, or, as a test, hardly anything.
struct Amount {
    bans: u32,
    rates: [u32; 2],
    seconds: u64,
    hosts: u32,
}

const MEASURED: Amount = Amount { bans: 300, rates: [200, 5000], seconds: 10, hosts: 100_000 };
const TRIED: Amount = Amount { bans: 3, rates: [20, 50], seconds: 1, hosts: 1000 };

fn host(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0001 + n)
}

fn request(host: Ipv4Addr, call: u32, n: u32, nonce: Option<u32>) -> String {
    let credentials = nonce.map_or(String::new(), |nonce| {
        format!(
            "Authorization: Digest username=\"1000\", realm=\"asterisk\", nonce=\"{nonce}\", uri=\"sip:{PBX}\", response=\"0123456789abcdef0123456789abcdef\", algorithm=MD5\r\n"
        )
    });
    format!(
        "REGISTER sip:{PBX} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{call}-{n};rport\r\nMax-Forwards: 70\r\nFrom: <sip:1000@{PBX}>;tag=t{call}\r\nTo: <sip:1000@{PBX}>\r\nCall-ID: c{call}@{host}\r\nCSeq: {n} REGISTER\r\nContact: <sip:1000@{host}:5060>\r\nUser-Agent: Yealink SIP-T46S 66.86.0.15\r\nExpires: 3600\r\n{credentials}Content-Length: 0\r\n\r\n"
    )
}

fn answer(status: &str, host: Ipv4Addr, call: u32, n: u32, nonce: Option<u32>) -> String {
    let challenge = nonce.map_or(String::new(), |nonce| {
        format!(
            "WWW-Authenticate: Digest realm=\"asterisk\",nonce=\"{nonce}\",opaque=\"3f\",algorithm=MD5,qop=\"auth\"\r\n"
        )
    });
    format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP {host}:5060;rport=5060;received={host};branch=z9hG4bK{call}-{n}\r\nCall-ID: c{call}@{host}\r\nFrom: <sip:1000@{PBX}>;tag=t{call}\r\nTo: <sip:1000@{PBX}>;tag=z9hG4bK{call}-{n}\r\nCSeq: {n} REGISTER\r\n{challenge}Server: Asterisk PBX 22.10.0\r\nContent-Length:  0\r\n\r\n"
    )
}

/// A message as `res_hep_pjsip` tells of it.
fn hep(from: Ipv4Addr, to: Ipv4Addr, text: &str) -> Vec<u8> {
    let mut bytes = b"HEP3\0\0".to_vec();
    let port = SIP.to_be_bytes();
    for (kind, value) in [
        (1_u16, &[2][..]),
        (2, &[17]),
        (3, &from.octets()),
        (4, &to.octets()),
        (7, &port),
        (8, &port),
        (9, &[0; 4]),
        (10, &[0; 4]),
        (11, &[1]),
        (12, &[0, 0, 0, 77]),
        (14, b"secret"),
        (15, text.as_bytes()),
    ] {
        bytes.extend([0, 0]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(u16::try_from(6 + value.len()).unwrap().to_be_bytes());
        bytes.extend(value);
    }
    let length = u16::try_from(bytes.len()).unwrap();
    bytes[4..6].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// A PBX beside a guard, and hosts.
struct Scene {
    guard: Guard,
    source: Source,
    pbx: UdpSocket,
    /// The PBX's, for HEP.
    hep: UdpSocket,
    outside: Netns,
    _inside: Netns,
    calls: u32,
}

impl Scene {
    fn new(source: Source) -> Self {
        let (inside, outside) = kit::wired(&[kit::PBX_V4], &[ROUTER]);
        inside.exec(&format!("ip route add 10.0.0.0/8 via {ROUTER}"));
        outside.exec("ip route add local 10.0.0.0/8 dev lo");
        inside.enter();
        let pbx = UdpSocket::bind((PBX, SIP)).unwrap();
        let hep = UdpSocket::bind("127.0.0.1:0").unwrap();
        let home = Home::new(CONFIG);
        home.write("pjsip.conf", PJSIP);
        if source == Source::Hep {
            home.write("hep.conf", HEP);
        }
        let run = home.run(inside.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        kit::until("it listens", || guard.status()["wire"]["state"] == "listening");
        Self { guard, source, pbx, hep, outside, _inside: inside, calls: 0 }
    }

    /// A socket of a host.
    fn host(&self, n: u32) -> UdpSocket {
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| {
                self.outside.enter();
                let socket = UdpSocket::bind((host(n), SIP)).unwrap();
                socket.connect((PBX, SIP)).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
                socket
            });
            opened.join().unwrap()
        })
    }

    fn ask(&self, from: &UdpSocket, text: &str) {
        let IpAddr::V4(host) = from.local_addr().unwrap().ip() else { panic!() };
        if self.source == Source::Hep {
            self.collect(&hep(host, PBX, text));
            return;
        }
        from.send(text.as_bytes()).unwrap();
        self.pbx.recv(&mut [0; 2048]).unwrap();
    }

    /// Answers; whether it arrived.
    fn answer(&self, to: &UdpSocket, text: &str) -> bool {
        let SocketAddr::V4(host) = to.local_addr().unwrap() else { panic!() };
        if self.source == Source::Hep {
            self.collect(&hep(PBX, *host.ip(), text));
            return true;
        }
        self.pbx.send_to(text.as_bytes(), host).unwrap();
        to.recv(&mut [0; 2048]).is_ok()
    }

    fn collect(&self, datagram: &[u8]) {
        self.hep.send_to(datagram, COLLECTOR).unwrap();
    }

    /// Two exchanges: a challenge, and what it comes to.
    fn register(&mut self, phone: &UdpSocket, of: Ipv4Addr, status: &str) -> Instant {
        self.calls += 1;
        let call = self.calls;
        self.ask(phone, &request(of, call, 1, None));
        self.answer(phone, &answer("401 Unauthorized", of, call, 1, Some(call)));
        self.ask(phone, &request(of, call, 2, Some(call)));
        let nonce = status.starts_with("401").then_some(call + 1_000_000_000);
        let text = answer(status, of, call, 2, nonce);
        let begin = Instant::now();
        self.answer(phone, &text);
        begin
    }

    /// Milliseconds from each of so many refusals to the kernel's set.
    fn bans(&mut self, count: u32) -> Vec<f64> {
        let mut reader = Reader::open().unwrap();
        let bans = (0..count).map(|n| {
            let guesser = self.host(n);
            let begin = self.register(&guesser, host(n), "401 Unauthorized");
            while !reader.has("asterguard", "sip4", host(n)) {
                assert!(begin.elapsed() < Duration::from_secs(20), "{} is not banned", host(n));
                std::thread::yield_now();
            }
            begin.elapsed().as_secs_f64() * 1e3
        });
        bans.collect()
    }

    /// Percent of one processor that the guard takes for so many exchanges a second, and how many there were.
    fn load(&mut self, rate: u32, seconds: u64) -> (f64, f64) {
        let phones: Vec<_> = (0..PHONES).map(|n| (host(n), self.host(n))).collect();
        let (before, begin) = (self.guard.processor(), Instant::now());
        let mut done = 0_u32;
        while begin.elapsed() < Duration::from_secs(seconds) {
            let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u32;
            while done < due {
                let (address, phone) = &phones[(done / 2 % PHONES) as usize];
                self.register(phone, *address, "200 OK");
                done += 2;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let passed = begin.elapsed().as_secs_f64();
        let took = (self.guard.processor() - before).as_secs_f64();
        let numbers = &self.guard.status()["wire"];
        assert_eq!(numbers["lost"], 0, "{numbers}");
        assert!(numbers["logins"].as_u64().unwrap() >= u64::from(done / 2), "{numbers}");
        (100.0 * took / passed, f64::from(done) / passed)
    }
}

/// MiB of memory that the tables take, at 5000 exchanges a second with so many hosts, and how many entries they
/// have then.
fn tables(hosts: u32) -> (f64, usize) {
    let before = resident();
    let mut exchanges = Exchanges::default();
    let (mut out, mut most) = (Vec::new(), 0);
    // Twice as long as anything is remembered.
    for n in 0..5000 * 64 {
        let now = Time::from_millis(1_800_000_000_000 + i64::from(n) / 5);
        let of = host(n % hosts);
        let flow = Flow {
            host: of.into(),
            host_port: 5071,
            port: SIP,
            carrier: if n % 4 == 0 { Carrier::Stream } else { Carrier::Datagram },
            source: Source::Hep,
            driver: Some(SipDriver::Pjsip),
            doubted: false,
        };
        let (asked, answered) =
            (request(of, n, 1, None), answer("401 Unauthorized", of, n, 1, Some(n)));
        for text in [asked, answered] {
            exchanges.message(&flow, text.as_bytes(), now, &mut out);
        }
        if n % 5000 == 0 {
            exchanges.tick(now, &mut out);
            most = most.max(exchanges.known());
        }
        out.clear();
    }
    (resident() - before, most)
}

/// MiB of anonymous memory of this process.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let amount = if std::env::args().any(|arg| arg == "--bench") { MEASURED } else { TRIED };
    if !kit::usable() {
        return;
    }
    // First: what is freed later may be kept for the process.
    let (memory, entries) = tables(amount.hosts);
    println!(
        "tables at 5000 exchanges/s with {} hosts: {memory:.1} MiB, {entries} entries",
        amount.hosts
    );
    for source in [Source::Wire, Source::Hep] {
        let mut bans = Scene::new(source).bans(amount.bans);
        bans.sort_by(f64::total_cmp);
        let at = |part: f64| bans[((bans.len() - 1) as f64 * part) as usize];
        println!(
            "{source:?}: from the refusal to the kernel's set: median {:.2} ms, 99 % {:.2} ms, most {:.2} ms ({} bans)",
            at(0.5),
            at(0.99),
            at(1.0),
            bans.len()
        );
        for rate in amount.rates {
            let (percent, real) = Scene::new(source).load(rate, amount.seconds);
            println!("{source:?}: {real:.0} exchanges/s: {percent:.2} % of one processor");
        }
    }
}
