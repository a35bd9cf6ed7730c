//! The tasks beside the engine: reloads, lists, the kernel's limiter, bans without effect, questions to the kernel.

pub(super) mod limiter_poll;
pub(super) mod list_refresh;
pub(super) mod passed_poll;
pub(super) mod reload;
pub(super) mod talked_asker;
