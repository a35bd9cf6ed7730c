//! `asterguard resume`

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::client::order;
use super::completions;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::pause::ResumeRequest;
use crate::enforce::NftProgram;
use crate::model::pause::Pause;
use crate::sys::program::Program;

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// End only the pause of this jail [default: all pauses]
    #[arg(long, short, add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn resume(args: &ResumeArgs, output: &Output) -> Result<(), Failure> {
    match order(&args.socket.socket, &ResumeRequest { jail: args.jail.clone() }, output) {
        Err(Failure { exit: Exit::NoDaemon, .. }) if args.jail.is_none() => {
            NftProgram::new(Program::nft()).resume()?;
            output.done(&Pause::Off.to_string());
            Ok(())
        }
        result => result,
    }
}
