//! Splits a stream of bytes into runs of complete lines that are scanned as a whole.
//!
//! The bytes live in one buffer, `[history | complete lines | carry | room to read into]`. What is
//! given out is a [`Region`]: as many complete lines as there are, in one slice, with the raw bytes
//! that came right before them. Splitting therefore costs nothing per line: each step looks for the
//! *last* line feed within [`MAX_LINE`] bytes, and only counting the lines touches every byte.
#![expect(
    clippy::indexing_slicing,
    reason = "at the speed of memory: what slices is `remembered <= taken <= end <= buffer.len()`, \
              which every function keeps and random input is tested against"
)]

use std::fmt;
use std::ops::Range;

use memchr::{memchr, memchr_iter, memrchr};

/// The number of bytes before a region that come with it. Asterisk writes messages of at most 8192
/// bytes (`max(BUFSIZ, 8192)` in `main/logger.c`), so this shows the whole of the message before.
pub const HISTORY: usize = 8192;

/// The longest line that is given out, in bytes, its line feed included. Asterisk cuts a message at
/// 8192 bytes and glues the next record on, so the text of a longer line cannot be trusted.
pub const MAX_LINE: usize = 8000;

/// Cuts a stream of bytes into lines; see the module's description.
///
/// Memory: `HISTORY + MAX_LINE + read_size` bytes, allocated at the first read, as long as all
/// regions are taken between two reads. How long the lines are makes no difference.
pub struct LineSplitter {
    buffer: Vec<u8>,
    read_size: usize,
    /// The place where the history begins, unless it would be longer than [`HISTORY`].
    remembered: usize,
    /// `buffer[..taken]` has been given out or passed over.
    taken: usize,
    /// `buffer[taken..end]` has been read, but not given out.
    end: usize,
    within: Within,
    next_line: u64,
    oversized: u64,
    /// Whether a line has been passed over since the last region.
    gap: bool,
}

/// The line that the byte at `taken` belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// It begins a line.
    Line,
    /// It goes on with a line that must not be given out.
    Skipped,
}

impl LineSplitter {
    /// A splitter that offers `read_size` bytes (at least one) to each read.
    #[must_use]
    pub fn new(read_size: usize) -> Self {
        Self {
            buffer: Vec::new(),
            read_size: read_size.max(1),
            remembered: 0,
            taken: 0,
            end: 0,
            within: Within::Line,
            next_line: 1,
            oversized: 0,
            gap: false,
        }
    }

