//! The addresses from which users are logged in on this machine: authenticated sessions, not connections.
//!
//! systemd-logind keeps a file for each session in `/run/systemd/sessions`; it is what
//! `sd_session_get_remote_host(3)` reads. Where logind does not run, there is utmp(5).

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::model::subject::canonical;
use crate::sys::file_stamp::{FileStamp, stamp};

const LOGIND: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
/// Sessions at most.
const MOST: usize = 256;
/// Bytes of a session's file that are read.
const LARGEST: u64 = 16 << 10;

/// The hosts from which users are logged in.
#[derive(Debug, Default)]
pub struct LoginHosts {
    seen: Vec<FileStamp>,
    found: Vec<ExemptNetwork>,
}

impl LoginHosts {
    /// Looks again; says whether anything has changed.
    pub fn look(&mut self) -> bool {
        let files = match fs::read_dir(LOGIND) {
            Ok(entries) => {
                // References are FIFOs: opening one would wait for whoever writes to it.
                let session = |path: &std::path::PathBuf| path.extension().is_none();
                let paths = entries.flatten().map(|entry| entry.path()).filter(session);
                Some(paths.take(MOST).collect::<Vec<_>>())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => Some(Vec::new()),
        };
        let seen: Vec<_> = match &files {
            Some(paths) => paths.iter().map(|path| stamp(path)).collect(),
            None => vec![stamp(Path::new(UTMP))],
        };
        if seen == self.seen {
            return false;
        }
        self.seen = seen;
        let sessions: Vec<_> = match files {
            Some(paths) => paths.iter().filter_map(|path| logind(&text(path, LARGEST)?)).collect(),
            None => bytes(Path::new(UTMP), (MOST * RECORD) as u64).map_or_else(Vec::new, |bytes| {
                bytes.chunks_exact(RECORD).filter_map(utmp).collect()
            }),
        };
        let entry = |(user, host)| ExemptNetwork::new(host, ExemptReason::Session { user });
        self.found = sessions.into_iter().map(entry).collect();
        true
    }

    /// The hosts that they are logged in from.
    pub fn entries(&self) -> impl Iterator<Item = ExemptNetwork> {
        self.found.iter().cloned()
    }
}

fn bytes(path: &Path, most: u64) -> Option<Vec<u8>> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn text(path: &Path, most: u64) -> Option<String> {
    bytes(path, most).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// User and address of a session file, if it is one of a user from elsewhere that is not over.
fn logind(text: &str) -> Option<(String, IpAddr)> {
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let user = value("REMOTE") == Some("1") && value("CLASS") == Some("user");
    if !user || value("STATE") == Some("closing") {
        return None;
    }
    // sshd gives a name instead if `UseDNS` is on; a name that the guest's own DNS gives it is no
    // proof of an address.
    let host = value("REMOTE_HOST")?.trim_matches('"').parse().ok()?;
    Some((value("USER").or(value("UID"))?.to_owned(), canonical(host)))
}

/// The size of a `struct utmp` of glibc, and where `ut_addr_v6` is in it.
#[cfg(target_arch = "x86_64")]
const LAYOUT: (usize, usize) = (384, 348);
#[cfg(not(target_arch = "x86_64"))]
const LAYOUT: (usize, usize) = (400, 360);
const RECORD: usize = LAYOUT.0;
/// `USER_PROCESS`: a user has logged in.
const LOGGED_IN: i16 = 7;

/// User and address of a record, if it is one of a user from elsewhere.
fn utmp(record: &[u8]) -> Option<(String, IpAddr)> {
    if i16::from_ne_bytes(*record.first_chunk()?) != LOGGED_IN {
        return None;
    }
    let octets: [u8; 16] = *record.get(LAYOUT.1..)?.first_chunk()?;
    let [a, b, c, d, rest @ ..] = octets;
    // An IPv4 address has the first four bytes for itself.
    let host = match (rest == [0; 12], Ipv4Addr::new(a, b, c, d)) {
        (true, Ipv4Addr::UNSPECIFIED) => return None,
        (true, v4) => IpAddr::V4(v4),
        (false, _) => IpAddr::V6(Ipv6Addr::from(octets)),
    };
    let user = record.get(44..76)?.split(|byte| *byte == 0).next()?;
    Some((String::from_utf8_lossy(user).into_owned(), canonical(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 252 writes it for an SSH login.
    const SESSION: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=alice\nACTIVE=1\n\
        IS_DISPLAY=0\nSTATE=active\nREMOTE=1\nTYPE=tty\nORIGINAL_TYPE=tty\nCLASS=user\n\
        SCOPE=session-5.scope\nFIFO=/run/systemd/sessions/5.ref\nREMOTE_HOST=203.0.113.7\n\
        SERVICE=sshd\nPOSITION=0\nLEADER=812\nAUDIT=5\nREALTIME=1795320069000000\n";

    #[test]
    fn a_session_from_elsewhere_counts_while_it_lasts() {
        let alice = Some(("alice".to_owned(), "203.0.113.7".parse().unwrap()));
        assert_eq!(logind(SESSION), alice);
        assert_eq!(logind(&SESSION.replace("203.0.113.7", "::ffff:203.0.113.7")), alice);
        for (word, other) in [
            ("REMOTE=1", "REMOTE=0"),
            ("STATE=active", "STATE=closing"),
            ("CLASS=user", "CLASS=greeter"),
            ("203.0.113.7", "pool-7.example.com"),
            ("203.0.113.7", ""),
        ] {
            assert_eq!(logind(&SESSION.replace(word, other)), None, "{other}");
        }
        assert_eq!(logind(""), None);
    }

    fn record(kind: i16, user: &str, address: &[u8]) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record[LAYOUT.1..LAYOUT.1 + address.len()].copy_from_slice(address);
        record
    }

    #[test]
    fn so_does_a_record_of_utmp() {
        let read = |record: Vec<u8>| utmp(&record).map(|(user, host)| format!("{user} {host}"));
        let v6: [u8; 16] = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(read(record(7, "alice", &[203, 0, 113, 7])).unwrap(), "alice 203.0.113.7");
        assert_eq!(read(record(7, &"b".repeat(32), &v6)).unwrap().len(), 32 + 12);
        assert_eq!(read(record(7, "local", &[])), None);
        assert_eq!(read(record(8, "gone", &[203, 0, 113, 7])), None);
        assert_eq!(utmp(&[7, 0, 0]), None);
    }
}
