//! Checks of what Asterisk lets strangers do: guests, accounts, passwords, calls without end.
//!
//! Defaults are those of the sample configurations: `allowguest` is yes (`chan_sip`), calls without
//! a user need an endpoint called `anonymous` (PJSIP), `alwaysauthreject` is yes since Asterisk 1.8,
//! `rtptimeout` and `rtp_timeout` are 0, which is never.

use super::facts::{World, is_no};
use super::{Finding, some_of};
use crate::hosts::asterisk::conf::{Conf, ConfSection};
use crate::hosts::asterisk::ports::is_true;

/// An account that may log in. Its password is looked at and not kept.
struct Account {
    /// Its location: `pjsip.conf [1000]`.
    name: String,
    password: Password,
    /// Whether an access list says from where.
    limited: bool,
    /// Whether it is known by its address alone.
    by_address: bool,
    /// Whether its calls end when no media comes.
    ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Password {
    None,
    /// It is the user's name, which is what attackers try first.
    Guessable,
    Set,
}

impl Password {
    pub(super) fn of(secret: Option<&str>, names: &[&str]) -> Self {
        match secret {
            None | Some("") => Self::None,
            Some(secret) if names.iter().any(|name| name.eq_ignore_ascii_case(secret)) => {
                Self::Guessable
            }
            Some(_) => Self::Set,
        }
    }
}

/// The keys that limit from where somebody may log in.
const LISTS: [&str; 3] = ["permit", "deny", "acl"];

pub(super) fn is_limited(section: &ConfSection) -> bool {
    LISTS.iter().any(|key| section.last(key).is_some())
}

pub(super) fn place(file: &str, section: &ConfSection) -> String {
    format!("{file} [{}]", section.name)
}

pub(super) fn real(conf: &Conf) -> impl Iterator<Item = &ConfSection> {
    conf.sections.iter().filter(|section| !section.template)
}

fn kind(section: &ConfSection) -> String {
    section.last("type").unwrap_or_default().to_ascii_lowercase()
}

/// Whether a number of seconds is written, and is not 0.
fn is_set(value: Option<&str>) -> bool {
    value.and_then(|value| value.trim().parse::<u32>().ok()).is_some_and(|seconds| seconds > 0)
}

/// Returns `sip.conf`, if `chan_sip` is loaded.
fn sip_conf(world: &World) -> Option<Conf> {
    const KEYS: &[&str] = &[
        "type",
        "host",
        "secret",
        "md5secret",
        "permit",
        "deny",
        "acl",
        "rtptimeout",
        "allowguest",
        "alwaysauthreject",
        "context",
        "insecure",
        "defaultuser",
        "username",
    ];
    world.loads("chan_sip").then(|| world.conf("sip.conf", KEYS).ok()).flatten()
}

fn pjsip_conf(world: &World) -> Option<Conf> {
    const KEYS: &[&str] = &[
        "type",
        "auth",
        "endpoint",
        "match",
        "permit",
        "deny",
        "acl",
        "rtp_timeout",
        "username",
        "password",
        "md5_cred",
        "password_digest",
        "context",
        "server_uri",
    ];
    world.loads("res_pjsip").then(|| world.conf("pjsip.conf", KEYS).ok()).flatten()
}

fn sip_accounts(conf: &Conf) -> Vec<Account> {
    let ends = is_set(conf.general("rtptimeout"));
    let of_peer = |section: &ConfSection| Account {
        name: place("sip.conf", section),
        password: match section.last("md5secret") {
            Some(_) => Password::Set,
            None => Password::of(
                section.last("secret"),
                &[&section.name, section.last("defaultuser").unwrap_or(&section.name)],
            ),
        },
        limited: is_limited(section),
        by_address: section.last("host").is_some_and(|host| {
            !["dynamic", "static"].contains(&host.to_ascii_lowercase().as_str())
        }),
        ends: section.last("rtptimeout").map_or(ends, |value| is_set(Some(value))),
    };
    let peers = real(conf).filter(|section| ["peer", "friend", "user"].contains(&&*kind(section)));
    peers.map(of_peer).collect()
}

fn pjsip_accounts(conf: &Conf) -> Vec<Account> {
    let of_kind = |wanted: &'static str| real(conf).filter(move |section| kind(section) == wanted);
    let limited = of_kind("acl").next().is_some();
    let by_address: Vec<&str> = of_kind("identify")
        .chain(of_kind("registration"))
        .filter_map(|section| section.last("endpoint"))
        .collect();
    let password = |endpoint: &ConfSection| {
        let named = endpoint.last("auth").unwrap_or_default().split(',').map(str::trim);
        let auths = named.filter_map(|name| of_kind("auth").find(|auth| auth.name == name));
        let passwords = auths.map(|auth| {
            if auth.last("md5_cred").or_else(|| auth.last("password_digest")).is_some() {
                return Password::Set;
            }
            let user = auth.last("username").unwrap_or_default();
            Password::of(auth.last("password"), &[user, &endpoint.name])
        });
        // What is unknown here may come from a database.
        let named = endpoint.last("auth").is_some_and(|names| !names.trim().is_empty());
        let unknown = if named { Password::Set } else { Password::None };
        passwords.max_by_key(|password| *password == Password::Guessable).unwrap_or(unknown)
    };
    of_kind("endpoint")
        .filter(|endpoint| !is_anonymous(endpoint))
        .map(|endpoint| Account {
            name: place("pjsip.conf", endpoint),
            password: password(endpoint),
            limited: limited || is_limited(endpoint),
            by_address: by_address.contains(&endpoint.name.as_str()),
            ends: is_set(endpoint.last("rtp_timeout")),
        })
        .collect()
}

fn is_anonymous(endpoint: &ConfSection) -> bool {
    endpoint.name == "anonymous" || endpoint.name.starts_with("anonymous@")
}

/// Returns all accounts that calls come from; an error where there is no configuration of any.
fn accounts(world: &World) -> Result<Vec<Account>, String> {
    let (sip, pjsip) = (sip_conf(world), pjsip_conf(world));
    if sip.is_none() && pjsip.is_none() {
        return Err(format!(
            "there is neither {} nor {}",
            world.path("pjsip.conf"),
            world.path("sip.conf")
        ));
    }
    let mut all = pjsip.as_ref().map_or_else(Vec::new, pjsip_accounts);
    all.extend(sip.as_ref().map_or_else(Vec::new, sip_accounts));
    Ok(all)
}

fn names<'a>(accounts: impl Iterator<Item = &'a Account>) -> Vec<String> {
    accounts.map(|account| account.name.clone()).collect()
}

