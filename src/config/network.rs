//! An address or network as people write it.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::subject::canonical_net;

pub(super) const ADDRESS_HELP: &str =
    "write an address such as 203.0.113.10, or a network, 203.0.113.0/24";
const BITS_HELP: &str =
    "after the / comes how many bits count: 0 to 32 for IPv4, 0 to 128 for IPv6";

/// Reads an address or network in its one spelling (see [`canonical_net`]).
///
/// # Errors
/// The error is a text that says what to write instead.
pub(crate) fn network(word: &str) -> Result<IpNet, &'static str> {
    let (address, bits) =
        word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| ADDRESS_HELP)?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = bits.map_or(Ok(all), str::parse).map_err(|_| BITS_HELP)?;
    IpNet::new(address, bits).map(canonical_net).map_err(|_| BITS_HELP)
}
