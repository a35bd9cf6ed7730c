//! `asterguard fleet`

use clap::{Args, Subcommand};

use super::Exit;
use super::fleet_setup::{self, AclArgs, JoinArgs, KeygenArgs, LeaveArgs, TrustArgs};
use super::fleet_status::{self, FleetStatusArgs};
use super::fleet_unban::{self, FleetUnbanArgs};
use super::output::{Failure, Output};

#[derive(Debug, Args)]
pub struct FleetArgs {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
enum FleetCommand {
    /// Show what is shared with the fleet, each peer, and what was refused and why
    ///
    /// The exit code is 1 while the server is not connected, and 2 if this guard is in no fleet.
    Status(FleetStatusArgs),
    /// Make the private key of this node, and print the public one
    ///
    /// It also makes the key of a fleet's operator: write it into a file elsewhere. A file that is there is left as it is,
    /// and its public key is printed.
    Keygen(KeygenArgs),
    /// Make this guard a node of the fleet of a server
    ///
    /// It writes conf.d/fleet.toml next to the configuration, and makes the key and the password if they are not there. Then
    /// it prints what the server and the other nodes need. After `leave`, key, password and peers are those of before.
    Join(JoinArgs),
    /// Print the lines by which the server knows this node and others, and what they may do
    Acl(AclArgs),
    /// Take bans of a peer from now on, or no longer
    Trust(TrustArgs),
    /// Lift all bans of a host in the whole fleet, with the operator's key
    ///
    /// The exit code is 4 if the guard of this node has not carried it out, and 1 if the server does not have it. A node that
    /// was away gets it if it is back within ten minutes.
    Unban(FleetUnbanArgs),
    /// Switch [fleet] off, and remove what this node has on the server
    ///
    /// Bans that it has shared last at the other nodes until they end. If the server cannot be reached, do it again later.
    Leave(LeaveArgs),
}

pub fn fleet(args: &FleetArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.command {
        FleetCommand::Status(args) => fleet_status::status(args, output),
        FleetCommand::Keygen(args) => fleet_setup::keygen(args, output),
        FleetCommand::Join(args) => fleet_setup::join(args, output),
        FleetCommand::Acl(args) => fleet_setup::acl(args, output),
        FleetCommand::Trust(args) => fleet_setup::trust(args, output),
        FleetCommand::Unban(args) => fleet_unban::unban(args, output),
        FleetCommand::Leave(args) => fleet_setup::leave(args, output),
    }
}
