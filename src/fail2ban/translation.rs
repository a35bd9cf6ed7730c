//! A configuration of fail2ban's as files of ours, with a report on each of its lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::jails::{Configuration, Jail, Setting};
use super::options::Named;
use super::regexes::{Fate, Samples, fate};
use super::report::{Report, Verdict};
use super::stock;
use super::terms::{Key, Terms, ignored, list, quoted};
use crate::config::fail2ban::is_asterisk;
use crate::config::load::BUILT_IN;
use crate::model::event::Evidence;
use crate::rules::date_pattern::Dates;
use crate::rules::search::LineRegex;
use crate::rules::{Grammar, RuleSet};

/// The first line of each file that is written: such a file may be written again.
pub const MARK: &str = "# Written by `asterguard import` from fail2ban's configuration.";

/// Our jails for Asterisk.
const BUILT_IN_JAILS: [&str; 2] = ["asterisk-scan", "asterisk-guess"];

/// Files of ours.
#[derive(Debug, Default)]
pub struct Translation {
    /// For `conf.d`.
    pub config: String,
    /// For `rules.d`: names without `.toml`, and texts.
    pub rules: Vec<(String, String)>,
    /// What became of each line.
    pub report: Report,
    /// The jails that stay in fail2ban.
    pub stay: Vec<String>,
    /// The jails that are taken over.
    pub taken: Vec<String>,
}

/// Translates a configuration. Jails that are not about Asterisk stay in fail2ban, unless they are in `also`. `is_there`
/// tells whether there is a file of this path.
#[must_use]
pub fn translate(
    configuration: &Configuration,
    rules: &RuleSet,
    also: &[String],
    is_there: impl Fn(&str) -> bool,
) -> Translation {
    let samples = Samples::of(rules);
    let mut work = Work { samples, ..Work::default() };
    work.general(configuration, is_there);
    for jail in &configuration.jails {
        if jail.name == "recidive"
            || jail.filter.named.as_ref().is_some_and(|filter| filter.name == "recidive")
        {
            work.recidive(jail);
        } else if is_about_asterisk(jail) || also.contains(&jail.name) {
            work.jail(jail);
        } else {
            work.done.stay.push(jail.name.clone());
        }
    }
    work.finish()
}

/// Whether a jail reads what Asterisk writes.
fn is_about_asterisk(jail: &Jail) -> bool {
    let names = |text: &str| text.to_lowercase().contains("asterisk");
    is_asterisk(&jail.name)
        || names(&jail.name)
        || jail.filter.named.as_ref().is_some_and(|filter| names(&filter.name))
        || jail.get("logpath").is_some_and(names)
        || jail.filter.journalmatch.iter().any(|line| names(line))
}

