//! What a node says to its fleet: signed records of bounded size.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::keys::{PrivateKey, Purpose, is_signed};
use super::protocol::is_name;
use super::sealed::{NotARecord, VERSION, is_sealed, open, seal};
use crate::model::event::Evidence;
use crate::model::node::NodeName;
use crate::model::public_key::PublicKey;
use crate::model::subject::Subject;

/// Bytes of a record with its signature. A longer one is not looked at.
pub const LONGEST_RECORD: usize = 512;

/// The place of a record among those of its node: it only grows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// The start of the node's process: a later one has a higher number.
    pub epoch: u64,
    /// The number of the record since then, from 1.
    pub sequence: u64,
}

impl Position {
    /// Whether nothing is between `before` and this.
    #[must_use]
    pub fn follows(self, before: Self) -> bool {
        if self.epoch == before.epoch {
            Some(self.sequence) == before.sequence.checked_add(1)
        } else {
            self.epoch > before.epoch && self.sequence == 1
        }
    }
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The layout.
    version: u8,
    /// Who says it.
    pub node: NodeName,
    /// Which record it is. A heartbeat has that of the last one before it.
    pub at: Position,
    /// What is said.
    pub operation: Operation,
}

/// What a record is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// The node bans a host.
    Ban(SignedBan),
    /// The node lifts its ban of this host.
    Lift(Host),
    /// The fleet's operator lifts all bans of a host.
    Unban(Order),
    /// The node is there.
    Heartbeat {
        /// Its wall clock, in milliseconds since the epoch.
        clock: i64,
    },
}

/// A host in a record: an address, and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    address: IpAddr,
    bits: u8,
}

/// A ban as its node says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBan {
    /// Whose.
    pub host: Host,
    /// What it rests on.
    pub evidence: Evidence,
    /// The jail.
    pub jail: String,
    /// The rule; may be empty.
    pub rule: String,
    /// When it began, in milliseconds since the epoch, by the server's clock.
    pub issued: i64,
    /// How long it lasts, in milliseconds.
    pub duration: u64,
}

/// An order of the operator. Any node may pass it on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Whose bans are lifted.
    pub host: Host,
    /// When it was given, in milliseconds since the epoch.
    pub issued: i64,
    /// The operator's signature.
    signature: Vec<u8>,
}

impl Host {
    /// Returns the host as a record names it.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        let net = subject.net();
        Self { address: net.addr(), bits: net.prefix_len() }
    }

    /// Returns the host, if it is one that may be banned: an IPv4 address, or an IPv6 network of 64 bits or more, which
    /// other machines can have.
    #[must_use]
    pub fn subject(self) -> Option<Subject> {
        let net = IpNet::new(self.address, self.bits).ok()?;
        let one_host = match net {
            IpNet::V4(net) => net.prefix_len() == 32,
            IpNet::V6(net) => {
                net.prefix_len() >= 64
                    && net.addr().to_ipv4_mapped().is_none()
                    && is_global_v6(net.addr())
            }
        };
        let is_host = one_host && is_others(self.address) && net.trunc() == net;
        is_host.then(|| Subject::from(net))
    }
}

/// Whether other machines can have this address.
fn is_others(address: IpAddr) -> bool {
    let is_reserved = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local() || v4.octets().starts_with(&[0]),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_reserved)
}

/// Whether this is no address with an IPv4 address inside (`::/96`).
fn is_global_v6(address: std::net::Ipv6Addr) -> bool {
    !address.octets().starts_with(&[0; 8])
}

impl SignedBan {
    /// Whether its texts are names: short, and without control characters.
    #[must_use]
    pub fn has_names(&self) -> bool {
        !self.jail.is_empty() && is_name(&self.jail) && is_name(&self.rule)
    }
}

impl Order {
    /// Gives an order, with the operator's key.
    #[must_use]
    pub fn new(host: Host, issued: i64, key: &PrivateKey) -> Self {
        let signature = key.sign(Purpose::Order, &Self::signed_bytes(host, issued)).to_vec();
        Self { host, issued, signature }
    }

    /// Whether the operator gave it.
    #[must_use]
    pub fn is_of(&self, operator: &PublicKey) -> bool {
        let bytes = Self::signed_bytes(self.host, self.issued);
        is_signed(operator, Purpose::Order, &bytes, &self.signature)
    }

    fn signed_bytes(host: Host, issued: i64) -> Vec<u8> {
        postcard::to_stdvec(&(host, issued)).unwrap_or_default()
    }
}

