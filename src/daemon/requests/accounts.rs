//! `accounts`: the networks that accounts log in from, and that some of these are right.

use std::time::Duration;

use ipnet::IpNet;

use crate::control::accounts::{
    AccountReport, AccountState, AcknowledgeRequest, ForgetAccountRequest, NetworkReport,
};
use crate::control::{Done, Problem, SubjectText};
use crate::daemon::Daemon;
use crate::daemon::engine_thread::Core;
use crate::decide::account_networks::{StoredAccount, StoredAccounts, StoredNetwork};
use crate::model::account::Account;
use crate::model::guard_event::GuardEvent;
use crate::model::orders::Caller;
use crate::model::subject::{canonical_net, written};
use crate::model::time::Time;
use crate::model::words::counted;
use crate::sys::clock::now;

/// Returns the accounts that have logged in.
pub(super) async fn list(daemon: &Daemon) -> Result<Vec<AccountReport>, Problem> {
    daemon.engine.ask(|core| reports(&core.engine.networks().stored(), now())).await
}

/// Returns the accounts that have logged in, those with an alarm first, then by their names.
#[must_use]
pub fn reports(stored: &StoredAccounts, now: Time) -> Vec<AccountReport> {
    let learn = Duration::from_secs(stored.learn);
    let mut reports: Vec<_> =
        stored.accounts.iter().map(|account| report(account, learn, now)).collect();
    reports.sort_by(|a, b| {
        let is_calm = |report: &AccountReport| report.state != AccountState::Alarm;
        (is_calm(a), &a.account, a.since).cmp(&(is_calm(b), &b.account, b.since))
    });
    reports
}

fn report(stored: &StoredAccount, learn: Duration, now: Time) -> AccountReport {
    let until = stored.first.plus(learn);
    let learns = until > now && !stored.roams;
    let state = if stored.networks.iter().any(|known| known.alarm) {
        AccountState::Alarm
    } else if stored.roams {
        AccountState::Roaming
    } else if learns {
        AccountState::Learning
    } else {
        AccountState::Watched
    };
    let network = |known: &StoredNetwork| NetworkReport {
        net: known.net,
        since: known.since.secs(),
        last: known.last.secs(),
        alarm: known.alarm,
        country: known.country,
    };
    AccountReport {
        account: stored.account.to_string(),
        state,
        until: learns.then(|| until.secs()),
        since: stored.first.secs(),
        last: stored.last.secs(),
        host: stored.host.clone(),
        networks: stored.networks.iter().map(network).collect(),
    }
}

/// Lets networks count as used.
pub(super) async fn acknowledge(
    daemon: &Daemon,
    request: AcknowledgeRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    let AcknowledgeRequest { account, host } = request;
    let net = match host {
        Some(SubjectText(whom)) if whom.is_flow() => {
            let message = format!("{whom} is one port of a host: write its address");
            return Err(Problem::refused(message));
        }
        Some(SubjectText(whom)) => Some(canonical_net(whom.net())),
        None => None,
    };
    daemon
        .engine
        .order(move |core| {
            let done = match (account, net) {
                (Some(name), net) => one(core, &name, net.as_ref(), &caller),
                (None, Some(net)) => Ok(all(core, &net, &caller)),
                (None, None) => Err(Problem::refused("write an account or a network")),
            };
            core.recorder.checkpoint_now(&mut core.engine, &core.reader, now());
            done
        })
        .await?
}

/// Forgets the networks of an account.
pub(super) async fn forget(
    daemon: &Daemon,
    request: ForgetAccountRequest,
    caller: Caller,
) -> Result<Done, Problem> {
    daemon
        .engine
        .order(move |core| {
            let account = core.engine.forget_account(&request.account).map_err(Problem::refused)?;
            core.recorder.checkpoint_now(&mut core.engine, &core.reader, now());
            let words = format!("the networks of account {account} are learned anew");
            core.events.tell(GuardEvent::ordered(now(), &words, &caller));
            Ok(Done::changing(true, words))
        })
        .await?
}

fn one(core: &mut Core, name: &str, net: Option<&IpNet>, caller: &Caller) -> Result<Done, Problem> {
    let done = core.engine.acknowledge(name, net, now(), &mut core.decisions);
    core.carry_out();
    let (account, networks) = done.map_err(Problem::refused)?;
    if networks.is_empty() {
        let place = net.map_or(String::new(), |net| format!(" in {}", written(net)));
        let words = format!("account {account} has no alarm{place}: nothing changed");
        return Ok(Done::changing(false, words));
    }
    let networks: Vec<_> = networks.iter().map(written).collect();
    let words = format!("account {account} uses {} from now on", networks.join(", "));
    let told = format!("{words}, acknowledged by {caller}");
    core.events.tell(GuardEvent::order(now(), told, caller));
    Ok(Done::changing(true, words))
}

fn all(core: &mut Core, net: &IpNet, caller: &Caller) -> Done {
    let accounts = core.engine.acknowledge_all(net, now(), &mut core.decisions);
    core.carry_out();
    if accounts.is_empty() {
        let words = format!("no account has an alarm in {}: nothing changed", written(net));
        return Done::changing(false, words);
    }
    let count = counted(u32::try_from(accounts.len()).unwrap_or(u32::MAX), "account");
    let words = format!("alarms in {} are acknowledged: {count}", written(net));
    let told = format!("{words}, by {caller}: {}", first(&accounts));
    core.events.tell(GuardEvent::order(now(), told, caller));
    Done::changing(true, words)
}

/// Returns the first few of these accounts in words.
fn first(accounts: &[Account]) -> String {
    const SHOWN: usize = 10;
    let names: Vec<_> = accounts.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if accounts.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
