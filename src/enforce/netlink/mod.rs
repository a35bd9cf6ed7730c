//! The kernel's sets, by netlink: microseconds a ban, and no program is run. Table, sets and chains
//! are declared by `nft`, which checks them better than anybody; what others take away of them is put
//! back by netlink, as the kernel itself described it.

mod bulk;
mod counters;
mod held;
mod interval;
mod message;
mod migrate;
mod monitor;
mod notification;
mod rebuild;
mod reply;
mod snapshot;
mod socket;
mod table;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;

use super::set_element::{self, Order};
use super::{BanSink, Comparison, Drift, Report, SinkError, WireRules};
use crate::model::event::KernelElement;
use crate::model::event::{self, Change, ScopeId};
use crate::model::pause::Pause;
use crate::model::time::Time;
use crate::sys::clock::monotonic_now;
use crate::sys::program::Program;
use crate::table::first_load::first_load;
use crate::table::sip_rules;
use crate::table::structure::{ALLOWED, PAUSED, Structure};
pub use bulk::ListSocket;
pub use counters::CounterSocket;
use message::{Element, Key, Transaction};
pub use monitor::Monitor;
use monitor::Subscription;
use snapshot::Snapshot;
use socket::{Refusal, Socket};

/// The most changes in one transaction: a megabyte and a half of messages.
const BATCH_MAX: usize = 5_000;

/// The number of times that a transaction is tried again without what was refused. Each round shows all
/// that the kernel does not want, except in a full set, where what is left out makes no room either.
const ROUNDS: usize = 8;

/// Longer than any ban, and shorter than what the kernel takes: a hundred years.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_155_760_000);

/// The protocol families, as `nf_proto` sets hold them.
const FAMILIES: [u8; 2] = [2, 10];

/// The kernel's sets.
#[derive(Debug)]
pub struct NetlinkSink {
    nft: Program,
    socket: Socket,
    structure: Option<Structure>,
    /// The table as the kernel described it when it was loaded.
    ours: Option<Snapshot>,
    /// The part of the wire that it contains, if any.
    wire: Option<WireRules>,
    /// Of the [`Monitor`] that listens, if one does.
    subscription: Option<Subscription>,
}

impl NetlinkSink {
    /// Returns a sink that has to be [loaded](BanSink::load), by this `nft`, before it takes changes. It
    /// works in the network namespace of the thread that calls this; `nft` has to do so too.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn new(nft: Program) -> Result<Self, SinkError> {
        Ok(Self {
            nft,
            socket: Socket::open().map_err(failed)?,
            structure: None,
            ours: None,
            wire: None,
            subscription: None,
        })
    }

    /// Returns a sink for a kernel that has `structure` loaded already.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn attached(nft: Program, structure: Structure) -> Result<Self, SinkError> {
        Ok(Self { structure: Some(structure), ..Self::new(nft)? })
    }

    /// Has `nft` declare what `text` says, whatever of it is there.
    fn declare(&mut self, text: &str) -> Result<(), SinkError> {
        if self.is_absent() {
            match self.load_text(&first_load(text)) {
                // Somebody has made the table just now, or the reason will be told with its place in `text`.
                Err(SinkError::Refused(_)) => {}
                done => return done,
            }
        }
        self.load_text(text)
    }

    /// Has `nft` load a text.
    fn load_text(&self, text: &str) -> Result<(), SinkError> {
        Ok(self.nft.run(&["-f", "-"], text.as_bytes()).map(drop)?)
    }

    /// Carries out one transaction of `orders`, and what is left of it as often as some of them
    /// are refused. What was refused goes to `report`.
    fn carry_out(&mut self, mut orders: Vec<Order>, report: &mut Report) -> Result<(), SinkError> {
        for _ in 0..ROUNDS {
            if orders.is_empty() {
                return Ok(());
            }
            let mut transaction = self.socket.transaction();
            let begins: Vec<u32> =
                orders.iter().map(|order| write(&mut transaction, order)).collect();
            let refusals = self.socket.carry_out(transaction)?;
            let Some(first) = refusals.first() else {
                report.done += orders.len();
                return Ok(());
            };
            // The transaction as a whole, if it is none of its orders.
            if begins.first().is_none_or(|begin| first.number < *begin) {
                return Err(whole(first.errno));
            }
            let mut refused = first_refusals(&refusals, &begins);
            if refused.values().any(|(_, errno)| matches!(*errno, Errno::NOENT | Errno::PERM)) {
                return Err(whole(first.errno));
            }
            let mut place = 0;
            orders.retain(|order| {
                let refusal = refused.remove(&place);
                place += 1;
                match refusal {
                    // Adding it, which is how a removal starts, needed room: it was not there.
                    Some((_, Errno::NFILE)) if order.put.is_none() => report.done += 1,
                    // Something that overlaps it is there instead.
                    Some((Step::First, Errno::EXIST | Errno::NOTEMPTY)) if order.put.is_none() => {
                        report.done += 1;
                    }
                    // It is there, and only those that are refused before it take its room.
                    Some((Step::Later, Errno::NFILE)) => return true,
                    Some((_, errno)) => report.refused.push((order.change, explained(errno))),
                    None => {}
                }
                refusal.is_none()
            });
        }
        let words = "the kernel refuses it together with others";
        report.refused.extend(orders.iter().map(|order| (order.change, words.to_owned())));
        Ok(())
    }
}

