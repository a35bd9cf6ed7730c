//! The engine: events and ticks in, decisions out. A pure state machine.

mod ban;
mod checkpoint;
mod clock_step;
mod earlier;
mod effect;
mod explain;
mod jail;
mod lines;
mod offence;
mod order;
mod peers;
mod recovery;
mod renew;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use ipnet::IpNet;

use crate::config::{Jail, Mode};
use crate::decide::account_networks::{AccountNetworks, NoAccount};
use crate::decide::announced::Announced;
use crate::decide::ban_rate_limit::BanRateLimit;
use crate::decide::ban_table::{self, BanTable};
use crate::decide::effects::Effects;
use crate::decide::hour_counts::{Counted, HourCounts};
use crate::decide::joins::{AT_ONCE, Joins};
use crate::decide::known_good::{KnownGood, Standing};
use crate::decide::login_log::LoginLog;
use crate::decide::observed::ObservedBans;
use crate::decide::peer_bans::PeerBans;
use crate::decide::plan::Plan;
use crate::decide::policy;
use crate::decide::rates::{MinuteRates, Sums};
use crate::decide::recent_events::RecentEvents;
use crate::decide::shared::SharedHosts;
use crate::decide::talked::TalkedFlows;
use crate::decide::targeted::TargetedAccounts;
use crate::decide::totals::Totals;
use crate::hosts::exempt::IgnoreList;
use crate::model::account::Account;
use crate::model::event::{
    Ban, ChannelId, Decision, Element, Evidence, JailId, KernelElement, Lifted, Origin, ScopeId,
    Targeted,
};
use crate::model::place::Country;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::structure::SetKind;
pub use checkpoint::{
    AccountChanges, HourCount, JailTotals, KnownHosts, OffenceCounts, StoredAccounts,
};
use earlier::EarlierTable;
pub use earlier::{EarlierBans, StoredEarlier};
pub use explain::{Explanation, JailStanding};
use jail::JailState;
pub use jail::Tally;
pub use offence::TOGETHER;
pub use order::{Manner, ManualBan, Ordered};
pub use recovery::{Awaited, RecoverySummary, StoredBans};
pub use watch::{WatchedBan, WatchedChange};

/// Counts offences and decides on bans.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    /// For each channel, whether each jail reads it.
    channels: Vec<Vec<bool>>,
    /// The state of each jail, in the order of the plan's jails.
    states: Vec<JailState>,
    /// The bans that other guards made before.
    earlier: EarlierTable,
    bans: BanTable,
    peers: PeerBans,
    effects: Effects,
    known: KnownGood,
    networks: AccountNetworks,
    logins: LoginLog,
    /// The limits of unverified bans, by their origin.
    floods: [(Origin, BanRateLimit); 3],
    recent: RecentEvents,
    joins: Joins,
    /// Lines that counted for nothing, because no exchange was beside them.
    unmatched: u64,
    talked: TalkedFlows,
    announced: Announced,
    shared: SharedHosts,
    targeted: TargetedAccounts,
    observed: ObservedBans,
    hours: HourCounts,
    rates: MinuteRates,
    /// Events that some jail counted, each once.
    attempts: u64,
    sight: Sight,
    refused: u64,
    totals: Totals,
    ignored: Arc<IgnoreList>,
    late: checkpoint::Backlog,
    /// The source of chance in the length of bans.
    chance: RandomState,
    countries: CountryOf,
}

/// Tells the country of a host.
#[derive(Default)]
pub struct CountryOf(Option<Box<dyn Fn(IpAddr) -> Option<Country> + Send>>);

impl CountryOf {
    /// Returns one that asks `look_up`.
    pub fn new(look_up: impl Fn(IpAddr) -> Option<Country> + Send + 'static) -> Self {
        Self(Some(Box::new(look_up)))
    }

    fn ask(&self, host: IpAddr) -> Option<Country> {
        self.0.as_ref().and_then(|look_up| look_up(host))
    }
}

impl std::fmt::Debug for CountryOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CountryOf").field(&self.0.is_some()).finish()
    }
}

