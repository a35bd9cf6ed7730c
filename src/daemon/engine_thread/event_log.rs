//! Tells what the guard did: in the log, in the state file, and to the notifier.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::log_reader::Reader;
use crate::config::FLEET;
use crate::control::health::Check;
use crate::daemon::notify_link::NotifyLink;
use crate::daemon::requests::without_effect;
use crate::decide::engine::Engine;
use crate::decide::peer_bans::IssuedBan;
use crate::decide::plan::Plan;
use crate::geo::{Databases, SharedDatabases};
use crate::model::account::Account;
use crate::model::event::{
    AccountFailures, Ban, Decision, Event, JailId, Lifted, NewNetworkLogin, RoamingAccount,
    SIP_RESPONSES, Targeted,
};
use crate::model::guard_event::{BanDetails, EventKind, GuardEvent, MOST_LINES};
use crate::model::subject::{Subject, written};
use crate::model::time::{BanDuration, Time};
use crate::model::words::counted;

/// Attempts of a host that are looked at, to tell with a ban which accounts it tried.
const MOST_ATTEMPTS: usize = 64;

/// Bans of peers, and their ends, that are told one by one in a second. Of others, only the number is told.
const MOST_OF_PEERS: u64 = 100;

/// Events that wait to be stored: about 500 bytes each. The state file keeps no more of them.
const MOST_WAITING: usize = 1 << 16;

/// What happened, with the accounts that a banned host tried.
pub type Happened = (GuardEvent, Vec<Account>);

/// Tells what happened: each event once, to all who are told.
#[derive(Debug, Default)]
pub struct EventLog {
    /// Events that were logged and not stored yet.
    waiting: Vec<Happened>,
    /// The way to the process that tells people; `None` if the guard was started without one.
    pub notify: Option<Arc<NotifyLink>>,
    /// What is known of where hosts are.
    places: Arc<SharedDatabases>,
    /// The second in which bans of peers were told, and how many there were.
    of_peers: (i64, u64),
}

impl EventLog {
    /// Returns one that tells people by `notify`, with what `places` know of hosts.
    #[must_use]
    pub fn new(notify: Option<Arc<NotifyLink>>, places: Arc<SharedDatabases>) -> Self {
        Self { notify, places, ..Self::default() }
    }

    /// Logs an event, and tells all others of it.
    pub fn tell(&mut self, mut event: GuardEvent) {
        let subject = event.host.as_deref().and_then(|host| host.parse::<Subject>().ok());
        if let Some(subject) = subject {
            event.place = self.places.get().place(subject.address());
        }
        log(&event);
        self.tell_others(event);
    }

    /// Tells all others of an event that the log has in another place.
    pub fn tell_others(&mut self, event: GuardEvent) {
        self.tell_people(&event);
        self.store(event, Vec::new());
    }

    /// Logs and stores an event about the notifier, which tells nobody of its own troubles.
    pub fn tell_but_nobody(&mut self, event: GuardEvent) {
        log(&event);
        self.store(event, Vec::new());
    }

    /// Returns what is known of where hosts are.
    pub fn places(&self) -> Arc<Databases> {
        self.places.get()
    }

