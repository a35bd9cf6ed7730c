//! Hosts that are never banned, found out by the guard itself: with the kernel's own addresses and
//! routes, and with files that stand in for the machine's.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use asterguard::model::subject::Subject;
use serde_json::{Value, json};

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self, Netns};
use crate::{CONFIG, addresses, wrong_password};

const OWN: &str = "192.0.2.1";
const GATEWAY: &str = "192.0.2.254";
const OTHER_GATEWAY: &str = "192.0.2.253";
const RESOLVER: &str = "192.0.2.53";
const EVE: &str = "198.51.100.66";

/// A machine with an address, a gateway and files in `/etc` and `/run` of its own.
pub struct Machine {
    pub netns: Netns,
    /// What `ip netns exec` lays over `/etc`.
    etc: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        let netns = Netns::new();
        let etc = Path::new("/etc/netns").join(netns.name());
        fs::create_dir_all(&etc).unwrap();
        let machine = Self { netns, etc };
        machine.write("hosts", "");
        machine.write("resolv.conf", &format!("nameserver {RESOLVER}\n"));
        machine.netns.exec(&format!(
            "ip link add eth0 type veth peer name peer; ip link set eth0 up; ip link set peer up; \
             ip address add {OWN}/24 dev eth0; ip route add default via {GATEWAY}"
        ));
        machine
    }

    /// Writes into a file that stays the same file: a mount holds on to it.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.etc.join(name), text).unwrap();
    }

    /// The program, to which `$DIR/sessions` is where logind keeps its files.
    pub fn program(&self, home: &Home) -> Command {
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/sessions && \
             mount --bind {} /run/systemd/sessions && exec \"$0\" \"$@\"",
            home.path("sessions").display()
        );
        let mut command = self.netns.command("sh");
        command.args(["-c", &script, PROGRAM]);
        command
    }

    /// Starts a guard with such sessions, and with Asterisk's configuration in `$DIR/asterisk`.
    fn guard(&self, config: &str) -> Guard {
        let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{config}"));
        for directory in ["sessions", "asterisk"] {
            fs::create_dir(home.path(directory)).unwrap();
        }
        let run = home.run(self.program(&home));
        Guard::start_in(home, run)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.etc);
    }
}

/// `net kind` of all that is never banned, without what the built-in configuration has.
fn never(guard: &Guard) -> BTreeSet<String> {
    let listed = guard.order(&["get", "ignoreip", "--json"]);
    let entries = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let words = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries
        .map(|entry| format!("{} {}", words(&entry, "net"), words(&entry, "origin")))
        .filter(|text| !text.starts_with("127.0.0.0/8") && !text.starts_with("::1/128"))
        .collect()
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

/// What the kernel lets through: single addresses and networks (none of them touch).
fn allowed(netns: &Netns) -> BTreeSet<String> {
    let listing: Value =
        serde_json::from_str(&netns.exec("nft -j list set inet asterguard allow4")).unwrap();
    let sets = listing["nftables"].as_array().unwrap().iter();
    let elements = sets.filter_map(|object| object["set"]["elem"].as_array()).flatten();
    elements
        .map(|element| match element {
            Value::String(address) => address.clone(),
            net => {
                let prefix = &net["prefix"];
                format!("{}/{}", prefix["addr"].as_str().unwrap(), prefix["len"])
            }
        })
        .collect()
}

/// Has `host` banned by what it does.
fn ban(machine: &Machine, guard: &Guard, host: &str) {
    guard.append("messages", &vec![wrong_password(host); 5]);
    kit::until(&format!("{host} is banned"), || {
        addresses(&machine.netns, "sip4").iter().any(|banned| banned == host)
    });
}

/// Whether `host`, which does what others are banned for, is not.
fn is_ignored(machine: &Machine, guard: &Guard, host: &str) {
    let before = guard.jail("asterisk-guess")["ignored"].as_u64().unwrap();
    guard.append("messages", &vec![wrong_password(host); 9]);
    kit::until("the lines are read", || guard.jail("asterisk-guess")["ignored"] == before + 9);
    assert!(!addresses(&machine.netns, "sip4").iter().any(|banned| banned == host), "{host}");
}

/// Waits until `host` is let in, for a second and the time that a look around takes.
fn is_let_in(machine: &Machine, guard: &Guard, host: &str) {
    let begin = Instant::now();
    guard.says(&format!("[asterisk-guess] Unban {host}"));
    kit::until("it is out of the set", || {
        !addresses(&machine.netns, "sip4").iter().any(|banned| banned == host)
    });
    assert!(begin.elapsed() < Duration::from_millis(1500), "took {:?}", begin.elapsed());
    let host: IpAddr = host.parse().unwrap();
    let holds = |net: &String| net.parse::<Subject>().unwrap().net().contains(&host);
    assert!(allowed(&machine.netns).iter().any(holds));
}

#[test]
fn own_gateway_and_resolver_addresses_are_never_banned() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    let guard = machine.guard(CONFIG);
    for host in [OWN, GATEWAY, RESOLVER] {
        is_ignored(&machine, &guard, host);
    }
    ban(&machine, &guard, EVE);
    assert_eq!(addresses(&machine.netns, "sip4"), [EVE]);
    assert_eq!(
        never(&guard),
        set(["192.0.2.1/32 own", "192.0.2.254/32 gateway", "192.0.2.53/32 resolver"])
    );
    assert_eq!(allowed(&machine.netns), set(["127.0.0.0/8", OWN, GATEWAY, RESOLVER]));
    let counts = json!({ "ignoreip": 2, "own": 1, "gateway": 1, "resolver": 1 });
    assert_eq!(guard.status()["never_banned"], counts);
    assert!(
        guard
            .order(&["status"])
            .contains("never banned: 1 gateway, 2 in ignoreip, 1 own address, 1 resolver\n")
    );
    let text = guard.order(&["get", "ignoreip"]);
    assert!(text.contains("192.0.2.53        a resolver (/etc/resolv.conf)\n"), "{text}");
    let why = guard.order(&["explain", GATEWAY]);
    assert!(why.starts_with(&format!("{GATEWAY}: never banned: it is the gateway; ")), "{why}");
    let (code, _, said) = guard.ctl(&["ban", GATEWAY]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("192.0.2.254 is the gateway: the kernel always lets it through"),
        "{said}"
    );

    // A reload renews the table, with all of it in.
    guard.order(&["reload"]);
    assert_eq!(allowed(&machine.netns), set(["127.0.0.0/8", OWN, GATEWAY, RESOLVER]));
    // So does a guard that has to build the table again.
    machine.netns.exec("nft flush ruleset");
    ban(&machine, &guard, "198.51.100.67");
    assert_eq!(allowed(&machine.netns), set(["127.0.0.0/8", OWN, GATEWAY, RESOLVER]));
}

