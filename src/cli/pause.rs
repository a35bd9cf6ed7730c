//! `asterguard pause`

use clap::Args;

use super::ban::lasting;
use super::client::order;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::pause::PauseRequest;
use crate::enforce::NftProgram;
use crate::model::pause::Pause;
use crate::model::time::BanDuration;
use crate::sys::clock::now;
use crate::sys::program::Program;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// How long: 15m, 1h, seconds, or permanent (until `asterguard resume`)
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = lasting)]
    length: BanDuration,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn pause(args: &PauseArgs, output: &Output) -> Result<(), Failure> {
    let length = match args.length {
        BanDuration::For(length) => Some(length),
        BanDuration::Permanent => None,
    };
    let request = PauseRequest { seconds: length.map(|length| length.as_secs().max(1)) };
    match order(&args.socket.socket, &request, output) {
        // The kernel keeps the pause: it works without the daemon.
        Err(Failure { exit: Exit::NoDaemon, .. }) => {
            NftProgram::new(Program::nft()).pause(length)?;
            output.done(&Pause::lasting(length, now()).to_string());
            Ok(())
        }
        result => result,
    }
}
