//! The order of the bytes on a TCP connection, in one direction.

/// A part of a connection's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// TCP's number of the first byte.
    pub sequence: u32,
    /// The bytes, as far as they were copied.
    pub bytes: &'a [u8],
    /// The number of bytes in all.
    pub whole: usize,
}

/// The place that a connection has come to.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// The number of the byte that follows.
    next: u32,
    /// Bytes came twice.
    repeated: bool,
}

/// The bytes behind the next that are still sent again; what is further away is another connection.
const WINDOW: u32 = 1 << 20;

/// The part of a segment that had not come before.
#[derive(Clone, Copy, Debug)]
pub struct Fresh<'a> {
    /// Whether bytes ahead of it were not seen.
    pub lost: bool,
    /// Its bytes, as far as they were copied.
    pub bytes: &'a [u8],
    /// The number of bytes behind them that were not copied.
    pub uncopied: usize,
}

impl Sequence {
    /// Returns the place ahead of a segment.
    #[must_use]
    pub fn at(first: &Segment) -> Self {
        Self { next: first.sequence, repeated: false }
    }

    /// Returns what of a segment is new, and goes on to its end. `None`: all of it came before.
    pub fn take<'a>(&mut self, segment: &Segment<'a>) -> Option<Fresh<'a>> {
        // Half of all numbers are behind, the others ahead.
        let behind = self.next.wrapping_sub(segment.sequence);
        let lost = behind > u32::MAX / 2;
        let behind = if lost { 0 } else { behind as usize };
        self.repeated |= behind > 0;
        if behind >= segment.whole {
            return None;
        }
        // Numbers begin again behind the last.
        self.next = segment.sequence.wrapping_add(u32::try_from(segment.whole).unwrap_or(0));
        let bytes = segment.bytes.get(behind..).unwrap_or_default();
        let uncopied = segment.whole.saturating_sub(segment.bytes.len().max(behind));
        Some(Fresh { lost, bytes, uncopied })
    }

    /// Whether a segment neither goes on where the last one ended, nor repeats what came lately: bytes are missing, or it
    /// belongs to another connection between the same ends.
    #[must_use]
    pub fn is_elsewhere(&self, segment: &Segment) -> bool {
        self.next.wrapping_sub(segment.sequence) > WINDOW
    }

    /// Whether bytes came twice. What the far end read is then not certain: segments with a wrong checksum are seen
    /// here and not there.
    #[must_use]
    pub fn has_repeated(&self) -> bool {
        self.repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u32, bytes: &[u8], whole: usize) -> Segment<'_> {
        Segment { sequence, bytes, whole }
    }

    #[test]
    fn each_byte_is_new_once() {
        let start = u32::MAX - 1;
        let mut place = Sequence::at(&segment(start, b"", 0));
        let fresh = place.take(&segment(start, b"abcd", 4)).unwrap();
        assert_eq!((fresh.lost, fresh.bytes, fresh.uncopied), (false, &b"abcd"[..], 0));
        assert!(!place.has_repeated());
        let elsewhere = [2, 1, 3, 0xffe0_0000].map(|at| place.is_elsewhere(&segment(at, b"", 0)));
        assert_eq!(elsewhere, [false, false, true, true]);
        assert!(place.take(&segment(start, b"abcd", 4)).is_none() && place.has_repeated());
        let fresh = place.take(&segment(0, b"cdef", 4)).unwrap();
        assert_eq!((fresh.lost, fresh.bytes), (false, &b"ef"[..]));
        let fresh = place.take(&segment(9, b"x", 5)).unwrap();
        assert_eq!((fresh.lost, fresh.bytes, fresh.uncopied), (true, &b"x"[..], 4));
    }
}
