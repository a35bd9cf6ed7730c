//! The layout of our nftables table, as values and as the text that `nft` reads.

pub mod list_sets;
mod names;
pub mod sip_rules;
pub mod structure;
