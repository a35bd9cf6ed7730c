//! Entries with fields for journald, by its own protocol (systemd's `JOURNAL_NATIVE_PROTOCOL`).
//!
//! The socket is connected once, before the process gives up the right to do so.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The socket where journald takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to journald.
#[derive(Debug)]
pub struct JournalSocket(UnixDatagram);

impl JournalSocket {
    /// Connects if standard error of this process goes into the journal, as `JOURNAL_STREAM` says (`systemd.exec(5)`). `None` if
    /// it goes elsewhere, or nobody takes entries.
    #[must_use]
    pub fn of_stderr() -> Option<Self> {
        let stream = env::var("JOURNAL_STREAM").ok()?;
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
        (stream == format!("{}:{}", stderr.dev(), stderr.ino()))
            .then(|| Self::connect(SOCKET).ok())?
    }

    fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }

    /// Sends an entry.
    ///
    /// # Errors
    /// When journald does not take it, for example because it is too large for one datagram.
    pub fn send(&self, entry: &Entry) -> io::Result<()> {
        self.0.send(&entry.0).map(drop)
    }
}

/// An entry: fields, each with a name of capital letters, digits and underscores.
#[derive(Debug, Default)]
pub struct Entry(Vec<u8>);

impl Entry {
    /// Appends a field. A value may be any text: with line feeds, its length is written ahead of it.
    pub fn field(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            self.0.push(b'\n');
            self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_becomes_a_field_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let journald = UnixDatagram::bind(directory.path().join("socket")).unwrap();
        let socket = JournalSocket::connect(directory.path().join("socket")).unwrap();
        let mut entry = Entry::default();
        entry.field("MESSAGE", "Ban 198.51.100.7");
        entry.field("ASTERGUARD_ACCOUNT", "1\n_UID=0");
        socket.send(&entry).unwrap();
        let mut bytes = [0; 256];
        let length = journald.recv(&mut bytes).unwrap();
        let expected =
            b"MESSAGE=Ban 198.51.100.7\nASTERGUARD_ACCOUNT\n\x08\0\0\0\0\0\0\x001\n_UID=0\n";
        assert_eq!(&bytes[..length], expected);
        drop(journald);
        assert!(socket.send(&entry).is_err(), "nobody takes it");
    }
}