#[test]
fn addresses_gateways_and_resolvers_are_followed() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    let guard = machine.guard(CONFIG);
    let netns = &machine.netns;
    for host in [OTHER_GATEWAY, "192.0.2.7", "192.0.2.54", EVE] {
        ban(&machine, &guard, host);
    }
    netns.exec(&format!("ip route replace default via {OTHER_GATEWAY}"));
    is_let_in(&machine, &guard, OTHER_GATEWAY);
    is_ignored(&machine, &guard, OTHER_GATEWAY);
    netns.exec("ip address add 192.0.2.7/24 dev eth0");
    is_let_in(&machine, &guard, "192.0.2.7");
    machine.write("resolv.conf", "nameserver 192.0.2.54\n");
    is_let_in(&machine, &guard, "192.0.2.54");
    assert_eq!(addresses(netns, "sip4"), [EVE]);

    // What is no longer ours is a host like any other. Two ways out are two gateways.
    netns.exec(
        "ip address delete 192.0.2.7/24 dev eth0; \
         ip route replace default nexthop via 192.0.2.251 nexthop via 192.0.2.249",
    );
    let now = ["127.0.0.0/8", OWN, "192.0.2.251", "192.0.2.249", "192.0.2.54"];
    kit::until("the kernel knows", || allowed(netns) == set(now));
    for host in [GATEWAY, OTHER_GATEWAY, "192.0.2.7", RESOLVER] {
        ban(&machine, &guard, host);
    }
    // The kernel does not tell of the routes that go with a device.
    netns.exec("ip link set eth0 down");
    kit::until("it has no way out", || {
        never(&guard) == set(["192.0.2.1/32 own", "192.0.2.54/32 resolver"])
    });
}

