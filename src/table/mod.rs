//! The layout of our nftables table, as values and as the text that `nft` reads.

pub mod first_load;
pub mod geofence_rules;
pub mod list_sets;
mod names;
pub mod passed_rules;
pub mod sip_rules;
pub mod structure;
