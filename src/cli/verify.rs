//! `verify`: the differences between kernel, configuration and memory.

use clap::Args;

use super::SocketArg;
use super::client::ask;
use super::output::{Failure, Output};
use crate::control::verify::{Difference, DifferenceKind, Verification, VerifyRequest};
use crate::model::words::counted;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Repair the table in the kernel: add what is missing, and remove what is no ban
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn verify(args: &VerifyArgs, output: &Output) -> Result<(), Failure> {
    let found = ask(&args.socket.socket, &VerifyRequest { repair: args.repair })?;
    let Verification { differences, count, repaired } = &found;
    if output.json {
        output.object(&found);
    } else {
        for difference in differences {
            output.line(&difference.message);
        }
        if *count > differences.len() {
            output.line(format_args!("and {} more", count - differences.len()));
        }
    }
    let left = |kind| !repaired || kind == DifferenceKind::Configuration;
    let counted = counted(*count, "difference");
    if differences.iter().any(|difference| left(difference.kind)) {
        let is_kernels = |one: &Difference| one.kind != DifferenceKind::Configuration;
        let hint = if !repaired && differences.iter().any(is_kernels) {
            "to repair the kernel's table: asterguard verify --repair"
        } else {
            "to use the configuration as it is now: asterguard reload"
        };
        return Err(Failure::new(format!("{counted}; {hint}")));
    }
    if !output.json {
        match count {
            0 => output.line("kernel, configuration and memory are the same"),
            _ => output.line(format_args!("{counted} mended")),
        }
    }
    Ok(())
}
