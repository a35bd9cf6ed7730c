//! The engine's thread: reads, counts, decides, and answers what it is asked.
#![expect(clippy::disallowed_methods, reason = "an edge: it waits for the next tick")]

mod backlog;
pub(super) mod event_log;
mod fleet;
mod handle;
mod health_log;
pub mod log_reader;
mod recent_lines;
pub(super) mod recorder;
pub(super) mod refused_bans;
pub(super) mod sip_channel;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::firewall_thread::{DesiredState, Worker};
use super::tasks::list_refresh::ListKeeper;
pub use handle::EngineHandle;
pub use health_log::HealthLog;
use health_log::Turned;

use crate::control::health::{Check, CheckState};
use crate::daemon::engine_thread::event_log::EventLog;
use crate::daemon::engine_thread::log_reader::{Matchers, Reader};
use crate::daemon::engine_thread::recorder::Recorder;
use crate::daemon::engine_thread::sip_channel::Wire;
use crate::daemon::fleet_link::FleetLink;
use crate::decide::ban_activity::ElementKey;
use crate::decide::engine::{Awaited, Engine};
use crate::decide::plan::Plan;
use crate::enforce::SinkError;
use crate::feeds::SharedRecords;
use crate::hosts::exempt::IgnoreList;
use crate::input::Origin;
use crate::model::clock_step::WallClock;
use crate::model::event::{Decision, Event, Passed};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::orders::{AllowedNetwork, Orders};
use crate::model::pause::Pause;
use crate::model::subject::written;
use crate::model::time::{HumanDuration, Time};
use crate::sys::clock::{both_clocks, monotonic_now, now};
use crate::sys::service_manager::{Notice, ServiceManager};
use crate::table::structure::Structure;

/// The time between two ticks of the engine's clock. New files, and changes that no notification
/// came for, are found at a tick.
const TICK: Duration = Duration::from_secs(1);

