//! Reads what we write on TCP connections: the heads of SIP responses, wherever segments are cut.
//!
//! Several responses may leave in one segment, and one response in several: the far end chooses how
//! large segments are. So the messages of a connection are followed by their lengths. Where that
//! is impossible (the middle of a connection, a segment that was not seen), a segment that begins
//! like a response is taken for the next beginning.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memmem;

use super::packet::Flow;
use super::response;
use crate::model::time::Time;

/// Connections that are followed.
pub const CAPACITY: usize = 2048;
/// The longest head that is kept while the rest of it is awaited; of a longer one, this much is
/// read.
pub const LONGEST_HEAD: usize = 4096;

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

/// The connections on which SIP is spoken.
#[derive(Debug, Default)]
pub struct Streams {
    streams: HashMap<Flow, Stream, RandomState>,
}

#[derive(Debug)]
struct Stream {
    /// The number of the byte that follows.
    next: u32,
    /// Bytes of a body that are to come.
    body: usize,
    /// A head that is not complete yet.
    head: Vec<u8>,
    last: Time,
}

impl Streams {
    /// Reads a segment, and hands the heads that end in it to `found`, messages of ours that are no
    /// responses among them.
    pub fn feed(&mut self, flow: Flow, segment: &Segment, now: Time, mut found: impl FnMut(&[u8])) {
        let known = self.streams.get_mut(&flow);
        let in_step = known.is_some_and(|stream| stream.take(segment, now, &mut found));
        if in_step {
            return;
        }
        if !segment.bytes.starts_with(response::START) {
            self.streams.remove(&flow);
            return;
        }
        let mut stream = Stream { next: segment.sequence, body: 0, head: Vec::new(), last: now };
        if stream.take(segment, now, &mut found) {
            if !self.streams.contains_key(&flow) {
                self.make_room();
            }
            self.streams.insert(flow, stream);
        } else {
            self.streams.remove(&flow);
        }
    }

    /// Returns how many connections are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Makes room when there are too many: of eight, the one that was silent longest is forgotten.
    fn make_room(&mut self) {
        if self.streams.len() < CAPACITY {
            return;
        }
        let oldest = self.streams.iter().take(8).min_by_key(|(_, stream)| stream.last);
        if let Some(flow) = oldest.map(|(flow, _)| *flow) {
            self.streams.remove(&flow);
        }
    }
}

impl Stream {
    /// Continues with a segment, and returns whether it is still known where messages begin.
    fn take(&mut self, segment: &Segment, now: Time, found: &mut impl FnMut(&[u8])) -> bool {
        self.last = now;
        // Half of all numbers are behind, the others ahead.
        let behind = self.next.wrapping_sub(segment.sequence);
        if behind > u32::MAX / 2 {
            return false; // a segment in between was not seen
        }
        let behind = behind as usize;
        if behind >= segment.whole && segment.whole > 0 {
            return true; // sent before
        }
        let fresh = segment.bytes.get(behind..).unwrap_or_default();
        let uncopied = segment.whole.saturating_sub(segment.bytes.len().max(behind));
        // Numbers begin anew behind the last.
        self.next = segment.sequence.wrapping_add(u32::try_from(segment.whole).unwrap_or(0));
        self.read(fresh, found) && self.skip(uncopied, found)
    }