    /// Returns the events that are to be stored.
    pub fn take(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.waiting)
    }

    /// Tells how many bans of peers were not told one by one.
    pub fn tick(&mut self, now: Time) {
        let (second, count) = self.of_peers;
        let more = count.saturating_sub(MOST_OF_PEERS);
        if second == now.secs() || more == 0 {
            return;
        }
        self.of_peers = (now.secs(), 0);
        let text = format!("[{FLEET}] {more} more bans and unbans of peers, not told one by one");
        let kind = EventKind::Ban;
        self.tell_but_nobody(GuardEvent {
            jail: Some(FLEET.to_owned()),
            ..GuardEvent::new(now, kind, text)
        });
    }

    /// Whether a ban of a peer, or its end, is told by itself.
    fn tells_of_peer(&mut self, now: Time) -> bool {
        self.tick(now);
        if self.of_peers.0 != now.secs() {
            self.of_peers = (now.secs(), 0);
        }
        self.of_peers.1 += 1;
        self.of_peers.1 <= MOST_OF_PEERS
    }

    fn tell_people(&self, event: &GuardEvent) {
        if let Some(notify) = &self.notify {
            notify.tell(event);
        }
    }

    fn store(&mut self, mut event: GuardEvent, accounts: Vec<Account>) {
        // Log lines are long, and hold what strangers wrote: they are not stored.
        if let Some(ban) = &mut event.ban {
            ban.lines = Vec::new();
        }
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push((event, accounts));
        }
    }

    /// Tells what the engine decided, after the kernel was told.
    pub fn decided(&mut self, decision: &Decision, engine: &Engine, reader: &Reader, now: Time) {
        let plan = engine.plan();
        let name = |jail: JailId| plan.jail(jail).map_or("?", |jail| &jail.name);
        let warning = |text: String| GuardEvent {
            good: Some(false),
            ..GuardEvent::new(now, EventKind::Health, text)
        };
        match decision {
            Decision::Found { jail, host, offences, .. } => {
                debug!("[{}] Found {host} ({offences})", name(*jail));
            }
            Decision::Ban(ban) if ban.jail == plan.fleet() => {
                if self.tells_of_peer(now) {
                    self.banned_by_peer(ban, engine);
                }
            }
            Decision::Unban { jail, subject, why } if *jail == plan.fleet() => {
                if self.tells_of_peer(now) {
                    let text = format!("[{FLEET}] Unban {subject}{}", ended(*why));
                    let event = GuardEvent::new(now, EventKind::Unban, text).about(subject);
                    self.tell_but_nobody(GuardEvent { jail: Some(FLEET.to_owned()), ..event });
                }
            }
            Decision::Ban(ban) => self.banned(EventKind::Ban, "Ban", ban, engine, reader),
            Decision::Observed(ban) => {
                self.banned(EventKind::Observed, "Would ban", ban, engine, reader);
            }
            Decision::Renewed(ban) => {
                info!("[{}] Renew {} (still sending)", name(ban.jail), ban.subject);
            }
            Decision::Unban { jail, subject, why } => {
                let text = format!("[{}] Unban {subject}{}", name(*jail), ended(*why));
                let event = GuardEvent::new(now, EventKind::Unban, text).about(subject);
                self.tell(GuardEvent { jail: Some(name(*jail).to_owned()), ..event });
            }
            // That, and a ban without effect, are checks of the health too: these tell others.
            Decision::FloodBegins(origin) => warn!(
                "more than {} unverified bans a minute by {origin}: source addresses are being forged; only proven bans by {origin} until that is over; do: raise `maxunverified` if so many hosts do attack",
                plan.config.maxunverified
            ),
            Decision::FloodEbbs { origin, withheld } => {
                warn!("the flood is over: {withheld} unverified bans by {origin} were withheld");
            }
            Decision::WithoutEffect(found) => {
                let text =
                    format!("[{}] {}", name(found.ban.jail), without_effect::in_words(plan, found));
                let check = Some(Check::BanEffect.name().to_owned());
                let event = GuardEvent { check, ..warning(text) }.about(found.ban.subject);
                log(&event);
                self.store(event, Vec::new());
            }
            Decision::AccountsFail(report) => {
                self.tell(warning(accounts_fail(report)).about(report.subject));
            }
            Decision::StrangerFails { jail, subject, account, failures, since, others } => {
                let who = account.map_or("an account".to_owned(), |name| format!("account {name}"));
                let event = warning(format!(
                    "[{}] {who} fails at {subject} ({} since {since}), where {} logged in: not banned, correct that phone",
                    name(*jail),
                    counted(*failures, "failure"),
                    accounts_are(*others),
                ));
                let account = account.map(|account| account.to_string());
                self.tell(GuardEvent { account, ..event.about(subject) });
            }
            Decision::AccountTargeted(Targeted { account, hosts, since }) => {
                let event = warning(format!(
                    "account {account} is guessed at by {hosts} hosts since {since}: give it a name and a password that nobody guesses"
                ));
                self.tell(GuardEvent { account: Some(account.to_string()), ..event });
            }
            Decision::NewNetwork(login) => {
                let NewNetworkLogin { account, host, .. } = login;
                let event = GuardEvent::new(now, EventKind::Login, new_network(login)).about(host);
                self.tell(GuardEvent { account: Some(account.to_string()), ..event });
            }
            Decision::NewNetworksWithheld(logins) => {
                let text = format!(
                    "{} more from networks that their accounts never used, not told one by one; do: `asterguard accounts` shows them; `asterguard accounts ack --all NETWORK` if a site has new addresses",
                    counted(*logins, "login")
                );
                self.tell(GuardEvent::new(now, EventKind::Login, text));
            }
            Decision::AccountRoams(RoamingAccount { account, networks, since }) => info!(
                "account {account} often logs in from new networks ({networks} since {since}), like a mobile phone: no alarm about its networks from now on"
            ),
            Decision::AskTalked(_) | Decision::Change(_) => {}
        }
    }

    /// Logs and stores a ban of peers. Whoever is told of bans is told by the peer itself.
    fn banned_by_peer(&mut self, ban: &Ban, engine: &Engine) {
        let plan = engine.plan();
        let issued = engine.peers().of(ban.subject);
        let issuers = names_of(&issued);
        let rule = issued.first().map(|ban| ban.rule.clone()).filter(|rule| !rule.is_empty());
        let jail = issued.first().map_or(String::new(), |ban| format!(" {}", ban.jail));
        let length = ban
            .until
            .map_or(BanDuration::Permanent, |until| BanDuration::For(until.since(ban.since)));
        let (ports, subject) = (scope(plan, ban), ban.subject);
        let of_rule = rule.as_ref().map_or(String::new(), |rule| format!(", {rule}"));
        let text = format!(
            "[{FLEET}] Ban {subject} (by {issuers}:{jail}{of_rule}, {}, ports {ports}, {length})",
            ban.evidence
        );
        self.tell_but_nobody(GuardEvent {
            jail: Some(FLEET.to_owned()),
            evidence: Some(ban.evidence),
            by: Some(issuers),
            place: self.places.get().place(subject.address()),
            ban: Some(BanDetails {
                ports: ports.to_owned(),
                until: ban.until,
                rule,
                ..BanDetails::default()
            }),
            ..GuardEvent::new(ban.since, EventKind::Ban, text).about(subject)
        });
    }

    /// Tells of a ban, or of what would be one, with what led to it.
    fn banned(&mut self, kind: EventKind, word: &str, ban: &Ban, engine: &Engine, reader: &Reader) {
        let plan = engine.plan();
        let jail = plan.jail(ban.jail).map_or("?", |jail| &jail.name).to_owned();
        // Only people are told the lines, and looking for them takes time where thousands are banned at once.
        let tells_lines = self.notify.as_ref().is_some_and(|notify| notify.is_wanted());
        let mut accounts: Vec<Account> = Vec::new();
        let mut lines = Vec::new();
        if ban.cause.is_some() {
            for event in engine.attempts(&ban.subject).take(MOST_ATTEMPTS) {
                if tells_lines && lines.len() < MOST_LINES {
                    lines.push(line(plan, event, reader));
                }
                let account = event.account.filter(|account| !accounts.contains(account));
                accounts.extend(account.filter(|_| accounts.len() < MOST_LINES));
            }
            lines.reverse();
        }
        let text = format!("[{jail}] {word} {} ({})", ban.subject, reason(plan, ban));
        let event = GuardEvent {
            jail: Some(jail),
            evidence: Some(ban.evidence),
            place: self.places.get().place(ban.subject.address()),
            ban: Some(BanDetails {
                ports: scope(plan, ban).to_owned(),
                until: ban.until,
                attempts: ban.offences,
                rule: ban.cause.and_then(|(rule, _)| plan.rule_name(rule)),
                accounts: accounts.iter().map(ToString::to_string).collect(),
                login: engine.login_of(ban.host),
                lines,
            }),
            ..GuardEvent::new(ban.since, kind, text).about(ban.subject)
        };
        log(&event);
        self.tell_people(&event);
        self.store(event, accounts);
    }
}

