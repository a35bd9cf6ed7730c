//! The daemon: an engine thread and a sink thread, a small runtime around them for file
//! notifications, the control socket and signals, and the threads of the [`finder`](crate::finder).

mod control;
pub mod core;
mod counters;
pub mod explain;
mod heal;
mod limiter;
mod listing;
mod lists;
pub mod log;
mod old_lines;
mod pace;
mod places;
mod processes;
pub mod reader;
mod recorder;
mod refused;
mod restore;
mod status;
mod verify;
mod wire;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use self::core::{Core, Message};
use crate::config::load::LoadError;
use crate::config::{Config, LogLevel};
use crate::engine::Engine;
use crate::finder::helper::Resolver;
use crate::finder::{Finder, Wanted};
use crate::jump::WallClock;
use crate::lists::{Lists, ListsError};
use crate::matcher::gate::GateError;
use crate::plan::Plan;
use crate::proto::Answer;
use crate::rules::{RuleSet, RulesError};
pub use crate::sink::SinkKind;
use crate::sink::{SinkError, Structure};
use crate::source::Watcher;
use crate::time::Time;
pub use control::pause_message;
use counters::Counters;
use lists::ListKeeper;
use processes::Ways;
use reader::{Matchers, Reader};
pub use restore::{Restored, restore, stored};
use wire::Wire;
use worker::{News, Worker};

/// Where the configuration is unless the command line says otherwise.
pub const CONFIG: &str = "/etc/asterguard/asterguard.toml";
/// Where the daemon keeps what must outlive it.
pub const STATE_DIR: &str = "/var/lib/asterguard";

/// Two clocks that are read within this time are read at the same moment.
const AT_ONCE: Duration = Duration::from_millis(100);

/// How often to look whether bans are to be renewed at all.
const IDLE: Duration = Duration::from_secs(1);

/// How a daemon is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The main configuration file; `None`: [`CONFIG`] if it exists, else the built-in default.
    pub config: Option<PathBuf>,
    /// Directory for the lock (and what else must outlive the daemon).
    pub state_dir: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// Where bans go.
    pub sink: SinkKind,
    /// Who looks names up.
    pub resolver: Resolver,
}

