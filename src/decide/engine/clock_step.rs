//! Corrects the engine after the wall clock was set: all that it holds is as old, and has as long
//! to go, as before.

use super::Engine;
use super::jail::JailState;
use crate::model::clock_step::ClockStep;

impl Engine {
    /// Corrects all instants by a step of the clock that they were read from. Bans end when they
    /// would have ended, which is when the kernel lets go: its time cannot be set. What is stored
    /// of them has to be corrected too: the journal does not contain this.
    pub fn correct(&mut self, step: ClockStep) {
        for state in &mut self.states {
            state.correct(step);
        }
        self.earlier.correct(step);
        self.bans.correct(step);
        self.peers.correct(step);
        self.effects.correct(step);
        self.known.correct(step);
        self.networks.correct(step);
        self.logins.correct(step);
        self.floods.iter_mut().for_each(|(_, limit)| limit.correct(step));
        self.recent.correct(step);
        self.joins.correct(step);
        self.talked.correct(step);
        self.announced.correct(step);
        self.shared.correct(step);
        self.targeted.correct(step);
        self.observed.correct(step);
        self.rates.correct(step);
        step.correct_all(self.late.marks.values_mut());
    }
}

impl JailState {
    fn correct(&mut self, step: ClockStep) {
        self.offences.correct(step);
        for earlier in self.history.values_mut() {
            let (decided, ends) = &mut earlier.last;
            step.correct_all([decided].into_iter().chain(ends));
        }
        step.correct_all(&mut self.tally.last);
    }
}
