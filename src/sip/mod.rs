//! The wire as a observer: what our own PBX answers, as the kernel saw it leave.
//!
//! No log text can change who a packet was sent to. The kernel copies the beginning of every SIP
//! answer ([`nflog`]); [`packet`] and [`tcp_stream`] take addresses and text apart, [`response`] reads the
//! few headers that matter, and [`challenge_pairing`] decides which refusals are an attack's and which are
//! the first half of every login.

pub mod capture;
pub mod challenge_pairing;
pub mod nflog;
mod observer;
pub mod packet;
pub mod response;
pub mod tcp_stream;

use std::net::IpAddr;

use crate::model::account::Account;
use crate::model::event::Evidence;
use crate::model::time::Time;
pub use observer::{Numbers, Observer};

/// What a packet was carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Its sender may be forged, so the host that we answered may be a stranger to it.
    Udp,
    /// The host that we answered completed a handshake.
    Tcp,
}

impl Transport {
    /// How far the address that was answered may be believed.
    #[must_use]
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Udp => Evidence::Unverified,
            Self::Tcp => Evidence::Proven,
        }
    }
}

/// What was seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An attempt that the PBX refused.
    Refused,
    /// A login after a challenge.
    Registered,
}

/// Something on the wire that matters to the engine. `Copy`, of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it was certain.
    pub time: Time,
    /// Whom the PBX answered.
    pub host: IpAddr,
    /// What.
    pub outcome: Outcome,
    /// How far `host` may be believed.
    pub evidence: Evidence,
    /// The account that was asked for, where it is a plain name.
    pub account: Option<Account>,
}