    /// Room for the next `read_size` bytes; say with [`filled`](Self::filled) how many came. Take
    /// all regions first: lines that were not taken are kept, and the buffer grows for them.
    pub fn space(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            // `vec!` and not `resize`: pages that are never read into are never touched.
            self.buffer = vec![0; HISTORY + MAX_LINE + self.read_size];
        }
        if self.buffer.len() - self.end < self.read_size {
            self.move_to_front();
            let needed = self.end + self.read_size;
            if self.buffer.len() < needed {
                self.buffer.resize(needed, 0);
            }
        }
        &mut self.buffer[self.end..self.end + self.read_size]
    }

    /// The first `n` bytes of [`space`](Self::space) have been written to.
    pub fn filled(&mut self, n: usize) {
        self.end = self.end.saturating_add(n).min(self.buffer.len());
    }

    /// The next run of complete lines; `None` when more has to be read first.
    pub fn next_region(&mut self) -> Option<Region<'_>> {
        loop {
            let rest = &self.buffer[self.taken..self.end];
            if self.within == Within::Skipped {
                let Some(at) = memchr(b'\n', rest) else {
                    self.taken = self.end;
                    return None;
                };
                self.pass_line(at + 1);
                continue;
            }
            let length = complete_lines(rest);
            if length > 0 {
                return Some(self.take(length));
            }
            if rest.len() < MAX_LINE {
                return None;
            }
            self.oversized += 1;
            self.within = Within::Skipped;
        }
    }

    /// Ends the stream: the unterminated rest, if there is one, as a last line, with the line feed
    /// that it lacks. Only for files at rest: a writer may not be done with the line yet.
    pub fn finish(&mut self) -> Option<Region<'_>> {
        if self.within == Within::Skipped || self.carry() == 0 {
            self.drop_carry();
            return None;
        }
        if let Some(byte) = self.space().first_mut() {
            *byte = b'\n';
        }
        self.filled(1);
        self.next_region()
    }

    /// Returns the number of bytes at the end that wait for the rest of their line. All regions have to be taken.
    #[must_use]
    pub fn carry(&self) -> usize {
        self.end - self.taken
    }

    /// Whether all that was read has been given out, and ended with a line's end.
    #[must_use]
    pub fn is_between_lines(&self) -> bool {
        self.carry() == 0 && self.within == Within::Line
    }

    /// Gives up the unterminated rest and returns its length in bytes: what is read next begins a
    /// line. The rest stays visible as history: it may be the head of an unfinished message.
    pub fn drop_carry(&mut self) -> usize {
        let dropped = self.carry();
        if dropped > 0 || self.within == Within::Skipped {
            self.pass_line(dropped);
        }
        dropped
    }

    /// The last bytes before what will be given out next, at most [`HISTORY`].
    #[must_use]
    pub fn history(&self) -> &[u8] {
        &self.buffer[self.history_start()..self.taken]
    }

    /// The last bytes that were read, given out or not: at most `n`, and at most [`HISTORY`] of
    /// those that were given out.
    #[must_use]
    pub fn last_read(&self, n: usize) -> &[u8] {
        &self.buffer[self.history_start().max(self.end.saturating_sub(n))..self.end]
    }

    /// Lets the next region begin without history.
    pub fn forget_history(&mut self) {
        self.remembered = self.taken;
    }

    /// Starts afresh in the middle of a stream, right after the bytes `before`: they become the
    /// history. If they end inside a line, the rest of that line is passed over: a line is given
    /// out whole or not at all.
    pub fn continue_after(&mut self, before: &[u8]) {
        let before = &before[before.len().saturating_sub(HISTORY)..];
        self.remembered = 0;
        self.taken = 0;
        self.end = 0;
        // Sees to it that there is a buffer, which is always longer than the history.
        self.space();
        self.buffer[..before.len()].copy_from_slice(before);
        self.taken = before.len();
        self.end = before.len();
        self.within = match before.last() {
            None | Some(b'\n') => Within::Line,
            Some(_) => Within::Skipped,
        };
    }

    /// Returns the number of lines that were longer than [`MAX_LINE`] and passed over.
    #[must_use]
    pub fn oversized(&self) -> u64 {
        self.oversized
    }

    fn history_start(&self) -> usize {
        self.remembered.max(self.taken.saturating_sub(HISTORY))
    }

    /// Moves what is still needed to the front of the buffer.
    fn move_to_front(&mut self) {
        let from = self.history_start();
        self.buffer.copy_within(from..self.end, 0);
        self.remembered = 0;
        self.taken -= from;
        self.end -= from;
    }

    /// Passes over `length` bytes, up to and with the end of a line that is not given out.
    fn pass_line(&mut self, length: usize) {
        self.taken += length;
        self.next_line += 1;
        self.gap = true;
        self.within = Within::Line;
    }

    fn take(&mut self, length: usize) -> Region<'_> {
        let history = self.history_start();
        let start = self.taken - history;
        let first_line = self.next_line;
        self.taken += length;
        let bytes = &self.buffer[history..self.taken];
        self.next_line += bytecount::count(&bytes[start..], b'\n') as u64;
        let after_gap = std::mem::take(&mut self.gap);
        Region { bytes, start, first_line, next_line: self.next_line, after_gap }
    }
}

impl fmt::Debug for LineSplitter {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineSplitter")
            .field("taken", &self.taken)
            .field("end", &self.end)
            .field("next_line", &self.next_line)
            .field("oversized", &self.oversized)
            .finish_non_exhaustive()
    }
}

/// Returns how many bytes of `rest` are complete lines that may be given out. Looking for the last
/// line feed of each [`MAX_LINE`] bytes shows that no line before it is longer, without finding
/// them.
fn complete_lines(rest: &[u8]) -> usize {
    let mut length = 0;
    while length < rest.len() {
        let window = &rest[length..rest.len().min(length + MAX_LINE)];
        let Some(at) = memrchr(b'\n', window) else { break };
        length += at + 1;
    }
    length
}

/// Complete lines, and the bytes before them.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// The history, then complete lines, each ended by a line feed.
    pub bytes: &'a [u8],
    /// The place where the lines begin: `bytes[..start]` is the history, at most [`HISTORY`] bytes.
    /// It may begin and end in the middle of a line.
    pub start: usize,
    /// The number of the first line in the stream, from 1. Lines that are passed over have a
    /// number too.
    pub first_line: u64,
    /// The number of the line that follows the last one.
    pub next_line: u64,
    /// Whether a line was passed over between the region before and this one: too long, or cut.
    pub after_gap: bool,
}

impl<'a> Region<'a> {
    /// Complete lines without anything before them; `lines` ends with a line feed.
    #[must_use]
    pub fn of(lines: &'a [u8], first_line: u64) -> Self {
        let count = bytecount::count(lines, b'\n') as u64;
        Self { bytes: lines, start: 0, first_line, next_line: first_line + count, after_gap: false }
    }

