//! Records on their way to the guard: a bounded buffer, so that whoever fills it never waits.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::sys::mutex::lock;

/// Bytes of records that wait for the guard. Lines for which there is no room are dropped, and the guard is told how many.
const MOST: usize = 8 << 20;
/// Bytes of further records that are no lines.
const RESERVE: usize = 64 << 10;
/// The longest text of a state or a gap, in bytes.
const LONGEST_WORDS: usize = 1000;

/// Records that wait, and the thread that writes them.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<u8>,
    /// Lines for which there was no room after these records.
    dropped: u64,
    /// The state for which there was none.
    state: Option<String>,
}

impl Waiting {
    /// Adds a state or a gap, if there is room.
    fn note(&mut self, kind: char, words: &str) -> bool {
        let is_room = self.records.len() < MOST + RESERVE - LONGEST_WORDS;
        if is_room {
            let words = words.replace(['\n', '\r'], " ");
            let record = format!("{kind}{}\n", beginning(&words, LONGEST_WORDS));
            self.records.extend_from_slice(record.as_bytes());
        }
        is_room
    }

    /// Says how many lines were dropped here, if any were.
    fn note_dropped(&mut self) {
        let words = format!(
            "{} lines were dropped, because asterguard did not take them in time",
            self.dropped
        );
        if self.dropped > 0 && self.note('G', &words) {
            self.dropped = 0;
        }
    }
}

/// Returns the beginning of a text: at most so many bytes, and no half of a character.
fn beginning(text: &str, most: usize) -> &str {
    (0..=most.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

impl Outbox {
    /// Adds lines, each of which ends with a line feed. Those for which there is no room are counted.
    pub fn lines(&self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let mut waiting = lock(&self.waiting);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            if waiting.records.len() + line.len() < MOST {
                waiting.records.push(b'L');
                waiting.records.extend_from_slice(line);
            } else {
                waiting.dropped += 1;
            }
        }
        self.changed.notify_one();
    }

    /// Says why no lines come, and what to do; nothing if they come.
    pub fn state(&self, words: &str) {
        let mut waiting = lock(&self.waiting);
        waiting.state = if waiting.note('S', words) { None } else { Some(words.to_owned()) };
        self.changed.notify_one();
    }

    /// Says that lines are missing, since when, and why. If very much waits, this is left out: then lines are dropped, and
    /// that is said.
    pub fn gap(&self, words: &str) {
        lock(&self.waiting).note('G', words);
        self.changed.notify_one();
    }

    /// Takes what waits.
    fn take(waiting: &mut Waiting) -> Vec<u8> {
        waiting.note_dropped();
        let records = std::mem::take(&mut waiting.records);
        waiting.note_dropped();
        if let Some(words) = waiting.state.take() {
            waiting.note('S', &words);
        }
        records
    }

    /// Writes records as they come, until that fails.
    ///
    /// # Errors
    /// Returns the error by which it ended.
    pub fn write_to(&self, mut guard: impl Write) -> io::Result<()> {
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.records.is_empty() {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let records = Self::take(&mut waiting);
            drop(waiting);
            guard.write_all(&records)?;
            guard.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbox: &Outbox) -> String {
        String::from_utf8(Outbox::take(&mut lock(&outbox.waiting))).unwrap()
    }

    #[test]
    fn records_come_in_order() {
        let outbox = Outbox::default();
        outbox.lines(b"one\ntwo\n");
        outbox.gap("first");
        outbox.state("no\nanswer");
        outbox.lines(b"three\n");
        assert_eq!(taken(&outbox), "Lone\nLtwo\nGfirst\nSno answer\nLthree\n");
        outbox.state("");
        assert_eq!(taken(&outbox), "S\n");
        assert_eq!(taken(&outbox), "");
    }

    #[test]
    fn the_last_state_is_said_however_much_waits() {
        let outbox = Outbox::default();
        (0..10_000).for_each(|_| outbox.state(&"x".repeat(999)));
        outbox.state("last");
        assert!(taken(&outbox).len() <= MOST + RESERVE);
        assert_eq!(taken(&outbox), "Slast\n");
    }

    #[test]
    fn who_fills_it_never_waits_and_what_is_dropped_is_said() {
        let outbox = Outbox::default();
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        for _ in 0..10_000 {
            outbox.lines(&line);
        }
        let told = taken(&outbox);
        assert!(told.len() <= MOST + RESERVE);
        let kept = told.lines().filter(|record| record.starts_with("Lx")).count();
        let gap = told.lines().last().unwrap();
        assert_eq!(
            gap,
            format!(
                "G{} lines were dropped, because asterguard did not take them in time",
                10_000 - kept
            )
        );
        outbox.lines(b"next\n");
        assert_eq!(taken(&outbox), "Lnext\n");
    }

    #[test]
    fn words_have_an_end() {
        let outbox = Outbox::default();
        outbox.state(&"\u{e4}".repeat(5000));
        outbox.gap(&"x".repeat(5000));
        assert!(taken(&outbox).lines().all(|record| record.len() <= LONGEST_WORDS + 1));
    }
}
