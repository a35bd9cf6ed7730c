//! SIP messages on TCP connections: their heads, wherever the segments are cut.
//!
//! Several messages may come in one segment, and one message in several: the far end chooses how large
//! segments are. So the messages of a connection are followed by their lengths, also where a head is
//! too long to be kept. Where something was not seen (the beginning of a connection, a lost segment),
//! they are looked for again behind the next empty line. A connection is never given up for what is
//! written on it, but for one whose server begins with HTTP: a WebSocket returns what anybody sends.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memmem;

use super::message::{self, empty_line};
use super::packet::Flow;
pub use super::sequence::Segment;
use super::sequence::Sequence;
use crate::model::eviction;
use crate::model::time::Time;

/// Connections that are followed, in one direction each.
pub const CAPACITY: usize = 4096;
/// The most that is kept of one head, in bytes: no message that Asterisk takes is longer.
pub const LONGEST_HEAD: usize = 64 << 10;
/// The most that is kept of all unfinished heads together, in bytes.
pub const KEPT: usize = 8 << 20;
/// The most that each head may keep even when all of that is in use, in bytes.
const ALWAYS_KEPT: usize = 1 << 10;
/// The most of a line that is looked at where a head is not kept: more than `Content-Length: N` takes.
const LINE: usize = 64;

/// The connections on which SIP is spoken.
#[derive(Debug, Default)]
pub struct Streams {
    streams: HashMap<Flow, Stream, RandomState>,
    /// Bytes of unfinished heads.
    kept: usize,
}

#[derive(Debug)]
struct Stream {
    sequence: Sequence,
    place: Place,
    /// A head that is not complete yet, as far as it is kept.
    head: Vec<u8>,
    /// The line that is being read, where the head is not kept.
    line: Vec<u8>,
    /// The length of the body, as a line said that was not kept.
    length: Option<usize>,
    last: Time,
}

/// The place of the next byte in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Unknown.
    Lost,
    /// In a head that is kept, or before one.
    Head,
    /// In a head of which no more is kept.
    LongHead,
    /// In a body, of which this number of bytes is to come.
    Body(usize),
    /// In what is not SIP, to the end of the connection.
    Http,
}

impl Streams {
    /// Reads a segment, and hands the heads that end in it to `found`.
    pub fn feed(&mut self, flow: Flow, segment: &Segment, now: Time, mut found: impl FnMut(&[u8])) {
        if segment.whole == 0 {
            return;
        }
        if !self.streams.contains_key(&flow) {
            self.make_room();
        }
        let stream = self.streams.entry(flow).or_insert_with(|| Stream::at(segment, now));
        if stream.place == Place::Http {
            return;
        }
        let before = stream.head.len();
        let room = KEPT.saturating_sub(self.kept - before).clamp(ALWAYS_KEPT, LONGEST_HEAD);
        stream.take(segment, now, room, &mut found);
        self.kept = self.kept - before + stream.head.len();
    }

    /// Whether bytes of this connection came twice. What the PBX read is then not certain: segments with a
    /// wrong checksum are seen here and not there.
    #[must_use]
    pub fn is_doubted(&self, flow: &Flow) -> bool {
        self.streams.get(flow).is_some_and(|stream| stream.sequence.has_repeated())
    }

    /// Returns the number of connections that are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Forgets, if there are too many, the one of eight that has been silent the longest.
    fn make_room(&mut self) {
        if self.streams.len() < CAPACITY {
            return;
        }
        let oldest = eviction::least(&self.streams, |stream| stream.last);
        if let Some(stream) = oldest.and_then(|flow| self.streams.remove(&flow)) {
            self.kept -= stream.head.len();
        }
    }
}

impl Stream {
    /// Begins with this segment.
    fn at(first: &Segment, last: Time) -> Self {
        let (head, line, sequence) = (Vec::new(), Vec::new(), Sequence::at(first));
        let place = if first.bytes.starts_with(b"HTTP/") { Place::Http } else { Place::Lost };
        Self { sequence, place, head, line, length: None, last }
    }

    /// Goes on with a segment; at most `room` bytes of a head are kept.
    fn take(&mut self, segment: &Segment, now: Time, room: usize, found: &mut impl FnMut(&[u8])) {
        self.last = now;
        let Some(fresh) = self.sequence.take(segment) else { return };
        if fresh.lost {
            self.lose(found);
        }
        self.read(fresh.bytes, room, found);
        let uncopied = fresh.uncopied;
        match self.place {
            _ if uncopied == 0 => {}
            Place::Body(left) if left >= uncopied => self.place = Place::Body(left - uncopied),
            _ => self.lose(found),
        }
    }

    /// Bytes were not seen.
    fn lose(&mut self, found: &mut impl FnMut(&[u8])) {
        if !self.head.is_empty() {
            found(&self.head);
        }
        self.begin(Place::Lost);
    }

    fn begin(&mut self, place: Place) {
        self.place = place;
        self.head = Vec::new();
        self.line.clear();
        self.length = None;
    }

