//! SIP as bytes: packets that the kernel copies, the messages in them, and what Asterisk mirrors by HEP.
//!
//! No log text can change the address that a packet was sent to. The kernel copies packets for us
//! ([`nflog`]); [`packet`], [`sequence`] and [`stream`] separate addresses and text, [`hep`] reads what Asterisk says of
//! messages that were encrypted on the way, and [`message`] reads the few headers that matter.

pub mod hep;
pub mod message;
pub mod nflog;
pub mod packet;
pub mod sequence;
pub mod stream;

/// The transport of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A sender of it may be forged.
    Udp,
    /// Both ends completed a handshake.
    Tcp,
}
