//! `asterguard unban`

use clap::Args;
use ipnet::IpNet;

use super::SocketArg;
use super::client::one_by_one;
use super::output::{Failure, Output};
use crate::control::unban::UnbanRequest;
use crate::model::subject::canonical;

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

pub fn unban(args: &UnbanArgs, output: &Output) -> Result<(), Failure> {
    let request = |net| UnbanRequest { net, jail: args.jail.clone() };
    let nets = args.hosts.iter().map(|net| request(Some(*net)));
    one_by_one(&args.socket.socket, nets.chain(args.all.then(|| request(None))), output)
}

fn net(text: &str) -> Result<IpNet, String> {
    let address = text.parse().map(|address| IpNet::from(canonical(address)));
    address
        .or_else(|_| text.parse())
        .map_err(|_| "write an address, or a network like 192.0.2.0/24".to_owned())
}