/// A message to the thread.
pub enum Message {
    /// A file may have changed.
    Wake,
    /// Something was seen on the wire, or told by HEP: the files are left alone.
    Observed,
    /// Run this on the engine's thread; see [`EngineHandle`].
    Run(Box<dyn FnOnce(&mut Core) + Send>),
    /// Never ban these, in place of those of an earlier list.
    Ignore(Arc<IgnoreList>),
    /// The pause that is in force.
    Paused(Pause),
    /// The sink may have lost something: tell it the whole.
    Lost,
    /// The sink lost something, and has it again: in words.
    Healed(String),
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
    /// The channel to which the paths that are to be watched are sent when they, or their files, change.
    pub watch: mpsc::UnboundedSender<Vec<PathBuf>>,
    /// The place where bans go, in a word.
    pub sink: &'static str,
    pub dry_run: bool,
    pub started: Instant,
    /// When the turn began that reads and decides now.
    pub turn: Instant,
    /// The means to notice that the clock was set.
    pub clock: WallClock,
    /// The pause that is in force; see [`Message::Paused`].
    pub paused: Pause,
    /// The hosts that are never banned, as far as they were found out.
    pub found: Arc<IgnoreList>,
    /// What the start has yet to learn of the kernel; `None`: nothing.
    pub awaited: Option<Awaited>,
    /// What is ordered besides bans.
    pub orders: Orders,
    /// The decisions that were made and not yet carried out.
    pub decisions: Vec<Decision>,
    /// What happened, for all who are told.
    pub events: EventLog,
    /// The reason why the configuration on disk cannot be used; `None` if it can.
    pub unusable: Option<String>,
    /// The one that is told that this thread is alive.
    pub manager: Arc<ServiceManager>,
    /// The health as the log has it.
    pub health_log: HealthLog,
    /// What is known of the feeds that are fetched.
    pub fetched: Arc<SharedRecords>,
    /// The way to the fleet; `None` if the guard was started without one.
    pub fleet: Option<Arc<FleetLink>>,
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
            self.turn = Instant::now();
            self.correct();
            let mut reads = message.is_none() || more;
            if Instant::now() >= next_tick {
                reads = true;
                self.tick();
                if self.manager.watches() {
                    self.manager.tell(Notice::Watchdog);
                }
                next_tick = Instant::now() + TICK;
            }
            while let Some(told) = message {
                reads |= !matches!(told, Message::Observed);
                match told {
                    Message::Wake | Message::Observed => {}
                    Message::Run(task) => task(&mut self),
                    Message::Ignore(list) => self.ignore(list),
                    Message::Paused(paused) => self.found_pause(paused),
                    Message::Lost => self.catch_up(),
                    Message::Healed(how) => {
                        self.events.tell(GuardEvent::new(now(), EventKind::Heal, how));
                    }
                    Message::Stop => return self.stop(),
                }
                message = inbox.try_recv().ok();
            }
            if reads {
                more = self.poll();
            } else {
                self.observe();
            }
            // Behind what the guard sees itself: peers do not make it slower.
            more |= self.serve_fleet();
            self.recorder.events(self.events.take(), now());
            self.recorder.checkpoint(&mut self.engine, &self.reader, now());
        }
    }

    fn stop(mut self) -> (Worker, Recorder) {
        self.poll();
        // The log has it when all threads have ended.
        self.events.tell_others(GuardEvent::new(
            now(),
            EventKind::Stop,
            "asterguard stops; bans stay in force",
        ));
        self.recorder.events(self.events.take(), now());
        self.recorder.checkpoint_now(&mut self.engine, &self.reader, now());
        (self.worker, self.recorder)
    }

    /// Decides about what was seen on the wire.
    fn observe(&mut self) {
        self.wire.poll(&mut self.engine, &mut self.decisions);
        self.carry_out();
    }

    fn poll(&mut self) -> bool {
        // First, because it takes no time.
        self.observe();
        let more = self.reader.poll(&mut self.engine, now(), &mut self.decisions);
        self.reader.note_rest(now());
        for text in self.reader.take_lost() {
            self.events.tell(GuardEvent::new(now(), EventKind::Lost, text));
        }
        self.carry_out();
        self.watch_changes();
        more
    }

    /// Looks whether the clock on the wall was set, and corrects by that whatever was read from it. The
    /// kernel's time is another, so that nothing changes there.
    fn correct(&mut self) {
        let clocks = both_clocks();
        let Some(step) = self.clock.step(clocks) else { return };
        let (wall, _) = clocks;
        // What was decided before is in terms of the old time.
        self.recorder.note(&mut self.engine, wall);
        self.engine.correct(step);
        self.reader.correct(step);
        self.paused.correct(step);
        self.orders.correct(step);
        self.recorder.correct(step, wall);
        self.recorder.orders(&self.orders, wall);
        if let Some(link) = &self.fleet {
            link.say_again();
        }
        // What still waits for the kernel has to be told in terms of the new one.
        self.catch_up();
        let (set, by) =
            if step.millis() < 0 { ("back", -step.millis()) } else { ("forward", step.millis()) };
        let by = HumanDuration(Duration::from_millis(by.unsigned_abs()));
        warn!("the clock was set {set} by {by}: bans and counts go on as long as they would have");
    }

    fn tick(&mut self) {
        self.refresh(Origin::Start);
        self.wire.say_state();
        self.engine.on_tick(now(), &mut self.decisions);
        self.carry_out();
        self.events.tick(now());
        if self.paused.is_over(now()) {
            let event = GuardEvent::new(now(), EventKind::Order, "the pause is over");
            self.events.tell(event.leaving(Pause::Off));
            self.paused = Pause::Off;
        }
        self.end_orders();
        if self.worker.health().behind {
            self.catch_up();
        }
        self.recorder.tick(&mut self.engine, now());
        self.say_health();
    }

    /// Tells which checks of the health have turned.
    fn say_health(&mut self) {
        let checks = self.facts(now()).checks();
        for Turned { check, state, line, is_logged } in
            self.health_log.turned(&checks, monotonic_now())
        {
            let event = GuardEvent {
                good: Some(state == CheckState::Ok),
                check: Some(check.name().to_owned()),
                ..GuardEvent::new(now(), EventKind::Health, line)
            };
            if check == Check::Notify {
                self.events.tell_but_nobody(event);
            } else if is_logged {
                self.events.tell_others(event);
            } else {
                self.events.tell(event);
            }
        }
    }

    /// Takes up a pause that was found in the kernel. One that the guard did not order is told.
    fn found_pause(&mut self, paused: Pause) {
        if paused.is_on() != self.paused.is_on() {
            let text = format!("{paused}: somebody changed that in the kernel");
            let event = GuardEvent::new(now(), EventKind::Order, text);
            self.events.tell_others(event.leaving(paused));
        }
        self.paused = paused;
    }

    /// Never bans the hosts of `list` from now on.
    fn ignore(&mut self, list: Arc<IgnoreList>) {
        self.found = list;
        self.protect();
    }

    /// Never bans the hosts that were found out, and those that somebody has ordered to let through.
    pub(super) fn protect(&mut self) {
        let list = Arc::new(self.found.and(self.orders.exempt()));
        self.engine.protect(list, &mut self.decisions);
        self.worker.allow(self.engine.plan().allowed(self.engine.ignored()));
        self.carry_out();
    }

    /// Ends the orders whose time is over.
    fn end_orders(&mut self) {
        let over = self.orders.expire(now());
        for AllowedNetwork { net, .. } in &over.allowed {
            let text = format!("{} is no longer let through: its time is over", written(net));
            self.events.tell(GuardEvent::new(now(), EventKind::Order, text).about(written(net)));
        }
        if !over.allowed.is_empty() {
            self.protect();
        }
        for jail in over.pauses.iter().filter_map(|pause| pause.jail.as_deref()) {
            let text = format!("the pause of the jail {jail} is over");
            let event = GuardEvent::new(now(), EventKind::Order, text).leaving(Pause::Off);
            self.events.tell(GuardEvent { jail: Some(jail.to_owned()), ..event });
            self.resume_jail(jail);
        }
        self.recorder.orders(&self.orders, now());
    }

    /// Puts the bans of a jail into force again.
    pub(super) fn resume_jail(&mut self, name: &str) {
        if let Some(jail) = self.engine.plan().jail_named(name) {
            self.engine.pause_jail(jail, false, &mut self.decisions);
            self.carry_out();
        }
    }

    /// Sends the sink all that it may have lost.
    fn catch_up(&mut self) {
        self.worker.caught_up();
        self.worker.restore(self.desired_state());
        self.lists.refill();
    }

    /// Takes up a line about a connection on which the PBX has `sent` so many segments lately.
    pub(super) fn tell_talked(&mut self, line: &Event, sent: Option<u64>) {
        self.engine.on_talked(line, sent, &mut self.decisions);
        self.carry_out();
    }

    /// Takes up what was found at `time` to come through from banned hosts.
    pub(super) fn tell_passed(&mut self, found: &[Passed], time: Time) {
        self.engine.on_passed(found, time, &mut self.decisions);
        self.carry_out();
    }

    /// Renews the bans of hosts that are still sending, where that is wanted.
    pub(super) fn renew(&mut self, active: &[ElementKey]) {
        self.engine.renew(active, now(), &mut self.decisions);
        self.carry_out();
    }

    /// Finds where the logs of `plan` end now, which another process is to go by, and returns whether
    /// it will know what this one does.
    pub(super) fn leave_to_next(&mut self, plan: &Plan) -> bool {
        let stores = self.recorder.stores();
        if stores {
            self.reader.leave_to_next(plan, &mut self.engine, now());
        }
        stores
    }

    /// Returns all that the sink is to hold.
    pub(super) fn desired_state(&self) -> DesiredState {
        DesiredState {
            allow: self.engine.plan().allowed(self.engine.ignored()),
            paused: self.paused,
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

    /// Goes by another plan from now on.
    pub(super) fn change(&mut self, plan: Arc<Plan>, matchers: Matchers) -> Result<(), SinkError> {
        // What has been written up to now goes by the old rules, as far as it can be read in good
        // time: a writer may be faster than we are. The sink hears of it in terms of the old plan.
        let deadline = Instant::now() + TICK;
        while self.poll() && Instant::now() < deadline {}
        if let Some(awaited) = &mut self.awaited {
            // The kernel is listed anew, in other terms.
            self.worker.apply(awaited.settle(self.engine.bans()), self.turn);
        }
        let allow = plan.allowed(self.engine.ignored());
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

    /// Hands the changes over to the kernel, and tells what was decided.
    pub(super) fn carry_out(&mut self) {
        let now = now();
        let (mut changes, mut asked, mut decided) = (Vec::new(), Vec::new(), Vec::new());
        for decision in self.decisions.drain(..) {
            match decision {
                Decision::Change(change) => changes.push(change),
                Decision::AskTalked(line) => asked.push(line),
                // There are very many of these, and nobody is told.
                Decision::Found { .. } => {
                    self.events.decided(&decision, &self.engine, &self.reader, now);
                }
                other => decided.push(other),
            }
        }
        for line in &asked {
            if !self.wire.ask_talked(line, self.engine.plan()) {
                self.engine.on_talked(line, None, &mut self.decisions);
            }
        }
        if !changes.is_empty() {
            if let Some(awaited) = &mut self.awaited {
                for change in &changes {
                    awaited.tell(change);
                }
            }
            self.worker.apply(changes, self.turn);
        }
        self.recorder.note(&mut self.engine, now);
        if let Some(link) = &self.fleet {
            fleet::publish(link, &decided, &self.engine);
        }
        for decision in &decided {
            self.events.decided(decision, &self.engine, &self.reader, now);
        }
    }
}

/// Logs the pause that the sink was found in, if there is one.
pub fn note_pause(found: Pause) {
    if found.is_on() {
        warn!("{found}");
    }
}

#[cfg(test)]
mod week_tests;
