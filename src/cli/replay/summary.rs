//! What a replay comes to, and what it had to leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::super::log_file::{self, unrecognized};
use super::super::output::Output;
use super::super::text::wrapped;
use super::captures::CaptureNumbers;
use super::log::{Dating, Log};
use crate::decide::plan::Plan;
use crate::model::event::{Ban, Event, Evidence, Meaning, Origin};
use crate::model::time::Time;
use crate::model::words::counted;

/// Hosts that are remembered of each kind.
const MOST_HOSTS: usize = 65_536;
/// Hosts that are named in the summary.
const MOST_NAMED: usize = 5;

/// The last object of a replay.
#[derive(Debug, Default, Serialize)]
#[serde(tag = "action", rename = "summary")]
pub struct Summary {
    pub lines: u64,
    pub offences: u64,
    pub tampered: u64,
    pub hearsay: u64,
    pub ignored: u64,
    pub successes: u64,
    /// Lines about what the captures do not show.
    pub unmatched: u64,
    pub banned: u64,
    /// Bans that jails in observe mode would have made, and these jails.
    pub observed: u64,
    pub observing: Vec<String>,
    /// Offences of hosts that are never banned.
    ignored_hosts: IgnoredHosts,
    /// Offences that were excused because their hosts are known good.
    pub excused: u64,
    /// Lines without a date that can be read, of levels that no rule reads, that neither Asterisk nor the kernel begins
    /// so, and that were too long to be read.
    undated: u64,
    other_levels: u64,
    unknown: u64,
    oversized: u64,
    /// The files in which no line looks like Asterisk's.
    pub unrecognized: Vec<String>,
    /// The files that cannot be read, and those that are left out because their lines have no dates.
    pub unreadable: Vec<String>,
    pub undated_files: Vec<String>,
    /// The number of logs; the files behind them are captures.
    #[serde(skip)]
    pub logs: usize,
    /// The captures; `None`: there were none, so what the PBX did is unknown.
    pub captures: Option<CaptureNumbers>,
    banned_hosts: BannedHosts,
    supposed: Supposed,
    withheld: Vec<Withheld>,
}

/// The hosts that are never banned.
#[derive(Debug, Default)]
struct IgnoredHosts {
    lines: u64,
    hosts: BTreeSet<IpAddr>,
}

/// The hosts that would have been banned, by what their last offence was seen in.
#[derive(Debug, Default, Serialize)]
struct BannedHosts {
    #[serde(serialize_with = "number")]
    logs: BTreeSet<IpAddr>,
    #[serde(serialize_with = "number")]
    captures: BTreeSet<IpAddr>,
}

/// The hosts that would have been banned if the PBX did what the lines tell, and their offences then.
#[derive(Debug, Default)]
struct Supposed {
    hosts: BTreeMap<IpAddr, u32>,
    /// Single ports of hosts.
    ports: BTreeSet<(IpAddr, u16)>,
}

/// Bans that the limit of unverified bans withheld.
#[derive(Debug, Serialize)]
struct Withheld {
    #[serde(serialize_with = "words")]
    origin: Origin,
    /// A time in the first flood.
    #[serde(serialize_with = "words")]
    time: Time,
    bans: u64,
}

impl Summary {
    /// Counts an event.
    pub fn note(&mut self, event: &Event) {
        let count = match (event.meaning, event.evidence) {
            (Meaning::Tampered, _) => &mut self.tampered,
            (Meaning::Ignored, _) => &mut self.ignored,
            (_, Evidence::Hearsay) => &mut self.hearsay,
            (Meaning::Success, _) => &mut self.successes,
            (Meaning::Offence(_), _) => &mut self.offences,
        };
        *count += 1;
    }

    /// Counts a ban that is due by what stands in a file.
    pub fn ban(&mut self, ban: &Ban, file: usize) {
        self.banned += 1;
        let BannedHosts { logs, captures } = &mut self.banned_hosts;
        if ban.subject.is_flow() {
            return;
        }
        remember(if file < self.logs { logs } else { captures }, ban.host);
    }

    /// Counts a ban that would be due if the PBX did what the lines tell.
    pub fn suppose(&mut self, ban: &Ban) {
        let Supposed { hosts, ports } = &mut self.supposed;
        if let Some(port) = ban.subject.port() {
            if ports.len() < MOST_HOSTS {
                ports.insert((ban.host, port));
            }
        } else if hosts.len() < MOST_HOSTS || hosts.contains_key(&ban.host) {
            *hosts.entry(ban.host).or_default() += ban.offences;
        }
    }

