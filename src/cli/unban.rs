//! `asterguard unban`

use clap::Args;

use super::SocketArg;
use super::client::one_by_one;
use super::output::{Failure, Output};
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
    socket: SocketArg,
}

pub fn unban(args: &UnbanArgs, output: &Output) -> Result<(), Failure> {
    let request = |net| UnbanRequest { net, jail: args.jail.clone() };
    let nets = args.hosts.iter().map(|whom| request(Some(SubjectText(*whom))));
    one_by_one(&args.socket.socket, nets.chain(args.all.then(|| request(None))), output)
}
