//! A sink that touches nothing: it keeps the elements in memory and lets them expire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;

use super::{BanSink, Comparison, Drift, Report, SinkError, WireRules};
use crate::model::event::KernelElement;
use crate::model::event::{Change, Element, ScopeId};
use crate::model::pause::Pause;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::structure::{SetKind, Structure};

/// The elements that would be in the kernel. It knows no clock: time passes by the `now` of its callers.
/// It holds as many elements as it is given.
#[derive(Debug, Default)]
pub struct DryRunSink {
    structure: Option<Structure>,
    /// By name of the set and key, as in the kernel.
    elements: BTreeMap<(String, Subject), Held>,
    paused: Pause,
    now: Time,
}

/// The kernel's part of an element.
#[derive(Debug)]
struct Held {
    until: Option<Time>,
    comment: Option<String>,
}

impl DryRunSink {
    /// Returns an empty one, to be [loaded](BanSink::load) first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Time passes: what is over is forgotten.
    fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        let lasts = |until: Option<Time>| until.is_none_or(|until| until > now);
        self.elements.retain(|_, held| lasts(held.until));
        if self.paused.is_over(now) {
            self.paused = Pause::Off;
        }
    }
}

impl BanSink for DryRunSink {
    fn load(&mut self, structure: &Structure) -> Result<(), SinkError> {
        self.structure = Some(structure.clone());
        Ok(())
    }

    fn load_rekeyed(
        &mut self,
        structure: &Structure,
        scopes: &[ScopeId],
        elements: &[Element],
        now: Time,
    ) -> Result<(), SinkError> {
        let anew = scopes.iter().filter_map(|id| structure.scope(*id));
        let kinds = [SetKind::Hosts, SetKind::Networks];
        let anew: Vec<_> = anew.flat_map(|scope| kinds.map(|kind| scope.set(kind, true))).collect();
        self.elements.retain(|(set, _), _| !anew.contains(set));
        self.load(structure)?;
        self.restore(elements, now).map(drop)
    }

    fn load_wire(&mut self, _: &Structure) -> Result<WireRules, SinkError> {
        Ok(WireRules::Whole)
    }

    fn allow(&mut self, nets: &[IpNet]) -> Result<(), SinkError> {
        let structure = self.structure.as_mut().ok_or(SinkError::NoTable)?;
        structure.allow = nets.to_vec();
        Ok(())
    }

    fn adopt(&mut self, now: Time) -> Result<Vec<KernelElement>, SinkError> {
        self.advance(now);
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let adopted = self.elements.iter().filter_map(|((set, subject), held)| {
            let (scope, _) = structure.scope_of_set(set)?;
            let (_, key) = structure.place(scope, *subject).ok()?;
            structure.adopted(scope, key, held.until, held.comment.as_deref())
        });
        Ok(adopted.collect())
    }

    fn adopt_within(
        &mut self,
        now: Time,
        _: Duration,
        _: u32,
    ) -> Result<Option<Vec<KernelElement>>, SinkError> {
        self.adopt(now).map(Some)
    }

    fn apply(&mut self, changes: &[Change], now: Time) -> Result<Report, SinkError> {
        self.now = self.now.max(now);
        let structure = self.structure.as_ref().ok_or(SinkError::NoTable)?;
        let mut report = Report::default();
        let mut keys = BTreeSet::new();
        for change in changes {
            let (scope, subject) = change.key();
            let set = match structure.place(scope, subject) {
                Ok((set, _)) => set,
                Err(misfit) => {
                    report.refused.push((*change, misfit.to_string()));
                    continue;
                }
            };
            keys.insert((scope, subject));
            match change {
                Change::Put(Element { until, jail, .. }) if until.is_none_or(|end| end > now) => {
                    let comment = structure.jails.get(usize::from(jail.0)).cloned();
                    self.elements.insert((set, subject), Held { until: *until, comment });
                }
                Change::Put(_) | Change::Remove(..) => {
                    self.elements.remove(&(set, subject));
                }
            }
        }
        report.done = keys.len();
        Ok(report)
    }

    fn inspect(&mut self) -> Result<Vec<Drift>, SinkError> {
        Ok(Vec::new())
    }

    fn repair(&mut self, structure: &Structure) -> Result<(), SinkError> {
        self.load(structure)
    }

    fn restore(&mut self, wanted: &[Element], now: Time) -> Result<Report, SinkError> {
        let changes: Vec<_> = wanted.iter().map(|element| Change::Put(*element)).collect();
        self.apply(&changes, now)
    }

    fn compare(&mut self, wanted: &[Element], now: Time) -> Result<Comparison, SinkError> {
        Ok(Comparison::new(&self.adopt(now)?, wanted))
    }

    fn pause(&mut self, span: Option<Duration>) -> Result<(), SinkError> {
        self.paused = Pause::lasting(span, self.now);
        Ok(())
    }

    fn resume(&mut self) -> Result<(), SinkError> {
        self.paused = Pause::Off;
        Ok(())
    }

    fn paused(&mut self, now: Time) -> Result<Pause, SinkError> {
        self.advance(now);
        Ok(self.paused)
    }
}
