//! The table itself: what is there, what of it is missing, and how it is put back.

use std::collections::BTreeSet;
use std::io;

use super::message::{Element, Key, Question, delete_set};
use super::monitor::{self, Monitor, Subscription};
use super::rebuild::{self, Clearing, Kept};
use super::reply::items;
use super::snapshot::Snapshot;
use super::{BATCH_MAX, NetlinkSink, TIMEOUT_MAX, all_or_error, failed};
use crate::enforce::drift::structure::Drift;
use crate::enforce::set_element::{self, Order};
use crate::enforce::{Comparison, Report, SinkError};
use crate::model::event::Change;
use crate::model::time::Time;
use crate::table::structure::{SetKey, Structure, declarations};

/// Elements of one transaction where all of them are known to be missing. With 20 000 the kernel takes 1.4
/// times as long for each (6.18): they do not stay in the cache until they are committed.
const FRESH_MAX: usize = 500;

/// The number of elements that counts as many.
const MANY: usize = 1000;

impl NetlinkSink {
    /// Listens for what others do to our table, from now on.
    ///
    /// # Errors
    /// When there is no permission for that, or no socket to be had.
    pub fn watch(&mut self) -> Result<Monitor, SinkError> {
        self.watch_with(monitor::BUFFER)
    }

    /// Does the same, with this many bytes that the kernel may keep for us.
    ///
    /// # Errors
    /// As [`NetlinkSink::watch`].
    pub fn watch_with(&mut self, buffer: usize) -> Result<Monitor, SinkError> {
        let open = |own| Monitor::open(own, self.nft.clone(), buffer);
        let watch = self.socket.port().and_then(open).map_err(failed)?;
        self.subscription = Some(watch.subscription().map_err(failed)?);
        Ok(watch)
    }

    /// Records what is there now as what is to be there, as far as `structure` declares it: what
    /// else is in the table is somebody else's.
    pub(super) fn remember(&mut self, structure: &Structure) -> Result<(), SinkError> {
        let mut seen = self.look()?;
        let mut text = structure.ruleset();
        if self.wire.is_some() {
            text += &structure.wire_files();
        }
        let declared: BTreeSet<_> = declarations(&text).collect();
        let ours = |set: &&String| set.starts_with("scope_") || set.starts_with("ports_");
        for set in seen.sets.keys().filter(ours).filter(|set| !declared.contains(&("set", *set))) {
            // The configuration has it no more, and our rules neither. Refused, it stays.
            let mut transaction = self.socket.transaction();
            delete_set(&mut transaction, set);
            self.socket.carry_out(transaction)?;
        }
        seen.keep(|kind, name| declared.contains(&(kind, name)));
        if !declared.iter().all(|(kind, name)| seen.has(kind, name)) {
            return Err(SinkError::NoTable);
        }
        self.ours = Some(seen);
        Ok(())
    }

    /// Records what the sets hold that the configuration fills.
    pub(super) fn remember_content(&mut self) -> Result<(), SinkError> {
        let Some(mut ours) = self.ours.take() else { return Ok(()) };
        let mut sets = ours.filled_sets();
        sets.retain(|set| ours.sets.contains_key(set));
        let held = self.hold(&mut ours, sets);
        self.ours = Some(ours);
        held.map_err(failed)
    }

    /// Returns the drift of the table from what was loaded.
    pub(super) fn drift(&mut self) -> Result<Vec<Drift>, SinkError> {
        let now = self.look()?;
        Ok(self.ours.as_ref().map(|ours| ours.drift(&now)).unwrap_or_default())
    }

    /// Puts back what was loaded, without a program being run. Whether that worked.
    pub(super) fn put_back(&mut self) -> Result<bool, SinkError> {
        let Some(ours) = self.ours.clone() else { return Ok(false) };
        let now = self.look()?;
        for clearing in [Clearing::least(&ours, &now), Clearing::all(&now)] {
            let kept = self.kept(&ours, &now, &clearing).map_err(failed)?;
            let mut transaction = self.socket.transaction();
            rebuild::write(&mut transaction, &ours, &now, &clearing, &kept);
            let refusals = self.socket.carry_out(transaction)?;
            if refusals.is_empty() {
                return Ok(self.drift()?.is_empty());
            }
            if matches!(all_or_error(&refusals), Err(SinkError::NotPermitted(_))) {
                return all_or_error(&refusals).map(|()| false);
            }
        }
        Ok(false)
    }

    /// Returns the elements of sets that have to go and come back as they were. Bans are not among them:
    /// the caller that puts them back knows better.
    fn kept(&mut self, ours: &Snapshot, now: &Snapshot, clearing: &Clearing) -> io::Result<Kept> {
        let bans: Vec<String> = self
            .structure
            .iter()
            .flat_map(|structure| structure.sets().map(|(_, _, set)| set))
            .collect();
        let same = |set: &&String| {
            ours.sets.get(*set) == now.sets.get(*set)
                && !ours.elements.contains_key(*set)
                && !bans.contains(set)
        };
        let mut kept = Kept::new();
        for set in clearing.sets.iter().filter(same) {
            kept.insert(set.clone(), self.content(set)?);
        }
        Ok(kept)
    }

    /// Returns the elements that a set holds, as the kernel lists them.
    fn content(&mut self, set: &str) -> io::Result<Vec<Vec<u8>>> {
        self.socket.ask(Question::Elements(set), |held: &mut Vec<Vec<u8>>, _, list| {
            held.extend(items(list).map(<[u8]>::to_vec));
        })
    }

