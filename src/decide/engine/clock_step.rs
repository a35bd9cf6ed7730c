//! What an engine does when the clock on the wall was set: all that it holds is as old, and has as long to
//! go, as before.

use super::Engine;
use super::jail::JailState;
use crate::model::clock_step::Jump;

impl Engine {
    /// Corrects all instants by a jump of the clock that they were read from. Bans end when they would
    /// have ended, which is when the kernel lets go: its time cannot be set. What is stored of them has
    /// to be corrected too: the journal does not tell of it.
    pub fn correct(&mut self, jump: Jump) {
        for state in &mut self.states {
            state.correct(jump);
        }
        self.bans.correct(jump);
        self.known.correct(jump);
        self.logins.correct(jump);
        self.flood.correct(jump);
        self.recent.correct(jump);
        jump.correct_all(self.late.marks.values_mut());
    }
}

impl JailState {
    fn correct(&mut self, jump: Jump) {
        self.offences.correct(jump);
        for earlier in self.history.values_mut() {
            let (decided, ends) = &mut earlier.last;
            jump.correct_all([decided].into_iter().chain(ends));
        }
        jump.correct_all(&mut self.tally.last);
    }
}