#[test]
fn names_are_resolved_and_last_answers_kept() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    // Nobody listens there, which is known at once.
    machine.write("resolv.conf", "nameserver 127.0.0.2\n");
    machine.write("hosts", "198.51.100.20 office.example\n198.51.100.30 phone.example\n");
    let config = CONFIG
        .replace("[default]", "[default]\nignoreip = [\"office.example\", \"nowhere.example\"]")
        .replace("[jail.asterisk-scan]", "[jail.asterisk-scan]\nignoreip = \"phone.example\"");
    let guard = machine.guard(&config);
    let office = |guard: &Guard, host: &str| never(guard).contains(&format!("{host}/32 ignoreip"));
    kit::until("the name is looked up", || office(&guard, "198.51.100.20"));
    is_ignored(&machine, &guard, "198.51.100.20");
    ban(&machine, &guard, "198.51.100.21");
    // A name of one jail is nothing to the others, nor to the kernel.
    ban(&machine, &guard, "198.51.100.30");
    kit::until("the jail knows its name", || {
        guard
            .order(&["get", "asterisk-scan", "ignoreip"])
            .contains("198.51.100.30     in ignoreip (phone.example)")
    });
    assert!(!allowed(&machine.netns).contains("198.51.100.30"));

    machine.write("hosts", "198.51.100.21 office.example\n");
    guard.order(&["reload"]);
    is_let_in(&machine, &guard, "198.51.100.21");
    assert!(!office(&guard, "198.51.100.20"));

    // No name server answers, and no file has it.
    machine.write("hosts", "");
    guard.order(&["reload"]);
    let warning = guard.says("cannot look up office.example: ");
    assert!(warning.ends_with("; its last known addresses stay ignored"), "{warning}");
    is_ignored(&machine, &guard, "198.51.100.21");
    assert!(allowed(&machine.netns).contains("198.51.100.21"));
    // Only one that never had an address is a worry; and each is told of once.
    kit::until("both are known to fail", || guard.count("cannot look up") == 3);
    let problems = guard.status()["problems"].to_string();
    assert!(problems.contains("nowhere.example in ignoreip can be banned"), "{problems}");
    assert!(!problems.contains("office.example in"), "{problems}");
    machine.write("hosts", "198.51.100.22 office.example\n");
    guard.order(&["reload"]);
    guard.says("office.example is found again");
    kit::until("the new address counts", || office(&guard, "198.51.100.22"));
    assert_eq!(guard.count("cannot look up nowhere.example"), 1);
}

#[test]
fn trunks_are_read_from_asterisks_configuration() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    machine.write("hosts", "198.51.100.40 sip.carrier.example\n");
    let guard = machine.guard(CONFIG);
    for host in ["203.0.113.9", "198.51.100.40", EVE] {
        ban(&machine, &guard, host);
    }
    // One change in the directory: the file that is included is there before.
    guard.write(
        "asterisk/pjsip.d/carrier.conf",
        "[t](!)\ntype = identify\n[carrier](t)\nendpoint = carrier\nmatch = 203.0.113.0/28\n\
         [world](t)\nmatch = 0.0.0.0/0\n\
         [registration]\ntype = registration\nserver_uri = sip:sip.carrier.example:5060\n",
    );
    guard.write("asterisk/pjsip.conf", "#include \"pjsip.d/*.conf\"\n");
    is_let_in(&machine, &guard, "203.0.113.9");
    is_let_in(&machine, &guard, "198.51.100.40");
    is_ignored(&machine, &guard, "203.0.113.15");
    let file = guard.path("asterisk/pjsip.d/carrier.conf").display().to_string();
    let warning = guard.says("0.0.0.0/0 of the trunk world");
    assert!(warning.contains(&file) && warning.contains("wider than /16"), "{warning}");
    assert_eq!(addresses(&machine.netns, "sip4"), [EVE]);
    assert_eq!(
        allowed(&machine.netns),
        set(["127.0.0.0/8", OWN, GATEWAY, RESOLVER, "203.0.113.0/28", "198.51.100.40"])
    );
    let text = guard.order(&["get", "ignoreip"]);
    let line = format!("203.0.113.0/28    the trunk carrier ({file})\n");
    assert!(text.contains(&line), "{text}");

    // Who does not want that says so.
    let config = fs::read_to_string(guard.path("asterguard.toml")).unwrap();
    guard.write("asterguard.toml", &format!("trunks = false\n{config}"));
    guard.order(&["reload"]);
    kit::until("they are hosts like any other", || {
        allowed(&machine.netns) == set(["127.0.0.0/8", OWN, GATEWAY, RESOLVER])
    });
    ban(&machine, &guard, "203.0.113.9");
}

