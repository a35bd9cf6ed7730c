//! `asterguard run`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::output::Failure;
use super::{ConfigArg, Exit, SocketArg};
use crate::daemon::{self, Ended, Options, STATE_DIR, SinkKind, Supervisor};
use crate::hosts::discover::dns_helper::Resolver;

#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Directory for what must outlive the daemon
    #[arg(long, value_name = "DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
    #[command(flatten)]
    socket: SocketArg,
    /// Only say what would be banned; leave the kernel alone
    #[arg(long, conflicts_with = "sink")]
    dry_run: bool,
    /// How bans get into the kernel
    #[arg(long, value_enum, default_value = "netlink")]
    sink: Sink,
    /// Have names looked up by the helper at this socket (asterguard-names.socket)
    #[arg(long, value_name = "PATH")]
    names: Option<PathBuf>,
    /// Something starts the guard again when it ends with exit code 7. So it ends when a reload needs a
    /// directory that this process may not read any more
    #[arg(long)]
    supervised: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sink {
    /// Directly, in microseconds
    Netlink,
    /// By running the `nft` program, in milliseconds
    Nft,
}

pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let ended = daemon::run(&Options {
        config: args.config.config.clone(),
        state_dir: args.state_dir.clone(),
        socket: args.socket.socket.clone(),
        sink: match args.sink {
            _ if args.dry_run => SinkKind::DryRun,
            Sink::Netlink => SinkKind::Netlink,
            Sink::Nft => SinkKind::Nft,
        },
        resolver: args.names.clone().map_or(Resolver::Here, Resolver::Helper),
        supervisor: if args.supervised { Supervisor::Somebody } else { Supervisor::Nobody },
    })?;
    Ok(match ended {
        Ended::Stopped => Exit::Done,
        Ended::RestartRequested => Exit::Restart,
    })
}
