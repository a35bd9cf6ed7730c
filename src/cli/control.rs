//! The commands that talk to a running daemon.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::output::{Failure, Output};
use super::status::{ban_line, dropped};
use super::{Exit, SocketArg};
use crate::config::duration;
use crate::control::{
    Answer, BlockReport, FeedReport, KnownGoodReport, KnownHost, ListName, Request,
};
use crate::daemon::{now, pause_message};
use crate::enforce::NftProgram;
use crate::model::listed::Entry;
use crate::model::subject::{Subject, canonical, written};
use crate::model::time::{Lasting, Length, Time};
use crate::sys::program::Program;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct BanArgs {
    /// Addresses of the hosts; an IPv6 address stands for its network
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<IpAddr>,
    /// In the name of this jail, with its bantime and ports [default: all ports]
    #[arg(long, short)]
    jail: Option<String>,
    /// How long: 10m, 1d 12h, seconds, or permanent [default: what the jail says, else permanent]
    #[arg(long = "for", value_name = "TIME", value_parser = lasting)]
    length: Option<Lasting>,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub struct UnbanArgs {
    /// Addresses, or networks (all bans in them)
    #[arg(value_parser = net, value_name = "HOST", required_unless_present = "all")]
    hosts: Vec<IpNet>,
    /// Lift all bans, or all of the jail
    #[arg(long, conflicts_with = "hosts")]
    all: bool,
    /// Only bans of this jail
    #[arg(long, short)]
    jail: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// How long: 15m, 1h, seconds, or permanent (until `asterguard resume`)
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = lasting)]
    length: Lasting,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub struct BannedArgs {
    /// Only the bans that hold this host
    host: Option<IpAddr>,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which list
    list: ListName,
    /// Only what this host is in it for
    host: Option<IpAddr>,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The jail; `ignoreip` can be asked for without one
    jail: Option<String>,
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The failregexes that the jail counts
    Failregex,
    /// Who is never banned, and why: by any jail, and by the jail that is named
    Ignoreip,
}

fn lasting(text: &str) -> Result<Lasting, String> {
    duration::parse_lasting(text).map_err(|error| error.to_string())
}

fn net(text: &str) -> Result<IpNet, String> {
    let address = text.parse().map(|address| IpNet::from(canonical(address)));
    address
        .or_else(|_| text.parse())
        .map_err(|_| "write an address, or a network like 192.0.2.0/24".to_owned())
}

/// Asks the daemon.
pub(super) fn ask(socket: &Path, request: &Request) -> Result<Answer, Failure> {
    let unreachable = |error: std::io::Error| {
        let hint = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "; run as root or as a member of the socket's group"
            }
            _ => "; is it running? (asterguard run, or: systemctl status asterguard)",
        };
        Failure {
            exit: Exit::NoDaemon,
            message: format!("no daemon answers at {}: {error}{hint}", socket.display()),
        }
    };
    let silent = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock => Failure {
            exit: Exit::NoDaemon,
            message: format!(
                "the daemon at {} has said nothing for {} s: it hangs, or is very busy",
                socket.display(),
                PATIENCE.as_secs()
            ),
        },
        _ => unreachable(error),
    };
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let mut line = serde_json::to_string(request).map_err(Failure::new)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(unreachable)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer).map_err(silent)? == 0 {
        let message = "the daemon ended before it answered; ask again once it runs".to_owned();
        return Err(Failure { exit: Exit::NoDaemon, message });
    }
    // It ended meanwhile, or did not tell on because this took too long to read.
    if !answer.ends_with('\n') {
        let length = answer.len();
        let message = format!("the daemon broke off its answer after {length} bytes; ask again");
        return Err(Failure::new(message));
    }
    let answer = serde_json::from_str(&answer)
        .map_err(|error| Failure::new(format!("cannot read the daemon's answer: {error}")))?;
    match answer {
        Answer::Failed { message, usage } => {
            let exit = match (usage, request) {
                (true, Request::Reload) => Exit::Config,
                (true, _) => Exit::Usage,
                (false, _) => Exit::Failed,
            };
            Err(Failure { exit, message })
        }
        answer => Ok(answer),
    }
}

/// Asks for something to be done, and prints that it was.
fn order(socket: &Path, request: &Request, output: &Output) -> Result<(), Failure> {
    match ask(socket, request)? {
        Answer::Done { message } => output.done(&message),
        other => {
            return Err(Failure::new(format!("the daemon answered something else: {other:?}")));
        }
    }
    Ok(())
}

