//! Puts back what others take away of the sink's table.
#![expect(clippy::disallowed_methods, reason = "an edge: it must not do so all the time")]

use std::time::{Duration, Instant};

use tracing::info;

use super::backoff::Pace;
use super::{DesiredState, Repair, State, Verified, WorkerEvent};
use crate::enforce::{Drift, ExternalChanges, Part, Report, SinkError};
use crate::model::event::{Change, Element};
use crate::model::pause::Pause;
use crate::sys::clock::now;
use crate::sys::mutex::lock;
use crate::table::structure::PAUSED;

/// The time for which `status` shows that another program fights for the table.
const FIGHT: Duration = Duration::from_secs(10);

/// The changes that other programs were heard to make, and how far they have been repaired.
#[derive(Debug)]
pub(crate) struct Healing {
    /// The changes that have yet to be looked at, and the time since when.
    heard: Option<(ExternalChanges, Instant)>,
    pace: Pace,
    /// Whether the sink said that its table is gone.
    gone: bool,
    /// The changes that were looked at, and that made us ask for the desired state.
    asked: Option<(ExternalChanges, Instant)>,
    /// Whether the sink may have lost what its sets held.
    pub(crate) mended: bool,
    /// Whether it may have lost a pause.
    pub(crate) lost_pause: bool,
}

impl Healing {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: None,
            pace: Pace::new(now),
            gone: false,
            asked: None,
            mended: false,
            lost_pause: false,
        }
    }

    /// Returns when there is something to look at.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.heard.as_ref().map(|_| self.pace.next())
    }

    /// Records what others did; it is looked at when the pace allows it.
    pub(crate) fn hear(&mut self, heard: ExternalChanges, since: Instant) {
        match &mut self.heard {
            Some((before, _)) => before.merge(heard),
            none => *none = Some((heard, since)),
        }
    }

    /// Records that the table is gone.
    pub(crate) fn lost(&mut self) {
        self.gone = true;
        self.hear(ExternalChanges { heard: true, ..ExternalChanges::default() }, Instant::now());
    }
}

/// The result of a look.
enum Finding {
    /// All is as it should be.
    Intact,
    /// The sets may not hold what they should.
    Sets,
    /// The table is damaged.
    Table,
}

impl State {
    /// Looks at what others did. Puts the table back immediately if that is needed, and asks for
    /// what it is to hold.
    pub(crate) fn heal(&mut self) {
        let Some((heard, since)) = self.healing.heard.take() else { return };
        let begin = Instant::now();
        match self.diagnose(&heard) {
            Ok(Finding::Intact) => {}
            Ok(Finding::Sets) => self.ask(heard, since),
            Ok(Finding::Table) => {
                self.pace(&heard);
                // Whoever is asked gathers it while the kernel takes the table.
                self.ask(heard, since);
                if let Err(error) = self.mend() {
                    self.healing
                        .hear(ExternalChanges { heard: true, ..ExternalChanges::default() }, since);
                    self.failed(&error);
                }
            }
            Err(error) => {
                self.healing.hear(heard, since);
                self.failed(&error);
            }
        }
        self.healing.pace.looked(begin, Instant::now());
    }

    /// Returns what is wrong. Records a pause that somebody began or ended, or that was lost.
    fn diagnose(&mut self, heard: &ExternalChanges) -> Result<Finding, SinkError> {
        let damage = if self.healing.gone {
            vec![Drift::Missing(Part::Table)]
        } else {
            self.sink.inspect()?
        };
        let of_pause = [Part::Table, Part::Set(PAUSED.to_owned())].map(Drift::Missing);
        // A firewall that is loaded again may have declared our table, too: then its sets are empty.
        let pause_lost =
            heard.deleted.contains(PAUSED) || damage.iter().any(|damage| of_pause.contains(damage));
        self.healing.lost_pause |= pause_lost;
        if !pause_lost && (heard.lost || heard.sets.contains(PAUSED)) {
            let paused = self.sink.paused(now())?;
            if !heard.lost {
                info!("{heard}: {paused}");
            }
            (self.notify)(WorkerEvent::Paused(paused));
        }
        let bans = |set: &String| self.structure.scope_of_set(set).is_some();
        // Sets of lists are filled by another thread, which never empties one.
        let lists = |set: &String| self.structure.lists.iter().any(|list| list.name == *set);
        let sets = heard.lost || heard.sets.iter().any(bans) || heard.emptied.iter().any(lists);
        Ok(match (damage.is_empty(), sets) {
            (false, _) => Finding::Table,
            (true, true) => Finding::Sets,
            (true, false) => Finding::Intact,
        })
    }

