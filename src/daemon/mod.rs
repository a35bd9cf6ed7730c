//! The daemon: an engine thread and a sink thread, a small runtime around them for file
//! notifications, the control socket and signals, and the threads of the [`finder`](crate::hosts::discover).

pub mod engine_thread;
mod firewall_thread;
pub mod fleet_link;
pub mod notify_link;
mod peer_link;
pub(crate) mod requests;
mod startup;
mod tasks;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::control::Problem;
use crate::control::metrics::numbers_socket;
use crate::daemon::engine_thread::{Core, EngineHandle, HealthLog, Message};
use crate::decide::engine::{CountryOf, Engine};
use crate::decide::plan::Plan;
use crate::decide::plan_files::{PlanError, load_plan};
pub use crate::enforce::SinkKind;
use crate::enforce::helper::{Channel, FirewallHelper};
use crate::enforce::{BanSink, ListSink, SinkError};
use crate::feeds::SharedRecords;
use crate::geo::SharedDatabases;
use crate::hosts::discover::dns_helper::Resolver;
use crate::hosts::discover::{Finder, Wanted};
use crate::hosts::exempt::IgnoreList;
use crate::hosts::lists::Lists;
use crate::input::{Remotes, Watcher};
use crate::model::clock_step::WallClock;
use crate::model::event::{Decision, KernelElement};
use crate::model::guard_event::{EventKind, GuardEvent};
use crate::model::orders::Orders;
use crate::model::pause::Pause;
use crate::store;
use crate::sys::clock::{both_clocks, monotonic_now, now};
use crate::sys::memory::OwnMemory;
use crate::sys::peer::{Connect, Peers};
use crate::sys::service_manager::{Notice, ServiceManager};
use crate::table::structure::Structure;
use engine_thread::event_log::EventLog;
use engine_thread::log_reader::{self, Matchers, Reader};
use engine_thread::sip_channel::Wire;
use firewall_thread::counters::{self, Counters};
use firewall_thread::{Worker, WorkerEvent};
use fleet_link::FleetLink;
use notify_link::NotifyLink;
use requests::metrics::Dropped;
pub use requests::server::listen_at;
use requests::{server, top};
use startup::instance_lock::{self, Claim, claim_instance};
use startup::logging;
pub use startup::offline::{LiftedOffline, Offline, OrderError};
use startup::privsep::{self, Dialers, KernelHandles, Parted};
use startup::restore as recovery;
pub use startup::restore::{Restored, restore, stored};
pub use startup::sandbox_paths::needs;
use tasks::geofence;
use tasks::held_bans;
use tasks::list_refresh::ListKeeper;
use tasks::reload;

/// The directory where the daemon keeps what must outlive it.
pub const STATE_DIR: &str = "/var/lib/asterguard";

/// The user that the daemon runs as if nothing else is said.
pub const USER: &str = "asterguard";

/// The pause between two checks whether bans are to be renewed at all.
const IDLE: Duration = Duration::from_secs(1);

/// The time that listing the kernel's bans may take before the guard begins to read. Where there are so many that it takes
/// longer (about 50 000), they are listed beside it: they are in force in any case.
const LISTING: Duration = Duration::from_millis(500);

/// The pieces of these lists, of some 200 bans each, that are waited for in any case: a machine that is busy is no reason.
const PIECES: u32 = 100;

/// The options that a daemon is run with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The main configuration file; `None`: [`MAIN`](crate::config::load::MAIN) if it exists, else the built-in default.
    pub config: Option<PathBuf>,
    /// Directory for the lock (and what else must outlive the daemon).
    pub state_dir: PathBuf,
    /// Control socket.
    pub socket: PathBuf,
    /// The place where bans go.
    pub sink: SinkKind,
    /// The sockets of processes that reach what this one may not. Without one for names, this one looks them up.
    pub peers: Peers,
    /// The user that this process becomes if it was started as root; `None`: [`USER`], if there is one.
    pub user: Option<String>,
    /// The supervisor, which starts it again.
    pub supervisor: Supervisor,
}

/// The supervisor that starts the guard again when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervisor {
    /// Nothing that it knows of.
    Nobody,
    /// Something that waits for it to end, as systemd does.
    Somebody,
}

/// The end of a guard that nothing was wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// It requests a restart.
    RestartRequested,
}

