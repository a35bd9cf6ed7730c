//! The daemon: an engine thread and a sink thread, a small runtime around them for file
//! notifications, the control socket and signals, and the threads of the [`finder`](crate::hosts::discover).

pub mod engine_thread;
mod firewall_thread;
pub(crate) mod requests;
mod startup;
mod tasks;

use std::fs::File;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::config::load::LoadError;
use crate::daemon::engine_thread::{Core, Message};
use crate::decide::engine::Engine;
use crate::decide::plan::Plan;
use crate::detect::prefilter::GateError;
use crate::enforce::SinkError;
pub use crate::enforce::SinkKind;
use crate::hosts::discover::dns_helper::Resolver;
use crate::hosts::discover::{Finder, Wanted};
use crate::hosts::lists::{Lists, ListsError};
use crate::input::Watcher;
use crate::model::clock_step::WallClock;
use crate::model::time::Time;
use crate::rules::{RuleSet, RulesError};
use crate::table::structure::Structure;
use engine_thread::log_reader::{self, Reader};
use engine_thread::sip_channel::Wire;
use firewall_thread::counters::{self, Counters};
use firewall_thread::{News, Worker};
use requests::server;
pub use requests::server::pause_message;
use startup::instance_lock;
use startup::logging;
use startup::privsep::{self, Ways};
use startup::restore as recovery;
pub use startup::restore::{Restored, restore, stored};
use tasks::list_refresh::ListKeeper;
use tasks::reload;

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
    /// Who starts it again.
    pub supervisor: Supervisor,
}

/// Who starts the guard again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// Nobody that it knows of.
    Nobody,
    /// Something that waits for it to end, as systemd does.
    Somebody,
}

/// How a guard ended that nothing was wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// It wants to be started again.
    WantsStart,
}

/// What a running guard ends by.
enum Cause {
    Signal,
    /// A reload that takes another process.
    Reload,
    /// The end of the writer, and how that was.
    Writer(String),
}

impl Cause {
    /// What is said of it, and how the guard ends.
    fn result(self) -> Result<Ended, RunError> {
        match self {
            Self::Writer(how) => Err(SinkError::NoHelper(how).into()),
            Self::Signal => {
                info!("asterguard has stopped; bans stay in force");
                Ok(Ended::Stopped)
            }
            Self::Reload => {
                info!("asterguard has stopped to be started again; bans stay in force");
                Ok(Ended::WantsStart)
            }
        }
    }
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
    /// Another one is in charge of the kernel's table, with files of its own.
    #[error(
        "another asterguard (pid {pid}) guards this machine, or this network namespace: two would undo each other's \
         rules; stop that one first (systemctl stop asterguard), or have this one change nothing: asterguard run --dry-run"
    )]
    Guarded { pid: String },
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

/// Runs until a signal ends it, or a reload that takes another process.
///
/// # Errors
/// When it cannot start. Once it runs, it goes on through everything but the end of its writer.
#[expect(clippy::disallowed_methods, reason = "an edge: the uptime counts from here")]
pub fn run(options: &Options) -> Result<Ended, RunError> {
    let (writer, gave_up) = privsep::part(options.sink)?;
    let plan = plan(options.config.as_deref())?;
    let volume = logging::start(plan.config.loglevel);
    let (_lock, name) = alone(options)?;
    server::make_room(&options.socket)?;
    let readable = privsep::confine(options, &plan.config, gave_up);
    let lists = crate::hosts::lists::read(&plan.config.lists, &Lists::default());
    let lists = lists.map(Arc::new).map_err(PlanError::from)?;
    let matchers = log_reader::compile(&plan).map_err(PlanError::from)?;

    let Ways { mut sink, lists: list_sink, watch, counters, wire, child } = Ways::open(writer)?;
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
    let allow = engine_thread::allowed(&plan, &ignored);
    let structure = Structure { allow, ..plan.structure.clone() };
    sink.load(&structure)?;
    keeper.settle(&structure, lists);
    let found = sink.adopt(now())?;
    let paused = sink.paused(now())?;
    let plan = Arc::new(plan);
    let mut engine = Engine::new(Arc::clone(&plan));
    let mut decisions = Vec::new();
    let mut reader = Reader::new(matchers);
    let recorder = recovery::take_up(options, &mut engine, &mut reader, &found, &mut decisions)?;
    engine.protect(ignored, &mut decisions);
    info!(
        "asterguard {} guards with {} jails; {} bans found in force",
        env!("CARGO_PKG_VERSION"),
        plan.config.jails.len() - 1,
        found.len()
    );
    engine_thread::note_pause(&paused);

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
    let listener = runtime.block_on(async { server::listen(&options.socket) })?;
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
        listing: tokio::sync::Semaphore::new(server::LISTINGS),
        reloads: reload::Reloads::default(),
        leaving: tokio::sync::Notify::new(),
    });
    let ended = child.map(privsep::until_it_ends).transpose().context("cannot start a thread")?;
    let serving = Arc::clone(&daemon).serve(listener, name.as_ref(), watched, is_ready, ended);
    let cause = runtime.block_on(serving);

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
    cause.result()
}

/// Sees to it that this is the only daemon with its state, and the only guard of the kernel's table if it is one.
fn alone(options: &Options) -> Result<(Option<File>, Option<UnixListener>), RunError> {
    let lock = server::lock(&options.state_dir)?;
    let guards = options.sink != SinkKind::DryRun;
    Ok((lock, if guards { instance_lock::take(&options.state_dir)? } else { None }))
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
pub(crate) struct Kernel {
    lists: Arc<ListKeeper>,
    counters: Counters,
}

/// What the runtime's tasks share.
pub(crate) struct Daemon {
    inbox: Sender<Message>,
    options: Options,
    volume: logging::Volume,
    finder: Finder,
    kernel: Arc<Kernel>,
    /// What may be read; `None`: everything.
    readable: Option<Vec<PathBuf>>,
    /// Turns for those who are told long lists.
    listing: tokio::sync::Semaphore,
    reloads: reload::Reloads,
    /// Told when a reload takes another process.
    leaving: tokio::sync::Notify,
}

impl Daemon {
    /// Serves until there is a cause to end.
    async fn serve(
        self: Arc<Self>,
        listener: tokio::net::UnixListener,
        name: Option<&UnixListener>,
        mut watched: mpsc::UnboundedReceiver<Vec<PathBuf>>,
        is_ready: oneshot::Receiver<()>,
        ended: Option<oneshot::Receiver<String>>,
    ) -> Cause {
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
                    // Beside the other signals; what became of it is in the log.
                    _ = hup.recv() => {
                        let daemon = Arc::clone(&self);
                        tokio::spawn(async move { daemon.reload().await });
                    }
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
            () = watching => Cause::Signal,
            () = signals => Cause::Signal,
            () = server::serve(Arc::clone(&self), listener) => Cause::Reload,
            () = self.renewals() => Cause::Signal,
            () = instance_lock::turn_away(name) => Cause::Signal,
            how = lost => Cause::Writer(how),
        }
    }

    /// Looks now and then who still knocks, while a jail renews bans.
    async fn renewals(&self) {
        let mut since = now();
        let (mut pause, mut before) = (IDLE, Duration::ZERO);
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
            // However many are banned, it takes no more than a hundredth of the time. What makes a
            // single look slow is something else.
            let took = steady().since(looking);
            pause = pace.max(took.min(before) * 100);
            before = took;
            since = began;
        }
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
