//! The table in somebody else's firewall: by an include, and in front of containers.

use std::fs;
use std::path::Path;

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Lab, MALLORY, Netns, PBX_V4, SIP};
use crate::{CONFIG, addresses, elements};

const MAIN: &str = r#"flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
include "$DIR/nftables.d/*.nft"
"#;

fn load(netns: &Netns, home: &Home) -> bool {
    netns.try_exec(&format!("nft -f {}", home.path("main.nft").display())).status.success()
}

fn tables(netns: &Netns) -> String {
    netns.exec("nft list tables")
}

/// A home with a firewall, and the table written for its include.
fn firewall(netns: &Netns, config: &str) -> Home {
    let home = Home::new(config);
    home.write("main.nft", MAIN);
    fs::create_dir(home.path("nftables.d")).unwrap();
    write(netns, &home, &home.path("nftables.d/asterguard.nft"));
    home
}

fn write(netns: &Netns, home: &Home, path: &Path) {
    let mut command = netns.command(PROGRAM);
    command.args(["ruleset", "--config"]).arg(home.path("asterguard.toml"));
    let (code, out, said) = told(&command.arg("--output").arg(path).output().unwrap());
    assert_eq!((code, out), (0, format!("{} is written\n", path.display())), "{said}");
}

#[test]
fn ruleset_can_be_included_before_the_first_start() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let home = firewall(&lab.pbx, CONFIG);
    for _ in 0..2 {
        assert!(load(&lab.pbx, &home));
        assert_eq!(tables(&lab.pbx), "table inet filter\ntable inet asterguard\n");
    }
    assert!(lab.pbx.exec("nft list set inet asterguard allow4").contains(PBX_V4));
    lab.pbx.exec(&format!("nft 'add element inet asterguard ban4 {{ {EVE} }}'"));
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Arrived));

    // A guard that starts takes it over as it is.
    let run = home.run(lab.pbx.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!(lab.udp(EVE, SIP), Dropped);
    assert_eq!(guard.jail("manual")["banned"][0]["host"], EVE);
}

#[test]
fn external_ruleset_reload_keeps_bans() {
    if !kit::usable() {
        return;
    }
    let bare = format!("{CONFIG}\n[wire]\nenabled = false\n");
    let lists = "\n[lists]\nblock = ['203.0.113.7']\n[feed.drop]\npath = '$DIR/drop.list'\n";
    // With the first, the firewall declares all that the guard does, so that nothing is missing after
    // it but what the sets held.
    for (config, blocked) in [(bare.clone(), 0), (format!("{bare}{lists}"), 2)] {
        let mut lab = Lab::new();
        let home = firewall(&lab.pbx, &config);
        home.write("drop.list", &format!("{MALLORY}\n"));
        let run = home.run(lab.pbx.command(PROGRAM));
        let guard = Guard::start_in(home, run);
        guard.order(&["ban", EVE, "--for", "1h"]);
        guard.order(&["ban", "2001:db8::7"]);
        kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
        let whole = guard.order(&["verify"]);

        // What `systemctl reload nftables` does, in one transaction.
        assert!(load(&lab.pbx, &guard));
        let line = guard.says(": put back, 2 bans in ");
        assert!(line.contains("WARNING nft (pid "), "{line}");
        let left = elements(&lab.pbx, "ban4")[0].expires.unwrap();
        assert!((3570..=3600).contains(&left), "{left}");
        if blocked > 0 {
            guard.says(&format!("lists: {blocked} networks are in the kernel again"));
        }
        let fate = if blocked > 0 { Dropped } else { Arrived };
        assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, fate));
        assert_eq!(guard.order(&["verify"]), whole);

        // Nor does it end a pause.
        guard.order(&["pause", "--for", "1h"]);
        assert!(load(&lab.pbx, &guard));
        guard.says_times(": put back, 2 bans in ", 2);
        // Under load, what the first load took away may have been put back in two steps.
        kit::until("the pause is in force again", || lab.udp(EVE, SIP) == Arrived);
        assert_eq!(guard.status()["health"], "PAUSED");
        guard.order(&["resume"]);
        assert_eq!(lab.udp(EVE, SIP), Dropped);
    }
}

