//! A lasting connection to another process of ours: connects again and again, writes lines, and reads those of the other
//! side.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::model::backoff;
use crate::sys::peer::Connect;

/// The time that the other process may take to read.
const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest time before the thread connects again; it doubles each time …
pub const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of memory for the line of the other side that are kept from one line to the next.
const KEPT: usize = 1 << 20;

/// What is said and heard by such a connection.
pub trait Talk: Send + Sync + 'static {
    /// The name of the threads.
    const NAME: &'static str;
    /// The longest line of the other side that is read, in bytes.
    const LONGEST: usize;

    /// Waits for a reason to connect. Whether there is one; else there never will be.
    fn wait_for_reason(&self) -> bool;

    /// Begins with a new connection, which [`UnixStream::shutdown`] ends.
    fn begin(&self, stream: UnixStream);

    /// Waits for something to say, and puts it into `bytes`. Whether there is something; else the connection is to end.
    fn next(&self, bytes: &mut Vec<u8>) -> bool;

    /// Takes a line of the other side. Whether it makes sense; else the connection ends.
    fn hear(&self, line: &[u8]) -> bool;

    /// Records that the other side will say nothing more.
    fn silent(&self);

    /// Records that the connection has ended, why, and whether the other side had said anything.
    fn ended(&self, why: String, worked: bool);

    /// Waits for this time. Whether to go on then.
    fn rest(&self, wait: Duration) -> bool;
}

/// Starts the thread that connects, and a second one while there is a connection.
///
/// # Errors
/// When there can be no thread.
pub fn start<T: Talk>(talk: Arc<T>, connect: Connect, first_wait: Duration) -> io::Result<()> {
    let run = move || run(&*talk, &connect, first_wait);
    thread::Builder::new().name(T::NAME.to_owned()).spawn(run).map(drop)
}

fn run<T: Talk>(talk: &T, connect: &Connect, first_wait: Duration) {
    let mut doublings = 0_u32;
    while talk.wait_for_reason() {
        let (why, worked) = connected(talk, connect);
        doublings = if worked { 0 } else { doublings.saturating_add(1) };
        talk.ended(why, worked);
        let chance = RandomState::new().hash_one(0);
        if !talk.rest(backoff::wait(first_wait, LONGEST_WAIT, doublings, chance)) {
            return;
        }
    }
}

/// Connects, and talks until the connection ends; returns why it did, and whether it had worked.
fn connected<T: Talk>(talk: &T, connect: &Connect) -> (String, bool) {
    let opened = connect().and_then(|stream| {
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok((stream.try_clone()?, stream))
    });
    let (own, stream) = match opened {
        Ok(streams) => streams,
        Err(error) => return (error.to_string(), false),
    };
    talk.begin(own);
    thread::scope(|scope| {
        let reader = thread::Builder::new().name(format!("{}-says", T::NAME));
        let said = reader.spawn_scoped(scope, || read(talk, &stream));
        let written = match &said {
            Ok(_) => write(talk, &stream),
            Err(_) => Err(io::ErrorKind::OutOfMemory.into()),
        };
        let _ = stream.shutdown(Shutdown::Both);
        let said = said.ok().and_then(|said| said.join().ok());
        let worked = said.as_ref().is_some_and(|(_, worked)| *worked);
        let said = said.map_or(Ok(()), |(said, _)| said);
        let why = match written.and(said) {
            Err(error) => error.to_string(),
            Ok(()) => "its process has ended".to_owned(),
        };
        (why, worked)
    })
}

fn write(talk: &impl Talk, mut stream: &UnixStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    while talk.next(&mut bytes) {
        stream.write_all(&bytes)?;
        bytes.clear();
    }
    Ok(())
}

/// Reads lines until the connection ends; says whether there was one.
fn read<T: Talk>(talk: &T, stream: &UnixStream) -> (io::Result<()>, bool) {
    let (mut reader, mut text, mut worked) = (BufReader::new(stream), Vec::new(), false);
    let ended = loop {
        text.clear();
        text.shrink_to(KEPT);
        match (&mut reader).take(T::LONGEST as u64).read_until(b'\n', &mut text) {
            Err(error) => break Err(error),
            Ok(0) => break Ok(()),
            Ok(_) => {}
        }
        if !text.ends_with(b"\n") || !talk.hear(&text) {
            let nonsense = "its process says what makes no sense";
            break Err(io::Error::new(io::ErrorKind::InvalidData, nonsense));
        }
        worked = true;
    };
    talk.silent();
    (ended, worked)
}

/// The other process of a test: how to connect to it, the connections that it has, and the directory of its socket.
#[cfg(test)]
pub fn other() -> (Connect, std::sync::mpsc::Receiver<UnixStream>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let (accepted, streams) = std::sync::mpsc::channel();
    thread::spawn(move || listener.incoming().flatten().try_for_each(|it| accepted.send(it)));
    (Arc::new(move || UnixStream::connect(&socket)), streams, directory)
}
