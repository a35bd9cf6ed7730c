//! Logs and captures as one: their events in the order of their times.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::captures::Captures;
use super::log::Log;
use crate::model::event::Event;
use crate::model::time::Time;

/// Logs and captures that are merged.
pub struct Merged {
    pub logs: Vec<Log>,
    pub captures: Captures,
    /// The time of the first event of each log that has one, and the log: what an event costs does not depend on how
    /// many there are.
    heads: BinaryHeap<Reverse<(Time, usize)>>,
}

impl Merged {
    /// Begins to read the logs.
    pub fn new(mut logs: Vec<Log>, captures: Captures) -> Self {
        let first = |(index, log): (usize, &mut Log)| Some(Reverse((log.first()?, index)));
        let heads = logs.iter_mut().enumerate().filter_map(first).collect();
        Self { logs, captures, heads }
    }

    /// Returns events of a log that are taken later.
    pub fn ahead(&self, log: usize) -> &[Event] {
        self.logs.get(log).map_or(&[], |log| log.events.as_slices().0)
    }

    /// Takes the earliest event that is not taken yet, and says of which file it is. Of equal ones, the one of the log
    /// that stands first is the earliest, and those of captures are last.
    pub fn next(&mut self) -> Option<(usize, Event)> {
        self.captures.fill();
        let captured = self.captures.events.front().map(|(_, event)| event.time);
        let is_first = |Reverse((time, _)): &Reverse<(Time, usize)>| {
            captured.is_none_or(|captured| *time <= captured)
        };
        let Some(mut head) = self.heads.peek_mut().filter(|head| is_first(head)) else {
            let (file, event) = self.captures.events.pop_front()?;
            return Some((self.logs.len() + file, event));
        };
        let index = head.0.1;
        let log = self.logs.get_mut(index)?;
        let event = log.events.pop_front()?;
        match log.first() {
            Some(time) => head.0.0 = time,
            None => drop(PeekMut::pop(head)),
        }
        Some((index, event))
    }
}
