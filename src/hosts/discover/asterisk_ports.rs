//! The ports of the Asterisk on this machine, where it mirrors its SIP messages by HEP, and how it writes dates.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::conf_files::ConfFiles;
use crate::config::Config;
use crate::hosts::asterisk::hep_conf::HepConf;
use crate::hosts::asterisk::logger_conf;
use crate::hosts::asterisk::ports::{Driver, Listening, MOST_PORTS, Transport};
use crate::model::exchange::{AsteriskPorts, HepFlow};
use crate::model::scope;
use crate::sys::file_stamp::{FileStamp, are_current};
use crate::sys::sock_diag::{Listener, Protocol, SockDiag, SockDiagError};

/// The user that Asterisk runs as in Debian's and nearly all other packages.
const USER: &str = "asterisk";
/// The ports that the kernel chooses from for a socket that asks for none, by default.
const CHOSEN: RangeInclusive<u16> = 32_768..=60_999;
const PASSWD: &str = "/etc/passwd";

/// The facts that were found out about Asterisk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its ports.
    pub ports: AsteriskPorts,
    /// The copies that it mirrors by HEP, if it does.
    pub hep: Option<HepFlow>,
    /// The form of the dates in its logs, if its configuration says so.
    pub dateformat: Option<String>,
}

/// Asterisk's configuration on disk: read, and read again when one of its files has changed.
#[derive(Debug, Default)]
pub struct AsteriskFiles {
    directory: PathBuf,
    /// The places that were looked at: files, and the directories that they are in.
    seen: BTreeMap<PathBuf, FileStamp>,
    listening: Listening,
    hep: Option<HepConf>,
    dateformat: Option<String>,
    /// The user that Asterisk ran as when it was last there.
    uid: Option<u32>,
    /// The ports of [`AsteriskPorts::heard`], and those that were found when they were last looked for.
    heard: BTreeSet<u16>,
    found: Option<BTreeSet<u16>>,
}

impl AsteriskFiles {
    /// Returns what is to be known of the Asterisk whose configuration is in `directory`, now.
    pub fn look(&mut self, directory: &Path) -> Found {
        if self.directory != directory || !are_current(&self.seen) {
            directory.clone_into(&mut self.directory);
            let mut disk = ConfFiles::new(directory);
            self.listening = Listening::read(&mut disk);
            self.hep = HepConf::read(&mut disk);
            self.dateformat = logger_conf::dateformat(&mut disk);
            (self.seen, _) = disk.finish();
        }
        let sockets = sockets().unwrap_or_default();
        let uid = self.user(&sockets);
        self.hear(heard(&self.listening, &sockets, uid));
        let mut found = Found::of(&self.listening, self.hep.as_ref(), uid);
        found.ports.heard.clone_from(&self.heard);
        found.dateformat.clone_from(&self.dateformat);
        found
    }

    /// Returns the user that Asterisk runs as.
    fn user(&mut self, sockets: &[Listener]) -> u32 {
        let usual = user(USER);
        // While it is restarted, it is nobody else's.
        let owner = owner(&self.listening, sockets, usual);
        self.uid = owner.or(self.uid);
        self.uid.or(usual).unwrap_or(0)
    }

    /// Takes up the ports that are heard at, `None` if Asterisk is not there: the first, and others that are
    /// found twice. A port that comes and goes is not worth loading the table.
    fn hear(&mut self, found: Option<BTreeSet<u16>>) {
        let Some(found) = found else { return };
        if self.found.as_ref().is_none_or(|before| *before == found) {
            self.heard.clone_from(&found);
        }
        self.found = Some(found);
    }
}

/// Returns the ports that this user listens at and that `listening` knows nothing of: SIP may be there. `None`:
/// the user has no socket, or too many programs are root's.
fn heard(listening: &Listening, sockets: &[Listener], uid: u32) -> Option<BTreeSet<u16>> {
    let mut own = sockets.iter().filter(|socket| socket.uid == uid && uid != 0).peekable();
    own.peek()?;
    let others = [&listening.sip, &listening.http, &listening.iax, &listening.ami];
    let known = |number| others.into_iter().flatten().any(|port| port.number == number);
    let calls = [listening.rtp, listening.udptl];
    // A socket for calls, or for questions to name servers, has one of the ports that the kernel chooses from.
    let passing = |socket: &Listener| {
        socket.protocol == Protocol::Udp
            && (scope::is_within(&calls, socket.port) || CHOSEN.contains(&socket.port))
    };
    let own = own
        .filter(|socket| !socket.address.is_loopback() && !passing(socket) && !known(socket.port));
    Some(own.map(|socket| socket.port).take(MOST_PORTS).collect())
}

