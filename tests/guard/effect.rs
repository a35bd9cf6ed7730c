//! Bans without effect: said, and widened where they are proven.

use std::time::Instant;

use serde_json::json;

use crate::doctor::{findings, verdicts};
use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PATIENCE, PROGRAM};
use crate::kit::{self, EVE, EVE_V6, Lab, MALLORY, MALLORY_V6, Netns, PBX_V4, PBX_V6, Peer, SIP};
use crate::{CONFIG, addresses, odd_packet, wrong_password};

/// A port at which Asterisk listens and that its configuration does not tell of.
const REALTIME: u16 = 5070;
/// One that is mapped to SIP's.
const MAPPED: u16 = 15_060;
/// A web server's.
const HTTPS: u16 = 443;

/// Sockets of Asterisk's user at UDP ports, and what it says to a host all the time.
const ASTERISK: &str = r#"
import os, socket, sys, time
kind, host, *ports = sys.argv[1:]
if kind == "asterisk":
    os.setgid(7777)
    os.setuid(7777)
sockets = []
for port in ports:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", int(port)))
    sockets.append(s)
print("ready", flush=True)
while True:
    # An INVITE's refusal, again and again.
    sockets[0].sendto(b"SIP/2.0 401 Unauthorized\r\n\r\n", ("::ffff:" + host, 5060))
    time.sleep(0.1)
"#;

/// A host that sends datagrams from one of its addresses to a port, ten a second each; told to do so by lines.
const SENDER: &str = r#"
import select, socket, sys, time
print("ready", flush=True)
flows = []
while True:
    if select.select([sys.stdin], [], [], 0.1)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        host, own, to, port = line.split()
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((host, int(own)))
        flows.append((s, (to, int(port))))
        print("sends", flush=True)
    for s, to in flows:
        try:
            s.sendto(b"REGISTER sip:192.0.2.1 SIP/2.0\r\n\r\n", to)
        except OSError:
            pass
"#;

/// A PBX, hosts, and a guard that reads the configuration of Asterisk at port 5060.
struct Scene {
    lab: Lab,
    guard: Guard,
    senders: Peer,
    _asterisk: [Peer; 2],
}

impl Scene {
    fn new() -> Self {
        // Its own listeners have other ports.
        let lab = Lab::with_ports(&[9999]);
        let run = |kind: &str, ports: &[u16]| {
            let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
            let args: Vec<_> =
                [kind, EVE].into_iter().chain(ports.iter().map(String::as_str)).collect();
            Peer::run(&lab.pbx, ASTERISK, &args)
        };
        let asterisk = [run("asterisk", &[SIP, REALTIME]), run("other", &[HTTPS])];
        let senders = Peer::run(&lab.attacker, SENDER, &[]);
        let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}"));
        home.write(
            "asterisk/pjsip.conf",
            "[u]\ntype = transport\nprotocol = udp\nbind = 0.0.0.0:5060\n",
        );
        home.write("asterisk/rtp.conf", "[general]\nrtpstart = 10000\nrtpend = 20000\n");
        let run = home.run(lab.pbx.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        Self { lab, guard, senders, _asterisk: asterisk }
    }

    /// Has a host send to a port of the PBX from now on, from one of its own or any (0).
    fn send(&mut self, host: &str, own: u16, port: u16) {
        let to = if host.contains(':') { PBX_V6 } else { PBX_V4 };
        assert_eq!(self.senders.ask(&format!("{host} {own} {to} {port}")), "sends");
    }

    /// Bans a host for wrong passwords: proven.
    fn ban(&self, host: &str) {
        self.guard.append("messages", &vec![wrong_password(host); 5]);
        self.guard.says(&format!("[asterisk-guess] Ban {}", network(host)));
    }

    fn check(&self) -> (i32, String) {
        let (code, out, _) = self.guard.ctl(&["status", "--check"]);
        (code, out)
    }

    fn explain(&self, host: &str) -> String {
        let (config, state) = (self.guard.path("asterguard.toml"), self.guard.path("state"));
        let places = ["--config", config.to_str().unwrap(), "--state-dir", state.to_str().unwrap()];
        self.guard.order(&[&["explain", host], &places[..]].concat())
    }
}

