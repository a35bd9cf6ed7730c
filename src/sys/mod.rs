//! Thin wrappers of what Linux offers: programs, the sandbox, netlink attributes.

pub mod netlink;
pub mod program;
pub mod sandbox;
