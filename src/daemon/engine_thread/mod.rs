//! The engine's thread: reads, counts, decides, and answers what it is asked.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits for the next tick")]

mod backlog;
pub mod log_reader;
pub(super) mod recorder;
pub(super) mod refused_bans;
pub(super) mod sip_channel;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::firewall_thread::{Repair, Verified, Whole, Worker};
use super::requests::explain::explain;
use super::requests::queries::{Snapshot, Who};
use super::tasks::list_refresh::ListKeeper;
use super::{clocks, now};
use crate::control::{Answer, KnownHost, ListName, Request, RuleText};
use crate::daemon::engine_thread::log_reader::{Matchers, Reader};
use crate::daemon::engine_thread::recorder::Recorder;
use crate::daemon::engine_thread::sip_channel::Wire;
use crate::decide::ban_activity::Key;
use crate::decide::engine::{Engine, Order};
use crate::decide::plan::Plan;
use crate::enforce::SinkError;
use crate::hosts::exempt::IgnoreList;
use crate::input::Origin;
use crate::model::clock_step::WallClock;
use crate::model::event::Report;
use crate::model::event::{Ban, Decision, JailId};
use crate::model::listed::{Entry, Origin as IgnoreOrigin};
use crate::model::subject::{Subject, bannable, canonical};
use crate::model::time::{Lasting, Length, Time};
use crate::table::structure::Structure;

/// How often the engine's clock ticks. New files, and changes that no notification came for, are
/// found at a tick.
const TICK: Duration = Duration::from_secs(1);

/// What the thread is told.
pub enum Message {
    /// A file may have changed, or something was seen on the wire.
    Wake,
    /// Answer this.
    Ask(Request, oneshot::Sender<Answer>),
    /// Say what the engine goes by.
    Plan(oneshot::Sender<Arc<Plan>>),
    /// These still knock: renew their bans, where that is wanted.
    Renew(Vec<Key>),
    /// Say who is banned, as far as it is asked for.
    Bans(Who, oneshot::Sender<Snapshot>),
    /// Go by another plan, and say whether that worked.
    Change(Arc<Plan>, Matchers, oneshot::Sender<Result<(), SinkError>>),
    /// Another process will go by this plan: have it find where its logs end now. Say whether it will know
    /// what this one does.
    Leave(Arc<Plan>, oneshot::Sender<bool>),
    /// Never ban these, in place of those of an earlier list.
    Ignore(Arc<IgnoreList>),
    /// Have the sink pause for a length of time (`Some(None)`: until it is ended) or resume
    /// (`None`), and say whether that worked.
    Pause(Option<Option<Duration>>, oneshot::Sender<Result<(), SinkError>>),
    /// The pause that is in force: `None`, or until when (`Some(None)`: until it is ended).
    Paused(Option<Option<Time>>),
    /// The sink may have lost something: tell it the whole.
    Lost,
    /// Have the sink compared with what it should hold.
    Verify(Repair, oneshot::Sender<Result<Verified, SinkError>>),
    /// Read what there is, and end.
    Stop,
}

/// All that the thread owns.
pub struct Core {
    pub engine: Engine,
    pub reader: Reader,
    pub wire: Wire,
    pub worker: Worker,
    pub lists: Arc<ListKeeper>,
    pub recorder: Recorder,
    /// The paths that are to be watched are sent here when they, or their files, change.
    pub watch: mpsc::UnboundedSender<Vec<PathBuf>>,
    /// Where bans go, in a word.
    pub sink: &'static str,
    pub dry_run: bool,
    pub started: Instant,
    /// By which it is noticed that the clock was set.
    pub clock: WallClock,
    /// See [`Message::Paused`].
    pub paused: Option<Option<Time>>,
    pub decisions: Vec<Decision>,
}

