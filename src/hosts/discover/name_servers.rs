//! The name servers of this machine, as resolv.conf(5) has them.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use crate::model::listed::{ExemptNetwork, ExemptReason};
use crate::sys::file_stamp::{FileStamp, stamp};

/// The second one has the servers behind systemd-resolved's own (systemd-resolved.service(8)).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Bytes of a file that are read.
const LARGEST: u64 = 64 << 10;
/// Name servers of a file at most; resolv.conf(5) has three.
const MOST: usize = 16;

/// The content of the files when they were last read.
#[derive(Debug, Default)]
pub struct NameServers {
    seen: [FileStamp; 2],
    found: Vec<ExemptNetwork>,
}

impl NameServers {
    /// Reads the files again if one has changed; says whether.
    pub fn look(&mut self) -> bool {
        let now = FILES.map(|file| stamp(Path::new(file)));
        if now == self.seen {
            return false;
        }
        self.seen = now;
        self.found = FILES.iter().flat_map(|file| read(file)).collect();
        true
    }

    /// The name servers.
    pub fn entries(&self) -> impl Iterator<Item = ExemptNetwork> {
        self.found.iter().cloned()
    }
}

fn read(file: &str) -> Vec<ExemptNetwork> {
    let mut bytes = Vec::new();
    // One that cannot be read, or is not there, names nobody.
    let _ = File::open(file).and_then(|open| open.take(LARGEST).read_to_end(&mut bytes));
    let entry =
        |server| ExemptNetwork::new(server, ExemptReason::Resolver { file: file.to_owned() });
    servers(&String::from_utf8_lossy(&bytes)).into_iter().map(entry).collect()
}

/// The addresses behind `nameserver`; of link-local ones without the interface.
fn servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let word = (words.next()? == "nameserver").then(|| words.next())??;
        word.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(server).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.53 # office\n\
                    nameserver\t2001:db8::53\nnameserver fe80::1%eth0\nnameserver dns\n\
                    nameservers 192.0.2.8\nnameserver\n";
        let found: Vec<_> = servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.53", "2001:db8::53", "fe80::1"]);
    }
}