/// Returns the sockets of this machine that wait for anybody.
///
/// # Errors
/// When the kernel does not list them.
pub fn sockets() -> Result<Vec<Listener>, SockDiagError> {
    SockDiag::open()?.listening()
}

impl Found {
    fn of(listening: &Listening, hep: Option<&HepConf>, uid: u32) -> Self {
        let mut ports = AsteriskPorts::default();
        for port in &listening.sip {
            ports.sip.insert(port.number);
            if port.driver == Driver::Pjsip {
                ports.pjsip.insert(port.number);
            } else {
                ports.chan_sip.insert(port.number);
            }
        }
        let wrapped = listening.sip.iter().filter(|port| {
            matches!(port.transport, Transport::Tls | Transport::Ws | Transport::Wss)
        });
        ports.wrapped = wrapped.map(|port| port.number).collect();
        ports.websocket = listening.http.iter().map(|port| port.number).collect();
        let clear = listening.http.iter().filter(|port| port.transport == Transport::Tcp);
        ports.http = clear.map(|port| port.number).collect();
        ports.iax = listening.iax.iter().map(|port| port.number).collect();
        let datagrams = |number: u16| {
            listening
                .sip
                .iter()
                .any(|port| port.number == number && port.transport == Transport::Udp)
        };
        ports.streams = ports.sip.iter().copied().filter(|number| !datagrams(*number)).collect();
        if let Some(hep) = hep {
            ports.hep_password = hep.capture_password.as_bytes().to_vec();
        }
        let hep = hep.and_then(HepConf::target).map(|to| HepFlow {
            uid,
            to,
            never_from: scope::merged(
                ports
                    .sip
                    .iter()
                    .chain(&ports.iax)
                    .map(|port| (*port, *port))
                    .chain([listening.rtp, listening.udptl]),
            ),
        });
        Self { ports, hep, dateformat: None }
    }

    /// Puts what was found into a configuration.
    pub fn apply(self, config: &mut Config) {
        config.wire.hep = self.hep;
        config.asterisk = self.ports;
        config.dateformat = self.dateformat;
    }
}

/// Returns the user that has SIP's ports open: the usual one, if any of them is its.
fn owner(listening: &Listening, sockets: &[Listener], usual: Option<u32>) -> Option<u32> {
    let is_sip = |socket: &&Listener| listening.sip.iter().any(|port| port.number == socket.port);
    let mut owners = sockets.iter().filter(is_sip).map(|socket| socket.uid);
    let first = owners.next()?;
    usual.filter(|usual| *usual == first || owners.any(|uid| uid == *usual)).or(Some(first))
}