/// The cause that a running guard ends by.
enum Cause {
    Signal,
    /// A reload that takes another process.
    Reload,
    /// The end of the writer, and how that was.
    FirewallHelper(String),
}

impl Cause {
    /// Logs it, and returns how the guard ends.
    fn result(self) -> Result<Ended, RunError> {
        match self {
            Self::FirewallHelper(how) => Err(SinkError::NoHelper(how).into()),
            Self::Signal => {
                info!("asterguard has stopped; bans stay in force");
                Ok(Ended::Stopped)
            }
            Self::Reload => {
                info!("asterguard has stopped to be restarted; bans stay in force");
                Ok(Ended::RestartRequested)
            }
        }
    }
}

/// The reason why a daemon could not start or go on, as far as exit codes tell.
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
    /// It cannot run as the user that it was told to.
    #[error("{0}")]
    User(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Runs until a signal ends it, or a reload that takes another process.
///
/// # Errors
/// When it cannot start. Once it runs, it goes on through everything but the end of its helper process.
#[expect(clippy::disallowed_methods, reason = "an edge: the uptime counts from here")]
pub fn run(options: &Options) -> Result<Ended, RunError> {
    let prepared = prepare(options)?;
    let Prepared { helper, plan, lists, matchers, volume, readable, claim, .. } = prepared;
    let Prepared { manager, control, numbers, memory, places, .. } = prepared;
    let KernelHandles { sink, lists: list_sink, watch, counters, held, passed, wire, dial, child } =
        KernelHandles::open(helper)?;
    let (inbox, messages) = std::sync::mpsc::channel();
    let engine_handle = EngineHandle::new(inbox);
    let Dialers { resolver, sources, notify, fleet } = privsep::dialers(options, dial);
    let orders = stored_orders(options);
    let installed = install(resolver, plan, (lists, orders), sink, list_sink, &engine_handle)?;
    let Installed { plan, structure, sink, keeper, finder, exempt, orders, found, paused } =
        installed;

    let fetched = Arc::new(SharedRecords::default());
    fetched.refresh(&plan.config.lists.feeds);
    let mut engine = Engine::new(Arc::clone(&plan));
    let known = Arc::clone(&places);
    engine.look_countries_up(CountryOf::new(move |host| known.get().country(host)));
    let mut decisions = Vec::new();
    let remotes = Remotes::new(sources, Arc::new(engine_handle.waker()));
    let mut reader = Reader::new(matchers).with_remotes(remotes);
    let known = (found.as_deref(), &orders);
    let (recorder, awaited) =
        recovery::take_up(options, &mut engine, &mut reader, known, &mut decisions)?;
    engine.protect(Arc::new(exempt.and(orders.exempt())), &mut decisions);
    pause_jails(&orders, &plan, &mut engine, &mut decisions);
    let notify = notify.map(|connect| NotifyLink::start(connect, !plan.config.notify.is_empty()));
    let notify = notify.transpose().context("cannot start a thread")?.map(Arc::new);
    let fleet = start_fleet(fleet, options, &plan, &engine_handle)?;
    let mut events = EventLog::new(notify.clone(), Arc::clone(&places));
    let in_force = found.map_or_else(|| engine.bans().len(), |found| found.len());
    tell_start(&mut events, &plan, in_force, paused);
    let is_awaited = awaited.is_some();

    let worker = Worker::start(sink, structure, notifier(engine_handle.clone()))
        .context("cannot start a thread")?;
    if let Some(watch) = watch {
        worker.listen(watch).context("cannot start a thread")?;
    }
    let (watch, watched) = mpsc::unbounded_channel();
    let wire = Wire::start(wire, &plan, &engine_handle).context("cannot start a thread")?;
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
        turn: Instant::now(),
        clock: WallClock::new(both_clocks()),
        paused,
        found: exempt,
        awaited,
        orders,
        decisions,
        events,
        unusable: None,
        manager: Arc::clone(&manager),
        health_log: HealthLog::default(),
        fetched: Arc::clone(&fetched),
        fleet: fleet.clone(),
    };
    let daemon = Arc::new(Daemon {
        engine: engine_handle,
        options: options.clone(),
        volume,
        finder,
        notify,
        fleet,
        places,
        fetched,
        kernel: Arc::new(Kernel {
            lists: keeper,
            counters: Counters::new(counters),
            dropped: Dropped::default(),
            memory,
        }),
        passed: passed.map(Mutex::new).map(Arc::new),
        readable,
        manager,
        listing: tokio::sync::Semaphore::new(server::LISTINGS),
        reloads: reload::Reloads::default(),
        leaving: tokio::sync::Notify::new(),
        lookout: top::Lookout::default(),
    });
    if let Some(held) = held.filter(|_| is_awaited) {
        held_bans::start(held, plan, daemon.engine.clone()).context("cannot start a thread")?;
    }
    let ended = child.map(privsep::until_it_ends).transpose().context("cannot start a thread")?;
    serve_until_end(
        &daemon,
        core,
        messages,
        (control, numbers),
        claim.name.as_ref(),
        watched,
        ended,
    )
}

