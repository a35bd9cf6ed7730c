//! Many elements at the same time: lists.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use super::message::{Bare, Element, Key, delete_set};
use super::socket::Socket;
use super::{FAMILIES, SinkError, all_or_error, failed};
use crate::model::network_set::Keys;
use crate::table::geofence_rules::{KNOWN, KNOWN_MAX, READY};

/// Elements in one transaction: a few milliseconds, for which others have to wait.
const PART: usize = 10_000;

/// A socket for lists: what it does takes its time, and keeps no other socket from its work.
#[derive(Debug)]
pub struct ListSocket(Socket);

impl ListSocket {
    /// Opens it, in the network namespace of the thread that calls this.
    ///
    /// # Errors
    /// When there is no netlink socket to be had.
    pub fn open() -> io::Result<Self> {
        Socket::open().map(Self)
    }

    /// Adds elements to a set; those that are there stay.
    pub(in crate::enforce) fn fill(&mut self, set: &str, keys: &Keys) -> Result<(), SinkError> {
        let mut keys = keys.iter().map(|key| Bare { key: Key::Address(key), ends: false });
        loop {
            let part: Vec<_> = keys.by_ref().take(PART).collect();
            if part.is_empty() {
                return Ok(());
            }
            let mut transaction = self.0.transaction();
            transaction.add_many(set, &part);
            all_or_error(&self.0.carry_out(transaction)?)?;
        }
    }

    /// Replaces the hosts that the geofence lets through by these, each for so long, in one transaction; with `ready`,
    /// it says that the sets of countries are filled too.
    pub(in crate::enforce) fn admit(
        &mut self,
        known: &[(IpAddr, Duration)],
        ready: bool,
    ) -> Result<(), SinkError> {
        let mut transaction = self.0.transaction();
        for (set, ipv6) in KNOWN.into_iter().zip([false, true]) {
            let own = known.iter().filter(|(host, left)| host.is_ipv6() == ipv6 && !left.is_zero());
            let element = |(host, left): &(IpAddr, Duration)| Element {
                key: Key::Address(*host),
                timeout: Some(*left),
                comment: None,
            };
            transaction.flush(set);
            transaction.add_all(set, own.take(KNOWN_MAX).map(element));
        }
        if ready {
            for family in FAMILIES {
                let key = Key::Family(family);
                transaction.add(READY, &Element { key, timeout: None, comment: None });
            }
        }
        all_or_error(&self.0.carry_out(transaction)?)
    }

    /// Returns the names of all sets of the table.
    pub(in crate::enforce) fn sets(&mut self) -> Result<Vec<String>, SinkError> {
        self.0.names().map_err(failed)
    }

    /// Removes a set, unless a rule refers to it.
    pub(in crate::enforce) fn delete(&mut self, set: &str) -> Result<(), SinkError> {
        let mut transaction = self.0.transaction();
        delete_set(&mut transaction, set);
        // Refused, it stays, and the next sweep tries again.
        self.0.carry_out(transaction).map(drop).map_err(SinkError::Io)
    }
}