pub fn reload(socket: &Path, output: &Output) -> Result<(), Failure> {
    order(socket, &Request::Reload, output)
}

pub fn ban(args: &BanArgs, output: &Output) -> Result<(), Failure> {
    let (seconds, permanent) = match args.length {
        Some(Lasting::For(length)) => (Some(length.as_secs().max(1)), false),
        Some(Lasting::Permanent) => (None, true),
        None => (None, false),
    };
    let jail = &args.jail;
    let request = |host: &_| Request::Ban { host: *host, jail: jail.clone(), seconds, permanent };
    one_by_one(&args.socket.socket, args.hosts.iter().map(request), output)
}

pub fn unban(args: &UnbanArgs, output: &Output) -> Result<(), Failure> {
    let request = |net: Option<IpNet>| Request::Unban { net, jail: args.jail.clone() };
    let nets = args.hosts.iter().map(|net| request(Some(*net)));
    one_by_one(&args.socket.socket, nets.chain(args.all.then(|| request(None))), output)
}

/// Asks for several things to be done, each of which may fail while the others are done. Ends as the first
/// that fails.
fn one_by_one(
    socket: &Path,
    requests: impl Iterator<Item = Request>,
    output: &Output,
) -> Result<(), Failure> {
    let mut failed: Vec<Failure> = Vec::new();
    for request in requests {
        match order(socket, &request, output) {
            Ok(()) => {}
            // Nobody does the others either.
            Err(failure) if failure.exit == Exit::NoDaemon => {
                failed.push(failure);
                break;
            }
            Err(failure) => failed.push(failure),
        }
    }
    let Some(exit) = failed.first().map(|failure| failure.exit) else { return Ok(()) };
    let mut messages: Vec<_> = failed.into_iter().map(|failure| failure.message).collect();
    messages.dedup();
    Err(Failure { exit, message: messages.join("\n") })
}

pub fn pause(args: &PauseArgs, output: &Output) -> Result<(), Failure> {
    let length = match args.length {
        Lasting::For(length) => Some(length),
        Lasting::Permanent => None,
    };
    let request = Request::Pause { seconds: length.map(|length| length.as_secs().max(1)) };
    match order(&args.socket.socket, &request, output) {
        // The pause is the kernel's business: it works without the daemon.
        Err(Failure { exit: Exit::NoDaemon, .. }) => {
            NftProgram::new(Program::nft()).pause(length)?;
            output.done(&pause_message(Some(length.map(|length| now().plus(length)))));
            Ok(())
        }
        result => result,
    }
}

pub fn resume(socket: &Path, output: &Output) -> Result<(), Failure> {
    match order(socket, &Request::Resume, output) {
        Err(Failure { exit: Exit::NoDaemon, .. }) => {
            NftProgram::new(Program::nft()).resume()?;
            output.done(&pause_message(None));
            Ok(())
        }
        result => result,
    }
}

pub fn get(args: &GetArgs, output: &Output) -> Result<(), Failure> {
    match (&args.what, &args.jail) {
        (What::Ignoreip, jail) => ignoreip(args, jail.clone(), output),
        (What::Failregex, Some(jail)) => failregex(args, jail.clone(), output),
        (What::Failregex, None) => {
            let message = "which jail? Write: asterguard get JAIL failregex".to_owned();
            Err(Failure { exit: Exit::Usage, message })
        }
    }
}

fn ignoreip(args: &GetArgs, jail: Option<String>, output: &Output) -> Result<(), Failure> {
    let Answer::Ignoreip { ignored } = ask(&args.socket.socket, &Request::Ignoreip { jail })?
    else {
        return Err(Failure::new("the daemon answered something else"));
    };
    never_banned(&ignored, output);
    Ok(())
}

fn never_banned(entries: &[Entry], output: &Output) {
    for entry in entries {
        if output.json {
            output.object(entry);
        } else {
            output.line(format_args!(
                "{:<17} {}",
                Subject::from(entry.net).to_string(),
                entry.origin
            ));
        }
    }
}

fn failregex(args: &GetArgs, jail: String, output: &Output) -> Result<(), Failure> {
    let Answer::Failregex { rules } = ask(&args.socket.socket, &Request::Failregex { jail })?
    else {
        return Err(Failure::new("the daemon answered something else"));
    };
    for rule in rules {
        if output.json {
            output.object(&rule);
        } else {
            rule.failregex
                .iter()
                .for_each(|regex| output.line(format_args!("{}\t{regex}", rule.rule)));
        }
    }
    Ok(())
}