/// Returns the issuers of a ban: `pbx2, pbx3`.
fn names_of(issued: &[IssuedBan]) -> String {
    let names: Vec<_> = issued.iter().take(MOST_LINES).map(|ban| ban.issuer.as_str()).collect();
    names.join(", ")
}

/// Logs an event, with fields for the journal beside the text; what reads standard error gets the text alone.
fn log(event: &GuardEvent) {
    let GuardEvent { kind, text, jail, host, account, by, .. } = event;
    let evidence = event.evidence.map(|evidence| evidence.to_string());
    let (jail, host, evidence) = (jail.as_deref(), host.as_deref(), evidence.as_deref());
    let (account, by) = (account.as_deref(), by.as_deref());
    let country = event.place.country.map(|country| country.to_string());
    let country = country.as_deref();
    if event.good == Some(false)
        || matches!(kind, EventKind::Heal | EventKind::Login | EventKind::Lost)
    {
        warn!(event = %kind, jail, host, country, evidence, account, by, "{text}");
    } else {
        info!(event = %kind, jail, host, country, evidence, account, by, "{text}");
    }
}

/// Returns the line of an attempt, or what was seen of it where there is none.
fn line(plan: &Plan, event: &Event, reader: &Reader) -> String {
    if let Some(text) = reader.text_of(event.channel, event.line) {
        return one_line(&String::from_utf8_lossy(text));
    }
    let from = match event.channel {
        SIP_RESPONSES => event.origin().to_string(),
        channel => format!("{}, line {}", reader.path_of(channel), event.line),
    };
    let account = event.account.map_or(String::new(), |account| format!(", account {account}"));
    let rule = plan.rule_name(event.rule).unwrap_or_default();
    format!("{} {}: {rule}{account} ({from})", event.time, event.host)
}

