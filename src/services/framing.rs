//! Where HTTP's messages end: by their lengths, by chunks, or with the connection (RFC 9112, section 6).

use super::line::Line;

/// The words that an answer begins with.
pub const ANSWER: &[u8] = b"HTTP/1.";
/// The most of a head's line that is kept: more than Asterisk reads of one.
const LINE: usize = 4096;
/// The longest line that is read on.
const LONGEST_LINE: usize = 64 << 10;
/// The lines that a head may have; Asterisk takes fewer.
const LINES: usize = 256;

/// The messages of a connection in one direction. A fixed size but for one unfinished line, of which at most 4 KiB
/// are kept.
#[derive(Clone, Debug)]
pub(super) struct Framing {
    are_answers: bool,
    place: Place,
    line: Line<LINE>,
    lines: usize,
    length: Option<u64>,
    is_chunked: bool,
}

/// The place of the next byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Headers,
    /// At the beginning of a body, where so many bytes were those of the next answer: an answer to HEAD has the
    /// length of a body, and none.
    BodyOrAnswer {
        same: usize,
        left: u64,
    },
    /// In a body, of which so many bytes are to come.
    Body(u64),
    ChunkSize,
    /// In a chunk, of which so many bytes are to come.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// In a body that ends with the connection.
    ToEnd,
    /// In what is not HTTP, or cannot be told from it any more.
    Never,
}

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The first line, without its end.
    First(&'a [u8]),
    /// A header, without the end of the line.
    Header(&'a [u8]),
    /// The end of the head, and the length of the body where it is known.
    Head(Option<u64>),
    /// Bytes of the body.
    Body(&'a [u8]),
    /// The end of the message.
    End,
}

/// The body that follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// As the headers say.
    AsSaid,
    /// None.
    Nothing,
    /// Another protocol.
    NoHttp,
}

impl Framing {
    /// Returns the framing of answers, whose bodies may end with the connection, or of requests.
    pub fn new(are_answers: bool) -> Self {
        let (place, line) = (Place::First, Line::default());
        Self { are_answers, place, line, lines: 0, length: None, is_chunked: false }
    }

    /// Whether nothing of the connection is read any more.
    pub fn is_over(&self) -> bool {
        self.place == Place::Never
    }

    /// Reads nothing of the connection any more.
    pub fn stop(&mut self) {
        *self = Self { place: Place::Never, ..Self::new(self.are_answers) };
    }

    /// Passes over bytes that were not copied; whether it is known where they ended.
    pub fn skip(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        match &mut self.place {
            Place::Body(left) | Place::Chunk(left) if *left > bytes => *left -= bytes,
            Place::ToEnd | Place::Never => {}
            _ => return false,
        }
        true
    }

    /// Reads on. `found` gets each part, and says of the first line and of the end of a head what follows.
    pub fn read(&mut self, mut bytes: &[u8], found: &mut impl FnMut(Part<'_>) -> Follows) {
        while let Some(first) = bytes.first() {
            let used = match self.place {
                Place::BodyOrAnswer { same, left } => {
                    self.tell_body(same, left, *first, found);
                    1
                }
                Place::Body(left) | Place::Chunk(left) => {
                    let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    found(Part::Body(bytes.get(..used).unwrap_or_default()));
                    self.pass_body(left - used as u64, found);
                    used
                }
                Place::ToEnd | Place::Never => return,
                _ => {
                    let end = memchr::memchr(b'\n', bytes);
                    let used = end.map_or(bytes.len(), |end| end + 1);
                    self.line.add(bytes.get(..used).unwrap_or_default());
                    if end.is_some() {
                        self.take_line(found);
                    } else if self.line.len() > LONGEST_LINE {
                        self.stop();
                    }
                    used
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Tells a body from the next answer by its first bytes.
    fn tell_body(
        &mut self,
        same: usize,
        left: u64,
        byte: u8,
        found: &mut impl FnMut(Part<'_>) -> Follows,
    ) {
        if ANSWER.get(same) == Some(&byte) {
            if same + 1 == ANSWER.len() {
                self.end(found);
                self.line.add(ANSWER);
            } else if left > 1 {
                self.place = Place::BodyOrAnswer { same: same + 1, left: left - 1 };
            } else {
                found(Part::Body(ANSWER.get(..=same).unwrap_or_default()));
                self.end(found);
            }
        } else {
            found(Part::Body(ANSWER.get(..same).unwrap_or_default()));
            found(Part::Body(&[byte]));
            self.place = Place::Body(left);
            self.pass_body(left - 1, found);
        }
    }

    fn pass_body(&mut self, left: u64, found: &mut impl FnMut(Part<'_>) -> Follows) {
        match self.place {
            Place::Chunk(_) if left == 0 => self.place = Place::ChunkEnd,
            Place::Chunk(_) => self.place = Place::Chunk(left),
            _ if left == 0 => self.end(found),
            _ => self.place = Place::Body(left),
        }
    }

    fn end(&mut self, found: &mut impl FnMut(Part<'_>) -> Follows) {
        found(Part::End);
        *self = Self::new(self.are_answers);
    }

    fn take_line(&mut self, found: &mut impl FnMut(Part<'_>) -> Follows) {
        let line = std::mem::take(&mut self.line);
        let line = line.kept();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.lines += 1;
        match self.place {
            // Empty lines ahead of a message are passed over.
            Place::First if line.is_empty() => self.lines = 0,
            Place::First => {
                let goes_on = found(Part::First(line)) != Follows::NoHttp;
                self.place = if goes_on { Place::Headers } else { Place::Never };
            }
            Place::Headers if line.is_empty() => self.end_head(found),
            Place::Headers => {
                if let Some(value) = header(line, b"content-length") {
                    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.length = number;
                    self.lines += if number.is_none() { LINES } else { 0 };
                }
                let encoding = header(line, b"transfer-encoding");
                self.is_chunked |= encoding.is_some_and(|is| is.eq_ignore_ascii_case(b"chunked"));
                found(Part::Header(line));
            }
            Place::ChunkSize => {
                let digits = line.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next();
                let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
                self.lines = 0;
                self.place = match digits.and_then(|text| u64::from_str_radix(text, 16).ok()) {
                    Some(0) => Place::Trailers,
                    Some(size) => Place::Chunk(size),
                    None => Place::Never,
                };
            }
            Place::ChunkEnd => self.place = Place::ChunkSize,
            Place::Trailers if line.is_empty() => self.end(found),
            _ => {}
        }
        if self.lines >= LINES {
            self.stop();
        }
    }

    fn end_head(&mut self, found: &mut impl FnMut(Part<'_>) -> Follows) {
        let length = if self.is_chunked { None } else { self.length };
        let follows = found(Part::Head(length));
        self.lines = 0;
        match (follows, length) {
            (Follows::NoHttp, _) => self.stop(),
            (Follows::Nothing, _) | (_, Some(0)) => self.end(found),
            _ if self.is_chunked => self.place = Place::ChunkSize,
            (_, Some(left)) if self.are_answers => {
                self.place = Place::BodyOrAnswer { same: 0, left };
            }
            (_, Some(left)) => self.place = Place::Body(left),
            (_, None) if self.are_answers => self.place = Place::ToEnd,
            (_, None) => self.end(found),
        }
    }
}

/// Returns the value of a header, if it is the one of this name (in small letters).
pub(super) fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (key, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    let is_it = key.trim_ascii().eq_ignore_ascii_case(name);
    is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
}