    /// Counts an offence of a host that is never banned.
    pub fn ignore(&mut self, host: IpAddr) {
        self.ignored_hosts.lines += 1;
        remember(&mut self.ignored_hosts.hosts, host);
    }

    /// Counts what was in logs.
    pub fn add_logs(&mut self, logs: &[Log]) {
        for log in logs {
            let path = || log.path.display().to_string();
            self.lines += log.lines;
            self.undated += log.forms.undated();
            self.other_levels += log.forms.other_levels;
            self.unknown += log.forms.unknown;
            self.oversized += log.oversized();
            if log.is_unrecognized() {
                self.unrecognized.push(path());
            }
            if log.is_left_out() {
                self.undated_files.push(path());
            }
        }
    }

    /// Counts bans that were withheld.
    pub fn withhold(&mut self, origin: Origin, time: Time, bans: u64) {
        match self.withheld.iter_mut().find(|known| known.origin == origin) {
            Some(known) => known.bans += bans,
            None => self.withheld.push(Withheld { origin, time, bans }),
        }
    }
}

impl Supposed {
    fn shown(&self) -> ShownHosts {
        ShownHosts {
            hosts: self.hosts.len(),
            first: self.hosts.keys().take(MOST_NAMED).copied().collect(),
            ports: self.ports.len(),
        }
    }
}

impl Serialize for Supposed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

impl Serialize for IgnoredHosts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("lines", &self.lines)?;
        map.serialize_entry("hosts", &self.hosts.len())?;
        map.serialize_entry("first", &self.first())?;
        map.end()
    }
}

impl IgnoredHosts {
    fn first(&self) -> Vec<IpAddr> {
        self.hosts.iter().take(MOST_NAMED).copied().collect()
    }

    fn in_words(&self) -> String {
        let named: Vec<_> = self.first().iter().map(ToString::to_string).collect();
        let more = if self.hosts.len() > named.len() { ", ..." } else { "" };
        format!("of hosts that are never banned: {}{more}", named.join(", "))
    }
}

/// How many hosts there are, and the first few.
#[derive(Serialize)]
struct ShownHosts {
    hosts: usize,
    first: Vec<IpAddr>,
    ports: usize,
}

fn remember(hosts: &mut BTreeSet<IpAddr>, host: IpAddr) {
    if hosts.len() < MOST_HOSTS {
        hosts.insert(host);
    }
}

fn number<S: Serializer>(hosts: &BTreeSet<IpAddr>, serializer: S) -> Result<S::Ok, S::Error> {
    hosts.len().serialize(serializer)
}

fn words<S: Serializer>(what: &impl std::fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(what)
}

/// Says what it came to.
pub fn finish(summary: &Summary, plan: &Plan, logs: &[Log], output: &Output) {
    if output.json {
        output.object(summary);
        return;
    }
    let tell = |text: String| output.line(wrapped(&text, 2));
    tell(format!(
        "{}: {}, {}, {}",
        summary.read(),
        counted(summary.offences, "offence"),
        counted(summary.banned, "ban"),
        counted(summary.successes, "login")
    ));
    summary.left_out().into_iter().for_each(|line| output.line(line));
    for path in &summary.unreadable {
        tell(format!("left out: {} cannot be read", log_file::name(path.as_ref())));
    }
    for path in &summary.undated_files {
        let name = log_file::name(path.as_ref());
        tell(format!("left out: the lines of {name} have no time to merge them by"));
    }
    for log in logs.iter().filter(|log| log.is_unrecognized()) {
        tell(unrecognized(&log_file::name(&log.path), log.is_empty()));
    }
    for log in logs.iter().filter(|log| log.dating == Dating::Undated && log.alone) {
        tell(format!(
            "{}: no time can be read in its lines; they were counted in their order, as if written all at once",
            log_file::name(&log.path)
        ));
    }
    for log in logs.iter().filter(|log| log.scanner.free_text().is_some()) {
        tell(format!(
            "{} holds VERBOSE or DEBUG lines: within 8192 bytes behind one, addresses cannot be trusted, so nobody is banned by them (jail option hearsay = \"count\" changes that, with the risk)",
            log_file::name(&log.path)
        ));
    }
    for Withheld { origin, time, bans } in &summary.withheld {
        tell(format!(
            "withheld: {} by {origin}, as there were more unverified ones a minute than `maxunverified = {}` allows; at {time} for the first time",
            counted(*bans, "ban"),
            plan.config.maxunverified
        ));
    }
    if !summary.observing.is_empty() {
        let all = summary.observing.len() == plan.config.described().count();
        let jails = if all { "all jails".to_owned() } else { summary.observing.join(", ") };
        let bans = counted(summary.observed, "ban");
        tell(format!("observed only: {bans} of {jails}, because of `mode = \"observe\"`"));
    }
    for line in summary.captures.iter().flat_map(CaptureNumbers::lines) {
        tell(line);
    }
    tell(summary.verdict());
}

