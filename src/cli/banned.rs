//! `asterguard banned`, and how a ban is printed.

use std::time::Duration;

use clap::Args;

use super::Exit;
use super::explain::{elsewhere, tell_elsewhere};
use super::list::listed;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::banned::{BanStatus, BannedRequest, Dropped};
use crate::model::subject::Subject;
use crate::model::time::{HumanDuration, Time};
use crate::sys::clock::now;

#[derive(Debug, Args)]
pub struct BannedArgs {
    /// Only the bans that hold this host, or ports of it; or this port of a host; or that overlap this network
    #[arg(value_name = "HOST|NETWORK")]
    host: Option<Subject>,
    /// Instead, the bans that jails in observe mode would have made, for as long as they would last
    #[arg(long)]
    observe: bool,
    #[command(flatten)]
    places: PlacesArgs,
}

pub fn banned(args: &BannedArgs, output: &Output) -> Result<(), Failure> {
    let request = BannedRequest { host: args.host.map(SubjectText), observe: args.observe };
    let asked = args.places.ask(&request)?;
    let is_answered = asked.is_some();
    let bans = match asked {
        Some(bans) => bans,
        None if args.observe => {
            let message = "no daemon answers: only it knows whom jails would ban".to_owned();
            return Err(Failure { exit: Exit::NoDaemon, message });
        }
        None => args.places.bans(args.host, output)?,
    };
    if bans.is_empty() && args.observe && !output.json {
        output.line("nobody would be banned by a jail in observe mode");
    } else if bans.is_empty() && !output.json {
        not_banned(args, is_answered, output)?;
    }
    for named in bans {
        if output.json {
            output.object(&named);
        } else {
            output.line(format_args!("[{}] {}", named.jail, ban_line(&named.ban)));
        }
    }
    Ok(())
}

/// Says that there is no ban, and what else drops the host.
fn not_banned(args: &BannedArgs, is_answered: bool, output: &Output) -> Result<(), Failure> {
    let Some(whom) = args.host else {
        output.line("nobody is banned");
        return Ok(());
    };
    output.line(format_args!("{whom} is not banned"));
    if !whom.is_one_address() {
        return Ok(());
    }
    let listed = if is_answered {
        listed(&args.places.socket.socket, whom.address())?
    } else {
        args.places.in_kernel(whom).map_or_else(Vec::new, |(_, listed)| listed)
    };
    for listed in listed {
        output.line(format_args!("  dropped all the same: {listed}"));
    }
    tell_elsewhere(&elsewhere(whom.address()), output);
    Ok(())
}

/// Formats a ban as one line for people.
pub(super) fn ban_line(ban: &BanStatus) -> String {
    let left = ban.left.map_or("permanent".to_owned(), |left| {
        format!("{} left", HumanDuration(Duration::from_secs(left)))
    });
    let rule =
        ban.rule.as_ref().map_or(String::new(), |rule| format!(", {} × {rule}", ban.offences));
    let dropped = dropped(ban.dropped);
    let last = ban.knocked.map_or(String::new(), |time| {
        let ago = Duration::from_secs(now().since(Time::from_secs(time)).as_secs());
        format!(", last packet {} ago", HumanDuration(ago))
    });
    let BanStatus { host, scope, evidence, by_hand, by, comment, paused, .. } = ban;
    let by = by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
    let comment = comment.as_ref().map_or(String::new(), |comment| format!(": {comment}"));
    let why = if *by_hand { format!("by hand{by}{comment}") } else { format!("{evidence}{rule}") };
    let paused = if *paused { ", not in force now (paused)" } else { "" };
    format!("{host}  {scope} ports, {left}{paused}, {why}{dropped}{last}")
}

/// Returns what was dropped, if anything was.
pub(super) fn dropped(dropped: Dropped) -> String {
    match dropped.packets {
        Some(packets @ 1..) => format!(", {packets} packets dropped"),
        _ => String::new(),
    }
}
