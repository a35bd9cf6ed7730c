//! What is written and valid, and will surprise its writer.

use std::time::Duration;

use ipnet::IpNet;

use super::jail_section::OF_READERS;
use super::load::parse;
use super::{Config, Counting, FLEET, Jail, MANUAL, Mode, Notifier};
use crate::model::event::{is_wire_filter, wire_filters};
use crate::model::listed::FileLine;
use crate::model::remote_source::RemoteSource;
use crate::model::time::BanDuration;

/// Bans of senders that may be forged are as long as this at most, as they are built in.
const LONG: Duration = Duration::from_secs(86_400);

/// Keys that jails do not take from `[default]` one by one, or that are about all of them together.
const FOR_ALL: [&str; 8] = [
    "enabled",
    "ignoreip",
    "ipv6prefix",
    "knowngood",
    "maxunverified",
    "newnetworks",
    "tag",
    "logtimezone",
];
/// Keys about the reading of logs.
const OF_LOGS: [&str; 2] = ["logpath", "hearsay"];

impl Config {
    /// Returns what is worth a second look. `filters` are the names of the rule files.
    #[must_use]
    pub fn warnings(&self, filters: &[String]) -> Vec<String> {
        let mut warnings = self.without_effect();
        warnings.extend(self.ignored_by_all());
        warnings.extend(self.long_for_forged());
        if let Ok(built_in) = parse(&[], filters) {
            warnings.extend(self.lower_limits(&built_in));
        }
        warnings.extend(self.doubles(filters));
        warnings.extend(self.open_ami());
        warnings.extend(self.unread_ami());
        warnings.extend(self.unmatched_jails());
        warnings
    }

    fn unread_ami(&self) -> Option<String> {
        let ami = self.ami.as_ref().filter(|ami| ami.enabled)?;
        let is_ami = |path: &String| RemoteSource::named(path) == Ok(Some(RemoteSource::Ami));
        let mut read = self.described().filter(|jail| jail.logpath.iter().any(is_ami));
        let place = at(self.places.of_default("logpath"));
        read.next().is_none().then(|| {
            format!(
                "{place}no events are taken from {}: no jail has \"ami:\" in its logpath",
                ami.host
            )
        })
    }

    /// Returns the patterns of notifiers that are the names of no jail.
    fn unmatched_jails(&self) -> Vec<String> {
        let is_jail = |pattern: &glob::Pattern| {
            pattern.matches(MANUAL)
                || pattern.matches(FLEET)
                || self.described().any(|jail| pattern.matches(&jail.name))
        };
        let of_notifier = |notifier: &Notifier| {
            let name = notifier.name.clone();
            let place = at(self.places.of(&format!("notify.{name}.jail")));
            let unmatched: Vec<_> =
                notifier.jail.iter().filter(|pattern| !is_jail(pattern)).cloned().collect();
            unmatched.into_iter().map(move |pattern| {
                format!(
                    "{place}no jail in use is called {pattern:?}: [notify.{name}] waits in vain",
                    pattern = pattern.as_str()
                )
            })
        };
        self.notify.iter().flat_map(of_notifier).collect()
    }

    fn open_ami(&self) -> Option<String> {
        let ami = self.ami.as_ref().filter(|ami| ami.enabled && !ami.tls && !ami.is_local())?;
        Some(format!(
            "{}events come from {} without TLS: whoever can change packets on the way can name any host. Write tls = true \
             below [ami]",
            at(self.places.of("ami.host")),
            ami.host
        ))
    }

    fn without_effect(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (key, place) in self.places.written_for_all().filter(|(key, _)| !FOR_ALL.contains(key))
        {
            let takes =
                |jail: &Jail| has(jail, key) && self.places.of_jail(&jail.name, key) == Some(place);
            if !self.described().any(takes) {
                let why = if key == "filter" {
                    "built-in jails keep theirs"
                } else {
                    "every jail has its own"
                };
                warnings.push(format!("{place}: {key} below [default] has no effect: {why}"));
            }
        }
        for jail in self.described() {
            warnings.extend(self.never_proven(jail));
            for (key, place) in self.places.written_for(&jail.name) {
                if !has(jail, key) {
                    warnings.push(format!(
                        "{place}: {key} has no effect: [jail.{}] reads no log",
                        jail.name
                    ));
                }
            }
        }
        warnings
    }

    /// What a jail says of proven bans that has nothing but failregexes of its own: these prove nothing.
    fn never_proven(&self, jail: &Jail) -> Vec<String> {
        if jail.own.failregex.is_empty() || !jail.filter.is_empty() {
            return Vec::new();
        }
        let has_effect = |key: &str| match key {
            "bantime" => jail.bantime == jail.unverified.bantime,
            "port" => jail.port == jail.unverified.port,
            _ => true,
        };
        let written = self.places.written_for(&jail.name);
        let words = |(key, place): (&str, &FileLine)| {
            format!(
                "{place}: {key} has no effect: the failregexes of [jail.{}] prove nothing, so `unverified` applies; write \
                 {key} into it, or unverified = \"as-proven\"",
                jail.name
            )
        };
        written.filter(|(key, _)| !has_effect(key)).map(words).collect()
    }

