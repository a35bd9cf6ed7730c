//! `asterguard restore`

use clap::Args;
use serde::Serialize;

use super::output::{Failure, Output};
use super::state_file::StateDirArg;
use super::{ConfigArg, Exit};
use crate::daemon::{self, Restored};

#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    state: StateDirArg,
}

#[derive(Debug, Serialize)]
struct Done {
    result: &'static str,
    /// Bans that were put into the kernel.
    restored: usize,
    /// Bans that were there already.
    found: usize,
    /// Bans whose time was over.
    expired: usize,
}

pub fn restore(args: &RestoreArgs, output: &Output) -> Result<(), Failure> {
    let Restored { bans, stored, problem, refused } =
        daemon::restore(args.config.config.as_deref(), &args.state.state_dir)?;
    let found = bans.kept + bans.adopted;
    let refused = refused.unwrap_or_default();
    let restored = bans.missing.saturating_sub(refused.0);
    if output.json {
        let expired = bans.expired;
        output.object(&Done { result: "done", restored, found, expired });
    } else if stored {
        output.line(format_args!(
            "{restored} bans put into the kernel, {found} were there, {} are over",
            bans.expired
        ));
    } else {
        output.line("nothing is stored yet; table, sets and chains are there");
    }
    match (problem, refused) {
        (None, (0, _)) => Ok(()),
        (None, (count, first)) => Err(Failure::new(format!(
            "{count} bans are not in force, because the kernel does not take them ({first})"
        ))),
        (Some(problem), _) => Err(Failure {
            exit: Exit::BadState,
            message: format!("{problem}; restored is what could be read"),
        }),
    }
}