    /// The lines, each ended by a line feed.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The lines with their numbers, without line feeds. A carriage return stays.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let lines = &self.bytes[self.start..];
        let mut begin = 0;
        (self.first_line..).zip(memchr_iter(b'\n', lines).map(move |end| {
            let line = &lines[begin..end];
            begin = end + 1;
            line
        }))
    }

    /// Returns where in `bytes` the line around the byte at `pos` is, without its line feed. A position
    /// in the history gives the first line, one past the end an empty range.
    #[must_use]
    pub fn line_at(&self, pos: usize) -> Range<usize> {
        let pos = pos.clamp(self.start, self.bytes.len());
        let begin = memrchr(b'\n', &self.bytes[self.start..pos]).map_or(0, |at| at + 1);
        let end = memchr(b'\n', &self.bytes[pos..]).map_or(self.bytes.len(), |at| pos + at);
        self.start + begin..end
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A line as the consumer gets it.
    #[derive(Debug, PartialEq, Eq)]
    struct Seen {
        number: u64,
        line: Vec<u8>,
    }

    /// Feeds `data` in `chunks` (repeated over and over) and checks each region against the data.
    fn split(data: &[u8], read_size: usize, chunks: &[usize]) -> (Vec<Seen>, u64) {
        let mut splitter = LineSplitter::new(read_size);
        let mut seen = Vec::new();
        let mut given = 0;
        let terminated = [data, if data.ends_with(b"\n") { b"" } else { b"\n" }].concat();
        let mut collect = |region: Region<'_>| {
            assert!(region.bytes[region.start..].ends_with(b"\n"));
            // Find its place in the data. Passed-over lines lie between, so search from the last.
            let lines = &region.bytes[region.start..];
            let at = (given..terminated.len())
                .find(|&at| {
                    let history = at.saturating_sub(HISTORY)..at;
                    terminated[at..].starts_with(lines)
                        && terminated[history] == region.bytes[..region.start]
                })
                .expect("the region and its history are a piece of the data");
            given = at + lines.len();
            seen.extend(region.lines().map(|(number, line)| Seen { number, line: line.to_vec() }));
        };
        let mut rest = data;
        for chunk in chunks.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let space = splitter.space();
            assert_eq!(space.len(), read_size);
            let n = rest.len().min(*chunk).min(space.len());
            space[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            splitter.filled(n);
            while let Some(region) = splitter.next_region() {
                collect(region);
            }
            assert!(splitter.buffer.len() <= HISTORY + MAX_LINE + read_size);
        }
        if let Some(region) = splitter.finish() {
            collect(region);
        }
        (seen, splitter.oversized())
    }

    /// The same by the simplest means.
    fn reference(data: &[u8]) -> (Vec<Seen>, u64) {
        let mut pieces: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
        if pieces.last().is_some_and(|last| last.is_empty()) {
            pieces.pop();
        }
        let mut oversized = 0;
        let mut seen = Vec::new();
        for (number, line) in (1..).zip(pieces) {
            if line.len() < MAX_LINE {
                seen.push(Seen { number, line: line.to_vec() });
            } else {
                oversized += 1;
            }
        }
        (seen, oversized)
    }

    /// Lines short, around the limit and far beyond it, of varied bytes.
    fn data() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![
            6 => 0..60_usize,
            2 => MAX_LINE - 3..MAX_LINE + 3,
            1 => 0..3 * HISTORY,
        ];
        let byte = prop_oneof![Just(0_u8), Just(0xff), Just(b'\r'), b' '..=b'~'];
        let line = (length, vec(byte, 1..8)).prop_map(|(length, bytes)| {
            let mut line: Vec<u8> = bytes.iter().copied().cycle().take(length).collect();
            line.push(b'\n');
            line
        });
        (vec(line, 0..12), any::<bool>()).prop_map(|(lines, cut)| {
            let mut data = lines.concat();
            if cut {
                data.pop();
            }
            data
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn any_chunking_gives_the_same_lines(
            data in data(),
            read_size in prop_oneof![1..50_usize, 1000..20_000_usize],
            chunks in vec(1..20_000_usize, 1..6),
        ) {
            prop_assert_eq!(split(&data, read_size, &chunks), reference(&data));
        }

        #[test]
        fn line_at_finds_the_line_of_every_byte(
            lines in vec("[a-c]{0,3}", 1..8),
            history in "[a-c\n]{0,9}",
        ) {
            let text = lines.join("\n") + "\n";
            let bytes = [history.as_bytes(), text.as_bytes()].concat();
            let region = Region { bytes: &bytes, start: history.len(), first_line: 1, next_line: 1, after_gap: false };
            let mut begin = history.len();
            for line in &lines {
                let range = begin..begin + line.len();
                for pos in begin..=range.end {
                    prop_assert_eq!(region.line_at(pos), range.clone());
                }
                begin = range.end + 1;
            }
            prop_assert_eq!(region.line_at(usize::MAX), bytes.len()..bytes.len());
        }
    }

    #[test]
    fn every_chunk_size_gives_the_same_lines() {
        let data = [b"one\r\n\n\0\xff\n".as_slice(), &[b'x'; 8000], b"\nlast"].concat();
        let expected = reference(&data);
        assert_eq!(expected.1, 1);
        for read_size in [1, 2, 3, 7, 64, 4096, 131_072] {
            assert_eq!(split(&data, read_size, &[read_size]), expected, "read size {read_size}");
        }
    }

    fn feed(splitter: &mut LineSplitter, bytes: &[u8]) {
        let space = splitter.space();
        space[..bytes.len()].copy_from_slice(bytes);
        splitter.filled(bytes.len());
    }

    fn next(splitter: &mut LineSplitter) -> Option<(Vec<u8>, Vec<u8>, u64)> {
        splitter.next_region().map(|region| {
            let (history, lines) = region.bytes.split_at(region.start);
            (history.to_vec(), lines.to_vec(), region.first_line)
        })
    }

    #[test]
    fn a_ten_megabyte_line_takes_no_more_memory() {
        let mut splitter = LineSplitter::new(131_072);
        feed(&mut splitter, b"before\n");
        assert!(next(&mut splitter).is_some());
        let chunk = vec![b'x'; 100_000];
        for _ in 0..100 {
            feed(&mut splitter, &chunk);
            assert_eq!(next(&mut splitter), None);
        }
        feed(&mut splitter, b"end\nafter\n");
        let (history, lines, number) = next(&mut splitter).unwrap();
        assert_eq!((lines.as_slice(), number), (b"after\n".as_slice(), 3));
        assert_eq!(history.len(), HISTORY);
        assert!(history.ends_with(b"xxxend\n"));
        assert_eq!(splitter.oversized(), 1);
        assert_eq!(splitter.buffer.len(), HISTORY + MAX_LINE + 131_072);
    }

    #[test]
    fn a_dropped_carry_is_history_but_never_a_line() {
        let mut splitter = LineSplitter::new(100);
        feed(&mut splitter, b"one\nhal");
        assert_eq!(next(&mut splitter), Some((vec![], b"one\n".to_vec(), 1)));
        assert_eq!(splitter.carry(), 3);
        assert_eq!(splitter.last_read(4), b"\nhal");
        assert_eq!(splitter.drop_carry(), 3);
        assert_eq!(splitter.history(), b"one\nhal");
        feed(&mut splitter, b"two\n");
        assert_eq!(next(&mut splitter), Some((b"one\nhal".to_vec(), b"two\n".to_vec(), 3)));
        assert_eq!(splitter.drop_carry(), 0);
        splitter.forget_history();
        feed(&mut splitter, b"three\n");
        assert_eq!(next(&mut splitter), Some((vec![], b"three\n".to_vec(), 4)));
        assert!(splitter.finish().is_none());
    }

    #[test]
    fn an_oversized_line_ends_where_its_file_ends() {
        let mut splitter = LineSplitter::new(10_000);
        feed(&mut splitter, &[b'x'; 9000]);
        assert_eq!(next(&mut splitter), None);
        splitter.drop_carry();
        feed(&mut splitter, b"new file\n");
        assert_eq!(next(&mut splitter).unwrap().1, b"new file\n");
        feed(&mut splitter, &[b'x'; 9000]);
        assert_eq!(next(&mut splitter), None);
        assert!(splitter.finish().is_none());
        assert_eq!(splitter.oversized(), 2);
    }

    #[test]
    fn a_stream_can_be_entered_in_the_middle() {
        let mut splitter = LineSplitter::new(100);
        splitter.continue_after(b"[date] NOTI");
        feed(&mut splitter, b"CE: rest\nwhole\n");
        let (history, lines, _) = next(&mut splitter).unwrap();
        assert_eq!(lines, b"whole\n");
        assert_eq!(history, b"[date] NOTICE: rest\n");
        let long = [b'y'; 10_000];
        splitter.continue_after(&[&long, b"\n".as_slice()].concat());
        assert_eq!(splitter.history().len(), HISTORY);
        feed(&mut splitter, b"next\n");
        assert_eq!(next(&mut splitter).unwrap().1, b"next\n");
    }

    #[test]
    fn lines_that_were_not_taken_are_kept() {
        let mut splitter = LineSplitter::new(50_000);
        let chunk = b"0123456789abcde\n".repeat(3000);
        for _ in 0..5 {
            feed(&mut splitter, &chunk);
        }
        let region = splitter.next_region().unwrap();
        assert_eq!(region.lines().count(), 15_000);
        assert_eq!(region.lines().last().unwrap().0, 15_000);
    }
}
