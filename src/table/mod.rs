//! What our nftables table looks like, as values and as the text that `nft` reads.

pub mod list_sets;
mod names;
pub mod sip_rules;
pub mod structure;
