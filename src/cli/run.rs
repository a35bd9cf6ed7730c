//! `asterguard run`

use std::path::PathBuf;

use clap::Args;

use super::output::Failure;
use super::{ConfigArg, SocketArg};
use crate::daemon::{self, Options, STATE_DIR};

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
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &RunArgs) -> Result<(), Failure> {
    daemon::run(&Options {
        config: args.config.config.clone(),
        state_dir: args.state_dir.clone(),
        socket: args.socket.socket.clone(),
        dry_run: args.dry_run,
    })?;
    Ok(())
}
