//! `asterguard fleet status`

use clap::Args;

use super::client::ask;
use super::columns::{Columns, Give};
use super::output::{Failure, Output};
use super::{Exit, SocketArg};
use crate::control::fleet::{FleetReport, FleetRequest, FleetSummary};
use crate::model::time::{RoughDuration, Time};
use crate::sys::clock::now;

#[derive(Debug, Args)]
pub struct FleetStatusArgs {
    #[command(flatten)]
    socket: SocketArg,
}

/// Tells the state of the fleet. The exit code is 1 if it is not connected.
pub fn status(args: &FleetStatusArgs, output: &Output) -> Result<Exit, Failure> {
    let report = ask(&args.socket.socket, &FleetRequest)?;
    let exit = if report.summary.connected { Exit::Done } else { Exit::Failed };
    if output.json {
        output.object(&report);
        return Ok(exit);
    }
    let FleetSummary { waiting, dropped, trouble, since, .. } = &report.summary;
    output.line(report.summary.in_words());
    if let Some(since) = since {
        output.line(format_args!("  since {}", Time::from_secs(*since)));
    }
    if let Some(trouble) = trouble {
        output.line(format_args!("  ! {trouble}"));
    }
    if *waiting > 0 || *dropped > 0 {
        output.line(format_args!("  {waiting} records wait, {dropped} had no room"));
    }
    if !report.members.is_empty() {
        output.table(table(&report));
    }
    if !report.strangers.is_empty() {
        output.line(format_args!("of no peer, refused: {}", words(&report.strangers)));
    }
    Ok(exit)
}

/// Returns the peers in columns.
fn table(report: &FleetReport) -> Columns {
    let mut columns = Columns::new(&[
        ("PEER", Give::Never),
        ("LAST HEARD", Give::Never),
        ("BANS", Give::Never),
        ("ACCEPTED", Give::Below(70)),
        ("CLOCK", Give::Filled(60)),
        ("REFUSED", Give::Cut),
    ]);
    for peer in &report.members {
        let heard = |last| RoughDuration(now().since(Time::from_secs(last)));
        columns.row([
            peer.node.clone(),
            peer.last.map_or("never".to_owned(), |last| format!("{} ago", heard(last))),
            peer.bans.to_string(),
            peer.accepted.to_string(),
            peer.clock.map_or(String::new(), |seconds| format!("{seconds:+} s")),
            words(&peer.refused),
        ]);
    }
    columns
}

/// `replay 2, signature 7`
fn words(refused: &std::collections::BTreeMap<String, u64>) -> String {
    let words: Vec<_> = refused.iter().map(|(why, count)| format!("{why} {count}")).collect();
    words.join(", ")
}
