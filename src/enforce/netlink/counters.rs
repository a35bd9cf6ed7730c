//! Reads the kernel's counters, and what was put into sets by hand: on request, by a socket
//! of its own.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::message::Key;
use super::reply::{Count, Found};
use super::socket::Socket;
use super::{SinkError, failed};
use crate::model::event::{Passed, ScopeId};
use crate::model::subject::Subject;
use crate::table::list_sets::{ListKind, ListSet};
use crate::table::passed_rules::PASSED;
use crate::table::sip_rules::{COUNTING, LIMITED, LIMITED_MAX, TALKED};
use crate::table::structure::Structure;

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
        for (scope, set) in structure.sets() {
            self.each(&set, |found| {
                let subject = found.host_and_port().and_then(|key| structure.subject(scope, key));
                let entry = subject.zip(found.dropped);
                counts.extend(entry.map(|(subject, count)| ((scope, subject), count)));
            })?;
        }
        Ok(counts)
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
        if !flow.is_flow() {
            return Ok(None);
        }
        let [v4, v6] = TALKED;
        let set = if flow.is_ipv6() { v6 } else { v4 };
        match self.0.element(set, Key::of(flow)).map_err(failed) {
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
                if let Some((host, Some(port))) = found.host_and_port() {
                    let packets = found.dropped.map_or(0, |(packets, _)| packets);
                    all.push(Passed { host, port, packets });
                }
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

/// Returns the networks between the ends of intervals: where each begins, and where the addresses go on
/// after it. The last may be open.
fn networks(mut ends: Vec<(IpAddr, bool)>) -> Vec<IpNet> {
    // An interval that ends where the next begins comes first.
    ends.sort_unstable_by_key(|(address, ends)| (*address, !ends));
    let (mut nets, mut open) = (Vec::new(), None);
    for (address, ends) in ends {
        match (ends, open.take()) {
            (true, Some(first)) => nets.extend(before(address).map(|last| subnets(first, last))),
            (true, None) => {}
            (false, first) => open = first.or(Some(address)),
        }
    }
    let highest = |first: IpAddr| match first {
        IpAddr::V4(_) => IpAddr::from([255; 4]),
        IpAddr::V6(_) => IpAddr::from([255; 16]),
    };
    nets.extend(open.map(|first| subnets(first, highest(first))));
    nets.into_iter().flatten().flatten().collect()
}

fn subnets(first: IpAddr, last: IpAddr) -> Option<IpSubnets> {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Some(IpSubnets::from(Ipv4Subnets::new(first, last, 0)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Some(IpSubnets::from(Ipv6Subnets::new(first, last, 0)))
        }
        _ => None,
    }
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforce::netlink::bulk::intervals;

    #[test]
    fn networks_come_back_from_their_intervals() {
        for nets in [
            &["10.0.0.0/8", "192.0.2.1/32", "192.0.2.4/30"][..],
            &["255.255.255.255/32"],
            &["0.0.0.0/0"],
            &["2001:db8::/32", "ff00::/8"],
            &[],
        ] {
            let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
            let ipv6 = nets.first().is_some_and(|net| matches!(net, IpNet::V6(_)));
            let mut ends: Vec<_> = intervals(&nets, ipv6)
                .into_iter()
                .map(|bare| match bare.key {
                    Key::Address(address) => (address, bare.ends),
                    Key::Flow(..) | Key::Family(_) => panic!(),
                })
                .collect();
            ends.reverse();
            assert_eq!(networks(ends), nets);
        }
    }
}
