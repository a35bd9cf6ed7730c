//! The fleet: what the process that reaches its server may have the guard do, and what it may not. A taken-over one is played
//! at the end of the socket; the kernel is real.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PATIENCE, PROGRAM, Told, told};
use crate::kit::{self, EVE, Netns};
use crate::{CONFIG, addresses, elements, login, wrong_password};

/// A fleet of three, of which the guard is `pbx1`.
const FLEET: &str = r#"
[fleet]
server = "redis://127.0.0.1:6379"
node = "pbx1"
key = "$DIR/node.key"
max_bans = 1000
[fleet.peers]
pbx2 = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
pbx3 = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
"#;

const HOST: &str = "198.51.100.9";

/// The process at the other end of the socket.
struct Process {
    stream: UnixStream,
    /// What the guard says.
    said: Receiver<Value>,
}

impl Process {
    fn new(stream: UnixStream) -> Self {
        let (tell, said) = channel();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        thread::spawn(move || {
            for line in lines {
                if tell.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { stream, said }
    }

    fn next(&self) -> Value {
        self.said.recv_timeout(PATIENCE).expect("the guard says nothing")
    }

    /// What the guard says from its beginning on: its own bans, as host and jail.
    fn begins(&self) -> Vec<String> {
        assert_eq!(self.next(), "begin");
        let mut bans = Vec::new();
        loop {
            match self.next() {
                Value::String(word) if word == "complete" => return bans,
                said => bans.push(own(&said)),
            }
        }
    }

    fn says(&mut self, what: &Value) {
        self.stream.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    fn bans(&mut self, issuer: &str, host: &str, seconds: u64) {
        self.says(&ban(issuer, host, seconds));
    }

    fn lifts(&mut self, issuer: &str, host: &str) {
        self.says(&json!({ "lift": { "issuer": issuer, "host": subject(host) } }));
    }

    fn is_well(&mut self) {
        self.says(&json!({ "status": {
            "node": "pbx1", "server": "127.0.0.1:6379", "connected": true, "since": 1, "trouble": null,
            "published": 0, "waiting": 0, "dropped": 0, "refused": { "signature": 7 },
            "peers": { "pbx2": {
                "last": 1, "bans": 1, "accepted": 3, "refused": { "replay": 2 }, "clock": null,
            } },
        } }));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The thread that listens has the stream, too.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A host as the two processes write it.
fn subject(host: &str) -> Value {
    let bits = if host.contains(':') { 128 } else { 32 };
    let net = if host.contains('/') { host.to_owned() } else { format!("{host}/{bits}") };
    json!({ "net": net, "port": null })
}

fn ban(issuer: &str, host: &str, seconds: u64) -> Value {
    json!({ "ban": {
        "issuer": issuer, "host": subject(host), "jail": "asterisk-guess",
        "rule": "asterisk-sip/wrong-password", "evidence": "proven", "remaining": seconds * 1000,
    } })
}

/// An order of the operator: it lifts what had begun then, in milliseconds.
fn unban(host: &str, by: &str, begun: i64) -> Value {
    json!({ "unban": { "host": subject(host), "by": by, "issued": 7, "begun": begun } })
}

/// What the guard says when it has carried it out.
fn obeyed(host: &str) -> Value {
    json!({ "obeyed": { "host": subject(host), "issued": 7 } })
}

/// A time at which all that is in force now has begun.
fn later() -> i64 {
    kit::now().millis() + 1000
}

/// A ban of the guard's own, as it says it: host and jail.
fn own(said: &Value) -> String {
    let ban = &said["ban"];
    assert!(ban.is_object(), "{said}");
    format!("{} {}", ban["host"]["net"].as_str().unwrap(), ban["jail"].as_str().unwrap())
}

/// A guard, and the socket where its process is to be.
struct Scene {
    guard: Guard,
    listener: UnixListener,
    netns: Netns,
}

impl Scene {
    fn new(config: &str) -> Self {
        let netns = Netns::new();
        let home = Home::new(&format!("{CONFIG}{config}"));
        Self::start(netns, home)
    }

    fn start(netns: Netns, home: Home) -> Self {
        let socket = home.path("fleet");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let mut run = home.run(netns.command(PROGRAM));
        run.arg("--fleet").arg(&socket);
        Self { guard: Guard::start_in(home, run), listener, netns }
    }

    fn accept(&self) -> Process {
        Process::new(self.listener.accept().unwrap().0)
    }

    /// Waits until the kernel drops SIP of exactly these.
    fn drops(&self, hosts: &[&str]) {
        kit::until(&format!("{hosts:?} are in the kernel"), || {
            addresses(&self.netns, "sip4") == hosts
        });
    }

    /// Has a marker of a peer banned, behind which everything that was said before was taken.
    fn settled(&self, process: &mut Process, marker: &str) {
        process.bans("pbx3", marker, 600);
        kit::until("the marker is in the kernel", || {
            addresses(&self.netns, "sip4").contains(&marker.to_owned())
        });
    }

    /// What `fleet status` tells.
    fn status(&self, args: &[&str]) -> Told {
        let mut command = Command::new(PROGRAM);
        command.args(["fleet", "status", "--socket"]).arg(self.guard.path("socket")).args(args);
        told(&command.output().unwrap())
    }

    fn issuers(&self, host: &str) -> Vec<String> {
        let (_, out, _) = self.guard.ctl(&["banned", host, "--json"]);
        let bans = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let issuers = bans.flat_map(|ban| ban["issuers"].as_array().cloned().unwrap_or_default());
        issuers.map(|issuer| issuer["node"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn peers_ban_is_in_the_kernel_for_the_time_that_remains() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    let mut process = scene.accept();
    assert_eq!(process.begins(), [""; 0]);
    process.bans("pbx2", HOST, 600);
    scene.drops(&[HOST]);
    let element = elements(&scene.netns, "sip4").remove(0);
    assert_eq!((element.timeout, element.comment.as_deref()), (Some(600), Some("fleet")));
    scene.guard.says(
        "[fleet] Ban 198.51.100.9 (by pbx2: asterisk-guess, asterisk-sip/wrong-password, proven, ports sip, 10m)",
    );
    // Another peer bans it for longer, and lifts its part again.
    process.bans("pbx3", HOST, 6000);
    kit::until("it lasts longer", || elements(&scene.netns, "sip4")[0].timeout > Some(5000));
    assert_eq!(scene.issuers(HOST), ["pbx3", "pbx2"]);
    process.lifts("pbx3", HOST);
    kit::until("the rest is left", || elements(&scene.netns, "sip4")[0].timeout <= Some(600));
    assert_eq!(scene.issuers(HOST), ["pbx2"]);
    let shown = scene.guard.order(&["banned"]);
    assert!(shown.contains("by pbx2: asterisk-guess asterisk-sip/wrong-password"), "{shown}");
    let shown = scene.guard.order(&["explain", HOST]);
    assert!(shown.contains("by pbx2: asterisk-guess"), "{shown}");
    // No lines but the first were said: a peer's ban is never sent out again.
    scene.guard.order(&["ban", "203.0.113.7"]);
    assert_eq!(own(&process.next()), "203.0.113.7/32 manual");
    let (code, _, said) = scene.guard.ctl(&["ban", "203.0.113.8", "--jail", "fleet"]);
    assert!(code == 2 && said.contains("leave --jail out"), "{said}");
    // Nor by way of a file.
    scene.guard.write("bans.json", &scene.guard.order(&["banned", HOST, "--json"]));
    let file = scene.guard.path("bans.json");
    let said = scene.guard.order(&["import", file.to_str().unwrap()]);
    assert!(said.contains("left out: 1 ban of the fleet's peers"), "{said}");
    process.lifts("pbx2", HOST);
    scene.drops(&[]);
    scene.guard.says("[fleet] Unban 198.51.100.9 (its issuer took it back)");
    let state = scene.guard.path("state");
    let events = ["events", "--state-dir", state.to_str().unwrap(), "--json"];
    let events = || told(&Command::new(PROGRAM).args(events).output().unwrap()).1;
    kit::until("it is stored", || events().contains("its issuer took it back"));
    let history = events();
    assert!(history.contains("\"by\":\"pbx2\""), "{history}");
}

#[test]
fn own_bans_go_out_and_others_lift_none_of_them() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    scene.guard.order(&["ban", "203.0.113.7"]);
    scene.guard.order(&["ban", "203.0.113.64/26"]);
    scene.guard.order(&["ban", "192.168.7.7"]);
    let mut process = scene.accept();
    let said = process.begins();
    // What was banned while nobody was there is said once, at the beginning or right behind.
    let said = if said.is_empty() { vec![own(&process.next())] } else { said };
    assert_eq!(said, ["203.0.113.7/32 manual"]);
    scene.guard.append("messages", &vec![wrong_password(EVE); 5]);
    let eve = format!("{EVE}/32 asterisk-guess");
    let told = process.next();
    assert_eq!((own(&told), told["ban"]["evidence"].as_str()), (eve.clone(), Some("proven")));
    assert_eq!(told["ban"]["rule"], "asterisk-sip/wrong-password");
    scene.drops(&[EVE]);
    // Another node lifts its own bans only, and has none.
    process.lifts("pbx2", EVE);
    process.lifts("asterisk-guess", EVE);
    // Nobody is this fleet's operator.
    process.says(&unban(EVE, "pbx2", later()));
    scene.settled(&mut process, "198.51.100.200");
    assert!(addresses(&scene.netns, "sip4").contains(&EVE.to_owned()));
    // Each ends alone.
    process.bans("pbx2", EVE, 6000);
    kit::until("it lasts longer", || {
        elements(&scene.netns, "sip4").iter().any(|e| e.address == EVE && e.timeout > Some(5000))
    });
    process.lifts("pbx2", EVE);
    kit::until("its own ban is left", || {
        elements(&scene.netns, "sip4").iter().any(|e| e.address == EVE && e.timeout <= Some(600))
    });
    scene.guard.order(&["unban", EVE]);
    assert_eq!(
        process.next(),
        json!({ "lift": { "host": subject(EVE), "jail": "asterisk-guess" } })
    );
    drop(process);
    // All is said again at the next connection, and nothing of a peer.
    assert_eq!(scene.accept().begins(), ["203.0.113.7/32 manual"]);
}

/// The configuration of a fleet whose operator may lift bans.
fn with_operator() -> String {
    let key = "operator = \"PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\"\n";
    FLEET.replace("[fleet.peers]", &format!("{key}[fleet.peers]"))
}

#[test]
fn operator_lifts_all_bans_of_a_host() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(&with_operator());
    let mut process = scene.accept();
    process.begins();
    scene.guard.append("messages", &vec![wrong_password(EVE); 5]);
    assert_eq!(own(&process.next()), format!("{EVE}/32 asterisk-guess"));
    process.bans("pbx2", EVE, 6000);
    process.bans("pbx2", HOST, 600);
    scene.drops(&if EVE < HOST { [EVE, HOST] } else { [HOST, EVE] });
    for whom in ["0.0.0.0/0", EVE] {
        process.says(&unban(whom, "pbx3", later()));
    }
    scene.drops(&[HOST]);
    assert_eq!(
        process.next(),
        json!({ "lift": { "host": subject(EVE), "jail": "asterisk-guess" } })
    );
    assert_eq!(process.next(), obeyed(EVE));
    scene.guard.says(&format!("the bans of {EVE} were lifted by the fleet's operator, at pbx3"));
    // A snapshot does not bring it back.
    process.bans("pbx2", EVE, 5990);
    scene.settled(&mut process, "198.51.100.200");
    assert!(!addresses(&scene.netns, "sip4").contains(&EVE.to_owned()));
}

#[test]
fn order_of_before_lifts_what_there_was_and_only_once() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(&with_operator());
    // The order was given before these bans began, and after those.
    let mut process = scene.accept();
    process.begins();
    scene.guard.order(&["ban", EVE]);
    assert_eq!(own(&process.next()), format!("{EVE}/32 manual"));
    process.bans("pbx2", EVE, 6000);
    process.bans("pbx2", HOST, 600);
    scene.drops(&if EVE < HOST { [EVE, HOST] } else { [HOST, EVE] });
    let before = kit::now().millis() - 60_000;
    for host in [EVE, HOST] {
        process.says(&unban(host, "pbx3", before));
        assert_eq!(process.next(), obeyed(host));
    }
    scene.settled(&mut process, "198.51.100.200");
    assert_eq!(scene.issuers(HOST), ["pbx2"]);
    assert!(addresses(&scene.netns, "sip4").contains(&EVE.to_owned()));
    // Said again with another time, the same order is the same order.
    process.says(&unban(HOST, "pbx3", later()));
    assert_eq!(process.next(), obeyed(HOST));
    scene.settled(&mut process, "198.51.100.201");
    assert!(addresses(&scene.netns, "sip4").contains(&HOST.to_owned()));

    // The guard is away when an order is given, and hears it at its next start.
    let Scene { guard, netns, .. } = scene;
    drop(process);
    let home = guard.stop();
    let scene = Scene::start(netns, home);
    let mut process = scene.accept();
    assert_eq!(process.begins(), [format!("{EVE}/32 manual")]);
    let given = kit::now().millis();
    kit::until("it is later", || kit::now().millis() > given);
    process.bans("pbx3", EVE, 6000);
    kit::until("it is taken", || scene.issuers(EVE) == ["pbx3", "pbx2"]);
    process.says(&unban(EVE, "pbx3", given));
    let lifted = json!({ "lift": { "host": subject(EVE), "jail": "manual" } });
    assert_eq!(process.next(), lifted);
    assert_eq!(process.next(), obeyed(EVE));
    kit::until("what came later is left", || scene.issuers(EVE) == ["pbx3"]);
    assert!(addresses(&scene.netns, "sip4").contains(&EVE.to_owned()));
}

#[test]
fn taken_over_process_hits_nobody_innocent() {
    if !kit::usable() {
        return;
    }
    let config = CONFIG.replace("[default]", "[default]\nignoreip = \"198.51.100.64\"");
    let netns = Netns::new();
    let scene = Scene::start(netns, Home::new(&format!("{config}{FLEET}")));
    scene.guard.append("messages", &[login("198.51.100.7")]);
    let mut process = scene.accept();
    process.begins();
    let known = || scene.guard.ctl(&["list", "known-good"]).1.contains("198.51.100.7");
    kit::until("it is known good", known);
    for host in [
        "0.0.0.0/0",
        "::/0",
        "198.51.100.0/24",
        "2001:db8::/32",
        "127.0.0.1",
        "10.0.0.1",
        "198.51.100.64",
        "198.51.100.7",
        "255.255.255.255",
        "224.0.0.5",
    ] {
        process.bans("pbx2", host, 600);
    }
    process.bans("pbx9", HOST, 600);
    for evidence in ["unverified", "hearsay"] {
        let mut doubtful = ban("pbx2", HOST, 600);
        doubtful["ban"]["evidence"] = evidence.into();
        process.says(&doubtful);
    }
    process.bans("pbx2", HOST, 0);
    scene.settled(&mut process, "198.51.100.200");
    scene.drops(&["198.51.100.200"]);
    for set in ["ban4", "ban6", "sip6"] {
        assert_eq!(addresses(&scene.netns, set), [""; 0], "{set}");
    }
    // It is not connected: nobody has said so.
    let (code, out, _) = scene.status(&["--json"]);
    assert_eq!(code, 1);
    let status: Value = serde_json::from_str(&out).unwrap();
    let pbx2 = status["members"].as_array().unwrap().iter().find(|peer| peer["node"] == "pbx2");
    let refused = &pbx2.unwrap()["refused"];
    let counts = ["not-a-host", "not-bannable", "ignored", "known-good", "evidence", "over"]
        .map(|reason| refused[reason].as_u64());
    assert_eq!(counts, [4, 4, 1, 1, 2, 1].map(Some), "{status}");
    assert_eq!(status["strangers"]["stranger"], 1);
}

#[test]
fn flood_of_bans_is_bounded_and_own_bans_keep_their_speed() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    let process = scene.accept();
    process.begins();
    let begin = scene.guard.resident();
    let stream = process.stream.try_clone().unwrap();
    let flood = thread::spawn(move || {
        let mut stream = stream;
        for n in 0..2_000_000_u32 {
            let host = std::net::Ipv4Addr::from(0x0500_0000 + n).to_string();
            let peer = if n % 2 == 0 { "pbx2" } else { "pbx3" };
            if stream.write_all(format!("{}\n", ban(peer, &host, 600)).as_bytes()).is_err() {
                return;
            }
        }
    });
    kit::until("both have what they may", || scene.guard.jail("fleet")["currently_banned"] == 2000);
    let mut slowest = Duration::ZERO;
    for n in 1..=20 {
        let host = format!("203.0.113.{n}");
        let start = Instant::now();
        scene.guard.append("messages", &vec![wrong_password(&host); 5]);
        assert_eq!(own(&process.next()), format!("{host}/32 asterisk-guess"));
        slowest = slowest.max(start.elapsed());
    }
    // From the line to what is said of it, with the flood still going on.
    assert!(!flood.is_finished(), "it is held up");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let grown = scene.guard.resident().saturating_sub(begin);
    println!("own bans within {slowest:?} at most; {grown} KiB more memory");
    assert!(grown < 64 << 10, "{grown} KiB");
    assert_eq!(scene.guard.jail("fleet")["currently_banned"], 2000);
    drop(scene);
    drop(process);
    flood.join().unwrap();
}

#[test]
fn lines_without_end_and_nonsense_end_the_connection() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    let begin = scene.guard.resident();
    // After each of these it waits for longer; there are more in the tests of the link.
    for nonsense in ["x\n", "{\"ban\":{}}\n"] {
        let mut process = scene.accept();
        process.begins();
        process.stream.write_all(nonsense.as_bytes()).unwrap();
        assert!(process.said.recv_timeout(PATIENCE).is_err(), "{nonsense:?}");
    }
    let mut process = scene.accept();
    process.begins();
    let block = vec![b'x'; 1 << 20];
    let blocks = (0..200).take_while(|_| process.stream.write_all(&block).is_ok()).count();
    assert!(blocks <= 20, "{blocks}");
    let grown = scene.guard.resident().saturating_sub(begin);
    assert!(grown < 64 << 10, "{grown} KiB");
    // It connects again, and all goes on.
    let mut process = scene.accept();
    process.begins();
    process.is_well();
    process.bans("pbx2", HOST, 600);
    scene.drops(&[HOST]);
}

#[test]
fn restart_keeps_peers_bans_and_what_was_lifted() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    let mut process = scene.accept();
    process.begins();
    process.bans("pbx2", HOST, 6000);
    process.bans("pbx3", HOST, 600);
    process.bans("pbx2", "198.51.100.10", 6000);
    scene.drops(&["198.51.100.10", HOST]);
    assert_eq!(scene.guard.order(&["unban", "198.51.100.10"]), "1 ban lifted\n");
    // A snapshot says it again.
    process.bans("pbx2", "198.51.100.10", 5990);
    scene.settled(&mut process, "198.51.100.200");
    scene.drops(&["198.51.100.200", HOST]);
    let Scene { guard, netns, .. } = scene;
    let scene = Scene::start(netns, guard.stop());
    assert_eq!(scene.issuers(HOST), ["pbx2", "pbx3"]);
    let mut process = scene.accept();
    assert_eq!(process.begins(), [""; 0], "nothing of peers is this guard's own");
    process.bans("pbx2", "198.51.100.10", 5000);
    process.lifts("pbx2", HOST);
    kit::until("the other part is left", || {
        elements(&scene.netns, "sip4").iter().any(|e| e.address == HOST && e.timeout <= Some(600))
    });
    assert_eq!(addresses(&scene.netns, "sip4"), ["198.51.100.200", HOST]);
    let state = scene.guard.path("state");
    let history = ["history", "--state-dir", state.to_str().unwrap(), "--json"];
    let history = told(&Command::new(PROGRAM).args(history).output().unwrap());
    let of_host = history.1.lines().find(|line| line.contains(HOST)).unwrap();
    assert!(of_host.contains("pbx2, pbx3"), "{}", history.1);
    // Who leaves the fleet has none of its bans.
    scene.guard.write("asterguard.toml", CONFIG);
    scene.guard.order(&["reload"]);
    scene.drops(&[]);
}

#[test]
fn state_of_the_fleet_is_shown() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new(FLEET);
    let check = || {
        let status = scene.guard.status();
        let checks = status["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == "fleet").unwrap().clone()
    };
    let mut process = scene.accept();
    process.begins();
    process.is_well();
    kit::until("it is well", || check()["state"] == "ok");
    process.bans("pbx2", HOST, 600);
    scene.drops(&[HOST]);
    let shown = scene.guard.order(&["status"]);
    assert!(shown.contains("fleet: pbx1 at 127.0.0.1:6379, connected"), "{shown}");
    let (code, shown, _) = scene.status(&[]);
    assert_eq!(code, 0);
    assert!(shown.contains("pbx2") && shown.contains("replay"), "{shown}");
    let metrics = scene.guard.order(&["metrics"]);
    for sample in [
        "asterguard_fleet_connected 1\n",
        "asterguard_fleet_bans{peer=\"pbx2\"} 1\n",
        "asterguard_fleet_refused_total{peer=\"pbx2\",reason=\"replay\"} 2\n",
        "asterguard_fleet_refused_total{reason=\"signature\"} 7\n",
    ] {
        assert!(metrics.contains(sample), "{sample}{metrics}");
    }
    drop(process);
    drop(scene.accept());
    kit::until("it is gone", || check()["state"] == "problem");
    let seen = check()["seen"].as_str().unwrap().to_owned();
    assert!(seen.contains("asterguard-fleet.socket"), "{seen}");
}

#[test]
fn without_a_fleet_nothing_connects() {
    if !kit::usable() {
        return;
    }
    let scene = Scene::new("");
    scene.guard.order(&["ban", "203.0.113.7"]);
    scene.listener.set_nonblocking(true).unwrap();
    assert!(scene.listener.accept().is_err(), "nobody asked for that");
    let (code, _, said) = scene.status(&[]);
    assert_eq!((code, said.contains("[fleet]")), (2, true), "{said}");
    // It begins with a reload.
    scene.guard.write("asterguard.toml", &format!("{CONFIG}{FLEET}"));
    scene.guard.order(&["reload"]);
    scene.listener.set_nonblocking(false).unwrap();
    assert_eq!(scene.accept().begins(), ["203.0.113.7/32 manual"]);
}
