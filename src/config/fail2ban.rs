//! What fail2ban's settings are called here, and how its files are told from ours.

use std::ops::Range;

use toml::de::DeTable;

use super::duration;
use super::load::BUILT_IN;
use super::network::network;
use crate::model::hostname::HostName;

/// The page that has all of it.
pub(crate) const PAGE: &str = "docs/from-fail2ban.md";

/// What to write in the place of fail2ban's keys for mails.
const MAIL: &str = "write [notify.NAME] with kind = \"mail\" and to = [\"you@example.com\"]: docs/notifications.md";

/// Where to write the failregexes of a jail.
const OF_A_JAIL: &str = "write it below [jail.NAME], or into a file in rules.d (docs/rules.md)";

/// Sections of a file that are looked at.
const MOST: usize = 200;

/// Names that fail2ban's jails of Asterisk have had.
const ASTERISK: [&str; 5] =
    ["asterisk", "asterisk-iptables", "asterisk-tcp", "asterisk-udp", "asterisk-security"];

/// fail2ban's keys that have another name or none here, and what to do instead. A key that ends with `*` stands for
/// all that begin so.
const KEYS: [(&str, &str); 44] = [
    (
        "banaction*",
        "leave it out: nftables is always used; port = \"all\" closes all ports, port = \"sip\" those of SIP",
    ),
    (
        "action*",
        "leave it out: bans are made by nftables; to run a script too, write [notify.NAME]: docs/notifications.md",
    ),
    ("destemail", MAIL),
    ("sender*", MAIL),
    ("mta", MAIL),
    (
        "ignorecommand",
        "leave it out: no program is run; ignoreip takes addresses, networks and names",
    ),
    ("ignoreself", "leave it out: this machine's own addresses are never banned"),
    ("ignorecache", "leave it out: there is no ignorecommand"),
    ("usedns", "leave it out: names in logs are never looked up"),
    (
        "backend",
        "leave it out: log files are read as they grow; for the journal, write logpath = [\"journal:asterisk.service\"]",
    ),
    ("journalmatch", "leave it out, and write logpath = [\"journal:asterisk.service\"]"),
    ("logencoding", "leave it out: logs may have any encoding"),
    ("logtimezone", "write it below [default]"),
    ("datepattern", OF_A_JAIL),
    ("protocol", "leave it out: a ban closes UDP and TCP"),
    ("chain", "leave it out: the guard has a table of its own"),
    ("failregex", OF_A_JAIL),
    ("ignoreregex", OF_A_JAIL),
    ("prefregex", "write what it has into each failregex, as `asterguard import` does"),
    ("maxlines", "leave it out: messages of several lines are put together"),
    ("maxmatches", "leave it out: `asterguard explain HOST` shows the last events"),
    ("allowipv6", "leave it out: IPv6 is read and banned, too"),
    ("logtarget", "leave it out: the journal has what the guard says"),
    ("syslogsocket", "leave it out: the journal has what the guard says"),
    ("socket", "leave it out: the option --socket says it"),
    ("pidfile", "leave it out: there is none"),
    ("dbfile", "leave it out: the state has its own place"),
    ("dbpurgeage", "leave it out: old bans are kept for as long as they count"),
    ("dbmaxmatches", "leave it out: `asterguard explain HOST` shows the last events"),
    ("stacksize", "leave it out"),
    ("fail2ban_*", "leave it out"),
    ("known/*", "leave it out"),
    ("iptables", "leave it out: nftables is used"),
    ("returntype", "leave it out: nftables is used"),
    ("lockingopt", "leave it out: nftables is used"),
    ("_daemon", "leave it out"),
    ("__*", "leave it out: there are no variables"),
    ("asterisk_log", "leave it out: there are no variables; logpath names the log files"),
    ("abuseipdb*", "leave it out: nothing is reported"),
    ("blocklist_de*", "leave it out: nothing is reported"),
    ("actionban", "leave it out: bans are made by nftables"),
    ("actionunban", "leave it out: bans are made by nftables"),
    ("before", "leave it out: all files *.toml in conf.d are read"),
    ("after", "leave it out: all files *.toml in conf.d are read"),
];

/// The parts of fail2ban's `bantime.…` that are called otherwise.
const BAN_TIME: [(&str, &str); 4] = [
    ("increment", "leave it out: bans grow where factor is 2 or more"),
    ("maxtime", "it is called max here"),
    ("formula", "leave it out: each ban is factor times as long as the one before"),
    ("multipliers", "leave it out: each ban is factor times as long as the one before"),
];

/// Returns what to do with a key of fail2ban's that is none here.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    let is = |name: &str| match name.strip_suffix('*') {
        Some(start) => key.starts_with(start),
        None => key == name,
    };
    KEYS.iter().chain(&BAN_TIME).find(|(name, _)| is(name)).map(|(_, advice)| *advice)
}

/// Whether this is a variable of fail2ban's: `%(…)s`.
pub(crate) fn is_variable(text: &str) -> bool {
    text.split_once("%(").is_some_and(|(_, rest)| rest.contains(")s"))
}

