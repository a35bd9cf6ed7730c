//! `asterguard unban`

use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::Exit;
use super::ban::length;
use super::client::{ask, one_by_one};
use super::completions;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::allow::AllowRequest;
use crate::control::unban::UnbanRequest;
use crate::model::subject::Subject;

#[derive(Debug, Args)]
pub struct UnbanArgs {
    /// Addresses (also the bans of their ports), networks (all bans in them), or an address and port
    #[arg(
        value_name = "HOST",
        required_unless_present = "all",
        add = ArgValueCandidates::new(completions::banned)
    )]
    hosts: Vec<Subject>,
    /// Remove all bans, or all bans of the jail
    #[arg(long, conflicts_with = "hosts")]
    all: bool,
    /// Remove only bans of this jail
    #[arg(long, short, add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    /// Also let them through from now on, for this time
    #[arg(long, value_name = "TIME", value_parser = length, allow_hyphen_values = true, conflicts_with = "all")]
    allow_for: Option<Duration>,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn unban(args: &UnbanArgs, output: &Output) -> Result<Exit, Failure> {
    let mut found = false;
    let allow_seconds = args.allow_for.map(|length| length.as_secs().max(1));
    let request = |net| UnbanRequest { net, jail: args.jail.clone(), allow_seconds };
    let nets = args.hosts.iter().map(|whom| request(Some(SubjectText(*whom))));
    let requests = nets.chain(args.all.then(|| request(None)));
    let socket = &args.places.socket.socket;
    let unban_one = |request: UnbanRequest| {
        let done = ask(socket, &request)?;
        found |= done.changed != Some(false);
        output.changed(&done);
        Ok(())
    };
    match one_by_one(requests, unban_one) {
        // The kernel and the state file are there without it.
        Err(Failure { exit: Exit::NoDaemon, .. }) if args.places.is_down() => {
            found = args.places.unban(&args.hosts, args.jail.as_deref(), output)? > 0;
            let comment = Some("unban".to_owned());
            for host in args.hosts.iter().filter(|_| allow_seconds.is_some()) {
                let host = SubjectText(*host);
                let (seconds, comment) = (allow_seconds, comment.clone());
                let request = AllowRequest { host, seconds, comment, remove: false };
                args.places.allow(&request, output)?;
            }
        }
        result => result?,
    }
    Ok(if found || args.all { Exit::Done } else { Exit::NotFound })
}