/// Pauses the jails that were paused before the start.
fn pause_jails(orders: &Orders, plan: &Plan, engine: &mut Engine, out: &mut Vec<Decision>) {
    for jail in orders.pauses.iter().filter_map(|pause| pause.jail.as_deref()) {
        if let Some(id) = plan.jail_named(jail) {
            engine.pause_jail(id, true, out);
        }
    }
}

/// Starts the way to the fleet. What a dry run only says is shared with nobody.
fn start_fleet(
    connect: Option<Connect>,
    options: &Options,
    plan: &Plan,
    engine: &EngineHandle,
) -> Result<Option<Arc<FleetLink>>, RunError> {
    let connect = connect.filter(|_| options.sink != SinkKind::DryRun);
    let wanted = plan.config.fleet.is_some();
    let link = connect.map(|connect| FleetLink::start(connect, wanted, engine.waker()));
    Ok(link.transpose().context("cannot start a thread")?.map(Arc::new))
}

/// Tells that the guard begins, with so many bans found in force, and whether they are paused.
fn tell_start(events: &mut EventLog, plan: &Plan, found: usize, paused: Pause) {
    let begins = format!(
        "asterguard {} guards with {} jails; {found} bans found in force",
        env!("CARGO_PKG_VERSION"),
        plan.jails().filter(|(_, jail)| !jail.is_without_section()).count(),
    );
    events.tell(GuardEvent::new(now(), EventKind::Start, begins));
    engine_thread::note_pause(paused);
    if paused.is_on() {
        let event = GuardEvent::new(now(), EventKind::Order, format!("at the start, {paused}"));
        events.tell_others(event.leaving(paused));
    }
}

/// The things that are ready before the kernel is touched.
struct Prepared {
    helper: Option<FirewallHelper>,
    plan: Plan,
    lists: Arc<Lists>,
    matchers: Matchers,
    volume: logging::Volume,
    /// The paths that may be read from now on; `None`: everything.
    readable: Option<Vec<PathBuf>>,
    claim: Claim,
    manager: Arc<ServiceManager>,
    /// The control socket, which nobody listens to yet.
    control: OwnedFd,
    /// The same, for metrics.
    numbers: Option<OwnedFd>,
    memory: OwnMemory,
    places: Arc<SharedDatabases>,
}

/// Separates the processes, reads configuration and lists, makes sure that this is the only guard, and gives
/// up what is not needed.
fn prepare(options: &Options) -> Result<Prepared, RunError> {
    let manager = Arc::new(ServiceManager::find());
    let Parted { helper, incomplete, notes } = privsep::part(options)?;
    let plan = load_plan(options.config.as_deref())?;
    let volume = logging::start(plan.config.loglevel);
    let claim = claim_instance(&options.state_dir, options.sink != SinkKind::DryRun)?;
    let control = server::make_room(&options.socket)?;
    let numbers = server::make_numbers(&numbers_socket(&options.socket));
    let memory = OwnMemory::open();
    for note in notes {
        warn!("{note}");
    }
    let readable = privsep::confine(options, &plan.config, incomplete);
    let lists = crate::hosts::lists::load(&plan.config.lists, &Lists::default());
    let places = Arc::new(SharedDatabases::default());
    let lists = lists.map_err(PlanError::from)?;
    let lists = Arc::new(geofence::fenced(lists, &plan.config, &places, &Lists::default()));
    let matchers = log_reader::compile(&plan).map_err(PlanError::from)?;
    Ok(Prepared {
        helper,
        plan,
        lists,
        matchers,
        volume,
        readable,
        claim,
        manager,
        control,
        numbers,
        memory,
        places,
    })
}

