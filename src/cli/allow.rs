//! `asterguard allow`

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::Exit;
use super::ban::{lasting, seconds};
use super::client::{ask, one_by_one};
use super::completions;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::allow::{AllowRequest, AllowedReport, AllowedRequest};
use crate::model::subject::{Subject, written};
use crate::model::time::{BanDuration, Time};

#[derive(Debug, Args)]
pub struct AllowArgs {
    /// Addresses or networks that are let through, even if they are banned or on a list
    #[arg(
        value_name = "HOST|NETWORK",
        required_unless_present = "list",
        add = ArgValueCandidates::new(completions::allowed)
    )]
    hosts: Vec<Subject>,
    /// Duration: 8h, 1d 12h, seconds, or permanent (until `--remove`)
    #[arg(long = "for", value_name = "TIME", default_value = "permanent", value_parser = lasting, allow_hyphen_values = true)]
    length: BanDuration,
    /// The reason, in one line
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Remove them from the list
    #[arg(long, conflicts_with_all = ["length", "comment", "list"])]
    remove: bool,
    /// Show the hosts that this command lets through. `asterguard list allow` shows all hosts that are let through
    #[arg(long, conflicts_with_all = ["hosts", "length", "comment"])]
    list: bool,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn allow(args: &AllowArgs, output: &Output) -> Result<(), Failure> {
    if args.list {
        return list(args, output);
    }
    one_by_one(args.hosts.iter(), |host| {
        let request = AllowRequest {
            host: SubjectText(*host),
            seconds: seconds(args.length),
            comment: args.comment.clone(),
            remove: args.remove,
        };
        match ask(&args.places.socket.socket, &request) {
            Ok(done) => {
                output.changed(&done);
                Ok(())
            }
            // The kernel and the state file are there without it.
            Err(Failure { exit: Exit::NoDaemon, .. }) if args.places.is_down() => {
                args.places.allow(&request, output)
            }
            Err(failure) => Err(failure),
        }
    })
}

fn list(args: &AllowArgs, output: &Output) -> Result<(), Failure> {
    let allowed = match args.places.ask(&AllowedRequest)? {
        Some(allowed) => allowed,
        None => args.places.allowed(output),
    };
    if allowed.is_empty() && !output.json {
        output.line("nobody is let through by order");
    }
    for known in &allowed {
        if output.json {
            output.object(known);
        } else {
            output.line(in_words(known));
        }
    }
    Ok(())
}

fn in_words(known: &AllowedReport) -> String {
    let AllowedReport { net, since, until, by, comment } = known;
    let until =
        until.map_or("without an end".to_owned(), |end| format!("until {}", Time::from_secs(end)));
    let comment = comment.as_ref().map_or(String::new(), |comment| format!(": {comment}"));
    format!("{:<17} {until}, by {by} at {}{comment}", written(net), Time::from_secs(*since))
}
