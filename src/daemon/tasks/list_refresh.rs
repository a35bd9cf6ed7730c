//! Keeps the lists in the kernel: fills sets before anybody needs them, and again when they are lost.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::enforce::ListSink;
use crate::enforce::SinkError;
use crate::hosts::lists::Lists;
use crate::model::time::Time;
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::table::list_sets::{Contents, ListSet};
use crate::table::structure::Structure;

/// The pause after a failure to fill the sets.
const RETRY: Duration = Duration::from_secs(2);

/// The lists in force. Whoever calls its methods waits for the kernel, except for
/// [`ListKeeper::refill`].
pub struct ListKeeper {
    state: Mutex<State>,
    /// Whether somebody is about to fill all sets.
    refilling: AtomicBool,
}

struct State {
    sink: ListSink,
    lists: Arc<Lists>,
    /// The sets in force.
    sets: Vec<ListSet>,
    /// Whether there is a geofence.
    is_fenced: bool,
    /// The hosts that it lets through, and until when.
    known: Vec<(IpAddr, Time)>,
}

impl State {
    /// Tells the kernel whom the geofence lets through; with `ready`, that its sets are filled.
    fn admit(&mut self, ready: bool) -> Result<(), SinkError> {
        let now = now();
        let left: Vec<_> =
            self.known.iter().map(|(host, until)| (*host, until.since(now))).collect();
        self.sink.admit(&left, ready)
    }
}

impl ListKeeper {
    /// Returns a keeper that has no lists yet; they will go to `sink`.
    pub fn new(sink: ListSink) -> Self {
        let state = State {
            sink,
            lists: Arc::default(),
            sets: Vec::new(),
            is_fenced: false,
            known: Vec::new(),
        };
        Self { state: Mutex::new(state), refilling: AtomicBool::new(false) }
    }

    /// Returns the lists in force.
    pub fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.state().lists)
    }

    /// Fills the sets for `lists` next to those in force, and says which to load a structure with.
    ///
    /// # Errors
    /// When the kernel does not take them.
    pub fn prepare(&self, lists: &Lists) -> Result<Vec<ListSet>, SinkError> {
        let contents = Contents::new(lists);
        let sets = contents.sets();
        let mut state = self.state();
        let new = contents.beside(&state.sets);
        state.sink.fill(&new)?;
        Ok(sets)
    }

    /// Records that a structure is loaded, for these lists.
    pub fn settle(&self, structure: &Structure, lists: Arc<Lists>) {
        let mut state = self.state();
        if state.lists != lists {
            let (blocked, fed) = (lists.block.len(), lists.fed().len());
            info!("lists: {blocked} to block, {fed} from feeds, {} to allow", lists.allow.len());
            if let Some(fence) = &lists.geofence {
                let networks = fence.networks.len();
                info!("countries: {}, {networks} networks", fence.countries.text());
            }
            for problem in lists.problems() {
                warn!("{problem}");
            }
        }
        state.sets.clone_from(&structure.lists);
        state.lists = lists;
        let was_fenced = state.is_fenced;
        state.is_fenced = structure.geofence.is_some();
        if state.is_fenced && !was_fenced {
            if let Err(error) = state.admit(true) {
                error!("the geofence is not in force: {error}");
            }
        }
        if let Err(error) = state.sink.sweep(&structure.lists) {
            warn!("lists that are not needed any more stay in the kernel: {error}");
        }
    }

    /// Records that what was prepared is not needed.
    pub fn withdraw(&self) {
        let mut state = self.state();
        let State { sink, sets, .. } = &mut *state;
        // What stays is swept away with the next change.
        let _ = sink.sweep(sets);
    }

    /// Fills the sets in force again, after the table was lost. Nobody waits for it.
    pub fn refill(self: &Arc<Self>) {
        let idle = self.state.try_lock().is_ok_and(|state| state.sets.is_empty());
        if idle || self.refilling.swap(true, Ordering::AcqRel) {
            return;
        }
        let keeper = Arc::clone(self);
        let filling = thread::Builder::new().name("lists".into()).spawn(move || {
            // From here on, a loss is a new one.
            while let Err(error) = keeper.fill_all() {
                error!("the lists are not in the kernel: {error}");
                thread::sleep(RETRY);
            }
        });
        if let Err(error) = filling {
            self.refilling.store(false, Ordering::Release);
            error!("the lists are not in the kernel: {error}");
        }
    }

    fn fill_all(&self) -> Result<(), SinkError> {
        let mut state = self.state();
        self.refilling.store(false, Ordering::Release);
        let contents = Contents::new(&state.lists);
        state.sink.fill(&contents)?;
        if state.is_fenced {
            state.admit(true)?;
        }
        info!("lists: {} networks are in the kernel again", contents.len());
        Ok(())
    }

    /// Makes the geofence let these hosts through until then.
    ///
    /// # Errors
    /// When the kernel does not take them. They are tried again with the next ones, and when all is filled again.
    pub fn admit(&self, known: Vec<(IpAddr, Time)>) -> Result<(), SinkError> {
        let mut state = self.state();
        state.known = known;
        if state.is_fenced { state.admit(false) } else { Ok(()) }
    }

    /// Returns the sets in force.
    pub fn sets(&self) -> Vec<ListSet> {
        self.state().sets.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
