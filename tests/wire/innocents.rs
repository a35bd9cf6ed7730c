//! Who is refused every day, and must never be banned: with empty memory, and the built-in
//! thresholds or stricter ones.

use crate::kit;
use crate::{
    CARRIER, CONFIG, EVE, Lab, MALLORY, NOBODY, OFFICE, PBX, PBX_V6, PHONE, PHONE_V6, banned,
    banned_by, guard,
};

#[test]
fn what_a_websocket_returns_is_no_answer() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, CONFIG);
    assert_eq!(lab.play(&format!("echo {MALLORY} {PBX} {EVE} 20")), "done");
    // A guesser that is seen shows that all of that has been read.
    lab.play(&format!("crack udp {NOBODY} {PBX} 1000"));
    guard.says(&format!("[asterisk-wire] Ban {NOBODY} "));
    assert_eq!(banned(&guard), [format!("{NOBODY} proven")]);
    assert_eq!(guard.status()["wire"]["logins"], 0);
}

#[test]
fn phones_offices_and_trunks_never_count() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, CONFIG);
    for (who, what) in [
        ("a phone that registers again and again", format!("phone udp {PHONE} {PBX} 60")),
        ("the same over TCP and IPv6", format!("phone tcp {PHONE_V6} {PBX_V6} 60")),
        ("an office that restarts", format!("office {OFFICE} {PBX} 50 20")),
        ("a trunk with cancelled calls", format!("trunk {CARRIER} {PBX} 500")),
    ] {
        assert_eq!(lab.play(&what), "done", "{who}");
    }
    // A host that leaves ten challenges open counts for each, four seconds later.
    assert_eq!(lab.play(&format!("abandon {NOBODY} {PBX} 10")), "10");
    let patience = std::time::Instant::now();
    while guard.count(&format!("Ban {NOBODY} ")) == 0 {
        assert!(patience.elapsed().as_secs() < 60, "{}", guard.status()["wire"]);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert!(patience.elapsed().as_secs() >= 3, "too early: {:?}", patience.elapsed());
    assert_eq!(banned(&guard), [""; 0]);
    assert_eq!(banned_by(&guard, "asterisk-probe"), [format!("{NOBODY} unverified")]);
    let wire = &guard.status()["wire"];
    println!("{wire}");
    assert_eq!((&wire["attempts"], &wire["lost"]), (&10.into(), &0.into()), "{wire}");
    assert_eq!(wire["logins"], 60 + 60 + 50, "{wire}");
    assert_eq!(wire["limiter"]["hosts"], 0, "nor is anybody over a rate: {wire}");
    // All that logged in are known good.
    for host in [PHONE, OFFICE] {
        let known = guard.order(&["explain", "--json", host]);
        let known: serde_json::Value = serde_json::from_str(&known).unwrap();
        assert_eq!(known["known_good"]["source"], "the wire", "{known:#}");
    }
}