/// Checks whether strangers may call.
pub fn guests(world: &World) -> Vec<Finding> {
    const CHECK: &str = "guests";
    let (sip, pjsip) = (sip_conf(world), pjsip_conf(world));
    let mut found = Vec::new();
    if let Some(conf) = &sip {
        let context = conf.general("context").unwrap_or("default");
        if conf.general("allowguest").is_none_or(|value| !is_no(value)) {
            found.push(
                Finding::problem(
                    CHECK,
                    format!("chan_sip lets calls of strangers into the context {context}"),
                )
                .at(world.path("sip.conf"))
                .change("write `allowguest = no` into [general]"),
            );
        }
    }
    for endpoint in pjsip.iter().flat_map(real).filter(|s| kind(s) == "endpoint" && is_anonymous(s))
    {
        let context = endpoint.last("context").unwrap_or("default");
        // Nobody has this by accident.
        found.push(
            Finding::advice(
                CHECK,
                format!("PJSIP lets calls of strangers into the context {context}"),
            )
            .at(place(&endpoint.file, endpoint))
            .change("remove it, or see to it that nothing in that context costs money"),
        );
    }
    if found.is_empty() {
        found.push(match (sip, pjsip) {
            (None, None) => Finding::unchecked(CHECK, accounts(world).err().unwrap_or_default()),
            _ => Finding::ok(CHECK, "strangers cannot call"),
        });
    }
    found
}

/// Checks whether answers tell attackers which accounts exist.
pub fn alwaysauthreject(world: &World) -> Vec<Finding> {
    const CHECK: &str = "account-names";
    vec![match sip_conf(world) {
        Some(conf) if conf.general("alwaysauthreject").is_some_and(is_no) => Finding::problem(
            CHECK,
            "chan_sip tells attackers which accounts exist, and the lines about those that do not can be forged: they do not count",
        )
        .at(world.path("sip.conf"))
        .change("write `alwaysauthreject = yes` into [general]"),
        Some(_) => Finding::ok(CHECK, "chan_sip does not tell which accounts exist"),
        None => Finding::ok(CHECK, "chan_sip is not in use"),
    }]
}

