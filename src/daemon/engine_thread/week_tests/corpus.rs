//! A week of what a real Asterisk 16.28 wrote under attack, and each number of the report of it, compared with the table
//! that says what each attacker did and how many lines of each kind the log has of it.
//!
//! `tests/data/week-messages.log` has all lines of the attacks that write 30 lines at most. With `CORPUS` in the environment,
//! the log `messages-default.log` and the table `visible.tsv` in that directory are read instead: there, some attackers wrote
//! lines into the log as well, so that not all lines count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{HOUR, HOURS, Lab, NOW, report};
use crate::model::time::Time;
use crate::report::{DaemonFacts, Report, Totals};

const CONFIG: &str = r#"
[default]
enabled = false
ipv6prefix = 128
logpath = ["/log"]
maxunverified = 3600
[jail.asterisk-guess]
enabled = true
class = ["guess", "user", "extension", "acl", "malformed", "scan"]
maxretry = 5
findtime = "1d"
bantime = "30d"
unverified = { bantime = "30d" }
hearsay = "count"
"#;

/// The kinds of lines, in attacks whose names begin so, that count, the rules that are for them, and how many
/// of them Asterisk writes an attempt.
const KINDS: [(&str, &str, &str, u64); 21] = [
    ("chan_sip-", "Wrong password", "asterisk-sip/wrong-password", 1),
    ("chan_sip-", "Username/auth name mismatch", "asterisk-sip/auth-name-mismatch", 1),
    ("chan_sip-", "failure to pass ACL", "asterisk-sip/peer-acl", 2),
    ("chan_sip-", "Device does not match ACL", "asterisk-sip/peer-acl-echo", 2),
    ("chan_sip-guest", "rejected because", "asterisk-sip/unknown-extension", 1),
    ("chan_pjsip-", "Failed to authenticate", "asterisk-pjsip/failed-to-authenticate", 1),
    ("chan_pjsip-", "No matching endpoint found", "asterisk-pjsip/no-matching-endpoint", 2),
    ("chan_pjsip-", "did not pass ACL", "asterisk-pjsip/acl", 2),
    ("chan_pjsip-epacl", "Request '", "asterisk-pjsip/acl", 2),
    ("chan_pjsip-guest", "rejected because", "asterisk-pjsip/unknown-extension", 1),
    ("chan_pjsip-guest", "Endpoint 'anonymous'", "asterisk-pjsip/anonymous-register", 1),
    ("ami-", "failed to authenticate", "asterisk-ami/failed-to-authenticate", 1),
    ("ami-", "nonexistent user", "asterisk-ami/unknown-user", 1),
    ("http-", "failed to authenticate", "asterisk-ami/failed-to-authenticate", 1),
    ("http-", "nonexistent user", "asterisk-ami/unknown-user", 1),
    ("http-", "WebSocket connection", "asterisk-ami/websocket-probe", 1),
    ("iax-", "failed MD5", "asterisk-iax/wrong-password", 1),
    ("iax-", "failed to authenticate", "asterisk-iax/wrong-password", 1),
    ("iax-", "No registration for", "asterisk-iax/unknown-peer", 2),
    ("iax-", "CallToken", "asterisk-iax/no-call-token", 2),
    ("iax-", "denied access", "asterisk-iax/peer-acl", 1),
];

/// What the table says of an attacker.
struct Attacker {
    host: String,
    is_offence: bool,
    /// Its lines that count, by text and rule.
    kinds: Vec<(&'static str, &'static str)>,
    /// How many, by rule, and how many an attempt has.
    lines: BTreeMap<&'static str, (u64, u64)>,
}

impl Attacker {
    /// Reads a line of the table: the name of the attack, the host, its attempts, whether it is one, and at the end the
    /// number of its lines of each kind: `{'Wrong password': 5}`.
    fn read(line: &str) -> Self {
        let [run, host, _, offence, .., kinds] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let mut attacker = Self {
            host: host.to_owned(),
            is_offence: offence == "1",
            kinds: Vec::new(),
            lines: BTreeMap::new(),
        };
        for pair in kinds.trim_matches(['{', '}']).split(", ") {
            let Some((kind, lines)) = pair.rsplit_once(": ") else { continue };
            let fits = |(of, text, ..): &&(&str, &'static str, &'static str, u64)| {
                run.starts_with(of) && kind.contains(text)
            };
            if let (Some((_, text, rule, per_attempt)), Ok(lines)) =
                (KINDS.iter().find(fits), lines.parse::<u64>())
            {
                attacker.kinds.push((text, rule));
                attacker.lines.entry(rule).or_insert((0, *per_attempt)).0 += lines;
            }
        }
        attacker
    }

