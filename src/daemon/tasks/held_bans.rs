//! Lists the bans that a kernel holds where these are too many to be waited for at the start.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;

use tracing::{error, info};

use crate::daemon::engine_thread::{Core, EngineHandle, Message};
use crate::daemon::startup::restore::say_taken;
use crate::decide::plan::Plan;
use crate::enforce::SinkError;
use crate::enforce::helper::{Channel, Request};
use crate::model::event::KernelElement;
use crate::sys::clock::now;

/// Starts a thread that lists them by this connection, and hands them to the engine.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start(line: Channel, plan: Arc<Plan>, engine: EngineHandle) -> io::Result<()> {
    info!("the kernel's bans are many, and are listed beside all else; they are in force");
    let list = move || list(line, plan, &engine);
    std::thread::Builder::new().name("held".into()).spawn(list).map(drop)
}

fn list(mut line: Channel, mut plan: Arc<Plan>, engine: &EngineHandle) {
    loop {
        let held: Result<Vec<KernelElement>, SinkError> =
            line.call(&Request::Held(Cow::Borrowed(&plan.structure), now()));
        let found = match held {
            Ok(found) => found,
            Err(error) => {
                error!("bans that only the kernel knows are not taken over: {error}");
                return;
            }
        };
        let (tell, told) = channel();
        let take_up = move |core: &mut Core| {
            // The one who asked waits for it.
            let _ = tell.send(core.take_up_held(&plan, &found));
        };
        if engine.send(Message::Run(Box::new(take_up))).is_err() {
            return;
        }
        match told.recv() {
            // A reload has changed what the numbers in the list mean.
            Ok(Some(changed)) => plan = changed,
            Ok(None) | Err(_) => return,
        }
    }
}

impl Core {
    /// Takes up the bans that were found in the kernel, in terms of this plan; returns the one that is in force if that
    /// is another.
    fn take_up_held(&mut self, by: &Arc<Plan>, found: &[KernelElement]) -> Option<Arc<Plan>> {
        let plan = self.engine.plan();
        if !Arc::ptr_eq(plan, by) {
            return Some(Arc::clone(plan));
        }
        let awaited = self.awaited.take()?;
        let taken = self.engine.recover_held(&awaited, found, now(), &mut self.decisions);
        say_taken(taken, true);
        // Those that the kernel alone had may be of hosts that are never banned.
        self.protect();
        None
    }
}