impl Summary {
    /// What was read: `27 lines`, `27 lines, 300 packets`.
    fn read(&self) -> String {
        let packets = self.captures.as_ref().map(|captures| counted(captures.packets, "packet"));
        match packets {
            Some(packets) if self.logs == 0 => packets,
            Some(packets) => format!("{}, {packets}", counted(self.lines, "line")),
            None => counted(self.lines, "line"),
        }
    }

    /// The lines that counted for nothing, and why.
    fn left_out(&self) -> Vec<String> {
        let ignored = self.ignored_hosts.in_words();
        let reasons: [(u64, &str); 10] = [
            (self.hearsay, "hearsay: a stranger may have written the address"),
            (self.tampered, "tampered: they may name two hosts"),
            (self.unmatched, "about refusals that the captures do not show at that time"),
            (self.ignored_hosts.lines, &ignored),
            (self.excused, "of hosts that are known good, which may fail now and then"),
            (self.ignored, "harmless: a rule or an ignoreregex says so"),
            (self.other_levels, "VERBOSE, DEBUG and the like: no rule reads these levels"),
            (self.unknown, "not written by Asterisk, or the rest of a message"),
            (self.oversized, "of 8000 bytes or more: too long to be believed"),
            (self.undated, "without a date that can be read: the one before them counts"),
        ];
        let mut lines = Vec::new();
        for (count, why) in reasons.into_iter().filter(|(count, _)| *count > 0) {
            if lines.is_empty() {
                lines.push("left out:".to_owned());
            }
            lines.push(wrapped(&format!("{count:>9}  {why}"), 11));
        }
        lines
    }

    /// Returns the hosts that what the PBX did would have banned, as far as that is known, and those by text.
    fn verdict(&self) -> String {
        let BannedHosts { logs, captures } = &self.banned_hosts;
        let by_text = counted(logs.len(), "host");
        if self.captures.is_some() {
            let text = counted(captures.len(), "host");
            let more =
                if self.logs > 0 { format!("; by the logs: {by_text}") } else { String::new() };
            return format!("would be banned by what the PBX did: {text}{more}");
        }
        let Supposed { hosts, ports } = &self.supposed;
        let mut text = format!(
            "would be banned by what the PBX did, if it did what the lines tell: {}{} (text alone: {by_text})",
            counted(hosts.len(), "host"),
            match ports.len() {
                0 => String::new(),
                1 => " and 1 port of a phone".to_owned(),
                ports => format!(" and {ports} ports of phones"),
            }
        );
        for (n, (host, offences)) in hosts.iter().take(MOST_NAMED).enumerate() {
            let gap = if n == 0 { ':' } else { ',' };
            let _ = write!(text, "{gap} {host} ({})", counted(*offences, "offence"));
        }
        if hosts.len() > MOST_NAMED {
            text += ", ...";
        }
        text + "; a capture of its packets shows what it did (`--pcap`)"
    }
}

impl CaptureNumbers {
    /// What was found in the captures, and what was not read.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let own: Vec<_> = self.own.iter().map(ToString::to_string).collect();
        if own.is_empty() {
            lines.push(
                "captures: no packet goes to or from a SIP port; are the ports of the PBX in the list `sip` of the configuration?".to_owned(),
            );
        } else {
            lines.push(format!(
                "captures: {} at SIP ports of {} (`--own` says otherwise), {} in them, {} by HEP",
                counted(self.relevant, "packet"),
                own.join(", "),
                counted(self.sip, "SIP message"),
                self.hep
            ));
        }
        let mut left_out = Vec::new();
        for (count, what) in [
            (self.other, "elsewhere or without SIP's transports"),
            (self.undated, "without a time"),
        ] {
            if count > 0 {
                left_out.push(format!("{} {what}", counted(count, "packet")));
            }
        }
        for (link_type, count) in &self.link_types {
            left_out.push(format!(
                "{} of the unknown link type {link_type}",
                counted(*count, "packet")
            ));
        }
        if !left_out.is_empty() {
            lines.push(format!("left out: {}", left_out.join(", ")));
        }
        if self.cut > 0 {
            lines.push(format!(
                "cut: {} of which the capture has only the beginning; what is missing may have been credentials (`tcpdump -s 0` copies all)",
                counted(self.cut, "packet")
            ));
        }
        if self.forgotten > 0 {
            lines.push(format!(
                "forgotten: {} early, because there were too many at a time",
                counted(self.forgotten, "exchange")
            ));
        }
        lines
    }
}
