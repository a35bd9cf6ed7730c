//! The terms of a jail of fail2ban's as keys of one of ours: how many, how long, which ports, which logs.

use std::fmt::Write as _;

use super::jails::{Jail, Setting, is_stock};
use super::options::{is_yes, seconds, words};
use super::report::{Report, Verdict};
use crate::config::duration;
use crate::config::network::network;
use crate::model::hostname::HostName;

/// A key with its value in TOML.
pub type Key = (&'static str, String);

/// What fail2ban brings: who has not changed it did not choose it.
const STOCK: [(&str, &[i64]); 3] =
    [("bantime", &[600]), ("findtime", &[600]), ("maxretry", &[3, 5, 10])];

/// Names of ports that `port =` may hold.
const PORTS: [(&str, u16); 12] = [
    ("ssh", 22),
    ("http", 80),
    ("https", 443),
    ("sip", 5060),
    ("sips", 5061),
    ("sip-tls", 5061),
    ("iax", 4569),
    ("smtp", 25),
    ("ftp", 21),
    ("imap", 143),
    ("pop3", 110),
    ("submission", 587),
];

/// Spellings of all ports.
const ALL_PORTS: [&str; 8] =
    ["any", "all", "anyport", "0:65535", "1:65535", "0-65535", "1-65535", "0:65534"];

/// Returns a text as TOML has it.
#[must_use]
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() || c == '\t';
    if !text.contains('\'') && text.chars().all(is_plain) && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    if !text.contains("'''")
        && !text.ends_with('\'')
        && text.chars().all(is_plain)
        && text.contains(['"', '\\'])
    {
        return format!("'''{text}'''");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Returns a list as TOML has it.
#[must_use]
pub fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// Returns a length of time as it is written here; `None` if it is none, or too long.
fn length(text: &str) -> Option<String> {
    let number = seconds(text)?;
    if number < 0 {
        return Some("\"permanent\"".to_owned());
    }
    let known = duration::seconds(number).ok()?;
    let same = duration::parse(text.trim()).is_ok_and(|length| length == known);
    let is_number = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    Some(if same && !is_number { quoted(text.trim()) } else { number.to_string() })
}

/// The keys of a jail of ours, while they are collected.
pub struct Terms<'a> {
    jail: &'a Jail,
    /// Whether what nobody chose is left to what is built in.
    built_in: bool,
    report: &'a mut Report,
    /// What has been found so far.
    pub keys: Vec<Key>,
}

impl<'a> Terms<'a> {
    /// Reads the terms of a jail. `built_in`: for jails that are built in, values that fail2ban brings are left out.
    pub fn of(jail: &'a Jail, built_in: bool, report: &'a mut Report) -> Vec<Key> {
        let mut terms = Self { jail, built_in, report, keys: Vec::new() };
        terms.number();
        terms.findtime();
        terms.bantime();
        terms.port();
        terms.blocktype();
        terms.ignoreip();
        terms.others();
        terms.keys
    }

    fn setting(&self, key: &str) -> Option<&'a Setting> {
        self.jail.settings.get(key).filter(|setting| !setting.text.trim().is_empty())
    }

    fn say(&mut self, key: &str, verdict: Verdict, why: impl Into<String>) {
        let setting = self.jail.settings.get(key);
        let text = setting.map_or("", |setting| setting.text.as_str());
        let written = setting.and_then(|setting| setting.written.as_ref());
        self.report.add(&self.jail.name, (key, text), written, verdict, why);
    }

    /// Whether a value is one that fail2ban brings, and is therefore left out.
    fn is_default(&mut self, key: &str, value: i64) -> bool {
        let stock = STOCK.iter().any(|(known, values)| *known == key && values.contains(&value));
        let own = self.setting(key).is_some_and(Setting::is_own);
        if !self.built_in || own || !stock {
            return false;
        }
        self.say(
            key,
            Verdict::Better,
            "it is fail2ban's own value; each built-in jail has one that fits what it counts",
        );
        true
    }

    fn number(&mut self) {
        let Some(setting) = self.setting("maxretry") else { return };
        match setting.text.trim().parse::<u32>() {
            Ok(number) if number > 0 => {
                if !self.is_default("maxretry", number.into()) {
                    self.keys.push(("maxretry", number.to_string()));
                    self.say("maxretry", Verdict::Taken, "here, attempts count and not lines: one that is logged twice counts once, so you can lower it");
                }
            }
            _ => self.say("maxretry", Verdict::Cannot, "it is no number above 0"),
        }
    }

    fn findtime(&mut self) {
        let Some(setting) = self.setting("findtime") else { return };
        match length(&setting.text).filter(|length| length != "\"permanent\"") {
            Some(length) => {
                if !self.is_default("findtime", seconds(&setting.text).unwrap_or_default()) {
                    self.keys.push(("findtime", length));
                    self.say("findtime", Verdict::Taken, "as it is");
                }
            }
            None => {
                self.say("findtime", Verdict::Cannot, "it is no length of time up to 100 years");
            }
        }
    }

    fn bantime(&mut self) {
        let first = self.setting("bantime").and_then(|setting| {
            let scaled = self.factor().filter(|_| self.grows()).and_then(|factor| {
                let seconds = seconds(&setting.text).filter(|seconds| *seconds > 0)?;
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "lengths are checked behind it"
                )]
                let scaled = (seconds as f64 * factor).round() as i64;
                Some(scaled.to_string())
            });
            length(&scaled.unwrap_or_else(|| setting.text.clone()))
        });
        if first.is_none() && self.setting("bantime").is_some() {
            self.say("bantime", Verdict::Cannot, "it is no length of time up to 100 years");
        }
        if !self.grows() {
            let Some(first) = first else { return };
            let number = self.setting("bantime").and_then(|setting| seconds(&setting.text));
            if !self.is_default("bantime", number.unwrap_or_default()) {
                self.keys.push(("bantime", first));
                let why = "for proven hosts; an unproven sender of a UDP packet is banned from the SIP ports for 10 minutes at first";
                self.say("bantime", Verdict::Taken, why);
            }
            return;
        }
        let mut parts = Vec::new();
        if let Some(first) = &first {
            parts.push(format!("first = {first}"));
            self.say("bantime", Verdict::Taken, "the first ban");
        }
        let factor = self.growth();
        parts.push(format!("factor = {factor}"));
        self.say("bantime.increment", Verdict::Taken, format!("bans grow: factor = {factor}"));
        if let Some(max) = self.setting("bantime.maxtime") {
            let number = seconds(&max.text).filter(|number| *number > 0);
            let shortest =
                self.setting("bantime").and_then(|first| seconds(&first.text)).unwrap_or(0);
            match length(&max.text).filter(|_| number.is_some_and(|number| number >= shortest)) {
                Some(max) => {
                    parts.push(format!("max = {max}"));
                    self.say("bantime.maxtime", Verdict::Taken, "max");
                }
                None => self.say(
                    "bantime.maxtime",
                    Verdict::Cannot,
                    "it is no length of time that is longer than the first ban",
                ),
            }
        } else if first.is_some() {
            parts.push("max = \"100y\"".to_owned());
        }
        if let Some(random) = self.setting("bantime.rndtime") {
            match length(&random.text).filter(|length| length != "\"permanent\"" && length != "0") {
                Some(random) => {
                    parts.push(format!("rndtime = {random}"));
                    self.say("bantime.rndtime", Verdict::Taken, "rndtime");
                }
                None => self.say("bantime.rndtime", Verdict::Cannot, "it is no length of time"),
            }
        }
        if let Some(all) = self.setting("bantime.overalljails") {
            parts.push(format!("overalljails = {}", is_yes(&all.text)));
            self.say("bantime.overalljails", Verdict::Taken, "overalljails");
        }
        self.keys.push(("bantime", format!("{{ {} }}", parts.join(", "))));
    }

    fn grows(&self) -> bool {
        self.setting("bantime.increment").is_some_and(|setting| is_yes(&setting.text))
    }

    fn factor(&self) -> Option<f64> {
        let factor = self.setting("bantime.factor")?.text.trim().parse::<f64>().ok()?;
        (0.001..=1000.0).contains(&factor).then_some(factor)
    }

    /// Returns by what each ban is longer than the one before.
    fn growth(&mut self) -> u32 {
        if let Some(factor) = self.setting("bantime.factor") {
            match self.factor() {
                Some(_) => self.say(
                    "bantime.factor",
                    Verdict::Taken,
                    "it multiplies every ban, so the first one is that much longer",
                ),
                None => {
                    let why = format!("`{}` is no number up to 1000", factor.text);
                    self.say("bantime.factor", Verdict::Cannot, why);
                }
            }
        }
        if let Some(multipliers) = self.setting("bantime.multipliers") {
            let numbers: Vec<f64> =
                words(&multipliers.text).filter_map(|word| word.parse().ok()).collect();
            let ratio = match numbers.as_slice() {
                [first, .., last] if *first > 0.0 && last >= first => {
                    let steps = u32::try_from(numbers.len() - 1).unwrap_or(1);
                    (last / first).powf(1.0 / f64::from(steps))
                }
                _ => 1.0,
            };
            let factor = whole(ratio);
            let why = format!(
                "bans grow by a factor here, not by a list: {factor} is the nearest; set max to the longest ban"
            );
            self.say("bantime.multipliers", Verdict::Taken, why);
            return factor;
        }
        let Some(formula) = self.setting("bantime.formula") else { return 2 };
        let plain: String = formula.text.split_whitespace().collect();
        if plain.contains("1<<(ban.Count") {
            self.say(
                "bantime.formula",
                Verdict::Taken,
                "each ban is twice as long as the one before: factor = 2",
            );
            2
        } else if plain.contains("math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)") {
            let factor = whole(self.factor().unwrap_or(1.0).exp());
            self.say(
                "bantime.formula",
                Verdict::Taken,
                format!("it grows by a constant factor: {factor} is the nearest"),
            );
            factor
        } else {
            let why = "it is Python, and is never run: bans double here; write factor yourself";
            self.say("bantime.formula", Verdict::Cannot, why);
            2
        }
    }

    fn port(&mut self) {
        let all = |text: &str| text.contains("allports") || ALL_PORTS.contains(&text.trim());
        let action = self.jail.actions.iter().any(|action| {
            let option = |key: &str| {
                action.options.get(key).is_some_and(|value| ALL_PORTS.contains(&value.as_str()))
            };
            all(&action.name) || option("port") || option("protocol")
        });
        let port = self.setting("port").map(|setting| setting.text.clone());
        if action || port.as_deref().is_some_and(all) {
            self.keys.push(("port", quoted("all")));
            if port.is_some() {
                self.say("port", Verdict::Taken, "all ports are closed: port = \"all\"");
            }
            return;
        }
        let Some(port) = port else { return };
        let numbers: Vec<_> = words(&port).map(|word| word.replace(':', "-")).collect();
        let number = |word: &String| {
            let known = PORTS.iter().find(|(name, _)| name == word).map(|(_, port)| *port);
            let first = word.split('-').next().and_then(|first| first.parse().ok());
            known.or(first)
        };
        let of_pbx = |port: u16| {
            (5060..=5061).contains(&port)
                || port == 4569
                || (5038..=5039).contains(&port)
                || (8088..=8089).contains(&port)
        };
        if numbers.iter().all(|word| number(word).is_some_and(of_pbx)) {
            if !self.built_in {
                self.keys.push(("port", quoted("sip")));
            }
            self.say("port", Verdict::Better, "port = \"sip\" closes the ports of SIP, IAX2, AMI and HTTP that Asterisk opens, UDP and TCP");
        } else {
            self.keys.push(("port", quoted("all")));
            self.say("port", Verdict::Better, "other ports than those of the phone system: all are closed; name them in [ports] to close only these");
        }
    }

    fn blocktype(&mut self) {
        let option = self.jail.actions.iter().find_map(|action| action.options.get("blocktype"));
        let own = self.setting("blocktype").map(|setting| &setting.text);
        let Some(text) = option.or(own) else { return };
        let small = text.to_lowercase();
        let kind =
            if small.contains("drop") || small.contains("blackhole") { "drop" } else { "reject" };
        if !(kind == "drop" && self.built_in) {
            self.keys.push(("blocktype", quoted(kind)));
        }
        let text = text.clone();
        self.report.add(
            &self.jail.name,
            ("blocktype", &text),
            None,
            Verdict::Taken,
            format!("blocktype = \"{kind}\""),
        );
    }

    fn ignoreip(&mut self) {
        let Some(setting) = self.setting("ignoreip").filter(|setting| !is_of_default(setting))
        else {
            return;
        };
        let ignored = ignored(&setting.text);
        if !ignored.known.is_empty() {
            self.keys.push(("ignoreip", list(&ignored.known)));
            self.say("ignoreip", Verdict::Taken, "as it is; names are looked up every 5 minutes");
        }
        for path in ignored.files {
            let why = "a file lets its hosts through for all jails here: write it into allowfiles of [lists] if that is meant";
            let key = ("ignoreip", format!("file:{path}"));
            let written = setting.written.as_ref();
            self.report.add(&self.jail.name, (key.0, &key.1), written, Verdict::Cannot, why);
        }
        for (word, why) in ignored.wrong {
            self.report.add(
                &self.jail.name,
                ("ignoreip", &word),
                setting.written.as_ref(),
                Verdict::Cannot,
                why,
            );
        }
    }

    /// Says what becomes of keys that have no place here.
    fn others(&mut self) {
        for (key, verdict, why) in [
            (
                "ignorecommand",
                Verdict::Cannot,
                "no program is run for a host; write the hosts or names that it lets through into ignoreip, or a file of them into allowfiles of [lists]",
            ),
            ("ignorecache", Verdict::Better, "there is no ignorecommand whose answers to keep"),
            (
                "usedns",
                Verdict::Better,
                "names in logs are never looked up: who writes them would choose who is banned; names in ignoreip are",
            ),
            (
                "ignoreself",
                Verdict::Better,
                "this machine's own addresses, its gateway and its name servers are never banned",
            ),
            ("logencoding", Verdict::Better, "logs may have any encoding: they are read as bytes"),
            (
                "logtimezone",
                Verdict::Better,
                "a line counts when it is written, whatever its date says; for `replay`, write logtimezone below [default]",
            ),
            ("maxmatches", Verdict::Better, "`asterguard explain HOST` shows the lines"),
            ("skip_if_nologs", Verdict::Better, "a log that is not there yet is awaited"),
            (
                "systemd_if_nologs",
                Verdict::Better,
                "a log that is not there yet is awaited; the journal is read where logpath says so",
            ),
            ("protocol", Verdict::Better, "a ban closes UDP and TCP"),
            ("chain", Verdict::Better, "the guard has a table of its own, before all others"),
        ] {
            let Some(setting) = self.setting(key) else { continue };
            // What fail2ban brings needs no word.
            if setting.is_own() {
                self.say(key, verdict, why);
            }
        }
        let lines = self.jail.filter.maxlines.filter(|lines| *lines > 1);
        if let Some(lines) = lines {
            let why = "one message is read at a time, so nothing is joined that a stranger wrote between two lines; messages of Asterisk with several lines are put together";
            self.report.add(
                &self.jail.name,
                ("maxlines", &lines.to_string()),
                None,
                Verdict::Cannot,
                why,
            );
        }
        let own = self.jail.unknown.iter().filter(|(_, value)| !is_stock(&value.source.path));
        for (key, value) in own {
            let why = "it is no key of fail2ban's: perhaps a variable, which is replaced where it is used";
            self.report.add(&self.jail.name, (key, &value.text), Some(value), Verdict::Better, why);
        }
    }
}

