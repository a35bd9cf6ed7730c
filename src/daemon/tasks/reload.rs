//! Reading the configuration again while the guard runs: going by it, or, where that takes files that this
//! process has given up, ending so that another one is started.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::control::{Done, Problem};
use crate::daemon::engine_thread::log_reader::{self, Matchers};
use crate::daemon::startup::sandbox_paths;
use crate::daemon::tasks::geofence;
use crate::daemon::{Daemon, RunError, Supervisor};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
use crate::hosts::discover::Wanted;
use crate::hosts::discover::asterisk_ports::{AsteriskFiles, Found};
use crate::sys::mutex::lock;

/// The time for which the guard goes on once it was decided that it ends. systemd has to see that
/// its `ExecReload=` is done before it sees the guard end, or it takes the reload for a failed one;
/// nobody is told when it has.
const GRACE: Duration = Duration::from_millis(500);

/// The time between two looks at Asterisk's configuration and sockets.
const LOOK: Duration = Duration::from_secs(5);

/// One reload at a time: a list that is being filled belongs to one.
#[derive(Default)]
pub struct Reloads {
    /// The number of reloads that were asked for.
    asked: AtomicU64,
    /// The answer of the last one, and up to which of those that asked it holds for.
    last: Mutex<Option<(u64, Result<Done, Problem>)>>,
}

/// The turn of one who changes what the guard goes by.
pub(super) type Turn<'a> = tokio::sync::MutexGuard<'a, Option<(u64, Result<Done, Problem>)>>;

impl Reloads {
    /// Waits until nobody else changes what the guard goes by.
    pub(super) async fn turn(&self) -> Turn<'_> {
        self.last.lock().await
    }
}

/// A configuration that was read again and is right.
enum Prepared {
    /// This process can go by it.
    Here(Box<Plan>, Matchers),
    /// It takes files in this directory.
    Elsewhere(Box<Plan>, PathBuf),
}