#[test]
fn truncated_include_fails_safely() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let home = firewall(&netns, CONFIG);
    let file = home.path("nftables.d/asterguard.nft");
    let text = fs::read_to_string(&file).unwrap();
    // Missing, of another name, empty, a directory: the firewall loads without it.
    let put = |text: &str| fs::write(&file, text).unwrap();
    let harmless: [&dyn Fn(); 4] = [
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(home.path("nftables.d/.asterguard.nft.new"), "torn {").unwrap(),
        &|| put(""),
        &|| {
            fs::remove_dir_all(home.path("nftables.d")).unwrap();
            fs::create_dir_all(&file).unwrap();
        },
    ];
    for prepare in harmless {
        prepare();
        assert!(load(&netns, &home));
        assert_eq!(tables(&netns), "table inet filter\n");
    }
    // Torn or dangling, nothing of the whole file is loaded: what was there before stays.
    fs::remove_dir(&file).unwrap();
    put(&text);
    assert!(load(&netns, &home));
    let before = netns.exec("nft list ruleset");
    for at in [text.len() / 3, text.len() / 2] {
        let at = (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
        put(&text[..at]);
        assert!(!load(&netns, &home), "torn at {at}");
        assert_eq!(netns.exec("nft list ruleset"), before);
    }
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere", &file).unwrap();
    assert!(!load(&netns, &home));
    assert_eq!(netns.exec("nft list ruleset"), before);

    // That is why it is only ever written as a whole: one that cannot be changes nothing.
    fs::remove_file(&file).unwrap();
    put("# mine");
    home.write("asterguard.toml", "[default]\nmaxretry = 0\n");
    let mut command = netns.command(PROGRAM);
    command.args(["ruleset", "--config"]).arg(home.path("asterguard.toml"));
    assert_eq!(told(&command.arg("--output").arg(&file).output().unwrap()).0, 3);
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine");
}

/// A container as Docker runs it: behind a bridge of the host, which forwards packets for a port
/// that is published, and for routed ones.
#[test]
fn packets_forwarded_to_containers_are_dropped_too() {
    if !kit::usable() {
        return;
    }
    let lab = Lab::new();
    let container = Netns::new();
    let host = &lab.pbx;
    host.exec(&format!(
        "set -e; ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0
         ip link set docker0 up
         ip link add veth0 type veth peer name eth0 netns {name}
         ip link set veth0 master docker0 up
         ip -n {name} address add 172.17.0.2/16 dev eth0; ip -n {name} link set eth0 up
         ip -n {name} route add default via 172.17.0.1
         echo 1 > /proc/sys/net/ipv4/ip_forward",
        name = container.name()
    ));
    host.exec(&format!(
        "nft 'table ip nat {{
             chain prerouting {{
                 type nat hook prerouting priority dstnat;
                 ip daddr {PBX_V4} udp dport 5070 dnat to 172.17.0.2:5060
             }}
         }}'"
    ));
    lab.attacker.exec(&format!("ip route add 172.17.0.0/16 via {PBX_V4}"));
    container.exec(&format!(
        "nft 'table inet seen {{
             counter eve {{ }}
             counter other {{ }}
             chain input {{
                 type filter hook input priority filter;
                 udp dport 5060 ip saddr {EVE} counter name eve
                 udp dport 5060 ip saddr {MALLORY} counter name other
             }}
         }}'"
    ));
    let packets = |counter: &str| -> u32 {
        let text = container.exec(&format!("nft list counter inet seen {counter}"));
        text.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    // Both ways to the container, and then somebody whose packets come behind.
    let knock = |from: &str| {
        lab.attacker.exec(&format!(
            "/usr/bin/env python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"{from}\", 0))
s.sendto(b\"x\", (\"{PBX_V4}\", 5070))
s.sendto(b\"x\", (\"172.17.0.2\", 5060))'"
        ));
    };
    let guard = Guard::start(host, CONFIG);
    // Until the bridge forwards and neighbours are known, packets may be lost.
    kit::until("packets reach the container both ways", || {
        let before = packets("eve");
        knock(EVE);
        knock(MALLORY);
        packets("eve") >= before + 2
    });
    guard.order(&["ban", EVE]);
    kit::until("the ban is in the kernel", || addresses(host, "ban4") == [EVE]);
    let (eve, other) = (packets("eve"), packets("other"));
    knock(EVE);
    knock(MALLORY);
    kit::until("the packets behind have come", || packets("other") == other + 2);
    assert_eq!(packets("eve"), eve);
}
