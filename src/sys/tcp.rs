//! Connections over TCP, with TLS or without, begun within a time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

/// How long each thing may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// That a connection is made, for each address of the host.
    pub connecting: Duration,
    /// That a read waits for bytes: then it [finds nothing yet](is_for_now).
    pub turn: Duration,
    /// That the other side takes what is sent.
    pub sending: Duration,
}

/// A connection.
pub enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Within TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to the first address of a host that takes it.
    ///
    /// # Errors
    /// What the last address said, or that there is none.
    pub fn connect(
        host: &str,
        port: u16,
        tls: Option<ClientConnection>,
        times: Times,
    ) -> io::Result<Self> {
        let tcp = connect(host, port, times.connecting)?;
        tcp.set_read_timeout(Some(times.turn))?;
        tcp.set_write_timeout(Some(times.sending))?;
        tcp.set_nodelay(true)?;
        Ok(match tls {
            Some(client) => Self::Tls(Box::new(StreamOwned::new(client, tcp))),
            None => Self::Plain(tcp),
        })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is over, or takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => {
                stream.write_all(bytes).and_then(|()| stream.flush()).map_err(in_words)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer).map_err(in_words),
        }
    }
}

/// Says of a connection within TLS that it has ended, without the address of a manual for programmers.
fn in_words(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return io::Error::new(error.kind(), "the other side has closed the connection");
    }
    error
}

fn connect(host: &str, port: u16, within: Duration) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, within) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Whether a read only found nothing yet.
#[must_use]
pub fn is_for_now(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
