//! The beginning of a line, gathered from the parts that a stream is cut into.

/// A line, of which at most `MOST` bytes are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Line<const MOST: usize> {
    kept: Vec<u8>,
    length: usize,
    last: Option<u8>,
}

impl<const MOST: usize> Line<MOST> {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        let room = MOST.saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(room));
        self.length += bytes.len();
        self.last = bytes.last().copied().or(self.last);
    }

    /// Returns what is kept of it.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Returns the line without `end`, if it ends so and was kept as a whole.
    pub fn without(&self, end: &[u8]) -> Option<&[u8]> {
        if self.length == self.kept.len() { self.kept.strip_suffix(end) } else { None }
    }

    /// Returns the last byte.
    pub fn last(&self) -> Option<u8> {
        self.last
    }

    /// Returns the number of its bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Begins another; its memory is given back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
