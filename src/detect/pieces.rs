//! Lines that a container runtime wrote in pieces, because they were longer than its buffer.
//!
//! Where a line is cut depends on how long it is and on what was written with it, so a sender can have its text begin
//! a piece. A piece is therefore never taken for a line: those of a line are put together again where
//! all of them can be seen, and else none of them says anything.

use super::prefix::{self, Record};
use crate::input::line_splitter::HISTORY;

/// The pieces of a line that are put together, and the records of the other stream among them.
const MOST_PIECES: usize = 16;

/// The number of bytes of a line that is put together: what can be seen of what stands before it, and itself.
const LONGEST: usize = 2 * HISTORY;

/// What a line of a log is.
pub(super) enum Piece<'a> {
    /// A line by itself, or all pieces of one, put together behind the header of the last.
    Whole(&'a [u8]),
    /// A piece that another follows.
    GoesOn,
    /// A piece of a line whose others are not there.
    Lost,
}

/// Returns what a line is that stands behind `before`, of which the last [`HISTORY`] bytes matter; `buffer`
/// holds what is put together, at most [`LONGEST`] bytes.
pub(super) fn whole<'a>(before: &[u8], line: &'a [u8], buffer: &'a mut Vec<u8>) -> Piece<'a> {
    let Some(last) = prefix::record(line) else { return Piece::Whole(line) };
    if last.goes_on {
        return Piece::GoesOn;
    }
    let mut pieces = [&[][..]; MOST_PIECES];
    let mut count = 0;
    let seen = before.get(before.len().saturating_sub(HISTORY)..).unwrap_or_default();
    let mut before = records(seen, last.stream);
    while let Some(record) = before.next().filter(|record| record.goes_on) {
        let Some(place) = pieces.get_mut(count) else { return Piece::Lost };
        (*place, count) = (record.text, count + 1);
    }
    if count == 0 {
        return Piece::Whole(line);
    }
    // Of a line whose first piece cannot be seen to be one, the head may be missing.
    if before.cut {
        return Piece::Lost;
    }
    let header = line.len() - last.text.len();
    buffer.clear();
    buffer.extend_from_slice(line.get(..header).unwrap_or_default());
    for piece in pieces.iter().take(count).rev().chain([&last.text]) {
        if buffer.len() + piece.len() > LONGEST {
            return Piece::Lost;
        }
        buffer.extend_from_slice(piece);
    }
    Piece::Whole(buffer)
}

/// Whether the last line of `before` is a piece that another follows.
pub(super) fn is_open(before: &[u8]) -> bool {
    let last = line_before(before).and_then(|(line, _)| prefix::record(line));
    last.is_some_and(|record| record.goes_on)
}

/// The records of a stream before a place, the last one first.
struct Records<'a> {
    before: &'a [u8],
    stream: &'a [u8],
    passed: usize,
    /// Whether more may stand before what can be seen.
    is_part: bool,
    /// Whether all that can be seen has been.
    cut: bool,
}

fn records<'a>(before: &'a [u8], stream: &'a [u8]) -> Records<'a> {
    let is_part = before.len() >= HISTORY;
    Records { before, stream, passed: 0, is_part, cut: false }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((line, before)) = line_before(self.before) {
            // The first line of a part may have lost its beginning.
            let is_whole = !before.is_empty() || !self.is_part;
            self.passed += 1;
            if self.passed > 2 * MOST_PIECES || !is_whole {
                break;
            }
            self.before = before;
            let record = prefix::record(line)?;
            if record.stream == self.stream {
                return Some(record);
            }
        }
        self.cut = !self.before.is_empty();
        None
    }
}

/// Splits the last line off a text that ends with a line feed.
fn line_before(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let whole = text.strip_suffix(b"\n")?;
    let start = memchr::memrchr(b'\n', whole).map_or(0, |lf| lf + 1);
    let line = whole.get(start..)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), text.get(..start)?))
}
