//! The way out: nothing is dropped for a while, with the guard and without it.

use crate::kit::Fate::{Arrived, Dropped};
use crate::kit::guard::{Guard, PROGRAM};
use crate::kit::{self, EVE, EVE_V6, Lab, MALLORY, SIP};
use crate::{CONFIG, addresses, wrong_password};

/// A guard that has banned EVE from everything.
fn lab() -> (Lab, Guard) {
    let mut lab = Lab::new();
    let guard = Guard::start(&lab.pbx, CONFIG);
    guard.order(&["ban", EVE]);
    guard.order(&["ban", EVE_V6]);
    kit::until("both are shut out", || {
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP)) == (Dropped, Dropped)
    });
    (lab, guard)
}

#[test]
fn a_pause_lets_everything_pass_and_ends_by_itself() {
    if !kit::usable() {
        return;
    }
    let (mut lab, guard) = lab();
    assert_eq!(guard.status()["health"], "OK");
    let said = guard.order(&["pause", "--for", "2s"]);
    assert!(said.starts_with("nothing is dropped until 20"), "{said}");
    assert_eq!(
        (lab.udp(EVE, SIP), lab.udp(EVE_V6, SIP), lab.ping(EVE)),
        (Arrived, Arrived, Arrived)
    );
    kit::until("the pause is over", || lab.udp(EVE, SIP) == Dropped);
    assert_eq!(lab.udp(EVE_V6, SIP), Dropped);
    guard.says("the pause is over");
    assert_eq!(guard.status()["health"], "OK");
}

#[test]
fn a_pause_is_shown_and_resume_ends_it() {
    if !kit::usable() {
        return;
    }
    let (mut lab, guard) = lab();
    let said = guard.order(&["pause", "--for", "permanent"]);
    assert!(said.contains("asterguard resume"), "{said}");
    assert_eq!(guard.status()["health"], "PAUSED");
    let said = guard.order(&["status"]);
    assert!(said.starts_with("PAUSED: "), "{said}");
    assert!(said.contains("! nothing is dropped until `asterguard resume`"), "{said}");

    // Whoever attacks now is banned, and shut out afterwards.
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    guard.says(&format!("Ban {MALLORY}"));
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));
    // A reload loads the table anew, and leaves the pause alone.
    guard.order(&["reload"]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));

    guard.order(&["pause", "--json"]);
    let until = guard.status()["paused_until"].as_i64().unwrap();
    assert!((until - kit::now().secs()).abs_diff(900) < 30, "15 minutes unless said otherwise");
    assert_eq!(lab.udp(EVE, SIP), Arrived);

    let said = guard.order(&["resume", "--json"]);
    assert!(said.contains("\"result\":\"done\""), "{said}");
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Dropped));
    assert_eq!(guard.status()["health"], "OK");
}

#[test]
fn a_pause_needs_no_guard() {
    if !kit::usable() {
        return;
    }
    let (mut lab, guard) = lab();
    let home = guard.kill();
    let (code, out, said) = home.ctl_in(&lab.pbx, &["pause", "--for", "1h"]);
    assert_eq!(code, 0, "{said}");
    assert!(out.starts_with("nothing is dropped until 20"), "{out}");
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    let (code, out, said) = home.ctl_in(&lab.pbx, &["resume"]);
    assert_eq!((code, out.as_str()), (0, "banned hosts are dropped again\n"), "{said}");
    assert_eq!(lab.udp(EVE, SIP), Dropped);

    // A guard that starts finds the pause, and keeps it.
    home.ctl_in(&lab.pbx, &["pause", "--for", "10s"]);
    let run = home.run(lab.pbx.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    assert_eq!(guard.status()["health"], "PAUSED");
    guard.says("nothing is dropped until 20");
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    kit::until("the pause is over", || lab.udp(EVE, SIP) == Dropped);
    kit::until("the guard sees it", || guard.status()["health"] == "OK");
}

#[test]
fn pause_without_guard_or_table_says_so() {
    if !kit::usable() {
        return;
    }
    let (lab, guard) = lab();
    let home = guard.stop();
    lab.pbx.exec("nft delete table inet asterguard");
    for args in [&["pause"][..], &["resume"], &["pause", "--json"]] {
        let (code, out, said) = home.ctl_in(&lab.pbx, args);
        assert_eq!((code, out.as_str()), (5, ""), "{said}");
        assert!(said.contains("inet asterguard"), "{said}");
    }
}

#[test]
fn a_pause_survives_the_loss_of_the_table() {
    if !kit::usable() {
        return;
    }
    let (mut lab, guard) = lab();
    guard.order(&["pause"]);
    lab.pbx.exec("nft flush ruleset");
    guard.append("messages", &vec![wrong_password(MALLORY); 5]);
    guard.says("put back");
    kit::until("all bans are back", || {
        addresses(&lab.pbx, "ban4") == [EVE] && addresses(&lab.pbx, "sip4") == [MALLORY]
    });
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Arrived, Arrived));
    assert_eq!(guard.status()["health"], "PAUSED");
    guard.order(&["resume"]);
    assert_eq!((lab.udp(EVE, SIP), lab.udp(MALLORY, SIP)), (Dropped, Dropped));
}

#[test]
fn a_pause_makes_the_table_if_it_is_gone() {
    if !kit::usable() {
        return;
    }
    let (mut lab, guard) = lab();
    lab.pbx.exec("nft flush ruleset");
    guard.order(&["pause"]);
    assert_eq!(lab.udp(EVE, SIP), Arrived);
    guard.order(&["resume"]);
    kit::until("the ban is back", || lab.udp(EVE, SIP) == Dropped);
}
