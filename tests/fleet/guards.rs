//! Whole guards with their processes: from what one of them reads to the kernels of all.

#[path = "../../benches/kernel/reader.rs"]
#[allow(dead_code, reason = "a bench reads whole sets")]
mod reader;

use super::*;
use kit::guard::Guard;
use kit::{EVE, MALLORY, Netns};
use reader::Reader;

/// What these guards read and take.
const CONFIG: &str = "\
[ports]
sip = 5060
[default]
logpath = [\"$DIR/messages\"]
ignoreip = [\"IGNORED\"]
[jail.asterisk-guess]
filter = \"asterisk-sip\"
";
/// These lines prove nothing by themselves.
const TAKES: &str = "accept = [\"proven\", \"unverified\"]\nunverified_needs = 1\n";

/// A guard with a kernel of its own, and the process that reaches the server.
pub struct Pbx {
    pub guard: Guard,
    pub netns: Netns,
    process: Child,
    listener: UnixListener,
}

impl Pbx {
    pub fn start(name: &str, server: &Server, keys: &Keys, ignored: &str) -> Self {
        let netns = Netns::new();
        let fleet = config(name, &server.url(), keys, TAKES);
        let home = Home::new(&format!("{}{fleet}", CONFIG.replace("IGNORED", ignored)));
        home.write("node.key", &keys[name].0);
        fs::set_permissions(home.path("node.key"), Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(home.path("state")).unwrap();
        let listener = UnixListener::bind(home.path("fleet.sock")).unwrap();
        let process = spawn(&home, &listener);
        let mut run = home.run(netns.command(PROGRAM));
        run.arg("--fleet").arg(home.path("fleet.sock"));
        let guard = Guard::start_in(home, run);
        let pbx = Self { guard, netns, process, listener };
        let start = Instant::now();
        while pbx.status()["connected"] != true {
            assert!(start.elapsed() < PATIENCE, "{} {:#?}", pbx.status(), pbx.guard.log_lines());
            thread::sleep(Duration::from_millis(20));
        }
        pbx
    }

    fn status(&self) -> serde_json::Value {
        let mut command = Command::new(PROGRAM);
        command.args(["fleet", "status", "--json", "--socket"]).arg(self.guard.path("socket"));
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap_or_default()
    }

    fn holds(&self, host: &str) -> bool {
        let set = self.netns.try_exec("nft list set inet asterguard sip4");
        String::from_utf8_lossy(&set.stdout).contains(host)
    }
}

impl Drop for Pbx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Wrong passwords of `host`, enough for a ban, in the format that no stranger can write a line of.
fn guesses(host: &str) -> Vec<String> {
    let message = format!(
        "Registration from '\"1000\" <sip:1000@203.0.113.16>' failed for '{host}:5060' - Wrong password"
    );
    let line = serde_json::json!({
        "hostname": "",
        "timestamp": "Nov 22 01:12:24",
        "identifiers": { "lwp": 17931, "callid": "" },
        "logmsg": {
            "location": { "filename": "chan_sip.c", "function": "f", "line": 6 },
            "level": "NOTICE",
            "message": format!("{message}\n"),
        },
    });
    vec![line.to_string(); 5]
}

#[test]
fn who_attacks_one_is_banned_by_all_until_it_is_lifted_where_it_was_banned() {
    if !able() || !kit::usable() {
        return;
    }
    let names = ["pbx1", "pbx2", "pbx3"];
    let (server, keys) = (Server::start(), keys(&names));
    // At the second, one host is never banned.
    let ignored = ["127.0.0.1", MALLORY, "127.0.0.1"];
    let mut pbxs: Vec<_> = names
        .iter()
        .zip(ignored)
        .map(|(name, ignored)| Pbx::start(name, &server, &keys, ignored))
        .collect();
    pbxs[0].guard.append("messages", &guesses(EVE));
    for pbx in &pbxs {
        until("the attacker is in its kernel", || pbx.holds(EVE));
    }
    let (_, said, _) = pbxs[1].guard.ctl(&["explain", EVE]);
    assert!(said.contains("pbx1"), "{said}");
    // A ban of a peer is no other node's to lift: at the second, it ends for the second only.
    pbxs[1].guard.order(&["unban", EVE]);
    until("it is gone there", || !pbxs[1].holds(EVE));
    assert!(pbxs[0].holds(EVE) && pbxs[2].holds(EVE));

    // Whom a guard never bans, it never bans for others.
    pbxs[2].guard.append("messages", &guesses(MALLORY));
    pbxs[2].guard.append("messages", &guesses("198.51.100.7"));
    for pbx in &pbxs {
        until("the next one is banned", || pbx.holds("198.51.100.7"));
    }
    assert_eq!([0, 1, 2].map(|at: usize| pbxs[at].holds(MALLORY)), [true, false, true]);

    // The process is killed while a host is banned; the next one has it.
    let process = &mut pbxs[0].process;
    process.kill().unwrap();
    process.wait().unwrap();
    pbxs[0].guard.append("messages", &guesses("198.51.100.8"));
    until("it is banned without a fleet", || pbxs[0].holds("198.51.100.8"));
    assert!(!pbxs[2].holds("198.51.100.8"));
    pbxs[0].process = spawn(&pbxs[0].guard, &pbxs[0].listener);
    until("the others have it, too", || {
        pbxs[1].holds("198.51.100.8") && pbxs[2].holds("198.51.100.8")
    });

    // Lifted where it was banned, it is free everywhere.
    pbxs[0].guard.order(&["unban", EVE]);
    until("it is free", || !pbxs.iter().any(|pbx| pbx.holds(EVE)));
    assert!(pbxs.iter().all(|pbx| pbx.holds("198.51.100.7")));
}

#[test]
#[ignore = "it measures: make bench-fleet"]
fn a_ban_at_one_guard_in_five_kernels() {
    if !able() || !kit::usable() {
        return;
    }
    let names = ["pbx1", "pbx2", "pbx3", "pbx4", "pbx5", "pbx6"];
    for pause in [Duration::from_millis(100), Duration::ZERO] {
        in_all_kernels(&names, 200, pause);
    }
}

#[test]
#[ignore = "it measures: make bench-fleet"]
fn a_ban_at_one_guard_in_fifty_kernels() {
    if !able() || !kit::usable() {
        return;
    }
    let names: Vec<_> = (0..51).map(|number| format!("pbx{number}")).collect();
    in_all_kernels(&names.iter().map(String::as_str).collect::<Vec<_>>(), 50, Duration::ZERO);
}

/// The time for which processors have worked since the machine started (`proc_stat(5)`, in hundredths of a second).
fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let ticks = stat
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .map(|it| it.parse::<u64>().unwrap());
    // All but the fourth and the fifth, which are idle and waiting for disks.
    let worked =
        ticks.enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).take(6).map(|(_, ticks)| ticks);
    Duration::from_millis(10 * worked.sum::<u64>())
}

/// Prints the time from the last line at the first guard until a host is in its own kernel, from there until it is in
/// those of all others, and of both together. Each next one comes so long after the last one is everywhere: what follows
/// from a ban (disk, connections, events) takes the processors for longer than the ban itself.
fn in_all_kernels(names: &[&str], hosts: usize, pause: Duration) {
    let (server, keys) = (Server::start(), keys(names));
    let pbxs: Vec<_> =
        names.iter().map(|name| Pbx::start(name, &server, &keys, "127.0.0.1")).collect();
    let mut readers: Vec<_> = pbxs
        .iter()
        .map(|pbx| {
            pbx.netns.enter();
            Reader::open().unwrap()
        })
        .collect();
    let (mut own, mut others, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let before = busy();
    for number in 0..hosts {
        let host: std::net::Ipv4Addr = format!("198.51.100.{}", number + 1).parse().unwrap();
        let lines = guesses(&host.to_string());
        pbxs[0].guard.append("messages", &lines[1..]);
        let began = Instant::now();
        pbxs[0].guard.append("messages", &lines[..1]);
        for (at, reader) in readers.iter_mut().enumerate() {
            while !reader.has("asterguard", "sip4", host) {
                assert!(began.elapsed() < PATIENCE, "{host} is not in the kernel of {at}");
                // Without taking the processors from the guards.
                thread::sleep(Duration::from_micros(50));
            }
            if at == 0 {
                own.push(began.elapsed());
            }
        }
        let whole = began.elapsed();
        others.extend(own.last().map(|own| whole.saturating_sub(*own)));
        all.push(whole);
        thread::sleep(pause);
    }
    let spent = busy().saturating_sub(before) / u32::try_from(hosts).unwrap();
    println!(
        "{} guards, {pause:?} apart: {spent:?} of processors a ban, for all of them",
        names.len()
    );
    let figures = [
        ("line to its own kernel", &mut own),
        ("from there to the kernels of all others", &mut others),
        ("line to all kernels", &mut all),
    ];
    for (what, times) in figures {
        times.sort_unstable();
        let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!(
            "{} guards, {pause:?} apart, {what}: median {median:?}, p99 {late:?}",
            names.len()
        );
    }
}
