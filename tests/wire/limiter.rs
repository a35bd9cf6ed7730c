//! The kernel's own brake.

use std::process::Output;

use crate::kit;
use crate::{EVE, EVE_V6, Lab, MALLORY, OFFICE, PBX, PBX_V6, guard, wire};

/// Over the rate after fifty refusals.
const STRICT: &str = "maxrefusals = 10";

/// No jail that goes by the wire: only the limiter is at work.
fn config(keys: &str) -> String {
    wire(keys).replace("[jail.asterisk-wire]", "[jail.asterisk-wire]\nenabled = false")
        + "\n[jail.asterisk-slow]\nenabled = false\n[jail.asterisk-accounts]\nenabled = false\n"
}

fn limited(lab: &Lab, set: &str) -> String {
    lab.host.exec(&format!("nft list set inet asterguard {set}"))
}

#[test]
fn host_over_a_rate_is_dropped_only_if_configured() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let guard = guard(&lab.host, &config(STRICT));
    // Observed: all answers arrive.
    assert_eq!(lab.play(&format!("crack udp {EVE} {PBX} 99")), "100");
    guard.says(&format!("the kernel's limiter found 1 hosts over its rates (not dropped): {EVE}"));
    assert!(limited(&lab, "wire4").contains(EVE));
    let limiter = &guard.status()["wire"]["limiter"];
    assert_eq!((&limiter["hosts"], &limiter["full"]), (&1.into(), &false.into()), "{limiter}");

    guard.write("asterguard.toml", &config(&format!("{STRICT}\nlimiter = 'ban'")));
    guard.order(&["reload"]);
    assert_eq!(lab.play(&format!("crack udp {EVE} {PBX} 9")), "0", "it is still in the set");
    for (host, pbx, transport) in [(MALLORY, PBX, "tcp"), (EVE_V6, PBX_V6, "udp")] {
        let answered: u32 =
            lab.play(&format!("crack {transport} {host} {pbx} 99")).parse().unwrap();
        assert!((50..=60).contains(&answered), "{host}: {answered}");
    }
    guard.says("over its rates (dropped for ten minutes): ");
    kit::until("all three are counted", || {
        guard.order(&["status"]).contains("3 hosts over the limiter's rates, dropped")
    });
    assert_eq!(crate::banned_by(&guard, "asterisk-guess"), Vec::<String>::new());
    assert!(!limited(&lab, "sip4").contains(MALLORY), "our bans are elsewhere");
    // Only the SIP ports are closed.
    let Output { status, .. } = lab.outside.try_exec(&format!("ping -c 1 -W 2 -I {MALLORY} {PBX}"));
    assert!(status.success());

    guard.write("asterguard.toml", &config("limiter = 'off'"));
    guard.order(&["reload"]);
    let table = lab.host.exec("nft list table inet asterguard");
    assert!(!table.contains("limiter") && !table.contains("set wire4"), "{table}");
}

#[test]
fn exempt_host_is_never_limited() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let mut lab = Lab::new();
    let strict = config(&format!("{STRICT}\nmaxpackets = 1\nlimiter = 'ban'"));
    let strict = strict.replace("[default]", &format!("[default]\nignoreip = '{OFFICE}'"));
    let guard = guard(&lab.host, &strict);
    assert_eq!(lab.play(&format!("crack udp {OFFICE} {PBX} 99")), "100");
    lab.play(&format!("crack udp {EVE} {PBX} 99"));
    kit::until("the other is found", || guard.status()["wire"]["limiter"]["hosts"] == 1);
    assert!(limited(&lab, "wire4").contains(EVE) && !limited(&lab, "wire4").contains(OFFICE));
}

#[test]
fn full_limiter_set_raises_an_alarm() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::flooding();
    let mut lab = Lab::new();
    lab.host.exec(&format!("ip route add 10.0.0.0/8 via {EVE}"));
    let guard = guard(&lab.host, &config("limiter = 'observe'"));
    assert_eq!(lab.play(&format!("flood {PBX} 90000 1")), "done");
    guard.says("a set of the kernel's limiter is full");
    assert_eq!(guard.status()["health"], "DEGRADED");
    assert_eq!(guard.status()["wire"]["limiter"]["full"], true);
}
