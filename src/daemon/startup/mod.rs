//! The steps before the first line is read: lock, processes, sandbox, log, state.

mod drop_root;
mod handover;
pub(super) mod instance_lock;
pub(super) mod logging;
pub(super) mod offline;
pub(super) mod privsep;
pub(super) mod restore;
pub(super) mod sandbox_paths;