    /// Reads bytes, and returns whether it is still known where messages begin.
    fn read(&mut self, mut bytes: &[u8], found: &mut impl FnMut(&[u8])) -> bool {
        while !bytes.is_empty() {
            if self.body > 0 {
                let skipped = self.body.min(bytes.len());
                self.body -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.head.is_empty() {
                // Empty lines keep a connection open.
                let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
                bytes = bytes.get(start.unwrap_or(bytes.len())..).unwrap_or_default();
            }
            let before = self.head.len();
            self.head.extend(bytes.iter().take(LONGEST_HEAD.saturating_sub(before)));
            let from = before.saturating_sub(3);
            let end = self.head.get(from..).and_then(|tail| memmem::find(tail, b"\r\n\r\n"));
            match end.map(|end| from + end + 4) {
                Some(end) => {
                    self.head.truncate(end);
                    found(&self.head);
                    self.body = response::body_length(&self.head) as usize;
                    self.head.clear();
                    bytes = bytes.get(end - before..).unwrap_or_default();
                }
                None if self.head.len() >= LONGEST_HEAD => {
                    found(&self.head);
                    return false;
                }
                None => return true,
            }
        }
        true
    }

    /// Passes over bytes that were not copied.
    fn skip(&mut self, bytes: usize, found: &mut impl FnMut(&[u8])) -> bool {
        if bytes <= self.body {
            self.body -= bytes;
            return true;
        }
        if !self.head.is_empty() {
            found(&self.head);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(port: u16) -> Flow {
        Flow {
            from: ("192.0.2.1".parse().unwrap(), 5060),
            to: ("198.51.100.7".parse().unwrap(), port),
        }
    }

    fn at(secs: i64) -> Time {
        Time::from_secs(1_800_000_000 + secs)
    }

    /// Messages as a PBX writes them: answers, some with a body that looks like one, and requests.
    fn conversation() -> Vec<String> {
        let body = "SIP/2.0 401 Unauthorized\r\nCall-ID: forged\r\n\r\n";
        (0..12)
            .map(|n| match n % 4 {
                0 => {
                    format!("SIP/2.0 401 Unauthorized\r\nCall-ID: {n}\r\nContent-Length: 0\r\n\r\n")
                }
                1 => format!("MESSAGE sip:a@b SIP/2.0\r\nl: {}\r\n\r\n{body}", body.len()),
                2 => format!("SIP/2.0 200 OK\r\nCall-ID: {n}\r\nContent-Length: 5\r\n\r\nv=0\r\n"),
                _ => "\r\n\r\n".to_owned(),
            })
            .collect()
    }

    fn heads() -> Vec<String> {
        let whole = |message: &String| message.starts_with(|c: char| c.is_ascii_uppercase());
        let head = |message: String| {
            let end = message.find("\r\n\r\n").unwrap() + 4;
            message[..end].to_owned()
        };
        conversation().into_iter().filter(whole).map(head).collect()
    }

    fn feed(streams: &mut Streams, sequence: u32, bytes: &[u8], whole: usize) -> Vec<String> {
        let mut found = Vec::new();
        streams.feed(flow(1), &Segment { sequence, bytes, whole }, at(0), |head| {
            found.push(String::from_utf8(head.to_vec()).unwrap());
        });
        found
    }

    #[test]
    fn responses_in_one_segment_are_told_apart() {
        let text = conversation().concat();
        let found = feed(&mut Streams::default(), 77, text.as_bytes(), text.len());
        assert_eq!(found, heads());
    }

    #[test]
    fn retransmission_counts_once() {
        let text = conversation().concat();
        let mut streams = Streams::default();
        let first = u32::MAX - 20;
        assert_eq!(feed(&mut streams, first, &text.as_bytes()[..70], 70).len(), 1);
        assert!(feed(&mut streams, first, &text.as_bytes()[..70], 70).is_empty());
        // Sent again, with more behind it.
        let rest = feed(&mut streams, first, text.as_bytes(), text.len());
        assert_eq!(rest, heads()[1..]);
    }

    #[test]
    fn reading_resumes_at_the_next_message_after_a_gap() {
        let [first, .., last] = &heads()[..] else { panic!() };
        let mut streams = Streams::default();
        assert_eq!(feed(&mut streams, 0, first.as_bytes(), first.len()).len(), 1);
        assert!(feed(&mut streams, 9000, b"d: 1\r\n\r\nSIP/2.0 200 OK\r\n\r\n", 30).is_empty());
        assert!(streams.is_empty());
        let last = last.replace("Content-Length: 5", "Content-Length: 0");
        assert_eq!(feed(&mut streams, 9030, last.as_bytes(), last.len()), [last]);
    }

    #[test]
    fn bytes_that_were_not_copied_are_skipped() {
        let head = "SIP/2.0 200 OK\r\nl: 1000\r\n\r\n";
        let mut streams = Streams::default();
        assert_eq!(feed(&mut streams, 0, head.as_bytes(), head.len() + 600), [head]);
        let next = [&[b'x'; 400], head.as_bytes()].concat();
        let place = u32::try_from(head.len()).unwrap() + 600;
        assert_eq!(feed(&mut streams, place, &next, next.len()), [head]);
        // Cut within a head: what there is of it counts, and what follows is unknown.
        let cut = &head[..20];
        assert_eq!(feed(&mut streams, place + 5000, cut.as_bytes(), 900), [cut]);
        assert!(streams.is_empty());
    }

    #[test]
    fn endless_head_is_read_up_to_its_limit() {
        let mut streams = Streams::default();
        let long = format!("SIP/2.0 401 X\r\nVia: {}", "x".repeat(2 * LONGEST_HEAD));
        let found = feed(&mut streams, 0, long.as_bytes(), long.len());
        assert_eq!(found, [&long[..LONGEST_HEAD]]);
        assert!(streams.is_empty());
    }

    #[test]
    fn connections_are_bounded_and_other_protocols_ignored() {
        let mut streams = Streams::default();
        for other in ["HTTP/1.1 200 OK\r\n\r\n", "Asterisk Call Manager/1\r\n", "\u{16}\u{3}", ""] {
            assert!(feed(&mut streams, 0, other.as_bytes(), other.len()).is_empty());
        }
        assert!(streams.is_empty());
        for port in 0..u16::MAX {
            let segment = Segment { sequence: 0, bytes: b"SIP/2.0 401 X\r\n", whole: 15 };
            streams.feed(flow(port), &segment, at(port.into()), |_| {});
        }
        assert_eq!(streams.len(), CAPACITY);
    }

    proptest! {
        /// However the bytes are cut, the same heads come out.
        #[test]
        fn segment_boundaries_do_not_matter(
            start: u32,
            mut cuts in proptest::collection::vec(0usize..2000, 0..20),
        ) {
            let text = conversation().concat();
            // The first piece has to look like an answer.
            cuts.retain(|cut| (8..text.len()).contains(cut));
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut streams = Streams::default();
            let mut found = Vec::new();
            for piece in cuts.windows(2) {
                let bytes = &text.as_bytes()[piece[0]..piece[1]];
                let place = start.wrapping_add(u32::try_from(piece[0]).unwrap());
                found.extend(feed(&mut streams, place, bytes, bytes.len()));
            }
            prop_assert_eq!(found, heads());
        }

        #[test]
        fn any_segments_are_taken_without_harm(
            segments in proptest::collection::vec(
                (any::<u32>(), proptest::collection::vec(any::<u8>(), 0..40), 0usize..100, any::<bool>()),
                1..30,
            ),
        ) {
            let mut streams = Streams::default();
            for (sequence, bytes, more, answer) in segments {
                let start = if answer { response::START } else { b"" };
                let bytes = [start, &bytes].concat();
                let segment = Segment { sequence: sequence % 200, bytes: &bytes, whole: bytes.len() + more };
                streams.feed(flow(1), &segment, at(0), |head| assert!(head.len() <= LONGEST_HEAD));
            }
        }
    }
}