    fn read(&mut self, mut bytes: &[u8], room: usize, found: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let used = match self.place {
                // If no beginning can be told, what comes before the next empty line is no message.
                Place::Lost => {
                    self.begin(Place::Head);
                    start(bytes).unwrap_or(0)
                }
                Place::Body(left) => {
                    let skipped = left.min(bytes.len());
                    if left == skipped {
                        self.begin(Place::Head);
                    } else {
                        self.place = Place::Body(left - skipped);
                    }
                    skipped
                }
                Place::Head => self.read_head(bytes, room, found),
                Place::Http => bytes.len(),
                Place::LongHead => self.read_long(bytes, found),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Returns how many bytes belong to the head.
    fn read_head(&mut self, bytes: &[u8], room: usize, found: &mut impl FnMut(&[u8])) -> usize {
        if self.head.is_empty() {
            // Empty lines keep a connection open.
            let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
            match first {
                Some(0) => {}
                Some(at) => return at,
                None => return bytes.len(),
            }
        }
        let before = self.head.len();
        self.head.extend(bytes.iter().take(room.saturating_sub(before)));
        let from = before.saturating_sub(3);
        if let Some(end) = self.head.get(from..).and_then(empty_line).map(|end| from + end) {
            self.head.truncate(end);
            found(&self.head);
            let length = message::body_length(&self.head) as usize;
            self.begin(if length > 0 { Place::Body(length) } else { Place::Head });
            return end - before;
        }
        let taken = self.head.len() - before;
        if self.head.len() >= room {
            self.place = Place::LongHead;
            self.length =
                Some(message::body_length(&self.head) as usize).filter(|length| *length > 0);
            let last = memchr::memrchr(b'\n', &self.head).map_or(0, |at| at + 1);
            self.line =
                self.head.get(last..).unwrap_or_default().iter().take(LINE).copied().collect();
        }
        taken
    }

    /// Reads on to the end of a head that is too long, by its lines. Returns how many bytes it took.
    fn read_long(&mut self, bytes: &[u8], found: &mut impl FnMut(&[u8])) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = LINE.saturating_sub(self.line.len());
        self.line.extend(part.iter().take(room));
        let Some(end) = end else { return bytes.len() };
        if self.line.iter().all(|byte| *byte == b'\r') {
            found(&self.head);
            let length = self.length.unwrap_or(0);
            self.begin(if length > 0 { Place::Body(length) } else { Place::Head });
        } else {
            let line = [b"\n", self.line.as_slice(), b"\n"].concat();
            let length = message::body_length(&line) as usize;
            self.length = self.length.or(Some(length).filter(|length| *length > 0));
            self.line.clear();
        }
        end + 1
    }
}

/// Returns the place where a message begins: at the front, or behind an empty line.
fn start(bytes: &[u8]) -> Option<usize> {
    let begins = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        let line = rest.get(..memchr::memchr(b'\n', rest)?)?;
        let is_answer = line.starts_with(b"SIP/2.0 ");
        let is_request = line.trim_ascii_end().ends_with(b" SIP/2.0");
        (is_answer || is_request).then_some(at)
    };
    let first = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    begins(first).or_else(|| memmem::find_iter(bytes, b"\r\n\r\n").find_map(|at| begins(at + 4)))
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

    /// Messages as they are written: answers, some with a body that looks like one, and requests,
    /// one of them longer than is kept.
    fn conversation() -> Vec<String> {
        let body = "SIP/2.0 401 Unauthorized\r\nCall-ID: forged\r\n\r\n";
        (0..15)
            .map(|n| match n % 5 {
                0 => {
                    format!("SIP/2.0 401 Unauthorized\r\nCall-ID: {n}\r\nContent-Length: 0\r\n\r\n")
                }
                1 => format!("MESSAGE sip:a@b SIP/2.0\r\nl: {}\r\n\r\n{body}", body.len()),
                2 => format!("SIP/2.0 200 OK\r\nCall-ID: {n}\r\nContent-Length: 5\r\n\r\nv=0\r\n"),
                3 => format!(
                    "SIP/2.0 401 Unauthorized\r\nVia: {}\r\nContent-Length: {}\r\n\r\n{body}",
                    "x".repeat(3000),
                    body.len()
                ),
                _ => "\r\n\r\n".to_owned(),
            })
            .collect()
    }

    fn heads() -> Vec<String> {
        let head = |text: &String| text.find("\r\n\r\n").map(|end| text[..end + 4].to_owned());
        conversation().iter().filter(|text| text.len() > 4).filter_map(head).collect()
    }