/// Returns a text with its control characters as escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            control if control.is_control() => line.extend(control.escape_default()),
            other => line.push(other),
        }
    }
    line
}

/// Returns how a ban ended, where that does not go without saying.
fn ended(why: Lifted) -> &'static str {
    match why {
        Lifted::Expired => "",
        Lifted::ByHand => " (lifted by hand)",
        Lifted::Ignored => " (it is never banned now)",
        Lifted::Replaced => " (another ban took its place)",
        Lifted::Recalled => " (its issuer took it back)",
    }
}

/// Returns the name of the ports that a ban closes.
fn scope<'a>(plan: &'a Plan, ban: &Ban) -> &'a str {
    plan.structure.scope(ban.scope).map_or("?", |scope| &scope.name)
}

/// Returns why a host is banned.
fn reason(plan: &Plan, ban: &Ban) -> String {
    let length =
        ban.until.map_or(BanDuration::Permanent, |until| BanDuration::For(until.since(ban.since)));
    let scope = scope(plan, ban);
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
    let NewNetworkLogin { account, host, network, since, networks, before, country } = login;
    let before = before.map_or(String::new(), |net| format!(", the last one {}", written(&net)));
    let place = match country {
        Some(country) => format!("{country}, a country"),
        None => format!("the network {}", written(network)),
    };
    format!(
        "account {account} logged in from {host}, in {place} that it never used ({} since {since}{before}): this login protects no host; do: if nobody of yours did that, change the password and ban the host; else `asterguard accounts ack {account} {host}`",
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
