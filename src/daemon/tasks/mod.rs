//! The tasks that run now and then: reloads, lists, the kernel's limiter.

pub(super) mod limiter_poll;
pub(super) mod list_refresh;
pub(super) mod reload;
