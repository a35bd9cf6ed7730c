//! Names in the ruleset: that of the table, those that come of the configuration, and netmasks.

use std::net::Ipv6Addr;

/// The name of the table, in family `inet`.
pub const TABLE: &str = "asterguard";

/// The longest part that a configured name has in the name of a set, in bytes.
const NAME_MAX: usize = 64;

/// Returns a configured name as part of an nft identifier. The configuration lets only such names through;
/// this makes sure that no other text ever becomes part of the ruleset.
pub(super) fn word(name: &str) -> String {
    name.chars().take(NAME_MAX).map(|c| if is_plain(c) { c } else { '_' }).collect()
}

/// Whether this can be a name of ours, which becomes a part of the ruleset as it is.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_plain)
}

/// Whether a name of ours may have this in it.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Returns the netmask of an IPv6 network of `bits` bits.
pub(super) fn mask(bits: u8) -> Ipv6Addr {
    let host_bits = 128_u32.saturating_sub(bits.into());
    Ipv6Addr::from(u128::MAX.checked_shl(host_bits).unwrap_or(0))
}
