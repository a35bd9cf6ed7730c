//! Lines on their way to a guard.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::protocol::FromFleet;
use crate::sys::mutex::lock;

/// Lines that may wait for a guard: about 20 MB. A guard that does not read them is let go, and gets all bans again.
const MOST: usize = 100_000;
/// The time for which whoever can wait does so.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lines for one guard, or for a command.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<FromFleet>,
    /// Whether there is a guard, and whether all has to be said to it before the lines.
    begun: bool,
    all: bool,
    closed: bool,
}

/// What is to be written next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The state, all bans, and all orders.
    All,
    /// These lines.
    Lines(Vec<FromFleet>),
}

impl Outbox {
    /// Takes it up that the other side is a guard: all is written next.
    pub fn begin(&self) {
        let mut waiting = lock(&self.waiting);
        (waiting.begun, waiting.all) = (true, true);
        drop(waiting);
        self.changed.notify_all();
    }

    /// Whether the other side is a guard.
    #[must_use]
    pub fn is_guard(&self) -> bool {
        lock(&self.waiting).begun
    }

    /// Adds a line. Without room, the guard is let go.
    pub fn add(&self, line: &FromFleet) {
        let mut waiting = lock(&self.waiting);
        if waiting.lines.len() >= MOST {
            waiting.closed = true;
        } else if !waiting.closed {
            waiting.lines.push_back(line.clone());
        }
        self.changed.notify_all();
    }

    /// Waits a while until there is room for many.
    pub fn wait_for_room(&self) {
        let is_full = |waiting: &mut Waiting| waiting.lines.len() > MOST / 2 && !waiting.closed;
        let waited = self.changed.wait_timeout_while(lock(&self.waiting), PATIENCE, is_full);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets the guard go.
    pub fn close(&self) {
        lock(&self.waiting).closed = true;
        self.changed.notify_all();
    }

    /// Waits for lines, and returns some; `None` when the guard is to be let go.
    pub fn take(&self) -> Option<Next> {
        let is_idle =
            |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.all && !waiting.closed;
        let waited = self.changed.wait_while(lock(&self.waiting), is_idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return None;
        }
        if std::mem::take(&mut waiting.all) {
            return Some(Next::All);
        }
        let number = waiting.lines.len().min(1000);
        let taken = waiting.lines.drain(..number).collect();
        self.changed.notify_all();
        Some(Next::Lines(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_does_not_read_takes_no_memory() {
        let outbox = Outbox::default();
        let line =
            FromFleet::Lift { issuer: "pbx2".parse().unwrap(), host: "192.0.2.7".parse().unwrap() };
        outbox.add(&line);
        assert_eq!(outbox.take(), Some(Next::Lines(vec![line.clone()])));
        for _ in 0..=MOST {
            outbox.add(&line);
        }
        assert_eq!(outbox.take(), None);
        outbox.wait_for_room();
    }
}