#[derive(Default)]
struct Work {
    done: Translation,
    samples: Samples,
    /// Sections with their keys.
    sections: BTreeMap<String, Vec<Key>>,
    allowfiles: BTreeSet<String>,
    notify: BTreeMap<String, String>,
    /// The logs that jails for Asterisk name besides those that are built in.
    logs: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Work {
    fn general(&mut self, configuration: &Configuration, is_there: impl Fn(&str) -> bool) {
        let Some(setting) =
            configuration.ignoreip.as_ref().filter(|setting| !setting.text.trim().is_empty())
        else {
            return;
        };
        let ignored = ignored(&setting.text);
        let written = setting.written.as_ref();
        if !ignored.known.is_empty() {
            self.sections
                .entry("default".to_owned())
                .or_default()
                .push(("ignoreip", list(&ignored.known)));
            let why = "as it is; names are looked up every 5 minutes";
            self.done.report.add(
                "DEFAULT",
                ("ignoreip", &setting.text),
                written,
                Verdict::Taken,
                why,
            );
        }
        let (files, missing): (Vec<_>, Vec<_>) =
            ignored.files.into_iter().partition(|path| is_there(path));
        for path in missing {
            let key = ("ignoreip", format!("file:{path}"));
            let why = "there is no such file";
            self.done.report.add("DEFAULT", (key.0, &key.1), written, Verdict::Cannot, why);
        }
        for path in files {
            let why = "allowfiles of [lists]: read at the start and at each reload";
            self.done.report.add(
                "DEFAULT",
                ("ignoreip", &format!("file:{path}")),
                written,
                Verdict::Taken,
                why,
            );
            self.allowfiles.insert(path);
        }
        for (word, why) in ignored.wrong {
            self.done.report.add("DEFAULT", ("ignoreip", &word), written, Verdict::Cannot, why);
        }
    }

    fn recidive(&mut self, jail: &Jail) {
        self.done.taken.push(jail.name.clone());
        let mut keys = Terms::of(jail, true, &mut self.done.report);
        // It reads nothing, and counts bans.
        keys.retain(|(key, _)| {
            ["maxretry", "findtime", "bantime", "port", "ignoreip"].contains(key)
        });
        let why =
            "the built-in jail recidive counts the proven bans of all other jails; it reads no log";
        self.filter_line(jail, Verdict::Better, why);
        self.actions(jail);
        if !keys.is_empty() {
            self.sections.insert("jail.recidive".to_owned(), keys);
        }
    }

    /// Says what became of the filter of a jail.
    fn filter_line(&mut self, jail: &Jail, verdict: Verdict, why: &str) {
        let setting = jail.settings.get("filter");
        let text = setting.map_or("", |setting| setting.text.as_str());
        let written = setting.and_then(|setting| setting.written.as_ref());
        self.done.report.add(&jail.name, ("filter", text), written, verdict, why);
    }

    fn jail(&mut self, jail: &Jail) {
        self.done.taken.push(jail.name.clone());
        let (mut stock, mut covered) = (Vec::new(), BTreeSet::new());
        let mut own: Vec<(String, Evidence)> = Vec::new();
        let prefix = jail.filter.prefregex.as_deref();
        for failregex in &jail.filter.failregex {
            match fate(failregex, prefix, &self.samples) {
                Fate::Stock(by) => {
                    stock.push(failregex.as_str());
                    covered.extend(by);
                }
                Fate::Covered(by) => {
                    let why = format!(
                        "a stranger can write in it; built-in rules read these lines and know better whose they are: {}",
                        few(&by)
                    );
                    self.regex_line(jail, "failregex", failregex, Verdict::Better, &why);
                    covered.extend(by);
                }
                Fate::Rule { regex, evidence, beside } => {
                    let (verdict, mut why) = match evidence {
                        Evidence::Hearsay => (Verdict::Hearsay, "the host is not pinned between fixed text and an end of the message: a stranger may write it, so it is shown and bans nobody; write the whole message from ^ to $".to_owned()),
                        _ => (Verdict::Taken, "a rule; its host counts as unproven".to_owned()),
                    };
                    if !beside.is_empty() {
                        let _ = write!(
                            why,
                            "; built-in rules read some of its lines, too: {}",
                            few(&beside)
                        );
                    }
                    self.regex_line(jail, "failregex", failregex, verdict, &why);
                    own.push((regex, evidence));
                }
                Fate::Refused(why) => {
                    self.regex_line(jail, "failregex", failregex, Verdict::Cannot, &why);
                }
            }
        }
        if !stock.is_empty() {
            let why = format!(
                "{} of its failregexes {} known: the built-in rules asterisk-* read these messages, with the evidence of each",
                stock.len(),
                if stock.len() == 1 { "is" } else { "are" },
            );
            self.filter_line(jail, Verdict::Better, &why);
        } else if jail.filter.failregex.is_empty() {
            self.filter_line(jail, Verdict::Cannot, "no failregex is left of it");
        }
        let is_built_in = !stock.is_empty() || !covered.is_empty();
        if is_built_in {
            self.built_in(jail);
        }
        if !own.is_empty() {
            self.own(jail, &own, is_built_in);
        }
        self.actions(jail);
    }

    fn regex_line(&mut self, jail: &Jail, key: &str, regex: &str, verdict: Verdict, why: &str) {
        let written = jail.settings.get(key).and_then(|setting| setting.written.as_ref());
        // The prefix is the same in all.
        let message = stock::message(regex);
        let shown = if message.len() < regex.len() { format!("...{message}") } else { message };
        self.done.report.add(&jail.name, (key, &shown), written, verdict, why);
    }

    /// Gives the built-in jails the terms of a jail.
    fn built_in(&mut self, jail: &Jail) {
        let keys = Terms::of(jail, true, &mut self.done.report);
        let keys: Vec<_> = keys
            .into_iter()
            .filter(|(key, value)| !(*key == "port" && value == "\"sip\""))
            .collect();
        self.logpath(jail, true);
        for name in BUILT_IN_JAILS {
            let section = self.sections.entry(format!("jail.{name}")).or_default();
            let mut differs = Vec::new();
            for (key, value) in &keys {
                match section.iter().find(|(known, _)| known == key) {
                    Some((_, known)) if known != value => differs.push(*key),
                    Some(_) => {}
                    None => section.push((key, value.clone())),
                }
            }
            if name == BUILT_IN_JAILS[0] {
                for key in differs {
                    let text = jail.get(key).unwrap_or_default().to_owned();
                    let why =
                        "two jails of fail2ban become one here; the value of the first one counts";
                    self.done.report.add(&jail.name, (key, &text), None, Verdict::Cannot, why);
                }
            }
        }
    }

    /// Returns the logs of a jail as they are written here, and says what became of them.
    fn logpath(&mut self, jail: &Jail, built_in: bool) -> Vec<String> {
        let setting = jail.settings.get("logpath");
        let written = setting.and_then(|setting| setting.written.as_ref());
        let report = &mut self.done.report;
        if jail.get("backend").is_some_and(|backend| backend.starts_with("systemd")) {
            let matches = jail.filter.journalmatch.iter().flat_map(|line| line.split_whitespace());
            let units = matches.filter_map(|word| word.strip_prefix("_SYSTEMD_UNIT="));
            let mut logs: Vec<_> = units.map(|unit| format!("journal:{unit}")).collect();
            if logs.is_empty() {
                logs.push("journal:asterisk.service".to_owned());
            }
            let text = jail.get("backend").unwrap_or_default().to_owned();
            report.add(
                &jail.name,
                ("backend", &text),
                None,
                Verdict::Taken,
                format!("logpath = {}", list(&logs)),
            );
            if built_in {
                self.logs.extend(logs.iter().cloned());
            }
            return logs;
        }
        let mut logs = Vec::new();
        let mut known = 0;
        for line in setting.map_or("", |setting| setting.text.as_str()).lines().map(str::trim) {
            let path = line
                .rsplit_once(char::is_whitespace)
                .filter(|(_, end)| ["head", "tail"].contains(end));
            let path = path.map_or(line, |(path, _)| path.trim());
            if path.is_empty() {
                continue;
            }
            if !path.starts_with('/') || path.ends_with('/') {
                report.add(
                    &jail.name,
                    ("logpath", path),
                    written,
                    Verdict::Cannot,
                    "it is no path of a file from / on",
                );
            } else if built_in && BUILT_IN.contains(&format!("\"{path}\"")) {
                known += 1;
                report.add(
                    &jail.name,
                    ("logpath", path),
                    written,
                    Verdict::Better,
                    "it is built in, with all usual logs of Asterisk",
                );
            } else {
                let why = if path.contains("full") {
                    "as it is; in `full`, callers write between the true lines, so it is untrusted: log `messages` or `security`, too"
                } else {
                    "as it is"
                };
                report.add(&jail.name, ("logpath", path), written, Verdict::Taken, why);
                logs.push(path.to_owned());
            }
        }
        if logs.is_empty() && known == 0 {
            let why = "no log is named: the usual logs of Asterisk are read";
            report.add(&jail.name, ("logpath", ""), written, Verdict::Better, why);
        }
        if built_in {
            self.logs.extend(logs.iter().cloned());
        }
        logs
    }

    /// Writes a rule file for the failregexes of a jail that are its own, and a jail that uses it.
    fn own(&mut self, jail: &Jail, own: &[(String, Evidence)], is_built_in: bool) {
        let name = self.name_of(&jail.name);
        let file = format!("fail2ban-{}", sanitized(&jail.name));
        let mut text = format!(
            "{MARK}\n# Failregexes of its jail {}. docs/rules.md has the format.\n\nprefix = \"fail2ban\"\n",
            printable(&jail.name)
        );
        let prefix = jail.filter.prefregex.as_deref();
        let mut ignore = Vec::new();
        for regex in &jail.filter.ignoreregex {
            let whole = prefix.map_or_else(
                || Ok(regex.clone()),
                |prefix| super::regexes::with_prefix(prefix, regex),
            );
            match whole.and_then(|whole| {
                LineRegex::read(&whole, Grammar::Fail2ban)
                    .map(|_| whole)
                    .map_err(|error| error.to_string())
            }) {
                Ok(whole) => {
                    self.regex_line(
                        jail,
                        "ignoreregex",
                        regex,
                        Verdict::Taken,
                        "as it is; a sender can write the text that it looks for",
                    );
                    ignore.push(whole);
                }
                Err(why) => self.regex_line(jail, "ignoreregex", regex, Verdict::Cannot, &why),
            }
        }
        if !ignore.is_empty() {
            let items: Vec<_> =
                ignore.iter().map(|regex| format!("    {},\n", quoted(regex))).collect();
            let _ = writeln!(text, "ignoreregex = [\n{}]", items.concat());
        }
        if let Some(dates) = &jail.filter.datepattern {
            match Dates::new(Some(dates)) {
                Ok(_) => {
                    let _ = writeln!(text, "datepattern = {}", quoted(dates));
                }
                Err(error) => {
                    self.regex_line(
                        jail,
                        "datepattern",
                        dates,
                        Verdict::Cannot,
                        &error.to_string(),
                    );
                }
            }
        }
        for (number, (regex, evidence)) in (1..).zip(own) {
            let _ = write!(
                text,
                "\n[[rule]]\nid = \"failregex-{number}\"\nfailregex = {}\nclass = \"guess\"\nevidence = \"{evidence}\"\n",
                quoted(regex)
            );
        }
        self.done.rules.push((file.clone(), text));
        let mut silent = Report::default();
        let report = if is_built_in { &mut silent } else { &mut self.done.report };
        let mut keys = vec![("filter", list(&[file]))];
        keys.extend(Terms::of(jail, false, report));
        let logs = if is_built_in {
            let before = std::mem::take(&mut self.done.report);
            let logs = self.logpath(jail, false);
            self.done.report = before;
            logs
        } else {
            self.logpath(jail, false)
        };
        if !logs.is_empty() {
            keys.push(("logpath", list(&logs)));
        }
        self.sections.insert(format!("jail.{name}"), keys);
    }

    /// Returns a name for a jail of ours that nothing else has.
    fn name_of(&mut self, jail: &str) -> String {
        let plain = sanitized(jail);
        let taken = is_asterisk(&plain)
            || BUILT_IN.contains(&format!("[jail.{plain}]"))
            || plain == "manual";
        let mut name = if taken { format!("fail2ban-{plain}") } else { plain };
        while !self.names.insert(name.clone()) {
            name.push('x');
        }
        name
    }

    fn actions(&mut self, jail: &Jail) {
        let setting = jail.settings.get("action");
        for action in &jail.actions {
            let (verdict, why) = self.action(jail, action);
            let written = setting.and_then(|setting: &Setting| setting.written.as_ref());
            self.done.report.add(&jail.name, ("action", &action.name), written, verdict, why);
        }
    }

    fn action(&mut self, jail: &Jail, action: &Named) -> (Verdict, String) {
        let name = action.name.to_lowercase();
        let begins = |names: &[&str]| names.iter().any(|known| name.starts_with(known));
        if begins(&[
            "iptables",
            "nftables",
            "firewallcmd",
            "ufw",
            "shorewall",
            "ipfw",
            "ipset",
            "pf",
            "npf",
            "route",
            "hostsdeny",
            "bsd-ipfw",
            "apf",
            "afctl",
            "osx",
            "netscaler",
            "nginx-block",
        ]) {
            return (
                Verdict::Better,
                "bans are elements of sets in nftables, with a timeout each; no command is run"
                    .to_owned(),
            );
        }
        if begins(&["mail", "sendmail", "mynetwatchman"]) || name.ends_with("-whois") {
            return self.mail(jail, action, name.contains("whois"));
        }
        if begins(&[
            "abuseipdb",
            "blocklist_de",
            "badips",
            "dshield",
            "complain",
            "xarf",
            "cloudflare",
            "voipbl",
            "symbiosis",
            "smtp.py",
        ]) {
            let why = format!(
                "nothing is reported to others; to run a script of yours for each ban, complete [notify.{}] in the file",
                sanitized(&action.name)
            );
            self.stub(&action.name);
            return (Verdict::Cannot, why);
        }
        if name == "dummy" {
            return (Verdict::Better, "it does nothing".to_owned());
        }
        self.stub(&action.name);
        let why = format!(
            "its commands are never run by a shell; to run a program for each ban, complete [notify.{}] in the file: it gets JSON on its standard input",
            sanitized(&action.name)
        );
        (Verdict::Cannot, why)
    }

    fn mail(&mut self, jail: &Jail, action: &Named, whois: bool) -> (Verdict, String) {
        let to = action
            .options
            .get("dest")
            .cloned()
            .or_else(|| jail.get("destemail").map(str::to_owned))
            .unwrap_or_default();
        let from =
            action.options.get("sender").cloned().or_else(|| jail.get("sender").map(str::to_owned));
        let is_address = |text: &str| {
            let parts =
                text.split_once('@').filter(|(name, host)| !name.is_empty() && host.contains('.'));
            parts.is_some()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
        };
        let name = "mail-of-fail2ban".to_owned();
        if !is_address(&to) {
            let text = "# kind = \"mail\"\n# to = [\"you@example.com\"]\n".to_owned();
            self.notify.entry(name.clone()).or_insert(text);
            return (
                Verdict::Cannot,
                format!(
                    "`{}` is no address outside of this machine: complete [notify.{name}] in the file (docs/notifications.md)",
                    printable(&to)
                ),
            );
        }
        let mut text = format!("enabled = false\nkind = \"mail\"\nto = [{}]\n", quoted(&to));
        if let Some(from) = from.filter(|from| is_address(from)) {
            let _ = writeln!(text, "from = {}", quoted(&from));
        }
        if whois {
            text.push_str("whois = true\n");
        }
        self.notify.insert(name.clone(), text);
        (
            Verdict::Taken,
            format!(
                "[notify.{name}], switched off: delete `enabled = false` there, then run `asterguard notify test`"
            ),
        )
    }

    /// Leaves a place for a program of an action.
    fn stub(&mut self, action: &str) {
        let text =
            "# kind = \"command\"\n# command = [\"/usr/local/bin/your-program\"]\n".to_owned();
        self.notify.entry(sanitized(action)).or_insert(text);
    }

    fn finish(mut self) -> Translation {
        if !self.logs.is_empty() {
            let mut logs: Vec<String> = self.logs.iter().cloned().collect();
            logs.extend(built_in_logs());
            for name in BUILT_IN_JAILS {
                let section = self.sections.entry(format!("jail.{name}")).or_default();
                section.push(("logpath", list(&logs)));
            }
        }
        let mut text = format!("{MARK}\n# `asterguard import` says what became of each line.\n");
        if !self.allowfiles.is_empty() {
            let files: Vec<_> = self.allowfiles.iter().cloned().collect();
            let _ = write!(text, "\n[lists]\nallowfiles = {}\n", list(&files));
        }
        for (section, keys) in self.sections.iter().filter(|(_, keys)| !keys.is_empty()) {
            let _ = write!(text, "\n[{section}]\n");
            for (key, value) in keys {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        for (name, body) in &self.notify {
            let off = if body.starts_with('#') { "# " } else { "" };
            let _ = write!(text, "\n{off}[notify.{name}]\n{body}");
        }
        Translation { config: text, ..self.done }
    }
}

/// Returns the logs that are built in.
fn built_in_logs() -> Vec<String> {
    let table: toml::Table = toml::from_str(&BUILT_IN).unwrap_or_default();
    let logs = table.get("default").and_then(|default| default.get("logpath")?.as_array().cloned());
    let logs = logs.unwrap_or_default();
    logs.iter().filter_map(|log| log.as_str().map(str::to_owned)).collect()
}

/// Returns at most three names.
fn few(names: &[String]) -> String {
    let mut text = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > 3 {
        let _ = write!(text, " and {} more", names.len() - 3);
    }
    text
}

/// Returns a name of letters, digits, `-` and `_`.
fn sanitized(name: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = name.chars().take(40).map(fine).collect();
    if name.is_empty() { "jail".to_owned() } else { name }
}

/// Returns a text on one line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
