//! Shares bans with other guards over a Valkey or Redis server, and believes none of them more than it has to.

pub mod acl;
pub mod admission;
mod catch_up;
pub mod client;
pub mod departure;
mod former;
pub mod keys;
pub mod layout;
mod listener;
mod orders;
mod outbox;
mod own_bans;
mod peer;
pub mod process;
pub mod protocol;
mod publisher;
pub mod record;
mod refusal;
pub mod resp;
mod sealed;
mod shared;
pub mod snapshot;
pub mod state_file;
mod tls_trouble;
pub mod toml_edit;

pub use peer::Missing;
pub use refusal::Refusal;
