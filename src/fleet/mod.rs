//! Shares bans with other guards over a Valkey or Redis server, and believes none of them more than it has to.

pub mod protocol;
