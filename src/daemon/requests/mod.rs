//! Answering the control socket: one file for each kind of request.

pub(crate) mod explain;
pub(crate) mod queries;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod verify;
