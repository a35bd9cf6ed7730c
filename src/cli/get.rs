//! `asterguard get`

use clap::{Args, Subcommand};

use super::client::ask;
use super::list::never_banned;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::failregex::FailregexRequest;
use crate::control::ignoreip::IgnoreipRequest;

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The jail; `ignoreip` can be asked for without one
    jail: Option<String>,
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    socket: SocketArg,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The failregexes that the jail counts
    Failregex,
    /// Hosts that are never banned, and why: by any jail, and by the jail that is named
    Ignoreip,
}

pub fn get(args: &GetArgs, output: &Output) -> Result<(), Failure> {
    match (&args.what, &args.jail) {
        (What::Ignoreip, jail) => ignoreip(args, jail.clone(), output),
        (What::Failregex, Some(jail)) => failregex(args, jail.clone(), output),
        (What::Failregex, None) => {
            let message = "which jail? Write: asterguard get JAIL failregex".to_owned();
            Err(Failure { exit: Exit::Usage, message })
        }
    }
}

fn ignoreip(args: &GetArgs, jail: Option<String>, output: &Output) -> Result<(), Failure> {
    never_banned(&ask(&args.socket.socket, &IgnoreipRequest { jail })?, output);
    Ok(())
}

fn failregex(args: &GetArgs, jail: String, output: &Output) -> Result<(), Failure> {
    for rule in ask(&args.socket.socket, &FailregexRequest { jail })? {
        if output.json {
            output.object(&rule);
        } else {
            rule.failregex
                .iter()
                .for_each(|regex| output.line(format_args!("{}\t{regex}", rule.rule)));
        }
    }
    Ok(())
}