/// The things that are seen of what the PBX does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each of these is seen or not, by itself")]
pub struct Sight {
    /// Its answers over UDP and TCP.
    pub answers: bool,
    /// All that `chan_pjsip` is asked and answers, by HEP.
    pub hep: bool,
    /// Whether something is sent on a connection of which nothing else is seen.
    pub talked: bool,
    /// Whether the services that are not Asterisk's send something to a host.
    pub served: bool,
    /// What it answers by IAX2.
    pub iax: bool,
    /// What it answers by AMI.
    pub ami: bool,
}

/// The numbers of a jail that `status` shows.
#[derive(Clone, Copy, Debug)]
pub struct JailNumbers {
    /// The counts since the jail was set up.
    pub tally: Tally,
    /// Subjects with an offence within findtime.
    pub live: usize,
    /// Bans in force.
    pub banned: usize,
    /// Bans that would be in force, were it not for observing only.
    pub observed: usize,
}

impl Engine {
    /// Returns an engine that has seen nothing.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let states = plan.jails().map(|(_, jail)| JailState::new(jail)).collect();
        Self {
            known: KnownGood::new(&plan.config.knowngood),
            networks: AccountNetworks::new(&plan.config.newnetworks),
            logins: LoginLog::default(),
            floods: Origin::ALL
                .map(|origin| (origin, BanRateLimit::new(plan.config.maxunverified))),
            plan,
            channels: Vec::new(),
            states,
            earlier: EarlierTable::default(),
            bans: BanTable::default(),
            peers: PeerBans::default(),
            effects: Effects::default(),
            recent: RecentEvents::default(),
            joins: Joins::new(AT_ONCE),
            unmatched: 0,
            talked: TalkedFlows::default(),
            announced: Announced::default(),
            shared: SharedHosts::default(),
            targeted: TargetedAccounts::default(),
            observed: ObservedBans::default(),
            hours: HourCounts::default(),
            rates: MinuteRates::default(),
            attempts: 0,
            sight: Sight::default(),
            refused: 0,
            totals: Totals::default(),
            ignored: Arc::default(),
            late: checkpoint::Backlog::default(),
            chance: RandomState::default(),
            countries: CountryOf::default(),
        }
    }

    /// Sets who knows the countries of hosts; without that, only their networks count.
    pub fn look_countries_up(&mut self, countries: CountryOf) {
        self.countries = countries;
    }

    /// Returns the plan in force.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The bans in force.
    #[must_use]
    pub fn bans(&self) -> &BanTable {
        &self.bans
    }

    /// Keeps a journal of the bans from now on; see [`BanTable::take_journal`].
    pub fn keep_journal(&mut self) {
        self.bans.keep_journal();
        self.peers.keep_journal();
    }

    /// Returns what has changed in the bans since the last call.
    pub fn take_journal(&mut self) -> Vec<ban_table::JournalEntry> {
        self.bans.take_journal()
    }

    /// Bans that were not entered because there are too many.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns how many offences and bans there were since the start, by what they are.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns when an account last logged in from where this host is known good, as far as is remembered.
    #[must_use]
    pub fn login_of(&self, host: IpAddr) -> Option<Time> {
        self.logins.of(&self.known_as(host))
    }

    /// Returns the last logins.
    #[must_use]
    pub fn logins(&self) -> &LoginLog {
        &self.logins
    }

    /// Returns the origins whose unverified bans are withheld because there are too many, since when,
    /// and how many were.
    pub fn floods(&self) -> impl Iterator<Item = (Origin, Time, u64)> {
        let state = |(origin, limit): &(_, BanRateLimit)| {
            limit.state().map(|(since, withheld)| (*origin, since, withheld))
        };
        self.floods.iter().filter_map(state)
    }

    /// The hosts that are known good at `now`.
    pub fn known_good(&self, now: Time) -> impl Iterator<Item = (Subject, Standing)> {
        self.known.standings(now)
    }

    /// Adds a channel that these jails read.
    pub fn open_channel(&mut self, jails: impl IntoIterator<Item = JailId>) -> ChannelId {
        self.channels.push(Vec::new());
        self.set_readers(self.channels.len() - 1, jails);
        ChannelId(u16::try_from(self.channels.len() - 1).unwrap_or(u16::MAX))
    }

    /// Sets the jails that read a channel.
    pub fn change_channel(&mut self, channel: ChannelId, jails: impl IntoIterator<Item = JailId>) {
        self.set_readers(channel.0.into(), jails);
    }

    fn set_readers(&mut self, channel: usize, jails: impl IntoIterator<Item = JailId>) {
        let mut reads = vec![false; self.states.len()];
        for jail in jails {
            reads.get_mut(usize::from(jail.0)).into_iter().for_each(|reads| *reads = true);
        }
        self.channels.get_mut(channel).into_iter().for_each(|known| known.clone_from(&reads));
    }

    /// Whether a jail reads a channel.
    fn reads(&self, channel: ChannelId, jail: JailId) -> bool {
        let readers = self.channels.get(usize::from(channel.0));
        readers.and_then(|readers| readers.get(usize::from(jail.0))).is_some_and(|reads| *reads)
    }

    /// The numbers of a jail at `now`.
    #[must_use]
    pub fn numbers(&self, id: JailId, now: Time) -> Option<JailNumbers> {
        let state = self.states.get(usize::from(id.0))?;
        Some(JailNumbers {
            tally: state.tally,
            live: state.offences.live(now),
            banned: self.bans.count(id),
            observed: self.observed.count(id),
        })
    }

    /// Returns the attempts that some jail counted, and the bans of all jails, so far.
    fn sums(&self) -> Sums {
        let bans = self.states.iter().map(|state| state.tally.banned).sum();
        Sums { attempts: self.attempts, bans }
    }

    /// Returns the attempts and bans of the last minutes.
    #[must_use]
    pub fn rates(&self) -> &MinuteRates {
        &self.rates
    }

    /// Returns the last events.
    #[must_use]
    pub fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    /// Returns the bans that jails in observe mode would have in force.
    #[must_use]
    pub fn observed(&self) -> &ObservedBans {
        &self.observed
    }

    /// Records what is seen of the PBX from now on: lines about that are weighed by it.
    pub fn see(&mut self, sight: Sight) {
        self.sight = sight;
    }

    /// Lets lines and exchanges find each other within this time instead of [`AT_ONCE`].
    pub fn join_within(&mut self, patience: Duration) {
        self.joins = Joins::new(patience);
    }

    /// Returns how many lines counted for nothing, where exchanges are seen, because there was none beside
    /// them.
    #[must_use]
    pub fn unmatched(&self) -> u64 {
        self.unmatched
    }

    /// Returns the accounts that have logged in, and the networks that they did so from.
    #[must_use]
    pub fn networks(&self) -> &AccountNetworks {
        &self.networks
    }

    /// Lets networks of an account count as used; see [`AccountNetworks::acknowledge`].
    ///
    /// # Errors
    /// When there is no such account, or more than one.
    pub fn acknowledge(
        &mut self,
        name: &str,
        net: Option<&IpNet>,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Result<(Account, Vec<IpNet>), NoAccount> {
        let account = self.networks.named(name)?;
        Ok((account, self.networks.acknowledge(account, net, now, out)))
    }

    /// Forgets an account: its networks are learned anew. Returns it.
    ///
    /// # Errors
    /// When there is no such account, or more than one.
    pub fn forget_account(&mut self, name: &str) -> Result<Account, NoAccount> {
        let account = self.networks.named(name)?;
        self.networks.forget(account);
        Ok(account)
    }

    /// Lets the networks of all alarms in `net` count as used. Returns the accounts.
    pub fn acknowledge_all(
        &mut self,
        net: &IpNet,
        now: Time,
        out: &mut Vec<Decision>,
    ) -> Vec<Account> {
        self.networks.acknowledge_all(net, now, out)
    }

    /// Returns the accounts that many hosts guess at.
    #[must_use]
    pub fn targeted(&self) -> Vec<Targeted> {
        self.targeted.many()
    }

    /// Returns the subject under which a host is known good: the one that is banned with it.
    fn known_as(&self, host: IpAddr) -> Subject {
        subject(&self.ignored, host, self.plan.config.ipv6prefix)
    }

    /// Lets time pass: reports the bans that are over and what has been gathered, and forgets what
    /// is past.
    pub fn on_tick(&mut self, now: Time, out: &mut Vec<Decision>) {
        let mut alone = Vec::new();
        self.joins.tick(now, &mut alone);
        let plan = Arc::clone(&self.plan);
        self.on_joined(&plan, &alone, out);
        self.talked.tick(now);
        self.announced.tick(now);
        self.shared.tick(now);
        self.targeted.tick(now);
        self.observed.tick(now);
        self.rates.tick(self.sums(), now);
        for (origin, limit) in &mut self.floods {
            let ebbs = |withheld| Decision::FloodEbbs { origin: *origin, withheld };
            out.extend(limit.tick(now).map(ebbs));
        }
        let mut reports = Vec::new();
        self.known.tick(now, &mut reports);
        self.networks.tick(now, out);
        out.extend(reports.into_iter().map(Decision::AccountsFail));
        while let Some(ban) = self.bans.pop_expired(now) {
            out.push(Decision::Unban {
                jail: ban.jail,
                subject: ban.subject,
                why: Lifted::Expired,
            });
        }
        self.peers.tick(now);
        self.sweep_effects();
        for state in &mut self.states {
            state.offences.sweep(now);
        }
    }

    /// Lifts all bans that hold any of `whom` or lie in it, or only those of one jail; says how
    /// many there were. The hosts' offences are forgotten too. Of a flow, its own bans are lifted and
    /// not those of its host.
    pub fn unban(&mut self, whom: Subject, jail: Option<JailId>, out: &mut Vec<Decision>) -> usize {
        self.lift(Lifted::ByHand, out, |ban| {
            whom.means(&ban.subject) && jail.is_none_or(|jail| ban.jail == jail)
        })
    }

    /// Adopts the bans that were found in the kernel.
    pub fn adopt(&mut self, found: &[KernelElement], now: Time) {
        let manual = self.plan.manual();
        let bans = found.iter().map(|KernelElement { element, known_jail }| Ban {
            jail: if *known_jail { element.jail } else { manual },
            subject: element.subject,
            host: element.subject.address(),
            scope: element.scope,
            since: now,
            until: element.until,
            offences: 0,
            evidence: Evidence::Proven,
            cause: None,
        });
        // The kernel has the elements already; what is to be done about them is nothing.
        let refused = self.bans.enter_all(bans);
        self.refused += u64::try_from(refused).unwrap_or(u64::MAX);
    }

    /// Replaces the plan. The offences and history of jails that there are in both stay (of IPv6,
    /// if the networks that count have the same length); bans stay, unless the new plan ignores
    /// their hosts or has no such scope any more. The caller sets the jails of each channel again.
    pub fn change(&mut self, plan: Arc<Plan>, out: &mut Vec<Decision>) {
        let old = std::mem::replace(&mut self.plan, plan);
        let plan = Arc::clone(&self.plan);
        self.hours.settle(|rule| old.rule_name(rule));
        let mut states: Vec<_> = std::mem::take(&mut self.states).into_iter().map(Some).collect();
        self.states = plan
            .jails()
            .map(|(_, jail)| {
                let before = old.jail_named(&jail.name).and_then(|id| {
                    Some((old.jail(id)?, states.get_mut(usize::from(id.0))?.take()?))
                });
                match before {
                    Some((before, mut state)) => {
                        state.change_terms(before, jail);
                        state
                    }
                    None => JailState::new(jail),
                }
            })
            .collect();
        self.totals.renumber(
            |jail| old.jail(jail).and_then(|jail| plan.jail_named(&jail.name)),
            |scope| successor_scope(&old, &plan, scope),
        );
        for channel in &mut self.channels {
            channel.clear();
        }
        for (_, limit) in &mut self.floods {
            limit.allow(plan.config.maxunverified);
        }
        if old.config.ipv6prefix == plan.config.ipv6prefix {
            self.known.change(&plan.config.knowngood);
        } else {
            self.known = KnownGood::new(&plan.config.knowngood);
        }
        self.networks.change(&plan.config.newnetworks);
        // Other ports may be closed, and scopes have other numbers.
        self.effects = Effects::default();
        let successor = plan.rules.successors(&old.rules);
        self.recent.renumber(&successor);
        self.observed.change(|ban| {
            let name = &old.jail(ban.jail)?.name;
            let id = plan.jail_named(name)?;
            let jail = plan.jail(id).filter(|jail| jail.mode == Mode::Observe)?;
            let cause = ban.cause.and_then(|(rule, line)| Some((successor(rule)?, line)));
            Some(Ban { jail: id, scope: plan.ban_terms(jail, ban.evidence).0, cause, ..*ban })
        });
        let before = std::mem::take(&mut self.bans);
        for ban in before.iter() {
            let cause = ban.cause.and_then(|(rule, line)| Some((successor(rule)?, line)));
            self.carry_over(&old, &plan, &Ban { cause, ..*ban }, out);
        }
        if before.keeps_journal() {
            self.bans.keep_journal();
        }
        for (_, jail) in old.jails().filter(|(id, _)| before.is_paused(*id)) {
            if let Some(successor) = plan.jail_named(&jail.name) {
                out.extend(self.bans.pause(successor, true).into_iter().map(Decision::Change));
            }
        }
        self.change_peers(out);
        self.lift_ignored(out);
    }

    /// Never bans the hosts of `list` from now on, in place of those of an earlier one, and lifts
    /// the bans of those that it has.
    pub fn protect(&mut self, list: Arc<IgnoreList>, out: &mut Vec<Decision>) {
        self.ignored = list;
        self.lift_ignored(out);
        self.narrow(out);
    }

    /// Narrows bans of networks that this machine is in itself to the host that they are for.
    fn narrow(&mut self, out: &mut Vec<Decision>) {
        let wide = |ban: &&Ban| {
            ban.subject.net().prefix_len() < 128 && self.ignored.on_link(&ban.subject.net())
        };
        let wide: Vec<Ban> = self.bans.iter().filter(wide).copied().collect();
        for ban in wide {
            let subject = Subject::of(ban.host, 128);
            let narrowed = subject.is_single_within(ban.subject.net().prefix_len());
            let why = if narrowed { Lifted::Replaced } else { Lifted::Ignored };
            out.push(Decision::Change(self.bans.remove(&ban, why)));
            if narrowed {
                out.extend(self.bans.put(Ban { subject, ..ban }).map(Decision::Change));
            } else {
                let (jail, subject) = (ban.jail, ban.subject);
                out.push(Decision::Unban { jail, subject, why: Lifted::Ignored });
            }
        }
    }

    /// Returns the hosts that are never banned, besides those of the plan.
    #[must_use]
    pub fn ignored(&self) -> &Arc<IgnoreList> {
        &self.ignored
    }

    /// Lifts the bans of hosts that their jail ignores. Bans by hand stay: the kernel lets through
    /// what everything ignores, and the ban works again when it no longer does.
    fn lift_ignored(&mut self, out: &mut Vec<Decision>) {
        let (plan, list) = (Arc::clone(&self.plan), Arc::clone(&self.ignored));
        let manual = plan.manual();
        self.lift(Lifted::Ignored, out, |ban| {
            ban.jail != manual
                && plan.jail(ban.jail).is_some_and(|jail| {
                    policy::covers(&jail.ignoreip, &IpNet::from(ban.host))
                        || never(&list, jail, ban.host)
                })
        });
    }

    /// Enters a ban of the old plan in terms of the new one. Whoever loads the new plan's structure
    /// has the kernel hold [`Engine::rekeyed`].
    fn carry_over(&mut self, old: &Plan, new: &Plan, ban: &Ban, out: &mut Vec<Decision>) {
        match carried(old, new, ban) {
            Some(ban) => drop(self.bans.put(ban)),
            None => out.push(Decision::Unban {
                jail: successor_of(old, new, ban.jail),
                subject: ban.subject,
                why: Lifted::ByHand,
            }),
        }
    }

    /// Returns what the kernel must hold of IPv6 under another plan, if that has networks of
    /// another length; else nothing, and nothing has to change.
    #[must_use]
    pub fn rekeyed(&self, plan: &Plan) -> Vec<Element> {
        if plan.structure.rekeys(&self.plan.structure).is_empty() {
            return Vec::new();
        }
        let mut book = BanTable::default();
        let has_length = |subject: &Subject| subject.is_ipv6() && !subject.is_flow();
        for ban in self.bans.iter().filter(|ban| has_length(&ban.subject)) {
            let _ = carried(&self.plan, plan, ban).is_some_and(|ban| book.enter(ban));
        }
        book.elements().collect()
    }

    fn enter(&mut self, ban: Ban, out: &mut Vec<Decision>) {
        match self.bans.put(ban) {
            Some(change) => {
                let rule = ban.cause.map(|(rule, _)| rule);
                self.hours.count(Counted::Ban, ban.since, rule);
                out.extend([Decision::Ban(ban), Decision::Change(change)]);
            }
            None => self.refused += 1,
        }
    }

    fn lift(
        &mut self,
        why: Lifted,
        out: &mut Vec<Decision>,
        concerned: impl Fn(&Ban) -> bool,
    ) -> usize {
        let lifted: Vec<Ban> = self.bans.iter().filter(|ban| concerned(ban)).copied().collect();
        let fleet = self.plan.fleet();
        for ban in &lifted {
            let change = self.bans.remove(ban, why);
            if ban.jail == fleet && why == Lifted::ByHand {
                self.peers.dismiss(ban.subject);
            } else if ban.jail == fleet {
                self.peers.forget(ban.subject);
            }
            let own = usize::from(ban.jail.0);
            for (jail, state) in self.states.iter_mut().enumerate() {
                if jail == own || why == Lifted::ByHand {
                    state.offences.clear(&ban.subject);
                }
            }
            out.push(Decision::Unban { jail: ban.jail, subject: ban.subject, why });
            out.push(Decision::Change(change));
        }
        lifted.len()
    }
}

