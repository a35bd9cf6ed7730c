//! `asterguard explain`

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use ipnet::IpNet;
use serde::Serialize;

use super::banned::ban_line;
use super::client::ask;
use super::completions;
use super::list::{Listed, listed};
use super::output::{Failure, Output};
use super::state_file::{self, StoredBan};
use super::test::{LineVerdict, in_words, verdict};
use super::without_daemon::PlacesArgs;
use super::{Exit, host};
use crate::config::{Counting, Jail, Mode};
use crate::control::SubjectText;
use crate::control::banned::NamedBan;
use crate::control::explain::{
    ExplainRequest, HostReport, JailReport, KnownGoodReport, LineReport, StrangerReport,
};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::decide::policy;
use crate::detect::scanner::{Clock, Scanner};
use crate::doctor::other_tables::{self, Dropper};
use crate::input::line_splitter::Region;
use crate::model::event::{ChannelId, Event, Evidence, JailId, Meaning};
use crate::model::scope::range_words;
use crate::model::subject::{Subject, canonical, written};
use crate::model::time::{HumanDuration, Time};
use crate::model::words::counted;
use crate::notify::send::whois;
use crate::sys::program::Program;

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Address of a host, or address and port: why it is banned or not. Or a log line: what each jail
    /// does with it
    #[arg(value_name = "HOST|LINE", add = ArgValueCandidates::new(completions::banned))]
    subject: String,
    /// Also show what `whois` says of the host: its network, and where to complain
    #[arg(long)]
    whois: bool,
    #[command(flatten)]
    places: PlacesArgs,
}

/// The time that `whois` may take.
pub(super) const WHOIS_PATIENCE: Duration = Duration::from_secs(5);

pub fn explain(args: &ExplainArgs, output: &Output) -> Result<(), Failure> {
    match host(&args.subject) {
        Ok(whom) => explain_host(whom, args, output),
        Err(_) if args.whois => Err(Failure {
            exit: Exit::Usage,
            message: format!("{:?} is no address, so `whois` knows nothing of it", args.subject),
        }),
        Err(_) if args.subject.contains(' ') => {
            explain_line(&args.subject, args.places.config.config.as_deref(), output)
        }
        Err(_) => Err(Failure {
            exit: Exit::Usage,
            message: format!("{:?} is neither an address nor a log line (in quotes)", args.subject),
        }),
    }
}

fn explain_host(whom: Subject, args: &ExplainArgs, output: &Output) -> Result<(), Failure> {
    match ask(&args.places.socket.socket, &ExplainRequest { host: SubjectText(whom) }) {
        Ok(report) => {
            let listed = listed(&args.places.socket.socket, report.host)?;
            show(&About::new(report, listed, &args.places.state.state_dir), args, output);
            Ok(())
        }
        // What the configuration says is known without it.
        Err(Failure { exit: exit @ (Exit::NoDaemon | Exit::NotPermitted), message }) => {
            let plan = load_plan(args.places.config.config.as_deref())?;
            let (report, source) = state_file::report(plan, &args.places.state.state_dir, whom);
            let (report, listed, looked) = match args.places.in_kernel(whom) {
                Some((bans, listed)) => {
                    let looked = "; the bans and lists are those in the kernel";
                    (HostReport { bans: Some(bans), ..report }, listed, looked)
                }
                None => (report, Vec::new(), ""),
            };
            show(&About::new(report, listed, &args.places.state.state_dir), args, output);
            let message = format!("{message}\n{source}{looked}");
            Err(Failure { exit, message })
        }
        Err(failure) => Err(failure),
    }
}

/// Looks once at the rest of the firewall, and returns the rules that turn the host away, or the
/// reason why they are not known.
pub(super) fn elsewhere(host: IpAddr) -> Result<Vec<Dropper>, String> {
    other_tables::who_drops(&Program::nft(), canonical(host)).map_err(|error| error.to_string())
}

/// A host's report, and what the rest of the firewall does.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    report: &'a HostReport,
    /// The lists by which it is dropped without a ban.
    listed: &'a [Listed],
    /// The rules elsewhere that turn the host away; `None`: the rest of the firewall could not be looked at.
    elsewhere: Option<&'a [Dropper]>,
    /// Bans that are over; `None`: the state file cannot be read.
    earlier: Option<&'a [StoredBan]>,
    /// The lines of `whois`; not there if they are not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    whois: Option<Vec<String>>,
}