impl Record {
    /// Returns a record of this node.
    #[must_use]
    pub fn new(node: NodeName, at: Position, operation: Operation) -> Self {
        Self { version: VERSION, node, at, operation }
    }

    /// Returns the bytes with the signature of `key` before them.
    #[must_use]
    pub fn sign(&self, key: &PrivateKey) -> Vec<u8> {
        seal(self, Purpose::Record, key)
    }

    /// Reads a record. Its signature is not checked: see [`Record::is_signed`].
    ///
    /// # Errors
    /// See [`NotARecord`].
    pub fn read(bytes: &[u8]) -> Result<Self, NotARecord> {
        open(bytes, LONGEST_RECORD)
    }

    /// Whether the bytes of a record are signed with the key of this public key.
    #[must_use]
    pub fn is_signed(bytes: &[u8], key: &PublicKey) -> bool {
        is_sealed(bytes, Purpose::Record, key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::keys::SIGNATURE;
    use crate::fleet::protocol::LONGEST_NAME;

    fn host(text: &str) -> Host {
        let net: IpNet = text.parse().unwrap();
        Host { address: net.addr(), bits: net.prefix_len() }
    }

    fn longest() -> Record {
        let ban = SignedBan {
            host: host("2001:db8::1/128"),
            evidence: Evidence::Proven,
            jail: "j".repeat(LONGEST_NAME),
            rule: "r".repeat(LONGEST_NAME),
            issued: i64::MAX,
            duration: u64::MAX,
        };
        let at = Position { epoch: u64::MAX, sequence: u64::MAX };
        Record::new("n".repeat(63).parse().unwrap(), at, Operation::Ban(ban))
    }

    #[test]
    fn the_longest_record_fits_and_is_read_back() {
        let (key, _) = PrivateKey::generate().unwrap();
        let bytes = longest().sign(&key);
        assert!(bytes.len() <= LONGEST_RECORD, "{}", bytes.len());
        assert_eq!(Record::read(&bytes), Ok(longest()));
        assert!(Record::is_signed(&bytes, &key.public()));
        assert_eq!(Record::read(&[bytes.clone(), vec![0]].concat()), Err(NotARecord::Damaged));
        assert_eq!(Record::read(&vec![1; LONGEST_RECORD + 1]), Err(NotARecord::TooLarge));
        let mut later = bytes;
        later[SIGNATURE] = 2;
        assert_eq!(Record::read(&later), Err(NotARecord::Version));
    }

    #[test]
    fn one_host_of_others_may_be_banned_and_nothing_else() {
        for good in ["192.0.2.7/32", "10.0.0.7/32", "2001:db8::/64", "2001:db8::1/128"] {
            assert_eq!(host(good).subject().unwrap().net().to_string(), good);
        }
        for bad in [
            "0.0.0.0/0",
            "0.0.0.0/32",
            "0.1.2.3/32",
            "192.0.2.0/24",
            "127.0.0.1/32",
            "224.0.0.1/32",
            "255.255.255.255/32",
            "169.254.1.1/32",
            "::/0",
            "::/64",
            "::/128",
            "::1/128",
            "2001:db8::/48",
            "2001:db8::1/64",
            "fe80::1/128",
            "ff02::1/128",
            "::ffff:192.0.2.7/128",
            "::192.0.2.7/128",
        ] {
            assert_eq!(host(bad).subject(), None, "{bad}");
        }
        assert_eq!(Host { bits: 33, ..host("192.0.2.7/32") }.subject(), None);
    }

    #[test]
    fn an_order_is_of_one_host_one_time_and_the_operator() {
        let (operator, _) = PrivateKey::generate().unwrap();
        let (other, _) = PrivateKey::generate().unwrap();
        let order = Order::new(host("192.0.2.7/32"), 5, &operator);
        assert!(order.is_of(&operator.public()) && !order.is_of(&other.public()));
        let moved = Order { host: host("192.0.2.8/32"), ..order.clone() };
        let later = Order { issued: 6, ..order };
        assert!(!moved.is_of(&operator.public()) && !later.is_of(&operator.public()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Record::read(&bytes);
        }

        #[test]
        fn a_changed_byte_is_noticed(place in 0usize..200, change in 1u8..) {
            let (key, _) = PrivateKey::generate().unwrap();
            let mut bytes = longest().sign(&key);
            let place = place % bytes.len();
            bytes[place] ^= change;
            prop_assert!(!Record::is_signed(&bytes, &key.public()));
        }
    }
}
