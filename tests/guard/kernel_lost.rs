//! The table is lost, or nft does not work: bans wait, and come back.

use std::process::Command;

use crate::kit::Fate::Dropped;
use crate::kit::guard::{Guard, Home, PROGRAM, told};
use crate::kit::{self, EVE, Lab, MALLORY, Netns, SIP};
use crate::owner::Owner;
use crate::processes::helper;
use crate::{CONFIG, addresses, elements, wrong_password};

#[test]
fn the_next_ban_brings_a_lost_table_back() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE, "--for", "1h"]);
    guard.order(&["ban", "198.51.100.7"]);
    guard.order(&["ban", "2001:db8::7", "--for", "2h"]);
    guard.append("messages", &vec![wrong_password("198.51.100.8"); 5]);
    guard.says("Ban 198.51.100.8 ");
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    lab.pbx.exec("nft flush ruleset");
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    guard.says("deleted table inet asterguard, and ");
    kit::until("all bans are back", || {
        addresses(&lab.pbx, "ban4").len() == 2
            && addresses(&lab.pbx, "ban6").len() == 1
            && addresses(&lab.pbx, "sip4").len() == 2
    });
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Dropped));
    // With the time that they had left, as the guard knows it.
    let status = guard.status();
    for (set, host, jail) in [
        ("ban4", "192.0.2.66", "manual"),
        ("ban4", "198.51.100.7", "manual"),
        ("ban6", "2001:db8::", "manual"),
        ("sip4", "198.51.100.8", "asterisk-guess"),
        ("sip4", MALLORY, "asterisk-guess"),
    ] {
        let held = elements(&lab.pbx, set);
        let held = held.iter().find(|element| element.address == host).unwrap();
        assert_eq!(held.comment.as_deref(), Some(jail));
        let jails = status["jails"].as_array().unwrap();
        let bans = jails.iter().flat_map(|jail| jail["banned"].as_array().unwrap());
        let ban = bans.into_iter().find(|ban| ban["host"].as_str().unwrap().starts_with(host));
        let left = ban.unwrap()["left"].as_u64();
        assert_eq!(left.is_none(), held.expires.is_none(), "{host}");
        assert!(left.unwrap_or(0).abs_diff(held.expires.unwrap_or(0)) <= 2, "{left:?} {held:?}");
    }
    assert_eq!(status["health"], "OK");
}

#[test]
fn a_reload_brings_a_lost_table_back_with_its_bans() {
    if !kit::usable() {
        return;
    }
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is shut out", || lab.udp(EVE, SIP) == Dropped);
    lab.pbx.exec("nft delete table inet asterguard");
    guard.order(&["reload"]);
    kit::until("the host is shut out again", || lab.udp(EVE, SIP) == Dropped);
}

#[test]
fn other_tables_are_left_alone() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    netns.exec("nft 'table inet mine { chain input { type filter hook input priority 0; tcp dport 22 accept; }; }'");
    let mine = netns.exec("nft list table inet mine");
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE]);
    guard.order(&["reload"]);
    guard.order(&["pause"]);
    guard.order(&["resume"]);
    netns.exec("nft delete table inet asterguard");
    guard.order(&["ban", MALLORY]);
    kit::until("the table is back", || addresses(&netns, "ban4").len() == 2);
    guard.stop();
    assert_eq!(netns.exec("nft list table inet mine"), mine);
}

/// What a guard says whose `nft` is this script; `None`: it has none.
fn without_nftables(script: Option<&str>) -> String {
    let netns = Netns::new();
    let home = Home::new(CONFIG);
    let mut path = home.path("bin").display().to_string();
    if let Some(script) = script {
        home.script("bin/nft", &format!("#!/bin/sh\n{script}\n"));
        path = format!("{path}:{}", std::env::var("PATH").unwrap());
    }
    let mut command = netns.command("env");
    command.arg(format!("PATH={path}")).arg(PROGRAM);
    refused(&home, command)
}

