//! `asterguard accounts`

use clap::{Args, Subcommand};

use super::client::ask;
use super::columns::{Columns, Give};
use super::output::{Failure, Output};
use super::without_daemon::PlacesArgs;
use crate::control::SubjectText;
use crate::control::accounts::{
    AccountReport, AccountState, AccountsRequest, AcknowledgeRequest, ForgetAccountRequest,
    NetworkReport,
};
use crate::model::subject::{Subject, written};
use crate::model::time::Time;

/// Networks that are shown of an account in a row.
const SHOWN: usize = 4;

#[derive(Debug, Args)]
pub struct AccountsArgs {
    #[command(subcommand)]
    command: Option<AccountsCommand>,
    #[command(flatten)]
    places: PlacesArgs,
}

#[derive(Debug, Subcommand)]
enum AccountsCommand {
    /// Say that a login from a new network is right: the account uses this network from now on
    ///
    /// Without a host or network, it is about all alarms of the account. If the account has no alarm there, the network is
    /// added, for example before a journey.
    Ack(AckArgs),
    /// Forget the networks of an account: they are learned anew from its next login on, without an alarm
    ///
    /// It is for an account that moved in its first weeks and stays in one place now, and after a password was stolen and
    /// changed.
    Forget {
        /// The account
        #[arg(value_name = "NAME")]
        account: String,
    },
}

#[derive(Debug, Args)]
struct AckArgs {
    /// The account
    #[arg(value_name = "NAME", required_unless_present = "all")]
    account: Option<String>,
    /// The host or network that it logged in from
    #[arg(value_name = "HOST|NETWORK")]
    host: Option<Subject>,
    /// All accounts that have an alarm in this network, if a site has new addresses
    #[arg(long, value_name = "HOST|NETWORK", conflicts_with_all = ["account", "host"])]
    all: Option<Subject>,
}

pub fn accounts(args: &AccountsArgs, output: &Output) -> Result<(), Failure> {
    match &args.command {
        Some(AccountsCommand::Ack(ack)) => {
            let host = ack.all.or(ack.host).map(SubjectText);
            let request = AcknowledgeRequest { account: ack.account.clone(), host };
            output.changed(&ask(&args.places.socket.socket, &request)?);
            Ok(())
        }
        Some(AccountsCommand::Forget { account }) => {
            let request = ForgetAccountRequest { account: account.clone() };
            output.changed(&ask(&args.places.socket.socket, &request)?);
            Ok(())
        }
        None => list(args, output),
    }
}

fn list(args: &AccountsArgs, output: &Output) -> Result<(), Failure> {
    let accounts = match args.places.ask(&AccountsRequest)? {
        Some(accounts) => accounts,
        None => args.places.accounts(output)?,
    };
    if output.json {
        for account in &accounts {
            output.object(account);
        }
    } else if accounts.is_empty() {
        output.line("no account has logged in yet, as far as that is proven");
    } else {
        output.table(table(&accounts));
    }
    Ok(())
}

fn table(accounts: &[AccountReport]) -> Columns {
    let mut columns = Columns::new(&[
        ("ACCOUNT", Give::Never),
        ("STATE", Give::Never),
        ("LAST LOGIN", Give::Below(90)),
        ("FROM", Give::Never),
        ("FIRST SEEN", Give::Below(150)),
        ("NETWORKS", Give::Cut),
    ]);
    for report in accounts {
        columns.row([
            report.account.clone(),
            state(report),
            Time::from_secs(report.last).to_string(),
            report.host.clone(),
            Time::from_secs(report.since).to_string(),
            networks(&report.networks),
        ]);
    }
    columns
}

fn state(report: &AccountReport) -> String {
    match (report.state, report.until) {
        (AccountState::Alarm, _) => "ALARM".to_owned(),
        (AccountState::Learning, Some(until)) => {
            format!("learning until {}", Time::from_secs(until))
        }
        (AccountState::Learning, None) => "learning".to_owned(),
        (AccountState::Watched, _) => "watched".to_owned(),
        (AccountState::Roaming, _) if report.networks.iter().any(|at| at.country.is_some()) => {
            "roaming (by country)".to_owned()
        }
        (AccountState::Roaming, _) => "roaming (off)".to_owned(),
    }
}

/// Returns the networks in words: those with an alarm first, then those that were used last.
fn networks(networks: &[NetworkReport]) -> String {
    let mut all: Vec<_> = networks.iter().collect();
    all.sort_by_key(|known| (!known.alarm, -known.last));
    let word = |known: &&NetworkReport| {
        let alarm = if known.alarm { " (new)" } else { "" };
        match known.country {
            Some(country) => format!("{country}{alarm}"),
            None => format!("{}{alarm}", written(&known.net)),
        }
    };
    let shown: Vec<_> = all.iter().take(SHOWN).map(word).collect();
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}