    /// The rule that is for a line of its log, if that is one of its lines and counts.
    fn rule_of(&self, line: &str) -> Option<&'static str> {
        let (_, rule) = self.kinds.iter().find(|(text, _)| line.contains(text))?;
        let is_part = |c: char| c.is_ascii_hexdigit() || c == '.';
        let is_whole = |(at, _): (usize, &str)| {
            !line[..at].ends_with(|c: char| c.is_ascii_digit() || c == '.')
                && !line[at + self.host.len()..].starts_with(is_part)
        };
        line.match_indices(&self.host).any(is_whole).then_some(rule)
    }

    fn lines(&self) -> u64 {
        self.lines.values().map(|(lines, _)| lines).sum()
    }

    fn attempts(&self) -> u64 {
        self.lines.values().map(|(lines, per_attempt)| lines.div_ceil(*per_attempt)).sum()
    }
}

/// The log and the table.
fn read() -> (String, Vec<Attacker>) {
    let (directory, log, table) = match std::env::var_os("CORPUS") {
        Some(corpus) => (PathBuf::from(corpus), "messages-default.log", "visible.tsv"),
        None => {
            let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
            (data, "week-messages.log", "week-visible.tsv")
        }
    };
    let read =
        |name| String::from_utf8_lossy(&fs::read(directory.join(name)).unwrap()).into_owned();
    // Hosts on a link of its own are never banned: what they do is no attempt.
    let table = read(table);
    let hosts = table.lines().skip(1).filter(|line| !line.contains("linklocal"));
    let attackers = hosts.map(Attacker::read).collect();
    (read(log), attackers)
}

fn date_of(line: &str) -> Option<i64> {
    let date = line.strip_prefix("[Nov 22 ")?.get(..8)?;
    let [hours, minutes, seconds] =
        date.split(':').map(|it| it.parse().ok()).collect::<Vec<Option<i64>>>()[..]
    else {
        return None;
    };
    Some(hours? * HOUR + minutes? * 60 + seconds?)
}

/// A line of the log that counts.
struct Line {
    hour: i64,
    host: String,
    rule: &'static str,
    text: String,
}

/// The log, as if what was written in some minutes had been written in a week: its text by hours, and its lines that count.
fn stretched(log: &str, attackers: &[Attacker]) -> (BTreeMap<i64, String>, Vec<Line>) {
    let dates = || log.lines().filter_map(date_of);
    let (first, last) = (dates().min().unwrap(), dates().max().unwrap());
    let begin = NOW.secs() - (HOURS / 2 - 1) * HOUR;
    let factor = (NOW.secs() - begin) / (last - first);
    let (mut hours, mut lines, mut time) = (BTreeMap::<i64, String>::new(), Vec::new(), begin);
    for line in log.lines() {
        let mut rest = line;
        let date = date_of(line);
        if let Some(date) = date {
            time = begin + (date - first) * factor;
            rest = &line["[Nov 22 00:00:00".len()..];
        }
        let text = hours.entry(time / HOUR).or_default();
        if date.is_some() {
            *text += &Timestamp::from_second(time).unwrap().strftime("[%b %d %H:%M:%S").to_string();
            let of = attackers.iter().find_map(|it| Some((it, it.rule_of(line)?)));
            lines.extend(of.map(|(it, rule)| Line {
                hour: time / HOUR,
                host: it.host.clone(),
                rule,
                text: line.to_owned(),
            }));
        }
        *text += rest;
        text.push('\n');
    }
    (hours, lines)
}

/// How often each of them stands there.
fn counts<K: Ord>(keys: impl IntoIterator<Item = K>) -> BTreeMap<K, u64> {
    let mut all = BTreeMap::new();
    keys.into_iter().for_each(|key| *all.entry(key).or_default() += 1);
    all
}