    /// Whether there is no such table.
    pub(super) fn is_absent(&mut self) -> bool {
        let asked = self.socket.ask(Question::Table, |(), _, _| {});
        matches!(asked.map_err(failed), Err(SinkError::NoTable))
    }

    /// Returns the table as it is; an empty picture if it is not there.
    pub(super) fn look(&mut self) -> Result<Snapshot, SinkError> {
        match self.look_at_all().map_err(failed) {
            Err(SinkError::NoTable) => Ok(Snapshot::default()),
            seen => seen,
        }
    }

    fn look_at_all(&mut self) -> io::Result<Snapshot> {
        let mut seen = Snapshot::default();
        let parts =
            [Question::Table, Question::Chains, Question::Rules, Question::Sets, Question::Objects];
        for question in parts {
            let parts =
                self.socket.ask(question, |parts: &mut Vec<(u16, Vec<u8>)>, kind, part| {
                    parts.push((kind, part.to_vec()));
                })?;
            for (kind, part) in &parts {
                seen.take(*kind, part);
            }
        }
        let sets = seen.filled_sets();
        self.hold(&mut seen, sets)?;
        Ok(seen)
    }

    /// Adds what these sets hold to a picture.
    fn hold(&mut self, picture: &mut Snapshot, sets: Vec<String>) -> io::Result<()> {
        for set in sets {
            let content = self.content(&set)?;
            picture.hold(&set, content.iter().map(Vec::as_slice));
        }
        Ok(())
    }

    /// Puts what `comparison` says is missing or wrong.
    pub(super) fn put(&mut self, comparison: &Comparison, now: Time) -> Result<Report, SinkError> {
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let changes = |elements: &mut dyn Iterator<Item = crate::model::event::Element>| {
            elements.map(Change::Put).collect::<Vec<_>>()
        };
        let missing = changes(&mut comparison.missing.iter().copied());
        let (missing, misfits) = set_element::orders(&missing, structure, now);
        let wrong = changes(&mut comparison.wrong.iter().map(|(element, _)| *element));
        let (wrong, others) = set_element::orders(&wrong, structure, now);
        let mut report = Report::default();
        report.refused.extend(misfits.into_iter().chain(others));
        if missing.len() < MANY {
            self.add_fresh(missing, &mut report)?;
        } else {
            self.add_unheard(missing, &mut report)?;
        }
        self.carry_out_all(wrong, &mut report)?;
        Ok(report)
    }

    /// Adds a large number of elements: the kernel would spend a quarter of the time on telling our own
    /// [`Monitor`] of them, which need not hear it. The generation shows whether others did anything
    /// meanwhile.
    fn add_unheard(&mut self, missing: Vec<Order>, report: &mut Report) -> Result<(), SinkError> {
        let before = self.socket.others().map_err(failed)?;
        let mut missing = missing.into_iter();
        // Notifications of earlier transactions are complete when this is done: transactions take turns.
        self.add_fresh(missing.by_ref().take(1).collect(), report)?;
        self.subscription.as_ref().map_or(Ok(()), Subscription::stop).map_err(failed)?;
        let added = loop {
            let fresh: Vec<_> = missing.by_ref().take(FRESH_MAX).collect();
            match self.add_fresh(fresh, report) {
                Ok(()) if missing.len() > 0 => {}
                added => break added,
            }
        };
        self.subscription.as_ref().map_or(Ok(()), Subscription::start).map_err(failed)?;
        report.unheard = self.socket.others().map_err(failed)? != before;
        added
    }

    /// Adds what is known to be missing, many elements a message; one by one if the kernel does not
    /// want all of them.
    fn add_fresh(&mut self, orders: Vec<Order>, report: &mut Report) -> Result<(), SinkError> {
        let mut transaction = self.socket.transaction();
        for one_set in orders.chunk_by(|a, b| a.set == b.set) {
            let Some(Order { set, .. }) = one_set.first() else { continue };
            transaction.add_all(set, one_set.iter().filter_map(element));
        }
        if self.socket.carry_out(transaction)?.is_empty() {
            report.done += orders.len();
            return Ok(());
        }
        self.carry_out_all(orders, report)
    }

    /// Carries out orders in transactions of bounded length.
    pub(super) fn carry_out_all(
        &mut self,
        orders: Vec<Order>,
        report: &mut Report,
    ) -> Result<(), SinkError> {
        // Within a transaction, the kernel (6.18) mistakes what overlaps something that has just been taken out.
        let is_network = |order: &Order| matches!(order.key, SetKey::Network(_));
        let (networks, orders): (Vec<_>, Vec<_>) = orders.into_iter().partition(is_network);
        for order in networks {
            self.carry_out(vec![order], report)?;
        }
        let mut orders = orders.into_iter();
        loop {
            let batch: Vec<_> = orders.by_ref().take(BATCH_MAX).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.carry_out(batch, report)?;
        }
    }
}

/// Returns the element that an order wants; `None`: it wants none.
pub(super) fn element(order: &Order) -> Option<Element<'_>> {
    let put = order.put.as_ref()?;
    Some(Element {
        key: Key::from(order.key),
        timeout: put.timeout.map(|timeout| timeout.min(TIMEOUT_MAX)),
        comment: put.comment.as_deref(),
    })
}
