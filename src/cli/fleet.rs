//! `asterguard fleet`

use clap::{Args, Subcommand};

use super::Exit;
use super::fleet_status::{self, FleetStatusArgs};
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
}

pub fn fleet(args: &FleetArgs, output: &Output) -> Result<Exit, Failure> {
    match &args.command {
        FleetCommand::Status(args) => fleet_status::status(args, output),
    }
}
