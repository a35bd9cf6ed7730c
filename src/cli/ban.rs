//! `asterguard ban`

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::client::{Reply, ask, ask_unsure, one_by_one};
use super::completions;
use super::output::{Failure, Output};
use super::person::{agreed, ask_person};
use super::{Exit, SocketArg};
use crate::config::duration;
use crate::control::ban::{BanManner, BanRequest};
use crate::control::{Done, SubjectText};
use crate::model::subject::Subject;
use crate::model::time::{BanDuration, HumanDuration};

#[derive(Debug, Args)]
pub struct BanArgs {
    /// Addresses of the hosts; an IPv6 address stands for its network. With a port
    /// (`192.0.2.7:40000`, `[2001:db8::7]:40000`), only packets from this port are blocked. Networks
    /// (`192.0.2.0/24`) are possible too, at most 4096 of them
    #[arg(required = true, value_name = "HOST|NETWORK")]
    hosts: Vec<Subject>,
    /// Ban in the name of this jail, with its bantime and ports [default: no jail, all ports]
    #[arg(long, short, add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    /// Duration: 10m, 1d 12h, seconds, or permanent [default: that of the jail, else permanent]
    #[arg(long = "for", value_name = "TIME", value_parser = lasting, allow_hyphen_values = true)]
    length: Option<BanDuration>,
    /// The reason, in one line; `banned` and `explain` show it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Do not change a ban that is in force and lasts at least as long. With `--json`, `changed` says whether
    /// anything was changed
    #[arg(long)]
    ensure: bool,
    /// Do not ask, even if an account has logged in from there lately
    #[arg(long, short)]
    yes: bool,
    /// Ban for this time only. If you press Enter within it, the ban stays. So you cannot lock yourself out
    #[arg(long, value_name = "TIME", value_parser = length, allow_hyphen_values = true, conflicts_with = "ensure")]
    confirm: Option<Duration>,
    #[command(flatten)]
    socket: SocketArg,
}

/// Reads a length of time, or `permanent`.
pub(super) fn lasting(text: &str) -> Result<BanDuration, String> {
    duration::parse_ban_duration(text)
        .map_err(|error| format!("{error}; write for example 10m, 1d, 3600 (seconds) or permanent"))
}

/// Reads a length of time.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    duration::parse(text)
        .map_err(|error| format!("{error}; write for example 10m, 1d or 3600 (seconds)"))
}

/// Returns the seconds of a length of time; `None`: it has no end.
pub(super) fn seconds(length: BanDuration) -> Option<u64> {
    match length {
        BanDuration::For(length) => Some(length.as_secs().max(1)),
        BanDuration::Permanent => None,
    }
}

pub fn ban(args: &BanArgs, output: &Output) -> Result<(), Failure> {
    one_by_one(args.hosts.iter(), |host| ban_one(args, *host, output))
}

fn ban_one(args: &BanArgs, host: Subject, output: &Output) -> Result<(), Failure> {
    let request = BanRequest {
        host: SubjectText(host),
        jail: args.jail.clone(),
        seconds: args.length.and_then(seconds),
        permanent: args.length == Some(BanDuration::Permanent),
        comment: args.comment.clone(),
        manner: if args.ensure { BanManner::Ensure } else { BanManner::Set },
        sure: args.yes,
    };
    let Some(limit) = args.confirm else {
        let (done, _) = order(args, request)?;
        output.changed(&done);
        return Ok(());
    };
    let trial = BanRequest {
        seconds: Some(limit.as_secs().max(1)),
        permanent: false,
        manner: BanManner::Try,
        ..request.clone()
    };
    let (done, sure) = order(args, trial)?;
    let request = BanRequest { sure, ..request };
    if done.changed != Some(true) {
        // It is banned already, and will be for longer than a trial.
        let (done, _) = order(args, request)?;
        output.changed(&done);
        return Ok(());
    }
    let limit_words = HumanDuration(limit);
    ask_person(&format!("{}: press Enter within {limit_words} to keep it banned ", done.message));
    if !confirmed(limit) {
        return Err(Failure::new(format!(
            "not confirmed within {limit_words}: {host} is not banned any more"
        )));
    }
    let (done, _) = order(args, BanRequest { manner: BanManner::Confirm, ..request })?;
    output.changed(&done);
    Ok(())
}

/// Orders a ban; asks the person at the terminal where the daemon wants to be told that it is meant. Returns whether it
/// was.
fn order(args: &BanArgs, request: BanRequest) -> Result<(Done, bool), Failure> {
    match ask_unsure(&args.socket.socket, &request)? {
        Reply::Done(done) => Ok((done, request.sure)),
        Reply::Unsure(doubt) => {
            let whom = request.host.0;
            if !std::io::stdin().is_terminal() || !agreed(&format!("{doubt}. Ban {whom}?")) {
                let message = format!("{whom} is not banned: {doubt}; with --yes it is");
                return Err(Failure { exit: Exit::Usage, message });
            }
            let sure = BanRequest { sure: true, ..request };
            Ok((ask(&args.socket.socket, &sure)?, true))
        }
    }
}

/// Whether a line comes from standard input within this time.
fn confirmed(limit: Duration) -> bool {
    let stdin = std::io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let limit = Timespec::try_from(limit).ok();
    if !poll(&mut fds, limit.as_ref()).is_ok_and(|ready| ready > 0) {
        return false;
    }
    let mut line = String::new();
    // The end of the input is no line.
    stdin.read_line(&mut line).is_ok_and(|length| length > 0)
}
