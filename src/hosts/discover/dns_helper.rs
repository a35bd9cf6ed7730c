//! Asks another process to look names up: one that may use the network, where the guard may not.
//!
//! Under systemd, `asterguard-names.socket` starts one for each name (`Accept=yes`). The guard, which
//! may change the firewall, then needs no internet socket at all, and parses nothing that a name server
//! sent. A name and a line feed go there, one line of JSON comes back.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::dns::{self, LookupResult};
use crate::model::hostname::HostName;
use crate::sys::peer::Connect;

/// The time that a helper may take: longer than `getaddrinfo` takes with three name servers that are mute.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest request: a name has 253 bytes at most.
const LONGEST_REQUEST: u64 = 256;
/// The longest answer, in bytes; that of [`dns::MOST_ADDRESSES`] takes less than 3 KiB.
const LONGEST_ANSWER: u64 = 8192;

/// The process that looks names up.
#[derive(Clone)]
pub enum Resolver {
    /// This process.
    Here,
    /// The process that listens at this socket, and how a connection to it is had: the guard may make none itself.
    Helper(PathBuf, Connect),
}

impl Resolver {
    /// The addresses of `name`. This may take a minute.
    pub(super) fn look_up(&self, name: &HostName) -> LookupResult {
        match self {
            Self::Here => dns::look_up(name),
            Self::Helper(socket, connect) => ask(connect, name).unwrap_or_else(|error| {
                let socket = socket.display();
                Err(format!("no resolver helper at {socket} (asterguard-names.socket): {error}"))
            }),
        }
    }
}

fn ask(connect: &Connect, name: &HostName) -> io::Result<LookupResult> {
    let mut stream = connect()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{name}")?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER)).read_line(&mut line)?;
    // It is believed no more than `getaddrinfo` would be.
    let answer: Result<Vec<IpAddr>, String> = serde_json::from_str(&line)?;
    Ok(answer.map(dns::usable))
}

/// Answers one question: the other side of a [`Resolver::Helper`].
///
/// # Errors
/// Returns an error if the question cannot be read, is no name, or the answer cannot be written.
pub fn serve(question: impl Read, mut answer: impl Write) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new(question.take(LONGEST_REQUEST)).read_line(&mut line)?;
    let name: HostName = line
        .trim_end()
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let told = dns::look_up(&name);
    writeln!(answer, "{}", serde_json::to_string(&told)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Serves one question at a socket in a directory of its own.
    fn helper(answer: impl FnOnce(UnixStream) + Send + 'static) -> (tempfile::TempDir, Resolver) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("names");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || answer(listener.accept().unwrap().0));
        (directory, resolver(socket))
    }

    /// The process at a socket.
    fn resolver(socket: PathBuf) -> Resolver {
        let path = socket.clone();
        Resolver::Helper(socket, Arc::new(move || UnixStream::connect(&path)))
    }

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn a_helper_answers_what_this_process_would() {
        // RFC 6761: this name never exists, so no network is needed to find nothing.
        let nowhere = name("nowhere.invalid");
        let (_directory, resolver) = helper(|stream| serve(&stream, &stream).unwrap());
        assert_eq!(resolver.look_up(&nowhere), Resolver::Here.look_up(&nowhere));
    }

    #[test]
    fn what_cannot_be_banned_is_not_taken_from_a_helper_either() {
        let (_directory, resolver) = helper(|mut stream| {
            stream.write_all(b"{\"Ok\":[\"127.0.0.1\",\"198.51.100.7\"]}\n").unwrap();
        });
        let answer = resolver.look_up(&name("a.example"));
        assert_eq!(answer, Ok(vec!["198.51.100.7".parse().unwrap()]));
    }

    #[test]
    fn missing_or_nonsensical_helper_is_a_failure() {
        let nobody = resolver("/nonexistent/names".into());
        let why = nobody.look_up(&name("a.example")).unwrap_err();
        assert!(why.contains("asterguard-names.socket") && why.contains("No such file"), "{why}");
        for nonsense in ["", "\n", "198.51.100.7\n", "{\"Ok\":[\"a.example\"]}\n"] {
            let (_directory, resolver) =
                helper(move |mut stream| stream.write_all(nonsense.as_bytes()).unwrap());
            resolver.look_up(&name("a.example")).unwrap_err();
        }
    }

    #[test]
    fn only_names_are_looked_up() {
        for question in ["", "\n", "127.0.0.1\n", "a b\n", &"a".repeat(5000)] {
            let mut answer = Vec::new();
            serve(question.as_bytes(), &mut answer).unwrap_err();
            assert_eq!(answer, b"");
        }
    }
}
