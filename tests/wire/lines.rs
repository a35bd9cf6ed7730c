//! What lines are for where the answers of the PBX are seen.

use crate::kit::guard::{Guard, Home, PROGRAM};
use crate::kit::{self};
use crate::{CONFIG, EVE, Lab, MALLORY, OFFICE, PBX, PHONE, banned_by, guard};

/// Lines count in a jail of their own; nobody is banned by the wire alone.
fn config(maxretry: u32) -> String {
    CONFIG
        .replace(
            "filter = \"asterisk-sip\"",
            &format!("filter = \"asterisk-*\"\nmaxretry = {maxretry}"),
        )
        .replace("maxretry = 3", "maxretry = 50")
}

/// An Asterisk that speaks TLS at the port whose content nobody reads.
fn with_tls(maxretry: u32) -> Home {
    let home = Home::new(&format!("asteriskconf = \"$DIR/asterisk\"\n{}", config(maxretry)));
    home.write(
        "asterisk/pjsip.conf",
        "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0\n[s]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\n",
    );
    home
}

/// What Asterisk writes of a wrong password; it is the same for a line that somebody else made it write.
fn notice(host: &str, call: &str) -> String {
    notice_at(host, "5071", call)
}

fn notice_at(host: &str, port: &str, call: &str) -> String {
    format!(
        "[2026-11-22 10:00:00] NOTICE[1943] res_pjsip/pjsip_distributor.c: Request 'REGISTER' from \
         '<sip:1000@pbx>' failed for '{host}:{port}' (callid: {call}) - Failed to authenticate"
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
        explained.contains("counts for nothing: this machine was not seen to answer this host"),
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

/// Without HEP, nobody sees what is refused over TLS. A line about it counts where the PBX sent something to that
/// address and port just then: that port is banned, and with the third the host.
#[test]
fn guesses_over_tls_cost_the_connection_and_then_the_host() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let home = with_tls(5);
    let run = home.run(lab.host.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    seen(&mut lab, &guard);
    let flows =
        |lab: &Lab, set: &str| lab.host.exec(&format!("nft list set inet asterguard {set}"));
    let phone = lab.play(&format!("hidden {PHONE} {PBX} 0 1"));
    let mut guesses = 0;
    for n in 1..=3 {
        let port = lab.play(&format!("hidden {EVE} {PBX} 0 1"));
        let ban = if n < 3 { format!("{EVE}:{port}") } else { EVE.to_owned() };
        // At the third port it may be the twelfth attempt of a day.
        let is_banned = |guard: &Guard| guard.count(&format!("] Ban {ban} ")) > 0;
        kit::until("the guesser is banned", || {
            lab.play(&format!("hidden {EVE} {PBX} {port} 1"));
            guard.append("messages", &[notice_at(EVE, &port, &format!("{port}-{guesses}"))]);
            guesses += 1;
            is_banned(&guard)
        });
        if n < 3 {
            assert!(flows(&lab, "sip_flow4").contains(&format!("{EVE} . {port} ")));
        }
        assert_ne!(lab.play(&format!("hidden {EVE} {PBX} {port} 1")), port, "it is cut off");
        // The phone next to it speaks on, and so does another connection of the same host, up to the third.
        assert_eq!(lab.play(&format!("hidden {PHONE} {PBX} {phone} 1")), phone);
    }
    println!("{guesses} guesses until the host was banned");
    let bans = guard.order(&["banned", EVE]);
    assert!(bans.contains("unverified") && bans.contains("  sip  "), "{bans}");
}

/// Whoever has learned a phone's port can have its connection cut, and no more: lines about ports to which nothing is
/// sent count for nothing, and so do more lines than there were segments.
#[test]
fn forged_lines_about_a_phone_cost_it_one_connection_at_most() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let home = with_tls(5);
    let run = home.run(lab.host.command(PROGRAM));
    let guard = Guard::start_in(home, run);
    seen(&mut lab, &guard);
    let port = lab.play(&format!("hidden {PHONE} {PBX} 0 2"));
    let unmatched = |guard: &Guard| guard.status()["wire"]["unmatched"].as_u64().unwrap();
    let before = unmatched(&guard);
    let forged = |port: &str| {
        (0..50).map(|n| notice_at(PHONE, port, &format!("forged{n}"))).collect::<Vec<_>>()
    };
    // Its port is not known: all that the forger tries, nothing was sent to.
    for other in ["5060", "5071", "40000"] {
        guard.append("messages", &forged(other));
    }
    kit::until("they are weighed", || unmatched(&guard) >= before + 150);
    assert_eq!(counted(&guard, PHONE), (0, 0));
    // It is: what was sent is used up by as many lines, here three segments.
    lab.play(&format!("hidden {PHONE} {PBX} {port} 0"));
    guard.append("messages", &forged(&port));
    kit::until("they are weighed", || unmatched(&guard) >= before + 197);
    let (offences, proven) = counted(&guard, PHONE);
    assert!(offences <= 3 && proven == 0, "{offences}");
    // While it is used, that connection is cut, and the phone speaks on by another.
    kit::until("the connection is cut", || {
        lab.play(&format!("hidden {PHONE} {PBX} {port} 1"));
        guard.append("messages", &forged(&port));
        guard.count("] Ban ") > 0
    });
    guard.says(&format!("[asterisk-guess] Ban {PHONE}:{port} "));
    let another = lab.play(&format!("hidden {PHONE} {PBX} 0 1"));
    assert_eq!(lab.play(&format!("hidden {PHONE} {PBX} {another} 1")), another);
    assert_eq!(guard.count("] Ban "), 1, "{:?}", guard.log_lines());
}
