//! `asterguard banned`, and how a ban is printed.

use std::cmp::Reverse;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::Exit;
use super::columns::{Columns, Give};
use super::completions;
use super::explain::{elsewhere, tell_elsewhere};
use super::list::listed;
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::banned::{BanStatus, BannedRequest, Dropped, NamedBan};
use crate::model::subject::Subject;
use crate::model::time::{RoughDuration, Time};
use crate::model::words::counted;
use crate::sys::clock::now;

#[derive(Debug, Args)]
pub struct BannedArgs {
    /// Show only the bans of this host and its ports, or of this port of a host, or that overlap this network
    #[arg(value_name = "HOST|NETWORK", add = ArgValueCandidates::new(completions::banned))]
    host: Option<Subject>,
    /// Show the bans that jails in observe mode would have made, each for as long as it would last
    #[arg(long)]
    observe: bool,
    /// Which bans come first
    #[arg(long, value_name = "ORDER", default_value = "left")]
    sort: Order,
    /// Show at most this many bans
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    places: PlacesArgs,
}

/// The order of bans.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Order {
    /// Those that last longest
    Left,
    /// The newest
    Since,
    /// By address
    Host,
    /// By jail, then by address
    Jail,
    /// Those with the most dropped packets
    Dropped,
    /// Those of the hosts that sent a packet last
    Last,
}

pub fn banned(args: &BannedArgs, output: &Output) -> Result<Exit, Failure> {
    let request = BannedRequest { host: args.host.map(SubjectText), observe: args.observe };
    let asked = args.places.ask(&request)?;
    let is_answered = asked.is_some();
    let mut bans = match asked {
        Some(bans) => bans,
        None if args.observe => {
            let message = "no daemon answers: only it knows which hosts jails would ban".to_owned();
            return Err(Failure { exit: Exit::NoDaemon, message });
        }
        None => args.places.bans(args.host, output)?,
    };
    // One host or network that was asked for, and is not there.
    let exit = if bans.is_empty() && args.host.is_some() { Exit::NotFound } else { Exit::Done };
    if bans.is_empty() && args.observe && !output.json {
        output.line("nobody would be banned by a jail in observe mode");
    } else if bans.is_empty() && !output.json {
        not_banned(args, is_answered, output)?;
    }
    sort(&mut bans, args.sort);
    let more = args.limit.map_or(0, |limit| bans.len().saturating_sub(limit));
    bans.truncate(args.limit.unwrap_or(bans.len()));
    if output.json {
        for named in &bans {
            output.object(named);
        }
    } else if !bans.is_empty() {
        output.table(table(&bans));
    }
    if more > 0 && !output.json {
        output.note(&format!("and {} more", counted(more, "ban")));
    }
    Ok(exit)
}

fn sort(bans: &mut [NamedBan], order: Order) {
    let host = |named: &NamedBan| named.ban.host.parse::<Subject>().ok();
    match order {
        Order::Left => {
            bans.sort_by_key(|named| Reverse(named.ban.left.map_or((1, 0), |left| (0, left))));
        }
        Order::Since => bans.sort_by_key(|named| Reverse(named.ban.since)),
        Order::Host => bans.sort_by_key(host),
        Order::Jail => bans.sort_by_key(|named| (named.jail.clone(), host(named))),
        Order::Dropped => bans.sort_by_key(|named| Reverse(named.ban.dropped.packets)),
        Order::Last => bans.sort_by_key(|named| Reverse(named.ban.knocked)),
    }
}

/// Returns bans in columns.
fn table(bans: &[NamedBan]) -> Columns {
    let mut columns = Columns::new(&[
        ("HOST", Give::Never),
        ("CC", Give::Filled(0)),
        ("JAIL", Give::Never),
        ("PORTS", Give::Below(70)),
        ("LEFT", Give::Never),
        ("WHY", Give::Cut),
        ("DROPPED", Give::Below(100)),
        ("LAST PACKET", Give::Below(110)),
        ("NETWORK", Give::Filled(150)),
    ]);
    for NamedBan { jail, ban } in bans {
        let dropped = ban.dropped.packets.map_or(String::new(), |packets| packets.to_string());
        columns.row([
            ban.host.clone(),
            ban.place.country.map_or(String::new(), |country| country.to_string()),
            jail.clone(),
            ban.scope.clone(),
            left(ban),
            why(ban),
            dropped,
            last(ban).map_or(String::new(), |ago| format!("{ago} ago")),
            ban.place.network().unwrap_or_default(),
        ]);
    }
    columns
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
        output.line(format_args!("  dropped without a ban: {listed}"));
    }
    tell_elsewhere(&elsewhere(whom.address()), output);
    Ok(())
}

/// Returns how long a ban lasts from now on.
fn left(ban: &BanStatus) -> String {
    let left = ban.left.map_or("permanent".to_owned(), |left| {
        RoughDuration(Duration::from_secs(left)).to_string()
    });
    if ban.paused { left + " (paused)" } else { left }
}

/// Returns why a host is banned.
fn why(ban: &BanStatus) -> String {
    let BanStatus { evidence, by_hand, by, comment, offences, rule, issuers, .. } = ban;
    if let Some(first) = issuers.first() {
        let names: Vec<_> = issuers.iter().map(|issuer| issuer.node.as_str()).collect();
        let what = format!("{} {}", first.jail, first.rule);
        return format!("by {}: {}, {evidence}", names.join(", "), what.trim());
    }
    if *by_hand {
        let by = by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
        let comment = comment.as_ref().map_or(String::new(), |comment| format!(": {comment}"));
        return format!("by hand{by}{comment}");
    }
    let rule = rule.as_ref().map_or(String::new(), |rule| format!(", {offences} × {rule}"));
    format!("{evidence}{rule}")
}

/// Returns how long ago the host's last packet was seen.
fn last(ban: &BanStatus) -> Option<RoughDuration> {
    let ago = now().since(Time::from_secs(ban.knocked?));
    Some(RoughDuration(Duration::from_secs(ago.as_secs())))
}

/// Formats a ban as one line for people.
pub(super) fn ban_line(ban: &BanStatus) -> String {
    let left = ban.left.map_or("permanent".to_owned(), |left| {
        format!("{} left", RoughDuration(Duration::from_secs(left)))
    });
    let paused = if ban.paused { ", not in force now (paused)" } else { "" };
    let (dropped, why) = (dropped(ban.dropped), why(ban));
    let last = last(ban).map_or(String::new(), |ago| format!(", last packet {ago} ago"));
    format!("{}  {} ports, {left}{paused}, {why}{dropped}{last}", ban.host, ban.scope)
}

/// Returns what was dropped, if anything was.
pub(super) fn dropped(dropped: Dropped) -> String {
    match dropped.packets {
        Some(packets @ 1..) => format!(", {} dropped", counted(packets, "packet")),
        _ => String::new(),
    }
}
