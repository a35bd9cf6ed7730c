//! `verify`: where kernel, configuration and memory differ.

use clap::Args;

use super::SocketArg;
use super::control::ask;
use super::output::{Failure, Output};
use crate::control::{Answer, Difference, DifferenceKind, Request, Verification};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Have the kernel hold what it should: what is missing comes back, what is no ban goes
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn verify(args: &VerifyArgs, output: &Output) -> Result<(), Failure> {
    let Answer::Verification(found) =
        ask(&args.socket.socket, &Request::Verify { repair: args.repair })?
    else {
        return Err(Failure::new("the daemon answered something else"));
    };
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
    let s = if *count == 1 { "" } else { "s" };
    if differences.iter().any(|difference| left(difference.kind)) {
        let is_kernels = |one: &Difference| one.kind != DifferenceKind::Configuration;
        let hint = if !repaired && differences.iter().any(is_kernels) {
            "to mend the kernel: asterguard verify --repair"
        } else {
            "to go by the configuration as it is now: asterguard reload"
        };
        return Err(Failure::new(format!("{count} difference{s}; {hint}")));
    }
    if !output.json {
        match count {
            0 => output.line("kernel, configuration and memory are the same"),
            _ => output.line(format_args!("{count} difference{s} mended")),
        }
    }
    Ok(())
}