impl Daemon {
    /// Reads configuration and rules again and lets the engine go by them, or makes the guard end
    /// if it takes another process to do so; the old ones stay where something is wrong.
    ///
    /// Whoever asks while one is under way gets the answer of the next one, with all others that have asked until
    /// that begins: what they wrote before is in it.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Done, Problem> {
        let mine = self.reloads.asked.fetch_add(1, Ordering::Relaxed);
        let mut last = self.reloads.last.lock().await;
        if let Some((until, answer)) = &*last {
            if mine < *until {
                return answer.clone();
            }
        }
        let until = self.reloads.asked.load(Ordering::Relaxed);
        let answer = self.reload_now().await;
        match &answer {
            Err(problem) => warn!("reload refused: {}", problem.message),
            Ok(done) => info!("{}", done.message),
        }
        *last = Some((until, answer.clone()));
        answer
    }

    async fn reload_now(self: &Arc<Self>) -> Result<Done, Problem> {
        let daemon = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || daemon.prepare()).await;
        match prepared.map_err(|error| {
            Problem::failed(format!("reading the configuration failed: {error}"))
        })? {
            Ok(Prepared::Here(plan, matchers)) => self.go_by(*plan, matchers).await,
            Ok(Prepared::Elsewhere(plan, directory)) => self.leave_for(*plan, &directory).await,
            Err(RunError::Plan(error)) => Err(Problem::refused(error)),
            Err(error) => Err(stays(&error)),
        }
    }

    /// Goes by the plan that `change` makes of the one in force, if it makes one, and waits for that; whoever calls this has
    /// the [turn](Reloads::turn). Nothing else that was written is taken up. Returns whether there was one.
    pub(super) async fn adapt(
        &self,
        plan: Arc<Plan>,
        change: impl FnOnce(&Plan) -> Result<Option<Plan>, RunError> + Send + 'static,
    ) -> Result<bool, Problem> {
        let prepare = move || {
            let Some(plan) = change(&plan)? else { return Ok(None) };
            let matchers = log_reader::compile(&plan).map_err(PlanError::from)?;
            Ok(Some((plan, matchers)))
        };
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let prepared =
            prepared.map_err(|error| Problem::failed(format!("reading failed: {error}")))?;
        match prepared.map_err(|error: RunError| Problem::failed(error))? {
            Some((plan, matchers)) => self.go_by(plan, matchers).await.map(|_| true),
            None => Ok(false),
        }
    }

    /// Follows the ports of Asterisk, and where it sends its HEP copies, for as long as the guard runs. Only
    /// these are taken up: what else was written waits for a reload.
    pub(crate) async fn follow_asterisk(&self) {
        let files = Arc::new(std::sync::Mutex::new(AsteriskFiles::default()));
        loop {
            tokio::time::sleep(LOOK).await;
            let last = self.reloads.turn().await;
            let Ok(plan) = self.plan().await else { return };
            let files = Arc::clone(&files);
            let look = move |plan: &Plan| {
                let found = lock(&files).look(&plan.config.asteriskconf);
                let known = Found {
                    ports: plan.config.asterisk.clone(),
                    hep: plan.config.wire.hep.clone(),
                    dateformat: plan.config.dateformat.clone(),
                };
                Ok((found != known).then(|| plan.with_asterisk(found)))
            };
            let changed = self.adapt(plan, look).await;
            drop(last);
            match changed {
                Ok(false) => {}
                Ok(true) => info!("taken up what has changed of Asterisk's ports and HEP"),
                Err(problem) => warn!(
                    "what has changed of Asterisk's ports is not taken up: {}",
                    problem.message
                ),
            }
        }
    }

    /// Returns a moment after a reload was taken that this process cannot go by.
    pub(crate) async fn leaving(&self) {
        self.leaving.notified().await;
        tokio::time::sleep(GRACE).await;
    }

    /// Reads configuration, rules and lists, and makes the kernel hold the lists besides those in force, if
    /// they can be.
    fn prepare(&self) -> Result<Prepared, RunError> {
        let plan = load_plan(self.options.config.as_deref())?;
        let lists = &plan.config.lists;
        let hidden = |paths| sandbox_paths::out_of_reach(self.readable.as_deref()?, paths);
        if let Some(path) = hidden(sandbox_paths::own_lists(lists)) {
            return Err(given_up(
                &path,
                "so it cannot check the list there: `asterguard check`, then",
            ));
        }
        let needed = hidden(sandbox_paths::read(&self.options, &plan.config));
        let elsewhere = match (needed, self.options.supervisor) {
            (Some(path), Supervisor::Nobody) => {
                return Err(given_up(&path, "and nothing is known to start it again:"));
            }
            (needed, Supervisor::Somebody) => {
                needed.or_else(|| hidden(sandbox_paths::included(&plan.config)))
            }
            // Without a trunk that Asterisk's configuration includes, it goes on, and says so.
            (None, Supervisor::Nobody) => None,
        };
        let matchers = log_reader::compile(&plan).map_err(PlanError::from)?;
        let keeper = &self.kernel.lists;
        let before = keeper.lists();
        let lists = crate::hosts::lists::load(lists, &before).map_err(PlanError::from)?;
        if let Some(path) = elsewhere {
            return Ok(Prepared::Elsewhere(Box::new(plan), path));
        }
        let lists = geofence::fenced(lists, &plan.config, &self.places, &before);
        let sets = keeper.prepare(&lists)?;
        Ok(Prepared::Here(Box::new(plan.with_lists(Arc::new(lists), sets)), matchers))
    }

    pub(super) async fn go_by(&self, plan: Plan, matchers: Matchers) -> Result<Done, Problem> {
        let (loglevel, wanted) = (plan.config.loglevel, Wanted::by(&plan.config, &plan.lists));
        let plan = Arc::new(plan);
        let new = Arc::clone(&plan);
        if plan.structure.geofence.is_some() {
            self.admit_before().await;
        }
        let changed = self.engine.ask(move |core| core.change(new, matchers)).await?;
        let keeper = Arc::clone(&self.kernel.lists);
        if let Err(error) = changed {
            let _ = tokio::task::spawn_blocking(move || keeper.withdraw()).await;
            return Err(stays(&error.into()));
        }
        self.volume.set(loglevel);
        if let Some(notify) = &self.notify {
            notify.reload(!plan.config.notify.is_empty());
        }
        if let Some(fleet) = &self.fleet {
            fleet.reload(plan.config.fleet.is_some());
        }
        self.finder.change(wanted);
        self.fetched.refresh(&plan.config.lists.feeds);
        let settle = move || keeper.settle(&plan.structure, Arc::clone(&plan.lists));
        // Fails only if it panics; then old sets stay.
        let _ = tokio::task::spawn_blocking(settle).await;
        Ok(Done::new("reloaded"))
    }

    /// Makes the guard end, so that the process that is started in its place can read `directory`.
    async fn leave_for(&self, plan: Plan, directory: &Path) -> Result<Done, Problem> {
        if !self.engine.ask(move |core| core.leave_to_next(&plan)).await? {
            return Err(stays(&given_up(
                directory,
                "and nothing is stored now, so the counts would be lost. If they may be:",
            )));
        }
        self.leaving.notify_one();
        let directory = directory.display();
        Ok(Done::new(format!("asterguard restarts itself to be able to read {directory}")))
    }
}

fn given_up(path: &Path, so: &str) -> RunError {
    let path = path.display();
    anyhow!("this process may not read {path}, which it did not need when it started, {so} restart asterguard, no line gets lost").into()
}

fn stays(error: &RunError) -> Problem {
    Problem::failed(format!("the old configuration stays in force: {error}"))
}