/// The table as it was loaded, and what it held.
struct Installed {
    plan: Arc<Plan>,
    structure: Structure,
    sink: Box<dyn BanSink + Send>,
    keeper: Arc<ListKeeper>,
    finder: Finder,
    exempt: Arc<IgnoreList>,
    orders: Orders,
    /// The bans that the table held; `None`: too many to be listed now.
    found: Option<Vec<KernelElement>>,
    paused: Pause,
}

/// Returns what was ordered before and is still in force. A dry run knows nothing of what another guard was told.
fn stored_orders(options: &Options) -> Orders {
    let is_real = options.sink != SinkKind::DryRun;
    let mut orders = if is_real { store::orders(&options.state_dir) } else { Orders::default() };
    orders.expire(now());
    orders
}

/// Finds out which hosts are never banned, loads the table, and reads what it holds.
fn install(
    resolver: Resolver,
    plan: Plan,
    (lists, orders): (Arc<Lists>, Orders),
    mut sink: Box<dyn BanSink + Send>,
    list_sink: ListSink,
    engine: &EngineHandle,
) -> Result<Installed, RunError> {
    let wanted = Wanted::by(&plan.config, &lists);
    let engine = engine.clone();
    let (finder, exempt) =
        Finder::start(wanted, resolver, move |list| engine.send(Message::Ignore(list)).is_ok())
            .context("cannot start a thread")?;
    // Filled before the rules refer to them: after a restart, no blocked host is let in for a moment.
    let keeper = Arc::new(ListKeeper::new(list_sink));
    let sets = keeper.prepare(&lists)?;
    let plan = plan.with_lists(Arc::clone(&lists), sets);
    let allow = plan.allowed(&exempt.and(orders.exempt()));
    let structure = Structure { allow, ..plan.structure.clone() };
    sink.load(&structure)?;
    keeper.settle(&structure, lists);
    let found = sink.adopt_within(now(), LISTING, PIECES)?;
    let paused = sink.paused(now())?;
    let plan = Arc::new(plan);
    Ok(Installed { plan, structure, sink, keeper, finder, exempt, orders, found, paused })
}

/// Starts the engine's thread, serves until there is a cause to end, and ends all threads.
fn serve_until_end(
    daemon: &Arc<Daemon>,
    core: Core,
    messages: Receiver<Message>,
    (control, numbers): (OwnedFd, Option<OwnedFd>),
    name: Option<&UnixListener>,
    watched: mpsc::UnboundedReceiver<Vec<PathBuf>>,
    ended: Option<oneshot::Receiver<String>>,
) -> Result<Ended, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let socket = &daemon.options.socket;
    let listener = runtime.block_on(async { server::listen(control, socket) })?;
    let numbers = runtime.block_on(async { numbers.map(server::listen_for_numbers).transpose() });
    let numbers = numbers.context("cannot listen on the socket for metrics")?;
    let (ready, is_ready) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || core.run(&messages, ready))
        .context("cannot start a thread")?;
    let serving = Arc::clone(daemon).serve((listener, numbers), name, watched, is_ready, ended);
    let cause = runtime.block_on(serving);

    // Fails only when the thread has ended; then there is nothing to stop.
    let _ = daemon.engine.send(Message::Stop);
    daemon.manager.tell(Notice::Stopping);
    match thread.join() {
        Ok((worker, recorder)) => {
            worker.stop(Duration::from_millis(700));
            recorder.stop(Duration::from_millis(700));
        }
        Err(_) => error!("the engine's thread failed"),
    }
    if let Some(fleet) = &daemon.fleet {
        fleet.stop();
    }
    if let Some(notify) = &daemon.notify {
        notify.stop(Duration::from_millis(700));
    }
    // Best effort: the next start replaces a socket that is left over.
    let _ = std::fs::remove_file(socket);
    let _ = std::fs::remove_file(numbers_socket(socket));
    cause.result()
}

/// Passes on to the engine what the worker has to say.
fn notifier(engine: EngineHandle) -> impl Fn(WorkerEvent) {
    move |event| {
        // Fails when the engine has ended; then nobody has to know.
        let _ = engine.send(match event {
            WorkerEvent::Lost => Message::Lost,
            WorkerEvent::Healed(how) => Message::Healed(how),
            WorkerEvent::Paused(paused) => Message::Paused(paused),
        });
    }
}

