//! Records on their way to the guard: a bounded buffer, so that whoever fills it never waits.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::sys::mutex::lock;

/// Bytes of lines that wait for the guard. Further ones are dropped, and the guard is told how many.
const MOST: usize = 8 << 20;
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
    /// Lines, as records.
    lines: Vec<u8>,
    /// Lines for which there was no room.
    dropped: u64,
    gap: Option<String>,
    state: Option<String>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.dropped == 0 && self.gap.is_none() && self.state.is_none()
    }

    /// Returns the records.
    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.lines;
        let mut words = String::new();
        if self.dropped > 0 {
            // Writing to a string does not fail.
            let _ = writeln!(
                words,
                "G{} lines were dropped, because asterguard did not take them in time",
                self.dropped
            );
        }
        for (kind, text) in [('G', self.gap), ('S', self.state)] {
            let text = text.map(|text| text.replace(['\n', '\r'], " "));
            if let Some(text) = text {
                let _ = writeln!(words, "{kind}{}", beginning(&text, LONGEST_WORDS));
            }
        }
        bytes.extend_from_slice(words.as_bytes());
        bytes
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
            if waiting.lines.len() + line.len() < MOST {
                waiting.lines.push(b'L');
                waiting.lines.extend_from_slice(line);
            } else {
                waiting.dropped += 1;
            }
        }
        self.changed.notify_one();
    }

    /// Says why no lines come, and what to do; nothing if they come.
    pub fn state(&self, words: impl Into<String>) {
        lock(&self.waiting).state = Some(words.into());
        self.changed.notify_one();
    }

    /// Says that lines are missing, since when, and why. If the last such text was not written yet, this is added to it.
    pub fn gap(&self, words: &str) {
        let mut waiting = lock(&self.waiting);
        let gap = waiting.gap.get_or_insert_default();
        if gap.len() < LONGEST_WORDS {
            if !gap.is_empty() {
                gap.push_str("; ");
            }
            gap.push_str(words);
        }
        self.changed.notify_one();
    }

    /// Writes records as they come, until that fails.
    ///
    /// # Errors
    /// Returns the error by which it ended.
    pub fn write_to(&self, mut guard: impl Write) -> io::Result<()> {
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.is_empty() {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let taken = std::mem::take(&mut *waiting);
            drop(waiting);
            guard.write_all(&taken.into_bytes())?;
            guard.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbox: &Outbox) -> String {
        let waiting = std::mem::take(&mut *lock(&outbox.waiting));
        String::from_utf8(waiting.into_bytes()).unwrap()
    }

    #[test]
    fn records_come_in_order() {
        let outbox = Outbox::default();
        outbox.lines(b"one\ntwo\n");
        outbox.gap("first");
        outbox.state("no\nanswer");
        outbox.gap("second");
        outbox.state("still none");
        assert_eq!(taken(&outbox), "Lone\nLtwo\nGfirst; second\nSstill none\n");
        outbox.state("");
        assert_eq!(taken(&outbox), "S\n");
        assert!(lock(&outbox.waiting).is_empty());
    }

    #[test]
    fn who_fills_it_never_waits_and_what_is_dropped_is_said() {
        let outbox = Outbox::default();
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        for _ in 0..10_000 {
            outbox.lines(&line);
        }
        let told = taken(&outbox);
        assert!(told.len() <= MOST + 200);
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
        outbox.state("\u{e4}".repeat(5000));
        (0..1000).for_each(|_| outbox.gap("again"));
        assert!(taken(&outbox).lines().all(|record| record.len() <= LONGEST_WORDS + 1));
    }
}