/// The report of the week that this log is stretched to.
fn report_of(hours: &BTreeMap<i64, String>) -> Report {
    let mut lab = Lab::with(CONFIG);
    for (hour, text) in hours {
        let pieces: Vec<_> = text.split_inclusive('\n').collect();
        pieces.chunks(1000).for_each(|some| lab.read(&some.concat()));
        lab.store(Time::from_secs(((hour + 1) * HOUR).min(NOW.secs())));
    }
    let week_ago = Time::from_secs(NOW.secs() - 7 * 24 * HOUR);
    report(lab.home.path(), NOW, week_ago, Some(DaemonFacts::default()))
}

/// Compares who was banned, from where, and for which account.
fn bans_are_true(report: &Report, lines: &[Line], attackers: &[Attacker]) {
    let banned: BTreeSet<&str> =
        attackers.iter().filter(|it| it.attempts() >= 5).map(|it| it.host.as_str()).collect();
    assert!(attackers.iter().all(|it| it.is_offence || !banned.contains(it.host.as_str())));
    assert_eq!((report.totals.bans, report.banned_hosts), (banned.len() as u64, banned.len()));
    for row in &report.hosts {
        assert!(banned.contains(row.host.as_str()), "{}", row.host);
        assert_eq!((row.bans, row.attempts), (1, 5), "{}", row.host);
    }
    for (network, start) in [("198.51.100.0/24", "198."), ("2001:db8:bad::/48", "2001:")] {
        let hosts = banned.iter().filter(|host| host.starts_with(start)).count() as u64;
        let row = report.networks.iter().find(|it| it.name.starts_with(network)).unwrap();
        assert_eq!((row.hosts, row.bans, row.attempts), (hosts, hosts, 5 * hosts), "{network}");
    }
    let of_banned = lines.iter().filter(|it| banned.contains(it.host.as_str()));
    let tried: BTreeSet<_> =
        of_banned.filter(|it| it.text.contains("<sip:1000@")).map(|it| it.host.as_str()).collect();
    let account = report.accounts.iter().find(|row| row.account == "1000").unwrap();
    assert_eq!((account.hosts, account.exists), (tried.len() as u64, false));
    assert_eq!(report.came_back.hosts, 0);
    // Each ban is in an hour in which its host was at work.
    for hour in report.hours.iter().filter(|it| it.bans > 0) {
        let at_work: BTreeSet<_> =
            lines.iter().filter(|it| it.hour == hour.time / HOUR).map(|it| &it.host).collect();
        assert!(hour.bans <= at_work.len() as u64, "{}", hour.time);
    }
}

#[test]
fn each_number_of_a_real_week_is_true() {
    let (log, attackers) = read();
    let (hours, lines) = stretched(&log, &attackers);
    // The lines are those of the table.
    let by_host = counts(lines.iter().map(|line| line.host.as_str()));
    let told = attackers.iter().map(|it| (it.host.as_str(), it.lines()));
    assert_eq!(by_host, told.filter(|(_, lines)| *lines > 0).collect());

    let report = report_of(&hours);
    let Totals { attempts, untrusted, ambiguous, observed, .. } = report.totals;
    let is_whole = std::env::var_os("CORPUS").is_some();
    if !is_whole {
        assert_eq!((attempts, untrusted, ambiguous, observed), (lines.len() as u64, 0, 0, 0));
        bans_are_true(&report, &lines, &attackers);
    }
    let by_rule = counts(lines.iter().map(|line| line.rule));
    for row in report.rules.iter().filter(|row| by_rule.contains_key(row.rule.as_str())) {
        let counted = row.numbers.attempts + row.numbers.ambiguous;
        let told = by_rule[row.rule.as_str()];
        println!("{}: {counted} counted, {told} in the table", row.rule);
        // Attackers wrote some lines of the whole corpus.
        let forged = if is_whole { 100 } else { 0 };
        assert!(told.abs_diff(counted) <= forged, "{}", row.rule);
    }
    let by_hour = counts(lines.iter().map(|line| line.hour));
    for hour in report.hours.iter().filter(|_| !is_whole) {
        let told = by_hour.get(&(hour.time / HOUR)).copied().unwrap_or(0);
        assert_eq!(hour.attempts, told, "{}", hour.time);
    }
    assert_eq!(report.hours.iter().map(|it| it.attempts).sum::<u64>(), attempts);
    assert_eq!((report.before.attempts, report.before.bans), (0, 0));
}