    fn ignored_by_all(&self) -> Vec<String> {
        let everybody = |net: &&IpNet| net.prefix_len() < if net.addr().is_ipv4() { 8 } else { 7 };
        let words = |key: &str, net: &IpNet, place: String| {
            format!(
                "{place}{net} in {key}: nobody there is ever banned, and that is nearly everybody"
            )
        };
        let general = self
            .ignoreip
            .iter()
            .filter(everybody)
            .map(|net| words("ignoreip", net, at(self.places.of_default("ignoreip"))));
        let listed = self.lists.allow.iter().filter(|listed| everybody(&&listed.net));
        let listed =
            listed.map(|listed| words("allow", &listed.net, format!("{}: ", listed.place)));
        let own = self.described().flat_map(|jail| {
            let own = jail.ignoreip.iter().filter(|net| !self.ignoreip.contains(net));
            let place = at(self.places.of_jail(&jail.name, "ignoreip"));
            own.filter(everybody).map(move |net| words("ignoreip", net, place.clone()))
        });
        general.chain(listed).chain(own).collect()
    }

    fn long_for_forged(&self) -> Vec<String> {
        let long = |jail: &&Jail| match jail.unverified.bantime.max {
            BanDuration::For(max) => max > LONG,
            BanDuration::Permanent => true,
        };
        let jails = self.described().filter(long).filter(|jail| jail.count != Counting::Bans);
        let words = |jail: &Jail| {
            format!(
                "{}[jail.{}] bans senders that may be forged for up to {}: an attacker who forges packets of an \
                 innocent host can cause such a ban of it",
                at(self.places.of_jail(&jail.name, "unverified")),
                jail.name,
                jail.unverified.bantime.max
            )
        };
        jails.map(words).collect()
    }

    /// A `maxretry` for all that is below the limits of jails that count what others do, too.
    fn lower_limits(&self, built_in: &Config) -> Option<String> {
        let place = self.places.of_default("maxretry")?;
        let usual = built_in.jails.iter().find(|jail| jail.name == "asterisk-guess")?.maxretry;
        let mut maxretry = 0;
        let lower =
            built_in.jails.iter().filter(|jail| jail.maxretry > usual).filter_map(|before| {
                let now = self.described().find(|jail| jail.name == before.name)?;
                maxretry = now.maxretry;
                let is_lower = self.places.of_jail(&now.name, "maxretry") == Some(place)
                    && now.maxretry < before.maxretry;
                is_lower.then(|| format!("{} (built in: {})", before.name, before.maxretry))
            });
        let lower: Vec<_> = lower.collect();
        (!lower.is_empty()).then(|| {
            format!(
                "{place}: maxretry = {maxretry} below [default] is also that of {}, which monitors and phones can \
                 reach; to keep theirs, write maxretry below their names",
                lower.join(", ")
            )
        })
    }

    /// Jails of one's own that count what built-in ones count.
    fn doubles(&self, filters: &[String]) -> Vec<String> {
        let is_own = |jail: &&Jail| !self.places.is_built_in(&jail.name);
        let mut names: Vec<&str> = filters.iter().map(String::as_str).collect();
        for name in wire_filters() {
            names.push(name);
        }
        let reads = |jail: &Jail, name: &str| jail.filter.iter().any(|filter| filter.matches(name));
        let mut warnings = Vec::new();
        for jail in self.described().filter(is_own).filter(|jail| jail.mode == Mode::Enforce) {
            let shared = |other: &&Jail| {
                other.mode == Mode::Enforce
                    && self.places.is_built_in(&other.name)
                    && names.iter().any(|name| reads(jail, name) && reads(other, name))
                    && jail.class.iter().any(|class| other.class.contains(class))
            };
            let others: Vec<_> =
                self.described().filter(shared).map(|other| other.name.as_str()).collect();
            if let Some(first) = others.first() {
                warnings.push(format!(
                    "{}[jail.{}] counts what these built-in jails count, too: {}; to change when and for how long \
                     they ban, write the values below their names, as in [jail.{first}]; if this jail is to stand \
                     in their place, switch them off with enabled = false",
                    at(self.places.of_jail(&jail.name, "filter")),
                    jail.name,
                    others.join(", ")
                ));
            }
        }
        warnings
    }
}

/// Whether a key changes anything about a jail.
fn has(jail: &Jail, key: &str) -> bool {
    let own = !jail.own.failregex.is_empty();
    let reads_logs = || own || jail.filter.iter().any(|filter| !is_wire_filter(filter.as_str()));
    match jail.count {
        Counting::Bans => !OF_READERS.contains(&key),
        _ => !OF_LOGS.contains(&key) || reads_logs(),
    }
}

/// A place in words, if there is one.
fn at(place: Option<&FileLine>) -> String {
    place.map_or_else(String::new, |place| format!("{place}: "))
}