/// What a guard says that cannot use nftables.
fn refused(home: &Home, program: Command) -> String {
    let (code, _, said) = told(&home.run(program).output().unwrap());
    assert_eq!(code, 5, "{said}");
    assert!(!home.path("socket").exists());
    said
}

#[test]
fn refuses_start_without_nft() {
    if !kit::usable() {
        return;
    }
    let said = without_nftables(None);
    assert!(said.contains("cannot run `nft`"), "{said}");
    assert!(said.contains("apt-get install nftables"), "{said}");
}

#[test]
fn refuses_start_when_nft_hangs() {
    if !kit::usable() {
        return;
    }
    let said = without_nftables(Some("sleep 1000"));
    assert!(
        said.contains("`nft` did not finish within 10s and was stopped; see whether"),
        "{said}"
    );
}

#[test]
fn refuses_start_on_a_kernel_without_nf_tables() {
    if !kit::usable() {
        return;
    }
    let words = "Unable to initialize Netlink socket: Protocol not supported";
    let said = without_nftables(Some(&format!("echo '{words}' >&2; exit 1")));
    assert!(said.contains("this kernel has no nf_tables"), "{said}");
    assert!(said.contains("modprobe nf_tables") && said.contains(words), "{said}");
}

#[test]
fn refuses_start_without_cap_net_admin() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let mut command = netns.command("setpriv");
    command.args(["--bounding-set=-net_admin", PROGRAM]);
    let said = refused(&Home::new(CONFIG), command);
    assert!(said.contains("not permitted") && said.contains("CAP_NET_ADMIN"), "{said}");
}

#[test]
fn while_the_kernel_refuses_bans_wait_and_then_take_hold() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    guard.order(&["ban", EVE]);
    kit::until("the host is in the kernel", || addresses(&netns, "ban4") == [EVE]);

    let owner = Owner::take(&netns);
    guard.append("messages", &vec![wrong_password("198.51.100.8"); 5]);
    guard.order(&["ban", MALLORY]);
    guard.order(&["unban", EVE]);
    guard.says("not permitted to change the ruleset");
    kit::until("three changes wait", || guard.status()["queue"] == 3);
    let status = guard.order(&["status"]);
    assert!(status.starts_with("DEGRADED (nftables): "), "{status}");
    assert!(status.contains("wait for nftables: ") && status.contains("not permitted"), "{status}");
    // What needs the kernel right away says so, and changes nothing.
    for args in [&["pause"][..], &["reload"], &["verify", "--repair"]] {
        let (code, _, said) = guard.ctl(args);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("not permitted"), "{said}");
    }
    assert_eq!(addresses(&netns, "ban4"), [EVE]);
    assert_eq!(guard.jail("manual")["banned"][0]["host"], MALLORY);

    drop(owner);
    guard.says("nftables is ok again");
    kit::until("all is carried out", || {
        addresses(&netns, "ban4") == [MALLORY] && addresses(&netns, "sip4") == ["198.51.100.8"]
    });
    kit::until("all is well", || guard.status()["health"] == "OK");
    guard.stop();
}

#[test]
fn guard_with_a_failing_nft_stops_in_time() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let _owner = Owner::take(&netns);
    guard.order(&["ban", EVE]);
    guard.says("bans wait for nftables");
    guard.stop();
}

/// A process that is stopped, until this is dropped: then it is killed.
struct Hanging(String);

impl Hanging {
    fn stop(pid: u32) -> Self {
        let pid = pid.to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        Self(pid)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0]).status();
    }
}

#[test]
fn a_guard_whose_firewall_helper_hangs_still_stops_in_time() {
    if !kit::usable() {
        return;
    }
    let netns = Netns::new();
    let guard = Guard::start(&netns, CONFIG);
    let _hanging = Hanging::stop(helper(&guard));
    guard.order(&["ban", EVE]);
    // It goes on reading, deciding and answering meanwhile.
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    guard.says(&format!("[asterisk-guess] Ban {MALLORY}"));
    guard.order(&["get", "ignoreip"]);
    guard.stop();
}
