//! How the kernel differs from what the guard put there: elements, structure, and who changed it.

pub mod compare;
pub mod external_changes;
pub mod structure;
