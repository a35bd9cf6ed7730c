//! AMI: what our PBX answers on a connection until somebody has logged in.
//!
//! A banner of one line, then messages of lines `Key: value`, each ended by an empty line. A line ends at CR and LF
//! and at nothing else: an answer repeats the client's `ActionID`, in which older versions let either of the two
//! stand alone. The line `Message: ` of an error is Asterisk's own text. (`manager.c`, 16 to 23.)

use super::line::Line;

/// The words that a connection begins with.
pub const BANNER: &[u8] = b"Asterisk Call Manager/";
/// The most of a line that is kept: more than any that is compared.
const LINE: usize = 48;

/// A message, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The banner.
    Banner,
    /// A login was refused.
    Refused,
    /// A login was accepted.
    Accepted,
    /// A challenge, which may be answered by a login.
    Challenge,
    /// Any other error.
    Error,
    /// Any other message.
    Other,
}

/// Reads messages wherever a connection is cut. Fixed size but for one line of at most 48 bytes.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    begun: bool,
    alien: bool,
    line: Line<LINE>,
    lines: usize,
    response: Response,
    said: Option<Message>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Response {
    #[default]
    None,
    Success,
    Error,
}

impl Reader {
    /// Reads on, and hands each message to `found`, which says whether to go on.
    pub fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(Message) -> bool) {
        while !self.alien && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let Some(end) = end else {
                self.line.add(bytes);
                self.look(false);
                return;
            };
            let Some((part, rest)) = bytes.split_at_checked(end + 1) else { return };
            // The CR may have come with the last part.
            let before = if end > 0 { part.get(end - 1).copied() } else { self.line.last() };
            self.line.add(part);
            bytes = rest;
            if before != Some(b'\r') {
                continue;
            }
            self.look(true);
            let message = if self.alien { None } else { self.take_line() };
            self.line.clear();
            if message.is_some_and(|message| !found(message)) {
                return;
            }
        }
    }

    /// Whether what came is no AMI: it began with something else than the banner.
    #[must_use]
    pub fn is_alien(&self) -> bool {
        self.alien
    }

    /// Looks whether a connection begins as AMI's do.
    fn look(&mut self, whole: bool) {
        if self.begun {
            return;
        }
        let line = self.line.kept();
        let begins = line.starts_with(BANNER) || (!whole && BANNER.starts_with(line));
        self.alien = !begins;
    }

    fn take_line(&mut self) -> Option<Message> {
        if !self.begun {
            self.begun = true;
            return Some(Message::Banner);
        }
        let line = self.line.without(b"\r\n");
        if line != Some(b"") {
            match line {
                Some(b"Response: Success") if self.lines == 0 => self.response = Response::Success,
                Some(b"Response: Error") if self.lines == 0 => self.response = Response::Error,
                Some(b"Message: Authentication accepted") => self.said = Some(Message::Accepted),
                Some(b"Message: Authentication failed") => self.said = Some(Message::Refused),
                Some(line) if line.starts_with(b"Challenge: ") => {
                    self.said = Some(Message::Challenge);
                }
                _ => {}
            }
            self.lines += 1;
            return None;
        }
        let message = match (self.response, self.said) {
            (Response::Success, Some(said @ (Message::Accepted | Message::Challenge))) => said,
            (Response::Error, Some(Message::Refused)) => Message::Refused,
            (Response::Error, _) => Message::Error,
            _ => Message::Other,
        };
        (self.lines, self.response, self.said) = (0, Response::None, None);
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], sizes: &[usize]) -> Vec<Message> {
        let (mut reader, mut found, mut rest) = (Reader::default(), Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            let (part, more) = rest.split_at((*size).min(rest.len()));
            reader.read(part, |message| {
                found.push(message);
                true
            });
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        found
    }

    /// As Asterisk 22.10 wrote it, and what older ones make of a client's text.
    const TALK: &str = "Asterisk Call Manager/11.0.0\r\n\
        Response: Success\r\nChallenge: 986976528\r\n\r\n\
        Response: Error\r\nMessage: Permission denied\r\n\r\n\
        Response: Error\r\nActionID: x\nMessage: Authentication failed\r\nMessage: Missing action in request\r\n\r\n\
        Response: Error\r\nActionID: x\rMessage: Authentication failed\r\rb\r\nMessage: Authentication failed\r\n\r\n\
        Response: Success\r\nActionID: Response: Error\nMessage: Authentication failed\n\n\r\nMessage: Authentication accepted\r\n\r\n";

    const MEANT: [Message; 6] = [
        Message::Banner,
        Message::Challenge,
        Message::Error,
        Message::Error,
        Message::Refused,
        Message::Accepted,
    ];

    #[test]
    fn lines_end_at_both_and_at_nothing_else() {
        assert_eq!(read(TALK.as_bytes(), &[9999]), MEANT);
        // No AMI: nothing of it is read.
        let other = TALK.replace("Asterisk Call", "Another Call");
        assert_eq!(read(other.as_bytes(), &[9999]), []);
        assert_eq!(
            read(
                b"Asterisk Call Manager/1\r\nEvent: X\r\nMessage: Authentication failed\r\n\r\n",
                &[99]
            ),
            [Message::Banner, Message::Other]
        );
        // Only a whole line counts.
        assert_eq!(read(b"Asterisk Call Manager/1\r\nResponse: Error\r\nMessage: Authentication failed now, but it goes on for so long\r\n\r\n", &[99]), [Message::Banner, Message::Error]);
    }

    proptest! {
        #[test]
        fn any_segments_give_the_same(sizes in prop::collection::vec(1_usize..90, 1..9)) {
            prop_assert_eq!(read(TALK.as_bytes(), &sizes), MEANT);
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1_usize..90, 1..9)) {
            let bytes = [BANNER, &bytes].concat();
            let found = read(&bytes, &sizes);
            prop_assert!(found.len() <= bytes.len() / 2 + 1);
        }
    }
}
