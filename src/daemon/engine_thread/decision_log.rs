//! Tells decisions: the one place for the log, and for every other channel.

use tracing::{debug, info, warn};

use crate::daemon::requests::without_effect;
use crate::decide::plan::Plan;
use crate::model::event::{
    AccountFailures, Ban, Decision, JailId, NewNetworkLogin, RoamingAccount, Targeted,
};
use crate::model::subject::written;
use crate::model::time::BanDuration;
use crate::model::words::counted;

/// An observer that is told what the engine decides, in order, on the engine's thread: it must not wait
/// for anything.
pub trait DecisionObserver {
    /// Accepts a decision that the engine has made, going by `plan`.
    fn decided(&mut self, plan: &Plan, decision: &Decision);
}

/// The observer that writes decisions to the log, as fail2ban's users know them.
#[derive(Debug)]
pub struct DecisionLog;

impl DecisionObserver for DecisionLog {
    fn decided(&mut self, plan: &Plan, decision: &Decision) {
        let name = |jail: JailId| plan.jail(jail).map_or("?", |jail| &jail.name);
        match decision {
            Decision::Found { jail, host, offences, .. } => {
                debug!("[{}] Found {host} ({offences})", name(*jail));
            }
            Decision::Ban(ban) => {
                info!("[{}] Ban {} ({})", name(ban.jail), ban.subject, reason(plan, ban));
            }
            Decision::Renewed(ban) => {
                info!("[{}] Renew {} (still sending)", name(ban.jail), ban.subject);
            }
            Decision::Observed(ban) => {
                info!("[{}] Would ban {} ({})", name(ban.jail), ban.subject, reason(plan, ban));
            }
            Decision::Unban { jail, subject, why: _ } => {
                info!("[{}] Unban {subject}", name(*jail));
            }
            Decision::FloodBegins(origin) => warn!(
                "more than {} unverified bans a minute by {origin}: source addresses are being forged; only proven bans by {origin} until that is over; do: raise `maxunverified` if so many hosts do attack",
                plan.config.maxunverified
            ),
            Decision::FloodEbbs { origin, withheld } => {
                warn!("the flood is over: {withheld} unverified bans by {origin} were withheld");
            }
            Decision::AccountsFail(report) => warn!("{}", accounts_fail(report)),
            Decision::StrangerFails { jail, subject, account, failures, since, others } => {
                let who = account.map_or("an account".to_owned(), |name| format!("account {name}"));
                warn!(
                    "[{}] {who} fails at {subject} ({} since {since}), where {} logged in: not banned, correct that phone",
                    name(*jail),
                    counted(*failures, "failure"),
                    accounts_are(*others),
                );
            }
            Decision::AccountTargeted(Targeted { account, hosts, since }) => warn!(
                "account {account} is guessed at by {hosts} hosts since {since}: give it a name and a password that nobody guesses"
            ),
            Decision::NewNetwork(login) => warn!("{}", new_network(login)),
            Decision::AccountRoams(RoamingAccount { account, networks, since }) => info!(
                "account {account} often logs in from new networks ({networks} since {since}), like a mobile phone: no alarm about its networks from now on"
            ),
            Decision::NewNetworksWithheld(logins) => warn!(
                "{} more from networks that their accounts never used, not told one by one; do: `asterguard accounts` shows them; `asterguard accounts ack --all NETWORK` if a site has new addresses",
                counted(*logins, "login")
            ),
            Decision::WithoutEffect(found) => {
                warn!("[{}] {}", name(found.ban.jail), without_effect::in_words(plan, found));
            }
            Decision::AskTalked(_) | Decision::Change(_) => {}
        }
    }
}

/// Returns why a host is banned.
fn reason(plan: &Plan, ban: &Ban) -> String {
    let length =
        ban.until.map_or(BanDuration::Permanent, |until| BanDuration::For(until.since(ban.since)));
    let scope =
        plan.structure.scopes.get(usize::from(ban.scope.0)).map_or("?", |scope| &scope.name);
    match ban.cause.and_then(|(rule, _)| plan.rule_name(rule)) {
        Some(rule) => {
            format!("{} offences, {}, {rule}, ports {scope}, {length}", ban.offences, ban.evidence)
        }
        None => format!("by hand, ports {scope}, {length}"),
    }
}

/// `20 accounts are`
fn accounts_are(count: usize) -> String {
    let are = if count == 1 { "is" } else { "are" };
    format!("{} {are}", counted(u32::try_from(count).unwrap_or(u32::MAX), "account"))
}

/// Returns what is said of a login from a network that its account never used.
fn new_network(login: &NewNetworkLogin) -> String {
    let NewNetworkLogin { account, host, network, since, networks, before } = login;
    let before = before.map_or(String::new(), |net| format!(", the last one {}", written(&net)));
    format!(
        "account {account} logged in from {host}, in the network {} that it never used ({} since {since}{before}): this login protects no host; do: if nobody of yours did that, change the password and ban the host; else `asterguard accounts ack {account} {host}`",
        written(network),
        counted(u32::try_from(*networks).unwrap_or(u32::MAX), "network"),
    )
}

/// Returns what is said of a site whose phones have an old password.
fn accounts_fail(report: &AccountFailures) -> String {
    let AccountFailures { subject, known, unknown } = report;
    let (known, fail) =
        (counted(*known, "known account"), if *known == 1 { "fails" } else { "fail" });
    format!("{known} {fail} at {subject}, {unknown} unknown: provisioning?")
}