/// All that is known of a host.
struct About {
    report: HostReport,
    listed: Vec<Listed>,
    elsewhere: Result<Vec<Dropper>, String>,
    earlier: Option<Vec<StoredBan>>,
}

impl About {
    /// Looks at the rest of the firewall and at the state file besides.
    fn new(report: HostReport, listed: Vec<Listed>, state_dir: &Path) -> Self {
        let elsewhere = elsewhere(report.host);
        let earlier = state_file::earlier(state_dir, &report);
        Self { report, listed, elsewhere, earlier }
    }

    /// Returns it for people.
    fn lines(&self) -> Vec<String> {
        let words = host_in_words(&self.report, &self.listed);
        let mut lines: Vec<_> = words.trim_end().lines().map(str::to_owned).collect();
        let earlier = self.earlier.iter().flatten();
        lines.extend(earlier.map(|ban| format!("  {}", ban.in_words())));
        lines.extend(elsewhere_in_words(&self.elsewhere));
        lines
    }
}

/// Returns all that is known of a host, for people.
///
/// # Errors
/// When the daemon cannot be asked.
pub(super) fn about(
    whom: Subject,
    socket: &Path,
    state_dir: &Path,
) -> Result<Vec<String>, Failure> {
    let report = ask(socket, &ExplainRequest { host: SubjectText(whom) })?;
    let listed = listed(socket, report.host)?;
    Ok(About::new(report, listed, state_dir).lines())
}

/// Returns what `whois` says of a host, for people, or why it says nothing.
pub(super) fn whois(host: IpAddr) -> Vec<String> {
    let nobody = || vec!["no registry knows this address: it is not of the internet".to_owned()];
    whois::of_host(host, WHOIS_PATIENCE).unwrap_or_else(nobody)
}

fn show(about: &About, args: &ExplainArgs, output: &Output) {
    let whois = args.whois.then(|| whois(about.report.host));
    if output.json {
        let About { report, listed, elsewhere, earlier } = about;
        let (elsewhere, earlier) = (elsewhere.as_deref().ok(), earlier.as_deref());
        output.object(&Whole { report, listed, elsewhere, earlier, whois });
        return;
    }
    for line in about.lines() {
        output.line(line);
    }
    for line in whois.iter().flatten() {
        output.line(format_args!("  whois: {line}"));
    }
}

/// Says which rules of the rest of the firewall turn a host away.
pub(super) fn tell_elsewhere(elsewhere: &Result<Vec<Dropper>, String>, output: &Output) {
    for line in elsewhere_in_words(elsewhere) {
        output.line(line);
    }
}

fn elsewhere_in_words(elsewhere: &Result<Vec<Dropper>, String>) -> Vec<String> {
    match elsewhere {
        Ok(droppers) => droppers.iter().map(dropper_in_words).collect(),
        Err(why) => vec![format!("  other tables were not looked at: {why}")],
    }
}

fn dropper_in_words(dropper: &Dropper) -> String {
    let Dropper { table, chain, rule, set, partly } = dropper;
    let partly = if *partly { ", of certain packets," } else { "" };
    let set = set.as_ref().map_or_else(String::new, |set| format!(", by its set {set}"));
    format!("  dropped{partly} elsewhere too: table {table}, chain {chain}, {rule}{set}")
}