impl Core {
    /// Runs until it is told to stop, and hands worker and recorder back. Says when it is `ready`: from
    /// then on, no line is missed.
    #[must_use]
    pub fn run(
        mut self,
        inbox: &Receiver<Message>,
        ready: oneshot::Sender<()>,
    ) -> (Worker, Recorder) {
        // Lines from before the start are not ours; files that appear later are read whole.
        self.refresh(Origin::End);
        self.tick();
        let _ = ready.send(());
        let watched = sd_notify::watchdog_enabled().is_some();
        let mut next_tick = Instant::now() + TICK;
        let mut more = true;
        loop {
            let wait = if more {
                Duration::ZERO
            } else {
                next_tick.saturating_duration_since(Instant::now())
            };
            let mut message = match inbox.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.stop(),
            };
            self.correct();
            if Instant::now() >= next_tick {
                self.tick();
                if watched {
                    // Nobody listens any more: then nobody waits for it either.
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                }
                next_tick = Instant::now() + TICK;
            }
            while let Some(told) = message {
                match told {
                    Message::Wake => {}
                    Message::Ask(request, reply) => {
                        let orders = matches!(request, Request::Ban { .. } | Request::Unban { .. });
                        let answer = self.answer(request);
                        // Nobody waits for the answer any more: fine.
                        let tell = move || drop(reply.send(answer));
                        // What somebody ordered is done when a crash no longer undoes it.
                        if orders { self.recorder.then(tell) } else { tell() }
                    }
                    Message::Plan(reply) => {
                        let _ = reply.send(Arc::clone(self.engine.plan()));
                    }
                    Message::Renew(knocking) => {
                        self.engine.renew(&knocking, now(), &mut self.decisions);
                        self.carry_out();
                    }
                    Message::Bans(who, reply) => {
                        let _ = reply.send(Snapshot::new(&self.engine, &who));
                    }
                    Message::Change(plan, matchers, reply) => {
                        let _ = reply.send(self.change(plan, matchers));
                    }
                    Message::Leave(plan, reply) => {
                        let stores = self.recorder.stores();
                        if stores {
                            self.reader.leave_to_next(&plan, &mut self.engine, now());
                        }
                        let _ = reply.send(stores);
                    }
                    Message::Ignore(list) => self.ignore(list),
                    Message::Pause(length, reply) => self.worker.pause(length, |result| {
                        let _ = reply.send(result);
                    }),
                    Message::Paused(paused) => self.paused = paused,
                    Message::Lost => self.catch_up(),
                    Message::Verify(repair, reply) => {
                        self.worker.verify(self.whole(), repair, |found| drop(reply.send(found)));
                    }
                    Message::Stop => return self.stop(),
                }
                message = inbox.try_recv().ok();
            }
            more = self.poll();
            self.recorder.checkpoint(&mut self.engine, &self.reader, now());
        }
    }

    fn stop(mut self) -> (Worker, Recorder) {
        self.poll();
        self.recorder.checkpoint_now(&mut self.engine, &self.reader, now());
        (self.worker, self.recorder)
    }

    fn poll(&mut self) -> bool {
        // First, because it takes no time.
        self.wire.poll(&mut self.engine, &mut self.decisions);
        self.carry_out();
        let more = self.reader.poll(&mut self.engine, now(), &mut self.decisions);
        self.reader.note_rest(now());
        self.carry_out();
        self.watch_changes();
        more
    }

    /// Looks whether the clock on the wall was set, and corrects by that whatever was read from it. The
    /// kernel's time is another, so that nothing changes there.
    fn correct(&mut self) {
        let clocks = clocks();
        let Some(jump) = self.clock.jump(clocks) else { return };
        let (wall, _) = clocks;
        // What was decided before is in terms of the old time.
        self.recorder.note(&mut self.engine, wall);
        self.engine.correct(jump);
        self.reader.correct(jump);
        jump.correct_all(self.paused.as_mut().and_then(Option::as_mut));
        self.recorder.correct(jump, wall);
        // What still waits for the kernel has to be told in terms of the new one.
        self.catch_up();
        let (set, by) =
            if jump.millis() < 0 { ("back", -jump.millis()) } else { ("forward", jump.millis()) };
        let by = Length(Duration::from_millis(by.unsigned_abs()));
        warn!("the clock was set {set} by {by}: bans and counts go on as long as they would have");
    }

    fn tick(&mut self) {
        self.refresh(Origin::Start);
        self.wire.say_state();
        self.engine.on_tick(now(), &mut self.decisions);
        self.carry_out();
        if matches!(self.paused, Some(Some(until)) if until <= now()) {
            info!("the pause is over");
            self.paused = None;
        }
        if self.worker.health().behind {
            self.catch_up();
        }
        self.recorder.tick(&mut self.engine, now());
    }

    /// Never bans the hosts of `list` from now on.
    fn ignore(&mut self, list: Arc<IgnoreList>) {
        self.engine.protect(list, &mut self.decisions);
        self.worker.allow(allowed(self.engine.plan(), self.engine.ignored()));
        self.carry_out();
    }

    /// Has the sink told all that it may have lost.
    fn catch_up(&mut self) {
        self.worker.caught_up();
        self.worker.restore(self.whole());
        self.lists.refill();
    }

    /// All that the sink is to hold.
    fn whole(&self) -> Whole {
        Whole {
            allow: allowed(self.engine.plan(), self.engine.ignored()),
            paused: self.paused.map(|paused| paused.map(|until| until.since(now()))),
            elements: self.engine.bans().elements().collect(),
        }
    }

    fn refresh(&mut self, from: Origin) {
        self.reader.refresh(&mut self.engine, from, now());
        self.watch_changes();
    }

    fn watch_changes(&mut self) {
        if self.reader.take_moved() {
            // Fails when the watcher is gone, which happens only while stopping.
            let _ = self.watch.send(self.reader.paths());
        }
    }

    fn change(&mut self, plan: Arc<Plan>, matchers: Matchers) -> Result<(), SinkError> {
        // What has been written up to now goes by the old rules, as far as it can be read in good
        // time: a writer may be faster than we are. The sink hears of it in terms of the old plan.
        let deadline = Instant::now() + TICK;
        while self.poll() && Instant::now() < deadline {}
        let allow = allowed(&plan, self.engine.ignored());
        let rekeyed = self.engine.rekeyed(&plan);
        self.worker.load(Structure { allow, ..plan.structure.clone() }, rekeyed)?;
        self.engine.change(plan, &mut self.decisions);
        self.reader.change(matchers);
        self.wire.change(self.engine.plan());
        self.refresh(Origin::End);
        self.carry_out();
        self.recorder.begin_anew(&mut self.engine, now());
        Ok(())
    }

    /// Logs the decisions and hands the changes over.
    fn carry_out(&mut self) {
        let mut changes = Vec::new();
        for decision in self.decisions.drain(..) {
            let plan = self.engine.plan();
            let name = |jail: JailId| plan.jail(jail).map_or("?", |jail| &jail.name);
            match decision {
                Decision::Found { jail, host, offences } => {
                    debug!("[{}] Found {host} ({offences})", name(jail));
                }
                Decision::Ban(ban) => {
                    info!("[{}] Ban {} ({})", name(ban.jail), ban.subject, reason(plan, &ban));
                }
                Decision::Renewed(ban) => {
                    info!("[{}] Renew {} (it still knocks)", name(ban.jail), ban.subject);
                }
                Decision::Observed(ban) => {
                    info!(
                        "[{}] Would ban {} ({})",
                        name(ban.jail),
                        ban.subject,
                        reason(plan, &ban)
                    );
                }
                Decision::Unban { jail, subject, why: _ } => {
                    info!("[{}] Unban {subject}", name(jail));
                }
                Decision::FloodBegins => warn!(
                    "more than {} unverified bans a minute: somebody forges packets; only proven bans until that is over",
                    plan.config.maxunverified
                ),
                Decision::FloodEbbs { withheld } => {
                    warn!("the flood is over: {withheld} unverified bans were withheld");
                }
                Decision::AccountsFail(report) => warn!("{}", accounts_fail(&report)),
                Decision::Change(change) => changes.push(change),
            }
        }
        if !changes.is_empty() {
            self.worker.apply(changes);
        }
        self.recorder.note(&mut self.engine, now());
    }

    fn answer(&mut self, request: Request) -> Answer {
        match request {
            Request::Status { jail, detail: _ } => self.status(jail.as_deref()),
            Request::Ban { host, jail, seconds, permanent } => {
                let length = if permanent {
                    Some(Lasting::Permanent)
                } else {
                    seconds.map(|s| Lasting::For(Duration::from_secs(s)))
                };
                self.ban(host, jail.as_deref(), length)
            }
            Request::Unban { net, jail } => {
                let jail = match self.jail(jail.as_deref()) {
                    Ok(jail) => jail,
                    Err(answer) => return answer,
                };
                let everybody = || vec![Ipv4Net::default().into(), Ipv6Net::default().into()];
                let nets: Vec<IpNet> = net.map_or_else(everybody, |net| vec![net]);
                let lift = |net| self.engine.unban(net, jail, &mut self.decisions);
                let count: usize = nets.iter().map(lift).sum();
                self.carry_out();
                Answer::Done {
                    message: format!("{count} ban{} lifted", if count == 1 { "" } else { "s" }),
                }
            }
            Request::Failregex { jail } => self.failregex(&jail),
            Request::Explain { host } => {
                let path = |channel| self.reader.path_of(channel);
                Answer::Explain(Box::new(explain(&self.engine, host, now(), path)))
            }
            Request::Ignoreip { jail } => self.ignoreip(jail.as_deref()),
            Request::List { list: ListName::KnownGood, host } => self.known_good(host),
            Request::List { .. }
            | Request::Banned { .. }
            | Request::Reload
            | Request::Verify { .. }
            | Request::Pause { .. }
            | Request::Resume => Answer::failed("this is not for the engine"),
        }
    }

    /// The jail of this name; `None` for no name.
    pub(crate) fn jail(&self, name: Option<&str>) -> Result<Option<JailId>, Answer> {
        let Some(name) = name else { return Ok(None) };
        let plan = self.engine.plan();
        plan.jail_named(name).map(Some).ok_or_else(|| {
            let known: Vec<_> = plan.jails().map(|(_, jail)| jail.name.as_str()).collect();
            Answer::refused(format!("there is no jail `{name}`; there are {}", known.join(", ")))
        })
    }

    fn ban(&mut self, host: IpAddr, jail: Option<&str>, length: Option<Lasting>) -> Answer {
        let jail = match self.jail(jail) {
            Ok(jail) => jail,
            Err(answer) => return answer,
        };
        let host = canonical(host);
        if !bannable(host) {
            return Answer::refused(format!(
                "{host} is loopback, link-local, multicast or unspecified: banning it would cut this machine off"
            ));
        }
        if crate::decide::policy::covers(&self.engine.plan().config.ignoreip, &host.into()) {
            return Answer::refused(format!(
                "{host} is in ignoreip: the kernel lets it through whatever is banned"
            ));
        }
        if let Some(entry) = self.engine.ignored().find(host) {
            return Answer::refused(format!(
                "{host} is {}: the kernel lets it through whatever is banned",
                entry.origin
            ));
        }
        self.engine.ban(&Order { host, jail, length }, now(), &mut self.decisions);
        let banned = self.decisions.iter().find_map(|decision| match decision {
            Decision::Ban(ban) => Some(*ban),
            _ => None,
        });
        self.carry_out();
        match banned {
            Some(ban) => {
                let length = ban
                    .until
                    .map_or("until it is lifted".to_owned(), |until| format!("until {until}"));
                Answer::Done { message: format!("{} is banned {length}", ban.subject) }
            }
            None => Answer::failed("there are too many bans"),
        }
    }

    /// The hosts that are known good, or the one that `host` is.
    fn known_good(&self, host: Option<IpAddr>) -> Answer {
        let path = |channel| self.reader.path_of(channel);
        let known = self.engine.known_good(now());
        let known = known.filter(|(subject, _)| {
            host.is_none_or(|host| subject.net().contains(&canonical(host)))
        });
        let report = |(subject, standing): (Subject, _)| KnownHost {
            host: subject.to_string(),
            report: super::requests::explain::known_good(&standing, path),
        };
        Answer::KnownGood { known: known.map(report).collect() }
    }

    fn failregex(&self, jail: &str) -> Answer {
        let id = match self.jail(Some(jail)) {
            Ok(id) => id.unwrap_or(JailId(0)),
            Err(answer) => return answer,
        };
        let plan = self.engine.plan();
        let counted = plan.rules.iter().filter(|(rule, _)| plan.counted_by(*rule).contains(&id));
        let rules = counted
            .map(|(id, rule)| RuleText {
                rule: plan.rule_name(id).unwrap_or_default(),
                failregex: rule.patterns.iter().map(|pattern| pattern.source.clone()).collect(),
            })
            .collect();
        Answer::Failregex { rules }
    }

    /// Who is never banned: by any jail, and by this one.
    fn ignoreip(&self, jail: Option<&str>) -> Answer {
        let id = match self.jail(jail) {
            Ok(id) => id,
            Err(answer) => return answer,
        };
        let (plan, list) = (self.engine.plan(), self.engine.ignored());
        let mut entries = configured(&plan.config.ignoreip);
        entries.extend_from_slice(list.entries());
        if let Some(jail) = id.and_then(|id| plan.jail(id)) {
            entries.extend(configured(&jail.ignoreip));
            for name in &jail.ignorenames {
                let origin = IgnoreOrigin::Ignoreip { entry: name.to_string() };
                let addresses = list.addresses(name).iter();
                entries.extend(addresses.map(|address| Entry::new(*address, origin.clone())));
            }
        }
        entries.sort_unstable();
        entries.dedup();
        Answer::Ignoreip { ignored: entries }
    }
}