/// A ban of the old plan in terms of the new one; `None`: its port list is gone from the
/// configuration, and with it the rules that use its sets.
fn carried(old: &Plan, new: &Plan, ban: &Ban) -> Option<Ban> {
    let before = old.structure.scope(ban.scope)?;
    let scope = successor_scope(old, new, ban.scope)?;
    let bits = new.structure.scope(scope)?.ipv6prefix;
    let rekeyed = bits != before.ipv6prefix
        && ban.subject.is_ipv6()
        && !ban.subject.is_flow()
        && ban.subject.net().prefix_len() == before.ipv6prefix;
    let subject = if rekeyed { Subject::of(ban.host, bits) } else { ban.subject };
    Some(Ban { jail: successor_of(old, new, ban.jail), subject, scope, ..*ban })
}

/// The scope with the same sets; `None` if there is none any more.
fn successor_scope(old: &Plan, new: &Plan, scope: ScopeId) -> Option<ScopeId> {
    let set = old.structure.scope(scope)?.set(SetKind::Hosts, true);
    let mut scopes = new.structure.scopes.iter();
    let at = scopes.position(|known| known.set(SetKind::Hosts, true) == set)?;
    u16::try_from(at).ok().map(ScopeId)
}

/// The jail of the same name, or the administrator's.
fn successor_of(old: &Plan, new: &Plan, jail: JailId) -> JailId {
    old.jail(jail).and_then(|jail| new.jail_named(&jail.name)).unwrap_or_else(|| new.manual())
}

/// Whether `jail` never bans `host` because of what was found out.
fn never(list: &IgnoreList, jail: &Jail, host: IpAddr) -> bool {
    // The address of a network is no host's (RFC 4291, section 2.6.1), and its key the network's.
    let anycast = |net: &Subject| net.address() == host && list.on_link(&net.net());
    list.holds(host)
        || list.has_name(host, &jail.ignorenames)
        || (host.is_ipv6() && jail.ipv6prefix < 128 && anycast(&Subject::of(host, jail.ipv6prefix)))
}

/// Returns the subject that is counted and banned for what `host` does: where this machine has
/// neighbours, only that one address.
fn subject(list: &IgnoreList, host: IpAddr, ipv6prefix: u8) -> Subject {
    let subject = Subject::of(host, ipv6prefix);
    if list.on_link(&subject.net()) { Subject::of(host, 128) } else { subject }
}

#[cfg(test)]
mod tests;