fn host_in_words(report: &HostReport, listed: &[Listed]) -> String {
    let of_a_port =
        |ban: &&NamedBan| ban.ban.host.parse().is_ok_and(|whom: Subject| whom.is_flow());
    let bans = report.bans.as_deref().unwrap_or_default();
    let ports = bans.iter().filter(of_a_port).count();
    let state = match (report.bannable, bans.len()) {
        (false, _) => {
            "can never be banned: it is loopback, link-local, multicast or unspecified".to_owned()
        }
        (true, _) if report.bans.is_none() => "nobody could look whether it is banned".to_owned(),
        (true, 0) if report.protected.is_none() && !listed.is_empty() => {
            "not banned, but dropped".to_owned()
        }
        (true, 0) => "not banned".to_owned(),
        (true, bans) if bans == ports && report.port.is_none() => {
            format!("not banned as a whole; {} of its ports", counted(ports, "ban"))
        }
        (true, 1) => "banned".to_owned(),
        (true, bans) => format!("banned {bans} times"),
    };
    let state = match &report.protected {
        Some(origin) => format!("never banned: it is {origin}; {state}"),
        None => state,
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match report.port {
        Some(port) => writeln!(text, "{}: {state}", SocketAddr::new(report.host, port)),
        None if report.network == report.host.to_string() => {
            writeln!(text, "{}: {state}", report.host)
        }
        None => {
            writeln!(text, "{}, counted and banned as {}: {state}", report.host, report.network)
        }
    };
    if !report.place.is_unknown() {
        let _ = writeln!(text, "  in {}", report.place);
    }
    for ban in bans {
        let _ = writeln!(text, "  ban [{}] {}", ban.jail, ban_line(&ban.ban));
    }
    for ban in &report.observed {
        let ban_words = ban_line(&ban.ban);
        let _ =
            writeln!(text, "  would be banned [{}] {ban_words} (the jail only observes)", ban.jail);
    }
    for listed in listed {
        let _ = writeln!(text, "  dropped: {listed}");
    }
    if !report.guardedports.is_empty() {
        let ranges = report.guardedports.iter().copied().map(range_words);
        let ranges = ranges.collect::<Vec<_>>().join(", ");
        let _ =
            writeln!(text, "  closed to it: ports {ranges} (guardedports), as it is not in allow");
    }
    if let Some(stopped) = &report.geofence {
        let _ = writeln!(text, "  {}", stopped.in_words());
    }
    for ban in &report.without_effect {
        let _ = writeln!(text, "  {}", ban.in_words());
    }
    if let Some(known) = &report.known_good {
        let _ = writeln!(text, "  {}", known_good_in_words(known));
    }
    if let Some(StrangerReport { account, failures, since }) = &report.stranger {
        let account =
            account.as_ref().map_or("an account".to_owned(), |name| format!("account {name}"));
        let (failures, since) = (counted(*failures, "failure"), Time::from_secs(*since));
        let _ = writeln!(
            text,
            "  {account} fails beside them ({failures} since {since}): only its port is banned, or nothing, as long as it is one account and slow"
        );
    }
    for jail in &report.jails {
        let _ = writeln!(text, "  {}", jail_in_words(jail));
    }
    for line in &report.lines {
        let _ = writeln!(text, "  {}", line_in_words(line));
    }
    text
}

fn known_good_in_words(known: &KnownGoodReport) -> String {
    let KnownGoodReport { accounts, failing, unknown, source, line, .. } = known;
    let time = |secs| Time::from_secs(secs).to_string();
    let mut text = format!(
        "known good until {}: {accounts} accounts have logged in, last at {} ({source}:{line}); {failing} fail now, {unknown} offences of others",
        time(known.until),
        time(known.login),
    );
    if let Some(ended) = known.ended {
        let _ = write!(text, "; too many, so nothing is excused until {}", time(ended));
    }
    text
}

fn jail_in_words(jail: &JailReport) -> String {
    let observes = if jail.mode == Mode::Observe { " (observe: nobody is banned)" } else { "" };
    let name = format!("{}{observes}", jail.jail);
    if let Some(entry) = &jail.ignored_by {
        return format!("{name}: ignored, by ignoreip {entry}");
    }
    let findtime = length(jail.findtime);
    let JailReport { offences, maxretry, proven, .. } = jail;
    let what = match jail.count {
        Counting::Attempts => "offences",
        Counting::Accounts => "accounts",
        Counting::Bans => "bans",
    };
    let mut text = format!("{name}: {offences} of {maxretry} {what} within {findtime}");
    if *offences > 0 {
        let sources: Vec<_> = jail
            .sources
            .iter()
            .map(|source| format!("{} in {}", source.offences, source.path))
            .collect();
        let _ = write!(text, ", {proven} proven: {}", sources.join(", "));
    }
    text
}

fn line_in_words(line: &LineReport) -> String {
    let class = line.class.and_then(|class| {
        crate::model::event::Class::ALL
            .iter()
            .find(|(known, _)| *known == class)
            .map(|(_, name)| *name)
    });
    format!(
        "{} {}:{} {} {}, {}, {}",
        Time::from_secs(line.time),
        line.source,
        line.line,
        line.host,
        class.unwrap_or(&line.meaning),
        line.evidence,
        line.rule
    ) + &Some(line.reason())
        .filter(|reason| !reason.is_empty())
        .map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn length(secs: u64) -> String {
    HumanDuration(Duration::from_secs(secs)).to_string()
}

/// The way in which a jail treats a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Treatment {
    /// It is an offence.
    Counts,
    /// The host is never banned by it.
    Ignored,
    /// Its address cannot be trusted.
    Hearsay,
    /// It is not one of its filters or classes.
    Other,
}

#[derive(Debug, Serialize)]
struct InJail<'a> {
    jail: &'a str,
    treatment: Treatment,
    /// The entry of `ignoreip` that the host is in.
    ignored_by: Option<String>,
    /// The number of such lines that ban, the seconds within which they do, and the terms of the first ban.
    maxretry: u32,
    findtime: u64,
    /// Seconds; null is permanent.
    bantime: Option<u64>,
    scope: &'a str,
}

