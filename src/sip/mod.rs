//! The SIP response monitor: our own PBX's responses, as the kernel saw them leave, become events.
//!
//! No log text can change the address that a packet was sent to. The kernel copies the beginning of
//! every SIP response ([`nflog`], received by [`capture`]); [`packet`] and [`tcp_stream`] separate
//! addresses and text, [`response`] reads the few headers that matter, and [`challenge_pairing`]
//! decides which refusals are an attack's and which are the first half of every login.

pub mod capture;
pub mod challenge_pairing;
pub mod hep;
pub mod message;
pub mod nflog;
mod observer;
pub mod packet;
pub mod response;
pub mod stream;
pub mod tcp_stream;

use std::net::IpAddr;

use crate::model::account::Account;
use crate::model::event::Evidence;
use crate::model::time::Time;
pub use observer::{Numbers, Observer};

/// The transport of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Its sender may be forged, so the host that we answered may be a stranger to it.
    Udp,
    /// The host that we answered completed a handshake.
    Tcp,
}

impl Transport {
    /// Returns how far the address that was answered may be believed.
    #[must_use]
    pub fn evidence(self) -> Evidence {
        match self {
            Self::Udp => Evidence::Unverified,
            Self::Tcp => Evidence::Proven,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An attempt that the PBX refused.
    Refused,
    /// A login after a challenge.
    Registered,
}

/// An observation that matters to the engine. `Copy`, of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The time when it was certain.
    pub time: Time,
    /// The host that the PBX answered.
    pub host: IpAddr,
    /// The outcome.
    pub outcome: Outcome,
    /// The evidence for `host`.
    pub evidence: Evidence,
    /// The account that was asked for, where it is a plain name.
    pub account: Option<Account>,
}