pub fn banned(args: &BannedArgs, output: &Output) -> Result<(), Failure> {
    let request = Request::Banned { host: args.host };
    let Answer::Banned { bans } = ask(&args.socket.socket, &request)? else {
        return Err(Failure::new("the daemon answered something else"));
    };
    if bans.is_empty() && !output.json {
        output.line(
            args.host.map_or("nobody is banned".to_owned(), |host| format!("{host} is not banned")),
        );
    }
    for named in bans {
        if output.json {
            output.object(&named);
        } else {
            output.line(format_args!("[{}] {}", named.jail, ban_line(&named.ban)));
        }
    }
    Ok(())
}

pub fn list(args: &ListArgs, output: &Output) -> Result<(), Failure> {
    let answer = ask(&args.socket.socket, &Request::List { list: args.list, host: args.host })?;
    if is_empty(&answer) && !output.json {
        output.line(nobody(args.list, args.host));
    }
    match answer {
        Answer::Ignoreip { ignored } => never_banned(&ignored, output),
        Answer::Block { blocked } => {
            for entry in &blocked {
                blocked_line(entry, output);
            }
        }
        Answer::Feed { feeds, dropped } => {
            for feed in &feeds {
                feed_line(feed, output);
            }
            if output.json {
                output.object(&serde_json::json!({ "feed": null, "dropped": dropped }));
            } else if let Some(packets) = dropped.packets {
                output.line(format_args!("{packets} packets dropped by feeds"));
            }
        }
        Answer::KnownGood { known } => {
            for host in &known {
                known_line(host, output);
            }
        }
        other => {
            return Err(Failure::new(format!("the daemon answered something else: {other:?}")));
        }
    }
    Ok(())
}

fn is_empty(answer: &Answer) -> bool {
    match answer {
        Answer::Ignoreip { ignored } => ignored.is_empty(),
        Answer::Block { blocked } => blocked.is_empty(),
        Answer::Feed { feeds, .. } => feeds.is_empty(),
        Answer::KnownGood { known } => known.is_empty(),
        _ => false,
    }
}

/// What is said of a list that nothing is in, or not this host.
fn nobody(list: ListName, host: Option<IpAddr>) -> String {
    let (nothing, not) = match list {
        ListName::Allow => {
            ("nobody is let through whatever is banned", "is not let through whatever is banned")
        }
        ListName::Block => ("nothing is blocked", "is not blocked"),
        ListName::Feed => ("there is no feed", "is in no feed"),
        ListName::KnownGood => ("nobody has logged in lately", "has not logged in lately"),
    };
    host.map_or(nothing.to_owned(), |host| format!("{host} {not}"))
}

fn blocked_line(entry: &BlockReport, output: &Output) {
    if output.json {
        return output.object(entry);
    }
    let origin = match (&entry.file, entry.line) {
        (Some(file), Some(line)) => format!("{file}:{line}"),
        _ => "by hand".to_owned(),
    };
    let dropped = dropped(entry.dropped);
    output.line(format_args!("{:<17} {origin}{dropped}", written(&entry.net)));
}

fn feed_line(feed: &FeedReport, output: &Output) {
    if output.json {
        return output.object(feed);
    }
    let FeedReport { feed: name, path, networks, skipped, .. } = feed;
    match &feed.net {
        Some(net) => output.line(format_args!("{:<17} feed {name} ({path})", written(net))),
        None => output
            .line(format_args!("{name}: {networks} networks, {skipped} lines skipped ({path})")),
    }
    if let Some(problem) = &feed.problem {
        output.line(format_args!("  ! {problem}"));
    }
}

fn known_line(host: &KnownHost, output: &Output) {
    if output.json {
        return output.object(host);
    }
    let KnownGoodReport { accounts, failing, until, source, line, ended, .. } = &host.report;
    let s = if *accounts == 1 { "" } else { "s" };
    let failing = if *failing == 0 { String::new() } else { format!(", {failing} failing") };
    let ended = if ended.is_some() { ", nothing is excused now" } else { "" };
    let left = Duration::from_secs(Time::from_secs(*until).since(now()).as_secs());
    let left = Length(left);
    output.line(format_args!(
        "{:<17} {accounts} account{s}{failing}{ended}, {left} left, {source}:{line}",
        host.host
    ));
}
