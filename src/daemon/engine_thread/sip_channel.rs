//! The wire as a channel of the engine: turns what was seen on it into events.

use std::time::Duration;

use tracing::info;

use super::{EngineHandle, Message};
use crate::config;
use crate::control::status::WireStatus;
use crate::daemon::startup::privsep::WireChannels;
use crate::daemon::tasks::limiter_poll::Limiter;
use crate::daemon::tasks::talked_asker::TalkedAsker;
use crate::decide::engine::{Engine, Sight};
use crate::decide::exchange_event::event;
use crate::decide::plan::Plan;
use crate::enforce::WireRules;
use crate::enforce::helper::Request;
use crate::exchange::capture::{Listening, SipMonitor};
use crate::model::event::{Decision, Event};
use crate::model::time::Time;
use crate::sys::clock::{monotonic_now, now};

/// The name of the wire where a log would have a path.
pub const NAME: &str = "the wire";

/// For so long after a message by HEP, Asterisk is believed to tell of all of them.
const HEP_LASTS: Duration = Duration::from_secs(60);

/// The threads that watch the kernel for it.
struct Sources {
    monitor: SipMonitor,
    limiter: Limiter,
    talked: TalkedAsker,
}

/// The wire.
pub struct Wire {
    /// `None` in a dry run, which leaves the kernel alone.
    source: Option<Sources>,
    /// The number of the last observation, as lines have numbers.
    line: u64,
    /// The number of messages that HEP has told of, and the time when it last grew.
    hep: u64,
    hep_at: Option<Time>,
    /// The state that was logged last.
    said: Listening,
}

impl Wire {
    /// Listens to what `plan` wants, by the channels to the firewall helper; in a dry run there are none. `engine`
    /// is told when there is something to [poll](Wire::poll).
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        channels: Option<WireChannels>,
        plan: &Plan,
        engine: &EngineHandle,
    ) -> std::io::Result<Self> {
        let source = match channels {
            None => None,
            Some(WireChannels { mut wire, limiter, talked }) => {
                let open = move |group| wire.socket(&Request::Wire(group));
                let waker = engine.clone();
                let wake = move || waker.send(Message::Observed).is_ok();
                let monitor = SipMonitor::start(group(plan), open, monotonic_now, wake)?;
                monitor.change(plan.config.asterisk.clone(), plan.structure.services.clone());
                let limiter = Limiter::start(limiting(plan), limiter)?;
                let talked = TalkedAsker::start(talked, engine.clone())?;
                Some(Sources { monitor, limiter, talked })
            }
        };
        // Further than at any earlier start: what was counted then is remembered by its number.
        let line = now().secs().try_into().unwrap_or(0);
        Ok(Self { source, line, hep: 0, hep_at: None, said: Listening::Off })
    }

    /// Goes by another plan.
    pub fn change(&self, plan: &Plan) {
        if let Some(Sources { monitor, limiter, .. }) = &self.source {
            monitor.listen(group(plan));
            monitor.change(plan.config.asterisk.clone(), plan.structure.services.clone());
            limiter.change(limiting(plan));
        }
    }

    /// Lets the engine decide about what was seen since, and weigh lines from now on by what is seen. Call it before lines are
    /// read.
    pub fn poll(&mut self, engine: &mut Engine, decisions: &mut Vec<Decision>) {
        let now = now();
        let sight = self.sight(engine.plan(), now);
        engine.see(sight);
        let Some(Sources { monitor, .. }) = &self.source else { return };
        for observation in monitor.take() {
            self.line += 1;
            if let Some(event) = event(engine.plan(), &observation, self.line, now) {
                engine.on_event(&event, decisions);
            }
        }
    }

    /// Logs how the listening goes, when that has changed.
    pub fn say_state(&mut self) {
        let Some(Sources { monitor, .. }) = &self.source else { return };
        let (listening, ..) = monitor.state();
        if listening == self.said {
            return;
        }
        match (&listening, &self.said) {
            (Listening::Off, _) => info!("no longer listening to the wire"),
            (Listening::On, Listening::Off) => info!("listening to the wire"),
            // The health says so.
            (Listening::On | Listening::Trouble(_), _) => {}
        }
        self.said = listening;
    }

    /// Returns what is seen of the PBX at `now`.
    fn sight(&mut self, plan: &Plan, now: Time) -> Sight {
        let Some(Sources { monitor, .. }) = &self.source else { return Sight::default() };
        let (listening, numbers, _) = monitor.state();
        if numbers.hep != self.hep {
            (self.hep, self.hep_at) = (numbers.hep, Some(now));
        }
        let hep = self.hep_at.is_some_and(|last| now.since(last) < HEP_LASTS);
        let on = listening == Listening::On;
        let talked = on && !plan.config.asterisk.wrapped.is_empty();
        Sight {
            answers: on && numbers.answers > 0,
            hep: on && hep,
            talked,
            served: on && !plan.structure.served.is_empty(),
            iax: on && numbers.iax > 0,
            ami: on && numbers.ami > 0,
        }
    }

    /// Asks what was sent lately on the connection that a line is about; the engine is told. Returns whether it
    /// will be.
    pub fn ask_talked(&self, line: &Event, plan: &Plan) -> bool {
        let service = plan.service_ports(line.rule);
        self.source.as_ref().is_some_and(|source| source.talked.ask(line, service))
    }

    /// Returns the state of the wire, given the result of loading its rules (`None`: not loaded yet).
    pub fn status(
        &self,
        engine: &Engine,
        loaded: Option<&Result<WireRules, String>>,
    ) -> WireStatus {
        let (plan, unmatched) = (engine.plan(), engine.unmatched());
        let (listening, numbers, dropped) =
            self.source.as_ref().map(|source| source.monitor.state()).unwrap_or_default();
        let (state, trouble) = match (loaded, listening) {
            _ if !plan.config.wire.enabled => ("off".to_owned(), None),
            _ if self.source.is_none() => {
                ("off: a dry run leaves the kernel alone".to_owned(), None)
            }
            (Some(Err(why)), _) => ("not available".to_owned(), Some(why.clone())),
            (_, Listening::Trouble(why)) => ("not available".to_owned(), Some(why)),
            (None, _) | (_, Listening::Off) => ("starting".to_owned(), None),
            (Some(Ok(WireRules::Whole)), Listening::On) => ("listening".to_owned(), None),
            (Some(Ok(WireRules::DatagramsOnly(why))), Listening::On) => {
                ("listening over UDP only".to_owned(), Some(why.clone()))
            }
        };
        let limiter = self.source.as_ref().map(|source| source.limiter.status());
        let limiter = limiter.unwrap_or_default();
        WireStatus { state, trouble, numbers, dropped, unmatched, limiter }
    }
}

/// Returns the group that a plan wants listened to.
fn group(plan: &Plan) -> Option<u16> {
    plan.config.wire.enabled.then_some(plan.config.wire.group)
}

/// Returns what a plan does with the hosts that the kernel's limiter finds.
fn limiting(plan: &Plan) -> config::Limiter {
    if plan.config.wire.enabled { plan.config.wire.limiter } else { config::Limiter::Off }
}
