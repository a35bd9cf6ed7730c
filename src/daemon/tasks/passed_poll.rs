//! Looks now and then what comes through from banned hosts all the same, while there are any. (Nobody is told of
//! what packets put into a set.)

use std::sync::Arc;
use std::time::Duration;

use crate::daemon::Daemon;
use crate::enforce::helper::Request;
use crate::model::event::Passed;
use crate::sys::clock::now;
use crate::sys::mutex::lock;

/// The time between two looks where nothing comes through. The kernel remembers it for a minute.
const IDLE: Duration = Duration::from_secs(3);
/// The time where something does.
const BUSY: Duration = Duration::from_secs(1);

impl Daemon {
    /// Looks for as long as the guard runs, and tells the engine.
    pub(crate) async fn watch_passed(&self) {
        let Some(channel) = &self.passed else { return std::future::pending().await };
        let mut pause = IDLE;
        loop {
            tokio::time::sleep(pause).await;
            pause = IDLE;
            let Ok(any) = self.engine.ask(|core| !core.engine.bans().is_empty()).await else {
                return;
            };
            if !any {
                continue;
            }
            let channel = Arc::clone(channel);
            let look = move || {
                let found: Result<Vec<Passed>, _> = lock(&channel).call(&Request::Passed);
                (found, now())
            };
            // Where the sets cannot be read, or this panics, nothing is known: status says what is wrong.
            let Ok((Ok(found), time)) = tokio::task::spawn_blocking(look).await else { continue };
            if !found.is_empty() {
                pause = BUSY;
            }
            let tell = move |core: &mut crate::daemon::engine_thread::Core| {
                core.tell_passed(&found, time);
            };
            if self.engine.ask(tell).await.is_err() {
                return;
            }
        }
    }
}