#[test]
fn trunks_are_read_from_included_files() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let put = |name: &str, net: &str| {
        let path = elsewhere.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("[{net}]\ntype = identify\nmatch = {net}\n")).unwrap();
        path.display().to_string()
    };
    let at = |name: &str| elsewhere.path().join(name).display().to_string();
    let start = |home: Home, supervised: &[&str]| {
        let mut run = home.run(netns.command(PROGRAM));
        run.args(supervised);
        Guard::start_in(home, run)
    };
    let knows = |guard: &Guard, nets: &[&str]| {
        let known = || never(guard).into_iter().filter(|entry| entry.ends_with("trunk"));
        let nets: BTreeSet<_> = nets.iter().map(|net| format!("{net}/32 trunk")).collect();
        kit::until(&format!("the trunks are {nets:?}"), || {
            known().collect::<BTreeSet<_>>() == nets
        });
    };
    let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{CONFIG}"));
    let absolute = put("a/trunks.conf", "203.0.113.1");
    put("b/one.conf", "203.0.113.2");
    put("c/linked.conf", "203.0.113.3");
    let includes = format!("#include {absolute}\n#include {}/*.conf\n#include l.conf\n", at("b"));
    home.write("asterisk/pjsip.conf", &includes);
    std::os::unix::fs::symlink(at("c/linked.conf"), home.path("asterisk/l.conf")).unwrap();

    let guard = start(home, &[]);
    knows(&guard, &["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
    put("b/two.conf", "203.0.113.4");
    let before = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    knows(&guard, &before);
    assert_eq!(guard.status()["health"], "OK");

    // Directories that it has given up: it cannot see into them, and says so.
    put("d/one.conf", "203.0.113.5");
    for include in ["d/*.conf", "d/one.conf"] {
        guard.write("asterisk/pjsip.conf", &format!("{includes}#include {}\n", at(include)));
        let problem =
            format!("trunks can be banned, for {}", at(include.trim_end_matches("/*.conf")));
        kit::until("it is a problem", || {
            let problems = guard.status()["problems"].to_string();
            problems.contains(&problem) && problems.contains("was not read: Permission denied")
        });
        assert_eq!(guard.order(&["reload"]), "reloaded\n");
        knows(&guard, &before);
    }
    let guard = start(guard.stop(), &["--supervised"]);
    knows(&guard, &[&before[..], &["203.0.113.5"]].concat());
    let last = put("e/one.conf", "203.0.113.6");
    guard.write("asterisk/pjsip.conf", &format!("{includes}#include {last}\n"));
    assert!(guard.order(&["reload"]).ends_with(&format!("to be able to read {}\n", at("e"))));
    let (code, home) = guard.ends();
    assert_eq!(code, Some(7));
    let guard = start(home, &["--supervised"]);
    knows(&guard, &[&before[..], &["203.0.113.6"]].concat());
    assert_eq!(guard.status()["health"], "OK");
}

#[test]
fn logged_in_administrator_is_never_banned() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    let guard = machine.guard(CONFIG);
    ban(&machine, &guard, EVE);
    let session = |state: &str| {
        format!(
            "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\nSTATE={state}\n\
             REMOTE=1\nTYPE=tty\nCLASS=user\nREMOTE_HOST={EVE}\nSERVICE=sshd\nLEADER=812\n"
        )
    };
    guard.write("sessions/5", &session("active"));
    is_let_in(&machine, &guard, EVE);
    is_ignored(&machine, &guard, EVE);
    assert!(guard.order(&["get", "ignoreip"]).contains("where alice is logged in from"));
    guard.write("sessions/5", &session("closing"));
    kit::until("the session is over", || !never(&guard).contains(&format!("{EVE}/32 session")));
    ban(&machine, &guard, EVE);
}

#[test]
fn a_neighbour_is_banned_without_its_network() {
    if !kit::usable() {
        return;
    }
    let machine = Machine::new();
    machine.netns.exec("ip address add 2001:db8:1::1/64 dev eth0 nodad");
    let guard = machine.guard(CONFIG);
    guard.append("messages", &vec![wrong_password("2001:db8:1::66"); 5]);
    guard.append("messages", &vec![wrong_password("2001:db8:2::66"); 5]);
    kit::until("both are banned", || {
        addresses(&machine.netns, "sip6") == ["2001:db8:1::66", "2001:db8:2::"]
    });
    guard.says("[asterisk-guess] Ban 2001:db8:1::66 (5 offences");
    guard.says("[asterisk-guess] Ban 2001:db8:2::/64 (5 offences");

    // The next one knows both for what they are.
    let home = guard.kill();
    let run = home.run(machine.netns.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!(guard.order(&["unban", "2001:db8:1::66"]), "1 ban lifted\n");
    assert_eq!(guard.order(&["unban", "2001:db8:2::7"]), "1 ban lifted\n");
    kit::until("both are out", || addresses(&machine.netns, "sip6").is_empty());
}
