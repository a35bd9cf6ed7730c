//! Checks of the manager interface (AMI): who may log in, and which events it keeps to itself.

use super::accounts::{Password, is_limited, place, real};
use super::facts::World;
use super::{Finding, some_of};
use crate::hosts::asterisk::conf::{Conf, ConfSection};
use crate::hosts::asterisk::ports::is_true;
use crate::model::words::counted;

/// The events of refused and accepted logins. Asterisk leaves out those whose names `disabledevents` has.
const EVENTS: [&str; 9] = [
    "FailedACL",
    "InvalidAccountID",
    "InvalidPassword",
    "InvalidTransport",
    "ChallengeResponseFailed",
    "RequestNotAllowed",
    "RequestNotSupported",
    "RequestBadFormat",
    "SuccessfulAuth",
];

/// Checks who may log in at the manager interface.
pub fn manager(world: &World) -> Vec<Finding> {
    const CHECK: &str = "manager";
    const KEYS: &[&str] = &["enabled", "bindaddr", "secret", "permit", "deny", "acl"];
    let conf = match world.conf("manager.conf", KEYS) {
        Ok(conf) => conf,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    if !conf.general("enabled").is_some_and(is_true) {
        return vec![Finding::ok(CHECK, "it is switched off")];
    }
    let address = conf.general("bindaddr").unwrap_or("0.0.0.0");
    let local = address.starts_with("127.") || address == "::1" || address.starts_with("[::1]");
    let users = || real(&conf).filter(|section| !section.name.eq_ignore_ascii_case("general"));
    let mut found = Vec::new();
    let open: Vec<_> =
        users().filter(|u| !local && !is_limited(u)).map(|u| place("manager.conf", u)).collect();
    if !open.is_empty() {
        let seen =
            format!("it listens at {address}, and {} users may log in from anywhere", open.len());
        found.push(Finding::problem(CHECK, seen).at(some_of(&open)).change(
            "write `bindaddr = 127.0.0.1` into [general], or `deny = 0.0.0.0/0.0.0.0` and `permit = NETWORK` for each",
        ));
    }
    let weak: Vec<_> = users()
        .filter(|user| Password::of(user.last("secret"), &[&user.name]) == Password::Guessable)
        .map(|user| place("manager.conf", user))
        .collect();
    if !weak.is_empty() {
        let seen = format!("{} users have their own names as passwords", weak.len());
        found.push(
            Finding::problem(CHECK, seen)
                .at(some_of(&weak))
                .change("give each a long random secret"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(
            CHECK,
            format!("it listens at {address}, for {} users", users().count()),
        ));
    }
    found
}

/// Checks whether the manager interface leaves out events about logins, for all users or for those that read them.
pub fn events(world: &World) -> Vec<Finding> {
    const CHECK: &str = "manager-events";
    const KEYS: &[&str] = &["enabled", "disabledevents", "read", "eventfilter"];
    let conf = match world.conf("manager.conf", KEYS) {
        Ok(conf) => conf,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    if !conf.general("enabled").is_some_and(is_true) {
        return vec![Finding::ok(CHECK, "it is switched off")];
    }
    let mut found = Vec::new();
    let disabled = conf.general("disabledevents").unwrap_or_default();
    let left_out: Vec<_> = EVENTS
        .iter()
        .filter(|event| disabled.split(',').any(|name| name.trim().eq_ignore_ascii_case(event)))
        .map(|event| (*event).to_owned())
        .collect();
    if !left_out.is_empty() {
        let seen = format!("`disabledevents` leaves out {} for all users", some_of(&left_out));
        found.push(
            Finding::advice(CHECK, seen)
                .at(world.path("manager.conf"))
                .change("take them out of [general], then: asterisk -rx 'manager reload'"),
        );
    }
    let filtered: Vec<_> = readers(&conf)
        .filter(|user| user.last("eventfilter").is_some())
        .map(|user| place("manager.conf", user))
        .collect();
    if !filtered.is_empty() {
        let seen = format!(
            "the events of logins go through an `eventfilter` for {}: a program that guards by them misses what it leaves out",
            counted(filtered.len(), "user")
        );
        found.push(
            Finding::advice(CHECK, seen)
                .at(some_of(&filtered))
                .change("give such a program a user of its own without `eventfilter`"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "it leaves out no event about logins"));
    }
    found
}

/// Returns the users that get the events of logins.
fn readers(conf: &Conf) -> impl Iterator<Item = &ConfSection> {
    let users = real(conf).filter(|section| !section.name.eq_ignore_ascii_case("general"));
    users.filter(|user| {
        let classes = user.last("read").unwrap_or_default().split(',').map(str::trim);
        classes.into_iter().any(|class| ["security", "all"].contains(&class))
    })
}