/// Whether fail2ban calls its jail of Asterisk so.
pub(crate) fn is_asterisk(jail: &str) -> bool {
    ASTERISK.contains(&jail)
}

/// A section of fail2ban's that somebody has put into a file of ours.
#[derive(Debug)]
pub(super) struct Pasted {
    /// The place of its header.
    pub header: Range<usize>,
    /// The place of all of it.
    pub whole: Range<usize>,
    /// What it is.
    pub message: String,
    /// What to do, and the lines that mean the same here.
    pub help: String,
}

/// Finds the sections that are fail2ban's. `own` tells the names of our sections.
pub(super) fn pasted(text: &str, own: impl Fn(&str) -> bool) -> Vec<Pasted> {
    let mut headers: Vec<(usize, &str, &str)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(name) = header(line).filter(|_| headers.len() < MOST) {
            headers.push((at + line.len() - line.trim_start().len(), line.trim(), name));
        }
        at += line.len();
    }
    let ends = headers.iter().skip(1).map(|(start, ..)| *start).chain([text.len()]);
    let sections = headers.iter().zip(ends);
    let found = sections.filter_map(|((start, line, name), end)| {
        let body = text.get(start + line.len()..end)?;
        let (message, help) = told(name, body, &own)?;
        Some(Pasted { header: *start..start + line.len(), whole: *start..end, message, help })
    });
    found.collect()
}

/// Whether this is a filter of fail2ban's; the place of what shows it.
pub(crate) fn filter_file(text: &str) -> Option<Range<usize>> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at + line.len() - line.trim_start().len();
        if header(line).is_some_and(|name| matches!(name, "Definition" | "Init" | "INCLUDES")) {
            return Some(start..at + line.trim_end().len());
        }
        at += line.len();
    }
    None
}

/// Whether fail2ban wrote this, or somebody for it: it has sections that we do not have.
pub(crate) fn is_its_file(text: &str) -> bool {
    let is_its = |name| matches!(name, "DEFAULT" | "Definition" | "Init" | "INCLUDES" | "Thread");
    text.lines().filter_map(header).any(|name| is_its(name) || is_asterisk(name))
}

/// Returns the name in a line that is a section's header.
fn header(line: &str) -> Option<&str> {
    let (name, rest) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let is_plain = !name.is_empty() && !name.contains(['[', '"', '\'', ',', '=']);
    (is_plain && (rest.trim().is_empty() || rest.trim_start().starts_with(['#', ';'])))
        .then(|| name.trim())
}

/// Returns what a section is and what to do with it, if it is fail2ban's.
fn told(name: &str, body: &str, own: impl Fn(&str) -> bool) -> Option<(String, String)> {
    match name {
        "INCLUDES" => {
            let help = "leave this section out: all files *.toml in conf.d are read";
            return Some(("there are no includes here".to_owned(), help.to_owned()));
        }
        "Definition" | "Init" => {
            let help = "leave it out: rules for what Asterisk writes are built in; your own rules are files in rules.d (docs/rules.md)";
            return Some((format!("[{name}] is a part of a filter of fail2ban"), help.to_owned()));
        }
        _ => {}
    }
    let is_own = own(name);
    // Names of jails that both have.
    let is_shared = is_own && BUILT_IN.contains(&format!("\n[jail.{name}]\n"));
    if is_own && !is_shared {
        return None;
    }
    let settings = settings(body);
    let known = name == "DEFAULT" || is_shared || name.contains("asterisk");
    let of_jails = ["enabled", "filter", "logpath"];
    let is_ini = || {
        let of_a_jail = settings.iter().any(|(key, _)| of_jails.contains(&key.as_str()));
        (known || of_a_jail) && DeTable::parse(body).is_err()
    };
    let is_foreign = is_asterisk(name)
        || is_ini()
        || settings.iter().any(|(key, _)| key.starts_with("bantime.") || advice(key).is_some());
    if !is_foreign {
        return None;
    }
    if !known {
        let help =
            format!("leave it out here; where it was before, fail2ban goes on with it ({PAGE})");
        return Some((format!("[{name}] is a jail of fail2ban, and not about Asterisk"), help));
    }
    let same = format!("jail.{name}");
    let sections: &[&str] = match name {
        "DEFAULT" => &["default"],
        _ if is_shared => &[&same],
        _ => &["jail.asterisk-scan", "jail.asterisk-guess"],
    };
    let message = match name {
        "DEFAULT" => "[DEFAULT] is a section of fail2ban's jail.local".to_owned(),
        _ => format!("[{name}] is a jail of fail2ban"),
    };
    let lines = meaning(name, &settings);
    let help = if lines.is_empty() {
        let built_in = match name {
            "DEFAULT" => "what it says is built in, or there is none of it",
            _ => "what it does is built in",
        };
        format!("leave it out: {built_in} ({PAGE})")
    } else {
        let lines = sections.iter().map(|section| format!("\n[{section}]\n{}", lines.join("\n")));
        format!("write this in its place ({PAGE}):{}", lines.collect::<String>())
    };
    Some((message, help))
}

