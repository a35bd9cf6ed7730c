//! `asterguard resume`

use std::path::Path;

use super::Exit;
use super::client::order;
use super::output::{Failure, Output};
use crate::control::pause::ResumeRequest;
use crate::enforce::NftProgram;
use crate::model::pause::Pause;
use crate::sys::program::Program;

pub fn resume(socket: &Path, output: &Output) -> Result<(), Failure> {
    match order(socket, &ResumeRequest, output) {
        Err(Failure { exit: Exit::NoDaemon, .. }) => {
            NftProgram::new(Program::nft()).resume()?;
            output.done(&Pause::Off.to_string());
            Ok(())
        }
        result => result,
    }
}
