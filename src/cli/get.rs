//! `asterguard get`

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::client::ask;
use super::completions;
use super::list::never_banned;
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::failregex::FailregexRequest;
use crate::control::ignoreip::IgnoreipRequest;
use crate::control::settings::SettingsRequest;

const IGNOREIP: &str = "ignoreip";
const FAILREGEX: &str = "failregex";

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The jail; or `ignoreip`, for the hosts that no jail bans
    #[arg(value_name = "JAIL", add = ArgValueCandidates::new(completions::jails))]
    first: String,
    /// One of its values; or `failregex`: what it counts; or `ignoreip`: the hosts that it never bans, and why
    /// [default: all values, and where each is written]
    #[arg(value_name = "WHAT")]
    what: Option<String>,
    #[command(flatten)]
    socket: SocketArg,
}

pub fn get(args: &GetArgs, output: &Output) -> Result<(), Failure> {
    let jail = args.first.clone();
    match args.what.as_deref() {
        None if jail == IGNOREIP => ignoreip(args, None, output),
        None if jail == FAILREGEX => {
            let message = "which jail? Write: asterguard get JAIL failregex".to_owned();
            Err(Failure { exit: Exit::Usage, message })
        }
        Some(IGNOREIP) => ignoreip(args, Some(jail), output),
        Some(FAILREGEX) => failregex(args, jail, output),
        None => settings(args, jail, output),
        Some(key) => setting(args, jail, key, output),
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

fn settings(args: &GetArgs, jail: String, output: &Output) -> Result<(), Failure> {
    output.settings(&ask(&args.socket.socket, &SettingsRequest { jail })?);
    Ok(())
}

fn setting(args: &GetArgs, jail: String, key: &str, output: &Output) -> Result<(), Failure> {
    let settings = ask(&args.socket.socket, &SettingsRequest { jail })?;
    let Some(setting) = settings.iter().find(|setting| setting.key == key) else {
        let known: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
        let message =
            format!("there is no value `{key}`; there are {}, {FAILREGEX}", known.join(", "));
        return Err(Failure { exit: Exit::Usage, message });
    };
    if output.json {
        output.object(setting);
    } else {
        output.line(format_args!("{}", setting.value));
    }
    Ok(())
}
