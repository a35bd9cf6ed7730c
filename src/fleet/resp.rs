//! Reads answers of a Valkey or Redis server (RESP 2), and writes commands. Whatever the server sends, memory is bounded.

use std::io::{self, BufRead};
use std::time::Duration;

use thiserror::Error;

use crate::sys::clock::monotonic_now;
use crate::sys::tcp::is_for_now;

/// Bytes of a line that is no bulk.
const LONGEST_LINE: usize = 1024;
/// Bytes of a bulk that is kept; a longer one is read and let go.
pub const LONGEST_BULK: usize = 256 << 10;
/// Items of an array, and how deep arrays may lie in arrays.
const MOST_ITEMS: usize = 4096;
const DEEPEST: usize = 4;
/// Bytes of all bulks of an answer that are kept.
const LARGEST: usize = 4 << 20;
/// The time in which an answer that has begun must end.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A short text.
    Text(String),
    /// The server refuses.
    Error(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Bytes that were too many to be kept.
    TooLarge,
    /// Nothing.
    Nothing,
    /// Several.
    Array(Vec<Reply>),
}

/// The reason why there is no answer.
#[derive(Debug, Error)]
pub enum NoReply {
    /// The connection is over.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are no answer.
    #[error("the server's answer makes no sense: this is no Valkey or Redis server")]
    Nonsense,
    /// The answer is larger than any that was asked for.
    #[error("the server's answer is too large")]
    TooLarge,
}

impl Reply {
    /// Returns the items of an array.
    #[must_use]
    pub fn items(self) -> Vec<Reply> {
        match self {
            Self::Array(items) => items,
            _ => Vec::new(),
        }
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Commands that are sent together.
#[derive(Debug, Default)]
pub struct Commands {
    /// As they are sent.
    pub bytes: Vec<u8>,
    /// Their number, and so that of the answers.
    pub number: usize,
}

impl Commands {
    /// Adds a command.
    pub fn add(&mut self, words: &[&[u8]]) {
        self.bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
        for word in words {
            self.bytes.extend(format!("${}\r\n", word.len()).into_bytes());
            self.bytes.extend_from_slice(word);
            self.bytes.extend_from_slice(b"\r\n");
        }
        self.number += 1;
    }
}

/// Reads the next answer; `None` if none has begun when the connection's own limit of time is over.
///
/// # Errors
/// When the connection is over, or can be used no longer.
pub fn read(from: &mut impl BufRead) -> Result<Option<Reply>, NoReply> {
    match from.fill_buf() {
        Ok([]) => return Err(closed().into()),
        Ok(_) => {}
        Err(error) if is_for_now(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let until = monotonic_now().plus(PATIENCE).millis();
    let mut reading = Reading { from, until, left: LARGEST };
    reading.reply(0).map(Some)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server has closed the connection")
}

struct Reading<'a, R> {
    from: &'a mut R,
    until: i64,
    left: usize,
}

impl<R: BufRead> Reading<'_, R> {
    fn reply(&mut self, depth: usize) -> Result<Reply, NoReply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(NoReply::Nonsense)?;
        let number = || rest.parse::<i64>().map_err(|_| NoReply::Nonsense);
        match kind {
            "+" => Ok(Reply::Text(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Number(number()?)),
            "$" => match usize::try_from(number()?) {
                Ok(length) => self.bulk(length),
                Err(_) => Ok(Reply::Nothing),
            },
            "*" => match usize::try_from(number()?) {
                Ok(items) if items > MOST_ITEMS || depth >= DEEPEST => Err(NoReply::TooLarge),
                Ok(items) => (0..items)
                    .map(|_| self.reply(depth + 1))
                    .collect::<Result<_, _>>()
                    .map(Reply::Array),
                Err(_) => Ok(Reply::Nothing),
            },
            _ => Err(NoReply::Nonsense),
        }
    }

    /// Returns what has come, at least a byte.
    fn fill(&mut self) -> Result<usize, NoReply> {
        loop {
            match self.from.fill_buf() {
                Ok([]) => return Err(closed().into()),
                Ok(bytes) => return Ok(bytes.len()),
                Err(error) if is_for_now(&error) => {
                    if monotonic_now().millis() > self.until {
                        let late = "the server does not go on with its answer";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, late).into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, NoReply> {
        self.fill()?;
        let byte = self.from.fill_buf()?.first().copied().ok_or(NoReply::Nonsense)?;
        self.from.consume(1);
        Ok(byte)
    }

    fn line(&mut self) -> Result<String, NoReply> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() >= LONGEST_LINE => return Err(NoReply::TooLarge),
                byte => line.push(byte),
            }
        }
        if line.pop() != Some(b'\r') {
            return Err(NoReply::Nonsense);
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn bulk(&mut self, length: usize) -> Result<Reply, NoReply> {
        let is_kept = length <= LONGEST_BULK;
        if is_kept {
            self.left = self.left.checked_sub(length).ok_or(NoReply::TooLarge)?;
        }
        let (mut kept, mut missing) = (Vec::new(), length);
        while missing > 0 {
            let there = self.fill()?.min(missing);
            let bytes = self.from.fill_buf()?.get(..there).unwrap_or_default();
            if is_kept {
                kept.extend_from_slice(bytes);
            }
            self.from.consume(there);
            missing -= there;
        }
        if [self.byte()?, self.byte()?] != *b"\r\n" {
            return Err(NoReply::Nonsense);
        }
        Ok(if is_kept { Reply::Bulk(kept) } else { Reply::TooLarge })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut bytes: &[u8]) -> Result<Reply, NoReply> {
        read(&mut bytes).map(Option::unwrap)
    }

    #[test]
    fn answers_are_read() {
        let mut commands = Commands::default();
        commands.add(&[b"SET", b"a\r\n", b""]);
        assert_eq!(commands.bytes, b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n");
        let read = all(b"*5\r\n+OK\r\n:-2\r\n$3\r\na\r\n\r\n$-1\r\n*0\r\n").unwrap();
        let expected = [
            Reply::Text("OK".to_owned()),
            Reply::Number(-2),
            Reply::Bulk(b"a\r\n".to_vec()),
            Reply::Nothing,
            Reply::Array(vec![]),
        ];
        assert_eq!(read.items(), expected);
    }

    #[test]
    fn a_hostile_server_takes_no_memory() {
        let endless = [&b"+"[..], &[b'x'; 5000]].concat();
        assert!(matches!(all(&endless), Err(NoReply::TooLarge)));
        assert!(matches!(all(b"*1000000000\r\n"), Err(NoReply::TooLarge)));
        let deep = b"*1\r\n".repeat(10);
        assert!(matches!(all(&deep), Err(NoReply::TooLarge)));
        let large = [b"$300000\r\n".to_vec(), vec![0; 300_000], b"\r\n".to_vec()].concat();
        assert_eq!(all(&large).unwrap(), Reply::TooLarge);
        assert!(matches!(all(b"$536870912\r\nabc"), Err(NoReply::Io(_))));
        let much = [b"*20\r\n".to_vec(), large_bulks(20)].concat();
        assert!(matches!(all(&much), Err(NoReply::TooLarge)));
        for nonsense in
            [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\r\n", b"$x\r\n", b"+a\n", b"$1\r\nabc"]
        {
            assert!(matches!(all(nonsense), Err(NoReply::Nonsense)), "{nonsense:?}");
        }
    }

    fn large_bulks(number: usize) -> Vec<u8> {
        let one = [b"$262144\r\n".to_vec(), vec![0; 262_144], b"\r\n".to_vec()].concat();
        one.repeat(number)
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            let _ = all(&bytes);
        }
    }
}