/// Returns the nearest whole number, from 1 to 1000.
fn whole(factor: f64) -> u32 {
    let rounded = if factor.is_finite() { factor.round().clamp(1.0, 1000.0) } else { 1000.0 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to 1000")]
    let whole = rounded as u32;
    whole
}

/// Whether a value of a jail stands in `[DEFAULT]`: then it is written there here, too.
fn is_of_default(setting: &Setting) -> bool {
    setting.written.as_ref().is_some_and(|value| {
        let before = value.source.text.get(..value.span.start).unwrap_or_default();
        let mut headers = before.lines().rev().map(str::trim).filter(|line| line.starts_with('['));
        headers.next().is_some_and(|line| line.starts_with("[DEFAULT]"))
    })
}

/// The words of `ignoreip`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// Addresses, networks and names.
    pub known: Vec<String>,
    /// Files with one a line.
    pub files: Vec<String>,
    /// Words that are none, and why.
    pub wrong: Vec<(String, String)>,
}

/// Reads `ignoreip`.
#[must_use]
pub fn ignored(text: &str) -> Ignored {
    let mut ignored = Ignored::default();
    for word in words(text).map(|word| word.trim_matches(['"', '\''])) {
        if let Some(path) = word.strip_prefix("file:").map(|path| path.trim_start_matches("//")) {
            if path.starts_with('/') {
                ignored.files.push(path.to_owned());
            } else {
                ignored.wrong.push((word.to_owned(), "the path does not begin with /".to_owned()));
            }
        } else if network(word).is_ok() || word.parse::<HostName>().is_ok() {
            ignored.known.push(word.to_owned());
        } else {
            ignored.wrong.push((word.to_owned(), "it is no address, network or name".to_owned()));
        }
    }
    ignored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_keep_their_spelling_where_it_means_the_same() {
        for (text, expected) in [
            ("600", Some("600")),
            ("10m", Some("\"10m\"")),
            ("1mo", Some("2629800")),
            ("-1", Some("\"permanent\"")),
            ("101y", None),
            ("soon", None),
        ] {
            assert_eq!(length(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_quoted_so_that_toml_reads_them() {
        for text in ["a", "a\"b", "a\\d'b\"", "a'''b\\", "a\u{1b}b", "it's'", "é"] {
            let toml: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
            assert_eq!(toml["x"].as_str().unwrap(), text);
        }
    }

    #[test]
    fn ignored_hosts_are_addresses_networks_names_and_files() {
        let ignored = ignored("127.0.0.1/8, ::1 office.example.com file:/etc/a file:b 10.0.0.300 ");
        assert_eq!(ignored.known, ["127.0.0.1/8", "::1", "office.example.com"]);
        assert_eq!(ignored.files, ["/etc/a"]);
        assert_eq!(ignored.wrong.len(), 2);
    }
}