impl BanSink for NetlinkSink {
    fn load(&mut self, structure: &Structure) -> Result<(), SinkError> {
        let text = structure.ruleset();
        match self.declare(&text) {
            // A set is there, but of another kind, or rules that are not ours hold on to it.
            Err(SinkError::Refused(words)) => {
                let text = self.over_another(structure, &text)?;
                self.load_text(&text).map_err(|_| SinkError::Refused(words))?;
            }
            done => done?,
        }
        self.structure = Some(structure.clone());
        self.wire = None;
        self.remember(structure)
    }

    fn load_rekeyed(
        &mut self,
        structure: &Structure,
        scopes: &[ScopeId],
        elements: &[event::Element],
        now: Time,
    ) -> Result<(), SinkError> {
        let text = structure.ruleset() + &set_element::refill(structure, scopes, elements, now);
        self.load_text(&text)?;
        self.structure = Some(structure.clone());
        self.wire = None;
        self.remember(structure)
    }

    fn load_wire(&mut self, structure: &Structure) -> Result<WireRules, SinkError> {
        if let Some(loaded) = &self.wire {
            return Ok(loaded.clone()); // it was put back together with the rest
        }
        let whole = structure.wire_ruleset();
        let loaded = match self.load_text(&whole) {
            Ok(()) => WireRules::Whole,
            Err(SinkError::Refused(why)) if structure.wire.enabled => {
                // Where this fails too, the reason is another one.
                let text = sip_rules::datagrams_only(&whole);
                self.load_text(&text).map_err(|_| SinkError::Refused(why.clone()))?;
                WireRules::DatagramsOnly(why)
            }
            Err(error) => return Err(error),
        };
        // From here on, it is missed when it is gone.
        self.wire = Some(loaded.clone());
        self.remember(structure)?;
        Ok(loaded)
    }

    fn allow(&mut self, nets: &[IpNet]) -> Result<(), SinkError> {
        let structure = self.structure.as_mut().ok_or(SinkError::NoTable)?;
        structure.allow = nets.to_vec();
        let mut transaction = self.socket.transaction();
        for (set, ipv6) in ALLOWED {
            transaction.flush(set);
            transaction.add_many(set, &interval::intervals(nets, ipv6));
        }
        all_or_error(&self.socket.carry_out(transaction)?)?;
        self.remember_content()
    }