/// Finds passwords that are none.
pub fn passwords(world: &World) -> Vec<Finding> {
    const CHECK: &str = "passwords";
    let mut all = match accounts(world) {
        Ok(all) => all,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    all.extend(iax_accounts(world));
    let mut found = Vec::new();
    let open = names(all.iter().filter(|a| a.password == Password::None && !a.by_address));
    if !open.is_empty() {
        let seen = format!(
            "{} accounts need no password: anybody who uses their names can make calls",
            open.len()
        );
        found.push(Finding::problem(CHECK, seen).at(some_of(&open)).change(
            "give each a long random password, or an address by which it is known (PJSIP: type=identify)",
        ));
    }
    let weak = names(all.iter().filter(|account| account.password == Password::Guessable));
    if !weak.is_empty() {
        let seen = format!("{} accounts have their own names as passwords", weak.len());
        found.push(
            Finding::problem(CHECK, seen)
                .at(some_of(&weak))
                .change("give each a long random password"),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok(
            CHECK,
            format!("{} accounts, none without a password or with its name as one", all.len()),
        ));
    }
    found
}

fn iax_accounts(world: &World) -> Vec<Account> {
    const KEYS: &[&str] = &[
        "type",
        "host",
        "secret",
        "md5secret",
        "inkeys",
        "auth",
        "permit",
        "deny",
        "acl",
        "username",
    ];
    let Ok(conf) = world.conf("iax.conf", KEYS) else { return Vec::new() };
    if !world.loads("chan_iax2") {
        return Vec::new();
    }
    let users = real(&conf).filter(|section| ["friend", "user"].contains(&&*kind(section)));
    let of_user = |section: &ConfSection| Account {
        name: place("iax.conf", section),
        password: match section.last("inkeys").or_else(|| section.last("md5secret")) {
            Some(_) => Password::Set,
            None => Password::of(section.last("secret"), &[&section.name]),
        },
        limited: is_limited(section),
        by_address: section.last("host").is_some_and(|host| !host.eq_ignore_ascii_case("dynamic")),
        ends: true,
    };
    users.map(of_user).collect()
}

/// Finds accounts that may be used from anywhere.
pub fn acl(world: &World) -> Vec<Finding> {
    const CHECK: &str = "acl";
    let all = match accounts(world) {
        Ok(all) => all,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let open = names(all.iter().filter(|account| !account.limited && !account.by_address));
    vec![if open.is_empty() {
        Finding::ok(CHECK, format!("{} accounts, all limited to addresses", all.len()))
    } else {
        let seen = format!("{} of {} accounts may log in from anywhere", open.len(), all.len());
        Finding::advice(CHECK, seen).at(some_of(&open)).change(
            "where phones have fixed addresses: `deny = 0.0.0.0/0.0.0.0` and `permit = NETWORK` (PJSIP: `acl = NAME`, or a section type=acl for all)",
        )
    }]
}

/// Checks whether Asterisk says which registrations over IAX2 it refuses.
pub fn authdebug(world: &World) -> Vec<Finding> {
    const CHECK: &str = "iax-authdebug";
    if !world.loads("chan_iax2") {
        return vec![Finding::ok(CHECK, "chan_iax2 is not in use")];
    }
    let conf = match world.conf("iax.conf", &["authdebug"]) {
        Ok(conf) => conf,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let wire = world.status.as_ref().is_ok_and(|s| s.wire.state.starts_with("listening"));
    vec![if conf.general("authdebug").is_some_and(is_true) {
        Finding::ok(CHECK, "refused registrations over IAX2 are logged")
    } else if wire {
        Finding::ok(CHECK, "refused registrations over IAX2 are not logged, and seen without that")
    } else {
        Finding::advice(CHECK, "refused registrations over IAX2 are not logged")
            .at(world.path("iax.conf"))
            .change(
                "write `authdebug = yes` into [general], or let the guard see them: [wire] enabled = true",
            )
    }]
}

/// Checks whether calls end when the other side falls silent.
pub fn rtp_timeout(world: &World) -> Vec<Finding> {
    const CHECK: &str = "rtp-timeout";
    let all = match accounts(world) {
        Ok(all) => all,
        Err(why) => return vec![Finding::unchecked(CHECK, why)],
    };
    let endless = names(all.iter().filter(|account| !account.ends));
    vec![if endless.is_empty() {
        Finding::ok(CHECK, "calls end when no media comes any more")
    } else {
        let seen = format!(
            "calls of {} of {} accounts go on when no media comes any more: a ban stops the caller's packets, but the other, billed side stays up",
            endless.len(),
            all.len()
        );
        Finding::advice(CHECK, seen).at(some_of(&endless)).change(
            "PJSIP: `rtp_timeout = 60` and `rtp_timeout_hold = 300` in each endpoint (or its template); chan_sip: `rtptimeout = 60` and `rtpholdtimeout = 300` in [general]",
        )
    }]
}
