//! Takes up lists that `asterguard fetch` has replaced, and reads what became of its tries.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::control::Problem;
use crate::daemon::Daemon;
use crate::decide::plan::Plan;
use crate::hosts::lists;

/// The time between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);

impl Daemon {
    /// Looks for as long as the guard runs. Only lists that are fetched are taken up: what else was written waits for a
    /// reload.
    pub(crate) async fn watch_feeds(&self) {
        // What is wrong is said once, though it is tried again each time.
        let mut said = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let last = self.reloads.turn().await;
            let Ok(plan) = self.plan().await else { return };
            if plan.config.lists.feeds.iter().all(|feed| feed.fetch.is_none()) {
                continue;
            }
            let taken = self.take_up(plan).await;
            drop(last);
            match taken {
                Ok(false) => {}
                Ok(true) => {
                    info!("taken up what was fetched");
                    said = None;
                }
                Err(problem) if said.as_ref() == Some(&problem.message) => {}
                Err(problem) => {
                    warn!("what was fetched is not taken up: {}", problem.message);
                    said = Some(problem.message);
                }
            }
        }
    }

    /// Reads the records of the tries, and goes by the lists that have changed: the kernel gets the new ones besides those
    /// in force, and then changes from one to the other in one step. Returns whether there were any.
    async fn take_up(&self, plan: Arc<Plan>) -> Result<bool, Problem> {
        let (fetched, keeper) = (Arc::clone(&self.fetched), Arc::clone(&self.kernel.lists));
        let read = move |plan: &Plan| {
            fetched.refresh(&plan.config.lists.feeds);
            let Some(lists) = lists::refreshed(&plan.config.lists, &keeper.lists()) else {
                return Ok(None);
            };
            let sets = keeper.prepare(&lists)?;
            Ok(Some(plan.with_other_lists(Arc::new(lists), sets)))
        };
        self.adapt(plan, read).await
    }
}