/// As a host is banned.
fn network(host: &str) -> String {
    asterguard::model::subject::Subject::of(host.parse().unwrap(), 64).to_string()
}

fn heard(netns: &Netns) -> String {
    netns.exec("nft list set inet asterguard heard_ports")
}

#[test]
fn a_ban_without_effect_is_said_and_a_proven_one_widened() {
    if !kit::usable() {
        return;
    }
    let mut scene = Scene::new();
    assert!(heard(&scene.lab.pbx).contains("elements = { 5070 }"), "{}", heard(&scene.lab.pbx));
    for (host, port) in
        [(EVE, REALTIME), (EVE_V6, REALTIME), (MALLORY, REALTIME), (MALLORY_V6, SIP)]
    {
        scene.send(host, 0, port);
    }
    scene.ban(EVE);
    let begin = Instant::now();
    scene.ban(EVE_V6);
    // What the lines of nobody's answers tell is unverified.
    scene.guard.append("messages", &vec![odd_packet(MALLORY); 10]);
    scene.guard.says(&format!("[asterisk-scan] Ban {MALLORY}"));
    let said = scene
        .guard
        .says(&format!("[asterisk-guess] The ban of {EVE} (sip ports, proven) has no effect: "));
    let took = begin.elapsed();
    eprintln!("said {took:?} after the ban");
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    for words in [
        " packets to port 5070 came through since ",
        "; all ports are closed to it now, for as long. Asterisk listens at port 5070, which these bans do not close: write sip = [\"5060-5061\", 5070] below [ports]",
    ] {
        assert!(said.contains(words), "{said}");
    }
    scene.guard.says(&format!("[asterisk-guess] Ban {EVE} (5 offences, proven, asterisk-sip/"));
    kit::until("all ports are closed", || {
        addresses(&scene.lab.pbx, "ban4") == [EVE] && addresses(&scene.lab.pbx, "ban6").len() == 1
    });
    scene.guard.says(&format!("The ban of {} (sip ports, proven) has no effect", network(EVE_V6)));
    let said = scene.guard.says(&format!(
        "[asterisk-scan] The ban of {MALLORY} (sip ports, unverified) has no effect"
    ));
    assert!(said.contains("; it stays as it is, since its address may be forged. "), "{said}");

    let (code, out) = scene.check();
    assert_eq!(code, 1, "{out}");
    assert!(out.starts_with("DEGRADED (ban-effect): "), "{out}");
    let line = out.lines().find(|line| line.contains("had no effect")).unwrap();
    assert!(line.starts_with("! 3 bans of sip ports had no effect, "), "{line}");
    for words in
        [format!("{EVE} (all ports are closed to it now)"), format!("{MALLORY} (unverified)")]
    {
        assert!(line.contains(&words), "{line}");
    }
    let todo = "write sip = [\"5060-5061\", 5070] below [ports]";
    let line = out.lines().find(|line| line.starts_with("  do: ")).unwrap();
    assert!(line.contains(todo), "{line}");
    let (code, found) = findings(&scene.guard, &scene.lab.pbx);
    assert_eq!((code, verdicts(&found, "ban-effect")), (1, vec!["problem"]), "{found:#?}");
    let found = found.iter().find(|finding| finding["check"] == "ban-effect").unwrap();
    assert!(found["change"].as_str().unwrap().contains(todo), "{found}");
    let status = scene.guard.status();
    let found = status["without_effect"].as_array().unwrap();
    let of = |host: &str| found.iter().find(|ban| ban["host"] == host).unwrap().clone();
    assert_eq!(found.len(), 3, "{status}");
    assert_eq!((&of(EVE)["port"], &of(EVE)["outcome"]), (&json!(5070), &json!("widened")));
    assert_eq!(of(MALLORY)["outcome"], "unverified");
    assert!(of(EVE)["packets"].as_u64().unwrap() >= 2);
    let text = scene.explain(EVE);
    assert!(
        text.contains("  no effect of the ban [asterisk-guess]: ")
            && text.contains("below [ports]"),
        "{text}"
    );
    assert!(!scene.explain(MALLORY_V6).contains("no effect"));
    // The unverified one is never widened, and nothing is said twice.
    let before = of(MALLORY)["packets"].as_u64().unwrap();
    kit::until("its packets go on", || {
        let status = scene.guard.status();
        let found = status["without_effect"].as_array().unwrap().clone();
        let of = found.iter().find(|ban| ban["host"] == MALLORY).unwrap();
        of["packets"].as_u64().unwrap() > before + 20
    });
    assert_eq!(addresses(&scene.lab.pbx, "ban4"), [EVE]);
    assert_eq!(scene.guard.count("has no effect"), 3, "{:#?}", scene.guard.log_lines());

    // A guard that is started again knows the wider bans, and widens nothing.
    let Scene { lab, guard, mut senders, _asterisk } = scene;
    let home = guard.stop();
    let run = home.run(lab.pbx.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    guard.says(&format!(
        "[asterisk-scan] The ban of {MALLORY} (sip ports, unverified) has no effect"
    ));
    assert_eq!(guard.jail("asterisk-guess")["banned"].as_array().unwrap().len(), 4);
    assert_eq!(guard.count("has no effect"), 1, "{:#?}", guard.log_lines());

    // The port is written where it belongs: the ban holds.
    guard.write(
        "asterguard.toml",
        &format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}")
            .replace("\"5060-5061\"", "\"5060-5061\", 5070"),
    );
    guard.order(&["reload"]);
    assert_eq!(guard.ctl(&["status", "--check"]).0, 0, "{}", guard.order(&["status"]));
    assert_eq!(verdicts(&findings(&guard, &lab.pbx).1, "ban-effect"), ["ok"]);
    assert_eq!(senders.ask(&format!("{MALLORY} 0 {PBX_V4} {SIP}")), "sends");
}

