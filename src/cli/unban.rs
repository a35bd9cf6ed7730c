//! `asterguard unban`

use clap::Args;

use super::Exit;
use super::client::one_by_one;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::unban::UnbanRequest;
use crate::model::subject::Subject;

#[derive(Debug, Args)]
pub struct UnbanArgs {
    /// Addresses (with the bans of their ports), networks (all bans in them), or an address and port
    #[arg(value_name = "HOST", required_unless_present = "all")]
    hosts: Vec<Subject>,
    /// Lift all bans, or all of the jail
    #[arg(long, conflicts_with = "hosts")]
    all: bool,
    /// Only bans of this jail
    #[arg(long, short)]
    jail: Option<String>,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn unban(args: &UnbanArgs, output: &Output) -> Result<(), Failure> {
    let request = |net| UnbanRequest { net, jail: args.jail.clone() };
    let nets = args.hosts.iter().map(|whom| request(Some(SubjectText(*whom))));
    let requests = nets.chain(args.all.then(|| request(None)));
    match one_by_one(&args.places.socket.socket, requests, output) {
        // The kernel and the state file are there without it.
        Err(Failure { exit: Exit::NoDaemon, .. }) if args.places.is_down() => {
            args.places.unban(&args.hosts, args.jail.as_deref(), output)
        }
        result => result,
    }
}
