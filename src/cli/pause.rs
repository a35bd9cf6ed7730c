//! `asterguard pause`

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::ban::{lasting, seconds};
use super::client::order;
use super::completions;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::pause::PauseRequest;
use crate::enforce::{NftProgram, SinkError};
use crate::model::pause::Pause;
use crate::model::time::BanDuration;
use crate::sys::clock::now;
use crate::sys::program::Program;

#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Duration: 15m, 1h, seconds, or permanent (until `asterguard resume`)
    #[arg(long = "for", value_name = "TIME", default_value = "15m", value_parser = lasting, allow_hyphen_values = true)]
    length: BanDuration,
    /// Pause only the bans of this jail; all others stay in force
    #[arg(long, short, add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn pause(args: &PauseArgs, output: &Output) -> Result<(), Failure> {
    let length = match args.length {
        BanDuration::For(length) => Some(length),
        BanDuration::Permanent => None,
    };
    let request = PauseRequest { seconds: seconds(args.length), jail: args.jail.clone() };
    match order(&args.socket.socket, &request, output) {
        // The kernel keeps the pause: it works without the daemon.
        Err(Failure { exit: Exit::NoDaemon, .. }) if args.jail.is_none() => {
            match NftProgram::new(Program::nft()).pause(length) {
                Err(SinkError::NoTable) => {
                    let message = "nothing to pause: there is no table inet asterguard, so nothing is dropped";
                    Err(Failure { exit: Exit::NoNftables, message: message.to_owned() })
                }
                paused => {
                    paused?;
                    let pause = Pause::lasting(length, now());
                    output.done(&format!(
                        "{pause}: this opens all bans, block lists, feeds and guarded ports"
                    ));
                    Ok(())
                }
            }
        }
        result => result,
    }
}