#[test]
fn a_mapped_port_is_found() {
    if !kit::usable() {
        return;
    }
    let mut scene = Scene::new();
    scene.lab.pbx.exec(&format!(
        "nft 'table ip nat {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                udp dport {MAPPED} redirect to :{SIP}
            }}
        }}'"
    ));
    scene.send(EVE, 0, MAPPED);
    scene.ban(EVE);
    let said = scene.guard.says(&format!("The ban of {EVE} (sip ports, proven) has no effect: "));
    for words in [
        "to port 5060 came through",
        "but another port leads there (Docker, DNAT): find it (docker ps; nft list ruleset | grep dnat) and add it to `sip` below [ports]",
    ] {
        assert!(said.contains(words), "{said}");
    }
    kit::until("all ports are closed", || addresses(&scene.lab.pbx, "ban4") == [EVE]);
    assert_eq!(scene.check().0, 1);
}

#[test]
fn what_no_ban_should_hold_is_no_alarm() {
    if !kit::usable() {
        return;
    }
    let mut scene = Scene::new();
    // A banned host that gets our refusals again and again, and that visits the web server; its packets to SIP's
    // ports are dropped.
    for port in [SIP, HTTPS] {
        scene.send(EVE, 0, port);
    }
    // One port of a host is banned; the host goes on from another.
    scene.send(MALLORY, 40_000, SIP);
    scene.send(MALLORY, 40_001, REALTIME);
    scene.ban(EVE);
    scene.guard.order(&["ban", &format!("{MALLORY}:40000"), "--jail", "asterisk-guess"]);
    // While dropping is paused, all of it comes through.
    scene.guard.order(&["ban", MALLORY_V6, "--jail", "asterisk-guess"]);
    scene.send(MALLORY_V6, 0, SIP);
    scene.guard.order(&["pause"]);
    assert_eq!(scene.lab.udp(EVE, 9999), Arrived);
    let begin = Instant::now();
    kit::until("bans are old enough and there were looks", || begin.elapsed() > PATIENCE / 2);
    scene.guard.order(&["resume"]);
    // Somebody of whom it is said, by the same looks.
    scene.send(EVE_V6, 0, REALTIME);
    scene.ban(EVE_V6);
    scene.guard.says(&format!("The ban of {} (sip ports, proven) has no effect", network(EVE_V6)));
    assert_eq!(scene.guard.count("has no effect"), 1, "{:#?}", scene.guard.log_lines());
    assert_eq!(scene.guard.status()["without_effect"].as_array().unwrap().len(), 1);
    assert_eq!(addresses(&scene.lab.pbx, "ban4"), [""; 0]);
    assert_ne!(scene.lab.udp(EVE, 9999), Dropped);
}