    fn adopt(&mut self, now: Time) -> Result<Vec<KernelElement>, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        held::elements(&mut self.socket, structure, now)
    }

    fn adopt_within(
        &mut self,
        now: Time,
        limit: Duration,
        pieces: u32,
    ) -> Result<Option<Vec<KernelElement>>, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        // One of its own: a list that is given up keeps its socket from asking for anything else.
        let mut socket = Socket::open().map_err(failed)?;
        socket.give_up(monotonic_now().plus(limit), pieces);
        match held::elements(&mut socket, structure, now) {
            Err(SinkError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            found => found.map(Some),
        }
    }

    fn apply(&mut self, changes: &[Change], now: Time) -> Result<Report, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let (orders, misfits) = set_element::orders(changes, structure, now);
        let mut report = Report::default();
        self.carry_out_all(orders, &mut report)?;
        report.refused.extend(misfits);
        Ok(report)
    }

    fn inspect(&mut self) -> Result<Vec<Drift>, SinkError> {
        self.drift()
    }

    fn repair(&mut self, structure: &Structure) -> Result<(), SinkError> {
        if self.structure.as_ref() == Some(structure) && self.put_back()? {
            return Ok(());
        }
        self.load(structure)
    }

    fn restore(&mut self, wanted: &[event::Element], now: Time) -> Result<Report, SinkError> {
        let found = self.compare(wanted, now)?;
        self.put(&found, now)
    }

    fn compare(&mut self, wanted: &[event::Element], now: Time) -> Result<Comparison, SinkError> {
        Ok(Comparison::new(&self.adopt(now)?, wanted))
    }

    fn fill_in(&mut self, found: &Comparison, now: Time) -> Result<Report, SinkError> {
        self.put(found, now)
    }

    fn pause(&mut self, span: Option<Duration>) -> Result<(), SinkError> {
        let timeout = span.map(|span| span.min(TIMEOUT_MAX));
        let mut transaction = self.socket.transaction();
        // Emptied first: not every kernel gives an element that is there a new timeout.
        transaction.flush(PAUSED);
        for family in FAMILIES {
            let key = Key::Family(family);
            transaction.add(PAUSED, &Element { key, timeout, comment: None });
        }
        all_or_error(&self.socket.carry_out(transaction)?)
    }

    fn resume(&mut self) -> Result<(), SinkError> {
        let mut transaction = self.socket.transaction();
        transaction.flush(PAUSED);
        all_or_error(&self.socket.carry_out(transaction)?)
    }

    fn paused(&mut self, now: Time) -> Result<Pause, SinkError> {
        held::pause(&mut self.socket, now)
    }
}

/// Adds, so that there is something to delete, deletes, and adds what is to stay: this works
/// whether the key was there or not, and on kernels that do not give an element a new timeout or
/// comment when it is added again. The number of the first message.
fn write(transaction: &mut Transaction, order: &Order) -> u32 {
    let key = Key::from(order.key);
    // An element that is to be removed must not stay if anything goes wrong.
    let moment = Element { key, timeout: Some(Duration::from_secs(1)), comment: None };
    let element = table::element(order).unwrap_or(moment);
    let first = transaction.add(&order.set, &element);
    transaction.delete(&order.set, key);
    if order.put.is_some() {
        transaction.add(&order.set, &element);
    }
    first
}

/// The message of an order that the kernel refuses.
enum Step {
    First,
    Later,
}

/// For each order that the kernel refuses (by its place), at which step, and why: the first of its
/// messages tells, those after it fail because of it.
fn first_refusals(refusals: &[Refusal], begins: &[u32]) -> HashMap<usize, (Step, Errno)> {
    let mut first = HashMap::new();
    for refusal in refusals {
        let place = begins.partition_point(|begin| *begin <= refusal.number).saturating_sub(1);
        let is_first = begins.get(place) == Some(&refusal.number);
        let step = if is_first { Step::First } else { Step::Later };
        first.entry(place).or_insert((step, refusal.errno));
    }
    first
}

fn all_or_error(refusals: &[Refusal]) -> Result<(), SinkError> {
    refusals.first().map_or(Ok(()), |refusal| Err(whole(refusal.errno)))
}

/// Returns the error that it means when a whole transaction, or a list, is refused.
fn whole(errno: Errno) -> SinkError {
    match errno {
        Errno::NOENT => SinkError::NoTable,
        Errno::PERM | Errno::ACCESS => SinkError::NotPermitted(errno.to_string()),
        // The answer to asking for the socket; and the answer if there are sockets, but no `nf_tables`.
        Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP => {
            SinkError::NoKernel(errno.to_string())
        }
        errno => SinkError::Io(errno.into()),
    }
}

fn failed(error: io::Error) -> SinkError {
    error.raw_os_error().map(Errno::from_raw_os_error).map_or(SinkError::Io(error), whole)
}

fn explained(errno: Errno) -> String {
    match errno {
        Errno::NFILE => format!("the set is full ({errno})"),
        Errno::EXIST | Errno::NOTEMPTY => {
            format!("it overlaps something else in the set ({errno})")
        }
        errno => errno.to_string(),
    }
}