    /// Feeds the bytes in segments of these sizes; `room` is what of a head is kept.
    fn read(bytes: &[u8], sizes: &[usize], room: usize) -> Vec<String> {
        let mut stream =
            Stream::at(&Segment { sequence: u32::MAX - 500, bytes: b"", whole: 0 }, at(0));
        let (mut found, mut place, mut sequence) = (Vec::new(), 0, u32::MAX - 500);
        for size in sizes.iter().cycle() {
            let part = &bytes[place..bytes.len().min(place + size)];
            let segment = Segment { sequence, bytes: part, whole: part.len() };
            stream.take(&segment, at(0), room, &mut |head: &[u8]| {
                found.push(String::from_utf8(head.to_vec()).unwrap());
            });
            place += part.len();
            sequence = sequence.wrapping_add(u32::try_from(part.len()).unwrap());
            if place == bytes.len() {
                assert!(!stream.sequence.has_repeated());
                return found;
            }
        }
        unreachable!()
    }

    #[test]
    fn a_websocket_is_no_sip_whatever_it_returns() {
        let mut streams = Streams::default();
        let mut sequence = 1000;
        let mut found = 0;
        for part in [
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "\u{1}~\r\n\r\nSIP/2.0 200 OK\r\nCSeq: 2 REGISTER\r\n\r\n",
            "SIP/2.0 200 OK\r\nCSeq: 2 REGISTER\r\n\r\n",
        ] {
            let bytes = part.as_bytes();
            let segment = Segment { sequence, bytes, whole: bytes.len() };
            streams.feed(flow(1), &segment, at(0), |_| found += 1);
            sequence += u32::try_from(bytes.len()).unwrap();
        }
        assert_eq!(found, 0);
    }

    proptest! {
        #[test]
        fn heads_are_found_wherever_segments_are_cut(
            sizes in prop::collection::vec(1_usize..1500, 1..9),
            room in prop::sample::select(vec![64_usize, 1000, 2999, 3040, LONGEST_HEAD]),
        ) {
            let bytes = conversation().concat();
            let cut: Vec<String> =
                heads().iter().map(|head| head[..head.len().min(room)].to_owned()).collect();
            prop_assert_eq!(read(bytes.as_bytes(), &sizes, room), cut);
        }

        #[test]
        fn any_bytes_in_any_order_do_no_harm(
            segments in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..80), 0_usize..9000), 0..30),
        ) {
            let mut streams = Streams::default();
            for (sequence, bytes, whole) in segments {
                let whole = whole.max(bytes.len());
                let segment = Segment { sequence: sequence % 4096, bytes: &bytes, whole };
                streams.feed(flow(1), &segment, at(0), |_| {});
                let kept: usize = streams.streams.values().map(|stream| stream.head.len()).sum();
                prop_assert_eq!(kept, streams.kept);
            }
        }
    }

    fn feed(streams: &mut Streams, sequence: u32, bytes: &str) -> usize {
        let segment = Segment { sequence, bytes: bytes.as_bytes(), whole: bytes.len() };
        let mut found = 0;
        streams.feed(flow(1), &segment, at(0), |_| found += 1);
        found
    }

    #[test]
    fn what_was_lost_is_found_again_behind_an_empty_line() {
        let answer = "SIP/2.0 401 X\r\nCall-ID: 1\r\n\r\n";
        let mut streams = Streams::default();
        // The middle of a connection.
        assert_eq!(feed(&mut streams, 1000, &format!("D: x\r\n\r\n{answer}{answer}")), 2);
        // A segment is missing, and the next begins in the middle of a message.
        assert_eq!(feed(&mut streams, 9000, &format!("ID: 1\r\n\r\n{answer}")), 1);
        assert_eq!(feed(&mut streams, 90_000, answer), 1);
        // Bytes that were not copied.
        let segment = Segment { sequence: 99_000, bytes: answer.as_bytes(), whole: 5000 };
        streams.feed(flow(1), &segment, at(0), |_| {});
        assert_eq!(feed(&mut streams, 104_000, answer), 1);
    }

    #[test]
    fn bytes_that_come_twice_are_read_once_and_doubted() {
        let mut streams = Streams::default();
        let first = "SIP/2.0 401 X\r\nCall-ID: 1\r\n\r\n";
        assert_eq!(feed(&mut streams, 1, first), 1);
        assert!(!streams.is_doubted(&flow(1)));
        assert_eq!(feed(&mut streams, 1, "SIP/2.0 200 OK\r\n12345678901\r\n"), 0);
        assert!(streams.is_doubted(&flow(1)));
        assert_eq!(feed(&mut streams, 1 + u32::try_from(first.len()).unwrap(), first), 1);
    }

    #[test]
    fn many_connections_are_bounded() {
        let mut streams = Streams::default();
        let part = format!("REGISTER sip:a SIP/2.0\r\nVia: {}", "x".repeat(60_000));
        for n in 0..u32::try_from(CAPACITY).unwrap() * 2 {
            let from = std::net::Ipv4Addr::from_bits(n).into();
            let flow = Flow { from: (from, 1), ..flow(1) };
            let segment = Segment { sequence: 1, bytes: part.as_bytes(), whole: part.len() };
            streams.feed(flow, &segment, at(i64::from(n)), |_| {});
        }
        assert_eq!(streams.len(), CAPACITY);
        assert!(streams.kept <= KEPT + CAPACITY * ALWAYS_KEPT, "{}", streams.kept);
    }
}
