//! Drift of the kernel from what the guard put there: elements, structure, and changes by others.

pub mod compare;
pub mod external_changes;
pub mod structure;