#[derive(Debug, Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    said: LineVerdict<'a>,
    jails: Vec<InJail<'a>>,
}

fn explain_line(line: &str, config: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let plan = load_plan(config)?;
    let all: Vec<_> = plan.rules.iter().map(|(id, _)| id).collect();
    let matcher = plan.matcher(&all).map_err(PlanError::from)?;
    let mut events = Vec::new();
    let text = format!("{}\n", line.trim_end_matches(['\r', '\n']));
    let first = text.split_inclusive('\n').next().unwrap_or_default().as_bytes();
    Scanner::new(Arc::new(matcher), ChannelId(0)).scan(
        &Region::of(first, 1),
        &mut Clock::At(Time::default()),
        &mut events,
    );
    let offence = events.first().filter(|event| matches!(event.meaning, Meaning::Offence(_)));
    let jails = offence.map_or_else(Vec::new, |_| {
        // The others count no lines.
        let jails = plan.jails().filter(|(_, jail)| !jail.filter.is_empty());
        jails.map(|(id, jail)| in_jail(&plan, id, jail, &events)).collect()
    });
    let said = verdict(&plan, 1, first.trim_ascii_end(), &events);
    if output.json {
        output.object(&Explained { said, jails });
        return Ok(());
    }
    output.line(in_words(&said, first.trim_ascii_end()));
    for jail in &jails {
        output.line(format_args!("  {}: {}", jail.jail, treatment_in_words(jail)));
    }
    Ok(())
}

/// Returns what a jail makes of a line, of which there is at least one event.
fn in_jail<'a>(plan: &'a Plan, id: JailId, jail: &'a Jail, events: &[Event]) -> InJail<'a> {
    let counted = events.iter().find(|event| plan.counted_by(event.rule).contains(&id));
    let evidence = counted.and_then(|event| policy::counts_as(jail, event.evidence));
    let (scope, bantime) = plan.ban_terms(jail, evidence.unwrap_or(Evidence::Unverified));
    let treatment = match (counted, evidence) {
        (None, _) => Treatment::Other,
        (Some(_), None) => Treatment::Hearsay,
        (Some(event), _) if policy::ignored(jail, event.host) => Treatment::Ignored,
        (Some(_), Some(_)) => Treatment::Counts,
    };
    let ignored_by = counted
        .and_then(|event| policy::holding(&jail.ignoreip, &IpNet::from(canonical(event.host))));
    let first = bantime.after(0, 0);
    let scope = plan.structure.scope(scope);
    InJail {
        jail: &jail.name,
        treatment,
        ignored_by: ignored_by.map(|net| written(&net)),
        maxretry: jail.maxretry,
        findtime: jail.findtime.as_secs(),
        bantime: first.until(Time::default()).map(|until| until.since(Time::default()).as_secs()),
        scope: scope.map_or("", |scope| &scope.name),
    }
}

fn treatment_in_words(jail: &InJail<'_>) -> String {
    match (jail.treatment, &jail.ignored_by) {
        (Treatment::Counts, _) => format!(
            "counts; {} within {} ban from {} ports for {}",
            jail.maxretry,
            length(jail.findtime),
            jail.scope,
            jail.bantime.map_or("ever".to_owned(), length)
        ),
        (Treatment::Ignored, Some(entry)) => format!("ignored, by ignoreip {entry}"),
        (Treatment::Ignored, None) => "ignored: such an address is never banned".to_owned(),
        (Treatment::Hearsay, _) => {
            "hearsay: a stranger may have written the address; counted in the status only"
                .to_owned()
        }
        (Treatment::Other, _) => "does not count this filter or class".to_owned(),
    }
}