/// The number of a user of this machine.
fn user(name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(PASSWD).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::hosts::asterisk::conf::tests::Memory;

    fn read() -> (Listening, Option<HepConf>) {
        let mut files = Memory::of(&[
            (
                "pjsip.conf",
                "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:5160\n[t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0:5161\n",
            ),
            (
                "hep.conf",
                "[general]\nenabled=yes\ncapture_address=127.0.0.1:9060\ncapture_password=p\n",
            ),
            ("rtp.conf", "[general]\nrtpstart=10000\nrtpend=20000\n"),
        ]);
        (Listening::read(&mut files), HepConf::read(&mut files))
    }

    #[test]
    fn files_are_read_again_when_they_change() {
        let directory = tempfile::tempdir().unwrap();
        let write = |port| {
            let text = format!("[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0:{port}\n");
            std::fs::write(directory.path().join("pjsip.conf"), text).unwrap();
        };
        let mut files = AsteriskFiles::default();
        let mut ports = || files.look(directory.path()).ports.sip.into_iter().collect::<Vec<_>>();
        assert_eq!(ports(), [0; 0]);
        write(5160);
        assert_eq!(ports(), [5160]);
        write(15_060);
        assert_eq!(ports(), [15_060]);
    }

    #[test]
    fn ports_are_told_apart_by_what_they_carry() {
        let (listening, hep) = read();
        let Found { ports, hep, .. } = Found::of(&listening, hep.as_ref(), 77);
        assert!(ports.sip.contains(&5160) && ports.pjsip.contains(&5160));
        assert!(ports.streams.contains(&5161) && !ports.streams.contains(&5160));
        assert!(ports.wrapped.iter().eq(&[5161]));
        assert!(!format!("{ports:?}").contains("112"), "{ports:?}");
        let rule = hep.unwrap().matching();
        assert!(
            rule.starts_with("meta skuid 77 ip daddr 127.0.0.1 udp dport 9060 udp sport != { ")
                && rule.contains("10000-20000")
                && rule.contains("5160-5161"),
            "{rule}"
        );
    }

    #[test]
    fn what_is_wrapped_is_told_from_other_streams() {
        let mut files = Memory::of(&[
            (
                "pjsip.conf",
                "[t]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0\n[s]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\n",
            ),
            (
                "http.conf",
                "[general]\nenabled=yes\nbindaddr=0.0.0.0\ntlsenable=yes\ntlsbindaddr=0.0.0.0:8443\n",
            ),
        ]);
        let Found { ports, .. } = Found::of(&Listening::read(&mut files), None, 0);
        assert!(ports.streams.iter().eq(&[5060, 5061, 8088, 8443]), "{ports:?}");
        assert!(ports.wrapped.iter().eq(&[5061, 8088, 8443]), "{ports:?}");
        assert!(ports.websocket.iter().eq(&[8088, 8443]) && ports.http.iter().eq(&[8088]));
    }

    #[test]
    fn the_user_is_the_one_that_listens() {
        let socket = |port, uid| Listener {
            protocol: Protocol::Udp,
            address: Ipv4Addr::UNSPECIFIED.into(),
            port,
            uid,
        };
        let (listening, _) = read();
        for (sockets, expected) in [
            (&[socket(53, 5), socket(5160, 101)][..], Some(101)),
            (&[socket(5160, 5), socket(5161, 77)], Some(77)),
            (&[socket(53, 77)], None),
        ] {
            assert_eq!(owner(&listening, sockets, Some(77)), expected);
        }
    }
    #[test]
    fn sip_may_be_where_its_user_listens_and_no_file_says_what() {
        let (listening, _) = read();
        let socket = |protocol, port, uid| Listener {
            protocol,
            address: Ipv4Addr::UNSPECIFIED.into(),
            port,
            uid,
        };
        let local =
            Listener { address: Ipv4Addr::LOCALHOST.into(), ..socket(Protocol::Tcp, 5039, 77) };
        let sockets = [
            socket(Protocol::Udp, 5160, 77),
            socket(Protocol::Tcp, 5161, 77),
            socket(Protocol::Tcp, 5038, 77),
            socket(Protocol::Udp, 5070, 77),
            socket(Protocol::Tcp, 40_000, 77),
            // Calls, a question to a name server, others' services.
            socket(Protocol::Udp, 12_000, 77),
            socket(Protocol::Udp, 45_000, 77),
            socket(Protocol::Tcp, 80, 0),
            local,
        ];
        assert_eq!(heard(&listening, &sockets, 77), Some([5070, 40_000].into()));
        assert_eq!(heard(&listening, &sockets, 78), None);
        assert_eq!(heard(&listening, &sockets, 0), None);
    }

    #[test]
    fn ports_that_come_and_go_are_left_alone() {
        let mut files = AsteriskFiles::default();
        let steps: [(Option<&[u16]>, &[u16]); 7] = [
            (Some(&[5070]), &[5070]),
            (Some(&[5070, 9]), &[5070]),
            (Some(&[5070]), &[5070]),
            // It is restarted.
            (None, &[5070]),
            (Some(&[5070, 9]), &[5070]),
            (Some(&[5070, 9]), &[9, 5070]),
            (Some(&[]), &[9, 5070]),
        ];
        for (found, expected) in steps {
            files.hear(found.map(|ports| ports.iter().copied().collect()));
            assert!(files.heard.iter().eq(expected), "{found:?}");
        }
    }
}