/// Whom the kernel lets through, whatever is banned.
#[must_use]
pub fn allowed(plan: &Plan, list: &IgnoreList) -> Vec<IpNet> {
    let listed = plan.lists.allow.iter().map(|listed| listed.net);
    plan.config.ignoreip.iter().chain(list.nets()).copied().chain(listed).collect()
}

/// Networks that the configuration itself has.
fn configured(nets: &[IpNet]) -> Vec<Entry> {
    nets.iter()
        .map(|net| {
            Entry::new(*net, IgnoreOrigin::Ignoreip { entry: Subject::from(*net).to_string() })
        })
        .collect()
}

/// Why somebody is banned, for the log.
fn reason(plan: &Plan, ban: &Ban) -> String {
    let length = ban.until.map_or(Lasting::Permanent, |until| Lasting::For(until.since(ban.since)));
    let scope = plan.structure.scope(ban.scope).map_or("?", |scope| &scope.name);
    match ban.cause.and_then(|(rule, _)| plan.rule_name(rule)) {
        Some(rule) => {
            format!("{} offences, {}, {rule}, ports {scope}, {length}", ban.offences, ban.evidence)
        }
        None => format!("by hand, ports {scope}, {length}"),
    }
}

/// What is said of a site whose phones have an old password.
fn accounts_fail(report: &Report) -> String {
    let Report { subject, known, unknown } = report;
    let (s, fail) = if *known == 1 { ("", "fails") } else { ("s", "fail") };
    format!("{known} known account{s} {fail} at {subject}, {unknown} unknown: provisioning?")
}

/// Says what a sink found when it was asked whether there is a pause.
pub fn note_pause(found: &Option<Option<Time>>) {
    match found {
        Some(Some(until)) => warn!("dropping is paused until {until}"),
        Some(None) => warn!("dropping is paused until `asterguard resume`"),
        None => {}
    }
}