/// Why configuration and rules cannot be used.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The rules.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The lists that the configuration names.
    #[error(transparent)]
    Lists(#[from] ListsError),
    /// Both, taken together.
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// Why a daemon could not start or go on, as far as exit codes tell.
#[derive(Debug, Error)]
pub enum RunError {
    /// Configuration or rules are wrong.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// nftables does not work.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Another one runs already.
    #[error("asterguard is running already (pid {pid}, lock {})", lock.display())]
    Running { pid: String, lock: PathBuf },
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Reads configuration and rules: `rules.d` and `conf.d` are beside the main file.
///
/// # Errors
/// When something is wrong in them; see [`PlanError`].
pub fn plan(config: Option<&Path>) -> Result<Plan, PlanError> {
    let main = config.unwrap_or(Path::new(CONFIG));
    let rules_d = main.parent().map(|directory| directory.join("rules.d"));
    let rules = RuleSet::load(rules_d.as_deref())?;
    let config: Config = crate::config::load::load(config, &rules.filters())?;
    Ok(Plan::new(config, Arc::new(rules)))
}

/// Runs until a signal ends it.
///
/// # Errors
/// When it cannot start. Once it runs, it goes on through everything but a signal.
#[expect(clippy::disallowed_methods, reason = "an edge: the uptime counts from here")]
pub fn run(options: &Options) -> Result<(), RunError> {
    let (writer, gave_up) = processes::part(options.sink)?;
    let plan = plan(options.config.as_deref())?;
    let volume = log::start(plan.config.loglevel);
    let _lock = control::lock(&options.state_dir)?;
    control::make_room(&options.socket)?;
    let readable = processes::confine(options, &plan.config, gave_up);
    let lists = crate::lists::read(&plan.config.lists, &Lists::default());
    let lists = lists.map(Arc::new).map_err(PlanError::from)?;
    let matchers = reader::compile(&plan).map_err(PlanError::from)?;

    let Ways { mut sink, lists: list_sink, watch, counters, wire, child } =
        Ways::open(writer, options.sink)?;
    let (inbox, messages) = std::sync::mpsc::channel();
    let engine_inbox = inbox.clone();
    let wanted = Wanted::by(&plan.config, &lists);
    let (finder, ignored) = Finder::start(wanted, options.resolver.clone(), move |list| {
        engine_inbox.send(Message::Ignore(list)).is_ok()
    })
    .context("cannot start a thread")?;
    // Filled before the rules refer to them: after a restart, nobody is let in for a moment.
    let keeper = Arc::new(ListKeeper::new(list_sink));
    let sets = keeper.prepare(&lists)?;
    let plan = plan.with_lists(Arc::clone(&lists), sets);
    let allow = core::allowed(&plan, &ignored);
    let structure = Structure { allow, ..plan.structure.clone() };
    sink.load(&structure)?;
    keeper.settle(&structure, lists);
    let found = sink.adopt(now())?;
    let paused = sink.paused(now())?;
    let plan = Arc::new(plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut decisions = Vec::new();
    let mut reader = Reader::new(matchers);
    let recorder = restore::take_up(options, &mut engine, &mut reader, &found, &mut decisions)?;
    engine.protect(ignored, &mut decisions);
    info!(
        "asterguard {} guards with {} jails; {} bans found in force",
        env!("CARGO_PKG_VERSION"),
        plan.config.jails.len() - 1,
        found.len()
    );
    core::note_pause(&paused);

    let worker =
        Worker::start(sink, structure, told(inbox.clone())).context("cannot start a thread")?;
    if let Some(watch) = watch {
        worker.listen(watch).context("cannot start a thread")?;
    }
    let (watch, watched) = mpsc::unbounded_channel();
    let wire_inbox = inbox.clone();
    let wake = move || wire_inbox.send(Message::Wake).is_ok();
    let wire = Wire::start(wire, &plan, wake).context("cannot start a thread")?;
    let core = Core {
        wire,
        engine,
        reader,
        worker,
        lists: Arc::clone(&keeper),
        recorder,
        watch,
        sink: options.sink.name(),
        dry_run: options.sink == SinkKind::DryRun,
        started: Instant::now(),
        clock: WallClock::new(clocks()),
        paused,
        decisions,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let listener = runtime.block_on(async { control::listen(&options.socket) })?;
    let (ready, is_ready) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || core.run(&messages, ready))
        .context("cannot start a thread")?;
    let daemon = Arc::new(Daemon {
        inbox,
        options: options.clone(),
        volume,
        finder,
        kernel: Arc::new(Kernel { lists: keeper, counters: Counters::new(counters) }),
        readable,
        reloading: tokio::sync::Mutex::default(),
    });
    let ended = child.map(processes::until_it_ends).transpose().context("cannot start a thread")?;
    let lost = runtime.block_on(Arc::clone(&daemon).serve(listener, watched, is_ready, ended));

    // Fails only when the thread has ended; then there is nothing to stop.
    let _ = daemon.inbox.send(Message::Stop);
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    match thread.join() {
        Ok((worker, recorder)) => {
            worker.stop(Duration::from_millis(700));
            recorder.stop(Duration::from_millis(700));
        }
        Err(_) => error!("the engine's thread failed"),
    }
    // Best effort: the next start replaces a socket that is left over.
    let _ = std::fs::remove_file(&options.socket);
    if let Some(how) = lost {
        return Err(SinkError::NoWriter(how).into());
    }
    info!("asterguard has stopped; bans stay in force");
    Ok(())
}

/// Tells the engine what the worker has to say.
fn told(engine: Sender<Message>) -> impl Fn(News) {
    move |told| {
        // Fails when the engine has ended; then there is nobody to tell.
        let _ = engine.send(match told {
            News::Lost => Message::Lost,
            News::Paused(paused) => Message::Paused(paused),
        });
    }
}

/// What takes long to ask or to tell the kernel, and is not the engine's.
struct Kernel {
    lists: Arc<ListKeeper>,
    counters: Counters,
}

/// What the runtime's tasks share.
struct Daemon {
    inbox: Sender<Message>,
    options: Options,
    volume: log::Volume,
    finder: Finder,
    kernel: Arc<Kernel>,
    /// What may be read; `None`: everything.
    readable: Option<Vec<PathBuf>>,
    /// One reload at a time: a list that is being filled belongs to one.
    reloading: tokio::sync::Mutex<()>,
}

impl Daemon {
    /// Serves until a signal says stop, or until the writer has ended: then it says how.
    async fn serve(
        self: Arc<Self>,
        listener: tokio::net::UnixListener,
        mut watched: mpsc::UnboundedReceiver<Vec<PathBuf>>,
        is_ready: oneshot::Receiver<()>,
        ended: Option<oneshot::Receiver<String>>,
    ) -> Option<String> {
        let wake = self.inbox.clone();
        let watching = async {
            let mut watcher = Watcher::new();
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    Some(paths) = watched.recv() => {
                        watcher.set(&paths).await;
                        watcher.refresh().await;
                    }
                    _ = seconds.tick() => watcher.refresh().await,
                    problem = watcher.changed() => {
                        if let Err(problem) = problem {
                            warn!("{problem}; changes are found once a second");
                        }
                        if wake.send(Message::Wake).is_err() {
                            return;
                        }
                    }
                }
            }
        };
        let signals = async {
            let (Ok(mut term), Ok(mut int), Ok(mut hup)) = (
                signal(SignalKind::terminate()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::hangup()),
            ) else {
                error!("cannot handle signals");
                return;
            };
            if is_ready.await.is_ok() {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
            loop {
                tokio::select! {
                    _ = term.recv() => return,
                    _ = int.recv() => return,
                    _ = hup.recv() => match self.reload().await {
                        Answer::Failed { message, .. } => error!("{message}"),
                        _ => info!("reloaded"),
                    },
                }
            }
        };
        let lost = async {
            match ended {
                Some(ended) => ended.await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = watching => None,
            () = signals => None,
            () = control::serve(Arc::clone(&self), listener) => None,
            () = self.renewals() => None,
            how = lost => Some(how),
        }
    }

    /// Looks now and then who still knocks, while a jail renews bans.
    async fn renewals(&self) {
        let mut since = now();
        let mut pause = IDLE;
        loop {
            tokio::time::sleep(pause).await;
            let (reply, answer) = oneshot::channel();
            if self.inbox.send(Message::Plan(reply)).is_err() {
                return;
            }
            let Ok(plan) = answer.await else { return };
            let Some(pace) = counters::pace(&plan) else {
                pause = IDLE;
                continue;
            };
            let (began, kernel, looking) = (now(), Arc::clone(&self.kernel), steady());
            let look = move || kernel.counters.knocking(&plan.structure, since);
            let knocking = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            if !knocking.is_empty() && self.inbox.send(Message::Renew(knocking)).is_err() {
                return;
            }
            // However many are banned, it takes no more than a hundredth of the time.
            pause = pace.max(steady().since(looking) * 100);
            since = began;
        }
    }

    /// Reads configuration and rules again and has the engine go by them; the old ones stay where
    /// something is wrong.
    async fn reload(self: &Arc<Self>) -> Answer {
        let _turn = self.reloading.lock().await;
        let daemon = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || daemon.prepare());
        let (plan, matchers) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(RunError::Plan(error))) => return Answer::refused(error.to_string()),
            Ok(Err(error)) => {
                return Answer::failed(format!("the old configuration stays in force: {error}"));
            }
            Err(error) => {
                return Answer::failed(format!("reading the configuration failed: {error}"));
            }
        };
        let loglevel: LogLevel = plan.config.loglevel;
        let wanted = Wanted::by(&plan.config, &plan.lists);
        let plan = Arc::new(plan);
        let (reply, answer) = oneshot::channel();
        if self.inbox.send(Message::Change(Arc::clone(&plan), matchers, reply)).is_err() {
            return Answer::failed("asterguard is stopping");
        }
        match answer.await {
            Ok(Ok(())) => {
                self.volume.set(loglevel);
                self.finder.change(wanted);
                let keeper = Arc::clone(&self.kernel.lists);
                let settle = move || keeper.settle(&plan.structure, Arc::clone(&plan.lists));
                // Fails only if it panics; then old sets stay.
                let _ = tokio::task::spawn_blocking(settle).await;
                Answer::Done { message: "reloaded".to_owned() }
            }
            Ok(Err(error)) => {
                let keeper = Arc::clone(&self.kernel.lists);
                let _ = tokio::task::spawn_blocking(move || keeper.withdraw()).await;
                Answer::failed(format!("the old configuration stays in force: {error}"))
            }
            Err(_) => Answer::failed("asterguard is stopping"),
        }
    }

    /// Reads configuration, rules and lists, and has the kernel hold the lists beside those in force.
    fn prepare(&self) -> Result<(Plan, Matchers), RunError> {
        let plan = plan(self.options.config.as_deref())?;
        let readable = self.readable.as_deref();
        let hidden = readable.and_then(|r| places::out_of_reach(r, &self.options, &plan.config));
        if let Some(path) = hidden {
            let path = path.display();
            return Err(anyhow!("this process may not read {path}, which it did not need when it started; restart asterguard, no line gets lost").into());
        }
        let matchers = reader::compile(&plan).map_err(PlanError::from)?;
        let keeper = &self.kernel.lists;
        let lists =
            crate::lists::read(&plan.config.lists, &keeper.lists()).map_err(PlanError::from)?;
        let sets = keeper.prepare(&lists)?;
        Ok((plan.with_lists(Arc::new(lists), sets), matchers))
    }
}

/// The one place where the time of day is read.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge that all others get it from")]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(since.as_millis().try_into().unwrap_or(i64::MAX))
}

/// How long this process has run, as an instant: a clock that nobody can set.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the edge that all others get it from")]
pub fn steady() -> Time {
    static START: OnceLock<Instant> = OnceLock::new();
    Time::default().plus(START.get_or_init(Instant::now).elapsed())
}

/// The clock on the wall, and the one that nobody can set, read at the same moment.
fn clocks() -> (Time, Duration) {
    let (mut begin, mut wall) = (steady(), now());
    // Whoever was not let run in between reads again; but not for ever.
    for _ in 0..10 {
        let end = steady();
        if end.since(begin) < AT_ONCE {
            break;
        }
        (begin, wall) = (steady(), now());
    }
    (wall, begin.since(Time::default()))
}
