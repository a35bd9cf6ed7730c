//! What lines are for where the answers of the PBX are seen.

use crate::kit::guard::Guard;
use crate::kit::{self};
use crate::{CONFIG, EVE, Lab, MALLORY, OFFICE, PBX, banned_by, guard};

/// Lines count in a jail of their own; nobody is banned by the wire alone.
fn config(maxretry: u32) -> String {
    CONFIG
        .replace(
            "filter = \"asterisk-sip\"",
            &format!("filter = \"asterisk-*\"\nmaxretry = {maxretry}"),
        )
        .replace("maxretry = 3", "maxretry = 50")
}

/// What Asterisk writes of a wrong password; it is the same for a line that somebody else made it write.
fn notice(host: &str, call: &str) -> String {
    format!(
        "[2026-11-22 10:00:00] NOTICE[1943] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from \
         '<sip:1000@pbx>' failed for '{host}:5071' (callid: {call}) - Failed to authenticate"
    )
}

/// Has the PBX answer, until lines are weighed by that.
fn seen(lab: &mut Lab, guard: &Guard) {
    lab.play(&format!("crack udp {OFFICE} {PBX} 0"));
    kit::until("lines are weighed by answers", || {
        guard.append("messages", &[notice("198.51.100.1", "nobody's")]);
        guard.status()["wire"]["unmatched"].as_u64() > Some(0)
    });
}

/// Of a host, in the jail that counts guesses: offences, and how many are proven.
fn counted(guard: &Guard, host: &str) -> (u64, u64) {
    let report = guard.order(&["explain", "--json", host]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let jails = report["jails"].as_array().unwrap();
    let jail = jails.iter().find(|jail| jail["jail"] == "asterisk-guess").unwrap();
    (jail["offences"].as_u64().unwrap(), jail["proven"].as_u64().unwrap())
}

#[test]
fn a_line_counts_as_often_as_its_host_was_refused() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, &config(20));
    seen(&mut lab, &guard);
    let before = guard.status()["wire"]["unmatched"].as_u64().unwrap();
    // More lines than guesses, and as many that name somebody else, with that Call-ID, too.
    let call = format!("crack{EVE}");
    let lines: Vec<_> = (0..10)
        .flat_map(|_| [notice(EVE, &call), notice(MALLORY, &call), notice(MALLORY, "another")])
        .collect();
    guard.append("messages", &lines);
    lab.play(&format!("crack tcp {EVE} {PBX} 3"));
    kit::until("no line waits any more", || {
        guard.status()["wire"]["unmatched"].as_u64() >= Some(before + 20)
    });
    assert_eq!((counted(&guard, EVE), counted(&guard, MALLORY)), ((3, 3), (0, 0)));
    let explained = guard.order(&["explain", EVE]);
    let line = "asterisk-pjsip/failed-to-authenticate (REGISTER with credentials at port 5060, answered 401; seen by the wire)";
    assert!(explained.contains(line), "{explained}");
    assert!(explained.contains("adds nothing to: REGISTER"), "{explained}");
    let explained = guard.order(&["explain", MALLORY]);
    assert!(
        explained.contains("counts for nothing: Asterisk was not seen to refuse"),
        "{explained}"
    );
}

/// Nothing that is written beside an attack makes it count less, and nothing that names an innocent host
/// counts at all.
#[test]
fn forged_lines_ban_nobody_and_hide_nobody() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, &config(5));
    seen(&mut lab, &guard);
    let verbose = "[2026-11-22 10:00:00] VERBOSE[1] pbx.c: whatever\n[x] ERROR[1] pjproject: sip_endpoint.c Error processing packet from 192.0.2.9:1: x:".to_owned();
    let junk: Vec<_> = (0..200)
        .flat_map(|n| [verbose.clone(), notice(OFFICE, &format!("forged{n}")), notice(EVE, "self")])
        .collect();
    guard.append("messages", &junk);
    guard.append("messages", &vec![notice(EVE, &format!("crack{EVE}")); 9]);
    lab.play(&format!("crack udp {EVE} {PBX} 1000"));
    guard.says(&format!(
        "[asterisk-guess] Ban {EVE} (5 offences, proven, asterisk-pjsip/failed-to-authenticate"
    ));
    guard.append("messages", &junk);
    kit::until("all is read", || guard.status()["sources"][0]["unread"] == 0);
    assert_eq!(banned_by(&guard, "asterisk-guess"), [format!("{EVE} proven")]);
}
