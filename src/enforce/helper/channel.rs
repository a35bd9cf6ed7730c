//! The socket between guard and firewall helper: messages with their length ahead, now and then with a file
//! descriptor.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Request;
use crate::enforce::SinkError;

/// The longest message, in bytes: a comparison in which every one of a million bans differs.
const LONGEST: usize = 128 << 20;

/// One end of the socket.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl From<OwnedFd> for Channel {
    fn from(end: OwnedFd) -> Self {
        Self(end.into())
    }
}

impl Channel {
    /// Returns a socket: one end, and the other.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Self(one), other.into()))
    }

    /// Asks the firewall helper for something, and waits for its answer.
    ///
    /// # Errors
    /// The error that the firewall helper answers, or [`SinkError::Io`] if it does not.
    pub fn call<T: DeserializeOwned>(&mut self, request: &Request<'_>) -> Result<T, SinkError> {
        self.exchange(request, None).map(|(answer, _)| answer)
    }

    /// Does the same, with a file descriptor on the way there or back.
    ///
    /// # Errors
    /// As [`Channel::call`].
    pub fn exchange<T: DeserializeOwned>(
        &mut self,
        request: &Request<'_>,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(T, Option<OwnedFd>), SinkError> {
        self.send(request, fd)?;
        let (answer, fd): (Result<T, SinkError>, _) = self.receive()?;
        Ok((answer?, fd))
    }

    /// Asks the firewall helper for a socket.
    ///
    /// # Errors
    /// As [`Channel::call`].
    pub fn socket(&mut self, request: &Request<'_>) -> io::Result<OwnedFd> {
        match self.exchange::<()>(request, None) {
            Ok(((), Some(socket))) => Ok(socket),
            Ok(((), None)) => Err(io::ErrorKind::InvalidData.into()),
            Err(SinkError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Answers a request.
    pub(in crate::enforce) fn answer<T: Serialize>(
        &mut self,
        answer: &Result<T, SinkError>,
    ) -> io::Result<()> {
        self.send(answer, None)
    }

    /// Sends a message.
    pub(super) fn send(
        &mut self,
        message: &impl Serialize,
        fd: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut bytes = postcard::to_extend(message, vec![0; size_of::<u32>()])
            .map_err(|error| broken(&error))?;
        let length = bytes.len() - size_of::<u32>();
        let head = u32::try_from(length).ok().filter(|_| length <= LONGEST);
        let head =
            head.ok_or_else(|| broken(&format!("a message of {length} bytes is too long")))?;
        if let Some(place) = bytes.first_chunk_mut() {
            *place = head.to_le_bytes();
        }
        let sent = match fd {
            Some(fd) => self.send_fd(&bytes, fd)?,
            None => 0,
        };
        self.0.write_all(bytes.get(sent..).unwrap_or_default())
    }

    /// Sends a file descriptor with the beginning of `bytes`; says how many of them went with it.
    fn send_fd(&self, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        rights.push(SendAncillaryMessage::ScmRights(&fds));
        let flags = SendFlags::NOSIGNAL;
        Ok(sendmsg(self.0.as_fd(), &[IoSlice::new(bytes)], &mut rights, flags)?)
    }

    /// Waits for a message. No more memory is taken than has been received.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<(T, Option<OwnedFd>)> {
        let (head, fd) = self.receive_head()?;
        let length = u32::from_le_bytes(head) as usize;
        if length > LONGEST {
            return Err(broken(&format!("a message of {length} bytes is too long")));
        }
        let mut bytes = Vec::new();
        (&self.0).take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((postcard::from_bytes(&bytes).map_err(|error| broken(&error))?, fd))
    }

    fn receive_head(&self) -> io::Result<([u8; size_of::<u32>()], Option<OwnedFd>)> {
        let (mut head, mut fd) = ([0; size_of::<u32>()], None);
        let mut filled = 0;
        while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
            let mut rights = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(rest)];
            match recvmsg(self.0.as_fd(), &mut into, &mut rights, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) if received.bytes == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(received) => filled += received.bytes,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for right in rights.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = right {
                    fd = fds.last().or(fd);
                }
            }
        }
        Ok((head, fd))
    }
}

fn broken(error: &impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::io::Seek as _;

    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = Channel::pair().unwrap();
        (one, other.into())
    }

    #[test]
    fn messages_and_file_descriptors_arrive_in_order() {
        let (mut one, mut other) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        one.send(&Request::Connect, Some(file.as_fd())).unwrap();
        one.send(&Request::Named(Cow::Borrowed("fed")), None).unwrap();
        let (request, fd): (Request<'_>, _) = other.receive().unwrap();
        assert!(matches!(request, Request::Connect));
        let mut text = String::new();
        std::fs::File::from(fd.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let (request, fd): (Request<'_>, _) = other.receive().unwrap();
        assert!(matches!(request, Request::Named(name) if name == "fed") && fd.is_none());
        drop(one);
        let ended = other.receive::<Request<'_>>().unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn errors_keep_what_depends_on_them() {
        let (mut one, mut other) = pair();
        for error in [
            SinkError::NoTable,
            SinkError::Io(io::Error::from_raw_os_error(105)),
            SinkError::NoProgram { program: "nft".to_owned(), error: io::Error::other("gone") },
        ] {
            let words = error.to_string();
            one.send(&Err::<(), _>(error), None).unwrap();
            let (answer, _): (Result<(), SinkError>, _) = other.receive().unwrap();
            assert_eq!(answer.unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn a_length_that_is_too_great_takes_no_memory() {
        let (one, mut other) = pair();
        (&one.0).write_all(&u32::MAX.to_le_bytes()).unwrap();
        let error = other.receive::<Request<'_>>().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        /// Anything that a guard that has been taken over says is a request or an error.
        #[test]
        fn any_bytes_can_be_received(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (one, mut other) = pair();
            (&one.0).write_all(&u32::try_from(bytes.len()).unwrap().to_le_bytes()).unwrap();
            (&one.0).write_all(&bytes).unwrap();
            drop(one);
            let _ = other.receive::<Request<'_>>();
        }
    }
}