/// Returns the keys and values of an INI section; lines that go on are put together.
fn settings(body: &str) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for line in body.lines() {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        let uncommented =
            [" ;", " #", "\t;", "\t#"].iter().filter_map(|mark| text.find(mark)).min();
        let text = uncommented.map_or(text, |end| text.split_at(end).0).trim_end();
        match (settings.last_mut(), text.split_once(['=', ':'])) {
            (Some((_, value)), _) if line.starts_with([' ', '\t']) && !text.contains('=') => {
                value.push(' ');
                value.push_str(text);
            }
            (_, Some((key, value))) => {
                settings.push((key.trim().to_owned(), plain(value).to_owned()));
            }
            _ => {}
        }
    }
    settings
}

/// Returns a value without the quotes and brackets that it has in TOML.
fn plain(value: &str) -> &str {
    value.trim().trim_matches(['"', '\'', '[', ']']).trim()
}

/// Returns the lines that mean the same here.
fn meaning(name: &str, settings: &[(String, String)]) -> Vec<String> {
    let of = |key: &str| {
        let last = settings.iter().rev().find(|(known, _)| known == key);
        last.map(|(_, value)| value.as_str()).filter(|value| !is_variable(value))
    };
    let mut lines = Vec::new();
    let is_off = || BUILT_IN.contains(&format!("\n[jail.{name}]\nenabled = false\n"));
    match of("enabled") {
        Some(value) if is_no(value) => lines.push("enabled = false".to_owned()),
        Some(_) if is_off() => lines.push("enabled = true".to_owned()),
        _ => {}
    }
    if let Some(paths) = of("logpath").filter(|_| name != "recidive") {
        // What is built in names all usual logs.
        let is_built_in = |path: &str| BUILT_IN.contains(&format!("\"{path}\""));
        let paths = words(paths).filter(|path| path.starts_with('/') && !path.ends_with('/'));
        let paths: Vec<_> = paths.collect();
        let others = !paths.iter().all(|path| is_built_in(path));
        let paths = paths.into_iter().filter(|_| others);
        lines.extend(list("logpath", paths));
    }
    if let Some(count) = of("maxretry").and_then(|text| text.parse::<u32>().ok()).filter(|n| *n > 0)
    {
        lines.push(format!("maxretry = {count}"));
    }
    if let Some(length) = of("findtime").and_then(length).filter(|length| length != "\"permanent\"")
    {
        lines.push(format!("findtime = {length}"));
    }
    let first = of("bantime").and_then(length);
    let grows = of("bantime.increment").is_some_and(|value| !is_no(value));
    let max = of("bantime.maxtime").and_then(length).filter(|_| grows);
    match (first, max) {
        (Some(first), Some(max)) => {
            lines.push(format!("bantime = {{ first = {first}, max = {max} }}"));
        }
        (Some(first), None) if grows => lines.push(format!("bantime = {{ first = {first} }}")),
        (Some(first), None) => lines.push(format!("bantime = {first}")),
        (None, Some(max)) => lines.push(format!("bantime = {{ max = {max} }}")),
        (None, None) => {}
    }
    let all = ["any", "anyport", "all", "0:65535", "1:65535", "0-65535", "1-65535"];
    let closes_all =
        |key| of(key).is_some_and(|value| value.contains("allports") || all.contains(&value));
    if ["banaction", "action", "port"].into_iter().any(closes_all) {
        lines.push("port = \"all\"".to_owned());
    }
    if let Some(ignored) = of("ignoreip") {
        let is_one = |word: &&str| network(word).is_ok() || word.parse::<HostName>().is_ok();
        lines.extend(list("ignoreip", words(ignored).filter(is_one)));
    }
    lines
}

/// Whether fail2ban takes this for `false`.
fn is_no(value: &str) -> bool {
    ["false", "no", "off", "0"].contains(&value.to_lowercase().as_str())
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    let words = value.split(|c: char| c.is_whitespace() || c == ',');
    words.map(|word| word.trim_matches(['"', '\''])).filter(|word| !word.is_empty())
}

fn list<'a>(key: &str, items: impl Iterator<Item = &'a str>) -> Option<String> {
    let items = items.filter(|item| !item.contains(['"', '\\']));
    let items: Vec<_> = items.map(|item| format!("\"{item}\"")).collect();
    (!items.is_empty()).then(|| format!("{key} = [{}]", items.join(", ")))
}

/// Returns a length of time as it is written here.
fn length(text: &str) -> Option<String> {
    match text {
        "-1" => Some("\"permanent\"".to_owned()),
        _ if duration::parse(text).is_ok() => {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            Some(if is_number { text.to_owned() } else { format!("\"{text}\"") })
        }
        // fail2ban's months.
        _ => {
            let text = text.replace("mo", "M");
            duration::parse(&text).ok().map(|_| format!("\"{text}\""))
        }
    }
}