    /// Asks for all that the sink is to hold.
    fn ask(&mut self, heard: ExternalChanges, since: Instant) {
        match &mut self.healing.asked {
            Some((before, _)) => before.merge(heard),
            none => {
                *none = Some((heard, since));
                (self.notify)(WorkerEvent::Lost);
            }
        }
    }

    /// Records a loss, and reports a fight.
    fn pace(&mut self, heard: &ExternalChanges) {
        if self.healing.pace.spend(Instant::now()) {
            lock(&self.health).fight = Some((heard.to_string(), Instant::now() + FIGHT));
        }
    }

    fn mend(&mut self) -> Result<(), SinkError> {
        self.sink.repair(&self.structure)?;
        self.allow_changed = false;
        self.healing.gone = false;
        self.healing.mended = true;
        let mut health = lock(&self.health);
        health.healed = Some(now());
        health.heals += 1;
        Ok(())
    }

    /// Makes the sink hold this, of which it may have lost something.
    pub(crate) fn restore(&mut self, desired: DesiredState) {
        let asked = self.healing.asked.take();
        let DesiredState { allow, paused, elements } = desired;
        self.allow_changed |= self.structure.allow != allow;
        self.structure.allow = allow;
        self.apply();
        let mended = self.healing.mended;
        let begin = Instant::now();
        match self.refill(paused, &elements) {
            Ok(report) => {
                self.healing.mended = false;
                self.succeeded();
                self.note(&report);
                // After the bans, which cannot wait.
                if mended {
                    self.load_wire();
                }
                let bans = report.done;
                if let Some((heard, since)) = asked.filter(|_| mended || bans > 0) {
                    let millis = since.elapsed().as_millis();
                    (self.notify)(WorkerEvent::Healed(format!(
                        "{heard}: put back, {bans} bans in {millis} ms"
                    )));
                }
            }
            Err(error) => {
                for element in elements {
                    self.gather(Change::Put(element));
                }
                if let Some((heard, since)) = asked {
                    self.healing.hear(heard, since);
                }
                self.failed(&error);
            }
        }
        self.healing.pace.looked(begin, Instant::now());
    }

    fn refill(&mut self, paused: Pause, elements: &[Element]) -> Result<Report, SinkError> {
        // First: nobody is to be dropped meanwhile.
        if self.healing.lost_pause && paused.is_on() {
            self.set_pause(paused)?;
        }
        self.healing.lost_pause = false;
        self.sink.restore(elements, now())
    }

    /// Returns how the sink differs from what it should hold; repairs it too, if asked to.
    pub(crate) fn verify(
        &mut self,
        desired: &DesiredState,
        repair: Repair,
    ) -> Result<Verified, SinkError> {
        let mut damage = self.sink.inspect()?;
        let paused = match self.sink.paused(now()) {
            Err(SinkError::NoTable) => {
                if damage.is_empty() {
                    damage.push(Drift::Missing(Part::Table));
                }
                Pause::Off
            }
            paused => paused?,
        };
        let comparison = self.sink.compare(&desired.elements, now())?;
        let pause = match (desired.paused.is_on(), paused.is_on()) {
            (true, false) => Some("paused, but not in the kernel".to_owned()),
            (false, true) => Some("not paused, but in the kernel".to_owned()),
            (_, _) => None,
        };
        let mut verified = Verified { damage, comparison, pause, repaired: false };
        if repair == Repair::Yes {
            self.repair(desired, &verified)?;
            verified.repaired = true;
        }
        Ok(verified)
    }

    fn repair(&mut self, desired: &DesiredState, found: &Verified) -> Result<(), SinkError> {
        if !found.damage.is_empty() {
            self.sink.repair(&self.structure)?;
            // Lists are filled by another thread.
            (self.notify)(WorkerEvent::Lost);
        }
        if found.pause.is_some() || !found.damage.is_empty() {
            self.set_pause(desired.paused)?;
        }
        let report = self.sink.restore(&desired.elements, now())?;
        self.note(&report);
        let extra = found.comparison.extra.iter();
        let removals: Vec<_> =
            extra.map(|element| Change::Remove(element.scope, element.subject)).collect();
        let report = self.sink.apply(&removals, now())?;
        self.note(&report);
        Ok(())
    }
}
