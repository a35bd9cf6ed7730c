//! The text of the last log lines that counted, to tell with a ban.

use memchr::memchr;

use crate::input::line_splitter::Region;
use crate::model::event::ChannelId;
use crate::model::guard_event::LONGEST_TEXT;

/// Lines that are kept, of all logs together: 1 MiB.
const CAPACITY: usize = 2048;

/// A ring of lines, each cut to [`LONGEST_TEXT`] bytes. Its memory is allocated once.
#[derive(Debug)]
pub struct RecentLines {
    slots: Vec<Slot>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The channel and the number of the line; `None`: nothing is here yet.
    line: Option<(ChannelId, u64)>,
    length: usize,
    text: [u8; LONGEST_TEXT],
}

impl Default for RecentLines {
    fn default() -> Self {
        let empty = Slot { line: None, length: 0, text: [0; LONGEST_TEXT] };
        Self { slots: vec![empty; CAPACITY], next: 0 }
    }
}

impl RecentLines {
    /// Keeps a line, in place of the oldest one.
    pub fn push(&mut self, channel: ChannelId, number: u64, line: &[u8]) {
        let Some(slot) = self.slots.get_mut(self.next) else { return };
        slot.line = Some((channel, number));
        slot.length = line.len().min(LONGEST_TEXT);
        slot.text.iter_mut().zip(line).for_each(|(place, byte)| *place = *byte);
        self.next = (self.next + 1) % CAPACITY;
    }

    /// Returns a line, if it is still there.
    #[must_use]
    pub fn get(&self, channel: ChannelId, number: u64) -> Option<&[u8]> {
        let slot = self.slots.iter().find(|slot| slot.line == Some((channel, number)))?;
        slot.text.get(..slot.length)
    }
}

/// Goes through the lines of a region, forwards.
#[derive(Debug)]
pub struct LineCursor<'a> {
    rest: &'a [u8],
    number: u64,
}

impl<'a> LineCursor<'a> {
    /// Begins with the first line of the region.
    #[must_use]
    pub fn new(region: &Region<'a>) -> Self {
        Self {
            rest: region.bytes.get(region.start..).unwrap_or_default(),
            number: region.first_line,
        }
    }

    /// Returns a line without its line feed. Lines before the last one that was asked for are not found any more.
    pub fn line(&mut self, number: u64) -> Option<&'a [u8]> {
        while self.number < number {
            let end = memchr(b'\n', self.rest)?;
            self.rest = self.rest.get(end + 1..)?;
            self.number += 1;
        }
        let end = memchr(b'\n', self.rest).filter(|_| self.number == number)?;
        self.rest.get(..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_number() {
        let region = Region::of(b"one\ntwo\n\nfour\n", 7);
        let mut cursor = LineCursor::new(&region);
        assert_eq!(cursor.line(8), Some(&b"two"[..]));
        assert_eq!(cursor.line(8), Some(&b"two"[..]));
        assert_eq!(cursor.line(7), None, "it goes forwards");
        assert_eq!(cursor.line(10), Some(&b"four"[..]));
        assert_eq!(cursor.line(11), None);
    }

    #[test]
    fn the_oldest_line_makes_room() {
        let mut lines = RecentLines::default();
        for number in 0..=CAPACITY as u64 {
            lines.push(ChannelId(1), number, number.to_string().as_bytes());
        }
        assert_eq!(lines.get(ChannelId(1), 0), None);
        assert_eq!(lines.get(ChannelId(1), 1), Some(&b"1"[..]));
        assert_eq!(lines.get(ChannelId(2), 1), None);
        lines.push(ChannelId(1), 1, &[b'x'; 2 * LONGEST_TEXT]);
        assert_eq!(lines.slots.len() * size_of::<Slot>(), CAPACITY * size_of::<Slot>());
        assert!(CAPACITY * size_of::<Slot>() < 1200 << 10);
    }
}
