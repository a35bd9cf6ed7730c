//! Reads the kernel's counters, and what was put into sets by hand: on request, by a socket
//! of its own.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use super::interval::{keyed, networks};
use super::message::Key;
use super::reply::{Count, Found};
use super::socket::Socket;
use super::{SinkError, failed, held};
use crate::model::event::{KernelElement, Passed, ScopeId};
use crate::model::pause::Pause;
use crate::model::subject::Subject;
use crate::model::time::Time;
use crate::table::geofence_rules::ABROAD;
use crate::table::list_sets::{ListKind, ListSet};
use crate::table::passed_rules::PASSED;
use crate::table::sip_rules::{COUNTING, LIMITED, LIMITED_MAX, SERVED, TALKED};
use crate::table::structure::{SetKey, SetKind, Structure};

/// The sets that are the administrator's own.
const BY_HAND: [&str; 2] = ["block4", "block6"];

/// A socket for reading.
#[derive(Debug)]
pub struct CounterSocket(Socket);

impl CounterSocket {
    /// Opens it, in the network namespace of the thread that calls this.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn open() -> io::Result<Self> {
        Socket::open().map(Self)
    }

    /// Packets and bytes of everybody that the sets of `structure`'s scopes hold. What changes meanwhile
    /// may be missing.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn banned(
        &mut self,
        structure: &Structure,
    ) -> Result<HashMap<(ScopeId, Subject), Count>, SinkError> {
        let mut counts = HashMap::new();
        for (scope, kind, set) in structure.sets() {
            let mut count = |key: Option<SetKey>, dropped: Option<Count>| {
                let subject = key.and_then(|key| structure.subject(scope, key));
                let entry = subject.zip(dropped);
                counts.extend(entry.map(|(subject, count)| ((scope, subject), count)));
            };
            if kind == SetKind::Networks {
                let mut held = Vec::new();
                self.each(&set, |found| held.push(found))?;
                for (key, found) in keyed(kind, held) {
                    count(Some(key), found.dropped);
                }
            } else {
                self.each(&set, |found| count(found.set_key(), found.dropped))?;
            }
        }
        Ok(counts)
    }

    /// Returns the bans that the sets of `structure` hold, begun to be listed at `now`, however long that takes. A ban that
    /// comes or goes meanwhile may be missing, or be there though it is gone.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn held(
        &mut self,
        structure: &Structure,
        now: Time,
    ) -> Result<Vec<KernelElement>, SinkError> {
        held::elements_meanwhile(&mut self.0, structure, now)
    }

    /// Whether a pause is in force at `now`, and until when.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn paused(&mut self, now: Time) -> Result<Pause, SinkError> {
        held::pause(&mut self.0, now)
    }

    /// Packets and bytes of the networks that are blocked.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn blocked(&mut self, sets: &[ListSet]) -> Result<HashMap<IpNet, Count>, SinkError> {
        let mut counts = HashMap::new();
        for set in sets.iter().filter(|set| set.kind == ListKind::Block) {
            self.each(&set.name, |found| {
                let net = found.address().and_then(|first| IpNet::new(first, set.bits).ok());
                counts.extend(net.zip(found.dropped));
            })?;
        }
        Ok(counts)
    }

    /// Returns the networks that somebody put into the sets that are not the guard's.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn by_hand(&mut self) -> Result<Vec<IpNet>, SinkError> {
        let mut nets = Vec::new();
        for set in BY_HAND {
            let mut ends = Vec::new();
            self.each(set, |found| ends.extend(found.address().zip(Some(found.ends))))?;
            nets.extend(networks(ends));
        }
        Ok(nets)
    }

    /// Returns the hosts that the kernel's own limiter has found, and whether one of its sets is full, so
    /// that it cannot find others.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn limited(&mut self) -> Result<(Vec<IpAddr>, bool), SinkError> {
        let (mut hosts, mut full) = (Vec::new(), false);
        for set in LIMITED {
            let before = hosts.len();
            self.each(set, |found| hosts.extend(found.address()))?;
            full |= hosts.len() - before >= LIMITED_MAX;
        }
        for set in COUNTING {
            let mut count = 0;
            self.each(set, |_| count += 1)?;
            full |= count >= LIMITED_MAX;
        }
        Ok((hosts, full))
    }

    /// Returns how many TCP segments that are not empty our PBX has sent to this host and port from a port
    /// at which it speaks SIP encrypted; `None` if none within 5 seconds, or if that is not recorded. Each
    /// 5 seconds without one it begins anew. Takes no longer where many are recorded.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn talked(&mut self, flow: Subject) -> Result<Option<u64>, SinkError> {
        self.sent(TALKED, flow)
    }

    /// Packets with data that went lately to this host from this port of this machine, at which a service listens that is not
    /// Asterisk's; as [`CounterSocket::talked`].
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn served(&mut self, flow: Subject) -> Result<Option<u64>, SinkError> {
        self.sent(SERVED, flow)
    }

    fn sent(&mut self, [v4, v6]: [&str; 2], flow: Subject) -> Result<Option<u64>, SinkError> {
        let Some(port) = flow.port() else { return Ok(None) };
        let set = if flow.is_ipv6() { v6 } else { v4 };
        match self.0.element(set, Key::Flow(flow.address(), port)).map_err(failed) {
            Err(SinkError::NoTable) => Ok(None),
            found => Ok(found?.and_then(|found| found.dropped).map(|(packets, _)| packets)),
        }
    }

    /// Returns what comes through from banned hosts all the same. A set that is not there has nothing.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn passed(&mut self) -> Result<Vec<Passed>, SinkError> {
        let mut all = Vec::new();
        for set in PASSED {
            self.each(set, |found| {
                if let Some(SetKey::Flow(host, port)) = found.set_key() {
                    let packets = found.dropped.map_or(0, |(packets, _)| packets);
                    all.push(Passed { host, port, packets });
                }
            })?;
        }
        Ok(all)
    }

    /// Returns the hosts that the geofence has stopped (or would have) lately, with their packets.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn abroad(&mut self) -> Result<Vec<(IpAddr, u64)>, SinkError> {
        let mut all = Vec::new();
        for set in ABROAD {
            self.each(set, |found| {
                let packets = found.dropped.map_or(0, |(packets, _)| packets);
                all.extend(found.address().map(|host| (host, packets)));
            })?;
        }
        Ok(all)
    }

    /// Packets and bytes that a named counter has counted; `None` if there is none.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn named(&mut self, name: &str) -> Result<Option<Count>, SinkError> {
        let all = self.0.counters().map_err(failed)?;
        Ok(all.into_iter().find(|(known, _)| known == name).map(|(_, count)| count))
    }

    /// Hands each element of a set to `take`. A set that is not there has none.
    fn each(&mut self, set: &str, take: impl FnMut(Found)) -> Result<(), SinkError> {
        match self.0.each(set, take).map_err(failed) {
            Err(SinkError::NoTable) => Ok(()),
            read => read,
        }
    }
}
