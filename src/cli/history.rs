//! `asterguard history`: all bans that the state file holds.

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::Exit;
use super::columns::{Columns, Give};
use super::completions;
use super::output::{Failure, Output};
use super::state_file::{StateDirArg, StoredBan, moment};
use crate::model::account::Account;
use crate::model::subject::Subject;
use crate::model::time::{RoughDuration, Time};
use crate::store::{self, HistoryQuery};

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Show only the bans of this host and its ports, or that overlap this network
    #[arg(value_name = "HOST|NETWORK", add = ArgValueCandidates::new(completions::banned))]
    host: Option<Subject>,
    /// Show only bans that began since then: a duration like 7d, or a date like 2026-11-22
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,
    /// Show only the bans of this jail
    #[arg(long, short, add = ArgValueCandidates::new(completions::jails))]
    jail: Option<String>,
    /// Show only the bans of hosts that tried this account
    #[arg(long, value_name = "NAME", value_parser = account)]
    account: Option<Account>,
    /// Show at most this many bans, the newest; 0: all
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    state: StateDirArg,
}

fn account(name: &str) -> Result<Account, String> {
    let wrong = "an account is at most 64 letters, digits, and characters of _.+-";
    Account::named(name.as_bytes()).ok_or_else(|| wrong.to_owned())
}

pub fn history(args: &HistoryArgs, output: &Output) -> Result<Exit, Failure> {
    let query = HistoryQuery {
        whom: args.host,
        since: args.since,
        jail: args.jail.clone(),
        account: args.account,
    };
    let most = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut bans, mut is_all) = (Vec::new(), true);
    let mut take = |ban| {
        is_all = bans.len() < most;
        if is_all {
            bans.push(StoredBan::from(ban));
        }
        is_all
    };
    if args.state.is_there()? {
        let read = store::history(&args.state.state_dir, &query, &mut take);
        read.map_err(|error| args.state.unreadable(&error))?;
    }
    for ban in bans.iter().filter(|_| output.json) {
        output.object(ban);
    }
    if !output.json && bans.is_empty() {
        output.line("no ban is known");
    } else if !output.json {
        output.table(table(&bans));
    }
    if !is_all {
        output.note("there are older ones: --limit 0 shows all");
    }
    Ok(if bans.is_empty() { Exit::NotFound } else { Exit::Done })
}

/// Returns bans in columns.
fn table(bans: &[StoredBan]) -> Columns {
    let mut columns = Columns::new(&[
        ("SINCE", Give::Never),
        ("HOST", Give::Never),
        ("JAIL", Give::Never),
        ("LASTED", Give::Below(70)),
        ("ENDED", Give::Below(80)),
        ("WHY", Give::Cut),
        ("ACCOUNTS", Give::Below(110)),
    ]);
    for ban in bans {
        let since = Time::from_secs(ban.since);
        let lasted = ban.ended.map_or("in force".to_owned(), |ended| {
            RoughDuration(Time::from_secs(ended).since(since)).to_string()
        });
        columns.row([
            since.to_string(),
            ban.host.clone(),
            ban.jail.clone(),
            lasted,
            ban.how.unwrap_or_default().to_owned(),
            ban.why(),
            ban.accounts.join(" "),
        ]);
    }
    columns
}
