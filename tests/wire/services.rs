//! IAX2, AMI and HTTP: whom the wire finds there, and whom it must not, with nothing in any log.

use std::time::{Duration, Instant};

use crate::kit::guard::Guard;
use crate::kit::{self, Netns, Peer};
use crate::{CARRIER, CONFIG, EVE, MALLORY, NOBODY, OFFICE, PBX, PHONE, banned_by, guard, plugged};

/// A PBX with these services, everybody else, and the guard.
fn lab() -> (Guard, Peer, Peer, [Netns; 2]) {
    let (host, outside) = plugged();
    let script = include_str!("../kit/services.py");
    let (pbx, others) =
        (Peer::run(&host, script, &["serve"]), Peer::run(&outside, script, &["play"]));
    (guard(&host, CONFIG), pbx, others, [host, outside])
}

/// The jails of the other services, and whom each has banned.
fn all_banned(guard: &Guard) -> Vec<String> {
    let jails = ["iax", "ami", "ami-malformed", "ami-probe", "http"];
    let of = |jail: &str| {
        let banned = banned_by(guard, &format!("asterisk-{jail}"));
        banned.into_iter().map(|ban| format!("{jail} {ban}")).collect::<Vec<_>>()
    };
    jails.iter().flat_map(|jail| of(jail)).collect()
}

#[test]
fn whoever_guesses_is_banned_from_that_service() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let (guard, _pbx, mut others, _netns) = lab();
    for (host, what, said) in [
        (
            EVE,
            "iax guess 50",
            "[asterisk-iax] Ban HOST (5 offences, proven, wire-iax/refused, ports iax",
        ),
        (
            MALLORY,
            "ami guess 50",
            "[asterisk-ami] Ban HOST (5 offences, proven, wire-ami/refused, ports ami",
        ),
        (
            OFFICE,
            "ami garbage 50",
            "[asterisk-ami-malformed] Ban HOST (10 offences, proven, wire-ami/rejected, ports ami",
        ),
        (
            CARRIER,
            "http keyed 50",
            "[asterisk-http] Ban HOST (5 offences, proven, wire-http/refused, ports http",
        ),
        (
            NOBODY,
            "http manager 50",
            "[asterisk-http] Ban HOST (5 offences, proven, wire-http/refused, ports http",
        ),
    ] {
        let what = what.replacen(' ', &format!(" {host} {PBX} "), 1);
        let reached: u32 = others.ask(&what).parse().unwrap();
        guard.says(&said.replace("HOST", host));
        println!("{what}: {reached} answered");
        assert!((4..50).contains(&reached), "{what}: {reached}");
    }
    let explained = guard.order(&["explain", MALLORY]);
    assert!(explained.contains("AMI login at port 5038, refused; seen by the wire"), "{explained}");
    let explained = guard.order(&["explain", EVE]);
    assert!(
        explained.contains("IAX2 registration with credentials at port 4569, refused"),
        "{explained}"
    );
    // Its own ports only.
    assert_eq!(others.ask(&format!("http {MALLORY} {PBX} right 5")), "5");
    assert_eq!(guard.status()["wire"]["lost"], 0);
}

#[test]
fn whoever_has_an_echo_or_is_only_asked_is_not() {
    if !kit::usable() {
        return;
    }
    let _turn = crate::no_flood();
    let (guard, _pbx, mut others, _netns) = lab();
    for what in [
        format!("ami {OFFICE} {PBX} echo 40"),
        format!("http {OFFICE} {PBX} bare 40"),
        format!("http {OFFICE} {PBX} right 40"),
        format!("http {OFFICE} {PBX} echo 40"),
        format!("http {OFFICE} {PBX} websocket 40"),
        format!("ami {CARRIER} {PBX} connect 10"),
    ] {
        let n = what.rsplit(' ').next().unwrap();
        assert_eq!(others.ask(&what), n, "{what}");
    }
    // A forged sender proves nothing. (It has lost what it can lose by forged packets anyway.)
    others.ask(&format!("iax {PHONE} {PBX} forged 20"));
    guard.says(&format!("[asterisk-iax] Ban {PHONE} (5 offences, unverified, "));
    // Thirty connections without a login are enough, and ten are not.
    let since = Instant::now();
    assert_eq!(others.ask(&format!("ami {NOBODY} {PBX} connect 30")), "30");
    while guard.count(&format!("Ban {NOBODY} ")) == 0 {
        assert!(since.elapsed().as_secs() < 60, "{}", guard.status()["wire"]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(since.elapsed().as_secs() >= 28, "too early: {:?}", since.elapsed());
    assert_eq!(
        all_banned(&guard),
        [format!("iax {PHONE} unverified"), format!("ami-probe {NOBODY} proven")]
    );
}