/// The handles for what takes long to ask or to tell the kernel, and is not the engine's.
pub(crate) struct Kernel {
    lists: Arc<ListKeeper>,
    counters: Counters,
    /// What was dropped so far, for metrics.
    dropped: Dropped,
    memory: OwnMemory,
}

/// The data that the runtime's tasks share.
pub(crate) struct Daemon {
    engine: EngineHandle,
    options: Options,
    volume: logging::Volume,
    finder: Finder,
    /// The way to the process that tells people; `None` if it was started without one.
    notify: Option<Arc<NotifyLink>>,
    /// The way to the fleet; `None` if it was started without one.
    fleet: Option<Arc<FleetLink>>,
    /// What is known of where hosts are.
    places: Arc<SharedDatabases>,
    /// What is known of the feeds that are fetched.
    fetched: Arc<SharedRecords>,
    kernel: Arc<Kernel>,
    /// The channel by which is looked what comes through from banned hosts; `None` in a dry run.
    passed: Option<Arc<Mutex<Channel>>>,
    /// The paths that may be read; `None`: everything.
    readable: Option<Vec<PathBuf>>,
    manager: Arc<ServiceManager>,
    /// Turns for those who are told long lists.
    listing: tokio::sync::Semaphore,
    reloads: reload::Reloads,
    /// The signal that is given when a reload takes another process.
    leaving: tokio::sync::Notify,
    /// What is kept for those who look on.
    lookout: top::Lookout,
}

impl Daemon {
    /// Returns what the engine goes by.
    async fn plan(&self) -> Result<Arc<Plan>, Problem> {
        self.engine.ask(|core| Arc::clone(core.engine.plan())).await
    }

    /// Runs `work` on a thread where it may wait for the kernel, and keeps nobody else waiting.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Kernel) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let kernel = Arc::clone(&self.kernel);
        let done = tokio::task::spawn_blocking(move || work(&kernel)).await;
        done.map_err(|error| Problem::failed(format!("answering failed: {error}")))
    }

    /// Serves until there is a cause to end.
    async fn serve(
        self: Arc<Self>,
        (listener, numbers): (tokio::net::UnixListener, Option<tokio::net::UnixListener>),
        name: Option<&UnixListener>,
        mut watched: mpsc::UnboundedReceiver<Vec<PathBuf>>,
        is_ready: oneshot::Receiver<()>,
        ended: Option<oneshot::Receiver<String>>,
    ) -> Cause {
        let wake = self.engine.clone();
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
                self.manager.tell(Notice::Ready);
            }
            loop {
                tokio::select! {
                    _ = term.recv() => return,
                    _ = int.recv() => return,
                    // Besides the other signals; what became of it is in the log.
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
            () = server::serve_numbers(Arc::clone(&self), numbers) => Cause::Signal,
            () = self.renewals() => Cause::Signal,
            () = self.watch_passed() => Cause::Signal,
            () = self.follow_asterisk() => Cause::Signal,
            () = self.watch_configuration() => Cause::Signal,
            () = self.watch_places() => Cause::Signal,
            () = self.watch_feeds() => Cause::Signal,
            () = self.admit_known() => Cause::Signal,
            () = instance_lock::turn_away(name) => Cause::Signal,
            how = lost => Cause::FirewallHelper(how),
        }
    }

    /// Checks now and then which hosts are still sending, while a jail renews bans.
    async fn renewals(&self) {
        let mut since = now();
        let (mut pause, mut before) = (IDLE, Duration::ZERO);
        loop {
            tokio::time::sleep(pause).await;
            let Ok(plan) = self.plan().await else { return };
            let Some(pace) = counters::pace(&plan) else {
                pause = IDLE;
                continue;
            };
            let (began, kernel, looking) = (now(), Arc::clone(&self.kernel), monotonic_now());
            let look = move || kernel.counters.still_sending(&plan.structure, since);
            let sending = tokio::task::spawn_blocking(look).await.unwrap_or_default();
            if !sending.is_empty()
                && self.engine.ask(move |core| core.renew(&sending)).await.is_err()
            {
                return;
            }
            // However many are banned, it takes no more than a hundredth of the time. What makes a
            // single look slow is something else.
            let took = monotonic_now().since(looking);
            pause = pace.max(took.min(before) * 100);
            before = took;
            since = began;
        }
    }
}
